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
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) refuse('bytes.encoding', at, 'pairs of hexadecimal digits', text)
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return out
}
