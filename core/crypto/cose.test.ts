import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256, p384 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { writeCbor, type Writable } from '../bytes/cbor.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, type RefusalCode } from '../refusal.ts'
import { coseAlgorithmNumber, coseKeyKind, readCoseKey, readSign1, sigStructure, verifySign1, writeCoseKey, writeSign1, type CoseAlgorithm, type Sign1Options } from './cose.ts'
import { portable as p } from './portable.ts'
import type { PublicKey } from './primitives.ts'

const refused = (run: () => unknown, code: RefusalCode, about = '') => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted ${about}`)
  assert.equal(result.refusal.code, code, `${about} ${JSON.stringify(result.refusal)}`)
}
const secret = p.hash('sha256', utf8('a key for tests'))
const secret384 = p.hash('sha384', utf8('a key for tests'))
const KEYS: Record<'ES256' | 'ES384' | 'EdDSA', { key: PublicKey; sign: (message: Uint8Array) => Uint8Array }> = {
  ES256: { key: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, sign: message => p256.sign(p.hash('sha256', message), secret, { prehash: false }) },
  ES384: { key: { kind: 'p384', raw: p384.getPublicKey(secret384, false) }, sign: message => p384.sign(p.hash('sha384', message), secret384, { prehash: false }) },
  EdDSA: { key: { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }, sign: message => ed25519.sign(message, secret) },
}
const NAMES = ['ES256', 'ES384', 'EdDSA'] as const
const payload = utf8('what is said')
const header = (name: CoseAlgorithm, ...more: [Writable, Writable][]) => new Map<Writable, Writable>([[1, coseAlgorithmNumber(name)], ...more])
const signed = (name: (typeof NAMES)[number], tagged = true, unprotected?: ReadonlyMap<Writable, Writable>) => writeSign1({ protected: header(name), ...(unprotected === undefined ? {} : { unprotected }), payload, tagged }, KEYS[name].sign)
const read = (bytes: Uint8Array, options: Partial<Sign1Options> = {}) => readSign1(bytes, { tag: 'required', ...options })
/** A structure of these parts, whatever they are. */
const raw = (...parts: Writable[]) => writeCbor({ tag: 18, value: parts })

test('what was signed verifies, by its own key only', () => {
  for (const name of NAMES) {
    const sign1 = read(signed(name))
    assert.equal(sign1.algorithm, name)
    assert.deepEqual(sign1.payload, payload)
    assert.ok(verifySign1(p, sign1, KEYS[name].key))
    assert.ok(!verifySign1(p, sign1, KEYS[name].key, utf8('something else is bound')))
    assert.ok(!verifySign1(p, { ...sign1, payload: utf8('another') }, KEYS[name].key))
    for (const other of NAMES) if (other !== name) refused(() => verifySign1(p, sign1, KEYS[other].key), 'crypto.algorithm', other)
  }
})

test('the example of RFC 8152 appendix C.2.1 (RFC 9052 appendix C.2.1)', () => {
  const key: PublicKey = readCoseKey(fromHex('a5010202423131200121582 0bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff225820 20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e'.replaceAll(' ', '')))
  const bytes = fromHex('d28443a10126a10442313154546869732069732074686520636f6e74656e742e58408eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36')
  assert.ok(verifySign1(p, read(bytes), key))
  assert.equal(toHex(sigStructure(fromHex('a10126'), utf8('This is the content.'))), '846a5369676e61747572653143a101264054546869732069732074686520636f6e74656e742e')
})

test('every single-bit flip of a signed structure is refused', () => {
  const bytes = signed('EdDSA')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = bytes.slice()
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ 1 << (bit & 7)
    const result = attempt(() => verifySign1(p, read(altered), KEYS.EdDSA.key))
    assert.ok(!result.ok || !result.value, `bit ${bit}`)
  }
})

test('the tag is there where the format wants it', () => {
  for (const [tag, tagged, good] of [['required', true, true], ['required', false, false], ['optional', true, true], ['optional', false, true], ['forbidden', true, false], ['forbidden', false, true]] as const) {
    assert.equal(attempt(() => read(signed('ES256', tagged), { tag })).ok, good, `${tag} ${tagged}`)
  }
  refused(() => read(writeCbor({ tag: 98, value: [] })), 'cbor.syntax')
  refused(() => read(writeCbor({ tag: 18, value: { tag: 18, value: [] } })), 'cbor.syntax')
})

test('the algorithm stands in the protected header and nowhere else (RFC 9052 section 3.1)', () => {
  const [head, none, signature] = [writeCbor(header('ES256')), new Map<Writable, Writable>(), new Uint8Array(64)]
  refused(() => read(raw(new Uint8Array(0), header('ES256'), payload, signature)), 'crypto.algorithm', 'only unprotected')
  refused(() => read(raw(writeCbor(none), none, payload, signature)), 'crypto.algorithm', 'none')
  refused(() => read(raw(head, header('ES384'), payload, signature)), 'cose.header', 'in both')
  refused(() => read(signed('ES256', true, new Map([[1, -7]]))), 'cose.header', 'the same in both')
  for (const number of [-36, -16, 5, -65535, 0, -257]) refused(() => read(raw(writeCbor(new Map([[1, number]])), none, payload, signature)), 'crypto.algorithm', String(number))
  for (const text of ['ES256', '-7']) refused(() => read(raw(writeCbor(new Map<Writable, Writable>([[1, text]])), none, payload, signature)), 'crypto.algorithm', 'as text')
  for (const [number, name, kind] of [[-7, 'ES256', 'p256'], [-9, 'ES256', 'p256'], [-35, 'ES384', 'p384'], [-51, 'ES384', 'p384'], [-8, 'EdDSA', 'ed25519'], [-19, 'EdDSA', 'ed25519'], [-37, 'PS256', 'rsa'], [-38, 'PS384', 'rsa'], [-39, 'PS512', 'rsa']] as const) {
    const { algorithm } = read(raw(writeCbor(new Map([[1, number]])), none, payload, signature))
    assert.deepEqual([algorithm, coseKeyKind(algorithm)], [name, kind])
  }
  assert.ok(toHex(writeSign1({ protected: new Map(), payload, tagged: true }, () => signature)).startsWith('d28440a0'), 'an empty protected header is an empty string')
})

test('critical parameters: known to the caller, there, and protected (RFC 9052 section 3.1)', () => {
  const of = (more: [Writable, Writable][], options?: Partial<Sign1Options>) => read(raw(writeCbor(header('ES256', ...more)), new Map(), payload, new Uint8Array(64)), options)
  refused(() => of([[2, [15]], [15, 1]]), 'cose.header', 'unknown')
  refused(() => of([[2, [15]]], { criticalKnown: [15] }), 'cose.header', 'not there')
  refused(() => of([[2, [2n ** 64n - 1n]]], { criticalKnown: [15] }), 'cbor.syntax', 'a huge label')
  for (const label of [true, { float: 15 }, utf8('15'), [15]]) refused(() => of([[2, [label]], [15, 1]], { criticalKnown: [15] }), 'cbor.syntax', 'not a label')
  refused(() => of([[2, []]]), 'cbor.syntax', 'an empty list')
  refused(() => of([[2, 15]]), 'cbor.syntax', 'not a list')
  assert.ok(of([[2, [15, 1]], [15, 1]], { criticalKnown: [15] }))
  assert.ok(of([[2, ['x']], ['x', 1]], { criticalKnown: ['x'] }))
  refused(() => read(signed('ES256', true, new Map<Writable, Writable>([[2, [1]]]))), 'cose.header', 'unprotected')
})

test('an unprotected header is skipped as a whole (attacks.md section 7.4)', () => {
  const unprotected = new Map<Writable, Writable>([[4, utf8('key 1')], ['x', new Map<Writable, Writable>([[1, [utf8('another payload')]]])]])
  const sign1 = read(signed('ES256', true, unprotected))
  assert.deepEqual(sign1.payload, payload)
  assert.ok(verifySign1(p, sign1, KEYS.ES256.key))
})

test('a detached payload is one only where it is asked for', () => {
  const attached = read(signed('ES256'))
  const apart = raw(attached.protectedBytes, new Map(), null, attached.signature)
  assert.ok(verifySign1(p, read(apart, { detached: payload }), KEYS.ES256.key))
  refused(() => read(apart), 'cbor.syntax')
  refused(() => read(signed('ES256'), { detached: payload }), 'cbor.syntax')
})

test('four parts of the right kinds', () => {
  const [head, none, signature] = [writeCbor(header('ES256')), new Map<Writable, Writable>(), new Uint8Array(64)]
  for (const parts of [[head, none, payload], [head, none, payload, signature, 0], [header('ES256'), none, payload, signature], [head, [], payload, signature], [head, none, 'text', signature], [head, none, payload, new Uint8Array(0)], [head, none, payload, 'text'], [writeCbor([1]), none, payload, signature]]) refused(() => read(raw(...parts)), 'cbor.syntax')
  refused(() => read(raw(fromHex('a201260126'), none, payload, signature)), 'cbor.duplicate-key')
  refused(() => read(raw(fromHex('a1012600'), none, payload, signature)), 'bytes.trailing')
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), bytes => { attempt(() => read(bytes, { tag: 'optional' })) }))
})

test('COSE_Key: what was written is read, and nothing private, partial or foreign', () => {
  for (const name of NAMES) assert.deepEqual(readCoseKey(writeCoseKey(KEYS[name].key)), KEYS[name].key)
  const rsa: PublicKey = { kind: 'rsa', n: new Uint8Array(256).fill(255), e: new Uint8Array([1, 0, 1]) }
  assert.deepEqual(readCoseKey(writeCoseKey(rsa)), rsa)
  const key = (change: [Writable, Writable][], without: readonly Writable[] = []) => {
    const { raw: point } = KEYS.ES256.key.kind === 'p256' ? KEYS.ES256.key : assert.fail('a P-256 key')
    const fields = new Map<Writable, Writable>([[1, 2], [-1, 1], [-2, point.subarray(1, 33)], [-3, point.subarray(33)], ...change])
    for (const label of without) fields.delete(label)
    return readCoseKey(writeCbor(fields))
  }
  assert.ok(key([[2, utf8('id')], [3, -7], [4, [1, 2]]]))
  for (const [about, change] of [['private', [[-4, new Uint8Array(32)]]], ['another curve', [[-1, 3]]], ['another type', [[1, 1]]], ['compressed', [[-3, true]]], ['short', [[-2, new Uint8Array(31)]]], ['long', [[-3, new Uint8Array(33)]]], ['for signing only', [[4, [1]]]], ['for 2.0', [[4, [{ float: 2 }]]]], ['a byte in the wrong half', [[-2, new Uint8Array(31)], [-3, new Uint8Array(33)]]], ['another algorithm', [[3, -35]]], ['an unknown parameter', [[5, utf8('iv')]]], ['a text', [['1', 2]]]] as [string, [Writable, Writable][]][]) refused(() => key(change), 'crypto.key', about)
  refused(() => key([], [-3]), 'crypto.key')
  refused(() => readCoseKey(writeCbor(new Map<Writable, Writable>([[1, 1], [-1, 6], [-2, new Uint8Array(32)], [-3, new Uint8Array(32)]]))), 'crypto.key', 'Ed25519 with a second coordinate')
  refused(() => readCoseKey(writeCbor(new Map<Writable, Writable>([[1, 3], [-1, new Uint8Array(256)], [-2, new Uint8Array([3])], [-3, new Uint8Array(256)]]))), 'crypto.key', 'RSA with its private exponent')
  refused(() => key([[3, -36]]), 'crypto.algorithm')
  for (const without of [1, -1]) refused(() => key([], [without]), 'cbor.syntax')
  refused(() => readCoseKey(writeCbor(new Map<Writable, Writable>([[1, 3], [-1, new Uint8Array(128)], [-2, new Uint8Array([3])]]))), 'cbor.syntax')
  assert.throws(() => writeCoseKey({ kind: 'ml-dsa-44', raw: new Uint8Array(1312) }), TypeError)
})
