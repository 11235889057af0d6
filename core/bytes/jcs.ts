/**
 * JSON Canonicalization Scheme (RFC 8785): one byte string for one value. ECMAScript's own number and string forms are
 * the ones the RFC prescribes; keys are sorted by UTF-16 code units. Trusts nothing.
 */
import { utf8 } from './text.ts'
import type { Json } from './json.ts'

/**
 * The canonical text of a value; properties that are undefined are left out, as in JSON.stringify.
 *
 * @example
 * jcs({ b: 1, a: [true, 'x'] }) // → '{"a":[true,"x"],"b":1}'
 */
export function jcs(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jcs).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
    return `{${entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => `${jcs(key)}:${jcs(inner)}`).join(',')}}`
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('JCS has no form for a number that is not finite')
  if (typeof value === 'string' && !value.isWellFormed()) throw new TypeError('JCS has no form for a lone surrogate')
  const text = JSON.stringify(value) as string | undefined // undefined for functions and symbols, which no caller has
  if (text === undefined) throw new TypeError('JCS has no form for this value')
  return text
}

/** The canonical bytes. */
export const jcsBytes = (value: Json | object): Uint8Array => utf8(jcs(value))
