/**
 * A review and a charter in words, one line each: what narrows and widens and for whom, who must sign and by when, and
 * which parties together can open an asset without its owner. For people; programs read the values. Trusts nothing.
 */
import type { Emergency } from './emergency.ts'
import { durationSeconds } from './parse.ts'
import type { Review } from './review.ts'
import type { Charter, Name } from './types.ts'

/**
 * The lines of a review. With `proposedAt` (seconds since 1970, when the log included the proposal) the day of enactment
 * is named, otherwise the length of the notice. Source: charter.md section 6.2.
 *
 * @example
 * explainReview(review) // → ['− a-claims → match (read) is withdrawn   [alpha]', 'must sign: alpha', 'takes effect at once']
 */
export function explainReview(reviewed: Review, proposedAt?: number): string[] {
  const rotated = reviewed.touched.filter(item => item.effect === 'rotate').map(item => item.name)
  const signs = [...(reviewed.sign.length === 0 ? [] : [`must sign: ${reviewed.sign.join(', ')}`]), ...rotated.map(party => `${party} signs with its old keys and with its new ones`)]
  const one = reviewed.oneOf.map(set => `one of ${set.join(', ')} must sign`)
  const anybody = signs.length + one.length === 0 && reviewed.quorum === undefined ? ['any one party must sign'] : []
  return [...reviewed.lines, ...signs, ...one, ...anybody, ...whenEnacted(reviewed, proposedAt)]
}

function whenEnacted({ change, quorum, notice, veto }: Review, proposedAt: number | undefined): string[] {
  if (change === 'narrow') return ['takes effect at once']
  const wait = notice === 0 ? 'without notice' : proposedAt === undefined ? `${inWords(notice)} after the log has the proposal` : `not before ${new Date((proposedAt + notice) * 1000).toISOString()}`
  const and = quorum === undefined ? [] : [`and ${quorum.need} of ${quorum.of.join(', ')} must sign`]
  return [...and, `takes effect ${wait}; until then ${veto.join(' or ')} may veto`]
}

export interface Exposure { readonly asset: Name; readonly parties: readonly Name[]; readonly need: number; readonly by: 'emergency' | 'recover'; readonly line: string }

/** For every asset: which parties together can open it without its owner, through the emergency or the recovery quorum (section 7). */
export function openableWithoutOwner(charter: Charter): Exposure[] {
  return Object.entries(charter.assets).flatMap(([asset, { owner }]) => (['emergency', 'recover'] as const).flatMap(by => {
    const quorum = by === 'emergency' ? charter.change.emergency : charter.recover
    const parties = quorum?.of.filter(one => one !== owner) ?? []
    if (quorum === undefined || parties.length < quorum.need) return []
    const { need } = quorum
    const who = need === parties.length ? parties.join(' and ') : `any ${need} of ${parties.join(', ')}`
    const how = by === 'recover' ? 'by recovery, inside an attested broker' : `in an emergency, for ${inWords(durationSeconds(charter.change.emergency?.lasts ?? '0s'))}`
    return [{ asset, parties, need, by, line: `${who} together can open ${asset} without its owner ${owner} (${how})` }]
  }))
}

/** An emergency in one line, for every screen on which its decision, release or receipt appears. */
export function emergencyLine({ sequence, grant, until, signed }: Emergency): string {
  return `EMERGENCY ${sequence}: ${grant.asset} → ${grant.to} (${grant.can}) without its owner's grant, until ${new Date(until * 1000).toISOString()}, signed by ${signed.join(', ')}`
}

function inWords(seconds: number): string {
  const [length, unit] = UNITS.find(([size]) => seconds % size === 0) ?? [1, 'second']
  const count = seconds / length
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

const UNITS: readonly (readonly [number, string])[] = [[86_400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']]
