/** `cloister put` and `cloister get`: seal an asset and hand its key to the broker; open a sealed file of one's own. */
import { closeSync, openSync, rmSync } from 'node:fs'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { nodePrimitives, nodeRandom } from '../crypto/node.ts'
import { openFile, sealFile } from '../seal/age-file.ts'
import { depositKey, meetBroker, newestCharter } from '../sdk/broker.ts'
import { connectBroker } from '../sdk/client.ts'
import { lineageOf } from './change-folder.ts'
import { openFolder, partySigner, readText } from './folder.ts'
import { brokerUrls, cloudOf, needOf, type Brokers } from './where.ts'
import type { Screen } from './screen.ts'

export async function put(screen: Screen, file: string, options: { readonly asset: string; readonly charter: string; readonly out?: string } & Brokers): Promise<void> {
  const from = openFolder(options.charter)
  const asset = from.charter.assets[options.asset] ?? refuse('asset.unknown', '--asset', Object.keys(from.charter.assets).join(', '), options.asset)
  const urls = brokerUrls(options)
  const clients = urls.length === 0 ? [cloudOf(options.cloud)] : urls.map(connectBroker)
  const simulated = Object.values(from.charter.programs).some(program => program.on.tee.includes('simulated'))
  screen.step(clients.length === 1 ? 'meet the broker' : `meet ${clients.length} brokers`)
  const holders = await Promise.all(clients.map(async client => ({ client, broker: await meetBroker(client, simulated), standing: await newestCharter(client, lineageOf(from)) })))
  screen.step('seal')
  const key = generateIdentity(nodePrimitives, 'hybrid', nodeRandom)
  const output = options.out ?? `${file}.age`
  const facts = orRefuse(sealFile(file, output, [key.recipient, ...(from.charter.parties[asset.owner]?.seal ?? [])]))
  screen.step(holders.length === 1 ? 'hand the key to the broker' : 'hand a share of the key to each broker')
  const [body, ...others] = await depositKey(holders, partySigner(from, asset.owner), { asset: options.asset, digest: facts.digest, identity: key.identity, ...needOf(options) })
  screen.result({ ok: true, asset: options.asset, file: output, ...facts, body, ...(others.length === 0 ? {} : { others }) }, `${output}: ${facts.bytes} bytes, ${facts.digest}`)
}

export function get(screen: Screen, file: string, options: { readonly identity: string; readonly out: string }): void {
  const identities = readText(options.identity).split('\n').map(line => line.trim()).filter(line => line.startsWith('AGE-SECRET-KEY-'))
  if (identities.length === 0) refuse('cli.key', options.identity, 'an age identity', 'none')
  const sink = openSync(options.out, 'wx', 0o600)
  const opened = openFile(file, { identities }, sink)
  closeSync(sink)
  // What was written before the refusal is not the file.
  if (!opened.ok) rmSync(options.out, { force: true })
  const { bytes } = orRefuse(opened)
  screen.result({ ok: true, file: options.out, bytes }, `${options.out}: ${bytes} bytes`)
}
