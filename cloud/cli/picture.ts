/**
 * A change on the screen: what it narrows and widens, for whom, who has signed, who is still to, from when. Colour only on
 * a terminal and never as the only sign. Shows what `change.ts` has verified; what a broker says is shown as its word.
 */
import { foundingLines, kindOf, whenLines } from './change-words.ts'
import type { ChangeRequest, ChangeStanding, PartyStanding } from './change.ts'
import type { LineageView } from '../sdk/broker.ts'
import type { Screen } from './screen.ts'

/** `includedAt`: when the log had the proposal (seconds since 1970); `history`: the digests that a broker has had in force, the newest last. */
export interface Seen { readonly includedAt?: number; readonly history?: readonly string[] }

export function picture(screen: Screen, change: ChangeRequest, standing: ChangeStanding, seen: Seen): void {
  const { next, reviewed } = change
  screen.say(`${next.name}, epoch ${next.epoch}: ${paint(reviewed?.change === 'widen' ? '33' : '32', kindOf(change))}`)
  for (const line of reviewed?.lines ?? foundingLines(next)) screen.say(`  ${marked(line)}`)
  signatures(screen, change, standing)
  screen.say('from when')
  const newest = seen.history?.at(-1)
  const past = newest === change.digest ? ['in force now'] : seen.history?.includes(change.digest) === true ? [`was in force; the newest is ${newest}`] : undefined
  for (const line of past ?? [...whenLines(change), ...dueLines(change, standing, seen)]) screen.say(`  ${line}`)
  if (past === undefined && newest !== undefined && newest !== next.prev) screen.warn(`STALE: the broker has ${newest} in force; propose again on top of it`)
}

/** Who must sign and why, and who has. */
export function signatures(screen: Screen, { reviewed }: ChangeRequest, standing: ChangeStanding): void {
  screen.say(`who must sign${standing.approved ? ': everybody has' : ''}`)
  const asked = standing.parties.filter(one => one.asked.length > 0 || one.keys.length > 0 || one.vetoed)
  for (const one of asked) screen.say(`  ${partyLine(one)}`)
  if (!asked.some(one => one.asked.length > 0)) screen.say('  any one party')
  for (const set of reviewed?.oneOf ?? []) screen.say(`  one of ${set.join(', ')} is enough`)
  if (reviewed?.quorum !== undefined) screen.say(`  the quorum is ${reviewed.quorum.need} of ${reviewed.quorum.of.join(', ')}`)
}

function partyLine({ party, approved, vetoed, keys, keysNeeded, asked }: PartyStanding): string {
  const why = asked.length === 0 ? 'not asked' : asked.map(one => REASONS[one]).join(', ')
  if (vetoed) return `${paint('31', '✘')} ${party} vetoed (${why})`
  if (approved) return `${paint('32', '✔')} ${party} approved (${why}; key ${keys.join(', ')})`
  return `${paint('33', '…')} ${party} has not approved (${why}; ${keys.length} of ${keysNeeded} keys)`
}
const REASONS: Record<PartyStanding['asked'][number], string> = { founder: 'founds', owner: 'its own is touched', 'one-of': 'some of its own is touched', quorum: 'quorum' }

function dueLines({ reviewed }: ChangeRequest, { approved }: ChangeStanding, { includedAt }: Seen): string[] {
  if (includedAt === undefined || reviewed === undefined) return []
  const due = includedAt + reviewed.notice
  return [`the log has the proposal since ${time(includedAt)}; earliest enactment ${time(due)}${approved && due * 1000 <= Date.now() ? ': it may be enacted now' : ''}`]
}

export const time = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000', '')

const marked = (line: string) => (/^[+↻]/.test(line) ? paint('33', line) : line.startsWith('−') ? paint('32', line) : line)

/** Emergencies that run and those that wait for signatures: loud, on every screen that shows a cloud. */
export function emergencies(screen: Screen, view: LineageView, now: number): void {
  for (const { sequence, grant, until, signed } of view.emergencies.filter(one => one.until > now)) {
    screen.say(paint('41;97;1', ` EMERGENCY ${sequence} RUNS until ${time(until)}: ${grant.asset} → ${grant.to} (${grant.can}), signed by ${signed.join(', ')} `))
  }
  const waiting = view.openActs.filter(act => act.verb === 'emergency')
  for (const subject of new Set(waiting.map(act => act.subject))) screen.warn(`an emergency waits for signatures: ${subject}; signed by ${waiting.filter(act => act.subject === subject).map(act => act.party).join(', ')}`)
}

/** Colour for people at a terminal. */
export function paint(code: string, text: string): string {
  return process.stderr.isTTY === true && process.env['NO_COLOR'] === undefined ? `\x1b[${code}m${text}\x1b[0m` : text
}
