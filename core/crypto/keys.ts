/**
 * Public keys in and out of text and SubjectPublicKeyInfo (RFC 5280, 5480, 8410, 9881), and ECDSA signatures in and out
 * of DER. Parsing decides the kind of key from its own bytes, never from a header beside it. Trusts nothing.
 */
import { concat } from '../bytes/bytes.ts'
import { bitBytes, children, type Der, der, derInteger, derOid, derSequence, oidOf, readDer, TAG, unsigned } from '../bytes/der.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { refuse } from '../refusal.ts'
import type { PublicKey, Signer } from './primitives.ts'

type RawKind = Exclude<PublicKey['kind'], 'rsa'>
const SIZES: Record<RawKind, number> = { ed25519: 32, p256: 65, p384: 97, 'ml-dsa-44': 1312, 'ml-dsa-65': 1952 }
const OID = { ec: '1.2.840.10045.2.1', p256: '1.2.840.10045.3.1.7', p384: '1.3.132.0.34', rsa: '1.2.840.113549.1.1.1', pss: '1.2.840.113549.1.1.10' }
const RAW_OIDS: Record<string, RawKind> = { '1.3.101.112': 'ed25519', '2.16.840.1.101.3.4.3.17': 'ml-dsa-44', '2.16.840.1.101.3.4.3.18': 'ml-dsa-65' }

/**
 * A key from its text `kind:<hex of the raw key>`. Leaves with `crypto.key`.
 *
 * @example
 * parseKey('ed25519:94289de24ca627bbf5ab276270da25dc3b961ed0f2001e804e3d4ffc31442e58').kind // → 'ed25519'
 */
export function parseKey(text: string, at = 'key'): PublicKey {
  const [kind, hex, more] = text.split(':')
  if (!isRawKind(kind) || hex === undefined || more !== undefined || hex !== hex.toLowerCase()) return refuse('crypto.key', at, 'ed25519:, p256: or ml-dsa-65: and lower-case hex', text)
  return rawKey(kind, fromHex(hex, at), at)
}

export function formatKey(key: PublicKey): string {
  return key.kind === 'rsa' ? `rsa:${toHex(key.n)}.${toHex(key.e)}` : `${key.kind}:${toHex(key.raw)}`
}

/** The algorithm with which a signing key of this kind signs in Cloister's own statements. */
export function algorithmOf(key: PublicKey): Signer['algorithm'] {
  switch (key.kind) {
    case 'p256': return 'ecdsa-p256-sha256'
    case 'p384': return 'ecdsa-p384-sha384'
    case 'rsa': return refuse('crypto.algorithm', 'key', 'ed25519, P-256, P-384 or ML-DSA', 'RSA')
    default: return key.kind
  }
}

/** The key in a DER SubjectPublicKeyInfo. Leaves with `der.*` or `crypto.key`. */
export function spkiToKey(spki: Uint8Array, at = 'spki'): PublicKey {
  const [algorithm, bits] = two(children(readDer(spki, at)), at)
  const [oidElement, parameters, more] = children(algorithm)
  if (more !== undefined) refuse('crypto.key', at, 'an identifier and its parameters', 'more')
  const oid = oidOf(oidElement, at)
  const key = bitBytes(bits, at)
  if (oid === OID.rsa || oid === OID.pss) {
    const [n, e] = two(children(readDer(key, at)), at)
    return { kind: 'rsa', n: unsigned(n, at), e: unsigned(e, at) }
  }
  if (oid !== OID.ec && parameters !== undefined) refuse('crypto.key', at, 'no parameters (RFC 8410, RFC 9881)', 'parameters')
  if (oid !== OID.ec) return rawKey(RAW_OIDS[oid] ?? refuse('crypto.key', at, 'a known kind of key', oid), key, at)
  const curve = oidOf(parameters, at)
  return rawKey(curve === OID.p256 ? 'p256' : curve === OID.p384 ? 'p384' : refuse('crypto.key', at, 'P-256 or P-384', curve), key, at)
}

export function keyToSpki(key: PublicKey): Uint8Array {
  const bits = (bytes: Uint8Array) => der(TAG.bitString, new Uint8Array([0]), bytes)
  if (key.kind === 'rsa') return derSequence(derSequence(derOid(OID.rsa), der(TAG.null)), bits(derSequence(derInteger(key.n), derInteger(key.e))))
  if (key.kind === 'p256' || key.kind === 'p384') return derSequence(derSequence(derOid(OID.ec), derOid(OID[key.kind])), bits(key.raw))
  const oid = Object.entries(RAW_OIDS).find(([, kind]) => kind === key.kind)?.[0] ?? ''
  return derSequence(derSequence(derOid(oid)), bits(key.raw))
}

/** A DER ECDSA signature as raw r‖s of `size` bytes each. */
export function ecdsaFromDer(signature: Uint8Array, size: number, at = 'signature'): Uint8Array {
  const [r, s, more] = children(readDer(signature, at))
  const [left, right] = [unsigned(r, at), unsigned(s, at)]
  if (more !== undefined || left.length > size || right.length > size) refuse('crypto.signature', at, `r and s of at most ${size} bytes`, 'another form')
  const out = new Uint8Array(2 * size)
  out.set(left, size - left.length)
  out.set(right, 2 * size - right.length)
  return out
}

export function ecdsaToDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  return derSequence(derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half)))
}

/** A raw public key of this kind, checked for length and form (the curve equation is checked when it is used). */
export function rawKey(kind: RawKind, raw: Uint8Array, at = 'key'): PublicKey {
  if (raw.length !== SIZES[kind]) refuse('crypto.key', at, `${SIZES[kind]} bytes for ${kind}`, `${raw.length} bytes`)
  if ((kind === 'p256' || kind === 'p384') && raw[0] !== 4) refuse('crypto.key', at, 'an uncompressed point', `first byte ${raw[0]}`)
  return { kind, raw }
}

/** The affine coordinates of an uncompressed point, joined again by `pointOf`. */
export const pointOf = (x: Uint8Array, y: Uint8Array): Uint8Array => concat(new Uint8Array([4]), x, y)

function two(parts: readonly Der[], at: string): readonly [Der, Der] {
  const [first, second, more] = parts
  return first !== undefined && second !== undefined && more === undefined ? [first, second] : refuse('crypto.key', at, '2 parts', String(parts.length))
}
const isRawKind = (kind: string | undefined): kind is RawKind => kind !== undefined && Object.hasOwn(SIZES, kind)
