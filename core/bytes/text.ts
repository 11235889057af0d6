/** UTF-8, strictly: no invalid sequences, no byte-order mark. Trusts nothing. */
import { refuse } from '../refusal.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const utf8 = (text: string): Uint8Array => encoder.encode(text)

/** The text of UTF-8 bytes; leaves with `bytes.encoding` when they are not. */
export function fromUtf8(bytes: Uint8Array, at = 'text'): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) refuse('bytes.encoding', at, 'UTF-8 without byte-order mark', 'a byte-order mark')
  try {
    return decoder.decode(bytes)
  } catch {
    return refuse('bytes.encoding', at, 'valid UTF-8', 'an invalid sequence')
  }
}
