/**
 * Measurements that are expected, one by one: each with the register that it goes to and what it is of, so that a register
 * that came out otherwise can be traced to the event that differs. Folding them gives the registers; a log that a quote
 * proved (`proveEvents`) can be compared entry by entry. Trusts the port for hashing.
 */
import { concat, equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { HashName, Primitives } from '../../crypto/primitives.ts'
import { typeName } from '../../evidence/eventlog/events.ts'
import { DIGEST_BYTES, EV_NO_ACTION, type EventLog, type LogEvent } from '../../evidence/eventlog/log.ts'
import { registerName, type RegisterKind } from '../../evidence/eventlog/replay.ts'
import { attempt, refuse, type Refusal, type Result } from '../../refusal.ts'
import { little } from './firmware.ts'

export interface ExpectedEvent {
  /** TCG name: `PCR11`, `RTMR2`. */
  readonly register: string
  /** For people: `.linux, content`. */
  readonly what: string
  readonly digest: Uint8Array
  /** Measured by programs that run later and write no entry into the log of firmware (systemd's boot phases). */
  readonly later?: true
}

export interface Prediction {
  readonly bank: HashName
  readonly events: readonly ExpectedEvent[]
  /** Hex, by name; registers of which it is known that nothing is measured into them are zeros. */
  readonly registers: Readonly<Record<string, string>>
  /** Registers that cannot be told from what was given, and why. */
  readonly unknown: readonly Refusal[]
}

/** The registers that these events leave behind, from zeros; `untouched` ones stay zeros. */
export function foldEvents(p: Primitives, bank: HashName, events: readonly ExpectedEvent[], untouched: readonly string[] = [], unknown: readonly Refusal[] = []): Prediction {
  const zero = new Uint8Array(DIGEST_BYTES[bank])
  const registers = new Map<string, Uint8Array>(untouched.map(name => [name, zero]))
  for (const { register, digest } of events) registers.set(register, p.hash(bank, concat(registers.get(register) ?? zero, digest)))
  return { bank, events, registers: Object.fromEntries([...registers].map(([name, value]) => [name, toHex(value)])), unknown }
}

/**
 * The registers in which a log has exactly the expected events. Refuses with `evidence.reference` at the first event that
 * differs, and with `evidence.event-log` a log without this bank. Compare a log that a signature proved: any other may say what it likes.
 *
 * @example
 * compareWithLog('pcr', prediction, log) // → { ok: false, refusal: { at: 'PCR11[3]', expected: '.cmdline, content: 9f…', got: 'EV_IPL: 07…' } }
 */
export function compareWithLog(kind: RegisterKind, prediction: Prediction, log: EventLog): Result<readonly string[]> {
  return attempt(() => Object.keys(prediction.registers).map(register => {
    const expected = prediction.events.filter(one => one.register === register && one.later !== true)
    const measured = log.events.filter(one => one.type !== EV_NO_ACTION && registerName(kind, one.index) === register)
    for (let i = 0; i < Math.max(expected.length, measured.length); i++) compareEvent(prediction.bank, expected[i], measured[i], `${register}[${i}]`)
    return register
  }))
}

function compareEvent(bank: HashName, expected: ExpectedEvent | undefined, measured: LogEvent | undefined, at: string): void {
  const digest = measured?.digests.get(bank)
  if (measured !== undefined && digest === undefined) refuse('evidence.event-log', at, `a digest in the ${bank} bank`, 'none')
  if (expected !== undefined && digest !== undefined && equal(expected.digest, digest)) return
  const got = measured === undefined || digest === undefined ? 'the end of the log' : `${typeName(measured.type)}: ${toHex(digest)}`
  refuse('evidence.reference', at, expected === undefined ? 'nothing further' : `${expected.what}: ${toHex(expected.digest)}`, got)
}

/** An event whose digest is the hash of these bytes. */
export const eventOf = (p: Primitives, bank: HashName, register: string, what: string, bytes: Uint8Array): ExpectedEvent => ({ register, what, digest: p.hash(bank, bytes) })

/** Text in UTF-16, little-endian, as UEFI writes it; ASCII only, so that no writer can encode it in another way. */
export function utf16(text: string, at: string): Uint8Array {
  if (!/^[\x20-\x7e]*$/.test(text)) refuse('evidence.unsupported', at, 'printable ASCII', text)
  return concat(...[...text].map(sign => little(sign.charCodeAt(0), 2)))
}
