/**
 * The sealed release: asset keys on their way from broker to guest, HPKE with X-Wing to the guest's key, signed by the
 * broker's attested key. Charter, epoch, nonce, head and assets are in the info string, so a release opens for one
 * session only and in no other context (key-release.md section 17).
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { framed, u64be } from '../bytes/bytes.ts'
import { isObject, parseJson, type Json } from '../bytes/json.ts'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import type { Hash } from '../charter/types.ts'
import { hpkeOpen, hpkeSeal, SUITE } from '../crypto/hpke.ts'
import { algorithmOf, formatKey, parseKey } from '../crypto/keys.ts'
import type { Primitives, Random, Signer } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { parseSplit, type KeyPart } from './shares.ts'

export interface ReleasedKey {
  readonly asset: string
  readonly version: number
  /** Digest of the sealed file that the owner deposited this key for: the guest opens no other. */
  readonly digest: Hash
  /** The age identity that opens it, or one broker's share of it in base64. Secret. */
  readonly identity: string
  /** Of which split `identity` is a share; without it, it is the whole key. */
  readonly share?: KeyShare
}
/** A part of a split key as a broker keeps it: what the owner signed when the share was deposited. */
export interface KeyShare extends KeyPart {
  /** Digest of the sealed share, as the owner's acts name it. */
  readonly sealed: Hash
  /** The owner's `put` acts, as the JSON text of a list; the guest verifies them against its charter. */
  readonly acts: string
}
export interface SealedRelease { readonly enc: string; readonly ciphertext: string; readonly key: string; readonly signature: string } // base64, base64, key text, base64
/** What a release is about; both sides must agree on all of it. */
export interface ReleaseContext { readonly charter: Hash; readonly epoch: number; readonly nonce: Uint8Array; readonly head: Uint8Array; readonly assets: readonly string[] }

export function sealRelease(p: Primitives, broker: Signer, to: Uint8Array, context: ReleaseContext, keys: readonly ReleasedKey[], random: Random): SealedRelease {
  const info = infoOf(context)
  const sealed = hpkeSeal(p, SUITE, { to, info, aad: new Uint8Array(0), plaintext: utf8(jcs(keys)) }, random)
  const signature = broker.sign(signedBytes(sealed.enc, sealed.ciphertext, info))
  return { enc: toBase64(sealed.enc), ciphertext: toBase64(sealed.ciphertext), key: formatKey(broker.publicKey), signature: toBase64(signature) }
}

/**
 * The keys of a release, if it was sealed to `secret` in this context and signed by the broker whose key is expected.
 * Refuses `seal.sender` (another or no broker), `seal.open` (another guest or context) or `seal.binding` (other assets).
 */
export function openRelease(p: Primitives, secret: Uint8Array, brokerKey: string, context: ReleaseContext, sealed: SealedRelease): Result<ReleasedKey[]> {
  return attempt(() => {
    const [enc, ciphertext, info] = [fromBase64(sealed.enc, 'sealed.enc'), fromBase64(sealed.ciphertext, 'sealed.ciphertext'), infoOf(context)]
    const key = parseKey(brokerKey, 'broker.key')
    if (sealed.key !== brokerKey || !p.verify(algorithmOf(key), key, signedBytes(enc, ciphertext, info), fromBase64(sealed.signature, 'sealed.signature'))) {
      refuse('seal.sender', 'sealed.signature', `a release signed by ${brokerKey.slice(0, 24)}… for this session`, 'one that is not')
    }
    const opened = hpkeOpen(p, SUITE, { secret, enc, info, aad: new Uint8Array(0), ciphertext })
    if (!opened.ok) return refuse('seal.open', 'sealed.ciphertext', 'a release sealed to this guest', 'one that does not open')
    const keys = readKeys(parseJson(opened.value))
    if (jcs(keys.map(one => one.asset).sort()) !== jcs([...context.assets].sort())) refuse('seal.binding', 'keys', context.assets.join(', '), keys.map(one => one.asset).join(', '))
    return keys
  })
}

/** A sealed release as it came over the wire, checked for shape. Leaves with `seal.open`. */
export function parseSealed(value: unknown): SealedRelease {
  const json = value as Json // only texts are read below
  const text = (key: string) => {
    const field = isObject(json) ? json[key] : undefined
    return typeof field === 'string' ? field : refuse('seal.open', `sealed.${key}`, 'a text', typeof field)
  }
  return { enc: text('enc'), ciphertext: text('ciphertext'), key: text('key'), signature: text('signature') }
}

function infoOf(context: ReleaseContext): Uint8Array {
  return framed('cloister/release-info/1', utf8(context.charter), u64be(context.epoch), context.nonce, context.head, ...[...context.assets].sort().map(utf8))
}

function signedBytes(enc: Uint8Array, ciphertext: Uint8Array, info: Uint8Array): Uint8Array {
  return framed('cloister/sealed/1', enc, ciphertext, info)
}

function readKeys(value: Json): ReleasedKey[] {
  if (!Array.isArray(value)) return refuse('seal.open', 'keys', 'a list', 'another value')
  return value.map((entry, i) => orRefuse(attempt(() => {
    const { asset, version, digest, identity, share } = isObject(entry) ? entry : refuse('seal.open', `keys[${i}]`, 'an object', 'another value')
    if (typeof asset !== 'string' || typeof version !== 'number' || typeof digest !== 'string' || typeof identity !== 'string') return refuse('seal.open', `keys[${i}]`, 'asset, version, digest and identity', 'another shape')
    return { asset, version, digest: digest as Hash, identity, ...(share === undefined ? {} : { share: readShare(share, `keys[${i}].share`) }) } // compared with a computed digest before it counts
  })))
}

function readShare(value: Json, at: string): KeyShare {
  const { index, split, sealed, acts } = isObject(value) ? value : refuse('seal.open', at, 'an object', 'another value')
  if (typeof index !== 'number' || typeof sealed !== 'string' || typeof acts !== 'string') return refuse('seal.open', at, 'index, split, sealed and acts', 'another shape')
  return { index, split: parseSplit(split, `${at}.split`), sealed: sealed as Hash, acts } // compared with what the owner signed before it counts
}
