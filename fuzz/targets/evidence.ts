/** Targets among evidence of AMD SEV-SNP, under roots of its own. */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import type { JsonObject } from '@cloister/core/bytes/json'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseEvidence } from '@cloister/core/evidence/index'
import { parseReport } from '@cloister/core/evidence/snp/report'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { arkList, judgeParts, NOW, snpInput } from '../../core/evidence/snp/snp.fixture.ts'
import { changeBytes } from '../bytes.ts'
import { evidenceTargets } from '../signed.ts'
import type { Target } from '../target.ts'

const milan = snpInput({ product: 'Milan' })
const snp = (['Milan', 'Genoa', 'Turin'] as const).map(product => {
  const { report, certificates } = snpInput({ product })
  return { kind: 'snp', report: toBase64(report), certificates: certificates.map(toBase64), crls: [toBase64(arkList(product))] }
})

function judge(port: Primitives, json: JsonObject): unknown {
  const evidence = orRefuse(parseEvidence(json))
  if (evidence.kind !== 'snp' && evidence.kind !== 'simulated') return refuse('evidence.kind', 'kind', 'snp', evidence.kind)
  return judgeParts(port, { report: fromBase64(evidence.report), certificates: evidence.certificates.map(one => fromBase64(one)), crls: (evidence.crls ?? []).map(one => fromBase64(one)), roots: milan.roots, now: NOW, requireCrl: true })
}

export const targets: readonly Target[] = [
  { name: 'snp-report', draw: draw => changeBytes(draw, milan.report), judge: input => parseReport(input) },
  ...evidenceTargets({ name: 'snp', valid: snp, judge }),
]
