/**
 * Judges an Azure confidential VM. Three things are bound, each to the one before: the hardware (SEV-SNP or TDX) signs the
 * hash of the paravisor's runtime claims; these name the attestation key of the VM's virtual TPM; that key signs a quote
 * over the nonce and the registers into which firmware, kernel and init were measured. The hardware's own measurement
 * covers the paravisor only (attacks.md row 50), so a policy for such a machine must name registers.
 *
 * Trusts: the port, and what judges the hardware. A report that was not asked for by the paravisor (VMPL 0) binds nothing.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import type { DcapFacts } from '../dcap/verify.ts'
import { parseEventLog } from '../eventlog/log.ts'
import { proveEvents, registerName, type BootFacts, type ProvenLog } from '../eventlog/replay.ts'
import type { VerifyOptions } from '../options.ts'
import { objectOf, onlyFields, textOf, textsOf } from '../shape.ts'
import { parseReport } from '../snp/report.ts'
import type { SnpFacts } from '../snp/verify.ts'
import { readPcrs, verifyQuote, type ProvenQuote } from '../tpm/quote.ts'
import type { TpmSignature } from '../tpm/structures.ts'
import { checkRuntimeClaims, readHclReport, readTdReport, type HclReport, type TdField } from './hcl.ts'

/** As it travels; binary parts in standard base64. */
export interface AzureEvidence {
  readonly kind: 'azure'
  /** The contents of NV index 0x01400001. */
  readonly hclReport: string
  /** TPMS_ATTEST of the vTPM's quote, and its RSASSA-PKCS1-v1_5 signature with SHA-256, raw. */
  readonly message: string
  readonly signature: string
  /** Hex by bank and index, exactly the quoted ones. */
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** SNP: DER certificates, VCEK first, and the lists of its root. */
  readonly certificates?: readonly string[]
  readonly crls?: readonly string[]
  /** TDX: the quote over the report in the HCL report, and Intel's collateral as that room reads it. */
  readonly tdQuote?: string
  readonly collateral?: JsonObject
  readonly eventLog?: string
}

export interface AzureFacts {
  readonly kind: 'azure'
  /** What the hardware's own evidence establishes. */
  readonly hardware: HardwareClaims
  /** What the paravisor says about the VM, bound to the hardware's signature: `secure-boot`, `vmUniqueId`, … */
  readonly vmConfiguration: JsonObject
  /** 64 bytes that the guest had bound, hex. */
  readonly userData: string
  readonly keys: readonly string[]
  readonly clock: { readonly milliseconds: string; readonly resetCount: number; readonly restartCount: number; readonly safe: boolean }
  readonly bank: string
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly boot?: BootFacts
  readonly unprovenEvents?: number
  readonly uncovered?: readonly string[]
}

/** What the room of the hardware says about its report: the part of its claims that is needed here. */
export interface HardwareClaims {
  readonly simulated: boolean
  readonly product: string
  readonly measurement: string
  /** RTMR0 to RTMR3 of a TD; SNP has none. */
  readonly registers?: Readonly<Record<string, string>>
  readonly reportData: string
  readonly hostData: string
  readonly debug: boolean
  readonly migration: boolean
  readonly chipId: string
  readonly validity: { readonly notBefore: number; readonly notAfter: number }
  readonly endorsements: readonly string[]
  readonly revocation?: boolean
  /** What only this kind of hardware has: its patch levels are judged like those of a machine that stands alone. */
  readonly facts?: SnpFacts | DcapFacts
}

/** What judges the hardware: the rooms of SNP and DCAP with the vendors' roots, in tests with others. They leave by `refuse`. */
export interface HardwareJudges {
  snp(report: Uint8Array, evidence: AzureEvidence, options: VerifyOptions): HardwareClaims
  tdx(quote: Uint8Array, evidence: AzureEvidence, options: VerifyOptions): HardwareClaims
}

export type AzureClaims = ClaimsOf<AzureFacts>

const LIMITS = { certificates: 8, crls: 4 }

/** Evidence as it came from outside, for its shape. Leaves with `evidence.parse` or `evidence.missing`. */
export function readAzure(json: JsonObject): AzureEvidence {
  onlyFields(json, ['kind', 'hclReport', 'message', 'signature', 'pcrs', 'certificates', 'crls', 'tdQuote', 'collateral', 'eventLog'])
  const pcrs = objectOf(json, 'pcrs')
  readPcrs(pcrs)
  return {
    kind: 'azure', hclReport: textOf(json, 'hclReport'), message: textOf(json, 'message'), signature: textOf(json, 'signature'),
    // readPcrs has just found the shape that the type says.
    pcrs: pcrs as AzureEvidence['pcrs'],
    ...(json['certificates'] === undefined ? {} : { certificates: textsOf(json, 'certificates', LIMITS.certificates) }),
    ...(json['crls'] === undefined ? {} : { crls: textsOf(json, 'crls', LIMITS.crls) }),
    ...(json['tdQuote'] === undefined ? {} : { tdQuote: textOf(json, 'tdQuote') }),
    ...(json['collateral'] === undefined ? {} : { collateral: objectOf(json, 'collateral') }),
    ...(json['eventLog'] === undefined ? {} : { eventLog: textOf(json, 'eventLog') }),
  }
}

/**
 * The claims of an Azure VM in which everything holds. Leaves with `evidence.binding`, `evidence.signature`,
 * `evidence.missing` (collateral of the hardware), `evidence.event-log`, and with whatever the hardware's room refuses.
 */
export function verifyAzure(p: Primitives, evidence: AzureEvidence, options: VerifyOptions, judges: HardwareJudges): AzureClaims {
  const hcl = readHclReport(p, fromBase64(evidence.hclReport, 'hclReport'))
  checkRuntimeClaims(p, hcl)
  const signature: TpmSignature = { scheme: 'rsassa', hash: 'sha256', parts: [fromBase64(evidence.signature, 'signature')] }
  const quote = verifyQuote(p, hcl.claims.ak, fromBase64(evidence.message, 'message'), signature, readPcrs(evidence.pcrs))
  const log = evidence.eventLog === undefined ? undefined : proveEvents(p, parseEventLog(fromBase64(evidence.eventLog, 'eventLog')), quote.registers)
  const hardware = hcl.type === 'snp' ? judgeSnp(hcl, evidence, options, judges) : judgeTdx(p, hcl, evidence, options, judges)
  if (hardware.reportData !== toHex(hcl.reportData)) refuse('evidence.binding', 'hclReport.runtimeClaims', `the report data that the hardware signed, ${hardware.reportData}`, toHex(hcl.reportData))
  return claimsOf(hcl, hardware, quote, log)
}

function judgeSnp(hcl: HclReport, evidence: AzureEvidence, options: VerifyOptions, judges: HardwareJudges): HardwareClaims {
  if (evidence.tdQuote !== undefined || evidence.collateral !== undefined) refuse('evidence.parse', 'tdQuote', 'no TDX parts beside an SNP report', 'some')
  const { vmpl } = parseReport(hcl.hardware)
  if (vmpl !== 0) refuse('evidence.binding', 'hclReport.report.vmpl', 'VMPL 0, where the paravisor runs', String(vmpl))
  return judges.snp(hcl.hardware, evidence, options)
}

const TD_FIELDS: readonly TdField[] = ['mrTd', 'mrConfigId', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3']

/** The TDREPORT carries a MAC that only its machine can check; what counts is the quote, and it must say the same. */
function judgeTdx(p: Primitives, hcl: HclReport, evidence: AzureEvidence, options: VerifyOptions, judges: HardwareJudges): HardwareClaims {
  if (evidence.certificates !== undefined || evidence.crls !== undefined) refuse('evidence.parse', 'certificates', 'no SNP parts beside a TDREPORT', 'some')
  if (evidence.tdQuote === undefined) return refuse('evidence.missing', 'tdQuote', 'the TD quote over the HCL report', 'none', 'ask the machine for a quote of its TDREPORT')
  const claims = judges.tdx(fromBase64(evidence.tdQuote, 'tdQuote'), evidence, options)
  const { fields } = readTdReport(p, hcl.hardware)
  const { registers = {} } = claims
  const quoted: Record<TdField, string | undefined> = { mrTd: claims.measurement, mrConfigId: claims.hostData, rtmr0: registers['RTMR0'], rtmr1: registers['RTMR1'], rtmr2: registers['RTMR2'], rtmr3: registers['RTMR3'] }
  for (const name of TD_FIELDS) if (fields[name] !== quoted[name]) refuse('evidence.binding', `hclReport.tdReport.${name}`, `what the quote says: ${quoted[name] ?? 'nothing'}`, fields[name])
  return claims
}

function claimsOf(hcl: HclReport, hardware: HardwareClaims, quote: ProvenQuote, log: ProvenLog | undefined): AzureClaims {
  const { attest, registers, banks } = quote
  const { vmConfiguration, userData, keyNames } = hcl.claims
  const facts: AzureFacts = {
    kind: 'azure', hardware, vmConfiguration, userData, keys: keyNames, clock: { ...attest.clock, milliseconds: attest.clock.milliseconds.toString() }, bank: registers.bank, pcrs: banks,
    ...(log === undefined ? {} : { boot: log.boot, unprovenEvents: log.unproven, uncovered: log.uncovered }),
  }
  return {
    tee: hcl.type === 'snp' ? 'azure-snp' : 'azure-tdx', simulated: hardware.simulated, product: hardware.product, signer: 'ak', measurement: hardware.measurement,
    registers: Object.fromEntries([...registers.values].map(([index, value]) => [registerName('pcr', index), toHex(value)])),
    reportData: toHex(attest.extraData), hostData: hardware.hostData, debug: hardware.debug, migration: hardware.migration, chipId: hardware.chipId,
    validity: hardware.validity, endorsements: hardware.endorsements, revocation: hardware.revocation ?? false, ...(log === undefined ? {} : { events: log.events }), facts,
  }
}
