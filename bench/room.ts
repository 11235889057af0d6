/**
 * The room against plain DuckDB: three insurers' claims, the reviewed queries, in one run.
 *
 *   node --conditions=source bench/room.ts [--quick] [--claims N] [--rounds N]
 *
 * Room: three age files are decrypted, checked, loaded, queried, cut by the output rules, with noise and case numbers.
 * Plain: the plaintext files are loaded into the same table and the same queries are read out; nothing is protected.
 * Both end with the database closed. Each round runs both, each in a process of its own. Memory is the highest sum of resident memory and /dev/shm, sampled.
 * Targets: at most 1.3 × the time and 1.5 × the memory.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { orRefuse } from '@cloister/core/refusal'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { nodePrimitives, nodeRandom } from '../cloud/crypto/node.ts'
import { runSql } from '../cloud/guest/engines/sql/index.ts'
import { parseProgram } from '../cloud/guest/engines/sql/program.ts'
import { COLUMNS, insertSql, MACROS, SQL_TYPES, tableSql } from '../cloud/guest/engines/sql/shape.ts'
import { openFile, sealFile } from '../cloud/seal/age-file.ts'
import { generate, INSURERS } from '../examples/insurance-fraud/generate.ts'

const TARGETS = { time: 1.3, memory: 1.5 }
const THREADS = 2
const PROGRAM = join(import.meta.dirname, '../examples/insurance-fraud/queries.sql')
type Side = 'plain' | 'room'
interface Measured { readonly ms: number; readonly megabytes: number; readonly matches: number }

async function bench(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, claims: { type: 'string' }, rounds: { type: 'string' }, side: { type: 'string' }, folder: { type: 'string' }, identity: { type: 'string' } } })
  if (values.side !== undefined) return child(values.side === 'room' ? room : plain, values.folder ?? '', values.identity ?? '')
  const claims = Number(values.claims ?? (values.quick ? 100_000 : 1_000_000))
  const folder = mkdtempSync(join(tmpdir(), 'cloister-bench-'))
  try {
    await compare(folder, claims, Number(values.rounds ?? 3))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function compare(folder: string, claims: number, rounds: number): Promise<void> {
  print(`room: 3 × ${claims.toLocaleString('en')} claims, ${THREADS} threads, ${rounds} rounds`)
  const { files } = generate({ claims, seed: 'bench', out: folder })
  // A throw-away key for throw-away data; it may stand on a command line.
  const { identity, recipient } = generateIdentity(nodePrimitives, 'hybrid', nodeRandom)
  for (const file of Object.values(files)) orRefuse(sealFile(file, `${file}.age`, [recipient]))
  // Both sides find their files in the page cache.
  for (const file of Object.values(files)) readFileSync(file)
  const results: Record<Side, Measured[]> = { plain: [], room: [] }
  for (let round = 0; round < rounds; round++) {
    for (const side of ['plain', 'room'] as const) {
      const measured = await measure(side, folder, identity)
      results[side].push(measured)
      print(`  ${side.padEnd(5)} ${(measured.ms / 1000).toFixed(2)} s  ${measured.megabytes.toFixed(0)} MB  ${measured.matches} matches`)
    }
  }
  if (new Set(Object.values(results).flat().map(({ matches }) => matches)).size !== 1) throw new Error('the two sides found different matches')
  const ratio = (key: 'ms' | 'megabytes') => median(results.room.map(m => m[key])) / median(results.plain.map(m => m[key]))
  print(`room / plain DuckDB: time ${ratio('ms').toFixed(2)} (target ${TARGETS.time}), memory ${ratio('megabytes').toFixed(2)} (target ${TARGETS.memory})`)
}

/** One side in a process of its own; this process only watches its memory. */
async function measure(side: Side, folder: string, identity: string): Promise<Measured> {
  const running = spawn(process.execPath, [...process.execArgv, import.meta.filename, '--side', side, '--folder', folder, '--identity', identity], { stdio: ['ignore', 'pipe', 'inherit'] })
  const before = sharedBytes()
  let peak = 0
  const watch = setInterval(() => { peak = Math.max(peak, residentBytes(running.pid) + sharedBytes() - before) }, 10)
  let text = ''
  running.stdout.on('data', (chunk: Buffer) => { text += chunk.toString() })
  const code = await new Promise(resolve => running.on('close', resolve))
  clearInterval(watch)
  if (code !== 0) throw new Error(`${side} ended with ${String(code)}`)
  const { ms, matches } = JSON.parse(text) as { ms: number; matches: number } // printed by `child` below
  return { ms, matches, megabytes: peak / 1e6 }
}

async function child(side: (folder: string, identity: string) => Promise<number>, folder: string, identity: string): Promise<void> {
  const start = performance.now()
  const matches = await side(folder, identity)
  process.stdout.write(JSON.stringify({ ms: performance.now() - start, matches }))
}

async function room(folder: string, identity: string): Promise<number> {
  const everyone = [...INSURERS]
  const result = orRefuse(await runSql({
    p: nodePrimitives, program: readFileSync(PROGRAM), random: nodeRandom, roomKey: nodeRandom(32), threads: THREADS, memoryBytesMax: 8e9,
    inputs: INSURERS.map(owner => ({ asset: `${owner}-claims`, owner, open: sink => openFile(join(folder, `${owner}.csv.age`), { identities: [identity] }, sink) })),
    outputs: [{ to: everyone, shape: 'rows', about: 'own' }, { to: everyone, shape: 'aggregate', atLeast: 10, epsilon: 0.5 }],
  }))
  return Object.values(result.counts).reduce((sum, { cases }) => sum + cases, 0)
}

/** The same table, view and queries. What it reads out it also puts together, as far as comparing the two needs. */
async function plain(folder: string): Promise<number> {
  const program = parseProgram(readFileSync(PROGRAM))
  const instance = await DuckDBInstance.create(':memory:', { threads: String(THREADS) })
  const connection = await instance.connect()
  for (const statement of [...MACROS, ...tableSql(INSURERS)]) await connection.run(statement)
  const columns = COLUMNS.map(({ name, type }) => `'${name}': '${SQL_TYPES[type]}'`).join(', ')
  for (const owner of INSURERS) await connection.run(insertSql(owner, `read_csv('${join(folder, owner)}.csv', auto_detect=false, header=true, columns={${columns}})`))
  for (const view of program.views) await connection.run(`create table ${view.name} as ${view.sql}`)
  const cases = new Set<string>()
  const rings = new Map<string, Set<string>>()
  for (const output of program.outputs) {
    const [first = [], second = []] = (await connection.runAndReadAll(output.sql)).getColumnsJS()
    for (const [i, value] of first.entries()) {
      if (output.kind === 'pairs') cases.add([String(value), String(second[i])].sort().join())
      if (output.kind === 'rings') rings.set(String(value), (rings.get(String(value)) ?? new Set()).add(String(second[i])))
    }
  }
  const members = [...new Set([...rings.values()].flatMap(claims => [...claims]))]
  const insurers = await connection.runAndReadAll(`select claim, insurer::varchar from claims where claim in (${members.join()})`)
  const ownerOf = new Map(insurers.getRowsJS().map(([claim, insurer]) => [String(claim), String(insurer)]))
  for (const claims of rings.values()) if (new Set([...claims].map(claim => ownerOf.get(claim))).size >= 3) cases.add([...claims].sort().join())
  connection.closeSync()
  instance.closeSync()
  return [...cases].reduce((sum, key) => sum + key.split(',').length, 0)
}

function residentBytes(pid: number | undefined): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid ?? 0}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

function sharedBytes(): number {
  const { bsize, blocks, bfree } = statfsSync('/dev/shm')
  return (blocks - bfree) * bsize
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

await bench()
