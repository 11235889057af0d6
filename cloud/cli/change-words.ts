/**
 * A change in words: CHANGE.md, which reviewers read in git, and the same lines for the screen. Both are made from the two
 * charters alone, never from what somebody wrote about them. Values of a charter stand in code blocks, where nothing in
 * them can pass for a heading or hide a line; a charter's texts hold no line breaks and no control characters.
 */
import { jcs } from '@cloister/core/bytes/jcs'
import { explainReview, openableWithoutOwner } from '@cloister/core/charter/explain'
import type { Charter, Grant } from '@cloister/core/charter/types'
import type { ChangeRequest } from './change.ts'

/** CHANGE.md: what a change narrows and widens, for whom, who must sign, how many keys, from when. */
export function changeDocument(change: ChangeRequest): string {
  const { lineage, digest, next, prev, reviewed } = change
  const exposed = openableWithoutOwner(next).map(one => one.line)
  return [
    `# ${next.name}, epoch ${next.epoch}: ${kindOf(change)}`, '',
    'Made by `cloister propose` from `charter.yaml`; do not edit. `cloister plan` shows the same, with who has signed.', '',
    ...block([`charter   ${digest}`, `follows   ${next.prev ?? 'nothing: it founds a lineage'}`, `lineage   ${lineage}`]),
    '## What changes', '', ...(reviewed === undefined ? block(foundingLines(next)) : ['`+` widens, `-` narrows, `↻` exchanges keys, `·` needs nobody\'s word.', '', ...diff(reviewed.lines)]),
    ...(prev === undefined ? [] : ['Every field that differs, `-` before and `+` after:', '', ...diff(everyDifference(prev, next))]),
    '## Who must sign', '', ...block(signLines(change)),
    '## From when', '', ...block(whenLines(change)),
    '## Who could open what without its owner', '', ...block(exposed.length === 0 ? ['nobody'] : exposed),
  ].join('\n').trimEnd().concat('\n')
}

const block = (lines: readonly string[], language = 'text') => ['```'.concat(language), ...lines.map(visible), '```', '']
/** As a difference: `+` widens, `-` narrows, `·` is only noted. */
const diff = (lines: readonly string[]) => block(lines.map(line => line.replace(/^−/, '-')), 'diff')
/** Marks and format characters that a screen would not show are written out. */
const visible = (text: string) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, letter => `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`)

/** Who must sign, with how many of their keys. */
export function signLines({ reviewed, prev, next }: ChangeRequest): string[] {
  const keys = (party: string) => {
    const [before, after] = [prev?.parties[party], next.parties[party]]
    const need = Math.max(before?.need ?? 1, after?.need ?? 1)
    const both = before !== undefined && after !== undefined && jcs(before.keys) !== jcs(after.keys) ? ', under its old keys and under its new ones' : ''
    return `${party} (${need} of ${(before ?? after)?.keys.length ?? 0} keys${both})`
  }
  if (reviewed === undefined) return Object.keys(next.parties).map(party => `${keys(party)}: every party founds`)
  const lines = [...reviewed.sign.map(party => `${keys(party)}: its own is touched`), ...reviewed.oneOf.map(set => `one of ${set.map(keys).join(', ')}`)]
  if (reviewed.quorum !== undefined) lines.push(`and ${reviewed.quorum.need} of ${reviewed.quorum.of.map(keys).join(', ')}: the quorum of change.widen`)
  return lines.length === 0 ? ['any one party'] : lines
}

/** From when it may be in force, and who can stop it. */
export function whenLines({ reviewed }: ChangeRequest): string[] {
  if (reviewed === undefined) return ['at once, when every party has signed']
  const lines = explainReview(reviewed)
  return [...lines.slice(lines.findIndex(line => line.startsWith('takes effect'))), ...(reviewed.change === 'narrow' ? ['nobody can stop a narrowing'] : [])]
}

/** What a change is, in one word or two. */
export function kindOf({ reviewed }: ChangeRequest): string {
  if (reviewed === undefined) return 'a new charter'
  if (reviewed.change === 'narrow') return 'it narrows'
  return reviewed.touched.every(item => item.effect === 'rotate' || item.effect === 'note') ? 'a party exchanges its keys' : 'it widens'
}

/** A new charter: each grant with what may leave. */
export function foundingLines(charter: Charter): string[] {
  if (charter.grants.length === 0) return ['no grants: no key moves']
  return charter.grants.map(grant => `${grantName(grant)}; may leave: ${(grant.out ?? []).map(out => `${out.shape}${out.about === undefined ? '' : ` about ${out.about}`} to ${out.to.join(', ')}`).join('; ') || 'nothing'}`)
}

const grantName = (grant: Grant) => `${grant.asset} → ${grant.to} (${grant.can}${grant.as === undefined ? '' : ` as ${grant.as}`})`

/** Every field in which two charters differ, `path: old → new`; grants are compared with the grant of the same name. */
export function everyDifference(prev: Charter, next: Charter): string[] {
  const [before, after] = [fieldsOf(prev), fieldsOf(next)]
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap(path => {
    const [old, now] = [before.get(path), after.get(path)]
    return old === now || path === 'epoch' || path === 'prev' ? [] : [...(old === undefined ? [] : [`- ${path}: ${old}`]), ...(now === undefined ? [] : [`+ ${path}: ${now}`])]
  })
}

function fieldsOf({ grants, ...charter }: Charter): Map<string, string> {
  const named = Object.fromEntries(grants.map(grant => [grantName(grant), { ...grant, out: Object.fromEntries((grant.out ?? []).map(out => [`${out.shape}${out.about === undefined ? '' : ` about ${out.about}`}`, out])) }]))
  return flatten({ ...charter, grants: named }, '')
}

function flatten(value: unknown, path: string, into = new Map<string, string>()): Map<string, string> {
  // Lists of a normal form are sets: shown whole.
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return into.set(path, Array.isArray(value) ? value.join(', ') : String(value))
  for (const [key, inner] of Object.entries(value)) flatten(inner, path === '' ? key : `${path}.${key}`, into)
  return into
}
