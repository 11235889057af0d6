/**
 * The same evidence at two times: judged with the collateral of then, and with today's. Old evidence is not made good or
 * bad by this: it shows what has been learned since (a level that fell, an advisory, a revocation). Trusts: the claims.
 */
import type { Claims } from '../evidence/claims.ts'
import type { Result } from '../refusal.ts'
import { shortfall, tcbStatus } from './tcb.ts'

export interface Difference { readonly path: string; readonly then: string; readonly today: string }

/**
 * In what two verdicts on the same evidence differ: the verdict itself, else the status, the shortfall and each claim.
 * Empty when nothing has changed.
 *
 * @example
 * differencesOf(verifyEvidence(p, evidence, { now: then }), verifyEvidence(p, withTodaysCollateral, { now: today }))
 * // → [{ path: 'tcb', then: 'UpToDate', today: 'OutOfDate' }, { path: 'facts.advisories', … }]
 */
export function differencesOf(then: Result<Claims>, today: Result<Claims>): Difference[] {
  return differences(lines(then), lines(today))
}

function differences(then: ReadonlyMap<string, string>, today: ReadonlyMap<string, string>): Difference[] {
  // Of a refusal there is one thing to say: comparing all claims with nothing would bury it.
  const paths = then.get('verdict') === 'accepted' && today.get('verdict') === 'accepted' ? new Set([...then.keys(), ...today.keys()]) : ['verdict']
  return [...paths].filter(path => then.get(path) !== today.get(path)).map(path => ({ path, then: then.get(path) ?? 'absent', today: today.get(path) ?? 'absent' }))
}

function lines(judged: Result<Claims>): Map<string, string> {
  const out = new Map<string, string>()
  if (!judged.ok) {
    const { code, at, expected, got } = judged.refusal
    return out.set('verdict', `refused: ${code} at ${at}: expected ${expected}, got ${got}`)
  }
  out.set('verdict', 'accepted').set('tcb', tcbStatus(judged.value)).set('shortfall', shortfall(judged.value) ?? 'none')
  const { endorsements: _, ...claims } = judged.value
  flatten(claims, '', out)
  return out
}

function flatten(value: unknown, path: string, out: Map<string, string>): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return void out.set(path, Array.isArray(value) ? value.map(one => JSON.stringify(one)).join(', ') || 'none' : String(value))
  for (const [key, one] of Object.entries(value)) flatten(one, path === '' ? key : `${path}.${key}`, out)
}
