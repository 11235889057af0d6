// Documents of other systems: what they bind is checked, what they do not bind is said, and no other shape is read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64, toBase64Url } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { jcs } from '../../bytes/jcs.ts'
import type { Json, JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { certificateDer, authority } from '../../crypto/chain.fixture.ts'
import { basicConstraintsCa, keyUsage } from '../../crypto/issue.ts'
import { keyToSpki } from '../../crypto/keys.ts'
import { writePem } from '../../crypto/pem.ts'
import { orRefuse, type RefusalCode, type Result } from '../../refusal.ts'
import { judgeWith, OPTIONS } from '../bundle/bundle.fixture.ts'
import { driverRim } from '../nvidia/nvidia.fixture.ts'
import { arkList, NOW, quick as p, type SnpPlan } from '../snp/snp.fixture.ts'
import { nvAttestOf } from '../tpm/tpm.fixture.ts'
import { readForeign, verifyForeign, type ForeignGiven, type ForeignOptions, type ForeignVerdict } from './foreign.ts'
import {
  APP, cocoAzure, cocoAzureFirst, cocoCca, cocoSnp, cocoTpm, COLLATERAL, COMPOSE, dstackGuest, FABRIC, gzipped, KBS_NONCE, kbsRequest, KEY, KEYS, pad64, pcsEntry, pcsResponses, runtimeEvent, sdkDevice, sha, snp, tdx, tinfoil2,
  tinfoil3, tinfoilItem, TINFOIL_NONCE, TPM_AK, uvmEndorsement, UVM_TEST_ISSUER, type UvmPlan,
} from './foreign.fixture.ts'

const ALL: ForeignOptions = { ...OPTIONS, aks: [...OPTIONS.aks ?? [], `spki:${toHex(sha('sha256', TPM_AK))}`] }
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as Json
const read = (json: unknown, given?: ForeignGiven) => readForeign(p, plain(json), given)
function judge(json: unknown, given?: ForeignGiven, options: Partial<ForeignOptions> = {}): Result<ForeignVerdict> {
  const foreign = read(json, given)
  return foreign.ok ? verifyForeign(p, foreign.value, { ...ALL, ...options }, judgeWith(p)) : foreign
}
const verdict = (json: unknown, given?: ForeignGiven, options?: Partial<ForeignOptions>) => orRefuse(judge(json, given, options))
function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at, JSON.stringify(result.refusal))
}
const DATA = new Uint8Array(64).fill(5)
/** A document with a member deep inside exchanged. */
function changed(json: unknown, path: string, value: unknown): JsonObject {
  const copy = structuredClone(json) as Record<string, unknown>
  const keys = path.split('.')
  let at = copy
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>
  at[keys.at(-1) ?? ''] = value
  return copy as JsonObject
}

// ---- Confidential Containers

test('CoCo snp: the report is rebuilt as it was signed, for each layout, with and without the chain', () => {
  for (const plan of [{}, { product: 'Turin', version: 5, report: (_: Uint8Array, view: DataView) => { view.setBigUint64(0x1f8, 0xbn, true); view.setBigUint64(0x200, 0x3fn, true) } }, { product: 'Milan', version: 2, report: (bytes: Uint8Array) => bytes.fill(0, 0x188, 0x18b) }] satisfies SnpPlan[]) {
    const made = snp(DATA, plan)
    const got = verdict(cocoSnp(made))
    assert.deepEqual(Object.keys(got), ['form', 'claims', 'beside', 'bindings', 'keys', 'unbound'])
    assert.deepEqual([got.form, got.claims.tee, got.claims.product, got.claims.reportData, got.bindings, got.beside], ['coco-snp', 'snp', plan.product ?? 'Genoa', toHex(DATA), [], []])
    assert.deepEqual(verdict(cocoSnp(made, { cert_chain: null }), { collateral: { certificates: [toBase64(made.vcek)] } }).claims, got.claims)
  }
  refused(judge(cocoSnp(snp(DATA), { cert_chain: null })), 'evidence.missing', 'certificates')
  refused(judge(cocoSnp(snp(DATA)), undefined, { whole: true }), 'evidence.binding', 'claims.reportData') // it binds nothing that is here
})

test('CoCo snp: whatever is changed in the struct breaks the signature, and other shapes are refused', () => {
  const good = cocoSnp(snp(DATA))
  const report = good['attestation_report'] as JsonObject
  const byte = (key: string) => (report[key] as number[]).with(3, ((report[key] as number[])[3] ?? 0) ^ 1)
  for (const key of ['report_data', 'measurement', 'host_data', 'id_key_digest', 'author_key_digest', 'report_id', 'report_id_ma', 'family_id', 'image_id', 'chip_id']) refused(judge(changed(good, `attestation_report.${key}`, byte(key))), 'evidence.signature')
  for (const key of ['guest_svn', 'policy', 'vmpl', 'plat_info', 'cpuid_step']) refused(judge(changed(good, `attestation_report.${key}`, (report[key] as number) + (key === 'policy' ? 1 << 19 : 1))), 'evidence.signature')
  for (const key of ['current_tcb', 'reported_tcb', 'committed_tcb', 'launch_tcb']) for (const part of ['bootloader', 'tee', 'snp', 'microcode']) refused(judge(changed(good, `attestation_report.${key}.${part}`, 3)), 'evidence.signature')
  for (const path of ['current.major', 'current.minor', 'current.build', 'committed.build']) refused(judge(changed(good, `attestation_report.${path}`, 9)), 'evidence.signature')
  refused(judge(changed(good, 'attestation_report.current_tcb.fmc', 1)), 'evidence.signature')
  refused(judge(changed(good, 'attestation_report.key_info', 4)), 'evidence.signature')
  const bad: [string, unknown][] = [
    ['more', 1], ['attestation_report.more', 1], ['attestation_report.version', -1], ['attestation_report.version', 1.5], ['attestation_report.version', 2 ** 32], ['attestation_report.policy', '1'], ['attestation_report.measurement', [1]], ['attestation_report.measurement', 'x'],
    ['attestation_report.measurement', Array.from({ length: 48 }, () => 256)], ['attestation_report.current_tcb.more', 1], ['attestation_report.current_tcb.snp', null], ['attestation_report.current.more', 1], ['attestation_report.current', 1], ['attestation_report.signature.t', []],
    ['attestation_report.cpuid_fam_id', 256], ['cert_chain', [{ cert_type: 'VCEK', data: [], more: 1 }]], ['cert_chain', [{ cert_type: 'CRL', data: [] }]], ['cert_chain', [1]], ['cert_chain', {}],
  ]
  for (const [path, value] of bad) refused(read(changed(good, path, value)), 'evidence.parse')
  assert.ok(read(changed(good, 'cert_chain', Array.from({ length: 4 }, () => ({ cert_type: 'ASK', data: [] })))).ok)
  refused(read(changed(good, 'cert_chain', Array.from({ length: 5 }, () => ({ cert_type: 'ASK', data: [] })))), 'bytes.too-large')
  // The table may come in any order: the chip's own certificate is the first.
  assert.equal(verdict(changed(good, 'cert_chain', [...good['cert_chain'] as JsonObject[]].toReversed())).form, 'coco-snp')
})

test('CoCo tdx and sgx: told apart by the quote; Intel\'s collateral comes from beside it', () => {
  const { quote } = tdx(DATA)
  const got = verdict({ quote, cc_eventlog: null }, { collateral: COLLATERAL })
  assert.deepEqual([got.form, got.claims.tee, got.claims.reportData], ['coco-tdx', 'tdx', toHex(DATA)])
  assert.equal(verdict({ quote }, { collateral: { collateral: COLLATERAL } }).form, 'coco-tdx')
  refused(read({ quote, cc_eventlog: null }), 'evidence.missing', 'evidence.collateral')
  refused(judge({ quote, cc_eventlog: toBase64(utf8('no log')) }, { collateral: COLLATERAL }), 'bytes.truncated')
  const sgx = tdx(DATA, { tee: 'sgx' })
  assert.equal(verdict({ quote: sgx.quote }, { collateral: { ...sgx.collateral } }).form, 'coco-sgx')
  refused(read({ quote: sgx.quote, cc_eventlog: 'AA==' }, { collateral: { ...sgx.collateral } }), 'evidence.parse', 'cc_eventlog')
  refused(read({ quote, more: 1 }), 'evidence.parse', 'document')
  refused(read({ quote: 1 }), 'evidence.parse', 'evidence.quote')
})

test('CoCo az-snp-vtpm and az-tdx-vtpm: version 0, 1 and 2; the quote selects registers', () => {
  for (const json of [cocoAzure('snp'), { ...cocoAzure('snp'), version: 2 }, cocoAzureFirst()]) {
    const got = verdict(json)
    assert.deepEqual([got.form, got.claims.tee, got.claims.signer], ['coco-az-snp-vtpm', 'azure-snp', 'ak'])
    assert.equal(Object.keys(got.claims.registers).length > 5, true)
  }
  assert.deepEqual([verdict(cocoAzure('tdx')).form, verdict(cocoAzure('tdx')).claims.tee], ['coco-az-tdx-vtpm', 'azure-tdx'])
  const good = cocoAzure('snp')
  const pcrs = (good['tpm_quote'] as JsonObject)['pcrs'] as string[]
  refused(judge(changed(good, 'tpm_quote.pcrs', pcrs.with(7, 'ff'.repeat(32)))), 'evidence.binding', 'pcrs')
  for (const [path, value] of [['tpm_quote.pcrs', pcrs.slice(1)], ['tpm_quote.pcrs', {}], ['tpm_quote.pcrs', [...pcrs.slice(1), 1]], ['tpm_quote.pcrs', [1, ...pcrs.slice(1)]], ['version', 3], ['version', '1'], ['more', 1], ['tpm_quote.more', 1], ['td_quote', ''], ['vcek', writePem('CERTIFICATE', new Uint8Array([1])).repeat(2)], ['vcek', '-----']] as const) refused(read(changed(good, path, value)), 'evidence.parse')
  refused(read(changed(good, 'tpm_quote.message', toHex(nvAttestOf(new Uint8Array(4))))), 'evidence.parse', 'tpm_quote.message')
  for (const [path, value] of [['hcl_report', '+'], ['tpm_quote.message', 'zz'], ['tpm_quote.signature', 'f'], ['vcek', '+']] as const) refused(read(changed(good, path, value)), 'bytes.encoding')
  const padded = (text: Json | undefined) => String(text).padEnd(Math.ceil(String(text).length / 4) * 4, '=')
  assert.deepEqual(verdict({ ...good, hcl_report: padded(good['hcl_report']), vcek: padded(good['vcek']) }), verdict(good))
  refused(read({ ...good, vcek: 'AAA==' }), 'bytes.encoding', 'vcek')
  const { vcek: _, ...bare } = good
  refused(read(bare), 'evidence.parse', 'evidence.vcek')
  assert.equal(verdict(changed(good, 'vcek', writePem('CERTIFICATE', fromBase64(cocoAzureFirst()['vcek']?.toString().split('-----')[2]?.replaceAll('\n', '') ?? '')))).form, 'coco-az-snp-vtpm')
  for (const key of ['report', 'quote', 'vcek']) refused(read(changed(cocoAzureFirst(), key, 1)), 'evidence.parse')
  refused(read({ ...cocoAzureFirst(), more: 1 }), 'evidence.parse', 'evidence.more')
})

test('CoCo tpm: the key must be known to whoever asks', () => {
  const got = verdict(cocoTpm(new Uint8Array(32).fill(1)))
  assert.deepEqual([got.form, got.claims.tee, got.claims.reportData], ['coco-tpm', 'tpm', '01'.repeat(32)])
  assert.match(got.unbound[0] ?? '', /ak_public/)
  refused(judge(cocoTpm(new Uint8Array(32)), undefined, { aks: [] }), 'evidence.signer')
  refused(read({ ...cocoTpm(new Uint8Array(32)), more: 1 }), 'evidence.parse')
})

test('CoCo cca, and what is no evidence or of other TEEs', () => {
  assert.deepEqual([verdict(cocoCca(DATA)).form, verdict(cocoCca(DATA)).claims.reportData], ['coco-cca', toHex(DATA)])
  refused(read({ ...cocoCca(DATA), more: 1 }), 'evidence.parse')
  refused(read({ token: [256] }), 'evidence.parse', 'token[0]')
  for (const sample of [{ svn: '1', report_data: '' }, { svn: '2', report_data: '', more: 1 }]) refused(read(sample), 'evidence.simulated')
  for (const other of [{ attestation_report: 'x', cert_chain: {}, serial_number: [] }, { serial_number: 'x' }, { measurement: '', image_hdr_tags: '' }, { attestation_reports: [] }]) assert.ok(!read(other).ok)
  for (const other of [{ serial_number: 'x' }, { image_hdr_tags: '' }, { attestation_reports: [] }]) refused(read(other), 'evidence.unsupported')
  for (const none of [{}, { a: 1 }, 'text', 1, null, { token: 'x' }]) refused(read(none), 'evidence.parse', 'document')
})

test('CoCo KBS request: the CPU signed the runtime data with all devices in it, the devices the runtime data', () => {
  const got = verdict(kbsRequest({ devices: FABRIC }), undefined, { whole: true })
  assert.deepEqual([got.form, got.claims.tee, got.claims.devices?.map(one => one.product), got.beside.length], ['coco-kbs-attest', 'snp', ['GH100', 'GH100', 'LS10'], 0])
  assert.equal(got.challenge, toHex(fromBase64(KBS_NONCE)))
  assert.deepEqual(got.keys, { 'tee-pubkey': toHex(utf8(jcs(KEY))) })
  assert.equal(verdict(kbsRequest(), undefined, { whole: true }).claims.devices, undefined)
})

test('56: CoCo KBS request: devices dropped, added, exchanged, reordered, of another machine or time', () => {
  const good = kbsRequest({ devices: FABRIC })
  const listed = (request: typeof good) => (JSON.parse(request['tee-evidence'].additional_evidence) as { nvidia: { device_evidence_list: JsonObject[] } }).nvidia.device_evidence_list
  const [list, other] = [listed(good), listed(kbsRequest({ devices: [{ number: '03' }] }))]
  const withList = (devices: readonly JsonObject[]) => changed(good, 'tee-evidence.additional_evidence', devices.length === 0 ? '' : JSON.stringify({ nvidia: { device_evidence_list: devices } }))
  for (const devices of [[], list.slice(1), list.slice(0, 2), list.toReversed(), [...list, ...other], [...other, ...list.slice(1)], [...list, ...list.slice(0, 1)]]) refused(judge(withList(devices)), 'evidence.binding', 'claims.reportData')
  // The same devices in other words are not the words that were signed.
  refused(judge(changed(good, 'tee-evidence.additional_evidence', `${good['tee-evidence'].additional_evidence} `)), 'evidence.binding', 'claims.reportData')
  // A guest that signs over what it is given: the fabric is not whole, a device is twice, a device answered to something else.
  refused(judge(kbsRequest({ devices: FABRIC.slice(0, 2) })), 'evidence.binding', 'parts')
  refused(judge(kbsRequest({ devices: [{ number: '01' }, { number: '01' }] })), 'evidence.binding', 'devices[1]')
  const old = (JSON.parse(kbsRequest({ devices: FABRIC, nonce: toBase64(new Uint8Array(32)) })['tee-evidence'].additional_evidence) as JsonObject)
  refused(judge(kbsRequest({ additional: JSON.stringify(old) })), 'evidence.binding', 'devices[0].reportData')
  for (const path of ['runtime-data.nonce', 'runtime-data.tee-pubkey.x']) refused(judge(changed(good, path, 'AAAA')), 'evidence.binding', 'claims.reportData')
  refused(judge(changed(good, 'tee-evidence.primary_evidence', cocoSnp(snp(DATA)))), 'evidence.binding', 'claims.reportData')
})

test('CoCo KBS request: vTPMs as machine and as device, Azure, CCA and TDX with their own lengths', () => {
  const azure = verdict(kbsRequest({ cpu: data => cocoAzure('snp', { attest: { nonce: data } }) }), undefined, { whole: true })
  assert.equal(azure.claims.reportData.length, 96)
  assert.equal(verdict(kbsRequest({ cpu: data => cocoTpm(data.slice(0, 32)) })).claims.tee, 'tpm')
  assert.equal(verdict(kbsRequest({ cpu: data => cocoCca(pad64(data)) })).claims.tee, 'cca')
  assert.equal(verdict(kbsRequest({ cpu: data => ({ quote: tdx(pad64(data)).quote, cc_eventlog: null }) }), { collateral: COLLATERAL }).claims.tee, 'tdx')
  const device = sha('sha384', jcs({ nonce: KBS_NONCE, 'tee-pubkey': KEY })).slice(0, 32)
  const both = verdict(kbsRequest({ additional: JSON.stringify({ tpm: cocoTpm(device) }) }), undefined, { whole: true })
  assert.deepEqual(both.claims.devices?.map(one => one.tee), ['tpm'])
  refused(judge(kbsRequest({ additional: JSON.stringify({ tpm: cocoTpm(new Uint8Array(32)) }) })), 'evidence.binding', 'devices[0].reportData')
})

test('CoCo KBS request: init-data is what the host bound at launch', () => {
  const toml = 'version = "0.1.0"\nalgorithm = "sha384"\n[data]\n"policy.rego" = "algorithm = \\"sha512\\""\n'
  const withHost = (digest: Uint8Array) => kbsRequest({ toml, cpu: data => cocoSnp(snp(pad64(data), {}, digest.slice(0, 32))) })
  const got = verdict(withHost(sha('sha384', toml)))
  assert.deepEqual(got.bindings.map(one => one.split(' ')[0]), ['reportData', 'hostData'])
  refused(judge(withHost(sha('sha256', toml))), 'evidence.binding', 'claims.hostData')
  const named = (text: string) => judge(kbsRequest({ toml: text }))
  for (const text of ['', '\n'.repeat(300_000), ' '.repeat(300_000), `algorithm = "sha256"${' '.repeat(300_000)}x`, 'algorithm = "sm3"\n', 'algorithm = "sha256"\nalgorithm = "sha384"\n', '[data]\nalgorithm = "sha256"\n', 'x_algorithm = "sha256"\n']) refused(named(text), 'evidence.parse', 'init-data.algorithm')
  refused(named('algorithm = "sha256"\n'), 'evidence.binding', 'claims.hostData')
  for (const value of [1, { format: 'json', body: '' }, { format: 'toml' }, { format: 'toml', body: '', more: 1 }]) refused(read({ ...kbsRequest(), 'init-data': value }), 'evidence.parse')
  assert.ok(judge({ ...kbsRequest(), 'init-data': null }).ok)
  // CCA takes it whole, a vTPM into register 8, and only 32 bytes.
  const cca = (algorithm: 'sha384' | 'sha512') => { const text = `algorithm = "${algorithm}" # how\n`; return judge(kbsRequest({ toml: text, cpu: data => cocoCca(pad64(data), pad64(sha(algorithm, text))) })) }
  assert.ok(cca('sha512').ok)
  refused(cca('sha384'), 'evidence.parse', 'init-data.algorithm')
  for (const cpu of [(data: Uint8Array) => cocoAzure('snp', { attest: { nonce: data } }), (data: Uint8Array) => cocoTpm(data.slice(0, 32))]) {
    refused(judge(kbsRequest({ toml: 'algorithm = "sha256"\n', cpu })), 'evidence.binding', 'claims.PCR8')
    refused(judge(kbsRequest({ toml: 'algorithm = "sha384"\n', cpu })), 'evidence.parse', 'init-data.algorithm')
  }
  const sgx = tdx(DATA, { tee: 'sgx' })
  refused(judge(kbsRequest({ toml, cpu: () => ({ quote: sgx.quote }) }), { collateral: { ...sgx.collateral } }), 'evidence.binding')
})

test('CoCo KBS request: shapes', () => {
  const good = kbsRequest({ devices: FABRIC.slice(0, 1) })
  for (const [path, value] of [['more', 1], ['runtime-data.more', 1], ['runtime-data', 1], ['runtime-data.nonce', 1], ['runtime-data.tee-pubkey.kid', 'x'], ['runtime-data.tee-pubkey.kty', 'oct'], ['runtime-data.tee-pubkey.kty', 'constructor'], ['runtime-data.tee-pubkey', {}], ['tee-evidence.more', 1],
    ['tee-evidence.additional_evidence', null], ['tee-evidence.primary_evidence', {}], ['tee-evidence.primary_evidence', { 'tee-evidence': {} }], ['tee-evidence.additional_evidence', '{"nvidia":1}'], ['tee-evidence.additional_evidence', '{"nvidia":{"more":1}}'],
    ['tee-evidence.additional_evidence', '{"nvidia":{"device_evidence_list":[{"more":1}]}}'], ['tee-evidence.additional_evidence', '{"nvidia":{"device_evidence_list":[{}]}}'], ['tee-evidence.additional_evidence', '{"nvidia":{"device_evidence_list":[]}}']] as const) refused(read(changed(good, path, value)), 'evidence.parse')
  for (const [value, at] of [['{"nvidia":1}', 'additional_evidence.nvidia'], ['{"nvidia":{"device_evidence_list":[],"more":1}}', 'nvidia.more']] as const) refused(read(changed(good, 'tee-evidence.additional_evidence', value)), 'evidence.parse', at)
  refused(read({ ...good, 'init-data': { format: 'json', body: 'algorithm = "sha256"' } }), 'evidence.parse', 'init-data.format')
  refused(read(changed(good, 'tee-evidence.additional_evidence', '[]')), 'json.syntax')
  refused(read(changed(good, 'tee-evidence.additional_evidence', '{"cca":{}}')), 'evidence.unsupported')
  refused(read(changed(good, 'tee-evidence.additional_evidence', '{"sampledevice":{}}')), 'evidence.simulated')
  refused(read(changed(good, 'tee-evidence.primary_evidence', { svn: '1', report_data: '' })), 'evidence.simulated')
  refused(read(changed(good, 'tee-evidence.additional_evidence', JSON.stringify({ nvidia: { device_evidence_list: Array.from({ length: 32 }, () => ({})) } }))), 'bytes.too-large')
  assert.ok(read(changed(good, 'runtime-data.nonce', 'A'.repeat(4096))).ok)
  refused(read(changed(good, 'runtime-data.nonce', 'A'.repeat(4097))), 'bytes.too-large', 'runtime-data.nonce')
})

test('CoCo attestation service: raw and structured runtime data, init-data by digest and as text', () => {
  const request = (evidence: unknown, tee: string, more: JsonObject = {}) => ({ verification_requests: [{ tee, evidence: toBase64Url(utf8(JSON.stringify(evidence))), ...more }], policy_ids: [] })
  const structured = { b: 1, a: 'test', c: { d: 'e' } }
  assert.equal(toHex(sha('sha384', jcs(structured))), 'e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47157e0f3f525cd22c4597480a186427c813ca941da78870c3')
  const over = (data: Uint8Array, host?: Uint8Array) => cocoSnp(snp(pad64(data), {}, host))
  for (const hash of ['sha256', 'sha384', 'sha512'] as const) assert.ok(judge(request(over(sha(hash, jcs(structured))), 'snp', { runtime_data: { structured }, runtime_data_hash_algorithm: hash }), undefined, { whole: true }).ok)
  assert.ok(judge(request(over(utf8('raw')), 'snp', { runtime_data: { raw: toBase64Url(utf8('raw')) } }), undefined, { whole: true }).ok)
  refused(judge(request(over(utf8('raw')), 'snp', { runtime_data: { raw: toBase64Url(utf8('war')) } })), 'evidence.binding', 'claims.reportData')
  refused(judge(request(over(sha('sha256', jcs(structured))), 'snp', { runtime_data: { structured }, runtime_data_hash_algorithm: 'sha384' })), 'evidence.binding', 'claims.reportData')
  const bare = verdict(request(over(DATA), 'snp', { runtime_data: null, init_data: null }))
  assert.deepEqual(bare.bindings, [])
  refused(judge(request(over(DATA), 'snp'), undefined, { whole: true }), 'evidence.binding')
  const toml = 'algorithm = "sha256"\n'
  for (const init_data of [{ init_data_toml: toml }, { init_data_digest: toBase64Url(sha('sha256', toml)) }]) {
    assert.ok(judge(request(over(DATA, sha('sha256', toml)), 'snp', { init_data })).ok)
    refused(judge(request(over(DATA), 'snp', { init_data })), 'evidence.binding', 'claims.hostData')
  }
  refused(read(request(over(DATA), 'tdx')), 'evidence.kind', 'verification_requests[0].tee')
  refused(read({ verification_requests: [] }), 'evidence.unsupported')
  refused(read({ verification_requests: [{}, {}] }), 'evidence.unsupported')
  for (const more of [{ more: 1 }, { runtime_data: {} }, { runtime_data: { raw: '', structured: {} } }, { runtime_data: { structured: {} } }, { runtime_data: { structured: {} }, runtime_data_hash_algorithm: 'sm3' }, { init_data: {} }, { init_data: { more: 1 } }, { tee: 1 }, { evidence: toBase64Url(utf8('{}')) }]) refused(read(request(over(DATA), 'snp', more as JsonObject)), 'evidence.parse')
  refused(read({ ...request(over(DATA), 'snp'), more: 1 }), 'evidence.parse')
})

// ---- Tinfoil

test('Tinfoil v3: nonce, keys and the devices\' evidence in one report data', () => {
  const got = verdict(tinfoil3(), undefined, { whole: true })
  assert.deepEqual([got.form, got.claims.tee, got.claims.devices?.map(one => one.product), got.challenge, got.keys], ['tinfoil-v3', 'snp', ['GH100', 'GH100', 'LS10'], toHex(TINFOIL_NONCE), { tls: '11'.repeat(32), hpke: '22'.repeat(32) }])
  assert.equal(verdict(tinfoil3({ items: [] }), undefined, { whole: true }).claims.devices, undefined)
  const own = tinfoil3()['collateral'] as JsonObject[]
  const crl = { id: 'crl', role: 'endorsement', format: 'https://tinfoil.sh/collateral/amd-crl/v1', data: { crl_der_base64: toBase64(arkList()) } }
  const sigstore = { id: 'code', role: 'reference-values', format: 'https://tinfoil.sh/collateral/sigstore-code/v1', data: { repo: 'a/b' } }
  const more = verdict(tinfoil3({ collateral: [...own, crl, sigstore] }))
  assert.ok(more.claims.endorsements.length > got.claims.endorsements.length)
  assert.deepEqual(more.unbound, ['collateral code (https://tinfoil.sh/collateral/sigstore-code/v1): not judged here'])
})

test('Tinfoil v3 on TDX: Intel\'s captured responses, cut out as they were signed', () => {
  assert.equal(verdict(tinfoil3({ tee: 'tdx', items: [], collateral: [pcsEntry()] })).claims.tee, 'tdx')
  refused(judge(tinfoil3({ tee: 'tdx', items: [], collateral: [] })), 'evidence.missing', 'evidence.collateral')
  const responses = pcsResponses()
  const at = (i: number, change: JsonObject) => judge(tinfoil3({ tee: 'tdx', items: [], collateral: [pcsEntry(responses.map((one, n) => (n === i ? { ...one, ...change } : one)))] }))
  refused(at(0, { body_base64: toBase64(utf8('{}')) }), 'evidence.parse')
  refused(at(0, { headers: {} }), 'evidence.missing')
  refused(at(0, { headers: { 'TCB-Info-Issuer-Chain': ['a', 'b'] } }), 'evidence.missing')
  refused(at(0, { headers: { 'TCB-Info-Issuer-Chain': ['a'], 'tcb-info-issuer-chain': ['a'] } }), 'evidence.missing')
  refused(at(0, { headers: { 'TCB-Info-Issuer-Chain': ['%00'] } }), 'evidence.parse')
  refused(at(0, { url: 'https://example.com/' }), 'evidence.unsupported')
  refused(at(1, { url: String(responses[0]?.['url']) }), 'evidence.parse')
  refused(at(0, { more: 1 }), 'evidence.parse')
  refused(judge(tinfoil3({ tee: 'tdx', items: [], collateral: [pcsEntry(), { ...pcsEntry(), id: 'again' }] })), 'evidence.parse', 'collateral')
  refused(judge(tinfoil3({ tee: 'tdx', items: [], collateral: [pcsEntry([...responses, ...responses.slice(0, 1)])] })), 'evidence.parse', 'intel-pcs.responses[4].url')
  refused(judge(tinfoil3({ tee: 'tdx', items: [], collateral: [pcsEntry(responses.slice(1))] })), 'evidence.missing', 'collateral.tcb_info')
})

test('56: Tinfoil v3: sections, devices and keys exchanged, dropped, reordered, of another nonce', () => {
  const good = tinfoil3()
  const section = (items: Json) => tinfoil3({ items })
  for (const key of ['crypto_material', 'device_evidence']) {
    const other = key === 'crypto_material' ? tinfoil3({ keys: KEYS.toReversed() }) : section(FABRIC.toReversed().map((one, i) => tinfoilItem(one, i)))
    refused(read(changed(good, key, other[key])), 'evidence.binding', `cpu_evidence.endorsed.${key}_hash`)
    // With the hash beside it made to fit, and the report data too.
    const fitting = changed(changed(good, key, other[key]), `cpu_evidence.endorsed.${key}_hash`, ((other['cpu_evidence'] as JsonObject)['endorsed'] as JsonObject)[`${key}_hash`])
    refused(read(fitting), 'evidence.binding', 'challenge.report_data')
    refused(judge(changed(fitting, 'challenge.report_data', (other['challenge'] as JsonObject)['report_data'])), 'evidence.binding', 'claims.reportData')
  }
  refused(read(changed(good, 'challenge.nonce', '00'.repeat(32))), 'evidence.binding', 'challenge.report_data')
  refused(judge(section(FABRIC.slice(0, 2).map((one, i) => tinfoilItem(one, i)))), 'evidence.binding', 'parts')
  refused(judge(section([tinfoilItem({ number: '01' }, 0), tinfoilItem({ number: '01' }, 1)])), 'evidence.binding', 'devices[1]')
  refused(judge(section([tinfoilItem({ number: '01' }, 0, new Uint8Array(32))])), 'evidence.binding', 'device_evidence[0].evidence.nonce')
  const lying = tinfoilItem({ number: '01' }, 0, new Uint8Array(32))
  refused(judge(section([changed(lying, 'evidence.nonce', toHex(TINFOIL_NONCE))])), 'evidence.binding', 'devices[0].reportData')
  refused(judge(section([{ ...tinfoilItem({ number: '01' }, 0), kind: 'switch' }])), 'evidence.binding', 'device_evidence[0].kind')
  refused(judge(section([changed(tinfoilItem({ number: '01' }, 0), 'evidence.arch', 'BLACKWELL')])), 'evidence.product')
  const switched = changed({ ...tinfoilItem({ product: 'LS_10', number: '09' }, 0), kind: 'gpu' }, 'evidence.arch', 'HOPPER')
  refused(judge(section([switched])), 'evidence.binding', 'devices[0].role')
})

test('Tinfoil v3: strict shapes', () => {
  const good = tinfoil3()
  for (const [path, value] of [['more', 1], ['challenge.more', 1], ['challenge.nonce', 'AA'.repeat(32)], ['challenge.nonce', '00'], ['challenge.report_data', '00'], ['cpu_evidence.more', 1], ['cpu_evidence.endorsed.more', 1], ['cpu_evidence.endorsed.crypto_material_hash', 'AA'.repeat(32)], ['collateral', {}], ['collateral', [1]], ['collateral', [null]],
    ['collateral', [{ id: 'a', role: 'other', format: 'x', data: {} }]], ['collateral', [{ id: '', role: 'endorsement', format: 'x', data: {} }]], ['collateral', [{ id: 'a', role: 'endorsement', format: 'x', data: {} }, { id: 'a', role: 'endorsement', format: 'x', data: {} }]], ['collateral', [{ id: 'a', role: 'endorsement', format: 'x', data: 1 }]],
    ['collateral', [{ id: 'a', role: 'endorsement', format: 'x', data: {}, more: 1 }]], ['collateral', [{ id: 'a', role: 'endorsement', format: 'https://tinfoil.sh/collateral/amd-vcek/v1', data: { more: 1 } }]]] as const) refused(read(changed(good, path, value)), 'evidence.parse')
  refused(read(changed(good, 'challenge.report_data_algorithm', 'other')), 'evidence.binding')
  refused(read(changed(good, 'cpu_evidence.format', 'https://tinfoil.sh/format/other/v1')), 'evidence.unsupported')
  refused(read(changed(good, 'cpu_evidence.format', 'constructor')), 'evidence.unsupported')
  refused(read(changed(good, 'crypto_material', ` ${String(good['crypto_material'])}`)), 'bytes.encoding')
  for (const plan of [{ keys: [{ ...KEYS[0], more: 1 }] }, { keys: [KEYS[0], KEYS[0]] }, { keys: [{ ...KEYS[0], data: '11' }] }, { keys: [{ ...KEYS[0], data: 'AA'.repeat(32) }] }, { keys: [{ id: 'x', format: 'y', data: '' }] }, { keys: [{ id: 'x', format: 'y', data: '1' }] }, { keys: 1 }, { material: { more: 1 } }, { material: { format: 'other' } }, { section: { format: 'other' } },
    { items: [{ ...tinfoilItem({}, 0), more: 1 }] }, { items: [{ ...tinfoilItem({}, 0), evidence: 1 }] }, { items: [{ ...tinfoilItem({}, 0), id: '' }] }] as object[]) refused(read(tinfoil3(plan)), 'evidence.parse')
  refused(read(tinfoil3({ keys: [{ id: 'x', format: 'https://tinfoil.sh/key/spki/v1', data: '1122' }], items: [{ ...tinfoilItem({}, 0), vendor: 'other' }] })), 'evidence.unsupported')
  refused(read(tinfoil3({ items: [{ ...tinfoilItem({}, 0), format: 'other' }] })), 'evidence.unsupported')
  refused(read(tinfoil3({ items: Array.from({ length: 65 }, (_, i) => tinfoilItem({}, i)) })), 'bytes.too-large')
})

test('Tinfoil v2: two keys and no nonce, with and without what the service wraps around it', () => {
  const tls = authority('enclave tls')
  const data = concat(sha('sha256', keyToSpki(tls.key)), new Uint8Array(32).fill(0x22))
  const { report, vcek } = snp(data)
  const bare = verdict(tinfoil2(report), { collateral: { certificates: [toBase64(vcek)] } })
  assert.deepEqual([bare.form, bare.keys, bare.unbound], ['tinfoil-v2', { tls: toHex(data.slice(0, 32)), hpke: '22'.repeat(32) }, ['freshness: the document has no nonce']])
  const enclaveCert = writePem('CERTIFICATE', certificateDer(tls, tls))
  const wrapped = { domain: 'a.example', enclaveAttestationReport: tinfoil2(report), digest: '00', sigstoreBundle: {}, vcek: toBase64(vcek), enclaveCert }
  assert.deepEqual(verdict(wrapped).unbound.map(one => one.split(':')[0]), ['freshness', 'domain', 'digest', 'sigstoreBundle'])
  refused(read({ ...wrapped, enclaveCert: writePem('CERTIFICATE', certificateDer(authority('other'), authority('other'))) }), 'evidence.binding', 'enclaveCert')
  refused(read({ ...wrapped, enclaveCert: '' }), 'evidence.parse', 'enclaveCert')
  refused(read({ ...wrapped, more: 1 }), 'evidence.parse')
  const { enclaveCert: _, vcek: __, ...less } = wrapped
  refused(judge(less), 'evidence.missing', 'certificates')
  assert.equal(verdict(tinfoil2(fromBase64(tdx(data).quote), 'tdx'), { collateral: COLLATERAL }).keys['hpke'], '22'.repeat(32))
  refused(read({ ...tinfoil2(report), more: 1 }), 'evidence.parse')
  refused(read({ ...tinfoil2(report), format: 'https://tinfoil.sh/predicate/sev-snp-guest/v1' }), 'evidence.unsupported')
  refused(read({ ...tinfoil2(report), body: gzipped(new Uint8Array(1185)) }), 'bytes.too-large')
  refused(read({ ...tinfoil2(report), body: gzipped(new Uint8Array(64)) }), 'bytes.truncated')
  refused(read({ ...tinfoil2(report), format: 'https://example.com/predicate/attestation/v3' }), 'evidence.parse', 'document')
})

// ---- Azure's confidential containers

const POLICY = utf8('package policy')
test('Azure containers: report, chain, the policy whose digest is host data', () => {
  const { report, vcek } = snp(DATA, {}, sha('sha256', POLICY))
  const good = { evidence: toBase64(report), endorsements: toBase64(utf8(writePem('CERTIFICATE', vcek))), endorsed_tcb: '00', security_policy: toBase64(POLICY) }
  const got = verdict(good)
  assert.deepEqual([got.form, got.claims.hostData, got.bindings.length, got.unbound.length], ['azure-containers', toHex(sha('sha256', POLICY)), 1, 1])
  const thim = JSON.stringify({ vcekCert: writePem('CERTIFICATE', vcek), tcbm: '00', certificateChain: '', cacheControl: '1' })
  assert.equal(verdict({ source: 'a', evidence: good.evidence, endorsements: toBase64(utf8(thim)) }).unbound.length, 1)
  refused(judge({ ...good, security_policy: toBase64(utf8('other')) }), 'evidence.binding', 'claims.hostData')
  refused(judge(good, undefined, { whole: true }), 'evidence.binding', 'claims.reportData')
  refused(read({ ...good, endorsements: '' }), 'evidence.missing', 'endorsements')
  refused(read({ ...good, endorsements: toBase64(utf8('{"more":1}')) }), 'evidence.parse')
  refused(read({ ...good, more: 1 }), 'evidence.parse')
})

test('endorsements of utility VMs: under the pinned issuer, of this measurement, in force', () => {
  const { report, vcek } = snp(DATA)
  const at = (plan: UvmPlan, options: Partial<ForeignOptions> = {}) => judge({ evidence: toBase64(report), endorsements: toBase64(utf8(writePem('CERTIFICATE', vcek))), uvm_endorsements: uvmEndorsement(plan) }, undefined, { uvmIssuer: UVM_TEST_ISSUER, ...options })
  const got = orRefuse(at({}))
  assert.deepEqual([got.endorsement?.issuer, got.endorsement?.feed, got.endorsement?.svn, got.unbound.length], [UVM_TEST_ISSUER, 'TestPlat', '104', 1])
  const { validity } = got.endorsement ?? assert.fail()
  assert.ok(validity.notBefore < NOW && validity.notAfter > NOW)
  refused(at({}, { uvmIssuer: `${UVM_TEST_ISSUER}.1` }), 'evidence.signer', 'uvm_endorsements.iss')
  refused(verifyForeign(p, orRefuse(read({ evidence: toBase64(report), endorsements: toBase64(utf8(writePem('CERTIFICATE', vcek))), uvm_endorsements: uvmEndorsement() })), ALL, judgeWith(p)), 'evidence.signer', 'uvm_endorsements.iss')
  refused(at({ payload: { 'x-ms-sevsnpvm-launchmeasurement': '00'.repeat(48) } }), 'evidence.reference')
  for (const payload of [{ 'x-ms-sevsnpvm-guestsvn': 104 }, { 'x-ms-sevsnpvm-launchmeasurement': 1 }]) refused(at({ payload }), 'evidence.parse')
  refused(at({ signer: 'stranger' }), 'evidence.signature')
  refused(at({ algorithm: -7 }), 'evidence.signature')
  refused(at({ root: 'stranger' }), 'evidence.chain', 'uvm_endorsements.x5chain')
  refused(at({ chain: ([leaf, , root]) => [leaf ?? new Uint8Array(), root ?? new Uint8Array()] }), 'x509.issuer')
  refused(at({ chain: chain => chain.slice(0, 1) }), 'cbor.syntax')
  refused(at({ chain: chain => [...chain, ...chain, ...chain] }), 'cbor.syntax')
  refused(at({ leaf: { extensions: [{ oid: '2.5.29.15', critical: true, value: fromHex('03020780') }] } }), 'evidence.signer', 'uvm_endorsements.x5chain[0]')
  // The usage that counts, but in an authority's certificate.
  refused(at({ leaf: { extensions: [basicConstraintsCa(), keyUsage(0x86), { oid: '2.5.29.37', value: fromHex('300406022a04') }] } }), 'evidence.signer', 'uvm_endorsements.x5chain[0]')
  for (const leaf of [{ extensions: [{ oid: '2.5.29.37', value: fromHex('300406022a03') }] }]) refused(at({ leaf }), 'evidence.signer', 'uvm_endorsements.x5chain[0]')
  for (const name of ['iss', 'feed']) refused(at({ protected: [[name, 'x'.repeat(600)]] }), 'cbor.syntax')
  refused(at({ protected: [['feed', undefined]] }), 'cbor.syntax')
  const told = (result: Result<ForeignVerdict>) => { const value = orRefuse(result); assert.equal(value.endorsement, undefined); return value.unbound[0] ?? '' }
  assert.match(told(at({ leaf: { notAfter: NOW - 86_400 } })), /not in force/)
  assert.match(told(at({ leaf: { notBefore: NOW + 86_400 } })), /not in force/)
  assert.match(told(at({ protected: [['iss', undefined]] })), /another form/)
})

test('requests to Azure\'s attestation service: runtime data and policy', () => {
  const runtime = utf8('{"keys":[]}')
  const made = snp(pad64(sha('sha256', runtime)), {}, sha('sha256', POLICY))
  const inner = (change: JsonObject = {}) => toBase64Url(utf8(JSON.stringify({ SnpReport: toBase64Url(made.report), VcekCertChain: toBase64Url(utf8(writePem('CERTIFICATE', made.vcek))), ...change })))
  const good = { report: inner(), runtimeData: { data: toBase64Url(runtime), dataType: 'JSON' }, initTimeData: { data: toBase64Url(POLICY), dataType: 'Binary' }, nonce: '1' }
  const got = verdict(good, undefined, { whole: true })
  assert.deepEqual([got.form, got.bindings.length, got.unbound.length], ['azure-attest-request', 2, 1])
  refused(judge(changed(good, 'runtimeData.data', '')), 'evidence.binding', 'claims.reportData')
  refused(judge(changed(good, 'initTimeData.data', '')), 'evidence.binding', 'claims.hostData')
  const { initTimeData: _, nonce: __, ...less } = good
  assert.equal(verdict(less).unbound.length, 1)
  for (const [path, value] of [['more', 1], ['runtimeData.more', 1], ['runtimeData.dataType', 'Text'], ['runtimeData', 1], ['report', inner({ more: 1 })]] as const) refused(read(changed(good, path, value)), 'evidence.parse')
  refused(read(changed(good, 'report', inner({ VcekCertChain: '' }))), 'evidence.missing')
  const endorsed = (value: Json) => changed(good, 'report', inner({ Endorsements: toBase64Url(utf8(JSON.stringify(value))) }))
  const one = toBase64Url(fromBase64(uvmEndorsement()))
  assert.equal(verdict(endorsed({ Uvm: [one] }), undefined, { uvmIssuer: UVM_TEST_ISSUER }).endorsement?.svn, '104')
  for (const value of [{ Uvm: [] }, { Uvm: [one, one] }, { Uvm: one }, { Uvm: [1] }, { Uvm: 1 }, { Uvm: null }, { more: [] }] as Json[]) refused(read(endorsed(value)), 'evidence.parse')
})

// ---- dstack

test('dstack: the log gives the quote\'s registers, and says which app it is', () => {
  const guest = dstackGuest(DATA)
  const answer = { quote: guest.quote, event_log: JSON.stringify(guest.log), report_data: toHex(DATA), vm_config: '{}' }
  const got = verdict(answer, { collateral: COLLATERAL })
  assert.deepEqual([got.form, got.app, got.bindings, got.unbound.length], ['dstack-quote', { 'app-id': '3763', 'compose-hash': toHex(sha('sha256', COMPOSE)) }, [], 2])
  assert.equal(got.claims.events?.length, 9)
  assert.deepEqual(verdict({ ...answer, quote: guest.quote + '00'.repeat(70), event_log: guest.log }, { collateral: COLLATERAL }).claims, got.claims)
  refused(judge({ ...answer, quote: `${guest.quote}01` }, { collateral: COLLATERAL }), 'bytes.trailing')
  refused(judge({ ...answer, quote: '' }, { collateral: COLLATERAL }), 'bytes.truncated')
  refused(judge({ ...answer, report_data: '00' }, { collateral: COLLATERAL }), 'evidence.binding', 'claims.reportData')
  refused(read({ ...answer, report_data: '00'.repeat(65) }, { collateral: COLLATERAL }), 'evidence.parse')
  refused(judge(answer, { collateral: COLLATERAL }, { whole: true }), 'evidence.binding') // what is only repeated binds nothing
  refused(read(answer), 'evidence.missing')
  for (const change of [{ more: 1 }, { event_log: '{}' }, { event_log: 1 }, { quote: 1 }]) refused(read({ ...answer, ...change }, { collateral: COLLATERAL }), 'evidence.parse')
  const log = guest.log as JsonObject[]
  for (const other of [log.slice(0, -1), log.toReversed(), [...log, runtimeEvent('more', new Uint8Array())], log.map((one, i) => (i === 4 ? runtimeEvent('app-id', new Uint8Array(20)) : one))]) refused(judge({ ...answer, event_log: other }, { collateral: COLLATERAL }), 'evidence.event-log')
})

test('52: dstack: what the app writes later, or twice, does not change which app it is', () => {
  const at = (app: readonly JsonObject[]) => { const guest = dstackGuest(DATA, app); return judge({ quote: guest.quote, event_log: guest.log }, { collateral: COLLATERAL }) }
  assert.deepEqual(orRefuse(at(APP.map(one => ({ ...one, digest: '' })))).app?.['compose-hash'], toHex(sha('sha256', COMPOSE)))
  refused(at([runtimeEvent('compose-hash', new Uint8Array(32)), ...APP]), 'evidence.event-log', 'eventLog.compose-hash')
  assert.deepEqual(orRefuse(at(APP.slice(0, 2))).app, { 'app-id': '3763' })
  assert.deepEqual(orRefuse(at([runtimeEvent('own', fromHex('00')), runtimeEvent('own', fromHex('01')), ...APP])).app, orRefuse(at(APP)).app)
})

const NONCE = new Uint8Array(32).fill(0x4e)
test('model servers on dstack: GPUs that only share the nonce stand beside the machine', () => {
  const address = 'ab'.repeat(20)
  const guest = dstackGuest(concat(fromHex(address), new Uint8Array(12), NONCE))
  const gpus = [{ number: '01' }, { number: '02' }].map(one => { const { certificate, evidence } = sdkDevice(NONCE, one); return { certificate, evidence } })
  const payload = { nonce: toHex(NONCE), evidence_list: gpus, arch: 'HOPPER' }
  const good = { signing_address: `0x${address}`, signing_algo: 'ecdsa', request_nonce: toHex(NONCE), intel_quote: guest.quote, nvidia_payload: JSON.stringify(payload), event_log: guest.log, info: { tcb_info: JSON.stringify({ app_compose: COMPOSE }) }, vm_config: '{}' }
  const got = verdict(good, { collateral: COLLATERAL })
  assert.deepEqual([got.form, got.claims.devices, got.beside.map(one => [one.role, one.bond, one.claims.product]), got.challenge, got.keys], ['dstack-model-report', undefined, [['gpu', 'nonce', 'GH100'], ['gpu', 'nonce', 'GH100']], toHex(NONCE), { signing: address }])
  assert.deepEqual([got.topology?.gpus, got.topology?.absent.length, got.unbound.length], [2, 1, 2])
  refused(judge(good, { collateral: COLLATERAL }, { whole: true }), 'evidence.binding', 'devices')
  refused(judge({ ...good, nvidia_payload: { ...payload, evidence_list: gpus.slice(0, 1) } }, { collateral: COLLATERAL }, { whole: true }), 'evidence.binding', 'devices')
  assert.ok(judge({ ...good, nvidia_payload: '' }, { collateral: COLLATERAL }, { whole: true }).ok)
  assert.ok(judge({ ...good, nvidia_payload: payload }, { collateral: COLLATERAL }).ok)
  const withPayload = (change: object) => judge({ ...good, nvidia_payload: JSON.stringify({ ...payload, ...change }) }, { collateral: COLLATERAL })
  refused(withPayload({ nonce: '00'.repeat(32) }), 'evidence.binding', 'nvidia_payload.nonce')
  refused(withPayload({ evidence_list: [gpus[0], gpus[0]] }), 'evidence.binding', 'devices[1]')
  refused(withPayload({ evidence_list: [{ ...gpus[0], nonce: '00'.repeat(32) }] }), 'evidence.binding', 'nvidia_payload[0].nonce')
  const { certificate, evidence } = sdkDevice(new Uint8Array(32), { number: '01' })
  refused(withPayload({ evidence_list: [{ certificate, evidence }] }), 'evidence.binding', 'devices[0].reportData')
  for (const change of [{ more: 1 }, { evidence_list: {} }, { evidence_list: [{ more: 1 }] }, { arch: 1 }]) refused(withPayload(change), 'evidence.parse')
  refused(judge({ ...good, signing_address: 'cd'.repeat(20) }, { collateral: COLLATERAL }), 'evidence.binding', 'claims.reportData')
  refused(judge({ ...good, request_nonce: '00'.repeat(32), nvidia_payload: '' }, { collateral: COLLATERAL }), 'evidence.binding', 'claims.reportData')
  refused(judge({ ...good, info: { tcb_info: { app_compose: 'other' } } }, { collateral: COLLATERAL }), 'evidence.binding', 'app_compose')
  const { event_log: _, ...silent } = good
  refused(judge(silent, { collateral: COLLATERAL }), 'evidence.binding', 'app_compose')
  assert.equal(verdict({ ...silent, info: {} }, { collateral: COLLATERAL }).app, undefined)
  const tls = 'ee'.repeat(32)
  const second = dstackGuest(concat(sha('sha256', fromHex(address + tls)), NONCE))
  const { info: __, ...newer } = { ...good, intel_quote: second.quote, event_log: second.log, tls_cert_fingerprint: tls }
  assert.deepEqual(verdict(newer, { collateral: COLLATERAL }).keys, { signing: address, tls })
  assert.deepEqual([verdict({ ...good, tls_cert_fingerprint: tls }, { collateral: COLLATERAL }).keys, verdict({ ...good, tls_cert_fingerprint: tls }, { collateral: COLLATERAL }).unbound.at(-1)], [{ signing: address }, 'tls_cert_fingerprint: only said beside the quote'])
  refused(judge({ ...newer, tls_cert_fingerprint: '00'.repeat(32) }, { collateral: COLLATERAL }), 'evidence.binding', 'claims.reportData')
  const later = tdx(concat(sha('sha256', fromHex(address + tls)), NONCE), { version: 5 })
  const { event_log: ___, ...logless } = newer
  assert.deepEqual(verdict({ ...logless, intel_quote: toHex(fromBase64(later.quote)) }, { collateral: COLLATERAL }).keys, { signing: address, tls })
  for (const change of [{ more: 1 }, { tls_cert_fingerprint: 'ab' }, { signing_address: 'ab' }, { request_nonce: 'AB'.repeat(32) }, { nvidia_payload: 1 }]) refused(read({ ...good, ...change }, { collateral: COLLATERAL }), 'evidence.parse')
})

test('ACI gateways: keys and nonce in one statement', () => {
  const keyset = { e2ee_public_keys: [{ algo: 'x25519-aes-256-gcm-hkdf-sha256', key_id: 'e2ee-1', public_key: '5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22' }], not_after: 1_800_000_000, receipt_signing_keys: [{ algo: 'ed25519', key_id: 'receipt-1', public_key: '8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394' }], subject: 'dstack-app://example-app', tls_public_keys: [{ domain: 'api.example.com', spki_sha256: 'c0'.repeat(32) }] }
  const digest = 'sha256:53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371'
  const nonce = toHex(Uint8Array.from({ length: 32 }, (_, i) => i))
  const [challenged, open] = ['df2174d28130852b413646a3786927b93e94c11d770268b65def8bdba45cb49e', '0633919ca3f00e97bafaa3304278eb22420cc3ff0d19f87dfca2d3f7508150bc']
  const report = (data: string) => {
    const guest = dstackGuest(pad64(fromHex(data)))
    return { api_version: 'aci/1', workload_keyset_digest: digest, attestation: { tee_type: 'tdx', workload_keyset: keyset, report_data: data, source_provenance: {}, evidence: { quote: guest.quote, event_log: JSON.stringify(guest.log), app_compose: COMPOSE, vm_config: '{}', key_custody: {} } }, service_capabilities: {} }
  }
  const given = { collateral: COLLATERAL, nonce }
  const got = verdict(report(challenged), given, { whole: true })
  assert.deepEqual([got.form, got.keys, got.challenge, got.app?.['app-id'], got.unbound.length], ['aci-1', { keyset: digest }, nonce, '3763', 3])
  assert.match(verdict(report(open), { collateral: COLLATERAL }, { whole: true }).unbound[0] ?? '', /^freshness/)
  const blind = verdict(report(challenged), { collateral: COLLATERAL })
  assert.match(blind.unbound[0] ?? '', /^workload_keyset/)
  assert.deepEqual(blind.keys, {})
  refused(judge(report(challenged), { collateral: COLLATERAL }, { whole: true }), 'evidence.binding')
  refused(judge(report(open), given), 'evidence.binding', 'report_data')
  refused(judge(changed(report(challenged), 'attestation.workload_keyset.not_after', 1), given), 'evidence.binding', 'workload_keyset_digest')
  refused(judge(changed(report(challenged), 'attestation.report_data', open), { collateral: COLLATERAL }), 'evidence.binding', 'claims.reportData')
  refused(judge(changed(report(challenged), 'attestation.evidence.app_compose', 'other'), given), 'evidence.binding', 'app_compose')
  refused(read(changed(report(challenged), 'api_version', 'aci/2'), given), 'evidence.version')
  refused(read(changed(report(challenged), 'attestation.tee_type', 'sev_snp'), given), 'evidence.unsupported')
  for (const [path, value] of [['more', 1], ['attestation.more', 1], ['attestation.report_data', '00'], ['attestation.evidence', 1], ['attestation.evidence.event_log', '{}']] as const) refused(read(changed(report(challenged), path, value), given), 'evidence.parse')
})

// ---- devices alone, and what is common to all

test('NVIDIA\'s SDK: devices of no machine', () => {
  const list = FABRIC.map(one => sdkDevice(NONCE, one))
  const got = verdict(list)
  assert.deepEqual([got.form, got.claims.product, got.beside.length, got.topology, got.challenge], ['nvidia-sdk', 'GH100', 2, { gpus: 2, switches: 1, ppcie: true, absent: [], oneSided: [] }, toHex(NONCE)])
  refused(judge(list, undefined, { whole: true }), 'evidence.binding', 'devices')
  refused(judge(list.slice(0, 1), undefined, { whole: true }), 'evidence.binding', 'devices')
  refused(judge([list[0], sdkDevice(new Uint8Array(32), { number: '02' })]), 'evidence.binding', 'devices[1].nonce')
  refused(judge([list[0], list[0]]), 'evidence.binding', 'devices[1]')
  refused(judge([{ ...list[0], nonce: '00'.repeat(32) }]), 'evidence.binding', 'claims.reportData')
  refused(judge([{ ...list[0], driver_version: '1.0' }]), 'evidence.binding', 'evidence.driver_version')
  refused(judge([list[0], { ...list[1], arch: 'BLACKWELL' }]), 'evidence.product')
  refused(read([]), 'evidence.parse')
})

test('5: a document of any depth is refused, not crashed on', () => {
  const nested = (depth: number) => { let value: Json = 'x'; for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }; return value }
  const request = (structured: Json): JsonObject => ({ verification_requests: [{ tee: 'snp', evidence: toBase64Url(utf8(JSON.stringify(cocoSnp(snp(DATA))))), runtime_data: { structured }, runtime_data_hash_algorithm: 'sha256' }] })
  assert.ok(readForeign(p, request(nested(29))).ok)
  refused(readForeign(p, request(nested(30))), 'bytes.too-deep', 'document')
  refused(readForeign(p, request(nested(200_000))), 'bytes.too-deep')
  refused(readForeign(p, { ...kbsRequest(), 'runtime-data': { nonce: KBS_NONCE, 'tee-pubkey': { ...KEY, x: nested(200_000) } } } as unknown as Json), 'bytes.too-deep')
})

test('collateral from beside a document: of the CPU, and of each device', () => {
  const rims = { devices: [{}, { rims: [driverRim()] }] }
  assert.equal(verdict(tinfoil3(), { collateral: rims }).claims.devices?.[1]?.facts.kind, 'nvidia')
  assert.ok(verdict(tinfoil3(), { collateral: rims }).claims.endorsements.length > verdict(tinfoil3()).claims.endorsements.length)
  refused(read(tinfoil3(), { collateral: { devices: [{}, {}, {}, {}] } }), 'evidence.collateral', 'collateral.devices')
  for (const collateral of ['text', []] as Json[]) refused(read(tinfoil3(), { collateral }), 'evidence.collateral', 'collateral')
  refused(read(tinfoil3(), { collateral: { devices: {} } }), 'evidence.collateral', 'collateral.devices')
  refused(read(tinfoil3(), { collateral: { devices: [{ report: '' }] } }), 'evidence.collateral', 'collateral.report')
  refused(read(tinfoil3(), { collateral: { report: '' } }), 'evidence.collateral', 'collateral.report')
  refused(judge(tinfoil3(), { collateral: { certificates: [] } }), 'evidence.missing', 'certificates')
})

test('58: the challenge that was asked with must be the one that is bound', () => {
  assert.ok(judge(tinfoil3(), undefined, { challenge: toHex(TINFOIL_NONCE) }).ok)
  refused(judge(tinfoil3(), undefined, { challenge: '00'.repeat(32) }), 'evidence.report-data', 'challenge')
  refused(judge(cocoSnp(snp(DATA)), undefined, { challenge: toHex(DATA) }), 'evidence.report-data', 'challenge')
})

test('by default the pinned roots judge: the test roots are strangers to them', () => {
  refused(verifyForeign(p, orRefuse(read(cocoSnp(snp(DATA)))), ALL), 'evidence.chain')
})
