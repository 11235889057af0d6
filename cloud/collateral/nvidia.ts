/**
 * NVIDIA's documents: reference manifests (RIM), OCSP answers, revocation lists, and the authorities of devices and
 * manifests, without which an OCSP answer cannot be verified. The identifier by which the manifest service hands out a
 * manifest is not signed: it is kept as a name to look up by, and must fit what the manifest itself says.
 * Trusts: the port and the two roots handed in.
 */
import { equal } from '@cloister/core/bytes/bytes'
import { fromBase64 } from '@cloister/core/bytes/base64'
import { bitBytes, children, contentOf, der, type Der, derOid, derSequence, oidOf, readDer, TAG } from '@cloister/core/bytes/der'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { keyToSpki } from '@cloister/core/crypto/keys'
import { isAbout, responderOf, sha1, type OcspAnswer, type OcspResponse } from '@cloister/core/crypto/ocsp'
import type { HashName, Primitives } from '@cloister/core/crypto/primitives'
import { parseCertificate, verifySigned, type Certificate, type RevocationList } from '@cloister/core/crypto/x509'
import { verifyRim, type VerifiedRim } from '@cloister/core/evidence/nvidia/rim'
import { attempt, refuse } from '@cloister/core/refusal'
import { atSomeTime, chainSometime, checkList, type Context } from './chains.ts'
import { LIMITS, type Document } from './documents.ts'

const rootsOf = ({ roots: { nvidia } }: Context) => [nvidia.device, nvidia.rim]

/** An authority; undefined for the roots and for a leaf, which travels with its evidence. Leaves with `x509.*` unless it chains to a root of NVIDIA. */
export function nvidiaCertificate(context: Context, one: Certificate): Document | undefined {
  if (rootsOf(context).some(root => equal(root.der, one.der))) return undefined
  chainSometime(context, one, rootsOf(context))
  return one.ca ? authority(one) : undefined
}

const authority = (one: Certificate): Document => ({ kind: 'nvidia-ca', about: { name: one.subjectCommonName }, notBefore: one.notBefore, notAfter: one.notAfter, bytes: one.der })

/** A manifest and the authorities that its chain brings. Leaves with `evidence.*`, `xml.*` or `x509.*`. */
export function nvidiaManifest({ p, roots, now }: Context, bytes: Uint8Array, id?: string): Document[] {
  const rim = atSomeTime([now, ...timesIn(bytes)], at => verifyRim(p, bytes, { now: at, root: roots.nvidia.rim }))
  const { product, edition, version } = rim
  const name = id ?? driverId(rim)
  if (name !== undefined && !fits(name, rim)) refuse('evidence.collateral', 'rim.id', `an identifier of ${edition} ${product} ${version}`, name, 'rename the file, or leave the identifier out')
  return [
    { kind: 'nvidia-rim', about: { product, edition, version: version.toUpperCase(), ...(name === undefined ? {} : { id: name }) }, notBefore: rim.notBefore, notAfter: rim.notAfter, bytes },
    ...rim.chain.path.slice(1).filter(one => !equal(one.der, roots.nvidia.rim.der)).map(authority),
  ]
}

/** What an identifier looks like: NV_GPU_DRIVER_GH100_550.90.07, NV_GPU_VBIOS_1010_0200_882_96009F0001. */
export const RIM_ID = /^NV_[A-Z0-9][A-Za-z0-9_.-]{4,120}$/
const isFirmware = (version: string) => /^[0-9A-F]{2}(\.[0-9A-F]{2}){4}$/.test(version.toUpperCase())
const driverId = ({ product, edition, version }: VerifiedRim) => (edition === 'GPU' && !isFirmware(version) ? `NV_GPU_DRIVER_${product}_${version}` : undefined)
/** The end of an identifier is the version, of firmware without its dots. */
const fits = (id: string, { version }: VerifiedRim) => RIM_ID.test(id) && id.toUpperCase().endsWith(`_${isFirmware(version) ? version.replaceAll('.', '').toUpperCase() : version.toUpperCase()}`)

/** The beginnings of the certificates that a manifest carries: times to try, nothing more. */
function timesIn(bytes: Uint8Array): number[] {
  const text = fromUtf8(bytes, 'rim')
  const found = [...text.matchAll(/X509Certificate>([A-Za-z0-9+/=\s]{1,20000})</g)].slice(0, LIMITS.certificatesOfFile)
  return found.flatMap(([, base64 = '']) => {
    const one = attempt(() => fromBase64(base64.replace(/\s/g, '')))
    const certificate = one.ok ? parseCertificate(one.value) : undefined
    return certificate?.ok === true ? [certificate.value.notBefore] : []
  })
}

/** An answer of a responder that one of NVIDIA's authorities appointed, whatever it says. Leaves with `crl.issuer`, `crl.signature` or `x509.issuer`. */
export function nvidiaAnswer(context: Context, response: OcspResponse): Document {
  const { p, now } = context
  const issuers = [...rootsOf(context), ...context.certificates.filter(one => one.ca)]
  const [first] = response.answers
  if (first === undefined) return refuse('evidence.parse', 'ocsp', 'an answer', 'none')
  const windows = response.answers.map((answer, i) => {
    const issuer = issuers.find(one => isAbout(p, answer, one)) ?? refuse('x509.issuer', `ocsp.responses[${i}]`, 'an answer about a certificate whose issuer is known', `another issuer (key hash ${toHex(answer.issuerKeyHash).slice(0, 16)}…)`, 'add the certificates of the device, or the manifest, first')
    if (!rootsOf(context).some(root => equal(root.der, issuer.der))) chainSometime(context, issuer, rootsOf(context))
    const { responder, notBefore, notAfter } = atSomeTime([answer.thisUpdate, now], at => responderOf(p, response, issuer, at))
    if (!verifySigned(p, responder.publicKey, response.algorithm, response.tbs, response.signature)) refuse('crl.signature', 'ocsp', `a response signed by ${responder.subjectCommonName}`, 'a signature that does not hold')
    return { notBefore: Math.max(notBefore, answer.thisUpdate), notAfter: Math.min(notAfter, answer.nextUpdate) }
  })
  return {
    kind: 'nvidia-ocsp', about: { name: `serial ${first.serial}`, status: first.status, certificates: response.answers.map(certificateId).join(' ') },
    notBefore: Math.max(...windows.map(one => one.notBefore)), notAfter: Math.min(...windows.map(one => one.notAfter)), bytes: response.der,
  }
}

/** By which certificate an answer, or a question, names: algorithm, hashes of the issuer's name and key, serial number. */
export const certificateId = (one: Pick<OcspAnswer, 'hash' | 'issuerNameHash' | 'issuerKeyHash' | 'serial'>): string => [one.hash, toHex(one.issuerNameHash), toHex(one.issuerKeyHash), one.serial].join(':')

/** NVIDIA's tools ask by the first. */
const HASHES: readonly (HashName | 'sha1')[] = ['sha384', 'sha256', 'sha1', 'sha512']

/** Each name that an answer may use for a certificate. */
export function certificateIds(p: Primitives, certificate: Certificate, issuer: Certificate): string[] {
  const key = bitBytes(children(readDer(keyToSpki(issuer.publicKey)))[1])
  return HASHES.map(hash => {
    const digest = (data: Uint8Array) => (hash === 'sha1' ? sha1(data) : p.hash(hash, data))
    return certificateId({ hash, issuerNameHash: digest(issuer.subject), issuerKeyHash: digest(key), serial: certificate.serial })
  })
}

/** Undefined when no authority of NVIDIA has this name. Leaves with `crl.*`. */
export function nvidiaList(context: Context, list: RevocationList): Document | undefined {
  const named = [...rootsOf(context), ...context.certificates].filter(one => one.ca && equal(one.subject, list.issuer))
  const [first] = named
  if (first === undefined) return undefined
  const issuer = named.find(one => attempt(() => checkList(context.p, list, one)).ok) ?? refuse('crl.signature', 'crl', `a list signed by ${first.subjectCommonName}`, 'a signature that does not hold')
  if (!rootsOf(context).some(root => equal(root.der, issuer.der))) chainSometime(context, issuer, rootsOf(context), [list.thisUpdate])
  return { kind: 'nvidia-crl', about: { name: issuer.subjectCommonName, issuer: toHex(context.p.hash('sha256', list.issuer)) }, notBefore: list.thisUpdate, notAfter: list.nextUpdate, bytes: list.der }
}

const HASH_OIDS: Readonly<Record<string, string>> = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2', sha512: '2.16.840.1.101.3.4.2.3' }

/** A question to a responder about certificates by their names, DER (RFC 6960 section 4.1), without a nonce: the answer is to be kept. */
export function questionFor(names: readonly string[]): Uint8Array {
  const one = (name: string) => {
    const [hash = '', issuerName = '', issuerKey = '', serial = ''] = name.split(':')
    const octets = (hex: string) => der(TAG.octetString, fromHex(hex))
    return derSequence(derSequence(derSequence(derOid(HASH_OIDS[hash] ?? ''), der(TAG.null)), octets(issuerName), octets(issuerKey), der(TAG.integer, fromHex(serial))))
  }
  return derSequence(derSequence(derSequence(...names.map(one))))
}

const QUESTIONS_MAX = 16

/**
 * The names of the certificates that an OCSP request asks about. A nonce and other extensions are not looked at: the
 * answers here were given before. Leaves with `evidence.parse` or `der.*`.
 */
export function readQuestion(bytes: Uint8Array): string[] {
  const [request, ...signature] = children(readDer(bytes, 'ocsp'))
  if (request === undefined || signature.length > 1) return refuse('evidence.parse', 'ocsp', 'an OCSP request', 'another form')
  const list = children(request).find(one => one.tag === TAG.sequence)
  const asked = list === undefined ? [] : children(list)
  if (asked.length === 0 || asked.length > QUESTIONS_MAX) return refuse('evidence.parse', 'ocsp', `1 to ${QUESTIONS_MAX} certificates`, String(asked.length))
  return asked.map(one => {
    const [algorithm, name, key, serial] = children(needed(children(one)[0]))
    const oid = oidOf(children(needed(algorithm))[0], 'ocsp')
    const hash = Object.keys(HASH_OIDS).find(known => HASH_OIDS[known] === oid) ?? refuse('crypto.algorithm', 'ocsp', 'SHA-1 or SHA-2', oid)
    return [hash, toHex(contentOf(name, TAG.octetString, 'ocsp')), toHex(contentOf(key, TAG.octetString, 'ocsp')), toHex(contentOf(serial, TAG.integer, 'ocsp'))].join(':')
  })
}

const needed = (element: Der | undefined): Der => element ?? refuse('evidence.parse', 'ocsp', 'an OCSP request', 'a missing part')
