import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../bytes/bytes.ts'
import { der, derInteger, derOid, derSequence, TAG } from '../bytes/der.ts'
import { utf8 } from '../bytes/text.ts'
import type { RefusalCode, Result } from '../refusal.ts'
import { authority, CA_EXTENSIONS, certificate, certificateDer, crl, crlDer, LEAF, LEAF_EXTENSIONS, leaf, MIDDLE, middle, NOW, ROOT, root } from './chain.fixture.ts'
import { basicConstraintsCa, ECDSA_SHA384, keyUsage, PSS_SHA384, type CertificatePlan } from './issue.ts'
import { keyToSpki } from './keys.ts'
import { portable as p } from './portable.ts'
import { parseCertificate, parseCrl, validateChain, type ChainInput } from './x509.ts'

const DAY = 86_400
const good: ChainInput = { leaf, intermediates: [middle], roots: [root], at: NOW }
const judge = (change: Partial<ChainInput> = {}) => validateChain(p, { ...good, ...change })
function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const leafWith = (...extensions: CertificatePlan['extensions']) => certificate(LEAF, MIDDLE, { extensions: [...LEAF_EXTENSIONS, ...extensions] })

test('an honest chain holds, in any order of its intermediates, at both ends of its time', () => {
  const stray = certificate(authority('stray'), ROOT)
  for (const at of [NOW, leaf.notBefore, leaf.notAfter]) {
    const result = judge({ intermediates: [stray, middle, root], at })
    assert.ok(result.ok, JSON.stringify(result))
    assert.deepEqual(result.value.path.map(one => one.subjectCommonName), ['leaf', 'middle', 'root'])
    assert.deepEqual([result.value.notBefore, result.value.notAfter], [leaf.notBefore, leaf.notAfter])
  }
  assert.ok(judge({ leaf: certificate(LEAF, ROOT, { extensions: LEAF_EXTENSIONS }), intermediates: [] }).ok)
})

test('serial number 0 is accepted: every AMD endorsement key has it', () => {
  const zero = certificate(LEAF, MIDDLE, { serial: new Uint8Array([0]), extensions: LEAF_EXTENSIONS })
  assert.equal(zero.serial, '00')
  assert.ok(judge({ leaf: zero }).ok)
  refused(judge({ leaf: zero, crls: [crl(MIDDLE, [0])] }), 'x509.revoked')
})

test('the shortest time of the path and its lists is the time of the chain (attacks.md row 26)', () => {
  const short = certificate(MIDDLE, ROOT, { notBefore: NOW - 5, notAfter: NOW + 5 })
  const result = judge({ intermediates: [short] })
  assert.ok(result.ok && result.value.notBefore === NOW - 5 && result.value.notAfter === NOW + 5)
  const listed = judge({ crls: [crl(MIDDLE, [], NOW - 2, NOW + 3), crl(ROOT)], requireCrl: true })
  assert.ok(listed.ok && listed.value.notBefore === NOW - 2 && listed.value.notAfter === NOW + 3)
  refused(judge({ intermediates: [short], at: NOW + 6 }), 'x509.expired', 'chain[1]')
  refused(judge({ intermediates: [short], at: NOW - 6 }), 'x509.not-yet-valid', 'chain[1]')
  refused(judge({ roots: [certificate(ROOT, ROOT, { notAfter: NOW - 1 })] }), 'x509.expired', 'chain[2]')
})

test('every signature is checked, whatever the names and key ids say (attacks.md rows 21, 22)', () => {
  const mallory = authority('middle', 'mallory')
  const identifier = { oid: '2.5.29.35', value: derSequence(der(0x80)) }
  refused(judge({ leaf: certificate(LEAF, mallory, { extensions: LEAF_EXTENSIONS }) }), 'x509.signature', 'chain[0]')
  refused(judge({ leaf: certificate(LEAF, mallory, { extensions: [...LEAF_EXTENSIONS, identifier] }), intermediates: [certificate(MIDDLE, ROOT, { extensions: [...CA_EXTENSIONS, { oid: '2.5.29.14', value: der(TAG.octetString) }] })] }), 'x509.signature', 'chain[0]')
  refused(judge({ intermediates: [certificate(MIDDLE, authority('root', 'mallory'))] }), 'x509.signature', 'chain[1]')
  refused(judge({ intermediates: [] }), 'x509.issuer', 'chain[0]')
  refused(judge({ leaf: certificate(LEAF, { ...MIDDLE, port: { ...MIDDLE.port, algorithm: ECDSA_SHA384 } }, { extensions: LEAF_EXTENSIONS }) }), 'x509.signature', 'chain[0]')
  refused(judge({ leaf: certificate(LEAF, { ...MIDDLE, port: { ...MIDDLE.port, algorithm: PSS_SHA384 } }, { extensions: LEAF_EXTENSIONS }) }), 'x509.signature', 'chain[0]')
})

test('only a pinned root ends a path (attacks.md row 23)', () => {
  const other = authority('root', 'other')
  const chainOf = (ca: ReturnType<typeof authority>) => ({ leaf: certificate(LEAF, ca, { extensions: LEAF_EXTENSIONS }), intermediates: [certificate(ca, ca)] })
  refused(judge(chainOf(authority('another'))), 'x509.untrusted-root')
  refused(judge(chainOf(other)), 'x509.signature')
  refused(judge({ roots: [] }), 'x509.issuer')
  refused(judge({ leaf: root, intermediates: [] }), 'x509.untrusted-root')
  refused(judge({ leaf: certificate(LEAF, LEAF) }), 'x509.untrusted-root')
  assert.ok(judge({ roots: [middle], intermediates: [] }).ok, 'a pinned intermediate is a root')
})

test('who may issue (attacks.md row 24)', () => {
  const by = (...extensions: CertificatePlan['extensions']) => judge({ intermediates: [certificate(MIDDLE, ROOT, { extensions })] })
  refused(by(), 'x509.not-a-ca', 'chain[1]')
  refused(by(keyUsage(0x04)), 'x509.not-a-ca', 'chain[1]')
  refused(by({ oid: '2.5.29.19', critical: true, value: derSequence() }, keyUsage(0x04)), 'x509.not-a-ca', 'chain[1]')
  refused(by(basicConstraintsCa()), 'x509.key-usage', 'chain[1]')
  refused(by(basicConstraintsCa(), keyUsage(0x82)), 'x509.key-usage', 'chain[1]')
  refused(judge({ leaf: certificate(LEAF, MIDDLE, { extensions: [keyUsage(0x04)] }) }), 'x509.key-usage', 'chain[0]')
  const below = (length: number) => judge({ roots: [certificate(ROOT, ROOT, { extensions: [basicConstraintsCa(length), keyUsage(0x06)] })] })
  refused(below(0), 'x509.path-length', 'chain[2]')
  assert.ok(below(1).ok)
  const deep = authority('deep')
  const sub = certificate(deep, MIDDLE)
  const shallow = certificate(MIDDLE, ROOT, { extensions: [basicConstraintsCa(0), keyUsage(0x06)] })
  refused(judge({ leaf: certificate(LEAF, deep, { extensions: LEAF_EXTENSIONS }), intermediates: [sub, shallow] }), 'x509.path-length', 'chain[2]')
})

test('circles and crowds of certificates end (attacks.md row 4)', () => {
  const [a, b] = [authority('a'), authority('b')]
  refused(judge({ leaf: certificate(LEAF, a, { extensions: LEAF_EXTENSIONS }), intermediates: [certificate(a, b), certificate(b, a)] }), 'x509.issuer')
  const line = Array.from({ length: 9 }, (_, i) => authority(`ca ${i}`))
  const links = line.slice(1).map((ca, i) => certificate(line[i] ?? ca, ca))
  refused(judge({ leaf: certificate(LEAF, line[0] ?? LEAF, { extensions: LEAF_EXTENSIONS }), intermediates: links }), 'x509.path-length', 'chain')
  refused(judge({ intermediates: Array.from({ length: 17 }, () => middle) }), 'bytes.too-large')
})

test('an unknown critical extension refuses, unless the caller examines it (attacks.md row 27)', () => {
  const odd = { oid: '1.3.6.1.4.1.3704.1.1', critical: true, value: derInteger(new Uint8Array([1])) }
  refused(judge({ leaf: leafWith(odd) }), 'x509.critical-extension', 'chain[0]')
  assert.ok(judge({ leaf: leafWith(odd), criticalKnown: [odd.oid] }).ok)
  assert.ok(judge({ leaf: leafWith({ ...odd, critical: false }) }).ok)
  refused(judge({ intermediates: [certificate(MIDDLE, ROOT, { extensions: [...CA_EXTENSIONS, odd] })] }), 'x509.critical-extension', 'chain[1]')
})

test('revocation: each way in which a list may be absent or wrong (attacks.md row 25)', () => {
  const lists = [crl(MIDDLE, [7]), crl(ROOT, [8])]
  assert.ok(judge({ crls: lists, requireCrl: true }).ok)
  refused(judge({ crls: [crl(MIDDLE, [7, 1]), crl(ROOT)] }), 'x509.revoked')
  refused(judge({ crls: [crl(MIDDLE), crl(ROOT, [1])] }), 'x509.revoked')
  refused(judge({ requireCrl: true }), 'crl.missing')
  refused(judge({ crls: [crl(MIDDLE)], requireCrl: true }), 'crl.missing')
  refused(judge({ crls: [crl(authority('someone'), [1])], requireCrl: true }), 'crl.missing')
  refused(judge({ crls: [crl(MIDDLE, [], NOW - DAY, NOW - 1)] }), 'crl.expired')
  refused(judge({ crls: [crl(MIDDLE, [], NOW + 1, NOW + DAY)] }), 'crl.expired')
  refused(judge({ crls: [crl(authority('middle', 'mallory'))] }), 'crl.signature')
  refused(judge({ crls: [crl(MIDDLE), crl(MIDDLE, [1])] }), 'x509.revoked')
  refused(judge({ intermediates: [certificate(MIDDLE, ROOT, { extensions: [basicConstraintsCa(), keyUsage(0x04)] })], crls: [crl(MIDDLE)] }), 'crl.issuer')
})

test('lists: no nextUpdate, critical extensions, other fields, cut or longer', () => {
  const make = (...fields: Uint8Array[]) => {
    const tbs = derSequence(derInteger(new Uint8Array([1])), ROOT.port.algorithm, root.subject, der(TAG.utcTime, utf8('260101000000Z')), ...fields)
    return parseCrl(derSequence(tbs, ROOT.port.algorithm, der(TAG.bitString, new Uint8Array([0]), ROOT.port.sign(tbs))))
  }
  const until = der(TAG.utcTime, utf8('270101000000Z'))
  const extension = (critical: boolean) => derSequence(derSequence(derOid('2.5.29.27'), ...(critical ? [der(TAG.boolean, new Uint8Array([255]))] : []), der(TAG.octetString, derInteger(new Uint8Array([1])))))
  const entry = (...more: Uint8Array[]) => derSequence(derSequence(derInteger(new Uint8Array([5])), der(TAG.utcTime, utf8('260101000000Z')), ...more))
  assert.ok(make(until).ok && make(until, entry()).ok && make(until, entry(), der(0xa0, extension(false))).ok && make(until, entry(extension(false))).ok)
  refused(make(), 'crl.expired')
  refused(make(entry()), 'crl.expired')
  refused(make(until, der(0xa0, extension(true))), 'x509.critical-extension')
  refused(make(until, entry(extension(true))), 'x509.critical-extension')
  refused(make(until, entry(), der(0xa1)), 'x509.parse')
  refused(make(until, entry(), der(0xa0, extension(false)), der(0xa0, extension(false))), 'x509.parse')
  const bytes = crlDer(ROOT, [1, 2])
  for (let length = 0; length < bytes.length; length += 7) assert.ok(!parseCrl(bytes.subarray(0, length)).ok)
  refused(parseCrl(concat(bytes, new Uint8Array(1))), 'bytes.trailing')
})

test('a changed byte anywhere in a leaf never gives a chain, nor an error (attacks.md rows 3, 8, 21)', () => {
  const bytes = leaf.der
  fc.assert(fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
    const changed = bytes.slice()
    changed[at] = (changed[at] ?? 0) ^ mask
    const parsed = parseCertificate(changed)
    if (parsed.ok) assert.ok(!judge({ leaf: parsed.value }).ok)
  }), { numRuns: 150 })
  for (let length = 0; length < bytes.length; length += 11) assert.ok(!parseCertificate(bytes.subarray(0, length)).ok)
  refused(parseCertificate(concat(bytes, new Uint8Array(1))), 'bytes.trailing')
  refused(parseCertificate(new Uint8Array(65 * 1024)), 'bytes.too-large')
})

test('certificates that say a thing twice, or too much (attacks.md rows 7, 10)', () => {
  const parsed = (...extensions: CertificatePlan['extensions']) => parseCertificate(certificateDer(LEAF, MIDDLE, { extensions }))
  refused(parsed(keyUsage(0x80), keyUsage(0x80)), 'x509.parse')
  refused(parsed({ oid: '2.5.29.19', value: derSequence(der(TAG.boolean, new Uint8Array([1]))) }), 'der.non-canonical')
  refused(parsed({ oid: '2.5.29.19', value: derSequence(der(TAG.boolean, new Uint8Array([255])), derInteger(new Uint8Array([1])), derInteger(new Uint8Array([1]))) }), 'x509.parse')
  refused(parsed({ oid: '2.5.29.19', value: derSequence(der(TAG.boolean, new Uint8Array([255])), der(TAG.integer, new Uint8Array([1, 0, 0, 0, 0]))) }), 'der.non-canonical')
  refused(parsed({ oid: '2.5.29.15', value: der(TAG.bitString, new Uint8Array([0])) }), 'x509.parse')
  refused(parsed({ oid: '2.5.29.15', value: der(TAG.bitString) }), 'x509.parse')
  // A fourth part must not hide that an extension is critical.
  const four = derSequence(derOid('1.2.3.4'), der(TAG.boolean, new Uint8Array([255])), der(TAG.octetString), der(TAG.null))
  const tbs = (extensions: Uint8Array) => derSequence(der(0xa0, derInteger(new Uint8Array([2]))), derInteger(new Uint8Array([1])), ROOT.port.algorithm, root.subject, derSequence(der(TAG.utcTime, utf8('250101000000Z')), der(TAG.utcTime, utf8('270101000000Z'))), root.subject, keyToSpki(ROOT.key), der(0xa3, derSequence(extensions)))
  const certificateOf = (body: Uint8Array) => parseCertificate(derSequence(body, ROOT.port.algorithm, der(TAG.bitString, new Uint8Array([0]), ROOT.port.sign(body))))
  refused(certificateOf(tbs(four)), 'x509.parse')
  assert.ok(certificateOf(tbs(derSequence(derOid('1.2.3.4'), der(TAG.octetString)))).ok)
})
