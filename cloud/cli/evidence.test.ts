// `cloister verify` and `explain` of evidence as a person types them: simulated evidence everywhere, and real files where they are at hand.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openSimulatedChip } from '../guest/attesters/simulated.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloister-evidence-'))
after(() => rmSync(folder, { recursive: true, force: true }))

interface Answer { readonly status: number; readonly json: Record<string, unknown>; readonly stderr: string }
function cloister(...args: readonly string[]): Promise<Answer> {
  return new Promise(resolve => {
    execFile(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'main.ts'), ...args, '--json'], { maxBuffer: 1 << 26, cwd: folder }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      // The command line promises one JSON object on stdout.
      resolve({ status, stderr, json: stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>) })
    })
  })
}
const codeOf = ({ json }: Answer) => (json['refusal'] as { code: string } | undefined)?.code // the documented shape of a refusal
const outcome = (answer: Answer) => [codeOf(answer), answer.status]
const write = (name: string, value: unknown) => { writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value)); return name }

const now = Math.floor(Date.now() / 1000)
const DATA = new Uint8Array(64).fill(9)
const evidence = openSimulatedChip(now).report({ measurement: new Uint8Array(48).fill(7), hostData: new Uint8Array(32) }, DATA)
const file = write('evidence.json', evidence)
const POLICY = { tee: ['simulated'], measurements: [{ tee: 'simulated', hex: '07'.repeat(48), name: 'guest 7' }] }

test('evidence of its own form: what is proven and what is not, simulated by name', async () => {
  const answer = await cloister('verify', file)
  assert.equal(answer.status, 0, answer.stderr)
  assert.match(answer.stderr, /SIMULATED silicon[\s\S]*NOT PROVEN: that there is any hardware[\s\S]*NOT PROVEN: that it is fresh/)
  const { claims, explanation } = answer.json as { claims: { measurement: string }; explanation: { chain: unknown[] } } // the documented shape
  assert.deepEqual([claims.measurement, explanation.chain.length], ['07'.repeat(48), 4])
  assert.match((await cloister('explain', file)).stderr, /Who vouches for whom:[\s\S]*The SIMULATED root/)
})

test('what it must be bound to', async () => {
  const good = await cloister('verify', file, '--report-data', '09'.repeat(64))
  assert.deepEqual([good.status, /it answers to your nonce/.test(good.stderr)], [0, true])
  assert.equal((await cloister('verify', file, '--nonce', `0x${'09'.repeat(64)}`)).status, 0)
  for (const args of [['--report-data', '00'.repeat(64)], ['--nonce', '09'.repeat(32)]]) assert.deepEqual(outcome(await cloister('verify', file, ...args)), ['evidence.report-data', 10])
  for (const args of [['--nonce', 'xyz'], ['--at', 'today'], ['--at', '2026-01-01T00:00:00Z', '--as-of', '2026-01-01T00:00:00Z']]) assert.deepEqual(outcome(await cloister('verify', file, ...args)), ['cli.usage', 30])
})

test('a policy: satisfied, not satisfied, misspelt, or without what to bind to', async () => {
  const bound = ['--report-data', '09'.repeat(64)]
  const good = await cloister('verify', file, '--policy', write('policy.json', { ...POLICY, tcb: 'any' }), ...bound)
  assert.equal(good.status, 0, good.stderr)
  assert.match(good.stderr, /what was launched is guest 7[\s\S]*measurement: guest 7/)
  assert.ok('ear' in good.json && 'checks' in good.json)
  assert.equal(codeOf(await cloister('verify', file, '--policy', write('p2.json', { ...POLICY, measurements: [] }), ...bound)), 'appraisal.measurement')
  const misspelt = await cloister('verify', file, '--policy', write('p3.json', { ...POLICY, requiredebug: true }), ...bound)
  assert.deepEqual([codeOf(misspelt), misspelt.status], ['appraisal.policy', 30])
  assert.equal(codeOf(await cloister('verify', file, '--policy', 'policy.json')), 'cli.usage')
})

test('as of a time: the verdict of then, and what today says differently', async () => {
  const then = await cloister('verify', file, '--as-of', new Date((now - 60) * 1000).toISOString())
  assert.equal(then.status, 0, then.stderr)
  assert.deepEqual([then.json['today'], then.json['differences']], [{ ok: true }, []])
})

test('files that are nothing, or do not belong together', async () => {
  for (const [args, code, status] of [
    [['nothing.bin'], 'cli.file', 30], [[write('noise.bin', '\u0001noise')], 'evidence.kind', 30], [[file, write('again.json', evidence)], 'evidence.parse', 30], [[write('token.jwt', 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA')], 'evidence.unsupported', 20],
  ] as const) {
    const answer = await cloister('verify', ...args)
    assert.deepEqual([codeOf(answer), answer.status], [code, status], answer.stderr)
  }
})

const vectors = join(import.meta.dirname, '../../../shared/vectors')
const skip = existsSync(join(vectors, 'MANIFEST.json')) ? false : 'the shared vectors are not here'
interface Case { readonly id: string; readonly tee: string; readonly valid_at: string | null; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly chain?: readonly string[]; readonly expect: { readonly verdict: string } }

test('real files of SNP, TDX and Nitro, several of one machine together', { skip }, async () => {
  // The manifest's form is documented beside it.
  const { cases } = JSON.parse(readFileSync(join(vectors, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }
  for (const tee of ['sev-snp', 'tdx', 'nitro']) {
    const one = cases.find(each => each.tee === tee && each.expect.verdict === 'accept') ?? assert.fail(tee)
    const paths = [...one.files.map(({ path }) => path), ...one.chain ?? []].map(path => join(vectors, path))
    const answer = await cloister('verify', ...paths, '--at', one.valid_at ?? '')
    assert.equal(answer.status, 0, `${one.id} ${answer.stderr}`)
    if (tee !== 'tdx') continue
    const past = await cloister('verify', ...paths, '--as-of', one.valid_at ?? '')
    assert.equal(past.status, 0, past.stderr)
    assert.match(past.stderr, /REFUSED today[\s\S]*then {3}accepted\n {4}today {2}refused/)
    const alone = await cloister('verify', paths[0] ?? '')
    assert.deepEqual([codeOf(alone), alone.status], ['evidence.missing', 10])
  }
})
