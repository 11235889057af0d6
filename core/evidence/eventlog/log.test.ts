import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { agile, bootOf, IDS, le, legacy, logOf, sized, specId, standardSpec } from './log.fixture.ts'
import { DIGEST_BYTES, LOG_LIMITS, parseEventLog, type Bank } from './log.ts'

function refused(bytes: Uint8Array, code: RefusalCode): void {
  const result = attempt(() => parseEventLog(bytes))
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}
const action = { index: 4, type: 0x80000007, data: utf8('boot') }
const locality = (value: number, index = 0) => ({ index, type: 3, data: concat(utf8('StartupLocality\0'), new Uint8Array([value])) })

test('a crypto-agile log gives its banks, events and where it ends', () => {
  const bytes = logOf(bootOf(), ['sha1', 'sha256', 'sha384'])
  const log = parseEventLog(bytes)
  assert.deepEqual([log.format, log.banks, log.events.length, log.usedBytes, log.startupLocality], ['crypto-agile', ['sha1', 'sha256', 'sha384'], bootOf().length + 1, bytes.length, 3])
  assert.deepEqual(log.events.slice(1).map(event => [event.index, event.type, event.data]), bootOf().map(event => [event.index, event.type, event.data]))
})

test('an old log is SHA-1 and nothing else', () => {
  const log = parseEventLog(concat(legacy(action), legacy(action)))
  assert.deepEqual([log.format, log.banks, log.events.length], ['legacy-sha1', ['sha1'], 2])
})

test('a table longer than its log is filled with 0xff or with zeros, and with nothing else', () => {
  const bytes = logOf([action])
  for (const filling of [new Uint8Array(1).fill(0xff), new Uint8Array(1000).fill(0xff), new Uint8Array(64)]) assert.equal(parseEventLog(concat(bytes, filling)).usedBytes, bytes.length)
  refused(concat(bytes, new Uint8Array(8)), 'bytes.truncated')
  refused(concat(bytes, new Uint8Array(64).fill(0xff, 0, 63)), 'evidence.parse')
  refused(concat(bytes, new Uint8Array([0xff, 0xff, 0])), 'bytes.truncated')
})

test('a specification identifier that is not one of version 2 with known algorithms is refused', () => {
  const all = Object.keys(IDS).map(bank => [IDS[bank as Bank], DIGEST_BYTES[bank as Bank]] as const) // the keys of IDS are the banks
  assert.deepEqual(parseEventLog(specId(all)).banks, ['sha1', 'sha256', 'sha384', 'sha512'])
  assert.deepEqual(parseEventLog(specId([[11, 32], [0x12, 32]])).banks, ['sha256']) // SM3 is read over
  refused(specId([[11, 32]], { version: 1 }), 'evidence.version')
  refused(specId([[11, 32]], { uintn: 3 }), 'evidence.parse')
  refused(specId([]), 'evidence.parse')
  refused(specId([[11, 32]], { count: 2 }), 'bytes.truncated')
  refused(specId([[11, 32]], { count: 9 }), 'evidence.parse')
  refused(specId([[11, 33]]), 'evidence.parse')
  refused(specId([[0x99, 32]]), 'evidence.parse')
  refused(specId([[11, 32], [11, 32]]), 'evidence.parse')
  refused(specId([[11, 32]], { tail: new Uint8Array([0]) }), 'bytes.trailing')
  refused(specId([[11, 32]], { index: 2 }), 'evidence.parse')
  refused(specId([[11, 32]], { digest: new Uint8Array(20).fill(1) }), 'evidence.parse')
  assert.equal(parseEventLog(specId([[12, 48]], { index: 1 })).events.length, 1) // a CC event log
})

test('each announced algorithm has one digest in each event', () => {
  const start = standardSpec(['sha256', 'sha384'])
  const event = (count: number, ...digests: [number, number][]) => concat(start, le(4, 4), le(5, 4), le(count, 4), ...digests.map(([id, size]) => concat(le(id, 2), new Uint8Array(size))), sized(utf8('x')))
  assert.equal(parseEventLog(event(2, [12, 48], [11, 32])).events.length, 2)
  refused(event(1, [11, 32]), 'evidence.parse')
  refused(event(3, [11, 32], [12, 48], [13, 64]), 'evidence.parse')
  refused(event(2, [11, 32], [11, 32]), 'evidence.parse')
  refused(event(2, [11, 32], [13, 64]), 'evidence.parse')
})

test('limits: bytes, events, data, registers', () => {
  refused(new Uint8Array(LOG_LIMITS.bytes + 1), 'bytes.too-large')
  refused(concat(standardSpec(['sha256']), ...Array.from({ length: LOG_LIMITS.events }, () => agile({ index: 1, type: 5, data: new Uint8Array() }, ['sha256']))), 'bytes.too-large')
  refused(concat(standardSpec(['sha256']), agile(action, ['sha256']).slice(0, -8), le(LOG_LIMITS.data + 1, 4)), 'bytes.too-large')
  refused(logOf([{ ...action, index: LOG_LIMITS.register + 1 }]), 'evidence.parse')
  assert.equal(parseEventLog(logOf([{ index: 0xffffffff, type: 3, data: utf8('no register') }])).events.length, 2)
})

test('the locality is said once, for register 0, before its first measurement', () => {
  const crtm = { index: 0, type: 8, data: utf8('v') }
  for (const value of [0, 3, 4]) assert.equal(parseEventLog(logOf([locality(value), crtm])).startupLocality, value)
  assert.equal(parseEventLog(logOf([action, locality(3), crtm])).startupLocality, 3)
  assert.equal(parseEventLog(logOf([{ ...locality(3), type: 5 }, crtm])).startupLocality, 0)
  refused(logOf([locality(2)]), 'evidence.parse')
  refused(logOf([locality(3, 1)]), 'evidence.parse')
  refused(logOf([crtm, locality(3)]), 'evidence.parse')
  refused(logOf([locality(3), locality(3)]), 'evidence.parse')
})

const planned = fc.array(fc.record({ index: fc.nat(LOG_LIMITS.register), type: fc.constantFrom(0, 1, 4, 5, 6, 8, 0xd, 0x80000001, 0x80000002, 0x80000003, 0x80000007, 0x800000e0, 0x7fffffff), data: fc.uint8Array({ maxLength: 60 }) }), { maxLength: 8 })
const banks = fc.uniqueArray(fc.constantFrom<Bank>('sha1', 'sha256', 'sha384', 'sha512'), { minLength: 1, maxLength: 4 })

test('whatever is written is read back', () => {
  fc.assert(fc.property(planned, banks, (events, algorithms) => {
    const log = parseEventLog(logOf(events, algorithms))
    assert.deepEqual(log.events.slice(1).map(({ index, type, data }) => [index, type, data]), events.map(({ index, type, data }) => [index, type, data]))
    assert.deepEqual(log.events.slice(1).map(event => [...event.digests.keys()]), events.map(() => algorithms))
  }), { numRuns: 100 })
})

test('a log that was changed anywhere is read or refused, never more (attacks.md rows 1 to 4)', () => {
  fc.assert(fc.property(planned, banks, fc.nat(), fc.nat(255), fc.constantFrom('flip', 'cut', 'append', 'length'), (events, algorithms, where, by, how) => {
    const bytes = logOf(events, algorithms)
    const at = where % bytes.length
    const changed = how === 'cut' ? bytes.slice(0, at) : how === 'append' ? concat(bytes, new Uint8Array([by, 1])) : bytes.slice()
    if (how === 'flip') changed[at] = (changed[at] ?? 0) ^ (1 << (by % 8))
    if (how === 'length') changed[at] = ((changed[at] ?? 0) + (by % 2 === 0 ? 1 : 255)) & 255
    const result = attempt(() => parseEventLog(changed))
    if (result.ok) assert.ok(result.value.usedBytes <= changed.length)
  }), { numRuns: 300 })
})
