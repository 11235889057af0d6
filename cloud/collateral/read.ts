/**
 * What a file is that somebody wants filed: certificates, lists and answers (DER, PEM, hex or base64), bodies and headers
 * of Intel's service, whole collateral files, manifests, and evidence of which the collateral is taken. Reads shapes
 * only; whom a document chains to is judged afterwards. Trusts nothing.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { children, readDer, TAG } from '@cloister/core/bytes/der'
import { fromHex } from '@cloister/core/bytes/hex'
import { isObject, JSON_LIMITS, parseJsonObject, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { parseOcsp, type OcspResponse } from '@cloister/core/crypto/ocsp'
import { readPem } from '@cloister/core/crypto/pem'
import { parseCertificate, parseCrl, type Certificate, type RevocationList } from '@cloister/core/crypto/x509'
import { parseQuote } from '@cloister/core/evidence/dcap/quote'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { LIMITS } from './documents.ts'
import { splitBody, type SignedText } from './intel.ts'
import { RIM_ID } from './nvidia.ts'

export type Piece =
  | { readonly what: 'certificate'; readonly certificate: Certificate }
  | { readonly what: 'list'; readonly list: RevocationList }
  | { readonly what: 'answer'; readonly response: OcspResponse }
  | { readonly what: 'signed'; readonly signed: SignedText }
  | { readonly what: 'manifest'; readonly bytes: Uint8Array; readonly id?: string }

const KNOWN = 'a certificate, revocation list or OCSP response (DER, PEM, hex, base64), a body or headers of Intel\'s service, a collateral file, a manifest (RIM), or evidence'

/** The pieces of a file, at least one. `name` may carry a manifest's identifier. Leaves with `evidence.parse`, `bytes.*`, `json.*`, `x509.*` … */
export function readFile(name: string, bytes: Uint8Array): Piece[] {
  if (bytes.length > LIMITS.documentBytes) refuse('bytes.too-large', name, `at most ${LIMITS.documentBytes} bytes`, `${bytes.length} bytes`)
  const text = attempt(() => fromUtf8(bytes))
  const pieces = text.ok && !/^[\x30]/.test(text.value.slice(0, 1)) ? ofText(name, text.value) : binaryOrText(name, bytes, text.ok ? text.value : undefined)
  if (pieces.length === 0) return refuse('evidence.parse', name, KNOWN, 'nothing of these')
  return pieces.length <= LIMITS.documentsOfFile ? pieces : refuse('bytes.too-large', name, `at most ${LIMITS.documentsOfFile} documents in a file`, String(pieces.length))
}

/** DER begins with 0x30, which is also the digit 0. */
function binaryOrText(name: string, bytes: Uint8Array, text: string | undefined): Piece[] {
  return text !== undefined && (HEX.test(text) || BASE64.test(text)) ? ofText(name, text) : ofBinary(name, bytes)
}

const HEX = /^\s*(?:[0-9a-fA-F]{2}){32,}\s*$/
const BASE64 = /^\s*[A-Za-z0-9+/\r\n]{40,}={0,2}\s*$/

function ofText(name: string, text: string): Piece[] {
  if (/^\s*\{/.test(text)) return ofJson(name, text)
  if (/<(?:[A-Za-z0-9]+:)?SoftwareIdentity[\s>]/.test(text)) return [manifest(name, utf8(text))]
  if (text.includes('-----BEGIN%20CERTIFICATE-----')) return ofHeaders(text)
  if (text.includes('-----BEGIN ')) return [...certificatesOf(text).map(certificate => ({ what: 'certificate', certificate } as const)), ...readPem(text, 'X509 CRL').map(der => list(name, der))]
  if (HEX.test(text)) return ofBinary(name, fromHex(text.trim(), name))
  if (BASE64.test(text)) return ofBinary(name, fromBase64(text.replace(/\s/g, ''), name))
  return refuse('evidence.parse', name, KNOWN, 'another text')
}

/** The header in which Intel's service sends a chain: PEM, percent-encoded. */
function ofHeaders(text: string): Piece[] {
  const values = [...text.matchAll(/-----BEGIN%20CERTIFICATE-----[A-Za-z0-9%+/=_.-]*/g)].map(([one]) => one)
  return values.flatMap(one => certificatesOf(decoded(one))).map(certificate => ({ what: 'certificate', certificate }))
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return refuse('bytes.encoding', 'headers', 'percent-encoding', value.slice(0, 40))
  }
}

function certificatesOf(pem: string): Certificate[] {
  const ders = readPem(pem, 'CERTIFICATE')
  if (ders.length > LIMITS.certificatesOfFile) refuse('bytes.too-large', 'certificates', `at most ${LIMITS.certificatesOfFile}`, String(ders.length))
  return ders.map((der, i) => orRefuse(parseCertificate(der, `certificates[${i}]`)))
}

const list = (name: string, der: Uint8Array): Piece => ({ what: 'list', list: orRefuse(parseCrl(der, name)) })
const ENUMERATED = 0x0a

/** The three forms begin differently: a response with its status, a certificate with its version; a list has neither. Quotes bring certificates. */
function ofBinary(name: string, bytes: Uint8Array): Piece[] {
  const quote = bytes[0] === 0x30 ? undefined : attempt(() => parseQuote(bytes))
  if (quote?.ok === true) return quote.value.certificates.map((der, i) => ({ what: 'certificate', certificate: orRefuse(parseCertificate(der, `quote.certificates[${i}]`)) }))
  if (bytes[0] !== 0x30) return refuse('evidence.parse', name, KNOWN, 'other bytes')
  const [first] = children(readDer(bytes, name))
  if (first?.tag === ENUMERATED) return [{ what: 'answer', response: orRefuse(parseOcsp(bytes, name)) }]
  if (first?.tag === TAG.sequence && children(first)[0]?.tag === 0xa0) return [{ what: 'certificate', certificate: orRefuse(parseCertificate(bytes, name)) }]
  return [list(name, bytes)]
}

function manifest(name: string, bytes: Uint8Array): Piece {
  // NVIDIA's own file names have the identifier behind another word at times.
  const id = /(NV_[A-Z0-9][A-Za-z0-9_.-]*?)(?:\.(?:xml|swidtag))?$/.exec(name)?.[1]
  return { what: 'manifest', bytes, ...(id !== undefined && RIM_ID.test(id) ? { id } : {}) }
}

// ---- JSON ----------------------------------------------------------------------------------------------------------

const LARGE = { ...JSON_LIMITS, bytes: LIMITS.documentBytes, string: LIMITS.documentBytes }

function ofJson(name: string, text: string): Piece[] {
  const body = splitBody(text)
  if (body !== undefined) return [{ what: 'signed', signed: { ...body, chain: [] } }]
  const json = parseJsonObject(text, LARGE)
  if ('tcb_info' in json || 'qe_identity' in json) return ofCollateral(json)
  if (typeof json['rim'] === 'string') return [{ ...manifest(String(json['id'] ?? name), fromBase64(json['rim'], 'rim')) }]
  if (isObject(json['evidence'])) return ofEvidence(json['evidence'])
  return ofEvidence(json)
}

const TEXTS = ['tcb_info', 'tcb_info_signature', 'tcb_info_issuer_chain', 'qe_identity', 'qe_identity_signature', 'qe_identity_issuer_chain', 'pck_crl', 'root_ca_crl', 'pck_crl_issuer_chain', 'pck_certificate_chain']

/** A whole collateral file; what it leaves out is left out here. */
function ofCollateral(json: JsonObject): Piece[] {
  for (const [key, value] of Object.entries(json)) if (!TEXTS.includes(key) || typeof value !== 'string') refuse('evidence.parse', `collateral.${key}`, `texts: ${TEXTS.join(', ')}`, key)
  const text = (key: string) => (typeof json[key] === 'string' ? json[key] : '')
  const signed = (name: SignedText['name'], key: string): Piece[] => (text(key) === '' ? [] : [{ what: 'signed', signed: { name, text: text(key), signature: text(`${key}_signature`), chain: certificatesOf(text(`${key}_issuer_chain`)) } }])
  return [
    ...['pck_crl_issuer_chain', 'pck_certificate_chain'].flatMap(key => certificatesOf(text(key))).map(certificate => ({ what: 'certificate', certificate } as const)),
    ...signed('tcbInfo', 'tcb_info'), ...signed('enclaveIdentity', 'qe_identity'),
    ...['pck_crl', 'root_ca_crl'].filter(key => text(key) !== '').map(key => list(key, fromHex(text(key), key))),
  ]
}

/** The collateral that evidence brings, of any kind; the evidence itself is not judged. */
function ofEvidence(json: JsonObject): Piece[] {
  if (json['kind'] === 'bundle' && Array.isArray(json['parts'])) return json['parts'].slice(0, LIMITS.documentsOfFile).flatMap(part => (isObject(part) && isObject(part['evidence']) && part['evidence']['kind'] !== 'bundle' ? ofEvidence(part['evidence']) : []))
  const each = (key: string): [Uint8Array, string][] => strings(json[key], key).map((one, i) => [fromBase64(one, `${key}[${i}]`), `${key}[${i}]`])
  const quotes = ['quote', 'tdQuote'].flatMap(key => (typeof json[key] === 'string' ? ofBinary(key, fromBase64(json[key], key)) : []))
  return [
    ...each('certificates').map(([der, at]) => ({ what: 'certificate', certificate: orRefuse(parseCertificate(der, at)) } as const)), ...quotes,
    ...each('crls').map(([der, at]) => list(at, der)), ...each('rims').map(([bytes]) => manifest('', bytes)),
    ...each('ocsp').map(([der, at]) => ({ what: 'answer', response: orRefuse(parseOcsp(der, at)) } as const)), ...(isObject(json['collateral']) ? ofCollateral(json['collateral']) : []),
  ]
}

function strings(value: Json | undefined, at: string): string[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > LIMITS.documentsOfFile) return refuse('evidence.parse', at, `a list of at most ${LIMITS.documentsOfFile} texts`, 'another value')
  return value.map((one, i) => (typeof one === 'string' ? one : refuse('evidence.parse', `${at}[${i}]`, 'a text', 'another value')))
}
