/**
 * How brokers on several machines are one: a new one asks one that stands for their common identity. Both prove
 * themselves: the new one by evidence over the other's challenge and over a key made for this answer alone, the other by
 * the evidence of its `hello`. What is handed over leaves sealed to that key, after a `joined` receipt is in the witnessed
 * log: every machine that ever got the identity is known to whoever reads the log.
 *
 * Trusts: the pinned roots of evidence; that brokers of the measurements in `rules.peers` keep the identity as this one does.
 */
import { appraise } from '@cloister/core/appraisal/appraise'
import { toHex } from '@cloister/core/bytes/hex'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { framed } from '@cloister/core/bytes/bytes'
import type { JsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { hashOf } from '@cloister/core/charter/canonical'
import { hpkeKeyPair, hpkeOpen, hpkeSeal, SUITE } from '@cloister/core/crypto/hpke'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import { evidenceDigest, parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { helloData, joinData } from '@cloister/core/seal/binding'
import type { Store } from '../store/store.ts'
import type { BrokerMachine } from './broker.ts'
import type { Event, Outcome, Rules } from './events.ts'
import { adoptIdentity, hasIdentity, openIdentity, type Identity } from './identity.ts'
import { keys, read, type State } from './state.ts'

/** What challenges for joining are made for, where others are made for a charter. */
export const JOIN = 'sha256:join'

export interface JoinRequest { readonly nonce: Uint8Array; readonly evidence: Evidence; readonly seal: Uint8Array }

/** The decision, without its effects outside: the evidence is a broker's like this one, over a challenge of ours that is fresh and new. */
export function join(rules: Rules, state: State, event: Event & { readonly request: JoinRequest; readonly issuedAt: number | undefined }): Outcome {
  const { request: { nonce, evidence, seal }, issuedAt, now, next } = event
  const { p, peers = [] } = rules
  const age = now - (issuedAt ?? refuse('broker.nonce', 'nonce', 'a challenge of this broker', 'another value', 'ask for a challenge again'))
  if (age > rules.nonceSeconds || age < -rules.nonceSeconds) refuse('broker.nonce', 'nonce', `a challenge of at most ${rules.nonceSeconds} s`, `${age} s old`, 'ask for a challenge again')
  if (read.used(state, toHex(nonce)) !== undefined) refuse('broker.replay', 'nonce', 'a challenge that was not used', 'one that was', 'ask for a challenge again')
  const claims = orRefuse(verifyEvidence(p, evidence, { now }))
  const { tcb } = orRefuse(appraise(p, claims, { tee: [...new Set(peers.map(one => one.tee))], tcb: 'current', measurements: peers, distrust: rules.distrust, reportData: toHex(joinData(p, { nonce, seal })) }, now))
  return {
    changes: [{ key: keys.used(toHex(nonce)), value: { until: now + rules.nonceSeconds } }],
    effects: [
      { do: 'log', verb: 'joined', subject: [], predicate: { evidence: evidenceDigest(p, evidence), tee: claims.tee, simulated: claims.simulated, product: claims.product, measurement: claims.measurement, chip: claims.chipId, tcb, seal: hashOf(p, seal), time: now } },
      { do: 'admit', to: seal, nonce },
    ],
    reply: { logged: { index: next }, body: {} },
  }
}

/** The identity, sealed to the joining broker's key and bound to its challenge. */
export function sealIdentity(p: Primitives, identity: Identity, { to, nonce }: { readonly to: Uint8Array; readonly nonce: Uint8Array }, random: Random): { enc: string; ciphertext: string } {
  const sealed = hpkeSeal(p, SUITE, { to, info: framed('cloister/join/1', nonce, utf8(identity.key)), aad: NOTHING, plaintext: identity.parts }, random)
  return { enc: toBase64(sealed.enc), ciphertext: toBase64(sealed.ciphertext) }
}

/** How the joining broker asks: `hello` and `join` of the other, over whatever carries them. */
export interface Elder { hello(body: JsonObject): Promise<JsonObject>; join(body: JsonObject): Promise<JsonObject> }
export interface JoinOptions {
  readonly p: Primitives
  readonly random: Random
  /** Seconds since 1970. */
  readonly clock: () => number
  /** The store of this machine alone. */
  readonly vault: Store
  readonly machine: BrokerMachine
  /** Measurements of brokers that may be asked: absent, only what runs here too. */
  readonly peers?: Rules['peers']
  readonly elder: Elder
}

/**
 * Become the broker that `elder` is. A vault that has an identity keeps it, and nobody is asked. Rejects with `evidence.*`
 * or `appraisal.*` when the other is no broker like this one: an identity from anybody else would be known to anybody else.
 *
 * @example
 * const identity = await joinBroker({ p, random, clock, vault, machine, elder })
 * const store = openPostgresStore({ …, key: identity.sharedKey })
 */
export async function joinBroker(options: JoinOptions): Promise<Identity> {
  const { p, random, vault, machine, elder } = options
  if (await hasIdentity(vault)) return openIdentity(p, vault, machine.sealingKey(), random)
  const mine = random(32)
  const hello = await elder.hello({ nonce: toBase64(mine), join: true })
  const key = checkElder(options, hello, mine)
  const nonce = fromBase64(textAt(hello, 'challenge'), 'challenge')
  const { secret, publicKey } = hpkeKeyPair(p, 'x-wing', random(32))
  const answer = await elder.join({ nonce: toBase64(nonce), seal: toBase64(publicKey), evidence: wireEvidence(machine.report(joinData(p, { nonce, seal: publicKey }))) })
  const [enc, ciphertext] = [fromBase64(textAt(answer, 'enc'), 'enc'), fromBase64(textAt(answer, 'ciphertext'), 'ciphertext')]
  const parts = orRefuse(hpkeOpen(p, SUITE, { secret, info: framed('cloister/join/1', nonce, utf8(key)), aad: NOTHING, enc, ciphertext }))
  return adoptIdentity(p, vault, machine.sealingKey(), random, parts)
}

/** The other one's evidence: a broker that runs what runs here, and that the key of its answer is its own. */
function checkElder({ p, clock, machine, peers }: JoinOptions, hello: JsonObject, mine: Uint8Array): string {
  const [key, seal] = [textAt(hello, 'key'), fromBase64(textAt(hello, 'seal'), 'seal')]
  const now = clock()
  const claims = orRefuse(verifyEvidence(p, orRefuse(parseEvidence(hello['evidence'])), { now }))
  const known = peers ?? ownMeasurement(p, machine, now)
  orRefuse(appraise(p, claims, { tee: [...new Set(known.map(one => one.tee))], tcb: 'current', measurements: known, distrust: {}, reportData: toHex(helloData(p, { nonce: mine, seal, sign: key })) }, now))
  return key
}

/** What runs here, as this machine's own evidence says it. */
export function ownMeasurement(p: Primitives, machine: BrokerMachine, now: number): NonNullable<Rules['peers']> {
  const claims = orRefuse(verifyEvidence(p, machine.report(new Uint8Array(64)), { now }))
  const { tee } = claims
  return tee === 'nvidia' || tee === 'sev' || tee === 'unknown' ? [] : [{ tee, hex: claims.measurement, name: 'this broker' }]
}

/** As it goes over the wire: text. */
const wireEvidence = (evidence: Evidence) => JSON.parse(JSON.stringify(evidence)) as JsonObject // an object, as every kind of evidence is
const textAt = (body: JsonObject, name: string): string => {
  const value = body[name]
  return typeof value === 'string' ? value : refuse('broker.request', name, 'a text', 'another value')
}
const NOTHING = new Uint8Array(0)
