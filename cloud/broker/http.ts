/**
 * The broker's native face: JSON over HTTP (key-release.md section 17). Refusals are bodies `{ refusal }`: 400 for what
 * cannot be read, 403 for what is not allowed, 503 when store or log cannot serve now. What is said here is public,
 * signed or sealed, so the transport is trusted with nothing; it listens on the loopback unless it is told otherwise.
 */
import { serve } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import type { Server } from 'node:http'
import type { JsonObject } from '@cloister/core/bytes/json'
import { attempt, attemptAsync, refusalOf, refuse, type Refusal, type Result } from '@cloister/core/refusal'
import type { Answer, Broker } from './broker.ts'
import { hashText, LIMITS, readBody } from './requests.ts'

/** The app alone, for tests and for servers of one's own. */
export function brokerApp(broker: Broker): Hono {
  const app = new Hono()
  const post = (path: string, ask: (body: JsonObject) => Answer) => app.post(path, async context => {
    const body = await readRequest(context)
    return answer(context, body.ok ? await ask(body.value) : body)
  })
  post('/v1/hello', body => broker.hello(body))
  post('/v1/release', body => broker.release(body))
  post('/v1/join', body => broker.join(body))
  post('/v1/why', body => broker.why(body))
  post('/v1/receipt', body => broker.receipt(body))
  post('/v1/charters', body => broker.found(body))
  post('/v1/proposals', body => broker.propose(body))
  post('/v1/acts', body => broker.act(body))
  post('/v1/assets', body => broker.deposit(body))
  const get = (path: string, ask: (lineage: ReturnType<typeof hashText>) => Answer) => app.get(path, async context => {
    const lineage = attempt(() => hashText(context.req.param('lineage') ?? '', 'lineage'))
    return answer(context, lineage.ok ? await ask(lineage.value) : lineage)
  })
  get('/v1/charters/:lineage', lineage => broker.charter(lineage))
  get('/v1/charters/:lineage/epochs', lineage => broker.epochs(lineage))
  app.get('/v1/log/policy', context => context.text(broker.ledger.policyText()))
  app.get('/log/*', async context => {
    const file = await attemptAsync(() => broker.ledger.file(context.req.path.slice('/log/'.length)))
    if (!file.ok) return answer(context, file)
    if (file.value === undefined) return context.notFound()
    const { bytes, type, immutable } = file.value
    return context.body(Uint8Array.from(bytes), 200, { 'content-type': type, 'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-store' })
  })
  app.notFound(context => answer(context, { ok: false, refusal: refusalOf('broker.request', 'path', 'a path of this broker', context.req.path) }, 404))
  app.onError((_, context) => answer(context, { ok: false, refusal: refusalOf('store.corrupt', 'broker', 'a completed request', 'a failure of the broker') }, 500))
  return app
}

export interface ServeOptions { readonly port?: number; readonly hostname?: string; readonly app?: Hono }
export interface Served { readonly url: string; readonly port: number; close(): Promise<void> }

/** Serve a broker. Resolves when it listens. @example const { url, close } = await serveBroker(broker, { port: 0 }) */
export function serveBroker(broker: Broker, { port = 0, hostname = '127.0.0.1', app = brokerApp(broker) }: ServeOptions = {}): Promise<Served> {
  return new Promise((resolve, reject) => {
    const ticking = setInterval(() => void broker.tick(), TICK_MS)
    ticking.unref()
    // The plain HTTP/1.1 server is the default of `serve`, so the union narrows to it.
    const server = serve({ fetch: app.fetch, port, hostname, serverOptions: { requestTimeout: REQUEST_MS, headersTimeout: HEADERS_MS, keepAliveTimeout: IDLE_MS, maxHeaderSize: HEADER_BYTES_MAX } }, info => resolve({
      url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${info.port}`, port: info.port,
      close: () => new Promise(closed => {
        clearInterval(ticking)
        server.closeAllConnections()
        server.close(() => closed())
      }),
    })) as Server
    server.maxConnections = CONNECTIONS_MAX
    server.on('error', reject)
  })
}

/** A body of bounded size, counted while it arrives: what a header says about its length is not believed. */
async function readRequest(context: Context): Promise<Result<JsonObject>> {
  const chunks: Uint8Array[] = []
  let size = 0
  const stream: ReadableStream<Uint8Array> | null = context.req.raw.body
  if (stream !== null) {
    for await (const chunk of stream) {
      size += chunk.length
      if (size > LIMITS.bodyBytes) return attempt(() => refuse('bytes.too-large', 'body', `at most ${LIMITS.bodyBytes} bytes`, 'more'))
      chunks.push(chunk)
    }
  }
  return attempt(() => readBody(Buffer.concat(chunks)))
}

function answer(context: Context, result: Awaited<Answer>, status?: 404 | 500): Response {
  if (result.ok) return context.json(result.value)
  return context.json({ refusal: result.refusal }, status ?? statusOf(result.refusal))
}

function statusOf({ code }: Refusal): 400 | 403 | 413 | 503 {
  if (code === 'bytes.too-large') return 413
  if (code === 'log.unavailable' || code.startsWith('store.')) return 503
  return /^(bytes|json)\.|^broker\.request$|^charter\.(syntax|limit|unknown-field|missing-field|value|dangling|duplicate)$|\.parse$/.test(code) ? 400 : 403
}

const REQUEST_MS = 30_000
const HEADERS_MS = 10_000
const IDLE_MS = 5_000
const TICK_MS = 30_000
const HEADER_BYTES_MAX = 16_384
const CONNECTIONS_MAX = 1_024
