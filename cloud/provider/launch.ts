/**
 * The process launcher: starts a guest behind the strongest fence the host allows, stands for the machine around it (on
 * simulated silicon it asks the simulated chip for reports), and carries its questions to the broker.
 *
 * Trusted with nothing: what passes here is public or sealed. It can stop a run; it cannot read or change one unseen.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fromHex } from '@cloister/core/bytes/hex'
import type { Evidence } from '@cloister/core/evidence/claims'
import { attempt, refusalOf, refuse, type Refusal, type Result } from '@cloister/core/refusal'
import { findFence, type Fence } from './isolation.ts'
import { cloudFolder, coreFolder } from './measure.ts'
import { LINES_MAX, lineSplitter, type Answer, type Ask, type FromGuest, type Launch, type Outcome } from './wire.ts'

/** The machine as the launcher reaches it: a report over 64 bytes of the guest's choosing, about the guest as it was launched. */
export interface Machine { report(reportData: Uint8Array): Evidence }
/** Carries a request of the guest to the broker of that place and brings back its answer. */
export type Relay = (path: 'hello' | 'release' | 'receipt', body: unknown, broker: number) => Promise<{ status: number; body: unknown }>

export interface LaunchOptions {
  readonly launch: Omit<Launch, 'inputs'>
  /** Sealed files by asset. They are opened here and handed over open, so that the guest needs no right to any path. */
  readonly inputs: readonly { readonly asset: string; readonly path: string }[]
  readonly machine: Machine
  readonly relay: Relay
  /** Milliseconds after which the guest is ended. */
  readonly timeoutMs: number
  readonly onProgress?: (step: string, ms: number) => void
  /** Told once the guest runs: its process id and the fence around it. */
  readonly onStart?: (pid: number, fence: Fence) => void
}

export interface Launched { readonly outcome: Outcome; readonly fence: readonly string[] }

/** Run one guest to its end. Refusals of broker, engine and guest come back as they were given. */
export async function launchProcess(options: LaunchOptions): Promise<Result<Launched>> {
  const entry = join(cloudFolder, 'guest', import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js')
  const opened = attempt(() => options.inputs.map(({ path }) => openInput(path)))
  if (!opened.ok) return opened
  const fence = findFence(process.execPath, [entry])
  const child = startGuest(fence, entry, opened.value)
  opened.value.forEach(closeSync)
  if (child.pid !== undefined) options.onStart?.(child.pid, fence)
  return new Promise(resolve => converse(child, options, result => {
    child.kill('SIGKILL')
    resolve(result.ok ? { ok: true, value: { outcome: result.value, fence: fence.holds } } : result)
  }))
}

/** No inherited environment, no arguments beyond flags and the entry file, no descriptors beyond the line and the inputs (from 3 on). */
function startGuest(fence: Fence, entry: string, inputs: readonly number[]): ChildProcessByStdio<Writable, Readable, null> {
  const readable = [cloudFolder, coreFolder, join(dirname(coreFolder), 'node_modules'), ...moduleFolders(cloudFolder)]
  const flags = [
    '--conditions=source', '--disable-warning=ExperimentalWarning', '--disable-warning=SecurityWarning', '--disallow-code-generation-from-strings',
    '--permission', '--allow-addons', '--allow-worker', '--allow-fs-write=/dev/shm/*', '--allow-fs-read=/dev/shm/*', '--allow-fs-read=/proc/self/*',
    ...readable.map(path => `--allow-fs-read=${path}`),
  ]
  const [command, ...rest] = [...fence.prefix, process.execPath, ...flags, entry]
  return spawn(command ?? process.execPath, rest, { env: {}, stdio: ['pipe', 'pipe', process.env['CLOISTER_GUEST_STDERR'] === undefined ? 'ignore' : 'inherit', ...inputs] }) as ChildProcessByStdio<Writable, Readable, null> // the stdio list above fixes the shape
}

function openInput(path: string): number {
  try {
    return openSync(path, 'r')
  } catch {
    return refuse('cli.file', path, 'a sealed file that can be read', 'none')
  }
}

/** Every node_modules folder from here upwards: where the guest's pinned dependencies may stand. */
function moduleFolders(from: string): string[] {
  const up = dirname(from)
  return [join(from, 'node_modules'), ...(up === from ? [] : moduleFolders(up))]
}

function converse(child: ChildProcessByStdio<Writable, Readable, null>, options: LaunchOptions, done: (result: Result<Outcome>) => void): void {
  let open = true
  let lines = 0
  const finish = (result: Result<Outcome>) => {
    if (!open) return
    open = false
    clearTimeout(timer)
    done(result)
  }
  const fail = (refusal: Refusal) => finish({ ok: false, refusal })
  const timer = setTimeout(() => fail(refusalOf('guest.timeout', 'guest', `an end within ${options.timeoutMs} ms`, 'still running')), options.timeoutMs)
  const answer = (message: Answer) => { if (open) child.stdin.write(`${JSON.stringify(message)}\n`) }
  const split = lineSplitter(text => {
    if (++lines > LINES_MAX) return fail(refusalOf('guest.protocol', 'guest', `at most ${LINES_MAX} lines`, 'more'))
    const message = readMessage(text)
    if (message === undefined) return fail(refusalOf('guest.protocol', 'guest', 'a line of the guest protocol', 'another line'))
    if ('outcome' in message) return finish({ ok: true, value: message.outcome })
    if ('refusal' in message) return fail(message.refusal)
    if ('progress' in message) return options.onProgress?.(message.progress, message.ms)
    void serve(message, options).then(answer, error => answer({ id: message.id, error: error instanceof Error ? error.message : 'failed' }))
  })
  child.stdout.on('data', (chunk: Buffer) => { if (!split(chunk)) fail(refusalOf('guest.protocol', 'guest', 'lines of bounded length', 'a longer line')) })
  child.on('error', error => fail(refusalOf('provider.host', 'launch', 'a guest process', error.message)))
  child.on('exit', (code, signal) => fail(refusalOf('guest.failed', 'guest', 'an outcome', `the guest ended early (${signal ?? `status ${code}`})`)))
  child.stdin.on('error', () => undefined) // an ended guest is told by 'exit'
  const launch: Launch = { ...options.launch, inputs: options.inputs.map(({ asset }, i) => ({ asset, fd: 3 + i })) }
  child.stdin.write(`${JSON.stringify({ launch })}\n`)
}

async function serve(ask: Ask, options: LaunchOptions): Promise<Answer> {
  if (ask.call === 'report') {
    const data = attempt(() => fromHex(ask.reportData))
    return data.ok ? { id: ask.id, evidence: options.machine.report(data.value) } : { id: ask.id, error: data.refusal.code }
  }
  return { id: ask.id, ...await options.relay(ask.call, ask.body, ask.broker) }
}

function readMessage(text: string): FromGuest | undefined {
  try {
    const value: unknown = JSON.parse(text)
    // The guest's words are carried, not believed: what matters in them is signed and verified later.
    return typeof value === 'object' && value !== null && ['call', 'progress', 'outcome', 'refusal'].some(key => key in value) ? (value as FromGuest) : undefined
  } catch {
    return undefined
  }
}
