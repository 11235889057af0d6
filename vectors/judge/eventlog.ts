/**
 * Judges the event-log cases of a manifest: a log alone is parsed and replayed (`parse`: no signature says whether it is
 * true); beside a TD quote its replay must give the quote's RTMRs. The quote's own signature is the business of the TDX
 * cases. A dstack log is judged the same way.
 */
import { equal } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import { parseJson, parseJsonObject } from '@cloister/core/bytes/json'
import { readDstackLog } from '@cloister/core/evidence/eventlog/dstack'
import { parseEventLog, type EventLog } from '@cloister/core/evidence/eventlog/log'
import { sha1 } from '@cloister/core/crypto/ocsp'
import { proveEvents, replay } from '@cloister/core/evidence/eventlog/replay'
import { attempt, refuse, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

export interface Case { readonly id: string; readonly tee: string; readonly kind?: string; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly chain?: readonly string[] | null; readonly valid_at?: string | null; readonly expect: { readonly verdict: string; readonly [part: string]: unknown } }
export interface Judgement { readonly verdict: 'accept' | 'reject' | 'parse' | 'unsupported'; readonly differs: string[]; readonly refusal?: Refusal }
export type Read = (path: string) => Uint8Array

/** Expected values that are not there, or others. Maps may hold more than is expected; lists may not. */
export function differences(expected: unknown, got: unknown, at: string): string[] {
  if (Array.isArray(expected) && Array.isArray(got) && expected.length === got.length) return expected.flatMap((one, i) => differences(one, got[i], `${at}[${i}]`))
  if (typeof expected === 'object' && expected !== null && !Array.isArray(expected) && typeof got === 'object' && got !== null && !Array.isArray(got)) {
    const found = new Map<string, unknown>(Object.entries(got))
    return Object.entries(expected).flatMap(([key, value]) => differences(value, found.get(key), `${at}.${key}`))
  }
  return JSON.stringify(expected) === JSON.stringify(got) ? [] : [`${at}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`]
}

/** The bytes of the files of a role, in order. */
export const filesOf = (one: Case, role: string, read: Read): Uint8Array[] => one.files.filter(file => file.role === role).map(file => read(file.path))

export const judged = (verdict: Judgement['verdict'], differs: string[], refusal?: Refusal): Judgement => ({ verdict, differs, ...(refusal === undefined ? {} : { refusal }) })

export function judge(one: Case, read: Read): Judgement {
  const [binary] = filesOf(one, 'eventlog', read)
  const [evidence] = filesOf(one, 'evidence', read)
  const [quote] = filesOf(one, 'quote', read)
  const log = attempt(() => binary !== undefined ? parseEventLog(binary) : evidence !== undefined ? dstackLog(evidence) : refuse('evidence.missing', one.id, 'an event log', 'none'))
  if (!log.ok) return judged('reject', [], log.refusal)
  const differs = differences(one.expect['eventlog'] ?? {}, factsOf(log.value), 'eventlog')
  if (quote === undefined) return judged('parse', differs)
  const body = attempt(() => tdBody(quote))
  if (!body.ok) return judged('reject', differs, body.refusal)
  return againstQuote(one, log.value, body.value, differs)
}

function dstackLog(evidence: Uint8Array): EventLog {
  const log = parseJsonObject(evidence)['event_log']
  return readDstackLog(p, typeof log === 'string' ? parseJson(log) : log ?? refuse('evidence.missing', 'event_log', 'a log', 'none'))
}

function factsOf(log: EventLog) {
  const pcrs = Object.fromEntries(log.banks.map(bank => [bank, Object.fromEntries([...replay(data => (bank === 'sha1' ? sha1(data) : p.hash(bank, data)), log, bank)].map(([index, value]) => [index, toHex(value)]))]))
  return { format: log.format, events: log.events.length, used_bytes: log.usedBytes, pcrs }
}

/** The manifest shows no more of a payload. */
const SHOWN_DIGITS = 160

interface TdBody { readonly rtmrs: readonly Uint8Array[]; readonly reportData: Uint8Array }

/** The registers of a TD quote of version 4 or 5 (evidence.md section B). */
function tdBody(quote: Uint8Array): TdBody {
  const start = quote[0] === 4 ? 48 : quote[0] === 5 ? 54 : refuse('evidence.version', 'quote.version', '4 or 5', String(quote[0]))
  if (quote.length < start + 584) refuse('bytes.truncated', 'quote', `${start + 584} bytes`, `${quote.length} bytes`)
  return { rtmrs: [0, 1, 2, 3].map(n => quote.subarray(start + 328 + 48 * n, start + 376 + 48 * n)), reportData: quote.subarray(start + 520, start + 584) }
}

function againstQuote(one: Case, log: EventLog, { rtmrs, reportData }: TdBody, before: string[]): Judgement {
  const values = new Map(rtmrs.map((value, n) => [n + 1, value]))
  const proven = attempt(() => proveEvents(p, log, { kind: 'rtmr', bank: 'sha384', values }))
  const replayed = replay(data => p.hash('sha384', data), log, 'sha384')
  const match = Object.fromEntries(rtmrs.map((value, n) => [n, equal(value, replayed.get(n + 1) ?? new Uint8Array(48))]))
  const fields = { report_data: toHex(reportData), rtmr3_events: log.events.filter(event => event.index === 4).map(event => [event.name ?? '', toHex(event.data).slice(0, SHOWN_DIGITS)]) }
  const differs = [...before, ...differences(one.expect['rtmr_match'] ?? {}, match, 'rtmr_match'), ...differences(one.expect['fields'] ?? {}, fields, 'fields')]
  if (!proven.ok) return judged('reject', differs, proven.refusal)
  // A register that the log says nothing of is not explained by it.
  return judged(proven.value.uncovered.length === 0 ? 'accept' : 'reject', differs)
}
