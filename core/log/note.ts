/**
 * Signed notes (C2SP signed-note v1.0.0) and the keys that sign checkpoints: Ed25519 (0x01), Ed25519 cosignature/v1 with
 * its time (0x04, C2SP tlog-cosignature). Signatures by unknown keys are ignored; a known key's bad signature refuses
 * the whole note. Trusts the port and the keys it is handed.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, equal, u64be } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import { refuse } from '../refusal.ts'

export interface NoteSignature { readonly name: string; readonly keyId: Uint8Array; readonly signature: Uint8Array }
/** `text` ends with a newline and is what is signed. */
export interface Note { readonly text: string; readonly signatures: readonly NoteSignature[] }
export interface NoteKey { readonly name: string; readonly type: number; readonly keyId: Uint8Array; readonly key: Uint8Array; readonly vkey: string }

export const ED25519 = 0x01
export const COSIGNATURE = 0x04
const NOTE_BYTES_MAX = 1 << 20
const SIGNATURES_MAX = 256

/** Leaves with `log.note`. */
export function parseNote(text: string, at = 'note'): Note {
  const bad = (expected: string): never => refuse('log.note', at, expected, text.length > NOTE_BYTES_MAX ? 'a longer note' : 'another form')
  if (text.length > NOTE_BYTES_MAX) bad(`at most ${NOTE_BYTES_MAX} bytes`)
  const gap = text.lastIndexOf('\n\n')
  if (gap < 0 || !text.endsWith('\n') || /[\u0000-\u0009\u000b-\u001f\ufffd]/.test(text)) bad('a text, an empty line, and signatures')
  const lines = text.slice(gap + 2, -1).split('\n')
  if (lines.length > SIGNATURES_MAX) bad(`at most ${SIGNATURES_MAX} signatures`)
  const signatures = lines.map(line => {
    const [, name = '', blob = ''] = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? bad('lines of the form — name base64')
    const bytes = fromBase64(blob, at)
    return bytes.length < 5 ? bad('a key id and a signature') : { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) }
  })
  return { text: text.slice(0, gap + 1), signatures }
}

export function formatNote(note: Note): string {
  return `${note.text}\n${note.signatures.map(one => `— ${one.name} ${toBase64(concat(one.keyId, one.signature))}\n`).join('')}`
}

/** The key of a verifier line `name+hash+base64(type ‖ key)`. Leaves with `log.note`. */
export function parseVkey(p: Primitives, vkey: string): NoteKey {
  const [, name = '', hash = '', blob = ''] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? refuse('log.note', 'vkey', 'name+hash+key', vkey)
  const bytes = fromBase64(blob, 'vkey')
  const key = noteKey(p, name, bytes[0] ?? 0, bytes.subarray(1))
  if (toHex(key.keyId) !== hash) refuse('log.note', 'vkey', toHex(key.keyId), hash)
  if ((key.type !== ED25519 && key.type !== COSIGNATURE) || key.key.length !== 32) refuse('log.note', 'vkey', 'an Ed25519 key', `type ${key.type}`)
  return key
}

export function noteKey(p: Primitives, name: string, type: number, key: Uint8Array): NoteKey {
  const keyId = p.hash('sha256', concat(utf8(`${name}\n`), new Uint8Array([type]), key)).slice(0, 4)
  return { name, type, keyId, key, vkey: `${name}+${toHex(keyId)}+${toBase64(concat(new Uint8Array([type]), key))}` }
}

/** Add a plain Ed25519 signature. */
export function signNote(p: Primitives, note: Note, name: string, signer: Signer): Note {
  const { keyId } = noteKey(p, name, ED25519, rawOf(signer))
  return { text: note.text, signatures: [...note.signatures, { name, keyId, signature: signer.sign(utf8(note.text)) }] }
}

/** Add a cosignature/v1: a witness states that it saw this checkpoint, consistent with all before, at `time`. */
export function cosignNote(p: Primitives, note: Note, name: string, signer: Signer, time: number): Note {
  const { keyId } = noteKey(p, name, COSIGNATURE, rawOf(signer))
  return { text: note.text, signatures: [...note.signatures, { name, keyId, signature: concat(u64be(time), signer.sign(cosigned(note.text, time))) }] }
}

/** The time of a valid signature by this key (0 for plain ones), undefined without one; a bad one leaves with `log.signature`. */
export function signedBy(p: Primitives, note: Note, key: NoteKey): { time: number } | undefined {
  const found = note.signatures.filter(one => one.name === key.name && equal(one.keyId, key.keyId))
  const times = found.map(one => {
    const cosignature = key.type === COSIGNATURE
    const time = cosignature && one.signature.length === 72 ? Number(new DataView(one.signature.buffer, one.signature.byteOffset, 8).getBigUint64(0)) : 0
    const message = cosignature ? cosigned(note.text, time) : utf8(note.text)
    const signature = cosignature ? one.signature.subarray(8) : one.signature
    if (!Number.isSafeInteger(time) || !p.verify('ed25519', { kind: 'ed25519', raw: key.key }, message, signature)) refuse('log.signature', key.name, 'a signature that holds', 'one that does not')
    return time
  })
  return times.length === 0 ? undefined : { time: Math.max(...times) }
}

const cosigned = (text: string, time: number) => utf8(`cosignature/v1\ntime ${time}\n${text}`)

function rawOf(signer: Signer): Uint8Array {
  return signer.publicKey.kind === 'ed25519' ? signer.publicKey.raw : refuse('crypto.algorithm', 'signer', 'an Ed25519 key', signer.publicKey.kind)
}
