/**
 * Emergencies (charter.md section 7): one extra grant, with all its bounds, that the parties of `change.emergency` sign and
 * that ends by itself after at most `lasts`. Consent given in advance: an owner outside that quorum, or outvoted in it, is
 * overruled until then (`openableWithoutOwner` says for which assets).
 *
 * The grant stands as text in the `subject` of the act, so whoever signs sees it and every signature covers it, with verb,
 * lineage, charter digest and epoch. A number that counts up over the lineage makes each emergency an act of its own, and
 * the end is a moment and not a length: said again, old acts open nothing and prolong nothing. An emergency is a grant and
 * nothing else: parties, programs' bytes, change rule, recovery and log have no place in it. It holds under the one charter
 * it names: whatever is enacted next ends it, so that narrowing still wins. Trusts the port's signature verification.
 */
import { jcs } from '../bytes/jcs.ts'
import { parseJson } from '../bytes/json.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { signers, type Act } from './acts.ts'
import { LIMITS } from './limits.ts'
import { durationSeconds, grantIn } from './parse.ts'
import type { Charter, Grant, Hash, Name } from './types.ts'

/** A grant of an emergency; `until` in seconds since 1970. */
export interface Emergency {
  /** The digest of the one charter it holds under. */
  readonly charter: Hash
  readonly sequence: number
  readonly grant: Grant
  readonly until: number
  /** The parties whose quorum signed it. */
  readonly signed: readonly Name[]
}
/** What an emergency is about before it is signed. */
export type Asked = Pick<Emergency, 'sequence' | 'grant' | 'until'>

/**
 * The subject of an act `emergency`: its number (one more than the lineage has had) and the grant in canonical form.
 *
 * @example
 * emergencySubject(1, { asset: 'disk', to: 'app', can: 'use', until: '2027-01-15T08:00:00Z' })
 * // → '1 {"asset":"disk","can":"use","to":"app","until":"2027-01-15T08:00:00Z"}'
 */
export const emergencySubject = (sequence: number, grant: Grant): string => `${sequence} ${jcs(grant)}`

/** The grant and its end out of the subject of an act. Leaves with `emergency.bounds`, or `charter.*` for what no grant of this charter may say. */
export function readEmergency(charter: Charter, subject: string | undefined, at = 'act.subject'): Asked {
  const [, number = '', text = ''] = /^([1-9][0-9]{0,8}) (\{.*\})$/s.exec(subject ?? '') ?? refuse('emergency.bounds', at, 'a number and a grant', subject ?? 'nothing')
  const grant = grantIn(charter, parseJson(text, { bytes: LIMITS.subject, depth: LIMITS.depth, entries: LIMITS.subject, string: LIMITS.subject }), at)
  if (jcs(grant) !== text) refuse('emergency.bounds', at, jcs(grant), text, 'sign the grant in its canonical form')
  const { until } = grant
  return { sequence: Number(number), grant, until: until === undefined ? refuse('emergency.bounds', `${at}.until`, 'the moment at which the emergency ends', 'none') : Math.floor(Date.parse(until) / 1000) }
}

/** Does the charter allow this emergency at this moment (seconds since 1970)? Leaves with `emergency.bounds` or `emergency.ended`. */
export function checkEmergency(charter: Charter, { until }: Asked, now: number, at = 'act.subject'): void {
  const { emergency } = charter.change
  if (emergency === undefined) return refuse('emergency.bounds', 'change.emergency', 'a quorum for emergencies', 'none: this charter has no emergency access')
  const last = now + durationSeconds(emergency.lasts)
  if (until <= now) refuse('emergency.ended', `${at}.until`, `a moment after ${moment(now)}`, moment(until), 'a new emergency is a new act')
  if (until > last) refuse('emergency.bounds', `${at}.until`, `at most ${moment(last)} (${emergency.lasts})`, moment(until))
}

/** What the signatures of an emergency name. */
export interface EmergencyAbout { readonly lineage: Hash; readonly charter: Charter; readonly digest: Hash }

/**
 * Did the quorum sign this emergency at this moment? Refuses `emergency.bounds`, `emergency.ended`, or `charter.quorum` while
 * signatures are missing.
 */
export function emergencyAgreed(p: Primitives, { lineage, charter, digest }: EmergencyAbout, subject: string | undefined, acts: readonly Act[], now: number): Result<Emergency> {
  return attempt(() => {
    const asked = readEmergency(charter, subject)
    checkEmergency(charter, asked, now)
    const { of = [], need = 1 } = charter.change.emergency ?? {}
    const have = signers(p, charter, acts, act => act.verb === 'emergency' && act.lineage === lineage && act.digest === digest && act.epoch === charter.epoch && act.prev === charter.prev && act.subject === subject)
    const signed = of.filter(party => have.includes(party))
    return signed.length >= need ? { charter: digest, ...asked, signed } : refuse('charter.quorum', 'change.emergency', `${need} of ${of.join(', ')}`, signed.join(', ') || 'nobody')
  })
}

const moment = (seconds: number) => new Date(seconds * 1000).toISOString()
