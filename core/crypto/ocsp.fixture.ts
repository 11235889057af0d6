/** OCSP responses for tests: any issuer, any responder, and one change at a time. */
import { concat } from '../bytes/bytes.ts'
import { der, derInteger, derOid, derSequence, TAG } from '../bytes/der.ts'
import { fromHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import type { IssuerPort } from './issue.ts'
import { sha1 } from './ocsp.ts'
import { portable } from './portable.ts'
import type { PublicKey } from './primitives.ts'
import type { Certificate } from './x509.ts'

const time = (seconds: number) => der(TAG.generalizedTime, utf8(new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')))
const HASH_OIDS = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2', sha512: '2.16.840.1.101.3.4.2.3' }
const keyOf = (key: PublicKey) => (key.kind === 'rsa' ? derSequence(derInteger(key.n), derInteger(key.e)) : key.raw)
/** A critical extended key usage for signing OCSP responses. */
export const OCSP_SIGNING = { oid: '2.5.29.37', critical: true, value: derSequence(derOid('1.3.6.1.5.5.7.3.9')) }

export interface AnswerPlan {
  readonly certificate: Certificate
  readonly issuer: Certificate
  readonly hash?: keyof typeof HASH_OIDS
  readonly status?: 'good' | 'unknown' | { readonly revokedAt: number; readonly reason?: number }
  readonly window: readonly [number, number | undefined]
  readonly extensions?: Uint8Array
}
export interface OcspPlan {
  readonly answers: readonly AnswerPlan[]
  readonly responder: Certificate
  readonly port: IssuerPort
  readonly by?: 'key' | 'name'
  readonly certificates?: readonly Uint8Array[]
  readonly producedAt?: number
  readonly extensions?: Uint8Array
  readonly status?: number
  readonly type?: string
}

export function ocspDer(plan: OcspPlan): Uint8Array {
  const id = plan.by === 'name' ? der(0xa1, plan.responder.subject) : der(0xa2, der(TAG.octetString, sha1(keyOf(plan.responder.publicKey))))
  const data = derSequence(id, time(plan.producedAt ?? plan.answers[0]?.window[0] ?? 0), derSequence(...plan.answers.map(answerDer)), ...(plan.extensions === undefined ? [] : [der(0xa1, plan.extensions)]))
  const certificates = plan.certificates ?? [plan.responder.der]
  const basic = derSequence(data, plan.port.algorithm, der(TAG.bitString, new Uint8Array([0]), plan.port.sign(data)), ...(certificates.length === 0 ? [] : [der(0xa0, derSequence(...certificates))]))
  return derSequence(der(0x0a, new Uint8Array([plan.status ?? 0])), der(0xa0, derSequence(derOid(plan.type ?? '1.3.6.1.5.5.7.48.1.1'), der(TAG.octetString, basic))))
}

function answerDer({ certificate, issuer, hash = 'sha384', status = 'good', window: [from, until], extensions }: AnswerPlan): Uint8Array {
  const digest = (data: Uint8Array) => der(TAG.octetString, hash === 'sha1' ? sha1(data) : portable.hash(hash, data))
  const id = derSequence(derSequence(derOid(HASH_OIDS[hash])), digest(issuer.subject), digest(keyOf(issuer.publicKey)), der(TAG.integer, fromHex(certificate.serial)))
  const state = status === 'good' ? der(0x80) : status === 'unknown' ? der(0x82) : der(0xa1, time(status.revokedAt), ...(status.reason === undefined ? [] : [der(0xa0, der(0x0a, new Uint8Array([status.reason])))]))
  return concat(derSequence(id, state, time(from), ...(until === undefined ? [] : [der(0xa0, time(until))]), ...(extensions === undefined ? [] : [der(0xa1, extensions)])))
}
