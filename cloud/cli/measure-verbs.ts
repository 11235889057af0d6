/**
 * What `cloister measure` does: the numbers a machine image will have once it is launched, from its files alone, as reference values
 * for a policy or a broker. Prints what goes into each register, and says which registers cannot be told and why.
 */
import { eifRegisters, parentRegister, readEif } from '@cloister/core/appraisal/reference/eif'
import type { Prediction } from '@cloister/core/appraisal/reference/events'
import { cpuSignature, kernelHashes, readSnpFirmware, SNP_HOSTS, snpLaunchDigest } from '@cloister/core/appraisal/reference/snp'
import { machineDigests, predictTd, readTdvf, tdxMrtd, type TdBoot } from '@cloister/core/appraisal/reference/tdx'
import { predictUki, SECURE_BOOT_OFF } from '@cloister/core/appraisal/reference/tpm'
import type { Tee } from '@cloister/core/charter/types'
import type { HashName } from '@cloister/core/crypto/primitives'
import { orRefuse, refuse, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { readBytes } from './folder.ts'
import type { Screen } from './screen.ts'

const FILE_MAX = 1 << 30
const file = (path: string): Uint8Array => readBytes(path, FILE_MAX)
const given = (path: string | undefined): Uint8Array | undefined => (path === undefined ? undefined : file(path))

/** What is printed for every kind: the reference value, in the words of a policy file. */
interface Measured { readonly tee: Tee; readonly hex: string; readonly registers: Readonly<Record<string, string>>; readonly events?: Prediction['events']; readonly unknown?: readonly Refusal[] }

function show(screen: Screen, name: string, { tee, hex, registers, events = [], unknown = [] }: Measured): void {
  for (const { register, what, digest } of events) screen.say(`  ${register.padEnd(6)} ${what}: ${Buffer.from(digest).toString('hex')}`)
  for (const { at, got, fix } of unknown) screen.warn(`${at}: cannot be told: ${got}${fix === undefined ? '' : ` (${fix})`}`)
  const reference = { tee, hex, name, ...(Object.keys(registers).length === 0 ? {} : { registers }) }
  const lines = [`measurement ${hex}`, ...Object.entries(registers).map(([register, value]) => `${register} ${value}`), '', `"measurements": [${JSON.stringify(reference)}]`]
  screen.result({ ok: true, kind: 'measurement', reference, unknown }, lines.join('\n'))
}

interface Names { readonly name: string }
export interface SnpOptions extends Names { readonly firmware: string; readonly kernel?: string; readonly initrd?: string; readonly cmdline?: string; readonly vcpus: string; readonly cpu: string; readonly host: string; readonly features: string }

export function snpVerb(screen: Screen, options: SnpOptions): void {
  const host = SNP_HOSTS.find(one => one === options.host) ?? refuse('cli.usage', '--host', SNP_HOSTS.join(', '), options.host)
  if (options.kernel === undefined && (options.initrd ?? options.cmdline) !== undefined) refuse('cli.usage', '--kernel', 'a kernel with --initrd and --cmdline', 'none')
  const hex = orRefuse(snpLaunchDigest(p, {
    firmware: orRefuse(readSnpFirmware(p, file(options.firmware))), vcpus: whole('--vcpus', options.vcpus), guestFeatures: whole('--features', options.features), host,
    ...(host === 'qemu' ? { vcpuSignature: cpuSignature(options.cpu) } : {}), ...(options.kernel === undefined ? {} : { kernel: kernelHashes(p, file(options.kernel), given(options.initrd), options.cmdline) }),
  }))
  show(screen, options.name, { tee: 'snp', hex, registers: {} })
}

export interface TdxOptions extends Names { readonly firmware: string; readonly order: string; readonly kernel?: string; readonly initrd?: string; readonly cmdline?: string; readonly uki?: string; readonly gpt?: string; readonly memory?: string; readonly acpi?: readonly string[]; readonly separator: string }

export function tdxVerb(screen: Screen, options: TdxOptions): void {
  const tdvf = orRefuse(readTdvf(file(options.firmware)))
  const order = (['single-pass', 'two-pass'] as const).find(one => one === options.order) ?? refuse('cli.usage', '--order', 'single-pass, two-pass', options.order)
  const bootSeparator = (['RTMR0', 'RTMR1'] as const).find(one => one === options.separator) ?? refuse('cli.usage', '--separator', 'RTMR0, RTMR1', options.separator)
  const machine = options.memory === undefined || options.acpi === undefined || options.acpi.length === 0 ? {} : { machine: { ...machineDigests(p, tdvf, whole('--memory', options.memory) * 2 ** 20), secureBoot: SECURE_BOOT_OFF, acpi: options.acpi, bootVariables: [] } }
  const boots = bootsOf(options)
  const prediction = boots === undefined ? undefined : orRefuse(predictTd(p, { boots, bootSeparator, ...machine }))
  if (prediction === undefined) screen.warn('only the firmware: without --kernel or --uki nothing is said of what it boots')
  show(screen, options.name, { tee: 'tdx', hex: tdxMrtd(p, tdvf, order), registers: prediction?.registers ?? {}, events: prediction?.events ?? [], unknown: prediction?.unknown ?? [] })
}

function bootsOf({ kernel, initrd, cmdline, uki, gpt }: TdxOptions): TdBoot['boots'] | undefined {
  if (kernel !== undefined && uki !== undefined) refuse('cli.usage', '--uki', 'a kernel from the host, or an image on a disk', 'both')
  if (uki !== undefined) return { uki: file(uki), gpt: gpt === undefined ? refuse('cli.usage', '--gpt', 'UEFI_GPT_DATA of the disk, as the event log has it', 'none') : file(gpt), secureBoot: false }
  const ramdisk = given(initrd)
  return kernel === undefined ? undefined : { kernel: file(kernel), cmdline: cmdline ?? '', ...(ramdisk === undefined ? {} : { initrd: ramdisk }) }
}

export interface TpmOptions extends Names { readonly uki: string; readonly bank: string; readonly phases?: string; readonly secureBoot?: 'off' }

export function tpmVerb(screen: Screen, options: TpmOptions): void {
  const bank = (['sha256', 'sha384', 'sha512'] as const satisfies readonly HashName[]).find(one => one === options.bank) ?? refuse('cli.usage', '--bank', 'sha256, sha384, sha512', options.bank)
  const phases = options.phases === undefined || options.phases === '' ? [] : options.phases.split(':')
  const { registers, events, unknown } = orRefuse(predictUki(p, { uki: file(options.uki), bank, phases, ...(options.secureBoot === 'off' ? { secureBoot: SECURE_BOOT_OFF } : {}) }))
  screen.warn('PCR 0 to 3, 5 and 6 are firmware and machine: take them from a machine of this kind that you trust (the first number of a policy is PCR 0)')
  show(screen, options.name, { tee: 'tpm', hex: '', registers, events, unknown })
}

export interface NitroOptions extends Names { readonly role?: string; readonly instance?: string }

export function nitroVerb(screen: Screen, path: string, options: NitroOptions): void {
  const eif = orRefuse(readEif(file(path)))
  screen.say(`  an image of version ${eif.version} for ${eif.architecture}: kernel ${eif.kernel.length} bytes, command line "${eif.cmdline}", ${eif.ramdisks.length} ramdisks${eif.certificate === undefined ? '' : ', signed'}`)
  const { PCR0 = '', ...registers } = { ...eifRegisters(p, eif), ...(options.role === undefined ? {} : { PCR3: parentRegister(p, options.role) }), ...(options.instance === undefined ? {} : { PCR4: parentRegister(p, options.instance) }) }
  show(screen, options.name, { tee: 'nitro', hex: PCR0, registers })
}

function whole(option: string, text: string): number {
  const value = Number(text)
  return /^(0x[0-9a-f]+|\d+)$/i.test(text) && Number.isSafeInteger(value) ? value : refuse('cli.usage', option, 'a whole number', text)
}
