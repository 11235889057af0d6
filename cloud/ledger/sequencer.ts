/**
 * The way into a log for many askers: entries that wait together are appended together, and each asker is told its index
 * once a witnessed checkpoint contains it. One sequencer runs for a log in a process; several processes may, the store
 * lets one continue at a time.
 *
 * Trusts the ledger. Bounded: who comes when too many wait is refused, and nothing is kept of it.
 */
import { refusalOf, type Result } from '@cloister/core/refusal'
import { ENTRY_BYTES_MAX } from '@cloister/core/log/tiles'
import { attemptAsync, orRefuse } from '@cloister/core/refusal'
import type { Head, Ledger } from './ledger.ts'

export interface Added { readonly index: number; readonly head: Head }
export interface SequencerOptions {
  /** Seconds since 1970, for the witnesses. */
  readonly clock: () => number
  /** Entries in one append; 4,096. More wait for the next. */
  readonly batch?: number
  /** Entries that may wait; 65,536. */
  readonly waiting?: number
}

interface Waiting { readonly entry: Uint8Array; readonly settle: (added: Result<Added>) => void }

export class Sequencer {
  readonly ledger: Ledger
  readonly #options: SequencerOptions
  readonly #queue: Waiting[] = []
  #running = false

  constructor(ledger: Ledger, options: SequencerOptions) {
    this.ledger = ledger
    this.#options = options
  }

  /**
   * Append an entry (at most 65,535 bytes). Resolves when a checkpoint that its witnesses cosigned contains it; refuses
   * `log.unavailable` when it is durable but not witnessed, or when too many wait.
   *
   * @example
   * const added = await new Sequencer(ledger, { clock }).add(utf8('an entry')) // → { ok: true, value: { index: 0, head } }
   */
  add(entry: Uint8Array): Promise<Result<Added>> {
    if (entry.length > ENTRY_BYTES_MAX) return Promise.resolve({ ok: false, refusal: refusalOf('bytes.too-large', 'log.entry', `at most ${ENTRY_BYTES_MAX} bytes`, `${entry.length} bytes`) })
    const most = this.#options.waiting ?? 65_536
    if (this.#queue.length >= most) return Promise.resolve({ ok: false, refusal: refusalOf('log.unavailable', 'log', `at most ${most} entries waiting`, 'one more', 'try again') })
    return new Promise(settle => {
      this.#queue.push({ entry, settle })
      if (!this.#running) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running = true
    // One turn of the event loop, so that what arrived together shares one append.
    await new Promise<void>(resolve => { setImmediate(resolve) })
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#options.batch ?? 4096)
      const done = await attemptAsync(async () => {
        const first = await this.ledger.append(batch.map(one => one.entry))
        return { first, head: orRefuse(await this.ledger.publish(this.#options.clock())) }
      })
      batch.forEach(({ settle }, i) => settle(done.ok ? { ok: true, value: { index: done.value.first + i, head: done.value.head } } : done))
    }
    this.#running = false
  }
}
