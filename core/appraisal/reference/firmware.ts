/**
 * What a virtual machine's firmware (OVMF, TDVF, an SVSM) says about its own launch: the table of GUIDs that ends 32 bytes
 * before its last byte (edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm). SEV and TDX find their metadata through it.
 * Trusts nothing: firmware is a file that somebody hands in, and every length in it is bounded.
 */
import { Reader } from '../../bytes/reader.ts'
import { toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'

export const FIRMWARE_LIMITS = { bytes: 64 << 20, entries: 32, sections: 64, pages: 1 << 16 }
export const PAGE = 4096
/** Firmware is mapped so that it ends here. */
export const FOUR_GIB = 0x1_0000_0000

const HEADER = 18 // length (2 bytes, of the whole entry) and GUID (16 bytes), behind the data
const AFTER_TABLE = 32
const FOOTER = '96b582de-1fb2-45f7-baea-a366c55a082d'

/** The entries of the table, by GUID. Leaves with `evidence.parse` or `bytes.*`. */
export function readFirmwareTable(firmware: Uint8Array, at = 'firmware'): ReadonlyMap<string, Uint8Array> {
  if (firmware.length > FIRMWARE_LIMITS.bytes) refuse('bytes.too-large', at, `at most ${FIRMWARE_LIMITS.bytes} bytes`, `${firmware.length} bytes`)
  if (firmware.length === 0 || firmware.length % PAGE !== 0) refuse('evidence.parse', at, 'whole pages of 4096 bytes', `${firmware.length} bytes`)
  const end = firmware.length - AFTER_TABLE
  const footer = entryBefore(firmware, 0, end, `${at}.table`)
  if (footer.guid !== FOOTER) refuse('evidence.parse', `${at}.table`, `the table of OVMF (${FOOTER})`, footer.guid, 'measure an OVMF image, not another BIOS or a variable store')
  return tableEntries(firmware, end - footer.length, end - HEADER, `${at}.table`)
}

function tableEntries(firmware: Uint8Array, start: number, end: number, at: string): ReadonlyMap<string, Uint8Array> {
  const entries = new Map<string, Uint8Array>()
  for (let behind = end; behind > start;) {
    const { guid, length } = entryBefore(firmware, start, behind, at)
    if (entries.has(guid)) refuse('evidence.parse', at, 'each GUID once', guid)
    if (entries.size >= FIRMWARE_LIMITS.entries) refuse('bytes.too-large', at, `at most ${FIRMWARE_LIMITS.entries} entries`, 'more')
    entries.set(guid, firmware.subarray(behind - length, behind - HEADER))
    behind -= length
  }
  return entries
}

/** The entry whose last byte stands before `behind`; it may not begin before `start`. */
function entryBefore(firmware: Uint8Array, start: number, behind: number, at: string): { guid: string; length: number } {
  const left = behind - start
  if (left < HEADER) refuse('bytes.truncated', at, `${HEADER} bytes`, `${left} bytes`)
  const reader = new Reader(firmware.subarray(behind - HEADER, behind), at)
  const length = reader.u16le()
  if (length < HEADER || length > left) refuse('evidence.parse', at, `an entry of ${HEADER} to ${left} bytes`, String(length))
  return { length, guid: guidText(reader.take(16)) }
}

/** What stands `offset` bytes before the end of firmware, where an entry of the table points. */
export function fromEnd(firmware: Uint8Array, entry: Uint8Array, at: string): Uint8Array {
  const reader = new Reader(entry, at)
  const offset = reader.u32le()
  reader.end()
  if (offset > firmware.length || offset < AFTER_TABLE) refuse('evidence.parse', at, `an offset of ${AFTER_TABLE} to ${firmware.length} bytes from the end`, String(offset))
  return firmware.subarray(firmware.length - offset)
}

/** A GUID in its usual spelling: the first three groups are little-endian in memory. */
export function guidText(bytes: Uint8Array): string {
  const part = (...places: readonly number[]) => toHex(new Uint8Array(places.map(place => bytes[place] ?? 0)))
  return [part(3, 2, 1, 0), part(5, 4), part(7, 6), part(8, 9), part(10, 11, 12, 13, 14, 15)].join('-')
}

/** The bytes of a GUID as they stand in memory; for constants of our own. */
export function guidBytes(text: string): Uint8Array {
  const [a = '', b = '', c = '', ...rest] = text.split('-')
  const bytes = (hex: string) => Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16))
  return new Uint8Array([...bytes(a).reverse(), ...bytes(b).reverse(), ...bytes(c).reverse(), ...bytes(rest.join(''))])
}

/** Little-endian, `bytes` long (at most 8). */
export function little(value: number | bigint, bytes: number): Uint8Array {
  const big = BigInt(value)
  return new Uint8Array(Array.from({ length: bytes }, (_, i) => Number((big >> BigInt(8 * i)) & 0xffn)))
}

export interface Range { readonly address: number; readonly size: number }

/** Whole pages that stand apart from each other, few enough to be measured. Empty ranges are allowed. Leaves with `evidence.parse`. */
export function checkPages(ranges: readonly Range[], at: string): void {
  ranges.forEach((one, i) => {
    if (one.address % PAGE !== 0 || one.size % PAGE !== 0) refuse('evidence.parse', `${at}[${i}]`, 'whole pages', `${hexNumber(one.size)} bytes at ${hexNumber(one.address)}`)
  })
  const pages = ranges.reduce((sum, one) => sum + one.size / PAGE, 0)
  if (pages > FIRMWARE_LIMITS.pages) refuse('bytes.too-large', at, `at most ${FIRMWARE_LIMITS.pages} pages`, String(pages))
  const sorted = ranges.filter(one => one.size > 0).toSorted((a, b) => a.address - b.address)
  sorted.forEach((one, i) => {
    const before = sorted[i - 1]
    if (before !== undefined && before.address + before.size > one.address) refuse('evidence.parse', at, 'sections that stand apart', `${hexNumber(before.address)} and ${hexNumber(one.address)}`)
  })
}

export const hexNumber = (value: number): string => `0x${value.toString(16)}`
