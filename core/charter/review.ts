/**
 * Review: what a change of the charter narrows and widens, for whom, and who must sign (charter.md section 6).
 *
 * *Narrow alone, widen together.* What counts as narrower is the order in `within.ts`. Trusts nothing; reads two normal forms.
 */
import { jcs } from '../bytes/jcs.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { charterDigest } from './canonical.ts'
import { durationSeconds, grantKey, own } from './parse.ts'
import type { Charter, Name, Party } from './types.ts'
import { grantWithin, ORDER, within, type Order } from './within.ts'

export interface Touched {
  readonly what: 'grant' | 'program' | 'asset' | 'parties' | 'change' | 'recover' | 'log'
  readonly name: string
  readonly effect: 'narrow' | 'widen' | 'rotate' | 'note'
  /** Whose signature the item needs: one of these owners for a narrowing, all of them for a widening, the party itself for a rotation. */
  readonly who: readonly Name[]
  readonly line: string
}
export interface Review {
  readonly change: 'narrow' | 'widen'
  readonly touched: readonly Touched[]
  /** Parties that must all sign. Empty for a narrowing of programs, where one of `oneOf` is enough. */
  readonly sign: readonly Name[]
  /** For each set, at least one member must sign. */
  readonly oneOf: readonly (readonly Name[])[]
  /** Asked of every widening; a rotation of keys alone needs none. */
  readonly quorum?: { readonly of: readonly Name[]; readonly need: number }
  /** Seconds that must pass between inclusion of the proposal and enactment. */
  readonly notice: number
  /** Whose veto ends the proposal until it is enacted. Nobody's for a narrowing. */
  readonly veto: readonly Name[]
  readonly lines: readonly string[]
}

/**
 * Compare a charter with its successor. Refuses `charter.not-a-successor` when epoch, `prev` or name do not follow, or
 * when nothing changed.
 */
export function review(p: Primitives, prev: Charter, next: Charter, order: Order = ORDER): Result<Review> {
  return attempt(() => {
    const digest = charterDigest(p, prev)
    if (next.epoch !== prev.epoch + 1) refuse('charter.not-a-successor', 'epoch', String(prev.epoch + 1), String(next.epoch))
    if (next.prev !== digest) refuse('charter.not-a-successor', 'prev', digest, next.prev ?? 'none', 'propose again on top of the newest charter')
    if (next.name !== prev.name) refuse('charter.not-a-successor', 'name', prev.name, next.name)
    const touched = [...grants(prev, next, order), ...programs(prev, next, order), ...assets(prev, next, order), ...parties(prev, next), ...wholes(prev, next)]
    if (touched.length === 0) refuse('charter.not-a-successor', '$', 'a change', 'the same charter')
    return conclude(prev, next, touched)
  })
}

const same = (a: unknown, b: unknown) => jcs(a ?? null) === jcs(b ?? null)

function grants(prev: Charter, next: Charter, order: Order): Touched[] {
  const before = new Map(prev.grants.map(grant => [grantKey(grant), grant]))
  const after = new Map(next.grants.map(grant => [grantKey(grant), grant]))
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap(key => {
    const [old, now] = [before.get(key), after.get(key)]
    const grant = now ?? old
    if (grant === undefined || same(old, now)) return []
    const who = unique([prev.assets[grant.asset]?.owner, next.assets[grant.asset]?.owner])
    const name = `${grant.asset} → ${grant.to} (${grant.can}${grant.as === undefined ? '' : ` as ${grant.as}`})`
    const effect = now === undefined || (old !== undefined && grantWithin(now, old, order)) ? 'narrow' : 'widen'
    const line = now === undefined ? `${name} is withdrawn` : old === undefined ? `${name} is new` : `${name}: ${differences(old, now)}`
    return [{ what: 'grant' as const, name, effect, who, line }]
  })
}

function programs(prev: Charter, next: Charter, order: Order): Touched[] {
  return changedNames(prev.programs, next.programs).map(name => {
    const [old, now] = [prev.programs[name], next.programs[name]]
    const granted = [...prev.grants.filter(g => g.to === name).map(g => prev.assets[g.asset]?.owner), ...next.grants.filter(g => g.to === name).map(g => next.assets[g.asset]?.owner)]
    if (old === undefined || now === undefined) {
      return { what: 'program' as const, name, effect: 'note' as const, who: [], line: `program ${name} is ${old === undefined ? 'new (it may do nothing until it is granted something)' : 'removed'}` }
    }
    return { what: 'program' as const, name, effect: within(order.program, now, old) ? 'narrow' as const : 'widen' as const, who: unique(granted), line: `program ${name}: ${differences(old, now)}` }
  })
}

function assets(prev: Charter, next: Charter, order: Order): Touched[] {
  return changedNames(prev.assets, next.assets).map(name => {
    const [old, now] = [prev.assets[name], next.assets[name]]
    const who = unique([old?.owner, now?.owner])
    if (old === undefined || now === undefined) return { what: 'asset' as const, name, effect: 'note' as const, who, line: `asset ${name} is ${old === undefined ? 'new' : 'removed'}` }
    return { what: 'asset' as const, name, effect: within(order.asset, now, old) ? 'narrow' as const : 'widen' as const, who, line: `asset ${name}: ${differences(old, now)}` }
  })
}

/**
 * A party that exchanges its own keys is light; every other change of parties touches every owner.
 *
 * *Why the party alone.* Whoever holds a party's old quorum can already say everything the party may say, and can lend its
 * keys to anybody: a successor with as many keys and no lower `need` lets nobody do what that quorum could not have caused.
 * No other party's voice changes, no quorum shrinks, and a key that is anybody else's is refused when the charter is read.
 * The new quorum signs too (`actsSatisfy` counts under both charters), so that nobody is locked out by a slip.
 *
 * *Why not at once.* A thief of a quorum could shut its owner out for good. So a rotation stays a widening in kind: it is
 * published, the notice runs, and its party (the old keys still sign) or any owner may veto. What decides under the next
 * charter and not under the old one is a fact signed by a new key, which is why it may never count as a narrowing (6.4).
 *
 * *Why no quorum of others.* Where all must sign to widen, it would be no lighter than before, and keys that are hard to
 * exchange are kept too long (dstack #1287).
 */
function parties(prev: Charter, next: Charter): Touched[] {
  const changed = changedNames(prev.parties, next.parties)
  if (changed.length > 0 && changed.every(name => rotates(own(prev.parties, name), own(next.parties, name)))) {
    return changed.map(name => ({ what: 'parties' as const, name, effect: 'rotate' as const, who: [name], line: `${name} exchanges its own keys: ${differences(prev.parties[name], next.parties[name])}` }))
  }
  return changed.length === 0 ? [] : [whole('parties', prev, next)]
}

/** As many keys or more, no lower `need`. Recipients for results (`seal`) are a party's own keys as well. */
const rotates = (old: Party | undefined, now: Party | undefined): boolean =>
  old !== undefined && now !== undefined && now.keys.length >= old.keys.length && (now.need ?? 1) >= (old.need ?? 1)

/** Change rule, recovery and log are nobody's alone: every owner is touched. */
function wholes(prev: Charter, next: Charter): Touched[] {
  return (['change', 'recover', 'log'] as const).filter(part => !same(prev[part], next[part])).map(part => whole(part, prev, next))
}

const whole = (part: 'parties' | 'change' | 'recover' | 'log', prev: Charter, next: Charter): Touched =>
  ({ what: part, name: part, effect: 'widen', who: ownersOf(prev, next), line: `${part}: ${differences(prev[part] ?? {}, next[part] ?? {})}` })

const ownersOf = (prev: Charter, next: Charter): Name[] => unique([...Object.values(prev.assets), ...Object.values(next.assets)].map(asset => asset.owner))

function conclude(prev: Charter, next: Charter, touched: readonly Touched[]): Review {
  const widens = touched.filter(item => item.effect === 'widen' || item.effect === 'rotate')
  const others = touched.filter(item => !widens.includes(item) && item.who.length > 0)
  const change = widens.length > 0 ? 'widen' as const : 'narrow' as const
  // Alone, a narrowing needs one of its owners; carried along by a widening it needs all of them, so that nothing hides in the bundle.
  const alone = others.filter(item => item.who.length === 1 || change === 'widen').flatMap(item => item.who)
  const sign = unique([...widens.flatMap(item => item.who), ...alone])
  const oneOf = change === 'widen' ? [] : others.filter(item => item.who.length > 1).map(item => item.who)
  const mark = { widen: '+', rotate: '↻', narrow: '−', note: '·' }
  const lines = touched.map(item => `${mark[item.effect]} ${item.line}${item.who.length === 0 ? '' : `   [${item.who.join(', ')}]`}`)
  if (change === 'narrow') return { change, touched, sign, oneOf, notice: 0, veto: [], lines }
  const rotated = touched.some(item => item.effect === 'rotate')
  const quorum = touched.some(item => item.effect === 'widen') ? { quorum: { of: prev.change.widen.of, need: prev.change.widen.need } } : {}
  const veto = unique([...touched.flatMap(item => item.who), ...(rotated ? ownersOf(prev, next) : [])])
  return { change, touched, sign, oneOf, ...quorum, notice: durationSeconds(prev.change.widen.notice), veto, lines }
}

function changedNames(prev: Record<string, unknown>, next: Record<string, unknown>): string[] {
  return [...new Set([...Object.keys(prev), ...Object.keys(next)])].sort().filter(name => !same(prev[name], next[name]))
}

/** The fields that differ, as `path: old → new`. */
function differences(prev: unknown, next: unknown): string {
  const [before, after] = [flatten(prev, ''), flatten(next, '')]
  const paths = [...new Set([...before.keys(), ...after.keys()])].filter(path => before.get(path) !== after.get(path)).sort()
  const shown = paths.slice(0, 6).map(path => `${path} ${before.get(path) ?? '(none)'} → ${after.get(path) ?? '(none)'}`)
  return shown.join(', ') + (paths.length > 6 ? `, and ${paths.length - 6} more` : '')
}

function flatten(value: unknown, path: string, into = new Map<string, string>()): Map<string, string> {
  if (typeof value !== 'object' || value === null) return into.set(path, String(value))
  for (const [key, inner] of Object.entries(value)) flatten(inner, path === '' ? key : `${path}.${key}`, into)
  return into
}

function unique(names: readonly (Name | undefined)[]): Name[] {
  return [...new Set(names.filter(name => name !== undefined))].sort()
}
