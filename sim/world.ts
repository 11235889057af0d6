/**
 * One simulated life of a cloud: brokers, their disk, a witness, guests and parties, all on a clock, a source of
 * randomness and a store that the seed drives. Each step is an action or a fault; after each step the invariants of
 * `invariants.ts` are checked against what the outside has seen.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { fromUtf8 } from '@cloister/core/bytes/text'
import type { Charter, Duration } from '@cloister/core/charter/types'
import type { Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'
import type { Broker } from '../cloud/broker/broker.ts'
import { actOf, ask, attest, charterJson, newWorld, openKeys, put, ready, seeded, successor, wire, type Asked, type World } from '../cloud/broker/world.fixture.ts'
import { charterDigest } from '@cloister/core/charter/canonical'
import { withFault, type Fault } from '../cloud/store/faults.ts'
import type { Disk } from '../cloud/store/memory.ts'

/** What people and guests outside were told: the only ground on which a broker can be judged. */
export interface Seen {
  readonly released: { readonly receipt: string; readonly proof: string; readonly nonce: string; readonly charter: string; readonly at: number; readonly assets: readonly string[] }[]
  /** Assets whose owner's revocation was acknowledged, and the log's size at that moment. */
  readonly revoked: Map<string, number>
  /** Acknowledged receipts, which must stay in the log for ever. */
  readonly acknowledged: string[]
  readonly roots: Map<number, string>
}

export interface Sim {
  readonly world: World
  readonly seen: Seen
  readonly uses: number
  brokers: Broker[]
  charter: Charter
  trace: string[]
  chance(n: number): number
}

const STEPS = 16
const NOTICE: Duration = '1h'

/** Live one life. `check` runs after every step and throws when something is wrong. */
export async function live(seed: number, check: (sim: Sim) => Promise<void>): Promise<Sim> {
  const draw = seeded(`sim ${seed}`)
  const chance = (n: number) => (draw(4).reduce((value, byte) => value * 256 + byte, 0)) % n
  const uses = 1 + chance(4)
  const world = newWorld({ seed: `sim world ${seed}`, uses, notice: NOTICE, head: '10m' })
  const sim: Sim = { world, uses, charter: world.charter, brokers: [], trace: [], chance, seen: { released: [], revoked: new Map(), acknowledged: [], roots: new Map() } }
  sim.brokers = [await ready(world), await world.open()]
  for (let i = 0; i < STEPS; i++) {
    const [name, action] = ACTIONS[chance(ACTIONS.length)] ?? ACTIONS[0]
    const outcome = await action(sim)
    sim.trace.push(`${name}: ${outcome}`)
    await check(sim)
  }
  return sim
}

type Action = (sim: Sim) => Promise<string>
const ACTIONS: readonly [readonly [string, Action], ...(readonly [string, Action])[]] = [
  ['release', release], ['release', release], ['release', release],
  ['release twice at once', releaseTwice], ['release, message delayed', releaseDelayed], ['release, challenge shared', releaseShared], ['release, answer dropped', releaseDropped],
  ['widen', widen], ['narrow', narrow], ['revoke', revoke], ['put', deposit],
  ['clock', moveClock], ['restart', restart], ['failing write', failingWrite], ['disk set back', setBack],
]

const broker = (sim: Sim): Broker => sim.brokers[sim.chance(sim.brokers.length)] ?? lost()
const lost = (): never => { throw new Error('a world without brokers') }

async function release(sim: Sim): Promise<string> {
  const gate = broker(sim)
  const asked = await asking(sim, gate)
  return asked.ok ? told(sim, gate, asked.value, await gate.release(wire(asked.value.body))) : asked.refusal.code
}

/** The same message at both brokers in the same moment. */
async function releaseTwice(sim: Sim): Promise<string> {
  const gate = broker(sim)
  const asked = await asking(sim, gate)
  if (!asked.ok) return asked.refusal.code
  const answers = await Promise.all(sim.brokers.map(one => one.release(wire(asked.value.body))))
  return answers.map((answer, i) => told(sim, sim.brokers[i] ?? gate, asked.value, answer)).join(', ')
}

/** A relaying host hands one challenge to two guests. */
async function releaseShared(sim: Sim): Promise<string> {
  const gate = broker(sim)
  const hello = await gate.hello(wire({ nonce: toBase64(sim.world.random(32)), charter: sim.world.lineage }))
  if (!hello.ok) return hello.refusal.code
  const outcomes: string[] = []
  for (let i = 0; i < 2; i++) {
    const asked = attest(sim.world, sim.charter, String(hello.value['nonce']), String(hello.value['head']), { assets: ['a-claims'] })
    const now = broker(sim)
    outcomes.push(told(sim, now, asked, await now.release(wire(asked.body))))
  }
  return outcomes.join(', ')
}

/** Something else happens between the hello and the release. */
async function releaseDelayed(sim: Sim): Promise<string> {
  const gate = broker(sim)
  const asked = await asking(sim, gate)
  if (!asked.ok) return asked.refusal.code
  const between = await ([narrow, revoke, moveClock, restart] as const)[sim.chance(4)]?.(sim)
  const now = broker(sim)
  return `${between}; ${told(sim, now, asked.value, await now.release(wire(asked.value.body)))}`
}

/** The host keeps the answer: the guest asks again with the same challenge. */
async function releaseDropped(sim: Sim): Promise<string> {
  const gate = broker(sim)
  const asked = await asking(sim, gate)
  if (!asked.ok) return asked.refusal.code
  await gate.release(wire(asked.value.body))
  return told(sim, gate, asked.value, await broker(sim).release(wire(asked.value.body)))
}

function asking(sim: Sim, gate: Broker): Promise<Result<Asked>> {
  const assets = [['a-claims', 'b-claims'], ['a-claims'], ['b-claims']][sim.chance(3)] ?? []
  return ask(sim.world, gate, { assets, charter: sim.world.lineage })
}

/** Keys that open have left; everything the guest was told is remembered. */
function told(sim: Sim, gate: Broker, asked: Asked, answer: Result<{ readonly [key: string]: unknown }>): string {
  if (!answer.ok) return answer.refusal.code
  const keys = openKeys(gate, asked, answer.value)
  if (!keys.ok) return keys.refusal.code
  const receipt = String(answer.value['receipt'])
  sim.seen.released.push({ receipt, proof: String(answer.value['proof']), nonce: String(asked.body['nonce']), charter: asked.context.charter, at: gate.ledger.size(), assets: asked.context.assets })
  sim.seen.acknowledged.push(receipt)
  return 'released'
}

async function change(sim: Sim, next: Charter, signers: readonly string[], wait: boolean): Promise<string> {
  const { world } = sim
  const act = (party: string, verb: 'propose' | 'approve' | 'enact') => wire({ act: actOf(world, party, verb, next) })
  const [first = 'alpha'] = signers
  const proposed = await broker(sim).propose(wire({ charter: charterJson(next), act: actOf(world, first, 'propose', next) }))
  if (!proposed.ok) return proposed.refusal.code
  for (const party of signers) await broker(sim).act(act(party, 'approve'))
  if (wait) world.now += 3600
  const enacted = await broker(sim).act(act(first, 'enact'))
  if (!enacted.ok) return enacted.refusal.code
  sim.charter = next
  sim.seen.acknowledged.push(String(enacted.value['receipt']))
  return 'enacted'
}

/** A wider budget is no wider than `uses`: what the invariants count stays true. Sometimes without enough signatures, sometimes too early. */
function widen(sim: Sim): Promise<string> {
  const next = successor(sim.charter, charter => {
    charter.grants = ['a-claims', 'b-claims'].map(asset => ({ asset, to: 'match', can: 'read', budget: { uses: sim.uses }, out: [{ to: ['alpha', 'bravo'], shape: 'rows', about: 'own', atLeast: 1 + charter.epoch }, { to: ['alpha'], shape: 'aggregate', atLeast: 50 + sim.chance(50) }] }))
  })
  return change(sim, next, sim.chance(3) === 0 ? ['alpha'] : ['alpha', 'bravo'], sim.chance(3) > 0)
}

/** One owner drops its own grant; or tries to drop the other's. */
function narrow(sim: Sim): Promise<string> {
  const asset = sim.chance(2) === 0 ? 'a-claims' : 'b-claims'
  const kept = sim.charter.grants.filter(grant => grant.asset !== asset)
  if (kept.length === sim.charter.grants.length) return Promise.resolve('nothing to narrow')
  return change(sim, successor(sim.charter, charter => { charter.grants = kept }), [sim.chance(4) === 0 ? 'bravo' : asset === 'a-claims' ? 'alpha' : 'bravo'], false)
}

async function revoke(sim: Sim): Promise<string> {
  const [asset, party] = sim.chance(2) === 0 ? ['a-claims', 'alpha'] : ['b-claims', 'bravo']
  const gate = broker(sim)
  const said = await gate.act(wire({ act: actOf(sim.world, party, 'revoke', sim.charter, `${asset}@${await versionOf(sim, gate, asset)}`) }))
  if (!said.ok) return said.refusal.code
  sim.seen.revoked.set(asset, gate.ledger.size())
  sim.seen.acknowledged.push(String(said.value['receipt']))
  return `revoked ${asset}`
}

async function deposit(sim: Sim): Promise<string> {
  const asset = sim.chance(2) === 0 ? 'a-claims' : 'b-claims'
  const gate = broker(sim)
  const answer = await put(sim.world, gate, asset, await versionOf(sim, gate, asset) + sim.chance(2), sim.charter)
  // Whether it was kept or not, the owner has said that the asset may be used again.
  sim.seen.revoked.delete(asset)
  return answer.ok ? 'kept' : answer.refusal.code
}

async function versionOf(sim: Sim, gate: Broker, asset: string): Promise<number> {
  const shown = await gate.charter(sim.world.lineage)
  const versions = shown.ok ? shown.value['versions'] as Record<string, { version: number }> : {} // as broker.ts writes it
  return versions[asset]?.version ?? 1
}

function moveClock(sim: Sim): Promise<string> {
  const by = [1, 30, 61, 700, 4000, -5, -50, -90_000][sim.chance(8)] ?? 1
  sim.world.now += by
  return Promise.resolve(`${by} s`)
}

async function restart(sim: Sim): Promise<string> {
  sim.brokers = await Promise.all(sim.brokers.map(() => sim.world.open()))
  return 'restarted'
}

/** A broker whose N-th write fails in one of the two ways; then it is restarted. */
async function failingWrite(sim: Sim): Promise<string> {
  const fault: Fault = { mode: sim.chance(2) === 0 ? 'persisted' : 'not-persisted', nth: 1 + sim.chance(4), touched: false }
  const whole = sim.brokers
  sim.brokers = [await sim.world.open({ store: withFault(sim.world.store(), fault) })]
  const outcome = await ([release, narrow, revoke, deposit] as const)[sim.chance(4)]?.(sim)
  sim.brokers = whole
  await learnHead(sim)
  return `${fault.mode} at ${fault.nth}${fault.touched ? '' : ' (not reached)'}: ${outcome}`
}

/** After a lost answer the parties look: which charter is the newest? */
async function learnHead(sim: Sim): Promise<void> {
  const record = await sim.world.store().get(`broker/lineage/${sim.world.lineage}`)
  const { digest } = JSON.parse(fromUtf8(record ?? new Uint8Array(0))) as { digest: string } // as life.ts writes it
  const kept = await sim.world.store().get(`broker/charter/${digest}`)
  if (digest !== charterDigest(p, sim.charter) && kept !== undefined) sim.charter = (JSON.parse(fromUtf8(kept)) as { charter: Charter }).charter // as life.ts writes it
}

/** The host puts an old copy of the disk back, watches what the brokers do, and puts the new one back again. */
async function setBack(sim: Sim): Promise<string> {
  const { disk } = sim.world
  const before: Disk = { head: disk.head, entries: disk.entries }
  const first = await release(sim)
  const newest: Disk = { head: disk.head, entries: disk.entries }
  if (newest.head.version === before.head.version) return `${first}; nothing to set back`
  Object.assign(disk, before)
  sim.brokers = await Promise.all(sim.brokers.map(() => sim.world.open()))
  const second = await release(sim)
  Object.assign(disk, newest)
  sim.brokers = await Promise.all(sim.brokers.map(() => sim.world.open()))
  if (second === 'released') throw new Error('a broker whose disk was set back released a key')
  return `${first}; set back: ${second}`
}
