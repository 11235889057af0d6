/**
 * Time in a simulated world: a queue of events that the seed puts in order. Whatever waits, waits here: a call to a disk, a
 * message, a timeout, even the turn of the event loop that a broker takes before it commits. Between two events everything
 * that can run has run, so a seed is one life, and nothing else is.
 *
 * A process that is killed takes its events with it: what it waited for never comes.
 */

/** A process in the world. Its `life` is counted up when it dies, so that what an earlier life waited for is lost. */
export interface Mortal { readonly name: string; life: number; up: boolean }

/** A stream of choices from a seed, by name: dropping one actor leaves the choices of the others as they were. */
export class Dice {
  #state: number

  constructor(seed: string) {
    this.#state = [...seed].reduce((hash, char) => Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0, 0x811c9dc5)
    for (let i = 0; i < 4; i++) this.below(2)
  }

  /** A whole number from 0 to n - 1 (splitmix32). */
  below(n: number): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) % n
  }

  oneIn(n: number): boolean { return this.below(n) === 0 }

  between(least: number, most: number): number { return least + this.below(most - least + 1) }

  pick<T>(from: readonly T[]): T {
    const found = from[this.below(from.length)]
    if (found === undefined) throw new RangeError('nothing to pick from')
    return found
  }
}

interface Waiting { readonly at: number; readonly order: number; readonly of: Mortal | undefined; readonly life: number; readonly go: () => void }

/** A life that goes on for more events than this hangs. */
const EVENTS_MAX = 200_000

export class Scheduler {
  /** Milliseconds since the world began. */
  ms = 0
  events = 0
  readonly #queue: Waiting[] = []
  #order = 0

  /** Do something `ms` from now, unless the process has died by then. */
  later(ms: number, of: Mortal | undefined, go: () => void): void {
    const one = { at: this.ms + ms, order: this.#order++, of, life: of?.life ?? 0, go }
    this.#queue.push(one)
    for (let i = this.#queue.length - 1; i > 0;) {
      const parent = (i - 1) >> 1
      if (!before(one, this.#at(parent))) break
      this.#swap(i, parent)
      i = parent
    }
  }

  wait(ms: number, of?: Mortal): Promise<void> {
    return new Promise(resolve => { this.later(ms, of, resolve) })
  }

  /** Live until `done` settles. Real timers do not exist meanwhile; a turn of the event loop is an event like any other. */
  async run<T>(done: Promise<T>): Promise<T> {
    let settled = false
    const finish = () => { settled = true }
    done.then(finish, finish)
    const turn = globalThis.setImmediate
    globalThis.setImmediate = ((go: () => void) => { this.later(0, undefined, go) }) as typeof turn // nobody here uses the handle it returns
    try {
      for (;;) {
        await drained()
        if (settled) return await done
        const next = this.#pop()
        if (next === undefined) throw new Error('everybody waits for something that never comes')
        if (++this.events > EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events`)
        this.ms = next.at
        if (next.of === undefined || next.of.life === next.life) next.go()
      }
    } finally {
      globalThis.setImmediate = turn
    }
  }

  #pop(): Waiting | undefined {
    const first = this.#queue[0]
    const last = this.#queue.pop()
    if (first === undefined || last === undefined || this.#queue.length === 0) return first
    this.#queue[0] = last
    for (let i = 0; ;) {
      const [left, right] = [2 * i + 1, 2 * i + 2]
      let least = i
      if (left < this.#queue.length && before(this.#at(left), this.#at(least))) least = left
      if (right < this.#queue.length && before(this.#at(right), this.#at(least))) least = right
      if (least === i) return first
      this.#swap(i, least)
      i = least
    }
  }

  #at(i: number): Waiting {
    const found = this.#queue[i]
    if (found === undefined) throw new RangeError('beyond the queue')
    return found
  }

  #swap(i: number, j: number): void {
    const [one, two] = [this.#at(i), this.#at(j)]
    this.#queue[i] = two
    this.#queue[j] = one
  }
}

const before = (a: Waiting, b: Waiting) => a.at < b.at || (a.at === b.at && a.order < b.order)
/** Ticks of Node come after every microtask: when this resolves, all that could run has run. */
const drained = () => new Promise<void>(resolve => { process.nextTick(resolve) })
