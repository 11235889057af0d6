import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex } from '@cloister/core/bytes/hex'
import { charterDigest, programIdentity } from '@cloister/core/charter/canonical'
import { formatKey } from '@cloister/core/crypto/keys'
import { verifyEnacted, type Enactment } from '@cloister/core/enacted'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { orRefuse } from '@cloister/core/refusal'
import { signAct, type ActBody, type Verb } from '@cloister/core/charter/acts'
import type { Charter } from '@cloister/core/charter/types'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import type { Broker } from './broker.ts'
import { actOf, ask, charterJson, codeOf, found, newWorld, put, ready, run, successor, wire, type World } from './world.fixture.ts'

const propose = (world: World, broker: Broker, next: Charter, party = 'alpha') => broker.propose(wire({ charter: charterJson(next), act: actOf(world, party, 'propose', next) }))
const say = (world: World, broker: Broker, party: string, verb: 'approve' | 'veto' | 'enact' | 'revoke' | 'rotate', charter: Charter, subject?: string) => broker.act(wire({ act: actOf(world, party, verb, charter, subject) }))
const wider = (world: World) => successor(world.charter, next => { for (const grant of next.grants) grant.budget = { uses: 9 } })
const narrower = (world: World) => successor(world.charter, next => { next.grants = next.grants.filter(grant => grant.asset !== 'b-claims') })

test('found: every party approves, once; twice is the same; nobody missing', async () => {
  const world = newWorld()
  const broker = await world.open()
  assert.equal(codeOf(await broker.found(wire({ charter: charterJson(world.charter), acts: [actOf(world, 'alpha', 'approve', world.charter)] }))), 'charter.not-approved')
  const first = orRefuse(await found(world, broker))
  const size = broker.ledger.size()
  assert.deepEqual(orRefuse(await found(world, broker))['lineage'], first['lineage'])
  assert.equal(broker.ledger.size(), size)
})

test('widen: touched owners, the quorum and the notice from inclusion; then the old charter is void', async () => {
  const world = newWorld({ uses: 1 })
  const broker = await ready(world)
  const next = wider(world)
  orRefuse(await propose(world, broker, next))
  orRefuse(await say(world, broker, 'alpha', 'approve', next))
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', next)), 'charter.not-approved')
  orRefuse(await say(world, broker, 'bravo', 'approve', next))
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', next)), 'charter.notice')
  assert.equal(codeOf(await run(world, broker)), 'ok')
  world.now += 3600
  assert.equal(codeOf(await say(world, await world.open(), 'alpha', 'enact', next)), 'ok')
  assert.equal(codeOf(await run(world, broker)), 'ok', 'what was spent counts against the new budget')
  const shown = orRefuse(await broker.charter(world.lineage))
  assert.equal(shown['epoch'], 2)
})

test('budgets are not reset by re-proposing, renaming a program back, or restarting', async () => {
  const world = newWorld({ uses: 1, notice: '0s' })
  const broker = await ready(world)
  orRefuse(await run(world, broker))
  const next = successor(world.charter, charter => { for (const grant of charter.grants) grant.budget = { uses: 1, per: '1d' } })
  orRefuse(await propose(world, broker, next))
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'approve', next))
  orRefuse(await say(world, broker, 'alpha', 'enact', next))
  const back = successor(next, charter => { for (const grant of charter.grants) grant.budget = { uses: 1 } })
  orRefuse(await propose(world, broker, back))
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'approve', back))
  orRefuse(await say(world, broker, 'alpha', 'enact', back))
  assert.equal(codeOf(await run(world, await world.open())), 'budget.spent')
})

test('veto: a touched owner ends a proposal, and nobody can bring it back by saying its acts again', async () => {
  const world = newWorld({ notice: '0s' })
  const broker = await ready(world)
  const next = wider(world)
  const [proposal, approval] = [actOf(world, 'alpha', 'propose', next), actOf(world, 'bravo', 'approve', next)]
  orRefuse(await broker.propose(wire({ charter: charterJson(next), act: proposal })))
  orRefuse(await say(world, broker, 'alpha', 'approve', next))
  orRefuse(await broker.act(wire({ act: approval })))
  orRefuse(await say(world, broker, 'bravo', 'veto', next))
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', next)), 'charter.stale-proposal')
  assert.equal(codeOf(await broker.propose(wire({ charter: charterJson(next), act: proposal }))), 'charter.stale-proposal')
  assert.equal(codeOf(await broker.act(wire({ act: approval }))), 'charter.stale-proposal')
})

test('veto: no owner can forbid another to narrow', async () => {
  const world = newWorld({ edit: charter => { charter['programs'] = { match: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['simulated', 'snp'] } } } } })
  const broker = await ready(world)
  const next = successor(world.charter, charter => { for (const program of Object.values(charter.programs)) program.on = { tee: ['simulated'] } })
  orRefuse(await propose(world, broker, next, 'bravo'))
  orRefuse(await say(world, broker, 'bravo', 'approve', next))
  orRefuse(await say(world, broker, 'alpha', 'veto', next))
  assert.equal(codeOf(await say(world, broker, 'bravo', 'enact', next)), 'ok')
})

test('narrowing acts alone and at once, makes other proposals stale, and gives the asset a new key version', async () => {
  const world = newWorld({ uses: 100 })
  const broker = await ready(world)
  const pending = wider(world)
  orRefuse(await propose(world, broker, pending))
  const next = narrower(world)
  orRefuse(await propose(world, broker, next, 'bravo'))
  orRefuse(await say(world, broker, 'bravo', 'approve', next))
  orRefuse(await say(world, broker, 'bravo', 'enact', next))
  assert.equal(codeOf(await say(world, broker, 'alpha', 'approve', pending)), 'charter.stale-proposal')
  assert.deepEqual(orRefuse(await broker.charter(world.lineage))['versions'], { 'a-claims': { owner: 'alpha', version: 1 }, 'b-claims': { owner: 'bravo', version: 2 } })
  assert.equal(codeOf(await run(world, broker)), 'grant.none')
  assert.equal(codeOf(await run(world, broker, { assets: ['a-claims'] })), 'ok')
})

test('nobody drops another\'s grant alone', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const next = narrower(world)
  orRefuse(await propose(world, broker, next, 'alpha'))
  orRefuse(await say(world, broker, 'alpha', 'approve', next))
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', next)), 'charter.not-approved')
})

test('acts replayed across verbs, epochs, charters and parties are refused', async () => {
  const world = newWorld({ notice: '0s' })
  const broker = await ready(world)
  const next = wider(world)
  orRefuse(await propose(world, broker, next))
  const approve = actOf(world, 'alpha', 'approve', next)
  for (const change of [{ verb: 'enact' }, { epoch: 3 }, { party: 'bravo' }, { prev: `sha256:${'0'.repeat(64)}` }, { signature: actOf(world, 'alpha', 'veto', next).signature }]) {
    assert.equal(codeOf(await broker.act(wire({ act: { ...approve, ...change } }))), 'charter.act', JSON.stringify(change).slice(0, 60))
  }
  const other = newWorld({ seed: 'other' })
  assert.equal(codeOf(await broker.act(wire({ act: actOf(other, 'alpha', 'approve', successor(other.charter, one => { one.grants = [] })) }))), 'head.unknown-charter')
  assert.equal(codeOf(await broker.act(wire({ act: { ...actOf(other, 'alpha', 'approve', next), lineage: world.lineage } }))), 'charter.act')
  assert.equal(codeOf(await broker.act(wire({ act: actOf(world, 'alpha', 'approve', world.charter) }))), 'charter.stale-proposal')
})

test('revoke acts at once; its act cannot be said again after the owner put a new key', async () => {
  const world = newWorld({ uses: 100 })
  const broker = await ready(world)
  assert.equal(codeOf(await say(world, broker, 'alpha', 'revoke', world.charter, 'b-claims@1')), 'ok')
  assert.equal(codeOf(await run(world, broker)), 'ok', 'alpha is not the owner: its word waits for nobody')
  const act = actOf(world, 'bravo', 'revoke', world.charter, 'b-claims@1')
  orRefuse(await broker.act(wire({ act })))
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked')
  assert.equal(codeOf(await run(world, await world.open())), 'charter.revoked')
  assert.equal(codeOf(await put(world, broker, 'b-claims', 1)), 'asset.key-missing')
  orRefuse(await put(world, broker, 'b-claims', 2))
  assert.equal(codeOf(await run(world, broker)), 'ok')
  assert.equal(codeOf(await broker.act(wire({ act }))), 'charter.act')
  assert.equal(codeOf(await run(world, broker)), 'ok')
  orRefuse(await say(world, broker, 'alpha', 'revoke', world.charter))
  assert.equal(codeOf(await run(world, broker)), 'ok')
  orRefuse(await say(world, broker, 'bravo', 'revoke', world.charter))
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked')
})

test('keys: by the owner, for the right version and bytes; rotation needs a new deposit', async () => {
  const world = newWorld({ uses: 100, edit: charter => { charter['assets'] = { 'a-claims': { owner: 'alpha', kind: 'data', digest: `sha256:${'a'.repeat(64)}` }, 'b-claims': { owner: 'bravo', kind: 'data', ttl: '1d' } } } })
  const broker = await world.open()
  orRefuse(await found(world, broker))
  assert.equal(codeOf(await run(world, broker)), 'asset.key-missing')
  assert.equal(codeOf(await put(world, broker, 'c-claims')), 'asset.unknown')
  orRefuse(await put(world, broker, 'a-claims'))
  orRefuse(await put(world, broker, 'b-claims'))
  assert.equal(codeOf(await put(world, broker, 'b-claims', 1, world.charter, 'AGE-SECRET-KEY-other')), 'asset.key-missing')
  assert.equal(codeOf(await run(world, broker)), 'ok')
  orRefuse(await say(world, broker, 'alpha', 'rotate', world.charter, 'a-claims@1'))
  assert.equal(codeOf(await run(world, broker)), 'asset.key-missing')
  orRefuse(await put(world, broker, 'a-claims', 2))
  assert.equal(codeOf(await run(world, broker)), 'ok')
  world.now += 86_400
  assert.equal(codeOf(await run(world, broker)), 'asset.key-missing', 'past its deadline a key opens nothing')
})

test('rotation: a party exchanges its own keys after the notice, with nobody else; an owner may stop it, and the old key is nobody then', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const fresh = generateSigner('p256')
  const next = successor(world.charter, charter => { charter.parties['bravo'] = { keys: [formatKey(fresh.publicKey)] } })
  const sayAnew = (verb: Verb, charter: Charter, subject?: string) => broker.act(wire({ act: actOf({ ...world, parties: { bravo: fresh } }, 'bravo', verb, charter, subject) }))
  orRefuse(await propose(world, broker, next, 'bravo'))
  orRefuse(await say(world, broker, 'bravo', 'approve', next))
  world.now += 3600
  assert.equal(codeOf(await say(world, broker, 'bravo', 'enact', next)), 'charter.not-approved')
  orRefuse(await sayAnew('approve', next))
  assert.equal(codeOf(await say(world, broker, 'bravo', 'enact', next)), 'ok')
  assert.equal(codeOf(await say(world, broker, 'bravo', 'revoke', next, 'b-claims@1')), 'charter.act')
  assert.equal(codeOf(await run(world, broker)), 'ok', 'no asset and no budget was touched')
  assert.equal(codeOf(await sayAnew('revoke', next, 'b-claims@1')), 'ok')
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked')
  const again = successor(next, charter => { charter.parties['alpha'] = { keys: [formatKey(generateSigner('ed25519').publicKey)] } })
  orRefuse(await propose(world, broker, again))
  assert.equal(orRefuse(await sayAnew('veto', again))['ended'], true)
})

test('exit: a party takes its assets back alone and at once; others keep their budgets, and leaving the list follows as a change', async () => {
  const world = newWorld({ uses: 3, notice: '1h', edit: charter => { charter['change'] = { widen: { of: ['alpha'], need: 1, notice: '1h' } } } })
  const broker = await ready(world)
  orRefuse(await run(world, broker))
  const out = successor(world.charter, next => {
    next.grants = next.grants.filter(grant => grant.asset !== 'b-claims')
    delete next.assets['b-claims']
  })
  orRefuse(await propose(world, broker, out, 'bravo'))
  orRefuse(await say(world, broker, 'bravo', 'approve', out))
  assert.equal(codeOf(await say(world, broker, 'bravo', 'enact', out)), 'ok', 'at once, with nobody else')
  assert.equal(codeOf(await run(world, broker, { assets: ['b-claims'] })), 'grant.none')
  for (let i = 0; i < 2; i++) orRefuse(await run(world, broker, { assets: ['a-claims'] }))
  assert.equal(codeOf(await run(world, broker, { assets: ['a-claims'] })), 'budget.spent', 'alpha\'s budget is what it was')
  const gone = successor(out, next => {
    for (const grant of next.grants) grant.out = [{ to: ['alpha'], shape: 'rows', about: 'own' }]
    delete next.parties['bravo']
  })
  orRefuse(await propose(world, broker, gone))
  orRefuse(await say(world, broker, 'alpha', 'approve', gone))
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', gone)), 'charter.notice')
  world.now += 3600
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', gone)), 'ok')
  assert.equal(codeOf(await say(world, broker, 'bravo', 'veto', gone)), 'charter.stale-proposal')
  assert.deepEqual(orRefuse(await broker.charter(world.lineage))['versions'], { 'a-claims': { owner: 'alpha', version: 2 }, 'b-claims': { owner: 'bravo', version: 2 } }, 'an asset that comes back has another key')
})

const enactAll = async (world: World, broker: Broker, next: Charter) => {
  orRefuse(await propose(world, broker, next))
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'approve', next))
  orRefuse(await say(world, broker, 'alpha', 'enact', next))
}
const revokeProgram = async (world: World, broker: Broker) => {
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'revoke', world.charter, 'program:match'))
}

test('revoke a program: its assets are sealed anew, and no later epoch revives it unless it is listed anew with every owner\'s signature', async () => {
  const world = newWorld({ uses: 100, notice: '0s' })
  const broker = await ready(world)
  await revokeProgram(world, broker)
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked')
  assert.deepEqual(orRefuse(await broker.charter(world.lineage))['versions'], { 'a-claims': { owner: 'alpha', version: 2 }, 'b-claims': { owner: 'bravo', version: 2 } })
  for (const asset of ['a-claims', 'b-claims']) orRefuse(await put(world, broker, asset, 2))
  await revokeProgram(world, broker)
  assert.deepEqual(orRefuse(await broker.charter(world.lineage))['versions'], { 'a-claims': { owner: 'alpha', version: 2 }, 'b-claims': { owner: 'bravo', version: 2 } }, 'the same acts again end nothing')
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked', 'new keys are not for it')
  const kept = successor(world.charter, next => { for (const grant of next.grants) grant.budget = { uses: 200 } })
  await enactAll(world, broker, kept)
  assert.equal(codeOf(await run(world, await world.open())), 'charter.revoked', 'a widening that keeps it does not revive it')
  const without = successor(kept, next => { next.grants = []; next.programs = {} })
  await enactAll(world, broker, without)
  const bare = successor(without, next => { next.programs = structuredClone(kept.programs) })
  await enactAll(world, broker, bare)
  const granted = successor(bare, next => { next.grants = structuredClone(kept.grants) })
  await enactAll(world, broker, granted)
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked', 'listed without grants, nobody had to sign for it')
  const gone = successor(granted, next => { next.grants = []; next.programs = {} })
  await enactAll(world, broker, gone)
  const anew = successor(gone, next => { next.programs = structuredClone(kept.programs); next.grants = structuredClone(kept.grants) })
  await enactAll(world, broker, anew)
  const { versions } = orRefuse(await broker.charter(world.lineage))
  assert.equal(codeOf(await run(world, broker)), 'asset.key-missing', 'what was narrowed on the way needs new keys')
  for (const [asset, { version }] of Object.entries(versions as Record<string, { version: number }>)) orRefuse(await put(world, broker, asset, version, anew)) // the broker's own form
  assert.equal(codeOf(await run(world, broker)), 'ok')
})
test('revoke a program: other bytes under its name run, and going back to the old ones is every owner\'s decision', async () => {
  const world = newWorld({ uses: 100, notice: '0s' })
  const broker = await ready(world)
  await revokeProgram(world, broker)
  const repaired = successor(world.charter, next => { next.programs['match'] = { run: { sql: `sha256:${'2'.repeat(64)}` }, on: { tee: ['simulated'] } } })
  await enactAll(world, broker, repaired)
  for (const asset of ['a-claims', 'b-claims']) orRefuse(await put(world, broker, asset, 2, repaired))
  assert.equal(codeOf(await run(world, broker)), 'ok')
})
test('revoke the charter: every key has a new version, and nothing that is enacted later revives it', async () => {
  const world = newWorld({ uses: 100, notice: '0s' })
  const broker = await ready(world)
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'revoke', world.charter))
  assert.deepEqual(orRefuse(await broker.charter(world.lineage))['versions'], { 'a-claims': { owner: 'alpha', version: 2 }, 'b-claims': { owner: 'bravo', version: 2 } })
  const next = wider(world)
  await enactAll(world, broker, next)
  for (const asset of ['a-claims', 'b-claims']) orRefuse(await put(world, broker, asset, 3, next))
  assert.equal(codeOf(await run(world, broker)), 'charter.revoked')
})
test('a superseded program is void at enactment, under the old charter and under the new one', async () => {
  const world = newWorld({ uses: 100, notice: '0s' })
  const broker = await ready(world)
  const early = orRefuse(await ask(world, broker))
  const next = successor(world.charter, charter => { charter.programs['match'] = { run: { sql: `sha256:${'2'.repeat(64)}` }, on: { tee: ['simulated'] } } })
  const identity = (charter: Charter) => programIdentity(p, world.lineage, 'match', charter.programs['match'] ?? assert.fail())
  await enactAll(world, broker, next)
  assert.equal(codeOf(await broker.release(wire(early.body))), 'charter.superseded', 'a guest that had its challenge before')
  assert.equal(codeOf(await run(world, broker, { hostData: fromHex(identity(world.charter).slice(7)) })), 'program.mismatch')
  assert.equal(codeOf(await run(world, broker)), 'ok')
  assert.notEqual(identity(next), identity(world.charter))
})

test('what a broker says about its epochs verifies offline: founded, widened after a proven notice, narrowed', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const wide = wider(world)
  orRefuse(await propose(world, broker, wide))
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'approve', wide))
  world.now += 3600
  orRefuse(await say(world, broker, 'alpha', 'enact', wide))
  const narrow = successor(wide, next => { next.grants = next.grants.filter(grant => grant.asset !== 'b-claims') })
  orRefuse(await propose(world, broker, narrow, 'bravo'))
  for (const party of ['alpha', 'bravo']) orRefuse(await say(world, broker, party, 'approve', narrow))
  orRefuse(await say(world, broker, 'alpha', 'veto', narrow))
  orRefuse(await say(world, broker, 'bravo', 'enact', narrow))
  const said = orRefuse(await broker.epochs(world.lineage)) as unknown as { charters: Charter[]; enactments: Enactment[] } // the broker's own form
  const { epochs } = orRefuse(verifyEnacted(p, said.charters, said.enactments, broker.ledger.policy))
  assert.deepEqual(epochs.map(({ change, signed, notice, key }) => [change, signed.join(), notice, key === broker.key]), [['founded', 'alpha,bravo', 'none', true], ['widen', 'alpha,bravo', 'proven', true], ['narrow', 'bravo', 'none', true]])
})
const carol = Array.from({ length: 9 }, () => generateSigner('ml-dsa-65'))
test('a receipt of an enactment holds what justifies it, whatever else was said, and says when that is too much', async () => {
  const world = newWorld({ notice: '0s', edit: charter => {
    const parties = charter['parties'] as Record<string, { keys: string[]; need?: number }> // the fixture's own
    parties['carol'] = { keys: carol.map(one => formatKey(one.publicKey)), need: 9 }
  } })
  const broker = await world.open()
  const acts = (of: World) => [...['alpha', 'bravo'].map(party => actOf(of, party, 'approve', of.charter)), ...carol.map(one => actOf({ ...of, parties: { carol: one } }, 'carol', 'approve', of.charter))]
  assert.equal(codeOf(await broker.found(wire({ charter: charterJson(world.charter), acts: acts(world) }))), 'charter.limit', 'nine keys of ML-DSA-65')
  const smaller = newWorld({ notice: '0s', edit: charter => {
    const parties = charter['parties'] as Record<string, { keys: string[]; need?: number }> // the fixture's own
    parties['carol'] = { keys: carol.map(one => formatKey(one.publicKey)) }
  } })
  const other = await smaller.open()
  orRefuse(await other.found(wire({ charter: charterJson(smaller.charter), acts: acts(smaller) })))
  const next = successor(smaller.charter, charter => { charter.grants = charter.grants.filter(grant => grant.asset !== 'b-claims') })
  orRefuse(await propose(smaller, other, next, 'bravo'))
  for (const one of carol) orRefuse(await other.act(wire({ act: actOf({ ...smaller, parties: { carol: one } }, 'carol', 'approve', next) })))
  orRefuse(await say(smaller, other, 'bravo', 'approve', next))
  const enacted = orRefuse(await say(smaller, other, 'bravo', 'enact', next))
  const { approvals } = orRefuse(parseReceipt(String(enacted['receipt']))).predicate
  assert.deepEqual((approvals as { party: string }[]).map(one => one.party), ['bravo'], 'nobody fills a receipt with approvals that were not asked for') // the broker's own list
})

test('nobody fills the place of others: a stranger who proposes itself, or a party, cannot keep an owner from narrowing', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const stranger = generateSigner('ed25519')
  const joining = (n: number) => successor(world.charter, next => { next.parties[`stranger-${n}`] = { keys: [formatKey(stranger.publicKey)] } })
  const offer = (n: number) => { const next = joining(n); return broker.propose(wire({ charter: charterJson(next), act: actOf({ ...world, parties: { [`stranger-${n}`]: stranger } }, `stranger-${n}`, 'propose', next) })) }
  for (let n = 0; n < 8; n++) orRefuse(await offer(n))
  assert.equal(codeOf(await offer(8)), 'broker.request')
  for (let uses = 10; uses < 18; uses++) orRefuse(await propose(world, broker, successor(world.charter, next => { for (const grant of next.grants) grant.budget = { uses } })))
  assert.equal(codeOf(await propose(world, broker, successor(world.charter, next => { for (const grant of next.grants) grant.budget = { uses: 18 } }))), 'broker.request')
  const next = narrower(world)
  orRefuse(await propose(world, broker, next, 'bravo'))
  orRefuse(await say(world, broker, 'bravo', 'approve', next))
  assert.equal(codeOf(await say(world, broker, 'bravo', 'enact', next)), 'ok')
})

test('a change of many things is proposed and enacted, though its lines fill no receipt; nothing else is refused with what is too long', async () => {
  const world = newWorld({ uses: 9, edit: charter => {
    const assets = charter['assets'] as Record<string, object> // the fixture's own
    const grants = charter['grants'] as object[] // the fixture's own
    for (let i = 0; i < 700; i++) {
      assets[`more-${i}`] = { owner: 'alpha', kind: 'data' }
      grants.push({ asset: `more-${i}`, to: 'match', can: 'read' })
    }
  } })
  const broker = await ready(world)
  const next = successor(world.charter, charter => { for (const grant of charter.grants) if (grant.asset.startsWith('more')) grant.until = '2040-01-01T00:00:00Z' })
  const [proposed, released] = await Promise.all([propose(world, broker, next), run(world, broker)])
  assert.deepEqual([codeOf(proposed), codeOf(released)], ['ok', 'ok'])
  assert.deepEqual(orRefuse(parseReceipt(String(orRefuse(proposed)['receipt']))).predicate['touched'], ['700 changes: the charter shows them'])
  orRefuse(await say(world, broker, 'alpha', 'approve', next))
  orRefuse(await say(world, broker, 'alpha', 'enact', next))
  assert.equal(codeOf(await run(world, broker)), 'ok')
})

test('acts that are signed well but about something else: another epoch, another charter, what is not there', async () => {
  const world = newWorld({ notice: '0s', uses: 50 })
  const broker = await ready(world)
  const next = wider(world)
  orRefuse(await propose(world, broker, next))
  const signed = (change: Partial<ActBody>) => signAct(world.parties['alpha'] ?? assert.fail(), { verb: 'approve', lineage: world.lineage, digest: charterDigest(p, next), epoch: 2, prev: world.lineage, party: 'alpha', ...change })
  assert.equal(codeOf(await broker.act(wire({ act: signed({}) }))), 'ok')
  for (const change of [{ epoch: 3 }, { prev: `sha256:${'0'.repeat(64)}` as const }]) assert.equal(codeOf(await broker.act(wire({ act: signed(change) }))), 'charter.act', JSON.stringify(change))
  assert.equal(codeOf(await broker.propose(wire({ charter: charterJson(next), act: signed({ verb: 'propose', epoch: 7 }) }))), 'charter.act')
  const [early, program] = [actOf(world, 'bravo', 'revoke', world.charter, 'b-claims@1'), actOf(world, 'alpha', 'revoke', world.charter, 'program:match')]
  orRefuse(await say(world, broker, 'bravo', 'approve', next))
  orRefuse(await say(world, broker, 'alpha', 'enact', next))
  for (const act of [early, program, actOf(world, 'alpha', 'rotate', world.charter, 'a-claims@1')]) assert.equal(codeOf(await broker.act(wire({ act }))), 'charter.act', 'signed for the epoch before')
  assert.equal(codeOf(await say(world, broker, 'alpha', 'revoke', next, 'z-claims@0')), 'asset.unknown')
  assert.equal(codeOf(await say(world, broker, 'alpha', 'revoke', next, 'program:other')), 'program.unknown')
})
test('veto: whoever took its approval back does not give it again to the same proposal', async () => {
  const world = newWorld({ notice: '0s', edit: charter => { charter['programs'] = { match: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['simulated', 'snp'] } } } } })
  const broker = await ready(world)
  const next = successor(world.charter, charter => { for (const program of Object.values(charter.programs)) program.on = { tee: ['simulated'] } })
  orRefuse(await propose(world, broker, next))
  const approval = actOf(world, 'alpha', 'approve', next)
  orRefuse(await broker.act(wire({ act: approval })))
  orRefuse(await say(world, broker, 'alpha', 'veto', next))
  assert.equal(codeOf(await broker.act(wire({ act: approval }))), 'charter.act')
  assert.equal(codeOf(await say(world, broker, 'alpha', 'enact', next)), 'charter.not-approved')
})
