/**
 * Appraisal: claims against a policy and reference values, giving an attestation result (EAR, draft-ietf-rats-ear-04) or
 * a refusal that names what failed. Every check is listed with what it found, and so is every check that was not made.
 *
 * Trusts: claims (built only from verified bytes), and the policy handed in, which comes from a charter and from the
 * broker's reference values. There is no default that lets something pass: what the policy does not name is refused.
 */
import type { Primitives } from '../crypto/primitives.ts'
import type { Claims } from '../evidence/claims.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { earOf, type Ear } from './ear.ts'
import { valuesAt, type AppraisalPolicy, type ReferenceValue, type Value } from './policy.ts'
import { shortfall, tcbStatus } from './tcb.ts'

export type { AppraisalPolicy, Distrust, PlatformOwner, ReferenceValue } from './policy.ts'
export { shortfall } from './tcb.ts'

export interface Check { readonly id: string; readonly result: 'held' | 'not made'; readonly detail: string }
export interface Appraisal {
  readonly claims: Claims
  readonly reference: string
  readonly tcb: 'current' | 'outdated'
  readonly checks: readonly Check[]
  readonly ear: Ear
}

/** Claims that satisfy the policy at `now`, or the refusal that names check, expectation and claim. */
export function appraise(p: Primitives, claims: Claims, policy: AppraisalPolicy, now: number): Result<Appraisal> {
  return attempt(() => {
    const checks: Check[] = []
    if (!policy.tee.some(tee => tee === claims.tee)) refuse('place.tee', 'claims.tee', policy.tee.join(', '), claims.tee, claims.simulated ? 'simulated silicon counts only where the charter names it' : undefined)
    checkVerifier(claims, policy, checks)
    checkTime(claims, policy, now, checks)
    checkBinding(claims, policy, checks)
    checkLaunch(claims, policy, checks)
    for (const [i, part] of [claims, ...claims.devices ?? []].entries()) checkDistrust(part, policy, i === 0 ? 'claims' : `claims.devices[${i - 1}]`)
    note(checks, 'distrust', 'not on the distrust list', '')
    checkDevices(claims, policy, checks)
    checkDemands(claims, policy, checks)
    checkChip(claims, policy, now, checks)
    const reference = checkMeasurement(claims, policy, checks)
    const tcb = checkTcb(claims, policy, checks)
    checkRevocation(claims, policy, checks)
    note(checks, 'place', undefined, 'no endorsement of place')
    return { claims, reference: reference.name, tcb, checks, ear: earOf(p, claims, { tcb, recognized: reference.recognized }, policy, now) }
  })
}

/** Writes a check down: held with its detail, or not made with the reason. */
function note(checks: Check[], id: string, held: string | undefined, notMade: string): void {
  checks.push(held === undefined ? { id, result: 'not made', detail: notMade } : { id, result: 'held', detail: held })
}

/** The word of another verifier is no evidence of the machine: it counts only where the policy names that verifier. */
function checkVerifier({ facts }: Claims, { verifiers = [] }: AppraisalPolicy, checks: Check[]): void {
  if (facts.kind !== 'token') return
  if (!verifiers.includes(facts.verifier)) refuse('appraisal.verifier', 'claims.facts.verifier', verifiers.join(', ') || 'the machine\'s own evidence', facts.verifier, 'hand in the evidence itself, or name this verifier in the policy')
  note(checks, 'verifier', facts.verifier, '')
}

function checkTime(claims: Claims, { maxAge }: AppraisalPolicy, now: number, checks: Check[]): void {
  const { notBefore, notAfter } = claims.validity
  if (now < notBefore || now > notAfter) refuse('appraisal.expired', 'claims.validity', `a time from ${notBefore} to ${notAfter}`, String(now))
  note(checks, 'validity', `certificates valid until ${notAfter}`, '')
  if (maxAge === undefined) return note(checks, 'age', undefined, 'the policy names no age: freshness rests on the report data')
  const age = claims.issuedAt === undefined ? undefined : now - claims.issuedAt
  if (age === undefined || age > maxAge || age < -SKEW) refuse('appraisal.expired', 'claims.issuedAt', `signed at most ${maxAge} s ago`, age === undefined ? 'no signed time' : `${age} s ago`, 'attest again')
  note(checks, 'age', `at most ${maxAge} s`, '')
}
const SKEW = 60

function checkBinding(claims: Claims, policy: AppraisalPolicy, checks: Check[]): void {
  if (claims.reportData !== policy.reportData) refuse('evidence.report-data', 'claims.reportData', policy.reportData, claims.reportData, 'evidence speaks for one session only: attest again')
  if (policy.hostData !== undefined && claims.hostData !== policy.hostData) refuse('appraisal.host-data', 'claims.hostData', policy.hostData, claims.hostData)
  note(checks, 'report-data', 'bound to this session', '')
}

function checkLaunch(claims: Claims, policy: AppraisalPolicy, checks: Check[]): void {
  if (claims.debug && policy.allowDebug !== true) refuse('appraisal.debug', 'claims.debug', 'false', 'true', 'launch without the debug bit: a debugged guest has no secrets')
  if (claims.migration && policy.allowMigration !== true) refuse('appraisal.migration', 'claims.migration', 'false', 'true', 'launch without a migration agent')
  note(checks, 'debug', claims.debug ? undefined : 'off', 'ALLOWED by policy')
  note(checks, 'migration', claims.migration ? undefined : 'off', 'ALLOWED by policy')
  const vmplMax = policy.vmplMax ?? 0
  const vmpl = claims.facts.kind === 'snp' ? claims.facts.vmpl : 0
  if (vmpl > vmplMax) refuse('appraisal.vmpl', 'claims.vmpl', `at most ${vmplMax}`, String(vmpl))
  note(checks, 'vmpl', String(vmpl), '')
}

function checkDistrust(claims: Claims, { distrust }: AppraisalPolicy, at: string): void {
  // A simulated machine only borrows a product's report layout: product lines are distrusted for real silicon.
  if (!claims.simulated && distrust.products?.includes(claims.product) === true) refuse('appraisal.distrusted', `${at}.product`, `not ${distrust.products.join(', ')}`, claims.product, 'run on another product line')
  if (distrust.chips?.includes(claims.chipId) === true) refuse('appraisal.distrusted', `${at}.chipId`, 'a chip that is not distrusted', claims.chipId)
  const bad = claims.endorsements.find(one => distrust.endorsements?.includes(one) === true)
  if (bad !== undefined) refuse('appraisal.distrusted', `${at}.endorsements`, 'certificates that are not distrusted', bad)
  for (const [path, refused] of Object.entries(distrust.claims ?? {})) {
    const found = valuesAt(claims, path).find(value => refused.includes(value))
    if (found !== undefined) refuse('appraisal.distrusted', `${at}.${path}`, `none of ${refused.join(', ')}`, String(found))
  }
}

/** Devices of a bundle: firmware that nobody compared counts as old patch levels do. */
function checkDevices({ devices = [] }: Claims, policy: AppraisalPolicy, checks: Check[]): void {
  devices.forEach(({ facts, product }, i) => {
    const known = facts.kind !== 'nvidia' || facts.referenceComplete
    if (!known && policy.tcb !== 'any') refuse('appraisal.tcb', `claims.devices[${i}]`, 'firmware that was compared with its maker\'s reference values', product, 'add the reference manifests to the evidence, or let every owner agree to tcb: any')
    note(checks, `device ${i}`, known ? `${product}, ${facts.kind}` : undefined, `${product}: firmware not compared`)
  })
}

/** What the policy demands of single claims: one of these values, or at least this one. A claim that is not there satisfies nothing. */
function checkDemands(claims: Claims, { demand = {}, atLeast = {} }: AppraisalPolicy, checks: Check[]): void {
  for (const [path, allowed] of Object.entries(demand)) {
    const values = demanded(claims, path, allowed.join(', '))
    const other = values.find(value => !allowed.includes(value))
    if (other !== undefined) refuse('appraisal.claim', `claims.${path}`, `one of ${allowed.join(', ')}`, String(other))
    note(checks, path, values.join(', '), '')
  }
  for (const [path, least] of Object.entries(atLeast)) {
    const low = demanded(claims, path, `at least ${least}`).find(value => typeof value !== typeof least || value < least)
    if (low !== undefined) refuse('appraisal.claim', `claims.${path}`, `at least ${least}`, String(low))
    note(checks, path, `at least ${least}`, '')
  }
}

/** A list that is there and empty (no advisories) has nothing to object to; a claim that is absent does not satisfy. */
function demanded(claims: Claims, path: string, expected: string): readonly Value[] {
  return valuesAt(claims, path, () => refuse('appraisal.claim', `claims.${path}`, expected, 'no such claim'))
}

/** Evidence relayed from elsewhere is from another chip: a list of chips, or of an owner's chips, refuses it (attacks.md rows 62, 126). */
function checkChip(claims: Claims, { chips, owners }: AppraisalPolicy, now: number, checks: Check[]): void {
  if (chips !== undefined && !chips.includes(claims.chipId)) refuse('appraisal.chip', 'claims.chipId', chips.join(', '), claims.chipId)
  const owner = owners?.find(one => one.chips.includes(claims.chipId) && (one.until === undefined || now < one.until))
  if (owners !== undefined && owner === undefined) refuse('appraisal.chip', 'claims.chipId', `a chip of ${owners.map(one => one.name).join(', ') || 'a named owner'}`, claims.chipId)
  note(checks, 'chip', chips === undefined && owner === undefined ? undefined : claims.chipId, 'any chip of the vendor')
  note(checks, 'owner', owner?.name, 'the policy names no platform owner')
}

function checkMeasurement(claims: Claims, policy: AppraisalPolicy, checks: Check[]): { name: string; recognized: boolean } {
  const fitting = policy.measurements.filter(one => one.tee === claims.tee)
  const launched = fitting.filter(one => one.hex === claims.measurement)
  if (launched.length === 0) refuse('appraisal.measurement', 'claims.measurement', fitting.map(one => `${one.name} (${one.hex})`).join(', ') || `a reference value for ${claims.tee}`, claims.measurement, 'launch a guest runtime that the broker knows, or add its reference value')
  const found = launched.find(one => differing(claims, one) === undefined) ?? refuseRegister(claims, launched[0])
  note(checks, 'measurement', found.name, '')
  const compared = Object.keys(found.registers ?? {})
  if (compared.length === 0 && FIRMWARE_ONLY.has(claims.tee) && policy.allowFirmwareOnly !== true) {
    refuse('appraisal.register', 'measurements.registers', `registers of ${claims.tee} in the reference value ${found.name}: the first number names the firmware only, not what it booted`, 'none', 'add registers to the reference value: cloister measure prints them')
  }
  note(checks, 'registers', compared.length === 0 ? undefined : compared.join(', '), FIRMWARE_ONLY.has(claims.tee) ? 'ALLOWED by policy: whatever the firmware booted' : 'the reference value names none')
  return { name: found.name, recognized: compared.length > 0 || !FIRMWARE_ONLY.has(claims.tee) }
}

/** Machines whose first measurement ends with the firmware: what it boots stands in further registers. */
const FIRMWARE_ONLY: ReadonlySet<Claims['tee']> = new Set(['tdx', 'tpm', 'azure-snp', 'azure-tdx'])
const differing = (claims: Claims, { registers = {} }: ReferenceValue) => Object.entries(registers).find(([name, hex]) => claims.registers[name] !== hex)

function refuseRegister(claims: Claims, reference: ReferenceValue | undefined): never {
  const [name, hex] = (reference === undefined ? undefined : differing(claims, reference)) ?? ['', '']
  return refuse('appraisal.register', `claims.registers.${name}`, `${hex}, as ${reference?.name ?? ''} has it`, claims.registers[name] ?? 'not in the evidence')
}

/** A status other than up to date counts only where the policy names it, or says `any`; a revoked platform must be named in any case. */
function checkTcb(claims: Claims, policy: AppraisalPolicy, checks: Check[]): 'current' | 'outdated' {
  const lacking = shortfall(claims)
  const status = tcbStatus(claims)
  const named = policy.statuses?.includes(status) === true || (policy.tcb === 'any' && status !== 'Revoked')
  if (lacking !== undefined && !named) refuse('appraisal.tcb', 'claims.tcb', `the reviewed minimum for ${claims.product}`, lacking, status === 'Revoked' ? 'run on another machine' : 'update the firmware, or let every owner agree to tcb: any')
  note(checks, 'tcb', lacking === undefined ? 'at or above the reviewed minimum' : undefined, lacking ?? '')
  return lacking === undefined ? 'current' : 'outdated'
}

function checkRevocation(claims: Claims, { requireRevocation }: AppraisalPolicy, checks: Check[]): void {
  const none = 'no revocation list travelled with the evidence'
  if (requireRevocation === true && !claims.revocation) refuse('appraisal.revocation', 'claims.revocation', 'the vendor\'s revocation lists examined', none, 'add the lists to the evidence: cloister collateral export')
  note(checks, 'revocation', claims.revocation ? 'vendor list examined' : undefined, none)
}
