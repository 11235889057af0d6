/**
 * The log and the witness over HTTP: what readers fetch (C2SP tlog-tiles), `POST add` for whoever may write, and the
 * witness's `add-checkpoint` (C2SP tlog-witness). Everything served is public and signed, so the transport is trusted with
 * nothing; servers listen on the loopback unless they are told otherwise, and whoever reaches `add` may add.
 */
import { serve } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import type { Server } from 'node:http'
import { ENTRY_BYTES_MAX } from '@cloister/core/log/tiles'
import type { PolicyLog } from '@cloister/core/log/policy'
import { encodeWitnessAnswer, parseAddCheckpoint } from '@cloister/core/log/witness'
import { attemptAsync, refuse, type Refusal, type Result } from '@cloister/core/refusal'
import type { Ledger } from './ledger.ts'
import type { Sequencer } from './sequencer.ts'
import type { LocalWitness } from './witness.ts'

/** Serve what a log shows below `path`. */
export function readFace(app: Hono, path: string, ledger: Ledger): void {
  app.get(`${path}/policy`, context => context.text(ledger.policyText()))
  app.get(`${path}/*`, async context => {
    const file = await attemptAsync(() => ledger.file(context.req.path.slice(path.length + 1)))
    if (!file.ok) return plain(context, file.refusal, 503)
    if (file.value === undefined) return context.notFound()
    const { bytes, type, immutable } = file.value
    return context.body(Uint8Array.from(bytes), 200, { 'content-type': type, 'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-store' })
  })
}

/** `POST add`: the body is the entry; the answer, its index, once a witnessed checkpoint contains it. */
export function addFace(app: Hono, path: string, sequencer: Sequencer): void {
  app.post(`${path}/add`, async context => {
    const body = await readBounded(context, ENTRY_BYTES_MAX)
    if (!body.ok) return plain(context, body.refusal, 413)
    const added = await sequencer.add(body.value)
    if (added.ok) return context.text(String(added.value.index))
    context.header('retry-after', '1')
    return plain(context, added.refusal, 503)
  })
}

/** The witness role for these logs. */
export function witnessFace(app: Hono, path: string, witness: LocalWitness, logs: readonly PolicyLog[], clock: () => number): void {
  const byOrigin = Map.groupBy(logs, one => one.vkey.slice(0, one.vkey.indexOf('+')))
  app.post(`${path}/add-checkpoint`, async context => {
    const body = await readBounded(context, CHECKPOINT_BYTES_MAX)
    if (!body.ok) return plain(context, body.refusal, 413)
    const request = parseAddCheckpoint(body.value)
    if (!request.ok) return plain(context, request.refusal, 400)
    const verdict = await witness.add(request.value, byOrigin.get(request.value.checkpoint.split('\n')[0] ?? '') ?? logs, clock())
    if (verdict.status !== 200 && verdict.status !== 409) return plain(context, verdict.refusal, verdict.status)
    const { status, type, body: answer } = encodeWitnessAnswer(verdict.status === 200 ? { kind: 'cosigned', signatures: [verdict.signature] } : { kind: 'conflict', size: verdict.size })
    return context.body(Uint8Array.from(answer), status === 200 ? 200 : 409, { 'content-type': type })
  })
  app.get(`${path}/vkey`, context => context.text(`${witness.vkey}\n`))
}

/** A body of bounded size, counted while it arrives: what a header says about its length is not believed. */
export async function readBounded(context: Context, bytesMax: number): Promise<Result<Uint8Array>> {
  return attemptAsync(async () => {
    const chunks: Uint8Array[] = []
    let size = 0
    const stream: ReadableStream<Uint8Array> | null = context.req.raw.body
    if (stream !== null) for await (const chunk of stream) {
      size += chunk.length
      if (size > bytesMax) return refuse('bytes.too-large', 'body', `at most ${bytesMax} bytes`, 'more')
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  })
}

function plain(context: Context, { code, at, expected, got, fix }: Refusal, status: 400 | 403 | 404 | 413 | 422 | 500 | 503): Response {
  return context.text(`${code} at ${at}: expected ${expected}, got ${got}${fix === undefined ? '' : ` (${fix})`}\n`, status)
}

export interface ServeOptions { readonly port?: number; readonly hostname?: string }
export interface Served { readonly url: string; readonly port: number; close(): Promise<void> }

/** Serve an app. Resolves when it listens. @example const { url, close } = await serveApp(app, { port: 0 }) */
export function serveApp(app: Hono, { port = 0, hostname = '127.0.0.1' }: ServeOptions = {}): Promise<Served> {
  return new Promise((resolve, reject) => {
    // The plain HTTP/1.1 server is the default of `serve`, so the union narrows to it.
    const server = serve({ fetch: app.fetch, port, hostname, serverOptions: { requestTimeout: REQUEST_MS, headersTimeout: HEADERS_MS, keepAliveTimeout: IDLE_MS, maxHeaderSize: HEADER_BYTES_MAX } }, info => resolve({
      url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${info.port}`, port: info.port,
      close: () => new Promise(closed => {
        server.closeAllConnections()
        server.close(() => closed())
      }),
    })) as Server
    server.maxConnections = CONNECTIONS_MAX
    server.on('error', reject)
  })
}

const CHECKPOINT_BYTES_MAX = 1 << 17
const REQUEST_MS = 30_000
const HEADERS_MS = 10_000
const IDLE_MS = 5_000
const HEADER_BYTES_MAX = 16_384
const CONNECTIONS_MAX = 1_024
