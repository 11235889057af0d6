/**
 * The YAML that people write, read as plain data: YAML 1.2 core schema, one document, no anchors, aliases, tags, merge
 * keys, directives or duplicate keys (charter.md section 5, rule 1). Stands apart from `parse.ts` so that verifiers do not
 * carry a YAML reader: of the package `yaml` only the syntax is used; values go through the strict JSON reader.
 * Trusts nothing, and lets no text cost more than a little: depth and tokens are counted before anything is composed.
 */
import { Composer, isMap, isScalar, isSeq, LineCounter, Parser, type CST, type Document } from 'yaml'
import { utf8 } from '../bytes/text.ts'
import { parseJson } from '../bytes/json.ts'
import { attempt, refuse, Refused, refusalOf, type Result } from '../refusal.ts'
import { LIMITS } from './limits.ts'
import { charterOf } from './parse.ts'
import type { Charter } from './types.ts'

/**
 * The normal form of a charter in YAML or JSON. Refuses like `parseCharter`, and `charter.syntax` for what is not plain
 * YAML; `at` carries the line.
 *
 * @example
 * parseCharterYaml('a: &x 1') // → { ok: false, refusal: { code: 'charter.syntax', at: 'line 1', got: 'an anchor', … } }
 */
export function parseCharterYaml(text: string): Result<Charter> {
  return attempt(() => {
    const size = text.length > LIMITS.bytes ? text.length : utf8(text).length
    if (size > LIMITS.bytes) refuse('charter.limit', '$', `at most ${LIMITS.bytes} bytes`, String(size))
    if (text.startsWith('\ufeff')) refuse('charter.syntax', 'line 1', 'a text without byte order mark', 'one')
    if (text.trimStart().startsWith('{')) return charterOf(parseJson(text, JSON_LIMITS))
    const lines = new LineCounter()
    const document = oneDocument(text, lines)
    return withLine(document, lines, () => charterOf(parseJson(plain(document.contents, lines), JSON_LIMITS)))
  })
}

/** The one document of a text, without directives and within the limits. */
function oneDocument(text: string, lines: LineCounter): Document {
  for (const line of text.split('\n')) {
    // The package's reader calls itself once for each indicator of a line, before anything can be counted.
    if (nested(line) > LIMITS.depth) refuse('bytes.too-deep', '$', `at most ${LIMITS.depth} levels`, 'more on one line')
  }
  const tokens: CST.Token[] = []
  for (const token of new Parser(lines.addNewLine).parse(text)) {
    if (token.type === 'directive' || token.type === 'error') refuse('charter.syntax', place(lines, token.offset), 'YAML 1.2 without directives', token.type === 'error' ? 'a broken text' : 'a directive')
    tokens.push(token)
    if (tokens.length > TOKENS_MAX) refuse('charter.limit', place(lines, token.offset), `at most ${TOKENS_MAX} parts`, 'more')
    measure(token, lines)
  }
  if (tokens.filter(token => token.type === 'document').length !== 1) refuse('charter.syntax', '$', 'one YAML document', 'none or several')
  // Duplicate keys are found below: the package compares every key with every other.
  const [document] = [...new Composer({ version: '1.2', schema: 'core', uniqueKeys: false, merge: false, logLevel: 'silent' }).compose(tokens)]
  if (document === undefined) return refuse('charter.syntax', '$', 'one YAML document', 'none')
  const [problem] = [...document.errors, ...document.warnings]
  if (problem !== undefined) refuse('charter.syntax', place(lines, problem.pos[0]), 'YAML 1.2 in plain form', problem.code)
  return document
}

/** How many collections the beginning of a line opens: `- - ? a`. */
const nested = (line: string): number => (/^[ \t]*(?:[-?:](?:[ \t]+|$))*/.exec(line)?.[0] ?? '').replace(/[ \t]/g, '').length

/** Composing recurses and keeps every error: refuse absurd nesting and masses of parts before it starts. */
function measure(document: CST.Token, lines: LineCounter): void {
  const open: { token: CST.Token; depth: number }[] = [{ token: document, depth: 0 }]
  let parts = 0
  for (let top = open.pop(); top !== undefined; top = open.pop()) {
    const { token, depth } = top
    if (depth > LIMITS.depth + 1) refuse('bytes.too-deep', place(lines, token.offset), `at most ${LIMITS.depth} levels`, 'more')
    if (token.type === 'error' || token.type === 'flow-error-end') refuse('charter.syntax', place(lines, token.offset), 'YAML 1.2', 'a broken text')
    const inner: (CST.Token | null | undefined)[] = 'items' in token ? token.items.flatMap(item => [item.key, item.value]) : token.type === 'document' ? [token.value] : []
    const around = 'items' in token ? token.items.reduce((sum, item) => sum + item.start.length + (item.sep?.length ?? 0), 0) : 0
    parts += 1 + around + ('start' in token && Array.isArray(token.start) ? token.start.length : 0) + ('end' in token && Array.isArray(token.end) ? token.end.length : 0)
    if (parts > TOKENS_MAX) refuse('charter.limit', place(lines, token.offset), `at most ${TOKENS_MAX} parts`, 'more')
    for (const one of inner) if (one !== undefined && one !== null) open.push({ token: one, depth: token.type === 'document' ? 0 : depth + 1 })
  }
}

/** The JSON text of plain data, numbers as they were written; leaves with `charter.syntax` for anything else. */
function plain(node: unknown, lines: LineCounter): string {
  if (node === null) return 'null'
  if (!isMap(node) && !isSeq(node) && !isScalar(node)) return refuse('charter.syntax', place(lines, offsetOf(node)), 'plain data', 'an alias')
  const at = place(lines, node.range?.[0] ?? 0)
  if (node.anchor !== undefined || node.tag !== undefined) return refuse('charter.syntax', at, 'plain data', node.anchor !== undefined ? 'an anchor' : 'a tag')
  if (isSeq(node)) return `[${node.items.map(item => plain(item, lines)).join(',')}]`
  if (isScalar(node)) return scalar(node.value, node.source, at)
  const seen = new Set<string>()
  return `{${node.items.map(({ key, value }) => {
    const where = place(lines, offsetOf(key))
    if (!isScalar(key) || typeof key.value !== 'string' || key.anchor !== undefined || key.tag !== undefined) return refuse('charter.syntax', where, 'a plain text as key', 'another key')
    if (seen.has(key.value)) refuse('charter.syntax', where, 'each key once', key.value)
    seen.add(key.value)
    return `${JSON.stringify(key.value)}:${plain(value, lines)}`
  }).join(',')}}`
}

function scalar(value: unknown, source: string | undefined, at: string): string {
  if (typeof value !== 'number') return JSON.stringify(value)
  return source !== undefined && /^-?(0|[1-9][0-9]*)(\.[0-9]+)?$/.test(source) ? source : refuse('charter.syntax', at, 'a decimal number', source ?? 'another')
}

/** Adds the line of the field to a refusal that names its path. */
function withLine(document: Document, lines: LineCounter, read: () => Charter): Charter {
  const result = attempt(read)
  if (result.ok) return result.value
  const { code, expected, got, fix } = result.refusal
  const at = result.refusal.at.replace(/^\$\./, '')
  if (at.startsWith('line ')) throw new Refused(result.refusal)
  const path = at.split(/[.[\]]+/).filter(part => part !== '').map(part => (/^\d+$/.test(part) ? Number(part) : part))
  for (let length = path.length; length > 0; length--) {
    const offset = offsetOf(document.getIn(path.slice(0, length), true))
    if (offset > 0) throw new Refused(refusalOf(code, `${at} (${place(lines, offset)})`, expected, got, fix))
  }
  throw new Refused(result.refusal)
}

/** Where a node of the package begins; -1 for what has no place. */
function offsetOf(node: unknown): number {
  const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : -1
}

const place = (lines: LineCounter, offset: number) => `line ${Math.max(1, lines.linePos(Math.max(0, offset)).line)}`
const JSON_LIMITS = { bytes: 8 * LIMITS.bytes, depth: LIMITS.depth, entries: LIMITS.entries, string: LIMITS.keyText }
const TOKENS_MAX = LIMITS.entries
