/**
 * The port behind which brokers, ledgers and witnesses keep what they have acknowledged: keys and values, writes that are
 * all or nothing and durable before they return, and two ways to make several writers safe: a version, and values that
 * must still be what they were.
 *
 * An implementation is trusted to keep and to return, not to be honest: every value carries a tag under the key it was
 * opened with, and every namespace a sum of its tags, so that a value that was altered, dropped or exchanged for an older
 * one is refused (`store.corrupt`), never read as absent. A whole store that was set back is noticed by the witnesses of
 * the log it holds. Every implementation passes `store.suite.ts`.
 *
 * Methods reject with a refusal: `store.full`, `store.corrupt`, `store.locked`, or `store.unavailable` when its server is away.
 * A write that was refused was not made, save where the refusal says that it may stand: whoever was refused reads again.
 */

/** A key is `<namespace>/<rest>`: printable ASCII, at most `KEY_LENGTH_MAX` characters. */
export interface Entry { readonly key: string; readonly value: Uint8Array }

export interface Range { readonly prefix: string; readonly after?: string; readonly limit?: number }

/** One durable change. It happens as a whole, or not at all. */
export interface Batch {
  /** The version that it was decided on: it happens only there, and moves the store on by one. Without it the version stays. */
  readonly at?: number
  /** Values that must stand as they are here; `undefined`: nothing may stand there. */
  readonly expect?: readonly { readonly key: string; readonly value: Uint8Array | undefined }[]
  readonly put?: readonly Entry[]
  readonly delete?: readonly string[]
}
/** What a write came to: `moved` when another writer was there first (nothing was written; read again and decide anew). */
export type Written = { readonly moved: true } | { readonly moved: false; readonly version: number }

export interface Store {
  /** How many versioned writes this store has seen, by anybody. */
  version(): Promise<number>
  get(key: string): Promise<Uint8Array | undefined>
  /** Entries whose keys begin with `prefix`, in order of their keys. */
  list(range: Range): Promise<Entry[]>
  /** Every entry of a namespace with the version it belongs to, checked against the namespace's sum. */
  load(namespace: string): Promise<{ readonly version: number; readonly entries: Entry[] }>
  /** A key stands once in a batch. */
  write(batch: Batch): Promise<Written>
  close(): Promise<void>
}

export const KEY_LENGTH_MAX = 512
export const VALUE_BYTES_MAX = 8 * 1024 * 1024
