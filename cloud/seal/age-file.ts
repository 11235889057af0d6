/**
 * age files as streams of large pieces: the format of core/seal/age at the speed of native code, with constant memory.
 * Synchronous on purpose: the work is the cipher's, and a guest has nothing else to do meanwhile.
 *
 * Trusts: node:crypto. What has been handed to the sink before a refusal is authentic but not whole: a caller uses it
 * only when the whole file opened.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type CipherGCM, type CipherGCMTypes, type DecipherGCM, type KeyObject } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync, writevSync } from 'node:fs'
import type { Hash } from '@cloister/core/charter/types'
import { attempt, refuse, type Result } from '@cloister/core/refusal'
import { badPayload, beginFile, CHUNK, chunkNonce, openHeader, payloadKey, type Openers } from '@cloister/core/seal/age/index'
import { HEADER_BYTES_MAX, parseHeader } from '@cloister/core/seal/age/header'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'

const TAG = 16
const SEALED = CHUNK + TAG
/** Chunks that are read and written together: few enough to stay in the processor's cache. */
const TOGETHER = 8
// Node's types know this cipher under its own class of names; its interface is the one of GCM.
const CIPHER = 'chacha20-poly1305' as CipherGCMTypes
const OPTIONS = { authTagLength: TAG }
// The payload's key goes in as a KeyObject: a cipher made from plain bytes costs Node ten times as much to set up.

export interface FileFacts { readonly digest: Hash; readonly bytes: number }

/**
 * Encrypt a file to recipients; gives the digest and size of the sealed file. The output appears whole or not at all
 * (temporary name, fsync, rename; 0600). Refuses `store.full` when the disk is, `cli.file` when a file cannot be used.
 */
export function sealFile(input: string, output: string, recipients: readonly string[]): Result<FileFacts> {
  return attempt(() => {
    const partial = `${output}.partial-${process.pid}`
    const source = opened(input, 'r')
    try {
      const sink = opened(partial, 'wx')
      try {
        const facts = sealInto(source, sink, recipients)
        fsyncSync(sink)
        renameSync(partial, output)
        return facts
      } catch (error) {
        rmSync(partial, { force: true })
        throw error
      } finally {
        closeSync(sink)
      }
    } catch (error) {
      return asRefusal(error, output)
    } finally {
      closeSync(source)
    }
  })
}

/** Where plaintext goes: a file descriptor, or a function that takes one batch after the other. The pieces are taken back when it returns: copy what is to be kept. */
export type Sink = number | ((pieces: readonly Uint8Array[]) => void)

/**
 * Decrypt a file into a sink. Refuses `age.*`; with `digest`, also when the sealed file is not the expected one
 * (`asset.digest`), which is known only at the end.
 */
export function openFile(path: string, openers: Openers, sink: Sink, digest?: Hash): Result<{ bytes: number }> {
  return attempt(() => {
    const source = opened(path, 'r')
    try {
      return openInto(source, path, openers, sink, digest)
    } catch (error) {
      return asRefusal(error, path)
    } finally {
      closeSync(source)
    }
  })
}

function sealInto(source: number, sink: number, recipients: readonly string[]): FileFacts {
  const { header, key: secret } = beginFile(nodePrimitives, recipients, nodeRandom)
  const key = createSecretKey(secret)
  const hash = createHash('sha256')
  let bytes = 0
  const put = (parts: readonly Uint8Array[]) => {
    for (const part of parts) hash.update(part)
    bytes += writeAll(sink, parts)
  }
  put([header])
  // One chunk is read ahead: only the end of the file tells which chunk is the last.
  let [held, ahead] = [Buffer.allocUnsafe(CHUNK * TOGETHER), Buffer.allocUnsafe(CHUNK * TOGETHER)]
  let size = readFull(source, held)
  for (let counter = 0; ;) {
    const next = size < held.length ? 0 : readFull(source, ahead)
    const end = next === 0
    const parts: Uint8Array[] = []
    for (let at = 0; at < size || (end && size === 0 && at === 0 && counter === 0); at += CHUNK) {
      const last = end && at + CHUNK >= size
      const cipher: CipherGCM = createCipheriv(CIPHER, key, chunkNonce(counter++, last), OPTIONS)
      parts.push(cipher.update(held.subarray(at, Math.min(at + CHUNK, size))), cipher.final(), cipher.getAuthTag())
    }
    put(parts)
    release(parts)
    if (end) return { digest: `sha256:${hash.digest('hex')}`, bytes }
    ;[held, ahead] = [ahead, held]
    size = next
  }
}

function openInto(source: number, path: string, openers: Openers, sink: Sink, digest: Hash | undefined): { bytes: number } {
  const head = Buffer.alloc(HEADER_BYTES_MAX)
  const got = readFull(source, head)
  const header = parseHeader(head.subarray(0, got))
  const start = header.length + 16
  const key = createSecretKey(payloadKey(nodePrimitives, openHeader(nodePrimitives, openers, header), head.subarray(header.length, Math.min(start, got))))
  const hash = digest === undefined ? undefined : createHash('sha256').update(head.subarray(0, start))
  const buffers = [Buffer.allocUnsafe(SEALED * TOGETHER), Buffer.allocUnsafe(SEALED * TOGETHER)] as const
  let position = start
  const fill = (into: Buffer) => {
    const size = readFull(source, into, position)
    position += size
    return size
  }
  let [held, ahead]: [Buffer, Buffer] = [buffers[0], buffers[1]]
  let bytes = 0
  let counter = 0
  for (let size = fill(held); ;) {
    const next = size < held.length ? 0 : fill(ahead)
    hash?.update(held.subarray(0, size))
    const parts: Buffer[] = []
    for (let at = 0; at < size || counter === 0; at += SEALED) {
      const last = next === 0 && at + SEALED >= size
      const plain = openChunk(key, counter, last, held.subarray(at, Math.min(at + SEALED, size)))
      if (plain.length === 0 && counter > 0) badPayload(counter)
      parts.push(plain)
      counter++
    }
    bytes += writeAll(sink, parts)
    release(parts)
    if (next === 0) break
    ;[held, ahead] = [ahead, held]
    size = next
  }
  const found = hash === undefined ? undefined : `sha256:${hash.digest('hex')}`
  if (found !== digest) refuse('asset.digest', path, digest ?? '', found ?? '', 'bring the file that its owner sealed')
  return { bytes }
}

function openChunk(key: KeyObject, counter: number, last: boolean, chunk: Buffer): Buffer {
  if (chunk.length < TAG) badPayload(counter)
  const decipher: DecipherGCM = createDecipheriv(CIPHER, key, chunkNonce(counter, last), OPTIONS)
  decipher.setAuthTag(chunk.subarray(chunk.length - TAG))
  const plain = decipher.update(chunk.subarray(0, chunk.length - TAG))
  try {
    decipher.final()
  } catch {
    badPayload(counter)
  }
  return plain
}

/**
 * Give the memory of spent pieces back at once. The cipher makes a buffer for each piece; left to the garbage collector
 * they fill tens of megabytes of cold memory, and half the speed is gone. Detached, they are also read by nobody later.
 */
function release(parts: readonly Uint8Array[]): void {
  for (const { buffer } of parts) if (buffer instanceof ArrayBuffer && buffer.byteLength === CHUNK) buffer.transfer(0)
}

function readFull(fd: number, into: Buffer, position: number | null = null): number {
  let filled = 0
  while (filled < into.length) {
    const got = readSync(fd, into, filled, into.length - filled, position === null ? null : position + filled)
    if (got === 0) break
    filled += got
  }
  return filled
}

function writeAll(fd: Sink, parts: readonly Uint8Array[]): number {
  const total = parts.reduce((sum, part) => sum + part.length, 0)
  if (typeof fd === 'function') {
    fd(parts)
    return total
  }
  const written = writevSync(fd, parts)
  if (written === total) return total
  // A short write: finish what is left, piece by piece; a full disk says so here.
  const rest = Buffer.concat(parts).subarray(written)
  for (let at = 0; at < rest.length;) at += writeSync(fd, rest, at)
  return total
}

function opened(path: string, flags: 'r' | 'wx'): number {
  try {
    return openSync(path, flags, 0o600)
  } catch (error) {
    return asRefusal(error, path)
  }
}

/** What the system says, as a refusal; refusals and our own bugs pass through. */
function asRefusal(error: unknown, path: string): never {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') return refuse('store.full', path, 'room on the disk', code, 'free room, then run the same command again')
  if (['ENOENT', 'EACCES', 'EISDIR', 'EEXIST', 'EPERM', 'ENOTDIR', 'ERR_ACCESS_DENIED'].includes(code)) return refuse('cli.file', path, 'a file that can be used', code)
  throw error
}
