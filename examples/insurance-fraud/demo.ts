/**
 * The main job on one machine, as `npm start`: three insurers' claims are made up, sealed, matched in a guest on simulated
 * silicon, and the receipt is verified again from its file, as an auditor would. Ends with status 0 only if all of it held.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { main } from 'cloister/cli/main'
import { generate } from './generate.ts'

const folder = join(process.cwd(), '.cloister', 'demo')
const here = import.meta.dirname

console.error('Three insurers, one room. Claims are made up; machines are SIMULATED.\n')
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const { files } = generate({ claims: 10_000, seed: '2026', out: folder, quiet: true })
const data = Object.entries(files).flatMap(([insurer, path]) => ['--data', `${insurer[0]}-claims=${path}`])
await main(['run', here, ...data, '--out', join(folder, 'run')])
if (process.exitCode === undefined || process.exitCode === 0) {
  console.error('\nAs an auditor, from the files alone:')
  await main(['verify', join(folder, 'run', 'run.receipt.json'), '--policy', join(folder, 'run', 'log.policy'), '--output', join(folder, 'run', 'alpha-cases.age')])
}
