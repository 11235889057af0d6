/**
 * Statistics over matches, and the rules that bound them (clean-room.md sections 6 and 11). The query only says which
 * pairs of claims contribute, to which cell and with which amount; grouping, thresholds, dominance, clipping and noise
 * are the engine's.
 *
 * The unit that is counted is a vehicle: only pairs of claims of the same normalised vehicle contribute. With epsilon:
 * first each person's claims are cut to `per-person` (chosen by keyed hash from that person's claims alone), then each
 * vehicle contributes one row. Taking a person out changes at most that many vehicles, and each of them by one row out
 * and one row in: sensitivity 2·m for the counts and 2·m·C for the sums, over all cells together.
 *
 * The threshold is exact and outside epsilon: that a cell is withheld tells that fewer than `atLeast` stand behind it.
 */
import type { Primitives } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import { checkCount, opaque, order } from './cases.ts'
import { laplace, type NoiseSource } from './dp.ts'
import type { Engine } from './engine.ts'
import { DOMINANCE_PERCENT, LIMITS } from './limits.ts'
import type { AggregateOutput } from './program.ts'
import { PERSON, PERSON_LENGTH } from './shape.ts'

export interface Bounds { readonly atLeast: number; readonly epsilonMillionths?: bigint }
/** One line of the fixed list. Withheld lines carry no number at all. */
export interface Cell { readonly insurers: readonly string[]; readonly group: string; readonly vehicles: number | null; readonly amount: number | null; readonly withheld: boolean }

interface Side { readonly owner: string; readonly claim: string; readonly person: string | undefined; readonly amount: bigint }
interface Contribution { readonly sides: readonly [Side, Side]; readonly vehicle: string; readonly group: string; readonly amount: bigint }
export interface Room { readonly p: Primitives; readonly engine: Engine; readonly roomKey: Uint8Array; readonly owners: readonly string[]; readonly person: ReadonlyMap<string, string> }

export async function statistics(room: Room, output: AggregateOutput, bounds: Bounds, noise: NoiseSource): Promise<Cell[]> {
  await room.engine.run(matchesSql(output), output.name)
  const all = await contributions(room, output)
  const bounded = bounds.epsilonMillionths === undefined ? all : onePerVehicle(room, await withinPersons(room, output, all))
  await room.engine.run('drop table matches', output.name)
  const cells = new Map<string, Contribution[]>()
  for (const item of bounded) {
    const key = keyOf(item.sides.map(({ owner }) => owner), item.group)
    const cell = cells.get(key) ?? []
    cell.push(item)
    cells.set(key, cell)
  }
  return fixedCells(room.owners, output).map(({ insurers, group }) => {
    const items = cells.get(keyOf(insurers, group)) ?? []
    if (!enough(items, insurers, bounds.atLeast) || dominated(items)) return { insurers, group, vehicles: null, amount: null, withheld: true }
    const vehicles = BigInt(new Set(items.map(({ vehicle }) => vehicle)).size)
    const amount = items.reduce((sum, item) => sum + item.amount, 0n)
    return { insurers, group, ...noisy({ vehicles, amount }, output, bounds, noise), withheld: false }
  })
}

/** Every pair of owners and every announced value, whether anything is in it or not: a missing row would be information. */
function fixedCells(owners: readonly string[], output: AggregateOutput): { insurers: string[]; group: string }[] {
  const pairs = owners.flatMap((x, i) => owners.slice(i + 1).map(y => [x, y]))
  const cells = pairs.flatMap(insurers => output.by.values.map(group => ({ insurers, group })))
  return cells.length > LIMITS.cellsMax ? refuse('sql.limit', output.name, `at most ${LIMITS.cellsMax} cells`, String(cells.length)) : cells
}

const keyOf = (owners: readonly string[], group: string) => [...[...owners].sort(order), group].join('\0')

/** Each pair once, two owners, one vehicle. */
const matchesSql = (output: AggregateOutput) => `create table matches as
  select m.a, m.b, m.g, m.v from (
    select least(a, b) as a, greatest(a, b) as b, min(${output.by.column}) as g, max(${output.sum.column})::bigint as v from (${output.sql}) group by all limit ${LIMITS.matchesMax + 1}) m
  join data x on x.rowid = m.a join data y on y.rowid = m.b where x.insurer <> y.insurer and x.vehicle = y.vehicle and m.v is not null`

/** The matches as the engine reads them: two sides, an announced group, an amount within its limit. */
async function contributions(room: Room, output: AggregateOutput): Promise<Contribution[]> {
  const facts = (side: string) => `${side}.insurer::varchar, ${side}.claim_id, ${side}.amount, case ${room.owners.map(owner => `when ${side}.insurer = '${owner}' then ${personSql(room.person.get(owner), side)}`).join(' ')} end`
  const columns = await room.engine.columns(`select m.g, m.v, x.vehicle, ${facts('x')}, ${facts('y')} from matches m join data x on x.rowid = m.a join data y on y.rowid = m.b`, output.name)
  const [groups = [], values = [], vehicles = []] = columns
  checkCount(groups, output.name)
  const persons = new Map<string, string>()
  const person = (key: unknown) => {
    if (key === null || key === undefined) return undefined
    const id = persons.get(String(key)) ?? opaque(room.p, room.roomKey, 'cloister/person/1', [String(key)])
    persons.set(String(key), id)
    return id
  }
  const side = (from: number, i: number): Side => {
    const [owner, claim, amount, key] = columns.slice(from, from + 4).map(column => column[i])
    return { owner: String(owner), claim: String(claim), amount: BigInt(String(amount)), person: person(key) }
  }
  const clip = BigInt(output.sum.clip)
  return groups.map((group, i): Contribution => {
    const value = BigInt(String(values[i]))
    return { sides: [side(3, i), side(7, i)], vehicle: String(vehicles[i]), group: output.by.values.includes(String(group)) ? String(group) : 'other', amount: value < 0n ? 0n : value > clip ? clip : value }
  }).filter(item => output.by.values.includes(item.group))
}

/** The column name by which a charter asks for the person that this room derives from name and date of birth. */
export const DERIVED = 'person_id'

const personSql = (unit: string | undefined, row: string) => unit === 'vin' ? `${row}.vehicle` : unit === 'phone' ? `${row}.phone::varchar` : PERSON(row)

/** At least k of every owner in the cell: the smaller of distinct persons and distinct vehicles, since typing noise splits persons. */
function enough(items: readonly Contribution[], owners: readonly string[], atLeast: number): boolean {
  const vehicles = new Set(items.map(({ vehicle }) => vehicle)).size
  return owners.every(owner => {
    const persons = new Set(items.flatMap(({ sides }) => sides.filter(side => side.owner === owner && side.person !== undefined).map(side => side.person)))
    return Math.min(persons.size, vehicles) >= atLeast
  }) && items.length > 0
}

/** Whether one owner or one person stands behind more than 80 % of what the cell adds up. */
function dominated(items: readonly Contribution[]): boolean {
  const claims = new Map(items.flatMap(({ sides }) => sides.map(side => [`${side.owner}\0${side.claim}`, side] as const)))
  const total = sum([...claims.values()].map(side => side.amount))
  const share = (key: (side: Side) => string | undefined) => {
    const shares = new Map<string, bigint>()
    for (const side of claims.values()) shares.set(key(side) ?? '', (shares.get(key(side) ?? '') ?? 0n) + side.amount)
    return [...shares.values()].some(part => part * 100n > total * DOMINANCE_PERCENT)
  }
  return share(side => side.owner) || share(side => side.person ?? side.claim)
}

const sum = (values: readonly bigint[]) => values.reduce((total, value) => total + value, 0n)

/**
 * Keep pairs whose claims are both among the first `per-person` of their person, over all that person's claims in the
 * room and in an order that depends on these claims alone. Claims without a known person do not count.
 */
async function withinPersons({ p, engine, roomKey }: Room, output: AggregateOutput, items: readonly Contribution[]): Promise<Contribution[]> {
  const [owners = [], ids = [], persons = []] = await engine.columns(
    `with rows as (select a as r from matches union select b from matches),
       people as (select distinct ${PERSON('d')} as person, d.date_of_birth as born, ${PERSON_LENGTH('d')} as size from data d where d.rowid in (select r from rows)),
       near as (select d.insurer, d.claim_id, ${PERSON('d')} as person from data d semi join people on d.date_of_birth = people.born and ${PERSON_LENGTH('d')} = people.size)
     select insurer::varchar, claim_id, person from near where person in (select person from people)`, output.name)
  const claims = new Map<string, string[][]>()
  for (const [i, person] of persons.entries()) {
    const own = claims.get(String(person)) ?? []
    own.push([String(owners[i]), String(ids[i])])
    claims.set(String(person), own)
  }
  const rank = (claim: readonly string[]) => opaque(p, roomKey, 'cloister/rank/1', claim)
  const kept = new Set([...claims.values()].flatMap(own => first(own, output.perPerson, rank)).map(claim => claim.join('\0')))
  return items.filter(({ sides }) => sides.every(side => side.person !== undefined && kept.has(`${side.owner}\0${side.claim}`)))
}

/** One row for each vehicle: the first in keyed order. */
function onePerVehicle({ p, roomKey }: Room, items: readonly Contribution[]): Contribution[] {
  const rows = new Map<string, Contribution[]>()
  for (const item of items) rows.set(item.vehicle, [...(rows.get(item.vehicle) ?? []), item])
  return [...rows.values()].flatMap(list => first(list, 1, item => opaque(p, roomKey, 'cloister/order/1', item.sides.flatMap(side => [side.owner, side.claim]).sort(order))))
}

/** The first `count` by rank; ranks are computed only where there is a choice. */
function first<T>(items: T[], count: number, rank: (item: T) => string): T[] {
  if (items.length <= count) return items
  return items.map(item => ({ item, rank: rank(item) })).sort((a, b) => order(a.rank, b.rank)).slice(0, count).map(({ item }) => item)
}

/** Half of epsilon for the counts, half for the sums; negative results are shown as 0 (what is done after noise costs nothing). */
function noisy(cell: { vehicles: bigint; amount: bigint }, output: AggregateOutput, { epsilonMillionths }: Bounds, source: NoiseSource): { vehicles: number; amount: number } {
  if (epsilonMillionths === undefined) return { vehicles: Number(cell.vehicles), amount: Number(cell.amount) }
  const [forCounts, forSums] = split(epsilonMillionths)
  const sensitivity = 2n * BigInt(output.perPerson)
  const vehicles = cell.vehicles + laplace(source, sensitivity * 1_000_000n, forCounts)
  const amount = cell.amount + laplace(source, sensitivity * BigInt(output.sum.clip) * 1_000_000n, forSums)
  return { vehicles: Number(vehicles < 0n ? 0n : vehicles), amount: Number(amount < 0n ? 0n : amount) }
}

export function split(epsilonMillionths: bigint): readonly [bigint, bigint] {
  const half = epsilonMillionths / 2n
  return [half, epsilonMillionths - half]
}
