import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { fromHex } from '../../bytes/hex.ts'
import type { Json, JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { writePem } from '../../crypto/pem.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode, type Result } from '../../refusal.ts'
import { evidenceOf, NOW, testRoots, type DevicePlan } from './nvidia.fixture.ts'
import { checkSaid, checkSet, readSdkEvidence } from './set.ts'
import { OPAQUE } from './spdm.ts'
import { verifyNvidia } from './verify.ts'

const claims = (plan: DevicePlan = {}) => verifyNvidia(p, evidenceOf(plan), { now: NOW }, testRoots())
const gpu = (number: string, change: DevicePlan = {}) => claims({ number, ...change })
const own = (number: string) => claims({ product: 'LS_10', number })
function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}

test('GPUs and the switch between them: a closed set', () => {
  assert.deepEqual(checkSet([gpu('01'), gpu('02'), own('09')]), { gpus: 2, switches: 1, ppcie: true, absent: [], oneSided: [] })
})

test('links to devices that are not here, or that do not answer, are told', () => {
  assert.deepEqual(checkSet([gpu('01')]), { gpus: 1, switches: 0, ppcie: true, absent: ['aabbccddeeff0009'], oneSided: [] })
  assert.deepEqual(checkSet([own('09'), gpu('01')]).absent, ['aabbccddeeff0002'])
  assert.deepEqual(checkSet([gpu('01'), gpu('02'), gpu('03'), own('09')]).oneSided, ['aabbccddeeff0003→aabbccddeeff0009'])
  const single = gpu('03', { opaque: fields => { fields.delete(OPAQUE.switchPdi); fields.set(OPAQUE.featureFlag, fromHex('0100')).set(OPAQUE.ppcieStatus, fromHex('55')) } })
  assert.deepEqual(checkSet([single]), { gpus: 1, switches: 0, ppcie: false, absent: [], oneSided: [] })
  assert.equal(checkSet([gpu('01'), single]).ppcie, false)
  assert.equal(checkSet([own('09')]).ppcie, false)
})

test('a device twice is refused, under the same certificates or after a change of firmware', () => {
  const one = gpu('01')
  refused(attempt(() => checkSet([one, gpu('02'), one])), 'evidence.binding', 'devices[2]')
  refused(attempt(() => checkSet([one, gpu('01', { leafSerial: '6699' })])), 'evidence.binding', 'devices[1]')
  refused(attempt(() => checkSet([one, gpu('02', { leafSerial: '660001' })])), 'evidence.binding', 'devices[1]')
})

test('all were asked with one nonce; there is at least one, and not too many', () => {
  refused(attempt(() => checkSet([gpu('01'), gpu('02', { nonce: new Uint8Array(32) })])), 'evidence.binding', 'devices[1].nonce')
  refused(attempt(() => checkSet([])), 'evidence.missing', 'devices')
  const one = gpu('01')
  const many = (length: number) => attempt(() => checkSet(Array.from({ length }, (_, i) => ({ ...one, chipId: `${i}`, facts: { ...one.facts, serial: `${i}` } }))))
  assert.ok(many(64).ok)
  refused(many(65), 'bytes.too-large')
})

const pem = (plan: DevicePlan) => toBase64(utf8(evidenceOf(plan).certificates.map(der => writePem('CERTIFICATE', fromBase64(der))).join('')))
const entry = (plan: DevicePlan = {}, change: JsonObject = {}): JsonObject => ({ arch: 'HOPPER', nonce: '5A'.repeat(32), evidence: evidenceOf(plan).report, certificate: pem(plan), version: '1.0', driver_version: '550.90.07', vbios_version: '96.00.9F.00.01', ...change })
const judge = (json: Json) => attempt(() => readSdkEvidence(json).map(device => {
  const held = verifyNvidia(p, device.evidence, { now: NOW }, testRoots())
  checkSaid(device, held)
  return held.product
}))

test('the JSON of NVIDIA’s tools, and its words beside what is signed', () => {
  const products = judge([entry(), entry({ product: 'GB100', number: '02' }, { arch: 'BLACKWELL' }), { arch: 'LS10', nonce: '5a'.repeat(32), evidence: evidenceOf({ product: 'LS_10' }).report, certificate: pem({ product: 'LS_10' }) }])
  assert.deepEqual(products, { ok: true, value: ['GH100', 'GB100', 'LS10'] })
  refused(judge([entry({}, { arch: 'BLACKWELL' })]), 'evidence.product')
  refused(judge([entry({}, { arch: 'constructor' })]), 'evidence.product')
  refused(judge([entry({}, { nonce: '00'.repeat(32) })]), 'evidence.report-data')
  refused(judge([entry({}, { driver_version: '550.90.08' })]), 'evidence.binding', 'evidence.driver_version')
  refused(judge([entry({}, { vbios_version: '96.00.9F.00.02' })]), 'evidence.binding', 'evidence.vbios_version')
})

test('only the fields, types and number of devices of that JSON', () => {
  for (const json of [{}, [], 'text', null, [1], [[]], [entry({}, { more: 1 })], [entry({}, { arch: 1 })], [entry({}, { nonce: null })], [entry({}, { evidence: 1 })], [entry({}, { certificate: 1 })], [entry({}, { driver_version: 1 })], Array.from({ length: 65 }, () => entry())]) refused(judge(json), 'evidence.parse')
  const one = entry()
  assert.equal(readSdkEvidence(Array.from({ length: 64 }, () => one)).length, 64)
  refused(judge([entry({}, { certificate: '!' })]), 'bytes.encoding')
  refused(judge([entry({}, { evidence: '!' })]), 'bytes.encoding')
  refused(judge([entry({}, { certificate: toBase64(utf8('no certificate')) })]), 'evidence.missing')
})
