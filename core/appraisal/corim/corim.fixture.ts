/** Manifests made for tests: maps by their numbers, under the tags that the draft gives, signed with test keys. */
import { concat } from '../../bytes/bytes.ts'
import { type Writable, writeCbor } from '../../bytes/cbor.ts'
import { utf8 } from '../../bytes/text.ts'
import { writeSign1 } from '../../crypto/cose.ts'
import { es256 } from '../../crypto/cose.fixture.ts'

/** A map with number keys. */
export const m = (fields: Readonly<Record<number, Writable>>): ReadonlyMap<Writable, Writable> => new Map(Object.entries(fields).map(([key, value]) => [Number(key), value]))
export const t = (tag: number, value: Writable) => ({ tag, value })
export const fill = (size: number, byte = 7) => new Uint8Array(size).fill(byte)
export const digest = (size = 32, algorithm: Writable = 1, byte = 7): Writable => [algorithm, fill(size, byte)]

export const IMPLEMENTATION = t(560, fill(32))
export const DEVICE = t(550, concat(new Uint8Array([1]), fill(32)))
export const environment = (id: Writable = IMPLEMENTATION, more: Readonly<Record<number, Writable>> = {}) => m({ 0: m({ 0: id }), ...more })
export const measurement = (key: Writable, values: Readonly<Record<number, Writable>>, more: Readonly<Record<number, Writable>> = {}) => m({ 0: key, 1: m(values), ...more })

/** A module with these triples; `more` replaces or adds fields of the CoMID. */
export const comid = (triples: Readonly<Record<number, Writable>>, more: Readonly<Record<number, Writable>> = {}): Writable => m({ 1: m({ 0: 'module' }), 4: m(triples), ...more })
export const inTag = (value: Writable, tag = 506): Writable => t(tag, writeCbor(value))

/** An unsigned manifest of a profile. */
export const corim = (tags: readonly Writable[], profile?: string, more: Readonly<Record<number, Writable>> = {}): Writable => t(501, m({ 0: 'manifest', 1: tags, ...(profile === undefined ? {} : { 3: t(32, profile) }), ...more }))
export const corimBytes = (...args: Parameters<typeof corim>): Uint8Array => writeCbor(corim(...args))

export const SIGNER = es256('corim')
export const META = m({ 0: m({ 0: 'Vendor' }), 1: m({ 0: t(1, 1000), 1: t(1, 2000) }) })

/** A signed manifest: the header exchanged field by field where a test wants another. */
export function signedCorim(payload: Uint8Array, header: Readonly<Record<number, Writable>> = {}, signer = SIGNER): Uint8Array {
  const fields = m({ 1: signer.algorithm, 3: 'application/rim+cbor', 4: utf8('key 1'), 8: writeCbor(META), ...header })
  const kept = new Map([...fields].filter(([, value]) => value !== undefined))
  return writeSign1({ protected: kept, payload, tagged: true }, signer.sign)
}
