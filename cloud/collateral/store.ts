/**
 * Collateral on disk, by content: a file is named by the SHA-256 of its document and says in its first line what that is.
 * It appears under its name only when all of it is on the disk; every version is kept; a file that is not what was
 * written is named and never handed out. The folder is not trusted: whoever uses a document verifies it again.
 *
 * One file: a line of JSON (what it is), a line with the SHA-256 of that line, the document.
 */
import { closeSync, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync } from 'node:fs'
import { hash } from 'node:crypto'
import { join } from 'node:path'
import { isObject, parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import { concat } from '@cloister/core/bytes/bytes'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Hash } from '@cloister/core/charter/types'
import { attempt, refuse, type Refusal, type Result } from '@cloister/core/refusal'
import { writeAtomically } from '../store/blobs.ts'
import { KINDS, LIMITS, type Document, type Entry } from './documents.ts'

export interface Stored { readonly entry: Entry; readonly bytes: Uint8Array }
export interface Listing { readonly entries: readonly Entry[]; readonly damaged: readonly Refusal[] }

export interface CollateralStore {
  readonly folder: string
  /** What is here, by what each file says; `damaged` names files that are not what was written. Documents themselves are checked when they are read. */
  list(): Listing
  /** A document and its bytes, or undefined when there is none. Leaves with `store.corrupt`. */
  read(digest: Hash): Stored | undefined
  /** Durable when it returns. `known`: it was here before. `at`: seconds since 1970. Leaves with `store.full` or `bytes.too-large`. */
  put(document: Document, at: number): { readonly entry: Entry; readonly known: boolean }
  /** True when there was one. */
  remove(digest: Hash): boolean
}

/** `documents`: how many there may be. @example const store = openCollateral('.cloister/collateral') */
export function openCollateral(folder: string, documents: number = LIMITS.documents): CollateralStore {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  sweep(folder)
  const heads = new Map<string, { readonly stamp: string; readonly head: Result<Entry> }>()
  const headOf = (name: string): Result<Entry> => {
    const stamp = stampOf(join(folder, name))
    const known = heads.get(name)
    if (known?.stamp === stamp) return known.head
    const head = attempt(() => readHead(folder, name))
    heads.set(name, { stamp, head })
    return head
  }
  const read = (digest: Hash) => readStored(folder, nameOf(digest))
  return {
    folder, read,
    list: () => {
      const names = readdirSync(folder).filter(name => FILE.test(name))
      const here = new Set(names)
      for (const name of heads.keys()) if (!here.has(name)) heads.delete(name)
      const found = names.sort().map(headOf)
      return { entries: found.flatMap(one => (one.ok ? [one.value] : [])), damaged: found.flatMap(one => (one.ok ? [] : [one.refusal])) }
    },
    put: (document, at) => {
      if (document.bytes.length > LIMITS.documentBytes) refuse('bytes.too-large', document.kind, `at most ${LIMITS.documentBytes} bytes`, `${document.bytes.length} bytes`)
      const digest = digestOf(document.bytes)
      const name = nameOf(digest)
      const before = attempt(() => read(digest))
      if (before.ok && before.value !== undefined && !changes(before.value.entry, document)) return { entry: before.value.entry, known: true }
      if (readdirSync(folder).length >= documents) refuse('store.full', folder, `at most ${documents} documents`, 'no room', 'cloister collateral prune --before DATE')
      const entry = entryOf(document, digest, before.ok && before.value !== undefined ? before.value.entry.added : at)
      writeAtomically(folder, name, fileOf(entry, document.bytes))
      return { entry, known: before.ok && before.value !== undefined }
    },
    remove: digest => {
      const path = join(folder, nameOf(digest))
      const there = lstatSync(path, { throwIfNoEntry: false }) !== undefined
      if (there) rmSync(path, { recursive: true })
      return there
    },
  }
}

/** What was written aside by somebody who was killed; an hour later nobody is writing it any more. */
function sweep(folder: string): void {
  for (const name of readdirSync(folder).filter(one => ASIDE.test(one))) {
    const stat = statSync(join(folder, name), { throwIfNoEntry: false })
    if (stat !== undefined && Date.now() - stat.mtimeMs > ASIDE_MS) rmSync(join(folder, name), { force: true })
  }
}

const FILE = /^[0-9a-f]{64}$/
const ASIDE = /^\.[0-9a-f]{64}\.\d+\.\d+\.tmp$/
const ASIDE_MS = 3_600_000
const FORM = 'cloister-collateral/1'

const digestOf = (bytes: Uint8Array): Hash => `sha256:${hash('sha256', bytes)}`
const nameOf = (digest: Hash): string => (/^sha256:[0-9a-f]{64}$/.test(digest) ? digest.slice('sha256:'.length) : refuse('cli.usage', 'digest', 'sha256: and 64 hexadecimal digits', digest, 'cloister collateral list'))

/** The same document can come again with its manifest's name, or with Intel's word that it is no longer early. */
const changes = (before: Entry, now: Document) => (before.about['update'] === 'early' && now.about['update'] === undefined) || (before.about['id'] === undefined && now.about['id'] !== undefined)

function entryOf(document: Document, digest: Hash, added: number): Entry {
  const { bytes, ...rest } = document
  return { ...rest, digest, size: bytes.length, added }
}

function fileOf(entry: Entry, bytes: Uint8Array): Uint8Array {
  const head = utf8(JSON.stringify({ form: FORM, ...entry }))
  if (head.length > LIMITS.headBytes) refuse('bytes.too-large', entry.digest, `at most ${LIMITS.headBytes} bytes about a document`, `${head.length} bytes`)
  return concat(head, utf8(`\n${hash('sha256', head)}\n`), bytes)
}

/** Only the two lines, for listing. */
function readHead(folder: string, name: string): Entry {
  const file = openFile(folder, name)
  if (file === undefined) return damaged(name, 'a file', 'none')
  try {
    const start = new Uint8Array(Math.min(LIMITS.headBytes + DIGEST_LINE, fstatSync(file).size))
    const { entry, at } = parseHead(name, start.subarray(0, readSync(file, start)))
    const size = fstatSync(file).size - at
    return size === entry.size ? entry : damaged(name, `${entry.size} bytes`, `${size} bytes`)
  } finally {
    closeSync(file)
  }
}

function readStored(folder: string, name: string): Stored | undefined {
  const file = openFile(folder, name)
  if (file === undefined) return undefined
  try {
    const size = fstatSync(file).size
    if (size > LIMITS.documentBytes + LIMITS.headBytes + DIGEST_LINE) damaged(name, 'a document of bounded size', `${size} bytes`)
    const bytes = new Uint8Array(readFileSync(file))
    const { entry, at } = parseHead(name, bytes)
    const body = bytes.subarray(at)
    return digestOf(body) === entry.digest && body.length === entry.size ? { entry, bytes: body } : damaged(name, 'the document that was filed', 'other bytes')
  } finally {
    closeSync(file)
  }
}

/** Only plain files: neither a link nor a pipe is followed. */
function openFile(folder: string, name: string): number | undefined {
  const path = join(folder, name)
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return undefined
  return stat.isFile() ? openSync(path, 'r') : damaged(name, 'a plain file', 'something else')
}

const NEWLINE = 10
/** Two newlines and a SHA-256 in hex. */
const DIGEST_LINE = 66

function parseHead(name: string, bytes: Uint8Array): { entry: Entry; at: number } {
  const end = bytes.subarray(0, LIMITS.headBytes + 1).indexOf(NEWLINE)
  const at = end + DIGEST_LINE
  if (end < 0 || bytes.length < at || bytes[at - 1] !== NEWLINE) return damaged(name, 'two lines about the document', 'less')
  const head = bytes.subarray(0, end)
  const said = attempt(() => fromUtf8(bytes.subarray(end + 1, at - 1)))
  if (!said.ok || said.value !== hash('sha256', head)) return damaged(name, 'the line that was written', 'another')
  const json = attempt(() => parseJsonObject(head))
  const entry = json.ok ? shapeOf(json.value) : undefined
  return entry?.digest === `sha256:${name}` ? { entry, at } : damaged(name, 'what the document is', 'another form')
}

/** The digest over the line holds, so it is one that was written here, by this version or another. */
function shapeOf(json: JsonObject): Entry | undefined {
  const { form, kind, about, notBefore, notAfter, added, size, digest, issuerChain } = json
  const known = KINDS.find(one => one === kind)
  const numbers = [notBefore, notAfter, added, size].every(one => typeof one === 'number')
  if (form !== FORM || known === undefined || !isObject(about) || !numbers || typeof digest !== 'string' || !Object.values(about).every(one => typeof one === 'string')) return undefined
  // Every field was looked at above.
  return { digest: digest as Hash, kind: known, about: { ...about } as Record<string, string>, notBefore: Number(notBefore), notAfter: Number(notAfter), added: Number(added), size: Number(size), ...(typeof issuerChain === 'string' ? { issuerChain } : {}) }
}

function damaged(name: string, expected: string, got: string): never {
  return refuse('store.corrupt', name, expected, got, `cloister collateral remove ${name}, then add the document again`)
}

/** Changes whenever a file does: its name stays when it is damaged. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? 'gone' : `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`
}
