// Rekor requests: each algorithm with its key, each form refused that is not the one, bodies as Rekor writes them.
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { ed25519ph } from '@noble/curves/ed25519.js'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { ECDSA_SHA256, issueCertificate } from '@cloister/core/crypto/issue'
import { keyToSpki, spkiToKey } from '@cloister/core/crypto/keys'
import { paeBytes } from '@cloister/core/receipt/receipt'
import { nodePrimitives as p } from '../crypto/node.ts'
import { readRekorRequest } from './rekor-entry.ts'

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const spki = (key: KeyObject) => base64(key.export({ format: 'der', type: 'spki' }))
const hashOf = (name: string, bytes: Uint8Array) => base64(createHash(name).update(bytes).digest())
const ARTIFACT = utf8('an artifact')
const TYPE = 'application/vnd.in-toto+json'
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const P256 = { publicKey: { rawBytes: spki(ec.publicKey) }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' }

const certificateOf = ({ publicKey, privateKey }: typeof ec) => issueCertificate(
  { serial: new Uint8Array([1]), issuer: 'me', subject: 'me', key: spkiToKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))), notBefore: 0, notAfter: 1, extensions: [] },
  { algorithm: ECDSA_SHA256, sign: tbs => new Uint8Array(sign('sha256', tbs, privateKey)) },
)

const read = (request: unknown) => readRekorRequest(p, utf8(typeof request === 'string' ? request : JSON.stringify(request)))
const hashed = (change: object = {}, signature: object = {}) => ({ hashedRekordRequestV002: { digest: hashOf('sha256', ARTIFACT), signature: { content: base64(sign('sha256', ARTIFACT, ec.privateKey)), verifier: P256, ...signature }, ...change } })
const envelope = (change: object = {}) => ({ payload: base64(ARTIFACT), payloadType: TYPE, signatures: [{ sig: base64(sign('sha256', paeBytes(ARTIFACT, TYPE), ec.privateKey)), keyid: 'a key' }], ...change })
const dsse = (change: object = {}, inner: object = {}) => ({ dsseRequestV002: { envelope: envelope(inner), verifiers: [P256], ...change } })
function refused(request: unknown, code: string, at?: string): void {
  const result = read(request)
  assert.ok(!result.ok, 'accepted')
  assert.deepEqual([result.refusal.code, at ?? result.refusal.at], [code, result.refusal.at], JSON.stringify(result.refusal))
}

test('a hashed record and an envelope: the bodies that Rekor writes, byte for byte', () => {
  const request = hashed()
  const { digest, signature: { content } } = request.hashedRekordRequestV002
  const one = read(request)
  assert.ok(one.ok)
  assert.deepEqual([one.value.kind, one.value.version], ['hashedrekord', '0.0.2'])
  assert.equal(fromUtf8(one.value.body), `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"${digest}"},"signature":{"content":"${content}","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"${P256.publicKey.rawBytes}"}}}}}}`)
  const other = dsse()
  const two = read(other)
  assert.ok(two.ok)
  assert.deepEqual([two.value.kind, two.value.version], ['dsse', '0.0.2'])
  assert.equal(fromUtf8(two.value.body), `{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":"${hashOf('sha256', ARTIFACT)}"},"signatures":[{"content":"${other.dsseRequestV002.envelope.signatures[0]?.sig}","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"${P256.publicKey.rawBytes}"}}}]}}}`)
})

test('every algorithm that is taken, over a digest and over an envelope, and none with another key', () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const edSeed = new Uint8Array(32).fill(3)
  const edSpki = base64(keyToSpki({ kind: 'ed25519', raw: ed25519ph.getPublicKey(edSeed) }))
  const cases = [
    { name: 'PKIX_ECDSA_P384_SHA_384', key: spki(p384.publicKey), hash: 'sha384', label: 'SHA2_384', make: (bytes: Uint8Array) => sign('sha384', bytes, p384.privateKey) },
    { name: 'PKIX_RSA_PKCS1V15_2048_SHA256', key: spki(rsa.publicKey), hash: 'sha256', label: 'SHA2_256', make: (bytes: Uint8Array) => sign('sha256', bytes, rsa.privateKey) },
    { name: 'PKIX_ED25519_PH', key: edSpki, hash: 'sha512', label: 'SHA2_512', make: (bytes: Uint8Array) => ed25519ph.sign(bytes, edSeed) },
  ]
  for (const { name, key, hash, label, make } of cases) {
    const verifier = { publicKey: { rawBytes: key }, keyDetails: name }
    const one = read(hashed({ digest: hashOf(hash, ARTIFACT) }, { verifier, content: base64(make(ARTIFACT)) }))
    assert.ok(one.ok, name)
    assert.ok(fromUtf8(one.value.body).includes(`"data":{"algorithm":"${label}","digest":`))
    const signed = (bytes: Uint8Array) => dsse({ verifiers: [verifier] }, { signatures: [{ sig: base64(make(bytes)) }] })
    assert.ok(read(signed(paeBytes(ARTIFACT, TYPE))).ok, name)
    refused(signed(ARTIFACT), 'crypto.signature')
    refused(hashed({ digest: hashOf(hash, utf8('another')) }, { verifier, content: base64(make(ARTIFACT)) }), 'crypto.signature')
    refused(hashed({}, { verifier: { ...P256, keyDetails: name } }), 'crypto.key', 'hashedRekordRequestV002.signature.verifier.keyDetails')
  }
  for (const bits of [3072, 4096]) refused(hashed({}, { verifier: { publicKey: { rawBytes: spki(rsa.publicKey) }, keyDetails: `PKIX_RSA_PKCS1V15_${bits}_SHA256` } }), 'crypto.key', 'hashedRekordRequestV002.signature.verifier.keyDetails')
})

test('plain Ed25519 signs envelopes, whose bytes are there; of a digest it says nothing', () => {
  const pair = generateKeyPairSync('ed25519')
  const verifier = { publicKey: { rawBytes: spki(pair.publicKey) }, keyDetails: 'PKIX_ED25519' }
  assert.ok(read(dsse({ verifiers: [verifier] }, { signatures: [{ sig: base64(sign(null, paeBytes(ARTIFACT, TYPE), pair.privateKey)) }] })).ok)
  refused(dsse({ verifiers: [verifier] }, { signatures: [{ sig: base64(sign(null, ARTIFACT, pair.privateKey)) }] }), 'crypto.signature')
  const digest = Buffer.from(hashOf('sha256', ARTIFACT), 'base64')
  const bare = read(hashed({}, { verifier, content: base64(sign(null, digest, pair.privateKey)) }))
  assert.ok(!bare.ok && bare.refusal.code === 'crypto.algorithm' && bare.refusal.fix !== undefined)
  assert.deepEqual(['PKIX_ED25519', 'PKIX_ED25519_PH'].map(name => bare.refusal.expected.split(', ').includes(name)), [false, true])
})

test('what is not taken is named: P-521, PSS, numbers for names, unknown names', () => {
  for (const keyDetails of ['PKIX_ECDSA_P521_SHA_512', 'PKIX_RSA_PSS_2048_SHA256', 'PKIX_ECDSA_P384_SHA_256', 'ML_DSA_65', 'toString']) {
    const result = read(hashed({}, { verifier: { ...P256, keyDetails } }))
    assert.ok(!result.ok && result.refusal.code === 'crypto.algorithm' && result.refusal.got === keyDetails && result.refusal.expected.includes('PKIX_ECDSA_P256_SHA_256'), keyDetails)
  }
  refused(hashed({}, { verifier: { ...P256, keyDetails: 5 } }), 'log.request')
})

test('a certificate is read for its key; a bare key in its place is told where it belongs', () => {
  const der = certificateOf(ec)
  const verifier = { x509Certificate: { rawBytes: base64(der) }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' }
  const one = read(hashed({}, { verifier }))
  assert.ok(one.ok)
  assert.ok(fromUtf8(one.value.body).includes(`"verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"${base64(der)}"}}`))
  refused(hashed({}, { verifier: { ...verifier, x509Certificate: { rawBytes: base64(certificateOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))) } } }), 'crypto.signature')
  const bare = read(hashed({}, { verifier: { ...verifier, x509Certificate: P256.publicKey } }))
  assert.ok(!bare.ok && bare.refusal.code === 'x509.parse' && bare.refusal.fix !== undefined)
  refused(hashed({}, { verifier: { ...verifier, x509Certificate: { rawBytes: base64(der.subarray(0, -1)) } } }), 'bytes.truncated')
  refused(hashed({}, { verifier: { ...verifier, publicKey: P256.publicKey } }), 'log.request')
})

test('keys have one encoding; signatures of ECDSA are DER', () => {
  refused(hashed({}, { content: base64(new Uint8Array(64).fill(1)) }), 'bytes.trailing')
  const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
  refused(hashed({}, { verifier: { publicKey: { rawBytes: spki(pss.publicKey) }, keyDetails: 'PKIX_RSA_PKCS1V15_2048_SHA256' } }), 'crypto.key', 'hashedRekordRequestV002.signature.verifier.publicKey.rawBytes')
})

test('fields: missing, more, of another type, another spelling, another base64; lists of one', () => {
  refused('[]', 'json.syntax')
  refused('{"a":1,"a":2}', 'json.duplicate-key')
  refused({}, 'log.request', 'request.hashedRekordRequestV002')
  refused({ hashed_rekord_request_v002: hashed().hashedRekordRequestV002 }, 'log.request')
  refused({ ...hashed(), ...dsse() }, 'log.request')
  refused({ ...hashed(), note: 'x' }, 'log.request')
  refused({ hashedRekordRequestV002: [] }, 'log.request', 'hashedRekordRequestV002')
  for (const digest of [undefined, null, 1, '']) refused(hashed({ digest }), 'log.request', 'hashedRekordRequestV002.digest')
  refused(hashed({ digest: hashOf('sha512', ARTIFACT) }), 'log.request', 'hashedRekordRequestV002.digest')
  refused(hashed({ digest: hashOf('sha256', ARTIFACT).replace('=', '') }), 'bytes.encoding')
  refused(hashed({ more: 'x' }), 'log.request')
  refused(hashed({}, { more: 'x' }), 'log.request')
  refused(hashed({}, { verifier: { ...P256, more: 'x' } }), 'log.request')
  refused(hashed({}, { verifier: { ...P256, publicKey: { ...P256.publicKey, more: 'x' } } }), 'log.request')
  refused(dsse({ more: 'x' }), 'log.request')
  refused(dsse({}, { more: 'x' }), 'log.request')
  refused(dsse({}, { payloadType: '' }), 'log.request', 'dsseRequestV002.envelope.payloadType')
  refused(dsse({}, { payloadType: 'text/plain' }), 'crypto.signature')
  refused(dsse({}, { payload: base64(utf8('another')) }), 'crypto.signature')
  const [signature] = envelope().signatures
  assert.ok(read(dsse({}, { signatures: [{ sig: signature?.sig }] })).ok, 'without a key id')
  for (const signatures of [[], [signature, signature], {}, [{ ...signature, keyid: 1 }], [{ ...signature, more: 'x' }]]) refused(dsse({}, { signatures }), 'log.request')
  for (const verifier of ['x', 1, null, [P256]]) refused(hashed({}, { verifier }), 'log.request', 'hashedRekordRequestV002.signature.verifier')
  for (const verifiers of [[], [P256, P256], P256]) refused(dsse({ verifiers }), 'log.request')
  assert.ok(read(JSON.stringify(hashed()).padEnd(1 << 20)).ok)
  refused(JSON.stringify(hashed()).padEnd((1 << 20) + 1), 'bytes.too-large')
  refused(`{"hashedRekordRequestV002":${'['.repeat(40)}`, 'bytes.too-deep')
})
