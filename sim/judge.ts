/**
 * What must hold, whatever happens (attacks.md section 4). The judge sees only what leaves a process: answers of brokers,
 * cosignatures of witnesses, and the tree under every checkpoint that a quorum vouches for. It judges with the code that
 * auditors have (`verifyProof`, `parseReceipt`, `appraise`, `decide`), at the moment a thing leaves, so after every step.
 * It never asks a broker what it thinks.
 *
 * Trusts: the policy that was pinned when a domain was founded, and the true clock.
 */
import { appraise } from '@cloister/core/appraisal/appraise'
import { toHex } from '@cloister/core/bytes/hex'
import { isObject, type JsonObject } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { charterDigest } from '@cloister/core/charter/canonical'
import { decide } from '@cloister/core/charter/decide'
import type { Charter } from '@cloister/core/charter/types'
import type { Primitives } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import { evidenceDigest, verifyEvidence } from '@cloister/core/evidence/index'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { verifyCheckpoint } from '@cloister/core/log/policy'
import { verifyProof, type Included } from '@cloister/core/log/proof'
import { parseBundle } from '@cloister/core/log/tiles'
import { parseReceipt, verifyReceiptSignature, type Receipt } from '@cloister/core/receipt/receipt'
import { orRefuse, REFUSAL_CODES, Refused, type Result } from '@cloister/core/refusal'
import { reportData } from '@cloister/core/seal/binding'
import { openRelease, parseSealed } from '@cloister/core/seal/release'
import { START, type Asked } from '../cloud/broker/world.fixture.ts'
import { entriesOn, leavesOf, rootOf } from './tree.ts'
import type { Domain, Method, Said, WitnessNode } from './world.ts'

/** A thing that must never happen, and happened. */
export class Broken extends Error {}

export interface Answered { readonly domain: Domain; readonly method: Method; readonly body: Said; readonly answer: Result<Said>; readonly ms: number }

/** What the log of a domain says, read from its first entry to its last. */
export interface Story {
  readonly entries: string[]
  readonly leaves: Uint8Array[]
  readonly roots: Map<number, string>
  newest: string
  epoch: number
  revoked: boolean
  readonly programs: Set<string>
  /** By asset: the last version that was taken back, and how often it was released. */
  readonly ended: Map<string, number>
  readonly spent: Map<string, number>
  /** Assets whose key has been put since anything was narrowed. */
  readonly kept: Set<string>
  /** By entry: what had been spent before it. */
  readonly before: Map<number, ReadonlyMap<string, number>>
  readonly proposed: Map<string, number>
  readonly guests: Set<string>
}

/** What a party was told: from then on no key leaves that it covers. */
interface Promised { readonly ms: number; readonly index: number; readonly what: string; covers(receipt: Receipt): boolean }

/** Guest runtimes that may get keys; as in the world's fixture. */
export const REFERENCES = [{ tee: 'simulated', hex: '11'.repeat(48), name: 'guest' }] as const
/** How long a key that was decided on before a promise may still be on its way out of its process, in milliseconds. */
const ON_ITS_WAY_MS = 20_000
/** `log.head` of every charter here, the skew that is allowed, and the way of a message, in seconds. */
const FRESH_SECONDS = 120 + 60 + 60
const NOTICE_SECONDS = 120
const SKEW_SECONDS = 12
const PARTIES = ['alpha', 'bravo']

export class Judge {
  /** Rejects when something is broken. */
  readonly verdict: Promise<never>
  /** Every guest that asked, by its signing key: the judge may open what was sealed to it. */
  readonly asked = new Map<string, { readonly asked: Asked; readonly charter: Charter }>()
  readonly #p: Primitives
  readonly #ms: () => number
  readonly #stories = new Map<Domain, Story>()
  readonly #promised = new Map<Domain, Promised[]>()
  readonly #witnessed = new Map<string, { readonly size: number; readonly root: string; readonly ms: number }[]>()
  readonly #left = new Set<string>()
  #reject: (error: Error) => void = () => undefined
  keysLeft = 0

  constructor(p: Primitives, ms: () => number) {
    this.#p = p
    this.#ms = ms
    this.verdict = new Promise((_, reject) => { this.#reject = reject })
    this.verdict.catch(() => undefined)
  }

  broken(why: string): void { this.#reject(new Broken(why)) }

  story(domain: Domain): Story {
    const known = this.#stories.get(domain) ?? { entries: [], leaves: [], roots: new Map(), newest: '', epoch: 0, revoked: false, programs: new Set(), ended: new Map(), kept: new Set(), spent: new Map(), before: new Map(), proposed: new Map(), guests: new Set() }
    this.#stories.set(domain, known)
    return known
  }

  /** An answer leaves a broker. */
  answered(one: Answered): void {
    this.#judging(() => {
      const { answer, domain, method } = one
      if (!answer.ok) {
        const { code, at, expected } = answer.refusal
        return must(REFUSAL_CODES.includes(code) && at !== '' && expected !== '', `${method} was refused without a reason: ${JSON.stringify(answer.refusal)}`)
      }
      if (domain.policy.logs.length === 0) return
      const { value } = answer
      if (typeof value['head'] === 'string') this.#shown(domain, value['head'])
      if (typeof value['enacted'] === 'string') this.#logged(domain, value['enacted'], value['proof'])
      if (method === 'release') return this.#keyLeft(one, value)
      const logged = typeof value['receipt'] === 'string' ? this.#logged(domain, value['receipt'], value['proof']) : undefined
      this.#promise(one, value, logged)
    }, `${one.domain.name} ${one.method}: `)
  }

  /** A cosignature leaves a witness. */
  cosigned(witness: WitnessNode, text: string): void {
    this.#judging(() => {
      if (witness.kind !== 'honest') return
      const { origin, size, root } = orRefuse(parseCheckpoint(text))
      const seen = this.#witnessed.get(origin) ?? []
      const one = { size, root: toHex(root), ms: this.#ms() }
      const mine = `${witness.name} ${size}`
      const other = this.#roots.get(`${origin} ${mine}`)
      must(other === undefined || other === one.root, `witness ${witness.name} signed two roots for size ${size}`)
      this.#roots.set(`${origin} ${mine}`, one.root)
      this.#witnessed.set(origin, [...seen, one])
    })
  }
  readonly #roots = new Map<string, string>()

  /** Somebody was shown the checkpoint of a log. */
  shown(domain: Domain, text: string): void { this.#judging(() => this.#shown(domain, text)) }

  /** Are these the entries under the checkpoint that was shown? */
  readBundle(domain: Domain, size: number, bytes: Uint8Array): boolean {
    const read = parseBundle(bytes, size)
    return read.ok && read.value.every((entry, i) => fromUtf8(entry) === this.story(domain).entries[i])
  }

  #judging(judge: () => void, where = ''): void {
    try {
      judge()
    } catch (error) {
      this.broken(`${where}${error instanceof Broken || error instanceof Refused ? error.message : error instanceof Error ? error.stack ?? error.message : String(error)}`)
    }
  }

  /** No key left without an accepted, fresh, unrevoked appraisal and its logged receipt. */
  #keyLeft({ domain, body, ms }: Answered, value: Said): void {
    const p = this.#p
    const guest = isObject(body['guest'] as never) ? body['guest'] as JsonObject : {} // what was sent is JSON
    const sign = String(guest['sign'])
    const { asked, charter } = this.asked.get(sign) ?? fail('a key left for a guest that nobody knows')
    this.keysLeft++
    orRefuse(openRelease(p, asked.guest.seal.secret, domain.key, asked.context, parseSealed(value['sealed'])))
    const { receipt, included } = this.#logged(domain, String(value['receipt']), value['proof'])
    const { predicate } = receipt
    const time = Number(predicate['time'])
    orRefuse(verifyReceiptSignature(p, receipt, domain.key))
    must(receipt.verb === 'released', 'a key left under another receipt')
    for (const [name, got, expected] of [['nonce', predicate['nonce'], body['nonce']], ['charter', predicate['charter'], charterDigest(p, charter)], ['guest', isObject(predicate['guest']) ? predicate['guest']['sign'] : '', sign], ['evidence', predicate['evidence'], evidenceDigest(p, body['evidence'] as Evidence)]]) must(got === expected, `the receipt names another ${String(name)}`) // read by the broker before
    for (const once of [`${domain.name} nonce ${String(body['nonce'])}`, `${domain.name} sign ${sign}`]) {
      must(!this.#left.has(once), 'one challenge, or one guest, got keys twice')
      this.#left.add(once)
    }
    this.#appraised(domain, charter, asked, body['evidence'] as Evidence, time, included)
    this.#fresh(domain, included, time, ms)
    for (const promise of this.#promised.get(domain) ?? []) must(!promise.covers(receipt) || (included.index < promise.index && ms <= promise.ms + ON_ITS_WAY_MS), `a key left though it had been acknowledged: ${promise.what}`)
  }

  /** The evidence is appraised, and the charter asked, as any auditor would. */
  #appraised(domain: Domain, charter: Charter, asked: Asked, evidence: Evidence, time: number, { index, witnesses }: Included): void {
    const p = this.#p
    const program = charter.programs['match'] ?? fail('a key left for no program')
    const { context, guest } = asked
    const bound = reportData(p, { nonce: context.nonce, seal: guest.seal.publicKey, sign: guest.sign, charter: context.charter, head: context.head })
    const claims = orRefuse(verifyEvidence(p, evidence, { now: time }))
    const appraisal = orRefuse(appraise(p, claims, { tee: program.on.tee, tcb: program.on.tcb ?? 'current', measurements: REFERENCES, distrust: {}, reportData: toHex(bound) }, time))
    const view = { lineage: domain.world.lineage, charter, revoked: false, head: { time, witnesses }, enactedAt: START }
    for (const asset of context.assets) {
      const uses = this.story(domain).before.get(index)?.get(asset) ?? fail(`entry ${index} is not a release of ${asset}`)
      orRefuse(decide(p, view, { charter: context.charter, epoch: context.epoch, program: 'match', asset, can: 'read', nonce: context.nonce }, { claims: appraisal.claims, tcb: appraisal.tcb }, () => ({ uses, bytes: 0, epsilon: 0 }), time))
    }
  }

  /** The tree that holds the receipt was seen by an honest witness lately, and at the time that the receipt claims. */
  #fresh(domain: Domain, { checkpoint }: Included, time: number, ms: number): void {
    const root = toHex(checkpoint.root)
    const seen = (this.#witnessed.get(domain.origin) ?? []).findLast(one => one.size === checkpoint.size && one.root === root) ?? fail('no honest witness has seen the tree under which a key left')
    must((ms - seen.ms) / 1000 <= FRESH_SECONDS, `a key left ${(ms - seen.ms) / 1000} s after the last witness saw its log`)
    must(Math.abs(START + seen.ms / 1000 - time) <= FRESH_SECONDS, `a release of ${time} under a head of ${START + seen.ms / 1000}`)
  }

  /** A receipt that a broker showed: proven, in the tree that everybody sees, for ever. */
  #logged(domain: Domain, text: string, proof: unknown): { receipt: Receipt; included: Included } {
    const included = orRefuse(verifyProof(this.#p, utf8(text), String(proof), domain.policy))
    this.#follow(domain, included.checkpoint.size, included.checkpoint.root)
    must(this.story(domain).entries[included.index] === text, 'a receipt is proven, and another entry stands in its place')
    return { receipt: orRefuse(parseReceipt(text)), included }
  }

  /** No two roots for one size, in anything that a quorum vouches for. */
  #shown(domain: Domain, text: string): void {
    const checkpoint = orRefuse(parseCheckpoint(text))
    orRefuse(verifyCheckpoint(this.#p, checkpoint, domain.policy))
    this.#follow(domain, checkpoint.size, checkpoint.root)
  }

  #follow(domain: Domain, size: number, root: Uint8Array): void {
    const story = this.story(domain)
    const known = story.roots.get(size)
    must(known === undefined || known === toHex(root), `two roots for size ${size}`)
    if (known !== undefined) return
    if (size > story.leaves.length) this.#read(domain, story, size, toHex(root))
    must(rootOf(this.#p, story.leaves, size) === toHex(root), `the tree of ${size} entries is not the one that was shown before`)
    story.roots.set(size, toHex(root))
  }

  /** The entries under a checkpoint, wherever the host has them. */
  #read(domain: Domain, story: Story, size: number, root: string): void {
    for (const disk of [...domain.brokers.map(one => one.disk), ...domain.newest === undefined ? [] : [domain.newest], domain.world.disk]) {
      const found = entriesOn(disk).slice(0, size)
      const leaves = leavesOf(this.#p, found)
      if (rootOf(this.#p, leaves, size) !== root) continue
      must(story.entries.every((entry, i) => found[i] === entry), 'the log took back an entry that was shown')
      story.leaves.push(...leaves.slice(story.leaves.length))
      for (const entry of found.slice(story.entries.length)) {
        story.entries.push(entry)
        this.#tell(domain, story, orRefuse(parseReceipt(entry)), story.entries.length - 1)
      }
      return
    }
    fail(`a witnessed tree of ${size} entries that no disk holds`)
  }

  /** One entry of the log, in its order: what it may say depends on what stands before it, and on nothing else. */
  #tell(domain: Domain, story: Story, receipt: Receipt, index: number): void {
    const { verb, predicate } = receipt
    const charter = String(predicate['charter'])
    if (verb === 'released') return this.#released(domain, story, receipt, index)
    if (GUEST_VERBS.includes(verb)) return must(story.guests.has(receipt.key), 'a receipt of a run by a guest that got no keys')
    orRefuse(verifyReceiptSignature(this.#p, receipt, domain.key))
    if (verb === 'proposed') story.proposed.set(charter, story.proposed.get(charter) ?? index)
    if (verb === 'deposited') story.kept.add(String(predicate['asset']))
    if (verb === 'revoked' && predicate['effective'] === true) this.#revoked(domain, story, predicate)
    if ((verb === 'revoked' && predicate['effective'] === true) || (verb === 'enacted' && predicate['change'] !== 'founded')) story.kept.clear()
    if (verb !== 'enacted') return
    must(Number(predicate['epoch']) === story.epoch + 1, 'an epoch was skipped or said twice')
    if (predicate['change'] === 'widen') this.#widened(domain, story, predicate)
    story.newest = charter
    story.epoch++
  }

  #released(domain: Domain, story: Story, { predicate, key }: Receipt, index: number): void {
    const assets = Array.isArray(predicate['assets']) ? predicate['assets'].filter(isObject) : []
    must(key === domain.key, 'a release signed by another key')
    must(predicate['charter'] === story.newest, 'a release under a charter that was not the newest')
    must(!story.revoked, 'a release under a revoked charter')
    must(!story.programs.has(programOf(predicate)), 'a release to a revoked program')
    story.before.set(index, new Map(assets.map(one => [String(one['asset']), story.spent.get(String(one['asset'])) ?? 0])))
    for (const { asset, version } of assets) {
      const name = String(asset)
      const spent = (story.spent.get(name) ?? 0) + 1
      story.spent.set(name, spent)
      must(spent <= domain.uses, `${name} was released ${spent} times, ${domain.uses} were granted`)
      must(Number(version) > (story.ended.get(name) ?? 0), `version ${String(version)} of ${name} was released though it had been revoked`)
    }
    if (isObject(predicate['guest'])) story.guests.add(String(predicate['guest']['sign']))
  }

  #revoked(domain: Domain, story: Story, predicate: JsonObject): void {
    const subject = String(predicate['subject'])
    if (subject === 'charter') story.revoked = true
    else if (subject.startsWith('program:')) story.programs.add(subject.slice('program:'.length))
    else {
      const [asset = '', version] = subject.split('@')
      story.ended.set(asset, Number(version))
    }
  }

  /** Every touched owner signed, and the notice ran after an honest witness had seen the proposal. */
  #widened(domain: Domain, story: Story, predicate: JsonObject): void {
    const approvals = Array.isArray(predicate['approvals']) ? predicate['approvals'].filter(isObject).map(act => act['party']) : []
    for (const party of PARTIES) must(approvals.includes(party), `a charter was widened without ${party}`)
    const index = story.proposed.get(String(predicate['charter'])) ?? fail('a charter was enacted that was never proposed')
    const seen = (this.#witnessed.get(domain.origin) ?? []).find(one => one.size > index) ?? fail('a charter was enacted whose proposal no honest witness has seen')
    const waited = (this.#ms() - seen.ms) / 1000
    must(waited >= NOTICE_SECONDS - SKEW_SECONDS, `a charter was widened ${waited} s after its proposal was seen; its notice is ${NOTICE_SECONDS} s`)
  }

  /** What an acknowledged narrowing promises. */
  #promise({ domain, ms, method, body }: Answered, value: Said, logged: { receipt: Receipt; included: Included } | undefined): void {
    const act = method === 'act' && isObject(body['act'] as never) ? body['act'] as JsonObject : {} // what was sent is JSON
    const add = (what: string, covers: Promised['covers']) => this.#promised.set(domain, [...this.#promised.get(domain) ?? [], { ms, what, covers, index: logged?.included.index ?? -1 }])
    if (act['verb'] === 'enact') add(`charter ${String(act['digest'])} is in force`, ({ predicate }) => Number(predicate['epoch']) < Number(act['epoch']))
    if (act['verb'] !== 'revoke' || value['effective'] !== true) return
    const subject = String(value['subject'])
    const [asset, version] = subject.split('@')
    if (subject === 'charter') add('the charter is revoked', () => true)
    else if (subject.startsWith('program:')) add(`${subject} is revoked`, ({ predicate }) => `program:${programOf(predicate)}` === subject)
    else add(`${subject} is revoked`, ({ predicate }) => Array.isArray(predicate['assets']) && predicate['assets'].filter(isObject).some(one => one['asset'] === asset && Number(one['version']) <= Number(version)))
  }
}

const GUEST_VERBS = ['ran', 'yielded', 'deleted']
const programOf = (predicate: JsonObject): string => (isObject(predicate['program']) ? String(predicate['program']['name']) : '')

function must(holds: boolean, why: string): void {
  if (!holds) throw new Broken(why)
}

function fail(why: string): never {
  throw new Broken(why)
}

