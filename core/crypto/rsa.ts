/**
 * RSA signature verification (RFC 8017): RSASSA-PSS with MGF1 of the same hash and salt of its length, and
 * RSASSA-PKCS1-v1_5. BigInt arithmetic on public values only, so time may depend on them. Used by the portable port,
 * because no audited package offers it. Trusts nothing.
 */
import { concat, equal, u32be } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import type { HashName, Primitives } from './primitives.ts'

type Hash = (name: HashName, data: Uint8Array) => Uint8Array
const PREFIX: Record<HashName, string> = {
  sha256: '3031300d060960864801650304020105000420', sha384: '3041300d060960864801650304020205000430', sha512: '3051300d060960864801650304020305000440',
}
const BITS_MIN = 2048
const BITS_MAX = 8192

/** Keys that either port accepts: 2048 to 8192 bits, an odd exponent from 3 to 33 bits. */
export function rsaKeyAllowed(key: { n: Uint8Array; e: Uint8Array }): boolean {
  if (key.n.length > BITS_MAX / 8 + 1 || key.e.length > 5) return false
  const bits = toBig(key.n).toString(2).length
  const e = toBig(key.e)
  return bits >= BITS_MIN && bits <= BITS_MAX && e >= 3n && e % 2n === 1n && e.toString(2).length <= 33
}

export function verifyRsa(hash: Primitives['hash'], padding: 'pss' | 'pkcs1', name: HashName, key: { n: Uint8Array; e: Uint8Array }, message: Uint8Array, signature: Uint8Array): boolean {
  if (!rsaKeyAllowed(key)) return false
  const n = toBig(key.n)
  const e = toBig(key.e)
  const bits = n.toString(2).length
  const length = Math.ceil(bits / 8)
  const s = toBig(signature)
  if (signature.length !== length || s >= n) return false
  const encoded = fromBig(power(s, e, n), length)
  return padding === 'pss' ? pss(hash, name, encoded, bits, hash(name, message)) : equal(encoded, pkcs1(name, hash(name, message), length))
}

function pkcs1(name: HashName, digest: Uint8Array, length: number): Uint8Array {
  const info = concat(fromHex(PREFIX[name]), digest)
  return concat(new Uint8Array([0, 1]), new Uint8Array(length - info.length - 3).fill(0xff), new Uint8Array([0]), info)
}

/** EMSA-PSS-VERIFY, RFC 8017 section 9.1.2. */
function pss(hash: Hash, name: HashName, encoded: Uint8Array, bits: number, digest: Uint8Array): boolean {
  const emBits = bits - 1
  const em = emBits % 8 === 0 ? encoded.subarray(1) : encoded
  if (emBits % 8 === 0 && encoded[0] !== 0) return false
  const size = digest.length
  if (em.length < 2 * size + 2 || em[em.length - 1] !== 0xbc) return false
  const h = em.subarray(em.length - size - 1, em.length - 1)
  const masked = em.subarray(0, em.length - size - 1)
  const unused = 8 * em.length - emBits
  if (((masked[0] ?? 0) >> (8 - unused)) !== 0 && unused > 0) return false
  const mask = mgf1(hash, name, h, masked.length)
  const db = masked.map((byte, i) => byte ^ (mask[i] ?? 0))
  db[0] = (db[0] ?? 0) & (0xff >> unused)
  const start = db.length - size - 1
  if (!db.subarray(0, start).every(byte => byte === 0) || db[start] !== 1) return false
  return equal(h, hash(name, concat(new Uint8Array(8), digest, db.subarray(start + 1))))
}

function mgf1(hash: Hash, name: HashName, seed: Uint8Array, length: number): Uint8Array {
  const blocks: Uint8Array[] = []
  for (let i = 0, made = 0; made < length; i++) {
    const block = hash(name, concat(seed, u32be(i)))
    blocks.push(block)
    made += block.length
  }
  return concat(...blocks).subarray(0, length)
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n
  let square = base % modulus
  for (let left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = result * square % modulus
    square = square * square % modulus
  }
  return result
}

const toBig = (bytes: Uint8Array) => BigInt(`0x${toHex(bytes) || '0'}`)
const fromBig = (value: bigint, length: number) => fromHex(value.toString(16).padStart(2 * length, '0'))
