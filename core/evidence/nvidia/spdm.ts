/**
 * The attestation report of an NVIDIA GPU or NVSwitch: an SPDM 1.1 GET_MEASUREMENTS request and the MEASUREMENTS response
 * to it (DMTF DSP0274 sections 10.11.1 and 10.11.2), signed together by the device, and NVIDIA's opaque fields inside
 * the response. Every length is accounted for; every reserved byte is what the genuine ones have. Trusts nothing.
 */
import { allZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { refuse } from '../../refusal.ts'

/** The opaque fields that have a meaning here; others are kept, signed and unread. */
export const OPAQUE = {
  driverVersion: 3, gpuInfo: 4, vbiosVersion: 6, nvdec0Status: 11, measurementCounts: 12, cprInfo: 13, boardId: 14, chipSku: 15, chipSkuMod: 16, project: 17, projectSku: 18,
  projectSkuMod: 19, fwid: 20, ppcieStatus: 21, switchPdi: 22, floorsweptPorts: 23, positionId: 24, lockStatus: 25, gpuPdis: 26, sysEnableStatus: 33, dataVersion: 34, featureFlag: 36,
} as const

export interface Measurement { readonly index: number; readonly type: number; readonly value: Uint8Array }
export interface NvidiaReport {
  /** SPDM version of request and response: 0x11. */
  readonly version: number
  /** The 32 bytes that the verifier asked with, hex. */
  readonly nonce: string
  /** In ascending order of index, from 1, without a gap. */
  readonly measurements: readonly Measurement[]
  readonly opaque: ReadonlyMap<number, Uint8Array>
  readonly signed: Uint8Array
  /** r‖s, 96 bytes. */
  readonly signature: Uint8Array
}

const LIMITS = { report: 64 * 1024, opaqueFields: 64 }
const SPDM_1_1 = 0x11
const GET_MEASUREMENTS = 0xe0
const MEASUREMENTS = 0x60
const NONCE_BYTES = 32
const DIGEST_BYTES = 48
const SIGNATURE_BYTES = 96
const BLOCK_BYTES = 3 + DIGEST_BYTES // type, size, value
const DMTF = 1
/** ROM, mutable firmware, hardware configuration, firmware configuration: as digests (bit 7 clear). */
const TYPES = 3

/** Leaves with `evidence.version`, `evidence.parse`, `evidence.reserved-bits` or `bytes.*`. */
export function parseNvidiaReport(bytes: Uint8Array): NvidiaReport {
  if (bytes.length > LIMITS.report) refuse('bytes.too-large', 'report', `at most ${LIMITS.report} bytes`, `${bytes.length} bytes`)
  const reader = new Reader(bytes, 'report@')
  const { nonce, slot } = readRequest(reader)
  const count = readResponseHead(reader, slot)
  const measurements = readRecord(reader.take(reader.u24le()), count)
  reader.take(NONCE_BYTES) // the device's own; signed, and nothing to compare it with
  const opaque = readOpaque(reader.take(reader.u16le()))
  const signed = bytes.subarray(0, reader.offset)
  const signature = reader.take(SIGNATURE_BYTES)
  reader.end()
  return { version: SPDM_1_1, nonce, measurements, opaque, signed, signature }
}

function readRequest(reader: Reader): { nonce: string; slot: number } {
  expect(reader.u8(), SPDM_1_1, 'request.version', 'evidence.version')
  expect(reader.u8(), GET_MEASUREMENTS, 'request.code')
  expect(reader.u8(), 1, 'request.attributes') // a signature is asked for
  expect(reader.u8(), 0xff, 'request.operation') // all measurements
  const nonce = toHex(reader.take(NONCE_BYTES))
  const slot = reader.u8()
  if (slot > 7) refuse('evidence.reserved-bits', 'report.request.slot', '0 to 7', String(slot))
  return { nonce, slot }
}

function readResponseHead(reader: Reader, slot: number): number {
  expect(reader.u8(), SPDM_1_1, 'response.version', 'evidence.version')
  expect(reader.u8(), MEASUREMENTS, 'response.code')
  expect(reader.u8(), 0, 'response.param1', 'evidence.reserved-bits')
  expect(reader.u8(), slot, 'response.slot')
  return reader.u8()
}

function readRecord(record: Uint8Array, count: number): Measurement[] {
  const reader = new Reader(record, 'report.measurements@')
  const out: Measurement[] = []
  while (out.length < count) {
    const at = `measurements[${out.length + 1}]`
    const index = expect(reader.u8(), out.length + 1, `${at}.index`)
    expect(reader.u8(), DMTF, `${at}.specification`)
    expect(reader.u16le(), BLOCK_BYTES, `${at}.size`)
    const type = reader.u8()
    if (type > TYPES) refuse('evidence.parse', `report.${at}.type`, 'a digest of type 0 to 3', String(type))
    expect(reader.u16le(), DIGEST_BYTES, `${at}.valueSize`)
    out.push({ index, type, value: reader.take(DIGEST_BYTES) })
  }
  if (out.length === 0) refuse('evidence.parse', 'report.measurements', 'at least one', 'none')
  reader.end()
  return out
}

function readOpaque(data: Uint8Array): Map<number, Uint8Array> {
  const reader = new Reader(data, 'report.opaque@')
  const out = new Map<number, Uint8Array>()
  while (reader.left > 0) {
    const type = reader.u16le()
    if (out.has(type)) refuse('evidence.parse', `report.opaque[${type}]`, 'each field once', 'twice')
    if (out.size >= LIMITS.opaqueFields) refuse('bytes.too-large', 'report.opaque', `at most ${LIMITS.opaqueFields} fields`, 'more')
    out.set(type, reader.take(reader.u16le()))
  }
  return out
}

function expect(got: number, wanted: number, at: string, code: 'evidence.parse' | 'evidence.version' | 'evidence.reserved-bits' = 'evidence.parse'): number {
  return got === wanted ? got : refuse(code, `report.${at}`, String(wanted), String(got))
}

/** The bytes of an opaque field that must be there, of `size` bytes where it is given. Leaves with `evidence.parse`. */
export function opaqueField(report: NvidiaReport, name: keyof typeof OPAQUE, size?: number): Uint8Array {
  const value = report.opaque.get(OPAQUE[name])
  if (value === undefined || (size !== undefined && value.length !== size)) return refuse('evidence.parse', `report.opaque.${name}`, size === undefined ? 'a value' : `${size} bytes`, value === undefined ? 'nothing' : `${value.length} bytes`)
  return value
}

/** A printable text with zeros behind it, or '' when the field is not there. */
export function opaqueText(report: NvidiaReport, name: keyof typeof OPAQUE): string {
  const value = report.opaque.get(OPAQUE[name]) ?? new Uint8Array(0)
  const end = value.indexOf(0)
  const text = end < 0 ? value : value.subarray(0, end)
  if (!allZero(value.subarray(text.length)) || text.some(byte => byte < 0x20 || byte > 0x7e)) refuse('evidence.parse', `report.opaque.${name}`, 'a printable text with zeros behind it', toHex(value))
  return String.fromCharCode(...text)
}

/** The version of a GPU's VBIOS as its reference manifest writes it: bytes 00 9f 00 96 01 are 96.00.9F.00.01. */
export function vbiosVersion(field: Uint8Array): string {
  if (field.length !== 8 || !allZero(field.subarray(5))) refuse('evidence.parse', 'report.opaque.vbiosVersion', 'five bytes and three zeros', toHex(field))
  return [...field.slice(0, 4).reverse(), field[4] ?? 0].map(byte => byte.toString(16).toUpperCase().padStart(2, '0')).join('.')
}
