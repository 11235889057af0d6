// Result tokens under test keys: each form is read into claims, and nobody is believed whom the relying party did not name.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../../bytes/base64.ts'
import { type Writable, writeCbor } from '../../bytes/cbor.ts'
import type { Json, JsonObject } from '../../bytes/json.ts'
import { LEAF, LEAF_EXTENSIONS, MIDDLE, certificateDer, leaf, middle, root } from '../../crypto/chain.fixture.ts'
import { writeSign1 } from '../../crypto/cose.ts'
import { es256 } from '../../crypto/cose.fixture.ts'
import { authoritySigner, tokenSigner, x5cOf } from '../../crypto/jws.fixture.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type Result } from '../../refusal.ts'
import { appraise } from '../../appraisal/appraise.ts'
import { parseEvidence } from '../index.ts'
import type { VerifyOptions } from '../options.ts'
import { tierOfValue } from './ear.ts'
import { CPU, DOMAIN, EAR, GPU, INTEL, INTEL_SGX, MAA_SGX, MAA_SNP, MAA_TDX, NONCE, NOW, nrasOf, signed, SIGNER, SPACE, verifierOf } from './result.fixture.ts'
import { confidentialSpaceRoots } from './root.ts'
import { FORMS, readStatements, verifyToken, type Form, type TokenClaims, type Verifier } from './token.ts'

const ALL = FORMS.map(form => verifierOf(form))
const judge = (token: string, verifiers: readonly Verifier[] = ALL, detached?: Readonly<Record<string, string>>, options: Partial<VerifyOptions> = {}): Result<TokenClaims> =>
  attempt(() => verifyToken(p, { kind: 'token', token, ...(detached === undefined ? {} : { detached }) }, { now: NOW, verifiers, ...options }))
function accepted(...args: Parameters<typeof judge>): TokenClaims {
  const result = judge(...args)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}
function refused(code: string, at: string | undefined, ...args: Parameters<typeof judge>): void {
  const result = judge(...args)
  assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, at === undefined ? undefined : result.refusal.at], [code, at])
}
/** What a form makes of changed claims, unsigned: signatures are tested once. */
const readingOf = (form: Exclude<Form, 'nras'>, claims: JsonObject) => readStatements(form, claims)
const refusedReading = (form: Exclude<Form, 'nras'>, claims: JsonObject, code: string, at: string) => {
  const result = attempt(() => readStatements(form, claims))
  assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, result.refusal.at], [code, at])
}
const without = (claims: JsonObject, key: string): JsonObject => Object.fromEntries(Object.entries(claims).filter(([name]) => name !== key))

test('who is believed: a verifier by its issuer and its own keys, and nobody else (attacks.md row 75)', () => {
  const token = signed(INTEL)
  const claims = accepted(token)
  assert.deepEqual([claims.signer, claims.facts.verifier, claims.facts.issuer, claims.simulated, claims.revocation, claims.issuedAt], ['verifier:ita', 'ita', 'https://ita.example', false, false, NOW - 10])
  assert.deepEqual(claims.validity, { notBefore: NOW - 10, notAfter: NOW + 299 })
  refused('evidence.unsupported', 'token.iss', token, [])
  refused('evidence.unsupported', 'token.iss', token, undefined, undefined, { verifiers: undefined } as never)
  refused('evidence.unsupported', 'token.iss', signed({ ...INTEL, iss: 'https://ita.example/' }))
  refused('evidence.unsupported', 'token.iss', signed(without(INTEL, 'iss')), [verifierOf('ita')])
  refused('evidence.token', 'token.iss', signed({ ...INTEL, iss: ['https://ita.example'] }))
  refused('evidence.signature', undefined, signed(INTEL, {}, tokenSigner('ES256', 'other')))
  refused('evidence.signature', undefined, signed(INTEL, { jwk: { kty: 'EC' }, jku: 'https://ita.example/certs' }, tokenSigner('ES256', 'other')))
  refused('crypto.algorithm', undefined, signed(INTEL, {}, tokenSigner('ES384')))
  for (const alg of ['none', 'HS256', 'ES256K']) refused('crypto.algorithm', undefined, signed(INTEL, { alg }))
  refused('evidence.token', undefined, signed(INTEL, { crit: ['exp'] }))
  refused('json.duplicate-key', undefined, signed('{"iss":"https://ita.example","iss":"https://ita.example"}' as Json))
  accepted(signed(INTEL, { kid: 'any' }))
  const two = verifierOf('ita', { keys: [{ kid: 'a', key: tokenSigner('ES256', 'other').key }, { kid: 'b', key: SIGNER.key }] })
  accepted(signed(INTEL, { kid: 'b' }), [two])
  refused('evidence.signature', undefined, signed(INTEL, { kid: 'a' }), [two])
  refused('evidence.unsupported', undefined, signed(INTEL, { kid: 'c' }), [two])
})

test('times and audience (attacks.md row 88)', () => {
  for (const now of [NOW - 10, NOW + 299]) accepted(signed(INTEL), ALL, undefined, { now })
  for (const now of [NOW - 11, NOW + 300]) refused('evidence.token', undefined, signed(INTEL), ALL, undefined, { now })
  refused('evidence.token', 'token.exp', signed(without(INTEL, 'exp')))
  accepted(signed(without(INTEL, 'exp')), [verifierOf('ita', { maxAge: 10 })])
  refused('evidence.token', undefined, signed(without(INTEL, 'exp')), [verifierOf('ita', { maxAge: 9 })])
  refused('evidence.token', 'token.aud', signed(SPACE), [verifierOf('confidential-space', { audience: 'them' })])
  refused('evidence.token', 'token.aud', signed(INTEL), [verifierOf('ita', { audience: 'us' })])
  refused('evidence.token', 'token.aud', signed({ ...INTEL, aud: 'us' }))
  accepted(signed({ ...INTEL, aud: ['them', 'us'] }), [verifierOf('ita', { audience: 'us' })])
})

test('certificate chains count where the relying party pins their root', () => {
  const verifier = verifierOf('confidential-space', { keys: [], roots: [root] })
  const chained = signed(SPACE, x5cOf(leaf.der, middle.der), authoritySigner(LEAF))
  const claims = accepted(chained, [verifier])
  assert.equal(claims.endorsements.length, 4)
  refused('evidence.unsupported', undefined, signed(SPACE, {}, authoritySigner(LEAF)), [verifier])
  refused('evidence.signature', undefined, signed(SPACE, x5cOf(leaf.der, middle.der)), [verifier])
  refused('x509.issuer', undefined, chained, [verifierOf('confidential-space', { keys: [], roots: confidentialSpaceRoots() })])
  refused('evidence.signature', undefined, chained, [verifierOf('confidential-space')])
  const short = certificateDer(LEAF, MIDDLE, { extensions: LEAF_EXTENSIONS, notAfter: NOW + 5 })
  assert.equal(accepted(signed(SPACE, x5cOf(short, middle.der), authoritySigner(LEAF)), [verifier]).validity.notAfter, NOW + 5)
  refused('x509.expired', undefined, signed(SPACE, x5cOf(short, middle.der), authoritySigner(LEAF)), [verifier], undefined, { now: NOW + 6 })
})

test('Microsoft Azure Attestation: SEV-SNP, TDX, SGX', () => {
  const snp = accepted(signed(MAA_SNP))
  assert.deepEqual([snp.tee, snp.measurement, snp.reportData, snp.hostData, snp.debug, snp.migration, snp.facts.nonces, snp.facts.status], ['azure-snp', '11'.repeat(48), '22'.repeat(64), '33'.repeat(32), false, false, ['abcdef'], ''])
  const isolation = MAA_SNP['x-ms-isolation-tee']
  const changed = (change: JsonObject, more: JsonObject = {}) => readingOf('maa', { ...MAA_SNP, ...more, 'x-ms-isolation-tee': { ...isolation, ...change } })
  assert.equal(changed({ 'x-ms-sevsnpvm-is-debuggable': true }).debug, true)
  assert.equal(readingOf('maa', { ...MAA_SNP, 'x-ms-isolation-tee': without(isolation, 'x-ms-sevsnpvm-is-debuggable') }).debug, true)
  assert.equal(changed({ 'x-ms-sevsnpvm-migration-allowed': true }).migration, true)
  assert.equal(readingOf('maa', { ...MAA_SNP, 'x-ms-isolation-tee': without(isolation, 'x-ms-sevsnpvm-migration-allowed') }).migration, true)
  for (const more of [{ 'x-ms-azurevm-debuggersdisabled': false }, { 'x-ms-azurevm-kerneldebug-enabled': true }, { 'x-ms-azurevm-bootdebug-enabled': true }, { 'x-ms-azurevm-hypervisordebug-enabled': true }]) assert.equal(changed({}, more).debug, true)
  refusedReading('maa', { ...MAA_SNP, 'x-ms-isolation-tee': { ...isolation, 'x-ms-attestation-type': 'basic' } }, 'evidence.token', 'token.x-ms-attestation-type')
  refusedReading('maa', { ...MAA_SNP, 'x-ms-isolation-tee': { ...isolation, 'x-ms-sevsnpvm-hostdata': 'zz' } }, 'evidence.token', 'token.x-ms-sevsnpvm-hostdata')
  refusedReading('maa', without(MAA_SNP, 'x-ms-isolation-tee'), 'evidence.token', 'token.x-ms-isolation-tee')
  const tdx = accepted(signed(MAA_TDX))
  assert.deepEqual([tdx.tee, tdx.registers['RTMR3'], tdx.debug, tdx.migration, tdx.facts.status, tdx.facts.advisories], ['azure-tdx', 'a3'.repeat(48), false, false, 'UpToDate', ['INTEL-SA-00001']])
  assert.equal(readingOf('maa', { ...MAA_TDX, 'x-ms-attestation-type': 'azurevm', 'x-ms-isolation-tee': { ...DOMAIN, 'x-ms-attestation-type': 'tdxvm' }, 'x-ms-azurevm-kerneldebug-enabled': true }).debug, true)
  const sgx = accepted(signed(MAA_SGX))
  assert.deepEqual([sgx.tee, sgx.measurement, sgx.reportData, sgx.debug], ['sgx', '11'.repeat(32), '', false])
  assert.equal(readingOf('maa', without(MAA_SGX, 'x-ms-sgx-is-debuggable')).debug, true)
  assert.deepEqual(readingOf('maa', { ...MAA_SGX, nonce: 'not base64!' }).nonces, ['6e6f742062617365363421'])
})

test('trust domains: attributes decide, what is not said is taken at its worse', () => {
  const of = (change: JsonObject) => readingOf('maa', { ...MAA_TDX, ...change })
  assert.equal(of({ tdx_td_attributes: '0100001000000000' }).debug, true)
  assert.equal(of({ tdx_td_attributes: '0000002000000000' }).migration, true)
  assert.equal(of({ tdx_td_attributes_debug: true }).debug, true)
  assert.equal(of({ tdx_is_debuggable: true }).debug, true)
  const silent = without(MAA_TDX, 'tdx_td_attributes')
  assert.deepEqual([readingOf('maa', silent).debug, readingOf('maa', silent).migration], [true, true])
  assert.deepEqual([readingOf('maa', { ...silent, tdx_is_debuggable: false, tdx_is_migratable: false }).debug, readingOf('maa', { ...silent, tdx_td_attributes_debug: false, tdx_is_migratable: false }).migration], [false, false])
  refusedReading('maa', without(MAA_TDX, 'tdx_rtmr2'), 'evidence.token', 'token.tdx_rtmr2')
  refusedReading('maa', without(MAA_TDX, 'tdx_report_data'), 'evidence.token', 'token.tdx_reportdata')
})

test('Google Confidential Space', () => {
  const claims = accepted(signed(SPACE))
  assert.deepEqual([claims.tee, claims.measurement, claims.registers['image_id'], claims.reportData, claims.debug, claims.migration, claims.facts.status], ['tdx', '11'.repeat(32), '44'.repeat(32), NONCE, false, true, 'UpToDate'])
  assert.equal(readingOf('confidential-space', { ...SPACE, dbgstat: 'enabled' }).debug, true)
  assert.equal(readingOf('confidential-space', without(SPACE, 'dbgstat')).debug, true)
  assert.equal(readingOf('confidential-space', { ...SPACE, secboot: false }).debug, true)
  assert.deepEqual(readingOf('confidential-space', { ...SPACE, hwmodel: 'GCP_AMD_SEV' }).tee, 'sev')
  assert.deepEqual(readingOf('confidential-space', { ...SPACE, eat_nonce: [NONCE, 'text!'] }).nonces, [NONCE, '7465787421'])
  refusedReading('confidential-space', { ...SPACE, hwmodel: 'GCP_SHIELDED_VM' }, 'evidence.product', 'token.hwmodel')
  refusedReading('confidential-space', { ...SPACE, hwmodel: 'toString' }, 'evidence.product', 'token.hwmodel')
  refusedReading('confidential-space', { ...SPACE, swname: 'GCE' }, 'evidence.token', 'token.swname')
  refusedReading('confidential-space', { ...SPACE, submods: { container: { image_digest: 'latest' } } }, 'evidence.token', 'token.image_digest')
  refusedReading('confidential-space', { ...SPACE, eat_nonce: 7 }, 'evidence.token', 'token.eat_nonce')
  refusedReading('confidential-space', { ...SPACE, eat_nonce: Array.from({ length: 257 }, () => NONCE) }, 'evidence.token', 'token.eat_nonce')
  refusedReading('confidential-space', { ...SPACE, eat_nonce: [1] }, 'evidence.token', 'token.eat_nonce[0]')
})

test('Intel Trust Authority, both versions', () => {
  const claims = accepted(signed(INTEL))
  assert.deepEqual([claims.tee, claims.measurement, claims.reportData, claims.hostData, claims.debug, claims.migration], ['tdx', '11'.repeat(48), '22'.repeat(64), '33'.repeat(48), false, false])
  assert.equal(readingOf('ita', { ...INTEL.tdx, iss: 'x' }).tee, 'tdx')
  assert.equal(readingOf('ita', { ...INTEL, tdx: { ...INTEL.tdx, dbgstat: 'enabled' } }).debug, true)
  for (const dbgstat of ['enabled', 0, null, Object.create(null)]) assert.equal(readingOf('ita', { ...INTEL, dbgstat }).debug, true)
  const sgx = accepted(signed(INTEL_SGX))
  assert.deepEqual([sgx.tee, sgx.debug, sgx.facts.status], ['sgx', false, 'OutOfDate'])
  assert.equal(readingOf('ita', { ...INTEL_SGX, sgx: without(INTEL_SGX.sgx, 'sgx_is_debuggable') }).debug, true)
  refusedReading('ita', { ...INTEL, tdx: { ...INTEL.tdx, attester_type: 'TPM' } }, 'evidence.token', 'token.attester_type')
})

test('EAR: tiers, and a status that is better than its vector is refused', () => {
  const claims = accepted(signed(EAR))
  assert.deepEqual([claims.tee, claims.measurement, claims.registers, claims.reportData, claims.hostData, claims.debug, claims.facts.status], ['tdx', '11'.repeat(48), { RTMR0: 'a0'.repeat(48) }, 'abcdef', '33'.repeat(48), false, 'UpToDate'])
  assert.deepEqual(claims.facts.trust, { cpu0: { status: 'affirming', vector: { configuration: 2, executables: 3, hardware: 2 } } })
  assert.equal(readingOf('ear', without(EAR, 'eat_nonce')).reportData, '22'.repeat(64))
  const cpu = (change: JsonObject): JsonObject => ({ ...EAR, submods: { cpu0: { ...CPU, ...change } } })
  assert.deepEqual([readingOf('ear', cpu({})).tee, readingOf('ear', cpu({})).debug], ['unknown', false])
  assert.equal(readingOf('ear', cpu({ 'ear.trustworthiness-vector': { hardware: 2 } })).debug, true)
  assert.equal(readingOf('ear', cpu({ 'ear.trustworthiness-vector': { configuration: 2 } })).status, '')
  assert.equal(readingOf('ear', { ...EAR, submods: { cpu0: CPU, gpu0: { 'ear.status': 'warning' } } }).debug, true)
  assert.equal(readingOf('ear', cpu({ 'ear.status': 32, 'ear.trustworthiness-vector': { hardware: 32 } })).trust?.['cpu0']?.status, 'warning')
  for (const vector of [{ hardware: 32 }, { configuration: 96 }, { hardware: -100 }]) refusedReading('ear', cpu({ 'ear.trustworthiness-vector': vector }), 'evidence.token', 'token.submods.cpu0.ear.status')
  refusedReading('ear', cpu({ 'ear.status': 'fine' }), 'evidence.token', 'token.submods.cpu0.ear.status')
  refusedReading('ear', cpu({ 'ear.trustworthiness-vector': { mood: 2 } }), 'evidence.token', 'token.submods.cpu0.ear.trustworthiness-vector.mood')
  refusedReading('ear', cpu({ 'ear.trustworthiness-vector': { hardware: 128 } }), 'evidence.token', 'token.submods.cpu0.ear.trustworthiness-vector.hardware')
  refusedReading('ear', { ...EAR, submods: {} }, 'evidence.token', 'token.submods')
  refusedReading('ear', { ...EAR, eat_profile: 'tag:psacertified.org,2023:psa#tfm' }, 'evidence.token', 'token.eat_profile')
  refusedReading('ear', without(EAR, 'ear.verifier-id'), 'evidence.token', 'token.ear.verifier-id')
  for (const key of ['developer', 'build']) refusedReading('ear', { ...EAR, 'ear.verifier-id': without(EAR['ear.verifier-id'], key) }, 'evidence.token', `token.ear.verifier-id.${key}`)
  const second = readingOf('ear', { ...EAR, submods: { gpu0: CPU, cpu0: { ...CPU, 'ear.trustee.annotated-evidence': { tee: 'tdx', product: 'TDX 1.5' } } } })
  assert.deepEqual([second.tee, second.product], ['tdx', 'TDX 1.5'])
  assert.equal(readingOf('ear', cpu({ 'ear.trustee.annotated-evidence': { tee: 'something' } })).tee, 'unknown')
  const own = readingOf('ear', cpu({ 'ear.trustee.annotated-evidence': { tee: 'snp', product: 'Milan', measurement: '11'.repeat(48), host_data: '33'.repeat(32) } }))
  assert.deepEqual([own.tee, own.product, own.measurement, own.hostData], ['snp', 'Milan', '11'.repeat(48), '33'.repeat(32)])
  assert.deepEqual([-100, -2, -1, 0, 1, 2, 31, 32, 95, 96].map(tierOfValue), ['contraindicated', 'none', 'none', 'none', 'none', 'affirming', 'affirming', 'warning', 'warning', 'contraindicated'])
})

test('EAR as a CBOR Web Token', () => {
  const map = (fields: Readonly<Record<number, Writable>>): Writable => new Map(Object.entries(fields).map(([key, value]) => [Number(key), value]))
  const cwt = (change: Readonly<Record<number, Writable>> = {}, signer = es256('cwt')) => toBase64(writeSign1({
    protected: new Map([[1, signer.algorithm]]), tagged: true,
    payload: writeCbor(map({ 4: NOW + 300, 6: NOW - 10, 10: new Uint8Array([0xab, 0xcd]), 265: 'tag:ietf.org,2026:rats/ear#04', 266: new Map([['cpu0', map({ 1000: 2, 1001: map({ 1: 2, 4: 2 }), 1003: 'default' })]]), 1004: map({ 0: 'https://verifier.example', 1: '1' }), ...change })),
  }, signer.sign))
  const named = [verifierOf('ear', { keys: [{ key: es256('cwt').key }] })]
  const claims = accepted(cwt(), named)
  assert.deepEqual([claims.reportData, claims.debug, claims.facts.trust], ['abcd', false, { cpu0: { status: 'affirming', vector: { configuration: 2, hardware: 2 } } }])
  refused('evidence.signature', 'token.signature', cwt({}, es256('other')), named)
  refused('evidence.token', 'token.77', cwt({ 77: 1 }), named)
  accepted(cwt(), [verifierOf('ear', { keys: [{ key: es256('first').key }, { key: es256('cwt').key }] })])
  refused('evidence.token', 'token.submods', cwt({ 266: map({ 1: 1 }) }), named)
  refused('evidence.token', undefined, cwt({ 4: NOW }), named)
  refused('evidence.token', 'token', cwt({ 1: 'https://ita.example' }))
})

test('NVIDIA: the whole and every device, held together by digest, nonce and identity', () => {
  const [one, two] = [signed(GPU), signed({ ...GPU, ueid: '8' })]
  const claims = accepted(nrasOf({ 'GPU-0': one, 'GPU-1': two }), ALL, { 'GPU-0': one, 'GPU-1': two })
  assert.deepEqual([claims.tee, claims.product, claims.registers, claims.debug, claims.facts.status, claims.reportData], ['nvidia', 'GH100 A01 GSP BROM', { driver: '580.1', vbios: '96.0' }, false, 'UpToDate', NONCE])
  const of = (change: JsonObject) => { const token = signed({ ...GPU, ...change }); return judge(nrasOf({ g: token }), ALL, { g: token }) }
  const status = (change: JsonObject) => { const result = of(change); return result.ok ? [result.value.debug, result.value.facts.status] : result.refusal.code }
  assert.deepEqual(status({}), [false, 'UpToDate'])
  assert.deepEqual(status({ dbgstat: 'enabled' }), [true, 'UpToDate'])
  assert.deepEqual(status({ secboot: false }), [true, 'UpToDate'])
  assert.deepEqual(status({ measres: 'fail' }), [false, ''])
  for (const key of Object.keys(GPU).filter(name => (GPU as JsonObject)[name] === true && name.startsWith('x-'))) assert.deepEqual(status({ [key]: false }), [false, ''], key)
  assert.deepEqual(status({ 'x-nvidia-gpu-anything': false }), [false, ''])
  const both = (second: JsonObject) => { const [a, b] = [signed(GPU), signed({ ...GPU, ueid: '8', ...second })]; const { debug, facts } = accepted(nrasOf({ a, b }), ALL, { a, b }); return [debug, facts.status] }
  assert.deepEqual([both({}), both({ dbgstat: 'enabled' }), both({ measres: 'fail' })], [[false, 'UpToDate'], [true, 'UpToDate'], [false, '']])
  const silent = signed(without(GPU, 'x-nvidia-gpu-arch-check'))
  assert.equal(accepted(nrasOf({ g: silent }), ALL, { g: silent }).facts.status, '')
  assert.equal(status({ eat_nonce: '00'.repeat(32) }), 'evidence.binding')
  refused('evidence.missing', 'detached.GPU-1', nrasOf({ 'GPU-0': one, 'GPU-1': two }), ALL, { 'GPU-0': one })
  refused('evidence.binding', 'detached.GPU-2', nrasOf({ 'GPU-0': one }), ALL, { 'GPU-0': one, 'GPU-2': two })
  refused('evidence.binding', 'detached.GPU-0', nrasOf({ 'GPU-0': one }), ALL, { 'GPU-0': two })
  refused('evidence.binding', 'detached', nrasOf({ a: one, b: one }), ALL, { a: one, b: one })
  refused('evidence.token', 'token.x-nvidia-overall-att-result', nrasOf({ a: one }, { 'x-nvidia-overall-att-result': false }), ALL, { a: one })
  refused('evidence.token', 'token.submods', nrasOf({}), ALL, {})
  refused('evidence.token', 'token.submods.a', nrasOf({ a: one }, { submods: { a: ['DIGEST', ['MD5', '00']] } }), ALL, { a: one })
  const forged = signed(GPU, {}, tokenSigner('ES256', 'other'))
  refused('evidence.signature', undefined, nrasOf({ a: forged }), ALL, { a: forged })
  refused('evidence.token', 'evidence.detached', signed(INTEL), ALL, { a: one })
})

test('its shape from outside', () => {
  assert.ok(parseEvidence({ kind: 'token', token: 'a.b.c', detached: { a: 'b' } }).ok)
  for (const json of [{ kind: 'token' }, { kind: 'token', token: 1 }, { kind: 'token', token: 'a', verifiers: [] }, { kind: 'token', token: 'a', detached: { a: 1 } }, { kind: 'token', token: 'a', detached: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`d${i}`, 'x'])) }]) {
    const result = parseEvidence(json)
    assert.equal(result.ok ? 'accepted' : result.refusal.code, 'evidence.parse')
  }
})

test('a token is no evidence of the machine: it counts only where the policy names its verifier', () => {
  const claims = accepted(signed(INTEL))
  const policy = { tee: ['tdx'], tcb: 'current', measurements: [{ tee: 'tdx', hex: claims.measurement, name: 'image', registers: { RTMR0: claims.registers['RTMR0'] ?? '' } }], reportData: claims.reportData, distrust: {} } as const
  const result = appraise(p, claims, policy, NOW)
  assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, result.refusal.at], ['appraisal.verifier', 'claims.facts.verifier'])
  const named = appraise(p, claims, { ...policy, verifiers: ['ita'] }, NOW)
  assert.ok(named.ok && named.value.tcb === 'current' && named.value.checks.some(check => check.id === 'verifier' && check.detail === 'ita'))
  const old = appraise(p, accepted(signed({ ...INTEL, tdx: { ...INTEL.tdx, attester_tcb_status: 'OutOfDate' } })), { ...policy, verifiers: ['ita'] }, NOW)
  assert.equal(old.ok ? 'accepted' : old.refusal.code, 'appraisal.tcb')
})
