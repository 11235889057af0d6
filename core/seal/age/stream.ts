/** How age cuts a payload (C2SP age, Payload): chunks of 64 KiB under one key, told apart by their nonces. Trusts nothing. */

/** Plaintext bytes of every chunk but the last. */
export const CHUNK = 64 * 1024

/** STREAM: an 11-byte counter and a byte that marks the last chunk. */
export function chunkNonce(counter: number, last: boolean): Uint8Array {
  const nonce = new Uint8Array(12)
  for (let [i, left] = [10, counter]; left > 0; i--, left = Math.floor(left / 256)) nonce[i] = left % 256
  nonce[11] = last ? 1 : 0
  return nonce
}
