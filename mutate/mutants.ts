/**
 * The mutants of a file: one small change each that a test of its room must notice. Every check is removed (the refusal,
 * the call that checks, the filter), every condition turned and shortened, every bound moved by one, every table shortened
 * by each entry. Words shown to people are left alone. Parses with oxc; knows nothing of types.
 */
import { parseSync } from 'oxc-parser'

export type Kind = 'refusal' | 'call' | 'filter' | 'condition' | 'operand' | 'bound' | 'number' | 'table'
/** Kinds that take a whole check away: what `--quick` runs. */
export const REMOVALS: ReadonlySet<Kind> = new Set(['refusal', 'call', 'filter'])

export interface Mutant {
  readonly path: string
  readonly line: number
  readonly kind: Kind
  /** What is changed, in the words of the source: stable while the line itself is. */
  readonly what: string
  readonly start: number
  readonly end: number
  readonly replacement: string
}

interface Node { readonly type: string; readonly start: number; readonly end: number; readonly [key: string]: unknown }

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'start' in value
const child = (node: Node, key: string): Node | undefined => { const value = node[key]; return isNode(value) ? value : undefined }
const list = (node: Node, key: string): Node[] => { const value = node[key]; return Array.isArray(value) ? value.filter(isNode) : [] }
const nameOf = (node: Node | undefined): string => (node !== undefined && typeof node['name'] === 'string' ? node['name'] : '')

export function mutantsOf(path: string, text: string): Mutant[] {
  const { program } = parseSync(path, text)
  // The tree of oxc is plain data; only the fields named here are read.
  const root = program as unknown as Node
  const leaving = leavingNames(root)
  const found = new Map<string, Mutant>()
  const source = (node: Node) => text.slice(node.start, node.end)
  const add = (kind: Kind, node: Node, replacement: string, what: string) => {
    const shown = `${what}: ${source(node).replace(/\s+/g, ' ').slice(0, 160)}`
    const mutant = { path, line: text.slice(0, node.start).split('\n').length, kind, what: shown, start: node.start, end: node.end, replacement }
    if (replacement !== source(node)) found.set(`${node.start} ${node.end} ${replacement}`, mutant)
  }
  walk(root, [], (node, parents) => {
    if (leaves(node, leaving)) return false
    visit(node, parents, leaving, source, add)
    return !node.type.startsWith('TS') || ['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression'].includes(node.type)
  })
  return [...found.values()].sort((a, b) => a.start - b.start)
}

type Add = (kind: Kind, node: Node, replacement: string, what: string) => void
type Source = (node: Node) => string

function visit(node: Node, parents: readonly Node[], leaving: ReadonlySet<string>, source: Source, add: Add): void {
  switch (node.type) {
    case 'IfStatement': return ifStatement(node, leaving, source, add)
    case 'ConditionalExpression': return conditional(node, leaving, source, add)
    case 'LogicalExpression': return logical(node, leaving, source, add)
    case 'BinaryExpression': return binary(node, source, add)
    case 'UnaryExpression': return node['operator'] === '!' ? add('condition', node, source(child(node, 'argument') ?? node), 'not negated') : undefined
    case 'CallExpression': return call(node, source, add)
    case 'ExpressionStatement': return statement(node, leaving, add)
    case 'ArrayExpression': return table(node, parents, source, add)
    default:
  }
}

function ifStatement(node: Node, leaving: ReadonlySet<string>, source: Source, add: Add): void {
  const test = child(node, 'test')
  const then = child(node, 'consequent')
  if (test === undefined || then === undefined) return
  const only = then.type === 'BlockStatement' ? list(then, 'body').at(-1) : then
  const refuses = only !== undefined && leaves(only, leaving)
  add(refuses ? 'refusal' : 'condition', test, 'false', refuses ? 'never refused if' : 'never taken if')
  add('condition', test, 'true', 'always taken if')
}

function conditional(node: Node, leaving: ReadonlySet<string>, source: Source, add: Add): void {
  const [test, yes, no] = ['test', 'consequent', 'alternate'].map(key => child(node, key))
  if (test === undefined || yes === undefined || no === undefined) return
  if (leaves(no, leaving)) add('refusal', node, `(${source(yes)})`, 'never refused')
  else add('condition', node, `(${source(no)})`, 'always the second of')
  if (leaves(yes, leaving)) add('refusal', node, `(${source(no)})`, 'never refused')
  else add('condition', node, `(${source(yes)})`, 'always the first of')
}

/** `a ?? refuse()` loses its refusal; `a && b` and `a || b` lose each side. A default behind `??` is mostly there for the types. */
function logical(node: Node, leaving: ReadonlySet<string>, source: Source, add: Add): void {
  const [left, right] = [child(node, 'left'), child(node, 'right')]
  if (left === undefined || right === undefined) return
  if (leaves(right, leaving)) return add('refusal', node, `(${source(left)})`, 'never refused')
  if (node['operator'] === '??') return
  add('operand', node, `(${source(left)})`, 'only the left of')
  add('operand', node, `(${source(right)})`, 'only the right of')
}

const BOUNDS: Record<string, string> = { '<': '<=', '<=': '<', '>': '>=', '>=': '>' }
const EQUALS: Record<string, string> = { '===': '!==', '!==': '===' }

function binary(node: Node, source: Source, add: Add): void {
  const [left, right, operator] = [child(node, 'left'), child(node, 'right'), String(node['operator'])]
  if (left === undefined || right === undefined) return
  const moved = BOUNDS[operator]
  const turned = EQUALS[operator]
  if (moved !== undefined) add('bound', node, `${source(left)} ${moved} ${source(right)}`, `${moved} in`)
  if (turned !== undefined) add('condition', node, `${source(left)} ${turned} ${source(right)}`, `${turned} in`)
  if (!['&', '|', '>>', '>>>', '<<', '===', '!==', '<', '<=', '>', '>='].includes(operator)) return
  for (const [side, other, before] of [[left, right, false], [right, left, true]] as const) {
    const digits = source(side)
    if (side.type !== 'Literal' || !/^(0x[0-9a-f]+|\d+)n?$/.test(digits)) continue
    const more = digits.endsWith('n') ? `${BigInt(digits.slice(0, -1)) + 1n}n` : String(Number(digits) + 1)
    add('number', node, before ? `${source(other)} ${operator} ${more}` : `${more} ${operator} ${source(other)}`, `${more} for ${digits} in`)
  }
}

function call(node: Node, source: Source, add: Add): void {
  const callee = child(node, 'callee')
  if (callee?.type !== 'MemberExpression') return
  const object = child(callee, 'object')
  const method = nameOf(child(callee, 'property'))
  if (object === undefined || list(node, 'arguments').length === 0) return
  const argument = source(list(node, 'arguments')[0] ?? node)
  if (method === 'filter') add('filter', node, source(object), 'not filtered')
  if (method === 'every') add('filter', node, `${source(object)}.some(${argument})`, 'some for every')
  if (method === 'some') add('filter', node, `${source(object)}.every(${argument})`, 'every for some')
  if (method === 'find') add('filter', node, `${source(object)}.find(() => true)`, 'the first found')
}

/** A call for its effect is a check, or a note of what was checked. */
function statement(node: Node, leaving: ReadonlySet<string>, add: Add): void {
  const expression = child(node, 'expression')
  if (expression === undefined || leaves(expression, leaving)) return
  if (expression.type === 'CallExpression') add('call', node, ';', 'not called')
  if (expression.type === 'AssignmentExpression' && child(expression, 'right')?.type === 'CallExpression' && child(expression, 'left')?.type === 'MemberExpression') add('call', node, ';', 'not assigned')
}

/** A list of literals, or of lists of them, is a table: each of its entries may be one too few. */
function table(node: Node, parents: readonly Node[], source: Source, add: Add): void {
  const elements = list(node, 'elements')
  const parent = parents.at(-1)
  const literals = elements.filter(one => ['Literal', 'ArrayExpression', 'TemplateLiteral'].includes(one.type))
  // A pair inside a table, and what is taken apart by place at once, have a fixed length.
  if (elements.length < 2 || literals.length < elements.length || parent?.type === 'ArrayExpression' || child(parent ?? node, 'id')?.type === 'ArrayPattern') return
  elements.forEach((one, i) => add('table', node, `[${elements.filter((_, other) => other !== i).map(source).join(', ')}]`, `without entry ${i + 1} (${source(one).slice(0, 60)}) of`))
}

/** Does this node, a call or a return of one, never come back? */
function leaves(node: Node, leaving: ReadonlySet<string>): boolean {
  const inner = ['ExpressionStatement', 'ParenthesizedExpression'].includes(node.type) ? child(node, 'expression') : ['ReturnStatement', 'ThrowStatement'].includes(node.type) ? child(node, 'argument') : node
  if (node.type === 'ThrowStatement') return true
  if (inner !== node && inner !== undefined) return leaves(inner, leaving)
  if (node.type !== 'CallExpression') return false
  const callee = child(node, 'callee')
  return callee?.type === 'MemberExpression' ? child(callee, 'object')?.type === 'ThisExpression' && leaving.has(nameOf(child(callee, 'property'))) : leaving.has(nameOf(callee))
}

/** `refuse`, and every function of the file that says it returns `never`. */
function leavingNames(root: Node): Set<string> {
  const names = new Set(['refuse'])
  const never = (node: Node | undefined) => child(child(node ?? root, 'returnType') ?? root, 'typeAnnotation')?.type === 'TSNeverKeyword'
  walk(root, [], node => {
    if (node.type === 'FunctionDeclaration' && never(node)) names.add(nameOf(child(node, 'id')))
    if (node.type === 'VariableDeclarator' && never(child(node, 'init'))) names.add(nameOf(child(node, 'id')))
    if (node.type === 'MethodDefinition' && never(child(node, 'value'))) names.add(nameOf(child(node, 'key')))
    return true
  })
  return names
}

function walk(node: Node, parents: readonly Node[], visitNode: (node: Node, parents: readonly Node[]) => boolean): void {
  if (!visitNode(node, parents)) return
  const inner = [...parents, node]
  for (const value of Object.values(node)) {
    if (isNode(value)) walk(value, inner, visitNode)
    else if (Array.isArray(value)) for (const one of value) if (isNode(one)) walk(one, inner, visitNode)
  }
}
