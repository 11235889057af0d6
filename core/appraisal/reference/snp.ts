/**
 * The launch digest of a SEV-SNP guest before it is launched (SEV Secure Nested Paging Firmware ABI Specification 1.57,
 * section 8.17.2: PAGE_INFO), as QEMU/KVM, EC2 and GCE launch it: firmware, the sections that its metadata names (edk2
 * OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm), hashes of kernel, initrd and command line, one VMSA for each virtual CPU.
 * Trusts the port for hashing. A digest says what would be measured; whether it was, only a signed report says.
 */
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { utf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../../refusal.ts'
import { checkPages, FIRMWARE_LIMITS, FOUR_GIB, fromEnd, guidBytes, hexNumber, little, PAGE, readFirmwareTable, type Range } from './firmware.ts'

/** Who launches: each fills memory and the first registers in its own way. */
export const SNP_HOSTS = ['qemu', 'ec2', 'gce'] as const
export type SnpHost = typeof SNP_HOSTS[number]

export const SNP_SECTIONS = { memory: 1, secrets: 2, cpuid: 3, caa: 4, kernelHashes: 0x10 } as const
export type SnpSectionKind = keyof typeof SNP_SECTIONS
export interface SnpSection extends Range { readonly kind: SnpSectionKind }

/** What the launch digest needs of a firmware image; small enough to be published with it. */
export interface SnpFirmware {
  /** Hex, 48 bytes: the launch digest after the image itself (`--mode snp:ovmf-hash` of sev-snp-measure). */
  readonly digest: string
  readonly sections: readonly SnpSection[]
  /** Where the hashes of kernel, initrd and command line are put; absent where firmware takes none. */
  readonly hashTable?: number
  /** Where further virtual CPUs begin; absent where firmware does not say. */
  readonly resetEip?: number
}

/** SHA-256 of what is booted directly, hex. */
export interface KernelHashes { readonly kernel: string; readonly initrd: string; readonly cmdline: string }

export interface SnpLaunch {
  readonly firmware: SnpFirmware
  readonly kernel?: KernelHashes
  readonly vcpus: number
  /** What each virtual CPU finds in EDX: QEMU puts CPUID Fn0000_0001_EAX there, `cpuSignature('EPYC-v4')`; EC2 and GCE 0x600, which is taken where nothing is said (older EC2 machines: 0). */
  readonly vcpuSignature?: number
  /** SEV_FEATURES of the VMSAs: 1 is SNP alone. */
  readonly guestFeatures: number
  readonly host: SnpHost
}

export const SNP_LIMITS = { vcpus: 4096 }

/**
 * The launch digest (MEASUREMENT of a report), hex, 48 bytes. Refuses with `evidence.unsupported` what firmware cannot do
 * (a kernel without a place for its hashes, further CPUs without a reset vector), and `evidence.parse` on numbers out of range.
 *
 * @example
 * snpLaunchDigest(p, { firmware, vcpus: 2, vcpuSignature: cpuSignature('EPYC-v4'), guestFeatures: 1, host: 'qemu' })
 */
export function snpLaunchDigest(p: Primitives, launch: SnpLaunch): Result<string> {
  return attempt(() => {
    checkLaunch(launch)
    const pages = [...metadataPages(p, launch), ...vmsaPages(p, launch)]
    return toHex(extendAll(p, digestBytes(launch.firmware.digest, 48, 'firmware.digest'), pages))
  })
}

/** What the launch digest needs of an OVMF image. Refuses with `evidence.parse`, `evidence.version`, `evidence.unsupported` or `bytes.*`. */
export function readSnpFirmware(p: Primitives, image: Uint8Array): Result<SnpFirmware> {
  return attempt(() => {
    const table = readFirmwareTable(image)
    const metadata = table.get(METADATA) ?? refuse('evidence.unsupported', 'firmware.metadata', 'metadata for SEV', 'none', 'use OVMF built for SEV-SNP (Debian: ovmf-amdsev)')
    const sections = readMetadata(fromEnd(image, metadata, 'firmware.metadata'))
    const hashTable = addressOf(table.get(HASH_TABLE), 8, 'firmware.hashTable')
    const resetEip = addressOf(table.get(RESET_BLOCK), 4, 'firmware.resetEip')
    const digest = toHex(extendAll(p, new Uint8Array(48), pagesOf(p, image, FOUR_GIB - image.length)))
    return { digest, sections, ...(hashTable === undefined || hashTable === 0 ? {} : { hashTable }), ...(resetEip === undefined ? {} : { resetEip }) }
  })
}

/**
 * SHA-256 of kernel, initrd and command line as QEMU hands them over (`kernel-hashes=on`): no initrd is the empty one, and
 * the command line ends in a NUL.
 */
export function kernelHashes(p: Primitives, kernel: Uint8Array, initrd: Uint8Array = new Uint8Array(), cmdline = ''): KernelHashes {
  const hash = (bytes: Uint8Array) => toHex(p.hash('sha256', bytes))
  return { kernel: hash(kernel), initrd: hash(initrd), cmdline: hash(utf8(`${cmdline}\0`)) }
}

/** Family, model and stepping of the virtual CPUs that QEMU names (target/i386/cpu.c). */
const CPUS: Readonly<Record<string, readonly [number, number, number]>> = {
  'EPYC': [23, 1, 2], 'EPYC-v1': [23, 1, 2], 'EPYC-v2': [23, 1, 2], 'EPYC-v3': [23, 1, 2], 'EPYC-v4': [23, 1, 2], 'EPYC-IBPB': [23, 1, 2],
  'EPYC-Rome': [23, 49, 0], 'EPYC-Rome-v1': [23, 49, 0], 'EPYC-Rome-v2': [23, 49, 0], 'EPYC-Rome-v3': [23, 49, 0],
  'EPYC-Milan': [25, 1, 1], 'EPYC-Milan-v1': [25, 1, 1], 'EPYC-Milan-v2': [25, 1, 1],
  'EPYC-Genoa': [25, 17, 0], 'EPYC-Genoa-v1': [25, 17, 0], 'EPYC-Turin': [26, 0, 0],
}
export const SNP_CPUS: readonly string[] = Object.keys(CPUS)

/** The signature of a virtual CPU by QEMU's name. Leaves with `evidence.unsupported`. */
export function cpuSignature(name: string): number {
  const known = Object.hasOwn(CPUS, name) ? CPUS[name] : undefined
  return known === undefined ? refuse('evidence.unsupported', 'vcpuType', SNP_CPUS.join(', '), name) : signatureOf(...known)
}

/** CPUID Fn0000_0001_EAX (AMD CPUID Specification 25481). */
export function signatureOf(family: number, model: number, stepping: number): number {
  const [low, high] = family > 15 ? [15, family - 15] : [family, 0]
  return high * 2 ** 20 + ((model >> 4) & 15) * 2 ** 16 + low * 2 ** 8 + (model & 15) * 16 + (stepping & 15)
}

const METADATA = 'dc886566-984a-4798-a75e-5585a7bf67cc'
const HASH_TABLE = '7255371f-3a3b-4b04-927b-1da6efa8d454'
const RESET_BLOCK = '00f771de-1a7e-4fcb-890e-68c77e2fb44e'
const KINDS: ReadonlyMap<number, SnpSectionKind> = new Map(Object.entries(SNP_SECTIONS).map(([kind, type]) => [type, kind as SnpSectionKind])) // entries forget the type of their keys

function readMetadata(bytes: Uint8Array): SnpSection[] {
  const at = 'firmware.metadata'
  const header = new Reader(bytes, `${at}@`)
  const signature = toHex(header.take(4))
  const [size, version, count] = [header.u32le(), header.u32le(), header.u32le()]
  if (signature !== toHex(utf8('ASEV'))) refuse('evidence.parse', at, 'ASEV', signature)
  if (version !== 1) refuse('evidence.version', at, 'version 1', String(version))
  if (count > FIRMWARE_LIMITS.sections || size !== 16 + 12 * count) refuse('evidence.parse', at, `${16 + 12 * count} bytes for at most ${FIRMWARE_LIMITS.sections} sections`, `${size} bytes for ${count}`)
  return Array.from({ length: count }, (_, i) => readSection(header, `${at}[${i}]`))
}

function readSection(reader: Reader, at: string): SnpSection {
  const [address, size, type] = [reader.u32le(), reader.u32le(), reader.u32le()]
  const kind = KINDS.get(type) ?? refuse('evidence.unsupported', at, [...KINDS.keys()].map(hexNumber).join(', '), hexNumber(type))
  return { kind, address, size }
}

/** An address, alone or before a size; undefined where the table has no such entry. */
function addressOf(entry: Uint8Array | undefined, bytes: number, at: string): number | undefined {
  if (entry === undefined) return undefined
  const reader = new Reader(entry, at)
  const address = reader.u32le()
  reader.take(bytes - 4)
  reader.end()
  return address
}

function checkLaunch({ firmware, kernel, vcpus, vcpuSignature, guestFeatures, host }: SnpLaunch): void {
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > SNP_LIMITS.vcpus) refuse('evidence.parse', 'vcpus', `1 to ${SNP_LIMITS.vcpus}`, String(vcpus))
  if (!isWord(guestFeatures) || guestFeatures % 2 !== 1) refuse('evidence.parse', 'guestFeatures', 'a number of 32 bits with bit 0 (SNP) set', String(guestFeatures))
  if (!isWord(vcpuSignature ?? (host === 'qemu' ? -1 : 0x600))) refuse('evidence.parse', 'vcpuSignature', 'the signature of the virtual CPU', String(vcpuSignature))
  if (vcpus > 1 && firmware.resetEip === undefined) refuse('evidence.unsupported', 'vcpus', 'one: firmware names no reset vector for others', String(vcpus))
  checkSections(firmware.sections)
  const place = firmware.sections.find(one => one.kind === 'kernelHashes')
  if (kernel !== undefined && (place === undefined || firmware.hashTable === undefined)) refuse('evidence.unsupported', 'kernel', 'firmware with a place for hashes of a kernel', 'none', 'use OVMF built for measured direct boot (Debian: ovmf-amdsev), or boot from a disk')
  if (kernel !== undefined && place !== undefined && Math.floor((firmware.hashTable ?? 0) / PAGE) !== place.address / PAGE) refuse('evidence.parse', 'firmware.hashTable', `an address in the page ${hexNumber(place.address)}`, hexNumber(firmware.hashTable ?? 0))
}

const isWord = (value: number) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff

/** Secrets, CPUID and hashes are one page each, and there is one of each at most. */
function checkSections(sections: readonly SnpSection[]): void {
  if (sections.length > FIRMWARE_LIMITS.sections) refuse('bytes.too-large', 'firmware.sections', `at most ${FIRMWARE_LIMITS.sections}`, String(sections.length))
  checkPages(sections, 'firmware.sections')
  for (const kind of ['secrets', 'cpuid', 'kernelHashes'] as const) {
    const found = sections.filter(one => one.kind === kind)
    if (found.length > 1 || found.some(one => one.size !== PAGE)) refuse('evidence.parse', `firmware.sections.${kind}`, 'one page', found.map(one => hexNumber(one.size)).join(', '))
  }
}

const TYPES = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const
interface Page { readonly type: keyof typeof TYPES; readonly address: number; readonly contents: Uint8Array }

/** PAGE_INFO: digest so far, digest of the page, its length 0x70, type, no migration image, no VMPL permissions, address. */
function extendAll(p: Primitives, start: Uint8Array, pages: readonly Page[]): Uint8Array {
  return pages.reduce((digest, page) => p.hash('sha384', concat(digest, page.contents, new Uint8Array([0x70, 0, TYPES[page.type], 0, 0, 0, 0, 0]), little(page.address, 8))), start)
}

const NOTHING = new Uint8Array(48)
const pagesOf = (p: Primitives, data: Uint8Array, address: number): Page[] =>
  Array.from({ length: data.length / PAGE }, (_, i) => ({ type: 'normal', address: address + i * PAGE, contents: p.hash('sha384', data.subarray(i * PAGE, (i + 1) * PAGE)) }))
const emptyPages = (type: Page['type'], { address, size }: Range): Page[] => Array.from({ length: size / PAGE }, (_, i) => ({ type, address: address + i * PAGE, contents: NOTHING }))

/** Sections in the order of the metadata; EC2 leaves the CPUID page for the end, GCE does not measure memory that it clears. */
function metadataPages(p: Primitives, { firmware, kernel, host }: SnpLaunch): Page[] {
  const late = host === 'ec2' ? firmware.sections.filter(one => one.kind === 'cpuid') : []
  const ordered = [...firmware.sections.filter(one => !late.includes(one)), ...late]
  return ordered.flatMap(one => {
    if (one.kind === 'secrets' || one.kind === 'cpuid') return emptyPages(one.kind, one)
    if (one.kind === 'kernelHashes' && kernel !== undefined) return pagesOf(p, hashesPage(kernel, (firmware.hashTable ?? 0) % PAGE), one.address)
    return emptyPages(host === 'gce' && one.kind === 'memory' ? 'unmeasured' : 'zero', one)
  })
}

/** The table of hashes as QEMU writes it (target/i386/sev.c), padded to 16 bytes, in a page of zeros. */
function hashesPage(hashes: KernelHashes, offset: number): Uint8Array {
  const entry = (guid: string, hex: string, at: string) => concat(guidBytes(guid), little(50, 2), digestBytes(hex, 32, at))
  const entries = concat(entry('97d02dd8-bd20-4c94-aa78-e7714d36ab2a', hashes.cmdline, 'kernel.cmdline'), entry('44baf731-3a2f-4bd7-9af1-41e29169781d', hashes.initrd, 'kernel.initrd'), entry('4de79437-abd2-427f-b835-d5b172d2045b', hashes.kernel, 'kernel.kernel'))
  const table = concat(guidBytes('9438d606-4f22-4cc9-b479-a793d411fd21'), little(18 + entries.length, 2), entries)
  if (offset + TABLE_BYTES > PAGE) refuse('evidence.parse', 'firmware.hashTable', 'a table within its page', hexNumber(offset))
  const page = new Uint8Array(PAGE)
  page.set(table, offset)
  return page
}
const TABLE_BYTES = 176

function digestBytes(hex: string, bytes: number, at: string): Uint8Array {
  if (!new RegExp(`^[0-9a-f]{${2 * bytes}}$`).test(hex)) refuse('evidence.parse', at, `${bytes} bytes in lower-case hexadecimal`, hex)
  return new Uint8Array(Array.from({ length: bytes }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)))
}

/** The RMP keeps a VMSA under an address of all ones, of which 52 bits and whole pages remain. */
const VMSA_ADDRESS = 0xffff_ffff_f000
const FIRST_EIP = 0xffff_fff0

function vmsaPages(p: Primitives, launch: SnpLaunch): Page[] {
  const page = (eip: number): Page => ({ type: 'vmsa', address: VMSA_ADDRESS, contents: p.hash('sha384', vmsa(launch, eip)) })
  const [first, other] = [page(FIRST_EIP), page(launch.firmware.resetEip ?? 0)]
  return Array.from({ length: launch.vcpus }, (_, i) => (i === 0 ? first : other))
}

/**
 * The save area of a virtual CPU (AMD64 Architecture Programmer's Manual 2, table B-4): registers at reset, with what KVM
 * adds (EFER.SVME, CR4.MCE). Offset, width, value; everything else is zero.
 */
function vmsa({ host, vcpuSignature = 0x600, guestFeatures }: SnpLaunch, eip: number): Uint8Array {
  const says = HOSTS[host]
  const cs = host === 'ec2' && eip === FIRST_EIP ? 0x9a : 0x9b
  const page = new Uint8Array(PAGE)
  const put = (offset: number, width: number, value: number | bigint) => page.set(little(value, width), offset)
  const segment = (offset: number, attributes: number, selector = 0, base = 0) => { put(offset, 2, selector); put(offset + 2, 2, attributes); put(offset + 4, 4, 0xffff); put(offset + 8, 8, base) }
  const SEGMENTS = [[0x00, 0x93], [0x20, says.ss], [0x30, 0x93], [0x40, 0x93], [0x50, 0x93], [0x60, 0], [0x70, 0x82], [0x80, 0], [0x90, says.tr]] as const // es ss ds fs gs gdtr ldtr idtr tr
  for (const [offset, attributes] of SEGMENTS) segment(offset, attributes)
  segment(0x10, cs, 0xf000, eip - (eip % 0x10000))
  put(0xd0, 8, 0x1000) // efer
  put(0x148, 8, 0x40) // cr4
  put(0x158, 8, 0x10) // cr0
  put(0x160, 8, 0x400) // dr7
  put(0x168, 8, 0xffff0ff0) // dr6
  put(0x170, 8, 2) // rflags
  put(0x178, 8, eip % 0x10000) // rip
  put(0x268, 8, says.pat)
  put(0x310, 8, vcpuSignature) // rdx
  put(0x3b0, 8, guestFeatures) // sev_features
  put(0x3e8, 8, 1) // xcr0
  put(0x408, 4, says.mxcsr)
  put(0x410, 2, says.fcw)
  return page
}

const HOSTS: Record<SnpHost, { ss: number; tr: number; pat: bigint; mxcsr: number; fcw: number }> = {
  qemu: { ss: 0x93, tr: 0x8b, pat: 0x7040600070406n, mxcsr: 0x1f80, fcw: 0x37f }, ec2: { ss: 0x92, tr: 0x83, pat: 0x7040600070406n, mxcsr: 0, fcw: 0 }, gce: { ss: 0x93, tr: 0x8b, pat: 0x70106n, mxcsr: 0, fcw: 0 },
}
