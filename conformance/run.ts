/**
 * `npm run conformance -- evidence [--command "…"] [--manifest FILE] [--timeout SECONDS]`: drives an implementation of the
 * contract (README.md) over a manifest: one JSON line a case, then `N passed, M failed`. Without `--command` it is ours.
 * `npm run conformance -- tlog [--entries N] [--merkle FOLDER] [--litewitness FILE]… [--receipts FOLDER]`: see tlog/run.ts.
 * `npm run conformance -- sigstore [--bundles FOLDER]`: see sigstore/run.ts.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { runTlog } from './tlog/run.ts'
import { compare, parseVerdict, type Expected, type Request, type Verdict } from './contract.ts'
import { runSigstore } from './sigstore/run.ts'

interface Case { readonly id: string; readonly tee: string; readonly kind?: string; readonly files: readonly { readonly role: string; readonly path: string; readonly sha256?: string }[]; readonly chain?: readonly string[] | null; readonly valid_at?: string | null; readonly expect: Expected }

const TIMELESS = '2026-03-01T00:00:00Z'
const OURS = [process.execPath, '--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'evidence.ts')]
const DEFAULT = join(import.meta.dirname, '../../shared/vectors/MANIFEST.json')

const { values, positionals } = parseArgs({ allowPositionals: true, options: { command: { type: 'string' }, manifest: { type: 'string', default: DEFAULT }, timeout: { type: 'string', default: '30' }, entries: { type: 'string', default: '70000' }, merkle: { type: 'string' }, bundles: { type: 'string' }, receipts: { type: 'string' }, litewitness: { type: 'string', multiple: true, default: [] } } })
const [suite = 'evidence'] = positionals
if (suite === 'tlog') process.exit(await runTlog({ merkle: values.merkle, receipts: values.receipts, litewitness: values.litewitness, entries: Number(values.entries) }))
if (suite === 'sigstore') process.exit(await runSigstore({ bundles: values.bundles }))
if (suite !== 'evidence' || !existsSync(values.manifest)) {
  console.error(suite !== 'evidence' ? `unknown suite ${suite}: evidence, tlog, sigstore` : `no manifest at ${values.manifest}`)
  process.exit(30)
}
const folder = dirname(values.manifest)
const cases = readCases(values.manifest)
const count = { passed: 0, failed: 0, unsupported: 0 }
const child = values.command === undefined ? spawn(OURS[0] ?? '', OURS.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] }) : spawn(values.command, { shell: true, stdio: ['pipe', 'pipe', 'inherit'] })
child.stdin.on('error', () => undefined) // a child that is gone shows in its missing answer
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()

for (const one of cases) {
  const wrong = one.files.find(file => file.sha256 !== undefined && sha256(file.path) !== file.sha256)
  if (wrong !== undefined) { print(one, { passed: false, differs: [`${wrong.path}: not the bytes of the manifest`] }); continue }
  child.stdin.write(`${JSON.stringify(requestOf(one))}\n`)
  const verdict = await answerTo(one)
  print(one, compare(one.expect, verdict), verdict)
}
child.stdin.end()
if (count.unsupported > 0) console.log(`${count.unsupported} unsupported`)
console.log(`${count.passed} passed, ${count.failed} failed`)
process.exitCode = count.failed > 0 ? 10 : count.passed === 0 ? 20 : 0

function readCases(path: string): readonly Case[] {
  // The form is written down in README.md; a file of another form fails on its first missing field.
  const { cases: found } = JSON.parse(readFileSync(path, 'utf8')) as { cases?: readonly Case[] }
  if (Array.isArray(found)) return found
  console.error(`${path} has no cases`)
  return process.exit(30)
}

function requestOf(one: Case): Request {
  const data = (path: string) => readFileSync(join(folder, path)).toString('base64')
  return {
    id: one.id, tee: one.tee, ...(one.kind === undefined ? {} : { kind: one.kind }), at: Math.floor(Date.parse(one.valid_at ?? TIMELESS) / 1000),
    files: one.files.map(file => ({ role: file.role, name: basename(file.path), data: data(file.path) })), chain: (one.chain ?? []).map(data),
  }
}

function sha256(path: string): string { return createHash('sha256').update(readFileSync(join(folder, path))).digest('hex') }

/** The child's next line, which must be the answer to this case. A child that breaks the contract ends the run. */
async function answerTo(one: Case): Promise<Verdict> {
  const timer = setTimeout(() => broken(one, `no answer within ${values.timeout} s`), Number(values.timeout) * 1000)
  const next = await lines.next()
  clearTimeout(timer)
  if (next.done === true) return broken(one, 'the command ended before it answered')
  const verdict = parseVerdict(next.value)
  if (!verdict.ok) return broken(one, `${verdict.refusal.code} at ${verdict.refusal.at}: ${next.value.slice(0, 200)}`)
  return verdict.value.id === one.id ? verdict.value : broken(one, `an answer to ${verdict.value.id || 'nothing'}`)
}

function broken(one: Case, what: string): never {
  console.error(`${one.id}: ${what}`)
  child.kill()
  process.exit(1)
}

function print(one: Case, { passed, differs }: { passed: boolean; differs: string[] }, verdict?: Verdict): void {
  const unsupported = verdict?.verdict === 'unsupported'
  count[unsupported ? 'unsupported' : passed ? 'passed' : 'failed']++
  console.log(JSON.stringify({ id: one.id, verdict: verdict?.verdict ?? 'error', ...(differs.length > 0 ? { differs } : {}), ...(verdict?.refusal === undefined ? {} : { refusal: verdict.refusal }), ...(passed || unsupported ? {} : { expected: one.expect.verdict }) }))
}
