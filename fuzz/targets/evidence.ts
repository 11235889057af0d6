/**
 * Targets among evidence: each kind twice. The judge as it is accepts nothing that was changed after it was signed. The
 * same judge with a port that believes every signature is reached by every change in its depths: there only refusals may
 * leave, in time.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { jcs } from '@cloister/core/bytes/jcs'
import { kindOf, parseJsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseEvidence } from '@cloister/core/evidence/index'
import { parseReport } from '@cloister/core/evidence/snp/report'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { arkList, judgeParts, NOW, snpInput } from '../../core/evidence/snp/snp.fixture.ts'
import { changeBytes } from '../bytes.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { changeJson } from '../texts.ts'

/** Hashes and all else as they are; every signature holds. */
export const believing: Primitives = { ...p, name: 'believing', verify: () => true }

const milan = snpInput({ product: 'Milan' })
const list = arkList('Milan')
const snp = { kind: 'snp', report: toBase64(milan.report), certificates: milan.certificates.map(toBase64), crls: [toBase64(list)] }

const judgeSnp = (port: Primitives) => (input: Uint8Array) => {
  const json = parseJsonObject(input)
  if (typeof json['kind'] !== 'string') refuse('evidence.kind', 'kind', 'a text', kindOf(json['kind']))
  const evidence = orRefuse(parseEvidence(json))
  return judgeParts(port, { report: fromBase64(evidence.report), certificates: evidence.certificates.map(one => fromBase64(one)), crls: (evidence.crls ?? []).map(one => fromBase64(one)), roots: milan.roots, now: NOW, requireCrl: true })
}
/** An object that says nothing different: keys in any order; after the first certificate, certificates and lists in any order and any of them twice. */
const same = (input: Uint8Array) => jcs(Object.fromEntries(Object.entries(parseJsonObject(input)).map(([key, value]) => [key, ['certificates', 'crls'].includes(key) && Array.isArray(value) ? [...(key === 'crls' ? [] : value.slice(0, 1)), ...[...new Set(value.map(one => jcs(one)))].sort()] : value])))

/** Both targets of a kind from its valid evidence. */
function both(name: string, valid: readonly object[], judgeWith: (port: Primitives) => (input: Uint8Array) => unknown): Target[] {
  const texts = valid.map(one => jcs(one))
  const draw = (choices: Draw) => utf8(choices.oneIn(60) ? choices.pick(texts) : changeJson(choices, choices.pick(texts)))
  return [
    { name, slow: true, draw, judge: judgeWith(p), signed: { valid: texts.map(utf8), same } },
    { name: `${name}-believed`, slow: true, draw, judge: judgeWith(believing) },
  ]
}

export const targets: readonly Target[] = [
  { name: 'snp-report', draw: draw => changeBytes(draw, milan.report), judge: input => parseReport(input) },
  ...both('snp', [snp], judgeSnp),
]
