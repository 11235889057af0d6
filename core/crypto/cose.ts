/**
 * COSE_Sign1 (RFC 9052 section 4.2) and COSE_Key (section 7): read strictly, verified through the port. The algorithm comes
 * from the protected header and nowhere else; a label stands in one of the two headers; a critical parameter that the
 * caller does not know refuses. The unprotected header is not signed, so nothing here is decided by what it says.
 * Trusts: the port handed in, and the key that the caller chose.
 */
import { cborArray, cborBytes, cborFields, cborInt, cborLabel, cborOf, readCbor, writeCbor, type Cbor, type CborOptions, type Writable } from '../bytes/cbor.ts'
import { refuse } from '../refusal.ts'
import { pointOf, rawKey } from './keys.ts'
import type { Primitives, PublicKey, SignatureAlgorithm } from './primitives.ts'

export type CoseHeader = ReadonlyMap<number | string, Cbor>
export interface CoseSign1 {
  /** The protected header as it came: these bytes are signed. */
  readonly protectedBytes: Uint8Array
  readonly protected: CoseHeader
  readonly unprotected: CoseHeader
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  readonly algorithm: CoseAlgorithm
}

export interface Sign1Options {
  /** What the bytes are, for refusals. */
  readonly at?: string
  /** Does the format put tag 18 before it? `optional` only where the format says so. */
  readonly tag: 'required' | 'optional' | 'forbidden'
  /** The payload, where the format sends it apart (section 4.1: nil in the structure). */
  readonly detached?: Uint8Array
  /** Critical parameters, by label, that the caller examines itself. */
  readonly criticalKnown?: readonly (number | string)[]
  /** What the format's encoders do beyond strict CBOR. */
  readonly cbor?: Pick<CborOptions, 'limits' | 'indefinite' | 'longForms'>
}

const SIGN1_TAG = 18
export const HEADER = { algorithm: 1, critical: 2, contentType: 3, keyId: 4 } as const

/**
 * One COSE_Sign1. Leaves with `cbor.*`, `bytes.*`, `cose.header` or `crypto.algorithm`.
 *
 * @example
 * readSign1(fromHex('8443a10126a04568656c6c6f' + '5840' + '00'.repeat(64)), { tag: 'forbidden' }).algorithm // → 'ES256'
 */
export function readSign1(bytes: Uint8Array, options: Sign1Options): CoseSign1 {
  const at = options.at ?? 'COSE_Sign1'
  const [head, unprotectedMap, body, signature] = cborArray(untagged(readCbor(bytes, { ...options.cbor, at }), options.tag, at), at, 4, 4)
  const protectedBytes = cborBytes(head, `${at}.protected`)
  const header = protectedBytes.length === 0 ? new Map<number | string, Cbor>() : cborFields(readCbor(protectedBytes, { ...options.cbor, at: `${at}.protected` }), `${at}.protected`)
  const unprotected = cborFields(unprotectedMap, `${at}.unprotected`)
  checkHeaders(header, unprotected, options.criticalKnown ?? [], at)
  return { protectedBytes, protected: header, unprotected, payload: payloadOf(body, options.detached, at), signature: cborBytes(signature, `${at}.signature`, 1), algorithm: algorithmOf(header, at) }
}

/**
 * Does this key sign it, by the algorithm of the protected header? A key of another kind than the algorithm's leaves with
 * `crypto.algorithm`; `externalAad` is what the format binds beside the payload (section 4.3).
 */
export function verifySign1(p: Primitives, sign1: CoseSign1, key: PublicKey, externalAad: Uint8Array = new Uint8Array(0)): boolean {
  const { port, kind } = ALGORITHMS[sign1.algorithm]
  if (key.kind !== kind) refuse('crypto.algorithm', 'COSE_Sign1.alg', `an algorithm for a ${key.kind} key`, sign1.algorithm)
  return p.verify(port, key, sigStructure(sign1.protectedBytes, sign1.payload, externalAad), sign1.signature)
}

/** What is signed (section 4.4): the context, the protected header as it came, the external data and the payload. */
export function sigStructure(protectedBytes: Uint8Array, payload: Uint8Array, externalAad: Uint8Array = new Uint8Array(0)): Uint8Array {
  return writeCbor(['Signature1', protectedBytes, externalAad, payload])
}

/** Writes a COSE_Sign1; the signature comes from the port. A detached payload is signed and not written. Trusts its caller. */
export function writeSign1(plan: { readonly protected: ReadonlyMap<Writable, Writable>; readonly unprotected?: ReadonlyMap<Writable, Writable>; readonly payload: Uint8Array; readonly detached?: boolean; readonly tagged: boolean }, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const protectedBytes = plan.protected.size === 0 ? new Uint8Array(0) : writeCbor(plan.protected)
  const body = [protectedBytes, plan.unprotected ?? new Map<Writable, Writable>(), plan.detached === true ? null : plan.payload, sign(sigStructure(protectedBytes, plan.payload))]
  return writeCbor(plan.tagged ? { tag: SIGN1_TAG, value: body } : body)
}

// ---- algorithms (RFC 9053, RFC 9864), as far as the port knows them

export type CoseAlgorithm = 'ES256' | 'ES384' | 'EdDSA' | 'PS256' | 'PS384' | 'PS512'
const ALGORITHMS: Record<CoseAlgorithm, { readonly port: SignatureAlgorithm; readonly kind: PublicKey['kind'] }> = {
  ES256: { port: 'ecdsa-p256-sha256', kind: 'p256' }, ES384: { port: 'ecdsa-p384-sha384', kind: 'p384' }, EdDSA: { port: 'ed25519', kind: 'ed25519' },
  PS256: { port: 'rsa-pss-sha256', kind: 'rsa' }, PS384: { port: 'rsa-pss-sha384', kind: 'rsa' }, PS512: { port: 'rsa-pss-sha512', kind: 'rsa' },
}
/** The registered numbers; -9, -51 and -19 are the fully specified names of the first three. */
const NUMBERS: ReadonlyMap<number, CoseAlgorithm> = new Map([[-7, 'ES256'], [-9, 'ES256'], [-35, 'ES384'], [-51, 'ES384'], [-8, 'EdDSA'], [-19, 'EdDSA'], [-37, 'PS256'], [-38, 'PS384'], [-39, 'PS512']])
/** The kind of key that an algorithm needs. */
export const coseKeyKind = (name: CoseAlgorithm): PublicKey['kind'] => ALGORITHMS[name].kind
/** The number of an algorithm in its registry. */
export const coseAlgorithmNumber = (name: CoseAlgorithm): number => [...NUMBERS].find(([, known]) => known === name)?.[0] ?? 0

function algorithmOf(header: CoseHeader, at: string): CoseAlgorithm {
  const value = header.get(HEADER.algorithm)
  if (value === undefined) return refuse('crypto.algorithm', `${at}.protected.alg`, 'an algorithm in the protected header', 'none')
  return algorithmNamed(value, `${at}.protected.alg`)
}

function algorithmNamed(value: Cbor, at: string): CoseAlgorithm {
  const number = value.kind === 'int' ? Number(value.value) : Number.NaN
  return NUMBERS.get(number) ?? refuse('crypto.algorithm', at, Object.keys(ALGORITHMS).join(', '), value.kind === 'int' ? String(value.value) : value.kind)
}

// ---- headers

function untagged(value: Cbor, tag: Sign1Options['tag'], at: string): Cbor {
  if (value.kind !== 'tag') return tag === 'required' ? refuse('cbor.syntax', at, `tag ${SIGN1_TAG}`, 'none') : value
  return tag !== 'forbidden' && value.tag === SIGN1_TAG ? value.value : refuse('cbor.syntax', at, tag === 'forbidden' ? 'no tag' : `tag ${SIGN1_TAG}`, `tag ${value.tag}`)
}

/** No label twice over both headers (section 3), and every critical parameter known (section 3.1). */
function checkHeaders(header: CoseHeader, unprotected: CoseHeader, known: readonly (number | string)[], at: string): void {
  for (const label of unprotected.keys()) if (header.has(label)) refuse('cose.header', `${at}.unprotected`, 'each parameter in one header', `${label} in both`)
  if (unprotected.has(HEADER.critical)) refuse('cose.header', `${at}.unprotected`, 'crit in the protected header', 'crit in the unprotected')
  const critical = header.get(HEADER.critical)
  for (const one of critical === undefined ? [] : cborArray(critical, `${at}.crit`, 1, 16)) {
    const label = cborLabel(one, `${at}.crit`)
    if (!header.has(label)) refuse('cose.header', `${at}.crit`, 'parameters that are there', String(label))
    if (!known.includes(label) && label !== HEADER.algorithm) refuse('cose.header', `${at}.crit`, known.length === 0 ? 'no critical parameter' : known.join(', '), String(label))
  }
}

function payloadOf(body: Cbor | undefined, detached: Uint8Array | undefined, at: string): Uint8Array {
  if (detached === undefined) return cborBytes(body, `${at}.payload`)
  return body?.kind === 'null' ? detached : refuse('cbor.syntax', `${at}.payload`, 'nil for a detached payload', body?.kind ?? 'nothing')
}

// ---- COSE_Key

const KEY = { type: 1, id: 2, algorithm: 3, operations: 4, curve: -1, x: -2, y: -3, n: -1, e: -2 } as const
const VERIFY = 2
/** Curves by key type and number: what the port calls them and the bytes of a coordinate. */
const CURVES: Readonly<Record<string, { readonly kind: 'p256' | 'p384' | 'ed25519'; readonly bytes: number }>> = { '2.1': { kind: 'p256', bytes: 32 }, '2.2': { kind: 'p384', bytes: 48 }, '1.6': { kind: 'ed25519', bytes: 32 } }

/**
 * The public key in a COSE_Key (RFC 9052 section 7, RFC 9053 section 7): EC2 on P-256 or P-384 with both coordinates,
 * Ed25519, or RSA (RFC 8230). Private parts, other parameters, an algorithm of another kind of key or a key that may not
 * verify leave with `crypto.key`.
 */
export function readCoseKey(bytes: Uint8Array, at = 'COSE_Key'): PublicKey {
  const fields = cborFields(readCbor(bytes, { at }), at)
  const type = cborInt(fields.get(KEY.type), `${at}.kty`)
  const key = type === 3 ? rsaKey(fields, at) : curveKey(fields, type, at)
  // n and e of RSA have the numbers of curve and x.
  const allowed: readonly (number | string)[] = [KEY.type, KEY.id, KEY.algorithm, KEY.operations, KEY.curve, KEY.x, ...(type === 2 ? [KEY.y] : [])]
  for (const label of fields.keys()) if (!allowed.includes(label)) refuse('crypto.key', at, 'the parameters of a public key', `parameter ${label}`)
  checkUse(fields, key, at)
  return key
}

/** The deterministic COSE_Key of a key on a curve, for tests and writers. */
export function writeCoseKey(key: PublicKey): Uint8Array {
  if (key.kind === 'rsa') return writeCbor(new Map<Writable, Writable>([[KEY.type, 3], [KEY.n, key.n], [KEY.e, key.e]]))
  if (key.kind === 'ed25519') return writeCbor(new Map<Writable, Writable>([[KEY.type, 1], [KEY.curve, 6], [KEY.x, key.raw]]))
  if (key.kind !== 'p256' && key.kind !== 'p384') throw new TypeError(`no COSE_Key for ${key.kind}`)
  const size = (key.raw.length - 1) / 2
  return writeCbor(new Map<Writable, Writable>([[KEY.type, 2], [KEY.curve, key.kind === 'p256' ? 1 : 2], [KEY.x, key.raw.subarray(1, 1 + size)], [KEY.y, key.raw.subarray(1 + size)]]))
}

function curveKey(fields: CoseHeader, type: number, at: string): PublicKey {
  const number = cborInt(fields.get(KEY.curve), `${at}.crv`)
  const curve = CURVES[`${type}.${number}`] ?? refuse('crypto.key', at, 'P-256, P-384 or Ed25519', `key type ${type}, curve ${number}`)
  const x = coordinate(fields.get(KEY.x), curve.bytes, `${at}.x`)
  return rawKey(curve.kind, curve.kind === 'ed25519' ? x : pointOf(x, coordinate(fields.get(KEY.y), curve.bytes, `${at}.y`)), at)
}

/** Coordinates keep their leading zeros (RFC 9053 section 7.1.1); a compressed y (a boolean) is not read. */
function coordinate(value: Cbor | undefined, bytes: number, at: string): Uint8Array {
  return value?.kind === 'bytes' && value.value.length === bytes ? value.value : refuse('crypto.key', at, `${bytes} bytes`, value?.kind === 'bytes' ? `${value.value.length} bytes` : value?.kind ?? 'nothing')
}

function rsaKey(fields: CoseHeader, at: string): PublicKey {
  return { kind: 'rsa', n: cborBytes(fields.get(KEY.n), `${at}.n`, 256, 1024), e: cborBytes(fields.get(KEY.e), `${at}.e`, 1, 8) }
}

function checkUse(fields: CoseHeader, key: PublicKey, at: string): void {
  const algorithm = fields.get(KEY.algorithm)
  if (algorithm !== undefined && ALGORITHMS[algorithmNamed(algorithm, `${at}.alg`)].kind !== key.kind) refuse('crypto.key', `${at}.alg`, `an algorithm for ${key.kind}`, String(cborOf('int', algorithm, at).value))
  const operations = fields.get(KEY.operations)
  if (operations !== undefined && !cborArray(operations, `${at}.key_ops`, 1, 16).some(one => one.kind === 'int' && one.value === VERIFY)) refuse('crypto.key', `${at}.key_ops`, 'a key that may verify', 'another use')
}
