/**
 * A strict reader of CBOR (RFC 8949) and a small deterministic writer (section 4.2.1). CBOR that decides or is signed goes
 * through here: shortest forms only, no indefinite lengths, no key twice, valid UTF-8, bounded in bytes, depth and items
 * (attacks.md rows 4, 5, 10, 11). What a format's real encoders do otherwise is allowed by name, never by default.
 * Values keep their kind, the order of maps and their byte offsets, so that nothing is lost between bytes and verdict.
 * Trusts nothing.
 */
import { refuse } from '../refusal.ts'
import { concat } from './bytes.ts'
import { toHex } from './hex.ts'
import { fromUtf8, utf8 } from './text.ts'

/** Offsets of the first byte and behind the last byte of a value in what was read. */
interface Place { readonly at: number; readonly end: number }
export type Cbor = Place & (
  /** Up to 64 bits: a number where it is exact, else a bigint. */
  | { readonly kind: 'int'; readonly value: number | bigint }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'array'; readonly value: readonly Cbor[] }
  /** In the order of the bytes; no two keys are the same. */
  | { readonly kind: 'map'; readonly value: readonly CborEntry[] }
  | { readonly kind: 'tag'; readonly tag: number | bigint; readonly value: Cbor }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'null' | 'undefined'; readonly value: undefined }
  | { readonly kind: 'float'; readonly value: number }
  /** A simple value that RFC 8949 gives no name. */
  | { readonly kind: 'simple'; readonly value: number })
export type CborKind = Cbor['kind']
export type CborOf<K extends CborKind> = Extract<Cbor, { readonly kind: K }>
export interface CborEntry { readonly key: Cbor; readonly value: Cbor }

export interface CborLimits { readonly bytes: number; readonly depth: number; readonly items: number }
export const CBOR_LIMITS: CborLimits = { bytes: 1 << 20, depth: 32, items: 100_000 }

export interface CborOptions {
  /** What the bytes are; refusals name the offset behind it. */
  readonly at?: string
  readonly limits?: CborLimits
  /** Strings, lists and maps without a length before them (section 3.2); for formats whose encoders write them. */
  readonly indefinite?: boolean
  /** Integers, lengths and floats in more bytes than needed (section 4.1); for formats whose encoders write them. */
  readonly longForms?: boolean
}

/**
 * The one value that these bytes are. Leaves with `cbor.*`, `bytes.truncated`, `bytes.trailing`, `bytes.too-large`,
 * `bytes.too-deep` or `bytes.encoding`.
 *
 * @example
 * readCbor(fromHex('a10126')) // → { kind: 'map', value: [{ key: { kind: 'int', value: 1, … }, value: { kind: 'int', value: -7, … } }], … }
 */
export function readCbor(bytes: Uint8Array, options: CborOptions = {}): Cbor {
  const limits = options.limits ?? CBOR_LIMITS
  if (bytes.length > limits.bytes) refuse('bytes.too-large', options.at ?? 'cbor', `at most ${limits.bytes} bytes`, `${bytes.length} bytes`)
  return new Parser(bytes, limits, options).document()
}

const BREAK = 0xff
/** Additional information (the low five bits of the first byte) that says where the argument stands. */
const INFO = { direct: 23, indefinite: 31 }
const MAJOR: readonly string[] = ['an integer', 'an integer', 'bytes', 'text', 'a list', 'a map', 'a tag']

class Parser {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #limits: CborLimits
  readonly #options: CborOptions
  #offset = 0
  #items = 0

  constructor(bytes: Uint8Array, limits: CborLimits, options: CborOptions) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#limits = limits
    this.#options = options
  }

  document(): Cbor {
    const value = this.#value(0)
    const left = this.#bytes.length - this.#offset
    if (left > 0) refuse('bytes.trailing', this.#where(), 'the end', `${left} more bytes`)
    return value
  }

  #value(depth: number): Cbor {
    const at = this.#offset
    if (depth > this.#limits.depth) refuse('bytes.too-deep', this.#where(), `at most ${this.#limits.depth} levels`, 'more')
    if (++this.#items > this.#limits.items) refuse('bytes.too-large', this.#where(), `at most ${this.#limits.items} values`, 'more')
    const first = this.#u8()
    const [major, info] = [first >> 5, first & 31]
    if (major === 7) return this.#special(info, at)
    if (info === INFO.indefinite) return this.#unbounded(major, at, depth)
    const argument = this.#argument(info, at)
    switch (major) {
      case 0: return this.#done(at, { kind: 'int', value: argument })
      case 1: return this.#done(at, { kind: 'int', value: exact(-1n - BigInt(argument)) })
      case 2: return this.#done(at, { kind: 'bytes', value: this.#take(argument) })
      case 3: return this.#done(at, { kind: 'text', value: this.#text(argument) })
      case 4: return this.#done(at, { kind: 'array', value: this.#array(this.#count(argument, 1), depth) })
      case 5: return this.#done(at, { kind: 'map', value: this.#map(this.#count(argument, 2), depth) })
      default: return this.#done(at, { kind: 'tag', tag: argument, value: this.#value(depth + 1) })
    }
  }

  #array(count: number, depth: number): Cbor[] {
    const out: Cbor[] = []
    while (count === Infinity ? !this.#broken() : out.length < count) out.push(this.#value(depth + 1))
    return out
  }

  #map(count: number, depth: number): CborEntry[] {
    const out: CborEntry[] = []
    const seen = new Set<string>()
    while (count === Infinity ? !this.#broken() : out.length < count) {
      const at = this.#where()
      const key = this.#value(depth + 1)
      const name = identity(key)
      if (seen.has(name)) refuse('cbor.duplicate-key', at, 'each key once', name)
      seen.add(name)
      out.push({ key, value: this.#value(depth + 1) })
    }
    return out
  }

  #text(length: number | bigint): string {
    const at = this.#where()
    return fromUtf8(this.#take(length), at)
  }

  /** A string, list or map that ends with a break (section 3.2). */
  #unbounded(major: number, at: number, depth: number): Cbor {
    if (major < 2 || major > 5) this.#bad('cbor.syntax', at, 'a length', `${MAJOR[major]} without one`)
    if (this.#options.indefinite !== true) this.#bad('cbor.non-canonical', at, 'a length', `${MAJOR[major]} of indefinite length`)
    if (major === 4) return this.#done(at, { kind: 'array', value: this.#array(Infinity, depth) })
    if (major === 5) return this.#done(at, { kind: 'map', value: this.#map(Infinity, depth) })
    const chunks: Uint8Array[] = []
    while (!this.#broken()) chunks.push(this.#chunk(major))
    return major === 2 ? this.#done(at, { kind: 'bytes', value: concat(...chunks) }) : this.#done(at, { kind: 'text', value: chunks.map(chunk => fromUtf8(chunk, this.#where(at))).join('') })
  }

  /** Chunks are strings of the same kind that have a length of their own; a character does not go over two. */
  #chunk(major: number): Uint8Array {
    const at = this.#offset
    const first = this.#u8()
    if (first >> 5 !== major) this.#bad('cbor.syntax', at, `${MAJOR[major]} with a length`, `0x${first.toString(16)}`)
    return this.#take(this.#argument(first & 31, at))
  }

  #broken(): boolean {
    if (this.#bytes[this.#offset] !== BREAK) return false
    this.#offset++
    return true
  }

  #special(info: number, at: number): Cbor {
    switch (info) {
      case 20: return this.#done(at, { kind: 'bool', value: false })
      case 21: return this.#done(at, { kind: 'bool', value: true })
      case 22: return this.#done(at, { kind: 'null', value: undefined })
      case 23: return this.#done(at, { kind: 'undefined', value: undefined })
      case 24: return this.#simple(this.#u8(), at)
      case 25: case 26: case 27: return this.#float(2 ** (info - 24), at)
      case INFO.indefinite: return this.#bad('cbor.syntax', at, 'a value', 'a break outside of an indefinite length')
      case 28: case 29: case 30: return this.#bad('cbor.syntax', at, 'a value', `reserved 0x${(0xe0 | info).toString(16)}`)
      default: return this.#done(at, { kind: 'simple', value: info })
    }
  }

  #simple(value: number, at: number): Cbor {
    return value >= 32 ? this.#done(at, { kind: 'simple', value }) : this.#bad('cbor.syntax', at, 'a simple value from 32 on', String(value))
  }

  #float(length: number, at: number): Cbor {
    const piece = this.#take(length)
    const value = length === 2 ? halfFloat((piece[0] ?? 0) << 8 | (piece[1] ?? 0)) : length === 4 ? this.#view.getFloat32(at + 1) : this.#view.getFloat64(at + 1)
    const short = floatBytes(value)
    if (this.#options.longForms !== true && toHex(short) !== toHex(this.#bytes.subarray(at, this.#offset))) this.#bad('cbor.non-canonical', at, `${short.length - 1} bytes`, `a float of ${length} bytes`)
    return this.#done(at, { kind: 'float', value })
  }

  /** The argument of the first byte (section 3), in its shortest form. */
  #argument(info: number, at: number): number | bigint {
    if (info <= INFO.direct) return info
    if (info > 27) return this.#bad('cbor.syntax', at, 'a length or value', `reserved additional information ${info}`)
    const length = 2 ** (info - 24)
    const piece = this.#take(length)
    const value = length === 8 ? exact(this.#view.getBigUint64(at + 1)) : piece.reduce((sum, byte) => sum * 256 + byte, 0)
    if (this.#options.longForms !== true && value < (LEAST[info - 24] ?? 0)) this.#bad('cbor.non-canonical', at, 'the shortest form', `${value} in ${length} bytes`)
    return value
  }

  /** A number of entries that can still follow: each takes at least one byte per value. */
  #count(argument: number | bigint, values: number): number {
    const left = this.#bytes.length - this.#offset
    if (argument > left / values) refuse('bytes.truncated', this.#where(), `${argument} entries`, `${left} bytes`)
    return Number(argument)
  }

  #take(length: number | bigint): Uint8Array {
    const left = this.#bytes.length - this.#offset
    if (length > left) refuse('bytes.truncated', this.#where(), `${length} bytes`, `${left} bytes`)
    const piece = this.#bytes.subarray(this.#offset, this.#offset + Number(length))
    this.#offset += piece.length
    return piece
  }

  #u8(): number { return this.#take(1)[0] ?? 0 }
  #where(offset = this.#offset): string { return `${this.#options.at ?? 'cbor'}@0x${offset.toString(16)}` }
  #bad(code: 'cbor.syntax' | 'cbor.non-canonical', at: number, expected: string, got: string): never { return refuse(code, this.#where(at), expected, got) }
  #done<T>(at: number, value: T): T & Place { return { ...value, at, end: this.#offset } }
}

/** The least value that needs 1, 2, 4, 8 bytes behind the first. */
const LEAST: readonly number[] = [24, 2 ** 8, 2 ** 16, 2 ** 32]
const exact = (value: bigint): number | bigint => (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value)

/** One text per value, whatever form it was written in. */
const identity = (key: Cbor): string => toHex(writeCbor(toWritable(key)))

/** IEEE 754 binary16 (RFC 8949 appendix D). */
function halfFloat(bits: number): number {
  const [exponent, mantissa] = [bits >> 10 & 31, bits & 1023]
  const size = exponent === 0 ? mantissa * 2 ** -24 : exponent === 31 ? (mantissa === 0 ? Infinity : Number.NaN) : (mantissa + 1024) * 2 ** (exponent - 25)
  return (bits & 0x8000) === 0 ? size : -size
}

// ---- typed access: what a reader of a format says about the values it wants

/** The value, if it is of this kind; leaves with `cbor.syntax`. */
export function cborOf<K extends CborKind>(kind: K, value: Cbor | undefined, at: string): CborOf<K> {
  // `kind` is the discriminant of the union, so the value is of the member that was asked for.
  return value?.kind === kind ? value as CborOf<K> : refuse('cbor.syntax', at, NAMES[kind], value === undefined ? 'nothing' : NAMES[value.kind])
}
const NAMES: Record<CborKind, string> = { int: 'an integer', bytes: 'bytes', text: 'text', array: 'a list', map: 'a map', tag: 'a tag', bool: 'true or false', null: 'null', undefined: 'undefined', float: 'a float', simple: 'a simple value' }

/** Bytes with a length within these bounds. */
export function cborBytes(value: Cbor | undefined, at: string, min = 0, max = Infinity): Uint8Array {
  const { value: bytes } = cborOf('bytes', value, at)
  return bytes.length >= min && bytes.length <= max ? bytes : refuse('cbor.syntax', at, min === max ? `${min} bytes` : `${min} to ${max} bytes`, `${bytes.length} bytes`)
}

/** Text of at least one and at most `max` characters. */
export function cborText(value: Cbor | undefined, at: string, max = Infinity): string {
  const { value: text } = cborOf('text', value, at)
  return text.length > 0 && text.length <= max ? text : refuse('cbor.syntax', at, `text of 1 to ${max} characters`, `${text.length} characters`)
}

/** An integer from `min` to `max`, both included; without bounds any that a number keeps exactly. */
export function cborInt(value: Cbor | undefined, at: string, min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): number {
  const { value: int } = cborOf('int', value, at)
  return typeof int === 'number' && int >= min && int <= max ? int : refuse('cbor.syntax', at, `an integer from ${min} to ${max}`, String(int))
}

/** The items of a list with a length within these bounds. */
export function cborArray(value: Cbor | undefined, at: string, min = 0, max = Infinity): readonly Cbor[] {
  const { value: items } = cborOf('array', value, at)
  return items.length >= min && items.length <= max ? items : refuse('cbor.syntax', at, min === max ? `${min} items` : `${min} to ${max} items`, `${items.length} items`)
}

/** The fields of a map whose keys are integers or texts, by key; any other key leaves with `cbor.syntax`. */
export function cborFields(value: Cbor | undefined, at: string): ReadonlyMap<number | string, Cbor> {
  return new Map(cborOf('map', value, at).value.map(({ key, value: inner }) => [cborLabel(key, at), inner]))
}

/** A key or label: a text, or an integer that a number keeps exactly. */
export function cborLabel(key: Cbor, at: string): number | string {
  if (key.kind === 'text') return key.value
  return key.kind === 'int' && typeof key.value === 'number' ? key.value : refuse('cbor.syntax', at, 'keys that are texts or small integers', NAMES[key.kind])
}

// ---- writer

/** What can be written: a number is an integer where it is one, `float` forces a float, `tag` wraps, a Map is a map. */
export type Writable = number | bigint | string | boolean | null | undefined | Uint8Array | readonly Writable[] | ReadonlyMap<Writable, Writable> | { readonly tag: number | bigint; readonly value: Writable } | { readonly float: number } | { readonly simple: number }

/**
 * The deterministic encoding of a value (section 4.2.1): shortest forms, keys sorted by their bytes. A value that has no
 * encoding is our own bug: TypeError or RangeError.
 *
 * @example
 * toHex(writeCbor(new Map([[1, -35]]))) // → 'a1013822'
 */
export function writeCbor(value: Writable): Uint8Array {
  if (value === null || value === undefined || typeof value === 'boolean') return new Uint8Array([value === false ? 0xf4 : value === true ? 0xf5 : value === null ? 0xf6 : 0xf7])
  if (typeof value === 'bigint') return value >= 0n ? head(0, value) : head(1, -1n - value)
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? writeCbor(BigInt(value)) : floatBytes(value)
  if (typeof value === 'string') return stringOf(3, utf8(value))
  if (value instanceof Uint8Array) return stringOf(2, value)
  if (isList(value)) return concat(head(4, BigInt(value.length)), ...value.map(writeCbor))
  if (isMap(value)) return mapBytes(value)
  if ('float' in value) return floatBytes(value.float)
  if ('simple' in value) return simpleBytes(value.simple)
  return concat(head(6, BigInt(value.tag)), writeCbor(value.value))
}

/** A value that was read, as one that can be written. */
export function toWritable(value: Cbor): Writable {
  switch (value.kind) {
    case 'null': return null
    case 'undefined': return undefined
    case 'array': return value.value.map(toWritable)
    case 'map': return new Map(value.value.map(entry => [toWritable(entry.key), toWritable(entry.value)]))
    case 'tag': return { tag: value.tag, value: toWritable(value.value) }
    case 'float': return { float: value.value }
    case 'simple': return { simple: value.value }
    default: return value.value
  }
}

const isList = (value: Writable): value is readonly Writable[] => Array.isArray(value)
const isMap = (value: Writable): value is ReadonlyMap<Writable, Writable> => value instanceof Map
const stringOf = (major: number, bytes: Uint8Array) => concat(head(major, BigInt(bytes.length)), bytes)

function head(major: number, argument: bigint): Uint8Array {
  if (argument < 0n || argument >= 1n << 64n) throw new RangeError('not an unsigned 64-bit number')
  if (argument < 24n) return new Uint8Array([major << 5 | Number(argument)])
  const size = LEAST.findLastIndex(least => argument >= BigInt(least))
  const out = new Uint8Array(1 + 2 ** size)
  out[0] = major << 5 | 24 + size
  for (let i = out.length - 1, left = argument; i > 0; i--, left >>= 8n) out[i] = Number(left & 255n)
  return out
}

function mapBytes(map: ReadonlyMap<Writable, Writable>): Uint8Array {
  const entries = new Map([...map].map(([key, value]) => [toHex(writeCbor(key)), [writeCbor(key), writeCbor(value)] as const]))
  return concat(head(5, BigInt(map.size)), ...[...entries.keys()].toSorted().flatMap(name => entries.get(name) ?? []))
}

function simpleBytes(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 255 || (value >= 20 && value < 32)) throw new RangeError('not a simple value without a name')
  return new Uint8Array(value < 32 ? [0xe0 | value] : [0xf8, value])
}

/** The shortest of the three forms that keeps the value; NaN has one. */
function floatBytes(value: number): Uint8Array {
  const out = new DataView(new ArrayBuffer(9))
  out.setUint8(0, 0xfb)
  out.setFloat64(1, value)
  const half = Number.isNaN(value) ? 0x7e00 : halfBits(value)
  if (half !== undefined) return new Uint8Array([0xf9, half >> 8, half & 255])
  if (!Object.is(Math.fround(value), value)) return new Uint8Array(out.buffer)
  out.setUint8(0, 0xfa)
  out.setFloat32(1, value)
  return new Uint8Array(out.buffer, 0, 5)
}

/** The bits of binary16 that mean this value, if any do: what does not fit reads back as another. */
function halfBits(value: number): number | undefined {
  const size = Math.abs(value)
  const exponent = Math.max(0, Math.min(31, Math.floor(Math.log2(size)) + 15))
  const mantissa = exponent === 0 ? size * 2 ** 24 : size * 2 ** (25 - exponent) - 1024
  const bits = (value < 0 || Object.is(value, -0) ? 0x8000 : 0) | exponent << 10 | mantissa
  return Object.is(halfFloat(bits), value) ? bits : undefined
}
