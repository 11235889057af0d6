/** A store in a folder of its own, and documents under test roots of every vendor: nothing here chains to a real one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { utf8 } from '@cloister/core/bytes/text'
import { writePem } from '@cloister/core/crypto/pem'
import { nodePrimitives } from '../crypto/node.ts'
import { evidenceOf as intelEvidence, NOW, root as intelRoot } from '@cloister/core/evidence/dcap/dcap.fixture'
import { deviceAnswers, driverRim, evidenceOf as nvidiaEvidence, rimAnswers, testRoots as nvidiaRoots, vbiosRim } from '@cloister/core/evidence/nvidia/nvidia.fixture'
import { allTestRoots, arkList, snpInput, testRoots as amdRoots, type SnpPlan } from '@cloister/core/evidence/snp/snp.fixture'
import { addCollateral, type FileReport, type NewFile } from './add.ts'
import type { VendorRoots } from './roots.ts'
import { openCollateral, type CollateralStore } from './store.ts'

export { NOW }
export const DAY = 86_400
export const p = nodePrimitives

export const roots = (): VendorRoots => ({ amd: allTestRoots(), intel: intelRoot, intelAuthorities: [], nvidia: nvidiaRoots() })

/** A store that is gone when the test is over. */
export function newStore(context: { after(done: () => void): void }): CollateralStore {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-collateral-'))
  context.after(() => rmSync(folder, { recursive: true }))
  return openCollateral(join(folder, 'store'))
}

export const file = (name: string, bytes: Uint8Array | string): NewFile => ({ name, bytes: typeof bytes === 'string' ? utf8(bytes) : bytes })
export const add = (store: CollateralStore, ...files: NewFile[]): FileReport[] => addCollateral(p, store, files, NOW, roots())
/** What one file came to: the kinds that were filed, or the code of the refusal. */
export const outcomeOf = (report: FileReport | undefined): string => (report === undefined ? 'nothing' : report.outcome.ok ? report.outcome.value.filed.map(one => one.entry.kind).join(' ') : report.outcome.refusal.code)
export const addOne = (store: CollateralStore, ...files: NewFile[]): string => outcomeOf(add(store, ...files)[0])

// ---- AMD ------------------------------------------------------------------------------------------------------------

export const vek = (plan: SnpPlan = {}): Uint8Array => snpInput(plan).certificates[0] ?? new Uint8Array(0)
export const snpReport = (plan: SnpPlan = {}): string => toBase64(snpInput(plan).report)
export const amdChain = (product: 'Milan' | 'Genoa' | 'Turin' = 'Genoa'): string => [...amdRoots(product).intermediates.slice(0, 1), amdRoots(product).ark].map(one => writePem('CERTIFICATE', one.der)).join('')
export { arkList, snpInput }

// ---- Intel ----------------------------------------------------------------------------------------------------------

export { intelEvidence }
export const iso = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
/** Evidence whose TCB info and identity are in force in this window and have this number. */
export const intelAt = (from: number, until: number, number = 18, tee: 'tdx' | 'sgx' = 'tdx') => {
  const change = (json: Record<string, unknown>) => Object.assign(json, { issueDate: iso(from), nextUpdate: iso(until), tcbEvaluationDataNumber: number })
  return intelEvidence({ tee, tcbInfo: change, qeIdentity: change })
}
export const body = (name: 'tcbInfo' | 'enclaveIdentity', text: string, signature: string) => `{"${name}":${text},"signature":"${signature}"}`

// ---- NVIDIA ---------------------------------------------------------------------------------------------------------

export { deviceAnswers, driverRim, nvidiaEvidence, rimAnswers, vbiosRim }
export const rimFile = (name: string, base64: string) => file(name, fromBase64(base64))
