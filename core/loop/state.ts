/**
 * The state beside a report: named facts as short texts, read from our own plain form or from what `systemd-report` writes
 * (`application/vnd.io.systemd.report`, systemd v261). The report's leaf names it by the digest of its exact bytes, so that
 * the log holds no inventory of machines. Facts are the node's word: hardware speaks for the code that gathered them, not
 * for each of them. Trusts nothing.
 */
import { toHex } from '../bytes/hex.ts'
import { jcs } from '../bytes/jcs.ts'
import { kindOf, parseJsonObject, type Json, type JsonObject } from '../bytes/json.ts'
import { fromUtf8, utf8 } from '../bytes/text.ts'
import type { Hash } from '../charter/types.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { LOOP_LIMITS } from './documents.ts'
import { readSystemdReport, SYSTEMD_REPORT, SYSTEMD_SEQUENCE } from './systemd.ts'

export const NODE_STATE = 'application/vnd.cloister.node-state+json'

/** Facts by name: `kernel`, `os`, `unit:nginx.service`, or a metric's name with its object, `io.systemd.Manager.UnitsTotal`. */
export type Facts = Readonly<Record<string, string>>
export interface State { readonly mediaType: string; readonly bytes: Uint8Array }

/** Facts in the plain form, as the bytes that a report names. */
export function stateOf(facts: Facts): State {
  return { mediaType: NODE_STATE, bytes: utf8(jcs(facts)) }
}

export const stateDigest = (p: Primitives, state: State): Hash => `sha256:${toHex(p.hash('sha256', state.bytes))}`

/**
 * The facts of a state. Refuses `loop.document`, `json.*`, `bytes.*`.
 *
 * @example
 * readState(stateOf({ kernel: '6.12.95' })) // → { ok: true, value: { kernel: '6.12.95' } }
 */
export function readState({ mediaType, bytes }: State): Result<Facts> {
  return attempt(() => {
    if (bytes.length > LOOP_LIMITS.stateBytes) refuse('bytes.too-large', 'state', `at most ${LOOP_LIMITS.stateBytes} bytes`, `${bytes.length} bytes`)
    switch (mediaType) {
      case NODE_STATE: return plainFacts(parseJsonObject(bytes), bytes)
      case SYSTEMD_REPORT: case SYSTEMD_SEQUENCE: return readSystemdReport(mediaType, bytes).facts
      default: return refuse('loop.document', 'state.mediaType', `${NODE_STATE}, ${SYSTEMD_REPORT} or ${SYSTEMD_SEQUENCE}`, mediaType)
    }
  })
}

/** Are these facts among the values that are allowed? A fact that is not there satisfies nothing. Leaves with `loop.state`. */
export function checkFacts(facts: Facts, allowed: Readonly<Record<string, readonly string[]>> = {}): void {
  for (const [name, values] of Object.entries(allowed)) {
    const value = Object.hasOwn(facts, name) ? facts[name] : undefined
    if (value === undefined || !values.includes(value)) refuse('loop.state', `state.${name}`, values.join(' or '), value ?? 'no such fact')
  }
}

function plainFacts(json: JsonObject, bytes: Uint8Array): Facts {
  const entries = Object.entries(json)
  if (entries.length > LOOP_LIMITS.facts) refuse('bytes.too-large', 'state', `at most ${LOOP_LIMITS.facts} facts`, String(entries.length))
  for (const [name, value] of entries) {
    if (!isShort(value) || name.length > LOOP_LIMITS.textCharacters) refuse('loop.document', `state.${name.slice(0, 80)}`, `a text of at most ${LOOP_LIMITS.textCharacters} characters`, kindOf(value))
  }
  if (jcs(json) !== fromUtf8(bytes)) refuse('loop.document', 'state', 'the canonical form', 'another form')
  // Every value has just been found to be a text.
  return json as Facts
}

const isShort = (value: Json): boolean => typeof value === 'string' && value.length <= LOOP_LIMITS.textCharacters
