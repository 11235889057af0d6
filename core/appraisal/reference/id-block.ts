/**
 * The ID block of a SEV-SNP guest (SEV-SNP Firmware ABI Specification 1.57, section 8.17, tables 75 to 77): its owner's
 * word, signed, about what is to be launched: digest, family, image, security version, policy. Firmware compares it
 * with the launch and puts the digests of the keys into every report. Trusts the port for signatures and hashes; whose
 * keys they are is for the reader of the digests to know.
 */
import { allZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { Reader } from '../../bytes/reader.ts'
import type { Primitives, PublicKey } from '../../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../../refusal.ts'

export const ID_BLOCK_BYTES = 96
export const ID_AUTH_BYTES = 4096

export interface IdBlock {
  /** Hex, 48 bytes: the launch digest that firmware insists on. */
  readonly digest: string
  readonly familyId: string
  readonly imageId: string
  readonly guestSvn: number
  readonly policy: bigint
  /** Hex, 48 bytes: ID_KEY_DIGEST of the reports. */
  readonly idKeyDigest: string
  /** AUTHOR_KEY_DIGEST; absent where no author signed for the ID key. */
  readonly authorKeyDigest?: string
}

/**
 * The ID block in these bytes, signed as its authentication page says. Refuses with `evidence.parse`, `evidence.version`,
 * `evidence.reserved-bits`, `evidence.signature` or `bytes.*`.
 */
export function readIdBlock(p: Primitives, block: Uint8Array, auth: Uint8Array): Result<IdBlock> {
  return attempt(() => {
    const page = readAuth(auth)
    const said = readBlock(block)
    checkSignature(p, page.idKey, block, page.blockSignature, 'idAuth.blockSignature')
    const idKeyDigest = toHex(p.hash('sha384', page.idKey))
    if (page.authorKey === undefined) return { ...said, idKeyDigest }
    checkSignature(p, page.authorKey, page.idKey, page.keySignature, 'idAuth.keySignature')
    return { ...said, idKeyDigest, authorKeyDigest: toHex(p.hash('sha384', page.authorKey)) }
  })
}

function readBlock(bytes: Uint8Array): Omit<IdBlock, 'idKeyDigest'> {
  const reader = new Reader(bytes, 'idBlock@')
  const [digest, familyId, imageId] = [48, 16, 16].map(length => toHex(reader.take(length)))
  const [version, guestSvn, policy] = [reader.u32le(), reader.u32le(), reader.u64le()]
  reader.end()
  if (version !== 1) refuse('evidence.version', 'idBlock', 'version 1', String(version))
  return { digest: digest ?? '', familyId: familyId ?? '', imageId: imageId ?? '', guestSvn, policy }
}

interface Auth { readonly idKey: Uint8Array; readonly blockSignature: Uint8Array; readonly authorKey?: Uint8Array; readonly keySignature: Uint8Array }
const KEY_BYTES = 1028
const SIGNATURE_BYTES = 512
const ECDSA_P384_SHA384 = 1

function readAuth(bytes: Uint8Array): Auth {
  const reader = new Reader(bytes, 'idAuth@')
  const [idAlgorithm, authorAlgorithm] = [reader.u32le(), reader.u32le()]
  zeros(reader, 56)
  const [blockSignature, idKey] = [reader.take(SIGNATURE_BYTES), reader.take(KEY_BYTES)]
  zeros(reader, 60)
  const [keySignature, authorKey] = [reader.take(SIGNATURE_BYTES), reader.take(KEY_BYTES)]
  zeros(reader, 892)
  reader.end()
  const authored = !allZero(authorKey) || !allZero(keySignature)
  for (const [at, algorithm] of [['idAuth.idKeyAlgorithm', idAlgorithm], ['idAuth.authorKeyAlgorithm', authored ? authorAlgorithm : ECDSA_P384_SHA384]] as const) {
    if (algorithm !== ECDSA_P384_SHA384) refuse('evidence.parse', at, '1 (ECDSA P-384 with SHA-384)', String(algorithm))
  }
  return { idKey, blockSignature, keySignature, ...(authored ? { authorKey } : {}) }
}

function zeros(reader: Reader, length: number): void {
  const where = reader.where()
  if (!allZero(reader.take(length))) refuse('evidence.reserved-bits', where, 'zeros', 'others')
}

function checkSignature(p: Primitives, key: Uint8Array, message: Uint8Array, signature: Uint8Array, at: string): void {
  const reader = new Reader(signature, `${at}@`)
  const raw = new Uint8Array([...component(reader), ...component(reader)])
  zeros(reader, SIGNATURE_BYTES - 144)
  if (!p.verify('ecdsa-p384-sha384', publicKey(key, at), message, raw)) refuse('evidence.signature', at, 'a signature by the key beside it', 'one that does not hold')
}

const P384 = 2
function publicKey(bytes: Uint8Array, at: string): PublicKey {
  const reader = new Reader(bytes, `${at}.key@`)
  const curve = reader.u32le()
  if (curve !== P384) refuse('evidence.parse', `${at}.key`, '2 (P-384)', String(curve))
  const raw = new Uint8Array([4, ...component(reader), ...component(reader)])
  zeros(reader, KEY_BYTES - 148)
  return { kind: 'p384', raw }
}

/** A number of 384 bits, little-endian in 72 bytes; turned around. */
function component(reader: Reader): Uint8Array {
  const value = reader.take(48).toReversed()
  zeros(reader, 24)
  return value
}
