/** HKDF (RFC 5869) over the port's HMAC. Trusts the port. */
import { concat } from '../bytes/bytes.ts'
import type { HashName, Primitives } from './primitives.ts'

export function hkdfExtract(p: Primitives, hash: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return p.hmac(hash, salt.length === 0 ? new Uint8Array(HASH_BYTES[hash]) : salt, ikm)
}

export function hkdfExpand(p: Primitives, hash: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length > 255 * HASH_BYTES[hash]) throw new RangeError('HKDF gives at most 255 hashes')
  const blocks: Uint8Array[] = []
  let last: Uint8Array = new Uint8Array(0)
  for (let made = 0, i = 1; made < length; made += last.length, i++) {
    last = p.hmac(hash, prk, concat(last, info, new Uint8Array([i])))
    blocks.push(last)
  }
  return concat(...blocks).subarray(0, length)
}

/** Extract, then expand to `length` bytes (at most 255 hashes). */
export function hkdf(p: Primitives, hash: HashName, ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  return hkdfExpand(p, hash, hkdfExtract(p, hash, salt, ikm), info, length)
}

const HASH_BYTES: Record<HashName, number> = { sha256: 32, sha384: 48, sha512: 64 }
