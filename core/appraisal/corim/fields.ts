/**
 * How the rooms of CoRIM read maps and lists: every field by its number, unknown ones refused, extensions (negative
 * numbers, the sockets of the CDDL) counted and never ignored silently. Trusts nothing.
 */
import { type Cbor, cborArray, cborFields, cborInt, cborOf, cborText } from '../../bytes/cbor.ts'
import { oidOf, TAG } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'

export type Read<T> = (value: Cbor | undefined, at: string) => T

/** Everything that has a number of entries: far above what vendors write, far below what hurts. */
export const CORIM_LIMITS = { bytes: 1 << 20, tags: 256, list: 4096, text: 64 * 1024 }

export interface Fields {
  need<T>(key: number, name: string, read: Read<T>): T
  may<T>(key: number, name: string, read: Read<T>): T | undefined
  /** Which extensions stand there; whoever cannot judge them must not use what they extend. */
  readonly extensions: readonly (number | string)[]
}

/** The fields of a map with these numbers. `open` allows extensions. Leaves with `corim.syntax` or `cbor.syntax`. */
export function fieldsOf(value: Cbor | undefined, at: string, known: readonly number[], open = false): Fields {
  const map = cborFields(value, at)
  const others = [...map.keys()].filter(key => !known.some(one => one === key))
  const unknown = others.find(key => !open || typeof key !== 'number' || key >= 0)
  if (unknown !== undefined) refuse('corim.syntax', `${at}.${unknown}`, `fields ${known.join(', ')}${open ? ' and extensions below 0' : ''}`, String(unknown))
  if (map.size === 0) refuse('corim.syntax', at, 'at least one field', 'none')
  return {
    need: (key, name, read) => read(map.get(key), `${at}.${name}`),
    may: (key, name, read) => (map.has(key) ? read(map.get(key), `${at}.${name}`) : undefined),
    extensions: others,
  }
}

/** A list with at least `min` items, each read alike. */
export function listOf<T>(read: Read<T>, min = 1): Read<readonly T[]> {
  return (value, at) => cborArray(value, at, min, CORIM_LIMITS.list).map((item, i) => read(item, `${at}[${i}]`))
}

/** The items of a list of a fixed form: `needed` of them, and up to `needed + optional`. */
export const tupleOf = (value: Cbor | undefined, at: string, needed: number, optional = 0): readonly (Cbor | undefined)[] => cborArray(value, at, needed, needed + optional)

/** The number and the content of a tag. */
export function tagOf(value: Cbor | undefined, at: string): { tag: number | bigint; value: Cbor } {
  const { tag, value: inner } = cborOf('tag', value, at)
  return { tag, value: inner }
}

/** What stands under exactly this tag. */
export const under = <T>(expected: number, read: Read<T>): Read<T> => (value, at) => {
  const { tag, value: inner } = tagOf(value, at)
  return tag === expected ? read(inner, at) : refuse('corim.syntax', at, `tag ${expected}`, `tag ${tag}`)
}

export const text: Read<string> = (value, at) => cborText(value, at, CORIM_LIMITS.text)
export const bool: Read<boolean> = (value, at) => cborOf('bool', value, at).value
export const bytes: Read<string> = (value, at) => toHex(cborOf('bytes', value, at).value)
export const uint: Read<number> = (value, at) => cborInt(value, at, 0)
export const uri: Read<string> = under(32, text)
/** Seconds since 1970 under tag 1; fractions are refused. */
export const time: Read<number> = under(1, (value, at) => cborInt(value, at, 0, 2 ** 40))
export const oid: Read<string> = (value, at) => {
  const { value: content } = cborOf('bytes', value, at)
  return oidOf({ tag: TAG.oid, content, whole: content, at }, at)
}
/** 16 bytes, in hex. */
export const uuid: Read<string> = (value, at) => sized(value, at, 16, 16)
export const sized = (value: Cbor | undefined, at: string, min: number, max: number): string => {
  const hex = bytes(value, at)
  return hex.length >= 2 * min && hex.length <= 2 * max ? hex : refuse('corim.syntax', at, min === max ? `${min} bytes` : `${min} to ${max} bytes`, `${hex.length / 2} bytes`)
}
