/**
 * Results leave the guest sealed: one age file for each receiver's `seal` recipients in the charter. A receiver without
 * recipients gets nothing, and the run says so before it starts (`checkReceivers`).
 */
import { createHash } from 'node:crypto'
import { toBase64 } from '@cloister/core/bytes/base64'
import type { Charter, Output } from '@cloister/core/charter/types'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { encrypt } from '@cloister/core/seal/age/index'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'
import type { SealedOutput } from '../provider/wire.ts'

export interface PlainOutput { readonly name: string; readonly to: string; readonly shape: string; readonly about?: string; readonly bytes: Uint8Array }

/** Leaves with `grant.output` when a named receiver has no recipient to seal to. */
export function checkReceivers(charter: Charter, outputs: readonly Output[]): void {
  for (const to of outputs.flatMap(output => output.to)) recipientsOf(charter, to)
}

export function sealOutputs(charter: Charter, outputs: readonly PlainOutput[]): SealedOutput[] {
  return outputs.map(({ bytes, ...about }) => {
    const sealed = orRefuse(encrypt(nodePrimitives, recipientsOf(charter, about.to), bytes, nodeRandom))
    return { ...about, sealed: toBase64(sealed), digest: `sha256:${createHash('sha256').update(sealed).digest('hex')}` }
  })
}

function recipientsOf(charter: Charter, to: string): string[] {
  const seal = charter.parties[to]?.seal
  if (seal === undefined || seal.length === 0) {
    return refuse('grant.output', `parties.${to}.seal`, 'an age recipient to seal results to', 'none', `add seal: [age1…] to parties.${to}`)
  }
  return seal
}
