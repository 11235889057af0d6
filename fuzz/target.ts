/**
 * What a fuzzing target is, and what must hold for each of its inputs, whatever the input:
 * only refusals leave, never another error; no input takes longer than LIMIT_MS; the input is not written to; the same
 * input is judged alike twice; what is accepted is written back as it was (`again`), and what carries a signature is
 * accepted only as it was signed (`same`).
 */
import { attempt, REFUSAL_CODES, type RefusalCode } from '@cloister/core/refusal'
import { Draw } from './draw.ts'

export const LIMIT_MS = 100

export interface Target {
  readonly name: string
  /** An input from choices: mostly a valid one that was changed. */
  draw(draw: Draw): Uint8Array
  /** The reader or judge under test: its value, or it leaves with a refusal. */
  judge(input: Uint8Array): unknown
  /** A complaint about an accepted input, such as a value that is not written back as it was read. */
  again?(input: Uint8Array, value: unknown): string | undefined
  /** For signed inputs: a text that is the same only for inputs that may be told apart by unsigned and unused bytes alone. Whatever is accepted must be `same` as one of `valid`. */
  readonly signed?: { readonly valid: readonly Uint8Array[]; same(input: Uint8Array): string }
  /** How many inputs a second are to be expected, for the estimate before a long run; measured, not promised. */
  readonly slow?: boolean
}

export interface Finding { readonly target: string; readonly seed: number; readonly what: string; readonly hex: string }
export interface Tally { inputs: number; accepted: number; slowestMs: number; slowestSeed: number; codes: Map<string, number>; findings: Finding[] }

export const tally = (): Tally => ({ inputs: 0, accepted: 0, slowestMs: 0, slowestSeed: -1, codes: new Map(), findings: [] })
const CODES: ReadonlySet<string> = new Set(REFUSAL_CODES)

/** One input, by its seed; what is wrong with how it was judged goes into the tally. */
export function probe(target: Target, seed: number, into: Tally): void {
  const input = target.draw(new Draw(target.name, seed))
  const copy = input.slice()
  const started = performance.now()
  const outcome = judged(target, input)
  const spent = quickest(target, copy, performance.now() - started)
  into.inputs++
  if (spent > into.slowestMs) Object.assign(into, { slowestMs: spent, slowestSeed: seed })
  const complain = (what: string) => into.findings.push({ target: target.name, seed, what, hex: hexOf(copy) })
  if (spent > LIMIT_MS) complain(`took ${spent.toFixed(0)} ms`)
  if (!alike(input, copy)) complain('wrote to its input')
  if (outcome.kind === 'error') complain(`an error that is no refusal: ${outcome.what}`)
  if (outcome.kind === 'refused') into.codes.set(outcome.code, (into.codes.get(outcome.code) ?? 0) + 1)
  if (outcome.kind === 'refused' && !CODES.has(outcome.code)) complain(`an unknown code ${outcome.code}`)
  if (outcome.kind !== 'accepted') return
  into.accepted++
  const second = judged(target, copy.slice())
  if (shown(second) !== shown(outcome)) complain('judged differently the second time')
  if (target.signed !== undefined && !known(target, copy)) complain('accepted, and it is not what was signed')
  const complaint = attempt(() => target.again?.(copy, outcome.value))
  const again = complaint.ok ? complaint.value : `refused when written again: ${JSON.stringify(complaint.refusal)}`
  if (again !== undefined) complain(again)
}

type Outcome = { readonly kind: 'accepted'; readonly value: unknown } | { readonly kind: 'refused'; readonly code: RefusalCode } | { readonly kind: 'error'; readonly what: string }

function judged(target: Target, input: Uint8Array): Outcome {
  try {
    const result = attempt(() => target.judge(input))
    return result.ok ? { kind: 'accepted', value: result.value } : { kind: 'refused', code: result.refusal.code }
  } catch (error) {
    return { kind: 'error', what: error instanceof Error ? `${error.name}: ${error.message} ${(error.stack ?? '').split('\n').slice(1, 4).map(line => line.trim()).join(' ')}` : String(error) }
  }
}

/** The machine may be busy: what was slow once counts as slow when each of three more times takes as long of this thread's own time. */
function quickest(target: Target, input: Uint8Array, first: number): number {
  let best = first
  for (let i = 0; i < 3 && best > LIMIT_MS / 2; i++) {
    const before = process.threadCpuUsage()
    judged(target, input.slice())
    const { user, system } = process.threadCpuUsage(before)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}

const validOf = new WeakMap<Target, ReadonlySet<string>>()
function known(target: Target, input: Uint8Array): boolean {
  const { signed } = target
  if (signed === undefined) return true
  const valid = validOf.get(target) ?? new Set(signed.valid.map(one => signed.same(one)))
  validOf.set(target, valid)
  return valid.has(signed.same(input))
}

function shown(outcome: Outcome): string {
  return JSON.stringify(outcome, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value instanceof Map ? [...value] : value instanceof Uint8Array ? hexOf(value) : value))
}

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
const alike = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0
