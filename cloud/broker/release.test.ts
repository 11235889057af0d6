import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '@cloister/core/bytes/base64'
import { utf8 } from '@cloister/core/bytes/text'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { verifyProof } from '@cloister/core/log/proof'
import { orRefuse } from '@cloister/core/refusal'
import { openRelease, parseSealed } from '@cloister/core/seal/release'
import { nodePrimitives as p } from '../crypto/node.ts'
import { withFault } from '../store/faults.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import { actOf, ask, codeOf, entriesOf, newGuest, newWorld, openKeys, put, ranReceipt, ready, run, successor, wire, charterJson, found } from './world.fixture.ts'
import { openWitness } from '../ledger/witness.ts'
import { generateSigner } from '../crypto/node.ts'

test('release: keys for the right guest, with a receipt that verifies in the witnessed log', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const { keys, answer } = orRefuse(await run(world, broker))
  assert.deepEqual(keys.map(key => key.identity), ['AGE-SECRET-KEY-a-claims-1', 'AGE-SECRET-KEY-b-claims-1'])
  const envelope = String(answer['receipt'])
  assert.equal(orRefuse(parseReceipt(envelope)).verb, 'released')
  assert.equal(orRefuse(verifyProof(p, utf8(envelope), String(answer['proof']), broker.ledger.policy)).witnesses, 1)
})

test('nonce: stale, reused, invented, and of another charter are each refused (rows 58, 59, 67)', async () => {
  const world = newWorld({ uses: 100 })
  const broker = await ready(world)
  const asked = orRefuse(await ask(world, broker))
  assert.equal(codeOf(await broker.release(wire({ ...asked.body, nonce: toBase64(new Uint8Array(32)) }))), 'broker.nonce')
  assert.equal(codeOf(await broker.release(wire({ ...asked.body, nonce: '' }))), 'broker.request')
  world.now += 61
  assert.equal(codeOf(await broker.release(wire(asked.body))), 'broker.nonce')
  const fresh = orRefuse(await ask(world, broker))
  assert.equal(codeOf(await broker.release(wire(fresh.body))), 'ok')
  assert.equal(codeOf(await broker.release(wire(fresh.body))), 'broker.replay')
  assert.equal(codeOf(await (await world.open()).release(wire(fresh.body))), 'broker.replay', 'also at another broker, and after a restart')
  await broker.tick()
  world.now += 59
  assert.equal(codeOf(await broker.release(wire(fresh.body))), 'broker.replay')
})

test('two releases at once with one nonce: one of them gets keys', async () => {
  const world = newWorld({ uses: 100 })
  const broker = await ready(world)
  const asked = orRefuse(await ask(world, broker))
  const codes = await Promise.all([1, 2, 3].map(async () => codeOf(await broker.release(wire(asked.body)))))
  assert.deepEqual(codes.sort(), ['broker.replay', 'broker.replay', 'ok'])
})

test('evidence of another guest, of another program, of an unknown runtime, with debug on: refused', async () => {
  const world = newWorld({ uses: 100 })
  const broker = await ready(world)
  const [mine, theirs] = [orRefuse(await ask(world, broker)), orRefuse(await ask(world, broker))]
  assert.equal(codeOf(await broker.release(wire({ ...mine.body, evidence: theirs.body['evidence'] }))), 'evidence.report-data')
  assert.equal(codeOf(await broker.release(wire({ ...mine.body, guest: theirs.body['guest'] }))), 'evidence.report-data')
  assert.equal(codeOf(await run(world, broker, { hostData: new Uint8Array(32) })), 'program.mismatch')
  assert.equal(codeOf(await run(world, broker, { measurement: new Uint8Array(48).fill(9) })), 'appraisal.measurement')
  assert.equal(codeOf(await run(world, broker, { policy: 0xb0000n })), 'appraisal.debug')
  assert.equal(codeOf(await run(world, broker, { program: 'other' })), 'program.unknown')
  assert.equal(codeOf(await run(world, broker, { assets: ['nothing'] })), 'grant.none')
})

test('a release replayed to another guest does not open', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const { answer, asked } = orRefuse(await run(world, broker))
  assert.equal(codeOf(openRelease(p, newGuest(world).seal.secret, broker.key, asked.context, parseSealed(answer['sealed']))), 'seal.open')
  const other = orRefuse(await ask(world, broker))
  assert.equal(codeOf(openKeys(broker, other, answer)), 'seal.sender')
})

test('an old charter presented as current is refused, and so is an unknown one', async () => {
  const world = newWorld({ uses: 100, notice: '0s' })
  const broker = await ready(world)
  const asked = orRefuse(await ask(world, broker))
  const next = successor(world.charter, charter => { charter.grants = charter.grants.filter(grant => grant.asset !== 'b-claims') })
  orRefuse(await broker.propose(wire({ charter: charterJson(next), act: actOf(world, 'bravo', 'propose', next) })))
  orRefuse(await broker.act(wire({ act: actOf(world, 'bravo', 'approve', next) })))
  orRefuse(await broker.act(wire({ act: actOf(world, 'bravo', 'enact', next) })))
  assert.equal(codeOf(await broker.release(wire(asked.body))), 'charter.superseded')
  assert.equal(codeOf(await broker.release(wire({ ...asked.body, charter: `sha256:${'0'.repeat(64)}` }))), 'broker.nonce')
  assert.equal(codeOf(await run(world, broker, { charter: `sha256:${'0'.repeat(64)}` })), 'head.unknown-charter')
  assert.equal(codeOf(await run(world, broker, { assets: ['b-claims'] })), 'grant.none')
})

test('budgets survive restart, and windows count from the first enactment', async () => {
  const world = newWorld({ uses: 2, per: '1d' })
  await ready(world)
  for (let i = 0; i < 2; i++) assert.equal(codeOf(await run(world, await world.open())), 'ok')
  assert.equal(codeOf(await run(world, await world.open())), 'budget.spent')
  world.now += 86_400
  assert.equal(codeOf(await run(world, await world.open())), 'ok')
})

test('a clock that was set back gets nothing: heads, grants, windows (row 110)', async () => {
  const world = newWorld({ uses: 1, per: '1d' })
  const broker = await ready(world)
  world.now += 86_400
  assert.equal(codeOf(await run(world, broker)), 'ok')
  world.now -= 80_000
  assert.equal(codeOf(await run(world, broker)), 'head.stale')
  assert.equal(codeOf(await put(world, broker, 'a-claims', 2)), 'head.stale')
})

test('a witness that does not answer, or that saw a longer log, stops every release (rows 73, 99)', async () => {
  const world = newWorld({ uses: 100, head: '1m' })
  const snapshot = { head: world.disk.head, entries: world.disk.entries }
  const broker = await ready(world)
  const before = { head: world.disk.head, entries: world.disk.entries }
  assert.equal(codeOf(await run(world, broker)), 'ok')
  Object.assign(world.disk, before) // the host sets the disk back by one release
  const reopened = await world.open()
  assert.equal(codeOf(await run(world, reopened)), 'log.unavailable')
  Object.assign(world.disk, snapshot)
  const silent = { ...openWitness(p, 'witness.test', generateSigner('ed25519', new Uint8Array(32).fill(3)), openMemoryStore(emptyDisk(), new Uint8Array(32))), cosign: async () => ({ ok: false as const, refusal: { code: 'log.unavailable' as const, at: '', expected: '', got: '' } }) }
  const alone = await world.open({ ledger: { origin: 'log.test', witnesses: [silent], quorum: 1 } })
  assert.equal(codeOf(await found(world, alone)), 'log.unavailable')
})

test('log before release: the write fails in either way, and no key leaves (row 111)', async () => {
  for (const mode of ['not-persisted', 'persisted'] as const) {
    const world = newWorld({ uses: 2 })
    await ready(world)
    for (let nth = 1, reached = true; reached; nth++) {
      const fault = { mode, nth, touched: false }
      const broker = await world.open({ store: withFault(world.store(), fault) })
      const result = await run(world, broker)
      if (fault.touched) assert.notEqual(codeOf(result), 'budget.spent')
      reached = fault.touched && nth < 20
      const entries = (await entriesOf(world)).filter(entry => orRefuse(parseReceipt(entry)).verb === 'released').length
      const spent = entries
      assert.ok(spent <= 2)
      if (result.ok) assert.ok(entries > 0)
      if (spent === 2) break
    }
  }
})

test('two brokers on one store: budgets and nonces are one (row 119)', async () => {
  const world = newWorld({ uses: 5 })
  const one = await ready(world)
  const two = await world.open()
  const results = await Promise.all(Array.from({ length: 12 }, (_, i) => run(world, i % 2 === 0 ? one : two)))
  assert.equal(results.filter(result => result.ok).length, 5)
  assert.equal(results.filter(result => codeOf(result) === 'budget.spent').length, 7)
  assert.equal(one.key, two.key)
})

test('receipts of a run: only by the guest that got keys, for its lineage, and once each', async () => {
  const world = newWorld()
  const broker = await ready(world)
  const { asked } = orRefuse(await run(world, broker))
  const receipt = ranReceipt(world, asked.guest)
  const first = orRefuse(await broker.receipt(wire({ receipt })))
  assert.equal(orRefuse(verifyProof(p, utf8(receipt), String(first['proof']), broker.ledger.policy)).witnesses, 1)
  const size = broker.ledger.size()
  orRefuse(await broker.receipt(wire({ receipt })))
  assert.equal(broker.ledger.size(), size)
  assert.equal(codeOf(await broker.receipt(wire({ receipt: ranReceipt(world, newGuest(world)) }))), 'receipt.key')
  assert.equal(codeOf(await broker.receipt(wire({ receipt: ranReceipt(world, asked.guest, `sha256:${'0'.repeat(64)}`) }))), 'receipt.charter')
  const parsed: unknown = JSON.parse(receipt)
  const tampered = JSON.stringify({ ...(parsed as object), payload: toBase64(utf8('{}')) }) // an object, as made above
  assert.notEqual(codeOf(await broker.receipt(wire({ receipt: tampered }))), 'ok')
})

test('why: the decision without its effects', async () => {
  const world = newWorld({ uses: 1 })
  const broker = await ready(world)
  const asked = orRefuse(await ask(world, broker))
  const size = broker.ledger.size()
  for (let i = 0; i < 3; i++) assert.equal(codeOf(await broker.why(wire(asked.body))), 'ok')
  assert.equal(broker.ledger.size(), size)
  assert.equal(codeOf(await broker.release(wire(asked.body))), 'ok')
  const again = await broker.why(wire(orRefuse(await ask(world, broker)).body))
  assert.equal(again.ok ? '' : again.refusal.at, 'grants[0].budget.uses')
})
