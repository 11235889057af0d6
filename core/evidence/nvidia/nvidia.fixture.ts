/**
 * Synthetic NVIDIA evidence for tests: a device authority and a manifest authority of our own, devices under the one and
 * signed manifests under the other, with one change at a time. The same plan gives the same bytes. Nothing here chains to NVIDIA.
 */
import { p384 } from '@noble/curves/nist.js'
import { toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { der, derInteger, derOid, derSequence, TAG } from '../../bytes/der.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { canonicalXml, elementsOf, readXml } from '../../bytes/xml.ts'
import { basicConstraintsCa, ECDSA_SHA384, issueCrl, keyUsage, type CertificatePlan, type IssuerPort } from '../../crypto/issue.ts'
import { ecdsaToDer, keyToSpki } from '../../crypto/keys.ts'
import { ocspDer, OCSP_SIGNING, type AnswerPlan } from '../../crypto/ocsp.fixture.ts'
import { portable } from '../../crypto/portable.ts'
import type { PublicKey } from '../../crypto/primitives.ts'
import { parseCertificate, type Certificate } from '../../crypto/x509.ts'
import { orRefuse } from '../../refusal.ts'
import type { NvidiaRoots } from './roots.ts'
import { OPAQUE } from './spdm.ts'
import type { NvidiaEvidence } from './verify.ts'

/** 2026-01-01. */
export const NOW = 1_767_225_600
export const DAY = 86_400
export const NONCE = new Uint8Array(32).fill(0x5a)

interface Name { readonly cn: string; readonly serial?: string }
interface Holder { readonly name: Name; readonly key: PublicKey; readonly port: IssuerPort; raw(message: Uint8Array): Uint8Array }
const holders = new Map<string, Holder>()

/** The same common name and key name give the same key. */
export function holder(cn: string, serial?: string, keyName = `${cn} ${serial ?? ''}`): Holder {
  const known = holders.get(`${cn} ${serial} ${keyName}`)
  if (known !== undefined) return known
  const secret = portable.hash('sha384', utf8(`nvidia test key ${keyName}`))
  const raw = (message: Uint8Array) => p384.sign(portable.hash('sha384', message), secret, { prehash: false })
  const made: Holder = { name: { cn, ...(serial === undefined ? {} : { serial }) }, key: { kind: 'p384', raw: p384.getPublicKey(secret, false) }, raw, port: { algorithm: ECDSA_SHA384, sign: tbs => ecdsaToDer(raw(tbs)) } }
  holders.set(`${cn} ${serial} ${keyName}`, made)
  return made
}

const nameDer = ({ cn, serial }: Name) => derSequence(
  ...(serial === undefined ? [] : [der(TAG.set, derSequence(derOid('2.5.4.5'), der(TAG.printableString, utf8(serial))))]),
  der(TAG.set, derSequence(derOid('2.5.4.3'), der(TAG.utf8String, utf8(cn)))),
)
const time = (seconds: number) => der(TAG.generalizedTime, utf8(new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')))
const CA = [basicConstraintsCa(), keyUsage(0x06)]

type Change = Partial<Pick<CertificatePlan, 'serial' | 'notBefore' | 'notAfter' | 'extensions'>>
/** DER of a certificate for `subject` by `issuer`, an authority when no other extensions are named. */
export function certify(subject: Holder, issuer: Holder, change: Change = {}): Uint8Array {
  const { serial = fromHex('11'), notBefore = NOW - 100 * DAY, notAfter = NOW + 100 * DAY, extensions = CA } = change
  const tbs = derSequence(
    der(0xa0, derInteger(new Uint8Array([2]))), derInteger(serial), issuer.port.algorithm, nameDer(issuer.name), derSequence(time(notBefore), time(notAfter)), nameDer(subject.name), keyToSpki(subject.key),
    der(0xa3, derSequence(...extensions.map(one => derSequence(derOid(one.oid), ...(one.critical === true ? [der(TAG.boolean, new Uint8Array([255]))] : []), der(TAG.octetString, one.value))))),
  )
  return derSequence(tbs, issuer.port.algorithm, der(TAG.bitString, new Uint8Array([0]), issuer.port.sign(tbs)))
}
export const read = (bytes: Uint8Array): Certificate => orRefuse(parseCertificate(bytes))
const kept = new Map<string, unknown>()
/** Made once: P-384 in plain JavaScript is slow. */
function once<T>(name: string, make: () => T): T {
  if (!kept.has(name)) kept.set(name, make())
  // One name stands for one type.
  return kept.get(name) as T
}

export const DEVICE_ROOT = holder('Test Device Identity CA')
export const IDENTITY = holder('Test Identity')
export const RIM_ROOT = holder('Test RIM Root CA')
export const RIM_CA = holder('Test Reference Value CA')
export const RIM_SIGNER = holder('Test RIM Signer')
export const identityCertificate = () => once('identity', () => certify(IDENTITY, DEVICE_ROOT, { serial: fromHex('22') }))
export const rimCaCertificate = () => once('rim ca', () => certify(RIM_CA, RIM_ROOT, { serial: fromHex('33') }))
export const rimSignerCertificate = () => once('rim signer', () => certify(RIM_SIGNER, RIM_CA, { serial: fromHex('44'), extensions: [keyUsage(0x80)] }))
export const testRoots = (): NvidiaRoots => once('roots', () => ({ device: read(certify(DEVICE_ROOT, DEVICE_ROOT)), rim: read(certify(RIM_ROOT, RIM_ROOT)) }))

export interface DevicePlan {
  /** As the certificates write it: GH100, GB100, LS_10. */
  readonly product?: string
  /** Which device: two digits. */
  readonly number?: string
  readonly nonce?: Uint8Array
  readonly measurements?: (values: Uint8Array[]) => void
  readonly opaque?: (fields: Map<number, Uint8Array>) => void
  /** Changes request and response before they are signed. */
  readonly report?: (bytes: Uint8Array) => void
  readonly leaf?: Change
  readonly maker?: Change
  readonly makerSerial?: string
  readonly makerName?: string
  readonly leafSerial?: string
  readonly san?: string
  readonly dice?: Uint8Array
  /** Signs the report with another key than the leaf's. */
  readonly forger?: Holder
}

export const pdiOf = (plan: DevicePlan = {}) => `aabbccddeeff00${plan.number ?? '01'}`
const isSwitch = (plan: DevicePlan) => plan.product === 'LS_10'
export const FWID = '77'.repeat(48)
/** Signed by test devices: index 1 is 01 01 …, index 2 is 02 02 …, up to 64 (31 for a switch). */
export const valueOf = (index: number) => new Uint8Array(48).fill(index)

export const makerOf = (plan: DevicePlan = {}) => holder(plan.makerName ?? `${plan.product ?? 'GH100'} A01 GSP BROM`, plan.makerSerial ?? `${isSwitch(plan) ? '50' : '41'}${pdiOf(plan)}`.toUpperCase())
const leafOf = (plan: DevicePlan) => holder(`${plan.product ?? 'GH100'} A01 GSP FMC LF`, plan.leafSerial ?? `6600${plan.number ?? '01'}`)
/** The certificate that the maker of chips gave this device. */
export const makerCertificate = (plan: DevicePlan = {}) => certify(makerOf(plan), IDENTITY, { serial: fromHex(makerOf(plan).name.serial ?? '41'), extensions: [basicConstraintsCa(), keyUsage(0x04)], ...plan.maker })

const fwidDer = (hex: string) => derSequence(derOid('2.16.840.1.101.3.4.2.2'), der(TAG.octetString, fromHex(hex)))
/** RIoT's form, with the key of the device. */
export const compositeDeviceId = (key: PublicKey, fwid = FWID) => derSequence(derInteger(new Uint8Array([1])), keyToSpki(key), fwidDer(fwid))
/** TCG's form, with flags in their first byte. */
export const tcbInfo = (flags = 0x80, fwid = FWID) => derSequence(der(0x80, utf8('TEST')), der(0xa6, fwidDer(fwid), fwidDer('00'.repeat(48))), der(0x87, new Uint8Array([0, flags, 0, 0, 1])))
export const san = (text: string, type = '1.3.6.1.4.1.412.274.1') => ({ oid: '2.5.29.17', value: derSequence(der(0xa0, derOid(type), der(0xa0, der(TAG.utf8String, utf8(text))))) })

export function leafExtensions(plan: DevicePlan = {}): CertificatePlan['extensions'] {
  const product = plan.product ?? 'GH100'
  const blackwell = product.startsWith('GB')
  return [keyUsage(0x80), san(plan.san ?? `NVIDIA:${product}:48B02D00000000${plan.number ?? '01'}`), { oid: blackwell ? '2.23.133.5.4.1.1' : '2.23.133.5.4.1', value: plan.dice ?? (blackwell ? tcbInfo() : compositeDeviceId(makerOf(plan).key)) }]
}

const text = (value: string, size: number) => concat(utf8(value), new Uint8Array(size - value.length))
function opaqueFields(plan: DevicePlan): Map<number, Uint8Array> {
  if (isSwitch(plan)) return new Map([[OPAQUE.vbiosVersion, utf8('96.10.55.00.01')], [OPAQUE.switchPdi, fromHex(pdiOf(plan))], [OPAQUE.gpuPdis, concat(fromHex('aabbccddeeff0001aabbccddeeff0002'), new Uint8Array(112).fill(0xff))]])
  return new Map<number, Uint8Array>([
    [OPAQUE.vbiosVersion, fromHex('009f009601000000')], [OPAQUE.project, text('1010', 5)], [OPAQUE.chipSkuMod, text('', 2)], [OPAQUE.driverVersion, text('550.90.07', 10)], [OPAQUE.nvdec0Status, fromHex('55')], [OPAQUE.fwid, fromHex(FWID)], [OPAQUE.ppcieStatus, fromHex('aa')],
    [OPAQUE.switchPdi, concat(fromHex('aabbccddeeff0009').reverse(), fromHex('aabbccddeeff0009').reverse())], [OPAQUE.dataVersion, fromHex('0100')], [OPAQUE.featureFlag, fromHex('0200')],
  ])
}

const u16 = (value: number) => new Uint8Array([value & 255, value >> 8])
/** Request and response, unsigned. */
export function messages(plan: DevicePlan = {}): Uint8Array {
  const values = Array.from({ length: isSwitch(plan) ? 31 : 64 }, (_, i) => valueOf(i + 1))
  plan.measurements?.(values)
  const record = concat(...values.map((value, i) => concat(new Uint8Array([i + 1, 1]), u16(3 + value.length), new Uint8Array([1]), u16(value.length), value)))
  const fields = opaqueFields(plan)
  plan.opaque?.(fields)
  const opaque = concat(...[...fields].map(([type, value]) => concat(u16(type), u16(value.length), value)))
  const bytes = concat(
    new Uint8Array([0x11, 0xe0, 1, 0xff]), plan.nonce ?? NONCE, new Uint8Array([0]),
    new Uint8Array([0x11, 0x60, 0, 0, values.length]), u16(record.length & 0xffff), new Uint8Array([record.length >> 16]), record, new Uint8Array(32).fill(0xd0), u16(opaque.length), opaque,
  )
  plan.report?.(bytes)
  return bytes
}

/** Complete and honest but for what the plan changes. */
export function evidenceOf(plan: DevicePlan = {}, change: Partial<NvidiaEvidence> = {}): NvidiaEvidence {
  const leaf = leafOf(plan)
  const unsigned = messages(plan)
  const certificates = [certify(leaf, makerOf(plan), { extensions: leafExtensions(plan), ...plan.leaf }), makerCertificate(plan), identityCertificate()]
  return { kind: 'nvidia', report: toBase64(concat(unsigned, (plan.forger ?? leaf).raw(unsigned))), certificates: certificates.map(toBase64), ...change }
}

export interface RimPlan {
  readonly product?: string
  readonly edition?: string
  readonly version?: string
  /** Manifest indexes, from 0, that are active, each with its alternatives in hex. */
  readonly golden?: Readonly<Record<number, readonly string[]>>
  /** Changes the text before it is signed; the signature's template, and all of it when it is signed. */
  readonly text?: (text: string) => string
  readonly template?: (text: string) => string
  readonly signed?: (text: string) => string
  readonly certificates?: readonly Uint8Array[]
  readonly signer?: Holder
  readonly digest?: string
}

export const goldenOf = (...indexes: readonly number[]) => Object.fromEntries(indexes.map(index => [index, [toHex(valueOf(index + 1))]]))
export const DRIVER_GOLDEN = goldenOf(2, 3, 20)
export const VBIOS_GOLDEN = { ...goldenOf(5, 6), 7: ['00'.repeat(48), toHex(valueOf(8))] }

/** A manifest as NVIDIA writes them. */
export function rimXml(plan: RimPlan = {}): Uint8Array {
  const { product = 'GH100', edition = 'GPU', version = '550.90.07', golden = DRIVER_GOLDEN } = plan
  const resource = (index: number) => {
    const hashes = golden[index] ?? ['00'.repeat(48)]
    return `        <ns0:Resource type="Measurement" index="${index}" active="${golden[index] === undefined ? 'False' : 'True'}" alternatives="${hashes.length}" ${hashes.map((hash, i) => `ns2:Hash${i}="${hash}"`).join(' ')} name="Measurement_${index}" size="48"/>\n`
  }
  const change = plan.text ?? (whole => whole)
  const head = change(`<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" corpus="false" name="${product}" patch="false" supplemental="false" tagId="id-of-${version}" version="1.0" tagVersion="0">
    <ns0:Entity name="NVIDIA Corporation" role="softwareCreator tagCreator"/>
    <ns0:Meta xmlns:ns1="https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/" colloquialVersion="${version}" edition="${edition}" product="${product}" revision="r1" PayloadType="direct" ns1:BindingSpec="RIMIM"/>
    <ns0:Payload xmlns:SHA384="http://www.w3.org/2001/04/xmlenc#sha384">
${Array.from({ length: 64 }, (_, index) => resource(index)).join('')}    </ns0:Payload>
`)
  return utf8((plan.signed ?? (whole => whole))(signRim(head, plan)))
}

function signRim(head: string, plan: RimPlan): string {
  const digest = plan.digest ?? toBase64(portable.hash('sha384', canonicalXml(readXml(utf8(`${head}</SoftwareIdentity>`)))))
  const certificates = (plan.certificates ?? [rimSignerCertificate(), rimCaCertificate(), testRoots().rim.der]).map(one => `<ds:X509Certificate>${toBase64(one).replace(/.{64}/g, '$&\n')}</ds:X509Certificate>`).join('')
  const signature = (plan.template ?? (whole => whole))('<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"/>'
    + '<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"/>'
    + `<ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>VALUE</ds:SignatureValue><ds:KeyInfo><ds:X509Data>${certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>`)
  const document = `${head}${signature}</SoftwareIdentity>`
  const element = elementsOf(readXml(utf8(document))).find(one => one.local === 'Signature')
  const info = element === undefined ? undefined : elementsOf(element).find(one => one.local === 'SignedInfo')
  return document.replace('VALUE', info === undefined ? '' : toBase64((plan.signer ?? RIM_SIGNER).raw(canonicalXml(info))))
}

export const driverRim = (plan: RimPlan = {}) => toBase64(rimXml(plan))
export const vbiosRim = (plan: RimPlan = {}) => toBase64(rimXml({ version: '96.00.9F.00.01', golden: VBIOS_GOLDEN, ...plan }))

const WINDOW: readonly [number, number] = [NOW - 3600, NOW + DAY]
/** An OCSP answer by a responder of the issuer's. */
export function answer(certificate: Uint8Array, issuer: Holder, issuerCertificate: Uint8Array, change: Partial<AnswerPlan> = {}): string {
  const responder = holder(`OCSP of ${issuer.name.cn}`)
  const responderCertificate = read(certify(responder, issuer, { extensions: [keyUsage(0x80), OCSP_SIGNING] }))
  return toBase64(ocspDer({ responder: responderCertificate, port: responder.port, answers: [{ certificate: read(certificate), issuer: read(issuerCertificate), window: WINDOW, ...change }] }))
}

/** Answers for everything that the test authorities issued to this device. */
export const deviceAnswers = (plan: DevicePlan = {}, change: Partial<AnswerPlan> = {}) => [answer(makerCertificate(plan), IDENTITY, identityCertificate(), change), answer(identityCertificate(), DEVICE_ROOT, testRoots().device.der)]
export const rimAnswers = (change: Partial<AnswerPlan> = {}) => [answer(rimSignerCertificate(), RIM_CA, rimCaCertificate(), change), answer(rimCaCertificate(), RIM_ROOT, testRoots().rim.der)]

/** A revocation list of the device root or of the authority under it; serials in hex. The issuer's name must have no serial number. */
export const list = (issuer: Holder, revoked: readonly string[] = [], window = WINDOW) => toBase64(issueCrl({ issuer: issuer.name.cn, thisUpdate: window[0], nextUpdate: window[1], revoked: revoked.map(serial => ({ serial: fromHex(serial), at: NOW - DAY })) }, issuer.port))
