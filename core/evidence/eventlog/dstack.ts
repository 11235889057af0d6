/**
 * The event log of a dstack guest: JSON beside a TDX quote, one entry for each extension of an RTMR. Runtime events carry
 * a name and a payload, and their digest is sha384(le32(type) ":" name ":" payload); it is recomputed here, also in the
 * `lite` form, which leaves digests out. Trusts nothing until `proveEvents` compares the replay with a signed quote.
 */
import { equal } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { isObject, kindOf, type Json } from '../../bytes/json.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { EV, runtimeBytes } from './events.ts'
import { LOG_LIMITS, type EventLog, type LogEvent } from './log.ts'

const LIMITS = { events: 4096, name: 256, registers: 4 }
const RUNTIME_REGISTER = 3
const KEYS = ['imr', 'event_type', 'digest', 'event', 'event_payload']

/** The log as `parseEventLog` would give it: index n + 1 is RTMR n. Leaves with `evidence.parse`, `evidence.event-log` or `bytes.*`. */
export function readDstackLog(p: Primitives, json: Json, at = 'eventLog'): EventLog {
  if (!Array.isArray(json) || json.length > LIMITS.events) return refuse('evidence.parse', at, `a list of at most ${LIMITS.events} events`, Array.isArray(json) ? String(json.length) : kindOf(json))
  const events = json.map((one: Json, i) => readEvent(p, one, `${at}[${i}]`))
  return { format: 'dstack', banks: ['sha384'], events, usedBytes: 0, startupLocality: 0 }
}

function readEvent(p: Primitives, json: Json, at: string): LogEvent {
  if (!isObject(json)) return refuse('evidence.parse', at, 'an event', kindOf(json))
  for (const key of Object.keys(json)) if (!KEYS.includes(key)) refuse('evidence.parse', `${at}.${key}`, KEYS.join(', '), key)
  const register = integer(json['imr'], LIMITS.registers - 1, `${at}.imr`)
  const type = integer(json['event_type'], 0xffffffff, `${at}.event_type`)
  const name = text(json['event'], LIMITS.name, `${at}.event`)
  const data = fromHex(text(json['event_payload'], 2 * LOG_LIMITS.data, `${at}.event_payload`), `${at}.event_payload`)
  const said = fromHex(text(json['digest'], 96, `${at}.digest`), `${at}.digest`)
  if (said.length !== 0 && said.length !== 48) refuse('evidence.parse', `${at}.digest`, '48 bytes, or none', `${said.length} bytes`)
  const runtime = type === EV.dstackRuntime
  // Only the guest's own agent writes to the last register, and only runtime events: another entry could not be understood.
  if (runtime !== (register === RUNTIME_REGISTER)) refuse('evidence.event-log', at, 'runtime events in RTMR3 and only there', `type ${type} in RTMR${register}`)
  const digest = runtime ? p.hash('sha384', runtimeBytes(type, name, data)) : said
  if (digest.length === 0) refuse('evidence.missing', `${at}.digest`, 'the digest of a boot event', 'none')
  if (said.length > 0 && !equal(said, digest)) refuse('evidence.event-log', `${at}.digest`, toHex(digest), toHex(said))
  return { index: register + 1, type, digests: new Map([['sha384', digest]]), data, ...(runtime ? { name } : {}) }
}

function integer(value: Json | undefined, max: number, at: string): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max ? value : refuse('evidence.parse', at, `a number up to ${max}`, typeof value === 'number' ? String(value) : kindOf(value))
}

function text(value: Json | undefined, max: number, at: string): string {
  return typeof value === 'string' && value.length <= max ? value : refuse('evidence.parse', at, `a text of at most ${max} characters`, typeof value === 'string' ? `${value.length} characters` : kindOf(value))
}
