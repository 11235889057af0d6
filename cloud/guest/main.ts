/**
 * The guest: the only process of a run that sees plaintext. It gets a launch line, attests, receives keys that are
 * sealed to it, runs the program that its evidence names, seals every result to its receiver and signs the receipt.
 *
 * Trusts: the machine's TEE, this code, the charter it was measured with, and the broker that the evidence check names.
 * Does not trust: whoever launched it, the line it speaks over, the files it is handed. Plaintext and keys live in this
 * process's memory only (and in unlinked memory files that die with it). It has no network, no shell and no arguments.
 */
import { attempt, refusalOf, type Refusal } from '@cloister/core/refusal'
import { LINE_BYTES_MAX, LINES_MAX, lineSplitter, type Answer, type Ask, type FromGuest, type Launch } from '../provider/wire.ts'
import { parseLaunch } from './launch.ts'
import { runSession, type Line } from './session.ts'

const started = performance.now()
const waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
let launched = false
let lines = 0
let asked = 0

function send(message: FromGuest): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** Ask the launcher and wait: one question, one answer. */
const line: Line = {
  ask: question => new Promise((resolve, reject) => {
    const id = ++asked
    waiting.set(id, { resolve, reject })
    const ask: Ask = { ...question, id }
    send(ask)
  }),
  progress: step => send({ progress: step, ms: Math.round(performance.now() - started) }),
}

function onLine(text: string): void {
  if (++lines > LINES_MAX) return end(refusalOf('guest.protocol', 'stdin', `at most ${LINES_MAX} lines`, 'more'))
  const parsed = attempt(() => (launched ? undefined : parseLaunch(text)))
  if (!parsed.ok) return end(parsed.refusal)
  if (parsed.value !== undefined) {
    launched = true
    void start(parsed.value)
    return
  }
  const answer = readAnswer(text)
  const pending = answer === undefined ? undefined : waiting.get(answer.id)
  if (answer === undefined || pending === undefined) return end(refusalOf('guest.protocol', 'stdin', 'an answer to an open question', 'another line'))
  waiting.delete(answer.id)
  pending.resolve(answer)
}

function readAnswer(text: string): Answer | undefined {
  try {
    const value: unknown = JSON.parse(text)
    // The only fact relied on is a numeric id; every body is checked by the room that reads it.
    return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number' ? (value as Answer) : undefined
  } catch {
    return undefined
  }
}

async function start(launch: Launch): Promise<void> {
  try {
    const result = await runSession(launch, line)
    if (result.ok) finish({ outcome: result.value })
    else end(result.refusal)
  } catch (error) {
    // The message may hold data of the run: only its kind leaves the guest.
    end(refusalOf('guest.failed', 'guest', 'a completed run', error instanceof Error ? error.name : 'an unknown error'))
  }
}

function end(refusal: Refusal): void {
  finish({ refusal })
}

function finish(message: FromGuest): void {
  process.stdout.write(`${JSON.stringify(message)}\n`, () => process.exit(0))
}

const split = lineSplitter(onLine, LINE_BYTES_MAX)
process.stdin.on('data', (chunk: Buffer) => {
  if (!split(chunk)) end(refusalOf('guest.protocol', 'stdin', `lines of at most ${LINE_BYTES_MAX} bytes`, 'a longer line'))
})
// Nobody is left to talk to: the keys go with the process.
process.stdin.on('end', () => process.exit(0))
