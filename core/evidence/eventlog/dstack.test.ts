import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import type { Json } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { readDstackLog } from './dstack.ts'
import { hashIn } from './log.fixture.ts'
import { proveEvents, replay } from './replay.ts'

const RUNTIME = 0x08000001
const digest = (name: string, payload: string) => toHex(p.hash('sha384', concat(new Uint8Array([1, 0, 0, 8]), utf8(`:${name}:`), utf8(payload))))
const runtime = (name: string, payload: string, change: Record<string, Json> = {}): Json => ({ imr: 3, event_type: RUNTIME, digest: digest(name, payload), event: name, event_payload: toHex(utf8(payload)), ...change })
const boot = (change: Record<string, Json> = {}): Json => ({ imr: 0, event_type: 4, digest: toHex(p.hash('sha384', new Uint8Array(4))), event: '', event_payload: '00000000', ...change })

function refused(json: Json, code: RefusalCode, at?: string): void {
  const result = attempt(() => readDstackLog(p, json))
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}

test('runtime events are proven with name and payload, in the full and in the lite form', () => {
  for (const change of [{}, { digest: '' }]) {
    const log = readDstackLog(p, [boot(), runtime('app-id', 'a', change), runtime('ready', '', change)])
    const zero: Uint8Array = new Uint8Array(48)
    const fold = (...digests: string[]) => digests.reduce((value, one) => p.hash('sha384', concat(value, fromHex(one))), zero)
    assert.deepEqual(replay(hashIn('sha384'), log, 'sha384').get(4), fold(digest('app-id', 'a'), digest('ready', '')))
    const { events, uncovered } = proveEvents(p, log, { kind: 'rtmr', bank: 'sha384', values: new Map([[1, replay(hashIn('sha384'), log, 'sha384').get(1) ?? zero], [2, zero], [3, zero], [4, fold(digest('app-id', 'a'), digest('ready', ''))]]) })
    assert.deepEqual(events.map(one => [one.register, one.type, one.detail]), [['RTMR0', 'EV_SEPARATOR', '00000000'], ['RTMR3', 'dstack-runtime', `app-id=${toHex(utf8('a'))}`], ['RTMR3', 'dstack-runtime', 'ready=']])
    assert.deepEqual(uncovered, [])
  }
})

test('a runtime event under another digest, name or payload is refused', () => {
  refused([runtime('a', 'b', { digest: digest('a', 'c') })], 'evidence.event-log', 'eventLog[0].digest')
  refused([runtime('a', 'b', { event: 'c' })], 'evidence.event-log')
  refused([runtime('a', 'b', { event_payload: '00' })], 'evidence.event-log')
})

test('runtime events stand in RTMR3 and nothing else does; boot events bring their digests', () => {
  refused([runtime('a', 'b', { imr: 2 })], 'evidence.event-log')
  refused([boot({ imr: 3 })], 'evidence.event-log')
  refused([boot({ digest: '' })], 'evidence.missing')
})

test('only the fields and types of the format', () => {
  for (const value of [{}, 'text', null, [1], [runtime('a', 'b', { more: 1 })], [runtime('a', 'b', { imr: 4 })], [runtime('a', 'b', { imr: '3' })], [runtime('a', 'b', { event_type: -1 })], [runtime('a', 'b', { event_type: 2 ** 32 })], [runtime('a', 'b', { event: 1 })], [runtime('a'.repeat(257), 'b')], [boot({ digest: '00' })]]) refused(value, 'evidence.parse')
  refused([1], 'evidence.parse', 'eventLog[0]')
  refused([boot({ event_payload: '0' })], 'bytes.encoding')
  refused(Array.from({ length: 4097 }, () => boot()), 'evidence.parse')
})
