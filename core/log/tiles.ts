/**
 * The log as files (C2SP tlog-tiles): tiles of 256 hashes, bundles of 256 entries, and their paths, one path for each. Pure:
 * whoever stores or fetches them hands in a reader. Trusts nothing that is read: `verifiedTiles` holds every tile against
 * the root of a checkpoint before anything is computed from it. `hashAtFromTiles` alone trusts its reader, as a log does
 * that reads its own store.
 */
import { concat, equal } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { Reader } from '../bytes/reader.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { leafHash, nodeHash, rootAt, type HashAt } from './tree.ts'

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256
export const ENTRY_BYTES_MAX = 65_535
export const HASH_BYTES = 32
/** Levels of the tree that one level of tiles spans: 256 = 2⁸. */
const TILE_HEIGHT = 8
const LEVEL_MAX = 63
const PATH_MAX = 64
/** Tiles that a verifying reader remembers; a proof needs two for each of at most seven levels. */
const KEPT_MAX = 64

/** One file of the log: hashes of a level, or entries; `width` of them (1 to 256), the first being `index · 256`. */
export interface Tile { readonly level: number | 'entries'; readonly index: number; readonly width: number }

/** Gives the bytes of a tile. Where a partial one is gone from its server, the full one begins with the same bytes. */
export type ReadTile = (tile: Tile) => Uint8Array

// ---- paths

/**
 * The path of a tile below the log's prefix. A level, index or width that no tile has leaves with `log.tile`.
 *
 * @example
 * tilePath(0, 1234067)       // → 'tile/0/x001/x234/067'
 * tilePath('entries', 2, 88) // → 'tile/entries/002.p/88'
 */
export function tilePath(level: Tile['level'], index: number, width: number = TILE_WIDTH): string {
  if (level !== 'entries' && !isCount(level, LEVEL_MAX)) refuse('log.tile', 'tile.level', `0 to ${LEVEL_MAX}`, String(level))
  if (!isCount(index)) refuse('log.tile', 'tile.index', 'a number', String(index))
  if (!isCount(width, TILE_WIDTH) || width === 0) refuse('log.tile', 'tile.width', `1 to ${TILE_WIDTH}`, String(width))
  return `tile/${level}/${groupsOf(index)}${width === TILE_WIDTH ? '' : `.p/${width}`}`
}

const PATH = /^tile\/(entries|[0-9]|[1-5][0-9]|6[0-3])\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** The tile at a path; any text but its one path refuses with `log.tile`. Whether a tree has it is not asked here. */
export function parseTilePath(path: string): Result<Tile> {
  return attempt(() => {
    const bad = (): never => refuse('log.tile', 'path', 'the path of a tile', path)
    const [, level = '', digits = '', partial = String(TILE_WIDTH)] = (path.length > PATH_MAX ? null : PATH.exec(path)) ?? bad()
    const [index, width] = [Number(digits.replaceAll(/[x/]/g, '')), Number(partial)]
    const tile: Tile = { level: level === 'entries' ? level : Number(level), index, width }
    // No leading groups of zeros, no full tile by a partial's path, no number that is none.
    return tilePath(tile.level, index, width) === path ? tile : bad()
  })
}

/** A number as a path: groups of three digits, all but the last marked with an x. */
function groupsOf(index: number): string {
  const text = String(index)
  const groups = text.padStart(Math.ceil(text.length / 3) * 3, '0').match(/[0-9]{3}/g) ?? []
  return groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/')
}

// ---- which tiles a tree has

/** The tiles of one level: `full` of them, and one more of `partial` hashes where that is not 0. */
export interface TileLevel { readonly level: number; readonly full: number; readonly partial: number }

/**
 * The tiles of a tree, from its leaves up; bundles of entries are as many as tiles of level 0. The empty tree has none.
 *
 * @example
 * tilesOf(600) // → [{ level: 0, full: 2, partial: 88 }, { level: 1, full: 0, partial: 2 }]
 */
export function tilesOf(size: number): TileLevel[] {
  if (!isCount(size)) refuse('log.tile', 'size', 'the size of a tree', String(size))
  const levels: TileLevel[] = []
  for (let left = size; left > 0; left = Math.floor(left / TILE_WIDTH)) levels.push({ level: levels.length, full: Math.floor(left / TILE_WIDTH), partial: left % TILE_WIDTH })
  return levels
}

/** The tile at this place in a tree of `size`, as wide as the tree has it; undefined where the tree has none. */
export function tileIn(size: number, level: Tile['level'], index: number): Tile | undefined {
  const here = tilesOf(size)[level === 'entries' ? 0 : level]
  if (here === undefined || !isCount(index) || index > here.full || (index === here.full && here.partial === 0)) return undefined
  return { level, index, width: index < here.full ? TILE_WIDTH : here.partial }
}

// ---- contents

/** The hashes of a tile. Leaves with `log.tile` when they are not `width` whole ones. */
export function splitTile(bytes: Uint8Array, width: number): Uint8Array[] {
  if (bytes.length !== width * HASH_BYTES) refuse('log.tile', 'tile', `${width * HASH_BYTES} bytes`, `${bytes.length} bytes`)
  return Array.from({ length: width }, (_, i) => bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))
}

/** A bundle: each entry behind its length, 16 bits, big-endian. Leaves with `log.tile` or, for one entry, `bytes.too-large`. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length === 0 || entries.length > TILE_WIDTH) refuse('log.tile', 'bundle', `1 to ${TILE_WIDTH} entries`, String(entries.length))
  return concat(...entries.flatMap(entry => {
    if (entry.length > ENTRY_BYTES_MAX) refuse('bytes.too-large', 'log.entry', `at most ${ENTRY_BYTES_MAX} bytes`, `${entry.length} bytes`)
    return [new Uint8Array([entry.length >> 8, entry.length & 255]), entry]
  }))
}

/** The entries of a bundle of this width, or of any without one. Refuses `log.tile` or `bytes.truncated`. */
export function parseBundle(bytes: Uint8Array, width?: number): Result<Uint8Array[]> {
  return attempt(() => {
    const reader = new Reader(bytes, 'bundle@')
    const entries: Uint8Array[] = []
    while (reader.left > 0 && entries.length <= TILE_WIDTH) entries.push(reader.take(reader.u16be()))
    if (entries.length === 0 || entries.length > TILE_WIDTH || entries.length !== (width ?? entries.length)) refuse('log.tile', 'bundle', `${width ?? `1 to ${TILE_WIDTH}`} entries`, entries.length > TILE_WIDTH ? 'more' : String(entries.length))
    return entries
  })
}

// ---- reading a tree through its tiles

/** Hashes of the tree of `size`, read from its tiles, for `inclusionProof`, `consistencyProof` and `rootAt`. Leaves with `log.tile`. */
export function hashAtFromTiles(p: Primitives, size: number, read: ReadTile): HashAt {
  return (level, index) => {
    // Between two levels of tiles a hash stands for 2, 4 … 128 neighbours, all in one tile.
    const width = 2 ** (level % TILE_HEIGHT)
    const place = index * width
    const tile = tileIn(size, Math.floor(level / TILE_HEIGHT), Math.floor(place / TILE_WIDTH))
    const from = place % TILE_WIDTH
    if (tile === undefined || !isCount(place) || !isCount(level) || from + width > tile.width) return refuse('log.tile', `hash ${level}/${index}`, `a full subtree of ${size} entries`, 'another')
    return joined(p, splitTile(read(tile), tile.width).slice(from, from + width))
  }
}

/**
 * A reader whose every tile belongs to the tree with this size and root: a partial tile is a part of the root itself, and a
 * full one is a hash in the tile above it. Leaves with `log.tile` for any that does not, and for one the tree does not have.
 */
export function verifiedTiles(p: Primitives, size: number, root: Uint8Array, read: ReadTile): ReadTile {
  const kept = new Map<string, Uint8Array>()
  /** The right edge of the tree: its partial tiles, of which the root is made. */
  let edge: ReadonlyMap<number, Uint8Array> | undefined
  const edgeOf = (): ReadonlyMap<number, Uint8Array> => {
    const found = new Map(tilesOf(size).filter(one => one.partial > 0).map(({ level, full, partial }) => [level, whole(read, { level, index: full, width: partial })]))
    const got = rootAt(p, size, hashAtFromTiles(p, size, ({ level }) => found.get(Number(level)) ?? new Uint8Array(0)))
    return equal(got, root) ? found : refuse('log.tile', 'partial tiles', `the root ${toHex(root)}`, toHex(got))
  }
  const verified = ({ level, index, width }: Tile): Uint8Array => {
    const path = tilePath(level, index, width)
    if (level === 'entries' || tileIn(size, level, index)?.width !== width) return refuse('log.tile', path, `a tile of hashes of a tree of ${size}`, 'another')
    const known = width < TILE_WIDTH ? (edge ??= edgeOf()).get(level) : kept.get(path)
    if (known !== undefined) return known
    const above = tileIn(size, level + 1, Math.floor(index / TILE_WIDTH))
    const expected = above === undefined ? undefined : splitTile(verified(above), above.width)[index % TILE_WIDTH]
    const bytes = whole(read, { level, index, width })
    const got = joined(p, splitTile(bytes, width))
    if (expected === undefined || !equal(got, expected)) refuse('log.tile', path, `${expected === undefined ? 'a hash' : toHex(expected)}, in the tile above it`, toHex(got))
    if (kept.size >= KEPT_MAX) for (const oldest of kept.keys()) { kept.delete(oldest); break }
    kept.set(path, bytes)
    return bytes
  }
  return verified
}

/** These tiles of a tree of `size`, and those that `verifiedTiles` reads to verify them: the right edge and what is above. */
export function tilesToVerify(size: number, tiles: readonly (Tile | undefined)[]): Tile[] {
  const found = new Map<string, Tile>()
  const add = (tile: Tile | undefined): void => {
    if (tile === undefined || found.has(tilePath(tile.level, tile.index, tile.width))) return
    found.set(tilePath(tile.level, tile.index, tile.width), tile)
    if (tile.level !== 'entries' && tile.width === TILE_WIDTH) add(tileIn(size, tile.level + 1, Math.floor(tile.index / TILE_WIDTH)))
  }
  tiles.forEach(add)
  if (found.size > 0) for (const { level, full, partial } of tilesOf(size)) if (partial > 0) add({ level, index: full, width: partial })
  return [...found.values()]
}

/**
 * The entries of bundle `index` of a tree of `size`, each held against its leaf hash in the tiles. `bundle` reads bundles;
 * `hashes` is a reader from `verifiedTiles`. Leaves with `log.tile` or `bytes.truncated`.
 */
export function entriesFromTiles(p: Primitives, size: number, index: number, bundle: ReadTile, hashes: ReadTile): Uint8Array[] {
  const tile = tileIn(size, 'entries', index) ?? refuse('log.tile', `bundle ${index}`, `a bundle of a tree of ${size}`, 'another')
  const entries = orRefuse(parseBundle(bundle(tile), tile.width))
  const leaves = splitTile(hashes({ ...tile, level: 0 }), tile.width)
  entries.forEach((entry, i) => {
    if (!equal(leafHash(p, entry), leaves[i] ?? entry)) refuse('log.tile', `entry ${index * TILE_WIDTH + i}`, toHex(leaves[i] ?? entry), toHex(leafHash(p, entry)))
  })
  return entries
}

/** A copy, so that nobody can change under us what was verified. */
function whole(read: ReadTile, tile: Tile): Uint8Array {
  const bytes = read(tile)
  return bytes.length === tile.width * HASH_BYTES ? bytes.slice() : refuse('log.tile', tilePath(tile.level, tile.index, tile.width), `${tile.width * HASH_BYTES} bytes`, `${bytes.length} bytes`)
}

/** The root of a full subtree from its 1, 2, 4 … 256 hashes. */
function joined(p: Primitives, hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes
  while (row.length > 1) row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(p, row[2 * i] ?? NONE, row[2 * i + 1] ?? NONE))
  return row[0] ?? NONE
}
const NONE = new Uint8Array(0)

const isCount = (n: number, max = Number.MAX_SAFE_INTEGER): boolean => Number.isSafeInteger(n) && n >= 0 && n <= max
