import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat, equal } from '../bytes/bytes.ts'
import { der, derInteger, derOid, derSequence, TAG } from '../bytes/der.ts'
import { toHex } from '../bytes/hex.ts'
import { attempt, type RefusalCode } from '../refusal.ts'
import { algorithmOf, ecdsaFromDer, ecdsaToDer, formatKey, keyToSpki, parseKey, rawKey, spkiToKey } from './keys.ts'
import { readPem, writePem } from './pem.ts'
import { SIGNATURES } from './published.ts'
import { fromHex } from '../bytes/hex.ts'

const refused = (run: () => unknown, code: RefusalCode) => {
  const result = attempt(run)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}
const SIZES = [['ed25519', 32], ['p256', 65], ['p384', 97], ['ml-dsa-44', 1312], ['ml-dsa-65', 1952]] as const

test('keys in text and in SubjectPublicKeyInfo come back as they were', () => {
  for (const [kind, size] of SIZES) {
    const raw = Uint8Array.from({ length: size }, (_, i) => (i === 0 ? 4 : i & 255))
    const key = rawKey(kind, raw)
    assert.deepEqual(parseKey(formatKey(key)), key)
    assert.deepEqual(spkiToKey(keyToSpki(key)), key)
    assert.ok(algorithmOf(key).length > 0)
    refused(() => parseKey(formatKey(key).slice(0, -2)), 'crypto.key')
    refused(() => parseKey(`${formatKey(key)}00`), 'crypto.key')
    refused(() => parseKey(`${formatKey(key)}:00`), 'crypto.key')
  }
  for (const text of ['', 'ed25519', 'rsa:00', 'toString:00', `ed25519:${'AB'.repeat(32)}`, `ED25519:${'ab'.repeat(32)}`, `p256:03${'11'.repeat(64)}`]) refused(() => parseKey(text), 'crypto.key')
  refused(() => parseKey(`ed25519:${'zz'.repeat(32)}`), 'bytes.encoding')
})

test('published keys are written again byte for byte', () => {
  for (const one of SIGNATURES.filter(vector => !vector.algorithm.startsWith('ml-dsa'))) assert.equal(toHex(keyToSpki(spkiToKey(fromHex(one.key)))), one.key)
})

test('RSA signs none of our statements', () => refused(() => algorithmOf({ kind: 'rsa', n: new Uint8Array(256), e: new Uint8Array([3]) }), 'crypto.algorithm'))

test('a key with more parts, other parameters or another curve is refused', () => {
  const bits = (bytes: Uint8Array) => der(TAG.bitString, new Uint8Array([0]), bytes)
  const point = bits(concat(new Uint8Array([4]), new Uint8Array(64)))
  const ec = derOid('1.2.840.10045.2.1')
  refused(() => spkiToKey(derSequence(derSequence(ec, derOid('1.3.132.0.10')), point)), 'crypto.key')
  refused(() => spkiToKey(derSequence(derSequence(ec), point)), 'der.tag')
  refused(() => spkiToKey(derSequence(derSequence(ec, derOid('1.2.840.10045.3.1.7')), point, point)), 'crypto.key')
  refused(() => spkiToKey(derSequence(derSequence(ec, derOid('1.2.840.10045.3.1.7'), der(TAG.null)), point)), 'crypto.key')
  refused(() => spkiToKey(derSequence(derSequence(derOid('1.3.101.112'), der(TAG.null)), bits(new Uint8Array(32)))), 'crypto.key')
  const rsa = derSequence(derOid('1.2.840.113549.1.1.1'), der(TAG.null))
  const number = derInteger(new Uint8Array(256).fill(255))
  refused(() => spkiToKey(derSequence(rsa, bits(derSequence(number, number, number)))), 'crypto.key')
  refused(() => spkiToKey(derSequence(rsa, bits(derSequence(number)))), 'crypto.key')
  for (const parts of [[], [rsa]]) refused(() => spkiToKey(derSequence(...parts)), 'crypto.key')
  const unknown = attempt(() => spkiToKey(derSequence(derSequence(derOid('1.3.101.113')), bits(new Uint8Array(57)))))
  assert.ok(!unknown.ok && unknown.refusal.code === 'crypto.key' && unknown.refusal.got === '1.3.101.113', 'an unknown kind is named')
})

test('ECDSA signatures: raw to DER and back; other forms are refused (attacks.md row 29)', () => {
  fc.assert(fc.property(fc.constantFrom(32, 48), fc.infiniteStream(fc.nat(255)), (size, stream) => {
    const raw = Uint8Array.from(stream.take(2 * size))
    assert.ok(equal(ecdsaFromDer(ecdsaToDer(raw), size), raw))
    refused(() => ecdsaFromDer(concat(ecdsaToDer(raw), new Uint8Array(1)), size), 'bytes.trailing')
  }))
  const one = derInteger(new Uint8Array([1]))
  refused(() => ecdsaFromDer(derSequence(one, one, one), 32), 'crypto.signature')
  refused(() => ecdsaFromDer(derSequence(derInteger(new Uint8Array(33).fill(1)), one), 32), 'crypto.signature')
  refused(() => ecdsaFromDer(derSequence(one), 32), 'der.tag')
  refused(() => ecdsaFromDer(derSequence(der(TAG.integer, new Uint8Array([0, 1])), one), 32), 'der.non-canonical')
})

test('PEM: all blocks of a label, and nothing of another', () => {
  const [a, b] = [new Uint8Array(100).fill(1), new Uint8Array([2])]
  const text = `${writePem('CERTIFICATE', a)}text between\n${writePem('X509 CRL', b)}${writePem('CERTIFICATE', b)}`
  assert.deepEqual(readPem(text, 'CERTIFICATE'), [a, b])
  assert.deepEqual(readPem(text, 'X509 CRL'), [b])
  assert.deepEqual(readPem('', 'CERTIFICATE'), [])
  refused(() => readPem('-----BEGIN X-----\nAA=A\n-----END X-----', 'X'), 'bytes.encoding')
})
