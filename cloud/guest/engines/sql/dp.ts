/**
 * Exact discrete noise (clean-room.md section 11; Canonne, Kamath, Steinke 2020): rational arithmetic on BigInt and a
 * CSPRNG that is handed in, so that no floating-point bit tells anything about the true value.
 * Trusts: the randomness. The noise must come from the guest's own generator, never from a seed that others know.
 */
import type { Random } from '@cloister/core/crypto/primitives'

/** Bits from a buffered generator: one call of the CSPRNG per bit would cost 50 times as much. */
export class NoiseSource {
  readonly #random: Random
  #buffer: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** A uniform integer in 0 … n−1, by rejection: no modulo bias. */
  below(n: bigint): bigint {
    if (n <= 0n) throw new RangeError('below needs a positive bound')
    const bits = (n - 1n).toString(2).length
    for (;;) {
      const drawn = this.#bits(n === 1n ? 0 : bits)
      if (drawn < n) return drawn
    }
  }

  #bits(count: number): bigint {
    let value = 0n
    for (let left = count; left > 0; left -= 8) {
      const byte = this.#byte()
      value = (value << BigInt(Math.min(8, left))) | BigInt(left >= 8 ? byte : byte >> (8 - left))
    }
    return value
  }

  #byte(): number {
    if (this.#at === this.#buffer.length) {
      this.#buffer = this.#random(BUFFER_BYTES)
      this.#at = 0
    }
    const byte = this.#buffer[this.#at] ?? 0
    // Used noise is not kept: whoever reads this memory later could subtract it.
    this.#buffer[this.#at++] = 0
    return byte
  }
}

/** Integer Laplace noise with scale t/s: P(x) is proportional to exp(−|x|·s/t). */
export function laplace(source: NoiseSource, t: bigint, s: bigint): bigint {
  if (t <= 0n || s <= 0n) throw new RangeError('laplace needs a positive scale')
  for (;;) {
    const u = source.below(t)
    if (!bernoulliExp(source, u, t)) continue
    let v = 0n
    while (bernoulliExp(source, 1n, 1n)) v += 1n
    const y = (u + t * v) / s
    const negative = source.below(2n) === 1n
    if (negative && y === 0n) continue
    return negative ? -y : y
  }
}

/** Integer Gaussian noise with variance n/d: P(x) is proportional to exp(−x²·d/2n). */
export function gauss(source: NoiseSource, n: bigint, d: bigint): bigint {
  const t = squareRoot(n / d) + 1n
  for (;;) {
    const y = laplace(source, t, 1n)
    const a = (y < 0n ? -y : y) * t * d - n
    if (bernoulliExp(source, a * a, 2n * n * d * t * t)) return y
  }
}

/** True with probability exp(−p/q). */
export function bernoulliExp(source: NoiseSource, p: bigint, q: bigint): boolean {
  let rest = p
  while (rest > q) {
    if (!bernoulliExp1(source, 1n, 1n)) return false
    rest -= q
  }
  return bernoulliExp1(source, rest, q)
}

/** exp(−p/q) for p ≤ q, by von Neumann's alternating series. */
function bernoulliExp1(source: NoiseSource, p: bigint, q: bigint): boolean {
  let k = 1n
  while (source.below(q * k) < p) k += 1n
  return k % 2n === 1n
}

function squareRoot(n: bigint): bigint {
  let x = BigInt(Math.floor(Math.sqrt(Number(n))))
  while (x * x > n) x -= 1n
  while ((x + 1n) * (x + 1n) <= n) x += 1n
  return x
}

const BUFFER_BYTES = 65_536
