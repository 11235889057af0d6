// The runner drives our own child over a manifest, and notices a child that breaks the contract or answers wrongly.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { compare, parseRequest, parseVerdict, VERDICTS, type Verdict } from './contract.ts'
import { answer } from './evidence.ts'
import { snpInput } from '../core/evidence/snp/snp.fixture.ts'

const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const { report, certificates } = snpInput()
writeFileSync(join(folder, 'report.bin'), report)
writeFileSync(join(folder, 'cut.bin'), report.subarray(0, 100))
writeFileSync(join(folder, 'vek.der'), certificates[0] ?? new Uint8Array(0))
const manifest = join(folder, 'MANIFEST.json')
const one = (id: string, change: object = {}) => ({ id, tee: 'sev-snp', files: [{ role: 'report', path: 'report.bin' }, { role: 'vek', path: 'vek.der' }], valid_at: '2026-01-01T00:00:00Z', expect: { verdict: 'reject', fields: { version: 3, vmpl: '0' } }, ...change })
const write = (cases: unknown) => writeFileSync(manifest, JSON.stringify({ cases }))
const run = (...args: string[]) => new Promise<{ status: number; lines: string[] }>(resolve => {
  execFile(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'run.ts'), 'evidence', '--manifest', manifest, ...args], (error, stdout) => resolve({ status: typeof error?.code === 'number' ? error.code : 0, lines: stdout.trim().split('\n') }))
})

test('our own child: rejected, malformed and unsupported cases, fields compared, bytes checked', async () => {
  write([
    one('a'), one('b', { tee: 'abacus' }), one('c', { files: [{ role: 'report', path: 'cut.bin' }], expect: { verdict: 'reject' } }),
    one('d', { expect: { verdict: 'accept' } }), one('e', { expect: { verdict: 'reject', fields: { vmpl: 1 } } }), one('f', { files: [{ role: 'report', path: 'report.bin', sha256: '00' }] }),
  ])
  const { status, lines } = await run()
  // Synthetic evidence is under roots that are not AMD's: genuine to nobody.
  assert.deepEqual(lines.slice(0, 6).map(line => (JSON.parse(line) as Verdict).verdict), ['reject', 'unsupported', 'malformed', 'reject', 'reject', 'error'])
  assert.match(lines[4] ?? '', /vmpl: expected 1, got 0/)
  assert.deepEqual(lines.slice(6), ['1 unsupported', '2 passed, 3 failed'])
  assert.equal(status, 10)
})

test('a command that accepts everything fails, and one that breaks the contract ends the run', async () => {
  write([one('a'), one('b')])
  const script = (body: string) => { writeFileSync(join(folder, 'child.mjs'), `import { createInterface } from 'node:readline'\nfor await (const line of createInterface({ input: process.stdin })) { const { id } = JSON.parse(line); ${body} }\n`); return `"${process.execPath}" "${join(folder, 'child.mjs')}"` }
  const say = (verdict: string) => `console.log(JSON.stringify(${verdict}))`
  assert.equal((await run('--command', script(say("{ id, verdict: 'accept' }")))).lines.at(-1), '0 passed, 2 failed')
  assert.deepEqual(await run('--command', script(say("{ id, verdict: 'reject' }"))).then(({ status, lines }) => [status, lines.at(-1)]), [0, '2 passed, 0 failed'])
  assert.equal((await run('--command', script(say("{ id, verdict: 'unsupported' }")))).status, 20)
  for (const body of [say("{ id: 'z', verdict: 'reject' }"), say("{ id, verdict: 'fine' }"), "console.log('no JSON')", 'process.exit(3)']) assert.equal((await run('--command', script(body))).status, 1, body)
  assert.equal((await run('--command', script(''), '--timeout', '1')).status, 1)
})

test('the status of a single request is its verdict', async () => {
  const status = (line: string) => new Promise<number>(resolve => {
    const child = execFile(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'evidence.ts')], error => resolve(typeof error?.code === 'number' ? error.code : 0))
    child.stdin?.end(`${line}\n`)
  })
  const data = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const request = (change: object) => JSON.stringify({ id: 'a', tee: 'sev-snp', at: 1_767_225_600, files: [{ role: 'report', name: 'r', data: data(report) }, ...certificates.map(one => ({ role: 'vek', name: 'v', data: data(one) }))], ...change })
  assert.equal(await status(request({})), 10)
  assert.equal(await status(request({ tee: 'abacus' })), 20)
  assert.equal(await status('{'), 30)
})

test('requests and verdicts of another form are refused, whatever stands in them', () => {
  for (const line of ['', '[]', '{}', '{"id":1}', '{"id":"a","tee":"b","at":"now","files":[]}', '{"id":"a","tee":"b","at":{},"files":[]}', '{"id":"a","tee":"b","at":1,"files":[{}]}', '{"id":"a","tee":"b","at":1,"files":{}}', '{"id":"a","tee":"b","at":1,"files":[],"chain":[{}]}']) {
    assert.ok(!parseRequest(line).ok, line)
    assert.equal(answer(line).verdict, 'malformed')
  }
  for (const line of ['1', '{"id":"a"}', '{"id":"a","verdict":{}}', '{"id":{},"verdict":"accept"}', '{"id":"a","verdict":"accept","fields":[]}']) assert.ok(!parseVerdict(line).ok, line)
})

test('which verdicts pass for which expectation', () => {
  const passing = (verdict: string) => VERDICTS.filter(one => compare({ verdict }, { id: 'a', verdict: one }).passed)
  assert.deepEqual(['accept', 'reject', 'policy', 'parse', 'other'].map(passing), [['accept'], ['reject', 'malformed'], ['reject', 'malformed'], ['accept', 'reject', 'parsed'], []])
  const fields = (expected: Record<string, unknown>, got: Verdict['fields']) => compare({ verdict: 'accept', fields: expected }, { id: 'a', verdict: 'accept', ...(got === undefined ? {} : { fields: got }) }).passed
  assert.ok(fields({ a: 'AB', b: 1, c: { d: [1, 'x'] } }, { a: 'ab', b: '1', c: { d: [1, 'X'], e: 2 } }))
  assert.ok(fields({ a: 1 }, undefined))
  for (const got of [{ a: 2 }, { a: {} }, { c: { d: [1] } }, { c: { d: [1, 'y'] } }, { c: 'd' }, { c: {} }]) assert.ok(!fields({ a: 1, c: { d: [1, 'x'] } }, got), JSON.stringify(got))
})
