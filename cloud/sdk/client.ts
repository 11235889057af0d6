/**
 * The broker as a party or a guest's launcher reaches it: JSON over HTTP, refusals as values. Attestation and sealing
 * happen above the transport, so this client trusts neither the network nor the server that answers.
 */
import { refuse, type Refusal } from '@cloister/core/refusal'

export interface Reply { readonly status: number; readonly body: unknown }

export interface BrokerClient {
  readonly url: string
  get(path: string): Promise<Reply>
  post(path: string, body: unknown): Promise<Reply>
  /** Like `get` and `post`, but leaves with the broker's refusal when it is one. */
  read(path: string): Promise<JsonObject>
  send(path: string, body: unknown): Promise<JsonObject>
}

export type JsonObject = { readonly [key: string]: unknown }

const ANSWER_BYTES_MAX = 64 * 1024 * 1024
const TIMEOUT_MS = 30_000

export function connectBroker(url: string): BrokerClient {
  const call = async (path: string, init: RequestInit): Promise<Reply> => {
    const response = await fetch(new URL(path, url), { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
      .catch((error: unknown) => refuse('provider.host', url, 'a broker that answers', error instanceof Error ? error.message : 'no answer', 'cloister up'))
    const text = await response.text()
    if (text.length > ANSWER_BYTES_MAX) refuse('broker.request', path, `an answer of at most ${ANSWER_BYTES_MAX} bytes`, `${text.length}`)
    return { status: response.status, body: parse(text) }
  }
  const get = (path: string) => call(path, {})
  const post = (path: string, body: unknown) => call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return {
    url, get, post,
    read: async path => accepted(path, await get(path)),
    send: async (path, body) => accepted(path, await post(path, body)),
  }
}

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

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
