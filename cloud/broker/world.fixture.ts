/**
 * A small world for the broker's tests, the simulation and the bench: a chip, two insurers with their keys, a charter, a
 * witness, a guest that attests, and a clock that only moves when it is told to. Nothing in it is faked: evidence is made
 * by the simulated chip and judged by the code that judges real silicon.
 */
import { constants, createHash, createPrivateKey, sign } from 'node:crypto'
import { toBase64, fromBase64 } from '@cloister/core/bytes/base64'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { signAct, type Act, type Verb } from '@cloister/core/charter/acts'
import { canonicalCharter, charterDigest, programIdentity } from '@cloister/core/charter/canonical'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { hpkeKeyPair } from '@cloister/core/crypto/hpke'
import { formatKey } from '@cloister/core/crypto/keys'
import type { Random, Signer } from '@cloister/core/crypto/primitives'
import { simulatedChip, type SimulatedChip } from '@cloister/core/evidence/simulated/chip'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { encodeReceipt } from '@cloister/core/receipt/receipt'
import { orRefuse, type Refusal, type Result } from '@cloister/core/refusal'
import { reportData } from '@cloister/core/seal/binding'
import { openRelease, parseSealed, type ReleasedKey } from '@cloister/core/seal/release'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { SIMULATED_ASK_KEY } from '../guest/attesters/simulated-key.ts'
import { openWitness, type Witness } from '../ledger/witness.ts'
import { emptyDisk, openMemoryStore, type Disk } from '../store/memory.ts'
import type { Store } from '../store/store.ts'
import { openBroker, type Broker, type BrokerMachine, type BrokerOptions } from './broker.ts'
import { sealDeposit } from './deposit.ts'
import { storeKey } from './identity.ts'

export const START = 1_800_000_000
const GUEST = fromHex('11'.repeat(48))
const BROKER = fromHex('22'.repeat(48))
const FILES: Record<string, Hash> = { 'a-claims': `sha256:${'a'.repeat(64)}`, 'b-claims': `sha256:${'b'.repeat(64)}` }

/** A stream of bytes from a seed: the same seed, the same world. */
export function seeded(seed: string): Random {
  let count = 0
  return length => {
    const out = new Uint8Array(length)
    for (let at = 0; at < length; at += 32) out.set(createHash('sha256').update(`${seed} ${count++}`).digest().subarray(0, Math.min(32, length - at)), at)
    return out
  }
}

export interface World {
  now: number
  readonly random: Random
  readonly disk: Disk
  readonly chip: SimulatedChip
  readonly machine: BrokerMachine
  readonly witness: Witness
  readonly parties: Record<string, Signer>
  readonly charter: Charter
  readonly lineage: Hash
  /** A broker on this world's disk, or on a store of the caller's. */
  open(options?: Partial<BrokerOptions>): Promise<Broker>
  store(): Store
  readonly storeKey: Uint8Array
}

export interface WorldOptions { readonly seed?: string; readonly uses?: number; readonly per?: string; readonly notice?: string; readonly head?: string; readonly edit?: (charter: Record<string, unknown>) => void }

const chips = new Map<number, SimulatedChip>()

/** Certificates are costly to make; the worlds of a process use the same few chips. */
function chipOf(number = 6): SimulatedChip {
  const ask = createPrivateKey(SIMULATED_ASK_KEY)
  const chip = chips.get(number) ?? simulatedChip(p, {
    fuses: new Uint8Array(32).fill(number), chipId: new Uint8Array(64).fill(number), vcek: generateSigner('p384'), now: START,
    signAsAsk: tbs => new Uint8Array(sign('sha384', tbs, { key: ask, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })),
  })
  chips.set(number, chip)
  return chip
}

/** A broker's place on another chip; `measurement`: what runs there. */
export function machineOn(chip: number, measurement = BROKER, policy?: bigint): BrokerMachine {
  return {
    report: data => chipOf(chip).report({ measurement, hostData: new Uint8Array(32), ...(policy === undefined ? {} : { policy }) }, data),
    sealingKey: () => chipOf(chip).sealingKey(measurement),
  }
}

export function newWorld(options: WorldOptions = {}): World {
  const random = seeded(options.seed ?? 'world')
  const parties = { alpha: generateSigner('ed25519', random(32)), bravo: generateSigner('ed25519', random(32)) }
  const charter = charterFor(parties, options)
  const chip = chipOf()
  const machine = machineOn(6)
  const disk = emptyDisk()
  const key = storeKey(p, machine.sealingKey())
  const world: World = {
    now: START, random, disk, chip, machine, parties, charter, lineage: charterDigest(p, charter), storeKey: key,
    witness: openWitness(p, 'witness.test', generateSigner('ed25519', random(32)), openMemoryStore(emptyDisk(), key)),
    store: () => openMemoryStore(disk, key),
    open: more => openBroker({
      p, random, clock: () => world.now, store: more?.store ?? openMemoryStore(disk, key), machine, distrust: {},
      references: [{ tee: 'simulated', hex: toHex(GUEST), name: 'guest' }], ledger: { origin: 'log.test', witnesses: [world.witness], quorum: 1 }, ...more,
    }),
  }
  return world
}

function charterFor(parties: Record<string, Signer>, { uses = 3, per, notice = '1h', head = '1h', edit }: WorldOptions): Charter {
  const value: Record<string, unknown> = {
    charter: 1, name: 'two-insurers', epoch: 1,
    parties: Object.fromEntries(Object.entries(parties).map(([name, signer]) => [name, { keys: [formatKey(signer.publicKey)] }])),
    programs: { match: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['simulated'] } } },
    assets: { 'a-claims': { owner: 'alpha', kind: 'data' }, 'b-claims': { owner: 'bravo', kind: 'data' } },
    grants: ['a-claims', 'b-claims'].map(asset => ({ asset, to: 'match', can: 'read', budget: { uses, ...(per === undefined ? {} : { per }) }, out: [{ to: ['alpha', 'bravo'], shape: 'rows', about: 'own' }] })),
    change: { widen: { of: ['alpha', 'bravo'], need: 2, notice } },
    log: { at: 'https://log.test', witnesses: 1, head },
  }
  edit?.(value)
  return orRefuse(parseCharter(JSON.stringify(value)))
}

/** The next epoch, with one change. */
export function successor(prev: Charter, change: (next: Charter) => void): Charter {
  const next: Charter = { ...structuredClone(prev), epoch: prev.epoch + 1, prev: charterDigest(p, prev) }
  change(next)
  return orRefuse(parseCharter(JSON.stringify(next)))
}

export function actOf(world: World, party: string, verb: Verb, charter: Charter, subject?: string, lineage = world.lineage): Act {
  const signer = world.parties[party]
  if (signer === undefined) throw new Error(`no party ${party}`)
  return signAct(signer, { verb, lineage, digest: charterDigest(p, charter), ...(charter.prev === undefined ? {} : { prev: charter.prev }), epoch: charter.epoch, party, ...(subject === undefined ? {} : { subject }) })
}

/** As it would come over the wire: text, read strictly. */
export const wire = (value: unknown): JsonObject => parseJsonObject(JSON.stringify(value))

export const charterJson = (charter: Charter): unknown => JSON.parse(fromUtf8(canonicalCharter(charter)))

export function found(world: World, broker: Broker) {
  return broker.found(wire({ charter: charterJson(world.charter), acts: Object.keys(world.parties).map(party => actOf(world, party, 'approve', world.charter)) }))
}

/** An owner's key into the broker; `AGE-…` stands for an age identity. */
export function put(world: World, broker: Broker, asset: string, version = 1, charter = world.charter, identity = `AGE-SECRET-KEY-${asset}-${version}`) {
  const about = { lineage: world.lineage, asset, version, digest: FILES[asset] ?? `sha256:${'0'.repeat(64)}` as const }
  const { body, subject } = sealDeposit(p, broker.seal, about, identity, world.random)
  return broker.deposit(wire({ ...about, sealed: body, act: actOf(world, charter.assets[asset]?.owner ?? 'alpha', 'put', charter, subject) }))
}

/** Founded, and both assets deposited. */
export async function ready(world: World, opened: Broker | Promise<Broker> = world.open()): Promise<Broker> {
  const broker = await opened
  orRefuse(await found(world, broker))
  orRefuse(await put(world, broker, 'a-claims'))
  orRefuse(await put(world, broker, 'b-claims'))
  return broker
}

export interface Guest { readonly signer: Signer; readonly seal: ReturnType<typeof hpkeKeyPair>; readonly sign: string }

export function newGuest(world: World): Guest {
  const signer = generateSigner('p256')
  return { signer, sign: formatKey(signer.publicKey), seal: hpkeKeyPair(p, 'x-wing', world.random(32)) }
}

export interface Asked { readonly guest: Guest; readonly body: Record<string, unknown>; readonly context: { charter: Hash; epoch: number; nonce: Uint8Array; head: Uint8Array; assets: string[] } }
export interface AskOptions { readonly guest?: Guest; readonly program?: string; readonly hostData?: Uint8Array; readonly assets?: readonly string[]; readonly charter?: Hash; readonly measurement?: Uint8Array; readonly policy?: bigint }

/** Hello and evidence: what a guest would send for a release. */
export async function ask(world: World, broker: Broker, options: AskOptions = {}): Promise<Result<Asked>> {
  const hello = await broker.hello(wire({ nonce: toBase64(world.random(32)), charter: options.charter ?? world.lineage }))
  if (!hello.ok) return hello
  const said = hello.value
  const charter = orRefuse(parseCharter(JSON.stringify(said['charter'])))
  return { ok: true, value: attest(world, charter, String(said['nonce']), String(said['head']), options) }
}

export function attest(world: World, charter: Charter, nonceText: string, headText: string, options: AskOptions = {}): Asked {
  const guest = options.guest ?? newGuest(world)
  const program = charter.programs['match']
  const digest = charterDigest(p, charter)
  const nonce = fromBase64(nonceText)
  const head = orRefuse(parseCheckpoint(headText)).root
  const hostData = options.hostData ?? (program === undefined ? new Uint8Array(32) : fromHex(programIdentity(p, world.lineage, 'match', program).slice(7)))
  const data = reportData(p, { nonce, seal: guest.seal.publicKey, sign: guest.sign, charter: digest, head })
  const evidence = world.chip.report({ measurement: options.measurement ?? GUEST, hostData, ...(options.policy === undefined ? {} : { policy: options.policy }) }, data)
  const assets = [...options.assets ?? ['a-claims', 'b-claims']]
  return {
    guest, context: { charter: digest, epoch: charter.epoch, nonce, head, assets },
    body: { charter: digest, epoch: charter.epoch, program: options.program ?? 'match', assets: assets.map(asset => ({ asset, can: 'read' })), nonce: nonceText, evidence, guest: { seal: toBase64(guest.seal.publicKey), sign: guest.sign } },
  }
}

/** The keys of an answered release. */
export function openKeys(broker: Broker, asked: Asked, answer: { readonly [key: string]: unknown }): Result<ReleasedKey[]> {
  return openRelease(p, asked.guest.seal.secret, broker.key, asked.context, parseSealed(answer['sealed']))
}

/** The whole road of a guest: hello, evidence, release, keys. */
export async function run(world: World, broker: Broker, options: AskOptions = {}): Promise<Result<{ keys: ReleasedKey[]; asked: Asked; answer: { readonly [key: string]: unknown } }>> {
  const asked = await ask(world, broker, options)
  if (!asked.ok) return asked
  const answer = await broker.release(wire(asked.value.body))
  if (!answer.ok) return answer
  const keys = openKeys(broker, asked.value, answer.value)
  return keys.ok ? { ok: true, value: { keys: keys.value, asked: asked.value, answer: answer.value } } : keys
}

/** Everything that the world's log holds, as text. */
export async function entriesOf(world: World, store = world.store(), more: Partial<BrokerOptions> = {}): Promise<string[]> {
  const { ledger } = await world.open({ ...more, store })
  return (await Promise.all(Array.from({ length: ledger.size() }, (_, i) => ledger.entry(i)))).map(entry => fromUtf8(entry ?? new Uint8Array(0)))
}

export const ranReceipt = (world: World, guest: Guest, lineage = world.lineage): string =>
  encodeReceipt(guest.signer, 'ran', [{ name: 'alpha/rows', digest: { sha256: toHex(p.hash('sha256', utf8('rows'))) } }], { lineage })

export function codeOf(result: Result<unknown>): Refusal['code'] | 'ok' {
  return result.ok ? 'ok' : result.refusal.code
}
