/**
 * The structures of TPM 2.0 that a quote is made of (TCG TPM 2.0 Library, Part 2: Structures): TPMS_ATTEST of a quote or
 * of NV contents, TPMT_SIGNATURE, TPMT_PUBLIC and its Name. Big-endian, every size bounded, read to the end, reserved
 * bits zero. Trusts nothing.
 */
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import { pointOf, rawKey } from '../../crypto/keys.ts'
import type { HashName, Primitives, PublicKey, SignatureAlgorithm } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { BANK_OF, type Bank } from '../eventlog/log.ts'

/** Sizes in bytes; a structure that says more is refused before it is read. */
export const TPM_LIMITS = { attest: 4096, signature: 2048, publicArea: 2048, name: 66, extraData: 66, digest: 64, banks: 8, nv: 2048 }
export const PCR_COUNT = 24

const MAGIC = 0xff544347 // "\xffTCG": a restricted key signs this prefix only for structures the TPM made itself
const QUOTE = 0x8018
const NV = 0x8014
const ALG = { rsa: 0x0001, null: 0x0010, rsassa: 0x0014, rsapss: 0x0016, ecdsa: 0x0018, ecc: 0x0023 }
const HASHES: Readonly<Record<number, HashName>> = { 0x000b: 'sha256', 0x000c: 'sha384', 0x000d: 'sha512' }

/** Which registers of one bank the TPM says it digested. */
export interface PcrSelection { readonly bank: Bank; readonly indexes: readonly number[] }

interface AttestCommon {
  /** The AK's Name together with those of its parents, as the TPM computed it; '' when the TPM left it out. */
  readonly qualifiedSigner: string
  /** What the caller asked to have signed: the nonce. */
  readonly extraData: Uint8Array
  readonly clock: { readonly milliseconds: bigint; readonly resetCount: number; readonly restartCount: number; readonly safe: boolean }
  readonly firmwareVersion: string
}
export interface QuoteAttest extends AttestCommon { readonly type: 'quote'; readonly selections: readonly PcrSelection[]; readonly pcrDigest: Uint8Array }
export interface NvAttest extends AttestCommon { readonly type: 'nv'; readonly indexName: string; readonly offset: number; readonly contents: Uint8Array }

/** TPMS_ATTEST (section 10.12.12) of TPM2_Quote or TPM2_NV_Certify. Leaves with `evidence.parse`, `evidence.version` or `bytes.*`. */
export function readAttest(bytes: Uint8Array, at = 'message'): QuoteAttest | NvAttest {
  const reader = opened(bytes, TPM_LIMITS.attest, at)
  const magic = reader.u32be()
  if (magic !== MAGIC) refuse('evidence.parse', `${at}.magic`, 'ff544347', magic.toString(16))
  const type = reader.u16be()
  const qualifiedSigner = toHex(sized(reader, TPM_LIMITS.name))
  const extraData = sized(reader, TPM_LIMITS.extraData)
  const clock = readClock(reader, at)
  const firmwareVersion = toHex(reader.take(8))
  const common = { qualifiedSigner, extraData, clock, firmwareVersion }
  const attested = type === QUOTE ? { ...common, type: 'quote' as const, ...readQuote(reader, at) } : type === NV ? { ...common, type: 'nv' as const, ...readNv(reader) } : refuse('evidence.parse', `${at}.type`, 'a quote (8018) or NV contents (8014)', type.toString(16))
  reader.end()
  return attested
}

function readClock(reader: Reader, at: string): AttestCommon['clock'] {
  const clock = { milliseconds: reader.u64be(), resetCount: reader.u32be(), restartCount: reader.u32be() }
  const safe = reader.u8()
  if (safe > 1) refuse('evidence.parse', `${at}.clockInfo.safe`, '0 or 1', String(safe))
  return { ...clock, safe: safe === 1 }
}

/** TPMS_QUOTE_INFO. Each bank may stand there once: two entries for one would make the digest's meaning depend on the reader. */
function readQuote(reader: Reader, at: string): { selections: PcrSelection[]; pcrDigest: Uint8Array } {
  const count = reader.u32be()
  if (count < 1 || count > TPM_LIMITS.banks) refuse('evidence.parse', `${at}.pcrSelect`, `1 to ${TPM_LIMITS.banks} banks`, String(count))
  const selections: PcrSelection[] = []
  for (let i = 0; i < count; i++) selections.push(readSelection(reader, selections, `${at}.pcrSelect[${i}]`))
  return { selections, pcrDigest: sized(reader, TPM_LIMITS.digest) }
}

function readSelection(reader: Reader, before: readonly PcrSelection[], at: string): PcrSelection {
  const id = reader.u16be()
  const bank = BANK_OF[id]
  if (bank === undefined || before.some(one => one.bank === bank)) return refuse('evidence.parse', at, 'sha1, sha256, sha384 or sha512, each once', `0x${id.toString(16)}`)
  const size = reader.u8()
  if (size < 1 || size > 4) refuse('evidence.parse', at, 'a bitmap of 1 to 4 bytes', String(size))
  const bits = [...reader.take(size)]
  const indexes = bits.flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter(bit => (byte >> bit & 1) === 1).map(bit => 8 * i + bit))
  if (indexes.some(index => index >= PCR_COUNT)) refuse('evidence.reserved-bits', at, `registers below ${PCR_COUNT}`, indexes.join(', '))
  return { bank, indexes }
}

/** TPMS_NV_CERTIFY_INFO. */
function readNv(reader: Reader): { indexName: string; offset: number; contents: Uint8Array } {
  return { indexName: toHex(sized(reader, TPM_LIMITS.name)), offset: reader.u16be(), contents: sized(reader, TPM_LIMITS.nv) }
}

export interface TpmSignature { readonly scheme: 'rsassa' | 'rsapss' | 'ecdsa'; readonly hash: HashName; /** ECDSA: r and s, each without leading zeros. */ readonly parts: readonly Uint8Array[] }

/** TPMT_SIGNATURE (section 11.3.4). Leaves with `crypto.algorithm` for SHA-1 and unknown schemes, or `bytes.*`. */
export function readSignature(bytes: Uint8Array, at = 'signature'): TpmSignature {
  const reader = opened(bytes, TPM_LIMITS.signature, at)
  const id = reader.u16be()
  const scheme = id === ALG.rsassa ? 'rsassa' : id === ALG.rsapss ? 'rsapss' : id === ALG.ecdsa ? 'ecdsa' : refuse('crypto.algorithm', at, 'RSASSA, RSAPSS or ECDSA', `0x${id.toString(16)}`)
  const hash = hashOf(reader.u16be(), at)
  const parts = scheme === 'ecdsa' ? [sized(reader, 66), sized(reader, 66)] : [sized(reader, 1024)]
  reader.end()
  return { scheme, hash, parts }
}

/** Does this key sign these bytes? The scheme is the signature's; it must fit the key, and the scheme that the key is bound to. */
export function signatureHolds(p: Primitives, key: PublicKey, message: Uint8Array, signature: TpmSignature): boolean {
  const { scheme, hash, parts: [first = new Uint8Array(), second] } = signature
  if (key.kind === 'rsa') return scheme !== 'ecdsa' && p.verify(scheme === 'rsassa' ? `rsa-pkcs1-${hash}` : `rsa-pss-${hash}`, key, message, first)
  const algorithm = ecdsaAlgorithm(key, hash)
  const size = key.kind === 'p384' ? 48 : 32
  if (scheme !== 'ecdsa' || second === undefined || algorithm === undefined || first.length > size || second.length > size) return false
  return p.verify(algorithm, key, message, concat(new Uint8Array(size - first.length), first, new Uint8Array(size - second.length), second))
}

function ecdsaAlgorithm(key: PublicKey, hash: HashName): SignatureAlgorithm | undefined {
  if (hash === 'sha512' || (key.kind !== 'p256' && key.kind !== 'p384')) return undefined
  return `ecdsa-${key.kind}-${hash}`
}

/** TPMA_OBJECT: what the TPM promises about a key (section 8.3). */
const ATTRIBUTES: Readonly<Record<string, number>> = {
  fixedTPM: 1, stClear: 2, fixedParent: 4, sensitiveDataOrigin: 5, userWithAuth: 6, adminWithPolicy: 7, firmwareLimited: 8, svnLimited: 9, noDA: 10, encryptedDuplication: 11, restricted: 16, decrypt: 17, sign: 18, x509sign: 19,
}
const ATTRIBUTE_MASK = Object.values(ATTRIBUTES).reduce((mask, bit) => mask | (1 << bit), 0)

export interface PublicArea {
  readonly key: PublicKey
  readonly attributes: readonly string[]
  /** The scheme a key is bound to; none where it may sign with several. */
  readonly scheme?: TpmSignature['scheme']
  readonly schemeHash?: HashName
  /** Hash algorithm and digest of the public area: what names a key for ever (Part 1 section 16). */
  readonly name: string
}

/** TPMT_PUBLIC (section 12.2.4), or TPM2B_PUBLIC around it. Leaves with `evidence.parse`, `crypto.*` or `bytes.*`. */
export function readPublicArea(p: Primitives, bytes: Uint8Array, at = 'ak'): PublicArea {
  if (bytes.length > TPM_LIMITS.publicArea) refuse('bytes.too-large', at, `at most ${TPM_LIMITS.publicArea} bytes`, `${bytes.length} bytes`)
  const inner = bytes.length > 2 && (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) === bytes.length - 2 ? bytes.subarray(2) : bytes
  const reader = new Reader(inner, `${at}@`)
  const type = reader.u16be()
  const nameHash = reader.u16be()
  const attributes = readAttributes(reader.u32be(), at)
  sized(reader, TPM_LIMITS.digest) // authPolicy: who may use the key is its owner's business
  if (type !== ALG.rsa && type !== ALG.ecc) return refuse('crypto.key', at, 'an RSA or ECC key', `0x${type.toString(16)}`)
  skipSymmetric(reader)
  const bound = readScheme(reader, at)
  const key = type === ALG.rsa ? readRsa(reader, at) : readEcc(reader, at)
  reader.end()
  const hash = hashOf(nameHash, `${at}.nameAlg`)
  const name = nameHash.toString(16).padStart(4, '0') + toHex(p.hash(hash, inner))
  return { key, attributes, ...bound, name }
}

function readAttributes(value: number, at: string): string[] {
  if ((value & ~ATTRIBUTE_MASK) !== 0) refuse('evidence.reserved-bits', `${at}.objectAttributes`, 'only known attributes', `0x${value.toString(16)}`)
  return Object.entries(ATTRIBUTES).filter(([, bit]) => (value >>> bit & 1) === 1).map(([name]) => name)
}

/** TPMT_SYM_DEF_OBJECT: null for a signing key; a storage key names a cipher, which is read over. */
function skipSymmetric(reader: Reader): void {
  if (reader.u16be() !== ALG.null) reader.take(4)
}

function readScheme(reader: Reader, at: string): { scheme?: TpmSignature['scheme']; schemeHash?: HashName } {
  const id = reader.u16be()
  if (id === ALG.null) return {}
  const scheme = id === ALG.rsassa ? 'rsassa' : id === ALG.rsapss ? 'rsapss' : id === ALG.ecdsa ? 'ecdsa' : refuse('crypto.algorithm', `${at}.scheme`, 'RSASSA, RSAPSS, ECDSA or none', `0x${id.toString(16)}`)
  return { scheme, schemeHash: hashOf(reader.u16be(), `${at}.scheme`) }
}

function readRsa(reader: Reader, at: string): PublicKey {
  const bits = reader.u16be()
  const exponent = reader.u32be()
  const n = sized(reader, 1024)
  if (8 * n.length !== bits || (n[0] ?? 0) < 0x80) refuse('crypto.key', at, `a modulus of ${bits} bits`, `${8 * n.length} bits`)
  const e = exponent === 0 ? 65537 : exponent
  return { kind: 'rsa', n, e: new Uint8Array([e >>> 24, (e >>> 16) & 255, (e >>> 8) & 255, e & 255]).subarray(e > 0xffffff ? 0 : e > 0xffff ? 1 : e > 0xff ? 2 : 3) }
}

function readEcc(reader: Reader, at: string): PublicKey {
  const curve = reader.u16be()
  const kind = curve === 3 ? 'p256' : curve === 4 ? 'p384' : refuse('crypto.key', at, 'P-256 or P-384', `curve 0x${curve.toString(16)}`)
  if (reader.u16be() !== ALG.null) reader.take(2) // a key derivation scheme with its hash
  const size = kind === 'p384' ? 48 : 32
  const [x, y] = [sized(reader, size), sized(reader, size)]
  return rawKey(kind, pointOf(concat(new Uint8Array(size - x.length), x), concat(new Uint8Array(size - y.length), y)), at)
}

function hashOf(id: number, at: string): HashName {
  return HASHES[id] ?? refuse('crypto.algorithm', at, 'SHA-256, SHA-384 or SHA-512', `0x${id.toString(16)}`)
}

function opened(bytes: Uint8Array, max: number, at: string): Reader {
  if (bytes.length > max) refuse('bytes.too-large', at, `at most ${max} bytes`, `${bytes.length} bytes`)
  return new Reader(bytes, `${at}@`)
}

/** A TPM2B: 16 bits of length and that many bytes. */
function sized(reader: Reader, max: number): Uint8Array {
  const where = reader.where()
  const size = reader.u16be()
  if (size > max) refuse('bytes.too-large', where, `at most ${max} bytes`, String(size))
  return reader.take(size)
}
