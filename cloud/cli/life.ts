/** The life of a charter on the command line: `plan` shows, `propose`, `approve`, `veto`, `enact` and `revoke` act. */
import { charterDigest } from '@cloister/core/charter/canonical'
import { explainReview, openableWithoutOwner } from '@cloister/core/charter/explain'
import { review } from '@cloister/core/charter/review'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { nodePrimitives } from '../crypto/node.ts'
import { checkSql } from '../guest/engines/sql/index.ts'
import type { JsonObject } from '../provider/answers.ts'
import { actOn, foundCharter, keyVersion, newestCharter } from '../sdk/broker.ts'
import { findCode, openFolder, partySigner, type CharterFolder } from './folder.ts'
import { cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

const p = nodePrimitives

/** What a charter is, or what it changes, for whom, and who must sign; nothing is sent. */
export async function plan(screen: Screen, path: string, options: { readonly against?: string; readonly cloud?: string }): Promise<void> {
  const from = openFolder(path)
  const previous = options.against !== undefined ? openFolder(options.against).charter : undefined
  const reviewed = previous === undefined ? undefined : orRefuse(review(p, previous, from.charter))
  const programs = await checkPrograms(screen, from)
  const exposed = openableWithoutOwner(from.charter)
  const lines = reviewed === undefined ? foundingLines(from.charter) : explainReview(reviewed)
  for (const line of lines) screen.say(`  ${line}`)
  for (const one of exposed) screen.warn(one.line)
  screen.result({ ok: true, digest: from.digest, epoch: from.charter.epoch, ...(reviewed === undefined ? {} : { review: reviewed }), programs, openableWithoutOwner: exposed }, `${reviewed?.change ?? 'new charter'}: ${from.digest}`)
}

function foundingLines(charter: Charter): string[] {
  const grants = charter.grants.map(grant => `${grant.asset} → ${grant.to} (${grant.can}); may leave: ${(grant.out ?? []).map(out => `${out.shape}${out.about === undefined ? '' : ` about ${out.about}`} to ${out.to.join(', ')}`).join('; ') || 'nothing'}`)
  return [...grants, `every party must approve: ${Object.keys(charter.parties).join(', ')}`]
}

/** Programs whose bytes are here are judged as the guest would judge them. */
async function checkPrograms(screen: Screen, from: CharterFolder): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const [name, program] of Object.entries(from.charter.programs)) {
    if (!('sql' in program.run)) continue
    const code = attempt(() => findCode(from, name))
    if (!code.ok) { screen.warn(`program ${name}: ${code.refusal.got}`); found[name] = code.refusal.code; continue }
    const checked = await checkSql(code.value.bytes)
    found[name] = checked.ok ? 'approved' : checked.refusal.code
    checked.ok ? screen.ok(`program ${name}: every query is within the allow-list`) : screen.warn(`program ${name}: ${checked.refusal.code} at ${checked.refusal.at}: ${checked.refusal.got}`)
  }
  return found
}

export interface ActOptions { readonly party: string; readonly cloud?: string; readonly lineage?: string }

/** One act of one party, signed here and sent to the broker. */
export async function act(screen: Screen, verb: 'propose' | 'approve' | 'veto' | 'enact' | 'revoke', path: string, options: ActOptions, subject?: string): Promise<void> {
  const from = openFolder(path)
  const client = cloudOf(options.cloud)
  const { charter } = from
  const signer = partySigner(from, options.party)
  if (verb === 'approve' && charter.epoch === 1) return found(screen, from, client)
  const lineage = lineageOf(from, options.lineage)
  const about = subject === undefined ? undefined : subjectOf(subject, (await newestCharter(client, lineage)).body)
  const signed = actOn(verb, lineage, charter, options.party, signer, about)
  const body = verb === 'propose' ? await client.send('/v1/proposals', { charter, act: signed }) : await client.send('/v1/acts', { act: signed })
  const standing = await newestCharter(client, lineage)
  screen.result({ ok: true, verb, lineage, digest: charterDigest(p, charter), newest: { digest: standing.digest, epoch: standing.charter.epoch }, body }, `${verb}: ${options.party} signed; newest is epoch ${standing.charter.epoch} (${standing.digest})`)
}

/** What is revoked, as the act names it: an asset with the version of its key, a program, or nothing for the whole charter. */
function subjectOf(subject: string, body: JsonObject): string | undefined {
  const [, kind, name] = /^(?:(asset|program) ([a-z][a-z0-9-]{0,31})|charter)$/.exec(subject) ?? refuse('cli.usage', '--subject', '"asset NAME", "program NAME" or charter', subject)
  if (kind === undefined || name === undefined) return undefined
  return kind === 'program' ? `program:${name}` : `${name}@${keyVersion(body, name)}`
}

/** Epoch 1 stands when every party has approved: whoever holds all the keys of a folder founds it in one go. */
async function found(screen: Screen, from: CharterFolder, client: ReturnType<typeof cloudOf>): Promise<void> {
  const signers = new Map(Object.keys(from.charter.parties).map(party => [party, partySigner(from, party)]))
  const body = await foundCharter(client, from.charter, signers)
  screen.result({ ok: true, verb: 'found', lineage: from.digest, body }, `founded ${from.charter.name}: lineage ${from.digest}`)
}

/** A changed charter does not name its lineage: at epoch 2 it is `prev`, later it must be said. */
function lineageOf(from: CharterFolder, named: string | undefined): Hash {
  if (named !== undefined) return /^sha256:[0-9a-f]{64}$/.test(named) ? (named as Hash) : refuse('cli.usage', '--lineage', 'sha256:<hex>', named) // the pattern is the type
  const { charter, digest } = from
  if (charter.epoch === 1) return digest as Hash // made by charterDigest
  return charter.epoch === 2 && charter.prev !== undefined ? charter.prev : refuse('cli.usage', '--lineage', 'the digest of epoch 1', 'nothing')
}
