/**
 * What a TPM's registers will hold after a virtual machine booted a unified kernel image straight from firmware: PCR 4 the
 * images, 7 Secure Boot, 9 what the kernel's EFI stub was handed, 11 the sections of the image and the phases of the boot,
 * 12 and 13 nothing, as long as nothing is added to the image (TCG PC Client Platform Firmware Profile 1.06 sections 3.3.4
 * and 10; systemd-stub(7); Linux drivers/firmware/efi/libstub). PCR 0 to 3 and 5, 6 belong to firmware and its machine:
 * they are compared with golden values. Trusts the port for hashing.
 */
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import type { HashName, Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse, type Refusal, type Result } from '../../refusal.ts'
import { eventOf, foldEvents, utf16, type ExpectedEvent, type Prediction } from './events.ts'
import { guidBytes, little } from './firmware.ts'
import { authenticodeBytes, readPe } from './pe.ts'
import { commandLineOf, initrdOf, measuredSections, measuresKernel, readUki, type Uki } from './uki.ts'

export interface UkiBoot {
  readonly uki: Uint8Array
  readonly bank?: HashName
  /** The variables as firmware keeps them; where they are not given PCR 7 is unknown, and PCR 4 too with a stub whose way of loading the kernel depends on them. */
  readonly secureBoot?: SecureBootState
  /** How far the boot came: words that systemd-pcrphase measures, in order. None: the moment at which the kernel starts. */
  readonly phases?: readonly string[]
}

/** The phases of systemd's boot in order, as systemd-measure(1) writes them: `enter-initrd:leave-initrd:sysinit:ready`. */
export const PHASES: readonly string[] = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready']

export interface SecureBootState {
  readonly enabled: boolean
  /** Contents of the variables; empty where the variable is not set. */
  readonly pk: Uint8Array
  readonly kek: Uint8Array
  readonly db: Uint8Array
  readonly dbx: Uint8Array
  /** What firmware measures beside them before its separator, in order (dbt, dbr, AuditMode, DeployedMode). */
  readonly further?: readonly UefiVariable[]
  /** Entries of databases that let an image start, in order: EFI_SIGNATURE_DATA (owner, certificate or hash). */
  readonly authorities?: readonly UefiVariable[]
}
export interface UefiVariable { readonly guid: string; readonly name: string; readonly value: Uint8Array }

export const EFI_GLOBAL_VARIABLE = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const EFI_IMAGE_SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
const PHASE_LIMITS = { count: 16, word: /^[a-z][a-z0-9-]{0,63}$/ }

/**
 * Registers 4, 7, 9, 11, 12 and 13 with the events that make them. Refuses an image that cannot be read; a single register
 * that cannot be told stands in `unknown` with its refusal.
 *
 * @example
 * predictUki(p, { uki, secureBoot: SECURE_BOOT_OFF, phases: ['enter-initrd'] })
 */
export function predictUki(p: Primitives, boot: UkiBoot): Result<Prediction> {
  return attempt(() => {
    const bank = boot.bank ?? 'sha256'
    const uki = readUki(boot.uki)
    const parts = [
      attempt(() => [actionEvent(p, bank, 'PCR4', BOOTS), separator(p, bank, 'PCR4'), ...imageEvents(p, bank, uki, boot.secureBoot?.enabled, 'PCR4')]),
      attempt(() => boot.secureBoot === undefined ? refuse('evidence.missing', 'PCR7', 'the variables of Secure Boot', 'none') : [...variableEvents(p, bank, boot.secureBoot, 'PCR7'), ...authorityEvents(p, bank, boot.secureBoot, 'PCR7')]),
      attempt(() => kernelEvents(p, bank, uki, 'PCR9')),
    ]
    const events = [...parts.flatMap(part => (part.ok ? part.value : [])), ...sectionEvents(p, bank, uki, 'PCR11'), ...phaseEvents(p, bank, boot.phases ?? [], 'PCR11')]
    return foldEvents(p, bank, events, ['PCR12', 'PCR13', ...(parts[2]?.ok === true ? ['PCR9'] : [])], parts.flatMap((part): Refusal[] => (part.ok ? [] : [part.refusal])))
  })
}

/** Secure Boot as a machine without keys has it. */
export const SECURE_BOOT_OFF: SecureBootState = { enabled: false, pk: new Uint8Array(), kek: new Uint8Array(), db: new Uint8Array(), dbx: new Uint8Array() }

/** The images that firmware loads: the unified one, and its kernel where the stub loads it through firmware. */
export function imageEvents(p: Primitives, bank: HashName, uki: Uki, secureBoot: boolean | undefined, register: string): ExpectedEvent[] {
  if (secureBoot === undefined && measuresKernel(uki)) refuse('evidence.missing', register, 'whether Secure Boot is on: this stub then loads the kernel otherwise', 'nothing')
  if (secureBoot === true && uki.stub === 257) refuse('evidence.unsupported', register, 'systemd-stub 252 or 262 where Secure Boot is on', '257')
  const kernel = measuresKernel(uki) && secureBoot === false ? [eventOf(p, bank, register, 'Authenticode hash of .linux', authenticodeBytes(readPe(uki.sections.get('.linux') ?? new Uint8Array(), 'uki.linux')))] : []
  return [eventOf(p, bank, register, 'Authenticode hash of the image', authenticodeBytes(uki.image)), ...kernel]
}

/** An action that firmware tells by its text (PFP section 10.4.4). */
export const actionEvent = (p: Primitives, bank: HashName, register: string, text: string): ExpectedEvent => eventOf(p, bank, register, text, utf8(text))
export const BOOTS = 'Calling EFI Application from Boot Option'
export const separator = (p: Primitives, bank: HashName, register: string): ExpectedEvent => eventOf(p, bank, register, 'separator', new Uint8Array(4))

/** PCR 7 until firmware closes it: the variables with their names (UEFI_VARIABLE_DATA), then the separator. */
export function variableEvents(p: Primitives, bank: HashName, { enabled, pk, kek, db, dbx, further = [] }: SecureBootState, register: string): ExpectedEvent[] {
  const variables: UefiVariable[] = [
    { guid: EFI_GLOBAL_VARIABLE, name: 'SecureBoot', value: new Uint8Array([enabled ? 1 : 0]) }, { guid: EFI_GLOBAL_VARIABLE, name: 'PK', value: pk }, { guid: EFI_GLOBAL_VARIABLE, name: 'KEK', value: kek },
    { guid: EFI_IMAGE_SECURITY_DATABASE, name: 'db', value: db }, { guid: EFI_IMAGE_SECURITY_DATABASE, name: 'dbx', value: dbx }, ...further,
  ]
  return [...variables.map(one => eventOf(p, bank, register, `variable ${one.name}`, variableData(one))), separator(p, bank, register)]
}

/** PCR 7 after that: what let images start. */
export const authorityEvents = (p: Primitives, bank: HashName, { authorities = [] }: SecureBootState, register: string): ExpectedEvent[] =>
  authorities.map(one => eventOf(p, bank, register, `authority ${one.name}`, variableData(one)))

/** UEFI_VARIABLE_DATA (PFP section 10.2.6). Leaves with `evidence.parse`. */
export function variableData({ guid, name, value }: UefiVariable): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(guid)) refuse('evidence.parse', `variable ${name}`, 'a GUID in lower case', guid)
  return concat(guidBytes(guid), little(name.length, 8), little(value.length, 8), utf16(name, 'variable'), value)
}

/** What the kernel's EFI stub measures: the command line in UTF-16 with a NUL, the initrd as it is handed over. */
export function kernelEvents(p: Primitives, bank: HashName, uki: Uki, register: string): ExpectedEvent[] {
  const line = commandLineOf(uki)
  const initrd = initrdOf(uki)
  return handoverEvents(p, bank, line, initrd, register)
}

/** The same for any way of starting a kernel through its EFI stub (Linux 5.18 and later for the initrd, 6.1 for the command line). */
export function handoverEvents(p: Primitives, bank: HashName, line: string | undefined, initrd: Uint8Array | undefined, register: string): ExpectedEvent[] {
  return [
    ...(line === undefined ? [] : [eventOf(p, bank, register, 'command line', concat(utf16(line, 'cmdline'), new Uint8Array(2)))]),
    ...(initrd === undefined ? [] : [eventOf(p, bank, register, 'initrd', initrd)]),
  ]
}

/** PCR 11: name, with a NUL, and content of each section. */
export function sectionEvents(p: Primitives, bank: HashName, uki: Uki, register: string): ExpectedEvent[] {
  return measuredSections(uki).flatMap(({ name, content }) => [eventOf(p, bank, register, `${name}, name`, utf8(`${name}\0`)), eventOf(p, bank, register, `${name}, content`, content)])
}

/** PCR 11 later: a word for each phase that the boot enters (systemd-pcrphase.service(8)). Leaves with `evidence.parse`. */
export function phaseEvents(p: Primitives, bank: HashName, phases: readonly string[], register: string): ExpectedEvent[] {
  if (phases.length > PHASE_LIMITS.count) refuse('evidence.parse', 'phases', `at most ${PHASE_LIMITS.count}`, String(phases.length))
  return phases.map((word, i) => {
    if (!PHASE_LIMITS.word.test(word)) refuse('evidence.parse', `phases[${i}]`, 'a word in lower case', word)
    return { ...eventOf(p, bank, register, `phase ${word}`, utf8(word)), later: true }
  })
}
