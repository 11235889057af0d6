/**
 * The gate as a pure function: `step(rules, state, event) → { state, changes, effects, reply }`. Clock, randomness, the head
 * of the log and every request come in with the event; keys, disk and network stay outside. The same function replays a
 * simulation, answers `why`, and lets any party check a broker against its log.
 *
 * The order of things is the shell's duty (broker.ts): changes and log entries are durable in one transaction, the log's
 * new head is witnessed, and only then a `seal` effect is carried out.
 */
import { utf8 } from '@cloister/core/bytes/text'
import { attempt, refuse } from '@cloister/core/refusal'
import { deposit } from './assets.ts'
import type { Event, Outcome, Rules, Step } from './events.ts'
import { join } from './join.ts'
import { actOn, found, propose, included } from './life.ts'
import { charge, QUOTAS } from './quotas.ts'
import { recovered } from './recovery.ts'
import { release, receive, why } from './release.ts'
import { after, keys, read, type State } from './state.ts'

/**
 * One step of the broker. A refusal changes nothing and has no effects.
 *
 * @example
 * step(rules, stateOf(new Map()), { kind: 'tick', now: 1_800_000_000, head: { time: 1_800_000_000, witnesses: 1, size: 0 }, next: 0 })
 */
export function step(rules: Rules, state: State, event: Event): Step {
  const result = attempt(() => {
    checkClock(state, event)
    const outcome = dispatch(rules, state, event)
    checkEntries(outcome)
    return withClock(state, event, { ...outcome, changes: [...outcome.changes, ...charge(rules.quotas ?? QUOTAS, state, event, outcome)] })
  })
  if (!result.ok) return { state, changes: [], effects: [], reply: result }
  const { changes, effects, reply } = result.value
  return { state: after(state, changes), changes, effects, reply: { ok: true, value: reply } }
}

/** An entry that no log takes is refused here, so that what was asked at the same time goes on. */
function checkEntries({ effects }: Outcome): void {
  for (const effect of effects) {
    const size = effect.do === 'log' ? utf8(JSON.stringify([effect.subject, effect.predicate])).length : 0
    if (size > RECEIPT_BYTES_MAX) refuse('broker.request', 'receipt', `at most ${RECEIPT_BYTES_MAX} bytes to state`, String(size), 'ask for less at once')
  }
}

function dispatch(rules: Rules, state: State, event: Event): Outcome {
  switch (event.kind) {
    case 'found': return found(rules, state, event)
    case 'propose': return propose(rules, state, event)
    case 'act': return actOn(rules, state, event)
    case 'deposit': return deposit(rules, state, event)
    case 'release': return release(rules, state, event)
    case 'why': return why(rules, state, event)
    case 'receipt': return receive(state, event)
    case 'recover': return recovered(rules, state, event)
    case 'join': return join(rules, state, event)
    case 'tick': return tick(state, event)
  }
}

/** A clock that was set back would make old heads fresh, old grants valid and spent windows new: nothing moves until it is right again. */
function checkClock(state: State, event: Event): void {
  const latest = read.clock(state)
  if (event.now < latest - CLOCK_BACK_SECONDS) refuse('head.stale', 'clock', `a time from ${new Date(latest * 1000).toISOString()}`, new Date(event.now * 1000).toISOString(), 'set the clock of the broker')
}

function withClock(state: State, event: Event, outcome: Outcome): Outcome {
  // Not beyond what the witnesses say: one clock that runs ahead must not stop every broker of this store for as long.
  const time = Math.min(event.now, event.head.time + CLOCK_BACK_SECONDS)
  if (outcome.changes.length === 0 || time <= read.clock(state)) return outcome
  return { ...outcome, changes: [...outcome.changes, { key: keys.clock, value: { time } }] }
}

/** Housekeeping: used challenges that no clock can make valid again, guests that are long gone, and notices that began to run. */
function tick(state: State, event: Event): Outcome {
  const spent = state.keys(keys.used('')).filter(key => {
    const until = read.used(state, key.slice(keys.used('').length))?.until
    return until !== undefined && until + CLOCK_BACK_SECONDS < event.now
  })
  const gone = state.keys(keys.session('')).filter(key => (read.session(state, key.slice(keys.session('').length))?.at ?? 0) + SESSION_SECONDS < event.now)
  return { changes: [...[...spent, ...gone].map(key => ({ key })), ...included(state, event)], effects: [], reply: { body: {} } }
}

/** How long after its release a guest may log the receipts of its run. */
const SESSION_SECONDS = 7 * 86_400

/** Of an entry's 65,535 bytes: base64 takes a third more, and the frame has a signature. */
const RECEIPT_BYTES_MAX = 48_000

/** How far the clock may step back (a correction by the time service) before the broker stands still. */
export const CLOCK_BACK_SECONDS = 60
