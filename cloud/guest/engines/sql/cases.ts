/**
 * Case rows (clean-room.md section 6, rules 1 to 3): every receiver gets its own claims and nothing else, both sides of a
 * match get the same opaque case number, and what a row says is the engine's choice: claim id, case, score, reasons.
 * The query only says which claims belong together; its numbers and texts never reach a row.
 */
import { toHex } from '@cloister/core/bytes/hex'
import { framed } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import type { Engine } from './engine.ts'
import { LIMITS } from './limits.ts'
import type { RowsOutput } from './program.ts'

export interface ClaimRef { readonly owner: string; readonly id: string }
export interface Case { readonly number: string; readonly claims: readonly ClaimRef[]; score: number; readonly reasons: string[] }
export interface CaseRow { readonly claim_id: string; readonly case: string; readonly score: number; readonly reasons: readonly string[] }

/** A keyed, truncated name: equal for all who share the room's key, telling nothing to anybody else (80 bits). */
export function opaque(p: Primitives, roomKey: Uint8Array, label: string, parts: readonly string[]): string {
  return toHex(p.hmac('sha256', roomKey, framed(label, ...parts.map(part => utf8(part)))).subarray(0, 10))
}

/** All cases of the rows outputs, each set of claims once, with every reason that found it. */
export async function findCases(p: Primitives, engine: Engine, outputs: readonly RowsOutput[], roomKey: Uint8Array): Promise<Case[]> {
  const cases = new Map<string, Case>()
  for (const output of outputs) {
    const found = new Set<string>()
    for (const claims of output.kind === 'pairs' ? await pairs(engine, output) : await rings(engine, output)) {
      const sorted = [...claims].sort((a, b) => order(a.owner, b.owner) || order(a.id, b.id))
      const number = opaque(p, roomKey, 'cloister/case/1', sorted.flatMap(({ owner, id }) => [owner, id]))
      const known = cases.get(number) ?? { number, claims: sorted, score: 0, reasons: [] }
      cases.set(number, known)
      if (found.has(number)) continue
      found.add(number)
      known.reasons.push(output.name)
      // Independent reasons add up: what remains unexplained is multiplied.
      known.score = 100 - Math.ceil((100 - known.score) * (100 - output.score) / 100)
    }
  }
  return [...cases.values()].sort((a, b) => order(a.number, b.number))
}

/** What one owner may see: a row for each of its own claims in each case. */
export function rowsFor(owner: string, cases: readonly Case[]): CaseRow[] {
  const rows = cases.flatMap(found => found.claims.filter(claim => claim.owner === owner)
    .map(({ id }) => ({ claim_id: id, case: found.number, score: found.score, reasons: found.reasons })))
  return rows.length > LIMITS.caseRowsMax ? refuse('sql.limit', owner, `at most ${LIMITS.caseRowsMax} case rows for one receiver`, String(rows.length)) : rows
}

async function pairs(engine: Engine, output: RowsOutput): Promise<ClaimRef[][]> {
  const [owners = [], ids = [], otherOwners = [], otherIds = []] = await engine.columns(
    `select x.insurer::varchar, x.claim_id, y.insurer::varchar, y.claim_id from (${matches(output.sql, 'least(a, b) as a, greatest(a, b) as b')}) m
     join data x on x.rowid = m.a join data y on y.rowid = m.b where x.insurer <> y.insurer`, output.name)
  checkCount(owners, output.name)
  return owners.map((owner, i) => [{ owner: String(owner), id: String(ids[i]) }, { owner: String(otherOwners[i]), id: String(otherIds[i]) }])
}

/** Groups with claims of enough owners. A group too large to be a ring (a default value that many share) is left out. */
async function rings(engine: Engine, output: RowsOutput): Promise<ClaimRef[][]> {
  const [keys = [], owners = [], ids = []] = await engine.columns(
    `select m.ring::varchar, x.insurer::varchar, x.claim_id from (${matches(output.sql, 'ring, a')}) m join data x on x.rowid = m.a where m.ring is not null`, output.name)
  checkCount(keys, output.name)
  const groups = new Map<string, ClaimRef[]>()
  for (const [i, key] of keys.entries()) {
    const group = groups.get(String(key)) ?? []
    group.push({ owner: String(owners[i]), id: String(ids[i]) })
    groups.set(String(key), group)
  }
  return [...groups.values()].filter(group => group.length <= LIMITS.ringClaimsMax && new Set(group.map(({ owner }) => owner)).size >= output.owners)
}

const matches = (sql: string, columns: string) => `select distinct ${columns} from (${sql}) limit ${LIMITS.matchesMax + 1}`

export function checkCount(rows: readonly unknown[], at: string): void {
  if (rows.length > LIMITS.matchesMax) refuse('sql.limit', at, `at most ${LIMITS.matchesMax} matches`, 'more')
}

/** By code unit: the same on every machine. */
export const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
