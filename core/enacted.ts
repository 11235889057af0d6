/**
 * Was every charter of a lineage enacted as the charter before it demands? Judged offline from the receipts of the
 * enactments: each is in the log, in order, and carries signatures of parties that satisfy the review of its change
 * (charter.md sections 6 and 7). Who wrote a receipt matters less than who signed what is in it.
 *
 * A notice is proven by two witnessed heads in the receipt: one that contains the proposal, and one, later by the notice,
 * that does not contain the enactment yet. Where these are missing, or cosigned by witnesses the verifier does not know,
 * the notice is the broker's word, and the verdict says so. That nobody vetoed cannot be read off a receipt either: the log
 * has every veto. Trusts the log's policy, which is the verifier's own.
 */
import { isObject, type Json } from './bytes/json.ts'
import { utf8 } from './bytes/text.ts'
import { actsSatisfy, founded, parseAct, signers, type Act } from './charter/acts.ts'
import { charterDigest } from './charter/canonical.ts'
import { emergencyAgreed, type Emergency, type EmergencyAbout } from './charter/emergency.ts'
import { review } from './charter/review.ts'
import type { Charter, Hash, Name } from './charter/types.ts'
import type { Primitives } from './crypto/primitives.ts'
import { parseCheckpoint } from './log/checkpoint.ts'
import { verifyCheckpoint, type LogPolicy } from './log/policy.ts'
import { verifyProof } from './log/proof.ts'
import { parseReceipt, verifyReceiptSignature, type Receipt } from './receipt/receipt.ts'
import { attempt, orRefuse, refuse, type Result } from './refusal.ts'

/** A receipt's envelope and its `.tlog-proof`. */
export interface Logged { readonly envelope: string; readonly proof: string }
/** The receipt of an enactment and, from epoch 2 on, of the proposal it enacts. */
export interface Enactment extends Logged { readonly proposed?: Logged }

/** What was found about one epoch. */
export interface Epoch {
  readonly epoch: number
  readonly digest: Hash
  readonly change: 'founded' | 'narrow' | 'widen'
  /** Parties whose quorum of keys approved it. */
  readonly signed: readonly Name[]
  /** `none` was needed, `proven` by two heads, or `stated` by the broker alone. */
  readonly notice: 'none' | 'proven' | 'stated'
  /** The key of the broker that says so, and where in the log. */
  readonly key: string
  readonly index: number
}
export interface Enacted { readonly lineage: Hash; readonly digest: Hash; readonly charter: Charter; readonly epochs: readonly Epoch[] }

/**
 * The newest charter of a chain, with what each epoch rests on. `enactments` has one for each charter, first to newest.
 * Refuses `receipt.*`, `log.*`, or `charter.*` with the signature, quorum or notice that is missing.
 */
export function verifyEnacted(p: Primitives, charters: readonly Charter[], enactments: readonly Enactment[], policy: LogPolicy): Result<Enacted> {
  return attempt(() => {
    const digests = charters.map(charter => charterDigest(p, charter))
    charters.forEach((charter, i) => {
      if (charter.epoch !== i + 1 || charter.prev !== digests[i - 1]) refuse('receipt.charter', `charters[${i}]`, `epoch ${i + 1} after ${digests[i - 1] ?? 'nothing'}`, `epoch ${charter.epoch} after ${charter.prev ?? 'nothing'}`)
    })
    const [lineage, digest, charter] = [digests[0], digests[digests.length - 1], charters[charters.length - 1]]
    if (lineage === undefined || digest === undefined || charter === undefined) return refuse('receipt.charter', 'charters', 'at least one', 'none')
    if (enactments.length !== charters.length) refuse('receipt.charter', 'enacted', `${charters.length} receipts of enactments, one for each epoch`, String(enactments.length))
    const epochs = enactments.map((enactment, i) => epochOf(p, { enactment, charters, i, lineage, digest: digests[i] ?? lineage, policy }))
    epochs.forEach(({ index }, i) => {
      const before = epochs[i - 1]?.index ?? -1
      if (index <= before) refuse('log.proof', `enacted[${i}].index`, `an entry after ${before}`, String(index))
    })
    return { lineage, digest, charter, epochs }
  })
}

interface About { readonly enactment: Enactment; readonly charters: readonly Charter[]; readonly i: number; readonly lineage: Hash; readonly digest: Hash; readonly policy: LogPolicy }

function epochOf(p: Primitives, about: About): Epoch {
  const { enactment, charters, i, lineage, digest, policy } = about
  const at = `enacted[${i}]`
  const { index } = orRefuse(verifyProof(p, utf8(enactment.envelope), enactment.proof, policy))
  const receipt = statementOf(p, enactment, 'enacted', { lineage, charter: digest }, at)
  const acts = [...actsIn(receipt.predicate['approvals'], `${at}.approvals`), ...(receipt.predicate['vetoes'] === undefined ? [] : actsIn(receipt.predicate['vetoes'], `${at}.vetoes`))]
  const [prev, next] = [charters[i - 1], charters[i]]
  if (next === undefined) return refuse('receipt.charter', at, 'a charter', 'none')
  const signed = signers(p, next, acts, act => act.verb === 'approve' && act.digest === digest)
  const shared = { epoch: i + 1, digest, signed, key: receipt.key, index }
  if (prev === undefined) {
    orRefuse(founded(p, next, lineage, acts))
    return { ...shared, change: 'founded', notice: 'none' }
  }
  const reviewed = orRefuse(review(p, prev, next))
  const notice = reviewed.notice === 0 ? undefined : noticeOf(p, about, receipt, at)
  orRefuse(actsSatisfy(p, { lineage, prev, next, digest, proposedAt: notice?.from ?? 0 }, reviewed, acts, notice?.until ?? Number.MAX_SAFE_INTEGER))
  return { ...shared, change: reviewed.change, notice: reviewed.notice === 0 ? 'none' : notice === undefined ? 'stated' : 'proven' }
}

/** Since when, at the latest, the log had the proposal, and until when, at the earliest, it had no enactment. Undefined where receipts do not prove it. */
function noticeOf(p: Primitives, { enactment, lineage, digest, policy }: About, receipt: Receipt, at: string): { from: number; until: number } | undefined {
  const { notice } = receipt.predicate
  if (!isObject(notice) || enactment.proposed === undefined) return undefined
  const [from, until] = [headOf(p, notice['from'], policy), headOf(p, notice['until'], policy)]
  if (from === undefined || until === undefined) return undefined
  const proposal = orRefuse(verifyProof(p, utf8(enactment.proposed.envelope), enactment.proposed.proof, policy))
  statementOf(p, enactment.proposed, 'proposed', { lineage, charter: digest }, `${at}.proposed`)
  if (proposal.index >= from.size) refuse('charter.notice', `${at}.notice.from`, `a head that contains entry ${proposal.index}, the proposal`, `size ${from.size}`)
  // A receipt cannot hold a head that contains it: the enactment came after this one.
  return { from: from.time, until: until.time }
}

/** A head whose time a quorum of the verifier's witnesses vouches for. */
function headOf(p: Primitives, text: Json | undefined, policy: LogPolicy): { size: number; time: number } | undefined {
  const read = attempt(() => {
    const checkpoint = orRefuse(parseCheckpoint(typeof text === 'string' ? text : ''))
    return { size: checkpoint.size, time: orRefuse(verifyCheckpoint(p, checkpoint, policy)).time }
  })
  return read.ok && read.value.time > 0 ? read.value : undefined
}

/** An emergency, and where in the log and at what time its receipt says that it was agreed on. */
export interface ProvenEmergency { readonly emergency: Emergency; readonly index: number; readonly time: number }

/**
 * An emergency as its receipt proves it: in the log, about this charter, signed by the quorum, and within `lasts` of the
 * time it states, which is no later than its witnesses'. Whether it has ended is for who knows the time to ask. Refuses
 * `log.*`, `receipt.*`, `emergency.*`, `charter.*`.
 */
export function verifyEmergency(p: Primitives, part: Logged, { lineage, charter, digest }: EmergencyAbout, policy: LogPolicy, at = 'emergency'): Result<ProvenEmergency> {
  return attempt(() => {
    const seen = orRefuse(verifyProof(p, utf8(part.envelope), part.proof, policy))
    const { predicate } = statementOf(p, part, 'emergency', { lineage, charter: digest }, at)
    const { time } = predicate
    if (typeof time !== 'number' || (seen.time > 0 && time > seen.time + SKEW_SECONDS)) return refuse('log.proof', `${at}.time`, `a time of at most ${seen.time + SKEW_SECONDS}`, String(time))
    const acts = actsIn(predicate['acts'], `${at}.acts`)
    return { emergency: orRefuse(emergencyAgreed(p, { lineage, charter, digest }, acts[0]?.subject, acts, time)), index: seen.index, time }
  })
}

/** How far the clocks of broker and witnesses may differ. */
export const SKEW_SECONDS = 300

/** A receipt of this verb about this charter, whose signature holds by the key it names. */
export function statementOf(p: Primitives, { envelope }: Logged, verb: string, about: { readonly lineage: Hash; readonly charter: Hash }, at: string): Receipt {
  const receipt = orRefuse(parseReceipt(envelope))
  if (receipt.verb !== verb) refuse('receipt.type', at, verb, receipt.verb)
  orRefuse(verifyReceiptSignature(p, receipt, receipt.key))
  for (const [key, value] of Object.entries(about)) if (receipt.predicate[key] !== value) refuse('receipt.charter', `${at}.${key}`, value, String(receipt.predicate[key]))
  return receipt
}

/** Acts in a receipt. Leaves with `receipt.charter` or `charter.act`. */
export function actsIn(value: Json | undefined, at: string): Act[] {
  if (!Array.isArray(value)) return refuse('receipt.charter', at, 'the acts of parties', 'none')
  return value.map((act, i) => parseAct(act, `${at}[${i}]`))
}
