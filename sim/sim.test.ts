import assert from 'node:assert/strict'
import { test } from 'node:test'
import { live } from './life.ts'
import { PLANTED } from './planted.ts'

const SEEDS = 50

for (const from of [1, 51, 101, 151]) {
  test(`seeded lives from ${from} on keep every invariant; a failing seed replays with npm run sim -- --seed S`, async () => {
    for (let seed = from; seed < from + SEEDS; seed++) assert.equal((await live(seed)).failure, undefined, `seed ${seed}`)
  })
}

test('a seed is one life: the same seed, the same trace', async () => {
  const [one, two] = [await live(7), await live(7)]
  assert.deepEqual(one.sim.trace, two.sim.trace)
  assert.ok(one.sim.trace.length > 20)
})

test('steps of a plan can be left out', async () => {
  const whole = await live(8)
  const less = await live(8, { without: new Set([0, 1, 2]) })
  assert.ok(less.sim.trace.length < whole.sim.trace.length)
})

for (const { name, within, plant } of PLANTED.filter(one => one.within <= 30)) {
  test(`a planted bug is found: ${name}`, async () => {
    for (let seed = 1; seed <= within; seed++) if ((await live(seed, { plant })).failure !== undefined) return
    assert.fail(`not within ${within} seeds`)
  })
}
