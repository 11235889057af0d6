import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { readAttestationPb } from './attestation-pb.ts'

const varint = (value: number): Uint8Array => (value < 128 ? new Uint8Array([value]) : concat(new Uint8Array([128 + value % 128]), varint(Math.floor(value / 128))))
const bytes = (field: number, value: Uint8Array) => concat(varint(field * 8 + 2), varint(value.length), value)
const number = (field: number, value: number) => concat(varint(field * 8), varint(value))
const pcr = (index: number, value: Uint8Array) => bytes(2, concat(...(index === 0 ? [] : [number(1, index)]), bytes(2, value)))
const pcrs = (...values: Uint8Array[]) => concat(number(1, 11), ...values)
const quote = (registers = pcrs(pcr(7, new Uint8Array(32).fill(7)), pcr(0, new Uint8Array(32))), ...more: Uint8Array[]) => bytes(2, concat(bytes(1, utf8('message')), bytes(2, utf8('signature')), bytes(3, registers), ...more))
const message = (...parts: Uint8Array[]) => concat(bytes(1, utf8('ak')), ...parts)

function refused(data: Uint8Array, code: RefusalCode): void {
  const result = attempt(() => readAttestationPb(data))
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}

test('the parts of an attestation, a zero index left out as proto3 does', () => {
  const read = readAttestationPb(message(quote(), quote(), bytes(3, utf8('log')), bytes(4, utf8('instance')), bytes(6, utf8('certificate')), bytes(7, utf8('a')), bytes(7, utf8('b'))))
  assert.deepEqual([read.ak, read.eventLog, read.certificate, read.intermediates, read.otherFields, read.quotes.length], [utf8('ak'), utf8('log'), utf8('certificate'), [utf8('a'), utf8('b')], [4], 2])
  assert.deepEqual(read.quotes[0], { message: utf8('message'), signature: utf8('signature'), bank: 'sha256', pcrs: new Map([['sha256', new Map([[7, new Uint8Array(32).fill(7)], [0, new Uint8Array(32)]])]]) })
  assert.deepEqual(Object.keys(readAttestationPb(message())), ['ak', 'quotes', 'intermediates', 'otherFields'])
  assert.equal(readAttestationPb(message(bytes(3, new Uint8Array(300)))).eventLog?.length, 300)
})

test('a field missing, twice, unknown or of another type is refused', () => {
  refused(new Uint8Array(), 'evidence.missing')
  refused(message(bytes(1, utf8('ak'))), 'evidence.parse')
  refused(message(bytes(3, utf8('a')), bytes(3, utf8('b'))), 'evidence.parse')
  refused(message(bytes(17, utf8('x'))), 'evidence.parse')
  refused(message(number(3, 1)), 'evidence.parse')
  refused(message(new Uint8Array([0x19, 0, 0, 0, 0, 0, 0, 0, 0])), 'evidence.parse') // wire type 1
  refused(message(new Uint8Array([0x02, 0])), 'evidence.parse') // field 0
  refused(message(bytes(2, bytes(1, utf8('message')))), 'evidence.missing')
  refused(message(quote(undefined, bytes(4, utf8('x')))), 'evidence.parse')
  refused(message(quote(concat(pcrs(), number(1, 11)))), 'evidence.parse')
  refused(message(quote(pcr(0, new Uint8Array(32)))), 'evidence.parse') // no bank
  refused(message(quote(concat(number(1, 5)))), 'evidence.parse')
  refused(message(quote(concat(bytes(1, utf8('x'))))), 'evidence.parse')
  refused(message(quote(pcrs(bytes(3, utf8('x'))))), 'evidence.parse')
})

test('registers: each once, below 24, with a value of the bank', () => {
  const value = new Uint8Array(32)
  refused(message(quote(pcrs(pcr(1, value), pcr(1, value)))), 'evidence.parse')
  refused(message(quote(pcrs(pcr(24, value)))), 'evidence.parse')
  refused(message(quote(pcrs(pcr(1, value.slice(1))))), 'evidence.parse')
  refused(message(quote(pcrs(bytes(2, number(1, 1))))), 'evidence.parse')
  refused(message(quote(pcrs(bytes(2, concat(number(1, 1), number(1, 2), bytes(2, value)))))), 'evidence.parse')
  refused(message(quote(pcrs(bytes(2, concat(bytes(1, utf8('x')), bytes(2, value)))))), 'evidence.parse')
  refused(message(quote(pcrs(bytes(2, concat(number(1, 1), bytes(2, value), bytes(3, value)))))), 'evidence.parse')
})

test('numbers in their shortest form, within limits', () => {
  refused(concat(new Uint8Array([0x0a, 0x82, 0x00]), utf8('ak')), 'evidence.parse')
  refused(concat(new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])), 'evidence.parse')
  refused(concat(new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])), 'bytes.truncated')
  refused(message(...Array.from({ length: 9 }, () => quote())), 'bytes.too-large')
  refused(message(...Array.from({ length: 9 }, () => bytes(7, utf8('x')))), 'bytes.too-large')
  refused(message(...Array.from({ length: 64 }, () => bytes(8, utf8('x')))), 'bytes.too-large')
  refused(new Uint8Array((4 << 20) + 1), 'bytes.too-large')
})

test('whatever bytes come, they are read or refused', () => {
  const whole = message(quote(), bytes(3, utf8('log')))
  for (let length = 1; length < whole.length; length++) attempt(() => readAttestationPb(whole.slice(0, length)))
  fc.assert(fc.property(fc.nat(), fc.nat(255), (where, value) => { attempt(() => readAttestationPb(whole.with(where % whole.length, value))) }), { numRuns: 300 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), data => { attempt(() => readAttestationPb(data)) }), { numRuns: 300 })
})
