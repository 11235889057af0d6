/**
 * A witness (C2SP tlog-witness): remembers the newest checkpoint it cosigned for each log and cosigns another only if that
 * continues it. Its memory is what makes a split view impossible, so it must be durable before a signature leaves.
 *
 * Trusts: its own memory and key, and nothing the log says. An embedded witness beside its log guards against the log's
 * store being set back, not against whoever runs both: real deployments use other people's witnesses.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { toHex } from '@cloister/core/bytes/hex'
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { parseCheckpoint, type Checkpoint } from '@cloister/core/log/checkpoint'
import { COSIGNATURE, cosignNote, noteKey, parseVkey, signedBy, type NoteSignature } from '@cloister/core/log/note'
import type { LogPolicy } from '@cloister/core/log/policy'
import { verifyConsistency } from '@cloister/core/log/tree'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import type { LedgerReader, LedgerTx } from './store.ts'

export interface WitnessRequest { readonly old: number; readonly proof: readonly Uint8Array[]; readonly checkpoint: string; readonly policy: Pick<LogPolicy, 'log'> }
export interface Witness {
  readonly vkey: string
  /** Size of the newest checkpoint of this origin that was cosigned; 0 at first. */
  size(origin: string): number
  /** Refuses `log.origin` (also for a log whose key is not the one it had before), `log.signature`, `log.consistency`. */
  cosign(request: WitnessRequest, now: number): Result<NoteSignature>
}
/** The witness's own durable memory; `write` returns once it is on disk. */
export interface WitnessMemory extends LedgerReader { write(body: (tx: LedgerTx) => void): void }

interface Seen { readonly size: number; readonly root: Uint8Array; readonly log?: string }

export function openWitness(p: Primitives, name: string, signer: Signer, memory: WitnessMemory): Witness {
  if (signer.publicKey.kind !== 'ed25519') return refuse('crypto.algorithm', 'witness.signer', 'an Ed25519 key', signer.publicKey.kind)
  const { vkey } = noteKey(p, name, COSIGNATURE, signer.publicKey.raw)
  const keyOf = (origin: string) => `witness/${toHex(p.hash('sha256', utf8(origin)))}`
  /** A log's first checkpoint fixes the key that later ones must be signed with. */
  const seen = (reader: LedgerReader, origin: string): Seen => {
    const bytes = reader.get(keyOf(origin))
    if (bytes === undefined) return { size: 0, root: p.hash('sha256', new Uint8Array(0)) }
    const [size = '', root = '', log] = fromUtf8(bytes, 'witness').split(' ')
    if (!/^(0|[1-9][0-9]{0,15})$/.test(size)) refuse('store.corrupt', keyOf(origin), 'a size', size)
    return { size: Number(size), root: fromBase64(root, 'witness'), ...(log === undefined ? {} : { log }) }
  }
  /** Does the checkpoint continue what was seen? Leaves with `log.consistency` or `log.origin`. */
  const continues = (known: Seen, request: WitnessRequest, checkpoint: Checkpoint): void => {
    if (known.log !== undefined && known.log !== request.policy.log) refuse('log.origin', 'checkpoint.origin', known.log, request.policy.log)
    if (request.old !== known.size) refuse('log.consistency', 'old', String(known.size), String(request.old))
    orRefuse(verifyConsistency(p, known.size, known.root, checkpoint.size, checkpoint.root, request.proof))
  }
  return {
    vkey, size: origin => seen(memory, origin).size,
    cosign: (request, now) => attempt(() => {
      const checkpoint = orRefuse(parseCheckpoint(request.checkpoint))
      const log = parseVkey(p, request.policy.log)
      if (checkpoint.origin !== log.name) refuse('log.origin', 'checkpoint.origin', log.name, checkpoint.origin)
      if (signedBy(p, checkpoint.note, log) === undefined) refuse('log.signature', 'checkpoint', `a signature by ${log.name}`, 'none')
      const known = seen(memory, checkpoint.origin)
      continues(known, request, checkpoint)
      // Looked at again inside the transaction: whoever shares this memory may have moved it on.
      if (known.size !== checkpoint.size || known.log === undefined) memory.write(tx => {
        continues(seen(tx, checkpoint.origin), request, checkpoint)
        tx.put(keyOf(checkpoint.origin), utf8(`${checkpoint.size} ${toBase64(checkpoint.root)} ${request.policy.log}`))
      })
      const [signature] = cosignNote(p, { text: checkpoint.note.text, signatures: [] }, name, signer, now).signatures
      return signature ?? refuse('log.signature', 'witness', 'a cosignature', 'none')
    }),
  }
}
