// The judges of event logs, TPM quotes and Azure machines over the manifest of evidence from real machines.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { readPem } from '@cloister/core/crypto/pem'
import { parseCertificate, validateChain } from '@cloister/core/crypto/x509'
import { gcpInstance } from '@cloister/core/evidence/tpm/gcp'
import { tpmRoots } from '@cloister/core/evidence/tpm/roots'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { judge as azure } from './azure.ts'
import { judge as eventlog, type Case, type Judgement, type Read } from './eventlog.ts'
import { judge as tpm } from './tpm.ts'

const JUDGES: Record<string, (one: Case, read: Read) => Judgement> = { eventlog, tpm, 'azure-vtpm': azure }
const folder = join(import.meta.dirname, '../../../shared/vectors')
const missing = existsSync(join(folder, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
// The manifest's form is documented beside it.
const cases = missing === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases : []
const read: Read = path => new Uint8Array(readFileSync(join(folder, path)))

for (const [tee, judge] of Object.entries(JUDGES)) {
  const own = cases.filter(one => one.tee === tee)
  test(`there are cases of ${tee}`, { skip: missing }, () => assert.ok(own.length > 3))
  for (const one of own) {
    test(`${one.id}: ${one.expect.verdict}`, () => {
      const { verdict, differs, refusal } = judge(one, read)
      assert.equal(verdict, one.expect.verdict, JSON.stringify(refusal))
      assert.deepEqual(differs, [])
      assert.equal(refusal !== undefined, verdict === 'reject')
    })
  }
}

test('an expected value that is missing or another is told', { skip: missing }, () => {
  const one = cases.find(each => each.id === 'evlog-arch-linux-workstation') ?? assert.fail('no case')
  assert.equal(eventlog({ ...one, expect: { verdict: 'parse', eventlog: { format: 'crypto-agile', events: 26 } } }, read).differs.length, 1)
  assert.equal(eventlog({ ...one, expect: { verdict: 'parse', eventlog: { other: 1 } } }, read).differs.length, 1)
})

/** Every byte of a part of an accepted case, in turn, with one bit changed. */
function flips(id: string, role: string, judge: (one: Case, read: Read) => Judgement, step: number, unused: (at: number) => boolean = () => false): void {
  const one = cases.find(each => each.id === id) ?? assert.fail('no case')
  const path = one.files.find(file => file.role === role)?.path ?? assert.fail('no file')
  const bytes = read(path)
  assert.equal(judge(one, read).verdict, 'accept')
  for (let at = 0; at < bytes.length; at += step) {
    const flipped = bytes.with(at, (bytes[at] ?? 0) ^ (1 << (at % 8)))
    const { verdict, differs } = judge(one, other => (other === path ? flipped : read(other)))
    assert.ok(verdict === 'reject' || differs.length > 0 || unused(at), `${role}, byte ${at}`)
  }
}

test('every byte of the parts of genuine machines matters', { skip: missing }, () => {
  flips('azure-snp-milan-v1', 'tpm_quote_message', azure, 1)
  flips('azure-snp-milan-v1', 'tpm_quote_signature', azure, 3)
  // Nothing hangs on the version of the header, nor on a TDREPORT's CPUSVN and MAC: the quote counts.
  flips('azure-snp-milan-v1', 'hcl_report', azure, 5, at => at === 4)
  flips('azure-tdx-v1', 'hcl_report', azure, 7, at => at === 4 || (at >= 48 && at < 64) || (at >= 256 && at < 288))
  // A line end of the certificates' text may be another white space.
  flips('azure-tdx-v1', 'td_quote', azure, 53, at => read(cases.find(one => one.id === 'azure-tdx-v1')?.files.find(file => file.role === 'td_quote')?.path ?? '')[at] === 0x0a)
})

test('the attestation key of a genuine GCE machine chains to the pinned root and names its instance', { skip: missing }, () => {
  const one = cases.find(each => each.id === 'tpm-gce-ak-certs') ?? assert.fail('no case')
  const [leaf, ...intermediates] = readPem(fromUtf8(read(one.files[0]?.path ?? '')), 'CERTIFICATE').map(der => orRefuse(parseCertificate(der)))
  assert.ok(leaf !== undefined)
  assert.ok(validateChain(p, { leaf, intermediates, roots: tpmRoots().map(root => root.certificate), at: 1_767_225_600 }).ok)
  assert.deepEqual(gcpInstance(leaf), { zone: 'us-west1-b', projectNumber: '227362733779', projectId: 'nonvolatile-dev', instanceId: '8033817256003918212', instanceName: gcpInstance(leaf)?.instanceName })
})
