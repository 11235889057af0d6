/** Opening runs of age chunks with node:crypto: what the reading thread and its helper share. Trusts nothing. */
import { createDecipheriv, type CipherGCMTypes, type DecipherGCM, type KeyObject } from 'node:crypto'
import { readSync } from 'node:fs'
import { CHUNK, chunkNonce } from '@cloister/core/seal/age/stream'

export const TAG = 16
export const SEALED = CHUNK + TAG
/** Chunks that are read and written together: few enough to stay in the processor's cache. */
export const TOGETHER = 8
// Node's types know this cipher under its own class of names; its interface is the one of GCM.
export const CIPHER = 'chacha20-poly1305' as CipherGCMTypes
export const OPTIONS = { authTagLength: TAG }

/** Where the payload stands in a file, and which of its chunks is the last. */
export interface Payload { readonly fd: number; readonly key: KeyObject; readonly start: number; readonly chunks: number }

/** Bytes of a sealed run from the file. */
export function readRun(payload: Payload, run: number, into: Buffer): Buffer {
  return into.subarray(0, readFull(payload.fd, into, payload.start + run * TOGETHER * SEALED))
}

/** The plaintext of a run, chunk by chunk; false where a chunk is not the one that was written there. */
export function openRun(payload: Payload, run: number, sealed: Buffer): Buffer[] | false {
  const first = run * TOGETHER
  const count = Math.min(TOGETHER, payload.chunks - first)
  const parts: Buffer[] = []
  for (let i = 0; i < count; i++) {
    const plain = openChunk(payload, first + i, sealed.subarray(i * SEALED, (i + 1) * SEALED))
    if (plain === false) return false
    parts.push(plain)
  }
  return parts
}

function openChunk(payload: Payload, counter: number, chunk: Buffer): Buffer | false {
  const last = counter === payload.chunks - 1
  // An empty last chunk is only good for an empty file: otherwise a file could end in two ways.
  if (chunk.length < TAG || (chunk.length === TAG && counter > 0)) return false
  const decipher: DecipherGCM = createDecipheriv(CIPHER, payload.key, chunkNonce(counter, last), OPTIONS)
  decipher.setAuthTag(chunk.subarray(chunk.length - TAG))
  const plain = decipher.update(chunk.subarray(0, chunk.length - TAG))
  try {
    decipher.final()
  } catch {
    return false
  }
  return plain
}

/**
 * Give the memory of spent pieces back at once. The cipher makes a buffer for each piece; left to the garbage collector
 * they fill tens of megabytes of cold memory, and half the speed is gone. Detached, they are also read by nobody later.
 */
export function release(parts: readonly Uint8Array[]): void {
  for (const { buffer } of parts) if (buffer instanceof ArrayBuffer && buffer.byteLength === CHUNK) buffer.transfer(0)
}

export function readFull(fd: number, into: Buffer, position: number | null = null): number {
  let filled = 0
  while (filled < into.length) {
    const got = readSync(fd, into, filled, into.length - filled, position === null ? null : position + filled)
    if (got === 0) break
    filled += got
  }
  return filled
}
