/**
 * `npm run fuzz [-- NAME…] [--inputs N] [--seed S] [--workers W] [--flips] [--list]`: N inputs (a million, or for judges
 * that check signatures as many as fit) for each target, seeds S, S + 1, …, on at most two workers. A failing input prints
 * its seed and its bytes; `--seed S --inputs 1` replays it. An input that hangs is found from outside and named.
 * `--flips` instead turns every single bit of every valid signed input. Status 0 when everything held, 1 otherwise.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { tally, type Finding, type Tally } from './target.ts'
import { targets } from './targets/index.ts'

export interface Job { readonly target: string; readonly from: number; readonly count: number; readonly flips: boolean }
export interface Done { readonly job: Job; readonly tally: Tally; readonly ms: number }

const HANG_MS = 10_000
const FINDINGS_SHOWN = 5

const { values, positionals } = parseArgs({ allowPositionals: true, options: { inputs: { type: 'string', default: '1000000' }, seed: { type: 'string' }, workers: { type: 'string', default: '2' }, flips: { type: 'boolean', default: false }, list: { type: 'boolean', default: false } } })
const chosen = targets.filter(one => positionals.length === 0 || positionals.includes(one.name))
const unknown = positionals.filter(name => !targets.some(one => one.name === name))
if (unknown.length > 0 || values.list) {
  console.log(`${unknown.length > 0 ? `unknown: ${unknown.join(', ')}; ` : ''}targets: ${targets.map(one => one.name).join(' ')}`)
  process.exit(unknown.length > 0 ? 30 : 0)
}
const inputs = Number(values.inputs)
const first = values.seed === undefined ? randomInt(2 ** 40) : Number(values.seed)
const workers = Math.min(2, Math.max(1, Number(values.workers)))
const everything = chosen.filter(one => !values.flips || one.signed !== undefined)
/** Slow ones in small pieces, so that the hang of one is seen and two workers end together. */
const jobs: Job[] = everything.flatMap(target => pieces(target.slow === true ? 500 : 20_000, values.flips ? 1 : inputs).map(([from, count]) => ({ target: target.name, from: first + from, count, flips: values.flips })))
const totals = new Map(everything.map(target => [target.name, { ...tally(), ms: 0, left: jobs.filter(job => job.target === target.name).length }]))
const started = performance.now()
let failed = false

console.log(`${everything.length} targets, ${values.flips ? 'every bit' : `${inputs} inputs each`}, seed ${first}, ${workers} workers`)
await Promise.all(Array.from({ length: workers }, () => work()))
progress('')
const total = [...totals.values()].reduce((sum, one) => sum + one.inputs, 0)
console.log(`${total} inputs in ${seconds(performance.now() - started)}, ${failed ? 'FAILED' : 'everything held'}; seed ${first}`)
process.exitCode = failed ? 1 : 0

function pieces(size: number, count: number): [number, number][] {
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => [i * size, Math.min(size, count - i * size)])
}

/** One worker takes jobs until none is left; a worker that hangs is ended, its input named, and another takes over. */
async function work(): Promise<void> {
  const at = new Float64Array(new SharedArrayBuffer(16))
  let worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: at })
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    const done = await run(worker, at, job)
    if (done === undefined) {
      finding({ target: job.target, seed: at[0] ?? -1, what: `no answer within ${HANG_MS / 1000} s`, hex: '' })
      await worker.terminate()
      worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: at })
    } else add(done)
  }
  await worker.terminate()
}

function run(worker: Worker, at: Float64Array, job: Job): Promise<Done | undefined> {
  return new Promise((resolve, reject) => {
    let [seen, since] = [-1, performance.now()]
    const timer = setInterval(() => {
      const count = at[1] ?? 0
      if (count !== seen) [seen, since] = [count, performance.now()]
      else if (performance.now() - since > HANG_MS) end(undefined)
    }, 500)
    const end = (done: Done | undefined): void => {
      clearInterval(timer)
      worker.off('message', end)
      worker.off('error', broken)
      resolve(done)
    }
    const broken = (error: unknown) => { clearInterval(timer); reject(new Error(`the harness itself failed at ${job.target} seed ${at[0]}`, { cause: error })) }
    worker.on('message', end)
    worker.on('error', broken)
    worker.postMessage(job)
  })
}

function add({ job, tally: one, ms }: Done): void {
  const sum = totals.get(job.target)
  if (sum === undefined) return
  sum.inputs += one.inputs
  sum.accepted += one.accepted
  sum.ms += ms
  sum.left--
  if (one.slowestMs > sum.slowestMs) Object.assign(sum, { slowestMs: one.slowestMs, slowestSeed: one.slowestSeed })
  for (const [code, count] of one.codes) sum.codes.set(code, (sum.codes.get(code) ?? 0) + count)
  for (const found of one.findings) { sum.findings.push(found); if (sum.findings.length <= FINDINGS_SHOWN) finding(found) }
  const rate = sum.inputs / sum.ms * 1000
  if (sum.left > 0) return progress(`${job.target} ${sum.inputs} of ${inputs}, ${rate.toFixed(0)}/s, ${jobs.length} pieces left`)
  progress('')
  console.log(`${sum.findings.length === 0 ? 'ok' : 'FAILED'} ${job.target}: ${sum.inputs} inputs, ${rate.toFixed(0)}/s (a million: ${seconds(1e9 / rate)}), ${sum.accepted} accepted, slowest ${sum.slowestMs.toFixed(1)} ms (seed ${sum.slowestSeed}), ${sum.codes.size} codes${sum.findings.length > 0 ? `, ${sum.findings.length} findings` : ''}`)
}

function finding(found: Finding): void {
  failed = true
  progress('')
  console.log(`FOUND ${found.target} seed ${found.seed}: ${found.what}\n  replay: npm run fuzz -- ${found.target} ${values.flips ? '--flips' : `--seed ${found.seed} --inputs 1`}${found.hex === '' ? '' : `\n  input: ${found.hex}`}`)
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`)
}

function seconds(ms: number): string {
  return ms < 120_000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`
}
