// What guests and clients check before they act is what the broker itself is held to: fresh, witnessed, and this charter.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '@cloister/core/bytes/base64'
import { parseCharter } from '@cloister/core/charter/parse'
import { flatPolicy, NOBODY, type LogPolicy } from '@cloister/core/log/policy'
import { orRefuse } from '@cloister/core/refusal'
import { verifyStanding, type Shown, type StandingOptions } from '@cloister/core/standing'
import { nodePrimitives as p } from '../crypto/node.ts'
import { actOf, charterJson, codeOf, newWorld, ready, successor, wire, type World } from './world.fixture.ts'
import type { Broker } from './broker.ts'

async function shownBy(world: World, broker: Broker): Promise<{ shown: Shown; policy: LogPolicy }> {
  const said = orRefuse(await broker.hello(wire({ nonce: toBase64(world.random(32)), charter: world.lineage })))
  return { policy: broker.ledger.policy, shown: { head: String(said['head']), charter: orRefuse(parseCharter(JSON.stringify(said['charter']))), enacted: String(said['enacted']), proof: String(said['proof']) } }
}

test('what a broker shows stands, until its head is older than the charter allows', async () => {
  const world = newWorld({ head: '10m' })
  const broker = await ready(world)
  const { shown, policy } = await shownBy(world, broker)
  const judge = (change: Partial<StandingOptions> = {}, other: Partial<Shown> = {}) => verifyStanding(p, { ...shown, ...other }, { policy, broker: broker.key, now: world.now, lineage: world.lineage, ...change })
  const standing = orRefuse(judge())
  assert.deepEqual([standing.lineage, standing.epoch, standing.head.witnesses, standing.head.time], [world.lineage, 1, 1, world.now])
  assert.ok(judge({ now: world.now + 600 }).ok)
  assert.equal(codeOf(judge({ now: world.now + 601 })), 'head.stale')
  assert.ok(judge({ now: world.now - 60 }).ok)
  assert.equal(codeOf(judge({ now: world.now - 61 })), 'head.stale', 'a witness that lives in the future')
  assert.equal(codeOf(judge({ policy: { ...policy, quorum: NOBODY } })), 'head.stale', 'nobody says when')
  assert.equal(codeOf(judge({ broker: 'ed25519:00' })), 'receipt.key')
  assert.equal(codeOf(judge({ lineage: `sha256:${'0'.repeat(64)}` })), 'head.unknown-charter')
  const next = successor(world.charter, charter => { charter.log = { ...charter.log, witnesses: 2 } })
  assert.equal(codeOf(judge({}, { charter: next })), 'head.unwitnessed')
  const later = successor(world.charter, charter => { charter.log = { ...charter.log, head: '5m' } })
  assert.equal(codeOf(judge({}, { charter: later })), 'head.unknown-charter', 'another charter under the receipt of this one')
  assert.equal(codeOf(judge({}, { proof: shown.proof.replace('index 0', 'index 1') })), 'log.inclusion')
  const stranger = (await newWorld({ seed: 'stranger' }).open()).ledger.policy
  assert.equal(codeOf(judge({ policy: stranger })), 'log.signature')
  assert.equal(codeOf(judge({ policy: flatPolicy(policy.logs.map(one => one.vkey), [...stranger.witnesses, ...policy.witnesses].map(one => one.vkey), 2) })), 'log.witnesses')
})

test('a head from before the enactment does not show it', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const before = await shownBy(world, broker)
  const next = successor(world.charter, charter => { charter.grants = charter.grants.filter(grant => grant.asset !== 'b-claims') })
  orRefuse(await broker.propose(wire({ charter: charterJson(next), act: actOf(world, 'bravo', 'propose', next) })))
  for (const verb of ['approve', 'enact'] as const) orRefuse(await broker.act(wire({ act: actOf(world, 'bravo', verb, next) })))
  const { shown, policy } = await shownBy(world, broker)
  const judge = (change: Partial<Shown> = {}) => codeOf(verifyStanding(p, { ...shown, ...change }, { policy, broker: broker.key, now: world.now }))
  assert.equal(judge(), 'ok')
  assert.equal(judge({ head: before.shown.head }), 'head.unknown-charter')
  assert.equal(judge({ charter: world.charter }), 'head.unknown-charter', 'the charter before, under the newest receipt')
  assert.equal(judge({ enacted: before.shown.enacted }), 'head.unknown-charter')
})
