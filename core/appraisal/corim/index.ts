/**
 * CoRIM (draft-ietf-rats-corim-11): what vendors say a machine should measure, as reference values, endorsements and keys.
 * A manifest counts only when it is signed by a key that the relying party named for it and the time is within its
 * validity; `readCorim` alone says nothing about who wrote it. Also read, since they carry the same triples: concise
 * evidence (draft-ietf-rats-concise-evidence) and CoSERV queries and results (draft-ietf-rats-coserv).
 * Trusts: the keys handed in.
 */
import { type Cbor, cborBytes, cborFields, cborText, readCbor } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { readCoseKey, readSign1, verifySign1 } from '../../crypto/cose.ts'
import type { Primitives, PublicKey } from '../../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../../refusal.ts'
import { type Comid, type Entity, entityOf, readComid, readDigest, readTagIdentity, type TagIdentity, textOrUuid } from './comid.ts'
import type { Digest } from './comid.ts'
import { CORIM_LIMITS, fieldsOf, listOf, oid, type Read, tagOf, text, time, uint, under, uri } from './fields.ts'
import { type ConciseEvidence, type Coserv, type Discovery, readConciseEvidence, readCoserv, readDiscovery } from './related.ts'
import { checkProfile } from './profiles.ts'

export interface Validity { readonly notBefore: number | undefined; readonly notAfter: number }
/** A software identity (RFC 9393); only what names it is read. */
export interface Coswid { readonly kind: 'coswid'; readonly id: string; readonly version: number; readonly software: string }
/** A list of tags that are in force together. */
export interface Cotl { readonly kind: 'cotl'; readonly identity: TagIdentity; readonly tags: readonly TagIdentity[]; readonly validity: Validity }
export interface Corim {
  readonly kind: 'corim'
  /** Text, or a UUID in hex. */
  readonly id: string
  readonly tags: readonly (Comid | Coswid | Cotl)[]
  readonly dependsOn: readonly { readonly href: readonly string[]; readonly digests: readonly Digest[] }[]
  /** A URI, or `oid:` and dotted numbers. */
  readonly profile: string | undefined
  readonly validity: Validity | undefined
  readonly entities: readonly Entity[]
  readonly extensions: readonly (number | string)[]
}
export interface SignedCorim {
  readonly kind: 'signed-corim'
  readonly signer: string
  /** Hex of the key identifier in the protected header, if there is one. */
  readonly keyId: string | undefined
  readonly validity: Validity | undefined
  readonly corim: Corim
}
/** A key as such: CoSERV sends the keys of its results beside them. */
export interface LoneKey { readonly kind: 'key'; readonly key: PublicKey }
export type CorimDocument = Corim | SignedCorim | Comid | ConciseEvidence | Coserv | Discovery | LoneKey

/** A key that the relying party trusts for manifests; `id` (hex) where the signer names its key. */
export interface CorimKey { readonly id?: string; readonly key: PublicKey }
export interface VerifiedCorim { readonly corim: Corim; readonly signer: string; readonly validity: { readonly notBefore: number; readonly notAfter: number } }

const TAG = { corim: 501, signed: 18, coswid: 505, comid: 506, cotl: 508, evidence: 571 } as const
const CONTENT_TYPE = 'application/rim+cbor'
const HEADER = { contentType: 3, keyId: 4, meta: 8, claims: 15 } as const
const LIMITS = { bytes: CORIM_LIMITS.bytes, depth: 32, items: 100_000 }

/**
 * A signed manifest under one of these keys at a time (seconds since 1970), and what its profile asks for. Refuses
 * `evidence.unsupported` (no such key was handed in), `crypto.algorithm`, `evidence.signature`, `evidence.collateral`
 * (outside its validity), `corim.profile`, `corim.syntax`, `cbor.*`, `cose.header`.
 */
export function verifyCorim(p: Primitives, bytes: Uint8Array, keys: readonly CorimKey[], now: number): Result<VerifiedCorim> {
  return attempt(() => {
    const sign1 = readSign1(bytes, { at: 'corim', tag: 'required', cbor: { limits: LIMITS } })
    const signed = readSigned(bytes)
    const named = keys.filter(one => one.id === undefined || one.id === signed.keyId)
    if (named.length === 0) refuse('evidence.unsupported', 'corim.protected.kid', 'a key that the relying party handed in', signed.keyId ?? 'none')
    if (!named.some(one => verifySign1(p, sign1, one.key))) refuse('evidence.signature', 'corim.signature', 'a signature by a key that was handed in', 'one that does not hold')
    const windows = [signed.validity, signed.corim.validity].filter(one => one !== undefined)
    const notBefore = Math.max(0, ...windows.map(one => one.notBefore ?? 0))
    const notAfter = Math.min(...windows.map(one => one.notAfter))
    if (now < notBefore || now > notAfter) refuse('evidence.collateral', 'corim.validity', `a time from ${notBefore} to ${notAfter}`, String(now), 'fetch a manifest in force, or judge --at an earlier time')
    checkProfile(signed.corim)
    return { corim: signed.corim, signer: signed.signer, validity: { notBefore, notAfter } }
  })
}

/** Any of the documents, read whole; nothing is verified. Refuses `corim.syntax`, `cbor.*`, `bytes.*`, `der.non-canonical`. */
export function readCorim(bytes: Uint8Array): Result<CorimDocument> {
  return attempt(() => {
    const value = readCbor(bytes, { at: 'corim', limits: LIMITS })
    if (value.kind !== 'tag') return readUntagged(value, bytes)
    switch (value.tag) {
      case TAG.corim: return readUnsigned(value, 'corim')
      case TAG.signed: return readSigned(bytes)
      case TAG.comid: return readComid(readCbor(cborBytes(value.value, 'comid'), { at: 'comid', limits: LIMITS }), 'comid')
      case TAG.evidence: return readConciseEvidence(value.value, 'evidence')
      default: return refuse('corim.syntax', 'corim', 'tag 501 (manifest), 18 (signed manifest), 506 (module) or 571 (evidence)', `tag ${value.tag}`)
    }
  })
}

/** A manifest as `readCorim` gives it, with the rules of its profile. Refuses also `corim.profile`. */
export function checkedCorim(bytes: Uint8Array): Result<CorimDocument> {
  return attempt(() => {
    const read = readCorim(bytes)
    if (!read.ok) return refuse(read.refusal.code, read.refusal.at, read.refusal.expected, read.refusal.got)
    const document = read.value
    if (document.kind === 'corim') checkProfile(document)
    if (document.kind === 'signed-corim') checkProfile(document.corim)
    return document
  })
}

/** Documents that carry no tag are told apart by the fields they must have. */
function readUntagged(value: Cbor, whole: Uint8Array): CorimDocument {
  const map = cborFields(value, 'corim')
  if (map.has(-1)) return { kind: 'key', key: readCoseKey(whole, 'key') }
  if (map.has(1) && map.has(4) && map.get(1)?.kind === 'map') return readComid(value, 'comid')
  return map.has(0) ? readCoserv(value, 'coserv') : readDiscovery(value, 'discovery')
}

/** Section 4.2: the manifest within a COSE_Sign1, with who signed it. */
function readSigned(bytes: Uint8Array): SignedCorim {
  const { protected: header, payload } = readSign1(bytes, { at: 'corim', tag: 'required', cbor: { limits: LIMITS } })
  const type = cborText(header.get(HEADER.contentType), 'corim.protected.content-type')
  if (type !== CONTENT_TYPE) refuse('corim.syntax', 'corim.protected.content-type', CONTENT_TYPE, type)
  const [meta, claims, keyId] = [HEADER.meta, HEADER.claims, HEADER.keyId].map(label => header.get(label))
  const corim = readUnsigned(readCbor(payload, { at: 'corim.payload', limits: LIMITS }), 'corim.payload')
  const signer = meta === undefined ? readClaims(claims) : readMeta(meta)
  return { kind: 'signed-corim', ...signer, keyId: keyId === undefined ? undefined : toHex(cborBytes(keyId, 'corim.protected.kid', 1, 512)), corim }
}

const readMeta = (value: Cbor): Pick<SignedCorim, 'signer' | 'validity'> => {
  const map = fieldsOf(readCbor(cborBytes(value, 'corim.meta'), { at: 'corim.meta' }), 'corim.meta', [0, 1])
  const signer: Read<string> = (one, at) => {
    const fields = fieldsOf(one, at, [0, 1], true)
    fields.may(1, 'signer-uri', uri)
    return fields.need(0, 'signer-name', (name, where) => (name?.kind === 'tag' ? uri(name, where) : text(name, where)))
  }
  return { signer: map.need(0, 'signer', signer), validity: map.may(1, 'signature-validity', readValidity) }
}

/** The claims of RFC 9597 in place of the meta map: issuer and times. */
const readClaims = (value: Cbor | undefined): Pick<SignedCorim, 'signer' | 'validity'> => {
  const map = fieldsOf(value ?? refuse('corim.syntax', 'corim.protected', 'corim-meta (8) or CWT claims (15)', 'neither'), 'corim.claims', [1, 2, 4, 5])
  const [notAfter, notBefore] = [map.may(4, 'exp', uint), map.may(5, 'nbf', uint)]
  return { signer: map.need(1, 'iss', text), validity: notAfter === undefined && notBefore === undefined ? undefined : { notBefore, notAfter: notAfter ?? Number.MAX_SAFE_INTEGER } }
}

const readUnsigned = under(TAG.corim, (value, at): Corim => {
  const map = fieldsOf(value, at, [0, 1, 2, 3, 4, 5], true)
  return {
    kind: 'corim', id: map.need(0, 'id', textOrUuid), tags: map.need(1, 'tags', readTags), dependsOn: map.may(2, 'dependent-rims', listOf(readLocator)) ?? [],
    profile: map.may(3, 'profile', readProfile), validity: map.may(4, 'rim-validity', readValidity), entities: map.may(5, 'entities', listOf(entityOf([1, 2]))) ?? [], extensions: map.extensions,
  }
})

const readTags: Read<Corim['tags']> = (value, at) => {
  const tags = listOf(readTag)(value, at)
  return tags.length <= CORIM_LIMITS.tags ? tags : refuse('bytes.too-large', at, `at most ${CORIM_LIMITS.tags} tags`, String(tags.length))
}

const readTag: Read<Corim['tags'][number]> = (value, at) => {
  const { tag, value: inner } = tagOf(value, at)
  const content = () => readCbor(cborBytes(inner, at), { at, limits: LIMITS })
  switch (tag) {
    case TAG.comid: return readComid(content(), at)
    case TAG.coswid: return readCoswid(content(), at)
    case TAG.cotl: return readCotl(content(), at)
    default: return refuse('corim.syntax', at, 'tag 505 (CoSWID), 506 (CoMID) or 508 (CoTL)', `tag ${tag}`)
  }
}

/** RFC 9393 section 2.3: tag-id, software-name, entity and tag-version must stand there. */
const readCoswid: Read<Coswid> = (value, at) => {
  const map = fieldsOf(value, at, Array.from({ length: 58 }, (_, i) => i), true)
  map.need(2, 'entity', (one, where) => one ?? refuse('corim.syntax', where, 'an entity', 'none'))
  return { kind: 'coswid', id: map.need(0, 'tag-id', textOrUuid), version: map.need(12, 'tag-version', (one, where) => (one?.kind === 'int' ? Number(one.value) : refuse('corim.syntax', where, 'an integer', 'another value'))), software: map.need(1, 'software-name', text) }
}

const readCotl: Read<Cotl> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2])
  return { kind: 'cotl', identity: map.need(0, 'tag-identity', readTagIdentity), tags: map.need(1, 'tags-list', listOf(readTagIdentity)), validity: map.need(2, 'tl-validity', readValidity) }
}

const readValidity: Read<Validity> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1])
  const [notBefore, notAfter] = [map.may(0, 'not-before', time), map.need(1, 'not-after', time)]
  return (notBefore ?? 0) <= notAfter ? { notBefore, notAfter } : refuse('corim.syntax', at, 'an end behind the beginning', `${notBefore} to ${notAfter}`)
}

const readProfile: Read<string> = (value, at) => (value?.kind === 'tag' && value.tag === 111 ? `oid:${oid(value.value, at)}` : uri(value, at))

const readLocator: Read<Corim['dependsOn'][number]> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1])
  const many = <T>(read: Read<T>, single: (one: Cbor | undefined) => boolean): Read<readonly T[]> => (one, where) => (single(one) ? [read(one, where)] : listOf(read)(one, where))
  const oneDigest = (one: Cbor | undefined) => one?.kind === 'array' && one.value[0]?.kind !== 'array'
  return { href: map.need(0, 'href', many(uri, one => one?.kind === 'tag')), digests: map.may(1, 'thumbprint', many(readDigest, oneDigest)) ?? [] }
}
