import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise, type AppraisalPolicy } from '@cloister/core/appraisal/appraise'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import type { Claims, Evidence } from '@cloister/core/evidence/claims'
import { parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import { simulatedRoots } from '@cloister/core/evidence/simulated/root'
import { nodePrimitives as p } from '../../crypto/node.ts'
import { openSimulatedChip } from './simulated.ts'

const now = 1_790_000_000
const measurement = new Uint8Array(48).fill(7)
const hostData = new Uint8Array(32).fill(8)
const data = new Uint8Array(64).fill(9)
const chip = openSimulatedChip(now)
const evidence = chip.report({ measurement, hostData }, data)
const claimsOf = (one: Evidence): Claims => {
  const result = verifyEvidence(p, one, { now })
  return result.ok ? result.value : assert.fail(JSON.stringify(result.refusal))
}

test('a simulated report is judged by the real verifier and says what it is', () => {
  const claims = claimsOf(evidence)
  assert.equal(claims.tee, 'simulated')
  assert.equal(claims.simulated, true)
  assert.equal(claims.measurement, toHex(measurement))
  assert.equal(claims.hostData, toHex(hostData))
  assert.equal(claims.reportData, toHex(data))
})

test('nothing passes simulated evidence off as real', () => {
  const pinned = [...amdRoots(), ...simulatedRoots()].flatMap(set => [set.ark, ...set.intermediates].map(one => toBase64(one.der)))
  const tries: Evidence[] = [
    { ...evidence, kind: 'snp' },
    ...pinned.map(extra => ({ kind: 'snp' as const, report: evidence.report, certificates: [...evidence.certificates, extra] })),
    ...pinned.map(leaf => ({ kind: 'snp' as const, report: evidence.report, certificates: [leaf, ...evidence.certificates] })),
    { kind: 'snp', report: evidence.report, certificates: [...evidence.certificates, ...pinned] },
  ]
  for (const one of tries) assert.ok(!verifyEvidence(p, one, { now }).ok)
  assert.ok(!parseEvidence({ ...evidence, kind: 'real' }).ok)
  assert.ok(!parseEvidence({ ...evidence, simulated: false }).ok)
})

test('every single flipped bit of the evidence is refused', () => {
  const [certificate = ''] = evidence.certificates
  const cache = new Map()
  for (const [part, bytes] of [['report', fromBase64(evidence.report)], ['certificate', fromBase64(certificate)]] as const) {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const altered = bytes.slice()
      altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const one = part === 'report' ? { ...evidence, report: toBase64(altered) } : { ...evidence, certificates: [toBase64(altered)] }
      assert.ok(!verifyEvidence(p, one, part === 'report' ? { now, cache } : { now }).ok, `${part} bit ${bit}`)
    }
  }
})

test('a chip seals for one measurement, and another chip seals otherwise', () => {
  const key = toHex(chip.sealingKey(measurement))
  assert.equal(toHex(chip.sealingKey(measurement)), key)
  assert.notEqual(toHex(chip.sealingKey(new Uint8Array(48))), key)
  assert.notEqual(toHex(openSimulatedChip(now).sealingKey(measurement)), key)
})

const policy: AppraisalPolicy = { tee: ['simulated'], tcb: 'current', measurements: [{ tee: 'simulated', hex: toHex(measurement), name: 'guest' }], reportData: toHex(data), distrust: {} }

test('appraisal accepts what the policy names and affirms no simulated hardware', () => {
  const result = appraise(p, claimsOf(evidence), policy, now)
  assert.ok(result.ok)
  assert.equal(result.value.ear.submods['cpu0']?.['ear.status'], 'contraindicated')
})

test('appraisal refuses each failing fact under its own code', () => {
  const claims = claimsOf(evidence)
  const debugged = claimsOf(chip.report({ measurement, hostData, policy: 0x30000n | (1n << 19n) }, data))
  const migrating = claimsOf(chip.report({ measurement, hostData, policy: 0x30000n | (1n << 18n) }, data))
  const lower = claimsOf(chip.report({ measurement, hostData, vmpl: 2 }, data))
  const real: Claims = { ...claims, tee: 'snp', simulated: false, product: 'Milan' }
  const realPolicy = { ...policy, tee: ['snp' as const], measurements: [{ tee: 'snp' as const, hex: toHex(measurement), name: 'guest' }] }
  assert.ok(claims.facts.kind === 'snp')
  const old: Claims = { ...claims, facts: { ...claims.facts, tcb: { ...claims.facts.tcb, reported: { ...claims.facts.tcb.reported, snp: 1 } } } }
  const cases: [string, Claims, AppraisalPolicy, number][] = [
    ['place.tee', claims, { ...policy, tee: ['snp'] }, now], ['evidence.report-data', claims, { ...policy, reportData: '00'.repeat(64) }, now], ['evidence.report-data', claims, { ...policy, reportData: '' }, now],
    ['appraisal.debug', debugged, policy, now], ['appraisal.migration', migrating, policy, now], ['appraisal.vmpl', lower, policy, now], ['appraisal.expired', claims, policy, now + 1e9],
    ['appraisal.measurement', claims, { ...policy, measurements: [] }, now], ['appraisal.host-data', claims, { ...policy, hostData: '00'.repeat(32) }, now], ['appraisal.tcb', old, policy, now],
    ['appraisal.chip', claims, { ...policy, chips: [] }, now], ['appraisal.distrusted', claims, { ...policy, distrust: { chips: [claims.chipId] } }, now], ['appraisal.distrusted', real, { ...realPolicy, distrust: { products: ['Milan'] } }, now],
  ]
  for (const [code, given, rule, time] of cases) {
    const result = appraise(p, given, rule, time)
    assert.ok(!result.ok, code)
    assert.equal(result.refusal.code, code)
  }
})

test('a remembered chain is judged by its time again, and by its exact bytes', () => {
  const cache = new Map()
  assert.ok(verifyEvidence(p, evidence, { now, cache }).ok)
  assert.ok(verifyEvidence(p, evidence, { now, cache }).ok)
  assert.equal(cache.size, 1)
  const late = verifyEvidence(p, evidence, { now: now + 20 * 365 * 86_400, cache })
  assert.ok(!late.ok)
  assert.equal(late.refusal.code, 'x509.expired')
  const altered = fromBase64(evidence.certificates[0] ?? '').slice()
  altered[altered.length - 1] = (altered[altered.length - 1] ?? 0) ^ 1
  assert.ok(!verifyEvidence(p, { ...evidence, certificates: [toBase64(altered)] }, { now, cache }).ok)
  assert.ok(!verifyEvidence(p, { ...evidence, kind: 'snp' }, { now, cache }).ok)
})
