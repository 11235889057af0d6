// Every check of appraisal on the claims of synthetic SNP evidence: one policy that is satisfied, and each way in which one is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Claims } from '../evidence/claims.ts'
import { arkList, DAY, judgeParts, NOW, quick as p, snpInput, TCB, testRoots, type SnpPlan } from '../evidence/snp/snp.fixture.ts'
import type { RefusalCode } from '../refusal.ts'
import { appraise, shortfall, type Appraisal, type AppraisalPolicy } from './appraise.ts'

const claimsOf = (plan: SnpPlan = {}): Claims => judgeParts(p, snpInput(plan))
const claims = claimsOf()
const policy: AppraisalPolicy = {
  tee: ['snp'], tcb: 'current', measurements: [{ tee: 'snp', hex: claims.measurement, name: 'guest' }], reportData: claims.reportData, hostData: claims.hostData, distrust: {},
}
const judge = (change: Partial<AppraisalPolicy> = {}, made: Claims = claims, now = NOW) => appraise(p, made, { ...policy, ...change }, now)
function accepted(change: Partial<AppraisalPolicy> = {}, made: Claims = claims, now = NOW): Appraisal {
  const result = judge(change, made, now)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}
function refused(code: RefusalCode, at: string, change: Partial<AppraisalPolicy> = {}, made: Claims = claims, now = NOW): { expected: string; got: string; fix?: string } {
  const result = judge(change, made, now)
  assert.ok(!result.ok, `accepted, expected ${code}`)
  assert.deepEqual([result.refusal.code, result.refusal.at], [code, at])
  return result.refusal
}
const check = (appraisal: Appraisal, id: string) => appraisal.checks.find(one => one.id === id)
const vector = (appraisal: Appraisal) => appraisal.ear.submods['cpu0']?.['ear.trustworthiness-vector']
const policyBits = (bits: bigint): SnpPlan => ({ report: (_, view) => view.setBigUint64(8, (1n << 17n) | bits, true) })

test('claims that satisfy a policy: every check is listed, held or not made', () => {
  const appraisal = accepted()
  assert.equal(appraisal.reference, 'guest')
  assert.equal(appraisal.tcb, 'current')
  assert.deepEqual(appraisal.claims, claims)
  const held = ['validity', 'report-data', 'debug', 'migration', 'vmpl', 'distrust', 'measurement', 'tcb']
  const notMade = ['chip', 'revocation', 'place']
  assert.deepEqual(appraisal.checks.filter(one => one.result === 'held').map(one => one.id).sort(), [...held].sort())
  assert.deepEqual(appraisal.checks.filter(one => one.result === 'not made').map(one => one.id).sort(), [...notMade].sort())
  assert.equal(check(appraisal, 'debug')?.detail, 'off')
  assert.equal(check(appraisal, 'migration')?.detail, 'off')
  assert.equal(check(appraisal, 'vmpl')?.detail, '0')
  assert.equal(check(appraisal, 'chip')?.detail, 'any chip of the vendor')
})

test('the result is an EAR that speaks for five minutes', () => {
  const { ear } = accepted()
  assert.deepEqual([ear.eat_profile, ear.iat, ear.exp], ['tag:ietf.org,2026:rats/ear#04', NOW, NOW + 300])
  const cpu = ear.submods['cpu0']
  assert.equal(cpu?.['ear.status'], 'affirming')
  assert.deepEqual(cpu?.['ear.trustworthiness-vector'], { 'instance-identity': 0, configuration: 2, executables: 2, hardware: 2, 'runtime-opaque': 2 })
  assert.equal(cpu?.['ear.appraisal-policy-id'], hashOf(p, utf8(jcs(policy))))
  assert.deepEqual(cpu?.['ear.trustee.annotated-evidence'], { tee: 'snp', simulated: false, measurement: claims.measurement, host_data: claims.hostData, product: 'Genoa' })
})

test('only kinds of machine that the policy names', () => {
  accepted({ tee: ['tdx', 'snp'] })
  assert.equal(refused('place.tee', 'claims.tee', { tee: ['tdx', 'sgx'] }).fix, undefined)
  refused('place.tee', 'claims.tee', { tee: [] })
  const simulated = judgeParts(p, snpInput({}, { roots: [{ ...testRoots('Genoa'), simulated: true }] }))
  assert.match(refused('place.tee', 'claims.tee', {}, simulated).fix ?? '', /simulated/)
  const appraisal = accepted({ tee: ['simulated'], measurements: [{ tee: 'simulated', hex: claims.measurement, name: 'guest' }] }, simulated)
  assert.equal(vector(appraisal)?.hardware, 32)
  assert.equal(appraisal.ear.submods['cpu0']?.['ear.status'], 'warning')
})

test('within the time of every certificate, both ends included', () => {
  for (const now of [NOW - 10 * DAY, NOW + 10 * DAY]) accepted({}, claims, now)
  for (const now of [NOW - 10 * DAY - 1, NOW + 10 * DAY + 1]) refused('appraisal.expired', 'claims.validity', {}, claims, now)
})

test('bound to this session and to what was launched (attacks.md rows 58 to 61)', () => {
  for (const reportData of ['', claims.reportData.slice(2), `${claims.reportData.slice(0, -1)}0`, claims.reportData.toUpperCase()]) refused('evidence.report-data', 'claims.reportData', { reportData })
  refused('appraisal.host-data', 'claims.hostData', { hostData: '00'.repeat(32) })
  refused('appraisal.host-data', 'claims.hostData', { hostData: '' })
  const { hostData: _, ...judgedElsewhere } = policy
  assert.ok(appraise(p, claims, judgedElsewhere, NOW).ok)
})

test('debug and migration are refused unless the policy says so aloud, and then it is written down (attacks.md rows 37)', () => {
  const [debug, migration] = [claimsOf(policyBits(1n << 19n)), claimsOf(policyBits(1n << 18n))]
  refused('appraisal.debug', 'claims.debug', {}, debug)
  refused('appraisal.migration', 'claims.migration', {}, migration)
  refused('appraisal.debug', 'claims.debug', { allowMigration: true }, debug)
  refused('appraisal.migration', 'claims.migration', { allowDebug: true }, migration)
  const debugged = accepted({ allowDebug: true }, debug)
  assert.deepEqual(check(debugged, 'debug'), { id: 'debug', result: 'not made', detail: 'ALLOWED by policy' })
  assert.deepEqual([vector(debugged)?.configuration, vector(debugged)?.['runtime-opaque']], [32, 32])
  const migrated = accepted({ allowMigration: true }, migration)
  assert.deepEqual(check(migrated, 'migration'), { id: 'migration', result: 'not made', detail: 'ALLOWED by policy' })
  assert.deepEqual([vector(migrated)?.configuration, vector(migrated)?.['runtime-opaque']], [32, 2])
})

test('privilege level: 0 unless the policy goes further (attacks.md row 35)', () => {
  const at = (vmpl: number) => claimsOf({ report: bytes => { bytes[0x30] = vmpl } })
  refused('appraisal.vmpl', 'claims.vmpl', {}, at(1))
  accepted({ vmplMax: 2 }, at(2))
  refused('appraisal.vmpl', 'claims.vmpl', { vmplMax: 2 }, at(3))
  assert.equal(check(accepted({ vmplMax: 2 }, at(1)), 'vmpl')?.detail, '1')
})

test('what is distrusted: product lines, chips, certificates (attacks.md row 127)', () => {
  refused('appraisal.distrusted', 'claims.product', { distrust: { products: ['Milan', 'Genoa'] } })
  accepted({ distrust: { products: ['Milan'], chips: ['00'], endorsements: [`sha256:${'00'.repeat(32)}`] } })
  refused('appraisal.distrusted', 'claims.chipId', { distrust: { chips: ['00', claims.chipId] } })
  for (const one of claims.endorsements) assert.equal(refused('appraisal.distrusted', 'claims.endorsements', { distrust: { endorsements: ['sha256:00', one] } }).got, one)
  const simulated = judgeParts(p, snpInput({}, { roots: [{ ...testRoots('Genoa'), simulated: true }] }))
  accepted({ tee: ['simulated'], measurements: [{ tee: 'simulated', hex: claims.measurement, name: 'guest' }], distrust: { products: ['Genoa'] } }, simulated)
})

test('chips that may be used (attacks.md row 126)', () => {
  const listed = accepted({ chips: ['00', claims.chipId] })
  assert.deepEqual(check(listed, 'chip'), { id: 'chip', result: 'held', detail: claims.chipId })
  assert.equal(vector(listed)?.['instance-identity'], 2)
  refused('appraisal.chip', 'claims.chipId', { chips: ['00'] })
  refused('appraisal.chip', 'claims.chipId', { chips: [] })
})

test('known measurements of this kind of machine, and no others (attacks.md row 57)', () => {
  const other = { tee: 'snp', hex: '00'.repeat(48), name: 'other' } as const
  assert.equal(accepted({ measurements: [other, ...policy.measurements] }).reference, 'guest')
  assert.match(refused('appraisal.measurement', 'claims.measurement', { measurements: [other] }).expected, /other/)
  assert.match(refused('appraisal.measurement', 'claims.measurement', { measurements: [] }).expected, /a reference value for snp/)
  assert.match(refused('appraisal.measurement', 'claims.measurement', { measurements: [{ tee: 'tdx', hex: claims.measurement, name: 'guest' }] }).expected, /a reference value for snp/)
})

test('patch levels, part by part and level by level, of each line (attacks.md rows 39)', () => {
  for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
    assert.equal(shortfall(claimsOf({ product })), undefined, product)
    TCB[product].forEach((level, i) => {
      if (level === 0) return
      const lower = TCB[product].map((own, j) => (i === j ? own - 1 : own))
      const lacking = claimsOf({ product, tcb: lower })
      for (const which of ['reported', 'committed', 'launch']) assert.match(shortfall(lacking) ?? '', new RegExp(`${which} \\w+ is ${level - 1}, needs ${level}`), product)
      refused('appraisal.tcb', 'claims.tcb', {}, lacking)
      const outdated = accepted({ tcb: 'any' }, lacking)
      assert.deepEqual([outdated.tcb, check(outdated, 'tcb')?.result, vector(outdated)?.hardware, outdated.ear.submods['cpu0']?.['ear.status']], ['outdated', 'not made', 32, 'warning'])
      assert.equal(shortfall(claimsOf({ product, tcb: TCB[product].map((own, j) => (i === j ? own + 1 : own)) })), undefined)
    })
  }
  const committed = claimsOf({ report: bytes => { bytes[0x1e0 + 7] = 0x53 } })
  assert.match(shortfall(committed) ?? '', /^committed ucode is 83, needs 84$/)
  assert.match(shortfall(claimsOf({ report: bytes => { bytes[0x1f0 + 6] = 0x16 } })) ?? '', /^launch snp is 22, needs 23$/)
  assert.equal(accepted({ tcb: 'any' }).tcb, 'current')
})

test('whether the vendor\'s list was examined is said', () => {
  const examined = accepted({}, judgeParts(p, snpInput({}, { crls: [arkList()] })))
  assert.deepEqual(check(examined, 'revocation'), { id: 'revocation', result: 'held', detail: 'vendor list examined' })
  assert.equal(check(accepted(), 'revocation')?.detail, 'no revocation list travelled with the evidence')
})
