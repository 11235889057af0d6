/**
 * The reviewed program: one text file, read by people and parsed here into its sections. No SQL is understood here
 * (ast.ts does that); what an output means, and how it is bounded, stands in its header line, not in its query.
 *
 * ```
 * -- cloister sql/1
 * -- input claim_id text, person_name text, …          the columns it reads, exactly (shape.ts)
 * -- view NAME                                          one SELECT, computed once, readable by later sections
 * -- output NAME shape=rows about=own of=pairs score=80                  SELECT a, b      two claims of two owners
 * -- output NAME shape=rows about=own of=rings owners=3 score=95         SELECT ring, a   claims that belong together
 * -- output NAME shape=aggregate by=loss_type(collision|…) sum=amount(2000000) per-person=2   SELECT a, b, loss_type, amount
 * ```
 * Other comment lines are for readers. Trusts nothing.
 */
import { fromUtf8 } from '@cloister/core/bytes/text'
import { refuse } from '@cloister/core/refusal'
import { LIMITS } from './limits.ts'
import { CLAIMS_COLUMNS, INPUT_DECLARATION } from './shape.ts'

export interface RowsOutput {
  readonly kind: 'pairs' | 'rings'
  readonly name: string
  readonly sql: string
  readonly score: number
  /** A ring counts only with claims of at least so many owners; a pair always has two. */
  readonly owners: number
}
export interface AggregateOutput {
  readonly kind: 'aggregate'
  readonly name: string
  readonly sql: string
  /** The closed list of values of the cell's column: cells are fixed, never data (clean-room.md section 6, rule 8). */
  readonly by: { readonly column: string; readonly values: readonly string[] }
  readonly sum: { readonly column: string; readonly clip: number }
  /** How many claims of one person may count, at most. */
  readonly perPerson: number
}
export type ProgramOutput = RowsOutput | AggregateOutput
export interface ProgramView { readonly name: string; readonly sql: string }
export interface SqlProgram { readonly views: readonly ProgramView[]; readonly outputs: readonly ProgramOutput[] }

const FIRST = '-- cloister sql/1'
const SECTION = /^-- (view|output|input) (.+)$/
const NAME = /^[a-z][a-z0-9-]{0,31}$/
const IDENTIFIER = /^[a-z][a-z0-9_]{0,31}$/

/** Leaves the current `attempt` with `sql.syntax`. */
export function parseProgram(bytes: Uint8Array): SqlProgram {
  if (bytes.length > LIMITS.programBytesMax) refuse('sql.syntax', 'program', `at most ${LIMITS.programBytesMax} bytes`, `${bytes.length} bytes`)
  const [first, ...lines] = fromUtf8(bytes).split('\n')
  if (first !== FIRST) refuse('sql.syntax', 'line 1', FIRST, first ?? 'nothing')
  const sections = sectionsOf(lines)
  const inputs = sections.filter(section => section.kind === 'input')
  if (inputs.length !== 1 || inputs[0]?.header !== INPUT_DECLARATION) {
    refuse('sql.syntax', '-- input', `one line: -- input ${INPUT_DECLARATION}`, inputs.map(input => input.header).join(' and ') || 'none')
  }
  const views = sections.filter(section => section.kind === 'view').map(viewOf)
  const outputs = sections.filter(section => section.kind === 'output').map(outputOf)
  if (outputs.length === 0) refuse('sql.syntax', 'program', 'at least one section -- output', 'none')
  const names = [...views, ...outputs].map(section => section.name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) refuse('sql.syntax', twice, 'each name once', 'a second section of that name')
  return { views, outputs }
}

interface Section { readonly kind: string; readonly header: string; readonly line: number; readonly body: string[] }

function sectionsOf(lines: readonly string[]): Section[] {
  const sections: Section[] = []
  for (const [i, line] of lines.entries()) {
    const header = SECTION.exec(line)
    if (header !== null) sections.push({ kind: header[1] ?? '', header: (header[2] ?? '').trim(), line: i + 2, body: [] })
    else if (!line.startsWith('--') && line.trim() !== '') {
      const section = sections.at(-1)
      if (section === undefined || section.kind === 'input') refuse('sql.syntax', `line ${i + 2}`, 'a section -- view or -- output before any SQL', 'SQL')
      section.body.push(line)
    }
  }
  if (sections.length > LIMITS.sectionsMax) refuse('sql.syntax', 'program', `at most ${LIMITS.sectionsMax} sections`, String(sections.length))
  return sections
}

function viewOf({ header, line, body }: Section): ProgramView {
  if (!IDENTIFIER.test(header) || header === 'claims' || header === 'data' || CLAIMS_COLUMNS.includes(header)) {
    refuse('sql.syntax', `line ${line}`, 'a view name in lower case that is not a column', header)
  }
  return { name: header, sql: body.join('\n') }
}

function outputOf({ header, line, body }: Section): ProgramOutput {
  const [name = '', ...words] = header.split(/\s+/)
  const at = `line ${line}`
  if (!NAME.test(name)) refuse('sql.syntax', at, 'an output name: lower case, digits, hyphens', name)
  const options = new Map<string, string>()
  for (const word of words) {
    const [key = '', value] = word.split('=')
    if (value === undefined || options.has(key)) refuse('sql.syntax', at, 'options KEY=VALUE, each once', word)
    options.set(key, value)
  }
  const take = (key: string) => {
    const value = options.get(key)
    options.delete(key)
    return value ?? refuse('sql.syntax', at, `${key}=…`, 'no such option')
  }
  const sql = body.join('\n')
  const shape = take('shape')
  const output = shape === 'rows' ? rowsOf({ name, sql, take, at }) : shape === 'aggregate' ? aggregateOf({ name, sql, take, at })
    : refuse('sql.syntax', at, 'shape=rows or shape=aggregate', shape)
  const [unknown] = options.keys()
  if (unknown !== undefined) refuse('sql.syntax', at, 'only the options of its shape', unknown)
  return output
}

interface Header { readonly name: string; readonly sql: string; readonly at: string; take(key: string): string }

function rowsOf({ name, sql, at, take }: Header): RowsOutput {
  const about = take('about')
  if (about !== 'own') refuse('sql.syntax', at, 'about=own: a receiver sees its own claims only', about)
  const kind = take('of')
  const score = integer(take('score'), at, 1, 100)
  if (kind === 'pairs') return { kind, name, sql, score, owners: 2 }
  if (kind === 'rings') return { kind, name, sql, score, owners: integer(take('owners'), at, 2, LIMITS.inputsMax) }
  return refuse('sql.syntax', at, 'of=pairs or of=rings', kind)
}

function aggregateOf({ name, sql, at, take }: Header): AggregateOutput {
  const by = /^([a-z][a-z0-9_]*)\(([a-z0-9_|-]+)\)$/.exec(take('by'))
  const sum = /^([a-z][a-z0-9_]*)\(([0-9]+)\)$/.exec(take('sum'))
  if (by === null || sum === null) return refuse('sql.syntax', at, 'by=column(value|value) sum=column(limit in cents)', 'another form')
  return {
    kind: 'aggregate', name, sql,
    by: { column: by[1] ?? '', values: [...new Set((by[2] ?? '').split('|'))] },
    sum: { column: sum[1] ?? '', clip: integer(sum[2] ?? '', at, 1, LIMITS.amountMax) },
    perPerson: integer(take('per-person'), at, 1, 100),
  }
}

function integer(text: string, at: string, min: number, max: number): number {
  const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN
  return value >= min && value <= max ? value : refuse('sql.syntax', at, `an integer from ${min} to ${max}`, text)
}
