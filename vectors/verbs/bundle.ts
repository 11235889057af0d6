/** How the vectors of machines in several parts run: an honest bundle whose parts are then rearranged, and documents of other systems. */
import type { Json } from '@cloister/core/bytes/json'
import { verifyBundle, type Part } from '@cloister/core/evidence/bundle/bundle'
import { readForeign, verifyForeign } from '@cloister/core/evidence/foreign/foreign'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { bundleOf, CHALLENGE, devicesOf, DEVICES, judgeWith, OPTIONS, type Device } from '../../core/evidence/bundle/bundle.fixture.ts'
import { FABRIC, kbsRequest } from '../../core/evidence/foreign/foreign.fixture.ts'

interface Rearranged { devices?: Device[]; parts?: number[]; made?: string; asked?: string; signedAgain?: boolean }

// Vector inputs are written for these verbs.
export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /**
   * { devices: [{ role, number }], made, parts, signedAgain, asked }: these devices (two GPUs, a switch, a vTPM where none are
   * named) and a CPU made for the challenge `made`; of them the parts at these places, 0 the CPU; with `signedAgain` a CPU that
   * signs over what is left; judged as asked with `asked`.
   */
  'bundle.verify': input => attempt(() => {
    const { devices = DEVICES, made = CHALLENGE, asked = made, parts, signedAgain = false } = input as Rearranged
    const honest = bundleOf(devicesOf(made, devices), made)
    const kept: readonly Part[] = parts === undefined ? honest.parts : parts.flatMap(i => honest.parts[i] ?? [])
    const bundle = signedAgain ? bundleOf(kept.slice(1), made) : { ...honest, parts: kept }
    return verifyBundle(p, { ...bundle, challenge: asked }, OPTIONS, judgeWith(p))
  }),
  /** A document of another system, read. */
  'foreign.read': input => readForeign(p, input as Json),
  /** { dropped }: a guest's request to a key broker with two GPUs and their switch, of which this one is left out. */
  'foreign.kbs': input => attempt(() => {
    const request = kbsRequest({ devices: FABRIC })
    const inner = JSON.parse(request['tee-evidence'].additional_evidence) as { nvidia: { device_evidence_list: Json[] } }
    inner.nvidia.device_evidence_list.splice((input as { dropped: number }).dropped, 1)
    const less = { ...request, 'tee-evidence': { ...request['tee-evidence'], additional_evidence: JSON.stringify(inner) } }
    return orRefuse(verifyForeign(p, orRefuse(readForeign(p, less)), OPTIONS, judgeWith(p)))
  }),
}
