/**
 * Evidence is JSON around signed bytes; each kind gives two targets. The judge as it is accepts nothing that was changed
 * after it was signed. The same judge with a port that believes every signature is reached by every change in its depths:
 * there only refusals may leave, in time.
 */
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJsonObject, shown, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'
import type { Draw } from './draw.ts'
import type { Target } from './target.ts'
import { changeJson } from './texts.ts'

/** Hashes and all else as they are; every signature holds. */
export const believing: Primitives = { ...p, name: 'believing', verify: () => true }

export interface Kind {
  readonly name: string
  /** Evidence that is accepted as it is. */
  readonly valid: readonly object[]
  judge(port: Primitives, json: JsonObject): unknown
  /**
   * The fields of which nothing may change; absent ones are listed with the reason in the target. By default all: keys in any
   * order, and after the first certificate certificates and lists in any order and any of them twice.
   */
  same?(json: JsonObject): Json
}

export function evidenceTargets(kind: Kind): Target[] {
  const texts = kind.valid.map(one => jcs(one))
  const draw = (choices: Draw) => utf8(choices.oneIn(60) ? choices.pick(texts) : changeJson(choices, choices.pick(texts)))
  const named = texts.map(text => parseJsonObject(text)['kind'])
  const judge = (port: Primitives) => (input: Uint8Array) => {
    const json = parseJsonObject(input)
    // Which room judges is decided by the kind, before any room sees the rest.
    if (!named.includes(json['kind'])) refuse('evidence.kind', 'kind', named.join(', '), shown(json['kind']))
    return kind.judge(port, json)
  }
  return [
    { name: kind.name, slow: true, draw, judge: judge(p), signed: { valid: texts.map(utf8), same: input => jcs((kind.same ?? unordered)(parseJsonObject(input))) } },
    { name: `${kind.name}-believed`, slow: true, draw, judge: judge(believing) },
  ]
}

export function unordered(json: JsonObject, without: readonly string[] = []): JsonObject {
  const entries = Object.entries(json).filter(([key]) => !without.includes(key))
  return Object.fromEntries(entries.map(([key, value]) => [key, ['certificates', 'crls'].includes(key) && Array.isArray(value) ? [...(key === 'crls' ? [] : value.slice(0, 1)), ...[...new Set(value.map(one => jcs(one)))].sort()] : value]))
}
