/**
 * Judges the evidence of one NVIDIA GPU (Hopper, Blackwell) or NVSwitch (LS10), offline: the chain of the device to
 * NVIDIA's root, the SPDM signature, the firmware for which the device made its key, the golden values of signed reference
 * manifests, and what OCSP answers and revocation lists say about all of them (reference evidence.md sections B and D3).
 *
 * Trusts: the port and the pinned roots. What evidence does not bring is not refused but said: `facts.reference` tells
 * which manifests were compared, `revocation` whether every certificate was covered, and policy decides. What it brings
 * must hold, fit this device, and be needed.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { allZero, concat, equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { checkOcsp, parseOcsp, type OcspProof, type OcspResponse } from '../../crypto/ocsp.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate, parseCrl, validateChain, type Certificate, type Chain, type RevocationList } from '../../crypto/x509.ts'
import { orRefuse, refuse } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { onlyFields, textOf, textsOf } from '../shape.ts'
import { deviceIdentity, type DeviceIdentity } from './device.ts'
import { compareGolden, type ReferenceResult } from './golden.ts'
import { OWN, strayIn, verifyRim, type VerifiedRim } from './rim.ts'
import { nvidiaRoots, type NvidiaRoots } from './roots.ts'
import { OPAQUE, opaqueField, opaqueText, parseNvidiaReport, vbiosVersion, type NvidiaReport } from './spdm.ts'

/** Evidence of one device as it travels; binary parts in standard base64. */
export interface NvidiaEvidence {
  readonly kind: 'nvidia'
  /** The SPDM request (37 bytes) and the response to it. */
  readonly report: string
  /** DER, the device's leaf first; the root may be left out. */
  readonly certificates: readonly string[]
  /** Reference manifests, XML: of driver and VBIOS for a GPU, of the firmware for a switch. */
  readonly rims?: readonly string[]
  /** OCSP responses, DER, about certificates of the device's chain or of the manifests' signers. */
  readonly ocsp?: readonly string[]
  readonly crls?: readonly string[]
}

export interface NvidiaFacts {
  readonly kind: 'nvidia'
  readonly device: 'gpu' | 'switch'
  /** Of the leaf, hex: another for each firmware. */
  readonly serial: string
  /** Eight bytes, hex, by which GPUs and switches name each other. */
  readonly pdi: string
  /** '' for a switch. */
  readonly driver: string
  readonly vbios: string
  /** Digest of the firmware for which the device made the leaf; `fwidReported` when the report repeats it (switches and the first drivers for Hopper do not). */
  readonly fwid: string
  readonly fwidReported: boolean
  /** TCG DICE OperationalFlags of the leaf, hex, where it has them (Blackwell). */
  readonly flags?: string
  /** How the GPU is used: one GPU passed through, several, or all with their switches (protected PCIe); 'not-stated' by older firmware and switches. */
  readonly mode: 'single' | 'multi' | 'ppcie' | 'not-stated'
  /** PDIs at the other ends of its links: of a GPU's switches, of a switch's GPUs; sorted, hex. */
  readonly peers: readonly string[]
  readonly board: Readonly<Record<string, string>>
  /** What was compared with golden values; empty when the evidence brought no manifest. */
  readonly reference: readonly ReferenceResult[]
  /** Golden values of all firmware were compared: driver and VBIOS of a GPU, firmware of a switch. */
  readonly referenceComplete: boolean
}

/**
 * The claims of one device. `measurement`: SHA-384 over every measurement in order (index, type, 48 bytes of value), which
 * changes with firmware, configuration and driver state. `registers`: M01 … M64. `reportData`: the nonce, 32 bytes.
 * `debug`: as far as the leaf says it (Blackwell); matching golden values exclude debug firmware on the others.
 * `chipId`: the identity that NVIDIA gave the device when it was made; it stays when firmware changes.
 */
export type NvidiaClaims = ClaimsOf<NvidiaFacts>

const LIMITS = { certificates: 8, rims: 2, ocsp: 16, crls: 8, crlBytes: 256 * 1024 }

/** Shape only. Refuses `evidence.parse`. */
export function readNvidia(json: JsonObject): NvidiaEvidence {
  onlyFields(json, ['kind', 'report', 'certificates', 'rims', 'ocsp', 'crls'])
  const list = (key: 'rims' | 'ocsp' | 'crls') => (json[key] === undefined ? {} : { [key]: textsOf(json, key, LIMITS[key]) })
  return { kind: 'nvidia', report: textOf(json, 'report'), certificates: textsOf(json, 'certificates', LIMITS.certificates), ...list('rims'), ...list('ocsp'), ...list('crls') }
}

interface Parts { readonly report: NvidiaReport; readonly rims: readonly Uint8Array[]; readonly responses: readonly OcspResponse[]; readonly lists: readonly RevocationList[] }
interface DeviceChain { readonly leaf: Certificate; readonly chain: Chain; readonly identity: DeviceIdentity; readonly notBefore: number; readonly notAfter: number }

/**
 * The claims of a device in whose evidence everything holds. Leaves with `evidence.*`, `bytes.*`, `xml.*`, `x509.*` or `crl.*`.
 * With `requireCrl`, every certificate that NVIDIA issued must be covered by an OCSP answer or a list.
 */
export function verifyNvidia(p: Primitives, evidence: NvidiaEvidence, options: VerifyOptions, roots: NvidiaRoots = nvidiaRoots()): NvidiaClaims {
  const parts = partsOf(evidence)
  const device = deviceChain(p, evidence, parts.lists, options, roots)
  const { leaf, identity, chain } = device
  checkSignature(p, parts.report, leaf)
  checkDevice(parts.report, identity)
  const rims = parts.rims.map(document => remember(p, options, 'nvidia-rim', [document, roots.rim.der, ...parts.lists.map(one => one.der)], () => verifyRim(p, document, { now: options.now, root: roots.rim, crls: parts.lists })))
  const firmware = firmwareOf(parts.report, identity)
  const reference = compareGolden(parts.report, identity, firmware, rims)
  // The leaf's issuer is the device itself: NVIDIA can revoke the device, which stands above, but not the leaf.
  const checked = checkRevocation(p, [{ chain, from: 1 }, ...rims.map(rim => ({ chain: rim.chain, from: 0 }))], parts, options)
  checkWithdrawn(identity, firmware, reference, checked.covered)
  return claimsOf(p, { parts, device, rims, firmware, reference, proofs: checked.proofs, covered: checked.covered.every(one => one) })
}

function partsOf(evidence: NvidiaEvidence): Parts {
  const sized = (der: Uint8Array, at: string) => (der.length <= LIMITS.crlBytes ? der : refuse('bytes.too-large', at, `at most ${LIMITS.crlBytes} bytes`, `${der.length} bytes`))
  const bytes = (list: readonly string[] | undefined, name: string) => (list ?? []).map((one, i) => fromBase64(one, `${name}[${i}]`))
  return {
    report: parseNvidiaReport(fromBase64(evidence.report, 'report')), rims: bytes(evidence.rims, 'rims'),
    responses: bytes(evidence.ocsp, 'ocsp').map((der, i) => orRefuse(parseOcsp(der, `ocsp[${i}]`))), lists: bytes(evidence.crls, 'crls').map((der, i) => orRefuse(parseCrl(sized(der, `crls[${i}]`), `crls[${i}]`))),
  }
}

function deviceChain(p: Primitives, evidence: NvidiaEvidence, lists: readonly RevocationList[], options: VerifyOptions, roots: NvidiaRoots): DeviceChain {
  const ders = evidence.certificates.map((one, i) => fromBase64(one, `certificates[${i}]`))
  return remember(p, options, 'nvidia-device', [roots.device.der, ...ders, ...lists.map(one => one.der)], () => {
    const [leaf, ...others] = ders.map((der, i) => orRefuse(parseCertificate(der, `certificates[${i}]`)))
    if (leaf === undefined) return refuse('evidence.missing', 'certificates', 'the certificates of the device', 'none', 'take them with the report: the driver hands out both')
    const result = validateChain(p, { leaf, intermediates: others, roots: [roots.device], at: options.now, crls: lists })
    if (!result.ok) {
      const { code, at, expected, got, fix } = result.refusal
      return OWN.some(name => code.startsWith(name)) ? refuse(code, at, expected, got, fix) : refuse('evidence.chain', `${at} (${code})`, expected, got, fix)
    }
    const chain = result.value
    checkPath(chain, others)
    const [, maker = leaf] = chain.path
    return { leaf, chain, identity: deviceIdentity(leaf, maker), notBefore: chain.notBefore, notAfter: chain.notAfter }
  })
}

/** Leaf, device, at least one authority, root; and nothing that is not on the path. */
function checkPath(chain: Chain, others: readonly Certificate[]): void {
  if (chain.path.length < 4) refuse('evidence.chain', 'certificates', 'leaf, device, authorities and root', `${chain.path.length} certificates`)
  const stray = strayIn(chain, others)
  if (stray >= 0) refuse('evidence.chain', `certificates[${stray + 1}]`, chain.path.map(used => used.subjectCommonName).join(' ← '), others[stray]?.subjectCommonName ?? '', 'leave out what is not part of the chain')
}

function checkSignature(p: Primitives, report: NvidiaReport, leaf: Certificate): void {
  if (leaf.publicKey.kind !== 'p384') refuse('evidence.chain', 'certificates[0]', 'a P-384 key', leaf.publicKey.kind)
  if (!p.verify('ecdsa-p384-sha384', leaf.publicKey, report.signed, report.signature)) refuse('evidence.signature', 'report.signature', `a signature by ${leaf.subjectCommonName}`, 'one that does not hold')
}

/** Where report and certificates must say the same: the firmware of a GPU, the name of a switch. */
function checkDevice(report: NvidiaReport, identity: DeviceIdentity): void {
  if (identity.device === 'gpu') {
    if (fwidLeftOut(report, identity)) return
    const fwid = toHex(opaqueField(report, 'fwid', 48))
    if (fwid !== identity.fwid) refuse('evidence.binding', 'report.opaque.fwid', identity.fwid, fwid)
    return
  }
  // Firmware writes the eight bytes in either order.
  const pdi = opaqueField(report, 'switchPdi', 8)
  if (![toHex(pdi), toHex(pdi.slice().reverse())].includes(identity.pdi)) refuse('evidence.chip-id', 'report.opaque.switchPdi', identity.pdi, toHex(pdi))
}

/** The first drivers for Hopper did not repeat it; the leaf, made by the device for this firmware alone, still says it. */
const fwidLeftOut = (report: NvidiaReport, identity: DeviceIdentity) => identity.product.startsWith('GH') && !report.opaque.has(OPAQUE.fwid)

export interface Firmware { readonly driver: string; readonly vbios: string }

function firmwareOf(report: NvidiaReport, identity: DeviceIdentity): Firmware {
  const firmware = identity.device === 'gpu' ? { driver: opaqueText(report, 'driverVersion'), vbios: vbiosVersion(opaqueField(report, 'vbiosVersion', 8)) } : { driver: '', vbios: opaqueText(report, 'vbiosVersion') }
  if (identity.device === 'gpu' && !/^\d{3,4}(?:\.\d{1,4}){1,3}$/.test(firmware.driver)) refuse('evidence.parse', 'report.opaque.driverVersion', 'a version', firmware.driver)
  if (!/^[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}$/.test(firmware.vbios)) refuse('evidence.parse', 'report.opaque.vbiosVersion', 'a version of five bytes', firmware.vbios)
  return firmware
}

/**
 * Firmware whose manifest NVIDIA took back, by a certificate that its OCSP calls on hold (NVIDIA/attestation-sdk at 73c032e,
 * test `Certhold`). Evidence with it is refused unless it brings the manifest and answers that call its signer good.
 */
const WITHDRAWN: readonly { readonly product: string; readonly driver: string }[] = [{ product: 'GH100', driver: '570.86.10' }]

function checkWithdrawn(identity: DeviceIdentity, firmware: Firmware, reference: readonly ReferenceResult[], covered: readonly boolean[]): void {
  if (!WITHDRAWN.some(one => one.product === identity.product && one.driver === firmware.driver)) return
  const rim = reference.findIndex(one => one.role === 'driver')
  if (rim < 0 || covered[rim + 1] !== true) refuse('x509.revoked', 'report.opaque.driverVersion', `a driver whose manifest is in force for ${identity.product}`, `${firmware.driver}: the signer of its manifest is on hold`, 'use another driver, or bring its manifest with OCSP answers for its signer')
}

/** Every answer and list must be about a certificate here; `covered` tells for each chain whether all of it was examined. */
function checkRevocation(p: Primitives, chains: readonly { chain: Chain; from: number }[], parts: Parts, options: VerifyOptions): { proofs: readonly OcspProof[]; covered: readonly boolean[] } {
  const proofs: OcspProof[] = []
  const covered = chains.map(({ chain, from }) => chain.path.slice(from, -1).map((certificate, i) => {
    const issuer = chain.path[from + i + 1] ?? certificate
    const proof = orRefuse(checkOcsp(p, { certificate, issuer, responses: parts.responses, at: options.now }))
    if (proof !== undefined) proofs.push(proof)
    const examined = proof !== undefined || chain.crls.some(list => equal(list.issuer, certificate.issuer))
    if (!examined && options.requireCrl === true) refuse('crl.missing', certificate.subjectCommonName, `an OCSP answer or a revocation list of ${issuer.subjectCommonName}`, 'none', 'ask the responder and add its answer to the evidence')
    return examined
  }).every(one => one))
  parts.responses.forEach((response, i) => {
    if (!proofs.some(proof => proof.response === response)) refuse('evidence.collateral', `ocsp[${i}]`, 'an answer about a certificate of this evidence, once', 'another', 'leave out what is not needed')
  })
  parts.lists.forEach((list, i) => {
    if (!chains.some(({ chain }) => chain.crls.some(used => equal(used.der, list.der)))) refuse('evidence.collateral', `crls[${i}]`, 'a list of an authority of this evidence', 'another', 'leave out what is not needed')
  })
  return { proofs, covered }
}

interface Held { readonly parts: Parts; readonly device: DeviceChain; readonly rims: readonly VerifiedRim[]; readonly firmware: Firmware; readonly reference: readonly ReferenceResult[]; readonly proofs: readonly OcspProof[]; readonly covered: boolean }

function claimsOf(p: Primitives, held: Held): NvidiaClaims {
  const { parts: { report }, device: { identity, chain }, rims, proofs } = held
  const windows = [held.device, ...rims, ...proofs]
  const documents = [...chain.path, ...chain.crls].map(one => one.der).concat(rims.flatMap(rim => [rim.document, ...[...rim.chain.path, ...rim.chain.crls].map(one => one.der)]), proofs.map(proof => proof.response.der))
  return {
    tee: 'nvidia', simulated: false, product: identity.product, signer: 'device',
    measurement: toHex(p.hash('sha384', concat(...report.measurements.flatMap(one => [new Uint8Array([one.index, one.type]), one.value])))),
    registers: Object.fromEntries(report.measurements.map(one => [`M${String(one.index).padStart(2, '0')}`, toHex(one.value)])),
    reportData: report.nonce, hostData: '', debug: identity.debug, migration: false, chipId: identity.chipId,
    validity: { notBefore: Math.max(...windows.map(one => one.notBefore)), notAfter: Math.min(...windows.map(one => one.notAfter)) },
    endorsements: [...new Set(documents.map(one => `sha256:${toHex(p.hash('sha256', one))}`))],
    revocation: held.covered, facts: factsOf(held),
  }
}

function factsOf({ parts: { report }, device: { identity }, firmware, reference }: Held): NvidiaFacts {
  return {
    kind: 'nvidia', device: identity.device, serial: identity.serial, pdi: identity.pdi, ...firmware, fwid: identity.fwid, fwidReported: report.opaque.has(OPAQUE.fwid), ...(identity.flags === undefined ? {} : { flags: identity.flags }),
    mode: modeOf(report), peers: peersOf(report, identity), board: boardOf(report), reference, referenceComplete: reference.length === (identity.device === 'gpu' ? 2 : 1),
  }
}

const FEATURES = ['multi', 'single', 'ppcie'] as const

/** The feature flag, where the firmware writes one, and the older PPCIE status, which must not contradict it. */
function modeOf(report: NvidiaReport): NvidiaFacts['mode'] {
  const status = report.opaque.get(OPAQUE.ppcieStatus)
  if (status !== undefined && !['55', 'aa'].includes(toHex(status))) refuse('evidence.parse', 'report.opaque.ppcieStatus', '55 (off) or aa (on)', toHex(status))
  const on = status?.[0] === 0xaa
  const flag = report.opaque.get(OPAQUE.featureFlag)
  if (flag === undefined) return on ? 'ppcie' : 'not-stated'
  const mode = flag.length === 2 && flag[1] === 0 ? FEATURES[flag[0] ?? 255] : undefined
  if (mode === undefined || (status !== undefined && on !== (mode === 'ppcie'))) return refuse('evidence.parse', 'report.opaque.featureFlag', 'a known feature that fits the PPCIE status', toHex(flag))
  return mode
}

const PDI_BYTES = 8
const SWITCH_PEERS = 8

/** A GPU writes the PDIs of its switches, one for each link, last byte first; a switch those of its GPUs, first byte first. */
function peersOf(report: NvidiaReport, identity: DeviceIdentity): string[] {
  const field = report.opaque.get(identity.device === 'gpu' ? OPAQUE.switchPdi : OPAQUE.gpuPdis)
  if (field === undefined) return []
  const list = identity.device === 'gpu' ? field : field.subarray(0, SWITCH_PEERS * PDI_BYTES)
  if (list.length % PDI_BYTES !== 0) refuse('evidence.parse', 'report.opaque', `PDIs of ${PDI_BYTES} bytes`, `${list.length} bytes`)
  const each = Array.from({ length: list.length / PDI_BYTES }, (_, i) => list.slice(i * PDI_BYTES, (i + 1) * PDI_BYTES))
  const named = each.filter(one => !allZero(one) && !one.every(byte => byte === 0xff)).map(one => toHex(identity.device === 'gpu' ? one.reverse() : one))
  return [...new Set(named)].sort()
}

function boardOf(report: NvidiaReport): Record<string, string> {
  const names = ['project', 'projectSku', 'projectSkuMod', 'chipSku', 'chipSkuMod'] as const
  return Object.fromEntries(names.flatMap(name => (opaqueText(report, name) === '' ? [] : [[name, opaqueText(report, name)]])))
}
