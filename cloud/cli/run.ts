/** `cloister run`: the whole road for a charter's folder, in an ephemeral local cloud unless one is named. */
import { join } from 'node:path'
import { fromHex } from '@cloister/core/bytes/hex'
import type { Hash } from '@cloister/core/charter/types'
import type { Signer } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import { openSimulatedChip } from '../guest/attesters/simulated.ts'
import { measureGuest } from '../provider/measure.ts'
import { knownLineage } from '../sdk/broker.ts'
import { connectBroker } from '../sdk/client.ts'
import { run, type RunResult } from '../sdk/run.ts'
import { existsSync } from 'node:fs'
import { lineageOf } from './change-folder.ts'
import { findCode, openFolder, partyIdentity, partySigner, type CharterFolder } from './folder.ts'
import { hashText } from './life.ts'
import { openLocalCloud } from './local-cloud.ts'
import { emergencies } from './picture.ts'
import { brokerUrls, needOf, type Brokers } from './where.ts'
import type { Screen } from './screen.ts'

export interface RunOptions extends Brokers { readonly data: readonly string[]; readonly program?: string; readonly out: string; readonly threads?: string; readonly lineage?: string }

export async function runCommand(screen: Screen, path: string, options: RunOptions): Promise<void> {
  const started = performance.now()
  screen.step('read the charter')
  const from = openFolder(path)
  const program = programName(from, options.program)
  const code = findCode(from, program)
  const [first = options.cloud, ...rest] = brokerUrls(options)
  screen.step(first === undefined ? 'start a local cloud (simulated)' : `reach ${[first, ...rest].join(', ')}`)
  const cloud = first === undefined ? await openLocalCloud() : await reachCloud(screen, first)
  const others = await Promise.all(rest.map(url => reachCloud(screen, url)))
  const lineage = lineageOf(from, hashText(options.lineage, '--lineage'))
  try {
    for (const url of first === undefined ? [] : [first, ...rest]) await warnOfEmergencies(screen, url, lineage)
    const done = await run({
      charter: from.charter, program, code: code.bytes, data: dataOf(options.data), signers: signersOf(from), identities: identitiesOf(from), cloud, others, ...needOf(options), folder: options.out,
      step: text => screen.step(text), lineage, ...(options.threads === undefined ? {} : { threads: Number(options.threads) }),
    })
    screen.close()
    show(screen, from, done, Math.round(performance.now() - started), options.out)
  } finally {
    await cloud.close()
  }
}

/** A cloud that is up somewhere, with a simulated machine here. Its log's keys are its own word: a verifier pins them. One that is down has none. */
async function reachCloud(screen: Screen, url: string) {
  const chip = openSimulatedChip(Math.floor(Date.now() / 1000))
  const measurement = fromHex(measureGuest())
  const policy = await fetch(new URL('/v1/log/policy', url), { signal: AbortSignal.timeout(10_000), redirect: 'error' }).then(answer => answer.text(), () => undefined)
  if (policy !== undefined) screen.warn(`the keys of the log come from ${url} itself: pin them (log.policy) before you rely on receipts`)
  return { url, ...(policy === undefined ? {} : { policy }), machine: (hostData: string) => ({ report: (data: Uint8Array) => chip.report({ measurement, hostData: fromHex(hostData) }, data) }), close: () => Promise.resolve() }
}

/** Loud on every screen: an emergency that runs at a broker of this run. A broker that is down, or does not know the lineage yet, has none. */
async function warnOfEmergencies(screen: Screen, url: string, lineage: Hash): Promise<void> {
  const view = await knownLineage(connectBroker(url), lineage).catch(() => undefined)
  if (view !== undefined) emergencies(screen, view, Date.now() / 1000)
}

function show(screen: Screen, from: CharterFolder, done: RunResult, total: number, folder: string): void {
  for (const { line } of done.verdict.emergencies) screen.warn(line)
  if (done.verdict.simulated) screen.warn('SIMULATED: no hardware protected this run. It shows the road; it protects nothing.')
  screen.say()
  for (const party of Object.keys(from.charter.parties)) {
    const outputs = done.result[party]
    if (outputs === undefined) { screen.say(`  ${party}: sealed in ${done.sealed[party]?.join(', ') ?? 'nothing'}`); continue }
    screen.say(`  ${party}: ${Object.entries(outputs).map(([name, value]) => `${rowsIn(value)} rows of ${name}`).join(', ')}`)
  }
  screen.say()
  for (const check of done.verdict.checks) check.result === 'held' ? screen.ok(`${check.id}: ${check.detail}`) : screen.warn(`${check.id}: ${check.detail}`)
  screen.say(`\n  guest: ${done.fence.join(', ') || 'a plain process: this host allows no fence'}`)
  screen.say(`  receipt: ${done.receipts.join(', ')}\n  check it: cloister verify ${done.receipts[0] ?? ''} --policy ${join(folder, 'log.policy')}`)
  const value = { result: done.result, receipts: done.receipts, simulated: done.verdict.simulated, emergency: done.verdict.emergency, timings_ms: { ...screen.timings, total }, verdict: done.verdict, sealed: done.sealed, isolation: done.fence }
  screen.result(value, Object.entries(done.result).map(([party, outputs]) => Object.entries(outputs).map(([name, output]) => `${party}/${name}\n${preview(output)}`).join('\n')).join('\n'))
}

function rowsIn(value: unknown): number {
  const rows = typeof value === 'object' && value !== null && 'rows' in value ? value.rows : undefined
  return Array.isArray(rows) ? rows.length : 0
}

/** The first rows of an output, for people. */
function preview(value: unknown): string {
  const rows: unknown = typeof value === 'object' && value !== null && 'rows' in value ? value.rows : []
  if (!Array.isArray(rows)) return ''
  const shown = rows.slice(0, 5).map(row => `  ${JSON.stringify(row)}`)
  return [...shown, ...(rows.length > 5 ? [`  … ${rows.length - 5} more`] : [])].join('\n')
}

export function programName(from: CharterFolder, named: string | undefined): string {
  const names = Object.keys(from.charter.programs)
  const [only] = names
  if (named !== undefined) return named
  return names.length === 1 && only !== undefined ? only : refuse('cli.usage', '--program', names.join(' or '), 'nothing')
}

function dataOf(pairs: readonly string[]): Map<string, string> {
  const data = new Map<string, string>()
  for (const pair of pairs) {
    const [, asset, path] = /^([a-z][a-z0-9-]{0,31})=(.+)$/.exec(pair) ?? []
    if (asset === undefined || path === undefined) return refuse('cli.usage', '--data', 'asset=path', pair)
    if (data.has(asset)) refuse('cli.usage', '--data', 'each asset once', asset)
    if (!existsSync(path)) refuse('cli.file', `--data ${asset}`, 'a file', path)
    data.set(asset, path)
  }
  return data
}

/** The keys of the parties that stand in the folder; the others' are on the others' machines. */
export function signersOf(from: CharterFolder): Map<string, Signer> {
  const here = Object.keys(from.charter.parties).filter(party => existsSync(join(from.folder, 'keys', `${party}.key`)))
  return new Map(here.map(party => [party, partySigner(from, party)]))
}

function identitiesOf(from: CharterFolder): Map<string, string> {
  return new Map(Object.keys(from.charter.parties).flatMap(party => {
    const identity = partyIdentity(from, party)
    return identity === undefined ? [] : [[party, identity] as const]
  }))
}
