/** `.tlog-proof` files (C2SP tlog-proof@v1): an entry's index, its audit path, and the checkpoint it leads to. Trusts nothing by itself. */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts'
import { verifyCheckpoint, type LogPolicy } from './policy.ts'
import { leafHash, PROOF_MAX, verifyInclusion } from './tree.ts'

export interface TlogProof { readonly index: number; readonly path: readonly Uint8Array[]; readonly checkpoint: string; readonly extra?: Uint8Array }

const HEADER = 'c2sp.org/tlog-proof@v1'

export function formatProof(proof: TlogProof): string {
  const extra = proof.extra === undefined ? '' : `extra ${toBase64(proof.extra)}\n`
  return `${HEADER}\n${extra}index ${proof.index}\n${proof.path.map(hash => `${toBase64(hash)}\n`).join('')}\n${proof.checkpoint}`
}

/** Refuses `log.proof`. */
export function parseProof(text: string): Result<TlogProof> {
  return attempt(() => {
    const gap = text.indexOf('\n\n')
    const [header, ...lines] = text.slice(0, Math.max(gap, 0)).split('\n')
    if (gap < 0 || header !== HEADER) refuse('log.proof', 'proof', HEADER, header ?? '')
    const extra = lines[0]?.startsWith('extra ') === true ? fromBase64(lines.shift()?.slice(6) ?? '', 'proof.extra') : undefined
    const [, index] = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? '') ?? refuse('log.proof', 'proof.index', 'index <number>', 'another line')
    return { index: Number(index), path: hashesOf(lines, 'proof.path'), checkpoint: text.slice(gap + 2), ...(extra === undefined ? {} : { extra }) }
  })
}

/** One hash in base64 on each line. Leaves with `log.proof` or `bytes.encoding`. */
export function hashesOf(lines: readonly string[], at: string): Uint8Array[] {
  if (lines.length > PROOF_MAX) refuse('log.proof', at, `at most ${PROOF_MAX} hashes`, String(lines.length))
  const hashes = lines.map(line => fromBase64(line, at))
  return hashes.every(hash => hash.length === 32) ? hashes : refuse('log.proof', at, '32 bytes each', 'another length')
}

export interface Included { readonly index: number; readonly checkpoint: Checkpoint; readonly witnesses: number; readonly time: number }

/** Is this entry in the log that the policy names, under a checkpoint its witnesses cosigned? */
export function verifyProof(p: Primitives, entry: Uint8Array, text: string, policy: LogPolicy): Result<Included> {
  return attempt(() => {
    const proof = orRefuse(parseProof(text))
    const checkpoint = orRefuse(parseCheckpoint(proof.checkpoint))
    const seen = orRefuse(verifyCheckpoint(p, checkpoint, policy))
    orRefuse(verifyInclusion(p, leafHash(p, entry), proof.index, checkpoint.size, proof.path, checkpoint.root))
    return { index: proof.index, checkpoint, ...seen }
  })
}
