import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { writeCbor, type Writable } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { parseJsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { rememberingPort } from '../../crypto/cose.fixture.ts'
import { basicConstraintsCa, keyUsage } from '../../crypto/issue.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import type { VerifyOptions } from '../options.ts'
import { cabundle, fieldsOf, MADE, nitroCertificate, nitroCrl, nitroDocument, nitroEvidence, NOW, roots, type DocumentPlan } from './nitro.fixture.ts'
import { parseDocument } from './document.ts'
import { nitroRoots } from './root.ts'
import { readNitro, verifyNitro, type NitroEvidence } from './verify.ts'

const HOUR = 3600
const judge = (evidence: NitroEvidence, options: Partial<VerifyOptions> = {}, port: Primitives = p) => verifyNitro(port, evidence, { now: MADE, ...options }, roots)
const refused = (run: () => unknown, code: RefusalCode, about = '') => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted ${about}`)
  assert.equal(result.refusal.code, code, `${about} ${JSON.stringify(result.refusal)}`)
}
const altered = (plan: DocumentPlan, code: RefusalCode, about: string, options?: Partial<VerifyOptions>) => refused(() => judge(nitroEvidence(plan), options), code, about)
const fields = (change: Record<string, Writable>, code: RefusalCode, about = JSON.stringify(Object.keys(change))) => altered({ fields: change }, code, about)

test('a document in which everything holds gives its claims', () => {
  const claims = judge(nitroEvidence())
  const { facts, registers, ...rest } = claims
  assert.deepEqual({ ...rest, endorsements: claims.endorsements.length }, {
    tee: 'nitro', simulated: false, product: 'Nitro', signer: 'nitro', measurement: '01'.repeat(48), reportData: '07'.repeat(64), hostData: '', debug: false, migration: false, chipId: '',
    issuedAt: MADE, validity: { notBefore: MADE - 3, notAfter: MADE + 3 * HOUR }, endorsements: 5, revocation: false,
  })
  assert.deepEqual(facts, { kind: 'nitro', moduleId: 'i-0123456789abcdef0-enc0123456789abcdef', digest: 'SHA384', timestampMs: MADE * 1000 + 346, publicKey: '', userData: '07'.repeat(64), nonce: toHex(utf8('a nonce')), debug: false })
  assert.equal(Object.keys(registers).length, 16)
  assert.ok(registers['PCR4'] === '05'.repeat(48) && registers['PCR15'] === '00'.repeat(48))
  assert.deepEqual(judge(nitroEvidence({ tagged: true })), claims)
})

test('report data is user data of 64 bytes, else the nonce, else nothing', () => {
  assert.equal(judge(nitroEvidence({ fields: { user_data: new Uint8Array(63), nonce: new Uint8Array([1, 2]) } })).reportData, '0102')
  const bare = judge(nitroEvidence({ fields: { user_data: null, nonce: undefined, public_key: utf8('key') } }))
  assert.equal(bare.reportData, '')
  assert.ok(bare.facts.kind === 'nitro' && bare.facts.publicKey === toHex(utf8('key')) && bare.facts.userData === '')
})

test('a zero PCR 0 is debug (attacks.md row 32)', () => {
  const zero = new Map<Writable, Writable>([0, 1, 2].map(index => [index, new Uint8Array(48)]))
  const claims = judge(nitroEvidence({ fields: { pcrs: zero } }))
  assert.ok(claims.debug && claims.facts.kind === 'nitro' && claims.facts.debug)
  zero.set(0, new Uint8Array(48).fill(1, 47))
  assert.ok(!judge(nitroEvidence({ fields: { pcrs: zero } })).debug)
})

test('registers: the digest says their length; sparse; further locked ones are kept (attacks.md section 7.4)', () => {
  const of = (length: number, ...indexes: Writable[]) => new Map<Writable, Writable>(indexes.map(index => [index, new Uint8Array(length).fill(9)]))
  assert.deepEqual(Object.keys(judge(nitroEvidence({ fields: { pcrs: of(48, 31, 8, 2, 1, 0) } })).registers), ['PCR0', 'PCR1', 'PCR2', 'PCR8', 'PCR31'])
  for (const [digest, length] of [['SHA256', 32], ['SHA512', 64]] as const) assert.equal(judge(nitroEvidence({ fields: { digest, pcrs: of(length, 0, 1, 2) } })).measurement.length, 2 * length)
  for (const digest of ['SHA1', 'sha384', 'toString', 'SHA-384']) fields({ digest }, 'evidence.parse', digest)
  fields({ digest: 'SHA256' }, 'cbor.syntax')
  for (const length of [0, 32, 47, 49, 64]) fields({ pcrs: of(length, 0, 1, 2) }, 'cbor.syntax', `${length} bytes`)
  for (const index of [32, -1, '3']) fields({ pcrs: of(48, 0, 1, 2, index) }, 'evidence.parse', String(index))
  for (const [a, b] of [[1, 2], [0, 2], [0, 1]]) fields({ pcrs: of(48, a, b) }, 'evidence.missing', `${a} ${b}`)
  fields({ pcrs: [] }, 'cbor.syntax')
})

test('fields: each there, of its kind and length, none twice, none unknown (attacks.md rows 10, 13)', () => {
  for (const name of ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle']) fields({ [name]: undefined }, 'evidence.missing', name)
  fields({ extra: 1 }, 'evidence.parse')
  altered({ payload: writeCbor(new Map<Writable, Writable>([...fieldsOf(), [1, 1]])) }, 'evidence.parse', 'a number as a key')
  for (const change of [{ module_id: '' }, { module_id: 'x'.repeat(257) }, { module_id: new Uint8Array(3) }, { timestamp: 0 }, { timestamp: -1 }, { timestamp: '0' }, { timestamp: 2n ** 63n }, { timestamp: { float: MADE * 1000 } }, { certificate: new Uint8Array(0) }, { certificate: new Uint8Array(1025) }, { cabundle: [] }, { cabundle: new Uint8Array(3) }, { cabundle: Array(7).fill(new Uint8Array(1)) }, { cabundle: [new Uint8Array(1025)] }, { cabundle: ['x'] },
    { public_key: new Uint8Array(0) }, { public_key: new Uint8Array(1025) }, { user_data: new Uint8Array(513) }, { nonce: new Uint8Array(513) }, { nonce: 'text' }, { user_data: undefined, nonce: false }] as Record<string, Writable>[]) fields(change, 'cbor.syntax')
  assert.ok(judge(nitroEvidence({ fields: { public_key: new Uint8Array(1024), user_data: new Uint8Array(512), nonce: new Uint8Array(512) } })))
  const twice = writeCbor(fieldsOf({ nonce: undefined, user_data: undefined }))
  const key = writeCbor(new Map<Writable, Writable>([['nonce', new Uint8Array(1)]])).subarray(1)
  altered({ payload: concat(new Uint8Array([0xa9]), twice.subarray(1), key, key) }, 'cbor.duplicate-key', 'nonce twice')
})

test('lengths: indefinite in the payload, as newer hypervisors write it, and nowhere else (attacks.md row 11)', () => {
  const definite = writeCbor(fieldsOf())
  const open = concat(new Uint8Array([0xbf]), definite.subarray(1), new Uint8Array([0xff]))
  assert.deepEqual(judge(nitroEvidence({ payload: open })), judge(nitroEvidence()))
  altered({ payload: open.subarray(0, -1) }, 'bytes.truncated', 'no break')
  altered({ payload: concat(definite, new Uint8Array([0xff])) }, 'bytes.trailing', 'a break without a beginning')
  const document = nitroDocument()
  refused(() => parseDocument(concat(new Uint8Array([0x9f]), document.subarray(1), new Uint8Array([0xff]))), 'cbor.non-canonical')
  refused(() => parseDocument(new Uint8Array(32 * 1024 + 1)), 'bytes.too-large')
})

test('headers: ES384, protected; an unprotected header is skipped as a whole', () => {
  const es256 = attempt(() => parseDocument(nitroDocument({ protected: new Map([[1, -7]]) })))
  assert.ok(!es256.ok && es256.refusal.code === 'crypto.algorithm')
  altered({ protected: new Map() }, 'crypto.algorithm', 'none')
  altered({ protected: new Map(), unprotected: new Map([[1, -35]]) }, 'crypto.algorithm', 'unprotected')
  altered({ unprotected: new Map([[1, -7]]) }, 'cose.header', 'in both')
  assert.ok(judge(nitroEvidence({ unprotected: new Map<Writable, Writable>([[4, utf8('kid')], ['payload', fieldsOf()]]) })))
})

test('the signature is the enclave’s', () => {
  altered({ signer: 'instance' }, 'evidence.signature', 'another signs')
  const good = nitroDocument()
  const bad = good.slice()
  bad[bad.length - 1] = (bad[bad.length - 1] ?? 0) ^ 1
  refused(() => judge({ kind: 'nitro', document: toBase64(bad) }), 'evidence.signature')
})

test('the chain: pinned root, exact order, nothing too many, nothing missing (attacks.md rows 21 to 25)', () => {
  const [root, region, zone, instance] = cabundle()
  if (root === undefined || region === undefined || zone === undefined || instance === undefined) assert.fail('four authorities')
  refused(() => verifyNitro(p, nitroEvidence(), { now: MADE }), 'x509.untrusted-root', 'under the root of AWS')
  assert.ok(verifyNitro(p, nitroEvidence(), { now: MADE }, [...nitroRoots(), ...roots]), 'one of several roots')
  fields({ cabundle: [root, zone, region, instance] }, 'evidence.chain', 'another order')
  fields({ cabundle: [instance, zone, region, root] }, 'x509.untrusted-root', 'the root last')
  fields({ cabundle: [region, zone, instance] }, 'x509.untrusted-root', 'no root')
  fields({ cabundle: [root, zone, instance] }, 'evidence.chain', 'one missing')
  fields({ cabundle: [root, region, zone, instance, instance] }, 'evidence.chain', 'one twice')
  fields({ cabundle: [root, region, zone, instance, nitroCertificate('stranger', 'root')] }, 'evidence.chain', 'a stranger')
  fields({ cabundle: [root, region, zone, nitroCertificate('instance', 'stranger', { issuer: 'zone' })] }, 'evidence.chain', 'a wrong signature')
  fields({ cabundle: [nitroCertificate('root', 'root', { serial: new Uint8Array([9]) }), region, zone, instance] }, 'x509.untrusted-root', 'the same name and key, another certificate')
  fields({ cabundle: [root, region, zone, nitroCertificate('instance', 'zone', { extensions: [keyUsage(0x80)] })] }, 'evidence.chain', 'no authority')
  fields({ cabundle: [root, region, nitroCertificate('zone', 'region', { extensions: [basicConstraintsCa(0), keyUsage(0x06)] }), instance] }, 'evidence.chain', 'path length')
  fields({ cabundle: [root, region, zone, nitroCertificate('instance', 'zone', { extensions: [basicConstraintsCa(0), keyUsage(0x06), { oid: '1.2.3', critical: true, value: new Uint8Array([5, 0]) }] })] }, 'evidence.chain', 'a critical extension')
  fields({ cabundle: [root, region, zone, utf8('no certificate')] }, 'bytes.truncated', 'no certificate')
})

test('the instance’s certificate may sign documents, and is no authority', () => {
  for (const extensions of [[], [keyUsage(0x04)], [keyUsage(0x01)], [basicConstraintsCa(), keyUsage(0x84)]]) fields({ certificate: nitroCertificate('enclave', 'instance', { extensions }) }, 'evidence.signer', String(extensions.length))
})

test('time: the certificates and the document, at the time of judging (attacks.md rows 22, 26)', () => {
  const good = nitroEvidence()
  refused(() => judge(good, { now: MADE + 3 * HOUR + 1 }), 'x509.expired')
  refused(() => judge(good, { now: MADE - 4 }), 'x509.not-yet-valid')
  assert.ok(judge(good, { now: MADE + 3 * HOUR }) && judge(good, { now: MADE - 3 }))
  fields({ timestamp: (MADE + 61) * 1000 }, 'x509.not-yet-valid', 'made later than now')
  fields({ timestamp: (MADE - 4) * 1000 }, 'x509.not-yet-valid', 'before its certificate')
  assert.ok(judge(nitroEvidence({ fields: { timestamp: (MADE + 60) * 1000 } })))
  assert.ok(judge(nitroEvidence({ fields: { timestamp: (MADE - 3) * 1000 } })))
  assert.ok(judge(nitroEvidence({ fields: { timestamp: (MADE + 3 * HOUR) * 1000 } }), { now: MADE + 3 * HOUR }))
  const late = nitroEvidence({ fields: { timestamp: (MADE + 3 * HOUR) * 1000 + 1 } })
  refused(() => judge(late, { now: MADE + 3 * HOUR }), 'x509.expired', 'made after its certificate')
  fields({ cabundle: [...cabundle().slice(0, 3), nitroCertificate('instance', 'zone', { notAfter: MADE - 1 })] }, 'x509.expired', 'an authority')
})

test('revocation lists: examined where they are, required where the policy says so', () => {
  const [ofRoot, ofRegion] = [nitroCrl('root'), nitroCrl('region')]
  assert.equal(judge(nitroEvidence({}, [ofRoot, ofRegion]), { requireCrl: true }).revocation, true)
  assert.equal(judge(nitroEvidence({}, [ofRoot, ofRegion])).endorsements.length, 7)
  assert.equal(judge(nitroEvidence({}, [ofRoot])).revocation, false)
  // One list where one place is named; none where none is.
  const under = (...names: ('root' | 'region')[]) => ({ fields: { cabundle: cabundle().slice(0, names.length), certificate: nitroCertificate('enclave', names.at(-1) ?? 'root') } })
  assert.equal(judge(nitroEvidence(under('root', 'region'), [ofRoot]), { requireCrl: true }).revocation, true)
  assert.equal(judge(nitroEvidence(under('root'))).revocation, false)
  refused(() => judge(nitroEvidence(under('root')), { requireCrl: true }), 'crl.missing')
  refused(() => judge(nitroEvidence({}, [ofRoot]), { requireCrl: true }), 'crl.missing')
  refused(() => judge(nitroEvidence(), { requireCrl: true }), 'crl.missing')
  refused(() => judge(nitroEvidence({}, [nitroCrl('root', ['region'.length]), ofRegion])), 'x509.revoked')
  refused(() => judge(nitroEvidence({}, [nitroCrl('root', [], MADE - 1), ofRegion])), 'crl.expired')
  refused(() => judge(nitroEvidence({}, [nitroCrl('stranger'), ofRegion])), 'evidence.chain')
})

test('a chain is verified once, and its time and root are examined on every hit (attacks.md row 26)', () => {
  let asked = 0
  const counting: Primitives = { ...p, verify: (...question) => { asked++; return p.verify(...question) } }
  const options = { cache: new Map(), now: MADE }
  for (const count of [5, 6, 7]) {
    judge(nitroEvidence(), options, counting)
    assert.equal(asked, count)
  }
  refused(() => judge(nitroEvidence(), { ...options, now: MADE + 4 * HOUR }), 'x509.expired')
  refused(() => judge(nitroEvidence(), { ...options, requireCrl: true }), 'crl.missing')
  refused(() => verifyNitro(p, nitroEvidence(), options), 'x509.untrusted-root')
  refused(() => judge(nitroEvidence({ signer: 'zone' }), options), 'evidence.signature')
})

test('every single-bit flip of a document is refused', () => {
  const port = rememberingPort(p)
  // A short chain and few registers: the fields are all there, and the loop is short.
  const document = nitroDocument({ fields: { cabundle: cabundle().slice(0, 1), certificate: nitroCertificate('enclave', 'root'), pcrs: new Map([0, 1, 2].map(index => [index, new Uint8Array(48).fill(7)])) } })
  judge({ kind: 'nitro', document: toBase64(document) }, {}, port)
  port.close()
  for (let bit = 0; bit < document.length * 8; bit++) {
    const flipped = document.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ 1 << (bit & 7)
    assert.ok(!attempt(() => judge({ kind: 'nitro', document: toBase64(flipped) }, {}, port)).ok, `bit ${bit}`)
  }
})

test('any fields at all: claims or a refusal, never an error', () => {
  const value = fc.oneof(fc.constantFrom<Writable>(null, 0, 1, 2n ** 64n - 1n, '', 'SHA384', [], new Map()), fc.uint8Array({ maxLength: 70 }), fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 3 }))
  const name = fc.constantFrom('module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle', 'public_key', 'user_data', 'nonce', 'other')
  const port: Primitives = { ...p, verify: () => true }
  fc.assert(fc.property(fc.dictionary(name, value, { maxKeys: 3 }), fc.boolean(), (change, tagged) => {
    const payload = writeCbor(fieldsOf(change))
    const document = writeCbor(tagged ? { tag: 18, value: [writeCbor(new Map([[1, -35]])), new Map(), payload, new Uint8Array(96)] } : [writeCbor(new Map([[1, -35]])), new Map(), payload, new Uint8Array(96)])
    attempt(() => judge({ kind: 'nitro', document: toBase64(document) }, {}, port))
  }), { numRuns: 300 })
})

test('the shape of the evidence', () => {
  const read = (text: string) => attempt(() => readNitro(parseJsonObject(text)))
  assert.ok(read('{"kind":"nitro","document":"AA=="}').ok && read('{"kind":"nitro","document":"AA==","crls":["AA=="]}').ok)
  for (const text of ['{"kind":"nitro"}', '{"kind":"nitro","document":1}', '{"kind":"nitro","document":"","certificates":[]}', '{"kind":"nitro","document":"","crls":"x"}', '{"kind":"nitro","document":"","crls":["","","","","","",""]}']) {
    const result = read(text)
    assert.ok(!result.ok && result.refusal.code === 'evidence.parse', text)
  }
  refused(() => judge({ kind: 'nitro', document: 'AA=' }), 'bytes.encoding')
})

test('the pinned root is AWS’s', () => {
  assert.deepEqual(nitroRoots().map(root => toHex(p.hash('sha256', root.der))), ['641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b'])
  assert.ok(NOW < MADE && fromBase64(nitroEvidence().document).length > 1000)
})
