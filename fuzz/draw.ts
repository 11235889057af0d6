/**
 * Seeded choices: the same name and number give the same input for ever, on every machine. Fast, and not for secrets.
 */

/** A stream of choices (sfc32) from a name and a number. */
export class Draw {
  #a: number
  #b: number
  #c: number
  #counter = 1
  constructor(name: string, seed: number) {
    let hash = 2166136261
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619)
    this.#a = hash
    this.#b = seed >>> 0
    this.#c = Math.floor(seed / 2 ** 32) | 0
    for (let i = 0; i < 12; i++) this.u32()
  }
  /** 32 bits, unsigned. */
  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + t) | 0
    return t >>> 0
  }
  /** 0 to `end` - 1; 0 when there is nothing to choose from. */
  below(end: number): number { return end <= 0 ? 0 : Math.floor(this.u32() / 2 ** 32 * end) }
  /** From `low` to `high`, both included. */
  between(low: number, high: number): number { return low + this.below(high - low + 1) }
  /** True once in `n`. */
  oneIn(n: number): boolean { return this.below(n) === 0 }
  pick<T>(list: readonly T[]): T {
    const one = list[this.below(list.length)]
    if (one === undefined) throw new RangeError('nothing to choose from')
    return one
  }
  bytes(length: number): Uint8Array { return Uint8Array.from({ length }, () => this.u32() & 255) }
}
