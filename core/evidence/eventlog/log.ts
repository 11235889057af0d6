/**
 * The event log that firmware writes beside its measurements (TCG PC Client Platform Firmware Profile 1.06 section 10):
 * crypto-agile logs of a TPM, the same form as CC event log of a TDX guest (CCEL), and the older SHA-1-only form. Every
 * length is bounded and the log is read to its end; what follows it may only be padding. Trusts nothing: a log says what
 * happened, and only its replay into signed registers (`replay.ts`) makes it believable.
 */
import { allZero, equal } from '../../bytes/bytes.ts'
import { Reader } from '../../bytes/reader.ts'
import { utf8 } from '../../bytes/text.ts'
import { refuse } from '../../refusal.ts'

/** A family of registers, by its hash. */
export type Bank = 'sha1' | 'sha256' | 'sha384' | 'sha512'
export const DIGEST_BYTES: Record<Bank, number> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }
/** TPM_ALG_ID of the banks (TCG Algorithm Registry). */
export const BANK_OF: Readonly<Record<number, Bank>> = { 0x0004: 'sha1', 0x000b: 'sha256', 0x000c: 'sha384', 0x000d: 'sha512' }

export const EV_NO_ACTION = 0x00000003

export interface LogEvent {
  /** The register as the log counts them: PCR index, or for a CC event log 0 MRTD and n + 1 for RTMR n. */
  readonly index: number
  readonly type: number
  readonly digests: ReadonlyMap<Bank, Uint8Array>
  readonly data: Uint8Array
  /** Name of a runtime event (dstack); TCG events have none. */
  readonly name?: string
}

export interface EventLog {
  readonly format: 'crypto-agile' | 'legacy-sha1' | 'dstack'
  readonly banks: readonly Bank[]
  /** All entries, the specification identifier among them. */
  readonly events: readonly LogEvent[]
  /** Where the log ends; only padding follows. */
  readonly usedBytes: number
  /** The locality from which the TPM was started: the first value of PCR 0 ends in it. */
  readonly startupLocality: number
}

export const LOG_LIMITS = { bytes: 1 << 20, events: 8192, algorithms: 8, register: 31, data: 256 * 1024 }

/** The log in these bytes. Leaves with `evidence.parse`, `evidence.version`, `bytes.*`. */
export function parseEventLog(bytes: Uint8Array, at = 'eventLog'): EventLog {
  if (bytes.length > LOG_LIMITS.bytes) refuse('bytes.too-large', at, `at most ${LOG_LIMITS.bytes} bytes`, `${bytes.length} bytes`)
  const reader = new Reader(bytes, `${at}@`)
  const first = legacyEvent(reader)
  const algorithms = specification(first, at)
  const events = [first]
  while (reader.left > 0 && !isPadding(bytes.subarray(reader.offset))) {
    if (events.length >= LOG_LIMITS.events) refuse('bytes.too-large', reader.where(), `at most ${LOG_LIMITS.events} events`, 'more')
    events.push(algorithms === undefined ? legacyEvent(reader) : agileEvent(reader, algorithms))
  }
  const banks = algorithms === undefined ? ['sha1' as const] : [...algorithms.keys()].flatMap(id => BANK_OF[id] ?? [])
  return { format: algorithms === undefined ? 'legacy-sha1' : 'crypto-agile', banks, events, usedBytes: reader.offset, startupLocality: startupLocality(events, at) }
}

/** TCG_PCR_EVENT: the form of the first entry, and of every entry of an old log. */
function legacyEvent(reader: Reader): LogEvent {
  const where = reader.where()
  const index = reader.u32le()
  const type = reader.u32le()
  const digest = reader.take(DIGEST_BYTES.sha1)
  return checked({ index, type, digests: new Map([['sha1', digest]]), data: sized(reader) }, where)
}

/** TCG_PCR_EVENT2: one digest of each algorithm that the log announced, none twice. */
function agileEvent(reader: Reader, algorithms: ReadonlyMap<number, number>): LogEvent {
  const where = reader.where()
  const index = reader.u32le()
  const type = reader.u32le()
  const count = reader.u32le()
  if (count !== algorithms.size) refuse('evidence.parse', where, `${algorithms.size} digests`, String(count))
  const found = new Map<number, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const id = reader.u16le()
    const size = algorithms.get(id)
    if (size === undefined || found.has(id)) return refuse('evidence.parse', where, 'each announced algorithm once', `algorithm 0x${id.toString(16)}`)
    found.set(id, reader.take(size))
  }
  const digests = new Map<Bank, Uint8Array>()
  for (const [id, digest] of found) {
    const bank = BANK_OF[id]
    if (bank !== undefined) digests.set(bank, digest)
  }
  return checked({ index, type, digests, data: sized(reader) }, where)
}

function sized(reader: Reader): Uint8Array {
  const where = reader.where()
  const size = reader.u32le()
  if (size > LOG_LIMITS.data) refuse('bytes.too-large', where, `at most ${LOG_LIMITS.data} bytes of data`, String(size))
  return reader.take(size)
}

function checked(event: LogEvent, where: string): LogEvent {
  if (event.index > LOG_LIMITS.register && event.type !== EV_NO_ACTION) refuse('evidence.parse', where, `a register up to ${LOG_LIMITS.register}`, String(event.index))
  return event
}

const SPEC_ID = utf8('Spec ID Event03\0')
const SIZES: Readonly<Record<number, number>> = { 0x0004: 20, 0x000b: 32, 0x000c: 48, 0x000d: 64, 0x0012: 32, 0x0027: 32, 0x0028: 48, 0x0029: 64 } // the last: SM3 and SHA-3, read over

/** TCG_EfiSpecIDEvent: the algorithms of a crypto-agile log with their digest sizes; undefined for an old log. */
function specification(first: LogEvent, at: string): ReadonlyMap<number, number> | undefined {
  if (first.type !== EV_NO_ACTION || !equal(first.data.subarray(0, SPEC_ID.length), SPEC_ID)) return undefined
  const where = `${at}.specId`
  // A CC event log begins with it in register 1, whose first event it stands before.
  if (first.index > 1 || !allZero(first.digests.get('sha1') ?? new Uint8Array([1]))) refuse('evidence.parse', where, 'register 0 or 1 and a digest of zeros', 'others')
  const reader = new Reader(first.data.subarray(SPEC_ID.length), `${where}@`)
  reader.u32le() // platform class: client 0, server 1
  const [minor, major, errata, uintn] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()]
  if (major !== 2) refuse('evidence.version', where, 'version 2', `${major}.${minor} errata ${errata}`)
  if (uintn !== 1 && uintn !== 2) refuse('evidence.parse', where, 'UINTN of 4 or 8 bytes', String(uintn))
  const algorithms = readAlgorithms(reader, where)
  reader.take(reader.u8()) // vendor information
  reader.end()
  return algorithms
}

function readAlgorithms(reader: Reader, where: string): ReadonlyMap<number, number> {
  const count = reader.u32le()
  if (count < 1 || count > LOG_LIMITS.algorithms) refuse('evidence.parse', where, `1 to ${LOG_LIMITS.algorithms} algorithms`, String(count))
  const algorithms = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const [id, size] = [reader.u16le(), reader.u16le()]
    if (algorithms.has(id) || SIZES[id] !== size) refuse('evidence.parse', where, 'known algorithms with their own sizes, each once', `0x${id.toString(16)} of ${size} bytes`)
    algorithms.set(id, size)
  }
  return algorithms
}

/** The tables that hold a log are longer than it; firmware fills the rest with 0xff, some with zeros. */
function isPadding(rest: Uint8Array): boolean {
  const [first] = rest
  return (first === 0xff || first === 0) && rest.every(byte => byte === first) && (first === 0xff || rest.length >= 32)
}

const STARTUP = utf8('StartupLocality\0')

/** The locality event must stand before anything is measured into PCR 0, once (PFP section 10.4.5.3). */
function startupLocality(events: readonly LogEvent[], at: string): number {
  const said = events.filter(event => event.type === EV_NO_ACTION && event.data.length === STARTUP.length + 1 && equal(event.data.subarray(0, STARTUP.length), STARTUP))
  const [event, twice] = said
  if (event === undefined) return 0
  const locality = event.data[STARTUP.length] ?? 0
  const early = !events.slice(0, events.indexOf(event)).some(one => one.index === 0 && one.type !== EV_NO_ACTION)
  if (twice !== undefined || !early || event.index !== 0 || ![0, 3, 4].includes(locality)) refuse('evidence.parse', `${at}.startupLocality`, 'locality 0, 3 or 4, said once before the first measurement', twice === undefined ? `locality ${locality} for register ${event.index}` : 'several')
  return locality
}
