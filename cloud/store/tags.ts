/**
 * What makes a store's words checkable: a tag for every entry, and for every namespace the number and the sum (modulo
 * 2^256) of its tags. Under a key that only the chip has, the host can neither forge an entry nor leave one out.
 */
import { createHmac } from 'node:crypto'
import { equal, framed } from '@cloister/core/bytes/bytes'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { refuse } from '@cloister/core/refusal'
import { KEY_LENGTH_MAX, VALUE_BYTES_MAX, type Batch, type Entry } from './store.ts'

export interface Sum { readonly count: number; readonly sum: string }
/** The first line of a store: its version and the sums of its namespaces. */
export interface Head { readonly version: number; readonly spaces: { readonly [namespace: string]: Sum } }

export const EMPTY_HEAD: Head = { version: 0, spaces: {} }
const NOTHING: Sum = { count: 0, sum: '0' }
const MODULUS = 1n << 256n

export function tagOf(key: Uint8Array, name: string, value: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(framed('cloister/entry/1', utf8(name), value)).digest()
}

/** Leaves with `store.corrupt` unless the tag is the entry's. */
export function checkTag(key: Uint8Array, name: string, value: Uint8Array, tag: Uint8Array): void {
  if (!equal(tagOf(key, name, value), tag)) corrupt(name, 'the value that was written', 'another value or tag')
}

export function encodeHead(key: Uint8Array, head: Head): { value: Uint8Array; tag: Uint8Array } {
  const value = utf8(JSON.stringify(head))
  return { value, tag: tagOf(key, '', value) }
}

export function decodeHead(key: Uint8Array, value: Uint8Array, tag: Uint8Array): Head {
  checkTag(key, '', value, tag)
  // The tag is ours, so the shape is the one `encodeHead` wrote.
  return JSON.parse(fromUtf8(value)) as Head
}

/** The head after an entry's tag was exchanged (`before` or `after` undefined: it came or went). */
export function moveSum(head: Head, name: string, before: Uint8Array | undefined, after: Uint8Array | undefined): Head {
  const space = namespaceOf(name)
  const { count, sum } = head.spaces[space] ?? NOTHING
  const next = (BigInt(`0x${sum}`) - number(before) + number(after) + MODULUS) % MODULUS
  const change = (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1)
  return { ...head, spaces: { ...head.spaces, [space]: { count: count + change, sum: next.toString(16) } } }
}

/** Leaves with `store.corrupt` unless these are all the entries of the namespace. */
export function checkSum(head: Head, namespace: string, key: Uint8Array, entries: readonly Entry[]): void {
  const expected = head.spaces[namespace] ?? NOTHING
  const sum = entries.reduce((total, entry) => (total + number(tagOf(key, entry.key, entry.value))) % MODULUS, 0n)
  if (expected.count !== entries.length) corrupt(namespace, `${expected.count} entries`, `${entries.length}`)
  if (expected.sum !== sum.toString(16)) corrupt(namespace, 'the entries that were written last', 'older or other ones')
}

export function checkEntry(name: string, value?: Uint8Array): void {
  if (!/^[a-z]+\/[\x21-\x7e]+$/.test(name) || name.length > KEY_LENGTH_MAX) throw new RangeError(`not a key of a store: ${name.slice(0, 80)}`)
  if (value !== undefined && value.length > VALUE_BYTES_MAX) refuse('store.full', name, `at most ${VALUE_BYTES_MAX} bytes`, `${value.length} bytes`)
}

/** Keys and sizes of a batch; a key that stands twice is a bug of ours. */
export function checkBatch({ expect = [], put = [], delete: gone = [] }: Batch): void {
  const names = new Set<string>()
  for (const { key } of expect) checkEntry(key)
  for (const { key, value } of [...put, ...gone.map(key => ({ key, value: undefined }))]) {
    checkEntry(key, value)
    if (names.has(key)) throw new RangeError(`a key twice in one batch: ${key}`)
    names.add(key)
  }
}

/** Does what stands there fit what a batch expects? */
export const isExpected = (expected: Uint8Array | undefined, found: Uint8Array | undefined): boolean => expected === undefined || found === undefined ? expected === found : equal(expected, found)

export const namespaceOf = (name: string): string => name.slice(0, name.indexOf('/'))

export function corrupt(at: string, expected: string, got: string): never {
  return refuse('store.corrupt', at, expected, got, 'restore the store from a backup that its log\'s witnesses accept; do not delete it')
}

const number = (tag: Uint8Array | undefined) => (tag === undefined ? 0n : BigInt(`0x${Buffer.from(tag).toString('hex')}`))
