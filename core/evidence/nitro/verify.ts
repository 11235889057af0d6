/**
 * Verifies an AWS Nitro attestation document: the certificates it carries chain, in the order in which it carries them, to
 * the pinned root; the instance's certificate may sign and is valid; its key signed the document; the document's own time
 * lies within the certificate's. An enclave in debug mode has a zero PCR 0: that is the claim `debug`, judged by the charter.
 *
 * Trusts: the port, and the pinned root. The vendor's lists are examined where the evidence carries them.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { allZero, equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { verifySign1 } from '../../crypto/cose.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate, parseCrl, validateChain, type Certificate, type Chain, type RevocationList } from '../../crypto/x509.ts'
import { orRefuse, refuse, type Refusal } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { onlyFields, textOf, textsOf } from '../shape.ts'
import { parseDocument, type NitroDigest, type NitroDocument } from './document.ts'
import { nitroRoots } from './root.ts'

export interface NitroEvidence {
  readonly kind: 'nitro'
  /** The COSE_Sign1, tagged or not, in base64. */
  readonly document: string
  /** DER revocation lists of the authorities that name a place for one. */
  readonly crls?: readonly string[]
}

/** What only Nitro has; bytes as hex, '' where the document has none. */
export interface NitroFacts {
  readonly kind: 'nitro'
  readonly moduleId: string
  readonly digest: NitroDigest
  readonly timestampMs: number
  readonly publicKey: string
  readonly userData: string
  readonly nonce: string
  /** PCR 0 is zero: memory and console of the enclave are open to its host. */
  readonly debug: boolean
}

const CRLS_MAX = 6
const DISTRIBUTION_POINTS = '2.5.29.31'
/** How far the clocks of the instance and of whoever judges may differ. */
const CLOCK_SKEW_SECONDS = 60

export type NitroClaims = ClaimsOf<NitroFacts> & { readonly issuedAt: number }

/** Evidence of this kind as it came from outside, checked for shape only. */
export function readNitro(json: JsonObject): NitroEvidence {
  onlyFields(json, ['kind', 'document', 'crls'])
  return { kind: 'nitro', document: textOf(json, 'document'), ...(json['crls'] === undefined ? {} : { crls: textsOf(json, 'crls', CRLS_MAX) }) }
}

/**
 * The claims of a document in which everything holds. Leaves with `cbor.*`, `bytes.*`, `crypto.*`, `x509.*`, `crl.*` or
 * `evidence.*`.
 *
 * `reportData` is the user data where it has 64 bytes, as SNP and TDX carry it, else the nonce: both are facts as well.
 */
export function verifyNitro(p: Primitives, evidence: NitroEvidence, options: VerifyOptions, roots: readonly Certificate[] = nitroRoots()): NitroClaims {
  const document = parseDocument(fromBase64(evidence.document, 'document'))
  const crls = (evidence.crls ?? []).map((one, i) => fromBase64(one, `crls[${i}]`))
  const known = knownChain(p, document, crls, options, roots)
  if (!verifySign1(p, document.sign1, known.leaf.publicKey)) refuse('evidence.signature', 'document.signature', `a signature by ${known.leaf.subjectCommonName}`, 'one that does not hold')
  checkTime(document, known.leaf, options.now)
  return claimsOf(document, known)
}

interface KnownChain { readonly leaf: Certificate; readonly endorsements: readonly string[]; readonly revocation: boolean; readonly notBefore: number; readonly notAfter: number }

function knownChain(p: Primitives, document: NitroDocument, crls: readonly Uint8Array[], options: VerifyOptions, roots: readonly Certificate[]): KnownChain {
  const kind = `nitro ${String(options.requireCrl)} ${document.cabundle.length} ${crls.length}`
  return remember(p, options, kind, [document.certificate, ...document.cabundle, ...crls, ...roots.map(root => root.der)], () => {
    const leaf = orRefuse(parseCertificate(document.certificate, 'payload.certificate'))
    const chain = chainOf(p, document, leaf, crls.map((der, i) => orRefuse(parseCrl(der, `crls[${i}]`))), options, roots)
    const endorsements = [...chain.path, ...chain.crls].map(one => `sha256:${toHex(p.hash('sha256', one.der))}`)
    return { leaf, endorsements, revocation: revocationOf(chain, options), notBefore: chain.notBefore, notAfter: chain.notAfter }
  })
}

/** The bundle is the path, root first, no more and no less: what is not needed to find it has no place in the document. */
function chainOf(p: Primitives, document: NitroDocument, leaf: Certificate, crls: readonly RevocationList[], options: VerifyOptions, roots: readonly Certificate[]): Chain {
  const bundle = document.cabundle.map((der, i) => orRefuse(parseCertificate(der, `payload.cabundle[${i}]`)))
  const first = document.cabundle[0] ?? new Uint8Array(0)
  if (!roots.some(pinned => equal(pinned.der, first))) refuse('x509.untrusted-root', 'payload.cabundle[0]', roots.map(pinned => pinned.subjectCommonName).join(', '), `${bundle[0]?.subjectCommonName}, sha256 ${toHex(p.hash('sha256', first))}`)
  checkLeaf(leaf)
  const result = validateChain(p, { leaf, intermediates: bundle.slice(1), roots, at: options.now, crls })
  if (!result.ok) return chainRefused(result.refusal)
  const expected = [leaf, ...bundle.toReversed()]
  const { path } = result.value
  if (path.some((one, i) => !equal(one.der, expected[i]?.der ?? new Uint8Array(0)))) refuse('evidence.chain', 'payload.cabundle', path.map(one => one.subjectCommonName).join(' ← '), expected.map(one => one.subjectCommonName).join(' ← '))
  crls.forEach((list, i) => { if (!result.value.crls.includes(list)) refuse('evidence.chain', `crls[${i}]`, 'a list of an authority of the path', 'another', 'leave out what is not part of the chain') })
  return result.value
}

/** The instance's certificate signs documents and no certificates. */
function checkLeaf(leaf: Certificate): void {
  if (leaf.ca || ((leaf.keyUsage ?? 0) & 0x80) === 0) refuse('evidence.signer', 'payload.certificate', 'a certificate for digital signatures that is no authority', leaf.ca ? 'an authority' : 'another use')
}

/** Dates and revocation keep their own names; anything else is a chain that does not hold. */
function chainRefused({ code, at, expected, got, fix }: Refusal): never {
  const own = code === 'x509.expired' || code === 'x509.not-yet-valid' || code === 'x509.revoked' || code.startsWith('crl.')
  return refuse(own ? code : 'evidence.chain', own ? at : `${at} (${code})`, expected, got, fix)
}

/** Was the vendor's list examined for each certificate that names a place for one? The last two of a path name none: they live a day. */
function revocationOf(chain: Chain, options: VerifyOptions): boolean {
  const open = chain.path.find(one => one.extensions.has(DISTRIBUTION_POINTS) && !chain.crls.some(list => equal(list.issuer, one.issuer)))
  const examined = open === undefined && chain.crls.length > 0
  if (options.requireCrl === true && !examined) refuse('crl.missing', open?.subjectCommonName ?? 'crls', 'the revocation list of its issuer', 'none', 'add the list to the evidence')
  return examined
}

/** The document was made while its certificate was valid, and not later than now. */
function checkTime(document: NitroDocument, leaf: Certificate, now: number): void {
  const seconds = document.timestampMs / 1000
  if (seconds < leaf.notBefore || seconds > now + CLOCK_SKEW_SECONDS) refuse('x509.not-yet-valid', 'payload.timestamp', `a time from ${leaf.notBefore} to ${now}`, String(seconds))
  if (seconds > leaf.notAfter) refuse('x509.expired', 'payload.timestamp', `a time until ${leaf.notAfter}`, String(seconds))
}

function claimsOf(document: NitroDocument, { endorsements, revocation, notBefore, notAfter }: KnownChain): NitroClaims {
  const hex = (bytes: Uint8Array | undefined) => toHex(bytes ?? new Uint8Array(0))
  const [userData, nonce] = [hex(document.userData), hex(document.nonce)]
  const debug = allZero(document.pcrs.get(0) ?? new Uint8Array(0))
  return {
    tee: 'nitro', simulated: false, product: 'Nitro', signer: 'nitro',
    measurement: hex(document.pcrs.get(0)), registers: Object.fromEntries([...document.pcrs].map(([index, value]) => [`PCR${index}`, toHex(value)])),
    reportData: document.userData?.length === 64 ? userData : nonce, hostData: '', debug, migration: false, chipId: '',
    issuedAt: Math.floor(document.timestampMs / 1000), validity: { notBefore, notAfter }, endorsements, revocation,
    facts: { kind: 'nitro', moduleId: document.moduleId, digest: document.digest, timestampMs: document.timestampMs, publicKey: hex(document.publicKey), userData, nonce, debug },
  }
}
