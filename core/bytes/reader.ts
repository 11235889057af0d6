/**
 * A strict reader of binary structures: it never reads past the end, and whoever opens one ends with `end()`, so that
 * trailing bytes are refused (attacks.md rows 1 to 4, 9). Trusts nothing.
 */
import { refuse } from '../refusal.ts'

export class Reader {
  readonly #bytes: Uint8Array
  readonly #at: string
  #offset = 0

  constructor(bytes: Uint8Array, at = '') {
    this.#bytes = bytes
    this.#at = at
  }

  get offset(): number { return this.#offset }
  get left(): number { return this.#bytes.length - this.#offset }

  /** The next `length` bytes, not copied. Leaves with `bytes.truncated`. */
  take(length: number): Uint8Array {
    if (length < 0 || length > this.left) refuse('bytes.truncated', this.where(), `${length} bytes`, `${this.left} bytes`)
    const piece = this.#bytes.subarray(this.#offset, this.#offset + length)
    this.#offset += length
    return piece
  }

  u8(): number { return this.take(1)[0] ?? 0 }
  u16le(): number { return this.#little(2) }
  u16be(): number { return this.#big(2) }
  u24le(): number { return this.#little(3) }
  u24be(): number { return this.#big(3) }
  u32le(): number { return this.#little(4) }
  u32be(): number { return this.#big(4) }
  u64le(): bigint { return BigInt(this.u32le()) | (BigInt(this.u32le()) << 32n) }
  u64be(): bigint { return (BigInt(this.u32be()) << 32n) | BigInt(this.u32be()) }
  rest(): Uint8Array { return this.take(this.left) }

  /** Nothing may be left. Leaves with `bytes.trailing`. */
  end(): void {
    if (this.left > 0) refuse('bytes.trailing', this.where(), 'the end', `${this.left} more bytes`)
  }

  where(): string { return `${this.#at}0x${this.#offset.toString(16)}` }

  #little(length: number): number {
    return this.take(length).reduceRight((value, byte) => value * 256 + byte, 0)
  }

  #big(length: number): number {
    return this.take(length).reduce((value, byte) => value * 256 + byte, 0)
  }
}
