/**
 * Who does something in the world: guests that want keys (some of them lie), parties that change their charter, a monitor
 * that reads the log. Each act is one asynchronous story over the network; it ends in a word for the trace. An actor knows
 * what brokers told it and nothing else.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import type { Verb } from '@cloister/core/charter/acts'
import { checkHead } from '@cloister/core/charter/decide'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Charter } from '@cloister/core/charter/types'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { verifyCheckpoint } from '@cloister/core/log/policy'
import { tilePath } from '@cloister/core/log/tiles'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { openRelease, parseSealed } from '@cloister/core/seal/release'
import { sealDeposit } from '../cloud/broker/deposit.ts'
import { actOf, attest, charterJson, ranReceipt, successor, type Asked, type AskOptions } from '../cloud/broker/world.fixture.ts'
import type { Dice, Mortal } from './scheduler.ts'
import { p, type BrokerNode, type Domain, type Method, type Said, type Sim } from './world.ts'

/** Somebody who does one thing. */
export interface Actor extends Mortal { readonly sim: Sim; readonly domain: Domain; readonly dice: Dice }
export type Act = (actor: Actor) => Promise<string>

const SILENCE = 'no answer'
const ASSETS = ['a-claims', 'b-claims'] as const
const OWNER = { 'a-claims': 'alpha', 'b-claims': 'bravo' } as const

const anyBroker = ({ domain, dice }: Actor): BrokerNode => dice.pick(domain.brokers)

async function ask(actor: Actor, node: BrokerNode, method: Method, body: Said): Promise<Result<Said> | undefined> {
  const answer = await actor.sim.ask(actor, node, method, body)
  actor.sim.count(`${method}: ${answer === undefined ? SILENCE : answer.ok ? 'ok' : answer.refusal.code}`)
  return answer
}

/** The same, said again to any broker while nobody answers. */
async function insist(actor: Actor, method: Method, body: Said): Promise<Result<Said> | undefined> {
  for (let tries = 1; ; tries++) {
    const answer = await ask(actor, anyBroker(actor), method, body)
    if (answer !== undefined || tries === 3) return answer
  }
}

const wordOf = (answer: Result<unknown> | undefined) => (answer === undefined ? SILENCE : answer.ok ? 'ok' : answer.refusal.code)

// ---- guests

/** Hello, and evidence for what was said there; `another` guest can be given the same challenge. An honest guest looks at the head it is shown, as the real one does. */
async function prepare(actor: Actor, node: BrokerNode, options: AskOptions = {}): Promise<{ asked: Asked; another: () => Asked; charter: Charter } | string> {
  const { sim, domain, dice } = actor
  const hello = await ask(actor, node, 'hello', { nonce: toBase64(domain.world.random(32)), charter: domain.world.lineage })
  if (hello === undefined || !hello.ok) return wordOf(hello)
  const said = hello.value
  const charter = orRefuse(parseCharter(JSON.stringify(said['charter'])))
  const fresh = attempt(() => {
    const head = orRefuse(parseCheckpoint(String(said['head'])))
    checkHead({ charter, head: orRefuse(verifyCheckpoint(p, head, domain.policy)) }, sim.now())
    if (said['key'] !== domain.key) refuse('receipt.key', 'hello.key', domain.key, String(said['key']))
  })
  if (!fresh.ok) return `the guest refuses: ${fresh.refusal.code}`
  const assets = dice.pick([[...ASSETS], ['a-claims'], ['b-claims']])
  const another = () => {
    const asked = attest(domain.world, charter, String(said['nonce']), String(said['head']), { assets, ...options })
    sim.judge.asked.set(asked.guest.sign, { asked, charter })
    return asked
  }
  return { asked: another(), another, charter }
}

/** Ask for the keys, and open them. */
async function take(actor: Actor, node: BrokerNode, asked: Asked): Promise<string> {
  const answer = await ask(actor, node, 'release', asked.body)
  if (answer === undefined || !answer.ok) return wordOf(answer)
  orRefuse(openRelease(p, asked.guest.seal.secret, actor.domain.key, asked.context, parseSealed(answer.value['sealed'])))
  return 'keys'
}

/** The whole road; at the end a receipt of the run. */
export const release: Act = async actor => {
  const ready = await prepare(actor, anyBroker(actor))
  if (typeof ready === 'string') return ready
  const outcome = await take(actor, anyBroker(actor), ready.asked)
  if (outcome === SILENCE) return `${outcome}, then ${await take(actor, anyBroker(actor), ready.asked)}`
  if (outcome !== 'keys' || actor.dice.oneIn(2)) return outcome
  return `keys, ran: ${wordOf(await insist(actor, 'receipt', { receipt: ranReceipt(actor.domain.world, ready.asked.guest) }))}`
}

/** One message to all brokers in the same moment. */
export const releaseEverywhere: Act = async actor => {
  const ready = await prepare(actor, anyBroker(actor))
  if (typeof ready === 'string') return ready
  return (await Promise.all(actor.domain.brokers.map(node => take(actor, node, ready.asked)))).join(', ')
}

/** A relaying host hands one challenge to several guests. */
export const releaseShared: Act = async actor => {
  const ready = await prepare(actor, anyBroker(actor))
  if (typeof ready === 'string') return ready
  return (await Promise.all([ready.asked, ready.another(), ready.another()].map(one => take(actor, anyBroker(actor), one)))).join(', ')
}

/** The host keeps the message for a while. */
export const releaseLate: Act = async actor => {
  const ready = await prepare(actor, anyBroker(actor))
  if (typeof ready === 'string') return ready
  await actor.sim.scheduler.wait(actor.dice.between(1_000, 90_000), actor)
  return take(actor, anyBroker(actor), ready.asked)
}

/** A guest that is not what the charter wants, a message for another domain, evidence of another guest: no keys. */
export const releaseLying: Act = async actor => {
  const { sim, dice } = actor
  const lies: readonly AskOptions[] = [{ measurement: new Uint8Array(48).fill(0x33) }, { policy: 0xb0000n }, { hostData: new Uint8Array(32).fill(9) }]
  const lie = dice.below(lies.length + 2)
  const ready = await prepare(actor, anyBroker(actor), lies[lie] ?? {})
  if (typeof ready === 'string') return ready
  const other = sim.domains.find(one => one !== actor.domain)
  if (lie === lies.length && other !== undefined) return take(actor, dice.pick(other.brokers), ready.asked)
  if (lie < lies.length) return take(actor, anyBroker(actor), ready.asked)
  const second = await prepare(actor, anyBroker(actor))
  if (typeof second === 'string') return second
  return take(actor, anyBroker(actor), { ...ready.asked, body: { ...ready.asked.body, evidence: second.asked.body['evidence'] } })
}

/** The last guest of a life: it wants both assets, of this broker, now. */
export async function honest(actor: Actor, node: BrokerNode): Promise<{ word: string; charter?: Charter }> {
  const ready = await prepare(actor, node, { assets: ASSETS })
  return typeof ready === 'string' ? { word: ready } : { word: await take(actor, node, ready.asked), charter: ready.charter }
}

// ---- parties

interface Standing { readonly charter: Charter; readonly versions: Record<string, { readonly version: number }> }

/** What a broker says is in force. */
async function standing(actor: Actor): Promise<Standing | string> {
  const answer = await ask(actor, anyBroker(actor), 'charter', {})
  if (answer === undefined || !answer.ok) return wordOf(answer)
  return { charter: orRefuse(parseCharter(JSON.stringify(answer.value['charter']))), versions: answer.value['versions'] as Standing['versions'] } // as broker.ts writes it
}

async function change(actor: Actor, next: Charter, signers: readonly string[], waitMs: number): Promise<string> {
  const { domain: { world }, sim } = actor
  const act = (party: string, verb: Verb) => ({ act: actOf(world, party, verb, next) })
  const [first = 'alpha'] = signers
  const proposed = await insist(actor, 'propose', { charter: charterJson(next), ...act(first, 'propose') })
  if (proposed === undefined || !proposed.ok) return `proposed: ${wordOf(proposed)}`
  for (const party of signers) await insist(actor, 'act', act(party, 'approve'))
  if (waitMs > 0) await sim.scheduler.wait(waitMs, actor)
  return `enact: ${wordOf(await insist(actor, 'act', act(first, 'enact')))}`
}

/** A wider charter with the same budget; sometimes with a signature missing, sometimes too early. */
export const widen: Act = async actor => {
  const now = await standing(actor)
  if (typeof now === 'string') return now
  const { dice, domain } = actor
  const next = successor(now.charter, charter => {
    charter.grants = ASSETS.map(asset => ({ asset, to: 'match', can: 'read', budget: { uses: domain.uses }, out: [{ to: ['alpha', 'bravo'], shape: 'rows', about: 'own', atLeast: 1 + charter.epoch }, { to: ['alpha'], shape: 'aggregate', atLeast: 50 + dice.below(50) }] }))
  })
  return change(actor, next, dice.oneIn(4) ? ['alpha'] : ['alpha', 'bravo'], dice.pick([0, 20_000, 110_000, 135_000, 135_000, 150_000]))
}

/** An owner drops the grant of its asset; or tries to drop the other's. */
export const narrow: Act = async actor => {
  const now = await standing(actor)
  if (typeof now === 'string') return now
  const asset = actor.dice.pick(ASSETS)
  const kept = now.charter.grants.filter(grant => grant.asset !== asset)
  if (kept.length === now.charter.grants.length) return 'nothing to narrow'
  return change(actor, successor(now.charter, charter => { charter.grants = kept }), [actor.dice.oneIn(4) ? 'bravo' : OWNER[asset]], 0)
}

export const revokeAsset: Act = async actor => {
  const now = await standing(actor)
  if (typeof now === 'string') return now
  const asset = actor.dice.pick(ASSETS)
  return wordOf(await insist(actor, 'act', { act: actOf(actor.domain.world, OWNER[asset], 'revoke', now.charter, `${asset}@${now.versions[asset]?.version ?? 1}`) }))
}

/** Both parties revoke the program; rarely the whole charter. */
export const revokeTogether: Act = async actor => {
  const now = await standing(actor)
  if (typeof now === 'string') return now
  const subject = actor.dice.oneIn(4) ? undefined : 'program:match'
  const said: string[] = []
  for (const party of ['alpha', 'bravo']) said.push(wordOf(await insist(actor, 'act', { act: actOf(actor.domain.world, party, 'revoke', now.charter, subject) })))
  return said.join(', ')
}

export const putKey: Act = async actor => {
  const now = await standing(actor)
  if (typeof now === 'string') return now
  const { dice, domain: { world, seal } } = actor
  const asset = dice.pick(ASSETS)
  const version = (now.versions[asset]?.version ?? 1) + dice.below(2)
  return wordOf(await insist(actor, 'deposit', depositOf(world, seal, now.charter, asset, version)))
}

/** An owner's key, sealed to the brokers of a domain. */
export function depositOf(world: Domain['world'], seal: Uint8Array, charter: Charter, asset: keyof typeof OWNER, version: number): Said {
  const about = { lineage: world.lineage, asset, version, digest: `sha256:${'a'.repeat(64)}` as const }
  const { body, subject } = sealDeposit(p, seal, about, `AGE-SECRET-KEY-${asset}-${version}`, world.random)
  return { ...about, sealed: body, act: actOf(world, OWNER[asset], 'put', charter, subject) }
}

// ---- the log's readers

/** Read the log as anybody may, and hold every entry against the checkpoint. */
export const monitor: Act = async actor => {
  const { sim, domain } = actor
  const node = anyBroker(actor)
  const read = (path: string) => sim.reach(actor, node, broker => broker.ledger.file(path))
  const head = await read('checkpoint')
  if (head === undefined) return SILENCE
  const text = fromUtf8(head.bytes)
  const { size } = orRefuse(parseCheckpoint(text))
  sim.judge.shown(domain, text)
  const bundle = await read(tilePath('entries', 0, size))
  if (bundle === undefined) return 'no bundle'
  return sim.judge.readBundle(domain, size, bundle.bytes) ? 'read' : 'other entries'
}

