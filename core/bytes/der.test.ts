import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { attempt, type RefusalCode } from '../refusal.ts'
import { concat } from './bytes.ts'
import { bitBytes, booleanOf, children, contentOf, der, derInteger, derOid, derSequence, oidOf, readDer, signed, smallInteger, TAG, timeOf, unsigned, type Der } from './der.ts'
import { fromHex, toHex } from './hex.ts'
import { utf8 } from './text.ts'

const refused = (run: () => unknown, code: RefusalCode, about = '') => {
  const result = attempt(run)
  assert.ok(!result.ok, `accepted ${about}`)
  assert.equal(result.refusal.code, code, about)
}
const read = (hex: string) => readDer(fromHex(hex.replaceAll(' ', '')))

interface Tree { readonly tag: number; readonly content: Uint8Array | readonly Tree[] }
const { tree } = fc.letrec<{ tree: Tree; leaf: Tree; branch: Tree }>(tie => ({
  leaf: fc.record({ tag: fc.constantFrom(TAG.octetString, TAG.utf8String, 0x80, 0x85), content: fc.uint8Array({ maxLength: 200 }) }),
  branch: fc.record({ tag: fc.constantFrom(TAG.sequence, TAG.set, 0xa0, 0xa3), content: fc.array(tie('tree'), { maxLength: 4 }) }),
  tree: fc.oneof({ depthSize: 'small', withCrossShrink: true }, tie('leaf'), tie('branch')),
}))
const encode = (node: Tree): Uint8Array => (node.content instanceof Uint8Array ? der(node.tag, node.content) : der(node.tag, ...node.content.map(encode)))
/** Reads all there is, as nested arrays of tags and content. */
const walk = (element: Der): unknown => [element.tag, (element.tag & 0x20) === 0 ? toHex(element.content) : children(element, element.tag).map(walk)]
const plain = (node: Tree): unknown => [node.tag, node.content instanceof Uint8Array ? toHex(node.content) : node.content.map(plain)]
/** The same tree with the length of the n-th element written one byte longer than needed. */
function padded(node: Tree, counter: { left: number }): Uint8Array {
  const here = counter.left-- === 0
  const content = node.content instanceof Uint8Array ? node.content : concat(...node.content.map(inner => padded(inner, counter)))
  const normal = der(node.tag, content)
  const header = normal.length - content.length - 1
  const length = here ? concat(new Uint8Array([0x80 | (header === 1 ? 1 : header)]), header === 1 ? normal.subarray(1, 2) : concat(new Uint8Array(1), normal.subarray(2, header + 1))) : normal.subarray(1, header + 1)
  return concat(new Uint8Array([node.tag]), length, content)
}
const size = (node: Tree): number => 1 + (node.content instanceof Uint8Array ? 0 : node.content.reduce((sum, inner) => sum + size(inner), 0))

test('a tree written is the tree read', () => {
  fc.assert(fc.property(tree, node => assert.deepEqual(walk(readDer(encode(node))), plain(node))))
})

test('cut anywhere, or with bytes behind it, it is refused (attacks.md rows 1 to 3, 9)', () => {
  fc.assert(fc.property(tree, fc.uint8Array({ minLength: 1, maxLength: 3 }), (node, more) => {
    const bytes = encode(node)
    for (let length = 0; length < bytes.length; length++) refused(() => walk(readDer(bytes.subarray(0, length))), 'bytes.truncated')
    refused(() => readDer(concat(bytes, more)), 'bytes.trailing')
  }), { numRuns: 60 })
})

test('any length in a longer form is refused (attacks.md row 7)', () => {
  fc.assert(fc.property(tree, fc.nat(), (node, pick) => refused(() => walk(readDer(padded(node, { left: pick % size(node) }))), 'der.non-canonical')))
})

test('any byte changed: a value or a refusal, never an error (attacks.md row 8)', () => {
  fc.assert(fc.property(tree, fc.nat(), fc.integer({ min: 1, max: 255 }), (node, pick, mask) => {
    const bytes = encode(node)
    const at = pick % bytes.length
    bytes[at] = (bytes[at] ?? 0) ^ mask
    attempt(() => walk(readDer(bytes)))
  }), { numRuns: 500 })
})

test('lengths: indefinite, huge, padded, reserved (attacks.md rows 2, 4, 7, 11, 12)', () => {
  refused(() => read('3080 020101 0000'), 'der.non-canonical')
  refused(() => read('30 8100'), 'der.non-canonical')
  refused(() => read('30 820003 020101'), 'der.non-canonical')
  refused(() => read('30 85 0000000003 020101'), 'der.non-canonical')
  refused(() => read('30 88 ffffffffffffffff'), 'der.non-canonical')
  refused(() => read('30 ff 00'), 'der.non-canonical')
  refused(() => read('30 84 ffffffff 00'), 'bytes.truncated')
  refused(() => walk(read('3003 020201')), 'bytes.truncated')
  refused(() => walk(read('3004 020101 05')), 'bytes.truncated')
  refused(() => read('1f 8101 00'), 'der.tag')
})

test('nesting of any depth costs nothing: nobody descends but the caller (attacks.md row 5)', () => {
  let bytes: Uint8Array = new Uint8Array(0)
  for (let i = 0; i < 10_000; i++) bytes = bytes.length < 60_000 ? der(TAG.sequence, bytes) : bytes
  assert.equal(children(readDer(bytes)).length, 1)
})

test('integers: minimal, and of the sign and size asked for (attacks.md rows 7, 12, 14)', () => {
  for (const hex of ['0200', '02020001', '0202ff80', '0203000001']) refused(() => signed(read(hex)), 'der.non-canonical', hex)
  refused(() => unsigned(read('020180')), 'der.non-canonical')
  for (const hex of ['020500ffffffff', '02050100000000', '02087fffffffffffffff']) refused(() => smallInteger(read(hex)), 'der.non-canonical', hex)
  for (const [hex, value] of [['020100', 0], ['02017f', 127], ['02020080', 128], ['02047fffffff', 2 ** 31 - 1]] as const) assert.equal(smallInteger(read(hex)), value)
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), value => assert.equal(toHex(unsigned(readDer(derInteger(value)))).replace(/^(00)+(?=..)/, ''), toHex(value).replace(/^(00)+(?=..)/, ''))))
})

test('booleans, bit strings, identifiers (attacks.md rows 7, 14)', () => {
  for (const hex of ['010101', '0100', '01020000']) refused(() => booleanOf(read(hex)), 'der.non-canonical', hex)
  assert.ok(booleanOf(read('0101ff')) && !booleanOf(read('010100')))
  for (const hex of ['0300', '030101', '03020780', '030208ff']) refused(() => bitBytes(read(hex)), 'der.non-canonical', hex)
  assert.equal(bitBytes(read('030100')).length, 0)
  for (const hex of ['0600', '060180', '06022a80', '06032a8001', '06082affffffffffff7f']) refused(() => oidOf(read(hex)), 'der.non-canonical', hex)
  for (const dotted of ['2.5.29.15', '1.2.840.113549.1.1.10', '2.999.1', '0.9.2342', '1.3.6.1.4.1.3704.1.3.8']) assert.equal(oidOf(readDer(derOid(dotted))), dotted)
})

test('another tag than the one asked for (attacks.md row 8)', () => {
  const element = read('3003020101')
  for (let tag = 0; tag < 256; tag++) {
    if (tag === TAG.sequence) continue
    refused(() => children(element, tag), 'der.tag')
    refused(() => contentOf(element, tag), 'der.tag')
  }
  refused(() => children(derSequence().length === 2 ? read('1003020101') : element), 'der.tag', 'a sequence in primitive form')
  refused(() => contentOf(undefined, TAG.integer), 'der.tag')
})

test('times: one form, dates that exist (attacks.md row 13)', () => {
  refused(() => timeOf(undefined), 'der.tag')
  const time = (tag: number, text: string) => timeOf(readDer(der(tag, utf8(text))))
  assert.equal(time(TAG.utcTime, '700101000000Z'), 0)
  assert.equal(time(TAG.utcTime, '491231235959Z'), 2_524_607_999)
  assert.equal(time(TAG.utcTime, '500101000000Z'), -631_152_000)
  assert.equal(time(TAG.generalizedTime, '20500101000000Z'), 2_524_608_000)
  assert.equal(time(TAG.utcTime, '240229120000Z'), 1_709_208_000)
  for (const text of ['260231000000Z', '250229000000Z', '261301000000Z', '260100000000Z', '260101240000Z', '260101006000Z', '260101000060Z', '2601010000Z', '260101000000+0100', '260101000000', '26010100000 Z']) refused(() => time(TAG.utcTime, text), 'der.non-canonical', text)
  for (const text of ['20260231000000Z', '00500101000000Z', '20260101000000.5Z', '202601010000Z', 'x'.repeat(60_000)]) refused(() => time(TAG.generalizedTime, text), 'der.non-canonical', text.slice(0, 20))
  fc.assert(fc.property(fc.integer({ min: -631_152_000, max: 2_524_607_999 }), seconds => {
    assert.equal(time(TAG.utcTime, `${new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2)}`), seconds)
  }))
})
