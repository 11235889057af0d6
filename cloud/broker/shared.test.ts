// Several brokers on one PostgreSQL server: one identity, one log, one budget; whoever goes, the others go on.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { attemptAsync, orRefuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { openWitness } from '../ledger/witness.ts'
import { newServer, removeServer, sharedServer, withoutPostgres } from '../store/postgres.fixture.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { openIdentity } from './identity.ts'
import { joinBroker } from './join.ts'
import { actOf, ask, codeOf, entriesOf, machineOn, newWorld, ready, run, wire } from './world.fixture.ts'

const skip = withoutPostgres ?? false
after(removeServer)

test('processes on three chips share one PostgreSQL: one identity, one log, and a budget that is spent once, though brokers and the server are killed -9 (rows 113, 119)', { skip }, async context => {
  const USES = 40
  const server = await newServer()
  context.after(() => server.remove())
  const world = newWorld({ uses: USES, seed: 'shared' })
  const at = (name: string) => join(server.folder, name)
  const { host, dbname, user, password } = server.connection
  writeFileSync(at('connection'), `host=${host}\ndbname=${dbname}\nuser=${user}\npassword=${password ?? ''}\n`, { mode: 0o600 })
  const memory = openSqliteStore({ path: at('witness.db'), key: new Uint8Array(32) })
  const vaultOf = (chip: number) => openSqliteStore({ path: at(`vault-${chip}.db`), key: machineOn(chip).sealingKey() })

  // The first founds; the others are given its identity by evidence.
  const vault = vaultOf(6)
  const { key, sharedKey } = await openIdentity(p, vault, world.machine.sealingKey(), world.random)
  const open = () => openPostgresStore({ connection: server.connection, name: 'broker', key: sharedKey })
  const store = await open()
  const ledger = { origin: 'log.test', witnesses: [openWitness(p, 'witness.test', generateSigner('ed25519', new Uint8Array(32).fill(4)), memory)], quorum: 1 }
  const first = await ready(world, world.open({ vault, store, ledger }))
  const elder = { hello: async (body: Parameters<typeof first.hello>[0]) => wire(orRefuse(await first.hello(body))), join: async (body: Parameters<typeof first.join>[0]) => wire(orRefuse(await first.join(body))) }
  for (const chip of [7, 8]) await joinBroker({ p, random: nodeRandom, clock: () => world.now, vault: vaultOf(chip), machine: machineOn(chip), elder })
  first.close()

  const said: string[] = []
  const start = (chip: number) => {
    const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./shared.child.ts')), at('connection'), 'broker', at('witness.db'), at(`vault-${chip}.db`), String(chip), String(USES)], { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface({ input: child.stdout }).on('line', line => { said.push(line) })
    child.once('exit', code => { if (code !== null && code !== 0) said.push(`ended with ${code}`) })
    return { child, ended: new Promise<unknown>(resolve => { child.once('close', resolve) }) }
  }
  const released = () => said.filter(line => line.startsWith('released '))
  const strange = () => said.filter(line => !/^(broker|released) |^budget\.spent$/.test(line))
  const until = async (count: number) => { while (released().length < count) { assert.deepEqual(strange(), []); await sleep(5) } }
  const kill = (one: { child: ChildProcess }) => one.child.kill('SIGKILL')
  const brokers = [6, 7, 8].map(start)
  await until(6)
  const [victim = assert.fail()] = brokers
  kill(victim)
  await until(12)
  await server.kill()
  await server.start()
  brokers.push(start(6))
  await Promise.all(brokers.map(one => one.ended))

  assert.deepEqual(new Set(said.filter(line => line.startsWith('broker '))), new Set([`broker ${key}`]))
  assert.deepEqual(strange(), [])
  const again = await open()
  const logged = (await entriesOf(world, again, { vault, ledger })).filter(entry => orRefuse(parseReceipt(entry)).verb === 'released')
  const acknowledged = released().map(line => Buffer.from(line.slice('released '.length), 'base64').toString())
  assert.equal(logged.length, USES)
  assert.equal(new Set(logged).size, USES)
  assert.equal(new Set(acknowledged).size, acknowledged.length)
  for (const receipt of acknowledged) assert.ok(logged.includes(receipt), 'what left is in the log')
  const budgets = (await again.list({ prefix: 'broker/budget/' })).map(entry => Number((JSON.parse(fromUtf8(entry.value)) as { uses: number }).uses)) // written by release.ts
  assert.deepEqual(budgets, [USES, USES])
  for (const one of [store, again]) await one.close()
})

test('a challenge is used once at whichever broker; what one revokes, the other does not release', { skip }, async context => {
  const server = await sharedServer()
  const world = newWorld({ uses: 5 })
  const stores: Store[] = []
  context.after(async () => { for (const store of stores) await store.close(); await server.sql('DROP SCHEMA pair CASCADE') })
  const open = async () => { const store = await openPostgresStore({ connection: server.connection, name: 'pair', key: world.storeKey }); stores.push(store); return world.open({ store }) }
  const one = await ready(world, open())
  const two = await open()
  const asked = orRefuse(await ask(world, one))
  assert.deepEqual((await Promise.all([one, two].map(broker => broker.release(wire(asked.body))))).map(codeOf).toSorted(), ['broker.replay', 'ok'])
  assert.deepEqual((await Promise.all(Array.from({ length: 6 }, (_, i) => run(world, i % 2 === 0 ? one : two)))).map(codeOf).toSorted(), ['budget.spent', 'budget.spent', 'ok', 'ok', 'ok', 'ok'])
  orRefuse(await one.act(wire({ act: actOf(world, 'alpha', 'revoke', world.charter, 'a-claims@1') })))
  assert.equal(codeOf(await run(world, two)), 'charter.revoked')
})

test('a broker that is cut off from its database releases nothing and says why; it goes on when the server is back', { skip }, async context => {
  const server = await newServer()
  context.after(() => server.remove())
  const world = newWorld({ uses: 5 })
  const store = await openPostgresStore({ connection: server.connection, name: 'broker', key: world.storeKey, waitMs: 300 })
  const broker = await ready(world, world.open({ store }))
  assert.equal(codeOf(await run(world, broker)), 'ok')
  const asked = orRefuse(await ask(world, broker))
  await server.kill()
  const refused = await broker.release(wire(asked.body))
  assert.ok(!refused.ok)
  assert.deepEqual([refused.refusal.code, refused.refusal.expected], ['store.unavailable', 'the database server'])
  assert.equal(codeOf(await broker.hello(wire({ nonce: Buffer.alloc(32).toString('base64'), charter: world.lineage }))), 'store.unavailable')
  await server.start()
  assert.equal(codeOf(await broker.release(wire(asked.body))), 'ok')
  assert.equal(codeOf(await broker.release(wire(asked.body))), 'broker.replay')
  assert.equal((await attemptAsync(() => store.load('broker'))).ok, true)
  await store.close()
})
