/** `node:test` and `node:assert/strict` for the browser: as much of them as core's portable tests use, and nothing else. */

type Run = () => unknown
const tests: { name: string; run: Run }[] = []

export function test(name: string, run: Run): void
export function test(name: string, options: { skip?: string | boolean }, run: Run): void
export function test(name: string, second: Run | { skip?: string | boolean }, third?: Run): void {
  const run = typeof second === 'function' ? second : third
  if (run !== undefined && (typeof second === 'function' || !second.skip)) tests.push({ name, run })
}

export interface Outcome { readonly name: string; readonly error?: string }

/** Every registered test, one after the other. */
export async function runAll(): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const { name, run } of tests) {
    try {
      await run()
      outcomes.push({ name })
    } catch (error) {
      outcomes.push({ name, error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) })
    }
  }
  return outcomes
}

class AssertionError extends Error {}
type Expected = RegExp | (new (...given: never[]) => Error) | { readonly message?: string | RegExp; readonly name?: string }

function fail(message: string | Error = 'failed'): never {
  throw message instanceof Error ? message : new AssertionError(message)
}

function need(holds: boolean, message: string | Error | undefined, otherwise: () => string): void {
  if (!holds) fail(message === undefined || message === '' ? otherwise() : message)
}

function ok(value: unknown, message?: string | Error): asserts value {
  need(Boolean(value), message, () => `${show(value)} is not truthy`)
}

function throws(run: Run, expected?: Expected | string): void {
  let thrown: unknown
  let quiet = true
  try {
    run()
  } catch (error) {
    thrown = error
    quiet = false
  }
  if (quiet) fail('nothing was thrown')
  if (expected !== undefined && typeof expected !== 'string') need(fits(thrown, expected), undefined, () => `another error: ${String(thrown)}`)
}

function fits(error: unknown, expected: Expected): boolean {
  if (expected instanceof RegExp) return expected.test(String(error))
  if (typeof expected === 'function') return error instanceof expected
  return Object.entries(expected).every(([key, value]) => {
    const got = String(Object(error)[key])
    return value instanceof RegExp ? value.test(got) : got === value
  })
}

/** Structural equality as `deepStrictEqual` has it for the values core makes: prototypes count, sparse arrays and cycles do not occur. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Map && b instanceof Map) return a.size === b.size && [...a].every(([key, value]) => b.has(key) && same(value, b.get(key)))
  if (a instanceof Set && b instanceof Set) return a.size === b.size && [...a].every(value => b.has(value))
  const [left, right] = [new Map(Object.entries(a)), new Map(Object.entries(b))]
  return left.size === right.size && [...left].every(([key, value]) => right.has(key) && same(value, right.get(key)))
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner))?.slice(0, 400) ?? String(value)
}

const assert = Object.assign(ok, {
  ok, fail, throws,
  equal: (a: unknown, b: unknown, message?: string | Error) => need(Object.is(a, b), message, () => `${show(a)} is not ${show(b)}`),
  notEqual: (a: unknown, b: unknown, message?: string | Error) => need(!Object.is(a, b), message, () => `both are ${show(a)}`),
  deepEqual: (a: unknown, b: unknown, message?: string | Error) => need(same(a, b), message, () => `${show(a)} is not ${show(b)}`),
  notDeepEqual: (a: unknown, b: unknown, message?: string | Error) => need(!same(a, b), message, () => `both are ${show(a)}`),
  match: (text: string, pattern: RegExp, message?: string | Error) => need(pattern.test(text), message, () => `${show(text)} does not match ${pattern}`),
  doesNotMatch: (text: string, pattern: RegExp, message?: string | Error) => need(!pattern.test(text), message, () => `${show(text)} matches ${pattern}`),
  doesNotThrow: (run: Run) => void run(),
})
export default assert
