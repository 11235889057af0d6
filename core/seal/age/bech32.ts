/** Bech32 (BIP 173) without its length limit, as age writes keys (C2SP age). Trusts nothing. */
import { refuse } from '../../refusal.ts'

/** Twice the longest key there is, a hybrid recipient. */
const TEXT_MAX = 4096
const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'

/** Text of `hrp` and bytes, lower case. */
export function bech32(hrp: string, bytes: Uint8Array): string {
  const data = regroup(Array.from(bytes), 8, 5, true) ?? []
  const sum = checksum(hrp, data)
  return `${hrp}1${data.concat(sum).map(value => ALPHABET[value]).join('')}`
}

/** The bytes behind a text that begins with `hrp`. Leaves with `crypto.key`; never shows the text, it may be secret. */
export function fromBech32(hrp: string, text: string, at: string): Uint8Array {
  const bad = (): never => refuse('crypto.key', at, `${hrp}1…`, 'another text')
  if (text.length > TEXT_MAX) bad()
  const lower = text.toLowerCase()
  if ((text !== lower && text !== text.toUpperCase()) || !lower.startsWith(`${hrp}1`)) bad()
  const values = lower.slice(hrp.length + 1).split('').map(letter => ALPHABET.indexOf(letter))
  if (values.length < 6 || values.includes(-1) || polymod([...expand(hrp), ...values]) !== 1) bad()
  return new Uint8Array(regroup(values.slice(0, -6), 5, 8, false) ?? bad())
}

const expand = (hrp: string) => [...[...hrp].map(letter => letter.charCodeAt(0) >> 5), 0, ...[...hrp].map(letter => letter.charCodeAt(0) & 31)]

function checksum(hrp: string, data: readonly number[]): number[] {
  const value = polymod([...expand(hrp), ...data, 0, 0, 0, 0, 0, 0]) ^ 1
  return [25, 20, 15, 10, 5, 0].map(shift => (value >>> shift) & 31)
}

function polymod(values: readonly number[]): number {
  return values.reduce((sum, value) => {
    const top = sum >>> 25
    return GENERATOR.reduce((mixed, part, i) => ((top >> i) & 1) === 1 ? mixed ^ part : mixed, ((sum & 0x1ffffff) << 5) ^ value)
  }, 1)
}
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

function regroup(values: readonly number[], from: number, to: number, pad: boolean): number[] | undefined {
  const out: number[] = []
  let [held, bits] = [0, 0]
  for (const value of values) {
    held = ((held << from) | value) & 0xfff
    for (bits += from; bits >= to; out.push((held >> bits) & ((1 << to) - 1))) bits -= to
  }
  if (pad) return bits > 0 ? [...out, (held << (to - bits)) & ((1 << to) - 1)] : out
  return bits >= from || (held & ((1 << bits) - 1)) !== 0 ? undefined : out
}
