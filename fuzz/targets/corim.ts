/** Target of CoRIM: modules, manifests and signed manifests, changed inside first, so that the outer layers are passed. */
import { writeCbor, type Writable } from '@cloister/core/bytes/cbor'
import { checkedCorim, verifyCorim } from '@cloister/core/appraisal/corim/index'
import { PROFILE } from '@cloister/core/appraisal/corim/profiles'
import { attestKeys, corimValues } from '@cloister/core/appraisal/corim/values'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { comid, corimBytes, DEVICE, digest, environment, fill, IMPLEMENTATION, m, measurement, signedCorim, SIGNER, t } from '../../core/appraisal/corim/corim.fixture.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { changeCbor } from '../trees.ts'

const env = environment()
const psa = measurement('psa.software-component', { 0: m({ 0: '1' }), 1: t(553, 4), 2: [digest()], 13: [t(560, fill(32))] })
const rich = measurement(641, { 2: [digest(48, 7)], 3: m({ 3: false }), 4: t(563, [fill(4), fill(4)]), 6: fill(6), 7: fill(4), 14: m({ 0: [digest()] }), 15: t(564, [1, null]) })
const modules: readonly Writable[] = [
  comid({ 0: [[env, [psa]]], 3: [[environment(IMPLEMENTATION, { 1: DEVICE }), [t(554, 'key')]]] }), comid({ 0: [[environment(t(111, new Uint8Array([42, 3])), { 1: t(560, fill(64)) }), [rich]]] }),
  comid({ 4: [[env, [env]]], 6: [[env, ['tag']]], 8: [[[env, [], [t(554, 'k')]], [[[psa], [psa]]]]], 10: [[[[env, [psa]]], [[env, [psa]]]]] }),
]

function draw(choices: Draw): Uint8Array {
  const module = writeCbor(choices.pick(modules))
  const tag = t(choices.oneIn(12) ? choices.pick([505, 508, 18]) : 506, choices.oneIn(5) ? module : changeCbor(choices, module))
  const manifest = corimBytes([tag], choices.pick(Object.values(PROFILE)))
  const changed = choices.oneIn(4) ? changeCbor(choices, manifest) : manifest
  return choices.oneIn(6) ? signedCorim(changed) : changed
}

export const targets: readonly Target[] = [
  {
    name: 'corim', draw, judge: input => {
      const document = orRefuse(checkedCorim(input))
      return document.kind === 'corim' ? [corimValues(document), attestKeys(document)] : document.kind === 'signed-corim' ? verifyCorim(p, input, [{ key: SIGNER.key }], 1500) : document
    },
  },
]
