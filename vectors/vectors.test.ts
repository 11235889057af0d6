// Every refusal code has at least one vector, every vector names a known code, and every vector is refused with its code.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { REFUSAL_CODES, type Result } from '@cloister/core/refusal'

interface Vector { readonly code: string; readonly clause: string; readonly verb: string; readonly input: unknown; readonly at?: string }
type Run = (input: unknown, folder: string) => Result<unknown> | Promise<Result<unknown>>

const here = import.meta.dirname
const names = readdirSync(here, { withFileTypes: true }).filter(entry => entry.isDirectory() && existsSync(join(here, entry.name, 'vector.json'))).map(entry => entry.name)
// Vectors are ours; their shape is asserted below.
const vectors = names.map(name => ({ name, ...(JSON.parse(readFileSync(join(here, name, 'vector.json'), 'utf8')) as Vector) }))
const verbs: Record<string, Run> = {}
for (const file of readdirSync(join(here, 'verbs'))) Object.assign(verbs, ((await import(join(here, 'verbs', file))) as { verbs: Record<string, Run> }).verbs)

for (const vector of vectors) {
  test(`vector ${vector.name}: ${vector.code}`, async () => {
    assert.ok((REFUSAL_CODES as readonly string[]).includes(vector.code), 'an unknown code')
    assert.ok(vector.clause.length > 3, 'the clause it comes from')
    const run = verbs[vector.verb] ?? assert.fail(`an unknown verb ${vector.verb}`)
    const result = await run(vector.input, join(here, vector.name))
    assert.ok(!result.ok, 'accepted')
    assert.equal(result.refusal.code, vector.code, JSON.stringify(result.refusal))
    if (vector.at !== undefined) assert.equal(result.refusal.at, vector.at)
  })
}

test('every code has a vector', () => {
  const covered = new Set(vectors.map(vector => vector.code))
  assert.deepEqual(REFUSAL_CODES.filter(code => !covered.has(code)), [])
})
