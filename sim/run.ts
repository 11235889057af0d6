/**
 * `npm run sim -- --seeds N [--from S]` lives N lives on all cores and says what happened in them; `--seed S` replays one
 * with its trace (`--without 3,7` leaves steps of its plan out); `--planted` looks for every planted bug and every open
 * weakness. A life that breaks an invariant prints its seed, the fewest steps that still break it, and the trace; the
 * process then ends with status 1.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { live, type Life, type LifeOptions } from './life.ts'
import { OPEN, PLANTED, type Named } from './planted.ts'

interface Range { readonly from: number; readonly to: number; readonly step: number }
interface Report { readonly lives: number; readonly failed: readonly number[]; readonly counts: readonly (readonly [string, number])[] }

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seeds: { type: 'string', default: '200' }, from: { type: 'string', default: '1' }, seed: { type: 'string' }, without: { type: 'string' }, planted: { type: 'boolean', default: false } } })
  const good = values.planted ? await planted() : values.seed === undefined ? await lives(Number(values.from), Number(values.seeds)) : await replay(Number(values.seed), numbers(values.without))
  process.exitCode = good ? 0 : 1
}

function numbers(text = ''): ReadonlySet<number> {
  return new Set(text.split(',').filter(one => one !== '').map(Number))
}

/** Every core takes each n-th seed. */
async function lives(from: number, count: number): Promise<boolean> {
  const started = performance.now()
  const cores = availableParallelism()
  const reports = await Promise.all(Array.from({ length: cores }, (_, i) => new Promise<Report>((resolve, reject) => {
    new Worker(new URL(import.meta.url), { workerData: { from: from + i, to: from + count, step: cores } satisfies Range }).on('message', resolve).on('error', reject)
  })))
  const counts = new Map<string, number>()
  for (const [what, n] of reports.flatMap(report => report.counts)) counts.set(what, (counts.get(what) ?? 0) + n)
  const failed = reports.flatMap(report => report.failed).sort((a, b) => a - b)
  for (const [what, n] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${String(n).padStart(10)}  ${what}`)
  for (const seed of failed.slice(0, SHOWN_MAX)) await explain(seed)
  console.log(JSON.stringify({ seeds: count, failed, seconds: Math.round((performance.now() - started) / 1000) }))
  return failed.length === 0
}

/** The lives of one worker. */
async function many({ from, to, step }: Range): Promise<Report> {
  const counts = new Map<string, number>()
  const add = (what: string, n: number) => counts.set(what, (counts.get(what) ?? 0) + n)
  const failed: number[] = []
  let done = 0
  for (let seed = from; seed < to; seed += step, done++) {
    const { sim, failure } = await live(seed)
    for (const [what, n] of sim.counts) add(what, n)
    add('events', sim.scheduler.events)
    add('keys that left', sim.judge.keysLeft)
    if (failure === undefined) continue
    failed.push(seed)
    console.log(`seed ${seed} failed: ${failure.slice(0, 500)}\nreplay: npm run sim -- --seed ${seed}`)
  }
  return { lives: done, failed, counts: [...counts] }
}

async function replay(seed: number, without: ReadonlySet<number>): Promise<boolean> {
  const life = await live(seed, { without })
  tell(life)
  return life.failure === undefined
}

function tell({ sim, failure }: Life): void {
  console.log(sim.trace.join('\n'))
  console.log(failure === undefined ? 'every invariant held' : `FAILED: ${failure}`)
}

/** The fewest steps that still break the same thing, and their trace. */
async function explain(seed: number, options: LifeOptions = {}): Promise<void> {
  const without = await shrunk(seed, options)
  const left = [...without].sort((a, b) => a - b).join(',')
  console.log(`\nseed ${seed}, without steps ${left}:`)
  tell(await live(seed, { ...options, without }))
  console.log(`replay: npm run sim -- --seed ${seed}${left === '' ? '' : ` --without ${left}`}`)
}

/** Leave out one step after the other, as long as the life still fails. */
async function shrunk(seed: number, options: LifeOptions): Promise<Set<number>> {
  const without = new Set<number>()
  const { steps } = await live(seed, options)
  for (let index = 0; index < steps; index++) {
    const life = await live(seed, { ...options, without: new Set([...without, index]) })
    if (life.failure !== undefined) without.add(index)
  }
  return without
}

/** Each planted bug must be found within its number of seeds; an open weakness that is not is mended, and need not be spared. */
async function planted(): Promise<boolean> {
  const search = async (kind: string, { name, within, plant }: Named): Promise<boolean> => {
    for (let seed = 1; seed <= within; seed++) {
      const { failure } = await live(seed, { plant })
      if (failure === undefined) continue
      console.log(`${kind}: ${name}\n  seed ${seed} of ${within}: ${failure.split('\n')[0]?.slice(0, 200)}`)
      return true
    }
    console.log(`${kind}: ${name}\n  NOT FOUND within ${within} seeds`)
    return false
  }
  const missed: string[] = []
  for (const one of PLANTED) if (!await search('planted', one)) missed.push(one.name)
  const mended: string[] = []
  for (const one of OPEN) if (!await search('open', one)) mended.push(one.name)
  console.log(JSON.stringify({ planted: PLANTED.length, missed, open: OPEN.length - mended.length, mended }))
  return missed.length === 0
}

const SHOWN_MAX = 3

if (isMainThread) await main()
else parentPort?.postMessage(await many(workerData as Range)) // given by `lives`
