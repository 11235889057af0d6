// The front door of evidence: shapes that are refused before anything is verified, and the memory of verified parts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { portable as p } from '../crypto/portable.ts'
import { tdxEvidence } from './azure/azure.fixture.ts'
import { parseEvidence, verifyEvidence } from './index.ts'
import { remember, type VerifiedCache } from './options.ts'
import { TEXT_MAX } from './shape.ts'

const refusal = (value: unknown) => { const result = parseEvidence(value); return result.ok ? 'accepted' : [result.refusal.code, result.refusal.at] }

test('nothing, no object, another kind, an unknown field, another type, too long, too many', () => {
  assert.deepEqual([refusal(undefined), refusal(null)], [['evidence.missing', 'evidence'], ['evidence.missing', 'evidence']])
  for (const value of [7, 'text', [], true]) assert.deepEqual(refusal(value), ['evidence.parse', 'evidence'])
  for (const kind of [undefined, 'other', 7, null, {}, 'constructor']) assert.deepEqual(refusal({ kind }), ['evidence.kind', 'evidence.kind'])
  const snp = (change: object) => refusal({ kind: 'snp', report: 'AA==', certificates: [], ...change })
  assert.equal(snp({}), 'accepted')
  assert.deepEqual(snp({ more: 1 }), ['evidence.parse', 'evidence.more'])
  assert.deepEqual([snp({ report: 7 }), snp({ report: undefined })], [['evidence.parse', 'evidence.report'], ['evidence.parse', 'evidence.report']])
  assert.deepEqual(snp({ report: 'A'.repeat(TEXT_MAX + 1) }), ['evidence.parse', 'evidence.report'])
  assert.equal(snp({ report: 'A'.repeat(TEXT_MAX) }), 'accepted')
  assert.deepEqual([snp({ certificates: 'AA==' }), snp({ certificates: Array.from({ length: 9 }, () => 'AA==') }), snp({ certificates: [7] })], [['evidence.parse', 'evidence.certificates'], ['evidence.parse', 'evidence.certificates'], ['evidence.parse', 'evidence.certificates[0]']])
  assert.deepEqual(refusal({ kind: 'tdx', quote: 'AA==', collateral: [] }), ['evidence.parse', 'evidence.collateral'])
  assert.deepEqual(refusal({ kind: 'tdx', quote: 'AA==' }), ['evidence.missing', 'evidence.collateral'])
  assert.equal(verifyEvidence(p, { kind: 'snp', report: '', certificates: [] }, { now: 0 }).ok, false)
})

test('the memory of verified parts: one entry for the same bytes, never past its time, never without end', () => {
  const cache: VerifiedCache = new Map()
  let found = 0
  const ask = (now: number, ...parts: number[]) => remember(p, { now, cache }, 'test', parts.map(byte => new Uint8Array([byte])), () => ({ notBefore: 10, notAfter: 20, value: ++found })).value
  assert.deepEqual([ask(10, 1), ask(20, 1), ask(15, 2), ask(15, 1, 2)], [1, 1, 2, 3])
  assert.equal(cache.size, 3)
  assert.deepEqual([ask(9, 1), ask(21, 1)], [4, 5])
  assert.equal(remember(p, { now: 15 }, 'test', [new Uint8Array([1])], () => ({ notBefore: 10, notAfter: 20, value: ++found })).value, 6)
  for (let i = 0; i < 5000; i++) remember(p, { now: 15, cache }, 'test', [new Uint8Array([i & 255, i >> 8, 7])], () => ({ notBefore: 10, notAfter: 20 }))
  assert.ok(cache.size <= 4096, String(cache.size))
})

test('a TD quote on Azure without collateral: said where it is missing, and how to get it', () => {
  const result = verifyEvidence(p, tdxEvidence(), { now: 0 })
  assert.ok(!result.ok)
  assert.deepEqual([result.refusal.code, result.refusal.at], ['evidence.missing', 'collateral'])
  assert.match(result.refusal.fix ?? '', /cloister collateral export/)
})
