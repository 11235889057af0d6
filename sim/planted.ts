/**
 * What the simulation must be able to find. `PLANTED` are bugs put into the real code through what it is handed: a disk that
 * forgets, a witness that signs anything, a broker that ignores a revocation. `OPEN` are weaknesses of the real code that
 * the simulation found and that are not mended: the world of every other life is spared what shows them. Each must be found
 * within its number of seeds.
 */
import type { JsonObject } from '@cloister/core/bytes/json'
import { utf8, fromUtf8 } from '@cloister/core/bytes/text'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { formatProof } from '@cloister/core/log/proof'
import type { Signer } from '@cloister/core/crypto/primitives'
import { orRefuse } from '@cloister/core/refusal'
import type { Broker, BrokerOptions } from '../cloud/broker/broker.ts'
import type { Head } from '../cloud/ledger/ledger.ts'
import type { LocalWitness } from '../cloud/ledger/witness.ts'
import type { Disk } from '../cloud/store/memory.ts'
import type { Batch, Store } from '../cloud/store/store.ts'
import { cosignatureBy, type BrokerNode, type Process } from './world.ts'

/** Where something can be planted: around what a process is given, around what it is, or in what the world does to it. */
export interface Plant {
  readonly memory?: (store: Store, of: Process) => Store
  readonly witness?: (witness: LocalWitness, name: string, signer: Signer, clock: () => number) => LocalWitness
  readonly store?: (store: Store, of: BrokerNode) => Store
  readonly options?: Partial<BrokerOptions>
  readonly broker?: (broker: Broker, of: BrokerNode, clock: () => number) => Broker
  /** Brokers live on while the host exchanges the disk under them. */
  readonly exchangedAlive?: true
}
export interface Named { readonly name: string; readonly within: number; readonly plant: Plant }

export const PLANTED: readonly Named[] = [
  { name: 'witnesses forget to check that a tree continues the one before', within: 200, plant: { witness: signsAnything } },
  { name: 'a witness signs before it remembers', within: 200, plant: { memory: remembersLate } },
  { name: 'a broker seals before its log is witnessed', within: 50, plant: { broker: sealsEarly } },
  { name: 'a disk takes writes whatever version they were decided on', within: 400, plant: { store: ignoresVersions } },
  { name: 'a disk takes writes whatever they expect', within: 400, plant: { store: store => around(store, batch => ({ ...batch, expect: [] })) } },
  { name: 'used challenges and guests are not remembered', within: 400, plant: { store: store => around(store, batch => forgetting(batch, /^broker\/(used|session)\//)) } },
  { name: 'budgets are not debited', within: 50, plant: { store: store => around(store, batch => forgetting(batch, /^broker\/budget\//)) } },
  { name: 'budgets are debited after the release', within: 400, plant: { store: debitsLater } },
  { name: 'what a disk acknowledged is lost when the process dies', within: 100, plant: { store: losesOnDeath } },
  { name: 'one broker ignores revocations', within: 100, plant: { store: ignoresRevocations } },
  { name: 'a broker believes its own clock and no witness', within: 200, plant: { broker: believesItsClock } },
  { name: 'a broker takes guests of any measurement', within: 200, plant: { options: { references: [{ tee: 'simulated', hex: '11'.repeat(48), name: 'guest' }, { tee: 'simulated', hex: '33'.repeat(48), name: 'another' }] } } },
  { name: 'a refusal without a reason', within: 20, plant: { broker: refusesSilently } },
]

export const OPEN: readonly Named[] = [
  { name: 'brokers that live while their disk is exchanged may have to be opened anew', within: 400, plant: { exchangedAlive: true } },
]

// ---- disks

function around(store: Store, edit: (batch: Batch) => Batch): Store {
  return { ...store, write: batch => store.write(edit(batch)) }
}

function forgetting(batch: Batch, what: RegExp): Batch {
  return { ...batch, put: (batch.put ?? []).filter(({ key }) => !what.test(key)) }
}

/** Whatever the records were when the writer decided. */
function ignoresVersions(store: Store): Store {
  const blind = (batch: Batch): Batch => ({ ...batch, expect: (batch.expect ?? []).filter(({ key }) => !key.startsWith('broker/')) })
  return { ...store, write: async batch => store.write(batch.at === undefined ? batch : { ...blind(batch), at: await store.version() }) }
}

/** Two writes where there should be one, and some time between them. */
function debitsLater(store: Store): Store {
  const budget = /^broker\/budget\//
  return {
    ...store,
    write: async batch => {
      const later = (batch.put ?? []).filter(({ key }) => budget.test(key))
      const written = await store.write(forgetting(batch, budget))
      if (written.moved || later.length === 0) return written
      for (let i = 0; i < 8; i++) await store.version()
      await store.write({ put: later })
      return written
    },
  }
}

const unsynced = new WeakMap<BrokerNode, Disk>()
/** The last write before a death was never on the disk. */
function losesOnDeath(store: Store, of: BrokerNode): Store {
  const before = unsynced.get(of)
  if (before !== undefined) Object.assign(of.disk, before)
  return {
    ...store,
    write: batch => {
      unsynced.set(of, { ...of.disk })
      return store.write(batch)
    },
  }
}

function ignoresRevocations(store: Store, of: BrokerNode): Store {
  if (!of.name.endsWith('1')) return store
  return {
    ...store,
    load: async namespace => {
      const { version, entries } = await store.load(namespace)
      return { version, entries: entries.map(({ key, value }) => ({ key, value: key.startsWith('broker/lineage/') ? unrevoked(value) : value })) }
    },
  }
}

function unrevoked(value: Uint8Array): Uint8Array {
  const lineage = JSON.parse(fromUtf8(value)) as { versions: Record<string, object> } // as the broker writes it
  const versions = Object.fromEntries(Object.entries(lineage.versions).map(([asset, version]) => [asset, { ...version, version: 1 }]))
  return utf8(JSON.stringify({ ...lineage, versions, revoked: false, revokedAssets: [], revokedPrograms: [] }))
}

// ---- witnesses

function signsAnything(witness: LocalWitness, name: string, signer: Signer, clock: () => number): LocalWitness {
  return { ...witness, add: async ({ checkpoint }) => ({ status: 200, signature: cosignatureBy(name, signer, checkpoint, clock()) }) }
}

/** Each write is on the disk when the next one comes. */
function remembersLate(store: Store, of: Process): Store {
  let pending: { readonly batch: Batch; readonly life: number } | undefined
  const known = () => (pending?.life === of.life ? pending.batch.put : undefined) ?? []
  return {
    ...store,
    get: async key => known().find(entry => entry.key === key)?.value ?? store.get(key),
    write: async batch => {
      const put = known()
      pending = { batch, life: of.life }
      if (put.length > 0) await store.write({ put })
      return { moved: false, version: 0 }
    },
  }
}

// ---- brokers

/** Shows what its log alone has signed. */
function sealsEarly(broker: Broker): Broker {
  const { ledger } = broker
  const own = (): Head => {
    const signed = ledger.prepare([]).batch.put.find(({ key }) => key.endsWith('/signed'))
    const text = fromUtf8(signed?.value ?? new Uint8Array(0))
    const { size, root } = orRefuse(parseCheckpoint(text))
    return { text, size, root, time: 2 ** 31, witnesses: 9 }
  }
  Object.assign(ledger, { publish: async () => ({ ok: true, value: own() }), prove: async (index: number) => ({ ok: true, value: formatProof({ index, path: [], checkpoint: own().text }) }) })
  return broker
}

function believesItsClock(broker: Broker, of: BrokerNode, clock: () => number): Broker {
  const { ledger } = broker
  const [head, publish] = [ledger.head.bind(ledger), ledger.publish.bind(ledger)]
  const now = <T extends Head | undefined>(shown: T): T => (shown === undefined ? shown : { ...shown, time: clock() })
  Object.assign(ledger, {
    head: () => now(head()),
    publish: async (at: number) => {
      const shown = await publish(at)
      return shown.ok ? { ok: true, value: now(shown.value) } : shown
    },
  })
  return broker
}

function refusesSilently(broker: Broker): Broker {
  const release = broker.release.bind(broker)
  return Object.assign(broker, {
    release: async (body: JsonObject) => {
      const answer = await release(body)
      return answer.ok ? answer : { ok: false, refusal: { ...answer.refusal, expected: '' } }
    },
  })
}
