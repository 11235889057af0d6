/** Claim sets as each verifier writes them, small and made up, for tests: one machine in which everything is right. */
import type { Json, JsonObject } from '../../bytes/json.ts'
import { NOW } from '../../crypto/chain.fixture.ts'
import { token, tokenSigner } from '../../crypto/jws.fixture.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable } from '../../crypto/portable.ts'
import type { Form, Verifier } from './token.ts'

export { NOW }
export const SIGNER = tokenSigner('ES256')
export const TIMES = { iat: NOW - 10, nbf: NOW - 10, exp: NOW + 300 }
export const NONCE = 'ab'.repeat(32)

export const MAA_SNP = {
  ...TIMES, iss: 'https://maa.example', 'x-ms-attestation-type': 'azurevm', 'x-ms-azurevm-debuggersdisabled': true, 'x-ms-azurevm-kerneldebug-enabled': false, 'x-ms-runtime': { 'client-payload': { nonce: 'q83v' } },
  'x-ms-isolation-tee': {
    'x-ms-attestation-type': 'sevsnpvm', 'x-ms-sevsnpvm-is-debuggable': false, 'x-ms-sevsnpvm-migration-allowed': false, 'x-ms-sevsnpvm-launchmeasurement': '11'.repeat(48), 'x-ms-sevsnpvm-reportdata': '22'.repeat(64),
    'x-ms-sevsnpvm-hostdata': '33'.repeat(32),
  },
} satisfies JsonObject
export const DOMAIN = {
  tdx_mrtd: '11'.repeat(48), tdx_rtmr0: 'a0'.repeat(48), tdx_rtmr1: 'a1'.repeat(48), tdx_rtmr2: 'a2'.repeat(48), tdx_rtmr3: 'a3'.repeat(48), tdx_report_data: '22'.repeat(64), tdx_mrconfigid: '33'.repeat(48), tdx_td_attributes: '0000001000000000',
  attester_tcb_status: 'UpToDate', attester_advisory_ids: ['INTEL-SA-00001'],
} satisfies JsonObject
export const MAA_TDX = { ...TIMES, iss: 'https://maa.example', 'x-ms-attestation-type': 'tdxvm', ...DOMAIN } satisfies JsonObject
export const MAA_SGX = { ...TIMES, iss: 'https://maa.example', 'x-ms-attestation-type': 'sgx', 'x-ms-sgx-is-debuggable': false, 'x-ms-sgx-mrenclave': '11'.repeat(32), nonce: 'q83v' } satisfies JsonObject
export const SPACE = {
  ...TIMES, iss: 'https://space.example', aud: 'us', eat_nonce: NONCE, secboot: true, hwmodel: 'GCP_INTEL_TDX', swname: 'CONFIDENTIAL_SPACE', dbgstat: 'disabled-since-boot', tdx: { gcp_attester_tcb_status: 'UpToDate' },
  submods: { container: { image_digest: `sha256:${'11'.repeat(32)}`, image_id: `sha256:${'44'.repeat(32)}` } },
} satisfies JsonObject
export const INTEL = { ...TIMES, iss: 'https://ita.example', tdx: { ...DOMAIN, attester_type: 'TDX', tdx_is_debuggable: false, dbgstat: 'disabled' } } satisfies JsonObject
export const INTEL_SGX = { ...TIMES, iss: 'https://ita.example', sgx: { attester_type: 'SGX', attester_tcb_status: 'OutOfDate', sgx_mrenclave: '11'.repeat(32), sgx_report_data: '22'.repeat(64), sgx_is_debuggable: false } } satisfies JsonObject
export const CPU = { 'ear.status': 'affirming', 'ear.trustworthiness-vector': { configuration: 2, executables: 3, hardware: 2 }, 'ear.appraisal-policy-id': 'default' } satisfies JsonObject
export const EAR = {
  ...TIMES, eat_profile: 'tag:ietf.org,2026:rats/ear#04', 'ear.verifier-id': { developer: 'https://verifier.example', build: '1' }, eat_nonce: 'q83v',
  submods: { cpu0: { ...CPU, 'ear.veraison.annotated-evidence': { tdx: { quote: { body: { mr_td: '11'.repeat(48), rtmr_0: 'a0'.repeat(48) } } }, report_data: '22'.repeat(64), init_data: '33'.repeat(48) } } },
} satisfies JsonObject
export const GPU = {
  ...TIMES, iss: 'https://nras.example', eat_nonce: NONCE, hwmodel: 'GH100 A01 GSP BROM', ueid: '7', dbgstat: 'disabled', secboot: true, measres: 'success', 'x-nvidia-gpu-driver-version': '580.1', 'x-nvidia-gpu-vbios-version': '96.0',
  ...Object.fromEntries(['attestation-report-nonce-match', 'attestation-report-signature-verified', 'attestation-report-cert-chain-fwid-match', 'driver-rim-signature-verified', 'vbios-rim-signature-verified', 'arch-check'].map(key => [`x-nvidia-gpu-${key}`, true])),
} satisfies JsonObject

const ISSUERS: Readonly<Record<Form, string | undefined>> = { ear: undefined, maa: 'https://maa.example', 'confidential-space': 'https://space.example', ita: 'https://ita.example', nras: 'https://nras.example' }
/** A verifier of each form, by name, whose key is `SIGNER`. */
export const verifierOf = (form: Form, change: Partial<Verifier> = {}): Verifier => {
  const issuer = ISSUERS[form]
  return { name: form, form, ...(issuer === undefined ? {} : { issuer }), keys: [{ key: SIGNER.key }], ...(form === 'confidential-space' ? { audience: 'us' } : {}), ...change }
}
export const signed = (claims: Json, header: Readonly<Record<string, Json>> = {}, signer = SIGNER): string => token(claims, signer, header)

/** NVIDIA's whole over these tokens of devices. */
export function nrasOf(devices: Readonly<Record<string, string>>, change: JsonObject = {}): string {
  const digest = (text: string) => toHex(portable.hash('sha256', utf8(text)))
  return signed({ ...TIMES, iss: 'https://nras.example', eat_nonce: NONCE, 'x-nvidia-overall-att-result': true, submods: Object.fromEntries(Object.entries(devices).map(([name, text]) => [name, ['DIGEST', ['SHA-256', digest(text)]]])), ...change })
}
