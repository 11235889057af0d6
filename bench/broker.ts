/**
 * hello + release per second, and where the time goes: the whole gate on SQLite (synchronous=FULL) with a witness that
 * keeps its own SQLite memory, evidence made once per request outside the clock. One asker (latency), then many (commits
 * are shared). The other side of the ratio is the cryptography and the disk that no gate can leave out: three P-384
 * verifications' worth of evidence is measured as such.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toBase64 } from '@cloister/core/bytes/base64'
import { verifyEvidence, parseEvidence } from '@cloister/core/evidence/index'
import { parseCharter } from '@cloister/core/charter/parse'
import { orRefuse } from '@cloister/core/refusal'
import { sealRelease } from '@cloister/core/seal/release'
import { generateSigner, nodePrimitives as p } from '../cloud/crypto/node.ts'
import { attest, newGuest, newWorld, ready, wire, type Asked } from '../cloud/broker/world.fixture.ts'
import { openWitness } from '../cloud/ledger/witness.ts'
import { openSqliteStore } from '../cloud/store/sqlite.ts'

const quick = process.argv.includes('--quick')
const ROUNDS = quick ? 100 : 400

const folder = mkdtempSync(join(tmpdir(), 'cloister-bench-'))
try {
  console.log(JSON.stringify(await bench(), undefined, 2))
} finally {
  rmSync(folder, { recursive: true })
}

async function bench() {
  const world = newWorld({ uses: 10_000_000, seed: 'bench' })
  const memory = openSqliteStore({ path: join(folder, 'witness.db'), key: new Uint8Array(32) })
  const witness = openWitness(p, 'witness.bench', generateSigner('ed25519', world.random(32)), memory)
  const store = openSqliteStore({ path: join(folder, 'broker.db'), key: world.storeKey })
  const broker = await ready(world, await world.open({ store, ledger: { origin: 'log.bench', witnesses: [witness], quorum: 1 } }))

  const hello = async (): Promise<{ ms: number; asked: Asked }> => {
    const body = wire({ nonce: toBase64(world.random(32)), charter: world.lineage })
    const start = performance.now()
    const said = orRefuse(await broker.hello(body))
    const ms = performance.now() - start
    return { ms, asked: attest(world, orRefuse(parseCharter(JSON.stringify(said['charter']))), String(said['nonce']), String(said['head'])) }
  }
  const release = async (asked: Asked): Promise<number> => {
    const body = wire(asked.body)
    const start = performance.now()
    orRefuse(await broker.release(body))
    return performance.now() - start
  }
  const hellos: number[] = []
  const releases: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const { ms, asked } = await hello()
    hellos.push(ms)
    releases.push(await release(asked))
  }
  const together: number[] = []
  const asked = await Promise.all(Array.from({ length: ROUNDS }, async () => (await hello()).asked))
  const start = performance.now()
  for (let at = 0; at < asked.length; at += 64) together.push(...await Promise.all(asked.slice(at, at + 64).map(release)))
  const wall = performance.now() - start
  const evidence = orRefuse(parseEvidence(asked[0]?.body['evidence']))
  const guest = newGuest(world)
  const signer = generateSigner('p256')
  const context = { charter: world.lineage, epoch: 1, nonce: new Uint8Array(32), head: new Uint8Array(32), assets: ['a'] }
  const parts = {
    'verify evidence': time(() => orRefuse(verifyEvidence(p, evidence, { now: world.now }))),
    'seal release (X-Wing, P-256)': time(() => sealRelease(p, signer, guest.seal.publicKey, context, [{ asset: 'a', version: 1, digest: world.lineage, identity: 'x'.repeat(74) }], world.random)),
    'durable commit (SQLite, FULL)': await timeAsync(() => store.write({ put: [{ key: 'bench/x', value: world.random(500) }] })),
  }
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const alone = sum(hellos) + sum(releases)
  return {
    rounds: ROUNDS,
    'one asker': { 'hello+release per second': round(1000 * ROUNDS / alone), hello: percentiles(hellos), release: percentiles(releases) },
    '64 askers': { 'releases per second': round(1000 * ROUNDS / wall), release: percentiles(together) },
    'where the time goes, ms each': Object.fromEntries(Object.entries(parts).map(([name, ms]) => [name, round(ms)])),
    'ratio: release, 64 askers, against evidence verification + sealing alone': round((wall / ROUNDS) / (parts['verify evidence'] + parts['seal release (X-Wing, P-256)'])),
  }
}

function time(body: () => unknown): number {
  const start = performance.now()
  for (let i = 0; i < 50; i++) body()
  return (performance.now() - start) / 50
}

async function timeAsync(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < 50; i++) await body()
  return (performance.now() - start) / 50
}

function percentiles(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
  return { 'p50 ms': at(0.5), 'p99 ms': at(0.99) }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
