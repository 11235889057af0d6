import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { attempt, type RefusalCode } from '../refusal.ts'
import { fromBase64, fromBase64Raw, fromBase64Url, toBase64, toBase64Raw, toBase64Url } from './base64.ts'
import { allZero, concat, equal, framed, u32be, u64be } from './bytes.ts'
import { fromHex, toHex } from './hex.ts'
import { Reader } from './reader.ts'
import { fromUtf8, utf8 } from './text.ts'

const refused = (run: () => unknown, code: RefusalCode) => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted: ${String(result.ok && result.value)}`)
  assert.equal(result.refusal.code, code)
}
const bytes = () => fc.uint8Array({ maxLength: 80 })

test('hex and base64 give back what they were given, and know only one text of it (attacks.md row 17)', () => {
  fc.assert(fc.property(bytes(), value => {
    assert.deepEqual(fromHex(toHex(value)), value)
    assert.deepEqual(fromBase64(toBase64(value)), value)
    assert.deepEqual(fromBase64Raw(toBase64Raw(value)), value)
    assert.deepEqual(fromBase64Url(toBase64Url(value)), value)
  }))
  fc.assert(fc.property(fc.string({ maxLength: 12, unit: fc.constantFrom(...'AZaz09+/-_= \n\u00e9') }), text => {
    for (const [from, to] of [[fromBase64, toBase64], [fromBase64Raw, toBase64Raw], [fromBase64Url, toBase64Url]] as const) {
      const result = attempt(() => from(text))
      if (result.ok) assert.equal(to(result.value), text)
      else assert.equal(result.refusal.code, 'bytes.encoding')
    }
  }))
})

test('base64 (RFC 4648 section 10) and what is beside it', () => {
  for (const [text, encoded] of [['', ''], ['f', 'Zg=='], ['fo', 'Zm8='], ['foo', 'Zm9v'], ['foob', 'Zm9vYg=='], ['fooba', 'Zm9vYmE='], ['foobar', 'Zm9vYmFy']] as const) {
    assert.equal(toBase64(utf8(text)), encoded)
    assert.deepEqual(fromBase64(encoded), utf8(text))
  }
  for (const text of ['Zg', 'Zg=', 'Zg===', 'Zh==', 'Zm9=', 'Zg==\n', ' Zg==', 'Z', '=', '====', 'Zg==Zg==', 'Zm9v=', '-_-_']) refused(() => fromBase64(text), 'bytes.encoding')
  for (const text of ['0', '0g', 'zz', '0x00', '\u0660\u0660', 'g0', '\uff10\uff10']) refused(() => fromHex(text), 'bytes.encoding')
  assert.deepEqual(fromHex('00fFAb'), new Uint8Array([0, 255, 171]))
})

test('UTF-8: no mark, no overlong form, no surrogate', () => {
  for (const hex of ['efbbbf', 'c0af', 'eda080', 'f8888080', '80', 'e28288c3']) refused(() => fromUtf8(fromHex(hex)), 'bytes.encoding')
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }).filter(text => !text.startsWith('\ufeff')), text => assert.equal(fromUtf8(utf8(text)), text)))
})

test('a frame belongs to one list of parts only (attacks.md row 19)', () => {
  const parts = () => fc.tuple(fc.string({ maxLength: 3 }), fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 4 }))
  fc.assert(fc.property(parts(), parts(), (a, b) => {
    const one = toHex(framed(a[0], ...a[1])) === toHex(framed(b[0], ...b[1]))
    assert.equal(one, toHex(utf8(a[0])) === toHex(utf8(b[0])) && JSON.stringify(a[1].map(toHex)) === JSON.stringify(b[1].map(toHex)))
  }))
  assert.equal(toHex(framed('ab', new Uint8Array([1]))), `000000026162${'0000000101'}`)
  for (const value of [-1, 1.5, 2 ** 32, Number.NaN]) assert.throws(() => u32be(value), RangeError)
  assert.equal(toHex(u64be(2n ** 40n + 5n)), '0000010000000005')
})

test('equality, zeros, concatenation', () => {
  fc.assert(fc.property(bytes(), bytes(), (a, b) => {
    assert.equal(equal(a, b), toHex(a) === toHex(b))
    assert.ok(equal(a, a.slice()))
    assert.equal(toHex(concat(a, b)), toHex(a) + toHex(b))
  }))
  assert.ok(allZero(new Uint8Array(3)) && !allZero(new Uint8Array([0, 1])))
})

test('the reader never reads past the end and names the place (attacks.md rows 1 to 4)', () => {
  const whole = fromHex('01 0203 030201 04030201 0102030405060708'.replaceAll(' ', ''))
  const read = (value: Uint8Array) => {
    const r = new Reader(value, 'part@')
    const got = [r.u8(), r.u16be(), r.u24le(), r.u32le(), r.u64be()]
    r.end()
    return got
  }
  assert.deepEqual(read(whole), [1, 0x0203, 0x010203, 0x01020304, 0x0102030405060708n])
  for (let length = 0; length < whole.length; length++) refused(() => read(whole.subarray(0, length)), 'bytes.truncated')
  refused(() => read(concat(whole, new Uint8Array(1))), 'bytes.trailing')
  const result = attempt(() => new Reader(whole, 'part@').take(2 ** 31))
  assert.ok(!result.ok && result.refusal.at === 'part@0x0')
  refused(() => new Reader(whole).take(-1), 'bytes.truncated')
})
