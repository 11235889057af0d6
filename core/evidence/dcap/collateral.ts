/**
 * Intel's collateral: TCB info (which security versions are current on a family of platforms) and the identity of the
 * quoting enclave, each signed by Intel's TCB signing key over its exact bytes, with the revocation lists that cover both
 * chains. Names as the PCS API and its clients write them.
 *
 * Trusts: the port and the root handed in. What Intel adds to its documents beyond the fields below is ignored: the
 * signature covers it, no verdict rests on it.
 */
import { fromHex, toHex } from '../../bytes/hex.ts'
import { isObject, parseJsonObject, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate, parseCrl, validateChain, type Certificate, type Chain, type RevocationList } from '../../crypto/x509.ts'
import { orRefuse, refuse } from '../../refusal.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { onlyFields, textOf } from '../shape.ts'

/** Documents as text, exactly as signed; signatures and lists (DER) as hex; chains as PEM. */
export interface DcapCollateral {
  readonly tcb_info: string
  readonly tcb_info_signature: string
  readonly tcb_info_issuer_chain: string
  readonly qe_identity: string
  readonly qe_identity_signature: string
  readonly qe_identity_issuer_chain: string
  readonly pck_crl: string
  readonly root_ca_crl: string
  /** PEM, leaf first: for quotes that do not carry their chain. */
  readonly pck_certificate_chain?: string
}

const NEEDED = ['tcb_info', 'tcb_info_signature', 'tcb_info_issuer_chain', 'qe_identity', 'qe_identity_signature', 'qe_identity_issuer_chain', 'pck_crl', 'root_ca_crl'] as const

/** Shape only. Leaves with `evidence.parse`; a missing document is `evidence.missing`. */
export function readCollateral(json: JsonObject): DcapCollateral {
  onlyFields(json, [...NEEDED, 'pck_certificate_chain', 'pck_crl_issuer_chain'])
  for (const name of NEEDED) if (json[name] === undefined) refuse('evidence.missing', `collateral.${name}`, 'Intel\'s document', 'nothing', 'fetch it from the provisioning certification service and add it to the evidence')
  const [tcb_info, tcb_info_signature, tcb_info_issuer_chain] = [textOf(json, 'tcb_info'), textOf(json, 'tcb_info_signature'), textOf(json, 'tcb_info_issuer_chain')]
  const [qe_identity, qe_identity_signature, qe_identity_issuer_chain] = [textOf(json, 'qe_identity'), textOf(json, 'qe_identity_signature'), textOf(json, 'qe_identity_issuer_chain')]
  const chain = json['pck_certificate_chain'] === undefined ? {} : { pck_certificate_chain: textOf(json, 'pck_certificate_chain') }
  return { tcb_info, tcb_info_signature, tcb_info_issuer_chain, qe_identity, qe_identity_signature, qe_identity_issuer_chain, pck_crl: textOf(json, 'pck_crl'), root_ca_crl: textOf(json, 'root_ca_crl'), ...chain }
}

export const STATUSES = ['UpToDate', 'SWHardeningNeeded', 'ConfigurationNeeded', 'ConfigurationAndSWHardeningNeeded', 'OutOfDate', 'OutOfDateConfigurationNeeded', 'Revoked'] as const
export type TcbStatus = typeof STATUSES[number]

export interface TcbLevel { readonly status: TcbStatus; readonly date: string; readonly advisories: readonly string[] }
export interface PlatformLevel extends TcbLevel { readonly sgx: readonly number[]; readonly pceSvn: number; readonly tdx?: readonly number[] }
export interface SvnLevel extends TcbLevel { readonly isvSvn: number }
export interface ModuleIdentity { readonly id: string; readonly mrSigner: string; readonly attributes: string; readonly attributesMask: string; readonly levels: readonly SvnLevel[] }
export interface TcbInfo {
  readonly fmspc: string
  readonly pceId: string
  readonly evaluation: number
  readonly levels: readonly PlatformLevel[]
  readonly module?: Omit<ModuleIdentity, 'id' | 'levels'>
  readonly modules: readonly ModuleIdentity[]
}
export interface QeIdentity {
  readonly evaluation: number
  readonly miscSelect: string
  readonly miscSelectMask: string
  readonly attributes: string
  readonly attributesMask: string
  readonly mrSigner: string
  readonly isvProdId: number
  readonly levels: readonly SvnLevel[]
}

/** Collateral in which every signature holds and which is in force. Times are seconds since 1970. */
export interface VerifiedCollateral { readonly tcb: TcbInfo; readonly qe: QeIdentity; readonly rootCrl: RevocationList; readonly pckCrl: RevocationList; readonly endorsements: readonly string[]; readonly notBefore: number; readonly notAfter: number }

/** Leaves with `evidence.collateral`, `x509.*`, `crl.*`, `json.*` or `crypto.*`. */
export function verifyCollateral(p: Primitives, given: DcapCollateral, tee: 'sgx' | 'tdx', options: VerifyOptions, root: Certificate): VerifiedCollateral {
  // One text for all, each behind its length: it is the larger part of what a known platform costs.
  const all = utf8(NEEDED.map(name => `${given[name].length}:${given[name]}`).join(''))
  return remember(p, options, `dcap collateral ${tee}`, [all, root.der], () => {
    const [pckCrl, rootCrl] = [orRefuse(parseCrl(fromHex(given.pck_crl), 'collateral.pck_crl')), orRefuse(parseCrl(fromHex(given.root_ca_crl), 'collateral.root_ca_crl'))]
    const chains = [...new Set([given.tcb_info_issuer_chain, given.qe_identity_issuer_chain])].map(pem => ({ pem, chain: signingChain(p, pem, rootCrl, options, root) }))
    const signed = (name: 'tcb_info' | 'qe_identity') => {
      const key = chains.find(one => one.pem === given[`${name}_issuer_chain`])?.chain.path[0]?.publicKey
      const signature = fromHex(given[`${name}_signature`], `collateral.${name}_signature`)
      if (key === undefined || !p.verify('ecdsa-p256-sha256', key, utf8(given[name]), signature)) refuse('evidence.collateral', `collateral.${name}`, 'a signature by Intel\'s TCB signing key over exactly these bytes', 'one that does not hold')
      return parseJsonObject(given[name])
    }
    const [tcbJson, qeJson] = [signed('tcb_info'), signed('qe_identity')]
    const windows = [inForce(tcbJson, 'collateral.tcb_info', options.now), inForce(qeJson, 'collateral.qe_identity', options.now), ...chains.map(one => one.chain)]
    const documents = [...chains.flatMap(({ chain }) => [...chain.path, ...chain.crls].map(one => one.der)), pckCrl.der, utf8(given.tcb_info), utf8(given.qe_identity)]
    return {
      tcb: readTcbInfo(tcbJson, tee), qe: readQeIdentity(qeJson, tee), rootCrl, pckCrl,
      endorsements: [...new Set(documents.map(one => `sha256:${toHex(p.hash('sha256', one))}`))],
      notBefore: Math.max(...windows.map(one => one.notBefore)), notAfter: Math.min(...windows.map(one => one.notAfter)),
    }
  })
}

function signingChain(p: Primitives, pem: string, rootCrl: RevocationList, options: VerifyOptions, root: Certificate): Chain {
  const [leaf, ...rest] = readPem(pem, 'CERTIFICATE').map((der, i) => orRefuse(parseCertificate(der, `collateral.issuer_chain[${i}]`)))
  if (leaf === undefined) return refuse('evidence.missing', 'collateral.issuer_chain', 'the TCB signing certificate', 'none')
  if (leaf.subjectCommonName !== 'Intel SGX TCB Signing') refuse('evidence.collateral', 'collateral.issuer_chain', 'Intel SGX TCB Signing', leaf.subjectCommonName)
  return orRefuse(validateChain(p, { leaf, intermediates: rest, roots: [root], at: options.now, crls: [rootCrl], requireCrl: true }))
}

/** When a document says it is in force, seconds since 1970. Leaves with `evidence.collateral`. */
export const windowOf = (json: JsonObject, at: string): { notBefore: number; notAfter: number } => ({ notBefore: dateOf(json, 'issueDate', at), notAfter: dateOf(json, 'nextUpdate', at) })

function inForce(json: JsonObject, at: string, now: number): { notBefore: number; notAfter: number } {
  const { notBefore, notAfter } = windowOf(json, at)
  if (now < notBefore || now > notAfter) refuse('evidence.collateral', `${at}.nextUpdate`, `a document for ${now}`, `one for ${notBefore} to ${notAfter}`, 'fetch current collateral, or judge --at an earlier time')
  return { notBefore, notAfter }
}

/** What a TCB info says, whether or not it is in force and who signed it. Leaves with `evidence.collateral`. */
export function readTcbInfo(json: JsonObject, tee: 'sgx' | 'tdx'): TcbInfo {
  const at = 'collateral.tcb_info'
  const version = numberOf(json, 'version', at)
  if (version !== 3 && !(version === 2 && tee === 'sgx')) refuse('evidence.collateral', `${at}.version`, tee === 'tdx' ? '3' : '2 or 3', String(version))
  if (version === 3 && json['id'] !== tee.toUpperCase()) refuse('evidence.collateral', `${at}.id`, tee.toUpperCase(), shown(json['id']))
  if (numberOf(json, 'tcbType', at) !== 0) refuse('evidence.collateral', `${at}.tcbType`, '0', shown(json['tcbType']))
  const module = json['tdxModule']
  return {
    fmspc: hexOf(json, 'fmspc', 6, at), pceId: hexOf(json, 'pceId', 2, at), evaluation: numberOf(json, 'tcbEvaluationDataNumber', at),
    levels: listOf(json, 'tcbLevels', at).map((one, i) => platformLevel(one, version, tee, `${at}.tcbLevels[${i}]`)),
    ...(tee === 'tdx' && isObject(module) ? { module: moduleOf(module, `${at}.tdxModule`) } : {}),
    modules: tee === 'sgx' || json['tdxModuleIdentities'] === undefined ? [] : listOf(json, 'tdxModuleIdentities', at).map((one, i) => moduleIdentity(one, `${at}.tdxModuleIdentities[${i}]`)),
  }
}

function platformLevel(json: JsonObject, version: number, tee: 'sgx' | 'tdx', at: string): PlatformLevel {
  const tcb = objectAt(json, 'tcb', at)
  const svns = (name: string) => {
    const list = listOf(tcb, name, at)
    return list.length === 16 ? list.map(one => numberOf(one, 'svn', `${at}.${name}`)) : refuse('evidence.collateral', `${at}.${name}`, '16 components', String(list.length))
  }
  const sgx = version === 3 ? svns('sgxtcbcomponents') : Array.from({ length: 16 }, (_, i) => numberOf(tcb, `sgxtcbcomp${String(i + 1).padStart(2, '0')}svn`, at))
  return { ...levelOf(json, at), sgx, pceSvn: numberOf(tcb, 'pcesvn', at), ...(tee === 'tdx' ? { tdx: svns('tdxtcbcomponents') } : {}) }
}

const moduleOf = (json: JsonObject, at: string) => ({ mrSigner: hexOf(json, 'mrsigner', 48, at), attributes: hexOf(json, 'attributes', 8, at), attributesMask: hexOf(json, 'attributesMask', 8, at) })
const moduleIdentity = (json: JsonObject, at: string): ModuleIdentity => ({ id: stringOf(json, 'id', at).toUpperCase(), ...moduleOf(json, at), levels: svnLevels(json, at) })

/** What an identity of a quoting enclave says, whether or not it is in force and who signed it. Leaves with `evidence.collateral`. */
export function readQeIdentity(json: JsonObject, tee: 'sgx' | 'tdx'): QeIdentity {
  const at = 'collateral.qe_identity'
  const id = tee === 'tdx' ? 'TD_QE' : 'QE'
  if (json['id'] !== id) refuse('evidence.collateral', `${at}.id`, id, shown(json['id']))
  if (numberOf(json, 'version', at) !== 2) refuse('evidence.collateral', `${at}.version`, '2', shown(json['version']))
  return {
    evaluation: numberOf(json, 'tcbEvaluationDataNumber', at), miscSelect: hexOf(json, 'miscselect', 4, at), miscSelectMask: hexOf(json, 'miscselectMask', 4, at),
    attributes: hexOf(json, 'attributes', 16, at), attributesMask: hexOf(json, 'attributesMask', 16, at), mrSigner: hexOf(json, 'mrsigner', 32, at), isvProdId: numberOf(json, 'isvprodid', at), levels: svnLevels(json, at),
  }
}

const svnLevels = (json: JsonObject, at: string): SvnLevel[] => listOf(json, 'tcbLevels', at).map((one, i) => ({ ...levelOf(one, `${at}.tcbLevels[${i}]`), isvSvn: numberOf(objectAt(one, 'tcb', at), 'isvsvn', at) }))

function levelOf(json: JsonObject, at: string): TcbLevel {
  const status = STATUSES.find(one => one === json['tcbStatus']) ?? refuse('evidence.collateral', `${at}.tcbStatus`, STATUSES.join(', '), shown(json['tcbStatus']))
  dateOf(json, 'tcbDate', at)
  const advisories = json['advisoryIDs'] === undefined ? [] : arrayOf(json['advisoryIDs'], `${at}.advisoryIDs`).map(one => (typeof one === 'string' ? one : refuse('evidence.collateral', `${at}.advisoryIDs`, 'texts', shown(one))))
  return { status, date: stringOf(json, 'tcbDate', at), advisories }
}

// ---- typed access: Intel signs these documents, so another shape is a document of another kind ----------------------

const LEVELS_MAX = 256

function stringOf(json: JsonObject, key: string, at: string): string {
  const value = json[key]
  return typeof value === 'string' ? value : refuse('evidence.collateral', `${at}.${key}`, 'a text', shown(value))
}
function numberOf(json: JsonObject, key: string, at: string): number {
  const value = json[key]
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : refuse('evidence.collateral', `${at}.${key}`, 'a number', shown(value))
}
function hexOf(json: JsonObject, key: string, length: number, at: string): string {
  const bytes = fromHex(stringOf(json, key, at), `${at}.${key}`)
  return bytes.length === length ? toHex(bytes) : refuse('evidence.collateral', `${at}.${key}`, `${length} bytes`, String(bytes.length))
}
function objectAt(json: JsonObject, key: string, at: string): JsonObject {
  const value = json[key]
  return isObject(value) ? value : refuse('evidence.collateral', `${at}.${key}`, 'an object', shown(value))
}
function arrayOf(value: Json | undefined, at: string): readonly Json[] {
  return Array.isArray(value) && value.length <= LEVELS_MAX ? value : refuse('evidence.collateral', at, `a list of at most ${LEVELS_MAX}`, shown(value))
}
function listOf(json: JsonObject, key: string, at: string): JsonObject[] {
  return arrayOf(json[key], `${at}.${key}`).map((one, i) => (isObject(one) ? one : refuse('evidence.collateral', `${at}.${key}[${i}]`, 'an object', shown(one))))
}
function dateOf(json: JsonObject, key: string, at: string): number {
  const text = stringOf(json, key, at)
  const seconds = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) / 1000 : Number.NaN
  return Number.isNaN(seconds) ? refuse('evidence.collateral', `${at}.${key}`, 'YYYY-MM-DDThh:mm:ssZ', text) : seconds
}
