/** How the vectors of CBOR, COSE and what is written in them run. */
import { readCbor } from '@cloister/core/bytes/cbor'
import { fromHex } from '@cloister/core/bytes/hex'
import { readSign1 } from '@cloister/core/crypto/cose'
import { parseKey } from '@cloister/core/crypto/keys'
import { portable } from '@cloister/core/crypto/portable'
import { verifyCca } from '@cloister/core/evidence/cca/verify'
import { attempt, type Result } from '@cloister/core/refusal'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { hex }: one CBOR value, strictly. */
  readCbor: input => attempt(() => readCbor(fromHex(field(input, 'hex') ?? ''))),
  /** { hex }: one COSE_Sign1, tagged or not. */
  readSign1: input => attempt(() => readSign1(fromHex(field(input, 'hex') ?? ''), { tag: 'optional' })),
  /** { token, cpak, until? }: a CCA token in base64 at time 1767225600, under one named key that is endorsed until then or for good. */
  'evidence.cca': input => attempt(() => {
    const until = field(input, 'until')
    const validity = until === undefined ? {} : { validity: { notBefore: 0, notAfter: Number(until) } }
    return verifyCca(portable, { kind: 'cca', token: field(input, 'token') ?? '' }, { now: 1_767_225_600, cpaks: [{ key: parseKey(field(input, 'cpak') ?? ''), ...validity }] })
  }),
}

function field(input: unknown, name: string): string | undefined {
  const value: unknown = typeof input === 'object' && input !== null ? Object.entries(input).find(([key]) => key === name)?.[1] : undefined
  return typeof value === 'string' ? value : undefined
}
