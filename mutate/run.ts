/**
 * `npm run mutate [-- ROOM…] [--quick] [--line FILE:LINE] [--workers W] [--list]`: makes every mutant of a room's sources
 * in a copy of the tree, runs the room's own tests on each, and prints those that no test noticed: `file:line what`.
 * `--quick` makes only the mutants that take a whole check away. Survivors that change nothing anybody could see are
 * listed with the reason in `equivalent.ts`. Status 0 when there are no others, 1 when there are.
 *
 * The copy stands alone: `@cloister/core` means the copy's core, and a mutant that every test must notice is tried first,
 * so that a green run cannot be one that tested other bytes. `../shared` is not beside the copy: what kills a mutant
 * is a test that everybody has.
 */
import { spawn, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { EQUIVALENT } from './equivalent.ts'
import { mutantsOf, REMOVALS, type Mutant } from './mutants.ts'
import { roomsOf, type Room } from './rooms.ts'

const FIRST = ['snp', 'appraisal', 'x509']
const root = join(import.meta.dirname, '..')
const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean', default: false }, line: { type: 'string' }, workers: { type: 'string', default: '2' }, list: { type: 'boolean', default: false } } })
const all = roomsOf(root)
const unknown = positionals.filter(name => !all.some(room => room.name === name))
if (unknown.length > 0 || values.list) {
  for (const room of all) console.log(`${room.name}: ${room.sources.length} files, ${room.sources.flatMap(path => mutantsOf(path, text(path))).length} mutants, ${room.tests.length} test files`)
  if (unknown.length > 0) console.log(`unknown: ${unknown.join(', ')}`)
  process.exit(unknown.length > 0 ? 30 : 0)
}
const workers = Math.min(2, Math.max(1, Number(values.workers)))
const rooms = (positionals.length > 0 ? all.filter(room => positionals.includes(room.name)) : all).sort((a, b) => rank(a) - rank(b))
const trees = Array.from({ length: workers }, () => copyTree())
process.on('exit', () => { for (const tree of trees) rmSync(tree, { recursive: true, force: true }) })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

let bad = 0
for (const room of rooms) bad += await examine(room)
console.log(bad === 0 ? 'no mutant survived without a reason' : `${bad} to look at`)
process.exit(bad === 0 ? 0 : 1)

function rank(room: Room): number { return FIRST.includes(room.name) ? FIRST.indexOf(room.name) : FIRST.length }
function text(path: string): string { return readFileSync(join(root, path), 'utf8') }

/** All mutants of a room; how many things there are to look at. */
async function examine(room: Room): Promise<number> {
  const mutants = room.sources.flatMap(path => mutantsOf(path, text(path))).filter(one => (!values.quick || REMOVALS.has(one.kind)) && (values.line === undefined || `${one.path}:${one.line}` === values.line))
  if (room.tests.length === 0) {
    console.log(`${room.name}: no tests beside it, ${mutants.length} mutants would survive`)
    return mutants.length
  }
  const began = performance.now()
  if (await noticed(trees[0] ?? root, room, 600_000)) throw new Error(`the tests of ${room.name} fail without a mutant`)
  const limit = Math.max(10_000, 6 * (performance.now() - began))
  await provesItself(room, limit)
  const survivors: Mutant[] = []
  const queue = [...mutants]
  let done = 0
  await Promise.all(trees.map(async tree => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      if (!await noticedMutant(tree, room, mutant, limit)) survivors.push(mutant)
      progress(`${room.name} ${++done} of ${mutants.length}, ${survivors.length} survived`)
    }
  }))
  progress('')
  return report(room, mutants, survivors, performance.now() - began)
}

function report(room: Room, mutants: readonly Mutant[], survivors: readonly Mutant[], ms: number): number {
  const reasonOf = (mutant: Mutant) => EQUIVALENT.find(one => one.path === mutant.path && one.what === mutant.what)
  const unexplained = survivors.filter(mutant => reasonOf(mutant) === undefined).sort((a, b) => a.path.localeCompare(b.path) || a.start - b.start)
  for (const mutant of unexplained) console.log(`${mutant.path}:${mutant.line} ${mutant.what}`)
  const stale = values.quick || values.line !== undefined ? [] : EQUIVALENT.filter(one => room.sources.includes(one.path) && !survivors.some(mutant => mutant.path === one.path && mutant.what === one.what))
  for (const one of stale) console.log(`${one.path} no longer survives or no longer stands there, take it off the list: ${one.what}`)
  console.log(`${room.name}: ${mutants.length} mutants, ${mutants.length - survivors.length} noticed, ${survivors.length - unexplained.length} equivalent, ${unexplained.length} survived; ${(ms / 1000).toFixed(0)} s`)
  return unexplained.length + stale.length
}

/** Each file with nothing left in it must be noticed: else the tests do not run what is mutated. */
async function provesItself(room: Room, limit: number): Promise<void> {
  for (const path of room.sources) {
    if (!await withText(trees[0] ?? root, path, "throw new TypeError('mutated')\n", () => noticed(trees[0] ?? root, room, limit))) console.log(`${path} is not run by the tests of ${room.name}`)
  }
}

function noticedMutant(tree: string, room: Room, mutant: Mutant, limit: number): Promise<boolean> {
  const whole = text(mutant.path)
  return withText(tree, mutant.path, whole.slice(0, mutant.start) + mutant.replacement + whole.slice(mutant.end), () => noticed(tree, room, limit))
}

async function withText(tree: string, path: string, content: string, run: () => Promise<boolean>): Promise<boolean> {
  writeFileSync(join(tree, path), content)
  const result = await run()
  writeFileSync(join(tree, path), text(path))
  return result
}

/** Does a test of the room fail, or none end in time? Stops at the first that fails. */
function noticed(tree: string, room: Room, limit: number): Promise<boolean> {
  const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', '--test', '--test-isolation=none', '--test-reporter=tap', ...room.tests], { cwd: tree, stdio: ['ignore', 'pipe', 'ignore'] })
  return new Promise(resolve => {
    let output = ''
    const timer = setTimeout(() => { child.kill('SIGKILL'); resolve(true) }, limit)
    child.stdout.on('data', (data: Buffer) => {
      output = (output + data.toString()).slice(-4000)
      if (/^\s*not ok \d/m.test(output)) child.kill('SIGKILL')
    })
    child.on('exit', code => { clearTimeout(timer); resolve(code !== 0) })
  })
}

/** The tracked files, and `node_modules` by links, with the two workspaces meaning the copy. */
function copyTree(): string {
  const tree = mkdtempSync(join(tmpdir(), 'mutate-'))
  for (const path of execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).split('\n').filter(one => /^(core|cloud|package\.json|vectors)/.test(one))) {
    if (!existsSync(join(root, path))) continue
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    cpSync(join(root, path), join(tree, path))
  }
  mkdirSync(join(tree, 'node_modules', '@cloister'), { recursive: true })
  for (const name of readdirSync(join(root, 'node_modules'))) if (!['@cloister', 'cloister'].includes(name)) symlinkSync(join(root, 'node_modules', name), join(tree, 'node_modules', name))
  symlinkSync(join(tree, 'core'), join(tree, 'node_modules', '@cloister', 'core'))
  symlinkSync(join(tree, 'cloud'), join(tree, 'node_modules', 'cloister'))
  return tree
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`)
}
