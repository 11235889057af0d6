/**
 * How a guest process is fenced off on a host without a TEE: own user, own network, process and IPC namespaces, no core
 * dumps, no new privileges, no inherited environment, Node's permission model. It uses what the system allows and says
 * what it used, so that nobody mistakes less for more. Simulated silicon keeps no secrets from root: this only keeps the
 * guest from the host's files and network, and other users from the guest.
 */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'

export interface Fence {
  /** The command line that goes before `node …`. */
  readonly prefix: readonly string[]
  /** What it gives, for receipts and screens. */
  readonly holds: readonly string[]
}

const NOBODY = '65534'

/** The strongest fence that starts here, tried from strong to weak; `probe` are files that the guest must be able to read. */
export function findFence(node: string, probe: readonly string[]): Fence {
  for (const fence of fences()) if (starts(fence, node, probe)) return fence
  return { prefix: [], holds: [] }
}

function fences(): Fence[] {
  const limits = existsSync('/usr/bin/prlimit') ? ['/usr/bin/prlimit', '--core=0:0'] : []
  const unshare = '/usr/bin/unshare'
  if (!existsSync(unshare)) return [{ prefix: limits, holds: limits.length > 0 ? ['no core dumps'] : [] }]
  const spaces = ['--net', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc']
  const held = ['own network namespace', 'own process namespace', ...(limits.length > 0 ? ['no core dumps'] : [])]
  const drop = ['/usr/bin/setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all']
  const asRoot = process.getuid?.() === 0
  return [
    ...(asRoot ? [{ prefix: [...limits, unshare, ...spaces, ...drop], holds: ['own user', ...held, 'no capabilities'] }] : []),
    ...(asRoot ? [{ prefix: [...limits, unshare, ...spaces], holds: held }] : []),
    { prefix: [...limits, unshare, '--user', '--map-current-user', ...spaces], holds: [...held, 'own user namespace'] },
    { prefix: limits, holds: limits.length > 0 ? ['no core dumps'] : [] },
  ]
}

/** Does a process behind this fence start, and can it read what it must? */
function starts(fence: Fence, node: string, probe: readonly string[]): boolean {
  const script = 'for (const f of process.argv.slice(1)) require("node:fs").accessSync(f, 4)'
  try {
    for (const file of probe) accessSync(file, constants.R_OK)
    const [command, ...rest] = [...fence.prefix, node, '-e', script, ...probe]
    if (command === undefined) return false
    execFileSync(command, rest, { env: {}, stdio: 'ignore', timeout: 10_000 })
    return true
  } catch {
    return false
  }
}
