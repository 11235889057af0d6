/**
 * Changes to byte strings that know no format: bits, runs, cuts, and whatever looks like a length. Trusts nothing.
 */
import { concat } from '@cloister/core/bytes/bytes'
import type { Draw } from './draw.ts'

const EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 47, 48, 63, 64, 65, 127, 128, 129, 255]

type Change = (draw: Draw, bytes: Uint8Array) => Uint8Array

const replaced = (bytes: Uint8Array, from: number, to: number, ...by: readonly Uint8Array[]) => concat(bytes.subarray(0, from), ...by, bytes.subarray(to))

const changes: readonly Change[] = [
  // one bit
  (draw, bytes) => set(bytes, draw.below(bytes.length), value => value ^ (1 << draw.below(8))),
  (draw, bytes) => set(bytes, draw.below(bytes.length), value => value ^ (1 << draw.below(8))),
  (draw, bytes) => set(bytes, draw.below(bytes.length), () => draw.pick(EDGES)),
  (draw, bytes) => set(bytes, draw.below(bytes.length), value => value + draw.pick([1, -1, 16, -16])),
  length, length, length,
  // truncation, surplus
  (draw, bytes) => bytes.subarray(0, draw.below(bytes.length)),
  (draw, bytes) => bytes.subarray(0, bytes.length - draw.between(1, 4)),
  (draw, bytes) => bytes.subarray(draw.between(1, 4)),
  (draw, bytes) => concat(bytes, draw.bytes(draw.between(1, 8))),
  (draw, bytes) => concat(bytes, bytes.subarray(draw.below(bytes.length))),
  // runs: dropped, doubled, inserted, overwritten, swapped
  (draw, bytes) => run(draw, bytes, (from, to) => replaced(bytes, from, to)),
  (draw, bytes) => run(draw, bytes, (from, to) => replaced(bytes, from, from, bytes.subarray(from, to))),
  (draw, bytes) => run(draw, bytes, from => replaced(bytes, from, from, draw.bytes(draw.between(1, 16)))),
  (draw, bytes) => run(draw, bytes, (from, to) => replaced(bytes, from, to, new Uint8Array(to - from).fill(draw.pick([0, 255, 0x80, 0x20])))),
  (draw, bytes) => run(draw, bytes, (from, to) => replaced(bytes, from, to, draw.bytes(to - from))),
  (draw, bytes) => run(draw, bytes, (from, to) => {
    const middle = draw.between(from, to)
    return replaced(bytes, from, to, bytes.subarray(middle, to), bytes.subarray(from, middle))
  }),
  // a piece of the input elsewhere in the input
  (draw, bytes) => run(draw, bytes, (from, to) => {
    const at = draw.below(bytes.length)
    return replaced(bytes, at, Math.min(bytes.length, at + to - from), bytes.subarray(from, to))
  }),
]

/** One to three changes; once in a while so much of the same that limits are reached. */
export function changeBytes(draw: Draw, bytes: Uint8Array): Uint8Array {
  if (draw.oneIn(400)) return swollen(draw, bytes)
  let out = bytes
  for (let left = draw.oneIn(3) ? draw.between(2, 3) : 1; left > 0; left--) out = draw.pick(changes)(draw, out)
  return out
}

/** A run repeated up to a size at which readers have limits. */
function swollen(draw: Draw, bytes: Uint8Array): Uint8Array {
  return run(draw, bytes, (from, to) => {
    const size = draw.pick([4096, 65_536, 1 << 18, 1 << 20])
    const piece = bytes.subarray(from, Math.max(to, from + 1))
    if (piece.length === 0 || bytes.length > 1 << 17) return bytes
    const many = new Uint8Array(size)
    for (let at = 0; at < size; at++) many[at] = piece[at % piece.length] ?? 0
    return replaced(bytes, from, from, many)
  })
}

function set(bytes: Uint8Array, at: number, to: (value: number) => number): Uint8Array {
  const out = bytes.slice()
  if (out.length > 0) out[at] = to(out[at] ?? 0)
  return out
}

function run(draw: Draw, bytes: Uint8Array, change: (from: number, to: number) => Uint8Array): Uint8Array {
  const from = draw.below(bytes.length + 1)
  return change(from, Math.min(bytes.length, from + draw.pick([1, 2, 4, 8, 16, 32, draw.below(bytes.length + 1)])))
}

/** A 16- or 32-bit number that could count what follows it, moved by one, to its largest, or to what is really left. */
function length(draw: Draw, bytes: Uint8Array): Uint8Array {
  const [width, little] = [draw.pick([1, 2, 4]), draw.oneIn(2)]
  for (let tries = 0; tries < 24; tries++) {
    const at = draw.below(bytes.length - width)
    const value = number(bytes, at, width, little)
    if (value === 0 || value > bytes.length - at) continue
    const next = draw.pick([value + 1, value - 1, 0, 256 ** width - 1, 2 ** (8 * width - 1), bytes.length - at - width, value * 2])
    const out = bytes.slice()
    for (let i = 0; i < width; i++) out[at + (little ? i : width - 1 - i)] = Math.floor(next / 256 ** i) & 255
    return out
  }
  return set(bytes, draw.below(bytes.length), value => value + 1)
}

function number(bytes: Uint8Array, at: number, width: number, little: boolean): number {
  let value = 0
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + (little ? width - 1 - i : i)] ?? 0)
  return value
}
