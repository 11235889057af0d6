/**
 * Receipts: in-toto Statements v1 in DSSE envelopes (in-toto/attestation v1, secure-systems-lab/dsse v1), signed with the
 * P-256 key of a guest or a broker that evidence is bound to. The envelope's text, as it came, is the entry of the log.
 * Trusts the port; a signature says who stated something, the rest is for `verify.ts`.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { isObject, parseJson, parseJsonObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import { jcs } from '../bytes/jcs.ts'
import { concat } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { algorithmOf, formatKey, parseKey } from '../crypto/keys.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'

export interface Subject { readonly name: string; readonly digest: { readonly sha256: string } }
export interface Receipt {
  readonly verb: string
  readonly subject: readonly Subject[]
  readonly predicate: JsonObject
  /** The key that the signature names; whether it is the right one is for whoever knows which key to expect. */
  readonly key: string
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

const PAYLOAD_TYPE = 'application/vnd.in-toto+json'
const STATEMENT = 'https://in-toto.io/Statement/v1'
const PREDICATE = /^https:\/\/cloister\.dev\/receipt\/([a-z-]{1,32})\/v1$/
const LIMITS = { bytes: 65_535, depth: 24, entries: 20_000, string: 65_535 } // an entry of a tiled log has at most 65,535 bytes
const SUBJECTS_MAX = 256

/**
 * A signed receipt as the text of its envelope.
 *
 * @example
 * encodeReceipt(signer, 'ran', [{ name: 'alpha/rows', digest: { sha256: '00…' } }], { epoch: 1 })
 */
export function encodeReceipt(signer: Signer, verb: string, subject: readonly Subject[], predicate: object): string {
  const payload = utf8(jcs({ _type: STATEMENT, subject, predicateType: `https://cloister.dev/receipt/${verb}/v1`, predicate }))
  const signature = signer.sign(paeBytes(payload))
  return jcs({ payload: toBase64(payload), payloadType: PAYLOAD_TYPE, signatures: [{ keyid: formatKey(signer.publicKey), sig: toBase64(signature) }] })
}

/** A receipt, read but not yet believed. Refuses `receipt.parse`, `receipt.type`, `json.*`. */
export function parseReceipt(envelope: string): Result<Receipt> {
  return attempt(() => {
    const outer = parseJsonObject(envelope, LIMITS)
    only(outer, ['payload', 'payloadType', 'signatures'], 'envelope')
    if (outer['payloadType'] !== PAYLOAD_TYPE) refuse('receipt.type', 'envelope.payloadType', PAYLOAD_TYPE, shown(outer['payloadType']))
    const { key, signature } = readSignature(outer['signatures'])
    const payload = fromBase64(text(outer, 'payload', 'envelope'), 'envelope.payload')
    const statement = parseJson(payload, LIMITS)
    if (!isObject(statement)) return refuse('receipt.parse', 'statement', 'an object', 'another value')
    only(statement, ['_type', 'subject', 'predicateType', 'predicate'], 'statement')
    if (statement['_type'] !== STATEMENT) refuse('receipt.type', 'statement._type', STATEMENT, shown(statement['_type']))
    const [, verb] = PREDICATE.exec(text(statement, 'predicateType', 'statement')) ?? refuse('receipt.type', 'statement.predicateType', 'https://cloister.dev/receipt/<verb>/v1', shown(statement['predicateType']))
    const predicate = statement['predicate']
    if (!isObject(predicate)) return refuse('receipt.parse', 'statement.predicate', 'an object', 'another value')
    return { verb: verb ?? '', subject: readSubjects(statement['subject']), predicate, key, payload, signature }
  })
}

/** Was the receipt signed by this key? Refuses `receipt.key` or `receipt.signature`. */
export function verifyReceiptSignature(p: Primitives, receipt: Receipt, key: string): Result<void> {
  return attempt(() => {
    if (receipt.key !== key) refuse('receipt.key', 'envelope.signatures', key, receipt.key)
    const publicKey = parseKey(key, 'receipt.key')
    if (!p.verify(algorithmOf(publicKey), publicKey, paeBytes(receipt.payload), receipt.signature)) refuse('receipt.signature', 'envelope.signatures', 'a signature over this statement', 'one that does not hold')
  })
}

/** DSSE's pre-authentication encoding: type and payload behind their lengths. */
export function paeBytes(payload: Uint8Array, type = PAYLOAD_TYPE): Uint8Array {
  return concat(utf8(`DSSEv1 ${utf8(type).length} ${type} ${payload.length} `), payload)
}

function readSignature(value: Json | undefined): { key: string; signature: Uint8Array } {
  const [one, more] = Array.isArray(value) ? value : []
  if (!isObject(one) || more !== undefined) return refuse('receipt.parse', 'envelope.signatures', 'one signature', 'another number')
  only(one, ['keyid', 'sig'], 'envelope.signatures[0]')
  return { key: text(one, 'keyid', 'envelope.signatures[0]'), signature: fromBase64(text(one, 'sig', 'envelope.signatures[0]'), 'envelope.signatures[0].sig') }
}

function readSubjects(value: Json | undefined): Subject[] {
  if (!Array.isArray(value) || value.length > SUBJECTS_MAX) return refuse('receipt.parse', 'statement.subject', `a list of at most ${SUBJECTS_MAX}`, 'another value')
  return value.map((one, i) => {
    const at = `statement.subject[${i}]`
    if (!isObject(one) || !isObject(one['digest'])) return refuse('receipt.parse', at, 'name and digest', 'another value')
    const sha256 = text(one['digest'], 'sha256', at)
    return /^[0-9a-f]{64}$/.test(sha256) ? { name: text(one, 'name', at), digest: { sha256 } } : refuse('receipt.parse', `${at}.digest`, '64 hexadecimal digits', sha256)
  })
}

function only(value: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(value)) if (!keys.includes(key)) refuse('receipt.parse', `${at}.${key}`, keys.join(', '), key)
}

function text(from: JsonObject, key: string, at: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : refuse('receipt.parse', `${at}.${key}`, 'a text', typeof value)
}
