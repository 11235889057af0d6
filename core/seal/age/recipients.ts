/**
 * Recipients of age files: X25519, the post-quantum hybrid mlkem768x25519 (HPKE with X-Wing, age 1.3), and passphrases
 * (scrypt, read only). Identities are secret and appear in no refusal. Trusts the port.
 */
import { scrypt } from '@noble/hashes/scrypt.js'
import { fromBase64Raw, toBase64Raw } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { hkdf } from '../../crypto/hkdf.ts'
import { hpkeKeyPair, hpkeSeal, receiveContext, type HpkeSuite } from '../../crypto/hpke.ts'
import type { Primitives, Random } from '../../crypto/primitives.ts'
import { attempt, refuse } from '../../refusal.ts'
import { bech32, fromBech32 } from './bech32.ts'
import type { Stanza } from './header.ts'

export type IdentityKind = 'x25519' | 'hybrid'
export interface IdentityPair { readonly identity: string; readonly recipient: string }

const HYBRID: HpkeSuite = { kem: 'x-wing', kdf: 'hkdf-sha256', aead: 'chacha20-poly1305' }
const HYBRID_INFO = utf8('age-encryption.org/mlkem768x25519')
const X25519_INFO = utf8('age-encryption.org/v1/X25519')
const SCRYPT_LABEL = utf8('age-encryption.org/v1/scrypt')
const HRP = { x25519: { recipient: 'age', identity: 'age-secret-key-' }, hybrid: { recipient: 'age1pq', identity: 'age-secret-key-pq-' } } as const
const FILE_KEY_BYTES = 16
const WORK_FACTOR_MAX = 22
const ZERO_NONCE = new Uint8Array(12)
const EMPTY = new Uint8Array(0)

/** A fresh identity and its recipient; hybrid unless something older must open the file. */
export function generateIdentity(p: Primitives, kind: IdentityKind, random: Random): IdentityPair {
  const secret = random(32)
  return { identity: bech32(HRP[kind].identity, secret).toUpperCase(), recipient: recipientText(kind, publicOf(p, kind, secret)) }
}

/** The recipient of an identity. Leaves with `crypto.key`. */
export function recipientOf(p: Primitives, identity: string): string {
  const { kind, secret } = parseIdentity(identity)
  return recipientText(kind, publicOf(p, kind, secret))
}

export function parseIdentity(identity: string): { kind: IdentityKind; secret: Uint8Array } {
  const kind = identity.toUpperCase().startsWith('AGE-SECRET-KEY-PQ-1') ? 'hybrid' : 'x25519'
  const secret = fromBech32(HRP[kind].identity, identity, 'identity')
  return secret.length === 32 ? { kind, secret } : refuse('crypto.key', 'identity', '32 bytes', `${secret.length} bytes`)
}

export function parseRecipient(recipient: string): { kind: IdentityKind; key: Uint8Array } {
  const kind = recipient.startsWith('age1pq1') ? 'hybrid' : 'x25519'
  const key = fromBech32(HRP[kind].recipient, recipient, 'recipient')
  return key.length === (kind === 'hybrid' ? 1216 : 32) ? { kind, key } : refuse('crypto.key', 'recipient', 'a public key of age', `${key.length} bytes`)
}

/** Wrap a file key for one recipient. */
export function wrap(p: Primitives, recipient: string, fileKey: Uint8Array, random: Random): Stanza {
  const { kind, key } = parseRecipient(recipient)
  if (kind === 'hybrid') {
    const { enc, ciphertext } = hpkeSeal(p, HYBRID, { to: key, info: HYBRID_INFO, aad: EMPTY, plaintext: fileKey }, random)
    return { type: 'mlkem768x25519', args: [toBase64Raw(enc)], body: ciphertext }
  }
  const ephemeral = random(32)
  const share = p.x25519Public(ephemeral)
  const shared = p.x25519(ephemeral, key) ?? refuse('crypto.key', 'recipient', 'an X25519 public key', 'a point of low order')
  return { type: 'X25519', args: [toBase64Raw(share)], body: p.aeadSeal('chacha20-poly1305', x25519Key(p, shared, share, key), ZERO_NONCE, EMPTY, fileKey) }
}

/** The file key, if one of the stanzas opens with this identity; a malformed stanza of a known type leaves with `age.header`. */
export function unwrap(p: Primitives, identity: string, stanzas: readonly Stanza[]): Uint8Array | undefined {
  const { kind, secret } = parseIdentity(identity)
  const type = kind === 'hybrid' ? 'mlkem768x25519' : 'X25519'
  return first(stanzas.filter(stanza => stanza.type === type).map(stanza => (kind === 'hybrid' ? openHybrid(p, secret, stanza) : openX25519(p, secret, stanza))))
}

/** The file key behind a passphrase. The stanza must stand alone, and its work is bounded. */
export function unwrapPassphrase(p: Primitives, passphrase: string, stanzas: readonly Stanza[]): Uint8Array | undefined {
  const [stanza, more] = stanzas
  if (stanza?.type !== 'scrypt') return undefined
  const [salt = '', work = '', extra] = stanza.args
  if (more !== undefined || extra !== undefined || !/^[1-9][0-9]?$/.test(work)) return bad('scrypt alone, a salt and a work factor')
  const saltBytes = canonical(salt, 16)
  if (Number(work) > WORK_FACTOR_MAX) bad(`a work factor of at most ${WORK_FACTOR_MAX}`)
  checkBody(stanza)
  const key = scrypt(utf8(passphrase), concat(SCRYPT_LABEL, saltBytes), { N: 2 ** Number(work), r: 8, p: 1, dkLen: 32, maxmem: 2 ** 33 })
  return fileKeyOf(p.aeadOpen('chacha20-poly1305', key, ZERO_NONCE, EMPTY, stanza.body))
}

/** Rules that hold whichever identity is tried: a passphrase stands alone. */
export function checkStanzas(stanzas: readonly Stanza[]): void {
  if (stanzas.length > 1 && stanzas.some(stanza => stanza.type === 'scrypt')) bad('a passphrase alone')
}

function openX25519(p: Primitives, secret: Uint8Array, stanza: Stanza): Uint8Array | undefined {
  const [share = '', extra] = stanza.args
  if (extra !== undefined) bad('one share')
  const peer = canonical(share, 32)
  checkBody(stanza)
  const shared = p.x25519(secret, peer) ?? bad('a share that is not of low order')
  return fileKeyOf(p.aeadOpen('chacha20-poly1305', x25519Key(p, shared, peer, p.x25519Public(secret)), ZERO_NONCE, EMPTY, stanza.body))
}

function openHybrid(p: Primitives, secret: Uint8Array, stanza: Stanza): Uint8Array | undefined {
  const [enc = '', extra] = stanza.args
  if (extra !== undefined) bad('one encapsulation')
  const bytes = canonical(enc, 1120)
  checkBody(stanza)
  const context = receiveContext(p, HYBRID, secret, bytes, HYBRID_INFO)
  if (!context.ok) return bad('an encapsulation that is not of low order')
  return fileKeyOf(p.aeadOpen(HYBRID.aead, context.value.key, context.value.nonce(0), EMPTY, stanza.body))
}

const x25519Key = (p: Primitives, shared: Uint8Array, share: Uint8Array, recipient: Uint8Array) => hkdf(p, 'sha256', shared, concat(share, recipient), X25519_INFO, 32)
const publicOf = (p: Primitives, kind: IdentityKind, secret: Uint8Array) => hpkeKeyPair(p, kind === 'hybrid' ? 'x-wing' : 'x25519', secret).publicKey
const recipientText = (kind: IdentityKind, key: Uint8Array) => bech32(HRP[kind].recipient, key)
const first = <T>(values: readonly (T | undefined)[]): T | undefined => values.find(value => value !== undefined)
const bad = (expected: string): never => refuse('age.header', 'stanza', expected, 'another form')

/** A body of another length could make one ciphertext open under two keys. */
function checkBody(stanza: Stanza): void {
  if (stanza.body.length !== FILE_KEY_BYTES + 16) bad('a wrapped file key of 32 bytes')
}

function fileKeyOf(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined || bytes.length === FILE_KEY_BYTES ? bytes : bad('a file key of 16 bytes')
}

function canonical(text: string, length: number): Uint8Array {
  const result = attempt(() => fromBase64Raw(text, 'stanza'))
  return result.ok && result.value.length === length ? result.value : bad(`${length} bytes in canonical base64`)
}
