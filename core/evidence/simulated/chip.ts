/**
 * A simulated chip: makes SEV-SNP-shaped version-5 reports, so that on any laptop the real parser and chain code judge
 * them. NOT SECURE, by design: the keys above it are published with the source, so anybody can be such a chip. What it
 * signs chains to the simulated root and is called simulated wherever it appears.
 */
import { toBase64 } from '../../bytes/base64.ts'
import { concat, framed } from '../../bytes/bytes.ts'
import { der, derInteger, TAG } from '../../bytes/der.ts'
import { utf8 } from '../../bytes/text.ts'
import { hkdf } from '../../crypto/hkdf.ts'
import { issueCertificate, PSS_SHA384 } from '../../crypto/issue.ts'
import type { Primitives, Signer } from '../../crypto/primitives.ts'
import { REPORT_BYTES, SIGNED_BYTES } from '../snp/report.ts'
import { VEK_OID, type SnpEvidence } from '../snp/verify.ts'
import { SIMULATED_ASK_NAME, SIMULATED_PRODUCT } from './root.ts'

export interface ChipParts {
  /** 64 bytes that name the chip, and 32 that stand for its fuses. */
  readonly chipId: Uint8Array
  readonly fuses: Uint8Array
  /** The chip's P-384 key and the published key of the simulated ASK (RSASSA-PSS SHA-384). */
  readonly vcek: Signer
  readonly signAsAsk: (tbs: Uint8Array) => Uint8Array
  readonly now: number
}
export interface Launched { readonly measurement: Uint8Array; readonly hostData: Uint8Array; readonly policy?: bigint; readonly vmpl?: number }
export interface SimulatedChip {
  /** Evidence over 64 bytes of report data about what was launched. */
  report(launched: Launched, reportData: Uint8Array): SnpEvidence
  /** 32 bytes that only this chip gives, and only to this measurement (SNP's MSG_KEY_REQ). */
  sealingKey(measurement: Uint8Array): Uint8Array
}

/** The patch levels that the simulated chip reports: those of a current Genoa machine. */
const TCB = { bl: 0x0a, tee: 0, snp: 0x1b, ucode: 0x54 }
const RAW_TCB = new Uint8Array([TCB.bl, TCB.tee, 0, 0, 0, 0, TCB.snp, TCB.ucode])
const DEFAULT_POLICY = 0x30000n // SMT allowed, reserved bit 17 set, no debug, no migration
const DAY = 86_400

export function simulatedChip(p: Primitives, parts: ChipParts): SimulatedChip {
  const certificate = toBase64(vcekCertificate(parts))
  return {
    report: (launched, reportData) => ({ kind: 'simulated', report: toBase64(signedReport(parts, launched, reportData)), certificates: [certificate] }),
    sealingKey: measurement => hkdf(p, 'sha256', parts.fuses, new Uint8Array(0), framed('cloister/simulated-sealing-key/1', measurement), 32),
  }
}

function vcekCertificate(parts: ChipParts): Uint8Array {
  const level = (oid: string, value: number) => ({ oid, value: derInteger(new Uint8Array([value])) })
  return issueCertificate({
    serial: new Uint8Array([0]), issuer: SIMULATED_ASK_NAME, subject: 'Simulated SEV-VCEK', key: parts.vcek.publicKey,
    notBefore: parts.now - DAY, notAfter: parts.now + 7 * 365 * DAY,
    extensions: [
      level(VEK_OID.structVersion, 1), { oid: VEK_OID.product, value: der(TAG.ia5String, utf8(`${SIMULATED_PRODUCT}-SIM`)) },
      level(VEK_OID.bl, TCB.bl), level(VEK_OID.tee, TCB.tee), level(VEK_OID.snp, TCB.snp), level(VEK_OID.ucode, TCB.ucode),
      { oid: VEK_OID.hwId, value: parts.chipId },
    ],
  }, { algorithm: PSS_SHA384, sign: parts.signAsAsk })
}

function signedReport(parts: ChipParts, launched: Launched, reportData: Uint8Array): Uint8Array {
  const out = new Uint8Array(REPORT_BYTES)
  const view = new DataView(out.buffer)
  view.setUint32(0, 5, true)
  view.setBigUint64(8, launched.policy ?? DEFAULT_POLICY, true)
  view.setUint32(0x30, launched.vmpl ?? 0, true)
  view.setUint32(0x34, 1, true)
  view.setBigUint64(0x40, 0x25n, true) // SMT, ECC, ALIAS_CHECK_COMPLETE
  out.set(reportData, 0x50)
  out.set(launched.measurement, 0x90)
  out.set(launched.hostData, 0xc0)
  out.fill(0xff, 0x160, 0x180) // no migration agent
  for (const at of [0x38, 0x180, 0x1e0, 0x1f0]) out.set(RAW_TCB, at)
  out.set([0x19, 0x11, 1], 0x188) // CPUID of a Genoa
  out.set(parts.chipId, 0x1a0)
  out.set([41, 55, 1], 0x1e8) // firmware 1.55.41
  out.set([41, 55, 1], 0x1ec)
  const signature = parts.vcek.sign(out.subarray(0, SIGNED_BYTES))
  out.set(signature.slice(0, 48).reverse(), SIGNED_BYTES)
  out.set(signature.slice(48).reverse(), SIGNED_BYTES + 72)
  return concat(out)
}
