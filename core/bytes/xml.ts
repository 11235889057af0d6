/**
 * A strict reader of XML 1.0 with namespaces, and Canonical XML 1.1 (W3C xml-c14n11, inclusive, without comments), as far
 * as signed documents of vendors need them. No document type, no processing instruction, no comment, no CDATA, no entity
 * but the five, no `xml:` attribute: each of these lets two readers see two documents (attacks.md rows 5, 10, 17, 18).
 * What is left has one canonical form. Trusts nothing.
 */
import { refuse } from '../refusal.ts'
import { fromUtf8, utf8 } from './text.ts'

export interface XmlAttribute { readonly name: string; readonly local: string; readonly namespace: string; readonly value: string }
export interface XmlElement {
  /** As written, with its prefix; `local` is without it, `namespace` is what the prefix stands for ('' for none). */
  readonly name: string
  readonly local: string
  readonly namespace: string
  /** In document order, without namespace declarations. */
  readonly attributes: readonly XmlAttribute[]
  /** Every prefix that is declared here or above ('' is the default namespace). */
  readonly scope: ReadonlyMap<string, string>
  readonly children: readonly (XmlElement | string)[]
  /** Where it stands, each with its place among the children of its parent: /SoftwareIdentity/Payload[5]/Resource[3]. */
  readonly at: string
}
export interface XmlLimits { readonly bytes: number; readonly depth: number; readonly elements: number; readonly attributes: number; readonly prefixes: number }

export const XML_LIMITS: XmlLimits = { bytes: 1 << 20, depth: 16, elements: 10_000, attributes: 64, prefixes: 16 }

/**
 * The root element of a document. Leaves with `xml.syntax`, `bytes.encoding`, `bytes.too-large` or `bytes.too-deep`.
 *
 * @example
 * readXml(utf8('<a xmlns="urn:x"><b c="1"/></a>')).children.length // → 1
 */
export function readXml(input: Uint8Array, limits: XmlLimits = XML_LIMITS): XmlElement {
  if (input.length > limits.bytes) refuse('bytes.too-large', 'xml', `at most ${limits.bytes} bytes`, `${input.length} bytes`)
  return new Parser(fromUtf8(input, 'xml').replace(/\r\n?/g, '\n'), limits).document()
}

/** The canonical bytes of an element and all it holds, but for `without`: the enveloped signature. */
export function canonicalXml(element: XmlElement, without?: XmlElement): Uint8Array {
  const parts: string[] = []
  writeCanonical(element, new Map(), without, parts)
  return utf8(parts.join(''))
}

/** The elements among the children; any text beside them must be white space. Leaves with `xml.syntax`. */
export function elementsOf(element: XmlElement): XmlElement[] {
  return element.children.flatMap(child => {
    if (typeof child !== 'string') return [child]
    return /^[ \t\n]*$/.test(child) ? [] : refuse('xml.syntax', element.at, 'elements only', child.trim())
  })
}

/** The text of an element that holds nothing else. Leaves with `xml.syntax`. */
export function textOf(element: XmlElement): string {
  return element.children.map(child => (typeof child === 'string' ? child : refuse('xml.syntax', element.at, 'text only', `<${child.name}>`))).join('')
}

function writeCanonical(element: XmlElement, above: ReadonlyMap<string, string>, without: XmlElement | undefined, out: string[]): void {
  out.push('<', element.name)
  // An element that declares nothing shares the scope of its parent.
  for (const [prefix, uri] of element.scope === above ? [] : [...element.scope].sort(byFirst)) {
    if ((above.get(prefix) ?? '') !== uri) out.push(prefix === '' ? ' xmlns="' : ` xmlns:${prefix}="`, escapeAttribute(uri), '"')
  }
  for (const attribute of [...element.attributes].sort(byName)) out.push(' ', attribute.name, '="', escapeAttribute(attribute.value), '"')
  out.push('>')
  for (const child of element.children) {
    if (typeof child === 'string') out.push(escapeText(child))
    else if (child !== without) writeCanonical(child, element.scope, without, out)
  }
  out.push('</', element.name, '>')
}

const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
const byFirst = (a: readonly [string, string], b: readonly [string, string]) => order(a[0], b[0])
const byName = (a: XmlAttribute, b: XmlAttribute) => order(a.namespace, b.namespace) || order(a.local, b.local)
const escapeText = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const escapeAttribute = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

const NAME = /[A-Za-z_][A-Za-z0-9_.-]*(?::[A-Za-z_][A-Za-z0-9_.-]*)?/y
const SPACE = /[ \t\n]*/y
const TEXT = /[^<&]*/y
const VALUE = /[^<&"\t\n]*/y
const VALUE_SINGLE = /[^<&'\t\n]*/y
const DECLARATION = /<\?xml version="1\.0"(?: encoding="(?:UTF-8|utf-8)")?(?: standalone="(?:yes|no)")? ?\?>/y
/** What XML 1.0 calls a character, but for the control characters of C1, which nobody needs. */
const NOT_A_CHARACTER = /[^\t\n\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u
const ENTITIES: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'" }
const NO_SCOPE: ReadonlyMap<string, string> = new Map()

class Parser {
  readonly #text: string
  readonly #limits: XmlLimits
  #at = 0
  #elements = 0

  constructor(text: string, limits: XmlLimits) {
    this.#text = text
    this.#limits = limits
  }

  document(): XmlElement {
    const strange = NOT_A_CHARACTER.exec(this.#text)
    if (strange !== null) refuse('xml.syntax', `character ${strange.index}`, 'a character of XML', `U+${(strange[0].codePointAt(0) ?? 0).toString(16)}`)
    this.#match(DECLARATION)
    this.#match(SPACE)
    const root = this.#element('', '', NO_SCOPE, 0)
    this.#match(SPACE)
    return this.#at < this.#text.length ? this.#bad(root.at, 'the end') : root
  }

  #element(path: string, place: string, above: ReadonlyMap<string, string>, depth: number): XmlElement {
    if (depth >= this.#limits.depth) refuse('bytes.too-deep', path, `at most ${this.#limits.depth} levels`, 'more')
    if (++this.#elements > this.#limits.elements) refuse('bytes.too-large', path, `at most ${this.#limits.elements} elements`, 'more')
    this.#need('<', path)
    const name = this.#name(path)
    const at = `${path}/${name}${place}`
    const { raw, closed } = this.#startTag(at)
    const scope = scopeOf(raw, above, at, this.#limits.prefixes)
    const attributes = attributesOf(raw, scope, at)
    const [prefix, local] = split(name)
    const namespace = resolve(scope, prefix, at)
    return { name, local, namespace, attributes, scope, at, children: closed ? [] : this.#content(name, at, scope, depth) }
  }

  /** Attributes as written, up to `>` (open) or `/>` (closed). */
  #startTag(at: string): { raw: Map<string, string>; closed: boolean } {
    const raw = new Map<string, string>()
    for (;;) {
      const spaced = this.#match(SPACE) !== ''
      if (this.#take('/>')) return { raw, closed: true }
      if (this.#take('>')) return { raw, closed: false }
      if (!spaced) this.#bad(at, 'white space')
      const name = this.#name(at)
      if (raw.has(name)) refuse('xml.syntax', at, 'each attribute once', name)
      if (raw.size >= this.#limits.attributes) refuse('bytes.too-large', at, `at most ${this.#limits.attributes} attributes`, 'more')
      this.#need('=', at)
      raw.set(name, this.#value(at))
    }
  }

  #content(name: string, at: string, scope: ReadonlyMap<string, string>, depth: number): (XmlElement | string)[] {
    const children: (XmlElement | string)[] = []
    let text = ''
    for (;;) {
      text += this.#match(TEXT)
      if (this.#text[this.#at] === '&') { text += this.#entity(at); continue }
      if (text !== '') children.push(text)
      text = ''
      if (this.#take('</')) break
      children.push(this.#element(at, `[${children.length}]`, scope, depth + 1))
    }
    if (this.#name(at) !== name) this.#bad(at, `</${name}>`)
    this.#match(SPACE)
    this.#need('>', at)
    return children
  }

  #value(at: string): string {
    const quote = this.#text[this.#at]
    if (quote !== '"' && quote !== "'") return this.#bad(at, 'a value in quotes')
    this.#at++
    let value = ''
    for (;;) {
      value += this.#match(quote === '"' ? VALUE : VALUE_SINGLE)
      if (this.#take(quote)) return value
      value += this.#entity(at)
    }
  }

  #entity(at: string): string {
    const end = this.#text.indexOf(';', this.#at)
    const entity = end < 0 || end > this.#at + 5 ? '' : this.#text.slice(this.#at, end + 1)
    const sign = Object.hasOwn(ENTITIES, entity) ? ENTITIES[entity] : undefined
    if (sign === undefined) return this.#bad(at, 'a character, &amp;, &lt;, &gt;, &quot; or &apos;')
    this.#at += entity.length
    return sign
  }

  #name(at: string): string {
    const name = this.#match(NAME)
    return name === '' ? this.#bad(at, 'a name') : name
  }

  /** What matches here, possibly nothing. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #take(sign: string): boolean {
    if (!this.#text.startsWith(sign, this.#at)) return false
    this.#at += sign.length
    return true
  }

  #need(sign: string, at: string): void {
    if (!this.#take(sign)) this.#bad(at, sign)
  }

  #bad(at: string, expected: string): never {
    const got = this.#text.slice(this.#at, this.#at + 12)
    return refuse('xml.syntax', `${at} (character ${this.#at})`, expected, got === '' ? 'the end of the text' : JSON.stringify(got))
  }
}

/** Prefixes in scope: those above, and those that these attributes declare. */
function scopeOf(raw: ReadonlyMap<string, string>, above: ReadonlyMap<string, string>, at: string, max: number): ReadonlyMap<string, string> {
  let scope: Map<string, string> | undefined
  for (const [name, uri] of raw) {
    const [prefix, local] = name === 'xmlns' ? ['xmlns', ''] : split(name)
    if (prefix !== 'xmlns') continue
    if (local === 'xml' || local === 'xmlns' || (local !== '' && uri === '')) refuse('xml.syntax', at, 'a prefix of its own for a namespace', name)
    scope ??= new Map(above)
    scope.set(local, uri)
    if (scope.size > max) refuse('bytes.too-large', at, `at most ${max} prefixes in scope`, 'more')
  }
  return scope ?? above
}

function attributesOf(raw: ReadonlyMap<string, string>, scope: ReadonlyMap<string, string>, at: string): XmlAttribute[] {
  const out: XmlAttribute[] = []
  const seen = new Set<string>()
  for (const [name, value] of raw) {
    const [prefix, local] = split(name)
    if (name === 'xmlns' || prefix === 'xmlns') continue
    const namespace = prefix === '' ? '' : resolve(scope, prefix, at)
    const full = `${namespace} ${local}`
    if (seen.has(full)) refuse('xml.syntax', at, 'each attribute once', name)
    seen.add(full)
    out.push({ name, local, namespace, value })
  }
  return out
}

function resolve(scope: ReadonlyMap<string, string>, prefix: string, at: string): string {
  return scope.get(prefix) ?? (prefix === '' ? '' : refuse('xml.syntax', at, 'a declared prefix', prefix))
}

function split(name: string): readonly [string, string] {
  const colon = name.indexOf(':')
  return colon < 0 ? ['', name] : [name.slice(0, colon), name.slice(colon + 1)]
}
