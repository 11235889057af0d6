/**
 * Judges the SEV-SNP cases of a manifest: a report with its chain, or a vendor's list alone. Strict: no debug, no migration
 * agent. Trusts the roots that core pins.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { parseCrl, verifySigned } from '@cloister/core/crypto/x509'
import { verifyEvidence } from '@cloister/core/evidence/index'
import { parseReport, productOf, tcbOf } from '@cloister/core/evidence/snp/report'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import { attempt } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'

export function judge(one: Case, read: Read): Judgement {
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const [report] = filesOf(one, 'report', read)
  const [list] = filesOf(one, 'crl', read)
  if (report === undefined) return list === undefined ? judged('unsupported', []) : revocationList(list, now)
  const certificates = [...filesOf(one, 'vek', read), ...(one.chain ?? []).map(read)].map(toBase64)
  const result = verifyEvidence(p, { kind: 'snp', report: toBase64(report), certificates }, { now })
  const differs = fieldDifferences(report, Object.entries(one.expect['fields'] ?? {}))
  if (!result.ok) return judged('reject', differs, result.refusal)
  return judged(result.value.debug || result.value.migration ? 'reject' : 'accept', differs)
}

/** A vendor's list: signed by one of the pinned ARKs and current. */
function revocationList(der: Uint8Array, at: number): Judgement {
  const list = parseCrl(der)
  if (!list.ok) return judged('reject', [], list.refusal)
  const { algorithm, tbs, signature, thisUpdate, nextUpdate } = list.value
  const good = amdRoots().some(({ ark }) => verifySigned(p, ark.publicKey, algorithm, tbs, signature)) && at >= thisUpdate && at <= nextUpdate
  return judged(good ? 'accept' : 'reject', [])
}

/** Expected fields that a parsed report has under another value. */
function fieldDifferences(bytes: Uint8Array, expected: readonly (readonly [string, unknown])[]): string[] {
  const parsed = attempt(() => parseReport(bytes))
  if (!parsed.ok) return []
  const report = parsed.value
  const bits = (value: bigint, names: Record<string, number>) => Object.fromEntries(Object.entries(names).map(([name, bit]) => [name, (value >> BigInt(bit) & 1n) === 1n]))
  const product = productOf(report)
  const parts = (raw: Uint8Array) => (product === undefined ? undefined : tcbOf(product, raw))
  const got: Record<string, unknown> = {
    version: report.version, guest_svn: report.guestSvn, vmpl: report.vmpl, signing_key: report.signer.toUpperCase(), policy: `0x${report.policy.toString(16)}`, platform_info: `0x${report.platformInfo.toString(16)}`,
    policy_bits: { abi_minor: Number(report.policy & 0xffn), abi_major: Number(report.policy >> 8n & 0xffn), ...bits(report.policy, { smt: 16, rsvd1: 17, migrate_ma: 18, debug: 19, single_socket: 20, cxl_allow: 21, mem_aes256: 22, rapl_dis: 23, ciphertext_hiding: 24, page_swap_disable: 25 }) },
    platform_bits: bits(report.platformInfo, { smt: 0, tsme: 1, ecc: 2, rapl_dis: 3, ciphertext_hiding: 4, alias_check_complete: 5, tio: 7 }),
    measurement: report.measurement, report_data: report.reportData, host_data: report.hostData, id_key_digest: report.idKeyDigest, author_key_digest: report.authorKeyDigest, family_id: report.familyId, image_id: report.imageId,
    report_id: report.reportId, report_id_ma: report.reportIdMa, chip_id: toHex(report.chipId), current_version: report.currentVersion, committed_version: report.committedVersion,
    current_tcb: toHex(report.tcb.current), reported_tcb: toHex(report.tcb.reported), committed_tcb: toHex(report.tcb.committed), launch_tcb: toHex(report.tcb.launch),
    ...(report.cpuid === undefined ? {} : { cpuid_fam: report.cpuid.family, cpuid_mod: report.cpuid.model, cpuid_step: report.cpuid.stepping }),
    ...(product === undefined ? {} : { current_tcb_parts: parts(report.tcb.current), reported_tcb_parts: parts(report.tcb.reported), committed_tcb_parts: parts(report.tcb.committed), launch_tcb_parts: parts(report.tcb.launch) }),
    launch_mit_vector: Number(report.launchMitigations), current_mit_vector: Number(report.currentMitigations),
  }
  return expected.filter(([name, value]) => name in got && !alike(got[name], value)).map(([name, value]) => `${name}: expected ${JSON.stringify(value)}, got ${JSON.stringify(got[name])}`)
}

function alike(got: unknown, expected: unknown): boolean {
  if (typeof got === 'object' && got !== null && typeof expected === 'object' && expected !== null) return Object.entries(expected).every(([key, value]) => Object.entries(got).some(([name, own]) => name === key && own === value))
  return String(got).toLowerCase() === String(expected).toLowerCase()
}
