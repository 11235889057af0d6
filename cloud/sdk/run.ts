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
import type { Charter, Grant, Hash, Program } from '@cloister/core/charter/types'
import type { Signer } from '@cloister/core/crypto/primitives'
import { parsePolicy } from '@cloister/core/log/policy'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { orRefuse, Refused, refuse } from '@cloister/core/refusal'
import { decrypt, generateIdentity } from '@cloister/core/seal/age/index'
import { BUNDLE, verifyReceipt, type ReceiptBundle, type ReceiptLeg, type Verdict } from '@cloister/core/verify'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { launchProcess, type Machine } from '../provider/launch.ts'
import type { Leg, Outcome } from '../provider/wire.ts'
import { isObject } from '../provider/answers.ts'
import { sealFile } from '../seal/age-file.ts'
import { checkStanding, depositKey, emergenciesOf, epochsUntil, foundCharter, meetBroker, newestCharter, type Holder } from './broker.ts'
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
  /** `policy`: whose word counts for its log; a broker without one is not asked. */
  readonly cloud: { readonly url: string; readonly policy?: string; machine(hostData: string): Machine }
  /** Other brokers, over which keys are split: plain data that is sealed here is split over all of them. */
  readonly others?: readonly { readonly url: string; readonly policy?: string }[]
  /** How many brokers must agree before such a key opens; all of them, unless fewer are named. */
  readonly need?: number
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
  mkdirSync(request.folder, { recursive: true, mode: 0o700 })
  const holders = await meetAll(request, say)
  say('seal the data')
  const inputs = await sealAll(holders, request)
  say('run in the guest')
  const { outcome, fence } = await launch(holders, request, inputs)
  say('verify the receipts')
  const bundle = await bundleOf(holders, outcome)
  const digests = outcome.outputs.map(output => createHash('sha256').update(fromBase64(output.sealed)).digest('hex'))
  const policies = [request.cloud, ...request.others ?? []].flatMap(one => one.policy ?? [])
  const [policy, ...otherPolicies] = policies.map(text => orRefuse(parsePolicy(text)))
  const verdict = orRefuse(verifyReceipt(p, bundle, { policy: policy ?? refuse('log.witnesses', 'policy', 'a policy', 'none'), otherPolicies, outputs: digests }))
  const receipt = join(request.folder, 'run.receipt.json')
  writeFileSync(receipt, `${JSON.stringify(bundle)}\n`, { mode: 0o600 })
  policies.forEach((text, i) => writeFileSync(join(request.folder, i === 0 ? 'log.policy' : `log-${i + 1}.policy`), text, { mode: 0o600 }))
  return { ...openOutputs(request, outcome), receipts: [receipt], verdict, fence }
}

/** A broker that holds the charter, and whose word counts for its log. */
interface Met extends Holder { readonly policy: string }

/** Every broker that answers and holds the charter. One of several may be missing: whether enough are left is for the shares to say. */
async function meetAll(request: RunRequest, say: (text: string) => void): Promise<[Met, ...Met[]]> {
  const simulated = request.charter.programs[request.program]?.on.tee.includes('simulated') === true
  const clients = [request.cloud, ...request.others ?? []].map(({ url, policy }) => ({ url, policy, client: connectBroker(url) }))
  say(clients.length === 1 ? 'meet the broker' : `meet ${clients.length} brokers`)
  const known = await answering(clients, say, async ({ client, policy, url }) => ({ client, broker: await meetBroker(client, simulated), policy: policy ?? refuse('log.witnesses', 'policy', `the keys of the log of ${url} and its witnesses`, 'nothing') }))
  say('enact the charter')
  const [first, ...others] = await answering(known, say, async one => {
    const standing = await newestCharter(one.client, await stand(one.client, request))
    checkStanding(standing, one.broker, one.policy)
    return { ...one, standing }
  })
  return [first ?? refuse('cli.usage', 'brokers', 'at least one', 'none'), ...others]
}

async function answering<A extends { readonly url: string } | { readonly client: BrokerClient }, T>(askers: readonly A[], say: (text: string) => void, ask: (asker: A) => Promise<T>): Promise<T[]> {
  const settled = await Promise.allSettled(askers.map(ask))
  const good = settled.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
  settled.forEach((one, i) => {
    if (one.status === 'fulfilled') return
    const asker = askers[i]
    if (good.length === 0 || !(one.reason instanceof Refused) || asker === undefined) throw one.reason
    say(`go on without ${'url' in asker ? asker.url : asker.client.url} (${one.reason.refusal.code})`)
  })
  return good
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

async function sealAll(holders: readonly Holder[], request: RunRequest): Promise<SealedInput[]> {
  const reads = (grant: Grant) => grant.to === request.program && grant.can === 'read'
  const granted = new Set(request.charter.grants.filter(reads).map(grant => grant.asset))
  const inEmergency = holders.flatMap(({ standing }) => emergenciesOf(standing)).map(one => one.grant).filter(reads).map(grant => grant.asset)
  const missing = [...granted].filter(asset => !request.data.has(asset))
  if (missing.length > 0) refuse('cli.usage', '--data', [...granted].map(asset => `--data ${asset}=FILE`).join(' '), `nothing for ${missing.join(', ')}`)
  const inputs: SealedInput[] = []
  for (const [asset, path] of request.data) {
    if (!granted.has(asset) && !inEmergency.includes(asset)) refuse('asset.unknown', `--data ${asset}`, [...granted].join(', '), asset)
    inputs.push({ asset, path: isAge(path) ? resolve(path) : await putAsset(holders, request, asset, path) })
  }
  return inputs
}

/** Seal plain data for its owner and the room, and hand the room's key to the brokers, all of them or none. */
async function putAsset(holders: readonly Holder[], request: RunRequest, asset: string, path: string): Promise<string> {
  const { charter } = request
  const wanted = 1 + (request.others?.length ?? 0)
  if (holders.length < wanted) refuse('provider.host', 'brokers', `${wanted} brokers to hand shares to`, `${holders.length} that answer`)
  const owner = charter.assets[asset]?.owner ?? refuse('asset.unknown', `assets.${asset}`, Object.keys(charter.assets).join(', '), asset)
  const signer = request.signers.get(owner) ?? refuse('cli.key', `keys/${owner}.key`, `the signing key of ${owner}, who owns ${asset}`, 'none', `let ${owner} run: cloister put ${path} --asset ${asset}`)
  const key = generateIdentity(p, 'hybrid', nodeRandom)
  const output = resolve(join(request.folder, `${asset}.age`))
  const facts = orRefuse(sealFile(path, output, [key.recipient, ...(charter.parties[owner]?.seal ?? [])]))
  await depositKey(holders, signer, { asset, digest: facts.digest, identity: key.identity, ...(request.need === undefined ? {} : { need: request.need }) })
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

async function launch(holders: readonly [Met, ...Met[]], request: RunRequest, inputs: readonly SealedInput[]): Promise<{ outcome: Outcome; fence: readonly string[] }> {
  const [{ standing: { lineage } }] = holders
  const program = request.charter.programs[request.program] ?? refuse('program.unknown', `programs.${request.program}`, Object.keys(request.charter.programs).join(', '), request.program)
  const machine = request.cloud.machine(measuredIdentity(lineage, request.program, program, request.code))
  const launched = await launchProcess({
    machine, inputs, relay: (path, body, broker) => holderAt(holders, broker).client.post(`/v1/${path}`, body), timeoutMs: request.timeoutMs ?? 600_000,
    launch: {
      policies: holders.map(holder => holder.policy), charter: charterDigest(p, request.charter), lineage, program: request.program, code: Buffer.from(request.code).toString('base64'),
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

async function bundleOf(holders: readonly [Holder, ...Holder[]], outcome: Outcome): Promise<ReceiptBundle> {
  const [first, ...others] = await Promise.all(outcome.legs.map(leg => legOf(holderAt(holders, leg.broker), leg)))
  if (first === undefined) return refuse('guest.protocol', 'outcome.legs', 'a broker that released', 'none')
  return { bundle: BUNDLE, ...first.leg, charters: first.charters, ...(others.length === 0 ? {} : { others: others.map(one => one.leg) }) }
}

async function legOf({ client, broker: { evidence, nonce, seal, key }, standing: { lineage } }: Holder, leg: Leg): Promise<{ leg: ReceiptLeg; charters: readonly Charter[] }> {
  const { charters, enactments, emergencies } = await epochsUntil(client, lineage, leg.binding.charter as Hash) // verified with the receipt
  const [enacted, ...earlier] = [...enactments].reverse()
  if (enacted === undefined) return refuse('receipt.charter', 'epochs', `the charter ${leg.binding.charter}`, 'none of its lineage')
  const named = emergenciesIn(leg.receipts.released.envelope)
  const used = emergencies.filter(one => named.includes(one.sequence)).map(({ envelope, proof }) => ({ envelope, proof }))
  const binding = { ...leg.binding, charter: leg.binding.charter as Hash } // verified with the receipt
  const before = { ...(earlier.length === 0 ? {} : { earlier: earlier.reverse() }), ...(used.length === 0 ? {} : { emergencies: used }) }
  return { charters, leg: { ran: leg.receipts.ran, released: leg.receipts.released, enacted, ...before, evidence: leg.evidence, binding, broker: { evidence, nonce, seal, key } } }
}

/** The numbers of the emergencies that a release rests on. */
function emergenciesIn(released: string): unknown[] {
  const { assets } = orRefuse(parseReceipt(released)).predicate
  return Array.isArray(assets) ? assets.flatMap(asset => (isObject(asset) && asset['emergency'] !== undefined ? [asset['emergency']] : [])) : []
}

const holderAt = (holders: readonly Holder[], broker: number): Holder => holders[broker] ?? refuse('guest.protocol', 'broker', `0 to ${holders.length - 1}`, String(broker))

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

