/**
 * `cloister status`: where a lineage stands at a broker. Signatures of proposals and the digests of charters are checked
 * here; that a charter is the newest, what is revoked and since when the log has a proposal is the broker's word, which
 * the log and its witnesses hold it to.
 */
import { orRefuse, refuse } from '@cloister/core/refusal'
import { programIdentity } from '@cloister/core/charter/canonical'
import { review } from '@cloister/core/charter/review'
import { nodePrimitives as p } from '../crypto/node.ts'
import { lineageView, type LineageView, type OpenProposal } from '../sdk/broker.ts'
import { standingOf, type ChangeRequest } from './change.ts'
import { lineageOf } from './change-folder.ts'
import { openFolder } from './folder.ts'
import { hashText, type LifeOptions } from './life.ts'
import { emergencies, paint, picture, time } from './picture.ts'
import { cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

export async function status(screen: Screen, path: string | undefined, options: LifeOptions): Promise<void> {
  const named = hashText(options.lineage, '--lineage')
  const lineage = path === undefined ? (named ?? refuse('cli.usage', 'charter', 'a charter, or --lineage', 'nothing')) : lineageOf(openFolder(path), named)
  const view = await lineageView(cloudOf(options.cloud === true ? undefined : options.cloud), lineage)
  screen.say(`${view.charter.name}: epoch ${view.charter.epoch} in force`)
  screen.say(`  charter  ${view.digest}\n  lineage  ${lineage}`)
  revoked(screen, view)
  emergencies(screen, view, Date.now() / 1000)
  const proposals = view.proposals.map(one => proposal(screen, view, one))
  if (proposals.length === 0) screen.say('no open proposals')
  const { digest, charter } = view
  screen.result({ ok: true, lineage, digest, epoch: charter.epoch, revoked: view.revoked, revokedAssets: view.revokedAssets, revokedPrograms: view.revokedPrograms, emergencies: view.emergencies.filter(one => one.until > Date.now() / 1000), waiting: view.openActs, versions: view.body['versions'], proposals }, `epoch ${charter.epoch}: ${digest}${view.revoked ? ' REVOKED' : ''}`)
}

function revoked(screen: Screen, { revoked: whole, revokedAssets, revokedPrograms, openActs, lineage, charter }: LineageView): void {
  if (whole) screen.bad(paint('31;1', 'REVOKED: no key moves under this lineage'))
  for (const asset of revokedAssets) screen.warn(`${asset} was revoked: nothing opens it until its owner puts a new key`)
  for (const [name, program] of Object.entries(charter.programs)) if (revokedPrograms.includes(programIdentity(p, lineage, name, program))) screen.warn(`program ${name} was revoked: it gets no key`)
  for (const act of openActs) if (act.verb === 'revoke') screen.warn(`${act.party} wants ${act.subject ?? 'the charter'} revoked; that waits for more signatures`)
}

function proposal(screen: Screen, view: LineageView, one: OpenProposal) {
  const change: ChangeRequest = { lineage: view.lineage, digest: one.digest, prev: view.charter, next: one.charter, reviewed: orRefuse(review(p, view.charter, one.charter)), text: '', acts: one.acts }
  const standing = standingOf(p, change)
  const { notice } = change.reviewed ?? { notice: 0 }
  screen.say()
  picture(screen, change, standing, one.includedAt === undefined ? {} : { includedAt: one.includedAt })
  return { digest: one.digest, epoch: one.charter.epoch, change: change.reviewed?.change, standing, notice, ...(one.includedAt === undefined ? {} : { includedAt: time(one.includedAt), earliest: time(one.includedAt + notice) }) }
}
