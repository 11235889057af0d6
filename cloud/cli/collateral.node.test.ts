// The verbs of `cloister collateral` as a person types them: outputs, exit statuses, and real documents when they are there.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { attempt } from '@cloister/core/refusal'
import { addVerb, exportVerb, listVerb, pruneVerb, removeVerb, showVerb } from './collateral-verbs.ts'
import type { Screen } from './screen.ts'

const vectors = join(import.meta.dirname, '../../../shared/vectors')
const missing = existsSync(join(vectors, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
const home = mkdtempSync(join(tmpdir(), 'cloister-collateral-cli-'))
after(() => rmSync(home, { recursive: true }))
const command = [...process.execArgv.filter(one => one.startsWith('--conditions')), '--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'main.ts'), 'collateral']

interface Ran { readonly status: number | null; readonly out: string; readonly err: string; readonly json: Record<string, unknown> }
function run(...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...args], { cwd: home, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } })
  // A test's own parse: what is there is asserted.
  return { status, out: stdout, err: stderr, json: args.includes('--json') && stdout.startsWith('{') ? JSON.parse(stdout) as Record<string, unknown> : {} }
}
const codeOf = (ran: Ran) => (ran.json['refusal'] as { code: string } | undefined)?.code

test('an empty store; usage, files and digests that are none', () => {
  const empty = run('list', '--json')
  assert.deepEqual([empty.status, empty.json], [0, { ok: true, documents: [], damaged: [] }])
  assert.match(run('list').out, /nothing yet: cloister collateral add FILE/)
  assert.ok(readdirSync(join(home, '.cloister')).includes('collateral'), 'beside what `cloister up` keeps')
  const help = run()
  assert.deepEqual([help.status, /serve \[options\]/.test(help.out)], [0, true], 'no verb: what there is')
  writeFileSync(join(home, 'note.txt'), 'hello')
  for (const [args, status, code] of [[['add', 'note.txt'], 30, 'evidence.parse'], [['serve', '--upstream', 'https://example.org'], 30, 'cli.usage'], [['nothing'], 30, 'cli.usage']] as const) {
    const ran = run(...args, '--json')
    assert.deepEqual([ran.status, codeOf(ran)], [status, code], args.join(' '))
  }
  const folder = join(home, '.cloister/collateral')
  const refusals: [() => unknown, string][] = [
    [() => addVerb(QUIET, [join(home, 'none.der')], { folder }), 'cli.file'], [() => addVerb(QUIET, [home], { folder }), 'cli.file'], [() => showVerb(QUIET, 'xyz', { folder }), 'cli.usage'], [() => showVerb(QUIET, 'abcdef', { folder }), 'cli.file'], [() => showVerb(QUIET, 'a'.repeat(64), { folder }), 'cli.file'],
    [() => removeVerb(QUIET, ['a'.repeat(64)], { folder }), 'cli.file'], [() => pruneVerb(QUIET, { folder, before: 'yesterday' }), 'cli.usage'], [() => listVerb(QUIET, { folder, kind: 'x' }), 'cli.usage'], [() => exportVerb(QUIET, { folder, for: [join(home, 'note.txt')] }), 'evidence.missing'], [() => exportVerb(QUIET, { folder, for: [join(home, 'note.txt')], at: 'x' }), 'cli.usage'],
  ]
  for (const [act, code] of refusals) {
    const result = attempt(act)
    assert.equal(result.ok ? 'done' : result.refusal.code, code, String(act))
  }
})

const nothing = () => undefined
const QUIET: Screen = { json: false, step: nothing, say: nothing, warn: nothing, ok: nothing, bad: nothing, result: nothing, close: nothing, timings: {} }

test('file, list, show, take out; a file that is altered is refused and the others are filed', { skip: missing }, () => {
  const collateral = join(vectors, 'tdx/Phala-Network__dcap-qvl/tdx-phala-sample-uptodate/collateral.json')
  const altered = join(home, 'altered.json')
  writeFileSync(altered, readFileSync(collateral, 'utf8').replace('UpToDate', 'OutOfDate'))
  const alone = run('add', altered, '--json')
  assert.deepEqual([alone.status, codeOf(alone)], [10, 'evidence.collateral'])
  const both = run('add', altered, collateral, '--json')
  assert.deepEqual([both.status, (both.json['filed'] as unknown[]).length, (both.json['refused'] as unknown[]).length], [10, 4, 1])
  assert.match(both.err, /is over: kept for verdicts about that time, not offered as current/)
  const listed = run('list', '--json').json['documents'] as { digest: string; kind: string; current: boolean }[]
  assert.deepEqual(listed.map(one => one.kind), ['intel-tcb-info', 'intel-qe-identity', 'intel-pck-crl', 'intel-root-crl'])
  const [info] = listed
  const shown = run('show', info?.digest.slice(7, 17) ?? '', '--out', 'tcb.json', '--json')
  assert.deepEqual([shown.status, shown.json['text']], [0, readFileSync(join(home, 'tcb.json'), 'utf8')])
  assert.match(String(shown.json['text']), /^\{"tcbInfo":\{"id":"TDX","version":3,[^]*\},"signature":"[0-9a-f]{128}"\}$/)
  const pruned = run('prune', '--before', '2025-08-01', '--json')
  assert.deepEqual([pruned.status, (pruned.json['removed'] as string[]).length], [0, 3])
  assert.equal(run('remove', listed.find(one => one.kind === 'intel-root-crl')?.digest ?? '').status, 0)
  assert.deepEqual(run('list', '--json').json['documents'], [])
})

test('evidence is exported with the collateral of a time; without it, the commands that bring it are said', { skip: missing }, () => {
  const folder = join(vectors, 'tdx')
  const [quote, collateral] = [join(folder, 'premAI-io__pcci-attestation-stack/tdx-phala-sample-uptodate/quote.bin'), join(folder, 'Phala-Network__dcap-qvl/tdx-phala-sample-uptodate/collateral.json')]
  const without = run('export', '--for', quote, '--json')
  assert.deepEqual([without.status, codeOf(without)], [10, 'evidence.missing'])
  assert.match(without.err, /curl -sf -D headers\.txt -o document\.json 'https:\/\/api\.trustedservices\.intel\.com\/tdx\/certification\/v4\/tcb\?fmspc=B0C06F000000'/)
  run('add', collateral)
  assert.equal(run('export', '--for', quote, '--at', '2025-07-01T00:00:00Z', '--out', 'evidence.json').status, 0)
  const evidence = JSON.parse(readFileSync(join(home, 'evidence.json'), 'utf8')) as { kind: string; collateral: object }
  assert.deepEqual([evidence.kind, Object.keys(evidence.collateral).length], ['tdx', 8])
})

test('a GPU by its report and its certificates, two files', { skip: missing }, () => {
  const folder = join(vectors, 'nvidia/google__go-nvattest-tools/nv-hopper-550.90.07-full-rim')
  run('add', ...readdirSync(folder).filter(name => name !== 'report.bin').map(name => join(folder, name)))
  const ran = run('export', '--for', join(folder, 'report.bin'), join(folder, 'chain.pem'), '--at', '2025-10-24T12:00:00Z', '--json')
  const evidence = ran.json['evidence'] as Record<string, string[]>
  assert.deepEqual([ran.status, evidence['kind'], evidence['rims']?.length, (ran.json['missing'] as unknown[]).length > 0], [0, 'nvidia', 2, true])
})

test('serve says where it listens, answers, and ends when it is told to', async () => {
  const child = spawn(process.execPath, [...command, 'serve', '--port', '0', '--json'], { cwd: home, stdio: ['ignore', 'pipe', 'ignore'] })
  const line = await new Promise<string>(resolve => child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())))
  const { url, upstream } = JSON.parse(line) as { url: string; upstream: string[] }
  assert.deepEqual([/^http:\/\/127\.0\.0\.1:\d+$/.test(url), upstream], [true, []])
  const chain = await fetch(`${url}/vcek/v1/Turin/cert_chain`)
  assert.deepEqual([chain.status, (await chain.text()).match(/BEGIN CERTIFICATE/g)?.length], [200, 2], 'what is pinned is there from the start')
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  assert.equal(await ended, 0)
})
