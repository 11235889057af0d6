import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { fromBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { fromUtf8, utf8 } from '../../bytes/text.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { gunzip } from './gzip.ts'

function refused(bytes: Uint8Array, code: RefusalCode, max = 100_000, expected?: string): void {
  const result = attempt(() => gunzip(bytes, max))
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (expected !== undefined) assert.equal(result.refusal.expected, expected)
}
const FIXED = fromBase64('H4sIAAAAAAAA/0tUKEotyC8q0VFIxGABAHifLjocAAAA')
const DYNAMIC = fromBase64('H4sIAAAAAAAA/+2Q243FIAwFG5qP2AYD/Te2Az3s35UilITz/ggGh2hyUs049GAHRQ7GYiVJBZ0cEcX6iGQWR7RcBXwfzI9NT3KxN3OQyVZNqUkEu2kZm0pCJKfYk3VYnvWe9+lPr/qChEqQJjmekHKKKq2BNpppua+5EW6QeKH6BjSmYY1s8H4l8taxlNXqlrSqheuVd4LjFsH32+S3yW+T/9jkD0XpbfJvBAAA')
const STORED = fromBase64('H4sIAAAAAAAA/wEcAOP/YSByZXBvcnQsIGEgcmVwb3J0LCBhIHJlcG9ydHifLjocAAAA')
const TEXT = 'a report, a report, a report'

/** Of this platform, where it has one: another implementation to compare with. */
async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes.slice()]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

test('blocks of each type', () => {
  assert.equal(fromUtf8(gunzip(FIXED, 100)), TEXT)
  assert.equal(fromUtf8(gunzip(STORED, 100)), TEXT)
  assert.equal(fromUtf8(gunzip(DYNAMIC, 20_000)), Array.from({ length: 400 }, (_, i) => `${i * i % 97},`).join(''))
})

test('blocks of several types in one stream', () => {
  assert.equal(fromUtf8(gunzip(fromBase64('H4sIAAAAAAAA/0pMSgYAAAD//0tJTQMA7zmOSwYAAAA='), 6)), 'abcdef')
})

test('codes of up to 15 bits', () => {
  const [lengths] = [Array.from({ length: 17 }).reduce<number[]>((list, _, i) => [...list, i < 2 ? 1 : (list[i - 1] ?? 0) + (list[i - 2] ?? 0)], [])]
  assert.deepEqual(gunzip(fromBase64('H4sIAAAAAAAA/wXBAWLbQAwDwbaJLd2RwO7/X9uZP3///fv5+fn9/f39/Xw+n8/n8/l+v9/v9/v9fr/f7/M8z/M8z/M8z/M8z/M8z/O+7/u+7/u+7/u+7/u+7/u+7/u+7/u+7/u+55xzzjnnnHPOOeecc84555xzzjnnnHPOOeecc84555xzzrn33nvvvffee++9995777333nvvvffee++9995777333nvvvffee++9995777333nvvvffee++9MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzu7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7ubJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmSJEmStm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3btm3bFgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAFBVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVfU/TCDOr1QQAAA='), 5000), concat(...lengths.map((count, i) => new Uint8Array(count).fill(i))))
})

/** Noise, and in it copies of every length from 3 to 258, from near and from as far as they may be. */
function lengthsAndDistances(): Uint8Array {
  let state = 1
  const noise = (length: number) => Uint8Array.from({ length }, () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state >>> 24 })
  const out = new Uint8Array(120_000)
  out.set(noise(33_000))
  let at = 33_000
  for (let length = 3; length <= 258; length++) {
    for (const distance of [length + 1, Math.floor(32_000 * (length / 258) ** 6) + length]) {
      out.copyWithin(at, at - distance, at - distance + length)
      out.set(noise(3), at + length)
      at += length + 3
    }
  }
  return out.slice(0, at)
}

test('what the platform compresses is read back', async () => {
  const inputs = [lengthsAndDistances(), new Uint8Array(0), new Uint8Array(1184).fill(7), Uint8Array.from({ length: 70_000 }, (_, i) => (i * 7919 >> 5) & 255), utf8('report '.repeat(9000))]
  for (const input of inputs) assert.deepEqual(gunzip(await gzip(input), 200_000), input)
})

test('6: no more is written than is allowed', async () => {
  const bomb = await gzip(new Uint8Array(1 << 20))
  assert.ok(bomb.length < 2000)
  refused(bomb, 'bytes.too-large', 1184)
  refused(STORED, 'bytes.too-large', TEXT.length - 1)
  assert.equal(gunzip(FIXED, TEXT.length).length, TEXT.length)
})

test('no more blocks than an encoder would write', () => {
  const blocks = (count: number) => member(...Array.from({ length: count }, (_, i) => [[i === count - 1 ? 1 : 0, 1], [1, 2], [0, 7]] as const).flat())
  const whole = (count: number) => { const made = blocks(count); return made.slice(0, 10 + Math.ceil(10 * count / 8) + 8) }
  assert.deepEqual(gunzip(whole(64), 10), new Uint8Array(0))
  refused(whole(65), 'bytes.too-large', 10, 'at most 64 blocks')
})

test('heads, checksums, lengths and what follows', () => {
  for (const [at, value] of [[0, 0], [1, 0], [2, 7], [3, 1]] as const) refused(FIXED.with(at, value), 'bytes.encoding')
  for (const back of [1, 5]) refused(FIXED.with(FIXED.length - back, 0x55), 'bytes.encoding')
  refused(concat(FIXED, new Uint8Array(1)), 'bytes.trailing')
  refused(concat(FIXED, FIXED), 'bytes.trailing')
  for (let end = 0; end < FIXED.length; end++) assert.ok(!attempt(() => gunzip(FIXED.slice(0, end), 100)).ok)
})

/** A member around raw bits, least significant first. */
const member = (...bits: readonly (readonly [value: number, count: number])[]) => {
  const list = bits.flatMap(([value, count]) => Array.from({ length: count }, (_, i) => (value >> i) & 1))
  const body = Uint8Array.from({ length: Math.ceil(list.length / 8) }, (_, i) => list.slice(8 * i, 8 * i + 8).reduce((sum, bit, at) => sum | (bit << at), 0))
  return concat(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]), body, new Uint8Array(64))
}

test('streams that no encoder writes', () => {
  const wrong = (bytes: Uint8Array, expected: string) => refused(bytes, 'bytes.encoding', 100_000, expected)
  wrong(member([1, 1], [3, 2]), 'a block of type 0 to 2') // no such type
  refused(member([1, 1], [0, 2], [0, 5], [5, 16], [5, 16]), 'bytes.encoding') // length without its complement
  refused(member([1, 1], [1, 2], [0b1000000, 7], [0, 5]), 'bytes.encoding') // a distance before the beginning
  wrong(member([1, 1], [1, 2], [0b01100011, 8]), 'a length') // symbol 286
  wrong(member([1, 1], [2, 2], [30, 5], [0, 5], [0, 4]), 'at most 286 literals and 30 distances') // 287 literals
  wrong(member([1, 1], [2, 2], [0, 5], [31, 5], [0, 4]), 'at most 286 literals and 30 distances') // 32 distances
  wrong(member([1, 1], [2, 2], [0, 5], [0, 5], [0, 4], [1, 3], [1, 3], [1, 3]), 'a Huffman code') // three codes of one bit
  wrong(member([1, 1], [2, 2], [0, 5], [0, 5], [0, 4], [1, 3], [1, 3], [0, 3], [0, 3], [0, 1]), 'a length to repeat') // repeats what is not there
  refused(member([1, 1], [2, 2], [0, 5], [0, 5], [0, 4], [0, 3], [0, 3], [1, 3], [0, 3], [0, 1], [127, 7], [0, 1], [127, 7]), 'bytes.encoding', 100_000, 'as many lengths as announced, and an end of the block') // 276 lengths of 258
  refused(member([1, 1], [2, 2], [0, 5], [0, 5], [0, 4], [0, 3], [0, 3], [1, 3], [0, 3], [0, 1], [127, 7], [0, 1], [109, 7]), 'bytes.encoding', 100_000, 'as many lengths as announced, and an end of the block') // a block that cannot end
})

test('any change gives the same or is refused', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 8 * DYNAMIC.length - 1 }), bit => {
    const result = attempt(() => gunzip(DYNAMIC.with(bit >> 3, (DYNAMIC[bit >> 3] ?? 0) ^ (1 << (bit & 7))), 20_000))
    if (result.ok) assert.deepEqual(result.value, gunzip(DYNAMIC, 20_000))
  }), { numRuns: 200 })
})
