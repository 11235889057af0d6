/** The sampler against the exact distribution, not only its variance (clean-room.md section 11). */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Random } from '@cloister/core/crypto/primitives'
import { bernoulliExp, gauss, laplace, NoiseSource } from './dp.ts'

/** Reproducible bytes: SHA-256 in counter mode. */
function seeded(seed: string): Random {
  let block = 0
  return length => {
    const parts: Buffer[] = []
    for (let size = 0; size < length; size += 32) parts.push(createHash('sha256').update(`${seed}|${block++}`).digest())
    return new Uint8Array(Buffer.concat(parts).subarray(0, length))
  }
}

/** Pearson's statistic over −edge … edge, with both tails in one bin each; compared with the 99.99 % point of its normal approximation. */
function fits(samples: readonly bigint[], weight: (x: number) => number): boolean {
  const edge = 12
  const exact = Array.from({ length: 2001 }, (_, i) => weight(i - 1000))
  const total = exact.reduce((a, b) => a + b, 0)
  const bin = (x: number) => Math.max(-edge, Math.min(edge, x)) + edge
  const expected = new Array<number>(2 * edge + 1).fill(0)
  exact.forEach((w, i) => { expected[bin(i - 1000)] = (expected[bin(i - 1000)] ?? 0) + w / total * samples.length })
  const seen = new Array<number>(2 * edge + 1).fill(0)
  for (const x of samples) seen[bin(Number(x))] = (seen[bin(Number(x))] ?? 0) + 1
  const used = expected.map((e, i) => [e, seen[i] ?? 0] as const).filter(([e]) => e >= 5)
  const statistic = used.reduce((sum, [e, s]) => sum + (s - e) ** 2 / e, 0)
  const free = used.length - 1
  return statistic < free + 3.72 * Math.sqrt(2 * free) + 8
}

const draw = (count: number, sample: () => bigint) => Array.from({ length: count }, sample)

test('discrete Laplace noise has the exact distribution at scales 2/3, 1, 5/2 and 4', () => {
  for (const [t, s] of [[2n, 3n], [1n, 1n], [5n, 2n], [4n, 1n]] as const) {
    const source = new NoiseSource(seeded(`laplace ${t}/${s}`))
    assert.ok(fits(draw(40_000, () => laplace(source, t, s)), x => Math.exp(-Math.abs(x) * Number(s) / Number(t))), `${t}/${s}`)
  }
})

test('discrete Gaussian noise has the exact distribution at variances 1/2, 4 and 9', () => {
  for (const [n, d] of [[1n, 2n], [4n, 1n], [9n, 1n]] as const) {
    const source = new NoiseSource(seeded(`gauss ${n}/${d}`))
    assert.ok(fits(draw(20_000, () => gauss(source, n, d)), x => Math.exp(-x * x * Number(d) / (2 * Number(n)))), `${n}/${d}`)
  }
})

test('the chi-square test itself rejects a wrong scale', () => {
  const source = new NoiseSource(seeded('wrong'))
  assert.ok(!fits(draw(40_000, () => laplace(source, 4n, 1n)), x => Math.exp(-Math.abs(x) / 4.3)))
})

test('exp(-p/q) also for p > q; uniform integers for bounds that are no power of two', () => {
  const source = new NoiseSource(seeded('bernoulli'))
  const hits = draw(40_000, () => (bernoulliExp(source, 3n, 2n) ? 1n : 0n)).filter(x => x === 1n).length
  assert.ok(Math.abs(hits / 40_000 - Math.exp(-1.5)) < 0.01)
  const counts = new Array<number>(6).fill(0)
  for (const x of draw(60_000, () => source.below(6n))) counts[Number(x)] = (counts[Number(x)] ?? 0) + 1
  assert.ok(counts.every(n => Math.abs(n - 10_000) < 450), counts.join())
})
