// A trust file: whom it names, and that a misspelt or empty name is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64Url } from '../bytes/base64.ts'
import { root } from '../crypto/chain.fixture.ts'
import { formatKey, keyToSpki } from '../crypto/keys.ts'
import { writePem } from '../crypto/pem.ts'
import { SIGNER } from './result/result.fixture.ts'
import { parseTrust } from './trust.ts'

const read = (value: unknown) => parseTrust(JSON.stringify(value))
const refusal = (value: unknown) => { const result = read(value); return result.ok ? 'accepted' : [result.refusal.code, result.refusal.at] }
const point = SIGNER.key.kind === 'p256' ? SIGNER.key.raw : assert.fail()
const JWK = { kty: 'EC', crv: 'P-256', x: toBase64Url(point.slice(1, 33)), y: toBase64Url(point.slice(33)) }
const PEM = writePem('PUBLIC KEY', keyToSpki(SIGNER.key))
const space = { name: 'space', form: 'confidential-space', issuer: 'https://confidentialcomputing.googleapis.com', roots: 'confidential-space', audience: 'me' }

test('the example of the docstring, and keys in each form', () => {
  const result = parseTrust('{"verifiers":[{"name":"space","form":"confidential-space","issuer":"https://confidentialcomputing.googleapis.com","roots":"confidential-space","audience":"me"}]}')
  assert.ok(result.ok)
  assert.deepEqual([result.value.verifiers?.[0]?.name, result.value.verifiers?.[0]?.roots?.length, result.value.verifiers?.[0]?.audience], ['space', 1, 'me'])
  for (const keys of [PEM, JWK, { keys: [JWK] }]) {
    const one = read({ verifiers: [{ name: 'a', form: 'ear', keys, maxAge: 60 }] })
    assert.ok(one.ok && one.value.verifiers?.[0]?.maxAge === 60)
    assert.deepEqual(one.value.verifiers?.[0]?.keys[0]?.key, SIGNER.key)
  }
  const rooted = read({ aks: ['000b00'], verifiers: [{ name: 'a', form: 'ear', roots: writePem('CERTIFICATE', root.der) }] })
  assert.ok(rooted.ok && rooted.value.aks?.length === 1 && rooted.value.verifiers?.[0]?.roots?.length === 1)
  for (const key of [formatKey(SIGNER.key), PEM, JWK]) {
    const platform = read({ cpaks: [{ key, instanceId: '01aa' }] })
    assert.deepEqual(platform.ok ? [platform.value.cpaks?.[0]?.key, platform.value.cpaks?.[0]?.instanceId] : platform.refusal, [SIGNER.key, '01aa'])
  }
  assert.deepEqual(refusal({ cpaks: [{ key: `${PEM}${PEM}` }] }), ['crypto.key', 'trust.cpaks[0].key'])
  assert.deepEqual(read({}), { ok: true, value: {} })
})

test('what is unknown, empty, double or no key is refused where it stands', () => {
  const verifier = (change: object) => ({ verifiers: [{ name: 'a', form: 'ear', keys: JWK, ...change }] })
  const bad: readonly [unknown, string, string][] = [
    [{ ak: [] }, 'evidence.parse', 'trust.ak'], [{ aks: 'x' }, 'evidence.parse', 'trust.aks'], [{ aks: [''] }, 'evidence.parse', 'trust.aks[0]'], [verifier({ jku: 'x' }), 'evidence.parse', 'trust.verifiers[0].jku'],
    [verifier({ form: 'jwt' }), 'evidence.parse', 'trust.verifiers[0].form'], [verifier({ name: '' }), 'evidence.parse', 'trust.verifiers[0].name'], [verifier({ keys: undefined }), 'evidence.parse', 'trust.verifiers[0]'], [verifier({ keys: '' }), 'evidence.parse', 'trust.verifiers[0]'],
    [verifier({ keys: 7 }), 'crypto.key', 'trust.verifiers[0].keys'], [verifier({ roots: 'nothing' }), 'evidence.parse', 'trust.verifiers[0].roots'], [verifier({ maxAge: 0 }), 'evidence.parse', 'trust.verifiers[0].maxAge'], [{ verifiers: [7] }, 'evidence.parse', 'trust.verifiers[0]'],
    [{ verifiers: [space, { ...space, name: 'b' }] }, 'evidence.parse', 'trust.verifiers'], [{ verifiers: [space, { ...space, issuer: 'https://else.example' }] }, 'evidence.parse', 'trust.verifiers'],
  ]
  for (const [value, code, at] of bad) assert.deepEqual(refusal(value), [code, at], JSON.stringify(value))
  assert.equal(refusal({ cpaks: 'x' })[0]?.startsWith('e'), true)
})
