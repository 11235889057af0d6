/**
 * Strict DER (X.690): definite minimal lengths, minimal integers, canonical booleans, every container read to its end,
 * bounded depth (attacks.md rows 5 to 9, 12 to 14). A reader and the little writer that tests and the simulated chip need.
 * Trusts nothing.
 */
import { refuse } from '../refusal.ts'
import { concat } from './bytes.ts'
import { Reader } from './reader.ts'

export interface Der { readonly tag: number; readonly content: Uint8Array; readonly whole: Uint8Array; readonly at: string }

export const TAG = {
  boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, null: 0x05, oid: 0x06, utf8String: 0x0c, printableString: 0x13,
  ia5String: 0x16, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30, set: 0x31,
} as const

/** One element that fills `bytes` exactly. */
export function readDer(bytes: Uint8Array, at = 'der'): Der {
  const reader = new Reader(bytes, `${at}@`)
  const element = next(reader, at)
  reader.end()
  return element
}

/** The elements of a constructed element, all of them. Leaves with `der.tag` when the tag is not `tag`. */
export function children(element: Der, tag: number = TAG.sequence): Der[] {
  const reader = new Reader(contentOf(element, tag), `${element.at}@`)
  const out: Der[] = []
  while (reader.left > 0) out.push(next(reader, `${element.at}[${out.length}]`))
  return out
}

/** The content of a primitive element with this tag. */
export function contentOf(element: Der | undefined, tag: number, at = 'der'): Uint8Array {
  if (element === undefined) return refuse('der.tag', at, `tag 0x${tag.toString(16)}`, 'nothing')
  if (element.tag !== tag) refuse('der.tag', element.at, `tag 0x${tag.toString(16)}`, `tag 0x${element.tag.toString(16)}`)
  return element.content
}

/** The bytes of a non-negative INTEGER without its leading zero. */
export function unsigned(element: Der | undefined, at = 'integer'): Uint8Array {
  const content = signed(element, at)
  const first = content[0] ?? 0
  if (first >= 0x80) refuse('der.non-canonical', at, 'a non-negative integer', 'a negative one')
  return first === 0 && content.length > 1 ? content.subarray(1) : content
}

/** The two's complement bytes of an INTEGER of either sign, minimal. */
export function signed(element: Der | undefined, at = 'integer'): Uint8Array {
  const content = contentOf(element, TAG.integer, at)
  const [first = 0, second = 0] = content
  if (content.length === 0) refuse('der.non-canonical', at, 'an integer', 'no bytes')
  if (content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) refuse('der.non-canonical', at, 'a minimal integer', 'padding')
  return content
}

/** A small INTEGER (below 2^31). */
export function smallInteger(element: Der | undefined, at = 'integer'): number {
  const bytes = unsigned(element, at)
  if (bytes.length > 4 || (bytes[0] ?? 0) > 0x7f && bytes.length === 4) refuse('der.non-canonical', at, 'a small integer', `${bytes.length} bytes`)
  return bytes.reduce((value, byte) => value * 256 + byte, 0)
}

export function booleanOf(element: Der): boolean {
  const content = contentOf(element, TAG.boolean)
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 255)) refuse('der.non-canonical', element.at, '0x00 or 0xff', 'another boolean')
  return content[0] === 255
}

/** The bytes of a BIT STRING whose length is a whole number of bytes. */
export function bitBytes(element: Der | undefined, at = 'bit string'): Uint8Array {
  const content = contentOf(element, TAG.bitString, at)
  if (content.length < 1 || content[0] !== 0) refuse('der.non-canonical', at, 'a bit string of whole bytes', content.length === 0 ? 'no bytes' : `${content[0]} unused bits`)
  return content.subarray(1)
}

/** Dotted form of an OBJECT IDENTIFIER. */
export function oidOf(element: Der | undefined, at = 'oid'): string {
  const content = contentOf(element, TAG.oid, at)
  const arcs: number[] = []
  let arc = 0
  let fresh = true
  for (const byte of content) {
    if (fresh && byte === 0x80) refuse('der.non-canonical', at, 'minimal arcs', 'padding')
    arc = arc * 128 + (byte & 0x7f)
    if (arc > 2 ** 40) refuse('der.non-canonical', at, 'arcs below 2^40', 'a larger one')
    fresh = byte < 0x80
    if (fresh) {
      arcs.push(...(arcs.length === 0 ? [Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40))] : [arc]))
      arc = 0
    }
  }
  if (!fresh || arcs.length === 0) refuse('der.non-canonical', at, 'a complete identifier', 'an unfinished one')
  return arcs.join('.')
}

/** Seconds since 1970 of a UTCTime (RFC 5280: 1950 to 2049) or GeneralizedTime, both with seconds and Z; impossible dates are refused. */
export function timeOf(element: Der | undefined, at = 'time'): number {
  if (element === undefined) return refuse('der.tag', at, 'a time', 'nothing')
  const text = element.content.length > 15 ? '' : String.fromCharCode(...element.content)
  const parts = (element.tag === TAG.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : element.tag === TAG.generalizedTime ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^$/).exec(text)
  if (parts === null) return refuse('der.non-canonical', at, 'YYMMDDhhmmssZ or YYYYMMDDhhmmssZ', text)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number)
  const full = element.tag === TAG.utcTime ? (year < 50 ? 2000 : 1900) + year : year
  const seconds = Date.UTC(full, month - 1, day, hour, minute, second) / 1000
  const back = new Date(seconds * 1000)
  if (back.getUTCFullYear() !== full || back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day || back.getUTCHours() !== hour || back.getUTCMinutes() !== minute) refuse('der.non-canonical', at, 'a date that exists', text)
  return seconds
}

/** The writer: a tag around parts. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts)
  return concat(new Uint8Array([tag]), derLength(content.length), content)
}

export const derSequence = (...parts: readonly Uint8Array[]): Uint8Array => der(TAG.sequence, ...parts)

/** INTEGER of a non-negative number given as big-endian bytes. */
export function derInteger(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const trimmed = bytes.subarray(start)
  return der(TAG.integer, (trimmed[0] ?? 0) >= 0x80 ? new Uint8Array([0]) : new Uint8Array(0), trimmed.length === 0 ? new Uint8Array([0]) : trimmed)
}

export function derOid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number)
  return der(TAG.oid, ...[first * 40 + second, ...others].map(arc => new Uint8Array(base128(arc))))
}

function base128(arc: number): number[] {
  const out = [arc % 128]
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) out.unshift(0x80 | (left % 128))
  return out
}

function derLength(length: number): Uint8Array {
  if (length < 0x80) return new Uint8Array([length])
  const bytes: number[] = []
  for (let left = length; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256)
  return new Uint8Array([0x80 | bytes.length, ...bytes])
}

/** Certificates have hundreds of elements and few whose whole encoding is asked for: it is a view made on demand. */
class Element implements Der {
  readonly tag: number
  readonly content: Uint8Array
  readonly at: string
  readonly #header: number
  constructor(tag: number, content: Uint8Array, at: string, header: number) {
    this.tag = tag
    this.content = content
    this.at = at
    this.#header = header
  }
  /** The content's view grown by its header, which stands before it. */
  get whole(): Uint8Array { return new Uint8Array(this.content.buffer, this.content.byteOffset - this.#header, this.#header + this.content.length) }
}

function next(reader: Reader, at: string): Der {
  const start = reader.offset
  const bad = (code: 'der.tag' | 'der.non-canonical', expected: string, got: string) => refuse(code, `${at}@0x${start.toString(16)}`, expected, got)
  const tag = reader.u8()
  if ((tag & 0x1f) === 0x1f) bad('der.tag', 'a tag below 31', 'a long tag')
  const length = lengthOf(reader, bad)
  const header = reader.offset - start
  return new Element(tag, reader.take(length), at, header)
}

function lengthOf(reader: Reader, bad: (code: 'der.non-canonical', expected: string, got: string) => never): number {
  const first = reader.u8()
  if (first < 0x80) return first
  const count = first & 0x7f
  if (count === 0 || count > 4) bad('der.non-canonical', 'a definite length of at most 4 bytes', count === 0 ? 'an indefinite one' : `${count} bytes`)
  const leading = reader.u8()
  let length = leading
  for (let i = 1; i < count; i++) length = length * 256 + reader.u8()
  if (length < 0x80 || leading === 0) bad('der.non-canonical', 'the shortest length', 'a longer form')
  return length
}
