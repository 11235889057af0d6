/**
 * Verifiable secret sharing: Shamir's polynomial over the scalars of ristretto255 (RFC 9496; a prime-order group, one
 * encoding for each element) with Pedersen's commitments (CRYPTO '91). A dealer splits a secret so that any `need` of `of`
 * shares give it back; whoever holds a share can check it against the public commitments, and whoever combines can name a
 * false one and go on with the others.
 *
 * A share is a point of two polynomials, f (whose f(0) is the secret) and g (blinding), committed as C_j = f_j·G + g_j·H.
 * Nobody knows log_G(H), as H comes out of a hash. Fewer than `need` shares and all commitments fit every secret equally
 * well, so they say nothing about it, whatever the computer. Feldman's commitments (f_j·G, which the FROST of
 * @noble/curves deals too) would stand in public logs for ever and give the secret to the first quantum computer that
 * takes a discrete logarithm; here that computer could only forge a share, and what is combined from it opens nothing.
 * FROST itself is not used: it signs, and what moves here is a key. Its dealer is the independent referee in the tests.
 *
 * Trusts: the caller's randomness, @noble/curves. Scalars are BigInts, for which JavaScript promises no constant time:
 * dealing and combining belong where the secret belongs (THREATS.md). What is derived from a secret goes through HKDF.
 */
import { ristretto255, ristretto255_hasher } from '@noble/curves/ed25519.js'
import { concat } from '../bytes/bytes.ts'
import { shown, type Json } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, refuse, Refused, refusalOf, type Refusal, type Result } from '../refusal.ts'
import type { Random } from './primitives.ts'

/** Any `need` of `of` shares give the secret. */
export interface Threshold { readonly need: number; readonly of: number }
/** One share: its place on the polynomials, 1 to 32, and their values there: f(index) ‖ g(index), 64 bytes. Secret. */
export interface Share { readonly index: number; readonly value: Uint8Array }
/** What a dealer makes: one commitment (32 bytes) for each share that is needed, and the shares 1 to `of`. */
export interface Dealing { readonly commitments: readonly Uint8Array[]; readonly shares: readonly Share[] }
/** A secret that was put together, from the shares of these indices; and what is wrong with each share that was not used. */
export interface Combined { readonly secret: Uint8Array; readonly used: readonly number[]; readonly faulty: readonly Faulty[] }
/** A share that was not believed: its place in the list that was handed in, and why. */
export interface Faulty { readonly position: number; readonly refusal: Refusal }

export const SHARES_MAX = 32
export const SCALAR_BYTES = 32
export const SHARE_BYTES = 1 + 2 * SCALAR_BYTES

/** A fresh secret: a uniform scalar, 32 bytes, little-endian. */
export function drawSecret(random: Random): Uint8Array {
  return Fn.toBytes(drawScalar(random))
}

/**
 * Split a secret (a scalar as `drawSecret` gives it). Leaves with `share.threshold` or `share.form`.
 *
 * @example
 * const secret = drawSecret(random)
 * const { commitments, shares } = deal(secret, { need: 2, of: 3 }, random)
 * combine(commitments, shares.slice(1)) // → { ok: true, value: { secret, used: [2, 3], faulty: [] } }
 */
export function deal(secret: Uint8Array, threshold: Threshold, random: Random): Dealing {
  const { need, of } = checkThreshold(threshold)
  const f = [scalar(secret, 'secret'), ...Array.from({ length: need - 1 }, () => drawScalar(random))]
  const g = f.map(() => drawScalar(random))
  return {
    commitments: f.map((coefficient, j) => commit(coefficient, g[j] ?? 0n).toBytes()),
    shares: Array.from({ length: of }, (_, i) => ({ index: i + 1, value: concat(Fn.toBytes(evaluate(f, i + 1)), Fn.toBytes(evaluate(g, i + 1))) })),
  }
}

/** Is this a share of the dealing with these commitments? Refuses `share.form`, `share.index`, `share.threshold` or `share.false`. */
export function checkShare(commitments: readonly Uint8Array[], share: Share, at = 'share'): Result<void> {
  return attempt(() => void fits(readCommitments(commitments), share, at))
}

/**
 * The secret, from the shares that are right. What is wrong with the others is told beside it, each by its place in the
 * list; an index that stands twice counts once. Refuses `share.too-few` when fewer than are needed are right (naming the
 * first that is not), `share.form` or `share.threshold` when the commitments are none.
 */
export function combine(commitments: readonly Uint8Array[], shares: readonly Share[]): Result<Combined> {
  return attempt(() => {
    const points = readCommitments(commitments)
    if (shares.length > SHARES_MAX) refuse('share.threshold', 'shares', `at most ${SHARES_MAX}`, String(shares.length))
    const good = new Map<number, bigint>()
    const faulty: Faulty[] = []
    shares.forEach((share, position) => {
      const value = attempt(() => {
        const found = fits(points, share, `shares[${position}]`)
        return good.has(share.index) ? refuse('share.index', `shares[${position}].index`, 'each share once', `${share.index} again`) : found
      })
      if (value.ok) good.set(share.index, value.value)
      else faulty.push({ position, refusal: value.refusal })
    })
    const used = [...good.keys()].sort((a, b) => a - b).slice(0, points.length)
    if (used.length < points.length) throw new Refused(tooFew(points.length, used.length, faulty))
    return { secret: Fn.toBytes(used.reduce((sum, index) => Fn.add(sum, Fn.mul(weight(used, index), good.get(index) ?? 0n)), 0n)), used, faulty }
  })
}

/** A threshold within the limits, from wherever it comes. Leaves with `share.threshold`. */
export function checkThreshold({ need, of }: { readonly need: Json | undefined; readonly of: Json | undefined }, at = 'threshold'): Threshold {
  return whole(need) && whole(of) && need >= 1 && need <= of && of <= SHARES_MAX ? { need, of } : refuse('share.threshold', at, `1 ≤ need ≤ of ≤ ${SHARES_MAX}`, `${shown(need)} of ${shown(of)}`)
}

const whole = (value: Json | undefined): value is number => Number.isInteger(value)

/** A share as 65 bytes: index, f, g. */
export function encodeShare(share: Share): Uint8Array {
  return concat(new Uint8Array([share.index]), share.value)
}

/** A share from its 65 bytes, checked for form. Leaves with `share.form` or `share.index`. */
export function parseShare(bytes: Uint8Array, at = 'share'): Share {
  if (bytes.length !== SHARE_BYTES) refuse('share.form', at, `${SHARE_BYTES} bytes`, `${bytes.length} bytes`)
  const share = { index: bytes[0] ?? 0, value: bytes.slice(1) }
  readValues(share, at)
  return share
}

// ---- the group ----------------------------------------------------------------------------------------------------

const { Point } = ristretto255
const { Fn } = Point
type Element = InstanceType<typeof Point>

/** The second generator: hashed to the group (RFC 9380), so that nobody knows its logarithm. Made once, when first asked for. */
let second: Element | undefined
const secondGenerator = (): Element => (second ??= ristretto255_hasher.hashToCurve(utf8('cloister/shamir/1 second generator'), { DST: 'cloister/shamir/1' }))

/** 512 bits reduced: further from uniform than 2^-250 is nobody's to tell. */
function drawScalar(random: Random): bigint {
  return Fn.create(random(64).reduce((value, byte) => value * 256n + BigInt(byte), 0n))
}

const commit = (value: bigint, blinding: bigint): Element => times(Point.BASE, value).add(times(secondGenerator(), blinding))

/** Zero is a scalar like any other, and the library's `multiply` takes it for a mistake. */
const times = (point: Element, by: bigint): Element => (by === 0n ? Point.ZERO : point.multiply(by))

function evaluate(coefficients: readonly bigint[], index: number): bigint {
  return coefficients.reduceRight((sum, coefficient) => Fn.add(Fn.mul(sum, BigInt(index)), coefficient), 0n)
}

/** Lagrange's weight of one index for the value at 0. */
function weight(indices: readonly number[], index: number): bigint {
  return indices.filter(other => other !== index).reduce((product, other) => Fn.mul(product, Fn.div(BigInt(other), Fn.create(BigInt(other - index)))), 1n)
}

/** The share's value of f, when its two values are what the commitments say of its index. */
function fits(commitments: readonly Element[], share: Share, at: string): bigint {
  const { f, g } = readValues(share, at)
  const expected = commitments.reduceRight((sum, point) => sum.multiplyUnsafe(BigInt(share.index)).add(point), Point.ZERO)
  return expected.equals(commit(f, g)) ? f : refuse('share.false', at, `share ${share.index} of this dealing`, 'another value')
}

function readValues({ index, value }: Share, at: string): { f: bigint; g: bigint } {
  if (!Number.isInteger(index) || index < 1 || index > SHARES_MAX) refuse('share.index', `${at}.index`, `1 to ${SHARES_MAX}`, String(index))
  return { f: scalar(value.subarray(0, SCALAR_BYTES), at), g: scalar(value.subarray(SCALAR_BYTES), at) }
}

/** Canonical: below the group's order, so that a share has one form. */
function scalar(bytes: Uint8Array, at: string): bigint {
  if (bytes.length !== SCALAR_BYTES) return refuse('share.form', at, `${SCALAR_BYTES} bytes`, `${bytes.length} bytes`)
  const value = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
  return value < Fn.ORDER ? value : refuse('share.form', at, 'a scalar below the order of the group', 'a larger number')
}

function readCommitments(commitments: readonly Uint8Array[]): Element[] {
  if (commitments.length < 1 || commitments.length > SHARES_MAX) refuse('share.threshold', 'commitments', `1 to ${SHARES_MAX}`, String(commitments.length))
  return commitments.map((bytes, j) => {
    const point = decode(bytes) ?? refuse('share.form', `commitments[${j}]`, 'an element of ristretto255 in its one encoding', 'another value')
    return point.is0() ? refuse('share.form', `commitments[${j}]`, 'a commitment', 'the neutral element') : point
  })
}

function decode(bytes: Uint8Array): Element | undefined {
  try {
    return Point.fromBytes(bytes)
  } catch {
    return undefined // the library's way to say that this is no element
  }
}

function tooFew(need: number, good: number, faulty: readonly Faulty[]): Refusal {
  const [first] = faulty
  return refusalOf('share.too-few', 'shares', `${need} shares that are right`, first === undefined ? String(good) : `${good}; ${first.refusal.at}: ${first.refusal.code}`)
}
