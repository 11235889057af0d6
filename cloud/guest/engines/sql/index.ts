/**
 * The SQL clean room: a reviewed program over the claims of several owners, and outputs that only the meet of their
 * grants allows (clean-room.md; charter.md section 9).
 *
 * The order is: judge the program and the grants, then open inputs, then run, then cut. Nothing is opened for a run that
 * may not give anything away. Output rules are kept here and not by the query, whose author is trusted with nothing but
 * saying which claims belong together. Trusts: DuckDB's lock and parser, the key and the randomness that are handed in.
 */
import { utf8 } from '@cloister/core/bytes/text'
import type { Output } from '@cloister/core/charter/types'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import { orRefuse, refusalOf, refuse, Refused, type Result } from '@cloister/core/refusal'
import { findCases, order, rowsFor, type CaseRow } from './cases.ts'
import { checkProgram, type CheckedProgram } from './check.ts'
import { NoiseSource } from './dp.ts'
import { Engine, engineVersion } from './engine.ts'
import { closeMemoryFile, createMemoryFile, emptyFile, load, type MemoryFile } from './input.ts'
import { LIMITS } from './limits.ts'
import { putDownMatches } from './matches.ts'
import { opaqueNames } from './opaque.ts'
import type { AggregateOutput, ProgramOutput } from './program.ts'
import { DERIVED, UNITS, split, statistics, type Bounds, type Room } from './statistics.ts'

export interface SqlInput {
  readonly asset: string
  /** The owner's name in the charter; it is also the insurer's name in statistics. */
  readonly owner: string
  /** `asset.person` of the charter: `person_id` (derived here from name and date of birth; the default), `vin` or `phone`. */
  readonly person?: string
  /** Write the plaintext to this descriptor, a nameless file in memory (`openFile` of cloud/seal/age-file.ts does). */
  readonly open: (sink: number) => Result<unknown>
}

export interface SqlRun {
  readonly p: Primitives
  /** The reviewed .sql file, as measured. */
  readonly program: Uint8Array
  readonly inputs: readonly SqlInput[]
  /** What may leave: the meet of the inputs' grants (`outputsOf` in core/charter/decide.ts). */
  readonly outputs: readonly Output[]
  /** The guest's own CSPRNG: noise comes from it and from nowhere else. */
  readonly random: Random
  /** 32 secret bytes, the same for every run of a charter's lineage: case numbers stay comparable from run to run. */
  readonly roomKey: Uint8Array
  readonly threads: number
  readonly memoryBytesMax: number
  readonly secondsMax?: number
}

export interface SqlOutput {
  readonly to: string
  readonly shape: 'rows' | 'aggregate'
  readonly about?: 'own'
  readonly name: string
  /** JSON `{ "rows": […], "rules": {…} }`, padded with blanks to a size class. */
  readonly bytes: Uint8Array
  readonly rows: number
}
export interface SqlOutcome {
  readonly outputs: readonly SqlOutput[]
  /** Per owner: claims read and case rows given out. Every party of the run may see these. */
  readonly counts: Readonly<Record<string, { readonly claims: number; readonly cases: number }>>
  readonly engine: string
}

/**
 * Run a reviewed program over the owners' files.
 *
 * Refuses with `sql.*` (the program), `grant.output` (no grant for an output), `data.*` (a file, with the column that is
 * wrong and never a value), and with whatever `open` refuses with.
 *
 * @example
 * await runSql({ p, program, inputs: [{ asset: 'a-claims', owner: 'alpha', open }], outputs: outputsOf(grants),
 *   random, roomKey, threads: 2, memoryBytesMax: 4e9 }) // open: sink => openFile(path, { identities }, sink, digest)
 * // → { ok: true, value: { outputs: [{ to: 'alpha', shape: 'rows', about: 'own', name: 'cases', … }], … } }
 */
export async function runSql(run: SqlRun): Promise<Result<SqlOutcome>> {
  return settle(() => runOrRefuse(run))
}

/**
 * Judge a program without data: what `plan` shows before anybody signs.
 *
 * @example
 * await checkSql(await readFile('queries.sql'))
 * // → { ok: true, value: { outputs: [{ name: 'same-vehicle', kind: 'pairs', … }], views: […] } }
 */
export async function checkSql(program: Uint8Array): Promise<Result<CheckedProgram>> {
  return settle(async () => {
    const engine = await Engine.open({ threads: 1, memoryBytesMax: 256e6, secondsMax: 20 })
    try {
      return await checkProgram(engine, program, ['owner'])
    } finally {
      engine.close()
    }
  })
}

async function runOrRefuse(run: SqlRun): Promise<SqlOutcome> {
  const owners = ownersOf(run.inputs)
  const files = run.inputs.map(createMemoryFile)
  const engine = await Engine.open({ threads: run.threads, memoryBytesMax: run.memoryBytesMax, secondsMax: run.secondsMax ?? LIMITS.secondsMax, paths: files.map(({ path }) => path) })
  try {
    const program = await checkProgram(engine, run.program, owners)
    const allowed = checkOutputs(program.outputs, run.outputs)
    const claims = await loadAll(engine, run.inputs, files)
    checkEnough(claims, allowed)
    for (const view of program.views) await engine.run(`create table ${view.name} as ${view.sql}`, view.name)
    return await outcome(run, engine, { program, allowed, owners, claims })
  } finally {
    engine.close()
    files.forEach(closeMemoryFile)
  }
}

function ownersOf(inputs: readonly SqlInput[]): string[] {
  if (inputs.length === 0 || inputs.length > LIMITS.inputsMax) refuse('sql.limit', 'inputs', `1 to ${LIMITS.inputsMax} inputs`, String(inputs.length))
  for (const { asset, owner, person } of inputs) {
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(owner)) refuse('data.format', asset, 'an owner\'s name as in a charter', 'another name')
    if (person !== undefined && !Object.hasOwn(UNITS, person)) refuse('data.column', `assets.${asset}.person`, `${DERIVED}, vin or phone`, person)
  }
  return [...new Set(inputs.map(({ owner }) => owner))].sort(order)
}

interface Allowed { readonly rows?: Output; readonly aggregate?: Output }

/** Every output of the program needs its grant by every owner; otherwise nothing is opened. */
function checkOutputs(outputs: readonly ProgramOutput[], meet: readonly Output[]): Allowed {
  const find = (shape: Output['shape'], about?: 'own') => meet.find(output => output.shape === shape && output.about === about)
  const rows = find('rows', 'own')
  const aggregate = find('aggregate')
  for (const output of outputs) {
    const kind = output.kind === 'aggregate' ? 'shape: aggregate' : 'shape: rows, about: own'
    if ((output.kind === 'aggregate' ? aggregate : rows) === undefined) {
      refuse('grant.output', `output ${output.name}`, `{ ${kind} } in the grant of every owner`, 'no such output in at least one grant', `every owner adds out: { to: […], ${kind} }`)
    }
  }
  return { ...(rows === undefined ? {} : { rows }), ...(aggregate === undefined ? {} : { aggregate }) }
}

/** The next file is decrypted while DuckDB loads the one before: two cores, two plaintexts in memory at most. */
async function loadAll(engine: Engine, inputs: readonly SqlInput[], files: readonly MemoryFile[]): Promise<Map<string, number>> {
  const claims = new Map<string, number>()
  const open = (i: number) => {
    const [input, file] = [inputs[i], files[i]]
    return input === undefined || file === undefined ? undefined : { input, file, result: input.open(file.fd) }
  }
  let opened = open(0)
  for (let i = 1; opened !== undefined; i++) {
    const { input, file, result } = opened
    orRefuse(result)
    opened = undefined
    const first = [...claims.values()].reduce((sum, count) => sum + count, 0)
    const rows = await load(engine, file, { ...input, first }, () => { opened = open(i) })
    claims.set(input.owner, (claims.get(input.owner) ?? 0) + rows)
    emptyFile(file)
  }
  return claims
}

/** An owner with fewer claims than the threshold could only be the others' mirror. */
function checkEnough(claims: ReadonlyMap<string, number>, allowed: Allowed): void {
  const least = Math.max(1, allowed.aggregate?.atLeast ?? 1)
  for (const [owner, rows] of claims) if (rows < least) refuse('data.too-few', owner, `at least ${least} claims`, `${rows}`)
}

interface Checked { readonly program: CheckedProgram; readonly allowed: Allowed; readonly owners: readonly string[]; readonly claims: ReadonlyMap<string, number> }

async function outcome(run: SqlRun, engine: Engine, { program, allowed, owners, claims }: Checked): Promise<SqlOutcome> {
  await putDownMatches(engine, program.outputs)
  const opaque = opaqueNames(run.p, run.roomKey)
  const room: Room = { engine, opaque, owners, person: new Map(run.inputs.map(({ owner, person }) => [owner, person ?? DERIVED])) }
  // Cases are put together on this thread while DuckDB's threads work on the statistics. Both end before either is judged.
  const [cases, aggregates] = await Promise.allSettled([findCases(engine, program.outputs, opaque), aggregateOutputs(room, program.outputs, allowed.aggregate, new NoiseSource(run.random))])
  const rows = new Map(owners.map(owner => [owner, rowsFor(owner, fulfilled(cases))]))
  const counts = Object.fromEntries(owners.map(owner => [owner, { claims: claims.get(owner) ?? 0, cases: rows.get(owner)?.length ?? 0 }]))
  return { outputs: [...caseOutputs(program.outputs, allowed.rows, rows), ...fulfilled(aggregates)], counts, engine: engineVersion() }
}

function fulfilled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'fulfilled') return result.value
  throw result.reason
}

function caseOutputs(outputs: readonly ProgramOutput[], granted: Output | undefined, rows: ReadonlyMap<string, readonly CaseRow[]>): SqlOutput[] {
  const reasons = outputs.filter(output => output.kind !== 'aggregate')
  if (reasons.length === 0 || granted === undefined) return []
  const rules = { about: 'own', reasons: Object.fromEntries(reasons.map(({ name, score }) => [name, score])) }
  return receivers(granted, [...rows.keys()]).map(to => outputOf({ to, shape: 'rows', about: 'own', name: 'cases' }, rows.get(to) ?? [], rules))
}

async function aggregateOutputs(room: Room, outputs: readonly ProgramOutput[], granted: Output | undefined, noise: NoiseSource): Promise<SqlOutput[]> {
  const made: SqlOutput[] = []
  const bounds = boundsOf(granted, outputs.filter(output => output.kind === 'aggregate').length)
  for (const [i, output] of outputs.entries()) {
    if (output.kind !== 'aggregate') continue
    const cells = (await statistics(room, output, i, bounds, noise))
      .map(({ insurers, group, vehicles, amount, withheld }) => ({ insurers, [output.by.column]: group, vehicles, [output.sum.column]: amount, withheld }))
    for (const to of receiversOfAll(granted, room.owners)) made.push(outputOf({ to, shape: 'aggregate', name: output.name }, cells, rulesOf(output, bounds)))
  }
  return made
}

/** Rows about own claims can only go to those who have claims. */
const receivers = (output: Output, owners: readonly string[]) => owners.filter(owner => output.to.includes(owner) || output.to.includes('*'))

/** Statistics go to everybody named; `*` means the owners of this run, `caller` nobody: a run has no caller. */
const receiversOfAll = (output: Output | undefined, owners: readonly string[]) => [...new Set((output?.to ?? []).flatMap(to => to === '*' ? owners : to === 'caller' ? [] : [to]))].sort(order)

/** Two statistics of one run share what the charter grants for one run. */
function boundsOf(granted: Output | undefined, count: number): Bounds {
  const atLeast = granted?.atLeast ?? 1
  return granted?.epsilon === undefined ? { atLeast } : { atLeast, epsilonMillionths: BigInt(Math.round(granted.epsilon * 1e6)) / BigInt(Math.max(1, count)) }
}

/** What a reader needs to judge the numbers. None of it depends on data. */
function rulesOf(output: AggregateOutput, { atLeast, epsilonMillionths }: Bounds) {
  const rules = { at_least: atLeast, dominance_percent: 80, clip: output.sum.clip }
  if (epsilonMillionths === undefined) return { ...rules, noise: 'none' }
  const [forCounts, forSums] = split(epsilonMillionths)
  const scale = (sensitivity: number, epsilon: bigint) => Math.ceil(sensitivity * 1e6 / Number(epsilon))
  return {
    ...rules, noise: 'discrete laplace', epsilon: Number(epsilonMillionths) / 1e6, claims_per_person: output.perPerson,
    scale: { vehicles: scale(2 * output.perPerson, forCounts), [output.sum.column]: scale(2 * output.perPerson * output.sum.clip, forSums) },
  }
}

function outputOf(about: Omit<SqlOutput, 'bytes' | 'rows'>, rows: readonly unknown[], rules: unknown): SqlOutput {
  return { ...about, rows: rows.length, bytes: padded(utf8(`${JSON.stringify({ rows, rules })}\n`)) }
}

/** Blanks up to the next size class (2ⁿ or 3·2ⁿ bytes): the size of a sealed result tells little about the number of rows. */
function padded(bytes: Uint8Array): Uint8Array {
  let size = 4096
  while (size < bytes.length) size = (size & (size - 1)) === 0 ? size / 2 * 3 : size / 3 * 4
  const full = new Uint8Array(size).fill(0x20)
  full.set(bytes)
  return full
}

async function settle<T>(work: () => Promise<T>): Promise<Result<T>> {
  try {
    return { ok: true, value: await work() }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, refusal: error.refusal }
    // Whatever else went wrong may speak of data: only that it failed leaves this room.
    if (error instanceof Error && error.name !== 'AssertionError') return { ok: false, refusal: refusalOf('sql.failed', 'engine', 'a run that completes', error.name) }
    throw error
  }
}
