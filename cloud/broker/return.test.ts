// A broker and its chip are gone. From its last backup, the log that others still serve, and shares of enough parties, another broker goes on: with the same charter, keys and spent budgets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import type { JsonObject } from '@cloister/core/bytes/json'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Charter } from '@cloister/core/charter/types'
import { parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { giveShare } from '@cloister/core/recovery'
import { orRefuse } from '@cloister/core/refusal'
import { generateIdentity } from '@cloister/core/seal/age/index'
import type { RecoveryDocument } from '@cloister/core/seal/recovery'
import { nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import type { Broker } from './broker.ts'
import { actOf, charterJson, codeOf, found, machineOn, newWorld, put, run, successor, wire, type World } from './world.fixture.ts'

const PARTIES = ['alpha', 'bravo'] as const
const pairs = Object.fromEntries(PARTIES.map(name => [name, generateIdentity(p, 'hybrid', nodeRandom)]))
const worldOf = (seed: string, need = 2, more: { uses?: number } = {}): World => newWorld({
  seed, notice: '0s', ...more,
  edit: charter => {
    const parties = charter['parties'] as Record<string, Record<string, unknown>> // as the fixture wrote it
    for (const name of PARTIES) parties[name] = { ...parties[name], seal: [pairs[name]?.recipient] }
    charter['recover'] = { of: [...PARTIES], need }
  },
})

/** The backup of a lineage as it would lie somewhere: text. */
const backupOf = async (broker: Broker, world: World) => wire(orRefuse(await broker.backup(world.lineage)))

/** What anybody can still read of a log: its newest checkpoint, and its entries from one on. */
async function logFrom(broker: Broker, from: number): Promise<{ head: string; entries: string[] }> {
  const head = orRefuse(await broker.ledger.publish(2_000_000_000))
  return { head: head.text, entries: await Promise.all(Array.from({ length: head.size - from }, async (_, i) => toBase64(await broker.ledger.entry(from + i) ?? assert.fail()))) }
}
const sizeIn = (backup: JsonObject) => Number(String((backup['log'] as JsonObject)['head']).split('\n')[1])

/** Another broker on another chip, with a store and a log of its own. */
function another(world: World): Promise<Broker> {
  const machine = machineOn(8)
  return world.open({ machine, store: openMemoryStore(emptyDisk(), machine.sealingKey()), ledger: { origin: 'second.test', witnesses: [world.witness], quorum: 1 } })
}

/** A party looks at the broker, and gives its share. */
async function give(world: World, broker: Broker, backup: JsonObject, party: string, newest: Charter, nonce: string) {
  const asked = nodeRandom(32)
  const hello = wire(orRefuse(await broker.hello(wire({ nonce: toBase64(asked) }))))
  const evidence = orRefuse(parseEvidence(hello['evidence']))
  const { measurement } = orRefuse(verifyEvidence(p, evidence, { now: world.now }))
  const signer = world.parties[party] ?? assert.fail()
  const charters = (backup['charters'] as unknown as Charter[])
  return giveShare(p, { party, identities: [pairs[party]?.identity ?? ''], signers: [signer], lineage: world.lineage, known: charterDigest(p, newest), brokers: { tee: ['simulated'], tcb: 'current', measurements: [{ tee: 'simulated', hex: measurement, name: 'broker' }], distrust: {} } },
    { asked, evidence, to: { seal: broker.seal, key: broker.key, nonce: fromBase64(nonce) }, charters, document: backup['recovery'] as unknown as RecoveryDocument }, world.now, nodeRandom)
}

async function recover(world: World, broker: Broker, backup: JsonObject, log: { head: string; entries: string[] }, parties: readonly string[] = PARTIES, newest = world.charter, nonce?: string) {
  const challenge = nonce ?? String(orRefuse(await broker.hello(wire({ nonce: toBase64(nodeRandom(32)), recover: true })))['challenge'])
  const given = await Promise.all(parties.map(async party => orRefuse(await give(world, broker, backup, party, newest, challenge))))
  return broker.recover(wire({ nonce: challenge, backup, given, ...log }))
}

test('a lineage comes back in another broker, with what was spent since the backup, and is verified there as it was before', async () => {
  const world = worldOf('return', 2, { uses: 4 })
  const old = await world.open()
  orRefuse(await found(world, old))
  for (const asset of ['a-claims', 'b-claims']) orRefuse(await put(world, old, asset))
  orRefuse(await run(world, old))
  const backup = await backupOf(old, world)
  orRefuse(await run(world, old))
  const log = await logFrom(old, sizeIn(backup))
  const broker = await another(world)
  const back = orRefuse(await recover(world, broker, backup, log))
  assert.deepEqual([back['lineage'], back['epoch'], back['parties']], [world.lineage, 1, [...PARTIES]])
  const keys = orRefuse(await run(world, broker)).keys.map(key => key.identity)
  assert.deepEqual(keys, ['AGE-SECRET-KEY-a-claims-1', 'AGE-SECRET-KEY-b-claims-1'])
  orRefuse(await run(world, broker))
  assert.equal(codeOf(await run(world, broker)), 'budget.spent', 'two before, two after: what was granted is not granted again')
  assert.equal(codeOf(await recover(world, broker, backup, log)), 'broker.request', 'not over one that stands')
  const next = successor(world.charter, charter => { charter.grants = charter.grants.slice(0, 1) })
  orRefuse(await broker.propose(wire({ charter: charterJson(next), act: actOf(world, 'bravo', 'propose', next) })))
  for (const verb of ['approve', 'enact'] as const) orRefuse(await broker.act(wire({ act: actOf(world, 'bravo', verb, next) })))
})

test('fewer than needed, a share for another broker, a backup that was altered, a log that is not whole: nothing comes back', async () => {
  const world = worldOf('refused')
  const old = await world.open()
  orRefuse(await found(world, old))
  orRefuse(await put(world, old, 'a-claims'))
  const backup = await backupOf(old, world)
  orRefuse(await old.tick())
  const log = await logFrom(old, sizeIn(backup))
  const broker = await another(world)
  assert.equal(codeOf(await recover(world, broker, backup, log, ['alpha'])), 'share.too-few')
  assert.equal(codeOf(await recover(world, broker, backup, log, PARTIES, world.charter, toBase64(nodeRandom(32)))), 'broker.nonce')
  const altered: [string, (copy: Record<string, unknown>) => void][] = [
    ['broker.backup', copy => { copy['spent'] = [] ; copy['deposits'] = [] }],
    ['broker.backup', copy => { copy['standing'] = { ...copy['standing'] as object, versions: {} } }],
    ['broker.backup', copy => { copy['tag'] = toBase64(new Uint8Array(32)) }],
    ['broker.request', copy => { copy['more'] = 1 }],
  ]
  for (const [code, change] of altered) {
    const copy = structuredClone(backup) as Record<string, unknown>
    change(copy)
    assert.equal(codeOf(await recover(world, broker, wire(copy), log)), code)
  }
  orRefuse(await put(world, old, 'b-claims'))
  const later = await logFrom(old, sizeIn(backup))
  assert.equal(codeOf(await recover(world, broker, backup, { ...later, entries: [] })), 'broker.backup', 'entries left out')
  const changed = await recover(world, broker, backup, later)
  assert.deepEqual([codeOf(changed), changed.ok ? '' : changed.refusal.at], ['broker.backup', `entry ${sizeIn(backup)}`], 'a key that came after the backup cannot be guessed')
  assert.equal(broker.ledger.size(), 0, 'nothing was logged of any of this')
  orRefuse(await recover(world, broker, await backupOf(old, world), await logFrom(old, sizeIn(await backupOf(old, world)))))
})

test('who may recover changes: the root is new, every key is sealed anew, and the old shares open nothing', async () => {
  const world = worldOf('reroot', 1)
  const broker = await world.open()
  orRefuse(await found(world, broker))
  for (const asset of ['a-claims', 'b-claims']) orRefuse(await put(world, broker, asset))
  const before = await backupOf(broker, world)
  const next = successor(world.charter, charter => { charter.recover = { of: [...PARTIES], need: 2 } })
  orRefuse(await broker.propose(wire({ charter: charterJson(next), act: actOf(world, 'alpha', 'propose', next) })))
  for (const party of PARTIES) orRefuse(await broker.act(wire({ act: actOf(world, party, 'approve', next) })))
  orRefuse(await broker.act(wire({ act: actOf(world, 'alpha', 'enact', next) })))
  const after = await backupOf(broker, world)
  const sealed = (backup: JsonObject) => (backup['deposits'] as unknown as { sealed: string }[]).map(one => one.sealed)
  assert.equal(sealed(after).filter(one => sealed(before).includes(one)).length, 0)
  assert.deepEqual(orRefuse(await run(world, broker)).keys.map(key => key.identity), ['AGE-SECRET-KEY-a-claims-1', 'AGE-SECRET-KEY-b-claims-1'])
  const there = await another(world)
  const fresh = await backupOf(broker, world)
  assert.equal(codeOf(await recover(world, there, fresh, await logFrom(broker, sizeIn(fresh)), ['alpha'], next)), 'share.too-few')
  orRefuse(await recover(world, there, fresh, await logFrom(broker, sizeIn(fresh)), PARTIES, next))
  assert.equal(toHex(there.seal) === toHex(broker.seal), false)
})

test('a charter that names nobody has no backup; one whose parties have no recipient does not begin', async () => {
  const world = newWorld()
  const broker = await world.open()
  orRefuse(await found(world, broker))
  assert.equal(codeOf(await broker.backup(world.lineage)), 'charter.missing-field')
  const bare = newWorld({ seed: 'bare', edit: charter => { charter['recover'] = { of: [...PARTIES], need: 2 } } })
  assert.equal(codeOf(await found(bare, await bare.open())), 'age.recipient')
})
