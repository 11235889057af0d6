// Emergencies through the broker: acts until the quorum is there, releases until the end, and nothing after it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Act } from '@cloister/core/charter/acts'
import { charterDigest } from '@cloister/core/charter/canonical'
import { emergencySubject, type Emergency } from '@cloister/core/charter/emergency'
import { emergencyLine } from '@cloister/core/charter/explain'
import type { Charter, Grant } from '@cloister/core/charter/types'
import { formatKey } from '@cloister/core/crypto/keys'
import { orRefuse } from '@cloister/core/refusal'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { generateSigner, nodePrimitives as p, type LocalSigner } from '../crypto/node.ts'
import type { Broker } from './broker.ts'
import { step } from './machine.ts'
import { keys as keysOf, stateOf } from './state.ts'
import { actOf, charterJson, codeOf, newWorld, ready, run, START, successor, wire, type World } from './world.fixture.ts'

const at = (seconds: number) => `${new Date((START + seconds) * 1000).toISOString().slice(0, 19)}Z`
const GRANT: Grant = { asset: 'b-claims', to: 'match', can: 'read', until: at(3600), budget: { uses: 2 }, out: [{ to: ['alpha', 'bravo'], shape: 'rows', about: 'own' }] }
/** Two insurers; bravo grants nothing, and one of both may open anything for four hours. */
const worldOf = (emergency: object = { of: ['alpha', 'bravo'], need: 2, lasts: '4h' }) => newWorld({ uses: 100, notice: '0s', edit: charter => {
  charter['grants'] = (charter['grants'] as Grant[]).filter(grant => grant.asset === 'a-claims') // the fixture's own
  charter['change'] = { ...(charter['change'] as object), emergency } // the fixture's own
} })
const say = (world: World, broker: Broker, party: string, subject = emergencySubject(1, GRANT), charter = world.charter) => broker.act(wire({ act: actOf(world, party, 'emergency', charter, subject) }))
const asked = { assets: ['b-claims'] }

test('an emergency: the quorum first, then releases that say so, then by itself nothing', async () => {
  const world = worldOf()
  const broker = await ready(world)
  assert.equal(codeOf(await run(world, broker, asked)), 'grant.none')
  assert.equal(orRefuse(await say(world, broker, 'alpha'))['effective'], false)
  assert.equal(codeOf(await run(world, broker, asked)), 'grant.none')
  const done = orRefuse(await say(world, broker, 'bravo'))
  assert.equal(done['effective'], true)
  const receipt = orRefuse(parseReceipt(String(done['receipt'])))
  assert.deepEqual([receipt.verb, receipt.predicate['effective'], (receipt.predicate['acts'] as unknown[]).length], ['emergency', true, 2]) // the broker's own list
  const first = orRefuse(await run(world, broker, asked))
  const { predicate } = orRefuse(parseReceipt(String(first.answer['receipt'])))
  assert.deepEqual([predicate['emergency'], JSON.parse(JSON.stringify(predicate['emergencies']))], [true, [{ asset: 'b-claims', sequence: 1, signed: ['alpha', 'bravo'], until: START + 3600 }]])
  const epochs = orRefuse(await broker.epochs(world.lineage)) as unknown as { emergencies: { sequence: number; envelope: string }[] } // the broker's own form
  assert.deepEqual(epochs.emergencies.map(one => [one.sequence, one.envelope === done['receipt']]), [[1, true]])
  const [shown] = orRefuse(await broker.charter(world.lineage))['emergencies'] as Emergency[] // the broker's own form
  assert.match(emergencyLine(shown ?? assert.fail()), /^EMERGENCY 1: b-claims → match \(read\) without its owner's grant, until .*, signed by alpha, bravo$/)
  const plain = orRefuse(await run(world, broker, { assets: ['a-claims'] }))
  assert.equal(orRefuse(parseReceipt(String(plain.answer['receipt']))).predicate['emergency'], undefined)
  assert.equal(codeOf(await run(world, await world.open(), asked)), 'ok', 'another start of the broker knows it')
  assert.equal(codeOf(await run(world, broker, asked)), 'budget.spent')
  world.now += 3600
  assert.equal(codeOf(await run(world, broker, asked)), 'emergency.ended')
})
test('renewing is a new act with the next number; old acts open and prolong nothing, and its budget is its own', async () => {
  const world = worldOf({ of: ['alpha', 'bravo'], need: 1, lasts: '4h' })
  const broker = await ready(world)
  const act = actOf(world, 'alpha', 'emergency', world.charter, emergencySubject(1, GRANT))
  orRefuse(await broker.act(wire({ act })))
  for (let i = 0; i < 2; i++) orRefuse(await run(world, broker, asked))
  assert.equal(codeOf(await broker.act(wire({ act }))), 'emergency.bounds')
  assert.equal(codeOf(await say(world, broker, 'alpha', emergencySubject(3, GRANT))), 'emergency.bounds')
  assert.equal(codeOf(await run(world, broker, asked)), 'budget.spent')
  orRefuse(await say(world, broker, 'bravo', emergencySubject(2, GRANT)))
  assert.equal(codeOf(await run(world, broker, asked)), 'ok')
  assert.equal(codeOf(await say(world, broker, 'alpha', emergencySubject(3, { ...GRANT, until: at(4 * 3600 + 1) }))), 'emergency.bounds')
  world.now += 3601
  assert.equal(codeOf(await say(world, broker, 'alpha', emergencySubject(3, GRANT))), 'emergency.ended')
})
test('whoever is not asked, and a charter without emergencies, opens nothing', async () => {
  const one = worldOf({ of: ['alpha'], need: 1, lasts: '4h' })
  assert.equal(codeOf(await say(one, await ready(one), 'bravo')), 'charter.act')
  const none = worldOf()
  const plain = newWorld()
  assert.equal(codeOf(await say(plain, await ready(plain), 'alpha')), 'charter.act')
  const broker = await ready(none)
  for (const change of [{ subject: emergencySubject(1, { ...GRANT, until: at(60) }) }, { epoch: 2 }, { verb: 'approve' }]) {
    assert.equal(codeOf(await broker.act(wire({ act: { ...actOf(none, 'alpha', 'emergency', none.charter, emergencySubject(1, GRANT)), ...change } }))), 'verb' in change ? 'charter.stale-proposal' : 'charter.act')
  }
})
test('what is enacted or revoked ends it: narrowing wins over an emergency too', async () => {
  const narrowed = (charter: Charter) => successor(charter, next => { next.grants = [] })
  for (const end of ['enact', 'revoke'] as const) {
    const world = worldOf({ of: ['alpha'], need: 1, lasts: '4h' })
    const broker = await ready(world)
    orRefuse(await say(world, broker, 'alpha'))
    orRefuse(await run(world, broker, asked))
    if (end === 'revoke') orRefuse(await broker.act(wire({ act: actOf(world, 'bravo', 'revoke', world.charter, 'b-claims@1') })))
    else {
      const next = narrowed(world.charter)
      orRefuse(await broker.propose(wire({ charter: charterJson(next), act: actOf(world, 'alpha', 'propose', next) })))
      orRefuse(await broker.act(wire({ act: actOf(world, 'alpha', 'approve', next) })))
      orRefuse(await broker.act(wire({ act: actOf(world, 'alpha', 'enact', next) })))
    }
    assert.equal(codeOf(await run(world, broker, asked)), end === 'revoke' ? 'charter.revoked' : 'grant.none')
  }
  const world = worldOf({ of: ['alpha'], need: 1, lasts: '4h' })
  const broker = await ready(world)
  for (const party of ['alpha', 'bravo']) orRefuse(await broker.act(wire({ act: actOf(world, party, 'revoke', world.charter) })))
  assert.equal(codeOf(await say(world, broker, 'alpha')), 'charter.revoked', 'what is revoked has no emergencies')
})
test('no more than a few run at once, and no party fills the place of others', async () => {
  const world = worldOf({ of: ['alpha', 'bravo'], need: 1, lasts: '4h' })
  const broker = await ready(world)
  for (let n = 1; n <= 16; n++) orRefuse(await say(world, broker, 'alpha', emergencySubject(n, GRANT)))
  assert.equal(codeOf(await say(world, broker, 'alpha', emergencySubject(17, GRANT))), 'broker.request')
  const two = worldOf()
  const other = await ready(two)
  for (let n = 1; n <= 64; n++) orRefuse(await say(two, other, 'alpha', emergencySubject(1, { ...GRANT, until: at(n) })))
  assert.equal(codeOf(await say(two, other, 'alpha', emergencySubject(1, { ...GRANT, until: at(65) }))), 'broker.request')
  orRefuse(await say(two, other, 'bravo', emergencySubject(1, { ...GRANT, until: at(64) })))
  assert.equal(codeOf(await run(two, other, asked)), 'ok')
})
test('what no log takes is refused by itself, before anything is written', () => {
  const keys = Array.from({ length: 9 }, () => generateSigner('ml-dsa-65'))
  const worldOfCarol = (need: number) => newWorld({ uses: 9, edit: charter => {
    const parties = charter['parties'] as Record<string, { keys: string[]; need?: number }> // the fixture's own
    parties['carol'] = { keys: keys.map(one => formatKey(one.publicKey)), need }
    charter['change'] = { ...(charter['change'] as object), emergency: { of: ['carol'], need: 1, lasts: '4h' } } // the fixture's own
  } })
  const world = worldOfCarol(9)
  const outcome = step({ p, references: [], distrust: {}, nonceSeconds: 60 }, stateOf(new Map(recordsOf(world.charter))), { kind: 'act', act: actBy(world, keys[0] ?? assert.fail()), now: START, head: { time: START, witnesses: 1, size: 1 }, next: 1 })
  assert.equal(codeOf(outcome.reply), 'ok')
  const waiting = keys.slice(0, 8).map(one => actBy(world, one))
  const full = step({ p, references: [], distrust: {}, nonceSeconds: 60 }, stateOf(new Map(recordsOf(world.charter, waiting))), { kind: 'act', act: actBy(world, keys[8] ?? assert.fail()), now: START, head: { time: START, witnesses: 1, size: 1 }, next: 1 })
  assert.deepEqual([codeOf(full.reply), full.effects.length, full.changes.length], ['broker.request', 0, 0])
  const easy = worldOfCarol(1)
  const loud = step({ p, references: [], distrust: {}, nonceSeconds: 60 }, stateOf(new Map(recordsOf(easy.charter, keys.slice(0, 8).map(one => actBy(easy, one))))), { kind: 'act', act: actBy(easy, keys[8] ?? assert.fail()), now: START, head: { time: START, witnesses: 1, size: 1 }, next: 1 })
  assert.equal(codeOf(loud.reply), 'ok', 'one key was enough: the others fill nothing')
})

const actBy = (world: World, signer: LocalSigner) => actOf({ ...world, parties: { carol: signer } }, 'carol', 'emergency', world.charter, emergencySubject(1, GRANT))
/** A lineage as the state holds it, with acts of an emergency that wait. */
function recordsOf(charter: Charter, emergencyActs: readonly Act[] = []): [string, unknown][] {
  const lineage = charterDigest(p, charter)
  const versions = Object.fromEntries(Object.entries(charter.assets).map(([name, { owner }]) => [name, { owner, version: 1 }]))
  return [[keysOf.lineage(lineage), { lineage, digest: lineage, epoch: 1, history: [lineage], enactedAt: START, enacted: { index: 0 }, revoked: false, revokedAssets: [], revokedPrograms: [], revocations: [], versions, emergencyActs }], [keysOf.charter(lineage), { lineage, charter, enacted: { index: 0 } }]]
}
