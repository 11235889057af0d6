/**
 * One session of a guest, as the road goes: keys → hello → evidence → release → run → seal → receipt. Several brokers are
 * asked at once, each on evidence of its own; one that refuses is set aside, and what it lacks the others may have.
 *
 * The binding (core/seal/binding.ts) puts the broker's nonce, the guest's two public keys, the charter's digest and the
 * log's head into the report data, so evidence, release and receipt speak of this run and no other.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { charterDigest } from '@cloister/core/charter/canonical'
import { outputsOf } from '@cloister/core/charter/decide'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Charter, Grant, Program } from '@cloister/core/charter/types'
import { hpkeKeyPair } from '@cloister/core/crypto/hpke'
import type { Emergency } from '@cloister/core/charter/emergency'
import { formatKey } from '@cloister/core/crypto/keys'
import { verifyEmergency, type Logged } from '@cloister/core/enacted'
import type { Signer } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import { evidenceDigest, parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { parsePolicy } from '@cloister/core/log/policy'
import { encodeReceipt, parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { attemptAsync, orRefuse, Refused, refuse, type Result } from '@cloister/core/refusal'
import { helloData, reportData, type Binding } from '@cloister/core/seal/binding'
import { verifyStanding } from '@cloister/core/standing'
import { openRelease, parseSealed, type ReleasedKey } from '@cloister/core/seal/release'
import { generateSigner, nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { accepted, isObject, textOf, type JsonObject } from '../provider/answers.ts'
import type { Answer, Ask, Launch, Leg, Outcome, SealedOutput } from '../provider/wire.ts'
import { runProgram, type ProgramResult } from './engines/index.ts'
import { joinAnswers, type Joined, type JoinedKey, type SetAside } from './keys.ts'
import { checkReceivers, sealOutputs } from './outputs.ts'

/** The guest's only way out: questions to the launcher. */
export interface Line {
  ask(question: AskOf<Ask>): Promise<Answer>
  progress(step: string): void
}
type AskOf<T> = T extends Ask ? Omit<T, 'id'> : never

const p = nodePrimitives

/** Run the launched program; the outcome holds sealed results and signed receipts only. */
export async function runSession(launch: Launch, line: Line): Promise<Result<Outcome>> {
  try {
    return { ok: true, value: await session(launch, line) }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, refusal: error.refusal }
    throw error
  }
}

async function session(launch: Launch, line: Line): Promise<Outcome> {
  const keys = newKeys()
  line.progress('hello')
  const hellos = await each(range(launch.policies.length), broker => sayHello(launch, line, broker))
  const { charter, program } = hellos.good[0] ?? refuse('guest.protocol', 'launch.policies', 'a broker', 'none')
  const code = checkCode(program, fromBase64(launch.code))
  const emergencies = hellos.good[0]?.emergencies ?? []
  const wanted = grantsFor(charter, launch, emergencies)
  checkReceivers(charter, outputsOf(wanted))

  line.progress('attest')
  const attested = await each(hellos.good, hello => attest(launch, line, keys, hello))

  line.progress('release')
  const releases = await each(attested.good, asker => release(line, { launch, charter, grants: wanted, keys, ...asker }))
  const released = releases.good
  const before = [...hellos.refused, ...attested.refused, ...releases.refused, ...released.flatMap(one => one.without)].sort((one, other) => one.broker - other.broker)
  const joined = joinAnswers(p, { lineage: launch.lineage, charter, assets: wanted.map(grant => grant.asset) }, released, before)
  const counted = released.filter(one => joined.keys.some(key => key.brokers.includes(one.broker)))

  const grants = usedGrants(wanted, charter, emergencies, counted)
  checkReceivers(charter, outputsOf(grants))

  line.progress('run')
  const inputs = launch.inputs.map(({ asset, fd }) => ({ fd, key: keyOf(joined.keys, asset), asset, about: charter.assets[asset] ?? refuse('asset.unknown', asset, 'an asset of the charter', 'none') }))
  const result = orRefuse(await runProgram({ launch, program, code, grants, inputs }))

  line.progress('seal')
  const outputs = sealOutputs(charter, result.outputs)
  const envelope = signReceipt({ launch, charter, program, counted, joined, result, outputs, signer: keys.signer })
  const legs = await each(counted, one => logRun(line, envelope, one))
  return { outputs, legs: legs.good }
}

/** The same with every broker at once; those that refuse are set aside, and when all do, the first one's refusal stands. */
async function each<A extends number | { readonly broker: number }, T>(askers: readonly A[], work: (asker: A) => Promise<T>): Promise<{ good: T[]; refused: SetAside[] }> {
  const answers = await Promise.all(askers.map(async asker => ({ broker: typeof asker === 'number' ? asker : asker.broker, result: await attemptAsync(() => work(asker)) })))
  const good = answers.flatMap(({ result }) => (result.ok ? [result.value] : []))
  const refused = answers.flatMap(({ broker, result }) => (result.ok ? [] : [{ broker, refusal: result.refusal }]))
  const [first] = refused
  if (good.length === 0 && first !== undefined) throw new Refused(first.refusal)
  return { good, refused }
}

const range = (length: number) => Array.from({ length }, (_, i) => i)

/** Fresh for every session: one pair to be sealed to, one to sign the receipt with. Both die with the process. */
function newKeys() {
  const signer = generateSigner('p256')
  return { seal: hpkeKeyPair(p, 'x-wing', nodeRandom(32)), signer, sign: formatKey(signer.publicKey) }
}
type Keys = ReturnType<typeof newKeys>

interface Hello { readonly broker: number; readonly key: string; readonly nonce: Uint8Array; readonly head: Uint8Array; readonly charter: Charter; readonly program: Program; readonly emergencies: readonly Emergency[] }

/**
 * Ask a broker who it is. Its evidence must be bound to our nonce and to the keys that will speak for it, and the charter it
 * shows must stand in the log under a head as fresh and as witnessed as that charter demands.
 */
async function sayHello(launch: Launch, line: Line, broker: number): Promise<Hello> {
  const nonce = nodeRandom(32)
  const body = await askBroker(line, broker, 'hello', { nonce: toBase64(nonce), charter: launch.charter })
  const evidence = orRefuse(parseEvidence(body['evidence']))
  const key = textOf(body, 'key')
  const now = Math.floor(Date.now() / 1000)
  const claims = orRefuse(verifyEvidence(p, evidence, { now }))
  const bound = helloData(p, { nonce, seal: bytesOf(body, 'seal'), sign: key })
  if (!equal(fromHex(claims.reportData), bound)) refuse('evidence.report-data', 'hello.evidence', toHex(bound), claims.reportData)
  const read = readCharter(launch, body['charter'])
  const shown = { charter: read.charter, head: textOf(body, 'head'), enacted: textOf(body, 'enacted'), proof: textOf(body, 'proof') }
  const policy = orRefuse(parsePolicy(launch.policies[broker] ?? ''))
  const { head } = orRefuse(verifyStanding(p, shown, { policy, broker: key, now, lineage: launch.lineage }))
  const about = { lineage: launch.lineage, charter: read.charter, digest: launch.charter }
  const emergencies = readReceipts(body['emergencies']).map((part, i) => orRefuse(verifyEmergency(p, part, about, policy, `hello.emergencies[${i}]`)).emergency).filter(one => one.until > now).sort((a, b) => b.sequence - a.sequence)
  return { broker, key, nonce: bytesOf(body, 'nonce'), head: head.root, emergencies, ...read }
}

/** The charter must be the one this guest was launched for, byte for byte. */
function readCharter(launch: Launch, sent: unknown): { charter: Charter; program: Program } {
  const charter = orRefuse(parseCharter(JSON.stringify(sent)))
  const digest = charterDigest(p, charter)
  if (digest !== launch.charter) refuse('charter.superseded', 'launch.charter', launch.charter, digest)
  const program = charter.programs[launch.program]
  return program === undefined ? refuse('program.unknown', 'launch.program', Object.keys(charter.programs).join(', '), launch.program) : { charter, program }
}

/** The program's bytes must be the ones the charter names. (Evidence proves it to the broker; this spares a lost run.) */
function checkCode(program: Program, code: Uint8Array): Uint8Array {
  const digest = `sha256:${toHex(p.hash('sha256', code))}`
  const named = Object.values(program.run).join()
  if (named !== digest) refuse('program.mismatch', 'launch.code', named, digest)
  return code
}

/** Receipts and their proofs, as a broker hands them out. */
function readReceipts(value: unknown): Logged[] {
  if (!Array.isArray(value) || value.length > EMERGENCIES_MAX) return refuse('guest.protocol', 'hello.emergencies', `at most ${EMERGENCIES_MAX} receipts`, 'another value')
  return value.map(one => (isObject(one) ? { envelope: textOf(one, 'envelope'), proof: textOf(one, 'proof') } : refuse('guest.protocol', 'hello.emergencies', 'receipts', 'another value')))
}
const EMERGENCIES_MAX = 16

/** The grants this program reads its inputs by: the charter's, or that of an emergency; an input without one is refused before anything is asked for. */
function grantsFor(charter: Charter, launch: Launch, emergencies: readonly Emergency[]): Grant[] {
  return launch.inputs.map(({ asset }) => [...charter.grants, ...emergencies.map(one => one.grant)].find(grant => grant.asset === asset && grant.to === launch.program && grant.can === 'read')
    ?? refuse('grant.none', `grants`, `a grant of ${asset} to ${launch.program}`, 'none', `the owner of ${asset} proposes a charter with that grant`))
}

/**
 * The grants under which the brokers released, which bound what may leave: where the charter's own was not enough, a release
 * names an emergency. Brokers must agree on it, and it must be one whose quorum this guest has seen.
 */
function usedGrants(wanted: readonly Grant[], charter: Charter, emergencies: readonly Emergency[], counted: readonly Released[]): Grant[] {
  const receipts = counted.map(({ receipt, key }) => {
    const read = orRefuse(parseReceipt(receipt))
    orRefuse(verifyReceiptSignature(p, read, key))
    const { assets } = read.predicate
    return new Map((Array.isArray(assets) ? assets : []).flatMap(one => (isObject(one) ? [[one['asset'], one['emergency']]] : [])))
  })
  return wanted.map(grant => {
    const numbers = [...new Set(receipts.filter(assets => assets.has(grant.asset)).map(assets => assets.get(grant.asset)))]
    const [number, other] = numbers
    if (numbers.length > 1) return refuse('emergency.bounds', grant.asset, `one grant at every broker, ${String(number ?? 'the charter\'s')}`, String(other ?? 'the charter\'s'))
    if (number === undefined) return charter.grants.includes(grant) ? grant : refuse('grant.none', 'grants', `a release of ${grant.asset} that names its emergency`, 'none')
    const found = emergencies.find(one => one.sequence === number && one.grant.asset === grant.asset && one.grant.to === grant.to && one.grant.can === grant.can)
    return found?.grant ?? refuse('emergency.bounds', grant.asset, 'an emergency that the broker has shown', String(number))
  })
}

interface Attested { readonly broker: number; readonly key: string; readonly binding: Binding; readonly evidence: Evidence }

/** Evidence for one broker: bound to its nonce and its head, and to the keys of this session. */
async function attest(launch: Launch, line: Line, keys: Keys, { broker, key, nonce, head }: Hello): Promise<Attested> {
  const binding: Binding = { nonce, seal: keys.seal.publicKey, sign: keys.sign, charter: launch.charter, head }
  const answer = await line.ask({ call: 'report', reportData: toHex(reportData(p, binding)) })
  return { broker, key, binding, evidence: orRefuse(parseEvidence(answer.evidence)) }
}

interface ReleaseRequest extends Attested { launch: Launch; charter: Charter; grants: readonly Grant[]; keys: Keys }
interface Released extends Attested { readonly keys: readonly ReleasedKey[]; readonly receipt: string; readonly proof: string; readonly without: readonly SetAside[] }

/** Ask one broker. One of several need not hold a key of every asset: what it lacks is asked of the others. */
async function release(line: Line, request: ReleaseRequest, without: readonly SetAside[] = []): Promise<Released> {
  const { launch, charter, keys, binding, evidence, broker, key } = request
  const grants = request.grants.filter(grant => !without.some(one => one.asset === grant.asset))
  const asked = await attemptAsync(() => askBroker(line, broker, 'release', {
    charter: launch.charter, epoch: charter.epoch, program: launch.program, nonce: toBase64(binding.nonce), evidence,
    assets: grants.map(grant => ({ asset: grant.asset, can: grant.can, ...(grant.as === undefined ? {} : { as: grant.as }) })),
    guest: { seal: toBase64(keys.seal.publicKey), sign: keys.sign },
  }))
  if (!asked.ok) {
    const lacking = asked.refusal.code === 'asset.key-missing' && launch.policies.length > 1 && grants.length > 1 ? grants.find(grant => asked.refusal.at.split('.')[1] === grant.asset)?.asset : undefined
    if (lacking === undefined) throw new Refused(asked.refusal)
    return release(line, request, [...without, { broker, asset: lacking, refusal: asked.refusal }])
  }
  const body = asked.value
  const context = { charter: launch.charter, epoch: charter.epoch, nonce: binding.nonce, head: binding.head, assets: grants.map(grant => grant.asset) }
  const opened = openRelease(p, keys.seal.secret, key, context, parseSealed(body['sealed']))
  return { broker, key, binding, evidence, keys: orRefuse(opened), receipt: textOf(body, 'receipt'), proof: textOf(body, 'proof'), without }
}

function keyOf(keys: readonly JoinedKey[], asset: string): JoinedKey {
  return keys.find(key => key.asset === asset) ?? refuse('asset.key-missing', asset, 'a key in the release', 'none')
}

interface Run { launch: Launch; charter: Charter; program: Program; counted: readonly Released[]; joined: Joined; result: ProgramResult; outputs: readonly SealedOutput[]; signer: Signer }

/**
 * What ran, on what, with what result: digests only, so that the receipt may be public. `released` and `evidence` are of
 * the first broker that counted, `also` holds those of the others, `splits` says how many shares each split key took, and
 * `setAside` names the brokers whose word did not count.
 */
function signReceipt({ launch, charter, program, counted, joined, result, outputs, signer }: Run): string {
  const subject = outputs.map(output => ({ name: `${output.to}/${output.name}`, digest: { sha256: output.digest.slice('sha256:'.length) } }))
  const [first, ...also] = counted.map(({ receipt, evidence }) => ({ released: `sha256:${toHex(p.hash('sha256', utf8(receipt)))}`, evidence: evidenceDigest(p, evidence) }))
  const splits = joined.keys.flatMap(({ asset, split }) => (split === undefined ? [] : [{ asset, ...split }]))
  const setAside = joined.setAside.map(({ broker, asset, refusal }) => ({ broker, ...(asset === undefined ? {} : { asset }), code: refusal.code }))
  return encodeReceipt(signer, 'ran', subject, {
    lineage: launch.lineage, charter: launch.charter, epoch: charter.epoch,
    program: { name: launch.program, run: program.run },
    inputs: result.inputs, counts: result.counts, engine: result.engine,
    outputs: outputs.map(({ name, to, shape, about, digest }) => ({ name, to, shape, about, digest })),
    ...first, ...(also.length === 0 ? {} : { also }), ...(splits.length === 0 ? {} : { splits }), ...(setAside.length === 0 ? {} : { setAside }),
    simulated: counted.some(({ evidence }) => evidence.kind === 'simulated'),
  })
}

/** The receipt of the run, in the log of a broker that released to it. */
async function logRun(line: Line, envelope: string, { broker, binding, evidence, receipt, proof }: Released): Promise<Leg> {
  const logged = await askBroker(line, broker, 'receipt', { receipt: envelope })
  return {
    broker, evidence,
    binding: { nonce: toBase64(binding.nonce), seal: toBase64(binding.seal), sign: binding.sign, charter: binding.charter, head: toBase64(binding.head) },
    receipts: { released: { envelope: receipt, proof }, ran: { envelope, proof: textOf(logged, 'proof') } },
  }
}

async function askBroker(line: Line, broker: number, call: 'hello' | 'release' | 'receipt', body: unknown): Promise<JsonObject> {
  const answer = await line.ask({ call, broker, body })
  if (answer.status === undefined) return refuse('guest.protocol', call, 'the broker\'s answer', answer.error ?? 'none')
  return accepted(call, { status: answer.status, body: answer.body })
}

const bytesOf = (body: JsonObject, key: string) => fromBase64(textOf(body, key))
