import assert from 'node:assert/strict'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { attemptAsync } from '@cloister/core/refusal'
import { openPostgresStore, type PostgresOptions } from './postgres.ts'
import { newServer, removeServer, sharedServer, withoutPostgres, type Server } from './postgres.fixture.ts'
import { VALUE_BYTES_MAX, type Store } from './store.ts'
import { codeOf, entries, testStore } from './store.suite.ts'
import { tagOf } from './tags.ts'

const KEY = new Uint8Array(32).fill(7)
let count = 0

after(removeServer)

testStore({
  name: 'postgres',
  ...(withoutPostgres === undefined ? {} : { skip: withoutPostgres }),
  place: async () => {
    const [name, server] = [`store_${count++}`, await sharedServer()]
    return {
      open: () => openPostgresStore({ connection: server.connection, name, key: KEY }),
      damage: async (kind, key, older = new Uint8Array(0)) => {
        if (kind === 'drop') await server.sql(`DELETE FROM ${name}.entries WHERE key = $1`, [key])
        else if (kind === 'older') await server.sql(`UPDATE ${name}.entries SET value = $2, tag = $3 WHERE key = $1`, [key, older, tagOf(KEY, key, older)])
        else await server.sql(`UPDATE ${name}.entries SET value = 'neW'::bytea WHERE key = $1`, [key])
      },
      remove: async () => { await server.sql(`DROP SCHEMA ${name} CASCADE`) },
    }
  },
})

interface Here { readonly server: Server; readonly name: string; open(more?: Partial<PostgresOptions>): Promise<Store> }
/** A test with a schema of its own on the shared server; stores are closed afterwards. */
function check(name: string, body: (here: Here) => Promise<void>, own = false): void {
  test(`postgres: ${name}`, { skip: withoutPostgres ?? false }, async () => {
    const server = own ? await newServer() : await sharedServer()
    const schema = `test_${count++}`
    const stores: Store[] = []
    try {
      await body({ server, name: schema, open: async more => {
        const store = await openPostgresStore({ connection: server.connection, name: schema, key: KEY, waitMs: 2_000, ...more })
        stores.push(store)
        return store
      } })
    } finally {
      for (const store of stores) await store.close()
      if (own) await server.remove()
      else await server.sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
    }
  })
}
const refusalBy = async (body: () => Promise<unknown>) => { const result = await attemptAsync(body); return result.ok ? undefined : result.refusal }
const value = (store: Store, key = 'a/1') => store.get(key).then(bytes => (bytes === undefined ? undefined : fromUtf8(bytes)))

check('several stores in one database know nothing of each other; a second opening finds the first', async ({ open, name, server }) => {
  const [one, other] = [await open(), await open({ name: `${name}_b` })]
  await one.write({ at: 0, put: entries({ 'a/1': 'one' }) })
  assert.equal(await value(other), undefined)
  assert.equal(await other.version(), 0)
  assert.equal(await value(await open()), 'one')
  await assert.rejects(open({ name: 'x; DROP TABLE' }), RangeError)
  await server.sql(`DROP SCHEMA ${name}_b CASCADE`)
})

check('many openings of a new store at once make one store', async ({ open }) => {
  const stores = await Promise.all(Array.from({ length: 6 }, () => open()))
  const written = await Promise.all(stores.map(store => store.write({ at: 0, put: entries({ 'a/1': 'x' }) })))
  assert.equal(written.filter(({ moved }) => !moved).length, 1)
})

check('large and many values arrive as they were, in one batch', async ({ open }) => {
  const store = await open()
  const put = Array.from({ length: 300 }, (_, i) => ({ key: `a/${String(i).padStart(4, '0')}`, value: new Uint8Array(i * 37).map((_, at) => at * i) }))
  put.push({ key: 'a/9999', value: new Uint8Array(VALUE_BYTES_MAX).fill(0x5c) })
  await store.write({ at: 0, put })
  await store.write({ at: 1, delete: ['a/0007'], put: [] })
  const { entries: found } = await (await open()).load('a')
  assert.equal(found.length, 300)
  for (const { key, value: bytes } of found) assert.ok(Buffer.from(bytes).equals(put.find(one => one.key === key)?.value ?? assert.fail(key)), key)
})

check('what a store remembers of its own writes is never believed against another writer', async ({ open }) => {
  const [one, two] = [await open(), await open()]
  await one.write({ put: entries({ 'a/1': '1', 'a/2': '2' }) })
  await two.write({ put: entries({ 'a/2': 'two', 'a/3': 'three' }), delete: ['a/1'] })
  assert.deepEqual(await one.write({ expect: [{ key: 'a/2', value: utf8('2') }], put: entries({ 'a/1': 'x' }) }), { moved: true })
  await one.write({ put: [] })
  await two.write({ at: 0, put: entries({ 'a/2': 'three' }) })
  // What it remembers does not fit, what stands there does.
  assert.deepEqual(await one.write({ at: 1, expect: [{ key: 'a/2', value: utf8('three') }], put: [] }), { moved: false, version: 2 })
  await two.write({ put: entries({ 'a/2': 'two' }) })
  await one.write({ put: [] })
  // Not known to this store, and not absent either.
  await one.write({ put: entries({ 'a/3': '3' }) })
  await one.write({ put: entries({ 'a/4': '4' }) })
  assert.deepEqual(await one.write({ expect: [{ key: 'a/2', value: undefined }], put: [] }), { moved: true })
  assert.deepEqual((await one.load('a')).entries.map(({ key, value: bytes }) => [key, fromUtf8(bytes)]), [['a/2', 'two'], ['a/3', '3'], ['a/4', '4']])
})

check('a batch has a limit; writers of long ago are forgotten', async ({ open, name, server }) => {
  const store = await open()
  const large = new Uint8Array(VALUE_BYTES_MAX)
  assert.equal(await codeOf(() => store.write({ put: Array.from({ length: 33 }, (_, i) => ({ key: `a/${i}`, value: large })) })), 'store.full')
  await store.write({ put: entries({ 'a/1': 'x' }) })
  await server.sql(`INSERT INTO ${name}.writers VALUES ('old', '', now() - interval '31 days')`)
  await open()
  assert.equal((await server.sql(`SELECT FROM ${name}.writers`)).length, 1)
  await store.close()
  assert.equal((await server.sql(`SELECT FROM ${name}.writers`)).length, 0)
})

for (const [name, sql] of [
  ['dropped', 'DROP TABLE S.entries'], ['without its first line', 'DELETE FROM S.head'], ['not logged', 'ALTER TABLE S.entries SET UNLOGGED'],
  ['of another format', 'UPDATE S.head SET format = 9'], ['with a table that is not ours', 'CREATE TABLE S.more (x int)'], ['with a namespace that was not written', "INSERT INTO S.entries VALUES ('z/1', '', '')"],
  ['with another first line', "UPDATE S.head SET value = '{\"version\":9,\"spaces\":{}}'"],
] as const) {
  check(`a store ${name} is refused when it is opened`, async ({ open, name: schema, server }) => {
    const store = await open()
    await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
    await store.close()
    await server.sql(sql.replaceAll('S.', `${schema}.`))
    assert.equal(await codeOf(() => open()), 'store.corrupt')
  })
}

check('a schema of somebody else, and a store under another key, are refused', async ({ open, name, server }) => {
  await server.sql(`CREATE SCHEMA ${name}; CREATE TABLE ${name}.theirs (x int)`)
  assert.equal(await codeOf(() => open()), 'store.corrupt')
  await server.sql(`DROP TABLE ${name}.theirs`)
  await open() // an empty schema, made by who may, is filled
  assert.equal(await codeOf(() => open({ key: new Uint8Array(32) })), 'store.corrupt')
})

check('a whole store that is set back under a living one is refused', async ({ open, name, server }) => {
  const store = await open()
  await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
  const [head] = await server.sql(`SELECT value, tag, mark FROM ${name}.head`)
  await store.write({ at: 1, put: entries({ 'a/1': 'x' }) })
  await server.sql(`UPDATE ${name}.head SET value = $1, tag = $2, mark = $3`, [head?.['value'], head?.['tag'], head?.['mark']])
  assert.equal(await codeOf(() => store.version()), 'store.corrupt')
  assert.equal(await codeOf(() => store.load('a')), 'store.corrupt')
  assert.equal(await codeOf(() => store.write({ at: 2, put: entries({ 'a/1': 'y' }) })), 'store.corrupt')
})

check('a value that was altered is not written over', async ({ open, name, server }) => {
  const [one, two] = [await open(), await open()]
  await one.write({ put: entries({ 'a/1': 'x' }) })
  await server.sql(`UPDATE ${name}.entries SET value = 'y'`)
  assert.equal(await codeOf(() => two.write({ put: entries({ 'a/1': 'z' }) })), 'store.corrupt')
})

check('connections that were cut while nobody used them are replaced', async ({ open, server }) => {
  const store = await open()
  await Promise.all([store.version(), store.get('a/1'), store.get('a/2')])
  await server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cloister'")
  assert.deepEqual(await store.write({ at: 0, put: entries({ 'a/1': 'x' }) }), { moved: false, version: 1 })
  await server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cloister'")
  assert.equal(await value(store), 'x')
})

check('a lock that somebody holds is store.locked; the store goes on when it is gone', async ({ open, name, server }) => {
  const store = await open({ waitMs: 200 })
  const other = await server.client()
  await other.query(`BEGIN; SELECT FROM ${name}.head FOR UPDATE`)
  assert.equal(await codeOf(() => store.write({ at: 0, put: entries({ 'a/1': 'x' }) })), 'store.locked')
  await other.query('ROLLBACK')
  await other.end()
  assert.deepEqual(await store.write({ at: 0, put: entries({ 'a/1': 'x' }) }), { moved: false, version: 1 })
})

for (const [state, code] of [['53100', 'store.full'], ['58030', 'store.corrupt'], ['25006', 'store.unavailable'], ['57014', 'store.locked']] as const) {
  check(`the server says ${state} in the middle of a write: ${code}, nothing is half, and it goes on`, async ({ open, name, server }) => {
    const store = await open({ waitMs: 200 })
    await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
    await server.sql(`CREATE FUNCTION ${name}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.key = 'a/2' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '${state}'; END IF; RETURN new; END $$;
      CREATE TRIGGER fail AFTER INSERT ON ${name}.entries FOR EACH ROW EXECUTE FUNCTION ${name}.fail()`)
    const refusal = await refusalBy(() => store.write({ at: 1, put: entries({ 'a/1': 'y', 'a/2': 'z', 'a/3': '!' }) }))
    assert.equal(refusal?.code, code)
    assert.ok(!JSON.stringify(refusal).includes('secret'))
    assert.equal((await store.load('a')).entries.length, 1)
    assert.deepEqual(await store.write({ at: 1, put: entries({ 'a/1': 'y' }) }), { moved: false, version: 2 })
  })
}

check('a deadlock, or a transaction that could not be put in order, is tried again', async ({ open, name, server }) => {
  const store = await open()
  await server.sql(`CREATE SEQUENCE ${name}.tries; CREATE FUNCTION ${name}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    CASE nextval('${name}.tries') WHEN 1 THEN RAISE EXCEPTION USING ERRCODE = '40001'; WHEN 2 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; ELSE RETURN new; END CASE; END $$;
    CREATE TRIGGER fail BEFORE INSERT ON ${name}.entries FOR EACH ROW EXECUTE FUNCTION ${name}.fail()`)
  assert.deepEqual(await store.write({ at: 0, put: entries({ 'a/1': 'x' }) }), { moved: false, version: 1 })
  assert.equal(await value(store), 'x')
})

/** Stands between a store and the server; `lose` says what it does with the next write. */
async function between(server: Server) {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-between-'))
  const state: { lose?: 'question' | 'answer' | 'asker' | 'check'; mute?: boolean; lost: number; versions: number } = { lost: 0, versions: 0 }
  const sockets = new Set<Socket>()
  const listener = createServer(client => {
    const upstream = connect(join(server.connection.host, '.s.PGSQL.5432'))
    const cut = (...which: Socket[]) => { delete state.lose; state.lost++; for (const socket of which) socket.destroy() }
    let waiting = false
    for (const socket of [client, upstream]) { sockets.add(socket); socket.on('error', () => undefined) }
    client.on('data', chunk => {
      if (chunk.includes(' head\0')) state.versions++
      const isWrite = chunk.includes(' swap\0')
      if ((isWrite && state.lose === 'question') || (state.lose === 'check' && chunk.includes('set_config'))) return cut(client, upstream)
      upstream.write(chunk)
      if (isWrite && state.lose === 'answer') waiting = true
      if (isWrite && state.lose === 'asker') cut(client)
    })
    upstream.on('data', chunk => { if (waiting) cut(client, upstream); else if (state.mute !== true) client.write(chunk) })
    upstream.on('close', () => client.destroy())
    client.on('end', () => upstream.end())
  })
  await new Promise<void>(resolve => { listener.listen(join(folder, '.s.PGSQL.5432'), resolve) })
  return { state, connection: { ...server.connection, host: folder }, close: () => { listener.close(); for (const socket of sockets) socket.destroy(); rmSync(folder, { recursive: true }) } }
}

for (const lose of ['question', 'answer'] as const) {
  check(`the connection is lost before the ${lose === 'question' ? 'server heard a write' : 'answer to a write came'}: it is made once, and said truthfully (row 111)`, async ({ open, server }) => {
    const way = await between(server)
    const store = await open({ connection: way.connection })
    for (const n of [0, 1, 2]) {
      way.state.lose = lose
      assert.deepEqual(await store.write({ at: n, put: entries({ 'a/1': String(n) }), expect: [{ key: 'a/1', value: n === 0 ? undefined : utf8(String(n - 1)) }] }), { moved: false, version: n + 1 })
    }
    assert.deepEqual([way.state.lost, await store.version(), await value(await open())], [3, 3, '2'])
    await store.close()
    way.close()
  })
}

check('the answer is lost and another writes on top: it is still said that the first was made', async ({ open, server, name }) => {
  const [way, other] = [await between(server), await open()]
  const store = await open({ connection: way.connection })
  // The other writes as soon as the first batch is there, before the first store can ask again.
  await server.sql(`CREATE FUNCTION ${name}.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN new; END $$`)
  await server.sql(`CREATE TRIGGER slow BEFORE INSERT ON ${name}.entries FOR EACH ROW WHEN (new.key = 'a/1') EXECUTE FUNCTION ${name}.slow()`)
  way.state.lose = 'asker'
  const first = store.write({ put: entries({ 'a/1': 'one' }) })
  const second = (async () => { for (;;) if (!(await other.write({ expect: [{ key: 'a/1', value: utf8('one') }], put: entries({ 'a/2': 'two' }), delete: ['a/1'] })).moved) return })()
  await second
  assert.deepEqual(await first, { moved: false, version: 0 })
  assert.equal(way.state.lost, 1)
  // Made once: what the other took away has not come back.
  assert.deepEqual((await other.list({ prefix: 'a/' })).map(({ key }) => key), ['a/2'])
  await store.close()
  way.close()
})

check('a write whose asker is gone still waits at the server: the same write, asked again, is made once', async ({ open, name, server }) => {
  const way = await between(server)
  const store = await open({ connection: way.connection })
  const other = await server.client()
  await other.query(`BEGIN; SELECT FROM ${name}.head FOR UPDATE`)
  way.state.lose = 'asker'
  const written = store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
  for (;;) {
    const { rows: [row] } = await other.query<{ waiting: string }>(`SELECT count(DISTINCT pid) AS waiting FROM pg_locks WHERE NOT granted`)
    if (Number(row?.waiting) === 2) break
  }
  await other.query('COMMIT')
  assert.deepEqual(await written, { moved: false, version: 1 })
  await other.end()
  assert.equal(await store.version(), 1)
  assert.equal((await (await open()).load('a')).entries.length, 1)
  await store.close()
  way.close()
})

check('without a server: store.unavailable, also when it goes away; a write without an answer says that it may stand', async ({ open, server }) => {
  const way = await between(server)
  const store = await open({ connection: way.connection, waitMs: 100 })
  await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
  way.state.lose = 'answer'
  const written = store.write({ at: 1, put: entries({ 'a/1': 'y' }) })
  while (way.state.lost === 0) await sleep(1)
  way.close()
  const refusal = await refusalBy(() => written)
  assert.equal(refusal?.code, 'store.unavailable')
  assert.match(refusal.got, /may stand or not/)
  assert.equal(await codeOf(() => store.get('a/1')), 'store.unavailable')
  assert.equal(await codeOf(() => store.write({ at: 1, put: entries({ 'a/1': 'z' }) })), 'store.unavailable')
  assert.equal(await value(await open()), 'y')
})

check('a server that falls silent in the middle is given up; what was written into the silence may stand (row 118)', async ({ open, server }) => {
  const way = await between(server)
  await open()
  const store = await open({ connection: way.connection, waitMs: 500, statementMs: 1_000 })
  await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
  way.state.mute = true
  const refusal = await refusalBy(() => store.write({ at: 1, put: entries({ 'a/1': 'y' }) }))
  assert.equal(refusal?.code, 'store.unavailable')
  assert.match(refusal.got, /may stand or not/)
  assert.equal(await codeOf(() => store.version()), 'store.unavailable')
  delete way.state.mute
  assert.deepEqual([await store.version(), await value(store)], [2, 'y'])
  await store.close()
  way.close()
})

check('a statement that takes too long is ended', async ({ open, name, server }) => {
  await open()
  const store = await open({ statementMs: 1_000 })
  await server.sql(`CREATE FUNCTION ${name}.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN new; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON ${name}.entries FOR EACH ROW EXECUTE FUNCTION ${name}.slow()`)
  assert.equal(await codeOf(() => store.write({ at: 0, put: entries({ 'a/1': 'x' }) })), 'store.locked')
  assert.equal(await store.version(), 0)
})

check('many who ask for the version at once share a question, and none is told an old one', async ({ open, server }) => {
  const way = await between(server)
  const [store, other] = [await open({ connection: way.connection }), await open()]
  way.state.versions = 0
  const first = store.version()
  await other.write({ at: 0, put: entries({ 'a/1': 'x' }) })
  const rest = await Promise.all(Array.from({ length: 50 }, () => store.version()))
  assert.deepEqual([new Set(rest), way.state.versions, await first <= 1], [new Set([1]), 2, true])
  await store.close()
  assert.equal(await codeOf(() => store.version()), 'store.corrupt')
  way.close()
})

check('a connection that is lost while it is new is replaced, and harms nobody', async ({ open, server }) => {
  const way = await between(server)
  way.state.lose = 'check'
  const store = await open({ connection: way.connection })
  assert.deepEqual([way.state.lost, await store.version()], [1, 0])
  await store.close()
  way.close()
})

check('a server that never answers is given up', async ({ open, server }) => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-mute-'))
  const mute = createServer(() => undefined)
  await new Promise<void>(resolve => { mute.listen(join(folder, '.s.PGSQL.5432'), resolve) })
  assert.equal(await codeOf(() => open({ connection: { ...server.connection, host: folder }, waitMs: 100 })), 'store.unavailable')
  mute.close()
  rmSync(folder, { recursive: true })
})

check('a password that is wrong, or missing, is refused and never shown', async ({ open, server }) => {
  const wrong = await refusalBy(() => open({ connection: { ...server.connection, password: 'a wrong secret' } }))
  assert.equal(wrong?.code, 'store.unavailable')
  assert.ok(!JSON.stringify(wrong).includes('secret'))
  const { password, ...without } = server.connection
  const missing = await refusalBy(() => open({ connection: without }))
  assert.deepEqual([missing?.code, missing?.expected], ['store.unavailable', 'a password in the connection'])
  assert.ok(!JSON.stringify(missing).includes(String(password)))
})

for (const setting of ['synchronous_commit = off', 'default_transaction_read_only = on']) {
  check(`a server with ${setting} is refused`, async ({ open, server }) => {
    await server.sql('CREATE ROLE lax LOGIN SUPERUSER PASSWORD \'p\'')
    await server.sql(`ALTER ROLE lax SET ${setting}`)
    const refusal = await refusalBy(() => open({ connection: { ...server.connection, user: 'lax', password: 'p' } }))
    await server.sql('DROP ROLE lax')
    assert.equal(refusal?.code, 'store.unavailable')
  })
}

check('a server with fsync or full_page_writes off is refused, also when it was restarted so', async ({ open, server }) => {
  const store = await open()
  for (const setting of ['fsync', 'full_page_writes']) {
    await server.kill()
    await server.start([`${setting}=off`])
    const refusal = await refusalBy(() => store.version())
    assert.deepEqual([refusal?.code, refusal?.at], ['store.unavailable', `postgres.${setting}`])
  }
}, true)

check('two processes write, both and the server are killed -9 again and again: nothing acknowledged is lost, nothing is half (rows 112, 113)', async ({ open, name, server }) => {
  const file = join(server.folder, 'connection')
  const { host, dbname, user, password } = server.connection
  writeFileSync(file, `host=${host}\ndbname=${dbname}\nuser=${user}\npassword=${password ?? ''}\n`, { mode: 0o600 })
  await open()
  const acknowledged: string[] = []
  let n = 0
  const start = () => {
    const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./postgres.child.ts')), file, name, `w${n++}`], { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface({ input: child.stdout }).on('line', line => { acknowledged.push(line) })
    child.once('exit', code => { if (code !== null) acknowledged.push(`refused: ended with ${code}`) })
    return child
  }
  const ended = (child: ChildProcess) => new Promise(resolve => { child.once('close', resolve); child.kill('SIGKILL') })
  const refused = () => acknowledged.filter(line => line.startsWith('refused'))
  const more = async () => { for (const goal = acknowledged.length + 10; acknowledged.length < goal;) { assert.deepEqual(refused(), []); await sleep(5) } }
  let [one, two] = [start(), start()]
  for (let round = 0; round < 3; round++) {
    await more()
    await server.kill()
    await server.start()
    await more()
    await ended(round % 2 === 0 ? one : two)
    if (round % 2 === 0) one = start()
    else two = start()
  }
  await more()
  await Promise.all([ended(one), ended(two)])
  const store = await open()
  const [{ version }, { entries: kept }] = [await store.load('a'), await store.load('b')]
  assert.deepEqual(refused(), [])
  assert.equal(new Set(acknowledged).size, acknowledged.length)
  const keys = new Set(kept.map(({ key }) => key))
  for (const line of acknowledged) assert.ok(keys.has(`b/${line}`), `${line} was acknowledged`)
  assert.deepEqual([Number(await value(store, 'a/count')), version], [keys.size, keys.size])
  assert.equal(new Set(kept.map(entry => fromUtf8(entry.value))).size, keys.size, 'each on a version of its own')
}, true)

check('a server on another machine is spoken to in TLS, under a certificate that leads to the given one and names it', async ({ open, server }) => {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: server.folder, stdio: ['ignore', 'ignore', 'pipe'] })
  for (const [name, subject] of [['ca', 'ours'], ['other', 'another']] as const) openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${subject}`, '-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', `${name}.key`, '-out', `${name}.pem`)
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=db', '-keyout', 'server.key', '-out', 'server.csr')
  writeFileSync(join(server.folder, 'names'), 'subjectAltName=IP:127.0.0.2')
  openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2', '-extfile', 'names', '-out', 'server.pem')
  const { uid, gid } = statSync(join(server.folder, 'data'))
  chownSync(join(server.folder, 'server.key'), uid, gid)
  const port = await freePort()
  const restart = async (more: readonly string[]) => { await server.kill(); await server.start(['listen_addresses=127.0.0.2,127.0.0.3', ...more], port) }
  writeFileSync(join(server.folder, 'data', 'pg_hba.conf'), 'local all all scram-sha-256\nhost all all 127.0.0.0/8 scram-sha-256\n')
  await restart(['ssl=on', `ssl_cert_file=${server.folder}/server.pem`, `ssl_key_file=${server.folder}/server.key`])
  const pem = (name: string) => readFileSync(join(server.folder, `${name}.pem`), 'utf8')
  const through = (host: string, ca: string) => refusalBy(() => open({ waitMs: 1_000, connection: { ...server.connection, host, ca: pem(ca) } }))
  assert.equal(await through('127.0.0.2', 'ca'), undefined)
  assert.match((await through('127.0.0.2', 'other'))?.got ?? '', /certificate/)
  assert.match((await through('127.0.0.3', 'ca'))?.got ?? '', /127\.0\.0\.3/)
  await restart([])
  assert.match((await through('127.0.0.2', 'ca'))?.got ?? '', /SSL/)
}, true)

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const listener = createServer()
  await new Promise<void>(resolve => { listener.listen(0, '127.0.0.2', resolve) })
  const address = listener.address()
  await new Promise(resolve => { listener.close(resolve) })
  return typeof address === 'object' && address !== null ? address.port : assert.fail('no port')
}
