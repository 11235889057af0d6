/**
 * The orchestrator's side of the loop, as one pure step: the log's last leaves of a node, what it delivers now, and the
 * demands give the leaves to append, or a refusal. It remembers nothing: the log is its memory, and a challenge carries its
 * own proof. Any number of orchestrators with one key may answer one node; of two answers the first in the log counts.
 *
 * Trusts: `Trust`, the demands and roots handed in, the clock. What the node says counts only as far as its evidence binds it.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, equal, framed, u64be } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { appraise } from '../appraisal/appraise.ts'
import { hpkeSeal, SUITE } from '../crypto/hpke.ts'
import { formatKey } from '../crypto/keys.ts'
import type { Primitives, Random, Signer } from '../crypto/primitives.ts'
import type { Claims, Evidence } from '../evidence/claims.ts'
import { evidenceDigest, verifyEvidence, type VerifyOptions } from '../evidence/index.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { checkNewest, keysOf } from './authority.ts'
import { checkHead, placeReport, type Followed, type Leaf, type Trust, type View } from './chain.ts'
import { encodeConfiguration, LOOP_LIMITS, parseConfiguration, parseReport, reportBinding, sealingContext, type ConfigurationHead, type Report, type Requirement, type Signed } from './documents.ts'
import { encodePayload, type Payload } from './payload.ts'
import { checkFacts, readState, stateDigest, type Facts } from './state.ts'

/** What a node hands over: every report that was not answered yet, oldest first; the last is to be answered. */
export interface Delivery { readonly reports: readonly string[]; readonly state: Uint8Array; readonly evidence: Evidence }

export interface Demands {
  readonly trust: Trust
  /** What this node must be to get anything. */
  readonly requires: Requirement
  /** Roots, enrolled keys and the like for its evidence; the time is the step's. */
  readonly evidence: Omit<VerifyOptions, 'now'>
  /** How old a report and a challenge may be, seconds. */
  readonly reportAgeMax: number
  /** 32 secret bytes, the same for every orchestrator of this node. */
  readonly challengeKey: Uint8Array
}

/** What the node gets next, as somebody decided who saw its facts. */
export interface Plan {
  readonly payload: Payload
  /** In which state it opens; it is judged again on the node. */
  readonly requires: Requirement
  /** When it opens, seconds since 1970; clocks differ, so it may begin a little before now. */
  readonly validFrom: number
  readonly validUntil: number
}
export interface Judged { readonly report: Report; readonly facts: Facts; readonly claims: Claims }

/** What is to be appended, in this order, before anything leaves; or the answer that the log holds already. */
export type Step =
  | { readonly kind: 'answer'; readonly append: readonly string[] }
  | { readonly kind: 'answered'; readonly leaf: Leaf }

/**
 * A challenge for a node's first report, and for any that does not begin a configuration: time and proof that it is ours.
 *
 * @example
 * challengeOf(p, new Uint8Array(32), 'p256:04…', 1_800_000_000) // → 56 characters of base64 with their padding
 */
export function challengeOf(p: Primitives, key: Uint8Array, node: string, now: number): string {
  return toBase64(concat(u64be(now), p.hmac('sha256', key, framed('cloister/loop-challenge/1', utf8(node), u64be(now)))))
}

/**
 * The reports of a delivery that belong into the log and are not there yet, in order: a node's signed word at its place,
 * whatever is judged of it afterwards. Refuses `head.stale`, `loop.*`, `receipt.*`.
 */
export function admit(p: Primitives, followed: Followed, delivery: Delivery, trust: Trust, now: number): Result<readonly string[]> {
  return attempt(() => {
    if (followed.view.index >= 0) checkHead(trust, followed.head, now)
    return placeAll(p, trust, followed.view, delivery.reports).append
  })
}

/**
 * The next step for a node. Refuses `head.stale`, `loop.*`, `log.*`, `receipt.*`, `evidence.*`, `appraisal.*`, `place.tee`; a refusal that
 * says `loop.window` wants a new report.
 */
export function next(p: Primitives, followed: Followed, delivery: Delivery, demands: Demands, plan: (judged: Judged) => Plan, signer: Signer, now: number, random: Random): Result<Step> {
  return attempt(() => {
    const { trust } = demands
    if (followed.view.index >= 0) checkHead(trust, followed.head, now)
    const { view, append, report } = placeAll(p, trust, followed.view, delivery.reports)
    if (view.configuration?.accepts === report.digest) return answered(followed, now)
    const judged = judge(p, view, report, delivery, demands, now)
    return { kind: 'answer', append: [...append, configure(p, view, report, judged, delivery, trust, plan(judged), signer, now, random)] }
  })
}

/** Reports at their places; those the log holds already are passed over. */
function placeAll(p: Primitives, trust: Trust, from: View, envelopes: readonly string[]): { view: View; append: readonly string[]; report: Signed<Report> } {
  if (envelopes.length > LOOP_LIMITS.backlog) refuse('bytes.too-large', 'reports', `at most ${LOOP_LIMITS.backlog} reports`, String(envelopes.length))
  const append: string[] = []
  let view = from
  let report: Signed<Report> | undefined
  for (const [i, envelope] of envelopes.entries()) {
    report = orRefuse(parseReport(p, envelope, trust.node))
    // What came before the newest logged report is settled: the next one's `previous` says whether it was these.
    if (i < envelopes.length - 1 && report.body.sequence < (from.report?.sequence ?? 0)) continue
    const after = placeReport(p, trust, view, report)
    if (after !== view) append.push(envelope)
    view = after
  }
  return report === undefined ? refuse('loop.document', 'reports', 'at least one report', 'none') : { view, append, report }
}

function answered({ configuration }: Followed, now: number): Step {
  if (configuration === undefined) return refuse('loop.skip', 'leaves', 'the configuration that answers this report', 'none', 'read the node\'s leaves from further back')
  const { validUntil } = configuration.document.body
  if (now > validUntil) refuse('loop.window', 'configuration.validUntil', `a time until ${validUntil}`, String(now), 'this report was answered and the answer has expired: report again')
  return { kind: 'answered', leaf: configuration.leaf }
}

function judge(p: Primitives, view: View, report: Signed<Report>, { state, evidence }: Delivery, demands: Demands, now: number): Judged {
  const { trust, requires, reportAgeMax } = demands
  const { body, digest } = report
  if (Math.abs(now - body.time) > reportAgeMax) refuse('loop.window', 'report.time', `within ${reportAgeMax} s of ${now}`, String(body.time), 'report again')
  checkNonce(p, view, body, demands, now)
  const given = { mediaType: body.state.mediaType, bytes: state }
  if (stateDigest(p, given) !== body.state.digest) refuse('loop.document', 'state', body.state.digest, stateDigest(p, given))
  const facts = orRefuse(readState(given))
  const claims = orRefuse(verifyEvidence(p, evidence, { ...demands.evidence, now }))
  orRefuse(appraise(p, claims, { ...requires.appraisal, reportData: toHex(reportBinding(p, evidence.kind, digest)) }, now))
  checkFacts(facts, requires.facts)
  checkMachine(trust, view.configuration?.chip, body.register, claims)
  return { report: body, facts, claims }
}

/** The nonce proves that a report is new: the newest configuration, in the first report after it, or a challenge of ours that is not old. */
function checkNonce(p: Primitives, { configuration: newest }: View, { nonce, node, previous }: Report, { challengeKey, reportAgeMax }: Demands, now: number): void {
  if (newest !== undefined && nonce === newest.digest && newest.accepts === previous) return
  const challenge = attempt(() => fromBase64(nonce, 'report.nonce'))
  const bytes = challenge.ok && challenge.value.length === 40 ? challenge.value : refuse('loop.replay', 'report.nonce', 'a challenge, or the configuration that was just opened', 'neither', 'ask for a challenge and report again')
  const time = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0))
  if (!Number.isSafeInteger(time) || !equal(fromBase64(challengeOf(p, challengeKey, node, time)), bytes)) refuse('loop.replay', 'report.nonce', 'a challenge of this orchestrator for this node', 'another')
  if (now - time > reportAgeMax || time > now + reportAgeMax) refuse('loop.replay', 'report.nonce', `a challenge at most ${reportAgeMax} s old`, `${now - time} s`, 'ask for a challenge and report again')
}

/** The same machine as before, and its register as the report says it. */
export function checkMachine({ register }: Trust, chip: string | undefined, value: string | undefined, claims: Claims): void {
  if (chip !== undefined && claims.chipId !== chip) refuse('loop.node', 'claims.chipId', chip, claims.chipId, 'a node stays on its machine: enrol it anew, under another key')
  if (register === undefined) return
  const found = Object.hasOwn(claims.registers, register.name) ? claims.registers[register.name] : undefined
  if (value === undefined || found !== value) refuse('loop.state', `claims.registers.${register.name}`, value ?? 'a value in the report', found ?? 'not in the evidence')
}

function configure(p: Primitives, view: View, report: Signed<Report>, { claims }: Judged, { evidence }: Delivery, trust: Trust, plan: Plan, signer: Signer, now: number, random: Random): string {
  const charter = trust.authority.at(-1)?.charter
  checkNewest(trust.authority, formatKey(signer.publicKey), charter, 'signer')
  const head: ConfigurationHead = {
    node: trust.node, sequence: report.body.sequence + 1, accepts: report.digest, evidence: evidenceDigest(p, evidence), chip: claims.chipId, requires: plan.requires, validFrom: plan.validFrom, validUntil: plan.validUntil, time: now,
    ...(view.configuration === undefined ? {} : { previous: view.configuration.digest }), ...(charter === undefined ? {} : { charter }),
  }
  const sealed = hpkeSeal(p, SUITE, { to: fromBase64(report.body.seal, 'report.seal'), info: sealingContext(head), aad: new Uint8Array(0), plaintext: encodePayload(plan.payload) }, random)
  const envelope = encodeConfiguration(p, signer, { ...head, sealed: { enc: toBase64(sealed.enc), ciphertext: toBase64(sealed.ciphertext) } })
  // What no node would read is not logged: a window that ends before it begins, demands beyond the size of an entry.
  orRefuse(parseConfiguration(p, envelope, keysOf(trust.authority)))
  return envelope
}
