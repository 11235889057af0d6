/**
 * Decide: may this key move, and if not, why not (charter.md section 8, steps 1 to 8). A pure function of the view, the
 * request, the appraisal and the budget ledger; debiting, logging and sealing (8 to 10) are the broker's effects.
 * Deny is the absence of a grant: there is no default that allows.
 */
import { framed, u64be } from '../bytes/bytes.ts'
import { fromBase64 } from '../bytes/base64.ts'
import { utf8 } from '../bytes/text.ts'
import { algorithmOf, parseKey } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Claims } from '../evidence/claims.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { charterDigest, launchedAs, programIdentity } from './canonical.ts'
import type { Emergency } from './emergency.ts'
import { durationSeconds, own } from './parse.ts'
import type { Budget, Charter, Grant, Hash, Name, Output } from './types.ts'

/** What the broker knows to be so: the newest charter and how fresh and witnessed that knowledge is. */
export interface View {
  readonly lineage: Hash
  readonly charter: Charter
  readonly revoked: boolean
  /** Time of the newest checkpoint that contains this charter as newest, and how many distinct witnesses cosigned it. */
  readonly head: { readonly time: number; readonly witnesses: number }
  readonly enactedAt: number // of epoch 1: budget windows count from here
  /** Emergencies of exactly this charter, running or ended. */
  readonly emergencies?: readonly Emergency[]
}
export interface Fact { readonly party: Name; readonly fact: string; readonly key: string; readonly signature: string }
export interface Request {
  readonly charter: Hash
  readonly epoch: number
  readonly program: Name
  readonly asset: Name
  readonly can: Grant['can']
  readonly as?: string
  readonly facts?: readonly Fact[]
  readonly nonce: Uint8Array
}
/** The claims that an accepted appraisal rests on. Its measurement and report data have been checked by `appraise`. */
export interface Judged { readonly claims: Claims; readonly tcb: 'current' | 'outdated' }
/** What was spent so far in the current window of a grant's budget; an emergency (by its number) has a budget of its own. */
export type Spent = (grant: Grant, window: number, emergency?: number) => { readonly uses: number; readonly bytes: number; readonly epsilon: number } // epsilon in millionths
export interface Decision {
  readonly grant: Grant
  readonly outputs: readonly Output[]
  readonly window: number
  readonly debit: { readonly uses: number; readonly epsilon: number }
  /** Set when no grant of the charter allowed it and an emergency did: to be shown wherever the decision is. */
  readonly emergency?: Emergency
}

/** Allowed, with the grant that allows it, or the refusal that names charter line and claim. */
export function decide(p: Primitives, view: View, request: Request, judged: Judged, spent: Spent, now: number): Result<Decision> {
  return attempt(() => {
    checkHead(view, now)
    checkCharter(p, view, request)
    checkProgram(p, view, request, judged)
    checkPlace(view.charter, request, judged)
    return firstAllowed(candidates(view, request).map(one => attempt(() => {
      const { grant, emergency } = one
      checkUntil(one, now)
      checkNeeds(p, view, request, grant, one.at)
      return { grant, outputs: grant.out ?? [], ...checkBudget(view, one, spent, now), ...(emergency === undefined ? {} : { emergency }) }
    })), request)
  })
}

/** Is the view of the log as fresh, and as witnessed, as the charter demands? The same question for broker, guest and client. */
export function checkHead(view: Pick<View, 'charter' | 'head'>, now: number): void {
  const age = now - view.head.time
  const most = durationSeconds(view.charter.log.head)
  if (age > most || age < -SKEW) refuse('head.stale', 'log.head', `a view of the log at most ${view.charter.log.head} old`, `${age} s old`, 'let the broker reach its log')
  if (view.head.witnesses < view.charter.log.witnesses) refuse('head.unwitnessed', 'log.witnesses', `${view.charter.log.witnesses} witnesses`, String(view.head.witnesses))
}

function checkCharter(p: Primitives, view: View, request: Request): void {
  if (view.revoked) refuse('charter.revoked', 'charter', 'a charter in force', `lineage ${view.lineage} is revoked`)
  const digest = charterDigest(p, view.charter)
  if (request.charter !== digest || request.epoch !== view.charter.epoch) {
    refuse('charter.superseded', 'charter', `${digest} (epoch ${view.charter.epoch})`, `${request.charter} (epoch ${request.epoch})`, 'launch the program again with the newest charter')
  }
}

/** The program is the one that was measured, whatever the request calls itself. */
function checkProgram(p: Primitives, view: View, request: Request, judged: Judged): void {
  const program = own(view.charter.programs, request.program)
  if (program === undefined) return refuse('program.unknown', `programs.${request.program}`, Object.keys(view.charter.programs).join(', '), request.program)
  const identity = programIdentity(p, view.lineage, request.program, program)
  if (!launchedAs(judged.claims.hostData, identity)) refuse('program.mismatch', `programs.${request.program}.run`, `host data ${identity.slice('sha256:'.length)}`, judged.claims.hostData, 'run the bytes and configuration that the charter names')
}

function checkPlace(charter: Charter, request: Request, judged: Judged): void {
  const on = own(charter.programs, request.program)?.on
  const at = `programs.${request.program}.on`
  const { claims } = judged
  if (on === undefined || !on.tee.some(tee => tee === claims.tee)) refuse('place.tee', `${at}.tee`, on?.tee.join(', ') ?? '', claims.tee, claims.simulated ? 'simulated silicon counts only where the charter names it' : undefined)
  if (on.tcb !== 'any' && judged.tcb !== 'current') refuse('place.tcb', `${at}.tcb`, 'current', judged.tcb, 'update the firmware, or let every owner agree to tcb: any')
  checkGpus(on.gpu, claims, `${at}.gpu`)
  if (on.where !== undefined) refuse('place.where', `${at}.where`, on.where.join(', '), 'no endorsement of place')
  if (claims.debug) refuse('place.debug', 'claims.debug', 'false', 'true')
}

/** Families of GPUs as charters name them, by how NVIDIA's product names begin. */
const FAMILIES: readonly (readonly [prefix: string, family: string])[] = [['GH', 'hopper'], ['GB', 'blackwell'], ['GR', 'rubin']]

/** No GPU unless the charter lists some; then at least one, and every one of them of the list (by family or product), with all its firmware known. */
function checkGpus(listed: readonly string[] | undefined, { devices = [] }: Claims, at: string): void {
  const gpus = devices.filter(one => one.facts.kind === 'nvidia' && one.facts.device === 'gpu')
  if (listed === undefined && gpus.length > 0) refuse('place.gpu', at, 'no GPU', gpus.map(one => one.product).join(', '), 'name the GPUs that may be attached, or run without them')
  if (listed !== undefined && gpus.length === 0) refuse('place.gpu', at, listed.join(', '), 'evidence without a GPU')
  gpus.forEach(({ product, debug, facts }, i) => {
    const family = FAMILIES.find(([prefix]) => product.startsWith(prefix))?.[1]
    if (listed?.some(one => one === family || one.toUpperCase() === product) !== true) refuse('place.gpu', at, listed?.join(', ') ?? 'no GPU', `GPU ${i}: ${product}`)
    if (debug || facts.kind !== 'nvidia' || !facts.referenceComplete) refuse('place.gpu', at, 'GPUs whose firmware is known and not for debugging', `GPU ${i}: ${debug ? 'debugging is on' : 'firmware that was not compared with NVIDIA\'s reference values'}`, 'add the reference manifests of driver and VBIOS to the evidence')
  })
}

interface Candidate { readonly grant: Grant; readonly at: string; readonly emergency?: Emergency }

/** The charter's own grant first, then those of emergencies, newest first: the last word of their quorum. An emergency adds a grant and lifts no other check. */
function candidates({ charter, emergencies = [] }: View, request: Request): Candidate[] {
  const fits = (grant: Grant) => grant.asset === request.asset && grant.to === request.program && grant.can === request.can && grant.as === request.as
  return [
    ...charter.grants.map((grant, i) => ({ grant, at: `grants[${i}]` })),
    ...[...emergencies].filter(one => one.charter === request.charter).sort((a, b) => b.sequence - a.sequence).map(emergency => ({ grant: emergency.grant, at: `emergencies[${emergency.sequence}]`, emergency })),
  ].filter(({ grant }) => fits(grant))
}

/** The first yes, or the first reason why not. */
function firstAllowed(results: readonly Result<Decision>[], { asset, program, can }: Request): Decision {
  const found = results.find(one => one.ok) ?? results[0]
  return found === undefined ? refuse('grant.none', 'grants', `a grant of ${asset} to ${program} (${can})`, 'none', `the owner of ${asset} proposes a charter with that grant`) : orRefuse(found)
}

function checkUntil({ grant, at, emergency }: Candidate, now: number): void {
  if (emergency !== undefined && now >= emergency.until) refuse('emergency.ended', `${at}.until`, `a time before ${grant.until ?? ''}`, new Date(now * 1000).toISOString(), 'a new emergency is a new act of its quorum')
  if (grant.until !== undefined && now >= Math.floor(new Date(grant.until).getTime() / 1000)) refuse('grant.expired', `${at}.until`, `a time before ${grant.until}`, new Date(now * 1000).toISOString())
}

/** The bytes that a party signs to state a fact about one request. */
export function factBytes(lineage: Hash, request: Pick<Request, 'charter' | 'epoch' | 'program' | 'asset' | 'can' | 'as' | 'nonce'>, need: string): Uint8Array {
  const use = [request.program, request.asset, request.can, request.as ?? ''].map(utf8)
  return framed('cloister/fact/1', utf8(lineage), utf8(request.charter), u64be(request.epoch), ...use, request.nonce, utf8(need))
}

/** Each fact that the grant needs, signed for this request by as many keys of its party as the party itself needs to sign. */
function checkNeeds(p: Primitives, view: View, request: Request, grant: Grant, at: string): void {
  grant.needs?.forEach((need, i) => {
    const facts = request.facts?.filter(one => `${one.party}.${one.fact}` === need) ?? []
    if (facts.length === 0) refuse('needs.missing', `${at}.needs[${i}]`, need, 'nothing')
    const party = own(view.charter.parties, need.split('.')[0] ?? '')
    const keys = new Set(facts.filter(fact => party?.keys.includes(fact.key) === true && factHolds(p, view, request, fact, need)).map(fact => fact.key))
    if (party === undefined || keys.size < (party.need ?? 1)) refuse('needs.bad-signature', `${at}.needs[${i}]`, `${need}, signed for this request by ${party?.need ?? 1} of the party's keys`, `${keys.size} signatures that hold`)
  })
}

function factHolds(p: Primitives, view: View, request: Request, fact: Fact, need: string): boolean {
  const read = attempt(() => ({ key: parseKey(fact.key), signature: fromBase64(fact.signature) }))
  return read.ok && p.verify(algorithmOf(read.value.key), read.value.key, factBytes(view.lineage, request, need), read.value.signature)
}

/** Under which key the ledger keeps what a grant has spent: names, so that neither restart nor re-proposal resets it; the number of an emergency before them. */
export const budgetKey = (lineage: Hash, grant: Pick<Grant, 'asset' | 'to' | 'can' | 'as'>, emergency?: number): string =>
  [...(emergency === undefined ? [] : [`emergency ${emergency}`]), lineage, grant.asset, grant.to, grant.can, grant.as ?? ''].join('/')

/**
 * The window that `now` falls into, counted from the enactment of epoch 1; one window over the whole lineage without `per`.
 * A clock from before that falls into the first one: turning it back finds no fresh budget.
 */
export function budgetWindow(budget: Budget | undefined, enactedAt: number, now: number): number {
  const per = budget?.per === undefined ? 0 : durationSeconds(budget.per)
  return per === 0 ? 0 : Math.max(0, Math.floor((now - enactedAt) / per))
}

function checkBudget(view: View, { grant, at, emergency }: Candidate, spent: Spent, now: number): Pick<Decision, 'window' | 'debit'> {
  const window = budgetWindow(grant.budget, view.enactedAt, now)
  const epsilon = Math.round((grant.out ?? []).reduce((sum, out) => sum + (out.epsilon ?? 0), 0) * 1e6)
  const used = spent(grant, window, emergency?.sequence)
  const { uses, bytes, epsilon: most } = grant.budget ?? {}
  const end = grant.budget?.per === undefined || grant.budget.per === '0s' ? undefined : `the next window begins ${new Date((view.enactedAt + (window + 1) * durationSeconds(grant.budget.per)) * 1000).toISOString()}`
  if (uses !== undefined && used.uses + 1 > uses) refuse('budget.spent', `${at}.budget.uses`, `at most ${uses}`, `${used.uses} spent`, end)
  if (bytes !== undefined && used.bytes >= bytes) refuse('budget.spent', `${at}.budget.bytes`, `at most ${bytes}`, `${used.bytes} spent`, end)
  if (most !== undefined && used.epsilon + epsilon > Math.round(most * 1e6)) refuse('budget.spent', `${at}.budget.epsilon`, `at most ${most}`, `${used.epsilon / 1e6} spent, ${epsilon / 1e6} asked`, end)
  return { window, debit: { uses: 1, epsilon } }
}

/**
 * What may leave a run that opens several assets: the meet of all their grants (charter.md section 9). A receiver gets an
 * output only if every grant has one of that shape and `about` that names it; thresholds are the highest, noise the largest.
 */
export function outputsOf(grants: readonly Grant[]): Output[] {
  const [first, ...others] = grants
  if (first === undefined) return []
  return (first.out ?? []).flatMap(output => {
    const same = others.map(grant => grant.out?.find(other => other.shape === output.shape && other.about === output.about))
    return same.every(other => other !== undefined) ? meet([output, ...same]) : []
  })
}

function meet(outputs: readonly Output[]): Output[] {
  const [first] = outputs
  if (first === undefined) return []
  const everyone = outputs.every(output => output.to.includes('*'))
  const named = [...new Set(outputs.flatMap(output => output.to))].filter(to => to !== '*' && outputs.every(output => output.to.includes(to) || output.to.includes('*')))
  const to = everyone ? ['*'] : named
  const highest = (values: readonly (number | undefined)[]) => values.reduce<number | undefined>((most, value) => (value === undefined ? most : Math.max(most ?? value, value)), undefined)
  const lowest = (values: readonly (number | undefined)[]) => values.reduce<number | undefined>((least, value) => (value === undefined ? least : Math.min(least ?? value, value)), undefined)
  const [atLeast, epsilon, rate] = [highest(outputs.map(o => o.atLeast)), lowest(outputs.map(o => o.epsilon)), lowest(outputs.map(o => o.rate))]
  if (to.length === 0) return []
  return [{
    to, shape: first.shape, ...(first.about === undefined ? {} : { about: first.about }),
    ...(atLeast === undefined ? {} : { atLeast }), ...(epsilon === undefined ? {} : { epsilon }), ...(rate === undefined ? {} : { rate }),
  }]
}

/** Clocks of broker and log may differ by this much, in seconds. */
const SKEW = 60
