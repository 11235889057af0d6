/**
 * What goes wrong in the world: processes killed at any call of their disk, disks that fail, fill up, slow down or are set
 * back by the host, clones of a broker on an old copy, networks that lose, delay, repeat and cut, clocks that jump and
 * drift, witnesses that forget. All of it heals in the end, so that one can ask whether the living recover.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Disk } from '../cloud/store/memory.ts'
import type { Dice, Mortal } from './scheduler.ts'
import { entriesOn, leavesOf, rootOf } from './tree.ts'
import { p, type BrokerNode, type Domain, type Process, type Sim, type WitnessNode } from './world.ts'

export type Fault = (sim: Sim, dice: Dice) => Promise<string>

const processes = (sim: Sim): Process[] => [...sim.domains.flatMap(domain => domain.brokers), ...sim.witnesses]
const copy = (disk: Disk): Disk => ({ head: disk.head, entries: disk.entries })

export const killOne: Fault = async (sim, dice) => {
  const node = dice.pick(processes(sim))
  sim.kill(node, dice.pick([10, 500, 5_000, 60_000]))
  return node.name
}

/** At one of its next calls a disk fails, loses its answer, or takes the process with it, before or after the effect. */
export const diskCall: Fault = async (sim, dice) => {
  const node = dice.pick(processes(sim))
  const writesOnly = dice.oneIn(2)
  node.armed = { in: 1 + dice.below(writesOnly ? 4 : 30), writesOnly, then: dice.pick(['fails', 'fails but persisted', 'dies before', 'dies after'] as const) }
  return `${node.name}: ${node.armed.then} at ${writesOnly ? 'write' : 'call'} ${node.armed.in}`
}

export const diskFull: Fault = (sim, dice) => during(sim, dice, sim.full, [500, 10_000, 60_000])
export const diskSlow: Fault = (sim, dice) => during(sim, dice, sim.slow, [5_000, 30_000])

async function during(sim: Sim, dice: Dice, set: Set<Disk>, times: readonly number[]): Promise<string> {
  const { disk, name } = dice.oneIn(3) ? dice.pick(sim.witnesses) : dice.pick(sim.domains.flatMap(domain => domain.brokers))
  set.add(disk)
  await sim.scheduler.wait(dice.pick(times))
  set.delete(disk)
  return name
}

/** The host cuts the network in two, at random. */
export const partition: Fault = async (sim, dice) => {
  const sides = new Map<Mortal, number>(processes(sim).map(node => [node, dice.below(2)]))
  sim.cut(sides)
  const ms = dice.pick([1_000, 20_000, 100_000, 200_000])
  await sim.scheduler.wait(ms)
  sim.cut(new Map())
  return `${[...sides].filter(([, side]) => side === 0).map(([node]) => node.name).join(' ')} alone for ${ms / 1000} s`
}

export const badNetwork: Fault = async (sim, dice) => {
  sim.network = { lost: dice.pick([0, 10, 40]), twice: dice.pick([0, 20, 50]), late: dice.pick([0, 10, 40]) }
  const said = JSON.stringify(sim.network)
  await sim.scheduler.wait(dice.pick([5_000, 60_000]))
  sim.network = { lost: 0, twice: 0, late: 0 }
  return said
}

const JUMPS = [1, -1, 30, -30, -61, 200, -200, 90_000, -90_000]

/** A broker's clock jumps, or begins to run fast or slow. Witnesses who count as honest keep the time within seconds. */
export const clockOf: Fault = async (sim, dice) => {
  const node = dice.pick(processes(sim))
  const broker = 'broker' in node
  if (!broker) node.offset = dice.between(-2, 2)
  else if (dice.oneIn(4)) node.drift = dice.between(-5, 5)
  else node.offset += dice.pick(JUMPS)
  return `${node.name}: ${node.offset} s, ${node.drift} in a thousand`
}

/** The host puts an old copy of a broker's disk back, lets its brokers live on it, and then shows the newest again. */
export const setBack: Fault = async (sim, dice) => {
  const domain = dice.pick(sim.domains)
  const { disk } = domain.world
  if (domain.newest !== undefined) return 'is set back already'
  const old = copy(disk)
  await sim.scheduler.wait(dice.pick([2_000, 20_000, 60_000]))
  if (domain.newest !== undefined || disk.entries === old.entries) return 'nothing to set back'
  domain.newest = copy(disk)
  Object.assign(disk, old)
  exchanged(sim, domain, dice)
  await sim.scheduler.wait(dice.pick([1_000, 20_000, 100_000]))
  if (domain.newest === undefined) return domain.name
  putForward(domain)
  exchanged(sim, domain, dice)
  return domain.name
}

/** Under a disk that was exchanged, brokers are opened anew. */
function exchanged(sim: Sim, domain: Domain, dice: Dice): void {
  if (sim.plant.exchangedAlive !== true || dice.oneIn(2)) for (const node of domain.brokers) sim.kill(node, 100)
}

/** The disk comes back, unless the witnesses have gone on with the old copy, which then is the newest. */
function putForward(domain: Domain): void {
  const { newest, world: { disk } } = domain
  if (newest !== undefined && goesOn(domain, newest) >= goesOn(domain, disk)) Object.assign(disk, newest)
  domain.newest = undefined
}

/** A second machine with the same chip's keys and a copy of the disk, serving beside the first (a forked broker). */
export const clone: Fault = async (sim, dice) => {
  const domain = dice.pick(sim.domains)
  if (domain.newest !== undefined || domain.brokers.some(node => node.name.endsWith('clone'))) return 'not now'
  const disk = copy(domain.world.disk)
  await sim.scheduler.wait(dice.pick([10, 1_000, 20_000]))
  const node = sim.addBroker(domain, `${domain.name}-clone`, disk)
  void sim.start(node)
  return node.name
}

/** A forgetful witness loses its memory, or a part of it. */
export const forget: Fault = async (sim, dice) => {
  const forgetful = sim.witnesses.filter(one => one.kind === 'forgetful')
  if (forgetful.length === 0) return 'nobody forgets'
  const node = dice.pick(forgetful)
  const old = dice.oneIn(2) ? { head: { version: 0, spaces: {} }, entries: new Map() } : copy(node.disk)
  await sim.scheduler.wait(dice.pick([10, 30_000]))
  Object.assign(node.disk, old)
  return node.name
}

/** Everything is mended: the network, clocks, disks; whoever is down comes back by itself. */
export function heal(sim: Sim): void {
  sim.cut(new Map())
  sim.network = { lost: 0, twice: 0, late: 0 }
  sim.slow.clear()
  sim.full.clear()
  for (const node of processes(sim)) Object.assign(node, { offset: 0, drift: 0, armed: undefined })
  for (const domain of sim.domains) {
    if (domain.newest !== undefined) for (const node of domain.brokers) sim.kill(node, 100)
    putForward(domain)
    keepOne(sim, domain)
  }
}

/** Of brokers and their clones, the ones whose log the witnesses go on with stay. */
function keepOne(sim: Sim, domain: Domain): void {
  for (const clone of domain.brokers.filter(node => node.disk !== domain.world.disk)) keepBetter(sim, domain, clone)
}

function keepBetter(sim: Sim, domain: Domain, clone: BrokerNode): void {
  if (goesOn(domain, clone.disk) > goesOn(domain, domain.world.disk)) {
    Object.assign(domain.world.disk, copy(clone.disk))
    for (const node of domain.brokers) sim.kill(node, 100)
  }
  sim.remove(clone)
}

/** How many witnesses would cosign what continues this disk; honestly: with the time that it is. */
export function goesOn(domain: Domain, disk: Disk, how: 'honestly' | 'somehow' = 'somehow'): number {
  const leaves = leavesOf(p, entriesOn(disk))
  return domain.witnesses.filter(one => one.kind === 'hostile' ? how === 'somehow' : agrees(domain, one, leaves)).length
}

/** A witness goes on from what it remembers: `<size> <root> …`, as `witness.ts` keeps it. */
function agrees(domain: Domain, witness: WitnessNode, leaves: readonly Uint8Array[]): boolean {
  const kept = witness.disk.entries.get(`witness/${toHex(p.hash('sha256', utf8(domain.origin)))}`)
  if (kept === undefined) return true
  const [size, root = ''] = fromUtf8(kept.value).split(' ')
  return rootOf(p, leaves, Number(size)) === toHex(fromBase64(root))
}
