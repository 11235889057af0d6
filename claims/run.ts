/**
 * `npm run claims`: the promises of THREATS.md, each tried out by a program. A line per claim for people, `--json` for
 * programs; `--self-test` leaks on purpose, everywhere, and expects to be found out. Exit 0 when all are intact.
 */
import { parseArgs } from 'node:util'
import type { ClaimOutcome } from './claim.ts'
import { providerSeesNothing } from './provider-sees-nothing.ts'
import { PLANTS } from './room.ts'

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, 'self-test': { type: 'boolean', default: false } } })
const say = (text: string) => process.stderr.write(`${text}\n`)
let good = true

if (values['self-test']) {
  for (const plant of PLANTS) {
    const outcome = await providerSeesNothing({ plant })
    const found = outcome.result === 'falsified'
    good &&= found
    say(`${found ? '✔' : '✘'} a leak into ${plant} is ${found ? `found: ${outcome.findings[0]?.where ?? ''} (${outcome.findings[0]?.encoding ?? ''})` : `not found: ${outcome.result} ${outcome.notes.join('; ')}`}`)
  }
} else {
  const outcomes = [await providerSeesNothing()]
  for (const outcome of outcomes) show(outcome)
  good = outcomes.every(({ result }) => result === 'intact')
  if (values.json) process.stdout.write(`${JSON.stringify({ claims: outcomes })}\n`)
}
process.exitCode = good ? 0 : 1

function show({ claim, result, findings, looked, notes }: ClaimOutcome): void {
  say(`${result === 'intact' ? '✔' : result === 'falsified' ? '✘' : '?'} ${claim}: ${result}`)
  for (const { what, where, encoding } of findings.slice(0, 20)) say(`    found ${what} as ${encoding} in ${where}`)
  say(`    looked: ${Object.entries(looked).map(([kind, number]) => `${number.toLocaleString('en')} ${kind}`).join(', ')}`)
  for (const note of notes) say(`    note: ${note}`)
}
