/**
 * Asks a vendor's service for a document that is not here, when whoever runs the proxy named that vendor. The address is
 * built from a table and from values that were read and checked, never taken from evidence, from a request or from a
 * redirect; what comes back is filed by the same road as a file that a person adds, or not at all.
 */
import { addressOf, vendorOf, type Vendor, type Wanted } from './wanted.ts'
import { utf8 } from '@cloister/core/bytes/text'
import type { NewFile } from './add.ts'

export type Fetch = (address: string, init: RequestInit) => Promise<Response>
/** Files for `addCollateral`, or why there are none. */
export type Fetched = { readonly ok: true; readonly files: readonly NewFile[] } | { readonly ok: false; readonly why: string }

const LIMITS = { bytes: 4 * 1024 * 1024, ms: 15_000, headerBytes: 16 * 1024, atOnce: 4, remembered: 1_000, failureMs: 60_000 } as const

export interface Upstream {
  /** Undefined when nobody may be asked for it. */
  ask(wanted: Wanted): Promise<Fetched> | undefined
}

/** One question to a vendor at a time for one document; a failure is remembered for a minute, so that nobody is asked in a loop. `now` and `ms` (for a whole answer) are milliseconds. */
export function openUpstream(vendors: readonly Vendor[], now: () => number, fetcher: Fetch = fetch, ms: number = LIMITS.ms): Upstream {
  const running = new Map<string, Promise<Fetched>>()
  const failed = new Map<string, { until: number; why: string }>()
  const start = (wanted: Wanted, name: string) => {
    const asked = fetchDocument(fetcher, wanted, ms).then(result => {
      running.delete(name)
      if (failed.size >= LIMITS.remembered) failed.clear()
      if (!result.ok) failed.set(name, { until: now() + LIMITS.failureMs, why: result.why })
      return result
    })
    running.set(name, asked)
    return asked
  }
  return {
    ask: wanted => {
      if (!vendors.includes(vendorOf(wanted)) || wanted.what === 'amd-chain' || (wanted.what === 'amd-vek' && wanted.signer === 'vlek')) return undefined
      const name = `${addressOf(wanted)} ${wanted.what === 'nvidia-ocsp' ? wanted.certificates.join(' ') : ''}`
      const before = failed.get(name)
      if (before !== undefined && now() < before.until) return Promise.resolve({ ok: false, why: before.why })
      const same = running.get(name)
      if (same !== undefined) return same
      return running.size >= LIMITS.atOnce ? Promise.resolve({ ok: false, why: 'too many questions to vendors at once: ask again' }) : start(wanted, name)
    },
  }
}

async function fetchDocument(fetcher: Fetch, wanted: Wanted, ms: number): Promise<Fetched> {
  const address = addressOf(wanted)
  try {
    const post = wanted.what === 'nvidia-ocsp' ? { method: 'POST', body: Uint8Array.from(wanted.question), headers: { 'content-type': 'application/ocsp-request' } } : {}
    const response = await fetcher(address, { redirect: 'error', signal: AbortSignal.timeout(ms), ...post })
    if (response.status !== 200) {
      await response.body?.cancel()
      return { ok: false, why: `${address} answered ${response.status}` }
    }
    const bytes = await limited(response)
    if (bytes === undefined) return { ok: false, why: `${address} sent more than ${LIMITS.bytes} bytes` }
    const early = 'update' in wanted && wanted.update === 'early' ? { update: 'early' as const } : {}
    return { ok: true, files: [{ name: wanted.what === 'nvidia-rim' ? wanted.id : wanted.what, bytes, ...early }, ...chainFile(response)] }
  } catch (error) {
    return { ok: false, why: `${address}: ${error instanceof Error ? error.message : 'no answer'}` }
  }
}

const CHAINS = ['tcb-info-issuer-chain', 'sgx-enclave-identity-issuer-chain', 'sgx-pck-crl-issuer-chain']

/** The header in which Intel sends a chain, as a file beside the document. */
function chainFile({ headers }: Response): NewFile[] {
  return CHAINS.flatMap(name => {
    const value = headers.get(name)
    return value === null || value.length > LIMITS.headerBytes ? [] : [{ name: 'headers', bytes: utf8(`${name}: ${value}\n`) }]
  })
}

async function limited(response: Response): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  if (response.body === null) return new Uint8Array(0)
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > LIMITS.bytes) return undefined
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}
