/** Reads a broker's answers: the body of an accepted one, or the refusal that it carries. Trusts nothing: shapes only. */
import { refuse, type Refusal } from '@cloister/core/refusal'

export interface Reply { readonly status: number; readonly body: unknown }
export type JsonObject = { readonly [key: string]: unknown }

/** The body of an accepted answer, or leave with the refusal it carries. */
export function accepted(path: string, reply: Reply): JsonObject {
  if (!isObject(reply.body)) return refuse('broker.request', path, 'a JSON object', `status ${reply.status}`)
  const refusal = reply.body['refusal']
  if (isRefusal(refusal)) return refuse(refusal.code, refusal.at, refusal.expected, refusal.got, refusal.fix)
  if (reply.status !== 200) return refuse('broker.request', path, 'status 200', `status ${reply.status}`)
  return reply.body
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A text field of an answer. */
export function textOf(body: JsonObject, key: string): string {
  const value = body[key]
  return typeof value === 'string' ? value : refuse('broker.request', key, 'a string', typeof value)
}

function isRefusal(value: unknown): value is Refusal {
  return isObject(value) && ['code', 'at', 'expected', 'got'].every(key => typeof value[key] === 'string')
}
