/**
 * `cloister why`: the decision for one asset and program, with the line of the charter or the claim that decided. Judges
 * the charter at hand, or with `--cloud` against what is in force there, with the evidence of an earlier receipt or of a
 * simulated machine of its own; nothing is released.
 */
import { programIdentity } from '@cloister/core/charter/canonical'
import { decide } from '@cloister/core/charter/decide'
import { shortfall } from '@cloister/core/appraisal/tcb'
import type { Charter, Hash } from '@cloister/core/charter/types'
import type { Claims } from '@cloister/core/evidence/claims'
import { verifyEvidence } from '@cloister/core/evidence/index'
import { fromHex } from '@cloister/core/bytes/hex'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { parseBundle } from '@cloister/core/verify'
import { nodePrimitives } from '../crypto/node.ts'
import { openSimulatedChip } from '../guest/attesters/simulated.ts'
import { measureGuest } from '../provider/measure.ts'
import { lineageView } from '../sdk/broker.ts'
import { lineageOf } from './change-folder.ts'
import { openFolder, readText } from './folder.ts'
import { hashText } from './life.ts'
import { programName } from './run.ts'
import { cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

const p = nodePrimitives

export interface WhyOptions { readonly asset: string; readonly program?: string; readonly receipt?: string; readonly lineage?: string; readonly cloud?: string | true }

export async function why(screen: Screen, path: string, options: WhyOptions): Promise<void> {
  const from = openFolder(path)
  const program = programName(from, options.program)
  const now = Math.floor(Date.now() / 1000)
  const lineage = lineageOf(from, hashText(options.lineage, '--lineage'))
  const { charter, revoked } = options.cloud === undefined ? { charter: from.charter, revoked: false } : await inForce(options, lineage)
  const claims = options.receipt === undefined ? simulatedClaims(charter, lineage, program, now) : receiptClaims(options.receipt, now)
  const grant = charter.grants.find(one => one.asset === options.asset && one.to === program)
  const decision = orRefuse(decide(p, { lineage, charter, revoked, head: { time: now, witnesses: charter.log.witnesses }, enactedAt: now }, {
    charter: from.digest, epoch: from.charter.epoch, program, asset: options.asset, can: grant?.can ?? 'read', ...(grant?.as === undefined ? {} : { as: grant.as }), nonce: new Uint8Array(32),
  }, { claims, tcb: shortfall(claims) === undefined ? 'current' : 'outdated' }, () => ({ uses: 0, bytes: 0, epsilon: 0 }), now))
  screen.warn(`assumed: a fresh, witnessed head, an unspent budget${options.cloud === undefined ? ', and that the charter at hand is the newest' : ''}`)
  const at = charter.grants.indexOf(decision.grant)
  screen.result({ ok: true, allow: true, at: `grants[${at}]`, grant: decision.grant, outputs: decision.outputs, claims: { tee: claims.tee, simulated: claims.simulated } }, `allowed by grants[${at}]: ${program} may ${decision.grant.can} ${options.asset} on ${claims.tee}`)
}

/** What a cloud has in force. Leaves with `charter.revoked` for an asset that its owner took back. */
async function inForce({ cloud, asset }: WhyOptions, lineage: Hash): Promise<{ charter: Charter; revoked: boolean }> {
  const { charter, revoked, revokedAssets } = await lineageView(cloudOf(cloud === true ? undefined : cloud), lineage)
  if (revokedAssets.includes(asset)) refuse('charter.revoked', `assets.${asset}`, 'an asset in use', 'its owner revoked it', `${charter.assets[asset]?.owner ?? 'its owner'}: cloister put FILE --asset ${asset}`)
  return { charter, revoked }
}

/** What a guest launched here, as the charter says, would prove. */
function simulatedClaims(charter: Charter, lineage: Hash, name: string, now: number): Claims {
  const program = charter.programs[name] ?? refuse('program.unknown', `programs.${name}`, Object.keys(charter.programs).join(', '), name)
  const identity = programIdentity(p, lineage, name, program).slice('sha256:'.length)
  const evidence = openSimulatedChip(now).report({ measurement: fromHex(measureGuest()), hostData: fromHex(identity) }, new Uint8Array(64))
  return orRefuse(verifyEvidence(p, evidence, { now }))
}

function receiptClaims(path: string, now: number): Claims {
  return orRefuse(verifyEvidence(p, orRefuse(parseBundle(readText(path))).evidence, { now }))
}

