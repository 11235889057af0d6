/**
 * An enclave image of AWS Nitro (EIF, versions 2 to 4) and the registers that its enclave will have: PCR0 everything that
 * runs, PCR1 kernel, command line and first ramdisk, PCR2 the other ramdisks, PCR8 the certificate that signed the image;
 * PCR3 the role and PCR4 the instance that launch it (aws-nitro-enclaves-image-format; AWS Nitro Enclaves user guide,
 * "Cryptographic attestation"). Trusts the port for hashing.
 */
import { cborFields, cborOf, readCbor, type Cbor } from '../../bytes/cbor.ts'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { fromUtf8, utf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { attempt, orRefuse, refuse, type Result } from '../../refusal.ts'

export interface Eif {
  readonly version: number
  readonly architecture: 'x86_64' | 'aarch64'
  readonly kernel: Uint8Array
  /** As it stands in the image, without an end mark. */
  readonly cmdline: string
  readonly ramdisks: readonly Uint8Array[]
  /** DER of the certificate that signed the image, where one did; its signature is not checked here: the hypervisor does. */
  readonly certificate?: Uint8Array
}

export const EIF_LIMITS = { bytes: 1 << 30, sections: 32, signature: 1 << 20 }
const [HEADER_BYTES, SECTION_BYTES, CRC_AT] = [548, 12, 544]
const SECTION = { kernel: 1, cmdline: 2, ramdisk: 3, signature: 4, metadata: 5 } as const
const VERSIONS = [2, 3, 4]
const PCR_BYTES = 48

/** Refuses `evidence.parse`, `evidence.version`, `bytes.*`, and for a signature `cbor.*` or `x509.parse`. */
export function readEif(image: Uint8Array): Result<Eif> {
  return attempt(() => {
    if (image.length > EIF_LIMITS.bytes) refuse('bytes.too-large', 'eif', `at most ${EIF_LIMITS.bytes} bytes`, `${image.length} bytes`)
    const { version, arm, places } = readHeader(new Reader(image.subarray(0, HEADER_BYTES), 'eif@'))
    const sections = readSections(image, places)
    checkCrc(image)
    const of = (type: number) => sections.filter(one => one.type === type).map(one => one.data)
    const signature = one(of(SECTION.signature), 'signature', false)
    return {
      version, architecture: arm ? 'aarch64' : 'x86_64', kernel: one(of(SECTION.kernel), 'kernel') ?? new Uint8Array(), cmdline: fromUtf8(one(of(SECTION.cmdline), 'cmdline') ?? new Uint8Array(), 'eif.cmdline'), ramdisks: ramdisksIn(sections),
      ...(signature === undefined ? {} : { certificate: certificateOf(signature) }),
    }
  })
}

/**
 * PCR0, PCR1, PCR2, and PCR8 of a signed image; hex, 48 bytes.
 *
 * @example
 * eifRegisters(p, eif).PCR0 // → 'c0…': the measurement for the charter's reference values
 */
export function eifRegisters(p: Primitives, { kernel, cmdline, ramdisks, certificate }: Eif): Readonly<Record<string, string>> {
  const boot = [kernel, utf8(cmdline)]
  const extended = (...parts: readonly Uint8Array[]) => toHex(p.hash('sha384', concat(new Uint8Array(PCR_BYTES), p.hash('sha384', concat(...parts)))))
  return { PCR0: extended(...boot, ...ramdisks), PCR1: extended(...boot, ...ramdisks.slice(0, 1)), PCR2: extended(...ramdisks.slice(1)), ...(certificate === undefined ? {} : { PCR8: extended(certificate) }) }
}

/** PCR3 of an IAM role (its ARN), or PCR4 of a parent instance (its id): hex. */
export const parentRegister = (p: Primitives, text: string): string => toHex(p.hash('sha384', concat(new Uint8Array(PCR_BYTES), utf8(text))))

interface Place { readonly offset: number; readonly size: number }
interface Section { readonly type: number; readonly data: Uint8Array }

function readHeader(reader: Reader): { version: number; arm: boolean; places: readonly Place[] } {
  const magic = toHex(reader.take(4))
  if (magic !== toHex(utf8('.eif'))) refuse('evidence.parse', 'eif', '.eif', magic)
  const [version, flags] = [reader.u16be(), reader.u16be()]
  if (!VERSIONS.includes(version)) refuse('evidence.version', 'eif.version', VERSIONS.join(', '), String(version))
  reader.take(18)
  const count = reader.u16be()
  if (count < 3 || count > EIF_LIMITS.sections) refuse('evidence.parse', 'eif.sections', `3 to ${EIF_LIMITS.sections}`, String(count))
  const list = () => Array.from({ length: EIF_LIMITS.sections }, () => sized(reader.u64be()))
  const [offsets, sizes] = [list(), list()]
  return { version, arm: (flags & 1) === 1, places: offsets.slice(0, count).map((offset, i) => ({ offset, size: sizes[i] ?? 0 })) }
}

const sized = (value: bigint): number => (value <= BigInt(EIF_LIMITS.bytes) ? Number(value) : refuse('bytes.too-large', 'eif.sections', `at most ${EIF_LIMITS.bytes}`, String(value)))

/** Section by section to the end of the file, each where the header says and as large: what one reader skips another may run. */
function readSections(image: Uint8Array, places: readonly Place[]): Section[] {
  let at = HEADER_BYTES
  const sections = places.map(({ offset, size }, i) => {
    if (offset !== at) refuse('evidence.parse', `eif.sections[${i}]`, `a beginning at ${at}`, String(offset))
    const reader = new Reader(image.subarray(offset, offset + SECTION_BYTES), `eif.sections[${i}]@`)
    const [type, flags, length] = [reader.u16be(), reader.u16be(), sized(reader.u64be())]
    if (length !== size || flags !== 0) refuse('evidence.parse', `eif.sections[${i}]`, `${size} bytes and no flags`, `${length} bytes, flags ${flags}`)
    if (!Object.values(SECTION).some(one => one === type)) refuse('evidence.parse', `eif.sections[${i}].type`, '1 to 5', String(type))
    at = offset + SECTION_BYTES + size
    if (at > image.length) refuse('bytes.truncated', `eif.sections[${i}]`, `${at} bytes`, `${image.length} bytes`)
    return { type, data: image.subarray(at - size, at) }
  })
  return at === image.length ? sections : refuse('bytes.trailing', 'eif', `${at} bytes`, `${image.length} bytes`)
}

/** Kernel, command line, ramdisks: in this order they are measured. */
function ramdisksIn(sections: readonly Section[]): readonly Uint8Array[] {
  const measured = sections.filter(({ type }) => type <= SECTION.ramdisk)
  const order = measured.map(({ type }) => type).join('')
  return /^123+$/.test(order) ? measured.slice(2).map(({ data }) => data) : refuse('evidence.parse', 'eif.sections', 'a kernel, a command line and ramdisks, in this order', order)
}

function one(found: readonly Uint8Array[], name: string, needed = true): Uint8Array | undefined {
  return found.length === 1 || (found.length === 0 && !needed) ? found[0] : refuse('evidence.parse', `eif.${name}`, 'one', String(found.length))
}

/** CRC-32 (IEEE 802.3) over all but its own four bytes: an image damaged on its way has other registers. */
function checkCrc(image: Uint8Array): void {
  const crc = crc32(crc32(0, image.subarray(0, CRC_AT)), image.subarray(HEADER_BYTES))
  const said = new Reader(image.subarray(CRC_AT, HEADER_BYTES), 'eif.crc@').u32be()
  if (crc !== said) refuse('evidence.parse', 'eif.crc', said.toString(16).padStart(8, '0'), crc.toString(16).padStart(8, '0'), 'the image is damaged: fetch or build it again')
}

let table: Uint32Array | undefined
const crcTable = () => (table ??= Uint32Array.from({ length: 256 }, (_, i) => Array.from({ length: 8 }).reduce((value: number) => (value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1), i)))

export function crc32(from: number, bytes: Uint8Array): number {
  const steps = crcTable()
  let crc = ~from
  for (const byte of bytes) crc = (crc >>> 8) ^ (steps[(crc ^ byte) & 0xff] ?? 0)
  return ~crc >>> 0
}

/** A list of one signature, over PCR0: certificate in PEM and COSE message. The writer encodes bytes as lists of numbers. */
function certificateOf(section: Uint8Array): Uint8Array {
  const at = 'eif.signature'
  const list = cborOf('array', readCbor(section, { at, limits: { bytes: EIF_LIMITS.signature, depth: 4, items: 200_000 } }), at).value
  if (list.length !== 1) refuse('evidence.parse', at, 'one signature', String(list.length))
  const pem = bytesOf(cborFields(list[0], at).get('signing_certificate'), `${at}.signing_certificate`)
  const [der, more] = readPem(fromUtf8(pem, at), 'CERTIFICATE')
  if (der === undefined || more !== undefined) return refuse('evidence.parse', `${at}.signing_certificate`, 'one certificate in PEM', more === undefined ? 'none' : 'several')
  return orRefuse(parseCertificate(der, `${at}.signing_certificate`)).der
}

function bytesOf(value: Cbor | undefined, at: string): Uint8Array {
  if (value?.kind === 'bytes') return value.value
  return Uint8Array.from(cborOf('array', value, at).value.map(item => (item.kind === 'int' && item.value >= 0 && item.value <= 255 ? Number(item.value) : refuse('evidence.parse', at, 'bytes', 'another value'))))
}
