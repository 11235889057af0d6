/**
 * Which Ed25519 public keys count. RFC 8032 leaves room: libraries differ on points of small order (under which one
 * signature fits every message) and on coordinates written beyond the field. Both ports refuse them, so that no verdict
 * depends on the library. Trusts nothing.
 */
import { fromHex } from '../bytes/hex.ts'
import { equal } from '../bytes/bytes.ts'

/** False for keys of small order and for y not below 2^255 - 19. The curve equation is the library's business. */
export function ed25519KeyAllowed(raw: Uint8Array): boolean {
  if (raw.length !== 32) return false
  const y = raw.slice()
  y[31] = (y[31] ?? 0) & 0x7f // the sign of x
  const beyond = (y[0] ?? 0) >= 0xed && y[31] === 0x7f && y.subarray(1, 31).every(byte => byte === 0xff)
  return !beyond && !SMALL_ORDER.some(weak => equal(weak, y))
}

/** The y coordinates of the points of order 1, 4, 2, 8 and 8. */
const SMALL_ORDER = [
  `01${'00'.repeat(31)}`, '00'.repeat(32), `ec${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map(hex => fromHex(hex))
