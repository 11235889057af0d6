// k of n: any k give the secret, fewer say nothing, a false share is named. FROST's dealer of @noble/curves is the referee.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ristretto255, ristretto255_FROST } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { concat } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, type Result } from '../refusal.ts'
import { portable as p } from './portable.ts'
import type { Random } from './primitives.ts'
import { checkShare, checkThreshold, combine, deal, drawSecret, encodeShare, parseShare, type Share } from './shamir.ts'

const { Fn } = ristretto255.Point
const refused = (result: Result<unknown>, code: string) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
}
const given = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const seeded = (seed: string): Random => {
  let drawn = 0
  return length => p.shake256(utf8(`${seed} ${drawn++}`), length)
}
const number = (value: bigint | number) => Fn.toBytes(Fn.create(BigInt(value)))
const pair = (f: bigint | number, g: bigint | number) => concat(number(f), number(g))
const flipped = (bytes: Uint8Array, at: number, bit: number) => bytes.map((byte, i) => (i === at % bytes.length ? byte ^ (1 << bit) : byte))
const picked = <T>(all: readonly T[], order: readonly number[], count: number) => order.map((weight, i) => [weight, i] as const).sort((a, b) => a[0] - b[0]).slice(0, count).flatMap(([, i]) => all[i] ?? [])

const random = seeded('dealer')
const secret = drawSecret(random)
const dealing = deal(secret, { need: 3, of: 5 }, random)
const share = (index: number): Share => dealing.shares[index - 1] ?? assert.fail(`no share ${index}`)

test('any k of n shares, in any order, give the secret; k - 1 give a refusal', () => {
  const orders = fc.integer({ min: 1, max: 6 }).chain(of => fc.tuple(fc.constant(of), fc.integer({ min: 1, max: of }), fc.array(fc.nat(), { minLength: of, maxLength: of }), fc.string()))
  fc.assert(fc.property(orders, ([of, need, order, seed]) => {
    const draw = seeded(seed)
    const mine = drawSecret(draw)
    const { commitments, shares } = deal(mine, { need, of }, draw)
    assert.deepEqual([commitments.length, shares.map(one => one.index)], [need, Array.from({ length: of }, (_, i) => i + 1)])
    const some = picked(shares, order, need)
    const combined = given(combine(commitments, some))
    assert.deepEqual([toHex(combined.secret), combined.used, combined.faulty], [toHex(mine), some.map(one => one.index).sort((a, b) => a - b), []])
    refused(combine(commitments, some.slice(1)), 'share.too-few')
  }), { numRuns: 15 })
})

test('more than are needed do no harm, and the most there may be', () => {
  assert.deepEqual([toHex(given(combine(dealing.commitments, dealing.shares)).secret), given(combine(dealing.commitments, dealing.shares)).used], [toHex(secret), [1, 2, 3]])
  const most = deal(secret, { need: 32, of: 32 }, random)
  assert.equal(toHex(given(combine(most.commitments, [...most.shares].reverse())).secret), toHex(secret))
  const one = deal(secret, { need: 1, of: 1 }, random)
  assert.equal(toHex(given(combine(one.commitments, one.shares)).secret), toHex(secret))
})

test('a case by hand: f = 1234 + 166x + 94x², g = 5 + 6x + 7x² (the numbers of the textbook)', () => {
  // Drawn in the order f1, f2, g0, g1, g2: 64 bytes each, the number at the end.
  const coefficients = [166, 94, 5, 6, 7]
  const draw: Random = length => new Uint8Array(length).fill(0).map((_, i) => (i === length - 1 ? coefficients[at] ?? 0 : 0))
  let at = -1
  const byHand = deal(number(1234), { need: 3, of: 6 }, length => { at++; return draw(length) })
  assert.deepEqual(byHand.shares.map(one => Fn.fromBytes(one.value.subarray(0, 32))), [1494n, 1942n, 2578n, 3402n, 4414n, 5614n])
  assert.deepEqual(byHand.shares.map(one => Fn.fromBytes(one.value.subarray(32))), [18n, 45n, 86n, 141n, 210n, 293n])
  assert.equal(Fn.fromBytes(given(combine(byHand.commitments, [1, 3, 4].flatMap(i => byHand.shares[i] ?? []))).secret), 1234n)
})

test('the referee: shares of FROST\'s dealer combine here to its key, and ours combine there', () => {
  const signers = { min: 3, max: 5 }
  const theirs = ristretto255_FROST.trustedDealer(signers, undefined, secret)
  const shares = Object.values(theirs.secretShares).map(one => ({ index: Number(Fn.fromBytes(fromHex(one.identifier))), value: concat(one.signingShare, number(0)) }))
  // With a blinding of zero Pedersen's commitments are Feldman's.
  assert.equal(toHex(given(combine(theirs.public.commitments, shares.slice(1, 4))).secret), toHex(secret))
  const ours = dealing.shares.slice(0, 3).map(one => ({ identifier: ristretto255_FROST.Identifier.fromNumber(one.index), signingShare: one.value.slice(0, 32) }))
  assert.equal(toHex(ristretto255_FROST.combineSecret(ours, signers)), toHex(secret))
})

test('fewer than k fit every secret: for any other one there is a dealing with the same shares and commitments', () => {
  // f' = f + (s' - s)·(1 - x/1)(1 - x/2), and g' = g minus the same over log H: the same C_j, the same shares 1 and 2.
  // log H is known to nobody, so the test shows the half that it can: two shares and any other secret are on one polynomial.
  const other = drawSecret(random)
  const [one, two] = [1, 2].map(i => Fn.fromBytes(share(i).value.subarray(0, 32)))
  const at3 = Fn.add(Fn.fromBytes(other), Fn.add(Fn.mul(-3n + Fn.ORDER, one ?? 0n), Fn.mul(3n, two ?? 0n))) // f(3) = f(0) - 3·f(1) + 3·f(2), when f has degree 2
  const guess = ristretto255_FROST.combineSecret([[1, one], [2, two], [3, at3]].map(([i, value]) => ({ identifier: ristretto255_FROST.Identifier.fromNumber(Number(i)), signingShare: Fn.toBytes(BigInt(value ?? 0n)) })), { min: 3, max: 5 })
  assert.equal(toHex(guess), toHex(other))
  // The small field of 7: of all f with f(0) = s, each pair (f(1), f(2)) comes up exactly once for every s.
  for (let s = 0; s < 7; s++) {
    const seen = new Set<string>()
    for (let a = 0; a < 7; a++) for (let b = 0; b < 7; b++) seen.add(`${(s + a + b) % 7} ${(s + 2 * a + 4 * b) % 7}`)
    assert.equal(seen.size, 49)
  }
  // And two dealings of one secret have nothing in common: the commitments are blinded.
  const again = deal(secret, { need: 3, of: 5 }, random)
  assert.equal(new Set([...dealing.commitments, ...again.commitments].map(toHex)).size, 6)
})

test('any bit of a share changed: it is named, and the others go on', () => {
  fc.assert(fc.property(fc.nat(4), fc.nat(63), fc.nat(7), (which, at, bit) => {
    const shares = dealing.shares.map((one, i) => (i === which ? { ...one, value: flipped(one.value, at, bit) } : one))
    const combined = given(combine(dealing.commitments, shares))
    assert.equal(toHex(combined.secret), toHex(secret))
    assert.deepEqual(combined.faulty.map(one => one.position), [which])
    assert.match(combined.faulty[0]?.refusal.code ?? '', /^share\.(false|form)$/)
    assert.ok(!combined.used.includes(which + 1))
  }), { numRuns: 20 })
})

test('any bit of a commitment changed: no share fits, or it is no commitment', () => {
  fc.assert(fc.property(fc.nat(2), fc.nat(31), fc.nat(7), (which, at, bit) => {
    const commitments = dealing.commitments.map((one, i) => (i === which ? flipped(one, at, bit) : one))
    const result = combine(commitments, dealing.shares)
    assert.ok(!result.ok && ['share.form', 'share.too-few'].includes(result.refusal.code))
  }), { numRuns: 20 })
})

test('a share holder checks its own share', () => {
  for (const one of dealing.shares) assert.ok(checkShare(dealing.commitments, one).ok)
  refused(checkShare(dealing.commitments, { ...share(1), index: 2 }), 'share.false')
  refused(checkShare(dealing.commitments.slice(0, 2), share(1)), 'share.false')
  refused(checkShare([...dealing.commitments, ...dealing.commitments.slice(0, 1)], share(1)), 'share.false')
  refused(checkShare([...dealing.commitments].reverse(), share(2)), 'share.false')
  refused(checkShare([], share(1)), 'share.threshold')
  refused(checkShare(Array.from({ length: 33 }, () => dealing.commitments[0] ?? new Uint8Array(0)), share(1)), 'share.threshold')
})

test('an index twice, index 0, an index beyond the limit, shares of two dealings: each is told, none is used', () => {
  const codes = (shares: readonly Share[]) => {
    const result = combine(dealing.commitments, shares)
    return result.ok ? [toHex(result.value.secret) === toHex(secret), result.value.used, result.value.faulty.map(one => [one.position, one.refusal.code])] : result.refusal.code
  }
  assert.deepEqual(codes([share(1), share(1), share(2), share(4)]), [true, [1, 2, 4], [[1, 'share.index']]])
  assert.deepEqual(codes([share(1), share(1), share(1)]), 'share.too-few')
  const few = combine(dealing.commitments, [share(1), { ...share(2), index: 3 }])
  assert.ok(!few.ok && few.refusal.got === '1; shares[1]: share.false', 'the first false one is named')
  const fewer = combine(dealing.commitments, [share(1)])
  assert.ok(!fewer.ok && fewer.refusal.got === '1')
  assert.deepEqual(codes([{ ...share(1), index: 0 }, share(2), share(3), share(4)]), [true, [2, 3, 4], [[0, 'share.index']]])
  assert.deepEqual(codes([{ index: 0, value: concat(secret, number(1)) }, share(3), share(4)]), 'share.too-few')
  for (const index of [33, -1, 1.5, Number.NaN]) assert.deepEqual(codes([share(2), { ...share(1), index }, share(3), share(4)]), [true, [2, 3, 4], [[1, 'share.index']]])
  const other = deal(secret, { need: 3, of: 5 }, random)
  assert.deepEqual(codes([share(1), share(2), ...other.shares.slice(2)]), 'share.too-few')
  assert.deepEqual(codes([share(1), share(2), share(3), ...other.shares.slice(3)]), [true, [1, 2, 3], [[3, 'share.false'], [4, 'share.false']]])
  refused(combine(dealing.commitments, Array.from({ length: 33 }, () => share(1))), 'share.threshold')
})

test('the form: one encoding of a share, one of a commitment, thresholds within limits', () => {
  assert.deepEqual(parseShare(encodeShare(share(5))), share(5))
  const order = new Uint8Array(32).map((_, i) => Number((Fn.ORDER >> BigInt(8 * i)) & 255n))
  const text = encodeShare(share(1))
  for (const bytes of [text.slice(1), concat(text, number(0)), concat(text.slice(0, 1), order, number(0)), concat(text.slice(0, 33), order), new Uint8Array(0)]) refused(attempt(() => parseShare(bytes)), 'share.form')
  refused(attempt(() => parseShare(concat(new Uint8Array([0]), text.slice(1)))), 'share.index')
  refused(attempt(() => parseShare(concat(new Uint8Array([33]), text.slice(1)))), 'share.index')
  refused(checkShare(dealing.commitments, { index: 1, value: text.slice(2) }), 'share.form')
  for (const bad of [new Uint8Array(32), new Uint8Array(32).fill(255), new Uint8Array(31), new Uint8Array(33)]) refused(checkShare([bad, ...dealing.commitments.slice(1)], share(1)), 'share.form')
  for (const bad of [order, new Uint8Array(31), new Uint8Array(33)]) refused(attempt(() => deal(bad, { need: 1, of: 1 }, random)), 'share.form')
  for (const [need, of] of [[0, 1], [2, 1], [1, 33], [1.5, 2], [1, 2.5], [-1, 3]] as const) {
    refused(attempt(() => checkThreshold({ need, of })), 'share.threshold')
    refused(attempt(() => deal(secret, { need, of }, random)), 'share.threshold')
  }
})

test('shares whose values are zero are shares like any other', () => {
  refused(checkShare(dealing.commitments, { index: 1, value: pair(0, 0) }), 'share.false')
  const zeros: Random = length => new Uint8Array(length)
  refused(combine(deal(number(0), { need: 1, of: 1 }, zeros).commitments, []), 'share.form')
})
