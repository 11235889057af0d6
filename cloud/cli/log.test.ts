// `cloister log` as somebody uses it: a log with another's witness, entries with their proofs, a monitor that remembers.
import assert from 'node:assert/strict'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./main.ts'))]

/** One command: its exit status and its JSON. */
function cloister(...args: string[]): Promise<{ status: number; out: Record<string, unknown> }> {
  return new Promise(resolve => {
    execFile(process.execPath, [...MAIN, ...args, '--json'], (error, stdout) => resolve({ status: typeof error?.code === 'number' ? error.code : 0, out: JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, unknown> })) // our own line
  })
}

/** A command that stays: its first line, as JSON. */
function staying(context: TestContext, ...args: string[]): Promise<{ child: ChildProcess; out: Record<string, string> }> {
  const child = spawn(process.execPath, [...MAIN, ...args, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  context.after(async () => { if (child.exitCode === null) { child.kill('SIGTERM'); await new Promise(resolve => child.once('close', resolve)) } })
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('\n')) resolve({ child, out: JSON.parse(text.slice(0, text.indexOf('\n'))) as Record<string, string> }) // our own line
    })
    child.once('close', () => reject(new Error(`ended early: ${text}`)))
  })
}

test('serve, witness, add, verify, prove, monitor; stopped and started again it is the same log', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-log-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const at = (name: string) => join(folder, name)
  const serve = (port = '0', ...more: string[]) => staying(context, 'log', 'serve', '--origin', 'test.example/log', '--folder', at('log'), '--port', port, ...more)
  const first = await serve()
  const policy = at('log/log.policy')
  for (const name of ['log.key', 'log-ml-dsa.key', 'witness.key', 'store.key', 'log.db', 'witness.db']) assert.equal(statSync(at(`log/${name}`)).mode & 0o777, 0o600, name)
  writeFileSync(at('release.txt'), 'version 1 is good')
  const added = await cloister('log', 'add', at('release.txt'), '--log', first.out['log'] ?? '', '--policy', policy)
  assert.deepEqual([added.status, added.out['ok']], [0, true])
  assert.equal((await cloister('log', 'verify', at('release.txt'), at('release.txt.tlog-proof'), '--policy', policy)).status, 0)
  first.child.kill('SIGTERM')
  await new Promise(resolve => first.child.once('close', resolve))

  const witness = await staying(context, 'log', 'witness', '--name', 'test.example/witness', '--folder', at('witness'), '--port', '0', '--witness-of', policy)
  const second = await serve('0', '--witness', `${witness.out['vkey']}@${witness.out['url']}`)
  const log = second.out['log'] ?? ''
  assert.equal(second.out['size'], 1)
  writeFileSync(at('other.txt'), 'alpha says: program match is withdrawn')
  assert.equal((await cloister('log', 'add', at('other.txt'), '--log', log, '--policy', policy)).status, 0)
  assert.match(readFileSync(at('other.txt.tlog-proof'), 'utf8'), /— test\.example\/witness /)
  assert.equal((await cloister('log', 'prove', '0', '--log', log, '--policy', policy, '--out', at('again.tlog-proof'))).status, 0)
  assert.equal((await cloister('log', 'verify', at('release.txt'), at('again.tlog-proof'), '--policy', policy)).status, 0)
  const wrong = await cloister('log', 'verify', at('other.txt'), at('again.tlog-proof'), '--policy', policy)
  assert.deepEqual([wrong.status, (wrong.out['refusal'] as Record<string, unknown>)['code']], [10, 'log.inclusion'])

  const monitor = () => cloister('log', 'monitor', '--log', log, '--policy', policy, '--state', at('monitor.json'), '--watch', 'program match')
  const seen = await monitor()
  assert.deepEqual([seen.status, seen.out['size'], seen.out['read'], seen.out['alerts']], [0, 2, 2, [{ index: 1, watch: 'program match', verb: 'an entry' }]])
  assert.deepEqual([(await monitor()).out['read'], statSync(at('monitor.json')).mode & 0o777], [0, 0o600])

  // Somebody who has the log's keys shows a log with another past.
  const [a, b] = [at('log'), at('forked')]
  const { cpSync } = await import('node:fs')
  cpSync(a, b, { recursive: true })
  for (const name of ['log.db', 'log.db-wal', 'log.db-shm', 'witness.db', 'witness.db-wal', 'witness.db-shm']) rmSync(join(b, name), { force: true })
  const forked = await staying(context, 'log', 'serve', '--origin', 'test.example/log', '--folder', b, '--port', '0')
  const forkedPolicy = join(b, 'log.policy')
  for (const name of ['release.txt', 'other.txt']) {
    writeFileSync(at(`forged-${name}`), `another ${name}`)
    assert.equal((await cloister('log', 'add', at(`forged-${name}`), '--log', forked.out['log'] ?? '', '--policy', forkedPolicy)).status, 0)
  }
  const caught = await cloister('log', 'monitor', '--log', forked.out['log'] ?? '', '--policy', forkedPolicy, '--state', at('monitor.json'))
  assert.deepEqual([caught.status, (caught.out['refusal'] as Record<string, unknown>)['code']], [10, 'log.fork'])
  const proven = await cloister('log', 'fork', at('monitor.json.fork.json'), '--policy', forkedPolicy)
  assert.deepEqual([proven.status, proven.out['sizes']], [0, [2, 2]])
})

test('what is asked wrongly is told', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-log-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const code = async (...args: string[]) => { const { status, out } = await cloister('log', ...args); return [status, (out['refusal'] as Record<string, unknown>)['code']] }
  writeFileSync(join(folder, 'x'), 'x')
  assert.deepEqual(await code('verify', join(folder, 'x'), join(folder, 'x'), '--policy', join(folder, 'none')), [30, 'cli.file'])
  assert.deepEqual(await code('verify', join(folder, 'x'), join(folder, 'x'), '--policy', join(folder, 'x')), [10, 'log.witnesses'])
  assert.deepEqual(await code('serve', '--origin', 'o', '--folder', join(folder, 'log'), '--witness', 'nonsense'), [30, 'cli.usage'])
  assert.deepEqual(await code('serve', '--origin', 'o', '--folder', join(folder, 'log'), '--quorum', '2'), [30, 'cli.usage'])
})
