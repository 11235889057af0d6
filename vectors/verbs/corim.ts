/** How the vectors of CoRIM run: a document in hex, read with the rules of its profile. */
import { fromHex } from '@cloister/core/bytes/hex'
import { checkedCorim } from '@cloister/core/appraisal/corim/index'
import type { Result } from '@cloister/core/refusal'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  'corim.check': input => checkedCorim(fromHex(String(input))),
}
