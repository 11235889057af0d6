/** How the vectors of evidence and appraisal run: a simulated report, changed in one place and signed again where that is the point. */
import { appraise, type AppraisalPolicy } from '@cloister/core/appraisal/appraise'
import { parsePolicyFile } from '@cloister/core/appraisal/policy'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromHex } from '@cloister/core/bytes/hex'
import { simulatedChip } from '@cloister/core/evidence/simulated/chip'
import type { Claims } from '@cloister/core/evidence/claims'
import { parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import type { SnpEvidence, SnpFacts } from '@cloister/core/evidence/snp/verify'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { constants, createPrivateKey, sign } from 'node:crypto'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { SIMULATED_ASK_KEY } from '../../cloud/guest/attesters/simulated-key.ts'

const NOW = 1_790_000_000
const vcek = generateSigner('p384')
const ask = createPrivateKey(SIMULATED_ASK_KEY)
const chip = simulatedChip(p, {
  fuses: new Uint8Array(32), chipId: new Uint8Array(64).fill(5), vcek, now: NOW,
  signAsAsk: tbs => new Uint8Array(sign('sha384', tbs, { key: ask, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })),
})
const LAUNCHED = { measurement: new Uint8Array(48).fill(7), hostData: new Uint8Array(32).fill(8) }
const DATA = new Uint8Array(64).fill(9)

interface Change { bytes?: Record<string, string>; resign?: boolean; kind?: string; certificates?: string[]; raw?: unknown; cut?: number; append?: string }

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { raw } parsed; or { bytes: { offset: hex }, resign, cut, append, certificates }: the altered report, verified. */
  'evidence.verify': input => attempt(() => orRefuse(verifyEvidence(p, orRefuse(parseEvidence(altered(input as Change))), { now: NOW }))),
  /** The kind as evidence itself claims it. */
  'evidence.parse': input => parseEvidence((input as Change).raw),
  /** A policy file's text. */
  'evidence.policy': input => parsePolicyFile(String(input)),
  /** { claims, policy, policyBits, vmpl, now }: appraised, with each given part exchanged. */
  'evidence.appraise': input => attempt(() => {
    const parts = input as { claims?: Partial<Claims>; facts?: Partial<SnpFacts>; policy?: Partial<AppraisalPolicy>; policyBits?: string; vmpl?: number; now?: number }
    const launched = { ...LAUNCHED, ...(parts.policyBits === undefined ? {} : { policy: BigInt(parts.policyBits) }), ...(parts.vmpl === undefined ? {} : { vmpl: parts.vmpl }) }
    const honest = orRefuse(verifyEvidence(p, chip.report(launched, DATA), { now: NOW }))
    const claims: Claims = { ...honest, facts: honest.facts.kind === 'snp' ? { ...honest.facts, ...parts.facts } : honest.facts, ...parts.claims }
    const tee = claims.tee === 'nvidia' || claims.tee === 'sev' || claims.tee === 'unknown' ? 'simulated' : claims.tee
    const policy: AppraisalPolicy = { tee: [tee], tcb: 'current', measurements: [{ tee, hex: '07'.repeat(48), name: 'guest' }], reportData: '09'.repeat(64), distrust: {}, ...parts.policy }
    return orRefuse(appraise(p, claims, policy, parts.now ?? NOW))
  }),
}

function altered(change: Change): unknown {
  if (change.raw !== undefined) return change.raw
  const evidence: SnpEvidence = chip.report(LAUNCHED, DATA)
  let report = fromBase64(evidence.report)
  for (const [offset, hex] of Object.entries(change.bytes ?? {})) report.set(fromHex(hex), Number(offset))
  if (change.resign === true) resign(report)
  if (change.cut !== undefined) report = report.slice(0, change.cut)
  if (change.append !== undefined) report = new Uint8Array([...report, ...fromHex(change.append)])
  return { ...evidence, ...(change.kind === undefined ? {} : { kind: change.kind }), report: toBase64(report), certificates: change.certificates ?? evidence.certificates }
}

function resign(report: Uint8Array): void {
  const signature = vcek.sign(report.subarray(0, 0x2a0))
  report.fill(0, 0x2a0)
  report.set(signature.slice(0, 48).reverse(), 0x2a0)
  report.set(signature.slice(48).reverse(), 0x2a0 + 72)
}
