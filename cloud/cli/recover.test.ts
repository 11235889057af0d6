// A lineage brought back on the command line: backup, one share a party, another cloud; and what is told to whoever has too little.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openLocalCloud } from './local-cloud.ts'

interface Answer { readonly status: number; readonly out: Record<string, unknown> }
function cloister(cwd: string, ...args: readonly string[]): Promise<Answer> {
  return new Promise(resolve => {
    execFile(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./main.ts')), ...args, '--json'], { cwd, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, out: stdout.trim() === '' ? { stderr } : JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, unknown> }) // one JSON object, as promised
    })
  })
}

test('backup, start, give, finish: another cloud serves the lineage; too few shares, or none of this challenge, do not', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-recover-'))
  const [old, fresh] = [await openLocalCloud(), await openLocalCloud()]
  context.after(async () => { await old.close(); await fresh.close(); rmSync(folder, { recursive: true, force: true }) })
  const run = (...args: readonly string[]) => cloister(folder, ...args)
  const done = async (...args: readonly string[]) => { const { status, out } = await run(...args); assert.equal(status, 0, JSON.stringify(out)); return out }
  const refused = async (...args: readonly string[]) => ((await run(...args)).out['refusal'] as Record<string, unknown> | undefined)?.['code']

  await done('init', 'clean-room', '--folder', 'room')
  appendFileSync(join(folder, 'room/charter.yaml'), '\nrecover: { of: [alpha, bravo, carol], need: 2 }\n')
  await done('propose', 'room')
  for (const party of ['alpha', 'bravo', 'carol']) await done('approve', 'room', '--party', party)
  await done('enact', 'room', '--cloud', old.url)
  const taken = await done('backup', 'room', '--cloud', old.url, '--out', 'room.backup')
  assert.equal(statSync(join(folder, 'room.backup')).mode & 0o777, 0o600)
  const { challenge } = await done('recover', 'start', '--to', fresh.url)
  const give = (party: string, said = String(challenge)) => ['recover', 'give', 'room', '--party', party, '--backup', 'room.backup', '--to', fresh.url, '--challenge', said, '--out', `${party}.share.json`]
  const finish = (...shares: readonly string[]) => ['recover', 'finish', ...shares, '--backup', 'room.backup', '--log', `${old.url}/log`, '--to', fresh.url]
  await done(...give('alpha'))
  assert.ok(!readFileSync(join(folder, 'alpha.share.json'), 'utf8').includes('AGE-SECRET-KEY'))
  assert.equal(await refused(...finish('alpha.share.json')), 'share.too-few')
  assert.equal(await refused(...give('nobody')), 'cli.key')
  assert.equal(await refused(...give('bravo'), '--broker', '00'.repeat(48)), 'appraisal.measurement')
  await done(...give('bravo'))
  const back = await done(...finish('alpha.share.json', 'bravo.share.json'))
  assert.deepEqual([back['lineage'], back['epoch'], back['parties']], [taken['lineage'], 1, ['alpha', 'bravo']])
  assert.equal((await done('status', 'room', '--cloud', fresh.url))['lineage'], taken['lineage'])
  assert.equal(await refused(...finish('alpha.share.json', 'bravo.share.json')), 'broker.request')
})
