/**
 * Judges every case of a manifest of evidence (`npm run vectors -- MANIFEST.json`): one JSON line a case with `id`,
 * `verdict`, the fields that differ from what the case expects, and the refusal; then `N passed, M failed`. A kind that no
 * verifier here knows is `unsupported`: it is counted apart and never as passed.
 *
 * A case passes when a strict default policy (no debug, no migration agent) accepts exactly what it should: `accept` is
 * accepted, `reject` and `policy` are not.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { toBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { verifyEvidence } from '@cloister/core/evidence/index'
import { parseReport, productOf, tcbOf } from '@cloister/core/evidence/snp/report'
import { parseCrl, verifySigned } from '@cloister/core/crypto/x509'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import { attempt, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'

interface Case { readonly id: string; readonly tee: string; readonly kind?: string; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly chain?: readonly string[] | null; readonly valid_at?: string | null; readonly product?: string; readonly expect: { readonly verdict: string; readonly fields?: Record<string, unknown> } }
interface Judgement { readonly verdict: 'accept' | 'reject' | 'unsupported'; readonly differs?: string[]; readonly refusal?: Refusal }

const [manifest] = process.argv.slice(2)
if (manifest === undefined) {
  console.error('usage: npm run vectors -- MANIFEST.json')
  process.exit(30)
}
const folder = dirname(manifest)
const read = (path: string) => new Uint8Array(readFileSync(join(folder, path)))
// The manifest's form is documented beside it; a file of another form fails on its first missing field.
const { cases } = JSON.parse(readFileSync(manifest, 'utf8')) as { cases: readonly Case[] }

const count = { passed: 0, failed: 0, unsupported: 0 }
for (const one of cases) {
  const judged = judge(one)
  const good = judged.verdict !== 'unsupported' && (judged.verdict === 'accept') === (one.expect.verdict === 'accept') && (judged.differs ?? []).length === 0
  count[judged.verdict === 'unsupported' ? 'unsupported' : good ? 'passed' : 'failed']++
  console.log(JSON.stringify({ id: one.id, ...judged }))
}
if (count.unsupported > 0) console.log(`${count.unsupported} unsupported`)
console.log(`${count.passed} passed, ${count.failed} failed`)
process.exitCode = count.failed > 0 ? 10 : count.passed === 0 ? 20 : 0

function judge(one: Case): Judgement {
  if (one.tee !== 'sev-snp') return { verdict: 'unsupported' }
  const at = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const [report] = files(one, 'report')
  const [list] = files(one, 'crl')
  if (report === undefined) return list === undefined ? { verdict: 'unsupported' } : revocationList(list, at)
  const evidence = { kind: 'snp' as const, report: toBase64(report), certificates: [...files(one, 'vek'), ...(one.chain ?? []).map(read)].map(toBase64) }
  const result = verifyEvidence(p, evidence, { now: at })
  const differs = differences(report, one.expect.fields ?? {})
  if (!result.ok) return { verdict: 'reject', differs, refusal: result.refusal }
  return { verdict: result.value.debug || result.value.migration ? 'reject' : 'accept', differs }
}

function files(one: Case, role: string): Uint8Array[] {
  return one.files.filter(file => file.role === role).map(file => read(file.path))
}

/** A vendor's list: signed by one of the pinned ARKs and current. */
function revocationList(der: Uint8Array, at: number): Judgement {
  const list = parseCrl(der)
  if (!list.ok) return { verdict: 'reject', refusal: list.refusal }
  const { algorithm, tbs, signature, thisUpdate, nextUpdate } = list.value
  const good = amdRoots().some(({ ark }) => verifySigned(p, ark.publicKey, algorithm, tbs, signature)) && at >= thisUpdate && at <= nextUpdate
  return { verdict: good ? 'accept' : 'reject' }
}

/** Expected fields that a parsed report has under another value. */
function differences(bytes: Uint8Array, expected: Record<string, unknown>): string[] {
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
  return Object.entries(expected).filter(([name, value]) => name in got && !alike(got[name], value)).map(([name, value]) => `${name}: expected ${JSON.stringify(value)}, got ${JSON.stringify(got[name])}`)
}

function alike(got: unknown, expected: unknown): boolean {
  if (typeof got === 'object' && got !== null && typeof expected === 'object' && expected !== null) return Object.entries(expected).every(([key, value]) => Object.entries(got).some(([name, own]) => name === key && own === value))
  return String(got).toLowerCase() === String(expected).toLowerCase()
}
