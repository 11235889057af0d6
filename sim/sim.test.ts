import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkInvariants } from './invariants.ts'
import { live } from './world.ts'

const SEEDS = 120

test(`${SEEDS} seeded lives keep every invariant; a failing seed replays with npm run sim -- --seed S`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await assert.doesNotReject(live(seed, checkInvariants), `seed ${seed}`)
  }
})

test('a seed is one life: the same seed, the same trace', async () => {
  const [one, two] = [await live(7, checkInvariants), await live(7, checkInvariants)]
  assert.deepEqual(one.trace, two.trace)
})
