/**
 * One locked DuckDB, for one run. Everything is closed before the first byte of data or program arrives: no files but the
 * named memory files, no extensions, no spilling to disk, no way to unlock. Errors come back without their text, because
 * DuckDB puts values into it (clean-room.md sections 7 and 9).
 * Trusts DuckDB's C++ to keep its lock; the process around it has no network and no files to lose.
 */
import { DuckDBInstance, version, type DuckDBConnection, type Json as DuckJson } from '@duckdb/node-api'
import type { Json } from '@cloister/core/bytes/json'
import { Refused, refuse, refusalOf } from '@cloister/core/refusal'
import { MACROS } from './shape.ts'

export interface EngineOptions {
  readonly threads: number
  readonly memoryBytesMax: number
  readonly secondsMax: number
  /** The only paths that may be read: unlinked memory files of this process. */
  readonly paths?: readonly string[]
}

export const engineVersion = (): string => `duckdb ${version()}`

export class Engine {
  readonly #instance: DuckDBInstance
  readonly #connection: DuckDBConnection
  readonly #timer: NodeJS.Timeout
  #late = false

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection, secondsMax: number) {
    this.#instance = instance
    this.#connection = connection
    this.#timer = setTimeout(() => {
      this.#late = true
      connection.interrupt()
    }, secondsMax * 1000)
  }

  static async open(options: EngineOptions): Promise<Engine> {
    const instance = await DuckDBInstance.create(':memory:', { threads: String(options.threads), memory_limit: `${Math.floor(options.memoryBytesMax / 1e6)}MB` })
    const connection = await instance.connect()
    for (const statement of [...MACROS, ...lock(options.paths ?? [])]) await connection.run(statement)
    return new Engine(instance, connection, options.secondsMax)
  }

  /** Run a statement of the engine's own, or a checked one. Leaves with `sql.failed` or `sql.limit`; never with DuckDB's words. */
  async run(sql: string, at: string): Promise<void> {
    await this.#guarded(at, () => this.#connection.run(sql))
  }

  /** Run a statement and give the number of rows it changed. */
  async change(sql: string, at: string): Promise<number> {
    return Number((await this.#guarded(at, () => this.#connection.run(sql))).rowsChanged)
  }

  /** All rows as columns, in the order of the query: texts, booleans, bigints for whole numbers, strings for dates. */
  async columns(sql: string, at: string): Promise<unknown[][]> {
    return this.#guarded(at, async () => (await this.#connection.runAndReadAll(sql)).getColumnsJS())
  }

  async rows(sql: string, at: string): Promise<Record<string, DuckJson>[]> {
    return this.#guarded(at, async () => (await this.#connection.runAndReadAll(sql)).getRowObjectsJson())
  }

  /** The parse tree of a text. The text is a value here; nothing of it is executed. */
  async parse(text: string, at: string): Promise<Json> {
    const [row] = await this.#guarded(at, async () => (await this.#connection.runAndReadAll('select json_serialize_sql($1::varchar)', [text])).getColumnsJS())
    // DuckDB's own serialiser wrote this text: it is JSON, with locations beyond 2^53 that the strict reader would refuse.
    return JSON.parse(String(row?.[0])) as Json
  }

  /** The text of a checked tree: this is what runs. */
  async text(tree: Json, at: string): Promise<string> {
    const [row] = await this.#guarded(at, async () => (await this.#connection.runAndReadAll('select json_deserialize_sql($1::json)', [JSON.stringify(tree)])).getColumnsJS())
    return String(row?.[0])
  }

  /** Whether a failure told us where in a file it happened; never what stood there. */
  async failingLine(sql: string): Promise<number | undefined> {
    try {
      await this.#connection.run(sql)
      return undefined
    } catch (error) {
      return Number(/Line: (\d+)/.exec(error instanceof Error ? error.message : '')?.[1] ?? 0)
    }
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#connection.closeSync()
    this.#instance.closeSync()
  }

  async #guarded<T>(at: string, work: () => Promise<T>): Promise<T> {
    try {
      if (this.#late) throw new Error('late')
      return await work()
    } catch (error) {
      if (this.#late) throw new Refused(refusalOf('sql.limit', at, 'an answer within the time limit', 'more time'))
      const memory = error instanceof Error && error.message.startsWith('Out of Memory')
      return memory ? refuse('sql.limit', at, 'an answer within the memory limit', 'more memory') : refuse('sql.failed', at, 'a query that runs', 'a failure')
    }
  }
}

function lock(paths: readonly string[]): string[] {
  return [
    `set temp_directory = ''`,
    `set max_temp_directory_size = '0B'`,
    `set allowed_paths = [${paths.map(path => `'${path}'`).join(', ')}]`,
    'set enable_external_access = false',
    'set autoinstall_known_extensions = false',
    'set autoload_known_extensions = false',
    'set allow_community_extensions = false',
    'set allow_unsigned_extensions = false',
    'set allow_persistent_secrets = false',
    'set errors_as_json = false',
    'set lock_configuration = true',
  ]
}
