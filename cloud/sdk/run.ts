/**
 * One run, as an app asks for it: seal the data, hand the keys to a broker that proved itself, launch the program, open
 * the results and write receipts that anybody can verify. Refusals leave as `Refused`.
 */
import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { fromBase64 } from '@cloister/core/bytes/base64'
import { charterDigest, programIdentity } from '@cloister/core/charter/canonical'
import type { Charter, Hash, Program } from '@cloister/core/charter/types'
import type { Signer } from '@cloister/core/crypto/primitives'
import { parsePolicy } from '@cloister/core/log/policy'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { decrypt, generateIdentity } from '@cloister/core/seal/age/index'
import { BUNDLE, verifyReceipt, type ReceiptBundle, type Verdict } from '@cloister/core/verify'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { launchProcess, type Machine } from '../provider/launch.ts'
import type { Outcome } from '../provider/wire.ts'
import { sealFile } from '../seal/age-file.ts'
import { allCharters, depositKey, foundCharter, meetBroker, newestCharter, type KnownBroker } from './broker.ts'
import { connectBroker, type BrokerClient } from './client.ts'

export interface RunRequest {
  readonly charter: Charter
  readonly program: string
  /** Digest of epoch 1; needed from epoch 3 on. */
  readonly lineage?: Hash
  readonly code: Uint8Array
  /** Asset name → file: plain data (sealed here, for its owner) or an age file that its owner has put before. */
  readonly data: ReadonlyMap<string, string>
  /** Keys of the parties that this caller acts for. */
  readonly signers: ReadonlyMap<string, Signer>
  /** Identities that open results, by party. */
  readonly identities: ReadonlyMap<string, string>
  readonly cloud: { readonly url: string; readonly policy: string; machine(hostData: string): Machine }
  /** Where sealed files, results and receipts go. */
  readonly folder: string
  readonly threads?: number
  readonly memoryBytesMax?: number
  readonly timeoutMs?: number
  readonly step?: (text: string) => void
  readonly onStart?: (pid: number, fence: readonly string[]) => void
}
export interface RunResult {
  /** Results by receiving party, opened where the party's identity is at hand. */
  readonly result: Record<string, Record<string, unknown>>
  /** Sealed results: paths by party. */
  readonly sealed: Record<string, string[]>
  readonly receipts: readonly string[]
  readonly verdict: Verdict
  readonly fence: readonly string[]
}

const p = nodePrimitives

export async function run(request: RunRequest): Promise<RunResult> {
  const say = request.step ?? (() => undefined)
  const client = connectBroker(request.cloud.url)
  mkdirSync(request.folder, { recursive: true, mode: 0o700 })
  say('meet the broker')
  const broker = await meetBroker(client, request.charter.programs[request.program]?.on.tee.includes('simulated') === true)
  say('enact the charter')
  const lineage = await stand(client, request)
  say('seal the data')
  const inputs = await sealAll(client, broker, request, lineage)
  say('run in the guest')
  const { outcome, fence } = await launch(client, request, lineage, inputs)
  say('verify the receipts')
  const bundle = await bundleOf(client, broker, lineage, outcome)
  const digests = outcome.outputs.map(output => createHash('sha256').update(fromBase64(output.sealed)).digest('hex'))
  const verdict = orRefuse(verifyReceipt(p, bundle, { policy: orRefuse(parsePolicy(request.cloud.policy)), outputs: digests }))
  const receipt = join(request.folder, 'run.receipt.json')
  writeFileSync(receipt, `${JSON.stringify(bundle)}\n`, { mode: 0o600 })
  writeFileSync(join(request.folder, 'log.policy'), request.cloud.policy, { mode: 0o600 })
  return { ...openOutputs(request, outcome), receipts: [receipt], verdict, fence }
}

/**
 * The lineage of the charter at hand. A new one is founded when the keys of all its parties are here; one that stands must
 * be the newest of its lineage.
 */
async function stand(client: BrokerClient, request: RunRequest): Promise<Hash> {
  const { charter, signers } = request
  const digest = charterDigest(p, charter)
  const lineage = request.lineage ?? (charter.epoch === 1 ? digest : charter.epoch === 2 && charter.prev !== undefined ? charter.prev : refuse('cli.usage', '--lineage', 'the digest of epoch 1', 'nothing'))
  if (charter.epoch === 1 && Object.keys(charter.parties).every(party => signers.has(party))) {
    await foundCharter(client, charter, signers)
    return digest
  }
  const newest = await newestCharter(client, lineage)
  if (newest.digest !== digest) refuse('charter.superseded', 'charter', `${newest.digest} (epoch ${newest.charter.epoch})`, digest, 'run the newest charter')
  return lineage
}

interface SealedInput { readonly asset: string; readonly path: string }

async function sealAll(client: BrokerClient, broker: KnownBroker, request: RunRequest, lineage: Hash): Promise<SealedInput[]> {
  const granted = new Set(request.charter.grants.filter(grant => grant.to === request.program && grant.can === 'read').map(grant => grant.asset))
  const missing = [...granted].filter(asset => !request.data.has(asset))
  if (missing.length > 0) refuse('cli.usage', '--data', [...granted].map(asset => `--data ${asset}=FILE`).join(' '), `nothing for ${missing.join(', ')}`)
  const standing = await newestCharter(client, lineage)
  const inputs: SealedInput[] = []
  for (const [asset, path] of request.data) {
    if (!granted.has(asset)) refuse('asset.unknown', `--data ${asset}`, [...granted].join(', '), asset)
    inputs.push({ asset, path: isAge(path) ? resolve(path) : await putAsset(client, broker, request, standing, asset, path) })
  }
  return inputs
}

/** Seal plain data for its owner and the room, and hand the room's key to the broker. */
async function putAsset(client: BrokerClient, broker: KnownBroker, request: RunRequest, standing: Awaited<ReturnType<typeof newestCharter>>, asset: string, path: string): Promise<string> {
  const owner = standing.charter.assets[asset]?.owner ?? refuse('asset.unknown', `assets.${asset}`, Object.keys(standing.charter.assets).join(', '), asset)
  const signer = request.signers.get(owner) ?? refuse('cli.key', `keys/${owner}.key`, `the signing key of ${owner}, who owns ${asset}`, 'none', `let ${owner} run: cloister put ${path} --asset ${asset}`)
  const key = generateIdentity(p, 'hybrid', nodeRandom)
  const output = resolve(join(request.folder, `${asset}.age`))
  const facts = orRefuse(sealFile(path, output, [key.recipient, ...(standing.charter.parties[owner]?.seal ?? [])]))
  await depositKey(client, broker, standing, signer, { asset, digest: facts.digest, identity: key.identity })
  return output
}

function isAge(path: string): boolean {
  const head = Buffer.alloc(18)
  try {
    const fd = openSync(path, 'r')
    try {
      readSync(fd, head, 0, head.length, 0)
    } finally {
      closeSync(fd)
    }
  } catch {
    return refuse('cli.file', path, 'a file that can be read', 'none')
  }
  return head.toString('latin1') === 'age-encryption.org'
}

async function launch(client: BrokerClient, request: RunRequest, lineage: Hash, inputs: readonly SealedInput[]): Promise<{ outcome: Outcome; fence: readonly string[] }> {
  const program = request.charter.programs[request.program] ?? refuse('program.unknown', `programs.${request.program}`, Object.keys(request.charter.programs).join(', '), request.program)
  const machine = request.cloud.machine(measuredIdentity(lineage, request.program, program, request.code))
  const launched = await launchProcess({
    machine, inputs, relay: (path, body) => client.post(`/v1/${path}`, body), timeoutMs: request.timeoutMs ?? 600_000,
    launch: {
      charter: charterDigest(p, request.charter), lineage, program: request.program, code: Buffer.from(request.code).toString('base64'),
      threads: request.threads ?? cpus().length, memoryBytesMax: request.memoryBytesMax ?? Math.floor(totalmem() / 2),
    },
    ...(request.onStart === undefined ? {} : { onStart: (pid: number, fence: { readonly holds: readonly string[] }) => request.onStart?.(pid, fence.holds) }),
  })
  return orRefuse(launched)
}

/** What the machine measures is the bytes that are launched, whatever the charter says they should be. */
function measuredIdentity(lineage: Hash, name: string, program: Program, code: Uint8Array): string {
  const digest: Hash = `sha256:${createHash('sha256').update(code).digest('hex')}`
  const run = 'sql' in program.run ? { sql: digest } : program.run
  return programIdentity(p, lineage, name, { ...program, run }).slice('sha256:'.length)
}

async function bundleOf(client: BrokerClient, broker: KnownBroker, lineage: Hash, outcome: Outcome): Promise<ReceiptBundle> {
  const { enacted } = await newestCharter(client, lineage)
  const { evidence, nonce, seal, key } = broker
  const binding = { ...outcome.binding, charter: outcome.binding.charter as Hash } // verified with the receipt
  return { bundle: BUNDLE, ran: outcome.receipts.ran, released: outcome.receipts.released, enacted, charters: await allCharters(client, lineage), evidence: outcome.evidence, binding, broker: { evidence, nonce, seal, key } }
}

function openOutputs(request: RunRequest, outcome: Outcome): Pick<RunResult, 'result' | 'sealed'> {
  const result: Record<string, Record<string, unknown>> = {}
  const sealed: Record<string, string[]> = {}
  for (const output of outcome.outputs) {
    const bytes = fromBase64(output.sealed)
    const path = join(request.folder, `${output.to}-${output.name}.age`)
    writeFileSync(path, bytes, { mode: 0o600 })
    sealed[output.to] = [...(sealed[output.to] ?? []), path]
    const identity = request.identities.get(output.to)
    if (identity === undefined) continue
    const opened = orRefuse(decrypt(p, { identities: [identity] }, bytes))
    result[output.to] = { ...result[output.to], [output.name]: JSON.parse(Buffer.from(opened).toString('utf8')) as unknown }
  }
  return { result, sealed }
}

