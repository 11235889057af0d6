/**
 * A node in its locked loop, over ports: its disk, its hardware, the host that it configures, and the way to an orchestrator.
 * The rules are in `core/loop`; here is the order of the writes. Kept before sent; kept before measured; measured before
 * activated. `turn` may be called at any time and after any crash: it finishes what was begun and goes round once.
 *
 * Trusts: the disk to keep what it was told (not to keep it from being set back), the hardware, the clock.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import type { Hash } from '@cloister/core/charter/types'
import { hpkeKeyPair } from '@cloister/core/crypto/hpke'
import type { Primitives, Random, Signer } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import type { VerifyOptions } from '@cloister/core/evidence/index'
import { after, type Leaf, type Trust } from '@cloister/core/loop/chain'
import { measured, openingBinding, parseReport, reportBinding } from '@cloister/core/loop/documents'
import { readNodeState, writeState } from '@cloister/core/loop/kept'
import { activated, catchUp, findConfiguration, makeReport, NEW_NODE, openConfiguration, reopen, withOpening, type NodeState, type Opening } from '@cloister/core/loop/node'
import type { Delivery } from '@cloister/core/loop/orchestrate'
import type { Payload } from '@cloister/core/loop/payload'
import { readState, stateDigest, type State } from '@cloister/core/loop/state'
import { attemptAsync, orRefuse, refuse, Refused, type Result } from '@cloister/core/refusal'

/** The machine. */
export interface Hardware {
  readonly kind: Evidence['kind']
  /** Evidence over 32 bytes, or 64 whose second half is zero. */
  attest(binding: Uint8Array): Promise<Evidence>
  /** The register that `Trust` names, where there is one: a boot empties it, and evidence speaks of it. */
  readonly register?: Register
  /** One that nothing empties, where there is one: with it a disk that was set back opens nothing. */
  readonly lock?: Register
  /** Keeps a secret that only this machine gives back, and only while its registers hold these values. */
  keep(secret: Uint8Array, holds: Holds): Promise<string>
  /** Leaves with `seal.open` on another machine or in another state. */
  open(kept: string): Promise<Uint8Array>
}
/** 32 bytes, hex, that can only be extended: the SHA-256 of what it held and the digest. */
export interface Register { read(): Promise<string>; extend(digest: Uint8Array): Promise<void> }
export interface Holds { readonly register?: string; readonly lock?: string }

/** The node's disk: `write` is atomic, and returns once it is durable. */
export interface Disk { read(): Promise<string | undefined>; write(text: string): Promise<void> }

/**
 * What is configured. `activate` may be told the same twice, after a crash; what is active stays so over a boot, and is
 * started only after `resume`, which measures it again.
 */
export interface Host { state(): Promise<State>; activate(payload: Payload, configuration: Hash): Promise<void> }

/** The way to an orchestrator; whoever stands between is trusted with nothing. */
export interface Link {
  challenge(node: string): Promise<string>
  /** The node's leaves of the log after this index. */
  leaves(after: number): Promise<readonly Leaf[]>
  /** The same, with the configuration that answers among them; or why there is none. */
  deliver(delivery: Delivery, after: number): Promise<Result<readonly Leaf[]>>
}

export interface NodeOptions {
  readonly p: Primitives
  readonly trust: Trust
  readonly signer: Signer
  readonly hardware: Hardware
  readonly disk: Disk
  readonly host: Host
  readonly link: Link
  /** Roots and enrolled keys by which the node judges its own evidence, as its orchestrator does. */
  readonly evidence: Omit<VerifyOptions, 'now'>
  readonly random: Random
  /** Seconds since 1970. */
  readonly now: () => number
}

export interface LoopNode {
  /** Finish what a crash left, measure what a boot forgot. Gives the configuration in force. */
  resume(): Promise<Hash | undefined>
  /** Report, and open what comes back. Gives the digest of the configuration that is now in force. Leaves by `Refused`. */
  turn(): Promise<Hash>
}

export function openNode(options: NodeOptions): LoopNode {
  const { disk } = options
  const load = async (): Promise<NodeState> => {
    const text = await disk.read()
    return text === undefined ? NEW_NODE : orRefuse(readNodeState(text))
  }
  const save = async (state: NodeState): Promise<NodeState> => {
    await disk.write(writeState(state))
    return state
  }
  const settled = async () => finish(options, await load(), save)
  return {
    resume: async () => (await settled()).current?.digest,
    turn: async () => {
      const [state, host] = [await settled(), await options.host.state()]
      if (await goesAgain(options, state, host)) {
        const answer = await send(options, state, host)
        if (answer.ok || answer.refusal.code !== 'loop.window') return open(options, state, host, orRefuse(answer), save)
      }
      const reported = await save(await newReport(options, await caughtUp(options, state), host))
      return open(options, reported, host, orRefuse(await send(options, reported, host)), save)
    },
  }
}

type Save = (state: NodeState) => Promise<NodeState>

/** An opened configuration is measured and activated; one in force is measured again after a boot. */
async function finish(options: NodeOptions, state: NodeState, save: Save): Promise<NodeState> {
  const { p, trust, hardware, host } = options
  const { opening } = state
  if (opening === undefined) {
    await checkLock(hardware, state)
    if (state.current !== undefined && trust.register !== undefined && await hardware.register?.read() === trust.register.boot) await hardware.register?.extend(measured(p, state.current.digest))
    return state
  }
  await measure(options, opening, state.lock)
  const payload = orRefuse(reopen(p, trust, opening, await firstOf(hardware, opening.keys)))
  await host.activate(payload, opening.digest)
  return save(activated(state))
}

/** The lock holds what this disk says that it held. */
async function checkLock({ lock }: Hardware, state: NodeState): Promise<void> {
  const value = await lock?.read()
  if (value !== undefined && state.lock !== undefined && value !== state.lock) refuse('loop.rollback', 'lock', state.lock, value, 'this disk was set back or copied: enrol the node anew, under another key')
}

/** Measured once, whatever crash was between: the registers say whether it was. */
async function measure({ p, trust, hardware }: NodeOptions, opening: Opening, lock: string | undefined): Promise<void> {
  const boot = trust.register?.boot
  await extendOnce(p, hardware.register, [opening.register, boot], opening.digest, 'register')
  await extendOnce(p, hardware.lock, [lock], opening.digest, 'lock')
}

async function extendOnce(p: Primitives, register: Register | undefined, before: readonly (string | undefined)[], digest: Hash, at: string): Promise<void> {
  if (register === undefined) return
  const [value, from] = [await register.read(), before.filter(one => one !== undefined)]
  if (from.some(one => after(p, one, digest) === value)) return
  if (!from.includes(value)) refuse('loop.state', at, from.join(' or '), value, 'something else was measured: boot again, or enrol the node anew')
  await register.extend(measured(p, digest))
}

/** The secret from the first of the kept forms that opens in this state. */
async function firstOf(hardware: Hardware, keys: readonly string[]): Promise<Uint8Array> {
  for (const key of keys) {
    try {
      return await hardware.open(key)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
    }
  }
  return refuse('seal.open', 'state.opening.keys', 'a key that this machine opens in this state', 'none', 'boot what ran when the configuration was opened, or enrol the node anew')
}

/** May the last report go out once more? Its key must still open in the state the machine is in, and the host's state be the one it names. */
async function goesAgain({ p, trust, hardware }: NodeOptions, state: NodeState, host: State): Promise<boolean> {
  const [last, { key }] = [state.unanswered.at(-1), state]
  if (last === undefined || key === undefined) return false
  const { body } = orRefuse(parseReport(p, last, trust.node))
  if (await hardware.register?.read() !== body.register || stateDigest(p, host) !== body.state.digest) return false
  // Another kernel, say, with the same register: the key stays shut, and what is sealed to it would be lost.
  return (await attemptAsync(() => firstOf(hardware, [key]))).ok
}

/** Reports that nobody answered may be in the log all the same: those need not be sent again. */
async function caughtUp({ p, trust, link }: NodeOptions, state: NodeState): Promise<NodeState> {
  return state.unanswered.length === 0 ? state : orRefuse(catchUp(p, trust, state, await link.leaves(state.view.index)))
}

async function newReport({ p, signer, hardware, link, random, now, trust }: NodeOptions, state: NodeState, host: State): Promise<NodeState> {
  const secret = random(32)
  const holds = await registersOf(hardware)
  const first = state.current !== undefined && state.current.accepts === state.made?.digest
  const challenge = first ? {} : { challenge: await link.challenge(trust.node) }
  const parts = { seal: toBase64(hpkeKeyPair(p, 'x-wing', secret).publicKey), key: await hardware.keep(secret, holds), state: host, time: now(), ...challenge, ...holds }
  return orRefuse(makeReport(p, state, signer, parts))
}

async function registersOf({ register, lock }: Hardware): Promise<Holds> {
  const [value, locked] = [await register?.read(), await lock?.read()]
  return { ...(value === undefined ? {} : { register: value }), ...(locked === undefined ? {} : { lock: locked }) }
}

async function send({ p, hardware, link }: NodeOptions, { made, unanswered, view }: NodeState, host: State): Promise<Result<readonly Leaf[]>> {
  if (made === undefined) return refuse('loop.state', 'state', 'a report', 'none')
  const evidence = await hardware.attest(reportBinding(p, hardware.kind, made.digest))
  return link.deliver({ reports: unanswered, state: host.bytes, evidence }, view.index)
}

async function open(options: NodeOptions, state: NodeState, host: State, leaves: readonly Leaf[], save: Save): Promise<Hash> {
  const { p, trust, hardware } = options
  const found = orRefuse(findConfiguration(p, trust, state, leaves))
  const { digest } = found.document
  const evidence = await hardware.attest(openingBinding(p, hardware.kind, digest))
  const secret = await hardware.open(state.key ?? refuse('loop.state', 'state.key', 'the key of the last report', 'none'))
  orRefuse(openConfiguration(p, trust, state, found, { evidence, options: { ...options.evidence, now: options.now() }, facts: orRefuse(readState(host)), secret }))
  const lock = state.lock === undefined ? {} : { lock: after(p, state.lock, digest) }
  const keys: string[] = []
  for (const register of nextRegisters(options, state.made?.register, digest)) keys.push(await hardware.keep(secret, { ...register, ...lock }))
  await finish(options, await save(withOpening(state, found, keys, lock.lock)), save)
  return digest
}

/** What the register may hold when the payload is needed again: measured now, or after a boot. */
function nextRegisters({ p, trust }: NodeOptions, register: string | undefined, configuration: Hash): Holds[] {
  if (trust.register === undefined || register === undefined) return [{}]
  return [...new Set([after(p, register, configuration), after(p, trust.register.boot, configuration)])].map(value => ({ register: value }))
}
