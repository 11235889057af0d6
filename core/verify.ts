/**
 * What an auditor does with a receipt, offline, in five verbs: is it *logged*, was it *released* to a guest that proved
 * itself, under a charter that its parties *enacted*, by a program that the charter *names*, and did that guest *sign*
 * what it says about inputs and outputs. Where an emergency opened something, that is judged too and said aloud.
 *
 * Trusts: the pinned vendor roots, and the log's policy that the verifier brings. Everything else is in the bundle and is
 * believed only as far as signatures, hashes and proofs carry; the verdict is built from verified parts only, and lists
 * what was not checked as loudly as what was.
 */
import { shortfall } from './appraisal/tcb.ts'
import { fromBase64 } from './bytes/base64.ts'
import { isObject, parseJson, shown, type Json, type JsonObject } from './bytes/json.ts'
import { toHex } from './bytes/hex.ts'
import { utf8 } from './bytes/text.ts'
import { jcs } from './bytes/jcs.ts'
import { hashOf, launchedAs, programIdentity } from './charter/canonical.ts'
import type { Emergency } from './charter/emergency.ts'
import { emergencyLine } from './charter/explain.ts'
import { charterOf, own } from './charter/parse.ts'
import type { Charter, Hash, Name } from './charter/types.ts'
import type { Primitives } from './crypto/primitives.ts'
import { SKEW_SECONDS, verifyEmergency, verifyEnacted, type Enacted, type Enactment, type Epoch, type Logged } from './enacted.ts'
import type { Claims, Evidence } from './evidence/claims.ts'
import { evidenceDigest, parseEvidence, verifyEvidence } from './evidence/index.ts'
import { verifyProof, type Included } from './log/proof.ts'
import { NOBODY, type LogPolicy } from './log/policy.ts'
import { parseReceipt, verifyReceiptSignature, type Receipt, type Subject } from './receipt/receipt.ts'
import { attempt, orRefuse, refuse, type Result } from './refusal.ts'
import { helloData, reportData } from './seal/binding.ts'

export type { Enactment, Epoch, Logged } from './enacted.ts'

export const BUNDLE = 'cloister/receipt/1'

/** What one broker that released had to do with a run. */
export interface ReceiptLeg {
  /** The receipt of the run as that broker's log holds it, and of the release it used. */
  readonly ran: Logged
  readonly released: Logged
  /** The receipt of the enactment of the charter it ran under, and those of the epochs before, first to newest. */
  readonly enacted: Enactment
  readonly earlier?: readonly Enactment[]
  /** The receipts of the emergencies that the release rests on; none for almost every run. */
  readonly emergencies?: readonly Logged[]
  /** The guest's evidence and what it is bound to. */
  readonly evidence: Evidence
  readonly binding: { readonly nonce: string; readonly seal: string; readonly sign: string; readonly charter: Hash; readonly head: string } // base64 where binary
  /** The broker's evidence, bound to the keys that speak for it. */
  readonly broker: { readonly evidence: Evidence; readonly nonce: string; readonly seal: string; readonly key: string }
}

/** A receipt with everything that its verification needs, as one JSON file. */
export interface ReceiptBundle extends ReceiptLeg {
  readonly bundle: typeof BUNDLE
  /** All epochs of the lineage, first to newest. */
  readonly charters: readonly Charter[]
  /** Where keys were split: the other brokers that released to the same guest. */
  readonly others?: readonly ReceiptLeg[]
}

export interface VerifyReceiptOptions {
  /** Whose word counts for the log. There is no default: it is the verifier's own trust. */
  readonly policy: LogPolicy
  /** The same for the logs of other brokers, where a key was split over several. */
  readonly otherPolicies?: readonly LogPolicy[]
  /** The lineage (digest of epoch 1) that the verifier expects. Without it anybody's charter is judged, by its own parties. */
  readonly lineage?: Hash
  /** Known launch measurements (hex) of the guest runtime and of the broker, if the verifier has them. */
  readonly measurements?: readonly string[]
  readonly brokers?: readonly string[]
  /** SHA-256 (hex) of outputs at hand, to be found among the receipt's subjects. */
  readonly outputs?: readonly string[]
}
export interface VerdictCheck { readonly id: string; readonly result: 'held' | 'not made'; readonly detail: string }
export interface Verdict {
  /** True when the guest or the broker is simulated: then no hardware vouches for the whole. */
  readonly simulated: boolean
  /** True when the owner's grant was not enough and an emergency opened something: show it as loudly. */
  readonly emergency: boolean
  readonly emergencies: readonly EmergencyUse[]
  readonly lineage: Hash
  readonly charter: Hash
  readonly epoch: number
  readonly name: string
  readonly program: string
  /** Seconds since 1970: when the release was decided and when the witnesses saw the run. */
  readonly releasedAt: number
  readonly witnessedAt: number
  readonly claims: Claims
  readonly inputs: Json
  readonly outputs: readonly Subject[]
  /** How each epoch came into force. */
  readonly epochs: readonly Epoch[]
  readonly checks: readonly VerdictCheck[]
}
/** What an emergency opened in this run: which asset, until when (seconds since 1970), and who signed. */
export interface EmergencyUse { readonly asset: Name; readonly sequence: number; readonly until: number; readonly signed: readonly Name[]; readonly line: string }

const CHARTERS_MAX = 1000
const EMERGENCIES_MAX = 16
const LIMITS = { bytes: 8 << 20, depth: 32, entries: 200_000, string: 1 << 20 }

/** A bundle from a file, checked for shape. Refuses `receipt.parse`, `json.*` or what its parts refuse with. */
export function parseBundle(text: string | Uint8Array): Result<ReceiptBundle> {
  return attempt(() => {
    const value = parseJson(text, LIMITS)
    if (!isObject(value) || value['bundle'] !== BUNDLE) return refuse('receipt.parse', 'bundle', BUNDLE, isObject(value) ? shown(value['bundle']) : 'another value')
    only(value, ['bundle', 'charters', 'others', ...LEG], 'bundle')
    const charters = value['charters']
    if (!Array.isArray(charters) || charters.length === 0 || charters.length > CHARTERS_MAX) return refuse('receipt.parse', 'charters', 'the charters of the lineage', 'another value')
    const others = value['others'] === undefined ? [] : list(value, 'others')
    if (others.length > OTHERS_MAX) refuse('receipt.parse', 'others', `at most ${OTHERS_MAX}`, String(others.length))
    return {
      bundle: BUNDLE, charters: charters.map(charterOf), ...readLeg(value),
      ...(others.length === 0 ? {} : { others: others.map((other, i) => { only(other, LEG, `others[${i}]`); return readLeg(other) }) }),
    }
  })
}

const LEG = ['ran', 'released', 'enacted', 'earlier', 'emergencies', 'evidence', 'binding', 'broker']
const OTHERS_MAX = 31

function readLeg(value: JsonObject): ReceiptLeg {
  const broker = object(value, 'broker')
  const binding = object(value, 'binding')
  only(broker, ['evidence', 'nonce', 'seal', 'key'], 'broker')
  only(binding, ['nonce', 'seal', 'sign', 'charter', 'head'], 'binding')
  return {
    ran: logged(value, 'ran'), released: logged(value, 'released'), enacted: enactment(object(value, 'enacted'), 'enacted'), evidence: orRefuse(parseEvidence(value['evidence'])),
    ...(value['earlier'] === undefined ? {} : { earlier: limited(value, 'earlier', CHARTERS_MAX).map((one, i) => enactment(one, `earlier[${i}]`)) }),
    ...(value['emergencies'] === undefined ? {} : { emergencies: limited(value, 'emergencies', EMERGENCIES_MAX).map((one, i) => loggedOf(one, `emergencies[${i}]`)) }),
    binding: { nonce: textAt(binding, 'nonce'), seal: textAt(binding, 'seal'), sign: textAt(binding, 'sign'), charter: textAt(binding, 'charter') as Hash, head: textAt(binding, 'head') }, // compared below
    broker: { evidence: orRefuse(parseEvidence(broker['evidence'])), nonce: textAt(broker, 'nonce'), seal: textAt(broker, 'seal'), key: textAt(broker, 'key') },
  }
}

/**
 * The verdict on a receipt, or why there is none. Refuses with the code of the part that did not hold: `receipt.*`,
 * `log.*`, `evidence.*`, `x509.*`, `charter.*`, `program.mismatch`, `place.tee`, and with `share.too-few` when fewer brokers
 * released a split key than its owner said.
 */
export function verifyReceipt(p: Primitives, bundle: ReceiptBundle, options: VerifyReceiptOptions): Result<Verdict> {
  return attempt(() => {
    const legs = [bundle, ...bundle.others ?? []].map(leg => checkLeg(p, leg, bundle.charters, options))
    const [first] = legs
    if (first === undefined) return refuse('receipt.parse', 'bundle', 'a leg', 'none')
    checkApart(bundle)
    const ran = checkSigned(p, bundle, legs, options)
    return verdictOf(bundle, options, { ...first, legs, ran })
  })
}

interface Leg { readonly log: InLog; readonly released: Receipt; readonly broker: Claims; readonly enacted: Enacted; readonly claims: Claims; readonly emergencies: readonly EmergencyUse[] }

/** Everything that one broker's part must hold by itself, in the log that is its own. */
function checkLeg(p: Primitives, leg: ReceiptLeg, charters: readonly Charter[], options: VerifyReceiptOptions): Leg {
  const logs = [options.policy, ...options.otherPolicies ?? []].map(policy => attempt(() => ({ policy, log: checkLogged(p, leg, policy) })))
  // A log that no policy here is of is refused by the first; one that is known, for what is wrong with it.
  const { log, policy } = orRefuse(logs.find(one => one.ok) ?? logs.find(one => !one.ok && !['log.signature', 'log.origin'].includes(one.refusal.code)) ?? logs[0] ?? attempt(() => refuse('log.witnesses', 'policy', 'a policy', 'none')))
  const { released, broker } = checkReleased(p, leg, log.released)
  const enacted = checkEnacted(p, leg, charters, released, policy)
  const emergencies = checkEmergencies(p, leg, enacted, released, log, policy)
  return { log, released, broker, enacted, emergencies, claims: checkProgram(p, leg, enacted.charter, enacted.lineage, released) }
}

/** The legs are of one run, and of as many brokers as there are legs. */
function checkApart({ ran, binding, broker, others = [] }: ReceiptBundle): void {
  others.forEach((other, i) => {
    same('receipt.subject', `others[${i}].ran`, ran.envelope, other.ran.envelope)
    same('receipt.key', `others[${i}].binding.sign`, binding.sign, other.binding.sign)
    if ([broker, ...others.slice(0, i).map(one => one.broker)].some(one => one.key === other.broker.key)) refuse('receipt.key', `others[${i}].broker.key`, 'each broker once', 'one twice')
  })
}

interface InLog { readonly released: Included; readonly ran: Included }

/** Logged: each of the three receipts is in the log that the policy names, under a witnessed checkpoint, in this order. */
function checkLogged(p: Primitives, bundle: ReceiptLeg, policy: LogPolicy): InLog {
  const included = (part: Logged) => orRefuse(verifyProof(p, utf8(part.envelope), part.proof, policy))
  const [enacted, released, ran] = [included(bundle.enacted), included(bundle.released), included(bundle.ran)]
  if (enacted.index >= released.index || released.index >= ran.index) refuse('log.proof', 'index', 'enacted before released before ran', `${enacted.index}, ${released.index}, ${ran.index}`)
  return { released, ran }
}

/** Released: signed by a broker whose own evidence is bound to that key, and no later than the witnesses saw it. */
function checkReleased(p: Primitives, bundle: ReceiptLeg, seen: Included): { released: Receipt; broker: Claims } {
  const { broker } = bundle
  const receipt = typed(bundle.released, 'released')
  const time = number(receipt.predicate, 'time')
  if (seen.time > 0 && time > seen.time + SKEW_SECONDS) refuse('log.proof', 'released.time', `at most ${seen.time + SKEW_SECONDS}`, String(time))
  const claims = orRefuse(verifyEvidence(p, broker.evidence, { now: time }))
  checkGuarded(claims, 'broker.evidence')
  const bound = toHex(helloData(p, { nonce: fromBase64(broker.nonce), seal: fromBase64(broker.seal), sign: broker.key }))
  if (claims.reportData !== bound) refuse('evidence.report-data', 'broker.evidence', bound, claims.reportData)
  orRefuse(verifyReceiptSignature(p, receipt, broker.key))
  return { released: receipt, broker: claims }
}

/** No debugger, no migration, the most privileged level: without these a machine keeps no secret. */
function checkGuarded(claims: Claims, at: string): void {
  if (claims.debug) refuse('appraisal.debug', `${at}.debug`, 'false', 'true')
  if (claims.migration) refuse('appraisal.migration', `${at}.migration`, 'false', 'true')
  if (claims.facts.kind === 'snp' && claims.facts.vmpl !== 0) refuse('appraisal.vmpl', `${at}.vmpl`, '0', String(claims.facts.vmpl))
}

/** Enacted: an unbroken chain of charters, each with the approvals that the one before it demands; the release names the newest. */
function checkEnacted(p: Primitives, bundle: ReceiptLeg, charters: readonly Charter[], released: Receipt, policy: LogPolicy): Enacted {
  const enacted = orRefuse(verifyEnacted(p, charters, [...bundle.earlier ?? [], bundle.enacted], policy))
  same('receipt.charter', 'released.charter', enacted.digest, released.predicate['charter'])
  same('receipt.charter', 'released.lineage', enacted.lineage, released.predicate['lineage'])
  return enacted
}

/**
 * In an emergency: for each released asset that names one, its logged receipt, signed by the quorum of the charter, for a
 * grant of exactly this asset and program that had not ended. A receipt in the bundle that opened nothing is refused.
 */
function checkEmergencies(p: Primitives, bundle: ReceiptLeg, enacted: Enacted, released: Receipt, log: InLog, policy: LogPolicy): EmergencyUse[] {
  const known = new Map((bundle.emergencies ?? []).map((part, i) => emergencyOf(p, part, enacted, log, policy, `emergencies[${i}]`)).map(one => [one.sequence, one]))
  const program = textAt(object(released.predicate, 'program'), 'name')
  const uses = list(released.predicate, 'assets').filter(asset => asset['emergency'] !== undefined).map(released_ => {
    const [asset, sequence] = [textAt(released_, 'asset'), number(released_, 'emergency')]
    const one = known.get(sequence) ?? refuse('emergency.bounds', `released.assets (${asset})`, `the receipt of emergency ${sequence}`, 'none')
    const wanted = { asset, to: program, can: released_['can'] ?? '', ...(released_['as'] === undefined ? {} : { as: released_['as'] }) }
    const { asset: of, to, can, as } = one.grant
    if (jcs(wanted) !== jcs({ asset: of, to, can, as })) refuse('emergency.bounds', `released.assets (${asset})`, jcs({ asset: of, to, can, as }), jcs(wanted))
    const time = number(released.predicate, 'time')
    if (time >= one.until) refuse('emergency.ended', 'released.time', `a time before ${one.until}`, String(time))
    return { asset, sequence, until: one.until, signed: one.signed, line: emergencyLine(one) }
  })
  if ((released.predicate['emergency'] === true) !== uses.length > 0) refuse('emergency.bounds', 'released.emergency', String(uses.length > 0), shown(released.predicate['emergency']))
  if (known.size !== (bundle.emergencies?.length ?? 0) || [...known.keys()].some(sequence => !uses.some(use => use.sequence === sequence))) refuse('receipt.parse', 'emergencies', 'the receipts of emergencies that opened something, each once', `${bundle.emergencies?.length ?? 0} for ${uses.length} assets`)
  return uses
}

/** An emergency of the newest charter, logged between enactment and release. */
function emergencyOf(p: Primitives, part: Logged, enacted: Enacted, log: InLog, policy: LogPolicy, at: string): Emergency {
  const { emergency, index } = orRefuse(verifyEmergency(p, part, enacted, policy, at))
  const enactedAt = enacted.epochs[enacted.epochs.length - 1]?.index ?? 0
  return index > enactedAt && index < log.released.index ? emergency : refuse('log.proof', `${at}.index`, `an entry between ${enactedAt} and ${log.released.index}`, String(index))
}

/** Named: the guest's evidence holds, is bound to this release, and measures the program that the charter names. */
function checkProgram(p: Primitives, bundle: ReceiptLeg, charter: Charter, lineage: Hash, released: Receipt): Claims {
  const { binding } = bundle
  const claims = orRefuse(verifyEvidence(p, bundle.evidence, { now: number(released.predicate, 'time') }))
  const bound = toHex(reportData(p, { nonce: fromBase64(binding.nonce), seal: fromBase64(binding.seal), sign: binding.sign, charter: binding.charter, head: fromBase64(binding.head) }))
  if (claims.reportData !== bound) refuse('evidence.report-data', 'evidence', bound, claims.reportData)
  const guest = object(released.predicate, 'guest')
  same('receipt.evidence', 'released.evidence', evidenceDigest(p, bundle.evidence), released.predicate['evidence'])
  same('receipt.key', 'released.guest.sign', binding.sign, guest['sign'])
  same('receipt.key', 'released.guest.seal', hashOf(p, fromBase64(binding.seal)), guest['seal'])
  same('receipt.evidence', 'released.nonce', binding.nonce, released.predicate['nonce'])
  same('receipt.evidence', 'released.head', binding.head, released.predicate['head'])
  same('receipt.charter', 'binding.charter', binding.charter, released.predicate['charter'])
  const name = textAt(object(released.predicate, 'program'), 'name')
  const program = own(charter.programs, name) ?? refuse('program.unknown', 'released.program', Object.keys(charter.programs).join(', '), name)
  const identity = programIdentity(p, lineage, name, program)
  if (!launchedAs(claims.hostData, identity)) refuse('program.mismatch', 'claims.hostData', identity.slice('sha256:'.length), claims.hostData)
  if (!program.on.tee.some(tee => tee === claims.tee)) refuse('place.tee', `programs.${name}.on.tee`, program.on.tee.join(', '), claims.tee)
  checkGuarded(claims, 'claims')
  return claims
}

/** Signed: by the key that the evidence is bound to, about these releases, with inputs that were released to it. */
function checkSigned(p: Primitives, bundle: ReceiptBundle, legs: readonly Leg[], options: VerifyReceiptOptions): Receipt {
  const ran = typed(bundle.ran, 'ran')
  orRefuse(verifyReceiptSignature(p, ran, bundle.binding.sign))
  const [{ enacted: { charter }, released } = refuse('receipt.parse', 'bundle', 'a leg', 'none')] = legs
  const emergencies = emergenciesOf(legs)
  const named: JsonObject[] = [ran.predicate, ...(ran.predicate['also'] === undefined ? [] : list(ran.predicate, 'also'))]
  ;[bundle, ...bundle.others ?? []].forEach((leg, i) => {
    const digest = hashOf(p, utf8(leg.released.envelope))
    const one = named.find(other => other['released'] === digest)
    if (one === undefined) refuse('receipt.subject', 'ran.released', digest, shown(ran.predicate['released']))
    same('receipt.charter', 'ran.evidence', legs[i]?.released.predicate['evidence'], one['evidence'])
  })
  for (const key of ['lineage', 'charter', 'epoch']) same('receipt.charter', `ran.${key}`, released.predicate[key], ran.predicate[key])
  const program = object(released.predicate, 'program')
  same('program.mismatch', 'ran.program', jcs(program), jcs(ran.predicate['program'] ?? null))
  const releasedTo = legs.flatMap(leg => list(leg.released.predicate, 'assets'))
  for (const input of list(ran.predicate, 'inputs')) {
    const asset = textAt(input, 'asset')
    const given = releasedTo.filter(one => inputOf(one) === inputOf(input))
    if (given.length === 0) refuse('receipt.subject', `ran.inputs (${asset})`, releasedTo.map(inputOf).join(', '), textAt(input, 'digest'))
    checkShares(ran, asset, given)
    if (!emergencies.some(use => use.asset === asset) && !charter.grants.some(grant => grant.asset === asset && grant.to === program['name'])) refuse('grant.none', `ran.inputs (${asset})`, `a grant of ${asset}`, 'none')
  }
  for (const digest of options.outputs ?? []) if (!ran.subject.some(subject => subject.digest.sha256 === digest)) refuse('receipt.subject', 'ran.subject', ran.subject.map(subject => subject.name).join(', '), digest)
  return ran
}

const inputOf = (one: JsonObject) => `${textAt(one, 'asset')} ${number(one, 'version')} ${textAt(one, 'digest')}`

/** An input came whole from one broker, or as the shares of one split from as many brokers as the split needs, each of its own place. */
function checkShares(ran: Receipt, asset: string, given: readonly JsonObject[]): void {
  const split = splitsOf(ran).find(one => one['asset'] === asset)
  const shares = given.flatMap(one => (one['share'] === undefined ? [] : [object(one, 'share')]))
  if (split === undefined) {
    if (shares.length === given.length) refuse('share.too-few', `ran.splits (${asset})`, 'the split that the shares are of', 'nothing')
    return
  }
  const places = new Set(shares.filter(share => ['split', 'need', 'of'].every(key => share[key] === split[key])).map(share => number(share, 'index')))
  if (places.size < number(split, 'need')) refuse('share.too-few', `released.assets (${asset})`, `shares of ${number(split, 'need')} brokers`, String(places.size))
}

const splitsOf = (ran: Receipt): JsonObject[] => (ran.predicate['splits'] === undefined ? [] : list(ran.predicate, 'splits'))

/** Each once, whichever brokers released under it. */
const emergenciesOf = (legs: readonly Leg[]): EmergencyUse[] => [...new Map(legs.flatMap(leg => leg.emergencies).map(use => [`${use.asset} ${use.sequence}`, use])).values()]

interface Verified extends Leg { legs: readonly Leg[]; ran: Receipt }

function verdictOf(bundle: ReceiptBundle, options: VerifyReceiptOptions, verified: Verified): Verdict {
  const { log, released, enacted: { charter, lineage, epochs }, claims, legs, ran } = verified
  const emergencies = emergenciesOf(legs)
  if (options.lineage !== undefined) same('receipt.charter', 'charters[0]', options.lineage, lineage)
  for (const [known, one, at] of legs.flatMap(leg => [[options.measurements, leg.claims, 'claims.measurement'], [options.brokers, leg.broker, 'broker.measurement']] as const)) {
    if (known !== undefined && !known.includes(one.measurement)) refuse('appraisal.measurement', at, known.join(', '), one.measurement)
  }
  return {
    simulated: legs.some(leg => leg.claims.simulated || leg.broker.simulated), emergency: emergencies.length > 0, emergencies, epochs, lineage, charter: bundle.binding.charter, epoch: charter.epoch, name: charter.name, program: textAt(object(ran.predicate, 'program'), 'name'),
    releasedAt: number(released.predicate, 'time'), witnessedAt: log.ran.time, claims, inputs: ran.predicate['inputs'] ?? [], outputs: ran.subject, checks: checksOf(options, bundle, verified),
  }
}

/** What held, and as loudly what was not looked at. */
function checksOf(options: VerifyReceiptOptions, bundle: ReceiptBundle, { log, broker, enacted, claims, legs, ran }: Verified): VerdictCheck[] {
  const held = (id: string, detail: string): VerdictCheck => ({ id, result: 'held', detail })
  const skipped = (id: string, detail: string): VerdictCheck => ({ id, result: 'not made', detail })
  const lacking = [shortfall(claims), legs.map(leg => shortfall(leg.broker)).find(one => one !== undefined)]
  const simulated = { guest: legs.some(leg => leg.claims.simulated), broker: legs.some(leg => leg.broker.simulated) }
  const { lineage } = enacted
  return [
    held('log', `entry ${log.ran.index} of ${log.ran.checkpoint.origin}, ${log.ran.witnesses} witness(es)`),
    ...([options.policy, ...options.otherPolicies ?? []].every(policy => policy.quorum !== NOBODY) ? [] : [skipped('witnesses', 'a policy asks for none: whoever holds the log\'s key could have shown others another log')]),
    held('release', legs.length === 1 ? 'signed by a broker whose evidence is bound to its key' : `signed by ${legs.length} brokers, each with a log and evidence of its own`),
    ...splitsOf(ran).map(split => held('shares', `${textAt(split, 'asset')}: ${number(split, 'need')} of ${number(split, 'of')} brokers had to agree, and did`)),
    options.brokers === undefined ? skipped('broker', `broker ${broker.measurement.slice(0, 16)}… was not compared: no reference value given`) : held('broker', 'a known broker'),
    options.lineage === undefined ? skipped('lineage', `${lineage} was not compared: anybody can write a charter of this name`) : held('lineage', 'the expected one'),
    ...legs.flatMap((leg, i) => charterChecks(leg.enacted, [bundle, ...bundle.others ?? []][i]?.broker.key ?? '', i)),
    ...emergenciesOf(legs).map(use => held('emergency', use.line)),
    held('evidence', `${claims.tee}, ${claims.product}, bound to this session`), held('program', 'measured as the charter names it'),
    options.measurements === undefined ? skipped('measurement', `guest runtime ${claims.measurement.slice(0, 16)}… was not compared: no reference value given`) : held('measurement', 'a known guest runtime'),
    lacking.every(one => one === undefined) ? held('patch levels', 'guest and broker at or above the minimum that this version knows') : skipped('patch levels', `guest: ${lacking[0] ?? 'enough'}; broker: ${lacking[1] ?? 'enough'}`),
    held('receipt', 'signed by the key that the evidence is bound to'),
    options.outputs === undefined ? skipped('outputs', 'no output file given') : held('outputs', `${options.outputs.length} file(s) are outputs of this run`),
    ...(simulated.guest || simulated.broker ? [skipped('hardware', `SIMULATED: no hardware vouches for ${simulated.guest && simulated.broker ? 'any of this' : simulated.guest ? 'the guest' : 'the broker'}`)] : []),
  ]
}

/** How the charter came into force, epoch by epoch, and what of it is a broker's word. */
function charterChecks({ charter, epochs }: Enacted, broker: string, leg: number): VerdictCheck[] {
  const stated = epochs.filter(one => one.notice === 'stated').map(one => one.epoch)
  const others = epochs.filter(one => one.key !== broker).map(one => one.epoch)
  const signed = (one: Epoch) => `${one.change === 'founded' ? 'founded' : one.change === 'narrow' ? 'narrowed' : 'widened'} by ${one.signed.join(', ')}`
  const newest = epochs[epochs.length - 1]
  const check = (id: string, result: VerdictCheck['result'], detail: string): VerdictCheck => ({ id, result, detail: leg === 0 ? detail : `${detail} (log ${leg + 1})` })
  return [
    check('charter', 'held', newest === undefined || charter.epoch === 1 ? `approved by ${Object.keys(charter.parties).join(', ')}` : `epoch ${charter.epoch}, ${signed(newest)}; the ${charter.epoch - 1} before it approved as their reviews ask`),
    ...(epochs.some(one => one.notice === 'proven') ? [check('notice', 'held', `of epoch ${epochs.filter(one => one.notice === 'proven').map(one => one.epoch).join(', ')}: between two witnessed heads`)] : []),
    ...(stated.length === 0 ? [] : [check('notice', 'not made', `of epoch ${stated.join(', ')}: that it had passed is a broker's word; the log has the entries`)]),
    ...(charter.epoch === 1 ? [] : [check('vetoes', 'not made', 'that nobody vetoed is a broker\'s word; the log would show it')]),
    ...(others.length === 0 ? [] : [check('enactment', 'not made', `of epoch ${others.join(', ')}: by a broker whose evidence is not in this file; what its parties signed holds`)]),
  ]
}

// ---- readers ------------------------------------------------------------------------------------------------------

function typed(part: Logged, verb: string): Receipt {
  const receipt = orRefuse(parseReceipt(part.envelope))
  return receipt.verb === verb ? receipt : refuse('receipt.type', verb, verb, receipt.verb)
}

function same(code: 'receipt.charter' | 'receipt.key' | 'receipt.evidence' | 'receipt.subject' | 'program.mismatch', at: string, expected: Json | undefined, got: Json | undefined): void {
  if (expected === undefined || got !== expected) refuse(code, at, String(expected), String(got))
}

function only(value: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(value)) if (!keys.includes(key)) refuse('receipt.parse', `${at}.${key}`, keys.join(', '), key)
}

function object(from: JsonObject, key: string): JsonObject {
  const value = from[key]
  return isObject(value) ? value : refuse('receipt.parse', key, 'an object', 'another value')
}

function list(from: JsonObject, key: string): JsonObject[] {
  const value = from[key]
  if (!Array.isArray(value)) return refuse('receipt.parse', key, 'a list', 'another value')
  return value.map(one => (isObject(one) ? one : refuse('receipt.parse', key, 'objects', 'another value')))
}

const logged = (from: JsonObject, key: string): Logged => loggedOf(object(from, key), key)

function loggedOf(part: JsonObject, at: string, more: readonly string[] = []): Logged {
  only(part, ['envelope', 'proof', ...more], at)
  return { envelope: textAt(part, 'envelope'), proof: textAt(part, 'proof') }
}

function enactment(part: JsonObject, at: string): Enactment {
  return { ...loggedOf(part, at, ['proposed']), ...(part['proposed'] === undefined ? {} : { proposed: logged(part, 'proposed') }) }
}

function limited(from: JsonObject, key: string, max: number): JsonObject[] {
  const values = list(from, key)
  return values.length <= max ? values : refuse('receipt.parse', key, `at most ${max}`, String(values.length))
}

function textAt(from: JsonObject, key: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : refuse('receipt.parse', key, 'a text', typeof value)
}

function number(from: JsonObject, key: string): number {
  const value = from[key]
  return typeof value === 'number' ? value : refuse('receipt.parse', key, 'a number', typeof value)
}
