/**
 * Every single bit of a valid signed input turned: nothing may be accepted, unless the target calls both the same (a bit
 * that is unsigned and unused). What JSON carries in base64 is turned where it matters, in the bytes.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { utf8 } from '@cloister/core/bytes/text'
import { attempt } from '@cloister/core/refusal'
import { probe, type Tally, type Target } from './target.ts'

export function flips(target: Target, into: Tally, beat: (seed: number) => void): void {
  const [valid] = target.signed?.valid ?? []
  if (valid === undefined) return
  let seed = 0
  for (const input of turned(valid)) {
    beat(seed)
    probe({ ...target, draw: () => input }, seed++, into)
  }
}

export function* turned(valid: Uint8Array): Generator<Uint8Array> {
  const text = new TextDecoder().decode(valid)
  if (!text.startsWith('{')) return yield* bits(valid)
  for (const found of text.matchAll(/"([A-Za-z0-9+/]{24,}={0,2})"/g)) {
    const bytes = attempt(() => fromBase64(found[1] ?? ''))
    if (!bytes.ok) continue
    for (const changed of bits(bytes.value)) yield utf8(`${text.slice(0, found.index + 1)}${toBase64(changed)}${text.slice(found.index + found[0].length - 1)}`)
  }
}

function* bits(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length * 8; at++) {
    const out = bytes.slice()
    out[at >> 3] = (out[at >> 3] ?? 0) ^ (1 << (at & 7))
    yield out
  }
}
