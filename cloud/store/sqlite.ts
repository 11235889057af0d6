/**
 * The embedded store: one SQLite file, write-ahead log, `synchronous=FULL`, so that a write is on the disk before it
 * returns. Several processes may open one file; SQLite's lock lets one write at a time.
 *
 * Trusts SQLite and the kernel to keep what they acknowledged. After a failed write to the disk the kernel may have
 * dropped pages that a second attempt would report as written: the store then stops and must be opened again.
 */
import { closeSync, fchmodSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { Refused, refuse } from '@cloister/core/refusal'
import type { Entry, Range, Store, Tx, Written } from './store.ts'
import { checkEntry, checkSum, checkTag, corrupt, decodeHead, EMPTY_HEAD, encodeHead, moveSum, namespaceOf, tagOf, type Head } from './tags.ts'

export interface SqliteOptions {
  readonly path: string
  /** 32 bytes for the tags; a broker takes them from its chip's sealing key. */
  readonly key: Uint8Array
  /** How long to wait for another writer, in milliseconds. */
  readonly waitMs?: number
}

/**
 * Open or create a store. Leaves with `store.corrupt` when the file is not ours, not whole or not under this key, and
 * with `store.locked` when another process holds it too long.
 *
 * @example
 * const store = openSqliteStore({ path: 'state/broker.db', key })
 * store.write(store.version(), tx => tx.put('broker/x', bytes))
 */
export function openSqliteStore(options: SqliteOptions): Store {
  return new SqliteStore(options)
}

const FORMAT = 1
const WAIT_MS = 5_000
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL, tag BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, tag BLOB NOT NULL) STRICT, WITHOUT ROWID;`

class SqliteStore implements Store {
  readonly #db: DatabaseSync
  readonly #key: Uint8Array
  readonly #sql: { readonly head: StatementSync; readonly setHead: StatementSync; readonly get: StatementSync; readonly put: StatementSync; readonly remove: StatementSync; readonly list: StatementSync }
  #stopped: string | undefined

  constructor({ path, key, waitMs = WAIT_MS }: SqliteOptions) {
    createPrivately(path)
    this.#key = key
    this.#db = guarded(path, () => open(path, waitMs))
    this.#sql = guarded(path, () => {
      prepare(this.#db, path)
      return {
        head: this.#db.prepare('SELECT value, tag FROM head'),
        setHead: this.#db.prepare('INSERT INTO head VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, tag = excluded.tag'),
        get: this.#db.prepare('SELECT value, tag FROM entries WHERE key = ?'),
        put: this.#db.prepare('INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, tag = excluded.tag'),
        remove: this.#db.prepare('DELETE FROM entries WHERE key = ?'),
        list: this.#db.prepare('SELECT key, value, tag FROM entries WHERE key > ? AND key < ? ORDER BY key LIMIT ?'),
      }
    })
    this.#checkWhole()
  }

  version(): number {
    return this.#run('version', () => this.#head().version)
  }

  get(key: string): Uint8Array | undefined {
    checkEntry(key)
    return this.#run(key, () => this.#read(key)?.value)
  }

  list({ prefix, after, limit }: Range): Entry[] {
    return this.#run(prefix, () => this.#list(after !== undefined && after > prefix ? after : prefix, prefix, limit ?? -1))
  }

  load(namespace: string): { version: number; entries: Entry[] } {
    return this.#run(namespace, () => this.#transaction('BEGIN', () => {
      const head = this.#head()
      const entries = this.#list(`${namespace}/`, `${namespace}/`, -1)
      checkSum(head, namespace, this.#key, entries)
      return { version: head.version, entries }
    }))
  }

  write<T>(at: number | undefined, body: (tx: Tx) => T): Written<T> {
    return this.#run('write', () => this.#transaction('BEGIN IMMEDIATE', () => {
      let head = this.#head()
      if (at !== undefined && head.version !== at) return { moved: true }
      const tx: Tx = {
        get: key => this.#read(key)?.value,
        put: (key, value) => {
          checkEntry(key, value)
          const tag = tagOf(this.#key, key, value)
          head = moveSum(head, key, this.#read(key)?.tag, tag)
          this.#sql.put.run(key, value, tag)
        },
        delete: key => {
          const before = this.#read(key)
          if (before === undefined) return
          head = moveSum(head, key, before.tag, undefined)
          this.#sql.remove.run(key)
        },
      }
      const value = body(tx)
      if (at !== undefined) head = { ...head, version: head.version + 1 }
      const encoded = encodeHead(this.#key, head)
      this.#sql.setHead.run(encoded.value, encoded.tag)
      return { moved: false, value, version: head.version }
    }))
  }

  close(): void {
    if (this.#stopped === 'closed') return
    this.#stopped = 'closed'
    this.#db.close()
  }

  /** Everything SQLite says passes here: its errors become refusals, and a failed disk stops the store. */
  #run<T>(at: string, read: () => T): T {
    if (this.#stopped !== undefined) corrupt(at, 'an open store', this.#stopped)
    return guarded(at, read, reason => { this.#stopped = reason })
  }

  #transaction<T>(begin: string, body: () => T): T {
    this.#db.exec(begin)
    try {
      const value = body()
      this.#db.exec('COMMIT')
      return value
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  #head(): Head {
    const row = bytesOf(this.#sql.head.get())
    if (row === undefined) {
      // A store without its first line is new only while it is empty.
      if (this.#sql.list.get('', '~', 1) !== undefined) corrupt('head', 'the first line of the store', 'none')
      return EMPTY_HEAD
    }
    return decodeHead(this.#key, row.value, row.tag)
  }

  #read(key: string): { value: Uint8Array; tag: Uint8Array } | undefined {
    const row = bytesOf(this.#sql.get.get(key))
    if (row !== undefined) checkTag(this.#key, key, row.value, row.tag)
    return row
  }

  #list(after: string, prefix: string, limit: number): Entry[] {
    return this.#sql.list.all(after, `${prefix}\x7f`, limit).map(row => {
      const key = String(row['key'])
      const read = bytesOf(row) ?? corrupt(key, 'a value', 'none')
      checkTag(this.#key, key, read.value, read.tag)
      return { key, value: read.value }
    })
  }

  #checkWhole(): void {
    this.#run('store', () => {
      const check = this.#db.prepare('PRAGMA quick_check(1)').get()
      if (check === undefined || Object.values(check)[0] !== 'ok') corrupt('store', 'a whole database', 'a damaged one')
      for (const namespace of Object.keys(this.#head().spaces)) this.load(namespace)
      const spaces = new Set(this.#sql.list.all('', '~', -1).map(row => namespaceOf(String(row['key']))))
      for (const space of spaces) if (!(space in this.#head().spaces)) corrupt(space, 'a namespace that was written', 'an unknown one')
    })
  }
}

function open(path: string, waitMs: number): DatabaseSync {
  return new DatabaseSync(path, { timeout: waitMs, allowExtension: false, enableDoubleQuotedStringLiterals: false })
}

function prepare(db: DatabaseSync, path: string): void {
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON')
  const format = Object.values(db.prepare('PRAGMA user_version').get() ?? {})[0]
  if (format === FORMAT) return
  if (format !== 0) corrupt(path, `format ${FORMAT} of the store`, `format ${String(format)}`)
  const tables = db.prepare('SELECT name FROM sqlite_schema').all()
  if (tables.length > 0) corrupt(path, 'a store of this program', 'another database')
  db.exec(`BEGIN IMMEDIATE; ${SCHEMA} PRAGMA user_version = ${FORMAT}; COMMIT`)
}

/** The file stands with mode 0600 before SQLite sees it; its log and index files inherit the mode. */
function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  try {
    const file = openSync(path, 'a', 0o600)
    fchmodSync(file, 0o600)
    closeSync(file)
  } catch (error) {
    refuse('store.locked', path, 'a file that may be written', codeOf(error))
  }
}

/** SQLite's result codes (sqlite.org/rescode.html), lower byte. */
const [BUSY, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB] = [5, 6, 8, 10, 11, 13, 14, 26]

function guarded<T>(at: string, read: () => T, stop: (reason: string) => void = () => undefined): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof Refused) throw error
    const errcode = typeof error === 'object' && error !== null && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined
    if (errcode === undefined) throw error
    const message = error instanceof Error ? error.message : 'an error'
    switch (errcode & 255) {
      case BUSY: case LOCKED: return refuse('store.locked', at, 'the lock of the store', message)
      case FULL: return refuse('store.full', at, 'room on the disk', message, 'free space; nothing that was acknowledged is lost')
      case READONLY: case CANTOPEN: return refuse('store.locked', at, 'a file that may be written', message)
      case IOERR: case CORRUPT: case NOTADB:
        stop(`stopped after: ${message}`)
        return corrupt(at, 'a disk that keeps what it is given', message)
      default: throw error
    }
  }
}

function bytesOf(row: Record<string, unknown> | undefined): { value: Uint8Array; tag: Uint8Array } | undefined {
  if (row === undefined) return undefined
  const { value, tag } = row
  return value instanceof Uint8Array && tag instanceof Uint8Array ? { value, tag } : corrupt('row', 'bytes', 'another type')
}

const codeOf = (error: unknown) => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'an error')
