/**
 * Evidence documents of other systems, told apart by their shape and judged by the rooms that judge our own: Confidential
 * Containers, Tinfoil, Azure's confidential containers, dstack and the gateways on it, NVIDIA's SDK. Nothing is fetched:
 * collateral is in the document or handed in.
 *
 * No binding is invented. A device whose very evidence the CPU signed over stands in the claims' `devices`, as in a bundle;
 * one that only answered to the same nonce stands in `beside`, because anybody may have asked it, and is refused where a
 * whole machine is required. What a document says and nothing judged here proves is listed in `unbound`. Trusts the port.
 */
import { fromHex, toHex } from '../../bytes/hex.ts'
import { isObject, kindOf, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../../refusal.ts'
import { checkMachine, isNvidia, joined, type PartEvidence, type Role } from '../bundle/bundle.ts'
import type { Claims } from '../claims.ts'
import { withCollateral } from '../endorse.ts'
import { readDstackLog } from '../eventlog/dstack.ts'
import { proveEvents } from '../eventlog/replay.ts'
import { parseEvidence, verifyEvidence } from '../index.ts'
import { checkSaid, checkSet, type NvidiaTopology } from '../nvidia/set.ts'
import type { VerifyOptions } from '../options.ts'
import { readAsRequest, readAttester, readKbs, sdkDevices } from './coco.ts'
import { readContainers } from './containers.ts'
import { appOf, readDstack } from './dstack.ts'
import { has, shallow, type Bond, type Draft, type DraftDevice, type Form } from './form.ts'
import { readTinfoil } from './tinfoil.ts'
import { UVM_ISSUER, verifyUvm, type UvmEndorsement } from './uvm.ts'

export type { Bond, Form } from './form.ts'

/** A document whose shape is known; nothing of it is believed yet. */
export interface Foreign extends Omit<Draft, 'evidence' | 'devices'> {
  readonly evidence: PartEvidence
  readonly devices: readonly (Omit<DraftDevice, 'evidence'> & { readonly evidence: PartEvidence })[]
}

export interface ForeignGiven {
  /** Collateral of the CPU (`{ certificates?, crls?, collateral? }`), and under `devices` of each device in order. */
  readonly collateral?: Json
  /** What the verifier asked with, hex: ACI gateways do not repeat it. */
  readonly nonce?: string
}

/**
 * The form of a document and what is in it. Refuses `evidence.parse` (no known form, or another shape of one),
 * `evidence.unsupported`, `bytes.too-deep`, `evidence.simulated` (samples), `evidence.missing` (collateral), `evidence.binding` (the document
 * contradicts itself), `bytes.*`, `json.*`.
 *
 * @example
 * readForeign(p, { svn: '1', report_data: '' })
 * // → { ok: false, refusal: { code: 'evidence.simulated', at: 'evidence', … } }
 */
export function readForeign(p: Primitives, json: Json, given: ForeignGiven = {}): Result<Foreign> {
  return attempt(() => {
    const { evidence, devices = [], ...draft } = draftOf(p, shallow(json), given.nonce)
    const collateral = given.collateral ?? {}
    if (!isObject(collateral)) return refuse('evidence.collateral', 'collateral', 'an object', kindOf(collateral))
    const { devices: forDevices = [], ...forCpu } = collateral
    if (!Array.isArray(forDevices) || forDevices.length > devices.length) return refuse('evidence.collateral', 'collateral.devices', `a list for ${devices.length} devices`, Array.isArray(forDevices) ? String(forDevices.length) : kindOf(forDevices))
    return { ...draft, evidence: part(evidence, forCpu), devices: devices.map((one, i) => ({ ...one, evidence: part(one.evidence, forDevices[i] ?? {}) })) }
  })
}

function draftOf(p: Primitives, json: Json, nonce: string | undefined): Draft {
  if (Array.isArray(json)) return devicesOnly(json)
  if (!isObject(json)) return refuse('evidence.parse', 'document', 'a known form', kindOf(json))
  if (has(json, 'tee-evidence')) return readKbs(p, json)
  if (has(json, 'verification_requests')) return readAsRequest(p, json)
  return readTinfoil(p, json) ?? readDstack(p, json, nonce) ?? readContainers(p, json) ?? readAttester(json) ?? refuse('evidence.parse', 'document', 'a known form', Object.keys(json).slice(0, 8).join(', '))
}

/** NVIDIA's SDK hands out devices alone: the first stands for the machine, which it does not prove. */
function devicesOnly(json: Json): Draft {
  const [first, ...rest] = sdkDevices(json, 'nonce')
  const { evidence, said, nonce } = first as DraftDevice // an empty list was refused
  return { form: 'nvidia-sdk', evidence, ...(said === undefined ? {} : { said }), devices: rest, bindings: [{ claim: 'reportData', expected: nonce, of: 'the nonce beside the evidence' }], challenge: nonce, unbound: ['machine: no CPU says that these are its devices'] }
}

function part(evidence: JsonObject, collateral: Json): PartEvidence {
  return orRefuse(parseEvidence(orRefuse(withCollateral(evidence, collateral)))) as PartEvidence // no form has a bundle in it
}

/** What a document comes to when everything that it says about signed bytes is so. */
export interface ForeignVerdict {
  readonly form: Form
  /** The machine's: with devices that it signed over, and with the events of its log. */
  readonly claims: Claims
  /** Devices that are genuine and answered to the same nonce, and of which nothing says that they are this machine's. */
  readonly beside: readonly { readonly role: Role; readonly bond: Bond; readonly claims: Claims }[]
  readonly topology?: NvidiaTopology
  /** What was compared with what the CPU signed and held, in words. */
  readonly bindings: readonly string[]
  readonly keys: Readonly<Record<string, string>>
  readonly challenge?: string
  /** dstack: what proven events say about the app, name → hex. */
  readonly app?: Readonly<Record<string, string>>
  /** Azure's confidential containers: Microsoft's word for the measurement. */
  readonly endorsement?: UvmEndorsement
  readonly unbound: readonly string[]
}

export interface ForeignOptions extends VerifyOptions {
  /** Refuse a document with devices that the CPU did not sign over, or whose report data binds nothing in it. */
  readonly whole?: boolean
  /** What was asked with, hex: refuse a document that binds another challenge, or none. */
  readonly challenge?: string
  /** Whose endorsements of utility VMs count, a did:x509; Microsoft's by default. */
  readonly uvmIssuer?: string
}

/**
 * Judges a document: each part by its room, then every binding that the form has. Refuses what the rooms refuse, and
 * `evidence.binding` where two parts that must name each other do not.
 */
export function verifyForeign(p: Primitives, foreign: Foreign, options: ForeignOptions, judge: (evidence: PartEvidence, options: VerifyOptions) => Claims = (evidence, inner) => orRefuse(verifyEvidence(p, evidence, inner))): Result<ForeignVerdict> {
  return attempt(() => {
    const { form, bindings = [], keys = {}, unbound = [], challenge } = foreign
    const shared = { ...options, cache: options.cache ?? new Map() }
    if (options.challenge !== undefined && challenge !== options.challenge) return refuse('evidence.report-data', 'challenge', options.challenge, challenge ?? 'none that is bound', 'ask again: this document was made for another challenge')
    const cpu = checkedCpu(foreign, judge(foreign.evidence, shared))
    const proven = foreign.log === undefined ? cpu : withEvents(p, cpu, foreign.log)
    const app = foreign.log === undefined ? undefined : appOf(proven.events ?? [])
    if (foreign.compose !== undefined) checkCompose(p, foreign.compose, app)
    const devices = foreign.devices.map((one, i) => ({ role: one.role, bond: one.bond, claims: checkedDevice(one, judge(one.evidence, shared), `devices[${i}]`) }))
    const own = devices.filter(one => one.bond === 'digest').map(one => one.claims)
    const beside = devices.filter(one => one.bond !== 'digest')
    checkMachine(own.filter(isNvidia), proven.reportData)
    const set = [cpu, ...beside.map(one => one.claims)].filter(isNvidia)
    const endorsed = foreign.uvm === undefined ? undefined : verifyUvm(p, foreign.uvm, cpu.measurement, options.now, options.uvmIssuer ?? UVM_ISSUER)
    if (options.whole === true) checkWhole(foreign, beside.length)
    return {
      form, claims: own.length === 0 ? proven : joined(proven, own, proven.reportData), beside, ...(set.length === 0 ? {} : { topology: checkSet(set) }),
      bindings: bindings.filter(one => one.restated !== true).map(one => `${one.claim} is ${one.of}`), keys, ...(challenge === undefined ? {} : { challenge }), ...(app === undefined ? {} : { app }),
      ...(typeof endorsed === 'object' ? { endorsement: endorsed } : {}), unbound: [...(typeof endorsed === 'string' ? [`uvm_endorsements: ${endorsed}`] : []), ...unbound, ...bindings.filter(one => one.restated === true).map(one => `${one.claim}: the document repeats it, and has nothing that it is made from`)],
    }
  })
}

function checkedCpu(foreign: Foreign, claims: Claims): Claims {
  for (const { claim, expected, of } of foreign.bindings ?? []) {
    const got = claim === 'PCR8' ? claims.registers['PCR8'] ?? 'not quoted' : claims[claim]
    if (got !== expected) refuse('evidence.binding', `claims.${claim}`, `${expected}: ${of}`, got, 'the evidence was made for something else than the document says')
  }
  return checkedSaid(foreign.said, foreign.evidence, claims)
}

/** What is said beside an NVIDIA report must be what the device signed. */
function checkedSaid(said: Draft['said'], evidence: PartEvidence, claims: Claims): Claims {
  if (said !== undefined && isNvidia(claims) && evidence.kind === 'nvidia') checkSaid({ evidence, said }, claims)
  return claims
}

function checkedDevice(device: Foreign['devices'][number], claims: Claims, at: string): Claims {
  if (claims.reportData !== device.nonce) refuse('evidence.binding', `${at}.reportData`, device.nonce, claims.reportData)
  if (isNvidia(claims) && claims.facts.device !== device.role) refuse('evidence.binding', `${at}.role`, claims.facts.device, device.role)
  return checkedSaid(device.said, device.evidence, claims)
}

/** dstack's log replayed into the quote's registers. */
function withEvents(p: Primitives, claims: Claims, log: Json): Claims {
  const values = new Map([0, 1, 2, 3].map(n => [n + 1, fromHex(claims.registers[`RTMR${n}`] ?? '')]))
  return { ...claims, events: proveEvents(p, readDstackLog(p, log), { kind: 'rtmr', bank: 'sha384', values }).events }
}

function checkCompose(p: Primitives, compose: string, app: Readonly<Record<string, string>> | undefined): void {
  const digest = toHex(p.hash('sha256', utf8(compose)))
  const said = app?.['compose-hash']
  if (said !== digest) refuse('evidence.binding', 'app_compose', said ?? 'a compose-hash among the proven events', digest)
}

function checkWhole(foreign: Foreign, beside: number): void {
  if (beside > 0 || foreign.form === 'nvidia-sdk') refuse('evidence.binding', 'devices', 'devices whose evidence the CPU signed over', `${beside} that only answered to a nonce`, 'ask for a document that hashes the devices\' evidence into the CPU\'s report')
  if (!(foreign.bindings ?? []).some(one => one.claim === 'reportData' && one.restated !== true)) refuse('evidence.binding', 'claims.reportData', 'report data that binds what the document says', 'nothing to compare it with')
}
