/**
 * X.509 certificates and revocation lists (RFC 5280), as far as hardware vendors' chains need it, and strictly: every
 * signature is checked against the key of the certificate that issued it, the last one against a pinned root; dates
 * against a given time; CA flag, path length, key usage; unknown critical extensions refuse (attacks.md rows 21 to 27).
 * Serial number 0 is accepted: every AMD VEK carries it. Trusts: the port and the roots handed in, nothing else.
 */
import { equal } from '../bytes/bytes.ts'
import { bitBytes, booleanOf, children, contentOf, type Der, oidOf, readDer, signed as integer, smallInteger, TAG, timeOf } from '../bytes/der.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { toHex } from '../bytes/hex.ts'
import { attempt, refuse, refusalOf, type RefusalCode, type Result } from '../refusal.ts'
import { ecdsaFromDer, spkiToKey } from './keys.ts'
import type { HashName, Primitives, PublicKey, SignatureAlgorithm } from './primitives.ts'

export interface Extension { readonly critical: boolean; readonly value: Uint8Array }
export interface Certificate {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  readonly serial: string // hex of the INTEGER's content
  readonly issuer: Uint8Array // DER Name
  readonly subject: Uint8Array
  readonly subjectCommonName: string
  readonly notBefore: number // seconds since 1970, inclusive
  readonly notAfter: number
  readonly publicKey: PublicKey
  readonly algorithm: CertificateAlgorithm
  readonly signature: Uint8Array
  readonly extensions: ReadonlyMap<string, Extension>
  readonly ca: boolean
  readonly pathLength?: number
  readonly keyUsage?: number // bit 0 = digitalSignature … as in RFC 5280, most significant bit first
}
export interface RevocationList {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  readonly issuer: Uint8Array
  readonly thisUpdate: number
  readonly nextUpdate: number
  readonly revoked: ReadonlyMap<string, number> // serial (hex, as in Certificate) → time
  readonly algorithm: CertificateAlgorithm
  readonly signature: Uint8Array
}
export interface CertificateAlgorithm { readonly scheme: 'rsa-pss' | 'rsa-pkcs1' | 'ecdsa' | 'ed25519'; readonly hash: HashName }

const DER_BYTES_MAX = 64 * 1024
const CRL_BYTES_MAX = 4 * 1024 * 1024
const PATH_MAX = 6
const INTERMEDIATES_MAX = 16 // each may cost one signature check per step of the path

/** One certificate. Refuses with `x509.parse` or `der.*`. */
export function parseCertificate(der: Uint8Array, at = 'certificate'): Result<Certificate> {
  return attempt(() => {
    if (der.length > DER_BYTES_MAX) refuse('bytes.too-large', at, `at most ${DER_BYTES_MAX} bytes`, `${der.length} bytes`)
    const { tbs, algorithm, signature } = signed(der, at)
    const fields = children(tbs)
    if (fields[0]?.tag !== 0xa0 || smallInteger(children(fields[0], 0xa0)[0], at) !== 2) refuse('x509.parse', at, 'version 3', 'another version')
    const [, serial, inner, issuer, validity, subject, spki, ...more] = fields
    if (inner === undefined || !equal(inner.whole, algorithm.element.whole)) refuse('x509.parse', at, 'the same algorithm inside and outside', 'two algorithms')
    const [notBefore, notAfter, tooMany] = children(needed(validity, at))
    if (tooMany !== undefined) refuse('x509.parse', at, 'two dates', 'more')
    const extensions = readExtensions(more, at)
    const constraints = basicConstraints(extensions)
    const usage = keyUsageOf(extensions)
    return {
      der, tbs: tbs.whole, serial: toHex(integer(serial, at)),
      issuer: needed(issuer, at).whole, subject: needed(subject, at).whole, subjectCommonName: commonName(needed(subject, at)),
      notBefore: timeOf(notBefore, at), notAfter: timeOf(notAfter, at),
      publicKey: spkiToKey(needed(spki, at).whole, at), algorithm: algorithm.value, signature, extensions, ...constraints,
      ...(usage === undefined ? {} : { keyUsage: usage }),
    }
  })
}

/** One revocation list. `nextUpdate` is required: a list without an end is never current. */
export function parseCrl(der: Uint8Array, at = 'crl'): Result<RevocationList> {
  return attempt(() => {
    if (der.length > CRL_BYTES_MAX) refuse('bytes.too-large', at, `at most ${CRL_BYTES_MAX} bytes`, `${der.length} bytes`)
    const { tbs, algorithm, signature } = signed(der, at)
    const fields = children(tbs)
    const rest = fields[0]?.tag === TAG.integer ? fields.slice(1) : fields
    const [inner, issuer, thisUpdate, nextUpdate, ...tail] = rest
    if (inner === undefined || !equal(inner.whole, algorithm.element.whole)) refuse('x509.parse', at, 'the same algorithm inside and outside', 'two algorithms')
    if (nextUpdate === undefined || (nextUpdate.tag !== TAG.utcTime && nextUpdate.tag !== TAG.generalizedTime)) refuse('crl.expired', at, 'a nextUpdate', 'none')
    const revoked = new Map<string, number>()
    const list = tail[0]?.tag === TAG.sequence ? tail.shift() : undefined
    for (const entry of list === undefined ? [] : children(list)) {
      const [serial, time, extensions] = children(entry)
      refuseCritical(extensions, at)
      revoked.set(toHex(integer(serial, at)), timeOf(time, at))
    }
    const [holder, surplus] = tail
    if (surplus !== undefined || (holder !== undefined && holder.tag !== 0xa0)) refuse('x509.parse', at, 'the fields of RFC 5280 section 5.1', 'another field')
    refuseCritical(holder === undefined ? undefined : children(holder, 0xa0)[0], at)
    return { der, tbs: tbs.whole, issuer: needed(issuer, at).whole, thisUpdate: timeOf(thisUpdate, at), nextUpdate: timeOf(nextUpdate, at), revoked, algorithm: algorithm.value, signature }
  })
}

export interface ChainInput {
  readonly leaf: Certificate
  readonly intermediates: readonly Certificate[]
  readonly roots: readonly Certificate[]
  /** The time to judge at, seconds since 1970. */
  readonly at: number
  readonly crls?: readonly RevocationList[]
  /** Refuse (`crl.missing`) when a certificate of the path, other than the root, has no list of its issuer. */
  readonly requireCrl?: boolean
  /** Critical extensions, by dotted identifier, that the caller examines itself. */
  readonly criticalKnown?: readonly string[]
}
export interface Chain { readonly path: readonly Certificate[]; readonly notBefore: number; readonly notAfter: number; readonly crls: readonly RevocationList[] }

/** A path from the leaf to one of the roots in which everything holds. The root is believed because it is pinned, byte for byte. */
export function validateChain(p: Primitives, input: ChainInput): Result<Chain> {
  return attempt(() => {
    const path = buildPath(p, input)
    path.forEach((certificate, depth) => checkCertificate(certificate, depth, input))
    const crls = path.slice(0, -1).flatMap((certificate, i) => checkRevocation(p, certificate, path[i + 1] ?? certificate, input))
    return {
      path, crls,
      notBefore: Math.max(...path.map(c => c.notBefore), ...crls.map(c => c.thisUpdate)),
      notAfter: Math.min(...path.map(c => c.notAfter), ...crls.map(c => c.nextUpdate)),
    }
  })
}

/** Does `issuer`'s key sign these bytes? The algorithm is the certificate's, but it must fit the key. */
export function verifySigned(p: Primitives, issuer: PublicKey, algorithm: CertificateAlgorithm, tbs: Uint8Array, signature: Uint8Array): boolean {
  const name = portAlgorithm(algorithm, issuer)
  if (name === undefined) return false
  if (algorithm.scheme !== 'ecdsa') return p.verify(name, issuer, tbs, signature)
  const raw = attempt(() => ecdsaFromDer(signature, issuer.kind === 'p384' ? 48 : 32))
  return raw.ok && p.verify(name, issuer, tbs, raw.value)
}

function buildPath(p: Primitives, input: ChainInput): Certificate[] {
  if (input.intermediates.length > INTERMEDIATES_MAX) refuse('bytes.too-large', 'chain', `at most ${INTERMEDIATES_MAX} intermediates`, String(input.intermediates.length))
  const path = [input.leaf]
  for (;;) {
    const last = path[path.length - 1] ?? input.leaf
    const pinned = input.roots.find(root => equal(root.der, last.der))
    if (pinned !== undefined && path.length > 1) return path
    if (path.length >= PATH_MAX) refuse('x509.path-length', 'chain', `at most ${PATH_MAX} certificates`, 'more')
    const named = [...input.roots, ...input.intermediates].filter(candidate => equal(candidate.subject, last.issuer) && !path.some(known => equal(known.der, candidate.der)))
    if (named.length === 0) {
      const selfSigned = equal(last.issuer, last.subject)
      return refuse(selfSigned ? 'x509.untrusted-root' : 'x509.issuer', place(path.length - 1), selfSigned ? 'a pinned root' : 'the certificate of its issuer', selfSigned ? last.subjectCommonName : 'none')
    }
    const issuer = named.find(candidate => verifySigned(p, candidate.publicKey, last.algorithm, last.tbs, last.signature))
    if (issuer === undefined) return refuse('x509.signature', place(path.length - 1), `a signature by ${named[0]?.subjectCommonName ?? 'its issuer'}`, 'one that does not hold')
    path.push(issuer)
  }
}

function checkCertificate(certificate: Certificate, depth: number, input: ChainInput): void {
  const at = place(depth)
  if (input.at < certificate.notBefore) refuse('x509.not-yet-valid', at, `a time from ${certificate.notBefore}`, String(input.at))
  if (input.at > certificate.notAfter) refuse('x509.expired', at, `a time until ${certificate.notAfter}`, String(input.at), 'fetch a current certificate, or judge --at an earlier time')
  for (const [oid, extension] of certificate.extensions) {
    if (extension.critical && !KNOWN.has(oid) && !(input.criticalKnown ?? []).includes(oid)) refuse('x509.critical-extension', at, 'known critical extensions', oid)
  }
  if (depth === 0) {
    if (certificate.keyUsage !== undefined && (certificate.keyUsage & 0x80) === 0) refuse('x509.key-usage', at, 'digitalSignature', 'not among its uses')
    return
  }
  if (!certificate.ca) refuse('x509.not-a-ca', at, 'basicConstraints with CA', 'none')
  if (((certificate.keyUsage ?? 0) & 0x04) === 0) refuse('x509.key-usage', at, 'keyCertSign', 'not among its uses')
  if (certificate.pathLength !== undefined && depth - 1 > certificate.pathLength) refuse('x509.path-length', at, `at most ${certificate.pathLength} certificates below`, String(depth - 1))
}

function checkRevocation(p: Primitives, certificate: Certificate, issuer: Certificate, input: ChainInput): RevocationList[] {
  const lists = (input.crls ?? []).filter(list => equal(list.issuer, certificate.issuer))
  const at = certificate.subjectCommonName
  if (lists.length === 0) {
    if (input.requireCrl === true) refuse('crl.missing', at, `a revocation list of ${issuer.subjectCommonName}`, 'none', 'add the list to the evidence')
    return []
  }
  for (const list of lists) {
    if (issuer.keyUsage !== undefined && (issuer.keyUsage & 0x02) === 0) refuse('crl.issuer', at, 'an issuer that may sign lists', issuer.subjectCommonName)
    if (!verifySigned(p, issuer.publicKey, list.algorithm, list.tbs, list.signature)) refuse('crl.signature', at, `a list signed by ${issuer.subjectCommonName}`, 'a signature that does not hold')
    if (input.at > list.nextUpdate || input.at < list.thisUpdate) refuse('crl.expired', at, `a list for ${input.at}`, `one for ${list.thisUpdate} to ${list.nextUpdate}`)
    if (list.revoked.has(certificate.serial)) refuse('x509.revoked', at, 'a certificate in force', `serial ${certificate.serial} is revoked`)
  }
  return lists
}

/** The refusal for a chain that does not hold, under the name of the room that asked. */
export function chainRefusal(code: RefusalCode, result: Result<unknown>): Result<never> {
  if (result.ok) throw new TypeError('a chain that holds is no refusal')
  const { code: inner, at, expected, got, fix } = result.refusal
  return { ok: false, refusal: refusalOf(code, `${at} (${inner})`, expected, got, fix) }
}

const place = (depth: number) => `chain[${depth}]`
const needed = (element: Der | undefined, at: string): Der => element ?? refuse('x509.parse', at, 'a complete certificate', 'a missing field')

const BASIC_CONSTRAINTS = '2.5.29.19'
const KEY_USAGE = '2.5.29.15'
const KNOWN = new Set([BASIC_CONSTRAINTS, KEY_USAGE])
const COMMON_NAME = '2.5.4.3'
const HASH_OIDS: Record<string, HashName> = { '2.16.840.1.101.3.4.2.1': 'sha256', '2.16.840.1.101.3.4.2.2': 'sha384', '2.16.840.1.101.3.4.2.3': 'sha512' }
const HASH_BYTES: Record<HashName, number> = { sha256: 32, sha384: 48, sha512: 64 }
const ALGORITHMS: Record<string, CertificateAlgorithm> = {
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa', hash: 'sha256' }, '1.2.840.10045.4.3.3': { scheme: 'ecdsa', hash: 'sha384' },
  '1.2.840.113549.1.1.11': { scheme: 'rsa-pkcs1', hash: 'sha256' }, '1.2.840.113549.1.1.12': { scheme: 'rsa-pkcs1', hash: 'sha384' }, '1.2.840.113549.1.1.13': { scheme: 'rsa-pkcs1', hash: 'sha512' },
  '1.3.101.112': { scheme: 'ed25519', hash: 'sha512' },
}

function portAlgorithm(algorithm: CertificateAlgorithm, key: PublicKey): SignatureAlgorithm | undefined {
  if (algorithm.scheme === 'ed25519') return key.kind === 'ed25519' ? 'ed25519' : undefined
  if (algorithm.scheme === 'ecdsa') {
    if (algorithm.hash === 'sha512') return undefined
    return key.kind === 'p256' ? `ecdsa-p256-${algorithm.hash}` : key.kind === 'p384' ? `ecdsa-p384-${algorithm.hash}` : undefined
  }
  return key.kind === 'rsa' ? `${algorithm.scheme}-${algorithm.hash}` : undefined
}

function signed(der: Uint8Array, at: string) {
  const [tbs, algorithm, bits, more] = children(readDer(der, at))
  if (tbs === undefined || algorithm === undefined || more !== undefined) return refuse('x509.parse', at, 'three parts', 'another number')
  return { tbs, algorithm: { element: algorithm, value: readAlgorithm(algorithm, at) }, signature: bitBytes(bits, at) }
}

function readAlgorithm(element: Der, at: string): CertificateAlgorithm {
  const [oidElement, parameters] = children(element)
  const oid = oidOf(oidElement, at)
  if (oid === '1.2.840.113549.1.1.10') return pssAlgorithm(needed(parameters, at), at)
  if (parameters !== undefined && (parameters.tag !== TAG.null || parameters.content.length > 0)) refuse('crypto.algorithm', at, 'no parameters', 'parameters')
  return ALGORITHMS[oid] ?? refuse('crypto.algorithm', at, 'RSA, ECDSA or Ed25519 with SHA-2', oid)
}

/** RSASSA-PSS-params (RFC 4055): hash, MGF1 with the same hash, salt as long as the hash. */
function pssAlgorithm(parameters: Der, at: string): CertificateAlgorithm {
  const parts = children(parameters)
  const fields = new Map(parts.map(field => [field.tag, field]))
  const trailer = fields.get(0xa3) // the only value there is, 1, is the default; AMD writes it out
  if (fields.size !== parts.length || parts.length !== (trailer === undefined ? 3 : 4) || (trailer !== undefined && smallInteger(children(trailer, 0xa3)[0], at) !== 1)) {
    refuse('crypto.algorithm', at, 'hash, mask, salt length and the common trailer', 'other parameters')
  }
  const first = (tag: number) => children(fields.get(tag) ?? refuse('crypto.algorithm', at, 'explicit PSS parameters', 'defaults (SHA-1)'), tag)[0]
  const hash = HASH_OIDS[oidOf(children(needed(first(0xa0), at))[0], at)]
  const [mgf, mgfHash] = children(needed(first(0xa1), at))
  const same = mgfHash === undefined ? undefined : HASH_OIDS[oidOf(children(mgfHash)[0], at)]
  const salt = smallInteger(first(0xa2), at)
  if (hash === undefined || oidOf(mgf, at) !== '1.2.840.113549.1.1.8' || same !== hash || salt !== HASH_BYTES[hash]) {
    return refuse('crypto.algorithm', at, 'PSS with one SHA-2 hash and a salt of its length', 'other parameters')
  }
  return { scheme: 'rsa-pss', hash }
}

function readExtensions(fields: readonly Der[], at: string): Map<string, Extension> {
  const out = new Map<string, Extension>()
  const holder = fields.find(field => field.tag === 0xa3)
  if (fields.some(field => field.tag !== 0xa3 && field.tag !== 0x81 && field.tag !== 0x82)) refuse('x509.parse', at, 'the fields of RFC 5280', 'another field')
  if (holder === undefined) return out
  const [list, more] = children(holder, 0xa3)
  if (list === undefined || more !== undefined) return refuse('x509.parse', at, 'one list of extensions', 'another number')
  for (const entry of children(list)) {
    const parts = children(entry)
    if (parts.length !== 2 && parts.length !== 3) refuse('x509.parse', at, 'an extension of two or three parts', String(parts.length))
    const oid = oidOf(parts[0], at)
    const critical = parts.length === 3 && parts[1] !== undefined ? booleanOf(parts[1]) : false
    if (out.has(oid)) refuse('x509.parse', at, 'each extension once', oid)
    out.set(oid, { critical, value: contentOf(parts[parts.length - 1], TAG.octetString, at) })
  }
  return out
}

/** A list with a critical extension (a delta, one for some certificates only) says less than it seems to. */
function refuseCritical(extensions: Der | undefined, at: string): void {
  for (const entry of extensions === undefined ? [] : children(extensions)) {
    const [oid, critical] = children(entry)
    if (critical?.tag === TAG.boolean && booleanOf(critical)) refuse('x509.critical-extension', at, 'a complete list without critical extensions', oidOf(oid, at))
  }
}

function basicConstraints(extensions: ReadonlyMap<string, Extension>): { ca: boolean; pathLength?: number } {
  const extension = extensions.get(BASIC_CONSTRAINTS)
  if (extension === undefined) return { ca: false }
  const parts = children(readDer(extension.value, 'basicConstraints'))
  const [flag, length] = parts
  if (parts.length > 2) refuse('x509.parse', 'basicConstraints', 'a flag and a length', 'more')
  const ca = flag?.tag === TAG.boolean && booleanOf(flag)
  return length === undefined ? { ca } : { ca, pathLength: smallInteger(length, 'pathLen') }
}

function keyUsageOf(extensions: ReadonlyMap<string, Extension>): number | undefined {
  const extension = extensions.get(KEY_USAGE)
  if (extension === undefined) return undefined
  const bits = contentOf(readDer(extension.value, 'keyUsage'), TAG.bitString)
  if (bits.length < 2 || (bits[0] ?? 8) > 7) return refuse('x509.parse', 'keyUsage', 'at least one bit', 'none')
  return bits[1]
}

/** The last common name of a Name; certificates without one (some CAs) give the empty text. */
function commonName(name: Der): string {
  let found = ''
  for (const set of children(name)) {
    for (const attribute of children(set, TAG.set)) {
      const [oid, value] = children(attribute)
      if (value !== undefined && oidOf(oid) === COMMON_NAME) found = fromUtf8(value.content, 'commonName')
    }
  }
  return found
}
