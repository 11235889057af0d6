/**
 * The policy of an appraisal: what a relying party demands of claims. A broker makes it from a charter and its reference
 * values; a person hands one in as a JSON file. Trusts nothing: unknown fields are refused, because a misspelt demand
 * would demand nothing.
 */
import { isObject, parseJsonObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import type { Tee } from '../charter/types.ts'
import type { Claims } from '../evidence/claims.ts'
import { attempt, refuse, type Result } from '../refusal.ts'

/** What is known to be something: a guest runtime, an image. `registers` are what its boot leaves beside the first number. */
export interface ReferenceValue { readonly tee: Tee; readonly hex: string; readonly name: string; readonly registers?: Readonly<Record<string, string>> }

export type Value = string | number | boolean
/** Values by the path of a claim: `product`, `registers.PCR4`, `facts.tdx.mrSeam`, `facts.advisories`. Of a list, every element counts. */
export type ClaimValues = Readonly<Record<string, readonly Value[]>>

/** What is known to be broken. Receipts of the past keep their evidence; new releases stop. */
export interface Distrust { readonly products?: readonly string[]; readonly chips?: readonly string[]; readonly endorsements?: readonly string[]; readonly claims?: ClaimValues }

/** Somebody who answers for where machines stand, and the identities of these machines (`chipId`), until a time (seconds since 1970). */
export interface PlatformOwner { readonly name: string; readonly chips: readonly string[]; readonly until?: number }

export interface AppraisalPolicy {
  /** Kinds of machine that may appear, as the charter's program lists them. */
  readonly tee: readonly Tee[]
  /** `current` refuses machines below the reviewed patch levels; `any` takes all that are not revoked. */
  readonly tcb: 'current' | 'any'
  /** Statuses that are accepted beside up to date, by Intel's names; `OutOfDate` for AMD. */
  readonly statuses?: readonly string[]
  readonly measurements: readonly ReferenceValue[]
  /** Hex, as the kind carries it (64 bytes, or a nonce): what the evidence must be bound to. There is no way to leave it out. */
  readonly reportData: string
  /** Hex, as the kind carries it; absent only where host data is judged by `decide`. */
  readonly hostData?: string
  readonly distrust: Distrust
  /** Claims that must be there with one of these values: a product line, a TDX module, a signer, the only advisories that may stand. */
  readonly demand?: ClaimValues
  /** Claims that must be there and not below: `facts.evaluation.tcb`, `facts.tcb.reported.snp`, `facts.oldestDate` (RFC 3339). */
  readonly atLeast?: Readonly<Record<string, number | string>>
  readonly chips?: readonly string[]
  readonly owners?: readonly PlatformOwner[]
  /** Other verifiers whose word counts in place of the machine's own evidence, by the names the relying party gave them. */
  readonly verifiers?: readonly string[]
  /** Seconds since the evidence's own signed time: of kinds that have none, nothing satisfies. */
  readonly maxAge?: number
  readonly requireRevocation?: true
  readonly vmplMax?: number
  /** Loud names for lowering the guard; each is written into the result. */
  readonly allowDebug?: true
  readonly allowMigration?: true
  /** Of TDX, TPM and Azure: whatever the measured firmware boots. */
  readonly allowFirmwareOnly?: true
}

/** The plain values at a path of claims: one, or those of a list. Absent or an object: what `absent` says, by default none. */
export function valuesAt(claims: Claims, path: string, absent: () => readonly Value[] = () => []): readonly Value[] {
  let at: unknown = claims
  for (const name of path.split('.')) at = typeof at === 'object' && at !== null && Object.hasOwn(at, name) ? Object.entries(at).find(([key]) => key === name)?.[1] : undefined
  if (Array.isArray(at)) return at.every(plain) ? at : absent()
  return plain(at) ? [at] : absent()
}

const plain = (value: unknown): value is Value => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

/** What a policy file may say; `reportData` and `hostData` may come from beside it. */
export type PolicyFile = Omit<AppraisalPolicy, 'reportData'> & Partial<Pick<AppraisalPolicy, 'reportData'>>

/**
 * A policy from a JSON text. `tee` and `measurements` must be there; `tcb` is `current` and `distrust` empty unless given.
 * Refuses `appraisal.policy` and `json.*`.
 *
 * @example
 * parsePolicyFile('{"tee":["tdx"],"measurements":[{"tee":"tdx","hex":"00","name":"image 7","registers":{"RTMR1":"11"}}],"statuses":["SWHardeningNeeded"]}')
 * // → { ok: true, value: { tee: ['tdx'], tcb: 'current', … } }
 */
export function parsePolicyFile(text: string | Uint8Array): Result<PolicyFile> {
  return attempt(() => {
    const json = parseJsonObject(text)
    for (const key of Object.keys(json)) if (!Object.hasOwn(FIELDS, key)) refuse('appraisal.policy', key, Object.keys(FIELDS).join(', '), key)
    for (const key of ['tee', 'measurements']) if (json[key] === undefined) refuse('appraisal.policy', key, FIELDS[key]?.what ?? '', 'nothing')
    for (const [key, value] of Object.entries(json)) if (FIELDS[key]?.fits(value) !== true) refuse('appraisal.policy', key, FIELDS[key]?.what ?? '', shown(value))
    // Every field has just been found to have the shape of its type.
    return { tcb: 'current', distrust: {}, ...json } as unknown as PolicyFile
  })
}

type Fits = (value: Json) => boolean
const text: Fits = value => typeof value === 'string' && value.length <= 4096
const hex: Fits = value => typeof value === 'string' && /^([0-9a-f]{2}){0,4096}$/.test(value)
const number: Fits = value => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
const yes: Fits = value => value === true
const list = (one: Fits): Fits => value => Array.isArray(value) && value.every(one)
const record = (one: Fits): Fits => value => isObject(value) && Object.values(value).every(one)
const shape = (needed: Record<string, Fits>, optional: Record<string, Fits>): Fits => value => isObject(value) && fitsShape(value, needed, optional)
const fitsShape = (value: JsonObject, needed: Record<string, Fits>, optional: Record<string, Fits>) => Object.keys(needed).every(key => key in value)
  && Object.entries(value).every(([key, one]) => (needed[key] ?? optional[key])?.(one) === true)

const VALUES = record(list(value => text(value) || typeof value === 'boolean' || typeof value === 'number'))
const TEES: readonly string[] = ['snp', 'tdx', 'sgx', 'nitro', 'cca', 'azure-snp', 'azure-tdx', 'tpm', 'simulated'] satisfies Tee[]
const FIELDS: Readonly<Record<string, { readonly fits: Fits; readonly what: string }>> = {
  tee: { fits: list(value => typeof value === 'string' && TEES.includes(value)), what: `a list of ${TEES.join(', ')}` },
  tcb: { fits: value => value === 'current' || value === 'any', what: 'current or any' },
  statuses: { fits: list(text), what: 'a list of statuses' },
  measurements: { fits: list(shape({ tee: text, hex, name: text }, { registers: record(hex) })), what: 'a list of { tee, hex, name, registers? }' },
  reportData: { fits: hex, what: 'hex' }, hostData: { fits: hex, what: 'hex' },
  distrust: { fits: shape({}, { products: list(text), chips: list(hex), endorsements: list(text), claims: VALUES }), what: '{ products, chips, endorsements, claims }' },
  demand: { fits: VALUES, what: 'lists of values by the path of a claim' },
  atLeast: { fits: record(value => text(value) || number(value)), what: 'a number or a date by the path of a claim' },
  chips: { fits: list(hex), what: 'a list of chip identities in hex' },
  owners: { fits: list(shape({ name: text, chips: list(hex) }, { until: number })), what: 'a list of { name, chips, until? }' },
  verifiers: { fits: list(text), what: 'a list of names of verifiers' },
  maxAge: { fits: number, what: 'seconds' }, requireRevocation: { fits: yes, what: 'true, or left out' }, vmplMax: { fits: value => number(value) && Number(value) <= 3, what: '0 to 3' },
  allowDebug: { fits: yes, what: 'true, or left out' }, allowMigration: { fits: yes, what: 'true, or left out' }, allowFirmwareOnly: { fits: yes, what: 'true, or left out' },
}
