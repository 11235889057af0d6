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
import { refuse } from '@cloister/core/refusal'
import { order } from './cases.ts'
import { laplace, type NoiseSource } from './dp.ts'
import type { Engine } from './engine.ts'
import { DOMINANCE_PERCENT, LIMITS } from './limits.ts'
import type { AggregateOutput } from './program.ts'
import { FACTS, tableOf } from './matches.ts'
import type { Opaque } from './opaque.ts'
import { PERSON, PERSON_LENGTH } from './shape.ts'

export interface Bounds { readonly atLeast: number; readonly epsilonMillionths?: bigint }
/** One line of the fixed list. Withheld lines carry no number at all. */
export interface Cell { readonly insurers: readonly string[]; readonly group: string; readonly vehicles: number | null; readonly amount: number | null; readonly withheld: boolean }

/** `unit` is what the owner's charter entry calls a person; `person` is the human that noise protects. */
interface Side { readonly owner: string; readonly claim: string; readonly unit: string | undefined; readonly person: string | undefined; readonly amount: bigint }
interface Contribution { readonly sides: readonly [Side, Side]; readonly vehicle: string; readonly group: string; readonly amount: bigint }
export interface Room { readonly engine: Engine; readonly opaque: Opaque; readonly owners: readonly string[]; readonly person: ReadonlyMap<string, string> }

/** The cells of the program's output number `index`. */
export async function statistics(room: Room, output: AggregateOutput, index: number, bounds: Bounds, noise: NoiseSource): Promise<Cell[]> {
  const all = await contributions(room, output, tableOf(index))
  const bounded = bounds.epsilonMillionths === undefined ? all : onePerVehicle(room, await withinPersons(room, output, all, tableOf(index)))
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

/** The matches as the engine reads them: two owners, one vehicle, an announced group, an amount within its limit. */
async function contributions(room: Room, output: AggregateOutput, table: string): Promise<Contribution[]> {
  const unit = (side: string) => `case ${room.owners.map(owner => `when ${side}.owner = '${owner}' then ${side}.${UNITS[room.person.get(owner) ?? DERIVED] ?? 'person'}`).join(' ')} end`
  const facts = (side: string) => `${side}.owner, ${side}.claim_id, ${side}.amount, ${unit(side)}, ${side}.person`
  const columns = await room.engine.columns(`select m.cell, m.value, x.vehicle, ${facts('x')}, ${facts('y')} from ${table} m
    join ${FACTS} x on x.claim = m.a join ${FACTS} y on y.claim = m.b where x.owner <> y.owner and x.vehicle = y.vehicle`, output.name)
  const [groups = [], values = [], vehicles = []] = columns
  const name = personNames(room)
  const side = (from: number, i: number): Side => {
    const [owner, claim, amount, unitKey, person] = columns.slice(from, from + 5).map(column => column[i])
    return { owner: String(owner), claim: String(claim), amount: BigInt(String(amount)), unit: name(unitKey), person: name(person) }
  }
  const clip = BigInt(output.sum.clip)
  return groups.map((group, i): Contribution => {
    const value = BigInt(String(values[i]))
    return { sides: [side(3, i), side(8, i)], vehicle: String(vehicles[i]), group: output.by.values.includes(String(group)) ? String(group) : 'other', amount: value < 0n ? 0n : value > clip ? clip : value }
  }).filter(item => output.by.values.includes(item.group))
}

/** The column name by which a charter asks for the person that this room derives from name and date of birth. */
export const DERIVED = 'person_id'
/** What a charter may name as `person`, and where it stands in the facts. */
export const UNITS: Readonly<Record<string, string>> = { [DERIVED]: 'person', vin: 'vehicle', phone: 'phone' }

/** `person_id`: a keyed name of what identifies a person, made in the room under the room's key. */
function personNames({ opaque }: Room): (key: unknown) => string | undefined {
  const known = new Map<unknown, string>()
  return key => {
    if (key === null || key === undefined) return undefined
    const name = known.get(key) ?? opaque('cloister/person/1', [String(key)])
    known.set(key, name)
    return name
  }
}

/** At least k of every owner in the cell: the smaller of distinct persons and distinct vehicles, since typing noise splits persons. */
function enough(items: readonly Contribution[], owners: readonly string[], atLeast: number): boolean {
  const vehicles = new Set(items.map(({ vehicle }) => vehicle)).size
  return owners.every(owner => {
    const persons = new Set(items.flatMap(({ sides }) => sides.filter(side => side.owner === owner && side.unit !== undefined).map(side => side.unit)))
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
async function withinPersons({ engine, opaque }: Room, output: AggregateOutput, items: readonly Contribution[], table: string): Promise<Contribution[]> {
  const [owners = [], ids = [], persons = []] = await engine.columns(
    `with people as (select distinct person, born, size from ${FACTS} where person is not null and claim in (select a from ${table} union select b from ${table})),
       near as (select d.insurer, d.claim_id, ${PERSON('d')} as person from data d semi join people on d.date_of_birth = people.born and ${PERSON_LENGTH('d')} = people.size)
     select insurer::varchar, claim_id, person from near where person in (select person from people)`, output.name)
  const claims = new Map<string, string[][]>()
  for (const [i, person] of persons.entries()) {
    const own = claims.get(String(person)) ?? []
    own.push([String(owners[i]), String(ids[i])])
    claims.set(String(person), own)
  }
  const rank = (claim: readonly string[]) => opaque('cloister/rank/1', claim)
  const kept = new Set([...claims.values()].flatMap(own => first(own, output.perPerson, rank)).map(claim => claim.join('\0')))
  return items.filter(({ sides }) => sides.every(side => side.person !== undefined && kept.has(`${side.owner}\0${side.claim}`)))
}

/** One row for each vehicle: the first in keyed order. */
function onePerVehicle({ opaque }: Room, items: readonly Contribution[]): Contribution[] {
  const rows = new Map<string, Contribution[]>()
  for (const item of items) rows.set(item.vehicle, [...(rows.get(item.vehicle) ?? []), item])
  return [...rows.values()].flatMap(list => first(list, 1, item => opaque('cloister/order/1', item.sides.flatMap(side => [side.owner, side.claim]).sort(order))))
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
