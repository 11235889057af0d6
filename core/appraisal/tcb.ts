/**
 * Patch levels: is a machine current, and if not, how far below in which component. Intel's status comes from its signed
 * collateral; AMD publishes no signed list, so the minimum is Cloister's own, reviewed like code.
 *
 * Trusts: claims, which are built only from verified bytes.
 */
import type { Claims } from '../evidence/claims.ts'
import type { SnpProduct } from '../evidence/snp/report.ts'
import type { SnpTcb } from '../evidence/snp/verify.ts'

/** How far below the reviewed minimum a machine's patch levels are, per component, or undefined when they are not. */
export function shortfall(claims: Claims): string | undefined {
  if (claims.facts.kind === 'token') return claims.facts.status === 'UpToDate' ? undefined : [`${claims.facts.verifier} calls it ${claims.facts.status || 'nothing'}`, ...claims.facts.advisories].join('; ')
  const facts = patchLevels(claims)
  if (facts?.kind === 'dcap') return facts.status === 'UpToDate' ? undefined : [`Intel calls it ${facts.status}`, ...facts.shortfall, ...facts.advisories].join('; ')
  if (facts === undefined) return `evidence of kind ${claims.facts.kind} states no patch levels`
  const minimum = minimumOf(claims.facts.kind === 'azure' ? claims.facts.hardware.product : claims.product)
  if (minimum === undefined) return `no reviewed minimum for ${claims.product}`
  const lacking = (['reported', 'committed', 'launch'] as const).flatMap(which => COMPONENTS
    .filter(part => (facts.tcb[which][part] ?? 0) < (minimum[part] ?? 0))
    .map(part => `${which} ${part} is ${facts.tcb[which][part] ?? 0}, needs ${minimum[part]}`))
  return lacking.length === 0 ? undefined : lacking.join('; ')
}

/** Intel's name for the state of the platform; for AMD `UpToDate` or `OutOfDate` by the reviewed minimum; `Unknown` of kinds that state no patch levels. */
export function tcbStatus(claims: Claims): string {
  if (claims.facts.kind === 'token') return claims.facts.status || 'Unknown'
  const facts = patchLevels(claims)
  if (facts === undefined) return 'Unknown'
  return facts.kind === 'dcap' ? facts.status : shortfall(claims) === undefined ? 'UpToDate' : 'OutOfDate'
}

/**
 * The least patch levels that count as current, reviewed 2026-11: AMD publishes no signed list. Milan and Genoa: SNP
 * levels of AMD-SB-3019; Turin: the first levels seen with its report version 5.
 */
const TCB_MINIMUM: Record<SnpProduct, SnpTcb> = {
  Milan: { bl: 4, tee: 0, snp: 0x18, ucode: 0xdb }, Genoa: { bl: 0x0a, tee: 0, snp: 0x17, ucode: 0x54 }, Turin: { fmc: 1, bl: 1, tee: 1, snp: 4, ucode: 0x51 },
}
const patchLevels = ({ facts }: Claims) => (facts.kind === 'snp' || facts.kind === 'dcap' ? facts : facts.kind === 'azure' ? facts.hardware.facts : undefined)
const minimumOf = (product: string): SnpTcb | undefined => Object.entries(TCB_MINIMUM).find(([name]) => name === product)?.[1]
const COMPONENTS = ['fmc', 'bl', 'tee', 'snp', 'ucode'] as const
