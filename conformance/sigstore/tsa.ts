/**
 * A timestamp authority (RFC 3161) as small as can be, for tests on this machine only: P-256, SHA-256, one signer, and
 * whatever time it is told. Bundles with a certificate need its word, because Rekor v2 gives no time. Trusts its caller.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { der, derInteger, derOid, derSequence, TAG } from '@cloister/core/bytes/der'
import { utf8 } from '@cloister/core/bytes/text'
import { ECDSA_SHA256 } from '@cloister/core/crypto/issue'
import type { Certificate } from '@cloister/core/crypto/x509'
import { fromHex } from '@cloister/core/bytes/hex'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

const SIGNED_DATA = derOid('1.2.840.113549.1.7.2')
const TST_INFO = derOid('1.2.840.113549.1.9.16.1.4')
const SHA256 = derSequence(derOid('2.16.840.1.101.3.4.2.1'))
const integer = (value: number) => derInteger(new Uint8Array([value]))
const octets = (bytes: Uint8Array) => der(TAG.octetString, bytes)
const attribute = (oid: string, value: Uint8Array) => derSequence(derOid(oid), der(TAG.set, value))

/** The answer (TimeStampResp, DER) to a request for the time of this SHA-256 hash, in base64. `time` in seconds since 1970. */
export function timestamp(certificate: Certificate, sign: (message: Uint8Array) => Uint8Array, hash: string, time: number): Uint8Array {
  const digits = `${new Date(time * 1000).toISOString().replace(/[-:T]|\.\d+Z$/g, '')}Z`
  const info = derSequence(integer(1), derOid('1.3.6.1.4.1.57264.2'), derSequence(SHA256, octets(fromBase64(hash))), integer(1), der(TAG.generalizedTime, utf8(digits)))
  const attributes = [attribute('1.2.840.113549.1.9.3', TST_INFO), attribute('1.2.840.113549.1.9.4', octets(p.hash('sha256', info)))]
  const signer = derSequence(
    integer(1), derSequence(certificate.issuer, der(TAG.integer, fromHex(certificate.serial))), SHA256,
    der(0xa0, ...attributes), ECDSA_SHA256, octets(sign(der(TAG.set, ...attributes))), // signed as the SET that [0] stands for (RFC 5652 section 5.4)
  )
  const signedData = derSequence(integer(3), der(TAG.set, SHA256), derSequence(TST_INFO, der(0xa0, octets(info))), der(TAG.set, signer))
  return derSequence(derSequence(integer(0)), derSequence(SIGNED_DATA, der(0xa0, signedData)))
}
