// Signatures over digests: what is published about signatures over messages holds of their digests, and nothing else does.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ed25519 } from '@noble/curves/ed25519.js'
import { fromHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { spkiToKey } from './keys.ts'
import { portable } from './portable.ts'
import { DIGESTS, verifyDigest, type DigestAlgorithm } from './prehash.ts'
import type { PublicKey } from './primitives.ts'
import { SIGNATURES } from './published.ts'

const flipped = (bytes: Uint8Array) => bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte))
const isDigestAlgorithm = (name: string): name is DigestAlgorithm => Object.hasOwn(DIGESTS, name)

function holdsOnce(algorithm: DigestAlgorithm, key: PublicKey, digest: Uint8Array, signature: Uint8Array, broken: readonly PublicKey[]): void {
  const holds = (k: PublicKey, d: Uint8Array, s: Uint8Array) => verifyDigest(algorithm, k, d, s)
  assert.ok(holds(key, digest, signature), algorithm)
  assert.ok(!holds(key, flipped(digest), signature), `${algorithm}: another digest`)
  for (const cut of [digest.subarray(1), new Uint8Array(0), new Uint8Array([...digest, 0])]) assert.ok(!holds(key, cut, signature), `${algorithm}: a digest of ${cut.length} bytes`)
  for (const cut of [signature.subarray(1), new Uint8Array(0), flipped(signature)]) assert.ok(!holds(key, digest, cut), `${algorithm}: another signature`)
  for (const other of broken) assert.ok(!holds(other, digest, signature), `${algorithm}: a key that is none`)
}

test('ECDSA and RSA: every published signature over a message is judged alike over its digest', () => {
  const seen = new Set<string>()
  for (const { algorithm, key: spki, message, signature, valid, source } of SIGNATURES) {
    if (!isDigestAlgorithm(algorithm)) continue
    const key = spkiToKey(fromHex(spki))
    const digest = portable.hash(DIGESTS[algorithm].hash, fromHex(message))
    assert.equal(verifyDigest(algorithm, key, digest, fromHex(signature)), valid, source)
    if (!valid || seen.has(algorithm)) continue
    seen.add(algorithm)
    const raw = key.kind === 'rsa' ? key.n : key.raw
    holdsOnce(algorithm, key, digest, fromHex(signature), [{ kind: 'ed25519', raw }, ...(key.kind === 'rsa' ? [{ ...key, n: flipped(key.n) }] : [{ kind: key.kind, raw: flipped(raw) }, { kind: key.kind, raw: raw.subarray(1) }])])
  }
  assert.deepEqual([...seen].sort(), ['ecdsa-p256-sha256', 'ecdsa-p384-sha384', 'rsa-pkcs1-sha256'])
})

test('Ed25519ph: RFC 8032 section 7.3, and no key of small order', () => {
  const raw = ed25519.getPublicKey(fromHex('833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42'))
  const signature = fromHex('98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406')
  const digest = portable.hash('sha512', utf8('abc'))
  holdsOnce('ed25519ph', { kind: 'ed25519', raw }, digest, signature, [{ kind: 'p256', raw }, { kind: 'ed25519', raw: flipped(raw) }, { kind: 'ed25519', raw: raw.subarray(1) }])
  // Under the neutral element R = B·s, any message.
  const forged = fromHex(`58${'66'.repeat(31)}01${'00'.repeat(31)}`)
  assert.ok(!verifyDigest('ed25519ph', { kind: 'ed25519', raw: fromHex(`01${'00'.repeat(31)}`) }, digest, forged))
  assert.ok(!verifyDigest('ed25519ph', { kind: 'ed25519', raw }, digest, ed25519.sign(digest, fromHex('833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42'))), 'a plain signature over the digest')
})
