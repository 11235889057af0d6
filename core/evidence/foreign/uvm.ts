/**
 * Microsoft's endorsement of a utility VM (`reference-info`): a COSE_Sign1 over the launch measurement, whose headers name
 * the issuer as a did:x509 (fingerprint of a root, and a key usage of the leaf) and the feed. The root comes with the
 * endorsement and counts because its fingerprint is pinned here.
 *
 * Trusts: the port, and that fingerprint. Leaves live for a year and endorsements longer: one whose chain is no longer in
 * force is told as such and proves nothing; its countersigned time is not judged.
 */
import { fromBase64Url } from '../../bytes/base64.ts'
import { cborArray, cborBytes, cborText } from '../../bytes/cbor.ts'
import { equal } from '../../bytes/bytes.ts'
import { children, oidOf, readDer } from '../../bytes/der.ts'
import { parseJsonObject } from '../../bytes/json.ts'
import { coseKeyKind, readSign1, verifySign1, type CoseSign1 } from '../../crypto/cose.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate, validateChain, type Certificate } from '../../crypto/x509.ts'
import { orRefuse, refuse } from '../../refusal.ts'

export interface UvmEndorsement {
  /** did:x509 of the issuer, as pinned. */
  readonly issuer: string
  readonly feed: string
  /** The security version that the endorsement gives this measurement: a policy sets a floor. */
  readonly svn: string
  /** Seconds since 1970, of the chain. */
  readonly validity: { readonly notBefore: number; readonly notAfter: number }
}

/** Whose endorsements count: Microsoft Supply Chain RSA Root CA 2022, for utility VMs. */
export const UVM_ISSUER = 'did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2'

const AT = 'uvm_endorsements'
const X5CHAIN = 33
const EXTENDED_KEY_USAGE = '2.5.29.37'
const CHAIN_MAX = 6
const TEXT_MAX = 512

/**
 * What Microsoft says about this measurement (hex), or why its word does not count now. Leaves with `evidence.signature`,
 * `evidence.signer`, `evidence.chain`, `evidence.reference` (another measurement), `cbor.*`, `cose.header`, `x509.*`.
 */
export function verifyUvm(p: Primitives, bytes: Uint8Array, measurement: string, now: number, issuer = UVM_ISSUER): UvmEndorsement | string {
  const sign1 = readSign1(bytes, { tag: 'required', at: AT })
  if (!sign1.protected.has('iss')) return 'another form of endorsement, not judged here'
  const [said, feed] = [cborText(sign1.protected.get('iss'), `${AT}.iss`, TEXT_MAX), cborText(sign1.protected.get('feed'), `${AT}.feed`, TEXT_MAX)]
  if (said !== issuer) return refuse('evidence.signer', `${AT}.iss`, issuer, said)
  const { leaf, middle, root } = chainOf(sign1)
  checkIssuer(p, issuer, leaf, root)
  if (leaf.publicKey.kind !== coseKeyKind(sign1.algorithm) || !verifySign1(p, sign1, leaf.publicKey)) return refuse('evidence.signature', AT, `a signature by ${leaf.subjectCommonName}`, 'one that does not hold')
  const chain = validateChain(p, { leaf, intermediates: middle, roots: [root], at: now, crls: [] })
  if (!chain.ok && (chain.refusal.code === 'x509.expired' || chain.refusal.code === 'x509.not-yet-valid')) return `its signer's certificates are not in force at this time (${chain.refusal.at})`
  const { notBefore, notAfter } = orRefuse(chain)
  return { issuer, feed, svn: endorsed(sign1, measurement), validity: { notBefore, notAfter } }
}

function chainOf(sign1: CoseSign1): { leaf: Certificate; middle: readonly Certificate[]; root: Certificate } {
  const chain = cborArray(sign1.protected.get(X5CHAIN), `${AT}.x5chain`, 2, CHAIN_MAX).map((one, i) => orRefuse(parseCertificate(cborBytes(one, `${AT}.x5chain[${i}]`), `${AT}.x5chain[${i}]`)))
  const [leaf, root] = [chain.at(0), chain.at(-1)] as [Certificate, Certificate] // two at least
  return { leaf, middle: chain.slice(1, -1), root }
}

/** did:x509 version 0: `did:x509:0:sha256:FINGERPRINT::eku:OID`. */
function checkIssuer(p: Primitives, issuer: string, leaf: Certificate, root: Certificate): void {
  const [, fingerprint = '', usage = ''] = /^did:x509:0:sha256:([A-Za-z0-9_-]{43})::eku:([0-9.]+)$/.exec(issuer) ?? []
  if (!equal(p.hash('sha256', root.der), fromBase64Url(fingerprint, 'issuer'))) refuse('evidence.chain', `${AT}.x5chain`, `the root ${fingerprint}`, root.subjectCommonName)
  const extension = leaf.extensions.get(EXTENDED_KEY_USAGE)
  const usages = extension === undefined ? [] : children(readDer(extension.value, 'extKeyUsage')).map(one => oidOf(one))
  if (leaf.ca || !usages.includes(usage)) refuse('evidence.signer', `${AT}.x5chain[0]`, `a certificate for ${usage}`, usages.join(', ') || 'none')
}

/** The security version, when it is this measurement that is endorsed. */
function endorsed(sign1: CoseSign1, measurement: string): string {
  const payload = parseJsonObject(sign1.payload)
  const [svn, said] = [payload['x-ms-sevsnpvm-guestsvn'], payload['x-ms-sevsnpvm-launchmeasurement']]
  if (typeof svn !== 'string' || typeof said !== 'string') return refuse('evidence.parse', AT, 'a measurement and its security version', Object.keys(payload).slice(0, 8).join(', '))
  return said === measurement ? svn : refuse('evidence.reference', AT, `an endorsement of ${measurement}`, said)
}
