/**
 * Who may configure a node: terms, oldest first, each some keys and, where a charter governs, its digest. A configuration
 * belongs to one term, its term is never older than the one before it, and a node opens only what belongs to the newest term
 * that it knows. So keys rotate and charters move on while the loop's history stays readable. Trusts whoever wrote the terms.
 */
import { charterDigest } from '../charter/canonical.ts'
import type { Charter, Hash } from '../charter/types.ts'
import { algorithmOf, parseKey } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'

export interface Term { readonly keys: readonly string[]; readonly charter?: Hash }
export type Authority = readonly Term[]

/**
 * The terms of a party over the epochs of a charter, oldest first. Refuses `charter.dangling` for a party that is not there, and
 * `charter.quorum` for one that needs several signatures: a configuration carries one.
 *
 * @example
 * authorityOf(p, [charter], 'operations') // → { ok: true, value: [{ keys: ['ed25519:…'], charter: 'sha256:…' }] }
 */
export function authorityOf(p: Primitives, charters: readonly Charter[], party: string): Result<Authority> {
  return attempt(() => charters.map((charter, i) => {
    const at = `charters[${i}].parties.${party}`
    const found = Object.hasOwn(charter.parties, party) ? charter.parties[party] : undefined
    if (found === undefined) return refuse('charter.dangling', at, Object.keys(charter.parties).join(', '), party)
    if ((found.need ?? 1) > 1) refuse('charter.quorum', `${at}.need`, '1', String(found.need), 'let the party name another for its nodes, with one key each')
    // A passkey signs acts of a person; what a machine signs every few minutes has a plain key.
    return { keys: found.keys.filter(key => attempt(() => algorithmOf(parseKey(key))).ok), charter: charterDigest(p, charter) }
  }))
}

export const keysOf = (authority: Authority): readonly string[] => [...new Set(authority.flatMap(term => term.keys))]

/** Index of the term of a configuration, -1 for none. */
export function termOf(authority: Authority, key: string, charter: Hash | undefined): number {
  return authority.findLastIndex(term => term.charter === charter && term.keys.includes(key))
}

/** Leaves with `receipt.charter` unless this key signs in the newest term. */
export function checkNewest(authority: Authority, key: string, charter: Hash | undefined, at: string): void {
  const newest = authority.at(-1)
  if (newest === undefined || newest.charter !== charter || !newest.keys.includes(key)) refuse('receipt.charter', at, newest?.charter ?? 'a key of the newest term', charter ?? 'another key', 'only what belongs to the newest charter that is known is opened')
}
