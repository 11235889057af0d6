// The log engine: every entry proven, tiles that give the same tree, forks and set-back stores that no witness follows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { verifyProof } from '@cloister/core/log/proof'
import { leafHash, rootAt, type HashAt } from '@cloister/core/log/tree'
import { refuse, refusalOf, type Result } from '@cloister/core/refusal'
import fc from 'fast-check'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { openLedger, type Ledger } from './ledger.ts'
import type { LedgerTx } from './store.ts'
import { logFile } from './tiles.ts'
import { openWitness, type Witness } from './witness.ts'

const ORIGIN = 'log.test'
const KEY = generateSigner('ed25519', new Uint8Array(32).fill(1))

interface Memory { readonly kept: Map<string, Uint8Array>; readonly tx: LedgerTx; get(key: string): Uint8Array | undefined; write(body: (tx: LedgerTx) => void): void }
function memoryOf(from: ReadonlyMap<string, Uint8Array> = new Map()): Memory {
  const kept = new Map(from)
  const tx: LedgerTx = { get: key => kept.get(key), put: (key, value) => void kept.set(key, value) }
  return { kept, tx, get: tx.get, write: body => body(tx) }
}
const witnessOf = (name: string, memory = memoryOf()) => openWitness(p, name, generateSigner('ed25519', p.hash('sha256', utf8(name))), memory)
const ledgerOf = (witnesses: readonly Witness[], quorum = witnesses.length, signer = KEY, origin = ORIGIN) => openLedger({ p, origin, signer, witnesses, quorum })
const entries = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => utf8(`entry ${from + i}`))
const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const refused = (result: Result<unknown>, code: string, got = ''): void => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
  assert.ok(result.refusal.got.includes(got), result.refusal.got)
}
const grow = (ledger: Ledger, store: Memory, to: number, now = 1000) => {
  ledger.append(store.tx, entries(ledger.size(store), to))
  return ledger.cosign(store, body => store.write(body), now)
}

test('whatever the batches, every entry is proven, and only under a tree that was shown', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), batches => {
    const [store, ledger] = [memoryOf(), ledgerOf([witnessOf('w1')])]
    let size = 0
    for (const batch of batches) {
      assert.equal(ledger.append(store.tx, entries(size, size + batch)), size)
      refused(ledger.prove(store, size), 'log.unavailable')
      size += batch
      assert.equal(held(ledger.cosign(store, body => store.write(body), 1000)).checkpoint.size, size)
    }
    for (let index = 0; index < size; index++) {
      const proof = held(ledger.prove(store, index))
      assert.equal(held(verifyProof(p, utf8(`entry ${index}`), proof, ledger.policy)).index, index)
      refused(verifyProof(p, utf8(`entry ${index + 1}`), proof, ledger.policy), 'log.inclusion')
    }
    for (const index of [size, -1, 0.5, NaN]) assert.ok(!ledger.prove(store, index).ok, String(index))
  }), { numRuns: 20 })
})

test('the tiles of the log give its checkpoint', () => {
  const [store, ledger] = [memoryOf(), ledgerOf([witnessOf('w1')])]
  assert.equal(logFile(ledger, store, 'checkpoint'), undefined)
  held(grow(ledger, store, 600))
  ledger.append(store.tx, entries(600, 700)) // durable, not shown: no reader sees it
  const file = (path: string) => logFile(ledger, store, path)?.bytes
  const checkpoint = held(parseCheckpoint(fromUtf8(file('checkpoint') ?? assert.fail())))
  const leaves = ['tile/0/000', 'tile/0/001', 'tile/0/002.p/88'].map(path => file(path) ?? assert.fail(path)).flatMap(tile => Array.from({ length: tile.length / 32 }, (_, i) => tile.subarray(32 * i, 32 * i + 32)))
  assert.equal(leaves.length, 600)
  const hashAt: HashAt = (level, index) => level === 0 ? leaves[index] ?? assert.fail() : p.hash('sha256', new Uint8Array([1, ...hashAt(level - 1, 2 * index), ...hashAt(level - 1, 2 * index + 1)]))
  assert.equal(toHex(rootAt(p, 600, hashAt)), toHex(checkpoint.root))
  assert.equal(toHex(file('tile/1/000.p/2') ?? assert.fail()), toHex(hashAt(8, 0)) + toHex(hashAt(8, 1)))
  const bundle = file('tile/entries/002.p/88') ?? assert.fail()
  for (let [at, index] = [0, 512]; at < bundle.length; index++) {
    const length = (bundle[at] ?? 0) * 256 + (bundle[at + 1] ?? 0)
    assert.equal(toHex(leafHash(p, bundle.subarray(at + 2, at + 2 + length))), toHex(leaves[index] ?? assert.fail()))
    at += 2 + length
  }
  for (const path of ['tile/0/002', 'tile/0/002.p/89', 'tile/0/002.p/0', 'tile/0/000.p/256', 'tile/0/003', 'tile/1/000', 'tile/2/000', 'tile/64/000', 'tile/0/x000/000', 'tile/0/0', 'tile/0/000/..', 'tile/63/x999/x999/x999/x999/x999/999', 'tile/entries/002.p/89', '../checkpoint', '']) assert.equal(file(path), undefined, path)
})

test('a fork: the second tree of one size gets no witness', () => {
  const witness = witnessOf('w1')
  const [left, ledger] = [memoryOf(), ledgerOf([witness])]
  held(grow(ledger, left, 5))
  const right = memoryOf(left.kept)
  held(grow(ledger, left, 7))
  ledger.append(right.tx, [utf8('another'), utf8('history')])
  refused(ledger.cosign(right, body => right.write(body), 1000), 'log.witnesses', 'log.consistency')
  ledger.append(right.tx, entries(7, 12))
  refused(ledger.cosign(right, body => right.write(body), 1000), 'log.witnesses', 'log.consistency')
  assert.equal(ledger.head(right)?.checkpoint.size, 5, 'what was shown stays')
})

test('a store that was set back is refused by its witness, and mended by the newest store', () => {
  const witness = witnessOf('w1')
  const [store, ledger] = [memoryOf(), ledgerOf([witness])]
  held(grow(ledger, store, 3))
  const old = memoryOf(store.kept)
  held(grow(ledger, store, 8))
  refused(ledger.cosign(old, body => old.write(body), 1000), 'log.witnesses', 'log.consistency')
  held(grow(ledger, store, 9))
})

test('killed between append and cosign, or between witness and store: the next cosign goes on', () => {
  const memory = memoryOf()
  const [store, ledger] = [memoryOf(), ledgerOf([witnessOf('w1', memory)])]
  held(grow(ledger, store, 3))
  ledger.append(store.tx, entries(3, 5))
  assert.throws(() => ledger.cosign(store, () => { throw new TypeError('killed') }, 1000), /killed/)
  assert.equal(ledger.head(store)?.checkpoint.size, 3)
  const again = ledgerOf([witnessOf('w1', memory)])
  assert.equal(held(again.cosign(store, body => store.write(body), 1001)).checkpoint.size, 5)
  held(grow(again, store, 6, 1002))
})

test('a quorum is enough, one less is not; what a witness cannot remember it does not sign', () => {
  const full: Witness = openWitness(p, 'full', generateSigner('ed25519'), { get: () => undefined, write: () => refuse('store.full', 'witness', 'room', 'none') })
  const down: Witness = { ...witnessOf('down'), cosign: () => ({ ok: false, refusal: refusalOf('log.unavailable', 'witness', 'an answer', 'none') }) }
  const [store, ledger] = [memoryOf(), ledgerOf([witnessOf('w1'), full, witnessOf('w2'), down], 2)]
  assert.equal(held(grow(ledger, store, 2)).witnesses, 2)
  const [strictStore, strict] = [memoryOf(), ledgerOf([witnessOf('w1'), full, witnessOf('w2'), down], 3)]
  refused(grow(strict, strictStore, 2), 'log.witnesses', 'store.full')
  assert.equal(strict.head(strictStore), undefined)
})

test('a witness keeps to the key that a log began with, and to the log that is named', () => {
  const witness = witnessOf('w1')
  const [mine, ledger] = [memoryOf(), ledgerOf([witness])]
  held(grow(ledger, mine, 2))
  const [other, usurper] = [memoryOf(mine.kept), ledgerOf([witness], 1, generateSigner('ed25519'))]
  usurper.append(other.tx, entries(2, 4))
  refused(usurper.cosign(other, body => other.write(body), 1000), 'log.witnesses', 'log.origin')
  const signed = fromUtf8(mine.get('log/signed') ?? assert.fail())
  refused(witness.cosign({ old: 2, proof: [], checkpoint: signed, policy: usurper.policy }, 1), 'log.signature')
  refused(witness.cosign({ old: 2, proof: [], checkpoint: signed, policy: ledgerOf([], 0, KEY, 'elsewhere').policy }, 1), 'log.origin')
  refused(witness.cosign({ old: 1, proof: [], checkpoint: signed, policy: ledger.policy }, 1), 'log.consistency')
  refused(witness.cosign({ old: 2, proof: [new Uint8Array(32)], checkpoint: signed, policy: ledger.policy }, 1), 'log.consistency')
  assert.ok(witness.cosign({ old: 2, proof: [], checkpoint: signed, policy: ledger.policy }, 1).ok)
})

test('an entry has at most 65,535 bytes', () => {
  const [store, ledger] = [memoryOf(), ledgerOf([])]
  ledger.append(store.tx, [new Uint8Array(65_535)])
  assert.throws(() => ledger.append(store.tx, [new Uint8Array(65_536)]), /bytes.too-large/)
})
