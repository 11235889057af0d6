/**
 * OCSP answers (RFC 6960) as documents that travel with evidence: who signed the answer, about which certificate, for
 * which time. The signer is the issuer itself or a responder to whom the issuer gave exactly that task. An answer without
 * an end (nextUpdate) is never current. Freshness is its own window, not a nonce: it may be older than the question.
 *
 * SHA-1 is here because identifiers of certificates and responders are made with it; nothing is believed because of it.
 * Trusts: the port and the issuer's certificate handed in, whose own chain the caller has verified.
 */
import { allZero, concat, equal } from '../bytes/bytes.ts'
import { bitBytes, children, contentOf, type Der, derInteger, derSequence, oidOf, readDer, signed as integer, TAG, timeOf } from '../bytes/der.ts'
import { toHex } from '../bytes/hex.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import type { HashName, Primitives, PublicKey } from './primitives.ts'
import { parseCertificate, validateChain, verifySigned, type Certificate, type CertificateAlgorithm } from './x509.ts'

export interface OcspAnswer {
  readonly issuerNameHash: Uint8Array
  readonly issuerKeyHash: Uint8Array
  readonly hash: HashName | 'sha1'
  readonly serial: string // hex of the INTEGER's content, as in Certificate
  readonly status: 'good' | 'revoked' | 'unknown'
  /** Of a revoked certificate: when, seconds since 1970, and the reason of RFC 5280 section 5.3.1 (6: on hold). */
  readonly revokedAt?: number
  readonly reason?: number
  readonly thisUpdate: number
  readonly nextUpdate: number
}
export interface OcspResponse {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  /** The responder by name (DER) or by the SHA-1 of its key. */
  readonly responder: { readonly name: Uint8Array } | { readonly keyHash: Uint8Array }
  readonly producedAt: number
  readonly answers: readonly OcspAnswer[]
  readonly algorithm: CertificateAlgorithm
  readonly signature: Uint8Array
  readonly certificates: readonly Certificate[]
}
/** An answer that holds for a certificate: how long, and the bytes it rests on. */
export interface OcspProof { readonly response: OcspResponse; readonly responder: Certificate; readonly notBefore: number; readonly notAfter: number }

const RESPONSE_BYTES_MAX = 64 * 1024
const ANSWERS_MAX = 64
const CERTIFICATES_MAX = 4

/** One response, DER. Refuses with `x509.parse`, `crl.expired` (no nextUpdate), `crypto.algorithm`, `bytes.too-large` or `der.*`. */
export function parseOcsp(der: Uint8Array, at = 'ocsp'): Result<OcspResponse> {
  return attempt(() => {
    if (der.length > RESPONSE_BYTES_MAX) refuse('bytes.too-large', at, `at most ${RESPONSE_BYTES_MAX} bytes`, `${der.length} bytes`)
    const [status, holder, more] = children(readDer(der, at))
    const code = contentOf(status, ENUMERATED, at)
    if (code.length !== 1 || code[0] !== 0) refuse('x509.parse', at, 'a successful response (status 0)', `status ${toHex(code)}`)
    if (holder === undefined || more !== undefined) return refuse('x509.parse', at, 'a status and a response', 'another number of parts')
    const [typed, surplus] = children(holder, 0xa0)
    const [type, bytes, rest] = typed === undefined ? [] : children(typed)
    if (surplus !== undefined || rest !== undefined || oidOf(type, at) !== BASIC_RESPONSE) return refuse('x509.parse', at, 'a basic OCSP response', 'another type')
    return readBasic(der, contentOf(bytes, TAG.octetString, at), at)
  })
}

/**
 * What the responses say about a certificate at a time (seconds since 1970): a proof that it is in force, or nothing when
 * none of them speaks of it. Refuses `x509.revoked`, `crl.missing` (status unknown), `crl.expired`, `crl.issuer`, `crl.signature`.
 *
 * @example
 * checkOcsp(p, { certificate: leaf, issuer: middle, responses: [], at: 0 }) // → { ok: true, value: undefined }
 */
export function checkOcsp(p: Primitives, input: { readonly certificate: Certificate; readonly issuer: Certificate; readonly responses: readonly OcspResponse[]; readonly at: number }): Result<OcspProof | undefined> {
  return attempt(() => {
    let proof: OcspProof | undefined
    for (const response of input.responses) {
      for (const answer of response.answers) {
        if (answer.serial !== input.certificate.serial || !isAbout(p, answer, input.issuer)) continue
        const held = judge(p, response, answer, input.certificate, input.issuer, input.at)
        if (proof === undefined || held.notAfter > proof.notAfter) proof = held
      }
    }
    return proof
  })
}

function judge(p: Primitives, response: OcspResponse, answer: OcspAnswer, certificate: Certificate, issuer: Certificate, at: number): OcspProof {
  const name = certificate.subjectCommonName
  const { responder, notBefore, notAfter } = responderOf(p, response, issuer, at)
  if (!verifySigned(p, responder.publicKey, response.algorithm, response.tbs, response.signature)) refuse('crl.signature', name, `an OCSP response signed by ${responder.subjectCommonName}`, 'a signature that does not hold')
  if (answer.status === 'revoked') refuse('x509.revoked', name, 'a certificate in force', answer.reason === 6 ? 'it is on hold' : `revoked at ${answer.revokedAt} (reason ${answer.reason ?? 'not stated'})`)
  if (answer.status === 'unknown') refuse('crl.missing', name, 'an OCSP response that knows the certificate', 'status unknown')
  if (at < answer.thisUpdate || at > answer.nextUpdate) refuse('crl.expired', name, `an OCSP response for ${at}`, `one for ${answer.thisUpdate} to ${answer.nextUpdate}`, 'ask the responder again')
  return { response, responder, notBefore: Math.max(notBefore, answer.thisUpdate), notAfter: Math.min(notAfter, answer.nextUpdate) }
}

/** Who answers for an issuer: the issuer itself, or a certificate in the response that the issuer signed for answering (RFC 6960 section 4.2.2.2). Leaves with `crl.issuer`. */
export function responderOf(p: Primitives, response: OcspResponse, issuer: Certificate, at: number): { responder: Certificate; notBefore: number; notAfter: number } {
  const responder = [issuer, ...response.certificates].find(candidate => isResponder(response, candidate))
  if (responder === undefined) return refuse('crl.issuer', 'ocsp', 'the certificate of the responder', 'none that it names')
  if (equal(responder.der, issuer.der)) return { responder, notBefore: issuer.notBefore, notAfter: issuer.notAfter }
  const usage = responder.extensions.get(EXTENDED_KEY_USAGE)
  const purposes = usage === undefined ? [] : children(readDer(usage.value, 'extKeyUsage')).map(one => oidOf(one))
  if (!purposes.includes(OCSP_SIGNING)) refuse('crl.issuer', responder.subjectCommonName, 'a certificate for signing OCSP responses', purposes.join(', ') || 'no such purpose')
  const chain = validateChain(p, { leaf: responder, intermediates: [], roots: [issuer], at, criticalKnown: [EXTENDED_KEY_USAGE] })
  if (!chain.ok) return refuse('crl.issuer', `${responder.subjectCommonName} (${chain.refusal.code})`, chain.refusal.expected, chain.refusal.got)
  return { responder, notBefore: chain.value.notBefore, notAfter: chain.value.notAfter }
}

function isResponder(response: OcspResponse, candidate: Certificate): boolean {
  return 'name' in response.responder ? equal(response.responder.name, candidate.subject) : equal(response.responder.keyHash, sha1(keyBytes(candidate.publicKey)))
}

/** Is the answer about a certificate of this issuer? */
export function isAbout(p: Primitives, answer: OcspAnswer, issuer: Certificate): boolean {
  const hash = (data: Uint8Array) => (answer.hash === 'sha1' ? sha1(data) : p.hash(answer.hash, data))
  return equal(answer.issuerNameHash, hash(issuer.subject)) && equal(answer.issuerKeyHash, hash(keyBytes(issuer.publicKey)))
}

/** The content of subjectPublicKey, of which OCSP makes its identifiers. */
function keyBytes(key: PublicKey): Uint8Array {
  return key.kind === 'rsa' ? derSequence(derInteger(key.n), derInteger(key.e)) : key.raw
}

const ENUMERATED = 0x0a
const BASIC_RESPONSE = '1.3.6.1.5.5.7.48.1.1'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'
const ALGORITHMS: Record<string, CertificateAlgorithm> = {
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa', hash: 'sha256' }, '1.2.840.10045.4.3.3': { scheme: 'ecdsa', hash: 'sha384' },
  '1.2.840.113549.1.1.11': { scheme: 'rsa-pkcs1', hash: 'sha256' }, '1.2.840.113549.1.1.12': { scheme: 'rsa-pkcs1', hash: 'sha384' }, '1.2.840.113549.1.1.13': { scheme: 'rsa-pkcs1', hash: 'sha512' },
}
const HASHES: Record<string, HashName | 'sha1'> = { '1.3.14.3.2.26': 'sha1', '2.16.840.1.101.3.4.2.1': 'sha256', '2.16.840.1.101.3.4.2.2': 'sha384', '2.16.840.1.101.3.4.2.3': 'sha512' }

function readBasic(der: Uint8Array, bytes: Uint8Array, at: string): OcspResponse {
  const [tbs, algorithm, bits, holder, more] = children(readDer(bytes, at))
  if (tbs === undefined || algorithm === undefined || more !== undefined) return refuse('x509.parse', at, 'data, algorithm, signature and certificates', 'another number of parts')
  const [list, surplus] = holder === undefined ? [] : children(holder, 0xa0)
  if (surplus !== undefined) refuse('x509.parse', at, 'one list of certificates', 'more')
  const certificates = list === undefined ? [] : limited(children(list), CERTIFICATES_MAX, `${at}.certs`).map((one, i) => orRefuse(parseCertificate(one.whole, `${at}.certs[${i}]`)))
  return { der, tbs: tbs.whole, ...readData(tbs, at), algorithm: named(ALGORITHMS, algorithm, at), signature: bitBytes(bits, at), certificates }
}

function readData(tbs: Der, at: string): Pick<OcspResponse, 'responder' | 'producedAt' | 'answers'> {
  const fields = children(tbs)
  if (fields[0]?.tag === 0xa0) refuse('der.non-canonical', at, 'no version but the default', 'a version')
  const [id, producedAt, list, extensions, more] = fields
  if (list === undefined || more !== undefined || (extensions !== undefined && extensions.tag !== 0xa1)) return refuse('x509.parse', at, 'the fields of RFC 6960 section 4.2.1', 'other fields')
  refuseCritical(extensions, at)
  return { responder: responderId(id, at), producedAt: generalTime(producedAt, at), answers: limited(children(list), ANSWERS_MAX, `${at}.responses`).map(one => readAnswer(one, at)) }
}

function responderId(element: Der | undefined, at: string): OcspResponse['responder'] {
  if (element?.tag === 0xa2) {
    const keyHash = contentOf(children(element, 0xa2)[0], TAG.octetString, at)
    return keyHash.length === 20 ? { keyHash } : refuse('x509.parse', at, 'a key hash of 20 bytes', `${keyHash.length} bytes`)
  }
  const name = element === undefined ? undefined : children(element, 0xa1)[0]
  return name === undefined ? refuse('x509.parse', at, 'a responder', 'none') : { name: name.whole }
}

function readAnswer(element: Der, at: string): OcspAnswer {
  const [id, status, thisUpdate, ...tail] = children(element)
  const next = tail[0]?.tag === 0xa0 ? tail.shift() : undefined
  const extensions = tail[0]?.tag === 0xa1 ? tail.shift() : undefined
  if (id === undefined || status === undefined || tail.length > 0) return refuse('x509.parse', at, 'the fields of a SingleResponse', 'other fields')
  refuseCritical(extensions, at)
  if (next === undefined) return refuse('crl.expired', at, 'a nextUpdate', 'none')
  const [algorithm, nameHash, keyHash, serial, more] = children(id)
  if (algorithm === undefined || more !== undefined) return refuse('x509.parse', at, 'four parts of a CertID', 'another number')
  return {
    hash: named(HASHES, algorithm, at), issuerNameHash: contentOf(nameHash, TAG.octetString, at), issuerKeyHash: contentOf(keyHash, TAG.octetString, at), serial: toHex(integer(serial, at)),
    ...readStatus(status, at), thisUpdate: generalTime(thisUpdate, at), nextUpdate: generalTime(children(next, 0xa0)[0], at),
  }
}

function readStatus(element: Der, at: string): Pick<OcspAnswer, 'status' | 'revokedAt' | 'reason'> {
  if (element.tag !== 0xa1) {
    if ((element.tag !== 0x80 && element.tag !== 0x82) || element.content.length > 0) refuse('x509.parse', at, 'good, revoked or unknown', `tag 0x${element.tag.toString(16)}`)
    return { status: element.tag === 0x80 ? 'good' : 'unknown' }
  }
  const [time, holder, more] = children(element, 0xa1)
  if (more !== undefined) refuse('x509.parse', at, 'a time and a reason', 'more')
  const reason = holder === undefined ? undefined : contentOf(children(holder, 0xa0)[0], ENUMERATED, at)[0]
  return { status: 'revoked', revokedAt: generalTime(time, at), ...(reason === undefined ? {} : { reason }) }
}

/** An AlgorithmIdentifier of the table, without parameters or with NULL. */
function named<T>(table: Record<string, T>, element: Der, at: string): T {
  const [oid, parameters, more] = children(element)
  if (more !== undefined || (parameters !== undefined && (parameters.tag !== TAG.null || parameters.content.length > 0))) refuse('crypto.algorithm', at, 'no parameters', 'parameters')
  const dotted = oidOf(oid, at)
  return table[dotted] ?? refuse('crypto.algorithm', at, Object.keys(table).join(', '), dotted)
}

function refuseCritical(holder: Der | undefined, at: string): void {
  for (const entry of holder === undefined ? [] : children(holder, 0xa1).flatMap(list => children(list))) {
    const [oid, critical] = children(entry)
    if (critical?.tag === TAG.boolean && !allZero(critical.content)) refuse('x509.critical-extension', at, 'no critical extension', oidOf(oid, at))
  }
}

function generalTime(element: Der | undefined, at: string): number {
  if (element?.tag !== TAG.generalizedTime) refuse('der.tag', at, 'a GeneralizedTime', element === undefined ? 'nothing' : `tag 0x${element.tag.toString(16)}`)
  return timeOf(element, at)
}

const limited = (list: Der[], max: number, at: string) => (list.length <= max ? list : refuse('bytes.too-large', at, `at most ${max}`, String(list.length)))

/** SHA-1 (FIPS 180-4 section 6.1), for identifiers only: 20 bytes. */
export function sha1(data: Uint8Array): Uint8Array {
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0])
  const padding = new Uint8Array(64 - ((data.length + 8) % 64))
  padding[0] = 0x80
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(data.length) * 8n)
  const padded = concat(data, padding, length)
  const view = new DataView(padded.buffer)
  for (let at = 0; at < padded.length; at += 64) sha1Block(state, view, at)
  const out = new Uint8Array(20)
  state.forEach((word, i) => new DataView(out.buffer).setUint32(4 * i, word))
  return out
}

function sha1Block(state: Uint32Array, view: DataView, at: number): void {
  const w = new Uint32Array(80)
  for (let i = 0; i < 80; i++) w[i] = i < 16 ? view.getUint32(at + 4 * i) : rotate((w[i - 3] ?? 0) ^ (w[i - 8] ?? 0) ^ (w[i - 14] ?? 0) ^ (w[i - 16] ?? 0), 1)
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state
  for (let i = 0; i < 80; i++) {
    const mixed = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d
    const next = (rotate(a, 5) + mixed + e + (ROUNDS[Math.floor(i / 20)] ?? 0) + (w[i] ?? 0)) >>> 0
    ;[e, d, c, b, a] = [d, c, rotate(b, 30), a, next]
  }
  ;[a, b, c, d, e].forEach((word, i) => { state[i] = (state[i] ?? 0) + word })
}

const ROUNDS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6]
const rotate = (word: number, by: number) => ((word << by) | (word >>> (32 - by))) >>> 0
