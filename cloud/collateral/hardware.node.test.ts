// Documents of real vendors: which are filed, and that bare evidence of real machines is complete with them again.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'
import { toBase64 } from '@cloister/core/bytes/base64'
import type { JsonObject } from '@cloister/core/bytes/json'
import { readPem } from '@cloister/core/crypto/pem'
import { parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { addCollateral } from './add.ts'
import { collateralFor, collateralThenAndNow } from './fill.ts'
import { openCollateral } from './store.ts'

interface Case { readonly id: string; readonly tee: string; readonly valid_at: string | null; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly expect: { readonly verdict: string; readonly tcb_status?: string } }
const vectors = join(import.meta.dirname, '../../../shared/vectors')
const missing = existsSync(join(vectors, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
// The manifest's form is documented beside it.
const cases = missing === false ? (JSON.parse(readFileSync(join(vectors, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases : []
const read = (path: string) => new Uint8Array(readFileSync(join(vectors, path)))
const fileOf = (one: Case, role: string) => one.files.find(file => file.role === role)?.path
const atOf = (one: Case) => Math.floor(Date.parse(one.valid_at ?? '2026-01-01') / 1000)

const folder = mkdtempSync(join(tmpdir(), 'cloister-collateral-'))
after(() => rmSync(folder, { recursive: true }))
const store = openCollateral(folder)
const NOW = Date.parse('2026-11-20') / 1000

const ROLES = ['vek', 'crl', 'collateral', 'rim', 'rim-driver', 'rim-vbios', 'rim-bios', 'chain', 'ocsp', 'td_quote', 'quote', 'pck', 'tcb_info', 'qe_identity']
const paths = [...new Set(cases.flatMap(one => one.files.filter(file => ROLES.includes(file.role) && ['sev-snp', 'tdx', 'sgx', 'nvidia'].includes(one.tee)).map(file => file.path)))]

test('every document that a vendor signed is filed, in whichever form it came; those that are altered are refused', { skip: missing }, () => {
  const reports = addCollateral(p, store, paths.map(path => ({ name: basename(path), bytes: read(path) })).slice(0, 256), NOW)
  const refused = new Set(reports.flatMap(({ outcome }, i) => (outcome.ok ? [] : [paths[i] ?? ''])))
  const accepted = cases.filter(one => one.expect.verdict === 'accept' && ['sev-snp', 'tdx', 'sgx', 'nvidia'].includes(one.tee) && !one.id.includes('rimparse'))
  assert.ok(accepted.length > 30)
  for (const one of accepted) for (const file of one.files) assert.ok(!refused.has(file.path), `${one.id}: ${file.path}`)
  for (const id of ['nv-rim-incorrect_signature_driver_rim', 'nv-rim-nv_switch_bios_5612_0002_890_9610550001_invalid_signature', 'intel-qvl-sample-sgx']) {
    assert.ok([...refused].some(path => path.includes(id)), id)
  }
  const kinds = new Map<string, number>()
  for (const { kind } of store.list().entries) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  assert.ok((kinds.get('intel-pck-crl') ?? 0) >= 13 && (kinds.get('intel-tcb-info') ?? 0) >= 20 && (kinds.get('amd-vek') ?? 0) >= 15 && (kinds.get('nvidia-rim') ?? 0) >= 4 && (kinds.get('nvidia-ocsp') ?? 0) === 7)
})

/** Evidence as the machine gave it, without anything that a vendor publishes. */
function bare(one: Case): JsonObject | undefined {
  const [report, quote, chain] = [fileOf(one, 'report'), fileOf(one, 'quote'), fileOf(one, 'chain')]
  if (one.tee === 'sev-snp' && report !== undefined) return { kind: 'snp', report: toBase64(read(report)), certificates: [] }
  if ((one.tee === 'tdx' || one.tee === 'sgx') && quote !== undefined) return { kind: one.tee, quote: toBase64(read(quote)) }
  if (one.tee === 'nvidia' && report !== undefined && chain !== undefined) return { kind: 'nvidia', report: toBase64(read(report)), certificates: readPem(readFileSync(join(vectors, chain), 'utf8'), 'CERTIFICATE').map(toBase64) }
  return undefined
}

test('bare evidence that the manifest accepts is complete with the store, and holds', { skip: missing }, () => {
  let judged = 0
  for (const one of cases.filter(each => each.expect.verdict === 'accept')) {
    const evidence = bare(one)
    if (evidence === undefined) continue
    const completed = orRefuse(collateralFor(p, store, evidence, atOf(one)))
    const claims = verifyEvidence(p, orRefuse(parseEvidence(completed.evidence)), { now: atOf(one) })
    assert.ok(claims.ok, `${one.id}: ${JSON.stringify(claims)} ${JSON.stringify(completed.missing)}`)
    assert.deepEqual(completed.missing.filter(missed => missed.needed), [], one.id)
    judged++
  }
  assert.ok(judged >= 25, String(judged))
})

test('the same machine with the collateral of two times: up to date then, out of date later', { skip: missing }, () => {
  const one = cases.find(each => each.id === 'tdx-gcp-cos113-uptodate-2025') ?? assert.fail('no such case')
  const times = { asOf: Date.parse('2025-10-20') / 1000, now: Date.parse('2026-02-10') / 1000 }
  const { then, today } = orRefuse(collateralThenAndNow(p, store, bare(one) ?? {}, times))
  const status = (evidence: JsonObject, now: number) => {
    const { facts } = orRefuse(verifyEvidence(p, orRefuse(parseEvidence(evidence)), { now }))
    return facts.kind === 'dcap' ? [facts.status, facts.evaluation.tcb] : []
  }
  assert.deepEqual([status(then.evidence, times.asOf), status(today.evidence, times.now)], [['UpToDate', 17], ['OutOfDate', 18]])
})

test('a GPU with its manifests and the answers of that day', { skip: missing }, () => {
  const one = cases.find(each => each.id === 'nv-hopper-550.90.07-full-rim') ?? assert.fail('no such case')
  const at = Date.parse('2025-08-21T23:00:00Z') / 1000
  const { evidence, missing: lacking } = orRefuse(collateralFor(p, store, bare(one) ?? {}, at))
  const { facts } = orRefuse(verifyEvidence(p, orRefuse(parseEvidence(evidence)), { now: at }))
  assert.ok(facts.kind === 'nvidia' && facts.referenceComplete)
  assert.deepEqual(lacking.map(({ what, needed }) => [what.split(' for that')[0], needed]), ['HCC RIM L4 Signer', 'NVIDIA Reference Value L3 GH100 002', 'NVIDIA Reference Value GH100 CA'].map(name => [`an OCSP answer about ${name}`, false]), 'those of the manifests are of another day')
})
