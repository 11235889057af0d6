/**
 * What `cloister log …` does. A composition root: it wires store, ledger, sequencer, witness and HTTP, and decides nothing.
 * Keys lie in the folder as PKCS #8 files of mode 0600; the policy that readers need is written beside them.
 */
import { Hono } from 'hono'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isObject, parseJson } from '@cloister/core/bytes/json'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { formatFork, parseFork, verifyFork, type Known } from '@cloister/core/log/monitor'
import { parsePolicy, type LogPolicy } from '@cloister/core/log/policy'
import { verifyProof } from '@cloister/core/log/proof'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { orRefuse, refuse, Refused } from '@cloister/core/refusal'
import { generateSigner, importSigner, nodePrimitives as p, nodeRandom, type LocalSigner } from '../crypto/node.ts'
import { connectLog, followFrom, proveFrom } from '../ledger/client.ts'
import { addFace, readFace, serveApp, witnessFace } from '../ledger/http.ts'
import { openLedger } from '../ledger/ledger.ts'
import { rekorFace, rekorTrustedRoot } from '../ledger/rekor.ts'
import { Sequencer } from '../ledger/sequencer.ts'
import { openWitness, remoteWitness, type LocalWitness, type Witness } from '../ledger/witness.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { readBytes, readText } from './folder.ts'
import type { LogMonitorOptions, LogServeOptions, LogWitnessOptions } from './log.ts'
import { showRefusal, type Screen } from './screen.ts'
import { count, witnessAt } from './where.ts'

const clock = () => Math.floor(Date.now() / 1000)

/** A log of its own, until it is told to stop. */
export async function serveVerb(screen: Screen, options: LogServeOptions): Promise<void> {
  const { folder, origin } = options
  const stores = storesIn(folder)
  const foreign = options.witness.map(one => remoteWitness(p, witnessAt(one)))
  const own = witnessIn(folder, `${origin}/witness`, stores)
  const witnesses: Witness[] = foreign.length > 0 ? foreign : [own]
  const quorum = options.quorum === undefined ? Math.floor(2 * witnesses.length / 3) + 1 : count(options.quorum, '--quorum')
  if (quorum > witnesses.length) refuse('cli.usage', '--quorum', `at most ${witnesses.length}`, String(quorum))
  const ledger = await openLedger({ p, store: stores.open('log.db'), origin, signers: [keyIn(folder, 'log.key', 'ed25519'), keyIn(folder, 'log-ml-dsa.key', 'ml-dsa-44')], witnesses, quorum })
  const sequencer = new Sequencer(ledger, { clock })
  if (ledger.size() > 0) orRefuse(await ledger.publish(clock()))
  writeFileSync(join(folder, 'log.policy'), ledger.policyText())
  if (options.rekor === true) writeFileSync(join(folder, 'trusted_root.json'), `${JSON.stringify(rekorTrustedRoot(p, ledger.policy), null, 2)}\n`)
  const app = new Hono()
  // What a Rekor log holds was signed by somebody: nothing else is added beside it.
  if (options.rekor === true) rekorFace(app, '', sequencer, p)
  else addFace(app, '/log', sequencer)
  readFace(app, '/log', ledger)
  witnessFace(app, '/witness', own, options.witnessOf.flatMap(path => policyAt(path).logs), clock)
  const served = await serveApp(app, { port: count(options.port, '--port'), hostname: options.host })
  // A head that nobody cosigned lately is a stale one to whoever demands freshness.
  const ticking = setInterval(() => { if (ledger.size() > 0) void ledger.publish(clock()) }, PUBLISH_MS)
  if (foreign.length === 0) screen.warn('this log witnesses itself: that guards against a store set back, not against whoever runs it; name other people\'s witnesses with --witness')
  screen.result({ ok: true, origin, log: `${served.url}/log`, witness: `${served.url}/witness`, size: ledger.size(), policy: ledger.policyText() }, `log      ${served.url}/log\nwitness  ${served.url}/witness\npolicy   ${join(folder, 'log.policy')}\n\nstop with Ctrl-C`)
  await untilTold()
  clearInterval(ticking)
  await served.close()
  await stores.close()
}

/** A witness of other people's logs, until it is told to stop. */
export async function witnessVerb(screen: Screen, options: LogWitnessOptions): Promise<void> {
  const stores = storesIn(options.folder)
  const witness = witnessIn(options.folder, options.name, stores)
  const logs = options.witnessOf.flatMap(path => policyAt(path).logs)
  if (logs.length === 0) refuse('cli.usage', '--witness-of', 'the policy of a log to witness', 'none')
  const app = new Hono()
  witnessFace(app, '', witness, logs, clock)
  const served = await serveApp(app, { port: count(options.port, '--port'), hostname: options.host })
  screen.result({ ok: true, url: served.url, vkey: witness.vkey }, `witness  ${served.url}\nkey      ${witness.vkey}\n\nstop with Ctrl-C`)
  await untilTold()
  await served.close()
  await stores.close()
}

export async function addVerb(screen: Screen, files: readonly string[], options: { readonly log: string; readonly policy: string }): Promise<void> {
  const [client, policy] = [connectLog(options.log), policyAt(options.policy)]
  const added: { file: string; index: number; proof: string }[] = []
  for (const file of files) {
    screen.step(`add ${file}`)
    const entry = readBytes(file)
    const index = await client.add(entry)
    const proof = await proveFrom(p, client, policy, index)
    orRefuse(verifyProof(p, entry, proof, policy))
    writeFileSync(`${file}.tlog-proof`, proof)
    added.push({ file, index, proof: `${file}.tlog-proof` })
  }
  screen.result({ ok: true, added }, added.map(one => `${one.index}  ${one.file}  ${one.proof}`).join('\n'))
}

export async function proveVerb(screen: Screen, index: string, options: { readonly log: string; readonly policy: string; readonly out?: string }): Promise<void> {
  const proof = await proveFrom(p, connectLog(options.log), policyAt(options.policy), count(index, 'index'))
  if (options.out !== undefined) writeFileSync(options.out, proof)
  screen.result({ ok: true, proof, ...(options.out === undefined ? {} : { file: options.out }) }, options.out ?? proof.trimEnd())
}

export function verifyVerb(screen: Screen, entry: string, proof: string, options: { readonly policy: string }): void {
  const { index, checkpoint, witnesses, time } = orRefuse(verifyProof(p, readBytes(entry), readText(proof), policyAt(options.policy)))
  screen.ok(`signed by ${checkpoint.origin}, cosigned by ${witnesses} witness(es)${time === 0 ? '' : ` since ${new Date(time * 1000).toISOString()}`}`)
  screen.result({ ok: true, index, origin: checkpoint.origin, size: checkpoint.size, witnesses, time }, `accepted: entry ${index} of ${checkpoint.origin}`)
}

export function forkVerb(screen: Screen, file: string, options: { readonly policy: string }): void {
  const { origin, sizes, witnesses } = orRefuse(verifyFork(p, orRefuse(parseFork(readBytes(file))), policyAt(options.policy)))
  screen.bad(`${origin} signed two histories: one of ${sizes[0]} entries, one of ${sizes[1]}`)
  screen.result({ ok: true, fork: true, origin, sizes, witnesses }, `proven: ${origin} showed two histories${witnesses.length === 0 ? '' : `; both were cosigned by ${witnesses.join(', ')}`}`)
}

/** Follow a log to its end, and again every so often; what was read is remembered. */
export async function monitorVerb(screen: Screen, options: LogMonitorOptions): Promise<void> {
  const [client, policy] = [connectLog(options.log), policyAt(options.policy)]
  const every = options.every === undefined ? undefined : count(options.every, '--every')
  let stop = false
  if (every !== undefined) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { stop = true })
  for (;;) {
    try {
      const { size, read, alerts } = await catchUp(screen, client, policy, options)
      if (every === undefined) return screen.result({ ok: true, size, read, alerts }, `${size} entries; ${read} new, ${alerts.length} of them watched for`)
    } catch (error) {
      // One that stays tells what is wrong and looks again; only two histories end it.
      if (every === undefined || !(error instanceof Refused) || error.refusal.code === 'log.fork') throw error
      showRefusal(screen, error.refusal)
      process.exitCode = 0
    }
    for (let waited = 0; waited < (every ?? 0) && !stop; waited++) await new Promise(resolve => setTimeout(resolve, 1000))
    if (stop) return
  }
}

interface Alert { readonly index: number; readonly watch: string; readonly verb: string }

async function catchUp(screen: Screen, client: ReturnType<typeof connectLog>, policy: LogPolicy, options: LogMonitorOptions): Promise<{ size: number; read: number; alerts: Alert[] }> {
  const alerts: Alert[] = []
  for (let [read, known] = [0, knownAt(options.state)]; ;) {
    const step = await followFrom(p, client, policy, known)
    if (step.kind === 'fork') return keepFork(options, formatFork(step.fork))
    step.entries.forEach((entry, i) => {
      for (const alert of alertsOf(entry, step.first + i, options.watch)) {
        screen.warn(`entry ${alert.index}: ${alert.verb} speaks of ${alert.watch}`)
        alerts.push(alert)
      }
    })
    known = step.known
    read += step.entries.length
    keepWhole(options.state, `${JSON.stringify(known)}\n`)
    if (known.next >= step.checkpoint.size) return { size: step.checkpoint.size, read, alerts }
  }
}

/** Two signed histories: evidence that outlives the log. */
function keepFork(options: LogMonitorOptions, text: string): never {
  const path = `${options.state}.fork.json`
  keepWhole(path, text)
  return refuse('log.fork', options.log, 'one history', 'two, both signed by the log', `the proof is in ${path}: show it to everybody who relies on this log (cloister log fork ${path} --policy ${options.policy})`)
}

function alertsOf(entry: Uint8Array, index: number, watch: readonly string[]): Alert[] {
  const text = new TextDecoder().decode(entry)
  const receipt = parseReceipt(text)
  // A receipt's statement lies in base64 within its envelope.
  const said = receipt.ok ? JSON.stringify({ key: receipt.value.key, subject: receipt.value.subject, predicate: receipt.value.predicate }) : text
  return watch.filter(one => said.includes(one)).map(one => ({ index, watch: one, verb: receipt.ok ? receipt.value.verb : 'an entry' }))
}

function knownAt(path: string): Known | undefined {
  if (!existsSync(path)) return undefined
  const value = parseJson(readText(path))
  if (!isObject(value) || typeof value['checkpoint'] !== 'string' || typeof value['next'] !== 'number') return refuse('cli.file', path, 'the state of a monitor', 'another content', 'move it away to begin anew')
  orRefuse(parseCheckpoint(value['checkpoint']))
  return { checkpoint: value['checkpoint'], next: value['next'] }
}

/** All or nothing, for its owner only. */
function keepWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

const policyAt = (path: string): LogPolicy => orRefuse(parsePolicy(readText(path)))

interface Stores { open(name: string): Store; close(): Promise<void> }

/** The stores of a folder; their tags are under a key of the folder, for a log has no chip. */
function storesIn(folder: string): Stores {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, 'store.key')
  if (!existsSync(path)) writeFileSync(path, nodeRandom(32), { mode: 0o600, flag: 'wx' })
  const key = readFileSync(path)
  if (key.length !== 32) refuse('cli.file', path, '32 bytes', `${key.length}`)
  const opened = new Map<string, Store>()
  return {
    open: name => {
      const store = opened.get(name) ?? openSqliteStore({ path: join(folder, name), key })
      opened.set(name, store)
      return store
    },
    close: async () => { for (const store of opened.values()) await store.close() },
  }
}

const witnessIn = (folder: string, name: string, stores: Stores): LocalWitness => openWitness(p, name, keyIn(folder, 'witness.key', 'ed25519'), stores.open('witness.db'))

function keyIn(folder: string, name: string, kind: 'ed25519' | 'ml-dsa-44'): LocalSigner {
  const path = join(folder, name)
  if (!existsSync(path)) writeFileSync(path, generateSigner(kind).exportPem(), { mode: 0o600, flag: 'wx' })
  return importSigner(readText(path))
}

function untilTold(): Promise<void> {
  return new Promise(resolve => { for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve()) })
}

const PUBLISH_MS = 10_000
