import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toBase64 } from '../bytes/base64.ts'
import { equal } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import { attempt, type Result } from '../refusal.ts'
import { checkpointText, parseCheckpoint } from './checkpoint.ts'
import { cosignNote, COSIGNATURE, COSIGNATURE_ML_DSA_44, ED25519, formatNote, noteKey, parseNote, parseVkey, signedBy, signNote } from './note.ts'
import { flatPolicy, verifyCheckpoint } from './policy.ts'
import { formatProof, parseProof, verifyProof } from './proof.ts'
import { ed25519Signer, mlDsaSigner } from './tree.fixture.ts'
import { consistencyProof, consistencyRoot, inclusionProof, inclusionRoot, leafHash, nodeHash, rootAt, verifyConsistency, verifyInclusion, type HashAt } from './tree.ts'

const refused = (result: Result<unknown>, code: string) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
}
/** A tree that knows every full subtree by plain recursion: slow and obvious. */
function treeOf(entries: readonly Uint8Array[]): HashAt {
  const leaves = entries.map(entry => leafHash(p, entry))
  const at = (level: number, index: number): Uint8Array => level === 0 ? (leaves[index] ?? assert.fail()) : nodeHash(p, at(level - 1, 2 * index), at(level - 1, 2 * index + 1))
  return at
}
const entriesOf = (count: number) => Array.from({ length: count }, (_, i) => utf8(`entry ${i}`))

// RFC 6962 test vectors (certificate-transparency, merkletree/merkle_tree_test): leaves and the roots of their first n.
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(hex => fromHex(hex))
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7', '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef', 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c', '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
test('the roots of RFC 6962\'s reference tree', () => {
  ROOTS.forEach((root, size) => assert.equal(toHex(rootAt(p, size, treeOf(LEAVES.slice(0, size)))), root))
})

test('every proof holds, and none holds for another leaf, index, size or root', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), fc.nat(), (size, a, b) => {
    const hashAt = treeOf(entriesOf(size))
    const root = rootAt(p, size, hashAt)
    const index = a % size
    const proof = inclusionProof(p, index, size, hashAt)
    const leaf = hashAt(0, index)
    assert.ok(verifyInclusion(p, leaf, index, size, proof, root).ok)
    const other = (index + 1 + (b % Math.max(size - 1, 1))) % size
    if (other !== index) assert.ok(!verifyInclusion(p, leaf, other, size, proof, root).ok)
    assert.ok(!verifyInclusion(p, leaf, index, size, [...proof, root], root).ok)
    if (proof.length > 0) assert.ok(!verifyInclusion(p, leaf, index, size, proof.slice(1), root).ok)
    assert.ok(!verifyInclusion(p, leafHash(p, utf8('no')), index, size, proof, root).ok)
    const old = b % (size + 1)
    const oldRoot = rootAt(p, old, treeOf(entriesOf(old)))
    const consistency = consistencyProof(p, old, size, hashAt)
    assert.ok(verifyConsistency(p, old, oldRoot, size, root, consistency).ok, `${old} → ${size}`)
    if (old > 0) assert.ok(!verifyConsistency(p, old, p.hash('sha256', oldRoot), size, root, consistency).ok)
    if (old > 0 && old < size) assert.ok(!verifyConsistency(p, old, oldRoot, size, root, consistency.slice(1)).ok)
  }), { numRuns: 150 })
  refused(verifyInclusion(p, new Uint8Array(32), 5, 3, [], new Uint8Array(32)), 'log.inclusion')
  refused(verifyConsistency(p, 3, new Uint8Array(32), 2, new Uint8Array(32), []), 'log.consistency')
})

test('a proof, root, leaf or index changed in any bit holds for nothing', () => {
  fc.assert(fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), fc.nat(), fc.nat(), (size, a, b, c) => {
    const hashAt = treeOf(entriesOf(size))
    const root = rootAt(p, size, hashAt)
    const flip = (hashes: readonly Uint8Array[]) => hashes.map((hash, i) => (i === b % hashes.length ? hash.map((byte, j) => (j === c % 32 ? byte ^ (1 << (c % 8)) : byte)) : hash))
    const index = a % size
    const [leaf, path] = [hashAt(0, index), inclusionProof(p, index, size, hashAt)]
    const flipped = (hash: Uint8Array) => flip([hash])[0] ?? hash
    assert.ok(!verifyInclusion(p, leaf, index, size, flip(path), root).ok)
    assert.ok(!verifyInclusion(p, leaf, index, size, path, flipped(root)).ok)
    assert.ok(!verifyInclusion(p, flipped(leaf), index, size, path, root).ok)
    for (let other = 0; other <= size; other++) if (other !== index) assert.ok(!verifyInclusion(p, leaf, other, size, path, root).ok)
    const old = 1 + (a % (size - 1))
    const [oldRoot, proof] = [rootAt(p, old, hashAt), consistencyProof(p, old, size, hashAt)]
    assert.ok(!verifyConsistency(p, old, oldRoot, size, root, flip(proof)).ok)
    assert.ok(!verifyConsistency(p, old, flipped(oldRoot), size, root, proof).ok)
    assert.ok(!verifyConsistency(p, old, oldRoot, size, flipped(root), proof).ok)
  }), { numRuns: 100 })
})

test('numbers that are no sizes and hashes that are no hashes are refused, at any magnitude', () => {
  const hash = new Uint8Array(32)
  const hashAt: HashAt = () => hash
  for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    refused(verifyInclusion(p, hash, bad, 8, [], hash), 'log.inclusion')
    refused(verifyInclusion(p, hash, 0, bad, [], hash), 'log.inclusion')
    refused(verifyConsistency(p, bad, hash, 8, hash, []), 'log.consistency')
    refused(verifyConsistency(p, 1, hash, bad, hash, []), 'log.consistency')
    refused(attempt(() => inclusionProof(p, bad, 8, hashAt)), 'log.inclusion')
    refused(attempt(() => consistencyProof(p, bad, 8, hashAt)), 'log.consistency')
  }
  refused(attempt(() => consistencyProof(p, 9, 8, hashAt)), 'log.consistency')
  refused(verifyInclusion(p, hash, 0, 2, [new Uint8Array(31)], hash), 'log.inclusion')
  refused(verifyConsistency(p, 0, hash, 2, hash, []), 'log.consistency')
  refused(verifyConsistency(p, 8, new Uint8Array(0), 8, new Uint8Array(0), []), 'log.consistency')
  for (const [leaf, size, proof] of [[new Uint8Array(31), 1, []], [hash, 2, [new Uint8Array(31)]], [hash, 1, [hash]], [hash, 2, [hash, hash]], [hash, 2, []], [hash, 2, new Array(66).fill(hash)]] as const) refused(attempt(() => inclusionRoot(p, leaf, 0, size, proof)), 'log.inclusion')
  const two = nodeHash(p, hash, hash)
  assert.ok(equal(consistencyRoot(p, 1, hash, 2, [hash]), two))
  for (const [old, oldRoot, size, proof] of [[0, hash, 2, []], [1, hash, 2, []], [1, hash, 2, [hash, hash]], [1, hash, 2, [new Uint8Array(31)]], [2, two, 2, [hash]], [3, hash, 4, []], [3, hash, 4, [hash]], [2, two, 1, []]] as const) refused(attempt(() => consistencyRoot(p, old, oldRoot, size, proof)), 'log.consistency')
  // Sizes beside a power of two, where a logarithm would round.
  const levels = [leafHash(p, utf8('all alike'))]
  const alike: HashAt = level => (levels[level] ??= nodeHash(p, alike(level - 1, 0), alike(level - 1, 0)))
  for (const size of [2 ** 49 - 1, 2 ** 49, 2 ** 49 + 1, 2 ** 53 - 1]) assert.ok(verifyInclusion(p, alike(0, 0), size - 1, size, inclusionProof(p, size - 1, size, alike), rootAt(p, size, alike)).ok, String(size))
})

test('a proof of larger trees is none for smaller ones, though their roots are reached', () => {
  const hashAt = treeOf(entriesOf(16))
  const root = (size: number) => rootAt(p, size, hashAt)
  for (const [old, size, less, smaller] of [[7, 8, 3, 4], [14, 16, 6, 8], [15, 16, 3, 4]] as const) {
    const proof = consistencyProof(p, old, size, hashAt)
    assert.ok(verifyConsistency(p, old, root(old), size, root(size), proof).ok)
    refused(verifyConsistency(p, less, root(old), smaller, root(size), proof), 'log.consistency')
  }
  refused(verifyInclusion(p, hashAt(0, 5), 1, 4, inclusionProof(p, 5, 16, hashAt), root(16)), 'log.inclusion')
})

const log = ed25519Signer('log')
const [w1, w2] = [ed25519Signer('witness 1'), ed25519Signer('witness 2')]
const logVkey = noteKey(p, 'log.example', ED25519, log.raw).vkey
const [v1, v2] = [noteKey(p, 'w1.example', COSIGNATURE, w1.raw).vkey, noteKey(p, 'w2.example', COSIGNATURE, w2.raw).vkey]
const policy = flatPolicy([logVkey], [v1, v2], 2)
const text = checkpointText('log.example', 3, rootAt(p, 3, treeOf(entriesOf(3))))
const signed = signNote(p, { text, signatures: [] }, 'log.example', log)
const cosigned = cosignNote(p, cosignNote(p, signed, 'w1.example', w1, 1000), 'w2.example', w2, 2000)
const checkpoint = (note: typeof signed) => {
  const parsed = parseCheckpoint(formatNote(note))
  return parsed.ok ? parsed.value : assert.fail(JSON.stringify(parsed.refusal))
}

test('a checkpoint counts when its log and enough distinct witnesses signed it', () => {
  assert.deepEqual(verifyCheckpoint(p, checkpoint(cosigned), policy), { ok: true, value: { witnesses: 2, cosigned: [{ name: 'w1', time: 1000 }, { name: 'w2', time: 2000 }], time: 1000 } })
  refused(verifyCheckpoint(p, checkpoint(signed), policy), 'log.witnesses')
  refused(verifyCheckpoint(p, checkpoint(cosignNote(p, cosignNote(p, signed, 'w1.example', w1, 1), 'w1.example', w1, 2)), policy), 'log.witnesses')
  refused(verifyCheckpoint(p, checkpoint(cosigned), flatPolicy([logVkey], [v1, v1], 2)), 'log.witnesses')
  refused(verifyCheckpoint(p, checkpoint({ text, signatures: cosigned.signatures.slice(1) }), policy), 'log.signature')
  refused(verifyCheckpoint(p, checkpoint(signNote(p, { text: text.replace('log.example', 'other.example'), signatures: [] }, 'log.example', log)), policy), 'log.origin')
  const bad = { ...cosigned, signatures: cosigned.signatures.map((one, i) => (i === 1 ? { ...one, signature: one.signature.map(byte => byte ^ 1) } : one)) }
  refused(verifyCheckpoint(p, checkpoint(bad), policy), 'log.signature')
  const crowd = { text, signatures: [...cosigned.signatures, ...Array.from({ length: 20 }, (_, i) => ({ name: `x${i}.example`, keyId: new Uint8Array(4), signature: new Uint8Array(64) }))] }
  assert.ok(verifyCheckpoint(p, checkpoint(crowd), policy).ok, 'unknown signatures are ignored')
})

test('one key counts once, whatever it is called; a log\'s key is no witness, nor a witness\'s a log', () => {
  const [w1Again, w1Plain] = [noteKey(p, 'alias.example', COSIGNATURE, w1.raw).vkey, noteKey(p, 'w1.example', ED25519, w1.raw).vkey]
  const twice = cosignNote(p, cosignNote(p, signed, 'w1.example', w1, 1), 'alias.example', w1, 2)
  refused(verifyCheckpoint(p, checkpoint(twice), flatPolicy([logVkey], [v1, w1Again], 2)), 'log.witnesses')
  refused(verifyCheckpoint(p, checkpoint(cosigned), flatPolicy([logVkey], [v1, v2, w1Plain], 2)), 'log.note')
  refused(verifyCheckpoint(p, checkpoint(cosigned), flatPolicy([noteKey(p, 'log.example', COSIGNATURE, log.raw).vkey], [v1, v2], 2)), 'log.note')
  for (const quorum of [NaN, -1, 0.5, 3]) refused(verifyCheckpoint(p, checkpoint(cosigned), flatPolicy([logVkey], [v1, v2], quorum)), 'log.witnesses')
  assert.deepEqual(verifyCheckpoint(p, checkpoint(signed), flatPolicy([logVkey], [v1, v2], 0)), { ok: true, value: { witnesses: 0, cosigned: [], time: 0 } })
})

test('ML-DSA-44 witnesses count beside Ed25519 ones, under their own name, time and tree', () => {
  const pq = mlDsaSigner('post-quantum witness')
  const mixed = flatPolicy([logVkey], [v1, noteKey(p, 'pq.example', COSIGNATURE_ML_DSA_44, pq.raw).vkey], 2)
  const note = cosignNote(p, cosignNote(p, signed, 'w1.example', w1, 1000), 'pq.example', pq, 3000)
  assert.deepEqual(verifyCheckpoint(p, checkpoint(note), mixed), { ok: true, value: { witnesses: 2, cosigned: [{ name: 'w1', time: 1000 }, { name: 'w2', time: 3000 }], time: 1000 } })
  const [last] = note.signatures.slice(-1)
  const later = last === undefined ? assert.fail() : { ...last, signature: last.signature.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) }
  refused(verifyCheckpoint(p, checkpoint({ text, signatures: [...note.signatures.slice(0, -1), later] }), mixed), 'log.signature')
  refused(verifyCheckpoint(p, checkpoint({ text, signatures: [...note.signatures.slice(0, -1), { ...later, signature: new Uint8Array(7) }] }), mixed), 'log.signature')
})

test('C2SP signed-note: the example of the specification', () => {
  const vkey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
  const note = parseNote('If you think cryptography is the answer to your problem,\nthen you don\'t know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n')
  assert.ok(signedBy(p, note, parseVkey(p, vkey)) !== undefined)
})

test('malformed notes, checkpoints and proofs are refused', () => {
  const line = '— x AAAAAAAA\n'
  assert.equal(parseNote(`a\n\n${line}`).signatures.length, 1)
  for (const bad of [`a\u0001\n\n${line}`, `a\tb\n\n${line}`, `a\r\n\n${line}`, `a\ufffd\n\n${line}`, `${'a\n'.repeat(1 << 19)}\n${line}`, `a\n\n${line}`.trimEnd(), line, `\n${line}`, `a\n\n${line.repeat(257)}`]) refused(attempt(() => parseNote(bad)), 'log.note')
  assert.equal(parseNote(`a\n\n${line.repeat(256)}`).signatures.length, 256)
  refused(attempt(() => cosignNote(p, signed, 'w'.repeat(256), mlDsaSigner('w'), 1)), 'log.note')
  assert.equal(cosignNote(p, signed, 'w'.repeat(255), mlDsaSigner('w'), 1).signatures.length, 2)
  for (const bad of ['', 'a\n', 'a\n\n— x\n', 'a\n\nx y\n', 'a\n\n— x !!!\n', 'a\n\n— x AAAA\n']) refused(attempt(() => parseNote(bad)), bad.includes('AAAA') ? 'log.note' : 'log.note')
  for (const bad of [`x\n01\n${toBase64(new Uint8Array(32))}\n`, `x\n1\n${toBase64(new Uint8Array(31))}\n`, `x\n1\n${toBase64(new Uint8Array(32))}\nextra\n`]) refused(parseCheckpoint(formatNote({ text: bad, signatures: signed.signatures })), 'log.checkpoint')
  for (const bad of ['', 'c2sp.org/tlog-proof@v1\nindex -1\n\nx', 'c2sp.org/tlog-proof@v1\nindex 01\n\nx', 'c2sp.org/tlog-proof@v2\nindex 1\n\nx', 'c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx']) refused(parseProof(bad), 'log.proof')
})

test('a proof file proves one entry of one log', () => {
  const hashAt = treeOf(entriesOf(3))
  const file = formatProof({ index: 1, path: inclusionProof(p, 1, 3, hashAt), checkpoint: formatNote(cosigned) })
  const result = verifyProof(p, utf8('entry 1'), file, policy)
  assert.ok(result.ok)
  assert.ok(equal(result.value.checkpoint.root, rootAt(p, 3, hashAt)))
  refused(verifyProof(p, utf8('entry 2'), file, policy), 'log.inclusion')
  refused(verifyProof(p, utf8('entry 1'), file.replace('index 1', 'index 2'), policy), 'log.inclusion')
  refused(verifyProof(p, utf8('entry 1'), file, flatPolicy([noteKey(p, 'log.example', ED25519, w1.raw).vkey], [v1, v2], 2)), 'log.signature')
})
