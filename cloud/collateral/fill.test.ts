import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { writePem } from '@cloister/core/crypto/pem'
import { fromHex } from '@cloister/core/bytes/hex'
import type { JsonObject } from '@cloister/core/bytes/json'
import { parseQuote } from '@cloister/core/evidence/dcap/quote'
import { readDcap, verifyDcap } from '@cloister/core/evidence/dcap/verify'
import { readNvidia, verifyNvidia } from '@cloister/core/evidence/nvidia/verify'
import { readSnp, verifySnp } from '@cloister/core/evidence/snp/verify'
import { verifyBundle, type BundleEvidence } from '@cloister/core/evidence/bundle/bundle'
import { bundleOf, judgeWith, OPTIONS } from '@cloister/core/evidence/bundle/bundle.fixture'
import { snpEvidence } from '@cloister/core/evidence/azure/azure.fixture'
import { holder } from '@cloister/core/evidence/snp/snp.fixture'
import { IDENTITY, list as nvidiaListOf, RIM_CA, read as certificateOf } from '@cloister/core/evidence/nvidia/nvidia.fixture'
import { basicConstraintsCa, issueCertificate, keyUsage } from '@cloister/core/crypto/issue'
import { attempt, orRefuse } from '@cloister/core/refusal'
import { add, arkList, DAY, deviceAnswers, driverRim, file, intelAt, intelEvidence, newStore, NOW, nvidiaEvidence, p, rimAnswers, rimFile, roots, snpReport, vbiosRim, vek } from './collateral.fixture.ts'
import { collateralFor, collateralThenAndNow, type Completed } from './fill.ts'
import type { CollateralStore } from './store.ts'

const fill = (store: CollateralStore, evidence: object, at = NOW): Completed => orRefuse(collateralFor(p, store, evidence as JsonObject, at, roots()))
const codeOf = (judge: () => unknown) => {
  const result = attempt(judge)
  return result.ok ? 'accepted' : result.refusal.code
}
const amd = (evidence: JsonObject, at = NOW, requireCrl = true) => verifySnp(p, readSnp(evidence, 'snp'), { now: at, requireCrl }, roots().amd)
const intel = (evidence: JsonObject, at = NOW) => verifyDcap(p, readDcap(evidence, evidence['kind'] === 'sgx' ? 'sgx' : 'tdx'), { now: at }, roots().intel)
const nvidia = (evidence: JsonObject, at = NOW, requireCrl = true) => verifyNvidia(p, readNvidia(evidence), { now: at, requireCrl }, roots().nvidia)

// ---- AMD ------------------------------------------------------------------------------------------------------------

test('a bare SNP report finds the key that signed it and the root\'s list, on every line and for both kinds of keys', context => {
  for (const plan of [{ product: 'Milan' }, { product: 'Genoa' }, { product: 'Turin' }, { signer: 'vlek' }, { version: 2 }] as const) {
    const store = newStore(context)
    add(store, file('vek', vek(plan)), file('other', vek({ ...plan, tcb: [1, 1, 1, 1, 0, 0, 1, 1] })), file('crl', arkList('product' in plan ? plan.product : 'Genoa')))
    const { evidence, used, missing } = fill(store, { kind: 'snp', report: snpReport(plan), certificates: [] })
    assert.equal(codeOf(() => amd(evidence)), 'accepted', JSON.stringify(plan))
    assert.deepEqual([used.map(one => one.kind), missing], [['amd-vek', 'amd-crl'], []])
  }
})

test('what is not here is said, with the command that brings it', context => {
  const store = newStore(context)
  const { evidence, missing } = fill(store, { kind: 'snp', report: snpReport(), certificates: [] })
  assert.deepEqual(evidence['certificates'], [])
  assert.deepEqual(missing.map(one => [one.what, one.needed]), [['the VCEK that signed the report', true], ['the revocation list of ARK-Genoa for that time', false]])
  assert.match(missing[0]?.fix ?? '', /^curl -sf -o document 'https:\/\/kdsintf\.amd\.com\/vcek\/v1\/Genoa\/0102[0-9a-f]{124}\?blSPL=10&teeSPL=0&snpSPL=23&ucodeSPL=84' && cloister collateral add document$/)
  assert.match(missing[1]?.fix ?? '', /https:\/\/kdsintf\.amd\.com\/vcek\/v1\/Genoa\/crl/)
})

test('a key of the same chip that did not sign is not taken', context => {
  const store = newStore(context)
  add(store, file('vek', vek()))
  const { evidence, used } = fill(store, { kind: 'snp', report: snpReport({ forger: holder('somebody') }), certificates: [] })
  assert.deepEqual([evidence['certificates'], used], [[], []])
})

test('a key under an intermediate that is not pinned brings the intermediate along', context => {
  const store = newStore(context)
  const [ask, ark] = [holder('SEV-Genoa', 'another key of the ASK'), holder('ARK-Genoa')]
  const intermediate = issueCertificate({ serial: new Uint8Array([7]), issuer: ark.name, subject: ask.name, key: ask.key, notBefore: NOW - 5 * DAY, notAfter: NOW + 50 * DAY, extensions: [basicConstraintsCa(), keyUsage(0x06)] }, ark.port)
  const newer = holder('SEV-Genoa', 'a newer key of the ASK')
  const other = issueCertificate({ serial: new Uint8Array([8]), issuer: ark.name, subject: newer.name, key: newer.key, notBefore: NOW - DAY, notAfter: NOW + 50 * DAY, extensions: [basicConstraintsCa(), keyUsage(0x06)] }, ark.port)
  add(store, file('vek', vek({ issuer: ask })), file('ask', intermediate), file('other', other), file('crl', arkList()))
  assert.deepEqual(store.list().entries.map(one => one.kind).sort(), ['amd-ca', 'amd-ca', 'amd-crl', 'amd-vek'])
  const { evidence } = fill(store, { kind: 'snp', report: snpReport(), certificates: [] })
  assert.equal((evidence['certificates'] as string[]).length, 2)
  assert.equal(codeOf(() => amd(evidence)), 'accepted')
})

test('the newest list in force is taken: of those here, and of those that the evidence brings', context => {
  const store = newStore(context)
  const brought = { kind: 'snp', report: snpReport(), certificates: [toBase64(vek())], crls: [toBase64(arkList('Genoa', [], [NOW - DAY, NOW + DAY]))] }
  assert.deepEqual(fill(store, brought).evidence, brought, 'nothing here: it stays')
  add(store, file('older', arkList('Genoa', [9], [NOW - 3 * DAY, NOW + DAY])))
  assert.deepEqual(fill(store, brought).evidence, brought, 'an older one does not replace it')
  add(store, file('newer', arkList('Genoa', [2], [NOW - 100, NOW + DAY])))
  const newer = fill(store, brought)
  assert.deepEqual(newer.evidence['crls'], [toBase64(arkList('Genoa', [2], [NOW - 100, NOW + DAY]))])
  assert.equal(codeOf(() => amd(newer.evidence)), 'x509.revoked', 'what was taken back meanwhile is seen')
  assert.equal(codeOf(() => amd(fill(store, brought, NOW - 200).evidence, NOW - 200)), 'accepted', 'and was not yet at that time')
  const stale = { ...brought, crls: [toBase64(arkList('Genoa', [], [NOW - 9 * DAY, NOW - 8 * DAY]))] }
  assert.equal(codeOf(() => amd(fill(store, stale, NOW - 200).evidence, NOW - 200)), 'accepted', 'one that is over is replaced')
})

test('lists of other issuers stay, and are not taken for the root\'s; what is no list stays for the verifier to refuse', context => {
  const store = newStore(context)
  const [milan, genoa] = [arkList('Milan', [], [NOW - 50, NOW + DAY]), arkList('Genoa', [], [NOW - DAY, NOW + DAY])].map(toBase64)
  const brought = { kind: 'snp', report: snpReport(), certificates: [toBase64(vek())], crls: [milan, genoa] }
  assert.deepEqual(fill(store, brought).evidence['crls'], [milan, genoa])
  add(store, file('newer', arkList('Genoa', [], [NOW - 9, NOW + DAY])))
  assert.deepEqual(fill(store, brought).evidence['crls'], [milan, toBase64(arkList('Genoa', [], [NOW - 9, NOW + DAY]))])
  assert.deepEqual(fill(store, { ...brought, crls: ['%', milan] }).evidence['crls'], ['%', milan, toBase64(arkList('Genoa', [], [NOW - 9, NOW + DAY]))])
  assert.deepEqual(fill(newStore(context), { kind: 'snp', report: snpReport(), certificates: [1], crls: [2] }).evidence, { kind: 'snp', report: snpReport(), certificates: [], crls: [2] })
})

test('documents that are over are not offered as current, and are for their time', context => {
  const store = newStore(context)
  add(store, file('vek', vek()), file('crl', arkList('Genoa', [], [NOW - 9 * DAY, NOW - 8 * DAY])))
  const bare = { kind: 'snp', report: snpReport(), certificates: [] }
  const { then, today } = orRefuse(collateralThenAndNow(p, store, bare, { asOf: NOW - 8.5 * DAY, now: NOW }, roots()))
  assert.deepEqual([then.missing, today.missing.map(one => one.needed)], [[], [false]])
  assert.equal(then.evidence['crls'] === undefined, false)
  assert.equal(today.evidence['crls'], undefined)
  assert.match(today.missing[0]?.what ?? '', /the newest here, AMD revocation list Genoa, is in force from 2025-12-23 to 2025-12-24/)
})

test('Azure: the parts of the hardware are filled', context => {
  const store = newStore(context)
  const { certificates, ...bare } = snpEvidence()
  add(store, file('vek', vek()), file('crl', arkList()))
  const { evidence, missing } = fill(store, bare)
  assert.deepEqual([evidence['certificates'], (evidence['crls'] as string[]).length, missing], [certificates, 1, []])
})

// ---- Intel ----------------------------------------------------------------------------------------------------------

test('a bare quote of TDX or SGX is complete with the store', context => {
  for (const tee of ['tdx', 'sgx'] as const) {
    const store = newStore(context)
    const { quote } = intelEvidence({ tee })
    add(store, file('evidence.json', JSON.stringify(intelEvidence({ tee }))), file('evidence.json', JSON.stringify(intelEvidence({ tee: tee === 'tdx' ? 'sgx' : 'tdx' }))))
    const { evidence, missing, used } = fill(store, { kind: tee, quote })
    assert.equal(codeOf(() => intel(evidence)), 'accepted')
    assert.deepEqual(missing, [])
    assert.deepEqual(used.map(one => one.kind), ['intel-tcb-info', 'intel-qe-identity', 'intel-pck-crl', 'intel-root-crl'])
    assert.deepEqual(evidence['collateral'], intelEvidence({ tee }).collateral, 'byte for byte')
  }
})

test('Intel: everything that is missing is named, with its command', context => {
  const { missing, evidence } = fill(newStore(context), { kind: 'tdx', quote: intelEvidence().quote })
  assert.deepEqual(missing.map(one => one.needed), [true, true, true, true])
  assert.deepEqual(missing.map(one => /'(https:[^']+)'/.exec(one.fix)?.[1]), [
    'https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00906EA10000', 'https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity',
    'https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der', 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der',
  ])
  assert.deepEqual(evidence['collateral'], {})
})

test('Intel: with TCB info of several times and numbers, each time has its own', context => {
  const store = newStore(context)
  const { quote } = intelEvidence()
  for (const [from, until, number] of [[-40, -10, 16], [-20, 5, 17], [-5, 20, 17], [-3, 20, 18]] as const) add(store, file('e.json', JSON.stringify(intelAt(NOW + from * DAY, NOW + until * DAY, number))))
  const numbers = (at: number) => {
    const info = (fill(store, { kind: 'tdx', quote }, at).evidence['collateral'] as Record<string, string>)['tcb_info'] ?? '{}'
    const { tcbEvaluationDataNumber, issueDate } = JSON.parse(info) as { tcbEvaluationDataNumber?: number; issueDate?: string }
    return [tcbEvaluationDataNumber, issueDate === undefined ? undefined : Math.round((Date.parse(issueDate) / 1000 - NOW) / DAY)]
  }
  assert.deepEqual([-50, -30, -15, -4, 0, 30].map(day => numbers(NOW + day * DAY)), [[undefined, undefined], [16, -40], [17, -20], [17, -5], [18, -3], [undefined, undefined]])
})

test('Intel: early updates are used only where there is nothing else', context => {
  const store = newStore(context)
  const { quote } = intelEvidence()
  add(store, file('e.json', JSON.stringify(intelAt(NOW - DAY, NOW + DAY, 17))), { ...file('e.json', JSON.stringify(intelAt(NOW - DAY, NOW + 9 * DAY, 18))), update: 'early' })
  const info = (at: number) => /tcbEvaluationDataNumber":(\d+)/.exec((fill(store, { kind: 'tdx', quote }, at).evidence['collateral'] as Record<string, string>)['tcb_info'] ?? '')?.[1]
  assert.equal(info(NOW), '17')
  assert.equal(info(NOW + 5 * DAY), '18')
})

test('Intel: what the evidence brings stays where nothing better is here, and goes where there is', context => {
  const store = newStore(context)
  const brought = intelAt(NOW - DAY, NOW + DAY, 18)
  assert.deepEqual(fill(store, brought).evidence, brought)
  add(store, file('e.json', JSON.stringify(intelAt(NOW - 100, NOW + DAY, 17))))
  assert.deepEqual(fill(store, brought).evidence, brought, 'a lower number does not replace a higher one, however late')
  add(store, file('e.json', JSON.stringify(intelAt(NOW - 100, NOW + DAY, 19))))
  const better = fill(store, brought).evidence
  assert.notDeepEqual(better, brought)
  assert.equal(intel(better).facts.evaluation.tcb, 19)
  assert.equal(intel(fill(store, intelAt(NOW - 9 * DAY, NOW - 8 * DAY, 99)).evidence).facts.evaluation.tcb, 19, 'one that is over is replaced')
  assert.equal(codeOf(() => fill(store, { kind: 'tdx', quote: toBase64(new Uint8Array(10)) })), 'evidence.version')
})

test('Intel: a quote that does not say whose platform it is', context => {
  const store = newStore(context)
  assert.equal(codeOf(() => fill(store, { kind: 'tdx', quote: intelEvidence({ pck: { issuer: 'Somebody' } }).quote })), 'evidence.chain')
  const bare = { kind: 'tdx', quote: intelEvidence({ certificationType: 3 }).quote }
  assert.equal(codeOf(() => fill(store, bare)), 'evidence.missing')
  const chain = parseQuote(fromBase64(intelEvidence().quote)).certificates.map(one => writePem('CERTIFICATE', one)).join('')
  assert.equal((fill(store, { ...bare, collateral: { pck_certificate_chain: chain } }).evidence['collateral'] as Record<string, string>)['pck_certificate_chain'], chain, 'the chain beside it counts')
})

// ---- NVIDIA ---------------------------------------------------------------------------------------------------------

function nvidiaStore(context: Parameters<typeof newStore>[0]): CollateralStore {
  const store = newStore(context)
  add(store, rimFile('driver.xml', driverRim()), rimFile('vbios.xml', vbiosRim()), file('evidence.json', JSON.stringify(nvidiaEvidence())), ...[...rimAnswers(), ...deviceAnswers()].map(one => file('answer', fromBase64(one))))
  assert.equal(store.list().entries.filter(one => one.kind === 'nvidia-ocsp').length, 4)
  return store
}

test('a bare GPU finds its manifests and an answer about every certificate', context => {
  const { evidence, missing, used } = fill(nvidiaStore(context), nvidiaEvidence())
  const claims = nvidia(evidence)
  assert.deepEqual([claims.facts.referenceComplete, claims.revocation, missing], [true, true, []])
  assert.deepEqual(used.map(one => one.kind).sort(), ['nvidia-ocsp', 'nvidia-ocsp', 'nvidia-ocsp', 'nvidia-ocsp', 'nvidia-rim', 'nvidia-rim'])
})

test('NVIDIA: what is missing is named; evidence keeps its own', context => {
  const bare = fill(newStore(context), nvidiaEvidence())
  assert.deepEqual(bare.evidence, nvidiaEvidence())
  assert.deepEqual(bare.missing.map(one => one.needed), [false, false, false, false])
  assert.match(bare.missing.map(one => one.fix).join('\n'), /v1\/rim\/NV_GPU_DRIVER_GH100_550\.90\.07'[^]*v1\/rim\/NV_GPU_VBIOS_1010[^]*ocsp\.ndis\.nvidia\.com/)
  const whole = nvidiaEvidence({}, { rims: [driverRim(), vbiosRim()], ocsp: [...deviceAnswers(), ...rimAnswers()] })
  const { evidence, missing } = fill(newStore(context), whole)
  assert.deepEqual([evidence['rims'], (evidence['ocsp'] as string[]).sort(), missing], [whole.rims, [...whole.ocsp ?? []].sort(), []])
})

test('NVIDIA: a newer answer that takes a certificate back replaces the good one that the evidence brings', context => {
  const store = nvidiaStore(context)
  const whole = nvidiaEvidence({}, { rims: [driverRim(), vbiosRim()], ocsp: [...deviceAnswers(), ...rimAnswers()] })
  assert.equal(codeOf(() => nvidia(fill(store, whole).evidence)), 'accepted')
  const revoked = rimAnswers({ status: { revokedAt: NOW - 100 }, window: [NOW - 50, NOW + DAY] })[0] ?? ''
  add(store, file('answer', fromBase64(revoked)))
  const replaced = fill(store, whole).evidence
  assert.equal(codeOf(() => nvidia(replaced)), 'x509.revoked')
  assert.equal((replaced['ocsp'] as string[]).length, 4, 'in its place')
  assert.equal(codeOf(() => nvidia(fill(store, whole, NOW - 60).evidence, NOW - 60)), 'accepted')
})

test('NVIDIA: of answers that the evidence brings, only those in force count; answers about other things stay', context => {
  const store = nvidiaStore(context)
  const ahead = rimAnswers({ window: [NOW + 100, NOW + DAY] })[0] ?? ''
  const stranger = deviceAnswers({ number: '07' })[0] ?? ''
  const { evidence } = fill(store, { ...nvidiaEvidence(), rims: [driverRim(), vbiosRim()], ocsp: [ahead, stranger] })
  const ocsp = evidence['ocsp'] as string[]
  assert.deepEqual([ocsp.includes(ahead), ocsp.includes(stranger), ocsp.length], [false, true, 5])
  const empty = newStore(context)
  assert.deepEqual((fill(empty, { ...nvidiaEvidence(), rims: [driverRim()], ocsp: [ahead] }).evidence['ocsp'] as string[]), [ahead], 'nothing better here')
  add(empty, file('old', fromBase64(rimAnswers({ window: [NOW - 9 * DAY, NOW - 8 * DAY] })[0] ?? '')), rimFile('driver', driverRim()))
  assert.match(fill(empty, nvidiaEvidence()).missing.map(one => one.what).join('\n'), /an OCSP answer about Test RIM Signer for that time \(the newest here, NVIDIA OCSP answer good for serial 44, is in force from 2025-12-23 to 2025-12-24\)/)
})

test('NVIDIA: of two manifests of one version, the one of this board; what does not hold stays where there is no better', context => {
  const store = newStore(context)
  const change = { text: (text: string) => text.replace('revision="r1"', 'revision="r2"') }
  add(store, rimFile('NV_GPU_VBIOS_1010___96009F0001.xml', vbiosRim()))
  add(store, rimFile('NV_GPU_VBIOS_2020___96009F0001.xml', vbiosRim(change)))
  assert.deepEqual(fill(store, nvidiaEvidence()).evidence['rims'], [vbiosRim()])
  const other = newStore(context)
  add(other, rimFile('NV_GPU_VBIOS_1010___96009F0001.xml', vbiosRim(change)))
  add(other, rimFile('NV_GPU_VBIOS_2020___96009F0001.xml', vbiosRim()))
  assert.deepEqual(fill(other, nvidiaEvidence()).evidence['rims'], [vbiosRim(change)])
  const broken = driverRim({ signed: text => text.replace('r1', 'r9') })
  assert.deepEqual(fill(newStore(context), { ...nvidiaEvidence(), rims: [broken] }).evidence['rims'], [broken])
  const other560 = driverRim({ version: '560.1' })
  assert.deepEqual(fill(newStore(context), { ...nvidiaEvidence(), rims: [broken, other560] }).evidence['rims'], [broken, other560])
  assert.deepEqual(fill(newStore(context), { ...nvidiaEvidence(), rims: [driverRim(), broken] }).evidence['rims'], [driverRim(), broken])
  add(store, rimFile('driver', driverRim()))
  assert.deepEqual(fill(store, { ...nvidiaEvidence(), rims: [broken] }).evidence['rims'], [driverRim(), vbiosRim()])
})

test('NVIDIA: lists of the authorities above a device', context => {
  const store = nvidiaStore(context)
  add(store, file('list', fromBase64(nvidiaListOf(IDENTITY))))
  const { evidence } = fill(store, nvidiaEvidence())
  assert.deepEqual(evidence['crls'], [nvidiaListOf(IDENTITY)])
  assert.equal(codeOf(() => nvidia(evidence)), 'accepted')
  assert.deepEqual(fill(store, { ...nvidiaEvidence(), crls: [nvidiaListOf(IDENTITY)] }).evidence['crls'], [nvidiaListOf(IDENTITY)], 'once')
  const [older, newer] = [nvidiaListOf(IDENTITY, [], [NOW - 2 * DAY, NOW + DAY]), nvidiaListOf(IDENTITY, [], [NOW - 5, NOW + DAY])]
  assert.deepEqual(fill(store, { ...nvidiaEvidence(), crls: [older, nvidiaListOf(RIM_CA)] }).evidence['crls'], [nvidiaListOf(RIM_CA), nvidiaListOf(IDENTITY)], 'in place of an older one')
  assert.deepEqual(fill(store, { ...nvidiaEvidence(), crls: [newer] }).evidence['crls'], [newer], 'not of a newer one')
})

test('a bundle: the collateral of each part, and what the CPU vouches for stays', context => {
  const bundle = bundleOf()
  const store = newStore(context)
  const bring = { ...bundle, parts: bundle.parts.map(part => (part.evidence.kind === 'nvidia' && part.role === 'gpu' ? { ...part, evidence: { ...part.evidence, rims: [driverRim(), vbiosRim()] } } : part)) }
  const [report] = add(store, file('bundle.json', JSON.stringify({ ...bring, parts: bring.parts.filter(part => part.role !== 'vtpm') })), file('crl', arkList()))
  assert.ok(report?.outcome.ok === true, JSON.stringify(report))
  const bare = { ...bundle, parts: bundle.parts.map(part => (part.evidence.kind === 'snp' ? { ...part, evidence: { ...part.evidence, certificates: [] } } : part)) }
  const { evidence } = fill(store, bare)
  const parts = evidence['parts'] as { evidence: Record<string, unknown> }[]
  assert.deepEqual(parts[0]?.evidence['certificates'], bundle.parts[0]?.evidence.kind === 'snp' ? bundle.parts[0].evidence.certificates : undefined)
  assert.deepEqual(parts.map(one => (one.evidence['rims'] as string[] | undefined)?.length), [undefined, 2, 2, undefined, undefined])
  const claims = verifyBundle(p, evidence as unknown as BundleEvidence, OPTIONS, judgeWith(p))
  assert.deepEqual(claims.devices?.map(one => one.facts.kind === 'nvidia' && one.facts.referenceComplete), [true, true, false, false])
  assert.equal(codeOf(() => fill(store, { kind: 'bundle', parts: [1] })), 'evidence.parse')
  assert.equal(codeOf(() => fill(store, { kind: 'bundle', parts: Array.from({ length: 33 }, () => ({})) })), 'evidence.parse')
  assert.deepEqual(fill(store, { kind: 'bundle', parts: [{ role: 'cpu', evidence: { kind: 'bundle', parts: [1] } }] }).evidence['parts'], [{ role: 'cpu', evidence: { kind: 'bundle', parts: [1] } }])
})

test('other kinds come back as they are; a damaged document is refused and named', context => {
  const store = newStore(context)
  assert.deepEqual(fill(store, { kind: 'nitro', document: 'x' }), { evidence: { kind: 'nitro', document: 'x' }, used: [], missing: [] })
  assert.equal(codeOf(() => fill(store, { kind: 'snp', report: 1 })), 'evidence.parse')
  add(store, file('vek', vek()))
  const [entry] = store.list().entries
  const path = join(store.folder, entry?.digest.slice(7) ?? '')
  writeFileSync(path, Buffer.concat([fromHex('00'), Buffer.from('x')]))
  assert.deepEqual(fill(store, { kind: 'snp', report: snpReport(), certificates: [] }).evidence['certificates'], [], 'what does not even say what it is is not looked at')
  add(store, file('vek', vek()))
  const stored = orRefuse(attempt(() => store.read(entry?.digest ?? 'sha256:')))
  assert.ok(stored !== undefined && certificateOf(stored.bytes).subjectCommonName === 'SEV-VCEK')
})
