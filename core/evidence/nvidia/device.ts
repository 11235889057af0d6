/**
 * Who an NVIDIA device is, from its certificates: the leaf, made by the device for the firmware that runs (DICE), and the
 * one above it, which NVIDIA gave the device when it was made. Read only after the chain held. Trusts nothing else.
 */
import { equal } from '../../bytes/bytes.ts'
import { bitBytes, children, contentOf, type Der, oidOf, readDer, smallInteger, TAG } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { spkiToKey } from '../../crypto/keys.ts'
import type { Certificate } from '../../crypto/x509.ts'
import { refuse } from '../../refusal.ts'

export interface DeviceIdentity {
  readonly device: 'gpu' | 'switch'
  /** GH100, GB100, LS10 … */
  readonly product: string
  /** subject serialNumber of the leaf, hex: another for each firmware. */
  readonly serial: string
  /** subject serialNumber of the certificate that NVIDIA gave the device, hex: one byte (0x41 of the GPUs seen, 0x50 of the switches) and the PDI. */
  readonly chipId: string
  /** The eight bytes by which GPUs and switches name each other, hex. */
  readonly pdi: string
  /** Digest of the firmware for which the leaf was made, hex. */
  readonly fwid: string
  /** The certificate calls the device's state debug (TCG DICE OperationalFlags bit 3); false where it has no flags. */
  readonly debug: boolean
  readonly flags?: string
}

const SERIAL_NUMBER = '2.5.4.5'
const SUBJECT_ALT_NAME = '2.5.29.17'
/** DMTF's device information (DSP0274): `maker:product:number`. */
const DEVICE_INFO = '1.3.6.1.4.1.412.274.1'
/** Hopper and LS10 write RIoT's CompositeDeviceID under the first, Blackwell TCG's DiceTcbInfo under the second. */
const DICE = ['2.23.133.5.4.1', '2.23.133.5.4.1.1']
const SHA384 = '2.16.840.1.101.3.4.2.2'
const FWID_BYTES = 48
const DEBUG_FLAG = 0x10 // bit 3, counted from the most significant

/** Leaves with `evidence.parse`, `evidence.product`, `evidence.chip-id`, `evidence.unsupported` or `der.*`. */
export function deviceIdentity(leaf: Certificate, maker: Certificate): DeviceIdentity {
  const raw = productOf(leaf)
  for (const one of [leaf, maker]) if (!one.subjectCommonName.startsWith(`${raw} `)) refuse('evidence.product', 'certificates', raw, one.subjectCommonName)
  const product = raw.replace('_', '')
  const device = /^G[HB]\d{3}$/.test(product) ? 'gpu' : product === 'LS10' ? 'switch' : refuse('evidence.unsupported', 'certificates', 'a GPU of Hopper or Blackwell, or an LS10', product)
  const chipId = serialNumber(maker)
  if (chipId.length !== 18) refuse('evidence.chip-id', 'certificates[1]', 'a serial number of nine bytes', chipId)
  return { device, product, serial: serialNumber(leaf), chipId, pdi: chipId.slice(2), ...readDice(leaf, maker) }
}

function productOf(leaf: Certificate): string {
  const extension = leaf.extensions.get(SUBJECT_ALT_NAME) ?? refuse('evidence.parse', 'certificates[0]', 'a subject alternative name', 'none')
  const [name, more] = children(readDer(extension.value, 'subjectAltName'))
  const [oid, value] = name === undefined || more !== undefined ? [] : children(name, 0xa0)
  if (oidOf(oid, 'subjectAltName') !== DEVICE_INFO || value === undefined) return refuse('evidence.parse', 'certificates[0].subjectAltName', DEVICE_INFO, 'another name')
  const text = fromUtf8(contentOf(children(value, 0xa0)[0], TAG.utf8String), 'subjectAltName')
  const parts = /^NVIDIA:([A-Z0-9_]{3,8}):[0-9A-F]{16}$/.exec(text)
  return parts?.[1] ?? refuse('evidence.parse', 'certificates[0].subjectAltName', 'NVIDIA:product:number', text)
}

function serialNumber(certificate: Certificate): string {
  const found = children(readDer(certificate.subject, 'subject')).flatMap(set => children(set, TAG.set)).map(one => children(one)).filter(([oid]) => oidOf(oid) === SERIAL_NUMBER)
  const text = found.length === 1 ? fromUtf8(contentOf(found[0]?.[1], TAG.printableString), 'serialNumber') : ''
  return /^(?:[0-9A-F]{2}){1,32}$/.test(text) ? text.toLowerCase() : refuse('evidence.parse', 'certificates.serialNumber', 'one serial number in hex', text || `${found.length}`)
}

function readDice(leaf: Certificate, maker: Certificate): Pick<DeviceIdentity, 'fwid' | 'debug' | 'flags'> {
  const [extension, more] = DICE.flatMap(oid => leaf.extensions.get(oid) ?? [])
  if (extension === undefined || more !== undefined) return refuse('evidence.parse', 'certificates[0]', 'one DICE extension', more === undefined ? 'none' : 'two')
  const parts = children(readDer(extension.value, 'dice'))
  return parts[0]?.tag === TAG.integer ? compositeDeviceId(parts, maker) : tcbInfo(parts)
}

/** CompositeDeviceID: version 1, the key of the device, the digest of the firmware. */
function compositeDeviceId(parts: readonly Der[], maker: Certificate): { fwid: string; debug: boolean } {
  const [version, key, fwid, more] = parts
  if (smallInteger(version, 'dice') !== 1 || key === undefined || more !== undefined) return refuse('evidence.parse', 'dice', 'version 1, a key and a firmware digest', 'another form')
  const named = spkiToKey(key.whole, 'dice')
  if (named.kind === 'rsa' || maker.publicKey.kind === 'rsa' || !equal(named.raw, maker.publicKey.raw)) refuse('evidence.binding', 'certificates[0].dice', 'the key of the device above it', 'another key')
  return { fwid: readFwid(fwid), debug: false }
}

/** DiceTcbInfo: the digests of the firmware are field 6, the flags field 7. */
function tcbInfo(parts: readonly Der[]): { fwid: string; debug: boolean; flags: string } {
  const fields = parts.map(one => ((one.tag & 0xc0) === 0x80 ? one.tag & 0x1f : -1))
  if (fields.some((field, i) => field < 0 || field <= (fields[i - 1] ?? -1))) refuse('evidence.parse', 'dice', 'numbered fields, each once, in order', fields.join(', '))
  const fwids = parts.find(one => one.tag === 0xa6)
  const flags = parts.find(one => one.tag === 0x87)
  if (fwids === undefined || flags === undefined) return refuse('evidence.parse', 'dice', 'firmware digests and flags', 'none')
  const bits = bitBytes({ ...flags, tag: TAG.bitString }, 'dice.flags')
  return { fwid: readFwid(children(fwids, 0xa6)[0]), debug: ((bits[0] ?? 0) & DEBUG_FLAG) !== 0, flags: toHex(bits) }
}

function readFwid(element: Der | undefined): string {
  const [algorithm, digest, more] = element === undefined ? [] : children(element)
  const value = contentOf(digest, TAG.octetString, 'dice.fwid')
  if (oidOf(algorithm, 'dice.fwid') !== SHA384 || value.length !== FWID_BYTES || more !== undefined) refuse('evidence.parse', 'dice.fwid', 'a SHA-384 digest', `${value.length} bytes`)
  return toHex(value)
}
