/**
 * A key split over brokers (charter.md section 8, key-release.md section 1): the owner deals k of n shares, one for each
 * broker, and whoever opens needs the word of k brokers that each appraised the evidence themselves. What is dealt is a
 * fresh uniform secret; the asset's age identity is wrapped under a key derived from it, so an identity that exists
 * already can be split, and split anew, without touching the file.
 *
 * A `Split` is public and the same at every broker. The owner's `put` act at each broker covers its digest and the place
 * of that broker's share, so that nobody can exchange either. A key that was not split is one of one: it has no `Split`.
 * Trusts the port and the caller's randomness.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { framed, u64be } from '../bytes/bytes.ts'
import { isObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import { jcs } from '../bytes/jcs.ts'
import { fromUtf8, utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Hash, Name } from '../charter/types.ts'
import { hkdf } from '../crypto/hkdf.ts'
import type { Primitives, Random } from '../crypto/primitives.ts'
import { checkShare, checkThreshold, combine, deal, drawSecret, encodeShare, parseShare, type Faulty, type Share, type Threshold } from '../crypto/shamir.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'

/** Which key: of which asset and version, and of which sealed file. */
export interface KeyAbout { readonly lineage: Hash; readonly asset: Name; readonly version: number; readonly digest: Hash }
/** What is public of a split key. Binary fields are base64. */
export interface Split extends Threshold {
  /** One for each share that is needed (core/crypto/shamir.ts). */
  readonly commitments: readonly string[]
  /** The identity, AES-256-GCM under a key derived from the dealt secret, `KeyAbout` and everything above. */
  readonly wrapped: string
}
/** One broker's part: which share it holds, of which split. */
export interface KeyPart { readonly index: number; readonly split: Split }

/** Every limit on a split that comes in. */
export const SPLIT_LIMITS = { wrappedBytes: 8_192 } as const

/**
 * Split an age identity. `shares[i]` (base64, secret) is for the broker of place `i + 1`. Leaves with `share.threshold`.
 *
 * @example
 * const { split, shares } = splitKey(p, { lineage, asset: 'a-claims', version: 1, digest }, identity, { need: 2, of: 3 }, random)
 * joinKey(p, about, split, [{ index: 3, share: shares[2] }, { index: 1, share: shares[0] }]) // → { ok: true, value: { identity, used: [1, 3], faulty: [] } }
 */
export function splitKey(p: Primitives, about: KeyAbout, identity: string, threshold: Threshold, random: Random): { split: Split; shares: string[] } {
  const { need, of } = checkThreshold(threshold)
  const secret = drawSecret(random)
  const { commitments, shares } = deal(secret, { need, of }, random)
  const open = { need, of, commitments: commitments.map(toBase64) }
  const wrapped = p.aeadSeal('aes-256-gcm', wrappingKey(p, about, open, secret), NONCE, EMPTY, utf8(identity))
  return { split: { ...open, wrapped: toBase64(wrapped) }, shares: shares.map(share => toBase64(encodeShare(share))) }
}

/** Is this text the share of that place? What a broker asks before it keeps one. Refuses `share.*`. */
export function checkPart({ split, index }: KeyPart, share: string): Result<void> {
  return attempt(() => orRefuse(checkShare(commitmentsOf(split), readPart(split, index, share))))
}

/**
 * The identity, from the shares that are right; the others are named by their place in the list. Refuses
 * `share.too-few`, or `crypto.open` when the split is of another key.
 */
export function joinKey(p: Primitives, about: KeyAbout, split: Split, parts: readonly { readonly index: number; readonly share: string }[]): Result<{ identity: string; used: readonly number[]; faulty: readonly Faulty[] }> {
  return attempt(() => {
    const read = parts.map(({ index, share }, position) => ({ position, share: attempt(() => readPart(split, index, share)) }))
    const shares = read.flatMap(({ position, share }) => (share.ok ? [{ position, share: share.value }] : []))
    const { secret, used, faulty } = orRefuse(combine(commitmentsOf(split), shares.map(one => one.share)))
    const wrong: Faulty[] = [
      ...read.flatMap(({ position, share }) => (share.ok ? [] : [{ position, refusal: share.refusal }])),
      ...faulty.map(({ position, refusal }) => ({ position: shares[position]?.position ?? position, refusal })),
    ]
    const opened = p.aeadOpen('aes-256-gcm', wrappingKey(p, about, split, secret), NONCE, EMPTY, fromBase64(split.wrapped, 'split.wrapped'))
    if (opened === undefined) return refuse('crypto.open', 'split.wrapped', `the key of ${about.asset}, version ${about.version}`, 'one that does not open')
    return { identity: fromUtf8(opened, 'split.wrapped'), used, faulty: wrong }
  })
}

/** A split from outside, checked for form: thresholds, commitments, sizes. Leaves with `share.threshold` or `share.form`. */
export function parseSplit(value: Json | undefined, at = 'split'): Split {
  if (!isObject(value)) return refuse('share.form', at, 'an object', shown(value))
  only(value, ['need', 'of', 'commitments', 'wrapped'], at)
  const { need, of, commitments, wrapped } = value
  const threshold = checkThreshold({ need, of }, at)
  if (!Array.isArray(commitments) || commitments.length !== threshold.need) return refuse('share.form', `${at}.commitments`, `a list of ${threshold.need}`, 'another value')
  if (typeof wrapped !== 'string' || fromBase64(wrapped, `${at}.wrapped`).length > SPLIT_LIMITS.wrappedBytes) return refuse('share.form', `${at}.wrapped`, `base64 of at most ${SPLIT_LIMITS.wrappedBytes} bytes`, 'another value')
  return { ...threshold, wrapped, commitments: commitments.map((one, j) => (typeof one === 'string' && fromBase64(one, `${at}.commitments`).length === 32 ? one : refuse('share.form', `${at}.commitments[${j}]`, '32 bytes in base64', shown(one)))) }
}

export const splitDigest = (p: Primitives, split: Split): Hash => hashOf(p, utf8(jcs(split)))

/** How a receipt names a part: the threshold, the place and the split's digest. */
export function partOf(p: Primitives, { split, index }: KeyPart): { index: number; need: number; of: number; split: Hash } {
  return { index, need: split.need, of: split.of, split: splitDigest(p, split) }
}

/**
 * What an owner signs about a deposit, beyond the charter: asset, version, the digest of the sealed file, the digest of
 * the sealed key or share, and which part of which split it is, so that none of them can be exchanged on the way.
 */
export function putSubject(p: Primitives, about: Omit<KeyAbout, 'lineage'>, sealedDigest: Hash, part?: KeyPart): string {
  const whole = `${about.asset}@${about.version} ${about.digest} ${sealedDigest}`
  return part === undefined ? whole : `${whole} share ${part.index} of ${part.split.of} need ${part.split.need} ${splitDigest(p, part.split)}`
}

const EMPTY = new Uint8Array(0)
/** Each wrapping key is used once: its secret is drawn for one split. */
const NONCE = new Uint8Array(12)

function wrappingKey(p: Primitives, { lineage, asset, version, digest }: KeyAbout, { need, of, commitments }: Omit<Split, 'wrapped'>, secret: Uint8Array): Uint8Array {
  const info = framed('cloister/split-key/1', utf8(lineage), utf8(asset), u64be(version), utf8(digest), u64be(need), u64be(of), ...commitments.map(utf8))
  return hkdf(p, 'sha256', secret, EMPTY, info, 32)
}

const commitmentsOf = (split: Split) => split.commitments.map((text, j) => fromBase64(text, `split.commitments[${j}]`))

/** A share as a broker gave it, of the place that the owner signed for that broker. Whether it is true is for the commitments to say. */
function readPart(split: Split, index: number, text: string): Share {
  const share = parseShare(fromBase64(text, 'share'))
  if (share.index !== index || index > split.of) refuse('share.index', 'share.index', `${index}, at most ${split.of}`, String(share.index))
  return share
}

function only(value: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(value)) if (!keys.includes(key)) refuse('share.form', `${at}.${key.slice(0, 80)}`, keys.join(', '), 'an unknown field')
}
