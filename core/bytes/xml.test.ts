import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { attempt, type RefusalCode } from '../refusal.ts'
import { fromUtf8, utf8 } from './text.ts'
import { canonicalXml, elementsOf, readXml, textOf, XML_LIMITS, type XmlElement } from './xml.ts'

const read = (text: string) => readXml(utf8(text))
const canonical = (text: string) => fromUtf8(canonicalXml(read(text)))
function refused(text: string, code: RefusalCode = 'xml.syntax'): void {
  const result = attempt(() => read(text))
  assert.ok(!result.ok, `accepted ${text}`)
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
}

interface Tree { readonly name: string; readonly attributes: Record<string, string>; readonly children: readonly (Tree | string)[] }
const name = fc.constantFrom('a', 'b', 'Resource', 'p:c', 'q:d', '_x-1.y')
const plain = fc.string({ unit: fc.constantFrom('x', ' ', '&', '<', '>', '"', "'", 'ü', '\u{1f600}', ']'), minLength: 1, maxLength: 6 })
const { tree } = fc.letrec<{ tree: Tree; child: Tree | string }>(tie => ({
  child: fc.oneof({ depthSize: 'small' }, plain, tie('tree')),
  tree: fc.record({ name, attributes: fc.dictionary(fc.constantFrom('k', 'l', 'p:k', 'q:k', 'm'), plain, { maxKeys: 4 }), children: fc.array(tie('child'), { maxLength: 4 }) }, { noNullPrototype: true }),
}))
const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&apos;')
/** Text with a random mind: either quote, empty elements in either form. */
function write(node: Tree, seed: number, top = true): string {
  const quote = seed % 2 === 0 ? '"' : "'"
  const attributes = Object.entries(node.attributes).map(([key, value]) => ` ${key}=${quote}${escaped(value)}${quote}`).join(seed % 3 === 0 ? '\n' : '')
  const start = `${node.name}${top ? ' xmlns:p="urn:p" xmlns="urn:default" xmlns:q="urn:q"' : ''}${attributes}`
  const inner = node.children.map(child => (typeof child === 'string' ? escaped(child) : write(child, seed + 1, false))).join('')
  return inner === '' && seed % 5 !== 0 ? `<${start}/>` : `<${start}>${inner}</${node.name} >`
}
const shape = (element: XmlElement): unknown => [element.name, Object.fromEntries(element.attributes.map(one => [one.name, one.value])), element.children.map(child => (typeof child === 'string' ? child : shape(child)))]
const merged = (node: Tree): unknown => [node.name, { ...node.attributes }, node.children.reduce<unknown[]>((out, child) => {
  const last = out[out.length - 1]
  if (typeof child === 'string' && typeof last === 'string') return [...out.slice(0, -1), last + child]
  return [...out, typeof child === 'string' ? child : merged(child)]
}, [])]

test('a tree written is the tree read', () => {
  fc.assert(fc.property(tree, fc.nat(100), (node, seed) => assert.deepEqual(shape(read(write(node, seed))), merged(node))))
})

test('every way to write a tree has one canonical form, and that form reads as the same tree', () => {
  fc.assert(fc.property(tree, fc.nat(100), fc.nat(100), (node, one, other) => {
    const form = canonical(write(node, one))
    assert.equal(canonical(write(node, other)), form)
    assert.equal(canonical(form), form)
    assert.deepEqual(shape(read(form)), shape(read(write(node, one))))
  }))
})

test('cut anywhere, or with more behind it, it is refused (attacks.md rows 1, 9)', () => {
  fc.assert(fc.property(tree, fc.nat(100), (node, seed) => {
    const text = [...write(node, seed)]
    for (let length = 0; length < text.length; length++) refused(text.slice(0, length).join(''))
    refused(`${text.join('')}x`)
    refused(`${text.join('')}<a/>`)
  }), { numRuns: 40 })
})

test('any character changed: a value or a refusal, never an error (attacks.md row 8)', () => {
  fc.assert(fc.property(tree, fc.nat(), fc.constantFrom('<', '>', '&', '"', '\0', ':', '/', '=', ' ', 'é', '-', '!'), (node, pick, sign) => {
    const text = [...write(node, pick)]
    text[pick % text.length] = sign
    attempt(() => canonicalXml(read(text.join(''))))
  }), { numRuns: 500 })
})

test('canonical form by the rules of c14n11: declarations sorted and only where they are new, attributes by namespace, text escaped', () => {
  assert.equal(canonical('<?xml version="1.0" encoding="UTF-8"?>\n<b:x  xmlns:b="urn:b" xmlns="urn:d" xmlns:a="urn:a" b:z="1" a:z=\'2\' y="3" k="&quot;&lt;&apos;>"><y xmlns="urn:d" xmlns:a="urn:a"/>\r\n&gt;&amp;&lt;"</b:x>\n'), '<b:x xmlns="urn:d" xmlns:a="urn:a" xmlns:b="urn:b" k="&quot;&lt;\'>" y="3" a:z="2" b:z="1"><y></y>\n&gt;&amp;&lt;"</b:x>')
  assert.equal(canonical('<x xmlns="urn:d"><y xmlns=""><z/></y></x>'), '<x xmlns="urn:d"><y xmlns=""><z></z></y></x>')
  assert.equal(canonical('<x xmlns=""/>'), '<x></x>')
})

test('a part in itself takes the declarations above it along; the part left out leaves the white space around it', () => {
  const root = read('<r xmlns="urn:d" xmlns:a="urn:a"> <s xmlns:b="urn:b"><t/></s>\n</r>')
  const [s] = elementsOf(root)
  const [t] = elementsOf(s ?? assert.fail())
  assert.equal(fromUtf8(canonicalXml(t ?? assert.fail())), '<t xmlns="urn:d" xmlns:a="urn:a" xmlns:b="urn:b"></t>')
  assert.equal(fromUtf8(canonicalXml(root, s)), '<r xmlns="urn:d" xmlns:a="urn:a"> \n</r>')
})

test('what lets two readers see two documents is refused (attacks.md rows 5, 10, 17, 18)', () => {
  for (const text of [
    '<!DOCTYPE a><a/>', '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', '<a><!-- c --></a>', '<!-- c --><a/>', '<a><![CDATA[x]]></a>', '<?pi x?><a/>', '<a><?pi x?></a>', '<?xml version="1.1"?><a/>', '<?xml version="1.0" encoding="latin1"?><a/>',
    '<a>&#65;</a>', '<a>&#x41;</a>', '<a>&nbsp;</a>', '<a>&constructor;</a>', '<a>&amp</a>', '<a>& amp;</a>', '<a b="&#10;"/>', '<a b="x\ny"/>', '<a b="x\ty"/>', '<a b="<"/>',
    '<a b="1" b="2"/>', '<a xmlns:p="urn:x" xmlns:q="urn:x" p:b="1" q:b="2"/>', '<a xml:id="x"/>', '<a xml:lang="en"/>', '<a xmlns:xml="http://www.w3.org/XML/1998/namespace"/>', '<a xmlns:xmlns="urn:x"/>', '<a xmlns:p=""/>', '<p:a/>', '<a p:b="1"/>',
    '<a></b>', '<a><b></a></b>', '<a', '<a>', '<a/ >', '< a/>', '<a b=1/>', '<a b=x1x/>', '<a b=<x</>', '<a b=&x&/>', '<></>', '<a b/>', '<a b ="1"/>', '<a b="1"c="2"/>', '<a::b/>', '<a:b:c/>', '<1a/>', '<a/><b/>', 'x<a/>', '<a/>x', '', ' ', '<a>\u0000</a>', '<a>\u0008</a>', '<a>\u0085</a>', '<a>\ufffe</a>',
  ]) refused(text)
  refused('\ufeff<a/>', 'bytes.encoding')
})

test('limits: bytes, depth, elements, attributes (attacks.md rows 5, 11)', () => {
  const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth)
  assert.ok(read(nested(XML_LIMITS.depth)))
  refused(nested(XML_LIMITS.depth + 1), 'bytes.too-deep')
  refused(nested(100_000), 'bytes.too-deep')
  assert.equal(read(`<a>${'<b/>'.repeat(XML_LIMITS.elements - 1)}</a>`).children.length, XML_LIMITS.elements - 1)
  refused(`<a>${'<b/>'.repeat(XML_LIMITS.elements)}</a>`, 'bytes.too-large')
  const many = (count: number) => `<a${Array.from({ length: count }, (_, i) => ` b${i}="x"`).join('')}/>`
  assert.ok(read(many(XML_LIMITS.attributes)))
  refused(many(XML_LIMITS.attributes + 1), 'bytes.too-large')
  const prefixes = (count: number) => `<r xmlns="urn:r"><a${Array.from({ length: count }, (_, i) => ` xmlns:b${i}="x${i}"`).join('')}/></r>`
  assert.ok(read(prefixes(XML_LIMITS.prefixes - 1)))
  refused(prefixes(XML_LIMITS.prefixes), 'bytes.too-large')
  refused(`<a>${' '.repeat(XML_LIMITS.bytes)}</a>`, 'bytes.too-large')
})

test('elements only, text only', () => {
  assert.equal(textOf(read('<a> x &amp; y </a>')), ' x & y ')
  assert.equal(textOf(read('<a/>')), '')
  assert.ok(!attempt(() => textOf(read('<a>x<b/></a>'))).ok)
  assert.equal(elementsOf(read('<a> <b/>\n<c/></a>')).length, 2)
  assert.ok(!attempt(() => elementsOf(read('<a>x<b/></a>'))).ok)
})
