/**
 * The life of a charter on the command line: `plan` shows what a change does, `propose` writes it down as a change request
 * (change.ts), `approve`, `veto` and `enact` sign it, `revoke` takes back at once. Without `--cloud` everything but a
 * revocation is files: git carries them, and whoever sends them later needs no key.
 */
import type { Act, ActBody } from '@cloister/core/charter/acts'
import { openableWithoutOwner } from '@cloister/core/charter/explain'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { attempt, orRefuse, Refused, refuse, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { checkSql } from '../guest/engines/sql/index.ts'
import { keyVersion, knownLineage, lineageView, sendChange, type LineageView, type Sent } from '../sdk/broker.ts'
import type { BrokerClient } from '../sdk/client.ts'
import { aboutChange, changeOf, standingOf, type ChangeRequest, type ChangeStanding, type ChangeVerb } from './change.ts'
import { baseFor, changeAt, digestOf, isChange, lineageOf, openBase, openChange, replaceFile, writeActs, writeChange, type Base, type OpenChange } from './change-folder.ts'
import { everyDifference } from './change-words.ts'
import { findCode, openFolder, readText, type CharterFolder } from './folder.ts'
import { emergencies, picture, signatures } from './picture.ts'
import { partyOf, shownToSign, signActs, type SignOptions, type ToSign } from './sign.ts'
import { follow, type Edited } from './successor.ts'
import { brokerUrls, cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

export interface LifeOptions extends SignOptions {
  readonly against?: string
  /** An address, or true for the cloud that `cloister up` started here. */
  readonly cloud?: string | true
  /** Several brokers of one charter, with commas between: each is told. */
  readonly brokers?: string
  readonly lineage?: string
  readonly check?: boolean
  readonly requireApproved?: boolean
  readonly subject?: string
}

/** What a charter is, or what it changes, for whom, who must sign and who has; nothing is sent. */
export async function plan(screen: Screen, path: string, options: LifeOptions): Promise<void> {
  const change = await planned(screen, path, options)
  const view = !isSent(options) ? undefined : await knownLineage(clientOf(options), change.lineage)
  const heard = view?.proposals.find(one => one.digest === change.digest)
  const whole = { ...change, acts: [...change.acts, ...(heard?.acts ?? []).filter(act => !change.acts.some(one => one.verb === act.verb && one.party === act.party && one.key === act.key))] }
  const standing = standingOf(p, whole)
  const programs = isChange(path) ? {} : await checkPrograms(screen, openFolder(path))
  const exposed = openableWithoutOwner(change.next)
  picture(screen, whole, standing, { ...(heard?.includedAt === undefined ? {} : { includedAt: heard.includedAt }), ...(view === undefined ? {} : { history: view.history }) })
  for (const one of exposed) screen.warn(one.line)
  if (view !== undefined) emergencies(screen, view, Date.now() / 1000)
  if (options.requireApproved === true) checkBase(change, options, view)
  if (options.requireApproved === true && standing.missing !== undefined) throw new Refused({ ...standing.missing, fix: missingFix(path, standing) })
  const { digest, lineage, next, prev, reviewed } = change
  screen.result({
    ok: true, change: reviewed?.change ?? 'new', digest, lineage, epoch: next.epoch, ...(reviewed === undefined || prev === undefined ? {} : { review: reviewed, differences: everyDifference(prev, next) }),
    standing, notice: reviewed?.notice ?? 0, ...(heard?.includedAt === undefined || reviewed === undefined ? {} : { earliest: new Date((heard.includedAt + reviewed.notice) * 1000).toISOString() }),
    programs, openableWithoutOwner: exposed,
  }, `${reviewed?.change ?? 'new charter'}: ${digest}`)
}

/** What a change is on top of must come from elsewhere than the change itself: whoever writes both could have invented the charter before. */
function checkBase({ next, digest }: ChangeRequest, { against, cloud }: LifeOptions, view: LineageView | undefined): void {
  if (next.epoch === 1 || against !== undefined) return
  if (cloud === undefined) refuse('cli.usage', '--require-approved', '--against with the charter in force, or --cloud', 'nothing to hold the change against', 'cloister plan FOLDER --against CHECKOUT_OF_MAIN --require-approved')
  if (view?.digest !== next.prev && view?.history.includes(digest) !== true) refuse('charter.stale-proposal', 'prev', `${view?.digest ?? 'a lineage of this broker'}, the newest charter`, next.prev ?? 'none', 'propose again on top of the newest charter')
}

const missingFix = (path: string, { parties }: ChangeStanding) => parties.filter(one => one.asked.length > 0 && !one.approved).map(({ party }) => `cloister approve ${path} --party ${party}`).join('; ')

/** The change request at a path, or the one that `propose` would write. With `against`, it must follow that charter. */
async function planned(screen: Screen, path: string, options: LifeOptions): Promise<ChangeRequest> {
  if (isChange(path)) return following(openChange(path), options)
  const from = openFolder(path)
  return changeAt(from) === undefined ? (await drafted(screen, from, options)).change : following(openChange(path), options)
}

/** A change that follows the charter at `against` (or is it), of the same lineage. */
function following(change: ChangeRequest, { against, lineage }: LifeOptions): ChangeRequest {
  if (against === undefined) return change
  const base = openBase(against, hashText(lineage, '--lineage'))
  const digest = digestOf(base.charter)
  if (base.lineage !== change.lineage) refuse('charter.lineage', 'lineage', base.lineage, change.lineage)
  if (change.next.prev !== digest && change.digest !== digest) refuse('charter.not-a-successor', 'prev', `${digest}, the charter at ${against}`, change.next.prev ?? 'none', 'propose again on top of it')
  return change
}

/** The change that a charter's text makes. Where its epoch and `prev` are still those of the charter it follows, they are filled in. */
async function drafted(screen: Screen, from: CharterFolder, options: LifeOptions): Promise<{ change: ChangeRequest; edited?: Edited }> {
  const text = readText(from.file)
  const base = await baseOf(from, options)
  if (base === undefined || from.digest === digestOf(base.charter) || from.charter.epoch !== base.charter.epoch || from.charter.prev !== base.charter.prev) {
    const change = changeOf(p, text, base)
    return change.ok || change.refusal.code !== 'charter.change' ? { change: orRefuse(change) } : refuse('cli.usage', '--against', 'the charter that this one follows', 'nothing', `cloister plan ${from.file} --against PREVIOUS`)
  }
  const edited = follow(p, text, from.charter, base.charter)
  screen.warn(`${from.file}: epoch ${edited.charter.epoch}, prev ${edited.charter.prev}${edited.rewritten ? ' (written anew: comments are lost)' : ''}`)
  return { change: orRefuse(changeOf(p, edited.text, base)), edited }
}

/** What a charter follows: the charter that was named, else the one that the cloud has in force, else what lies beside it. */
async function baseOf(from: CharterFolder, options: LifeOptions): Promise<Base | undefined> {
  const named = hashText(options.lineage, '--lineage')
  if (options.against !== undefined) return openBase(options.against, named)
  const near = attempt(() => baseFor(from))
  if (!isSent(options)) return orRefuse(near)
  const view = await knownLineage(clientOf(options), named ?? (near.ok ? near.value?.lineage : undefined) ?? lineageOf(from))
  return view === undefined || view.digest === from.digest ? orRefuse(near) : { charter: view.charter, lineage: view.lineage }
}

/** Write a changed charter down as a change request; with a party, signed as its proposal. `check` compares and writes nothing. */
export async function propose(screen: Screen, path: string, options: LifeOptions): Promise<void> {
  if (options.check === true) return checkWritten(screen, path, options)
  await act(screen, 'propose', isChange(path) ? path : await writtenDown(screen, openFolder(path), options), options)
}

async function writtenDown(screen: Screen, from: CharterFolder, options: LifeOptions): Promise<string> {
  const { change, edited } = await drafted(screen, from, options)
  if (edited !== undefined) replaceFile(from.file, edited.text)
  return writeChange(from.folder, change)
}

/** Is the change request exactly what `propose` would write? Leaves with `charter.change` and the first difference. */
async function checkWritten(screen: Screen, path: string, options: LifeOptions): Promise<void> {
  const found = isChange(path) ? openChange(path) : await sameAsWritten(screen, openFolder(path), options)
  screen.result({ ok: true, change: found.path, digest: found.digest }, `${found.path} says what its charter says`)
}

async function sameAsWritten(screen: Screen, from: CharterFolder, options: LifeOptions): Promise<OpenChange> {
  const { change, edited } = await drafted(screen, from, options)
  const mend = `cloister propose ${from.folder}`
  if (edited !== undefined) refuse('charter.change', from.file, `epoch ${change.next.epoch} and prev ${change.next.prev}`, `epoch ${from.charter.epoch}`, mend)
  const found = openChange(from.folder)
  return found.text === change.text ? found : refuse('charter.change', `${found.path}/charter.yaml`, 'the text of the proposed charter', 'another text with the same meaning', mend)
}

/** Sign a change request as a party and, with `cloud`, send all of it. */
export async function act(screen: Screen, verb: ChangeVerb, path: string, options: LifeOptions): Promise<void> {
  const before = openChange(path)
  const signed = options.party === undefined && (verb === 'propose' || (verb === 'enact' && isSent(options))) ? { acts: [] }
    : signActs(before.home, { ...aboutChange(before), verb, party: partyOf(options) }, chartersOf(before), options)
  if ('toSign' in signed) return screen.result({ ok: true, verb, change: before.path, toSign: signed.toSign }, shownToSign(signed.toSign))
  if (verb === 'approve' && signed.acts.some(one => before.acts.some(other => other.verb === 'veto' && other.party === one.party && other.key === one.key))) refuse('charter.act', `${before.path}/vetoes`, 'an approval that was not taken back', `${options.party} vetoed`, 'propose it anew with a change')
  const files = writeActs(before.path, signed.acts)
  const change = openChange(before.path)
  const standing = standingOf(p, change)
  const answers = isSent(options) ? await toEach(clientsOf(options), client => send(client, change, standing, verb)) : []
  tell(screen, verb, change, standing, files, answers)
}

const chartersOf = ({ prev, next }: ChangeRequest): Charter[] => [...(prev === undefined ? [] : [prev]), next]

/** A founding charter waits in its folder until every party has approved; everything else a broker can hold open. */
async function send(client: BrokerClient, change: OpenChange, standing: ChangeStanding, verb: ChangeVerb): Promise<Sent | undefined> {
  if (change.next.epoch === 1 && !standing.approved && verb !== 'enact') return undefined
  if (verb === 'enact' && change.next.epoch > 1 && !change.acts.some(one => one.verb === 'enact')) refuse('charter.act', 'enactments', 'an enactment signed by a party', 'none', `cloister enact ${change.path} --party NAME`)
  try {
    return await sendChange(client, change, verb === 'enact')
  } catch (error) {
    if (error instanceof Refused && (error.refusal.code === 'charter.not-approved' || error.refusal.code === 'charter.quorum')) throw new Refused({ ...error.refusal, fix: missingFix(change.path, standing) })
    throw error
  }
}

function tell(screen: Screen, verb: ChangeVerb, change: OpenChange, standing: ChangeStanding, files: readonly string[], answers: readonly (Sent | undefined)[]): void {
  if (verb === 'propose') picture(screen, change, standing, {})
  else signatures(screen, change, standing)
  const heard = answers.filter(one => one !== undefined)
  const inForce = heard.length > 0 && heard.every(one => one.inForce)
  const state = inForce ? `in force: epoch ${change.next.epoch} (${change.digest})` : standing.approved ? 'everybody who must sign has signed' : (standing.missing?.got ?? '')
  if (heard.length === 0) screen.say(`nothing was sent: commit ${change.path}; --cloud sends it`)
  screen.result({
    ok: true, verb, change: change.path, lineage: change.lineage, digest: change.digest, files, standing,
    ...(heard.length === 0 ? {} : { sent: [...new Set(heard.flatMap(one => one.sent))], inForce, newest: heard[0]?.newest }),
  }, `${change.path}\n${state}`)
}

/** Take back an asset, a program or the whole charter, or give an asset's key its next version (`rotate`); each broker acts with its answer. */
export async function atOnce(screen: Screen, verb: 'revoke' | 'rotate', path: string, options: LifeOptions): Promise<void> {
  const from = openFolder(path)
  const clients = clientsOf(options)
  if (options.print !== undefined && clients.length > 1) refuse('cli.usage', '--print', 'one broker: each has its own version of a key', `${clients.length}`)
  const [done = {}] = await toEach(clients, client => saidAt(screen, verb, from, client, options))
  screen.result({ ok: true, verb, ...done }, 'toSign' in done ? shownToSign(done.toSign) : `${verb}: ${options.party} signed; ${done.effective === true ? 'in effect now' : 'waiting for more signatures'}`)
}

interface Said { readonly lineage?: Hash; readonly digest?: Hash; readonly subject?: string; readonly effective?: boolean }
async function saidAt(screen: Screen, verb: 'revoke' | 'rotate', from: CharterFolder, client: BrokerClient, options: LifeOptions): Promise<Said | { toSign: ToSign }> {
  const view = await lineageView(client, lineageOf(from, hashText(options.lineage, '--lineage')))
  const { lineage, digest, charter } = view
  const subject = subjectOf(options.subject ?? 'charter', view)
  const body: ActBody = { verb, lineage, digest, epoch: charter.epoch, party: partyOf(options), ...(charter.prev === undefined ? {} : { prev: charter.prev }), ...(subject === undefined ? {} : { subject }) }
  emergencies(screen, view, Date.now() / 1000)
  const signed = signActs(from.folder, body, [charter], options)
  if ('toSign' in signed) return signed
  const effective = await sendUntilEffective(client, signed.acts)
  if (!effective) screen.warn(`${client.url}: not in effect yet: the charter and its programs need ${charter.change.widen.need} of ${charter.change.widen.of.join(', ')}, an asset as many keys as its owner's quorum`)
  return { lineage, digest, subject: subject ?? 'charter', effective }
}

/** A rotation is in effect with its first act, a revocation when the broker says so. */
async function sendUntilEffective(client: BrokerClient, acts: readonly Act[]): Promise<boolean> {
  for (const one of acts) if ((await client.send('/v1/acts', { act: one }))['effective'] === true || one.verb === 'rotate') return true
  return false
}

/** What is revoked, as the act names it: an asset with the version of its key, a program, or nothing for the whole charter. */
function subjectOf(subject: string, { body, charter }: LineageView): string | undefined {
  const [, kind, name] = /^(?:(asset|program) ([a-z][a-z0-9-]{0,31})|charter)$/.exec(subject) ?? refuse('cli.usage', '--subject', '"asset NAME", "program NAME" or charter', subject, 'a grant is taken back by a charter without it: cloister propose')
  if (kind === undefined || name === undefined) return undefined
  const names = Object.keys(kind === 'program' ? charter.programs : charter.assets)
  if (!names.includes(name)) refuse(kind === 'program' ? 'program.unknown' : 'asset.unknown', '--subject', names.join(', '), name)
  return kind === 'program' ? `program:${name}` : `${name}@${keyVersion(body, name)}`
}

const isSent = ({ cloud, brokers }: LifeOptions) => cloud !== undefined || brokers !== undefined
const clientOf = (options: LifeOptions): BrokerClient => clientsOf(options)[0] ?? cloudOf(undefined)

/** The brokers that `--brokers` or `--cloud` names, or the one that `cloister up` started here. */
function clientsOf({ cloud, brokers }: LifeOptions): BrokerClient[] {
  const url = cloud === true ? undefined : cloud
  return brokers === undefined ? [cloudOf(url)] : brokerUrls({ brokers, ...(url === undefined ? {} : { cloud: url }) }).map(one => cloudOf(one))
}

/** Tell every broker, also when one refuses; then leave with the first refusal, and say whose it was. */
async function toEach<T>(clients: readonly BrokerClient[], tellOne: (client: BrokerClient) => Promise<T>): Promise<T[]> {
  const done: T[] = []
  let refused: Refusal | undefined
  for (const client of clients) {
    try {
      done.push(await tellOne(client))
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      refused ??= clients.length === 1 ? error.refusal : { ...error.refusal, at: `${client.url} ${error.refusal.at}` }
    }
  }
  if (refused !== undefined) throw new Refused(refused)
  return done
}

/** A digest as it stands on a command line. */
export function hashText(text: string | undefined, at: string): Hash | undefined {
  if (text === undefined) return undefined
  return /^sha256:[0-9a-f]{64}$/.test(text) ? (text as Hash) : refuse('cli.usage', at, 'sha256:<hex>', text) // the pattern is the type
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