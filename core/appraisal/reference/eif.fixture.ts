/** Enclave images for tests: header, sections and checksum, with one thing wrong where a test wants it. */
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { crc32 } from './eif.ts'

export interface EifPlan {
  readonly magic?: string
  readonly version?: number
  readonly flags?: number
  readonly ramdisks?: readonly string[]
  readonly metadata?: string
  readonly signature?: Uint8Array
  /** Sections of these types in place of the whole, each with a word in it. */
  readonly types?: readonly number[]
  readonly count?: number
  readonly shift?: number
  /** Bytes that no section has, before the first. */
  readonly gap?: number
  readonly sectionFlags?: number
  readonly crc?: number
}

const be = (value: number, bytes: number) => new Uint8Array(Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256))

export function eifOf(plan: EifPlan = {}): Uint8Array {
  const whole = [[1, utf8('kernel')], [2, utf8('reboot=k')], ...(plan.ramdisks ?? ['init', 'app']).map(text => [3, utf8(text)] as const), ...(plan.metadata === undefined ? [] : [[5, utf8(plan.metadata)] as const]), ...(plan.signature === undefined ? [] : [[4, plan.signature] as const])] as const
  const sections = plan.types === undefined ? whole : plan.types.map(type => [type, utf8('word')] as const)
  const bodies = sections.map(([type, data]) => concat(be(type, 2), be(plan.sectionFlags ?? 0, 2), be(data.length, 8), data))
  const places = (values: readonly number[]) => concat(...Array.from({ length: 32 }, (_, i) => be(values[i] ?? 0, 8)))
  const gap = new Uint8Array(plan.gap ?? 0)
  const offsets = bodies.map((_, i) => 548 + gap.length + (plan.shift ?? 0) + bodies.slice(0, i).reduce((sum, body) => sum + body.length, 0))
  const header = concat(utf8(plan.magic ?? '.eif'), be(plan.version ?? 4, 2), be(plan.flags ?? 0, 2), be(0, 18), be(plan.count ?? sections.length, 2), places(offsets), places(sections.map(([, data]) => data.length)), be(0, 4))
  return concat(header, be(plan.crc ?? crc32(crc32(0, header), concat(gap, ...bodies)), 4), gap, ...bodies)
}
