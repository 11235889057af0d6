/**
 * `cloister why`: the decision for one asset and program, with the line of the charter or the claim that decided. Judges
 * the charter at hand with the evidence of an earlier receipt, or with a simulated machine of its own; nothing is released.
 */
import { charterDigest, programIdentity } from '@cloister/core/charter/canonical'
import { decide } from '@cloister/core/charter/decide'
import { shortfall } from '@cloister/core/appraisal/tcb'
import type { Claims } from '@cloister/core/evidence/claims'
import { verifyEvidence } from '@cloister/core/evidence/index'
import { fromHex } from '@cloister/core/bytes/hex'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { parseBundle } from '@cloister/core/verify'
import { nodePrimitives } from '../crypto/node.ts'
import { openSimulatedChip } from '../guest/attesters/simulated.ts'
import { measureGuest } from '../provider/measure.ts'
import { openFolder, readText, type CharterFolder } from './folder.ts'
import { programName } from './run.ts'
import type { Screen } from './screen.ts'

const p = nodePrimitives

export function why(screen: Screen, path: string, options: { readonly asset: string; readonly program?: string; readonly receipt?: string }): void {
  const from = openFolder(path)
  const program = programName(from, options.program)
  const now = Math.floor(Date.now() / 1000)
  const claims = options.receipt === undefined ? simulatedClaims(from, program, now) : receiptClaims(options.receipt, now)
  const lineage = charterDigest(p, from.charter)
  const grant = from.charter.grants.find(one => one.asset === options.asset && one.to === program)
  const decision = orRefuse(decide(p, { lineage, charter: from.charter, revoked: false, head: { time: now, witnesses: from.charter.log.witnesses }, enactedAt: now }, {
    charter: lineage, epoch: from.charter.epoch, program, asset: options.asset, can: grant?.can ?? 'read', ...(grant?.as === undefined ? {} : { as: grant.as }), nonce: new Uint8Array(32),
  }, { claims, tcb: shortfall(claims) === undefined ? 'current' : 'outdated' }, () => ({ uses: 0, bytes: 0, epsilon: 0 }), now))
  screen.warn('assumed: a fresh, witnessed head, an unspent budget, and that the charter at hand is the newest')
  const at = from.charter.grants.indexOf(decision.grant)
  screen.result({ ok: true, allow: true, at: `grants[${at}]`, grant: decision.grant, outputs: decision.outputs, claims: { tee: claims.tee, simulated: claims.simulated } }, `allowed by grants[${at}]: ${program} may ${decision.grant.can} ${options.asset} on ${claims.tee}`)
}

/** What a guest launched here, as the charter says, would prove. */
function simulatedClaims(from: CharterFolder, name: string, now: number): Claims {
  const program = from.charter.programs[name] ?? refuse('program.unknown', `programs.${name}`, Object.keys(from.charter.programs).join(', '), name)
  const identity = programIdentity(p, charterDigest(p, from.charter), name, program).slice('sha256:'.length)
  const evidence = openSimulatedChip(now).report({ measurement: fromHex(measureGuest()), hostData: fromHex(identity) }, new Uint8Array(64))
  return orRefuse(verifyEvidence(p, evidence, { now }))
}

function receiptClaims(path: string, now: number): Claims {
  return orRefuse(verifyEvidence(p, orRefuse(parseBundle(readText(path))).evidence, { now }))
}

