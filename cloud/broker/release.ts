/**
 * Release: may these keys move to this guest (charter.md section 8)? And `why`: the same decision without its effects.
 * The receipts that a guest signs after its run come in here too.
 */
import { appraise, type Appraisal } from '@cloister/core/appraisal/appraise'
import { toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { programIdentity } from '@cloister/core/charter/canonical'
import { own } from '@cloister/core/charter/parse'
import { budgetKey, decide, outputsOf, type Decision, type View } from '@cloister/core/charter/decide'
import { durationSeconds } from '@cloister/core/charter/parse'
import type { Charter, Grant, Hash, Program } from '@cloister/core/charter/types'
import { evidenceDigest, verifyEvidence } from '@cloister/core/evidence/index'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { reportData } from '@cloister/core/seal/binding'
import { partOf } from '@cloister/core/seal/shares'
import type { Challenge, Event, GuestReceipt, HeadView, Outcome, ReleaseRequest, Rules, Subject } from './events.ts'
import { after, keys, read, type Change, type Deposit, type Lineage, type Session, type State } from './state.ts'

type ReleaseEvent = Extract<Event, { kind: 'release' | 'why' }>

/** What was found on the way to yes. */
interface Allowed { readonly lineage: Lineage; readonly charter: Charter; readonly appraisal: Appraisal; readonly challenge: Challenge; readonly decisions: readonly Decision[]; readonly deposits: readonly Deposit[]; readonly debits: readonly Change[] }

/** Debit, remember the nonce and the guest, log, then seal: in this order, or nothing at all. */
export function release(rules: Rules, state: State, event: ReleaseEvent): Outcome {
  const { request, now } = event
  const allowed = judge(rules, state, event)
  const { lineage, challenge, deposits } = allowed
  const index = event.next
  return {
    changes: [
      ...allowed.debits,
      { key: keys.used(toHex(request.nonce)), value: { until: challenge.issuedAt + rules.nonceSeconds } },
      { key: keys.session(request.guest.sign), value: { at: now, lineage: lineage.lineage, charter: lineage.digest, program: request.program, released: { index }, receipts: [] } satisfies Session },
    ],
    effects: [
      { do: 'log', verb: 'released', subject: deposits.map(subjectOf), predicate: predicateOf(rules, request, allowed, now) },
      {
        do: 'seal', to: request.guest.seal, charter: lineage.digest, epoch: lineage.epoch, nonce: request.nonce, head: challenge.root,
        keys: deposits.map(({ asset, version, digest, sealed, share }) => ({ asset, version, digest, atRest: sealed, lineage: lineage.lineage, ...(share === undefined ? {} : { share }) })),
      },
    ],
    reply: { logged: { index }, body: {} },
  }
}

/** The decision for people and programs; nothing is spent and nothing is remembered. */
export function why(rules: Rules, state: State, event: ReleaseEvent): Outcome {
  const { decisions, deposits, appraisal } = judge(rules, state, event)
  const grants = decisions.map(decision => decision.grant)
  const decision = { allow: true, grants, outputs: outputsOf(grants), keys: deposits.map(({ asset, version }) => ({ asset, version })), debits: decisions.map(({ debit, window }) => ({ ...debit, window })), ...inEmergency(decisions), checks: appraisal.checks }
  return { changes: [], effects: [], reply: { body: { decision } } }
}

/** A receipt signed by a guest that got keys, for the lineage it got them in. The same receipt twice is one entry. */
export function receive(state: State, event: Event & { readonly receipt: GuestReceipt }): Outcome {
  const { receipt } = event
  const session = read.session(state, receipt.key) ?? refuse('receipt.key', 'receipt.signature', 'the key of a guest that this broker released to', receipt.key)
  if (!GUEST_VERBS.includes(receipt.verb)) refuse('receipt.type', 'receipt.predicateType', GUEST_VERBS.join(', '), receipt.verb)
  if (receipt.lineage !== session.lineage) refuse('receipt.charter', 'receipt.predicate.lineage', session.lineage, String(receipt.lineage))
  const known = session.receipts.find(one => one.digest === receipt.digest)
  if (known !== undefined) return { changes: [], effects: [], reply: { logged: known, body: {} } }
  if (session.receipts.length >= RECEIPTS_MAX) refuse('broker.request', 'receipt', `at most ${RECEIPTS_MAX} receipts of one guest`, 'one more')
  const index = event.next
  return {
    changes: [{ key: keys.session(receipt.key), value: { ...session, receipts: [...session.receipts, { digest: receipt.digest, index }] } }],
    effects: [{ do: 'entry', envelope: receipt.envelope }],
    reply: { logged: { index }, body: {} },
  }
}

function judge(rules: Rules, state: State, event: ReleaseEvent): Allowed {
  const { request, now } = event
  const challenge = freshChallenge(rules, state, event)
  const { lineage, charter } = newestCharter(state, request)
  const program = own(charter.programs, request.program) ?? refuse('program.unknown', `programs.${request.program}`, Object.keys(charter.programs).join(', '), request.program)
  const identity = programIdentity(rules.p, lineage.lineage, request.program, program)
  checkRevoked(lineage, request, identity)
  const appraisal = appraiseGuest(rules, event, challenge, program)
  const view = viewOf(lineage, charter, event.head)
  const { decisions, debits } = decideAll(rules, state, view, request, appraisal, now)
  checkOutputs(decisions.map(decision => decision.grant))
  return { lineage, charter, appraisal, challenge, decisions, debits, deposits: request.assets.map(({ asset }) => depositOf(state, lineage, charter, asset, now)) }
}

/** Ours, for this charter, in time, and never used before (each is its own refusal). */
function freshChallenge(rules: Rules, state: State, { request, challenge, now }: ReleaseEvent): Challenge {
  if (challenge === undefined) return refuse('broker.nonce', 'nonce', 'a challenge of this broker', 'another value', 'say hello again')
  if (challenge.charter !== request.charter) refuse('broker.nonce', 'nonce', `a challenge for ${request.charter}`, `one for ${challenge.charter}`, 'say hello again')
  const age = now - challenge.issuedAt
  if (age > rules.nonceSeconds || age < -rules.nonceSeconds) refuse('broker.nonce', 'nonce', `a challenge of at most ${rules.nonceSeconds} s`, `${age} s old`, 'say hello again')
  if (read.used(state, toHex(request.nonce)) !== undefined) refuse('broker.replay', 'nonce', 'a challenge that was not used', 'one that was', 'say hello again')
  if (read.session(state, request.guest.sign) !== undefined) refuse('broker.replay', 'guest.sign', 'a key made for this run', 'the key of an earlier release')
  return challenge
}

function newestCharter(state: State, request: ReleaseRequest): { lineage: Lineage; charter: Charter } {
  const named = read.charter(state, request.charter) ?? refuse('head.unknown-charter', 'charter', 'a charter of this broker', request.charter)
  const lineage = read.lineage(state, named.lineage)
  const newest = lineage === undefined ? undefined : read.charter(state, lineage.digest)
  if (lineage === undefined || newest === undefined) return refuse('store.corrupt', keys.lineage(named.lineage), 'the lineage of a known charter', 'none')
  if (request.charter !== lineage.digest || request.epoch !== lineage.epoch) {
    refuse('charter.superseded', 'charter', `${lineage.digest} (epoch ${lineage.epoch})`, `${request.charter} (epoch ${request.epoch})`, 'launch the program again with the newest charter')
  }
  return { lineage, charter: newest.charter }
}

function checkRevoked(lineage: Lineage, request: ReleaseRequest, identity: Hash): void {
  if (lineage.revoked) refuse('charter.revoked', 'charter', 'a charter in force', `lineage ${lineage.lineage} is revoked`)
  if (lineage.revokedPrograms.includes(identity)) refuse('charter.revoked', `programs.${request.program}`, 'a program in force', `${identity} is revoked`)
  const asset = request.assets.find(one => lineage.revokedAssets.includes(one.asset))
  if (asset !== undefined) refuse('charter.revoked', `assets.${asset.asset}`, 'an asset in force', 'revoked by its owner', `its owner puts it again: cloister put ${asset.asset}`)
}

function appraiseGuest(rules: Rules, { request, now }: ReleaseEvent, challenge: Challenge, program: Program): Appraisal {
  const { p } = rules
  const claims = orRefuse(verifyEvidence(p, request.evidence, { now, ...(rules.chains === undefined ? {} : { cache: rules.chains }) }))
  const bound = reportData(p, { nonce: request.nonce, seal: request.guest.seal, sign: request.guest.sign, charter: request.charter, head: challenge.root })
  return orRefuse(appraise(p, claims, { tee: program.on.tee, tcb: program.on.tcb ?? 'current', measurements: rules.references, distrust: rules.distrust, reportData: toHex(bound) }, now))
}

function viewOf(lineage: Lineage, charter: Charter, head: HeadView): View {
  return { lineage: lineage.lineage, charter, revoked: lineage.revoked, head: { time: head.time, witnesses: head.witnesses }, enactedAt: lineage.enactedAt, emergencies: lineage.emergencies ?? [] }
}

/** Every asset on its own grant, each debit seen by the next. */
function decideAll(rules: Rules, state: State, view: View, request: ReleaseRequest, appraisal: Appraisal, now: number): { decisions: Decision[]; debits: Change[] } {
  const decisions: Decision[] = []
  let debits: Change[] = []
  for (const wanted of request.assets) {
    const current = after(state, debits)
    const { charter, epoch, program, facts, nonce } = request
    const decision = orRefuse(decide(rules.p, view, { charter, epoch, program, facts, nonce, ...wanted }, { claims: appraisal.claims, tcb: appraisal.tcb },
      (grant, window, emergency) => read.budget(current, view.lineage, budgetName(rules, view.lineage, grant, emergency), windowName(grant, window)), now))
    decisions.push(decision)
    debits = [...debits, ...debit(rules, current, view.lineage, decision)]
  }
  return { decisions, debits }
}

/** Spent twice over: in the window, and in the total, so that a budget added or changed later finds what was spent before. */
function debit(rules: Rules, state: State, lineage: Hash, decision: Decision): Change[] {
  return placesOf(rules, lineage, decision).map(([name, where]) => {
    const spent = read.budget(state, lineage, name, where)
    return { key: keys.budget(lineage, name, where), value: { ...spent, uses: spent.uses + decision.debit.uses, epsilon: spent.epsilon + decision.debit.epsilon } }
  })
}

/** Where a decision is counted: its budget, in the window and in the total. */
function placesOf(rules: Rules, lineage: Hash, { grant, window, emergency }: Decision): (readonly [string, string])[] {
  const name = budgetName(rules, lineage, grant, emergency?.sequence)
  return [...new Set([windowName(grant, window), TOTAL])].map(where => [name, where] as const)
}

const TOTAL = 'total'
const windowName = (grant: Grant, window: number) => (grant.budget?.per === undefined ? TOTAL : `${grant.budget.per}.${window}`)
const budgetName = (rules: Rules, lineage: Hash, grant: Grant, emergency?: number) => toHex(rules.p.hash('sha256', utf8(budgetKey(lineage, grant, emergency))))

/** Owners who agree on no output run nothing (charter.md section 9). */
function checkOutputs(grants: readonly Grant[]): void {
  const promised = grants.some(grant => (grant.out ?? []).length > 0)
  if (promised && outputsOf(grants).length === 0) refuse('grant.output', 'grants.out', 'an output that every asset\'s grant allows', 'none', 'owners agree on shape, about and receivers')
}

function depositOf(state: State, lineage: Lineage, charter: Charter, asset: string, now: number): Deposit {
  const named = own(charter.assets, asset) ?? refuse('asset.unknown', `assets.${asset}`, Object.keys(charter.assets).join(', '), asset)
  const version = lineage.versions[asset]?.version ?? 1
  const deposit = read.deposit(state, lineage.lineage, asset, named.owner, version)
  if (deposit === undefined) return refuse('asset.key-missing', `assets.${asset}`, `the key of version ${version}, deposited by ${named.owner}`, 'none', `cloister put ${asset}`)
  if (named.digest !== undefined && named.digest !== deposit.digest) refuse('asset.digest', `assets.${asset}.digest`, named.digest, deposit.digest)
  const ttl = named.ttl === undefined ? undefined : deposit.at + durationSeconds(named.ttl)
  if (ttl !== undefined && now >= ttl) refuse('asset.key-missing', `assets.${asset}.ttl`, `a deposit of at most ${named.ttl}`, 'an older one', `cloister put ${asset}`)
  return deposit
}

/** Said aloud wherever a decision or a release is shown: some of it rests on an emergency. */
function inEmergency(decisions: readonly Decision[]) {
  const emergencies = decisions.flatMap(({ grant, emergency }) => (emergency === undefined ? [] : [{ asset: grant.asset, sequence: emergency.sequence, until: emergency.until, signed: emergency.signed }]))
  return emergencies.length === 0 ? {} : { emergency: true, emergencies }
}

/** What the receipt says for ever: who got what under which charter, on which evidence. Digests only. */
function predicateOf(rules: Rules, request: ReleaseRequest, { lineage, charter, appraisal, challenge, decisions, deposits }: Allowed, now: number) {
  return {
    lineage: lineage.lineage, charter: lineage.digest, epoch: lineage.epoch,
    program: { name: request.program, run: { ...charter.programs[request.program]?.run } },
    assets: deposits.map(({ asset, version, digest, share }, i) => ({
      asset, version, digest, can: decisions[i]?.grant.can ?? '', ...(decisions[i]?.grant.as === undefined ? {} : { as: decisions[i].grant.as }),
      ...(decisions[i]?.emergency === undefined ? {} : { emergency: decisions[i].emergency.sequence }), ...(share === undefined ? {} : { share: partOf(rules.p, share) }),
    })),
    outputs: outputsOf(decisions.map(decision => decision.grant)),
    // What it cost, so that whoever brings the lineage back elsewhere can count it again.
    debits: decisions.flatMap(decision => placesOf(rules, lineage.lineage, decision).map(([budget, window]) => ({ budget, window, ...decision.debit }))),
    guest: { seal: `sha256:${toHex(rules.p.hash('sha256', request.guest.seal))}`, sign: request.guest.sign },
    nonce: toBase64(request.nonce), head: toBase64(challenge.root), evidence: evidenceDigest(rules.p, request.evidence), ear: appraisal.ear,
    simulated: appraisal.claims.simulated, time: now, ...inEmergency(decisions),
  }
}

const subjectOf = ({ asset, digest }: Deposit): Subject => ({ name: asset, digest: { sha256: digest.slice('sha256:'.length) } })
const GUEST_VERBS = ['ran', 'yielded', 'deleted']
const RECEIPTS_MAX = 16
