/**
 * A second thread for large age files. It opens the runs that are its own into shared memory, a few ahead of the reading
 * thread, which hands them on in order. The key stays in the process; what does not open is reported, never passed on.
 *
 * Slots: 0 is free; n + 1 holds n bytes; -1 is a run that did not open. The reading thread works alone until this one is
 * ready, then says from which run on it may help; when no answer comes, it goes on alone.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { CHUNK } from '@cloister/core/seal/age/stream'
import { openRun, readRun, release, SEALED, TOGETHER, type Payload } from './age-chunks.ts'

const SLOTS = 4
const STOP = SLOTS
const READY = SLOTS + 1
const FROM = SLOTS + 2
const RUN_BYTES = TOGETHER * CHUNK
const WAIT_MS = 5000

interface Task { readonly ageHelper: true; readonly payload: Payload; readonly runs: number; readonly step: number; readonly state: SharedArrayBuffer; readonly out: SharedArrayBuffer }

export interface Helper {
  readonly ready: boolean
  /** Let it open the runs `first`, `first + step`, …: once, when it is ready. */
  begin(first: number): void
  /** The plaintext of the helper's next run; false where it does not open; undefined when the helper does not answer. */
  next(): Buffer | false | undefined
  /** Done with what `next` gave. */
  free(): void
  stop(): void
}

/** Start a helper for every `step`th run of a payload. */
export function startHelper(payload: Payload, runs: number, step: number): Helper {
  const task: Task = { ageHelper: true, payload, runs, step, state: new SharedArrayBuffer((SLOTS + 3) * 4), out: new SharedArrayBuffer(SLOTS * RUN_BYTES) }
  const state = new Int32Array(task.state)
  const worker = new Worker(new URL(import.meta.url), { workerData: task })
  worker.on('error', () => undefined) // its silence is enough
  worker.unref()
  let slot = 0
  return {
    get ready() { return Atomics.load(state, READY) === 1 },
    begin: first => give(state, FROM, first + 1),
    next: () => {
      const late = Atomics.wait(state, slot, 0, WAIT_MS) === 'timed-out'
      const size = Atomics.load(state, slot)
      if (late || size === 0) return undefined
      return size < 0 ? false : Buffer.from(task.out, slot * RUN_BYTES, size - 1)
    },
    free: () => {
      give(state, slot, 0)
      slot = (slot + 1) % SLOTS
    },
    stop: () => {
      Atomics.store(state, STOP, 1)
      for (let i = 0; i < SLOTS; i++) give(state, i, 0)
      if (Atomics.load(state, FROM) === 0) give(state, FROM, runs + 1)
    },
  }
}

function help(task: Task): void {
  const state = new Int32Array(task.state)
  const into = Buffer.allocUnsafeSlow(TOGETHER * SEALED)
  Atomics.store(state, READY, 1)
  Atomics.wait(state, FROM, 0)
  for (let run = Atomics.load(state, FROM) - 1, slot = 0; run < task.runs; run += task.step, slot = (slot + 1) % SLOTS) {
    for (let held = Atomics.load(state, slot); held !== 0; held = Atomics.load(state, slot)) Atomics.wait(state, slot, held)
    if (Atomics.load(state, STOP) === 1) return
    const parts = openRun(task.payload, run, readRun(task.payload, run, into))
    if (parts === false) return give(state, slot, -1)
    const out = Buffer.from(task.out, slot * RUN_BYTES, RUN_BYTES)
    let size = 0
    for (const part of parts) size += part.copy(out, size)
    release(parts)
    give(state, slot, size + 1)
  }
}

function give(state: Int32Array, slot: number, value: number): void {
  Atomics.store(state, slot, value)
  Atomics.notify(state, slot)
}

// The task is the one that startHelper made; other workers of the process carry other data.
if (!isMainThread && typeof workerData === 'object' && workerData !== null && 'ageHelper' in workerData) help(workerData as Task)
