/**
 * `cloister status`: where a lineage stands at a broker. Signatures of proposals and the digests of charters are checked
 * here, and with a policy that the log holds the enactment under a head as fresh as the charter demands. That nothing newer
 * was enacted, what is revoked and since when the log has a proposal is the broker's word, which its log holds it to.
 */
import { orRefuse, refuse } from '@cloister/core/refusal'
import { programIdentity } from '@cloister/core/charter/canonical'
import { review } from '@cloister/core/charter/review'
import { parsePolicy } from '@cloister/core/log/policy'
import { verifyStanding } from '@cloister/core/standing'
import { nodePrimitives as p } from '../crypto/node.ts'
import { lineageView, meetBroker, type LineageView, type OpenProposal } from '../sdk/broker.ts'
import type { BrokerClient } from '../sdk/client.ts'
import { standingOf, type ChangeRequest } from './change.ts'
import { lineageOf } from './change-folder.ts'
import { openFolder, readText } from './folder.ts'
import { hashText, type LifeOptions } from './life.ts'
import { emergencies, paint, picture, time } from './picture.ts'
import { cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

export interface StatusOptions extends LifeOptions { /** Whose word counts for the log: a tlog-policy file. */ readonly policy?: string }

export async function status(screen: Screen, path: string | undefined, options: StatusOptions): Promise<void> {
  const named = hashText(options.lineage, '--lineage')
  const lineage = path === undefined ? (named ?? refuse('cli.usage', 'charter', 'a charter, or --lineage', 'nothing')) : lineageOf(openFolder(path), named)
  const client = cloudOf(options.cloud === true ? undefined : options.cloud)
  const view = await lineageView(client, lineage)
  const head = options.policy === undefined ? undefined : await checkedHead(client, view, options.policy)
  screen.say(`${view.charter.name}: epoch ${view.charter.epoch} in force`)
  screen.say(`  charter  ${view.digest}\n  lineage  ${lineage}`)
  if (head === undefined) screen.warn('NOT CHECKED: that the log holds this and how old the view is; bring whose word counts: --policy FILE')
  else screen.ok(`its enactment is in the log; the head is of ${time(head.time)}, cosigned by ${head.witnesses}`)
  revoked(screen, view)
  emergencies(screen, view, Date.now() / 1000)
  const proposals = view.proposals.map(one => proposal(screen, view, one))
  if (proposals.length === 0) screen.say('no open proposals')
  const { digest, charter } = view
  screen.result({ ok: true, lineage, digest, epoch: charter.epoch, ...(head === undefined ? {} : { head: { size: head.size, time: time(head.time), witnesses: head.witnesses } }), revoked: view.revoked, revokedAssets: view.revokedAssets, revokedPrograms: view.revokedPrograms, emergencies: view.emergencies.filter(one => one.until > Date.now() / 1000), waiting: view.openActs, versions: view.body['versions'], proposals }, `epoch ${charter.epoch}: ${digest}${view.revoked ? ' REVOKED' : ''}`)
}

/** Is the newest charter enacted in the log, under a head as fresh and as witnessed as it demands? Leaves with `head.*` or `log.*`. */
async function checkedHead(client: BrokerClient, { charter, enacted, lineage, body }: LineageView, file: string) {
  const { key } = await meetBroker(client, Object.values(charter.programs).some(program => program.on.tee.includes('simulated')))
  const policy = orRefuse(parsePolicy(readText(file, 64 * 1024)))
  const head = typeof body['head'] === 'string' ? body['head'] : refuse('broker.request', 'head', 'a checkpoint', typeof body['head'])
  return orRefuse(verifyStanding(p, { head, charter, enacted: enacted.envelope, proof: enacted.proof }, { policy, broker: key, now: Math.floor(Date.now() / 1000), lineage })).head
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
