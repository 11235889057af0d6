/** How the vectors of CBOR, COSE and what is written in them run. */
import { readCbor } from '@cloister/core/bytes/cbor'
import { fromHex } from '@cloister/core/bytes/hex'
import { readSign1 } from '@cloister/core/crypto/cose'
import { attempt, type Result } from '@cloister/core/refusal'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { hex }: one CBOR value, strictly. */
  readCbor: input => attempt(() => readCbor(fromHex(field(input, 'hex') ?? ''))),
  /** { hex }: one COSE_Sign1, tagged or not. */
  readSign1: input => attempt(() => readSign1(fromHex(field(input, 'hex') ?? ''), { tag: 'optional' })),
}

function field(input: unknown, name: string): string | undefined {
  const value: unknown = typeof input === 'object' && input !== null ? Object.entries(input).find(([key]) => key === name)?.[1] : undefined
  return typeof value === 'string' ? value : undefined
}
