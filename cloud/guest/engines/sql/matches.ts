/**
 * What the queries found, put down once: a table of handles for each output, and one table of the facts behind all
 * handles. Everything later reads these few rows and never the whole data again.
 */
import { refuse } from '@cloister/core/refusal'
import type { Engine } from './engine.ts'
import { LIMITS } from './limits.ts'
import type { ProgramOutput } from './program.ts'
import { PERSON, PERSON_LENGTH } from './shape.ts'

/** Runs every output's query; `tableOf` names its table. Leaves with `sql.limit` beyond the limit of matches. */
export async function putDownMatches(engine: Engine, outputs: readonly ProgramOutput[]): Promise<void> {
  await engine.run('create schema engine', 'engine')
  for (const [i, output] of outputs.entries()) {
    const rows = await engine.change(`create table ${tableOf(i)} as ${selectOf(output)} limit ${LIMITS.matchesMax + 1}`, output.name)
    if (rows > LIMITS.matchesMax) refuse('sql.limit', output.name, `at most ${LIMITS.matchesMax} matches`, 'more')
  }
  const handles = outputs.flatMap((output, i) => output.kind === 'rings' ? [`select a from ${tableOf(i)}`] : [`select a from ${tableOf(i)}`, `select b from ${tableOf(i)}`])
  await engine.run(`create table ${FACTS} as select d.rowid as claim, insurer::varchar as owner, claim_id, amount, vehicle, phone::varchar as phone, date_of_birth as born, ${PERSON('d')} as person, ${PERSON_LENGTH('d')} as size
    from data d where d.rowid in (${handles.join(' union ')})`, 'engine')
}

export const tableOf = (output: number) => `engine.matches_${output}`
export const FACTS = 'engine.facts'

function selectOf(output: ProgramOutput): string {
  switch (output.kind) {
    case 'pairs': return `select distinct least(a, b) as a, greatest(a, b) as b from (${output.sql})`
    case 'rings': return `select distinct ring::varchar as ring, a from (${output.sql}) where ring is not null`
    case 'aggregate': return `select least(a, b) as a, greatest(a, b) as b, min(${output.by.column}) as cell, max(${output.sum.column})::bigint as value from (${output.sql}) where ${output.sum.column} is not null group by least(a, b), greatest(a, b)`
  }
}
