/**
 * Replays an event log into registers and compares them with signed ones: from then on the digests of the log are as good
 * as the signature (TCG PC Client Platform Firmware Profile section 10; Intel TDX CC event log). A log that does not give
 * the signed registers is refused whole. SHA-1 proves nothing here.
 *
 * What a proven log means: these digests, in this order, were measured into these registers, and data is proven where a
 * digest is its hash. The type of an event is never measured: it is the log's own word. So facts about Secure Boot come
 * from proven data alone, and only from before the separator, which is known by its digest; until there only firmware
 * writes, afterwards whatever runs. The list of images is believable as far as each image before is.
 */
import { concat, equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { HashName, Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse } from '../../refusal.ts'
import type { ReplayedEvent } from '../claims.ts'
import { boundData, detailOf, EV, readVariable, textOf, typeName } from './events.ts'
import { DIGEST_BYTES, EV_NO_ACTION, type Bank, type EventLog, type LogEvent } from './log.ts'

/** How registers are called: those of a TPM, or those of a CC event log (index n + 1 is RTMR n). */
export type RegisterKind = 'pcr' | 'rtmr'

export const registerName = (kind: RegisterKind, index: number): string => (kind === 'pcr' ? `PCR${index}` : index === 0 ? 'MRTD' : `RTMR${index - 1}`)

/** The registers that the events of a log leave behind in the bank of this hash, by the log's own index; only those that it touches. */
export function replay(hash: (data: Uint8Array) => Uint8Array, log: EventLog, bank: Bank): ReadonlyMap<number, Uint8Array> {
  const registers = new Map<number, Uint8Array>()
  if (log.startupLocality > 0) registers.set(0, initial(log, bank, 0))
  for (const event of log.events) {
    if (event.type === EV_NO_ACTION) continue
    const digest = event.digests.get(bank) ?? refuse('evidence.event-log', 'eventLog', `digests in the ${bank} bank`, log.banks.join(', '))
    registers.set(event.index, hash(concat(registers.get(event.index) ?? initial(log, bank, event.index), digest)))
  }
  return registers
}

function initial(log: EventLog, bank: Bank, index: number): Uint8Array {
  const value = new Uint8Array(DIGEST_BYTES[bank])
  if (index === 0) value[value.length - 1] = log.startupLocality
  return value
}

export interface SignedRegisters {
  readonly kind: RegisterKind
  readonly bank: Bank
  /** By the log's index, and only what a signature covers. */
  readonly values: ReadonlyMap<number, Uint8Array>
}

/** What proven events say about how the machine was started. */
export interface BootFacts {
  /** As firmware measured it before its separator; absent where the log or the signature does not say. Data proven by its digest. */
  readonly secureBoot?: boolean
  /** SHA-256 of the Secure Boot variables PK, KEK, db and dbx as firmware measured them. Data proven by its digest. */
  readonly secureBootKeys: Readonly<Record<string, string>>
  /** Digests, in the bank of the registers, of what let an image start; which events those are is the log's word. */
  readonly authorities: readonly string[]
  /** Digests of the images that firmware or a boot loader started, in order: Authenticode hash of shim, GRUB, a UKI, a kernel; which events those are is the log's word. */
  readonly images: readonly string[]
  /** Kernel command lines as GRUB or systemd-stub measured them: the text is proven, that it is a command line is the log's word. */
  readonly commandLines: readonly string[]
  /** Sections of a unified kernel image as systemd-stub measured them, name and content both: name → digest of its content. */
  readonly ukiSections: Readonly<Record<string, string>>
  /** Registers that firmware closed with an error. Proven by the digest of the separator. */
  readonly errors: readonly string[]
}

export interface ProvenLog {
  readonly events: readonly ReplayedEvent[]
  /** How many entries stand in registers that no signature covers: nothing is known about them. */
  readonly unproven: number
  /** Signed registers that were extended, but by nothing in this log (an IMA list or a runtime log would tell). */
  readonly uncovered: readonly string[]
  readonly boot: BootFacts
}

/** The events that signed registers prove. Leaves with `evidence.event-log`. */
export function proveEvents(p: Primitives, log: EventLog, signed: SignedRegisters, at = 'eventLog'): ProvenLog {
  const { kind, bank } = signed
  if (bank === 'sha1' || !log.banks.includes(bank)) return refuse('evidence.event-log', at, bank === 'sha1' ? 'a bank of SHA-256 or better' : `a log with ${bank} digests`, log.banks.join(', '), 'quote the SHA-256 bank and send the crypto-agile log')
  const replayed = replay(data => p.hash(bank, data), log, bank)
  for (const [index, value] of replayed) {
    const known = signed.values.get(index)
    if (known !== undefined && !equal(known, value)) refuse('evidence.event-log', `${at}.${registerName(kind, index)}`, toHex(known), toHex(value), 'send the log of this boot, whole and unaltered')
  }
  const proven = log.events.flatMap((event, i) => (event.type !== EV_NO_ACTION && signed.values.has(event.index) ? [provenEvent(p, kind, bank, event, `${at}.events[${i}]`)] : []))
  if (proven.length === 0) refuse('evidence.event-log', at, 'events of the signed registers', 'none')
  const uncovered = [...signed.values.keys()].filter(index => !replayed.has(index) && !untouched(signed.values.get(index) ?? new Uint8Array()))
  const firmware = uncovered.find(index => index <= FIRMWARE_LAST[kind])
  if (firmware !== undefined) refuse('evidence.event-log', `${at}.${registerName(kind, firmware)}`, 'the events of a register that firmware writes', 'none', 'send the log of this boot, whole and unaltered')
  const measured = log.events.filter(event => event.type !== EV_NO_ACTION).length
  return { events: proven.map(one => one.said), unproven: measured - proven.length, uncovered: uncovered.map(index => registerName(kind, index)), boot: bootFacts(p, kind, bank, proven) }
}

/** Firmware tells everything that it measures into PCR 0 to 7, or RTMR 0 and 1; later ones may have logs of their own (IMA, a runtime). */
const FIRMWARE_LAST: Record<RegisterKind, number> = { pcr: 7, rtmr: 2 }

/** Registers start as zeros; those of a dynamic launch as ones. */
const untouched = (value: Uint8Array) => value.every(byte => byte === 0) || value.every(byte => byte === 0xff)

interface Proven { readonly event: LogEvent; readonly said: ReplayedEvent; readonly bound?: Uint8Array }

function provenEvent(p: Primitives, kind: RegisterKind, bank: HashName, event: LogEvent, at: string): Proven {
  const bound = boundData(p, bank, event, at)
  const detail = bound === undefined ? undefined : detailOf(event, bound)
  const digest = toHex(event.digests.get(bank) ?? new Uint8Array())
  const said = { register: registerName(kind, event.index), type: typeName(event.type), digest, ...(detail === undefined ? {} : { detail }) }
  return { event, said, ...(bound === undefined ? {} : { bound }) }
}

const GLOBAL = '61dfe48bca93d211aa0d00e098032b8c' // EFI_GLOBAL_VARIABLE, as its bytes stand in the log
const IMAGE_SECURITY = 'cbb219d73a3d9645a3bcdad00e67656f' // EFI_IMAGE_SECURITY_DATABASE_GUID
const KEYS: Readonly<Record<string, string>> = { PK: GLOBAL, KEK: GLOBAL, db: IMAGE_SECURITY, dbx: IMAGE_SECURITY }

function bootFacts(p: Primitives, kind: RegisterKind, bank: HashName, proven: readonly Proven[]): BootFacts {
  const digestsOf = (words: readonly number[]) => words.map(word => toHex(p.hash(bank, new Uint8Array(4).fill(word, 0, word === 1 ? 1 : 4))))
  const [ends, failed] = [digestsOf([0, 0xff, 1]), digestsOf([1])]
  const policy = proven.filter(one => one.said.register === (kind === 'pcr' ? 'PCR7' : 'RTMR0'))
  const end = policy.findIndex(one => ends.includes(one.said.digest))
  const variables = policy.slice(0, Math.max(0, end)).flatMap(provenVariable)
  const secure = variables.filter(one => one.name === 'SecureBoot' && one.guid === GLOBAL).map(one => one.value.length === 1 && one.value[0] === 1)
  const digests = (type: number) => proven.filter(one => one.event.type === type).map(one => one.said.digest)
  return {
    ...(secure.length === 0 ? {} : { secureBoot: secure.every(Boolean) }),
    secureBootKeys: Object.fromEntries(variables.filter(one => Object.hasOwn(KEYS, one.name) && KEYS[one.name] === one.guid).map(one => [one.name, toHex(p.hash('sha256', one.value))])),
    authorities: digests(EV.variableAuthority), images: digests(EV.bootServicesApplication),
    commandLines: proven.flatMap(one => commandLine(kind, one)), ukiSections: ukiSections(kind, proven),
    errors: proven.filter(one => failed.includes(one.said.digest)).map(one => one.said.register),
  }
}

/** Whatever the log calls the event: its whole data is a variable, and its digest proves it. */
function provenVariable(one: Proven) {
  const variable = one.bound === one.event.data ? attempt(() => readVariable(one.event.data)) : undefined
  return variable?.ok === true ? [variable.value] : []
}

const COMMAND_LINE = /^(?:grub_)?kernel_cmdline:? /

function commandLine(kind: RegisterKind, one: Proven): string[] {
  if (one.event.type !== EV.ipl || one.bound === undefined) return []
  const whole = textOf(one.event.data) ?? ''
  const said = COMMAND_LINE.test(whole) && (kind === 'rtmr' ? one.said.register === 'RTMR2' : one.said.register === 'PCR8')
  if (said) return [whole.replace(COMMAND_LINE, '')]
  return one.said.register === 'PCR12' ? [textOf(one.bound) ?? ''].filter(text => text !== '') : []
}

/** systemd-stub extends twice for each section, by its name and by its content, and both entries carry the name. The first of a name counts: it ran before anything that could add another. */
function ukiSections(kind: RegisterKind, proven: readonly Proven[]): Record<string, string> {
  const entries = proven.filter(one => one.event.type === EV.ipl && one.said.register === (kind === 'pcr' ? 'PCR11' : 'RTMR2'))
  const sections: Record<string, string> = {}
  entries.forEach((one, i) => {
    const name = textOf(one.event.data)
    const before = entries[i - 1]
    const paired = before?.bound !== undefined && equal(before.event.data, one.event.data) && one.bound === undefined
    if (name !== undefined && /^\.[a-z]{2,16}$/.test(name) && paired && !Object.hasOwn(sections, name)) sections[name] = one.said.digest
  })
  return sections
}
