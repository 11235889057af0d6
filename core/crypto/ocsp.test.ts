import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../bytes/bytes.ts'
import { der, derOid, derSequence, readDer, children, TAG } from '../bytes/der.ts'
import { toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, orRefuse, type RefusalCode, type Result } from '../refusal.ts'
import { authority, certificate, leaf, LEAF_EXTENSIONS, middle, MIDDLE, NOW, root, ROOT } from './chain.fixture.ts'
import { ECDSA_SHA384, keyUsage } from './issue.ts'
import { ocspDer, OCSP_SIGNING, type AnswerPlan, type OcspPlan } from './ocsp.fixture.ts'
import { checkOcsp, parseOcsp, sha1 } from './ocsp.ts'
import { portable as p } from './portable.ts'

const DAY = 86_400
const RESPONDER = authority('responder')
const responder = certificate(RESPONDER, MIDDLE, { serial: new Uint8Array([7]), extensions: [...LEAF_EXTENSIONS, OCSP_SIGNING] })
const WINDOW: [number, number] = [NOW - 3600, NOW + DAY]
const about = (change: Partial<AnswerPlan> = {}): AnswerPlan => ({ certificate: leaf, issuer: middle, window: WINDOW, ...change })
const plan = (change: Partial<OcspPlan> = {}): OcspPlan => ({ answers: [about()], responder, port: RESPONDER.port, ...change })
const judge = (change: Partial<OcspPlan> = {}, at = NOW) => attempt(() => orRefuse(checkOcsp(p, { certificate: leaf, issuer: middle, responses: [orRefuse(parseOcsp(ocspDer(plan(change))))], at })))
function refused(result: Result<unknown>, code: RefusalCode): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}

test('SHA-1 of the examples of FIPS 180 and of every length around a block', () => {
  assert.equal(toHex(sha1(utf8('abc'))), 'a9993e364706816aba3e25717850c26c9cd0d89d')
  assert.equal(toHex(sha1(utf8(''))), 'da39a3ee5e6b4b0d3255bfef95601890afd80709')
  assert.equal(toHex(sha1(utf8('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'))), '84983e441c3bd26ebaae4aa1f95129e5e54670f1')
  assert.equal(toHex(sha1(new Uint8Array(1000))), 'c577f7a37657053275f3e3ecc06ec22e6b909366')
  const lengths = [55, 56, 63, 64, 65, 119, 120].map(length => toHex(sha1(new Uint8Array(length).fill(0x61))))
  assert.deepEqual([lengths[0], lengths[1], lengths[3]], ['c1c8bbdc22796e28c0e15163d20899b65621d65a', 'c2db330f6083854c99d4b5bfb6e8f29f201be699', '0098ba824b5c16427bd7a1122a5a442a25ec644d'])
})

test('an answer by a delegated responder or by the issuer itself, named by key or by name, in every hash', () => {
  for (const by of ['key', 'name'] as const) for (const hash of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
    const result = judge({ by, answers: [about({ hash })] })
    assert.ok(result.ok, JSON.stringify(result))
    assert.deepEqual([result.value?.notBefore, result.value?.notAfter, result.value?.responder.subjectCommonName], [...WINDOW, 'responder'])
  }
  const own = judge({ responder: middle, port: MIDDLE.port, certificates: [] })
  assert.ok(own.ok && own.value?.responder.subjectCommonName === 'middle')
  for (const at of WINDOW) assert.ok(judge({}, at).ok)
})

test('of several answers about one certificate each must hold, and the longest is the proof', () => {
  const longer = about({ window: [NOW - 60, NOW + 2 * DAY] })
  const result = judge({ answers: [about(), longer, about()] })
  assert.equal(result.ok && result.value?.notAfter, NOW + 2 * DAY)
  refused(judge({ answers: [about(), about({ status: { revokedAt: NOW - 5 } })] }), 'x509.revoked')
  refused(judge({ answers: [about(), about({ window: [NOW - 2 * DAY, NOW - DAY] })] }), 'crl.expired')
})

test('answers about another certificate, or of another issuer, say nothing', () => {
  const other = certificate(authority('other'), MIDDLE, { serial: new Uint8Array([9]), extensions: LEAF_EXTENSIONS })
  for (const answer of [about({ certificate: other }), about({ issuer: root })]) assert.deepEqual(judge({ answers: [answer] }), { ok: true, value: undefined })
  const renamed = { ...middle, subject: root.subject }
  const rekeyed = { ...middle, publicKey: root.publicKey }
  for (const issuer of [renamed, rekeyed]) assert.deepEqual(judge({ answers: [about({ issuer })] }), { ok: true, value: undefined })
  assert.deepEqual(judge({ answers: [] }), { ok: true, value: undefined })
})

test('revoked, on hold and unknown are refused (attacks.md row 27)', () => {
  refused(judge({ answers: [about({ status: { revokedAt: NOW - DAY } })] }), 'x509.revoked')
  const hold = judge({ answers: [about({ status: { revokedAt: NOW - DAY, reason: 6 } })] })
  refused(hold, 'x509.revoked')
  assert.match(hold.ok ? '' : hold.refusal.got, /hold/)
  refused(judge({ answers: [about({ status: 'unknown' })] }), 'crl.missing')
})

test('an answer outside its time, or without an end, is not current (attacks.md row 26)', () => {
  refused(judge({}, WINDOW[0] - 1), 'crl.expired')
  refused(judge({}, WINDOW[1] + 1), 'crl.expired')
  refused(judge({ answers: [about({ window: [NOW - 1, undefined] })] }), 'crl.expired')
})

test('a response signed by another key, or altered in any bit, is refused', () => {
  refused(judge({ port: authority('forger').port }), 'crl.signature')
  const honest = ocspDer(plan())
  assert.ok(attempt(() => checkOcsp(p, { certificate: leaf, issuer: middle, responses: [orRefuse(parseOcsp(honest))], at: NOW })).ok)
  for (let bit = 0; bit < honest.length * 8; bit += 5) {
    const altered = honest.slice()
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const result = attempt(() => orRefuse(checkOcsp(p, { certificate: leaf, issuer: middle, responses: [orRefuse(parseOcsp(altered))], at: NOW })))
    assert.ok(!result.ok || result.value === undefined, `bit ${bit}`)
  }
})

test('the responder must be named, be made by the issuer, for this task, and be in force', () => {
  const made = (change: Parameters<typeof certificate>[2], by = MIDDLE) => certificate(RESPONDER, by, { serial: new Uint8Array([7]), extensions: [...LEAF_EXTENSIONS, OCSP_SIGNING], ...change })
  refused(judge({ certificates: [] }), 'crl.issuer')
  refused(judge({ certificates: [leaf.der] }), 'crl.issuer')
  const wrong = [made({ extensions: LEAF_EXTENSIONS }), made({ extensions: [...LEAF_EXTENSIONS, { ...OCSP_SIGNING, value: derSequence(derOid('1.3.6.1.5.5.7.3.1')) }] }), made({}, ROOT), made({}, authority('middle', 'another key')), made({ notAfter: NOW - 1 }), made({ notBefore: NOW + 1 }), made({ extensions: [keyUsage(0x04), OCSP_SIGNING] })]
  for (const one of wrong) refused(judge({ responder: one }), 'crl.issuer')
  refused(judge({ responder: root, port: ROOT.port }), 'crl.issuer')
})

test('only the form of RFC 6960, within limits', () => {
  const parse = (change: Partial<OcspPlan>) => parseOcsp(ocspDer(plan(change)))
  const extension = (critical: boolean) => derSequence(derSequence(derOid('1.3.6.1.5.5.7.48.1.2'), ...(critical ? [der(TAG.boolean, new Uint8Array([255]))] : []), der(TAG.octetString, new Uint8Array([4, 0]))))
  assert.ok(parse({ extensions: extension(false) }).ok)
  assert.ok(parse({ answers: [about({ extensions: extension(false) })] }).ok)
  refused(parse({ extensions: extension(true) }), 'x509.critical-extension')
  refused(parse({ answers: [about({ extensions: extension(true) })] }), 'x509.critical-extension')
  refused(parse({ status: 6 }), 'x509.parse')
  refused(parse({ type: '1.3.6.1.5.5.7.48.1.2' }), 'x509.parse')
  refused(parse({ port: { ...RESPONDER.port, algorithm: derSequence(derOid('1.2.840.10045.4.1')) } }), 'crypto.algorithm')
  refused(parse({ port: { ...RESPONDER.port, algorithm: concat(derSequence(derOid('1.2.840.10045.4.3.3'), derOid('1.2.3'))) } }), 'crypto.algorithm')
  refused(judge({ port: { ...RESPONDER.port, algorithm: ECDSA_SHA384 } }), 'crl.signature')
  refused(parse({ answers: Array.from({ length: 65 }, () => about()) }), 'bytes.too-large')
  refused(parse({ certificates: Array.from({ length: 5 }, () => responder.der) }), 'bytes.too-large')
  refused(parseOcsp(new Uint8Array(70_000)), 'bytes.too-large')
  refused(parseOcsp(concat(ocspDer(plan()), new Uint8Array(1))), 'bytes.trailing')
  const [status, holder] = children(readDer(ocspDer(plan())))
  refused(parseOcsp(derSequence(status?.whole ?? new Uint8Array(), holder?.whole ?? new Uint8Array(), der(TAG.null))), 'x509.parse')
  refused(parseOcsp(derSequence(status?.whole ?? new Uint8Array())), 'x509.parse')
})

/** The children of the element at a path exchanged; an OCTET STRING on the way is entered. */
function edit(bytes: Uint8Array, path: readonly number[], change: (parts: Uint8Array[]) => Uint8Array[]): Uint8Array {
  const element = readDer(bytes)
  if (element.tag === TAG.octetString) return der(TAG.octetString, edit(element.content, path, change))
  const parts = children(element, element.tag).map(one => one.whole)
  const [step, ...rest] = path
  return der(element.tag, ...(step === undefined ? change(parts) : parts.map((part, i) => (i === step ? edit(part, rest, change) : part))))
}

test('each part of a response where it belongs, of its type, and no other part', () => {
  const [TOP, BASIC, DATA, ANSWER] = [[], [1, 0, 1], [1, 0, 1, 0], [1, 0, 1, 0, 2, 0]] as const
  const NULL = der(TAG.null)
  const parse = (path: readonly number[], change: (parts: Uint8Array[]) => Uint8Array[], of: Partial<OcspPlan> = {}) => parseOcsp(edit(ocspDer(plan(of)), path, change))
  const put = (at: number, part: Uint8Array) => (parts: Uint8Array[]) => parts.map((one, i) => (i === at ? part : one))
  const add = (part: Uint8Array) => (parts: Uint8Array[]) => [...parts, part]
  const cut = (length: number) => (parts: Uint8Array[]) => parts.slice(0, length)
  const form = (...of: Parameters<typeof parse>) => refused(parse(...of), 'x509.parse')
  assert.ok(parse(TOP, parts => parts).ok)
  form(TOP, add(NULL))
  form([1], add(NULL))
  form([1, 0], add(NULL))
  form(BASIC, add(NULL))
  form(BASIC, cut(1))
  form([...BASIC, 3], add(NULL))
  refused(parse(DATA, parts => [der(0xa0, new Uint8Array([2, 1, 0])), ...parts]), 'der.non-canonical')
  form(DATA, add(der(0xa2, derSequence())))
  form(DATA, cut(2))
  form(DATA, put(0, der(0xa1)))
  form(DATA, put(0, der(0xa2, der(TAG.octetString, new Uint8Array(19)))))
  refused(parse(DATA, put(0, NULL)), 'der.tag')
  refused(parse(DATA, put(1, der(TAG.utcTime, utf8('260101000000Z')))), 'der.tag')
  form(ANSWER, add(der(0xa2, derSequence())))
  form(ANSWER, cut(1))
  refused(parse(ANSWER, put(2, der(TAG.utcTime, utf8('260101000000Z')))), 'der.tag')
  refused(parse(ANSWER, cut(2)), 'crl.expired')
  form([...ANSWER, 0], add(NULL))
  refused(parse([...ANSWER, 0], cut(0)), 'x509.parse')
  form(ANSWER, put(1, der(0x83)))
  form(ANSWER, put(1, der(0x80, new Uint8Array(1))))
  form(ANSWER, put(1, der(0x82, new Uint8Array(1))))
  form([...ANSWER, 1], add(NULL), { answers: [about({ status: { revokedAt: NOW, reason: 1 } })] })
  assert.equal(orRefuse(parse(ANSWER, parts => parts, { answers: [about({ status: { revokedAt: NOW, reason: 1 } })] })).answers[0]?.reason, 1)
})
