// CoRIM under test keys: a whole manifest is read, each field that is not as the draft says is refused where it stands.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Writable, writeCbor } from '../../bytes/cbor.ts'
import { writeCoseKey } from '../../crypto/cose.ts'
import { es256 } from '../../crypto/cose.fixture.ts'
import { keyToSpki } from '../../crypto/keys.ts'
import { writePem } from '../../crypto/pem.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { Result } from '../../refusal.ts'
import { comid, corim, corimBytes, DEVICE, digest, environment, fill, IMPLEMENTATION, inTag, m, measurement, META, signedCorim, SIGNER, t } from './corim.fixture.ts'
import { checkedCorim, readCorim, verifyCorim, type CorimKey } from './index.ts'
import { PROFILE } from './profiles.ts'
import { attestKeys, corimValues, plainValues } from './values.ts'

const PEM = writePem('PUBLIC KEY', keyToSpki(SIGNER.key))
const KEY = t(554, PEM)
const component = (values: Readonly<Record<number, Writable>> = { 2: [digest()], 13: [t(560, fill(32))] }, key: Writable = 'psa.software-component') => measurement(key, values)

function refused(result: Result<unknown>, code: string, at?: string | RegExp): void {
  assert.ok(!result.ok, `accepted, expected ${code}`)
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (typeof at === 'string') assert.equal(result.refusal.at, at)
  if (at instanceof RegExp) assert.match(result.refusal.at, at)
}
function accepted<T>(result: Result<T>): T {
  assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.refusal))
  return result.value
}
const read = (value: Writable) => readCorim(writeCbor(value))
/** A module in which one measurement has these values. */
const valued = (values: Readonly<Record<number, Writable>>) => t(506, writeCbor(comid({ 0: [[environment(), [m({ 1: m(values) })]]] })))

test('every value of a measurement in its own form', () => {
  const values: readonly (readonly [number, Writable, RegExp, ...Writable[]])[] = [
    [0, m({ 0: '1.2', 1: 16_384 }), /version/, m({ 0: 1 }), m({ 1: 1 }), m({ 0: 'a', 2: 1 }), 'a'],
    [1, t(553, 4), /svn/, t(553, -1), t(554, 1), 'a', -1], [1, 4, /svn/], [1, t(552, 4), /svn/],
    [2, [digest(), digest(48, 'sha-384')], /digests/, [], [[1]], [[1, fill(0)]], [[1, fill(129)]], [[1, fill(32), 1]], digest()],
    [3, m({ 0: true, 3: false, 10: true }), /flags/, m({}), m({ 0: 1 }), m({ 11: true })],
    [4, t(560, fill(4)), /raw-value/, fill(4), t(561, fill(4)), t(563, [fill(4), fill(3)]), t(563, [fill(4)]), t(561, [fill(4), fill(4)])], [4, t(563, [fill(4), fill(4, 255)]), /raw-value/],
    [6, fill(6), /mac/, fill(7), 'a'], [6, fill(8), /mac/], [7, fill(4), /ip/, fill(5), t(52, fill(16)), t(53, fill(4))], [7, t(54, fill(16)), /ip/], [7, t(52, fill(4)), /ip/],
    [8, 'serial', /serial/, 7, 'x'.repeat(70_000)], [9, fill(7), /ueid/, fill(6), fill(34)], [10, fill(16), /uuid/, fill(15)], [11, 'name', /name/, 1],
    [13, [KEY, t(560, fill(8)), t(557, digest()), t(558, m({ 1: 2, 3: -7 }))], /cryptokeys/, [t(37, fill(16))], [t(999, 'a')], [PEM], [], [t(558, new Map<Writable, Writable>([[true, 1]]))]],
    [14, m({ 0: [digest()], 1: [digest()] }), /registers/, m({}), m({ 0: [] }), new Map<Writable, Writable>([[-1, [digest()]]]), new Map<Writable, Writable>([[1, [digest()]], ['1', [digest()]]])],
    [15, t(564, [1, null]), /range/, t(564, [2, 1]), t(565, [1, 2]), t(564, [1])], [15, 3, /range/], [15, t(564, [null, 5]), /range/],
  ]
  for (const [key, good, at, ...bad] of values) {
    accepted(read(valued({ [key]: good })))
    for (const one of bad) {
      const result = read(valued({ [key]: one }))
      assert.ok(!result.ok && /^(corim|cbor)\.syntax$/.test(result.refusal.code) && at.test(result.refusal.at), `${key} ${result.ok ? 'accepted' : JSON.stringify(result.refusal)}`)
    }
  }
  const flagged = accepted(read(valued({ 3: m({ 0: true, 3: false }) })))
  assert.deepEqual(flagged.kind === 'comid' ? flagged.triples.reference[0]?.measurements[0]?.values.flags : {}, { configured: true, debug: false })
  refused(read(valued({ 12: 1 })), 'corim.syntax', /mval\.12$/)
  refused(read(valued({})), 'corim.syntax')
  for (const [raw, mask] of [[undefined, fill(4)], [t(560, fill(4)), fill(3)], [t(563, [fill(4), fill(4)]), fill(4)]] as const) refused(read(valued({ ...(raw === undefined ? { 8: 'x' } : { 4: raw }), 5: mask })), 'corim.syntax', /raw-value-mask/)
  accepted(read(valued({ 4: t(560, fill(4)), 5: fill(4, 15) })))
  const module = accepted(read(valued({ [-5]: 'more', 8: 'x' })))
  assert.deepEqual(module.kind === 'comid' ? module.triples.reference[0]?.measurements[0]?.values.extensions : [], [-5])
})

test('environments, names and each kind of triple', () => {
  const env = environment()
  const claims = [component()]
  const good: readonly (readonly [number, Writable])[] = [
    [0, [[env, claims]]], [1, [[env, claims]]], [2, [[env, [KEY]]]], [3, [[env, [KEY], m({ 0: 'key', 1: [KEY] })]]], [4, [[env, [env]]]], [5, [[env, [env, env]]]], [6, [[env, ['tag', fill(16)]]]],
    [8, [[[env, [], [KEY]], [[claims, claims]]]]], [8, [[[env, claims], [[claims, claims]]]]], [10, [[[[env, claims]], [[env, claims]]]]],
  ]
  for (const [key, triple] of good) {
    const module = accepted(read(t(506, writeCbor(comid({ [key]: triple })))))
    assert.ok(module.kind === 'comid')
    refused(read(t(506, writeCbor(comid({ [key]: [] })))), 'cbor.syntax')
    refused(read(t(506, writeCbor(comid({ [key]: [[env]] })))), 'cbor.syntax')
  }
  refused(read(t(506, writeCbor(comid({ 7: [] })))), 'corim.syntax', /triples\.7$/)
  refused(read(t(506, writeCbor(comid({})))), 'corim.syntax', /triples$/)
  const environments: readonly [Writable, boolean][] = [
    [m({ 0: m({ 0: t(111, new Uint8Array([42, 3])), 1: 'v', 2: 'm', 3: 0, 4: 1 }), 1: DEVICE, 2: t(37, fill(16)) }), true], [m({ 1: t(37, fill(16)) }), true], [m({ 1: KEY }), true],
    [m({}), false], [m({ 3: 1 }), false], [m({ 0: m({ 0: t(550, fill(16)) }) }), false], [m({ 0: m({ 3: -1 }) }), false], [m({ 1: t(37, fill(15)) }), false], [m({ 2: KEY }), false], [m({ 0: m({ 0: t(111, fill(1, 128)) }) }), false], ['env', false],
  ]
  for (const [one, holds] of environments) assert.equal(read(t(506, writeCbor(comid({ 0: [[one, claims]] })))).ok, holds, JSON.stringify(one))
  for (const [key, holds] of [[5, true], ['name', true], [t(111, new Uint8Array([42, 3])), true], [t(37, fill(16)), true], [-1, false], [t(560, fill(2)), false], [fill(2), false]] as const) {
    assert.equal(read(t(506, writeCbor(comid({ 0: [[env, [component({ 8: 'x' }, key)]]] })))).ok, holds)
  }
})

test('modules and manifests: what must stand there, and nothing that nobody knows', () => {
  const module = comid({ 0: [[environment(), [component()]]] }, { 0: 'en', 2: [m({ 0: 'Acme', 1: t(32, 'https://acme.example'), 2: [0, 1] })], 3: [m({ 0: 'other', 1: 1 })], [-1]: 'more' })
  const whole = corim([inTag(module), inTag(m({ 0: 'sw', 1: 'Name', 2: m({ 31: 'a' }), 12: 0 }), 505), inTag(m({ 0: m({ 0: fill(16) }), 1: [m({ 0: 'a', 1: 2 })], 2: m({ 1: t(1, 9) }) }), 508)], 'https://acme.example/profile',
    { 2: [m({ 0: t(32, 'https://acme.example'), 1: digest() }), m({ 0: [t(32, 'a'), t(32, 'b')], 1: [digest(), digest()] })], 4: m({ 0: t(1, 1), 1: t(1, 2) }), 5: [m({ 0: 'Acme', 2: [1] })], [-9]: 1 })
  const document = accepted(read(whole))
  assert.ok(document.kind === 'corim')
  assert.deepEqual([document.id, document.profile, document.validity, document.extensions, document.tags.map(tag => tag.kind)], ['manifest', 'https://acme.example/profile', { notBefore: 1, notAfter: 2 }, [-9], ['comid', 'coswid', 'cotl']])
  assert.deepEqual(document.dependsOn.map(one => [one.href.length, one.digests.length]), [[1, 1], [2, 2]])
  const bad: readonly (readonly [Writable, string])[] = [
    [corim([]), 'cbor.syntax'], [corim([inTag(module, 507)]), 'corim.syntax'], [corim([module]), 'cbor.syntax'], [corim([inTag(module)], undefined, { 0: 5 }), 'cbor.syntax'], [corim([inTag(module)], undefined, { 6: 1 }), 'corim.syntax'],
    [corim([inTag(module)], undefined, { 3: 'plain' }), 'cbor.syntax'], [corim([inTag(module)], undefined, { 4: m({ 0: t(1, 3), 1: t(1, 2) }) }), 'corim.syntax'], [corim([inTag(module)], undefined, { 4: m({ 0: t(1, 3) }) }), 'cbor.syntax'],
    [corim([inTag(module)], undefined, { 5: [m({ 0: 'Acme', 2: [0] })] }), 'corim.syntax'], [corim([inTag(comid({ 0: [[environment(), [component()]]] }, { 3: [m({ 0: 'x', 1: 2 })] }))]), 'cbor.syntax'],
    [corim([inTag(m({ 1: m({ 0: 'x' }) }))]), 'cbor.syntax'], [corim([inTag(m({ 0: 'sw', 1: 'Name', 12: 0 }), 505)]), 'corim.syntax'], [corim([inTag(m({ 0: 'sw', 1: 'Name', 2: m({ 31: 'a' }), 12: 'a' }), 505)]), 'corim.syntax'],
    [t(502, m({ 0: 'x' })), 'corim.syntax'], [t(501, 5), 'cbor.syntax'], [corim(Array.from({ length: 257 }, () => inTag(comid({ 2: [[environment(), [KEY]]] })))), 'bytes.too-large'],
  ]
  for (const [value, code] of bad) refused(read(value), code)
  const cut = writeCbor(whole)
  refused(readCorim(cut.subarray(0, -1)), 'bytes.truncated')
  refused(readCorim(new Uint8Array([...cut, 0])), 'bytes.trailing')
  refused(readCorim(new Uint8Array((1 << 20) + 1)), 'bytes.too-large')
})

test('signed manifests: by a key that was named, in their time', () => {
  const payload = corimBytes([inTag(comid({ 0: [[environment(), [component()]]] }))], PROFILE.psa, { 4: m({ 1: t(1, 1900) }) })
  const keys: readonly CorimKey[] = [{ key: es256('other').key }, { key: SIGNER.key, id: '6b65792031' }]
  const verify = (bytes: Uint8Array, now = 1500, named = keys) => verifyCorim(p, bytes, named, now)
  const verified = accepted(verify(signedCorim(payload)))
  assert.deepEqual([verified.signer, verified.validity, verified.corim.id], ['Vendor', { notBefore: 1000, notAfter: 1900 }, 'manifest'])
  for (const now of [1000, 1900]) accepted(verify(signedCorim(payload), now))
  for (const now of [999, 1901]) refused(verify(signedCorim(payload), now), 'evidence.collateral', 'corim.validity')
  refused(verify(signedCorim(payload), 1500, []), 'evidence.unsupported')
  refused(verify(signedCorim(payload), 1500, [{ key: SIGNER.key, id: '00' }]), 'evidence.unsupported')
  refused(verify(signedCorim(payload, {}, es256('other')), 1500, [{ key: SIGNER.key }]), 'evidence.signature')
  refused(verify(signedCorim(payload, { 3: 'application/cbor' })), 'corim.syntax', /content-type/)
  refused(verify(signedCorim(payload, { 8: undefined })), 'corim.syntax', /protected/)
  refused(verify(signedCorim(payload, { 8: writeCbor(m({ 0: m({ 0: 'V', 1: 'plain' }) })) })), 'cbor.syntax', /signer-uri/)
  refused(verify(signedCorim(corimBytes([inTag(comid({ 2: [[environment(), [KEY]]] }))], PROFILE.psa))), 'corim.profile')
  refused(verify(payload), 'cbor.syntax')
  const claims = accepted(verify(signedCorim(payload, { 8: undefined, 15: m({ 1: 'Issuer', 4: 1600, 5: 1400 }) })))
  assert.deepEqual([claims.signer, claims.validity], ['Issuer', { notBefore: 1400, notAfter: 1600 }])
  refused(verify(signedCorim(payload, { 8: undefined, 15: m({ 4: 1600 }) })), 'cbor.syntax')
  refused(verify(signedCorim(payload, { 8: writeCbor(m({ 0: m({ 0: 'V', 3: 1 }) })) })), 'corim.syntax')
  const read = accepted(readCorim(signedCorim(payload)))
  assert.ok(read.kind === 'signed-corim' && read.keyId === '6b65792031')
  assert.equal(META.size, 2)
})

test('profiles: Arm PSA and CCA, SEV-SNP, Parsec, EnactTrust and RIoT', () => {
  const psa = component()
  const config = measurement('cca.platform-config', { 4: t(563, [fill(4), fill(4)]) })
  const cca = (values?: Readonly<Record<number, Writable>>) => component(values, 'cca.software-component')
  const rim = (key = 'cca.rim') => measurement(key, { 2: [digest()] })
  const pcr = measurement(1, { 2: [digest()] })
  const [uuid, machine] = [environment(t(37, fill(16))), m({ 1: t(37, fill(16)) })]
  const oid = environment(t(111, new Uint8Array([42, 3])), { 1: t(560, fill(64)) })
  const maker = (vendor?: string, model?: string) => m({ 0: m({ ...(vendor === undefined ? {} : { 1: vendor }), ...(model === undefined ? {} : { 2: model }), 3: 0 }) })
  const device = environment(IMPLEMENTATION, { 1: DEVICE })
  const CERT = t(555, 'certificate')
  type Triple = readonly [number, Writable]
  const rules: readonly (readonly [string, readonly Triple[], readonly Triple[]])[] = [
    [PROFILE.psa, [[0, [[environment(), [psa]]]], [3, [[device, [KEY]]]]], [
      [0, [[uuid, [psa]]]], [0, [[environment(t(560, fill(31))), [psa]]]], [0, [[device, [psa]]]], [0, [[environment(), [component(undefined, 'other')]]]], [0, [[environment(), [component({ 2: [digest(31)], 13: [t(560, fill(32))] })]]]],
      [0, [[environment(), [component({ 2: [digest()] })]]]], [0, [[environment(), [component({ 13: [t(560, fill(32))] })]]]], [0, [[environment(), [component({ 2: [digest()], 13: [t(560, fill(32)), t(560, fill(32))] })]]]], [0, [[environment(), [component({ 2: [digest()], 13: [KEY] })]]]],
      [3, [[device, [KEY, KEY]]]], [3, [[device, [CERT]]]], [3, [[environment(), [KEY]]]], [3, [[environment(IMPLEMENTATION, { 1: t(550, fill(33)) }), [KEY]]]], [3, [[environment(t(560, fill(31)), { 1: DEVICE }), [KEY]]]], [1, [[environment(), [psa]]]],
    ]],
    [PROFILE.ccaPlatform, [[0, [[environment(), [cca(), config]]]], [3, [[device, [KEY]]]]], [
      [0, [[environment(), [config]]]], [0, [[environment(), [cca(), config, config]]]], [0, [[environment(), [cca(), measurement('cca.platform-config', { 4: t(560, fill(4)) })]]]], [0, [[environment(), [cca(), psa]]]],
      [0, [[environment(), [cca({ 0: m({ 0: '1', 1: 1 }), 2: [digest()], 13: [t(560, fill(32))] })]]]], [0, [[device, [cca()]]]], [3, [[environment(), [KEY]]]], [0, [[environment(t(560, fill(31))), [cca()]]]], [0, [[environment(), [cca({ 2: [digest(31)], 13: [t(560, fill(32))] })]]]], [0, [[environment(), [cca({ 2: [digest()] })]]]],
    ]],
    [PROFILE.ccaRealm, [[0, [[environment(), [rim(), rim('cca.rem0'), rim('cca.rem3'), measurement('cca.rpv', { 4: t(560, fill(64)) })]]]]], [
      [0, [[environment(), [rim('cca.rem0')]]]], [0, [[environment(), [rim(), rim('cca.rem4')]]]], [0, [[environment(t(560, fill(31))), [rim()]]]], [0, [[environment(), [measurement('cca.rim', { 2: [digest(), digest()] })]]]],
      [0, [[environment(), [rim(), measurement('cca.rpv', { 8: 'x' })]]]], [3, [[device, [KEY]]]],
    ]],
    [PROFILE.snp, [[0, [[oid, [measurement(641, { 2: [digest(48, 7)] })]]]], [3, [[maker('AMD', 'Milan'), [CERT, CERT]]]]], [[0, [[environment(), [measurement(641, { 2: [digest()] })]]]], [0, [[oid, [measurement('x', { 2: [digest()] })]]]], [3, [[maker('AMD'), [CERT]]]], [3, [[maker('AMD', 'Milan'), [KEY]]]]]],
    [PROFILE.parsecTpm, [[0, [[uuid, [pcr]]]], [3, [[environment(t(37, fill(16)), { 1: t(560, fill(8)) }), [KEY]]]]], [[0, [[environment(), [pcr]]]], [0, [[uuid, [measurement('1', { 2: [digest()] })]]]], [0, [[uuid, [measurement(1, { 8: 'x' })]]]], [3, [[uuid, [KEY]]]], [3, [[environment(t(37, fill(16)), { 1: t(560, fill(8)) }), [KEY, KEY]]]], [0, [[environment(t(37, fill(16)), { 1: t(560, fill(8)) }), [pcr]]]], [3, [[environment(IMPLEMENTATION, { 1: t(560, fill(8)) }), [KEY]]]]]],
    [PROFILE.enactTrust, [[0, [[machine, [m({ 1: m({ 2: [digest()] }) })]]]], [3, [[machine, [KEY]]]]], [[0, [[uuid, [pcr]]]], [0, [[machine, [pcr, pcr]]]], [0, [[machine, [measurement(1, { 2: [digest(), digest()] })]]]], [0, [[machine, [measurement(1, { 8: 'x' })]]]], [3, [[machine, [KEY, KEY]]]], [3, [[uuid, [KEY]]]]]],
    [PROFILE.riot, [[3, [[maker('Veraison Project', 'RIOT'), [CERT]]]]], [[3, [[maker('Veraison', 'RIOT'), [CERT]]]], [3, [[maker('Veraison Project', 'RIOT'), [KEY]]]], [0, [[uuid, [pcr]]]]]],
  ]
  for (const [profile, good, bad] of rules) {
    for (const [key, triple] of good) accepted(checkedCorim(corimBytes([inTag(comid({ [key]: triple }))], profile)))
    for (const [i, [key, triple]] of bad.entries()) {
      const result = checkedCorim(corimBytes([inTag(comid({ [key]: triple }))], profile))
      assert.deepEqual(result.ok ? 'accepted' : result.refusal.code, 'corim.profile', `${profile} ${i}`)
      // Read as such it is a manifest like any other.
      accepted(readCorim(corimBytes([inTag(comid({ [key]: triple }))], profile)))
    }
  }
  accepted(checkedCorim(signedCorim(corimBytes([inTag(comid({ 0: [[environment(), [psa]]] }))], PROFILE.psa))))
  refused(checkedCorim(signedCorim(corimBytes([inTag(comid({ 0: [[uuid, [psa]]] }))], PROFILE.psa))), 'corim.profile')
  refused(checkedCorim(fill(3)), 'bytes.trailing')
})

test('what becomes of it: launch measurements with their registers, and nothing that somebody here does not understand', () => {
  const manifest = (triple: Writable, profile: string = PROFILE.snp, module: Readonly<Record<number, Writable>> = {}) => {
    const document = accepted(readCorim(corimBytes([inTag(comid({ 0: [triple] }, module))], profile)))
    return document.kind === 'corim' ? corimValues(document) : assert.fail(document.kind)
  }
  const launch = measurement(641, { 2: [digest(48, 7)] })
  const env = environment(t(111, new Uint8Array([42, 3])), { 1: t(560, fill(64)) })
  const snp = manifest([env, [launch]])
  assert.deepEqual([plainValues(snp), snp.leftOut], [[{ tee: 'snp', hex: '07'.repeat(48), name: 'manifest/module' }], []])
  assert.equal(plainValues(manifest([env, [launch, measurement(645, { 4: t(560, fill(4)) })]])).length, 0)
  const out: readonly [ReturnType<typeof manifest>, RegExp][] = [
    [manifest([env, [measurement(640, { 8: 'x' })]]), /one measurement 641/], [manifest([env, [launch, launch]]), /one measurement 641/], [manifest([env, [measurement(641, { 2: [digest(48, 7)] }, { 2: [KEY] })]]), /authorized/],
    [manifest([env, [launch, measurement(645, { 8: 'x' }, { 2: [KEY] })]]), /authorized/], [manifest([env, [measurement(641, { 2: [digest(48, 7)], [-3]: 1 })]]), /extensions -3/], [manifest([env, [launch]], PROFILE.snp, { [-4]: 1 }), /extensions -4/], [manifest([env, [measurement(641, { 2: [digest(32, 7)] })]]), /own length/],
    [manifest([env, [measurement(641, { 2: [digest(48, 7), digest(48, 7)] })]]), /own length/], [manifest([env, [launch]], 'https://acme.example/profile'), /no reference values are known/],
  ]
  for (const [values, why] of out) {
    assert.deepEqual(values.references, [])
    assert.match(values.leftOut[0]?.why ?? '', why)
  }
  const realm = (id: number) => manifest([environment(t(560, fill(32, id))), [measurement('cca.rim', { 2: [digest()] }), measurement('cca.rem1', { 2: [digest(32, 1, 9)] })]], PROFILE.ccaRealm)
  assert.deepEqual(plainValues(realm(7)), [{ tee: 'cca', hex: '07'.repeat(32), name: 'manifest/module', registers: { REM1: '09'.repeat(32) } }])
  assert.match(realm(8).leftOut[0]?.why ?? '', /two realms/)
})

test('keys that a manifest vouches for', () => {
  const keysOf = (keys: readonly Writable[], more: readonly Writable[] = []) => {
    const document = accepted(readCorim(corimBytes([inTag(comid({ 3: [[environment(IMPLEMENTATION, { 1: DEVICE }), keys, ...more]] }))])))
    return document.kind === 'corim' ? attestKeys(document) : assert.fail(document.kind)
  }
  const [found] = accepted(keysOf([KEY]))
  assert.deepEqual([found?.key, found?.environment.instance?.type], [SIGNER.key, 'ueid'])
  refused(keysOf([t(554, `${PEM}${PEM}`)]), 'crypto.key')
  refused(keysOf([t(555, PEM)]), 'crypto.key')
  refused(keysOf([t(557, digest())]), 'evidence.unsupported')
  refused(keysOf([KEY], [m({ 0: 'when' })]), 'evidence.unsupported')
})

test('documents beside: concise evidence, CoSERV, its discovery, keys', () => {
  const env = environment()
  const evidence = (triples: Readonly<Record<number, Writable>>, more = {}) => read(t(571, m({ 0: m(triples), ...more })))
  accepted(evidence({ 0: [[env, [measurement(1, { 2: [digest()] }, { 2: KEY })]]], 1: [[env, [KEY]]], 4: [[env, [m({ 0: 'x' })]]], 5: [[env, [KEY]]] }, { 1: t(37, fill(16)), 2: t(32, 'https://acme.example') }))
  refused(evidence({ 2: 1 }), 'corim.syntax')
  refused(evidence({ 4: [[env, [m({ 3: 'x' })]]] }), 'corim.syntax', /evidence\[0\]/)
  refused(evidence({ 0: [[env, [component()]]] }, { 1: t(37, fill(15)) }), 'cbor.syntax')
  const selector = (fields: Readonly<Record<number, Writable>>) => m({ 0: t(32, 'tag:vendor.example,2025:x'), 1: m({ 0: 0, 1: m(fields), 2: 0 }) })
  const query = selector({ 0: [[m({ 0: IMPLEMENTATION })]] })
  const asked = accepted(read(query))
  assert.ok(asked.kind === 'coserv' && asked.query.classes.length === 1)
  accepted(read(selector({ 1: [[DEVICE, [component()]]] })))
  refused(read(selector({ 1: [[DEVICE, [m({ 9: 1 })]]] })), 'corim.syntax', /measurements/)
  refused(read(selector({ 0: [[m({ 0: IMPLEMENTATION })]], 1: [[DEVICE]] })), 'corim.syntax', /selector$/)
  const results = (fields: Readonly<Record<number, Writable>>) => read(new Map([...query, [2, m(fields)]]))
  const rv = m({ 1: [KEY], 2: [env, [component()]] })
  const answered = accepted(results({ 0: [rv], 1: [rv], 3: [m({ 1: [KEY], 2: [env, [KEY]] })], 5: ['application/rim+cbor', fill(2), 1], 10: t(0, '2026-11-20T12:00:00Z'), 11: [[1, fill(2)]] }))
  assert.ok(answered.kind === 'coserv' && answered.reference.length === 1 && answered.expires === 1_795_176_000)
  for (const wrapper of [['application/rim+cbor', fill(2), -1], ['application/rim+cbor', 'text'], [true, fill(2)]]) refused(results({ 5: wrapper, 10: t(0, '2026-11-20T12:00:00Z') }), 'cbor.syntax', /rims/)
  refused(results({ 0: [rv] }), 'corim.syntax')
  for (const date of ['2026-02-30T12:00:00Z', '2026-11-20T12:00:00+01:00', '1969-12-31T23:59:59Z']) refused(results({ 10: t(0, date) }), 'corim.syntax', /expiry/)
  for (const key of [2, 4]) refused(results({ [key]: [rv], 10: t(0, '2026-11-20T12:00:00Z') }), 'evidence.unsupported')
  const discovery = (capability: Readonly<Record<number, Writable>>) => read(m({ 1: '1.0', 2: [m(capability)], 3: new Map([['query', '/coserv']]) }))
  assert.deepEqual(accepted(discovery({ 1: 'application/coserv+cbor', 2: ['source'] })), { kind: 'coserv-discovery', version: '1.0', mediaTypes: ['application/coserv+cbor'], endpoints: ['query /coserv'], keys: 0 })
  refused(discovery({ 1: 'application/coserv+cbor', 2: [1] }), 'cbor.syntax', /artifact-support/)
  const key = accepted(readCorim(writeCoseKey(SIGNER.key)))
  assert.ok(key.kind === 'key')
  assert.deepEqual(key.key, SIGNER.key)
})
