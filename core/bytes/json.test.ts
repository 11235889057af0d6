import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { attempt, type RefusalCode } from '../refusal.ts'
import { jcs } from './jcs.ts'
import { JSON_LIMITS, parseJson, parseJsonObject, shown } from './json.ts'
import { utf8 } from './text.ts'

const refused = (text: string, code: RefusalCode, limits = JSON_LIMITS) => {
  const result = attempt(() => parseJson(text, limits))
  assert.ok(!result.ok, `accepted ${text}`)
  assert.equal(result.refusal.code, code, text)
}
/** Any JSON value that strict JSON knows: no -0, no forbidden keys, well-formed strings. */
const json = () => fc.jsonValue({ maxDepth: 4, noUnicodeString: false }).map(value => JSON.parse(JSON.stringify(value).replaceAll('-0,', '0,')) as unknown)

test('what it accepts means the same to JSON.parse', () => {
  fc.assert(fc.property(json(), fc.nat(3), (value, indent) => {
    const text = JSON.stringify(value, undefined, indent)
    const result = attempt(() => parseJson(text))
    if (result.ok) assert.equal(JSON.stringify(result.value), JSON.stringify(JSON.parse(text)))
    else assert.ok(['json.number', 'json.forbidden-key', 'bytes.encoding'].includes(result.refusal.code), result.refusal.code)
  }))
})

test('whatever the text, the answer is a value or a refusal, and nothing is accepted that JSON.parse refuses', () => {
  const noise = fc.array(fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '"a"', '\\', '\\u00', '1', '-', '0', '.5', 'e9', 'true', 'nul', ' ', '\t', '\u0000', '\ud800', '\u2028'), { maxLength: 12 })
  fc.assert(fc.property(noise, pieces => {
    const text = pieces.join('')
    if (attempt(() => parseJson(text)).ok) JSON.parse(text)
  }), { numRuns: 500 })
})

test('the grammar, strictly (RFC 8259)', () => {
  for (const text of ['', ' ', '{', '[1,]', '{"a":1,}', '{"a"}', '{a:1}', '[1 2]', "'a'", '01', '+1', '.5', '1.', '1e', '-', 'NaN', 'Infinity', 'True', '"\t"', '"\\x41"', '"\\u12"', '"\\u12gh"', '"\\u 123"', '"\\u+123"', '"a', '[]]', '1 1', '\u00a01', '// 1', '{"a":1 "b":2}', '{xa":1}', '{\'a":1}', '{"a":1,xb":2}']) refused(text, 'json.syntax')
  for (const [text, value] of [['{ }', {}], ['[ ]', []], ['\t[\r\n{ } , [ ]\n]', [{}, []]]] as const) assert.equal(jcs(parseJson(text)), jcs(value))
  assert.deepEqual(attempt(() => parseJson(' {"a" : [ 1 , -2.5e1 , "\\u00e9\\n\\/" , null , true , false ] } ')), { ok: true, value: Object.assign(Object.create(null) as object, { a: [1, -25, 'é\n/', null, true, false] }) })
})

test('one key, one value; no key that reaches a prototype (attacks.md rows 10, 18)', () => {
  refused('{"a":1,"a":1}', 'json.duplicate-key')
  refused('[{"a":{"b":1,"\\u0062":2}}]', 'json.duplicate-key')
  for (const key of ['__proto__', 'constructor', 'prototype', '\\u005f_proto__']) refused(`{"${key}":{}}`, 'json.forbidden-key')
  const value = parseJsonObject('{"toString":1,"hasOwnProperty":2}')
  assert.equal(Object.getPrototypeOf(value), null)
  assert.equal(value['toString'], 1)
})

test('numbers are kept exactly or refused (RFC 7493 section 2.2)', () => {
  for (const text of ['9007199254740992', '-9007199254740993', '1e309', '-1e309', '1e-400', '1.00000000000000001', '0.1234567890123456789', '-0', '-0.0', '1e20']) refused(text, 'json.number')
  for (const [text, value] of [['9007199254740991', 9007199254740991], ['1e2', 100], ['0', 0], ['0.0', 0], ['-1.5', -1.5]] as const) assert.equal(parseJson(text), value)
})

test('any value can be shown in a refusal', () => {
  for (const [text, words] of [['{}', 'an object'], ['[{}]', 'a list'], ['null', 'null'], ['"a"', 'a'], ['1', '1']] as const) assert.equal(shown(parseJson(text)), words)
  assert.equal(shown(undefined), 'undefined')
})

test('limits: bytes, depth, values, characters (attacks.md rows 4, 5)', () => {
  const small = { bytes: 40, depth: 3, entries: 5, string: 8 }
  refused(`"${'é'.repeat(20)}"`, 'bytes.too-large', small)
  for (const full of [`${' '.repeat(39)}1`, `["${'é'.repeat(8)}","${'é'.repeat(8)}"] `]) {
    for (const write of [String, utf8]) {
      assert.ok(parseJson(write(full), small))
      assert.equal(attempt(() => parseJson(write(`${full} `), small)).ok, false, full)
    }
  }
  refused('[[[[1]]]]', 'bytes.too-deep', small)
  refused('[1,2,3,4,5]', 'bytes.too-large', small)
  refused('"123456789"', 'bytes.too-large', small)
  refused('"1234567\\n9"', 'bytes.too-large', small)
  assert.deepEqual(parseJson('[[[1]]]', small), [[[1]]])
  refused('['.repeat(10_000), 'bytes.too-deep')
  refused('{"a":'.repeat(10_000), 'bytes.too-deep')
})

test('Unicode: no lone surrogate, no invalid UTF-8, no mark', () => {
  refused('"\\ud800"', 'bytes.encoding')
  refused('"\\udc00\\ud800"', 'bytes.encoding')
  refused('{"\\ud800":1}', 'bytes.encoding')
  assert.equal(parseJson('"\\ud83d\\ude00"'), '😀')
  for (const bytes of [[0x22, 0xff, 0x22], [0xef, 0xbb, 0xbf, 0x31]]) assert.ok(!attempt(() => parseJson(new Uint8Array(bytes))).ok)
})

test('JCS: the examples of RFC 8785 (sections 3.2.2, 3.2.3 and appendix B)', () => {
  const sample = { numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001], string: '\u20ac$\u000f\nA\'\u0042\u0022\u005c\\"/', literals: [null, true, false] }
  assert.equal(jcs(sample), '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}')
  const sorted = jcs({ '\u20ac': 'Euro Sign', '\r': 'Carriage Return', '\ufb33': 'Hebrew Letter Dalet With Dagesh', '1': 'One', '\u0080': 'Control\u007f', '\ud83d\ude00': 'Emoji: Grinning Face', '\u00f6': 'Latin Small Letter O With Diaeresis' })
  assert.deepEqual([...sorted.matchAll(/:"([A-Z][a-z]+)/g)].map(match => match[1]), ['Carriage', 'One', 'Control', 'Latin', 'Euro', 'Emoji', 'Hebrew'])
  for (const [bits, text] of [['0000000000000000', '0'], ['8000000000000000', '0'], ['0000000000000001', '5e-324'], ['7fefffffffffffff', '1.7976931348623157e+308'], ['4340000000000000', '9007199254740992'], ['4430000000000000', '295147905179352830000'], ['44b52d02c7e14af5', '9.999999999999997e+22'], ['44b52d02c7e14af6', '1e+23'], ['3eb0c6f7a0b5ed8d', '0.000001'], ['41b3de4355555553', '333333333.3333332']] as const) {
    assert.equal(jcs(new DataView(Uint8Array.from(bits.match(/../g) ?? [], pair => Number.parseInt(pair, 16)).buffer).getFloat64(0)), text)
  }
})

test('JCS: a property that is undefined is not there', () => {
  assert.equal(jcs({ b: undefined, a: [{ c: undefined }], d: null }), '{"a":[{}],"d":null}')
})

test('JCS: one text per value, and the parser gives the value back', () => {
  fc.assert(fc.property(json(), value => {
    const text = jcs(value)
    const read = attempt(() => parseJson(utf8(text)))
    if (read.ok) assert.equal(jcs(read.value), text)
  }))
  for (const value of [Number.NaN, Infinity, undefined, '\ud800', { '\udc00': 1 }, () => 1]) assert.throws(() => jcs(value), TypeError)
})
