/** A log of a few entries without a store, for tests: its policy, and the proof of each entry. */
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { checkpointText } from '@cloister/core/log/checkpoint'
import { COSIGNATURE, cosignNote, ED25519, formatNote, noteKey, signNote } from '@cloister/core/log/note'
import { flatPolicy, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { inclusionProof, leafHash, nodeHash, rootAt, type HashAt } from '@cloister/core/log/tree'

export interface SmallLog { readonly policy: LogPolicy; prove(index: number): string }

/** `time` is when the witness saw it; both keys are Ed25519. */
export function smallLog(p: Primitives, { origin, signer, witness, quorum = 1, time }: { readonly origin: string; readonly signer: Signer; readonly witness: Signer; readonly quorum?: number; readonly time: number }, entries: readonly Uint8Array[]): SmallLog {
  const raw = ({ publicKey }: Signer) => (publicKey.kind === 'rsa' ? new Uint8Array(0) : publicKey.raw)
  const hashAt: HashAt = (level, index) => level === 0 ? leafHash(p, entries[index] ?? new Uint8Array(0)) : nodeHash(p, hashAt(level - 1, 2 * index), hashAt(level - 1, 2 * index + 1))
  const text = checkpointText(origin, entries.length, rootAt(p, entries.length, hashAt))
  const checkpoint = formatNote(cosignNote(p, signNote(p, { text, signatures: [] }, origin, signer), 'w.test', witness, time))
  return {
    policy: flatPolicy([noteKey(p, origin, ED25519, raw(signer)).vkey], [noteKey(p, 'w.test', COSIGNATURE, raw(witness)).vkey], quorum),
    prove: index => formatProof({ index, path: inclusionProof(p, index, entries.length, hashAt), checkpoint }),
  }
}
