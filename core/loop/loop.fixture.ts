// One locked loop for tests: a log with a witness, a node on a software TPM, an orchestrator's key. All of it is public.
import assert from 'node:assert/strict'
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { toBase64 } from '../bytes/base64.ts'
import { concat } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { hpkeKeyPair } from '../crypto/hpke.ts'
import { formatKey } from '../crypto/keys.ts'
import { portable } from '../crypto/portable.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import { AK, areaOf, attestOf, nameOf, selection } from '../evidence/tpm/tpm.fixture.ts'
import type { TpmEvidence } from '../evidence/tpm/verify.ts'
import { checkpointText } from '../log/checkpoint.ts'
import { cosignNote, COSIGNATURE, ED25519, formatNote, noteKey, signNote } from '../log/note.ts'
import { flatPolicy, type LogPolicy } from '../log/policy.ts'
import { formatProof } from '../log/proof.ts'
import { inclusionProof, leafHash, nodeHash, rootAt, type HashAt } from '../log/tree.ts'
import type { Result } from '../refusal.ts'
import { after, followLast, type Leaf, type Trust } from './chain.ts'
import { openingBinding, reportBinding, type Configuration, type Requirement } from './documents.ts'
import { activated, findConfiguration, makeReport, NEW_NODE, openConfiguration, withOpening, type Found, type NodeState } from './node.ts'
import { challengeOf, next, type Delivery, type Demands, type Judged, type Plan, type Step } from './orchestrate.ts'
import type { Payload } from './payload.ts'
import { stateOf, type State } from './state.ts'

export const p: Primitives = portable
export const NOW = 1_800_000_000
export const ok = <T>(result: Result<T>): T => {
  if (!result.ok) assert.fail(JSON.stringify(result.refusal))
  return result.value
}
export const refused = (result: Result<unknown>, code: string, at = ''): void => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  assert.ok(result.refusal.at.includes(at), JSON.stringify(result.refusal))
}

export function edSigner(name: string): Signer {
  const secret = p.hash('sha256', utf8(`loop test ${name}`))
  return { algorithm: 'ed25519', publicKey: { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }, sign: message => ed25519.sign(message, secret) }
}
export function nodeSigner(name: string): Signer {
  const secret = p.hash('sha256', utf8(`loop node ${name}`))
  return { algorithm: 'ecdsa-p256-sha256', publicKey: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, sign: message => p256.sign(message, secret) }
}
export function randomOf(name: string): (length: number) => Uint8Array {
  let count = 0
  return length => p.shake256(utf8(`${name} ${count++}`), length)
}

const loggers: Readonly<Record<string, Signer>> = { 'log.test': edSigner('log'), 'other.test': edSigner('other log') }
const witness = edSigner('witness')
const raw = (signer: Signer) => (signer.publicKey.kind === 'ed25519' ? signer.publicKey.raw : assert.fail())
export const LOG: LogPolicy = flatPolicy(Object.entries(loggers).map(([origin, signer]) => noteKey(p, origin, ED25519, raw(signer)).vkey), [noteKey(p, 'w.test', COSIGNATURE, raw(witness)).vkey], 1)

/** A log of few entries, whose witness looks at the clock it is given. */
export class TestLog {
  readonly entries: Uint8Array[] = []
  readonly origin: string
  now = NOW
  constructor(origin = 'log.test') { this.origin = origin }
  append(envelope: string): Leaf {
    this.entries.push(utf8(envelope))
    return this.leaf(this.entries.length - 1)
  }
  leaf(index: number): Leaf {
    const path = inclusionProof(p, index, this.entries.length, this.#hashAt)
    return { envelope: new TextDecoder().decode(this.entries[index]), proof: formatProof({ index, path, checkpoint: this.#checkpoint() }) }
  }
  readonly #hashAt: HashAt = (level, at) => (level === 0 ? leafHash(p, this.entries[at] ?? assert.fail()) : nodeHash(p, this.#hashAt(level - 1, 2 * at), this.#hashAt(level - 1, 2 * at + 1)))
  #shown = { size: -1, now: 0, text: '' }
  #checkpoint(): string {
    const [size, { now }] = [this.entries.length, this]
    if (this.#shown.size === size && this.#shown.now === now) return this.#shown.text
    const note = signNote(p, { text: checkpointText(this.origin, size, rootAt(p, size, this.#hashAt)), signatures: [] }, this.origin, loggers[this.origin] ?? assert.fail())
    this.#shown = { size, now, text: formatNote(cosignNote(p, note, 'w.test', witness, now)) }
    return this.#shown.text
  }
  leaves(): Leaf[] { return this.entries.map((_, index) => this.leaf(index)) }
}

export const BOOT = '00'.repeat(32)
export const FIRMWARE = '11'.repeat(32)
export const KERNEL = '22'.repeat(32)
/** PCR 0 and 11 name what was booted, PCR 13 is the loop's. */
export function quote(pcrs: Readonly<Record<string, string>>, binding: Uint8Array): TpmEvidence {
  const indexes = Object.keys(pcrs).map(Number).toSorted((a, b) => a - b)
  const message = attestOf({ nonce: binding, selections: [selection(11, indexes)], digest: p.hash('sha256', concat(...indexes.map(index => fromHex(pcrs[index] ?? '')))) })
  return { kind: 'tpm', message: toBase64(message), signature: toBase64(AK.sign(message)), ak: toBase64(areaOf(AK)), pcrs: { sha256: pcrs } }
}

export const REQUIRES: Requirement = {
  appraisal: { tee: ['tpm'], tcb: 'any', distrust: {}, measurements: [{ tee: 'tpm', hex: FIRMWARE, name: 'image 7', registers: { PCR11: KERNEL } }] },
  facts: { kernel: ['6.12.95', '6.12.107'] },
}
export const PAYLOAD: Payload = { services: ['web.service'], files: [{ path: '/etc/web/web.conf', content: utf8('port 80\n'), mode: 0o640 }] }
export const STATE: State = stateOf({ kernel: '6.12.95', os: 'debian 12' })

/** A node and its orchestrator around one log; every part can be exchanged for one call. */
export class Loop {
  readonly log: TestLog
  /** The orchestrator's and the node's clock; the witness looks at it, too. */
  get now() { return this.#now }
  set now(now: number) { this.#now = this.log.now = now }
  #now = NOW
  readonly node: Signer
  readonly orchestrator = edSigner('orchestrator')
  readonly trust: Trust
  readonly demands: Demands
  readonly random: (length: number) => Uint8Array
  state: NodeState = NEW_NODE
  register = BOOT
  secret: Uint8Array = new Uint8Array()
  constructor(name = 'node', log = new TestLog()) {
    this.log = log
    this.node = nodeSigner(name)
    this.random = randomOf(name)
    this.trust = { log: LOG, node: formatKey(this.node.publicKey), authority: [{ keys: [formatKey(this.orchestrator.publicKey)] }], headAgeMax: 600, register: { name: 'PCR13', boot: BOOT } }
    this.demands = { trust: this.trust, requires: REQUIRES, evidence: { aks: [nameOf(areaOf(AK))] }, reportAgeMax: 300, challengeKey: new Uint8Array(32).fill(7) }
  }
  pcrs(change: Readonly<Record<string, string>> = {}) { return { '0': FIRMWARE, '11': KERNEL, '13': this.register, ...change } }
  challenge() { return challengeOf(p, this.demands.challengeKey, this.trust.node, this.now) }
  /** The node reports; `challenge: false` leaves the nonce to the configuration in force. */
  report(change: { challenge?: string | false; state?: State; time?: number; register?: string } = {}): void {
    this.secret = this.random(32)
    const { challenge = this.challenge(), state = STATE, time = this.now, register = this.register } = change
    this.state = ok(makeReport(p, this.state, this.node, { ...(challenge === false ? {} : { challenge }), seal: toBase64(hpkeKeyPair(p, 'x-wing', this.secret).publicKey), key: 'kept', state, register, time }))
  }
  delivery(change: Partial<Delivery> = {}): Delivery {
    const { made } = this.state
    return { reports: this.state.unanswered, state: STATE.bytes, evidence: quote(this.pcrs(), reportBinding(p, 'tpm', made?.digest ?? assert.fail())), ...change }
  }
  plan: (judged: Judged) => Plan = () => ({ payload: PAYLOAD, requires: REQUIRES, validFrom: this.now - 30, validUntil: this.now + 600 })
  next(delivery = this.delivery(), demands = this.demands, leaves = this.log.leaves()): Result<Step> {
    const followed = followLast(p, this.trust, leaves)
    return followed.ok ? next(p, followed.value, delivery, demands, this.plan, this.orchestrator, this.now, this.random) : followed
  }
  /** Report to log, configuration to log. */
  answer(delivery = this.delivery()): void {
    const step = ok(this.next(delivery))
    if (step.kind === 'answer') for (const envelope of step.append) this.log.append(envelope)
  }
  find(leaves = this.log.leaves(), state = this.state): Result<Found> { return findConfiguration(p, this.trust, state, leaves) }
  open(found: Found, change: { pcrs?: Readonly<Record<string, string>>; now?: number; facts?: Record<string, string>; secret?: Uint8Array; bound?: Uint8Array } = {}): Result<Payload> {
    const evidence = quote(this.pcrs(change.pcrs), change.bound ?? openingBinding(p, 'tpm', found.document.digest))
    return openConfiguration(p, this.trust, this.state, found, { evidence, options: { ...this.demands.evidence, now: change.now ?? this.now }, facts: change.facts ?? { kernel: '6.12.95' }, secret: change.secret ?? this.secret })
  }
  /** A whole turn: report, answer, open, measure, activate. Gives the configuration. */
  turn(challenge: string | false = this.challenge()): Configuration {
    this.report({ challenge })
    this.answer()
    const found = ok(this.find())
    ok(this.open(found))
    this.state = withOpening(this.state, found, ['kept'])
    this.register = after(p, this.register, found.document.digest)
    this.state = activated(this.state)
    return found.document.body
  }
}
export { toHex as hexOf }
