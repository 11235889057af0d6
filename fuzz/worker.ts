/** A worker of `run.ts`: judges the inputs of one job, and says in shared memory which one it is at. */
import { parentPort, workerData } from 'node:worker_threads'
import { flips } from './flips.ts'
import type { Done, Job } from './run.ts'
import { probe, tally } from './target.ts'
import { targets } from './targets/index.ts'

const at = workerData as Float64Array // what run.ts hands over
parentPort?.on('message', (job: Job) => {
  const target = targets.find(one => one.name === job.target)
  const found = tally()
  const started = performance.now()
  const beat = (seed: number) => { at[0] = seed; at[1] = (at[1] ?? 0) + 1 }
  if (target !== undefined && job.flips) flips(target, found, beat)
  else if (target !== undefined) for (let seed = job.from; seed < job.from + job.count; seed++) { beat(seed); probe(target, seed, found) }
  parentPort?.postMessage({ job, tally: found, ms: performance.now() - started } satisfies Done)
})
