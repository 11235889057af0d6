import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { parseOcsp } from '@cloister/core/crypto/ocsp'
import { readPem, writePem } from '@cloister/core/crypto/pem'
import { orRefuse } from '@cloister/core/refusal'
import { authority, certificateDer, crlDer } from '@cloister/core/crypto/chain.fixture'
import { holder } from '@cloister/core/evidence/snp/snp.fixture'
import { basicConstraintsCa, keyUsage } from '@cloister/core/crypto/issue'
import { certify, holder as nvidiaHolder, list as nvidiaListOf, IDENTITY, identityCertificate, RIM_CA, RIM_ROOT, RIM_SIGNER, rimCaCertificate, rimSignerCertificate, answer } from '@cloister/core/evidence/nvidia/nvidia.fixture'
import { addCollateral } from './add.ts'
import { add, addOne, amdChain, arkList, body, DAY, deviceAnswers, driverRim, file, intelAt, intelEvidence, newStore, NOW, nvidiaEvidence, outcomeOf, p, rimAnswers, rimFile, roots, vbiosRim, vek } from './collateral.fixture.ts'
import { LIMITS } from './documents.ts'

const flipped = (bytes: Uint8Array, at = bytes.length - 20) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))

test('AMD: keys of chips and providers, for each product line, and what they are looked up by', context => {
  const store = newStore(context)
  assert.equal(addOne(store, file('a.der', vek())), 'amd-vek')
  assert.equal(addOne(store, file('b.der', vek({ product: 'Turin' }))), 'amd-vek')
  assert.equal(addOne(store, file('c.pem', writePem('CERTIFICATE', vek({ signer: 'vlek' })))), 'amd-vek')
  const abouts = store.list().entries.map(one => one.about).sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1))
  assert.deepEqual(abouts.map(one => [one['product'], one['signer'], one['id']?.length, one['tcb']]), [['Genoa', 'vcek', 128, 'bl=10 tee=0 snp=23 ucode=84'], ['Genoa', 'vlek', 5, 'bl=10 tee=0 snp=23 ucode=84'], ['Turin', 'vcek', 16, 'fmc=1 bl=1 tee=1 snp=4 ucode=81']])
})

test('AMD: a key that no root vouches for is refused, in every form', context => {
  const store = newStore(context)
  assert.equal(addOne(store, file('a.der', flipped(vek()))), 'x509.signature')
  assert.equal(addOne(store, file('a.der', vek({ issuer: holder('SEV-Genoa', 'somebody') }))), 'x509.signature')
  assert.equal(addOne(store, file('a.der', vek({ issuer: holder('Somebody') }))), 'x509.issuer')
  assert.equal(addOne(store, file('a.der', vek({ extensions: list => list.filter(one => !one.oid.endsWith('3704.1.4')) }))), 'evidence.signer')
  assert.equal(outcomeOf(addCollateral(p, store, [file('a.der', vek())], NOW)[0]), 'x509.issuer', 'test roots are believed only by whoever hands them in')
  assert.deepEqual(store.list().entries, [])
})

test('AMD: a chain that is pinned needs no filing; a list is filed when the root signed it', context => {
  const store = newStore(context)
  const [chain] = add(store, file('cert_chain', amdChain()))
  assert.ok(chain?.outcome.ok === true)
  assert.deepEqual(chain.outcome.value, { filed: [], left: ['SEV-Genoa', 'ARK-Genoa'] })
  assert.equal(addOne(store, file('crl', arkList())), 'amd-crl')
  assert.equal(addOne(store, file('crl.pem', writePem('X509 CRL', arkList('Milan')))), 'amd-crl')
  assert.equal(addOne(store, file('crl', flipped(arkList()))), 'crl.signature')
  assert.deepEqual(store.list().entries.map(one => one.about['product']).sort(), ['Genoa', 'Milan'])
})

test('AMD: a list older than the one that is here is kept and said to be older; one that is over is kept and said to be over', context => {
  const store = newStore(context)
  const flags = (bytes: Uint8Array) => {
    const [report] = add(store, file('crl', bytes))
    return report?.outcome.ok === true ? report.outcome.value.filed.map(one => [one.known, one.expired, one.superseded]) : []
  }
  assert.deepEqual(flags(arkList()), [[false, false, false]])
  assert.deepEqual(flags(arkList()), [[true, false, false]])
  assert.deepEqual(flags(arkList('Genoa', [9], [NOW - 2 * DAY, NOW + DAY])), [[false, false, true]])
  assert.deepEqual(flags(arkList('Genoa', [], [NOW - 9 * DAY, NOW - 5 * DAY])), [[false, true, true]])
  assert.deepEqual(flags(arkList('Genoa', [9], [NOW - 100, NOW + DAY])), [[false, false, false]])
  assert.equal(store.list().entries.length, 4)
})

test('Intel: a whole collateral file needs the authority of its list, which the quote brings', context => {
  const store = newStore(context)
  const { collateral, quote } = intelEvidence()
  const whole = file('collateral.json', JSON.stringify(collateral))
  assert.equal(addOne(store, whole), 'crl.issuer')
  assert.deepEqual(store.list().entries, [], 'a file is filed whole or not at all')
  assert.deepEqual(add(store, whole, file('quote.bin', fromBase64(quote))).map(outcomeOf), ['intel-tcb-info intel-qe-identity intel-pck-crl intel-root-crl', 'intel-ca'])
  assert.deepEqual(store.list().entries.find(one => one.kind === 'intel-tcb-info')?.about, { tee: 'tdx', fmspc: '00906ea10000', evaluation: '18' })
  const other = newStore(context)
  assert.equal(addOne(other, file('evidence.json', JSON.stringify(intelEvidence()))), 'intel-ca intel-tcb-info intel-qe-identity intel-pck-crl intel-root-crl')
  assert.deepEqual(other.list().entries.map(one => one.digest), store.list().entries.map(one => one.digest), 'the same documents by whichever road')
  assert.equal(addOne(other, whole), 'intel-tcb-info intel-qe-identity intel-pck-crl intel-root-crl', 'the authority is known by now')
})

test('Intel: the body of the service and the headers it came with', context => {
  const store = newStore(context)
  const { collateral } = intelEvidence({ tee: 'sgx' })
  const answer = file('tcb.json', body('tcbInfo', collateral.tcb_info, collateral.tcb_info_signature))
  const headers = file('headers.txt', `HTTP/1.1 200 OK\r\nTCB-Info-Issuer-Chain: ${encodeURIComponent(collateral.tcb_info_issuer_chain)}\r\nRequest-ID: 1\r\n`)
  assert.equal(addOne(store, answer), 'x509.issuer')
  assert.deepEqual(add(store, answer, headers).map(outcomeOf), ['intel-tcb-info', 'intel-ca'])
  assert.equal(addOne(store, file('qe.json', body('enclaveIdentity', collateral.qe_identity, collateral.qe_identity_signature))), 'intel-qe-identity', 'the signer is known by now')
  const early = { ...file('tcb.json', body('tcbInfo', collateral.tcb_info, collateral.tcb_info_signature)), update: 'early' as const }
  assert.equal(addOne(newStore(context), { ...early }, headers), 'intel-tcb-info')
})

test('Intel: an early update is marked, until it comes as the standard one', context => {
  const store = newStore(context)
  const evidence = JSON.stringify(intelEvidence())
  const update = () => store.list().entries.find(one => one.kind === 'intel-tcb-info')?.about['update']
  add(store, { ...file('evidence.json', evidence), update: 'early' })
  assert.equal(update(), 'early')
  add(store, file('evidence.json', evidence))
  assert.equal(update(), undefined)
  add(store, { ...file('evidence.json', evidence), update: 'early' })
  assert.equal(update(), undefined, 'what was given out to everybody stays so')
})

test('Intel: documents that Intel did not sign are refused', context => {
  const store = newStore(context)
  const { collateral, quote } = intelEvidence()
  const tried = (change: Partial<Record<keyof typeof collateral, string>>) => outcomeOf(add(store, file('collateral.json', JSON.stringify({ ...collateral, ...change })), file('quote.bin', fromBase64(quote)))[0])
  assert.equal(tried({ tcb_info: collateral.tcb_info.replace('UpToDate', 'uptoDate') }), 'evidence.collateral')
  assert.equal(tried({ tcb_info: collateral.tcb_info.replace('"pcesvn":11', '"pcesvn":10') }), 'evidence.collateral')
  assert.equal(tried({ tcb_info: ` ${collateral.tcb_info}` }), 'evidence.collateral')
  assert.equal(tried({ qe_identity_signature: '00'.repeat(64) }), 'evidence.collateral')
  assert.equal(tried({ qe_identity: collateral.tcb_info, qe_identity_signature: collateral.tcb_info_signature }), 'evidence.collateral')
  assert.equal(tried({ tcb_info_issuer_chain: '' }), 'intel-tcb-info intel-qe-identity intel-pck-crl intel-root-crl', 'the other document brings the same signer')
  assert.equal(tried({ root_ca_crl: toHex(flipped(fromHex(collateral.root_ca_crl))) }), 'crl.signature')
  assert.equal(tried({ pck_crl: toHex(flipped(fromHex(collateral.pck_crl))) }), 'crl.signature')
  assert.equal(tried({ extra: 'x' } as Record<string, string>), 'evidence.parse')
  const forged = intelEvidence({ signing: { by: authority('Intel SGX Root CA', 'somebody') } })
  assert.equal(addOne(newStore(context), file('evidence.json', JSON.stringify(forged))), 'x509.signature')
  const named = intelEvidence({ signing: { as: authority('Somebody') } })
  assert.equal(addOne(newStore(context), file('evidence.json', JSON.stringify(named))), 'x509.issuer')
  const authorityOfNobody = certificateDer(authority('Intel SGX PCK Platform CA', 'x'), authority('Intel SGX Root CA', 'x'))
  assert.equal(addOne(newStore(context), file('ca.der', authorityOfNobody)), 'x509.signature')
  const list = file('crl.der', crlDer(authority('Intel SGX PCK Platform CA', 'x')))
  assert.deepEqual(add(newStore(context), list, file('ca.der', authorityOfNobody)).map(outcomeOf), ['x509.signature', 'x509.signature'])
})

test('Intel: what was in force years ago is filed, because its chain held then', context => {
  const store = newStore(context)
  const old = intelAt(NOW - 60 * DAY, NOW - 30 * DAY, 15)
  const [report] = add(store, file('evidence.json', JSON.stringify(old)))
  assert.ok(report?.outcome.ok === true)
  assert.deepEqual(report.outcome.value.filed.filter(one => one.entry.kind === 'intel-tcb-info').map(one => [one.expired, one.entry.notAfter]), [[true, NOW - 30 * DAY]])
  assert.equal(outcomeOf(addCollateral(p, store, [file('evidence.json', JSON.stringify(intelAt(NOW - DAY, NOW + DAY)))], NOW + 3000 * DAY, roots())[0]), 'intel-ca intel-tcb-info intel-qe-identity intel-pck-crl intel-root-crl', 'also when all of it is over by now')
})

test('NVIDIA: manifests bring the authorities of their signers; answers follow', context => {
  const store = newStore(context)
  const answers = rimAnswers().map((one, i) => file(`answer-${i}.der`, fromBase64(one)))
  assert.deepEqual(add(store, ...answers).map(outcomeOf), ['x509.issuer', 'nvidia-ocsp'], 'the second is the root\'s own')
  assert.deepEqual(add(store, ...answers, rimFile('NV_GPU_DRIVER_GH100_550.90.07.xml', driverRim())).map(outcomeOf), ['nvidia-ocsp', 'nvidia-ocsp', 'nvidia-rim nvidia-ca'])
  assert.equal(addOne(store, rimFile('some file.xml', vbiosRim())), 'nvidia-rim nvidia-ca')
  assert.equal(addOne(store, rimFile('NV_GPU_VBIOS_1010_0200_882_96009F0001.xml', vbiosRim())), 'nvidia-rim nvidia-ca')
  assert.equal(addOne(store, file('service.json', JSON.stringify({ id: 'NV_GPU_DRIVER_GH100_550.90.07', rim: driverRim(), sha256: '', rim_format: 'TCG' }))), 'nvidia-rim nvidia-ca')
  assert.deepEqual(store.list().entries.filter(one => one.kind === 'nvidia-rim').map(one => one.about['id']).sort(), ['NV_GPU_DRIVER_GH100_550.90.07', 'NV_GPU_VBIOS_1010_0200_882_96009F0001'], 'the name came with the second file')
  assert.equal(addOne(store, file('answer.txt', rimAnswers()[0] ?? '')), 'nvidia-ocsp', 'base64 too')
})

test('NVIDIA: manifests, answers and lists that NVIDIA did not sign are refused', context => {
  const store = newStore(context)
  assert.equal(addOne(store, rimFile('a.xml', driverRim({ signed: text => text.replace('GPU', 'GPX') }))), 'evidence.signature')
  assert.equal(addOne(store, rimFile('a.xml', driverRim({ signer: nvidiaHolder('Somebody') }))), 'evidence.signature')
  assert.equal(addOne(store, rimFile('a.xml', driverRim({ certificates: [rimSignerCertificate()] }))), 'evidence.chain')
  assert.equal(addOne(store, rimFile('NV_GPU_DRIVER_GH100_550.90.08.xml', driverRim())), 'evidence.collateral')
  const ca = file('ca.der', rimCaCertificate())
  const forged = answer(rimSignerCertificate(), nvidiaHolder('Test Reference Value CA', undefined, 'somebody'), rimCaCertificate())
  assert.deepEqual(add(store, file('a.der', fromBase64(forged)), ca).map(outcomeOf), ['crl.issuer', 'nvidia-ca'])
  const honest = fromBase64(rimAnswers()[0] ?? '')
  const signature = Buffer.from(honest).indexOf(orRefuse(parseOcsp(honest)).signature)
  assert.equal(addOne(store, file('a.der', flipped(honest, signature + 20))), 'crl.signature')
  assert.equal(addOne(store, file('list.der', fromBase64(nvidiaListOf(RIM_CA)))), 'nvidia-crl')
  assert.equal(addOne(store, file('list.der', flipped(fromBase64(nvidiaListOf(RIM_CA))))), 'crl.signature')
  assert.equal(addOne(store, file('list.der', fromBase64(nvidiaListOf(IDENTITY)))), 'crl.issuer', 'its authority is not known yet')
  assert.deepEqual(add(store, file('list.der', fromBase64(nvidiaListOf(IDENTITY))), file('identity.der', identityCertificate())).map(outcomeOf), ['nvidia-crl', 'nvidia-ca'])
})

test('NVIDIA: whoever calls himself an authority is none; nor is a signer of manifests, whoever made him one', context => {
  const store = newStore(context)
  const rogue = nvidiaHolder('Test Reference Value CA', undefined, 'somebody')
  const [rogueRoot, rogueCa] = [nvidiaHolder('Test RIM Root CA', undefined, 'somebody'), certify(rogue, nvidiaHolder('Test RIM Root CA', undefined, 'somebody'))]
  const certificates = [file('ca.der', rogueCa), file('root.der', certify(rogueRoot, rogueRoot))]
  assert.deepEqual(add(store, file('a.der', fromBase64(answer(rimSignerCertificate(), rogue, rogueCa))), ...certificates).map(outcomeOf), ['x509.signature', 'x509.signature', 'x509.signature'])
  assert.deepEqual(add(store, file('l.der', fromBase64(nvidiaListOf(rogue))), ...certificates).map(outcomeOf), ['x509.signature', 'x509.signature', 'x509.signature'])
  const below = certify(nvidiaHolder('Below'), RIM_SIGNER)
  assert.deepEqual(add(store, file('a.der', fromBase64(answer(below, RIM_SIGNER, rimSignerCertificate()))), file('signer.der', rimSignerCertificate()), file('ca.der', rimCaCertificate())).map(outcomeOf), ['x509.issuer', '', 'nvidia-ca'])
  assert.deepEqual(store.list().entries.map(one => one.kind), ['nvidia-ca'])
})

test('an authority that may not sign lists does not, and one number of TCB info supersedes another', context => {
  const store = newStore(context)
  const [own, above] = [authority('Intel SGX PCK Platform CA'), authority('Intel SGX Root CA')]
  const weak = certificateDer(own, above, { serial: new Uint8Array([3]), extensions: [basicConstraintsCa(), keyUsage(0x04)] })
  assert.deepEqual(add(store, file('crl.der', crlDer(own)), file('ca.der', weak)).map(outcomeOf), ['crl.signature', 'intel-ca'])
  add(store, file('e.json', JSON.stringify(intelAt(NOW - DAY, NOW + DAY, 18))))
  const [report] = add(store, file('e.json', JSON.stringify(intelAt(NOW - 2 * DAY, NOW + DAY, 17))))
  assert.deepEqual(report?.outcome.ok === true ? report.outcome.value.filed.filter(one => one.entry.kind === 'intel-tcb-info').map(one => one.superseded) : [], [true])
})

test('a collateral file that leaves documents out', context => {
  const store = newStore(context)
  const { tcb_info, tcb_info_signature, tcb_info_issuer_chain, root_ca_crl } = intelEvidence().collateral
  assert.equal(addOne(store, file('c.json', JSON.stringify({ tcb_info, tcb_info_signature, tcb_info_issuer_chain, root_ca_crl }))), 'intel-tcb-info intel-root-crl')
})

test('NVIDIA: roots need no filing and sign lists; a file with manifests among others comes first', context => {
  const store = newStore(context)
  assert.deepEqual(add(store, file('rim.der', roots().nvidia.rim.der), file('device.der', roots().nvidia.device.der)).map(outcomeOf), ['', ''])
  assert.equal(addOne(store, file('list.der', fromBase64(nvidiaListOf(RIM_ROOT)))), 'nvidia-crl')
  const mixed = { kind: 'nvidia', rims: [driverRim()], ocsp: rimAnswers().slice(1) }
  assert.deepEqual(add(store, file('answer.der', fromBase64(rimAnswers()[0] ?? '')), file('mixed.json', JSON.stringify(mixed))).map(outcomeOf), ['nvidia-ocsp', 'nvidia-rim nvidia-ca nvidia-ocsp'])
})

test('NVIDIA: an answer that takes a certificate back is filed like any other', context => {
  const store = newStore(context)
  const revoked = rimAnswers({ status: { revokedAt: NOW - DAY, reason: 6 } })[0] ?? ''
  assert.equal(addOne(store, file('a.der', fromBase64(revoked)), file('ca.der', rimCaCertificate())), 'nvidia-ocsp')
  assert.equal(store.list().entries.find(one => one.kind === 'nvidia-ocsp')?.about['status'], 'revoked')
})

test('NVIDIA: evidence of a device brings its authorities and all its documents', context => {
  const store = newStore(context)
  const evidence = nvidiaEvidence({}, { rims: [driverRim(), vbiosRim()], ocsp: [...deviceAnswers(), ...rimAnswers()] })
  const outcome = addOne(store, file('evidence.json', JSON.stringify(evidence)))
  assert.deepEqual(outcome.split(' ').sort(), ['nvidia-ca', 'nvidia-ca', 'nvidia-ca', 'nvidia-ca', 'nvidia-ocsp', 'nvidia-ocsp', 'nvidia-ocsp', 'nvidia-ocsp', 'nvidia-rim', 'nvidia-rim'])
})

test('what is nothing of these, or too much, is refused with words', context => {
  const store = newStore(context)
  for (const [bytes, code] of [
    ['', 'evidence.parse'], ['hello', 'evidence.parse'], ['{}', 'evidence.parse'], ['{"a":', 'json.syntax'], ['{"rim":"%"}', 'bytes.encoding'], ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', 'bytes.trailing'],
    [new Uint8Array([0x30, 0x80]), 'der.non-canonical'], [new Uint8Array([0x30, 0x00]), 'x509.parse'], [new Uint8Array([4, 0, 2, 0, 0x81]), 'evidence.parse'], [new Uint8Array(LIMITS.documentBytes + 1), 'bytes.too-large'],
    [JSON.stringify({ kind: 'snp', certificates: Array.from({ length: LIMITS.documentsOfFile + 1 }, () => toBase64(vek())) }), 'evidence.parse'],
    [writePem('CERTIFICATE', vek()).repeat(LIMITS.certificatesOfFile + 1), 'bytes.too-large'], ['-----BEGIN%20CERTIFICATE-----%', 'bytes.encoding'], [JSON.stringify({ certificates: [1] }), 'evidence.parse'],
  ] as const) assert.equal(addOne(store, file('file', bytes)), code, typeof bytes === 'string' ? bytes.slice(0, 60) : String(bytes.length))
  assert.equal(outcomeOf(add(store, ...Array.from({ length: LIMITS.files + 1 }, () => file('a', 'a')))[0]), 'bytes.too-large')
  const stranger = certificateDer(authority('stranger'), authority('stranger'))
  assert.equal(addOne(store, file('a.der', stranger)), 'x509.untrusted-root')
  assert.equal(addOne(store, file('a.der', crlDer(authority('stranger')))), 'crl.issuer')
  assert.deepEqual(store.list().entries, [])
  assert.equal(readPem(amdChain(), 'CERTIFICATE').length, 2)
})

/** Numbers from a seed: the same in every run. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) yield state >>> 8
}

test('whatever is changed in a file: an outcome, never another error, and nothing forged is filed', context => {
  const store = newStore(context)
  const { collateral, quote } = intelEvidence()
  const honest = [vek(), arkList(), fromBase64(driverRim()), fromBase64(rimAnswers()[0] ?? ''), fromBase64(quote), rimCaCertificate(), Buffer.from(JSON.stringify(collateral)), Buffer.from(body('tcbInfo', collateral.tcb_info, collateral.tcb_info_signature)), Buffer.from(amdChain())]
  const random = numbers(7)
  const next = (below: number) => Number(random.next().value) % below
  for (const [i, bytes] of honest.entries()) {
    for (let round = 0; round < 60; round++) {
      const altered = Uint8Array.from(bytes)
      for (let changes = 0; changes <= next(3); changes++) altered[next(altered.length)] = next(256)
      const cut = round % 5 === 0 ? altered.subarray(0, next(altered.length)) : altered
      add(store, file(`file ${i}`, cut))
    }
  }
  const genuine = newStore(context)
  add(genuine, ...honest.map((bytes, i) => file(`file ${i}`, Uint8Array.from(bytes))), rimFile('vbios', vbiosRim()), file('e', JSON.stringify(intelEvidence())))
  const known = new Set(genuine.list().entries.map(one => one.digest))
  const other = store.list().entries.filter(one => !known.has(one.digest))
  assert.deepEqual(other.map(one => one.kind), [], 'every document that was filed is, byte for byte, one that a vendor signed')
})
