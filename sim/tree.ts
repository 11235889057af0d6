/** The tree of a log as it lies on a disk: its entries, and the root of the first of them. For logs of fewer than 256 entries. */
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { leafHash, nodeHash, rootAt, type HashAt } from '@cloister/core/log/tree'
import type { Disk } from '../cloud/store/memory.ts'

export function entriesOn(disk: Disk): string[] {
  return [...disk.entries].filter(([key]) => /^log\/[0-9a-f]+\/tail\//.test(key)).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { value }]) => fromUtf8(value))
}

export const leavesOf = (p: Primitives, entries: readonly string[]): Uint8Array[] => entries.map(entry => leafHash(p, utf8(entry)))

/** In hexadecimal; undefined where there are not so many leaves. */
export function rootOf(p: Primitives, leaves: readonly Uint8Array[], size: number): string | undefined {
  if (size > leaves.length) return undefined
  const known = new Map<string, Uint8Array>()
  const hashAt: HashAt = (level, index) => {
    const name = `${level}/${index}`
    const hash = known.get(name) ?? (level === 0 ? leaves[index] ?? new Uint8Array(0) : nodeHash(p, hashAt(level - 1, 2 * index), hashAt(level - 1, 2 * index + 1)))
    known.set(name, hash)
    return hash
  }
  return toHex(rootAt(p, size, hashAt))
}
