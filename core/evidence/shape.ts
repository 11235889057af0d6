/**
 * Readers of the JSON shape of evidence: which fields, which type, how large. Shared by every kind, so that a field
 * nobody knows is refused everywhere alike. Trusts nothing.
 */
import { isObject, type Json, type JsonObject } from '../bytes/json.ts'
import { refuse } from '../refusal.ts'

/** The largest text of one field, characters: logs and reference documents are the largest. */
export const TEXT_MAX = 8 * 1024 * 1024

/** Refuses a field that is not among those of this kind. */
export function onlyFields(json: JsonObject, known: readonly string[]): void {
  for (const key of Object.keys(json)) if (!known.includes(key)) refuse('evidence.parse', `evidence.${key}`, known.join(', '), key)
}

/** A text that must be there. */
export function textOf(json: JsonObject, key: string): string {
  return text(json[key], `evidence.${key}`)
}

/** A list of texts that must be there, of at most `max`. */
export function textsOf(json: JsonObject, key: string, max: number): string[] {
  const value = json[key]
  if (!Array.isArray(value) || value.length > max) return refuse('evidence.parse', `evidence.${key}`, `a list of at most ${max} texts`, Array.isArray(value) ? `${value.length}` : 'another value')
  return value.map((one, i) => text(one, `evidence.${key}[${i}]`))
}

/** An object that must be there. */
export function objectOf(json: JsonObject, key: string): JsonObject {
  const value = json[key]
  return isObject(value) ? value : refuse('evidence.parse', `evidence.${key}`, 'an object', value === undefined ? 'nothing' : 'another value')
}

function text(value: Json | undefined, at: string): string {
  if (typeof value !== 'string') return refuse('evidence.parse', at, 'a text', value === undefined ? 'nothing' : typeof value)
  return value.length > TEXT_MAX ? refuse('evidence.parse', at, `at most ${TEXT_MAX} characters`, String(value.length)) : value
}
