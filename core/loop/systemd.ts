/**
 * What `systemd-report` writes (systemd v261 and later): a report as one JSON object of metrics, or the signed form, a JSON
 * sequence (RFC 7464) whose first record is the report and whose further records are signatures over the exact bytes of the
 * first, its record separator and newline included. A `tsm` signature is evidence of SEV-SNP or TDX with that digest and
 * zeros as report data, and is handed to our own verifier. Trusts nothing.
 */
import { toHex } from '../bytes/hex.ts'
import { jcs } from '../bytes/jcs.ts'
import { isObject, kindOf, parseJsonObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Evidence } from '../evidence/claims.ts'
import { parseEvidence } from '../evidence/index.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { LOOP_LIMITS } from './documents.ts'

export const SYSTEMD_REPORT = 'application/vnd.io.systemd.report'
/** The signed form. */
export const SYSTEMD_SEQUENCE = 'application/json-seq'
const SYSTEMD_SIGNATURE = 'application/vnd.io.systemd.report.signature'

export interface SystemdSignature { readonly mechanism: string; /** Of the signed bytes, hex, as the record says it. */ readonly sha256: string; readonly data: JsonObject }
export interface SystemdReport {
  readonly facts: Readonly<Record<string, string>>
  readonly timestamp: string
  readonly nonce?: string
  /** The bytes that every signature is over. */
  readonly signed: Uint8Array
  readonly signatures: readonly SystemdSignature[]
}

const RECORD = 0x1e
const NEWLINE = 0x0a
const SIGNATURES_MAX = 16

/** A report in either form. Leaves with `loop.document`, `json.*` or `bytes.*`. */
export function readSystemdReport(mediaType: typeof SYSTEMD_REPORT | typeof SYSTEMD_SEQUENCE, bytes: Uint8Array): SystemdReport {
  if (mediaType === SYSTEMD_REPORT) return { ...reportOf(parseJsonObject(bytes)), signed: bytes, signatures: [] }
  const [first, ...rest] = recordsOf(bytes)
  if (first === undefined || rest.length > SIGNATURES_MAX) return refuse('loop.document', 'state', `a report and at most ${SIGNATURES_MAX} signatures`, `${rest.length} records`)
  return { ...reportOf(parseJsonObject(first.subarray(1))), signed: first, signatures: rest.map((one, i) => signatureOf(parseJsonObject(one.subarray(1)), `state[${i + 1}]`)) }
}

/** What the kernel hands over apart: the certificates of an SEV-SNP chip (base64 DER), or Intel's collateral as our evidence has it. */
export interface Endorsements { readonly certificates?: readonly string[]; readonly collateral?: Json }

/**
 * A signature over a report as evidence of ours, and the report data (hex) by which it is bound to the report's exact bytes: for
 * `verifyEvidence` and an appraisal's policy. Refuses `loop.document`, and `evidence.unsupported` for a mechanism that is no
 * hardware's and for `tpm2`, whose quote is bound to the report only through the audit of its session.
 *
 * @example
 * systemdEvidence(p, report, report.signatures[0]) // → { ok: true, value: { evidence: { kind: 'snp', … }, reportData: '…' } }
 */
export function systemdEvidence(p: Primitives, report: SystemdReport, signature: SystemdSignature, endorsements: Endorsements = {}): Result<{ readonly evidence: Evidence; readonly reportData: string }> {
  return attempt(() => {
    const digest = toHex(p.hash('sha256', report.signed))
    if (signature.sha256 !== digest) refuse('loop.document', 'state.signature.sha256', digest, signature.sha256)
    return { evidence: evidenceOf(signature, endorsements), reportData: digest.padEnd(128, '0') }
  })
}

function evidenceOf({ mechanism, data }: SystemdSignature, { certificates = [], collateral }: Endorsements): Evidence {
  if (mechanism !== 'tsm') return refuse('evidence.unsupported', 'state.signature.mechanism', 'tsm', mechanism, 'the loop\'s own evidence is over the report that names this state: it needs no second signature')
  only(data, ['provider', 'outblob', 'auxblob', 'manifestblob'], 'state.signature.data')
  const outblob = text(data, 'outblob', 'state.signature.data')
  switch (data['provider']) {
    case 'sev_guest': return { kind: 'snp', report: outblob, certificates }
    case 'tdx_guest': return orRefuse(parseEvidence({ kind: 'tdx', quote: outblob, ...(collateral === undefined ? {} : { collateral }) }))
    default: return refuse('evidence.unsupported', 'state.signature.data.provider', 'sev_guest or tdx_guest', shown(data['provider']))
  }
}

/** The records of a sequence, each with its separator and newline, which are signed too. */
function recordsOf(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > LOOP_LIMITS.stateBytes) refuse('bytes.too-large', 'state', `at most ${LOOP_LIMITS.stateBytes} bytes`, `${bytes.length} bytes`)
  const found: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(NEWLINE, at)
    if (bytes[at] !== RECORD || end < 0) return refuse('loop.document', `state (byte ${at})`, 'a record separator, a JSON text and a newline (RFC 7464)', 'another form')
    found.push(bytes.subarray(at, end + 1))
    at = end + 1
  }
  return found
}

function reportOf(json: JsonObject): Pick<SystemdReport, 'facts' | 'timestamp' | 'nonce'> {
  only(json, ['mediaType', 'reportID', 'nonce', 'timestamp', 'metrics'], 'state')
  if (json['mediaType'] !== SYSTEMD_REPORT) refuse('loop.document', 'state.mediaType', SYSTEMD_REPORT, shown(json['mediaType']))
  const metrics = json['metrics']
  if (!Array.isArray(metrics) || metrics.length > LOOP_LIMITS.facts) return refuse('loop.document', 'state.metrics', `a list of at most ${LOOP_LIMITS.facts}`, kindOf(metrics))
  const facts: Record<string, string> = Object.create(null)
  metrics.forEach((one: Json, i) => {
    const [name, value] = factOf(one, `state.metrics[${i}]`)
    if (name in facts) refuse('loop.document', `state.metrics[${i}]`, 'each metric of an object once', name)
    facts[name] = value
  })
  return { facts, timestamp: text(json, 'timestamp', 'state'), ...(json['nonce'] === undefined ? {} : { nonce: text(json, 'nonce', 'state') }) }
}

/** `name`, `name:object` or, with further dimensions, their canonical form behind it. */
function factOf(metric: Json, at: string): [string, string] {
  if (!isObject(metric)) return refuse('loop.document', at, 'an object', kindOf(metric))
  only(metric, ['name', 'object', 'fields', 'value', 'type'], at)
  const { object, fields, value } = metric
  if (value === undefined) return refuse('loop.document', `${at}.value`, 'a value', 'nothing')
  const name = `${text(metric, 'name', at)}${object === undefined ? '' : `:${text(metric, 'object', at)}`}${fields === undefined ? '' : jcs(fields)}`
  const shownValue = typeof value === 'string' ? value : jcs(value)
  return shownValue.length <= LOOP_LIMITS.textCharacters ? [name, shownValue] : refuse('loop.document', `${at}.value`, `at most ${LOOP_LIMITS.textCharacters} characters`, String(shownValue.length))
}

function signatureOf(json: JsonObject, at: string): SystemdSignature {
  only(json, ['mediaType', 'mechanism', 'sha256', 'data'], at)
  if (json['mediaType'] !== SYSTEMD_SIGNATURE) refuse('loop.document', `${at}.mediaType`, SYSTEMD_SIGNATURE, shown(json['mediaType']))
  const data = json['data'] ?? Object.create(null) as JsonObject // left out when a mechanism has nothing to say
  return { mechanism: text(json, 'mechanism', at), sha256: text(json, 'sha256', at), data: isObject(data) ? data : refuse('loop.document', `${at}.data`, 'an object', kindOf(data)) }
}

function only(from: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(from)) if (!keys.includes(key)) refuse('loop.document', `${at}.${key.slice(0, 80)}`, keys.join(', '), 'an unknown field')
}

function text(from: JsonObject, key: string, at: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : refuse('loop.document', `${at}.${key}`, 'a text', kindOf(value))
}
