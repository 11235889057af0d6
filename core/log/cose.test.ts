// COSE receipts: what is signed leads from the entry to the root, in both algorithms, and nothing altered holds.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat, equal } from '../bytes/bytes.ts'
import { writeCbor, type Writable } from '../bytes/cbor.ts'
import { toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { writeSign1 } from '../crypto/cose.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Result } from '../refusal.ts'
import { checkpointText } from './checkpoint.ts'
import { consistencyReceipt, inclusionReceipt, verifyConsistencyReceipt, verifyInclusionReceipt } from './cose.ts'
import { formatNote, logKey, signNote } from './note.ts'
import { flatPolicy } from './policy.ts'
import { formatProof } from './proof.ts'
import { ed25519Signer, mlDsaSigner, p256Signer, tilesOver } from './tree.fixture.ts'
import { consistencyProof, inclusionProof, rootAt } from './tree.ts'

const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const refused = (result: Result<unknown>, code: string, what = 'accepted') => {
  assert.ok(!result.ok, what)
  assert.equal(result.refusal.code, code, what)
}
const log = ed25519Signer('log')
const policy = flatPolicy([logKey(p, 'log.example', log.publicKey).vkey], [], 0)
const entry = (i: number) => utf8(`entry ${i}`)
const { hashAt } = tilesOver(p, 40, entry)
const root = (size: number) => rootAt(p, size, hashAt)
const proof = (index: number, size: number) => formatProof({ index, path: inclusionProof(p, index, size, hashAt), checkpoint: formatNote(signNote(p, { text: checkpointText('log.example', size, root(size)), signatures: [] }, 'log.example', log)) })

test('receipts of inclusion and consistency, Ed25519 and ES256', () => {
  for (const signer of [ed25519Signer('receipts'), p256Signer('receipts')]) {
    fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), (size, a) => {
      const index = a % size
      const receipt = held(inclusionReceipt(p, entry(index), proof(index, size), policy, signer, utf8('key 1')))
      assert.ok(equal(held(verifyInclusionReceipt(p, receipt, entry(index), signer.publicKey)).root, root(size)))
      refused(verifyInclusionReceipt(p, receipt, entry(index + 1), signer.publicKey), 'log.signature')
      const old = 1 + (a % size)
      const continued = held(consistencyReceipt(p, { old, oldRoot: root(old) }, { size, root: root(size) }, consistencyProof(p, old, size, hashAt), signer))
      assert.ok(equal(held(verifyConsistencyReceipt(p, continued, { old, oldRoot: root(old) }, signer.publicKey)).root, root(size)))
      refused(verifyConsistencyReceipt(p, continued, { old: old + 1, oldRoot: root(old) }, signer.publicKey), 'log.consistency')
      assert.ok(!verifyConsistencyReceipt(p, continued, { old, oldRoot: new Uint8Array(32) }, signer.publicKey).ok, 'of another tree')
      assert.ok(!verifyInclusionReceipt(p, continued, entry(0), signer.publicKey).ok, 'of the other kind')
      assert.ok(!verifyConsistencyReceipt(p, receipt, { old, oldRoot: root(old) }, signer.publicKey).ok, 'of the other kind')
    }), { numRuns: 10 })
  }
})

test('a receipt is given only for what the policy accepts, and with a key that there is', () => {
  const give = (text: string, one = entry(3), signer = log) => inclusionReceipt(p, one, text, policy, signer)
  refused(give(proof(3, 7), entry(4)), 'log.inclusion')
  refused(give(proof(3, 7).replace('\n7\n', '\n8\n')), 'log.signature')
  refused(inclusionReceipt(p, entry(3), proof(3, 7), flatPolicy([logKey(p, 'log.example', ed25519Signer('other').publicKey).vkey], [], 0), log), 'log.signature')
  refused(give(proof(3, 7), entry(3), mlDsaSigner('receipts')), 'crypto.algorithm')
  refused(consistencyReceipt(p, { old: 3, oldRoot: root(4) }, { size: 7, root: root(7) }, consistencyProof(p, 3, 7, hashAt), log), 'log.consistency')
  refused(consistencyReceipt(p, { old: 0, oldRoot: root(0) }, { size: 7, root: root(7) }, [], log), 'log.consistency')
})

test('no byte of a receipt can be altered, but in what nobody signs and nothing uses', () => {
  for (const signer of [ed25519Signer('receipts'), p256Signer('receipts')]) {
    const receipt = held(inclusionReceipt(p, entry(3), proof(3, 7), policy, signer))
    for (let bit = 0; bit < receipt.length * 8; bit += 13) {
      const other = receipt.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      const judged = verifyInclusionReceipt(p, other, entry(3), signer.publicKey)
      // Neighbouring sizes of a tree share their paths: the root, which is what is signed, is the same.
      assert.ok(!judged.ok || equal(judged.value.root, root(7)), `bit ${bit}`)
    }
  }
})

test('the form of RFC 9942, and no other', () => {
  const receipt = held(inclusionReceipt(p, entry(3), proof(3, 7), policy, log, utf8('k')))
  assert.ok(toHex(receipt).startsWith('d2844aa3012704416b19018b01a119018ca12081'), toHex(receipt).slice(0, 60))
  const key = log.publicKey
  const path = inclusionProof(p, 3, 7, hashAt)
  const made = ({ vds = 1, structure = 395, proofs, type = -1, numbers = [7, 3], hashes = path, detached = true, tagged = true, alg = -8, payload = root(7) }: { vds?: Writable; structure?: number; proofs?: Writable; type?: number; numbers?: Writable[]; hashes?: Writable; detached?: boolean; tagged?: boolean; alg?: number; payload?: Uint8Array } = {}) => writeSign1({
    protected: new Map<Writable, Writable>([[1, alg], [structure, vds]]), unprotected: new Map<Writable, Writable>([[396, proofs ?? new Map<Writable, Writable>([[type, [writeCbor([...numbers, hashes])]]])]]), payload, detached, tagged,
  }, message => log.sign(message))
  const judge = (bytes: Uint8Array) => verifyInclusionReceipt(p, bytes, entry(3), key)
  assert.ok(judge(made()).ok)
  assert.ok(judge(made({ detached: false })).ok, 'with the root inside')
  // The root put into a receipt that was signed without it, and another one.
  const apart = made()
  const carrying = (payload: Uint8Array) => concat(apart.subarray(0, -67), writeCbor(payload), apart.subarray(-66))
  assert.equal(apart.at(-67), 0xf6)
  assert.ok(judge(carrying(root(7))).ok)
  for (const payload of [root(8), new Uint8Array(0)]) refused(judge(carrying(payload)), 'log.signature')
  const one = writeCbor([7, 3, path])
  for (const [bytes, code] of [
    [made({ vds: 2 }), 'cose.header'], [made({ vds: '1' }), 'cose.header'], [made({ structure: 397 }), 'cose.header'], [made({ proofs: new Map<Writable, Writable>([[-1, [one]], [-2, [one]]]) }), 'cose.header'], [made({ alg: -7 }), 'crypto.algorithm'],
    [made({ type: -2 }), 'cbor.syntax'], [made({ proofs: new Map([[-1, [one, one]]]) }), 'cbor.syntax'], [made({ proofs: new Map([[-1, []]]) }), 'cbor.syntax'], [made({ proofs: [one] }), 'cbor.syntax'], [made({ numbers: [7] }), 'cbor.syntax'], [made({ numbers: [-7, 3] }), 'cbor.syntax'],
    [made({ hashes: path.map(hash => hash.slice(1)) }), 'cbor.syntax'], [made({ hashes: new Array(64).fill(path[0]) }), 'cbor.syntax'], [made({ detached: false, payload: root(8) }), 'log.signature'], [made({ detached: false, payload: new Uint8Array(0) }), 'log.signature'], [made({ payload: root(8) }), 'log.signature'], [made({ tagged: false }), 'cbor.syntax'], [made({ numbers: [7, 7] }), 'log.inclusion'], [made({ hashes: path.slice(1) }), 'log.inclusion'],
    [new Uint8Array(1 << 17), 'bytes.too-large'],
  ] as const) refused(judge(bytes), code, toHex(bytes).slice(0, 80))
  refused(verifyInclusionReceipt(p, made(), entry(3), ed25519Signer('other').publicKey), 'log.signature')
  refused(verifyInclusionReceipt(p, made(), entry(3), p256Signer('other').publicKey), 'crypto.algorithm')
})
