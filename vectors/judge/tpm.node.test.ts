// The judges of event logs, TPM quotes and Azure machines over the manifest of evidence from real machines.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
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
