/**
 * The two documents of the locked loop, as statements in receipts (`core/receipt`), so that each is an ordinary leaf of the
 * log: a node's `reported` (who it is, what it runs, in which state) and the orchestrator's `configured` (what this node may
 * run next, in which state and time). Each carries the other's digest. A document is named by the SHA-256 of its statement,
 * which is canonical (RFC 8785): a second signature over one statement is no second document.
 * Trusts the port; who may sign what is for `chain.ts`.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, framed } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { jcs } from '../bytes/jcs.ts'
import { isObject, kindOf, parseJson, shown, type Json, type JsonObject } from '../bytes/json.ts'
import { fromUtf8, utf8 } from '../bytes/text.ts'
import { parsePolicyFile, type PolicyFile } from '../appraisal/policy.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Hash } from '../charter/types.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import type { Evidence } from '../evidence/claims.ts'
import { encodeReceipt, parseReceipt, verifyReceiptSignature, type Receipt } from '../receipt/receipt.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'

/** What a node says of itself. Bytes are base64 where binary; times are seconds since 1970. */
export interface Report {
  /** The key that signs this node's reports: the node is this key. */
  readonly node: string
  /** 0 for the first, then one more for every report that the node makes, delivered or not. */
  readonly sequence: number
  /** A challenge of the orchestrator, or the digest of the configuration in force in the first report under it. */
  readonly nonce: string
  /** The report made before this one; absent in the first. */
  readonly previous?: Hash
  /** The configuration in force; absent before the first. */
  readonly configuration?: Hash
  /** What the loop's measuring register holds, hex, where the machine has one. */
  readonly register?: string
  /** The X-Wing key (1216 bytes, base64) to which the next configuration is to be sealed: a new one for every report. */
  readonly seal: string
  /** The state beside this report (`state.ts`), by its exact bytes. */
  readonly state: { readonly mediaType: string; readonly digest: Hash }
  readonly time: number
}

/** What claims and state must satisfy: the policy of an appraisal, and values by the name of a fact of the state. */
export interface Requirement { readonly appraisal: PolicyFile; readonly facts?: Readonly<Record<string, readonly string[]>> }

/** Everything about a configuration but the sealed part, which is bound to all of this. */
export interface ConfigurationHead {
  readonly node: string
  /** The accepted report's sequence and one. */
  readonly sequence: number
  /** The report that this answers. */
  readonly accepts: Hash
  /** The configuration issued before this one, opened or not; absent in the first. */
  readonly previous?: Hash
  /** The evidence that was judged, and the chip or attestation key it named. */
  readonly evidence: Hash
  readonly chip: string
  /** In which state it opens. */
  readonly requires: Requirement
  readonly validFrom: number
  readonly validUntil: number
  readonly time: number
  /** The charter whose party signs, where one governs. */
  readonly charter?: Hash
}
export interface Configuration extends ConfigurationHead { readonly sealed: { readonly enc: string; readonly ciphertext: string } }

/** A document whose signature held. */
export interface Signed<T> { readonly body: T; readonly digest: Hash; readonly key: string; readonly envelope: string }

export const LOOP_LIMITS = {
  /** Of what is sealed, before sealing: the envelope is an entry of the log and has at most 65,535 bytes. */
  payloadBytes: 24 * 1024, stateBytes: 1 << 20, facts: 10_000, textCharacters: 4096, backlog: 16, leaves: 1 << 14, sequence: 2 ** 40,
} as const
const SEAL_BYTES = 1216
const HASH = /^sha256:[0-9a-f]{64}$/

export function encodeReport(signer: Signer, report: Report): string {
  const { state, ...predicate } = report
  return encodeReceipt(signer, 'reported', [{ name: state.mediaType, digest: { sha256: state.digest.slice('sha256:'.length) } }], predicate)
}

export function encodeConfiguration(p: Primitives, signer: Signer, configuration: Configuration): string {
  return encodeReceipt(signer, 'configured', [{ name: SEALED, digest: { sha256: toHex(p.hash('sha256', fromBase64(configuration.sealed.ciphertext))) } }], configuration)
}
const SEALED = 'sealed'

/**
 * A report, signed by the node it names. Refuses `loop.document`, `loop.node` (another node than expected), `receipt.*`, `json.*`.
 *
 * @example
 * parseReport(p, '{}', 'p256:04…') // → { ok: false, refusal: { code: 'receipt.type', … } }
 */
export function parseReport(p: Primitives, envelope: string, node: string): Result<Signed<Report>> {
  return attempt(() => {
    const receipt = statement(envelope, 'reported')
    const [subject] = receipt.subject
    const from = receipt.predicate
    only(from, ['node', 'sequence', 'nonce', 'previous', 'configuration', 'register', 'seal', 'time'], 'report')
    if (subject === undefined || receipt.subject.length !== 1 || subject.name === '' || subject.name.length > 128) return refuse('loop.document', 'report.subject', 'the state, under its media type', `${receipt.subject.length} subjects`)
    const body: Report = {
      node: text(from, 'node', 'report'), sequence: count(from, 'sequence', 'report', LOOP_LIMITS.sequence), nonce: text(from, 'nonce', 'report'), seal: sealKey(from), state: { mediaType: subject.name, digest: `sha256:${subject.digest.sha256}` }, time: count(from, 'time', 'report'),
      ...optional(from, 'previous', 'report', hash), ...optional(from, 'configuration', 'report', hash), ...optional(from, 'register', 'report', hex),
    }
    if (body.node !== node) refuse('loop.node', 'report.node', node, body.node)
    if ((body.sequence === 0) !== (body.previous === undefined)) refuse('loop.document', 'report.previous', 'the report before, in every report but the first', body.previous ?? 'none')
    return signed(p, envelope, receipt, node, body)
  })
}

/**
 * A configuration, signed by one of these keys. Refuses `loop.document`, `receipt.*`, `json.*`, `appraisal.policy`; whom it
 * is for is judged by its place in the loop.
 */
export function parseConfiguration(p: Primitives, envelope: string, keys: readonly string[]): Result<Signed<Configuration>> {
  return attempt(() => {
    const receipt = statement(envelope, 'configured')
    const from = receipt.predicate
    const at = 'configuration'
    only(from, ['node', 'sequence', 'accepts', 'previous', 'evidence', 'chip', 'requires', 'validFrom', 'validUntil', 'time', 'charter', 'sealed'], at)
    const sealed = object(from, 'sealed', at)
    only(sealed, ['enc', 'ciphertext'], `${at}.sealed`)
    const body: Configuration = {
      node: text(from, 'node', at), sequence: count(from, 'sequence', at, LOOP_LIMITS.sequence), accepts: hash(from, 'accepts', at), evidence: hash(from, 'evidence', at), chip: text(from, 'chip', at), requires: requirement(object(from, 'requires', at)),
      validFrom: count(from, 'validFrom', at), validUntil: count(from, 'validUntil', at), time: count(from, 'time', at), sealed: { enc: base64(sealed, 'enc'), ciphertext: base64(sealed, 'ciphertext') },
      ...optional(from, 'previous', at, hash), ...optional(from, 'charter', at, hash),
    }
    if (body.validFrom > body.validUntil) refuse('loop.document', `${at}.validUntil`, `at least ${body.validFrom}`, String(body.validUntil))
    const digest = toHex(p.hash('sha256', fromBase64(body.sealed.ciphertext)))
    if (receipt.subject.length !== 1 || receipt.subject[0]?.name !== SEALED || receipt.subject[0].digest.sha256 !== digest) refuse('loop.document', `${at}.subject`, `the sealed part, ${digest}`, receipt.subject[0]?.digest.sha256 ?? 'none')
    const key = keys.find(one => one === receipt.key) ?? refuse('receipt.key', 'envelope.signatures', keys.join(', ') || 'a key of the orchestrator', receipt.key)
    return signed(p, envelope, receipt, key, body)
  })
}

/** A requirement as it stands in a configuration or a file. Leaves with `loop.document` or `appraisal.policy`. */
export function requirement(from: JsonObject): Requirement {
  only(from, ['appraisal', 'facts'], 'requires')
  const appraisal = object(from, 'appraisal', 'requires')
  // The policy stays as it was written: a default filled in here would change what was signed.
  const { reportData, ...policy } = orRefuse(parsePolicyFile(jcs(appraisal)))
  if (reportData !== undefined) refuse('loop.document', 'requires.appraisal.reportData', 'no report data: the loop binds it', reportData)
  if (from['facts'] === undefined) return { appraisal: policy }
  const facts = object(from, 'facts', 'requires')
  for (const [name, values] of Object.entries(facts)) {
    if (!Array.isArray(values) || values.length === 0 || !values.every(one => typeof one === 'string' && one.length <= LOOP_LIMITS.textCharacters)) refuse('loop.document', `requires.facts.${name}`, 'a list of texts', kindOf(values))
  }
  // Every value has just been found to be a list of texts.
  return { appraisal: policy, facts: facts as Record<string, readonly string[]> }
}

/** What evidence about a report must be bound to, as each kind carries it: 32 bytes, behind which the larger fields hold zeros. */
export function reportBinding(p: Primitives, kind: Evidence['kind'], report: Hash): Uint8Array {
  return binding(p, kind, 'cloister/loop-report/1', report)
}

/** What evidence of a node that is about to open a configuration must be bound to. */
export function openingBinding(p: Primitives, kind: Evidence['kind'], configuration: Hash): Uint8Array {
  return binding(p, kind, 'cloister/loop-opening/1', configuration)
}

function binding(p: Primitives, kind: Evidence['kind'], label: string, digest: Hash): Uint8Array {
  const bytes = p.hash('sha256', framed(label, utf8(digest)))
  return kind === 'tpm' || kind === 'azure' ? bytes : concat(bytes, new Uint8Array(32))
}

/** The context of sealing: whatever a configuration says, it opens only as part of it. */
export function sealingContext(head: ConfigurationHead): Uint8Array {
  return framed('cloister/loop-configuration/1', utf8(jcs(head)))
}

/** A register extended with a document's digest, as a TPM does with a PCR of the SHA-256 bank. */
export function extended(p: Primitives, register: Uint8Array, digest: Hash): Uint8Array {
  return p.hash('sha256', concat(register, measured(p, digest)))
}

/** What is measured for a document: 32 bytes. */
export const measured = (p: Primitives, digest: Hash): Uint8Array => p.hash('sha256', framed('cloister/loop-measured/1', utf8(digest)))

function statement(envelope: string, verb: string): Receipt {
  const receipt = orRefuse(parseReceipt(envelope))
  if (receipt.verb !== verb) refuse('receipt.type', 'statement.predicateType', verb, receipt.verb)
  const canonical = jcs(parseJson(receipt.payload))
  if (canonical !== fromUtf8(receipt.payload)) refuse('loop.document', 'envelope.payload', 'the canonical form of its statement', 'another form')
  return receipt
}

function signed<T>(p: Primitives, envelope: string, receipt: Receipt, key: string, body: T): Signed<T> {
  orRefuse(verifyReceiptSignature(p, receipt, key))
  return { body, digest: hashOf(p, receipt.payload), key, envelope }
}

type Read<T> = (from: JsonObject, key: string, at: string) => T

function optional<K extends string, T>(from: JsonObject, key: K, at: string, read: Read<T>): { readonly [key in K]?: T } {
  // One key, of the type that its reader gives.
  return from[key] === undefined ? {} : { [key]: read(from, key, at) } as { readonly [key in K]?: T }
}

function only(from: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(from)) if (!keys.includes(key)) refuse('loop.document', `${at}.${key.slice(0, 80)}`, keys.join(', '), 'an unknown field')
}

const object: Read<JsonObject> = (from, key, at) => {
  const value = from[key]
  return isObject(value) ? value : refuse('loop.document', `${at}.${key}`, 'an object', kindOf(value))
}
const text: Read<string> = (from, key, at) => {
  const value = from[key]
  return typeof value === 'string' && value.length <= LOOP_LIMITS.textCharacters ? value : refuse('loop.document', `${at}.${key}`, `a text of at most ${LOOP_LIMITS.textCharacters} characters`, kindOf(value))
}
const matching = (from: JsonObject, key: string, at: string, form: RegExp): string => {
  const value = text(from, key, at)
  return form.test(value) ? value : refuse('loop.document', `${at}.${key}`, String(form), value)
}
const hash: Read<Hash> = (from, key, at) => matching(from, key, at, HASH) as Hash // the pattern is the type
const hex: Read<string> = (from, key, at) => matching(from, key, at, /^[0-9a-f]{64}$/)
const base64 = (from: JsonObject, key: string): string => {
  const value = from[key]
  return typeof value === 'string' ? toBase64(fromBase64(value, `configuration.sealed.${key}`)) : refuse('loop.document', `configuration.sealed.${key}`, 'base64', kindOf(value))
}

function sealKey(from: JsonObject): string {
  const key = text(from, 'seal', 'report')
  const { length } = fromBase64(key, 'report.seal')
  return length === SEAL_BYTES ? key : refuse('loop.document', 'report.seal', `an X-Wing key of ${SEAL_BYTES} bytes`, `${length} bytes`)
}

function count(from: JsonObject, key: string, at: string, max: number = Number.MAX_SAFE_INTEGER): number {
  const value: Json | undefined = from[key]
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : refuse('loop.document', `${at}.${key}`, `a whole number up to ${max}`, shown(value))
}
