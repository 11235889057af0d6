/**
 * Writes X.509 version 3 certificates (RFC 5280): for the simulated chip and for tests. The signature comes from a port.
 * Trusts its caller: nothing here judges.
 */
import { concat } from '../bytes/bytes.ts'
import { der, derInteger, derOid, derSequence, TAG } from '../bytes/der.ts'
import { utf8 } from '../bytes/text.ts'
import type { PublicKey } from './primitives.ts'
import { keyToSpki } from './keys.ts'

export interface CertificatePlan {
  readonly serial: Uint8Array
  readonly issuer: string // common names
  readonly subject: string
  readonly key: PublicKey
  readonly notBefore: number // seconds since 1970
  readonly notAfter: number
  readonly extensions: readonly { readonly oid: string; readonly critical?: boolean; readonly value: Uint8Array }[]
}
export interface IssuerPort { readonly algorithm: Uint8Array; sign(tbs: Uint8Array): Uint8Array }

/** AlgorithmIdentifier of RSASSA-PSS with SHA-384, MGF1-SHA-384 and 48 bytes of salt, as AMD's certificates carry it. */
export const PSS_SHA384 = (() => {
  const sha384 = derSequence(derOid('2.16.840.1.101.3.4.2.2'), der(TAG.null))
  const mgf = derSequence(derOid('1.2.840.113549.1.1.8'), sha384)
  return derSequence(derOid('1.2.840.113549.1.1.10'), derSequence(der(0xa0, sha384), der(0xa1, mgf), der(0xa2, derInteger(new Uint8Array([48])))))
})()
export const ECDSA_SHA256 = derSequence(derOid('1.2.840.10045.4.3.2'))
export const ECDSA_SHA384 = derSequence(derOid('1.2.840.10045.4.3.3'))

export function issueCertificate(plan: CertificatePlan, issuer: IssuerPort): Uint8Array {
  const tbs = derSequence(
    der(0xa0, derInteger(new Uint8Array([2]))), derInteger(plan.serial), issuer.algorithm, nameOf(plan.issuer),
    derSequence(timeDer(plan.notBefore), timeDer(plan.notAfter)), nameOf(plan.subject), keyToSpki(plan.key),
    ...(plan.extensions.length === 0 ? [] : [der(0xa3, derSequence(...plan.extensions.map(extensionDer)))]),
  )
  return derSequence(tbs, issuer.algorithm, der(TAG.bitString, new Uint8Array([0]), issuer.sign(tbs)))
}

export const basicConstraintsCa = (pathLength?: number) => ({
  oid: '2.5.29.19', critical: true, value: derSequence(der(TAG.boolean, new Uint8Array([255])), ...(pathLength === undefined ? [] : [derInteger(new Uint8Array([pathLength]))])),
})
/** keyUsage from its first byte: 0x80 digitalSignature, 0x04 keyCertSign, 0x02 cRLSign. */
export const keyUsage = (bits: number) => ({ oid: '2.5.29.15', critical: true, value: der(TAG.bitString, new Uint8Array([0, bits])) })

export interface CrlPlan { readonly issuer: string; readonly thisUpdate: number; readonly nextUpdate: number; readonly revoked: readonly { readonly serial: Uint8Array; readonly at: number }[] }

export function issueCrl(plan: CrlPlan, issuer: IssuerPort): Uint8Array {
  const entries = plan.revoked.map(one => derSequence(derInteger(one.serial), timeDer(one.at)))
  const tbs = derSequence(derInteger(new Uint8Array([1])), issuer.algorithm, nameOf(plan.issuer), timeDer(plan.thisUpdate), timeDer(plan.nextUpdate), ...(entries.length === 0 ? [] : [derSequence(...entries)]))
  return derSequence(tbs, issuer.algorithm, der(TAG.bitString, new Uint8Array([0]), issuer.sign(tbs)))
}

function extensionDer(extension: CertificatePlan['extensions'][number]): Uint8Array {
  return derSequence(derOid(extension.oid), ...(extension.critical === true ? [der(TAG.boolean, new Uint8Array([255]))] : []), der(TAG.octetString, extension.value))
}

const nameOf = (commonName: string) => derSequence(der(TAG.set, derSequence(derOid('2.5.4.3'), der(TAG.utf8String, utf8(commonName)))))

function timeDer(seconds: number): Uint8Array {
  const digits = new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')
  const year = Number(digits.slice(0, 4))
  return year >= 1950 && year < 2050 ? der(TAG.utcTime, utf8(digits.slice(2))) : der(TAG.generalizedTime, concat(utf8(digits)))
}
