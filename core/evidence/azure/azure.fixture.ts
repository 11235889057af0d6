/** Azure confidential VMs for tests: HCL reports over synthetic SNP reports and TDREPORTs, and quotes under the key that they name. */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import { portable as p } from '../../crypto/portable.ts'
import { judgeParts, snpInput } from '../snp/snp.fixture.ts'
import { attestOf, machineOf, rsassa, type AttestPlan } from '../tpm/tpm.fixture.ts'
import { bound, claimsBytes, hclOf, tdReportOf, type HclPlan } from './hcl.fixture.ts'
import { readTdReport } from './hcl.ts'
import type { AzureEvidence, HardwareClaims, HardwareJudges } from './verify.ts'

/** SNP under the test roots of that room; a TD quote is, for these tests, the TDREPORT again. */
export const JUDGES: HardwareJudges = {
  snp: (report, evidence, { now }) => judgeParts(p, snpInput({}, { report, certificates: (evidence.certificates ?? []).map(one => fromBase64(one)), now })),
  tdx: quote => tdClaims(quote),
}

export function tdClaims(quote: Uint8Array): HardwareClaims {
  const { reportData, fields } = readTdReport(p, quote)
  return {
    simulated: false, product: 'TDX', measurement: fields.mrTd, hostData: fields.mrConfigId, reportData: toHex(reportData), registers: { RTMR0: fields.rtmr0, RTMR1: fields.rtmr1, RTMR2: fields.rtmr2, RTMR3: fields.rtmr3 },
    debug: false, migration: false, chipId: '', validity: { notBefore: 0, notAfter: 1 }, endorsements: ['sha256:00'], revocation: true,
  }
}

export interface AzurePlan { readonly claims?: Uint8Array; readonly reportData?: Uint8Array; readonly vmpl?: number; readonly hcl?: Partial<HclPlan>; readonly attest?: Partial<AttestPlan>; readonly evidence?: Partial<AzureEvidence>; readonly policy?: bigint }

function quoteParts(plan: AzurePlan): Pick<AzureEvidence, 'message' | 'signature' | 'pcrs' | 'eventLog'> {
  const machine = machineOf()
  const message = attestOf({ selections: machine.selections, digest: p.hash('sha256', machine.concatenated), ...plan.attest })
  return { message: toBase64(message), signature: toBase64(rsassa(message)), pcrs: machine.pcrs, eventLog: toBase64(machine.log) }
}

export function snpEvidence(plan: AzurePlan = {}): AzureEvidence {
  const claims = plan.claims ?? claimsBytes()
  const { report, certificates } = snpInput({ report: (bytes, view) => {
    bytes.set(plan.reportData ?? bound(claims), 0x50)
    view.setUint32(0x30, plan.vmpl ?? 0, true)
    if (plan.policy !== undefined) view.setBigUint64(8, plan.policy, true)
  } })
  return { kind: 'azure', hclReport: toBase64(hclOf(report, claims, plan.hcl)), ...quoteParts(plan), certificates: certificates.map(toBase64), ...plan.evidence }
}

export function tdxEvidence(plan: AzurePlan = {}): AzureEvidence {
  const claims = plan.claims ?? claimsBytes()
  const report = tdReportOf(plan.reportData ?? bound(claims))
  return { kind: 'azure', hclReport: toBase64(hclOf(report, claims, { kind: 4, ...plan.hcl })), ...quoteParts(plan), tdQuote: toBase64(report), ...plan.evidence }
}
