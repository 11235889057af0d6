/**
 * `cloister verify` and `cloister explain`: what a file is, whether it holds, what was proven and what was not. Offline:
 * nothing is fetched, nobody is asked. Kinds: a receipt bundle, evidence of every machine (`evidence.ts`; several files of
 * one machine together), a charter, a .tlog-proof.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { charterDigest } from '@cloister/core/charter/canonical'
import { openableWithoutOwner } from '@cloister/core/charter/explain'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import type { Claims } from '@cloister/core/evidence/claims'
import { detect } from '@cloister/core/evidence/detect'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { parsePolicy, verifyCheckpoint } from '@cloister/core/log/policy'
import { parseProof } from '@cloister/core/log/proof'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { parseBundle, verifyReceipt, type Verdict } from '@cloister/core/verify'
import { nodePrimitives } from '../crypto/node.ts'
import { BROKERS_MAX } from '../provider/wire.ts'
import { isCharter, verifyEvidenceFiles, type EvidenceOptions } from './evidence.ts'
import { readBytes, readText } from './folder.ts'
import type { Screen } from './screen.ts'

export interface VerifyOptions extends EvidenceOptions { readonly output: readonly string[] }

const p = nodePrimitives

export function verifyCommand(screen: Screen, files: readonly string[], options: VerifyOptions, inWords: boolean): void {
  const [file = '', ...others] = files
  const pieces = files.flatMap(name => orRefuse(detect(p, { name, bytes: readBytes(name) })))
  const [first] = pieces
  const kind = first === undefined ? undefined : first.what === 'receipt' || first.what === 'tlog-proof' ? first.what : isCharter(first) ? 'charter' : undefined
  if (kind === undefined) return verifyEvidenceFiles(screen, pieces, options, inWords)
  if (others.length > 0) refuse('cli.usage', 'command line', `one ${kind} at a time`, `${files.length} files`)
  const text = readText(file)
  if (kind === 'receipt') return receipt(screen, file, text, options, inWords)
  return kind === 'tlog-proof' ? proof(screen, text, options) : charter(screen, text)
}

function receipt(screen: Screen, file: string, text: string, options: VerifyOptions, inWords: boolean): void {
  const beside = join(dirname(file), 'log.policy')
  const besides = [beside, ...Array.from({ length: BROKERS_MAX }, (_, i) => join(dirname(file), `log-${i + 2}.policy`))].filter(path => existsSync(path))
  // Where keys were split each broker has a log of its own, and each log a policy: files with commas between.
  const [policy, ...otherPolicies] = (options.policy?.split(',') ?? besides).map(path => orRefuse(parsePolicy(readText(path))))
  if (policy === undefined) return refuse('log.witnesses', '--policy', 'the keys of the log and its witnesses, from somebody you trust', 'nothing', `cloister verify ${file} --policy log.policy`)
  const outputs = options.output.map(path => createHash('sha256').update(readFileSync(path)).digest('hex'))
  const verdict = orRefuse(verifyReceipt(p, orRefuse(parseBundle(text)), { policy, otherPolicies, ...(outputs.length === 0 ? {} : { outputs }) }))
  if (options.policy === undefined) screen.warn(`the log's keys were taken from ${beside}, beside the receipt: whoever gave you both may have made both`)
  showVerdict(screen, verdict, inWords)
}

function showVerdict(screen: Screen, verdict: Verdict, inWords: boolean): void {
  if (verdict.simulated) screen.warn('SIMULATED silicon: this receipt shows the road; no hardware vouches for it')
  for (const { line } of verdict.emergencies) screen.warn(line)
  if (inWords) for (const line of words(verdict)) screen.say(line)
  for (const check of verdict.checks) check.result === 'held' ? screen.ok(`${check.id}: ${check.detail}`) : screen.warn(`${check.id}: NOT CHECKED: ${check.detail}`)
  screen.result({ ok: true, kind: 'receipt', verdict }, `accepted${verdict.simulated ? ' (SIMULATED)' : ''}${verdict.emergency ? ' (EMERGENCY)' : ''}: ${verdict.program} of ${verdict.name} ran under ${verdict.charter}, epoch ${verdict.epoch}`)
}

/** Who vouches for whom, in sentences. */
function words(verdict: Verdict): string[] {
  const time = (seconds: number) => new Date(seconds * 1000).toISOString()
  const machine = verdict.simulated ? 'A SIMULATED machine' : `A machine of ${vendorOf(verdict.claims)} (${verdict.claims.product}, ${verdict.claims.chipId.slice(0, 16)}…)`
  return [
    `${machine} says: a guest with measurement ${verdict.claims.measurement.slice(0, 16)}… was launched as program "${verdict.program}".`,
    `The broker released keys to that guest, and to no other, at ${time(verdict.releasedAt)}, under epoch ${verdict.epoch} of the charter "${verdict.name}".`,
    `The guest signed what it read and what it gave out: ${verdict.outputs.map(one => one.name).join(', ')}.`,
    `All of this was in the public log, seen by its witnesses, by ${time(verdict.witnessedAt)}.`, '',
  ]
}

/** Whose root the evidence of a kind of machine chains to, or who else vouches for it. */
const VENDORS: Readonly<Record<Claims['facts']['kind'], string>> = { snp: 'AMD', dcap: 'Intel', nitro: 'AWS', tpm: 'the maker of its TPM, or whoever enrolled its key', azure: 'its processor\'s maker, through Azure\'s paravisor', nvidia: 'NVIDIA', token: 'another verifier', cca: 'whoever named its platform key' }
const vendorOf = (claims: Claims): string => VENDORS[claims.facts.kind]

function proof(screen: Screen, text: string, options: VerifyOptions): void {
  const parsed = orRefuse(parseProof(text))
  const checkpoint = orRefuse(parseCheckpoint(parsed.checkpoint))
  if (options.policy === undefined) return refuse('log.witnesses', '--policy', 'the keys of the log and its witnesses', 'nothing')
  const seen = orRefuse(verifyCheckpoint(p, checkpoint, orRefuse(parsePolicy(readText(options.policy)))))
  screen.warn('entry: NOT CHECKED: a proof alone does not carry its entry')
  screen.result({ ok: true, kind: 'proof', index: parsed.index, origin: checkpoint.origin, size: checkpoint.size, ...seen }, `checkpoint of ${checkpoint.origin}, size ${checkpoint.size}, ${seen.witnesses} witness(es)`)
}

function charter(screen: Screen, text: string): void {
  const value = orRefuse(parseCharterYaml(text))
  for (const [name, program] of Object.entries(value.programs)) {
    if (program.on.tee.includes('simulated')) screen.warn(`program ${name} accepts SIMULATED silicon: whoever operates it can read everything`)
  }
  for (const { line } of openableWithoutOwner(value)) screen.warn(line)
  const digest = charterDigest(p, value)
  screen.result({ ok: true, kind: 'charter', digest, name: value.name, epoch: value.epoch, charter: value }, `${value.name}, epoch ${value.epoch}: ${digest}`)
}
