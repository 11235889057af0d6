/**
 * Reads one gzip member (RFC 1952, RFC 1951) of a known largest size: documents that carry a report compressed. Nothing is
 * written beyond the limit (attacks.md row 6), distances reach only what is there, checksum and length are compared, and
 * bytes behind the member are refused. Trusts nothing.
 */
import { Reader } from '../../bytes/reader.ts'
import { refuse } from '../../refusal.ts'

/** The bytes inside. Leaves with `bytes.too-large`, `bytes.truncated`, `bytes.trailing` or `bytes.encoding`. */
export function gunzip(bytes: Uint8Array, max: number, at = 'gzip'): Uint8Array {
  const reader = new Reader(bytes, `${at}@`)
  const [id1, id2, method, flags] = reader.take(4)
  if (id1 !== 0x1f || id2 !== 0x8b || method !== 8 || flags !== 0) bad(at, 'gzip with deflate and no extra fields', 'another head')
  reader.take(6) // time, level, operating system
  const out = inflate(reader, max, at)
  const [sum, size] = [reader.u32le(), reader.u32le()]
  reader.end()
  if (sum !== crc32(out) || size !== out.length) bad(at, `a checksum over ${out.length} bytes that fits`, 'another')
  return out
}

const bad = (at: string, expected: string, got: string): never => refuse('bytes.encoding', at, expected, got)

/** Bits of a stream, least significant first. */
class Bits {
  readonly reader: Reader
  #held = 0
  #count = 0
  constructor(reader: Reader) { this.reader = reader }
  take(count: number): number {
    while (this.#count < count) {
      this.#held |= this.reader.u8() << this.#count
      this.#count += 8
    }
    const value = this.#held & ((1 << count) - 1)
    this.#held >>>= count
    this.#count -= count
    return value
  }
  /** To the next whole byte. */
  align(): void {
    this.#held = 0
    this.#count = 0
  }
}

/** A canonical Huffman code: how many codes of each length, and their symbols in order. */
interface Code { readonly counts: Uint16Array; readonly symbols: Uint16Array }
const CODE_BITS = 15

function codeOf(lengths: readonly number[], at: string): Code {
  const counts = new Uint16Array(CODE_BITS + 1)
  for (const length of lengths) counts[length] = (counts[length] ?? 0) + 1
  counts[0] = 0
  let left = 1
  for (let bits = 1; bits <= CODE_BITS; bits++) {
    left = 2 * left - (counts[bits] ?? 0)
    if (left < 0) bad(at, 'a Huffman code', 'too many codes of a length')
  }
  const symbols = lengths.map((length, symbol) => ({ length, symbol })).filter(one => one.length > 0).toSorted((a, b) => a.length - b.length || a.symbol - b.symbol)
  return { counts, symbols: Uint16Array.from(symbols, one => one.symbol) }
}

function symbolOf(bits: Bits, code: Code, at: string): number {
  let [value, first, index] = [0, 0, 0]
  for (let length = 1; length <= CODE_BITS; length++) {
    value |= bits.take(1)
    const count = code.counts[length] ?? 0
    if (value - first < count) return code.symbols[index + value - first] ?? 0
    index += count
    first = (first + count) << 1
    value <<= 1
  }
  return bad(at, 'a code of at most 15 bits', 'another')
}

const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258]
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const DISTANCES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577]
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

/** Encoders write one for some ten thousand bytes; each costs its tables, however little is in it. */
const BLOCKS_MAX = 64

function inflate(reader: Reader, max: number, at: string): Uint8Array {
  const bits = new Bits(reader)
  const out = { bytes: new Uint8Array(max), length: 0 }
  for (let [last, blocks] = [0, 0]; last === 0;) {
    if (++blocks > BLOCKS_MAX) refuse('bytes.too-large', at, `at most ${BLOCKS_MAX} blocks`, 'more')
    last = bits.take(1)
    const type = bits.take(2)
    if (type === 0) stored(bits, out, at)
    else if (type === 3) bad(at, 'a block of type 0 to 2', '3')
    else compressed(bits, out, type === 1 ? FIXED(at) : dynamic(bits, at), at)
  }
  return out.bytes.subarray(0, out.length)
}

interface Out { readonly bytes: Uint8Array; length: number }

function put(out: Out, byte: number, at: string): void {
  if (out.length >= out.bytes.length) refuse('bytes.too-large', at, `at most ${out.bytes.length} bytes inside`, 'more')
  out.bytes[out.length++] = byte
}

function stored(bits: Bits, out: Out, at: string): void {
  bits.align()
  const [length, complement] = [bits.reader.u16le(), bits.reader.u16le()]
  if ((length ^ complement) !== 0xffff) bad(at, 'a length and its complement', `${length} and ${complement}`)
  for (const byte of bits.reader.take(length)) put(out, byte, at)
}

interface Codes { readonly literals: Code; readonly distances: Code }
const repeat = (count: number, value: number) => Array.from({ length: count }, () => value)
const FIXED = (at: string): Codes => ({ literals: codeOf([...repeat(144, 8), ...repeat(112, 9), ...repeat(24, 7), ...repeat(8, 8)], at), distances: codeOf(repeat(30, 5), at) })

function dynamic(bits: Bits, at: string): Codes {
  const [literals, distances, count] = [bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4]
  if (literals > 286 || distances > 30) bad(at, 'at most 286 literals and 30 distances', `${literals} and ${distances}`)
  const own = repeat(19, 0)
  for (let i = 0; i < count; i++) own[ORDER[i] ?? 0] = bits.take(3)
  const code = codeOf(own, at)
  const lengths: number[] = []
  while (lengths.length < literals + distances) {
    const symbol = symbolOf(bits, code, at)
    const before = symbol === 16 ? lengths.at(-1) ?? bad(at, 'a length to repeat', 'none') : 0
    if (symbol < 16) lengths.push(symbol)
    else lengths.push(...repeat(symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7), before))
  }
  if (lengths.length > literals + distances || lengths[256] === 0) bad(at, 'as many lengths as announced, and an end of the block', `${lengths.length}`)
  return { literals: codeOf(lengths.slice(0, literals), at), distances: codeOf(lengths.slice(literals), at) }
}

const END = 256
function compressed(bits: Bits, out: Out, { literals, distances }: Codes, at: string): void {
  for (;;) {
    const symbol = symbolOf(bits, literals, at)
    if (symbol === END) return
    if (symbol < END) put(out, symbol, at)
    else copy(bits, out, symbol - END - 1, distances, at)
  }
}

function copy(bits: Bits, out: Out, symbol: number, distances: Code, at: string): void {
  const length = (LENGTHS[symbol] ?? bad(at, 'a length', String(symbol))) + bits.take(LENGTH_BITS[symbol] ?? 0)
  const code = symbolOf(bits, distances, at)
  const distance = (DISTANCES[code] ?? 0) + bits.take(code < 2 ? 0 : (code >> 1) - 1)
  if (distance > out.length) bad(at, `a distance of at most ${out.length}`, String(distance))
  for (let i = 0; i < length; i++) put(out, out.bytes[out.length - distance] ?? 0, at)
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value
})

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (const byte of bytes) value = (TABLE[(value ^ byte) & 255] ?? 0) ^ (value >>> 8)
  return (value ^ 0xffffffff) >>> 0
}
