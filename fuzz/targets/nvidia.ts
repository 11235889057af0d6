/** Targets among evidence of NVIDIA devices, under roots of its own. */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { canonicalXml, readXml } from '@cloister/core/bytes/xml'
import { parseOcsp } from '@cloister/core/crypto/ocsp'
import { orRefuse } from '@cloister/core/refusal'
import { parseNvidiaReport } from '@cloister/core/evidence/nvidia/spdm'
import { readNvidia, verifyNvidia } from '@cloister/core/evidence/nvidia/verify'
import { verifyRim } from '@cloister/core/evidence/nvidia/rim'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { deviceAnswers, driverRim, evidenceOf, NOW, rimAnswers, rimXml, testRoots, vbiosRim } from '../../core/evidence/nvidia/nvidia.fixture.ts'
import { evidenceTargets, unordered } from '../signed.ts'
import type { Target } from '../target.ts'
import { change } from '../texts.ts'

const rim = rimXml()
/** The certificates of the signature stand outside of what it signs: they are judged as a chain. */
const KEY_INFO = new RegExp(['<ds:KeyInfo', '</ds:KeyInfo>'].map(text => toHex(utf8(text))).join('.*'))
const report = fromBase64(evidenceOf().report)
const answers = deviceAnswers().map(one => fromBase64(one))
const complete = evidenceOf({}, { rims: [driverRim(), vbiosRim()], ocsp: [...deviceAnswers(), ...rimAnswers()] })

export const targets: readonly Target[] = [
  { name: 'nvidia-rim', slow: true, draw: draw => (draw.oneIn(40) ? rim : change(draw, rim)), judge: input => verifyRim(p, input, { now: NOW, root: testRoots().rim }), signed: { valid: [rim], same: input => toHex(canonicalXml(readXml(input))).replace(KEY_INFO, '') } },
  { name: 'nvidia-report', draw: draw => (draw.oneIn(40) ? report : change(draw, report)), judge: input => parseNvidiaReport(input) },
  { name: 'ocsp', draw: draw => { const one = draw.pick(answers); return draw.oneIn(40) ? one : change(draw, one) }, judge: input => orRefuse(parseOcsp(input)) },
  // Manifests and answers may be left out, and then the claims say that they were not there.
  ...evidenceTargets({ name: 'nvidia', valid: [complete], judge: (port, json) => verifyNvidia(port, readNvidia(json), { now: NOW }, testRoots()), same: json => unordered(json, ['rims', 'ocsp']) }),
]
