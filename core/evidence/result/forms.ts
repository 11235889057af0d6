/**
 * The claims of Microsoft Azure Attestation, Google Confidential Space and Intel Trust Authority in the one vocabulary. What
 * a form does not say is taken at its worse value: a machine that nobody calls free of debugging counts as debugged.
 * Trusts: that the token was verified; nothing else.
 */
import { isObject, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { fromBase64, fromBase64Url } from '../../bytes/base64.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { attempt, refuse } from '../../refusal.ts'
import type { Claims } from '../claims.ts'
import type { TrustClaims } from './ear.ts'

/** What a form says, in the words of `Claims`; `reportData` only where it is a field of its own beside nonces. */
export interface Reading extends Pick<Claims, 'tee' | 'product' | 'measurement' | 'registers' | 'hostData' | 'debug' | 'migration' | 'chipId' | 'devices'> {
  readonly reportData?: string
  readonly nonces: readonly string[]
  readonly status: string
  readonly advisories: readonly string[]
  readonly trust?: Readonly<Record<string, TrustClaims>>
}

// ---- Microsoft Azure Attestation

/**
 * Microsoft Azure Attestation (learn.microsoft.com/azure/attestation/attestation-token-examples): confidential VMs by
 * `x-ms-isolation-tee`, TDX and SGX on their own.
 */
export function readMaa(claims: JsonObject): Reading {
  const type = claims['x-ms-attestation-type']
  if (type === 'sgx') return readMaaSgx(claims)
  const isolation = type === 'azurevm' ? part(claims, 'x-ms-isolation-tee') : claims
  const guest = type === 'azurevm' ? guestDebug(claims) : false
  switch (isolation['x-ms-attestation-type']) {
    case 'sevsnpvm': return { ...readMaaSnp(isolation), nonces: maaNonces(claims), debug: isolation['x-ms-sevsnpvm-is-debuggable'] !== false || guest }
    case 'tdxvm': {
      const domain = readDomain(isolation)
      return { ...domain, tee: 'azure-tdx', nonces: maaNonces(claims), debug: domain.debug || guest }
    }
    default: return refuse('evidence.token', 'token.x-ms-attestation-type', 'sevsnpvm, tdxvm or sgx', shown(isolation['x-ms-attestation-type']))
  }
}

function readMaaSnp(isolation: JsonObject): Omit<Reading, 'nonces' | 'debug'> {
  const hex = (name: string) => hexText(isolation, `x-ms-sevsnpvm-${name}`)
  return {
    tee: 'azure-snp', product: 'SEV-SNP', measurement: hex('launchmeasurement'), registers: {}, reportData: hex('reportdata'), hostData: hex('hostdata'), chipId: '',
    migration: isolation['x-ms-sevsnpvm-migration-allowed'] !== false, status: '', advisories: [],
  }
}

function readMaaSgx(claims: JsonObject): Reading {
  return {
    tee: 'sgx', product: 'SGX', measurement: hexText(claims, 'x-ms-sgx-mrenclave'), registers: {}, reportData: optionalHex(claims, 'x-ms-sgx-report-data') ?? '', hostData: optionalHex(claims, 'x-ms-sgx-config-id') ?? '', chipId: '',
    debug: claims['x-ms-sgx-is-debuggable'] !== false, migration: false, nonces: maaNonces(claims), status: '', advisories: [],
  }
}

/** A guest whose kernel or hypervisor somebody debugs is debugged, whatever the processor says. */
const guestDebug = (claims: JsonObject): boolean => claims['x-ms-azurevm-debuggersdisabled'] === false || ['bootdebug', 'kerneldebug', 'hypervisordebug'].some(name => claims[`x-ms-azurevm-${name}-enabled`] === true)

/** The nonce that the caller gave: in the runtime part, base64. */
function maaNonces(claims: JsonObject): string[] {
  const runtime = claims['x-ms-runtime']
  const payload = isObject(runtime) ? runtime['client-payload'] : undefined
  const nonce = isObject(payload) ? payload['nonce'] : claims['nonce']
  if (nonce === undefined) return []
  const text = textOf(nonce, 'token.nonce')
  const bytes = attempt(() => fromBase64(text))
  return [toHex(bytes.ok ? bytes.value : utf8(text))]
}

// ---- Google Confidential Space

const HARDWARE: Readonly<Record<string, { readonly tee: Claims['tee']; readonly product: string }>> = {
  GCP_AMD_SEV: { tee: 'sev', product: 'SEV' }, GCP_AMD_SEV_ES: { tee: 'sev', product: 'SEV-ES' }, GCP_AMD_SEV_SNP: { tee: 'snp', product: 'SEV-SNP' }, GCP_INTEL_TDX: { tee: 'tdx', product: 'TDX' },
}

/**
 * Google Confidential Space (cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims). What
 * was launched is the container's image; secure boot off, or an image for debugging, counts as debugged.
 */
export function readConfidentialSpace(claims: JsonObject): Reading {
  const model = textOf(claims['hwmodel'], 'token.hwmodel')
  const hardware = Object.hasOwn(HARDWARE, model) ? HARDWARE[model] : undefined
  if (hardware === undefined) return refuse('evidence.product', 'token.hwmodel', Object.keys(HARDWARE).join(', '), model)
  if (claims['swname'] !== 'CONFIDENTIAL_SPACE') refuse('evidence.token', 'token.swname', 'CONFIDENTIAL_SPACE', shown(claims['swname']))
  const container = part(part(claims, 'submods'), 'container')
  const tdx = isObject(claims['tdx']) ? claims['tdx'] : {}
  return {
    ...hardware, measurement: digestText(container, 'image_digest'), registers: { image_id: digestText(container, 'image_id') }, hostData: '', chipId: '',
    // Google does not say whether a machine may be moved.
    debug: claims['dbgstat'] !== 'disabled-since-boot' || claims['secboot'] !== true, migration: true, nonces: noncesOf(claims['eat_nonce']), status: optionalText(tdx, 'gcp_attester_tcb_status') ?? '', advisories: [],
  }
}

// ---- Intel Trust Authority

/** Intel Trust Authority (docs.trustauthority.intel.com, attestation tokens): version 2 puts a machine's claims into `tdx` or `sgx`, version 1 beside the others. */
export function readIntelTrustAuthority(claims: JsonObject): Reading {
  const machine = isObject(claims['tdx']) ? claims['tdx'] : isObject(claims['sgx']) ? claims['sgx'] : claims
  const debugged = [claims, machine].some(({ dbgstat }) => dbgstat !== undefined && !NOT_DEBUGGED.some(one => one === dbgstat))
  switch (machine['attester_type']) {
    case 'TDX': {
      const domain = readDomain(machine)
      return { ...domain, nonces: intelNonces(claims), debug: domain.debug || debugged }
    }
    case 'SGX': return { ...readEnclave(machine), nonces: intelNonces(claims), debug: machine['sgx_is_debuggable'] !== false || debugged }
    default: return refuse('evidence.token', 'token.attester_type', 'TDX or SGX', shown(machine['attester_type']))
  }
}

/** RFC 9711 section 4.2.9. */
const NOT_DEBUGGED = ['disabled', 'disabled-since-boot', 'disabled-permanently', 'disabled-fully-and-permanently'] as const

/** Intel's own nonce, which the attester put into its report data: only the caller's is a nonce of ours. */
const intelNonces = (claims: JsonObject): readonly string[] => (claims['eat_nonce'] === undefined ? [] : noncesOf(claims['eat_nonce']))

function readEnclave(machine: JsonObject): Omit<Reading, 'nonces' | 'debug'> {
  return {
    tee: 'sgx', product: 'SGX', measurement: hexText(machine, 'sgx_mrenclave'), registers: {}, reportData: hexText(machine, 'sgx_report_data'), hostData: optionalHex(machine, 'sgx_config_id') ?? '', chipId: '',
    migration: false, status: optionalText(machine, 'attester_tcb_status') ?? '', advisories: advisoriesOf(machine),
  }
}

/** The claims of a trust domain (draft-kdyxy-rats-tdx-eat-profile), which Azure and Intel share; attributes decide where they stand there. */
function readDomain(claims: JsonObject): Omit<Reading, 'nonces'> {
  const attributes = optionalHex(claims, 'tdx_td_attributes')
  const bits = attributes?.length === 16 ? fromHex(attributes) : undefined
  const says = (name: string) => claims[name] !== false
  return {
    tee: 'tdx', product: 'TDX', measurement: hexText(claims, 'tdx_mrtd'), registers: Object.fromEntries([0, 1, 2, 3].map(i => [`RTMR${i}`, hexText(claims, `tdx_rtmr${i}`)])),
    reportData: optionalHex(claims, 'tdx_report_data') ?? hexText(claims, 'tdx_reportdata'), hostData: optionalHex(claims, 'tdx_mrconfigid') ?? '', chipId: '',
    debug: (bits === undefined ? says('tdx_is_debuggable') && says('tdx_td_attributes_debug') : bits[0] !== 0) || claims['tdx_is_debuggable'] === true || claims['tdx_td_attributes_debug'] === true,
    migration: bits === undefined ? says('tdx_is_migratable') : ((bits[3] ?? 0) & 0x20) !== 0, status: optionalText(claims, 'attester_tcb_status') ?? '', advisories: advisoriesOf(claims),
  }
}

// ---- readers

const advisoriesOf = (claims: JsonObject): readonly string[] => (claims['attester_advisory_ids'] === undefined ? [] : texts(claims['attester_advisory_ids'], 'token.attester_advisory_ids'))

/** Nonces of an EAT: one text or several. A text in hex stands for its bytes, any other for itself. */
export function noncesOf(value: Json | undefined, at = 'token.eat_nonce'): string[] {
  const found = value === undefined ? [] : typeof value === 'string' ? [value] : texts(value, at)
  return found.map(text => (/^([0-9a-f]{2})+$/.test(text) ? text : toHex(utf8(text))))
}

/** Bytes in base64 or base64url, as hex. */
export function anyBase64(text: string, at: string): string {
  const read = attempt(() => fromBase64Url(text.replace(/=+$/, '').replace(/\+/g, '-').replace(/\//g, '_')))
  return read.ok ? toHex(read.value) : refuse('evidence.token', at, 'bytes in base64', text)
}

const part = (json: JsonObject, key: string): JsonObject => {
  const value = json[key]
  return isObject(value) ? value : refuse('evidence.token', `token.${key}`, 'an object', value === undefined ? 'nothing' : shown(value))
}

export function textOf(value: Json | undefined, at: string): string {
  return typeof value === 'string' ? value : refuse('evidence.token', at, 'text', value === undefined ? 'nothing' : shown(value))
}

const optionalText = (json: JsonObject, key: string): string | undefined => (json[key] === undefined ? undefined : textOf(json[key], `token.${key}`))
const optionalHex = (json: JsonObject, key: string): string | undefined => (json[key] === undefined ? undefined : hexText(json, key))

export function hexText(json: JsonObject, key: string): string {
  const text = textOf(json[key], `token.${key}`).toLowerCase()
  return /^([0-9a-f]{2})+$/.test(text) ? text : refuse('evidence.token', `token.${key}`, 'bytes in hex', text)
}

function digestText(json: JsonObject, key: string): string {
  const text = textOf(json[key], `token.${key}`)
  return /^sha256:[0-9a-f]{64}$/.test(text) ? text.slice('sha256:'.length) : refuse('evidence.token', `token.${key}`, 'sha256: and 64 digits', text)
}

const LIST_MAX = 256
function texts(value: Json | undefined, at: string): string[] {
  if (!Array.isArray(value) || value.length > LIST_MAX) return refuse('evidence.token', at, `a list of at most ${LIST_MAX} texts`, shown(value))
  return value.map((one: Json, i) => textOf(one, `${at}[${i}]`))
}
