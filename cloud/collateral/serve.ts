/**
 * The proxy: HTTP over a store of collateral, on the loopback unless it is told otherwise. Every size, time and number of
 * connections has a limit. Optional vendors are asked for what is not here; that is off unless they are named.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { addCollateral } from './add.ts'
import { absent, answerFrom, manifestIds, plain, readRequest, REQUEST_LIMITS, textOf, type Answer, type Asked, type Shelves } from './answers.ts'
import { vendorRoots, type VendorRoots } from './roots.ts'
import type { CollateralStore } from './store.ts'
import { openUpstream, type Fetch, type Upstream } from './upstream.ts'
import type { Vendor } from './wanted.ts'

export interface ProxyOptions {
  /** 0 for any that is free. */
  readonly port?: number
  readonly hostname?: string
  /** Vendors that may be asked for what is not here. */
  readonly upstream?: readonly Vendor[]
  /** A line for each request. */
  readonly log?: (line: string) => void
}
/** What only tests hand in: the clock (milliseconds), the roots and the network. */
export interface ProxyParts { readonly now?: () => number; readonly roots?: VendorRoots; readonly fetcher?: Fetch; readonly limits?: Partial<typeof SERVER_LIMITS> }
export interface Proxy { readonly url: string; readonly port: number; close(): Promise<void> }

export const SERVER_LIMITS = { connections: 64, headerBytes: 8 * 1024, headersMs: 5_000, requestMs: 10_000, idleMs: 5_000, silentMs: 20_000, checkMs: 1_000 }

/** Serve a store. Resolves when it listens. @example const { url, close } = await serveCollateral(p, openCollateral('.cloister/collateral')) */
export function serveCollateral(p: Primitives, store: CollateralStore, { port = 0, hostname = '127.0.0.1', upstream = [], log = () => undefined }: ProxyOptions = {}, { now = Date.now, roots = vendorRoots(), fetcher, limits = {} }: ProxyParts = {}): Promise<Proxy> {
  const bounds = { ...SERVER_LIMITS, ...limits }
  const vendors = openUpstream(upstream, now, fetcher)
  const shelves = () => ({ store, roots, now: Math.floor(now() / 1000) })
  const named = LOOPBACK.test(hostname) ? LOOPBACK : undefined
  const server = createServer({ maxHeaderSize: bounds.headerBytes, headersTimeout: bounds.headersMs, requestTimeout: bounds.requestMs, keepAliveTimeout: bounds.idleMs, connectionsCheckingInterval: bounds.checkMs }, (request, response) => {
    const { method = '', url = '' } = request
    handle(p, shelves, vendors, request, named).catch((): Answer => plain(500, 'a failure of the proxy')).then(answer => {
      log(`${answer.status} ${method} ${url.slice(0, 200)}${answer.status === 200 ? '' : ` ${textOf(answer).split('\n')[0] ?? ''}`}`)
      send(request, response, answer)
    }).catch(() => response.destroy())
  })
  server.maxConnections = bounds.connections
  server.setTimeout(bounds.silentMs)
  return listen(server, port, hostname)
}

function listen(server: Server, port: number, hostname: string): Promise<Proxy> {
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(port, hostname, () => {
      const address = server.address()
      const bound = typeof address === 'object' && address !== null ? address.port : port
      resolve({
        url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${bound}`, port: bound,
        close: () => new Promise(closed => {
          server.close(() => closed())
          server.closeAllConnections()
        }),
      })
    })
  })
}

/** What a client on this machine calls it. A page in a browser that had another name point here sends that name. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)(?::\d{1,5})?$/i

async function handle(p: Primitives, shelves: () => Shelves, vendors: Upstream, request: IncomingMessage, named: RegExp | undefined): Promise<Answer> {
  if (named?.test(request.headers.host ?? '') === false) return plain(421, 'a request to this machine by its own name: localhost or 127.0.0.1', { connection: 'close' })
  const body = await readBody(request)
  if (body === undefined) return plain(413, `a body of at most ${REQUEST_LIMITS.body} bytes`, { connection: 'close' })
  const asked = readRequest(request.method ?? '', request.url ?? '', body)
  if (asked === 'ids') return manifestIds(shelves())
  if ('status' in asked) return asked
  return answerFrom(shelves(), asked) ?? (await fromVendor(p, shelves, vendors, asked))
}

/** From the vendor, by the road of `add`: filed and handed out only when it holds. */
async function fromVendor(p: Primitives, shelves: () => Shelves, vendors: Upstream, asked: Asked): Promise<Answer> {
  const fetched = await vendors.ask(asked.wanted)
  const here = shelves()
  if (fetched === undefined) return absent(here, asked)
  if (!fetched.ok) return absent(here, asked, `the vendor was asked: ${fetched.why}`)
  const refused = addCollateral(p, here.store, fetched.files, here.now, here.roots).flatMap(({ outcome }) => (outcome.ok ? [] : [`${outcome.refusal.code} at ${outcome.refusal.at}`]))
  return answerFrom(shelves(), asked) ?? absent(here, asked, refused.length === 0 ? 'the vendor sent another document' : `what the vendor sent was refused: ${refused.join(', ')}`)
}

/** Counted while it arrives; undefined when it is too large or breaks off: what comes after is let fall, so that the answer can be read. */
function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  return new Promise(resolve => {
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > REQUEST_LIMITS.body) resolve(undefined)
      else chunks.push(chunk)
    })
    request.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks))))
    request.on('close', () => resolve(undefined))
  })
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, bytes, headers = {} }: Answer): void {
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'Request-ID': randomBytes(16).toString('hex'), ...headers })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}
