/**
 * The judge of a query: a closed grammar over DuckDB's own parse tree (clean-room.md sections 7 to 9).
 *
 * Every node must be of a listed type and carry only listed fields; every name must resolve to a listed relation or
 * column; every function must be on the list. The list holds nothing that can fail on data (a failed run is one bit),
 * nothing that reads state or files, nothing that is random and nothing that runs text as SQL. What is executed is the
 * checked tree turned back into text, never the text that came in. Trusts DuckDB's parser to describe what it will run.
 */
import type { Json } from '@cloister/core/bytes/json'
import { refuse } from '@cloister/core/refusal'
import { LIMITS } from './limits.ts'
import { CLAIMS_COLUMNS } from './shape.ts'

/** Pure, total functions. `/` gives a fraction and NULL for a zero divisor; `+ - *` can overflow, so they are not here. */
const FUNCTIONS = new Set([
  'lower', 'upper', 'trim', 'length', 'strip_accents', 'split_part', 'replace', 'translate', 'concat', '||', 'left', 'right', 'starts_with', 'ends_with', 'contains',
  'jaro_winkler_similarity', 'jaro_similarity', 'levenshtein', 'damerau_levenshtein',
  'greatest', 'least', 'abs', '/', 'date_diff', 'year', 'month', 'nullif',
  'given', 'family', 'sounds',
])
const AGGREGATES = new Set(['count', 'count_star', 'sum', 'min', 'max'])
const COMPARISONS = new Set(['COMPARE_EQUAL', 'COMPARE_NOTEQUAL', 'COMPARE_LESSTHAN', 'COMPARE_GREATERTHAN', 'COMPARE_LESSTHANOREQUALTO',
  'COMPARE_GREATERTHANOREQUALTO', 'COMPARE_DISTINCT_FROM', 'COMPARE_NOT_DISTINCT_FROM'])
const OPERATORS = new Set(['COMPARE_IN', 'COMPARE_NOT_IN', 'OPERATOR_IS_NULL', 'OPERATOR_IS_NOT_NULL', 'OPERATOR_NOT', 'OPERATOR_COALESCE'])
const CASTS = new Set(['DATE', 'VARCHAR', 'INTEGER', 'BIGINT', 'DOUBLE', 'BOOLEAN'])
const CONSTANTS = new Set(['INTEGER', 'BIGINT', 'DECIMAL', 'VARCHAR', 'BOOLEAN', 'NULL', 'SQLNULL'])

type Node = { readonly [key: string]: Json }
/** Relations by name, each with its columns. */
type Relations = ReadonlyMap<string, readonly string[]>
interface Walk { readonly at: string; nodes: number }

/**
 * Check one serialised section and give the columns it yields, in order. Leaves the current `attempt` with `sql.statement`, `sql.table`,
 * `sql.function`, `sql.column`, `sql.expression` or `sql.syntax`.
 *
 * @param tree what `json_serialize_sql` gave for the section's text
 * @param views earlier views of the program, with their columns
 */
export function checkTree(tree: Json, at: string, views: Relations): string[] {
  const walk: Walk = { at, nodes: 0 }
  const top = record(walk, tree)
  if (top['error'] !== false) {
    const kind = String(top['error_type'])
    return kind === 'not implemented' ? refuse('sql.statement', at, 'one SELECT', 'another kind of statement') : refuse('sql.syntax', at, 'SQL that parses', kind)
  }
  const statements = list(walk, top['statements'])
  const [statement] = statements
  if (statement === undefined || statements.length !== 1) return refuse('sql.statement', at, 'exactly one statement', String(statements.length))
  return statementColumns(walk, record(walk, statement), new Map([['claims', CLAIMS_COLUMNS], ...views]), 0)
}

function statementColumns(walk: Walk, statement: Node, relations: Relations, depth: number): string[] {
  fields(walk, statement, ['node', 'named_param_map'])
  none(walk, statement, ['named_param_map'], 'no parameters')
  return queryColumns(walk, record(walk, statement['node']), relations, depth)
}

function queryColumns(walk: Walk, node: Node, outer: Relations, depth: number): string[] {
  count(walk, depth)
  const relations = withCtes(walk, node, outer, depth)
  modifiers(walk, node)
  switch (node['type']) {
    case 'SELECT_NODE': return selectColumns(walk, node, relations, depth)
    case 'SET_OPERATION_NODE': {
      fields(walk, node, ['type', 'modifiers', 'cte_map', 'setop_type', 'left', 'right', 'setop_all', 'children'])
      if (node['setop_type'] !== 'UNION') return refuse('sql.expression', walk.at, 'UNION', String(node['setop_type']))
      const parts = Array.isArray(node['children']) ? node['children'] : [node['left'] ?? null, node['right'] ?? null]
      const columns = parts.map(part => queryColumns(walk, record(walk, part), relations, depth + 1))
      return columns[0] ?? []
    }
    default: return refuse('sql.statement', walk.at, 'SELECT or UNION', String(node['type']))
  }
}

function withCtes(walk: Walk, node: Node, outer: Relations, depth: number): Relations {
  const relations = new Map(outer)
  for (const item of list(walk, record(walk, node['cte_map'])['map'])) {
    const entry = record(walk, item)
    const name = identifier(walk, entry['key'])
    if (relations.has(name)) refuse('sql.table', walk.at, 'a new name for WITH', name)
    const value = record(walk, entry['value'])
    fields(walk, value, ['aliases', 'query', 'materialized', 'key_targets'])
    none(walk, value, ['aliases', 'key_targets'], 'plain WITH')
    relations.set(name, statementColumns(walk, record(walk, value['query']), relations, depth + 1))
  }
  return relations
}

/** Only plain DISTINCT: order is the engine's, and LIMIT would make a result depend on it. */
function modifiers(walk: Walk, node: Node): void {
  for (const item of list(walk, node['modifiers'])) {
    const modifier = record(walk, item)
    if (modifier['type'] !== 'DISTINCT_MODIFIER') refuse('sql.expression', walk.at, 'no ORDER BY and no LIMIT: the engine sorts', String(modifier['type']))
    fields(walk, modifier, ['type', 'distinct_on_targets'])
    none(walk, modifier, ['distinct_on_targets'], 'plain DISTINCT')
  }
}

const SELECT_FIELDS = ['type', 'modifiers', 'cte_map', 'select_list', 'from_table', 'where_clause', 'group_expressions', 'group_sets', 'aggregate_handling', 'having', 'sample', 'qualify']

function selectColumns(walk: Walk, node: Node, relations: Relations, depth: number): string[] {
  fields(walk, node, SELECT_FIELDS)
  none(walk, node, ['sample', 'qualify'], 'no SAMPLE and no QUALIFY')
  if (node['aggregate_handling'] !== 'STANDARD_HANDLING' || list(walk, node['group_sets']).length > 1) refuse('sql.expression', walk.at, 'a plain GROUP BY', 'another grouping')
  const scope: Scope = new Map()
  from(walk, record(walk, node['from_table']), relations, scope, depth + 1)
  for (const alias of scope.keys()) {
    // `select t from t` gives whole rows: no alias may be spelled like a column, and a bare alias then never resolves.
    if ([...scope.values()].some(columns => columns.includes(alias))) refuse('sql.column', walk.at, 'a table alias that is not a column name', alias)
  }
  const items = list(walk, node['select_list']).map(item => record(walk, item))
  for (const item of items) expression(walk, item, scope, depth + 1)
  for (const key of ['where_clause', 'having']) if (node[key] !== null) expression(walk, record(walk, node[key]), scope, depth + 1)
  for (const item of list(walk, node['group_expressions'])) expression(walk, record(walk, item), scope, depth + 1)
  return items.map(item => nameOf(walk, item))
}

function nameOf(walk: Walk, item: Node): string {
  if (typeof item['alias'] === 'string' && item['alias'] !== '') return identifier(walk, item['alias'])
  if (item['class'] === 'COLUMN_REF') return identifier(walk, list(walk, item['column_names']).at(-1))
  return refuse('sql.column', walk.at, 'a name (AS …) for every computed column', 'none')
}

type Scope = Map<string, readonly string[]>

function from(walk: Walk, table: Node, relations: Relations, scope: Scope, depth: number): void {
  count(walk, depth)
  switch (table['type']) {
    case 'BASE_TABLE': {
      fields(walk, table, ['type', 'alias', 'sample', 'query_location', 'schema_name', 'table_name', 'column_name_alias', 'catalog_name', 'at_clause'])
      none(walk, table, ['sample', 'schema_name', 'catalog_name', 'at_clause', 'column_name_alias'], 'a bare table name')
      const name = String(table['table_name'])
      const columns = relations.get(name) ?? refuse('sql.table', walk.at, [...relations.keys()].join(', '), name)
      return bring(walk, scope, aliasOf(walk, table) ?? name, columns)
    }
    case 'SUBQUERY': {
      fields(walk, table, ['type', 'alias', 'sample', 'query_location', 'subquery', 'column_name_alias'])
      none(walk, table, ['sample', 'column_name_alias'], 'a plain subquery')
      const columns = statementColumns(walk, record(walk, table['subquery']), relations, depth + 1)
      return bring(walk, scope, aliasOf(walk, table) ?? refuse('sql.table', walk.at, 'an alias for the subquery', 'none'), columns)
    }
    case 'JOIN': {
      fields(walk, table, ['type', 'alias', 'sample', 'query_location', 'left', 'right', 'condition', 'join_type', 'ref_type', 'using_columns', 'delim_flipped', 'duplicate_eliminated_columns'])
      none(walk, table, ['alias', 'sample', 'using_columns', 'duplicate_eliminated_columns'], 'JOIN … ON')
      if (table['ref_type'] !== 'REGULAR' || !(table['join_type'] === 'INNER' || table['join_type'] === 'LEFT') || table['condition'] === null) {
        refuse('sql.expression', walk.at, 'JOIN … ON or LEFT JOIN … ON', `${String(table['join_type'])} ${String(table['ref_type'])}`)
      }
      from(walk, record(walk, table['left']), relations, scope, depth + 1)
      from(walk, record(walk, table['right']), relations, scope, depth + 1)
      return expression(walk, record(walk, table['condition']), scope, depth + 1)
    }
    default: return refuse('sql.table', walk.at, [...relations.keys()].join(', '), String(table['type']))
  }
}

function bring(walk: Walk, scope: Scope, alias: string, columns: readonly string[]): void {
  if (scope.has(alias)) refuse('sql.table', walk.at, 'each alias once', alias)
  scope.set(alias, columns)
}

function aliasOf(walk: Walk, table: Node): string | undefined {
  return table['alias'] === '' ? undefined : identifier(walk, table['alias'])
}

const COMMON = ['class', 'type', 'alias', 'query_location']

function expression(walk: Walk, node: Node, scope: Scope, depth: number): void {
  count(walk, depth)
  const inner = (value: Json | undefined) => { if (value !== null && value !== undefined) expression(walk, record(walk, value), scope, depth + 1) }
  const each = (value: Json | undefined) => list(walk, value).forEach(inner)
  switch (node['class']) {
    case 'COLUMN_REF': fields(walk, node, [...COMMON, 'column_names']); return column(walk, list(walk, node['column_names']), scope)
    case 'CONSTANT': fields(walk, node, [...COMMON, 'value']); return constant(walk, record(walk, node['value']))
    case 'FUNCTION': callOf(walk, node); inner(node['filter']); return each(node['children'])
    case 'COMPARISON': fields(walk, node, [...COMMON, 'left', 'right']); among(walk, node, COMPARISONS); inner(node['left']); return inner(node['right'])
    case 'CONJUNCTION': fields(walk, node, [...COMMON, 'children']); return each(node['children'])
    case 'BETWEEN': fields(walk, node, [...COMMON, 'input', 'lower', 'upper']); inner(node['input']); inner(node['lower']); return inner(node['upper'])
    case 'OPERATOR': fields(walk, node, [...COMMON, 'children']); among(walk, node, OPERATORS); return each(node['children'])
    case 'CAST': return cast(walk, node, inner)
    case 'CASE': {
      fields(walk, node, [...COMMON, 'case_checks', 'else_expr'])
      for (const item of list(walk, node['case_checks'])) {
        const check = record(walk, item)
        fields(walk, check, ['when_expr', 'then_expr'])
        inner(check['when_expr'])
        inner(check['then_expr'])
      }
      return inner(node['else_expr'])
    }
    default: return refuse('sql.expression', walk.at, 'columns, constants, listed functions, comparisons, CASE, TRY_CAST', String(node['class']))
  }
}

function column(walk: Walk, names: readonly Json[], scope: Scope): void {
  const parts = names.map(name => (typeof name === 'string' ? name : ''))
  const [first = '', second] = parts
  const found = parts.length === 1 ? [...scope.values()].some(columns => columns.includes(first))
    : parts.length === 2 && (scope.get(first) ?? []).includes(second ?? '')
  if (!found) refuse('sql.column', walk.at, 'a column of the listed tables', parts.join('.'))
}

function constant(walk: Walk, value: Node): void {
  const type = String(record(walk, value['type'])['id'])
  if (!CONSTANTS.has(type)) refuse('sql.expression', walk.at, 'numbers, texts, true, false, null', type)
  if (typeof value['value'] === 'string' && value['value'].length > LIMITS.textMax) refuse('sql.expression', walk.at, `texts of at most ${LIMITS.textMax} characters`, 'a longer text')
}

function callOf(walk: Walk, node: Node): void {
  fields(walk, node, [...COMMON, 'function_name', 'schema', 'children', 'filter', 'order_bys', 'distinct', 'is_operator', 'export_state', 'catalog'])
  const name = String(node['function_name'])
  const aggregate = AGGREGATES.has(name)
  if (!aggregate && !FUNCTIONS.has(name)) refuse('sql.function', walk.at, 'a function on the list', name)
  none(walk, node, ['schema', 'catalog'], 'a bare function name')
  const orders = record(walk, node['order_bys'])
  if (list(walk, orders['orders']).length > 0 || node['export_state'] !== false || (!aggregate && (node['distinct'] !== false || node['filter'] !== null))) {
    refuse('sql.expression', walk.at, `a plain call of ${name}`, 'a call with more')
  }
}

function cast(walk: Walk, node: Node, inner: (value: Json | undefined) => void): void {
  fields(walk, node, [...COMMON, 'child', 'cast_type', 'try_cast'])
  const type = String(record(walk, node['cast_type'])['id'])
  const child = record(walk, node['child'])
  // `date '2024-01-01'`, `true` and the like are casts of a constant: they fail when the query is checked, never on data.
  if (node['try_cast'] !== true && child['class'] !== 'CONSTANT') refuse('sql.expression', walk.at, 'TRY_CAST (a cast can fail on data)', 'CAST')
  if (!CASTS.has(type)) refuse('sql.expression', walk.at, [...CASTS].join(', '), type)
  inner(child)
}

function among(walk: Walk, node: Node, allowed: ReadonlySet<string>): void {
  if (!allowed.has(String(node['type']))) refuse('sql.expression', walk.at, 'a listed operator', String(node['type']))
}

function count(walk: Walk, depth: number): void {
  if (++walk.nodes > LIMITS.nodesMax || depth > LIMITS.depthMax) refuse('sql.expression', walk.at, `at most ${LIMITS.nodesMax} nodes, ${LIMITS.depthMax} deep`, 'more')
}

/** Unknown fields mean a construct this list has not judged. */
function fields(walk: Walk, node: Node, allowed: readonly string[]): void {
  const unknown = Object.keys(node).find(key => !allowed.includes(key))
  if (unknown !== undefined) refuse('sql.expression', walk.at, 'listed constructs only', `${String(node['type'])}.${unknown}`)
}

/** These fields must be absent, null, false or empty. */
function none(walk: Walk, node: Node, keys: readonly string[], expected: string): void {
  for (const key of keys) {
    const value = node[key]
    const empty = value === undefined || value === null || value === false || value === '' || (Array.isArray(value) && value.length === 0)
    if (!empty) refuse('sql.expression', walk.at, expected, key)
  }
}

function identifier(walk: Walk, value: Json | undefined): string {
  return typeof value === 'string' && /^[a-z][a-z0-9_]{0,31}$/.test(value) ? value : refuse('sql.column', walk.at, 'a name in lower case', String(value))
}

function record(walk: Walk, value: Json | undefined): Node {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('sql.expression', walk.at, 'a node', 'another value')
  // JSON leaves only the object case.
  return value as Node
}

function list(walk: Walk, value: Json | undefined): readonly Json[] {
  // A JSON array's items are JSON.
  return Array.isArray(value) ? (value as readonly Json[]) : refuse('sql.expression', walk.at, 'a list', typeof value)
}
