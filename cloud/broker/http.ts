/**
 * The broker's native face: JSON over HTTP (key-release.md section 17). Refusals are bodies `{ refusal }`: 400 for what
 * cannot be read, 403 for what is not allowed, 503 when store or log cannot serve now. What is said here is public,
 * signed or sealed, so the transport is trusted with nothing; it listens on the loopback unless it is told otherwise.
 */
import { Hono, type Context } from 'hono'
import type { JsonObject } from '@cloister/core/bytes/json'
import { attempt, refusalOf, type Refusal, type Result } from '@cloister/core/refusal'
import { readBounded, readFace, serveApp, type Served, type ServeOptions } from '../ledger/http.ts'
import type { Answer, Broker } from './broker.ts'
import { RECOVER_BYTES_MAX } from './recovery.ts'
import { hashText, LIMITS, readBody } from './requests.ts'

/** The app alone, for tests and for servers of one's own. */
export function brokerApp(broker: Broker): Hono {
  const app = new Hono()
  const post = (path: string, ask: (body: JsonObject) => Answer, bytesMax: number = LIMITS.bodyBytes) => app.post(path, async context => {
    const body = await readRequest(context, bytesMax)
    return answer(context, body.ok ? await ask(body.value) : body)
  })
  post('/v1/hello', body => broker.hello(body))
  post('/v1/release', body => broker.release(body))
  post('/v1/join', body => broker.join(body))
  post('/v1/recover', body => broker.recover(body), RECOVER_BYTES_MAX)
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
  get('/v1/charters/:lineage/backup', lineage => broker.backup(lineage))
  app.get('/v1/log/policy', context => context.text(broker.ledger.policyText()))
  readFace(app, '/log', broker.ledger)
  app.notFound(context => answer(context, { ok: false, refusal: refusalOf('broker.request', 'path', 'a path of this broker', context.req.path) }, 404))
  app.onError((_, context) => answer(context, { ok: false, refusal: refusalOf('store.corrupt', 'broker', 'a completed request', 'a failure of the broker') }, 500))
  return app
}

/** Serve a broker, and keep its house while it is served. Resolves when it listens. @example const { url, close } = await serveBroker(broker, { port: 0 }) */
export async function serveBroker(broker: Broker, { app = brokerApp(broker), ...options }: ServeOptions & { readonly app?: Hono } = {}): Promise<Served> {
  const served = await serveApp(app, options)
  const ticking = setInterval(() => void broker.tick(), TICK_MS)
  ticking.unref()
  return { ...served, close: () => { clearInterval(ticking); return served.close() } }
}

async function readRequest(context: Context, bytesMax: number): Promise<Result<JsonObject>> {
  const body = await readBounded(context, bytesMax)
  return body.ok ? attempt(() => readBody(body.value, bytesMax)) : body
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

const TICK_MS = 30_000
