/**
 * The YAML that people write, read as plain data: YAML 1.2 core schema, one document, no anchors, aliases, tags, merge
 * keys or duplicate keys. Stands apart from `parse.ts` so that verifiers do not carry a YAML reader. Trusts nothing.
 */
import { isAlias, isNode, LineCounter, parseAllDocuments, visit, type Document } from 'yaml'
import { parseJson } from '../bytes/json.ts'
import { attempt, refuse, Refused, refusalOf, type Result } from '../refusal.ts'
import { LIMITS } from './limits.ts'
import { charterOf } from './parse.ts'
import type { Charter } from './types.ts'

/** The normal form of a charter in YAML or JSON. Refuses like `parseCharter`; `at` carries the line where it is known. */
export function parseCharterYaml(text: string): Result<Charter> {
  return attempt(() => {
    if (text.length > LIMITS.bytes) refuse('charter.limit', '$', `at most ${LIMITS.bytes} bytes`, String(text.length))
    const json = { bytes: 4 * LIMITS.bytes, depth: LIMITS.depth, entries: LIMITS.entries, string: LIMITS.keyText }
    if (text.trimStart().startsWith('{')) return charterOf(parseJson(text, json))
    depthGuard(text)
    const lines = new LineCounter()
    const document = oneDocument(text, lines)
    checkPlain(document, lines)
    return withLine(document, lines, () => charterOf(parseJson(JSON.stringify(document.toJS({ maxAliasCount: 0 })), json)))
  })
}

/** A YAML reader recurses: refuse absurd nesting before it starts. */
function depthGuard(text: string): void {
  const open = text.match(/[[{]/g)?.length ?? 0
  const indent = Math.max(0, ...(text.match(/^ +/gm) ?? []).map(space => space.length))
  if (open > LIMITS.entries / 4 || indent > 200 || /[[{](\s*[[{]){8,}/.test(text) || /^(\s*- ){9,}/m.test(text)) refuse('bytes.too-deep', '$', `at most ${LIMITS.depth} levels`, 'more')
}

function oneDocument(text: string, lines: LineCounter): Document {
  const documents = parseAllDocuments(text, { version: '1.2', schema: 'core', uniqueKeys: true, merge: false, lineCounter: lines, logLevel: 'silent' })
  const [document, more] = [...documents]
  if (document === undefined || more !== undefined) return refuse('charter.syntax', '$', 'one YAML document', document === undefined ? 'none' : 'several')
  const [problem] = [...document.errors, ...document.warnings]
  if (problem !== undefined) refuse('charter.syntax', place(lines, problem.pos[0]), 'YAML 1.2 without duplicate keys or tags', problem.code)
  return document
}

function checkPlain(document: Document, lines: LineCounter): void {
  visit(document, (_, node) => {
    if (!isNode(node)) return
    const special = isAlias(node) ? 'an alias' : 'anchor' in node && node.anchor !== undefined ? 'an anchor' : node.tag !== undefined ? 'a tag' : undefined
    if (special !== undefined) refuse('charter.syntax', place(lines, node.range?.[0] ?? 0), 'plain data', special)
  })
}

/** Adds the line of the field to a refusal that names its path. */
function withLine(document: Document, lines: LineCounter, read: () => Charter): Charter {
  const result = attempt(read)
  if (result.ok) return result.value
  const { code, at, expected, got, fix } = result.refusal
  const path = at.split(/[.[\]]+/).filter(part => part !== '').map(part => (/^\d+$/.test(part) ? Number(part) : part))
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range !== undefined && node.range !== null) throw new Refused(refusalOf(code, `${at} (${place(lines, node.range[0])})`, expected, got, fix))
  }
  throw new Refused(result.refusal)
}

const place = (lines: LineCounter, offset: number) => `line ${lines.linePos(offset).line}`
