/** Certificate chains for tests: small P-256 authorities with keys from their names, and one change at a time. */
import { p256 } from '@noble/curves/nist.js'
import { utf8 } from '../bytes/text.ts'
import { orRefuse } from '../refusal.ts'
import { basicConstraintsCa, ECDSA_SHA256, issueCertificate, issueCrl, keyUsage, type CertificatePlan, type IssuerPort } from './issue.ts'
import { ecdsaToDer } from './keys.ts'
import { portable } from './portable.ts'
import type { PublicKey } from './primitives.ts'
import { parseCertificate, parseCrl, type Certificate, type RevocationList } from './x509.ts'

/** 2026-01-01 and the year around it. */
export const NOW = 1_767_225_600
const DAY = 86_400

export interface Authority { readonly name: string; readonly key: PublicKey; readonly port: IssuerPort }

/** The same text gives the same key; `name` is its common name. */
export function authority(name: string, keyName = name): Authority {
  const secret = portable.hash('sha256', utf8(`test key ${keyName}`))
  const sign = (tbs: Uint8Array) => ecdsaToDer(p256.sign(portable.hash('sha256', tbs), secret, { prehash: false }))
  return { name, key: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, port: { algorithm: ECDSA_SHA256, sign } }
}

export const CA_EXTENSIONS = [basicConstraintsCa(), keyUsage(0x06)]
export const LEAF_EXTENSIONS = [keyUsage(0x80)]

/** DER of a certificate for `subject` by `issuer`, a CA when it has no other extensions named. */
export function certificateDer(subject: Authority, issuer: Authority, change: Partial<CertificatePlan> = {}): Uint8Array {
  const plan = { serial: new Uint8Array([1]), issuer: issuer.name, subject: subject.name, key: subject.key, notBefore: NOW - 100 * DAY, notAfter: NOW + 100 * DAY, extensions: CA_EXTENSIONS }
  return issueCertificate({ ...plan, ...change }, issuer.port)
}

export function certificate(subject: Authority, issuer: Authority, change: Partial<CertificatePlan> = {}): Certificate {
  return orRefuse(parseCertificate(certificateDer(subject, issuer, change)))
}

export function crlDer(issuer: Authority, revoked: readonly number[] = [], thisUpdate = NOW - DAY, nextUpdate = NOW + DAY): Uint8Array {
  return issueCrl({ issuer: issuer.name, thisUpdate, nextUpdate, revoked: revoked.map(serial => ({ serial: new Uint8Array([serial]), at: NOW - 10 * DAY })) }, issuer.port)
}

export function crl(...input: Parameters<typeof crlDer>): RevocationList {
  return orRefuse(parseCrl(crlDer(...input)))
}

/** root, intermediate and leaf by the names `root`, `middle` and `leaf`. */
export const [ROOT, MIDDLE, LEAF] = [authority('root'), authority('middle'), authority('leaf')] as const
export const root = certificate(ROOT, ROOT)
export const middle = certificate(MIDDLE, ROOT)
export const leaf = certificate(LEAF, MIDDLE, { extensions: LEAF_EXTENSIONS })
