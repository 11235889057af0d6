/**
 * The store on PostgreSQL, for brokers and ledgers that must survive a machine: one schema of one database holds one
 * store, under the same tags and sums as the embedded one. `pg` alone: five fixed statements need no query builder, and what
 * is hard here, connections that die, needs the driver in plain sight.
 *
 * A write is one statement that compares and swaps: the first line of the store (`head`) carries a random mark, new with
 * every write, and a batch is carried out iff the mark is the one it was computed on. No transaction is ever open while
 * this side thinks. Who wrote last knows what stands there and needs one round trip; others read first and need two. When no
 * answer comes, the mark that a writer leaves in `writers` tells afterwards whether its batch was carried out.
 *
 * Trusts PostgreSQL to keep what it acknowledged; a server that says it will not (`fsync`, `full_page_writes` or
 * `synchronous_commit` off, a table that is not logged) is refused. Its answers are held against the tags. Off this
 * machine it is spoken to in TLS only, under a certificate that is verified.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { concat, equal } from '@cloister/core/bytes/bytes'
import { attemptAsync, orRefuse, Refused, refusalOf, refuse, type Refusal } from '@cloister/core/refusal'
import { isLocal, type Connection } from './connection.ts'
import type { Batch, Entry, Range, Store, Written } from './store.ts'
import { checkBatch, checkEntry, checkSum, checkTag, corrupt, decodeHead, EMPTY_HEAD, encodeHead, moveSum, tagOf, type Head } from './tags.ts'

export interface PostgresOptions {
  readonly connection: Connection
  /** Which store of the database: the name of its schema, a lower-case word of at most 48 characters. */
  readonly name: string
  /** 32 bytes for the tags; brokers that share a store take them from their common identity. */
  readonly key: Uint8Array
  /** How long to wait for a lock, for other writers, or for a server that is away, in milliseconds; 5,000. */
  readonly waitMs?: number
  /** How long one statement may take, in milliseconds; 30,000. A server that is silent for longer than both is given up. */
  readonly statementMs?: number
}

/**
 * Open or create a store. Rejects with `store.unavailable` when the server is not there, lets nobody in or would not keep
 * what it acknowledges, and with `store.corrupt` when the schema is not ours, not whole or not under this key.
 *
 * @example
 * const store = await openPostgresStore({ connection: readConnection('broker.pg'), name: 'broker', key })
 * await store.write({ at: await store.version(), put: [{ key: 'broker/x', value: bytes }] })
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(options.name)) throw new RangeError(`not the name of a store: ${options.name.slice(0, 80)}`)
  const store = new PostgresStore(options)
  const opened = await attemptAsync(() => store.prepare())
  if (!opened.ok) await store.close()
  orRefuse(opened)
  return store
}

const FORMAT = 1
const WAIT_MS = 5_000
const STATEMENT_MS = 30_000
const CONNECTIONS_MAX = 4
const BATCH_BYTES_MAX = 256 * 1024 * 1024
const KNOWN_MAX = 16_384
const PAUSE_MS = 10
const PAUSE_MS_MAX = 250

/** What stood there at one moment: the first line, and the tags of the keys that were asked for. */
interface Found {
  readonly head: Head
  readonly mark: Uint8Array
  readonly tags: ReadonlyMap<string, Uint8Array>
  /** The mark of this store's last write that was carried out. */
  readonly mine?: Uint8Array | undefined
  /** Believed, because this store wrote last: what is not known is taken for absent, and the statement checks it. */
  readonly guessed: boolean
}

type Statement = 'head' | 'get' | 'list' | 'load' | 'find' | 'swap' | 'spaces'
/** A row of any of the statements; the first line of the store has no key. */
interface Row { readonly key: string | null; readonly value: Buffer; readonly tag: Buffer; readonly mark: Buffer | null; readonly mine?: Buffer | null }

class PostgresStore implements Store {
  readonly #pool: pg.Pool
  readonly #key: Uint8Array
  readonly #schema: string
  readonly #sql: Readonly<Record<Statement, string>>
  readonly #waitMs: number
  /** This store among the writers of its schema. */
  readonly #id = randomBytes(16)
  /** Writes of one process wait for each other here and not at the server. */
  #turn: Promise<unknown> = Promise.resolve()
  #asking: Promise<unknown> = Promise.resolve()
  #question: Promise<number> | undefined
  #last: Found | undefined
  /** A server that was set back, or a standby that was promoted without our last writes, is noticed while we live. */
  #seen = 0
  #closed = false

  constructor({ connection, name, key, waitMs = WAIT_MS, statementMs = STATEMENT_MS }: PostgresOptions) {
    this.#key = key
    this.#schema = name
    this.#sql = statements(name)
    this.#waitMs = waitMs
    this.#pool = poolOf(connection, waitMs, statementMs)
    // A connection that dies is replaced when it is needed, and who was using it is told; without listeners it would end the process.
    this.#pool.on('error', () => undefined)
    this.#pool.on('connect', client => { client.on('error', () => undefined) })
  }

  /** Asked at every request: who comes while the server is being asked shares the next question with all who came by then. */
  version(): Promise<number> {
    return this.#question ??= this.#asking.then(() => {
      const answer = this.#askVersion()
      this.#question = undefined
      this.#asking = answer.catch(() => undefined)
      return answer
    })
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    checkEntry(key)
    const [row] = await this.#read(key, 'get', [key])
    return row === undefined ? undefined : this.#entryOf(row).value
  }

  async list({ prefix, after, limit }: Range): Promise<Entry[]> {
    const rows = await this.#read(prefix, 'list', [after !== undefined && after > prefix ? after : prefix, `${prefix}\x7f`, limit ?? null])
    return rows.map(row => this.#entryOf(row))
  }

  async load(namespace: string): Promise<{ version: number; entries: Entry[] }> {
    const seen = this.#seen
    const rows = await this.#read(namespace, 'load', [`${namespace}/`, `${namespace}/\x7f`])
    const { head } = this.#headOf(rows, seen)
    const entries = rows.filter(row => row.key !== null).map(row => this.#entryOf(row))
    checkSum(head, namespace, this.#key, entries)
    return { version: head.version, entries }
  }

  async write(batch: Batch): Promise<Written> {
    checkBatch(batch)
    const written = this.#turn.then(() => this.#write(batch))
    this.#turn = written.catch(() => undefined)
    return written
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#turn
    this.#closed = true
    // A server that is away does not keep us.
    const ended = this.#pool.query(`DELETE FROM ${this.#schema}.writers WHERE id = $1`, [this.#id]).catch(() => undefined).then(() => this.#pool.end())
    await Promise.race([ended, sleep(this.#waitMs, undefined, { ref: false })])
  }

  /** Create the schema when it is new; otherwise check that it is ours and whole. */
  async prepare(): Promise<void> {
    await this.#patiently('store', async () => {
      const client = await this.#pool.connect()
      try {
        await this.#create(client)
        client.release()
      } catch (error) {
        // The transaction ends with its connection.
        client.release(true)
        throw error
      }
    })
    const { spaces } = this.#headOf(await this.#read('store', 'head', []), 0).head
    // The log's own tree proves what the log holds, wherever it is read: it is not read whole here.
    for (const namespace of Object.keys(spaces)) if (namespace !== 'log') await this.load(namespace)
    const [other] = await this.#read('store', 'spaces', [Object.keys(spaces)])
    if (other !== undefined) corrupt(String(other.key), 'a namespace that was written', 'an unknown one')
  }

  async #create(client: pg.PoolClient): Promise<void> {
    const schema = this.#schema
    await client.query('BEGIN')
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`cloister store ${schema}`])
    const { rows } = await client.query<{ name: string; kept: string }>("SELECT c.relname AS name, c.relpersistence AS kept FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')", [schema])
    if (rows.length === 0) await this.#fill(client)
    else await this.#check(client, rows)
    await client.query('COMMIT')
  }

  async #fill(client: pg.PoolClient): Promise<void> {
    const { rows } = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [this.#schema])
    if (rows.length === 0) await client.query(`CREATE SCHEMA ${this.#schema}`)
    await client.query(tables(this.#schema))
    const { value, tag } = encodeHead(this.#key, EMPTY_HEAD)
    await client.query(`INSERT INTO ${this.#schema}.head (format, value, tag, mark) VALUES ($1, $2, $3, $4)`, [FORMAT, value, tag, randomBytes(16)])
  }

  async #check(client: pg.PoolClient, found: readonly { name: string; kept: string }[]): Promise<void> {
    const names = found.map(({ name }) => name).toSorted().join(', ')
    if (names !== 'entries, head, writers') corrupt(this.#schema, 'a store of this program', `a schema with ${names.slice(0, 200)}`)
    const loose = found.find(({ kept }) => kept !== 'p')
    if (loose !== undefined) corrupt(`${this.#schema}.${loose.name}`, 'a table that is logged', 'one that a crash empties')
    const { rows: [head] } = await client.query<{ format: number }>(`SELECT format FROM ${this.#schema}.head`)
    if (head?.format !== FORMAT) corrupt(this.#schema, `format ${FORMAT} of the store`, head === undefined ? 'none' : `format ${head.format}`)
    await client.query(`DELETE FROM ${this.#schema}.writers WHERE at < now() - interval '30 days'`)
  }

  async #askVersion(): Promise<number> {
    const seen = this.#seen
    return this.#headOf(await this.#read('version', 'head', []), seen).head.version
  }

  async #write(batch: Batch): Promise<Written> {
    const mark = randomBytes(16)
    const until = performance.now() + this.#waitMs
    let found = this.#guess(batch)
    let unanswered: Refusal | undefined
    let version = 0
    for (let pause = PAUSE_MS; ;) {
      found ??= await this.#find(batch, unanswered)
      // An earlier try of this batch, whose answer was lost, was carried out.
      if (found.mine !== undefined && equal(found.mine, mark)) return { moved: false, version }
      const after = this.#after(batch, found)
      if (after === undefined && !found.guessed) return { moved: true }
      if (after !== undefined) {
        version = after.head.version
        const swapped = await this.#swap(batch, found, after, mark)
        if (swapped === true) return { moved: false, version }
        if (swapped !== false) {
          unanswered = swapped
          await sleep(pause)
          pause = Math.min(2 * pause, PAUSE_MS_MAX)
        }
      }
      found = undefined
      if (performance.now() > until) return unanswered === undefined ? refuse('store.locked', 'write', 'a turn to write', `none in ${this.#waitMs} ms`, 'try again') : unknown(unanswered)
    }
  }

  /** What this store left there, if it wrote last; the statement notices when it did not. */
  #guess(batch: Batch): Found | undefined {
    const last = this.#last
    // What is taken away is most likely there: it is not taken for absent.
    return last === undefined || batch.delete?.some(key => !last.tags.has(key)) === true ? undefined : { ...last, tags: new Map(keysOf(batch).flatMap(key => { const tag = last.tags.get(key); return tag === undefined ? [] : [[key, tag] as const] })) }
  }

  async #find(batch: Batch, unanswered: Refusal | undefined): Promise<Found> {
    const seen = this.#seen
    const read = await attemptAsync(() => this.#read('write', 'find', [keysOf(batch), this.#id]))
    if (!read.ok && unanswered !== undefined) return unknown(read.refusal)
    const rows = orRefuse(read)
    const { head, mark } = this.#headOf(rows, seen)
    for (const row of rows) if (row.key !== null) this.#entryOf(row)
    return { head, mark, mine: rows.find(row => row.key === null)?.mine ?? undefined, guessed: false, tags: new Map(rows.flatMap(({ key, tag }) => (key === null ? [] : [[key, tag] as const]))) }
  }

  /** The first line and the tags after this batch; undefined when the store is not as the batch expects it. */
  #after({ at, expect = [], put = [], delete: gone = [] }: Batch, { head: before, tags }: Found): { head: Head; tags: Map<string, Uint8Array> } | undefined {
    if (at !== undefined && at !== before.version) return undefined
    if (expect.some(({ key, value }) => !isTag(value === undefined ? undefined : tagOf(this.#key, key, value), tags.get(key)))) return undefined
    const after = new Map(put.map(({ key, value }) => [key, tagOf(this.#key, key, value)] as const))
    let head = before
    for (const [key, tag] of after) head = moveSum(head, key, tags.get(key), tag)
    for (const key of gone) if (tags.has(key)) head = moveSum(head, key, tags.get(key), undefined)
    return { head: at === undefined ? head : { ...head, version: at + 1 }, tags: after }
  }

  /** True when the batch was carried out, false when something else stood there; a refusal when nobody knows. */
  async #swap({ put = [], delete: gone = [], expect = [] }: Batch, found: Found, after: { head: Head; tags: Map<string, Uint8Array> }, mark: Uint8Array): Promise<boolean | Refusal> {
    const sizes = put.map(({ value }) => value.length)
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    if (bytes > BATCH_BYTES_MAX) refuse('store.full', 'write', `at most ${BATCH_BYTES_MAX} bytes in a batch`, `${bytes} bytes`)
    let next = 1
    const starts = sizes.map(size => { const start = next; next += size; return start })
    const { value, tag } = encodeHead(this.#key, after.head)
    const absent = found.guessed ? keysOf({ put, delete: gone, expect }).filter(key => !found.tags.has(key)) : []
    try {
      const rows = await this.#query('swap', [found.mark, value, tag, mark, put.map(({ key }) => key), starts, sizes, concat(...put.map(({ value: one }) => one)), concat(...put.map(({ key }) => after.tags.get(key) ?? NOTHING)), gone, absent, this.#id])
      if (rows.length === 0) this.#last = undefined
      else this.#remember(found, after, mark, gone)
      return rows.length > 0
    } catch (error) {
      this.#last = undefined
      const trouble = troubleOf('write', error)
      return trouble.passing ? trouble.refusal : refuseWith(trouble.refusal)
    }
  }

  #remember(found: Found, { head, tags }: { head: Head; tags: Map<string, Uint8Array> }, mark: Uint8Array, gone: readonly string[]): void {
    const known = new Map(this.#last !== undefined && this.#last.tags.size < KNOWN_MAX && equal(this.#last.mark, found.mark) ? this.#last.tags : [])
    for (const [key, tag] of tags) known.set(key, tag)
    for (const key of gone) known.delete(key)
    this.#last = { head, mark, tags: known, guessed: true }
    this.#seen = Math.max(this.#seen, head.version)
  }

  #headOf(rows: readonly Row[], seen: number): { head: Head; mark: Uint8Array } {
    const row = rows.find(({ key }) => key === null)
    if (row === undefined || row.mark === null) return corrupt('head', 'the first line of the store', 'none')
    const head = decodeHead(this.#key, row.value, row.tag)
    if (head.version < seen) corrupt('head', `version ${seen} or a later one`, `version ${head.version}: the database was set back`)
    this.#seen = Math.max(this.#seen, head.version)
    if (this.#last !== undefined && !equal(this.#last.mark, row.mark)) this.#last = undefined
    return { head, mark: row.mark }
  }

  #entryOf({ key, value, tag }: Row): Entry {
    const name = key ?? ''
    checkTag(this.#key, name, value, tag)
    return { key: name, value: new Uint8Array(value.buffer, value.byteOffset, value.length) }
  }

  /** A reading changes nothing: it asks again when the connection was lost. */
  #read(at: string, statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    return this.#patiently(at, () => this.#query(statement, values))
  }

  async #patiently<T>(at: string, body: () => Promise<T>): Promise<T> {
    const until = performance.now() + this.#waitMs
    for (let pause = PAUSE_MS; ; pause = Math.min(2 * pause, PAUSE_MS_MAX)) {
      try {
        return await body()
      } catch (error) {
        const { passing, refusal } = troubleOf(at, error)
        if (!passing || performance.now() > until) return refuseWith(refusal)
      }
      await sleep(pause)
    }
  }

  async #query(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    if (this.#closed) corrupt(statement, 'an open store', 'closed')
    return (await this.#pool.query<Row>({ name: `cloister ${this.#schema} ${statement}`, text: this.#sql[statement], values: [...values] })).rows
  }
}

function poolOf({ host, port, dbname, user, password, ca }: Connection, waitMs: number, statementMs: number): pg.Pool {
  return new pg.Pool({
    host, port, database: dbname, user,
    // Asked for only when the server wants one; never looked for elsewhere.
    password: password ?? (() => Promise.reject(new Refused(refusalOf('store.unavailable', 'postgres', 'a password in the connection', 'none')))),
    ssl: isLocal(host) ? false : { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
    enableChannelBinding: true, application_name: 'cloister',
    max: CONNECTIONS_MAX, connectionTimeoutMillis: waitMs, idleTimeoutMillis: 60_000, allowExitOnIdle: true, keepAlive: true,
    lock_timeout: waitMs, statement_timeout: statementMs, idle_in_transaction_session_timeout: statementMs, query_timeout: statementMs + waitMs,
    verify: (client, done) => { checkServer(client).then(() => done(), (error: unknown) => done(error instanceof Error ? error : new Error('not a server'))) },
  })
}

/** On every new connection: a server that would not keep what it acknowledges is none. */
async function checkServer(client: pg.ClientBase): Promise<void> {
  const { rows: [said] } = await client.query<Record<'fsync' | 'full_page_writes' | 'synchronous_commit' | 'read_only', string>>(`
    SELECT set_config('search_path', 'pg_catalog', false), set_config('default_transaction_isolation', 'read committed', false),
      current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, current_setting('synchronous_commit') AS synchronous_commit,
      CASE WHEN pg_is_in_recovery() THEN 'on' ELSE current_setting('default_transaction_read_only') END AS read_only`)
  for (const name of ['fsync', 'full_page_writes', 'synchronous_commit'] as const) {
    if (said === undefined || said[name] === 'off') refuse('store.unavailable', `postgres.${name}`, 'on', 'off', `set ${name} = on: this server may lose what it acknowledged`)
  }
  if (said?.read_only !== 'off') refuse('store.unavailable', 'postgres', 'a server that accepts writes', 'a standby, or one that is read-only')
}

const tables = (schema: string) => `
  CREATE TABLE ${schema}.head (one boolean PRIMARY KEY DEFAULT true CHECK (one), format integer NOT NULL, value bytea NOT NULL, tag bytea NOT NULL, mark bytea NOT NULL) WITH (fillfactor = 20);
  CREATE TABLE ${schema}.entries (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL, tag bytea NOT NULL);
  CREATE TABLE ${schema}.writers (id bytea PRIMARY KEY, mark bytea NOT NULL, at timestamptz NOT NULL) WITH (fillfactor = 20);
  ALTER TABLE ${schema}.entries ALTER value SET STORAGE EXTERNAL;`

/** Each statement sees one moment of the database. */
const statements = (schema: string): Record<Statement, string> => ({
  head: `SELECT NULL AS key, value, tag, mark FROM ${schema}.head`,
  get: `SELECT key, value, tag FROM ${schema}.entries WHERE key = $1`,
  list: `SELECT key, value, tag FROM ${schema}.entries WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3::bigint`,
  load: `SELECT NULL AS key, value, tag, mark FROM ${schema}.head UNION ALL (SELECT key, value, tag, NULL FROM ${schema}.entries WHERE key > $1 AND key < $2 ORDER BY key)`,
  find: `SELECT NULL AS key, value, tag, mark, (SELECT mark FROM ${schema}.writers WHERE id = $2) AS mine FROM ${schema}.head
    UNION ALL SELECT key, value, tag, NULL, NULL FROM ${schema}.entries WHERE key = ANY($1::text[])`,
  spaces: `SELECT key FROM ${schema}.entries WHERE split_part(key, '/', 1) <> ALL($1::text[]) LIMIT 1`,
  // Whoever waits here for another writer finds another mark when it is let in: the row is looked at again.
  swap: `WITH moved AS (
      UPDATE ${schema}.head SET value = $2, tag = $3, mark = $4 WHERE mark = $1 AND NOT EXISTS (SELECT FROM ${schema}.entries WHERE key = ANY($11::text[])) RETURNING 1
    ), put AS (
      INSERT INTO ${schema}.entries SELECT one.key, substring($8::bytea FROM one.start FOR one.size), substring($9::bytea FROM (32 * (one.nth - 1) + 1)::int FOR 32)
      FROM moved, unnest($5::text[], $6::int[], $7::int[]) WITH ORDINALITY AS one (key, start, size, nth)
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, tag = excluded.tag
    ), gone AS (
      DELETE FROM ${schema}.entries USING moved WHERE key = ANY($10::text[])
    ), wrote AS (
      INSERT INTO ${schema}.writers SELECT $12::bytea, $4::bytea, now() FROM moved ON CONFLICT (id) DO UPDATE SET mark = excluded.mark, at = excluded.at
    ) SELECT FROM moved`,
})

/** An error as a refusal; `passing` when asking again may help. Then, and only then, it may be unknown whether a write stands. */
function troubleOf(at: string, error: unknown): { passing: boolean; refusal: Refusal } {
  if (error instanceof Refused) return { passing: false, refusal: error.refusal }
  if (!(error instanceof Error)) throw error
  const state = error instanceof pg.DatabaseError ? error.code ?? '' : undefined
  // What the server says may name values; its code does not.
  const got = state === undefined ? error.message : `SQLSTATE ${state}`
  if (state === undefined || /^(08|57P0|40|53300)/.test(state)) return { passing: true, refusal: refusalOf('store.unavailable', at, 'the database server', got, 'start the server, or mend the way to it; nothing that was acknowledged is lost') }
  if (/^(53100|54)/.test(state)) return { passing: false, refusal: refusalOf('store.full', at, 'room on the disk of the server', got, 'free space; nothing that was acknowledged is lost') }
  if (/^(55P03|57014)/.test(state)) return { passing: false, refusal: refusalOf('store.locked', at, 'the lock of the store', got) }
  if (/^(28|3D|42501|25006|53)/.test(state)) return { passing: false, refusal: refusalOf('store.unavailable', at, 'a database that lets us in and accepts writes', got) }
  return { passing: false, refusal: refusalOf('store.corrupt', at, 'a store that can be read', got, 'restore the store from a backup that its log\'s witnesses accept; do not delete it') }
}

/** The answer to a write never came, and nobody can be asked now. */
function unknown({ got }: Refusal): never {
  return refuse('store.unavailable', 'write', 'an answer to a write', `none; it may stand or not (${got})`, 'read again before deciding anew')
}

function refuseWith(refusal: Refusal): never {
  throw new Refused(refusal)
}

const keysOf = ({ expect = [], put = [], delete: gone = [] }: Batch): string[] => [...new Set([...expect.map(({ key }) => key), ...put.map(({ key }) => key), ...gone])]
const isTag = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean => (a === undefined || b === undefined ? a === b : equal(a, b))
const NOTHING = new Uint8Array(0)
