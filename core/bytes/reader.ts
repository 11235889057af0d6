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
    const from = this.#skip(length)
    return this.#bytes.subarray(from, from + length)
  }

  u8(): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) return refuse('bytes.truncated', this.where(), '1 bytes', '0 bytes')
    this.#offset++
    return byte
  }
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
    const from = this.#skip(length)
    let value = 0
    for (let i = length - 1; i >= 0; i--) value = value * 256 + (this.#bytes[from + i] ?? 0)
    return value
  }

  #big(length: number): number {
    const from = this.#skip(length)
    let value = 0
    for (let i = 0; i < length; i++) value = value * 256 + (this.#bytes[from + i] ?? 0)
    return value
  }

  /** Where the next `length` bytes begin; they are behind us then. */
  #skip(length: number): number {
    if (length < 0 || length > this.left) refuse('bytes.truncated', this.where(), `${length} bytes`, `${this.left} bytes`)
    const from = this.#offset
    this.#offset += length
    return from
  }
}
