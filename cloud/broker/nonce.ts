/**
 * Challenges that need no memory until they are used: a flood of hellos writes nothing. A challenge is 32 bytes: when it
 * was given (5 bytes), the size of the log's head it was given with (5), randomness (6), and 16 bytes of an HMAC over all
 * of it and the charter, under a key that only brokers of this store have. Trusts that key; time and replay are judged by
 * the machine.
 */
import { concat, equal, framed } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import type { Hash } from '@cloister/core/charter/types'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import type { JOIN } from './join.ts'
import type { RECOVER } from './recovery.ts'

export interface Given { readonly issuedAt: number; readonly size: number }

/** @example makeNonce(p, key, { issuedAt: now, size: head.size }, charter, random) // 32 bytes */
export function makeNonce(p: Primitives, key: Uint8Array, given: Given, charter: Hash | typeof JOIN | typeof RECOVER, random: Random): Uint8Array {
  const front = concat(u40(given.issuedAt), u40(given.size), random(6))
  return concat(front, seal(p, key, front, charter))
}

/** What a challenge of ours says, or undefined when it is not ours or not for this charter. */
export function readNonce(p: Primitives, key: Uint8Array, nonce: Uint8Array, charter: Hash | typeof JOIN | typeof RECOVER): Given | undefined {
  if (nonce.length !== NONCE_BYTES) return undefined
  const front = nonce.subarray(0, FRONT_BYTES)
  return equal(nonce.subarray(FRONT_BYTES), seal(p, key, front, charter)) ? { issuedAt: number(front.subarray(0, 5)), size: number(front.subarray(5, 10)) } : undefined
}

const NONCE_BYTES = 32
const FRONT_BYTES = 16
const seal = (p: Primitives, key: Uint8Array, front: Uint8Array, charter: string) => p.hmac('sha256', key, framed('cloister/challenge/1', front, utf8(charter))).subarray(0, 16)
const u40 = (value: number) => new Uint8Array([4, 3, 2, 1, 0].map(power => Math.floor(value / 256 ** power) % 256))
const number = (bytes: Uint8Array) => bytes.reduce((value, byte) => value * 256 + byte, 0)
