// The judge of NVIDIA devices over the manifest of evidence from real machines.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Case, Read } from './eventlog.ts'
import { judge } from './nvidia.ts'

const folder = join(import.meta.dirname, '../../../shared/vectors')
const missing = existsSync(join(folder, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
// The manifest's form is documented beside it.
const cases = missing === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases.filter(one => one.tee === 'nvidia') : []
const read: Read = path => new Uint8Array(readFileSync(join(folder, path)))
const named = (id: string) => cases.find(one => one.id === id) ?? assert.fail(`no case ${id}`)

test('there are cases of nvidia', { skip: missing }, () => assert.ok(cases.length >= 26))

for (const one of cases) {
  test(`${one.id}: ${one.expect.verdict}`, () => {
    const { verdict, differs, refusal } = judge(one, read)
    assert.equal(verdict, one.expect.verdict === 'policy' ? 'reject' : one.expect.verdict, JSON.stringify(refusal))
    assert.deepEqual(differs, [])
    assert.equal(refusal !== undefined, verdict === 'reject')
  })
}

test('an expected value that is another is told', { skip: missing }, () => {
  const one = named('nv-hopper-550.90.07-full-rim')
  assert.deepEqual(judge({ ...one, rim_result: 'driver 20/21 and vbios 12/12' } as Case, read).differs.length, 1)
  assert.deepEqual(judge({ ...one, expect: { verdict: 'accept', fields: { nonce: '00', opaque: { FWID: '' } } } }, read).differs.length, 2)
})
