/** Plain operations on byte strings. Trusts nothing; holds no state. */
import { utf8 } from './text.ts'

/** All parts, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Equality in time that depends on the lengths only, so that it may compare secrets. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return difference === 0
}

/**
 * A label and parts, each behind its length (32 bits, big-endian), so that no two different lists give the same bytes.
 *
 * @example
 * toHex(framed('ab', new Uint8Array([1]))) // → '000000026162' + '0000000101'
 */
export function framed(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const labelled = [utf8(label), ...parts]
  return concat(...labelled.flatMap(part => [u32be(part.length), part]))
}

/** Unsigned 32-bit, big-endian. A value that does not fit is our own bug: wrapped lengths would let two lists collide. */
export function u32be(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new RangeError('not an unsigned 32-bit number')
  return new Uint8Array([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])
}

/** Unsigned 64-bit, big-endian. */
export function u64be(value: number | bigint): Uint8Array {
  const big = BigInt(value)
  return concat(u32be(Number(big >> 32n)), u32be(Number(big & 0xffffffffn)))
}

/** Is every byte zero? */
export function allZero(bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0)
}
