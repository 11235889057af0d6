/** Verbs of tokens and attestation results for the vectors. */
import type { Json } from '@cloister/core/bytes/json'
import { checkTimes, claimsOf, parseJwks, parseJws, timesOf, verifyJws } from '@cloister/core/crypto/jws'
import { portable } from '@cloister/core/crypto/portable'
import { attempt, type Result } from '@cloister/core/refusal'

interface TokenInput { token: string; jwks: Json; now: number }

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** A signed token under a set of keys at a time. */
  'token.verify': input => attempt(() => {
    // Vectors are ours and carry these fields.
    const { token, jwks, now } = input as TokenInput
    const jws = parseJws(token)
    verifyJws(portable, jws, parseJwks(JSON.stringify(jwks)))
    const claims = claimsOf(jws)
    checkTimes(timesOf(claims), { now, leeway: 60 })
    return claims
  }),
}
