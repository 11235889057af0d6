/**
 * Go's `sumdb/note` and `sumdb/tlog` against ours, both ways: `peer.go` verifies a log that our engine wrote, signed with
 * Ed25519 and ML-DSA-44 and cosigned by a witness, and writes one of its own that we follow. Needs Debian's `golang-go` and
 * `golang-golang-x-mod-dev`.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { follow, type Known } from '@cloister/core/log/monitor'
import { logKey } from '@cloister/core/log/note'
import { flatPolicy } from '@cloister/core/log/policy'
import { parseProof } from '@cloister/core/log/proof'
import { hashAtFromTiles, tilePath, tilesOf, TILE_WIDTH, verifiedTiles, type ReadTile } from '@cloister/core/log/tiles'
import { consistencyProof, inclusionProof, leafHash, rootAt, verifyConsistency, verifyInclusion } from '@cloister/core/log/tree'
import { orRefuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { openLedger } from '../../cloud/ledger/ledger.ts'
import { openWitness } from '../../cloud/ledger/witness.ts'
import { emptyDisk, openMemoryStore } from '../../cloud/store/memory.ts'
import { check, skipped, type Outcome } from './check.ts'

const PACKAGES = '/usr/share/gocode'
const run = promisify(execFile)

/** The proofs that stand beside a log, as peer.go reads and writes them; bytes are base64. */
interface Proofs {
  readonly vkey: string
  readonly inclusion: readonly { readonly index: number; readonly size: number; readonly root: string; readonly entry: string; readonly path: readonly string[]; readonly holds: boolean }[]
  readonly consistency: readonly { readonly old: number; readonly oldRoot: string; readonly size: number; readonly root: string; readonly path: readonly string[]; readonly holds: boolean }[]
}

/** Logs of `size` entries, one from each side. */
export async function goChecks(size: number): Promise<Outcome[]> {
  const name = 'sumdb note and tlog'
  const go = ['/usr/bin/go', '/usr/local/go/bin/go'].find(existsSync)
  if (go === undefined) return [skipped(name, 'no Go here: apt-get install golang-go golang-golang-x-mod-dev')]
  if (!existsSync(join(PACKAGES, 'src/golang.org/x/mod/sumdb/tlog'))) return [skipped(name, 'no golang.org/x/mod here: apt-get install golang-golang-x-mod-dev')]
  const folder = mkdtempSync(join(tmpdir(), 'tlog-'))
  try {
    const peer = join(folder, 'peer')
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: PACKAGES, GOFLAGS: '', GOTOOLCHAIN: 'local', GOCACHE: process.env['GOCACHE'] ?? join(folder, 'cache') }
    const built = await check('peer.go is built', async () => { await run(go, ['build', '-o', peer, join(import.meta.dirname, 'peer.go')], { env }) })
    if (built.kind !== 'passed') return [built]
    return [
      built,
      await check(`sumdb verifies our log of ${size} entries: checkpoint, tiles, bundles, proofs; and refuses what was altered`, async () => {
        await writeLog(join(folder, 'ours'), size)
        await run(peer, ['check', join(folder, 'ours')])
      }),
      await check('sumdb refuses our log with one tile, one entry or one proof altered', async () => { await refusedAltered(peer, join(folder, 'ours')) }),
      await check(`we follow sumdb's log to ${size} entries, and verify its checkpoints, tiles and proofs`, async () => {
        const sizes = [...new Set([1, 2, Math.ceil(size / 300), Math.ceil(size / 3), size])].sort((a, b) => a - b)
        await run(peer, ['make', join(folder, 'theirs'), ...sizes.map(String)])
        readLog(join(folder, 'theirs'), sizes)
      }),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function write(folder: string, path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), bytes)
}

/** Our engine's log, as files, with proofs that hold and proofs that do not. */
async function writeLog(folder: string, size: number): Promise<void> {
  const signers = [generateSigner('ed25519'), generateSigner('ml-dsa-44')] as const
  const witness = openWitness(p, 'w.example', generateSigner('ed25519'), openMemoryStore(emptyDisk(), new Uint8Array(32)))
  const ledger = await openLedger({ p, store: openMemoryStore(emptyDisk(), new Uint8Array(32)), origin: 'log.example', signers, witnesses: [witness], quorum: 1 })
  for (let from = 0; from < size; from += 10_000) await ledger.append(Array.from({ length: Math.min(10_000, size - from) }, (_, i) => utf8(`entry ${from + i}`)))
  const head = orRefuse(await ledger.publish(1_800_000_000))
  const read = async (path: string) => (await ledger.file(path))?.bytes ?? assert.fail(`no ${path}`)
  const tiles = new Map<string, Uint8Array>()
  for (const { level, full, partial } of tilesOf(size)) for (let index = 0; index < full + (partial > 0 ? 1 : 0); index++) {
    const width = index < full ? TILE_WIDTH : partial
    const path = tilePath(level, index, width)
    tiles.set(path, await read(path))
    write(folder, path, await read(path))
    if (level === 0) write(folder, tilePath('entries', index, width), await read(tilePath('entries', index, width)))
  }
  write(folder, 'checkpoint', await read('checkpoint'))
  const hashAt = hashAtFromTiles(p, size, verifiedTiles(p, size, head.root, tile => tiles.get(tilePath(tile.level, tile.index, tile.width)) ?? assert.fail()))
  const root = toBase64(head.root)
  const inclusion = await Promise.all([0, 1, Math.floor(size / 3), Math.floor(size / 2), size - 1].map(async index => {
    const { path } = orRefuse(parseProof(orRefuse(await ledger.prove(index))))
    return { index, size, root, entry: `entry ${index}`, path: path.map(toBase64), holds: true }
  }))
  const consistency = [1, 2, 3, 255, 256, 257, Math.floor(size / 2), size - 1, size].filter(old => old <= size).map(old => ({ old, oldRoot: toBase64(rootAt(p, old, hashAt)), size, root, path: consistencyProof(p, old, size, hashAt).map(toBase64), holds: true }))
  const other = toBase64(p.hash('sha256', utf8('another')))
  const bent = (path: readonly string[]) => path.map((hash, i) => (i === path.length - 1 ? other : hash))
  const proofs: Proofs = {
    vkey: logKey(p, 'log.example', signers[0].publicKey).vkey,
    inclusion: [...inclusion, ...inclusion.flatMap(one => [{ ...one, entry: 'another' }, { ...one, root: other }, { ...one, path: bent(one.path) }, { ...one, path: one.path.slice(1) }, { ...one, path: [...one.path, other] }].map(wrong => ({ ...wrong, holds: false })))],
    consistency: [...consistency, ...consistency.filter(one => one.old < size).flatMap(one => [{ ...one, oldRoot: other }, { ...one, root: other }, { ...one, path: bent(one.path) }, { ...one, path: one.path.slice(1) }, { ...one, path: [...one.path, other] }].map(wrong => ({ ...wrong, holds: false })))],
  }
  write(folder, 'proofs.json', JSON.stringify(proofs))
}

/** The peer is no rubber stamp: what it accepted, it refuses with one byte altered. */
async function refusedAltered(peer: string, folder: string): Promise<void> {
  const size = orRefuse(parseCheckpoint(readFileSync(join(folder, 'checkpoint'), 'utf8'))).size
  const width = Math.min(size, TILE_WIDTH)
  for (const path of [tilePath(0, 0, width), tilePath('entries', 0, width), 'checkpoint', 'proofs.json']) {
    const bytes = readFileSync(join(folder, path))
    const at = path === 'proofs.json' ? bytes.indexOf('"holds":true') + 8 : path === 'checkpoint' ? bytes.indexOf('—') + 30 : bytes.length - 1
    write(folder, path, path === 'proofs.json' ? Buffer.concat([bytes.subarray(0, at), Buffer.from('false'), bytes.subarray(at + 4)]) : bytes.map((byte, i) => (i === at ? byte ^ 1 : byte)))
    await assert.rejects(run(peer, ['check', folder]), `${path} altered`)
    write(folder, path, bytes)
  }
  await run(peer, ['check', folder])
}

function readLog(folder: string, sizes: readonly number[]): void {
  const read: ReadTile = tile => readFileSync(join(folder, tilePath(tile.level, tile.index, tile.width)))
  const proofs = JSON.parse(readFileSync(join(folder, 'proofs.json'), 'utf8')) as Proofs // peer.go's own form; what is missing fails below
  const policy = flatPolicy([proofs.vkey], [], 0)
  let known: Known | undefined
  for (const size of sizes) {
    const text = readFileSync(join(folder, `checkpoint.${size}`), 'utf8')
    do {
      const step = orRefuse(follow(p, policy, known, text, read))
      if (step.kind === 'fork') assert.fail('a fork')
      step.entries.forEach((entry, i) => { assert.equal(fromUtf8(entry), `entry ${step.first + i}`) })
      known = step.known
    } while (known.next < size)
  }
  const { size, root } = orRefuse(parseCheckpoint(known?.checkpoint ?? ''))
  const hashAt = hashAtFromTiles(p, size, verifiedTiles(p, size, root, read))
  const same = (path: readonly string[], made: readonly Uint8Array[]) => { assert.deepEqual(made.map(toBase64), path) }
  assert.ok(proofs.inclusion.length > 0 && proofs.consistency.length > 0)
  for (const one of proofs.inclusion) {
    const path = one.path.map(hash => fromBase64(hash))
    const holds = (entry: string, index = one.index) => verifyInclusion(p, leafHash(p, utf8(entry)), index, one.size, path, fromBase64(one.root)).ok
    assert.ok(holds(one.entry) && !holds('another') && (one.size === 1 || !holds(one.entry, (one.index + 1) % one.size)))
    if (one.size === size) same(one.path, inclusionProof(p, one.index, size, hashAt))
  }
  for (const one of proofs.consistency) {
    const [oldRoot, path] = [fromBase64(one.oldRoot), one.path.map(hash => fromBase64(hash))]
    const holds = (old: Uint8Array, proof = path) => verifyConsistency(p, one.old, old, one.size, fromBase64(one.root), proof).ok
    assert.ok(holds(oldRoot) && !holds(p.hash('sha256', oldRoot)) && !holds(oldRoot, [...path, oldRoot]))
    if (one.size === size) same(one.path, consistencyProof(p, one.old, size, hashAt))
    assert.ok(one.size !== size || equal(rootAt(p, one.old, hashAt), oldRoot))
  }
}
