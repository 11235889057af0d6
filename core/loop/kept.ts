/**
 * A node's state as it stands on its disk: canonical JSON, read strictly. Whoever can write the disk can set it back (which
 * the log and the machine's register notice) or spoil it (which is refused here). Trusts nothing.
 */
import { jcs } from '../bytes/jcs.ts'
import { isObject, kindOf, parseJsonObject, type Json, type JsonObject } from '../bytes/json.ts'
import type { Hash } from '../charter/types.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { START, type View } from './chain.ts'
import type { NodeState, Opening } from './node.ts'

/** A full backlog of the largest reports. */
const LIMITS = { bytes: 8 << 20, depth: 8, entries: 1000, string: 65_535 }

export const writeState = (state: NodeState): string => jcs(state)

/** Refuses `store.corrupt`, `json.*`. */
export function readNodeState(text: string): Result<NodeState> {
  return attempt(() => {
    const json = parseJsonObject(text, LIMITS)
    only(json, ['view', 'made', 'unanswered', 'key', 'current', 'lock', 'opening'], 'state')
    return {
      view: viewOf(object(json, 'view')), unanswered: texts(json, 'unanswered'),
      ...maybe(json, 'made', from => ({ digest: hash(from, 'digest'), sequence: count(from, 'sequence'), ...register(from) })),
      ...(json['key'] === undefined ? {} : { key: string(json, 'key') }), ...lock(json),
      ...maybe(json, 'current', from => ({ digest: hash(from, 'digest'), accepts: hash(from, 'accepts') })),
      ...maybe(json, 'opening', (from): Opening => ({ digest: hash(from, 'digest'), accepts: hash(from, 'accepts'), envelope: string(from, 'envelope'), keys: texts(from, 'keys'), ...register(from), ...lock(from) })),
    }
  })
}

function viewOf(from: JsonObject): View {
  only(from, ['index', 'time', 'origin', 'report', 'configuration'], 'state.view')
  const index = from['index'] === START.index ? START.index : count(from, 'index')
  return {
    index, time: count(from, 'time'), ...(from['origin'] === undefined ? {} : { origin: string(from, 'origin') }),
    ...maybe(from, 'report', one => ({ digest: hash(one, 'digest'), sequence: count(one, 'sequence'), ...(one['configuration'] === undefined ? {} : { configuration: hash(one, 'configuration') }), ...register(one) })),
    ...maybe(from, 'configuration', one => ({ digest: hash(one, 'digest'), accepts: hash(one, 'accepts'), chip: string(one, 'chip'), key: string(one, 'key'), ...(one['charter'] === undefined ? {} : { charter: hash(one, 'charter') }) })),
  }
}

function maybe<K extends string, T>(from: JsonObject, key: K, read: (inner: JsonObject) => T): { readonly [key in K]?: T } {
  // One key, of the type that its reader gives.
  return from[key] === undefined ? {} : { [key]: read(object(from, key)) } as { readonly [key in K]?: T }
}

const corrupt = (at: string, expected: string, value: Json | undefined): never => refuse('store.corrupt', `state.${at}`, expected, kindOf(value), 'a lost state is lost: enrol the node anew, under another key')
const lock = (from: JsonObject) => (from['lock'] === undefined ? {} : { lock: string(from, 'lock') })
const register = (from: JsonObject) => (from['register'] === undefined ? {} : { register: string(from, 'register') })

function only(from: JsonObject, keys: readonly string[], at: string): void {
  for (const key of Object.keys(from)) if (!keys.includes(key)) refuse('store.corrupt', `${at}.${key.slice(0, 80)}`, keys.join(', '), 'an unknown field')
}
function object(from: JsonObject, key: string): JsonObject {
  const value = from[key]
  return isObject(value) ? value : corrupt(key, 'an object', value)
}
function string(from: JsonObject, key: string): string {
  const value = from[key]
  return typeof value === 'string' ? value : corrupt(key, 'a text', value)
}
function hash(from: JsonObject, key: string): Hash {
  const value = string(from, key)
  return /^sha256:[0-9a-f]{64}$/.test(value) ? value as Hash : corrupt(key, 'a digest', value) // the pattern is the type
}
function count(from: JsonObject, key: string): number {
  const value = from[key]
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : corrupt(key, 'a whole number', value)
}
function texts(from: JsonObject, key: string): readonly string[] {
  const value = from[key]
  return Array.isArray(value) && value.every(one => typeof one === 'string') ? value : corrupt(key, 'a list of texts', value)
}
