/** `cloister up`: a local cloud that stays, on simulated silicon, with its state in a folder. */
import { parsePolicy } from '@cloister/core/log/policy'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { remoteWitness } from '../ledger/witness.ts'
import { announce, openLocalCloud } from './local-cloud.ts'
import { readText } from './folder.ts'
import { count, witnessAt } from './where.ts'
import type { Screen } from './screen.ts'

export interface UpOptions { readonly folder: string; readonly port: string; readonly store?: string; readonly join?: string; readonly witness: string[]; readonly quorum?: string; readonly witnessOf: string[] }

export async function up(screen: Screen, options: UpOptions): Promise<void> {
  const { folder, store, join } = options
  const witnesses = options.witness.map(one => remoteWitness(p, witnessAt(one)))
  screen.step(join === undefined ? 'open the broker, its log and a witness' : `become the broker at ${join}`)
  const cloud = await openLocalCloud({
    folder, port: count(options.port, '--port'), ...(store === undefined ? {} : { store }), ...(join === undefined ? {} : { join }),
    ...(options.witnessOf.length === 0 ? {} : { witnessOf: options.witnessOf.flatMap(path => orRefuse(parsePolicy(readText(path))).logs) }),
    ...(witnesses.length === 0 ? {} : { witnesses }), ...(options.quorum === undefined ? {} : { quorum: count(options.quorum, '--quorum') }),
  })
  announce(folder, cloud)
  if (witnesses.length === 0) screen.warn('this cloud witnesses its own log: that guards against a store set back, not against whoever runs it; name other people\'s witnesses with --witness')
  screen.warn('SIMULATED silicon: this cloud keeps no secret from whoever operates this machine')
  screen.result({ ok: true, url: cloud.url, policy: cloud.policy, simulated: true }, `broker  ${cloud.url}\nlog     ${cloud.url}/log/checkpoint\nstate   ${folder}\n\nstop with Ctrl-C`)
  await new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
  await cloud.close()
}
