/**
 * Documents of Confidential Containers: what a guest's attester writes for each TEE (`primary_evidence`), the request that
 * carries it to a key broker (KBS 0.4.0 `attest`) or to the attestation service. A bare evidence JSON binds nothing but what
 * the hardware signed; the request to the broker has the runtime data in it, whose hash the hardware must have signed, and
 * with it the exact text of every further device's evidence. Trusts the port.
 */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { jcs } from '../../bytes/jcs.ts'
import { isObject, kindOf, parseJsonObject, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import type { HashName, Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { readSdkEvidence } from '../nvidia/set.ts'
import { REPORT_BYTES, SIGNED_BYTES } from '../snp/report.ts'
import { readAttest } from '../tpm/structures.ts'
import { has, maybe, numbers, object, objects, only, text, uint, urlBytes, type Binding, type Draft, type DraftDevice } from './form.ts'

/** JSON inside JSON: devices of a large machine are the largest. */
export const INNER = { bytes: 8 << 20, depth: 16, entries: 1_000_000, string: 4 << 20 }
const DEVICES_MAX = 31

/** What an attester wrote for its TEE, told apart by its members; undefined for anything else. */
export function readAttester(json: JsonObject): Draft | undefined {
  if (has(json, 'attestation_report')) return snp(json)
  if (has(json, 'quote') && isObject(json['quote']) && has(json, 'report')) return azureFirst(json)
  if (has(json, 'tpm_quote', 'hcl_report')) return azure(json)
  if (has(json, 'tpm_quote', 'ak_public')) return { form: 'coco-tpm', evidence: tpm(json), unbound: ['ak_public: whose key it is, the relying party must know'] }
  if (has(json, 'quote') && Object.keys(json).every(key => key === 'quote' || key === 'cc_eventlog')) return dcap(json)
  if (has(json, 'token') && Array.isArray(json['token'])) return { form: 'coco-cca', evidence: { kind: 'cca', token: toBase64(numbers(only(json, ['token'], 'evidence')['token'], 'token')) } }
  if (has(json, 'svn', 'report_data')) return refuse('evidence.simulated', 'evidence', 'evidence of hardware', 'a sample, which anybody can write')
  if (has(json, 'serial_number') || has(json, 'image_hdr_tags') || has(json, 'attestation_reports')) return refuse('evidence.unsupported', 'evidence', 'snp, tdx, sgx, az-snp-vtpm, az-tdx-vtpm, tpm, cca or nvidia', 'another TEE of Confidential Containers')
  return undefined
}

const TCB = ['fmc', 'bootloader', 'tee', 'snp', 'microcode']
const VERSION = ['major', 'minor', 'build']
const NUMBERS = ['version', 'guest_svn', 'policy', 'vmpl', 'sig_algo', 'plat_info', 'key_info', 'cpuid_fam_id', 'cpuid_mod_id', 'cpuid_step', 'launch_mit_vector', 'current_mit_vector']
const BYTES = { family_id: [0x10, 16], image_id: [0x20, 16], report_data: [0x50, 64], measurement: [0x90, 48], host_data: [0xc0, 32], id_key_digest: [0xe0, 48], author_key_digest: [0x110, 48], report_id: [0x140, 32], report_id_ma: [0x160, 32], chip_id: [0x1a0, 64] } as const
const TCBS = { current_tcb: 0x38, reported_tcb: 0x180, committed_tcb: 0x1e0, launch_tcb: 0x1f0 } as const

/** The parsed report written back into the 1184 bytes that were signed: whatever this gets wrong, the signature refuses. */
function snp(json: JsonObject): Draft {
  only(json, ['attestation_report', 'cert_chain'], 'evidence')
  const at = 'attestation_report'
  const report = object(json, at, [...NUMBERS, ...Object.keys(BYTES), ...Object.keys(TCBS), 'current', 'committed', 'signature'], 'evidence')
  const bytes = new Uint8Array(REPORT_BYTES)
  const view = new DataView(bytes.buffer)
  const u32 = (key: string, offset: number) => view.setUint32(offset, uint(report[key], 0xffffffff, `${at}.${key}`), true)
  const u64 = (key: string, offset: number) => view.setBigUint64(offset, BigInt(uint(report[key] ?? 0, Number.MAX_SAFE_INTEGER, `${at}.${key}`)), true)
  for (const [key, offset] of [['version', 0], ['guest_svn', 4], ['vmpl', 0x30], ['sig_algo', 0x34], ['key_info', 0x48]] as const) u32(key, offset)
  for (const [key, offset] of [['policy', 8], ['plat_info', 0x40], ['launch_mit_vector', 0x1f8], ['current_mit_vector', 0x200]] as const) u64(key, offset)
  for (const [key, [offset, length]] of Object.entries(BYTES)) bytes.set(numbers(report[key], `${at}.${key}`, length), offset)
  for (const [key, offset] of Object.entries(TCBS)) bytes.set(tcb(object(report, key, TCB, at), `${at}.${key}`), offset)
  for (const [i, key] of ['cpuid_fam_id', 'cpuid_mod_id', 'cpuid_step'].entries()) bytes[0x188 + i] = uint(report[key] ?? 0, 255, `${at}.${key}`)
  for (const [key, offset] of [['current', 0x1e8], ['committed', 0x1ec]] as const) bytes.set(['build', 'minor', 'major'].map(part => uint(object(report, key, VERSION, at)[part], 255, `${at}.${key}.${part}`)), offset)
  const signature = object(report, 'signature', ['r', 's'], at)
  for (const [key, offset] of [['r', SIGNED_BYTES], ['s', SIGNED_BYTES + 72]] as const) bytes.set(numbers(signature[key], `${at}.signature.${key}`, 72), offset)
  return { form: 'coco-snp', evidence: { kind: 'snp', report: toBase64(bytes), certificates: chain(json['cert_chain'] ?? [], 'cert_chain') } }
}

function tcb(json: JsonObject, at: string): number[] {
  const [fmc, bl = 0, tee = 0, svn = 0, ucode = 0] = TCB.map(key => (key === 'fmc' && (json[key] ?? null) === null ? undefined : uint(json[key], 255, `${at}.${key}`)))
  return fmc === undefined ? [bl, tee, 0, 0, 0, 0, svn, ucode] : [fmc, bl, tee, svn, 0, 0, 0, ucode]
}

const CERTIFICATES = ['VCEK', 'VLEK', 'ASK', 'ARK']

/** The host's certificate table: the chip's own first. */
function chain(list: Json, at: string): string[] {
  const entries = objects({ list }, 'list', CERTIFICATES.length, at).map((one, i) => {
    only(one, ['cert_type', 'data'], `${at}[${i}]`)
    const rank = CERTIFICATES.indexOf(text(one, 'cert_type', `${at}[${i}]`))
    return rank < 0 ? refuse('evidence.parse', `${at}[${i}].cert_type`, CERTIFICATES.join(', '), shown(one['cert_type'])) : { rank, der: toBase64(numbers(one['data'], `${at}[${i}].data`)) }
  })
  return entries.toSorted((a, b) => a.rank - b.rank).map(one => one.der)
}

/** SGX or TDX, as the quote's header says it. */
function dcap(json: JsonObject): Draft {
  const quote = text(json, 'quote', 'evidence')
  const log = maybe(json, 'cc_eventlog', 'evidence')
  return fromBase64(quote, 'quote')[4] === 0x81
    ? { form: 'coco-tdx', evidence: { kind: 'tdx', quote, ...(log === '' ? {} : { eventLog: log }) } }
    : { form: 'coco-sgx', evidence: log === '' ? { kind: 'sgx', quote } : refuse('evidence.parse', 'cc_eventlog', 'no event log beside an SGX quote', 'one') }
}

/** Only registers of the signed selection are quoted; attesters send all 24 of the SHA-256 bank. */
function quoted(message: Uint8Array, values: Json | undefined): JsonObject {
  const attest = readAttest(message)
  if (attest.type !== 'quote') return refuse('evidence.parse', 'tpm_quote.message', 'a quote', attest.type)
  if (!Array.isArray(values) || values.length !== 24) return refuse('evidence.parse', 'tpm_quote.pcrs', 'the 24 registers of a bank', Array.isArray(values) ? `${values.length}` : kindOf(values))
  const all = values.map((one: Json, i): Json => (typeof one === 'string' ? toHex(fromHex(one, `tpm_quote.pcrs[${i}]`)) : toHex(numbers(one, `tpm_quote.pcrs[${i}]`, 32))))
  return Object.fromEntries(attest.selections.map(({ bank, indexes }) => [bank, Object.fromEntries(indexes.map(index => [String(index), all[index] ?? null]))]))
}

function azure(json: JsonObject): Draft {
  only(json, ['version', 'tpm_quote', 'hcl_report', 'vcek', 'td_quote'], 'evidence')
  uint(json['version'], 2, 'version')
  const quote = object(json, 'tpm_quote', ['signature', 'message', 'pcrs'], 'evidence')
  const message = fromHex(text(quote, 'message', 'tpm_quote'), 'tpm_quote.message')
  const url = (key: string) => toBase64(urlBytes(text(json, key, 'evidence'), key))
  const common = { kind: 'azure', hclReport: url('hcl_report'), message: toBase64(message), signature: toBase64(fromHex(text(quote, 'signature', 'tpm_quote'), 'tpm_quote.signature')), pcrs: quoted(message, quote['pcrs']) }
  if (!has(json, 'td_quote')) return { form: 'coco-az-snp-vtpm', evidence: { ...common, certificates: [certificate(text(json, 'vcek', 'evidence'))] } }
  if (has(json, 'vcek')) refuse('evidence.parse', 'vcek', 'no VCEK beside a TD quote', 'one')
  return { form: 'coco-az-tdx-vtpm', evidence: { ...common, tdQuote: url('td_quote') } }
}

/** Version 0: everything as lists of numbers, the certificate as PEM. */
function azureFirst(json: JsonObject): Draft {
  only(json, ['quote', 'report', 'vcek'], 'evidence')
  const quote = object(json, 'quote', ['message', 'pcrs', 'signature'], 'evidence')
  const message = numbers(quote['message'], 'quote.message')
  return { form: 'coco-az-snp-vtpm', evidence: { kind: 'azure', hclReport: toBase64(numbers(json['report'], 'report')), message: toBase64(message), signature: toBase64(numbers(quote['signature'], 'quote.signature')), pcrs: quoted(message, quote['pcrs']), certificates: [certificate(text(json, 'vcek', 'evidence'))] } }
}

/** One certificate, as PEM or as base64url of the DER. */
function certificate(value: string): string {
  if (!value.startsWith('-----')) return toBase64(urlBytes(value, 'vcek'))
  const [der, more] = readPem(value, 'CERTIFICATE')
  return der === undefined || more !== undefined ? refuse('evidence.parse', 'vcek', 'one certificate', der === undefined ? 'none' : 'several') : toBase64(der)
}

function tpm(json: JsonObject): JsonObject {
  only(json, ['ak_public', 'tpm_quote'], 'evidence')
  const quote = object(json, 'tpm_quote', ['signature', 'message', 'pcrs'], 'evidence')
  const message = text(quote, 'message', 'tpm_quote')
  return { kind: 'tpm', message, signature: text(quote, 'signature', 'tpm_quote'), ak: text(json, 'ak_public', 'evidence'), pcrs: quoted(fromBase64(message, 'tpm_quote.message'), quote['pcrs']) }
}

const bare = (json: JsonObject, at: string): Draft => readAttester(json) ?? refuse('evidence.parse', at, 'evidence as an attester of Confidential Containers writes it', Object.keys(json).slice(0, 8).join(', '))

/** A digest in the field of this kind: padded with zeros, or as a vTPM takes it. */
function field(kind: Json | undefined, digest: Uint8Array): string {
  if (kind === 'azure') return toHex(digest)
  return kind === 'tpm' ? toHex(digest.slice(0, 32)) : toHex(concat(digest, new Uint8Array(64)).slice(0, 64))
}

const KEYS: Readonly<Record<string, readonly string[]>> = { EC: ['kty', 'crv', 'alg', 'x', 'y'], RSA: ['kty', 'alg', 'n', 'e'], AKP: ['kty', 'alg', 'pub'] }

/**
 * The body of `POST /kbs/v0/attest` (KBS 0.4.0): the CPU signed SHA-384 of the canonical runtime data with the text of the
 * devices' evidence in it; each device signed the same without that text, cut to 32 bytes. So devices are bound by digest.
 */
export function readKbs(p: Primitives, json: JsonObject): Draft {
  only(json, ['init-data', 'runtime-data', 'tee-evidence'], 'request')
  const runtime = object(json, 'runtime-data', ['nonce', 'tee-pubkey'], 'request')
  const [nonce, key] = [text(runtime, 'nonce', 'runtime-data', 4096), object(runtime, 'tee-pubkey', undefined, 'runtime-data')]
  const kty = text(key, 'kty', 'tee-pubkey')
  only(key, Object.hasOwn(KEYS, kty) ? KEYS[kty] ?? [] : refuse('evidence.parse', 'tee-pubkey.kty', Object.keys(KEYS).join(', '), kty), 'tee-pubkey')
  const evidence = object(json, 'tee-evidence', ['primary_evidence', 'additional_evidence'], 'request')
  const additional = text(evidence, 'additional_evidence', 'tee-evidence')
  const draft = bare(object(evidence, 'primary_evidence', undefined, 'tee-evidence'), 'primary_evidence')
  const hash = (value: object) => p.hash('sha384', utf8(jcs(value)))
  const cpu = hash({ 'additional-evidence': additional, nonce, 'tee-pubkey': key })
  const device = toHex(hash({ nonce, 'tee-pubkey': key }).slice(0, 32))
  return {
    ...draft, form: 'coco-kbs-attest', devices: additional === '' ? [] : devicesOf(parseJsonObject(additional, INNER), device),
    bindings: [{ claim: 'reportData', expected: field(draft.evidence['kind'], cpu), of: 'SHA-384 of the runtime data with the evidence of all devices' }, ...initData(p, draft.evidence['kind'], json['init-data'])],
    challenge: toHex(fromBase64(nonce, 'runtime-data.nonce')), keys: { 'tee-pubkey': toHex(utf8(jcs(key))) },
  }
}

function devicesOf(json: JsonObject, nonce: string): DraftDevice[] {
  return Object.entries(json).flatMap(([tee, value]): DraftDevice[] => {
    if (tee.startsWith('sample')) return refuse('evidence.simulated', `additional_evidence.${tee}`, 'evidence of hardware', 'a sample, which anybody can write')
    if (!isObject(value)) return refuse('evidence.parse', `additional_evidence.${tee}`, 'an object', kindOf(value))
    if (tee === 'tpm') return [{ role: 'vtpm', evidence: tpm(value), bond: 'digest', nonce }]
    return tee === 'nvidia' ? nvidiaDevices(value, nonce) : refuse('evidence.unsupported', `additional_evidence.${tee}`, 'nvidia or tpm', tee)
  })
}

function nvidiaDevices(json: JsonObject, nonce: string): DraftDevice[] {
  only(json, ['device_evidence_list'], 'nvidia')
  const entries = objects(json, 'device_evidence_list', DEVICES_MAX, 'nvidia').map((one, i) => {
    const { arch = null, evidence = null, certificate: pem = null } = only(one, ['arch', 'uuid', 'evidence', 'certificate'], `nvidia[${i}]`)
    return { arch, nonce, evidence, certificate: pem }
  })
  return sdkDevices(entries, 'digest')
}

/** Devices as NVIDIA's SDK writes them, all asked with the nonce that they state. */
export function sdkDevices(list: Json, bond: DraftDevice['bond']): DraftDevice[] {
  return readSdkEvidence(list).map(({ evidence, said }) => ({ role: said.arch === 'LS10' ? 'switch' : 'gpu', evidence: { ...evidence }, bond, nonce: said.nonce, said }))
}

const HASHES: readonly HashName[] = ['sha256', 'sha384', 'sha512']
/** Init-data is the raw text of a TOML file that names its own hash; a vTPM has it extended into register 8. */
function initData(p: Primitives, kind: Json | undefined, json: Json | undefined): Binding[] {
  if (json === undefined || json === null) return []
  const given = object({ json }, 'json', ['format', 'body'], 'init-data')
  if (given['format'] !== 'toml') refuse('evidence.parse', 'init-data.format', 'toml', shown(given['format']))
  return [initBinding(p, kind, initDigest(p, text(given, 'body', 'init-data')))]
}

function initDigest(p: Primitives, toml: string): Uint8Array {
  const named = [...toml.split(/^[ \t]*\[/m)[0]?.matchAll(/^[ \t]*algorithm[ \t]*=[ \t]*"([^"\n]*)"[ \t]*(?:#.*)?$/gm) ?? []].map(match => match[1])
  const hash = HASHES.find(one => named.length === 1 && named[0] === one)
  return p.hash(hash ?? refuse('evidence.parse', 'init-data.algorithm', HASHES.join(', '), named.join(', ') || 'none'), utf8(toml))
}

function initBinding(p: Primitives, kind: Json | undefined, digest: Uint8Array): Binding {
  const of = 'the digest of the init-data'
  if (kind === 'azure' || kind === 'tpm') return digest.length === 32 ? { claim: 'PCR8', expected: toHex(p.hash('sha256', concat(new Uint8Array(32), digest))), of } : refuse('evidence.parse', 'init-data.algorithm', 'sha256 for a vTPM', `${digest.length} bytes`)
  // SNP and TDX cut it, SGX pads it, CCA wants all of its field.
  const length = kind === 'snp' ? 32 : kind === 'tdx' ? 48 : 64
  if (kind === 'cca' && digest.length !== length) refuse('evidence.parse', 'init-data.algorithm', 'sha512 for CCA', `${digest.length} bytes`)
  return { claim: 'hostData', expected: toHex(concat(digest, new Uint8Array(64)).slice(0, length)), of }
}

/** The body of `POST /attestation` of the attestation service: one machine. Without runtime data in it, nothing is compared, and that is said. */
export function readAsRequest(p: Primitives, json: JsonObject): Draft {
  only(json, ['verification_requests', 'policy_ids'], 'request')
  const [one, more] = objects(json, 'verification_requests', DEVICES_MAX, 'request')
  if (one === undefined || more !== undefined) return refuse('evidence.unsupported', 'verification_requests', 'one machine', one === undefined ? 'none' : 'several')
  only(one, ['tee', 'evidence', 'runtime_data', 'init_data', 'runtime_data_hash_algorithm'], 'verification_requests[0]')
  const draft = bare(parseJsonObject(urlBytes(text(one, 'evidence', 'verification_requests[0]'), 'evidence'), INNER), 'evidence')
  const tee = text(one, 'tee', 'verification_requests[0]')
  if (draft.form !== `coco-${tee}`) refuse('evidence.kind', 'verification_requests[0].tee', draft.form.slice('coco-'.length), tee)
  const kind = draft.evidence['kind']
  const runtime = runtimeData(p, one)
  const init = one['init_data'] === undefined || one['init_data'] === null ? [] : [initBinding(p, kind, asInit(p, object(one, 'init_data', ['init_data_digest', 'init_data_toml'], 'verification_requests[0]')))]
  return { ...draft, form: 'coco-as-request', bindings: [...(runtime === undefined ? [] : [{ claim: 'reportData' as const, expected: field(kind, runtime), of: 'the runtime data of the request' }]), ...init] }
}

/** `raw` is compared as it is, `structured` by its hash. */
function runtimeData(p: Primitives, request: JsonObject): Uint8Array | undefined {
  if (request['runtime_data'] === undefined || request['runtime_data'] === null) return undefined
  const data = object(request, 'runtime_data', ['raw', 'structured'], 'verification_requests[0]')
  if (has(data, 'raw') === has(data, 'structured')) refuse('evidence.parse', 'runtime_data', 'raw or structured', 'both or none')
  if (has(data, 'raw')) return urlBytes(text(data, 'raw', 'runtime_data'), 'runtime_data.raw')
  const name = text(request, 'runtime_data_hash_algorithm', 'verification_requests[0]')
  const hash = HASHES.find(one => one === name) ?? refuse('evidence.parse', 'runtime_data_hash_algorithm', HASHES.join(', '), name)
  return p.hash(hash, utf8(jcs(data['structured'] ?? null)))
}

function asInit(p: Primitives, json: JsonObject): Uint8Array {
  return has(json, 'init_data_toml') ? initDigest(p, text(json, 'init_data_toml', 'init_data')) : urlBytes(text(json, 'init_data_digest', 'init_data'), 'init_data.init_data_digest')
}
