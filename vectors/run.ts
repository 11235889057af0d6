/**
 * Judges every case of a manifest of evidence (`npm run vectors -- MANIFEST.json`): one JSON line a case with `id`,
 * `verdict`, the fields that differ from what the case expects, and the refusal; then `N passed, M failed`. A kind that no
 * verifier here knows is `unsupported`: it is counted apart and never as passed. `--times` names the ten slowest cases.
 *
 * A case passes when a strict default policy accepts exactly what it should: `accept` is accepted, `reject` and `policy`
 * are not, `parse` is read with the fields that the case names.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { attempt } from '@cloister/core/refusal'
import { judged, type Case, type Judgement } from './judge/eventlog.ts'
import { JUDGES } from './judge/index.ts'

const manifest = process.argv.slice(2).find(one => !one.startsWith('--'))
const withTimes = process.argv.includes('--times')
if (manifest === undefined) {
  console.error('usage: npm run vectors -- MANIFEST.json [--times]')
  process.exit(30)
}
const folder = dirname(manifest)
// The manifest's form is documented beside it; a file of another form fails on its first missing field.
const { cases } = JSON.parse(readFileSync(manifest, 'utf8')) as { cases: readonly Case[] }
/** What may come out for each expectation. */
const FITTING: Readonly<Record<string, readonly Judgement['verdict'][]>> = { accept: ['accept'], reject: ['reject'], policy: ['reject'], parse: ['parse', 'accept'] }

const times: { id: string; ms: number }[] = []
const count = { passed: 0, failed: 0, unsupported: 0 }
for (const one of cases) {
  const started = performance.now()
  const { verdict, differs, refusal } = judge(one)
  times.push({ id: one.id, ms: performance.now() - started })
  const good = (FITTING[one.expect.verdict] ?? []).includes(verdict) && differs.length === 0
  count[verdict === 'unsupported' ? 'unsupported' : good ? 'passed' : 'failed']++
  console.log(JSON.stringify({ id: one.id, verdict, ...(differs.length === 0 ? {} : { differs }), ...(refusal === undefined ? {} : { refusal }) }))
}
if (withTimes) for (const { id, ms } of times.toSorted((a, b) => b.ms - a.ms).slice(0, 10)) console.error(`${ms.toFixed(1).padStart(7)} ms  ${id}`)
if (count.unsupported > 0) console.log(`${count.unsupported} unsupported`)
console.log(`${count.passed} passed, ${count.failed} failed`)
process.exitCode = count.failed > 0 ? 10 : count.passed === 0 ? 20 : 0

function judge(one: Case): Judgement {
  const judgeOf = JUDGES[one.tee]
  if (judgeOf === undefined) return judged('unsupported', [])
  const result = attempt(() => judgeOf(one, path => new Uint8Array(readFileSync(join(folder, path)))))
  return result.ok ? result.value : judged('reject', [], result.refusal)
}
