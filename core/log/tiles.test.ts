// Tiles: one path each, which of them a tree has, proofs read through them, and nothing read that is not the tree's.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat, equal } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import { attempt, type Result } from '../refusal.ts'
import { encodeBundle, entriesFromTiles, hashAtFromTiles, parseBundle, parseTilePath, splitTile, tileIn, tilePath, tilesOf, tilesToVerify, verifiedTiles, type ReadTile, type Tile } from './tiles.ts'
import { tilesOver } from './tree.fixture.ts'
import { consistencyProof, inclusionProof, rootAt, verifyConsistency, verifyInclusion } from './tree.ts'

const refused = (result: Result<unknown>, code: string) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
}
const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))

/** Three levels of tiles. */
const COUNT = 70_000
const entry = (i: number) => utf8(`entry ${i}`)
const { hashAt: plain, read: stored } = tilesOver(p, COUNT, entry)

test('a tile has one path, and a path one tile', () => {
  for (const [path, tile] of [
    ['tile/0/000', { level: 0, index: 0, width: 256 }], ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }], ['tile/63/255.p/1', { level: 63, index: 255, width: 1 }],
    ['tile/entries/x001/000.p/255', { level: 'entries', index: 1000, width: 255 }], ['tile/1/x009/x007/x199/x254/x740/991', { level: 1, index: 2 ** 53 - 1, width: 256 }],
  ] as const) {
    assert.deepEqual(parseTilePath(path), { ok: true, value: tile })
    assert.equal(tilePath(tile.level, tile.index, tile.width), path)
  }
  for (const bad of [
    '', '/tile/0/000', 'tile/0/000/', 'tile/00/000', 'tile/64/000', 'tile/-1/000', 'tile/0/0', 'tile/0/0000', 'tile/0/x000/000', 'tile/0/001/x000', 'tile/0/x1/000', 'tile/0/000.p/0', 'tile/0/000.p/256', 'tile/0/000.p/01', 'tile/0/000.p/999',
    'tile/0/000.p/', 'tile/0/000\n', 'tile/0/..', 'tile/data/000', 'tile/entries/', 'tile/0/x009/x007/x199/x254/x740/992', 'tile/0/x001/x000/x000/x000/x000/x000/000', `tile/0/${'x000/'.repeat(50_000)}000`, 'tile/8/0/000', 'tile/0/٠٠٠',
  ]) refused(parseTilePath(bad), 'log.tile')
  for (const [level, index, width] of [[64, 0, 1], [-1, 0, 1], [0.5, 0, 1], [0, -1, 1], [0, 2 ** 53, 1], [0, 0, 0], [0, 0, 257], [0, 0, 1.5]] as const) refused(attempt(() => tilePath(level, index, width)), 'log.tile')
  fc.assert(fc.property(fc.oneof(fc.constant('entries' as const), fc.nat(63)), fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
    assert.deepEqual(parseTilePath(tilePath(level, index, width)), { ok: true, value: { level, index, width } })
  }))
})

test('which tiles a tree has', () => {
  assert.deepEqual(tilesOf(0), [])
  assert.deepEqual(tilesOf(256), [{ level: 0, full: 1, partial: 0 }, { level: 1, full: 0, partial: 1 }])
  assert.deepEqual(tilesOf(70_000), [{ level: 0, full: 273, partial: 112 }, { level: 1, full: 1, partial: 17 }, { level: 2, full: 0, partial: 1 }])
  assert.equal(tilesOf(2 ** 53 - 1).length, 7)
  for (const bad of [-1, 0.5, NaN, 2 ** 53]) refused(attempt(() => tilesOf(bad)), 'log.tile')
  assert.deepEqual(tileIn(600, 0, 2), { level: 0, index: 2, width: 88 })
  assert.deepEqual(tileIn(600, 'entries', 1), { level: 'entries', index: 1, width: 256 })
  for (const [size, level, index] of [[600, 0, 3], [512, 0, 2], [600, 2, 0], [0, 0, 0], [600, 0, -1], [600, 0, 0.5], [600, 0.5, 0]] as const) assert.equal(tileIn(size, level, index), undefined)
})

test('bundles and tiles are read as they were written, or refused', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 256 }), entries => {
    const bytes = encodeBundle(entries)
    assert.deepEqual(held(parseBundle(bytes, entries.length)).map(one => [...one]), entries.map(one => [...one]))
    refused(parseBundle(bytes, entries.length + 1), 'log.tile')
    refused(parseBundle(concat(bytes, new Uint8Array(1))), 'bytes.truncated')
  }))
  assert.equal(held(parseBundle(encodeBundle([new Uint8Array(65_535)])))[0]?.length, 65_535)
  refused(attempt(() => encodeBundle([new Uint8Array(65_536)])), 'bytes.too-large')
  refused(attempt(() => encodeBundle([])), 'log.tile')
  refused(attempt(() => encodeBundle(new Array(257).fill(new Uint8Array(0)))), 'log.tile')
  refused(parseBundle(new Uint8Array(0)), 'log.tile')
  assert.equal(held(parseBundle(new Uint8Array(512))).length, 256)
  refused(parseBundle(new Uint8Array(514)), 'log.tile')
  assert.equal(splitTile(new Uint8Array(96), 3).length, 3)
  for (const length of [95, 97, 128, 0]) refused(attempt(() => splitTile(new Uint8Array(length), 3)), 'log.tile')
})

test('proofs read through verified tiles are the proofs of the tree', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: COUNT }), fc.nat(), fc.nat(), (size, a, b) => {
    const root = rootAt(p, size, plain)
    const tiles = hashAtFromTiles(p, size, verifiedTiles(p, size, root, stored))
    assert.ok(equal(rootAt(p, size, tiles), root))
    const index = a % size
    assert.ok(verifyInclusion(p, plain(0, index), index, size, inclusionProof(p, index, size, tiles), root).ok)
    const old = b % (size + 1)
    assert.ok(verifyConsistency(p, old, rootAt(p, old, plain), size, root, consistencyProof(p, old, size, tiles)).ok)
  }), { numRuns: 60 })
  for (const [level, index] of [[0, 600], [1, 300], [8, 2], [16, 0], [0, -1], [0, 0.5], [-1, 0], [0.5, 0]] as const) refused(attempt(() => hashAtFromTiles(p, 600, stored)(level, index)), 'log.tile')
})

test('a tile changed in one bit, cut, or of another place is refused wherever it is', () => {
  const size = COUNT
  const root = rootAt(p, size, plain)
  const all: Tile[] = [{ level: 0, index: 0, width: 256 }, { level: 0, index: 272, width: 256 }, { level: 0, index: 273, width: 112 }, { level: 1, index: 0, width: 256 }, { level: 1, index: 1, width: 17 }, { level: 2, index: 0, width: 1 }]
  for (const tile of all) {
    const same = ({ level, index }: Tile) => level === tile.level && index === tile.index
    assert.ok(equal(verifiedTiles(p, size, root, stored)(tile), stored(tile)))
    for (const wrong of [(bytes: Uint8Array) => bytes.map((byte, i) => (i === 31 ? byte ^ 1 : byte)), (bytes: Uint8Array) => bytes.subarray(32), (bytes: Uint8Array) => concat(bytes, new Uint8Array(32)), (bytes: Uint8Array) => (bytes.length > 32 ? concat(bytes.subarray(32, 64), bytes.subarray(0, 32), bytes.subarray(64)) : bytes.toReversed())]) {
      const lie: ReadTile = asked => (same(asked) ? wrong(stored(asked)) : stored(asked))
      refused(attempt(() => verifiedTiles(p, size, root, lie)(tile)), 'log.tile')
    }
  }
  for (const tile of [{ level: 0, index: 273, width: 111 }, { level: 0, index: 0, width: 255 }, { level: 0, index: 274, width: 1 }, { level: 3, index: 0, width: 1 }, { level: 'entries', index: 0, width: 256 }] as const) refused(attempt(() => verifiedTiles(p, size, root, stored)(tile)), 'log.tile')
  refused(attempt(() => verifiedTiles(p, size, root.toReversed(), stored)({ level: 0, index: 0, width: 256 })), 'log.tile')
})

test('what must be read to verify a tile', () => {
  const listed = (size: number, ...tiles: (Tile | undefined)[]) => tilesToVerify(size, tiles).map(one => tilePath(one.level, one.index, one.width))
  assert.deepEqual(listed(70_000, { level: 0, index: 3, width: 256 }, undefined), ['tile/0/003', 'tile/1/000', 'tile/2/000.p/1', 'tile/0/273.p/112', 'tile/1/001.p/17'])
  assert.deepEqual(listed(70_000, { level: 'entries', index: 273, width: 112 }), ['tile/entries/273.p/112', 'tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1'])
  assert.deepEqual(listed(70_000, undefined), [])
  for (const size of [1, 255, 256, 512, 65_536, 70_000]) {
    const asked = new Set<string>()
    const read: ReadTile = tile => { asked.add(tilePath(tile.level, tile.index, tile.width)); return stored(tile) }
    const tile = tileIn(size, 0, 0) ?? assert.fail()
    verifiedTiles(p, size, rootAt(p, size, plain), read)(tile)
    assert.deepEqual([...asked].sort(), listed(size, tile).sort())
  }
})

test('no more than 64 full tiles are remembered', () => {
  let count = 0
  const verified = verifiedTiles(p, 65_536 + 300, rootAt(p, 65_536 + 300, plain), tile => { if (tile.level === 0 && tile.index === 0) count++; return stored(tile) })
  const look = (index: number) => verified({ level: 0, index, width: 256 })
  look(0)
  for (let index = 1; index < 60; index++) look(index)
  look(0)
  assert.equal(count, 1)
  for (let index = 60; index < 80; index++) look(index)
  look(0)
  assert.equal(count, 2)
})

test('what was verified stays as it was, and is not read again', () => {
  const size = 65_536 + 300
  const [asked, bytes] = [new Array<Tile>(), new Map<string, Uint8Array>()]
  const read: ReadTile = tile => {
    asked.push(tile)
    const path = tilePath(tile.level, tile.index, tile.width)
    return bytes.get(path) ?? bytes.set(path, stored(tile)).get(path) ?? assert.fail()
  }
  const verified = verifiedTiles(p, size, rootAt(p, size, plain), read)
  const tile = { level: 0, index: 3, width: 256 }
  const before = verified(tile).slice()
  for (const one of bytes.values()) one.fill(0)
  const count = asked.length
  assert.ok(equal(verified(tile), before))
  assert.equal(asked.length, count)
})

test('entries are held against their leaves', () => {
  const size = 600
  const hashes = verifiedTiles(p, size, rootAt(p, size, plain), stored)
  assert.deepEqual(entriesFromTiles(p, size, 2, stored, hashes), Array.from({ length: 88 }, (_, i) => entry(512 + i)))
  const other: ReadTile = tile => encodeBundle(held(parseBundle(stored(tile))).map((one, i) => (i === 87 ? utf8('another') : one)))
  refused(attempt(() => entriesFromTiles(p, size, 2, other, hashes)), 'log.tile')
  refused(attempt(() => entriesFromTiles(p, size, 2, tile => stored({ ...tile, width: 87 }), hashes)), 'log.tile')
  refused(attempt(() => entriesFromTiles(p, size, 3, stored, hashes)), 'log.tile')
})
