/**
 * Changes to texts: JSON as a tree (with keys twice, other types, depth), lines as lines, everything else by words. What
 * a text carries in base64, hexadecimal or PEM is changed in its own format: evidence is JSON around DER around bytes.
 * Trusts nothing.
 */
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '@cloister/core/bytes/base64'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { attempt } from '@cloister/core/refusal'
import { changeBytes } from './bytes.ts'
import type { Draw } from './draw.ts'
import { changeCbor, changeDer } from './trees.ts'

/** Nothing grows beyond a few times the largest limit of any reader: drawing must not take longer than judging. */
const SIZE_MAX = 1 << 21
const decoder = new TextDecoder()
const encoder = new TextEncoder()
const latin = (bytes: Uint8Array) => decoder.decode(bytes)

/** One change in whatever format the bytes are in: JSON, PEM, JWT and other texts, DER, CBOR, or plain bytes. */
export function change(draw: Draw, bytes: Uint8Array): Uint8Array {
  if (draw.oneIn(6)) return changeBytes(draw, bytes)
  const [first = 0, second = 0] = bytes
  if ((first === 0x7b || first === 0x5b) && bytes.length > 1) return encoder.encode(changeJson(draw, latin(bytes)))
  if (first === 0x30 && second >= 0x80) return changeDer(draw, bytes)
  if (first === 0xd2 || first === 0x84 || (first >= 0xa1 && first <= 0xbf) || first === 0xd9) return changeCbor(draw, bytes)
  return isText(bytes) ? encoder.encode(changeText(draw, latin(bytes))) : changeBytes(draw, bytes)
}

const isText = (bytes: Uint8Array) => bytes.length > 0 && bytes.subarray(0, 256).every(byte => byte === 10 || byte === 13 || byte === 9 || (byte >= 0x20 && byte !== 0x7f))

type Tree = null | boolean | number | string | Tree[] | { pairs: [string, Tree][] } | { raw: string }

/** A JSON text with a change in one to three places; changed as a plain text where it is no JSON. */
export function changeJson(draw: Draw, text: string): string {
  let tree: Tree
  try { tree = treeOf(JSON.parse(text)) } catch { return changeText(draw, text) }
  if (draw.oneIn(400)) return swollen(draw, text)
  for (let left = draw.oneIn(4) ? draw.between(2, 3) : 1; left > 0; left--) tree = changeTree(draw, tree)
  return write(draw, tree, draw.oneIn(8))
}

function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return value.map(treeOf)
  if (typeof value === 'object' && value !== null) return { pairs: Object.entries(value).map(([key, inner]) => [key, treeOf(inner)]) }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
}

function changeTree(draw: Draw, tree: Tree): Tree {
  const places: { get: () => Tree; set: (value: Tree) => void; among?: Tree[] | [string, Tree][]; index?: number }[] = []
  let root = tree
  const walk = (value: Tree, set: (next: Tree) => void, among?: Tree[] | [string, Tree][], index?: number): void => {
    places.push({ get: () => value, set, ...(among === undefined || index === undefined ? {} : { among, index }) })
    if (Array.isArray(value)) value.forEach((one, i) => walk(one, next => { value[i] = next }, value, i))
    else if (typeof value === 'object' && value !== null && 'pairs' in value) value.pairs.forEach((pair, i) => walk(pair[1], next => { pair[1] = next }, value.pairs, i))
  }
  walk(root, next => { root = next })
  const place = draw.pick(places)
  const value = place.get()
  if (place.among !== undefined && place.index !== undefined && draw.oneIn(3)) rearrange(draw, place.among, place.index)
  else if (typeof value === 'string' && !draw.oneIn(4)) place.set(changeString(draw, value))
  else if (typeof value === 'number' && draw.oneIn(2)) place.set(draw.pick<Tree>([value + 1, value - 1, -value, { raw: `${value}.0` }, { raw: `${value}e1` }, { raw: '9007199254740993' }, { raw: '-0' }, { raw: `0${value}` }]))
  else place.set(structuredClone(draw.pick<Tree>(ODD)))
  return root
}

const ODD: readonly Tree[] = [null, true, false, 0, -1, 1, 2 ** 31, 2 ** 53, 1e21, 0.5, '', ' ', '\u0000', 'x'.repeat(300), '\ud83d\ude00', [], { pairs: [] }, [[]], [null], { pairs: [['', null]] }, { raw: '"\\ud800"' }, { raw: '1e999' }, { raw: `${'['.repeat(60)}${']'.repeat(60)}` }, { raw: 'undefined' }]

/** An entry of a list or of an object: dropped, doubled, moved, renamed. */
function rearrange(draw: Draw, among: Tree[] | [string, Tree][], index: number): void {
  // Both are lists of entries; which kind makes no difference to moving them.
  const list = among as unknown[]
  const one = among[index]
  const kind = draw.below(6)
  if (kind === 0) list.splice(index, 1)
  if (kind === 1) list.splice(draw.below(list.length + 1), 0, structuredClone(list[index]))
  const other = draw.below(list.length)
  if (kind === 2) [list[index], list[other]] = [list[other], list[index]]
  if (kind === 3) for (let i = Math.min(draw.pick([1, 8, 40, 300]), Math.floor(SIZE_MAX / (1 + JSON.stringify(list[index]).length))); i > 0; i--) list.push(structuredClone(list[index]))
  if (kind >= 4 && Array.isArray(one) && typeof one[0] === 'string') one[0] = draw.pick([`${one[0]}x`, one[0].toUpperCase(), one[0].slice(1), '', '__proto__', 'constructor', 'toString', String(draw.pick(KEYS))])
}
const KEYS = ['kind', 'report', 'certificates', 'crls', 'version', 'id', '0', 'type', 'value']

function changeString(draw: Draw, text: string): string {
  const form = formOf(text)
  if (form !== undefined && !draw.oneIn(5)) {
    const bytes = attempt(() => form.read(text))
    if (bytes.ok) return form.write(change(draw, bytes.value))
  }
  if (text.startsWith('{') || text.startsWith('[')) return changeJson(draw, text)
  return changeText(draw, text)
}

interface Form { readonly read: (text: string) => Uint8Array; readonly write: (bytes: Uint8Array) => string }
const HEX: Form = { read: text => fromHex(text), write: toHex }
const BASE64: Form = { read: text => fromBase64(text), write: toBase64 }
const BASE64URL: Form = { read: text => fromBase64Url(text), write: toBase64Url }

function formOf(text: string): Form | undefined {
  if (text.length >= 16 && text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text.slice(0, 200))) return HEX
  if (text.length >= 16 && text.length % 4 === 0 && /^[A-Za-z0-9+/=]+$/.test(text.slice(0, 200))) return BASE64
  return text.length >= 16 && /^[A-Za-z0-9_-]+$/.test(text.slice(0, 200)) ? BASE64URL : undefined
}

function write(draw: Draw, tree: Tree, spaced: boolean): string {
  const space = () => (spaced ? draw.pick(['', ' ', '\n', '\t']) : '')
  if (Array.isArray(tree)) return `[${tree.map(one => `${space()}${write(draw, one, spaced)}`).join(',')}${space()}]`
  if (typeof tree === 'object' && tree !== null) {
    if ('raw' in tree) return tree.raw
    return `{${tree.pairs.map(([key, value]) => `${space()}${JSON.stringify(key)}${space()}:${write(draw, value, spaced)}`).join(',')}${space()}}`
  }
  return JSON.stringify(tree)
}

const WORDS = ['\n', '\n\n', ' ', '  ', '\t', '\r\n', '\u0000', '\ufeff', '=', '-', '+', '0', '00', '-1', '9007199254740993', 'e9', '.', ',', ':', '"', "'", '\\', '{', '}', '[', ']', '&a', '*a', '!!binary', '<<: ', '---', '...', '|', '>', '#', '%', '->', '— ', '\u2028', 'é', '\ud83d\ude00', '__proto__', 'null', 'true']

/** Lines and words of a text: dropped, doubled, swapped, put in; base64 and PEM bodies in their own format. */
export function changeText(draw: Draw, text: string): string {
  if (draw.oneIn(300)) return swollen(draw, text)
  const kind = draw.below(9)
  if (kind <= 2) return inside(draw, text)
  if (kind <= 5) return lines(draw, text)
  const at = draw.below(text.length + 1)
  if (kind === 6) return text.slice(0, at) + draw.pick(WORDS) + text.slice(at)
  if (kind === 7) return text.slice(0, at) + draw.pick(WORDS) + text.slice(at + draw.between(1, 4))
  return text.slice(0, at) + draw.pick(WORDS).repeat(draw.pick([1, 10, 200])) + text.slice(draw.oneIn(2) ? at : text.length)
}

/** A word, a line or a run of the text repeated up to a size at which readers have limits. */
function swollen(draw: Draw, text: string): string {
  if (text.length > 1 << 17) return text
  const at = draw.below(text.length + 1)
  const all = text.split('\n')
  const piece = draw.pick([draw.pick(WORDS), `${draw.pick(all)}\n`, text.slice(at, at + draw.between(1, 200)), '[', '{"a":', '- ', '"a",'])
  return text.slice(0, at) + piece.repeat(Math.ceil(draw.pick([4096, 65_536, 1 << 18, 1 << 20]) / Math.max(1, piece.length))) + text.slice(at)
}

function lines(draw: Draw, text: string): string {
  const all = text.split('\n')
  const [one, other] = [draw.below(all.length), draw.below(all.length)]
  const kind = draw.below(6)
  if (kind === 0) all.splice(one, 1)
  if (kind === 1) all.splice(other, 0, all[one] ?? '')
  if (kind === 2) [all[one], all[other]] = [all[other] ?? '', all[one] ?? '']
  if (kind === 3) all[one] = `${draw.pick([' ', '  ', '\t', '-'])}${all[one] ?? ''}`
  if (kind === 4) all[one] = `${all[one] ?? ''}${draw.pick([' ', '\r', '=', 'A'])}`
  if (kind === 5) all.splice(other, 0, ...Array.from({ length: Math.min(draw.pick([1, 70, 400]), Math.floor(SIZE_MAX / (1 + (all[one] ?? '').length))) }, () => all[one] ?? ''))
  return all.join('\n')
}

/** One run of base64 or hexadecimal digits in the text, changed in its own format; PEM bodies keep their columns. */
function inside(draw: Draw, text: string): string {
  const runs = [...text.matchAll(/[A-Za-z0-9+/_=-]{16,}(?:\n[A-Za-z0-9+/=]{16,})*/g)]
  if (runs.length === 0) return lines(draw, text)
  const found = draw.pick(runs)
  const columns = found[0].includes('\n') ? found[0].indexOf('\n') : 0
  const next = changeString(draw, found[0].replaceAll('\n', ''))
  const laid = columns > 0 ? (next.match(new RegExp(`.{1,${columns}}`, 'gs')) ?? []).join('\n') : next
  return text.slice(0, found.index) + laid + text.slice(found.index + found[0].length)
}
