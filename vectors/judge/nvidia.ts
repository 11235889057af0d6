/**
 * Judges the NVIDIA cases of a manifest. `valid_at` is the time of the device's chain. Manifests are signed anew every two
 * years and OCSP answers hold for a day, and a case brings those that were found: each is judged at the time nearest to
 * `valid_at` at which it was in force, here and nowhere else; `verifyNvidia` itself refuses what is out of date. A case of
 * kind `rim` is about a manifest alone, and `valid_at` is its own time; `rim-parse` is about reading only.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { parseJson } from '@cloister/core/bytes/json'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { readXml } from '@cloister/core/bytes/xml'
import { checkOcsp, parseOcsp, type OcspResponse } from '@cloister/core/crypto/ocsp'
import { readPem } from '@cloister/core/crypto/pem'
import { parseCertificate, type Certificate } from '@cloister/core/crypto/x509'
import { compareGolden, type ReferenceResult } from '@cloister/core/evidence/nvidia/golden'
import { deviceIdentity } from '@cloister/core/evidence/nvidia/device'
import { readPayload, verifyRim, type VerifiedRim } from '@cloister/core/evidence/nvidia/rim'
import { nvidiaRoots } from '@cloister/core/evidence/nvidia/roots'
import { checkSaid, checkSet, readSdkEvidence } from '@cloister/core/evidence/nvidia/set'
import { OPAQUE, parseNvidiaReport, type NvidiaReport } from '@cloister/core/evidence/nvidia/spdm'
import { verifyNvidia, type NvidiaClaims } from '@cloister/core/evidence/nvidia/verify'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { differences, filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'

export function judge(one: Case, read: Read): Judgement {
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const rims = one.files.filter(file => file.role.startsWith('rim')).map(file => read(file.path))
  const [report] = filesOf(one, 'report', read)
  const [evidence] = filesOf(one, 'evidence', read)
  if (report !== undefined) return judgeReport(one, report, { chain: filesOf(one, 'chain', read), rims, ocsp: filesOf(one, 'ocsp', read), now })
  if (evidence !== undefined) return judgeSet(one, evidence, now)
  if (rims.length === 0) return judged('unsupported', [])
  const result = attempt(() => rims.forEach(rim => (one.kind === 'rim-parse' ? readPayload(readXml(rim)) : verifyRim(p, rim, { now, root: nvidiaRoots().rim }))))
  return result.ok ? judged(one.kind === 'rim-parse' ? 'parse' : 'accept', []) : judged('reject', [], result.refusal)
}

interface Files { readonly chain: readonly Uint8Array[]; readonly rims: readonly Uint8Array[]; readonly ocsp: readonly Uint8Array[]; readonly now: number }

function judgeReport(one: Case, bytes: Uint8Array, files: Files): Judgement {
  const result = attempt(() => {
    const chain = files.chain.flatMap(pem => readPem(fromUtf8(pem), 'CERTIFICATE'))
    const claims = verifyNvidia(p, { kind: 'nvidia', report: toBase64(bytes), certificates: chain.map(toBase64) }, { now: files.now })
    return { claims, reference: withDocuments(parseNvidiaReport(bytes), claims, chain, files) }
  })
  const parsed = attempt(() => parseNvidiaReport(bytes))
  const differs = [
    ...(parsed.ok ? differences(one.expect['fields'] ?? {}, fieldsOf(parsed.value), 'fields') : []),
    ...(result.ok ? referenceDiffers(one, result.value.reference) : []),
  ]
  if (!result.ok) return judged('reject', differs, result.refusal)
  return judged(result.value.claims.debug ? 'reject' : 'accept', differs)
}

/** The manifests against the report, and every OCSP answer, each at its own time. */
function withDocuments(report: NvidiaReport, claims: NvidiaClaims, chain: readonly Uint8Array[], files: Files): ReferenceResult[] {
  const rims = files.rims.map(rim => inForce(now => verifyRim(p, rim, { now, root: nvidiaRoots().rim }), files.now))
  const certificates = chain.map(der => orRefuse(parseCertificate(der)))
  const [leaf, maker] = certificates
  if (leaf === undefined || maker === undefined) return refuse('evidence.missing', 'chain', 'a chain', 'none')
  const responses = files.ocsp.map(der => orRefuse(parseOcsp(der[0] === 0x30 ? der : fromBase64(fromUtf8(der).trim()))))
  checkAnswers(responses, [certificates.slice(1), ...rims.map(rim => rim.chain.path)])
  return compareGolden(report, deviceIdentity(leaf, maker), claims.facts, rims)
}

function checkAnswers(responses: readonly OcspResponse[], paths: readonly (readonly Certificate[])[]): void {
  const pairs = paths.flatMap(path => path.slice(0, -1).map((certificate, i) => ({ certificate, issuer: path[i + 1] ?? certificate })))
  for (const response of responses) {
    const at = Math.max(...response.answers.map(answer => answer.thisUpdate))
    const proofs = pairs.map(pair => orRefuse(checkOcsp(p, { ...pair, responses: [response], at })))
    if (!proofs.some(proof => proof !== undefined)) refuse('evidence.collateral', 'ocsp', 'an answer about a certificate of this case', 'another')
  }
}

/** The result at a time, or at the nearest at which the signer's chain was in force. */
function inForce(run: (now: number) => VerifiedRim, now: number): VerifiedRim {
  const first = attempt(() => run(now))
  if (first.ok) return first.value
  const edge = ['x509.expired', 'x509.not-yet-valid'].includes(first.refusal.code) ? Number(/\d+$/.exec(first.refusal.expected)?.[0]) : Number.NaN
  return Number.isNaN(edge) ? orRefuse(first) : run(edge)
}

/** The manifest shows no more of a digest. */
const SHOWN_DIGITS = 16

function judgeSet(one: Case, bytes: Uint8Array, now: number): Judgement {
  const result = attempt(() => {
    const devices = readSdkEvidence(parseJson(bytes))
    const claims = devices.map(device => {
      const held = verifyNvidia(p, device.evidence, { now })
      checkSaid(device, held)
      return held
    })
    checkSet(claims)
    return claims.map((each, i) => ({ arch: devices[i]?.said.arch, sha256: toHex(p.hash('sha256', fromBase64(devices[i]?.evidence.report ?? ''))).slice(0, SHOWN_DIGITS), nonce_ok: devices[i]?.said.nonce === each.reportData, signature: true, serial: `5.4.5=${each.facts.serial.toUpperCase()}` }))
  })
  return result.ok ? judged('accept', differences(one.expect['fields'] ?? [], result.value, 'fields')) : judged('reject', [], result.refusal)
}

/** `driver 21/21 and vbios 12/12 active measurements match (…)`. */
function referenceDiffers(one: Case, reference: readonly ReferenceResult[]): string[] {
  const expected = 'rim_result' in one && typeof one.rim_result === 'string' ? [...one.rim_result.matchAll(/\b(driver|vbios) (\d+)\/(\d+)/g)].map(([, role, matched, active]) => [role, Number(matched), Number(active)]) : []
  const got = reference.map(each => [each.role, each.matched, each.active]).sort()
  return expected.length === 0 ? [] : differences(expected.sort(), got, 'rim_result')
}

const NAMES: Record<number, string> = {
  [OPAQUE.driverVersion]: 'DRIVER_VERSION', [OPAQUE.gpuInfo]: 'GPU_INFO', [OPAQUE.vbiosVersion]: 'VBIOS_VERSION', [OPAQUE.nvdec0Status]: 'NVDEC0_STATUS', [OPAQUE.measurementCounts]: 'MSRSCNT', [OPAQUE.cprInfo]: 'CPRINFO', [OPAQUE.boardId]: 'BOARD_ID',
  [OPAQUE.chipSku]: 'CHIP_SKU', [OPAQUE.chipSkuMod]: 'CHIP_SKU_MOD', [OPAQUE.project]: 'PROJECT', [OPAQUE.projectSku]: 'PROJECT_SKU', [OPAQUE.projectSkuMod]: 'PROJECT_SKU_MOD', [OPAQUE.fwid]: 'FWID', [OPAQUE.ppcieStatus]: 'PROTECTED_PCIE_STATUS', [OPAQUE.switchPdi]: 'SWITCH_PDI',
  [OPAQUE.floorsweptPorts]: 'FLOORSWEPT_PORTS', [OPAQUE.positionId]: 'POSITION_ID', [OPAQUE.lockStatus]: 'LOCK_SWITCH_STATUS', [OPAQUE.sysEnableStatus]: 'SYS_ENABLE_STATUS', [OPAQUE.dataVersion]: 'OPAQUE_DATA_VERSION', [OPAQUE.featureFlag]: 'FEATURE_FLAG',
}
const TEXTS: readonly number[] = [OPAQUE.driverVersion, OPAQUE.chipSku, OPAQUE.chipSkuMod, OPAQUE.project, OPAQUE.projectSku, OPAQUE.projectSkuMod]

function fieldsOf(report: NvidiaReport): Record<string, unknown> {
  const value = (type: number, bytes: Uint8Array) => (TEXTS.includes(type) ? fromUtf8(bytes).replace(/\0+$/, '') : toHex(bytes))
  return {
    nonce: report.nonce, spdm_version: `0x${report.version.toString(16)}`, measurement_count: report.measurements.length, measurements: Object.fromEntries(report.measurements.map(each => [String(each.index), toHex(each.value)])),
    opaque: Object.fromEntries([...report.opaque].map(([type, bytes]) => [NAMES[type] ?? String(type), value(type, bytes)])), trailing_bytes: 0,
  }
}
