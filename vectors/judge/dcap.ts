/**
 * Judges the TDX and SGX cases of a manifest. Strict: up to date in every part, no debug, no migration. Collateral that
 * chains to another root than Intel's is refused whatever else it says. Trusts the root that core pins.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { parseJsonObject } from '@cloister/core/bytes/json'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { parseCertificate } from '@cloister/core/crypto/x509'
import { readPck } from '@cloister/core/evidence/dcap/pck'
import { readDcap, verifyDcap, type DcapFacts } from '@cloister/core/evidence/dcap/verify'
import { parseQuote, type DomainReport, type EnclaveReport, type Quote } from '@cloister/core/evidence/dcap/quote'
import type { ClaimsOf } from '@cloister/core/evidence/claims'
import { attempt, orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { differences, filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'

export function judge(one: Case, read: Read): Judgement {
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const [bytes = new Uint8Array()] = filesOf(one, 'quote', read)
  const kind = one.tee === 'sgx' ? 'sgx' : 'tdx'
  const result = attempt(() => verifyDcap(p, readDcap({ kind, quote: toBase64(bytes), ...collateralOf(one, read) }, kind), { now }))
  const quote = attempt(() => parseQuote(bytes))
  const differs = quote.ok ? differences(one.expect['fields'] ?? {}, fieldsOf(quote.value), 'fields') : []
  if (!result.ok) {
    const status = result.refusal.code === 'evidence.tcb-unknown' && one.expect['tcb_status'] !== undefined ? differences(one.expect['tcb_status'], 'TCB_LEVEL_NOT_SUPPORTED', 'tcb_status') : []
    return judged('reject', [...differs, ...status], result.refusal)
  }
  const { value } = result
  const strict = value.facts.status === 'UpToDate' && !value.debug && !value.migration
  return judged(strict ? 'accept' : 'reject', [...differs, ...statusDiffers(one, value)])
}

/** One document, or its parts in files of their own. */
function collateralOf(one: Case, read: Read): { collateral?: Record<string, string> | ReturnType<typeof parseJsonObject> } {
  const [whole] = filesOf(one, 'collateral', read)
  if (whole !== undefined) return { collateral: parseJsonObject(whole) }
  const text = (role: string) => filesOf(one, role, read).map(bytes => fromUtf8(bytes)).join('')
  const hex = (role: string) => filesOf(one, role, read).map(toHex).join('')
  if (text('tcb_info') === '') return {}
  const signed = (role: string, name: string) => {
    const found = /^\{"(?:tcbInfo|enclaveIdentity)":(.*),"signature":"([0-9a-fA-F]+)"\}\s*$/s.exec(text(role))
    return { [name]: found?.[1] ?? '', [`${name}_signature`]: found?.[2] ?? '', [`${name}_issuer_chain`]: text('tcb_chain') }
  }
  return { collateral: { ...signed('tcb_info', 'tcb_info'), ...signed('qe_identity', 'qe_identity'), pck_crl: hex('pck_crl'), root_ca_crl: hex('root_crl'), pck_certificate_chain: text('pck') + text('pck_chain') } }
}

function statusDiffers(one: Case, { debug, facts }: ClaimsOf<DcapFacts>): string[] {
  const got: Record<string, unknown> = {
    tcb_status: facts.status, platform_tcb_status: facts.platformStatus, tdx_module_status: facts.moduleStatus ?? null, qe_status: facts.qeStatus, advisories: facts.advisories, tcb_date: facts.tcbDate,
    tcb_evaluation_data_number: facts.evaluation.tcb, debug, fmspc: facts.fmspc,
    pck: { ppid: facts.pck.ppid, pcesvn: facts.pck.pceSvn, cpusvn: facts.pck.cpuSvn, piid: facts.pck.piid ?? null, ca: facts.pckAuthority, config: facts.pck.configuration ?? null },
  }
  return Object.entries(got).flatMap(([name, value]) => (one.expect[name] === undefined ? [] : differences(sorted(one.expect[name]), value, name)))
}

const sorted = (value: unknown) => (Array.isArray(value) ? value.map(String).sort() : value)

function fieldsOf(quote: Quote): Record<string, unknown> {
  const { qe, domain, enclave } = quote
  const pck = attempt(() => readPck(orRefuse(parseCertificate(quote.certificates[0] ?? new Uint8Array()))))
  return {
    ...(pck.ok ? { fmspc: pck.value.fmspc } : {}), version: quote.version, tee_type: quote.tee.toUpperCase(), body_type: quote.bodyType ?? null, qe_vendor: quote.qeVendor, cert_type: quote.certificationType, certification_data_type: quote.certificationType,
    body: domain === undefined ? enclave === undefined ? {} : enclaveFields(enclave) : domainFields(domain),
    qe_report: { mr_signer: toHex(qe.report.mrSigner), mr_enclave: toHex(qe.report.mrEnclave), isv_prod_id: qe.report.isvProdId, isv_svn: qe.report.isvSvn, debug: ((qe.report.attributes[0] ?? 0) & 2) !== 0 },
  }
}

const enclaveFields = (one: EnclaveReport) => ({
  cpu_svn: toHex(one.cpuSvn), misc_select: toHex(one.miscSelect), attributes: toHex(one.attributes), debug: ((one.attributes[0] ?? 0) & 2) !== 0, mr_enclave: toHex(one.mrEnclave), mr_signer: toHex(one.mrSigner),
  isv_prod_id: one.isvProdId, isv_svn: one.isvSvn, report_data: toHex(one.reportData),
})

const domainFields = (one: DomainReport) => ({
  tee_tcb_svn: toHex(one.teeTcbSvn), mr_seam: toHex(one.mrSeam), mr_signer_seam: toHex(one.mrSignerSeam), seam_attributes: toHex(one.seamAttributes), td_attributes: toHex(one.tdAttributes), xfam: toHex(one.xfam),
  mr_td: toHex(one.mrTd), mr_config_id: toHex(one.mrConfigId), mr_owner: toHex(one.mrOwner), mr_owner_config: toHex(one.mrOwnerConfig), ...Object.fromEntries(one.rtmrs.map((value, i) => [`rtmr${i}`, toHex(value)])),
  report_data: toHex(one.reportData), debug: ((one.tdAttributes[0] ?? 0) & 1) !== 0, ...(one.teeTcbSvn2 === undefined ? {} : { tee_tcb_svn2: toHex(one.teeTcbSvn2), mr_service_td: toHex(one.mrServiceTd ?? new Uint8Array()) }),
})
