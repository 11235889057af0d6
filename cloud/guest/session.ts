/**
 * One session of a guest, as the road goes: keys → hello → evidence → release → run → seal → receipt.
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
import { formatKey } from '@cloister/core/crypto/keys'
import type { Signer } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import { evidenceDigest, parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { encodeReceipt } from '@cloister/core/receipt/receipt'
import { orRefuse, Refused, refuse, type Result } from '@cloister/core/refusal'
import { helloData, reportData, type Binding } from '@cloister/core/seal/binding'
import { openRelease, parseSealed, type ReleasedKey } from '@cloister/core/seal/release'
import { generateSigner, nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { accepted, textOf, type JsonObject } from '../provider/answers.ts'
import type { Answer, Ask, Launch, Outcome, SealedOutput } from '../provider/wire.ts'
import { runProgram, type ProgramResult } from './engines/index.ts'
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
  const hello = await sayHello(launch, line)
  const { charter, program } = readCharter(launch, hello.charter)
  const code = checkCode(program, fromBase64(launch.code))
  const grants = grantsFor(charter, launch)
  checkReceivers(charter, outputsOf(grants))

  line.progress('attest')
  const binding: Binding = { nonce: hello.nonce, seal: keys.seal.publicKey, sign: keys.sign, charter: launch.charter, head: hello.head }
  const evidence = await attest(line, reportData(p, binding))

  line.progress('release')
  const released = await release(line, { launch, charter, grants, keys, binding, evidence, broker: hello.key })

  line.progress('run')
  const inputs = launch.inputs.map(({ asset, fd }) => ({ fd, key: keyOf(released.keys, asset), asset, about: charter.assets[asset] ?? refuse('asset.unknown', asset, 'an asset of the charter', 'none') }))
  const result = orRefuse(await runProgram({ launch, program, code, grants, inputs }))

  line.progress('seal')
  const outputs = sealOutputs(charter, result.outputs)
  const envelope = signReceipt({ launch, charter, program, evidence, released: released.receipt, result, outputs, signer: keys.signer })
  const logged = await askBroker(line, 'receipt', { receipt: envelope })
  return {
    outputs, evidence,
    binding: { nonce: toBase64(binding.nonce), seal: toBase64(binding.seal), sign: binding.sign, charter: binding.charter, head: toBase64(binding.head) },
    receipts: { released: { envelope: released.receipt, proof: released.proof }, ran: { envelope, proof: textOf(logged, 'proof') } },
  }
}

/** Fresh for every session: one pair to be sealed to, one to sign the receipt with. Both die with the process. */
function newKeys() {
  const signer = generateSigner('p256')
  return { seal: hpkeKeyPair(p, 'x-wing', nodeRandom(32)), signer, sign: formatKey(signer.publicKey) }
}
type Keys = ReturnType<typeof newKeys>

interface Hello { readonly key: string; readonly nonce: Uint8Array; readonly head: Uint8Array; readonly charter: unknown }

/** Ask the broker who it is. Its evidence must be bound to our nonce and to the keys that will speak for it. */
async function sayHello(launch: Launch, line: Line): Promise<Hello> {
  const nonce = nodeRandom(32)
  const body = await askBroker(line, 'hello', { nonce: toBase64(nonce), charter: launch.charter })
  const evidence = orRefuse(parseEvidence(body['evidence']))
  const key = textOf(body, 'key')
  const claims = orRefuse(verifyEvidence(p, evidence, { now: Math.floor(Date.now() / 1000) }))
  const bound = helloData(p, { nonce, seal: bytesOf(body, 'seal'), sign: key })
  if (!equal(fromHex(claims.reportData), bound)) refuse('evidence.report-data', 'hello.evidence', toHex(bound), claims.reportData)
  const checkpoint = orRefuse(parseCheckpoint(textOf(body, 'head')))
  return { key, nonce: bytesOf(body, 'nonce'), head: checkpoint.root, charter: body['charter'] }
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

/** The grants this program reads its inputs by; an input without one is refused before anything is asked for. */
function grantsFor(charter: Charter, launch: Launch): Grant[] {
  return launch.inputs.map(({ asset }) => charter.grants.find(grant => grant.asset === asset && grant.to === launch.program && grant.can === 'read')
    ?? refuse('grant.none', `grants`, `a grant of ${asset} to ${launch.program}`, 'none', `the owner of ${asset} proposes a charter with that grant`))
}

async function attest(line: Line, data: Uint8Array): Promise<Evidence> {
  const answer = await line.ask({ call: 'report', reportData: toHex(data) })
  return orRefuse(parseEvidence(answer.evidence))
}

interface ReleaseRequest { launch: Launch; charter: Charter; grants: Grant[]; keys: Keys; binding: Binding; evidence: Evidence; broker: string }

async function release(line: Line, request: ReleaseRequest) {
  const { launch, charter, grants, keys, binding, evidence } = request
  const body = await askBroker(line, 'release', {
    charter: launch.charter, epoch: charter.epoch, program: launch.program, nonce: toBase64(binding.nonce), evidence,
    assets: grants.map(grant => ({ asset: grant.asset, can: grant.can, ...(grant.as === undefined ? {} : { as: grant.as }) })),
    guest: { seal: toBase64(keys.seal.publicKey), sign: keys.sign },
  })
  const context = { charter: launch.charter, epoch: charter.epoch, nonce: binding.nonce, head: binding.head, assets: grants.map(grant => grant.asset) }
  const opened = openRelease(p, keys.seal.secret, request.broker, context, parseSealed(body['sealed']))
  return { keys: orRefuse(opened), receipt: textOf(body, 'receipt'), proof: textOf(body, 'proof') }
}

function keyOf(keys: readonly ReleasedKey[], asset: string): ReleasedKey {
  return keys.find(key => key.asset === asset) ?? refuse('asset.key-missing', asset, 'a key in the release', 'none')
}

/** What ran, on what, with what result: digests only, so that the receipt may be public. */
function signReceipt(run: { launch: Launch; charter: Charter; program: Program; evidence: Evidence; released: string; result: ProgramResult; outputs: readonly SealedOutput[]; signer: Signer }): string {
  const { launch, charter, program, result } = run
  const subject = run.outputs.map(output => ({ name: `${output.to}/${output.name}`, digest: { sha256: output.digest.slice('sha256:'.length) } }))
  return encodeReceipt(run.signer, 'ran', subject, {
    lineage: launch.lineage, charter: launch.charter, epoch: charter.epoch,
    program: { name: launch.program, run: program.run },
    inputs: result.inputs, counts: result.counts, engine: result.engine,
    outputs: run.outputs.map(({ name, to, shape, about, digest }) => ({ name, to, shape, about, digest })),
    released: `sha256:${toHex(p.hash('sha256', utf8(run.released)))}`,
    evidence: evidenceDigest(p, run.evidence),
    simulated: run.evidence.kind === 'simulated',
  })
}

async function askBroker(line: Line, call: 'hello' | 'release' | 'receipt', body: unknown): Promise<JsonObject> {
  const answer = await line.ask({ call, body })
  if (answer.status === undefined) return refuse('guest.protocol', call, 'the broker\'s answer', answer.error ?? 'none')
  return accepted(call, { status: answer.status, body: answer.body })
}

const bytesOf = (body: JsonObject, key: string) => fromBase64(textOf(body, key))
