// core/log against others' programs and samples, as far as they are here; a runner that would not notice a failure fails.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, type Outcome } from './check.ts'
import { goChecks } from './go.ts'
import { sampleChecks } from './samples.ts'

const failed = (outcomes: readonly Outcome[]) => outcomes.flatMap(one => (one.kind === 'failed' ? [`${one.name}: ${one.why}`] : []))

test('the examples of the specifications, and the proof of Project Oak', async () => {
  const outcomes = await sampleChecks()
  assert.deepEqual(failed(outcomes), [])
  assert.ok(outcomes.every(one => one.kind === 'passed'))
})

test('Go\'s sumdb verifies our log, and we its', async context => {
  const outcomes = await goChecks(700)
  assert.deepEqual(failed(outcomes), [])
  const [first] = outcomes
  if (first?.kind === 'skipped') context.skip(first.why)
  else assert.equal(outcomes.length, 4)
})

test('a check that throws has failed', async () => {
  assert.deepEqual(await check('x', () => { throw new Error('why') }), { name: 'x', kind: 'failed', why: 'why' })
  assert.deepEqual(await check('x', () => Promise.reject(new Error('why'))), { name: 'x', kind: 'failed', why: 'why' })
  assert.deepEqual(await check('x', () => undefined), { name: 'x', kind: 'passed' })
})
