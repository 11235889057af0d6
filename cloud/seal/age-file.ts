/**
 * age files as streams of large pieces: the format of core/seal/age at the speed of native code, with constant memory.
 * Synchronous on purpose: the work is the cipher's, and a guest has nothing else to do meanwhile.
 *
 * Trusts: node:crypto. What has been handed to the sink before a refusal is authentic but not whole: a caller uses it
 * only when the whole file opened.
 */
import { createCipheriv, createHash, createSecretKey, type CipherGCM, type Hash as Hasher } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, openSync, renameSync, rmSync, writeSync, writevSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import type { Hash } from '@cloister/core/charter/types'
import { attempt, refuse, type Result } from '@cloister/core/refusal'
import { badPayload, beginFile, CHUNK, chunkNonce, openHeader, payloadKey, type Openers } from '@cloister/core/seal/age/index'
import { HEADER_BYTES_MAX, parseHeader } from '@cloister/core/seal/age/header'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { CIPHER, openRun, OPTIONS, readFull, readRun, release, SEALED, TOGETHER, type Payload } from './age-chunks.ts'
import { startHelper } from './age-helper.ts'

/** Files of this many chunks are opened with a second thread; smaller ones are done before it has started. */
const HELP_FROM_CHUNKS = 512

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
 * Decrypt a file, by path or open descriptor (which stays open), into a sink. Refuses `age.*`; with `digest`, also when
 * the sealed file is not the expected one (`asset.digest`), which is known only at the end.
 */
export function openFile(from: string | number, openers: Openers, sink: Sink, digest?: Hash): Result<{ bytes: number }> {
  return attempt(() => {
    const path = String(from)
    const source = typeof from === 'number' ? from : opened(from, 'r')
    try {
      return openInto(source, path, openers, sink, digest)
    } catch (error) {
      return asRefusal(error, path)
    } finally {
      if (typeof from === 'string') closeSync(source)
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
  const got = readFull(source, head, 0)
  const header = parseHeader(head.subarray(0, got))
  const start = header.length + 16
  const key = createSecretKey(payloadKey(nodePrimitives, openHeader(nodePrimitives, openers, header), head.subarray(header.length, Math.min(start, got))))
  const hash = digest === undefined ? undefined : createHash('sha256').update(head.subarray(0, start))
  // The size now tells which chunk is the last; a file that changes meanwhile does not open.
  const chunks = Math.max(1, Math.ceil((fstatSync(source).size - start) / SEALED))
  const bytes = openRuns({ fd: source, key, start, chunks }, sink, hash)
  const found = hash === undefined ? undefined : `sha256:${hash.digest('hex')}`
  if (found !== digest) refuse('asset.digest', path, digest ?? '', found ?? '', 'bring the file that its owner sealed')
  return { bytes }
}

/** Run after run, in order. A large file gets a helper: for every other run, or for all when this thread has to hash. */
function openRuns(payload: Payload, sink: Sink, hash: Hasher | undefined): number {
  const runs = Math.ceil(payload.chunks / TOGETHER)
  const step = hash === undefined ? 2 : 1
  let helper = payload.chunks >= HELP_FROM_CHUNKS && isMainThread ? startHelper(payload, runs, step) : undefined
  let from = runs
  const into = Buffer.allocUnsafeSlow(TOGETHER * SEALED)
  let bytes = 0
  try {
    for (let run = 0; run < runs; run++) {
      if (from === runs && helper?.ready === true) {
        from = run + step
        helper.begin(from)
      }
      const theirs = helper !== undefined && run >= from && (run - from) % step === 0
      const sealed = theirs && hash === undefined ? undefined : readRun(payload, run, into)
      if (sealed !== undefined) hash?.update(sealed)
      const given = theirs ? helper?.next() : undefined
      if (theirs && given === undefined) {
        helper?.stop()
        helper = undefined
      }
      const parts = given === undefined ? openRun(payload, run, sealed ?? readRun(payload, run, into)) : given && [given]
      if (parts === false) return badPayload(run * TOGETHER)
      bytes += writeAll(sink, parts)
      given === undefined ? release(parts) : helper?.free()
    }
    return bytes
  } finally {
    helper?.stop()
  }
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
