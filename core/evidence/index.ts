/**
 * Evidence: what a machine says about itself, judged offline. This room turns bytes into claims (facts that signatures
 * and pinned roots establish) or a refusal; whether claims are good enough is `core/appraisal` and the charter.
 *
 * Trusts: the pinned vendor roots in this folder. A simulated machine has a root of its own, public by design, and its
 * claims say `simulated` because of the root that matched, not because of anything the evidence says.
 */
import { fromBase64 } from '../bytes/base64.ts'
import { jcs } from '../bytes/jcs.ts'
import { isObject, type Json } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Hash } from '../charter/types.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import type { Claims, Evidence } from './claims.ts'
import { simulatedRoots } from './simulated/root.ts'
import { amdRoots } from './snp/roots.ts'
import { verifySnp, type ChainCache, type RootSet } from './snp/verify.ts'

export interface VerifyOptions {
  /** The time to judge at, seconds since 1970. */
  readonly now: number
  /** Refuse evidence without the vendor's revocation list. */
  readonly requireCrl?: boolean
  /** Chains that held before: hand in one `new Map()` and keep it to judge many reports of the same machines faster. */
  readonly cache?: ChainCache
}

const LIMITS = { certificates: 8, crls: 4, base64: 8 * 1024 * 1024 }

/** The roots that evidence of a kind must chain to: a kind can never be proven by the roots of another. */
const ROOTS: Record<Evidence['kind'], () => readonly RootSet[]> = { snp: amdRoots, simulated: simulatedRoots }

/**
 * The claims that evidence establishes at a time, or why it establishes nothing.
 *
 * @example
 * verifyEvidence(p, { kind: 'snp', report: '', certificates: [] }, { now: 0 })
 * // → { ok: false, refusal: { code: 'bytes.truncated', at: 'report', … } }
 */
export function verifyEvidence(p: Primitives, evidence: Evidence, options: VerifyOptions): Result<Claims> {
  return attempt(() => verifySnp(p, {
    report: fromBase64(evidence.report, 'report'),
    certificates: evidence.certificates.map((one, i) => fromBase64(one, `certificates[${i}]`)),
    crls: (evidence.crls ?? []).map((one, i) => fromBase64(one, `crls[${i}]`)),
    roots: ROOTS[evidence.kind](), now: options.now, ...(options.requireCrl === undefined ? {} : { requireCrl: options.requireCrl }), ...(options.cache === undefined ? {} : { cache: options.cache }),
  }))
}

/** Evidence as it came from outside, checked for shape only. Refuses `evidence.missing`, `evidence.kind`, `evidence.parse`. */
export function parseEvidence(value: unknown): Result<Evidence> {
  return attempt(() => {
    if (value === undefined || value === null) refuse('evidence.missing', 'evidence', 'evidence', 'nothing')
    // Only shape is read below; whoever calls has JSON values.
    const json = value as Json
    if (!isObject(json)) return refuse('evidence.parse', 'evidence', 'an object', 'another value')
    for (const key of Object.keys(json)) if (!['kind', 'report', 'certificates', 'crls'].includes(key)) refuse('evidence.parse', `evidence.${key}`, 'kind, report, certificates, crls', key)
    const kind = json['kind']
    if (kind !== 'snp' && kind !== 'simulated') return refuse('evidence.kind', 'evidence.kind', Object.keys(ROOTS).join(', '), String(kind))
    const report = json['report']
    if (typeof report !== 'string' || report.length > LIMITS.base64) return refuse('evidence.parse', 'evidence.report', 'base64', typeof report)
    const crls = json['crls'] === undefined ? {} : { crls: texts(json['crls'], 'evidence.crls', LIMITS.crls) }
    return { kind, report, certificates: texts(json['certificates'], 'evidence.certificates', LIMITS.certificates), ...crls }
  })
}

/** The digest by which receipts name evidence: of its canonical JSON. */
export function evidenceDigest(p: Primitives, evidence: Evidence): Hash {
  return hashOf(p, utf8(jcs(evidence)))
}

function texts(value: Json | undefined, at: string, max: number): string[] {
  if (!Array.isArray(value) || value.length > max) return refuse('evidence.parse', at, `a list of at most ${max} texts`, Array.isArray(value) ? `${value.length}` : 'another value')
  return value.map((one, i) => (typeof one === 'string' && one.length <= LIMITS.base64 ? one : refuse('evidence.parse', `${at}[${i}]`, 'base64', typeof one)))
}
