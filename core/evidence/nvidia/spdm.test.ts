import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { messages, NONCE, valueOf, type DevicePlan } from './nvidia.fixture.ts'
import { OPAQUE, opaqueField, opaqueText, parseNvidiaReport, vbiosVersion, type NvidiaReport } from './spdm.ts'

const SIGNATURE = new Uint8Array(96).fill(0xee)
const report = (plan: DevicePlan = {}) => concat(messages(plan), SIGNATURE)
const parse = (plan: DevicePlan = {}) => attempt(() => parseNvidiaReport(report(plan)))
function refused(run: () => unknown, code: RefusalCode, at?: string): void {
  const result = attempt(run)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const changed = (at: number, value: number) => () => parseNvidiaReport(report({ report: bytes => { bytes[at] = value } }))

const u16 = (value: number) => new Uint8Array([value & 255, value >> 8])
interface Shape { readonly values: readonly { readonly type: number; readonly value: Uint8Array }[]; readonly opaque: ReadonlyMap<number, Uint8Array>; readonly nonce: Uint8Array; readonly slot: number }
const shape: fc.Arbitrary<Shape> = fc.record({
  values: fc.array(fc.record({ type: fc.integer({ min: 0, max: 3 }), value: fc.uint8Array({ minLength: 48, maxLength: 48 }) }), { minLength: 1, maxLength: 6 }),
  opaque: fc.array(fc.tuple(fc.integer({ min: 0, max: 65_535 }), fc.uint8Array({ maxLength: 20 })), { maxLength: 5 }).map(list => new Map(list)),
  nonce: fc.uint8Array({ minLength: 32, maxLength: 32 }), slot: fc.integer({ min: 0, max: 7 }),
})
/** `wrong` makes one of the lengths, in order, longer or shorter by one. */
function encode({ values, opaque, nonce, slot }: Shape, wrong?: { readonly which: number; readonly by: number }): Uint8Array {
  let counter = 0
  const length = (value: number) => value + (wrong?.which === counter++ ? wrong.by : 0)
  const record = concat(...values.map(({ type, value }, i) => concat(new Uint8Array([i + 1, 1]), u16(length(3 + value.length)), new Uint8Array([type]), u16(length(value.length)), value)))
  const fields = concat(...[...opaque].map(([type, value]) => concat(u16(type), u16(Math.max(0, length(value.length))), value)))
  const recordLength = length(record.length)
  return concat(
    new Uint8Array([0x11, 0xe0, 1, 0xff]), nonce, new Uint8Array([slot, 0x11, 0x60, 0, slot, length(values.length)]), u16(recordLength & 0xffff), new Uint8Array([recordLength >> 16]), record,
    new Uint8Array(32), u16(Math.max(0, length(fields.length))), fields, SIGNATURE,
  )
}
const lengths = ({ values, opaque }: Shape) => 2 * values.length + opaque.size + 3

test('request and response: nonce, measurements, opaque fields, what is signed and by what', () => {
  const bytes = report()
  const read = parseNvidiaReport(bytes)
  assert.deepEqual([read.version, read.nonce, read.measurements.length, read.measurements[63]?.index], [0x11, toHex(NONCE), 64, 64])
  assert.deepEqual(read.measurements[4]?.value, valueOf(5))
  assert.deepEqual([read.signed.length, read.signature], [bytes.length - 96, SIGNATURE])
  assert.equal(parseNvidiaReport(report({ product: 'LS_10' })).measurements.length, 31)
})

test('a report written is the report read', () => {
  fc.assert(fc.property(shape, one => {
    const read = parseNvidiaReport(encode(one))
    assert.deepEqual(read.measurements, one.values.map(({ type, value }, i) => ({ index: i + 1, type, value })))
    assert.deepEqual([...read.opaque], [...one.opaque])
    assert.equal(read.nonce, toHex(one.nonce))
  }))
})

test('cut anywhere or with bytes behind it, it is refused (attacks.md rows 1 to 3, 9)', () => {
  fc.assert(fc.property(shape, fc.uint8Array({ minLength: 1, maxLength: 3 }), (one, more) => {
    const bytes = encode(one)
    for (let length = 0; length < bytes.length; length++) assert.ok(!attempt(() => parseNvidiaReport(bytes.subarray(0, length))).ok, `${length}`)
    refused(() => parseNvidiaReport(concat(bytes, more)), 'bytes.trailing')
  }), { numRuns: 30 })
})

test('any length that is one off is refused (attacks.md rows 2, 11)', () => {
  fc.assert(fc.property(shape, fc.nat(), fc.constantFrom(-1, 1), (one, pick, by) => {
    const which = pick % lengths(one)
    const bytes = encode(one, { which, by })
    const same = toHex(bytes) === toHex(encode(one)) // a length of nothing is not made shorter
    assert.ok(same || !attempt(() => parseNvidiaReport(bytes)).ok)
  }))
})

test('any byte changed: a value or a refusal, never an error (attacks.md row 8)', () => {
  fc.assert(fc.property(shape, fc.nat(), fc.integer({ min: 1, max: 255 }), (one, pick, mask) => {
    const bytes = encode(one)
    bytes[pick % bytes.length] = (bytes[pick % bytes.length] ?? 0) ^ mask
    attempt(() => parseNvidiaReport(bytes))
  }), { numRuns: 500 })
})

test('every fixed byte of request and response', () => {
  refused(changed(0, 0x12), 'evidence.version', 'report.request.version')
  refused(changed(1, 0xe1), 'evidence.parse', 'report.request.code')
  refused(changed(2, 0), 'evidence.parse', 'report.request.attributes')
  refused(changed(3, 1), 'evidence.parse', 'report.request.operation')
  refused(changed(36, 8), 'evidence.reserved-bits', 'report.request.slot')
  refused(changed(36, 1), 'evidence.parse', 'report.response.slot')
  refused(changed(37, 0x10), 'evidence.version', 'report.response.version')
  refused(changed(38, 0x61), 'evidence.parse', 'report.response.code')
  refused(changed(39, 1), 'evidence.reserved-bits', 'report.response.param1')
  refused(changed(40, 1), 'evidence.parse', 'report.response.slot')
})

test('measurements stand in order, from 1, as SHA-384 digests of DMTF types, as many as are said', () => {
  const block = 45 + 55 // the second
  refused(changed(block, 3), 'evidence.parse', 'report.measurements[2].index')
  refused(changed(block, 1), 'evidence.parse', 'report.measurements[2].index')
  refused(changed(45, 0), 'evidence.parse', 'report.measurements[1].index')
  refused(changed(block + 1, 2), 'evidence.parse', 'report.measurements[2].specification')
  refused(changed(block + 2, 52), 'evidence.parse', 'report.measurements[2].size')
  refused(changed(block + 4, 4), 'evidence.parse', 'report.measurements[2].type')
  refused(changed(block + 4, 0x81), 'evidence.parse', 'report.measurements[2].type')
  refused(changed(block + 5, 32), 'evidence.parse', 'report.measurements[2].valueSize')
  refused(changed(41, 63), 'bytes.trailing')
  refused(changed(41, 65), 'bytes.truncated')
  refused(() => parseNvidiaReport(report({ measurements: values => { values.length = 0 } })), 'evidence.parse', 'report.measurements')
})

test('opaque fields: each once, a limit, and what is unknown is kept', () => {
  const read = parse({ opaque: fields => fields.set(999, utf8('x')) })
  assert.ok(read.ok && toHex(read.value.opaque.get(999) ?? new Uint8Array()) === '78')
  // Field 34 and field 36 are both two bytes long: 36 becomes a second 34.
  refused(() => parseNvidiaReport(report({ report: bytes => { bytes[bytes.length - 6] = OPAQUE.dataVersion } })), 'evidence.parse', 'report.opaque[34]')
  const fill = (count: number) => (fields: Map<number, Uint8Array>) => { while (fields.size < count) fields.set(1000 + fields.size, new Uint8Array(1)) }
  assert.ok(parse({ opaque: fill(64) }).ok)
  refused(() => parseNvidiaReport(report({ opaque: fill(65) })), 'bytes.too-large', 'report.opaque')
  refused(() => parseNvidiaReport(new Uint8Array(65_537)), 'bytes.too-large', 'report')
  refused(() => parseNvidiaReport(new Uint8Array(65_536)), 'evidence.version')
})

test('fields and texts that must be there, of their size and form', () => {
  const read: NvidiaReport = parseNvidiaReport(report({ opaque: fields => fields.set(OPAQUE.project, utf8('10\u00001')).set(OPAQUE.projectSku, new Uint8Array([0x1f])).set(OPAQUE.chipSku, new Uint8Array([0x7f])).set(OPAQUE.projectSkuMod, utf8('a ~')) }))
  assert.equal(toHex(opaqueField(read, 'nvdec0Status', 1)), '55')
  refused(() => opaqueField(read, 'nvdec0Status', 2), 'evidence.parse', 'report.opaque.nvdec0Status')
  refused(() => opaqueField(read, 'positionId'), 'evidence.parse', 'report.opaque.positionId')
  assert.equal(opaqueText(read, 'driverVersion'), '550.90.07')
  assert.equal(opaqueField(read, 'fwid').length, 48)
  assert.deepEqual([opaqueText(read, 'positionId'), opaqueText(read, 'chipSkuMod'), opaqueText(read, 'projectSkuMod')], ['', '', 'a ~'])
  for (const name of ['project', 'projectSku', 'chipSku'] as const) refused(() => opaqueText(read, name), 'evidence.parse', `report.opaque.${name}`)
})

test('the version of a VBIOS as the manifest writes it', () => {
  assert.equal(vbiosVersion(new Uint8Array([0, 0x9f, 0, 0x96, 1, 0, 0, 0])), '96.00.9F.00.01')
  assert.equal(vbiosVersion(new Uint8Array([0, 0x88, 0, 0x97, 0x0f, 0, 0, 0])), '97.00.88.00.0F')
  refused(() => vbiosVersion(new Uint8Array([0, 0x9f, 0, 0x96, 1, 1, 0, 0])), 'evidence.parse')
  refused(() => vbiosVersion(new Uint8Array([0, 0x9f, 0, 0x96, 1])), 'evidence.parse')
})
