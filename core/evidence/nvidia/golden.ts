/**
 * Compares signed measurements with the golden values of verified reference manifests. Each manifest must be for this
 * product and the exact version that the device reports; driver and VBIOS may not both claim one index. Trusts that the
 * report's signature and the manifests were verified.
 */
import { toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'
import type { DeviceIdentity } from './device.ts'
import type { RimContent } from './rim.ts'
import { opaqueField, type NvidiaReport } from './spdm.ts'

export interface ReferenceResult {
  readonly role: 'driver' | 'vbios'
  readonly version: string
  /** tagId of the manifest. */
  readonly id: string
  /** How many active golden values there are, and how many of them the report matches: all but those skipped. */
  readonly active: number
  readonly matched: number
  /** SPDM indexes that say nothing on this device (NVDEC 0 is switched off) and differ. */
  readonly skipped: readonly number[]
}

/** The manifest counts from 0, SPDM from 1. */
const spdmIndex = (index: number) => index + 1
/** The firmware of NVDEC 0, by the manifest's index: without meaning while the engine is off. */
const NVDEC0_INDEX = 35

/** Leaves with `evidence.collateral` (not for this device or twice) or `evidence.reference` (a value differs). */
export function compareGolden(report: NvidiaReport, identity: DeviceIdentity, firmware: { readonly driver: string; readonly vbios: string }, rims: readonly RimContent[]): ReferenceResult[] {
  const roles = rims.map((rim, i) => roleOf(rim, identity, firmware, `rims[${i}]`))
  if (new Set(roles).size !== roles.length) refuse('evidence.collateral', 'rims', 'one manifest for driver and one for VBIOS', roles.join(', '))
  checkConflicts(rims)
  const nvdecOff = identity.device === 'gpu' && rims.length > 0 && readNvdec(report) === 'off'
  return rims.map((rim, i) => compare(report, rim, roles[i] ?? 'vbios', nvdecOff))
}

function roleOf(rim: RimContent, identity: DeviceIdentity, firmware: { readonly driver: string; readonly vbios: string }, at: string): 'driver' | 'vbios' {
  const edition = identity.device === 'gpu' ? 'GPU' : 'SWITCH'
  if (rim.product !== identity.product || rim.edition !== edition) refuse('evidence.collateral', at, `a manifest for ${edition} ${identity.product}`, `one for ${rim.edition} ${rim.product}`)
  if (identity.device === 'gpu' && rim.version === firmware.driver) return 'driver'
  if (rim.version.toUpperCase() === firmware.vbios) return 'vbios'
  return refuse('evidence.collateral', at, `a manifest for ${[firmware.driver, firmware.vbios].filter(one => one !== '').join(' or ')}`, `one for ${rim.version}`, 'fetch the manifest of the version that the device runs')
}

function checkConflicts(rims: readonly RimContent[]): void {
  const [first, second] = rims.map(rim => new Set(rim.golden.filter(one => one.active).map(one => one.index)))
  const both = [...(first ?? [])].filter(index => second?.has(index) === true)
  if (both.length > 0) refuse('evidence.collateral', 'rims', 'each index in one manifest only', `both have ${both.join(', ')}`)
}

function readNvdec(report: NvidiaReport): 'on' | 'off' {
  const status = toHex(opaqueField(report, 'nvdec0Status', 1))
  return status === 'aa' ? 'on' : status === '55' ? 'off' : refuse('evidence.parse', 'report.opaque.nvdec0Status', '55 (off) or aa (on)', status)
}

function compare(report: NvidiaReport, rim: RimContent, role: ReferenceResult['role'], nvdecOff: boolean): ReferenceResult {
  const active = rim.golden.filter(one => one.active)
  if (active.length === 0) refuse('evidence.collateral', `rims.${role}`, 'at least one active value', 'none')
  const skipped: number[] = []
  for (const golden of active) {
    const index = spdmIndex(golden.index)
    const measured = report.measurements.find(one => one.index === index)
    const have = measured === undefined ? 'no such measurement' : toHex(measured.value)
    if (golden.hashes.includes(have)) continue
    if (golden.index !== NVDEC0_INDEX || !nvdecOff) refuse('evidence.reference', `measurements[${index}]`, `${golden.hashes.join(' or ')} (${role} ${rim.version})`, have, 'the firmware that runs is not the one that NVIDIA published under this version')
    skipped.push(index)
  }
  return { role, version: rim.version, id: rim.id, active: active.length, matched: active.length - skipped.length, skipped }
}
