/** Machines of several parts for tests: CPUs, GPUs, a switch and a vTPM under the test roots of their rooms, asked as an honest guest asks them; one change at a time. */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { JUDGES, snpEvidence as azureEvidence } from '../azure/azure.fixture.ts'
import { verifyAzure } from '../azure/verify.ts'
import { ccaEvidence, cpak } from '../cca/cca.fixture.ts'
import { verifyCca } from '../cca/verify.ts'
import type { Claims } from '../claims.ts'
import { evidenceOf as dcapEvidence, root } from '../dcap/dcap.fixture.ts'
import { verifyDcap } from '../dcap/verify.ts'
import { nitroEvidence, roots as nitroRoots, MADE } from '../nitro/nitro.fixture.ts'
import { verifyNitro } from '../nitro/verify.ts'
import { evidenceOf as deviceEvidence, testRoots, type DevicePlan } from '../nvidia/nvidia.fixture.ts'
import { verifyNvidia } from '../nvidia/verify.ts'
import type { VerifyOptions } from '../options.ts'
import { allTestRoots, snpInput, type SnpPlan } from '../snp/snp.fixture.ts'
import { verifySnp } from '../snp/verify.ts'
import { evidenceOf as tpmEvidence } from '../tpm/evidence.fixture.ts'
import { AK, areaOf, nameOf } from '../tpm/tpm.fixture.ts'
import { verifyTpm } from '../tpm/verify.ts'
import { bundleReportData, deviceNonce, type BundleEvidence, type Part, type PartEvidence, type Role } from './bundle.ts'

export const CHALLENGE = 'c1'.repeat(32)
/** At which all fixtures hold, Nitro's too. */
export const AT = MADE
export const OPTIONS: VerifyOptions = { now: AT, aks: [nameOf(areaOf(AK))], cpaks: [cpak()] }

export const cpus = {
  snp: (data: Uint8Array, plan: SnpPlan = {}): PartEvidence => {
    const { report, certificates } = snpInput({ ...plan, report: (bytes, view) => { bytes.set(data, 0x50); plan.report?.(bytes, view) } })
    return { kind: 'snp', report: toBase64(report), certificates: certificates.map(toBase64) }
  },
  tdx: (data: Uint8Array): PartEvidence => dcapEvidence({ body: (bytes, start) => bytes.set(data, start + 520) }),
  sgx: (data: Uint8Array): PartEvidence => dcapEvidence({ tee: 'sgx', body: (bytes, start) => bytes.set(data, start + 320) }),
  nitro: (data: Uint8Array): PartEvidence => nitroEvidence({ fields: { user_data: data } }),
  azure: (data: Uint8Array): PartEvidence => azureEvidence({ attest: { nonce: data } }),
  cca: (data: Uint8Array): PartEvidence => ccaEvidence({ realm: { 10: data } }),
}
export type CpuKind = keyof typeof cpus

/** A GPU or switch, by its two digits, or the vTPM. */
export interface Device { readonly role: Role; readonly number?: string; readonly plan?: DevicePlan }
/** Two GPUs, the switch between them, and a vTPM. */
export const DEVICES: readonly Device[] = [{ role: 'gpu', number: '01' }, { role: 'gpu', number: '02' }, { role: 'switch', number: '09' }, { role: 'vtpm' }]

const made = new Map<string, PartEvidence>()
/** What a device answers to this nonce. */
export function answerOf({ role, number = '01', plan }: Device, nonce: Uint8Array): PartEvidence {
  if (role === 'vtpm') return tpmEvidence({}, AK, { nonce })
  const name = `${role} ${number} ${toHex(nonce)}`
  const known = plan === undefined ? made.get(name) : undefined
  const evidence = known ?? deviceEvidence({ ...(role === 'switch' ? { product: 'LS_10' } : {}), number, nonce, ...plan })
  if (plan === undefined) made.set(name, evidence)
  return evidence
}

/** Each device asked with the nonce of its place. */
export const devicesOf = (challenge = CHALLENGE, devices: readonly Device[] = DEVICES): Part[] =>
  devices.map((device, i) => ({ role: device.role, evidence: answerOf(device, deviceNonce(p, challenge, { role: device.role, index: i + 1, count: devices.length + 1 })) }))

/** A bundle whose CPU signs over these parts. */
export function bundleOf(devices: readonly Part[] = devicesOf(), challenge = CHALLENGE, kind: CpuKind = 'snp'): BundleEvidence {
  return { kind: 'bundle', challenge, parts: [{ role: 'cpu', evidence: cpus[kind](bundleReportData(p, kind, challenge, devices)) }, ...devices] }
}

/** Each kind under the test roots of its room. */
export const judgeWith = (port: Primitives) => (evidence: PartEvidence, options: VerifyOptions): Claims => {
  switch (evidence.kind) {
    case 'snp': return verifySnp(port, evidence, options, allTestRoots())
    case 'tdx': case 'sgx': return verifyDcap(port, evidence, options, root)
    case 'nitro': return verifyNitro(port, evidence, options, nitroRoots)
    case 'azure': return verifyAzure(port, evidence, options, { ...JUDGES, snp: (report, given, inner) => verifySnp(port, { kind: 'snp', report: toBase64(report), certificates: given.certificates ?? [] }, inner, allTestRoots()) })
    case 'cca': return verifyCca(port, evidence, options)
    case 'nvidia': return verifyNvidia(port, evidence, options, testRoots())
    case 'tpm': return verifyTpm(port, evidence, options, [])
    default: return refuse('evidence.kind', 'evidence.kind', 'a kind with a test root', evidence.kind)
  }
}

/** The bytes of a device's report or a vTPM's quote with one bit turned. */
export const flipped = (text: string, bit = 400): string => {
  const bytes = fromBase64(text)
  return toBase64(bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))))
}
