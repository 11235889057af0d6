/**
 * PE images as UEFI boots them (Microsoft PE Format; UEFI 2.11 section 2.1.1): headers, sections as they stand in memory,
 * and the Authenticode hash, which is what firmware measures (Windows Authenticode Portable Executable Signature Format;
 * edk2 SecurityPkg/Tcg/Tcg2Dxe/MeasureBootPeCoff.c). Only images whose hash leaves no room for reading it in two ways:
 * sections in the file stand one after the other behind the headers, signatures at the end. Trusts nothing.
 */
import { allZero, concat, equal } from '../../bytes/bytes.ts'
import { Reader } from '../../bytes/reader.ts'
import { utf8 } from '../../bytes/text.ts'
import { refuse } from '../../refusal.ts'

export const PE_LIMITS = { bytes: 1 << 30, sections: 96, headers: 1 << 20, zeroFill: 1 << 24 }

export interface PeSection {
  readonly name: string
  /** What the loader puts into memory: data of the file, cut or filled with zeros to the size in memory. */
  readonly content: Uint8Array
}

export interface PeImage {
  readonly machine: 'x86-64' | 'arm64'
  readonly sections: readonly PeSection[]
  /** The pieces that the Authenticode hash is taken of, in order. */
  readonly hashed: readonly Uint8Array[]
  /** Does it carry a table of signatures? Whose, and whether they hold, is not looked at. */
  readonly signed: boolean
}

const MACHINES: ReadonlyMap<number, PeImage['machine']> = new Map([[0x8664, 'x86-64'], [0xaa64, 'arm64']])
const PE32_PLUS = 0x20b
const SECTION_HEADER = 40

/** The bytes that the Authenticode hash is the hash of. */
export const authenticodeBytes = (image: PeImage): Uint8Array => concat(...image.hashed)

/** A PE32+ image. Leaves with `evidence.parse`, `evidence.unsupported` or `bytes.*`. */
export function readPe(file: Uint8Array, at = 'image'): PeImage {
  if (file.length > PE_LIMITS.bytes) refuse('bytes.too-large', at, `at most ${PE_LIMITS.bytes} bytes`, `${file.length} bytes`)
  const headers = readHeaders(file, at)
  const sections = readSectionTable(file, headers, at)
  const signatures = readDirectory(file, headers, at)
  const end = endOfSections(sections, headers, file.length - signatures, at)
  checkMemory(sections, at)
  const { optional, directory, headerBytes } = headers
  const checksum = optional + 64
  const hashed = [file.subarray(0, checksum), ...(directory === undefined ? [file.subarray(checksum + 4, headerBytes)] : [file.subarray(checksum + 4, directory), file.subarray(directory + 8, headerBytes)]), file.subarray(headerBytes, end), file.subarray(end, file.length - signatures)]
  return { machine: headers.machine, sections: sections.map(one => ({ name: one.name, content: contentOf(file, one, at) })), hashed, signed: signatures > 0 }
}

interface Headers { readonly machine: PeImage['machine']; readonly count: number; readonly optional: number; readonly table: number; readonly headerBytes: number; readonly directory?: number }

function readHeaders(file: Uint8Array, at: string): Headers {
  const dos = new Reader(file, `${at}@`)
  if (!equal(dos.take(2), utf8('MZ'))) refuse('evidence.parse', at, 'a PE image (MZ)', 'another file')
  dos.take(0x3a)
  const start = dos.u32le()
  if (start < 0x40 || start > PE_LIMITS.headers) refuse('evidence.parse', `${at}.e_lfanew`, `0x40 to ${PE_LIMITS.headers}`, String(start))
  const reader = new Reader(file, `${at}@`)
  reader.take(start)
  if (!equal(reader.take(4), new Uint8Array([0x50, 0x45, 0, 0]))) refuse('evidence.parse', at, 'PE\\0\\0', 'another signature')
  const machine = reader.u16le()
  const count = reader.u16le()
  reader.take(12)
  const optionalBytes = reader.u16le()
  reader.take(2)
  if (count < 1 || count > PE_LIMITS.sections) refuse('evidence.parse', `${at}.sections`, `1 to ${PE_LIMITS.sections}`, String(count))
  const optional = reader.offset
  return { machine: MACHINES.get(machine) ?? refuse('evidence.unsupported', `${at}.machine`, 'x86-64 or arm64', `0x${machine.toString(16)}`), count, optional, table: optional + optionalBytes, ...readOptional(new Reader(reader.take(optionalBytes), `${at}.optionalHeader@`), optional, optional + optionalBytes + SECTION_HEADER * count, file.length, at) }
}

/** What the hash needs of the optional header: the size of all headers, and where the directory of signatures stands. */
function readOptional(reader: Reader, optional: number, tableEnd: number, fileBytes: number, at: string): { headerBytes: number; directory?: number } {
  const magic = reader.u16le()
  if (magic !== PE32_PLUS) refuse('evidence.unsupported', `${at}.magic`, 'PE32+ (0x20b)', `0x${magic.toString(16)}`)
  reader.take(58)
  const headerBytes = reader.u32le()
  if (headerBytes < tableEnd || headerBytes > fileBytes || headerBytes > PE_LIMITS.headers) refuse('evidence.parse', `${at}.sizeOfHeaders`, `${tableEnd} to ${Math.min(fileBytes, PE_LIMITS.headers)}`, String(headerBytes))
  reader.take(44)
  const directories = reader.u32le()
  if (directories > 16 || reader.left < 8 * directories) refuse('evidence.parse', `${at}.numberOfRvaAndSizes`, 'at most 16 directories, within the header', String(directories))
  return directories > 4 ? { headerBytes, directory: optional + 112 + 8 * 4 } : { headerBytes }
}

/** How many bytes of signatures stand at the end of the file. */
function readDirectory(file: Uint8Array, { directory, headerBytes }: Headers, at: string): number {
  if (directory === undefined) return 0
  const reader = new Reader(file.subarray(directory, directory + 8), `${at}.certificateTable@`)
  const [offset, size] = [reader.u32le(), reader.u32le()]
  if (offset === 0 && size === 0) return 0
  if (size === 0 || offset < headerBytes || offset + size !== file.length || offset % 8 !== 0) refuse('evidence.parse', `${at}.certificateTable`, 'signatures at the end of the file, at a multiple of 8', `${size} bytes at ${offset} of ${file.length}`)
  return size
}

interface Section { readonly name: string; readonly memoryBytes: number; readonly address: number; readonly fileBytes: number; readonly offset: number }

function readSectionTable(file: Uint8Array, { table, count }: Headers, at: string): Section[] {
  const reader = new Reader(file.subarray(table), `${at}.sections@`)
  return Array.from({ length: count }, (_, i) => {
    const name = sectionName(reader.take(8), `${at}.sections[${i}]`)
    const [memoryBytes, address, fileBytes, offset] = [reader.u32le(), reader.u32le(), reader.u32le(), reader.u32le()]
    reader.take(16)
    return { name, memoryBytes, address, fileBytes, offset }
  })
}

function sectionName(bytes: Uint8Array, at: string): string {
  const end = bytes.indexOf(0)
  const used = end < 0 ? bytes : bytes.subarray(0, end)
  if (!allZero(bytes.subarray(used.length)) || used.some(byte => byte < 0x21 || byte > 0x7e)) refuse('evidence.parse', at, 'a printable name, filled with NULs', 'other bytes')
  return String.fromCharCode(...used)
}

/** Where the last section ends in the file. Gaps and overlaps are refused: firmware counts bytes, signing tools follow offsets. */
function endOfSections(sections: readonly Section[], { headerBytes }: Headers, limit: number, at: string): number {
  const inFile = sections.filter(one => one.fileBytes > 0).toSorted((a, b) => a.offset - b.offset)
  let end = headerBytes
  for (const one of inFile) {
    if (one.offset !== end) refuse('evidence.unsupported', `${at}.${one.name}`, `data at ${end}, where the part before ends`, String(one.offset), 'write the image without gaps between its sections')
    end += one.fileBytes
  }
  if (end > limit) refuse('bytes.truncated', at, `${end} bytes before the signatures`, `${limit} bytes`)
  return end
}

function checkMemory(sections: readonly Section[], at: string): void {
  const inMemory = sections.filter(one => one.memoryBytes > 0).toSorted((a, b) => a.address - b.address)
  inMemory.forEach((one, i) => {
    const before = inMemory[i - 1]
    if (before !== undefined && before.address + before.memoryBytes > one.address) refuse('evidence.parse', `${at}.${one.name}`, 'memory of its own', `memory of ${before.name}`)
  })
}

function contentOf(file: Uint8Array, { name, offset, fileBytes, memoryBytes }: Section, at: string): Uint8Array {
  const data = file.subarray(offset, offset + Math.min(fileBytes, memoryBytes))
  if (memoryBytes - data.length > PE_LIMITS.zeroFill) refuse('bytes.too-large', `${at}.${name}`, `at most ${PE_LIMITS.zeroFill} bytes of zeros`, `${memoryBytes - data.length}`)
  return data.length === memoryBytes ? data : concat(data, new Uint8Array(memoryBytes - data.length))
}
