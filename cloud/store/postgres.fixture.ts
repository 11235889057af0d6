/**
 * A real PostgreSQL server of one's own for tests and benches: Debian's binaries, a data directory in a temporary folder, a
 * unix socket in it and nothing else, ended by its pid. PostgreSQL refuses to be root: then it runs as `postgres` or `nobody`.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, openSync, closeSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Connection } from './connection.ts'

export interface Server {
  readonly folder: string
  readonly connection: Connection
  /** Start it (again); `settings` as on the command line: `fsync=off`. */
  start(settings?: readonly string[], port?: number): Promise<void>
  /** kill -9 of every process of the server. */
  kill(): Promise<void>
  /** A connection of its owner, who can do anything. The caller ends it. */
  client(): Promise<pg.Client>
  /** Run SQL as its owner. */
  sql(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>
  remove(): Promise<void>
}

const PATHS = [...(process.env['PATH'] ?? '').split(':'), ...(existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').map(version => `/usr/lib/postgresql/${version}/bin`) : [])]
const BIN = PATHS.find(path => path !== '' && existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')))

/** Why there is no server here; undefined when there is one. */
export const withoutPostgres: string | undefined = BIN === undefined ? "PostgreSQL is not installed (Debian's package postgresql)" : undefined

const PASSWORD = 'only for this test'

let shared: Promise<Server> | undefined
/** One server for all the tests of a process that leave it running as it was; `removeServer` ends it when they are over. */
export const sharedServer = (): Promise<Server> => shared ??= newServer()
export async function removeServer(): Promise<void> {
  const server = shared
  shared = undefined
  await (await server)?.remove()
}

/** A new server, started. */
export async function newServer(settings: readonly string[] = []): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-pg-'))
  const owner = unprivileged()
  const give = (...paths: readonly string[]) => { if (owner.uid !== undefined && owner.gid !== undefined) for (const path of paths) chownSync(path, owner.uid, owner.gid) }
  give(folder)
  chmodSync(folder, 0o711)
  const [data, secret, socket] = [join(folder, 'data'), join(folder, 'password'), join(folder, 'socket')]
  mkdirSync(socket, { mode: 0o711 })
  writeFileSync(secret, PASSWORD, { mode: 0o600 })
  give(socket, secret)
  execFileSync(join(BIN ?? '', 'initdb'), ['-D', data, '-U', 'cloister', `--pwfile=${secret}`, '--auth=scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-sync'], { ...owner, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] ?? '' } })
  const server = new LocalServer(folder, owner, { host: socket, port: 5432, dbname: 'postgres', user: 'cloister', password: PASSWORD })
  await server.start(settings)
  return server
}

class LocalServer implements Server {
  readonly folder: string
  connection: Connection
  readonly #owner: Owner
  #child: ChildProcess | undefined

  constructor(folder: string, owner: Owner, connection: Connection) {
    this.folder = folder
    this.connection = connection
    this.#owner = owner
  }

  async start(settings: readonly string[] = [], port = 5432): Promise<void> {
    this.connection = { ...this.connection, port }
    const flags = ['listen_addresses=', `port=${port}`, `unix_socket_directories=${this.connection.host}`, 'shared_buffers=32MB', 'max_connections=50', 'recovery_init_sync_method=syncfs', ...settings].flatMap(one => ['-c', one])
    // Processes of a server that was killed may take a moment to go; until then the next one does not start.
    while (!await this.#started(flags)) await sleep(50)
  }

  async #started(flags: readonly string[]): Promise<boolean> {
    const path = join(this.folder, 'log')
    const log = openSync(path, 'w', 0o600)
    const child = spawn(join(BIN ?? '', 'postgres'), ['-D', join(this.folder, 'data'), ...flags], { ...this.#owner, cwd: this.folder, stdio: ['ignore', log, log], env: { PATH: process.env['PATH'] ?? '' } })
    closeSync(log)
    this.#child = child
    for (;;) {
      try {
        if (child.exitCode === null) await this.sql('SELECT 1')
      } catch {
        await sleep(20)
        continue
      }
      const said = readFileSync(path, 'utf8')
      if (child.exitCode !== null && !said.includes('still in use')) throw new Error(`the server ended: ${said.slice(-2000)}`)
      return child.exitCode === null
    }
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    // The postmaster first stands still, so that it starts nothing while its children go.
    child.kill('SIGSTOP')
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').filter(pid => pid !== '').map(Number)
    for (const pid of [...children, child.pid]) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It is gone already.
      }
    }
    if (child.exitCode === null && child.signalCode === null) await new Promise(resolve => { child.once('exit', resolve) })
  }

  async client(): Promise<pg.Client> {
    const { dbname: database, ...where } = this.connection
    const client = new pg.Client({ ...where, database, ssl: false, connectionTimeoutMillis: 5_000 })
    // The server may be killed while we are connected.
    client.on('error', () => undefined)
    await client.connect()
    return client
  }

  async sql(text: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = await this.client()
    try {
      return (await client.query<Record<string, unknown>>(text, [...values])).rows
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true })
  }
}

interface Owner { readonly uid?: number; readonly gid?: number }
function unprivileged(): Owner {
  if (process.getuid?.() !== 0) return {}
  const users = new Map(readFileSync('/etc/passwd', 'utf8').split('\n').map(line => line.split(':')).map(([name = '', , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]))
  return users.get('postgres') ?? users.get('nobody') ?? {}
}
