/**
 * A cloud on this machine, on simulated silicon: a broker with its log and one embedded witness, and a machine that
 * launches guests. Ephemeral (a temporary folder that goes away) or kept in a state folder. This is a composition root:
 * it wires rooms and decides nothing.
 *
 * The witness keeps its memory in a store of its own, so that a broker's store that was set back is noticed. `chip` stands
 * for silicon: whoever reads it owns the simulated machine.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromHex } from '@cloister/core/bytes/hex'
import { parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import type { PolicyLog } from '@cloister/core/log/policy'
import { refuse } from '@cloister/core/refusal'
import { openBroker, type Broker, type BrokerMachine } from '../broker/broker.ts'
import { brokerApp, serveBroker } from '../broker/http.ts'
import { openIdentity, storeKey } from '../broker/identity.ts'
import { joinBroker } from '../broker/join.ts'
import { generateSigner, importSigner, nodePrimitives, nodeRandom, type LocalSigner } from '../crypto/node.ts'
import { openSimulatedChip } from '../guest/attesters/simulated.ts'
import { witnessFace } from '../ledger/http.ts'
import { openWitness, type LocalWitness, type Witness } from '../ledger/witness.ts'
import { measureGuest } from '../provider/measure.ts'
import type { Machine } from '../provider/launch.ts'
import { connectBroker } from '../sdk/client.ts'
import { openStore } from '../store/open.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'

export interface LocalCloud {
  readonly url: string
  readonly broker: Broker
  /** Whose word counts for this cloud's log, for verifiers (C2SP tlog-policy). */
  readonly policy: string
  /** A machine that will launch a guest with this host data (hex, 32 bytes). */
  machine(hostData: string): Machine
  close(): Promise<void>
}
export interface LocalCloudOptions {
  readonly folder?: string
  readonly port?: number
  /** What brokers share: `postgres:FILE` (a connection file), `postgres:` (the environment), or a folder; absent, a file of this machine's own. */
  readonly store?: string
  /** The address of a broker to become: its identity is asked for, once, with this machine's evidence. */
  readonly join?: string
  /** Other people's witnesses, and how many of them must cosign; absent, one of this machine's own. */
  readonly witnesses?: readonly Witness[]
  readonly quorum?: number
  /** Logs of others that this cloud's witness cosigns, at `/witness`. */
  readonly witnessOf?: readonly PolicyLog[]
}

const p = nodePrimitives
const clock = () => Math.floor(Date.now() / 1000)

export async function openLocalCloud(options: LocalCloudOptions = {}): Promise<LocalCloud> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'cloister-'))
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const chip = openSimulatedChip(clock(), options.folder === undefined ? undefined : join(folder, 'chip'))
  const measurement = fromHex(measureGuest())
  const sealingKey = chip.sealingKey(measurement)
  const stores: Store[] = []
  const open = (name: string) => {
    const store = openSqliteStore({ path: join(folder, name), key: storeKey(p, sealingKey) })
    stores.push(store)
    return store
  }
  const machine: BrokerMachine = { report: data => chip.report({ measurement, hostData: new Uint8Array(32) }, data), sealingKey: () => sealingKey }
  const place = await placeOf(options, machine, open)
  const own = await embeddedWitness(open('witness.db'))
  const witnesses = options.witnesses ?? [own]
  const broker = await openBroker({
    p, random: nodeRandom, clock, ...place, machine,
    references: [{ tee: 'simulated', hex: measureGuest(), name: 'cloister guest runtime' }], distrust: {},
    ledger: { origin: 'cloister.local/log', witnesses, quorum: options.quorum ?? Math.floor(2 * witnesses.length / 3) + 1 },
  })
  const app = brokerApp(broker)
  if (options.witnessOf !== undefined) witnessFace(app, '/witness', own, options.witnessOf, clock)
  const served = await serveBroker(broker, { port: options.port ?? 0, app })
  return {
    url: served.url, broker, policy: broker.ledger.policyText(),
    machine: hostData => ({ report: data => chip.report({ measurement, hostData: fromHex(hostData) }, data) }),
    close: async () => {
      await served.close()
      broker.close()
      await place.store.close()
      for (const store of stores) await store.close()
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/**
 * Where the broker keeps what it acknowledged, and where who it is. Alone: one file. With a shared store the identity lies in
 * a vault of this machine's own: made here, or given by the broker that this one joins.
 */
async function placeOf({ store, join: elder }: LocalCloudOptions, machine: BrokerMachine, open: (name: string) => Store): Promise<{ store: Store; vault?: Store }> {
  if (store === undefined) return elder === undefined ? { store: open('broker.db') } : refuse('cli.usage', '--join', 'a store that both brokers share (--store)', 'none')
  const vault = open('vault.db')
  const client = elder === undefined ? undefined : connectBroker(elder)
  const identity = client === undefined ? await openIdentity(p, vault, machine.sealingKey(), nodeRandom) : await joinBroker({
    p, random: nodeRandom, clock, vault, machine,
    elder: { hello: async body => plainJson(await client.send('/v1/hello', body)), join: async body => plainJson(await client.send('/v1/join', body)) },
  })
  return { vault, store: await openStore({ at: store, name: 'broker', key: identity.sharedKey, env: process.env }) }
}

const plainJson = (value: unknown): JsonObject => parseJsonObject(JSON.stringify(value))

async function embeddedWitness(store: Store): Promise<LocalWitness> {
  return openWitness(p, 'cloister.local/witness', await witnessSigner(store), store)
}

async function witnessSigner(store: Store): Promise<LocalSigner> {
  const kept = await store.get('witness/key')
  if (kept !== undefined) return importSigner(new TextDecoder().decode(kept))
  const signer = generateSigner('ed25519')
  await store.write({ put: [{ key: 'witness/key', value: new TextEncoder().encode(signer.exportPem()) }] })
  return signer
}

/** What `up` leaves for the other commands: where its cloud is. */
export function announce(folder: string, cloud: LocalCloud): void {
  writeFileSync(join(folder, 'cloud.json'), `${JSON.stringify({ url: cloud.url, policy: cloud.policy, simulated: true })}\n`, { mode: 0o600 })
}
