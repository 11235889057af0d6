// Documents that guests of other systems wrote on real machines, read and judged under the vendors' roots.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toBase64 } from '../../bytes/base64.ts'
import { parseJson, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { writePem } from '../../crypto/pem.ts'
import { portable as p } from '../../crypto/portable.ts'
import { orRefuse } from '../../refusal.ts'
import { readForeign, verifyForeign, type ForeignGiven, type ForeignOptions } from './foreign.ts'

interface Case { id: string; files: { role: string; path: string }[]; valid_at: string | null; expect: { fields: Record<string, unknown> } }
const folder = join(import.meta.dirname, '../../../../shared/vectors')
const missing = existsSync(join(folder, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
const cases: Case[] = missing === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases : []
const caseOf = (id: string) => cases.find(one => one.id === id) ?? assert.fail(id)
const bytes = (one: Case, role: string) => new Uint8Array(readFileSync(join(folder, one.files.find(part => part.role === role)?.path ?? '')))
const file = (one: Case, role = 'evidence'): Json => parseJson(readFileSync(join(folder, one.files.find(part => part.role === role)?.path ?? '')), { bytes: 8 << 20, depth: 16, entries: 100_000, string: 4 << 20 })
const at = (one: Case) => Math.floor(Date.parse(one.valid_at ?? '2026-01-01T00:00:00Z') / 1000)
const judge = (json: Json, options: ForeignOptions, given?: ForeignGiven) => verifyForeign(p, orRefuse(readForeign(p, json, given)), options)

for (const id of ['azure-snp-genoa', 'azure-snp-milan-v1']) {
  test(`${id}: Confidential Containers on Azure`, { skip: missing }, () => {
    const one = caseOf(id)
    const got = orRefuse(judge(file(one), { now: at(one) }))
    assert.deepEqual([got.form, got.claims.tee, got.claims.reportData, got.claims.registers['PCR4']], ['coco-az-snp-vtpm', 'azure-snp', one.expect.fields['nonce'], (one.expect.fields['pcrs'] as Record<string, string>)['4']])
  })
}

test('azure-tdx-v1: without Intel\'s collateral it is not judged', { skip: missing }, () => {
  const one = caseOf('azure-tdx-v1')
  const result = judge(file(one), { now: at(one) })
  assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, result.refusal.at], ['evidence.missing', 'collateral'])
})

test('tpm-trustee: the key is believed where it was enrolled', { skip: missing }, () => {
  const one = caseOf('tpm-trustee')
  const json = file(one) as JsonObject
  const result = judge(json, { now: at(one) })
  assert.equal(result.ok ? 'accepted' : result.refusal.code, 'evidence.signer')
  const ak = (result.ok ? '' : result.refusal.got)
  const got = orRefuse(judge(json, { now: at(one), aks: [ak] }))
  assert.deepEqual([got.form, got.claims.reportData], ['coco-tpm', one.expect.fields['nonce']])
})

test('a dstack guest: quote, log and app, with collateral of its time', { skip: missing }, () => {
  const one = caseOf('evlog-dstack-quote-report')
  const quoted = caseOf('tdx-dstack-quote-report')
  const given = { collateral: file(quoted, 'collateral') }
  const got = orRefuse(judge(file(one), { now: at(quoted) }, given))
  const events = new Map(one.expect.fields['rtmr3_events'] as [string, string][])
  assert.deepEqual([got.form, got.claims.tee, got.claims.reportData], ['dstack-quote', 'tdx', one.expect.fields['report_data']])
  assert.deepEqual([got.app?.['app-id'], got.app?.['compose-hash']], [events.get('app-id'), events.get('compose-hash')])
  const json = file(one) as JsonObject
  for (const change of [{ report_data: '00' }, { event_log: String(json['event_log']).replace('compose-hash', 'compose-hasj') }]) assert.ok(!judge({ ...json, ...change }, { now: at(quoted) }, given).ok)
})

for (const [id, count] of [['nv-ppcie-8xhopper', 8], ['nv-ppcie-4xls10', 4]] as const) {
  test(`${id}: devices as NVIDIA's SDK writes them`, { skip: missing }, () => {
    const one = caseOf(id)
    const got = orRefuse(judge(file(one), { now: at(one) }))
    assert.deepEqual([got.form, got.beside.length, got.topology?.absent.length !== 0], ['nvidia-sdk', count - 1, true])
    assert.ok(!judge(file(one), { now: at(one), whole: true }).ok)
  })
}

for (const id of ['snp-aci-genoa-v3', 'snp-aci-turin-v5', 'snp-aci-sidecar-milan-v3']) {
  test(`${id}: Azure's confidential containers, report and VCEK as CCF passes them on`, { skip: missing }, () => {
    const one = caseOf(id)
    const json = { evidence: toBase64(bytes(one, 'report')), endorsements: toBase64(utf8(writePem('CERTIFICATE', bytes(one, 'vek')))) }
    const got = orRefuse(judge(json, { now: at(one) }))
    assert.deepEqual([got.form, got.claims.measurement, got.claims.hostData], ['azure-containers', one.expect.fields['measurement'], one.expect.fields['host_data']])
  })
}
