/**
 * The SEV-SNP attestation report, 1184 bytes, little-endian (AMD 56860 section 7.3; versions 2 to 5): its fields, and
 * every reserved byte and bit checked to be zero, so that no unsigned or unused byte can differ unseen. Trusts nothing.
 */
import { allZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'
import type { SnpTcb } from './verify.ts'

export const REPORT_BYTES = 1184
export const SIGNED_BYTES = 0x2a0

export type SnpProduct = 'Milan' | 'Genoa' | 'Turin'

export interface SnpReport {
  readonly version: number
  readonly guestSvn: number
  readonly policy: bigint
  readonly familyId: string
  readonly imageId: string
  readonly vmpl: number
  readonly platformInfo: bigint
  readonly signer: 'vcek' | 'vlek'
  readonly authorKeyEnabled: boolean
  readonly maskChipKey: boolean
  readonly reportData: string
  readonly measurement: string
  readonly hostData: string
  readonly idKeyDigest: string
  readonly authorKeyDigest: string
  readonly reportId: string
  readonly reportIdMa: string
  readonly chipId: Uint8Array
  /** Raw TCB versions, 8 bytes each: their layout depends on the product (`tcbOf`). */
  readonly tcb: { readonly current: Uint8Array; readonly reported: Uint8Array; readonly committed: Uint8Array; readonly launch: Uint8Array }
  readonly currentVersion: string
  readonly committedVersion: string
  readonly cpuid?: { readonly family: number; readonly model: number; readonly stepping: number }
  readonly launchMitigations: bigint
  readonly currentMitigations: bigint
  readonly signed: Uint8Array
  /** r‖s, big-endian, 96 bytes. */
  readonly signature: Uint8Array
}

/** Leaves with `evidence.parse`, `evidence.version`, `evidence.signer`, `evidence.reserved-bits` or `bytes.*`. */
export function parseReport(bytes: Uint8Array): SnpReport {
  if (bytes.length < REPORT_BYTES) refuse('bytes.truncated', 'report', `${REPORT_BYTES} bytes`, `${bytes.length} bytes`)
  if (bytes.length > REPORT_BYTES) refuse('bytes.trailing', 'report', `${REPORT_BYTES} bytes`, `${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const hex = (at: number, length: number) => toHex(bytes.subarray(at, at + length))
  const version = view.getUint32(0, true)
  if (version < 2 || version > 5) refuse('evidence.version', 'report.version', '2 to 5', String(version))
  if (view.getUint32(0x34, true) !== 1) refuse('evidence.parse', 'report.signature_algo', '1 (ECDSA P-384 with SHA-384)', String(view.getUint32(0x34, true)))
  checkReserved(bytes, version)
  const policy = view.getBigUint64(8, true)
  if ((policy & (1n << 17n)) === 0n || policy >> 26n !== 0n) refuse('evidence.reserved-bits', 'report.policy', 'bit 17 set, bits 26 and up clear', `0x${policy.toString(16)}`)
  const flags = view.getUint32(0x48, true)
  const key = (flags >> 2) & 7
  if (flags >>> 5 !== 0) refuse('evidence.reserved-bits', 'report.flags', 'bits 5 and up clear', `0x${flags.toString(16)}`)
  if (key > 1) refuse('evidence.signer', 'report.signing_key', 'VCEK or VLEK', key === 7 ? 'not signed' : String(key))
  return {
    version, guestSvn: view.getUint32(4, true), policy, familyId: hex(0x10, 16), imageId: hex(0x20, 16), vmpl: view.getUint32(0x30, true),
    platformInfo: view.getBigUint64(0x40, true), signer: key === 0 ? 'vcek' : 'vlek', authorKeyEnabled: (flags & 1) === 1, maskChipKey: (flags & 2) === 2,
    reportData: hex(0x50, 64), measurement: hex(0x90, 48), hostData: hex(0xc0, 32), idKeyDigest: hex(0xe0, 48), authorKeyDigest: hex(0x110, 48),
    reportId: hex(0x140, 32), reportIdMa: hex(0x160, 32), chipId: bytes.subarray(0x1a0, 0x1e0),
    tcb: { current: bytes.subarray(0x38, 0x40), reported: bytes.subarray(0x180, 0x188), committed: bytes.subarray(0x1e0, 0x1e8), launch: bytes.subarray(0x1f0, 0x1f8) },
    currentVersion: versionAt(bytes, 0x1e8), committedVersion: versionAt(bytes, 0x1ec),
    ...(version >= 3 ? { cpuid: { family: bytes[0x188] ?? 0, model: bytes[0x189] ?? 0, stepping: bytes[0x18a] ?? 0 } } : {}),
    launchMitigations: view.getBigUint64(0x1f8, true), currentMitigations: view.getBigUint64(0x200, true),
    signed: bytes.subarray(0, SIGNED_BYTES), signature: signatureAt(bytes),
  }
}

/** The components of a TCB version; Turin moved them and added `fmc`. */
export function tcbOf(product: SnpProduct, raw: Uint8Array): SnpTcb {
  const [a = 0, b = 0, c = 0, d = 0, , , e = 0, f = 0] = raw
  if (product === 'Turin') return { fmc: a, bl: b, tee: c, snp: d, ucode: f }
  return { bl: a, tee: b, snp: e, ucode: f }
}

/** The product that the report's CPUID names; absent before version 3 and for processors this table does not know. */
export function productOf(report: SnpReport): SnpProduct | undefined {
  const { family, model } = report.cpuid ?? { family: 0, model: 0 }
  if (family === 0x19 && model <= 0x0f) return 'Milan'
  if (family === 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf))) return 'Genoa'
  if (family === 0x1a && model <= 0x11) return 'Turin'
  return undefined
}

function checkReserved(bytes: Uint8Array, version: number): void {
  const ranges: [number, number][] = [
    [0x4c, 0x50], [version >= 3 ? 0x18b : 0x188, 0x1a0], [0x1eb, 0x1ec], [0x1ef, 0x1f0], [version >= 5 ? 0x208 : 0x1f8, SIGNED_BYTES],
    [SIGNED_BYTES + 48, SIGNED_BYTES + 72], [SIGNED_BYTES + 72 + 48, REPORT_BYTES],
  ]
  for (const [from, to] of ranges) if (!allZero(bytes.subarray(from, to))) refuse('evidence.reserved-bits', `0x${from.toString(16)}`, `zero up to 0x${to.toString(16)}`, 'another value')
}

const versionAt = (bytes: Uint8Array, at: number) => `${bytes[at + 2]}.${bytes[at + 1]}.${bytes[at]}`

function signatureAt(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(96)
  out.set(bytes.slice(SIGNED_BYTES, SIGNED_BYTES + 48).reverse())
  out.set(bytes.slice(SIGNED_BYTES + 72, SIGNED_BYTES + 120).reverse(), 48)
  return out
}
