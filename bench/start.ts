/** From command to verified receipt: the insurers' room at the size of `npm start`, process start included, and where the time goes. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from '../examples/insurance-fraud/generate.ts'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'cloister-bench-'))
const rounds = process.argv.includes('--quick') ? 3 : 9
try {
  const { files } = generate({ claims: 10_000, seed: '2026', out: folder, quiet: true })
  const data = Object.entries(files).flatMap(([insurer, path]) => ['--data', `${insurer[0]}-claims=${path}`])
  const runs = Array.from({ length: rounds }, (_, i) => {
    const started = performance.now()
    const out = execFileSync(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(root, 'cloud/cli/main.ts'), 'run', join(root, 'examples/insurance-fraud'), ...data, '--out', join(folder, `run-${i}`), '--json'], { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 28 })
    const { timings_ms: steps } = JSON.parse(out.toString('utf8')) as { timings_ms: Record<string, number> } // the documented output of run
    return { ...steps, 'whole process': Math.round(performance.now() - started) }
  })
  const middle = (name: string) => runs.map(run => run[name as keyof typeof run] ?? 0).sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0 // step names are the run's own
  const whole = middle('whole process')
  for (const name of Object.keys(runs[0] ?? {})) console.log(`${name.padEnd(34)} ${String(middle(name)).padStart(6)} ms  ${(100 * middle(name) / whole).toFixed(0).padStart(3)} %`)
  console.log(`3 × 10,000 claims, from command to verified receipt: ${whole} ms (median of ${rounds})`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
