/**
 * The engines of a guest: what `run` of a program's charter entry names. Each takes opened inputs and gives plain outputs
 * that the meet of the owners' grants allows; sealing them is the session's work.
 */
import { utf8 } from '@cloister/core/bytes/text'
import { framed } from '@cloister/core/bytes/bytes'
import { programIdentity } from '@cloister/core/charter/canonical'
import { outputsOf } from '@cloister/core/charter/decide'
import type { Asset, Grant, Program } from '@cloister/core/charter/types'
import { hkdf } from '@cloister/core/crypto/hkdf'
import { attempt, refuse, type Result } from '@cloister/core/refusal'
import type { ReleasedKey } from '@cloister/core/seal/release'
import { nodePrimitives, nodeRandom } from '../../crypto/node.ts'
import { openFile } from '../../seal/age-file.ts'
import type { Launch } from '../../provider/wire.ts'
import type { PlainOutput } from '../outputs.ts'
import { runSql, type SqlInput } from './sql/index.ts'

export interface ProgramInput { readonly asset: string; readonly fd: number; readonly key: Omit<ReleasedKey, 'share'>; readonly about: Asset }
export interface ProgramRun { readonly launch: Launch; readonly program: Program; readonly code: Uint8Array; readonly grants: readonly Grant[]; readonly inputs: readonly ProgramInput[] }
export interface ProgramResult {
  readonly outputs: readonly PlainOutput[]
  readonly inputs: readonly { readonly asset: string; readonly version: number; readonly digest: string }[]
  readonly counts: object
  readonly engine: string
}

/** Run the program with the engine its charter entry names. Refuses `cli.unsupported` for engines that are not built. */
export async function runProgram(run: ProgramRun): Promise<Result<ProgramResult>> {
  if (!('sql' in run.program.run)) return attempt(() => refuse('cli.unsupported', 'program.run', 'sql', Object.keys(run.program.run).join()))
  const result = await runSql({
    p: nodePrimitives, program: run.code, random: nodeRandom, roomKey: roomKey(run),
    inputs: run.inputs.map(sqlInput), outputs: outputsOf(run.grants), threads: run.launch.threads, memoryBytesMax: run.launch.memoryBytesMax,
  })
  if (!result.ok) return result
  const inputs = run.inputs.map(({ key }) => ({ asset: key.asset, version: key.version, digest: key.digest }))
  return { ok: true, value: { outputs: result.value.outputs, inputs, counts: result.value.counts, engine: result.value.engine } }
}

/** The plaintext goes straight from the cipher into the engine's memory; a file that is not the deposited one is refused. */
function sqlInput(input: ProgramInput): SqlInput {
  return {
    asset: input.asset, owner: input.about.owner, ...(input.about.person === undefined ? {} : { person: input.about.person }),
    open: sink => openFile(input.fd, { identities: [input.key.identity] }, sink, input.key.digest),
  }
}

/**
 * A secret that every run of the same program over the same assets shares and nobody outside knows: derived from the
 * released keys and the program's identity, so that case numbers stay comparable without another secret to keep, and
 * other bytes or another configuration derive another one (dstack #1297).
 */
export function roomKey(run: ProgramRun): Uint8Array {
  const identity = programIdentity(nodePrimitives, run.launch.lineage, run.launch.program, run.program)
  const keys = run.inputs.map(({ key }) => `${key.asset}/${key.version}/${key.identity}`).sort()
  return hkdf(nodePrimitives, 'sha256', framed('cloister/room-keys/1', ...keys.map(utf8)), new Uint8Array(0), framed('cloister/room/2', utf8(identity)), 32)
}
