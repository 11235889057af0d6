/**
 * Documents of dstack guests: the answer to `GetQuote` (a TDX quote with the log whose replay gives its registers), the
 * attestation report of model servers on it (NEAR, Phala: GPU evidence asked with the same nonce, which binds it to nothing),
 * and the report of ACI gateways (`aci/1`), whose report data is the digest of a statement over keys and nonce. Trusts the port.
 */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { allZero, concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { jcs } from '../../bytes/jcs.ts'
import { isObject, kindOf, parseJson, parseJsonObject, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import type { ReplayedEvent } from '../claims.ts'
import { INNER, sdkDevices } from './coco.ts'
import { has, hexText, maybe, object, objects, only, text, type Binding, type Draft, type DraftDevice } from './form.ts'

const QUOTE_MAX = 32 * 1024
const VM_CONFIG = 'vm_config: what the host says it started'

/** The documents above, told apart by their members; undefined for anything else. */
export function readDstack(p: Primitives, json: JsonObject, nonce?: string): Draft | undefined {
  if (json['api_version'] !== undefined) return gateway(p, json, nonce)
  if (has(json, 'intel_quote')) return modelReport(p, json)
  if (has(json, 'quote', 'event_log')) return quoteAnswer(json)
  return undefined
}

function quoteAnswer(json: JsonObject): Draft {
  only(json, ['quote', 'event_log', 'report_data', 'vm_config', 'hash_algorithm', 'prefix', 'attestation'], 'answer')
  const said = maybe(json, 'report_data', 'answer').toLowerCase()
  return {
    form: 'dstack-quote', evidence: { kind: 'tdx', quote: quoteOf(text(json, 'quote', 'answer', 2 * QUOTE_MAX), 'quote') }, log: logOf(json['event_log'], 'event_log'),
    bindings: said === '' ? [] : [{ claim: 'reportData', expected: padded(said, 'report_data'), of: 'the report data of the answer', restated: true }], unbound: ['vm_config', 'attestation'].filter(key => has(json, key)).map(key => (key === 'vm_config' ? VM_CONFIG : `${key}: another form of the same, not judged here`)),
  }
}

const padded = (hex: string, at: string): string => { const bytes = fromHex(hex, at); return bytes.length > 64 ? refuse('evidence.parse', at, 'at most 64 bytes', `${bytes.length}`) : toHex(concat(bytes, new Uint8Array(64 - bytes.length))) }

/** In hex, with the zeros behind it that the guest's buffer has; anything else behind it is left for the quote's reader to refuse. */
function quoteOf(hex: string, at: string): string {
  const bytes = fromHex(hex.replace(/^0x/, ''), at)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const body = bytes.length < 64 ? 0 : view.getUint16(0, true) >= 5 ? 54 + view.getUint32(50, true) : 48 + 584
  const end = body + 4 <= bytes.length ? body + 4 + view.getUint32(body, true) : bytes.length
  return toBase64(allZero(bytes.subarray(end)) ? bytes.subarray(0, end) : bytes)
}

/** The report data that a TD quote carries, hex, before anything of it is believed. */
function saidData(quote: string): string {
  const bytes = fromBase64(quote)
  const start = (bytes[0] ?? 0) >= 5 ? 54 : 48
  return toHex(bytes.subarray(start + 520, start + 584))
}

function logOf(value: Json | undefined, at: string): Json {
  const log = typeof value === 'string' ? parseJson(value, INNER) : value ?? null
  return Array.isArray(log) ? log : refuse('evidence.parse', at, 'a list of events', kindOf(log))
}

/** What starts a dstack guest writes these once, before `system-ready`; afterwards the app may write what it likes. */
const BOOT_EVENTS = ['app-id', 'compose-hash', 'instance-id', 'key-provider', 'os-image-hash', 'boot-mr-done', 'system-ready']

/** What proven events say about the app, name → hex. Leaves with `evidence.event-log` when something is said twice before the app runs. */
export function appOf(events: readonly ReplayedEvent[]): Record<string, string> {
  const runtime = events.flatMap(({ register, type, detail }) => (register === 'RTMR3' && type === 'dstack-runtime' && detail !== undefined ? [{ name: detail.slice(0, detail.lastIndexOf('=')), value: detail.slice(detail.lastIndexOf('=') + 1) }] : []))
  const ready = runtime.findIndex(one => one.name === 'system-ready')
  const boot = (ready < 0 ? runtime : runtime.slice(0, ready)).filter(one => BOOT_EVENTS.includes(one.name))
  boot.forEach((one, i) => { if (boot.findIndex(other => other.name === one.name) !== i) refuse('evidence.event-log', `eventLog.${one.name}`, 'once before the app runs', 'twice') })
  return Object.fromEntries(boot.filter(one => one.value !== '').map(one => [one.name, one.value]))
}

const REPORT = ['signing_address', 'signing_public_key', 'signing_algo', 'request_nonce', 'intel_quote', 'quote', 'nvidia_payload', 'info', 'event_log', 'vm_config', 'all_attestations', 'model', 'tls_cert_fingerprint']

/**
 * Report data: the signing key's address or the key (left, padded to 32 bytes), or the SHA-256 of it and the fingerprint of
 * a TLS key, then the nonce. GPUs signed that nonce too.
 */
function modelReport(p: Primitives, json: JsonObject): Draft {
  only(json, REPORT, 'report')
  const nonce = hexText(json, 'request_nonce', 32, 'report')
  const address = text(json, 'signing_address', 'report', 256).replace(/^0x/, '').toLowerCase()
  const identity = fromHex(address, 'signing_address')
  if (identity.length !== 20 && identity.length !== 32) refuse('evidence.parse', 'report.signing_address', '20 or 32 bytes', `${identity.length}`)
  const quote = quoteOf(text(json, 'intel_quote', 'report', 2 * QUOTE_MAX), 'intel_quote')
  const tls = has(json, 'tls_cert_fingerprint') ? hexText(json, 'tls_cert_fingerprint', 32, 'report') : ''
  // Which of the two it is, the document does not say; the quote's own word chooses what it must prove.
  const both = tls === '' ? '' : toHex(p.hash('sha256', concat(identity, fromHex(tls))))
  const withTls = both !== '' && saidData(quote).startsWith(both)
  const compose = composeOf(json['info'])
  return {
    form: 'dstack-model-report', evidence: { kind: 'tdx', quote }, ...(has(json, 'event_log') ? { log: logOf(json['event_log'], 'event_log') } : {}), ...(compose === undefined ? {} : { compose }),
    bindings: [{ claim: 'reportData', expected: (withTls ? both : toHex(concat(identity, new Uint8Array(32 - identity.length)))) + nonce, of: withTls ? 'the signing key, the TLS key and the nonce' : 'the signing key and the nonce' }],
    devices: payloadDevices(json['nvidia_payload'] ?? '', nonce), challenge: nonce, keys: { signing: address, ...(withTls ? { tls } : {}) },
    unbound: ['signing_public_key', 'info', 'vm_config', 'all_attestations', 'model', ...(withTls ? [] : ['tls_cert_fingerprint'])].filter(key => has(json, key)).map(key => (key === 'vm_config' ? VM_CONFIG : `${key}: only said beside the quote`)),
  }
}

/** NVIDIA's request as the server would send it on: devices of one architecture, one nonce. */
function payloadDevices(value: Json, nonce: string): DraftDevice[] {
  if (value === '') return []
  const payload = only(typeof value === 'string' ? parseJsonObject(value, INNER) : isObject(value) ? value : refuse('evidence.parse', 'nvidia_payload', 'an object', kindOf(value)), ['nonce', 'evidence_list', 'arch'], 'nvidia_payload')
  const said = text(payload, 'nonce', 'nvidia_payload', 64).toLowerCase()
  if (said !== nonce) refuse('evidence.binding', 'nvidia_payload.nonce', nonce, said)
  const entries = objects(payload, 'evidence_list', 64, 'nvidia_payload').map((one, i) => ({ arch: text(payload, 'arch', 'nvidia_payload'), nonce, ...only(one, ['certificate', 'evidence', 'arch', 'nonce'], `nvidia_payload[${i}]`) }))
  return sdkDevices(entries, 'nonce').map((one, i) => (one.nonce === nonce ? one : refuse('evidence.binding', `nvidia_payload[${i}].nonce`, nonce, one.nonce)))
}

/** The app's compose file in `Info`, where it is whole. */
function composeOf(info: Json | undefined): string | undefined {
  const tcb = isObject(info) ? info['tcb_info'] : undefined
  const inner = typeof tcb === 'string' && tcb !== '' ? parseJson(tcb, INNER) : tcb
  const compose = isObject(inner) ? inner['app_compose'] : undefined
  return typeof compose === 'string' ? compose : undefined
}

/** `aci/1` section 3.2: the statement is its own canonical form. */
function gateway(p: Primitives, json: JsonObject, nonce: string | undefined): Draft {
  only(json, ['api_version', 'workload_keyset_digest', 'attestation', 'service_capabilities'], 'report')
  if (json['api_version'] !== 'aci/1') refuse('evidence.version', 'report.api_version', 'aci/1', text(json, 'api_version', 'report', 64))
  const attestation = object(json, 'attestation', ['tee_type', 'workload_keyset', 'report_data', 'source_provenance', 'evidence'], 'report')
  if (attestation['tee_type'] !== 'tdx') refuse('evidence.unsupported', 'attestation.tee_type', 'tdx', text(attestation, 'tee_type', 'attestation', 64))
  const keyset = object(attestation, 'workload_keyset', undefined, 'attestation')
  const digest = `sha256:${toHex(p.hash('sha256', utf8(jcs(keyset))))}`
  for (const [at, expected, got] of [['workload_keyset_digest', digest, text(json, 'workload_keyset_digest', 'report')], ...(nonce === undefined ? [] : [['report_data', statement(p, digest, nonce), hexText(attestation, 'report_data', 32, 'attestation')] as const])] as const) if (got !== expected) refuse('evidence.binding', at, expected, got)
  const reportData = hexText(attestation, 'report_data', 32, 'attestation')
  const bound = nonce !== undefined || reportData === statement(p, digest, null)
  const evidence = object(attestation, 'evidence', undefined, 'attestation')
  return {
    form: 'aci-1', evidence: { kind: 'tdx', quote: quoteOf(text(evidence, 'quote', 'evidence', 2 * QUOTE_MAX), 'evidence.quote') }, ...(has(evidence, 'event_log') ? { log: logOf(evidence['event_log'], 'evidence.event_log') } : {}), ...(has(evidence, 'app_compose') ? { compose: text(evidence, 'app_compose', 'evidence') } : {}),
    bindings: [gatewayBinding(reportData, bound)], ...(nonce === undefined ? {} : { challenge: nonce }), keys: bound ? { keyset: digest } : {},
    unbound: [...(nonce === undefined ? [bound ? 'freshness: the statement has no nonce' : 'workload_keyset: bound with a nonce that was not handed in'] : []), 'source_provenance, service_capabilities: only said beside the quote', ...Object.keys(evidence).filter(key => !['quote', 'event_log', 'app_compose'].includes(key)).map(key => `evidence.${key.slice(0, 64)}: not judged here`)],
  }
}

const gatewayBinding = (reportData: string, bound: boolean): Binding => ({ claim: 'reportData', expected: reportData + '00'.repeat(32), of: bound ? 'the statement over keys and nonce' : 'a statement that cannot be recomputed', restated: !bound })
const statement = (p: Primitives, digest: string, nonce: string | null): string => toHex(p.hash('sha256', utf8(jcs({ keyset_digest: digest, nonce, purpose: 'aci.report_data.v1' }))))
