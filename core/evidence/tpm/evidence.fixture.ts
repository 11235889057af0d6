/** Complete TPM evidence for tests: a root, an authority and an attestation key of our own, and a quote with its log. */
import { toBase64 } from '../../bytes/base64.ts'
import { authority, certificateDer, LEAF_EXTENSIONS, type Authority } from '../../crypto/chain.fixture.ts'
import type { CertificatePlan } from '../../crypto/issue.ts'
import { portable as p } from '../../crypto/portable.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { orRefuse } from '../../refusal.ts'
import type { TpmRoot } from './roots.ts'
import { AK, areaOf, attestOf, machineOf, type AttestPlan, type TestKey } from './tpm.fixture.ts'
import type { TpmEvidence } from './verify.ts'

export const ROOT_AUTHORITY: Authority = authority('TPM test root')
export const CA_AUTHORITY: Authority = authority('TPM test CA')
export const AK_CERTIFICATE_DER = (change: Partial<CertificatePlan> = {}): Uint8Array => certificateDer({ ...authority('test AK'), key: AK.key }, CA_AUTHORITY, { extensions: LEAF_EXTENSIONS, ...change })
export const CA_DER = certificateDer(CA_AUTHORITY, ROOT_AUTHORITY)
const OTHER_AUTHORITY = authority('another root')
/** Two roots, of which the second vouches. */
export const TEST_ROOTS: readonly TpmRoot[] = [{ product: 'another vTPM', simulated: false, certificate: orRefuse(parseCertificate(certificateDer(OTHER_AUTHORITY, OTHER_AUTHORITY))) }, { product: 'test vTPM', simulated: true, certificate: orRefuse(parseCertificate(certificateDer(ROOT_AUTHORITY, ROOT_AUTHORITY))) }]

/** Good evidence, with its log; `named` hands in the key's Name instead of certificates. */
export function evidenceOf(change: Partial<TpmEvidence> = {}, ak: TestKey = AK, attest: Partial<AttestPlan> = {}): TpmEvidence {
  const machine = machineOf()
  const message = attestOf({ selections: machine.selections, digest: p.hash(ak.hash === 12 ? 'sha384' : 'sha256', machine.concatenated), ...attest })
  return { kind: 'tpm', message: toBase64(message), signature: toBase64(ak.sign(message)), ak: toBase64(areaOf(ak)), pcrs: machine.pcrs, eventLog: toBase64(machine.log), ...change }
}
