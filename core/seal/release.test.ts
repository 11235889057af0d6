import assert from 'node:assert/strict'
import { test } from 'node:test'
import { p256 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { hpkeKeyPair } from '../crypto/hpke.ts'
import { formatKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Random, Signer } from '../crypto/primitives.ts'
import type { Result } from '../refusal.ts'
import { helloData, reportData, type Binding } from './binding.ts'
import { openRelease, sealRelease, type ReleaseContext, type ReleasedKey, type SealedRelease } from './release.ts'

const refused = (result: Result<unknown>, ...codes: string[]) => {
  assert.ok(!result.ok, 'accepted')
  assert.ok(codes.includes(result.refusal.code), result.refusal.code)
}
const signer = (name: string): Signer => {
  const secret = p.hash('sha256', utf8(name))
  return { algorithm: 'ecdsa-p256-sha256', publicKey: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, sign: message => p256.sign(message, secret, { prehash: true }) }
}
let drawn = 0
const random: Random = length => p.shake256(utf8(`draw ${drawn++}`), length)
const broker = signer('broker')
const key = formatKey(broker.publicKey)
const guest = hpkeKeyPair(p, 'x-wing', p.hash('sha256', utf8('guest')))
const context: ReleaseContext = { charter: `sha256:${'11'.repeat(32)}`, epoch: 2, nonce: new Uint8Array(32).fill(1), head: new Uint8Array(32).fill(2), assets: ['a', 'b'] }
const keys: ReleasedKey[] = ['b', 'a'].map(asset => ({ asset, version: 1, digest: `sha256:${'22'.repeat(32)}`, identity: `secret of ${asset}` }))
const sealed = sealRelease(p, broker, guest.publicKey, context, keys, random)
const open = (change: Partial<ReleaseContext> = {}, one: SealedRelease = sealed) => openRelease(p, guest.secret, key, { ...context, ...change }, one)

test('a release opens for its guest, in its context, from its broker', () => {
  assert.deepEqual(open(), { ok: true, value: keys })
  assert.ok(open({ assets: ['b', 'a'] }).ok, 'assets are a set')
  assert.equal(JSON.stringify(sealed).includes('secret of'), false)
})

test('replayed to another guest, session, epoch, head or charter, or about other assets, it stays closed', () => {
  const other = hpkeKeyPair(p, 'x-wing', p.hash('sha256', utf8('other guest')))
  refused(openRelease(p, other.secret, key, context, sealed), 'seal.open')
  const changes: Partial<ReleaseContext>[] = [{ charter: `sha256:${'12'.repeat(32)}` }, { epoch: 3 }, { nonce: new Uint8Array(32) }, { head: new Uint8Array(32) }, { assets: ['a'] }, { assets: ['a', 'b', 'c'] }, { assets: ['a', 'a'] }]
  for (const change of changes) refused(open(change), 'seal.sender')
})

test('only the attested broker may seal: whoever knows the guest\'s key can encrypt, and is refused', () => {
  const host = signer('host')
  const forged = sealRelease(p, host, guest.publicKey, context, keys, random)
  refused(open({}, forged), 'seal.sender')
  refused(open({}, { ...forged, key }), 'seal.sender')
  refused(open({}, { ...forged, key, signature: sealed.signature }), 'seal.sender')
})

test('a broker that seals other assets than it names is refused', () => {
  for (const wrong of [keys.slice(1), [...keys, ...keys.slice(1)], keys.map(one => ({ ...one, asset: 'a' }))]) refused(open({}, sealRelease(p, broker, guest.publicKey, context, wrong, random)), 'seal.binding')
})

test('any bit of a release changed, and it stays closed', () => {
  fc.assert(fc.property(fc.constantFrom('enc', 'ciphertext', 'signature'), fc.nat(), fc.integer({ min: 0, max: 7 }), (part, at, bit) => {
    const bytes = fromBase64(sealed[part]).slice()
    bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit)
    refused(open({}, { ...sealed, [part]: toBase64(bytes) }), 'seal.sender')
  }), { numRuns: 40 })
})

test('report data: every part counts, none runs into the next, and a guest\'s is never a broker\'s', () => {
  const binding: Binding = { nonce: context.nonce, seal: guest.publicKey, sign: key, charter: context.charter, head: context.head }
  const shifted = [binding.nonce.slice(0, 31), new Uint8Array([...binding.nonce.slice(31), ...binding.seal])] as const
  const others: Binding[] = [
    { ...binding, nonce: new Uint8Array(32) }, { ...binding, seal: guest.publicKey.map(byte => byte ^ 1) }, { ...binding, sign: formatKey(signer('x').publicKey) },
    { ...binding, charter: `sha256:${'12'.repeat(32)}` }, { ...binding, head: new Uint8Array(32) }, { ...binding, nonce: shifted[0], seal: shifted[1] },
  ]
  const all = [reportData(p, binding), helloData(p, binding), ...others.map(one => reportData(p, one))]
  assert.equal(new Set(all.map(toHex)).size, all.length)
  assert.ok(all.every(data => data.length === 64))
})
