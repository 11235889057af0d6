import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64Url } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { bound, CLAIMS, claimsBytes, hclOf, tdReportOf } from './hcl.fixture.ts'
import { HCL_LIMITS, checkRuntimeClaims, readHclReport, readTdReport } from './hcl.ts'

function refused(result: ReturnType<typeof attempt>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const hcl = (change = {}, content = claimsBytes(), hardware = new Uint8Array(1184)) => attempt(() => readHclReport(p, hclOf(hardware, content, change)))

test('an HCL report is read to its end, with zeros wherever nothing stands', () => {
  const good = hcl()
  assert.ok(good.ok)
  assert.deepEqual([good.value.type, good.value.hash, good.value.hardware.length, good.value.claimsBytes], ['snp', 'sha256', 1184, claimsBytes()])
  assert.ok(hcl({ version: 1, tail: new Uint8Array() }).ok)
  refused(hcl({ magic: 'HCLB' }), 'evidence.parse', 'hclReport.signature')
  for (const version of [0, 3]) refused(hcl({ version }), 'evidence.version', 'hclReport.version')
  refused(hcl({ request: 1 }), 'evidence.parse', 'hclReport.requestType')
  refused(hcl({ status: 1 }), 'evidence.parse', 'hclReport.requestType')
  refused(hcl({ reserved: new Uint8Array(12).with(11, 1) }), 'evidence.reserved-bits')
  refused(hcl({ dataVersion: 2 }), 'evidence.version', 'hclReport.runtimeData.version')
  for (const hash of [0, 4]) refused(hcl({ hash }), 'evidence.parse', 'hclReport.runtimeData.hash')
  for (const kind of [0, 1, 3, 5]) refused(hcl({ kind }), 'evidence.kind')
  refused(hcl({ size: 1 }), 'evidence.parse', 'hclReport.runtimeData.size')
  refused(hcl({ dataSize: 1 }), 'evidence.parse', 'hclReport.runtimeData.size')
  refused(hcl({ length: claimsBytes().length - 1 }), 'evidence.parse', 'hclReport.runtimeData.size')
  refused(hcl({}, new Uint8Array(HCL_LIMITS.claims + 1).fill(0x20)), 'evidence.parse', 'hclReport.runtimeData.size')
  refused(hcl({ tail: new Uint8Array(9).with(8, 1) }), 'bytes.trailing')
  refused(hcl({ tail: new Uint8Array(HCL_LIMITS.bytes) }), 'bytes.too-large')
  assert.ok(hcl({ tail: new Uint8Array(HCL_LIMITS.bytes - 1236 - claimsBytes().length) }).ok)
  assert.ok(hcl({}, concat(claimsBytes(), new Uint8Array(HCL_LIMITS.claims - claimsBytes().length).fill(0x20))).ok)
  refused(hcl({ kind: 4 }, claimsBytes(), new Uint8Array(1184).with(1100, 1)), 'evidence.reserved-bits', 'hclReport.hardware')
  const td = hcl({ kind: 4 })
  assert.ok(td.ok && td.value.type === 'tdx' && td.value.hardware.length === 1024)
  const bytes = hclOf(new Uint8Array(1184), claimsBytes(), { tail: new Uint8Array() })
  for (let length = 0; length < bytes.length; length += 7) assert.ok(!attempt(() => readHclReport(p, bytes.slice(0, length))).ok)
})

test('runtime claims are strict JSON with one attestation key, an RSA key in its one form', () => {
  const [ak] = CLAIMS.keys
  const withKeys = (...keys: unknown[]) => hcl({}, claimsBytes({ keys }))
  const at = 'hclReport.runtimeClaims'
  refused(hcl({}, utf8('[]')), 'json.syntax')
  refused(hcl({}, utf8(`{"keys":[],"keys":[]}`)), 'json.duplicate-key')
  refused(hcl({}, claimsBytes({ keys: {} })), 'evidence.parse', `${at}.keys`)
  refused(withKeys(...Array.from({ length: 9 }, (_, i) => ({ ...ak, kid: `${i}` }))), 'evidence.parse', `${at}.keys`)
  assert.ok(withKeys(ak, ...Array.from({ length: 7 }, (_, i) => ({ ...ak, kid: `${i}` }))).ok)
  refused(withKeys({ ...ak, kid: 'other' }), 'evidence.missing', `${at}.keys`)
  refused(withKeys(ak, ak), 'evidence.parse', `${at}.keys`)
  refused(withKeys(ak, { kty: 'RSA' }), 'evidence.parse', `${at}.keys[1].kid`)
  for (const key of [1, null]) refused(withKeys(ak, key), 'evidence.parse', `${at}.keys[1].kid`)
  refused(withKeys({ ...ak, kty: 'EC' }), 'crypto.key')
  for (const n of [1, ['x']]) refused(withKeys({ ...ak, n }), 'crypto.key')
  assert.ok(withKeys({ ...ak, n: toBase64Url(new Uint8Array(256).with(0, 0x80)) }).ok)
  refused(withKeys({ ...ak, n: toBase64Url(new Uint8Array(256).with(0, 0x7f)) }), 'crypto.key')
  for (const kty of [{}, [[]], null]) refused(withKeys({ ...ak, kty }), 'crypto.key')
  refused(withKeys({ ...ak, e: undefined }), 'crypto.key')
  refused(withKeys({ ...ak, e: 'AAEAAQ' }), 'crypto.key')
  refused(withKeys({ ...ak, n: `AA${(ak?.n ?? '').slice(2)}` }), 'crypto.key')
  refused(withKeys({ ...ak, n: '=' }), 'bytes.encoding')
  refused(hcl({}, claimsBytes({ 'vm-configuration': [] })), 'evidence.parse', `${at}.vm-configuration`)
  for (const data of [1, '00', 'zz'.repeat(64), ['00'.repeat(64)]]) refused(hcl({}, claimsBytes({ 'user-data': data })), 'evidence.parse', `${at}.user-data`)
  const without = hcl({}, claimsBytes({ 'user-data': undefined }))
  assert.ok(without.ok && without.value.claims.userData === '')
  const upper = hcl({}, claimsBytes({ 'user-data': 'AB'.repeat(64) }))
  assert.ok(upper.ok && upper.value.claims.userData === 'ab'.repeat(64))
})

test('the hash of the claims stands in the report data, SNP or TDX, and zeros behind it', () => {
  const check = (hardware: Uint8Array, change = {}) => attempt(() => checkRuntimeClaims(p, readHclReport(p, hclOf(hardware, claimsBytes(), change))))
  const snp = (data: Uint8Array) => {
    const report = new Uint8Array(1184)
    report.set(data, 0x50)
    return report
  }
  assert.ok(check(snp(bound(claimsBytes()))).ok)
  assert.ok(check(snp(bound(claimsBytes(), 'sha384')), { hash: 2 }).ok)
  assert.ok(check(tdReportOf(bound(claimsBytes())), { kind: 4 }).ok)
  refused(check(snp(new Uint8Array(64))), 'evidence.binding', 'hclReport.runtimeClaims')
  refused(check(snp(bound(claimsBytes()).with(63, 1))), 'evidence.binding')
  refused(check(tdReportOf(new Uint8Array(64)), { kind: 4 }), 'evidence.binding')
})

test('a TDREPORT whose own hashes do not hold, or of another type, is refused', () => {
  const report = tdReportOf(new Uint8Array(64).fill(5))
  assert.deepEqual(readTdReport(p, report).reportData, new Uint8Array(64).fill(5))
  for (const at of [32, 80, 256, 494, 512, 1023]) refused(attempt(() => readTdReport(p, report.with(at, (report[at] ?? 0) ^ 1))), 'evidence.binding', 'hclReport.tdReport')
  refused(attempt(() => readTdReport(p, report.with(0, 0x82))), 'evidence.parse')
  for (const at of [1, 3, 4, 15, 192, 223, 495, 511]) refused(attempt(() => readTdReport(p, report.with(at, 1))), 'evidence.reserved-bits')
  refused(attempt(() => readTdReport(p, report.with(2, 2))), 'evidence.reserved-bits')
  assert.ok(attempt(() => readTdReport(p, report.with(2, 1))).ok)
  assert.deepEqual(readTdReport(p, report).fields, Object.fromEntries([['mrTd', 528], ['mrConfigId', 576], ['rtmr0', 720], ['rtmr1', 768], ['rtmr2', 816], ['rtmr3', 864]].map(([name, from]) => [name, toHex(report.subarray(Number(from), Number(from) + 48))])))
  refused(attempt(() => readTdReport(p, report.slice(1))), 'evidence.parse')
})
