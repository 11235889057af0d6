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
import { verifyLogSignature, type LogPolicy, type PolicyLog } from '@cloister/core/log/policy'
import { cosignatureOf, encodeAddCheckpoint, judgeAddCheckpoint, parseWitnessAnswer, type AddCheckpoint, type HttpAnswer, type Judged } from '@cloister/core/log/witness'
import { attemptAsync, orRefuse, refuse, refusalOf, type Refusal, type Result } from '@cloister/core/refusal'
import type { Store } from '../store/store.ts'
import { boundedBody } from './client.ts'

/** A checkpoint to cosign; `prove` gives the proof that it continues the tree of `old` entries. */
export interface WitnessRequest { readonly checkpoint: string; readonly policy: Pick<LogPolicy, 'logs'>; prove(old: number): Promise<readonly Uint8Array[]> }
/** Whoever cosigns for a log, here or elsewhere. */
export interface Witness {
  readonly vkey: string
  /** Refuses `log.origin` (also for a log whose key is not the one it had before), `log.signature`, `log.consistency`. */
  cosign(request: WitnessRequest, now: number): Promise<Result<NoteSignature>>
}
/** What a witness makes of a request: its cosignature, or the status of the specification and why. */
export type WitnessVerdict = { readonly status: 200; readonly signature: NoteSignature } | Exclude<Judged, { readonly status: 200 }> | { readonly status: 500; readonly refusal: Refusal }
/** The witness itself, as its own protocol asks it. */
export interface LocalWitness extends Witness {
  /** Size of the newest checkpoint of this origin that was cosigned; 0 at first. */
  size(origin: string): Promise<number>
  /** Judge a checkpoint of one of these logs; remember it durably, then cosign it. */
  add(request: AddCheckpoint, logs: readonly PolicyLog[], now: number): Promise<WitnessVerdict>
}

interface Seen { readonly raw: Uint8Array | undefined; readonly size: number; readonly root: Uint8Array; readonly log?: string }

/** A witness whose memory is a store of its own, which nobody else writes. Its key: Ed25519 or ML-DSA-44. */
export function openWitness(p: Primitives, name: string, signer: Signer, memory: Pick<Store, 'get' | 'write'>): LocalWitness {
  const { publicKey } = signer
  const type = publicKey.kind === 'ed25519' ? COSIGNATURE : publicKey.kind === 'ml-dsa-44' ? COSIGNATURE_ML_DSA_44 : refuse('crypto.algorithm', 'witness.signer', 'an Ed25519 or ML-DSA-44 key', publicKey.kind)
  const { vkey } = noteKey(p, name, type, publicKey.kind === 'rsa' ? new Uint8Array(0) : publicKey.raw)
  const keyOf = (origin: string) => `witness/${toHex(p.hash('sha256', utf8(origin)))}`
  /** A log's first checkpoint fixes the keys that later ones must be signed with, until they sign for others. */
  const seen = async (origin: string): Promise<Seen> => {
    const raw = await memory.get(keyOf(origin))
    if (raw === undefined) return { raw, size: 0, root: p.hash('sha256', new Uint8Array(0)) }
    const [size = '', root = '', log] = fromUtf8(raw, 'witness').split(' ')
    if (!/^(0|[1-9][0-9]{0,15})$/.test(size)) refuse('store.corrupt', keyOf(origin), 'a size', size)
    return { raw, size: Number(size), root: fromBase64(root, 'witness'), ...(log === undefined ? {} : { log }) }
  }
  const judge = async (request: AddCheckpoint, logs: readonly PolicyLog[], now: number): Promise<WitnessVerdict> => {
    const origin = orRefuse(parseCheckpoint(request.checkpoint)).origin
    const known = await seen(origin)
    const judged = judgeAddCheckpoint(p, request, logs, () => known)
    if (judged.status !== 200) return judged
    const keys = logs.map(one => one.vkey).join(',')
    const { checkpoint } = judged
    // New keys of a log count when the ones before sign for them: a checkpoint that holds under both.
    const before = known.log === undefined || known.log === keys ? undefined : verifyLogSignature(p, checkpoint, known.log.split(',').map(one => ({ vkey: one })))
    if (before?.ok === false) return { status: 403, refusal: refusalOf('log.origin', 'checkpoint.origin', known.log ?? '', keys, 'sign with the former keys too while the keys change') }
    const next = utf8(`${checkpoint.size} ${toBase64(checkpoint.root)} ${keys}`)
    // Whoever shares this memory may have moved it on since it was read.
    const written = known.raw !== undefined && equal(known.raw, next) ? { moved: false } : await memory.write({ expect: [{ key: keyOf(origin), value: known.raw }], put: [{ key: keyOf(origin), value: next }] })
    if (written.moved) return judge(request, logs, now)
    const [signature] = cosignNote(p, { text: checkpoint.note.text, signatures: [] }, name, signer, now).signatures
    return { status: 200, signature: signature ?? refuse('log.signature', 'witness', 'a cosignature', 'none') }
  }
  const witness: LocalWitness = {
    vkey,
    size: async origin => (await seen(origin)).size,
    add: async (request, logs, now) => {
      const verdict = await attemptAsync(() => judge(request, logs, now))
      return verdict.ok ? verdict.value : { status: verdict.refusal.code.startsWith('store.') ? 500 : 400, refusal: verdict.refusal }
    },
    cosign: (request, now) => attemptAsync(async () => {
      const { origin, size } = orRefuse(parseCheckpoint(request.checkpoint))
      const old = await witness.size(origin)
      if (old > size) return behind(old, size)
      const verdict = await witness.add({ old, proof: await request.prove(old), checkpoint: request.checkpoint }, request.policy.logs, now)
      return verdict.status === 200 ? verdict.signature : orRefuse({ ok: false, refusal: verdict.refusal })
    }),
  }
  return witness
}

export interface RemoteWitness {
  readonly vkey: string
  /** Below which `add-checkpoint` stands. */
  readonly url: string
  readonly timeoutMs?: number
}

/**
 * Somebody else's witness, over HTTP (C2SP tlog-witness). What it answers counts only as far as its key signed it; where it
 * stands is learnt from its first answer and remembered while this process lives.
 *
 * @example
 * openLedger({ …, witnesses: [remoteWitness(p, { vkey: 'witness.example+…', url: 'https://witness.example' })], quorum: 1 })
 */
export function remoteWitness(p: Primitives, { vkey, url, timeoutMs = 5_000 }: RemoteWitness): Witness {
  const known = new Map<string, number>()
  const post = async (request: AddCheckpoint): Promise<HttpAnswer> => {
    const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, { method: 'POST', body: Uint8Array.from(encodeAddCheckpoint(request)), redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
      .catch((error: unknown) => refuse('log.unavailable', 'witness', `an answer of ${url}`, error instanceof Error ? error.message : 'none'))
    return { status: response.status, type: response.headers.get('content-type') ?? '', body: await boundedBody(response, ANSWER_BYTES_MAX, 'witness') }
  }
  return {
    vkey,
    cosign: request => attemptAsync(async () => {
      const checkpoint = orRefuse(parseCheckpoint(request.checkpoint))
      for (let tries = 0; tries < TRIES_MAX; tries++) {
        const old = known.get(checkpoint.origin) ?? 0
        const answer = orRefuse(parseWitnessAnswer(await post({ old, proof: await request.prove(old), checkpoint: request.checkpoint })))
        if (answer.kind === 'cosigned') {
          known.set(checkpoint.origin, checkpoint.size)
          return orRefuse(cosignatureOf(p, checkpoint, answer.signatures, vkey))
        }
        if (answer.size > checkpoint.size) return behind(answer.size, checkpoint.size)
        known.set(checkpoint.origin, answer.size)
      }
      return refuse('log.witnesses', 'witness', `a cosignature of ${url}`, 'other sizes again and again', 'try again')
    }),
  }
}

const behind = (seen: number, size: number): never => refuse('log.consistency', 'checkpoint', `the ${seen} entries that the witness has seen`, `${size}: the log's store was set back, or is behind`, 'restore the newest store')

const TRIES_MAX = 4
const ANSWER_BYTES_MAX = 1 << 16
