/**
 * From reviewed bytes to statements that may run: parse the file, judge each section's tree, bind everything against an
 * empty table (so that type errors show before any data is opened) and check that each output yields its columns.
 */
import { refuse } from '@cloister/core/refusal'
import { checkTree } from './ast.ts'
import type { Engine } from './engine.ts'
import { parseProgram, type ProgramOutput, type ProgramView } from './program.ts'
import { tableSql } from './shape.ts'

/** Sections whose `sql` is the checked tree turned back into text. */
export interface CheckedProgram { readonly views: readonly ProgramView[]; readonly outputs: readonly ProgramOutput[] }

/** Leaves the current `attempt` with a `sql.*` refusal. The engine keeps the empty tables it bound against. */
export async function checkProgram(engine: Engine, bytes: Uint8Array, owners: readonly string[]): Promise<CheckedProgram> {
  const program = parseProgram(bytes)
  for (const statement of tableSql(owners)) await engine.run(statement, 'engine')
  const known = new Map<string, readonly string[]>()
  const views: ProgramView[] = []
  for (const view of program.views) {
    const { sql, columns } = await checkSection(engine, view, known)
    known.set(view.name, columns)
    await engine.run(`create view ${view.name} as ${sql}`, view.name)
    views.push({ ...view, sql })
  }
  const outputs: ProgramOutput[] = []
  for (const output of program.outputs) {
    const { sql, columns } = await checkSection(engine, output, known)
    await checkColumns(engine, output, sql, columns)
    outputs.push({ ...output, sql })
  }
  for (const view of [...views].reverse()) await engine.run(`drop view ${view.name}`, view.name)
  return { views, outputs }
}

async function checkSection(engine: Engine, section: { readonly name: string; readonly sql: string }, known: ReadonlyMap<string, readonly string[]>) {
  if (section.sql.trim() === '') refuse('sql.statement', section.name, 'one SELECT', 'nothing')
  const tree = await engine.parse(section.sql, section.name)
  const columns = checkTree(tree, section.name, known)
  const twice = columns.find((column, i) => columns.indexOf(column) !== i)
  if (twice !== undefined) refuse('sql.column', section.name, 'each column once', twice)
  return { columns, sql: (await engine.text(tree, section.name)).replace(/;\s*$/, '') }
}

const HANDLE = ['BIGINT']

/** An output yields exactly the columns its header announces, in that order, with types that cannot smuggle text. */
async function checkColumns(engine: Engine, output: ProgramOutput, sql: string, columns: readonly string[]): Promise<void> {
  const wanted: readonly (readonly [string, readonly string[] | undefined])[] = output.kind === 'aggregate'
    ? [['a', HANDLE], ['b', HANDLE], [output.by.column, ['VARCHAR']], [output.sum.column, ['BIGINT', 'INTEGER']]]
    : output.kind === 'rings' ? [['ring', undefined], ['a', HANDLE]] : [['a', HANDLE], ['b', HANDLE]]
  const names = wanted.map(([name]) => name)
  if (names.join() !== columns.join()) refuse('sql.output', output.name, `columns ${names.join(', ')}`, columns.join(', '))
  const described = await engine.rows(`describe ${sql}`, output.name)
  for (const [i, [name, types]] of wanted.entries()) {
    const type = String(described[i]?.['column_type'])
    if (types !== undefined && !types.includes(type)) refuse('sql.output', output.name, `${name}: ${types.join(' or ')}`, type)
  }
}
