// The judges of Nitro documents and CCA tokens over the manifest of evidence from real machines, and their reader of diagnostic notation.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toWritable } from '@cloister/core/bytes/cbor'
import { attempt } from '@cloister/core/refusal'
import { diagnostic, judge as cca } from './cca.ts'
import { judge as nitro } from './nitro.ts'

interface Case { id: string; tee: string; files: { role: string; path: string }[]; valid_at: string | null; expect: { verdict: string; fields?: Record<string, unknown> } }
const folder = join(import.meta.dirname, '../../../shared/vectors')
const missing = existsSync(join(folder, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
// The manifest's form is documented beside it.
const cases = missing === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases : []
const read = (path: string) => new Uint8Array(readFileSync(join(folder, path)))

for (const [tee, judge] of Object.entries({ nitro, 'arm-cca': cca })) {
  const own = cases.filter(one => one.tee === tee)
  test(`there are cases of ${tee}`, { skip: missing }, () => assert.ok(own.length > 10))
  for (const one of own) {
    test(`${one.id}: ${one.expect.verdict}`, () => {
      const { verdict, differs, refusal } = judge(one, read)
      assert.equal(verdict, one.expect.verdict === 'policy' ? 'reject' : one.expect.verdict, JSON.stringify(refusal))
      assert.deepEqual(differs, [])
      assert.equal(refusal !== undefined, verdict === 'reject')
    })
  }
}

test('an expected value that is another is told', { skip: missing }, () => {
  const of = (id: string) => cases.find(one => one.id === id) ?? assert.fail(id)
  const enclave = of('nitro-dstack-a')
  for (const [name, value] of Object.entries({ module_id: 'i-0', timestamp: '2025-12-25T16:04:19.347000+00:00', npcr: 15, user_data: '', nonce: '00', debug: true, digest: 'SHA256', pcrs: {} })) assert.equal(nitro({ ...enclave, expect: { verdict: 'accept', fields: { ...enclave.expect.fields, [name]: value } } }, read).differs.length, 1, name)
  const token = of('cca-trustee-example')
  for (const fields of [{ platform: { 2395: 1 } }, { realm: { 44239: [] } }, { summary: { tag: 907 } }, { summary: { binding: [] } }, { platform: { 1: 'not there' } }]) assert.equal(cca({ ...token, expect: { verdict: 'accept', fields } }, read).differs.length, 1, JSON.stringify(fields))
})

test('diagnostic notation, as far as sets of claims are written in it', () => {
  assert.deepEqual(toWritable(diagnostic(' / a note / { 1: "a\\n", -2: h\'00 fF\', "x": [true, null, 18(0),], 3: << {1: 2} >>, } # the end')), new Map<unknown, unknown>([[1, 'a\n'], [-2, new Uint8Array([0, 255])], ['x', [true, null, { tag: 18, value: 0 }]], [3, new Uint8Array([0xa1, 1, 2])]]))
  for (const text of ['', '{', '[1', '{1}', '{1:2, 1:3}', '1 2', "h'0'", '<< 1, 2 >>', '1(', "'x'", '[[['.repeat(20)]) assert.ok(!attempt(() => diagnostic(text)).ok, text)
})
