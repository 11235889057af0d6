/**
 * Which TCB status a platform, its TDX module and its quoting enclave have, and what they come to together (Intel SGX DCAP
 * quote verification library, EvaluateTcb and TDRelaunchCheck; reference evidence.md section C, steps 3 and 6 to 9).
 * Works on documents that are already verified; trusts nothing else.
 */
import { allZero, equal } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'
import type { ModuleIdentity, PlatformLevel, QeIdentity, SvnLevel, TcbInfo, TcbLevel, TcbStatus } from './collateral.ts'
import type { PckExtension } from './pck.ts'
import type { DomainReport, EnclaveReport } from './quote.ts'

export type DcapStatus = TcbStatus | 'TDRelaunchAdvised' | 'TDRelaunchAdvisedConfigurationNeeded'

export interface Evaluation {
  readonly status: DcapStatus
  readonly platform: TcbStatus
  readonly module?: TcbStatus
  readonly qe: TcbStatus
  /** The date of the platform's level, and the oldest among platform, module and quoting enclave: fixes up to it are in. */
  readonly date: string
  readonly oldestDate: string
  readonly advisories: readonly string[]
  /** What stands between this machine and the newest level that Intel names, per component; empty when nothing does. */
  readonly shortfall: readonly string[]
}

/** Leaves with `evidence.tcb-unknown` when no level matches, `evidence.collateral` when the module is not one that Intel names. */
export function evaluate(tcb: TcbInfo, pck: PckExtension, qeIdentity: QeIdentity, qe: EnclaveReport, domain: DomainReport | undefined): Evaluation {
  const qeLevel = svnLevel(qeIdentity.levels, qe.isvSvn, 'quoting enclave')
  const at = (svn: Uint8Array | undefined) => combined(tcb, pck, qeLevel, domain, svn)
  const launch = at(domain?.teeTcbSvn)
  const short = (current: Evaluation): Evaluation => ({ ...current, shortfall: [...current.shortfall, ...svnShortfall(qeIdentity.levels, qe.isvSvn, 'quoting enclave isvsvn')] })
  if (domain?.teeTcbSvn2 === undefined) return short(launch)
  const now = at(domain.teeTcbSvn2)
  const relaunch = (launch.status === 'OutOfDate' || launch.status === 'OutOfDateConfigurationNeeded') && CURRENT.has(now.status)
  if (!relaunch) return short(launch)
  return short({ ...launch, status: now.status.startsWith('Configuration') ? 'TDRelaunchAdvisedConfigurationNeeded' : 'TDRelaunchAdvised' })
}

const CURRENT: ReadonlySet<DcapStatus> = new Set(['UpToDate', 'SWHardeningNeeded', 'ConfigurationNeeded', 'ConfigurationAndSWHardeningNeeded'])

function combined(tcb: TcbInfo, pck: PckExtension, qe: SvnLevel, domain: DomainReport | undefined, teeSvn: Uint8Array | undefined): Evaluation {
  const platform = platformLevel(tcb, pck, teeSvn)
  const module = domain === undefined || teeSvn === undefined ? undefined : moduleLevel(tcb, domain, teeSvn)
  const levels: TcbLevel[] = [platform, ...(module?.level === undefined ? [] : [module.level]), qe]
  const newest = tcb.levels[0]
  return {
    status: levels.map(one => one.status).reduce(converge), platform: platform.status, ...(module?.level === undefined ? {} : { module: module.level.status }), qe: qe.status,
    date: platform.date, oldestDate: levels.map(one => one.date).reduce((a, b) => (a < b ? a : b)), advisories: [...new Set(levels.flatMap(one => one.advisories))].sort(),
    shortfall: [...(newest === undefined || platform === newest ? [] : lacking(newest, pck, teeSvn)), ...(module === undefined ? [] : svnShortfall(module.levels, teeSvn?.[0] ?? 0, 'TDX module isvsvn'))],
  }
}

/** What two components come to: revocation wins, and an outdated part makes the whole outdated without losing that it must be configured. */
function converge(whole: TcbStatus, part: TcbStatus): TcbStatus {
  if (whole === 'Revoked' || part === 'Revoked') return 'Revoked'
  if (part !== 'OutOfDate') return whole
  if (whole === 'UpToDate' || whole === 'SWHardeningNeeded') return 'OutOfDate'
  return whole === 'ConfigurationNeeded' || whole === 'ConfigurationAndSWHardeningNeeded' ? 'OutOfDateConfigurationNeeded' : whole
}

function platformLevel(tcb: TcbInfo, pck: PckExtension, teeSvn: Uint8Array | undefined): PlatformLevel {
  const found = tcb.levels.find(level => lacking(level, pck, teeSvn).length === 0)
  if (found !== undefined) return found
  const lowest = tcb.levels.at(-1)
  return refuse('evidence.tcb-unknown', 'platform', 'a level of the TCB info that the platform reaches', lowest === undefined ? 'no levels' : `below all: ${lacking(lowest, pck, teeSvn).join('; ')}`, 'update the platform\'s microcode and firmware, and renew its PCK certificate')
}

/** Each component in which a platform is below a level. From TDX module 1.5 on the first two SVNs are the module's own (step 6). */
function lacking(level: PlatformLevel, pck: PckExtension, teeSvn: Uint8Array | undefined): string[] {
  const out = level.sgx.flatMap((need, i) => ((pck.svns[i] ?? 0) >= need ? [] : [`SGX component ${i + 1} has ${pck.svns[i] ?? 0}, needs ${need}`]))
  if (pck.pceSvn < level.pceSvn) out.push(`PCE has ${pck.pceSvn}, needs ${level.pceSvn}`)
  if (teeSvn === undefined) return out
  if (level.tdx === undefined) return [...out, 'no TDX components in this level']
  const from = (teeSvn[1] ?? 0) > 0 ? 2 : 0
  level.tdx.forEach((need, i) => {
    if (i >= from && (teeSvn[i] ?? 0) < need) out.push(`TDX component ${i + 1} has ${teeSvn[i] ?? 0}, needs ${need}`)
  })
  return out
}

/** The identity of the TDX module, and its level where the module has a version of its own. */
function moduleLevel(tcb: TcbInfo, domain: DomainReport, teeSvn: Uint8Array): { level?: SvnLevel; levels: readonly SvnLevel[] } {
  const version = teeSvn[1] ?? 0
  if (version === 0) {
    checkModule(tcb.module ?? refuse('evidence.collateral', 'collateral.tcb_info.tdxModule', 'the TDX module', 'none'), domain)
    return { levels: [] }
  }
  const id = `TDX_${version.toString(16).padStart(2, '0').toUpperCase()}`
  const identity: ModuleIdentity = tcb.modules.find(one => one.id === id) ?? refuse('evidence.tcb-unknown', 'module', tcb.modules.map(one => one.id).join(', ') || 'module identities', id)
  checkModule(identity, domain)
  return { level: svnLevel(identity.levels, teeSvn[0] ?? 0, 'TDX module'), levels: identity.levels }
}

/** Signer and attributes of the module; attributes must also be zero (step 3). */
function checkModule(identity: Pick<ModuleIdentity, 'mrSigner' | 'attributes' | 'attributesMask'>, domain: DomainReport): void {
  if (toHex(domain.mrSignerSeam) !== identity.mrSigner) refuse('evidence.signer', 'body.mr_signer_seam', identity.mrSigner, toHex(domain.mrSignerSeam))
  if (!allZero(domain.seamAttributes) || !masked(domain.seamAttributes, identity.attributesMask, identity.attributes)) refuse('evidence.reserved-bits', 'body.seam_attributes', identity.attributes, toHex(domain.seamAttributes))
}

/** Do the bits under the mask have the expected value? */
export function masked(value: Uint8Array, mask: string, expected: string): boolean {
  const bits = fromHex(mask)
  return equal(value.map((byte, i) => byte & (bits[i] ?? 0)), fromHex(expected))
}

function svnLevel(levels: readonly SvnLevel[], have: number, what: string): SvnLevel {
  return levels.find(level => have >= level.isvSvn) ?? refuse('evidence.tcb-unknown', what, `isvsvn of at least ${levels.at(-1)?.isvSvn ?? 'some level'}`, String(have))
}

function svnShortfall(levels: readonly SvnLevel[], have: number, what: string): string[] {
  const [newest] = levels
  return newest === undefined || have >= newest.isvSvn ? [] : [`${what} has ${have}, needs ${newest.isvSvn}`]
}
