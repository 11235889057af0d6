/**
 * Synthetic SEV-SNP evidence for tests: an ARK, ASK and ASVK of our own for each product line, and reports signed by keys
 * under them, with one change at a time. The same plan gives the same bytes. Nothing here chains to AMD.
 */
import { p384 } from '@noble/curves/nist.js'
import { toBase64 } from '../../bytes/base64.ts'
import { der, derInteger, TAG } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { basicConstraintsCa, ECDSA_SHA384, issueCertificate, issueCrl, keyUsage, type CertificatePlan, type IssuerPort } from '../../crypto/issue.ts'
import { ecdsaToDer, formatKey } from '../../crypto/keys.ts'
import { portable } from '../../crypto/portable.ts'
import type { Primitives, PublicKey } from '../../crypto/primitives.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { orRefuse } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import type { VerifyOptions } from '../index.ts'
import { REPORT_BYTES, SIGNED_BYTES, type SnpProduct } from './report.ts'
import { VEK_OID, verifySnp, type RootSet, type SnpFacts } from './verify.ts'

/** 2026-01-01. */
export const NOW = 1_767_225_600
export const DAY = 86_400
export const CHIP = Uint8Array.from({ length: 64 }, (_, i) => i + 1)

/** The portable port, computing each signature once: hundreds of tests share their chains. */
export const quick: Primitives = { ...portable, verify: (algorithm, key, message, signature) => once(`${algorithm} ${formatKey(key)} ${toHex(signature)} ${toHex(portable.hash('sha384', message))}`, () => portable.verify(algorithm, key, message, signature)) }
const computed = new Map<string, unknown>()
function once<T>(name: string, compute: () => T): T {
  if (!computed.has(name)) computed.set(name, compute())
  return computed.get(name) as T // the name begins with what is computed
}

interface Holder { readonly name: string; readonly key: PublicKey; readonly port: IssuerPort; raw(message: Uint8Array): Uint8Array }
export function holder(name: string, keyName = name): Holder {
  const secret = portable.hash('sha384', utf8(`snp test key ${keyName}`))
  const raw = (message: Uint8Array) => once(`sign ${keyName} ${toHex(portable.hash('sha384', message))}`, () => p384.sign(portable.hash('sha384', message), secret, { prehash: false }))
  return { name, key: { kind: 'p384', raw: p384.getPublicKey(secret, false) }, raw, port: { algorithm: ECDSA_SHA384, sign: tbs => ecdsaToDer(raw(tbs)) } }
}

const ca = (subject: Holder, issuer: Holder, change: Partial<CertificatePlan> = {}) => issueCertificate({
  serial: new Uint8Array([1]), issuer: issuer.name, subject: subject.name, key: subject.key, notBefore: NOW - 100 * DAY, notAfter: NOW + 100 * DAY, extensions: [basicConstraintsCa(), keyUsage(0x06)], ...change,
}, issuer.port)

/** The pinned certificates of a line of tests: ARK, and under it ASK (for VCEKs) and ASVK (for VLEKs). */
export function testRoots(product: SnpProduct): RootSet {
  return (known[product] ??= { product, simulated: false, ark: read(ca(holder(`ARK-${product}`), holder(`ARK-${product}`))), intermediates: [`SEV-${product}`, `SEV-VLEK-${product}`].map((name, i) => read(ca(holder(name), holder(`ARK-${product}`), { serial: new Uint8Array([2 + i]) }))) })
}
const known: Partial<Record<SnpProduct, RootSet>> = {}
const read = (bytes: Uint8Array) => orRefuse(parseCertificate(bytes))
export const allTestRoots = (): RootSet[] => (['Milan', 'Genoa', 'Turin'] as const).map(testRoots)

/** Raw TCB versions: Milan and Genoa lay out bl, tee, 4 reserved, snp, ucode; Turin fmc, bl, tee, snp, 3 reserved, ucode. */
export const TCB: Record<SnpProduct, readonly number[]> = { Milan: [4, 0, 0, 0, 0, 0, 0x18, 0xdb], Genoa: [0x0a, 0, 0, 0, 0, 0, 0x17, 0x54], Turin: [1, 1, 1, 4, 0, 0, 0, 0x51] }
const CPUID: Record<SnpProduct, readonly number[]> = { Milan: [0x19, 0x01, 1], Genoa: [0x19, 0x11, 1], Turin: [0x1a, 0x02, 1] }
const level = (oid: string, value: number) => ({ oid, value: derInteger(new Uint8Array([value])) })
const ia5 = (oid: string, text: string) => ({ oid, value: der(TAG.ia5String, utf8(text)) })

export interface SnpPlan {
  readonly product?: SnpProduct
  readonly signer?: 'vcek' | 'vlek'
  readonly version?: number
  /** The raw TCB that the certificate names; the report has the same unless `report` changes it. */
  readonly tcb?: readonly number[]
  /** Changes the report before it is signed. */
  readonly report?: (bytes: Uint8Array, view: DataView) => void
  readonly extensions?: (list: CertificatePlan['extensions']) => CertificatePlan['extensions']
  readonly certificate?: Partial<CertificatePlan>
  readonly issuer?: Holder
  /** Signs the report with another key than the certificate's. */
  readonly forger?: Holder
}

export interface SnpParts extends VerifyOptions { readonly report: Uint8Array; readonly certificates: readonly Uint8Array[]; readonly crls: readonly Uint8Array[]; readonly roots: readonly RootSet[] }
export type Cache = NonNullable<VerifyOptions['cache']>
/** The claims of these parts under these roots; leaves with a refusal. */
export const judgeParts = (port: Primitives, parts: SnpParts): ClaimsOf<SnpFacts> =>
  verifySnp(port, { kind: 'snp', report: toBase64(parts.report), certificates: parts.certificates.map(toBase64), crls: parts.crls.map(toBase64) }, parts, parts.roots)

/** All that is judged, complete and honest but for what the plan changes. */
export function snpInput(plan: SnpPlan = {}, change: Partial<SnpParts> = {}): SnpParts {
  const { product = 'Genoa', signer = 'vcek' } = plan
  const vek = holder(`SEV-${signer.toUpperCase()}`, `${signer} ${product}`)
  const issuer = plan.issuer ?? holder(signer === 'vcek' ? `SEV-${product}` : `SEV-VLEK-${product}`)
  const certificate = issueCertificate({
    serial: new Uint8Array([0]), issuer: issuer.name, subject: vek.name, key: vek.key, notBefore: NOW - 10 * DAY, notAfter: NOW + 10 * DAY,
    extensions: (plan.extensions ?? (list => list))(vekExtensions(product, signer, plan.tcb ?? TCB[product])), ...plan.certificate,
  }, issuer.port)
  return { report: reportOf(plan, product, signer, plan.forger ?? vek), certificates: [certificate], crls: [], now: NOW, roots: allTestRoots(), ...change }
}

function vekExtensions(product: SnpProduct, signer: 'vcek' | 'vlek', tcb: readonly number[]): CertificatePlan['extensions'] {
  const [a = 0, b = 0, c = 0, d = 0, , , e = 0, f = 0] = tcb
  const levels = product === 'Turin' ? [level(VEK_OID.fmc, a), level(VEK_OID.bl, b), level(VEK_OID.tee, c), level(VEK_OID.snp, d)] : [level(VEK_OID.bl, a), level(VEK_OID.tee, b), level(VEK_OID.snp, e)]
  return [level(VEK_OID.structVersion, 1), ia5(VEK_OID.product, `${product}-B0`), ...levels, level(VEK_OID.ucode, f), signer === 'vcek' ? { oid: VEK_OID.hwId, value: product === 'Turin' ? CHIP.slice(0, 8) : CHIP } : ia5(VEK_OID.csp, 'cloud')]
}

function reportOf(plan: SnpPlan, product: SnpProduct, signer: 'vcek' | 'vlek', by: Holder): Uint8Array {
  const out = new Uint8Array(REPORT_BYTES)
  const view = new DataView(out.buffer)
  const version = plan.version ?? 3
  view.setUint32(0, version, true)
  view.setUint32(4, 7, true) // guest SVN
  view.setBigUint64(8, 0x30000n, true)
  out.fill(0xfa, 0x10, 0x20)
  out.fill(0x1a, 0x20, 0x30)
  view.setUint32(0x34, 1, true)
  view.setBigUint64(0x40, 0x25n, true)
  view.setUint32(0x48, signer === 'vcek' ? 0 : 4, true)
  out.fill(0xda, 0x50, 0x90)
  out.fill(0x3e, 0x90, 0xc0)
  out.fill(0x40, 0xc0, 0xe0)
  out.fill(0x1d, 0xe0, 0x110)
  out.fill(0xa0, 0x110, 0x140)
  out.fill(0x41, 0x140, 0x160)
  out.fill(0xff, 0x160, 0x180)
  for (const at of [0x38, 0x180, 0x1e0, 0x1f0]) out.set(plan.tcb ?? TCB[product], at)
  if (version >= 3) out.set(CPUID[product], 0x188)
  out.set(product === 'Turin' ? [...CHIP.slice(0, 8), ...new Uint8Array(56)] : CHIP, 0x1a0)
  out.set([41, 55, 1, 0, 41, 55, 1], 0x1e8)
  plan.report?.(out, view)
  const signature = by.raw(out.subarray(0, SIGNED_BYTES))
  out.set(signature.slice(0, 48).reverse(), SIGNED_BYTES)
  out.set(signature.slice(48).reverse(), SIGNED_BYTES + 72)
  return out
}

/** The ARK's list over its intermediates; serial 2 is the ASK, 3 the ASVK. */
export function arkList(product: SnpProduct = 'Genoa', revoked: readonly number[] = [], window: readonly [number, number] = [NOW - DAY, NOW + DAY]): Uint8Array {
  return issueCrl({ issuer: `ARK-${product}`, thisUpdate: window[0], nextUpdate: window[1], revoked: revoked.map(serial => ({ serial: new Uint8Array([serial]), at: NOW - 2 * DAY })) }, holder(`ARK-${product}`).port)
}
