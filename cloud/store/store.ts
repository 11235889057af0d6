/**
 * The port behind which brokers and ledgers keep what they have acknowledged: keys and values, transactions that are
 * durable before they return, and a version that makes two writers safe.
 *
 * An implementation is trusted to keep and to return, not to be honest: every value carries a tag under the key it was
 * opened with, and every namespace a sum of its tags, so that a value that was altered, dropped or exchanged for an older
 * one is refused (`store.corrupt`), never read as absent. A whole store that was set back is noticed by the witnesses of
 * the log it holds. Every implementation passes `store.suite.ts`.
 *
 * Methods leave the current `attempt` with `store.full`, `store.corrupt` or `store.locked`.
 */

/** A key is `<namespace>/<rest>`: printable ASCII, at most `KEY_LENGTH_MAX` characters. */
export interface Entry { readonly key: string; readonly value: Uint8Array }

export interface Tx {
  get(key: string): Uint8Array | undefined
  put(key: string, value: Uint8Array): void
  delete(key: string): void
}

export interface Range { readonly prefix: string; readonly after?: string; readonly limit?: number }

/** What a write came to: `moved` when another writer was there first (nothing was written; read again and retry). */
export type Written<T> = { readonly moved: true } | { readonly moved: false; readonly value: T; readonly version: number }

export interface Store {
  /** How many versioned writes this store has seen, by anybody. */
  version(): number
  get(key: string): Uint8Array | undefined
  /** Entries whose keys begin with `prefix`, in order of their keys. */
  list(range: Range): Entry[]
  /** Every entry of a namespace with the version it belongs to, checked against the namespace's sum. */
  load(namespace: string): { readonly version: number; readonly entries: Entry[] }
  /**
   * One durable transaction, all or nothing. With a number the write happens only at that version and advances it by
   * one; without, the version stays (values that need no order among writers: cosignatures, say).
   */
  write<T>(at: number | undefined, body: (tx: Tx) => T): Written<T>
  close(): void
}

export const KEY_LENGTH_MAX = 512
export const VALUE_BYTES_MAX = 8 * 1024 * 1024
