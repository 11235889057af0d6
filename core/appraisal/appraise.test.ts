// Every check of appraisal on the claims of synthetic SNP evidence: one policy that is satisfied, and each way in which one is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import { portable } from '../crypto/portable.ts'
import type { Claims } from '../evidence/claims.ts'
import { evidenceOf, NOW as QUOTED, root } from '../evidence/dcap/dcap.fixture.ts'
import type { DcapStatus } from '../evidence/dcap/status.ts'
import { verifyDcap } from '../evidence/dcap/verify.ts'
import { arkList, DAY, judgeParts, NOW, quick as p, snpInput, TCB, testRoots, type SnpPlan } from '../evidence/snp/snp.fixture.ts'
import type { RefusalCode } from '../refusal.ts'
import { appraise, shortfall, type Appraisal, type AppraisalPolicy } from './appraise.ts'

const claimsOf = (plan: SnpPlan = {}): Claims => judgeParts(p, snpInput(plan))
const claims = claimsOf()
const policy: AppraisalPolicy = {
  tee: ['snp'], tcb: 'current', measurements: [{ tee: 'snp', hex: claims.measurement, name: 'guest' }], reportData: claims.reportData, hostData: claims.hostData, distrust: {},
}
/** A trust domain, judged once, as if its documents were valid for the same time as the report above. */
const domain = { ...verifyDcap(portable, evidenceOf(), { now: QUOTED }, root), validity: claims.validity }
const TDX = {
  tee: ['tdx'], reportData: domain.reportData, hostData: domain.hostData,
  measurements: [{ tee: 'tdx', hex: domain.measurement, name: 'image', registers: { RTMR1: domain.registers['RTMR1'] ?? '' } }],
} as const satisfies Partial<AppraisalPolicy>
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
  const notMade = ['age', 'chip', 'owner', 'registers', 'revocation', 'place']
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
  assert.equal(vector(appraisal)?.hardware, 97)
  assert.equal(appraisal.ear.submods['cpu0']?.['ear.status'], 'contraindicated')
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
  assert.deepEqual([vector(debugged)?.configuration, vector(debugged)?.['runtime-opaque'], debugged.ear.submods['cpu0']?.['ear.status']], [32, 32, 'warning'])
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

test('a status below up to date is accepted only where the policy names it; a revoked platform only by its name', () => {
  const old = claimsOf({ tcb: TCB.Genoa.map(level => Math.max(0, level - 1)) })
  refused('appraisal.tcb', 'claims.tcb', { statuses: ['SWHardeningNeeded'] }, old)
  assert.equal(accepted({ statuses: ['OutOfDate'] }, old).tcb, 'outdated')
  const intel = (status: DcapStatus) => ({ ...domain, facts: { ...domain.facts, status } })
  for (const status of ['SWHardeningNeeded', 'OutOfDate', 'TDRelaunchAdvised'] as const) {
    refused('appraisal.tcb', 'claims.tcb', TDX, intel(status))
    assert.equal(accepted({ ...TDX, statuses: [status] }, intel(status)).tcb, 'outdated')
    assert.equal(accepted({ ...TDX, tcb: 'any' }, intel(status)).ear.submods['cpu0']?.['ear.status'], 'warning')
  }
  assert.match(refused('appraisal.tcb', 'claims.tcb', { ...TDX, tcb: 'any' }, intel('Revoked')).fix ?? '', /another machine/)
  accepted({ ...TDX, statuses: ['Revoked'] }, intel('Revoked'))
})

test('kinds that state no patch levels are never current', () => {
  const nitro: Claims = { ...claims, tee: 'nitro', facts: { kind: 'nitro', moduleId: 'i-1', digest: 'SHA384', timestampMs: 0, publicKey: '', userData: '', nonce: '', debug: false } }
  const change = { tee: ['nitro'], measurements: [{ tee: 'nitro', hex: claims.measurement, name: 'enclave' }] } as const
  assert.match(refused('appraisal.tcb', 'claims.tcb', change, nitro).got, /states no patch levels/)
  assert.equal(accepted({ ...change, tcb: 'any' }, nitro).tcb, 'outdated')
})

test('single claims can be demanded, by value or from below, and distrusted; what is absent satisfies nothing', () => {
  const good = accepted({ demand: { product: ['Milan', 'Genoa'], 'facts.vmpl': [0], signer: ['vcek'] }, atLeast: { 'facts.tcb.reported.snp': TCB.Genoa[6] ?? 0 } })
  assert.deepEqual(['product', 'facts.vmpl', 'facts.tcb.reported.snp'].map(id => check(good, id)), [{ id: 'product', result: 'held', detail: 'Genoa' }, { id: 'facts.vmpl', result: 'held', detail: '0' }, { id: 'facts.tcb.reported.snp', result: 'held', detail: `at least ${TCB.Genoa[6]}` }])
  assert.equal(refused('appraisal.claim', 'claims.product', { demand: { product: ['Turin'] } }).got, 'Genoa')
  for (const path of ['facts.tdx.moduleVersion', 'facts', 'constructor', 'facts.__proto__', '', 'product.length']) {
    assert.equal(refused('appraisal.claim', `claims.${path}`, { demand: { [path]: ['1.5'] } }).got, 'no such claim')
    assert.equal(refused('appraisal.claim', `claims.${path}`, { atLeast: { [path]: 0 } }).got, 'no such claim')
  }
  refused('appraisal.claim', 'claims.facts.vmpl', { demand: { 'facts.vmpl': ['0'] } })
  refused('appraisal.claim', 'claims.facts.vmpl', { atLeast: { 'facts.vmpl': 1 } })
  refused('appraisal.claim', 'claims.product', { atLeast: { product: 1 } })
  refused('appraisal.distrusted', 'claims.facts.vmpl', { distrust: { claims: { 'facts.vmpl': [0] } } })
  accepted({ distrust: { claims: { 'facts.vmpl': [1], 'facts.nothing': [0] } } })
})

test('advisories: those that the policy names may stand, a distrusted one may not, and none is nothing to object to', () => {
  const advised = (advisories: readonly string[]): Claims => ({ ...domain, facts: { ...domain.facts, advisories } })
  const allow = { demand: { 'facts.advisories': ['INTEL-SA-00001', 'INTEL-SA-00002'] } }
  accepted({ ...TDX, ...allow }, advised([]))
  accepted({ ...TDX, ...allow }, advised(['INTEL-SA-00002']))
  assert.equal(refused('appraisal.claim', 'claims.facts.advisories', { ...TDX, ...allow }, advised(['INTEL-SA-00001', 'INTEL-SA-00003'])).got, 'INTEL-SA-00003')
  refused('appraisal.distrusted', 'claims.facts.advisories', { ...TDX, distrust: { claims: { 'facts.advisories': ['INTEL-SA-00003'] } } }, advised(['INTEL-SA-00001', 'INTEL-SA-00003']))
  refused('appraisal.claim', 'claims.facts.evaluation.tcb', { ...TDX, atLeast: { 'facts.evaluation.tcb': domain.facts.evaluation.tcb + 1 } }, domain)
  accepted({ ...TDX, atLeast: { 'facts.evaluation.tcb': domain.facts.evaluation.tcb, 'facts.oldestDate': domain.facts.oldestDate } }, domain)
  refused('appraisal.claim', 'claims.facts.oldestDate', { ...TDX, atLeast: { 'facts.oldestDate': '2099-01-01T00:00:00Z' } }, domain)
})

test('what the firmware boots must be named too, register by register', () => {
  const [reference] = TDX.measurements
  const other = { ...reference, name: 'other', registers: { RTMR1: '00'.repeat(48) } }
  assert.equal(accepted({ ...TDX, measurements: [other, reference] }, domain).reference, 'image')
  refused('appraisal.register', 'claims.registers.RTMR1', { ...TDX, measurements: [other] }, domain)
  refused('appraisal.register', 'claims.registers.PCR4', { ...TDX, measurements: [{ ...reference, registers: { PCR4: '00' } }] }, domain)
  const firmware = { tee: reference.tee, hex: reference.hex, name: 'firmware' }
  refused('appraisal.register', 'measurements.registers', { ...TDX, measurements: [firmware] }, domain)
  const loud = accepted({ ...TDX, measurements: [firmware], allowFirmwareOnly: true }, domain)
  assert.deepEqual([check(loud, 'registers')?.detail, vector(loud)?.executables, loud.ear.submods['cpu0']?.['ear.status']], ['ALLOWED by policy: whatever the firmware booted', 33, 'warning'])
})

test('a platform owner answers for chips until a time', () => {
  const acme = { name: 'acme', chips: ['00', claims.chipId], until: NOW + 1 }
  const owned = accepted({ owners: [{ name: 'else', chips: [] }, acme] })
  assert.deepEqual([check(owned, 'owner')?.detail, check(owned, 'chip')?.result, vector(owned)?.['instance-identity']], ['acme', 'held', 2])
  refused('appraisal.chip', 'claims.chipId', { owners: [acme] }, claims, NOW + 1)
  refused('appraisal.chip', 'claims.chipId', { owners: [{ name: 'else', chips: ['00'] }] })
  refused('appraisal.chip', 'claims.chipId', { owners: [] })
})

test('age and revocation, where the policy asks for them', () => {
  refused('appraisal.expired', 'claims.issuedAt', { maxAge: 60 })
  const signed = { ...claims, issuedAt: NOW - 60 }
  assert.equal(check(accepted({ maxAge: 60 }, signed), 'age')?.detail, 'at most 60 s')
  refused('appraisal.expired', 'claims.issuedAt', { maxAge: 59 }, signed)
  refused('appraisal.expired', 'claims.issuedAt', { maxAge: 60 }, { ...claims, issuedAt: NOW + 61 })
  accepted({ maxAge: 60 }, { ...claims, issuedAt: NOW + 60 })
  refused('appraisal.revocation', 'claims.revocation', { requireRevocation: true })
  accepted({ requireRevocation: true }, judgeParts(p, snpInput({}, { crls: [arkList()] })))
})

test('devices of a bundle: distrusted, or with firmware that nobody compared', () => {
  const gpu = (change: Partial<Claims> = {}, facts: object = {}): Claims => ({ ...claims, tee: 'nvidia', product: 'GH100', chipId: '09', endorsements: [], ...change, facts: { kind: 'nvidia', device: 'gpu', referenceComplete: true, ...facts } as never })
  const bundle = (...devices: Claims[]): Claims => ({ ...claims, devices })
  const judged = accepted({}, bundle(gpu(), gpu({ chipId: '0a' })))
  assert.deepEqual([Object.keys(judged.ear.submods), judged.ear.submods['device1']?.['ear.status'], check(judged, 'device 0')?.detail], [['cpu0', 'device0', 'device1'], 'affirming', 'GH100, nvidia'])
  refused('appraisal.distrusted', 'claims.devices[1].chipId', { distrust: { chips: ['0a'] } }, bundle(gpu(), gpu({ chipId: '0a' })))
  refused('appraisal.distrusted', 'claims.devices[0].product', { distrust: { products: ['GH100'] } }, bundle(gpu()))
  refused('appraisal.tcb', 'claims.devices[0]', {}, bundle(gpu({}, { referenceComplete: false })))
  const unknown = accepted({ tcb: 'any' }, bundle(gpu({}, { referenceComplete: false })))
  assert.deepEqual([check(unknown, 'device 0')?.result, unknown.ear.submods['device0']?.['ear.trustworthiness-vector'].executables, unknown.ear.submods['device0']?.['ear.status']], ['not made', 33, 'warning'])
})

test('the word of another verifier counts where the policy names it', () => {
  const told: Claims = { ...claims, facts: { kind: 'token', verifier: 'them', form: 'ear', issuer: '', status: 'UpToDate', advisories: [], nonces: [], statements: {} } }
  refused('appraisal.verifier', 'claims.facts.verifier', {}, told)
  refused('appraisal.verifier', 'claims.facts.verifier', { verifiers: ['others'] }, told)
  const named = accepted({ verifiers: ['them'] }, told)
  assert.deepEqual([named.tcb, check(named, 'verifier')], ['current', { id: 'verifier', result: 'held', detail: 'them' }])
  assert.match(refused('appraisal.tcb', 'claims.tcb', { verifiers: ['them'] }, { ...told, facts: { ...told.facts, status: '' } as never }).got, /them calls it nothing/)
})
