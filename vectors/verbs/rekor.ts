/** How the vectors of the Rekor face run: a request as clients send it. */
import { utf8 } from '@cloister/core/bytes/text'
import type { Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { readRekorRequest } from '../../cloud/ledger/rekor-entry.ts'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  'rekor.request': input => readRekorRequest(p, utf8(JSON.stringify(input))),
}
