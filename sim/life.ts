/**
 * One life from one seed: a world is founded, a plan of acts and faults happens to it, much of it at once, then everything
 * heals and every broker that can go on must serve an honest guest. The judge stops a life at the first thing that must
 * never happen.
 */
import type { Charter } from '@cloister/core/charter/types'
import { orRefuse } from '@cloister/core/refusal'
import { actOf, charterJson } from '../cloud/broker/world.fixture.ts'
import * as actors from './actors.ts'
import * as faults from './faults.ts'
import { Broken, type Story } from './judge.ts'
import type { Plant } from './planted.ts'
import { Dice } from './scheduler.ts'
import { entriesOn } from './tree.ts'
import { Sim, type Domain } from './world.ts'

export interface Life { readonly sim: Sim; readonly steps: number; readonly failure: string | undefined }
export interface LifeOptions {
  readonly plant?: Plant
  /** Steps of the plan that are left out: the rest happens as before, as far as it can. */
  readonly without?: ReadonlySet<number>
}

interface Step { readonly at: number; readonly name: string; readonly index: number; run(sim: Sim, dice: Dice): Promise<string> }

/** Live the life of a seed to its end, or to the first thing that is broken. */
export async function live(seed: number, { plant = {}, without = new Set() }: LifeOptions = {}): Promise<Life> {
  const sim = new Sim(seed, plant)
  const steps = planOf(seed)
  const uncaught = (error: unknown) => sim.judge.broken(`uncaught: ${error instanceof Error ? error.stack ?? error.message : String(error)}`)
  process.on('uncaughtException', uncaught)
  try {
    await sim.scheduler.run(Promise.race([lifeOf(sim, steps.filter(step => !without.has(step.index))), sim.judge.verdict]))
    return { sim, steps: steps.length, failure: undefined }
  } catch (error) {
    return { sim, steps: steps.length, failure: error instanceof Broken ? error.message : error instanceof Error ? error.stack ?? error.message : String(error) }
  } finally {
    process.off('uncaughtException', uncaught)
  }
}

const ACTS: readonly (readonly [number, string, actors.Act])[] = [
  [10, 'release', actors.release], [3, 'release everywhere at once', actors.releaseEverywhere], [2, 'one challenge for three guests', actors.releaseShared],
  [2, 'release, message kept back', actors.releaseLate], [3, 'release, lying', actors.releaseLying], [3, 'widen', actors.widen], [2, 'narrow', actors.narrow],
  [3, 'revoke an asset', actors.revokeAsset], [1, 'revoke together', actors.revokeTogether], [3, 'put a key', actors.putKey], [2, 'monitor', actors.monitor],
]
const FAULTS: readonly (readonly [number, string, faults.Fault])[] = [
  [3, 'kill', faults.killOne], [4, 'disk call', faults.diskCall], [1, 'disk full', faults.diskFull], [1, 'disk slow', faults.diskSlow], [2, 'partition', faults.partition],
  [2, 'network', faults.badNetwork], [2, 'clock', faults.clockOf], [2, 'disk set back', faults.setBack], [1, 'clone', faults.clone], [1, 'forget', faults.forget],
]
const ACT_COUNT = 9
const FAULT_COUNT = 5
const MOMENTS = 5
const SPAN_MS = 200_000
/** Things happen around a few moments, so that they meet. */
const AROUND_MS = 200

function planOf(seed: number): Step[] {
  const dice = new Dice(`${seed} plan`)
  const moments = Array.from({ length: MOMENTS }, () => dice.below(SPAN_MS))
  const at = () => dice.pick(moments) + dice.below(AROUND_MS)
  const acts = Array.from({ length: ACT_COUNT }, (_, i): Step => {
    const [, name, act] = weighted(dice, ACTS)
    return { at: at(), name, index: i, run: (sim, own) => act({ sim, dice: own, domain: own.pick(sim.domains), name: `${name} ${i}`, life: 0, up: true }) }
  })
  const wrong = Array.from({ length: FAULT_COUNT }, (_, i): Step => {
    const [, name, fault] = weighted(dice, FAULTS)
    return { at: at(), name: `FAULT ${name}`, index: ACT_COUNT + i, run: fault }
  })
  return [...acts, ...wrong]
}

function weighted<T extends readonly [number, ...unknown[]]>(dice: Dice, from: readonly T[]): T {
  let left = dice.below(from.reduce((sum, [weight]) => sum + weight, 0))
  return from.find(([weight]) => (left -= weight) < 0) ?? dice.pick(from)
}

async function lifeOf(sim: Sim, steps: readonly Step[]): Promise<void> {
  await begin(sim)
  await Promise.all(steps.map(async step => {
    await sim.scheduler.wait(step.at)
    sim.count(step.name)
    sim.say(`${step.index}`, `${step.name} begins`)
    sim.say(`${step.index}`, `${step.name}: ${await step.run(sim, sim.dice(`step ${step.index}`))}`)
  }))
  await end(sim)
}

// ---- the beginning

/** How many witnesses, how many of them must cosign, how many may be hostile or forgetful: any two quorums share an honest one. */
const QUORUMS = [{ of: 1, need: 1, bad: 0 }, { of: 1, need: 1, bad: 0 }, { of: 3, need: 2, bad: 0 }, { of: 3, need: 3, bad: 2 }, { of: 4, need: 3, bad: 1 }] as const

async function begin(sim: Sim): Promise<void> {
  const dice = sim.dice('begin')
  const { of, need, bad } = dice.pick(QUORUMS)
  const witnesses = Array.from({ length: of }, (_, i) => sim.addWitness(i >= bad ? 'honest' : dice.pick(['hostile', 'forgetful'] as const)))
  // Two domains have logs of their own and the same witnesses.
  const domains = Array.from({ length: dice.oneIn(3) ? 2 : 1 }, (_, i) => sim.addDomain({ name: ['north', 'south'][i] ?? '', uses: dice.between(2, 5), brokers: dice.between(1, 3), quorum: need, witnesses }))
  sim.say('world', `${domains.map(domain => `${domain.name}: ${domain.brokers.length} brokers, ${domain.uses} uses`).join('; ')}; ${need} of ${witnesses.map(one => `${one.name} ${one.kind}`).join(', ')}`)
  for (const domain of domains) await found(sim, domain)
}

/** Every party signs, a policy is pinned, the keys of the assets are put. */
async function found(sim: Sim, domain: Domain): Promise<void> {
  await Promise.all(domain.brokers.map(node => sim.start(node)))
  const { world } = domain
  const { broker } = domain.brokers[0] ?? {}
  if (broker === undefined) throw new Error('no broker')
  const party = { name: `parties of ${domain.name}`, life: 0, up: true }
  Object.assign(domain, { policy: broker.ledger.policy, key: broker.key, seal: broker.seal })
  const done = async (method: 'found' | 'deposit', body: object) => {
    const answer = await sim.ask(party, domain.brokers[0] ?? fail(), method, { ...body })
    orRefuse(answer ?? fail())
  }
  await done('found', { charter: charterJson(world.charter), acts: Object.keys(world.parties).map(name => actOf(world, name, 'approve', world.charter)) })
  for (const asset of ['a-claims', 'b-claims'] as const) await done('deposit', actors.depositOf(world, domain.seal, world.charter, asset, 1))
}

const fail = (): never => { throw new Error('a world that could not be founded') }

// ---- the end

const CALM_MS = 70_000

/** When nothing goes wrong any more, each broker serves: it gives keys, or refuses for a reason that stands in the log. */
async function end(sim: Sim): Promise<void> {
  faults.heal(sim)
  await sim.scheduler.wait(CALM_MS)
  for (const domain of sim.domains) {
    const kept = entriesOn(domain.world.disk)
    if (!sim.judge.story(domain).entries.every((entry, i) => kept[i] === entry)) throw new Broken(`${domain.name}: an entry that was shown is on the disk no more`)
    // Only where the honest ones are too few can a hostile witness hold a log up, with cosignatures of an old time.
    if (faults.goesOn(domain, domain.world.disk, 'honestly') < domain.quorum) {
      sim.count('in the end: a log that its witnesses may stop')
      continue
    }
    for (const node of domain.brokers) {
      const guest = { sim, domain, dice: sim.dice(`end ${node.name}`), name: `the last guest of ${node.name}`, life: 0, up: true }
      const { word, charter } = await actors.honest(guest, node)
      sim.count(`in the end: ${word}`)
      sim.say(guest.name, word)
      const allowed = expected(sim.judge.story(domain), domain.uses + (word === 'keys' ? 1 : 0), charter)
      if (!allowed.includes(word)) throw new Broken(`in the end, with nothing wrong, ${node.name} said ${word}, not ${allowed.join(' or ')}`)
    }
  }
}

/** What an honest guest that wants both assets may be told, by what stands in the log. */
function expected(story: Story, uses: number, charter: Charter | undefined): string[] {
  const assets = Object.keys(charter?.assets ?? {})
  const reasons = [
    ...story.revoked || story.programs.has('match') ? ['charter.revoked'] : [],
    ...assets.some(asset => charter?.grants.some(grant => grant.asset === asset) !== true) ? ['grant.none'] : [],
    ...assets.some(asset => (story.spent.get(asset) ?? 0) >= uses) ? ['budget.spent'] : [],
  ]
  // What was narrowed or revoked has no key until its owner puts a new one; the log does not say which of them that was.
  const missing = assets.every(asset => story.kept.has(asset)) ? [] : ['asset.key-missing', 'charter.revoked']
  return [...reasons.length === 0 ? ['keys'] : reasons, ...missing]
}
