/** A named stream of pseudo-random integers: sfc32, seeded from SHA-256 of `seed|name`. For test data only, never for keys. */
import { createHash } from 'node:crypto'

export class Stream {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: string, name: string) {
    const digest = createHash('sha256').update(`${seed}|${name}`).digest()
    this.#a = digest.readInt32LE(0)
    this.#b = digest.readInt32LE(4)
    this.#c = digest.readInt32LE(8)
    for (let i = 0; i < 12; i++) this.next()
  }

  /** 32 bits. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum | 0
    return sum >>> 0
  }

  /** 0 … n−1 for n up to 2³². The bias of at most n/2³² does not matter here. */
  below(n: number): number {
    return Math.floor(this.next() * n / 4_294_967_296)
  }
}
