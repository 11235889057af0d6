// Every check of the report and of its verification, on synthetic evidence under roots of its own: one that passes, one that does not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../../bytes/bytes.ts'
import { der, derInteger, TAG } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { basicConstraintsCa } from '../../crypto/issue.ts'
import { authority, certificateDer } from '../../crypto/chain.fixture.ts'
import { attempt, type Refusal, type RefusalCode } from '../../refusal.ts'
import { arkList, CHIP, DAY, holder, judgeParts, NOW, quick as p, snpInput, TCB, testRoots, type Cache, type SnpParts, type SnpPlan } from './snp.fixture.ts'
import { parseReport, productOf, REPORT_BYTES, SIGNED_BYTES, tcbOf } from './report.ts'
import { readSnp, VEK_OID } from './verify.ts'

const judge = (plan: SnpPlan = {}, change: Partial<SnpParts> = {}) => attempt(() => judgeParts(p, snpInput(plan, change)))
function accepted(plan: SnpPlan = {}, change: Partial<SnpParts> = {}) {
  const result = judge(plan, change)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}
/** Facts stand among the claims or under `facts`: these tests do not mind. */
function factsOf(plan: SnpPlan = {}, change: Partial<SnpParts> = {}): Record<string, unknown> {
  const claims: object = accepted(plan, change)
  return { ...claims, ...('facts' in claims && typeof claims.facts === 'object' ? claims.facts : {}) }
}
function refused(code: RefusalCode, at: string | RegExp, plan: SnpPlan = {}, change: Partial<SnpParts> = {}): Refusal {
  const result = judge(plan, change)
  assert.ok(!result.ok, `accepted, expected ${code}`)
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (typeof at === 'string') assert.equal(result.refusal.at, at)
  else assert.match(result.refusal.at, at)
  return result.refusal
}
const byte = (at: number, value: number) => (bytes: Uint8Array) => { bytes[at] = value }
const hex = (value: number, count: number) => value.toString(16).padStart(2, '0').repeat(count)

test('honest evidence of each line, key and report version is accepted, and says what it says', () => {
  for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
    for (const signer of ['vcek', 'vlek'] as const) {
      for (const version of [2, 3, 4, 5]) {
        const claims = accepted({ product, signer, version })
        assert.deepEqual([claims.tee, claims.simulated, claims.product, claims.signer, claims.debug, claims.migration], ['snp', false, product, signer, false, false])
      }
    }
  }
  const claims = accepted()
  assert.deepEqual([claims.measurement, claims.reportData, claims.hostData, claims.chipId], [hex(0x3e, 48), hex(0xda, 64), hex(0x40, 32), toHex(CHIP)])
  assert.deepEqual(claims.validity, { notBefore: NOW - 10 * DAY, notAfter: NOW + 10 * DAY })
  assert.equal(claims.endorsements.length, 3)
  const facts = factsOf({ report: byte(0x30, 1) })
  assert.deepEqual([facts['vmpl'], facts['guestSvn'], facts['smt'], facts['singleSocket'], facts['idKeyDigest'], facts['authorKeyDigest'], facts['platformInfo']], [1, 7, true, false, hex(0x1d, 48), hex(0xa0, 48), '0x25'])
  assert.deepEqual(facts['firmware'], { current: '1.55.41', committed: '1.55.41' })
  const level = { bl: 0x0a, tee: 0, snp: 0x17, ucode: 0x54 }
  assert.deepEqual(facts['tcb'], { current: level, reported: level, committed: level, launch: level })
})

test('policy bits are facts', () => {
  const policy = (bits: bigint) => factsOf({ report: (_, view) => view.setBigUint64(8, bits, true) })
  const read = (bits: bigint) => { const facts = policy(bits); return [facts['debug'], facts['migration'], facts['smt'], facts['singleSocket']] }
  assert.deepEqual(read(1n << 17n), [false, false, false, false])
  assert.deepEqual(read((1n << 17n) | (1n << 19n)), [true, false, false, false])
  assert.deepEqual(read((1n << 17n) | (1n << 18n)), [false, true, false, false])
  assert.deepEqual(read((1n << 17n) | (1n << 16n)), [false, false, true, false])
  assert.deepEqual(read((1n << 17n) | (1n << 20n)), [false, false, false, true])
})

test('flags of the report', () => {
  const flags = (value: number) => { const read = parseReport(snpInput({ report: byte(0x48, value) }).report); return [read.authorKeyEnabled, read.maskChipKey] }
  assert.deepEqual([0, 1, 2, 3].map(flags), [[false, false], [true, false], [false, true], [true, true]])
})

test('what is under a simulated root is called simulated, by the root alone', () => {
  const claims = accepted({}, { roots: [{ ...testRoots('Genoa'), simulated: true }] })
  assert.deepEqual([claims.tee, claims.simulated], ['simulated', true])
})

test('length, version and algorithm of the report', () => {
  const { report } = snpInput()
  refused('bytes.truncated', 'report', {}, { report: report.subarray(0, REPORT_BYTES - 1) })
  refused('bytes.trailing', 'report', {}, { report: concat(report, new Uint8Array(1)) })
  for (const version of [0, 1, 6]) refused('evidence.version', 'report.version', { version })
  for (const algorithm of [0, 2]) refused('evidence.parse', 'report.signature_algo', { report: byte(0x34, algorithm) })
})

test('reserved bytes and bits are zero, in the version in which they are reserved (attacks.md row 15)', () => {
  const everywhere = [0x4c, 0x4f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, SIGNED_BYTES - 1]
  for (const version of [3, 5]) for (const at of everywhere) refused('evidence.reserved-bits', /^0x/, { version, report: byte(at, 1) })
  for (const at of [0x188, 0x18a]) refused('evidence.reserved-bits', '0x188', { version: 2, report: byte(at, 1) })
  for (const at of [0x1f8, 0x207]) {
    refused('evidence.reserved-bits', '0x1f8', { version: 4, report: byte(at, 1) })
    accepted({ version: 5, report: byte(at, 1) })
  }
  for (const at of [0x4b, 0x4a, 0x49]) refused('evidence.reserved-bits', 'report.flags', { report: byte(at, 1) })
  refused('evidence.reserved-bits', 'report.flags', { report: byte(0x48, 0x20) })
  accepted({ report: byte(0x48, 3) })
  for (const at of [SIGNED_BYTES + 48, SIGNED_BYTES + 71, SIGNED_BYTES + 120, REPORT_BYTES - 1]) {
    const { report } = snpInput()
    report[at] = 1
    refused('evidence.reserved-bits', /^0x/, {}, { report })
  }
  const policy = (bits: bigint): SnpPlan => ({ report: (_, view) => view.setBigUint64(8, bits, true) })
  refused('evidence.reserved-bits', 'report.policy', policy(0x10000n))
  refused('evidence.reserved-bits', 'report.policy', policy((1n << 17n) | (1n << 26n)))
  refused('evidence.reserved-bits', 'report.policy', policy((1n << 17n) | (1n << 63n)))
  accepted(policy((1n << 17n) | (1n << 25n)))
})

test('who signed: VCEK or VLEK, and the certificate is of that kind (attacks.md row 38)', () => {
  for (const key of [2, 6, 7]) assert.equal(refused('evidence.signer', 'report.signing_key', { report: byte(0x48, key << 2) }).expected, 'VCEK or VLEK')
  assert.match(refused('evidence.signer', 'report.signing_key', { report: byte(0x48, 7 << 2) }).got, /not signed/)
  refused('evidence.signer', 'report.signing_key', { report: byte(0x48, 1 << 2) })
  refused('evidence.signer', 'report.signing_key', { signer: 'vlek', report: byte(0x48, 0) })
  const without = (oid: string) => ({ extensions: (list: readonly { oid: string; value: Uint8Array }[]) => list.filter(one => one.oid !== oid) })
  refused('evidence.signer', 'report.signing_key', without(VEK_OID.hwId))
  refused('evidence.signer', 'report.signing_key', { signer: 'vlek', ...without(VEK_OID.csp) })
  const both = { extensions: (list: readonly { oid: string; value: Uint8Array }[]) => [...list.filter(one => one.oid !== VEK_OID.hwId && one.oid !== VEK_OID.csp), { oid: VEK_OID.hwId, value: CHIP }, { oid: VEK_OID.csp, value: der(TAG.ia5String, utf8('cloud')) }] }
  refused('evidence.signer', 'report.signing_key', both)
  refused('evidence.signer', 'report.signing_key', { signer: 'vlek', ...both })
  refused('evidence.signer', 'report.signing_key', { issuer: holder('SEV-VLEK-Genoa') })
  refused('evidence.signer', 'report.signing_key', { signer: 'vlek', issuer: holder('SEV-Genoa') })
  refused('evidence.signer', 'report.signing_key', { certificate: { subject: 'SEV-VLEK' } })
  refused('evidence.signer', 'report.signing_key', { signer: 'vlek', certificate: { subject: 'SEV-VCEK' } })
})

test('the signature covers every byte before it, and is by the key of the certificate', () => {
  refused('evidence.signature', 'report.signature', { forger: holder('mallory') })
  for (const at of [4, 0x10, 0x50, 0x8f, 0x90, 0xc0, 0xe0, 0x140, 0x15f, 0x1f0]) {
    const { report } = snpInput()
    report[at] = (report[at] ?? 0) ^ 1
    refused('evidence.signature', 'report.signature', {}, { report })
  }
  for (const at of [SIGNED_BYTES, SIGNED_BYTES + 47, SIGNED_BYTES + 72, SIGNED_BYTES + 119]) {
    const { report } = snpInput()
    report[at] = (report[at] ?? 0) ^ 1
    refused('evidence.signature', 'report.signature', {}, { report })
  }
  refused('evidence.chain', 'vek', { certificate: { key: authority('small').key } })
})

test('the line of products: certificate, CPUID and roots say the same', () => {
  const named = (text: string): SnpPlan => ({ extensions: list => list.map(one => (one.oid === VEK_OID.product ? { ...one, value: der(TAG.ia5String, utf8(text)) } : one)) })
  accepted(named('Genoa'))
  accepted(named('Genoa-A1'))
  for (const text of ['Milan-B0', 'Genoa2', '']) refused('evidence.product', 'vek.product', named(text))
  refused('evidence.product', 'vek.product', { extensions: list => list.filter(one => one.oid !== VEK_OID.product) })
  refused('evidence.product', 'report.cpuid', { report: bytes => bytes.set([0x19, 0x01], 0x188) })
  refused('evidence.product', 'report.cpuid', { report: bytes => bytes.set([0x1b, 0x01], 0x188) })
  const lines: [number, number, string | undefined][] = [
    [0x19, 0x00, 'Milan'], [0x19, 0x0f, 'Milan'], [0x19, 0x10, 'Genoa'], [0x19, 0x1f, 'Genoa'], [0x19, 0x20, undefined], [0x19, 0x9f, undefined], [0x19, 0xa0, 'Genoa'], [0x19, 0xaf, 'Genoa'], [0x19, 0xb0, undefined],
    [0x1a, 0x00, 'Turin'], [0x1a, 0x11, 'Turin'], [0x1a, 0x12, undefined], [0x18, 0x01, undefined], [0x18, 0x11, undefined],
  ]
  const { report } = snpInput()
  for (const [family, model, product] of lines) {
    report.set([family, model], 0x188)
    assert.equal(productOf(parseReport(report)), product, `${family} ${model}`)
  }
  assert.equal(productOf(parseReport(snpInput({ version: 2 }).report)), undefined)
  assert.deepEqual(parseReport(snpInput().report).cpuid, { family: 0x19, model: 0x11, stepping: 1 })
})

test('the chip is the one that the certificate names, unless the host masks it', () => {
  refused('evidence.chip-id', 'report.chip_id', { report: byte(0x1a0, 99) })
  refused('evidence.chip-id', 'report.chip_id', { product: 'Turin', report: byte(0x1df, 1) })
  assert.equal(accepted({ report: bytes => bytes.fill(0, 0x1a0, 0x1e0) }).chipId, hex(0, 64))
  accepted({ signer: 'vlek', report: byte(0x1a0, 99) })
  const hwId = (value: Uint8Array): SnpPlan => ({ extensions: list => list.map(one => (one.oid === VEK_OID.hwId ? { ...one, value } : one)) })
  for (const length of [7, 9, 63]) refused('evidence.chip-id', 'report.chip_id', { ...hwId(CHIP.slice(0, length)), report: bytes => bytes.fill(0, 0x1a0 + length, 0x1e0) })
  refused('evidence.chip-id', 'report.chip_id', hwId(concat(CHIP, new Uint8Array(1))))
})

test('patch levels: the certificate\'s, part by part, and none above the current (attacks.md rows 33, 39)', () => {
  const places = { Genoa: { bl: 0, tee: 1, snp: 6, ucode: 7 }, Turin: { fmc: 0, bl: 1, tee: 2, snp: 3, ucode: 7 } } as const
  for (const product of ['Genoa', 'Turin'] as const) {
    for (const [part, place] of Object.entries(places[product])) {
      const level = TCB[product][place] ?? 0
      const at = (offset: number, value: number): SnpPlan => ({ product, report: byte(offset + place, value) })
      refused('evidence.tcb-mismatch', `report.reported_tcb.${part}`, at(0x180, level + 1))
      if (level > 0) refused('evidence.tcb-mismatch', `report.reported_tcb.${part}`, at(0x180, level - 1))
      if (level > 0) assert.match(refused('evidence.tcb-mismatch', `report.reported_tcb.${part}`, at(0x38, level - 1)).expected, /current/)
      refused('evidence.tcb-mismatch', `report.committed_tcb.${part}`, at(0x1e0, level + 1))
      accepted(at(0x38, level + 1))
      accepted(at(0x1f0, level + 1)) // the launch level is a fact for the charter
      refused('evidence.tcb-mismatch', `vek.${part}`, { product, extensions: list => list.filter(one => one.oid !== VEK_OID[part as 'bl']) }) // a key of VEK_OID
    }
  }
  accepted({ extensions: list => [...list, { oid: VEK_OID.fmc, value: derInteger(new Uint8Array([9])) }] }) // means nothing before Turin
  const raw = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  assert.deepEqual([tcbOf('Milan', raw), tcbOf('Turin', raw)], [{ bl: 1, tee: 2, snp: 7, ucode: 8 }, { fmc: 1, bl: 2, tee: 3, snp: 4, ucode: 8 }])
})

test('the chain ends at the pinned root of its line, within its time', () => {
  refused('evidence.missing', 'certificates', {}, { certificates: [] })
  refused('evidence.chain', 'certificates', {}, { roots: [] })
  refused('evidence.chain', /x509\.issuer/, {}, { roots: [testRoots('Milan'), testRoots('Turin')] })
  // The line whose issuer has the name tells why, wherever it stands.
  refused('evidence.chain', /x509\.signature/, { issuer: { ...holder('SEV-Genoa'), port: holder('mallory').port } })
  refused('evidence.chain', /x509\.signature/, { product: 'Milan', issuer: { ...holder('SEV-Milan'), port: holder('mallory').port } })
  refused('evidence.chain', /x509\.key-usage/, { extensions: list => [...list, { oid: '2.5.29.15', critical: true, value: der(TAG.bitString, Uint8Array.of(0, 4)) }] })
  refused('x509.expired', 'chain[0]', {}, { now: NOW + 11 * DAY })
  refused('x509.not-yet-valid', 'chain[0]', {}, { now: NOW - 11 * DAY })
  accepted({}, { now: NOW + 10 * DAY })
  const result = judge({}, { certificates: [Uint8Array.of(0x30)] })
  assert.ok(!result.ok && result.refusal.code === 'bytes.truncated')
})

test('further certificates may only help: what is not on the path is refused', () => {
  const [vek = new Uint8Array(0)] = snpInput().certificates
  const roots = testRoots('Genoa')
  const [ask, asvk] = roots.intermediates.map(one => one.der)
  assert.ok(ask !== undefined && asvk !== undefined)
  accepted({}, { certificates: [vek, ask, roots.ark.der], roots: [{ ...roots, intermediates: [] }] })
  accepted({}, { certificates: [vek, roots.ark.der, ask] })
  refused('evidence.chain', 'certificates[2]', {}, { certificates: [vek, ask, asvk] })
  refused('evidence.chain', 'certificates[1]', {}, { certificates: [vek, certificateDer(authority('stray'), authority('stray'))] })
  refused('evidence.chain', /x509/, {}, { certificates: [vek, asvk], roots: [{ ...roots, intermediates: [] }] })
})

test('revocation lists: asked for, of the right root, in force, and naming the ASK (attacks.md row 25)', () => {
  assert.equal(accepted({}, { crls: [arkList()], requireCrl: true }).endorsements.length, 4)
  accepted({}, { crls: [arkList('Milan'), arkList()], requireCrl: true })
  refused('crl.missing', 'crls', {}, { requireCrl: true })
  refused('crl.missing', 'crls', {}, { crls: [arkList('Milan')], requireCrl: true })
  refused('x509.revoked', /SEV-Genoa/, {}, { crls: [arkList('Genoa', [2])] })
  accepted({}, { crls: [arkList('Genoa', [3])] })
  refused('x509.revoked', /SEV-VLEK-Genoa/, { signer: 'vlek' }, { crls: [arkList('Genoa', [3])] })
  refused('crl.expired', /./, {}, { crls: [arkList('Genoa', [], [NOW - 2 * DAY, NOW - 1])] })
  assert.deepEqual(accepted({}, { crls: [arkList()] }).validity, { notBefore: NOW - DAY, notAfter: NOW + DAY })
})

test('a known chain is found again, and its time, lists, roots and wishes are not forgotten (attacks.md rows 26, 65)', () => {
  const cache: Cache = new Map()
  let chains = 0
  const counting = { ...p, verify: (...input: Parameters<typeof p.verify>) => { chains++; return p.verify(...input) } }
  const cached = (plan: SnpPlan, change: Partial<SnpParts> = {}) => { chains = 0; return attempt(() => judgeParts(counting, snpInput(plan, { cache, ...change }))) }
  const code = (plan: SnpPlan, change: Partial<SnpParts> = {}) => { const result = cached(plan, change); return result.ok ? 'accepted' : result.refusal.code }
  assert.ok(cached({}).ok)
  assert.ok(chains > 1)
  assert.ok(cached({ report: byte(4, 8) }).ok)
  assert.equal(chains, 1, 'only the report')
  assert.ok(cached({}, { now: NOW + 10 * DAY }).ok && cached({}, { now: NOW - 10 * DAY }).ok)
  assert.equal(code({}, { now: NOW + 11 * DAY }), 'x509.expired')
  assert.equal(code({}, { now: NOW - 11 * DAY }), 'x509.not-yet-valid')
  assert.equal(code({}, { requireCrl: true }), 'crl.missing')
  assert.equal(code({}, { roots: [testRoots('Milan')] }), 'evidence.chain')
  assert.equal(code({}, { crls: [arkList('Genoa', [2])] }), 'x509.revoked')
  assert.equal(code({}, { crls: [arkList()] }), 'accepted')
  assert.equal(code({}, { crls: [arkList()], now: NOW + 2 * DAY }), 'crl.expired')
  assert.equal(code({ forger: holder('mallory') }), 'evidence.signature')
  assert.ok(cached({}).ok)
  assert.equal(chains, 1)
})

test('a leaf that is a CA of its own is nobody', () => {
  refused('evidence.signer', 'report.signing_key', { certificate: { subject: 'SEV-VCEK', extensions: [basicConstraintsCa()] } })
})

test('an intermediate that is not pinned is found under whichever root signed it', () => {
  const genoa = testRoots('Genoa')
  const { certificates } = snpInput()
  const [ask] = genoa.intermediates
  assert.ok(ask !== undefined && certificates[0] !== undefined)
  const parts = snpInput({}, { roots: [testRoots('Milan'), { ...genoa, intermediates: [] }], certificates: [certificates[0], ask.der] })
  assert.equal(judgeParts(p, parts).product, 'Genoa')
})

test('its shape from outside: no field that nobody knows', () => {
  const shape = { kind: 'snp', report: '', certificates: [] } as const
  assert.deepEqual(readSnp(shape, 'snp'), shape)
  const result = attempt(() => readSnp({ ...shape, chain: [] }, 'snp'))
  assert.deepEqual(result.ok ? 'accepted' : [result.refusal.code, result.refusal.at], ['evidence.parse', 'evidence.chain'])
})
