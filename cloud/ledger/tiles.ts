/**
 * The log as anybody may read it: C2SP tlog-tiles (checkpoint, tiles of 256 hashes, entry bundles), from the newest shown
 * tree only. Pure: a path in, bytes out; the HTTP face adds headers. Serves public bytes and trusts nobody.
 */
import { concat } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import type { Ledger } from './ledger.ts'
import type { LedgerReader } from './store.ts'

export interface LogFile { readonly type: string; readonly immutable: boolean; readonly bytes: Uint8Array }

const TILE = /^tile\/(entries|[0-9]|[1-5][0-9]|6[0-3])\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/
const WIDTH = 256

/** The file at a path below the log's prefix, or undefined when there is none. */
export function logFile(ledger: Ledger, store: LedgerReader, path: string): LogFile | undefined {
  const head = ledger.head(store)
  if (head === undefined) return undefined
  if (path === 'checkpoint') return { type: 'text/plain; charset=utf-8', immutable: false, bytes: utf8(head.text) }
  const [, level = '', digits = '', partial] = TILE.exec(path) ?? []
  if (level === '') return undefined
  const index = Number(digits.replace(/[x/]/g, ''))
  if (groupsOf(index) !== digits) return undefined // one tile, one path
  const depth = level === 'entries' ? 0 : Number(level)
  const here = Math.floor(head.checkpoint.size / WIDTH ** depth) - index * WIDTH
  const width = partial === undefined ? WIDTH : Number(partial)
  if (width > Math.min(here, WIDTH) || width < 1 || (partial !== undefined && width === WIDTH)) return undefined
  const parts = Array.from({ length: width }, (_, i) => level === 'entries' ? bundled(ledger.entry(store, index * WIDTH + i)) : ledger.hash(store, 8 * depth, index * WIDTH + i))
  if (parts.some(part => part === undefined)) return undefined
  return { type: 'application/octet-stream', immutable: true, bytes: concat(...parts.filter(part => part !== undefined)) }
}

/** A number as a path: groups of three digits, all but the last marked with an x. */
function groupsOf(index: number): string {
  const text = String(index)
  const groups = text.padStart(Math.ceil(text.length / 3) * 3, '0').match(/[0-9]{3}/g) ?? []
  return groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/')
}

/** An entry in a bundle stands behind its length, 16 bits, big-endian. */
function bundled(entry: Uint8Array | undefined): Uint8Array | undefined {
  return entry === undefined ? undefined : concat(new Uint8Array([entry.length >> 8, entry.length & 255]), entry)
}
