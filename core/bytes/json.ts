/**
 * A strict JSON reader (RFC 8259 narrowed): no duplicate keys, no `__proto__`, no lone surrogates, integers exact,
 * bounded in bytes, depth, entries and string length. `JSON.parse` accepts what two readers may understand differently
 * (attacks.md rows 5, 10, 17, 18); everything that is signed or decides goes through here. Trusts nothing.
 */
import { refuse } from '../refusal.ts'
import { fromUtf8, utf8 } from './text.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
export type JsonObject = { readonly [key: string]: Json }

export interface JsonLimits { readonly bytes: number; readonly depth: number; readonly entries: number; readonly string: number }

export const JSON_LIMITS: JsonLimits = { bytes: 1 << 20, depth: 32, entries: 100_000, string: 1 << 20 }

/**
 * The value of a JSON text. Objects have no prototype. Leaves with `json.*`, `bytes.too-large`, `bytes.too-deep` or `bytes.encoding`.
 *
 * @example
 * parseJson('{"a":[1,true]}') // → { a: [1, true] }
 */
export function parseJson(input: string | Uint8Array, limits: JsonLimits = JSON_LIMITS): Json {
  const size = typeof input === 'string' ? byteLength(input, limits.bytes) : input.length
  if (size > limits.bytes) refuse('bytes.too-large', '$', `at most ${limits.bytes} bytes`, `${size} bytes`)
  const text = typeof input === 'string' ? input : fromUtf8(input, '$')
  const parser = new Parser(text, limits)
  return parser.document()
}

/** A JSON object, or leave with `json.syntax`. */
export function parseJsonObject(input: string | Uint8Array, limits: JsonLimits = JSON_LIMITS): JsonObject {
  const value = parseJson(input, limits)
  return isObject(value) ? value : refuse('json.syntax', '$', 'an object', kindOf(value))
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function kindOf(value: Json | undefined): string {
  return value === undefined ? 'nothing' : value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : typeof value
}

/** What a refusal shows of a value: plain ones as they are, others by their kind. Objects read here have no prototype, so `String` would throw on them. */
export const shown = (value: Json | undefined): string => (typeof value === 'object' && value !== null ? kindOf(value) : String(value))

const byteLength = (text: string, max: number) => (text.length > max ? text.length : utf8(text).length)
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])
const ESCAPES: Record<string, string> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const PLAIN = /[^"\\\u0000-\u001f]*/y

class Parser {
  readonly #text: string
  readonly #limits: JsonLimits
  #at = 0
  #entries = 0

  constructor(text: string, limits: JsonLimits) {
    this.#text = text
    this.#limits = limits
  }

  document(): Json {
    const value = this.#value('$', 0)
    this.#space()
    if (this.#at < this.#text.length) this.#bad('$', 'the end')
    return value
  }

  #value(path: string, depth: number): Json {
    if (depth > this.#limits.depth) refuse('bytes.too-deep', path, `at most ${this.#limits.depth} levels`, 'more')
    if (++this.#entries > this.#limits.entries) refuse('bytes.too-large', path, `at most ${this.#limits.entries} values`, 'more')
    this.#space()
    switch (this.#text[this.#at]) {
      case '{': return this.#object(path, depth)
      case '[': return this.#list(path, depth)
      case '"': return this.#string(path)
      case 't': return this.#word('true', true, path)
      case 'f': return this.#word('false', false, path)
      case 'n': return this.#word('null', null, path)
      default: return this.#number(path)
    }
  }

  #object(path: string, depth: number): JsonObject {
    const out: Record<string, Json> = Object.create(null)
    this.#at++
    this.#space()
    if (this.#take('}')) return out
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') this.#bad(path, 'a key in quotes')
      const key = this.#string(path)
      const inner = `${path}.${key.slice(0, 80)}`
      if (FORBIDDEN.has(key)) refuse('json.forbidden-key', inner, 'another key', key)
      if (key in out) refuse('json.duplicate-key', inner, 'each key once', key)
      this.#space()
      this.#need(':', inner)
      out[key] = this.#value(inner, depth + 1)
      this.#space()
    } while (this.#take(','))
    this.#need('}', path)
    return out
  }

  #list(path: string, depth: number): Json[] {
    const out: Json[] = []
    this.#at++
    this.#space()
    if (this.#take(']')) return out
    do {
      out.push(this.#value(`${path}[${out.length}]`, depth + 1))
      this.#space()
    } while (this.#take(','))
    this.#need(']', path)
    return out
  }

  #string(path: string): string {
    let out = ''
    this.#at++
    for (;;) {
      PLAIN.lastIndex = this.#at
      const plain = PLAIN.exec(this.#text)?.[0] ?? ''
      out += plain
      this.#at += plain.length
      if (out.length > this.#limits.string) refuse('bytes.too-large', path, `strings of at most ${this.#limits.string} characters`, 'a longer one')
      if (this.#take('"')) break
      if (!this.#take('\\')) this.#bad(path, 'the end of the string')
      out += this.#escape(path)
    }
    if (!out.isWellFormed()) refuse('bytes.encoding', path, 'well-formed Unicode', 'a lone surrogate')
    return out
  }

  #escape(path: string): string {
    const letter = this.#text[this.#at++] ?? ''
    if (letter !== 'u') return ESCAPES[letter] ?? this.#bad(path, 'an escape of RFC 8259')
    const digits = this.#text.slice(this.#at, this.#at + 4)
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#bad(path, 'four hexadecimal digits')
    this.#at += 4
    return String.fromCharCode(Number.parseInt(digits, 16))
  }

  #number(path: string): number {
    NUMBER.lastIndex = this.#at
    const digits = NUMBER.exec(this.#text)?.[0]
    if (digits === undefined) return this.#bad(path, 'a value')
    this.#at += digits.length
    const value = Number(digits)
    const plain = /^-?\d+$/.test(digits)
    const vanished = value === 0 && /[1-9]/.test(digits.split(/[eE]/)[0] ?? '')
    const exact = Number.isInteger(value) ? Number.isSafeInteger(value) && (plain || digits.length <= 17) && !vanished : digits.length <= 17
    if (!exact || !Number.isFinite(value)) refuse('json.number', path, 'a number that is kept exactly', digits)
    return Object.is(value, -0) ? refuse('json.number', path, '0', '-0') : value
  }

  #word<T extends Json>(word: string, value: T, path: string): T {
    if (!this.#text.startsWith(word, this.#at)) this.#bad(path, 'a value')
    this.#at += word.length
    return value
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++
  }

  #take(sign: string): boolean {
    if (this.#text[this.#at] !== sign) return false
    this.#at++
    return true
  }

  #need(sign: string, path: string): void {
    if (!this.#take(sign)) this.#bad(path, `"${sign}"`)
  }

  #bad(path: string, expected: string): never {
    const got = this.#text[this.#at]
    return refuse('json.syntax', `${path} (character ${this.#at})`, expected, got === undefined ? 'the end of the text' : JSON.stringify(got))
  }
}
