/**
 * The shell around the machine: it reads requests, hands events in, and carries effects out in the one order that the law
 * allows: changes, debits and receipts durable in one transaction; the log's new head witnessed; then the key leaves.
 *
 * Several brokers may stand on one store and chip: each writes only on top of the version it decided on, and decides anew
 * when another was first. Requests that wait together are committed together.
 *
 * Trusts: the chip it runs in, its store as far as tags and witnesses reach, the pinned evidence roots, its reference
 * values. Does not trust: whoever asks, whoever carries the asking, the host's clock going back.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Act } from '@cloister/core/charter/acts'
import { charterDigest, hashOf } from '@cloister/core/charter/canonical'
import type { Hash } from '@cloister/core/charter/types'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import { parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import type { Logged } from '@cloister/core/enacted'
import { takeShares } from '@cloister/core/recovery'
import { encodeReceipt, parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { attempt, attemptAsync, orRefuse, refusalOf, Refused, refuse, type Result } from '@cloister/core/refusal'
import { helloData } from '@cloister/core/seal/binding'
import { restKeyOf } from '@cloister/core/seal/recovery'
import { sealRelease } from '@cloister/core/seal/release'
import { openLedger, type Head, type Ledger } from '../ledger/ledger.ts'
import type { Witness } from '../ledger/witness.ts'
import type { Store } from '../store/store.ts'
import { openDeposit, sealedDigest } from './deposit.ts'
import { openIdentity, type Identity } from './identity.ts'
import { newest } from './lineage.ts'
import { step } from './machine.ts'
import type { Challenge, DepositRequest, Effect, Event, Reply, Rules } from './events.ts'
import { makeNonce, readNonce } from './nonce.ts'
import { actRequest, foundRequest, helloRequest, joinRequest, proposalRequest, putRequest, receiptRequest, recoverRequest, releaseRequest, type PutRequest } from './requests.ts'
import { changesSince, journalOf } from './journal.ts'
import { JOIN, ownMeasurement, sealIdentity } from './join.ts'
import { backupOf, backupTag, checkBackup, RECOVER, RECOVER_BYTES_MAX, RECOVER_SECONDS, type Backup, type Returned } from './recovery.ts'
import { keepRoot, needsReroot, newRoot, openDepositAtRest, rerootFor, restKey, sealDepositAtRest, type Reroot } from './roots.ts'
import { keys, read, stateOf, type Change, type RunningEmergency, type State } from './state.ts'

/** The machine that the broker runs in. */
export interface BrokerMachine {
  /** Evidence about this broker over 64 bytes of report data. */
  report(reportData: Uint8Array): Evidence
  /** 32 bytes that only this chip gives to this measurement. */
  sealingKey(): Uint8Array
}

export interface BrokerOptions {
  readonly p: Primitives
  readonly random: Random
  /** Seconds since 1970. */
  readonly clock: () => number
  /** Opened with `storeKey(p, machine.sealingKey())`. */
  readonly store: Store
  /** Where this machine alone keeps who the broker is; absent, the store itself. Needed where brokers on several machines share a store. */
  readonly vault?: Store
  readonly machine: BrokerMachine
  readonly references: Rules['references']
  readonly distrust: Rules['distrust']
  /** Brokers that may be given this one's identity, by measurement: absent, those that run what this one runs. */
  readonly peers?: Rules['peers']
  readonly ledger: { readonly origin: string; readonly witnesses: readonly Witness[]; readonly quorum: number }
  /** What each lineage may use of this broker. */
  readonly quotas?: Rules['quotas']
  /** Seconds for which a challenge is good; 60. */
  readonly nonceSeconds?: number
  /** Seconds after which the head is cosigned anew; 15. */
  readonly headSeconds?: number
}

export type Answer = Promise<Result<{ readonly [key: string]: unknown }>>

export interface Broker {
  /** Formatted signing key and X-Wing public key, as `hello` gives them. */
  readonly key: string
  readonly seal: Uint8Array
  readonly ledger: Ledger
  hello(body: JsonObject): Answer
  release(body: JsonObject): Answer
  /** Hand this broker's identity to another machine that proved to run the same (`join.ts`). */
  join(body: JsonObject): Answer
  why(body: JsonObject): Answer
  receipt(body: JsonObject): Answer
  found(body: JsonObject): Answer
  propose(body: JsonObject): Answer
  act(body: JsonObject): Answer
  deposit(body: JsonObject): Answer
  /** Everything another broker needs to bring a lineage back, public or sealed. */
  backup(lineage: Hash): Answer
  /** Bring a lineage back from its backup, with shares that its parties gave to this broker. */
  recover(body: JsonObject): Answer
  charter(lineage: Hash): Answer
  /** Charters of all epochs, first to newest, the receipts of their enactments, and of the emergencies of the newest. */
  epochs(lineage: Hash): Answer
  /** Housekeeping; call it every minute or so. */
  tick(): Answer
  close(): void
}

/**
 * Open a broker on its store. Rejects with `store.*` when the store cannot be opened by this chip.
 *
 * @example
 * const broker = await openBroker({ p, random, clock, store, machine, references, distrust: {}, ledger: { origin: 'log.example', witnesses, quorum: 1 } })
 * await broker.hello({ nonce: toBase64(random(32)), charter })
 */
export async function openBroker(options: BrokerOptions): Promise<Broker> {
  const { p, store, machine, random, ledger } = options
  const identity = await openIdentity(p, options.vault ?? store, machine.sealingKey(), random)
  const broker = new LocalBroker(options, identity, await openLedger({ p, store, signers: identity.logSigners, ...ledger }))
  await broker.reload()
  return broker
}

type MakeEvent = (about: { now: number; head: Event['head']; next: number }) => Event
/** `durable`: how many entries the log had when this was decided. */
interface Settled { readonly reply: Reply; readonly receipts: readonly string[]; readonly effects: readonly Effect[]; readonly head: Head; readonly durable: number }
interface Job { readonly make: MakeEvent; readonly settle: (result: Result<Settled>) => void }

class LocalBroker implements Broker {
  readonly key: string
  readonly seal: Uint8Array
  readonly ledger: Ledger
  readonly #options: BrokerOptions
  readonly #identity: Identity
  #rules: Rules
  readonly #queue: Job[] = []
  #records = new Map<string, unknown>()
  #version = -1
  #draining = false
  #closed = false
  #publishing: Promise<Result<Head>> | undefined

  constructor(options: BrokerOptions, identity: Identity, ledger: Ledger) {
    const { p, references, distrust } = options
    this.#options = options
    this.#identity = identity
    this.#rules = { p, references, distrust, ...(options.quotas === undefined ? {} : { quotas: options.quotas }), nonceSeconds: options.nonceSeconds ?? 60, chains: new Map() }
    this.key = identity.key
    this.seal = identity.seal.publicKey
    this.ledger = ledger
  }

  async hello(body: JsonObject): Answer {
    const { p, machine, random, clock } = this.#options
    return attemptAsync(async () => {
      const request = helloRequest(body)
      const evidence = machine.report(helloData(p, { nonce: request.nonce, seal: this.seal, sign: this.key }))
      const self = { evidence, key: this.key, seal: toBase64(this.seal), policy: this.ledger.policyText() }
      if (request.recover) return { ...self, challenge: toBase64(makeNonce(p, this.#identity.challengeKey, { issuedAt: clock(), size: 0 }, RECOVER, random)) }
      if (request.join) return { ...self, challenge: toBase64(makeNonce(p, this.#identity.challengeKey, { issuedAt: clock(), size: 0 }, JOIN, random)) }
      if (request.charter === undefined) return self
      const { text, size } = orRefuse(await this.#freshHead())
      const { lineage, charter } = await this.#newestOf(request.charter)
      return {
        ...self, head: text, lineage: lineage.lineage, charter, epoch: lineage.epoch,
        nonce: toBase64(makeNonce(p, this.#identity.challengeKey, { issuedAt: clock(), size }, lineage.digest, random)),
        ...await this.#enactment(lineage.enacted.index),
        // A guest that is to run under an emergency finds its grant nowhere else.
        emergencies: await this.#emergencies((lineage.emergencies ?? []).filter(one => one.until > clock())),
      }
    })
  }

  async release(body: JsonObject): Answer {
    const settled = await this.#decide('release', body)
    return attemptAsync(async () => {
      const { receipts, effects, reply, head } = orRefuse(settled)
      const proof = await this.#proofOf(reply, head)
      const state = await this.#state()
      const sealed = effects.flatMap(effect => (effect.do === 'seal' ? [this.#seal(effect, state)] : []))
      return { sealed: sealed[0], receipt: receipts[0], proof }
    })
  }

  async join(body: JsonObject): Answer {
    const { p, random, machine, clock, peers } = this.#options
    const read = attempt(() => {
      const request = joinRequest(body)
      // What runs here is asked of the machine when somebody wants to be the same, not before.
      this.#rules = { ...this.#rules, peers: this.#rules.peers ?? peers ?? ownMeasurement(p, machine, clock()) }
      return { request, issuedAt: readNonce(p, this.#identity.challengeKey, request.nonce, JOIN)?.issuedAt }
    })
    if (!read.ok) return read
    const settled = await this.#submit(about => ({ ...about, kind: 'join', ...read.value }))
    return attemptAsync(async () => {
      const { receipts, effects, reply, head } = orRefuse(settled)
      const proof = await this.#proofOf(reply, head)
      const admitted = effects.find(effect => effect.do === 'admit') ?? refuse('broker.request', 'join', 'an admission', 'none')
      return { ...sealIdentity(p, this.#identity, admitted, random), receipt: receipts[0], proof }
    })
  }

  async why(body: JsonObject): Answer {
    const settled = await this.#decide('why', body)
    return settled.ok ? { ok: true, value: settled.value.reply.body } : settled
  }

  async receipt(body: JsonObject): Answer {
    const read = attempt(() => {
      const envelope = receiptRequest(body)
      const receipt = orRefuse(parseReceipt(envelope))
      orRefuse(verifyReceiptSignature(this.#options.p, receipt, receipt.key))
      return { envelope, digest: hashOf(this.#options.p, utf8(envelope)), key: receipt.key, verb: receipt.verb, lineage: receipt.predicate['lineage'] }
    })
    return read.ok ? this.#told(about => ({ ...about, kind: 'receipt', receipt: read.value })) : read
  }

  async found(body: JsonObject): Answer {
    const { p, random } = this.#options
    const read = attempt(() => {
      const request = foundRequest(body)
      return { ...request, root: newRoot(p, this.#identity.restKey, charterDigest(p, request.charter), request.charter, random) }
    })
    return read.ok ? this.#told(about => ({ ...about, kind: 'found', ...read.value })) : read
  }

  async propose(body: JsonObject): Answer {
    const read = attempt(() => proposalRequest(body))
    if (!read.ok) return read
    const told = await this.#told(about => ({ ...about, kind: 'propose', ...read.value }))
    await this.tick() // its notice runs from the head that now contains it
    return told
  }

  async act(body: JsonObject): Answer {
    const read = attempt(() => actRequest(body))
    if (!read.ok) return read
    if (read.value.verb !== 'enact') return this.#told(about => ({ ...about, kind: 'act', act: read.value }))
    await this.tick()
    const reroot = await attemptAsync(() => this.#rerootFor(read.value))
    return reroot.ok ? this.#told(about => ({ ...about, kind: 'act', act: read.value, ...(reroot.value === undefined ? {} : { reroot: reroot.value }) })) : reroot
  }

  async deposit(body: JsonObject): Answer {
    const read = await attemptAsync(() => this.#keep(putRequest(body)))
    return read.ok ? this.#told(about => ({ ...about, kind: 'deposit', request: read.value })) : read
  }

  async charter(lineage: Hash): Answer {
    return attemptAsync(async () => {
      const state = await this.#state()
      const { lineage: found, charter } = newest(state, lineage)
      const head = orRefuse(await this.#freshHead())
      const proposals = read.proposals(state, lineage).filter(one => one.ended !== true).map(({ digest, charter: next, acts, includedAt }) => ({ digest, epoch: next.epoch, charter: next, acts, ...(includedAt === undefined ? {} : { includedAt }) }))
      const { digest, epoch, history, versions, revoked, revokedAssets, revokedPrograms, revocations, emergencies = [], emergencyCount = 0, emergencyActs = [] } = found
      return { charter, digest, epoch, lineage, history, versions, revoked, revokedAssets, revokedPrograms, revocations, emergencies, emergencyCount, emergencyActs, head: head.text, ...await this.#enactment(found.enacted.index), proposals }
    })
  }

  async epochs(lineage: Hash): Answer {
    return attemptAsync(async () => {
      const state = await this.#state()
      const { lineage: found } = newest(state, lineage)
      const records = found.history.map(digest => read.charter(state, digest) ?? refuse('store.corrupt', keys.charter(digest), 'a charter of the lineage', 'none'))
      const enactments = await Promise.all(records.map(async ({ enacted, proposed }) => ({ ...await this.#logged(enacted.index), ...(proposed === undefined ? {} : { proposed: await this.#logged(proposed.index) }) })))
      return { charters: records.map(({ charter }) => charter), enactments, emergencies: await this.#emergencies(found.emergencies ?? []) }
    })
  }

  async backup(lineage: Hash): Answer {
    return attemptAsync(async () => {
      const head = orRefuse(await this.#freshHead())
      const state = await this.#state()
      const parts = backupOf(state, lineage)
      const enactments = await Promise.all(parts.standing.history.map(digest => this.#logged(read.charter(state, digest)?.enacted.index ?? refuse('store.corrupt', keys.charter(digest), 'a charter of the lineage', 'none'))))
      // What the log holds beyond this head is beyond this backup too.
      const body: Omit<Backup, 'tag'> = { backup: 1, lineage, ...parts, enactments, log: { policy: this.ledger.policyText(), head: head.text, range: (await this.ledger.range(head.size)).map(toBase64) } }
      const said = parseJsonObject(JSON.stringify(body), { bytes: RECOVER_BYTES_MAX, depth: 24, entries: 1_000_000, string: RECOVER_BYTES_MAX })
      return { ...body, tag: toBase64(backupTag(this.#options.p, restKey(this.#options.p, this.#identity.restKey, state, lineage), said)) }
    })
  }

  async recover(body: JsonObject): Answer {
    const { p, clock, random } = this.#options
    const returned = attempt((): Returned => {
      const request = recoverRequest(body)
      const issued = readNonce(p, this.#identity.challengeKey, request.nonce, RECOVER)?.issuedAt ?? refuse('broker.nonce', 'nonce', 'a challenge of this broker for a recovery', 'another value', 'ask for one again')
      if (clock() - issued > RECOVER_SECONDS) refuse('broker.nonce', 'nonce', `a challenge of at most ${RECOVER_SECONDS} s`, `${clock() - issued} s old`, 'ask for one again')
      const { backup } = request
      const { root, used } = orRefuse(takeShares(p, backup.lineage, backup.charters, backup.recovery, { seal: this.seal, key: this.key, nonce: request.nonce, secret: this.#identity.seal.secret }, request.given))
      return { backup, used, ...checkBackup(p, restKeyOf(p, root, backup.lineage), request), root: keepRoot(p, this.#identity.restKey, backup.lineage, root, backup.recovery, random) }
    })
    return returned.ok ? this.#told(about => ({ ...about, kind: 'recover', returned: returned.value })) : returned
  }

  async tick(): Answer {
    await this.#freshHead()
    const settled = await this.#submit(about => ({ ...about, kind: 'tick' }))
    return settled.ok ? { ok: true, value: {} } : settled
  }

  close(): void {
    this.#closed = true
  }

  async #decide(kind: 'release' | 'why', body: JsonObject): Promise<Result<Settled>> {
    const { p } = this.#options
    const read = await attemptAsync(async () => {
      const request = releaseRequest(body)
      const given = readNonce(p, this.#identity.challengeKey, request.nonce, request.charter)
      const root = given === undefined ? undefined : await this.ledger.rootAt(given.size)
      const challenge: Challenge | undefined = given === undefined || root === undefined ? undefined : { issuedAt: given.issuedAt, charter: request.charter, root }
      return { request, challenge }
    })
    return read.ok ? this.#submit(about => ({ ...about, kind, ...read.value })) : read
  }

  /** Submit, and answer with the body, the receipt and its proof. */
  async #told(make: MakeEvent): Answer {
    const settled = await this.#submit(make)
    return attemptAsync(async () => {
      const { reply, receipts, head, durable } = orRefuse(settled)
      // What was done before counts as done only when witnesses have seen it: a disk can still be set back to before it.
      if (head.size < durable) refuse('log.unavailable', 'log', `a witnessed head of ${durable} entries`, `size ${head.size}`, 'try again')
      return { ...reply.body, ...(receipts[0] === undefined ? {} : { receipt: receipts[0] }), ...(reply.logged === undefined ? {} : { proof: await this.#proofOf(reply, head) }) }
    })
  }

  #submit(make: MakeEvent): Promise<Result<Settled>> {
    if (this.#closed) return Promise.resolve({ ok: false, refusal: refusalOf('store.locked', 'broker', 'an open broker', 'a closed one') })
    if (this.#queue.length >= QUEUE_MAX) return Promise.resolve({ ok: false, refusal: refusalOf('broker.request', 'broker', `at most ${QUEUE_MAX} requests waiting`, 'one more', 'try again') })
    return new Promise(settle => {
      this.#queue.push({ make, settle })
      if (!this.#draining) void this.#drain()
    })
  }

  async #drain(): Promise<void> {
    this.#draining = true
    // One turn of the event loop, so that requests which arrived together share one commit.
    await new Promise<void>(resolve => { setImmediate(resolve) })
    while (this.#queue.length > 0) {
      const jobs = this.#queue.splice(0, BATCH_MAX)
      try {
        await this.#carryOut(jobs)
      } catch (error) {
        // A refusal of the store is an answer; anything else is our bug and must be seen, after the askers were told.
        const refusal = error instanceof Refused ? error.refusal : refusalOf('store.corrupt', 'broker', 'a completed request', 'a failure of the broker')
        for (const job of jobs) job.settle({ ok: false, refusal })
        this.#version = -1
        if (!(error instanceof Refused)) this.#fail(error)
      }
    }
    this.#draining = false
  }

  #fail(error: unknown): void {
    this.#closed = true
    this.#draining = false
    queueMicrotask(() => { throw error })
  }

  async #carryOut(jobs: readonly Job[]): Promise<void> {
    const before = await this.#freshHead()
    const done = await this.#commit(jobs, before.ok ? before.value : NO_HEAD)
    const durable = this.ledger.size()
    const logged = done.some(one => one.receipts.length > 0)
    const published = logged ? await this.#publish() : before
    jobs.forEach((job, i) => {
      const one = done[i]
      if (one === undefined) return
      if (!one.reply.ok) return job.settle(one.reply)
      const { receipts, effects } = one
      if (receipts.length > 0 && !published.ok) return job.settle(published)
      job.settle({ ok: true, value: { reply: one.reply.value, receipts, effects, head: published.ok ? published.value : NO_HEAD, durable } })
    })
  }

  /** Decide every job on one version of the state and write all of it at once; when another broker was first, again. */
  async #commit(jobs: readonly Job[], head: Head): Promise<{ reply: Result<Reply>; receipts: string[]; effects: readonly Effect[] }[]> {
    const { store, clock, random } = this.#options
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      await this.#state()
      const at = this.#version
      let state = stateOf(this.#records)
      const size = this.ledger.size()
      const changes: Change[] = []
      const entries: string[] = []
      const done = jobs.map(job => {
        const event = job.make({ now: clock(), head: { time: head.time, witnesses: head.witnesses, size: head.size, text: head.text }, next: size + entries.length })
        const result = step(this.#rules, state, event)
        const receipts = result.effects.flatMap(effect => this.#entryOf(effect))
        state = result.state
        changes.push(...result.changes)
        entries.push(...receipts)
        return { reply: result.reply, receipts, effects: result.effects }
      })
      if (changes.length === 0 && entries.length === 0) return done
      const last = new Map(changes.map(({ key, value }) => [key, value]))
      // A version is only a number: a disk that was set back and lived on may come to the same one with other records.
      const turn = this.#records.get(TURN)
      last.set(TURN, toBase64(random(16)))
      const records = [...last].flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: utf8(JSON.stringify(value)) }]))
      const logged = entries.length === 0 ? undefined : this.ledger.prepare(entries.map(entry => utf8(entry)))
      const journal = journalOf(at + 1, last)
      const written = await store.write({
        at, expect: [{ key: TURN, value: turn === undefined ? undefined : utf8(JSON.stringify(turn)) }, ...logged?.batch.expect ?? []], put: [...records, ...journal.put, ...logged?.batch.put ?? []],
        delete: [...[...last].flatMap(([key, value]) => (value === undefined ? [key] : [])), ...journal.delete, ...logged?.batch.delete ?? []],
      })
      if (written.moved) {
        if (await store.version() === at) this.#version = -1
        await this.ledger.reload()
        continue
      }
      logged?.committed()
      // Who only reads may have loaded older or newer records while this was written: then the journal tells the rest.
      if (this.#version === at) this.#lay(written.version, last)
      return done
    }
    return refuse('store.locked', 'broker', 'a turn to write', `${TRIES_MAX} times another broker was first`, 'try again')
  }

  #entryOf(effect: Effect): string[] {
    if (effect.do === 'log') return [encodeReceipt(this.#identity.signer, effect.verb, effect.subject, effect.predicate)]
    return effect.do === 'entry' ? [effect.envelope] : []
  }

  /** The last step: the receipt is durable and witnessed. What another broker revoked in the meantime does not leave. */
  #seal(effect: Effect & { readonly do: 'seal' }, state: State) {
    const { p, random } = this.#options
    const { charter, epoch, nonce, head } = effect
    const keys = effect.keys.map(({ asset, version, digest, atRest, lineage, share }) => {
      const now = newest(state, lineage).lineage
      if (now.digest !== charter || now.revoked || now.revokedAssets.includes(asset) || (now.versions[asset]?.version ?? 1) !== version) refuse('charter.superseded', 'charter', 'the charter that was decided on', 'a newer one, or a revocation, while the receipt was logged')
      return { asset, version, digest, identity: fromUtf8(openDepositAtRest(p, restKey(p, this.#identity.restKey, state, lineage), lineage, { asset, version }, atRest)), ...(share === undefined ? {} : { share }) }
    })
    return sealRelease(p, this.#identity.signer, effect.to, { charter, epoch, nonce, head, assets: keys.map(key => key.asset) }, keys, random)
  }

  /** From the owner's seal to the disk's, never through the machine or the log. */
  async #keep(request: PutRequest): Promise<DepositRequest> {
    const { p, random } = this.#options
    const { lineage, asset, version, digest, acts, part } = request
    const identity = openDeposit(p, this.#identity.seal.secret, request, request)
    const atRest = sealDepositAtRest(p, restKey(p, this.#identity.restKey, await this.#state(), lineage), lineage, request, utf8(identity), random)
    return { lineage, asset, version, digest, acts, sealedDigest: sealedDigest(p, request), atRest, ...(part === undefined ? {} : { part }) }
  }

  /** A root for those whom the charter names that is about to come into force, where it names others than before. */
  async #rerootFor(act: Act): Promise<Reroot | undefined> {
    const { p, random } = this.#options
    const state = await this.#state()
    const next = read.proposal(state, act.lineage, act.digest)?.charter
    const prev = newest(state, act.lineage).charter
    return next === undefined || !needsReroot(prev, next) ? undefined : rerootFor(p, this.#identity.restKey, state, act.lineage, next, random)
  }

  async #newestOf(digest: Hash) {
    const state = await this.#state()
    const known = read.charter(state, digest) ?? refuse('head.unknown-charter', 'charter', 'a charter of this broker', digest)
    return newest(state, known.lineage)
  }

  /** The receipt of an enactment, and its proof. */
  async #enactment(index: number): Promise<{ enacted: string; proof: string }> {
    const { envelope, proof } = await this.#logged(index)
    return { enacted: envelope, proof }
  }

  async #emergencies(emergencies: readonly RunningEmergency[]): Promise<(Logged & { sequence: number })[]> {
    return Promise.all(emergencies.map(async one => ({ sequence: one.sequence, ...await this.#logged(one.logged.index) })))
  }

  async #logged(index: number): Promise<Logged> {
    const entry = await this.ledger.entry(index) ?? refuse('store.corrupt', 'log', `entry ${index}`, 'nothing')
    return { envelope: fromUtf8(entry), proof: orRefuse(await this.ledger.prove(index)) }
  }

  async #proofOf(reply: Reply, head: Head): Promise<string | undefined> {
    if (reply.logged === undefined) return undefined
    return reply.logged.index < head.size ? orRefuse(await this.ledger.prove(reply.logged.index)) : refuse('log.unavailable', 'log', `a witnessed head beyond entry ${reply.logged.index}`, `size ${head.size}`)
  }

  /** A head that covers everything durable and was cosigned lately; the last one when the witnesses do not answer now. */
  async #freshHead(): Promise<Result<Head>> {
    const current = () => {
      const head = this.ledger.head()
      return head !== undefined && head.size === this.ledger.size() && Math.abs(this.#options.clock() - head.time) < (this.#options.headSeconds ?? 15) ? head : undefined
    }
    const known = current()
    if (known !== undefined) return { ok: true, value: known }
    const published = await this.#publish()
    const head = this.ledger.head()
    return published.ok || head === undefined ? published : { ok: true, value: head }
  }

  /** One at a time: who comes while the witnesses are being asked waits, and asks for what has become durable since. */
  async #publish(): Promise<Result<Head>> {
    const size = this.ledger.size()
    while (this.#publishing !== undefined) {
      const other = await this.#publishing
      if (other.ok && other.value.size >= size) return other
    }
    this.#publishing = this.ledger.publish(this.#options.clock())
    try {
      return await this.#publishing
    } finally {
      this.#publishing = undefined
    }
  }

  async #state(): Promise<State> {
    const version = orRefuse(await attemptAsync(() => this.#options.store.version()))
    if (version !== this.#version && !await this.#caughtUp(version)) await this.reload()
    return stateOf(this.#records)
  }

  /** Learn from the journal what other brokers wrote, at least up to `version`; false when it does not tell. */
  async #caughtUp(version: number): Promise<boolean> {
    const from = this.#version
    const since = await changesSince(this.#options.store, from, version)
    if (since === undefined) return false
    await this.ledger.reload()
    // Changes fit the version they were asked for, and no other that was reached here meanwhile.
    if (this.#version === from) this.#lay(since.version, since.changes.map(({ key, value }) => [key, value] as const))
    return this.#version >= version
  }

  #lay(version: number, changes: Iterable<readonly [string, unknown]>): void {
    for (const [key, value] of changes) {
      if (value === undefined) this.#records.delete(key)
      else this.#records.set(key, value)
    }
    this.#version = version
  }

  async reload(): Promise<void> {
    const { version, entries } = await this.#options.store.load('broker')
    await this.ledger.reload()
    // Written by `#commit`, under tags that only this chip can make.
    this.#records = new Map(entries.map(({ key, value }): [string, unknown] => [key, JSON.parse(fromUtf8(value))]))
    this.#version = version
  }
}

const QUEUE_MAX = 4_096
const BATCH_MAX = 256
const TRIES_MAX = 20
/** Random, and another one after every change of the state: it names the records that a broker has read. */
const TURN = 'broker/turn'
/** A log that nobody has witnessed yet: enough to found a charter on, never enough to release under. */
const NO_HEAD: Head = { text: '', size: 0, root: new Uint8Array(0), time: 0, witnesses: 0 }
