/**
 * The port through which core reaches cryptographic primitives. It is synchronous, so that a verdict is one plain
 * function call in Node, browsers and workers alike.
 *
 * Two implementations pass one suite (`primitives.suite.ts`): `portable.ts` (here; @noble/* and BigInt RSA, runs anywhere)
 * and `cloister/crypto/node` (node:crypto, 5 to 10 times faster). Whoever calls core chooses and hands it in.
 * Trusts: the implementation handed in. Verification never throws on attacker-made keys or signatures: it returns false.
 */

export type HashName = 'sha256' | 'sha384' | 'sha512'

/** Signature algorithms that may be verified. ECDSA signatures are raw r‖s, big-endian, fixed length (64 or 96 bytes). */
export type SignatureAlgorithm =
  | 'ed25519' | 'ml-dsa-44' | 'ml-dsa-65'
  | 'ecdsa-p256-sha256' | 'ecdsa-p384-sha384' | 'ecdsa-p256-sha384' | 'ecdsa-p384-sha256'
  | 'rsa-pss-sha256' | 'rsa-pss-sha384' | 'rsa-pss-sha512' | 'rsa-pkcs1-sha256' | 'rsa-pkcs1-sha384' | 'rsa-pkcs1-sha512'

/**
 * A public key in its plainest form: `raw` for ed25519 (32 bytes), ML-DSA (FIPS 204 encoding) and ECDSA (65 or 97 bytes,
 * uncompressed point, 0x04 first); RSA as modulus and exponent, big-endian.
 */
export type PublicKey =
  | { readonly kind: 'ed25519' | 'p256' | 'p384' | 'ml-dsa-44' | 'ml-dsa-65'; readonly raw: Uint8Array }
  | { readonly kind: 'rsa'; readonly n: Uint8Array; readonly e: Uint8Array }

export type AeadName = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'
export const AEAD_KEY_BYTES: Record<AeadName, number> = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 }

export interface Primitives {
  readonly name: string
  hash(name: HashName, data: Uint8Array): Uint8Array
  /** SHA3-256 (32 bytes) and SHAKE256 with `length` bytes of output; X-Wing needs both. */
  sha3_256(data: Uint8Array): Uint8Array
  shake256(data: Uint8Array, length: number): Uint8Array
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array
  verify(algorithm: SignatureAlgorithm, key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean
  /** X25519 (RFC 7748); `x25519` returns undefined for an all-zero result. */
  x25519Public(secret: Uint8Array): Uint8Array
  x25519(secret: Uint8Array, peer: Uint8Array): Uint8Array | undefined
  /** ML-KEM-768 (FIPS 203) from a 64-byte seed d‖z. `mlkemEncapsulate` draws its coins from `random32` where it needs them. */
  mlkemPublic(seed64: Uint8Array): Uint8Array
  mlkemEncapsulate(publicKey: Uint8Array, random32: Uint8Array): { ciphertext: Uint8Array; secret: Uint8Array } | undefined
  mlkemDecapsulate(seed64: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined
  /** AEAD with a 12-byte nonce and a 16-byte tag appended to the ciphertext; `aeadOpen` returns undefined when the tag is wrong. */
  aeadSeal(name: AeadName, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array
  aeadOpen(name: AeadName, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined
}

/** Randomness comes in as an argument: `random(n)` gives n fresh bytes from a CSPRNG (or, in simulation, from the seed). */
export type Random = (length: number) => Uint8Array

/** A signing key that stays where it is (guest, broker, hardware); core only asks it to sign. */
export interface Signer {
  readonly algorithm: 'ed25519' | 'ecdsa-p256-sha256' | 'ecdsa-p384-sha384' | 'ml-dsa-44' | 'ml-dsa-65'
  readonly publicKey: PublicKey
  sign(message: Uint8Array): Uint8Array
}
