/**
 * What a log and a witness say to each other (C2SP tlog-witness v1.0.0), without the HTTP around it: the body of
 * `add-checkpoint`, what a witness makes of it, and its answer. Pure: the witness's memory and clock are its caller's.
 * Trusts nothing that is read; `judgeAddCheckpoint` trusts the memory it is told, which must be durable and is to be
 * compared and set in one step with what the judgement says.
 */
import { fromUtf8, utf8 } from '../bytes/text.ts'
import { toBase64 } from '../bytes/base64.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, refusalOf, type Refusal, type Result } from '../refusal.ts'
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts'
import { formatSignatures, parseSignatures, parseVkey, signedBy, type NoteSignature } from './note.ts'
import { verifyLogSignature, type PolicyLog } from './policy.ts'
import { hashesOf } from './proof.ts'
import { verifyConsistency } from './tree.ts'

/** A checkpoint (its text) that is said to continue the tree of `old` entries; 0 where nothing is known of the witness. */
export interface AddCheckpoint { readonly old: number; readonly proof: readonly Uint8Array[]; readonly checkpoint: string }
/** Cosignatures, or the size of the tree that the witness cosigned last: ask again from there. */
export type WitnessAnswer = { readonly kind: 'cosigned'; readonly signatures: readonly NoteSignature[] } | { readonly kind: 'conflict'; readonly size: number }
export interface HttpAnswer { readonly status: number; readonly type: string; readonly body: Uint8Array }

const SIZE_TYPE = 'text/x.tlog.size'
const SIZE = /^(0|[1-9][0-9]{0,15})$/

export function encodeAddCheckpoint({ old, proof, checkpoint }: AddCheckpoint): Uint8Array {
  return utf8(`old ${old}\n${proof.map(hash => `${toBase64(hash)}\n`).join('')}\n${checkpoint}`)
}

/** The body of a request. Refuses `log.proof`, `log.note`, `log.checkpoint` or `bytes.encoding`: all of them a 400. */
export function parseAddCheckpoint(body: Uint8Array): Result<AddCheckpoint> {
  return attempt(() => {
    const text = fromUtf8(body, 'add-checkpoint')
    const gap = text.indexOf('\n\n')
    const [first = '', ...lines] = text.slice(0, Math.max(gap, 0)).split('\n')
    const old = first.startsWith('old ') ? sizeOf(first.slice(4)) : undefined
    if (old === undefined) return refuse('log.proof', 'add-checkpoint.old', 'old <size>', first)
    const checkpoint = text.slice(gap + 2)
    orRefuse(parseCheckpoint(checkpoint))
    return { old, proof: hashesOf(lines, 'add-checkpoint.proof'), checkpoint }
  })
}

/** What a witness remembers of a log: the newest tree it cosigned, or the empty one. */
export interface Remembered { readonly size: number; readonly root: Uint8Array }
/** 200: remember this tree durably, then cosign it. */
export type Judged =
  | { readonly status: 200; readonly checkpoint: Checkpoint }
  | { readonly status: 409; readonly size: number; readonly refusal: Refusal }
  | { readonly status: 400 | 403 | 404 | 422; readonly refusal: Refusal }

/**
 * What a witness that serves these logs, and remembers this tree of the checkpoint's log, has to answer; the statuses and
 * their order are the specification's.
 */
export function judgeAddCheckpoint(p: Primitives, request: AddCheckpoint, logs: readonly PolicyLog[], remembered: (origin: string) => Remembered): Judged {
  const read = parseCheckpoint(request.checkpoint)
  if (!read.ok) return { status: 400, refusal: read.refusal }
  const checkpoint = read.value
  const signed = verifyLogSignature(p, checkpoint, logs)
  if (!signed.ok) return { status: signed.refusal.code === 'log.origin' ? 404 : 403, refusal: signed.refusal }
  if (request.old > checkpoint.size) return { status: 400, refusal: refusalOf('log.consistency', 'add-checkpoint.old', `at most ${checkpoint.size}`, String(request.old)) }
  const known = remembered(checkpoint.origin)
  if (request.old !== known.size) return { status: 409, size: known.size, refusal: refusalOf('log.consistency', 'add-checkpoint.old', String(known.size), String(request.old)) }
  const continued = verifyConsistency(p, known.size, known.root, checkpoint.size, checkpoint.root, request.proof)
  return continued.ok ? { status: 200, checkpoint } : { status: 422, refusal: continued.refusal }
}

export function encodeWitnessAnswer(answer: WitnessAnswer): HttpAnswer {
  if (answer.kind === 'conflict') return { status: 409, type: SIZE_TYPE, body: utf8(`${answer.size}\n`) }
  return { status: 200, type: 'text/plain; charset=utf-8', body: utf8(formatSignatures(answer.signatures)) }
}

/** An answer to `add-checkpoint`. Refuses `log.witnesses` for any other status or form, `log.note` for other lines. */
export function parseWitnessAnswer({ status, type, body }: HttpAnswer): Result<WitnessAnswer> {
  return attempt(() => {
    if (status === 200) return { kind: 'cosigned', signatures: parseSignatures(fromUtf8(body, 'witness'), 'witness') }
    const text = status === 409 && type === SIZE_TYPE ? fromUtf8(body, 'witness') : refuse('log.witnesses', 'witness', `status 200, or 409 with ${SIZE_TYPE}`, `status ${status}${type === '' ? '' : ` with ${type}`}`)
    const size = text.endsWith('\n') ? sizeOf(text.slice(0, -1)) : undefined
    return size === undefined ? refuse('log.witnesses', 'witness', 'a size and a newline', text) : { kind: 'conflict', size }
  })
}

/**
 * The cosignature of the witness with this key among the lines that were answered; lines of other keys are ignored. Refuses
 * `log.signature` when there is none, one that does not hold, or one without a time, and `log.note` for a key that is none.
 */
export function cosignatureOf(p: Primitives, checkpoint: Checkpoint, signatures: readonly NoteSignature[], vkey: string): Result<NoteSignature> {
  return attempt(() => {
    const key = parseVkey(p, vkey)
    const dated = signatures.map(one => ({ one, time: signedBy(p, { text: checkpoint.note.text, signatures: [one] }, key)?.time ?? 0 }))
    const [newest] = dated.filter(({ time }) => time > 0).sort((a, b) => b.time - a.time)
    return newest?.one ?? refuse('log.signature', key.name, 'a cosignature with its time', 'none')
  })
}

function sizeOf(text: string): number | undefined {
  return SIZE.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}
