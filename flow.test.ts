// The whole road by the command line, as a user walks it: generate, run, verify; then everything that must be refused.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { announce, openLocalCloud } from './cloud/cli/local-cloud.ts'
import { generate } from './examples/insurance-fraud/generate.ts'

const example = join(import.meta.dirname, 'examples/insurance-fraud')
const folder = mkdtempSync(join(tmpdir(), 'cloister-flow-'))
const out = join(folder, 'run')
let files: Readonly<Record<string, string>> = {}
let ran: Answer

interface Answer { status: number; json: Record<string, unknown>; stderr: string }
function cloister(...args: readonly string[]): Promise<Answer> {
  return new Promise(resolve => {
    execFile(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'cloud/cli/main.ts'), ...args, '--json'], { maxBuffer: 1 << 28, cwd: folder }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      // The command line promises one JSON object on stdout.
      resolve({ status, stderr, json: stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>) })
    })
  })
}
const dataOf = (from: Readonly<Record<string, string>>) => Object.entries(from).flatMap(([insurer, path]) => ['--data', `${insurer[0]}-claims=${path}`])
const codeOf = (answer: Answer) => (answer.json['refusal'] as { code: string } | undefined)?.code // the documented shape of a refusal
const rowsOf = (party: string, name: string) => ((ran.json['result'] as Record<string, Record<string, { rows: Record<string, unknown>[] }>>)[party]?.[name]?.rows ?? assert.fail(name)) // the documented shape of a result

before(async () => {
  files = generate({ claims: 1500, seed: 'flow', out: folder, quiet: true }).files
  ran = await cloister('run', example, ...dataOf(files), '--out', out)
})
after(() => rmSync(folder, { recursive: true, force: true }))

test('three insurers, one room: exit 0, a result each, simulated by name, receipts and times', () => {
  assert.equal(ran.status, 0, ran.stderr)
  assert.deepEqual(Object.keys(ran.json['result'] as object).sort(), ['alpha', 'bravo', 'carol'])
  assert.equal(ran.json['simulated'], true)
  assert.equal((ran.json['receipts'] as string[]).length, 1)
  assert.ok(typeof (ran.json['timings_ms'] as Record<string, number>)['total'] === 'number')
  assert.match(ran.stderr, /SIMULATED/)
})

test('each insurer sees its own claims only, and case numbers match across insurers', () => {
  const seen = new Map<string, Set<string>>()
  for (const party of ['alpha', 'bravo', 'carol']) {
    const own = new Set(readFileSync(files[party] ?? '', 'utf8').split('\n').slice(1).map(line => line.split(',')[0]))
    for (const row of rowsOf(party, 'cases')) {
      assert.ok(own.has(String(row['claim_id'])), 'a claim of another insurer')
      assert.deepEqual(Object.keys(row).sort(), ['case', 'claim_id', 'reasons', 'score'])
      seen.set(String(row['case']), (seen.get(String(row['case'])) ?? new Set()).add(party))
    }
  }
  assert.ok(seen.size > 0)
  for (const parties of seen.values()) assert.ok(parties.size >= 2, 'a case that only one insurer has')
})

test('the receipt verifies offline, and says what was not checked', async () => {
  const answer = await cloister('verify', join(out, 'run.receipt.json'), '--policy', join(out, 'log.policy'), '--output', join(out, 'alpha-cases.age'))
  assert.equal(answer.status, 0, answer.stderr)
  assert.match(answer.stderr, /NOT CHECKED/)
})

test('a receipt altered anywhere is refused', async () => {
  const text = readFileSync(join(out, 'run.receipt.json'), 'utf8')
  const path = join(folder, 'altered.json')
  const places = Array.from({ length: 24 }, (_, i) => Math.floor((i + 0.5) * text.length / 24))
  for (const at of places) {
    const letter = text[at] === 'A' ? 'B' : text[at] === '1' ? '2' : 'A'
    writeFileSync(path, `${text.slice(0, at)}${letter}${text.slice(at + 1)}`)
    const answer = await cloister('verify', path, '--policy', join(out, 'log.policy'))
    assert.ok(answer.status === 10 || answer.status === 30, `character ${at}: status ${answer.status}\n${answer.stderr}`)
  }
})

test('a result of another run is not in the receipt', async () => {
  const answer = await cloister('verify', join(out, 'run.receipt.json'), '--policy', join(out, 'log.policy'), '--output', files['alpha'] ?? '')
  assert.equal(answer.status, 10)
  assert.equal(codeOf(answer), 'receipt.subject')
})

test('a program whose bytes differ by one is refused', async () => {
  const copy = join(folder, 'changed')
  cpSync(example, copy, { recursive: true })
  writeFileSync(join(copy, 'queries.sql'), `${readFileSync(join(copy, 'queries.sql'), 'utf8')}\n`)
  const answer = await cloister('run', copy, ...dataOf(files), '--out', join(folder, 'no'))
  assert.equal(answer.status, 10)
  assert.equal(codeOf(answer), 'program.mismatch')
})

test('a charter that does not name simulated silicon gets no keys on it', async () => {
  const copy = join(folder, 'real')
  cpSync(example, copy, { recursive: true })
  writeFileSync(join(copy, 'charter.yaml'), readFileSync(join(copy, 'charter.yaml'), 'utf8').replace('tee: [simulated]', 'tee: [snp]'))
  const answer = await cloister('run', copy, ...dataOf(files), '--out', join(folder, 'no'))
  assert.equal(answer.status, 10)
  assert.equal(codeOf(answer), 'evidence.simulated')
})

test('a file of another shape is refused with the column that is wrong', async () => {
  const wrong = join(folder, 'wrong.csv')
  writeFileSync(wrong, readFileSync(files['alpha'] ?? '', 'utf8').replace('loss_date', 'date_of_loss'))
  const answer = await cloister('run', example, '--data', `a-claims=${wrong}`, ...dataOf({ bravo: files['bravo'] ?? '', carol: files['carol'] ?? '' }), '--out', join(folder, 'no'))
  assert.equal(answer.status, 30, answer.stderr)
  assert.equal(codeOf(answer), 'data.column')
  assert.match(answer.stderr, /loss_date/)
})

test('missing data, an unknown asset and an unknown command are usage errors that say what to write', async () => {
  assert.equal((await cloister('run', example, '--out', join(folder, 'no'))).status, 30)
  assert.equal(codeOf(await cloister('run', example, ...dataOf(files), '--data', `zzz=${files['alpha']}`, '--out', join(folder, 'no'))), 'asset.unknown')
  assert.equal((await cloister('frobnicate')).status, 30)
  assert.equal((await cloister('verify', join(folder, 'nothing'))).status, 30)
})

test('init, plan and run: a new room with keys of its own', async () => {
  const room = join(folder, 'room')
  mkdirSync(room)
  assert.equal((await cloister('init', 'clean-room', '--folder', room)).status, 0)
  assert.equal((await cloister('init', 'clean-room', '--folder', room)).status, 30)
  const plan = await cloister('plan', room)
  assert.equal(plan.status, 0, plan.stderr)
  assert.deepEqual(plan.json['programs'], { match: 'approved' })
  const answer = await cloister('run', room, ...dataOf(files), '--out', join(room, 'out'))
  assert.equal(answer.status, 0, answer.stderr)
  const why = await cloister('why', room, '--asset', 'a-claims')
  assert.equal(why.json['at'], 'grants[0]')
  assert.equal(codeOf(await cloister('why', room, '--asset', 'nothing')), 'grant.none')
})

test('a cloud that stays: founded, put, run, narrowed by one party alone, widened only after notice, revoked', async () => {
  const room = join(folder, 'life')
  mkdirSync(room)
  assert.equal((await cloister('init', 'clean-room', '--folder', room)).status, 0)
  const up = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'cloud/cli/main.ts'), 'up', '--folder', join(room, 'state'), '--port', '0', '--json'], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const [line] = (await once(up.stdout, 'data')) as [Buffer]
    const { url } = JSON.parse(line.toString('utf8')) as { url: string } // what `up --json` prints
    const at = ['--cloud', url]
    assert.equal((await cloister('propose', room)).status, 0)
    for (const party of ['alpha', 'bravo', 'carol']) assert.equal((await cloister('approve', room, '--party', party, ...at)).status, 0)
    const put = await cloister('put', files['alpha'] ?? '', '--asset', 'a-claims', '--charter', room, '--out', join(room, 'a.age'), ...at)
    assert.equal(put.status, 0, put.stderr)
    const got = await cloister('get', join(room, 'a.age'), '--identity', join(room, 'keys/alpha.seal'), '--out', join(room, 'back.csv'))
    assert.equal(got.status, 0, got.stderr)
    assert.equal(readFileSync(join(room, 'back.csv'), 'utf8'), readFileSync(files['alpha'] ?? '', 'utf8'))
    const data = dataOf({ alpha: join(room, 'a.age'), bravo: files['bravo'] ?? '', carol: files['carol'] ?? '' })
    const first = await cloister('run', room, ...data, '--out', join(room, 'out'), ...at)
    assert.equal(first.status, 0, first.stderr)

    const text = readFileSync(join(room, 'charter.yaml'), 'utf8')
    const [narrow, wide] = [join(room, 'narrow.yaml'), join(room, 'wide.yaml')]
    writeFileSync(narrow, text.replace('uses: 20', 'uses: 10'))
    writeFileSync(wide, text.replace('atLeast: 10', 'atLeast: 5'))
    assert.equal((await cloister('plan', narrow, '--against', room)).status, 0)
    assert.equal((await cloister('propose', wide, '--party', 'bravo', ...at)).status, 0)
    for (const party of ['alpha', 'bravo', 'carol']) assert.equal((await cloister('approve', wide, '--party', party, ...at)).status, 0)
    assert.equal(codeOf(await cloister('enact', wide, '--party', 'bravo', ...at)), 'charter.notice')
    assert.equal((await cloister('propose', narrow, '--party', 'alpha', ...at)).status, 0)
    for (const party of ['alpha', 'bravo', 'carol']) assert.equal((await cloister('approve', narrow, '--party', party, ...at)).status, 0)
    const enacted = await cloister('enact', narrow, '--party', 'alpha', ...at)
    assert.equal(enacted.status, 0, enacted.stderr)
    assert.equal(codeOf(await cloister('run', room, ...data, '--out', join(room, 'no'), ...at)), 'charter.superseded')
    assert.equal((await cloister('revoke', narrow, '--party', 'alpha', '--subject', 'asset a-claims', ...at)).status, 0)
    assert.notEqual((await cloister('run', narrow, ...data, '--out', join(room, 'no'), ...at)).status, 0)
  } finally {
    up.kill('SIGTERM')
    await once(up, 'exit')
  }
})

test('docs/charter-life.md: every command of the page does what the page says', async () => {
  const place = join(folder, 'page')
  mkdirSync(place)
  for (const insurer of ['alpha', 'bravo', 'carol']) cpSync(files[insurer] ?? '', join(place, `${insurer}.csv`))
  mkdirSync(join(place, 'bin'))
  writeFileSync(join(place, 'bin/cloister'), `#!/bin/sh\nexec ${process.execPath} --conditions=source --disable-warning=ExperimentalWarning ${join(import.meta.dirname, 'cloud/cli/main.ts')} "$@"\n`, { mode: 0o755 })
  if (!existsSync('/usr/bin/openssl')) writeFileSync(join(place, 'bin/openssl'), `#!${process.execPath}\n${SIGN}\n`, { mode: 0o755 })
  const cloud = await openLocalCloud({ folder: join(place, '.cloister') })
  announce(join(place, '.cloister'), cloud)
  const other = await openLocalCloud()
  try {
    const page = readFileSync(join(import.meta.dirname, 'docs/charter-life.md'), 'utf8')
    const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) => block.trim().split('\n'))
    assert.ok(commands.length > 40, `only ${commands.length} commands seen`)
    for (const line of commands) {
      const [, command = line, code] = /^(.*?)\s+# refused: (\S+)$/.exec(line) ?? []
      const said = await shell(command.replaceAll('http://127.0.0.1:7800', cloud.url).replaceAll('http://127.0.0.1:7900', other.url), place)
      assert.equal(said.status, code === undefined ? 0 : 10, `${line}\n${said.stderr}`)
      if (code !== undefined) assert.match(said.stderr, new RegExp(`refused: ${code}`), line)
    }
  } finally {
    await cloud.close()
    await other.close()
  }
})

/** Stands in for `openssl pkeyutl -sign` where there is none. */
const SIGN = "const fs = require('node:fs'), value = name => process.argv[process.argv.indexOf(name) + 1]; fs.writeFileSync(value('-out'), require('node:crypto').sign(null, fs.readFileSync(value('-in')), fs.readFileSync(value('-inkey'))))"

function shell(command: string, cwd: string): Promise<{ status: number; stderr: string }> {
  return new Promise(resolve => {
    execFile('/bin/sh', ['-c', command], { cwd, env: { ...process.env, NODE_COMPILE_CACHE: join(cwd, 'bin/cache'), PATH: `${join(cwd, 'bin')}:${process.env['PATH'] ?? ''}` } }, (error, _, stderr) => resolve({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stderr }))
  })
}

test('the template\'s queries are the reviewed ones of the example', () => {
  assert.equal(readFileSync(join(import.meta.dirname, 'cloud/cli/templates/queries.sql'), 'utf8'), readFileSync(join(example, 'queries.sql'), 'utf8'))
})
