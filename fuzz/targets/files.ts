/** Target of dropped files: what they are, and the evidence that they make, up to its shape. */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { jcs } from '@cloister/core/bytes/jcs'
import { utf8 } from '@cloister/core/bytes/text'
import { assemble, detect } from '@cloister/core/evidence/detect'
import { parseEvidence } from '@cloister/core/evidence/index'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { cpus } from '../../core/evidence/bundle/bundle.fixture.ts'
import { evidenceOf as tpmEvidence } from '../../core/evidence/tpm/evidence.fixture.ts'
import { INTEL, signed } from '../../core/evidence/result/result.fixture.ts'
import { changeBytes } from '../bytes.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { changeJson, changeText } from '../texts.ts'

const DATA = new Uint8Array(64).fill(5)
const evidence = [cpus.snp(DATA), cpus.tdx(DATA), cpus.sgx(DATA), cpus.nitro(DATA), cpus.cca(DATA), cpus.azure(DATA.slice(0, 32)), tpmEvidence()]
const binary = evidence.flatMap(one => Object.entries(one).flatMap(([key, value]) => (typeof value === 'string' && key !== 'kind' ? [fromBase64(value)] : [])))
const documents = [...evidence.map(one => jcs(one)), jcs(tpmEvidence().pcrs), '[["JWT","a.b.c"],{"GPU-0":"d.e.f"}]', '{"tcb_info":"{}"}']

function draw(choices: Draw): Uint8Array {
  if (choices.oneIn(2)) return changeBytes(choices, choices.pick(binary))
  return utf8(choices.oneIn(8) ? changeText(choices, signed(INTEL)) : changeJson(choices, choices.pick(documents)))
}

export const targets: readonly Target[] = [
  { name: 'files', draw, judge: input => orRefuse(parseEvidence(orRefuse(assemble(orRefuse(detect(p, { name: 'file', bytes: input })))))) },
]
