/**
 * Changes to nested formats: DER and CBOR are read into trees as far as they can be read, changed at a node, and written
 * again with every length above it put right, so that a change reaches the code that judges the inside. Some ways of
 * writing are wrong on purpose: long and indefinite lengths, long numbers, keys twice. Trusts nothing, hangs on nothing.
 */
import { concat } from '@cloister/core/bytes/bytes'
import type { Draw } from './draw.ts'
import { changeBytes } from './bytes.ts'

/** A node with children or a leaf with bytes; `head` is the DER tag, or CBOR's major type and argument. */
interface Node { head: number; argument: number; children?: Node[]; bytes: Uint8Array; odd?: 'long' | 'indefinite' | 'shorter' | 'longer'; inside?: 'der' | 'cbor' }

const DEPTH_MAX = 24
const NODES_MAX = 4000

/** A DER text with a change in one to three of its nodes; changed as plain bytes where it is no DER. */
export function changeDer(draw: Draw, bytes: Uint8Array): Uint8Array {
  const tree = readDer(bytes, 0, { left: NODES_MAX })
  return tree === undefined ? changeBytes(draw, bytes) : writeDer(changed(draw, tree.node))
}

/** The same for CBOR. */
export function changeCbor(draw: Draw, bytes: Uint8Array): Uint8Array {
  const tree = readCbor(bytes, 0, 0, { left: NODES_MAX })
  return tree === undefined ? changeBytes(draw, bytes) : writeCbor(changed(draw, tree.node))
}

function changed(draw: Draw, tree: Node): Node {
  for (let left = draw.oneIn(4) ? draw.between(2, 3) : 1; left > 0; left--) {
    const all: { node: Node; list: Node[]; index: number }[] = []
    const walk = (node: Node, list: Node[], index: number) => {
      all.push({ node, list, index })
      node.children?.forEach((child, i, children) => walk(child, children, i))
    }
    const holder = [tree]
    walk(tree, holder, 0)
    // Half of the time a leaf: the inside of a text or a number is where checks are.
    const leaves = draw.oneIn(2) ? all.filter(one => one.node.children === undefined) : all
    const { node, list, index } = draw.pick(leaves.length === 0 ? all : leaves)
    draw.pick(node.children === undefined ? LEAF : BRANCH)(draw, node, list, index)
    tree = holder[0] ?? tree
  }
  return tree
}

type Change = (draw: Draw, node: Node, list: Node[], index: number) => void
const copy = (node: Node): Node => ({ ...node, ...(node.children === undefined ? {} : { children: node.children.map(copy) }) })
const ANY: readonly Change[] = [
  (_, __, list, index) => { if (list.length > 1) list.splice(index, 1) },
  (_, node, list, index) => { list.splice(index, 0, copy(node)) },
  (draw, _, list, index) => { const other = draw.below(list.length); [list[index], list[other]] = [list[other] ?? list[0]!, list[index] ?? list[0]!] },
  (draw, node, list) => { list.push(copy(draw.pick(list)), ...(draw.oneIn(4) ? [copy(node)] : [])) },
  (draw, node) => { node.head = node.head ^ draw.pick([1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80]) },
  (draw, node) => { node.odd = draw.pick(['long', 'indefinite', 'shorter', 'longer']) },
  (_, node, list, index) => { list[index] = { ...node, children: [copy(node)], bytes: new Uint8Array(0) } },
  (draw, node) => { node.argument = draw.pick([0, 1, node.argument + 1, node.argument - 1, 255, 65536, 2 ** 32]) },
]
const LEAF: readonly Change[] = [
  ...ANY, leaf, leaf, leaf, leaf,
  (draw, node) => { node.bytes = new Uint8Array(draw.pick([0, 1, 20, 32, 48, 64])) },
]
const BRANCH: readonly Change[] = [
  ...ANY,
  (_, node) => { node.children = [] },
  (_, node) => { node.children?.reverse() },
  (draw, node) => { for (let i = draw.between(1, 40); i > 0; i--) node.children = [{ ...copy(node) }] },
]

function leaf(draw: Draw, node: Node): void {
  const inner = node.bytes.length > 8 && draw.oneIn(2) ? [changeDer, changeCbor][draw.below(2)] : changeBytes
  node.bytes = inner?.(draw, node.bytes) ?? node.bytes
  if (draw.oneIn(3)) node.argument = draw.pick([0, 23, 24, 255, 256, node.argument + 1, Math.max(0, node.argument - 1)])
}

interface Budget { left: number }

function readDer(bytes: Uint8Array, from: number, budget: Budget, depth = 0): { node: Node; end: number } | undefined {
  const head = bytes[from] ?? 0
  let length = bytes[from + 1] ?? -1
  let at = from + 2
  if (length > 0x80 && length <= 0x84) {
    const width = length - 0x80
    length = 0
    for (let i = 0; i < width; i++) length = length * 256 + (bytes[at++] ?? 0)
  }
  if (length < 0 || at + length > bytes.length || depth > DEPTH_MAX || budget.left-- <= 0 || bytes.length < 2) return undefined
  const inside = bytes.subarray(at, at + length)
  const node: Node = { head, argument: 0, bytes: inside, inside: 'der' }
  // Constructed, or a string that holds DER (extensions, keys).
  if ((head & 0x20) !== 0 || ((head === 4 || head === 3) && length > 4)) {
    const skip = head === 3 ? 1 : 0
    const children: Node[] = []
    for (let next = skip; next < inside.length;) {
      const child = readDer(inside, next, budget, depth + 1)
      if (child === undefined) { children.length = 0; break }
      children.push(child.node)
      next = child.end
    }
    if (children.length > 0 || ((head & 0x20) !== 0 && length === 0)) {
      node.children = children
      node.bytes = inside.subarray(0, skip)
    }
  }
  return { node, end: at + length }
}

function writeDer(node: Node): Uint8Array {
  const content = node.children === undefined ? node.bytes : concat(node.bytes, ...node.children.map(writeDer))
  return concat(Uint8Array.of(node.head), derLength(content.length, node.odd), content, node.odd === 'indefinite' ? new Uint8Array(2) : new Uint8Array(0))
}

function derLength(length: number, odd: Node['odd']): Uint8Array {
  if (odd === 'indefinite') return Uint8Array.of(0x80)
  if (odd === 'long') return Uint8Array.of(0x84, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255)
  const value = Math.max(0, odd === 'shorter' ? length - 1 : odd === 'longer' ? length + 1 : length)
  return value < 0x80 ? Uint8Array.of(value) : value < 0x100 ? Uint8Array.of(0x81, value) : value < 0x10000 ? Uint8Array.of(0x82, value >> 8, value & 255) : Uint8Array.of(0x83, value >> 16, (value >> 8) & 255, value & 255)
}

function readCbor(bytes: Uint8Array, from: number, depth: number, budget: Budget): { node: Node; end: number } | undefined {
  const first = bytes[from]
  if (first === undefined || depth > DEPTH_MAX || budget.left-- <= 0) return undefined
  const [major, info] = [first >> 5, first & 31]
  const width = info < 24 ? 0 : info < 28 ? 1 << (info - 24) : -1
  if (width < 0 || from + 1 + width > bytes.length) return undefined
  let argument = width === 0 ? info : 0
  for (let i = 0; i < width; i++) argument = argument * 256 + (bytes[from + 1 + i] ?? 0)
  let end = from + 1 + width
  const node: Node = { head: major, argument, bytes: new Uint8Array(0), inside: 'cbor' }
  if (major === 7) node.bytes = bytes.subarray(from, end)
  if (major === 2 || major === 3) {
    if (end + argument > bytes.length) return undefined
    node.bytes = bytes.subarray(end, end + argument)
    end += argument
    // COSE and tokens nest CBOR in byte strings.
    const inner = major === 2 && argument > 1 ? readCbor(node.bytes, 0, depth + 1, budget) : undefined
    if (inner !== undefined && inner.end === node.bytes.length && inner.node.head >= 4 && inner.node.head < 7) node.children = [inner.node]
  }
  if (major >= 4 && major < 7) {
    node.children = []
    for (let left = major === 4 ? argument : major === 5 ? 2 * argument : 1; left > 0; left--) {
      const child = readCbor(bytes, end, depth + 1, budget)
      if (child === undefined) return undefined
      node.children.push(child.node)
      end = child.end
    }
  }
  return { node, end }
}

function writeCbor(node: Node): Uint8Array {
  const major = node.head & 7
  if (major === 7) return node.bytes.length === 0 ? Uint8Array.of(0xf6) : node.bytes
  const inner = (node.children ?? []).map(writeCbor)
  if (major === 0 || major === 1) return cborHead(major, node.argument, node.odd)
  const content = node.children === undefined ? node.bytes : concat(...inner)
  const count = major === 4 ? inner.length : major === 5 ? Math.floor(inner.length / 2) : major === 6 ? node.argument : content.length
  const head = cborHead(major, count, node.odd)
  return concat(head, node.odd === 'indefinite' && (major === 2 || major === 3) ? cborHead(major, content.length, undefined) : new Uint8Array(0), content, node.odd === 'indefinite' ? Uint8Array.of(0xff) : new Uint8Array(0))
}

function cborHead(major: number, argument: number, odd: Node['odd']): Uint8Array {
  const value = Math.max(0, odd === 'shorter' ? argument - 1 : odd === 'longer' ? argument + 1 : argument)
  const of = (info: number, width: number) => Uint8Array.from([major << 5 | info, ...Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** (width - 1 - i)) & 255)])
  if (odd === 'indefinite') return Uint8Array.of(major << 5 | 31)
  if (odd === 'long') return of(27, 8)
  return value < 24 ? of(value, 0) : value < 256 ? of(24, 1) : value < 65536 ? of(25, 2) : value < 2 ** 32 ? of(26, 4) : of(27, 8)
}
