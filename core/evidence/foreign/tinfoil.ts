/**
 * Tinfoil's attestation documents. Version 3 hashes a nonce, its keys and the exact bytes of its devices' evidence into the
 * CPU's report data, so devices are bound by digest. Version 2 is a compressed report whose report data are two keys: it has
 * no nonce, and whoever sends it may have kept it for long. Sigstore bundles beside either are told and not judged.
 * Trusts the port.
 */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { isObject, parseJsonObject, type Json, type JsonObject } from '../../bytes/json.ts'
import { fromUtf8, utf8 } from '../../bytes/text.ts'
import { keyToSpki } from '../../crypto/keys.ts'
import { readPem } from '../../crypto/pem.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { orRefuse, refuse } from '../../refusal.ts'
import { REPORT_BYTES } from '../snp/report.ts'
import { INNER, sdkDevices } from './coco.ts'
import { has, hexText, object, objects, only, text, type Draft, type DraftDevice } from './form.ts'
import { gunzip } from './gzip.ts'

const BASE = 'https://tinfoil.sh'
const V3 = `${BASE}/predicate/attestation/v3`
const V2: Readonly<Record<string, 'snp' | 'tdx'>> = { [`${BASE}/predicate/sev-snp-guest/v2`]: 'snp', [`${BASE}/predicate/tdx-guest/v2`]: 'tdx' }
const CPU: Readonly<Record<string, 'snp' | 'tdx'>> = { [`${BASE}/format/sev-snp-report/v1`]: 'snp', [`${BASE}/format/tdx-quote/v1`]: 'tdx' }
const QUOTE_MAX = 16 * 1024
const ITEMS_MAX = 64

/** A document with a `format`, or what Tinfoil's service wraps around one. Undefined for other JSON. */
export function readTinfoil(p: Primitives, json: JsonObject): Draft | undefined {
  if (isObject(json['enclaveAttestationReport'])) return wrapped(p, json)
  const format = json['format']
  if (typeof format !== 'string' || !format.startsWith(`${BASE}/predicate/`)) return undefined
  return format === V3 ? third(p, json) : second(json, [])
}

/** REPORT_DATA is the SHA-256 of the TLS key and the HPKE key, 32 bytes each. */
function second(json: JsonObject, certificates: readonly string[]): Draft {
  only(json, ['format', 'body'], 'document')
  const format = text(json, 'format', 'document')
  const tee = Object.hasOwn(V2, format) ? V2[format] : undefined
  if (tee === undefined) return refuse('evidence.unsupported', 'document.format', [V3, ...Object.keys(V2)].join(', '), format)
  const report = gunzip(fromBase64(text(json, 'body', 'document', 4 * QUOTE_MAX), 'document.body'), tee === 'snp' ? REPORT_BYTES : QUOTE_MAX, 'document.body')
  const data = report.subarray(...(tee === 'snp' ? [0x50, 0x90] : [48 + 520, 48 + 584]))
  if (data.length !== 64) refuse('bytes.truncated', 'document.body', 'a whole report', `${report.length} bytes`)
  const keys = { tls: toHex(data.subarray(0, 32)), hpke: toHex(data.subarray(32)) }
  return {
    form: 'tinfoil-v2', evidence: tee === 'snp' ? { kind: 'snp', report: toBase64(report), certificates } : { kind: 'tdx', quote: toBase64(report) },
    bindings: [{ claim: 'reportData', expected: keys.tls + keys.hpke, of: 'the fingerprint of a TLS key and an HPKE key' }], keys,
    unbound: ['freshness: the document has no nonce'],
  }
}

const WRAPPER = ['domain', 'enclaveAttestationReport', 'digest', 'releaseTag', 'sigstoreBundle', 'vcek', 'enclaveCert']

function wrapped(p: Primitives, json: JsonObject): Draft {
  only(json, WRAPPER, 'bundle')
  const draft = second(object(json, 'enclaveAttestationReport', undefined, 'bundle'), has(json, 'vcek') ? [text(json, 'vcek', 'bundle')] : [])
  if (has(json, 'enclaveCert')) checkTls(p, text(json, 'enclaveCert', 'bundle'), draft.keys?.['tls'] ?? '')
  const beside = ['domain', 'digest', 'releaseTag', 'sigstoreBundle'].filter(key => has(json, key))
  return { ...draft, unbound: [...draft.unbound ?? [], ...beside.map(key => `${key}: only said beside the report`)] }
}

/** The certificate beside the report is of the key that the report names. */
function checkTls(p: Primitives, pem: string, expected: string): void {
  const [der, ...more] = readPem(pem, 'CERTIFICATE')
  if (der === undefined || more.length > 8) return refuse('evidence.parse', 'enclaveCert', 'a certificate', 'none')
  const fingerprint = toHex(p.hash('sha256', keyToSpki(orRefuse(parseCertificate(der, 'enclaveCert')).publicKey)))
  if (fingerprint !== expected) refuse('evidence.binding', 'enclaveCert', `a certificate of the key ${expected}`, fingerprint)
}

function third(p: Primitives, json: JsonObject): Draft {
  only(json, ['format', 'challenge', 'cpu_evidence', 'crypto_material', 'device_evidence', 'collateral'], 'document')
  const challenge = object(json, 'challenge', ['nonce', 'report_data', 'report_data_algorithm'], 'document')
  const cpu = object(json, 'cpu_evidence', ['format', 'report_base64', 'endorsed'], 'document')
  const endorsed = object(cpu, 'endorsed', ['crypto_material_hash', 'device_evidence_hash'], 'cpu_evidence')
  const nonce = hexText(challenge, 'nonce', 32, 'challenge')
  const sections = (['crypto_material', 'device_evidence'] as const).map(key => sectionOf(p, json, key, hexText(endorsed, `${key}_hash`, 32, 'cpu_evidence.endorsed')))
  const algorithm = `${BASE}/report-data/v1`
  same('challenge.report_data_algorithm', algorithm, text(challenge, 'report_data_algorithm', 'challenge'))
  const expected = toHex(concat(p.hash('sha256', concat(utf8(algorithm), fromHex(nonce), ...sections.map(one => one.hash))), new Uint8Array(32)))
  same('challenge.report_data', expected, hexText(challenge, 'report_data', 64, 'challenge'))
  const [material, devices] = sections
  const collateral = collateralOf(json)
  return {
    form: 'tinfoil-v3', evidence: cpuEvidence(cpu, collateral), devices: (devices?.items ?? []).flatMap((one, i) => deviceOf(one, i, nonce)), challenge: nonce, keys: keysOf(material?.items ?? []),
    bindings: [{ claim: 'reportData', expected, of: 'the nonce, the keys and the evidence of all devices' }],
    unbound: collateral.filter(one => !USED.has(one.format)).map(one => `collateral ${one.id} (${one.format}): not judged here`),
  }
}

const same = (at: string, expected: string, got: string) => { if (got !== expected) refuse('evidence.binding', at, expected, got) }

/** A section is hashed as its exact bytes; its items have names, each once. */
function sectionOf(p: Primitives, json: JsonObject, key: 'crypto_material' | 'device_evidence', expected: string): { hash: Uint8Array; items: readonly JsonObject[] } {
  const bytes = fromBase64(text(json, key, 'document'), key)
  const hash = p.hash('sha256', bytes)
  same(`cpu_evidence.endorsed.${key}_hash`, toHex(hash), expected)
  const section = only(parseJsonObject(bytes, INNER), ['format', 'items'], key)
  const format = `${BASE}/${key.replace('_', '-')}/v1`
  if (section['format'] !== format) refuse('evidence.parse', `${key}.format`, format, String(section['format']))
  const items = objects(section, 'items', ITEMS_MAX, key)
  named(items, key)
  return { hash, items }
}

function named(items: readonly JsonObject[], at: string): void {
  const ids = items.map((one, i) => text(one, 'id', `${at}[${i}]`, 256))
  ids.forEach((id, i) => { if (id === '' || ids.indexOf(id) !== i) refuse('evidence.parse', `${at}[${i}].id`, 'a name, each once', id) })
}

function keysOf(items: readonly JsonObject[]): Record<string, string> {
  return Object.fromEntries(items.map((one, i) => {
    const at = `crypto_material[${i}]`
    const [id, format, data] = [text(only(one, ['id', 'format', 'data'], at), 'id', at), text(one, 'format', at), text(one, 'data', at, 16 * 1024)]
    const length = /\/(?:spki-fp-sha256|x25519-hpke)\/v1$/.test(format) ? 32 : data.length / 2
    return length === 0 || data.length % 2 !== 0 ? refuse('evidence.parse', `${at}.data`, 'a key in hex', data) : [id, hexText(one, 'data', length, at)]
  }))
}

function deviceOf(item: JsonObject, i: number, nonce: string): DraftDevice[] {
  const at = `device_evidence[${i}]`
  only(item, ['id', 'kind', 'vendor', 'format', 'evidence'], at)
  const format = text(item, 'format', at)
  if (format !== `${BASE}/format/nvidia-gpu-evidence/v1` || item['vendor'] !== 'nvidia') return refuse('evidence.unsupported', `${at}.format`, 'evidence of an NVIDIA device', format)
  const list: Json = [object(item, 'evidence', undefined, at)]
  return sdkDevices(list, 'digest').map(one => {
    if (item['kind'] !== one.role) refuse('evidence.binding', `${at}.kind`, one.role, String(item['kind']))
    same(`${at}.evidence.nonce`, nonce, one.nonce)
    return one
  })
}

interface Collateral { readonly id: string; readonly format: string; readonly data: JsonObject }
const OF = { vcek: `${BASE}/collateral/amd-vcek/v1`, crl: `${BASE}/collateral/amd-crl/v1`, pcs: `${BASE}/collateral/intel-pcs/v1` }
const USED = new Set(Object.values(OF))

function collateralOf(json: JsonObject): Collateral[] {
  const entries = objects(json, 'collateral', ITEMS_MAX, 'document')
  named(entries, 'collateral')
  return entries.map((one, i) => {
    const at = `collateral[${i}]`
    only(one, ['id', 'role', 'format', 'subjects', 'data'], at)
    const role = text(one, 'role', at)
    if (role !== 'endorsement' && role !== 'reference-values') refuse('evidence.parse', `${at}.role`, 'endorsement, reference-values', role)
    return { id: text(one, 'id', at), format: text(one, 'format', at), data: object(one, 'data', undefined, at) }
  })
}

function cpuEvidence(cpu: JsonObject, collateral: readonly Collateral[]): JsonObject {
  const format = text(cpu, 'format', 'cpu_evidence')
  const tee = Object.hasOwn(CPU, format) ? CPU[format] : undefined
  if (tee === undefined) return refuse('evidence.unsupported', 'cpu_evidence.format', Object.keys(CPU).join(', '), format)
  const data = (wanted: string) => collateral.filter(one => one.format === wanted).map(one => one.data)
  const report = text(cpu, 'report_base64', 'cpu_evidence')
  if (tee === 'tdx') {
    const [pcs, more] = data(OF.pcs)
    return { kind: 'tdx', quote: report, ...(pcs === undefined ? {} : { collateral: more === undefined ? pcsCollateral(pcs) : refuse('evidence.parse', 'collateral', 'Intel\'s documents once', 'twice') }) }
  }
  const certificates = data(OF.vcek).flatMap(one => [text(only(one, ['vcek_der_base64', 'cert_chain_pem'], 'amd-vcek'), 'vcek_der_base64', 'amd-vcek'), ...readPem(text(one, 'cert_chain_pem', 'amd-vcek'), 'CERTIFICATE').map(toBase64)])
  const crls = data(OF.crl).map(one => text(only(one, ['crl_der_base64'], 'amd-crl'), 'crl_der_base64', 'amd-crl'))
  return { kind: 'snp', report, certificates, ...(crls.length === 0 ? {} : { crls }) }
}

/** Which of Intel's documents a captured response is, by the path it was asked under: the judge believes only signatures. */
const PATHS = [['tcb_info', /\/tdx\/certification\/v4\/tcb(?:\?|$)/], ['qe_identity', /\/tdx\/certification\/v4\/qe\/identity(?:\?|$)/], ['pck_crl', /\/sgx\/certification\/v4\/pckcrl(?:\?|$)/], ['root_ca_crl', /\/IntelSGXRootCA\.der$/]] as const
const CHAINS = { tcb_info: ['tcbInfo', /^tcb-info-issuer-chain$/i], qe_identity: ['enclaveIdentity', /^sgx-enclave-identity-issuer-chain$/i] } as const

/** Responses of Intel's service as they came, in the shape of our collateral: documents are cut out exactly as they were signed. */
function pcsCollateral(json: JsonObject): JsonObject {
  const responses = objects(only(json, ['responses'], 'intel-pcs'), 'responses', 16, 'intel-pcs')
  const out: Record<string, Json> = {}
  responses.forEach((one, i) => {
    const at = `intel-pcs.responses[${i}]`
    only(one, ['url', 'headers', 'body_base64'], at)
    const url = text(one, 'url', at, 2048)
    const [name] = PATHS.find(([, path]) => path.test(url)) ?? refuse('evidence.unsupported', `${at}.url`, 'TCB info, QE identity, PCK list or root list', url)
    if (out[name] !== undefined) refuse('evidence.parse', `${at}.url`, 'each document once', url)
    const body = fromBase64(text(one, 'body_base64', at), `${at}.body_base64`)
    Object.assign(out, name === 'tcb_info' || name === 'qe_identity' ? signedDocument(name, fromUtf8(body, at), one, at) : { [name]: toHex(body) })
  })
  return out
}

function signedDocument(name: 'tcb_info' | 'qe_identity', body: string, response: JsonObject, at: string): Record<string, string> {
  const [member, header] = CHAINS[name]
  const cut = new RegExp(`^\\{"${member}":(\\{.*\\}),"signature":"([0-9a-fA-F]{128})"\\}\\s*$`, 's').exec(body)
  if (cut === null) return refuse('evidence.parse', `${at}.body_base64`, `${member} and its signature`, body.slice(0, 80))
  const chains = Object.entries(object(response, 'headers', undefined, at)).filter(([key]) => header.test(key)).map(([, values]) => (Array.isArray(values) && values.length === 1 ? values[0] : undefined))
  const [chain] = chains
  if (typeof chain !== 'string' || chains.length !== 1) return refuse('evidence.missing', `${at}.headers`, 'the issuers of the document, once', `${chains.length}`)
  return { [name]: cut[1] ?? '', [`${name}_signature`]: cut[2] ?? '', [`${name}_issuer_chain`]: percentDecoded(chain, `${at}.headers`) }
}

/** Headers carry PEM with percent-escapes. */
function percentDecoded(value: string, at: string): string {
  const plain = value.replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
  return /^[\n\r\x20-\x7e]*$/.test(plain) ? plain : refuse('evidence.parse', at, 'printable ASCII', 'other characters')
}
