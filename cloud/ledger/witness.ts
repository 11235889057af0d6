/**
 * A witness (C2SP tlog-witness): remembers the newest checkpoint it cosigned for each log and cosigns another only if that
 * continues it. Its memory is what makes a split view impossible, so it is durable before a signature leaves, and of two
 * that come at once only one is written.
 *
 * Trusts: its own memory and key, and nothing the log says. An embedded witness beside its log guards against the log's
 * store being set back, not against whoever runs both: real deployments use other people's witnesses.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Primitives, Signer } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { COSIGNATURE, COSIGNATURE_ML_DSA_44, cosignNote, noteKey, type NoteSignature } from '@cloister/core/log/note'
import { verifyLogSignature, type LogPolicy } from '@cloister/core/log/policy'
import { verifyConsistency } from '@cloister/core/log/tree'
import { attemptAsync, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import type { Store } from '../store/store.ts'

/** A checkpoint to cosign; `prove` gives the proof that it continues the tree of `old` entries. */
export interface WitnessRequest { readonly checkpoint: string; readonly policy: Pick<LogPolicy, 'logs'>; prove(old: number): Promise<readonly Uint8Array[]> }
/** Whoever cosigns for a log, here or elsewhere. */
export interface Witness {
  readonly vkey: string
  /** Refuses `log.origin` (also for a log whose key is not the one it had before), `log.signature`, `log.consistency`. */
  cosign(request: WitnessRequest, now: number): Promise<Result<NoteSignature>>
}
/** The witness itself, as its own protocol asks it. */
export interface LocalWitness extends Witness {
  /** Size of the newest checkpoint of this origin that was cosigned; 0 at first. */
  size(origin: string): Promise<number>
  /** Cosign a checkpoint that continues the tree of `old` entries. */
  add(old: number, proof: readonly Uint8Array[], checkpoint: string, logs: LogPolicy['logs'], now: number): Promise<Result<NoteSignature>>
}

interface Seen { readonly raw: Uint8Array | undefined; readonly size: number; readonly root: Uint8Array; readonly log?: string }

/** A witness whose memory is a store of its own, which nobody else writes. Its key: Ed25519 or ML-DSA-44. */
export function openWitness(p: Primitives, name: string, signer: Signer, memory: Pick<Store, 'get' | 'write'>): LocalWitness {
  const { publicKey } = signer
  const type = publicKey.kind === 'ed25519' ? COSIGNATURE : publicKey.kind === 'ml-dsa-44' ? COSIGNATURE_ML_DSA_44 : refuse('crypto.algorithm', 'witness.signer', 'an Ed25519 or ML-DSA-44 key', publicKey.kind)
  const { vkey } = noteKey(p, name, type, publicKey.kind === 'rsa' ? new Uint8Array(0) : publicKey.raw)
  const keyOf = (origin: string) => `witness/${toHex(p.hash('sha256', utf8(origin)))}`
  /** A log's first checkpoint fixes the key that later ones must be signed with. */
  const seen = async (origin: string): Promise<Seen> => {
    const raw = await memory.get(keyOf(origin))
    if (raw === undefined) return { raw, size: 0, root: p.hash('sha256', new Uint8Array(0)) }
    const [size = '', root = '', log] = fromUtf8(raw, 'witness').split(' ')
    if (!/^(0|[1-9][0-9]{0,15})$/.test(size)) refuse('store.corrupt', keyOf(origin), 'a size', size)
    return { raw, size: Number(size), root: fromBase64(root, 'witness'), ...(log === undefined ? {} : { log }) }
  }
  const witness: LocalWitness = {
    vkey,
    size: async origin => (await seen(origin)).size,
    add: (old, proof, text, logs, now) => attemptAsync(async () => {
      const checkpoint = orRefuse(parseCheckpoint(text))
      orRefuse(verifyLogSignature(p, checkpoint, logs))
      const logKey = logs.map(one => one.vkey).join(',')
      const known = await seen(checkpoint.origin)
      if (known.log !== undefined && known.log !== logKey) refuse('log.origin', 'checkpoint.origin', known.log, logKey)
      if (old !== known.size) refuse('log.consistency', 'old', String(known.size), String(old))
      orRefuse(verifyConsistency(p, known.size, known.root, checkpoint.size, checkpoint.root, proof))
      const next = utf8(`${checkpoint.size} ${toBase64(checkpoint.root)} ${logKey}`)
      // Whoever shares this memory may have moved it on since it was read.
      const written = known.raw !== undefined && equal(known.raw, next) ? { moved: false } : await memory.write({ expect: [{ key: keyOf(checkpoint.origin), value: known.raw }], put: [{ key: keyOf(checkpoint.origin), value: next }] })
      if (written.moved) refuse('log.consistency', 'old', 'the newest checkpoint', 'one that was just continued')
      const [signature] = cosignNote(p, { text: checkpoint.note.text, signatures: [] }, name, signer, now).signatures
      return signature ?? refuse('log.signature', 'witness', 'a cosignature', 'none')
    }),
    cosign: (request, now) => attemptAsync(async () => {
      const { origin, size } = orRefuse(parseCheckpoint(request.checkpoint))
      const old = await witness.size(origin)
      if (old > size) refuse('log.consistency', 'checkpoint', `the ${old} entries that the witness has seen`, `${size}: the log's store was set back, or is behind`, 'restore the newest store')
      return orRefuse(await witness.add(old, await request.prove(old), request.checkpoint, request.policy.logs, now))
    }),
  }
  return witness
}
