/**
 * Every single bit of every valid signed input turned: nothing may be accepted, unless the target calls both the same (a
 * bit that is unsigned and unused). What JSON carries in base64 is turned where it matters, in the bytes.
 */
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '@cloister/core/bytes/base64'
import { utf8 } from '@cloister/core/bytes/text'
import { attempt } from '@cloister/core/refusal'
import { probe, type Tally, type Target } from './target.ts'

/** The bits of one run of bytes in an input, and the input with one of them turned. */
interface Run { readonly count: number; turn(bit: number): Uint8Array }

/** All of them, from the first valid input's first bit to the last one's last. */
export function flips(target: Target, into: Tally, beat: (seed: number) => void): void {
  let seed = 0
  for (const valid of target.signed?.valid ?? []) {
    for (const run of runsOf(valid)) {
      for (let bit = 0; bit < run.count; bit++) {
        beat(seed)
        probe({ ...target, draw: () => run.turn(bit) }, seed++, into)
      }
    }
  }
}

/** Bits in every run of every valid input, until the time is over: first ones near both ends, then those that `pick` names. */
export function sampleOfFlips(target: Target, into: Tally, until: number, pick: (below: number) => number): void {
  const runs = (target.signed?.valid ?? []).flatMap(runsOf)
  const turn = ({ count, turn: turned }: Run, bit: number) => { if (performance.now() < until || into.inputs === 0) probe({ ...target, draw: () => turned(bit) }, count, into) }
  for (const run of runs) turn(run, run.count - 1)
  for (const run of runs) turn(run, 0)
  for (let round = 0; round < 200 && runs.length > 0 && performance.now() < until; round++) {
    const run = runs[round % runs.length]
    if (run !== undefined) turn(run, pick(run.count))
  }
}

function runsOf(valid: Uint8Array): Run[] {
  const text = new TextDecoder().decode(valid)
  if (!text.startsWith('{')) return [{ count: valid.length * 8, turn: bit => turned(valid, bit) }]
  return [...text.matchAll(/"([A-Za-z0-9+/]{24,}={0,2})"/g)].flatMap(found => runsIn(text, found.index + 1, found[1] ?? '', fromBase64, toBase64))
    // Tokens are parts in base64url with dots between them.
    .concat([...text.matchAll(/(?<=["])[\w-]+(?:\.[\w-]+)+(?=["])/g)].flatMap(token => [...token[0].matchAll(/[\w-]+/g)].flatMap(part => runsIn(text, token.index + part.index, part[0], fromBase64Url, toBase64Url))))
}

function runsIn(text: string, at: number, written: string, read: (text: string) => Uint8Array, write: (bytes: Uint8Array) => string): Run[] {
  const bytes = attempt(() => read(written))
  if (!bytes.ok) return []
  return [{ count: bytes.value.length * 8, turn: bit => utf8(`${text.slice(0, at)}${write(turned(bytes.value, bit))}${text.slice(at + written.length)}`) }]
}

function turned(bytes: Uint8Array, bit: number): Uint8Array {
  const out = bytes.slice()
  out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return out
}
