/** `npm run conformance -- tlog`: core/log against Go's sumdb, the examples of the specifications, and vectors of others. */
import type { Outcome } from './check.ts'
import { litewitnessChecks, merkleChecks, receiptChecks } from './folders.ts'
import { goChecks } from './go.ts'
import { sampleChecks } from './samples.ts'

export interface TlogOptions { readonly merkle?: string | undefined; readonly receipts?: string | undefined; readonly litewitness: readonly string[]; readonly entries: number }

/** Prints what was found and gives the exit status: 10 when a check failed, 20 when none could be made, else 0. */
export async function runTlog({ merkle, receipts, litewitness, entries }: TlogOptions): Promise<number> {
  const outcomes: readonly Outcome[] = [...await sampleChecks(), ...await goChecks(entries), ...await merkleChecks(merkle), ...await litewitnessChecks(litewitness), ...await receiptChecks(receipts)]
  for (const one of outcomes) console.log(`${one.kind} ${one.name}${one.kind === 'passed' ? '' : `: ${one.why}`}`)
  const count = (kind: Outcome['kind']) => outcomes.filter(one => one.kind === kind).length
  console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`)
  return count('failed') > 0 ? 10 : count('passed') === 0 ? 20 : 0
}
