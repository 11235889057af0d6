import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toBase64 } from '../../bytes/base64.ts'
import { cborOf, readCbor, writeCbor, type Writable } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { parseJson, parseJsonObject } from '../../bytes/json.ts'
import { readSign1, writeCoseKey } from '../../crypto/cose.ts'
import { rememberingPort } from '../../crypto/cose.fixture.ts'
import { formatKey, keyToSpki } from '../../crypto/keys.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { ccaEvidence, ccaToken, changed, component, cpak, IMPLEMENTATION, INSTANCE, LEGACY, legacy, NOW, platformClaims, PROFILES, rawOf, realmClaims, realmCoseKey, signers, type Change, type TokenPlan } from './cca.fixture.ts'
import { claimsFromJson, readClaimSet, readPlatformClaims, readRealmClaims } from './claim-sets.ts'
import { parseToken } from './token.ts'
import { readCca, readCpaks, verifyCca, type CcaEvidence, type CcaOptions } from './verify.ts'

const judge = (evidence: CcaEvidence, options: Partial<CcaOptions> = {}, port: Primitives = p) => verifyCca(port, evidence, { now: NOW, cpaks: [cpak()], ...options })
const refused = (run: () => unknown, code: RefusalCode, about = '') => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted ${about}`)
  assert.equal(result.refusal.code, code, `${about} ${JSON.stringify(result.refusal)}`)
}
const altered = (plan: TokenPlan, code: RefusalCode, about: string, options?: Partial<CcaOptions>) => refused(() => judge(ccaEvidence(plan), options), code, about)
const platform = (change: Change, version: 1 | 2 = 1) => readPlatformClaims(readCbor(writeCbor(platformClaims(realmCoseKey, version, change))))
const realm = (change: Change, version: 1 | 2 = 1) => readRealmClaims(readCbor(writeCbor(realmClaims(realmCoseKey, version, change))))
const bytes = (length: number, value = 9) => new Uint8Array(length).fill(value)

test('a token in which everything holds gives its claims', () => {
  const claims = judge(ccaEvidence())
  assert.deepEqual(claims, {
    tee: 'cca', simulated: false, product: 'CCA', signer: 'cpak', measurement: '43'.repeat(64), registers: { REM0: '50'.repeat(32), REM1: '51'.repeat(32), REM2: '52'.repeat(32), REM3: '53'.repeat(32) },
    reportData: '41'.repeat(64), hostData: '42'.repeat(64), debug: false, migration: false, chipId: toHex(INSTANCE), validity: { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER },
    endorsements: [`sha256:${toHex(p.hash('sha256', keyToSpki(signers.platform.key)))}`], revocation: false,
    facts: {
      kind: 'cca', profile: PROFILES.platform[0], realmProfile: PROFILES.realm[0], implementationId: toHex(IMPLEMENTATION), instanceId: toHex(INSTANCE), lifecycle: 0x3003, state: 'secured', config: 'cfcfcfcf',
      components: [{ type: 'RMM', measurement: '03'.repeat(32), version: '1.2.3', signerId: '04'.repeat(32), hash: 'sha256' }], service: '', platformHash: 'sha256', realmHash: 'sha256', realmKey: toHex(p.hash('sha256', keyToSpki(signers.realm.key))),
    },
  })
})

test('the legacy profile: a raw key, and no profile of the realm', () => {
  const claims = judge(ccaEvidence(legacy))
  assert.ok(claims.facts.kind === 'cca' && claims.facts.profile === LEGACY && claims.facts.realmProfile === '')
  assert.ok(judge(ccaEvidence({ platform: { 265: LEGACY } })))
  altered({ ...legacy, platform: {} }, 'evidence.missing', 'a realm without a profile beside a platform whose profile says nothing of realms')
  altered({ ...legacy, realm: { 265: undefined, 44237: realmCoseKey } }, 'cbor.syntax', 'a COSE_Key without a profile')
  altered({ ...legacy, realm: {} }, 'bytes.trailing', 'a raw key with a profile')
  altered({ ...legacy, realm: { 265: undefined, 44237: bytes(97, 2) } }, 'crypto.key', 'no point')
})

test('profile 2.0.0: policy of memory encryption, activation, devices', () => {
  const claims = judge(ccaEvidence({ version: 2, realm: { 44244: 1, 44257: bytes(32) } }))
  assert.ok(claims.facts.kind === 'cca')
  assert.deepEqual([claims.facts.mecPolicy, claims.facts.liveActivation, claims.facts.devicesHash, claims.facts.realmInstanceId], ['private', true, '09'.repeat(32), '01'.repeat(33)])
})

test('tags and collections: 399 with bytes, 907 with bytes or messages', () => {
  const message = (format: Writable) => (a: Uint8Array, b: Uint8Array) => new Map<Writable, Writable>([[44234, [format, a]], [44241, [format, b]]])
  for (const plan of [{ tag: 907 }, { tag: 907, collection: message(263) }]) assert.deepEqual(judge(ccaEvidence(plan)), judge(ccaEvidence()))
  altered({ collection: message(263) }, 'cbor.syntax', 'messages under 399')
  for (const format of [262, '263', -1]) altered({ tag: 907, collection: message(format) }, 'cbor.syntax', `format ${format}`)
  for (const tag of [18, 398, 61]) altered({ tag }, 'cbor.syntax', `tag ${tag}`)
  altered({ collection: (a, b) => new Map<Writable, Writable>([[44234, a], [44241, b], [1, 1]]) }, 'evidence.parse', 'a third')
  altered({ collection: a => new Map([[44234, a]]) }, 'evidence.missing', 'no realm')
  altered({ collection: (_, b) => new Map([[44241, b]]) }, 'evidence.missing', 'no platform')
  altered({ collection: (a, b) => new Map([[44234, b], [44241, a]]) }, 'evidence.parse', 'the two swapped')
  altered({ tagged: false }, 'cbor.syntax', 'no tag 18')
  refused(() => judge({ kind: 'cca', token: toBase64(bytes(64 * 1024 + 1)) }), 'bytes.too-large')
  refused(() => judge({ kind: 'cca', token: toBase64(writeCbor([])) }), 'cbor.syntax')
})

test('the platform is signed by a named key and no other', () => {
  altered({}, 'evidence.signer', 'nobody named', { cpaks: [] })
  refused(() => verifyCca(p, ccaEvidence(), { now: NOW }), 'evidence.signer')
  altered({}, 'evidence.signature', 'another named', { cpaks: [cpak({ key: signers.stranger.key })] })
  altered({ platformSigner: 'stranger' }, 'evidence.signature', 'another signs')
  altered({ platformSigner: 'realm' }, 'evidence.signature', 'the realm signs for the platform')
  assert.ok(judge(ccaEvidence(), { cpaks: [cpak({ key: signers.stranger.key }), cpak({ key: signers.platform256.key }), cpak()] }))
  assert.ok(judge(ccaEvidence({ platformSigner: 'platform256' }), { cpaks: [cpak(), cpak({ key: signers.platform256.key })] }))
  altered({ platformSigner: 'platform256' }, 'evidence.signature', 'a key on another curve')
  refused(() => judge(ccaEvidence(), { cpaks: Array<ReturnType<typeof cpak>>(4097).fill(cpak()) }), 'bytes.too-large')
})

test('a key is endorsed for its platform, its implementation and its time', () => {
  const ids = { instanceId: toHex(INSTANCE).toUpperCase(), implementationId: toHex(IMPLEMENTATION) }
  const claims = judge(ccaEvidence(), { cpaks: [cpak({ ...ids, validity: { notBefore: NOW, notAfter: NOW } })] })
  assert.deepEqual(claims.validity, { notBefore: NOW, notAfter: NOW })
  for (const change of [{ instanceId: '01'.repeat(33) }, { implementationId: '00'.repeat(32) }, { instanceId: '' }]) altered({}, 'evidence.signer', JSON.stringify(change), { cpaks: [cpak({ ...ids, ...change })] })
  for (const validity of [{ notBefore: NOW + 1, notAfter: NOW + 2 }, { notBefore: 0, notAfter: NOW - 1 }]) altered({}, 'evidence.collateral', JSON.stringify(validity), { cpaks: [cpak({ validity })] })
})

test('named keys from JSON', () => {
  const key = formatKey(cpak().key)
  const read = (json: unknown) => readCpaks(parseJson(JSON.stringify(json)))
  assert.ok(judge(ccaEvidence(), { cpaks: read([{ key }]) }))
  assert.deepEqual(judge(ccaEvidence(), { cpaks: read([{ key, instanceId: toHex(INSTANCE), implementationId: toHex(IMPLEMENTATION), notBefore: 5, notAfter: NOW }]) }).validity, { notBefore: 5, notAfter: NOW })
  for (const json of [{}, null, ['x'], [{}], [null], [{ key: 1 }], [{ key, other: 1 }], [{ key, notBefore: '0' }], [{ key, notAfter: null }], [{ key, instanceId: '' }], [{ key, implementationId: 1 }], Array<unknown>(4097).fill({ key })]) refused(() => read(json), 'evidence.parse', JSON.stringify(json).slice(0, 60))
  refused(() => judge(ccaEvidence(), { cpaks: read([{ key, instanceId: '01'.repeat(33) }]) }), 'evidence.signer')
  refused(() => judge(ccaEvidence(), { cpaks: read([{ key, implementationId: '01'.repeat(32) }]) }), 'evidence.signer')
  assert.deepEqual(Object.keys(read([{ key }])[0] ?? {}), ['key', 'validity'])
  assert.ok(judge(ccaEvidence(), { cpaks: read(Array<unknown>(4096).fill({ key })) }))
  refused(() => read([{ key: 'p384:04' }]), 'crypto.key')
  refused(() => read([{ key, instanceId: 'xx' }]), 'bytes.encoding')
})

test('the realm is signed by the key that the platform vouches for', () => {
  altered({ realmSigner: 'stranger' }, 'evidence.signature', 'another signs')
  altered({ realm: { 44237: writeCoseKey(signers.stranger.key) }, realmSigner: 'stranger' }, 'evidence.binding', 'a realm with a key of its own')
  altered({ platform: { 10: bytes(64) } }, 'evidence.binding', 'another challenge')
  altered({ platform: { 10: p.hash('sha256', realmCoseKey) } }, 'evidence.binding', 'another hash')
  altered({ realm: { 44240: 'sha-256' } }, 'evidence.binding', 'another hash named')
  for (const [named, name] of [['sha-256', 'sha256'], ['sha-384', 'sha384']] as const) assert.ok(judge(ccaEvidence({ platform: { 10: p.hash(name, realmCoseKey) }, realm: { 44240: named } })))
  // The realm of one token and the platform of another.
  const other = parseToken(ccaToken({ realmKey: writeCoseKey(signers.stranger.key), realmSigner: 'stranger' }))
  altered({ collection: (_, own) => new Map([[44234, other.platform.bytes], [44241, own]]) }, 'evidence.binding', 'the platform of another token')
})

test('whatever is not secured is debug', () => {
  const states = { 0x0000: 'unknown', 0x10ff: 'assembly-and-test', 0x2001: 'rot-provisioning', 0x3000: 'secured', 0x30ff: 'secured', 0x4000: 'non-cca-debug', 0x5000: 'recoverable-cca-debug', 0x60ff: 'decommissioned' }
  for (const [value, state] of Object.entries(states)) assert.equal(platform({ 2395: Number(value) }).state, state)
  for (const value of [0x0100, 0x3100, 0x7000, 0x70ff, 0xffff]) refused(() => platform({ 2395: value }), 'evidence.parse', String(value))
  for (const value of [-1, 0x10000, '12288', null]) refused(() => platform({ 2395: value }), 'cbor.syntax', String(value))
  assert.ok(judge(ccaEvidence({ platform: { 2395: 0x4001 } })).debug && judge(ccaEvidence({ platform: { 2395: 0x5001 } })).debug && !judge(ccaEvidence({ platform: { 2395: 0x3001 } })).debug)
})

test('platform claims: each there, of its type and length, none unknown', () => {
  for (const [label, name] of [[265, 'profile'], [10, 'challenge'], [2396, 'implementationId'], [256, 'instanceId'], [2401, 'config'], [2395, 'lifecycle'], [2399, 'components'], [2402, 'hash']] as const) {
    const result = attempt(() => platform({ [label]: undefined }))
    assert.deepEqual(result.ok ? '' : [result.refusal.code, result.refusal.at], ['evidence.missing', `platform.${name}`])
  }
  for (const profile of ['', 'tag:arm.com,2023:realm#1.0.0', 'http://arm.com/PSA-SSD/1.0.0']) refused(() => platform({ 265: profile }), profile === '' ? 'cbor.syntax' : 'evidence.parse', profile)
  for (const change of [{ 10: bytes(33) }, { 10: bytes(31) }, { 10: [bytes(32)] }, { 2396: bytes(31) }, { 2396: bytes(33) }, { 256: bytes(32, 1) }, { 256: bytes(34, 1) }, { 2401: 'x' }, { 2401: bytes(4097) }, { 2399: [] }, { 2399: component() }, { 2399: Array<Writable>(65).fill(component()) }, { 2400: '' }, { 2400: bytes(3) }, { 2400: 'x'.repeat(513) }, { 2402: 1 }] as Change[]) refused(() => platform(change), 'cbor.syntax', Object.keys(change).join())
  for (const change of [{ 256: bytes(33, 2) }, { 2402: 'none' }, { 2402: 'sha-1' }, { 2397: 'psa' }, { 2394: 1 }, { 2403: bytes(1) }, { 2404: [] }, { 2405: [] }, { 2406: bytes(1) }] as Change[]) refused(() => platform(change), 'evidence.parse', Object.keys(change).join())
  for (const length of [32, 48, 64]) assert.equal(platform({ 10: bytes(length) }).challenge.length, length)
  assert.equal(platform({ 2400: 'https://verifier.example' }).service, 'https://verifier.example')
  refused(() => readPlatformClaims(readCbor(writeCbor(new Map<Writable, Writable>([...platformClaims(realmCoseKey, 1), ['x', 1]])))), 'evidence.parse', 'a text as a label')
})

test('software components', () => {
  const of = (change: Change) => platform({ 2399: [component(), component(change)] }).components[1]
  assert.deepEqual(of({ 1: undefined, 4: undefined, 6: undefined, 2: bytes(48), 5: bytes(64) }), { measurement: '09'.repeat(48), signerId: '09'.repeat(64) })
  for (const label of [2, 5]) refused(() => of({ [label]: undefined }), 'evidence.missing', String(label))
  for (const change of [{ 1: '' }, { 2: bytes(33) }, { 5: bytes(0) }, { 4: 1 }] as Change[]) refused(() => of(change), 'cbor.syntax')
  for (const change of [{ 3: 'x' }, { 7: 1 }, { 6: 'md5' }] as Change[]) refused(() => of(change), 'evidence.parse')
})

test('platform claims of 2.0.0: client, devices, boot keys', () => {
  const device = (change: Change = {}) => changed([[1, 'sha-256'], [2, bytes(32)], [3, bytes(64)], [4, true], [5, 'spdm-1.2.0'], [6, bytes(48)], [7, 'cxl-type-3'], [8, 0]], change)
  const key = (change: Change = {}) => changed([[1, 'DM'], [2, 0], [3, 1], [4, bytes(32)]], change)
  const full = platform({ 2403: bytes(3), 2404: [device(), device({ 1: undefined, 5: 'other', 6: undefined, 7: 'other', 8: undefined })], 2405: [key()], 2406: bytes(5) }, 2)
  assert.deepEqual(full.bootKeys, [{ name: 'DM', array: 0, index: 1, hash: '09'.repeat(32) }])
  assert.deepEqual(full.devices?.map(one => [one.type, one.protocol, one.ide, one.vca?.length, one.encryption, one.hash]), [['cxl-type-3', 'spdm-1.2.0', true, 96, 0, 'sha256'], ['other', 'other', true, undefined, undefined, undefined]])
  assert.equal(platform({ 265: 'tag:arm.com,2024:platform#2.0.0' }, 2).profile, 'tag:arm.com,2024:platform#2.0.0')
  refused(() => platform({ 2394: undefined }, 2), 'evidence.missing')
  for (const change of [{ 2394: 2 }, { 2403: bytes(0) }, { 2404: [] }, { 2405: [] }, { 2406: bytes(0) }, { 2404: [device({ 8: 3 })] }, { 2404: [device({ 4: 1 })] }, { 2405: [key({ 2: -1 })] }, { 2405: [key({ 4: bytes(20) })] }] as Change[]) refused(() => platform(change, 2), 'cbor.syntax', Object.keys(change).join())
  for (const change of [{ 6: undefined }, { 5: 'other' }, { 8: undefined }, { 7: 'other' }, { 9: 1 }]as Change[]) refused(() => platform({ 2404: [device(change)] }, 2), 'evidence.parse', Object.keys(change).join())
  for (const label of [2, 3, 4, 5, 7]) refused(() => platform({ 2404: [device({ [label]: undefined })] }, 2), 'evidence.missing', String(label))
  for (const label of [1, 2, 3, 4]) refused(() => platform({ 2405: [key({ [label]: undefined })] }, 2), 'evidence.missing', String(label))
  refused(() => platform({ 2405: [key({ 5: 1 })] }, 2), 'evidence.parse')
})

test('realm claims: each there, of its type and length, none unknown', () => {
  for (const label of [10, 44235, 44236, 44237, 44238, 44239, 44240]) refused(() => realm({ [label]: undefined }), 'evidence.missing', String(label))
  for (const change of [{ 10: bytes(63) }, { 10: bytes(65) }, { 10: [bytes(64), bytes(64)] }, { 44235: bytes(63) }, { 44238: bytes(31) }, { 44238: bytes(95) }, { 44239: Array<Writable>(3).fill(bytes(32)) }, { 44239: Array<Writable>(5).fill(bytes(32)) }, { 44239: [bytes(32), bytes(32), bytes(32), bytes(33)] }, { 44236: '' }, { 44237: bytes(0) }, { 44237: 'x' }, { 265: 1 }] as Change[]) refused(() => realm(change), 'cbor.syntax', Object.keys(change).join())
  for (const change of [{ 265: PROFILES.platform[0] }, { 44236: 'sha3-256' }, { 44240: 'none' }, { 44243: 1 }, { 256: bytes(33, 1) }, { 44244: 0 }, { 44257: bytes(32) }, { 44242: 1 }] as Change[]) refused(() => realm(change), 'evidence.parse', Object.keys(change).join())
  for (const label of [44243, 256]) refused(() => realm({ [label]: undefined }, 2), 'evidence.missing', String(label))
  for (const [value, policy] of [[0, 'shared'], [1, 'private'], ['shared', 'shared'], ['private', 'private']] as const) assert.equal(realm({ 44243: value }, 2).mecPolicy, policy)
  for (const change of [{ 44243: 2 }, { 44243: 255 }, { 44244: 2 }, { 44257: bytes(20) }, { 256: bytes(34, 1) }] as Change[]) refused(() => realm(change, 2), 'cbor.syntax', JSON.stringify(change))
  for (const change of [{ 44243: 'none' }, { 256: bytes(33) }] as Change[]) refused(() => realm(change, 2), 'evidence.parse', JSON.stringify(change))
  refused(() => realm({ 44237: writeCbor(new Map<Writable, Writable>([[1, 2], [-1, 2], [-2, bytes(48)]])) }), 'crypto.key', 'half a key')
})

test('sets of claims, as CBOR and as JSON', () => {
  const kindOf = (claims: Map<Writable, Writable>) => readClaimSet(readCbor(writeCbor(claims))).kind
  assert.deepEqual([kindOf(platformClaims(realmCoseKey, 2)), kindOf(realmClaims(realmCoseKey, 2)), kindOf(realmClaims(rawOf(signers.realm.key), 1, { 265: undefined }))], ['platform', 'realm', 'realm'])
  for (const [label, name] of [[2396, 'implementationId'], [2399, 'components']] as const) {
    const result = attempt(() => kindOf(platformClaims(realmCoseKey, 1, { [label]: undefined })))
    assert.ok(!result.ok && result.refusal.at === `platform.${name}`)
  }
  const base64 = (length: number, value = 9) => toBase64(bytes(length, value))
  const json = (change: Record<string, unknown> = {}) => claimsFromJson(parseJsonObject(JSON.stringify({
    'cca-platform-profile': PROFILES.platform[0], 'cca-platform-challenge': base64(32), 'cca-platform-implementation-id': base64(32), 'cca-platform-instance-id': base64(33, 1), 'cca-platform-config': base64(3), 'cca-platform-lifecycle': 12288,
    'cca-platform-sw-components': [{ 'measurement-type': 'BL', 'measurement-value': base64(32), 'signer-id': base64(32), 'measurement-description': 'sha-256' }], 'cca-platform-hash-algo-id': 'sha-256', ...change,
  })))
  const read = readClaimSet(json())
  assert.ok(read.kind === 'platform' && read.claims.components[0]?.type === 'BL' && read.claims.components[0].hash === 'sha256')
  const ofRealm = readClaimSet(claimsFromJson(parseJsonObject(JSON.stringify({
    'cca-realm-profile': PROFILES.realm[1], 'cca-realm-challenge': base64(64), 'cca-realm-personalization-value': base64(64), 'cca-realm-initial-measurement': base64(48), 'cca-realm-extensible-measurements': Array(4).fill(base64(32)),
    'cca-realm-hash-algo-id': 'sha-384', 'cca-realm-public-key': toBase64(realmCoseKey), 'cca-realm-public-key-hash-algo-id': 'sha-512', 'cca-realm-mec-policy': 'shared', 'cca-realm-instance-id': base64(33, 1), 'cca-realm-lfa-policy': 0, 'cca-realm-devices-token-hash': base64(32),
  }))))
  assert.ok(ofRealm.kind === 'realm' && ofRealm.claims.mecPolicy === 'shared' && ofRealm.claims.liveActivation === false && ofRealm.claims.extensibleMeasurements.length === 4)
  const device = { 'hash-algo-id': 'sha-256', 'device-measurements-digest': base64(32), 'certificate-chain-digest': base64(32), 'uses-ide': false, protocol: 'spdm-1.3.2', 'vca-digest': base64(32), 'device-type': 'cxl-type-3', 'encryption-type': 2 }
  const second = readClaimSet(json({
    'cca-platform-profile': PROFILES.platform[1], 'cca-platform-client-id': 1, 'cca-platform-manufacturing-config': base64(1), 'cca-platform-extension': [device], 'cca-platform-tbb-rotpk': [{ name: 'CM', 'active-array-index': 0, index: 2, hash: base64(32) }], 'cca-platform-peer-signers': base64(2), 'cca-platform-service-indicator': 'https://verifier.example',
  }))
  assert.ok(second.kind === 'platform' && second.claims.devices?.[0]?.ide === false && second.claims.devices[0].encryption === 2 && second.claims.bootKeys?.[0]?.index === 2 && second.claims.service === 'https://verifier.example')
  for (const change of [{ other: 1 }, { toString: 'x' }, { 'cca-realm-extensible-measurements': [1] }, { 'cca-platform-sw-components': [null] }, { 'cca-platform-challenge': 1 }, { 'cca-platform-lifecycle': null }, { 'cca-platform-sw-components': {} }, { 'cca-platform-sw-components': ['x'] }, { 'cca-platform-sw-components': [{ other: 1 }] }, { 'cca-platform-sw-components': [{ 'hash-algo-id': 'sha-256', 'measurement-description': 'sha-256' }] }]) refused(() => json(change), 'evidence.parse', JSON.stringify(change))
  refused(() => json({ 'cca-platform-challenge': 'AA=' }), 'bytes.encoding')
  refused(() => readClaimSet(json({ 'cca-platform-lifecycle': 0.5 })), 'cbor.syntax')
  // Claims of a realm among those of a platform.
  refused(() => readClaimSet(json({ 'cca-realm-personalization-value': base64(64) })), 'evidence.parse')
})

test('a platform is verified once, and its time is examined on every hit (attacks.md row 26)', () => {
  let asked = 0
  const counting: Primitives = { ...p, verify: (...question) => { asked++; return p.verify(...question) } }
  const options = { cache: new Map(), cpaks: [cpak({ validity: { notBefore: 0, notAfter: NOW } })] }
  for (const count of [2, 3, 4]) {
    judge(ccaEvidence(), options, counting)
    assert.equal(asked, count)
  }
  refused(() => judge(ccaEvidence(), { ...options, now: NOW + 1 }), 'evidence.collateral')
  refused(() => judge(ccaEvidence(), { ...options, cpaks: [cpak({ key: signers.stranger.key })] }), 'evidence.signature')
  refused(() => judge(ccaEvidence({ realmSigner: 'stranger' }), options), 'evidence.signature')
})

test('a policy that wants revocation lists gets none from CCA', () => altered({}, 'crl.missing', 'requireCrl', { requireCrl: true }))

test('every single-bit flip of a token is refused', () => {
  for (const plan of [legacy, { tag: 907 }]) {
    const port = rememberingPort(p)
    const token = ccaToken(plan)
    judge({ kind: 'cca', token: toBase64(token) }, {}, port)
    port.close()
    for (let bit = 0; bit < token.length * 8; bit++) {
      const flipped = token.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ 1 << (bit & 7)
      assert.ok(!attempt(() => judge({ kind: 'cca', token: toBase64(flipped) }, {}, port)).ok, `bit ${bit}`)
    }
  }
})

test('any claims at all: claims or a refusal, never an error', () => {
  const value = fc.oneof(fc.constantFrom<Writable>(null, 0, 1, -1, 0x3000, 2n ** 64n - 1n, '', 'sha-256', LEGACY, [], new Map(), component(), [component()]), fc.uint8Array({ maxLength: 70 }), fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 4 }))
  const label = fc.constantFrom(...Object.values({ a: 265, b: 10, c: 2396, d: 256, e: 2401, f: 2395, g: 2399, h: 2400, i: 2402, j: 2394, k: 2404, l: 2405, m: 44235, n: 44236, o: 44237, q: 44238, r: 44239, s: 44240, t: 44243, u: 44257 }), 7)
  const change = fc.uniqueArray(fc.tuple(label, value), { maxLength: 3, selector: ([key]) => key }).map(entries => Object.fromEntries(entries))
  const port: Primitives = { ...p, verify: () => true }
  const signed = readSign1(cborOf('bytes', cborOf('map', cborOf('tag', readCbor(ccaToken()), 'token').value, 'token').value[0]?.value, 'platform').value, { tag: 'required' })
  const part = (claims: Map<Writable, Writable>) => writeCbor({ tag: 18, value: [signed.protectedBytes, new Map(), writeCbor(claims), signed.signature] })
  fc.assert(fc.property(change, change, fc.constantFrom<1 | 2>(1, 2), (ofPlatform, ofRealm, version) => {
    const token = writeCbor({ tag: 399, value: new Map([[44234, part(platformClaims(realmCoseKey, version, ofPlatform))], [44241, part(realmClaims(realmCoseKey, version, ofRealm))]]) })
    attempt(() => judge({ kind: 'cca', token: toBase64(token) }, {}, port))
  }), { numRuns: 300 })
})

test('the shape of the evidence', () => {
  const read = (text: string) => attempt(() => readCca(parseJsonObject(text)))
  assert.ok(read('{"kind":"cca","token":"AA=="}').ok)
  for (const text of ['{"kind":"cca"}', '{"kind":"cca","token":1}', '{"kind":"cca","token":"","cpaks":[]}']) {
    const result = read(text)
    assert.ok(!result.ok && result.refusal.code === 'evidence.parse', text)
  }
})
