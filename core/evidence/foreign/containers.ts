/**
 * Confidential containers on Azure (ACI, AKS): the JSON that CCF and Azure's samples pass around (report, certificate chain,
 * Microsoft's endorsement of the utility VM), and the request to Azure's attestation service. HOST_DATA is the SHA-256 of
 * the container policy, REPORT_DATA that of the runtime data: both are checked where the document has what was hashed.
 * Trusts the port.
 */
import { fromBase64, toBase64 } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { kindOf, parseJsonObject, shown, type JsonObject } from '../../bytes/json.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { INNER } from './coco.ts'
import { has, object, only, text, urlBytes, type Binding, type Draft } from './form.ts'

/** `{ evidence, endorsements, uvm_endorsements?, endorsed_tcb?, security_policy? }`, binary parts in base64. Undefined for other JSON. */
export function readContainers(p: Primitives, json: JsonObject): Draft | undefined {
  if (has(json, 'report', 'runtimeData')) return attestRequest(p, json)
  if (!has(json, 'evidence', 'endorsements')) return undefined
  only(json, ['source', 'evidence', 'endorsements', 'uvm_endorsements', 'endorsed_tcb', 'security_policy'], 'document')
  const policy = has(json, 'security_policy') ? [hostData(p, fromBase64(text(json, 'security_policy', 'document'), 'security_policy'))] : []
  const certificates = pemChain(endorsementsText(fromBase64(text(json, 'endorsements', 'document'), 'endorsements')), 'endorsements')
  const beside = [...(has(json, 'endorsed_tcb') ? ['endorsed_tcb: only said'] : []), ...(policy.length === 0 ? ['policy: host data is its digest, and it is not in the document'] : [])]
  return { form: 'azure-containers', evidence: { kind: 'snp', report: text(json, 'evidence', 'document'), certificates }, ...(has(json, 'uvm_endorsements') ? { uvm: fromBase64(text(json, 'uvm_endorsements', 'document'), 'uvm_endorsements') } : {}), bindings: policy, unbound: beside }
}

const hostData = (p: Primitives, policy: Uint8Array): Binding => ({ claim: 'hostData', expected: toHex(p.hash('sha256', policy)), of: 'the SHA-256 of the container policy' })

/** A PEM chain, or the host's THIM certificates in JSON with both halves of one. */
function endorsementsText(bytes: Uint8Array): string {
  const plain = fromUtf8(bytes, 'endorsements')
  if (!plain.trimStart().startsWith('{')) return plain
  const thim = only(parseJsonObject(bytes, INNER), ['vcekCert', 'tcbm', 'certificateChain', 'cacheControl'], 'endorsements')
  return text(thim, 'vcekCert', 'endorsements') + text(thim, 'certificateChain', 'endorsements')
}

function pemChain(pem: string, at: string): string[] {
  const certificates = readPem(pem, 'CERTIFICATE').map(toBase64)
  return certificates.length === 0 ? refuse('evidence.missing', at, 'the VCEK and its chain', 'none') : certificates
}

/** The body of `POST /attest/SevSnpVm`: report and chain inside JSON inside base64url, with the data that was hashed beside it. */
function attestRequest(p: Primitives, json: JsonObject): Draft {
  only(json, ['report', 'runtimeData', 'initTimeData', 'nonce'], 'request')
  const inner = only(parseJsonObject(urlBytes(text(json, 'report', 'request'), 'report'), INNER), ['SnpReport', 'VcekCertChain', 'Endorsements'], 'report')
  const url = (key: string) => urlBytes(text(inner, key, 'report'), `report.${key}`)
  const runtime = concat(p.hash('sha256', dataOf(json, 'runtimeData')), new Uint8Array(32))
  return {
    form: 'azure-attest-request', evidence: { kind: 'snp', report: toBase64(url('SnpReport')), certificates: pemChain(fromUtf8(url('VcekCertChain'), 'report.VcekCertChain'), 'report.VcekCertChain') },
    bindings: [{ claim: 'reportData', expected: toHex(runtime), of: 'the SHA-256 of the runtime data' }, ...(has(json, 'initTimeData') ? [hostData(p, dataOf(json, 'initTimeData'))] : [])],
    ...endorsementOf(inner),
    unbound: [...(has(json, 'nonce') ? ['nonce: only said beside the report'] : []), ...(has(json, 'initTimeData') ? [] : ['policy: host data is its digest, and it is not in the document'])],
  }
}

/** `{ Uvm: [base64url] }` in base64url, one endorsement. */
function endorsementOf(inner: JsonObject): { uvm?: Uint8Array } {
  if (!has(inner, 'Endorsements')) return {}
  const { Uvm: list } = only(parseJsonObject(urlBytes(text(inner, 'Endorsements', 'report'), 'report.Endorsements'), INNER), ['Uvm'], 'report.Endorsements')
  const [one, more] = Array.isArray(list) ? list : []
  return typeof one === 'string' && more === undefined ? { uvm: urlBytes(one, 'report.Endorsements.Uvm') } : refuse('evidence.parse', 'report.Endorsements.Uvm', 'one endorsement', kindOf(list))
}

function dataOf(json: JsonObject, key: string): Uint8Array {
  const given = object(json, key, ['data', 'dataType'], 'request')
  if (given['dataType'] !== 'JSON' && given['dataType'] !== 'Binary') refuse('evidence.parse', `${key}.dataType`, 'JSON or Binary', shown(given['dataType']))
  return urlBytes(text(given, 'data', key), `${key}.data`)
}
