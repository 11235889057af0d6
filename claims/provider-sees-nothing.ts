/**
 * The claim: a provider with root on the host that runs the insurers' room sees nothing of their claims and no key, as long
 * as the guest's memory is closed to it (which hardware gives, and simulation does not).
 *
 * It plays that provider: the room runs as it always does, over claims made for this run only (every id, name, vehicle and
 * phone number is unique to it), and everything the host can see is searched for them and for the assets' keys, again and
 * again while the room runs and once when it is over. The receivers' own results are opened at the end, to be sure that
 * what was searched for had really been in the room.
 */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decrypt, generateIdentity } from '@cloister/core/seal/age/index'
import { fromBech32 } from '@cloister/core/seal/age/bech32'
import { openFolder, partyIdentity } from '../cloud/cli/folder.ts'
import { nodePrimitives as p, nodeRandom } from '../cloud/crypto/node.ts'
import { generate, INSURERS } from '../examples/insurance-fraud/generate.ts'
import type { ClaimOutcome, ClaimResult } from './claim.ts'
import { Host } from './host.ts'
import { Needles } from './needles.ts'
import { GUEST_PID, type Plant, type RoomTask } from './room.ts'

export const CLAIM = 'provider-sees-nothing'
const CHARTER = join(import.meta.dirname, '../examples/insurance-fraud')
const ROOM = join(import.meta.dirname, 'room.ts')
const CLAIMS = 3000
const SWEEP_EVERY_MS = 15
const SWEEPS_MIN = 2

export interface ProviderOptions { readonly plant?: Plant }

/** Play the provider once. With `plant`, the room leaks on purpose: anything but `falsified` means that the search is blind. */
export async function providerSeesNothing(options: ProviderOptions = {}): Promise<ClaimOutcome> {
  const missing = unfit()
  if (missing !== undefined) return { claim: CLAIM, result: 'inconclusive', findings: [], looked: {}, notes: [missing] }
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'cloister-claim-')))
  try {
    return await play(base, options)
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

function unfit(): string | undefined {
  if (!existsSync('/proc/self/environ')) return 'this system has no /proc: a provider\'s view cannot be had'
  if (process.getuid?.() !== 0) return 'only root sees what a provider sees: run this as root'
  return undefined
}

async function play(base: string, options: ProviderOptions): Promise<ClaimOutcome> {
  const [owners, hostFolder] = [join(base, 'owners'), join(base, 'host')]
  for (const folder of [owners, hostFolder, join(hostFolder, 'tmp')]) mkdirSync(folder)
  const since = Date.now() - 1
  const { needles, marker, ids, assets } = prepare(owners)
  const firstKey = assets[0]?.identity ?? ''
  const task: RoomTask = { charter: CHARTER, host: hostFolder, assets, ...(options.plant === undefined ? {} : { plant: { where: options.plant, marker, key: firstKey } }) }
  const roots = [...new Set([base, tmpdir(), '/tmp', '/var/tmp', '/dev/shm', '/run'].filter(path => existsSync(path)).map(path => realpathSync(path)))]
  const host = new Host({ needles, roots, except: owners, since })
  const { status, guestSweeps } = await runWatched(task, hostFolder, host)
  return judge({ host, status, guestSweeps, hostFolder, ids, needles })
}

/** Claims that exist nowhere else, the assets' keys, and all of it as needles. */
function prepare(owners: string) {
  const seed = Buffer.from(nodeRandom(8)).toString('hex')
  const { files, truth } = generate({ claims: CLAIMS, seed, out: owners, quiet: true })
  const letters = [...nodeRandom(5)].map(byte => String.fromCharCode(97 + byte % 26)).join('')
  const copied = new Set(truth.flatMap(({ copy, original }) => [copy, original]))
  const needles = new Needles()
  const ids: string[] = []
  let marker = ''
  const assets = INSURERS.map(owner => {
    const [header = '', ...rows] = readFileSync(files[owner], 'utf8').trim().split('\n')
    const unique = rows.map(row => {
      const [id = '', name = '', born = '', vin = '', phone = '', ...rest] = row.split(',')
      const claim = { id: `${id}-${letters}`, name: name.split(' ').map(word => (word === '' ? word : word + letters)).join(' '), vin, phone }
      const which = `${owner}'s claim ${id}`
      if (copied.has(id) || ids.length < 50) {
        ids.push(claim.id)
        marker = claim.name
        needles.addText(`claim id of ${which}`, claim.id)
        needles.addText(`name in ${which}`, claim.name)
        if (vin.length >= 17) needles.addText(`vehicle in ${which}`, vin)
        if (phone.length >= 10) needles.addText(`phone in ${which}`, phone)
      }
      return [claim.id, claim.name, born, vin, phone, ...rest].join(',')
    })
    const file = join(owners, `${owner}.csv`)
    writeFileSync(file, `${[header, ...unique].join('\n')}\n`, { mode: 0o600 })
    const { identity } = generateIdentity(p, 'hybrid', nodeRandom)
    const asset = `${owner.slice(0, 1)}-claims`
    needles.addText(`key of ${asset}`, identity)
    needles.addBytes(`key of ${asset}`, Buffer.from(fromBech32('age-secret-key-pq-', identity, 'identity')), true)
    return { asset, file, identity }
  })
  return { needles, marker, ids, assets }
}

/** The room in a process of its own, its words kept in the host's folder, swept while it runs and after. */
async function runWatched(task: RoomTask, hostFolder: string, host: Host): Promise<{ status: number; guestSweeps: number }> {
  const logs = ['stdout.log', 'stderr.log'].map(name => openSync(join(hostFolder, name), 'w', 0o600))
  const env = { PATH: process.env['PATH'] ?? '', TMPDIR: join(hostFolder, 'tmp'), CLOISTER_GUEST_STDERR: '1' }
  const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', ROOM], { stdio: ['pipe', ...logs], env })
  for (const log of logs) closeSync(log)
  child.stdin?.end(JSON.stringify(task))
  let status: number | undefined
  child.on('exit', code => { status = code ?? 1 })
  child.on('error', () => { status = 1 })
  const noted = join(hostFolder, GUEST_PID)
  let guestSweeps = 0
  while (status === undefined) {
    const guest = existsSync(noted) ? Number(readFileSync(noted, 'utf8')) || undefined : undefined
    host.sweep(guest)
    if (guest !== undefined && existsSync(`/proc/${guest}`)) guestSweeps++
    await sleep(SWEEP_EVERY_MS)
  }
  host.sweep(undefined, true)
  return { status, guestSweeps }
}

function judge(run: { host: Host; status: number; guestSweeps: number; hostFolder: string; ids: readonly string[]; needles: Needles }): ClaimOutcome {
  const { host, guestSweeps } = run
  const findings = [...host.findings.values()]
  const notes = ['the guest\'s memory was not read: closing it is the hardware\'s work, and this run had none']
  const doubts = [
    run.status === 0 ? '' : `the room ended with status ${run.status}: ${lastLine(join(run.hostFolder, 'stderr.log'))}`,
    guestSweeps >= SWEEPS_MIN ? '' : `only ${guestSweeps} looks while a guest ran, ${SWEEPS_MIN} are needed`,
    run.status !== 0 || wasThere(run.hostFolder, run.ids) ? '' : 'none of what was searched for is in the opened results: it may never have been in the room',
    host.looked['unreadable processes'] === 0 ? '' : `${host.looked['unreadable processes']} processes could not be read`,
  ].filter(text => text !== '')
  const result: ClaimResult = findings.length > 0 ? 'falsified' : doubts.length > 0 ? 'inconclusive' : 'intact'
  return { claim: CLAIM, result, findings, looked: { ...host.looked, needles: run.needles.size, 'sweeps while the guest ran': guestSweeps }, notes: [...doubts, ...notes] }
}

/** Opened with a receiver's own key: do the results speak of the claims that were searched for? */
function wasThere(hostFolder: string, ids: readonly string[]): boolean {
  const from = openFolder(CHARTER)
  return INSURERS.some(party => {
    const identity = partyIdentity(from, party)
    const path = join(hostFolder, 'out', `${party}-cases.age`)
    if (identity === undefined || !existsSync(path)) return false
    const opened = decrypt(p, { identities: [identity] }, readFileSync(path))
    const text = opened.ok ? Buffer.from(opened.value).toString('utf8') : ''
    return ids.some(id => text.includes(id))
  })
}

function lastLine(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').slice(-6).join(' / ').slice(0, 600) : ''
}
