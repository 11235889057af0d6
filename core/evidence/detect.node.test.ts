// Every file of the real cases is recognized for what it is, and the files of each accepted case make the evidence that its judge accepts.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { portable as p } from '../crypto/portable.ts'
import { orRefuse } from '../refusal.ts'
import { assemble, detect, type NamedFile, type What } from './detect.ts'
import { parseEvidence, verifyEvidence } from './index.ts'

const folder = join(import.meta.dirname, '../../../shared/vectors')
const skip = existsSync(join(folder, 'MANIFEST.json')) ? false : 'the shared vectors are not here'
interface Case { readonly id: string; readonly tee: string; readonly kind?: string; readonly valid_at: string | null; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly chain?: readonly string[]; readonly expect: { readonly verdict: string } }
// The manifest's form is documented beside it.
const cases = skip === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases : []
const file = (path: string): NamedFile => ({ name: path, bytes: new Uint8Array(readFileSync(join(folder, path))) })
const whats = (path: string): What[] => {
  const found = detect(p, file(path))
  return found.ok ? found.value.map(piece => piece.what) : assert.fail(`${path}: ${JSON.stringify(found.refusal)}`)
}

const ROLES: Readonly<Record<string, What>> = {
  report: 'snp-report', vek: 'certificate', snp_report: 'snp-report', hcl_report: 'hcl-report', tpm_quote_message: 'tpm-message', tpm_quote_signature: 'rsa-signature', quote_message: 'tpm-message', quote_signature: 'tpm-signature', ak_public: 'tpm-public',
  document: 'nitro-document', token: 'cca-token', eventlog: 'event-log', td_quote: 'tdx-quote', collateral: 'dcap-collateral', crl: 'crl', root_crl: 'crl', pck_crl: 'crl', corim: 'corim', pck: 'certificate', pck_chain: 'certificate',
}

test('each file by its role', { skip }, () => {
  let seen = 0
  for (const one of cases.filter(({ kind, expect }) => kind !== 'constructed' && kind !== 'corim' && expect.verdict === 'accept')) {
    for (const { role, path } of one.files) {
      const expected = one.tee === 'nvidia' && role === 'report' ? 'nvidia-report' : ['tokens', 'ear'].includes(one.tee) ? (role === 'token' ? 'token' : undefined) : role === 'quote' ? (one.tee === 'sgx' ? 'sgx-quote' : 'tdx-quote') : ROLES[role]
      if (expected === undefined) continue
      assert.ok(whats(path).every(what => what === expected), `${one.id} ${role}: ${whats(path).join()}`)
      seen++
    }
  }
  assert.ok(seen > 60, String(seen))
})

test('the files of an accepted case make its evidence', { skip }, () => {
  let seen = 0
  for (const one of cases.filter(({ tee, expect, valid_at, kind }) => ['sev-snp', 'tdx', 'sgx', 'nitro', 'nvidia'].includes(tee) && expect.verdict === 'accept' && valid_at !== null && (kind === undefined || kind === 'constructed'))) {
    const paths = [...one.files.filter(({ role }) => ['report', 'vek', 'quote', 'collateral', 'document', 'chain', 'crl'].includes(role)).map(({ path }) => path), ...one.chain ?? []]
    if (!one.files.some(({ role }) => ['report', 'quote', 'document'].includes(role)) || one.files.some(({ role }) => role === 'pck' || role === 'evidence')) continue
    const found = paths.flatMap(path => orRefuse(detect(p, file(path))))
    const evidence = parseEvidence(orRefuse(assemble(found)))
    assert.ok(evidence.ok, `${one.id} ${JSON.stringify(evidence)}`)
    const claims = verifyEvidence(p, evidence.value, { now: Math.floor(Date.parse(one.valid_at ?? '') / 1000) })
    assert.ok(claims.ok, `${one.id} ${claims.ok ? '' : JSON.stringify(claims.refusal)}`)
    seen++
  }
  assert.ok(seen > 15, String(seen))
})

test('a TPM attestation of go-tpm-tools, and the files of an Azure machine', { skip }, () => {
  const of = (id: string, roles: readonly string[], more: object = {}) => {
    const one = cases.find(each => each.id === id) ?? assert.fail(id)
    const found = [...one.files.filter(({ role }) => roles.includes(role)).map(({ path }) => path), ...one.chain ?? []].flatMap(path => orRefuse(detect(p, file(path))))
    const evidence = parseEvidence(orRefuse(assemble(found)))
    assert.ok(evidence.ok, JSON.stringify(evidence))
    return verifyEvidence(p, evidence.value, { now: Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000), ...more })
  }
  const unnamed = of('tpm-gce-cos85-nonce9009', ['attestation_pb'])
  assert.deepEqual(unnamed.ok ? 'accepted' : unnamed.refusal.code, 'evidence.chain')
  const name = /000b[0-9a-f]{64}/.exec(unnamed.ok ? '' : JSON.stringify(unnamed.refusal))?.[0] ?? assert.fail('the refusal does not say which key')
  const named = of('tpm-gce-cos85-nonce9009', ['attestation_pb'], { aks: [name] })
  assert.ok(named.ok && named.value.reportData === '9009', JSON.stringify(named.ok ? named.value.reportData : named.refusal))
  const azure = of('azure-snp-genoa', ['hcl_report', 'tpm_quote_message', 'tpm_quote_signature', 'pcrs', 'vek'])
  assert.ok(azure.ok && azure.value.tee === 'azure-snp', JSON.stringify(azure.ok ? '' : azure.refusal))
})
