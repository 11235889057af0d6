// Collateral beside evidence: it fills the fields that are collateral, and never what the machine signed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../bytes/json.ts'
import { withCollateral, withoutCollateral } from './endorse.ts'

const evidence = { kind: 'snp', report: 'AA==', certificates: ['BB=='] }
const given = (json: JsonObject | string) => withCollateral(evidence, json)

test('what is given is exchanged, what is not stays', () => {
  assert.deepEqual(given({ crls: ['MII'] }), { ok: true, value: { ...evidence, crls: ['MII'] } })
  assert.deepEqual(given({ certificates: [] }), { ok: true, value: { kind: 'snp', report: 'AA==', certificates: [] } })
  assert.deepEqual(given({ tcb_info: '{}', more: 1 }), { ok: true, value: { ...evidence, collateral: { tcb_info: '{}', more: 1 } } })
})

test('what a machine signed cannot be exchanged', () => {
  for (const [json, at] of [[{ report: '' }, 'collateral.report'], [{ kind: 'tdx' }, 'collateral.kind'], ['text', 'collateral']] as const) {
    const result = given(json)
    assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, result.refusal.at], ['evidence.collateral', at])
  }
})

test('without collateral stays what the machine says', () => {
  assert.deepEqual(withoutCollateral({ ...evidence, crls: [], collateral: {}, rims: [], ocsp: [], eventLog: '' }), { kind: 'snp', report: 'AA==', eventLog: '' })
})
