/**
 * Signed notes (C2SP signed-note v1.0.0) and the keys that sign checkpoints: Ed25519 (0x01), and the two cosignatures with
 * their time of C2SP tlog-cosignature, Ed25519 (0x04) and ML-DSA-44 (0x06). Signatures by unknown keys are ignored; a known
 * key's bad signature refuses the whole note. Trusts the port and the keys it is handed.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, equal, u64be } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { Reader } from '../bytes/reader.ts'
import { utf8 } from '../bytes/text.ts'
import type { Primitives, PublicKey, Signer } from '../crypto/primitives.ts'
import { attempt, refuse } from '../refusal.ts'

export interface NoteSignature { readonly name: string; readonly keyId: Uint8Array; readonly signature: Uint8Array }
/** `text` ends with a newline and is what is signed. */
export interface Note { readonly text: string; readonly signatures: readonly NoteSignature[] }
export interface NoteKey { readonly name: string; readonly type: number; readonly keyId: Uint8Array; readonly key: Uint8Array; readonly vkey: string }

export const ED25519 = 0x01
export const COSIGNATURE = 0x04
export const COSIGNATURE_ML_DSA_44 = 0x06
/** Bytes of the raw public key, by type. */
const KEY_BYTES: Record<number, number> = { [ED25519]: 32, [COSIGNATURE]: 32, [COSIGNATURE_ML_DSA_44]: 1312 }
const NOTE_BYTES_MAX = 1 << 20
const SIGNATURES_MAX = 256

/** Leaves with `log.note`. */
export function parseNote(text: string, at = 'note'): Note {
  const bad = (expected: string): never => refuse('log.note', at, expected, text.length > NOTE_BYTES_MAX ? 'a longer note' : 'another form')
  if (text.length > NOTE_BYTES_MAX) bad(`at most ${NOTE_BYTES_MAX} bytes`)
  const gap = text.lastIndexOf('\n\n')
  if (gap < 0 || !text.endsWith('\n') || /[\u0000-\u0009\u000b-\u001f\ufffd]/.test(text)) bad('a text, an empty line, and signatures')
  return { text: text.slice(0, gap + 1), signatures: parseSignatures(text.slice(gap + 2), at) }
}

/** Signature lines alone, as a witness answers them. Leaves with `log.note`. */
export function parseSignatures(text: string, at = 'note'): NoteSignature[] {
  const bad = (expected: string): never => refuse('log.note', at, expected, 'another form')
  const lines = text.length > NOTE_BYTES_MAX || !text.endsWith('\n') ? bad('signature lines') : text.slice(0, -1).split('\n')
  if (lines.length > SIGNATURES_MAX) bad(`at most ${SIGNATURES_MAX} signatures`)
  return lines.map(line => {
    const [, name = '', blob = ''] = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? bad('lines of the form — name base64')
    const bytes = fromBase64(blob, at)
    return bytes.length < 5 ? bad('a key id and a signature') : { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) }
  })
}

export const formatNote = (note: Note): string => `${note.text}\n${formatSignatures(note.signatures)}`

export const formatSignatures = (signatures: readonly NoteSignature[]): string => signatures.map(one => `— ${one.name} ${toBase64(concat(one.keyId, one.signature))}\n`).join('')

/** The key of a verifier line `name+hash+base64(type ‖ key)`. Leaves with `log.note`. */
export function parseVkey(p: Primitives, vkey: string): NoteKey {
  const { name, hash, type, key } = readVkey(vkey)
  const known = noteKey(p, name, type, key)
  return toHex(known.keyId) === hash ? known : refuse('log.note', 'vkey', toHex(known.keyId), hash)
}

/** What a verifier line says; that its hash is the key's is for `parseVkey`. Leaves with `log.note`. */
export function readVkey(vkey: string, at = 'vkey'): { readonly name: string; readonly hash: string; readonly type: number; readonly key: Uint8Array } {
  const [, name = '', hash = '', blob = ''] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? refuse('log.note', at, 'name+hash+key', vkey)
  const bytes = fromBase64(blob, at)
  const [type, key] = [bytes[0] ?? 0, bytes.subarray(1)]
  return key.length === KEY_BYTES[type] ? { name, hash, type, key } : refuse('log.note', at, 'an Ed25519 or ML-DSA-44 key', `type ${type}, ${key.length} bytes`)
}

export function noteKey(p: Primitives, name: string, type: number, key: Uint8Array): NoteKey {
  const keyId = p.hash('sha256', concat(utf8(`${name}\n`), new Uint8Array([type]), key)).slice(0, 4)
  return { name, type, keyId, key, vkey: `${name}+${toHex(keyId)}+${toBase64(concat(new Uint8Array([type]), key))}` }
}

/** The key that a log signs its checkpoints with: Ed25519 as signed-note has it, ML-DSA-44 as a cosigner under the log's own name. */
export const logKey = (p: Primitives, origin: string, key: PublicKey): NoteKey => noteKey(p, origin, key.kind === 'ml-dsa-44' ? COSIGNATURE_ML_DSA_44 : ED25519, rawOf(key, key.kind === 'ml-dsa-44' ? key.kind : 'ed25519'))

/** Add a log's own signature (tlog-checkpoint): Ed25519, or ML-DSA-44 with `time`, where 0 says nothing about when. */
export function signNote(p: Primitives, note: Note, name: string, signer: Signer, time = 0): Note {
  if (signer.publicKey.kind === 'ml-dsa-44') return cosignNote(p, note, name, signer, time)
  const { keyId } = logKey(p, name, signer.publicKey)
  return { text: note.text, signatures: [...note.signatures, { name, keyId, signature: signer.sign(utf8(note.text)) }] }
}

/** Add a cosignature: a witness states that it saw this checkpoint, consistent with all before, at `time`. */
export function cosignNote(p: Primitives, note: Note, name: string, signer: Signer, time: number): Note {
  const { kind } = signer.publicKey
  const type = kind === 'ml-dsa-44' ? COSIGNATURE_ML_DSA_44 : COSIGNATURE
  const { keyId } = noteKey(p, name, type, rawOf(signer.publicKey, kind === 'ml-dsa-44' ? kind : 'ed25519'))
  return { text: note.text, signatures: [...note.signatures, { name, keyId, signature: concat(u64be(time), signer.sign(cosigned(type, note.text, name, time))) }] }
}

/** The newest time of this key's signatures (0 for plain ones), undefined without one; a bad one leaves with `log.signature`. */
export function signedBy(p: Primitives, note: Note, key: NoteKey): { time: number } | undefined {
  const found = note.signatures.filter(one => one.name === key.name && equal(one.keyId, key.keyId))
  const times = found.map(one => timeOf(p, note, key, one.signature) ?? refuse('log.signature', key.name, 'a signature that holds', 'one that does not'))
  return times.length === 0 ? undefined : { time: Math.max(...times) }
}

function timeOf(p: Primitives, note: Note, key: NoteKey, signature: Uint8Array): number | undefined {
  if (key.type === ED25519) return p.verify('ed25519', publicKey(key), utf8(note.text), signature) ? 0 : undefined
  const read = attempt(() => {
    const reader = new Reader(signature)
    return { time: Number(reader.u64be()), rest: reader.rest() }
  })
  if (!read.ok || !Number.isSafeInteger(read.value.time)) return undefined
  const { time, rest } = read.value
  return p.verify(key.type === COSIGNATURE ? 'ed25519' : 'ml-dsa-44', publicKey(key), cosigned(key.type, note.text, key.name, time), rest) ? time : undefined
}

const publicKey = (key: NoteKey): PublicKey => ({ kind: key.type === COSIGNATURE_ML_DSA_44 ? 'ml-dsa-44' : 'ed25519', raw: key.key })

/** What a cosignature signs: the text behind its time, or the structure `cosigned_message` of a whole tree. */
function cosigned(type: number, text: string, name: string, time: number): Uint8Array {
  if (type === COSIGNATURE) return utf8(`cosignature/v1\ntime ${time}\n${text}`)
  const [origin = '', size = '', root = ''] = text.split('\n')
  return concat(utf8('subtree/v1\n\0'), short(name), u64be(time), short(origin), u64be(0), u64be(Number(size)), fromBase64(root, 'checkpoint.root'))
}

function short(text: string): Uint8Array {
  const bytes = utf8(text)
  return bytes.length > 255 ? refuse('log.note', 'name', 'at most 255 bytes', `${bytes.length}`) : concat(new Uint8Array([bytes.length]), bytes)
}

function rawOf(key: PublicKey, kind: 'ed25519' | 'ml-dsa-44'): Uint8Array {
  return key.kind === kind ? key.raw : refuse('crypto.algorithm', 'signer', kind, key.kind)
}
