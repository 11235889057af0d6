/**
 * Case rows (clean-room.md section 6, rules 1 to 3): every receiver gets its own claims and nothing else, both sides of a
 * match get the same opaque case number, and what a row says is the engine's choice: claim id, case, score, reasons.
 * The query only says which claims belong together; its numbers and texts never reach a row.
 */
import { refuse } from '@cloister/core/refusal'
import type { Engine } from './engine.ts'
import type { Opaque } from './opaque.ts'
import { LIMITS } from './limits.ts'
import { FACTS, tableOf } from './matches.ts'
import type { ProgramOutput, RowsOutput } from './program.ts'

export interface ClaimRef { readonly owner: string; readonly id: string }
export interface Case { readonly number: string; readonly claims: readonly ClaimRef[]; score: number; readonly reasons: string[] }
export interface CaseRow { readonly claim_id: string; readonly case: string; readonly score: number; readonly reasons: readonly string[] }

/** All cases of the rows outputs, each set of claims once, with every reason that found it. */
export async function findCases(engine: Engine, outputs: readonly ProgramOutput[], opaque: Opaque): Promise<Case[]> {
  const cases = new Map<string, Case>()
  for (const [i, output] of outputs.entries()) {
    if (output.kind === 'aggregate') continue
    const found = new Set<string>()
    for (const claims of output.kind === 'pairs' ? await pairs(engine, output, tableOf(i)) : await rings(engine, output, tableOf(i))) {
      const sorted = claims.sort((a, b) => order(a.owner, b.owner) || order(a.id, b.id))
      const key = sorted.map(({ owner, id }) => `${owner}\0${id}`).join('\0')
      const known = cases.get(key) ?? { number: opaque('cloister/case/1', sorted.flatMap(({ owner, id }) => [owner, id])), claims: sorted, score: 0, reasons: [] }
      cases.set(key, known)
      if (found.has(key)) continue
      found.add(key)
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

async function pairs(engine: Engine, output: RowsOutput, table: string): Promise<ClaimRef[][]> {
  const [owners = [], ids = [], otherOwners = [], otherIds = []] = await engine.columns(
    `select x.owner, x.claim_id, y.owner, y.claim_id from ${table} m join ${FACTS} x on x.claim = m.a join ${FACTS} y on y.claim = m.b where x.owner <> y.owner`, output.name)
  return owners.map((owner, i) => [{ owner: String(owner), id: String(ids[i]) }, { owner: String(otherOwners[i]), id: String(otherIds[i]) }])
}

/** Groups with claims of enough owners. A group too large to be a ring (a default value that many share) is left out. */
async function rings(engine: Engine, output: RowsOutput, table: string): Promise<ClaimRef[][]> {
  const [keys = [], owners = [], ids = []] = await engine.columns(`select m.ring, x.owner, x.claim_id from ${table} m join ${FACTS} x on x.claim = m.a`, output.name)
  const groups = new Map<string, ClaimRef[]>()
  for (const [i, key] of keys.entries()) {
    const group = groups.get(String(key)) ?? []
    group.push({ owner: String(owners[i]), id: String(ids[i]) })
    groups.set(String(key), group)
  }
  return [...groups.values()].filter(group => group.length <= LIMITS.ringClaimsMax && new Set(group.map(({ owner }) => owner)).size >= output.owners)
}

/** By code unit: the same on every machine. */
export const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
