/**
 * The attestation result of an appraisal in the form others read: EAR (draft-ietf-rats-ear-04) with the trust vector of
 * draft-ietf-rats-ar4si. Trusts: the appraisal that hands in what it found.
 */
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Claims } from '../evidence/claims.ts'
import type { AppraisalPolicy } from './policy.ts'

/** EAT Attestation Result: names as the draft writes them. */
export interface Ear {
  readonly eat_profile: 'tag:ietf.org,2026:rats/ear#04'
  readonly iat: number
  readonly exp: number
  readonly 'ear.verifier-id': { readonly developer: string; readonly build: string }
  readonly submods: Record<string, {
    readonly 'ear.status': 'affirming' | 'warning' | 'contraindicated'
    readonly 'ear.trustworthiness-vector': TrustVector
    readonly 'ear.appraisal-policy-id': string
    readonly 'ear.trustee.annotated-evidence': { readonly tee: Claims['tee']; readonly simulated: boolean; readonly measurement: string; readonly host_data: string; readonly product: string }
  }>
}

export interface TrustVector { readonly 'instance-identity': number; readonly configuration: number; readonly executables: number; readonly hardware: number; readonly 'runtime-opaque': number }

const EAR_SECONDS = 300

/** What appraisal found beside the claims: patch levels, and whether anything after the firmware was compared. */
export interface Found { readonly tcb: 'current' | 'outdated'; readonly recognized: boolean }

/** An EAR of one submodule that speaks for five minutes from `now` (seconds since 1970). */
export function earOf(p: Primitives, claims: Claims, found: Found, policy: AppraisalPolicy, now: number): Ear {
  const policyId = hashOf(p, utf8(jcs(policy)))
  const submodule = (one: Claims, vector: TrustVector): Ear['submods'][string] => ({
    'ear.status': statusOf(vector), 'ear.trustworthiness-vector': vector, 'ear.appraisal-policy-id': policyId,
    'ear.trustee.annotated-evidence': { tee: one.tee, simulated: one.simulated, measurement: one.measurement, host_data: one.hostData, product: one.product },
  })
  return {
    eat_profile: 'tag:ietf.org,2026:rats/ear#04', iat: now, exp: now + EAR_SECONDS, 'ear.verifier-id': { developer: 'https://cloister.dev', build: '0.1.0' },
    submods: {
      cpu0: submodule(claims, vectorOf(claims, found, policy)),
      ...Object.fromEntries((claims.devices ?? []).map((device, i) => [`device${i}`, submodule(device, deviceVector(device))])),
    },
  }
}

/** A device is recognized as far as all its firmware was compared with its maker's values. */
function deviceVector({ facts, debug, simulated }: Claims): TrustVector {
  const known = facts.kind !== 'nvidia' || facts.referenceComplete
  return { 'instance-identity': 0, configuration: debug ? 32 : 2, executables: known ? 2 : 33, hardware: simulated ? 97 : 2, 'runtime-opaque': debug ? 32 : 2 }
}

/** Values of draft-ietf-rats-ar4si section 2.3: 0 no word, 2 affirmed, 32 known weakness, 33 executables that nobody recognized, 97 hardware that nobody vouches for. */
function vectorOf(claims: Claims, { tcb, recognized }: Found, { chips, owners }: AppraisalPolicy): TrustVector {
  return {
    'instance-identity': chips === undefined && owners === undefined ? 0 : 2, configuration: claims.debug || claims.migration ? 32 : 2,
    executables: recognized ? 2 : 33, hardware: claims.simulated ? 97 : tcb === 'outdated' ? 32 : 2, 'runtime-opaque': claims.debug ? 32 : 2,
  }
}

/** The tier of the worst claim. */
function statusOf(vector: TrustVector): 'affirming' | 'warning' | 'contraindicated' {
  const worst = Math.max(...Object.values(vector))
  return worst >= 96 ? 'contraindicated' : worst >= 32 ? 'warning' : 'affirming'
}
