import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import { attempt } from '@cloister/core/refusal'
import { formatKey } from '@cloister/core/crypto/keys'
import { portable } from '@cloister/core/crypto/portable'
import { suite } from '@cloister/core/crypto/primitives.suite'
import { generateSigner, importSigner, nodePrimitives, nodeRandom } from './node.ts'

for (const check of suite) test(`node: ${check.name}`, () => check.run(nodePrimitives))

for (const kind of ['p256', 'p384', 'ed25519', 'ml-dsa-44', 'ml-dsa-65'] as const) {
  test(`a ${kind} signer is understood by both ports, and survives its PEM`, () => {
    const signer = generateSigner(kind)
    const again = importSigner(signer.exportPem())
    assert.equal(formatKey(again.publicKey), formatKey(signer.publicKey))
    for (const one of [signer, again]) {
      const signature = one.sign(utf8('message'))
      for (const p of [portable, nodePrimitives]) {
        assert.ok(p.verify(one.algorithm, signer.publicKey, utf8('message'), signature), p.name)
        assert.ok(!p.verify(one.algorithm, signer.publicKey, utf8('massage'), signature), p.name)
      }
    }
  })
}

test('Ed25519 from a seed (RFC 8032 section 7.1, test 1)', () => {
  const seed = Uint8Array.from(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'))
  assert.equal(formatKey(generateSigner('ed25519', seed).publicKey), 'ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
})

test('a key file that is none is refused without its text', () => {
  const result = attempt(() => importSigner('-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----'))
  assert.ok(!result.ok)
  assert.equal(result.refusal.code, 'cli.key')
  assert.doesNotMatch(JSON.stringify(result.refusal), /SECRET/)
})

test('X-Wing messages pass between the ports', async () => {
  const { hpkeKeyPair, hpkeOpen, hpkeSeal, SUITE } = await import('@cloister/core/crypto/hpke')
  for (const [from, to] of [[portable, nodePrimitives], [nodePrimitives, portable]] as const) {
    const pair = hpkeKeyPair(to, 'x-wing', nodeRandom(32))
    const sealed = hpkeSeal(from, SUITE, { to: pair.publicKey, info: utf8('i'), aad: utf8('a'), plaintext: utf8('message') }, nodeRandom)
    assert.deepEqual(hpkeOpen(to, SUITE, { secret: pair.secret, info: utf8('i'), aad: utf8('a'), ...sealed }), { ok: true, value: utf8('message') })
  }
})
