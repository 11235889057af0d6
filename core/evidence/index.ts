/**
 * Evidence: what a machine says about itself, judged offline. This room turns bytes into claims (facts that signatures
 * and pinned roots establish) or a refusal; whether claims are good enough is `core/appraisal` and the charter.
 *
 * Trusts: the pinned vendor roots in this folder. A simulated machine has a root of its own, public by design, and its
 * claims say `simulated` because of the root that matched, not because of anything the evidence says.
 */
import { jcs } from '../bytes/jcs.ts'
import { isObject, shown, type Json } from '../bytes/json.ts'
import { toBase64 } from '../bytes/base64.ts'
import { utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Hash } from '../charter/types.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { readAzure, verifyAzure, type HardwareJudges } from './azure/verify.ts'
import { readBundle, verifyBundle } from './bundle/bundle.ts'
import { readCca, verifyCca } from './cca/verify.ts'
import type { Claims, Evidence } from './claims.ts'
import { readDcap, verifyDcap } from './dcap/verify.ts'
import { readNitro, verifyNitro } from './nitro/verify.ts'
import { readNvidia, verifyNvidia } from './nvidia/verify.ts'
import type { VerifyOptions } from './options.ts'
import { readToken, verifyToken } from './result/token.ts'
import { simulatedRoots } from './simulated/root.ts'
import { amdRoots } from './snp/roots.ts'
import { readSnp, verifySnp } from './snp/verify.ts'
import { readTpm, verifyTpm } from './tpm/verify.ts'

export type { VerifiedCache, VerifyOptions } from './options.ts'

const KINDS: readonly Evidence['kind'][] = ['snp', 'simulated', 'tdx', 'sgx', 'nitro', 'tpm', 'azure', 'nvidia', 'cca', 'token', 'bundle']

/**
 * The claims that evidence establishes at a time, or why it establishes nothing.
 *
 * @example
 * verifyEvidence(p, { kind: 'snp', report: '', certificates: [] }, { now: 0 })
 * // → { ok: false, refusal: { code: 'bytes.truncated', at: 'report', … } }
 */
export function verifyEvidence(p: Primitives, evidence: Evidence, options: VerifyOptions): Result<Claims> {
  return attempt(() => judge(p, evidence, options))
}

/** Evidence as it came from outside, checked for shape only. Refuses `evidence.missing`, `evidence.kind`, `evidence.parse`. */
export function parseEvidence(value: unknown): Result<Evidence> {
  return attempt(() => {
    if (value === undefined || value === null) refuse('evidence.missing', 'evidence', 'evidence', 'nothing')
    // Only shape is read below; whoever calls has JSON values.
    const json = value as Json
    if (!isObject(json)) return refuse('evidence.parse', 'evidence', 'an object', 'another value')
    const kind = json['kind']
    switch (kind) {
      case 'snp': case 'simulated': return readSnp(json, kind)
      case 'tdx': case 'sgx': return readDcap(json, kind)
      case 'nitro': return readNitro(json)
      case 'tpm': return readTpm(json)
      case 'azure': return readAzure(json)
      case 'nvidia': return readNvidia(json)
      case 'cca': return readCca(json)
      case 'token': return readToken(json)
      case 'bundle': return readBundle(json, part => orRefuse(parseEvidence(part)))
      default: return refuse('evidence.kind', 'evidence.kind', KINDS.join(', '), shown(kind))
    }
  })
}

/** Each kind names its own roots: it can never be proven by the roots of another. */
function judge(p: Primitives, evidence: Evidence, options: VerifyOptions): Claims {
  switch (evidence.kind) {
    case 'snp': return verifySnp(p, evidence, options, amdRoots())
    case 'simulated': return verifySnp(p, evidence, options, simulatedRoots())
    case 'tdx': case 'sgx': return verifyDcap(p, evidence, options)
    case 'nitro': return verifyNitro(p, evidence, options)
    case 'tpm': return verifyTpm(p, evidence, options)
    case 'azure': return verifyAzure(p, evidence, options, azureHardware(p))
    case 'nvidia': return verifyNvidia(p, evidence, options)
    case 'cca': return verifyCca(p, evidence, options)
    case 'token': return verifyToken(p, evidence, options)
    case 'bundle': return verifyBundle(p, evidence, options, (part, shared) => judge(p, part, shared))
  }
}

const azureHardware = (p: Primitives): HardwareJudges => ({
  snp: (report, { certificates = [], crls }, options) => verifySnp(p, { kind: 'snp', report: toBase64(report), certificates, ...(crls === undefined ? {} : { crls }) }, options, amdRoots()),
  tdx: (quote, { collateral }, options) => {
    if (collateral === undefined) return refuse('evidence.missing', 'collateral', 'Intel\'s collateral for the TD quote', 'none', 'hand it in beside the quote (--collateral), or fill it in: cloister collateral export --for FILE')
    return verifyDcap(p, readDcap({ kind: 'tdx', quote: toBase64(quote), collateral }, 'tdx'), options)
  },
})

/** The digest by which receipts name evidence: of its canonical JSON. */
export function evidenceDigest(p: Primitives, evidence: Evidence): Hash {
  return hashOf(p, utf8(jcs(evidence)))
}
