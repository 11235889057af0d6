/**
 * HPKE base mode (RFC 9180), single shot and context, with DHKEM(X25519, HKDF-SHA256) and X-Wing (KEM 0x647a,
 * draft-connolly-cfrg-xwing-kem and draft-ietf-hpke-pq: ML-KEM-768 and X25519 combined). Synchronous over the port.
 * Trusts the port and the caller's randomness.
 */
import { concat } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { hkdfExpand, hkdfExtract } from './hkdf.ts'
import { AEAD_KEY_BYTES, type AeadName, type Primitives, type Random } from './primitives.ts'

export type Kem = 'x25519' | 'x-wing'
export interface HpkeSuite { readonly kem: Kem; readonly kdf: 'hkdf-sha256'; readonly aead: AeadName }
export interface HpkeKeyPair { readonly publicKey: Uint8Array; readonly secret: Uint8Array }

/** What Cloister seals with wherever it may choose. */
export const SUITE: HpkeSuite = { kem: 'x-wing', kdf: 'hkdf-sha256', aead: 'aes-256-gcm' }

/** The pair of a 32-byte secret: for X25519 the scalar itself, for X-Wing the seed. */
export function hpkeKeyPair(p: Primitives, kem: Kem, secret: Uint8Array): HpkeKeyPair {
  if (secret.length !== 32) return refuse('crypto.key', 'secret', '32 bytes', `${secret.length} bytes`)
  return { secret, publicKey: kem === 'x25519' ? p.x25519Public(secret) : xwingPublic(p, secret) }
}

export interface SealInput { readonly to: Uint8Array; readonly info: Uint8Array; readonly aad: Uint8Array; readonly plaintext: Uint8Array }
export interface OpenInput { readonly secret: Uint8Array; readonly enc: Uint8Array; readonly info: Uint8Array; readonly aad: Uint8Array; readonly ciphertext: Uint8Array }

/**
 * Seal one message to a public key. Leaves a `crypto.key` refusal when the key is not one.
 *
 * @example
 * const pair = hpkeKeyPair(p, 'x-wing', random(32))
 * const sealed = hpkeSeal(p, SUITE, { to: pair.publicKey, info, aad, plaintext }, random)
 * hpkeOpen(p, SUITE, { secret: pair.secret, info, aad, ...sealed }) // → { ok: true, value: plaintext }
 */
export function hpkeSeal(p: Primitives, suite: HpkeSuite, input: SealInput, random: Random): { enc: Uint8Array; ciphertext: Uint8Array } {
  const { enc, shared } = encapsulate(p, suite.kem, input.to, random)
  const context = schedule(p, suite, shared, input.info)
  return { enc, ciphertext: p.aeadSeal(suite.aead, context.key, context.nonce(0), input.aad, input.plaintext) }
}

/** Open one message. Refuses with `crypto.open`, never saying which part was wrong. */
export function hpkeOpen(p: Primitives, suite: HpkeSuite, input: OpenInput): Result<Uint8Array> {
  return attempt(() => {
    const context = schedule(p, suite, decapsulate(p, suite.kem, input.secret, input.enc), input.info)
    return p.aeadOpen(suite.aead, context.key, context.nonce(0), input.aad, input.ciphertext) ?? cannotOpen()
  })
}

export interface HpkeContext {
  readonly key: Uint8Array
  readonly nonce: (sequence: number) => Uint8Array
  /** The exporter of RFC 9180 section 5.3. */
  readonly exported: (label: Uint8Array, length: number) => Uint8Array
}

export function sendContext(p: Primitives, suite: HpkeSuite, to: Uint8Array, info: Uint8Array, random: Random): { enc: Uint8Array; context: HpkeContext } {
  const { enc, shared } = encapsulate(p, suite.kem, to, random)
  return { enc, context: schedule(p, suite, shared, info) }
}

export function receiveContext(p: Primitives, suite: HpkeSuite, secret: Uint8Array, enc: Uint8Array, info: Uint8Array): Result<HpkeContext> {
  return attempt(() => schedule(p, suite, decapsulate(p, suite.kem, secret, enc), info))
}

const EMPTY = new Uint8Array(0)
const KEM_IDS: Record<Kem, number> = { x25519: 0x0020, 'x-wing': 0x647a }
const AEAD_IDS: Record<AeadName, number> = { 'aes-128-gcm': 1, 'aes-256-gcm': 2, 'chacha20-poly1305': 3 }
const u16 = (value: number) => new Uint8Array([value >> 8, value & 255])
const kemId = (kem: Kem) => concat(utf8('KEM'), u16(KEM_IDS[kem]))
const cannotOpen = (): never => refuse('crypto.open', 'ciphertext', 'a message sealed to this key, with this info', 'something that does not open')

/** RFC 9180 section 5.1, mode base. */
function schedule(p: Primitives, suite: HpkeSuite, shared: Uint8Array, info: Uint8Array): HpkeContext {
  const id = concat(utf8('HPKE'), u16(KEM_IDS[suite.kem]), u16(1), u16(AEAD_IDS[suite.aead]))
  const context = concat(new Uint8Array([0]), labeledExtract(p, id, EMPTY, 'psk_id_hash', EMPTY), labeledExtract(p, id, EMPTY, 'info_hash', info))
  const secret = labeledExtract(p, id, shared, 'secret', EMPTY)
  const base = labeledExpand(p, id, secret, 'base_nonce', context, 12)
  const exporter = labeledExpand(p, id, secret, 'exp', context, 32)
  return {
    key: labeledExpand(p, id, secret, 'key', context, AEAD_KEY_BYTES[suite.aead]),
    nonce: sequence => {
      const out = base.slice()
      for (let i = 0, left = sequence; left > 0; i++, left = Math.floor(left / 256)) out[11 - i] = (out[11 - i] ?? 0) ^ (left & 255)
      return out
    },
    exported: (label, length) => labeledExpand(p, id, exporter, 'sec', label, length),
  }
}

function labeledExtract(p: Primitives, suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return hkdfExtract(p, 'sha256', salt, concat(utf8('HPKE-v1'), suite, utf8(label), ikm))
}

function labeledExpand(p: Primitives, suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, length: number): Uint8Array {
  return hkdfExpand(p, 'sha256', prk, concat(u16(length), utf8('HPKE-v1'), suite, utf8(label), info), length)
}

function encapsulate(p: Primitives, kem: Kem, to: Uint8Array, random: Random): { enc: Uint8Array; shared: Uint8Array } {
  if (kem === 'x-wing') return xwingEncapsulate(p, to, random)
  const ephemeral = random(32)
  const enc = p.x25519Public(ephemeral)
  const dh = to.length === 32 ? p.x25519(ephemeral, to) : undefined
  if (dh === undefined) return refuse('crypto.key', 'to', 'an X25519 public key', 'another value')
  return { enc, shared: dhkem(p, dh, enc, to) }
}

function decapsulate(p: Primitives, kem: Kem, secret: Uint8Array, enc: Uint8Array): Uint8Array {
  if (kem === 'x-wing') return xwingDecapsulate(p, secret, enc)
  const dh = enc.length === 32 ? p.x25519(secret, enc) : undefined
  return dh === undefined ? cannotOpen() : dhkem(p, dh, enc, p.x25519Public(secret))
}

function dhkem(p: Primitives, dh: Uint8Array, enc: Uint8Array, to: Uint8Array): Uint8Array {
  const id = kemId('x25519')
  return labeledExpand(p, id, labeledExtract(p, id, EMPTY, 'eae_prk', dh), 'shared_secret', concat(enc, to), 32)
}

const XWING_LABEL = new Uint8Array([0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c]) // \.//^\
const MLKEM_PUBLIC = 1184
const MLKEM_CIPHERTEXT = 1088

/** expandDecapsulationKey: the seed gives ML-KEM's seed (64 bytes) and the X25519 scalar (32 bytes). */
function xwingExpand(p: Primitives, seed: Uint8Array): { kem: Uint8Array; dh: Uint8Array } {
  const expanded = p.shake256(seed, 96)
  return { kem: expanded.subarray(0, 64), dh: expanded.subarray(64) }
}

function xwingPublic(p: Primitives, seed: Uint8Array): Uint8Array {
  const { kem, dh } = xwingExpand(p, seed)
  return concat(p.mlkemPublic(kem), p.x25519Public(dh))
}

function xwingEncapsulate(p: Primitives, to: Uint8Array, random: Random): { enc: Uint8Array; shared: Uint8Array } {
  const bad = () => refuse('crypto.key', 'to', 'an X-Wing public key of 1216 bytes', `${to.length} bytes`)
  if (to.length !== MLKEM_PUBLIC + 32) return bad()
  const coins = random(64)
  const peer = to.subarray(MLKEM_PUBLIC)
  const kem = p.mlkemEncapsulate(to.subarray(0, MLKEM_PUBLIC), coins.subarray(0, 32)) ?? bad()
  const ephemeral = coins.subarray(32)
  const ct = p.x25519Public(ephemeral)
  const dh = p.x25519(ephemeral, peer) ?? bad()
  return { enc: concat(kem.ciphertext, ct), shared: xwingCombine(p, kem.secret, dh, ct, peer) }
}

function xwingDecapsulate(p: Primitives, seed: Uint8Array, enc: Uint8Array): Uint8Array {
  if (enc.length !== MLKEM_CIPHERTEXT + 32) return cannotOpen()
  const { kem, dh } = xwingExpand(p, seed)
  const ct = enc.subarray(MLKEM_CIPHERTEXT)
  const shared = p.mlkemDecapsulate(kem, enc.subarray(0, MLKEM_CIPHERTEXT)) ?? cannotOpen()
  return xwingCombine(p, shared, p.x25519(dh, ct) ?? cannotOpen(), ct, p.x25519Public(dh))
}

const xwingCombine = (p: Primitives, kem: Uint8Array, dh: Uint8Array, ct: Uint8Array, peer: Uint8Array) => p.sha3_256(concat(kem, dh, ct, peer, XWING_LABEL))
