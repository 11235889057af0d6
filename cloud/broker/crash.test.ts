import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { orRefuse } from '@cloister/core/refusal'
import { openSqliteStore } from '../store/sqlite.ts'
import { entriesOf, newWorld } from './world.fixture.ts'

const ROUNDS = 6

test('kill -9 of the broker, again and again: nothing acknowledged is lost, nothing is released without its receipt, budgets are not reset (row 113)', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-crash-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const [path, witness] = [join(folder, 'broker.db'), join(folder, 'witness.db')]
  const acknowledged: string[] = []
  // A machine under load is killed before it has done much: then there are more rounds.
  for (let round = 0; round < ROUNDS || (acknowledged.length <= ROUNDS && round < 10 * ROUNDS); round++) {
    const lines = await runAndKill([path, witness, String(round)], 30 + ((round * 37) % 90))
    assert.deepEqual(lines.filter(line => line.startsWith('refused')), [])
    acknowledged.push(...lines.filter(line => line.startsWith('released ')).map(line => Buffer.from(line.slice('released '.length), 'base64').toString()))
  }
  const world = newWorld({ seed: 'crash' })
  const store = openSqliteStore({ path, key: world.storeKey })
  const entries = await entriesOf(world, store)
  const released = entries.filter(entry => orRefuse(parseReceipt(entry)).verb === 'released')
  const budgets = (await store.list({ prefix: 'broker/budget/' })).map(entry => Number((JSON.parse(fromUtf8(entry.value)) as { uses: number }).uses)) // written by release.ts
  await store.close()
  assert.ok(acknowledged.length > ROUNDS, `${acknowledged.length} releases`)
  assert.equal(new Set(acknowledged).size, acknowledged.length)
  for (const receipt of acknowledged) assert.ok(released.includes(receipt), 'every acknowledged release is in the log')
  assert.deepEqual(budgets, [released.length, released.length], 'each logged release is debited, and nothing else')
})

/** Whole lines that the child printed before it was killed. */
function runAndKill(args: string[], ms: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./crash.child.ts')), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      const before = text.includes('ready\n')
      text += chunk.toString()
      if (!before && text.includes('ready\n')) setTimeout(() => child.kill('SIGKILL'), ms)
    })
    child.on('error', reject)
    child.on('close', () => resolve(text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter(line => line !== '')))
  })
}
