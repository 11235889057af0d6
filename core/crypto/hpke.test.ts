// HPKE beside its published values (primitives.suite.ts): what is no key and what is no encapsulated key is refused, whatever the port makes of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../bytes/bytes.ts'
import { attempt, type RefusalCode } from '../refusal.ts'
import { hpkeKeyPair, hpkeSeal, receiveContext, sendContext, type HpkeSuite, type Kem } from './hpke.ts'
import { portable } from './portable.ts'
import type { Primitives } from './primitives.ts'

const refused = (run: () => unknown, code: RefusalCode, about: string) => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted ${about}`)
  assert.equal(result.refusal.code, code, about)
}
const KEMS = ['x25519', 'x-wing'] as const
const suite = (kem: Kem): HpkeSuite => ({ kem, kdf: 'hkdf-sha256', aead: 'aes-256-gcm' })
const [empty, one] = [new Uint8Array(0), new Uint8Array(1)]
const random = (length: number) => new Uint8Array(length).fill(7)
const pair = (kem: Kem) => hpkeKeyPair(portable, kem, new Uint8Array(32).fill(3))
/** A port that takes whatever it is given. */
const lax: Primitives = { ...portable, x25519: () => new Uint8Array(32), mlkemEncapsulate: () => ({ ciphertext: new Uint8Array(1088), secret: new Uint8Array(32) }), mlkemDecapsulate: () => new Uint8Array(32) }

test('a secret has 32 bytes', () => {
  for (const kem of KEMS) for (const length of [0, 31, 33, 64]) refused(() => hpkeKeyPair(portable, kem, new Uint8Array(length)), 'crypto.key', `${kem}, ${length} bytes`)
})

test('nothing is sealed to what is no key, by its length or by what the port says', () => {
  const seal = (p: Primitives, kem: Kem, to: Uint8Array) => hpkeSeal(p, suite(kem), { to, info: empty, aad: empty, plaintext: empty }, random)
  for (const kem of KEMS) {
    const { publicKey } = pair(kem)
    for (const to of [publicKey.subarray(1), concat(publicKey, one), empty]) refused(() => seal(lax, kem, to), 'crypto.key', `${kem}, ${to.length} bytes`)
    refused(() => seal(portable, kem, concat(publicKey.subarray(0, -32), new Uint8Array(32))), 'crypto.key', `${kem}, a point of small order`)
    assert.ok(seal(lax, kem, publicKey))
  }
  refused(() => seal(portable, 'x-wing', concat(random(3).fill(255), pair('x-wing').publicKey.subarray(3))), 'crypto.key', 'coefficients beyond the modulus')
})

test('nothing opens from an encapsulated key of another length, or where the port says no', () => {
  for (const kem of KEMS) {
    const { publicKey, secret } = pair(kem)
    const { enc } = sendContext(portable, suite(kem), publicKey, empty, random)
    const open = (p: Primitives, given: Uint8Array) => receiveContext(p, suite(kem), secret, given, empty)
    assert.ok(open(lax, enc).ok && open(portable, enc).ok)
    const no: Partial<Primitives>[] = kem === 'x-wing' ? [{ x25519: () => undefined }, { mlkemDecapsulate: () => undefined }] : [{ x25519: () => undefined }]
    for (const [p, given] of [...[enc.subarray(1), concat(enc, one), empty].map(other => [lax, other] as const), ...no.map(change => [{ ...lax, ...change }, enc] as const)]) {
      const result = open(p, given)
      assert.ok(!result.ok && result.refusal.code === 'crypto.open', `${kem}, ${given.length} bytes`)
    }
  }
})
