/** The door for evidence of every kind: whatever shape comes, it is read or refused, before any signature is looked at. */
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJson, parseJsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { parseEvidence } from '@cloister/core/evidence/index'
import { attempt, orRefuse } from '@cloister/core/refusal'
import type { Target } from '../target.ts'
import { changeJson } from '../texts.ts'
import { targets as bundle } from './bundle.ts'
import { targets as dcap } from './dcap.ts'
import { targets as evidence } from './evidence.ts'
import { targets as machines } from './machines.ts'
import { targets as nvidia } from './nvidia.ts'
import { targets as results } from './results.ts'

const LIMITS = { bytes: 8 << 20, depth: 32, entries: 200_000, string: 1 << 20 }
/** What the judges' targets accept, where it is evidence of ours. */
const valid = [...bundle, ...dcap, ...evidence, ...machines, ...nvidia, ...results].flatMap(one => one.signed?.valid ?? [])
  .flatMap(input => { const json = attempt(() => parseJsonObject(input, LIMITS)); return json.ok && parseEvidence(json.value).ok ? [jcs(json.value)] : [] })
const again = (json: unknown) => orRefuse(parseEvidence(json))

export const targets: readonly Target[] = [
  { name: 'evidence', draw: draw => utf8(draw.oneIn(40) ? draw.pick(valid) : changeJson(draw, draw.pick(valid))), judge: input => again(parseJson(input, LIMITS)), again: (_, value) => (jcs(again(value)) === jcs(value as ReturnType<typeof again>) ? undefined : 'read otherwise a second time') }, // what judge gave
]
