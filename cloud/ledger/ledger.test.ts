// The log engine: every entry proven, tiles that give the same tree, forks and set-back stores that no witness follows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { formatNote, logKey, signNote, type Note } from '@cloister/core/log/note'
import { verifyProof } from '@cloister/core/log/proof'
import type { LogPolicy } from '@cloister/core/log/policy'
import { leafHash, rootAt, type HashAt } from '@cloister/core/log/tree'
import { attemptAsync, orRefuse, refuse, refusalOf, type Result } from '@cloister/core/refusal'
import fc from 'fast-check'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { withFault } from '../store/faults.ts'
import { emptyDisk, openMemoryStore, type Disk } from '../store/memory.ts'
import type { Store } from '../store/store.ts'
import { openLedger, type Ledger } from './ledger.ts'
import { openWitness, type Witness } from './witness.ts'

const ORIGIN = 'log.test'
const KEY = generateSigner('ed25519', new Uint8Array(32).fill(1))
const TAGS = new Uint8Array(32)

const storeOn = (disk: Disk) => openMemoryStore(disk, TAGS)
const copyOf = (disk: Disk): Disk => ({ head: disk.head, entries: disk.entries })
const witnessOf = (name: string, disk = emptyDisk()) => openWitness(p, name, generateSigner('ed25519', p.hash('sha256', utf8(name))), storeOn(disk))
const ledgerOf = (disk: Disk, witnesses: readonly Witness[] = [], quorum = witnesses.length, signer = KEY, origin = ORIGIN) => openLedger({ p, store: storeOn(disk), origin, signers: [signer], witnesses, quorum })
const entries = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => utf8(`entry ${from + i}`))
const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const refused = (result: Result<unknown>, code: string, got = ''): void => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  assert.ok(result.refusal.got.includes(got), result.refusal.got)
}
const grow = async (ledger: Ledger, to: number, now = 1000) => {
  await ledger.append(entries(ledger.size(), to))
  return ledger.publish(now)
}
const signedOn = async (disk: Disk) => fromUtf8((await storeOn(disk).list({ prefix: 'log/' })).find(one => one.key.endsWith('/signed'))?.value ?? assert.fail())

test('whatever the batches, every entry is proven, only under a tree that was shown, and after a restart too', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 200, max: 600 })), { minLength: 1, maxLength: 5 }), async batches => {
    const disk = emptyDisk()
    const witness = witnessOf('w1')
    let ledger = await ledgerOf(disk, [witness])
    let size = 0
    for (const [i, batch] of batches.entries()) {
      assert.equal(await ledger.append(entries(size, size + batch)), size)
      refused(await ledger.prove(size), 'log.unavailable')
      size += batch
      assert.equal(held(await ledger.publish(1000)).size, size)
      if (i % 2 === 1) ledger = await ledgerOf(disk, [witness])
      assert.equal(ledger.size(), size)
    }
    for (let index = 0; index < size; index += 1 + Math.floor(size / 40)) {
      const proof = held(await ledger.prove(index))
      assert.equal(held(verifyProof(p, utf8(`entry ${index}`), proof, ledger.policy)).index, index)
      refused(verifyProof(p, utf8(`entry ${index + 1}`), proof, ledger.policy), 'log.inclusion')
      assert.equal(fromUtf8(await ledger.entry(index) ?? assert.fail()), `entry ${index}`)
    }
    for (const index of [size, -1, 0.5, NaN]) {
      assert.ok(!(await ledger.prove(index)).ok, String(index))
      assert.equal(await ledger.entry(index), undefined)
    }
  }), { numRuns: 20 })
})

test('the tiles of the log give its checkpoint', async () => {
  const disk = emptyDisk()
  const ledger = await ledgerOf(disk, [witnessOf('w1')])
  assert.equal(await ledger.file('checkpoint'), undefined)
  held(await grow(ledger, 600))
  await ledger.append(entries(600, 800)) // durable, not shown: no reader sees it
  const file = async (path: string) => (await ledger.file(path))?.bytes
  const checkpoint = held(parseCheckpoint(fromUtf8(await file('checkpoint') ?? assert.fail())))
  const tiles = await Promise.all(['tile/0/000', 'tile/0/001', 'tile/0/002.p/88'].map(async path => await file(path) ?? assert.fail(path)))
  const leaves = tiles.flatMap(tile => Array.from({ length: tile.length / 32 }, (_, i) => tile.subarray(32 * i, 32 * i + 32)))
  assert.equal(leaves.length, 600)
  const hashAt: HashAt = (level, index) => level === 0 ? leaves[index] ?? assert.fail() : p.hash('sha256', new Uint8Array([1, ...hashAt(level - 1, 2 * index), ...hashAt(level - 1, 2 * index + 1)]))
  assert.equal(toHex(rootAt(p, 600, hashAt)), toHex(checkpoint.root))
  assert.equal(toHex(await ledger.rootAt(600) ?? assert.fail()), toHex(checkpoint.root))
  assert.equal(toHex(await file('tile/1/000.p/2') ?? assert.fail()), toHex(hashAt(8, 0)) + toHex(hashAt(8, 1)))
  const bundle = await file('tile/entries/002.p/88') ?? assert.fail()
  for (let [at, index] = [0, 512]; at < bundle.length; index++) {
    const length = (bundle[at] ?? 0) * 256 + (bundle[at + 1] ?? 0)
    assert.equal(toHex(leafHash(p, bundle.subarray(at + 2, at + 2 + length))), toHex(leaves[index] ?? assert.fail()))
    at += 2 + length
  }
  for (const path of ['tile/0/002', 'tile/0/002.p/89', 'tile/0/002.p/0', 'tile/0/000.p/256', 'tile/0/003', 'tile/1/000', 'tile/2/000', 'tile/64/000', 'tile/0/x000/000', 'tile/0/0', 'tile/0/000/..', 'tile/63/x999/x999/x999/x999/x999/999', 'tile/entries/002.p/89', '../checkpoint', '']) assert.equal(await file(path), undefined, path)
})

test('two levels of tiles: 70,000 entries, proven across them and after a restart', async () => {
  const disk = emptyDisk()
  const witness = witnessOf('w1')
  const first = await ledgerOf(disk, [witness])
  for (let size = 0; size < 70_000; size += 7000) await first.append(entries(size, size + 7000))
  const ledger = await ledgerOf(disk, [witness])
  held(await ledger.publish(1000))
  for (const index of [0, 255, 256, 65_535, 65_536, 69_999]) held(verifyProof(p, utf8(`entry ${index}`), held(await ledger.prove(index)), ledger.policy))
  assert.equal((await ledger.file('tile/1/000'))?.bytes.length, 8192)
  assert.equal((await ledger.file('tile/2/000.p/1'))?.bytes.length, 32)
  held(await grow(ledger, 70_001))
})

test('several origins on one store do not touch each other', async () => {
  const disk = emptyDisk()
  const logs = await Promise.all(['a.test', 'b.test', 'a.test/x'].map(origin => ledgerOf(disk, [], 0, KEY, origin)))
  for (const [i, log] of logs.entries()) await log.append(entries(0, 300 + i))
  for (const [i, origin] of ['a.test', 'b.test', 'a.test/x'].entries()) {
    const again = await ledgerOf(disk, [], 0, KEY, origin)
    assert.equal(again.size(), 300 + i)
    assert.equal(held(await again.publish(1)).text.split('\n')[0], origin)
  }
})

test('two writers: one continues, the other is told, reads again and continues that', async () => {
  const disk = emptyDisk()
  const [one, two] = [await ledgerOf(disk), await ledgerOf(disk)]
  const stale = two.prepare([utf8('late')])
  await one.append([utf8('first')])
  assert.deepEqual(await storeOn(disk).write(stale.batch), { moved: true })
  assert.equal(await two.append([utf8('second')]), 1)
  await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : two).append([utf8(`both ${i}`)])))
  const whole = await ledgerOf(disk)
  assert.equal(whole.size(), 22)
  const texts = await Promise.all(Array.from({ length: 22 }, async (_, i) => fromUtf8(await whole.entry(i) ?? assert.fail())))
  assert.equal(new Set(texts).size, 22)
})

test('a fork: the second tree of one size gets no witness', async () => {
  const witness = witnessOf('w1')
  const disk = emptyDisk()
  const ledger = await ledgerOf(disk, [witness])
  held(await grow(ledger, 5))
  const other = copyOf(disk)
  held(await grow(ledger, 7))
  const fork = await ledgerOf(other, [witness])
  await fork.append([utf8('another'), utf8('history')])
  refused(await fork.publish(1000), 'log.unavailable', 'log.consistency')
  await fork.append(entries(7, 12))
  refused(await fork.publish(1000), 'log.unavailable', 'log.consistency')
  assert.equal(fork.head()?.size, 5, 'what was shown stays')
})

test('a store that was set back is refused by its witness, and mended by the newest store', async () => {
  const witness = witnessOf('w1')
  const disk = emptyDisk()
  const ledger = await ledgerOf(disk, [witness])
  held(await grow(ledger, 3))
  const old = copyOf(disk)
  held(await grow(ledger, 8))
  refused(await (await ledgerOf(old, [witness])).publish(1000), 'log.unavailable', 'log.consistency')
  held(await grow(ledger, 9))
})

test('what lies in the store is not the tree that was signed: refused when it is opened', async () => {
  const disk = emptyDisk()
  const ledger = await ledgerOf(disk)
  await ledger.append(entries(0, 300))
  const store = storeOn(disk)
  for (const { key, value } of await store.list({ prefix: 'log/' })) {
    if (/\/(bundle|tile)\//.test(key)) continue
    const changed = Uint8Array.from(value)
    changed[changed.length - 3] = (changed[changed.length - 3] ?? 0) ^ 1
    for (const batch of [{ put: [{ key, value: changed }] }, { delete: [key] }]) {
      const bad = copyOf(disk)
      await storeOn(bad).write(batch)
      const opened = await attemptAsync(() => ledgerOf(bad))
      if (key.endsWith('/signed') && 'delete' in batch) assert.equal(opened.ok && opened.value.size(), 0, 'a store without a checkpoint is a new log: its sums tell that a value is gone')
      else assert.ok(!opened.ok, key)
    }
  }
  const bad = copyOf(disk)
  await storeOn(bad).write({ delete: (await store.list({ prefix: 'log/' })).map(one => one.key).filter(key => /\/(bundle|tile)\//.test(key)) })
  const opened = await ledgerOf(bad)
  refused(await attemptAsync(() => opened.entry(0)), 'store.corrupt')
  refused(await attemptAsync(() => opened.rootAt(1)), 'store.corrupt')
})

test('killed between append and publish, or between witness and store: the next publish goes on', async () => {
  const [disk, memory] = [emptyDisk(), emptyDisk()]
  const ledger = await ledgerOf(disk, [witnessOf('w1', memory)])
  held(await grow(ledger, 3))
  const failing = await openLedger({ p, store: withFault(storeOn(disk), { mode: 'not-persisted', nth: 2, touched: false }), origin: ORIGIN, signers: [KEY], witnesses: [witnessOf('w1', memory)], quorum: 1 })
  await failing.append(entries(3, 5))
  refused(await failing.publish(1000), 'store.full')
  assert.equal(failing.head()?.size, 3)
  const again = await ledgerOf(disk, [witnessOf('w1', memory)])
  assert.equal(held(await again.publish(1001)).size, 5)
  held(await grow(again, 6, 1002))
})

test('a quorum is enough, one less is not; what a witness cannot remember it does not sign; one that never answers delays nobody', async () => {
  const full = openWitness(p, 'full', generateSigner('ed25519'), { get: async () => undefined, write: async () => refuse('store.full', 'witness', 'room', 'none') })
  const down: Witness = { ...witnessOf('down'), cosign: async () => ({ ok: false, refusal: refusalOf('log.unavailable', 'witness', 'an answer', 'none') }) }
  const silent: Witness = { ...witnessOf('silent'), cosign: () => new Promise(() => undefined) }
  const ledger = await ledgerOf(emptyDisk(), [silent, witnessOf('w1'), full, witnessOf('w2'), down], 2)
  assert.equal(held(await grow(ledger, 2)).witnesses, 2)
  const strict = await ledgerOf(emptyDisk(), [witnessOf('w1'), full, witnessOf('w2'), down], 3)
  refused(await grow(strict, 2), 'log.unavailable', 'store.full')
  assert.equal(strict.head(), undefined)
})

test('a witness that answers first with an old time, or with what it did not sign, holds no log up', async () => {
  const slow = (one: Witness): Witness => ({ ...one, cosign: async (request, now) => { await new Promise(resolve => setImmediate(resolve)); return one.cosign(request, now) } })
  const hostile = witnessOf('hostile')
  const dating = (seconds: number): Witness => ({ ...witnessOf('hostile'), cosign: (request, now) => witnessOf('hostile').cosign(request, now + seconds) })
  for (const liar of [dating(-5000), dating(90), { ...hostile, cosign: witnessOf('w1').cosign }]) {
    assert.equal(held(await grow(await ledgerOf(emptyDisk(), [liar, slow(witnessOf('w1')), slow(witnessOf('w2'))], 2), 2, 10_000)).time, 10_000)
  }
  const forged: Witness = { ...hostile, cosign: async (request, now) => { const answer = held(await hostile.cosign(request, now)); return { ok: true, value: { ...answer, signature: answer.signature.map(byte => byte ^ 1) } } } }
  assert.equal(held(await grow(await ledgerOf(emptyDisk(), [forged, witnessOf('w1')], 1), 2, 10_000)).time, 10_000)
  // Where its word is needed, its time stands: readers see how old the head may be.
  assert.equal(held(await grow(await ledgerOf(emptyDisk(), [dating(-5000), witnessOf('w1')], 2), 2, 10_000)).time, 5_000)
})

test('a witness keeps to the key that a log began with, and to the log that is named', async () => {
  const witness = witnessOf('w1')
  const disk = emptyDisk()
  const ledger = await ledgerOf(disk, [witness])
  held(await grow(ledger, 2))
  const key = generateSigner('ed25519')
  const usurper = await ledgerOf(emptyDisk(), [witness], 1, key)
  await usurper.append(entries(0, 4))
  refused(await usurper.publish(1000), 'log.unavailable', 'log.origin')
  const signed = await signedOn(disk)
  const add = async (old: number, proof: readonly Uint8Array[], logs: LogPolicy['logs']) => (await witness.add({ old, proof, checkpoint: signed }, logs, 1)).status
  assert.equal(await add(2, [], usurper.policy.logs), 403)
  assert.equal(await add(2, [], (await ledgerOf(emptyDisk(), [], 0, KEY, 'elsewhere')).policy.logs), 404)
  assert.equal(await add(1, [], ledger.policy.logs), 409)
  assert.equal(await add(3, [], ledger.policy.logs), 400)
  assert.equal(await add(2, [new Uint8Array(32)], ledger.policy.logs), 422)
  assert.equal(await add(2, [], ledger.policy.logs), 200)
})

test('a log changes its keys when the ones before sign for the new ones; nobody else does', async () => {
  const witness = witnessOf('w1')
  const disk = emptyDisk()
  held(await grow(await ledgerOf(disk, [witness]), 2))
  const pq = generateSigner('ml-dsa-44')
  const signed = await signedOn(disk)
  const own = await ledgerOf(disk, [witness])
  const extended = signNote(p, orRefuse(parseCheckpoint(signed)).note, ORIGIN, pq)
  const logs = [...own.policy.logs, { vkey: logKey(p, ORIGIN, pq.publicKey).vkey }]
  const add = async (note: Note, keys: LogPolicy['logs']) => (await witness.add({ old: 2, proof: [], checkpoint: formatNote(note) }, keys, 1)).status
  const stranger = generateSigner('ed25519')
  const forged = signNote(p, { text: extended.text, signatures: [] }, ORIGIN, stranger)
  assert.equal(await add(forged, [{ vkey: logKey(p, ORIGIN, stranger.publicKey).vkey }]), 403)
  assert.equal(await add(extended, logs), 200)
  assert.equal(await add(orRefuse(parseCheckpoint(signed)).note, own.policy.logs), 403, 'the key that was added is asked for from now on')
})

test('of two that continue one checkpoint at once, a witness follows one', async () => {
  const witness = witnessOf('w1')
  const disk = emptyDisk()
  held(await grow(await ledgerOf(disk, [witness]), 2))
  const forks = await Promise.all(['left', 'right'].map(async side => {
    const fork = await ledgerOf(copyOf(disk), [witness])
    await fork.append([utf8(side)])
    return fork
  }))
  const results = await Promise.all(forks.map(fork => fork.publish(1000)))
  assert.equal(results.filter(result => result.ok).length, 1)
})

test('other witnesses are asked anew: what the former ones showed is not believed, and not in the way', async () => {
  const disk = emptyDisk()
  held(await grow(await ledgerOf(disk, [witnessOf('w1')]), 2))
  const other = await ledgerOf(disk, [witnessOf('w2')])
  assert.equal(other.head(), undefined)
  assert.equal(held(await other.publish(1)).size, 2)
})

test('another writer goes on while a log is read again: what is shown is proven all the same', async () => {
  const disk = emptyDisk()
  const witness = witnessOf('w1')
  const writer = await ledgerOf(disk, [witness])
  held(await grow(writer, 20))
  const store = storeOn(disk)
  let meanwhile = async () => {}
  const slow = { ...store, version: () => store.version(), list: (range: Parameters<typeof store.list>[0]) => store.list(range), load: (name: string) => store.load(name), close: () => store.close(), write: (batch: Parameters<typeof store.write>[0]) => store.write(batch), get: async (key: string) => { if (key.endsWith('/shown')) await meanwhile(); return store.get(key) } }
  const reader = await openLedger({ p, store: slow, origin: ORIGIN, signers: [KEY], witnesses: [witness], quorum: 1 })
  meanwhile = async () => { meanwhile = async () => {}; held(await grow(writer, 23)) }
  await reader.reload()
  const head = reader.head() ?? assert.fail()
  for (let index = 0; index < head.size; index++) held(verifyProof(p, utf8(`entry ${index}`), held(await reader.prove(index)), reader.policy))
})

test('an entry has at most 65,535 bytes; a log signs with Ed25519', async () => {
  const ledger = await ledgerOf(emptyDisk())
  await ledger.append([new Uint8Array(65_535)])
  refused(await attemptAsync(() => ledger.append([new Uint8Array(65_536)])), 'bytes.too-large')
  assert.equal(ledger.size(), 1)
  refused(await attemptAsync(() => ledgerOf(emptyDisk(), [], 0, generateSigner('p256'))), 'crypto.algorithm')
})

test('a reload that read before an append became durable does not take the tree back', async () => {
  const store = storeOn(emptyDisk())
  const gate = Promise.withResolvers<void>()
  let last: Promise<void> | undefined
  const slow: Store = {
    version: () => store.version(), list: range => store.list(range), load: namespace => store.load(namespace), write: batch => store.write(batch), close: () => store.close(),
    get: async key => { const value = await store.get(key); if (key.endsWith('/edge/6')) await last; return value },
  }
  const ledger = await openLedger({ p, store: slow, origin: ORIGIN, signers: [KEY], witnesses: [], quorum: 0 })
  await grow(ledger, 3)
  last = gate.promise
  const reloading = ledger.reload()
  await new Promise(resolve => { setImmediate(resolve) })
  held(await grow(ledger, 4))
  gate.resolve()
  await reloading
  assert.equal(ledger.size(), 4)
  held(verifyProof(p, utf8('entry 3'), held(await ledger.prove(3)), ledger.policy))
})
