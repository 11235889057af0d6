/** Intel evidence for tests under a root of their own: authorities, a platform, collateral and quotes of versions 3, 4 and 5; one change at a time. */
import { p256 } from '@noble/curves/nist.js'
import { toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { der, derInteger, derOid, derSequence, TAG } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { authority, certificate, certificateDer, crlDer, LEAF_EXTENSIONS, NOW, type Authority } from '../../crypto/chain.fixture.ts'
import { writePem } from '../../crypto/pem.ts'
import { portable } from '../../crypto/portable.ts'
import type { CertificatePlan } from '../../crypto/issue.ts'
import type { DcapCollateral } from './collateral.ts'
import type { DcapEvidence } from './verify.ts'

export const ROOT = authority('Intel SGX Root CA')
const PCK_CA = authority('Intel SGX PCK Platform CA')
const PCK = authority('Intel SGX PCK Certificate')
const SIGNING = authority('Intel SGX TCB Signing')
const ATTESTATION = authority('attestation key')
const DAY = 86_400
export const root = certificate(ROOT, ROOT)
export { NOW }

export interface Plan {
  readonly version?: 3 | 4 | 5
  readonly tee?: 'sgx' | 'tdx'
  readonly bodyType?: number
  /** Changes the signed bytes (header and body) before they are signed. */
  readonly body?: (bytes: Uint8Array, start: number) => void
  /** Changes the quoting enclave's report before it is signed. */
  readonly qe?: (report: Uint8Array) => void
  /** Changes the finished quote. */
  readonly after?: (quote: Uint8Array) => Uint8Array
  readonly tcbInfo?: (json: Record<string, unknown>) => void
  readonly qeIdentity?: (json: Record<string, unknown>) => void
  readonly collateral?: (collateral: DcapCollateral) => DcapCollateral
  readonly pck?: Partial<CertificatePlan>
  readonly signing?: { readonly by?: Authority; readonly plan?: Partial<CertificatePlan>; readonly as?: Authority }
  readonly revoked?: { readonly root?: readonly number[]; readonly pck?: readonly number[] }
  readonly pckExtension?: Uint8Array
  readonly certificationType?: number
  /** How often the root stands at the end of the PCK certificate's chain. */
  readonly roots?: number
}

const SGX = '1.2.840.113741.1.13.1'
const octets = (...bytes: number[]) => der(TAG.octetString, new Uint8Array(bytes))
const pair = (arc: string, value: Uint8Array) => derSequence(derOid(`${SGX}.${arc}`), value)

/** The extension of a platform at these security versions. */
export function pckExtension(svns: readonly number[] = Array.from({ length: 16 }, () => 5), pceSvn = 11, fmspc = [0, 0x90, 0x6e, 0xa1, 0, 0], pceId = [0, 0]): Uint8Array {
  const tcb = derSequence(...svns.map((svn, i) => pair(`2.${i + 1}`, derInteger(new Uint8Array([svn])))), pair('2.17', derInteger(new Uint8Array([pceSvn]))), pair('2.18', der(TAG.octetString, new Uint8Array(svns))))
  const flags = derSequence(...[1, 2, 3].map(n => pair(`7.${n}`, der(TAG.boolean, new Uint8Array([n === 2 ? 0 : 255])))))
  return derSequence(pair('1', octets(...Array.from({ length: 16 }, () => 1))), pair('2', tcb), pair('3', octets(...pceId)), pair('4', octets(...fmspc)), pair('5', der(0x0a, new Uint8Array([1]))), pair('6', octets(...Array.from({ length: 16 }, () => 6))), pair('7', flags))
}

const sign = (key: string, bytes: Uint8Array) => p256.sign(portable.hash('sha256', bytes), portable.hash('sha256', utf8(`test key ${key}`)), { prehash: false })
const pem = (...certificates: Uint8Array[]) => certificates.map(one => writePem('CERTIFICATE', one)).join('')
const iso = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
const level = (status: string, date: string, tcb: unknown, advisoryIDs?: string[]) => ({ tcb, tcbDate: date, tcbStatus: status, ...(advisoryIDs === undefined ? {} : { advisoryIDs }) })
const components = (svn: number) => Array.from({ length: 16 }, () => ({ svn }))

function tcbInfo(tee: 'sgx' | 'tdx'): Record<string, unknown> {
  const tcb = (svn: number) => ({ sgxtcbcomponents: components(svn), pcesvn: 11, ...(tee === 'tdx' ? { tdxtcbcomponents: components(svn) } : {}) })
  const module = { mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'ff'.repeat(8) }
  return {
    id: tee.toUpperCase(), version: 3, issueDate: iso(NOW - DAY), nextUpdate: iso(NOW + DAY), fmspc: '00906EA10000', pceId: '0000', tcbType: 0, tcbEvaluationDataNumber: 18,
    ...(tee === 'tdx' ? { tdxModule: module, tdxModuleIdentities: [{ id: 'TDX_01', ...module, tcbLevels: [level('UpToDate', '2025-01-01T00:00:00Z', { isvsvn: 6 }), level('OutOfDate', '2024-01-01T00:00:00Z', { isvsvn: 2 }, ['INTEL-SA-00002'])] }] } : {}),
    tcbLevels: [level('UpToDate', '2025-02-01T00:00:00Z', tcb(5)), level('ConfigurationNeeded', '2024-06-01T00:00:00Z', tcb(4), ['INTEL-SA-00001']), level('Revoked', '2018-01-01T00:00:00Z', tcb(1))],
  }
}

const qeIdentity = (tee: 'sgx' | 'tdx'): Record<string, unknown> => ({
  id: tee === 'tdx' ? 'TD_QE' : 'QE', version: 2, issueDate: iso(NOW - DAY), nextUpdate: iso(NOW + DAY), tcbEvaluationDataNumber: 18, miscselect: '00000000', miscselectMask: 'FFFFFFFF',
  attributes: '11000000000000000000000000000000', attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000', mrsigner: 'ab'.repeat(32), isvprodid: 2,
  tcbLevels: [level('UpToDate', '2025-03-01T00:00:00Z', { isvsvn: 4 }), level('OutOfDate', '2023-01-01T00:00:00Z', { isvsvn: 2 }, ['INTEL-SA-00003'])],
})

/** Complete evidence, honest and current but for what the plan changes. Judge it at `NOW` under `root`. */
export function evidenceOf(plan: Plan = {}): DcapEvidence {
  const tee = plan.tee ?? 'tdx'
  const [tcb, identity] = [tcbInfo(tee), qeIdentity(tee)]
  plan.tcbInfo?.(tcb)
  plan.qeIdentity?.(identity)
  const [tcbText, identityText] = [JSON.stringify(tcb), JSON.stringify(identity)]
  const signing = plan.signing?.as ?? SIGNING
  const signingDer = certificateDer(signing, plan.signing?.by ?? ROOT, { serial: new Uint8Array([9]), extensions: LEAF_EXTENSIONS, ...plan.signing?.plan })
  const chain = pem(signingDer, root.der)
  const signed = (text: string) => toHex(sign(signing.name, utf8(text)))
  const collateral: DcapCollateral = {
    tcb_info: tcbText, tcb_info_signature: signed(tcbText), tcb_info_issuer_chain: chain, qe_identity: identityText, qe_identity_signature: signed(identityText), qe_identity_issuer_chain: chain,
    pck_crl: toHex(crlDer(PCK_CA, plan.revoked?.pck)), root_ca_crl: toHex(crlDer(ROOT, plan.revoked?.root)),
  }
  return { kind: tee, quote: toBase64(quoteOf(plan)), collateral: plan.collateral?.(collateral) ?? collateral }
}

const BODY = { 1: 384, 2: 584, 3: 648 } as const

export function quoteOf(plan: Plan = {}): Uint8Array {
  const tee = plan.tee ?? 'tdx'
  const version = plan.version ?? (tee === 'tdx' ? 4 : 3)
  const type = tee === 'sgx' ? 1 : version === 5 ? 3 : 2
  const head = concat(new Uint8Array([version, 0, 2, 0, tee === 'tdx' ? 0x81 : 0, 0, 0, 0, 0, 0, 0, 0]), hex('939a7233f79c4ca9940a0db3957f0607'), new Uint8Array(20))
  const named = version === 5 ? concat(new Uint8Array([plan.bodyType ?? type, 0]), u32(BODY[type])) : new Uint8Array(0)
  const start = head.length + named.length
  const signed = concat(head, named, tee === 'sgx' ? enclave() : domain(type === 3))
  plan.body?.(signed, start)
  const data = concat(sign('attestation key', signed), ATTESTATION.key.kind === 'p256' ? ATTESTATION.key.raw.subarray(1) : new Uint8Array(0), certification(plan, version))
  const quote = concat(signed, u32(data.length), data)
  return plan.after?.(quote) ?? quote
}

function certification(plan: Plan, version: number): Uint8Array {
  const auth = utf8('authentication data')
  const report = enclave(2, 'ab')
  report.set(portable.hash('sha256', concat(ATTESTATION.key.kind === 'p256' ? ATTESTATION.key.raw.subarray(1) : new Uint8Array(0), auth)), 320)
  report.fill(0, 352, 384)
  plan.qe?.(report)
  const pck = certificateDer(PCK, PCK_CA, { serial: new Uint8Array([7]), extensions: [...LEAF_EXTENSIONS, { oid: SGX, value: plan.pckExtension ?? pckExtension() }], ...plan.pck })
  const chain = concat(utf8(pem(pck, certificateDer(PCK_CA, ROOT, { serial: new Uint8Array([3]) }), ...Array.from({ length: plan.roots ?? 1 }, () => root.der))), new Uint8Array(1))
  const inner = concat(report, sign(PCK.name, report), new Uint8Array([auth.length, 0]), auth, new Uint8Array([plan.certificationType ?? 5, 0]), u32(chain.length), chain)
  return version === 3 ? inner : concat(new Uint8Array([6, 0]), u32(inner.length), inner)
}

function enclave(prodId = 1, signer = 'cd'): Uint8Array {
  const bytes = new Uint8Array(384)
  bytes[48] = prodId === 2 ? 0x11 : 0x05
  bytes.set(hex('ee'.repeat(32)), 64)
  bytes.set(hex(signer.repeat(32)), 128)
  bytes[256] = prodId
  bytes[258] = 4
  bytes.fill(9, 320, 384)
  return bytes
}

function domain(later: boolean): Uint8Array {
  const bytes = new Uint8Array(later ? 648 : 584)
  bytes.set([6, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], 0)
  bytes.set([0xe7, 0x02, 0x06], 128)
  bytes[123] = 0x10 // SEPT_VE_DISABLE
  bytes.fill(0x77, 136, 184)
  for (const i of [0, 1, 2, 3]) bytes.fill(0xa0 + i, 328 + 48 * i, 376 + 48 * i)
  bytes.fill(9, 520, 584)
  if (later) bytes.set(bytes.subarray(0, 16), 584)
  return bytes
}

const hex = (text: string) => new Uint8Array((text.match(/../g) ?? []).map(byte => Number.parseInt(byte, 16)))
const u32 = (value: number) => new Uint8Array([value & 255, (value >> 8) & 255, (value >> 16) & 255, 0])
