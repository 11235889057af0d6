/** `cloister up`: a local cloud that stays, on simulated silicon, with its state in a folder. */
import { announce, openLocalCloud } from './local-cloud.ts'
import type { Screen } from './screen.ts'

export async function up(screen: Screen, folder: string, port: number): Promise<void> {
  screen.step('open the broker, its log and a witness')
  const cloud = await openLocalCloud({ folder, port })
  announce(folder, cloud)
  screen.warn('SIMULATED silicon: this cloud keeps no secret from whoever operates this machine')
  screen.result({ ok: true, url: cloud.url, policy: cloud.policy, simulated: true }, `broker  ${cloud.url}\nlog     ${cloud.url}/log/checkpoint\nstate   ${folder}\n\nstop with Ctrl-C`)
  await new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
  await cloud.close()
}
