// The judge of TDX and SGX over the manifest of evidence from real machines.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { judge } from './dcap.ts'
import type { Case } from './eventlog.ts'

const folder = join(import.meta.dirname, '../../../shared/vectors')
const missing = existsSync(join(folder, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
// The manifest's form is documented beside it.
const cases = missing === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases.filter(one => one.tee === 'tdx' || one.tee === 'sgx') : []
const read = (path: string) => new Uint8Array(readFileSync(join(folder, path)))

test('there are cases of TDX and SGX', { skip: missing }, () => assert.ok(cases.length > 40))
for (const one of cases) {
  test(`${one.id}: ${one.expect.verdict}`, () => {
    const { verdict, differs, refusal } = judge(one, read)
    assert.equal(verdict, one.expect.verdict === 'policy' ? 'reject' : one.expect.verdict, JSON.stringify(refusal))
    assert.deepEqual(differs, [])
  })
}

test('an expected value that is another is told', { skip: missing }, () => {
  const one = cases.find(found => found.id === 'tdx-v5-go-tdx-guest') ?? assert.fail('the case is gone')
  for (const [name, value] of Object.entries({ tcb_status: 'OutOfDate', advisories: ['INTEL-SA-1'], tcb_date: '2020', fmspc: '00', debug: true, tcb_evaluation_data_number: 1, qe_status: 'x', pck: { pcesvn: 1 }, fields: { body: { mr_td: '' } } })) assert.ok(judge({ ...one, expect: { ...one.expect, [name]: value } }, read).differs.length > 0, name)
})
