/**
 * The node's side of the loop: pure transitions of a small state that the node keeps on its disk. What is made is kept before
 * it is sent, and what is opened is kept before it is measured and activated, so a crash at any place continues where it was.
 * A disk that was set back is noticed where the log holds a report that it does not know; a machine with a register also
 * keeps the sealing key from opening in another state than the one it was made in.
 *
 * Trusts: `Trust`, its own hardware and clock; whoever delivers is trusted with nothing.
 */
import { fromBase64 } from '../bytes/base64.ts'
import { toHex } from '../bytes/hex.ts'
import { appraise } from '../appraisal/appraise.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Hash } from '../charter/types.ts'
import { hpkeOpen, SUITE } from '../crypto/hpke.ts'
import { formatKey } from '../crypto/keys.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import type { Evidence } from '../evidence/claims.ts'
import { verifyEvidence, type VerifyOptions } from '../evidence/index.ts'
import { parseReceipt } from '../receipt/receipt.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { checkNewest, keysOf } from './authority.ts'
import { checkHead, follow, START, type Leaf, type Trust, type View } from './chain.ts'
import { encodeReport, LOOP_LIMITS, openingBinding, parseConfiguration, sealingContext, type Configuration, type Report, type Signed } from './documents.ts'
import { checkMachine } from './orchestrate.ts'
import { parsePayload, type Payload } from './payload.ts'
import { checkFacts, stateDigest, type Facts, type State } from './state.ts'

/** What a node keeps. Keys are in it only as its hardware sealed them. */
export interface NodeState {
  /** How far it has followed the log. */
  readonly view: View
  /** The last report made, and all since the last opened configuration, oldest first. */
  readonly made?: { readonly digest: Hash; readonly sequence: number; readonly register?: string }
  readonly unanswered: readonly string[]
  /** The sealing key of the last report, as the hardware keeps it. */
  readonly key?: string
  /** The configuration in force, and the report that it answered. */
  readonly current?: { readonly digest: Hash; readonly accepts: Hash }
  /** What the machine's lock held when this was written: a register that no boot empties, where the machine has one. */
  readonly lock?: string
  /** Opened, durable, and not yet activated. */
  readonly opening?: Opening
}
export interface Opening {
  readonly digest: Hash
  readonly accepts: Hash
  readonly envelope: string
  /** The register before it is measured, and the lock after. */
  readonly register?: string
  readonly lock?: string
  /** The sealing key again, as the hardware keeps it for the states after the measurement. */
  readonly keys: readonly string[]
}
export const NEW_NODE: NodeState = { view: START, unanswered: [] }

/** What goes into a report; `seal` is the new X-Wing key (base64), `key` what the hardware keeps of its secret. */
export interface ReportParts { readonly challenge?: string; readonly seal: string; readonly key: string; readonly state: State; readonly register?: string; readonly lock?: string; readonly time: number }

/**
 * The next report, and the state that is to be on disk before the report leaves. Refuses `bytes.too-large` when too many are
 * unanswered, `loop.replay` without a challenge where one is needed.
 */
export function makeReport(p: Primitives, state: NodeState, signer: Signer, parts: ReportParts): Result<NodeState> {
  return attempt(() => {
    const { made, current, unanswered, opening } = state
    if (opening !== undefined) refuse('loop.state', 'state.opening', 'a configuration in force', 'one that is not activated yet', 'resume first')
    if (unanswered.length >= LOOP_LIMITS.backlog) refuse('bytes.too-large', 'state.unanswered', `at most ${LOOP_LIMITS.backlog} reports`, String(unanswered.length), 'send the last one again')
    const first = current !== undefined && current.accepts === made?.digest ? current.digest : undefined
    const register = parts.register === undefined ? {} : { register: parts.register }
    const report: Report = {
      node: formatKey(signer.publicKey), sequence: made === undefined ? 0 : made.sequence + 1, nonce: parts.challenge ?? first ?? refuse('loop.replay', 'challenge', 'a challenge of the orchestrator', 'none'),
      ...(made === undefined ? {} : { previous: made.digest }), ...(current === undefined ? {} : { configuration: current.digest }), ...register,
      seal: parts.seal, state: { mediaType: parts.state.mediaType, digest: stateDigest(p, parts.state) }, time: parts.time,
    }
    const envelope = encodeReport(signer, report)
    return { ...state, made: { digest: statementDigest(p, envelope), sequence: report.sequence, ...register }, unanswered: [...unanswered, envelope], key: parts.key, ...(parts.lock === undefined ? {} : { lock: parts.lock }) }
  })
}

/**
 * The state after reading on in the log: reports that it holds need not be sent again. Refuses `loop.rollback` when it holds
 * one that this disk does not know, and `log.*`.
 */
export function catchUp(p: Primitives, trust: Trust, state: NodeState, leaves: readonly Leaf[]): Result<NodeState> {
  return attempt(() => {
    const { view } = orRefuse(follow(p, trust, leaves, state.view))
    if (view.report?.digest === state.view.report?.digest) return { ...state, view }
    const held = state.unanswered.findIndex(envelope => statementDigest(p, envelope) === view.report?.digest)
    if (held < 0) refuse('loop.rollback', 'log.report', 'a report that this disk knows', view.report?.digest ?? 'none', SET_BACK)
    return { ...state, view, unanswered: state.unanswered.slice(held + 1) }
  })
}
const SET_BACK = 'this disk was set back or copied: enrol the node anew, under another key'

/** The digest by which a report or configuration is named. Leaves with `receipt.*` for what is none. */
export const statementDigest = (p: Primitives, envelope: string): Hash => hashOf(p, orRefuse(parseReceipt(envelope)).payload)

/** The configuration among these leaves that answers the last report. */
export interface Found { readonly document: Signed<Configuration>; readonly view: View; readonly head: number }

/**
 * Is there a configuration for this node's last report, at its place in the log? Refuses `log.*`, `loop.rollback` (the log holds
 * a report that this disk does not know, or the answer is to an older report), `loop.skip` (no answer, or the report itself is
 * not in the log), `loop.node`, `loop.fork`, `receipt.*`.
 */
export function findConfiguration(p: Primitives, trust: Trust, state: NodeState, leaves: readonly Leaf[]): Result<Found> {
  return attempt(() => {
    const { view, head, configuration, void: unplaced } = orRefuse(follow(p, trust, leaves, state.view))
    const { made } = state
    if (made === undefined) return refuse('loop.skip', 'state', 'a report of this node', 'none')
    const logged = view.report
    if (logged !== undefined && logged.digest !== made.digest && logged.sequence >= made.sequence) refuse('loop.rollback', 'log.report', `report ${made.sequence}, ${made.digest}`, `report ${logged.sequence}, ${logged.digest}`, SET_BACK)
    if (configuration === undefined || configuration.document.body.accepts !== made.digest) return refuseUnplaced(configuration?.document.body, unplaced.at(-1)?.refusal, made)
    return { document: configuration.document, view, head }
  })
}

function refuseUnplaced(configuration: Configuration | undefined, unplaced: { readonly code: string } | undefined, made: { readonly digest: Hash; readonly sequence: number }): never {
  if (configuration !== undefined) return refuse('loop.rollback', 'configuration.accepts', made.digest, configuration.accepts, 'it answers an older report: this one is not answered yet')
  return refuse('loop.skip', 'leaves', `a configuration for report ${made.sequence}`, unplaced === undefined ? 'none' : `one that stands at no place (${unplaced.code})`)
}

/** What the node knows of itself at the moment of opening. */
export interface Here {
  /** Bound to the configuration (`openingBinding`): judged by the same verifier that the orchestrator uses. */
  readonly evidence: Evidence
  readonly options: VerifyOptions
  readonly facts: Facts
  /** The secret of the last report's sealing key. */
  readonly secret: Uint8Array
}

/**
 * Open the configuration, here and now. Refuses `loop.window` (also when the clock is behind the log's witnesses),
 * `head.stale`, `receipt.charter` (not of the newest term), `loop.node` (another machine), `loop.state` (facts or register differ), `evidence.*`, `appraisal.*`, `seal.open`.
 */
export function openConfiguration(p: Primitives, trust: Trust, state: NodeState, { document, view, head }: Found, here: Here): Result<Payload> {
  return attempt(() => {
    const { body, digest, key } = document
    checkNewest(trust.authority, key, body.charter, 'configuration.charter')
    const { now } = here.options
    if (now < body.validFrom || now > body.validUntil) refuse('loop.window', 'configuration', `a time from ${body.validFrom} to ${body.validUntil}`, String(now), 'report again')
    if (now + CLOCK_SECONDS < view.time) refuse('loop.window', 'clock', `at least ${view.time - CLOCK_SECONDS}, as the log's witnesses have it`, String(now), 'set the clock')
    checkHead(trust, head, now)
    const claims = orRefuse(verifyEvidence(p, here.evidence, here.options))
    orRefuse(appraise(p, claims, { ...body.requires.appraisal, reportData: toHex(openingBinding(p, here.evidence.kind, digest)) }, now))
    checkFacts(here.facts, body.requires.facts)
    checkMachine(trust, body.chip, state.made?.register, claims)
    return unsealed(p, body, here.secret)
  })
}
/** How far the node's clock may be behind the witnesses'. */
const CLOCK_SECONDS = 300

/** The state that is to be on disk before anything is measured or activated; `lock` is what the machine's lock will hold. */
export function withOpening(state: NodeState, { document, view }: Found, keys: readonly string[], lock?: string): NodeState {
  const { key: _used, ...kept } = state
  const { digest, envelope, body } = document
  return { ...kept, view, opening: { digest, accepts: body.accepts, envelope, keys, ...(state.made?.register === undefined ? {} : { register: state.made.register }), ...(lock === undefined ? {} : { lock }) } }
}

/** The payload again, after a crash between opening and activation. Refuses `seal.open`, `receipt.*`, `loop.document`. */
export function reopen(p: Primitives, trust: Trust, { envelope }: Opening, secret: Uint8Array): Result<Payload> {
  return attempt(() => unsealed(p, orRefuse(parseConfiguration(p, envelope, keysOf(trust.authority))).body, secret))
}

/** The state once the configuration is active: it is in force, and the next report begins under it. */
export function activated(state: NodeState): NodeState {
  const { opening, ...kept } = state
  if (opening === undefined) return state
  return { ...kept, current: { digest: opening.digest, accepts: opening.accepts }, unanswered: [], ...(opening.lock === undefined ? {} : { lock: opening.lock }) }
}

function unsealed(p: Primitives, { sealed, ...head }: Configuration, secret: Uint8Array): Payload {
  const opened = hpkeOpen(p, SUITE, { secret, enc: fromBase64(sealed.enc), info: sealingContext(head), aad: new Uint8Array(0), ciphertext: fromBase64(sealed.ciphertext) })
  return opened.ok ? orRefuse(parsePayload(opened.value)) : refuse('seal.open', 'configuration.sealed', 'a configuration sealed to this node\'s last report', 'one that does not open')
}
