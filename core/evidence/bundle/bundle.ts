/**
 * A machine of several parts as one evidence: its CPU first, then GPUs, switches and a vTPM. Each device signs a nonce that
 * only this challenge, this role, this place and this number of parts give; the CPU signs the challenge together with the
 * digest of what every device signed. So a part that was dropped, added, exchanged, reordered, repeated or made for another
 * challenge is refused, whoever signed it.
 *
 * What it proves: the guest that the CPU vouches for had exactly these answers, made for this challenge. What it does not:
 * that the devices stand in the same machine. A guest that passes nonces on to a device elsewhere gets answers as good;
 * against that stand the guest's measurement (it is code that asks its own devices only), lists of chips and platforms, and
 * for vTPMs an attestation key that the CPU's report names, which evidence of kind `azure` has. A key taken out of a CPU by
 * physical means (attacks.md rows 56, 62) signs any list of parts.
 *
 * Trusts: the port, and what judges each part. Attesters use the same `deviceNonce` and `bundleReportData`.
 */
import { framed, u32be } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { jcs } from '../../bytes/jcs.ts'
import { isObject, kindOf, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse } from '../../refusal.ts'
import type { Claims, Evidence } from '../claims.ts'
import { withoutCollateral } from '../endorse.ts'
import { checkSet } from '../nvidia/set.ts'
import type { NvidiaClaims } from '../nvidia/verify.ts'
import type { VerifyOptions } from '../options.ts'
import { onlyFields, textOf } from '../shape.ts'

export type Role = 'cpu' | 'gpu' | 'switch' | 'vtpm'
/** Any evidence but a bundle. */
export type PartEvidence = Exclude<Evidence, { readonly kind: 'bundle' }>
export interface Part { readonly role: Role; readonly evidence: PartEvidence }

export interface BundleEvidence {
  readonly kind: 'bundle'
  /** What the verifier asked with, 32 to 64 bytes in lower-case hex: the report data of the whole. */
  readonly challenge: string
  /** The CPU first and once; the others in the order that their nonces and the CPU's report data were made for. */
  readonly parts: readonly Part[]
}

const LIMITS = { parts: 32, characters: 16 * 1024 * 1024 }
const CHALLENGE = /^(?:[0-9a-f]{2}){32,64}$/
/** Which kinds of evidence can play a role, and how often. A new kind of device adds its line. */
const ROLES: Readonly<Record<Role, { readonly kinds: readonly Evidence['kind'][]; readonly max: number }>> = {
  cpu: { kinds: ['snp', 'simulated', 'tdx', 'sgx', 'nitro', 'azure', 'cca'], max: 1 },
  gpu: { kinds: ['nvidia'], max: LIMITS.parts }, switch: { kinds: ['nvidia'], max: LIMITS.parts }, vtpm: { kinds: ['tpm'], max: 1 },
}

/** Where a device stands in a bundle: `index` counts all parts from the CPU, which is 0; `count` is their number. */
export interface Place { readonly role: Role; readonly index: number; readonly count: number }

/** The 32 bytes that the device at this place is asked with: SPDM nonce, TPM qualifying data. */
export function deviceNonce(p: Primitives, challenge: string, { role, index, count }: Place): Uint8Array {
  return p.hash('sha256', framed('cloister/bundle/device/1', fromHex(challenge, 'challenge'), utf8(role), u32be(index), u32be(count)))
}

/**
 * What a CPU of this kind signs as its report data (SNP, TDX, SGX, CCA), user data (Nitro) or qualifying data (Azure's vTPM,
 * which has room for 32 bytes) when these are its devices, in order: over the challenge and the digest of each part's
 * signed content. Certificates, lists, manifests and answers of vendors are left out: they are verified wherever they
 * come from and may be newer than the report.
 */
export function bundleReportData(p: Primitives, kind: Evidence['kind'], challenge: string, devices: readonly Part[]): Uint8Array {
  const digests = devices.map(({ role, evidence }) => p.hash('sha256', utf8(jcs({ role, evidence: withoutCollateral(evidence) }))))
  return p.hash('sha512', framed('cloister/bundle/1', fromHex(challenge, 'challenge'), ...digests)).slice(0, kind === 'azure' ? 32 : 64)
}

/** Evidence of this kind as it came from outside, checked for shape only; `readPart` reads what is not a bundle. */
export function readBundle(json: JsonObject, readPart: (json: JsonObject) => Evidence): BundleEvidence {
  onlyFields(json, ['kind', 'challenge', 'parts'])
  const list = json['parts']
  if (!Array.isArray(list)) return refuse('evidence.parse', 'evidence.parts', 'a list', kindOf(list))
  if (list.length > LIMITS.parts) refuse('bytes.too-large', 'evidence.parts', `at most ${LIMITS.parts} parts`, String(list.length))
  if (characters(list) > LIMITS.characters) refuse('bytes.too-large', 'evidence.parts', `at most ${LIMITS.characters} characters`, 'more')
  const shapes = list.map((one: Json, i) => shapeOf(one, `parts[${i}]`))
  checkRoles(shapes)
  return { kind: 'bundle', challenge: textOf(json, 'challenge'), parts: shapes.map(({ role, evidence }) => ({ role, evidence: readPart(evidence) as PartEvidence })) } // checkRoles has found that it is no bundle
}

function shapeOf(json: Json, at: string): { role: Role; evidence: JsonObject } {
  if (!isObject(json)) return refuse('evidence.parse', at, 'an object', kindOf(json))
  for (const key of Object.keys(json)) if (key !== 'role' && key !== 'evidence') refuse('evidence.parse', `${at}.${key}`, 'role, evidence', key)
  const { role, evidence } = json
  if (!isObject(evidence)) return refuse('evidence.parse', `${at}.evidence`, 'an object', kindOf(evidence))
  // The table has exactly the roles.
  return typeof role === 'string' && Object.hasOwn(ROLES, role) ? { role: role as Role, evidence } : refuse('evidence.parse', `${at}.role`, Object.keys(ROLES).join(', '), shown(role))
}

/** Of all texts and names in it; without recursion, for its depth is not known. */
function characters(value: Json): number {
  const left = [value]
  let sum = 0
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    if (typeof one === 'string') sum += one.length
    if (Array.isArray(one)) for (const inner of one) left.push(inner)
    else if (isObject(one)) for (const [name, inner] of Object.entries(one)) left.push(name, inner)
  }
  return sum
}

/** The CPU, which is first and once; each role as often as it may be, each part of a kind that can play it. */
function checkRoles<T extends { readonly role: Role; readonly evidence: { readonly kind?: Json | undefined } }>(parts: readonly T[]): T {
  const [root] = parts
  if (root?.role !== 'cpu') return refuse('evidence.binding', 'parts[0].role', 'cpu', root?.role ?? 'no part', 'put the CPU first: it signs over all others')
  parts.forEach(({ role, evidence: { kind } }, i) => {
    const { kinds, max } = ROLES[role]
    if (!kinds.some(one => one === kind)) refuse('evidence.kind', `parts[${i}].evidence.kind`, `for a ${role} ${kinds.join(', ')}`, shown(kind))
    if (parts.slice(0, i).filter(one => one.role === role).length >= max) refuse('evidence.binding', `parts[${i}].role`, `at most ${max} of role ${role}`, 'more')
  })
  return root
}

/**
 * The claims of a machine whose parts are all genuine and bound together: the CPU's, with the challenge as report data and
 * the devices' claims in order. Validity is the intersection, endorsements the union; debug, migration and simulated hold
 * when they hold for any part, revocation when it holds for all. Leaves with `evidence.binding`, `evidence.kind`,
 * `evidence.parse`, `bytes.too-large`, or what a part is refused for, with its place before it (`parts[1].report`).
 */
export function verifyBundle(p: Primitives, bundle: BundleEvidence, options: VerifyOptions, judge: (evidence: PartEvidence, options: VerifyOptions) => Claims): Claims {
  const { challenge, parts } = bundle
  if (!CHALLENGE.test(challenge)) refuse('evidence.parse', 'evidence.challenge', '32 to 64 bytes in lower-case hex', challenge)
  if (parts.length > LIMITS.parts) refuse('bytes.too-large', 'evidence.parts', `at most ${LIMITS.parts} parts`, String(parts.length))
  const root = checkRoles(parts)
  // Devices of one machine share authorities and manifests: each is verified once.
  const shared = { ...options, cache: options.cache ?? new Map() }
  const judgeAt = (part: Part, i: number) => within(`parts[${i}]`, () => judge(part.evidence, shared))
  const cpu = judgeAt(root, 0)
  const expected = toHex(bundleReportData(p, root.evidence.kind, challenge, parts.slice(1)))
  // First of all the CPU: what it does not vouch for is not worth looking at.
  if (cpu.reportData !== expected) refuse('evidence.binding', 'parts[0].reportData', `${expected}: this challenge and exactly these ${parts.length - 1} devices`, cpu.reportData, 'take all parts again, from one machine, for one challenge')
  const devices = parts.slice(1).map((part, i) => checkedDevice(p, judgeAt(part, i + 1), challenge, { role: part.role, index: i + 1, count: parts.length }))
  checkMachine(devices.filter(isNvidia), challenge)
  return joined(cpu, devices, challenge)
}

/** What a part is refused for, told with its place. */
function within<T>(place: string, read: () => T): T {
  const result = attempt(read)
  if (result.ok) return result.value
  const { code, at, expected, got, fix } = result.refusal
  return refuse(code, `${place}.${at}`, expected, got, fix)
}

function checkedDevice(p: Primitives, claims: Claims, challenge: string, place: Place): Claims {
  const nonce = toHex(deviceNonce(p, challenge, place))
  if (claims.reportData !== nonce) refuse('evidence.binding', `parts[${place.index}].reportData`, `${nonce}: the nonce of ${place.role} ${place.index} of ${place.count} for this challenge`, claims.reportData, 'ask each device with the nonce of its place')
  if (isNvidia(claims) && claims.facts.device !== place.role) refuse('evidence.binding', `parts[${place.index}].role`, claims.facts.device, place.role)
  return claims
}

export const isNvidia = (claims: Claims): claims is NvidiaClaims => claims.facts.kind === 'nvidia'

/**
 * Each device once; and where switches are here, or GPUs that say they share a protected fabric, all that their links name
 * must be here and name them. A single GPU names the switches of its board, which it does not use.
 */
export function checkMachine(devices: readonly NvidiaClaims[], challenge: string): void {
  if (devices.length === 0) return
  // Each signed the nonce of its own place; for the set they count as asked by one challenge.
  const { absent, oneSided, switches } = checkSet(devices.map(one => ({ ...one, reportData: challenge })))
  if (switches === 0 && !devices.some(one => one.facts.mode === 'ppcie')) return
  if (absent.length > 0) refuse('evidence.binding', 'parts', 'every GPU and switch that the links of the others name', `no ${absent.join(', ')}`, 'add the evidence of the missing devices')
  if (oneSided.length > 0) refuse('evidence.binding', 'parts', 'links that both ends name', oneSided.join(', '))
}

/** One machine's claims from its CPU's and its devices'. */
export function joined(cpu: Claims, devices: readonly Claims[], reportData: string): Claims {
  const all = [cpu, ...devices]
  return {
    ...cpu, reportData, devices,
    simulated: all.some(one => one.simulated), debug: all.some(one => one.debug), migration: all.some(one => one.migration), revocation: all.every(one => one.revocation),
    validity: { notBefore: Math.max(...all.map(one => one.validity.notBefore)), notAfter: Math.min(...all.map(one => one.validity.notAfter)) },
    endorsements: [...new Set(all.flatMap(one => one.endorsements))],
  }
}
