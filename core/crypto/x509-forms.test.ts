// Certificates and lists written field by field: each form that is read, and each beside it that is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { der, derInteger, derOid, derSequence, TAG } from '../bytes/der.ts'
import { utf8 } from '../bytes/text.ts'
import { amdRoots } from '../evidence/snp/roots.ts'
import { refusalOf, type RefusalCode, type Result } from '../refusal.ts'
import { authority, certificate, crl, LEAF, LEAF_EXTENSIONS, leaf, MIDDLE, middle, NOW, ROOT, root } from './chain.fixture.ts'
import { basicConstraintsCa, ECDSA_SHA256, ECDSA_SHA384, keyUsage, PSS_SHA384 } from './issue.ts'
import { ecdsaToDer, keyToSpki } from './keys.ts'
import { portable as p } from './portable.ts'
import type { Primitives, PublicKey } from './primitives.ts'
import { chainRefusal, parseCertificate, parseCrl, validateChain, verifySigned, type CertificateAlgorithm, type ChainInput } from './x509.ts'

function refused(result: Result<unknown>, code: RefusalCode | RegExp): void {
  assert.ok(!result.ok, 'accepted')
  if (typeof code === 'string') assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  else assert.match(result.refusal.code, code)
}
const small = (value: number) => derInteger(new Uint8Array([value]))
const utc = (text: string) => der(TAG.utcTime, utf8(text))
const bits = (...bytes: number[]) => der(TAG.bitString, Uint8Array.from(bytes))
const [FROM, UNTIL] = [utc('250101000000Z'), utc('270101000000Z')]
const name = (...attributes: [string, string][]) => derSequence(...attributes.map(([oid, text]) => der(TAG.set, derSequence(derOid(oid), der(TAG.utf8String, utf8(text))))))

/** The eight fields of a certificate's inside, any of them changed or left out, any number behind them. */
interface Form { version?: Uint8Array; inside?: Uint8Array; issuer?: Uint8Array; validity?: Uint8Array; subject?: Uint8Array; spki?: Uint8Array; more?: readonly Uint8Array[]; outside?: Uint8Array; count?: number; parts?: number }
function written(form: Form): Uint8Array {
  const algorithm = form.outside ?? ECDSA_SHA256
  const fields = [form.version ?? der(0xa0, small(2)), small(1), form.inside ?? algorithm, form.issuer ?? root.subject, form.validity ?? derSequence(FROM, UNTIL), form.subject ?? root.subject, form.spki ?? keyToSpki(ROOT.key)].slice(0, form.count ?? 7)
  const parts = [derSequence(...fields, ...(form.more ?? [])), algorithm, bits(0, 1, 2, 3), der(TAG.null)]
  return derSequence(...parts.slice(0, form.parts ?? 3))
}
const read = (form: Form = {}) => parseCertificate(written(form))
const withAlgorithm = (algorithm: Uint8Array) => read({ outside: algorithm })

test('sizes: at the limit is read, above it is not', () => {
  for (const [parse, max] of [[parseCertificate, 64 * 1024], [parseCrl, 4 * 1024 * 1024]] as const) {
    refused(parse(new Uint8Array(max + 1)), 'bytes.too-large')
    refused(parse(new Uint8Array(max)), 'bytes.trailing')
  }
})

test('a certificate has three parts, version 3, and each of its fields', () => {
  assert.ok(read().ok)
  for (const parts of [0, 1, 2, 4]) refused(read({ parts }), parts === 2 ? /^der\./ : 'x509.parse')
  for (let count = 0; count < 7; count++) refused(read({ count }), /^(x509\.parse|der\.)/)
  refused(read({ version: der(0xa0, small(1)) }), 'x509.parse')
  refused(read({ version: der(0xa1, small(2)) }), 'x509.parse')
  refused(read({ version: small(2) }), 'x509.parse')
  refused(read({ inside: ECDSA_SHA384 }), 'x509.parse')
  refused(read({ validity: derSequence(FROM, UNTIL, UNTIL) }), 'x509.parse')
  refused(read({ validity: derSequence(FROM) }), /^der\./)
})

test('behind the key: unique identifiers are passed over, extensions stand once in one list', () => {
  const extension = derSequence(derOid('1.2.3'), der(TAG.octetString))
  const listed = der(0xa3, derSequence(extension))
  const found = read({ more: [bits(0x81).with(0, 0x81), bits(0).with(0, 0x82), listed] })
  assert.ok(found.ok && found.value.extensions.has('1.2.3'))
  refused(read({ more: [der(0xa4, derSequence(extension)), listed] }), 'x509.parse')
  refused(read({ more: [der(0x83), listed] }), 'x509.parse')
  refused(read({ more: [der(0xa3)] }), 'x509.parse')
  refused(read({ more: [der(0xa3, derSequence(extension), derSequence(extension))] }), 'x509.parse')
  refused(read({ more: [der(0xa3, derSequence(derSequence(derOid('1.2.3'))))] }), 'x509.parse')
})

test('key usage: at least one bit of at most eight, absent when it is absent', () => {
  const usage = (...bytes: number[]) => read({ more: [der(0xa3, derSequence(derSequence(derOid('2.5.29.15'), der(TAG.octetString, bits(...bytes)))))] })
  for (const [bytes, value] of [[[7, 0x80], 0x80], [[0, 0x81], 0x81], [[1, 6], 6]] as const) {
    const result = usage(...bytes)
    assert.ok(result.ok && result.value.keyUsage === value)
  }
  for (const bytes of [[8, 0x80], [9, 0x80], [0], []]) refused(usage(...bytes), 'x509.parse')
  const none = read()
  assert.ok(none.ok && !('keyUsage' in none.value) && !('pathLength' in none.value))
})

test('the common name is the last one there is', () => {
  const subject = (...attributes: [string, string][]) => { const result = read({ subject: name(...attributes) }); assert.ok(result.ok); return result.value.subjectCommonName }
  assert.equal(subject(['2.5.4.10', 'house'], ['2.5.4.3', 'one'], ['2.5.4.11', 'room']), 'one')
  assert.equal(subject(['2.5.4.3', 'one'], ['2.5.4.3', 'two']), 'two')
  assert.equal(subject(['2.5.4.10', 'house']), '')
  const bare = read({ subject: derSequence(der(TAG.set, derSequence(derOid('2.5.4.3')))) })
  assert.ok(bare.ok && bare.value.subjectCommonName === '')
})

const SHA = { sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2', sha512: '2.16.840.1.101.3.4.2.3', sha1: '1.3.14.3.2.26' }
const MGF = '1.2.840.113549.1.1.8'
const hashOf = (oid: string) => derSequence(derOid(oid), der(TAG.null))
const pss = (...fields: Uint8Array[]) => derSequence(derOid('1.2.840.113549.1.1.10'), derSequence(...fields))
const pssFields = (hash = SHA.sha384, mask = hash, salt = 48, mgf = MGF) => [der(0xa0, hashOf(hash)), der(0xa1, derSequence(derOid(mgf), hashOf(mask))), der(0xa2, small(salt))]

test('algorithms: SHA-2 with RSA, ECDSA or Ed25519, with no parameters or the empty ones', () => {
  const plain: [string, CertificateAlgorithm][] = [
    ['1.2.840.10045.4.3.2', { scheme: 'ecdsa', hash: 'sha256' }], ['1.2.840.10045.4.3.3', { scheme: 'ecdsa', hash: 'sha384' }], ['1.3.101.112', { scheme: 'ed25519', hash: 'sha512' }],
    ['1.2.840.113549.1.1.11', { scheme: 'rsa-pkcs1', hash: 'sha256' }], ['1.2.840.113549.1.1.12', { scheme: 'rsa-pkcs1', hash: 'sha384' }], ['1.2.840.113549.1.1.13', { scheme: 'rsa-pkcs1', hash: 'sha512' }],
  ]
  for (const [oid, algorithm] of plain) {
    for (const parameters of [[], [der(TAG.null)]]) {
      const result = withAlgorithm(derSequence(derOid(oid), ...parameters))
      assert.ok(result.ok)
      assert.deepEqual(result.value.algorithm, algorithm)
    }
    refused(withAlgorithm(derSequence(derOid(oid), small(1))), 'crypto.algorithm')
    refused(withAlgorithm(derSequence(derOid(oid), der(TAG.null, new Uint8Array(1)))), 'crypto.algorithm')
    refused(withAlgorithm(derSequence(derOid(oid), der(TAG.octetString))), 'crypto.algorithm')
  }
  for (const oid of ['1.2.840.113549.1.1.5', '1.2.840.10045.4.3.1', '1.2.3']) refused(withAlgorithm(derSequence(derOid(oid))), 'crypto.algorithm')
  refused(withAlgorithm(derSequence()), /^(der|x509)\./)
})

test('RSASSA-PSS: every parameter written, one SHA-2 hash, a salt of its length, the common trailer', () => {
  for (const [hash, salt] of [['sha256', 32], ['sha384', 48], ['sha512', 64]] as const) {
    for (const trailer of [[], [der(0xa3, small(1))]]) {
      const result = withAlgorithm(pss(...pssFields(SHA[hash], SHA[hash], salt), ...trailer))
      assert.ok(result.ok)
      assert.deepEqual(result.value.algorithm, { scheme: 'rsa-pss', hash })
    }
    refused(withAlgorithm(pss(...pssFields(SHA[hash], SHA[hash], salt + 1))), 'crypto.algorithm')
  }
  const [hash = new Uint8Array(0), mask = new Uint8Array(0), salt = new Uint8Array(0)] = pssFields()
  const bad: Uint8Array[][] = [
    [], [hash], [hash, mask], [hash, salt], [mask, salt], [hash, mask, salt, salt], [hash, hash, mask, salt], [hash, mask, salt, der(0xa3, small(2))], [hash, mask, salt, der(0xa3, small(1)), der(0xa4)],
    [hash, mask, der(0xa4, small(48))], [hash, mask, salt, der(0xa4)], [hash, mask, der(0xa3, small(1))],
    pssFields(SHA.sha1, SHA.sha1, 20), pssFields(SHA.sha384, SHA.sha256), pssFields(SHA.sha384, SHA.sha1), pssFields(SHA.sha384, SHA.sha384, 32), pssFields(SHA.sha384, SHA.sha384, 48, '1.2.3'),
    [hash, der(0xa1, derSequence(derOid(MGF))), salt],
  ]
  for (const fields of bad) refused(withAlgorithm(pss(...fields)), 'crypto.algorithm')
  refused(withAlgorithm(derSequence(derOid('1.2.840.113549.1.1.10'))), 'x509.parse')
  refused(withAlgorithm(pss(der(0xa0), mask, salt)), 'x509.parse')
  refused(withAlgorithm(pss(hash, der(0xa1), salt)), 'x509.parse')
})

test('which primitive a signature is checked with: the one that fits algorithm and key, or none', () => {
  const rsa: PublicKey = { kind: 'rsa', n: new Uint8Array(256).fill(255), e: new Uint8Array([1, 0, 1]) }
  const keys = { rsa, p256: ROOT.key, p384: { kind: 'p384', raw: new Uint8Array(97).fill(4) }, ed25519: { kind: 'ed25519', raw: new Uint8Array(32) } } as const
  const asked: [string, number][] = []
  const yes: Primitives = { ...p, verify: (algorithm, _, __, signature) => { asked.push([algorithm, signature.length]); return true } }
  for (const scheme of ['rsa-pss', 'rsa-pkcs1', 'ecdsa', 'ed25519'] as const) {
    for (const hash of ['sha256', 'sha384', 'sha512'] as const) {
      for (const [kind, key] of Object.entries(keys)) {
        asked.length = 0
        const size = kind === 'p384' ? 96 : 64
        const signature = scheme === 'ecdsa' ? ecdsaToDer(new Uint8Array(size).fill(1)) : new Uint8Array(size)
        const held = verifySigned(yes, key, { scheme, hash }, new Uint8Array(0), signature)
        const expected = scheme === 'ed25519' ? (kind === 'ed25519' ? 'ed25519' : undefined) : scheme === 'ecdsa' ? (hash !== 'sha512' && (kind === 'p256' || kind === 'p384') ? `ecdsa-${kind}-${hash}` : undefined) : kind === 'rsa' ? `${scheme}-${hash}` : undefined
        assert.equal(held, expected !== undefined, `${scheme} ${hash} ${kind}`)
        assert.deepEqual(asked, expected === undefined ? [] : [[expected, size]])
      }
    }
  }
  asked.length = 0
  assert.equal(verifySigned(yes, ROOT.key, { scheme: 'ecdsa', hash: 'sha256' }, new Uint8Array(0), new Uint8Array(64)), false, 'no DER')
  assert.equal(verifySigned(yes, ROOT.key, { scheme: 'ecdsa', hash: 'sha256' }, new Uint8Array(0), ecdsaToDer(new Uint8Array(96).fill(1))), false, 'numbers of another curve')
  assert.deepEqual(asked, [])
})

test('RSA chains hold with their real signatures, and not with others', () => {
  for (const { ark, intermediates } of amdRoots()) {
    for (const one of [ark, ...intermediates]) {
      assert.ok(verifySigned(p, ark.publicKey, one.algorithm, one.tbs, one.signature))
      assert.ok(!verifySigned(p, ark.publicKey, one.algorithm, one.tbs.subarray(1), one.signature))
    }
  }
})

const good: ChainInput = { leaf, intermediates: [middle], roots: [root], at: NOW }
const judge = (change: Partial<ChainInput> = {}) => validateChain(p, { ...good, ...change })

test('uses are bits of their own: a neighbour does not stand for another', () => {
  const leafWith = (...extensions: { oid: string; critical?: boolean; value: Uint8Array }[]) => judge({ leaf: certificate(LEAF, MIDDLE, { extensions }) })
  assert.ok(leafWith().ok, 'a leaf that says nothing about its use')
  for (const other of [0x01, 0x40, 0x7f]) refused(leafWith(keyUsage(other)), 'x509.key-usage')
  const middleWith = (use: number, change: Partial<ChainInput> = {}) => judge({ intermediates: [certificate(MIDDLE, ROOT, { extensions: [basicConstraintsCa(), keyUsage(use)] })], ...change })
  for (const other of [0x01, 0x02, 0x08, 0xfb]) refused(middleWith(other), 'x509.key-usage')
  assert.ok(middleWith(0x04).ok)
  refused(middleWith(0x05, { crls: [crl(MIDDLE)] }), 'crl.issuer')
  assert.ok(middleWith(0x06, { crls: [crl(MIDDLE)] }).ok)
})

test('limits and ends: included where they say so', () => {
  const day = 86_400
  for (const [from, until] of [[NOW, NOW + day], [NOW - day, NOW]] as const) assert.ok(judge({ crls: [crl(MIDDLE, [], from, until)] }).ok)
  for (const [from, until] of [[NOW + 1, NOW + day], [NOW - day, NOW - 1]] as const) refused(judge({ crls: [crl(MIDDLE, [], from, until)] }), 'crl.expired')
  assert.ok(judge({ intermediates: Array.from({ length: 16 }, () => middle) }).ok)
  const line = (length: number) => {
    const names = [ROOT, ...Array.from({ length: length - 2 }, (_, i) => authority(`ca ${i}`))]
    const links = names.slice(1).map((ca, i) => certificate(ca, names[i] ?? ca))
    return judge({ leaf: certificate(LEAF, names.at(-1) ?? ROOT, { extensions: LEAF_EXTENSIONS }), intermediates: links })
  }
  const six = line(6)
  assert.ok(six.ok && six.value.path.length === 6)
  refused(line(7), 'x509.path-length')
})

test('lists of version 1, with later dates, and with extensions that say that they are not critical', () => {
  const list = (...fields: Uint8Array[]) => parseCrl(derSequence(derSequence(...fields), ROOT.port.algorithm, bits(0, 1)))
  const until = der(TAG.generalizedTime, utf8('20510101000000Z'))
  const plain = list(ROOT.port.algorithm, root.subject, FROM, until)
  assert.ok(plain.ok && plain.value.nextUpdate === 2_556_144_000 && plain.value.revoked.size === 0)
  refused(list(small(1), ECDSA_SHA384, root.subject, FROM, until), 'x509.parse')
  refused(list(small(1)), 'x509.parse')
  refused(list(small(1), ROOT.port.algorithm, root.subject, FROM), 'crl.expired')
  refused(list(small(1), ROOT.port.algorithm, root.subject, FROM, small(1)), 'crl.expired')
  const extensions = (flag: number) => der(0xa0, derSequence(derSequence(derOid('2.5.29.20'), der(TAG.boolean, new Uint8Array([flag])), der(TAG.octetString, small(1)))))
  assert.ok(list(small(1), ROOT.port.algorithm, root.subject, FROM, until, extensions(0)).ok)
  refused(list(small(1), ROOT.port.algorithm, root.subject, FROM, until, extensions(255)), 'x509.critical-extension')
})

test('a refusal of a chain keeps its place and its reason under the name of who asked', () => {
  const refusal = refusalOf('x509.expired', 'chain[0]', 'a', 'b', 'c')
  assert.deepEqual(chainRefusal('evidence.chain', { ok: false, refusal }), { ok: false, refusal: { code: 'evidence.chain', at: 'chain[0] (x509.expired)', expected: 'a', got: 'b', fix: 'c' } })
  assert.throws(() => chainRefusal('evidence.chain', { ok: true, value: 1 }), /no refusal/)
})

test('PSS as the certificates of AMD and of the simulated root write it', () => {
  const result = withAlgorithm(PSS_SHA384)
  assert.ok(result.ok && result.value.algorithm.scheme === 'rsa-pss')
})
