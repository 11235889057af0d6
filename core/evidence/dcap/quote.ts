/**
 * Reads a DCAP quote (Intel SGX DCAP Quoting Library API, appendix A; TDX DCAP, versions 4 and 5): header, body of an
 * enclave or a trust domain, and the signature data down to the certificates. Every byte is read once; nothing may be left.
 * Trusts nothing: what is read here is judged in `verify.ts`.
 */
import { allZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import { refuse } from '../../refusal.ts'

/** The body of an SGX report (384 bytes): of an application's enclave or of the quoting enclave. */
export interface EnclaveReport {
  readonly cpuSvn: Uint8Array
  readonly miscSelect: Uint8Array
  readonly attributes: Uint8Array
  readonly mrEnclave: Uint8Array
  readonly mrSigner: Uint8Array
  readonly configId: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  readonly configSvn: number
  readonly reportData: Uint8Array
}

/** The body of a trust domain (584 bytes, TDX 1.0; 648 bytes, TDX 1.5). */
export interface DomainReport {
  readonly teeTcbSvn: Uint8Array
  readonly mrSeam: Uint8Array
  readonly mrSignerSeam: Uint8Array
  readonly seamAttributes: Uint8Array
  readonly tdAttributes: Uint8Array
  readonly xfam: Uint8Array
  readonly mrTd: Uint8Array
  readonly mrConfigId: Uint8Array
  readonly mrOwner: Uint8Array
  readonly mrOwnerConfig: Uint8Array
  readonly rtmrs: readonly Uint8Array[]
  readonly reportData: Uint8Array
  /** TDX 1.5: the TCB that holds now, where `teeTcbSvn` is the one at launch; and the service domain, zero where there is none. */
  readonly teeTcbSvn2?: Uint8Array
  readonly mrServiceTd?: Uint8Array
}

interface QuoteParts {
  readonly version: 3 | 4 | 5
  readonly tee: 'sgx' | 'tdx'
  /** Version 5 names the body: 1 enclave, 2 TDX 1.0, 3 TDX 1.5. */
  readonly bodyType?: number
  readonly qeVendor: string
  /** The bytes that the attestation key signed. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
  readonly attestationKey: Uint8Array
  readonly qe: { readonly report: EnclaveReport; readonly signed: Uint8Array; readonly signature: Uint8Array; readonly authData: Uint8Array }
  /** The kind of certification data; 5 is a chain of PEM certificates, leaf first. */
  readonly certificationType: number
  readonly certificationData: Uint8Array
  /** The chain in it, read when it is asked for: empty for another kind. Leaves with `bytes.*` where it is none. */
  readonly certificates: readonly Uint8Array[]
}
/** One body or the other. */
export type Quote = QuoteParts & ({ readonly enclave: EnclaveReport; readonly domain?: never } | { readonly enclave?: never; readonly domain: DomainReport })

const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607'
const TEE = { 0: 'sgx', 0x81: 'tdx' } as const
const BODY_BYTES = { 1: 384, 2: 584, 3: 648 } as const
const QUOTE_MAX = 64 * 1024
const CERTIFICATES_MAX = 4

/** One quote. Leaves with `bytes.*`, `evidence.version`, `evidence.kind` or `evidence.parse`. */
export function parseQuote(bytes: Uint8Array): Quote {
  if (bytes.length > QUOTE_MAX) refuse('bytes.too-large', 'quote', `at most ${QUOTE_MAX} bytes`, String(bytes.length))
  const reader = new Reader(bytes, 'quote@')
  const version = reader.u16le()
  if (version !== 3 && version !== 4 && version !== 5) return refuse('evidence.version', 'quote.version', '3, 4 or 5', String(version))
  const keyType = reader.u16le()
  if (keyType !== 2) refuse('evidence.parse', 'quote.attestation_key_type', '2 (ECDSA P-256)', String(keyType))
  const tee = teeOf(version, reader.u32le())
  reader.take(4) // SVNs of QE and PCE in version 3, reserved later: nothing rests on them
  const qeVendor = toHex(reader.take(16))
  if (qeVendor !== INTEL_QE_VENDOR) refuse('evidence.signer', 'quote.qe_vendor_id', INTEL_QE_VENDOR, qeVendor)
  reader.take(20) // user data, signed
  const bodyType = version === 5 ? reader.u16le() : undefined
  const type = bodyTypeOf(tee, bodyType)
  if (bodyType !== undefined) {
    const size = reader.u32le()
    if (size !== BODY_BYTES[type]) refuse('evidence.parse', 'quote.body_size', String(BODY_BYTES[type]), String(size))
  }
  const body = reader.take(BODY_BYTES[type])
  const signed = bytes.subarray(0, reader.offset)
  const data = new Reader(reader.take(reader.u32le()), `quote@0x${reader.offset.toString(16)}+`)
  reader.end()
  const rest = signatureData(version, data)
  return {
    version, tee, ...(bodyType === undefined ? {} : { bodyType }), qeVendor, signed, ...rest, ...(type === 1 ? { enclave: enclaveReport(body) } : { domain: domainReport(body) }),
    get certificates() { return rest.certificationType === 5 ? chainOf(rest.certificationData) : [] },
  }
}

function teeOf(version: number, value: number): 'sgx' | 'tdx' {
  const tee = value === 0 ? TEE[0] : value === 0x81 ? TEE[0x81] : refuse('evidence.kind', 'quote.tee_type', '0 (SGX) or 0x81 (TDX)', `0x${value.toString(16)}`)
  if (version === 3 && tee !== 'sgx') refuse('evidence.kind', 'quote.tee_type', 'SGX in a version 3 quote', tee)
  return tee
}

function bodyTypeOf(tee: 'sgx' | 'tdx', named: number | undefined): 1 | 2 | 3 {
  if (named === undefined) return tee === 'sgx' ? 1 : 2
  if (tee === 'sgx' && named === 1) return 1
  if (tee === 'tdx' && (named === 2 || named === 3)) return named
  return refuse('evidence.kind', 'quote.body_type', tee === 'sgx' ? '1' : '2 or 3', String(named))
}

function signatureData(version: number, data: Reader): Pick<Quote, 'signature' | 'attestationKey' | 'qe' | 'certificationType' | 'certificationData'> {
  const signature = data.take(64)
  const attestationKey = data.take(64)
  if (version === 3) {
    const inner = certified(data)
    data.end()
    return { signature, attestationKey, ...inner }
  }
  const type = data.u16le()
  if (type !== 6) refuse('evidence.parse', 'quote.certification_data', 'type 6 (the report of the quoting enclave)', `type ${type}`)
  const nested = new Reader(data.take(data.u32le()), 'quote.certification_data@')
  data.end()
  const inner = certified(nested)
  nested.end()
  return { signature, attestationKey, ...inner }
}

function certified(reader: Reader): Pick<Quote, 'qe' | 'certificationType' | 'certificationData'> {
  const signed = reader.take(384)
  const signature = reader.take(64)
  const authData = reader.take(reader.u16le())
  const certificationType = reader.u16le()
  return { qe: { report: enclaveReport(signed), signed, signature, authData }, certificationType, certificationData: reader.take(reader.u32le()) }
}

/** PEM, leaf first; the library that writes it ends it with a zero byte. */
function chainOf(bytes: Uint8Array): Uint8Array[] {
  const text = fromUtf8(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes, 'quote.certificates')
  const certificates = readPem(text, 'CERTIFICATE')
  if (certificates.length > CERTIFICATES_MAX) refuse('bytes.too-large', 'quote.certificates', `at most ${CERTIFICATES_MAX}`, String(certificates.length))
  return certificates
}

/** Of 384 bytes, which the caller took: all are read. */
function enclaveReport(bytes: Uint8Array): EnclaveReport {
  const reader = new Reader(bytes, 'report@')
  const cpuSvn = reader.take(16)
  const miscSelect = reader.take(4)
  zero(reader.take(12), 'report.reserved')
  reader.take(16) // ISVEXTPRODID
  const attributes = reader.take(16)
  const mrEnclave = reader.take(32)
  zero(reader.take(32), 'report.reserved')
  const mrSigner = reader.take(32)
  zero(reader.take(32), 'report.reserved')
  const configId = reader.take(64)
  const isvProdId = reader.u16le()
  const isvSvn = reader.u16le()
  const configSvn = reader.u16le()
  zero(reader.take(42), 'report.reserved')
  reader.take(16) // ISVFAMILYID
  const reportData = reader.take(64)
  return { cpuSvn, miscSelect, attributes, mrEnclave, mrSigner, configId, isvProdId, isvSvn, configSvn, reportData }
}

/** Of 584 or 648 bytes, which the caller took: all are read. */
function domainReport(bytes: Uint8Array): DomainReport {
  const reader = new Reader(bytes, 'body@')
  const teeTcbSvn = reader.take(16)
  const [mrSeam, mrSignerSeam] = [reader.take(48), reader.take(48)]
  const [seamAttributes, tdAttributes, xfam] = [reader.take(8), reader.take(8), reader.take(8)]
  const [mrTd, mrConfigId, mrOwner, mrOwnerConfig] = [reader.take(48), reader.take(48), reader.take(48), reader.take(48)]
  const rtmrs = [reader.take(48), reader.take(48), reader.take(48), reader.take(48)]
  const reportData = reader.take(64)
  const later = reader.left === 0 ? {} : { teeTcbSvn2: reader.take(16), mrServiceTd: reader.take(48) }
  return { teeTcbSvn, mrSeam, mrSignerSeam, seamAttributes, tdAttributes, xfam, mrTd, mrConfigId, mrOwner, mrOwnerConfig, rtmrs, reportData, ...later }
}

function zero(bytes: Uint8Array, at: string): void {
  if (!allZero(bytes)) refuse('evidence.reserved-bits', at, 'zero', toHex(bytes))
}

