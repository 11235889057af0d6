import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../../bytes/bytes.ts'
import { derSequence } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { certificate, LEAF, LEAF_EXTENSIONS, MIDDLE } from '../../crypto/chain.fixture.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { explicit, instance, security, text } from './gcp.fixture.ts'
import { GCP_INSTANCE_OID, gcpInstance } from './gcp.ts'
import { tpmRoots } from './roots.ts'

const read = (value: Uint8Array) => gcpInstance(certificate(LEAF, MIDDLE, { extensions: [...LEAF_EXTENSIONS, { oid: GCP_INSTANCE_OID, value }] }))
function refused(value: Uint8Array, code: RefusalCode): void {
  const result = attempt(() => read(value))
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}

test('the instance that Google names is told when it is a production one', () => {
  assert.deepEqual(read(instance(security(true))), { zone: 'zone', projectNumber: '5724920872659', projectId: 'project', instanceId: '8033817256003918212', instanceName: 'name' })
  assert.equal(read(instance(security(false))), undefined)
  assert.equal(read(instance()), undefined)
  assert.equal(read(instance(explicit(0, derSequence()))), undefined)
  assert.equal(gcpInstance(certificate(LEAF, MIDDLE, { extensions: LEAF_EXTENSIONS })), undefined)
})

test('another structure is refused', () => {
  refused(instance(security(true), text('more')), 'evidence.parse')
  refused(instance(explicit(0, concat(derSequence(), derSequence()))), 'evidence.parse')
  refused(instance(explicit(0, new Uint8Array())), 'evidence.parse')
  refused(instance(text('x')), 'der.tag')
  refused(derSequence(text('zone')), 'der.tag')
})

test('the pinned roots are those of the vendors', () => {
  assert.deepEqual(tpmRoots().map(one => [one.product, one.simulated, toHex(p.hash('sha256', one.certificate.der))]), [
    ['GCP vTPM', false, '594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2'], ['Azure vTPM', false, 'e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95'],
    ['Azure vTPM', false, '8c2bb9144d4970c94fb8105cc5d860a58e2e675eb360fdd8c14b30833aaaec1d'],
  ])
})
