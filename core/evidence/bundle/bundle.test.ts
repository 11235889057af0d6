// Bundles: everything that an attacker may do to the parts of a machine is refused, and what is accepted says what all parts say.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { fromHex, toHex } from '../../bytes/hex.ts'
import type { Json, JsonObject } from '../../bytes/json.ts'
import { attempt, refuse, type RefusalCode, type Result } from '../../refusal.ts'
import type { Claims } from '../claims.ts'
import { parseEvidence, verifyEvidence } from '../index.ts'
import { OPAQUE } from '../nvidia/spdm.ts'
import { NOW, quick as p } from '../snp/snp.fixture.ts'
import { answerOf, bundleOf, CHALLENGE, cpus, devicesOf, DEVICES, flipped, judgeWith, OPTIONS, type CpuKind, type Device } from './bundle.fixture.ts'
import { bundleReportData, deviceNonce, readBundle, verifyBundle, type BundleEvidence, type Part, type PartEvidence } from './bundle.ts'

const judge = (bundle: BundleEvidence, change: Partial<typeof OPTIONS> = {}) => attempt(() => verifyBundle(p, bundle, { ...OPTIONS, ...change }, judgeWith(p)))
const claims = (bundle: BundleEvidence) => { const result = judge(bundle); assert.ok(result.ok, JSON.stringify(result)); return result.value }
function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const good = bundleOf()
const [cpu, ...devices] = good.parts as [Part, ...Part[]]
const withParts = (...parts: readonly Part[]): BundleEvidence => ({ ...good, parts })
/** The same devices, but the CPU signs over what is given: what a guest that does not look would do. */
const carelessly = (parts: readonly Part[]) => bundleOf(parts)
const swap = <T>(list: readonly T[], i: number, j: number) => list.map((one, at) => list[at === i ? j : at === j ? i : at] ?? one)

test('a machine of CPU, two GPUs, a switch and a vTPM: the CPU\'s claims with those of the devices in order', () => {
  const got = claims(good)
  assert.deepEqual([got.tee, got.product, got.signer, got.reportData, got.facts.kind], ['snp', 'Genoa', 'vcek', CHALLENGE, 'snp'])
  assert.deepEqual(got.devices?.map(one => [one.tee, one.product]), [['nvidia', 'GH100'], ['nvidia', 'GH100'], ['nvidia', 'LS10'], ['tpm', 'TPM 2.0']])
  assert.deepEqual(got.devices?.map(one => one.reportData), DEVICES.map(({ role }, i) => toHex(deviceNonce(p, CHALLENGE, { role, index: i + 1, count: 5 }))))
})

test('every kind of CPU can be the first part, alone or with devices', () => {
  for (const kind of Object.keys(cpus) as CpuKind[]) {
    const gpu = devicesOf(CHALLENGE, [{ role: 'vtpm' }])
    assert.equal(claims(bundleOf(gpu, CHALLENGE, kind)).devices?.length, 1, kind)
    assert.deepEqual(claims(bundleOf([], CHALLENGE, kind)).devices, [])
  }
})

test('what all parts say together: the narrowest window, every endorsement once, the worse of each flag', () => {
  const got = claims(good)
  const all: Claims[] = [...(got.devices ?? []), claims(bundleOf([]))]
  assert.deepEqual(got.validity, { notBefore: Math.max(...all.map(one => one.validity.notBefore)), notAfter: Math.min(...all.map(one => one.validity.notAfter)) })
  assert.deepEqual([...got.endorsements].toSorted(), [...new Set(all.flatMap(one => one.endorsements))].toSorted())
  const told = (change: Partial<Claims>, kind: string) => attempt(() => verifyBundle(p, good, OPTIONS, (part, options) => ({ ...judgeWith(p)(part, options), revocation: true, ...(part.kind === kind ? change : {}) })))
  const flags = (result: Result<Claims>) => (result.ok ? [result.value.simulated, result.value.debug, result.value.migration, result.value.revocation] : [])
  assert.deepEqual(flags(told({}, 'snp')), [false, false, false, true])
  for (const kind of ['snp', 'tpm', 'nvidia']) {
    assert.deepEqual(flags(told({ simulated: true }, kind)), [true, false, false, true])
    assert.deepEqual(flags(told({ debug: true }, kind)), [false, true, false, true])
    assert.deepEqual(flags(told({ migration: true }, kind)), [false, false, true, true])
    assert.deepEqual(flags(told({ revocation: false }, kind)), [false, false, false, false])
  }
})

test('56: a part dropped', () => {
  devices.forEach((_, i) => refused(judge(withParts(cpu, ...devices.filter((__, at) => at !== i))), 'evidence.binding', 'parts[0].reportData'))
  refused(judge(withParts(cpu)), 'evidence.binding', 'parts[0].reportData')
  // The guest signs over what is left: the nonces still know how many there were.
  refused(judge(carelessly(devices.slice(0, -1))), 'evidence.binding', 'parts[1].reportData')
  refused(judge(withParts(...devices)), 'evidence.binding', 'parts[0].role')
  refused(judge(withParts()), 'evidence.binding', 'parts[0].role')
})

test('56: a part added, or one twice', () => {
  const more = devicesOf(CHALLENGE, [...DEVICES.slice(0, 3), { role: 'gpu', number: '03' }])[3] as Part
  refused(judge(withParts(cpu, ...devices, more)), 'evidence.binding', 'parts[0].reportData')
  refused(judge(carelessly([...devices, more])), 'evidence.binding', 'parts[1].reportData')
  for (const i of [0, 1, 2]) refused(judge(withParts(cpu, ...devices, devices[i] as Part)), 'evidence.binding', 'parts[0].reportData')
  refused(judge(withParts(cpu, ...devices, devices[3] as Part)), 'evidence.binding', 'parts[5].role') // there is one vTPM
  refused(judge(withParts(cpu, cpu, ...devices)), 'evidence.binding', 'parts[1].role')
  // A device that answers twice, each time to the nonce of the place, is still one device.
  refused(judge(bundleOf(devicesOf(CHALLENGE, [{ role: 'gpu', number: '01' }, { role: 'gpu', number: '01' }]))), 'evidence.binding', 'devices[1]')
})

test('56: parts in another order', () => {
  fc.assert(fc.property(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), fc.boolean(), (order, signed) => {
    const shuffled = order.map(i => devices[i] as Part)
    const result = judge(signed ? carelessly(shuffled) : withParts(cpu, ...shuffled))
    if (order.every((i, at) => i === at)) assert.ok(result.ok)
    else refused(result, 'evidence.binding')
  }), { numRuns: 30 })
  refused(judge(withParts(devices[0] as Part, cpu, ...devices.slice(1))), 'evidence.binding', 'parts[0].role')
})

test('56: any choice of parts with repetition but the right one is refused', () => {
  const others = devicesOf('d2'.repeat(32))
  fc.assert(fc.property(fc.array(fc.constantFrom(...devices, ...others), { maxLength: 6 }), fc.boolean(), (chosen, signed) => {
    const right = chosen.length === devices.length && chosen.every((one, i) => one === devices[i])
    assert.equal(judge(signed ? carelessly(chosen) : withParts(cpu, ...chosen)).ok, right || (signed && chosen.length === 0))
  }), { numRuns: 60 })
})

test('56: a part of another machine, with its own valid signature', () => {
  const other = devicesOf(CHALLENGE, [{ role: 'gpu', number: '03' }, ...DEVICES.slice(1)])[0] as Part
  // It answered to the very nonce of the place; the CPU did not see that answer.
  refused(judge(withParts(cpu, other, ...devices.slice(1))), 'evidence.binding', 'parts[0].reportData')
  // The guest did: now the switch does not know it.
  refused(judge(carelessly([other, ...devices.slice(1)])), 'evidence.binding', 'parts')
  // Another place of the same machine, and the same place of another bundle.
  refused(judge(withParts(cpu, ...swap(devices, 0, 1))), 'evidence.binding', 'parts[0].reportData')
  refused(judge(carelessly(swap(devices, 0, 1))), 'evidence.binding', 'parts[1].reportData')
})

test('58: parts, or all of it, of an older challenge', () => {
  const older = bundleOf(devicesOf('0d'.repeat(32)), '0d'.repeat(32))
  assert.equal(claims(older).reportData, '0d'.repeat(32)) // it is what it was: whoever asked compares the challenge
  refused(judge({ ...older, challenge: CHALLENGE }), 'evidence.binding', 'parts[0].reportData')
  older.parts.forEach((old, i) => refused(judge(withParts(...good.parts.map((one, at) => (at === i ? old : one)))), 'evidence.binding', 'parts[0].reportData'))
  older.parts.slice(1).forEach((old, i) => refused(judge(carelessly(devices.map((one, at) => (at === i ? old : one)))), 'evidence.binding', `parts[${i + 1}].reportData`))
})

test('56: the CPU of another bundle, or one that signed a session and no bundle', () => {
  const second = bundleOf(devicesOf(CHALLENGE, DEVICES.slice(0, 3)))
  refused(judge(withParts(second.parts[0] as Part, ...devices)), 'evidence.binding', 'parts[0].reportData')
  for (const data of [fromHex(CHALLENGE.repeat(2)), new Uint8Array(64)]) refused(judge(withParts({ role: 'cpu', evidence: cpus.snp(data) }, ...devices)), 'evidence.binding', 'parts[0].reportData')
})

test('another role than the device has', () => {
  refused(judge(withParts(cpu, { role: 'switch', evidence: devices[0]?.evidence as PartEvidence }, ...devices.slice(1))), 'evidence.binding', 'parts[0].reportData')
  // A GPU asked as a switch, a switch asked as a GPU.
  for (const [role, device] of [['switch', { role: 'gpu', number: '01' }], ['gpu', { role: 'switch', number: '09' }]] as const) {
    const evidence = answerOf(device, deviceNonce(p, CHALLENGE, { role, index: 1, count: 2 }))
    refused(judge(carelessly([{ role, evidence }])), 'evidence.binding', 'parts[1].role')
  }
  refused(judge(withParts(cpu, { role: 'vtpm', evidence: devices[0]?.evidence as PartEvidence })), 'evidence.kind', 'parts[1].evidence.kind')
  refused(judge(withParts(cpu, { role: 'gpu', evidence: devices[3]?.evidence as PartEvidence })), 'evidence.kind', 'parts[1].evidence.kind')
  refused(judge(withParts({ role: 'cpu', evidence: devices[3]?.evidence as PartEvidence })), 'evidence.kind', 'parts[0].evidence.kind')
})

test('a fabric is whole: what links name is here and names them', () => {
  const at = (list: readonly Device[]) => judge(bundleOf(devicesOf(CHALLENGE, list)))
  const gpu = (number: string, mode?: string): Device => ({ role: 'gpu', number, plan: mode === undefined ? {} : { opaque: fields => { fields.delete(OPAQUE.ppcieStatus); fields.set(OPAQUE.featureFlag, fromHex(mode)) } } })
  refused(at([gpu('01'), { role: 'switch', number: '09' }]), 'evidence.binding', 'parts') // the switch names another GPU
  refused(at([gpu('01'), gpu('02')]), 'evidence.binding', 'parts') // protected PCIe without its switch
  refused(at([gpu('01'), gpu('02', '0100')]), 'evidence.binding', 'parts') // one of them says so
  refused(at([{ role: 'switch', number: '09' }]), 'evidence.binding', 'parts') // a switch without its GPUs
  assert.ok(at([gpu('01', '0100')]).ok) // one GPU passed through names the switch of its board
  assert.ok(at([gpu('01', '0000'), gpu('02', '0000')]).ok)
  refused(at([gpu('01', '0100'), gpu('02', '0100'), gpu('03'), { role: 'switch', number: '09' }]), 'evidence.binding', 'parts') // the third is not known to the switch
})

test('what a part is refused for is told with its place', () => {
  const broken = (i: number, change: (evidence: PartEvidence) => PartEvidence) => judge(carelessly(devices.map((one, at) => (at === i ? { ...one, evidence: change(one.evidence) } : one))))
  refused(broken(1, evidence => (evidence.kind === 'nvidia' ? { ...evidence, report: flipped(evidence.report, 8 * 60) } : evidence)), 'evidence.signature', 'parts[2].report.signature')
  refused(broken(3, evidence => (evidence.kind === 'tpm' ? { ...evidence, signature: flipped(evidence.signature) } : evidence)), 'evidence.signature')
  refused(judge(good, { aks: [] }), 'evidence.signer', 'parts[4].ak')
  refused(judge(good, { now: NOW + 1000 * 86_400 }), 'x509.expired')
  refused(judge(good, { requireCrl: true }), 'crl.missing')
})

test('collateral may be newer than what the CPU signed; what a device says may not be other', () => {
  const [gpu, ...rest] = devices as [Part, ...Part[]]
  const evidence = gpu.evidence as Extract<PartEvidence, { kind: 'nvidia' }>
  assert.ok(judge(withParts(cpu, { ...gpu, evidence: { ...evidence, crls: [], ocsp: [], rims: [] } }, ...rest)).ok)
  const tpm = devices[3] as Part
  const { eventLog: _, ...bare } = tpm.evidence as Extract<PartEvidence, { kind: 'tpm' }>
  refused(judge(withParts(cpu, ...devices.slice(0, 3), { ...tpm, evidence: bare })), 'evidence.binding', 'parts[0].reportData')
})

test('the CPU is judged first, and nothing else is when it does not vouch for the rest', () => {
  const judged: string[] = []
  const listen = (bundle: BundleEvidence) => attempt(() => verifyBundle(p, bundle, OPTIONS, (part, options) => { judged.push(part.kind); return judgeWith(p)(part, options) }))
  refused(listen(withParts(cpu, ...devices.slice(1))), 'evidence.binding')
  assert.deepEqual(judged, ['snp'])
})

test('parts that share certificates share their verification, also without a cache of the caller\'s', () => {
  const caches = new Set<unknown>()
  attempt(() => verifyBundle(p, good, OPTIONS, (part, options) => { caches.add(options.cache); return judgeWith(p)(part, options) }))
  assert.equal(caches.size, 1)
  assert.ok([...caches][0] instanceof Map)
  const own = new Map()
  judge(good, { cache: own })
  assert.ok(own.size > 0)
})

test('nonces and report data: one for each challenge, role, place, count and part', () => {
  const places = (['gpu', 'switch', 'vtpm'] as const).flatMap(role => [1, 2].flatMap(index => [2, 3].map(count => ({ role, index, count }))))
  const nonces = [CHALLENGE, 'c2'.repeat(32), `${CHALLENGE}00`].flatMap(challenge => places.map(place => toHex(deviceNonce(p, challenge, place))))
  assert.equal(new Set(nonces).size, nonces.length)
  const data = [[], [devices[0]], [devices[1]], devices, swap(devices, 0, 1)].flatMap(list => [CHALLENGE, 'c2'.repeat(32)].map(challenge => toHex(bundleReportData(p, 'snp', challenge, list as Part[]))))
  assert.equal(new Set(data).size, data.length)
  const role = { ...(devices[0] as Part), role: 'switch' as const }
  assert.notDeepEqual(bundleReportData(p, 'snp', CHALLENGE, [role]), bundleReportData(p, 'snp', CHALLENGE, [devices[0] as Part]))
  assert.deepEqual([bundleReportData(p, 'snp', CHALLENGE, []).length, bundleReportData(p, 'azure', CHALLENGE, []).length], [64, 32])
  // Fixed for implementers of guests in other languages.
  assert.equal(toHex(deviceNonce(p, CHALLENGE, { role: 'gpu', index: 1, count: 2 })), 'cf4a83cddc688cc757ea846fa1e284564496742daa6045b12432c5f5b66ec30b')
  assert.equal(toHex(bundleReportData(p, 'snp', CHALLENGE, [{ role: 'vtpm', evidence: { kind: 'tpm', message: 'AA==', signature: 'AQ==', ak: 'Ag==', pcrs: {}, certificates: ['Aw=='] } }])), '2fce3c8b961a461974585eda0109276c5cad940e5ea8904cb8fb7b06fa92ae073386220b843f97993ef1908706005b87e39458defa0a8aac5d1b936e5570dd2d')
})

test('challenges: 32 to 64 bytes, lower case', () => {
  for (const challenge of ['', 'c1'.repeat(31), 'c1'.repeat(65), 'C1'.repeat(32), `${'c1'.repeat(31)}c`, `${'c1'.repeat(32)}c`, 'zz'.repeat(32)]) refused(judge({ ...good, challenge }), 'evidence.parse', 'evidence.challenge')
  for (const challenge of ['c1'.repeat(33), 'c1'.repeat(64)]) assert.ok(judge(bundleOf(devicesOf(challenge, [{ role: 'vtpm' }]), challenge)).ok)
})

const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as JsonObject
test('shape: known fields, roles and kinds, at most 32 parts, no bundle in a bundle', () => {
  const read = (json: JsonObject) => attempt(() => readBundle(json, part => { const parsed = parseEvidence(part); return parsed.ok ? parsed.value : refuse(parsed.refusal.code, parsed.refusal.at, '', '') }))
  const json = plain(good)
  assert.deepEqual(plain((read(json) as { value: unknown }).value), json)
  assert.deepEqual(plain((parseEvidence(json) as { value: unknown }).value), json)
  const parts = json['parts'] as JsonObject[]
  const [first] = parts as [JsonObject]
  const inner = (change: Json) => ({ ...json, parts: [first, change] }) as JsonObject
  // 16 MiB of texts and names in all parts together, and so many more.
  const large = (more: number): JsonObject => {
    const sized = (length: number): JsonObject[] => [first, { role: 'gpu', evidence: { kind: 'nvidia', report: 'A'.repeat(8 * 1024 * 1024), certificates: ['A'.repeat(length)] } }]
    let base = 0
    JSON.stringify(sized(0), (name, value: unknown) => { base += (/^\d*$/.test(name) ? 0 : name.length) + (typeof value === 'string' ? value.length : 0); return value })
    return { ...json, parts: sized(16 * 1024 * 1024 - base + more) }
  }
  const bad: [JsonObject, RefusalCode, string?][] = [
    [{ ...json, more: 1 }, 'evidence.parse', 'evidence.more'], [{ ...json, challenge: 1 }, 'evidence.parse'], [{ ...json, parts: {} }, 'evidence.parse', 'evidence.parts'], [{ ...json, parts: [] }, 'evidence.binding', 'parts[0].role'],
    [inner('x'), 'evidence.parse', 'parts[1]'], [inner({ role: 'gpu' }), 'evidence.parse', 'parts[1].evidence'], [inner({ role: 'npu', evidence: {} }), 'evidence.parse', 'parts[1].role'], [inner({ role: 'constructor', evidence: {} }), 'evidence.parse', 'parts[1].role'], [inner({ role: ['gpu'], evidence: {} }), 'evidence.parse', 'parts[1].role'],
    [inner({ role: 'gpu', evidence: {}, more: 1 }), 'evidence.parse', 'parts[1].more'], [inner({ role: 'gpu', evidence: { kind: 'snp' } }), 'evidence.kind', 'parts[1].evidence.kind'], [inner({ role: 'gpu', evidence: { kind: 'nvidia' } }), 'evidence.parse'],
    [{ ...json, parts: [{ role: 'cpu', evidence: json }] }, 'evidence.kind', 'parts[0].evidence.kind'], [inner({ role: 'gpu', evidence: json }), 'evidence.kind', 'parts[1].evidence.kind'],
    [{ ...json, parts: Array.from({ length: 33 }, () => first) }, 'bytes.too-large', 'evidence.parts'],
    [large(1), 'bytes.too-large', 'evidence.parts'],
  ]
  for (const [value, code, at] of bad) refused(read(value), code, at)
  assert.ok(read(large(0)).ok)
  assert.ok(read({ ...json, parts: [first, ...Array.from({ length: 31 }, () => parts[1] ?? first)] }).ok)
  const simulated = { kind: 'simulated', report: '', certificates: [] }
  assert.ok(read({ ...json, parts: [{ role: 'cpu', evidence: simulated }] }).ok)
  let deep: Json = 'x'
  for (let i = 0; i < 100_000; i++) deep = [deep]
  refused(read(inner({ role: 'gpu', evidence: { kind: 'nvidia', report: deep } })), 'evidence.parse')
  refused(judge({ ...good, parts: Array.from({ length: 33 }, () => cpu) }), 'bytes.too-large', 'evidence.parts')
  refused(judge({ ...good, parts: Array.from({ length: 32 }, () => cpu) }), 'evidence.binding', 'parts[1].role')
})

test('bundles are evidence of a kind like others: production roots refuse the test roots', () => {
  refused(verifyEvidence(p, good, OPTIONS), 'evidence.chain')
})
