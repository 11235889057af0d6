import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { derOid, derSequence } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { parseJsonObject, type Json } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { authority, CA_EXTENSIONS, certificateDer, crlDer, LEAF_EXTENSIONS, NOW } from '../../crypto/chain.fixture.ts'
import { keyUsage, type CertificatePlan } from '../../crypto/issue.ts'
import { keyToSpki } from '../../crypto/keys.ts'
import { portable as p } from '../../crypto/portable.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { attempt, orRefuse, type RefusalCode } from '../../refusal.ts'
import { bootOf, logOf } from '../eventlog/log.fixture.ts'
import { GCP_INSTANCE_OID } from './gcp.ts'
import { instance, security } from './gcp.fixture.ts'
import { tpmRoots } from './roots.ts'
import { AK_CERTIFICATE_DER, CA_AUTHORITY, CA_DER, evidenceOf, ROOT_AUTHORITY, TEST_ROOTS } from './evidence.fixture.ts'
import { AK, AK384, AK_ATTRIBUTES, AK_RSAPSS, AK_RSASSA, areaOf, be, machineOf, nameOf } from './tpm.fixture.ts'
import { readTpm, verifyTpm, type TpmEvidence, type TpmOptions } from './verify.ts'

const CHAIN = [AK_CERTIFICATE_DER(), CA_DER].map(toBase64)
const certified = evidenceOf({ certificates: CHAIN })
const judge = (evidence: TpmEvidence, options: Partial<TpmOptions> = {}) => attempt(() => verifyTpm(p, evidence, { now: NOW, ...options }, TEST_ROOTS))
function refused(result: ReturnType<typeof attempt>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
function claims(evidence: TpmEvidence, options: Partial<TpmOptions> = {}) {
  const result = judge(evidence, options)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}
const names = (ak: typeof AK, area = areaOf(ak)) => [nameOf(area)]
const spkiName = (ak: typeof AK) => `spki:${toHex(p.hash('sha256', keyToSpki(ak.key)))}`

test('a quote under a certified key: claims, registers, events, endorsements', () => {
  const got = claims(certified)
  const machine = machineOf()
  assert.deepEqual([got.tee, got.simulated, got.product, got.signer, got.reportData, got.hostData, got.debug, got.migration, got.revocation], ['tpm', true, 'test vTPM', 'ak', toHex(utf8('nonce')), '', false, false, false])
  assert.deepEqual(got.registers, Object.fromEntries(Object.entries(machine.pcrs['sha256'] ?? {}).map(([index, value]) => [`PCR${index}`, value])))
  assert.equal(got.measurement, machine.pcrs['sha256']?.['0'])
  // The certificate covers the key and nothing else of the public area.
  assert.deepEqual([got.chipId, got.facts.akName, got.facts.akAttributes], [spkiName(AK), spkiName(AK), []])
  assert.deepEqual(got.endorsements, [...CHAIN.map(one => fromBase64(one)), TEST_ROOTS[1]?.certificate.der ?? new Uint8Array()].map(one => `sha256:${toHex(p.hash('sha256', one))}`))
  const leaf = orRefuse(parseCertificate(AK_CERTIFICATE_DER()))
  assert.deepEqual(got.validity, { notBefore: leaf.notBefore, notAfter: leaf.notAfter })
  assert.deepEqual([got.facts.akTrust, got.facts.bank, got.facts.clock, got.facts.firmwareVersion, got.facts.boot?.secureBoot, got.facts.unprovenEvents, got.facts.uncovered, got.facts.instance], ['chain', 'sha256', { milliseconds: '5', resetCount: 2, restartCount: 1, safe: true }, '0000000020190b23', true, 0, [], undefined])
  assert.equal(got.events?.length, bootOf().length - 1)
})

test('without a log there are no events and no word about how it started; a quote without PCR 0 names no measurement', () => {
  const { eventLog: _, ...bare } = certified
  const got = claims(bare)
  assert.deepEqual([got.events, got.facts.boot, got.facts.unprovenEvents, got.facts.uncovered], [undefined, undefined, undefined, undefined])
  const machine = machineOf(logOf([{ index: 4, type: 5, data: utf8('x') }]))
  const other = evidenceOf({ certificates: CHAIN, pcrs: machine.pcrs, eventLog: toBase64(machine.log) }, AK, { selections: machine.selections, digest: p.hash('sha256', machine.concatenated) })
  assert.equal(claims(other).measurement, '')
})

test('a key is believed by its chain, by its Name, or by its bare key where the relying party names that; never because it is there', () => {
  for (const ak of [AK, AK384, AK_RSASSA, AK_RSAPSS]) {
    const evidence = evidenceOf({}, ak)
    refused(judge(evidence), 'evidence.signer', 'ak')
    refused(judge(evidence, { aks: ['000b'] }), 'evidence.signer', 'ak')
    const named = claims(evidence, { aks: names(ak) })
    assert.deepEqual([named.chipId, named.facts.akName, named.facts.akAttributes], [names(ak)[0], names(ak)[0], ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign']])
    assert.deepEqual([named.facts.akTrust, named.product, named.simulated, named.endorsements, named.revocation, named.validity], ['name', 'TPM 2.0', false, [], false, { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER }])
  }
  const bare = evidenceOf({ ak: toBase64(keyToSpki(AK.key)) })
  refused(judge(bare), 'evidence.signer', 'ak')
  refused(judge({ ...bare, certificates: CHAIN }), 'evidence.signer', 'ak') // a certificate does not say that the key is restricted
  const known = claims(bare, { aks: [spkiName(AK)] })
  assert.deepEqual([known.facts.akTrust, known.facts.akName, known.facts.akAttributes], ['key', spkiName(AK), []])
  const withArea = claims(evidenceOf(), { aks: [spkiName(AK)] })
  assert.deepEqual([withArea.facts.akTrust, withArea.facts.akAttributes], ['key', []])
})

test('a key that the TPM did not make for quotes alone is refused, whoever names it', () => {
  for (const bit of [1, 4, 5, 16, 18]) {
    const area = areaOf(AK, { attributes: AK_ATTRIBUTES - 2 ** bit })
    refused(judge(evidenceOf({ ak: toBase64(area) }), { aks: [nameOf(area)] }), 'evidence.signer', 'ak.objectAttributes')
  }
  for (const bit of [11, 17]) {
    const area = areaOf(AK, { attributes: AK_ATTRIBUTES + 2 ** bit })
    refused(judge(evidenceOf({ ak: toBase64(area) }), { aks: [nameOf(area)] }), 'evidence.signer', 'ak.objectAttributes')
  }
})

test('the signature has the scheme and hash that the key is bound to', () => {
  const open = areaOf(AK, { scheme: be(0x10, 2) })
  refused(judge(evidenceOf({ ak: toBase64(open) }), { aks: [nameOf(open)] }), 'evidence.signer', 'signature.sigAlg')
  const pss = areaOf(AK_RSAPSS)
  refused(judge(evidenceOf({ ak: toBase64(pss) }, AK_RSASSA), { aks: [nameOf(pss)] }), 'evidence.signer', 'signature.sigAlg')
  const other = areaOf(AK, { scheme: concat(be(0x18, 2), be(12, 2)) })
  refused(judge(evidenceOf({ ak: toBase64(other) }), { aks: [nameOf(other)] }), 'evidence.signer', 'signature.sigAlg')
})

test('quote, registers and log must hold together', () => {
  refused(judge({ ...certified, signature: evidenceOf({}, AK, { nonce: utf8('another') }).signature }), 'evidence.signature')
  refused(judge({ ...certified, pcrs: machineOf(logOf(bootOf({ secure: false }))).pcrs }), 'evidence.binding', 'pcrs')
  refused(judge({ ...certified, eventLog: toBase64(logOf(bootOf({ secure: false }))) }), 'evidence.event-log', 'eventLog.PCR7')
  const machine = machineOf(undefined, 'sha384')
  const wide = evidenceOf({ certificates: CHAIN, pcrs: machine.pcrs }, AK, { selections: machine.selections, digest: p.hash('sha256', machine.concatenated) })
  assert.equal(claims(wide).facts.bank, 'sha384')
})

const leafChain = (change: Partial<CertificatePlan>) => ({ ...certified, certificates: [AK_CERTIFICATE_DER(change), CA_DER].map(toBase64) })
const extKeyUsage = (...oids: string[]) => ({ oid: '2.5.29.37', value: derSequence(...oids.map(derOid)) })

test('the chain ends at a pinned root, over this very key, through a certificate for attestation keys', () => {
  assert.ok(judge(leafChain({ extensions: [...LEAF_EXTENSIONS, extKeyUsage('1.2.3', '2.23.133.8.3')] })).ok)
  refused(judge(leafChain({ extensions: [...LEAF_EXTENSIONS, extKeyUsage('2.23.133.8.1')] })), 'evidence.signer', 'certificates[0]')
  refused(judge(leafChain({ extensions: [] })), 'evidence.signer', 'certificates[0]')
  refused(judge(leafChain({ extensions: [CA_EXTENSIONS[0] ?? keyUsage(0), keyUsage(0x80)] })), 'evidence.signer', 'certificates[0]')
  refused(judge(leafChain({ extensions: [keyUsage(0x20)] })), 'evidence.chain') // keyEncipherment: an endorsement key
  refused(judge(leafChain({ key: AK384.key })), 'evidence.binding', 'ak')
  refused(judge({ ...certified, certificates: [] }), 'evidence.missing', 'certificates')
  refused(judge({ ...certified, certificates: CHAIN.slice(0, 1) }), 'evidence.chain')
  refused(judge({ ...certified, certificates: [...CHAIN, toBase64(certificateDer(authority('stray'), ROOT_AUTHORITY))] }), 'evidence.chain', 'certificates[2]')
  refused(attempt(() => verifyTpm(p, certified, { now: NOW }, tpmRoots())), 'evidence.chain')
  refused(attempt(() => verifyTpm(p, certified, { now: NOW })), 'evidence.chain')
  refused(attempt(() => verifyTpm(p, certified, { now: NOW }, [])), 'evidence.chain', 'certificates')
  assert.ok(judge({ ...certified, certificates: [...CHAIN, toBase64(TEST_ROOTS[1]?.certificate.der ?? new Uint8Array())] }).ok)
})

test('dates and revocation lists, in a cache too', () => {
  const day = 86_400
  const lists = { crls: [crlDer(CA_AUTHORITY), crlDer(ROOT_AUTHORITY)].map(toBase64) }
  const cache = new Map()
  assert.equal(claims({ ...certified, ...lists }, { requireCrl: true }).revocation, true)
  assert.equal(claims({ ...certified, crls: lists.crls.slice(0, 1) }).revocation, false)
  refused(judge(certified, { requireCrl: true }), 'crl.missing')
  assert.ok(judge(certified, { cache }).ok)
  assert.equal(cache.size, 1)
  assert.ok(judge(certified, { cache }).ok)
  refused(judge(certified, { cache, requireCrl: true }), 'crl.missing')
  refused(judge(certified, { cache, now: NOW + 101 * day }), 'x509.expired')
  refused(judge(certified, { cache, now: NOW - 101 * day }), 'x509.not-yet-valid')
  refused(judge({ ...certified, crls: [toBase64(crlDer(CA_AUTHORITY, [1]))] }, { cache }), 'x509.revoked')
  refused(attempt(() => verifyTpm(p, certified, { now: NOW, cache }, tpmRoots())), 'evidence.chain')
})

test('shape: only known fields, all that must be there', () => {
  const json = { ...certified, crls: [] }
  const plain = (value: unknown) => parseJsonObject(JSON.stringify(value))
  assert.deepEqual(JSON.parse(JSON.stringify(readTpm(plain(json)))), JSON.parse(JSON.stringify(json)))
  const { kind, message, signature, ak, pcrs } = json
  const least = { kind, message, signature, ak, pcrs }
  assert.deepEqual(JSON.parse(JSON.stringify(readTpm(plain(least)))), JSON.parse(JSON.stringify(least)))
  const full = { ...json, certificates: Array.from({ length: 8 }, () => ''), crls: Array.from({ length: 8 }, () => '') }
  assert.equal(readTpm(plain(full)).crls?.length, 8)
  const bad: [Record<string, Json>, RefusalCode][] = [[{ more: 1 }, 'evidence.parse'], [{ message: 1 }, 'evidence.parse'], [{ certificates: Array.from({ length: 9 }, () => '') }, 'evidence.parse'], [{ crls: 'x' }, 'evidence.parse'], [{ pcrs: { md5: {} } }, 'evidence.parse'], [{ eventLog: 1 }, 'evidence.parse']]
  for (const [change, code] of bad) refused(attempt(() => readTpm(plain({ ...json, ...change }))), code)
  for (const name of ['message', 'signature', 'ak', 'pcrs']) refused(attempt(() => readTpm(plain({ ...json, [name]: undefined }))), 'evidence.parse')
  refused(judge({ ...certified, message: 'A' }), 'bytes.encoding')
})

test('the instance that Google names is among the facts', () => {
  const extended = (...tail: Uint8Array[]) => claims(leafChain({ extensions: [...LEAF_EXTENSIONS, { oid: GCP_INSTANCE_OID, value: instance(...tail) }] })).facts.instance
  assert.equal(extended(security(true))?.instanceName, 'name')
  assert.equal(extended(security(false)), undefined)
})
