/**
 * What a file is, by its bytes alone, and how the files of one machine make one evidence: a report and its certificates, a
 * quote and its collateral, a TPM's message, signature and registers. Nothing is guessed: what no reader here reads is
 * refused by name. Trusts nothing; whoever judges the evidence verifies all of it.
 */
import { fromBase64, fromBase64Url, toBase64 } from '../bytes/base64.ts'
import { equal } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { isObject, parseJson, type Json, type JsonObject } from '../bytes/json.ts'
import { fromUtf8, utf8 } from '../bytes/text.ts'
import { parseOcsp } from '../crypto/ocsp.ts'
import { readPem } from '../crypto/pem.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { parseCertificate, parseCrl } from '../crypto/x509.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { readAttestationPb, type AttestationQuote } from './tpm/attestation-pb.ts'
import { PCR_COUNT, readAttest, readPublicArea, readSignature } from './tpm/structures.ts'
import { REPORT_BYTES } from './snp/report.ts'

/** What a file is. `json` is any JSON object or list that is not one of the others: a document of another system, a charter. */
export type What =
  | 'snp-report' | 'tdx-quote' | 'sgx-quote' | 'nitro-document' | 'cca-token' | 'tpm-message' | 'hcl-report' | 'nvidia-report' | 'token' | 'evidence'
  | 'certificate' | 'crl' | 'ocsp' | 'dcap-collateral' | 'tpm-signature' | 'rsa-signature' | 'tpm-public' | 'pcrs' | 'event-log' | 'rim' | 'corim' | 'public-key'
  | 'receipt' | 'tlog-proof' | 'json' | 'text'

/** A part of a file: bytes in standard base64 as evidence carries them, or JSON. */
export interface Piece { readonly what: What; readonly bytes?: string; readonly json?: Json; readonly file: string }

export interface NamedFile { readonly name: string; readonly bytes: Uint8Array }

const LIMITS = { bytes: 8 * 1024 * 1024, pieces: 64, certificates: 16 }
const JSON_TEXT = { bytes: LIMITS.bytes, depth: 32, entries: 200_000, string: LIMITS.bytes }

/**
 * The pieces in a file: one, or several of a PEM file, of a report with its certificate table, of an attestation of
 * go-tpm-tools. Refuses `evidence.kind` (nothing that is known), `bytes.*`, `json.*`.
 *
 * @example
 * detect(p, { name: 'report.bin', bytes }) // → { ok: true, value: [{ what: 'snp-report', bytes: 'AwAAA…', file: 'report.bin' }] }
 */
export function detect(p: Primitives, { name, bytes }: NamedFile): Result<readonly Piece[]> {
  return attempt(() => {
    if (bytes.length === 0) return refuse('evidence.missing', name, 'a file with something in it', 'an empty one')
    if (bytes.length > LIMITS.bytes) return refuse('bytes.too-large', name, `at most ${LIMITS.bytes} bytes`, `${bytes.length} bytes`)
    const found = pieces(p, bytes, true).map(piece => ({ ...piece, file: name }))
    return found.length > 0 ? found : refuse('evidence.kind', name, KNOWN, `${bytes.length} bytes that begin ${toHex(bytes.subarray(0, 8))}`, 'is the file whole, and not compressed or encrypted?')
  })
}

const KNOWN = 'a report, quote, document or token of SEV-SNP, TDX, SGX, Nitro, TPM, Azure, NVIDIA or CCA, its certificates and collateral, or JSON'

type Found = Omit<Piece, 'file'>
const whole = (what: What, bytes: Uint8Array): Found[] => [{ what, bytes: toBase64(bytes) }]
const holds = (read: () => unknown): boolean => attempt(read).ok

function pieces(p: Primitives, bytes: Uint8Array, encoded: boolean): Found[] {
  const text = printable(bytes)
  return text === undefined ? binary(p, bytes) : textual(p, text, encoded)
}

/** The text that bytes are, when they are one: UTF-8 without control characters. */
function printable(bytes: Uint8Array): string | undefined {
  const read = attempt(() => fromUtf8(bytes))
  return read.ok && !/[^\t\n\r\u0020-\uffff]/.test(read.value) ? read.value.trim() : undefined
}

// ---- texts

function textual(p: Primitives, text: string, encoded: boolean): Found[] {
  if (text.startsWith('-----BEGIN')) return pem(text)
  if (/^[{[]/.test(text)) return [jsonPiece(parseJson(text, JSON_TEXT))]
  if (text.startsWith('<')) return whole('rim', utf8(text))
  if (text.startsWith('c2sp.org/tlog-proof@')) return [{ what: 'tlog-proof', json: text }]
  if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) return [{ what: 'token', json: text }]
  const inner = encoded ? decoded(text) : undefined
  const found = inner === undefined ? [] : pieces(p, inner, false)
  return found.length > 0 ? found : [{ what: 'text', json: text }]
}

/** Bytes that tools print in hex or base64, in lines or not. */
function decoded(text: string): Uint8Array | undefined {
  const joined = text.replace(/\s+/g, '')
  if (joined.length < 64) return undefined
  const read = /^(0x)?([0-9a-fA-F]{2})+$/.test(joined) ? attempt(() => fromHex(joined.replace(/^0x/, '').toLowerCase())) : attempt(() => (/[-_]/.test(joined) ? fromBase64Url(joined.replace(/=+$/, '')) : fromBase64(joined)))
  return read.ok ? read.value : undefined
}

function pem(text: string): Found[] {
  const found = [['CERTIFICATE', 'certificate'], ['X509 CRL', 'crl'], ['PUBLIC KEY', 'public-key']] as const
  const all = found.flatMap(([label, what]) => readPem(text, label).flatMap(der => whole(what, der)))
  return all.length <= LIMITS.pieces ? all : refuse('bytes.too-large', 'PEM', `at most ${LIMITS.pieces} blocks`, String(all.length))
}

function jsonPiece(json: Json): Found {
  if (Array.isArray(json)) return isDetached(json) ? { what: 'token', json } : pcrsOf(numbered(json)) === undefined ? { what: 'json', json } : { what: 'pcrs', json: numbered(json) }
  if (!isObject(json)) return { what: 'json', json }
  if (typeof json['kind'] === 'string') return { what: 'evidence', json }
  if (json['bundle'] !== undefined) return { what: 'receipt', json }
  if (typeof json['tcb_info'] === 'string') return { what: 'dcap-collateral', json }
  return pcrsOf(json) === undefined ? { what: 'json', json } : { what: 'pcrs', json }
}

/** NVIDIA's set of tokens: the whole, then those of the devices by name. */
const isDetached = ([first, second]: readonly Json[]): boolean => Array.isArray(first) && first[0] === 'JWT' && typeof first[1] === 'string' && isObject(second)

/** Registers in a list stand by their index. */
const numbered = (list: readonly Json[]): JsonObject => (list.length <= PCR_COUNT ? Object.fromEntries(list.map((value, i) => [String(i), value])) : {})

/** Registers by bank and index, or by index alone with the bank told by the length. */
function pcrsOf(json: JsonObject): JsonObject | undefined {
  const registers = (value: Json | undefined): value is JsonObject => isObject(value) && Object.entries(value).every(([index, hex]) => /^\d{1,2}$/.test(index) && typeof hex === 'string' && /^([0-9a-fA-F]{2}){20,64}$/.test(hex))
  const entries = Object.entries(json)
  if (entries.length === 0) return undefined
  if (entries.every(([bank, values]) => /^sha(1|256|384|512)$/.test(bank) && registers(values))) return json
  const first = entries[0]?.[1]
  const bank = typeof first === 'string' ? BANKS.get(first.length) : undefined
  return registers(json) && bank !== undefined ? { [bank]: json } : undefined
}
const BANKS: ReadonlyMap<number, string> = new Map([[40, 'sha1'], [64, 'sha256'], [96, 'sha384'], [128, 'sha512']])

// ---- bytes

const u16 = (bytes: Uint8Array, at: number) => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
const u32 = (bytes: Uint8Array, at: number) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0
const startsWith = (bytes: Uint8Array, text: string, at = 0) => equal(bytes.subarray(at, at + text.length), utf8(text))
const QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607'
const COSE_SIGN1 = 0xd2
const CCA_TAGS = ['d9018f', 'd9038b']
const CORIM_TAGS = ['d901f5', 'd901fa']

function binary(p: Primitives, bytes: Uint8Array): Found[] {
  if (startsWith(bytes, 'HCLA')) return whole('hcl-report', bytes)
  if (toHex(bytes.subarray(12, 28)) === QE_VENDOR && [3, 4, 5].includes(u16(bytes, 0))) return whole(u32(bytes, 4) === 0x81 ? 'tdx-quote' : 'sgx-quote', bytes)
  if (startsWith(bytes, 'Spec ID Event03', 32)) return whole('event-log', bytes)
  if (bytes[0] === 0x30) return derPieces(bytes)
  if (bytes[1] === 0xe0 && bytes[38] === 0x60) return whole('nvidia-report', bytes)
  if (CCA_TAGS.includes(toHex(bytes.subarray(0, 3)))) return whole('cca-token', bytes)
  if (CORIM_TAGS.includes(toHex(bytes.subarray(0, 3)))) return whole('corim', bytes)
  if (bytes[0] === COSE_SIGN1 || bytes[0] === 0x84) return cose(bytes)
  const report = snpReport(bytes)
  return report.length > 0 ? report : tpm(p, bytes)
}

/** Both are COSE_Sign1: Nitro's payload names its module, EAR's claims have numbers for names. */
const cose = (bytes: Uint8Array): Found[] => (toHex(bytes).includes(MODULE_ID) ? whole('nitro-document', bytes) : [{ what: 'token', json: toBase64(bytes) }])
/** "module_id" as a CBOR text. */
const MODULE_ID = '696d6f64756c655f6964'

function derPieces(der: Uint8Array): Found[] {
  if (parseCertificate(der).ok) return whole('certificate', der)
  if (parseCrl(der).ok) return whole('crl', der)
  return parseOcsp(der).ok ? whole('ocsp', der) : []
}

/** A report alone, behind the 32 bytes that firmware puts before it, or before the table of certificates that the host handed over. */
function snpReport(bytes: Uint8Array): Found[] {
  const answered = u32(bytes, 0) === 0 && u32(bytes, 4) === REPORT_BYTES && bytes.length >= REPORT_BYTES + 32
  const report = answered ? bytes.subarray(32, 32 + REPORT_BYTES) : bytes.subarray(0, REPORT_BYTES)
  const version = u32(report, 0)
  if (report.length !== REPORT_BYTES || version < 2 || version > 15) return []
  const rest = answered ? new Uint8Array(0) : bytes.subarray(REPORT_BYTES)
  const table = rest.length === 0 ? [] : certificateTable(rest)
  return table === undefined ? [] : [...whole('snp-report', report), ...table]
}

/** GHCB specification section 4.1.8.1: entries of GUID, offset and length, ended by zeros; which is which the chain tells. */
function certificateTable(table: Uint8Array): Found[] | undefined {
  const found: Found[] = []
  for (let at = 0; at + 24 <= table.length && found.length <= LIMITS.certificates; at += 24) {
    if (table.subarray(at, at + 24).every(byte => byte === 0)) return found
    const [start, length] = [u32(table, at + 16), u32(table, at + 20)]
    const der = table.subarray(start, start + length)
    if (der.length !== length || !parseCertificate(der).ok) return undefined
    found.push(...whole('certificate', der))
  }
  return undefined
}

function tpm(p: Primitives, bytes: Uint8Array): Found[] {
  if (holds(() => readAttest(bytes))) return whole('tpm-message', bytes)
  if (holds(() => readSignature(bytes))) return whole('tpm-signature', bytes)
  if (holds(() => readPublicArea(p, bytes))) return whole('tpm-public', bytes)
  // Azure keeps the bare signature of its 2048-bit key: nothing marks it but its size.
  if (bytes.length === RSA_BYTES) return whole('rsa-signature', bytes)
  const packed = attempt(() => readAttestationPb(bytes))
  if (!packed.ok || packed.value.quotes.length === 0) return []
  const { ak, quotes, eventLog, certificate, intermediates } = packed.value
  const [best] = quotes.toSorted((a, b) => STRENGTH.indexOf(a.bank) - STRENGTH.indexOf(b.bank))
  return [...whole('tpm-public', ak), ...quotePieces(best), ...(eventLog === undefined ? [] : whole('event-log', eventLog)), ...[...(certificate === undefined ? [] : [certificate]), ...intermediates].flatMap(der => whole('certificate', der))]
}
const RSA_BYTES = 256
const STRENGTH = ['sha512', 'sha384', 'sha256', 'sha1']

function quotePieces(quote: AttestationQuote | undefined): Found[] {
  if (quote === undefined) return []
  const registers = Object.fromEntries([...quote.pcrs].map(([bank, values]) => [bank, Object.fromEntries([...values].map(([index, value]) => [String(index), toHex(value)]))]))
  return [...whole('tpm-message', quote.message), ...whole('tpm-signature', quote.signature), { what: 'pcrs', json: registers }]
}

// ---- one evidence of several pieces

/** Which pieces make which evidence: the first names it; `list` fields take every piece of the kind. */
interface Recipe { readonly kind: string; readonly from: What; readonly field: string; readonly one: Readonly<Partial<Record<What, string>>>; readonly list: Readonly<Partial<Record<What, string>>> }
const RECIPES: readonly Recipe[] = [
  // Azure's report holds another machine's report or goes with its quote: it comes first.
  { kind: 'azure', from: 'hcl-report', field: 'hclReport', one: { 'tpm-message': 'message', 'rsa-signature': 'signature', pcrs: 'pcrs', 'tdx-quote': 'tdQuote', 'dcap-collateral': 'collateral', 'event-log': 'eventLog' }, list: { certificate: 'certificates', crl: 'crls' } },
  { kind: 'snp', from: 'snp-report', field: 'report', one: {}, list: { certificate: 'certificates', crl: 'crls' } },
  { kind: 'tdx', from: 'tdx-quote', field: 'quote', one: { 'dcap-collateral': 'collateral', 'event-log': 'eventLog' }, list: {} },
  { kind: 'sgx', from: 'sgx-quote', field: 'quote', one: { 'dcap-collateral': 'collateral' }, list: {} },
  { kind: 'nitro', from: 'nitro-document', field: 'document', one: {}, list: { crl: 'crls' } },
  { kind: 'cca', from: 'cca-token', field: 'token', one: {}, list: {} },
  { kind: 'nvidia', from: 'nvidia-report', field: 'report', one: {}, list: { certificate: 'certificates', rim: 'rims', ocsp: 'ocsp', crl: 'crls' } },
  { kind: 'tpm', from: 'tpm-message', field: 'message', one: { 'tpm-signature': 'signature', 'tpm-public': 'ak', 'public-key': 'ak', pcrs: 'pcrs', 'event-log': 'eventLog' }, list: { certificate: 'certificates', crl: 'crls' } },
]

/**
 * One evidence (JSON, for `parseEvidence`) of the pieces of one machine, or the document that is the only piece. Refuses
 * `evidence.missing` (nothing that a machine signed), `evidence.parse` (a piece twice, or one that has no place in it).
 */
export function assemble(found: readonly Piece[]): Result<JsonObject> {
  return attempt(() => {
    const document = found.find(piece => piece.what === 'evidence')
    if (document !== undefined && isObject(document.json)) return complete(document.json, found.filter(piece => piece !== document))
    const token = found.find(piece => piece.what === 'token')
    if (token !== undefined) return only(found, tokenOf(token.json ?? ''))
    const recipe = RECIPES.find(({ from }) => found.some(piece => piece.what === from))
    if (recipe === undefined) return refuse('evidence.missing', found[0]?.file ?? 'files', 'something that a machine signed', found.map(piece => piece.what).join(', '), 'give its report, quote or token as well')
    return built(recipe, found)
  })
}

function built({ kind, from, field, one, list }: Recipe, found: readonly Piece[]): JsonObject {
  const out: Record<string, Json> = { kind, ...(kind === 'snp' || kind === 'nvidia' ? { certificates: [] } : {}) }
  for (const piece of found) {
    const [single, many] = [piece.what === from ? field : one[piece.what], list[piece.what]]
    const value = piece.bytes ?? (piece.what === 'pcrs' && isObject(piece.json) ? pcrsOf(piece.json) : piece.json) ?? ''
    if (single !== undefined) out[single] = out[single] === undefined ? value : refuse('evidence.parse', piece.file, `one ${piece.what}`, 'two', 'give the files of one machine')
    else if (many !== undefined) out[many] = [...(Array.isArray(out[many]) ? out[many] : []), value]
    else refuse('evidence.parse', piece.file, `files that belong to evidence of kind ${kind}`, piece.what)
  }
  return out
}

/** Evidence in our own JSON, with collateral from further files added to what it has. */
function complete(evidence: JsonObject, more: readonly Piece[]): JsonObject {
  const out: Record<string, Json> = { ...evidence }
  for (const piece of more) {
    const list = LISTS[piece.what]
    if (piece.what === 'dcap-collateral' && piece.json !== undefined) out['collateral'] = piece.json
    else if (list !== undefined && piece.bytes !== undefined) out[list] = [...(Array.isArray(out[list]) ? out[list] : []), piece.bytes]
    else refuse('evidence.parse', piece.file, 'collateral beside evidence', piece.what)
  }
  return out
}
const LISTS: Readonly<Partial<Record<What, string>>> = { certificate: 'certificates', crl: 'crls', rim: 'rims', ocsp: 'ocsp' }

function tokenOf(json: Json): JsonObject {
  if (!Array.isArray(json)) return { kind: 'token', token: json }
  const [first, devices] = json
  return { kind: 'token', token: Array.isArray(first) ? first[1] ?? '' : '', detached: devices ?? {} }
}

function only(found: readonly Piece[], evidence: JsonObject): JsonObject {
  const other = found[1]
  return other === undefined ? evidence : refuse('evidence.parse', other.file, 'a token alone', other.what)
}
