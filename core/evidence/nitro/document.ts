/**
 * The attestation document of AWS Nitro Enclaves (aws-nitro-enclaves-nsm-api, attestation_process.md): a COSE_Sign1 by
 * ES384 around a map of nine fields with fixed lengths. Newer hypervisors write the map without a length before it, so
 * indefinite lengths are read in the payload, and nowhere else; unknown and double fields are refused.
 * Trusts nothing: what is read here is believed only after `verify.ts`.
 */
import { cborArray, cborBytes, cborFields, cborInt, cborText, readCbor, type Cbor } from '../../bytes/cbor.ts'
import { readSign1, type CoseSign1 } from '../../crypto/cose.ts'
import { refuse } from '../../refusal.ts'

export interface NitroDocument {
  readonly sign1: CoseSign1
  /** Instance and enclave: i-…-enc…. */
  readonly moduleId: string
  readonly digest: NitroDigest
  /** When the document was made, milliseconds since 1970. */
  readonly timestampMs: number
  /** The locked registers by number, in ascending order; those that were never extended are zero. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  /** DER of the certificate whose key signed, and of its authorities, the root first. */
  readonly certificate: Uint8Array
  readonly cabundle: readonly Uint8Array[]
  /** What the enclave asked to have signed; absent and null are the same. */
  readonly publicKey?: Uint8Array
  readonly userData?: Uint8Array
  readonly nonce?: Uint8Array
}
export type NitroDigest = 'SHA256' | 'SHA384' | 'SHA512'

const DIGEST_BYTES: Readonly<Record<string, number>> = { SHA256: 32, SHA384: 48, SHA512: 64 }
/** The lengths of the specification, and how large a document can be. */
const LIMITS = { document: 32 * 1024, depth: 4, items: 128, moduleId: 256, pcrs: 32, certificate: 1024, cabundle: 6, publicKey: 1024, userData: 512, nonce: 512 }
const FIELDS = ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle', 'public_key', 'user_data', 'nonce']

/** A document as it came. Leaves with `cbor.*`, `cose.header`, `crypto.algorithm`, `bytes.*`, `evidence.missing` or `evidence.parse`. */
export function parseDocument(bytes: Uint8Array): NitroDocument {
  const limits = { bytes: LIMITS.document, depth: LIMITS.depth, items: LIMITS.items }
  const sign1 = readSign1(bytes, { at: 'document', tag: 'optional', cbor: { limits } })
  if (sign1.algorithm !== 'ES384') refuse('crypto.algorithm', 'document.protected.alg', 'ES384', sign1.algorithm)
  const fields = cborFields(readCbor(sign1.payload, { at: 'payload', limits, indefinite: true }), 'payload')
  for (const key of fields.keys()) if (!FIELDS.includes(String(key))) refuse('evidence.parse', `payload.${key}`, FIELDS.join(', '), String(key))
  const digest = cborText(needed(fields, 'digest'), 'payload.digest')
  return {
    sign1, digest: digestName(digest), moduleId: cborText(needed(fields, 'module_id'), 'payload.module_id', LIMITS.moduleId), timestampMs: cborInt(needed(fields, 'timestamp'), 'payload.timestamp', 1),
    pcrs: registers(needed(fields, 'pcrs'), DIGEST_BYTES[digest] ?? 0),
    certificate: cborBytes(needed(fields, 'certificate'), 'payload.certificate', 1, LIMITS.certificate),
    cabundle: cborArray(needed(fields, 'cabundle'), 'payload.cabundle', 1, LIMITS.cabundle).map((one, i) => cborBytes(one, `payload.cabundle[${i}]`, 1, LIMITS.certificate)),
    ...optional('publicKey', fields.get('public_key'), 1, LIMITS.publicKey), ...optional('userData', fields.get('user_data'), 0, LIMITS.userData), ...optional('nonce', fields.get('nonce'), 0, LIMITS.nonce),
  }
}

const needed = (fields: ReadonlyMap<number | string, Cbor>, key: string): Cbor => fields.get(key) ?? refuse('evidence.missing', `payload.${key}`, 'the field', 'nothing')

function digestName(text: string): NitroDigest {
  return text === 'SHA256' || text === 'SHA384' || text === 'SHA512' ? text : refuse('evidence.parse', 'payload.digest', Object.keys(DIGEST_BYTES).join(', '), text)
}

/** Sparse: PCR 0 to 2 are always there, others where they mean something (attacks.md section 7.4). */
function registers(value: Cbor, bytes: number): Map<number, Uint8Array> {
  const read = [...cborFields(value, 'payload.pcrs')].map(([index, one]) => {
    const at = `payload.pcrs[${index}]`
    if (typeof index !== 'number' || index < 0 || index >= LIMITS.pcrs) return refuse('evidence.parse', at, `a register from 0 to ${LIMITS.pcrs - 1}`, String(index))
    return [index, cborBytes(one, at, bytes, bytes)] as const
  })
  const out = new Map(read.toSorted(([a], [b]) => a - b))
  for (const index of [0, 1, 2]) if (!out.has(index)) refuse('evidence.missing', `payload.pcrs[${index}]`, 'the register', 'nothing')
  return out
}

/** A field that may be left out or null. */
function optional<K extends string>(name: K, value: Cbor | undefined, min: number, max: number): { readonly [key in K]?: Uint8Array } {
  // The computed key is K, which TypeScript widens to string.
  return value === undefined || value.kind === 'null' ? {} : { [name]: cborBytes(value, `payload.${name}`, min, max) } as { readonly [key in K]?: Uint8Array }
}
