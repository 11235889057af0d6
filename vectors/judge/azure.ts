/**
 * Judges the cases of Azure confidential VMs: an HCL report alone is parsed; with a vTPM quote everything is bound. Cases
 * with a TD quote bring no collateral (the manifest says: "TDX collateral status: see the tdx cases"), so for them the
 * hardware is judged by the quote's signatures and its chain to Intel's root only, here and nowhere else; the verifier
 * itself (`verifyAzure`) never accepts a TD quote without collateral.
 */
import { fromBase64Url, toBase64 } from '@cloister/core/bytes/base64'
import { allZero, concat, equal } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import { parseJson } from '@cloister/core/bytes/json'
import { Reader } from '@cloister/core/bytes/reader'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { readPem } from '@cloister/core/crypto/pem'
import { parseCertificate, validateChain } from '@cloister/core/crypto/x509'
import { checkRuntimeClaims, readHclReport, type HclReport } from '@cloister/core/evidence/azure/hcl'
import { verifyAzure, type AzureEvidence, type HardwareClaims, type HardwareJudges } from '@cloister/core/evidence/azure/verify'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import { verifySnp } from '@cloister/core/evidence/snp/verify'
import { readAttest } from '@cloister/core/evidence/tpm/structures'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { differences, filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'
import { nameText, selected } from './tpm.ts'

export function judge(one: Case, read: Read): Judgement {
  const [report] = filesOf(one, 'hcl_report', read)
  const hcl = attempt(() => readHclReport(p, report ?? refuse('evidence.missing', 'hcl_report', 'an HCL report', 'none')))
  if (!hcl.ok) return judged('reject', [], hcl.refusal)
  const [yaml] = filesOf(one, 'evidence', read).map(bytes => fromUtf8(bytes)).filter(text => text.includes('tpm_attestation:'))
  const quoted = attempt(() => quoteParts(one, read, yaml))
  if (!quoted.ok) return judged('reject', [], quoted.refusal)
  const differs = differences(one.expect['fields'] ?? {}, fieldsOf(hcl.value, quoted.value, yaml), 'fields')
  if (quoted.value === undefined) {
    const bound = attempt(() => checkRuntimeClaims(p, hcl.value))
    return bound.ok ? judged('parse', differs) : judged('reject', differs, bound.refusal)
  }
  const evidence = evidenceOf(one, read, report ?? new Uint8Array(), quoted.value)
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const result = attempt(() => {
    sameHardware(one, read, hcl.value)
    return verifyAzure(p, evidence, { now }, JUDGES)
  })
  if (!result.ok) return judged('reject', differs, result.refusal)
  return judged(result.value.debug || result.value.migration ? 'reject' : 'accept', differs)
}

const JUDGES: HardwareJudges = {
  snp: (report, { certificates = [] }, options) => verifySnp(p, { kind: 'snp', report: toBase64(report), certificates }, options, amdRoots()),
  tdx: (quote, _evidence, options) => quoteWithoutCollateral(quote, options.now),
}

interface Quoted { readonly message: Uint8Array; readonly signature: Uint8Array; readonly pcrs: AzureEvidence['pcrs'] }

function quoteParts(one: Case, read: Read, yaml: string | undefined): Quoted | undefined {
  const [message] = filesOf(one, 'tpm_quote_message', read)
  const [signature] = filesOf(one, 'tpm_quote_signature', read)
  const [pcrs] = filesOf(one, 'pcrs', read)
  if (message !== undefined) return { message, signature: signature ?? new Uint8Array(), pcrs: pcrs === undefined ? {} : selected(message, parseJson(pcrs)) }
  return yaml === undefined ? undefined : yamlQuote(yaml)
}

/** The quote of an evidence file in YAML: numbers in brackets. */
function yamlQuote(yaml: string): Quoted {
  const numbers = (text: string | undefined) => new Uint8Array((text ?? '').split(',').map(one => one.trim()).filter(one => one !== '').map(Number))
  const message = numbers(/\n {4}message: \[([\d,\s]*)\]/.exec(yaml)?.[1])
  const signature = numbers(/\n {4}signature: \[([\d,\s]*)\]/.exec(yaml)?.[1])
  const values = [...(/\n {4}pcrs:\s*\n((?: {6}- \[[\d,\s]*\]\s*\n)+)/.exec(yaml)?.[1] ?? '').matchAll(/\[([\d,\s]*)\]/g)].map(match => toHex(numbers(match[1])))
  return { message, signature, pcrs: selected(message, values) }
}

function evidenceOf(one: Case, read: Read, report: Uint8Array, quoted: Quoted): AzureEvidence {
  const certificates = [...filesOf(one, 'vek', read), ...(one.chain ?? []).map(read)].map(toBase64)
  const [quote] = filesOf(one, 'td_quote', read)
  return {
    kind: 'azure', hclReport: toBase64(report), message: toBase64(quoted.message), signature: toBase64(quoted.signature), pcrs: quoted.pcrs,
    ...(certificates.length === 0 ? {} : { certificates }), ...(quote === undefined ? {} : { tdQuote: toBase64(quote) }),
  }
}

/** A report that lies beside the HCL report is the one inside it. */
function sameHardware(one: Case, read: Read, hcl: HclReport): void {
  for (const report of filesOf(one, 'snp_report', read)) if (!equal(report, hcl.hardware)) refuse('evidence.binding', 'snp_report', 'the report inside the HCL report', 'another')
}

function fieldsOf(hcl: HclReport, quoted: Quoted | undefined, yaml: string | undefined): Record<string, unknown> {
  const { keyNames, vmConfiguration, userData } = hcl.claims
  const type = hcl.type.toUpperCase()
  const common = { report_type: type, type, keys: keyNames, vm_configuration: vmConfiguration, user_data: userData === '' ? null : userData }
  const attest = quoted === undefined ? undefined : attempt(() => readAttest(quoted.message))
  const quote = attest?.ok !== true ? {} : { nonce: toHex(attest.value.extraData), pcrs: quoted?.pcrs['sha256'] }
  return { ...common, ...quote, ...(yaml === undefined ? {} : yamlFields(yaml)) }
}

/** What an evidence file says of itself: the parts of its TPM attestation, and whose the certificate is that came with it. */
function yamlFields(yaml: string): Record<string, unknown> {
  const section = /\ntpm_attestation:\n([\s\S]*)$/.exec(yaml)?.[1] ?? ''
  const keys = [...section.matchAll(/^ {2}([a-z_]+):/gm)].map(match => match[1])
  const body = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/.exec(section)?.[1]?.replace(/\s|=/g, '') ?? ''
  // The certificate stands in an NV index that is larger than it; DER knows its own length.
  const padded = fromBase64Url(body.replace(/\+/g, '-').replace(/\//g, '_'))
  const length = 4 + (((padded[2] ?? 0) << 8) | (padded[3] ?? 0))
  const certificate = orRefuse(parseCertificate(padded.subarray(0, length)))
  return { keys, ak_subject: nameText(certificate.subject), ak_issuer: nameText(certificate.issuer) }
}

const INTEL_ROOT = '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3' // SHA-256 of the DER of Intel's SGX root

/**
 * What a TD quote of version 4 or 5 says when its signatures, the binding of its attestation key and the PCK chain hold
 * (evidence.md section B). No TCB status: that takes collateral, which these cases do not have.
 */
function quoteWithoutCollateral(quote: Uint8Array, now: number): HardwareClaims {
  const reader = new Reader(quote, 'quote@')
  const header = reader.take(48)
  const version = header[0]
  if ((version !== 4 && version !== 5) || header[4] !== 0x81) refuse('evidence.version', 'quote', 'a TD quote of version 4 or 5', `version ${version}`)
  const described = version === 5 ? reader.take(6) : new Uint8Array([2, 0, 0x48, 2, 0, 0]) // kind and size of the body
  const size = { 2: 584, 3: 648 }[described[0] ?? 0] ?? refuse('evidence.version', 'quote.body', 'a TD of 1.0 or 1.5', String(described[0]))
  if (size !== (described[2] ?? 0) + 256 * (described[3] ?? 0)) refuse('evidence.parse', 'quote.body', `${size} bytes`, 'another size')
  const body = reader.take(size)
  const signed = new Reader(reader.take(reader.u32le()), 'quote.signature@')
  const [signature, key, type] = [signed.take(64), signed.take(64), signed.u16le()]
  const inner = new Reader(signed.take(signed.u32le()), 'quote.qe@')
  signed.end()
  if (!allZero(reader.rest())) refuse('bytes.trailing', 'quote', 'zeros to the end of the buffer', 'other bytes')
  const [qeReport, qeSignature] = [inner.take(384), inner.take(64)]
  const auth = inner.take(inner.u16le())
  const pemType = inner.u16le()
  const pem = inner.take(inner.u32le())
  inner.end()
  if (type !== 6 || pemType !== 5) refuse('evidence.parse', 'quote', 'a QE report and a PCK chain', `types ${type} and ${pemType}`)
  const [pck, ...others] = readPem(fromUtf8(pem).replace(/\0$/, ''), 'CERTIFICATE').map(der => orRefuse(parseCertificate(der)))
  const roots = others.filter(one => toHex(p.hash('sha256', one.der)) === INTEL_ROOT)
  const chain = orRefuse(validateChain(p, { leaf: pck ?? refuse('evidence.missing', 'quote', 'a PCK certificate', 'none'), intermediates: others, roots, at: now }))
  const held = p.verify('ecdsa-p256-sha256', { kind: 'p256', raw: concat(new Uint8Array([4]), key) }, concat(header, ...(version === 5 ? [described] : []), body), signature)
    && p.verify('ecdsa-p256-sha256', chain.path[0]?.publicKey ?? refuse('evidence.chain', 'quote', 'a PCK', 'none'), qeReport, qeSignature)
    && equal(qeReport.subarray(320, 384), concat(p.hash('sha256', concat(key, auth)), new Uint8Array(32)))
  if (!held) refuse('evidence.signature', 'quote', 'signatures of quote and QE that hold', 'others')
  const hex = (from: number, length: number) => toHex(body.subarray(from, from + length))
  return {
    simulated: false, product: 'TDX', measurement: hex(136, 48), registers: Object.fromEntries([0, 1, 2, 3].map(n => [`RTMR${n}`, hex(328 + 48 * n, 48)])),
    reportData: hex(520, 64), hostData: hex(184, 48), debug: body[120] !== 0, migration: false, chipId: '', validity: { notBefore: chain.notBefore, notAfter: chain.notAfter },
    endorsements: chain.path.map(one => `sha256:${toHex(p.hash('sha256', one.der))}`), revocation: false,
  }
}
