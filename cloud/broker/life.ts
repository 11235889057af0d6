/**
 * The life of a charter in the broker (charter.md section 7): founded, proposed, approved, vetoed, enacted, revoked. What
 * a change touches and who must sign is `core/charter`; here stands what happens to state and log.
 */
import { utf8 } from '@cloister/core/bytes/text'
import { actsSatisfy, countingActs, founded, signers, type Act } from '@cloister/core/charter/acts'
import { charterDigest, programIdentity } from '@cloister/core/charter/canonical'
import { own } from '@cloister/core/charter/parse'
import { review, type Review } from '@cloister/core/charter/review'
import type { Charter, Hash, Name } from '@cloister/core/charter/types'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { rotate } from './assets.ts'
import { emergency } from './emergency.ts'
import { checkAct, newest, setLineage, versionsAfter, withOpenAct } from './lineage.ts'
import type { Effect, Event, HeadView, Outcome, Rules } from './events.ts'
import { dealtEffects, needsReroot, rerooted, type Reroot, type Root } from './roots.ts'
import { keys, read, type Change, type Lineage, type Proposal, type State } from './state.ts'

/** Epoch 1: with the approval of every party it is in force at once. Founding again what stands already changes nothing. */
export function found(rules: Rules, state: State, event: Event & { readonly charter: Charter; readonly acts: readonly Act[]; readonly root: Root }): Outcome {
  const { charter, acts, root, now, next } = event
  const lineage = charterDigest(rules.p, charter)
  if (charter.epoch !== 1) refuse('charter.lineage', 'epoch', '1 for a new lineage', String(charter.epoch), 'propose it to its lineage')
  orRefuse(founded(rules.p, charter, lineage, acts))
  const known = read.lineage(state, lineage)
  if (known !== undefined) return { changes: [], effects: [], reply: { ...(known.epoch === 1 ? { logged: known.enacted } : {}), body: { lineage, digest: known.digest, epoch: known.epoch } } }
  const fresh: Lineage = {
    lineage, digest: lineage, epoch: 1, history: [lineage], enactedAt: now, enacted: { index: next },
    revoked: false, revokedAssets: [], revokedPrograms: [], revocations: [], versions: versionsAfter({}, charter, []),
  }
  return {
    changes: [...setLineage(fresh), { key: keys.charter(lineage), value: { lineage, charter, enacted: { index: next } } }, { key: keys.root(lineage), value: root }],
    effects: [logEnacted(rules, { lineage: fresh, charter, acts }), ...dealtEffects(rules.p, lineage, lineage, root)],
    reply: { logged: { index: next }, body: { lineage, digest: lineage, epoch: 1 } },
  }
}

/** A successor of the newest charter, with its review. The notice starts when the log has it, not now. */
export function propose(rules: Rules, state: State, event: Event & { readonly charter: Charter; readonly act: Act }): Outcome {
  const { charter: proposed, act, next } = event
  const { lineage, charter: prev } = newest(state, act.lineage)
  const digest = charterDigest(rules.p, proposed)
  const reviewed = orRefuse(review(rules.p, prev, proposed))
  checkAct(rules, [prev, proposed], act, { verb: 'propose', lineage: lineage.lineage, digest, epoch: proposed.epoch, prev: lineage.digest })
  const key = keys.proposal(lineage.lineage, digest)
  const body = { lineage: lineage.lineage, digest, epoch: proposed.epoch, review: reviewed }
  const known = read.proposal(state, lineage.lineage, digest)
  if (known?.ended === true) refuse('charter.stale-proposal', 'charter', 'a proposal that was not vetoed', digest, 'change it and propose that')
  if (known !== undefined) return { changes: [], effects: [], reply: { logged: known.proposed, body } }
  // Each party's own, and one place for all who are not in it yet: nobody keeps an owner from narrowing.
  const by = own(prev.parties, act.party) === undefined ? '' : act.party
  if (read.proposals(state, lineage.lineage).filter(one => one.by === by).length >= PROPOSALS_MAX) refuse('broker.request', 'charter', `at most ${PROPOSALS_MAX} proposals of ${by === '' ? 'parties that are new' : by} on one charter`, 'one more', 'wait for the next epoch')
  const proposal: Proposal = { lineage: lineage.lineage, digest, charter: proposed, by, acts: [], proposed: { index: next } }
  return {
    changes: [{ key, value: proposal }],
    effects: [logCharter('proposed', lineage.lineage, digest, { epoch: proposed.epoch, prev: lineage.digest, change: reviewed.change, touched: linesIn(reviewed, LINES_BYTES), party: act.party, act })],
    reply: { logged: proposal.proposed, body },
  }
}

/** Approve, veto, enact, revoke, rotate, emergency: whatever a party says about a charter it is in. */
export function actOn(rules: Rules, state: State, event: ActEvent): Outcome {
  switch (event.act.verb) {
    case 'approve': return approve(rules, state, event)
    case 'veto': return veto(rules, state, event)
    case 'enact': return enact(rules, state, event)
    case 'revoke': return revoke(rules, state, event)
    case 'rotate': return rotate(rules, state, event)
    case 'emergency': return emergency(rules, state, event)
    default: return refuse('charter.act', 'act.verb', 'approve, veto, enact, revoke, rotate or emergency', event.act.verb)
  }
}

type ActEvent = Event & { readonly act: Act; readonly reroot?: Reroot }

function approve(rules: Rules, state: State, { act, next }: ActEvent): Outcome {
  const { lineage, prev, proposal } = pending(rules, state, act, 'approve')
  if (proposal.acts.some(one => one.verb === 'veto' && one.party === act.party && one.key === act.key)) refuse('charter.act', 'act', 'an approval that was not taken back', `${act.party} vetoed`, 'propose it anew with a change')
  const others = proposal.acts.filter(one => !(one.party === act.party && one.key === act.key))
  return {
    changes: [{ key: keys.proposal(lineage.lineage, act.digest), value: { ...proposal, acts: [...others, act] } }],
    effects: [logCharter('approved', lineage.lineage, act.digest, { epoch: act.epoch, prev, party: act.party, act })],
    reply: { logged: { index: next }, body: { lineage: lineage.lineage, digest: act.digest, epoch: act.epoch } },
  }
}

/** The veto of a touched owner (of any owner, or of the party itself, for a rotation of keys) ends a proposal that widens: nobody can forbid another to narrow. Any party's veto takes back its own approval. */
function veto(rules: Rules, state: State, { act, next }: ActEvent): Outcome {
  const { lineage, prev, proposal, reviewed, charter } = pending(rules, state, act, 'veto')
  const acts = [...proposal.acts.filter(one => one.party !== act.party || (one.verb === 'veto' && one.key !== act.key)), act] // its approvals go
  const dead = signers(rules.p, charter, acts, one => one.verb === 'veto').some(party => reviewed.veto.includes(party))
  const key = keys.proposal(lineage.lineage, act.digest)
  return {
    changes: [{ key, value: dead ? { ...proposal, acts, ended: true } : { ...proposal, acts } }],
    effects: [logCharter('vetoed', lineage.lineage, act.digest, { epoch: act.epoch, prev, party: act.party, act, ends: dead })],
    reply: { logged: { index: next }, body: { lineage: lineage.lineage, digest: act.digest, epoch: act.epoch, ended: dead } },
  }
}

/** The successor becomes the newest charter: at once nothing moves under the old one, and what was narrowed gets new keys. */
function enact(rules: Rules, state: State, { act, reroot, next, head, now }: ActEvent): Outcome {
  const { lineage, charter, proposal, reviewed } = pending(rules, state, act, 'enact')
  const successor = proposal.charter
  const includedAt = proposal.includedAt ?? refuse('charter.notice', 'proposal', 'a proposal that the witnessed log contains', 'one that is not in it yet', 'try again')
  // The earlier of the two clocks: neither the broker's nor a witness's alone can shorten a notice.
  orRefuse(actsSatisfy(rules.p, { lineage: lineage.lineage, prev: charter, next: successor, digest: act.digest, proposedAt: includedAt }, reviewed, proposal.acts, Math.min(now, head.time)))
  if (needsReroot(charter, successor) !== (reroot !== undefined)) refuse('broker.request', 'enact', 'a root dealt to those whom the charter names', 'another', 'try again')
  const enacted: Lineage = {
    ...lineage, digest: act.digest, epoch: successor.epoch, history: [...lineage.history, act.digest], enacted: { index: next },
    versions: versionsAfter(lineage.versions, successor, takenBack(charter, successor, reviewed)), revocations: [],
    revokedPrograms: lineage.revokedPrograms.filter(identity => !listedAnew(rules, lineage.lineage, charter, successor, identity)),
    emergencies: [], emergencyActs: [], // they held under the charter before
  }
  return {
    changes: [
      ...setLineage(enacted), { key: keys.charter(act.digest), value: { lineage: lineage.lineage, charter: successor, enacted: { index: next }, proposed: proposal.proposed } },
      // Every other proposal stood on the old charter: stale, whoever wanted it.
      ...state.keys(keys.proposals(lineage.lineage)).map(key => ({ key })),
      ...(reroot === undefined ? [] : rerooted(state, lineage.lineage, reroot)),
    ],
    effects: [logEnacted(rules, { lineage: enacted, charter: successor, acts: proposal.acts, prev: charter, reviewed, ...noticeOf(proposal, reviewed, head) }), ...(reroot === undefined ? [] : dealtEffects(rules.p, lineage.lineage, act.digest, reroot.root))],
    reply: { logged: { index: next }, body: { lineage: lineage.lineage, digest: act.digest, epoch: successor.epoch, change: reviewed.change } },
  }
}

/**
 * An owner takes back its asset (`subject` = `<name>@<version of its key>`, so that the act cannot be said again after
 * the owner has put a new key) alone; a program (`program:<name>`) or the whole charter needs the
 * quorum that may widen. Effective with the answer.
 */
function revoke(rules: Rules, state: State, { act, next }: ActEvent): Outcome {
  const { lineage, charter } = newest(state, act.lineage)
  checkAct(rules, [charter], act, { verb: 'revoke', lineage: lineage.lineage, digest: lineage.digest, epoch: lineage.epoch, prev: charter.prev })
  const body = { lineage: lineage.lineage, subject: act.subject ?? 'charter' }
  // Acts stand in the log for everybody: said again, they must not end the keys that were put since.
  if (isRevoked(rules, lineage, charter, act.subject)) return { changes: [], effects: [], reply: { body: { ...body, effective: true } } }
  const acts = withOpenAct(lineage.revocations, act)
  const agreed = signers(rules.p, charter, acts, one => one.verb === 'revoke' && one.subject === act.subject && one.digest === lineage.digest)
  const done = mayRevoke(lineage, charter, act.subject, agreed)
  const revoked: Lineage = done ? { ...revokedBy(rules, lineage, charter, act.subject), revocations: acts.filter(one => one.subject !== act.subject) } : { ...lineage, revocations: acts }
  return {
    changes: setLineage(revoked),
    effects: [logCharter('revoked', lineage.lineage, lineage.digest, { epoch: lineage.epoch, party: act.party, subject: act.subject ?? 'charter', effective: done, act })],
    reply: { logged: { index: next }, body: { ...body, effective: done } },
  }
}

/** Is the charter, or the program that is named, revoked already? An asset's subject names the version that is to end. */
function isRevoked(rules: Rules, lineage: Lineage, charter: Charter, subject: string | undefined): boolean {
  if (subject === undefined) return lineage.revoked
  const name = subject.slice('program:'.length)
  const program = subject.startsWith('program:') ? own(charter.programs, name) : undefined
  return program !== undefined && lineage.revokedPrograms.includes(programIdentity(rules.p, lineage.lineage, name, program))
}

function mayRevoke(lineage: Lineage, charter: Charter, subject: string | undefined, agreed: readonly Name[]): boolean {
  const program = subject?.startsWith('program:') === true ? subject.slice('program:'.length) : undefined
  if (subject !== undefined && program === undefined) {
    const asset = assetOf(subject)
    const { owner, version } = lineage.versions[asset] ?? { owner: '', version: 0 }
    if (own(charter.assets, asset) === undefined) refuse('asset.unknown', 'act.subject', Object.keys(charter.assets).join(', '), asset)
    if (subject !== `${asset}@${version}`) refuse('charter.act', 'act.subject', `${asset}@${version}`, subject, 'sign the act for the key in use')
    return agreed.includes(owner)
  }
  if (program !== undefined && own(charter.programs, program) === undefined) refuse('program.unknown', 'act.subject', Object.keys(charter.programs).join(', '), program)
  return charter.change.widen.of.filter(party => agreed.includes(party)).length >= charter.change.widen.need
}

function revokedBy(rules: Rules, lineage: Lineage, charter: Charter, subject: string | undefined): Lineage {
  if (subject === undefined) return { ...lineage, revoked: true, versions: versionsAfter(lineage.versions, charter, Object.keys(charter.assets)) }
  const name = subject.slice('program:'.length)
  const program = own(charter.programs, name)
  if (subject.startsWith('program:') && program !== undefined) {
    const opened = unique([...charter.grants, ...(lineage.emergencies ?? []).map(one => one.grant)].filter(grant => grant.to === name).map(grant => grant.asset))
    return { ...lineage, revokedPrograms: unique([...lineage.revokedPrograms, programIdentity(rules.p, lineage.lineage, name, program)]), versions: versionsAfter(lineage.versions, charter, opened) }
  }
  const asset = assetOf(subject)
  return { ...lineage, revokedAssets: unique([...lineage.revokedAssets, asset]), versions: versionsAfter(lineage.versions, charter, [asset]) }
}

/** Notices that begin to run: proposals which the head now contains. At the later of the two clocks: a witness that says it saw one long ago shortens nothing. */
export function included(state: State, { head, now }: Event): Change[] {
  return state.keys('broker/proposal/').flatMap(key => {
    const proposal = state.get(key) as Proposal // the prefix holds proposals only
    return proposal.includedAt !== undefined || proposal.proposed.index >= head.size ? [] : [{ key, value: { ...proposal, includedAt: Math.max(now, head.time), ...(head.text === undefined ? {} : { includedHead: head.text }) } }]
  })
}

/** The open proposal an act is about. A proposal whose `prev` is no longer the newest charter is gone. */
function pending(rules: Rules, state: State, act: Act, verb: Act['verb']): { lineage: Lineage; charter: Charter; prev: Hash; proposal: Proposal; reviewed: Review } {
  const { lineage, charter } = newest(state, act.lineage)
  const known = read.proposal(state, act.lineage, act.digest)
  const proposal = known !== undefined && known.ended !== true ? known : refuse('charter.stale-proposal', 'act.digest', 'an open proposal on top of the newest charter', act.digest, 'propose again on top of the newest charter')
  checkAct(rules, [charter, proposal.charter], act, { verb, lineage: lineage.lineage, digest: proposal.digest, epoch: proposal.charter.epoch, prev: lineage.digest })
  return { lineage, charter, prev: lineage.digest, proposal, reviewed: orRefuse(review(rules.p, charter, proposal.charter)) }
}

/** Assets whose keys are used no more: a grant of them was narrowed, or the charter has them no more. */
function takenBack(prev: Charter, next: Charter, reviewed: Review): Name[] {
  const narrowed = reviewed.touched.filter(item => item.what === 'grant' && item.effect === 'narrow').map(item => item.name.split(' ')[0] ?? '')
  return unique([...narrowed, ...Object.keys(prev.assets).filter(asset => own(next.assets, asset) === undefined)])
}

/**
 * Does this change list a revoked program again? Only with bytes or a name that the charter before did not have, and with a
 * grant: then each of its grants is new, or the program is other bytes to their owners, and every one of them has signed.
 */
function listedAnew(rules: Rules, lineage: Hash, prev: Charter, next: Charter, identity: Hash): boolean {
  const named = (charter: Charter) => Object.entries(charter.programs).find(([name, program]) => programIdentity(rules.p, lineage, name, program) === identity)?.[0]
  const name = named(next)
  return name !== undefined && named(prev) === undefined && next.grants.some(grant => grant.to === name)
}

/** The head that has the proposal, and the one under which the notice has passed: a verifier needs no broker's clock. */
function noticeOf({ includedHead }: Proposal, { notice }: Review, head: HeadView): { notice?: { from: string; until: string } } {
  return notice === 0 || includedHead === undefined || head.text === undefined ? {} : { notice: { from: includedHead, until: head.text } }
}

interface Enacting { readonly lineage: Lineage; readonly charter: Charter; readonly acts: readonly Act[]; readonly prev?: Charter; readonly reviewed?: Review; readonly notice?: { readonly from: string; readonly until: string } }

/** The receipt of an enactment carries everything that justifies it (core/enacted.ts judges it), and no more. Leaves with `charter.limit` when that is too long for an entry of the log. */
function logEnacted(rules: Rules, { lineage, charter, acts, prev, reviewed, notice }: Enacting): Effect {
  const asked = reviewed === undefined ? [] : unique([...reviewed.sign, ...reviewed.oneOf.flat(), ...reviewed.quorum?.of ?? []])
  const parties = asked.length > 0 ? asked : Object.keys({ ...prev?.parties, ...charter.parties })
  const counting = (verb: Act['verb']) => countingActs(rules.p, prev === undefined ? [charter] : [prev, charter], acts.filter(act => act.verb === verb), parties)
  const vetoes = counting('veto')
  const predicate = { epoch: charter.epoch, ...(charter.prev === undefined ? {} : { prev: charter.prev }), change: reviewed?.change ?? 'founded', approvals: counting('approve'), ...(vetoes.length === 0 ? {} : { vetoes }), ...(notice === undefined ? {} : { notice }) }
  const size = bytesOf(predicate)
  if (size > RECEIPT_BYTES) refuse('charter.limit', 'acts', `approvals of at most ${RECEIPT_BYTES} bytes in one receipt`, `${size}`, 'let fewer parties sign with keys of ML-DSA')
  return logCharter('enacted', lineage.lineage, lineage.digest, { ...predicate, touched: reviewed === undefined ? [] : linesIn(reviewed, Math.min(LINES_BYTES, RECEIPT_BYTES - size)) })
}

/** The lines of a review as a receipt has room for them. They are words for people; the charters say the same. */
const linesIn = ({ lines }: Review, room: number): readonly string[] => (bytesOf(lines) <= room ? lines : [`${lines.length} changes: the charter shows them`])

const bytesOf = (value: unknown): number => utf8(JSON.stringify(value)).length

function logCharter(verb: string, lineage: Hash, digest: Hash, predicate: Record<string, unknown>): Effect {
  return { do: 'log', verb, subject: [{ name: 'charter', digest: { sha256: digest.slice('sha256:'.length) } }], predicate: { lineage, charter: digest, ...predicate } }
}

const assetOf = (subject: string) => subject.split('@')[0] ?? ''
const unique = <T extends string>(names: readonly T[]) => [...new Set(names)].sort()
const PROPOSALS_MAX = 8
/** What a receipt may hold beside its frame: an entry of the log has at most 65,535 bytes, and base64 takes a third more. */
const RECEIPT_BYTES = 47_000
const LINES_BYTES = 24_000
