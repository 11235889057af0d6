/**
 * A node's hardware on a TPM 2.0, by the programs of tpm2-tools (Debian's package): the loop's register is a PCR, the lock an
 * NV index that can only be extended (as systemd's NvPCRs are), and what is kept opens by a policy session over the quoted
 * PCRs (PolicyPCR) and the lock (PolicyNV). The attestation key stands under the storage hierarchy; whoever enrols the node
 * enrols the key's Name.
 *
 * Trusts the TPM. A TPM that a host emulates is that host: it can be copied and set back whole, which only the log notices.
 * Secrets travel by pipes, never in arguments or files. The folder holds the key as the TPM wrapped it.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { concat } from '@cloister/core/bytes/bytes'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import { readPublicArea } from '@cloister/core/evidence/tpm/structures'
import type { TpmEvidence } from '@cloister/core/evidence/tpm/verify'
import { refuse } from '@cloister/core/refusal'
import type { Hardware } from './node.ts'

export interface TpmOptions {
  readonly p: Primitives
  readonly random: Random
  /** Where the wrapped attestation key stands; made with mode 0700. */
  readonly folder: string
  /** How tpm2-tools reach the TPM: `device:/dev/tpmrm0`, `swtpm:path=…`. */
  readonly tcti: string
  /** PCRs of the SHA-256 bank that are quoted and that kept secrets depend on, with the loop's among them. */
  readonly pcrs: readonly number[]
  readonly register: number
  /** The NV index of the lock; it is defined when it is not there. */
  readonly lock: number
}
export interface TpmHardware extends Hardware {
  /** The Name of the attestation key (`000b…`), for the list of enrolled keys. */
  readonly akName: string
  readonly kind: 'tpm'
}

const AK = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign'
const KEPT = 'fixedtpm|fixedparent|noda'
const LOCK = 'ownerwrite|authwrite|ownerread|authread|no_da|nt=0x4'
/** Far longer than a TPM takes to make a key. */
const TIMEOUT_MS = 60_000

/** Leaves with `provider.host` when the TPM or its tools are not there. */
export async function openTpm(options: TpmOptions): Promise<TpmHardware> {
  const { p, folder, pcrs, register, lock } = options
  if (!pcrs.includes(register)) refuse('provider.host', 'tpm.pcrs', `the loop's register ${register} among the quoted`, pcrs.join(', '))
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const sorted = [...pcrs].toSorted((a, b) => a - b)
  const tpm = session(options)
  const area = await tpm((run, at) => attestationKey(run, at, folder))
  await tpm(run => defineLock(run, options))
  const readPcrs = async (run: Run, at: At) => {
    await run('tpm2_pcrread', ['-Q', '-o', at('values'), `sha256:${sorted.join(',')}`])
    const bytes = await bytesAt(at('values'))
    return Object.fromEntries(sorted.map((index, i) => [String(index), toHex(bytes.subarray(32 * i, 32 * i + 32))]))
  }
  const readLock = async (run: Run) => toHex(await run('tpm2_nvread', ['-C', indexOf(lock), indexOf(lock), '-s', '32']))
  return {
    kind: 'tpm', akName: readPublicArea(p, area).name,
    attest: binding => tpm(async (run, at) => {
      await load(run, join(folder, 'ak'), at('ak.ctx'), at)
      await run('tpm2_quote', ['-Q', '-c', at('ak.ctx'), '-l', `sha256:${sorted.join(',')}`, '-q', toHex(binding), '-m', at('message'), '-s', at('signature')])
      const evidence: TpmEvidence = { kind: 'tpm', message: toBase64(await bytesAt(at('message'))), signature: toBase64(await bytesAt(at('signature'))), ak: toBase64(area), pcrs: { sha256: await readPcrs(run, at) } }
      return evidence
    }),
    register: {
      read: () => tpm(async (run, at) => (await readPcrs(run, at))[String(register)] ?? ''),
      extend: digest => tpm(async run => { await run('tpm2_pcrextend', [`${register}:sha256=${toHex(digest)}`]) }),
    },
    lock: {
      read: () => tpm(readLock),
      extend: digest => tpm(async run => { await run('tpm2_nvextend', ['-Q', '-C', indexOf(lock), '-i', '-', indexOf(lock)], digest) }),
    },
    keep: (secret, holds) => tpm(async (run, at) => {
      const policy = await policyOf(run, at, sorted, { ...await readPcrs(run, at), ...(holds.register === undefined ? {} : { [String(register)]: holds.register }) }, lock, holds.lock ?? await readLock(run))
      await primary(run, at)
      await run('tpm2_create', ['-Q', '-C', at(PRIMARY), '-i', '-', '-u', at('public'), '-r', at('private'), '-L', policy, '-a', KEPT], secret)
      return `${toBase64(await bytesAt(at('public')))}.${toBase64(await bytesAt(at('private')))}`
    }),
    open: kept => tpm(async (run, at) => {
      const [publicArea, privateArea, more] = kept.split('.')
      if (publicArea === undefined || privateArea === undefined || more !== undefined) return refuse('seal.open', 'kept', 'two parts', 'another form')
      await writeFile(at('kept.pub'), fromBase64(publicArea, 'kept'))
      await writeFile(at('kept.priv'), fromBase64(privateArea, 'kept'))
      await load(run, at('kept'), at('kept.ctx'), at, 'seal.open')
      return unseal(run, at, sorted, lock, await readLock(run))
    }),
  }
}

/** Runs one of the tools with these bytes as its input, and gives its output. */
type Run = (tool: string, args: readonly string[], input?: Uint8Array, code?: 'provider.host' | 'seal.open') => Promise<Uint8Array>
/** A path in the folder of one piece of work. */
type At = (name: string) => string

/** One piece of work after the other; each leaves the TPM's few places for keys empty, also where no resource manager does. */
function session({ folder, tcti }: TpmOptions): <T>(work: (run: Run, at: At) => Promise<T>) => Promise<T> {
  const env = { ...process.env, TPM2TOOLS_TCTI: tcti }
  const run: Run = async (tool, args, input, code = 'provider.host') => {
    const { stdout, failure } = await execute(tool, args, env, input)
    return failure === undefined ? stdout : refuse(code, tool, 'success', failure)
  }
  let before: Promise<unknown> = Promise.resolve()
  return work => {
    const own = async () => {
      const scratch = await mkdtemp(join(folder, 'work-'))
      try {
        return await work(run, name => join(scratch, name))
      } finally {
        if (existsSync(join(scratch, PRIMARY))) await execute('tpm2_flushcontext', ['-t'], env)
        await rm(scratch, { recursive: true, force: true })
      }
    }
    const done = before.then(own, own)
    before = done
    return done
  }
}

function execute(tool: string, args: readonly string[], env: NodeJS.ProcessEnv, input?: Uint8Array): Promise<{ stdout: Uint8Array; failure?: string }> {
  return new Promise(resolve => {
    const child = execFile(tool, args, { env, encoding: 'buffer', timeout: TIMEOUT_MS, maxBuffer: 1 << 20 }, (error, stdout, stderr) => {
      const said = stderr.toString('utf8').split('\n').find(line => line.startsWith('ERROR')) ?? error?.message ?? ''
      resolve(error === null ? { stdout: new Uint8Array(stdout) } : { stdout: new Uint8Array(), failure: said })
    })
    child.stdin?.on('error', () => undefined) // a tool that stops early says so by its exit
    child.stdin?.end(input ?? new Uint8Array())
  })
}

/** The storage key: made anew from the hierarchy's seed each time, always the same. */
const primary = (run: Run, at: At) => run('tpm2_createprimary', ['-Q', '-C', 'o', '-G', 'ecc', '-g', 'sha256', '-c', at(PRIMARY)])
const PRIMARY = 'primary.ctx'

async function load(run: Run, name: string, context: string, at: At, code: 'provider.host' | 'seal.open' = 'provider.host'): Promise<void> {
  await primary(run, at)
  await run('tpm2_load', ['-Q', '-C', at(PRIMARY), '-u', `${name}.pub`, '-r', `${name}.priv`, '-c', context], undefined, code)
  // Three places, and now they are taken: whoever uses the key loads its context.
  await run('tpm2_flushcontext', ['-t'])
}

/** The public area of the attestation key, made on the first call; its presence says that the private part is there. */
async function attestationKey(run: Run, at: At, folder: string): Promise<Uint8Array> {
  const [publicArea, privateArea] = [join(folder, 'ak.pub'), join(folder, 'ak.priv')]
  if (existsSync(publicArea)) return bytesAt(publicArea)
  await primary(run, at)
  await run('tpm2_create', ['-Q', '-C', at(PRIMARY), '-G', 'ecc256:ecdsa-sha256:null', '-a', AK, '-u', at('ak.pub'), '-r', at('ak.priv')])
  await rename(at('ak.priv'), privateArea)
  await rename(at('ak.pub'), publicArea)
  return bytesAt(publicArea)
}

/** A new lock begins with a secret that is forgotten at once: nobody can bring another index to the same value. */
async function defineLock(run: Run, { lock, random }: TpmOptions): Promise<void> {
  const defined = (await textOf(run, 'tpm2_getcap', ['handles-nv-index'])).toLowerCase().split(/\s+/).includes(indexOf(lock))
  if (!defined) await run('tpm2_nvdefine', [indexOf(lock), '-Q', '-C', 'o', '-g', 'sha256', '-s', '32', '-a', LOCK])
  const area = await textOf(run, 'tpm2_nvreadpublic', [indexOf(lock)])
  const attributes = Number(/attributes:\s+friendly: \S+\s+value: (0x[0-9A-Fa-f]+)/.exec(area)?.[1] ?? 0)
  // Whatever else stands there could be written as one likes.
  if ((attributes & NT_MASK) !== NT_EXTEND || !/value: 0xB\s/.test(area) || !/size: 32\s/.test(area)) refuse('provider.host', 'tpm.lock', `an index of SHA-256 that can only be extended at ${indexOf(lock)}`, `attributes 0x${attributes.toString(16)}`, 'choose an index that nobody uses')
  if ((attributes & WRITTEN) === 0) await run('tpm2_nvextend', ['-Q', '-C', indexOf(lock), '-i', '-', indexOf(lock)], random(32))
}
/** TPMA_NV (TPM 2.0 Library, Part 2, section 13.4). */
const NT_MASK = 0xf0
const NT_EXTEND = 0x40
const WRITTEN = 1 << 29

const textOf = async (run: Run, tool: string, args: readonly string[]) => new TextDecoder().decode(await run(tool, args))
const indexOf = (lock: number) => `0x${lock.toString(16)}`
const bytesAt = async (path: string): Promise<Uint8Array> => new Uint8Array(await readFile(path))

/** The digest of the policy: these values in the PCRs, this one in the lock. */
async function policyOf(run: Run, at: At, pcrs: readonly number[], values: Readonly<Record<string, string>>, lock: number, locked: string): Promise<string> {
  await writeFile(at('pcrs'), concat(...pcrs.map(index => fromHex(values[String(index)] ?? ''))))
  await writeFile(at('lock'), fromHex(locked))
  await run('tpm2_startauthsession', ['-S', at('trial.ctx')])
  try {
    await run('tpm2_policypcr', ['-Q', '-S', at('trial.ctx'), '-l', `sha256:${pcrs.join(',')}`, '-f', at('pcrs')])
    await run('tpm2_policynv', ['-Q', '-S', at('trial.ctx'), '-C', indexOf(lock), '-i', at('lock'), '-L', at('policy'), indexOf(lock), 'eq'])
  } finally {
    await run('tpm2_flushcontext', [at('trial.ctx')])
  }
  return at('policy')
}

async function unseal(run: Run, at: At, pcrs: readonly number[], lock: number, locked: string): Promise<Uint8Array> {
  await writeFile(at('lock'), fromHex(locked))
  await run('tpm2_startauthsession', ['--policy-session', '-S', at('session.ctx')])
  try {
    await run('tpm2_policypcr', ['-Q', '-S', at('session.ctx'), '-l', `sha256:${pcrs.join(',')}`], undefined, 'seal.open')
    await run('tpm2_policynv', ['-Q', '-S', at('session.ctx'), '-C', indexOf(lock), '-i', at('lock'), indexOf(lock), 'eq'], undefined, 'seal.open')
    return await run('tpm2_unseal', ['-c', at('kept.ctx'), '-p', `session:${at('session.ctx')}`], undefined, 'seal.open')
  } finally {
    await run('tpm2_flushcontext', [at('session.ctx')])
  }
}
