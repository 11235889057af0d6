/**
 * Readers of single values of a charter: objects with known fields, names, sets, digests, times, durations. Each takes a
 * value and its path, and leaves with a `charter.*` refusal at that path (charter.md sections 3 and 5). Trusts nothing.
 */
import { isObject, kindOf, type Json, type JsonObject } from '../bytes/json.ts'
import { refuse } from '../refusal.ts'
import { KEY_FORM, KEY_FORMS, parsePartyKey } from './keys.ts'
import { LIMITS } from './limits.ts'
import type { Duration, Hash, Name, Tee } from './types.ts'

export type Read<T> = (value: Json | undefined, at: string) => T
export const TEES = ['snp', 'tdx', 'sgx', 'nitro', 'cca', 'azure-snp', 'azure-tdx', 'tpm', 'simulated', 'sample'] as const satisfies readonly Tee[]
const NAME = /^[a-z][a-z0-9-]{0,31}$/
export const CONFIG_KEY = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/
const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 }

const show = (value: Json | undefined) => (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? JSON.stringify(value) : kindOf(value))
const wrong = (at: string, expected: string, value: Json | undefined): never => refuse(value === undefined ? 'charter.missing-field' : 'charter.value', at, expected, show(value))

/** An object with these fields and no others. */
export function fields(value: Json | undefined, at: string, required: readonly string[], allowed: readonly string[]): JsonObject {
  if (!isObject(value)) return wrong(at || '$', 'an object', value)
  const path = (key: string) => (at === '' ? key : `${at}.${key}`)
  for (const key of Object.keys(value)) if (!required.includes(key) && !allowed.includes(key)) refuse('charter.unknown-field', path(key), [...required, ...allowed].join(', '), key)
  for (const key of required) if (value[key] === undefined) refuse('charter.missing-field', path(key), 'a value', 'nothing')
  return value
}

export function entries<T>(value: Json | undefined, at: string, max: number, read: Read<T>, keys = NAME): Record<string, T> {
  if (!isObject(value)) return wrong(at, 'an object', value)
  const names = Object.keys(value).sort(compare)
  if (names.length > max) refuse('charter.limit', at, `at most ${max}`, String(names.length))
  return Object.fromEntries(names.map(one => {
    if (!keys.test(one)) refuse('charter.value', `${at}.${one}`, String(keys), one)
    return [one, read(value[one], `${at}.${one}`)]
  }))
}

export function array(value: Json | undefined, at: string, max: number): readonly Json[] {
  if (!Array.isArray(value)) return wrong(at, 'a list', value)
  if (value.length > max) refuse('charter.limit', at, `at most ${max}`, String(value.length))
  return value
}

/** A list whose order and repetitions mean nothing: sorted, each element once. */
export function set<T extends string | number>(value: Json | undefined, at: string, read: Read<T>, max: number = LIMITS.listEntries): T[] {
  const values = array(value, at, max).map((entry, i) => read(entry, `${at}[${i}]`))
  return [...new Set(values)].sort((a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : compare(String(a), String(b))))
}

export function list<K extends string, T extends string | number>(key: K, value: Json | undefined, at: string, read: Read<T>): { [P in K]?: T[] } {
  const values = value === undefined ? [] : set(value, `${at}.${key}`, read)
  // A computed key widens to string; the one key is K by construction.
  return (values.length === 0 ? {} : { [key]: values }) as { [P in K]?: T[] }
}

export function optional<K extends string, T>(key: K, value: Json | undefined, read: Read<T>, at = ''): { [P in K]?: T } {
  // As above: the one key is K by construction.
  return (value === undefined ? {} : { [key]: read(value, at === '' ? key : `${at}.${key}`) }) as { [P in K]?: T }
}

export function text(value: Json | undefined, at: string, max: number = LIMITS.string): string {
  if (typeof value !== 'string' || value === '') return wrong(at, 'a text', value)
  if (value.length > max) refuse('charter.limit', at, `at most ${max} characters`, String(value.length))
  // Control characters and composed forms that look alike must not make two names of one.
  if (/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/.test(value) || value !== value.normalize('NFC')) refuse('charter.value', at, 'NFC text without control characters', JSON.stringify(value))
  return value
}

export function integer(value: Json | undefined, at: string, min = 0): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min ? value : wrong(at, `an integer from ${min}`, value)
}

/** Privacy loss is counted in whole millionths. */
export function epsilon(value: Json | undefined, at: string): number {
  if (typeof value !== 'number' || value <= 0 || value > LIMITS.epsilonMax) return wrong(at, `a number above 0, at most ${LIMITS.epsilonMax}`, value)
  const millionths = Math.round(value * 1e6)
  return millionths / 1e6 === value && millionths > 0 ? value : wrong(at, 'a multiple of 0.000001', value)
}

export const pattern = (form: RegExp, expected: string, max?: number): Read<string> => (value, at) => (typeof value === 'string' && form.test(value) ? text(value, at, max) : wrong(at, expected, value))
/** The name of something that the charter has: an absent name would be a promise to whoever brings it back. */
export const nameIn = (known: Readonly<Record<Name, unknown>>): Read<Name> => (value, at) => {
  const one = name(value, at)
  if (own(known, one) === undefined) refuse('charter.dangling', at, Object.keys(known).slice(0, 16).join(', ') || 'a name that exists', one)
  return one
}

/** The entry of that name; what every object inherits is nobody's. */
export const own = <T>(names: Readonly<Record<Name, T>>, one: string): T | undefined => (Object.hasOwn(names, one) ? names[one] : undefined)

export const oneOf = <T extends string>(values: readonly T[]): Read<T> => (value, at) => values.find(known => known === value) ?? wrong(at, values.join(', '), value)
export const name = pattern(NAME, String(NAME))
export const recipient = pattern(/^age1[a-z0-9]{10,4000}$/, 'an age recipient (age1…)', LIMITS.keyText)
export const port: Read<number> = (value, at) => (typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65536 ? value : wrong(at, 'a port', value))
export const hostPort = pattern(/^[A-Za-z0-9.\-[\]:]+:[0-9]{1,5}$/, 'host:port')

export function hash(value: Json | undefined, at: string): Hash {
  // The pattern is the type.
  return pattern(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hexadecimal digits')(value, at) as Hash
}

export function key(value: Json | undefined, at: string): string {
  const form = pattern(KEY_FORM, KEY_FORMS, LIMITS.keyText)(value, at)
  parsePartyKey(form, at)
  return form
}

export function time(value: Json | undefined, at: string): string {
  const form = pattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'YYYY-MM-DDTHH:MM:SSZ')(value, at)
  return `${new Date(form).getTime()}` !== 'NaN' && `${new Date(form).toISOString().slice(0, 19)}Z` === form ? form : wrong(at, 'a date that exists', value)
}

export function duration(value: Json | undefined, at: string): Duration {
  const form = pattern(/^(0|[1-9][0-9]{0,8})[smhd]$/, 'a whole number and one of s, m, h, d')(value, at)
  return formatDuration(durationSeconds(form))
}

/** Seconds of a duration. */
export const durationSeconds = (form: Duration): number => Number(form.slice(0, -1)) * (UNITS[form.slice(-1)] ?? 0)

/** The largest unit that divides exactly; zero is `0s`. */
export function formatDuration(seconds: number): Duration {
  const unit = seconds === 0 ? 's' : (['d', 'h', 'm', 's'].find(one => seconds % (UNITS[one] ?? 1) === 0) ?? 's')
  return `${seconds / (UNITS[unit] ?? 1)}${unit}`
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
