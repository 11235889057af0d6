/**
 * The simulated world: processes with clocks and disks, and a network between them. Brokers and witnesses are the real
 * ones, on the store in memory; what they wait for (a disk, a message, a turn of the event loop) waits in the scheduler,
 * where the seed orders, delays, drops, repeats and cuts it. A killed process never hears an answer again and is opened
 * anew on what its disk holds.
 */
import { createHash } from 'node:crypto'
import { framed } from '@cloister/core/bytes/bytes'
import { fromHex } from '@cloister/core/bytes/hex'
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { cosignNote, type NoteSignature } from '@cloister/core/log/note'
import type { LogPolicy } from '@cloister/core/log/policy'
import { cosignatureOf } from '@cloister/core/log/witness'
import { attemptAsync, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import type { Broker, BrokerMachine } from '../cloud/broker/broker.ts'
import { newWorld, seeded, START, wire, type World } from '../cloud/broker/world.fixture.ts'
import { generateSigner, nodePrimitives } from '../cloud/crypto/node.ts'
import { openWitness, type LocalWitness, type Witness } from '../cloud/ledger/witness.ts'
import { through } from '../cloud/store/faults.ts'
import { emptyDisk, openMemoryStore, type Disk } from '../cloud/store/memory.ts'
import type { Store } from '../cloud/store/store.ts'
import { Judge } from './judge.ts'
import type { Plant } from './planted.ts'
import { Dice, Scheduler, type Mortal } from './scheduler.ts'

export type Said = { readonly [key: string]: unknown }
/** An answer that may never come. */
export type Heard<T> = Promise<T | undefined>

export interface Process extends Mortal {
  /** Seconds by which its clock is wrong, and how many more it gains in a thousand. */
  offset: number
  drift: number
  /** What happens at the N-th coming call of its disk. */
  armed: { in: number; writesOnly: boolean; then: 'fails' | 'fails but persisted' | 'dies before' | 'dies after' } | undefined
}

const process = (name: string): Process => ({ name, life: 0, up: true, offset: 0, drift: 0, armed: undefined })

export interface BrokerNode extends Process { readonly domain: Domain; readonly disk: Disk; broker: Broker | undefined }
export interface WitnessNode extends Process { readonly kind: 'honest' | 'forgetful' | 'hostile'; readonly disk: Disk; readonly witness: LocalWitness }

/** Brokers on one disk, their log, and the witnesses that it asks. */
export interface Domain {
  readonly name: string
  readonly origin: string
  readonly world: World
  readonly machine: BrokerMachine
  readonly uses: number
  readonly quorum: number
  readonly witnesses: readonly WitnessNode[]
  readonly brokers: BrokerNode[]
  /** Pinned when it was founded: what guests, parties and auditors judge by. */
  policy: LogPolicy
  key: string
  seal: Uint8Array
  /** The newest disk, while the host shows an old one. */
  newest: Disk | undefined
}

/** How long after its request an answer still counts, in simulated milliseconds. */
const PATIENCE_MS = 8_000
/** The slowest answer of a slow disk. */
export const DISK_MS_MAX = 4_000
const LAG_MS_MAX = 40_000
const RESTART_MS = 500
/** How far a hostile witness's time is from the truth. */
const HOSTILE_SECONDS = [0, 0, 90, 86_400, -5_000]
const TICK_MS = 100_000

export class Sim {
  readonly scheduler = new Scheduler()
  readonly judge: Judge
  readonly domains: Domain[] = []
  readonly witnesses: WitnessNode[] = []
  readonly trace: string[] = []
  readonly counts = new Map<string, number>()
  /** Chances in a hundred that a message is lost, comes twice, or comes late. */
  network = { lost: 0, twice: 0, late: 0 }
  readonly slow = new Set<Disk>()
  readonly full = new Set<Disk>()
  readonly #seed: string
  readonly #dice = new Map<string, Dice>()
  readonly plant: Plant
  #sides: ReadonlyMap<Mortal, number> = new Map()

  constructor(seed: number, plant: Plant = {}) {
    this.#seed = String(seed)
    this.plant = plant
    this.judge = new Judge(p, () => this.scheduler.ms)
  }

  dice(name: string): Dice {
    const known = this.#dice.get(name) ?? new Dice(`${this.#seed} ${name}`)
    this.#dice.set(name, known)
    return known
  }

  /** What time it really is, in seconds since 1970. */
  now(): number { return START + Math.floor(this.scheduler.ms / 1000) }

  say(who: string, what: string): void {
    this.trace.push(`${(this.scheduler.ms / 1000).toFixed(3).padStart(9)} ${who}: ${what}`)
  }

  count(what: string): void { this.counts.set(what, (this.counts.get(what) ?? 0) + 1) }

  // ---- processes

  addWitness(kind: WitnessNode['kind']): WitnessNode {
    const name = `w${this.witnesses.length + 1}`
    const disk = emptyDisk()
    const one = process(name)
    const signer = generateSigner('ed25519', seeded(`${this.#seed} ${name}`)(32))
    const memory = this.plant.memory?.(this.#onDisk(one, disk, WITNESS_KEY), one) ?? this.#onDisk(one, disk, WITNESS_KEY)
    const honest = openWitness(p, `${name}.test`, signer, memory)
    const witness: LocalWitness = kind !== 'hostile' ? honest : {
      ...honest,
      add: async ({ checkpoint }) => {
        const lie = this.dice(name).pick(HOSTILE_SECONDS)
        return { status: 200, signature: cosignatureBy(`${name}.test`, signer, checkpoint, this.now() + lie) }
      },
    }
    const node = Object.assign(one, { kind, disk, witness: this.plant.witness?.(witness, `${name}.test`, signer, () => this.clock(one)) ?? witness })
    this.witnesses.push(node)
    return node
  }

  addDomain(options: { name: string; uses: number; brokers: number; quorum: number; witnesses: readonly WitnessNode[] }): Domain {
    const { name, uses, quorum, witnesses } = options
    const origin = `log-${name}.test`
    const world = newWorld({ seed: `sim ${this.#seed} ${name}`, uses, notice: '2m', head: '2m', edit: charter => Object.assign(charter, { name, log: { at: `https://${origin}`, witnesses: quorum, head: '2m' } }) })
    const domain: Domain = { name, origin, world, machine: quiet(world), uses, quorum, witnesses, brokers: [], policy: { logs: [], witnesses: [], groups: [], quorum: 'none' }, key: '', seal: new Uint8Array(0), newest: undefined }
    for (let i = 1; i <= options.brokers; i++) this.addBroker(domain, `${name}${i}`, world.disk)
    this.domains.push(domain)
    return domain
  }

  addBroker(domain: Domain, name: string, disk: Disk): BrokerNode {
    const node: BrokerNode = Object.assign(process(name), { domain, disk, broker: undefined, up: false })
    domain.brokers.push(node)
    return node
  }

  /** Open a broker on its disk; it serves when that is done. What cannot be opened is tried again, as a supervisor would. */
  async start(node: BrokerNode): Promise<void> {
    node.up = true
    const { domain } = node
    for (;;) {
      const store = this.#onDisk(node, node.disk, domain.world.storeKey)
      const opened = await attemptAsync(() => domain.world.open({
        p, machine: domain.machine, store: this.plant.store?.(store, node) ?? store, clock: () => this.clock(node), random: seeded(`${this.#seed} ${node.name} ${node.life}`),
        ledger: { origin: domain.origin, witnesses: domain.witnesses.map(witness => this.#remote(node, witness)), quorum: domain.quorum }, ...this.plant.options,
      }))
      if (opened.ok) {
        node.broker = this.plant.broker?.(opened.value, node, () => this.clock(node)) ?? opened.value
        void this.#tickOn(node)
        return
      }
      this.count(`open: ${opened.refusal.code}`)
      await this.scheduler.wait(2_000, node)
    }
  }

  async #tickOn(node: BrokerNode): Promise<void> {
    for (;;) {
      await this.scheduler.wait(TICK_MS, node)
      await node.broker?.tick()
    }
  }

  /** kill -9, and again after a while. */
  kill(node: Process, downMs: number): void {
    if (!node.up) return
    this.count('killed')
    node.life++
    node.up = false
    node.armed = undefined
    const broker = 'broker' in node ? node as BrokerNode : undefined // witnesses have none
    if (broker !== undefined) broker.broker = undefined
    this.scheduler.later(downMs, node, () => { if (broker === undefined) node.up = true; else void this.start(broker) })
  }

  /** Gone for good. */
  remove(node: BrokerNode): void {
    node.life++
    node.up = false
    node.broker = undefined
    node.domain.brokers.splice(node.domain.brokers.indexOf(node), 1)
  }

  clock(node: Process): number { return START + Math.floor(this.scheduler.ms * (1 + node.drift / 1000) / 1000) + node.offset }

  // ---- disks

  /** A disk as a process meets it: every call takes time on its way there and back, and may go wrong at either. */
  #onDisk(node: Process, disk: Disk, key: Uint8Array): Store {
    return through(openMemoryStore(disk, key), async (call, carryOut) => {
      const dice = this.dice(`disk ${node.name}`)
      const lag = () => this.scheduler.wait(this.slow.has(disk) ? dice.below(DISK_MS_MAX) : dice.below(4), node)
      const happens = this.#armed(node, call === 'write')
      await lag()
      if (happens === 'dies before') await this.#dies(node)
      if (happens === 'fails') refuse('store.full', call, 'a completed call', 'a failure')
      if (call === 'write' && this.full.has(disk)) refuse('store.full', call, 'room on the disk', 'a full one')
      const value = await carryOut()
      if (happens === 'dies after') await this.#dies(node)
      await lag()
      return happens === 'fails but persisted' ? refuse('store.full', call, 'a completed call', 'a lost answer') : value
    })
  }

  #armed(node: Process, write: boolean) {
    const { armed } = node
    if (armed === undefined || (armed.writesOnly && !write) || --armed.in > 0) return undefined
    node.armed = undefined
    this.count(`disk: ${armed.then}`)
    return armed.then
  }

  #dies(node: Process): Promise<never> {
    this.kill(node, RESTART_MS)
    return new Promise(() => undefined)
  }

  // ---- messages

  cut(sides: ReadonlyMap<Mortal, number>): void { this.#sides = sides }

  /** Ask another process something over the network. Resolves with undefined when no answer came in time. */
  call<T>(from: Mortal, to: Mortal, serve: () => Promise<T> | undefined): Heard<T> {
    return new Promise(resolve => {
      this.scheduler.later(PATIENCE_MS, from, () => resolve(undefined))
      for (const there of this.#carried(from, to)) {
        this.scheduler.later(there, undefined, () => {
          if (!to.up) return
          const { life } = to
          serve()?.then(answer => {
            if (to.life === life) for (const back of this.#carried(to, from)) this.scheduler.later(back, from, () => resolve(answer))
          }, (error: unknown) => this.judge.broken(`${to.name} threw: ${error instanceof Error ? error.stack : String(error)}`))
        })
      }
    })
  }

  /** How long each copy of a message takes; none when it is lost. */
  #carried(from: Mortal, to: Mortal): number[] {
    const dice = this.dice(`net ${from.name}`)
    const { lost, twice, late } = this.network
    const lag = () => (dice.below(100) < late ? dice.below(LAG_MS_MAX) : 1 + dice.below(20))
    const [one, other] = [this.#sides.get(from), this.#sides.get(to)]
    if (one !== undefined && other !== undefined && one !== other) return this.#carry('cut off', [])
    if (dice.below(100) < lost) return this.#carry('lost', [])
    return dice.below(100) < twice ? this.#carry('repeated', [lag(), lag()]) : [lag()]
  }

  #carry(what: string, copies: number[]): number[] {
    this.count(`message ${what}`)
    return copies
  }

  /** Ask a broker. What it answers is seen as it leaves, whether it arrives or not. */
  reach<T>(from: Mortal, node: BrokerNode, serve: (broker: Broker) => Promise<T>, leaves: (answer: T) => void = () => undefined): Heard<T> {
    return this.call(from, node, () => {
      const { broker, life } = node
      return broker === undefined ? undefined : serve(broker).then(answer => {
        if (node.life === life) leaves(answer)
        return answer
      })
    })
  }

  ask(from: Mortal, node: BrokerNode, method: Method, body: Said): Heard<Result<Said>> {
    return this.reach(from, node, broker => (method === 'charter' ? broker.charter(node.domain.world.lineage) : broker[method](wire(body))), answer => {
      this.judge.answered({ domain: node.domain, method, body, answer, ms: this.scheduler.ms })
    })
  }

  /** A witness of another machine, asked as `remoteWitness` asks it, over this network. */
  #remote(from: Process, to: WitnessNode): Witness {
    let old = 0
    return {
      vkey: to.witness.vkey,
      cosign: request => attemptAsync(async () => {
        const checkpoint = orRefuse(parseCheckpoint(request.checkpoint))
        for (let tries = 0; tries < 4; tries++) {
          const asked = { old, proof: await request.prove(old), checkpoint: request.checkpoint }
          const verdict = await this.call(from, to, async () => {
            const said = await to.witness.add(asked, request.policy.logs, this.clock(to))
            if (said.status === 200) this.judge.cosigned(to, request.checkpoint)
            return said
          })
          if (verdict === undefined) return refuse('log.unavailable', to.name, 'an answer', 'none')
          if (verdict.status === 200) {
            old = checkpoint.size
            return orRefuse(cosignatureOf(p, checkpoint, [verdict.signature], to.witness.vkey))
          }
          if (verdict.status !== 409) return orRefuse({ ok: false, refusal: verdict.refusal })
          if (verdict.size > checkpoint.size) return refuse('log.consistency', 'checkpoint', `the ${verdict.size} entries that the witness has seen`, String(checkpoint.size))
          old = verdict.size
        }
        return refuse('log.witnesses', to.name, 'a cosignature', 'other sizes again and again')
      }),
    }
  }
}

/** What a witness signs that looks at nothing. */
export function cosignatureBy(name: string, signer: Signer, checkpoint: string, time: number): NoteSignature {
  const [signature] = cosignNote(p, { text: orRefuse(parseCheckpoint(checkpoint)).note.text, signatures: [] }, name, signer, time).signatures
  if (signature === undefined) throw new Error('no cosignature')
  return signature
}

/** A broker's evidence about itself is signed once: nobody here judges it, and P-384 is slow. */
function quiet({ machine }: World): BrokerMachine {
  let evidence: ReturnType<BrokerMachine['report']> | undefined
  return { ...machine, report: data => (evidence ??= machine.report(data)) }
}

export type Method = 'hello' | 'release' | 'why' | 'receipt' | 'found' | 'propose' | 'act' | 'deposit' | 'charter'

const WITNESS_KEY = fromHex('77'.repeat(32))

/** The real primitives; a signature that was checked once is not checked again, since the same question has the same answer. */
export const p: Primitives = (() => {
  const known = new Map<string, boolean>()
  return {
    ...nodePrimitives,
    verify: (algorithm, key, message, signature) => {
      const name = createHash('sha256').update(framed(algorithm, ...(key.kind === 'rsa' ? [key.n, key.e] : [key.raw]), message, signature)).digest('base64')
      const before = known.get(name)
      if (before !== undefined) return before
      if (known.size > 20_000) known.clear()
      const holds = nodePrimitives.verify(algorithm, key, message, signature)
      known.set(name, holds)
      return holds
    },
  }
})()

