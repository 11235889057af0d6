/**
 * The header of an age file (C2SP age, version 1): stanzas that wrap the file key, and a MAC over them. Read to the
 * letter: any other spelling of the same meaning is refused. Trusts nothing.
 */
import { fromBase64Raw, toBase64Raw } from '../../bytes/base64.ts'
import { equal } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { hkdf } from '../../crypto/hkdf.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { attempt, refuse } from '../../refusal.ts'

export interface Stanza { readonly type: string; readonly args: readonly string[]; readonly body: Uint8Array }
export interface AgeHeader {
  readonly stanzas: readonly Stanza[]
  readonly mac: Uint8Array
  /** The bytes that the MAC covers, and where the payload begins. */
  readonly covered: Uint8Array
  readonly length: number
}

export const AGE_VERSION = 'age-encryption.org/v1'
export const HEADER_BYTES_MAX = 1 << 20
const STANZAS_MAX = 128
const LINE_BYTES_MAX = 16 * 1024
const COLUMNS = 64
const EMPTY = new Uint8Array(0)

/** Reads the header at the beginning of `bytes`; what follows it is the payload. Leaves with `age.header`. */
export function parseHeader(bytes: Uint8Array): AgeHeader {
  let at = 0
  const line = (): string => {
    const end = bytes.subarray(0, HEADER_BYTES_MAX).indexOf(10, at)
    if (end < 0) bad('a complete header')
    const text = ascii(bytes.subarray(at, end))
    at = end + 1
    return text
  }
  if (line() !== AGE_VERSION) bad(AGE_VERSION)
  const stanzas: Stanza[] = []
  for (;;) {
    const before = at
    const first = line()
    if (first.startsWith('---')) {
      const [, mac = ''] = /^--- ([A-Za-z0-9+/]{43})$/.exec(first) ?? bad('--- and a MAC')
      if (stanzas.length === 0) bad('at least one recipient')
      return { stanzas, mac: canonical(mac), covered: bytes.slice(0, before + 3), length: at }
    }
    if (stanzas.length >= STANZAS_MAX) bad(`at most ${STANZAS_MAX} recipients`)
    const [arrow, type, ...args] = first.split(' ')
    if (arrow !== '->' || type === undefined || [type, ...args].some(word => word === '')) return bad('-> and at least one argument')
    stanzas.push({ type, args, body: readBody(line) })
  }
}

/** The header of a new file, MAC included. */
export function formatHeader(p: Primitives, fileKey: Uint8Array, stanzas: readonly Stanza[]): Uint8Array {
  const text = `${AGE_VERSION}\n${stanzas.map(formatStanza).join('')}---`
  return utf8(`${text} ${toBase64Raw(headerMac(p, fileKey, utf8(text)))}\n`)
}

/** Leaves with `age.mac` when the header was altered. */
export function checkMac(p: Primitives, fileKey: Uint8Array, header: AgeHeader): void {
  if (!equal(headerMac(p, fileKey, header.covered), header.mac)) refuse('age.mac', 'header', 'the header that was written with this file key', 'another one')
}

function headerMac(p: Primitives, fileKey: Uint8Array, covered: Uint8Array): Uint8Array {
  return p.hmac('sha256', hkdf(p, 'sha256', fileKey, EMPTY, utf8('header'), 32), covered)
}

function readBody(line: () => string): Uint8Array {
  let text = ''
  for (;;) {
    const part = line()
    if (part.length > COLUMNS || !/^[A-Za-z0-9+/]*$/.test(part)) bad(`body lines of at most ${COLUMNS} base64 characters`)
    text += part
    if (part.length < COLUMNS) return canonical(text)
  }
}

function formatStanza(stanza: Stanza): string {
  const text = toBase64Raw(stanza.body)
  const lines = text.match(/.{1,64}/g) ?? []
  const last = text.length % COLUMNS === 0 ? '\n' : ''
  return `-> ${[stanza.type, ...stanza.args].join(' ')}\n${lines.map(part => `${part}\n`).join('')}${last}`
}

function canonical(text: string): Uint8Array {
  const result = attempt(() => fromBase64Raw(text, 'header'))
  return result.ok ? result.value : bad('canonical base64 without padding')
}

function ascii(bytes: Uint8Array): string {
  if (bytes.length > LINE_BYTES_MAX) bad(`lines of at most ${LINE_BYTES_MAX} bytes`)
  if (!bytes.every(byte => byte >= 0x20 && byte < 0x7f)) bad('printable ASCII')
  return String.fromCharCode(...bytes)
}

function bad(expected: string): never {
  return refuse('age.header', 'header', expected, 'another form')
}
