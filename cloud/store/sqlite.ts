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
import type { Batch, Entry, Range, Store, Written } from './store.ts'
import { checkBatch, checkEntry, checkSum, checkTag, corrupt, decodeHead, EMPTY_HEAD, encodeHead, isExpected, moveSum, tagOf, type Head } from './tags.ts'

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
 * await store.write({ at: await store.version(), put: [{ key: 'broker/x', value: bytes }] })
 */
export function openSqliteStore(options: SqliteOptions): Store {
  return new SqliteStore(options)
}

const FORMAT = 2
const WAIT_MS = 5_000
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL, tag BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, tag BLOB NOT NULL) STRICT;`

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

  async version(): Promise<number> {
    return this.#run('version', () => this.#head().version)
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    checkEntry(key)
    return this.#run(key, () => this.#read(key)?.value)
  }

  async list({ prefix, after, limit }: Range): Promise<Entry[]> {
    return this.#run(prefix, () => this.#list(after !== undefined && after > prefix ? after : prefix, prefix, limit ?? -1))
  }

  async load(namespace: string): Promise<{ version: number; entries: Entry[] }> {
    return this.#run(namespace, () => this.#transaction('BEGIN', () => this.#load(namespace)))
  }

  async write(batch: Batch): Promise<Written> {
    checkBatch(batch)
    return this.#run('write', () => this.#transaction('BEGIN IMMEDIATE', () => this.#write(batch)))
  }

  async close(): Promise<void> {
    if (this.#stopped === 'closed') return
    this.#stopped = 'closed'
    this.#db.close()
  }

  #load(namespace: string): { version: number; entries: Entry[] } {
    const head = this.#head()
    const entries = this.#list(`${namespace}/`, `${namespace}/`, -1)
    checkSum(head, namespace, this.#key, entries)
    return { version: head.version, entries }
  }

  #write({ at, expect = [], put = [], delete: gone = [] }: Batch): Written {
    let head = this.#head()
    if (at !== undefined && head.version !== at) return { moved: true }
    if (expect.some(({ key, value }) => !isExpected(value, this.#read(key)?.value))) return { moved: true }
    for (const { key, value } of put) {
      const tag = tagOf(this.#key, key, value)
      head = moveSum(head, key, this.#tagAt(key), tag)
      this.#sql.put.run(key, value, tag)
    }
    for (const key of gone) {
      const before = this.#tagAt(key)
      if (before === undefined) continue
      head = moveSum(head, key, before, undefined)
      this.#sql.remove.run(key)
    }
    if (at !== undefined) head = { ...head, version: at + 1 }
    const encoded = encodeHead(this.#key, head)
    this.#sql.setHead.run(encoded.value, encoded.tag)
    return { moved: false, version: head.version }
  }

  /** The tag of what stands there; checked, so that a forged entry cannot be taken out of the sum. */
  #tagAt(key: string): Uint8Array | undefined {
    return this.#read(key)?.tag
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

  /** The log's own tree proves what the log holds, wherever it is read: it is not read whole here. */
  #checkWhole(): void {
    this.#run('store', () => {
      const { spaces } = this.#head()
      for (const namespace of Object.keys(spaces)) if (namespace !== 'log') this.#load(namespace)
      for (const row of this.#db.prepare("SELECT DISTINCT substr(key, 1, instr(key, '/') - 1) AS space FROM entries").all()) {
        if (!Object.hasOwn(spaces, String(row['space']))) corrupt(String(row['space']), 'a namespace that was written', 'an unknown one')
      }
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
