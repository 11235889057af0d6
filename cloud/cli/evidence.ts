/**
 * `cloister verify` of evidence, in any form in which tools write it: judged at a time, with collateral from beside it, held
 * against what it must be bound to and a policy, and beside today's verdict (`--as-of`). Offline: nothing is fetched.
 */
import { existsSync, statSync } from 'node:fs'
import { appraise, type Appraisal } from '@cloister/core/appraisal/appraise'
import { differencesOf, type Difference } from '@cloister/core/appraisal/as-of'
import { parsePolicyFile } from '@cloister/core/appraisal/policy'
import { shortfall } from '@cloister/core/appraisal/tcb'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { isObject, parseJson, type Json, type JsonObject } from '@cloister/core/bytes/json'
import type { Claims } from '@cloister/core/evidence/claims'
import { assemble, type Piece } from '@cloister/core/evidence/detect'
import { withCollateral } from '@cloister/core/evidence/endorse'
import { answersTo, explain, toLines } from '@cloister/core/evidence/explain'
import { readForeign, verifyForeign, type ForeignVerdict } from '@cloister/core/evidence/foreign/foreign'
import { parseEvidence, verifyEvidence, type VerifyOptions } from '@cloister/core/evidence/index'
import { parseTrust } from '@cloister/core/evidence/trust'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { collateralFor } from '../collateral/fill.ts'
import { openCollateral } from '../collateral/store.ts'
import { nodePrimitives } from '../crypto/node.ts'
import { readText } from './folder.ts'
import type { Screen } from './screen.ts'

export interface EvidenceOptions {
  readonly at?: string
  readonly asOf?: string
  readonly reportData?: string
  readonly nonce?: string
  /** A file with collateral, or a folder of `cloister collateral`. */
  readonly collateral?: string
  readonly policy?: string
  readonly trust?: string
  /** Refuse a document with devices that the machine itself did not sign over. */
  readonly whole?: boolean
}

const p = nodePrimitives

/** What was found: the verdict that counts, of a foreign document what it binds, and with `--as-of` today's beside it. */
interface Found {
  readonly claims: Claims
  readonly foreign?: Omit<ForeignVerdict, 'claims'>
  readonly appraisal?: Appraisal
  readonly today?: Result<Claims>
  readonly differences?: readonly Difference[]
}

/** Judges the evidence in these pieces of files and shows the verdict. Leaves with the refusal of whatever does not hold. */
export function verifyEvidenceFiles(screen: Screen, pieces: readonly Piece[], options: EvidenceOptions, inWords: boolean): void {
  if (options.at !== undefined && options.asOf !== undefined) refuse('cli.usage', '--as-of', '--at for one time, or --as-of to see today beside it', 'both')
  const [only, more] = pieces
  const found = only?.what === 'json' && more === undefined ? judgeForeign(only.json ?? null, options) : judgeOwn(screen, orRefuse(assemble(pieces)), options)
  show(screen, found, options, inWords)
  const { claims, foreign, appraisal, today, differences } = found
  const text = `${claims.tee} ${claims.product}${claims.simulated ? ' (SIMULATED)' : ''}: measurement ${claims.measurement}`
  screen.result({
    ok: true, kind: 'evidence', claims, explanation: explain(claims, comparedIn(found, options)), ...(foreign === undefined ? {} : { foreign }), ...(appraisal === undefined ? {} : { checks: appraisal.checks, ear: appraisal.ear }),
    ...(today === undefined ? {} : { today: today.ok ? { ok: true } : today, differences }),
  }, text)
}

function judgeOwn(screen: Screen, json: JsonObject, options: EvidenceOptions): Found {
  const now = seconds('--at', options.asOf ?? options.at)
  const verdict = judge(completed(screen, json, options, now, options.asOf !== undefined), now, options)
  const claims = orRefuse(verdict)
  checkBound(claims, options)
  if (options.asOf === undefined) return { claims, ...appraised(claims, options, now) }
  const today = seconds('', undefined)
  const judged = judge(completed(screen, json, options, today, false), today, options)
  return { claims, ...appraised(claims, options, now), today: judged, differences: differencesOf(verdict, judged) }
}

function judgeForeign(json: Json, options: EvidenceOptions): Found {
  const now = seconds('--at', options.asOf ?? options.at)
  if (options.asOf !== undefined) refuse('cli.usage', '--as-of', 'evidence of a single machine in its own form', 'a document of another system', 'judge it --at that time')
  const beside = options.collateral === undefined ? {} : { collateral: collateralFile(options.collateral) }
  const nonce = options.nonce === undefined ? {} : { nonce: hexOf('--nonce', options.nonce) }
  const foreign = orRefuse(verifyForeign(p, orRefuse(readForeign(p, json, { ...beside, ...nonce })), { ...trusted(options), now, ...(options.whole === true ? { whole: true } : {}) }))
  const { claims, ...rest } = foreign
  checkBound(foreign.challenge === undefined ? claims : { ...claims, reportData: foreign.challenge }, { ...options, reportData: undefined })
  checkBound(claims, { ...options, nonce: undefined })
  return { claims, foreign: rest, ...appraised(claims, options, now) }
}

/** Evidence with the collateral of a time: from a store the documents in force then; a file is today's, which the past did not have. */
function completed(screen: Screen, json: JsonObject, { collateral }: EvidenceOptions, now: number, past: boolean): JsonObject {
  if (collateral === undefined) return json
  if (existsSync(collateral) && statSync(collateral).isDirectory()) {
    const { evidence, missing } = orRefuse(collateralFor(p, openCollateral(collateral), json, now))
    for (const { what, fix } of missing) screen.warn(`missing in ${collateral}: ${what}: ${fix}`)
    return evidence
  }
  return past ? json : orRefuse(withCollateral(json, collateralFile(collateral)))
}

const COLLATERAL_TEXT = { bytes: 16 << 20, depth: 32, entries: 100_000, string: 8 << 20 }
const collateralFile = (path: string): Json => parseJson(readText(path), COLLATERAL_TEXT)

const trusted = ({ trust }: EvidenceOptions): Omit<VerifyOptions, 'now'> => (trust === undefined ? {} : orRefuse(parseTrust(readText(trust))))
const judge = (json: JsonObject, now: number, options: EvidenceOptions): Result<Claims> => attempt(() => orRefuse(verifyEvidence(p, orRefuse(parseEvidence(json)), { ...trusted(options), now })))

function seconds(option: string, text: string | undefined): number {
  const at = text === undefined ? Date.now() : Date.parse(text)
  return Number.isNaN(at) ? refuse('cli.usage', option, 'a time like 2026-11-20T12:00:00Z', text ?? '') : Math.floor(at / 1000)
}

/** Is the evidence bound to what the caller asked for? A nonce shorter than its field is followed by zeros. */
function checkBound(claims: Claims, { reportData, nonce }: { readonly reportData?: string | undefined; readonly nonce?: string | undefined }): void {
  if (reportData !== undefined && claims.reportData !== hexOf('--report-data', reportData)) refuse('evidence.report-data', 'claims.reportData', reportData, claims.reportData)
  if (nonce === undefined) return
  const asked = hexOf('--nonce', nonce)
  if (!answersTo(claims, asked)) refuse('evidence.report-data', 'claims.reportData', `the nonce ${asked}`, claims.reportData, 'evidence of another request: ask for it again with this nonce')
}

function hexOf(option: string, text: string): string {
  const read = attempt(() => toHex(fromHex(text.toLowerCase().replace(/^0x/, ''))))
  return read.ok && read.value !== '' ? read.value : refuse('cli.usage', option, 'bytes in hex', text)
}

function appraised(claims: Claims, options: EvidenceOptions, now: number): { appraisal?: Appraisal } {
  if (options.policy === undefined) return {}
  const policy = orRefuse(parsePolicyFile(readText(options.policy)))
  // With --nonce it has just been found to be bound to it.
  const reportData = options.reportData === undefined ? policy.reportData ?? (options.nonce === undefined ? undefined : claims.reportData) : hexOf('--report-data', options.reportData)
  if (reportData === undefined) return refuse('cli.usage', '--report-data', 'what the evidence must be bound to: reportData in the policy, --report-data or --nonce', 'nothing')
  return { appraisal: orRefuse(appraise(p, claims, { ...policy, reportData }, now)) }
}

// ---- what a person sees

const comparedIn = ({ appraisal }: Found, { nonce, reportData }: EvidenceOptions) => ({ nonce: nonce !== undefined || reportData !== undefined || appraisal !== undefined, ...(appraisal === undefined ? {} : { reference: appraisal.reference }) })

function show(screen: Screen, found: Found, options: EvidenceOptions, inWords: boolean): void {
  const { claims, foreign, appraisal } = found
  const explanation = explain(claims, comparedIn(found, options))
  if (claims.simulated) screen.warn('SIMULATED silicon: anybody can make this')
  if (inWords) for (const line of toLines(explanation)) screen.say(line)
  if (!inWords) for (const line of explanation.proven) screen.ok(line)
  if (!inWords) for (const line of explanation.notProven) screen.warn(`NOT PROVEN: ${line}`)
  const lacking = shortfall(claims)
  if (appraisal === undefined) lacking === undefined ? screen.ok('patch levels: at or above the reviewed minimum') : screen.warn(`patch levels: ${lacking}`)
  for (const check of appraisal?.checks ?? []) check.result === 'held' ? screen.ok(`${check.id}: ${check.detail}`) : screen.warn(`${check.id}: NOT CHECKED: ${check.detail}`)
  if (foreign !== undefined) showForeign(screen, foreign)
  showToday(screen, found, options.asOf ?? '')
}

function showForeign(screen: Screen, { form, bindings, keys, app, endorsement, beside, unbound }: Omit<ForeignVerdict, 'claims'>): void {
  screen.say(`a document of the form ${form}`)
  for (const line of bindings) screen.ok(`bound: ${line}`)
  for (const [name, hex] of Object.entries(keys)) screen.ok(`bound: the key ${name}, ${hex}`)
  if (endorsement !== undefined) screen.ok(`the measurement is endorsed as ${endorsement.feed}, security version ${endorsement.svn}, by ${endorsement.issuer}`)
  for (const [name, hex] of Object.entries(app ?? {})) screen.ok(`${name}: ${hex}`)
  for (const { role, claims } of beside) screen.warn(`a ${role} (${claims.product}) is genuine, and nothing says that it is in this machine`)
  for (const line of unbound) screen.warn(`NOT BOUND: ${line}`)
}

function showToday(screen: Screen, { today, differences = [] }: Found, asOf: string): void {
  if (today === undefined) return
  if (differences.length === 0) return screen.ok(`today the verdict is the same as at ${asOf}`)
  screen.warn(today.ok ? `accepted today as well, but not alike: ${differences.length} differences since ${asOf}` : `REFUSED today: accepted only as of ${asOf}`)
  for (const { path, then, today: now } of differences) screen.say(`  ${path}\n    then   ${then}\n    today  ${now}`)
}

/** Is it a charter? It says so in its first field, whatever it is written in. */
export const isCharter = (piece: Piece): boolean => piece.what === 'text' || (piece.what === 'json' && isObject(piece.json) && piece.json['charter'] !== undefined)
