/**
 * The primitives on node:crypto (OpenSSL), synchronous: several times faster than JavaScript and constant-time where
 * OpenSSL is. Key objects are kept for a bounded number of keys, because parsing a key costs as much as using it.
 * Trusts the runtime.
 */
import * as node from 'node:crypto'
import { allZero, concat } from '@cloister/core/bytes/bytes'
import { fromHex } from '@cloister/core/bytes/hex'
import { ed25519KeyAllowed } from '@cloister/core/crypto/ed25519'
import { keyToSpki, spkiToKey } from '@cloister/core/crypto/keys'
import { rsaKeyAllowed } from '@cloister/core/crypto/rsa'
import type { AeadName, HashName, Primitives, PublicKey, Random, SignatureAlgorithm, Signer } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'

export const nodeRandom: Random = length => node.randomBytes(length)

export const nodePrimitives: Primitives = {
  name: 'node',
  hash: (name, data) => plain(node.hash(name, data, 'buffer')),
  sha3_256: data => plain(node.createHash('sha3-256').update(data).digest()),
  shake256: (data, length) => plain(node.createHash('shake256', { outputLength: length }).update(data).digest()),
  hmac: (name, key, data) => plain(node.createHmac(name, key).update(data).digest()),
  verify: (algorithm, key, message, signature) => quietly(() => verify(algorithm, key, message, signature)) ?? false,
  x25519Public: secret => rawPublic(x25519Private(secret)),
  // Lengths are checked here: OpenSSL reads a key from the front of the bytes and ignores what follows.
  x25519: (secret, peer) => secret.length !== 32 || peer.length !== 32 ? undefined : quietly(() => {
    const shared = plain(node.diffieHellman({ privateKey: x25519Private(secret), publicKey: importSpki(concat(X25519_SPKI, peer)) }))
    return allZero(shared) ? undefined : shared
  }),
  mlkemPublic: seed => plain(node.createPublicKey(mlkemPrivate(seed)).export({ format: 'der', type: 'spki' })).slice(-MLKEM_PUBLIC),
  mlkemEncapsulate: publicKey => publicKey.length !== MLKEM_PUBLIC ? undefined : quietly(() => {
    const { sharedKey, ciphertext } = node.encapsulate(importSpki(concat(MLKEM_SPKI, publicKey)))
    return { ciphertext: plain(ciphertext), secret: plain(sharedKey) }
  }),
  mlkemDecapsulate: (seed, ciphertext) => seed.length !== 64 ? undefined : quietly(() => plain(node.decapsulate(mlkemPrivate(seed), ciphertext))),
  aeadSeal: (name, key, nonce, aad, plaintext) => {
    const cipher = node.createCipheriv(CIPHERS[name], key, nonce, TAG)
    cipher.setAAD(aad, { plaintextLength: plaintext.length })
    return concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag())
  },
  aeadOpen: (name, key, nonce, aad, ciphertext) => ciphertext.length < 16 ? undefined : quietly(() => {
    const decipher = node.createDecipheriv(CIPHERS[name], key, nonce, TAG)
    decipher.setAAD(aad, { plaintextLength: ciphertext.length - 16 })
    decipher.setAuthTag(ciphertext.subarray(-16))
    const plaintext = decipher.update(ciphertext.subarray(0, -16))
    decipher.final()
    return plain(plaintext)
  }),
}

/** A signer whose private key can be written down by its owner (never by anybody else). */
export interface LocalSigner extends Signer { exportPem(): string }

/** A fresh key, or the Ed25519 key of a 32-byte seed. */
export function generateSigner(kind: 'p256' | 'p384' | 'ed25519' | 'ml-dsa-44' | 'ml-dsa-65', seed?: Uint8Array): LocalSigner {
  if (seed !== undefined) {
    if (kind !== 'ed25519') throw new TypeError('only Ed25519 keys are made from a seed')
    return signerOf(node.createPrivateKey({ key: Buffer.from(concat(fromHex('302e020100300506032b657004220420'), seed)), format: 'der', type: 'pkcs8' }))
  }
  switch (kind) {
    case 'p256': return signerOf(node.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
    case 'p384': return signerOf(node.generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey)
    case 'ed25519': return signerOf(node.generateKeyPairSync('ed25519').privateKey)
    default: return signerOf(node.generateKeyPairSync(kind).privateKey)
  }
}

/** A signing key from PKCS #8 in PEM. Leaves with `cli.key` and never shows the text. */
export function importSigner(pem: string): LocalSigner {
  try {
    return signerOf(node.createPrivateKey(pem))
  } catch {
    return refuse('cli.key', 'key file', 'an unencrypted PKCS #8 key in PEM', 'something else')
  }
}

function signerOf(key: node.KeyObject): LocalSigner {
  const publicKey = spkiToKey(plain(node.createPublicKey(key).export({ format: 'der', type: 'spki' })))
  return { publicKey, ...signing(key, publicKey), exportPem: () => key.export({ format: 'pem', type: 'pkcs8' }).toString() }
}

function signing(key: node.KeyObject, publicKey: PublicKey): Pick<Signer, 'algorithm' | 'sign'> {
  const ecdsa = (hash: HashName) => (message: Uint8Array) => plain(node.sign(hash, message, { key, dsaEncoding: 'ieee-p1363' }))
  switch (publicKey.kind) {
    case 'p256': return { algorithm: 'ecdsa-p256-sha256', sign: ecdsa('sha256') }
    case 'p384': return { algorithm: 'ecdsa-p384-sha384', sign: ecdsa('sha384') }
    case 'rsa': return refuse('crypto.algorithm', 'key', 'Ed25519, P-256, P-384 or ML-DSA', 'RSA')
    default: return { algorithm: publicKey.kind, sign: message => plain(node.sign(null, message, key)) }
  }
}

const CIPHERS: Record<AeadName, node.CipherGCMTypes> = {
  'aes-128-gcm': 'aes-128-gcm', 'aes-256-gcm': 'aes-256-gcm',
  // Node's types know this cipher under its own class of names; its interface is the one of GCM.
  'chacha20-poly1305': 'chacha20-poly1305' as node.CipherGCMTypes,
}
const TAG = { authTagLength: 16 }
const MLKEM_PUBLIC = 1184
const X25519_SPKI = fromHex('302a300506032b656e032100')
const X25519_PKCS8 = fromHex('302e020100300506032b656e04220420')
const MLKEM_SPKI = fromHex('308204b2300b0609608648016503040402038204a100')
const MLKEM_PKCS8 = fromHex('3054020100300b060960864801650304040204428040')

const keys = new Map<string, node.KeyObject>()
const KEYS_MAX = 512

/** Public keys only: private ones are not kept longer than they are used. */
function importSpki(spki: Uint8Array): node.KeyObject {
  const name = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString('latin1')
  const known = keys.get(name)
  if (known !== undefined) return known
  const key = node.createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  if (keys.size >= KEYS_MAX) keys.clear()
  keys.set(name, key)
  return key
}

function verify(algorithm: SignatureAlgorithm, publicKey: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  const [scheme = '', first = '', second = ''] = algorithm.split('-')
  if (scheme === 'ecdsa') return publicKey.kind === first && node.verify(second, message, { key: importSpki(keyToSpki(publicKey)), dsaEncoding: 'ieee-p1363' }, signature)
  if (publicKey.kind === 'ed25519' && !ed25519KeyAllowed(publicKey.raw)) return false
  if (scheme !== 'rsa') return publicKey.kind === algorithm && node.verify(null, message, importSpki(keyToSpki(publicKey)), signature)
  if (publicKey.kind !== 'rsa' || !rsaKeyAllowed(publicKey)) return false
  const key = importSpki(keyToSpki(publicKey))
  const padding = first === 'pss' ? { padding: node.constants.RSA_PKCS1_PSS_PADDING, saltLength: node.constants.RSA_PSS_SALTLEN_DIGEST } : { padding: node.constants.RSA_PKCS1_PADDING }
  return node.verify(second, message, { key, ...padding }, signature)
}

const x25519Private = (secret: Uint8Array) => node.createPrivateKey({ key: Buffer.from(concat(X25519_PKCS8, secret)), format: 'der', type: 'pkcs8' })
const mlkemPrivate = (seed: Uint8Array) => node.createPrivateKey({ key: Buffer.from(concat(MLKEM_PKCS8, seed)), format: 'der', type: 'pkcs8' })
const rawPublic = (key: node.KeyObject) => plain(node.createPublicKey(key).export({ format: 'der', type: 'spki' })).slice(-32)

/** Buffers are Uint8Arrays with other habits (slice shares memory): what leaves this room is plain. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

function quietly<T>(compute: () => T | undefined): T | undefined {
  try {
    return compute()
  } catch {
    return undefined
  }
}

