/**
 * Verifies Intel TDX and SGX evidence: a DCAP quote with its collateral, by Intel's appraisal and stricter (reference
 * evidence.md section C and D2): nothing is optional. Missing collateral, a missing revocation list, a list that covers
 * less than the whole chain, a document for another platform, a reserved bit: each is a refusal.
 *
 * Trusts: the port, and Intel's pinned root. A status other than up to date is a fact for the charter to judge.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { equal, allZero, concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import type { Primitives, PublicKey } from '../../crypto/primitives.ts'
import { parseCertificate, validateChain, type Certificate, type Chain } from '../../crypto/x509.ts'
import { orRefuse, refuse } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import { parseEventLog } from '../eventlog/log.ts'
import { proveEvents, type BootFacts, type ProvenLog } from '../eventlog/replay.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { objectOf, onlyFields, textOf } from '../shape.ts'
import { readCollateral, verifyCollateral, type DcapCollateral, type QeIdentity, type TcbStatus, type VerifiedCollateral } from './collateral.ts'
import { readPck, type PckExtension } from './pck.ts'
import { parseQuote, type DomainReport, type EnclaveReport, type Quote } from './quote.ts'
import { intelRoot } from './root.ts'
import { evaluate, masked, type DcapStatus, type Evaluation } from './status.ts'

export interface DcapEvidence<K extends 'tdx' | 'sgx' = 'tdx' | 'sgx'> {
  readonly kind: K
  readonly quote: string
  readonly collateral: DcapCollateral
  /** TDX: the CC event log (CCEL), to be replayed into the RTMRs. */
  readonly eventLog?: string
}

/** What only TDX and SGX have; bytes as hex. */
export interface DcapFacts {
  readonly kind: 'dcap'
  readonly version: number
  /** What everything comes to, and each part of it. */
  readonly status: DcapStatus
  readonly platformStatus: TcbStatus
  readonly moduleStatus?: TcbStatus
  readonly qeStatus: TcbStatus
  /** Of the platform's level, and the oldest of all parts. */
  readonly tcbDate: string
  readonly oldestDate: string
  readonly advisories: readonly string[]
  /** Per component, how far below the newest level. */
  readonly shortfall: readonly string[]
  /** The TCB evaluation data number of TCB info and of the quoting enclave's identity: a policy sets a floor. */
  readonly evaluation: { readonly tcb: number; readonly qe: number }
  readonly fmspc: string
  readonly pck: PckExtension
  readonly pckAuthority: string
  readonly sgx?: { readonly attributes: string; readonly mrSigner: string; readonly isvProdId: number; readonly isvSvn: number; readonly configSvn: number }
  readonly tdx?: {
    readonly teeTcbSvn: string; readonly teeTcbSvn2?: string; readonly mrSeam: string; readonly tdAttributes: string; readonly xfam: string
    readonly mrOwner: string; readonly mrOwnerConfig: string; readonly mrServiceTd: string; readonly moduleVersion: string
    readonly septVeDisable: boolean; readonly perfmon: boolean
  }
  readonly boot?: BootFacts
  readonly unprovenEvents?: number
  readonly uncovered?: readonly string[]
}

/** Evidence of this kind as it came from outside, checked for shape only. */
export function readDcap<K extends 'tdx' | 'sgx'>(json: JsonObject, kind: K): DcapEvidence<K> {
  onlyFields(json, ['kind', 'quote', 'collateral', ...(kind === 'tdx' ? ['eventLog'] : [])])
  if (json['collateral'] === undefined) refuse('evidence.missing', 'evidence.collateral', 'Intel\'s collateral for the platform', 'nothing', 'hand it in beside the quote (--collateral), or fill it in: cloister collateral export --for FILE')
  return { kind, quote: textOf(json, 'quote'), collateral: readCollateral(objectOf(json, 'collateral')), ...(json['eventLog'] === undefined ? {} : { eventLog: textOf(json, 'eventLog') }) }
}

/** The claims of a quote in which everything holds. Leaves with `evidence.*`, `bytes.*`, `x509.*`, `crl.*` or `json.*`. */
export function verifyDcap(p: Primitives, evidence: DcapEvidence, options: VerifyOptions, root: Certificate = intelRoot()): ClaimsOf<DcapFacts> {
  const quote = parseQuote(fromBase64(evidence.quote, 'quote'))
  if (quote.tee !== evidence.kind) refuse('evidence.kind', 'quote.tee_type', evidence.kind, quote.tee)
  const collateral = verifyCollateral(p, evidence.collateral, quote.tee, options, root)
  const platform = platformOf(p, quote, evidence.collateral, collateral, options, root)
  checkPlatform(collateral, platform.pck)
  const key = attestationKey(p, quote, platform, options)
  checkQe(quote.qe.report, collateral.qe)
  if (!p.verify('ecdsa-p256-sha256', key, quote.signed, quote.signature)) refuse('evidence.signature', 'quote.signature', 'a signature by the attestation key', 'one that does not hold')
  if (quote.domain !== undefined) checkDomain(quote.domain)
  const evaluation = evaluate(collateral.tcb, platform.pck, collateral.qe, quote.qe.report, quote.domain)
  return claimsOf(quote, collateral, platform, evaluation, replayed(p, evidence, quote))
}

interface Platform { readonly leaf: Certificate; readonly pck: PckExtension; readonly chain: Chain; readonly endorsements: readonly string[]; readonly notBefore: number; readonly notAfter: number }

/** The PCK certificate's chain, with both lists required: no certificate below the root goes unexamined. */
function platformOf(p: Primitives, quote: Quote, given: DcapCollateral, { pckCrl, rootCrl }: VerifiedCollateral, options: VerifyOptions, root: Certificate): Platform {
  const parts = [quote.certificationData, utf8(given.pck_certificate_chain ?? ''), pckCrl.der, rootCrl.der, root.der]
  return remember(p, options, `dcap pck ${quote.certificationType}`, parts, () => {
    const inside = quote.certificates
    const [leafDer, ...rest] = inside.length > 0 ? inside : readPem(given.pck_certificate_chain ?? '', 'CERTIFICATE')
    if (leafDer === undefined) return refuse('evidence.missing', 'quote.certification_data', 'the chain of the PCK certificate (type 5)', `type ${quote.certificationType}`, 'a quote with an encrypted platform id cannot be judged offline: ask the platform for its PCK chain')
    const leaf = orRefuse(parseCertificate(leafDer, 'pck'))
    if (!leaf.subjectCommonName.includes('SGX PCK Certificate')) refuse('evidence.chain', 'pck.subject', 'an SGX PCK Certificate', leaf.subjectCommonName)
    if (!equal(pckCrl.issuer, leaf.issuer)) refuse('crl.issuer', 'collateral.pck_crl', 'the list of the authority that issued the PCK certificate', 'the list of another')
    const intermediates = rest.map((der, i) => orRefuse(parseCertificate(der, `pck_chain[${i + 1}]`)))
    const chain = orRefuse(validateChain(p, { leaf, intermediates, roots: [root], at: options.now, crls: [pckCrl, rootCrl], requireCrl: true }))
    const endorsements = [...chain.path, ...chain.crls].map(one => `sha256:${toHex(p.hash('sha256', one.der))}`)
    return { leaf, pck: readPck(leaf), chain, endorsements, notBefore: chain.notBefore, notAfter: chain.notAfter }
  })
}

function checkPlatform({ tcb }: VerifiedCollateral, pck: PckExtension): void {
  if (tcb.fmspc !== pck.fmspc) refuse('evidence.collateral', 'collateral.tcb_info.fmspc', pck.fmspc, tcb.fmspc, 'fetch the TCB info of this platform\'s family')
  if (tcb.pceId !== pck.pceId) refuse('evidence.collateral', 'collateral.tcb_info.pceId', pck.pceId, tcb.pceId)
}

/** The attestation key, believed because the quoting enclave's report, signed by the PCK key, names it. */
function attestationKey(p: Primitives, { attestationKey: raw, qe }: Quote, { leaf, notBefore, notAfter }: Platform, options: VerifyOptions): PublicKey {
  return remember(p, options, 'dcap qe', [raw, qe.signed, qe.signature, qe.authData, leaf.der], () => {
    if (leaf.publicKey.kind !== 'p256' || !p.verify('ecdsa-p256-sha256', leaf.publicKey, qe.signed, qe.signature)) refuse('evidence.signature', 'quote.qe_report', 'a signature by the PCK key', 'one that does not hold')
    const named = qe.report.reportData
    if (!equal(named.subarray(0, 32), p.hash('sha256', concat(raw, qe.authData))) || !allZero(named.subarray(32))) refuse('evidence.binding', 'quote.qe_report.report_data', 'the digest of the attestation key and the authentication data', toHex(named))
    const key: PublicKey = { kind: 'p256', raw: concat(new Uint8Array([4]), raw) }
    return { key, notBefore, notAfter }
  }).key
}

function checkQe(qe: EnclaveReport, identity: QeIdentity): void {
  if (toHex(qe.mrSigner) !== identity.mrSigner) refuse('evidence.signer', 'quote.qe_report.mrsigner', identity.mrSigner, toHex(qe.mrSigner))
  if (qe.isvProdId !== identity.isvProdId) refuse('evidence.signer', 'quote.qe_report.isvprodid', String(identity.isvProdId), String(qe.isvProdId))
  if (!masked(qe.miscSelect, identity.miscSelectMask, identity.miscSelect)) refuse('evidence.signer', 'quote.qe_report.miscselect', identity.miscSelect, toHex(qe.miscSelect))
  if (!masked(qe.attributes, identity.attributesMask, identity.attributes)) refuse('evidence.signer', 'quote.qe_report.attributes', identity.attributes, toHex(qe.attributes))
}

/** TD attributes that the TDX module specification (1.5, table "TD ATTRIBUTES") defines; every other bit is reserved. */
const TD_ATTRIBUTES = { tud: 0xffn, lass: 1n << 27n, septVeDisable: 1n << 28n, migratable: 1n << 29n, pks: 1n << 30n, kl: 1n << 31n, tpa: 1n << 62n, perfmon: 1n << 63n } as const
const TD_KNOWN = Object.values(TD_ATTRIBUTES).reduce((all, bit) => all | bit)
/** XFAM: x87 and SSE are always on; the bits of this mask may be. */
const XFAM_ALWAYS = 0x3n
const XFAM_KNOWN = 0x6dbe7n

const word = (bytes: Uint8Array): bigint => bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)

function checkDomain({ tdAttributes, xfam }: DomainReport): void {
  if ((word(tdAttributes) & ~TD_KNOWN) !== 0n) refuse('evidence.reserved-bits', 'body.td_attributes', `only bits of 0x${TD_KNOWN.toString(16)}`, `0x${word(tdAttributes).toString(16)}`)
  const features = word(xfam)
  if ((features & XFAM_ALWAYS) !== XFAM_ALWAYS || (features & ~XFAM_KNOWN) !== 0n) refuse('evidence.reserved-bits', 'body.xfam', `0x3 set, only bits of 0x${XFAM_KNOWN.toString(16)}`, `0x${features.toString(16)}`)
}

/** The event log proven by the RTMRs; CCEL counts its registers from one. */
function replayed(p: Primitives, { eventLog }: DcapEvidence, { domain }: Quote): ProvenLog | undefined {
  if (eventLog === undefined || domain === undefined) return undefined
  return proveEvents(p, parseEventLog(fromBase64(eventLog, 'eventLog')), { kind: 'rtmr', bank: 'sha384', values: new Map(domain.rtmrs.map((value, i) => [i + 1, value])) })
}

function claimsOf(quote: Quote, collateral: VerifiedCollateral, { pck, chain, endorsements }: Platform, evaluation: Evaluation, log: ProvenLog | undefined): ClaimsOf<DcapFacts> {
  return {
    tee: quote.tee, simulated: false, signer: 'pck', ...(quote.domain === undefined ? enclaveClaims(quote.enclave) : domainClaims(quote.domain)),
    chipId: pck.piid ?? pck.ppid,
    validity: { notBefore: Math.max(chain.notBefore, collateral.notBefore), notAfter: Math.min(chain.notAfter, collateral.notAfter) },
    endorsements: [...new Set([...endorsements, ...collateral.endorsements])], revocation: true,
    ...(log === undefined ? {} : { events: log.events }),
    facts: {
      kind: 'dcap', version: quote.version, status: evaluation.status, platformStatus: evaluation.platform, ...(evaluation.module === undefined ? {} : { moduleStatus: evaluation.module }), qeStatus: evaluation.qe,
      tcbDate: evaluation.date, oldestDate: evaluation.oldestDate, advisories: evaluation.advisories, shortfall: evaluation.shortfall, evaluation: { tcb: collateral.tcb.evaluation, qe: collateral.qe.evaluation },
      fmspc: pck.fmspc, pck, pckAuthority: chain.path[1]?.subjectCommonName ?? '',
      ...(quote.enclave === undefined ? {} : { sgx: enclaveFacts(quote.enclave) }), ...(quote.domain === undefined ? {} : { tdx: domainFacts(quote.domain) }),
      ...(log === undefined ? {} : { boot: log.boot, unprovenEvents: log.unproven, uncovered: log.uncovered }),
    },
  }
}

type Launched = Pick<ClaimsOf<DcapFacts>, 'product' | 'measurement' | 'registers' | 'reportData' | 'hostData' | 'debug' | 'migration'>
const SGX_DEBUG = 0x02

function enclaveClaims(one: EnclaveReport): Launched {
  return { product: 'SGX', measurement: toHex(one.mrEnclave), registers: {}, reportData: toHex(one.reportData), hostData: toHex(one.configId), debug: ((one.attributes[0] ?? 0) & SGX_DEBUG) !== 0, migration: false }
}

/** Any bit of the TUD byte puts a domain under debug: it is no longer trusted. */
function domainClaims(one: DomainReport): Launched {
  const attributes = word(one.tdAttributes)
  return {
    product: (one.teeTcbSvn[1] ?? 0) > 0 ? 'TDX 1.5' : 'TDX 1.0', measurement: toHex(one.mrTd), registers: Object.fromEntries(one.rtmrs.map((value, i) => [`RTMR${i}`, toHex(value)])),
    reportData: toHex(one.reportData), hostData: toHex(one.mrConfigId), debug: (attributes & TD_ATTRIBUTES.tud) !== 0n, migration: (attributes & TD_ATTRIBUTES.migratable) !== 0n,
  }
}

const enclaveFacts = (one: EnclaveReport): NonNullable<DcapFacts['sgx']> => ({ attributes: toHex(one.attributes), mrSigner: toHex(one.mrSigner), isvProdId: one.isvProdId, isvSvn: one.isvSvn, configSvn: one.configSvn })

function domainFacts(one: DomainReport): NonNullable<DcapFacts['tdx']> {
  const attributes = word(one.tdAttributes)
  return {
    teeTcbSvn: toHex(one.teeTcbSvn), ...(one.teeTcbSvn2 === undefined ? {} : { teeTcbSvn2: toHex(one.teeTcbSvn2) }), mrSeam: toHex(one.mrSeam), tdAttributes: toHex(one.tdAttributes), xfam: toHex(one.xfam),
    mrOwner: toHex(one.mrOwner), mrOwnerConfig: toHex(one.mrOwnerConfig), mrServiceTd: toHex(one.mrServiceTd ?? new Uint8Array(0)), moduleVersion: `${one.teeTcbSvn[1] ?? 0}.${one.teeTcbSvn[0] ?? 0}`,
    septVeDisable: (attributes & TD_ATTRIBUTES.septVeDisable) !== 0n, perfmon: (attributes & TD_ATTRIBUTES.perfmon) !== 0n,
  }
}
