/**
 * The broker as a party or a guest's launcher reaches it: JSON over HTTP, refusals as values. Attestation and sealing
 * happen above the transport, so this client trusts neither the network nor the server that answers.
 */
import { refuse } from '@cloister/core/refusal'
import { accepted, type JsonObject, type Reply } from '../provider/answers.ts'

export interface BrokerClient {
  readonly url: string
  get(path: string): Promise<Reply>
  post(path: string, body: unknown): Promise<Reply>
  /** Like `get` and `post`, but leaves with the broker's refusal when it is one. */
  read(path: string): Promise<JsonObject>
  send(path: string, body: unknown): Promise<JsonObject>
}

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

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
