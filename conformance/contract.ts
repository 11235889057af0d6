/**
 * The shapes that both sides of the conformance contract speak (README.md), and how a verdict is compared with what a case
 * expects. What a child says is read as attacker-made: strictly, within limits.
 */
import { isObject, parseJson, shown, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { attempt, refuse, type Refusal, type Result } from '@cloister/core/refusal'

export interface Request { readonly id: string; readonly tee: string; readonly kind?: string; readonly at: number; readonly files: readonly RequestFile[]; readonly chain: readonly string[] }
export interface RequestFile { readonly role: string; readonly name: string; readonly data: string } // base64
export const VERDICTS = ['accept', 'reject', 'parsed', 'malformed', 'unsupported', 'error'] as const
export interface Verdict { readonly id: string; readonly verdict: typeof VERDICTS[number]; readonly fields?: JsonObject; readonly refusal?: Refusal | JsonObject }

/** Exit statuses of DESIGN section 7. */
export const STATUS: Record<Verdict['verdict'], number> = { accept: 0, parsed: 0, reject: 10, unsupported: 20, malformed: 30, error: 1 }

const LIMITS = { bytes: 64 << 20, depth: 24, entries: 200_000, string: 48 << 20 }

/** Refuses `json.*` or `evidence.parse`. */
export function parseRequest(line: string): Result<Request> {
  return attempt(() => {
    const json = objectOf(parseJson(line, LIMITS), 'request')
    const { at } = json
    if (typeof at !== 'number' || !Number.isSafeInteger(at)) return refuse('evidence.parse', 'request.at', 'seconds since 1970', shown(at))
    const files = listOf(json['files'], 'request.files').map((one, i) => {
      const file = objectOf(one, `request.files[${i}]`)
      return { role: textOf(file, 'role'), name: textOf(file, 'name'), data: textOf(file, 'data') }
    })
    const chain = listOf(json['chain'] ?? [], 'request.chain').map((one, i) => (typeof one === 'string' ? one : refuse('evidence.parse', `request.chain[${i}]`, 'base64', shown(one))))
    return { id: textOf(json, 'id'), tee: textOf(json, 'tee'), ...(json['kind'] === undefined ? {} : { kind: textOf(json, 'kind') }), at, files, chain }
  })
}

/** Refuses `json.*` or `evidence.parse`. */
export function parseVerdict(line: string): Result<Verdict> {
  return attempt(() => {
    const json = objectOf(parseJson(line, LIMITS), 'verdict')
    const verdict = VERDICTS.find(known => known === json['verdict']) ?? refuse('evidence.parse', 'verdict.verdict', VERDICTS.join(', '), shown(json['verdict']))
    const part = (key: 'fields' | 'refusal') => (json[key] === undefined ? {} : { [key]: objectOf(json[key], `verdict.${key}`) })
    return { id: textOf(json, 'id'), verdict, ...part('fields'), ...part('refusal') }
  })
}

export interface Expected { readonly verdict: string; readonly fields?: Readonly<Record<string, unknown>> }

/** Is a verdict what the case expects, and which fields differ? */
export function compare(expected: Expected, got: Verdict): { readonly passed: boolean; readonly differs: string[] } {
  const differs = Object.entries(expected.fields ?? {}).flatMap(([name, value]) => {
    const own = got.fields?.[name]
    return own === undefined || alike(own, value) ? [] : [`${name}: expected ${JSON.stringify(value)}, got ${JSON.stringify(own)}`]
  })
  const fits: Record<string, readonly Verdict['verdict'][]> = { accept: ['accept'], reject: ['reject', 'malformed'], policy: ['reject', 'malformed'], parse: ['parsed', 'accept', 'reject'] }
  return { passed: (fits[expected.verdict] ?? []).includes(got.verdict) && differs.length === 0, differs }
}

function alike(got: unknown, expected: unknown): boolean {
  if (Array.isArray(expected)) return Array.isArray(got) && got.length === expected.length && expected.every((one, i) => alike(got[i], one))
  if (typeof expected === 'object' && expected !== null) return typeof got === 'object' && got !== null && Object.entries(expected).every(([key, value]) => alike(Object.entries(got).find(([name]) => name === key)?.[1], value))
  return (typeof got !== 'object' || got === null) && String(got).toLowerCase() === String(expected).toLowerCase()
}

const objectOf = (value: Json | undefined, at: string): JsonObject => (isObject(value) ? value : refuse('evidence.parse', at, 'an object', shown(value)))
const listOf = (value: Json | undefined, at: string): readonly Json[] => (Array.isArray(value) ? value : refuse('evidence.parse', at, 'a list', shown(value)))
function textOf(json: JsonObject, key: string): string {
  const value = json[key]
  return typeof value === 'string' ? value : refuse('evidence.parse', key, 'a text', shown(value))
}
