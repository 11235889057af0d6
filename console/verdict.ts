/**
 * What the page says of dropped files: the same judges as the command line, in the browser. Trusts nothing but the pinned
 * roots in core, and whom the person names; nothing leaves the page.
 */
import { shortfall, tcbStatus } from '@cloister/core/appraisal/tcb'
import { isObject } from '@cloister/core/bytes/json'
import { portable as p } from '@cloister/core/crypto/portable'
import type { Claims } from '@cloister/core/evidence/claims'
import { assemble, detect, type NamedFile, type Piece } from '@cloister/core/evidence/detect'
import { answersTo, explain, type Explanation } from '@cloister/core/evidence/explain'
import { readForeign, verifyForeign } from '@cloister/core/evidence/foreign/foreign'
import { parseEvidence, verifyEvidence, type VerifyOptions } from '@cloister/core/evidence/index'
import { parseTrust } from '@cloister/core/evidence/trust'
import { attempt, orRefuse, refuse, type Refusal } from '@cloister/core/refusal'

/** What a person typed beside the files; times in seconds since 1970. */
export interface Asked { readonly now: number; readonly nonce?: string; readonly trust?: string }

export type Verdict =
  | { readonly kind: 'proven' | 'weak' | 'simulated'; readonly claims: Claims; readonly explanation: Explanation; readonly notes: readonly string[] }
  | { readonly kind: 'refused'; readonly refusal: Refusal }

/** The verdict on the files of one machine, or on one document of another system. */
export function judgeFiles(files: readonly NamedFile[], asked: Asked): Verdict {
  const result = attempt(() => {
    const pieces = files.flatMap(file => orRefuse(detect(p, file)))
    const trust = asked.trust === undefined || asked.trust.trim() === '' ? {} : orRefuse(parseTrust(asked.trust))
    return judged(pieces, { ...trust, now: asked.now }, hexNonce(asked.nonce))
  })
  if (!result.ok) return { kind: 'refused', refusal: result.refusal }
  const { claims, notes, nonce } = result.value
  const lacking = shortfall(claims)
  const kind = claims.simulated ? 'simulated' : claims.debug || claims.migration || (lacking !== undefined && tcbStatus(claims) !== 'Unknown') ? 'weak' : 'proven'
  return { kind, claims, explanation: explain(claims, { nonce }), notes: [`patch levels: ${lacking ?? 'at or above the reviewed minimum'}`, ...notes] }
}

interface Judged { readonly claims: Claims; readonly notes: readonly string[]; readonly nonce: boolean }

function judged(pieces: readonly Piece[], options: VerifyOptions, nonce: string | undefined): Judged {
  const [only, more] = pieces
  if (only?.what === 'receipt' || only?.what === 'tlog-proof' || only?.what === 'text') return refuse('evidence.kind', only.file, 'evidence of a machine', only.what === 'text' ? 'a text' : `a ${only.what}`, 'receipts, proofs and charters: cloister verify FILE')
  if (only?.what === 'json' && more === undefined) return foreign(only, options, nonce)
  const claims = orRefuse(verifyEvidence(p, orRefuse(parseEvidence(orRefuse(assemble(pieces)))), options))
  if (nonce !== undefined && !answersTo(claims, nonce)) refuse('evidence.report-data', 'claims.reportData', `the nonce ${nonce}`, claims.reportData, 'evidence of another request: ask for it again with this nonce')
  return { claims, notes: [], nonce: nonce !== undefined }
}

function foreign(piece: Piece, options: VerifyOptions, nonce: string | undefined): Judged {
  if (isObject(piece.json) && piece.json['charter'] !== undefined) return refuse('evidence.kind', piece.file, 'evidence of a machine', 'a charter', 'cloister verify FILE')
  const { claims, challenge, form, bindings, beside, unbound } = orRefuse(verifyForeign(p, orRefuse(readForeign(p, piece.json ?? null, nonce === undefined ? {} : { nonce })), options))
  if (nonce !== undefined && !answersTo(claims, nonce) && challenge !== nonce) refuse('evidence.report-data', 'claims.reportData', `the nonce ${nonce}`, challenge ?? claims.reportData)
  const notes = [`a document of the form ${form}`, ...bindings.map(one => `bound: ${one}`), ...beside.map(one => `a ${one.role} (${one.claims.product}) is genuine, and nothing says that it is in this machine`), ...unbound.map(one => `not bound: ${one}`)]
  return { claims, notes, nonce: nonce !== undefined }
}

function hexNonce(text: string | undefined): string | undefined {
  const plain = text?.trim().toLowerCase().replace(/^0x/, '') ?? ''
  if (plain === '') return undefined
  return /^([0-9a-f]{2})+$/.test(plain) ? plain : refuse('cli.usage', 'nonce', 'bytes in hex', plain)
}
