/** Checkpoints (C2SP tlog-checkpoint v1.0.0): origin, size and root hash of a log, as a signed note. Trusts nothing by itself. */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { parseNote, type Note } from './note.ts'

export interface Checkpoint { readonly origin: string; readonly size: number; readonly root: Uint8Array; readonly note: Note }

/** Refuses `log.note` or `log.checkpoint`. Extension lines are refused: not every cosignature covers them. */
export function parseCheckpoint(text: string): Result<Checkpoint> {
  return attempt(() => {
    const note = parseNote(text, 'checkpoint')
    const [origin = '', size = '', root = '', end, more] = note.text.split('\n')
    if (origin === '' || end !== '' || more !== undefined || !/^(0|[1-9][0-9]{0,15})$/.test(size)) refuse('log.checkpoint', 'checkpoint', 'origin, size and root', note.text)
    const hash = fromBase64(root, 'checkpoint.root')
    if (hash.length !== 32 || !Number.isSafeInteger(Number(size))) refuse('log.checkpoint', 'checkpoint.root', '32 bytes', `${hash.length} bytes`)
    return { origin, size: Number(size), root: hash, note }
  })
}

/** The text that is signed. */
export const checkpointText = (origin: string, size: number, root: Uint8Array): string => `${origin}\n${size}\n${toBase64(root)}\n`
