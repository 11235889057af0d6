// A policy file: what it may say, and that a misspelt or misshapen demand is refused and not ignored.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicyFile } from './policy.ts'

const LEAST = { tee: ['tdx'], measurements: [{ tee: 'tdx', hex: '00', name: 'image 7' }] }
const read = (change: Record<string, unknown>) => parsePolicyFile(JSON.stringify({ ...LEAST, ...change }))

test('the example of the docstring: current and trusting nothing but what it names', () => {
  const result = parsePolicyFile('{"tee":["tdx"],"measurements":[{"tee":"tdx","hex":"00","name":"image 7","registers":{"RTMR1":"11"}}],"statuses":["SWHardeningNeeded"]}')
  assert.ok(result.ok)
  assert.deepEqual([result.value.tee, result.value.tcb, result.value.distrust, result.value.statuses], [['tdx'], 'current', {}, ['SWHardeningNeeded']])
})

test('every field in its shape', () => {
  const whole = {
    tcb: 'any', statuses: ['OutOfDate'], reportData: 'ab'.repeat(64), hostData: '', distrust: { products: ['Milan'], chips: ['00'], endorsements: ['sha256:00'], claims: { 'facts.advisories': ['A'] } },
    demand: { product: ['Genoa'], 'facts.vmpl': [0], debug: [false] }, atLeast: { 'facts.evaluation.tcb': 18, 'facts.oldestDate': '2025-01-01T00:00:00Z' }, chips: ['00'], owners: [{ name: 'acme', chips: ['00'], until: 5 }, { name: 'b', chips: [] }],
    verifiers: ['azure'], maxAge: 60, requireRevocation: true, vmplMax: 3, allowDebug: true, allowMigration: true, allowFirmwareOnly: true, measurements: [{ tee: 'tdx', hex: '', name: 'x', registers: { RTMR1: '00' } }],
  }
  assert.ok(read(whole).ok)
})

test('what is unknown, missing or of another shape is refused by its name', () => {
  const bad: readonly [string, unknown][] = [
    ['tee', 'tdx'], ['tee', ['sample']], ['tcb', 'older'], ['statuses', 'OutOfDate'], ['statuses', [1]], ['reportData', 'AB'], ['reportData', 'a'], ['hostData', 0], ['measurements', {}], ['measurements', [{ tee: 'tdx', hex: '00' }]],
    ['measurements', [{ tee: 'tdx', hex: '00', name: 'x', register: {} }]], ['measurements', [{ tee: 'tdx', hex: '00', name: 'x', registers: { RTMR1: 'zz' } }]], ['distrust', { product: ['Milan'] }], ['distrust', []],
    ['demand', { product: 'Genoa' }], ['demand', { product: [null] }], ['atLeast', { a: true }], ['atLeast', { a: -1 }], ['chips', ['0x00']], ['chips', ['00', 'zz']], ['atLeast', { a: 1, b: true }], ['measurements', [{ tee: 'tdx', hex: '00', name: 'x', registers: { RTMR1: '00', RTMR2: 'zz' } }]], ['owners', [{ name: 'acme' }]], ['owners', [{ name: 'acme', chips: [], until: '2027' }]],
    ['verifiers', 'azure'], ['maxAge', -1], ['maxAge', 1.5], ['requireRevocation', false], ['vmplMax', 4], ['allowDebug', false], ['allowMigration', 1], ['allowFirmwareOnly', 'yes'], ['statusses', []], ['toString', 1],
  ]
  for (const [key, value] of bad) {
    const result = read({ [key]: value })
    assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, result.refusal.at], ['appraisal.policy', key], JSON.stringify(value))
  }
  for (const key of ['tee', 'measurements']) {
    const result = read({ [key]: undefined })
    assert.deepEqual(result.ok ? 'accepted' : [result.refusal.at, result.refusal.got], [key, 'nothing'])
  }
})
