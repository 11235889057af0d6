/**
 * The binding: what report data says. 64 bytes, SHA-512 over length-prefixed parts, so that evidence speaks for exactly
 * one session: one nonce, one pair of guest keys, one charter, one head of the log (key-release.md section 17).
 */
import { framed } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Hash } from '../charter/types.ts'

export interface Binding {
  /** The broker's challenge, 32 bytes. */
  readonly nonce: Uint8Array
  /** The guest's X-Wing public key, 1216 bytes. */
  readonly seal: Uint8Array
  /** The guest's signing key, `p256:<hex>`. */
  readonly sign: string
  readonly charter: Hash
  /** Root hash of the log's head that the guest was shown, 32 bytes. */
  readonly head: Uint8Array
}

/** Report data of a guest that asks for a release. */
export function reportData(p: Primitives, binding: Binding): Uint8Array {
  return p.hash('sha512', framed('cloister/release/1', binding.nonce, binding.seal, utf8(binding.sign), utf8(binding.charter), binding.head))
}

/** Report data of a broker that answers `hello`: bound to the asker's nonce and to the broker's two keys. */
export function helloData(p: Primitives, binding: Pick<Binding, 'nonce' | 'seal' | 'sign'>): Uint8Array {
  return p.hash('sha512', framed('cloister/hello/1', binding.nonce, binding.seal, utf8(binding.sign)))
}

/** Report data of a broker that asks another one for their common identity: bound to that one's challenge and to the key the identity is sealed to. */
export function joinData(p: Primitives, binding: Pick<Binding, 'nonce' | 'seal'>): Uint8Array {
  return p.hash('sha512', framed('cloister/join/1', binding.nonce, binding.seal))
}
