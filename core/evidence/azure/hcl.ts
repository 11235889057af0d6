/**
 * The report that the paravisor of an Azure confidential VM keeps in its vTPM (NV index 0x01400001): a header, the report
 * of the hardware, and runtime claims whose hash the hardware signed. The runtime claims name the attestation key of the
 * vTPM, and so bind every quote to the hardware. Little-endian; every unused byte must be zero. Trusts nothing.
 */
import { allZero, concat, equal } from '../../bytes/bytes.ts'
import { fromBase64Url } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import { isObject, kindOf, parseJsonObject, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { Reader } from '../../bytes/reader.ts'
import type { HashName, Primitives, PublicKey } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'

export const HCL_LIMITS = { bytes: 16 * 1024, claims: 12 * 1024, keys: 8 }
const HEADER_BYTES = 32
const REPORT_BYTES = 1184
export const TDREPORT_BYTES = 1024
const ATTESTATION_REQUEST = 2
const HASHES: Readonly<Record<number, HashName>> = { 1: 'sha256', 2: 'sha384', 3: 'sha512' }

export interface HclReport {
  readonly type: 'snp' | 'tdx'
  /** The SNP report (1184 bytes) or the TDREPORT (1024 bytes). */
  readonly hardware: Uint8Array
  /** The exact bytes that were hashed into the hardware's report data. */
  readonly claimsBytes: Uint8Array
  readonly hash: HashName
  /** What must stand in the hardware's report data, 64 bytes. */
  readonly reportData: Uint8Array
  readonly claims: RuntimeClaims
}

export interface RuntimeClaims {
  /** Names of the keys, in order. */
  readonly keyNames: readonly string[]
  /** The key that signs the vTPM's quotes. */
  readonly ak: PublicKey
  /** What Azure says about the VM: `secure-boot`, `vmUniqueId`, … Bound to the hardware, but told by the paravisor. */
  readonly vmConfiguration: JsonObject
  /** 64 bytes in hex that the guest asked to be bound; '' where the paravisor does not know them. */
  readonly userData: string
}

/** Leaves with `evidence.parse`, `evidence.version`, `evidence.reserved-bits`, `evidence.missing`, `json.*` or `bytes.*`. */
export function readHclReport(p: Primitives, bytes: Uint8Array, at = 'hclReport'): HclReport {
  if (bytes.length > HCL_LIMITS.bytes) refuse('bytes.too-large', at, `at most ${HCL_LIMITS.bytes} bytes`, `${bytes.length} bytes`)
  const reader = new Reader(bytes, `${at}@`)
  const declared = readHeader(new Reader(reader.take(HEADER_BYTES), `${at}@`), at)
  const slot = reader.take(REPORT_BYTES)
  const [size, version, kind, hashId, length] = [reader.u32le(), reader.u32le(), reader.u32le(), reader.u32le(), reader.u32le()]
  const hash = HASHES[hashId]
  if (version !== 1) refuse('evidence.version', `${at}.runtimeData.version`, '1', String(version))
  if (hash === undefined) return refuse('evidence.parse', `${at}.runtimeData.hash`, '1 to 3 (SHA-256, SHA-384, SHA-512)', String(hashId))
  if (length > HCL_LIMITS.claims || size !== length + 20 || declared !== HEADER_BYTES + REPORT_BYTES + size) refuse('evidence.parse', `${at}.runtimeData.size`, 'sizes that agree', `${declared}, ${size} and ${length}`)
  const claimsBytes = reader.take(length)
  if (!allZero(reader.rest())) refuse('bytes.trailing', at, 'zeros to the end of the index', 'other bytes')
  const digest = p.hash(hash, claimsBytes)
  return { ...hardwareOf(kind, slot, at), claimsBytes, hash, reportData: concat(digest, new Uint8Array(64 - digest.length)), claims: readClaims(claimsBytes, `${at}.runtimeClaims`) }
}

/** Signature "HCLA", version, report size, request type, status, three reserved words. Returns the report's size. */
function readHeader(reader: Reader, at: string): number {
  const [magic, version, size, request, status] = [toHex(reader.take(4)), reader.u32le(), reader.u32le(), reader.u32le(), reader.u32le()]
  if (magic !== '48434c41') refuse('evidence.parse', `${at}.signature`, 'HCLA', magic)
  if (version !== 1 && version !== 2) refuse('evidence.version', `${at}.version`, '1 or 2', String(version))
  if (request !== ATTESTATION_REQUEST || status !== 0) refuse('evidence.parse', `${at}.requestType`, 'an attestation without error', `request ${request}, status ${status}`)
  if (!allZero(reader.rest())) refuse('evidence.reserved-bits', `${at}.reserved`, 'zeros', 'other bytes')
  return size
}

function hardwareOf(kind: number, slot: Uint8Array, at: string): { type: HclReport['type']; hardware: Uint8Array } {
  if (kind === 2) return { type: 'snp', hardware: slot }
  if (kind !== 4) return refuse('evidence.kind', `${at}.runtimeData.reportType`, '2 (SNP) or 4 (TDX)', String(kind))
  if (!allZero(slot.subarray(TDREPORT_BYTES))) refuse('evidence.reserved-bits', `${at}.hardware`, 'zeros behind the TDREPORT', 'other bytes')
  return { type: 'tdx', hardware: slot.subarray(0, TDREPORT_BYTES) }
}

/** The hash of the runtime claims must stand in the report they came with; the report itself is judged by its own room. Leaves with `evidence.binding`. */
export function checkRuntimeClaims(p: Primitives, hcl: HclReport): void {
  const reportData = hcl.type === 'snp' ? hcl.hardware.subarray(0x50, 0x90) : readTdReport(p, hcl.hardware).reportData
  if (!equal(reportData, hcl.reportData)) refuse('evidence.binding', 'hclReport.runtimeClaims', `claims with the ${hcl.hash} that the hardware report carries`, toHex(hcl.reportData), 'the claims or the report were exchanged: take the HCL report again from the machine')
}

const AK = 'HCLAkPub'

function readClaims(bytes: Uint8Array, at: string): RuntimeClaims {
  const json = parseJsonObject(bytes, { bytes: HCL_LIMITS.claims, depth: 8, entries: 512, string: 4096 })
  const keys = json['keys']
  const configuration = json['vm-configuration']
  const userData = json['user-data'] ?? ''
  if (!Array.isArray(keys) || keys.length > HCL_LIMITS.keys) return refuse('evidence.parse', `${at}.keys`, `at most ${HCL_LIMITS.keys} keys`, kindOf(keys))
  if (!isObject(configuration)) return refuse('evidence.parse', `${at}.vm-configuration`, 'an object', kindOf(configuration))
  if (typeof userData !== 'string' || !/^(?:[0-9a-fA-F]{128})?$/.test(userData)) return refuse('evidence.parse', `${at}.user-data`, '64 bytes in hex', kindOf(userData))
  const names = keys.map((key: Json, i) => (isObject(key) && typeof key['kid'] === 'string' ? key['kid'] : refuse('evidence.parse', `${at}.keys[${i}].kid`, 'a name', 'none')))
  if (new Set(names).size !== names.length) refuse('evidence.parse', `${at}.keys`, 'each key once', names.join(', '))
  const ak = keys[names.indexOf(AK)]
  return { keyNames: names, ak: isObject(ak) ? jwkRsa(ak, `${at}.keys.${AK}`) : refuse('evidence.missing', `${at}.keys`, AK, names.join(', ')), vmConfiguration: configuration, userData: userData.toLowerCase() }
}

/** RFC 7517 and 7518 section 6.3.1, public part. `key_ops` says `encrypt` for signing keys in older paravisors, so it decides nothing. */
function jwkRsa(jwk: JsonObject, at: string): PublicKey {
  const [kty, n, e] = [jwk['kty'], jwk['n'], jwk['e']]
  if (kty !== 'RSA' || typeof n !== 'string' || typeof e !== 'string') return refuse('crypto.key', at, 'an RSA key', shown(kty))
  const [modulus, exponent] = [fromBase64Url(n, `${at}.n`), fromBase64Url(e, `${at}.e`)]
  if ((modulus[0] ?? 0) < 0x80 || (exponent[0] ?? 0) === 0) refuse('crypto.key', at, 'a modulus that fills its bytes and an exponent without padding', `${modulus.length} and ${exponent.length} bytes`)
  return { kind: 'rsa', n: modulus, e: exponent }
}

/** The parts of a TDREPORT (Intel TDX Module ABI, TDREPORT_STRUCT) that the quote must repeat. */
export type TdField = 'mrTd' | 'mrConfigId' | 'rtmr0' | 'rtmr1' | 'rtmr2' | 'rtmr3'
export interface TdReport { readonly reportData: Uint8Array; readonly fields: Readonly<Record<TdField, string>> }

/**
 * Everything but CPUSVN and the MAC, which only the machine itself can check, is bound: by the report's own hashes, by the
 * comparison with the quote, or by being zero. Leaves with `evidence.parse`, `evidence.reserved-bits` or `evidence.binding`.
 */
export function readTdReport(p: Primitives, bytes: Uint8Array, at = 'hclReport.tdReport'): TdReport {
  const [type, subtype, version, reserved] = bytes
  if (bytes.length !== TDREPORT_BYTES || type !== 0x81) refuse('evidence.parse', at, `${TDREPORT_BYTES} bytes of type 81`, `${bytes.length} bytes of type ${type?.toString(16)}`)
  const part = (from: number, length: number) => bytes.subarray(from, from + length)
  if (subtype !== 0 || (version !== 0 && version !== 1) || reserved !== 0 || !allZero(part(4, 12)) || !allZero(part(192, 32)) || !allZero(part(495, 17))) refuse('evidence.reserved-bits', at, 'a TD report of version 0 or 1 with zeros where nothing stands', `subtype ${subtype}, version ${version}`)
  if (!equal(part(32, 48), p.hash('sha384', part(256, 239))) || !equal(part(80, 48), p.hash('sha384', part(512, 512)))) refuse('evidence.binding', at, 'hashes of its own TCB and TD information', 'others')
  const hex = (from: number) => toHex(part(from, 48))
  return { reportData: part(128, 64), fields: { mrTd: hex(528), mrConfigId: hex(576), rtmr0: hex(720), rtmr1: hex(768), rtmr2: hex(816), rtmr3: hex(864) } }
}
