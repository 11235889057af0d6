/**
 * `npm run sim -- --seeds N [--from S]` lives N lives; `--seed S` replays one and prints what happened in it. A life that
 * breaks an invariant prints its seed, and the process ends with status 1.
 */
import { parseArgs } from 'node:util'
import { checkInvariants } from './invariants.ts'
import { live, type Sim } from './world.ts'

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '200' }, from: { type: 'string', default: '1' }, seed: { type: 'string' } } })
const first = Number(values.seed ?? values.from)
const count = values.seed === undefined ? Number(values.seeds) : 1
const outcomes = new Map<string, number>()
const failed: number[] = []

for (let seed = first; seed < first + count; seed++) {
  let last: Sim | undefined
  try {
    const sim = await live(seed, now => { last = now; return checkInvariants(now) })
    for (const line of sim.trace) outcomes.set(line.split(':')[0] ?? '', (outcomes.get(line.split(':')[0] ?? '') ?? 0) + 1)
    if (values.seed !== undefined) console.log(sim.trace.join('\n'))
    outcomes.set('keys that left', (outcomes.get('keys that left') ?? 0) + sim.seen.released.length)
  } catch (error) {
    failed.push(seed)
    console.log(`seed ${seed} failed: ${error instanceof Error ? error.message : String(error)}\n${last?.trace.map(line => `  ${line}`).join('\n') ?? ''}\nreplay: npm run sim -- --seed ${seed}`)
  }
}
console.log(JSON.stringify({ seeds: count, failed, outcomes: Object.fromEntries([...outcomes].sort()) }))
process.exitCode = failed.length === 0 ? 0 : 1
