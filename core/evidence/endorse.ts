/**
 * Collateral that travels apart from evidence (certificates, revocation lists, Intel's documents, NVIDIA's manifests and
 * answers) put where evidence carries it. Nothing is believed here: the judge verifies it wherever it came from.
 * Trusts nothing.
 */
import { isObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import { attempt, refuse, type Result } from '../refusal.ts'

/** The fields of evidence that are collateral: by vendors, not by the machine. What it signed is not among them. */
const COLLATERAL = ['certificates', 'crls', 'collateral', 'rims', 'ocsp'] as const

/**
 * Evidence (JSON, not yet read) with its collateral exchanged for this: `{ certificates?, crls?, collateral?, rims?, ocsp? }`,
 * or Intel's documents as such. What is not given stays as it is. Refuses `evidence.collateral` for another shape.
 *
 * @example
 * withCollateral({ kind: 'snp', report: '…', certificates: [] }, { crls: ['MII…'] })
 * // → { ok: true, value: { kind: 'snp', report: '…', certificates: [], crls: ['MII…'] } }
 */
export function withCollateral(evidence: JsonObject, given: Json): Result<JsonObject> {
  return attempt(() => {
    if (!isObject(given)) return refuse('evidence.collateral', 'collateral', 'an object', shown(given))
    const fields = given['tcb_info'] === undefined ? given : { collateral: given }
    for (const key of Object.keys(fields)) if (!COLLATERAL.some(known => known === key)) refuse('evidence.collateral', `collateral.${key}`, COLLATERAL.join(', '), key)
    return { ...evidence, ...fields }
  })
}

/** Evidence without its collateral: what the machine itself says and signed, which is what a bundle's CPU vouches for. */
export function withoutCollateral(evidence: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(evidence).filter(([key]) => !COLLATERAL.some(known => known === key)))
}
