import assert from 'node:assert/strict'
import { test } from 'node:test'
import { p384 } from '@noble/curves/nist.js'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { RefusalCode } from '../../refusal.ts'
import { little } from './firmware.ts'
import { ID_AUTH_BYTES, ID_BLOCK_BYTES, readIdBlock } from './id-block.ts'

const secret = (name: number) => new Uint8Array(48).fill(name)
const padded = (value: Uint8Array, length: number) => concat(value, new Uint8Array(length - value.length))
const number = (bytes: Uint8Array) => padded(bytes.toReversed(), 72)
function keyOf(name: number): Uint8Array {
  const raw = p384.getPublicKey(secret(name), false)
  return padded(concat(little(2, 4), number(raw.subarray(1, 49)), number(raw.subarray(49))), 1028)
}
function signed(name: number, message: Uint8Array): Uint8Array {
  const raw = p384.sign(p.hash('sha384', message), secret(name), { prehash: false })
  return padded(concat(number(raw.subarray(0, 48)), number(raw.subarray(48))), 512)
}
const BLOCK = concat(new Uint8Array(48).fill(1), new Uint8Array(16).fill(2), new Uint8Array(16).fill(3), little(1, 4), little(7, 4), little(0x30000, 8))
function authOf(change: { block?: Uint8Array; author?: number; algorithms?: readonly [number, number] } = {}): Uint8Array {
  const { author = 9, algorithms = [1, 1] } = change
  const none = author === 0
  return padded(concat(little(algorithms[0], 4), little(algorithms[1], 4), new Uint8Array(56), signed(8, change.block ?? BLOCK), keyOf(8), new Uint8Array(60), none ? new Uint8Array(512) : signed(author, keyOf(8)), none ? new Uint8Array(1028) : keyOf(author)), ID_AUTH_BYTES)
}
function refused(block: Uint8Array, auth: Uint8Array, code: RefusalCode, at?: string): void {
  const result = readIdBlock(p, block, auth)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const altered = (bytes: Uint8Array, at: number, bit = 1) => bytes.map((byte, i) => (i === at ? byte ^ bit : byte))

test('an ID block with the digests of the keys that signed it', () => {
  assert.equal(BLOCK.length, ID_BLOCK_BYTES)
  const result = readIdBlock(p, BLOCK, authOf())
  assert.deepEqual(result, { ok: true, value: { digest: '01'.repeat(48), familyId: '02'.repeat(16), imageId: '03'.repeat(16), guestSvn: 7, policy: 0x30000n, idKeyDigest: toHex(p.hash('sha384', keyOf(8))), authorKeyDigest: toHex(p.hash('sha384', keyOf(9))) } })
})

test('an ID block without an author says so', () => {
  for (const algorithms of [[1, 0], [1, 1]] as const) {
    const result = readIdBlock(p, BLOCK, authOf({ author: 0, algorithms }))
    assert.ok(result.ok)
    assert.equal(result.value.authorKeyDigest, undefined)
  }
})

test('what is not signed, or by another key', () => {
  for (const at of [0, 48, 95]) refused(altered(BLOCK, at), authOf(), 'evidence.signature', 'idAuth.blockSignature')
  refused(BLOCK, altered(authOf(), 64), 'evidence.signature', 'idAuth.blockSignature')
  refused(BLOCK, authOf({ block: altered(BLOCK, 0) }), 'evidence.signature', 'idAuth.blockSignature')
  const keySignature = 64 + 512 + 1028 + 60
  refused(BLOCK, altered(authOf(), keySignature), 'evidence.signature', 'idAuth.keySignature')
  refused(BLOCK, concat(authOf().subarray(0, keySignature + 512), padded(keyOf(10), 1028 + 892)), 'evidence.signature', 'idAuth.keySignature')
  // An author key without its signature, or a signature without its key, is not the absence of an author.
  refused(BLOCK, concat(authOf().subarray(0, keySignature), new Uint8Array(512), padded(keyOf(9), 1028 + 892)), 'evidence.signature', 'idAuth.keySignature')
  refused(BLOCK, concat(authOf().subarray(0, keySignature + 512), new Uint8Array(1028 + 892)), 'evidence.parse', 'idAuth.keySignature.key')
})

test('other versions, algorithms and curves, and bytes in use that are reserved', () => {
  const later = concat(BLOCK.subarray(0, 80), little(2, 4), BLOCK.subarray(84))
  refused(later, authOf({ block: later }), 'evidence.version', 'idBlock')
  refused(BLOCK, authOf({ algorithms: [2, 1] }), 'evidence.parse', 'idAuth.idKeyAlgorithm')
  refused(BLOCK, authOf({ algorithms: [1, 0] }), 'evidence.parse', 'idAuth.authorKeyAlgorithm')
  refused(BLOCK, altered(authOf(), 64 + 512), 'evidence.parse', 'idAuth.blockSignature.key')
  const reserved = [8, 63, 64 + 48, 64 + 71, 64 + 72 + 48, 64 + 144, 575, 576 + 4 + 48, 576 + 4 + 72 + 48, 576 + 148, 1603, 1604, 1663, 1664 + 144, 2176 + 148, ID_AUTH_BYTES - 892, ID_AUTH_BYTES - 1]
  for (const at of reserved) refused(BLOCK, altered(authOf(), at), 'evidence.reserved-bits')
})

test('other lengths', () => {
  refused(BLOCK.subarray(1), authOf(), 'bytes.truncated')
  refused(concat(BLOCK, new Uint8Array(1)), authOf(), 'bytes.trailing')
  refused(BLOCK, authOf().subarray(0, -1), 'bytes.truncated')
  refused(BLOCK, concat(authOf(), new Uint8Array(1)), 'bytes.trailing')
})
