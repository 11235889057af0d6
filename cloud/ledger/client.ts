/**
 * A log as somebody else reads it, over HTTP (C2SP tlog-tiles): checkpoints, tiles, proofs made from tiles, and following
 * it entry by entry. Nothing that is fetched is believed: every tile is held against the root of a checkpoint, and that
 * against the reader's own policy. Trusts that policy.
 */
import { fromUtf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { follow, tilesToFollow, type Followed, type Known } from '@cloister/core/log/monitor'
import { verifyCheckpoint, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { encodeBundle, ENTRY_BYTES_MAX, hashAtFromTiles, HASH_BYTES, parseBundle, tileIn, tilePath, TILE_WIDTH, verifiedTiles, type ReadTile, type Tile } from '@cloister/core/log/tiles'
import { inclusionProof } from '@cloister/core/log/tree'
import { orRefuse, refuse } from '@cloister/core/refusal'

export interface LogClient {
  readonly url: string
  checkpoint(): Promise<string>
  tile(tile: Tile): Promise<Uint8Array>
  /** Its index, once a witnessed checkpoint contains it. */
  add(entry: Uint8Array): Promise<number>
}

const TIMEOUT_MS = 30_000
const CHECKPOINT_BYTES_MAX = 1 << 20
const BUNDLE_BYTES_MAX = TILE_WIDTH * (ENTRY_BYTES_MAX + 2)

/** The log below a URL. Every call rejects with `log.unavailable` where there is no answer. */
export function connectLog(url: string): LogClient {
  const base = url.replace(/\/$/, '')
  const call = async (path: string, bytesMax: number, init: RequestInit = {}): Promise<{ status: number; body: Uint8Array }> => {
    const response = await fetch(`${base}/${path}`, { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
      .catch((error: unknown) => refuse('log.unavailable', base, 'a log that answers', error instanceof Error ? error.message : 'no answer'))
    return { status: response.status, body: await boundedBody(response, bytesMax, `${base}/${path}`) }
  }
  const get = async (path: string, bytesMax: number): Promise<Uint8Array> => {
    const { status, body } = await call(path, bytesMax)
    return status === 200 ? body : refuse('log.unavailable', `${base}/${path}`, 'status 200', `${status}`)
  }
  return {
    url: base,
    checkpoint: async () => fromUtf8(await get('checkpoint', CHECKPOINT_BYTES_MAX), 'checkpoint'),
    tile: async ({ level, index, width }) => {
      const most = level === 'entries' ? BUNDLE_BYTES_MAX : HASH_BYTES * TILE_WIDTH
      const { status, body } = await call(tilePath(level, index, width), most)
      if (status === 200) return body
      // A partial one may be gone once the full one is there, which begins with the same hashes and entries.
      if (status !== 404 || width === TILE_WIDTH) return refuse('log.unavailable', tilePath(level, index, width), 'status 200', `${status}`)
      const full = await get(tilePath(level, index), most)
      return level === 'entries' ? encodeBundle(orRefuse(parseBundle(full, TILE_WIDTH)).slice(0, width)) : full.subarray(0, HASH_BYTES * width)
    },
    add: async entry => {
      const { status, body } = await call('add', 1 << 12, { method: 'POST', body: Uint8Array.from(entry) })
      const text = fromUtf8(body, 'add')
      return status === 200 && /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : refuse('log.unavailable', `${base}/add`, 'an index', `${status}: ${text}`)
    },
  }
}

/** The `.tlog-proof` of an entry under the log's newest checkpoint, made from its tiles and held against this policy. */
export async function proveFrom(p: Primitives, client: LogClient, policy: LogPolicy, index: number): Promise<string> {
  const text = await client.checkpoint()
  const checkpoint = orRefuse(parseCheckpoint(text))
  orRefuse(verifyCheckpoint(p, checkpoint, policy))
  const { size, root } = checkpoint
  if (index >= size) refuse('log.unavailable', 'index', `an entry below ${size}`, String(index))
  const path = await overTiles(client, [], read => inclusionProof(p, index, size, hashAtFromTiles(p, size, verifiedTiles(p, size, root, read))))
  return formatProof({ index, path, checkpoint: text })
}

/** Entries `from` up to `size`, as the log serves them. Not held against its tree: for whoever does that itself. */
export async function entriesFrom(client: LogClient, from: number, size: number): Promise<Uint8Array[]> {
  const entries: Uint8Array[] = []
  for (let bundle = Math.floor(from / TILE_WIDTH); bundle * TILE_WIDTH < size; bundle++) {
    const tile = tileIn(size, 'entries', bundle)
    if (tile !== undefined) entries.push(...orRefuse(parseBundle(await client.tile(tile), tile.width)).slice(Math.max(0, from - bundle * TILE_WIDTH)))
  }
  return entries
}

/** One step of following a log: its newest checkpoint, and entries that were not read yet. `known` is undefined at first. */
export async function followFrom(p: Primitives, client: LogClient, policy: LogPolicy, known: Known | undefined): Promise<Followed> {
  const text = await client.checkpoint()
  return overTiles(client, orRefuse(tilesToFollow(p, known, text)), read => orRefuse(follow(p, policy, known, text, read)))
}

const AT_ONCE = 8
const ROUNDS_MAX = 10_000

/** A tile that was not fetched yet: the computation is begun again when it is there. */
class Missing extends Error {
  readonly tile: Tile
  constructor(tile: Tile) {
    super('a tile to fetch')
    this.tile = tile
  }
}

/** Run what reads tiles over a log that has to be asked for them; those of `ahead` are fetched together before. */
async function overTiles<T>(client: LogClient, ahead: readonly Tile[], compute: (read: ReadTile) => T): Promise<T> {
  const known = new Map<string, Uint8Array>()
  const fetchTile = async (tile: Tile) => known.set(tilePath(tile.level, tile.index, tile.width), await client.tile(tile))
  for (let at = 0; at < ahead.length; at += AT_ONCE) await Promise.all(ahead.slice(at, at + AT_ONCE).map(fetchTile))
  for (let round = 0; round < ROUNDS_MAX; round++) {
    try {
      return compute(tile => known.get(tilePath(tile.level, tile.index, tile.width)) ?? missing(tile))
    } catch (error) {
      if (!(error instanceof Missing)) throw error
      await fetchTile(error.tile)
    }
  }
  return refuse('log.unavailable', client.url, `at most ${ROUNDS_MAX} tiles for one step`, 'more')
}

function missing(tile: Tile): never {
  throw new Missing(tile)
}

/** A body of bounded size, counted while it arrives. */
export async function boundedBody(response: Response, bytesMax: number, at: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  const stream: ReadableStream<Uint8Array> | null = response.body
  if (stream !== null) for await (const chunk of stream) {
    size += chunk.length
    if (size > bytesMax) return refuse('bytes.too-large', at, `at most ${bytesMax} bytes`, 'more')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
