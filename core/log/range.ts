/**
 * A log's tree in a few hashes: the full subtrees that its entries make, largest first. Whoever keeps them can go on from
 * there with later entries and come to the root that a later checkpoint signs: then these were all of them. Trusts the port.
 */
import type { Primitives } from '../crypto/primitives.ts'
import { refuse } from '../refusal.ts'
import { HASH_BYTES } from './tiles.ts'
import { leafHash, nodeHash, type HashAt } from './tree.ts'

/** The full subtrees of the first `size` entries, from the left. */
export function rangeOf(size: number, hashAt: HashAt): Uint8Array[] {
  return levelsOf(size).map(({ level, index }) => hashAt(level, index))
}

/** The root of a tree from its range; of an empty one, the hash of nothing. */
export function rangeRootOf(p: Primitives, range: readonly Uint8Array[]): Uint8Array {
  const [last, ...rest] = [...range].reverse()
  return last === undefined ? p.hash('sha256', new Uint8Array(0)) : rest.reduce((root, left) => nodeHash(p, left, root), last)
}

/** The range after further entries. Leaves with `log.consistency` when it is not the range of a tree of this size. */
export function extendRange(p: Primitives, size: number, range: readonly Uint8Array[], entries: readonly Uint8Array[]): Uint8Array[] {
  const levels = levelsOf(size)
  if (levels.length !== range.length || range.some(hash => hash.length !== HASH_BYTES)) return refuse('log.consistency', 'range', `${levels.length} hashes`, `${range.length}`)
  const open = levels.map(({ level }, i) => ({ level, hash: range[i] ?? new Uint8Array(0) }))
  for (const entry of entries) {
    let node = { level: 0, hash: leafHash(p, entry) }
    for (let left = open.at(-1); left?.level === node.level; left = open.at(-1)) {
      open.pop()
      node = { level: node.level + 1, hash: nodeHash(p, left.hash, node.hash) }
    }
    open.push(node)
  }
  return open.map(one => one.hash)
}

function levelsOf(size: number): { level: number; index: number }[] {
  if (!Number.isSafeInteger(size) || size < 0) return refuse('log.consistency', 'size', 'a size', String(size))
  const found: { level: number; index: number }[] = []
  for (let [level, start] = [52, 0]; level >= 0; level--) {
    const width = 2 ** level
    if (size - start < width) continue
    found.push({ level, index: start / width })
    start += width
  }
  return found
}
