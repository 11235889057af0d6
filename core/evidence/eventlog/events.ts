/**
 * What an event of a log says, and whether its digest proves it. A replay proves digests only: the data beside a digest is
 * believable where the digest is the hash of that data (attacks.md row 51). Which types those are stands in the TCG PC
 * Client Platform Firmware Profile section 10.4.1; GRUB, shim, systemd and the Linux EFI stub have customs of their own.
 * Trusts the port for hashing.
 */
import { concat, equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { fromUtf8, utf8 } from '../../bytes/text.ts'
import type { HashName, Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse } from '../../refusal.ts'
import type { LogEvent } from './log.ts'

export const EV = {
  postCode: 0x1, noAction: 0x3, separator: 0x4, action: 0x5, eventTag: 0x6, crtmContents: 0x7, crtmVersion: 0x8, ipl: 0xd,
  variableDriverConfig: 0x80000001, variableBoot: 0x80000002, bootServicesApplication: 0x80000003, gpt: 0x80000006, efiAction: 0x80000007, variableBoot2: 0x8000000c, variableAuthority: 0x800000e0,
  dstackRuntime: 0x08000001,
} as const

const NAMES: Readonly<Record<number, string>> = {
  0x0: 'EV_PREBOOT_CERT', 0x1: 'EV_POST_CODE', 0x3: 'EV_NO_ACTION', 0x4: 'EV_SEPARATOR', 0x5: 'EV_ACTION', 0x6: 'EV_EVENT_TAG', 0x7: 'EV_S_CRTM_CONTENTS', 0x8: 'EV_S_CRTM_VERSION', 0x9: 'EV_CPU_MICROCODE',
  0xa: 'EV_PLATFORM_CONFIG_FLAGS', 0xb: 'EV_TABLE_OF_DEVICES', 0xc: 'EV_COMPACT_HASH', 0xd: 'EV_IPL', 0xe: 'EV_IPL_PARTITION_DATA', 0xf: 'EV_NONHOST_CODE', 0x10: 'EV_NONHOST_CONFIG', 0x11: 'EV_NONHOST_INFO',
  0x12: 'EV_OMIT_BOOT_DEVICE_EVENTS', 0x13: 'EV_POST_CODE2', 0x80000001: 'EV_EFI_VARIABLE_DRIVER_CONFIG', 0x80000002: 'EV_EFI_VARIABLE_BOOT', 0x80000003: 'EV_EFI_BOOT_SERVICES_APPLICATION',
  0x80000004: 'EV_EFI_BOOT_SERVICES_DRIVER', 0x80000005: 'EV_EFI_RUNTIME_SERVICES_DRIVER', 0x80000006: 'EV_EFI_GPT_EVENT', 0x80000007: 'EV_EFI_ACTION', 0x80000008: 'EV_EFI_PLATFORM_FIRMWARE_BLOB',
  0x80000009: 'EV_EFI_HANDOFF_TABLES', 0x8000000a: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2', 0x8000000b: 'EV_EFI_HANDOFF_TABLES2', 0x8000000c: 'EV_EFI_VARIABLE_BOOT2', 0x8000000d: 'EV_EFI_GPT_EVENT2',
  0x80000010: 'EV_EFI_HCRTM_EVENT', 0x800000e0: 'EV_EFI_VARIABLE_AUTHORITY', 0x800000e1: 'EV_EFI_SPDM_FIRMWARE_BLOB', 0x800000e2: 'EV_EFI_SPDM_FIRMWARE_CONFIG', 0x08000001: 'dstack-runtime',
}

/** The TCG name of an event type, or its number. */
export const typeName = (type: number): string => NAMES[type] ?? `0x${type.toString(16).padStart(8, '0')}`

/** Types whose digest is the hash of their data and nothing else: a difference means that the log was altered. */
const WHOLE = new Set<number>([EV.separator, EV.action, EV.variableDriverConfig, EV.efiAction, EV.variableBoot2])

/**
 * The bytes of an event that its digest in this bank is the hash of: all of its data, the part that its writer hashes, or
 * undefined where the digest is of something else (an image, a table). Leaves with `evidence.event-log` when the type
 * allows no other meaning than the whole data.
 */
export function boundData(p: Primitives, bank: HashName, event: LogEvent, at: string): Uint8Array | undefined {
  const digest = event.digests.get(bank)
  if (digest === undefined) return undefined
  const bound = candidates(event).find(part => equal(p.hash(bank, part), digest))
  if (bound === undefined && WHOLE.has(event.type)) refuse('evidence.event-log', at, `${typeName(event.type)} with the hash of its data`, toHex(digest), 'the log was altered: take it again from the machine')
  return bound
}

function candidates(event: LogEvent): Uint8Array[] {
  if (event.type === EV.dstackRuntime && event.name !== undefined) return [runtimeBytes(event.type, event.name, event.data)]
  switch (event.type) {
    case EV.variableBoot: case EV.variableAuthority: return [event.data, ...optional(() => readVariable(event.data).value)]
    case EV.ipl: return [event.data, ...iplTexts(event.data)]
    case EV.eventTag: return [event.data, ...optional(() => taggedContent(event.data))]
    default: return [event.data]
  }
}

/** What the digest of a dstack runtime event is taken of. */
export const runtimeBytes = (type: number, name: string, payload: Uint8Array): Uint8Array => concat(new Uint8Array([type & 255, (type >>> 8) & 255, (type >>> 16) & 255, type >>> 24]), utf8(`:${name}:`), payload)

export interface UefiVariable { readonly guid: string; readonly name: string; readonly value: Uint8Array }
const NAME_MAX = 256

/** UEFI_VARIABLE_DATA. Leaves with `evidence.parse` or `bytes.*`. */
export function readVariable(data: Uint8Array, at = 'variable'): UefiVariable {
  const reader = new Reader(data, `${at}@`)
  const guid = toHex(reader.take(16))
  const [units, size] = [reader.u64le(), reader.u64le()]
  if (units > BigInt(NAME_MAX) || size > BigInt(data.length)) refuse('evidence.parse', at, 'lengths within the event', `${units} and ${size}`)
  const name = utf16(reader.take(2 * Number(units)))
  const value = reader.take(Number(size))
  reader.end()
  return { guid, name, value }
}

function utf16(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i + 1 < bytes.length; i += 2) text += String.fromCharCode((bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8))
  return text.replace(/\0+$/, '')
}

/** TCG_PCClientTaggedEvent: its digest is of the content in some writers. */
function taggedContent(data: Uint8Array): Uint8Array {
  const reader = new Reader(data, 'tag@')
  reader.u32le()
  const content = reader.take(reader.u32le())
  reader.end()
  return content
}

/**
 * GRUB writes `grub_cmd: TEXT` (older `grub_cmd TEXT`) and hashes TEXT; others hash a string without its final NUL;
 * systemd-stub writes the name of a section in UTF-16 and hashes it in UTF-8 with a NUL.
 */
function iplTexts(data: Uint8Array): Uint8Array[] {
  const text = data[data.length - 1] === 0 ? data.subarray(0, -1) : data
  const prefix = PREFIXES.find(one => equal(text.subarray(0, one.length), one))
  return [text, ...(prefix === undefined ? [] : [text.subarray(prefix.length)]), ...(data.length % 2 === 0 && data.length <= 2 * NAME_MAX ? [utf8(`${utf16(data)}\0`)] : [])]
}
const PREFIXES = ['grub_cmd: ', 'kernel_cmdline: ', 'module_cmdline: ', 'grub_cmd ', 'grub_kernel_cmdline ', 'kernel_cmdline ', 'module_cmdline '].map(utf8)

function optional(read: () => Uint8Array): Uint8Array[] {
  const result = attempt(read)
  return result.ok ? [result.value] : []
}

const TEXT_MAX = 512

/** Data that its digest proves, for people: a variable with its value, a text, or hexadecimal. Undefined where there is nothing to say. */
export function detailOf(event: LogEvent, bound: Uint8Array): string | undefined {
  if (event.name !== undefined) return `${event.name}=${toHex(event.data)}`
  if ([EV.variableDriverConfig, EV.variableBoot, EV.variableBoot2, EV.variableAuthority].some(type => type === event.type)) {
    const variable = bound === event.data ? attempt(() => readVariable(event.data)) : undefined
    return variable?.ok === true ? `${variable.value.name}=${short(variable.value.value)}` : undefined
  }
  return textOf(bound) ?? short(bound)
}

const short = (bytes: Uint8Array) => (bytes.length <= 64 ? toHex(bytes) : `${toHex(bytes.subarray(0, 64))}… (${bytes.length} bytes)`)

/** Printable text of at most `TEXT_MAX` characters, in UTF-8 or UTF-16; undefined for anything else. */
export function textOf(bytes: Uint8Array): string | undefined {
  const plain = attempt(() => fromUtf8(bytes).replace(/\0$/, ''))
  const text = plain.ok && printable(plain.value) ? plain.value : bytes.length % 2 === 0 ? utf16(bytes) : ''
  return printable(text) ? text.slice(0, TEXT_MAX) : undefined
}
const printable = (text: string) => text.length > 0 && text.isWellFormed() && /^[\t\n\r\u0020-\u007e\u00a0-\uffff]*$/.test(text)
