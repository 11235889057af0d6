/**
 * A change request: a directory that people review as files in git, one per proposed charter (charter.md section 7).
 *
 *   charter.yaml              the proposed text, as people wrote it
 *   previous.json             the charter it follows, in canonical form (not at epoch 1)
 *   change.json               which lineage, epoch, predecessor and digest this is
 *   CHANGE.md                 what it narrows and widens, for whom, and who must sign: generated, for reading
 *   approvals/<party>-<key id>.json   one signed act each; so too proposals/, vetoes/ and enactments/
 *
 * Everything but charter.yaml and the acts is made from them, so a file that says something else is refused. No two acts
 * share a file: copies of a change request merge by copying. Pure: files are a map from path to text. Trusts nothing in
 * it; an act counts only when its signature holds by a key of one of the two charters.
 */
import { isObject, parseJson, type Json } from '@cloister/core/bytes/json'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseAct, verifyAct, type Act, type ActBody, type Verb } from '@cloister/core/charter/acts'
import { canonicalCharter, charterDigest } from '@cloister/core/charter/canonical'
import { own, parseCharter } from '@cloister/core/charter/parse'
import { review, type Review } from '@cloister/core/charter/review'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { keyId } from '@cloister/core/charter/plan'
import { changeDocument } from './change-words.ts'

export { keyId, standingOf, type ChangeStanding, type PartyStanding } from '@cloister/core/charter/plan'

export interface ChangeRequest {
  readonly lineage: Hash
  readonly digest: Hash
  readonly next: Charter
  /** Absent at epoch 1, where every party must sign. */
  readonly prev?: Charter
  readonly reviewed?: Review
  /** charter.yaml, byte for byte. */
  readonly text: string
  readonly acts: readonly Act[]
}

/** Verbs whose acts lie in a change request, and the directory of each. */
export const ACT_FOLDERS = { propose: 'proposals', approve: 'approvals', veto: 'vetoes', enact: 'enactments' } as const
export type ChangeVerb = keyof typeof ACT_FOLDERS
export const LIMITS = { fileBytes: 16 << 20, files: 4 * 64 * 16 + 8 } as const

/**
 * The change request that a charter's text makes, on top of `base` (absent at epoch 1). Leaves with the charter's own
 * refusal or `charter.not-a-successor`.
 */
export function changeOf(p: Primitives, text: string, base?: { readonly charter: Charter; readonly lineage: Hash }, acts: readonly Act[] = []): Result<ChangeRequest> {
  return attempt(() => {
    const next = orRefuse(parseCharterYaml(text))
    const digest = charterDigest(p, next)
    if (next.epoch === 1) return { lineage: digest, digest, next, text, acts }
    const { charter: prev, lineage } = base ?? refuse('charter.change', 'previous.json', 'the charter it follows', 'nothing', 'cloister propose FOLDER --against PREVIOUS')
    const reviewed = orRefuse(review(p, prev, next))
    return { lineage: lineageAfter(p, prev, lineage), digest, next, prev, reviewed, text, acts }
  })
}

/** At epoch 1 and 2 a charter names its lineage; later it is carried along, and every signature covers it. */
function lineageAfter(p: Primitives, prev: Charter, told: Hash): Hash {
  const known = prev.epoch === 1 ? charterDigest(p, prev) : prev.epoch === 2 ? prev.prev : undefined
  return known === undefined || known === told ? told : refuse('charter.lineage', 'lineage', known, told)
}

/** What is generated from a change request, by path. */
export function documentsOf(change: ChangeRequest): Map<string, string> {
  const { lineage, digest, next, prev } = change
  return new Map([
    ['change.json', pretty({ change: 1, lineage, digest, epoch: next.epoch, ...(next.prev === undefined ? {} : { prev: next.prev }) })],
    ['CHANGE.md', changeDocument(change)],
    ...(prev === undefined ? [] : [['previous.json', `${new TextDecoder().decode(canonicalCharter(prev))}\n`] as const]),
  ])
}

/** Name of a change request's directory: the epoch and the first 48 bits of the digest. */
export const changeName = (epoch: number, digest: Hash): string => `${String(epoch).padStart(4, '0')}-${digest.slice(7, 19)}`

/** Where an act lies, and its text. */
export function actFile(p: Primitives, act: Act): { path: string; text: string } {
  const folder = isChangeVerb(act.verb) ? ACT_FOLDERS[act.verb] : refuse('charter.act', 'act.verb', Object.keys(ACT_FOLDERS).join(', '), act.verb)
  return { path: `${folder}/${act.party}-${keyId(p, act.key)}.json`, text: pretty({ ...act }) }
}

/**
 * Read a change request and verify every file of it. Refuses `charter.change` for a file that is missing, unknown or not
 * what the charter makes of it, and `charter.act` for an act that does not hold.
 *
 * @example
 * readChange(p, new Map([['charter.yaml', text], ['change.json', …], ['CHANGE.md', …]]))
 */
export function readChange(p: Primitives, files: ReadonlyMap<string, string>): Result<ChangeRequest> {
  return attempt(() => {
    const change = orRefuse(readPast(p, files))
    sameText('CHANGE.md', changeDocument(change), fileOf(files, 'CHANGE.md'))
    return change
  })
}

/** The same for a change that is history: all but the words of CHANGE.md, which another version may have put otherwise. */
export function readPast(p: Primitives, files: ReadonlyMap<string, string>): Result<ChangeRequest> {
  return attempt(() => {
    if (files.size > LIMITS.files) refuse('charter.change', 'files', `at most ${LIMITS.files}`, String(files.size))
    const base = files.has('previous.json') ? baseOf(files) : undefined
    const change = orRefuse(changeOf(p, fileOf(files, 'charter.yaml'), base))
    const documents = documentsOf(change)
    for (const [path, text] of documents) if (path !== 'CHANGE.md') sameText(path, text, fileOf(files, path))
    const acts = [...files.keys()].sort().filter(path => path !== 'charter.yaml' && !documents.has(path)).map(path => readAct(p, change, path, fileOf(files, path)))
    return { ...change, acts }
  })
}

function fileOf(files: ReadonlyMap<string, string>, path: string): string {
  return files.get(path) ?? refuse('charter.change', path, 'a file of the change request', 'nothing', MAKE_AGAIN)
}

function baseOf(files: ReadonlyMap<string, string>): { charter: Charter; lineage: Hash } {
  const told = parseJson(fileOf(files, 'change.json'), { bytes: 4096, depth: 2, entries: 16, string: 128 })
  const lineage = isObject(told) ? told['lineage'] : undefined
  if (typeof lineage !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(lineage)) return refuse('charter.change', 'change.json', 'a lineage', 'nothing', MAKE_AGAIN)
  return { charter: orRefuse(parseCharter(fileOf(files, 'previous.json').trimEnd())), lineage: lineage as Hash } // the pattern is the type
}

function sameText(path: string, expected: string, got: string): void {
  if (expected === got) return
  const difference = firstDifference(expected, got)
  refuse('charter.change', `${path}:${difference.line}`, difference.expected, difference.got, MAKE_AGAIN)
}

/** The first line in which two texts differ. */
export function firstDifference(expected: string, got: string): { line: number; expected: string; got: string } {
  const [left, right] = [expected.split('\n'), got.split('\n')]
  const at = left.findIndex((line, i) => line !== right[i])
  const index = at === -1 ? left.length : at
  return { line: index + 1, expected: left[index] ?? 'the end of the file', got: right[index] ?? 'the end of the file' }
}

function readAct(p: Primitives, change: ChangeRequest, path: string, text: string): Act {
  const [, folder = '', party] = ACT_PATH.exec(path) ?? refuse('charter.change', path, `charter.yaml, ${[...documentsOf(change).keys()].join(', ')}, or an act in ${Object.values(ACT_FOLDERS).join('/, ')}/`, 'another file', 'take it out')
  const act = parseAct(parseJson(text, { bytes: 32 * 1024, depth: 8, entries: 64, string: 16 * 1024 }), path)
  const verb = (Object.keys(ACT_FOLDERS) as ChangeVerb[]).find(one => ACT_FOLDERS[one] === folder) // keys of a literal
  const about = aboutChange(change)
  for (const [field, expected, got] of [['verb', verb, act.verb], ['party', party, act.party], ...(['lineage', 'digest', 'epoch', 'prev', 'subject'] as const).map(field => [field, about[field], act[field]] as const)] as const) {
    if (expected !== got) refuse('charter.act', `${path} ${field}`, String(expected), String(got), `it is about another change: take it out, or let ${act.party} sign this one`)
  }
  orRefuse(signedByParty(p, change, act, path))
  const file = actFile(p, act)
  if (file.path !== path) refuse('charter.act', path, file.path, path, 'give it the name of its key')
  sameText(path, file.text, text)
  return act
}

const ACT_PATH = new RegExp(`^(${Object.values(ACT_FOLDERS).join('|')})/([a-z][a-z0-9-]{0,31})-[0-9a-f]{12}\\.json$`)

/** Does an act hold by a key that its party has in the charter before or after? */
export function signedByParty(p: Primitives, { prev, next }: Pick<ChangeRequest, 'prev' | 'next'>, act: Act, at = 'act'): Result<void> {
  const verdicts = [prev, next].flatMap(charter => (charter === undefined || own(charter.parties, act.party) === undefined ? [] : [verifyAct(p, charter, act, at)]))
  return verdicts.find(verdict => verdict.ok) ?? verdicts[0] ?? verifyAct(p, next, act, at)
}

/** What every act about a change says, beside its verb and party. */
export function aboutChange({ lineage, digest, next }: ChangeRequest): Omit<ActBody, 'verb' | 'party'> {
  return { lineage, digest, epoch: next.epoch, ...(next.prev === undefined ? {} : { prev: next.prev }) }
}

/** One exact text for a value: keys sorted, two spaces, one line at a time, so that a review shows what changed. */
function pretty(value: Json): string {
  return `${JSON.stringify(JSON.parse(jcs(value)), undefined, 2)}\n`
}

const isChangeVerb = (verb: Verb): verb is ChangeVerb => Object.hasOwn(ACT_FOLDERS, verb)
const MAKE_AGAIN = 'cloister propose FOLDER makes it again from charter.yaml'
