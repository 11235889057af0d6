/** Real processes for the tests beside this file: started, listened to line by line, and ended by their own id. */
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Told } from './node.child.ts'

const CHILD = fileURLToPath(import.meta.resolve('./node.child.ts'))
/** Nothing here is timed; this only ends a test that hangs. */
const PATIENCE_MS = 90_000

export class Running {
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  /** `before`: a command that starts node itself, like `strace … node`. */
  constructor(context: TestContext, told: Told, before: readonly string[] = []) {
    const [command = '', ...args] = [...before, ...commandOf(told)]
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
    let text = ''
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const whole = text.lastIndexOf('\n') + 1
      this.lines.push(...text.slice(0, whole).split('\n').filter(line => line !== ''))
      text = text.slice(whole)
    })
    this.#ended = new Promise(resolve => this.#child.on('close', () => resolve()))
    context.after(() => this.kill())
  }

  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child
    // Its group: what traces or wraps the process does not take it along.
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL')
    await this.#ended
  }

  ended(): Promise<void> { return this.#ended }

  /** The next line from `from` on that begins like this. */
  async until(start: string, from = 0): Promise<string> {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await wait(10)) {
      const found = this.lines.slice(from).find(line => line.startsWith(start))
      if (found !== undefined) return found
    }
    return assert.fail(`no line '${start}' after ${from} lines: ${this.lines.slice(-3).join(' | ').slice(0, 600)}`)
  }

  released(): string[] { return this.lines.filter(line => line.startsWith('released ')) }
  refused(): string[] { return [...new Set(this.lines.filter(line => line.startsWith('refused ')).map(line => line.split(' ')[1] ?? ''))] }
}

export function commandOf(told: Told): string[] {
  return [process.execPath, '--conditions=source', '--disable-warning=ExperimentalWarning', CHILD, JSON.stringify(told)]
}

export function folderFor(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-real-'))
  context.after(() => rmSync(folder, { recursive: true }))
  return folder
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : assert.fail()
}

export const began = (): number => Math.floor(Date.now() / 1000)

/** Everything acknowledged stands in the log once, and each release in it was debited. */
export function kept(db: string, acknowledged: readonly string[]): void {
  const [command = '', ...args] = commandOf({ role: 'look', db })
  agrees(spawnSync(command, args, { encoding: 'utf8' }).stdout, acknowledged)
}

export function agrees(looked: string, acknowledged: readonly string[]): void {
  const lines = looked.split('\n')
  const logged = lines.filter(line => line.startsWith('released '))
  assert.equal(new Set(acknowledged).size, acknowledged.length)
  for (const one of acknowledged) assert.ok(logged.includes(one), 'an acknowledged release is not in the log')
  assert.deepEqual(lines.filter(line => line.startsWith('spent ')), [`spent ${logged.length}`, `spent ${logged.length}`], 'each logged release is debited, and nothing else')
}

/** Can this be done here? Namespaces, mounts and tracing need rights. */
export const can = (command: string, ...args: readonly string[]): boolean => spawnSync(command, args, { stdio: 'ignore' }).status === 0
