// One broker, many strangers: a lineage spends its own quota and nobody else's, and can always take back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orRefuse } from '@cloister/core/refusal'
import { QUOTAS } from './quotas.ts'
import { actOf, charterJson, codeOf, found, newWorld, put, ranReceipt, ready, run, successor, wire, type World } from './world.fixture.ts'

/** Another lineage in the same broker: the same parties, another name. */
const neighbour = (world: World, name: string): World => {
  const other = newWorld({ seed: name, uses: 1000, edit: charter => { charter['name'] = name } })
  return Object.assign(Object.create(world) as World, { parties: other.parties, charter: other.charter, lineage: other.lineage })
}

test('entries of an hour: the one that uses them up waits, its neighbour does not; the next hour is new', async () => {
  const world = newWorld({ uses: 1000 })
  const broker = await ready(world, world.open({ quotas: { ...QUOTAS, entriesPerHour: 6 } }))
  const other = neighbour(world, 'neighbour')
  const first = orRefuse(await run(world, broker))
  for (let i = 0; i < 2; i++) orRefuse(await run(world, broker))
  const refused = await run(world, broker)
  assert.deepEqual([codeOf(refused), refused.ok ? '' : refused.refusal.at], ['broker.quota', 'quotas.entriesPerHour'])
  assert.equal(codeOf(await broker.receipt(wire({ receipt: ranReceipt(world, first.asked.guest) }))), 'broker.quota')
  orRefuse(await found(other, broker))
  assert.equal(codeOf(await put(other, broker, 'a-claims')), 'ok')
  const size = broker.ledger.size()
  orRefuse(await broker.act(wire({ act: actOf(world, 'alpha', 'revoke', world.charter, 'a-claims@1') })))
  assert.equal(broker.ledger.size(), size + 1, 'an owner is heard whoever used the quota up')
  world.now += 3600
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked')
  orRefuse(await put(world, broker, 'a-claims', 2))
  assert.equal(codeOf(await run(world, broker)), 'ok')
})

test('bytes of an hour, keys that are kept, lineages in a broker', async () => {
  const world = newWorld({ uses: 1000, notice: '0s' })
  const broker = await world.open({ quotas: { lineages: 1, deposits: 3, entriesPerHour: 100, bytesPerHour: 12_000 } })
  orRefuse(await found(world, broker))
  orRefuse(await found(world, broker))
  const other = await found(neighbour(world, 'neighbour'), broker)
  assert.deepEqual([codeOf(other), other.ok ? '' : other.refusal.at], ['broker.quota', 'quotas.lineages'])
  for (const version of [1, 2]) orRefuse(await put(world, broker, 'a-claims', version))
  orRefuse(await put(world, broker, 'b-claims'))
  const fourth = await put(world, broker, 'a-claims', 3)
  assert.deepEqual([codeOf(fourth), fourth.ok ? '' : fourth.refusal.at], ['broker.quota', 'quotas.deposits'])
  let next = successor(world.charter, charter => { charter.grants = charter.grants.slice(0, 1) })
  const propose = (party: string) => broker.propose(wire({ charter: charterJson(next), act: actOf(world, party, 'propose', next) }))
  let last = await propose('alpha')
  for (let i = 2; i < 30 && last.ok; i++) {
    const from = next
    next = successor(world.charter, charter => { charter.grants = from.grants.map(grant => ({ ...grant, budget: { uses: i } })) })
    last = await propose(i % 2 === 0 ? 'alpha' : 'bravo')
  }
  assert.deepEqual([codeOf(last), last.ok ? '' : last.refusal.at], ['broker.quota', 'quotas.bytesPerHour'])
})

test('guests that are long gone are forgotten: a receipt of theirs is too late, and the state does not grow for ever', async () => {
  const world = newWorld({ uses: 1000 })
  const broker = await ready(world)
  const { asked } = orRefuse(await run(world, broker))
  const sessions = async () => (await world.store().list({ prefix: 'broker/session/' })).length
  world.now += 7 * 86_400
  orRefuse(await broker.tick())
  assert.equal(await sessions(), 1)
  world.now += 1
  orRefuse(await broker.tick())
  assert.equal(await sessions(), 0)
  assert.equal(codeOf(await broker.receipt(wire({ receipt: ranReceipt(world, asked.guest) }))), 'receipt.key')
})
