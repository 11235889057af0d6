/**
 * The transparency log on SQLite (synchronous=FULL) with an embedded witness that keeps its own SQLite memory: durable and
 * witnessed entries per second and the time until a checkpoint contains them, against plain SQLite inserts of the same bytes
 * in transactions of the same size; what an entry costs as the log grows; proofs, made and verified, against the signatures
 * they need; and how long a log takes to be ready after kill -9. Entries of 300 bytes.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { utf8 } from '@cloister/core/bytes/text'
import { verifyProof } from '@cloister/core/log/proof'
import { orRefuse } from '@cloister/core/refusal'
import { generateSigner, importSigner, nodePrimitives as p, nodeRandom } from '../cloud/crypto/node.ts'
import { openLedger } from '../cloud/ledger/ledger.ts'
import { Sequencer } from '../cloud/ledger/sequencer.ts'
import { openWitness } from '../cloud/ledger/witness.ts'
import { openSqliteStore } from '../cloud/store/sqlite.ts'

const quick = process.argv.includes('--quick')
const KEY = new Uint8Array(32)
const ENTRY = 300
const BATCH = 1024
const signer = generateSigner('ed25519', new Uint8Array(32).fill(1))
const clock = () => Math.floor(Date.now() / 1000)
const noise = nodeRandom(1 << 20)
const entryOf = (i: number) => {
  const entry = noise.slice((i * 977) % (noise.length - ENTRY), (i * 977) % (noise.length - ENTRY) + ENTRY)
  new DataView(entry.buffer).setFloat64(0, i)
  return entry
}

async function open(folder: string) {
  // One log, one key, also for the process that is killed.
  const kept = join(folder, 'pq.pem')
  if (!existsSync(kept)) writeFileSync(kept, generateSigner('ml-dsa-44').exportPem(), { mode: 0o600 })
  const pq = importSigner(readFileSync(kept, 'utf8'))
  const [store, memory] = [openSqliteStore({ path: join(folder, 'log.db'), key: KEY }), openSqliteStore({ path: join(folder, 'witness.db'), key: KEY })]
  const witness = openWitness(p, 'witness.bench', generateSigner('ed25519', new Uint8Array(32).fill(2)), memory)
  const ledger = await openLedger({ p, store, origin: 'log.bench', signers: [signer, pq], witnesses: [witness], quorum: 1 })
  return { ledger, store, close: async () => { await store.close(); await memory.close() } }
}

async function bench(): Promise<void> {
  const say = (name: string, value: string) => console.log(`${name.padEnd(58)} ${value}`)
  const log = await open(folder)
  const raw = new DatabaseSync(join(folder, 'raw.db'))
  raw.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE entries (id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT')
  const insert = raw.prepare('INSERT INTO entries (value) VALUES (?)')

  // ---- appends, in turns with plain inserts
  const rounds = quick ? 12 : 60
  const times = { log: [] as number[], raw: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    const entries = Array.from({ length: BATCH }, (_, i) => entryOf(round * BATCH + i))
    let start = performance.now()
    await log.ledger.append(entries)
    orRefuse(await log.ledger.publish(clock()))
    times.log.push(performance.now() - start)
    start = performance.now()
    raw.exec('BEGIN IMMEDIATE')
    for (const entry of entries) insert.run(entry)
    raw.exec('COMMIT')
    times.raw.push(performance.now() - start)
  }
  raw.close()
  const rate = (list: readonly number[]) => BATCH * 1000 / mean(list)
  say(`durable and witnessed, batches of ${BATCH}`, `${rate(times.log).toFixed(0)} /s (aim: 20000); p50 ${median(times.log).toFixed(1)} ms, slowest ${Math.max(...times.log).toFixed(1)} ms`)
  say('plain SQLite inserts of the same bytes, same batches', `${rate(times.raw).toFixed(0)} /s; ratio ${(rate(times.log) / rate(times.raw)).toFixed(2)}`)

  // ---- many askers at once: how long until a checkpoint that was cosigned contains the entry
  const sequencer = new Sequencer(log.ledger, { clock })
  const waits: number[] = []
  const askers = 2000
  const total = quick ? 20_000 : 200_000
  let next = 0
  const started = performance.now()
  await Promise.all(Array.from({ length: askers }, async () => {
    while (next < total) {
      const start = performance.now()
      orRefuse(await sequencer.add(entryOf(next++)))
      waits.push(performance.now() - start)
    }
  }))
  say(`${askers} askers, each waits for its checkpoint`, `${(total * 1000 / (performance.now() - started)).toFixed(0)} /s; integration p50 ${median(waits).toFixed(1)} ms, p99 ${at(waits, 0.99).toFixed(1)} ms (aim: 250)`)

  // ---- growth
  const sizes = quick ? [10_000, 100_000, 300_000] : [10_000, 100_000, 1_000_000, 10_000_000]
  const costs: string[] = []
  for (const size of sizes) {
    await fill(log.ledger, size)
    const start = process.cpuUsage()
    const wall = performance.now()
    for (let i = 0; i < 8; i++) {
      await log.ledger.append(Array.from({ length: BATCH }, (_, k) => entryOf(log.ledger.size() + k)))
      orRefuse(await log.ledger.publish(clock()))
    }
    const used = process.cpuUsage(start)
    costs.push(`${size.toLocaleString('en')}: ${((used.user + used.system) / (8 * BATCH)).toFixed(1)} µs CPU, ${((performance.now() - wall) * 1000 / (8 * BATCH)).toFixed(1)} µs wall`)
  }
  say('an entry costs, at a log of', costs.join(' · '))
  say('bytes on the disk for an entry of 300', (statSync(join(folder, 'log.db')).size / log.ledger.size()).toFixed(0))

  // ---- proofs
  const size = log.ledger.size()
  const places = Array.from({ length: 200 }, (_, i) => (i * 7919) % size)
  const making: number[] = []
  const verifying: number[] = []
  for (const index of places) {
    const entry = await log.ledger.entry(index) ?? utf8('')
    let start = performance.now()
    const proof = orRefuse(await log.ledger.prove(index))
    making.push(performance.now() - start)
    start = performance.now()
    orRefuse(verifyProof(p, entry, proof, log.ledger.policy))
    verifying.push(performance.now() - start)
  }
  const message = new Uint8Array(150)
  const signature = signer.sign(message)
  const once = time(500, () => p.verify('ed25519', signer.publicKey, message, signature))
  const pq = generateSigner('ml-dsa-44')
  const pqSignature = pq.sign(message)
  const post = time(200, () => p.verify('ml-dsa-44', pq.publicKey, message, pqSignature))
  say(`proof in a log of ${size.toLocaleString('en')}, made`, `p50 ${median(making).toFixed(3)} ms`)
  say('verified: three signatures and the path', `p50 ${median(verifying).toFixed(3)} ms (aim: 1); ${(median(verifying) / (2 * once + post)).toFixed(2)} x its two Ed25519 and one ML-DSA-44 verifications`)
  await log.close()

  // ---- recovery after kill -9
  const place = mkdtempSync(join(folder, 'killed-'))
  const target = quick ? 100_000 : 1_000_000
  const filled = await open(place)
  await fill(filled.ledger, target)
  await filled.close()
  await killed(place, 3)
  const begin = performance.now()
  const again = await open(place)
  const ready = performance.now() - begin
  orRefuse(await again.ledger.publish(clock()))
  orRefuse(verifyProof(p, entryOf(target - 1), orRefuse(await again.ledger.prove(target - 1)), again.ledger.policy))
  say(`after kill -9, ${again.ledger.size().toLocaleString('en')} entries: open and checked`, `${ready.toFixed(0)} ms; then witnessed and proven in ${(performance.now() - begin - ready).toFixed(0)} ms`)
  await again.close()
}

async function fill(ledger: { size(): number; append(entries: readonly Uint8Array[]): Promise<number> }, size: number): Promise<void> {
  while (ledger.size() < size) {
    const count = Math.min(8192, size - ledger.size())
    await ledger.append(Array.from({ length: count }, (_, i) => entryOf(ledger.size() + i)))
  }
}

/** A writer killed in the middle of its work, after it has said `lines` sizes. */
function killed(place: string, lines: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), '--writer', place], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = 0
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString().split('\n').length - 1
      if (said >= lines) child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('close', () => resolve())
  })
}

const mean = (list: readonly number[]) => list.reduce((sum, one) => sum + one, 0) / list.length
const at = (list: readonly number[], part: number) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))] ?? 0
const median = (list: readonly number[]) => at(list, 0.5)
function time(count: number, body: () => unknown): number {
  const start = performance.now()
  for (let i = 0; i < count; i++) body()
  return (performance.now() - start) / count
}

if (process.argv.includes('--writer')) {
  // The process that is killed: it appends until then.
  const { ledger } = await open(process.argv.at(-1) ?? '')
  for (;;) {
    await ledger.append(Array.from({ length: BATCH }, (_, i) => entryOf(ledger.size() + i)))
    process.stdout.write(`${ledger.size()}\n`)
  }
}

const folder = mkdtempSync(join(tmpdir(), 'cloister-bench-'))
try {
  await bench()
} finally {
  rmSync(folder, { recursive: true })
}
