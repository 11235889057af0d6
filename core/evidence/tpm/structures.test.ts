import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { PCR_COUNT, readAttest, readPublicArea, readSignature, signatureHolds } from './structures.ts'
import { AK, AK384, AK_ATTRIBUTES, AK_RSAPSS, AK_RSASSA, areaOf, attestOf, be, nvAttestOf, selection, tpm2b } from './tpm.fixture.ts'

function refused(run: () => unknown, code: RefusalCode, at?: string): void {
  const result = attempt(run)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const all = [...Array(PCR_COUNT).keys()]

test('a quote: nonce, clock, firmware, selection in its order, digest', () => {
  const attest = readAttest(attestOf({ selections: [selection(12, [0, 9, 23]), selection(11, all)] }))
  assert.ok(attest.type === 'quote')
  assert.deepEqual([attest.extraData, attest.clock, attest.firmwareVersion, attest.pcrDigest.length], [utf8('nonce'), { milliseconds: 5n, resetCount: 2, restartCount: 1, safe: true }, '0000000020190b23', 32])
  assert.deepEqual(attest.selections, [{ bank: 'sha384', indexes: [0, 9, 23] }, { bank: 'sha256', indexes: all }])
})

test('NV contents: index, offset, bytes', () => {
  const attest = readAttest(nvAttestOf(utf8('contents')))
  assert.ok(attest.type === 'nv')
  assert.deepEqual([attest.indexName, attest.offset, attest.contents], ['000b01', 4, utf8('contents')])
})

test('every field of an attestation that is not as the specification says is refused', () => {
  refused(() => readAttest(attestOf({ magic: 0xff544346 })), 'evidence.parse', 'message.magic')
  refused(() => readAttest(attestOf({ type: 0x8017 })), 'evidence.parse', 'message.type')
  refused(() => readAttest(attestOf({ signer: new Uint8Array(67) })), 'bytes.too-large')
  refused(() => readAttest(attestOf({ nonce: new Uint8Array(67) })), 'bytes.too-large')
  refused(() => readAttest(attestOf({ safe: 2 })), 'evidence.parse', 'message.clockInfo.safe')
  refused(() => readAttest(attestOf({ count: 0 })), 'evidence.parse', 'message.pcrSelect')
  refused(() => readAttest(attestOf({ count: 9, selections: [selection(11, [0])] })), 'evidence.parse', 'message.pcrSelect')
  refused(() => readAttest(attestOf({ count: 2, selections: [selection(11, [0])] })), 'evidence.parse')
  refused(() => readAttest(attestOf({ selections: [selection(0x12, [0])] })), 'evidence.parse', 'message.pcrSelect[0]')
  refused(() => readAttest(attestOf({ selections: [selection(11, [0]), selection(11, [1])] })), 'evidence.parse', 'message.pcrSelect[1]')
  refused(() => readAttest(attestOf({ selections: [selection(11, [], 0)] })), 'evidence.parse')
  refused(() => readAttest(attestOf({ selections: [selection(11, [], 5)] })), 'evidence.parse')
  refused(() => readAttest(attestOf({ selections: [selection(11, [24], 4)] })), 'evidence.reserved-bits')
  refused(() => readAttest(attestOf({ digest: new Uint8Array(65), selections: [selection(11, [0])] })), 'bytes.too-large')
  refused(() => readAttest(attestOf({ tail: new Uint8Array(1), selections: [selection(11, [0])] })), 'bytes.trailing')
  refused(() => readAttest(nvAttestOf(new Uint8Array(2049))), 'bytes.too-large')
  refused(() => readAttest(new Uint8Array(4097)), 'bytes.too-large')
  assert.ok(attempt(() => readAttest(attestOf({ selections: [selection(11, [0], 1), selection(12, [23], 4)] }))).ok)
  // The largest of each.
  assert.ok(attempt(() => readAttest(attestOf({ signer: new Uint8Array(66), nonce: new Uint8Array(66), safe: 0, digest: new Uint8Array(64), selections: [4, 11, 12, 13].map(bank => selection(bank, all)) }))).ok)
  assert.ok(attempt(() => readAttest(nvAttestOf(new Uint8Array(2048)))).ok)
  const unsafe = readAttest(attestOf({ safe: 0, selections: [selection(11, [0])] }))
  assert.equal(unsafe.clock.safe, false)
})

test('an attestation cut anywhere, or with any length changed, is refused (attacks.md rows 2 and 3)', () => {
  for (const bytes of [attestOf({ selections: [selection(11, all)] }), nvAttestOf(utf8('x'))]) {
    for (let length = 0; length < bytes.length; length++) assert.ok(!attempt(() => readAttest(bytes.slice(0, length))).ok)
  }
  const bytes = attestOf({ selections: [selection(11, all)] })
  for (const at of [7, 43, bytes.length - 33]) for (const by of [-1, 1]) refusedAt(bytes, at, by)
})
function refusedAt(bytes: Uint8Array, at: number, by: number): void {
  assert.ok(!attempt(() => readAttest(bytes.with(at, ((bytes[at] ?? 0) + by) & 255))).ok, `byte ${at}`)
}

test('signatures: RSASSA, RSAPSS and ECDSA hold under their keys, and under no other', () => {
  const message = utf8('message')
  const keys = [AK, AK384, AK_RSASSA, AK_RSAPSS]
  for (const key of keys) {
    const signature = readSignature(key.sign(message))
    for (const other of keys) assert.equal(signatureHolds(p, other.key, message, signature), other.key === key.key, `${signature.scheme} under ${other.key.kind}`)
    assert.ok(!signatureHolds(p, key.key, utf8('another'), signature))
  }
  assert.ok(!signatureHolds(p, AK_RSASSA.key, message, { ...readSignature(AK_RSASSA.sign(message)), scheme: 'rsapss' }))
  assert.ok(!signatureHolds(p, AK_RSASSA.key, message, { ...readSignature(AK_RSASSA.sign(message)), scheme: 'ecdsa' }))
  assert.ok(!signatureHolds(p, AK.key, message, { ...readSignature(AK.sign(message)), scheme: 'rsassa' }))
  assert.ok(!signatureHolds(p, AK.key, message, { ...readSignature(AK.sign(message)), hash: 'sha512' }))
  assert.ok(!signatureHolds(p, { kind: 'ed25519', raw: new Uint8Array(32) }, message, readSignature(AK.sign(message))))
})

test('r and s may be shorter than their field, never longer', () => {
  for (let i = 0; i < 600; i++) {
    const message = utf8(`message ${i}`)
    const { parts: [r = new Uint8Array(), s = new Uint8Array()], ...rest } = readSignature(AK.sign(message))
    if (r[0] !== 0) continue
    assert.ok(signatureHolds(p, AK.key, message, { ...rest, parts: [r.subarray(1), s] }))
    assert.ok(!signatureHolds(p, AK.key, message, { ...rest, parts: [concat(new Uint8Array(1), r), s] }))
    return
  }
  assert.fail('no short r in 600 signatures')
})

test('an unknown scheme, SHA-1 and trailing bytes are refused', () => {
  refused(() => readSignature(concat(be(0x15, 2), be(11, 2), tpm2b(utf8('x')))), 'crypto.algorithm')
  refused(() => readSignature(concat(be(0x14, 2), be(4, 2), tpm2b(utf8('x')))), 'crypto.algorithm')
  refused(() => readSignature(concat(AK.sign(utf8('x')), new Uint8Array(1))), 'bytes.trailing')
  refused(() => readSignature(AK.sign(utf8('x')).slice(0, -1)), 'bytes.truncated')
  refused(() => readSignature(concat(be(0x18, 2), be(11, 2), tpm2b(new Uint8Array(67)), tpm2b(utf8('x')))), 'bytes.too-large')
  refused(() => readSignature(new Uint8Array(2049)), 'bytes.too-large')
})

test('public areas give key, attributes, scheme and Name, bare or with their size', () => {
  for (const ak of [AK, AK384, AK_RSASSA, AK_RSAPSS]) {
    const bytes = areaOf(ak)
    const area = readPublicArea(p, bytes)
    assert.deepEqual(area.key, ak.key)
    assert.deepEqual(area.attributes, ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign'])
    assert.equal(area.name, `000b${toHex(p.hash('sha256', bytes))}`)
    assert.deepEqual(readPublicArea(p, tpm2b(bytes)), area)
  }
  assert.equal(readPublicArea(p, areaOf(AK, { nameAlg: 12 })).name.slice(0, 4), '000c')
  const open = readPublicArea(p, areaOf(AK, { scheme: be(0x10, 2) }))
  assert.deepEqual([open.scheme, open.schemeHash], [undefined, undefined])
  assert.deepEqual(readPublicArea(p, areaOf(AK, { symmetric: concat(be(6, 2), be(128, 2), be(0x43, 2)), parameters: concat(be(3, 2), be(0x20, 2), be(11, 2)) })).key, AK.key)
  for (const [e, bytes] of [[3, [3]], [257, [1, 1]], [65537, [1, 0, 1]], [0x01000001, [1, 0, 0, 1]]] as const) {
    const { key } = readPublicArea(p, areaOf(AK_RSASSA, { parameters: concat(be(2048, 2), be(e, 4)) }))
    assert.deepEqual(key.kind === 'rsa' && [...key.e], bytes)
  }
  const short = readPublicArea(p, areaOf(AK, { unique: concat(tpm2b(new Uint8Array([5])), tpm2b(new Uint8Array([6]))) })).key
  assert.ok(short.kind === 'p256' && short.raw[32] === 5 && short.raw[64] === 6)
})

test('every field of a public area that is not as the specification says is refused', () => {
  refused(() => readPublicArea(p, areaOf(AK, { type: 8 })), 'crypto.key')
  refused(() => readPublicArea(p, areaOf(AK, { nameAlg: 4 })), 'crypto.algorithm', 'ak.nameAlg')
  for (const bit of [0, 3, 12, 15, 20, 31]) refused(() => readPublicArea(p, areaOf(AK, { attributes: AK_ATTRIBUTES + 2 ** bit })), 'evidence.reserved-bits', 'ak.objectAttributes')
  refused(() => readPublicArea(p, areaOf(AK, { policy: new Uint8Array(65) })), 'bytes.too-large')
  refused(() => readPublicArea(p, areaOf(AK, { scheme: concat(be(0x1a, 2), be(11, 2)) })), 'crypto.algorithm', 'ak.scheme')
  refused(() => readPublicArea(p, areaOf(AK, { scheme: concat(be(0x18, 2), be(4, 2)) })), 'crypto.algorithm', 'ak.scheme')
  refused(() => readPublicArea(p, areaOf(AK, { parameters: concat(be(5, 2), be(0x10, 2)) })), 'crypto.key')
  refused(() => readPublicArea(p, areaOf(AK, { unique: concat(tpm2b(new Uint8Array(33)), tpm2b(new Uint8Array(32))) })), 'bytes.too-large')
  refused(() => readPublicArea(p, areaOf(AK_RSASSA, { parameters: concat(be(3072, 2), be(0, 4)) })), 'crypto.key')
  refused(() => readPublicArea(p, areaOf(AK_RSASSA, { unique: tpm2b(concat(new Uint8Array(1), new Uint8Array(255).fill(255))) })), 'crypto.key')
  refused(() => readPublicArea(p, areaOf(AK, { tail: new Uint8Array(1) })), 'bytes.trailing')
  refused(() => readPublicArea(p, new Uint8Array(2049)), 'bytes.too-large')
  const bytes = areaOf(AK)
  for (let length = 0; length < bytes.length; length++) assert.ok(!attempt(() => readPublicArea(p, bytes.slice(0, length))).ok)
})

const attests = fc.record({
  magic: fc.constantFrom(0xff544347, 0xff544348), type: fc.constantFrom(0x8018, 0x8014, 0x8017), signer: fc.uint8Array({ maxLength: 70 }), nonce: fc.uint8Array({ maxLength: 70 }), safe: fc.nat(2), digest: fc.uint8Array({ maxLength: 66 }),
  selections: fc.array(fc.tuple(fc.constantFrom(4, 11, 12, 13, 18), fc.uniqueArray(fc.nat(31), { maxLength: 6 }), fc.constantFrom(1, 3, 4, 5)).map(([bank, indexes, size]) => selection(bank, indexes.filter(index => index < 8 * size), size)), { maxLength: 4 }), tail: fc.uint8Array({ maxLength: 1 }),
}, { requiredKeys: [] })

test('a structure from the grammar, changed anywhere, is read or refused, never more', () => {
  fc.assert(fc.property(attests, fc.option(fc.tuple(fc.nat(), fc.nat(7))), (plan, flip) => {
    const bytes = attestOf(plan)
    if (flip !== null) bytes[flip[0] % bytes.length] = (bytes[flip[0] % bytes.length] ?? 0) ^ (1 << flip[1])
    const result = attempt(() => readAttest(bytes))
    if (result.ok && result.value.type === 'quote') assert.ok(result.value.selections.every(one => one.indexes.every(index => index < PCR_COUNT)))
  }), { numRuns: 500 })
  fc.assert(fc.property(fc.constantFrom(AK, AK384, AK_RSASSA), fc.nat(), fc.nat(255), (ak, where, value) => {
    const bytes = areaOf(ak)
    const result = attempt(() => readPublicArea(p, bytes.with(where % bytes.length, value)))
    if (result.ok && bytes[where % bytes.length] !== value) assert.notEqual(result.value.name, readPublicArea(p, bytes).name)
  }), { numRuns: 500 })
})
