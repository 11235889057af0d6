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
  const table = new Int8Array(128).fill(-1)
  for (let i = 0; i < 64; i++) table[alphabet.charCodeAt(i)] = i
  return table
})
const STANDARD_TABLE = tables[0] ?? new Int8Array(0)
const URL_SAFE_TABLE = tables[1] ?? STANDARD_TABLE

/** Four digits at a time; whatever is not a digit sets bits that no digit has, and they are looked at once, at the end. */
function decode(text: string, at: string, alphabet: 0 | 1, padded: boolean): Uint8Array {
  const table = alphabet === 0 ? STANDARD_TABLE : URL_SAFE_TABLE
  const surplus = padded ? (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0) : 0
  const length = text.length - surplus
  const out = new Uint8Array(Math.floor(length * 3 / 4))
  let wrong = (padded && text.length % 4 !== 0) || length % 4 === 1 ? -1 : 0
  const digit = (i: number): number => {
    const code = text.charCodeAt(i)
    return code < 128 ? table[code] ?? -1 : -1
  }
  const whole = length - length % 4
  let filled = 0
  for (let i = 0; i < whole; i += 4) {
    const a = digit(i)
    const b = digit(i + 1)
    const c = digit(i + 2)
    const d = digit(i + 3)
    wrong |= a | b | c | d
    out[filled++] = (a << 2) | (b >> 4)
    out[filled++] = (b << 4) | (c >> 2)
    out[filled++] = (c << 6) | d
  }
  if (length > whole) {
    const [a, b, c] = [digit(whole), digit(whole + 1), length - whole === 3 ? digit(whole + 2) : 0]
    // Bits behind the last byte are zero, so that no two texts stand for the same bytes.
    wrong |= a | b | c | (length - whole === 3 ? (c & 3) === 0 ? 0 : -1 : (b & 15) === 0 ? 0 : -1)
    out[filled++] = (a << 2) | (b >> 4)
    if (length - whole === 3) out[filled++] = (b << 4) | (c >> 2)
  }
  return wrong < 0 ? refuse('bytes.encoding', at, 'canonical base64', text) : out
}
