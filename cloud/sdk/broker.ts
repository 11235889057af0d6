/**
 * A broker as its users meet it: who it is (evidence, checked), what it holds (the newest charter of a lineage), and the
 * acts of a party. Keys of assets are sealed to the key that the broker's evidence names, never to what the network says.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { equal } from '@cloister/core/bytes/bytes'
import { parseJson, type Json } from '@cloister/core/bytes/json'
import { charterDigest } from '@cloister/core/charter/canonical'
import { signAct, type Act, type Verb } from '@cloister/core/charter/acts'
import { charterOf } from '@cloister/core/charter/parse'
import type { Charter, Hash } from '@cloister/core/charter/types'
import type { Signer } from '@cloister/core/crypto/primitives'
import type { Claims, Evidence } from '@cloister/core/evidence/claims'
import { parseEvidence, verifyEvidence } from '@cloister/core/evidence/index'
import { attempt, orRefuse, Refused, refuse } from '@cloister/core/refusal'
import { helloData } from '@cloister/core/seal/binding'
import { sealDeposit } from '../broker/deposit.ts'
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

/** All charters of a lineage, first to newest; their chain is for the verifier to check. */
export async function allCharters(client: BrokerClient, lineage: Hash): Promise<Charter[]> {
  const { charters } = await client.read(`/v1/charters/${lineage}/epochs`)
  return Array.isArray(charters) ? charters.map(readCharter) : refuse('broker.request', 'charters', 'a list', 'another value')
}

/** Epoch 1 with the approvals of its parties. */
export async function foundCharter(client: BrokerClient, charter: Charter, signers: ReadonlyMap<string, Signer>): Promise<JsonObject> {
  const digest = charterDigest(p, charter)
  const acts = [...signers].map(([party, signer]) => signAct(signer, { verb: 'approve', lineage: digest, digest, epoch: 1, party }))
  return client.send('/v1/charters', { charter, acts })
}

/** An act about a proposed charter (propose, approve, veto, enact). */
export function actOn(verb: Verb, lineage: Hash, charter: Charter, party: string, signer: Signer, subject?: string): Act {
  return signAct(signer, {
    verb, lineage, digest: charterDigest(p, charter), epoch: charter.epoch, party,
    ...(charter.prev === undefined ? {} : { prev: charter.prev }), ...(subject === undefined ? {} : { subject }),
  })
}

export interface Deposit { readonly asset: string; readonly digest: Hash; readonly identity: string }

/**
 * Hand an asset's key to a broker that proved itself: as the current version while that has no key, else as the next one.
 * The identity leaves sealed to the broker's attested key.
 */
export async function depositKey(client: BrokerClient, broker: KnownBroker, standing: Standing & { readonly body: JsonObject }, signer: Signer, deposit: Deposit): Promise<JsonObject> {
  const { lineage, charter } = standing
  const { asset, digest, identity } = deposit
  const owner = charter.assets[asset]?.owner ?? refuse('asset.unknown', `assets.${asset}`, Object.keys(charter.assets).join(', '), asset)
  const send = (version: number) => {
    const { body, subject } = sealDeposit(p, fromBase64(broker.seal), { lineage, asset, version, digest }, identity, nodeRandom)
    return client.send('/v1/assets', { lineage, asset, version, digest, sealed: body, act: actOn('put', lineage, charter, owner, signer, subject) })
  }
  const current = keyVersion(standing.body, asset)
  try {
    return await send(current)
  } catch (error) {
    if (error instanceof Refused && error.refusal.code === 'asset.key-missing') return send(current + 1)
    throw error
  }
}

/** The current version of an asset's key, as the broker tells it. */
export function keyVersion(body: JsonObject, asset: string): number {
  const versions = body['versions']
  const entry = isObject(versions) ? versions[asset] : undefined
  const version = isObject(entry) ? entry['version'] : undefined
  return typeof version === 'number' ? version : 1
}

function readCharter(value: unknown): Charter {
  return orRefuse(attempt(() => charterOf(parseJson(JSON.stringify(value) ?? 'null') satisfies Json)))
}
