// Reports of real machines, and reports altered in one place, with the verdict and the fields each must give.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt } from '../../refusal.ts'
import { verifyEvidence } from '../index.ts'
import { parseReport, productOf, REPORT_BYTES, SIGNED_BYTES } from './report.ts'

interface Case { id: string; tee: string; files: { role: string; path: string }[]; chain?: string[]; valid_at: string | null; expect: { verdict: string; fields?: Record<string, unknown> } }
const folder = join(import.meta.dirname, '../../../../shared/vectors')
const missing = !existsSync(join(folder, 'MANIFEST.json'))
const cases: Case[] = missing ? [] : (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases.filter(one => one.tee === 'sev-snp' && one.files.some(file => file.role === 'report'))
const read = (path: string) => new Uint8Array(readFileSync(join(folder, path)))
const files = (one: Case, role: string) => one.files.filter(file => file.role === role).map(file => read(file.path))
const evidenceOf = (one: Case, report: Uint8Array = files(one, 'report')[0] ?? new Uint8Array()) => ({ kind: 'snp' as const, report: toBase64(report), certificates: [...files(one, 'vek'), ...(one.chain ?? []).map(read)].map(toBase64) })
const judge = (one: Case, report?: Uint8Array) => verifyEvidence(p, evidenceOf(one, report), { now: Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000) })

test('the vectors are here', { skip: missing ? 'no ../shared/vectors beside this checkout' : false }, () => assert.ok(cases.length >= 30))

for (const one of cases) {
  test(`${one.id}: ${one.expect.verdict}`, () => {
    const result = judge(one)
    const accepted = result.ok && !result.value.debug && !result.value.migration
    assert.equal(accepted, one.expect.verdict === 'accept', result.ok ? '' : JSON.stringify(result.refusal))
    const report = attempt(() => parseReport(files(one, 'report')[0] ?? new Uint8Array()))
    const fields = one.expect.fields
    if (!report.ok || fields === undefined) return
    const got: Record<string, unknown> = {
      version: report.value.version, guest_svn: report.value.guestSvn, vmpl: report.value.vmpl, signing_key: report.value.signer.toUpperCase(), policy: `0x${report.value.policy.toString(16)}`,
      platform_info: `0x${report.value.platformInfo.toString(16)}`, measurement: report.value.measurement, report_data: report.value.reportData, host_data: report.value.hostData,
      id_key_digest: report.value.idKeyDigest, author_key_digest: report.value.authorKeyDigest, family_id: report.value.familyId, image_id: report.value.imageId, report_id: report.value.reportId, report_id_ma: report.value.reportIdMa,
      chip_id: toHex(report.value.chipId), current_tcb: toHex(report.value.tcb.current), reported_tcb: toHex(report.value.tcb.reported), committed_tcb: toHex(report.value.tcb.committed), launch_tcb: toHex(report.value.tcb.launch),
    }
    for (const [key, value] of Object.entries(got)) if (key in fields && value !== fields[key]) assert.equal(String(value).toLowerCase(), String(fields[key]).toLowerCase(), key)
    assert.ok(report.value.cpuid === undefined || productOf(report.value) !== undefined)
  })
}

test('every flipped byte of a genuine report is refused, signed or not', { skip: missing }, () => {
  const one = cases.find(candidate => candidate.expect.verdict === 'accept' && candidate.id.includes('genoa')) ?? assert.fail('no case')
  const report = files(one, 'report')[0] ?? assert.fail('no report')
  assert.ok(judge(one).ok)
  const places = [...Array(REPORT_BYTES).keys()].filter(at => at >= SIGNED_BYTES || at % 7 === 0)
  for (const at of places) {
    const altered = report.slice()
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8))
    assert.ok(!judge(one, altered).ok, `byte 0x${at.toString(16)}`)
  }
})

test('a genuine report is refused as simulated evidence', { skip: missing }, () => {
  const one = cases.find(candidate => candidate.expect.verdict === 'accept') ?? assert.fail('no case')
  const result = verifyEvidence(p, { ...evidenceOf(one), kind: 'simulated' }, { now: Math.floor(Date.parse(one.valid_at ?? '') / 1000) })
  assert.ok(!result.ok)
  assert.equal(result.refusal.code, 'evidence.chain')
})
