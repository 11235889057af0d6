/** ASCII armor of age files (strict PEM, C2SP age): exactly 64 columns, canonical base64, nothing around it but white space. Trusts nothing. */
import { fromBase64 } from '../../bytes/base64.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { attempt, refuse } from '../../refusal.ts'

const BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----'
const END = '-----END AGE ENCRYPTED FILE-----'

/** Does it want to be armor? Whether it is, `dearmor` tells. */
export function isArmored(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 1024))
  return /^[ \t\r\n]*-----/.test(start) || (!start.startsWith('age-encryption.org/') && start.includes(BEGIN))
}

/** The binary file inside. Leaves with `age.header` at `armor`. */
export function dearmor(bytes: Uint8Array): Uint8Array {
  const bad = (): never => refuse('age.header', 'armor', `${BEGIN}, lines of 64 characters, ${END}`, 'another form')
  const read = attempt(() => fromUtf8(bytes))
  const text = read.ok ? trimmed(read.value) : bad()
  const lines = text.replaceAll('\r\n', '\n').split('\n')
  const body = lines.slice(1, -1)
  if (lines[0] !== BEGIN || lines[lines.length - 1] !== END) bad()
  body.forEach((line, i) => {
    const last = i === body.length - 1
    if (!/^[A-Za-z0-9+/=]+$/.test(line) || (last ? line.length > 64 : line.length !== 64)) bad()
  })
  const decoded = attempt(() => fromBase64(body.join('')))
  return decoded.ok ? decoded.value : bad()
}

/** Without white space at both ends. By hand: a pattern that ends with `+$` takes quadratic time over white space in the middle. */
function trimmed(text: string): string {
  let [from, to] = [0, text.length]
  while (from < to && ' \t\r\n'.includes(text[from] ?? 'x')) from++
  while (to > from && ' \t\r\n'.includes(text[to - 1] ?? 'x')) to--
  return text.slice(from, to)
}
