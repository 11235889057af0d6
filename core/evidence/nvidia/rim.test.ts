import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../bytes/text.ts'
import { readXml } from '../../bytes/xml.ts'
import { authority } from '../../crypto/chain.fixture.ts'
import { keyUsage } from '../../crypto/issue.ts'
import { OCSP_SIGNING } from '../../crypto/ocsp.fixture.ts'
import { parseCrl } from '../../crypto/x509.ts'
import { fromBase64 } from '../../bytes/base64.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, orRefuse, type RefusalCode, type Result } from '../../refusal.ts'
import { certify, DAY, goldenOf, holder, identityCertificate, list, NOW, RIM_CA, RIM_ROOT, RIM_SIGNER, rimCaCertificate, rimSignerCertificate, rimXml, testRoots, valueOf, type RimPlan } from './nvidia.fixture.ts'
import { readPayload, verifyRim, type VerifiedRim } from './rim.ts'

const judgeBytes = (bytes: Uint8Array, now = NOW): Result<VerifiedRim> => attempt(() => verifyRim(p, bytes, { now, root: testRoots().rim }))
const judge = (plan: RimPlan = {}, now = NOW) => judgeBytes(rimXml(plan), now)
function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const swap = (from: string | RegExp, to: string) => (text: string) => {
  assert.notEqual(text.replace(from, to), text, `nothing to exchange: ${from}`)
  return text.replace(from, to)
}

test('an honest manifest: its version, its golden values, its time', () => {
  const result = judge()
  assert.ok(result.ok, JSON.stringify(result))
  const { product, edition, version, id, golden, notBefore, notAfter } = result.value
  assert.deepEqual([product, edition, version, id, golden.length, golden.filter(one => one.active).map(one => one.index)], ['GH100', 'GPU', '550.90.07', 'id-of-550.90.07', 64, [2, 3, 20]])
  assert.deepEqual([notBefore, notAfter], [NOW - 100 * DAY, NOW + 100 * DAY])
  assert.ok(judge({ certificates: [rimSignerCertificate(), rimCaCertificate()] }).ok, 'the root may be left out')
})

test('how the document is written is not signed, what it says is', () => {
  assert.ok(judge({ signed: swap(/size="48"\/>/g, 'size="48"></ns0:Resource>') }).ok)
  assert.ok(judge({ signed: text => `<?xml version="1.0" encoding="UTF-8"?>\n${text}\n` }).ok)
  for (const change of [swap('550.90.07', '550.90.08'), swap('active="False"', 'active="True"'), swap('Measurement_3"', 'Measurement_03"'), swap('    <ns0:Meta', '   <ns0:Meta'), swap('revision="r1"', 'revision="r2"'), swap('</SoftwareIdentity>', ' </SoftwareIdentity>')]) refused(judge({ signed: change }), 'evidence.signature', 'rim')
})

test('every bit of a manifest flipped: refused, or a spelling of the same document', () => {
  const honest = rimXml({ golden: goldenOf(2) })
  const content = (result: Result<VerifiedRim>) => (result.ok ? JSON.stringify({ ...result.value, document: 0, chain: 0 }) : '')
  const expected = content(judgeBytes(honest))
  let spellings = 0
  for (let at = 0; at < honest.length; at += 37) {
    const altered = honest.slice()
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 7))
    const result = judgeBytes(altered)
    if (!result.ok) continue
    assert.equal(content(result), expected, `byte ${at}`)
    spellings++
  }
  assert.ok(spellings < 10, `${spellings}`)
})

test('signed by another key, or another document under the signature', () => {
  refused(judge({ signer: holder('somebody else') }), 'evidence.signature', 'rim')
  refused(judge({ digest: 'A'.repeat(64) }), 'evidence.signature', 'rim')
})

test('only the one form of signature', () => {
  refused(judge({ template: swap('2006/12/xml-c14n11"/><ds:SignatureMethod', 'TR/2001/REC-xml-c14n-20010315"/><ds:SignatureMethod') }), 'crypto.algorithm')
  refused(judge({ template: swap('ecdsa-sha384', 'ecdsa-sha256') }), 'crypto.algorithm')
  refused(judge({ template: swap('xmldsig-more#sha384', 'xmldsig-more#sha224') }), 'crypto.algorithm')
  refused(judge({ template: swap('#enveloped-signature', '#base64') }), 'crypto.algorithm')
  refused(judge({ template: swap('<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/>', '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>') }), 'crypto.algorithm')
  refused(judge({ template: swap('<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/>', '') }), 'evidence.parse')
  refused(judge({ template: swap('URI=""', 'URI="#id"') }), 'evidence.parse')
  refused(judge({ template: swap(' URI=""', '') }), 'evidence.parse')
  refused(judge({ template: swap(/(<ds:Reference.*<\/ds:Reference>)/, '$1$1') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:KeyInfo>', '<ds:Object/><ds:KeyInfo>') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:KeyInfo>', '<ds:KeyInfo><ds:KeyName/>') }), 'evidence.parse')
  refused(judge({ template: swap('</ds:KeyInfo>', '</ds:KeyInfo><ds:Object/>') }), 'evidence.parse')
  refused(judge({ template: swap(/<(\/?)ds:KeyInfo>/g, '<$1KeyInfo>') }), 'evidence.parse')
  refused(judge({ template: swap(/<(\/?)ds:X509Certificate>/g, '<$1X509Certificate>') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:KeyInfo>', '<ds:KeyInfo Id="x">') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:X509Data>', '<ds:X509Data Id="x">') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:X509Certificate>', '<ds:X509Certificate Id="x">') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:SignatureValue>', '<ds:SignatureValue Id="x">') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:SignedInfo>', '<ds:SignedInfo Id="x">') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:Transforms>', '<ds:Transforms Id="x">') }), 'evidence.parse')
  refused(judge({ template: swap('c14n11"/><ds:SignatureMethod', 'c14n11">x</ds:CanonicalizationMethod><ds:SignatureMethod') }), 'evidence.parse')
  refused(judge({ template: swap('<ds:X509Data>', '<ds:X509Data>x') }), 'xml.syntax')
  refused(judge({ template: swap('xmldsig#"', 'xmldsig-other#"') }), 'evidence.parse')
  refused(judge({ certificates: [] }), 'evidence.parse')
  refused(judge({ certificates: Array.from({ length: 7 }, rimSignerCertificate) }), 'evidence.parse')
  refused(judge({ certificates: Array.from({ length: 6 }, rimSignerCertificate) }), 'evidence.chain')
  refused(judge({ certificates: [rimSignerCertificate(), rimCaCertificate(), rimCaCertificate()] }), 'evidence.chain', 'rim.certificates[2]')
})

test('a manifest larger than any is refused before it is read', () => {
  assert.ok(judge({ text: swap('    <ns0:Entity', `${' '.repeat(200_000)}<ns0:Entity`) }).ok)
  refused(judge({ text: swap('    <ns0:Entity', `${' '.repeat(256 * 1024)}<ns0:Entity`) }), 'bytes.too-large')
})

test('wrapped, moved, doubled or missing parts (attacks.md row 10)', () => {
  refused(judge({ signed: swap(/<ds:Signature .*<\/ds:Signature>/s, '') }), 'evidence.parse')
  refused(judge({ signed: swap(/(<ds:Signature .*<\/ds:Signature>)/s, '$1$1') }), 'evidence.parse')
  refused(judge({ signed: swap(/(<ns0:Payload .*<\/ns0:Payload>)/s, '$1$1') }), 'evidence.parse')
  refused(judge({ signed: text => `<Wrapper>${text}</Wrapper>` }), 'evidence.parse')
  refused(judge({ text: swap('    <ns0:Entity', '    <ns0:Link/><ns0:Entity') }), 'evidence.parse')
  refused(judge({ text: swap(/<ns0:Entity[^>]*>/, '') }), 'evidence.parse')
  refused(judge({ text: swap(/<ns0:Meta[^>]*>/, '') }), 'evidence.parse')
})

test('what a manifest must say of itself', () => {
  for (const change of [
    swap('name="NVIDIA Corporation"', 'name="Another"'), swap('softwareCreator tagCreator', 'softwareCreator'), swap('PayloadType="direct"', 'PayloadType="indirect"'), swap(' tagId="id-of-550.90.07"', ''), swap(' colloquialVersion="550.90.07"', ''),
    swap(' edition="GPU"', ''), swap(' product="GH100"', ''), swap('corpus="false"', 'more="false"'), swap('edition="GPU"', 'edition="GPU" more="x"'), swap('ns1:BindingSpec=', 'ns2:BindingSpec='), swap('role="softwareCreator', 'more="x" role="softwareCreator'),
  ]) refused(judge({ text: change }), 'evidence.parse')
  refused(judge({ text: swap('tagCreator"/>', 'tagCreator">x</ns0:Entity>') }), 'evidence.parse')
  refused(judge({ text: swap('BindingSpec="RIMIM"/>', 'BindingSpec="RIMIM">x</ns0:Meta>') }), 'evidence.parse')
})

test('attributes of another namespace are not taken for the manifest’s own', () => {
  const result = judge({ text: swap('ns1:BindingSpec=', 'ns1:product="GB100" ns1:BindingSpec=') })
  assert.equal(result.ok && result.value.product, 'GH100')
})

test('golden values: numbers, flags, alternatives, digests of 48 bytes', () => {
  const third = (from: string, to: string) => swap(new RegExp(`(index="2" [^>]*)${from}`), `$1${to}`)
  refused(judge({ text: third('active="True"', 'active="true"') }), 'evidence.parse')
  refused(judge({ text: third('alternatives="1"', 'alternatives="2"') }), 'evidence.parse')
  refused(judge({ text: third('alternatives="1"', 'alternatives="0"') }), 'evidence.parse')
  refused(judge({ text: third('alternatives="1" ns2:Hash0="[0-9a-f]*"', 'alternatives="0"') }), 'evidence.parse')
  refused(judge({ text: third('alternatives="1"', 'alternatives="33"') }), 'evidence.parse')
  refused(judge({ text: third('alternatives="1"', 'alternatives="01"') }), 'evidence.parse')
  refused(judge({ text: third('ns2:Hash0', 'ns2:Hash1') }), 'evidence.parse')
  refused(judge({ text: third('ns2:Hash0="', `ns2:Hash1="${'00'.repeat(48)}" ns2:Hash0="`) }), 'evidence.parse')
  refused(judge({ text: third('size="48"', 'size="32"') }), 'evidence.parse')
  refused(judge({ text: third('size="48"', 'size="65"') }), 'evidence.parse')
  refused(judge({ text: third('size="48"/>', 'size="48">x</ns0:Resource>') }), 'evidence.parse')
  refused(judge({ golden: { 2: ['03'.repeat(47)] } }), 'evidence.parse')
  refused(judge({ golden: { 2: ['0A'.repeat(48)] } }), 'evidence.parse')
  refused(judge({ golden: { 2: ['xx'.repeat(48)] } }), 'bytes.encoding')
  refused(judge({ text: swap('index="4"', 'index="3"') }), 'evidence.parse')
  refused(judge({ text: swap('index="4"', 'index="127"') }), 'evidence.parse')
  refused(judge({ text: swap(' index="4"', '') }), 'evidence.parse')
  refused(judge({ text: swap('type="Measurement" index="4"', 'type="File" index="4"') }), 'evidence.parse')
  refused(judge({ text: swap(/<ns0:Resource ([^>]*)>/, '<ns0:Directory $1>') }), 'evidence.parse')
  refused(judge({ text: swap('<ns0:Payload ', '<ns0:Payload more="x" ') }), 'evidence.parse')
  assert.ok(judge({ golden: { 2: Array.from({ length: 32 }, (_, i) => `${String(i + 10)}`.repeat(48)) } }).ok)
})

test('the signer: in force, with a P-384 key, under the pinned root, with nothing beside its path (attacks.md rows 21 to 27)', () => {
  for (const at of [NOW - 100 * DAY, NOW + 100 * DAY]) assert.ok(judge({}, at).ok)
  refused(judge({}, NOW + 101 * DAY), 'x509.expired')
  refused(judge({}, NOW - 101 * DAY), 'x509.not-yet-valid')
  refused(judge({ certificates: [rimSignerCertificate()] }), 'evidence.chain')
  refused(judge({ certificates: [rimSignerCertificate(), rimCaCertificate(), identityCertificate()] }), 'evidence.chain', 'rim.certificates[2]')
  refused(judge({ certificates: [certify(RIM_SIGNER, holder('Test Reference Value CA', undefined, 'forged'), { extensions: [keyUsage(0x80)] }), rimCaCertificate()] }), 'evidence.chain')
  refused(judge({ certificates: [certify({ ...RIM_SIGNER, key: authority('a P-256 key').key }, RIM_CA, { extensions: [keyUsage(0x80)] }), rimCaCertificate()] }), 'evidence.chain', 'rim.certificates')
  refused(judge({ certificates: [certify(RIM_SIGNER, RIM_CA, { extensions: [keyUsage(0x04)] }), rimCaCertificate()] }), 'evidence.chain')
  refused(judge({ certificates: [certify(RIM_SIGNER, RIM_CA, { extensions: [keyUsage(0x80), OCSP_SIGNING] }), rimCaCertificate()] }), 'evidence.chain')
  refused(judge({ certificates: [certify(RIM_SIGNER, RIM_CA, { extensions: [keyUsage(0x80)] }), certify(RIM_CA, RIM_ROOT, { extensions: [keyUsage(0x80)] })] }), 'evidence.chain')
})

test('a signer that its authority revoked', () => {
  const judgeWith = (...crls: string[]) => attempt(() => verifyRim(p, rimXml(), { now: NOW, root: testRoots().rim, crls: crls.map(one => orRefuse(parseCrl(fromBase64(one)))) }))
  assert.ok(judgeWith(list(RIM_CA), list(RIM_ROOT)).ok)
  refused(judgeWith(list(RIM_CA, ['44'])), 'x509.revoked')
  refused(judgeWith(list(RIM_ROOT, ['33'])), 'x509.revoked')
  refused(judgeWith(list(RIM_CA, [], [NOW - 2 * DAY, NOW - DAY])), 'crl.expired')
})

test('a payload read alone, as it is written', () => {
  const golden = readPayload(readXml(utf8('<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:h="http://www.w3.org/2001/04/xmlenc#sha384"><Payload><Resource type="Measurement" index="0" active="True" alternatives="2" h:Hash0="a" h:Hash1="b" name="n" size="10"/></Payload></SoftwareIdentity>')))
  assert.deepEqual(golden, [{ index: 0, active: true, name: 'n', size: 10, hashes: ['a', 'b'] }])
  assert.equal(valueOf(3).length, 48)
  const one = '<Payload><Resource type="Measurement" index="0" active="True" alternatives="1" h:Hash0="a" name="n" size="10"/></Payload>'
  const parse = (name: string, namespace: string, inner: string) => attempt(() => readPayload(readXml(utf8(`<${name} xmlns="${namespace}" xmlns:h="http://www.w3.org/2001/04/xmlenc#sha384">${inner}</${name}>`))))
  const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
  assert.ok(parse('SoftwareIdentity', SWID, one).ok)
  refused(parse('SoftwareIdentity', SWID, '<Payload/>'), 'evidence.parse')
  refused(parse('SoftwareIdentity', SWID, one + one), 'evidence.parse')
  refused(parse('SoftwareIdentity', SWID, one.replaceAll('Payload', 'x:Payload').replace('Payload', 'Payload xmlns:x="urn:x"')), 'evidence.parse')
  refused(parse('Software', SWID, one), 'evidence.parse')
  refused(parse('SoftwareIdentity', 'urn:another', one), 'evidence.parse')
})
