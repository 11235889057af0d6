import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { attempt, type RefusalCode } from '../refusal.ts'
import { concat } from './bytes.ts'
import { cborArray, cborBytes, cborFields, cborInt, cborLabel, cborOf, cborText, readCbor, toWritable, writeCbor, type Cbor, type CborOptions, type Writable } from './cbor.ts'
import { fromHex, toHex } from './hex.ts'

const bytesOf = (hex: string) => fromHex(hex.replaceAll(' ', ''))
const read = (hex: string, options?: CborOptions) => readCbor(bytesOf(hex), options)
const refused = (run: () => unknown, code: RefusalCode, about = '') => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted ${about}`)
  assert.equal(result.refusal.code, code, about)
}

const { tree } = fc.letrec<{ tree: Writable; leaf: Writable; branch: Writable }>(tie => ({
  leaf: fc.oneof(
    fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }), fc.constantFrom(0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, -1, -24, -25, -256, -257),
    fc.boolean(), fc.constantFrom(null, undefined), fc.string({ unit: 'grapheme', maxLength: 30 }).filter(text => !text.startsWith('\ufeff')), fc.uint8Array({ maxLength: 300 }),
    fc.double().map(float => ({ float })), fc.float().map(float => ({ float })), fc.constantFrom(0, -0, 1, 1.5, 65504, 65505, 5.960464477539063e-8, 2 ** -14, 2 ** -25, Infinity, -Infinity, Number.NaN).map(float => ({ float })),
    fc.oneof(fc.integer({ min: 0, max: 19 }), fc.integer({ min: 32, max: 255 })).map(simple => ({ simple })),
  ),
  branch: fc.oneof(
    fc.array(tie('tree'), { maxLength: 5 }), fc.record({ tag: fc.oneof(fc.constantFrom(18, 24, 399, 907), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), value: tie('tree') }),
    fc.uniqueArray(fc.tuple(tie('leaf'), tie('tree')), { maxLength: 5, selector: ([key]) => toHex(writeCbor(key)) }).map(entries => new Map(entries)),
  ),
  tree: fc.oneof({ depthSize: 'small', withCrossShrink: true }, tie('leaf'), tie('branch')),
}))

/** Offsets cover the bytes, and children lie within their parent. */
function placed(value: Cbor, from: number, to: number): void {
  assert.ok(value.at >= from && value.end <= to && value.at < value.end)
  const inner = value.kind === 'array' ? value.value : value.kind === 'map' ? value.value.flatMap(entry => [entry.key, entry.value]) : value.kind === 'tag' ? [value.value] : []
  inner.reduce((at, child) => { placed(child, at, value.end); return child.end }, value.at + 1)
}

test('a tree written is the tree read, and has one encoding', () => {
  fc.assert(fc.property(tree, value => {
    const bytes = writeCbor(value)
    const back = readCbor(bytes)
    assert.equal(toHex(writeCbor(toWritable(back))), toHex(bytes))
    assert.ok(back.at === 0 && back.end === bytes.length)
    placed(back, 0, bytes.length)
  }), { numRuns: 500 })
})

test('cut anywhere, or with bytes behind it, it is refused (attacks.md rows 1 to 3, 9)', () => {
  fc.assert(fc.property(tree, fc.uint8Array({ minLength: 1, maxLength: 3 }), (value, more) => {
    const bytes = writeCbor(value)
    for (let length = 0; length < bytes.length; length++) {
      const cut = attempt(() => readCbor(bytes.subarray(0, length)))
      assert.ok(!cut.ok && ['bytes.truncated', 'bytes.encoding'].includes(cut.refusal.code), JSON.stringify(cut))
    }
    refused(() => readCbor(concat(bytes, more)), 'bytes.trailing')
  }), { numRuns: 60 })
})

test('any byte changed, or any bytes at all: a value that writes back as it was, or a refusal (attacks.md row 8)', () => {
  const judge = (bytes: Uint8Array) => {
    const result = attempt(() => readCbor(bytes))
    // Maps may come in another order; nothing else has a second form.
    if (result.ok) assert.equal(writeCbor(toWritable(result.value)).length, bytes.length)
    attempt(() => readCbor(bytes, { indefinite: true, longForms: true }))
  }
  fc.assert(fc.property(tree, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, pick, mask) => {
    const bytes = writeCbor(value)
    const at = pick % bytes.length
    bytes[at] = (bytes[at] ?? 0) ^ mask
    judge(bytes)
  }), { numRuns: 1000 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), judge), { numRuns: 1000 })
})

test('the examples of RFC 8949 appendix A', () => {
  const int = (hex: string) => cborOf('int', read(hex), 'int').value
  /** What is read is written back as it was. */
  const back = (hex: string, options?: CborOptions) => toHex(writeCbor(toWritable(read(hex, options))))
  for (const [hex, value] of [['00', 0], ['17', 23], ['1818', 24], ['1903e8', 1000], ['1a000f4240', 1000000], ['1b000000e8d4a51000', 1000000000000], ['1bffffffffffffffff', 18446744073709551615n], ['3bffffffffffffffff', -18446744073709551616n], ['20', -1], ['3903e7', -1000], ['1b001fffffffffffff', 2 ** 53 - 1], ['1b0020000000000000', 2n ** 53n], ['3b001ffffffffffffe', 1 - 2 ** 53], ['3b001fffffffffffff', -(2n ** 53n)], ['18ff', 255], ['19ffff', 65535], ['1affffffff', 2 ** 32 - 1]] as const) {
    assert.equal(int(hex), value)
    assert.equal(back(hex), hex)
  }
  const float = (hex: string, options?: CborOptions) => cborOf('float', read(hex, options), 'float').value
  for (const [hex, value] of [['f90000', 0], ['f98000', -0], ['f93c00', 1], ['fb3ff199999999999a', 1.1], ['f93e00', 1.5], ['f97bff', 65504], ['fa47c35000', 100000], ['fa7f7fffff', 3.4028234663852886e+38], ['fb7e37e43c8800759c', 1e300], ['f90001', 5.960464477539063e-8], ['f90400', 0.00006103515625], ['f9c400', -4], ['f97c00', Infinity], ['f97e00', Number.NaN], ['f9fc00', -Infinity]] as const) assert.ok(Object.is(float(hex), value) && back(hex) === hex, hex)
  // The least and the greatest of each form, and what is just beyond.
  for (const [value, hex] of [[2 ** -24, 'f90001'], [2 ** -25, 'fa33000000'], [65504, 'f97bff'], [65520, 'fa477ff000'], [65536, 'fa47800000'], [1023 * 2 ** -24, 'f903ff'], [2 ** -14, 'f90400'], [2047 * 2 ** -25, 'fa387fe000'], [2 ** -149, 'fa00000001'], [2 ** -150, 'fb3690000000000000'], [3e38, 'fb47ec363cbf21f28a'], [1e39, 'fb48078287f49c4a1d']] as const) {
    assert.equal(toHex(writeCbor({ float: value })), hex)
    assert.equal(toHex(writeCbor({ float: -value })).slice(4), hex.slice(4))
  }
  assert.ok(Object.is(float('fb7ff0000000000000', { longForms: true }), Infinity))
  assert.deepEqual(toWritable(read('c11a514b67b0')), { tag: 1, value: 1363896240 })
  assert.deepEqual(toWritable(read('d818456449455446')), { tag: 24, value: bytesOf('6449455446') })
  assert.equal(toWritable(read('62225c')), '"\\')
  assert.equal(toWritable(read('64f0908591')), '\u{10151}')
  assert.deepEqual(toWritable(read('a26161016162820203')), new Map<Writable, Writable>([['a', 1], ['b', [2, 3]]]))
  assert.deepEqual(['f4', 'f5', 'f6', 'f7', 'f0', 'f8ff'].map(hex => toWritable(read(hex))), [false, true, null, undefined, { simple: 16 }, { simple: 255 }])
  for (const hex of ['f4', 'f5', 'f6', 'f7', 'f0', 'f8ff', 'f820', 'f3', 'e0', 'c11a514b67b0', 'd818456449455446', '62225c', '83010203', '9818'.padEnd(52, '0'), 'a0', '40', '5818'.padEnd(52, '0')]) assert.equal(back(hex), hex)
  assert.deepEqual([1, -1, 1.5, -0, 2 ** 53, 5n].map(value => toHex(writeCbor(value))), ['01', '20', 'f93e00', 'f98000', 'fa5a000000', '05'])
  for (const keys of [[1, 2, 3], [3, 2, 1], [2, 3, 1]]) assert.equal(toHex(writeCbor(new Map(keys.map(key => [key, 0])))), 'a3010002000300')
})

test('indefinite lengths are read only where they are asked for (attacks.md row 11)', () => {
  const open: CborOptions = { indefinite: true }
  for (const [hex, value] of [['5f42010243030405ff', bytesOf('0102030405')], ['7f657374726561646d696e67ff', 'streaming'], ['9fff', []], ['9f018202039f0405ffff', [1, [2, 3], [4, 5]]], ['bf61610161629f0203ffff', new Map<Writable, Writable>([['a', 1], ['b', [2, 3]]])], ['5fff', new Uint8Array(0)]] as const) {
    assert.deepEqual(toWritable(read(hex, open)), value)
    refused(() => read(hex), 'cbor.non-canonical', hex)
  }
  for (const hex of ['5f6161ff', '7f4161ff', '5f5f4101ffff', '5f01ff', 'ff', '81ff', 'a1ff01', 'a101ff', '1f', '3f', 'df', 'bf01ff', 'c1ff']) refused(() => read(hex, open), 'cbor.syntax', hex)
  for (const [hex, what] of [['1f', 'an integer'], ['3f', 'an integer'], ['5fff', 'bytes'], ['7fff', 'text'], ['9fff', 'a list'], ['bfff', 'a map'], ['dfff', 'a tag']] as const) {
    const result = attempt(() => read(hex))
    assert.ok(!result.ok && result.refusal.got.startsWith(`${what} `), hex)
  }
  for (const hex of ['5f4101', '9f01', 'bf0102', '7f', '9f']) refused(() => read(hex, open), 'bytes.truncated', hex)
  refused(() => read('bf01020103ff', open), 'cbor.duplicate-key')
  refused(() => read('7f61c361a9ff', open), 'bytes.encoding') // a character split over two chunks (section 3.2.3)
})

test('the shortest form is the only one (attacks.md row 7)', () => {
  for (const hex of ['1800', '1817', '190001', '1900ff', '1a0000ffff', '1b00000000ffffffff', '3817', '580101', '7801 61', '980101', 'b8010102', 'd81201', 'da0000001201', 'fa3f800000', 'fb3ff8000000000000', 'fa7fc00000', 'f97e01', 'fb7ff8000000000000']) {
    refused(() => read(hex), 'cbor.non-canonical', hex)
    assert.ok(attempt(() => read(hex, { longForms: true })).ok, hex)
  }
})

test('a key twice is refused, in whatever form it is written (attacks.md row 10)', () => {
  for (const hex of ['a201020103', 'a2616101616102', 'a2410101410102', 'a2f401f402', 'a2818001818002', 'a2a10102 01 a10102 02']) refused(() => read(hex), 'cbor.duplicate-key', hex)
  refused(() => read('a20101180102', { longForms: true }), 'cbor.duplicate-key')
  // 1, -1, 1.0, "1", h'31', true, [1], 1(1) are all different.
  assert.ok(attempt(() => read('a8 0100 2000 f93c0000 613100 413100 f500 810100 c10100')).ok)
})

test('what is not CBOR: reserved forms, wrong UTF-8, lengths beyond the end (attacks.md rows 4, 13)', () => {
  for (const hex of ['1c', '1d', '1e', '5c', '7d', '9e', 'bc', 'dd', 'fc', 'fd', 'fe', 'f800', 'f818', 'f81f']) refused(() => read(hex), 'cbor.syntax', hex)
  for (const hex of ['61ff', '62c0af', '63eda080', '63efbbbf']) refused(() => read(hex), 'bytes.encoding', hex)
  for (const hex of ['', '18', '19ff', '5bffffffffffffffff', '7a00010000', '9bffffffffffffffff', 'bb7fffffffffffffff00', '82 01', 'a2 0101', 'c1', 'f9', 'f93c', 'fb00']) refused(() => read(hex), 'bytes.truncated', hex)
})

test('limits: bytes, depth, number of values (attacks.md rows 4, 5)', () => {
  const whole = new Uint8Array(1 << 20)
  whole.set([0x5a, 0, 0x0f, 0xff, 0xfb])
  assert.ok(attempt(() => readCbor(whole)).ok)
  refused(() => readCbor(new Uint8Array(1 << 20 | 1)), 'bytes.too-large')
  // A count beyond the end is refused before anything is read for it.
  const huge = attempt(() => read('9b00000001000000000000'))
  assert.ok(!huge.ok && huge.refusal.expected === '4294967296 entries')
  for (const [first, last] of [['81', '80'], ['a101', '80'], ['c1', '00']]) refused(() => read(`${first}`.repeat(10_000) + last), 'bytes.too-deep', first)
  refused(() => read(`${'9f'.repeat(10_000)}`, { indefinite: true }), 'bytes.too-deep')
  assert.ok(attempt(() => read(`${'81'.repeat(32)}00`)).ok)
  refused(() => read(`${'81'.repeat(33)}00`), 'bytes.too-deep')
  refused(() => read(`990100${'00'.repeat(256)}`, { limits: { bytes: 1000, depth: 4, items: 256 } }), 'bytes.too-large')
  assert.ok(attempt(() => read(`990100${'00'.repeat(256)}`, { limits: { bytes: 1000, depth: 4, items: 257 } })).ok)
})

test('refusals name the place', () => {
  const result = attempt(() => read('820118 17', { at: 'payload' }))
  assert.ok(!result.ok && result.refusal.at === 'payload@0x2', JSON.stringify(result))
})

test('typed access says what it wanted', () => {
  const map = read('a3 01 4102 6161 626262 20 820102')
  const fields = cborFields(map, 'x')
  assert.deepEqual([...fields.keys()], [1, 'a', -1])
  assert.deepEqual(cborBytes(fields.get(1), 'x', 1, 1), new Uint8Array([2]))
  assert.equal(cborText(fields.get('a'), 'x', 2), 'bb')
  assert.equal(cborText(read('6161'), 'x', 1), 'a')
  assert.deepEqual([cborLabel(read('03'), 'x'), cborLabel(read('6133'), 'x')], [3, '3'])
  assert.equal(cborInt(cborArray(fields.get(-1), 'x', 2, 2)[1], 'x', 2, 2), 2)
  for (const run of [() => cborBytes(fields.get(1), 'x', 2), () => cborBytes(fields.get(1), 'x', 0, 0), () => cborText(fields.get('a'), 'x', 1), () => cborText(read('60'), 'x'), () => cborInt(read('03'), 'x', 4), () => cborInt(read('03'), 'x', 0, 2), () => cborInt(read('1bffffffffffffffff'), 'x'), () => cborInt(read('1bffffffffffffffff'), 'x', 0, Infinity), () => cborFields(read('a1f93e0000'), 'x'),
    () => cborArray(fields.get(-1), 'x', 3), () => cborArray(fields.get(-1), 'x', 0, 1), () => cborFields(read('a1410100'), 'x'), () => cborFields(read('a11bffffffffffffffff00'), 'x'), () => cborFields(read('80'), 'x'), () => cborOf('text', undefined, 'x'), () => cborBytes(fields.get('a'), 'x'), () => cborInt(fields.get('a'), 'x')]) refused(run, 'cbor.syntax')
})

test('what has no encoding is our own bug', () => {
  for (const value of [2n ** 64n, -(2n ** 64n) - 1n, { simple: 20 }, { simple: 31 }, { simple: 256 }, { simple: -1 }, { simple: 1.5 }, { tag: -1, value: 0 }]) assert.throws(() => writeCbor(value), RangeError)
  // @ts-expect-error: an object of no kind that is written
  assert.throws(() => writeCbor({ other: 1 }), TypeError)
})
