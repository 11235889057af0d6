import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import { attempt } from '../refusal.ts'
import { extendRange, rangeOf, rangeRootOf } from './range.ts'
import { leafHash, nodeHash, rootAt, type HashAt } from './tree.ts'

const entries = Array.from({ length: 70 }, (_, i) => utf8(`entry ${i}`))
const hashAt: HashAt = (level, index) => (level === 0 ? leafHash(p, entries[index] ?? assert.fail()) : nodeHash(p, hashAt(level - 1, 2 * index), hashAt(level - 1, 2 * index + 1)))

test('from any size to any later one, a range comes to the root of the tree', () => {
  fc.assert(fc.property(fc.nat(70), fc.nat(70), (a, b) => {
    const [from, to] = [Math.min(a, b), Math.max(a, b)]
    const range = rangeOf(from, hashAt)
    assert.deepEqual(rangeRootOf(p, range), rootAt(p, from, hashAt))
    const extended = extendRange(p, from, range, entries.slice(from, to))
    assert.deepEqual(extended, rangeOf(to, hashAt))
    assert.deepEqual(rangeRootOf(p, extended), rootAt(p, to, hashAt))
  }))
})

test('one entry less, one more or another, and it is another root; a range of another size is refused', () => {
  const root = rootAt(p, 40, hashAt)
  const end = (list: readonly Uint8Array[]) => rangeRootOf(p, extendRange(p, 9, rangeOf(9, hashAt), list))
  assert.deepEqual(end(entries.slice(9, 40)), root)
  for (const other of [entries.slice(9, 39), entries.slice(9, 41), entries.slice(10, 40), [...entries.slice(9, 39), utf8('other')]]) assert.notDeepEqual(end(other), root)
  for (const [size, range] of [[8, rangeOf(9, hashAt)], [9, rangeOf(8, hashAt)], [-1, []], [0.5, []], [9, [new Uint8Array(31), new Uint8Array(32)]]] as const) {
    const result = attempt(() => extendRange(p, size, range, []))
    assert.equal(result.ok ? 'ok' : result.refusal.code, 'log.consistency')
  }
})
