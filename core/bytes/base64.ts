/**
 * Base64 (RFC 4648 sections 4 and 5), strict: canonical padding, no white space, unused bits zero, so that one byte
 * string has one text (attacks.md row 17). Trusts nothing.
 */
import { refuse } from '../refusal.ts'

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`

/** Standard alphabet, padded. */
export const toBase64 = (bytes: Uint8Array): string => encode(bytes, STANDARD, true)
/** Standard alphabet, padding dropped (age and C2SP signers use it). */
export const toBase64Raw = (bytes: Uint8Array): string => encode(bytes, STANDARD, false)
/** URL-safe alphabet, no padding (JOSE). */
export const toBase64Url = (bytes: Uint8Array): string => encode(bytes, URL_SAFE, false)

/** Each leaves with `bytes.encoding` on anything but the one canonical text. */
export const fromBase64 = (text: string, at = 'base64'): Uint8Array => decode(text, at, 0, true)
export const fromBase64Raw = (text: string, at = 'base64'): Uint8Array => decode(text, at, 0, false)
export const fromBase64Url = (text: string, at = 'base64url'): Uint8Array => decode(text, at, 1, false)

function encode(bytes: Uint8Array, alphabet: string, padded: boolean): string {
  const digit = (value: number) => alphabet[value & 63] ?? ''
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const a = bytes[i] ?? 0
    const b = bytes[i + 1] ?? 0
    const c = bytes[i + 2] ?? 0
    text += digit(a >> 2) + digit((a << 4) | (b >> 4)) + digit((b << 2) | (c >> 6)) + digit(c)
  }
  const surplus = (3 - bytes.length % 3) % 3
  return surplus === 0 ? text : text.slice(0, -surplus) + (padded ? '=='.slice(0, surplus) : '')
}

const tables = [STANDARD, URL_SAFE].map(alphabet => {
  const table = new Int16Array(128).fill(-1)
  for (let i = 0; i < 64; i++) table[alphabet.charCodeAt(i)] = i
  return table
})

function decode(text: string, at: string, alphabet: 0 | 1, padded: boolean): Uint8Array {
  const bad = (): never => refuse('bytes.encoding', at, 'canonical base64', text)
  const body = padded ? text.replace(/={1,2}$/, '') : text
  if (body.length % 4 === 1 || (padded && text.length % 4 !== 0)) bad()
  const table = tables[alphabet] ?? bad()
  const out = new Uint8Array(Math.floor(body.length * 3 / 4))
  let bits = 0
  let held = 0
  let filled = 0
  for (let i = 0; i < body.length; i++) {
    const digit = table[body.charCodeAt(i)] ?? -1
    if (digit < 0) bad()
    bits = ((bits << 6) | digit) & 0xffff
    held += 6
    if (held < 8) continue
    held -= 8
    out[filled++] = (bits >> held) & 255
  }
  if ((bits & ((1 << held) - 1)) !== 0) bad()
  return out
}
