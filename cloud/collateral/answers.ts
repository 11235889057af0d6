/**
 * What the proxy answers, at the paths of the vendors' own services: AMD's key distribution service (57230), Intel's
 * provisioning certification service (PCS API version 4, and the two paths of its caching service for the root's list),
 * NVIDIA's manifest service and OCSP (RFC 6960 appendix A, by POST). Pure: a request in, an answer out.
 *
 * Only documents that were filed, and only those in force now. It trusts nobody and need not be trusted: every document
 * is signed, and whoever asks verifies it.
 */
import { hash } from 'node:crypto'
import { toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { writePem } from '@cloister/core/crypto/pem'
import type { SnpProduct } from '@cloister/core/evidence/snp/report'
import type { SnpTcb } from '@cloister/core/evidence/snp/verify'
import { attempt, type Refusal } from '@cloister/core/refusal'
import { chipText } from './amd.ts'
import { titleOf, type Entry } from './documents.ts'
import { questionFor, readQuestion, RIM_ID } from './nvidia.ts'
import type { VendorRoots } from './roots.ts'
import type { CollateralStore } from './store.ts'
import { commandFor, found, LEVELS, type Wanted } from './wanted.ts'

export interface Answer { readonly status: number; readonly type: string; readonly bytes: Uint8Array; readonly headers?: Readonly<Record<string, string>> }
/** `encoding`: of lists that come in two. */
export interface Asked { readonly wanted: Wanted; readonly encoding?: 'pem' | 'der' | 'hex' }

export const REQUEST_LIMITS = { target: 2048, body: 16 * 1024, parameters: 8 } as const

export const plain = (status: number, text: string, headers: Readonly<Record<string, string>> = {}): Answer => ({ status, type: 'text/plain; charset=utf-8', bytes: utf8(`${text}\n`), headers })

// ---- the question ---------------------------------------------------------------------------------------------------

const ABOUT = 'cloister collateral: what AMD, Intel and NVIDIA publish about machines, from disk, at their own paths\n  /vcek/v1/{product}/…  /vlek/v1/{product}/…\n  /sgx/certification/v4/…  /tdx/certification/v4/…\n  /v1/rim/{id}  /v1/rim/ids  POST /ocsp'

/** What a request asks for, or the answer at once when it asks for nothing there can be. */
export function readRequest(method: string, target: string, body: Uint8Array): Asked | Answer | 'ids' {
  if (target.length > REQUEST_LIMITS.target) return plain(414, `a target of at most ${REQUEST_LIMITS.target} characters`)
  const [path = '', query, ...more] = target.split('?')
  const parameters = more.length > 0 ? undefined : parametersOf(query)
  if (!/^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\/?$/.test(path) || parameters === undefined) return plain(400, 'a path of plain segments, and parameters each once as name=value')
  if (method === 'POST') return path === '/' || path === '/ocsp' || path === '/ocsp/' ? ocsp(body) : plain(405, 'GET', { allow: 'GET, HEAD' })
  if (method !== 'GET' && method !== 'HEAD') return plain(405, 'GET, HEAD, or POST of an OCSP request', { allow: 'GET, HEAD, POST' })
  if (body.length > 0) return plain(400, 'a request without a body')
  return route(path, parameters) ?? plain(404, `no such path\n\n${ABOUT}`)
}

type Parameters = ReadonlyMap<string, string>

function parametersOf(query = ''): Parameters | undefined {
  const pairs = query === '' ? [] : query.split('&').map(one => one.split('='))
  const good = pairs.length <= REQUEST_LIMITS.parameters && pairs.every(([name = '', value = '', ...more]) => /^[A-Za-z]{1,40}$/.test(name) && /^[A-Za-z0-9]{1,140}$/.test(value) && more.length === 0)
  const parameters = new Map(pairs.map(([name = '', value = '']) => [name, value]))
  return good && parameters.size === pairs.length ? parameters : undefined
}

function route(path: string, parameters: Parameters): Asked | Answer | 'ids' | undefined {
  const [, signer, product, rest = ''] = /^\/(vcek|vlek)\/v1\/([A-Za-z]+)\/([A-Za-z0-9_]+)$/.exec(path) ?? []
  if (signer === 'vcek' || signer === 'vlek') return amd(signer, product ?? '', rest, parameters)
  const [, tee, document] = /^\/(sgx|tdx)\/certification\/v4\/(pckcrl|tcb|qe\/identity|rootcacrl)$/.exec(path) ?? []
  if (tee === 'sgx' || tee === 'tdx') return intel(tee, document ?? '', parameters)
  if (parameters.size > 0) return undefined
  if (path === '/') return plain(200, ABOUT)
  if (path === '/IntelSGXRootCA.der') return { wanted: { what: 'intel-root-crl' }, encoding: 'der' }
  if (path === '/v1/rim/ids') return 'ids'
  const id = /^\/v1\/rim\/([^/]+)$/.exec(path)?.[1]
  return id === undefined ? undefined : RIM_ID.test(id) ? { wanted: { what: 'nvidia-rim', id } } : plain(400, 'an identifier like NV_GPU_DRIVER_GH100_550.90.07')
}

const PRODUCTS: readonly SnpProduct[] = ['Milan', 'Genoa', 'Turin']
const only = (parameters: Parameters, ...known: string[]) => [...parameters.keys()].every(name => known.includes(name))

function amd(signer: 'vcek' | 'vlek', named: string, rest: string, parameters: Parameters): Asked | Answer {
  const product = PRODUCTS.find(one => one === named)
  if (product === undefined) return plain(404, `a product line: ${PRODUCTS.join(', ')}`)
  if (rest === 'cert_chain' || rest === 'crl') return parameters.size === 0 ? { wanted: { what: rest === 'crl' ? 'amd-crl' : 'amd-chain', product, signer } } : plain(400, 'no parameters')
  const id = signer === 'vcek' ? chipText(product, rest.toLowerCase()) : undefined
  if (signer === 'vlek' ? rest !== 'cert' : !(product === 'Turin' ? /^[0-9a-f]{16}$/ : /^[0-9a-f]{128}$/).test(id ?? '')) return plain(400, signer === 'vlek' ? 'cert, cert_chain or crl' : `the identity of a chip: ${product === 'Turin' ? 16 : 128} hexadecimal digits`)
  const tcb = levelsOf(product, parameters)
  return tcb === undefined ? plain(400, `parameters ${Object.values(LEVELS).join(', ')}: 0 to 255`) : { wanted: { what: 'amd-vek', product, signer, ...(id === undefined ? {} : { id }), tcb } }
}

/** What is left out is 0, as with AMD; `fmcSPL` is Turin's. */
function levelsOf(product: SnpProduct, parameters: Parameters): SnpTcb | undefined {
  const { fmc, ...base } = LEVELS
  const turin = product === 'Turin'
  if (!only(parameters, ...Object.values(base), ...(turin ? [fmc] : []))) return undefined
  const level = (name: string) => Number(/^\d{1,3}$/.test(parameters.get(name) ?? '0') ? parameters.get(name) ?? '0' : Number.NaN)
  const tcb = { bl: level(base.bl), tee: level(base.tee), snp: level(base.snp), ucode: level(base.ucode), ...(turin ? { fmc: level(fmc) } : {}) }
  return Object.values(tcb).every(one => one <= 255) ? tcb : undefined
}

const UPDATES = ['early', 'standard'] as const

function intel(tee: 'sgx' | 'tdx', document: string, parameters: Parameters): Asked | Answer {
  if (document === 'rootcacrl') return listAsked({ what: 'intel-root-crl' }, parameters, 'hex', ['encoding'])
  if (document === 'pckcrl') {
    const ca = parameters.get('ca')
    return ca === 'platform' || ca === 'processor' ? listAsked({ what: 'intel-pck-crl', ca }, parameters, 'pem', ['ca', 'encoding']) : plain(400, 'ca=platform or ca=processor')
  }
  const said = parameters.get('update')
  const update = UPDATES.find(one => one === said)
  const evaluation = parameters.get('tcbEvaluationDataNumber')
  const tcb = document === 'tcb'
  if (!only(parameters, 'update', 'tcbEvaluationDataNumber', ...(tcb ? ['fmspc'] : [])) || (said !== undefined && evaluation !== undefined)) return plain(400, `parameters ${tcb ? 'fmspc, ' : ''}update or tcbEvaluationDataNumber`)
  if ((said !== undefined && update === undefined) || (evaluation !== undefined && !/^[1-9]\d{0,4}$/.test(evaluation))) return plain(400, 'update=early, update=standard or tcbEvaluationDataNumber=N')
  const edition = { ...(update === undefined ? {} : { update }), ...(evaluation === undefined ? {} : { evaluation }) }
  const fmspc = parameters.get('fmspc')?.toLowerCase() ?? ''
  if (!tcb) return { wanted: { what: 'intel-qe-identity', tee, ...edition } }
  return /^[0-9a-f]{12}$/.test(fmspc) ? { wanted: { what: 'intel-tcb-info', tee, fmspc, ...edition } } : plain(400, 'fmspc: 12 hexadecimal digits')
}

function listAsked(wanted: Wanted, parameters: Parameters, standard: 'pem' | 'hex', known: string[]): Asked | Answer {
  const encoding = parameters.get('encoding') ?? standard
  return only(parameters, ...known) && (encoding === 'der' || encoding === standard) ? { wanted, encoding } : plain(400, `encoding=${standard} or encoding=der`)
}

function ocsp(body: Uint8Array): Asked | Answer {
  const certificates = attempt(() => readQuestion(body))
  return certificates.ok ? { wanted: { what: 'nvidia-ocsp', certificates: certificates.value, question: questionFor(certificates.value) } } : ocspFailure(MALFORMED_REQUEST)
}

/** OCSPResponseStatus of RFC 6960 section 4.2.1, in a response without an answer. */
const [MALFORMED_REQUEST, UNAUTHORIZED] = [1, 6]
const ocspFailure = (status: number): Answer => ({ status: 200, type: 'application/ocsp-response', bytes: new Uint8Array([0x30, 3, 0x0a, 1, status]) })

// ---- the answer -----------------------------------------------------------------------------------------------------

export interface Shelves { readonly store: CollateralStore; readonly roots: VendorRoots; readonly now: number }

/** The answer from disk, or undefined when nothing in force is here. A damaged document is said, not handed out. */
export function answerFrom(shelves: Shelves, asked: Asked): Answer | undefined {
  const result = attempt(() => build(shelves, asked))
  return result.ok ? result.value : damaged(result.refusal)
}

const damaged = ({ code, at, expected, got, fix }: Refusal) => plain(500, `${code}: ${at}: expected ${expected}, got ${got}\n${fix ?? ''}`)

/** The answer when nothing is here: how it comes here. */
export function absent({ store, now }: Shelves, { wanted }: Asked, why = ''): Answer {
  if (wanted.what === 'nvidia-ocsp') return ocspFailure(UNAUTHORIZED)
  const [over] = found(store.list().entries, wanted)
  const has = over === undefined ? 'nothing like it' : `${titleOf(over)}, ${over.notAfter < now ? 'over since' : 'in force from'} ${new Date((over.notAfter < now ? over.notAfter : over.notBefore) * 1000).toISOString()}`
  return plain(404, `not here: ${wanted.what} for now; there is ${has}${why === '' ? '' : `\n${why}`}\nbring it here:\n  ${commandFor(wanted)}`)
}

function build(shelves: Shelves, asked: Asked): Answer | undefined {
  const { store, now } = shelves
  const { wanted } = asked
  if (wanted.what === 'amd-chain') return amdChain(shelves, wanted)
  const list = found(store.list().entries, wanted, now)
  const entry = wanted.what === 'nvidia-rim' && list.length === 0 ? renamed(shelves, wanted.id) : list[0]
  if (entry === undefined) return undefined
  if (wanted.what === 'amd-vek' && new Set(list.map(one => one.about['id'])).size > 1) return plain(404, `keys of several providers are here: ${[...new Set(list.map(one => one.about['id']))].join(', ')}\ntake the one you mean: cloister collateral list --kind amd-vek; cloister collateral show DIGEST --out vlek.der`)
  const stored = store.read(entry.digest)
  return stored === undefined ? undefined : formed(asked, stored.entry, stored.bytes)
}

/** A manifest that was filed without its identifier: by the version at the end of it, when there is only one. */
function renamed({ store, now }: Shelves, id: string): Entry | undefined {
  const [version = ''] = id.toUpperCase().split('_').slice(-1)
  const unnamed = store.list().entries.filter(one => one.kind === 'nvidia-rim' && one.about['id'] === undefined && one.about['version']?.replaceAll('.', '') === version.replaceAll('.', '') && id.includes(one.about['edition'] ?? '?') && now >= one.notBefore && now <= one.notAfter)
  return unnamed.length === 1 ? unnamed[0] : undefined
}

function formed({ wanted, encoding }: Asked, entry: Entry, bytes: Uint8Array): Answer {
  const chain = entry.issuerChain === undefined ? '' : encodeURIComponent(entry.issuerChain)
  switch (wanted.what) {
    case 'amd-chain': case 'amd-vek': return { status: 200, type: 'application/pkix-cert', bytes }
    case 'amd-crl': return { status: 200, type: 'application/pkix-crl', bytes }
    case 'intel-tcb-info': return { status: 200, type: 'application/json', bytes, headers: { 'TCB-Info-Issuer-Chain': chain } }
    case 'intel-qe-identity': return { status: 200, type: 'application/json', bytes, headers: { 'SGX-Enclave-Identity-Issuer-Chain': chain } }
    case 'intel-pck-crl': return { ...listIn(encoding, bytes), headers: { 'SGX-PCK-CRL-Issuer-Chain': chain } }
    case 'intel-root-crl': return listIn(encoding, bytes)
    case 'nvidia-rim': return manifest(wanted.id, entry, bytes)
    case 'nvidia-ocsp': return { status: 200, type: 'application/ocsp-response', bytes }
  }
}

function listIn(encoding: Asked['encoding'], bytes: Uint8Array): Answer {
  if (encoding === 'pem') return { status: 200, type: 'application/x-pem-file', bytes: utf8(writePem('X509 CRL', bytes)) }
  return encoding === 'hex' ? { status: 200, type: 'text/plain; charset=utf-8', bytes: utf8(toHex(bytes)) } : { status: 200, type: 'application/pkix-crl', bytes }
}

const json = (value: unknown): Answer => ({ status: 200, type: 'application/json', bytes: utf8(JSON.stringify(value)) })

function manifest(id: string, entry: Entry, bytes: Uint8Array): Answer {
  return json({ id, rim: toBase64(bytes), sha256: hash('sha256', bytes), last_updated: new Date(entry.added * 1000).toISOString(), rim_format: 'TCG' })
}

/** Every identifier of a manifest that is here and in force. */
export function manifestIds({ store, now }: Shelves): Answer {
  const here = store.list().entries.filter(one => one.kind === 'nvidia-rim' && now >= one.notBefore && now <= one.notAfter)
  return json({ ids: [...new Set(here.flatMap(({ about }) => about['id'] ?? []))].sort() })
}

/** The intermediate and the root: pinned ones, or a newer intermediate that was filed. */
function amdChain({ store, roots, now }: Shelves, wanted: Extract<Wanted, { what: 'amd-chain' | 'amd-crl' }>): Answer | undefined {
  const set = roots.amd.find(one => one.product === wanted.product)
  const pinned = set?.intermediates.find(one => one.subjectCommonName.includes('VLEK') === (wanted.signer === 'vlek'))
  const [entry] = found(store.list().entries, wanted, now)
  const filed = entry === undefined || (pinned !== undefined && entry.notBefore <= pinned.notBefore) ? undefined : store.read(entry.digest)
  const der = filed?.bytes ?? pinned?.der
  return set === undefined || der === undefined ? undefined : { status: 200, type: 'application/x-pem-file', bytes: utf8(writePem('CERTIFICATE', der) + writePem('CERTIFICATE', set.ark.der)) }
}

/** For logs and messages: an answer's text, of plain ones only. */
export const textOf = (answer: Answer): string => (answer.type.startsWith('text/plain') ? fromUtf8(answer.bytes).trim() : answer.type)
