/** Documents of other systems for tests, written as those systems write them, around evidence under the test roots; one change at a time. */
import { fromBase64, toBase64, toBase64Url } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import type { Writable } from '../../bytes/cbor.ts'
import { derOid, derSequence } from '../../bytes/der.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { jcs } from '../../bytes/jcs.ts'
import type { Json, JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { writeSign1 } from '../../crypto/cose.ts'
import { es384 } from '../../crypto/cose.fixture.ts'
import { basicConstraintsCa, issueCertificate, keyUsage, type CertificatePlan } from '../../crypto/issue.ts'
import { keyToSpki } from '../../crypto/keys.ts'
import { writePem } from '../../crypto/pem.ts'
import { portable as p } from '../../crypto/portable.ts'
import { snpEvidence as azureSnp, tdxEvidence as azureTdx, type AzurePlan } from '../azure/azure.fixture.ts'
import { ccaToken } from '../cca/cca.fixture.ts'
import { evidenceOf as dcapEvidence, type Plan } from '../dcap/dcap.fixture.ts'
import { evidenceOf as deviceEvidence, type DevicePlan } from '../nvidia/nvidia.fixture.ts'
import { NOW, snpInput, type SnpPlan } from '../snp/snp.fixture.ts'
import { evidenceOf as tpmEvidence } from '../tpm/evidence.fixture.ts'
import { AK_RSASSA } from '../tpm/tpm.fixture.ts'

const list = (bytes: Uint8Array): Json => [...bytes]
export const sha = (hash: 'sha256' | 'sha384' | 'sha512', value: string | Uint8Array): Uint8Array => p.hash(hash, typeof value === 'string' ? utf8(value) : value)
export const pad64 = (bytes: Uint8Array): Uint8Array => concat(bytes, new Uint8Array(64 - bytes.length))

/** An SNP report over this report data and host data, with its certificate. */
export function snp(data: Uint8Array, plan: SnpPlan = {}, hostData: Uint8Array = new Uint8Array(32)): { report: Uint8Array; vcek: Uint8Array } {
  const { report, certificates } = snpInput({ ...plan, report: (bytes, view) => { bytes.set(data, 0x50); bytes.set(hostData, 0xc0); plan.report?.(bytes, view) } })
  return { report, vcek: certificates[0] ?? new Uint8Array() }
}

/** The struct that a Rust attester makes of a report. */
export function cocoSnp({ report, vcek }: { report: Uint8Array; vcek: Uint8Array }, change: JsonObject = {}): JsonObject {
  const view = new DataView(report.buffer, report.byteOffset)
  const part = (at: number, length: number) => list(report.subarray(at, at + length))
  const turin = report[0x188] === 0x1a
  const tcb = (at: number): Json => { const [a = 0, b = 0, c = 0, d = 0, , , e = 0, f = 0] = report.subarray(at, at + 8); return turin ? { fmc: a, bootloader: b, tee: c, snp: d, microcode: f } : { fmc: null, bootloader: a, tee: b, snp: e, microcode: f } }
  const version = (at: number): Json => ({ major: report[at + 2] ?? 0, minor: report[at + 1] ?? 0, build: report[at] ?? 0 })
  const later = view.getUint32(0, true) >= 5 ? { launch_mit_vector: Number(view.getBigUint64(0x1f8, true)), current_mit_vector: Number(view.getBigUint64(0x200, true)) } : {}
  const cpuid = (i: number): Json => (view.getUint32(0, true) >= 3 ? report[0x188 + i] ?? 0 : null)
  return {
    attestation_report: {
      version: view.getUint32(0, true), guest_svn: view.getUint32(4, true), policy: Number(view.getBigUint64(8, true)), family_id: part(0x10, 16), image_id: part(0x20, 16), vmpl: view.getUint32(0x30, true), sig_algo: 1,
      current_tcb: tcb(0x38), plat_info: Number(view.getBigUint64(0x40, true)), key_info: view.getUint32(0x48, true), report_data: part(0x50, 64), measurement: part(0x90, 48), host_data: part(0xc0, 32), id_key_digest: part(0xe0, 48), author_key_digest: part(0x110, 48),
      report_id: part(0x140, 32), report_id_ma: part(0x160, 32), reported_tcb: tcb(0x180), cpuid_fam_id: cpuid(0), cpuid_mod_id: cpuid(1), cpuid_step: cpuid(2), chip_id: part(0x1a0, 64), committed_tcb: tcb(0x1e0), current: version(0x1e8), committed: version(0x1ec),
      launch_tcb: tcb(0x1f0), ...later, signature: { r: part(0x2a0, 72), s: part(0x2e8, 72) },
    },
    cert_chain: [{ cert_type: 'VCEK', data: list(vcek) }], ...change,
  }
}

/** A TDX quote over this report data; Intel's collateral comes from elsewhere. */
export const tdx = (data: Uint8Array, plan: Plan = {}): ReturnType<typeof dcapEvidence> => dcapEvidence({ ...plan, body: (bytes, start) => { bytes.set(data, start + (plan.tee === 'sgx' ? 320 : 520)); plan.body?.(bytes, start) } })
const collateral = (): JsonObject => ({ ...dcapEvidence().collateral })
export const COLLATERAL = collateral()

/** All registers of the bank, as attesters of vTPMs send them. */
const registers = (pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>) => Array.from({ length: 24 }, (_, i) => pcrs['sha256']?.[String(i)] ?? '00'.repeat(32))
const url = (base64: string) => toBase64Url(fromBase64(base64))

export function cocoAzure(kind: 'snp' | 'tdx', plan: AzurePlan = {}): JsonObject {
  const one = kind === 'snp' ? azureSnp(plan) : azureTdx(plan)
  const quote = { message: toHex(fromBase64(one.message)), signature: toHex(fromBase64(one.signature)), pcrs: registers(one.pcrs) }
  return { version: 1, tpm_quote: quote, hcl_report: url(one.hclReport), ...(kind === 'snp' ? { vcek: url(one.certificates?.[0] ?? '') } : { td_quote: url(one.tdQuote ?? '') }) }
}

/** Version 0. */
export function cocoAzureFirst(): JsonObject {
  const one = azureSnp()
  const pcrs = registers(one.pcrs).map(value => list(fromHex(value)))
  return { quote: { message: list(fromBase64(one.message)), pcrs, signature: list(fromBase64(one.signature)) }, report: list(fromBase64(one.hclReport)), vcek: writePem('CERTIFICATE', fromBase64(one.certificates?.[0] ?? '')) }
}

export const TPM_AK = keyToSpki(AK_RSASSA.key)
export function cocoTpm(nonce: Uint8Array): JsonObject {
  const one = tpmEvidence({}, AK_RSASSA, { nonce })
  return { ak_public: toBase64(TPM_AK), tpm_quote: { message: one.message, signature: one.signature, pcrs: registers(one.pcrs) } }
}
export const cocoCca = (challenge: Uint8Array, personalization: Uint8Array = new Uint8Array(64)): JsonObject => ({ token: list(ccaToken({ realm: { 10: challenge, 44235: personalization } })) })

const devices = new Map<string, ReturnType<typeof deviceEvidence>>()
/** A device as NVIDIA's SDK writes it. */
export function sdkDevice(nonce: Uint8Array, plan: DevicePlan = {}): { arch: string; nonce: string; evidence: string; certificate: string } {
  const name = `${JSON.stringify(plan)} ${toHex(nonce)}`
  const known = devices.get(name) ?? deviceEvidence({ nonce, ...plan })
  devices.set(name, known)
  return { arch: plan.product === 'LS_10' ? 'LS10' : 'HOPPER', nonce: toHex(nonce), evidence: known.report, certificate: toBase64(utf8(known.certificates.map(der => writePem('CERTIFICATE', fromBase64(der))).join(''))) }
}

export const KEY = { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES+A256KW', x: 'AQ', y: 'Ag' }
export const KBS_NONCE = toBase64(new Uint8Array(32).fill(0x4e))
/** Two GPUs and their switch, which the runtime data's hash asked. */
export const FABRIC: readonly DevicePlan[] = [{ number: '01' }, { number: '02' }, { product: 'LS_10', number: '09' }]

export interface KbsPlan { readonly devices?: readonly DevicePlan[]; readonly additional?: string; readonly nonce?: string; readonly toml?: string; readonly cpu?: (reportData: Uint8Array) => JsonObject }
/** What an honest guest sends to a key broker. */
export function kbsRequest(plan: KbsPlan = {}): { 'runtime-data': JsonObject; 'tee-evidence': { primary_evidence: JsonObject; additional_evidence: string }; 'init-data'?: JsonObject } {
  const nonce = plan.nonce ?? KBS_NONCE
  const device = sha('sha384', jcs({ nonce, 'tee-pubkey': KEY })).slice(0, 32)
  const answers = (plan.devices ?? []).map(one => { const { nonce: _, ...rest } = sdkDevice(device, one); return { ...rest, uuid: 'GPU-1' } })
  const additional = plan.additional ?? (answers.length === 0 ? '' : JSON.stringify({ nvidia: { device_evidence_list: answers } }))
  const data = sha('sha384', jcs({ 'additional-evidence': additional, nonce, 'tee-pubkey': KEY }))
  const init = plan.toml === undefined ? {} : { 'init-data': { format: 'toml', body: plan.toml } }
  return { ...init, 'runtime-data': { nonce, 'tee-pubkey': KEY }, 'tee-evidence': { primary_evidence: (plan.cpu ?? (reportData => cocoSnp(snp(pad64(reportData)))))(data), additional_evidence: additional } }
}

const TINFOIL = 'https://tinfoil.sh'
export const TINFOIL_NONCE: Uint8Array = new Uint8Array(32).fill(0x71)
export const KEYS = [{ id: 'tls', format: `${TINFOIL}/key/spki-fp-sha256/v1`, data: '11'.repeat(32) }, { id: 'hpke', format: `${TINFOIL}/key/x25519-hpke/v1`, data: '22'.repeat(32) }]
export const tinfoilItem = (plan: DevicePlan, i: number, nonce: Uint8Array = TINFOIL_NONCE): JsonObject => ({ id: `gpu${i}`, kind: plan.product === 'LS_10' ? 'switch' : 'gpu', vendor: 'nvidia', format: `${TINFOIL}/format/nvidia-gpu-evidence/v1`, evidence: sdkDevice(nonce, plan) })

export interface TinfoilPlan { readonly keys?: Json; readonly items?: Json; readonly collateral?: readonly JsonObject[]; readonly tee?: 'snp' | 'tdx'; readonly change?: JsonObject; readonly material?: JsonObject; readonly section?: JsonObject }
export function tinfoil3(plan: TinfoilPlan = {}): JsonObject {
  const material = utf8(JSON.stringify({ format: `${TINFOIL}/crypto-material/v1`, items: plan.keys ?? KEYS, ...plan.material }))
  const section = utf8(JSON.stringify({ format: `${TINFOIL}/device-evidence/v1`, items: plan.items ?? FABRIC.map((one, i) => tinfoilItem(one, i)), ...plan.section }))
  const [materialHash, sectionHash] = [sha('sha256', material), sha('sha256', section)]
  const data = pad64(sha('sha256', concat(utf8(`${TINFOIL}/report-data/v1`), TINFOIL_NONCE, materialHash, sectionHash)))
  const { report, vcek } = snp(data)
  const own = plan.tee === 'tdx' ? [] : [{ id: 'vcek', role: 'endorsement', format: `${TINFOIL}/collateral/amd-vcek/v1`, subjects: ['cpu'], data: { vcek_der_base64: toBase64(vcek), cert_chain_pem: '' } }]
  return {
    format: `${TINFOIL}/predicate/attestation/v3`, challenge: { nonce: toHex(TINFOIL_NONCE), report_data: toHex(data), report_data_algorithm: `${TINFOIL}/report-data/v1` },
    cpu_evidence: { format: `${TINFOIL}/format/${plan.tee === 'tdx' ? 'tdx-quote' : 'sev-snp-report'}/v1`, report_base64: plan.tee === 'tdx' ? tdx(data).quote : toBase64(report), endorsed: { crypto_material_hash: toHex(materialHash), device_evidence_hash: toHex(sectionHash) } },
    crypto_material: toBase64(material), device_evidence: toBase64(section), collateral: plan.collateral ?? own, ...plan.change,
  }
}

/** Intel's responses as they were captured. */
export function pcsResponses(): JsonObject[] {
  const base = 'https://api.trustedservices.intel.com'
  const one = dcapEvidence().collateral
  const signed = (member: string, document: string, signature: string) => toBase64(utf8(`{"${member}":${document},"signature":"${signature}"}`))
  return [
    { url: `${base}/tdx/certification/v4/tcb?fmspc=00906EA10000`, headers: { 'Content-Type': ['application/json'], 'TCB-Info-Issuer-Chain': [encodeURIComponent(one.tcb_info_issuer_chain)] }, body_base64: signed('tcbInfo', one.tcb_info, one.tcb_info_signature) },
    { url: `${base}/tdx/certification/v4/qe/identity`, headers: { 'SGX-Enclave-Identity-Issuer-Chain': [encodeURIComponent(one.qe_identity_issuer_chain)] }, body_base64: signed('enclaveIdentity', one.qe_identity, one.qe_identity_signature) },
    { url: `${base}/sgx/certification/v4/pckcrl?ca=platform&encoding=der`, headers: {}, body_base64: toBase64(fromHex(one.pck_crl)) },
    { url: 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der', headers: {}, body_base64: toBase64(fromHex(one.root_ca_crl)) },
  ]
}
export const pcsEntry = (responses: readonly JsonObject[] = pcsResponses()): JsonObject => ({ id: 'pcs', role: 'endorsement', format: `${TINFOIL}/collateral/intel-pcs/v1`, subjects: ['cpu'], data: { responses } })

/** One stored block: what any reader of gzip reads. */
export function gzipped(bytes: Uint8Array): string {
  let crc = 0xffffffff
  for (const byte of bytes) { crc ^= byte; for (let i = 0; i < 8; i++) crc = (crc & 1) === 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1 }
  const le = (value: number, length: number) => Uint8Array.from({ length }, (_, i) => (value >>> (8 * i)) & 255)
  return toBase64(concat(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1]), le(bytes.length, 2), le(0xffff ^ bytes.length, 2), bytes, le(~crc, 4), le(bytes.length, 4)))
}
export const tinfoil2 = (report: Uint8Array, tee: 'sev-snp' | 'tdx' = 'sev-snp'): JsonObject => ({ format: `${TINFOIL}/predicate/${tee}-guest/v2`, body: gzipped(report) })

const RUNTIME = 0x08000001
export const runtimeEvent = (event: string, payload: Uint8Array, digest = true): JsonObject => ({ imr: 3, event_type: RUNTIME, digest: digest ? toHex(sha('sha384', concat(new Uint8Array([1, 0, 0, 8]), utf8(`:${event}:`), payload))) : '', event, event_payload: toHex(payload) })
export const COMPOSE = '{"name":"app"}'
export const APP: readonly JsonObject[] = [runtimeEvent('system-preparing', new Uint8Array()), runtimeEvent('app-id', fromHex('3763')), runtimeEvent('compose-hash', sha('sha256', COMPOSE)), runtimeEvent('boot-mr-done', new Uint8Array()), runtimeEvent('system-ready', new Uint8Array()), runtimeEvent('compose-hash', new Uint8Array(32))]
const BOOT: readonly JsonObject[] = [0, 1, 2].map(imr => ({ imr, event_type: 4, digest: toHex(sha('sha384', new Uint8Array(4))), event: '', event_payload: '00000000' }))

/** A quote whose registers this log gives, and the log. */
export function dstackGuest(data: Uint8Array, app: readonly JsonObject[] = APP): { quote: string; log: Json } {
  const fold = (digests: readonly string[]) => digests.reduce((value, one) => sha('sha384', concat(value, fromHex(one))), new Uint8Array(48) as Uint8Array)
  const digestsOf = (imr: number) => [...BOOT, ...app].filter(one => one['imr'] === imr).map(one => String(one['digest'] === '' ? runtimeEvent(String(one['event']), fromHex(String(one['event_payload'])))['digest'] : one['digest']))
  const quote = tdx(data, { body: (bytes, start) => { for (const imr of [0, 1, 2, 3]) bytes.set(fold(digestsOf(imr)), start + 328 + 48 * imr) } }).quote
  return { quote: toHex(fromBase64(quote)), log: [...BOOT, ...app] }
}

const uvmKeys = { root: es384('uvm root'), ca: es384('uvm ca'), leaf: es384('uvm leaf'), stranger: es384('uvm stranger') }
type UvmName = keyof typeof uvmKeys
const usages = (...oids: readonly string[]) => ({ oid: '2.5.29.37', value: derSequence(...oids.map(derOid)) })
const uvmCertificate = (name: UvmName, issuer: UvmName, change: Partial<CertificatePlan> = {}) => issueCertificate({ serial: new Uint8Array([name.length]), issuer, subject: name, key: uvmKeys[name].key, notBefore: NOW - 100 * 86_400, notAfter: NOW + 100 * 86_400, extensions: name === 'leaf' ? [keyUsage(0x80), usages('1.2.3', '1.2.4')] : [basicConstraintsCa(), keyUsage(0x06)], ...change }, uvmKeys[issuer].issuer)
const uvmRoot = uvmCertificate('root', 'root')
/** Whose endorsements of utility VMs count in these tests. */
export const UVM_TEST_ISSUER = `did:x509:0:sha256:${toBase64Url(sha('sha256', uvmRoot))}::eku:1.2.4`

export interface UvmPlan { readonly protected?: readonly (readonly [Writable, Writable])[]; readonly payload?: JsonObject; readonly leaf?: Partial<CertificatePlan>; readonly root?: UvmName; readonly signer?: UvmName; readonly chain?: (chain: Uint8Array[]) => Uint8Array[]; readonly algorithm?: number }
/** An endorsement of what `snp` launches. */
export function uvmEndorsement(plan: UvmPlan = {}): string {
  const chain = [uvmCertificate('leaf', 'ca', plan.leaf), uvmCertificate('ca', 'root'), plan.root === undefined ? uvmRoot : uvmCertificate(plan.root, plan.root)]
  const head = new Map<Writable, Writable>([[1, plan.algorithm ?? -35], [3, 'application/json'], [33, (plan.chain ?? (list => list))(chain)], ['iss', UVM_TEST_ISSUER], ['feed', 'TestPlat'], ...plan.protected ?? []])
  for (const [key, value] of head) if (value === undefined) head.delete(key)
  const payload = utf8(JSON.stringify({ 'x-ms-sevsnpvm-guestsvn': '104', 'x-ms-sevsnpvm-launchmeasurement': '3e'.repeat(48), ...plan.payload }))
  return toBase64(writeSign1({ protected: head, payload, tagged: true }, uvmKeys[plan.signer ?? 'leaf'].sign))
}
