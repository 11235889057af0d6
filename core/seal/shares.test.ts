// An asset's key split over brokers: any k of n open it, a false share is named, nothing of one key opens another.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { parseJson } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Random } from '../crypto/primitives.ts'
import { attempt, type Result } from '../refusal.ts'
import { checkPart, joinKey, parseSplit, partOf, putSubject, splitDigest, splitKey, type KeyAbout } from './shares.ts'

const refused = (result: Result<unknown>, ...codes: string[]) => {
  assert.ok(!result.ok, 'accepted')
  assert.ok(codes.includes(result.refusal.code), result.refusal.code)
}
const given = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
let drawn = 0
const random: Random = length => p.shake256(utf8(`shares ${drawn++}`), length)

const IDENTITY = 'AGE-SECRET-KEY-PQ-1EXAMPLE'
const about: KeyAbout = { lineage: `sha256:${'11'.repeat(32)}`, asset: 'a-claims', version: 3, digest: `sha256:${'22'.repeat(32)}` }
const { split, shares } = splitKey(p, about, IDENTITY, { need: 2, of: 3 }, random)
const part = (index: number) => ({ index, share: shares[index - 1] ?? assert.fail() })
const altered = (text: string) => {
  const bytes = fromBase64(text).slice()
  bytes[5] = (bytes[5] ?? 0) ^ 1
  return toBase64(bytes)
}

test('any two of three open it; one does not', () => {
  for (const [a, b] of [[1, 2], [3, 1], [2, 3]] as const) assert.equal(given(joinKey(p, about, split, [part(a), part(b)])).identity, IDENTITY)
  refused(joinKey(p, about, split, [part(2)]), 'share.too-few')
  refused(joinKey(p, about, split, []), 'share.too-few')
  assert.equal(JSON.stringify(split).includes(IDENTITY), false)
})

test('one of one is the same road', () => {
  const whole = splitKey(p, about, IDENTITY, { need: 1, of: 1 }, random)
  assert.equal(given(joinKey(p, about, whole.split, [{ index: 1, share: whole.shares[0] ?? '' }])).identity, IDENTITY)
})

test('a false share is named by its place in the list, and the others go on', () => {
  const wrong = [{ index: 2, share: altered(shares[1] ?? '') }, { index: 1, share: 'not base64' }, { index: 2, share: shares[0] ?? '' }, { index: 1, share: toBase64(utf8('short')) }]
  for (const one of wrong) {
    const joined = given(joinKey(p, about, split, [one, part(3), part(1)]))
    assert.deepEqual([joined.identity, joined.used, joined.faulty.map(faulty => faulty.position)], [IDENTITY, [1, 3], [0]])
    assert.match(joined.faulty[0]?.refusal.code ?? '', /^(share\.(false|form|index)|bytes\.encoding)$/)
  }
  const two = given(joinKey(p, about, split, [{ index: 3, share: 'x' }, part(1), { index: 3, share: altered(shares[2] ?? '') }, part(1), part(2)]))
  assert.deepEqual(two.faulty.map(one => one.position).sort(), [0, 2, 3])
  refused(joinKey(p, about, split, Array.from({ length: 33 }, () => part(1))), 'share.threshold')
})

test('shares of another split of the same key are false here', () => {
  const other = splitKey(p, about, IDENTITY, { need: 2, of: 3 }, random)
  refused(joinKey(p, about, split, [part(1), { index: 2, share: other.shares[1] ?? '' }]), 'share.too-few')
  refused(checkPart({ split, index: 2 }, other.shares[1] ?? ''), 'share.false')
})

test('a broker checks the share it is given', () => {
  assert.ok(checkPart({ split, index: 2 }, part(2).share).ok)
  refused(checkPart({ split, index: 1 }, part(2).share), 'share.index')
  refused(checkPart({ split, index: 2 }, altered(part(2).share)), 'share.false', 'share.form')
  const wide = splitKey(p, about, IDENTITY, { need: 2, of: 4 }, random)
  refused(checkPart({ split: { ...wide.split, of: 3 }, index: 4 }, wide.shares[3] ?? ''), 'share.index')
})

test('a split of another asset, version, file or lineage, of other thresholds, or with another key wrapped, opens nothing', () => {
  const others: KeyAbout[] = [{ ...about, asset: 'b-claims' }, { ...about, version: 4 }, { ...about, digest: `sha256:${'23'.repeat(32)}` }, { ...about, lineage: `sha256:${'12'.repeat(32)}` }]
  for (const other of others) refused(joinKey(p, other, split, [part(1), part(2)]), 'crypto.open')
  refused(joinKey(p, about, { ...split, of: 4 }, [part(1), part(2)]), 'crypto.open')
  refused(joinKey(p, about, { ...split, wrapped: altered(split.wrapped) }, [part(1), part(2)]), 'crypto.open')
})

test('what the owner signs and what receipts say changes with every part of a split', () => {
  const sealed = `sha256:${'33'.repeat(32)}` as const
  const texts = [
    putSubject(p, about, sealed), putSubject(p, about, sealed, { split, index: 1 }), putSubject(p, about, sealed, { split, index: 2 }), putSubject(p, about, `sha256:${'34'.repeat(32)}`, { split, index: 1 }),
    ...[{ ...split, need: 1 }, { ...split, of: 4 }, { ...split, commitments: [...split.commitments].reverse() }, { ...split, wrapped: altered(split.wrapped) }].map(one => putSubject(p, about, sealed, { split: one, index: 1 })),
    putSubject(p, { ...about, version: 4 }, sealed), putSubject(p, { ...about, asset: 'b' }, sealed), putSubject(p, { ...about, digest: sealed }, sealed),
  ]
  assert.equal(new Set(texts).size, texts.length)
  assert.ok(texts.every(text => /^[\u0020-\u007e]{1,1024}$/.test(text)))
  assert.equal(putSubject(p, about, sealed), `a-claims@3 ${about.digest} ${sealed}`)
  assert.deepEqual(partOf(p, { split, index: 2 }), { index: 2, need: 2, of: 3, split: splitDigest(p, split) })
})

test('a split is read strictly', () => {
  const read = (value: unknown) => attempt(() => parseSplit(parseJson(JSON.stringify(value))))
  assert.deepEqual(given(read(split)), split)
  assert.ok(read({ ...split, wrapped: toBase64(new Uint8Array(8192)) }).ok)
  const bad: unknown[] = [null, [], 'x', { ...split, more: 1 }, { ...split, commitments: split.commitments.slice(1) }, { ...split, commitments: [...split.commitments, split.commitments[0]] }, { ...split, commitments: ['', ''] }, { ...split, commitments: [1, 2] }, { ...split, commitments: {} }, { ...split, commitments: { length: 2 } }, { ...split, wrapped: 1 }, { ...split, wrapped: toBase64(new Uint8Array(8193)) }]
  for (const value of bad) refused(read(value), 'share.form')
  for (const value of [{ ...split, need: 0 }, { ...split, need: '2' }, { ...split, of: '3' }, { ...split, of: 1 }, { ...split, of: 33 }, { ...split, need: null }, { ...split, need: {} }, { ...split, of: [3] }, { commitments: split.commitments, wrapped: split.wrapped }]) refused(read(value), 'share.threshold')
  refused(read({ ...split, wrapped: '*' }), 'bytes.encoding')
})

test('whatever is done to one share of two, the key does not open', () => {
  fc.assert(fc.property(fc.nat(64), fc.integer({ min: 1, max: 255 }), (at, by) => {
    const bytes = fromBase64(part(2).share).slice()
    bytes[at] = (bytes[at] ?? 0) ^ by
    refused(joinKey(p, about, split, [part(1), { index: 2, share: toBase64(bytes) }]), 'share.too-few')
  }), { numRuns: 15 })
})
