/** Which cloud a command talks to: the one that is named, or the one that `cloister up` started in this folder. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { refuse } from '@cloister/core/refusal'
import { BROKERS_MAX } from '../provider/wire.ts'
import { connectBroker, type BrokerClient } from '../sdk/client.ts'

export function cloudOf(url: string | undefined, folder = '.cloister'): BrokerClient {
  if (url !== undefined) return connectBroker(url)
  const file = join(folder, 'cloud.json')
  if (!existsSync(file)) return refuse('cli.usage', '--cloud', 'the address of a cloud', 'none is running here', 'cloister up')
  const told: unknown = JSON.parse(readFileSync(file, 'utf8'))
  const address = typeof told === 'object' && told !== null && 'url' in told && typeof told.url === 'string' ? told.url : refuse('cli.file', file, 'the address of a cloud', 'another content')
  return connectBroker(address)
}

/** Brokers over which keys are split. */
export interface Brokers { readonly cloud?: string; readonly brokers?: string; readonly need?: string }

/** The addresses in `--brokers URL,URL,…`, each once; none when it is not given. */
export function brokerUrls({ cloud, brokers }: Brokers): string[] {
  if (brokers === undefined) return []
  const urls = brokers.split(',').map(url => url.trim())
  if (cloud !== undefined) refuse('cli.usage', '--cloud', 'either --cloud or --brokers', 'both')
  if (urls.some(url => url === '') || new Set(urls).size !== urls.length || urls.length > BROKERS_MAX) refuse('cli.usage', '--brokers', `addresses with commas between, each once, at most ${BROKERS_MAX}`, brokers)
  return urls
}

/** How many of them must agree: `--need`, or all. */
export function needOf({ brokers, need }: Brokers): { need?: number } {
  if (need === undefined) return {}
  return brokers !== undefined && /^[1-9][0-9]?$/.test(need) ? { need: Number(need) } : refuse('cli.usage', '--need', 'a number, with --brokers', need)
}

/** `name+hash+key@https://…` */
export function witnessAt(text: string): { vkey: string; url: string } {
  const at = text.search(/@https?:\/\//)
  return at < 0 ? refuse('cli.usage', '--witness', 'VKEY@https://where-it-is', text.slice(0, 100)) : { vkey: text.slice(0, at), url: text.slice(at + 1) }
}

/** A number in an option. */
export function count(text: string, at: string): number {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : refuse('cli.usage', at, 'a number', text)
}
