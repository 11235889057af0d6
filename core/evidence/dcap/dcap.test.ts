// TDX and SGX evidence under a test root: complete evidence is accepted, and each way in which it is not whole is refused with its code.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { children, der, derOid, derSequence, readDer, TAG } from '../../bytes/der.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { authority } from '../../crypto/chain.fixture.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type Result } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import type { VerifyOptions } from '../options.ts'
import { evidenceOf, NOW, pckExtension, root, type Plan } from './dcap.fixture.ts'
import { readDcap, verifyDcap, type DcapEvidence, type DcapFacts } from './verify.ts'

const judge = (evidence: DcapEvidence, options: VerifyOptions = { now: NOW }): Result<ClaimsOf<DcapFacts>> => attempt(() => verifyDcap(p, evidence, options, root))
function accepted(plan: Plan = {}, options?: VerifyOptions): ClaimsOf<DcapFacts> {
  const result = judge(evidenceOf(plan), options)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}
function refused(plan: Plan, code: string, options?: VerifyOptions): void {
  const result = judge(evidenceOf(plan), options)
  assert.ok(!result.ok, `accepted, expected ${code}`)
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}
// The fixture's documents are its own.
const levels = (json: Record<string, unknown>) => json['tcbLevels'] as { tcbStatus: string; tcb: Record<string, unknown> }[]

test('a trust domain, versions 4 and 5, and an enclave, versions 3 and 4', () => {
  const domain = accepted()
  assert.deepEqual([domain.tee, domain.product, domain.measurement, domain.registers['RTMR3'], domain.debug, domain.migration, domain.revocation], ['tdx', 'TDX 1.5', '77'.repeat(48), 'a3'.repeat(48), false, false, true])
  assert.deepEqual([domain.facts.status, domain.facts.moduleStatus, domain.facts.shortfall, domain.facts.evaluation, domain.chipId], ['UpToDate', 'UpToDate', [], { tcb: 18, qe: 18 }, '06'.repeat(16)])
  assert.deepEqual([domain.facts.tcbDate, domain.facts.oldestDate, domain.facts.tdx?.septVeDisable], ['2025-02-01T00:00:00Z', '2025-01-01T00:00:00Z', true])
  assert.equal(accepted({ version: 5 }).facts.tdx?.mrServiceTd, '00'.repeat(48))
  for (const version of [3, 4] as const) assert.deepEqual([accepted({ tee: 'sgx', version }).product, accepted({ tee: 'sgx', version }).measurement], ['SGX', 'ee'.repeat(32)])
  assert.equal(domain.validity.notAfter, NOW + 86_400)
})

test('a status other than up to date is a fact, with what is lacking and which advisories', () => {
  const older = accepted({ pckExtension: pckExtension([4, ...Array.from({ length: 15 }, () => 5)]) })
  assert.equal(older.facts.status, 'ConfigurationNeeded')
  assert.deepEqual(older.facts.advisories, ['INTEL-SA-00001'])
  assert.ok(older.facts.shortfall.includes('SGX component 1 has 4, needs 5'), String(older.facts.shortfall))
  assert.equal(accepted({ pckExtension: pckExtension([1, ...Array.from({ length: 15 }, () => 5)]) }).facts.status, 'Revoked')
  const module = accepted({ body: (bytes, start) => { bytes[start] = 3 } })
  assert.deepEqual([module.facts.status, module.facts.moduleStatus, module.facts.platformStatus], ['OutOfDate', 'OutOfDate', 'UpToDate'])
  assert.deepEqual(module.facts.shortfall, ['TDX module isvsvn has 3, needs 6'])
  const qe = accepted({ qe: report => { report[258] = 2 } })
  assert.deepEqual([qe.facts.status, qe.facts.qeStatus, qe.facts.advisories], ['OutOfDate', 'OutOfDate', ['INTEL-SA-00003']])
  const both = accepted({ qe: report => { report[258] = 2 }, pckExtension: pckExtension(Array.from({ length: 16 }, () => 4)) })
  assert.equal(both.facts.status, 'OutOfDateConfigurationNeeded')
})

test('no level at all is a refusal', () => {
  refused({ pckExtension: pckExtension(Array.from({ length: 16 }, () => 0)) }, 'evidence.tcb-unknown')
  refused({ pckExtension: pckExtension(undefined, 10) }, 'evidence.tcb-unknown')
  refused({ body: (bytes, start) => { bytes[start + 2] = 0 } }, 'evidence.tcb-unknown')
  refused({ body: (bytes, start) => { bytes[start + 1] = 2 } }, 'evidence.tcb-unknown')
  refused({ body: (bytes, start) => { bytes[start] = 1 } }, 'evidence.tcb-unknown')
  refused({ qe: report => { report[258] = 1 } }, 'evidence.tcb-unknown')
})

test('a TDX module of version 1.5 is not compared in the first two components, one of version 1.0 is', () => {
  assert.equal(accepted({ body: (bytes, start) => { bytes.set([9, 1], start) } }).facts.status, 'UpToDate')
  const old = accepted({ body: (bytes, start) => { bytes.set([5, 0], start) }, tcbInfo: json => { levels(json).forEach(level => { level.tcb['tdxtcbcomponents'] = [{ svn: 5 }, ...Array.from({ length: 15 }, () => ({ svn: 0 }))] }) } })
  assert.deepEqual([old.product, old.facts.status, old.facts.moduleStatus], ['TDX 1.0', 'UpToDate', undefined])
  refused({ body: (bytes, start) => { bytes.set([4, 0], start) }, tcbInfo: json => { levels(json).forEach(level => { level.tcb['tdxtcbcomponents'] = [{ svn: 5 }, ...Array.from({ length: 15 }, () => ({ svn: 0 }))] }) } }, 'evidence.tcb-unknown')
})

test('a domain launched under an outdated module that has been updated since is told to relaunch', () => {
  const plan: Plan = { version: 5, body: (bytes, start) => { bytes[start] = 3 } }
  assert.equal(accepted(plan).facts.status, 'TDRelaunchAdvised')
  assert.equal(accepted({ ...plan, pckExtension: pckExtension(Array.from({ length: 16 }, () => 4)) }).facts.status, 'TDRelaunchAdvisedConfigurationNeeded')
  assert.equal(accepted({ version: 5, body: (bytes, start) => { bytes[start] = 3; bytes[start + 584] = 3 } }).facts.status, 'OutOfDate')
})

test('debug and migration are facts; reserved bits are refused', () => {
  assert.equal(accepted({ body: (bytes, start) => { bytes[start + 120] = 1 } }).debug, true)
  assert.equal(accepted({ body: (bytes, start) => { bytes[start + 120] = 0x10 } }).debug, true)
  assert.equal(accepted({ body: (bytes, start) => { bytes[start + 123] = 0x20 } }).migration, true)
  assert.equal(accepted({ tee: 'sgx', body: (bytes, start) => { bytes[start + 48] = 0x07 } }).debug, true)
  refused({ body: (bytes, start) => { bytes[start + 121] = 1 } }, 'evidence.reserved-bits')
  refused({ body: (bytes, start) => { bytes[start + 128] = 0xe6 } }, 'evidence.reserved-bits')
  refused({ body: (bytes, start) => { bytes[start + 134] = 1 } }, 'evidence.reserved-bits')
  refused({ body: (bytes, start) => { bytes[start + 112] = 1 } }, 'evidence.reserved-bits')
  refused({ tee: 'sgx', body: (bytes, start) => { bytes[start + 22] = 1 } }, 'evidence.reserved-bits')
  refused({ body: (bytes, start) => { bytes[start + 64] = 1 } }, 'evidence.signer')
})

test('the quote: version, key type, vendor, body, signatures, binding, lengths', () => {
  refused({ body: bytes => { bytes[0] = 6 } }, 'evidence.version')
  refused({ body: bytes => { bytes[2] = 3 } }, 'evidence.parse')
  refused({ body: bytes => { bytes[12] = 0 } }, 'evidence.signer')
  refused({ body: bytes => { bytes[4] = 0x82 } }, 'evidence.kind')
  refused({ version: 5, bodyType: 1 }, 'evidence.kind')
  refused({ after: quote => quote.subarray(0, 900) }, 'bytes.truncated')
  refused({ after: quote => new Uint8Array([...quote, 0]) }, 'bytes.trailing')
  const flip = (offset: number): Plan => ({ after: quote => { quote[offset] = (quote[offset] ?? 0) ^ 1; return quote } })
  const signature = 48 + 584 + 4
  refused(flip(48 + 136), 'evidence.signature')
  refused(flip(signature + 5), 'evidence.signature')
  refused(flip(signature + 64 + 5), 'evidence.binding')
  refused(flip(signature + 128 + 6 + 70), 'evidence.signature')
  refused({ qe: report => { report[383] = 1 } }, 'evidence.binding')
  refused({ certificationType: 3 }, 'evidence.missing')
  refused({ pck: { subject: 'Somebody' } }, 'evidence.chain')
  assert.ok(!judge({ ...evidenceOf(), kind: 'sgx' }).ok)
})

test('the quoting enclave is the one that Intel names', () => {
  refused({ qe: report => { report[128] = 0 } }, 'evidence.signer')
  refused({ qe: report => { report[256] = 3 } }, 'evidence.signer')
  refused({ qe: report => { report[48] = 0x13 } }, 'evidence.signer')
  refused({ qe: report => { report[16] = 1 } }, 'evidence.signer')
})

test('collateral is for this platform, of the right kind, signed and in force', () => {
  refused({ tcbInfo: json => { json['fmspc'] = '00906EA10001' } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['pceId'] = '0001' } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['id'] = 'SGX' } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['version'] = 2 } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['tcbType'] = 1 } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['nextUpdate'] = '2020-01-01T00:00:00Z' } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['issueDate'] = '2030-01-01T00:00:00Z' } }, 'evidence.collateral')
  refused({ tcbInfo: json => { for (const level of levels(json)) level.tcbStatus = 'Fine' } }, 'evidence.collateral')
  refused({ tcbInfo: json => { delete json['tdxModule']; levels(json).forEach(level => { level.tcb['tdxtcbcomponents'] = Array.from({ length: 16 }, () => ({ svn: 0 })) }) }, body: (bytes, start) => { bytes.set([5, 0], start) } }, 'evidence.collateral')
  refused({ qeIdentity: json => { json['id'] = 'QE' } }, 'evidence.collateral')
  refused({ qeIdentity: json => { json['version'] = 1 } }, 'evidence.collateral')
  refused({ qeIdentity: json => { json['nextUpdate'] = '2020-01-01T00:00:00Z' } }, 'evidence.collateral')
  refused({ collateral: given => ({ ...given, tcb_info: `${given.tcb_info} ` }) }, 'evidence.collateral')
  refused({ collateral: given => ({ ...given, qe_identity: given.qe_identity.replace('UpToDate', 'Revoked!') }) }, 'evidence.collateral')
  refused({ signing: { as: authority('Intel SGX Something') } }, 'evidence.collateral')
  refused({ signing: { by: authority('Intel SGX Root CA', 'another key') } }, 'x509.signature')
})

test('each document is signed by the key that its own chain names', () => {
  const other = evidenceOf({ signing: { as: authority('another key'), plan: { subject: 'Intel SGX TCB Signing' } } }).collateral
  const [signature, chain] = [{ qe_identity_signature: other.qe_identity_signature }, { qe_identity_issuer_chain: other.qe_identity_issuer_chain }]
  assert.equal(accepted({ collateral: given => ({ ...given, ...signature, ...chain }) }).facts.status, 'UpToDate')
  for (const change of [signature, chain]) refused({ collateral: given => ({ ...given, ...change }) }, 'evidence.collateral')
})

test('TCB info is of version 3; for an enclave also of version 2, which has no id and names each component', () => {
  const second = (json: Record<string, unknown>) => {
    json['version'] = 2
    delete json['id']
    for (const level of levels(json)) level.tcb = { pcesvn: level.tcb['pcesvn'], ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`sgxtcbcomp${String(i + 1).padStart(2, '0')}svn`, 5])) }
  }
  assert.equal(accepted({ tee: 'sgx', tcbInfo: second }).facts.status, 'UpToDate')
  for (const [tee, version] of [['tdx', 2], ['tdx', 4], ['sgx', 1], ['sgx', 4]] as const) {
    const result = judge(evidenceOf({ tee, tcbInfo: json => { json['version'] = version } }))
    assert.ok(!result.ok && result.refusal.at === 'collateral.tcb_info.version', `${tee} ${version}: ${JSON.stringify(result)}`)
  }
})

test('revocation: each chain is covered, by a list that holds and is in force', () => {
  refused({ revoked: { root: [3] } }, 'x509.revoked')
  refused({ revoked: { root: [9] } }, 'x509.revoked')
  refused({ revoked: { pck: [7] } }, 'x509.revoked')
  refused({ collateral: given => ({ ...given, pck_crl: given.root_ca_crl }) }, 'crl.issuer')
  refused({ collateral: given => ({ ...given, root_ca_crl: given.pck_crl }) }, 'crl.missing')
  refused({ collateral: given => ({ ...given, pck_crl: '' }) }, 'bytes.truncated')
  refused({ collateral: given => ({ ...given, pck_crl: `${given.pck_crl.slice(0, -2)}00` }) }, 'crl.signature')
  refused({}, 'crl.expired', { now: NOW + 2 * 86_400 })
})

test('shape: what is missing, and what nobody knows', () => {
  const whole = evidenceOf()
  const json = JSON.parse(JSON.stringify(whole)) as JsonObject & { collateral: JsonObject }
  assert.deepEqual(readDcap(json, 'tdx'), whole)
  for (const [change, code] of [[{ collateral: undefined }, 'evidence.missing'], [{ collateral: {} }, 'evidence.missing'], [{ extra: 1 }, 'evidence.parse'], [{ collateral: { ...json.collateral, extra: '' } }, 'evidence.parse']] as const) {
    const read = attempt(() => readDcap(JSON.parse(JSON.stringify({ ...json, ...change })) as JsonObject, 'tdx'))
    assert.ok(!read.ok && read.refusal.code === code, JSON.stringify(read))
  }
})

test('what is remembered ends with its time, and another list is another entry', () => {
  const cache: NonNullable<VerifyOptions['cache']> = new Map()
  const evidence = evidenceOf()
  for (const _ of [1, 2]) assert.ok(judge(evidence, { now: NOW, cache }).ok)
  assert.equal(cache.size, 3)
  assert.ok(!judge(evidence, { now: NOW + 2 * 86_400, cache }).ok)
  const revoked = judge({ ...evidence, collateral: evidenceOf({ revoked: { pck: [7] } }).collateral }, { now: NOW, cache })
  assert.ok(!revoked.ok && revoked.refusal.code === 'x509.revoked')
})

test('a flipped bit is refused anywhere in header, body, signature, key and report of a quote', () => {
  const quote = fromBase64(evidenceOf().quote)
  const cache: NonNullable<VerifyOptions['cache']> = new Map()
  const collateral = evidenceOf().collateral
  const fixed = 48 + 584 + 4 + 128 + 6 + 384 + 64
  for (let offset = 0; offset < fixed; offset += 7) {
    const changed = quote.slice()
    changed[offset] = (changed[offset] ?? 0) ^ (1 << (offset % 8))
    assert.ok(!judge({ kind: 'tdx', quote: toBase64(changed), collateral }, { now: NOW, cache }).ok, `byte ${offset}`)
  }
})

test('lengths, types and limits of every part', () => {
  const data = 48 + 584
  const grown = (...lengths: number[]): Plan => ({ after: quote => {
    const longer = new Uint8Array([...quote, 0])
    for (const offset of lengths) new DataView(longer.buffer).setUint32(offset, new DataView(longer.buffer).getUint32(offset, true) + 1, true)
    return longer
  } })
  refused(grown(data), 'bytes.trailing')
  refused(grown(data, data + 4 + 128 + 2), 'bytes.trailing')
  refused({ tee: 'sgx', after: grown(48 + 384).after ?? (quote => quote) }, 'bytes.trailing')
  refused({ after: quote => { quote[data + 4 + 128] = 5; return quote } }, 'evidence.parse')
  refused({ after: () => new Uint8Array(70_000).fill(4) }, 'bytes.too-large')
  assert.equal(accepted({ roots: 2 }).facts.status, 'UpToDate')
  refused({ roots: 3 }, 'bytes.too-large')
  refused({ body: bytes => { bytes[0] = 3 } }, 'evidence.kind')
  refused({ version: 5, body: bytes => { bytes[50] = 0x89 } }, 'evidence.parse')
})

test('what Intel\'s documents and certificates must carry', () => {
  refused({ tcbInfo: json => { json['version'] = 4 } }, 'evidence.collateral')
  refused({ tcbInfo: json => { json['tcbLevels'] = levels(json).map(level => ({ ...level, tcbDate: 'soon' })) } }, 'evidence.collateral')
  refused({ qeIdentity: json => { json['issueDate'] = '2025-13-01T00:00:00Z' } }, 'evidence.collateral')
  refused({ collateral: given => ({ ...given, tcb_info_issuer_chain: '' }) }, 'evidence.missing')
  refused({ pck: { extensions: [] } }, 'evidence.parse')
  const whole = pckExtension()
  const fields = children(readDer(whole)).map(one => one.whole)
  for (const changed of [derSequence(...fields.slice(1)), derSequence(...fields, fields[0] ?? whole), derSequence(...fields, derSequence(derOid('1.2.3'), der(TAG.null)))]) refused({ pckExtension: changed }, 'evidence.parse')
})
