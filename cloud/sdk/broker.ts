/**
 * A broker as its users meet it: who it is (evidence, checked), what it holds (the newest charter of a lineage), and the
 * acts of a party. Keys of assets are sealed to the key that the broker's evidence names, never to what the network says.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { equal } from '@cloister/core/bytes/bytes'
import { parseJson, type Json } from '@cloister/core/bytes/json'
import { charterDigest } from '@cloister/core/charter/canonical'
import { parseAct, signAct, verifyAct, type Act, type Verb } from '@cloister/core/charter/acts'
import { emergencySubject, readEmergency, type Emergency } from '@cloister/core/charter/emergency'
import { charterOf, own } from '@cloister/core/charter/parse'
import type { Charter, Grant, Hash } from '@cloister/core/charter/types'
import type { Signer } from '@cloister/core/crypto/primitives'
import type { Enactment, Logged } from '@cloister/core/enacted'
import type { Claims, Evidence } from '@cloister/core/evidence/claims'
import { parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { parsePolicy } from '@cloister/core/log/policy'
import { attempt, orRefuse, Refused, refuse } from '@cloister/core/refusal'
import { helloData } from '@cloister/core/seal/binding'
import { verifyStanding } from '@cloister/core/standing'
import { splitKey, type KeyAbout } from '@cloister/core/seal/shares'
import { sealDeposit, type DepositAbout } from '../broker/deposit.ts'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { isObject, textOf, type JsonObject } from '../provider/answers.ts'
import type { BrokerClient } from './client.ts'

const p = nodePrimitives

/** A broker whose evidence holds and is bound to the two keys that speak for it. */
export interface KnownBroker { readonly evidence: Evidence; readonly claims: Claims; readonly nonce: string; readonly seal: string; readonly key: string }
export interface Standing { readonly charter: Charter; readonly digest: Hash; readonly lineage: Hash; readonly enacted: { readonly envelope: string; readonly proof: string } }

/** Ask a broker who it is. Leaves with `evidence.*` when it cannot prove it; `simulated` must be expected by name. */
export async function meetBroker(client: BrokerClient, simulatedAllowed: boolean): Promise<KnownBroker> {
  const nonce = nodeRandom(32)
  const body = await client.send('/v1/hello', { nonce: toBase64(nonce) })
  const [key, seal] = [textOf(body, 'key'), textOf(body, 'seal')]
  const evidence = orRefuse(parseEvidence(body['evidence']))
  const claims = orRefuse(verifyEvidence(p, evidence, { now: Math.floor(Date.now() / 1000) }))
  const bound = helloData(p, { nonce, seal: fromBase64(seal), sign: key })
  if (!equal(fromHex(claims.reportData), bound)) refuse('evidence.report-data', 'hello.evidence', toHex(bound), claims.reportData)
  if (claims.simulated && !simulatedAllowed) refuse('evidence.simulated', 'hello.evidence', 'real hardware', 'simulated silicon', 'name it: --simulated')
  return { evidence, claims, nonce: toBase64(nonce), seal, key }
}

/** The newest charter of a lineage and the receipt of its enactment. */
export async function newestCharter(client: BrokerClient, lineage: Hash): Promise<Standing & { readonly body: JsonObject }> {
  const body = await client.read(`/v1/charters/${lineage}`)
  const charter = readCharter(body['charter'])
  return { body, charter, lineage, digest: charterDigest(p, charter), enacted: { envelope: textOf(body, 'enacted'), proof: textOf(body, 'proof') } }
}

/**
 * Is the charter that a broker shows as fresh, and as witnessed, as it demands itself? Leaves with `head.stale`,
 * `head.unwitnessed`, `head.unknown-charter` or `log.*`.
 */
export function checkStanding({ body, charter, lineage, enacted }: Standing & { readonly body: JsonObject }, broker: KnownBroker, policy: string): void {
  orRefuse(verifyStanding(p, { charter, head: textOf(body, 'head'), enacted: enacted.envelope, proof: enacted.proof }, { policy: orRefuse(parsePolicy(policy)), broker: broker.key, now: Math.floor(Date.now() / 1000), lineage }))
}

/** The epochs of a lineage as one broker's log has them. */
export interface Epochs {
  readonly charters: readonly Charter[]
  /** The receipts of their enactments, one for each. */
  readonly enactments: readonly Enactment[]
  /** The receipts of emergencies of the newest charter. */
  readonly emergencies: readonly (Logged & { readonly sequence: number })[]
}

/** The epochs of a lineage up to one charter, first to newest; whether they hold is for the verifier to check. */
export async function epochsUntil(client: BrokerClient, lineage: Hash, charter: Hash): Promise<Epochs> {
  const body = await client.read(`/v1/charters/${lineage}/epochs`)
  const charters = listOf(body['charters'], 'charters').map(readCharter)
  const count = charters.findIndex(one => charterDigest(p, one) === charter) + 1
  const emergencies = listOf(body['emergencies'], 'emergencies').map(one => ({ ...readLogged(one), sequence: Number(isObject(one) ? one['sequence'] : NaN) }))
  return { charters: charters.slice(0, count), enactments: listOf(body['enactments'], 'enactments').slice(0, count).map(one => ({ ...readLogged(one), ...(isObject(one) && one['proposed'] !== undefined ? { proposed: readLogged(one['proposed']) } : {}) })), emergencies }
}

const readLogged = (value: unknown): Logged => (isObject(value) ? { envelope: textOf(value, 'envelope'), proof: textOf(value, 'proof') } : refuse('broker.request', 'epochs', 'a receipt and its proof', 'another value'))

/** Epoch 1 with the approvals of its parties. */
export async function foundCharter(client: BrokerClient, charter: Charter, signers: ReadonlyMap<string, Signer>): Promise<JsonObject> {
  const digest = charterDigest(p, charter)
  const acts = [...signers].map(([party, signer]) => signAct(signer, { verb: 'approve', lineage: digest, digest, epoch: 1, party }))
  return client.send('/v1/charters', { charter, acts })
}

/** A proposal that stands open at a broker. Its acts have been verified here; the time is the broker's word for the log's. */
export interface OpenProposal { readonly digest: Hash; readonly charter: Charter; readonly acts: readonly Act[]; /** Seconds since 1970: the notice runs from here. */ readonly includedAt?: number }
export interface LineageView extends Standing {
  readonly proposals: readonly OpenProposal[]
  /** Digests of all epochs, first to newest. */
  readonly history: readonly string[]
  readonly revoked: boolean
  readonly revokedAssets: readonly string[]
  /** Identities (host data) of programs that the quorum revoked. */
  readonly revokedPrograms: readonly string[]
  /** Emergencies as the broker last had them; `until` says which still run. */
  readonly emergencies: readonly Emergency[]
  readonly emergencyCount: number
  /** Revocations and emergencies that wait for more signatures. */
  readonly openActs: readonly Act[]
  readonly body: JsonObject
}

/**
 * What a broker says about a lineage: the newest charter, open proposals with their acts, emergencies, what is revoked.
 * Acts that do not hold and grants that the charter cannot mean are refused; the rest is the broker's word.
 */
export async function lineageView(client: BrokerClient, lineage: Hash): Promise<LineageView> {
  const standing = await newestCharter(client, lineage)
  const { body, charter } = standing
  const list = (field: string) => listOf(body[field] ?? [], field)
  const hashes = (field: string) => list(field).map(one => (/^[a-z0-9:-]{1,80}$/.test(String(one)) ? String(one) : refuse('broker.request', field, 'names or digests', 'another value')))
  const count = body['emergencyCount']
  return {
    ...standing, proposals: list('proposals').map(one => openProposal(standing, one)), history: hashes('history'), revoked: body['revoked'] === true,
    revokedAssets: hashes('revokedAssets'), revokedPrograms: hashes('revokedPrograms'), emergencies: emergenciesOf(standing), emergencyCount: typeof count === 'number' ? count : 0,
    openActs: [...readActs(body['revocations'], [charter]), ...readActs(body['emergencyActs'], [charter])],
  }
}

/** The same; undefined where the broker does not know the lineage. */
export async function knownLineage(client: BrokerClient, lineage: Hash): Promise<LineageView | undefined> {
  try {
    return await lineageView(client, lineage)
  } catch (error) {
    if (error instanceof Refused && error.refusal.code === 'head.unknown-charter') return undefined
    throw error
  }
}

/** Emergencies of the newest charter, as the broker tells them; a guest and a verifier look at their receipts. */
export const emergenciesOf = ({ charter, body }: Standing & { readonly body: JsonObject }): Emergency[] => listOf(body['emergencies'] ?? [], 'emergencies').map(one => runningEmergency(charter, one))

function runningEmergency(charter: Charter, value: unknown): Emergency {
  if (!isObject(value)) return refuse('broker.request', 'emergencies', 'an object', typeof value)
  const asked = readEmergency(charter, emergencySubject(Number(value['sequence']), value['grant'] as Grant), 'emergencies') // read strictly out of its text
  return { ...asked, charter: charterDigest(p, charter), signed: listOf(value['signed'], 'emergencies.signed').map(String).filter(party => own(charter.parties, party) !== undefined) }
}

function readActs(value: unknown, charters: readonly Charter[]): Act[] {
  return listOf(value ?? [], 'acts').map((one, i) => {
    const act = parseAct(toJson(one), `acts[${i}]`)
    const verdicts = charters.map(charter => verifyAct(p, charter, act, `acts[${i}]`))
    const good = verdicts.find(verdict => verdict.ok) ?? verdicts[0]
    if (good !== undefined) orRefuse(good)
    return act
  })
}

function openProposal({ charter: prev }: Standing, value: unknown): OpenProposal {
  if (!isObject(value)) return refuse('broker.request', 'proposals', 'an object', typeof value)
  const charter = readCharter(value['charter'])
  const acts = readActs(value['acts'], [prev, charter])
  const includedAt = value['includedAt']
  return { digest: charterDigest(p, charter), charter, acts, ...(typeof includedAt === 'number' ? { includedAt } : {}) }
}

/** A proposed charter with the acts that its parties have signed, wherever they signed them. */
export interface SignedChange { readonly lineage: Hash; readonly digest: Hash; readonly next: Charter; readonly acts: readonly Act[] }
/** `sent`: verb and party of each act the broker had not heard before. */
export interface Sent { readonly sent: readonly string[]; readonly inForce: boolean; readonly newest: { readonly digest: Hash; readonly epoch: number } }

/**
 * Bring a signed change to a broker: proposal, approvals and vetoes it does not have yet, and, with `enact`, the act that
 * puts it in force (epoch 1 is founded as soon as every party has approved). Leaves with the broker's refusal.
 */
export async function sendChange(client: BrokerClient, change: SignedChange, enact: boolean): Promise<Sent> {
  const { lineage, digest, next, acts } = change
  const view = await knownLineage(client, lineage)
  if (view !== undefined && view.history.includes(digest)) return { sent: [], inForce: view.digest === digest, newest: { digest: view.digest, epoch: view.charter.epoch } }
  if (next.epoch === 1) {
    await client.send('/v1/charters', { charter: next, acts: acts.filter(act => act.verb === 'approve') })
    return { sent: ['found'], inForce: true, newest: { digest, epoch: 1 } }
  }
  if (view === undefined) return refuse('head.unknown-charter', 'lineage', 'a lineage of this broker', lineage, 'found it first: cloister enact on its epoch 1')
  if (view.digest !== next.prev) refuse('charter.stale-proposal', 'prev', `${view.digest} (epoch ${view.charter.epoch}), the newest charter`, `${next.prev} (epoch ${next.epoch - 1})`, 'propose again on top of the newest charter')
  const heard = view.proposals.find(one => one.digest === digest)?.acts
  const vetoed = (act: Act) => acts.some(one => one.verb === 'veto' && one.party === act.party)
  const news = acts.filter(act => heard?.some(one => one.verb === act.verb && one.party === act.party && one.key === act.key) !== true)
  const [proposal] = acts.filter(act => act.verb === 'propose')
  const toSend = [...news.filter(act => act.verb === 'approve' && !vetoed(act)), ...news.filter(act => act.verb === 'veto'), ...(enact ? acts.filter(act => act.verb === 'enact').slice(0, 1) : [])]
  if (heard === undefined) await client.send('/v1/proposals', { charter: next, act: proposal ?? refuse('charter.act', 'proposals', 'a proposal signed by a party', 'none', 'cloister propose CHANGE --party NAME') })
  for (const act of toSend) await client.send('/v1/acts', { act })
  const newest = await newestCharter(client, lineage)
  return { sent: [...(heard === undefined && proposal !== undefined ? [proposal] : []), ...toSend].map(act => `${act.verb} ${act.party}`), inForce: newest.digest === digest, newest: { digest: newest.digest, epoch: newest.charter.epoch } }
}

/** An act about a proposed charter (propose, approve, veto, enact). */
export function actOn(verb: Verb, lineage: Hash, charter: Charter, party: string, signer: Signer, subject?: string): Act {
  return signAct(signer, {
    verb, lineage, digest: charterDigest(p, charter), epoch: charter.epoch, party,
    ...(charter.prev === undefined ? {} : { prev: charter.prev }), ...(subject === undefined ? {} : { subject }),
  })
}

/** A broker that proved itself, and what it holds of a lineage. */
export interface Holder { readonly client: BrokerClient; readonly broker: KnownBroker; readonly standing: Standing & { readonly body: JsonObject } }
/** `need` of the brokers open it together; all of them, unless fewer are named. */
export interface Deposit { readonly asset: string; readonly digest: Hash; readonly identity: string; readonly need?: number }

/**
 * Hand an asset's key to brokers that proved themselves: to one broker whole, to several a share each. It becomes the
 * current version while that has no key at any of them, else the next one. What leaves is sealed to each broker's attested
 * key. Leaves with `charter.superseded` when the brokers do not hold one and the same charter.
 */
export async function depositKey(holders: readonly Holder[], signer: Signer, deposit: Deposit): Promise<JsonObject[]> {
  const [{ standing: { lineage, charter, digest: newest } } = refuse('cli.usage', 'brokers', 'at least one', 'none')] = holders
  const { asset, digest } = deposit
  const owner = charter.assets[asset]?.owner ?? refuse('asset.unknown', `assets.${asset}`, Object.keys(charter.assets).join(', '), asset)
  for (const { client, standing } of holders) if (standing.digest !== newest) refuse('charter.superseded', client.url, newest, standing.digest, 'bring every broker to the newest charter')
  const put = ({ client, broker }: Holder, about: DepositAbout, text: string) => {
    const { body, subject } = sealDeposit(p, fromBase64(broker.seal), about, text, nodeRandom)
    const { version, part } = about
    return client.send('/v1/assets', { lineage, asset, version, digest, sealed: body, act: actOn('put', lineage, charter, owner, signer, subject), ...(part === undefined ? {} : { part }) })
  }
  const putAll = (version: number) => {
    const parts = partsOf({ lineage, asset, version, digest }, deposit, holders.length)
    return Promise.all(holders.map((holder, i) => put(holder, ...parts[i] ?? refuse('share.too-few', 'brokers', 'a share each', 'none'))))
  }
  const current = Math.max(...holders.map(({ standing }) => keyVersion(standing.body, asset)))
  try {
    return await putAll(current)
  } catch (error) {
    if (error instanceof Refused && error.refusal.code === 'asset.key-missing') return putAll(current + 1)
    throw error
  }
}

function partsOf(about: KeyAbout, { identity, need }: Deposit, of: number): [about: DepositAbout, text: string][] {
  if (of === 1) return [[about, identity]]
  const { split, shares } = splitKey(p, about, identity, { need: need ?? of, of }, nodeRandom)
  return shares.map((text, i) => [{ ...about, part: { index: i + 1, split } }, text])
}

/** The current version of an asset's key, as the broker tells it. */
export function keyVersion(body: JsonObject, asset: string): number {
  const versions = body['versions']
  const entry = isObject(versions) ? versions[asset] : undefined
  const version = isObject(entry) ? entry['version'] : undefined
  return typeof version === 'number' ? version : 1
}

function readCharter(value: unknown): Charter {
  return orRefuse(attempt(() => charterOf(toJson(value))))
}

const toJson = (value: unknown): Json => parseJson(JSON.stringify(value) ?? 'null')
const listOf = (value: unknown, at: string): readonly unknown[] => (Array.isArray(value) ? value : refuse('broker.request', at, 'a list', typeof value))
