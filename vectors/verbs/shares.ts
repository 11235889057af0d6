/** How the vectors of k-of-n keys run: one dealing, made from a fixed seed, and what is changed in it. */
import { fromHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { portable as p } from '@cloister/core/crypto/portable'
import type { Random } from '@cloister/core/crypto/primitives'
import { checkShare, combine, deal, drawSecret, parseShare, type Dealing, type Share } from '@cloister/core/crypto/shamir'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { need, of, take }: the shares of these places, combined. */
  'share.combine': input => attempt(() => {
    const dealing = dealt(input)
    return orRefuse(combine(dealing.commitments, (input as { take: number[] }).take.map(index => shareOf(dealing, index))))
  }),
  /** { need, of, share, as }: a share, held up as the one of another place. */
  'share.check': input => {
    const { share, as } = input as { share: number; as: number }
    return checkShare(dealt(input).commitments, { ...shareOf(dealt(input), share), index: as })
  },
  /** { hex }: a share as it travels. */
  'share.parse': input => attempt(() => parseShare(fromHex((input as { hex: string }).hex))),
}

function dealt(input: unknown): Dealing {
  const { need, of } = input as { need: number; of: number } // vectors are written for these verbs
  let drawn = 0
  const random: Random = length => p.shake256(utf8(`vector ${drawn++}`), length)
  return deal(drawSecret(random), { need, of }, random)
}

function shareOf(dealing: Dealing, index: number): Share {
  const share = dealing.shares[index - 1]
  if (share === undefined) throw new TypeError(`the vector has no share ${index}`)
  return share
}
