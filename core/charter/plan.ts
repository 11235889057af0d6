/**
 * Where a change of a charter stands (charter.md sections 6 and 7): what it narrows and widens and for whom, who must sign
 * with how many keys, who has, what is still missing, and from when it may be in force. Data for programs and pages, and
 * the same in lines for people. Pure; acts count only when their signatures hold.
 */
import { utf8 } from '../bytes/text.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Refusal } from '../refusal.ts'
import { actsSatisfy, founded, signers, verifyAct, type Act, type Verb } from './acts.ts'
import { hashOf } from './canonical.ts'
import { explainReview, openableWithoutOwner, type Exposure } from './explain.ts'
import { own } from './parse.ts'
import type { Review, Touched } from './review.ts'
import type { Charter, Hash, Name } from './types.ts'

/** A proposed charter with the acts at hand; `prev` and its review are absent at epoch 1, where every party founds. */
export interface Change {
  readonly lineage: Hash
  readonly digest: Hash
  readonly next: Charter
  readonly prev?: Charter
  readonly reviewed?: Review
  readonly acts: readonly Act[]
}
export interface PartyStanding {
  readonly party: Name
  /** Why its signature is asked for: as a touched owner, as one of several, for the quorum, or not at all. */
  readonly asked: readonly ('owner' | 'one-of' | 'quorum' | 'founder')[]
  readonly keysNeeded: number
  /** Ids of the keys that approved. */
  readonly keys: readonly string[]
  readonly approved: boolean
  readonly vetoed: boolean
}
export interface ChangeStanding {
  readonly parties: readonly PartyStanding[]
  /** Everybody who must sign has signed; only the notice may still be running. */
  readonly approved: boolean
  /** What is missing first, as the broker would say it. */
  readonly missing?: Refusal
}
export interface Plan extends ChangeStanding {
  readonly change: 'founded' | 'narrow' | 'widen'
  readonly narrows: readonly Touched[]
  readonly widens: readonly Touched[]
  readonly rotates: readonly Touched[]
  readonly notes: readonly Touched[]
  /** Whose veto would end it. */
  readonly veto: readonly Name[]
  /** Seconds of notice, and from when it may be in force (seconds since 1970) if everybody has signed by then. */
  readonly notice: number
  readonly earliest: number
  /** Approved, and its notice has passed. */
  readonly ready: boolean
  readonly openableWithoutOwner: readonly Exposure[]
  readonly lines: readonly string[]
}

/** The first 48 bits of a key's digest, for names of files and for screens; nothing is decided by it. */
export const keyId = (p: Primitives, key: string): string => hashOf(p, utf8(key)).slice(7, 19)

/** Who has signed a change and who is still to. Acts about anything else, and signatures that do not hold, are passed over. */
export function standingOf(p: Primitives, all: Change): ChangeStanding {
  const change = { ...all, acts: all.acts.filter(act => isAbout(all, act) && [all.prev, all.next].some(charter => charter !== undefined && verifyAct(p, charter, act).ok)) }
  const { prev, next, reviewed, acts, digest, lineage } = change
  const verdict = prev === undefined || reviewed === undefined ? founded(p, next, digest, acts)
    : actsSatisfy(p, { lineage, prev, next, digest, proposedAt: 0 }, reviewed, acts, reviewed.notice)
  const names = [...new Set([...Object.keys(prev?.parties ?? {}), ...Object.keys(next.parties)])].sort()
  return { parties: names.map(party => partyStanding(p, change, party)), approved: verdict.ok, ...(verdict.ok ? {} : { missing: verdict.refusal }) }
}

/**
 * The whole of it at a moment (seconds since 1970). Without `includedAt` (when the log had the proposal) the notice is
 * counted as if it were proposed now.
 *
 * @example
 * planOf(p, { lineage, digest, prev, next, reviewed, acts: [] }, { now: 1_800_000_000 }).lines
 * // → ['− b-claims → match (read) is withdrawn   [bravo]', 'must sign: bravo', 'takes effect at once', 'bravo: still to sign, 1 key']
 */
export function planOf(p: Primitives, change: Change, { now, includedAt }: { readonly now: number; readonly includedAt?: number }): Plan {
  const standing = standingOf(p, change)
  const { reviewed } = change
  const of = (effect: Touched['effect']) => reviewed?.touched.filter(item => item.effect === effect) ?? []
  const notice = reviewed?.notice ?? 0
  const earliest = reviewed?.change === 'widen' ? (includedAt ?? now) + notice : now
  const ready = standing.approved && (notice === 0 || (includedAt !== undefined && now >= earliest))
  const exposed = openableWithoutOwner(change.next)
  const said = reviewed === undefined ? [`every party must sign: ${Object.keys(change.next.parties).join(', ')}`, 'takes effect at once'] : explainReview(reviewed, reviewed.change === 'widen' ? includedAt ?? now : undefined)
  return {
    ...standing, change: reviewed?.change ?? 'founded', narrows: of('narrow'), widens: of('widen'), rotates: of('rotate'), notes: of('note'),
    veto: reviewed?.veto ?? [], notice, earliest, ready, openableWithoutOwner: exposed, lines: [...said, ...standing.parties.flatMap(partyLine), ...exposed.map(one => one.line)],
  }
}

const isAbout = ({ lineage, digest, next }: Change, act: Act) => act.lineage === lineage && act.digest === digest && act.epoch === next.epoch && act.prev === next.prev && act.subject === undefined

function partyLine({ party, asked, approved, vetoed, keys, keysNeeded }: PartyStanding): string[] {
  if (vetoed) return [`${party}: vetoed`]
  if (approved) return [`${party}: signed`]
  const more = Math.max(1, keysNeeded - keys.length)
  return asked.length === 0 ? [] : [`${party}: still to sign, ${more} key${more === 1 ? '' : 's'}`]
}

function partyStanding(p: Primitives, { prev, next, reviewed, acts }: Change, party: Name): PartyStanding {
  const charters = [prev, next].filter(charter => charter !== undefined && own(charter.parties, party) !== undefined) as Charter[] // the filter leaves charters
  const full = (verb: Verb) => charters.every(charter => signers(p, charter, acts, act => act.verb === verb).includes(party))
  const vetoed = signers(p, prev ?? next, acts, act => act.verb === 'veto').includes(party)
  const asked = reviewed === undefined ? ['founder' as const] : [
    ...(reviewed.sign.includes(party) ? ['owner' as const] : []), ...(reviewed.oneOf.some(set => set.includes(party)) ? ['one-of' as const] : []),
    ...(reviewed.quorum?.of.includes(party) === true ? ['quorum' as const] : []),
  ]
  return {
    party, asked, keysNeeded: Math.max(...charters.map(charter => own(charter.parties, party)?.need ?? 1)), vetoed, approved: full('approve') && !vetoed,
    keys: acts.filter(act => act.verb === 'approve' && act.party === party).map(act => keyId(p, act.key)).sort(),
  }
}
