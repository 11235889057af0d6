/**
 * Names that mean nothing outside the room: HMAC-SHA256 under the room's key, cut to 80 bits. Equal for all who see the
 * same case; nobody without the key can test a guess. The key's two padded blocks are prepared once (RFC 2104), because a
 * run makes tens of thousands of names.
 */
import { concat } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'

/** 20 hex digits for a labelled list of texts; each stands behind its length, so lists that differ in any way differ in name. */
export type Opaque = (label: string, parts: readonly string[]) => string

export function opaqueNames(p: Primitives, roomKey: Uint8Array): Opaque {
  const key = new Uint8Array(BLOCK)
  key.set(roomKey.length > BLOCK ? p.hash('sha256', roomKey) : roomKey)
  const inner = key.map(byte => byte ^ 0x36)
  const outer = key.map(byte => byte ^ 0x5c)
  return (label, parts) => toHex(p.hash('sha256', concat(outer, p.hash('sha256', concat(inner, utf8(messageOf(label, parts)))))).subarray(0, 10))
}

export const messageOf = (label: string, parts: readonly string[]) => [label, ...parts].reduce((text, part) => `${text}${part.length}:${part}`, '')

const BLOCK = 64
