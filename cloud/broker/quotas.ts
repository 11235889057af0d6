/**
 * Every lineage is a domain of its own in a broker that it shares with strangers: what one asks for is counted against it
 * and never against another. What narrows is not counted: nobody's flood keeps an owner from taking something back.
 * Trusts nothing; a pure part of the machine.
 */
import type { Hash } from '@cloister/core/charter/types'
import { refuse } from '@cloister/core/refusal'
import type { Effect, Event, Outcome } from './events.ts'
import { keys, read, type Change, type State } from './state.ts'

export interface Quotas {
  /** Lineages in this broker. */
  readonly lineages: number
  /** Of each lineage: keys that are kept; receipts and bytes that it may add to the log in an hour. */
  readonly deposits: number
  readonly entriesPerHour: number
  readonly bytesPerHour: number
}
export const QUOTAS: Quotas = { lineages: 10_000, deposits: 8_192, entriesPerHour: 100_000, bytesPerHour: 256 << 20 }

/** What one lineage has added to the log in the hour that runs. */
export interface Used { readonly hour: number; readonly entries: number; readonly bytes: number }

/** The changes that account for an outcome. Leaves with `broker.quota` where it is too much; such an outcome does not happen. */
export function charge(quotas: Quotas, state: State, event: Event, { effects, changes }: Outcome): Change[] {
  const domain = domainOf(effects, event)
  if (domain === undefined || narrows(event)) return []
  if (event.kind === 'found' && read.lineage(state, domain) === undefined) within('lineages', state.keys(keys.lineage('' as Hash)).length + 1, quotas.lineages, 'ask another broker')
  const kept = changes.filter(change => change.key.startsWith(keys.deposits(domain)) && state.get(change.key) === undefined).length
  if (kept > 0) within('deposits', state.keys(keys.deposits(domain)).length + kept, quotas.deposits, 'give assets that are no longer used back')
  const logged = effects.filter(effect => effect.do === 'log' || effect.do === 'entry')
  if (logged.length === 0) return []
  const hour = Math.floor(event.now / HOUR)
  const before = read.quota(state, domain)
  const used = before?.hour === hour ? before : { hour, entries: 0, bytes: 0 }
  const next = { hour, entries: used.entries + logged.length, bytes: used.bytes + logged.reduce((sum, effect) => sum + sizeOf(effect), 0) }
  const wait = `wait ${(hour + 1) * HOUR - event.now} s`
  within('entriesPerHour', next.entries, quotas.entriesPerHour, wait)
  within('bytesPerHour', next.bytes, quotas.bytesPerHour, wait)
  return [{ key: keys.quota(domain), value: next }]
}

/** Taking back, taking back an approval, ending a key: always heard. */
const narrows = (event: Event): boolean => event.kind === 'act' && ['veto', 'revoke', 'rotate'].includes(event.act.verb)

/** The lineage that an outcome is about, as its receipt says; a guest's own receipt was compared with its session. */
function domainOf(effects: readonly Effect[], event: Event): Hash | undefined {
  if (event.kind === 'receipt') return typeof event.receipt.lineage === 'string' ? event.receipt.lineage as Hash : undefined // compared with the session's by `receive`
  const logged = effects.find(effect => effect.do === 'log')
  const lineage = logged?.do === 'log' ? logged.predicate['lineage'] : undefined
  return typeof lineage === 'string' ? lineage as Hash : undefined // written by this room
}

function within(at: keyof Quotas, wanted: number, most: number, fix: string): void {
  if (wanted > most) refuse('broker.quota', `quotas.${at}`, `at most ${most}`, String(wanted), fix)
}

const sizeOf = (effect: Effect): number => (effect.do === 'entry' ? effect.envelope.length : effect.do === 'log' ? JSON.stringify(effect.predicate).length : 0)
const HOUR = 3600
