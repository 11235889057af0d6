/**
 * age files (C2SP age, version 1): how assets and results lie at rest, so that owners can open theirs with stock tools.
 * Whole buffers here, in pure TypeScript; `cloud/seal` streams the same format at the speed of native code.
 *
 * Trusts: the port and the caller's randomness. Anybody can encrypt to a recipient: whose file it is, is said by the
 * digest that its owner signed, never by the file.
 */
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { hkdf } from '../../crypto/hkdf.ts'
import type { Primitives, Random } from '../../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../../refusal.ts'
import { dearmor, isArmored } from './armor.ts'
import { checkMac, formatHeader, parseHeader, type AgeHeader } from './header.ts'
import { checkStanzas, unwrap, unwrapPassphrase, wrap } from './recipients.ts'
import { CHUNK, chunkNonce } from './stream.ts'

export { CHUNK, chunkNonce } from './stream.ts'
export { generateIdentity, recipientOf, type IdentityKind, type IdentityPair } from './recipients.ts'

const TAG = 16
const NONCE = 16

/** What opens a file: age identities, or a passphrase. */
export interface Openers { readonly identities: readonly string[]; readonly passphrase?: string }

/**
 * An age file for these recipients.
 *
 * @example
 * const { identity, recipient } = generateIdentity(p, 'hybrid', random)
 * decrypt(p, { identities: [identity] }, encrypt(p, [recipient], plaintext, random).value) // → plaintext
 */
export function encrypt(p: Primitives, recipients: readonly string[], plaintext: Uint8Array, random: Random): Result<Uint8Array> {
  return attempt(() => {
    const { header, key } = beginFile(p, recipients, random)
    const count = Math.max(1, Math.ceil(plaintext.length / CHUNK))
    const chunks = Array.from({ length: count }, (_, i) => p.aeadSeal('chacha20-poly1305', key, chunkNonce(i, i === count - 1), new Uint8Array(0), plaintext.subarray(i * CHUNK, (i + 1) * CHUNK)))
    return concat(header, ...chunks)
  })
}

/** The plaintext. Refuses `age.header`, `age.recipient` (none of the openers fits), `age.mac` or `age.payload`. */
export function decrypt(p: Primitives, openers: Openers, file: Uint8Array): Result<Uint8Array> {
  return attempt(() => {
    const bytes = isArmored(file) ? dearmor(file) : file
    const header = parseHeader(bytes)
    const fileKey = openHeader(p, openers, header)
    const payload = bytes.subarray(header.length)
    const key = payloadKey(p, fileKey, payload.subarray(0, NONCE))
    const body = payload.subarray(NONCE)
    const count = Math.max(1, Math.ceil(body.length / (CHUNK + TAG)))
    const chunks = Array.from({ length: count }, (_, i) => {
      const last = i === count - 1
      const chunk = body.subarray(i * (CHUNK + TAG), (i + 1) * (CHUNK + TAG))
      const plain = p.aeadOpen('chacha20-poly1305', key, chunkNonce(i, last), new Uint8Array(0), chunk)
      // An empty last chunk is only good for an empty file: otherwise a file could end in two ways.
      return plain === undefined || (last && plain.length === 0 && count > 1) ? badPayload(i) : plain
    })
    return concat(...chunks)
  })
}

/** Header and payload key of a new file; the header ends with the payload's nonce. */
export function beginFile(p: Primitives, recipients: readonly string[], random: Random): { header: Uint8Array; key: Uint8Array } {
  if (recipients.length === 0) refuse('age.recipient', 'recipients', 'at least one', 'none')
  const [fileKey, nonce] = [random(16), random(NONCE)]
  const header = formatHeader(p, fileKey, recipients.map(recipient => wrap(p, recipient, fileKey, random)))
  return { header: concat(header, nonce), key: payloadKey(p, fileKey, nonce) }
}

/** The file key of a header, its MAC checked. */
export function openHeader(p: Primitives, openers: Openers, header: AgeHeader): Uint8Array {
  checkStanzas(header.stanzas)
  const keys = openers.identities.map(identity => unwrap(p, identity, header.stanzas))
  const fileKey = keys.find(key => key !== undefined) ?? (openers.passphrase === undefined ? undefined : unwrapPassphrase(p, openers.passphrase, header.stanzas))
  if (fileKey === undefined) return refuse('age.recipient', 'header', 'a recipient whose identity is at hand', header.stanzas.map(stanza => stanza.type).join(', '))
  checkMac(p, fileKey, header)
  return fileKey
}

export function payloadKey(p: Primitives, fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE) refuse('age.header', 'payload', `a nonce of ${NONCE} bytes`, `${nonce.length} bytes`)
  return hkdf(p, 'sha256', fileKey, nonce, utf8('payload'), 32)
}

/** Leave because a chunk does not open: altered, cut, reordered, or not the last one where the file ends. */
export function badPayload(chunk: number): never {
  return refuse('age.payload', `chunk ${chunk}`, 'the chunk that was written there', 'altered, missing or reordered bytes')
}
