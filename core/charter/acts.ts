/**
 * Acts: what a party signs (charter.md section 7). A signature covers verb, lineage, digest, epoch and party, so it
 * cannot be replayed in another charter, epoch or verb. Trusts the port's signature verification.
 */
import { toBase64 } from '../bytes/base64.ts'
import { framed, u64be } from '../bytes/bytes.ts'
import { isObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { formatKey } from '../crypto/keys.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { checkSignature, type Assertion } from './keys.ts'
import { LIMITS } from './limits.ts'
import { own } from './parse.ts'
import type { Review } from './review.ts'
import type { Charter, Hash, Name } from './types.ts'

export type Verb = 'propose' | 'approve' | 'veto' | 'enact' | 'revoke' | 'put' | 'rotate' | 'emergency' | 'recover'
export interface ActBody {
  readonly verb: Verb
  readonly lineage: Hash
  /** The charter the act is about: the proposed one for propose and approve, the newest one otherwise. */
  readonly digest: Hash
  readonly prev?: Hash
  readonly epoch: number
  readonly party: Name
  /** What the verb is about beyond the charter: the asset for put, rotate and revoke (with its version or a digest of its details), a program, the grant of an emergency. */
  readonly subject?: string
}
export interface Act extends ActBody {
  readonly key: string
  readonly signature: string // base64
  /** Beside the signature of a passkey or FIDO2 key: the assertion it covers. */
  readonly webauthn?: Assertion
}

const VERBS: readonly Verb[] = ['propose', 'approve', 'veto', 'enact', 'revoke', 'put', 'rotate', 'emergency', 'recover']
const FIELDS = ['verb', 'lineage', 'digest', 'prev', 'epoch', 'party', 'subject', 'key', 'signature', 'webauthn']

/** The bytes that are signed. */
export function actBytes(act: ActBody): Uint8Array {
  return framed('cloister/charter-act/1', ...[act.verb, act.lineage, act.digest, act.prev ?? ''].map(utf8), u64be(act.epoch), utf8(act.party), utf8(act.subject ?? ''))
}

export function signAct(signer: Signer, body: ActBody): Act {
  return { ...body, key: formatKey(signer.publicKey), signature: toBase64(signer.sign(actBytes(body))) }
}

/** An act out of a browser's assertion over `webauthnChallenge(p, actBytes(body))`: the three parts as `navigator.credentials.get` gives them. */
export function webauthnAct(body: ActBody, key: string, response: { readonly authenticatorData: Uint8Array; readonly clientDataJSON: Uint8Array; readonly signature: Uint8Array }): Act {
  return { ...body, key, signature: toBase64(response.signature), webauthn: { authenticatorData: toBase64(response.authenticatorData), clientDataJSON: toBase64(response.clientDataJSON) } }
}

/** An act from outside, checked for shape only. Leaves with `charter.act`. */
export function parseAct(value: Json | undefined, at = 'act'): Act {
  if (!isObject(value)) return refuse('charter.act', at, 'an object', 'another value')
  for (const key of Object.keys(value)) if (!FIELDS.includes(key)) refuse('charter.act', `${at}.${key.slice(0, 80)}`, FIELDS.join(', '), 'an unknown field')
  const text = (key: string, form: RegExp) => textOf(value, key, form, at)
  const hash = (key: string) => text(key, /^sha256:[0-9a-f]{64}$/) as Hash // the pattern is the type
  const verb = VERBS.find(known => known === value['verb']) ?? refuse('charter.act', `${at}.verb`, VERBS.join(', '), shown(value['verb']))
  const epoch = value['epoch']
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 1) return refuse('charter.act', `${at}.epoch`, 'an epoch', shown(epoch))
  return {
    verb, epoch, lineage: hash('lineage'), digest: hash('digest'), party: text('party', /^[a-z][a-z0-9-]{0,31}$/), key: text('key', /^[a-z0-9-]{1,16}:(?:[a-z0-9.-]{1,253}:)?[0-9a-f]{1,8000}$/),
    signature: text('signature', BASE64),
    ...(value['prev'] === undefined ? {} : { prev: hash('prev') }), ...(value['subject'] === undefined ? {} : { subject: text('subject', SUBJECT) }),
    ...(value['webauthn'] === undefined ? {} : { webauthn: assertion(value['webauthn'], `${at}.webauthn`) }),
  }
}

function assertion(value: Json, at: string): Assertion {
  if (!isObject(value)) return refuse('charter.act', at, 'an object', 'another value')
  for (const key of Object.keys(value)) if (!ASSERTION.includes(key)) refuse('charter.act', `${at}.${key.slice(0, 80)}`, ASSERTION.join(', '), 'an unknown field')
  return { authenticatorData: textOf(value, 'authenticatorData', BASE64, at), clientDataJSON: textOf(value, 'clientDataJSON', BASE64, at) }
}

function textOf(value: JsonObject, key: string, form: RegExp, at: string): string {
  const field = value[key]
  return typeof field === 'string' && form.test(field) ? field : refuse('charter.act', `${at}.${key}`, String(form), typeof field === 'string' ? field : 'nothing')
}

const ASSERTION = ['authenticatorData', 'clientDataJSON']
const BASE64 = /^[A-Za-z0-9+/=]{1,8000}$/
const SUBJECT = new RegExp(`^[\\u0020-\\u007e]{1,${LIMITS.subject}}$`)


/** Does this act's signature hold, by a key that the party has in this charter? Refuses with `charter.act`. */
export function verifyAct(p: Primitives, charter: Charter, act: Act, at = 'act'): Result<void> {
  return attempt(() => {
    const party = own(charter.parties, act.party)
    if (party === undefined) return refuse('charter.act', `${at}.party`, Object.keys(charter.parties).join(', '), act.party)
    if (!party.keys.includes(act.key)) refuse('charter.act', `${at}.key`, `a key of ${act.party}`, act.key)
    checkSignature(p, act.key, actBytes(act), act, at)
  })
}

/** Parties of a charter for which enough distinct keys signed valid acts that `matches` accepts. */
export function signers(p: Primitives, charter: Charter, acts: readonly Act[], matches: (act: Act) => boolean): Name[] {
  return Object.entries(charter.parties).filter(([name, party]) => {
    const keys = new Set(acts.filter(act => act.party === name && matches(act) && verifyAct(p, charter, act).ok).map(act => act.key))
    return keys.size >= (party.need ?? 1)
  }).map(([name]) => name)
}

/**
 * Of these acts the ones that count: valid under one of the charters, by `parties`, each key once and no more keys of a party
 * than its quorum. What is kept in a receipt stays small whatever else was said, and by whom.
 */
export function countingActs(p: Primitives, charters: readonly Charter[], acts: readonly Act[], parties: readonly Name[]): Act[] {
  const kept = new Set<Act>()
  for (const charter of charters) {
    for (const [name, { need = 1 }] of Object.entries(charter.parties).filter(([one]) => parties.includes(one))) {
      const keys = new Set<string>()
      for (const act of acts) {
        if (keys.size >= need || act.party !== name || keys.has(act.key) || !verifyAct(p, charter, act).ok) continue
        keys.add(act.key)
        kept.add(act)
      }
    }
  }
  return acts.filter(act => kept.has(act))
}

/**
 * May the charter at epoch 1 stand? Every owner (and everybody who must be asked to change it) has approved its digest.
 * Refuses `charter.not-approved` naming who is missing.
 */
export function founded(p: Primitives, charter: Charter, digest: Hash, acts: readonly Act[]): Result<void> {
  return attempt(() => {
    const have = signers(p, charter, acts, act => act.verb === 'approve' && act.lineage === digest && act.digest === digest && act.epoch === 1 && act.prev === undefined)
    const missing = Object.keys(charter.parties).filter(party => !have.includes(party))
    if (missing.length > 0) refuse('charter.not-approved', 'acts', `approvals of ${Object.keys(charter.parties).join(', ')}`, `missing: ${missing.join(', ')}`, missing.map(party => `cloister approve --party ${party}`).join('; '))
  })
}

export interface Proposal { readonly lineage: Hash; readonly prev: Charter; readonly next: Charter; readonly digest: Hash; readonly proposedAt: number }

/**
 * May a proposed charter be enacted now? Touched owners, the quorum and the notice of a widening; one touched owner for a
 * narrowing; the party itself and the notice for a rotation of its keys; no veto by those who have one (whoever vetoes has taken its approval back).
 * Keys count under the old charter and, for changed parties, under the new one too.
 */
export function actsSatisfy(p: Primitives, proposal: Proposal, reviewed: Review, acts: readonly Act[], now: number): Result<void> {
  return attempt(() => {
    const { prev, next, digest, lineage } = proposal
    const about = (verb: Verb) => (act: Act) => act.verb === verb && act.lineage === lineage && act.digest === digest && act.epoch === next.epoch && act.prev === next.prev
    const underPrev = signers(p, prev, acts, about('approve'))
    const underNext = signers(p, next, acts, about('approve'))
    const vetoes = signers(p, prev, acts, about('veto'))
    const have = [...new Set([...underPrev, ...underNext])].filter(party => !vetoes.includes(party) && (own(prev.parties, party) === undefined || underPrev.includes(party)) && (own(next.parties, party) === undefined || underNext.includes(party)))
    const against = vetoes.filter(party => reviewed.veto.includes(party)) // nobody stops a narrowing
    if (against.length > 0) refuse('charter.not-approved', 'acts', 'no veto', `vetoed by ${against.join(', ')}`)
    const missing = reviewed.sign.filter(party => !have.includes(party))
    if (missing.length > 0) refuse('charter.not-approved', 'acts', `approvals of ${reviewed.sign.join(', ')}`, `missing: ${missing.join(', ')}`, missing.map(party => `cloister approve --party ${party}`).join('; '))
    for (const set of reviewed.oneOf) if (!set.some(party => have.includes(party))) refuse('charter.not-approved', 'acts', `an approval of one of ${set.join(', ')}`, 'none')
    if (have.length === 0) refuse('charter.not-approved', 'acts', 'at least one approval', 'none')
    const counted = reviewed.quorum?.of.filter(party => have.includes(party)) ?? []
    if (reviewed.quorum !== undefined && counted.length < reviewed.quorum.need) refuse('charter.quorum', 'change.widen', `${reviewed.quorum.need} of ${reviewed.quorum.of.join(', ')}`, counted.join(', ') || 'nobody')
    const due = proposal.proposedAt + reviewed.notice
    if (reviewed.change === 'widen' && now < due) refuse('charter.notice', 'change.widen.notice', `a time from ${new Date(due * 1000).toISOString()}`, new Date(now * 1000).toISOString(), `wait ${due - now} s more; a touched owner may veto until then`)
  })
}
