/**
 * Appraisal: claims against a policy and reference values, giving an attestation result (EAR, draft-ietf-rats-ear-04) or
 * a refusal that names what failed. Every check is listed with what it found, and so is every check that was not made.
 *
 * Trusts: claims (built only from verified bytes), and the policy handed in, which comes from a charter and from the
 * broker's reference values. There is no default that lets something pass: what the policy does not name is refused.
 */
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { hashOf } from '../charter/canonical.ts'
import type { Tee } from '../charter/types.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Claims } from '../evidence/claims.ts'
import type { SnpProduct } from '../evidence/snp/report.ts'
import type { SnpTcb } from '../evidence/snp/verify.ts'
import { attempt, refuse, type Result } from '../refusal.ts'

/** A launch measurement that is known to be something: a guest runtime, an image. */
export interface ReferenceValue { readonly tee: Tee; readonly hex: string; readonly name: string }

/** What is known to be broken. Receipts of the past keep their evidence; new releases stop. */
export interface Distrust { readonly products?: readonly string[]; readonly chips?: readonly string[]; readonly endorsements?: readonly string[] }

export interface AppraisalPolicy {
  /** Kinds of machine that may appear, as the charter's program lists them. */
  readonly tee: readonly Tee[]
  /** `current` refuses machines below the reviewed patch levels. */
  readonly tcb: 'current' | 'any'
  readonly measurements: readonly ReferenceValue[]
  /** Hex, 64 bytes: what the evidence must be bound to. There is no way to leave it out. */
  readonly reportData: string
  /** Hex, 32 bytes; absent only where host data is judged by `decide`. */
  readonly hostData?: string
  readonly distrust: Distrust
  readonly chips?: readonly string[]
  readonly vmplMax?: number
  /** Loud names for lowering the guard; each is written into the result. */
  readonly allowDebug?: true
  readonly allowMigration?: true
}

export interface Check { readonly id: string; readonly result: 'held' | 'not made'; readonly detail: string }
export interface Appraisal {
  readonly claims: Claims
  readonly reference: string
  readonly tcb: 'current' | 'outdated'
  readonly checks: readonly Check[]
  readonly ear: Ear
}

/** EAT Attestation Result: names as the draft writes them. */
export interface Ear {
  readonly eat_profile: 'tag:ietf.org,2026:rats/ear#04'
  readonly iat: number
  readonly exp: number
  readonly 'ear.verifier-id': { readonly developer: string; readonly build: string }
  readonly submods: Record<string, {
    readonly 'ear.status': 'affirming' | 'warning'
    readonly 'ear.trustworthiness-vector': { readonly 'instance-identity': number; readonly configuration: number; readonly executables: number; readonly hardware: number; readonly 'runtime-opaque': number }
    readonly 'ear.appraisal-policy-id': string
    readonly 'ear.trustee.annotated-evidence': { readonly tee: Claims['tee']; readonly simulated: boolean; readonly measurement: string; readonly host_data: string; readonly product: string }
  }>
}

/** Claims that satisfy the policy at `now`, or the refusal that names check, expectation and claim. */
export function appraise(p: Primitives, claims: Claims, policy: AppraisalPolicy, now: number): Result<Appraisal> {
  return attempt(() => {
    const checks: Check[] = []
    const held = (id: string, detail: string) => checks.push({ id, result: 'held', detail })
    if (!policy.tee.some(tee => tee === claims.tee)) refuse('place.tee', 'claims.tee', policy.tee.join(', '), claims.tee, claims.simulated ? 'simulated silicon counts only where the charter names it' : undefined)
    checkTime(claims, now)
    held('validity', `certificates valid until ${claims.validity.notAfter}`)
    checkBinding(claims, policy)
    held('report-data', 'bound to this session')
    checkLaunch(claims, policy, checks)
    checkDistrust(claims, policy.distrust)
    held('distrust', 'not on the distrust list')
    checkChip(claims, policy, checks)
    const reference = checkMeasurement(claims, policy)
    held('measurement', reference)
    const tcb = checkTcb(claims, policy, checks)
    checks.push({ id: 'revocation', result: claims.revocation ? 'held' : 'not made', detail: claims.revocation ? 'vendor list examined' : 'no revocation list travelled with the evidence' })
    checks.push({ id: 'place', result: 'not made', detail: 'no endorsement of place' })
    return { claims, reference, tcb, checks, ear: earOf(p, claims, tcb, policy, now) }
  })
}

/** How far below the reviewed minimum a machine's patch levels are, per component, or undefined when they are not. */
export function shortfall(claims: Claims): string | undefined {
  const facts = patchLevels(claims)
  if (facts?.kind === 'dcap') return facts.status === 'UpToDate' ? undefined : [`Intel calls it ${facts.status}`, ...facts.shortfall, ...facts.advisories].join('; ')
  if (facts === undefined) return `evidence of kind ${claims.facts.kind} states no patch levels`
  const minimum = minimumOf(claims.facts.kind === 'azure' ? claims.facts.hardware.product : claims.product)
  if (minimum === undefined) return `no reviewed minimum for ${claims.product}`
  const lacking = (['reported', 'committed', 'launch'] as const).flatMap(which => COMPONENTS
    .filter(part => (facts.tcb[which][part] ?? 0) < (minimum[part] ?? 0))
    .map(part => `${which} ${part} is ${facts.tcb[which][part] ?? 0}, needs ${minimum[part]}`))
  return lacking.length === 0 ? undefined : lacking.join('; ')
}

/**
 * The least patch levels that count as current, reviewed 2026-11: AMD publishes no signed list. Milan and Genoa: SNP
 * levels of AMD-SB-3019; Turin: the first levels seen with its report version 5.
 */
const TCB_MINIMUM: Record<SnpProduct, SnpTcb> = {
  Milan: { bl: 4, tee: 0, snp: 0x18, ucode: 0xdb }, Genoa: { bl: 0x0a, tee: 0, snp: 0x17, ucode: 0x54 }, Turin: { fmc: 1, bl: 1, tee: 1, snp: 4, ucode: 0x51 },
}
const patchLevels = ({ facts }: Claims) => (facts.kind === 'snp' ? facts : facts.kind === 'azure' ? facts.hardware.facts : undefined)
const minimumOf = (product: string): SnpTcb | undefined => Object.entries(TCB_MINIMUM).find(([name]) => name === product)?.[1]
const COMPONENTS = ['fmc', 'bl', 'tee', 'snp', 'ucode'] as const
const EAR_SECONDS = 300

function checkTime(claims: Claims, now: number): void {
  if (now < claims.validity.notBefore || now > claims.validity.notAfter) refuse('appraisal.expired', 'claims.validity', `a time from ${claims.validity.notBefore} to ${claims.validity.notAfter}`, String(now))
}

function checkBinding(claims: Claims, policy: AppraisalPolicy): void {
  if (claims.reportData !== policy.reportData) refuse('evidence.report-data', 'claims.reportData', policy.reportData, claims.reportData, 'evidence speaks for one session only: attest again')
  if (policy.hostData !== undefined && claims.hostData !== policy.hostData) refuse('appraisal.host-data', 'claims.hostData', policy.hostData, claims.hostData)
}

function checkLaunch(claims: Claims, policy: AppraisalPolicy, checks: Check[]): void {
  if (claims.debug && policy.allowDebug !== true) refuse('appraisal.debug', 'claims.debug', 'false', 'true', 'launch without the debug bit: a debugged guest has no secrets')
  if (claims.migration && policy.allowMigration !== true) refuse('appraisal.migration', 'claims.migration', 'false', 'true', 'launch without a migration agent')
  checks.push({ id: 'debug', result: claims.debug ? 'not made' : 'held', detail: claims.debug ? 'ALLOWED by policy' : 'off' })
  checks.push({ id: 'migration', result: claims.migration ? 'not made' : 'held', detail: claims.migration ? 'ALLOWED by policy' : 'off' })
  const vmplMax = policy.vmplMax ?? 0
  const vmpl = claims.facts.kind === 'snp' ? claims.facts.vmpl : 0
  if (vmpl > vmplMax) refuse('appraisal.vmpl', 'claims.vmpl', `at most ${vmplMax}`, String(vmpl))
  checks.push({ id: 'vmpl', result: 'held', detail: String(vmpl) })
}

function checkDistrust(claims: Claims, distrust: Distrust): void {
  // A simulated machine only borrows a product's report layout: product lines are distrusted for real silicon.
  if (!claims.simulated && distrust.products?.includes(claims.product) === true) refuse('appraisal.distrusted', 'claims.product', `not ${distrust.products.join(', ')}`, claims.product, 'run on another product line')
  if (distrust.chips?.includes(claims.chipId) === true) refuse('appraisal.distrusted', 'claims.chipId', 'a chip that is not distrusted', claims.chipId)
  const bad = claims.endorsements.find(one => distrust.endorsements?.includes(one) === true)
  if (bad !== undefined) refuse('appraisal.distrusted', 'claims.endorsements', 'certificates that are not distrusted', bad)
}

function checkChip(claims: Claims, policy: AppraisalPolicy, checks: Check[]): void {
  if (policy.chips !== undefined && !policy.chips.includes(claims.chipId)) refuse('appraisal.chip', 'claims.chipId', policy.chips.join(', '), claims.chipId)
  checks.push({ id: 'chip', result: policy.chips === undefined ? 'not made' : 'held', detail: policy.chips === undefined ? 'any chip of the vendor' : claims.chipId })
}

function checkMeasurement(claims: Claims, policy: AppraisalPolicy): string {
  const fitting = policy.measurements.filter(one => one.tee === claims.tee)
  const found = fitting.find(one => one.hex === claims.measurement)
  return found?.name ?? refuse('appraisal.measurement', 'claims.measurement', fitting.map(one => `${one.name} (${one.hex})`).join(', ') || `a reference value for ${claims.tee}`, claims.measurement, 'launch a guest runtime that the broker knows, or add its reference value')
}

function checkTcb(claims: Claims, policy: AppraisalPolicy, checks: Check[]): 'current' | 'outdated' {
  const lacking = shortfall(claims)
  if (lacking !== undefined && policy.tcb === 'current') refuse('appraisal.tcb', 'claims.tcb', `the reviewed minimum for ${claims.product}`, lacking, 'update the firmware, or let every owner agree to tcb: any')
  checks.push({ id: 'tcb', result: lacking === undefined ? 'held' : 'not made', detail: lacking ?? 'at or above the reviewed minimum' })
  return lacking === undefined ? 'current' : 'outdated'
}

/** Trust vector values of draft-ietf-rats-ar4si: 2 affirming, 32 warning. Simulated hardware is never affirmed. */
function earOf(p: Primitives, claims: Claims, tcb: 'current' | 'outdated', policy: AppraisalPolicy, now: number): Ear {
  const hardware = claims.simulated || tcb === 'outdated' ? 32 : 2
  return {
    eat_profile: 'tag:ietf.org,2026:rats/ear#04', iat: now, exp: now + EAR_SECONDS, 'ear.verifier-id': { developer: 'https://cloister.dev', build: '0.1.0' },
    submods: {
      cpu0: {
        'ear.status': hardware === 2 ? 'affirming' : 'warning',
        'ear.trustworthiness-vector': { 'instance-identity': policy.chips === undefined ? 0 : 2, configuration: claims.debug || claims.migration ? 32 : 2, executables: 2, hardware, 'runtime-opaque': claims.debug ? 32 : 2 },
        'ear.appraisal-policy-id': hashOf(p, utf8(jcs(policy))),
        'ear.trustee.annotated-evidence': { tee: claims.tee, simulated: claims.simulated, measurement: claims.measurement, host_data: claims.hostData, product: claims.product },
      },
    },
  }
}
