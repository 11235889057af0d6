/**
 * What Google writes into the certificates of its virtual TPMs: the instance, as a DER structure under
 * 1.3.6.1.4.1.11129.2.1.21. It is believable because the certificate is. Trusts nothing.
 */
import { booleanOf, children, contentOf, type Der, readDer, TAG, unsigned } from '../../bytes/der.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { refuse } from '../../refusal.ts'
import type { Certificate } from '../../crypto/x509.ts'

export const GCP_INSTANCE_OID = '1.3.6.1.4.1.11129.2.1.21'

/** Numbers are decimal text: they are 64 bits wide. */
export interface GcpInstance { readonly zone: string; readonly projectNumber: string; readonly projectId: string; readonly instanceId: string; readonly instanceName: string }

/** The instance a certificate names; undefined without the extension or when it does not say `is production`. Leaves with `der.*` or `evidence.parse`. */
export function gcpInstance(certificate: Certificate): GcpInstance | undefined {
  const extension = certificate.extensions.get(GCP_INSTANCE_OID)
  if (extension === undefined) return undefined
  const [zone, projectNumber, projectId, instanceId, instanceName, security, more] = children(readDer(extension.value, 'instance'))
  if (more !== undefined) return refuse('evidence.parse', 'instance', 'five fields and the security properties', 'more')
  const named = { zone: text(zone), projectNumber: decimal(projectNumber), projectId: text(projectId), instanceId: decimal(instanceId), instanceName: text(instanceName) }
  return security !== undefined && isProduction(security) ? named : undefined
}

/** [0] SEQUENCE { [0] securityVersion, [1] isProduction, … }: later tags are properties that this verifier does not know. */
function isProduction(security: Der): boolean {
  const [properties, more] = children(security, 0xa0)
  if (properties === undefined || more !== undefined) return refuse('evidence.parse', 'instance', 'one sequence of security properties', 'another number')
  const flag = children(properties).find(one => one.tag === 0xa1)
  const [value] = flag === undefined ? [] : children(flag, 0xa1)
  return value !== undefined && booleanOf(value)
}

const text = (element: Der | undefined) => fromUtf8(contentOf(element, TAG.utf8String, 'instance'), 'instance')
const decimal = (element: Der | undefined) => unsigned(element, 'instance').reduce((sum, byte) => sum * 256n + BigInt(byte), 0n).toString()
