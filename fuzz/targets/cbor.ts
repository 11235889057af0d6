/** Targets that read CBOR: strictly, and with what real encoders do otherwise. */
import { equal } from '@cloister/core/bytes/bytes'
import { readCbor, toWritable, writeCbor, type Cbor, type Writable } from '@cloister/core/bytes/cbor'
import { changeBytes } from '../bytes.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { changeCbor } from '../trees.ts'

const KEYS: readonly Writable[] = [0, 1, -1, 23, 24, 256, 65537, 'a', 'b', 'pcrs', new Uint8Array([1]), new Uint8Array(0), true, null]
const LEAVES: readonly Writable[] = [...KEYS, false, undefined, 2 ** 40, -(2 ** 40), 2n ** 63n, 2n ** 64n - 1n, -(2n ** 64n), '', 'é', 'a'.repeat(30), new Uint8Array(48), 1.5, 0.1, { float: 1 }, { float: Number.NaN }, { float: Infinity }, { simple: 0 }, { simple: 255 }]

function writable(draw: Draw, depth = 0): Writable {
  const kind = depth > 6 || draw.oneIn(3) ? 0 : draw.below(4)
  const count = draw.pick([0, 1, 2, 2, 3, 25])
  if (kind === 1) return Array.from({ length: Math.min(count, depth > 2 ? 3 : count) }, () => writable(draw, depth + 1))
  if (kind === 2) return new Map(Array.from({ length: Math.min(count, 4) }, () => [draw.pick(KEYS), writable(draw, depth + 1)]))
  if (kind === 3) return { tag: draw.pick([1, 18, 61, 501, 2n ** 60n]), value: writable(draw, depth + 1) }
  return draw.pick(LEAVES)
}
function draw(choices: Draw): Uint8Array {
  // Keys that are the same bytes in two objects are one key twice to the writer, which is our own error and not the reader's.
  for (;;) {
    try {
      const bytes = writeCbor(writable(choices))
      return choices.oneIn(4) ? bytes : choices.oneIn(3) ? changeBytes(choices, bytes) : changeCbor(choices, bytes)
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof RangeError)) throw error
    }
  }
}

/** Shortest forms only: what was read takes as many bytes when it is written, in the order of the writer. */
function strictAgain(input: Uint8Array, value: unknown): string | undefined {
  const written = writeCbor(toWritable(value as Cbor)) // what judge gave
  if (written.length !== input.length) return `${written.length} bytes when written again`
  return equal(writeCbor(toWritable(readCbor(written))), written) ? undefined : 'another value when written again'
}

export const targets: readonly Target[] = [
  { name: 'cbor', draw, judge: input => readCbor(input), again: strictAgain },
  { name: 'cbor-lenient', draw, judge: input => readCbor(input, { indefinite: true, longForms: true }), again: (_, value) => strictAgain(writeCbor(toWritable(value as Cbor)), readCbor(writeCbor(toWritable(value as Cbor)))) }, // what judge gave
]
