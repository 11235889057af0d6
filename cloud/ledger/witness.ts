/**
 * A witness (C2SP tlog-witness): remembers the newest checkpoint it cosigned for each log and cosigns another only if that
 * continues it. Its memory is what makes a split view impossible, so it must be durable before a signature leaves.
 *
 * Trusts: its own memory and key, and nothing the log says. An embedded witness beside its log guards against the log's
 * store being set back, not against whoever runs both: real deployments use other people's witnesses.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { toHex } from '@cloister/core/bytes/hex'
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { COSIGNATURE, cosignNote, noteKey, parseVkey, signedBy, type NoteSignature } from '@cloister/core/log/note'
import type { LogPolicy } from '@cloister/core/log/policy'
import { verifyConsistency } from '@cloister/core/log/tree'
import { equal } from '@cloister/core/bytes/bytes'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { fromBase64 } from '@cloister/core/bytes/base64'
import type { LedgerReader, LedgerTx } from './store.ts'

export interface WitnessRequest { readonly old: number; readonly proof: readonly Uint8Array[]; readonly checkpoint: string; readonly policy: Pick<LogPolicy, 'log'> }
export interface Witness {
  readonly vkey: string
  /** Size of the newest checkpoint of this origin that was cosigned; 0 at first. */
  size(origin: string): number
  /** Refuses `log.origin`, `log.signature`, `log.consistency`. */
  cosign(request: WitnessRequest, now: number): Result<NoteSignature>
}
/** The witness's own durable memory; `write` returns once it is on disk. */
export interface WitnessMemory extends LedgerReader { write(body: (tx: LedgerTx) => void): void }

export function openWitness(p: Primitives, name: string, signer: Signer, memory: WitnessMemory): Witness {
  if (signer.publicKey.kind !== 'ed25519') return refuse('crypto.algorithm', 'witness.signer', 'an Ed25519 key', signer.publicKey.kind)
  const { vkey } = noteKey(p, name, COSIGNATURE, signer.publicKey.raw)
  const keyOf = (origin: string) => `witness/${toHex(p.hash('sha256', utf8(origin)))}`
  const seen = (origin: string): { size: number; root: Uint8Array } => {
    const bytes = memory.get(keyOf(origin))
    if (bytes === undefined) return { size: 0, root: p.hash('sha256', new Uint8Array(0)) }
    const [size = '', root = ''] = fromUtf8(bytes, 'witness').split(' ')
    return { size: Number(size), root: fromBase64(root, 'witness') }
  }
  return {
    vkey, size: origin => seen(origin).size,
    cosign: (request, now) => attempt(() => {
      const checkpoint = orRefuse(parseCheckpoint(request.checkpoint))
      const log = parseVkey(p, request.policy.log)
      if (checkpoint.origin !== log.name) refuse('log.origin', 'checkpoint.origin', log.name, checkpoint.origin)
      if (signedBy(p, checkpoint.note, log) === undefined) refuse('log.signature', 'checkpoint', `a signature by ${log.name}`, 'none')
      const { size, root } = seen(checkpoint.origin)
      if (request.old !== size) refuse('log.consistency', 'old', String(size), String(request.old))
      orRefuse(verifyConsistency(p, size, root, checkpoint.size, checkpoint.root, request.proof))
      if (size !== checkpoint.size || !equal(root, checkpoint.root)) memory.write(tx => tx.put(keyOf(checkpoint.origin), utf8(`${checkpoint.size} ${toBase64(checkpoint.root)}`)))
      const [signature] = cosignNote(p, { text: checkpoint.note.text, signatures: [] }, name, signer, now).signatures
      return signature ?? refuse('log.signature', 'witness', 'a cosignature', 'none')
    }),
  }
}
