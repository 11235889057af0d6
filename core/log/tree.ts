/**
 * The Merkle tree of RFC 6962 and RFC 9162 section 2.1: leaf and node hashes, roots, inclusion and consistency proofs.
 * Trusts the port's SHA-256.
 */
import { concat, equal } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'

export const leafHash = (p: Primitives, entry: Uint8Array): Uint8Array => p.hash('sha256', concat(LEAF, entry))
export const nodeHash = (p: Primitives, left: Uint8Array, right: Uint8Array): Uint8Array => p.hash('sha256', concat(NODE, left, right))
const LEAF = new Uint8Array([0])
const NODE = new Uint8Array([1])
/** Hashes of the longest proof there can be. */
export const PROOF_MAX = 63

/** Reads the hash of the full subtree at a level (0 = leaves) and index; the tree below `size` is complete. */
export type HashAt = (level: number, index: number) => Uint8Array

/** Root of the first `size` leaves. */
export function rootAt(p: Primitives, size: number, hashAt: HashAt): Uint8Array {
  return size === 0 ? emptyRoot(p) : rangeRoot(p, 0, size, hashAt)
}

/** The audit path of leaf `index` in the tree of `size` leaves, from the leaf up. Leaves with `log.inclusion` outside the tree. */
export function inclusionProof(p: Primitives, index: number, size: number, hashAt: HashAt): Uint8Array[] {
  if (!isCount(index) || !isCount(size) || index >= size) refuse('log.inclusion', 'index', `an index below ${size}`, String(index))
  const path = (start: number, end: number): Uint8Array[] => {
    if (end - start === 1) return []
    const middle = start + split(end - start)
    return index < middle ? [...path(start, middle), rangeRoot(p, middle, end, hashAt)] : [...path(middle, end), rangeRoot(p, start, middle, hashAt)]
  }
  return path(0, size)
}

/** Proof that the tree of `size` leaves continues the tree of `old` leaves. Leaves with `log.consistency` when it is smaller. */
export function consistencyProof(p: Primitives, old: number, size: number, hashAt: HashAt): Uint8Array[] {
  if (!isCount(old) || !isCount(size) || old > size) refuse('log.consistency', 'old', `at most ${size}`, String(old))
  const prove = (start: number, end: number, whole: boolean): Uint8Array[] => {
    if (old === end) return whole ? [] : [rangeRoot(p, start, end, hashAt)]
    const middle = start + split(end - start)
    return old <= middle ? [...prove(start, middle, whole), rangeRoot(p, middle, end, hashAt)] : [...prove(middle, end, false), rangeRoot(p, start, middle, hashAt)]
  }
  return old === 0 || old === size ? [] : prove(0, size, true)
}

/** Is this leaf hash at `index` of the tree with this size and root? Refuses `log.inclusion`. RFC 9162 section 2.1.3.2. */
export function verifyInclusion(p: Primitives, leaf: Uint8Array, index: number, size: number, proof: readonly Uint8Array[], root: Uint8Array): Result<void> {
  return attempt(() => {
    const got = inclusionRoot(p, leaf, index, size, proof)
    if (!equal(got, root)) refuse('log.inclusion', 'root', toHex(root), toHex(got))
  })
}

/** The root of the tree of `size` in which this leaf hash has this path. Leaves with `log.inclusion`. */
export function inclusionRoot(p: Primitives, leaf: Uint8Array, index: number, size: number, proof: readonly Uint8Array[]): Uint8Array {
  if (!isCount(index) || !isCount(size) || index >= size) refuse('log.inclusion', 'index', `an index below ${size}`, String(index))
  if (!areHashes([leaf, ...proof])) refuse('log.inclusion', 'proof', `at most ${PROOF_MAX} hashes of 32 bytes`, 'another form')
  let [node, last, hash] = [index, size - 1, leaf]
  for (const step of proof) {
    if (last === 0) return refuse('log.inclusion', 'proof', 'a path of the right length', 'a longer one')
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(p, step, hash)
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)]
    } else hash = nodeHash(p, hash, step)
    ;[node, last] = [Math.floor(node / 2), Math.floor(last / 2)]
  }
  return last === 0 ? hash : refuse('log.inclusion', 'proof', 'a path of the right length', 'a shorter one')
}

/** Does the tree (size, root) continue the tree (old, oldRoot)? Refuses `log.consistency`. RFC 9162 section 2.1.4.2. */
export function verifyConsistency(p: Primitives, old: number, oldRoot: Uint8Array, size: number, root: Uint8Array, proof: readonly Uint8Array[]): Result<void> {
  return attempt(() => {
    const bad = (expected: string, got: string): never => refuse('log.consistency', `tree ${old} → ${size}`, expected, got)
    if (old === 0) {
      // Every tree continues the empty one, which has one root; nothing is to be proven.
      const plain = isCount(size) && proof.length === 0 && areHashes([root]) && equal(oldRoot, emptyRoot(p)) && (size > 0 || equal(root, oldRoot))
      return plain ? undefined : bad('the empty tree and no proof', 'others')
    }
    const got = consistencyRoot(p, old, oldRoot, size, proof)
    if (!equal(got, root)) bad(toHex(root), toHex(got))
  })
}

/** The root of the tree of `size` that this proof continues the tree (old, oldRoot) to; `old` is at least 1. Leaves with `log.consistency`. */
export function consistencyRoot(p: Primitives, old: number, oldRoot: Uint8Array, size: number, proof: readonly Uint8Array[]): Uint8Array {
  const bad = (expected: string, got: string): never => refuse('log.consistency', `tree ${old} → ${size}`, expected, got)
  if (!isCount(old) || !isCount(size) || old > size || old === 0) bad('a tree that grew', 'one that shrank')
  if (!areHashes([oldRoot, ...proof])) bad(`at most ${PROOF_MAX} hashes of 32 bytes`, 'another form')
  if (old === size) return proof.length === 0 ? oldRoot : bad('no proof', 'one')
  // A tree of a power of two is a subtree of the larger one: its root begins the proof unsaid. Without any, the proof is too short.
  const [first = oldRoot, ...rest] = isPower(old) ? [oldRoot, ...proof] : proof
  let [node, last] = [old - 1, size - 1]
  while (node % 2 === 1) [node, last] = [Math.floor(node / 2), Math.floor(last / 2)]
  let [before, after] = [first, first]
  for (const step of rest) {
    if (last === 0) return bad('a proof of the right length', 'a longer one')
    if (node % 2 === 1 || node === last) {
      before = nodeHash(p, step, before)
      after = nodeHash(p, step, after)
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)]
    } else after = nodeHash(p, after, step)
    ;[node, last] = [Math.floor(node / 2), Math.floor(last / 2)]
  }
  return last === 0 && equal(before, oldRoot) ? after : bad(`the root ${toHex(oldRoot)}`, 'another tree')
}

export const emptyRoot = (p: Primitives): Uint8Array => p.hash('sha256', new Uint8Array(0))

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0
const areHashes = (hashes: readonly Uint8Array[]): boolean => hashes.length <= PROOF_MAX + 2 && hashes.every(hash => hash.length === 32)
const isPower = (n: number): boolean => n === 1 || split(n) * 2 === n

/** The largest power of two below n. */
function split(n: number): number {
  let power = 1
  while (power * 2 < n) power *= 2
  return power
}

/** Root of the leaves [start, end): a full aligned subtree is read, anything else is put together. */
function rangeRoot(p: Primitives, start: number, end: number, hashAt: HashAt): Uint8Array {
  const width = end - start
  // Exact: the logarithm of a power of two has no rounding, and only powers of two get here.
  if (isPower(width) && start % width === 0) return hashAt(Math.log2(width), start / width)
  const middle = start + split(width)
  return nodeHash(p, rangeRoot(p, start, middle, hashAt), rangeRoot(p, middle, end, hashAt))
}
