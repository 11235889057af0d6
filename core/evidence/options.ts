/**
 * What every kind of evidence is judged with: the time, whether a revocation list is required, and a memory of parts that
 * held before. Trusts whoever calls; the memory holds only results of this process.
 */
import { framed } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Cpak } from './cca/verify.ts'
import type { Verifier } from './result/token.ts'

export interface VerifyOptions {
  /** The time to judge at, seconds since 1970. */
  readonly now: number
  /** Refuse evidence without the vendor's revocation list. */
  readonly requireCrl?: boolean
  /** Parts that held before: hand in one `new Map()` and keep it, to judge many reports of the same machines faster. */
  readonly cache?: VerifiedCache
  /** TPM attestation keys that the relying party enrolled: the Name in hex (`000b…`), or `spki:` and the SHA-256 of the SubjectPublicKeyInfo. */
  readonly aks?: readonly string[]
  /** Keys of Arm CCA platforms that the relying party believes: there is no vendor's root. */
  readonly cpaks?: readonly Cpak[]
  /** Verifiers whose result tokens the relying party believes. */
  readonly verifiers?: readonly Verifier[]
}

/**
 * Verified parts by the digest of the exact bytes they were verified from. A hit has its time checked against the whole
 * window of every certificate, list and document behind it, so that nothing outlives its expiry (attacks.md row 26);
 * revocation lists are part of the name, so another list is another entry.
 */
export type VerifiedCache = Map<string, Remembered>
interface Remembered { readonly notBefore: number; readonly notAfter: number; readonly value: unknown }
const CACHE_MAX = 4096

/** What is looked for, from the cache when the same bytes held before and their time still runs, else found anew. `find` leaves by `refuse`. */
export function remember<T extends { readonly notBefore: number; readonly notAfter: number }>(p: Primitives, options: VerifyOptions, kind: string, parts: readonly Uint8Array[], find: () => T): T {
  const { cache, now } = options
  if (cache === undefined) return find()
  const name = `${kind} ${toHex(p.hash('sha256', framed(kind, ...parts)))}`
  const known = cache.get(name)
  // The name begins with the kind, and one kind stores one type.
  if (known !== undefined && now >= known.notBefore && now <= known.notAfter) return known.value as T
  const value = find()
  if (cache.size >= CACHE_MAX) cache.clear()
  cache.set(name, { notBefore: value.notBefore, notAfter: value.notAfter, value })
  return value
}
