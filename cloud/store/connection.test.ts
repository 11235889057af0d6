import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { attempt, attemptAsync } from '@cloister/core/refusal'
import { connectionOfEnvironment, isLocal, readConnection } from './connection.ts'
import { openStore } from './open.ts'

const folder = () => mkdtempSync(join(tmpdir(), 'cloister-connection-'))
const codeOf = (read: () => unknown) => { const result = attempt(read); return result.ok ? 'ok' : result.refusal.code }

test('a connection file says where the server is, and nothing that is not understood', context => {
  const place = folder()
  context.after(() => rmSync(place, { recursive: true }))
  const [path, ca] = [join(place, 'db.pg'), join(place, 'ca.pem')]
  writeFileSync(ca, 'PEM')
  const read = (text: string) => { writeFileSync(path, text, { mode: 0o600 }); return readConnection(path) }
  assert.deepEqual(read(`# ours\nhost = db.example\nport=5433\ndbname=cloister\nuser=broker\npassword=a = b\nsslrootcert=${ca}\nsslmode=verify-full\n`), { host: 'db.example', port: 5433, dbname: 'cloister', user: 'broker', password: 'a = b', ca: 'PEM' })
  assert.deepEqual(read('dbname=x\nuser=y'), { host: '/var/run/postgresql', port: 5432, dbname: 'x', user: 'y' })
  const whole = 'host=db.example\ndbname=x\nuser=y\n'
  for (const bad of ['user=y', 'dbname=x', `${whole}sslmode=require`, `${whole}sslmode=disable`, `${whole}options=-c fsync=off`, `${whole}user=z`, `${whole}[service]`, `${whole}port=0`, `${whole}port=70000`, `${whole}host=`, `${whole}sslrootcert=${place}/none`]) assert.equal(codeOf(() => read(bad)), 'store.unavailable', bad)
  assert.equal(codeOf(() => read(whole)), 'ok')
  chmodSync(path, 0o640)
  assert.equal(codeOf(() => readConnection(path)), 'store.unavailable', 'others may read it')
  assert.equal(codeOf(() => readConnection(join(place, 'none'))), 'store.unavailable')
  assert.equal(codeOf(() => readConnection(place)), 'store.unavailable')
  writeFileSync(ca, 'x'.repeat(2 << 20))
  assert.equal(codeOf(() => read(`${whole}sslrootcert=${ca}`)), 'store.unavailable')
})

test('the environment says the same; what would be ignored is refused', () => {
  const whole = { PGHOST: 'db.example', PGDATABASE: 'x', PGUSER: 'y', PGPASSWORD: 'z', HOME: '/' }
  assert.deepEqual(connectionOfEnvironment(whole), { host: 'db.example', port: 5432, dbname: 'x', user: 'y', password: 'z' })
  for (const bad of [{ PGSERVICE: 'x' }, { PGOPTIONS: '-c x' }, { PGHOSTADDR: '::1' }, { PGPASSFILE: 'x' }, { PGSSLCERT: 'x' }, { PGSSLMODE: 'prefer' }, { PGPORT: 'x' }, { PGUSER: undefined }]) assert.equal(codeOf(() => connectionOfEnvironment({ ...whole, ...bad })), 'store.unavailable', JSON.stringify(bad))
  assert.deepEqual(['/run/x', 'localhost', '127.0.0.1', '::1', '127.0.0.2', 'db.example'].map(isLocal), [true, true, true, true, false, false])
})

test('openStore: a folder of SQLite files, or a connection', async context => {
  const place = folder()
  context.after(() => rmSync(place, { recursive: true }))
  const key = new Uint8Array(32)
  const store = await openStore({ at: place, name: 'broker', key, env: {} })
  assert.deepEqual(await store.write({ at: 0 }), { moved: false, version: 1 })
  await store.close()
  const refused = async (at: string, env = {}) => { const opened = await attemptAsync(() => openStore({ at, name: 'broker', key, env })); return opened.ok ? 'ok' : opened.refusal.at }
  assert.equal(await refused(`postgres:${place}/none`), `${place}/none`)
  assert.equal(await refused('postgres:', { PGUSER: 'x' }), 'environment')
})
