/** Nitro documents for tests: an authority of our own in the shape of AWS's, and one change at a time. */
import { readDer } from '../../bytes/der.ts'
import { toBase64 } from '../../bytes/base64.ts'
import { writeCbor, type Writable } from '../../bytes/cbor.ts'
import { utf8 } from '../../bytes/text.ts'
import { writeSign1 } from '../../crypto/cose.ts'
import { es384, type CoseSigner } from '../../crypto/cose.fixture.ts'
import { basicConstraintsCa, issueCertificate, issueCrl, keyUsage, type CertificatePlan } from '../../crypto/issue.ts'
import { parseCertificate, type Certificate } from '../../crypto/x509.ts'
import { orRefuse } from '../../refusal.ts'
import type { NitroEvidence } from './verify.ts'

/** 2026-01-01, and a document of ten minutes later. */
export const NOW = 1_767_225_600
export const MADE = NOW + 600
const HOUR = 3600
const DAY = 24 * HOUR

type Names = 'root' | 'region' | 'zone' | 'instance' | 'enclave' | 'stranger'
const signers: Record<Names, CoseSigner> = { root: es384('nitro root'), region: es384('nitro region'), zone: es384('nitro zone'), instance: es384('nitro instance'), enclave: es384('nitro enclave'), stranger: es384('nitro stranger') }
const places = { oid: '2.5.29.31', value: readDer(new Uint8Array([0x30, 0])).whole }

/** DER of a certificate in the place of AWS's of that name. */
export function nitroCertificate(name: Names, issuer: Names, change: Partial<CertificatePlan> = {}): Uint8Array {
  const ca = (pathLength?: number) => [basicConstraintsCa(pathLength), keyUsage(0x86)]
  const extensions: Record<Names, CertificatePlan['extensions']> = { root: ca(), region: [...ca(2), places], zone: [...ca(1), places], instance: ca(0), enclave: [keyUsage(0xc0)], stranger: ca() }
  const plan = { serial: new Uint8Array([name.length]), issuer, subject: name, key: signers[name].key, notBefore: NOW - DAY, notAfter: NOW + 20 * DAY, extensions: extensions[name] }
  return issueCertificate({ ...plan, ...(name === 'enclave' ? { notBefore: MADE - 3, notAfter: MADE + 3 * HOUR } : {}), ...change }, signers[issuer].issuer)
}

export const rootDer = nitroCertificate('root', 'root', { notAfter: NOW + 3650 * DAY })
export const roots: readonly Certificate[] = [orRefuse(parseCertificate(rootDer))]
const authorities = [rootDer, nitroCertificate('region', 'root'), nitroCertificate('zone', 'region'), nitroCertificate('instance', 'zone')]
const leaf = nitroCertificate('enclave', 'instance')
export const cabundle = (): Uint8Array[] => [...authorities]

export function nitroCrl(issuer: Names, revoked: readonly number[] = [], nextUpdate = NOW + DAY): Uint8Array {
  return issueCrl({ issuer, thisUpdate: NOW - DAY, nextUpdate, revoked: revoked.map(serial => ({ serial: new Uint8Array([serial]), at: NOW - DAY })) }, signers[issuer].issuer)
}

/** The fields of a good document; a change with the value `undefined` leaves the field out. */
export function fieldsOf(change: Record<string, Writable> = {}): Map<Writable, Writable> {
  const register = (index: number) => [index, new Uint8Array(48).fill(index < 5 ? index + 1 : 0)] as [Writable, Writable]
  const fields = new Map<Writable, Writable>([
    ['module_id', 'i-0123456789abcdef0-enc0123456789abcdef'], ['digest', 'SHA384'], ['timestamp', MADE * 1000 + 346], ['pcrs', new Map(Array.from({ length: 16 }, (_, i) => register(i)))],
    ['certificate', leaf], ['cabundle', authorities], ['public_key', null], ['user_data', new Uint8Array(64).fill(7)], ['nonce', utf8('a nonce')], ...Object.entries(change),
  ])
  for (const [key, value] of Object.entries(change)) if (value === undefined) fields.delete(key)
  return fields
}

export interface DocumentPlan { readonly payload?: Uint8Array; readonly fields?: Record<string, Writable>; readonly protected?: ReadonlyMap<Writable, Writable>; readonly unprotected?: ReadonlyMap<Writable, Writable>; readonly signer?: Names; readonly tagged?: boolean }

export function nitroDocument(plan: DocumentPlan = {}): Uint8Array {
  const payload = plan.payload ?? writeCbor(fieldsOf(plan.fields))
  return writeSign1({ protected: plan.protected ?? new Map([[1, -35]]), ...(plan.unprotected === undefined ? {} : { unprotected: plan.unprotected }), payload, tagged: plan.tagged ?? false }, signers[plan.signer ?? 'enclave'].sign)
}

export function nitroEvidence(plan: DocumentPlan = {}, crls: readonly Uint8Array[] = []): NitroEvidence {
  return { kind: 'nitro', document: toBase64(nitroDocument(plan)), ...(crls.length === 0 ? {} : { crls: crls.map(toBase64) }) }
}
