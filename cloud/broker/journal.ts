/**
 * The broker's log (cloud/ledger) over the broker's store: an entry is appended in the transaction of what it is the
 * receipt of, and what the witnesses cosigned is the head that is shown, proven against and decided on.
 */
import { fromUtf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { formatPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { inclusionProof, rootAt, type HashAt } from '@cloister/core/log/tree'
import { attempt, refuse, type Result } from '@cloister/core/refusal'
import type { Ledger } from '../ledger/ledger.ts'
import type { LedgerTx } from '../ledger/store.ts'
import type { Witness } from '../ledger/witness.ts'
import type { Store, Tx } from '../store/store.ts'

export interface ShownHead { readonly text: string; readonly size: number; readonly root: Uint8Array; readonly time: number; readonly witnesses: number }

export class Journal {
  readonly ledger: Ledger
  readonly store: Store
  readonly #p: Primitives
  readonly #witnesses: readonly Witness[]
  readonly #clock: () => number
  #head: ShownHead | undefined

  constructor(p: Primitives, ledger: Ledger, witnesses: readonly Witness[], store: Store, clock: () => number) {
    this.#p = p
    this.#witnesses = witnesses
    this.ledger = ledger
    this.store = store
    this.#clock = clock
  }

  /** The policy as auditors read it (C2SP tlog-policy). */
  policyText(): string { return formatPolicy(this.ledger.policy) }

  /** How many entries are durable. */
  size(): number { return this.ledger.size(this.store) }

  entry(index: number): string | undefined {
    const entry = this.ledger.entry(this.store, index)
    return entry === undefined ? undefined : fromUtf8(entry)
  }

  append(tx: Tx, entries: readonly Uint8Array[]): void {
    if (entries.length > 0) this.ledger.append(tx, entries)
  }

  /** Root of the first `size` entries, or undefined when there are not so many. */
  rootAt(size: number): Uint8Array | undefined {
    return size > this.size() ? undefined : rootAt(this.#p, size, this.#hashAt)
  }

  /** The newest head that enough witnesses cosigned, as this process last saw it. */
  head(): ShownHead | undefined { return this.#head }

  /** Have everything durable cosigned and shown. Refuses `log.unavailable`; the head stays what it was. */
  publish(): Result<ShownHead> {
    for (let tries = 1; ; tries++) {
      const behind = attempt(() => this.#checkNotSetBack())
      if (!behind.ok) return behind
      const cosigned = this.ledger.cosign(this.store, body => this.#show(body), this.#clock())
      if (cosigned.ok) {
        const { checkpoint, text, witnesses, time } = cosigned.value
        // Without a quorum nobody else vouches for the time: it is the broker's own.
        const head = { text, size: checkpoint.size, root: checkpoint.root, witnesses, time: this.ledger.policy.quorum === 0 ? this.#clock() : time }
        if (this.#head === undefined || head.size >= this.#head.size) this.#head = head
        return { ok: true, value: head }
      }
      const { refusal } = cosigned
      if (refusal.code.startsWith('store.')) return cosigned
      // Another broker may have shown a longer log in between: read again.
      if (tries === TRIES_MAX) return attempt(() => refuse('log.unavailable', 'log', refusal.expected, `${refusal.code}: ${refusal.got}`, 'nothing is released until the witnesses answer and agree'))
    }
  }

  /** The tlog-proof of an entry under the newest head. Leaves with `log.unavailable` when the head does not reach it. */
  prove(index: number): string {
    const head = this.#head
    if (head === undefined || index >= head.size) return refuse('log.unavailable', 'log', `a witnessed head beyond entry ${index}`, head === undefined ? 'none' : `size ${head.size}`)
    return formatProof({ index, path: inclusionProof(this.#p, index, head.size, this.#hashAt), checkpoint: head.text })
  }

  /** A witness that has seen more than the store holds: the store was set back, and nothing may be built on it. */
  #checkNotSetBack(): void {
    const seen = Math.max(0, ...this.#witnesses.map(witness => witness.size(this.ledger.origin)))
    const size = this.size()
    if (seen > size) refuse('log.unavailable', 'log', `the ${seen} entries that a witness has seen`, `${size}: the store was set back`, 'restore the newest store')
  }

  /** A head once shown is never replaced by a shorter one, whichever broker writes last. */
  #show(body: (tx: LedgerTx) => void): void {
    this.store.write(undefined, tx => body({
      get: key => tx.get(key),
      put: (key, value) => {
        const before = tx.get(key)
        if (before === undefined || sizeOf(value) >= sizeOf(before)) tx.put(key, value)
      },
    }))
  }

  #hashAt: HashAt = (level, index) => this.ledger.hash(this.store, level, index) ?? refuse('store.corrupt', `log/hash/${level}/${index}`, 'the hash of a subtree', 'none')
}

function sizeOf(checkpoint: Uint8Array): number {
  const parsed = parseCheckpoint(fromUtf8(checkpoint))
  return parsed.ok ? parsed.value.size : 0
}

const TRIES_MAX = 3
