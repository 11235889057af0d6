/**
 * What a document of another system is read into before anything of it is believed: the CPU's evidence in our form, the
 * devices beside it with how the document binds them, and what must equal what the CPU signed. And readers of its JSON:
 * fields that the form does not have are refused. Trusts nothing.
 */
import { fromBase64Url } from '../../bytes/base64.ts'
import { isObject, kindOf, type Json, type JsonObject } from '../../bytes/json.ts'
import { refuse } from '../../refusal.ts'
import type { Role } from '../bundle/bundle.ts'
import type { SdkDevice } from '../nvidia/set.ts'
import { TEXT_MAX } from '../shape.ts'

export type Form =
  | 'coco-snp' | 'coco-tdx' | 'coco-sgx' | 'coco-az-snp-vtpm' | 'coco-az-tdx-vtpm' | 'coco-tpm' | 'coco-cca' | 'coco-kbs-attest' | 'coco-as-request'
  | 'tinfoil-v2' | 'tinfoil-v3' | 'azure-containers' | 'azure-attest-request' | 'dstack-quote' | 'dstack-model-report' | 'aci-1' | 'nvidia-sdk'

/** `digest`: the CPU signed over the very bytes of the device's evidence. `nonce`: both were asked with one nonce, and anybody could have asked the device. */
export type Bond = 'digest' | 'nonce'

/** Bytes (hex) that a document says were hashed into what the CPU signed: report data, what the host bound at launch, or a register. */
export interface Binding {
  readonly claim: 'reportData' | 'hostData' | 'PCR8'
  readonly expected: string
  readonly of: string
  /** The document only repeats what was signed: it must be the same, and binds nothing else in the document. */
  readonly restated?: boolean
}

export interface DraftDevice {
  readonly role: Role
  /** Evidence of our kinds, not yet read. */
  readonly evidence: JsonObject
  readonly bond: Bond
  /** What it must have signed, hex. */
  readonly nonce: string
  readonly said?: SdkDevice['said']
}

/** A document taken apart. */
export interface Draft {
  readonly form: Form
  /** Evidence of the machine, of our kinds, not yet read: collateral may come from elsewhere. */
  readonly evidence: JsonObject
  readonly said?: SdkDevice['said']
  readonly devices?: readonly DraftDevice[]
  readonly bindings?: readonly Binding[]
  /** dstack's events, and the app's compose file that one of them must be the hash of. */
  readonly log?: Json
  readonly compose?: string
  /** Microsoft's endorsement of the measurement, a COSE_Sign1. */
  readonly uvm?: Uint8Array
  /** What the verifier asked with, as far as the report data binds it, hex. */
  readonly challenge?: string
  /** Keys that the report data binds: name → hex. */
  readonly keys?: Readonly<Record<string, string>>
  /** What the document says and nothing that is judged here proves. */
  readonly unbound?: readonly string[]
}

const DEPTH_MAX = 32

/** Refuses a document of more levels than any form has: some parts of it are hashed in canonical form, whatever is in them. Without recursion. */
export function shallow(json: Json): Json {
  const left = [{ value: json, depth: 0 }]
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    if (one.depth > DEPTH_MAX) refuse('bytes.too-deep', 'document', `at most ${DEPTH_MAX} levels`, 'more')
    for (const value of isObject(one.value) || Array.isArray(one.value) ? Object.values(one.value) : []) if (typeof value === 'object') left.push({ value, depth: one.depth + 1 })
  }
  return json
}

export const has = (json: JsonObject, ...keys: readonly string[]): boolean => keys.every(key => json[key] !== undefined)

/** Refuses members that the form does not have. */
export function only(json: JsonObject, known: readonly string[], at: string): JsonObject {
  for (const key of Object.keys(json)) if (!known.includes(key)) refuse('evidence.parse', `${at}.${key}`, known.join(', '), key)
  return json
}

/** A text that must be there. */
export function text(json: JsonObject, key: string, at: string, max = TEXT_MAX): string {
  const value = json[key]
  if (typeof value !== 'string') return refuse('evidence.parse', `${at}.${key}`, 'a text', kindOf(value))
  return value.length > max ? refuse('bytes.too-large', `${at}.${key}`, `at most ${max} characters`, String(value.length)) : value
}

/** A text, or '' where it is null or absent. */
export const maybe = (json: JsonObject, key: string, at: string): string => (json[key] === undefined || json[key] === null ? '' : text(json, key, at))

/** An object that must be there, with these members and no others. */
export function object(json: JsonObject, key: string, known: readonly string[] | undefined, at: string): JsonObject {
  const value = json[key]
  if (!isObject(value)) return refuse('evidence.parse', `${at}.${key}`, 'an object', kindOf(value))
  return known === undefined ? value : only(value, known, `${at}.${key}`)
}

/** A list of objects, of at most `max`. */
export function objects(json: JsonObject, key: string, max: number, at: string): JsonObject[] {
  const value = json[key]
  if (!Array.isArray(value)) return refuse('evidence.parse', `${at}.${key}`, 'a list', kindOf(value))
  if (value.length > max) return refuse('bytes.too-large', `${at}.${key}`, `at most ${max}`, String(value.length))
  return value.map((one: Json, i) => (isObject(one) ? one : refuse('evidence.parse', `${at}.${key}[${i}]`, 'an object', kindOf(one))))
}

/** Lower-case hex of this many bytes. */
export function hexText(json: JsonObject, key: string, length: number, at: string): string {
  const value = text(json, key, at)
  return value.length === 2 * length && /^[0-9a-f]*$/.test(value) ? value : refuse('evidence.parse', `${at}.${key}`, `${length} bytes in lower-case hex`, value)
}

/** Bytes as serde writes them: a list of numbers, of exactly `length` where it is given. */
export function numbers(value: Json | undefined, at: string, length?: number): Uint8Array {
  if (!Array.isArray(value) || (length !== undefined && value.length !== length)) return refuse('evidence.parse', at, length === undefined ? 'a list of bytes' : `a list of ${length} bytes`, Array.isArray(value) ? `${value.length} bytes` : kindOf(value))
  return Uint8Array.from(value, (byte: Json, i) => uint(byte, 255, `${at}[${i}]`))
}

/** A whole number from 0 to `max`. */
export function uint(value: Json | undefined, max: number, at: string): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : refuse('evidence.parse', at, `a number up to ${max}`, typeof value === 'number' ? String(value) : kindOf(value))
}

/** URL-safe base64 as others write it: padded whole or not at all. */
export function urlBytes(value: string, at: string): Uint8Array {
  const bare = value.replace(/={1,2}$/, '')
  return bare.length === value.length || value.length % 4 === 0 ? fromBase64Url(bare, at) : refuse('bytes.encoding', at, 'base64url, padded whole or not at all', value)
}
