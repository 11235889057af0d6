/**
 * EAT Attestation Results (draft-ietf-rats-ear-04) of Veraison, Trustee and others: a status and a trust vector for each
 * submodule. Where the verifier adds the evidence it judged, its measurement and report data are read from there.
 * Trusts: that the token was verified; nothing else.
 */
import { isObject, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { refuse } from '../../refusal.ts'
import type { Claims } from '../claims.ts'
import { anyBase64, noncesOf, textOf, type Reading } from './forms.ts'

export type Tier = 'none' | 'affirming' | 'warning' | 'contraindicated'
/** What a verifier says of one submodule; the vector has the claims that it makes. */
export interface TrustClaims { readonly status: Tier; readonly vector: Readonly<Record<string, number>> }

/** Tiers in the order of the draft, worst last; numbers are how CBOR writes them. */
const TIERS: readonly Tier[] = ['affirming', 'none', 'warning', 'contraindicated']
const TIER_NUMBERS: ReadonlyMap<number, Tier> = new Map([[0, 'none'], [2, 'affirming'], [32, 'warning'], [96, 'contraindicated']])
export const VECTOR = ['instance-identity', 'configuration', 'executables', 'file-system', 'hardware', 'runtime-opaque', 'storage-opaque', 'sourced-data'] as const
const PROFILES = /^tag:(github\.com,2023:veraison\/ear|github\.com,2024:confidential-containers\/Trustee|ietf\.org,20\d\d:rats\/ear#\d\d)$/
const SUBMODULES_MAX = 32

/** Claims from an EAR. Leaves with `evidence.token`. */
export function readEar(claims: JsonObject): Reading {
  const profile = textOf(claims['eat_profile'], 'token.eat_profile')
  if (!PROFILES.test(profile)) refuse('evidence.token', 'token.eat_profile', 'a profile of EAR', profile)
  const verifier = objectAt(claims['ear.verifier-id'], 'token.ear.verifier-id')
  textOf(verifier['developer'], 'token.ear.verifier-id.developer')
  textOf(verifier['build'], 'token.ear.verifier-id.build')
  const submods = Object.entries(objectAt(claims['submods'], 'token.submods'))
  if (submods.length === 0 || submods.length > SUBMODULES_MAX) refuse('evidence.token', 'token.submods', `1 to ${SUBMODULES_MAX} submodules`, String(submods.length))
  const trust = Object.fromEntries(submods.map(([name, value]) => [name, readTrust(objectAt(value, `token.submods.${name}`), `token.submods.${name}`)]))
  const [, first] = submods.find(([name]) => name === 'cpu0') ?? submods[0] ?? []
  return { ...machineOf(isObject(first) ? first : {}, claims), ...judged(Object.values(trust)), nonces: noncesAt(claims['eat_nonce']), trust }
}

/** EAR carries a nonce as base64 of its bytes; what is no base64 stands for itself. */
function noncesAt(value: Json | undefined): string[] {
  if (value === undefined) return []
  return typeof value === 'string' && /^[A-Za-z0-9+/_-]+={0,2}$/.test(value) && !/^([0-9a-f]{2})+$/.test(value) ? [anyBase64(value, 'token.eat_nonce')] : noncesOf(value)
}

/** One submodule: its status may be no better than the worst claim of its vector (section 3.1). */
function readTrust(submodule: JsonObject, at: string): TrustClaims {
  const status = tierOf(submodule['ear.status'], `${at}.ear.status`)
  const given = submodule['ear.trustworthiness-vector']
  const vector = given === undefined ? {} : readVector(objectAt(given, `${at}.ear.trustworthiness-vector`), `${at}.ear.trustworthiness-vector`)
  const worst = Object.values(vector).map(tierOfValue).reduce((a, b) => (TIERS.indexOf(a) > TIERS.indexOf(b) ? a : b), 'affirming')
  if (worst !== 'none' && TIERS.indexOf(status) < TIERS.indexOf(worst)) refuse('evidence.token', `${at}.ear.status`, `${worst}, as the worst claim of the vector`, status)
  return { status, vector }
}

function tierOf(value: Json | undefined, at: string): Tier {
  const found = typeof value === 'number' ? TIER_NUMBERS.get(value) : TIERS.find(tier => tier === value)
  return found ?? refuse('evidence.token', at, TIERS.join(', '), value === undefined ? 'nothing' : shown(value))
}

/** draft-ietf-rats-ar4si section 2.3.2: -1 to 1 say nothing, up to 31 affirms, up to 95 warns, beyond contraindicates; below -1 alike. */
export function tierOfValue(value: number): Tier {
  const size = value < 0 ? -value - 1 : value
  return size <= 1 ? 'none' : size <= 31 ? 'affirming' : size <= 95 ? 'warning' : 'contraindicated'
}

function readVector(vector: JsonObject, at: string): Record<string, number> {
  return Object.fromEntries(Object.entries(vector).map(([name, value]) => {
    if (!VECTOR.some(known => known === name)) refuse('evidence.token', `${at}.${name}`, VECTOR.join(', '), name)
    return [name, typeof value === 'number' && Number.isInteger(value) && value >= -128 && value <= 127 ? value : refuse('evidence.token', `${at}.${name}`, 'a number from -128 to 127', shown(value))]
  }))
}

/** Only a verifier that affirms configuration and hardware of every submodule says that nobody debugs or moves the machine, and that it is up to date. */
function judged(submodules: readonly TrustClaims[]): Pick<Reading, 'debug' | 'migration' | 'status' | 'advisories'> {
  const affirmed = (claim: string) => submodules.every(({ status, vector }) => status === 'affirming' && tierOfValue(vector[claim] ?? 0) === 'affirming')
  return { debug: !affirmed('configuration'), migration: !affirmed('configuration'), status: affirmed('hardware') ? 'UpToDate' : '', advisories: [] }
}

/** Where verifiers write what they judged: our own names, then those of Trustee by kind of machine. */
const ANNOTATED = ['ear.trustee.annotated-evidence', 'ear.veraison.annotated-evidence'] as const
const MACHINES: readonly { readonly key: string; readonly tee: Claims['tee']; readonly measurement: readonly string[]; readonly registers?: readonly string[] }[] = [
  { key: 'snp', tee: 'snp', measurement: ['measurement'] }, { key: 'tdx', tee: 'tdx', measurement: ['quote', 'body', 'mr_td'], registers: ['quote', 'body'] }, { key: 'sgx', tee: 'sgx', measurement: ['body', 'mr_enclave'] },
  { key: 'az-snp-vtpm', tee: 'azure-snp', measurement: ['measurement'] }, { key: 'az-tdx-vtpm', tee: 'azure-tdx', measurement: ['quote', 'body', 'mr_td'] }, { key: 'cca', tee: 'cca', measurement: ['realm', 'cca-realm-initial-measurement'] },
  { key: 'sample', tee: 'sample', measurement: ['launch_digest'] },
]

function machineOf(submodule: JsonObject, claims: JsonObject): Pick<Reading, 'tee' | 'product' | 'measurement' | 'registers' | 'reportData' | 'hostData' | 'chipId'> {
  const annotated = ANNOTATED.map(name => submodule[name]).find(isObject) ?? {}
  const known = MACHINES.find(({ key }) => isObject(annotated[key]))
  const inner = known === undefined ? {} : objectAt(annotated[known.key], known.key)
  const own = known === undefined && typeof annotated['tee'] === 'string' ? MACHINES.find(({ tee }) => tee === annotated['tee']) : undefined
  const body = known?.registers === undefined ? {} : follow(inner, known.registers)
  const reportData = hexOr(annotated['report_data'])
  return {
    tee: known?.tee ?? own?.tee ?? 'unknown', product: typeof annotated['product'] === 'string' ? annotated['product'] : '', chipId: '', hostData: hexOr(annotated['init_data']) ?? hexOr(annotated['host_data']) ?? '',
    measurement: (known === undefined ? hexOr(annotated['measurement']) : bytesOr(follow(inner, known.measurement))) ?? '',
    registers: isObject(body) ? Object.fromEntries([0, 1, 2, 3].flatMap(i => { const value = hexOr(body[`rtmr_${i}`]); return value === undefined ? [] : [[`RTMR${i}`, value]] })) : {},
    ...(reportData === undefined || claims['eat_nonce'] !== undefined ? {} : { reportData }),
  }
}

const follow = (json: JsonObject, path: readonly string[]): Json | undefined => path.reduce<Json | undefined>((at, name) => (isObject(at) ? at[name] : undefined), json)
const hexOr = (value: Json | undefined): string | undefined => (typeof value === 'string' && /^([0-9a-fA-F]{2})+$/.test(value) ? value.toLowerCase() : undefined)
const bytesOr = (value: Json | undefined): string | undefined => hexOr(value) ?? (typeof value === 'string' ? anyBase64(value, 'token.measurement') : undefined)
const objectAt = (value: Json | undefined, at: string): JsonObject => (isObject(value) ? value : refuse('evidence.token', at, 'an object', value === undefined ? 'nothing' : shown(value)))
