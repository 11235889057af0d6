/**
 * The rules of the house, as far as a machine can hold them: who may import whom, that core is pure, that nothing is left
 * behind. Each rule reads one file and gives complaints `file:line what`; `tidy.test.ts` shows each failing on a planted
 * violation and runs them over the whole tree. Parses with oxc; knows nothing of TypeScript's types.
 */
import { parseSync, Visitor } from 'oxc-parser'
import { dirname, join, normalize } from 'node:path'

export interface Source { readonly path: string; readonly text: string }

/** Rooms of core and the rooms each may import. `refusal.ts` and the type files of charter and evidence are for everybody. */
export const CORE_ROOMS: Record<string, readonly string[]> = {
  bytes: [], crypto: ['bytes'], charter: ['bytes', 'crypto'], evidence: ['bytes', 'crypto', 'charter'], appraisal: ['bytes', 'crypto', 'charter', 'evidence'],
  log: ['bytes', 'crypto'], receipt: ['bytes', 'crypto'], seal: ['bytes', 'crypto'],
  loop: ['bytes', 'crypto', 'charter', 'evidence', 'appraisal', 'log', 'receipt', 'seal'],
}
/** Files that name things and hold no logic, or only the canonical form: any room of core may import them. */
export const CORE_SHARED = ['core/refusal.ts', 'core/charter/types.ts', 'core/evidence/claims.ts', 'core/charter/canonical.ts']
/** Rooms of cloud and the rooms each may import. `cli` and `sdk` are composition roots. */
export const CLOUD_ROOMS: Record<string, readonly string[]> = {
  crypto: [], store: [], seal: ['crypto'], ledger: ['store'], provider: [], broker: ['crypto', 'store', 'ledger'], collateral: ['store'], loop: [],
  guest: ['crypto', 'seal', 'provider'], sdk: ['crypto', 'seal', 'provider', 'broker'], cli: ['crypto', 'store', 'seal', 'ledger', 'provider', 'broker', 'guest', 'sdk', 'collateral', 'loop'],
}
const TOOLS = ['sim', 'console', 'claims', 'bench', 'vectors', 'examples', 'tidy', 'fuzz', 'mutate', 'conformance', '.ci']

export const isTest = (path: string) => /\.(test|suite|fixture)\.ts$/.test(path)

/** All complaints about one file. */
export function complaints(source: Source): string[] {
  const parsed = parseSync(source.path, source.text)
  const at = (offset: number) => `${source.path}:${source.text.slice(0, offset).split('\n').length}`
  const errors = parsed.errors.map(error => `${source.path} does not parse: ${error.message}`)
  const imports = importsOf(source, parsed)
  return [
    ...errors,
    ...imports.flatMap(one => importComplaint(source.path, one.target).map(what => `${at(one.start)} ${what}`)),
    ...(pure(source.path) ? impurities(parsed).map(one => `${at(one.start)} core is pure: ${one.what}`) : []),
    ...(isTest(source.path) ? focused(parsed).map(start => `${at(start)} a focused test`) : anys(parsed).map(start => `${at(start)} no any`)),
    ...banned(source).map(one => `${at(one.start)} ${one.what}`),
    ...(isTest(source.path) || /^\s*(\/\*\*|\/\/)/.test(source.text) ? [] : [`${source.path} does not open with a comment that says what it is`]),
  ]
}

interface Import { readonly target: string; readonly start: number; readonly typeOnly: boolean }
type Parsed = ReturnType<typeof parseSync>

/** What a file imports: static, re-exported, dynamic and `import('…')` types, relative or by package name, as a path in the tree. */
export function importsOf(source: Source, parsed: Parsed = parseSync(source.path, source.text)): Import[] {
  const found: { specifier: string; start: number; typeOnly?: boolean }[] = []
  for (const one of parsed.module.staticImports) found.push({ specifier: one.moduleRequest.value, start: one.start, typeOnly: one.entries.length > 0 && one.entries.every(entry => entry.isType) })
  for (const one of parsed.module.staticExports) for (const entry of one.entries) if (entry.moduleRequest !== null) found.push({ specifier: entry.moduleRequest.value, start: one.start })
  for (const match of source.text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) found.push({ specifier: match[1] ?? '', start: match.index })
  for (const match of source.text.matchAll(/\brequire\(\s*['"]([^'"]+)['"]\s*\)/g)) found.push({ specifier: match[1] ?? '', start: match.index })
  return found.map(({ specifier, start, typeOnly = false }) => ({ target: resolved(source.path, specifier), start, typeOnly }))
}

function resolved(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier))
  if (specifier.startsWith('@cloister/core')) return `core${specifier.slice('@cloister/core'.length) || '/index'}.ts`
  if (specifier === 'cloister' || specifier.startsWith('cloister/')) return `cloud${specifier.slice('cloister'.length) || '/sdk/index'}.ts`
  return specifier
}

/** Why `path` may not import `target`; empty when it may. */
export function importComplaint(path: string, target: string): string[] {
  const [side, room = ''] = path.split('/')
  const [otherSide = '', otherRoom = ''] = target.split('/')
  if (isTest(path)) return side === 'core' && otherSide === 'cloud' ? ['core may not import cloud'] : []
  if (['sim', 'claims', 'bench'].includes(otherSide) && side !== otherSide && !(side !== undefined && TOOLS.includes(side))) return [`nobody imports ${otherSide}`]
  if (side === 'core') return coreComplaint(path, room, target, otherSide, otherRoom)
  if (side !== 'cloud' || otherSide !== 'cloud' || room === otherRoom) return []
  const allowed = CLOUD_ROOMS[room]
  if (allowed === undefined) return [`unknown room cloud/${room}`]
  return allowed.includes(otherRoom) ? [] : [`cloud/${room} may not import cloud/${otherRoom}`]
}

function coreComplaint(path: string, room: string, target: string, otherSide: string, otherRoom: string): string[] {
  if (otherSide === 'cloud') return ['core may not import cloud']
  if (target.startsWith('node:') || ['fs', 'net', 'http', 'crypto', 'path', 'os'].includes(target)) return [`core is pure: no ${target}`]
  const top = !path.slice('core/'.length).includes('/')
  if (otherSide !== 'core' || top || CORE_SHARED.includes(target) || room === otherRoom) return []
  const allowed = CORE_ROOMS[room]
  if (allowed === undefined) return [`unknown room core/${room}`]
  // decide.ts reads the Claims type only; evidence and appraisal may use charter's canonical form.
  return allowed.includes(otherRoom) ? [] : [`core/${room} may not import core/${otherRoom}`]
}

const pure = (path: string) => path.startsWith('core/') && !isTest(path)
const IMPURE_GLOBALS = new Set(['process', 'performance', 'console', 'fetch', 'WebSocket', 'XMLHttpRequest', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'globalThis', 'window', 'self', 'Deno', 'Bun', 'require', 'crypto', 'navigator', 'localStorage'])

/** Clock, randomness, environment and network: what core must be handed instead of taking it. */
function impurities(parsed: Parsed): { start: number; what: string }[] {
  const found: { start: number; what: string }[] = []
  const add = (start: number, what: string) => found.push({ start, what })
  new Visitor({
    MemberExpression: node => {
      if (node.object.type !== 'Identifier') return
      const property = node.property.type === 'Identifier' ? node.property.name : ''
      if ((node.object.name === 'Date' && property === 'now') || (node.object.name === 'Math' && property === 'random')) add(node.start, `${node.object.name}.${property}`)
      if (IMPURE_GLOBALS.has(node.object.name)) add(node.start, `${node.object.name}.${property}`)
    },
    CallExpression: node => { if (node.callee.type === 'Identifier' && IMPURE_GLOBALS.has(node.callee.name)) add(node.start, node.callee.name) },
    NewExpression: node => {
      if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && node.arguments.length === 0) add(node.start, 'new Date()')
      if (node.callee.type === 'Identifier' && IMPURE_GLOBALS.has(node.callee.name)) add(node.start, `new ${node.callee.name}`)
    },
    VariableDeclarator: node => { if (node.id.type === 'ObjectPattern' && node.init?.type === 'Identifier' && ['Date', 'Math', 'process', 'globalThis'].includes(node.init.name)) add(node.start, `{ … } = ${node.init.name}`) },
    MetaProperty: node => add(node.start, 'import.meta'),
  }).visit(parsed.program)
  return found
}

function anys(parsed: Parsed): number[] {
  const found: number[] = []
  new Visitor({ TSAnyKeyword: node => { found.push(node.start) } }).visit(parsed.program)
  return found
}

function focused(parsed: Parsed): number[] {
  const found: number[] = []
  new Visitor({ MemberExpression: node => { if (node.property.type === 'Identifier' && node.property.name === 'only' && node.object.type === 'Identifier' && ['test', 'it', 'describe', 'suite'].includes(node.object.name)) found.push(node.start) } }).visit(parsed.program)
  return found
}

/** Words that must not stand in the tree, with what to write instead. Written in pieces here, so that this file is not its own complaint. */
const BANNED: readonly [RegExp, string][] = [
  [new RegExp(`reject${'Unauthorized'}\\s*:\\s*false`), 'TLS is verified or not used'], [new RegExp(`\\b${'ev'}al\\(|new ${'Func'}tion\\(`), 'no dynamic code'],
  [new RegExp(`\\b(${'TO'}DO|${'FIX'}ME|X${'XX'})\\b`), 'a promise to do later: do it, or say so in an issue'], [new RegExp(`/${'wo'}rk/|/${'ho'}me/[a-z]`), 'a path of one machine'],
  [new RegExp(`Math\\.${'ran'}dom`), 'randomness comes in as an argument'],
]

function banned(source: Source): { start: number; what: string }[] {
  return BANNED.flatMap(([pattern, what]) => {
    const match = pattern.exec(source.text)
    return match === null ? [] : [{ start: match.index, what }]
  })
}

/** Cycles between files, types apart (they are gone when the code runs): each as the list of files on it. */
export function cycles(sources: readonly Source[]): string[][] {
  const edges = new Map(sources.map(source => [source.path, importsOf(source).filter(one => !one.typeOnly).map(one => one.target)]))
  const done = new Set<string>()
  const found: string[][] = []
  const walk = (path: string, trail: readonly string[]) => {
    const seen = trail.indexOf(path)
    if (seen >= 0) { found.push([...trail.slice(seen), path]); return }
    if (done.has(path)) return
    for (const next of edges.get(path) ?? []) if (edges.has(next)) walk(next, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) walk(path, [])
  return found
}
