/**
 * Our own side of the conformance contract: reads requests from standard input, judges each with `verifyEvidence` under a
 * strict policy, and writes verdicts (README.md). Trusts nothing in a request; the roots are the ones pinned in core.
 */
import { createInterface } from 'node:readline'
import { fromBase64 } from '@cloister/core/bytes/base64'
import { parseCrl, verifySigned } from '@cloister/core/crypto/x509'
import { verifyEvidence, type VerifyOptions } from '@cloister/core/evidence/index'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import { parseReport } from '@cloister/core/evidence/snp/report'
import { attempt, orRefuse, refuse, refusalOf, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'
import type { Case, Judgement, Read } from '../vectors/judge/eventlog.ts'
import { JUDGES as FAMILIES } from '../vectors/judge/index.ts'
import { parseRequest, STATUS, type Request, type Verdict } from './contract.ts'

type Judge = (request: Request, options: VerifyOptions) => Omit<Verdict, 'id'>
/** One entry for each family; what is not here is unsupported. */
const JUDGES: Record<string, Judge> = {
  ...Object.fromEntries(Object.entries(FAMILIES).map(([family, judge]) => [family, byFiles(judge)])), 'sev-snp': snp,
}

/** A judge of manifests, given the files of a request and nothing to compare with. */
function byFiles(judge: (one: Case, read: Read) => Judgement): Judge {
  return ({ id, tee, kind, at, files: sent, chain }) => {
    const bytes = new Map<string, string>([...sent.map((file, i) => [`${i}/${file.name}`, file.data] as const), ...chain.map((data, i) => [`chain/${i}`, data] as const)])
    const one: Case = { id, tee, ...(kind === undefined ? {} : { kind }), files: sent.map((file, i) => ({ role: file.role, path: `${i}/${file.name}` })), chain: chain.map((_, i) => `chain/${i}`), valid_at: new Date(at * 1000).toISOString(), expect: { verdict: '' } }
    const { verdict, refusal } = judge(one, path => fromBase64(bytes.get(path) ?? refuse('evidence.missing', path, 'a file of the request', 'none'), path))
    if (verdict === 'reject' && refusal !== undefined) return rejected(refusal)
    return { verdict: verdict === 'parse' ? 'parsed' : verdict, ...(refusal === undefined ? {} : { refusal }) }
  }
}

/** The verdict on one request. Never throws for what a request says. */
export function answer(line: string): Verdict {
  const request = parseRequest(line)
  if (!request.ok) return { id: '', verdict: 'malformed', refusal: request.refusal }
  const judge = JUDGES[request.value.tee]
  const { id } = request.value
  if (judge === undefined) return { id, verdict: 'unsupported', refusal: refusalOf('evidence.kind', 'tee', Object.keys(JUDGES).join(', '), request.value.tee) }
  const judged = attempt(() => judge(request.value, { now: request.value.at }))
  return { id, ...(judged.ok ? judged.value : rejected(judged.refusal)) }
}

/** Bytes that cannot be read are malformed; what was read and did not hold is rejected. */
const rejected = (refusal: Refusal) => ({ verdict: /^(bytes|json|der|cbor)\.|^evidence\.parse$/.test(refusal.code) ? 'malformed' as const : 'reject' as const, refusal })

const files = (request: Request, role: string): string[] => request.files.filter(file => file.role === role).map(file => file.data)
const needed = (request: Request, role: string): string => files(request, role)[0] ?? refuse('evidence.missing', `files.${role}`, `a file with the role ${role}`, 'none')

function snp(request: Request, options: VerifyOptions): Omit<Verdict, 'id'> {
  const [list] = files(request, 'crl')
  if (list !== undefined && files(request, 'report').length === 0) return amdList(fromBase64(list), options.now)
  const report = parseReport(fromBase64(needed(request, 'report')))
  const fields = { version: report.version, guest_svn: report.guestSvn, vmpl: report.vmpl, signing_key: report.signer.toUpperCase(), measurement: report.measurement, report_data: report.reportData, host_data: report.hostData, policy: `0x${report.policy.toString(16)}`, platform_info: `0x${report.platformInfo.toString(16)}`, report_id: report.reportId, family_id: report.familyId, image_id: report.imageId }
  const result = verifyEvidence(p, { kind: 'snp', report: needed(request, 'report'), certificates: [...files(request, 'vek'), ...request.chain] }, options)
  if (!result.ok) return { fields, ...rejected(result.refusal) }
  const weak = result.value.debug ? 'debug' : result.value.migration ? 'migration' : undefined
  return weak === undefined ? { verdict: 'accept', fields } : { verdict: 'reject', fields, refusal: refusalOf(`appraisal.${weak}`, `claims.${weak}`, 'false', 'true') }
}

/** A revocation list alone: signed by one of AMD's pinned roots, and in force. */
function amdList(bytes: Uint8Array, now: number): Omit<Verdict, 'id'> {
  const { algorithm, tbs, signature, thisUpdate, nextUpdate } = orRefuse(parseCrl(bytes))
  if (!amdRoots().some(({ ark }) => verifySigned(p, ark.publicKey, algorithm, tbs, signature))) refuse('crl.signature', 'crl', 'a list signed by an ARK', 'another')
  if (now < thisUpdate || now > nextUpdate) refuse('crl.expired', 'crl', `a time from ${thisUpdate} to ${nextUpdate}`, String(now))
  return { verdict: 'accept' }
}

async function main(): Promise<void> {
  const statuses: number[] = []
  for await (const line of createInterface({ input: process.stdin })) {
    const verdict = answer(line)
    statuses.push(STATUS[verdict.verdict])
    process.stdout.write(`${JSON.stringify(verdict)}\n`)
  }
  process.exitCode = statuses.length === 1 ? statuses[0] ?? 1 : statuses.includes(1) ? 1 : 0
}

if (import.meta.main) await main()
