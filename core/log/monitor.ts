/**
 * Following a log: each new checkpoint must continue the one before, and every new entry is read and held against it. Two
 * signed trees of one log that cannot both be true are a fork, and become a document that anybody can verify without us.
 * Pure: checkpoints and tiles are handed in, and what is known is handed back to be kept. Trusts the policy and what was
 * known, nothing that the log serves.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { equal } from '../bytes/bytes.ts'
import { isObject, parseJson, shown } from '../bytes/json.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts'
import { parseVkey, signedBy } from './note.ts'
import { verifyCheckpoint, verifyLogSignature, type LogPolicy, type Seen } from './policy.ts'
import { entriesFromTiles, hashAtFromTiles, HASH_BYTES, tileIn, tilesToVerify, TILE_WIDTH, verifiedTiles, type ReadTile, type Tile } from './tiles.ts'
import { consistencyProof, PROOF_MAX, rootAt, verifyConsistency } from './tree.ts'

/** The newest checkpoint that held (its text), and the first entry that was not read yet. */
export interface Known { readonly checkpoint: string; readonly next: number }

/** What one step found. */
export type Followed =
  /** The log goes on. `entries` begin at index `first`; there are more when `known.next` is below the size: follow again. */
  | { readonly kind: 'consistent'; readonly known: Known; readonly checkpoint: Checkpoint; readonly seen: Seen; readonly first: number; readonly entries: readonly Uint8Array[] }
  | { readonly kind: 'fork'; readonly fork: Fork }

/** Bundles that one step reads: 2,048 entries. */
const STEP_BUNDLES = 8

/**
 * Follow a log to a new checkpoint; `known` is undefined at first. Refuses what its parts refuse with: `log.origin`,
 * `log.signature`, `log.witnesses` for a checkpoint that the policy does not accept, `log.consistency` for one that is older
 * than what is known, `log.tile` for tiles that are not the tree's. After a refusal, what was known still is.
 *
 * @example
 * const step = orRefuse(follow(p, policy, known, text, read))
 * if (step.kind === 'fork') alarm(formatFork(step.fork))
 * else { step.entries.forEach(inspect); known = step.known }
 */
export function follow(p: Primitives, policy: LogPolicy, known: Known | undefined, text: string, read: ReadTile): Result<Followed> {
  return attempt((): Followed => {
    const checkpoint = orRefuse(parseCheckpoint(text))
    orRefuse(verifyLogSignature(p, checkpoint, policy.logs))
    const before = known === undefined ? undefined : orRefuse(parseCheckpoint(known.checkpoint))
    const fork = before === undefined ? undefined : forkOf(p, before, known?.checkpoint ?? '', checkpoint, text, read)
    // A fork is one whether or not witnesses followed it.
    if (fork !== undefined) return { kind: 'fork', fork }
    const seen = orRefuse(verifyCheckpoint(p, checkpoint, policy))
    if (before !== undefined && before.size > checkpoint.size) refuse('log.consistency', 'checkpoint.size', `at least ${before.size}, which is known`, String(checkpoint.size))
    const first = known?.next ?? 0
    const entries = newEntries(p, checkpoint, first, read)
    return { kind: 'consistent', known: { checkpoint: text, next: first + entries.length }, checkpoint, seen, first, entries }
  })
}

function newEntries(p: Primitives, { size, root }: Checkpoint, first: number, read: ReadTile): Uint8Array[] {
  const hashes = verifiedTiles(p, size, root, read)
  return bundlesFrom(first, size).flatMap(index => entriesFromTiles(p, size, index, read, hashes)).slice(first % TILE_WIDTH)
}

/** The bundles of a step that begins with this entry. */
function bundlesFrom(first: number, size: number): number[] {
  const from = Math.floor(first / TILE_WIDTH)
  return first >= size ? [] : Array.from({ length: Math.min(STEP_BUNDLES, Math.ceil(size / TILE_WIDTH) - from) }, (_, i) => from + i)
}

/** The tiles that `follow` will read, for readers that have to fetch them first. Refuses `log.note`, `log.checkpoint`. */
export function tilesToFollow(p: Primitives, known: Known | undefined, text: string): Result<Tile[]> {
  return attempt(() => {
    const { size } = orRefuse(parseCheckpoint(text))
    const before = known === undefined ? size : orRefuse(parseCheckpoint(known.checkpoint)).size
    const [small, large] = [Math.min(size, before), Math.max(size, before)]
    const bundles = size < before ? [] : bundlesFrom(known?.next ?? 0, size)
    const needed = bundles.flatMap(index => [tileIn(size, 'entries', index), tileIn(size, 0, index)])
    // Which tiles a proof needs does not depend on what is in them; those of the smaller tree's root are among them.
    const hashAt = hashAtFromTiles(p, large, tile => {
      needed.push(tile)
      return new Uint8Array(tile.width * HASH_BYTES)
    })
    consistencyProof(p, small, large, hashAt)
    return tilesToVerify(large, needed)
  })
}

// ---- forks

/**
 * Two checkpoints of one log that cannot both be true: the tree of `second` has, at the size of `first`, the root `root`,
 * which `proof` (RFC 9162 section 2.1.4) shows and which is not the one that `first` signs.
 */
export interface Fork { readonly first: string; readonly second: string; readonly root: Uint8Array; readonly proof: readonly Uint8Array[] }

export const FORK = 'cloister/fork/1'
const FORK_LIMITS = { bytes: 4 << 20, depth: 4, entries: 200, string: 1 << 20 }

/** The fork between two signed checkpoints, or undefined where one continues the other. Leaves with `log.origin` or `log.tile`. */
function forkOf(p: Primitives, before: Checkpoint, beforeText: string, after: Checkpoint, afterText: string, read: ReadTile): Fork | undefined {
  if (before.origin !== after.origin) refuse('log.origin', 'checkpoint.origin', before.origin, after.origin)
  const [small, large] = before.size <= after.size ? [before, after] : [after, before]
  const [first, second] = small === before ? [beforeText, afterText] : [afterText, beforeText]
  if (small.size === large.size) return equal(small.root, large.root) ? undefined : { first, second, root: large.root, proof: [] }
  const hashAt = hashAtFromTiles(p, large.size, verifiedTiles(p, large.size, large.root, read))
  const root = rootAt(p, small.size, hashAt)
  return equal(root, small.root) ? undefined : { first, second, root, proof: consistencyProof(p, small.size, large.size, hashAt) }
}

/** A fork as verified: whose it is, what was signed, and the witnesses of the policy that cosigned both. */
export interface VerifiedFork { readonly origin: string; readonly sizes: readonly [number, number]; readonly witnesses: readonly string[] }

/**
 * Is this a fork of a log that the policy names? It is when the log signed both checkpoints and they exclude each other.
 * Refuses `log.fork` where they do not, and `log.signature`, `log.origin`, `log.note` or `log.checkpoint` where they are
 * not the log's word.
 */
export function verifyFork(p: Primitives, fork: Fork, policy: LogPolicy): Result<VerifiedFork> {
  return attempt(() => {
    const [first, second] = [orRefuse(parseCheckpoint(fork.first)), orRefuse(parseCheckpoint(fork.second))]
    if (first.origin !== second.origin) refuse('log.fork', 'second.origin', first.origin, second.origin)
    for (const one of [first, second]) orRefuse(verifyLogSignature(p, one, policy.logs))
    if (equal(fork.root, first.root)) refuse('log.fork', 'root', 'another root than the first checkpoint\'s', 'the same')
    // The empty tree has one root, which nothing has to prove.
    const shown = verifyConsistency(p, first.size, fork.root, second.size, second.root, fork.proof)
    if (!shown.ok) refuse('log.fork', 'proof', 'that the second tree has this root at the size of the first', `${shown.refusal.expected}; got ${shown.refusal.got}`)
    const cosigned = (checkpoint: Checkpoint, vkey: string) => attempt(() => signedBy(p, checkpoint.note, parseVkey(p, vkey)))
    const both = policy.witnesses.filter(({ vkey }) => [first, second].every(one => {
      const said = cosigned(one, vkey)
      return said.ok && said.value !== undefined
    }))
    return { origin: first.origin, sizes: [first.size, second.size], witnesses: both.map(one => one.name) }
  })
}

/** A fork as a document. */
export function formatFork(fork: Fork): string {
  return `${JSON.stringify({ fork: FORK, first: fork.first, second: fork.second, root: toBase64(fork.root), proof: fork.proof.map(toBase64) }, null, 2)}\n`
}

/** Refuses `log.fork`, `json.*` or `bytes.*`; that it is a fork is for `verifyFork`. */
export function parseFork(text: string | Uint8Array): Result<Fork> {
  return attempt(() => {
    const value = parseJson(text, FORK_LIMITS)
    if (!isObject(value) || value['fork'] !== FORK) return refuse('log.fork', 'fork', FORK, isObject(value) ? shown(value['fork']) : 'another value')
    const { first, second, root, proof } = value
    for (const key of Object.keys(value)) if (!['fork', 'first', 'second', 'root', 'proof'].includes(key)) refuse('log.fork', key, 'fork, first, second, root, proof', key)
    if (typeof first !== 'string' || typeof second !== 'string' || typeof root !== 'string' || !Array.isArray(proof) || proof.length > PROOF_MAX) return refuse('log.fork', 'fork', 'two checkpoints, a root and a proof', 'another form')
    return { first, second, root: fromBase64(root, 'root'), proof: proof.map((hash, i) => (typeof hash === 'string' ? fromBase64(hash, `proof[${i}]`) : refuse('log.fork', `proof[${i}]`, 'base64', shown(hash)))) }
  })
}
