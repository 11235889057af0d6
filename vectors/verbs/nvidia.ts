/** How the vectors of the NVIDIA room run: an XML document read; synthetic devices under test roots, judged alone or together. */
import { fromHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { readXml } from '@cloister/core/bytes/xml'
import { checkSet } from '@cloister/core/evidence/nvidia/set'
import { verifyNvidia } from '@cloister/core/evidence/nvidia/verify'
import { attempt, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { DAY, deviceAnswers, driverRim, evidenceOf, NOW, testRoots } from '../../core/evidence/nvidia/nvidia.fixture.ts'

interface Device { opaque?: Record<string, string>; measurements?: Record<string, string>; rim?: { version?: string; golden?: Record<string, string[]> }; ocsp?: { days?: [number, number]; revoked?: number } }
interface Devices { devices: { number: string; nonce?: string }[] }

// Vector inputs are written for these verbs.
export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { text } */
  readXml: input => attempt(() => readXml(utf8((input as { text: string }).text))),
  /** { opaque: { type: hex }, measurements: { index: hex }, rim: { version, golden }, ocsp: { days, revoked } }: the device signs what is changed; manifest and answers are signed too. `days` is the answer's window from now, `revoked` a reason. */
  'nvidia.verify': input => attempt(() => {
    const { opaque = {}, measurements = {}, rim, ocsp } = input as Device
    const evidence = evidenceOf({
      opaque: fields => Object.entries(opaque).forEach(([type, hex]) => fields.set(Number(type), fromHex(hex))),
      measurements: values => Object.entries(measurements).forEach(([index, hex]) => { values[Number(index) - 1] = fromHex(hex) }),
    }, {
      ...(rim === undefined ? {} : { rims: [driverRim(rim)] }),
      ...(ocsp === undefined ? {} : { ocsp: deviceAnswers({}, { ...(ocsp.days === undefined ? {} : { window: [NOW + DAY * ocsp.days[0], NOW + DAY * ocsp.days[1]] }), ...(ocsp.revoked === undefined ? {} : { status: { revokedAt: NOW - DAY, reason: ocsp.revoked } }) }) }),
    })
    return verifyNvidia(p, evidence, { now: NOW }, testRoots())
  }),
  /** { devices: [{ number, nonce }] }: honest devices, judged together. */
  'nvidia.set': input => attempt(() => checkSet((input as Devices).devices.map(({ number, nonce }) => verifyNvidia(p, evidenceOf({ number, ...(nonce === undefined ? {} : { nonce: fromHex(nonce) }) }), { now: NOW }, testRoots())))),
}
