/** Targets of k-of-n keys: shares, splits and recovery documents as they come in, and shares combined with false ones among them. */
import { equal } from '@cloister/core/bytes/bytes'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJson } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import type { Charter } from '@cloister/core/charter/types'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Random } from '@cloister/core/crypto/primitives'
import { combine, deal, drawSecret, encodeShare, parseShare, SHARE_BYTES, type Combined, type Share } from '@cloister/core/crypto/shamir'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { dealRecovery, parseRecovery } from '@cloister/core/seal/recovery'
import { parseSplit, splitKey } from '@cloister/core/seal/shares'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { changeBytes } from '../bytes.ts'
import type { Target } from '../target.ts'
import { changeJson } from '../texts.ts'
import { textOf } from './bytes.ts'

let drawn = 0
const random: Random = length => p.shake256(utf8(`fuzz shares ${drawn++}`), length)
const SECRET = drawSecret(random)
const { commitments, shares } = deal(SECRET, { need: 2, of: 4 }, random)
const FOREIGN = deal(SECRET, { need: 2, of: 4 }, random).shares
const SHARES = [...shares, ...FOREIGN].map(encodeShare)
const SPLIT = jcs(splitKey(p, { lineage: `sha256:${'11'.repeat(32)}`, asset: 'a', version: 1, digest: `sha256:${'22'.repeat(32)}` }, 'AGE-SECRET-KEY-1', { need: 2, of: 3 }, random).split)
const seal = [generateIdentity(p, 'x25519', random).recipient]
const CHARTER: Charter = {
  charter: 1, name: 'room', epoch: 1, parties: { alpha: { keys: [], seal }, bravo: { keys: [], seal } }, programs: {}, assets: {}, grants: [],
  change: { widen: { of: ['alpha'], need: 1, notice: '0s' } }, recover: { of: ['alpha', 'bravo'], need: 2 }, log: { at: 'x', witnesses: 0, head: '1h' },
}
const RECOVERY = jcs(orRefuse(dealRecovery(p, charterDigest(p, CHARTER), CHARTER, SECRET, random)))

const sameJson = (input: Uint8Array, value: unknown) => (jcs(value) === jcs(parseJson(textOf(input))) ? undefined : 'not what came')

/** Whole shares, one after the other, as many as there are. */
function sharesIn(input: Uint8Array): Share[] {
  if (input.length > 40 * SHARE_BYTES) refuse('share.threshold', 'shares', 'a few', 'many')
  return Array.from({ length: Math.floor(input.length / SHARE_BYTES) }, (_, i) => ({ index: input[i * SHARE_BYTES] ?? 0, value: input.slice(i * SHARE_BYTES + 1, (i + 1) * SHARE_BYTES) }))
}

export const targets: readonly Target[] = [
  { name: 'share', draw: draw => (draw.oneIn(20) ? draw.pick(SHARES) : changeBytes(draw, draw.pick(SHARES))), judge: input => parseShare(input), again: (input, value) => (equal(encodeShare(value as Share), input) ? undefined : 'two forms of one share') }, // what judge gave
  { name: 'split', draw: draw => utf8(draw.oneIn(20) ? SPLIT : changeJson(draw, SPLIT)), judge: input => parseSplit(parseJson(textOf(input))), again: sameJson },
  { name: 'recovery', draw: draw => utf8(draw.oneIn(20) ? RECOVERY : changeJson(draw, RECOVERY)), judge: input => parseRecovery(parseJson(textOf(input))), again: sameJson },
  {
    name: 'shares-combined', slow: true,
    draw: draw => { const pieces = Array.from({ length: draw.between(1, 4) }, () => (draw.oneIn(2) ? draw.pick(SHARES) : changeBytes(draw, draw.pick(SHARES)))); return Uint8Array.from(pieces.flatMap(piece => [...piece])) },
    judge: input => orRefuse(combine(commitments, sharesIn(input))),
    again: (_, value) => (equal((value as Combined).secret, SECRET) ? undefined : 'another secret'), // what judge gave
  },
]
