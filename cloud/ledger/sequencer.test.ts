// Many askers of one log: each is told an index that holds its entry, whatever happens to witnesses and writers meanwhile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { verifyProof } from '@cloister/core/log/proof'
import { orRefuse, refusalOf } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { withFault } from '../store/faults.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import { openLedger } from './ledger.ts'
import { Sequencer } from './sequencer.ts'
import { openWitness, type Witness } from './witness.ts'

const KEY = new Uint8Array(32)
const signer = generateSigner('ed25519')
const witness = () => openWitness(p, 'w.test', generateSigner('ed25519'), openMemoryStore(emptyDisk(), KEY))
const clock = () => 1000

test('every asker gets the index of its entry, under a checkpoint that contains it', async () => {
  const disk = emptyDisk()
  const one = witness()
  const ledgers = await Promise.all([1, 2].map(() => openLedger({ p, store: openMemoryStore(disk, KEY), origin: 'log.test', signers: [signer], witnesses: [one], quorum: 1 })))
  const sequencers = ledgers.map(ledger => new Sequencer(ledger, { clock, batch: 7 }))
  const added = await Promise.all(Array.from({ length: 100 }, async (_, i) => ({ i, ...orRefuse(await (sequencers[i % 2] ?? assert.fail()).add(utf8(`entry ${i}`))) })))
  assert.equal(new Set(added.map(({ index }) => index)).size, 100)
  const [ledger = assert.fail()] = ledgers
  await ledger.reload()
  for (const { i, index, head } of added) {
    assert.ok(index < head.size)
    assert.equal(fromUtf8(await ledger.entry(index) ?? assert.fail()), `entry ${i}`)
    orRefuse(verifyProof(p, utf8(`entry ${i}`), orRefuse(await ledger.prove(index)), ledger.policy))
  }
})

test('who cannot be served is told: too long, too many, no witness, a disk that fails; the next one is served', async () => {
  let up = false
  const real = witness()
  const moody: Witness = { vkey: real.vkey, cosign: async (request, now) => (up ? real.cosign(request, now) : { ok: false, refusal: refusalOf('log.unavailable', 'witness', 'an answer', 'none') }) }
  const fault = { mode: 'persisted' as const, nth: 3, touched: false }
  const ledger = await openLedger({ p, store: withFault(openMemoryStore(emptyDisk(), KEY), fault), origin: 'log.test', signers: [signer], witnesses: [moody], quorum: 1 })
  const sequencer = new Sequencer(ledger, { clock, waiting: 2 })
  const code = async (entry: Uint8Array) => { const added = await sequencer.add(entry); return added.ok ? added.value.index : added.refusal.code }
  assert.equal(await code(new Uint8Array(65_536)), 'bytes.too-large')
  assert.equal(await code(utf8('a')), 'log.unavailable')
  up = true
  assert.deepEqual(await Promise.all(['b', 'c', 'd'].map(text => code(utf8(text)))), ['store.full', 'store.full', 'log.unavailable'], 'the checkpoint was not kept as shown; and three do not fit')
  assert.equal(fault.touched, true)
  assert.equal(await code(utf8('e')), 3, 'what was durable before stays where it is')
})
