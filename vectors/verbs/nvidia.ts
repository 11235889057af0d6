/** How the vectors of the NVIDIA room run: an XML document read; a synthetic device under test roots, judged. */
import { fromHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { readXml } from '@cloister/core/bytes/xml'
import { verifyNvidia } from '@cloister/core/evidence/nvidia/verify'
import { attempt, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { driverRim, evidenceOf, NOW, testRoots } from '../../core/evidence/nvidia/nvidia.fixture.ts'

interface Device { opaque?: Record<string, string>; measurements?: Record<string, string>; rim?: { version?: string; golden?: Record<string, string[]> } }

// Vector inputs are written for these verbs.
export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { text } */
  readXml: input => attempt(() => readXml(utf8((input as { text: string }).text))),
  /** { opaque: { type: hex }, measurements: { index: hex }, rim: { version, golden } }: the device signs what is changed; the manifest is signed too. */
  'nvidia.verify': input => attempt(() => {
    const { opaque = {}, measurements = {}, rim } = input as Device
    const evidence = evidenceOf({
      opaque: fields => Object.entries(opaque).forEach(([type, hex]) => fields.set(Number(type), fromHex(hex))),
      measurements: values => Object.entries(measurements).forEach(([index, hex]) => { values[Number(index) - 1] = fromHex(hex) }),
    }, rim === undefined ? {} : { rims: [driverRim(rim)] })
    return verifyNvidia(p, evidence, { now: NOW }, testRoots())
  }),
}
