/** How the vectors of age files run: whole files, as hex or as text. */
import { fromHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { portable } from '@cloister/core/crypto/portable'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { decrypt } from '@cloister/core/seal/age/index'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { identity, hex | text }: open a whole age file. */
  'age.decrypt': input => attempt(() => {
    const text = field(input, 'text')
    const file = text === undefined ? fromHex(field(input, 'hex') ?? '') : utf8(text)
    return orRefuse(decrypt(portable, { identities: [field(input, 'identity') ?? ''] }, file))
  }),
}

function field(input: unknown, name: string): string | undefined {
  const value: unknown = typeof input === 'object' && input !== null ? Object.entries(input).find(([key]) => key === name)?.[1] : undefined
  return typeof value === 'string' ? value : undefined
}
