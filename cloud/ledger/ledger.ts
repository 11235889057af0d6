/**
 * The transparency log: one engine, any number of origins on one store. Entries and hashes lie there as the tiles that
 * readers get (C2SP tlog-tiles), the open tiles at the right edge as rows of their own, so that an append writes what is
 * new and nothing else. `prepare` gives an append as a part of the caller's batch; `publish` asks the witnesses; only a
 * checkpoint that a quorum cosigned, and that is durable, is shown (`head`, `prove`, `file`): nobody ever sees a tree that
 * could still be taken back.
 *
 * Trusts: its own signing keys. One writer: every batch expects the newest checkpoint to be the one it continues, so that
 * of two writers one is told that it moved. What the store returns is held against the tree.
 */
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { concat, equal } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { checkpointText, parseCheckpoint, type Checkpoint } from '@cloister/core/log/checkpoint'
import { formatNote, logKey, signNote, type Note } from '@cloister/core/log/note'
import { cosignedBy, flatPolicy, formatPolicy, NOBODY, quorumTime, verifyCheckpoint, verifyLogSignature, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { rangeOf } from '@cloister/core/log/range'
import { encodeBundle, ENTRY_BYTES_MAX, HASH_BYTES, hashAtFromTiles, parseBundle, parseTilePath, splitTile, tileIn, tilePath, TILE_WIDTH, type Tile } from '@cloister/core/log/tiles'
import { consistencyProof, inclusionProof, leafHash, nodeHash, rootAt, verifyInclusion, type HashAt } from '@cloister/core/log/tree'
import { attempt, attemptAsync, orRefuse, refuse, refusalOf, type Result } from '@cloister/core/refusal'
import type { Batch, Entry, Store } from '../store/store.ts'
import type { Witness } from './witness.ts'

export interface LedgerOptions {
  readonly p: Primitives
  readonly store: Store
  readonly origin: string
  /** Ed25519 first; further ones (ML-DSA-44) sign beside it, and readers of the policy ask for all of them. */
  readonly signers: readonly Signer[]
  readonly witnesses: readonly Witness[]
  /** How many of the witnesses must cosign before a checkpoint is shown. */
  readonly quorum: number
}

/** The newest tree that may be shown: `time` is when its quorum says it saw it. */
export interface Head { readonly text: string; readonly size: number; readonly root: Uint8Array; readonly time: number; readonly witnesses: number }

/** Entries as a part of a batch. Call `committed` when the batch is durable; forget it when the store had moved. */
export interface Prepared { readonly first: number; readonly batch: Required<Pick<Batch, 'expect' | 'put' | 'delete'>>; committed(): void }

export interface LogFile { readonly type: string; readonly immutable: boolean; readonly bytes: Uint8Array }

export interface Ledger {
  readonly origin: string
  readonly policy: LogPolicy
  /** The policy as auditors read it (C2SP tlog-policy). */
  policyText(): string
  /** Number of entries that are durable, shown or not. */
  size(): number
  prepare(entries: readonly Uint8Array[]): Prepared
  /** Prepare, write and be done: for logs that stand alone. Gives the index of the first; tries again when another writer was first. */
  append(entries: readonly Uint8Array[]): Promise<number>
  /** Read again what the store holds: another writer was there. */
  reload(): Promise<void>
  /**
   * Let the witnesses cosign the newest tree at `now`, and show it. Refuses `log.unavailable` for an empty log or when
   * too few witnesses agree: a fork, or a store that was set back, gets no quorum.
   */
  publish(now: number): Promise<Result<Head>>
  /** The newest shown tree; undefined before the first. */
  head(): Head | undefined
  /** A .tlog-proof of an entry in the newest shown tree. Refuses `log.unavailable`. */
  prove(index: number): Promise<Result<string>>
  entry(index: number): Promise<Uint8Array | undefined>
  /** Root of the first `size` entries, or undefined when there are not so many. */
  rootAt(size: number): Promise<Uint8Array | undefined>
  /** The tree of the first `size` entries in a few hashes (`core/log/range.ts`). */
  range(size: number): Promise<Uint8Array[]>
  /** What stands at a path below the log's prefix: `checkpoint`, tiles, entry bundles; of the newest shown tree only. */
  file(path: string): Promise<LogFile | undefined>
}

/**
 * Open a log on its store; a log without entries is a new one. Rejects with `store.corrupt` when what lies there is not
 * the tree that its newest checkpoint signs.
 *
 * @example
 * const ledger = await openLedger({ p, store, origin: 'log.example', signers: [signer], witnesses, quorum: 1 })
 * await ledger.append([utf8('an entry')])
 * await ledger.publish(now)
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const kinds = options.signers.map(signer => signer.publicKey.kind)
  if (kinds[0] !== 'ed25519' || kinds.slice(1).some(kind => kind !== 'ml-dsa-44')) return refuse('crypto.algorithm', 'ledger.signers', 'an Ed25519 key, and ML-DSA-44 keys beside it', kinds.join(', '))
  const ledger = new TiledLedger(options)
  await ledger.reload()
  return ledger
}

/** The right edge of the tree: what the next append needs, and nothing else. Never changed, only replaced. */
interface Edge {
  /** The newest signed checkpoint as it lies in the store; undefined before the first. */
  readonly signed: Uint8Array | undefined
  readonly size: number
  /** Entries of the open bundle. */
  readonly tail: readonly Uint8Array[]
  /** By tile level, the hashes of the open tile. */
  readonly levels: readonly (readonly Uint8Array[])[]
}
const EMPTY: Edge = { signed: undefined, size: 0, tail: [], levels: [] }

const LEVELS_MAX = 7 // 256^7 entries are more than a number counts exactly
const TRIES_MAX = 20
const CACHE_MAX = 512

class TiledLedger implements Ledger {
  readonly origin: string
  readonly policy: LogPolicy
  readonly #options: LedgerOptions
  readonly #base: string
  /** Full tiles and bundles never change. */
  readonly #kept = new Map<string, Uint8Array>()
  #edge: Edge = EMPTY
  #head: Head | undefined

  constructor(options: LedgerOptions) {
    const { p, origin, signers, witnesses, quorum } = options
    this.#options = options
    this.origin = origin
    this.policy = flatPolicy(signers.map(signer => logKey(p, origin, signer.publicKey).vkey), witnesses.map(witness => witness.vkey), quorum)
    this.#base = `log/${toHex(p.hash('sha256', utf8(origin))).slice(0, 32)}`
  }

  policyText(): string { return formatPolicy(this.policy) }

  size(): number { return this.#edge.size }

  head(): Head | undefined { return this.#head }

  prepare(entries: readonly Uint8Array[]): Prepared {
    const { p, origin, signers } = this.#options
    const before = this.#edge
    const grown = this.#grow(before, entries)
    const root = rootAt(p, grown.size, edgeHash(p, grown))
    const unsigned: Note = { text: checkpointText(origin, grown.size, root), signatures: [] }
    const signed = utf8(formatNote(signers.reduce((note, signer) => signNote(p, note, origin, signer), unsigned)))
    const after: Edge = { ...grown, signed }
    return {
      first: before.size,
      batch: { expect: [{ key: this.#key('signed'), value: before.signed }], put: [...grown.put, { key: this.#key('signed'), value: signed }], delete: grown.gone },
      committed: () => { this.#edge = after },
    }
  }

  async append(entries: readonly Uint8Array[]): Promise<number> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const { first, batch, committed } = this.prepare(entries)
      const written = await this.#options.store.write(batch)
      if (!written.moved) {
        committed()
        return first
      }
      await this.reload()
    }
    return refuse('store.locked', 'log', 'a turn to write', `${TRIES_MAX} times another writer was first`, 'try again')
  }

  async reload(): Promise<void> {
    // First what is shown, then what is durable: whatever others do in between, the tree reaches as far as its head.
    const shown = await this.#options.store.get(this.#key('shown'))
    const edge = await this.#read()
    // What was read while an append of ours became durable is older than what stands here.
    if (edge.size >= this.#edge.size) this.#edge = edge
    // Shown under other witnesses, it says nothing under these: they are asked anew.
    const head = shown === undefined ? undefined : attempt(() => this.#headOf(fromUtf8(shown)))
    if (head?.ok === true && head.value.size <= this.#edge.size) this.#show(head.value)
  }

  async publish(now: number): Promise<Result<Head>> {
    for (let tries = 1; ; tries++) {
      const shown = await attemptAsync(() => this.#publish(now))
      if (shown.ok || shown.refusal.code.startsWith('store.')) return shown
      // Another writer may have gone on in between: read again.
      if (tries === PUBLISH_TRIES) return { ok: false, refusal: refusalOf('log.unavailable', 'log', shown.refusal.expected, `${shown.refusal.code}: ${shown.refusal.got}`, 'nothing is released until the witnesses answer and agree') }
      const again = await attemptAsync(() => this.reload())
      if (!again.ok) return again
    }
  }

  prove(index: number): Promise<Result<string>> {
    return attemptAsync(async () => {
      const made = await attemptAsync(() => this.#prove(index))
      if (made.ok || made.refusal.code.startsWith('store.') || made.refusal.code === 'log.unavailable') return orRefuse(made)
      // The store was set back, or exchanged, since the head was shown: perhaps it shows another one by now.
      await this.reload()
      const again = await attemptAsync(() => this.#prove(index))
      return again.ok ? again.value : refuse('log.unavailable', 'log', 'the tree that was shown', `another one: ${made.refusal.code}`, 'restore the newest store')
    })
  }

  /** Verified before it is handed out. */
  async #prove(index: number): Promise<string> {
    const { p } = this.#options
    const head = this.#head
    if (head === undefined || !(index < head.size)) return refuse('log.unavailable', 'log', `a witnessed tree with entry ${index}`, head === undefined ? 'none' : `one of ${head.size} entries`)
    const path = await this.#overTiles(hashAt => inclusionProof(p, index, head.size, hashAt))
    orRefuse(verifyInclusion(p, leafHash(p, await this.entry(index) ?? NOTHING), index, head.size, path, head.root))
    return formatProof({ index, path, checkpoint: head.text })
  }

  async entry(index: number): Promise<Uint8Array | undefined> {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.#edge.size) return undefined
    const [bundle, place] = [Math.floor(index / TILE_WIDTH), index % TILE_WIDTH]
    return (await this.#bundle(bundle))[place]
  }

  async rootAt(size: number): Promise<Uint8Array | undefined> {
    return size > this.#edge.size ? undefined : this.#overTiles(hashAt => rootAt(this.#options.p, size, hashAt))
  }

  async range(size: number): Promise<Uint8Array[]> {
    return this.#overTiles(hashAt => rangeOf(size, hashAt))
  }

  async file(path: string): Promise<LogFile | undefined> {
    const head = this.#head
    if (head === undefined) return undefined
    if (path === 'checkpoint') return { type: 'text/plain; charset=utf-8', immutable: false, bytes: utf8(head.text) }
    const tile = parseTilePath(path)
    if (!tile.ok) return undefined
    const { level, index, width } = tile.value
    if (width > (tileIn(head.size, level, index)?.width ?? 0)) return undefined
    const bytes = level === 'entries' ? encodeBundle((await this.#bundle(index)).slice(0, width)) : (await this.#tile(level, index)).subarray(0, HASH_BYTES * width)
    return { type: 'application/octet-stream', immutable: true, bytes }
  }

  #key(rest: string): string { return `${this.#base}/${rest}` }

  /** The edge after these entries, and what must be written for it. */
  #grow(before: Edge, entries: readonly Uint8Array[]): Edge & { readonly put: Entry[]; readonly gone: string[] } {
    const { p } = this.#options
    const put: Entry[] = []
    const gone: string[] = []
    const levels = before.levels.map(level => [...level])
    let tail = [...before.tail]
    let size = before.size
    const changed = new Set<number>()
    /** A hash comes to the open tile of a level; a tile that is full is written, and its root goes up. */
    const push = (level: number, hash: Uint8Array, index: number) => {
      const open = levels[level] ??= []
      open.push(hash)
      changed.add(level)
      if (open.length < TILE_WIDTH) return
      const tile = Math.floor(index / TILE_WIDTH)
      put.push({ key: this.#key(`tile/${level}/${tile}`), value: concat(...open) })
      levels[level] = []
      push(level + 1, tileRoot(p, open), tile)
    }
    for (const entry of entries) {
      if (entry.length > ENTRY_BYTES_MAX) refuse('bytes.too-large', 'log.entry', `at most ${ENTRY_BYTES_MAX} bytes`, `${entry.length} bytes`)
      tail.push(entry)
      push(0, leafHash(p, entry), size++)
      if (tail.length < TILE_WIDTH) continue
      const bundle = size / TILE_WIDTH - 1
      put.push({ key: this.#key(`bundle/${bundle}`), value: encodeBundle(tail) })
      for (let index = bundle * TILE_WIDTH; index < before.size; index++) gone.push(this.#tailKey(index))
      tail = []
    }
    tail.forEach((entry, i) => {
      const index = size - tail.length + i
      if (index >= before.size) put.push({ key: this.#tailKey(index), value: entry })
    })
    // The open tile of leaves is told by the entries of the tail.
    for (const level of changed) if (level > 0) put.push({ key: this.#key(`edge/${level}`), value: concat(...levels[level] ?? []) })
    return { signed: before.signed, size, tail, levels, put, gone }
  }

  #tailKey(index: number): string { return this.#key(`tail/${String(index).padStart(16, '0')}`) }

  async #read(): Promise<Edge> {
    const { p, store, origin } = this.#options
    const signed = await store.get(this.#key('signed'))
    if (signed === undefined) return EMPTY
    const checkpoint = orRefuse(parseCheckpoint(fromUtf8(signed)))
    if (!verifyLogSignature(p, checkpoint, this.policy.logs).ok) refuse('store.corrupt', this.#key('signed'), `a checkpoint signed by ${origin}`, 'another')
    const tail = (await store.list({ prefix: this.#key('tail/'), limit: TILE_WIDTH })).map(entry => entry.value)
    const levels = [tail.map(entry => leafHash(p, entry)), ...await Promise.all(Array.from({ length: LEVELS_MAX - 1 }, (_, i) => store.get(this.#key(`edge/${i + 1}`)).then(bytes => (bytes === undefined ? [] : splitTile(bytes, Math.floor(bytes.length / HASH_BYTES))))))]
    const edge: Edge = { signed, size: checkpoint.size, tail, levels }
    const whole = levels.every((hashes, level) => hashes.length === Math.floor(checkpoint.size / TILE_WIDTH ** level) % TILE_WIDTH)
    if (!whole || !equal(rootAt(p, edge.size, edgeHash(p, edge)), checkpoint.root)) return this.#torn(checkpoint)
    return edge
  }

  /** Reads of several rows may straddle another writer's batch: then the checkpoint is no longer the one that was read first. */
  async #torn(checkpoint: Checkpoint): Promise<Edge> {
    const now = await this.#options.store.get(this.#key('signed'))
    const moved = now !== undefined && fromUtf8(now).split('\n')[1] !== String(checkpoint.size)
    return moved ? this.#read() : refuse('store.corrupt', this.#key('edge'), `the tree of ${checkpoint.size} entries that was signed`, 'another one', 'restore the store from a backup that the log\'s witnesses accept; do not delete it')
  }

  async #publish(now: number): Promise<Head> {
    const { p, store, witnesses } = this.#options
    const { signed } = this.#edge
    if (signed === undefined) return refuse('log.unavailable', 'log', 'a log with an entry', 'an empty one')
    const text = fromUtf8(signed)
    const checkpoint = orRefuse(parseCheckpoint(text))
    const request = { checkpoint: text, policy: this.policy, prove: (old: number) => this.#overTiles(hashAt => consistencyProof(p, old, checkpoint.size, hashAt)) }
    const asked = witnesses.map(witness => attemptAsync(async () => {
      const signature = orRefuse(await witness.cosign(request, now))
      const [cosigned] = cosignedBy(p, { ...checkpoint, note: { ...checkpoint.note, signatures: [signature] } }, this.policy)
      return cosigned === undefined ? refuse('log.witnesses', 'witness', `a cosignature with a time by ${witness.vkey}`, signature.name) : { signature, cosigned }
    }))
    // The time of a head is that of its oldest cosignature that counts: one witness that dates back, and answers first, must
    // not make every head look old. So newer answers are waited for; where none comes, the old time stands.
    const answers = await firstOf(asked, good => this.policy.quorum === NOBODY || (quorumTime(this.policy, good.map(one => one.cosigned)) ?? -Infinity) >= now - DATED_BACK_SECONDS)
    const cosigned = formatNote({ text: checkpoint.note.text, signatures: [...checkpoint.note.signatures, ...answers.flatMap(answer => (answer.ok ? [answer.value.signature] : []))] })
    const head = await attemptAsync(async () => this.#headOf(cosigned, now))
    if (!head.ok) return refuse(head.refusal.code, head.refusal.at, head.refusal.expected, [head.refusal.got, ...answers.flatMap(answer => (answer.ok ? [] : [`${answer.refusal.code}: ${answer.refusal.expected}, not ${answer.refusal.got}`]))].join('; '))
    await this.#keepShown(store, head.value)
    this.#show(head.value)
    return head.value
  }

  /** A head once shown is never replaced by a shorter one, whichever process writes last. */
  async #keepShown(store: Store, head: Head): Promise<void> {
    for (;;) {
      const before = await store.get(this.#key('shown'))
      if (before !== undefined && orRefuse(parseCheckpoint(fromUtf8(before))).size > head.size) return
      const written = await store.write({ expect: [{ key: this.#key('shown'), value: before }], put: [{ key: this.#key('shown'), value: utf8(head.text) }] })
      if (!written.moved) return
    }
  }

  #show(head: Head): void {
    if (this.#head === undefined || head.size >= this.#head.size) this.#head = head
  }

  /** Without a quorum nobody else vouches for the time: it is the log's own. */
  #headOf(text: string, now = 0): Head {
    const checkpoint = orRefuse(parseCheckpoint(text))
    const { witnesses, time } = orRefuse(verifyCheckpoint(this.#options.p, checkpoint, this.policy))
    return { text, size: checkpoint.size, root: checkpoint.root, witnesses, time: this.policy.quorum === NOBODY ? now : time }
  }

  /** Which tiles a proof needs does not depend on their hashes: it is made once to learn that, and again with what was read. */
  async #overTiles<T>(compute: (hashAt: HashAt) => T): Promise<T> {
    const { p } = this.#options
    const edge = this.#edge
    const { size } = edge
    const needed = new Map<string, Tile>()
    const name = ({ level, index }: Tile) => tilePath(level, index)
    compute(hashAtFromTiles(p, size, tile => {
      needed.set(name(tile), tile)
      return new Uint8Array(HASH_BYTES * tile.width)
    }))
    const read = new Map(await Promise.all([...needed].map(async ([path, { level, index, width }]): Promise<[string, Uint8Array]> => [path, (await this.#tile(Number(level), index, edge)).subarray(0, HASH_BYTES * width)])))
    return compute(hashAtFromTiles(p, size, tile => read.get(name(tile)) ?? NOTHING))
  }

  async #tile(level: number, index: number, { size, levels } = this.#edge): Promise<Uint8Array> {
    if (index === Math.floor(size / TILE_WIDTH ** (level + 1))) return concat(...levels[level] ?? [])
    return this.#whole(`tile/${level}/${index}`)
  }

  async #bundle(index: number): Promise<readonly Uint8Array[]> {
    const { size, tail } = this.#edge
    return index === Math.floor(size / TILE_WIDTH) ? tail : orRefuse(parseBundle(await this.#whole(`bundle/${index}`), TILE_WIDTH))
  }

  async #whole(rest: string): Promise<Uint8Array> {
    const known = this.#kept.get(rest)
    if (known !== undefined) return known
    const value = await this.#options.store.get(this.#key(rest)) ?? refuse('store.corrupt', this.#key(rest), 'a part of the log', 'nothing')
    if (this.#kept.size >= CACHE_MAX) this.#kept.clear()
    this.#kept.set(rest, value)
    return value
  }
}

const PUBLISH_TRIES = 3
/** How far behind the log's clock an honest witness's clock may be before others are asked for a newer word. */
const DATED_BACK_SECONDS = 30
const NOTHING = new Uint8Array(0)

/** The root of a full tile: the hash that stands for it in the level above. */
function tileRoot(p: Primitives, hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = concat(...hashes)
  const half = hashAtFromTiles(p, TILE_WIDTH, () => bytes)
  return nodeHash(p, half(7, 0), half(7, 1))
}

/** Hashes that the open tiles give: all that the root of the newest tree needs. */
const edgeHash = (p: Primitives, edge: Pick<Edge, 'size' | 'levels'>): HashAt => hashAtFromTiles(p, edge.size, ({ level }) => concat(...edge.levels[Number(level)] ?? []))

/** Answers in the order they come, until the good ones are enough or all are there: a witness that is slow or away delays nobody. */
async function firstOf<T>(waiting: readonly Promise<Result<T>>[], enough: (good: readonly T[]) => boolean): Promise<Result<T>[]> {
  const answers: Result<T>[] = []
  const left = new Map(waiting.map((promise, i) => [i, promise.then(answer => ({ i, answer }))]))
  while (left.size > 0 && !enough(answers.flatMap(answer => (answer.ok ? [answer.value] : [])))) {
    const { i, answer } = await Promise.race(left.values())
    left.delete(i)
    answers.push(answer)
  }
  return answers
}
