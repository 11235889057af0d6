/**
 * The insurers' room as a process of its own, for the claim programs: owners seal their claims and hand the keys to the
 * broker, the provider launches the guest and carries its messages. Every message that passes is written to `wire.log` in
 * the host's folder, where a provider could have written it. Task and keys come over stdin: they touch no disk.
 *
 * With `plant`, it leaks on purpose while the guest runs, so that the search can show that it would have found it.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, unlinkSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { programIdentity } from '@cloister/core/charter/canonical'
import { orRefuse } from '@cloister/core/refusal'
import { recipientOf } from '@cloister/core/seal/age/index'
import { findCode, openFolder } from '../cloud/cli/folder.ts'
import { openLocalCloud } from '../cloud/cli/local-cloud.ts'
import { signersOf } from '../cloud/cli/run.ts'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'
import { launchProcess } from '../cloud/provider/launch.ts'
import { depositKey, foundCharter, meetBroker, newestCharter } from '../cloud/sdk/broker.ts'
import { connectBroker, type BrokerClient } from '../cloud/sdk/client.ts'
import { sealFile } from '../cloud/seal/age-file.ts'

/** Where the self-test can leak a marker, or a key. */
export const PLANTS = ['disk', 'shared memory', 'arguments', 'environment', 'descriptor', 'message', 'log', 'key'] as const
export type Plant = typeof PLANTS[number]

export interface RoomTask {
  readonly charter: string
  /** The host's folder: sealed files, results, records. */
  readonly host: string
  readonly assets: readonly { readonly asset: string; readonly file: string; readonly identity: string }[]
  readonly plant?: { readonly where: Plant; readonly marker: string; readonly key: string }
}

/** The file of the host's folder that tells which process is the guest. */
export const GUEST_PID = 'guest.pid'
const PROGRAM = 'match'
const LEAK_MS = 600

export async function room(task: RoomTask): Promise<void> {
  const record = (message: unknown) => appendFileSync(join(task.host, 'wire.log'), `${JSON.stringify(message)}\n`, { mode: 0o600 })
  const out = join(task.host, 'out')
  mkdirSync(out, { recursive: true })
  const from = openFolder(task.charter)
  const code = findCode(from, PROGRAM)
  const cloud = await openLocalCloud()
  try {
    const client = recorded(connectBroker(cloud.url), record)
    const broker = await meetBroker(client, true)
    await foundCharter(client, from.charter, signersOf(from))
    const lineage = from.digest as `sha256:${string}` // the digest of a charter, as openFolder computes it
    const signers = signersOf(from)
    for (const { asset, file, identity } of task.assets) {
      const owner = from.charter.assets[asset]?.owner ?? ''
      const signer = signers.get(owner)
      if (signer === undefined) throw new Error(`no signing key of ${owner}`)
      const { digest } = orRefuse(sealFile(file, join(out, `${asset}.age`), [recipientOf(p, identity)]))
      await depositKey([{ client, broker, standing: await newestCharter(client, lineage) }], signer, { asset, digest, identity })
    }
    const program = from.charter.programs[PROGRAM]
    if (program === undefined) throw new Error(`no program ${PROGRAM}`)
    const machine = cloud.machine(programIdentity(p, lineage, PROGRAM, program).slice('sha256:'.length))
    const launch = { policies: [cloud.policy], charter: lineage, lineage, program: PROGRAM, code: code.bytes.toString('base64'), threads: 1, memoryBytesMax: 1 << 30 }
    record({ launch })
    let leak: Promise<void> | undefined
    const launched = orRefuse(await launchProcess({
      inputs: task.assets.map(({ asset }) => ({ asset, path: join(out, `${asset}.age`) })),
      launch, timeoutMs: 120_000, relay: (path, body) => client.post(`/v1/${path}`, body),
      machine: { report: data => { const evidence = machine.report(data); record({ report: Buffer.from(data).toString('hex'), evidence }); return evidence } },
      onProgress: (step, ms) => record({ progress: step, ms }),
      onStart: pid => { writeFileSync(join(task.host, GUEST_PID), String(pid)); if (task.plant !== undefined) leak = leakInto(task.plant, task.host, record) },
    }))
    await leak
    record(launched)
    for (const output of launched.outcome.outputs) writeFileSync(join(out, `${output.to}-${output.name}.age`), Buffer.from(output.sealed, 'base64'))
  } finally {
    await cloud.close()
  }
}

/** A client whose every request and answer is written down. */
function recorded(client: BrokerClient, record: (message: unknown) => void): BrokerClient {
  const noted = <T>(path: string, body: unknown, answer: Promise<T>) => answer.then(value => { record({ path, body, answer: value }); return value })
  return {
    url: client.url,
    get: path => noted(path, undefined, client.get(path)), read: path => noted(path, undefined, client.read(path)),
    post: (path, body) => noted(path, body, client.post(path, body)), send: (path, body) => noted(path, body, client.send(path, body)),
  }
}

async function leakInto(plant: NonNullable<RoomTask['plant']>, host: string, record: (message: unknown) => void): Promise<void> {
  const { where, marker } = plant
  const wait = ['-e', `setTimeout(() => {}, ${LEAK_MS})`]
  if (where === 'arguments') spawn(process.execPath, [...wait, marker], { stdio: 'ignore', env: {} })
  if (where === 'environment') spawn(process.execPath, wait, { stdio: 'ignore', env: { NOTE: marker } })
  if (where === 'message') record({ aside: Buffer.from(`xx${marker}`).toString('base64') })
  if (where === 'log') process.stderr.write(`debug: ${marker}\n`)
  if (where === 'key') writeFileSync(join(host, 'key'), Buffer.from(plant.key))
  if (where === 'disk') writeFileSync(join(host, 'spill'), Buffer.concat([Buffer.alloc(5000, 1), Buffer.from(marker, 'utf16le')]))
  if (where === 'shared memory' || where === 'descriptor') {
    const name = join(where === 'descriptor' ? host : '/dev/shm', `planted-${process.pid}`)
    const fd = openSync(name, 'wx+', 0o600)
    writeSync(fd, marker)
    if (where === 'descriptor') unlinkSync(name)
    await sleep(LEAK_MS)
    closeSync(fd)
    rmSync(name, { force: true })
    return
  }
  await sleep(LEAK_MS)
}

if (process.argv[1] === import.meta.filename) await room(JSON.parse(readFileSync(0, 'utf8')) as RoomTask) // written by the claim program that started this
