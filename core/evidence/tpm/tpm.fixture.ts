/** A software TPM for tests: attestation keys made from names, quotes and public areas with one change at a time. Its keys are public by design. */
import { p256, p384 } from '@noble/curves/nist.js'
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { HashName, PublicKey } from '../../crypto/primitives.ts'
import { bootOf, hashIn, logOf } from '../eventlog/log.fixture.ts'
import { parseEventLog, type Bank } from '../eventlog/log.ts'
import { replay } from '../eventlog/replay.ts'
import { readPublicArea } from './structures.ts'

export const be = (value: number, bytes: number): Uint8Array => new Uint8Array(Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256))
/** A TPM2B. */
export const tpm2b = (bytes: Uint8Array): Uint8Array => concat(be(bytes.length, 2), bytes)
export const BANK_ID: Record<Bank, number> = { sha1: 4, sha256: 11, sha384: 12, sha512: 13 }

/** TPMS_PCR_SELECTION with a bitmap of three bytes. */
export function selection(bank: number, indexes: readonly number[], size = 3): Uint8Array {
  const bits = new Uint8Array(size)
  for (const index of indexes) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7))
  return concat(be(bank, 2), new Uint8Array([size]), bits)
}

export interface AttestPlan { readonly magic: number; readonly type: number; readonly signer: Uint8Array; readonly nonce: Uint8Array; readonly safe: number; readonly count: number; readonly selections: readonly Uint8Array[]; readonly digest: Uint8Array; readonly tail: Uint8Array }
const PLAN: AttestPlan = { magic: 0xff544347, type: 0x8018, signer: new Uint8Array([0, 11, ...new Uint8Array(32)]), nonce: utf8('nonce'), safe: 1, count: 1, selections: [], digest: new Uint8Array(32), tail: new Uint8Array() }

const head = (plan: AttestPlan) => concat(be(plan.magic, 4), be(plan.type, 2), tpm2b(plan.signer), tpm2b(plan.nonce), be(5, 8), be(2, 4), be(1, 4), new Uint8Array([plan.safe]), be(0x20190b23, 8))

/** TPMS_ATTEST of a quote. */
export function attestOf(change: Partial<AttestPlan> = {}): Uint8Array {
  const plan = { ...PLAN, ...change }
  return concat(head(plan), be(change.count ?? plan.selections.length, 4), ...plan.selections, tpm2b(plan.digest), plan.tail)
}

/** TPMS_ATTEST of NV contents. */
export function nvAttestOf(contents: Uint8Array, change: Partial<AttestPlan> = {}): Uint8Array {
  const plan = { ...PLAN, type: 0x8014, ...change }
  return concat(head(plan), tpm2b(new Uint8Array([0, 11, 1])), be(4, 2), tpm2b(contents), plan.tail)
}

/** An RSA key made for these tests and nothing else. */
const RSA_N = 'b7bac0b6926777e3f83b9858ce6998fac8339e95ddd38c43b0a24805cfc9bd39a87eb8d3833ce2e5138da8fc7f2b4a37a5ee057e906f3f4a0122aff6f6fa84ae158639942c4b76f3dc793cd37f0ca7ac96442017c35b67334a94dcf62c466b25e97015aeb0dd8da4d8b9a327c158d24d22bf42f6bd21b529c23755ab44e02b4596e867c7f695908b7c60a3fd1cf8741b1a4c3fb91d46d26f68cf0c1a0eebd314a4c1e7cf0da87c5dec6626951779e049f2865610089d9e718f00885577e1042b0e3f23b5d6077f479a3624805b15eebf422cd663959f5153ae0d81dc26fc3d0ec2c85507975cbdb349fbbf69522d34c4d1e974c5b5a1bac5c0cdbd7f9355e5c7'
const RSA_D = '0f52f8c2e18d8164416e90638bd27beb782a475bb44a478f2d1ad94b5421929cf8aeefc72dd18a1280372c5fe452c88316b30bc09ad70f33781fc6b1cb0cbf11eead537d1bd559810d23b6e28f0765042743b1b239b2e9cb248e81002eab8596a9149657b68716cad28c128dd22465e4aacac2bb90afd08beb428697328c9df485de037e4f43a092bd3edf6c308aa9830047f501b630be15eeabd447bcf3f994459d335135e614711d50f6a49d83c24315d7d4aba0e785f2da4477fe4825f20ae6dc45973fc06037a42cc8e0d944c23a53bf5eb22c0226fc681e2904c34de6cce5fe180e7b5c799ee5ee9c88cb31f772a36a7cc2e0b8c18cd6d3ee86ab5dc71d'
const big = (bytes: Uint8Array) => BigInt(`0x${toHex(bytes)}`)

function rsaPower(encoded: Uint8Array): Uint8Array {
  const n = BigInt(`0x${RSA_N}`)
  let [result, square] = [1n, big(encoded)]
  for (let left = BigInt(`0x${RSA_D}`); left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = result * square % n
    square = square * square % n
  }
  return fromHex(result.toString(16).padStart(512, '0'))
}

/** RFC 8017 section 9.2, SHA-256. */
export function rsassa(message: Uint8Array): Uint8Array {
  const info = concat(fromHex('3031300d060960864801650304020105000420'), p.hash('sha256', message))
  return rsaPower(concat(new Uint8Array([0, 1]), new Uint8Array(256 - info.length - 3).fill(0xff), new Uint8Array([0]), info))
}

/** RFC 8017 section 9.1.1, SHA-256, a salt of zeros. */
function rsapss(message: Uint8Array): Uint8Array {
  const h = p.hash('sha256', concat(new Uint8Array(8), p.hash('sha256', message), new Uint8Array(32)))
  const db = concat(new Uint8Array(256 - 32 - 32 - 2), new Uint8Array([1]), new Uint8Array(32))
  const mask = concat(...Array.from({ length: 7 }, (_, i) => p.hash('sha256', concat(h, be(i, 4))))).subarray(0, db.length)
  const masked = db.map((byte, i) => byte ^ (mask[i] ?? 0))
  masked[0] = (masked[0] ?? 0) & 0x7f
  return rsaPower(concat(masked, h, new Uint8Array([0xbc])))
}

export interface TestKey { readonly key: PublicKey; readonly scheme: number; readonly hash: number; sign(message: Uint8Array): Uint8Array }
const HASH_ID: Record<HashName, number> = { sha256: 11, sha384: 12, sha512: 13 }

function ecdsa(curve: typeof p256, kind: 'p256' | 'p384', hash: HashName): TestKey {
  const secret = p.hash(kind === 'p256' ? 'sha256' : 'sha384', utf8(`test AK ${kind}`))
  const size = kind === 'p256' ? 32 : 48
  const sign = (message: Uint8Array) => {
    const raw = curve.sign(p.hash(hash, message), secret, { prehash: false })
    return concat(be(0x18, 2), be(HASH_ID[hash], 2), tpm2b(raw.subarray(0, size)), tpm2b(raw.subarray(size)))
  }
  return { key: { kind, raw: curve.getPublicKey(secret, false) }, scheme: 0x18, hash: HASH_ID[hash], sign }
}

const rsaKey = { kind: 'rsa' as const, n: fromHex(RSA_N), e: new Uint8Array([1, 0, 1]) }
export const AK = ecdsa(p256, 'p256', 'sha256')
export const AK384 = ecdsa(p384, 'p384', 'sha384')
export const AK_RSASSA: TestKey = { key: rsaKey, scheme: 0x14, hash: 11, sign: message => concat(be(0x14, 2), be(11, 2), tpm2b(rsassa(message))) }
export const AK_RSAPSS: TestKey = { key: rsaKey, scheme: 0x16, hash: 11, sign: message => concat(be(0x16, 2), be(11, 2), tpm2b(rsapss(message))) }

export const AK_ATTRIBUTES = 0x00050072 // fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign

export interface AreaPlan { readonly type: number; readonly nameAlg: number; readonly attributes: number; readonly policy: Uint8Array; readonly symmetric: Uint8Array; readonly scheme: Uint8Array; readonly parameters: Uint8Array; readonly unique: Uint8Array; readonly tail: Uint8Array }

/** TPMT_PUBLIC of a key. */
export function areaOf(from: TestKey, change: Partial<AreaPlan> = {}): Uint8Array {
  const rsa = from.key.kind === 'rsa'
  const raw = from.key.kind === 'rsa' ? from.key.n : from.key.raw
  const half = (raw.length - 1) / 2
  const plan: AreaPlan = {
    type: rsa ? 1 : 0x23, nameAlg: 11, attributes: AK_ATTRIBUTES, policy: new Uint8Array(), symmetric: be(0x10, 2), scheme: concat(be(from.scheme, 2), be(from.hash, 2)),
    parameters: rsa ? concat(be(2048, 2), be(0, 4)) : concat(be(from.key.kind === 'p384' ? 4 : 3, 2), be(0x10, 2)), unique: rsa ? tpm2b(raw) : concat(tpm2b(raw.subarray(1, 1 + half)), tpm2b(raw.subarray(1 + half))), tail: new Uint8Array(), ...change,
  }
  return concat(be(plan.type, 2), be(plan.nameAlg, 2), be(plan.attributes, 4), tpm2b(plan.policy), plan.symmetric, plan.scheme, plan.parameters, plan.unique, plan.tail)
}

export const nameOf = (area: Uint8Array): string => readPublicArea(p, area).name

/** The registers that a log leaves, quoted. */
export interface Machine { readonly log: Uint8Array; readonly bank: Bank; readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>; readonly selections: readonly Uint8Array[]; readonly concatenated: Uint8Array }

export function machineOf(log: Uint8Array = logOf(bootOf(), ['sha1', 'sha256', 'sha384']), bank: Bank = 'sha256'): Machine {
  const values = [...replay(hashIn(bank), parseEventLog(log), bank)].toSorted(([a], [b]) => a - b)
  return { log, bank, pcrs: { [bank]: Object.fromEntries(values.map(([index, value]) => [index, toHex(value)])) }, selections: [selection(BANK_ID[bank], values.map(([index]) => index))], concatenated: concat(...values.map(([, value]) => value)) }
}
