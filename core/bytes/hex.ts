/** Hexadecimal, lower case out, either case in. Trusts nothing. */
import { refuse } from '../refusal.ts'

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += DIGITS[byte]
  return text
}

/**
 * Bytes of a hexadecimal text. Leaves with `bytes.encoding` on odd length or another character.
 *
 * @example
 * fromHex('00ff') // → Uint8Array [0, 255]
 */
export function fromHex(text: string, at = 'hex'): Uint8Array {
  const out = new Uint8Array(Math.floor(text.length / 2))
  let wrong = text.length % 2
  for (let i = 0; i < out.length; i++) {
    const byte = (digit(text.charCodeAt(2 * i)) << 4) | digit(text.charCodeAt(2 * i + 1))
    wrong |= byte & ~0xff
    out[i] = byte
  }
  return wrong === 0 ? out : refuse('bytes.encoding', at, 'pairs of hexadecimal digits', text)
}

/** The value of a digit; -1, whose high bits are seen above, for another character. */
const digit = (code: number) => VALUES[code] ?? -1
const VALUES = new Int8Array(103).fill(-1).map((none, code) => {
  const value = code < 97 ? '0123456789ABCDEF'.indexOf(String.fromCharCode(code)) : code - 87
  return value < 0 || value > 15 ? none : value
})
