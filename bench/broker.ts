/**
 * hello + release per second, and where the time goes: the whole gate on SQLite (synchronous=FULL) and on PostgreSQL (a
 * server of its own, fsync on, over its unix socket), in turns, with a witness that keeps its own SQLite memory, evidence
 * made once per request outside the clock. One asker (latency), then many (commits are shared), then two brokers on one
 * PostgreSQL in turns (each reads what the other wrote). The other side of the ratio is the cryptography and the disk that
 * no gate can leave out; of the stores alone it is plain SQL inserts of the same bytes.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { toBase64 } from '@cloister/core/bytes/base64'
import { verifyEvidence, parseEvidence } from '@cloister/core/evidence/index'
import { parseCharter } from '@cloister/core/charter/parse'
import { orRefuse } from '@cloister/core/refusal'
import { sealRelease } from '@cloister/core/seal/release'
import { generateSigner, nodePrimitives as p } from '../cloud/crypto/node.ts'
import type { Broker } from '../cloud/broker/broker.ts'
import { attest, newGuest, newWorld, ready, wire, type Asked, type World } from '../cloud/broker/world.fixture.ts'
import { openWitness } from '../cloud/ledger/witness.ts'
import { newServer, withoutPostgres, type Server } from '../cloud/store/postgres.fixture.ts'
import { openPostgresStore } from '../cloud/store/postgres.ts'
import { openSqliteStore } from '../cloud/store/sqlite.ts'
import type { Store } from '../cloud/store/store.ts'

const quick = process.argv.includes('--quick')
const ROUNDS = quick ? 60 : 400
const WRITES = quick ? 100 : 500
/** A release writes about so much: a debit, a clock, a nonce, a session, an entry of the log, its checkpoint. */
const ROWS = 6
const BYTES = 400

const folder = mkdtempSync(join(tmpdir(), 'cloister-bench-'))
const server = withoutPostgres === undefined ? await newServer() : undefined
try {
  console.log(JSON.stringify({ ...await gates(), ...await stores() }, undefined, 2))
} finally {
  await server?.remove()
  rmSync(folder, { recursive: true })
}

/** A broker, and what it took. */
interface Gate { readonly world: World; readonly broker: Broker; readonly hellos: number[]; readonly releases: number[]; readonly together: number[]; wall: number }

async function gate(name: string, open: (key: Uint8Array) => Promise<Store>, shared?: World): Promise<Gate> {
  const world = shared ?? newWorld({ uses: 10_000_000, seed: 'bench', edit: charter => { charter['name'] = 'bench' } })
  const memory = openSqliteStore({ path: join(folder, `${name.replace(/ .*/, '')}-witness.db`), key: new Uint8Array(32) })
  const witness = openWitness(p, 'witness.bench', generateSigner('ed25519', new Uint8Array(32).fill(9)), memory)
  const opened = world.open({ store: await open(world.storeKey), ledger: { origin: 'log.bench', witnesses: [witness], quorum: 1 } })
  return { world, broker: shared === undefined ? await ready(world, opened) : await opened, hellos: [], releases: [], together: [], wall: 0 }
}

async function gates() {
  const sqlite = await gate('sqlite', async key => openSqliteStore({ path: join(folder, 'broker.db'), key }))
  const onServer = ({ connection }: Server) => (key: Uint8Array) => openPostgresStore({ connection, name: 'broker', key })
  const postgres = server === undefined ? undefined : await gate('postgres', onServer(server))
  const second = server === undefined || postgres === undefined ? undefined : await gate('postgres again', onServer(server), postgres.world)
  const sides = [sqlite, ...(postgres === undefined ? [] : [postgres])]
  for (let i = 0; i < ROUNDS; i++) for (const side of sides) await alone(side)
  for (const side of sides) await together(side)
  const turns: Gate[] = postgres === undefined || second === undefined ? [] : [{ ...postgres, hellos: [], releases: [] }, second]
  for (let i = 0; i < ROUNDS / 2; i++) for (const side of turns) await alone(side)
  const shown = (side: Gate) => ({
    'one asker': { 'hello+release per second': round(1000 * ROUNDS / (sum(side.hellos) + sum(side.releases))), hello: percentiles(side.hellos), release: percentiles(side.releases) },
    '64 askers': { 'releases per second': round(1000 * ROUNDS / side.wall), release: percentiles(side.together) },
  })
  const both = turns.flatMap(side => [...side.hellos, ...side.releases])
  const parts = cryptography(sqlite)
  const floor = parts['verify evidence'] + parts['seal release (X-Wing, P-256)']
  return {
    rounds: ROUNDS, SQLite: shown(sqlite),
    ...(postgres === undefined ? { PostgreSQL: withoutPostgres } : {
      PostgreSQL: shown(postgres),
      'two brokers on one PostgreSQL, in turns': { 'hello+release per second': round(1000 * ROUNDS / sum(both)) },
      'ratio: PostgreSQL against SQLite, one asker': round((sum(sqlite.hellos) + sum(sqlite.releases)) / (sum(postgres.hellos) + sum(postgres.releases))),
      'ratio: PostgreSQL against SQLite, 64 askers': round(sqlite.wall / postgres.wall),
    }),
    'where the time goes, ms each': Object.fromEntries(Object.entries(parts).map(([name, ms]) => [name, round(ms)])),
    'ratio: release on SQLite, 64 askers, against evidence verification + sealing alone': round((sqlite.wall / ROUNDS) / floor),
  }
}

async function alone(side: Gate): Promise<void> {
  const { ms, asked } = await hello(side)
  side.hellos.push(ms)
  side.releases.push(await release(side, asked))
}

async function together(side: Gate): Promise<void> {
  const asked: Asked[] = []
  while (asked.length < ROUNDS) asked.push(...await Promise.all(Array.from({ length: Math.min(64, ROUNDS - asked.length) }, async () => (await hello(side)).asked)))
  const start = performance.now()
  for (let at = 0; at < asked.length; at += 64) side.together.push(...await Promise.all(asked.slice(at, at + 64).map(one => release(side, one))))
  side.wall = performance.now() - start
}

async function hello({ world, broker }: Gate): Promise<{ ms: number; asked: Asked }> {
  const body = wire({ nonce: toBase64(world.random(32)), charter: world.lineage })
  const start = performance.now()
  const said = orRefuse(await broker.hello(body))
  const ms = performance.now() - start
  return { ms, asked: attest(world, orRefuse(parseCharter(JSON.stringify(said['charter']))), String(said['nonce']), String(said['head'])) }
}

async function release({ broker }: Gate, asked: Asked): Promise<number> {
  const body = wire(asked.body)
  const start = performance.now()
  orRefuse(await broker.release(body))
  return performance.now() - start
}

function cryptography({ world }: Gate) {
  const asked = attest(world, world.charter, toBase64(new Uint8Array(32)), `log.bench\n0\n${toBase64(new Uint8Array(32))}\n\n— log.bench ${toBase64(new Uint8Array(68))}\n`)
  const evidence = orRefuse(parseEvidence(asked.body['evidence']))
  const guest = newGuest(world)
  const signer = generateSigner('p256')
  const context = { charter: world.lineage, epoch: 1, nonce: new Uint8Array(32), head: new Uint8Array(32), assets: ['a'] }
  return {
    'verify evidence': time(() => orRefuse(verifyEvidence(p, evidence, { now: world.now }))),
    'seal release (X-Wing, P-256)': time(() => sealRelease(p, signer, guest.seal.publicKey, context, [{ asset: 'a', version: 1, digest: world.lineage, identity: 'x'.repeat(74) }], world.random)),
  }
}

/** Durable writes a second, one after another, in turns with plain inserts of the same bytes in the same database. */
async function stores() {
  const key = new Uint8Array(32)
  const value = new Uint8Array(BYTES).fill(0x5a)
  const bytes = new Uint8Array(ROWS * BYTES).fill(0x5a)
  const db = new DatabaseSync(join(folder, 'plain.db'))
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE plain (id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT')
  const insert = db.prepare('INSERT INTO plain (value) VALUES (?)')
  const sides = [{ name: 'SQLite', store: openSqliteStore({ path: join(folder, 'store.db'), key }), plain: async () => { insert.run(bytes) } }]
  const client = await server?.client()
  if (server !== undefined && client !== undefined) {
    await client.query('CREATE TABLE plain (id bigserial PRIMARY KEY, value bytea NOT NULL)')
    const plain = async () => { await client.query({ name: 'plain', text: 'INSERT INTO plain (value) VALUES ($1)', values: [bytes] }) }
    sides.push({ name: 'PostgreSQL', store: await openPostgresStore({ connection: server.connection, name: 'bench', key }), plain })
  }
  const result: Record<string, unknown> = {}
  for (const { name, store, plain } of sides) {
    const [ours, theirs]: [number[], number[]] = [[], []]
    for (let i = 0; i < WRITES; i++) {
      ours.push(await timeAsync(() => store.write({ at: i, put: Array.from({ length: ROWS }, (_, row) => ({ key: row < 2 ? `bench/${row}` : `bench/${i}-${row}`, value })) })))
      theirs.push(await timeAsync(plain))
    }
    result[`the store alone on ${name}, ${ROWS} rows of ${BYTES} bytes`] = { 'durable writes per second': round(1000 * WRITES / sum(ours)), 'plain inserts of the same bytes per second': round(1000 * WRITES / sum(theirs)), ratio: round(sum(theirs) / sum(ours)), write: percentiles(ours), plain: percentiles(theirs) }
    await store.close()
  }
  db.close()
  await client?.end()
  return result
}

function time(body: () => unknown): number {
  const start = performance.now()
  for (let i = 0; i < 50; i++) body()
  return (performance.now() - start) / 50
}

async function timeAsync(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await body()
  return performance.now() - start
}

function percentiles(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
  return { 'p50 ms': at(0.5), 'p99 ms': at(0.99) }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
