import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { children, der, derInteger, derSequence, readDer } from '../../bytes/der.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { authority } from '../../crypto/chain.fixture.ts'
import { keyUsage } from '../../crypto/issue.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode, type Result } from '../../refusal.ts'
import type { VerifiedCache, VerifyOptions } from '../options.ts'
import { answer, certify, compositeDeviceId, DAY, deviceAnswers, DEVICE_ROOT, driverRim, DRIVER_GOLDEN, evidenceOf, goldenOf, holder, IDENTITY, identityCertificate, leafExtensions, list, makerCertificate, makerOf, messages, NOW, NONCE, RIM_CA, RIM_ROOT, rimAnswers, san, tcbInfo, testRoots, valueOf, vbiosRim, type DevicePlan } from './nvidia.fixture.ts'
import { OPAQUE } from './spdm.ts'
import { readNvidia, verifyNvidia, type NvidiaClaims, type NvidiaEvidence } from './verify.ts'

/** P-384 in plain JavaScript is slow: chains that held in one test are remembered for the next; what is remembered is tested below. */
const cache: VerifiedCache = new Map()
const verify = (evidence: NvidiaEvidence, options: Partial<VerifyOptions> = {}): Result<NvidiaClaims> => attempt(() => verifyNvidia(p, evidence, { now: NOW, cache, ...options }, testRoots()))
const judge = (plan: DevicePlan = {}, change: Partial<NvidiaEvidence> = {}, options: Partial<VerifyOptions> = {}) => verify(evidenceOf(plan, change), options)
function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
function held(result: Result<NvidiaClaims>): NvidiaClaims {
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}
const field = (name: keyof typeof OPAQUE, value: Uint8Array | string | undefined): DevicePlan => ({ opaque: fields => { if (value === undefined) fields.delete(OPAQUE[name]); else fields.set(OPAQUE[name], typeof value === 'string' ? fromHex(value) : value) } })
const BOTH = { rims: [driverRim(), vbiosRim()] }

test('an honest GPU: who it is, what it measured, for which nonce', () => {
  const claims = held(judge())
  const measured = concat(...Array.from({ length: 64 }, (_, i) => concat(new Uint8Array([i + 1, 1]), valueOf(i + 1))))
  assert.deepEqual({ ...claims, registers: undefined, endorsements: undefined }, {
    tee: 'nvidia', simulated: false, product: 'GH100', signer: 'device', measurement: toHex(p.hash('sha384', measured)), registers: undefined, reportData: toHex(NONCE), hostData: '', debug: false, migration: false,
    chipId: '41aabbccddeeff0001', validity: { notBefore: NOW - 100 * DAY, notAfter: NOW + 100 * DAY }, endorsements: undefined, revocation: false,
    facts: { kind: 'nvidia', device: 'gpu', serial: '660001', pdi: 'aabbccddeeff0001', driver: '550.90.07', vbios: '96.00.9F.00.01', fwid: '77'.repeat(48), fwidReported: true, mode: 'ppcie', peers: ['aabbccddeeff0009'], board: { project: '1010' }, reference: [], referenceComplete: false },
  })
  assert.deepEqual([claims.registers['M01'], claims.registers['M64'], Object.keys(claims.registers).length], ['01'.repeat(48), '40'.repeat(48), 64])
  assert.deepEqual(claims.endorsements, [fromBase64(evidenceOf().certificates[0] ?? ''), makerCertificate(), identityCertificate(), testRoots().device.der].map(one => `sha256:${toHex(p.hash('sha256', one))}`))
})

test('Blackwell with its flags; a switch with its name in either order', () => {
  const blackwell = held(judge({ product: 'GB100' }))
  assert.deepEqual([blackwell.product, blackwell.debug, blackwell.facts.flags], ['GB100', false, '80000001'])
  const own = held(judge({ product: 'LS_10', number: '09' }))
  assert.deepEqual([own.product, own.chipId, own.facts.device, own.facts.vbios, own.facts.driver, own.facts.mode, own.facts.peers], ['LS10', '50aabbccddeeff0009', 'switch', '96.10.55.00.01', '', 'not-stated', ['aabbccddeeff0001', 'aabbccddeeff0002']])
  assert.ok(judge({ product: 'LS_10', number: '09', ...field('switchPdi', fromHex('aabbccddeeff0009').reverse()) }).ok)
})

test('a leaf that says debug is debug', () => {
  assert.equal(held(judge({ product: 'GB100', dice: tcbInfo(0x90) })).debug, true)
  assert.equal(held(judge({ product: 'GB100', dice: tcbInfo(0xef) })).debug, false)
})

test('every bit of the report flipped is refused: all of it is signed', () => {
  const evidence = evidenceOf({ product: 'LS_10' })
  const honest = fromBase64(evidence.report)
  for (let bit = 0; bit < honest.length * 8; bit += 101) {
    const altered = honest.slice()
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.ok(!verify({ ...evidence, report: toBase64(altered) }).ok, `bit ${bit}`)
  }
})

test('signed by another key than the leaf', () => {
  refused(judge({ forger: holder('somebody else') }), 'evidence.signature', 'report.signature')
  refused(verify({ ...evidenceOf(), certificates: evidenceOf({ number: '02' }).certificates }), 'evidence.signature')
})

test('the chain: complete, to the pinned root, nothing beside it, in force (attacks.md rows 21 to 27)', () => {
  const evidence = evidenceOf()
  const [leaf = '', maker = '', identity = ''] = evidence.certificates
  const root = toBase64(testRoots().device.der)
  assert.ok(verify({ ...evidence, certificates: [leaf, identity, maker, root] }).ok, 'in any order, the root with it')
  refused(verify({ ...evidence, certificates: [] }), 'evidence.missing', 'certificates')
  refused(verify({ ...evidence, certificates: [leaf] }), 'evidence.chain')
  refused(verify({ ...evidence, certificates: [leaf, maker] }), 'evidence.chain')
  refused(verify({ ...evidence, certificates: [leaf, maker, identity, toBase64(makerCertificate({ number: '02' }))] }), 'evidence.chain', 'certificates[3]')
  refused(verify({ ...evidence, certificates: [leaf, maker, identity, maker] }), 'evidence.chain', 'certificates[3]')
  refused(verify({ ...evidence, certificates: [leaf, leaf, maker, identity] }), 'evidence.chain', 'certificates[1]')
  refused(attempt(() => verifyNvidia(p, evidence, { now: NOW, cache })), 'evidence.chain')
  refused(verify(evidence, { now: NOW + 101 * DAY }), 'x509.expired')
  refused(verify(evidence, { now: NOW - 101 * DAY }), 'x509.not-yet-valid')
  refused(judge({ leaf: { notAfter: NOW - 1 } }), 'x509.expired', 'chain[0]')
  refused(judge({ maker: { extensions: [keyUsage(0x80)] } }), 'evidence.chain')
  const p256 = certify({ ...holder('GH100 A01 GSP FMC LF', '660001'), key: authority('a P-256 key').key }, makerOf(), { extensions: leafExtensions() })
  refused(verify({ ...evidence, certificates: [toBase64(p256), maker, identity] }), 'evidence.chain', 'certificates[0]')
  const direct = certify(holder('GH100 A01 GSP FMC LF', '660001'), IDENTITY, { extensions: leafExtensions() })
  refused(verify({ ...evidence, certificates: [toBase64(direct), identity] }), 'evidence.chain', 'certificates')
})

test('names in certificates: product, serial numbers, device information', () => {
  refused(judge({ product: 'GR100' }), 'evidence.unsupported')
  refused(judge({ san: 'NVIDIA:GH200:48B02D0000000001' }), 'evidence.product')
  refused(judge({ makerName: 'GB100 A01 GSP BROM' }), 'evidence.product')
  for (const text of ['AMD:GH100:48B02D0000000001', 'NVIDIA:GH100:48b02d0000000001', 'NVIDIA:GH100:48B0', 'NVIDIA:GH100']) refused(judge({ san: text }), 'evidence.parse')
  refused(judge({ leaf: { extensions: leafExtensions().filter(one => one.oid !== '2.5.29.17') } }), 'evidence.parse')
  refused(judge({ leaf: { extensions: leafExtensions().map(one => (one.oid === '2.5.29.17' ? { oid: one.oid, value: derSequence() } : one)) } }), 'der.tag')
  const named = (extension: { oid: string; value: Uint8Array }) => judge({ leaf: { extensions: leafExtensions().map(one => (one.oid === '2.5.29.17' ? extension : one)) } })
  assert.ok(named(san('NVIDIA:GH100:48B02D0000000001')).ok)
  refused(named(san('NVIDIA:GH100:48B02D0000000001', '1.3.6.1.4.1.412.274.2')), 'evidence.parse')
  const [one] = children(readDer(san('NVIDIA:GH100:48B02D0000000001').value))
  refused(named({ oid: '2.5.29.17', value: derSequence(one?.whole ?? new Uint8Array(), one?.whole ?? new Uint8Array()) }), 'der.tag')
  refused(judge({ makerSerial: '4100AABBCCDDEEFF0001' }), 'evidence.chip-id')
  refused(judge({ makerSerial: '41AABBCCDDEEFF01' }), 'evidence.chip-id')
  refused(judge({ leafSerial: 'xyz' }), 'evidence.parse')
  refused(judge({ leafSerial: '' }), 'evidence.parse')
})

test('the firmware that the leaf was made for is the one that the report names', () => {
  refused(judge(field('fwid', '88'.repeat(48))), 'evidence.binding', 'report.opaque.fwid')
  refused(judge({ product: 'GB100', ...field('fwid', undefined) }), 'evidence.parse')
  assert.equal(held(judge(field('fwid', undefined))).facts.fwidReported, false)
  refused(judge(field('fwid', '77'.repeat(32))), 'evidence.parse')
  refused(judge({ product: 'GB100', dice: tcbInfo(0x80, '88'.repeat(48)) }), 'evidence.binding')
})

test('a switch is the one that its certificates name', () => {
  refused(judge({ product: 'LS_10', ...field('switchPdi', 'aabbccddeeff0002') }), 'evidence.chip-id')
  refused(judge({ product: 'LS_10', ...field('switchPdi', undefined) }), 'evidence.parse')
})

test('the DICE extension: one, in one of its forms, with the key of the device', () => {
  refused(judge({ leaf: { extensions: leafExtensions().slice(0, 2) } }), 'evidence.parse')
  refused(judge({ leaf: { extensions: [...leafExtensions(), { oid: '2.23.133.5.4.1.1', value: tcbInfo() }] } }), 'evidence.parse')
  refused(judge({ dice: compositeDeviceId(holder('somebody else').key) }), 'evidence.binding', 'certificates[0].dice')
  refused(judge({ dice: compositeDeviceId(makerOf().key, '77'.repeat(32)) }), 'evidence.parse')
  const [, key = new Uint8Array(), digest = new Uint8Array()] = children(readDer(compositeDeviceId(makerOf().key))).map(one => one.whole)
  const [first, second] = [1, 2].map(version => derInteger(new Uint8Array([version])))
  assert.ok(judge({ dice: derSequence(first ?? key, key, digest) }).ok)
  for (const list of [[second ?? key, key, digest], [first ?? key, key, digest, digest], [first ?? key]]) refused(judge({ dice: derSequence(...list) }), 'evidence.parse')
  const parts = (...list: Uint8Array[]) => judge({ product: 'GB100', dice: derSequence(...list) })
  refused(parts(der(0x80, utf8('x'))), 'evidence.parse')
  const [maker = new Uint8Array(), fwids = new Uint8Array(), flags = new Uint8Array()] = children(readDer(tcbInfo())).map(one => one.whole)
  assert.ok(parts(maker, fwids, flags).ok && parts(fwids, flags).ok)
  for (const list of [[flags, fwids], [fwids, maker, flags], [fwids, fwids, flags], [fwids, flags, flags], [fwids], [flags], [der(0x04, new Uint8Array(1)), fwids, flags], []]) refused(parts(...list), 'evidence.parse')
})

test('versions and states that the report writes in another form', () => {
  refused(judge(field('driverVersion', utf8('550'))), 'evidence.parse')
  refused(judge(field('driverVersion', undefined)), 'evidence.parse')
  refused(judge(field('vbiosVersion', undefined)), 'evidence.parse')
  refused(judge(field('vbiosVersion', '009f0096010000')), 'evidence.parse')
  refused(judge({ product: 'LS_10', ...field('vbiosVersion', utf8('96.10.55')) }), 'evidence.parse')
  refused(judge(field('ppcieStatus', '56')), 'evidence.parse')
  refused(judge(field('ppcieStatus', 'aaaa')), 'evidence.parse')
  refused(judge(field('switchPdi', '00'.repeat(9))), 'evidence.parse')
})

test('how the GPU is used: the feature flag, or the older status, which must not contradict it', () => {
  const mode = (flag: string | undefined, status: string | undefined) => judge({ opaque: fields => {
    fields.delete(OPAQUE.featureFlag)
    fields.delete(OPAQUE.ppcieStatus)
    if (flag !== undefined) fields.set(OPAQUE.featureFlag, fromHex(flag))
    if (status !== undefined) fields.set(OPAQUE.ppcieStatus, fromHex(status))
  } })
  const told = (flag: string | undefined, status: string | undefined) => held(mode(flag, status)).facts.mode
  assert.deepEqual([told(undefined, undefined), told(undefined, '55'), told(undefined, 'aa'), told('0000', '55'), told('0100', '55'), told('0200', 'aa'), told('0200', undefined)], ['not-stated', 'not-stated', 'ppcie', 'multi', 'single', 'ppcie', 'ppcie'])
  for (const [flag, status] of [['0300', '55'], ['0001', '55'], ['00', '55'], ['0200', '55'], ['0000', 'aa']] as const) refused(mode(flag, status), 'evidence.parse', 'report.opaque.featureFlag')
})

test('golden values of driver and VBIOS, each alternative, whichever comes first', () => {
  for (const rims of [[driverRim(), vbiosRim()], [vbiosRim(), driverRim()]]) {
    const { facts } = held(judge({}, { rims }))
    assert.equal(facts.referenceComplete, true)
    assert.deepEqual([...facts.reference].map(one => [one.role, one.version, one.id, one.active, one.matched, one.skipped]).sort(), [['driver', '550.90.07', 'id-of-550.90.07', 3, 3, []], ['vbios', '96.00.9F.00.01', 'id-of-96.00.9F.00.01', 3, 3, []]])
  }
  assert.equal(held(judge({}, { rims: [driverRim()] })).facts.referenceComplete, false)
  const own = held(judge({ product: 'LS_10' }, { rims: [driverRim({ product: 'LS10', edition: 'SWITCH', version: '96.10.55.00.01', golden: goldenOf(0, 30) })] }))
  assert.deepEqual([own.facts.referenceComplete, own.facts.reference.map(one => [one.role, one.matched])], [true, [['vbios', 2]]])
})

test('a measurement that differs from its golden value is refused, with what was wanted', () => {
  const altered = (index: number): DevicePlan => ({ measurements: values => { values[index - 1] = new Uint8Array(48).fill(0xff) } })
  const result = judge(altered(3), BOTH)
  refused(result, 'evidence.reference', 'measurements[3]')
  assert.ok(!result.ok && result.refusal.expected.startsWith('03'.repeat(48)) && result.refusal.got === 'ff'.repeat(48))
  refused(judge(altered(8), BOTH), 'evidence.reference', 'measurements[8]')
  assert.ok(judge(altered(1), BOTH).ok, 'no golden value speaks of it')
  refused(judge({ measurements: values => { values.length = 20 } }, BOTH), 'evidence.reference', 'measurements[21]')
  refused(judge({}, { rims: [driverRim({ golden: { 2: ['03'.repeat(48)], 3: ['00'.repeat(48), '01'.repeat(48)] } })] }), 'evidence.reference', 'measurements[4]')
})

test('the engine NVDEC 0 is not compared while it is off, and only then', () => {
  const differs: DevicePlan = { measurements: values => { values[35] = new Uint8Array(48) } }
  const rims = [driverRim({ golden: goldenOf(2, 35) })]
  assert.deepEqual(held(judge(differs, { rims })).facts.reference.map(one => [one.active, one.matched, one.skipped]), [[2, 1, [36]]])
  assert.deepEqual(held(judge({}, { rims })).facts.reference.map(one => [one.active, one.matched, one.skipped]), [[2, 2, []]])
  refused(judge({ ...differs, ...field('nvdec0Status', 'aa') }, { rims }), 'evidence.reference', 'measurements[36]')
  refused(judge({ ...differs, ...field('nvdec0Status', '00') }, { rims }), 'evidence.parse', 'report.opaque.nvdec0Status')
  refused(judge(field('nvdec0Status', undefined), { rims }), 'evidence.parse')
  assert.ok(judge(field('nvdec0Status', undefined)).ok)
  refused(judge({ measurements: values => { values[34] = new Uint8Array(48) } }, { rims: [driverRim({ golden: goldenOf(34) })] }), 'evidence.reference', 'measurements[35]')
})

test('a manifest of another version, product or edition, one twice, or two that claim one index', () => {
  refused(judge({}, { rims: [driverRim({ version: '550.90.08' })] }), 'evidence.collateral', 'rims[0]')
  refused(judge({}, { rims: [driverRim(), vbiosRim({ version: '96.00.9F.00.02' })] }), 'evidence.collateral', 'rims[1]')
  refused(judge({}, { rims: [driverRim({ product: 'GB100' })] }), 'evidence.collateral', 'rims[0]')
  refused(judge({}, { rims: [driverRim({ edition: 'SWITCH' })] }), 'evidence.collateral', 'rims[0]')
  refused(judge({}, { rims: [driverRim(), driverRim()] }), 'evidence.collateral', 'rims')
  refused(judge({}, { rims: [driverRim({ golden: goldenOf(2) }), driverRim({ golden: goldenOf(3) })] }), 'evidence.collateral', 'rims')
  refused(judge({}, { rims: [driverRim(), vbiosRim({ golden: goldenOf(5, 20) })] }), 'evidence.collateral', 'rims')
  refused(judge({}, { rims: [driverRim({ golden: {} })] }), 'evidence.collateral', 'rims.driver')
  refused(judge({ product: 'LS_10' }, { rims: [driverRim({ product: 'LS10', edition: 'SWITCH', version: '' })] }), 'evidence.collateral', 'rims[0]')
})

test('a manifest that is forged or out of date is refused, whatever its values', () => {
  refused(judge({}, { rims: [driverRim({ signer: holder('somebody else') })] }), 'evidence.signature', 'rim')
  const signer = certify(holder('Test RIM Signer'), RIM_CA, { extensions: [keyUsage(0x80)], notAfter: NOW - 1 })
  const authority = certify(RIM_CA, RIM_ROOT)
  refused(judge({}, { rims: [driverRim({ certificates: [signer, authority] })] }), 'x509.expired', 'rim.chain[0]')
  refused(judge({}, { rims: [driverRim({ certificates: [identityCertificate()], signer: IDENTITY })] }), 'evidence.chain')
})

test('revocation: what is examined is said, what is required must be there', () => {
  const examined = (change: Partial<NvidiaEvidence>, options: Partial<VerifyOptions> = {}) => held(judge({}, change, options)).revocation
  assert.equal(examined({}), false)
  assert.equal(examined({ ocsp: deviceAnswers() }), true)
  assert.equal(examined({ ocsp: deviceAnswers().slice(0, 1) }), false)
  assert.equal(examined({ ocsp: deviceAnswers().slice(1) }), false)
  assert.equal(examined({ crls: [list(IDENTITY), list(DEVICE_ROOT)] }), true)
  assert.equal(examined({ crls: [list(IDENTITY)] }), false)
  assert.equal(examined({ ocsp: deviceAnswers().slice(0, 1), crls: [list(DEVICE_ROOT)] }), true)
  assert.equal(examined({ ...BOTH, ocsp: deviceAnswers() }), false, 'the signers of the manifests too')
  assert.equal(examined({ ...BOTH, ocsp: [...deviceAnswers(), ...rimAnswers()] }, { requireCrl: true }), true)
  refused(judge({}, {}, { requireCrl: true }), 'crl.missing')
  refused(judge({}, { ocsp: deviceAnswers().slice(1) }, { requireCrl: true }), 'crl.missing')
  refused(judge({}, { ...BOTH, ocsp: deviceAnswers() }, { requireCrl: true }), 'crl.missing')
})

test('the window of the claims is that of everything used, and everything used is named', () => {
  const claims = held(judge({}, { ...BOTH, ocsp: [...deviceAnswers(), ...rimAnswers()], crls: [list(IDENTITY, [], [NOW - 60, NOW + 60])] }))
  assert.deepEqual(claims.validity, { notBefore: NOW - 60, notAfter: NOW + 60 })
  assert.equal(claims.endorsements.length, 4 + 1 + 2 + 3 + 4)
  assert.deepEqual(held(judge({}, { rims: [driverRim({ certificates: [certify(holder('Test RIM Signer'), RIM_CA, { extensions: [keyUsage(0x80)], notBefore: NOW - 7, notAfter: NOW + 7 }), certify(RIM_CA, RIM_ROOT)] })] })).validity, { notBefore: NOW - 7, notAfter: NOW + 7 })
})

test('a device or an authority that was revoked or is on hold (attacks.md row 27)', () => {
  for (const status of [{ revokedAt: NOW - DAY }, { revokedAt: NOW - DAY, reason: 6 }]) {
    refused(judge({}, { ocsp: deviceAnswers({}, { status }) }), 'x509.revoked')
    refused(judge({}, { ...BOTH, ocsp: rimAnswers({ status }) }), 'x509.revoked')
  }
  refused(judge({}, { crls: [list(IDENTITY, ['41aabbccddeeff0001'])] }), 'x509.revoked')
  refused(judge({}, { crls: [list(DEVICE_ROOT, ['22'])] }), 'x509.revoked')
  refused(judge({}, { ...BOTH, crls: [list(RIM_CA, ['44'])] }), 'x509.revoked')
})

test('answers and lists: current, signed, about this evidence, each once (attacks.md row 26)', () => {
  refused(judge({}, { ocsp: deviceAnswers({}, { window: [NOW - 2 * DAY, NOW - DAY] }) }), 'crl.expired')
  refused(judge({}, { ocsp: deviceAnswers({}, { window: [NOW + 60, NOW + DAY] }) }), 'crl.expired')
  refused(judge({}, { ocsp: [answer(makerCertificate(), holder('Test Identity', undefined, 'forged'), identityCertificate())] }), 'crl.issuer')
  refused(judge({}, { ocsp: deviceAnswers({ number: '02' }) }), 'evidence.collateral', 'ocsp[0]')
  refused(judge({}, { ocsp: rimAnswers() }), 'evidence.collateral', 'ocsp[0]')
  refused(judge({}, { ocsp: [...deviceAnswers(), ...deviceAnswers()] }), 'evidence.collateral')
  refused(judge({}, { crls: [list(IDENTITY, [], [NOW - 2 * DAY, NOW - DAY])] }), 'crl.expired')
  refused(judge({}, { crls: [list(holder('Test Identity', undefined, 'forged'))] }), 'crl.signature')
  refused(judge({}, { crls: [list(RIM_CA)] }), 'evidence.collateral', 'crls[0]')
  refused(judge({}, { crls: [toBase64(new Uint8Array(256 * 1024 + 1))] }), 'bytes.too-large', 'crls[0]')
  refused(judge({}, { crls: [toBase64(new Uint8Array(256 * 1024))] }), 'bytes.trailing')
})

test('a driver whose manifest was taken back counts only with its manifest and answers for its signer', () => {
  const old = field('driverVersion', utf8('570.86.10\0'))
  const rims = [driverRim({ version: '570.86.10' })]
  refused(judge(old), 'x509.revoked', 'report.opaque.driverVersion')
  refused(judge(old, { rims }), 'x509.revoked')
  refused(judge(old, { ocsp: deviceAnswers() }), 'x509.revoked')
  refused(judge(old, { rims: [vbiosRim()], ocsp: rimAnswers() }), 'x509.revoked')
  refused(judge(old, { rims, ocsp: deviceAnswers() }), 'x509.revoked')
  assert.ok(judge(old, { rims, ocsp: rimAnswers() }).ok)
  assert.ok(judge(old, { rims: [vbiosRim(), ...rims], ocsp: rimAnswers() }).ok)
  assert.ok(judge({ product: 'GB100', ...old }).ok)
})

test('what was verified is remembered, but neither its time nor what is revoked', () => {
  const cache: VerifiedCache = new Map()
  const evidence = evidenceOf({}, BOTH)
  assert.ok(verify(evidence, { cache }).ok)
  assert.equal(cache.size, 3)
  assert.deepEqual(verify(evidence, { cache }), attempt(() => verifyNvidia(p, evidence, { now: NOW }, testRoots())))
  assert.equal(cache.size, 3)
  refused(verify(evidence, { cache, now: NOW + 101 * DAY }), 'x509.expired')
  refused(verify({ ...evidence, crls: [list(IDENTITY, ['41aabbccddeeff0001'])] }, { cache }), 'x509.revoked')
  refused(verify({ ...evidence, crls: [list(RIM_CA, ['44'])] }, { cache }), 'x509.revoked')
  refused(verify({ ...evidence, ocsp: deviceAnswers({}, { status: 'unknown' }) }, { cache }), 'crl.missing')
  const other = evidenceOf({}, { ...BOTH, report: toBase64(concat(messages({ nonce: new Uint8Array(32) }), new Uint8Array(96))) })
  refused(verify(other, { cache }), 'evidence.signature')
})

test('the shape of evidence: its fields, their types and numbers', () => {
  const json: JsonObject = { kind: 'nvidia', report: 'AA==', certificates: ['AA=='], rims: ['AA=='], ocsp: [], crls: [] }
  assert.deepEqual(readNvidia(json), json)
  assert.deepEqual(Object.keys(readNvidia({ kind: 'nvidia', report: '', certificates: [] })), ['kind', 'report', 'certificates'])
  for (const change of [{ more: 1 }, { report: 1 }, { certificates: 'x' }, { certificates: [1] }, { rims: ['', '', ''] }, { certificates: Array.from({ length: 9 }, () => '') }, { ocsp: Array.from({ length: 17 }, () => '') }, { crls: Array.from({ length: 9 }, () => '') }, { rims: {} }] satisfies JsonObject[]) refused(attempt(() => readNvidia({ ...json, ...change })), 'evidence.parse')
  for (const change of [{ report: '!' }, { certificates: ['!'] }, { rims: ['!'] }, { ocsp: ['!'] }, { crls: ['!'] }]) refused(judge({}, change), 'bytes.encoding')
  assert.ok(Object.keys(DRIVER_GOLDEN).length > 0)
})
