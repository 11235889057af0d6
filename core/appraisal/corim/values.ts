/**
 * What becomes of a verified manifest: reference values in our vocabulary, and the keys that attest. A value is taken only
 * when everything the manifest ties to it is understood: an extension, a condition or a key that must authorize it, and
 * that nobody here can check, leaves it out and says so. Trusts its caller to hand in a manifest that `verifyCorim` gave.
 */
import type { Tee } from '../../charter/types.ts'
import { spkiToKey } from '../../crypto/keys.ts'
import { readPem } from '../../crypto/pem.ts'
import type { PublicKey } from '../../crypto/primitives.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { attempt, orRefuse, refuse, type Result } from '../../refusal.ts'
import type { ReferenceValue } from '../policy.ts'
import type { Comid, Environment, Measurement, ValueTriple } from './comid.ts'
import type { Corim } from './index.ts'
import { PROFILE } from './profiles.ts'

export interface CorimReference {
  readonly value: ReferenceValue
  readonly environment: Environment
  /** What the manifest expects beside the value; a caller that does not compare all of it must not use the value. */
  readonly further: readonly Measurement[]
}
export interface LeftOut { readonly at: string; readonly why: string }
export interface CorimValues { readonly references: readonly CorimReference[]; readonly leftOut: readonly LeftOut[] }

/** Which measurement of a profile names what was launched, and on which kind of machine. */
const LAUNCH: ReadonlyMap<string, { readonly tee: Tee; readonly key: number | string; readonly sizes: Readonly<Record<number, number>> }> = new Map([
  // MEASUREMENT of the report (AMD's profile), SHA-384
  [PROFILE.snp, { tee: 'snp', key: 641, sizes: { 7: 48 } }],
  // the realm's initial measurement: SHA-256, SHA-384 or SHA-512
  [PROFILE.ccaRealm, { tee: 'cca', key: 'cca.rim', sizes: { 1: 32, 7: 48, 8: 64 } }],
])

/** The reference values of a manifest whose profile is known here, and what was left out and why. */
export function corimValues(corim: Corim): CorimValues {
  const launch = LAUNCH.get(corim.profile ?? '')
  if (launch === undefined) return { references: [], leftOut: [{ at: 'profile', why: `no reference values are known of ${corim.profile ?? 'a manifest without profile'}` }] }
  if (corim.extensions.length > 0) return { references: [], leftOut: [{ at: 'corim', why: `extensions ${corim.extensions.join(', ')}` }] }
  const found = corim.tags.flatMap((tag, i) => (tag.kind === 'comid' ? tag.triples.reference.map((triple, j) => ({ at: `tags[${i}].reference[${j}]`, tag, triple })) : []))
  const judged = found.map(({ at, tag, triple }) => ({ at, result: referenceOf(corim, tag, triple, launch) }))
  return { references: judged.flatMap(({ result }) => (typeof result === 'string' ? [] : [result])), leftOut: judged.flatMap(({ at, result }) => (typeof result === 'string' ? [{ at, why: result }] : [])) }
}

/** The values that stand for themselves: those with nothing further to compare. */
export const plainValues = (values: CorimValues): readonly ReferenceValue[] => values.references.filter(one => one.further.length === 0).map(one => one.value)

type Launch = NonNullable<ReturnType<typeof LAUNCH.get>>
function referenceOf(corim: Corim, tag: Comid, triple: ValueTriple, launch: Launch): CorimReference | string {
  const [first, second] = triple.measurements.filter(one => one.key === launch.key)
  if (first === undefined || second !== undefined) return `one measurement ${launch.key} is needed`
  if (triple.measurements.some(one => one.authorizedBy.length > 0)) return 'it must be authorized by a key'
  const extended = [tag, tag.triples, ...triple.measurements.map(one => one.values)].flatMap(part => part.extensions)
  if (extended.length > 0) return `extensions ${extended.join(', ')}`
  const [digest, other] = first.values.digests ?? []
  if (digest === undefined || other !== undefined || launch.sizes[Number(digest.algorithm)] !== digest.hex.length / 2) return 'one digest of the machine\'s own length is needed'
  const { class: model } = triple.environment
  if (launch.tee === 'cca' && model?.id?.value !== digest.hex) return 'the class and the measurement name two realms'
  const registers = Object.fromEntries(triple.measurements.flatMap(one => registerOf(one)))
  const further = triple.measurements.filter(one => one !== first && registerOf(one).length === 0)
  return { value: { tee: launch.tee, hex: digest.hex, name: `${corim.id}/${tag.identity.id}`, ...(Object.keys(registers).length === 0 ? {} : { registers }) }, environment: triple.environment, further }
}

/** Extensible measurements of a realm, by the names that its claims give them. */
function registerOf({ key, values }: Measurement): [string, string][] {
  const [digest, other] = values.digests ?? []
  return typeof key === 'string' && /^cca\.rem[0-3]$/.test(key) && digest !== undefined && other === undefined ? [[`REM${key.slice(-1)}`, digest.hex]] : []
}

/** Public keys that a manifest vouches for, with whose they are. */
export interface AttestKey { readonly environment: Environment; readonly key: PublicKey }

/** The attestation keys of a manifest: PEM keys and certificates, read; other forms refuse with `evidence.unsupported`, broken ones with `crypto.key`, `x509.parse` or `der.*`. */
export function attestKeys(corim: Corim): Result<readonly AttestKey[]> {
  return attempt(() => corim.tags.flatMap((tag, i) => (tag.kind === 'comid' ? tag.triples.attestKeys : []).flatMap((triple, j) => {
    const at = `tags[${i}].keys[${j}]`
    if (triple.conditions !== undefined) refuse('evidence.unsupported', at, 'a key without conditions', 'conditions')
    return triple.keys.map(({ type, value }) => ({ environment: triple.environment, key: keyOf(type, value, at) }))
  })))
}

function keyOf(type: string, value: string, at: string): PublicKey {
  const only = (label: string) => {
    const [one, more] = readPem(value, label)
    return one !== undefined && more === undefined ? one : refuse('crypto.key', at, `one PEM block ${label}`, 'another form')
  }
  if (type === 'pkix-key') return spkiToKey(only('PUBLIC KEY'), at)
  return type === 'pkix-cert' ? orRefuse(parseCertificate(only('CERTIFICATE'), at)).publicKey : refuse('evidence.unsupported', at, 'a PEM key or certificate', type)
}
