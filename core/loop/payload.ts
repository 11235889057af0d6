/**
 * What a configuration brings: units that are to run, and files below /etc, as a confext would carry them. A larger image is
 * named by its digest in a file. Sealed to one node, so names and contents are nobody else's business. Trusts nothing.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { jcs } from '../bytes/jcs.ts'
import { isObject, kindOf, parseJsonObject, type Json, type JsonObject } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { LOOP_LIMITS } from './documents.ts'

export interface Payload {
  /** Units to be upheld, by their full names. */
  readonly services: readonly string[]
  /** Absolute paths below /etc, without `.` and `..`. */
  readonly files: readonly { readonly path: string; readonly content: Uint8Array; readonly mode?: number }[]
}

const SERVICES_MAX = 256
const FILES_MAX = 256
const UNIT = /^[A-Za-z0-9:_.\\@-]{1,200}\.(service|socket|timer|target|path|mount)$/
const PATH = /^\/etc(\/[A-Za-z0-9_@:+-][A-Za-z0-9._@:+-]{0,127}){1,16}$/

/** Leaves with `bytes.too-large`, or with what `parsePayload` refuses: what cannot be opened is not sealed. */
export function encodePayload(payload: Payload): Uint8Array {
  const bytes = utf8(jcs({ services: payload.services, files: payload.files.map(({ content, ...file }) => ({ ...file, content: toBase64(content) })) }))
  if (bytes.length > LOOP_LIMITS.payloadBytes) refuse('bytes.too-large', 'payload', `at most ${LOOP_LIMITS.payloadBytes} bytes`, `${bytes.length} bytes`, 'name the image by its digest, and let the node fetch it')
  read(bytes)
  return bytes
}

/**
 * Refuses `loop.document`, `json.*`, `bytes.*`.
 *
 * @example
 * parsePayload(utf8('{"files":[],"services":["web.service"]}')) // → { ok: true, value: { services: ['web.service'], files: [] } }
 */
export function parsePayload(bytes: Uint8Array): Result<Payload> {
  return attempt(() => read(bytes))
}

function read(bytes: Uint8Array): Payload {
  const json = parseJsonObject(bytes)
  only(json, ['services', 'files'], 'payload')
  const services = list(json, 'services', SERVICES_MAX).map((one, i) => matching(one, UNIT, `payload.services[${i}]`))
  const files = list(json, 'files', FILES_MAX).map((one, i) => fileOf(one, `payload.files[${i}]`))
  if (new Set(files.map(one => one.path)).size !== files.length) refuse('loop.document', 'payload.files', 'each path once', 'a path twice')
  return { services, files }
}

function fileOf(value: Json, at: string): Payload['files'][number] {
  if (!isObject(value)) return refuse('loop.document', at, 'an object', kindOf(value))
  only(value, ['path', 'content', 'mode'], at)
  const { content, mode } = value
  if (typeof content !== 'string') return refuse('loop.document', `${at}.content`, 'base64', kindOf(content))
  const file = { path: matching(value['path'], PATH, `${at}.path`), content: fromBase64(content, `${at}.content`) }
  if (mode === undefined) return file
  return typeof mode === 'number' && Number.isInteger(mode) && mode >= 0 && mode <= 0o777 ? { ...file, mode } : refuse('loop.document', `${at}.mode`, '0 to 511', kindOf(mode))
}

function list(from: JsonObject, key: string, max: number): readonly Json[] {
  const value = from[key]
  return Array.isArray(value) && value.length <= max ? value : refuse('loop.document', `payload.${key}`, `a list of at most ${max}`, kindOf(value))
}

function only(from: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(from)) if (!keys.includes(key)) refuse('loop.document', `${at}.${key.slice(0, 80)}`, keys.join(', '), 'an unknown field')
}

const matching = (value: Json | undefined, form: RegExp, at: string): string => (typeof value === 'string' && form.test(value) ? value : refuse('loop.document', at, String(form), typeof value === 'string' ? value : kindOf(value)))
