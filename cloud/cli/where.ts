/** Which cloud a command talks to: the one that is named, or the one that `cloister up` started in this folder. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { refuse } from '@cloister/core/refusal'
import { connectBroker, type BrokerClient } from '../sdk/client.ts'

export function cloudOf(url: string | undefined, folder = '.cloister'): BrokerClient {
  if (url !== undefined) return connectBroker(url)
  const file = join(folder, 'cloud.json')
  if (!existsSync(file)) return refuse('cli.usage', '--cloud', 'the address of a cloud', 'none is running here', 'cloister up')
  const told: unknown = JSON.parse(readFileSync(file, 'utf8'))
  const address = typeof told === 'object' && told !== null && 'url' in told && typeof told.url === 'string' ? told.url : refuse('cli.file', file, 'the address of a cloud', 'another content')
  return connectBroker(address)
}
