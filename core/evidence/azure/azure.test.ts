import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import { parseJsonObject, type Json } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, refuse, type RefusalCode } from '../../refusal.ts'
import { bootOf, logOf } from '../eventlog/log.fixture.ts'
import { CHIP, NOW } from '../snp/snp.fixture.ts'
import { attestOf, machineOf } from '../tpm/tpm.fixture.ts'
import { JUDGES, snpEvidence, tdClaims, tdxEvidence } from './azure.fixture.ts'
import { bound, CLAIMS, claimsBytes, tdReportOf } from './hcl.fixture.ts'
import { readAzure, verifyAzure, type AzureEvidence, type HardwareJudges } from './verify.ts'

const judge = (evidence: AzureEvidence, judges: HardwareJudges = JUDGES, now = NOW) => attempt(() => verifyAzure(p, evidence, { now }, judges))
function refused(result: ReturnType<typeof attempt>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
function claims(evidence: AzureEvidence) {
  const result = judge(evidence)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}

test('an SNP machine: hardware, key and quote bound; measurement of the hardware, registers of the quote', () => {
  const got = claims(snpEvidence())
  const pcrs = machineOf().pcrs['sha256'] ?? {}
  assert.deepEqual([got.tee, got.simulated, got.product, got.signer, got.reportData, got.debug, got.migration, got.chipId, got.revocation], ['azure-snp', false, 'Genoa', 'ak', toHex(utf8('nonce')), false, false, toHex(CHIP), false])
  assert.deepEqual(got.registers, Object.fromEntries(Object.entries(pcrs).map(([index, value]) => [`PCR${index}`, value])))
  const { hardware } = got.facts
  assert.deepEqual([got.measurement, got.hostData, got.validity, got.endorsements], [hardware.measurement, hardware.hostData, hardware.validity, hardware.endorsements])
  assert.equal(hardware.reportData, toHex(bound(claimsBytes())))
  assert.deepEqual([got.facts.keys, got.facts.userData, JSON.stringify(got.facts.vmConfiguration), got.facts.bank, got.facts.clock.safe, got.facts.boot?.secureBoot, got.facts.unprovenEvents, got.facts.uncovered], [['HCLAkPub', 'HCLEkPub'], '00'.repeat(64), JSON.stringify(CLAIMS['vm-configuration']), 'sha256', true, true, 0, []])
  assert.equal(got.events?.length, bootOf().length - 1)
})

test('a TDX machine: the quote counts, and says the same as the report in the HCL report', () => {
  const got = claims(tdxEvidence())
  assert.deepEqual([got.tee, got.product, got.measurement, got.revocation], ['azure-tdx', 'TDX', tdClaims(tdReportOf(bound(claimsBytes()))).measurement, true])
  refused(judge(tdxEvidence({ evidence: { tdQuote: toBase64(tdReportOf(new Uint8Array(64))) } })), 'evidence.binding', 'hclReport.runtimeClaims')
  const other = (change: object): HardwareJudges => ({ ...JUDGES, tdx: quote => ({ ...tdClaims(quote), ...change }) })
  refused(judge(tdxEvidence(), other({ measurement: '00' })), 'evidence.binding', 'hclReport.tdReport.mrTd')
  refused(judge(tdxEvidence(), other({ hostData: '00' })), 'evidence.binding', 'hclReport.tdReport.mrConfigId')
  for (const n of [0, 1, 2, 3]) refused(judge(tdxEvidence(), { ...JUDGES, tdx: quote => ({ ...tdClaims(quote), registers: { ...tdClaims(quote).registers, [`RTMR${n}`]: '00' } }) }), 'evidence.binding', `hclReport.tdReport.rtmr${n}`)
  refused(judge(tdxEvidence(), other({ registers: {} })), 'evidence.binding')
  const { tdQuote: _, ...without } = tdxEvidence()
  refused(judge(without), 'evidence.missing', 'tdQuote')
})

test('without a log nothing is said of how it started', () => {
  const { eventLog: _, ...bare } = snpEvidence()
  const { events, facts } = claims(bare)
  assert.deepEqual([events, facts.boot, facts.unprovenEvents, facts.uncovered], [undefined, undefined, undefined, undefined])
  refused(judge({ ...bare, eventLog: toBase64(logOf(bootOf({ secure: false }))) }), 'evidence.event-log', 'eventLog.PCR7')
})

test('claims that the hardware did not sign are refused: the attestation key cannot be exchanged', () => {
  refused(judge(snpEvidence({ reportData: bound(claimsBytes({ 'user-data': '01'.repeat(64) })) })), 'evidence.binding', 'hclReport.runtimeClaims')
  refused(judge(tdxEvidence({ reportData: bound(utf8('{}')) })), 'evidence.binding', 'hclReport.runtimeClaims')
  refused(judge(snpEvidence({ reportData: new Uint8Array(64).map((_, i) => (i < 32 ? bound(claimsBytes())[i] ?? 0 : 1)) })), 'evidence.binding')
  // It is told before anything about the hardware, even where that cannot be judged.
  const { certificates: _, ...bare } = snpEvidence({ reportData: new Uint8Array(64) })
  refused(judge(bare), 'evidence.binding', 'hclReport.runtimeClaims')
  // The hardware's judge has the last word on what was signed.
  refused(judge(snpEvidence(), { ...JUDGES, snp: (...input) => ({ ...JUDGES.snp(...input), reportData: '00' }) }), 'evidence.binding', 'hclReport.runtimeClaims')
  for (const hash of ['sha384', 'sha512'] as const) assert.ok(judge(snpEvidence({ reportData: bound(claimsBytes(), hash), hcl: { hash: hash === 'sha384' ? 2 : 3 } })).ok)
})

test('a report that the guest asked for itself binds nothing', () => {
  for (const vmpl of [1, 2, 3]) refused(judge(snpEvidence({ vmpl })), 'evidence.binding', 'hclReport.report.vmpl')
})

test('hardware is judged by its own room, and debug is passed on', () => {
  const { certificates: _, ...bare } = snpEvidence()
  refused(judge(bare), 'evidence.missing', 'certificates')
  refused(judge(snpEvidence(), { ...JUDGES, snp: () => refuse('evidence.chain', 'certificates', 'a pinned root', 'none') }), 'evidence.chain')
  refused(judge(snpEvidence(), JUDGES, NOW + 1000 * 86_400), 'x509.expired')
  assert.deepEqual([claims(snpEvidence({ policy: 0xb0000n })).debug, claims(snpEvidence({ policy: 0x70000n })).migration], [true, true])
})

test('parts of the other kind of hardware have no place', () => {
  refused(judge(snpEvidence({ evidence: { tdQuote: '' } })), 'evidence.parse', 'tdQuote')
  refused(judge(snpEvidence({ evidence: { collateral: {} } })), 'evidence.parse', 'tdQuote')
  refused(judge(tdxEvidence({ evidence: { certificates: [] } })), 'evidence.parse', 'certificates')
  refused(judge(tdxEvidence({ evidence: { crls: [] } })), 'evidence.parse', 'certificates')
})

test('the quote holds under the key that the claims name', () => {
  refused(judge(snpEvidence({ evidence: { message: toBase64(attestOf({ nonce: utf8('other'), selections: machineOf().selections })) } })), 'evidence.signature')
  refused(judge(snpEvidence({ evidence: { pcrs: machineOf(logOf(bootOf({ secure: false }))).pcrs } })), 'evidence.binding', 'pcrs')
  refused(judge(snpEvidence({ evidence: { signature: toBase64(new Uint8Array(256)) } })), 'evidence.signature')
})

test('shape: only known fields, all that must be there', () => {
  const json = { ...snpEvidence(), crls: [], tdQuote: '', collateral: {} }
  const plain = (value: unknown) => parseJsonObject(JSON.stringify(value))
  assert.deepEqual(JSON.parse(JSON.stringify(readAzure(plain(json)))), JSON.parse(JSON.stringify(json)))
  const { kind, hclReport, message, signature, pcrs } = json
  const least = { kind, hclReport, message, signature, pcrs }
  assert.deepEqual(JSON.parse(JSON.stringify(readAzure(plain(least)))), JSON.parse(JSON.stringify(least)))
  const bad: Record<string, Json>[] = [{ more: 1 }, { certificates: Array.from({ length: 9 }, () => '') }, { crls: Array.from({ length: 5 }, () => '') }, { pcrs: { md5: {} } }, { eventLog: 1 }, { tdQuote: 1 }, { collateral: 'x' }]
  for (const change of bad) refused(attempt(() => readAzure(plain({ ...json, ...change }))), 'evidence.parse')
  for (const name of ['hclReport', 'message', 'signature', 'pcrs']) refused(attempt(() => readAzure(plain({ ...json, [name]: undefined }))), 'evidence.parse')
})

test('single-bit flips of an HCL report are refused, each of its claims and a sample of the rest', () => {
  const evidence = snpEvidence()
  const bytes = fromBase64(evidence.hclReport)
  const flips = fc.oneof(fc.integer({ min: 0, max: 8 * bytes.length - 1 }), fc.integer({ min: 8 * 1216, max: 8 * bytes.length - 1 }))
  fc.assert(fc.property(flips, bit => {
    const flipped = bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
    const result = judge({ ...evidence, hclReport: toBase64(flipped) })
    // The version of the header is known in two forms; nothing hangs on it.
    assert.ok(!result.ok || (bit >> 3 >= 4 && bit >> 3 < 8), `bit ${bit}`)
  }), { numRuns: 60 })
})
