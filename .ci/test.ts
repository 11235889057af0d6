/**
 * What `npm test` runs, fast to slow: types, architecture, lint, then every test in one process. Stops at the first stage
 * that fails and closes with `N passed, M failed` over the stages and tests.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const TESTS = ['core/**/*.test.ts', 'cloud/**/*.test.ts', 'console/**/*.test.ts', 'vectors/**/*.test.ts', 'examples/**/*.test.ts', 'claims/**/*.test.ts', 'sim/**/*.test.ts', 'fuzz/**/*.test.ts', 'mutate/**/*.test.ts', 'conformance/**/*.test.ts', 'tidy/**/*.test.ts', '*.test.ts']
let passed = 0
let failed = 0
let skipped = 0

for (const [name, command, args] of [['types', 'tsc', ['-b']], ['lint', 'oxlint', ['--type-aware']]] as const) {
  const started = performance.now()
  const code = await run(command, args)
  console.log(`${code === 0 ? 'ok' : 'FAILED'} ${name} ${Math.round(performance.now() - started)} ms`)
  code === 0 ? passed++ : failed++
  if (code !== 0) close()
}
await tests()
close()

function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise(resolve => spawn(command, args, { stdio: 'inherit' }).on('error', () => resolve(1)).on('exit', code => resolve(code ?? 1)))
}

/** Every test in one process; what passes is counted, what fails is shown whole. */
function tests(): Promise<void> {
  const flags = ['--conditions=source', '--import=./.ci/whole.ts', '--disable-warning=ExperimentalWarning', '--test', '--test-isolation=none', '--test-reporter=tap', '--test-timeout=240000', ...TESTS]
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] })
  let showing = false
  createInterface({ input: child.stdout }).on('line', line => {
    const [, , indent = ''] = /^((\s*)(not )?ok) /.exec(line) ?? []
    if (/^\s*(not )?ok \d+/.test(line)) showing = /^\s*not ok/.test(line)
    if (/^# (pass|fail|skipped|todo|cancelled) \d+$/.test(line)) count(line)
    else if (/^\s*# Subtest/.test(line) && indent === '') showing = false
    if (showing || /^# SKIP|# SKIP/.test(line)) console.log(line)
  })
  return new Promise(resolve => child.on('exit', code => {
    if (code !== 0 && failed === 0) failed++
    resolve()
  }))
}

function count(line: string): void {
  const [, kind = '', number = '0'] = /^# (\w+) (\d+)$/.exec(line) ?? []
  if (kind === 'pass') passed += Number(number)
  if (kind === 'fail' || kind === 'cancelled') failed += Number(number)
  if (kind === 'skipped') skipped += Number(number)
}

function close(): never {
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exit(failed === 0 && passed > 0 ? 0 : 1)
}
