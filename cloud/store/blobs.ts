/**
 * Large sealed things as files, named by their SHA-256. A file appears under its name only when all of it is on the
 * disk: written aside, synced, renamed, and the folder synced. Trusts the disk with nothing: bytes are checked when read.
 */
import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Hash } from '@cloister/core/charter/types'
import { refuse } from '@cloister/core/refusal'
import { corrupt } from './tags.ts'

export interface Blobs {
  /** Durable when it returns. Leaves with `store.full`. */
  put(bytes: Uint8Array): Hash
  /** Undefined when there never was one; leaves with `store.corrupt` when it is not what was put. */
  get(digest: Hash): Uint8Array | undefined
}

/** @example const digest = openBlobs('state/blobs').put(bytes) */
export function openBlobs(folder: string): Blobs {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return {
    put: bytes => {
      const digest = digestOf(bytes)
      writeAtomically(folder, fileName(digest), bytes)
      return digest
    },
    get: digest => {
      const bytes = readIfThere(join(folder, fileName(digest)))
      if (bytes !== undefined && digestOf(bytes) !== digest) corrupt(digest, 'the bytes that were written', 'others')
      return bytes
    },
  }
}

/** Write a whole file or none: nobody ever sees half of it (mode 0600). Leaves with `store.full`. */
export function writeAtomically(folder: string, name: string, bytes: Uint8Array): void {
  const aside = join(folder, `.${name}.${process.pid}.${++counter}.tmp`)
  try {
    const file = openSync(aside, 'wx', 0o600)
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(aside, join(folder, name))
    syncFolder(folder)
  } catch (error) {
    removeIfThere(aside)
    refuse('store.full', name, 'a file on the disk', codeOf(error))
  }
}

let counter = 0

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? undefined : corrupt(path, 'a readable file', codeOf(error))
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It never came to be.
  }
}

const fileName = (digest: Hash) => (/^sha256:[0-9a-f]{64}$/.test(digest) ? digest.slice('sha256:'.length) : corrupt('blob', 'a SHA-256', 'another name'))
const digestOf = (bytes: Uint8Array): Hash => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const codeOf = (error: unknown) => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'an error')
