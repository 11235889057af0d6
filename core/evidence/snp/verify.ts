/**
 * Verifies an SEV-SNP report: chain to a pinned root, signature, and every place where report and certificate must say
 * the same (AMD 56860, 57230; reference evidence.md section D1). Whether the facts are good enough is not judged here.
 *
 * Trusts: the port, and the roots of the one product line that the evidence must chain to. Which line that is, and
 * whether it is AMD's or the simulated one, is decided by the root that matched, never by what the evidence says.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { allZero, equal } from '../../bytes/bytes.ts'
import { readDer, smallInteger } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate, parseCrl, validateChain, type Certificate, type Chain } from '../../crypto/x509.ts'
import { orRefuse, refuse, type Result } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { onlyFields, textOf, textsOf } from '../shape.ts'
import { parseReport, productOf, tcbOf, type SnpProduct, type SnpReport } from './report.ts'

/** The pinned certificates of one product line. */
export interface RootSet { readonly product: SnpProduct; readonly simulated: boolean; readonly ark: Certificate; readonly intermediates: readonly Certificate[] }

export interface SnpEvidence {
  readonly kind: 'snp' | 'simulated'
  /** The attestation report, 1184 bytes. */
  readonly report: string
  /** DER certificates, leaf (VCEK or VLEK) first; intermediates and root may be left out where they are pinned. */
  readonly certificates: readonly string[]
  /** DER revocation lists of the ARK. */
  readonly crls?: readonly string[]
}

/** Security patch levels of one TCB version; `fmc` exists on Turin only. */
export interface SnpTcb { readonly fmc?: number; readonly bl: number; readonly tee: number; readonly snp: number; readonly ucode: number }

/** What only SEV-SNP has; 64-bit words as hex with 0x. */
export interface SnpFacts {
  readonly kind: 'snp'
  readonly version: number
  readonly policy: string
  readonly smt: boolean
  readonly singleSocket: boolean
  readonly vmpl: number
  readonly guestSvn: number
  readonly idKeyDigest: string
  readonly authorKeyDigest: string
  readonly tcb: { readonly current: SnpTcb; readonly reported: SnpTcb; readonly committed: SnpTcb; readonly launch: SnpTcb }
  readonly firmware: { readonly current: string; readonly committed: string }
  readonly platformInfo: string
  /** The host has shown that no memory is aliased (bit 5 of the platform info). */
  readonly aliasCheck: boolean
  /** Mitigations in force at launch and now, report version 5. */
  readonly mitigations: { readonly launch: string; readonly current: string }
}

interface Parts { readonly report: Uint8Array; readonly certificates: readonly Uint8Array[]; readonly crls: readonly Uint8Array[] }
interface KnownChain { readonly leaf: Certificate; readonly chain: Chain; readonly roots: RootSet; readonly notBefore: number; readonly notAfter: number }

const LIMITS = { certificates: 8, crls: 4 }

/** Evidence of this kind as it came from outside, checked for shape only. */
export function readSnp(json: JsonObject, kind: SnpEvidence['kind']): SnpEvidence {
  onlyFields(json, ['kind', 'report', 'certificates', 'crls'])
  const crls = json['crls'] === undefined ? {} : { crls: textsOf(json, 'crls', LIMITS.crls) }
  return { kind, report: textOf(json, 'report'), certificates: textsOf(json, 'certificates', LIMITS.certificates), ...crls }
}

/** The claims of a report in which everything holds. Leaves with `evidence.*`, `bytes.*` or `x509.*`. */
export function verifySnp(p: Primitives, evidence: SnpEvidence, options: VerifyOptions, roots: readonly RootSet[]): ClaimsOf<SnpFacts> {
  const parts: Parts = {
    report: fromBase64(evidence.report, 'report'),
    certificates: evidence.certificates.map((one, i) => fromBase64(one, `certificates[${i}]`)),
    crls: (evidence.crls ?? []).map((one, i) => fromBase64(one, `crls[${i}]`)),
  }
  const report = parseReport(parts.report)
  const known = knownChain(p, parts, options, roots)
  checkSignature(p, report, known.leaf)
  checkSigner(report, known.leaf, known.chain)
  checkProduct(report, known.leaf, known.roots.product)
  checkChip(report, known.leaf)
  const tcb = checkTcb(report, known.leaf, known.roots.product)
  return claimsOf(p, report, known, tcb)
}

function knownChain(p: Primitives, parts: Parts, options: VerifyOptions, roots: readonly RootSet[]): KnownChain {
  const [leafDer, ...others] = parts.certificates
  if (leafDer === undefined) return refuse('evidence.missing', 'certificates', 'the VCEK or VLEK that signed the report', 'none', 'fetch it from the key distribution service and add it to the evidence')
  const kind = `snp ${options.requireCrl === true} ${parts.certificates.length}`
  return remember(p, options, kind, [...parts.certificates, ...parts.crls, ...roots.map(set => set.ark.der)], () => {
    const leaf = orRefuse(parseCertificate(leafDer, 'vek'))
    const found = findChain(p, parts, options, roots, leaf, others)
    return { leaf, ...found, notBefore: found.chain.notBefore, notAfter: found.chain.notAfter }
  })
}

/** The extensions that a VEK certificate carries (AMD 57230 table 8). */
export const VEK_OID = {
  structVersion: '1.3.6.1.4.1.3704.1.1', product: '1.3.6.1.4.1.3704.1.2', bl: '1.3.6.1.4.1.3704.1.3.1', tee: '1.3.6.1.4.1.3704.1.3.2', snp: '1.3.6.1.4.1.3704.1.3.3',
  ucode: '1.3.6.1.4.1.3704.1.3.8', fmc: '1.3.6.1.4.1.3704.1.3.9', hwId: '1.3.6.1.4.1.3704.1.4', csp: '1.3.6.1.4.1.3704.1.5',
} as const

function findChain(p: Primitives, parts: Parts, options: VerifyOptions, rootSets: readonly RootSet[], leaf: Certificate, others: readonly Uint8Array[]): { chain: Chain; roots: RootSet } {
  const extra = others.map((der, i) => orRefuse(parseCertificate(der, `certificates[${i + 1}]`)))
  const crls = parts.crls.map((der, i) => orRefuse(parseCrl(der, `crls[${i}]`)))
  // A pinned intermediate of the leaf's issuer's name says which line it is of: the others could only fail, and more slowly.
  const line = rootSets.filter(roots => roots.intermediates.some(known => equal(known.subject, leaf.issuer)))
  const results = (line.length > 0 ? line : rootSets).map(roots => ({
    roots,
    result: validateChain(p, { leaf, intermediates: [...roots.intermediates, ...extra], roots: [roots.ark], at: options.now, crls }),
  }))
  const held = results.find(one => one.result.ok)
  if (held?.result.ok === true) {
    const { path } = held.result.value
    extra.forEach((one, i) => {
      if (!path.some(used => equal(used.der, one.der))) refuse('evidence.chain', `certificates[${i + 1}]`, path.map(used => used.subjectCommonName).join(' ← '), one.subjectCommonName, 'leave out what is not part of the chain')
    })
    if (options.requireCrl === true && held.result.value.crls.length === 0) refuse('crl.missing', 'crls', `the revocation list of ${held.roots.ark.subjectCommonName}`, 'none', 'add the list to the evidence')
    return { chain: held.result.value, roots: held.roots }
  }
  const nearest: Result<Chain> | undefined = results[0]?.result
  if (nearest === undefined || nearest.ok) return refuse('evidence.chain', 'certificates', 'a pinned root', 'no roots given')
  const { code, at, expected, got, fix } = nearest.refusal
  const own = code.startsWith('x509.expired') || code.startsWith('x509.not-yet') || code.startsWith('x509.revoked') || code.startsWith('crl.')
  return refuse(own ? code : 'evidence.chain', own ? at : `${at} (${code})`, expected, got, fix)
}

function checkSignature(p: Primitives, report: SnpReport, leaf: Certificate): void {
  if (leaf.publicKey.kind !== 'p384') refuse('evidence.chain', 'vek', 'a P-384 key', leaf.publicKey.kind)
  if (!p.verify('ecdsa-p384-sha384', leaf.publicKey, report.signed, report.signature)) refuse('evidence.signature', 'report.signature', `a signature by ${leaf.subjectCommonName}`, 'one that does not hold')
}

/** The report says which kind of key signed it; leaf and intermediate must be of that kind. */
function checkSigner(report: SnpReport, leaf: Certificate, chain: Chain): void {
  const vlek = leaf.extensions.has(VEK_OID.csp)
  const vcek = leaf.extensions.has(VEK_OID.hwId)
  const issuer = chain.path[1]?.subjectCommonName ?? ''
  const kind = vlek && !vcek && issuer.includes('VLEK') && leaf.subjectCommonName.includes('VLEK') ? 'vlek' : vcek && !vlek && !issuer.includes('VLEK') && leaf.subjectCommonName.includes('VCEK') ? 'vcek' : 'neither'
  if (kind !== report.signer) refuse('evidence.signer', 'report.signing_key', report.signer, `a ${kind} certificate (${leaf.subjectCommonName}, issued by ${issuer})`)
}

function checkProduct(report: SnpReport, leaf: Certificate, product: SnpProduct): void {
  const named = productOf(report)
  if (report.cpuid !== undefined && named !== product) refuse('evidence.product', 'report.cpuid', product, named ?? `family ${report.cpuid.family}, model ${report.cpuid.model}`)
  const extension = leaf.extensions.get(VEK_OID.product)
  const text = extension === undefined ? 'none' : fromUtf8(readDer(extension.value, 'product').content, 'product')
  if (text.split('-')[0] !== product) refuse('evidence.product', 'vek.product', product, text)
}

/** A masked chip id (all zero) is a fact for the charter to judge; one that differs from the certificate is a lie. */
function checkChip(report: SnpReport, leaf: Certificate): void {
  const extension = leaf.extensions.get(VEK_OID.hwId)
  if (extension === undefined || allZero(report.chipId)) return
  const id = extension.value
  const padded = new Uint8Array(64)
  padded.set(id.subarray(0, 64))
  if ((id.length !== 64 && id.length !== 8) || !equal(padded, report.chipId)) refuse('evidence.chip-id', 'report.chip_id', toHex(id), toHex(report.chipId))
}

function checkTcb(report: SnpReport, leaf: Certificate, product: SnpProduct): SnpFacts['tcb'] {
  const certified = certificateTcb(leaf, product)
  const parts = { current: tcbOf(product, report.tcb.current), reported: tcbOf(product, report.tcb.reported), committed: tcbOf(product, report.tcb.committed), launch: tcbOf(product, report.tcb.launch) }
  for (const component of COMPONENTS) {
    if (certified[component] !== parts.reported[component]) refuse('evidence.tcb-mismatch', `report.reported_tcb.${component}`, String(certified[component]), String(parts.reported[component]))
    for (const which of ['reported', 'committed'] as const) {
      if ((parts[which][component] ?? 0) > (parts.current[component] ?? 0)) refuse('evidence.tcb-mismatch', `report.${which}_tcb.${component}`, `at most ${parts.current[component]} (current)`, String(parts[which][component]))
    }
  }
  return parts
}

export const COMPONENTS = ['fmc', 'bl', 'tee', 'snp', 'ucode'] as const

/** The patch levels that a VEK certificate certifies. Leaves with `evidence.tcb-mismatch` where one is not there. */
export function certificateTcb(leaf: Certificate, product: SnpProduct): SnpTcb {
  const part = (component: 'bl' | 'tee' | 'snp' | 'ucode' | 'fmc') => {
    const extension = leaf.extensions.get(VEK_OID[component])
    return extension === undefined ? refuse('evidence.tcb-mismatch', `vek.${component}`, 'a patch level in the certificate', 'none') : smallInteger(readDer(extension.value, component), component)
  }
  const base = { bl: part('bl'), tee: part('tee'), snp: part('snp'), ucode: part('ucode') }
  return product === 'Turin' ? { fmc: part('fmc'), ...base } : base
}

function claimsOf(p: Primitives, report: SnpReport, { roots, chain }: KnownChain, tcb: SnpFacts['tcb']): ClaimsOf<SnpFacts> {
  const bit = (n: bigint) => (report.policy & (1n << n)) !== 0n
  const word = (value: bigint | number) => `0x${value.toString(16)}`
  return {
    tee: roots.simulated ? 'simulated' : 'snp', simulated: roots.simulated, product: roots.product, signer: report.signer,
    measurement: report.measurement, registers: {}, reportData: report.reportData, hostData: report.hostData,
    debug: bit(19n), migration: bit(18n), chipId: toHex(report.chipId),
    validity: { notBefore: chain.notBefore, notAfter: chain.notAfter },
    endorsements: [...chain.path, ...chain.crls].map(one => `sha256:${toHex(p.hash('sha256', one.der))}`), revocation: chain.crls.length > 0,
    facts: {
      kind: 'snp', version: report.version, policy: word(report.policy), smt: bit(16n), singleSocket: bit(20n), vmpl: report.vmpl, guestSvn: report.guestSvn,
      idKeyDigest: report.idKeyDigest, authorKeyDigest: report.authorKeyDigest, tcb, firmware: { current: report.currentVersion, committed: report.committedVersion },
      platformInfo: word(report.platformInfo), aliasCheck: (report.platformInfo & 0x20n) !== 0n, mitigations: { launch: word(report.launchMitigations), current: word(report.currentMitigations) },
    },
  }
}
