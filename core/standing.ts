/**
 * Is this charter the one that stands? What a guest asks before it attests and a client before it acts: the receipt of its
 * enactment is in the log, under a head that is as fresh and as witnessed as the charter itself demands. That nothing newer
 * was enacted is the broker's word, given under that head: whoever was shown two heads that cannot both be true can prove it.
 *
 * Trusts: the log's policy that the asker brings, the broker's key that its evidence names, the asker's clock.
 */
import { utf8 } from './bytes/text.ts'
import { charterDigest } from './charter/canonical.ts'
import { checkHead } from './charter/decide.ts'
import type { Charter, Hash } from './charter/types.ts'
import type { Primitives } from './crypto/primitives.ts'
import { parseCheckpoint, type Checkpoint } from './log/checkpoint.ts'
import { NOBODY, verifyCheckpoint, type LogPolicy } from './log/policy.ts'
import { verifyProof } from './log/proof.ts'
import { parseReceipt, verifyReceiptSignature } from './receipt/receipt.ts'
import { attempt, orRefuse, refuse, type Result } from './refusal.ts'

/** What a broker shows: a checkpoint, the charter, and the receipt of its enactment with the proof that the log holds it. */
export interface Shown { readonly head: string; readonly charter: Charter; readonly enacted: string; readonly proof: string }
export interface StandingOptions {
  /** Whose word counts for the log: the asker's own trust. */
  readonly policy: LogPolicy
  /** The broker's signing key, as its evidence names it. */
  readonly broker: string
  /** Seconds since 1970. */
  readonly now: number
  /** The lineage (digest of epoch 1) that is meant. */
  readonly lineage?: Hash
}
export interface Standing { readonly lineage: Hash; readonly digest: Hash; readonly epoch: number; readonly head: Checkpoint & { readonly time: number; readonly witnesses: number } }

/**
 * Refuses `head.stale`, `head.unwitnessed`, `head.unknown-charter`, or what is wrong with checkpoint, receipt or proof
 * (`log.*`, `receipt.*`).
 *
 * @example
 * verifyStanding(p, { head, charter, enacted, proof }, { policy, broker: hello.key, now, lineage })
 */
export function verifyStanding(p: Primitives, shown: Shown, { policy, broker, now, lineage }: StandingOptions): Result<Standing> {
  return attempt(() => {
    const { charter } = shown
    const digest = charterDigest(p, charter)
    const checkpoint = orRefuse(parseCheckpoint(shown.head))
    const seen = orRefuse(verifyCheckpoint(p, checkpoint, policy))
    // Without a witness nobody but the log's own operator says when: a charter that asks for none has settled for that.
    checkHead({ charter, head: charter.log.witnesses === 0 && policy.quorum === NOBODY ? { ...seen, time: now } : seen }, now)
    const receipt = orRefuse(parseReceipt(shown.enacted))
    orRefuse(verifyReceiptSignature(p, receipt, broker))
    const { verb, predicate } = receipt
    const said = predicate['lineage']
    if (verb !== 'enacted' || predicate['charter'] !== digest || typeof said !== 'string') return refuse('head.unknown-charter', 'enacted', `the enactment of ${digest}`, `${verb} of ${String(predicate['charter'])}`, 'ask for the newest charter again')
    if (lineage !== undefined && said !== lineage) refuse('head.unknown-charter', 'enacted.lineage', lineage, said)
    const included = orRefuse(verifyProof(p, utf8(shown.enacted), shown.proof, policy))
    if (included.index >= checkpoint.size) refuse('head.unknown-charter', 'proof.index', `an entry below ${checkpoint.size}`, String(included.index), 'ask for a newer head')
    return { lineage: said as Hash, digest, epoch: charter.epoch, head: { ...checkpoint, ...seen } } // signed by the broker, and compared where the caller knows it
  })
}
