/**
 * Several NVIDIA devices as one machine: every device once, all asked with one nonce, and whom their links name. Nothing
 * here verifies signatures; it reads claims that `verifyNvidia` gave. Also the JSON in which NVIDIA's tools hand evidence
 * around, whose own words (architecture, nonce, versions) must be those that the device signed.
 */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { isObject, kindOf, type Json, type JsonObject } from '../../bytes/json.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import { refuse } from '../../refusal.ts'
import type { NvidiaClaims, NvidiaEvidence } from './verify.ts'

export interface NvidiaTopology {
  readonly gpus: number
  readonly switches: number
  /** Every GPU uses protected PCIe. */
  readonly ppcie: boolean
  /** PDIs that a link of some device names and that no device here has; hex, sorted. Empty: the set is closed. */
  readonly absent: readonly string[]
  /** Devices that have links and are named by none of those at the other ends that are here; `pdi→pdi`, sorted. */
  readonly oneSided: readonly string[]
}

const DEVICES_MAX = 64

/** Leaves with `evidence.missing` (no device) or `evidence.binding` (a device twice, another nonce). */
export function checkSet(devices: readonly NvidiaClaims[]): NvidiaTopology {
  const [first] = devices
  if (first === undefined) return refuse('evidence.missing', 'devices', 'at least one device', 'none')
  if (devices.length > DEVICES_MAX) refuse('bytes.too-large', 'devices', `at most ${DEVICES_MAX}`, String(devices.length))
  devices.forEach((one, i) => {
    if (one.reportData !== first.reportData) refuse('evidence.binding', `devices[${i}].nonce`, first.reportData, one.reportData, 'ask all devices with one nonce')
    const same = devices.findIndex(other => other.chipId === one.chipId || other.facts.serial === one.facts.serial)
    if (same !== i) refuse('evidence.binding', `devices[${i}]`, 'each device once', `the device of devices[${same}] (${one.chipId})`)
  })
  return topologyOf(devices)
}

function topologyOf(devices: readonly NvidiaClaims[]): NvidiaTopology {
  const gpus = devices.filter(one => one.facts.device === 'gpu')
  const here = new Map(devices.map(one => [one.facts.pdi, one.facts]))
  const links = devices.flatMap(({ facts }) => facts.peers.map(peer => ({ from: facts.pdi, to: peer })))
  const absent = links.filter(({ to }) => !here.has(to)).map(({ to }) => to)
  const oneSided = links.filter(({ from, to }) => here.has(to) && here.get(to)?.peers.includes(from) !== true).map(({ from, to }) => `${from}→${to}`)
  return { gpus: gpus.length, switches: devices.length - gpus.length, ppcie: gpus.length > 0 && gpus.every(one => one.facts.mode === 'ppcie'), absent: [...new Set(absent)].sort(), oneSided: [...new Set(oneSided)].sort() }
}

/** One entry of the list that NVIDIA's SDK writes. */
export interface SdkDevice { readonly evidence: NvidiaEvidence; readonly said: { readonly arch: string; readonly nonce: string; readonly driver?: string; readonly vbios?: string } }

const SDK_FIELDS = ['arch', 'nonce', 'evidence', 'certificate', 'version', 'driver_version', 'vbios_version']
const ARCHITECTURES: Record<string, RegExp> = { HOPPER: /^GH\d{3}$/, BLACKWELL: /^GB\d{3}$/, LS10: /^LS10$/ }

/** The list of devices in the SDK's JSON: `evidence` is the report, `certificate` a PEM chain, both in base64. Leaves with `evidence.parse` or `bytes.encoding`. */
export function readSdkEvidence(json: Json): SdkDevice[] {
  if (!Array.isArray(json) || json.length === 0 || json.length > DEVICES_MAX) return refuse('evidence.parse', 'evidence', `a list of 1 to ${DEVICES_MAX} devices`, kindOf(json))
  return json.map((one: Json, i) => (isObject(one) ? sdkDevice(one, `evidence[${i}]`) : refuse('evidence.parse', `evidence[${i}]`, 'an object', kindOf(one))))
}

/** What the list says beside a report must be what the report says. Leaves with `evidence.product`, `evidence.report-data` or `evidence.binding`. */
export function checkSaid({ said }: SdkDevice, claims: NvidiaClaims): void {
  if (!Object.hasOwn(ARCHITECTURES, said.arch) || ARCHITECTURES[said.arch]?.test(claims.product) !== true) refuse('evidence.product', 'evidence.arch', claims.product, said.arch)
  if (said.nonce !== claims.reportData) refuse('evidence.report-data', 'evidence.nonce', claims.reportData, said.nonce)
  for (const name of ['driver', 'vbios'] as const) if (said[name] !== undefined && said[name] !== claims.facts[name]) refuse('evidence.binding', `evidence.${name}_version`, claims.facts[name], said[name] ?? '')
}

function sdkDevice(json: JsonObject, at: string): SdkDevice {
  for (const key of Object.keys(json)) if (!SDK_FIELDS.includes(key)) refuse('evidence.parse', `${at}.${key}`, SDK_FIELDS.join(', '), key)
  const text = (key: string) => {
    const value = json[key]
    return typeof value === 'string' ? value : refuse('evidence.parse', `${at}.${key}`, 'a text', kindOf(value))
  }
  const certificates = readPem(fromUtf8(fromBase64(text('certificate'), `${at}.certificate`), `${at}.certificate`), 'CERTIFICATE').map(toBase64)
  const [driver, vbios] = (['driver_version', 'vbios_version'] as const).map(key => (json[key] === undefined ? undefined : text(key)))
  return {
    evidence: { kind: 'nvidia', report: text('evidence'), certificates },
    said: { arch: text('arch'), nonce: text('nonce').toLowerCase(), ...(driver === undefined ? {} : { driver }), ...(vbios === undefined ? {} : { vbios }) },
  }
}
