/**
 * Bundles of the real Rekor v2, as sigstore-conformance publishes them (`test/assets/bundle-verify/rekor2-*`, Apache-2.0),
 * judged by our code alone: is the log id ours to compute, does the checkpoint carry the log's signature, is the entry in
 * its tree, does our face write the same body, byte for byte, from what the bundle holds, and does the signature hold.
 * Certificates' chains and timestamps are not this verifier's question; what a case asks about them is not judged.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { isObject, parseJson, parseJsonObject, shown, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { spkiToKey } from '@cloister/core/crypto/keys'
import type { HashName } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { logKey } from '@cloister/core/log/note'
import { flatPolicy } from '@cloister/core/log/policy'
import { formatProof, verifyProof } from '@cloister/core/log/proof'
import { paeBytes } from '@cloister/core/receipt/receipt'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { rekorLogId } from '../../cloud/ledger/rekor.ts'
import { readRekorRequest } from '../../cloud/ledger/rekor-entry.ts'

export interface Published { readonly id: string; readonly verdict: string; readonly passed: boolean }

/** One line a folder `rekor2-*`: a name that ends with `_fail` must be refused, any other accepted. */
export function judgePublished(folder: string): Published[] {
  const names = readdirSync(folder).filter(name => name.startsWith('rekor2-') && !name.includes('timestamp') && existsSync(join(folder, name, 'trusted_root.json')))
  return names.sort().map(id => {
    const read = (file: string) => readFileSync(join(folder, id, file))
    const verdict = judgeBundle(read('bundle.sigstore.json'), read('trusted_root.json'))
    return { id, verdict: verdict.ok ? 'accept' : verdict.refusal.code, passed: verdict.ok !== id.endsWith('_fail') }
  })
}

/** Refuses `log.*`, `crypto.*`, or `log.request` where bundle and body say different things. */
export function judgeBundle(bundleJson: Uint8Array, trustedRoot: Uint8Array): Result<void> {
  return attempt(() => {
    const bundle = parseJsonObject(bundleJson)
    const entry = at(bundle, 'verificationMaterial', 'tlogEntries', 0)
    const body = fromBase64(text(entry, 'canonicalizedBody'))
    const envelope = text(entry, 'inclusionProof', 'checkpoint', 'envelope')
    const { origin } = orRefuse(parseCheckpoint(envelope))
    const policy = flatPolicy([logKey(p, origin, keyOf(parseJsonObject(trustedRoot), text(entry, 'logId', 'keyId'))).vkey], [], 0)
    const id = toBase64(rekorLogId(p, policy))
    if (id !== text(entry, 'logId', 'keyId')) refuse('log.origin', 'logId', id, text(entry, 'logId', 'keyId'))
    const hashes = at(entry, 'inclusionProof', 'hashes')
    const path = (Array.isArray(hashes) ? hashes : []).map((_, i) => fromBase64(text(hashes, i)))
    orRefuse(verifyProof(p, body, formatProof({ index: Number(text(entry, 'inclusionProof', 'logIndex')), path, checkpoint: envelope }), policy))
    const written = orRefuse(readRekorRequest(p, utf8(JSON.stringify(requestOf(bundle, parseJson(body))))))
    if (!equal(written.body, body)) refuse('log.request', 'canonicalizedBody', 'the body of what the bundle holds', 'another one')
  })
}

/** The request that leads to this entry: what was signed from the bundle, who signed from the body. */
function requestOf(bundle: JsonObject, body: Json): object {
  const hashed = (digest: string, content: string) => ({ hashedRekordRequestV002: { digest, signature: { content, verifier: at(body, 'spec', 'hashedRekordV002', 'signature', 'verifier') } } })
  if (!('dsseEnvelope' in bundle)) return hashed(text(bundle, 'messageSignature', 'messageDigest', 'digest'), text(bundle, 'messageSignature', 'signature'))
  const envelope = at(bundle, 'dsseEnvelope')
  if (at(body, 'kind') === 'dsse') return { dsseRequestV002: { envelope, verifiers: [at(body, 'spec', 'dsseV002', 'signatures', 0, 'verifier')] } }
  const hash = HASHES[text(body, 'spec', 'hashedRekordV002', 'data', 'algorithm')] ?? refuse('crypto.algorithm', 'data.algorithm', Object.keys(HASHES).join(', '), 'another')
  return hashed(toBase64(p.hash(hash, paeBytes(fromBase64(text(envelope, 'payload')), text(envelope, 'payloadType')))), text(envelope, 'signatures', 0, 'sig'))
}
const HASHES: Record<string, HashName> = { SHA2_256: 'sha256', SHA2_384: 'sha384', SHA2_512: 'sha512' }

function keyOf(root: JsonObject, keyId: string): ReturnType<typeof spkiToKey> {
  const logs = at(root, 'tlogs')
  const log = (Array.isArray(logs) ? logs : []).find(one => at(one, 'logId', 'keyId') === keyId) ?? refuse('log.origin', 'logId', 'a log of the trusted root', keyId)
  return spkiToKey(fromBase64(text(log, 'publicKey', 'rawBytes')))
}

/** The value at a path; missing ones refuse with `log.request`. */
function at(value: Json | undefined, ...path: readonly (string | number)[]): Json {
  const found = path.reduce<Json | undefined>((inner, key) => (typeof key === 'number' ? (Array.isArray(inner) ? (inner as readonly Json[])[key] : undefined) : isObject(inner) ? inner[key] : undefined), value) // isArray forgets of what
  return found ?? refuse('log.request', path.join('.'), 'a value', 'nothing')
}

function text(value: Json, ...path: readonly (string | number)[]): string {
  const found = at(value, ...path)
  return typeof found === 'string' ? found : refuse('log.request', path.join('.'), 'a text', shown(found))
}
