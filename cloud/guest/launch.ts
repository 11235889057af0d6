/** Reads the launch line strictly. It comes from the untrusted launcher; what it says only counts once evidence proves it. */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { parseJson, type Json } from '@cloister/core/bytes/json'
import type { Hash } from '@cloister/core/charter/types'
import { refuse } from '@cloister/core/refusal'
import { BROKERS_MAX, LINE_BYTES_MAX, type Launch } from '../provider/wire.ts'

const INPUTS_MAX = 64

/** Leaves the current `attempt` with `guest.protocol` when the line is not a launch. */
export function parseLaunch(text: string): Launch {
  const value = parseJson(text, { bytes: LINE_BYTES_MAX, depth: 6, entries: 1000, string: LINE_BYTES_MAX })
  const launch = record(record(value, '$')['launch'] ?? null, 'launch')
  const inputs = launch['inputs']
  if (!Array.isArray(inputs) || inputs.length > INPUTS_MAX) refuse('guest.protocol', 'launch.inputs', `a list of at most ${INPUTS_MAX}`, 'another value')
  const code = string(launch, 'code')
  fromBase64(code)
  return {
    charter: hash(launch, 'charter'),
    lineage: hash(launch, 'lineage'),
    program: string(launch, 'program'),
    code,
    inputs: inputs.map((input, i) => {
      const entry = record(input, `launch.inputs[${i}]`)
      return { asset: string(entry, 'asset'), fd: integer(entry, 'fd', 3, 3 + INPUTS_MAX) }
    }),
    policies: texts(launch, 'policies', BROKERS_MAX),
    threads: integer(launch, 'threads', 1, 256),
    memoryBytesMax: integer(launch, 'memoryBytesMax', 2 ** 26, 2 ** 42),
  }
}

type JsonRecord = { readonly [key: string]: Json }

function record(value: Json, at: string): JsonRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('guest.protocol', at, 'an object', 'another value')
  // Neither an array nor null, so JSON leaves only the object case.
  return value as JsonRecord
}

function string(from: JsonRecord, key: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : refuse('guest.protocol', `launch.${key}`, 'a string', typeof value)
}

function texts(from: JsonRecord, key: string, most: number): string[] {
  const value = from[key]
  if (!Array.isArray(value) || value.length < 1 || value.length > most) return refuse('guest.protocol', `launch.${key}`, `1 to ${most} texts`, 'another value')
  return value.map((one, i) => (typeof one === 'string' ? one : refuse('guest.protocol', `launch.${key}[${i}]`, 'a string', typeof one)))
}

function hash(from: JsonRecord, key: string): Hash {
  const text = string(from, key)
  // The pattern is the type.
  return /^sha256:[0-9a-f]{64}$/.test(text) ? (text as Hash) : refuse('guest.protocol', `launch.${key}`, 'sha256: and 64 hexadecimal digits', text)
}

function integer(from: JsonRecord, key: string, min: number, max: number): number {
  const value = from[key]
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
    ? value
    : refuse('guest.protocol', `launch.${key}`, `an integer from ${min} to ${max}`, String(value))
}
