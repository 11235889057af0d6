/**
 * The registers of a TDX guest before it is launched. MRTD: pages added and extended as the metadata of its firmware says
 * (Intel TDX Module Base Architecture Specification, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND; Intel TDX Virtual Firmware Design
 * Guide section 11). RTMR 0 to 2: what firmware and kernel measure (UEFI 2.11 section 38; PCR 1 and 7 are RTMR0, 2 to 6 are
 * RTMR1, 8 to 15 are RTMR2), as far as it follows from what is booted: tables that the host makes are handed in as digests
 * from a log that is trusted, or RTMR0 stays unknown. Trusts the port for hashing.
 */
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { utf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../../refusal.ts'
import { eventOf, foldEvents, type ExpectedEvent, type Prediction } from './events.ts'
import { checkPages, FIRMWARE_LIMITS, fromEnd, hexNumber, little, PAGE, readFirmwareTable, type Range } from './firmware.ts'
import { authenticodeBytes, readPe } from './pe.ts'
import { actionEvent, authorityEvents, BOOTS, handoverEvents, imageEvents, kernelEvents, sectionEvents, separator, variableEvents, type SecureBootState } from './tpm.ts'
import { readUki } from './uki.ts'

export const TDVF_SECTIONS = ['bfv', 'cfv', 'tdHob', 'temporary', 'permanent', 'payload', 'payloadParameters'] as const
export type TdvfKind = typeof TDVF_SECTIONS[number]

export interface TdvfSection extends Range {
  readonly kind: TdvfKind
  /** What of the image stands there at launch; empty where memory is only added. */
  readonly data: Uint8Array
  /** Is its content measured into MRTD? */
  readonly extended: boolean
}

export interface Tdvf { readonly sections: readonly TdvfSection[] }

/**
 * How the host builds a guest: page by page, adding and extending each (KVM as merged in Linux 6.16, QEMU from 9.0, Google), or
 * each section in two passes, first adding all of its pages (the trees for QEMU 8).
 */
export const PAGE_ORDERS = ['single-pass', 'two-pass'] as const
export type PageOrder = typeof PAGE_ORDERS[number]

/** Sections that firmware wants to be launched with. Refuses with `evidence.parse`, `evidence.version`, `evidence.unsupported` or `bytes.*`. */
export function readTdvf(image: Uint8Array): Result<Tdvf> {
  return attempt(() => {
    const entry = readFirmwareTable(image).get(METADATA) ?? refuse('evidence.unsupported', 'firmware.metadata', 'metadata for TDX', 'none', 'use OVMF built for TDX (Debian: ovmf-inteltdx)')
    const sections = readDescriptor(image, fromEnd(image, entry, 'firmware.metadata'))
    checkSections(sections, image.length)
    return { sections }
  })
}

/** MRTD, hex, 48 bytes. */
export function tdxMrtd(p: Primitives, tdvf: Tdvf, order: PageOrder): string {
  return toHex(p.hash('sha384', concat(...tdvf.sections.flatMap(one => sectionRecords(one, order)))))
}

const METADATA = 'e47a6535-984a-4798-865e-4685a7bf8ec2'
const [EXTEND, AUGMENT] = [1, 2]

function readDescriptor(image: Uint8Array, bytes: Uint8Array): TdvfSection[] {
  const at = 'firmware.metadata'
  const reader = new Reader(bytes, `${at}@`)
  const signature = toHex(reader.take(4))
  const [length, version, count] = [reader.u32le(), reader.u32le(), reader.u32le()]
  if (signature !== toHex(utf8('TDVF'))) refuse('evidence.parse', at, 'TDVF', signature)
  if (version !== 1) refuse('evidence.version', at, 'version 1', String(version))
  if (count > FIRMWARE_LIMITS.sections || length !== 16 + 32 * count) refuse('evidence.parse', at, `${16 + 32 * count} bytes for at most ${FIRMWARE_LIMITS.sections} sections`, `${length} bytes for ${count}`)
  return Array.from({ length: count }, (_, i) => readSection(image, reader, `${at}[${i}]`))
}

function readSection(image: Uint8Array, reader: Reader, at: string): TdvfSection {
  const [offset, bytes] = [reader.u32le(), reader.u32le()]
  const [address, size] = [bounded(reader.u64le(), at), bounded(reader.u64le(), at)]
  const [type, attributes] = [reader.u32le(), reader.u32le()]
  const kind = TDVF_SECTIONS[type] ?? refuse('evidence.unsupported', at, `types 0 to ${TDVF_SECTIONS.length - 1}`, String(type))
  if (attributes !== 0 && attributes !== EXTEND) refuse('evidence.unsupported', at, 'measured or not', attributes === AUGMENT ? 'pages that the guest adds' : hexNumber(attributes))
  if (offset + bytes > image.length) refuse('bytes.truncated', at, `${offset + bytes} bytes`, `${image.length} bytes`)
  const data = image.subarray(offset, offset + bytes)
  const extended = attributes === EXTEND
  const whole = kind === 'bfv' || kind === 'cfv' || extended
  if (data.length !== (whole ? size : 0)) refuse('evidence.unsupported', at, whole ? 'data for all of its memory' : 'memory without data', `${data.length} bytes for ${size}`)
  return { kind, address, size, data, extended }
}

const ADDRESS_MAX = 2n ** 52n
const bounded = (value: bigint, at: string): number => (value < ADDRESS_MAX ? Number(value) : refuse('evidence.parse', at, 'an address below 2^52', hexNumber(Number(value))))

/** One firmware volume to boot, one of variables, one hand-off block; and not more to measure than the image is long. */
function checkSections(sections: readonly TdvfSection[], imageBytes: number): void {
  checkPages(sections, 'firmware.metadata')
  for (const [kind, least] of [['bfv', 1], ['cfv', 0], ['tdHob', 1]] as const) {
    const count = sections.filter(one => one.kind === kind).length
    if (count < least || count > 1) refuse('evidence.parse', `firmware.metadata.${kind}`, 'one', String(count))
  }
  const extended = sections.reduce((sum, one) => sum + (one.extended ? one.size : 0), 0)
  if (extended > imageBytes) refuse('evidence.parse', 'firmware.metadata', `at most ${imageBytes} bytes to measure`, String(extended))
}

const CHUNK = 256
const record = (leaf: string, address: number) => concat(utf8(leaf), new Uint8Array(16 - leaf.length), little(address, 8), new Uint8Array(104))

function sectionRecords({ address, size, data, extended }: TdvfSection, order: PageOrder): Uint8Array[] {
  const offsets = Array.from({ length: size / PAGE }, (_, i) => i * PAGE)
  const add = (offset: number) => [record('MEM.PAGE.ADD', address + offset)]
  const extend = (offset: number) => (extended ? extendRecords(data, address, offset) : [])
  return order === 'single-pass' ? offsets.flatMap(offset => [...add(offset), ...extend(offset)]) : [...offsets.flatMap(add), ...offsets.flatMap(extend)]
}

const extendRecords = (data: Uint8Array, address: number, page: number): Uint8Array[] =>
  Array.from({ length: PAGE / CHUNK }, (_, i) => page + i * CHUNK).flatMap(offset => [record('MR.EXTEND', address + offset), data.subarray(offset, offset + CHUNK)])

/**
 * The hand-off blocks in which QEMU tells firmware about memory (hw/i386/tdvf-hob.c, as far as it was seen on real
 * machines): ranges that firmware's own sections take are accepted, the others not. From 2.75 GiB on, memory above the
 * first 2 GiB stands above 4 GiB. Leaves with `evidence.parse`.
 */
export function tdHob(tdvf: Tdvf, memoryBytes: number): Uint8Array {
  const taken = tdvf.sections.filter(one => one.size > 0 && (one.kind === 'tdHob' || one.kind === 'temporary')).toSorted((a, b) => a.address - b.address)
  const hob = taken.find(one => one.kind === 'tdHob')
  const split = memoryBytes >= HIGH_FROM
  const low = split ? LOW_BYTES : memoryBytes
  const last = taken.at(-1)
  if (hob === undefined || last === undefined || !Number.isInteger(memoryBytes) || memoryBytes % PAGE !== 0 || memoryBytes > Number(ADDRESS_MAX) || last.address + last.size >= low) return refuse('evidence.parse', 'memory', 'whole pages, more than firmware takes', String(memoryBytes))
  const ranges = [...freeBetween(taken, low), ...taken.map(one => resource(SYSTEM_MEMORY, one.address, one.size))].toSorted((a, b) => a.start - b.start).map(one => one.bytes)
  const all = [...ranges, ...(split && memoryBytes > LOW_BYTES ? [resource(UNACCEPTED, 2 ** 32, memoryBytes - LOW_BYTES).bytes] : [])]
  const end = hob.address + HANDOFF_BYTES + 48 * all.length + 8
  return concat(little(1, 2), little(HANDOFF_BYTES, 2), new Uint8Array(4), little(9, 4), new Uint8Array(36), little(end, 8), ...all)
}

const [HIGH_FROM, LOW_BYTES, HANDOFF_BYTES] = [0xb000_0000, 0x8000_0000, 56]
const [SYSTEM_MEMORY, UNACCEPTED] = [0, 7]
const resource = (type: number, start: number, length: number) => ({ start, bytes: concat(little(3, 2), little(48, 2), new Uint8Array(20), little(type, 4), little(7, 4), little(start, 8), little(length, 8)) })

function freeBetween(taken: readonly Range[], low: number) {
  const starts = [0, ...taken.map(one => one.address + one.size)]
  const ends = [...taken.map(one => one.address), low]
  return starts.flatMap((start, i) => ((ends[i] ?? low) > start ? [resource(UNACCEPTED, start, (ends[i] ?? low) - start)] : []))
}

/** What firmware measures of the machine itself, into RTMR0; digests are SHA-384, hex. */
export interface TdMachine {
  /** Of the hand-off blocks: `tdHob`, or from a log. */
  readonly tdHob: string
  /** Of the volume of variables: the data of section `cfv`. */
  readonly cfv: string
  readonly secureBoot: SecureBootState
  /** Of the tables that the host makes, in the order of the log: QEMU's loader script, RSDP, tables. */
  readonly acpi: readonly string[]
  /** Values of BootOrder and Boot####, in the order of the log. */
  readonly bootVariables: readonly { readonly name: string; readonly value: Uint8Array }[]
}

export interface TdBoot {
  readonly machine?: TdMachine
  /** A unified kernel image from a disk (with UEFI_GPT_DATA of that disk, as the log tells it), or a kernel that the host hands to firmware as these bytes. */
  readonly boots: { readonly uki: Uint8Array; readonly gpt: Uint8Array; readonly secureBoot: boolean } | { readonly kernel: Uint8Array; readonly cmdline: string; readonly initrd?: Uint8Array }
  /** Where firmware writes the separator before it boots: RTMR1 as the specification has it, RTMR0 in builds of edk2 of 2023 and 2024. */
  readonly bootSeparator: 'RTMR0' | 'RTMR1'
}

/** Values that follow from a firmware image and the memory of the machine. */
export const machineDigests = (p: Primitives, tdvf: Tdvf, memoryBytes: number): { tdHob: string; cfv: string } => ({
  tdHob: toHex(p.hash('sha384', tdHob(tdvf, memoryBytes))), cfv: toHex(p.hash('sha384', tdvf.sections.find(one => one.kind === 'cfv')?.data ?? refuse('evidence.unsupported', 'firmware.metadata.cfv', 'a volume of variables', 'none'))),
})

/**
 * RTMR 0 to 2 with the events that make them. RTMR0 without a machine, and what of the others cannot be told, stands in
 * `unknown`. A kernel's bytes are those that firmware gets: QEMU before version 10 changes its header on the way.
 */
export function predictTd(p: Primitives, boot: TdBoot): Result<Prediction> {
  return attempt(() => {
    const parts = [
      attempt(() => machineEvents(p, boot.machine ?? refuse('evidence.missing', 'RTMR0', 'what firmware measures of the machine', 'nothing', 'take ACPI digests and boot variables from a log of this kind of machine that you trust'), boot.bootSeparator)),
      attempt(() => bootEvents(p, boot)), attempt(() => handedOver(p, boot)),
    ]
    return foldEvents(p, 'sha384', parts.flatMap(part => (part.ok ? part.value : [])), [], parts.flatMap(part => (part.ok ? [] : [part.refusal])))
  })
}

function machineEvents(p: Primitives, machine: TdMachine, bootSeparator: TdBoot['bootSeparator']): ExpectedEvent[] {
  const given = (what: string, hex: string): ExpectedEvent => ({ register: 'RTMR0', what, digest: digestOf(hex, `machine.${what}`) })
  return [
    given('tdHob', machine.tdHob), given('cfv', machine.cfv), ...variableEvents(p, 'sha384', machine.secureBoot, 'RTMR0'), ...machine.acpi.map((hex, i) => given(`acpi[${i}]`, hex)),
    ...machine.bootVariables.map(one => eventOf(p, 'sha384', 'RTMR0', `variable ${one.name}`, one.value)), ...(bootSeparator === 'RTMR0' ? [separator(p, 'sha384', 'RTMR0')] : []), ...authorityEvents(p, 'sha384', machine.secureBoot, 'RTMR0'),
  ]
}

function digestOf(hex: string, at: string): Uint8Array {
  const bytes = fromHex(hex, at)
  return bytes.length === 48 ? bytes : refuse('evidence.parse', at, '48 bytes', `${bytes.length} bytes`)
}

/** RTMR1: a kernel from the host is loaded before firmware says that it boots, an image from a disk after. */
function bootEvents(p: Primitives, { boots, bootSeparator }: TdBoot): ExpectedEvent[] {
  const says = [actionEvent(p, 'sha384', 'RTMR1', BOOTS), ...(bootSeparator === 'RTMR1' ? [separator(p, 'sha384', 'RTMR1')] : [])]
  const leaves = ['Exit Boot Services Invocation', 'Exit Boot Services Returned with Success'].map(text => actionEvent(p, 'sha384', 'RTMR1', text))
  if ('uki' in boots) return [...says, eventOf(p, 'sha384', 'RTMR1', 'table of partitions', boots.gpt), ...imageEvents(p, 'sha384', readUki(boots.uki), boots.secureBoot, 'RTMR1'), ...leaves]
  return [eventOf(p, 'sha384', 'RTMR1', 'Authenticode hash of the kernel', authenticodeBytes(readPe(boots.kernel, 'kernel'))), ...says, ...leaves]
}

/** RTMR2: sections that the stub measures, then what the kernel was handed. */
function handedOver(p: Primitives, { boots }: TdBoot): ExpectedEvent[] {
  if ('kernel' in boots) return handoverEvents(p, 'sha384', boots.cmdline, boots.initrd, 'RTMR2')
  const uki = readUki(boots.uki)
  return [...sectionEvents(p, 'sha384', uki, 'RTMR2'), ...kernelEvents(p, 'sha384', uki, 'RTMR2')]
}
