/**
 * Which store: the one place that knows both. `postgres:FILE` names a connection file, `postgres:` takes the connection from
 * the environment (`connection.ts`), anything else is a folder of SQLite files.
 */
import { join } from 'node:path'
import { connectionOfEnvironment, readConnection } from './connection.ts'
import { openSqliteStore } from './sqlite.ts'
import type { Store } from './store.ts'

export interface StoreSpec {
  /** A folder, `postgres:FILE`, or `postgres:`. */
  readonly at: string
  /** Which of the stores there: the file's name, or the schema's. */
  readonly name: string
  readonly key: Uint8Array
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * Open or create a store. Rejects as `openSqliteStore` and `openPostgresStore` do.
 *
 * @example
 * const store = await openStore({ at: 'postgres:/etc/cloister/db.pg', name: 'broker', key, env: process.env })
 */
export async function openStore({ at, name, key, env }: StoreSpec): Promise<Store> {
  if (!at.startsWith(POSTGRES)) return openSqliteStore({ path: join(at, `${name}.db`), key })
  const file = at.slice(POSTGRES.length)
  // Who keeps to one machine does not load the driver.
  const { openPostgresStore } = await import('./postgres.ts')
  return openPostgresStore({ connection: file === '' ? connectionOfEnvironment(env) : readConnection(file), name, key })
}

const POSTGRES = 'postgres:'
