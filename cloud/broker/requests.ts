/**
 * What may be asked of a broker, read strictly: unknown fields, wrong types and anything beyond a limit are refused with
 * `broker.request` (or the reader's own code) before any of it is used. Trusts nothing.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { isObject, kindOf, parseJsonObject, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { parseAct, type Act } from '@cloister/core/charter/acts'
import { canonicalCharter } from '@cloister/core/charter/canonical'
import type { Fact } from '@cloister/core/charter/decide'
import { charterOf } from '@cloister/core/charter/parse'
import type { Charter, Grant, Hash } from '@cloister/core/charter/types'
import { parseKey } from '@cloister/core/crypto/keys'
import { parseEvidence } from '@cloister/core/evidence/index'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { SHARES_MAX } from '@cloister/core/crypto/shamir'
import type { Given } from '@cloister/core/recovery'
import { parseRecovery } from '@cloister/core/seal/recovery'
import { parseSplit, type KeyPart } from '@cloister/core/seal/shares'
import type { ReleaseRequest } from './events.ts'
import type { JoinRequest } from './join.ts'
import type { Backup, RecoverRequest } from './recovery.ts'

/** Every limit on what comes in. */
export const LIMITS = { bodyBytes: 1 << 20, depth: 16, entries: 20_000, assets: 64, facts: 64, acts: 256, receiptBytes: 60_000, epochs: 10_000, entriesLater: 100_000, identityBytes: 8_192 } as const

/** The object in a request's body. */
export function readBody(text: string | Uint8Array, bytesMax: number = LIMITS.bodyBytes): JsonObject {
  const larger = Math.max(1, bytesMax / LIMITS.bodyBytes)
  return parseJsonObject(text, { bytes: bytesMax, depth: LIMITS.depth, entries: LIMITS.entries * larger, string: bytesMax })
}

export interface HelloRequest { readonly nonce: Uint8Array; readonly charter?: Hash; readonly join: boolean; readonly recover: boolean }

export function helloRequest(body: JsonObject): HelloRequest {
  fields(body, ['nonce'], ['charter', 'join', 'recover'])
  const said = (name: string) => { const value = body[name] ?? false; return typeof value === 'boolean' ? value : refuse('broker.request', name, 'true or false', kindOf(value)) }
  return { nonce: bytes(body, 'nonce', 16, 64), join: said('join'), recover: said('recover'), ...(body['charter'] === undefined ? {} : { charter: hash(body, 'charter') }) }
}

/** The parts that a backup's tag covers are checked for form where they are used, after the tag: until then only what the shares need is read. */
export function recoverRequest(body: JsonObject): RecoverRequest {
  fields(body, ['nonce', 'backup', 'given', 'head', 'entries'], [])
  const backup = object(body, 'backup')
  fields(backup, ['backup', 'lineage', 'standing', 'charters', 'enactments', 'deposits', 'spent', 'recovery', 'log', 'tag'], [], 'backup.')
  const charters = list(backup['charters'], 'backup.charters', LIMITS.epochs).map(charterOf)
  return {
    nonce: bytes(body, 'nonce', 32, 32), head: textIn(body, 'head', LIMITS.bodyBytes),
    entries: list(body['entries'], 'entries', LIMITS.entriesLater).map((one, i) => fromBase64(typeof one === 'string' ? one : refuse('broker.request', `entries[${i}]`, 'base64', kindOf(one)), `entries[${i}]`)),
    given: list(body['given'], 'given', SHARES_MAX).map((one, i) => givenOf(one, `given[${i}]`)),
    said: backup,
    // What the old broker wrote, if its tag holds; and `checkBackup` looks at that first.
    backup: { ...backup as unknown as Backup, lineage: hash(backup, 'lineage'), charters, recovery: parseRecovery(backup['recovery'], 'backup.recovery'), tag: textIn(backup, 'tag', 64, 'backup.') },
  }
}

function givenOf(value: Json, at: string): Given {
  if (!isObject(value)) return refuse('broker.request', at, 'a share and its acts', kindOf(value))
  const share = object(value, 'share')
  fields(share, ['party', 'enc', 'ciphertext'], [], `${at}.share.`)
  return { share: { party: name(share, 'party', `${at}.share.`), enc: textIn(share, 'enc', 8192, `${at}.share.`), ciphertext: textIn(share, 'ciphertext', 8192, `${at}.share.`) }, acts: list(value['acts'], `${at}.acts`, LIMITS.acts).map((act, i) => parseAct(act, `${at}.acts[${i}]`)) }
}

function textIn(body: JsonObject, key: string, most: number, at = ''): string {
  const value = body[key]
  return typeof value === 'string' && value.length <= most ? value : refuse('broker.request', `${at}${key}`, `a text of at most ${most} characters`, kindOf(value))
}

export function joinRequest(body: JsonObject): JoinRequest {
  fields(body, ['nonce', 'evidence', 'seal'], [])
  return { nonce: bytes(body, 'nonce', 32, 32), seal: bytes(body, 'seal', X_WING_PUBLIC, X_WING_PUBLIC), evidence: orRefuse(parseEvidence(body['evidence'])) }
}

export function releaseRequest(body: JsonObject): ReleaseRequest {
  fields(body, ['charter', 'epoch', 'program', 'assets', 'nonce', 'evidence', 'guest'], ['facts'])
  const guest = object(body, 'guest')
  fields(guest, ['seal', 'sign'], [], 'guest.')
  const sign = text(guest, 'sign', /^p256:[0-9a-f]{130}$/, 'guest.')
  parseKey(sign, 'guest.sign')
  return {
    charter: hash(body, 'charter'), epoch: integer(body, 'epoch'), program: name(body, 'program'), nonce: bytes(body, 'nonce', 32, 32),
    assets: assetList(body['assets']), evidence: orRefuse(parseEvidence(body['evidence'])), facts: list(body['facts'] ?? [], 'facts', LIMITS.facts).map(fact),
    guest: { seal: bytes(guest, 'seal', X_WING_PUBLIC, X_WING_PUBLIC, 'guest.'), sign },
  }
}

export function foundRequest(body: JsonObject): { charter: Charter; acts: Act[] } {
  fields(body, ['charter', 'acts'])
  return { charter: charter(body), acts: list(body['acts'], 'acts', LIMITS.acts).map((act, i) => parseAct(act, `acts[${i}]`)) }
}

export function proposalRequest(body: JsonObject): { charter: Charter; act: Act } {
  fields(body, ['charter', 'act'])
  return { charter: charter(body), act: parseAct(body['act']) }
}

export function actRequest(body: JsonObject): Act {
  fields(body, ['act'])
  return parseAct(body['act'])
}

export interface PutRequest { readonly lineage: Hash; readonly asset: string; readonly version: number; readonly digest: Hash; readonly enc: Uint8Array; readonly ciphertext: Uint8Array; readonly acts: readonly Act[]; readonly part?: KeyPart }

export function putRequest(body: JsonObject): PutRequest {
  fields(body, ['lineage', 'asset', 'version', 'digest', 'sealed', 'act'], ['acts', 'part'])
  const sealed = object(body, 'sealed')
  fields(sealed, ['enc', 'ciphertext'], [], 'sealed.')
  return {
    lineage: hash(body, 'lineage'), asset: name(body, 'asset'), version: integer(body, 'version'), digest: hash(body, 'digest'),
    enc: bytes(sealed, 'enc', X_WING_ENC, X_WING_ENC, 'sealed.'), ciphertext: bytes(sealed, 'ciphertext', 17, LIMITS.identityBytes, 'sealed.'),
    acts: [body['act'], ...list(body['acts'] ?? [], 'acts', LIMITS.acts)].map((act, i) => parseAct(act, i === 0 ? 'act' : `acts[${i - 1}]`)),
    ...(body['part'] === undefined ? {} : { part: partRequest(object(body, 'part')) }),
  }
}

/** Which share of a split key is deposited. */
function partRequest(part: JsonObject): KeyPart {
  fields(part, ['index', 'split'], [], 'part.')
  return { index: integer(part, 'index', 'part.'), split: parseSplit(part['split'], 'part.split') }
}

export function receiptRequest(body: JsonObject): string {
  fields(body, ['receipt'])
  const envelope = body['receipt']
  if (typeof envelope !== 'string') return wrong('receipt', 'the text of a DSSE envelope', envelope)
  return envelope.length <= LIMITS.receiptBytes ? envelope : refuse('broker.request', 'receipt', `at most ${LIMITS.receiptBytes} characters`, `${envelope.length}`)
}

/** A digest as a path names it. */
export function hashText(value: string, at: string): Hash {
  return HASH.test(value) ? value as Hash : wrong(at, 'sha256: and 64 hexadecimal digits', value) // the pattern is the type
}

const HASH = /^sha256:[0-9a-f]{64}$/
const NAME = /^[a-z][a-z0-9-]{0,31}$/
const X_WING_PUBLIC = 1216
const X_WING_ENC = 1120

/** A charter that is already in its normal form: its digest is the digest of the bytes that were signed. */
function charter(body: JsonObject): Charter {
  const value = charterOf(body['charter'] ?? null)
  canonicalCharter(value)
  return value
}

function assetList(value: Json | undefined): ReleaseRequest['assets'] {
  const assets = list(value, 'assets', LIMITS.assets).map((one, i) => {
    const at = `assets[${i}]`
    if (!isObject(one)) return wrong(at, 'an object', one)
    fields(one, ['asset', 'can'], ['as'], `${at}.`)
    const can = CAN.find(verb => verb === one['can']) ?? wrong(`${at}.can`, CAN.join(', '), one['can'])
    return { asset: name(one, 'asset', `${at}.`), can, ...(one['as'] === undefined ? {} : { as: text(one, 'as', /^.{1,1024}$/su, `${at}.`) }) }
  })
  if (assets.length === 0) refuse('broker.request', 'assets', 'at least one asset', 'none')
  if (new Set(assets.map(one => one.asset)).size !== assets.length) refuse('broker.request', 'assets', 'each asset once', 'one twice')
  return assets
}
const CAN: readonly Grant['can'][] = ['read', 'write', 'use']

function fact(value: Json, i: number): Fact {
  const at = `facts[${i}].`
  if (!isObject(value)) return wrong(at, 'an object', value)
  fields(value, ['party', 'fact', 'key', 'signature'], [], at)
  return { party: name(value, 'party', at), fact: text(value, 'fact', /^[\x20-\x7e]{1,256}$/, at), key: text(value, 'key', /^[a-z0-9-]{1,16}:[0-9a-f]{1,8000}$/, at), signature: text(value, 'signature', /^[A-Za-z0-9+/=]{1,8000}$/, at) }
}

function fields(value: JsonObject, needed: readonly string[], optional: readonly string[] = [], at = ''): void {
  const missing = needed.find(field => value[field] === undefined)
  if (missing !== undefined) refuse('broker.request', `${at}${missing}`, 'a value', 'nothing')
  const unknown = Object.keys(value).find(field => !needed.includes(field) && !optional.includes(field))
  if (unknown !== undefined) refuse('broker.request', `${at}${unknown.slice(0, 80)}`, [...needed, ...optional].join(', '), 'an unknown field')
}

function object(body: JsonObject, field: string): JsonObject {
  const value = body[field]
  return isObject(value) ? value : wrong(field, 'an object', value)
}

function list(value: Json | undefined, at: string, max: number): readonly Json[] {
  if (!Array.isArray(value)) return wrong(at, 'a list', value)
  return value.length <= max ? value : refuse('broker.request', at, `at most ${max}`, `${value.length}`)
}

function text(body: JsonObject, field: string, form: RegExp, at = ''): string {
  const value = body[field]
  return typeof value === 'string' && form.test(value) ? value : wrong(`${at}${field}`, String(form), value)
}

function bytes(body: JsonObject, field: string, least: number, most: number, at = ''): Uint8Array {
  const value = body[field]
  if (typeof value !== 'string') return wrong(`${at}${field}`, 'base64', value)
  const decoded = fromBase64(value, `${at}${field}`)
  return decoded.length >= least && decoded.length <= most ? decoded : wrong(`${at}${field}`, least === most ? `${least} bytes` : `${least} to ${most} bytes`, `${decoded.length} bytes`)
}

function integer(body: JsonObject, field: string, at = ''): number {
  const value = body[field]
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 ? value : wrong(`${at}${field}`, 'a positive integer', value)
}

const hash = (body: JsonObject, field: string) => hashText(text(body, field, HASH), field)
const name = (body: JsonObject, field: string, at = '') => text(body, field, NAME, at)

function wrong(at: string, expected: string, got: Json | undefined): never {
  return refuse('broker.request', at, expected, typeof got === 'string' ? got : kindOf(got))
}
