/**
 * The primitives in plain JavaScript: @noble/* (audited) and RSA verification of our own. Runs in Node >= 20, browsers
 * and workers; chosen where node:crypto is not at hand. JavaScript gives no promise of constant time, so secrets belong
 * into the Node port wherever there is one (THREATS.md).
 */
import { gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { p256, p384 } from '@noble/curves/nist.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_dsa44, ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { allZero } from '../bytes/bytes.ts'
import { ed25519KeyAllowed } from './ed25519.ts'
import { AEAD_KEY_BYTES, type AeadName, type HashName, type Primitives, type PublicKey, type SignatureAlgorithm } from './primitives.ts'
import { verifyRsa } from './rsa.ts'

const HASHES = { sha256, sha384, sha512 }
const hash = (name: HashName, data: Uint8Array) => HASHES[name](data)

export const portable: Primitives = {
  name: 'portable',
  hash,
  sha3_256: data => sha3_256(data),
  shake256: (data, length) => shake256(data, { dkLen: length }),
  hmac: (name, key, data) => hmac(HASHES[name], key, data),
  verify: (algorithm, key, message, signature) => quietly(() => verify(algorithm, key, message, signature)) ?? false,
  x25519Public: secret => x25519.getPublicKey(secret),
  x25519: (secret, peer) => quietly(() => x25519.getSharedSecret(secret, peer), shared => !allZero(shared)),
  mlkemPublic: seed => ml_kem768.keygen(seed).publicKey,
  mlkemEncapsulate: (publicKey, random) => quietly(() => {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, random)
    return { ciphertext: cipherText, secret: sharedSecret }
  }),
  mlkemDecapsulate: (seed, ciphertext) => quietly(() => ml_kem768.decapsulate(ciphertext, ml_kem768.keygen(seed).secretKey)),
  aeadSeal: (name, key, nonce, aad, plaintext) => cipher(name, key, nonce, aad).encrypt(plaintext),
  aeadOpen: (name, key, nonce, aad, ciphertext) => quietly(() => cipher(name, key, nonce, aad).decrypt(ciphertext)),
}

function verify(algorithm: SignatureAlgorithm, key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  switch (algorithm) {
    case 'ed25519': return key.kind === 'ed25519' && ed25519KeyAllowed(key.raw) && ed25519.verify(signature, message, key.raw, { zip215: false })
    case 'ml-dsa-44': return key.kind === 'ml-dsa-44' && ml_dsa44.verify(signature, message, key.raw)
    case 'ml-dsa-65': return key.kind === 'ml-dsa-65' && ml_dsa65.verify(signature, message, key.raw)
    case 'ecdsa-p256-sha256': return key.kind === 'p256' && p256.verify(signature, sha256(message), key.raw, ECDSA)
    case 'ecdsa-p256-sha384': return key.kind === 'p256' && p256.verify(signature, sha384(message), key.raw, ECDSA)
    case 'ecdsa-p384-sha256': return key.kind === 'p384' && p384.verify(signature, sha256(message), key.raw, ECDSA)
    case 'ecdsa-p384-sha384': return key.kind === 'p384' && p384.verify(signature, sha384(message), key.raw, ECDSA)
    default: return key.kind === 'rsa' && verifyRsa(hash, algorithm.startsWith('rsa-pss') ? 'pss' : 'pkcs1', rsaHash(algorithm), key, message, signature)
  }
}

const ECDSA = { prehash: false, lowS: false, format: 'compact' } as const

function rsaHash(algorithm: SignatureAlgorithm): HashName {
  return algorithm.endsWith('sha256') ? 'sha256' : algorithm.endsWith('sha384') ? 'sha384' : 'sha512'
}

function cipher(name: AeadName, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array) {
  if (key.length !== AEAD_KEY_BYTES[name] || nonce.length !== 12) throw new TypeError('a key or nonce of another length')
  return name === 'chacha20-poly1305' ? chacha20poly1305(key, nonce, aad) : gcm(key, nonce, aad)
}

/** The libraries throw on malformed keys and signatures; attackers make those, so the answer is "no". */
function quietly<T>(compute: () => T, good: (value: T) => boolean = () => true): T | undefined {
  try {
    const value = compute()
    return good(value) ? value : undefined
  } catch {
    return undefined
  }
}
