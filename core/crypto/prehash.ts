/**
 * Signatures over a digest, for whoever holds the digest and not the message (Rekor's hashedrekord entries). They are not
 * in the port, because node:crypto hashes what it verifies: this is @noble/curves and the RSA of this room in every
 * runtime. All values are public, so time may depend on them. Trusts that the digest is one: a signature over a freely
 * chosen "digest" says nothing about any message.
 */
import { eddsa } from '@noble/curves/abstract/edwards.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256, p384 } from '@noble/curves/nist.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { concat } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { ed25519KeyAllowed } from './ed25519.ts'
import type { HashName, PublicKey } from './primitives.ts'
import { verifyRsa } from './rsa.ts'

/** `ed25519ph` is RFC 8032 with an empty context. ECDSA signatures are raw r‖s, as in the port. */
export type DigestAlgorithm = 'ecdsa-p256-sha256' | 'ecdsa-p384-sha384' | 'rsa-pkcs1-sha256' | 'ed25519ph'
export const DIGESTS: Record<DigestAlgorithm, { readonly hash: HashName; readonly bytes: number }> = {
  'ecdsa-p256-sha256': { hash: 'sha256', bytes: 32 }, 'ecdsa-p384-sha384': { hash: 'sha384', bytes: 48 },
  'rsa-pkcs1-sha256': { hash: 'sha256', bytes: 32 }, ed25519ph: { hash: 'sha512', bytes: 64 },
}

/** Does this signature by this key hold over the message with this digest? False for a digest of another length. */
export function verifyDigest(algorithm: DigestAlgorithm, key: PublicKey, digest: Uint8Array, signature: Uint8Array): boolean {
  if (digest.length !== DIGESTS[algorithm].bytes) return false
  try {
    switch (algorithm) {
      case 'ecdsa-p256-sha256': return key.kind === 'p256' && p256.verify(signature, digest, key.raw, ECDSA)
      case 'ecdsa-p384-sha384': return key.kind === 'p384' && p384.verify(signature, digest, key.raw, ECDSA)
      // Of PKCS #1 v1.5 the message is hashed once and nothing else is.
      case 'rsa-pkcs1-sha256': return key.kind === 'rsa' && verifyRsa((_, data) => data, 'pkcs1', 'sha256', key, digest, signature)
      case 'ed25519ph': return key.kind === 'ed25519' && ed25519KeyAllowed(key.raw) && ed25519ph.verify(signature, digest, key.raw, { zip215: false })
    }
  } catch {
    return false // the libraries throw on malformed keys and signatures
  }
}

const ECDSA = { prehash: false, lowS: false, format: 'compact' } as const
/** dom2(1, ''), RFC 8032 section 5.1: that the message was hashed before is said to the hash. */
const DOM2 = concat(utf8('SigEd25519 no Ed25519 collisions'), new Uint8Array([1, 0]))
const ed25519ph = eddsa(ed25519.Point, sha512, { domain: (data: Uint8Array) => concat(DOM2, data) })
