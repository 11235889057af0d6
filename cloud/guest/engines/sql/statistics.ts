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
import { toHex } from '@cloister/core/bytes/hex'
import { framed } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import { checkCount, opaque, order } from './cases.ts'
import { laplace, type NoiseSource } from './dp.ts'
import type { Engine } from './engine.ts'
import { DOMINANCE_PERCENT, LIMITS } from './limits.ts'
import type { AggregateOutput } from './program.ts'

export interface Bounds { readonly atLeast: number; readonly epsilonMillionths?: bigint }
/** One line of the fixed list. Withheld lines carry no number at all. */
export interface Cell { readonly insurers: readonly string[]; readonly group: string; readonly vehicles: number | null; readonly amount: number | null; readonly withheld: boolean }

interface Side { readonly owner: string; readonly claim: string; readonly person: string | undefined; readonly amount: bigint }
interface Contribution { readonly sides: readonly [Side, Side]; readonly vehicle: string; readonly group: string; readonly amount: bigint; readonly order: string }
export interface Room { readonly p: Primitives; readonly engine: Engine; readonly roomKey: Uint8Array; readonly owners: readonly string[]; readonly person: ReadonlyMap<string, string> }

export async function statistics(room: Room, output: AggregateOutput, bounds: Bounds, noise: NoiseSource): Promise<Cell[]> {
  const all = await contributions(room, output)
  const bounded = bounds.epsilonMillionths === undefined ? all : onePerVehicle(await withinPersons(room, output, all))
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

/** The matches as the engine reads them: two claims of two owners, one vehicle, an announced group, an amount within its limit. */
async function contributions({ p, engine, roomKey, person }: Room, output: AggregateOutput): Promise<Contribution[]> {
  const facts = (side: string) => `${side}.insurer::varchar, ${side}.claim_id, folded(${side}.name), ${side}.date_of_birth::varchar, ${side}.vehicle, ${side}.phone::varchar, ${side}.amount`
  const columns = await engine.columns(
    `select m.g, m.v, ${facts('x')}, ${facts('y')} from (
       select least(a, b) as a, greatest(a, b) as b, min(${output.by.column}) as g, max(${output.sum.column})::bigint as v from (${output.sql}) group by all limit ${LIMITS.matchesMax + 1}) m
     join data x on x.rowid = m.a join data y on y.rowid = m.b where x.insurer <> y.insurer and x.vehicle = y.vehicle and m.v is not null`, output.name)
  checkCount(columns[0] ?? [], output.name)
  const at = (column: number, i: number) => { const value = columns[column]?.[i]; return value === null || value === undefined ? undefined : String(value) }
  const side = (from: number, i: number): Side => {
    const owner = at(from, i) ?? ''
    const unit = person.get(owner) ?? DERIVED
    const own = unit === 'vin' ? at(from + 4, i) : unit === 'phone' ? at(from + 5, i) : personKey(at(from + 2, i), at(from + 3, i))
    return { owner, claim: at(from + 1, i) ?? '', person: own === undefined ? undefined : opaque(p, roomKey, 'cloister/person/1', [own]), amount: BigInt(at(from + 6, i) ?? '0') }
  }
  const clip = BigInt(output.sum.clip)
  return (columns[0] ?? []).map((group, i): Contribution => {
    const sides = [side(2, i), side(9, i)].sort((a, b) => order(a.owner, b.owner)) as [Side, Side] // two in, two out
    const value = BigInt(at(1, i) ?? '0')
    const named = output.by.values.includes(String(group)) ? String(group) : 'other'
    return {
      sides, vehicle: opaque(p, roomKey, 'cloister/vehicle/1', [at(6, i) ?? '']), group: named, amount: value < 0n ? 0n : value > clip ? clip : value,
      order: toHex(p.hmac('sha256', roomKey, framed('cloister/order/1', ...sides.flatMap(({ owner, claim }) => [utf8(owner), utf8(claim)])))),
    }
  }).filter(item => output.by.values.includes(item.group)).sort((a, b) => order(a.order, b.order))
}

/** The column name by which a charter asks for the person that this room derives from name and date of birth. */
export const DERIVED = 'person_id'

/** Word order does not make another person; a person without name or date of birth is not counted as one. */
function personKey(folded: string | undefined, born: string | undefined): string | undefined {
  return folded === undefined || folded === '' || born === undefined ? undefined : `${folded.split(' ').sort(order).join(' ')}\0${born}`
}

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

/** Keep pairs whose claims are both among the first `per-person` of their person, over all that person's claims in the room. */
async function withinPersons({ p, engine, roomKey }: Room, output: AggregateOutput, items: readonly Contribution[]): Promise<Contribution[]> {
  const [owners = [], ids = [], names = [], born = []] = await engine.columns(
    `with people as (select distinct date_of_birth from data where rowid in (select a from (${output.sql}) union all select b from (${output.sql})))
     select insurer::varchar, claim_id, folded(name), date_of_birth::varchar from data where date_of_birth in (select date_of_birth from people)`, output.name)
  const wanted = new Set(items.flatMap(({ sides }) => sides.map(side => side.person)))
  const claims = new Map<string, { claim: string; rank: string }[]>()
  for (const [i, owner] of owners.entries()) {
    const key = personKey(names[i] === null ? undefined : String(names[i]), String(born[i]))
    const person = key === undefined ? undefined : opaque(p, roomKey, 'cloister/person/1', [key])
    if (person === undefined || !wanted.has(person)) continue
    const list = claims.get(person) ?? []
    list.push({ claim: `${String(owner)}\0${String(ids[i])}`, rank: opaque(p, roomKey, 'cloister/rank/1', [String(owner), String(ids[i])]) })
    claims.set(person, list)
  }
  const kept = new Set([...claims.values()].flatMap(list => list.sort((a, b) => order(a.rank, b.rank)).slice(0, output.perPerson).map(({ claim }) => claim)))
  return items.filter(({ sides }) => sides.every(side => kept.has(`${side.owner}\0${side.claim}`)))
}

/** The items are in keyed order already: the first of each vehicle stays. */
function onePerVehicle(items: readonly Contribution[]): Contribution[] {
  const seen = new Set<string>()
  return items.filter(({ vehicle }) => !seen.has(vehicle) && seen.add(vehicle))
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
