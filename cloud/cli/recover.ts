/**
 * `cloister backup` and `cloister recover`: a lineage outlives its broker. The new broker is asked for a challenge
 * (`start`); each party looks at that broker and gives its share to it alone (`give`: a file that may travel anyhow); whoever
 * has enough of them, the backup and the old log, hands all in (`finish`). No share is ever seen outside a party's machine
 * and the new broker, and nobody but that broker brings the root together.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { isObject, parseJsonObject, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { charterDigest } from '@cloister/core/charter/canonical'
import { charterOf } from '@cloister/core/charter/parse'
import { parseEvidence } from '@cloister/core/evidence/index'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { giveShare } from '@cloister/core/recovery'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { parseRecovery } from '@cloister/core/seal/recovery'
import { nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { connectLog, entriesFrom } from '../ledger/client.ts'
import { textOf } from '../provider/answers.ts'
import { measureGuest } from '../provider/measure.ts'
import { connectBroker } from '../sdk/client.ts'
import { lineageOf } from './change-folder.ts'
import { openFolder, partyIdentity, partySigners, readText } from './folder.ts'
import { hashText } from './life.ts'
import { cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

const BACKUP_BYTES_MAX = 64 << 20

/** What another broker will need, from the one that stands: take it after every change. */
export async function backup(screen: Screen, path: string, options: { readonly cloud?: string; readonly lineage?: string; readonly out: string }): Promise<void> {
  const lineage = lineageOf(openFolder(path), hashText(options.lineage, '--lineage'))
  const body = await cloudOf(options.cloud).read(`/v1/charters/${lineage}/backup`)
  const text = `${JSON.stringify(body)}\n`
  writeFileSync(options.out, text, { mode: 0o600 })
  const size = sizeIn(backupAt(options.out))
  screen.result({ ok: true, lineage, file: options.out, bytes: text.length, entries: size }, `${options.out}: ${text.length} bytes, the log at ${size} entries; take another after every change`)
}

/** A challenge of the broker that is to take over. */
export async function start(screen: Screen, options: { readonly to: string }): Promise<void> {
  const hello = await connectBroker(options.to).send('/v1/hello', { nonce: toBase64(nodeRandom(32)), recover: true })
  const challenge = textOf(hello, 'challenge')
  screen.result({ ok: true, challenge, broker: options.to }, `challenge  ${challenge}\n\neach party: cloister recover give CHARTER --party NAME --backup FILE --to ${options.to} --challenge ${challenge} --out NAME.share.json`)
}

export interface GiveOptions { readonly party: string; readonly backup: string; readonly to: string; readonly challenge: string; readonly out: string; readonly lineage?: string; readonly broker?: string }

/** A party's share, for this broker and this recovery alone. The newest charter is the one in the party's own folder. */
export async function give(screen: Screen, path: string, options: GiveOptions): Promise<void> {
  const from = openFolder(path)
  const said = backupAt(options.backup)
  const identity = partyIdentity(from, options.party) ?? refuse('cli.key', `keys/${options.party}.seal`, `the identity that opens what is sealed to ${options.party}`, 'none')
  screen.step('look at the broker')
  const asked = nodeRandom(32)
  const hello = await connectBroker(options.to).send('/v1/hello', { nonce: toBase64(asked) })
  const evidence = orRefuse(parseEvidence(hello['evidence']))
  const simulated = evidence.kind === 'simulated'
  const named = Object.values(from.charter.programs).some(program => program.on.tee.includes('simulated'))
  if (simulated && !named) refuse('evidence.simulated', 'hello.evidence', 'real hardware: the charter names no simulated silicon', 'simulated silicon')
  const measurement = options.broker ?? (simulated ? measureGuest() : refuse('cli.usage', '--broker', 'the launch measurement of brokers that you trust (hex)', 'nothing'))
  const tee = simulated ? 'simulated' as const : evidence.kind === 'snp' || evidence.kind === 'tdx' || evidence.kind === 'nitro' ? evidence.kind : refuse('cli.unsupported', 'hello.evidence', 'evidence of a broker', evidence.kind)
  if (simulated) screen.warn('SIMULATED silicon: whoever operates this broker can read the share and everything behind it')
  const charters = listIn(said, 'charters').map(charterOf)
  const given = orRefuse(giveShare(p, {
    party: options.party, identities: [identity], signers: partySigners(from.folder, options.party, from.charter.parties[options.party]?.keys ?? []),
    lineage: lineageOf(from, hashText(options.lineage, '--lineage')), known: charterDigest(p, from.charter),
    brokers: { tee: [tee], tcb: 'current', measurements: [{ tee, hex: measurement, name: 'broker' }], distrust: {} },
  }, { asked, evidence, to: { seal: fromBase64(textOf(hello, 'seal')), key: textOf(hello, 'key'), nonce: fromBase64(options.challenge, '--challenge') }, charters, document: parseRecovery(said['recovery']) }, Math.floor(Date.now() / 1000), nodeRandom))
  writeFileSync(options.out, `${JSON.stringify({ challenge: options.challenge, given })}\n`, { mode: 0o600 })
  screen.result({ ok: true, party: options.party, file: options.out }, `${options.out}: the share of ${options.party}, sealed to ${options.to}; nobody else can open it`)
}

/** All of it to the new broker. */
export async function finish(screen: Screen, shares: readonly string[], options: { readonly backup: string; readonly log: string; readonly to: string }): Promise<void> {
  const said = backupAt(options.backup)
  const files = shares.map(path => ({ path, value: parseJsonObject(readText(path)) }))
  const challenges = [...new Set(files.map(({ value }) => textOf(value, 'challenge')))]
  const [challenge = '', other] = challenges
  if (challenge === '' || other !== undefined) refuse('cli.usage', 'shares', 'shares given for one challenge', challenges.join(' and '))
  screen.step('read what the old log got since the backup')
  const log = connectLog(options.log)
  const head = await log.checkpoint()
  const entries = await entriesFrom(log, sizeIn(said), orRefuse(parseCheckpoint(head)).size)
  screen.step('bring the lineage back')
  const back = await connectBroker(options.to).send('/v1/recover', { nonce: challenge, backup: said, given: files.map(({ value }) => value['given']), head, entries: entries.map(toBase64) })
  const { lineage, epoch, parties } = back
  screen.warn('whoever still runs the old broker must end it: two brokers of one lineage count its budgets twice')
  screen.result({ ok: true, lineage, epoch, parties, receipt: back['receipt'], proof: back['proof'] }, `${String(lineage)} stands at ${options.to}, epoch ${String(epoch)}, by the word of ${Array.isArray(parties) ? parties.join(', ') : ''}`)
}

function backupAt(path: string): JsonObject {
  if (!existsSync(path)) refuse('cli.file', path, 'a backup (cloister backup)', 'no such file')
  return parseJsonObject(readText(path, BACKUP_BYTES_MAX), { bytes: BACKUP_BYTES_MAX, depth: 24, entries: 1_000_000, string: BACKUP_BYTES_MAX })
}

/** How many entries the log had when the backup was taken. */
function sizeIn(said: JsonObject): number {
  const { log } = said
  return orRefuse(parseCheckpoint(isObject(log) ? textOf(log, 'head') : refuse('cli.file', 'backup.log', 'a checkpoint', 'none'))).size
}

function listIn(said: JsonObject, name: string): readonly Json[] {
  const value = said[name]
  return Array.isArray(value) ? value : refuse('cli.file', `backup.${name}`, 'a list', 'another value')
}
