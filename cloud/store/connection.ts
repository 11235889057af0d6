/**
 * Where a PostgreSQL server is, in libpq's words (postgresql.org/docs/current/libpq-connect.html): a file of lines
 * `keyword=value` that nobody else may read, or the PG* variables of the environment. Never an argument: those can be read
 * by everybody on the machine. What is not understood is refused, so that no setting that somebody relies on is ignored.
 */
import { readFileSync, statSync } from 'node:fs'
import { refuse } from '@cloister/core/refusal'

export interface Connection {
  /** A folder of unix sockets (absolute), an address, or a name that the server's certificate must carry. */
  readonly host: string
  readonly port: number
  readonly dbname: string
  readonly user: string
  /** Secret. */
  readonly password?: string
  /** PEM of the certificates that the server's must lead to; absent, those of the machine. */
  readonly ca?: string
}

/**
 * A connection file: `host`, `port`, `dbname`, `user`, `password`, `sslrootcert`, `sslmode=verify-full`. Refuses
 * `store.unavailable` when others may read it or when it says anything else.
 *
 * @example
 * readConnection('/etc/cloister/broker.pg') // → { host: 'db.example', port: 5432, dbname: 'cloister', … }
 */
export function readConnection(path: string): Connection {
  const text = readText(path)
  if ((statSync(path).mode & 0o077) !== 0) refuse('store.unavailable', path, 'a connection file of mode 0600', 'one that others may read', `chmod 600 ${path}`)
  const said: Record<string, string> = {}
  for (const line of text.split('\n').map(one => one.trim()).filter(one => one !== '' && !one.startsWith('#'))) {
    const [, name = '', value = ''] = /^([a-z]+)\s*=\s*(.*)$/.exec(line) ?? []
    if (!KEYWORDS.includes(name)) refuse('store.unavailable', path, `lines keyword=value of ${KEYWORDS.join(', ')}`, name === '' ? 'another line' : name.slice(0, 40))
    if (Object.hasOwn(said, name)) refuse('store.unavailable', path, 'a keyword once', `${name} twice`)
    said[name] = value
  }
  return connectionOf(path, said)
}

/** From PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLROOTCERT and PGSSLMODE; refuses as `readConnection` does. */
export function connectionOfEnvironment(env: Readonly<Record<string, string | undefined>>): Connection {
  for (const name of ['PGSERVICE', 'PGHOSTADDR', 'PGOPTIONS', 'PGPASSFILE', 'PGSSLCERT']) if (env[name] !== undefined) refuse('store.unavailable', name, 'a connection in PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLROOTCERT', name, 'write a connection file')
  const names = { host: 'PGHOST', port: 'PGPORT', dbname: 'PGDATABASE', user: 'PGUSER', password: 'PGPASSWORD', sslrootcert: 'PGSSLROOTCERT', sslmode: 'PGSSLMODE' }
  return connectionOf('environment', Object.fromEntries(Object.entries(names).flatMap(([keyword, name]) => { const value = env[name]; return value === undefined ? [] : [[keyword, value]] })))
}

/** On this machine: what is said does not leave it. */
export const isLocal = (host: string): boolean => host.startsWith('/') || host === 'localhost' || host === '127.0.0.1' || host === '::1'

const KEYWORDS = ['host', 'port', 'dbname', 'user', 'password', 'sslrootcert', 'sslmode']
const FILE_BYTES_MAX = 1 << 20

function connectionOf(at: string, { host = '/var/run/postgresql', port = '5432', dbname, user, password, sslrootcert, sslmode }: Readonly<Record<string, string>>): Connection {
  const needed = (name: string, value: string | undefined) => (value === undefined || value === '' ? refuse('store.unavailable', at, `a ${name}`, 'none') : value)
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65535) refuse('store.unavailable', at, 'a port', port.slice(0, 40))
  if (sslmode !== undefined && sslmode !== 'verify-full' && !isLocal(host)) refuse('store.unavailable', at, 'sslmode=verify-full', sslmode.slice(0, 40), 'a server on another machine is verified, or anybody could stand in for it')
  return {
    host: needed('host', host), port: Number(port), dbname: needed('dbname', dbname), user: needed('user', user),
    ...(password === undefined ? {} : { password }), ...(sslrootcert === undefined ? {} : { ca: readText(sslrootcert) }),
  }
}

function readText(path: string): string {
  try {
    if (statSync(path).size <= FILE_BYTES_MAX) return readFileSync(path, 'utf8')
  } catch (error) {
    return refuse('store.unavailable', path, 'a file that can be read', error instanceof Error && 'code' in error ? String(error.code) : 'an error')
  }
  return refuse('store.unavailable', path, `at most ${FILE_BYTES_MAX} bytes`, 'a larger file')
}
