// Brokers on several machines are one: each is admitted by evidence, after a receipt, and to nobody else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '@cloister/core/bytes/base64'
import type { JsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { hpkeKeyPair } from '@cloister/core/crypto/hpke'
import { verifyProof } from '@cloister/core/log/proof'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { attemptAsync, orRefuse } from '@cloister/core/refusal'
import { helloData, joinData } from '@cloister/core/seal/binding'
import { nodePrimitives as p } from '../crypto/node.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import type { Broker, BrokerMachine } from './broker.ts'
import { openIdentity } from './identity.ts'
import { joinBroker } from './join.ts'
import { codeOf, entriesOf, machineOn, newWorld, put, found, run, wire, type World } from './world.fixture.ts'

const vaultOf = (machine: BrokerMachine) => openMemoryStore(emptyDisk(), machine.sealingKey())
const askOf = (broker: Pick<Broker, 'hello' | 'join'>) => ({ hello: async (body: JsonObject) => wire(orRefuse(await broker.hello(body))), join: async (body: JsonObject) => wire(orRefuse(await broker.join(body))) })

/** The first broker of a world, on a store that others can share. */
async function firstOf(world: World) {
  const vault = vaultOf(world.machine)
  const identity = await openIdentity(p, vault, world.machine.sealingKey(), world.random)
  const disk = emptyDisk()
  const store = () => openMemoryStore(disk, identity.sharedKey)
  const broker = await world.open({ vault, store: store() })
  orRefuse(await found(world, broker))
  for (const asset of ['a-claims', 'b-claims']) orRefuse(await put(world, broker, asset))
  return { broker, store, join: (machine: BrokerMachine, elder: Pick<Broker, 'hello' | 'join'> = broker, vaultThere = vaultOf(machine)) => joinBroker({ p, random: world.random, clock: () => world.now, vault: vaultThere, machine, elder: askOf(elder) }) }
}

test('a second machine is given the identity, serves the same charters, and goes on when the first is gone', async () => {
  const world = newWorld({ uses: 4 })
  const { broker, store, join } = await firstOf(world)
  const machine = machineOn(7)
  const vault = vaultOf(machine)
  const identity = await join(machine, broker, vault)
  const second = await world.open({ machine, vault, store: store() })
  assert.deepEqual([identity.key, second.key], [broker.key, broker.key])
  const results = await Promise.all(Array.from({ length: 6 }, (_, i) => run(world, i % 2 === 0 ? broker : second)))
  assert.deepEqual(results.map(codeOf).toSorted(), ['budget.spent', 'budget.spent', 'ok', 'ok', 'ok', 'ok'])
  broker.close()
  orRefuse(await put(world, second, 'a-claims', 2))
  assert.equal((await join(machine, { hello: () => assert.fail('asked'), join: () => assert.fail('asked') }, vault)).key, identity.key, 'a vault that has an identity asks nobody')
  const joined = (await entriesOf(world, store(), { machine, vault })).filter(entry => orRefuse(parseReceipt(entry)).verb === 'joined')
  assert.equal(joined.length, 1)
  assert.equal(orRefuse(parseReceipt(joined[0] ?? '')).predicate['chip'], '07'.repeat(64))
})

test('who is no such broker gets nothing, and nothing is logged', async () => {
  const world = newWorld()
  const { broker, join } = await firstOf(world)
  const before = broker.ledger.size()
  const code = async (machine: BrokerMachine) => codeOf(await attemptAsync(() => join(machine)))
  const other = new Uint8Array(48).fill(9)
  assert.equal(await code(machineOn(7, other)), 'appraisal.measurement', 'what runs there asks nobody that runs something else')
  const ask = async (machine: BrokerMachine, change: (body: Record<string, unknown>) => unknown = body => body, wait = 0) => {
    const hello = orRefuse(await broker.hello(wire({ nonce: toBase64(new Uint8Array(32)), join: true })))
    world.now += wait
    const nonce = Buffer.from(String(hello['challenge']), 'base64')
    const { publicKey } = hpkeKeyPair(p, 'x-wing', world.random(32))
    return codeOf(await broker.join(wire(change({ nonce: toBase64(nonce), seal: toBase64(publicKey), evidence: machine.report(joinData(p, { nonce, seal: publicKey })) }))))
  }
  assert.equal(await ask(machineOn(7, other)), 'appraisal.measurement')
  assert.equal(await ask(machineOn(7, undefined, 0x30000n | 1n << 19n)), 'appraisal.debug')
  assert.equal(await ask(machineOn(7), body => ({ ...body, seal: toBase64(new Uint8Array(1216)) })), 'evidence.report-data')
  assert.equal(await ask(machineOn(7), body => ({ ...body, nonce: toBase64(new Uint8Array(32)) })), 'broker.nonce')
  assert.equal(await ask(machineOn(7), body => body, 61), 'broker.nonce')
  assert.equal(await ask(machineOn(7), body => ({ ...body, more: 1 })), 'broker.request')
  const fromCharter = orRefuse(await broker.hello(wire({ nonce: toBase64(new Uint8Array(32)), charter: world.lineage })))
  assert.equal(await ask(machineOn(7), body => ({ ...body, nonce: fromCharter['nonce'] })), 'broker.nonce', 'a challenge for a guest admits no broker')
  assert.equal(broker.ledger.size(), before)
})

test('a challenge admits once; the answer opens only where it was asked for; the receipt is proven first', async () => {
  const world = newWorld()
  const { broker, join } = await firstOf(world)
  const bodies: JsonObject[] = []
  const answers: JsonObject[] = []
  await join(machineOn(7), { hello: body => broker.hello(body), join: async body => { bodies.push(body); const answer = await broker.join(body); answers.push(wire(orRefuse(answer))); return answer } })
  assert.equal(codeOf(await broker.join(bodies[0] ?? {})), 'broker.replay')
  const [answer = assert.fail()] = answers
  orRefuse(verifyProof(p, utf8(String(answer['receipt'])), String(answer['proof']), broker.ledger.policy))
  const replayed = await attemptAsync(() => join(machineOn(8), { hello: body => broker.hello(body), join: async () => ({ ok: true, value: answer }) }))
  assert.equal(codeOf(replayed), 'crypto.open')
})

test('a broker asks only one that proves to run what it runs: an identity from elsewhere would be known elsewhere', async () => {
  const world = newWorld()
  const { broker, join } = await firstOf(world)
  const hello = async (body: JsonObject) => broker.hello(body)
  const code = async (elder: Pick<Broker, 'hello' | 'join'>) => codeOf(await attemptAsync(() => join(machineOn(7), elder)))
  const liar = (change: (body: JsonObject, nonce: Uint8Array) => JsonObject) => ({ join: (body: JsonObject) => broker.join(body), hello: async (body: JsonObject) => ({ ok: true as const, value: change(wire(orRefuse(await hello(body))), Buffer.from(String(body['nonce']), 'base64')) }) })
  assert.equal(await code(liar(body => ({ ...body, key: 'p256:00' }))), 'evidence.report-data')
  assert.equal(await code(liar((body, nonce) => ({ ...body, evidence: wire(machineOn(8, new Uint8Array(48).fill(3)).report(helloData(p, { nonce, seal: broker.seal, sign: broker.key }))) }))), 'appraisal.measurement')
  assert.equal(await code(liar(body => { const { challenge, ...rest } = body; return challenge === undefined ? body : rest })), 'broker.request')
})
