/**
 * One owner's plaintext on its way into the table: through a file that exists in memory only and has no name, checked for
 * its shape, loaded column by column. A file that does not fit is refused whole, with the column (and the row's number),
 * never a value: half a file would give an answer that looks complete.
 * Trusts: the kernel's /dev/shm and /proc. Does not trust the file: owners may hand in anything.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, ftruncateSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs'
import { Refused, refuse } from '@cloister/core/refusal'
import type { Engine } from './engine.ts'
import { LIMITS } from './limits.ts'
import { COLUMNS, insertSql, SQL_TYPES, type Column } from './shape.ts'

/** A nameless file in memory. */
export interface MemoryFile { readonly fd: number; readonly path: string }

export function createMemoryFile(): MemoryFile {
  const name = `/dev/shm/cloister-${randomBytes(16).toString('hex')}`
  const fd = openSync(name, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
  unlinkSync(name)
  return { fd, path: `/proc/self/fd/${fd}` }
}

/** Give the memory back; the file stays open for nothing. */
export function emptyFile(file: MemoryFile): void {
  ftruncateSync(file.fd)
}

export function closeMemoryFile(file: MemoryFile): void {
  emptyFile(file)
  closeSync(file.fd)
}

/**
 * Load the file as rows of `owner` and give their number. Leaves with `data.format`, `data.column` or `data.type`.
 * `first` is the number of rows that are there already. `meanwhile` is called once DuckDB is at work on its own threads: this thread has time then.
 */
export async function load(engine: Engine, file: MemoryFile, input: { readonly asset: string; readonly owner: string; readonly first: number }, meanwhile: () => void): Promise<number> {
  const size = fstatSync(file.fd).size
  if (size > LIMITS.inputBytesMax) refuse('data.format', input.asset, `at most ${LIMITS.inputBytesMax} bytes`, `${size} bytes`)
  const { first } = input
  const source = await sourceOf(engine, file, input.asset)
  try {
    const inserting = engine.change(insertSql(input.owner, source.typed), input.asset)
    meanwhile()
    const rows = await inserting
    await checkValues(engine, source, { ...input, first, rows })
    return rows
  } catch (error) {
    if (error instanceof Refused && error.refusal.code === 'sql.failed') await diagnose(engine, source, input.asset)
    throw error
  }
}

interface Source {
  /** The rows with their proper types, and with every column as text. */
  readonly typed: string
  readonly texts: string
  /** Lines before the first row, for messages. */
  readonly offset: number
}

async function sourceOf(engine: Engine, file: MemoryFile, at: string): Promise<Source> {
  const head = Buffer.alloc(LIMITS.headerBytesMax)
  const length = readSync(file.fd, head, 0, head.length, 0)
  if (length >= 4 && head.subarray(0, 4).equals(PARQUET)) return parquet(engine, file, at)
  return csv(head.subarray(0, length), file, at)
}

const PARQUET = Buffer.from('PAR1')

async function parquet(engine: Engine, file: MemoryFile, at: string): Promise<Source> {
  const tail = Buffer.alloc(4)
  readSync(file.fd, tail, 0, 4, Math.max(0, fstatSync(file.fd).size - 4))
  if (!tail.equals(PARQUET)) refuse('data.format', at, 'a whole Parquet file', 'a file that ends early')
  const read = `read_parquet('${file.path}')`
  const described = await engine.rows(`describe select * from ${read}`, at).catch(() => refuse('data.format', at, 'a readable Parquet file', 'something else'))
  const types = new Map(described.map(row => [String(row['column_name']), String(row['column_type'])]))
  checkNames([...types.keys()], at)
  for (const { name, type } of COLUMNS) {
    const got = types.get(name) ?? ''
    if (!PARQUET_TYPES[type].test(got)) refuse('data.type', `${at}.${name}`, EXPECTED[type], got)
  }
  const list = (as: (column: Column) => string) => `(select ${COLUMNS.map(as).join(', ')} from ${read})`
  return { typed: list(({ name, type }) => `cast(${name} as ${SQL_TYPES[type]}) as ${name}`), texts: list(({ name }) => `cast(${name} as varchar) as ${name}`), offset: 0 }
}

const PARQUET_TYPES = { text: /^(VARCHAR|BIGINT|INTEGER|ENUM.*)$/, date: /^(DATE|VARCHAR)$/, cents: /^(BIGINT|INTEGER|SMALLINT|UINTEGER|USMALLINT|VARCHAR)$/ }
const EXPECTED = { text: 'text', date: 'an ISO date (YYYY-MM-DD)', cents: 'whole cents, not negative' }

function csv(head: Buffer, file: MemoryFile, at: string): Source {
  const text = head.toString('utf8').replace(/^\uFEFF/, '')
  const end = text.search(/\r?\n/)
  if (end < 0 || text.includes('\0')) return refuse('data.format', at, 'CSV with a header line, or Parquet', 'something else')
  const line = text.slice(0, end)
  const delimiter = [',', ';', '\t'].find(mark => line.includes(mark)) ?? ','
  const names = line.split(delimiter).map(name => name.trim().replace(/^"(.*)"$/, '$1'))
  checkNames(names, at)
  const read = (type: (name: string) => string) => `read_csv('${file.path}', auto_detect=false, header=true, delim='${delimiter}', quote='"', escape='"',
    encoding='utf-8', nullstr='', columns={${names.map(name => `'${name}': '${type(name)}'`).join(', ')}})`
  const types = new Map(COLUMNS.map(({ name, type }) => [name, SQL_TYPES[type]]))
  return { typed: read(name => types.get(name) ?? 'VARCHAR'), texts: read(() => 'VARCHAR'), offset: 1 }
}

/** Exactly the eleven columns, in any order. A column too many is refused as well: it was not agreed to. */
function checkNames(names: readonly string[], at: string): void {
  const missing = COLUMNS.find(({ name }) => !names.includes(name))
  if (missing !== undefined) refuse('data.column', `${at}.${missing.name}`, `a column ${missing.name}`, `columns ${printable(names)}`)
  const extra = names.find((name, i) => names.indexOf(name) !== i || !COLUMNS.some(column => column.name === name))
  if (extra !== undefined) refuse('data.column', at, `only ${COLUMNS.map(({ name }) => name).join(', ')}, each once`, printable([extra], names), 'leave out that column')
}

/** A file without a header has values in that place: names are shown only where most of the line is a header. */
function printable(names: readonly string[], line: readonly string[] = names): string {
  const known = line.filter(name => COLUMNS.some(column => column.name === name)).length
  return known * 2 > line.length ? names.map(name => (/^[a-z0-9_ -]{1,32}$/i.test(name) ? name : '(not a column name)')).join(', ') : `${line.length} other values`
}

/** Find the first value that does not fit its column: its column and row, never the value. Returns when all fit. */
async function diagnose(engine: Engine, source: Source, at: string): Promise<void> {
  const line = await engine.failingLine(`select count(*) from (select ${COLUMNS.map(({ name }) => name).join(', ')} from ${source.texts}) where claim_id = ''`)
  if (line !== undefined) refuse('data.format', line > 0 ? `${at} line ${line}` : at, `rows of ${COLUMNS.length} values in UTF-8`, 'another shape')
  for (const { name, type } of COLUMNS.filter(column => column.type !== 'text')) {
    await refuseRow(engine, `select row_number() over () as r, ${name} is not null and try_cast(${name} as ${SQL_TYPES[type]}) is null as bad from ${source.texts}`, { at: `${at}.${name}`, expected: EXPECTED[type], offset: source.offset })
  }
}

interface Finding { readonly at: string; readonly expected: string; readonly offset: number }

async function refuseRow(engine: Engine, rows: string, { at, expected, offset }: Finding): Promise<void> {
  const [found] = await engine.columns(`select first from (select min(r) as first from (${rows}) where bad) where first is not null`, at)
  const first = found?.[0]
  if (first !== undefined) refuse('data.type', `${at} line ${Number(first) + offset}`, expected, 'another value (not shown)')
}

/** What a type does not say: required values, sane ranges, and claim ids that are unique, since they are what goes back. */
interface Loaded { readonly asset: string; readonly owner: string; readonly first: number; readonly rows: number }

async function checkValues(engine: Engine, source: Source, { asset, first, rows }: Loaded): Promise<void> {
  const [row] = await engine.rows(`select count(*) as n, count(claim_id) as ids, count(distinct claim_id) as different, count(loss_date) as losses, count(loss_type) as types, count(amount) as amounts,
    coalesce(min(amount), 0) >= 0 and coalesce(max(amount), 0) <= ${LIMITS.amountMax} as cents,
    ${DATES.map(name => `coalesce(min(${name}) >= date '1850-01-01' and max(${name}) <= date '2150-12-31', true) as ${name}`).join(', ')}
    from data where rowid >= ${first} and rowid < ${first + rows}`, asset)
  const n = row?.['n']
  const lacking = ([['claim_id', 'ids'], ['loss_date', 'losses'], ['loss_type', 'types'], ['amount', 'amounts']] as const).find(([, key]) => row?.[key] !== n)
  const find = (name: string, bad: string, expected: string) => refuseRow(engine, `select row_number() over () as r, ${bad} as bad from ${source.typed}`, { at: `${asset}.${name}`, expected, offset: source.offset })
  if (lacking !== undefined) await find(lacking[0], `${lacking[0]} is null`, 'a value in every row')
  if (row?.['cents'] !== true) await find('amount', `amount < 0 or amount > ${LIMITS.amountMax}`, EXPECTED.cents)
  for (const name of DATES) if (row?.[name] !== true) await find(name, `${name} < date '1850-01-01' or ${name} > date '2150-12-31'`, 'a date from 1850 to 2150')
  if (row?.['different'] !== n) await find('claim_id', 'count(*) over (partition by claim_id) > 1', 'each claim id once')
}

const DATES = ['date_of_birth', 'loss_date', 'paid_at'] as const
