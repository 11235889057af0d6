/**
 * Recovery as its two sides meet (charter.md section 7): a party decides whether a broker may have its share, and that
 * broker decides whose shares count. What they exchange is in `seal/recovery.ts`.
 *
 * The party trusts: the pinned roots of evidence, the measurements of brokers it brings, the charter it knows. It believes
 * neither the broker's word nor the network's. The broker trusts its charter chain as far as the party and the log do.
 */
import { appraise, type AppraisalPolicy } from './appraisal/appraise.ts'
import { toHex } from './bytes/hex.ts'
import { signAct, signers, type Act } from './charter/acts.ts'
import { charterDigest } from './charter/canonical.ts'
import type { Charter, Hash, Name } from './charter/types.ts'
import type { Primitives, Random, Signer } from './crypto/primitives.ts'
import { SHARES_MAX } from './crypto/shamir.ts'
import type { Evidence } from './evidence/claims.ts'
import { verifyEvidence } from './evidence/index.ts'
import { attempt, orRefuse, refuse, refusalOf, type Refusal, type Result } from './refusal.ts'
import { helloData } from './seal/binding.ts'
import { checkRecovery, openShare, recoverRoot, recoverSubject, resealShare, type GivenShare, type Recovered, type RecoveringBroker, type RecoveryDocument } from './seal/recovery.ts'

/** A party that holds a share, with what it trusts. */
export interface ShareHolder {
  readonly party: Name
  /** Age identities of the party's `seal`, and its signing keys: as many as its quorum needs. */
  readonly identities: readonly string[]
  readonly signers: readonly Signer[]
  /** The lineage, and the charter of it that the party knows (from the witnessed log) to be the newest: it gives its share for that one and no other. */
  readonly lineage: Hash
  readonly known: Hash
  /** What the party takes for a broker. */
  readonly brokers: Pick<AppraisalPolicy, 'tee' | 'tcb' | 'measurements' | 'distrust'>
}
/** What a broker that wants to recover shows to a party. */
export interface RecoveryCall {
  /** The party's own nonce, and the broker's evidence over it and over the two keys that speak for it. */
  readonly asked: Uint8Array
  readonly evidence: Evidence
  readonly to: RecoveringBroker
  /** Every charter of the lineage, first to newest, and the dealing. */
  readonly charters: readonly Charter[]
  readonly document: RecoveryDocument
}
/** A share, and the acts by which its party gives it. */
export interface Given { readonly share: GivenShare; readonly acts: readonly Act[] }

/**
 * Give a party's share to this broker, or say why not: `evidence.*` and `appraisal.*` when it is no broker that the party
 * takes for one, `charter.lineage` when it serves another lineage, `charter.superseded` when its newest charter is not the one
 * that the party knows, `charter.quorum`, `age.*` and `share.*` when the dealing is not the party's.
 */
export function giveShare(p: Primitives, holder: ShareHolder, call: RecoveryCall, now: number, random: Random): Result<Given> {
  return attempt(() => {
    const { to, charters, document } = call
    const claims = orRefuse(verifyEvidence(p, call.evidence, { now }))
    orRefuse(appraise(p, claims, { ...holder.brokers, reportData: toHex(helloData(p, { nonce: call.asked, seal: to.seal, sign: to.key })) }, now))
    const newest = checkLineage(p, charters, holder.lineage)
    const digest = charterDigest(p, newest)
    if (digest !== holder.known) refuse('charter.superseded', 'charters', holder.known, digest, 'recover under the newest charter that the log holds')
    orRefuse(checkRecovery(p, document, charters))
    const share = resealShare(p, document, holder.party, orRefuse(openShare(p, document, holder.party, holder.identities)), to, random)
    const body = { ...aboutOf(p, newest, holder.lineage), party: holder.party, subject: recoverSubject(p, document, share, to) }
    return { share, acts: holder.signers.map(signer => signAct(signer, body)) }
  })
}

/**
 * The root, from shares that their parties gave to this recovery at this broker. A share that its party did not sign for, by
 * keys of the newest charter, does not count. Refuses `share.too-few`, `charter.lineage` or `charter.quorum`.
 */
export function takeShares(p: Primitives, lineage: Hash, charters: readonly Charter[], document: RecoveryDocument, me: RecoveringBroker & { readonly secret: Uint8Array }, given: readonly Given[]): Result<Recovered> {
  return attempt(() => {
    const newest = checkLineage(p, charters, lineage)
    orRefuse(checkRecovery(p, document, charters))
    if (given.length > SHARES_MAX) refuse('share.threshold', 'shares', `at most ${SHARES_MAX}`, String(given.length))
    const about = aboutOf(p, newest, lineage)
    const signed = given.map(({ share, acts }) => {
      const subject = attempt(() => recoverSubject(p, document, share, me))
      const matches = (act: Act) => subject.ok && act.subject === subject.value && act.verb === about.verb && act.lineage === lineage && act.digest === about.digest && act.prev === about.prev && act.epoch === about.epoch
      return { share, holds: signers(p, newest, acts, matches).includes(share.party) }
    })
    const unsigned = signed.filter(one => !one.holds).map(({ share: { party } }): { party: Name; refusal: Refusal } => ({ party, refusal: refusalOf('charter.act', 'acts', `the word of ${party} for this share and this recovery`, 'none that holds') }))
    const recovered = orRefuse(recoverRoot(p, document, me.secret, me, signed.filter(one => one.holds).map(one => one.share)))
    return { ...recovered, faulty: [...unsigned, ...recovered.faulty] }
  })
}

/** The newest of an unbroken chain that begins with the lineage. */
function checkLineage(p: Primitives, charters: readonly Charter[], lineage: Hash): Charter {
  const digests = charters.map(charter => charterDigest(p, charter))
  const newest = charters.at(-1)
  if (newest === undefined || digests[0] !== lineage) return refuse('charter.lineage', 'charters[0]', lineage, digests[0] ?? 'nothing')
  charters.forEach((charter, i) => {
    if (charter.epoch !== i + 1 || charter.prev !== digests[i - 1]) refuse('charter.lineage', `charters[${i}]`, `epoch ${i + 1} after ${digests[i - 1] ?? 'nothing'}`, `epoch ${charter.epoch} after ${charter.prev ?? 'nothing'}`)
  })
  return newest
}

/** What a `recover` act is about: the newest charter of the lineage. */
function aboutOf(p: Primitives, newest: Charter, lineage: Hash) {
  return { verb: 'recover', lineage, digest: charterDigest(p, newest), epoch: newest.epoch, ...(newest.prev === undefined ? {} : { prev: newest.prev }) } as const
}
