/** PEM (RFC 7468): the DER bodies of all blocks with a label, in order. Trusts nothing. */
import { fromBase64, toBase64 } from '../bytes/base64.ts'

const TEXT_MAX = 4 * 1024 * 1024

export function readPem(text: string, label: string): Uint8Array[] {
  const block = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*?)-----END ${label}-----`, 'g')
  return [...text.slice(0, TEXT_MAX).matchAll(block)].map(match => fromBase64((match[1] ?? '').replace(/\s/g, ''), label))
}

export function writePem(label: string, bytes: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${(toBase64(bytes).match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`
}
