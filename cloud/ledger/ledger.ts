/**
 * The transparency log: one engine over any transactional store. `append` writes entries, hashes and a signed checkpoint
 * in the caller's transaction; `cosign` asks the witnesses; only a checkpoint that its quorum cosigned is shown
 * (`head`, `prove`), so nobody ever sees a tree that could still be taken back.
 *
 * Trusts: its own signing key. One writer: the caller's transaction must compare and swap (cloud/store: `write(at, …)`),
 * otherwise two writers could sign two trees of one size; witnesses would then refuse the second.
 */
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { checkpointText, parseCheckpoint, type Checkpoint } from '@cloister/core/log/checkpoint'
import { ED25519, formatNote, noteKey, signNote } from '@cloister/core/log/note'
import { verifyCheckpoint, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { consistencyProof, inclusionProof, leafHash, nodeHash, rootAt, type HashAt } from '@cloister/core/log/tree'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import type { LedgerReader, LedgerTx } from './store.ts'
import type { Witness } from './witness.ts'

export const ENTRY_BYTES_MAX = 65_535

export interface LedgerOptions {
  readonly p: Primitives
  readonly origin: string
  readonly signer: Signer // Ed25519
  readonly witnesses: readonly Witness[]
  readonly quorum: number
}
export interface Head { readonly checkpoint: Checkpoint; readonly text: string; readonly witnesses: number; readonly time: number }

export interface Ledger {
  readonly origin: string
  readonly policy: LogPolicy
  /** Number of entries, shown or not. */
  size(store: LedgerReader): number
  /** Append in the caller's transaction; gives the index of the first entry. */
  append(tx: LedgerTx, entries: readonly Uint8Array[]): number
  /**
   * Let the witnesses cosign the newest tree at `now`, and show it. Refuses `log.unavailable` for an empty log, and
   * `log.witnesses` when too few agree: a fork, or a store that was set back, gets no quorum.
   */
  cosign(store: LedgerReader, write: (body: (tx: LedgerTx) => void) => void, now: number): Result<Head>
  /** The newest shown tree; undefined before the first. */
  head(store: LedgerReader): Head | undefined
  /** A .tlog-proof of an entry in the newest shown tree. */
  prove(store: LedgerReader, index: number): Result<string>
  entry(store: LedgerReader, index: number): Uint8Array | undefined
  /** Hash of a full subtree, for tiles. */
  hash(store: LedgerReader, level: number, index: number): Uint8Array | undefined
}

const KEYS = {
  size: 'log/size', signed: 'log/signed', shown: 'log/shown',
  entry: (index: number) => `log/entry/${index}`, hash: (level: number, index: number) => `log/hash/${level}/${index}`,
}

export function openLedger(options: LedgerOptions): Ledger {
  const { p, origin, signer } = options
  if (signer.publicKey.kind !== 'ed25519') return refuse('crypto.algorithm', 'ledger.signer', 'an Ed25519 key', signer.publicKey.kind)
  const policy: LogPolicy = { log: noteKey(p, origin, ED25519, signer.publicKey.raw).vkey, witnesses: options.witnesses.map(witness => witness.vkey), quorum: options.quorum }
  const size = (store: LedgerReader) => Number(readText(store, KEYS.size) ?? '0')
  const hashAt = (store: LedgerReader): HashAt => (level, index) => store.get(KEYS.hash(level, index)) ?? refuse('store.corrupt', KEYS.hash(level, index), 'a hash of the log', 'nothing')
  const headOf = (text: string): Head => {
    const checkpoint = orRefuse(parseCheckpoint(text))
    return { checkpoint, text, ...orRefuse(verifyCheckpoint(p, checkpoint, policy)) }
  }
  // Signatures over one text hold or do not, so a text that was verified is not verified again.
  let verified: Head | undefined
  const shown = (store: LedgerReader): Head | undefined => {
    const text = readText(store, KEYS.shown)
    if (text === undefined) return undefined
    if (verified?.text !== text) verified = headOf(text)
    return verified
  }
  return {
    origin, policy, size, head: shown,
    append: (tx, entries) => {
      const first = size(tx)
      entries.forEach((entry, i) => appendOne(p, tx, first + i, entry))
      const root = rootAt(p, first + entries.length, hashAt(tx))
      const note = signNote(p, { text: checkpointText(origin, first + entries.length, root), signatures: [] }, origin, signer)
      tx.put(KEYS.size, utf8(String(first + entries.length)))
      tx.put(KEYS.signed, utf8(formatNote(note)))
      return first
    },
    cosign: (store, write, now) => attempt(() => {
      const signed = readText(store, KEYS.signed) ?? refuse('log.unavailable', 'log', 'a log with an entry', 'an empty one')
      const checkpoint = orRefuse(parseCheckpoint(signed))
      const answers = options.witnesses.map(witness => attempt(() => {
        const old = witness.size(origin)
        return orRefuse(witness.cosign({ old, proof: consistencyProof(p, old, checkpoint.size, hashAt(store)), checkpoint: signed, policy }, now))
      }))
      const text = formatNote({ text: checkpoint.note.text, signatures: [...checkpoint.note.signatures, ...answers.flatMap(answer => (answer.ok ? [answer.value] : []))] })
      const head = attempt(() => headOf(text))
      if (!head.ok) return refuse(head.refusal.code, head.refusal.at, head.refusal.expected, [head.refusal.got, ...answers.flatMap(answer => (answer.ok ? [] : [`${answer.refusal.code} at ${answer.refusal.at}`]))].join('; '))
      write(tx => tx.put(KEYS.shown, utf8(text)))
      return head.value
    }),
    prove: (store, index) => attempt(() => {
      const head = shown(store)
      if (head === undefined || !(index < head.checkpoint.size)) return refuse('log.unavailable', 'log', `a witnessed tree with entry ${index}`, `one of ${head?.checkpoint.size ?? 0} entries`)
      return formatProof({ index, path: inclusionProof(p, index, head.checkpoint.size, hashAt(store)), checkpoint: head.text })
    }),
    entry: (store, index) => store.get(KEYS.entry(index)),
    hash: (store, level, index) => store.get(KEYS.hash(level, index)),
  }
}

/** Writes the entry, its leaf, and every subtree that it completes. */
function appendOne(p: Primitives, tx: LedgerTx, index: number, entry: Uint8Array): void {
  if (entry.length > ENTRY_BYTES_MAX) refuse('bytes.too-large', 'log.entry', `at most ${ENTRY_BYTES_MAX} bytes`, `${entry.length} bytes`)
  tx.put(KEYS.entry(index), entry)
  let hash = leafHash(p, entry)
  tx.put(KEYS.hash(0, index), hash)
  for (let [level, at] = [0, index]; at % 2 === 1; [level, at] = [level + 1, (at - 1) / 2]) {
    const left = tx.get(KEYS.hash(level, at - 1)) ?? refuse('store.corrupt', KEYS.hash(level, at - 1), 'a hash of the log', 'nothing')
    hash = nodeHash(p, left, hash)
    tx.put(KEYS.hash(level + 1, (at - 1) / 2), hash)
  }
}

function readText(store: LedgerReader, key: string): string | undefined {
  const bytes = store.get(key)
  return bytes === undefined ? undefined : fromUtf8(bytes, key)
}
