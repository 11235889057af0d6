/**
 * Believable claims of three motor insurers, with losses that were filed twice (clean-room.md section 4).
 *
 *   node --conditions=source examples/insurance-fraud/generate.ts --claims N --seed S --out DIR [--format csv|parquet]
 *
 * Writes alpha, bravo and carol (`*.csv`, and `*.parquet` where asked for) and truth.csv: which claim was copied from
 * which, and how it was altered. The truth is for tests and demonstrations; it never enters the room.
 * The same seed gives the same bytes on every machine: integer arithmetic, tables, and one random stream per purpose.
 */
import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { names, streets } from './names.ts'
import { Stream } from './stream.ts'

export const INSURERS = ['alpha', 'bravo', 'carol'] as const
export const HEADER = 'claim_id,person_name,date_of_birth,vin,phone,zip,loss_date,loss_type,amount,paid_at,status'

/** How a copy differs from its original; `found` is what the queries of this folder are expected to do with it. */
export const KINDS = [
  'exact', 'loss date within 3 days', 'amount within 20 %', 'last name misspelt', 'names swapped', 'birth date wrong', 'vin in another form',
  'vin misspelt', 'vin missing', 'phone in another form', 'phone new', 'loss type relabelled', 'loss date a week off', 'mixed', 'hard',
] as const
export type Kind = typeof KINDS[number]

export interface Truth { readonly copy: string; readonly original: string; readonly kind: Kind }
export interface Generated { readonly files: Readonly<Record<typeof INSURERS[number], string>>; readonly truth: readonly Truth[]; readonly truthFile: string }

interface Person { readonly first: string; readonly last: string; readonly born: number; readonly vin: string; readonly phone: string; readonly zip: string; readonly insurer: number; readonly second: number }
interface Claim { person: Person; first: string; last: string; swapped: boolean; born: number; vin: string; phone: string; day: number; type: number; amount: number; insurer: number; delay: number; status: number }

const TYPES = ['collision', 'theft', 'water', 'fire', 'glass']
const TYPE_WEIGHTS = [50, 60, 72, 75, 100]
/** Cents at the median of each type, and percentiles of a log-normal with sigma 0.7 (in thousandths), for linear interpolation. */
const TYPE_AMOUNTS = [298_100, 663_400, 148_000, 543_200, 49_300]
const QUANTILES = [129, 196, 242, 316, 408, 484, 555, 624, 693, 764, 838, 916, 1000, 1092, 1194, 1309, 1443, 1603, 1802, 2066, 2452, 3163, 4131, 5096, 7768]
const STATUSES = ['paid', 'paid', 'paid', 'paid', 'open', 'closed']
const FIRST_DAY = Date.UTC(2024, 0, 1) / 86_400_000
const DAYS = 540
/** One copied claim for about so many honest ones. */
const HONEST_PER_COPY = 300

/** Make the three files and the truth. `claims` is the number of honest claims per insurer. */
export function generate(options: { readonly claims: number; readonly seed: string; readonly out: string; readonly quiet?: boolean }): Generated {
  mkdirSync(options.out, { recursive: true })
  const people = peopleOf(options.claims, new Stream(options.seed, 'persons'))
  const claims = claimsOf(options.claims, people, new Stream(options.seed, 'claims'))
  const { copies, notes } = copiesOf(claims, new Stream(options.seed, 'injection'))
  const all = shuffled([...claims, ...copies], new Stream(options.seed, 'order'))
  const ids = new Map<Claim, string>()
  const files = { alpha: '', bravo: '', carol: '' }
  for (const [i, insurer] of INSURERS.entries()) {
    files[insurer] = join(options.out, `${insurer}.csv`)
    write(files[insurer], HEADER, all, claim => claim.insurer === i ? lineOf(claim, idOf(claim, i, ids)) : undefined)
  }
  const truth = notes.map(({ copy, original, kind }) => ({ copy: ids.get(copy) ?? '', original: ids.get(original) ?? '', kind }))
  const truthFile = join(options.out, 'truth.csv')
  write(truthFile, 'copy,original,kind', truth, ({ copy, original, kind }) => `${copy},${original},${kind}`)
  return { files, truth, truthFile }
}

function peopleOf(claims: number, stream: Stream): Person[] {
  const people: Person[] = []
  const total = Math.ceil(claims * 3 * 20 / 7)
  for (let i = 0; i < total; i++) {
    const before = people[i - 1]
    const home = before !== undefined && stream.below(100) < 25 ? before : undefined
    const share = stream.below(100)
    const insurer = share < 40 ? 0 : share < 75 ? 1 : 2
    people.push({
      first: names.first(stream),
      last: home !== undefined && stream.below(100) < 80 ? home.last : names.last(stream),
      born: -14_600 + stream.below(22_000),
      vin: vinOf(stream),
      phone: home !== undefined && stream.below(2) === 0 ? home.phone : `+49 15${stream.below(10)} ${digits(stream, 8)}`,
      zip: home?.zip ?? streets.zip(stream),
      insurer,
      second: stream.below(100) < 3 ? (insurer + 1 + stream.below(2)) % 3 : insurer,
    })
  }
  return people
}

function claimsOf(count: number, people: readonly Person[], stream: Stream): Claim[] {
  const claims: Claim[] = []
  const left = [count, count, count]
  while (left.some(n => n > 0)) {
    const person = people[stream.below(people.length)]
    if (person === undefined) break
    const day = stream.below(DAYS)
    const insurer = person.second !== person.insurer && day > DAYS / 2 ? person.second : person.insurer
    const rest = left[insurer] ?? 0
    if (rest === 0) continue
    left[insurer] = rest - 1
    claims.push(claimOf(person, insurer, day, stream))
  }
  return claims
}

function claimOf(person: Person, insurer: number, day: number, stream: Stream): Claim {
  const weight = stream.below(100)
  const type = TYPE_WEIGHTS.findIndex(limit => weight < limit)
  const step = stream.below((QUANTILES.length - 1) * 1000)
  const [low = 0, high = 0] = QUANTILES.slice(Math.floor(step / 1000), Math.floor(step / 1000) + 2)
  const factor = low * 1000 + (high - low) * (step % 1000)
  return {
    person, first: person.first, last: person.last, swapped: false, born: person.born, vin: person.vin, phone: person.phone,
    day, type, amount: Math.floor((TYPE_AMOUNTS[type] ?? 0) / 1000 * factor / 1000), insurer, delay: 3 + stream.below(60), status: stream.below(STATUSES.length),
  }
}

function copiesOf(claims: readonly Claim[], stream: Stream) {
  const copies: Claim[] = []
  const notes: { copy: Claim; original: Claim; kind: Kind }[] = []
  const count = Math.max(KINDS.length, Math.floor(claims.length / HONEST_PER_COPY))
  for (let i = 0; i < count; i++) {
    const original = claims[stream.below(claims.length)]
    const kind = KINDS[i % KINDS.length]
    if (original === undefined || kind === undefined) break
    const first = (original.insurer + 1 + stream.below(2)) % 3
    const targets = stream.below(10) === 0 ? [first, 3 - original.insurer - first] : [first]
    for (const insurer of targets) {
      const copy = { ...original, insurer, delay: 3 + stream.below(60) }
      alter(copy, kind, stream)
      copies.push(copy)
      notes.push({ copy, original, kind })
    }
  }
  return { copies, notes }
}

function alter(claim: Claim, kind: Kind, stream: Stream): void {
  const shift = (least: number, most: number) => (stream.below(2) === 0 ? -1 : 1) * (least + stream.below(most - least + 1))
  switch (kind) {
    case 'exact': return
    case 'loss date within 3 days': claim.day += shift(1, 3); return
    case 'amount within 20 %': claim.amount = Math.floor(claim.amount * (80 + stream.below(41)) / 100); return
    case 'last name misspelt': claim.last = misspelt(claim.last, stream); return
    case 'names swapped': claim.swapped = true; return
    case 'birth date wrong': claim.born += shift(1, 400); return
    case 'vin in another form': claim.vin = `${claim.vin.slice(0, 3).toLowerCase()} ${claim.vin.slice(3).toLowerCase()}`; return
    case 'vin misspelt': claim.vin = misspelt(claim.vin, stream).toUpperCase(); return
    case 'vin missing': claim.vin = ''; return
    case 'phone in another form': claim.phone = `0${claim.phone.slice(4).replace(' ', '/')}`; return
    case 'phone new': claim.phone = `+49 17${stream.below(10)} ${digits(stream, 8)}`; return
    case 'loss type relabelled': claim.type = (claim.type + 1 + stream.below(TYPES.length - 1)) % TYPES.length; return
    case 'loss date a week off': claim.day += shift(7, 9); return
    case 'mixed':
      for (const part of ['last name misspelt', 'loss date within 3 days', 'amount within 20 %', 'vin in another form'] as const) alter(claim, part, stream)
      return
    case 'hard':
      for (const part of ['vin missing', 'phone new', 'last name misspelt'] as const) alter(claim, part, stream)
  }
}

/** One edit: a letter replaced, doubled, dropped or exchanged with its neighbour; never the first. */
function misspelt(text: string, stream: Stream): string {
  const at = 1 + stream.below(text.length - 2)
  const head = text.slice(0, at)
  const here = text.charAt(at)
  switch (stream.below(4)) {
    case 0: return `${head}${here === 'n' || here === 'N' ? 'm' : 'n'}${text.slice(at + 1)}`
    case 1: return `${head}${here}${text.slice(at)}`
    case 2: return head + text.slice(at + 1)
    default: return text.charAt(at + 1) === here ? head + text.slice(at + 1) : head + text.charAt(at + 1) + here + text.slice(at + 2)
  }
}

/** Seventeen characters with the check digit of ISO 3779. */
function vinOf(stream: Stream): string {
  const characters = Array.from({ length: 17 }, (_, i) => i === 8 ? '0' : i >= 12 ? String(stream.below(10)) : VIN_LETTERS.charAt(stream.below(VIN_LETTERS.length)))
  const total = characters.reduce((sum, character, i) => sum + (VIN_VALUES[character] ?? 0) * (VIN_WEIGHTS[i] ?? 0), 0)
  characters[8] = total % 11 === 10 ? 'X' : String(total % 11)
  return characters.join('')
}

const VIN_LETTERS = 'ABCDEFGHJKLMNPRSTUVWXYZ0123456789'
const VIN_WEIGHTS = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]
const VIN_VALUES: Record<string, number> = Object.fromEntries([...'ABCDEFGH'].map((l, i) => [l, i + 1])
  .concat([...'JKLMN'].map((l, i) => [l, i + 1]), [['P', 7], ['R', 9]], [...'STUVWXYZ'].map((l, i) => [l, i + 2]), [...'0123456789'].map((l, i) => [l, i])) as [string, number][]) // pairs, as written

const digits = (stream: Stream, count: number) => String(stream.below(10 ** count)).padStart(count, '0')

function shuffled<T>(items: T[], stream: Stream): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = stream.below(i + 1)
    const here = items[i]
    const there = items[j]
    if (here !== undefined && there !== undefined) [items[i], items[j]] = [there, here]
  }
  return items
}

function idOf(claim: Claim, insurer: number, ids: Map<Claim, string>): string {
  const id = `${'ABC'.charAt(insurer)}-${String(ids.size + 1).padStart(8, '0')}`
  ids.set(claim, id)
  return id
}

function lineOf(claim: Claim, id: string): string {
  const name = claim.swapped ? `${claim.last} ${claim.first}` : `${claim.first} ${claim.last}`
  const status = STATUSES[claim.status] ?? 'open'
  return `${id},${name},${isoDay(claim.born)},${claim.vin},${claim.phone},${claim.person.zip},${isoDay(FIRST_DAY + claim.day)},${TYPES[claim.type] ?? ''},${claim.amount},${status === 'paid' ? isoDay(FIRST_DAY + claim.day + claim.delay) : ''},${status}`
}

const DAY_TEXTS = new Map<number, string>()
function isoDay(day: number): string {
  const known = DAY_TEXTS.get(day)
  if (known !== undefined) return known
  const text = new Date(day * 86_400_000).toISOString().slice(0, 10)
  DAY_TEXTS.set(day, text)
  return text
}

function write<T>(path: string, header: string, items: readonly T[], line: (item: T) => string | undefined): void {
  const fd = openSync(path, 'w', 0o600)
  let lines = [header]
  const flush = () => { if (lines.length > 0) writeSync(fd, `${lines.join('\n')}\n`); lines = [] }
  for (const item of items) {
    const text = line(item)
    if (text !== undefined) lines.push(text)
    if (lines.length === 20_000) flush()
  }
  flush()
  closeSync(fd)
}

/** The same rows as Parquet, with proper types. */
export async function toParquet(csv: string, parquet: string): Promise<void> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const text = (path: string) => `'${path.replaceAll("'", "''")}'`
  rmSync(parquet, { force: true })
  await connection.run(`copy (select * from read_csv(${text(csv)}, header=true, auto_detect=false, columns={claim_id: 'varchar', person_name: 'varchar', date_of_birth: 'date', vin: 'varchar',
    phone: 'varchar', zip: 'varchar', loss_date: 'date', loss_type: 'varchar', amount: 'bigint', paid_at: 'date', status: 'varchar'})) to ${text(parquet)} (format parquet)`)
  connection.closeSync()
  instance.closeSync()
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { claims: { type: 'string', default: '20000' }, seed: { type: 'string', default: 'cloister' }, out: { type: 'string', default: 'claims-data' }, format: { type: 'string', default: 'csv' } } })
  const claims = Number(values.claims)
  if (!Number.isSafeInteger(claims) || claims < 1 || !['csv', 'parquet'].includes(values.format)) throw new RangeError('--claims takes a positive whole number, --format csv or parquet')
  const made = generate({ claims, seed: values.seed, out: values.out })
  const paths: string[] = []
  for (const path of Object.values(made.files)) {
    if (values.format === 'parquet') await toParquet(path, path.replace(/csv$/, 'parquet'))
    paths.push(path, ...(values.format === 'parquet' ? [path.replace(/csv$/, 'parquet')] : []))
  }
  for (const path of [...paths, made.truthFile]) process.stdout.write(`sha256:${createHash('sha256').update(readFileSync(path)).digest('hex')}  ${path}\n`)
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === import.meta.filename) await main()
