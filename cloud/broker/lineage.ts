/**
 * What every event about a lineage begins and ends with: its newest charter, an act that fits, the versions of its keys.
 * Trusts the state it is handed and the port; an act counts only when its signature and every field fit.
 */
import { verifyAct, type Act } from '@cloister/core/charter/acts'
import type { Charter, Hash, Name } from '@cloister/core/charter/types'
import { orRefuse, refuse } from '@cloister/core/refusal'
import type { Rules } from './events.ts'
import { keys, read, type Change, type KeyVersion, type Lineage, type State } from './state.ts'

/** The newest charter of a lineage. Leaves with `head.unknown-charter`. */
export function newest(state: State, name: Hash): { lineage: Lineage; charter: Charter } {
  const lineage = read.lineage(state, name)
  const record = lineage === undefined ? undefined : read.charter(state, lineage.digest)
  return lineage === undefined || record === undefined ? refuse('head.unknown-charter', 'lineage', 'a lineage of this broker', name) : { lineage, charter: record.charter }
}

export interface ActAbout { readonly verb: Act['verb']; readonly lineage: Hash; readonly digest: Hash; readonly epoch: number; readonly prev: Hash | undefined; readonly subject?: string }

/** Signed by a party of one of these charters, and about exactly this verb, digest, epoch and predecessor. */
export function checkAct(rules: Rules, charters: readonly Charter[], act: Act, about: ActAbout): void {
  for (const field of ['verb', 'lineage', 'digest', 'epoch', 'prev', 'subject'] as const) {
    if (field === 'subject' && about.verb !== 'put') continue // its verb reads it
    if (act[field] !== about[field]) refuse('charter.act', `act.${field}`, String(about[field]), String(act[field]), 'sign the act again for this charter')
  }
  const verdicts = charters.map(charter => verifyAct(rules.p, charter, act))
  const good = verdicts.find(verdict => verdict.ok) ?? verdicts[0]
  if (good !== undefined) orRefuse(good)
}

/** Versions of keys: assets named in `changed` (also when the charter has them no more), and assets under a new owner, get the next one. */
export function versionsAfter(before: Lineage['versions'], charter: Charter, changed: readonly Name[]): Lineage['versions'] {
  const raised = Object.entries(before).map(([name, old]): [Name, KeyVersion] => [name, changed.includes(name) ? { ...old, version: old.version + 1 } : old])
  const next: Record<Name, KeyVersion> = Object.fromEntries(raised)
  for (const [name, { owner }] of Object.entries(charter.assets)) {
    const old = before[name]
    next[name] = { owner, version: old === undefined ? 1 : old.owner !== owner || changed.includes(name) ? old.version + 1 : old.version }
  }
  return next
}

/** The acts that wait for more signatures, with one more; the same key's word on the same thing stands once. Leaves with `broker.request`. */
export function withOpenAct(open: readonly Act[], act: Act): readonly Act[] {
  const others = open.filter(one => !(one.party === act.party && one.key === act.key && one.subject === act.subject))
  // By party, so that nobody can fill the place of others.
  if (others.filter(one => one.party === act.party).length >= OPEN_MAX) refuse('broker.request', 'act', `at most ${OPEN_MAX} open acts of one party`, 'one more', 'wait for the others, or for the next epoch')
  return [...others, act]
}
const OPEN_MAX = 64

export const setLineage = (lineage: Lineage): Change[] => [{ key: keys.lineage(lineage.lineage), value: lineage }]
