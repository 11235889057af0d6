/**
 * The successor of a charter as text: epoch and `prev` filled in, a party's key exchanged, a party's grants taken out,
 * with the rest of what people wrote left alone. Each edit is made twice, in the text and in the values, and the text
 * counts only when it says the same; otherwise the values are written out plainly and comments are lost.
 */
import { charterDigest } from '@cloister/core/charter/canonical'
import { charterOf } from '@cloister/core/charter/parse'
import type { Charter } from '@cloister/core/charter/types'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import { parseJson } from '@cloister/core/bytes/json'
import { jcs } from '@cloister/core/bytes/jcs'
import type { Primitives } from '@cloister/core/crypto/primitives'

export interface Edited { readonly text: string; readonly charter: Charter; /** The text could not be edited in place. */ readonly rewritten: boolean }

/** The text of `charter` as the next epoch after `base`. */
export function follow(p: Primitives, text: string, charter: Charter, base: Charter): Edited {
  const prev = charterDigest(p, base)
  const line = `prev: ${prev}`
  const epoch = text.replace(/^epoch:[ \t]*\d+/m, `epoch: ${base.epoch + 1}`)
  const edited = /^prev:.*$/m.test(epoch) ? epoch.replace(/^prev:[ \t]*["']?sha256:[0-9a-f]{64}["']?/m, line) : epoch.replace(/^(epoch:.*)$/m, `$1\n${line}`)
  return edit(p, edited, { ...charter, epoch: base.epoch + 1, prev })
}

/** One key of a party for another, everywhere it stands. */
export function exchangeKey(p: Primitives, text: string, charter: Charter, party: string, old: string, fresh: string): Edited {
  const parties = Object.fromEntries(Object.entries(charter.parties).map(([name, one]) => [name, name === party ? { ...one, keys: one.keys.map(key => (key === old ? fresh : key)) } : one]))
  return edit(p, text.replaceAll(old, fresh), { ...charter, parties })
}

/** Without the grants of what a party owns. */
export function withoutGrantsOf(p: Primitives, text: string, charter: Charter, party: string): Edited {
  const gone = new Set(Object.entries(charter.assets).filter(([, asset]) => asset.owner === party).map(([name]) => name))
  return edit(p, withoutGrants(text, gone), { ...charter, grants: charter.grants.filter(grant => !gone.has(grant.asset)) })
}

function edit(p: Primitives, text: string, value: Charter): Edited {
  const charter = charterOf(parseJson(jcs(value)))
  const read = parseCharterYaml(text)
  const rewritten = !read.ok || charterDigest(p, read.value) !== charterDigest(p, charter)
  return { charter, rewritten, text: rewritten ? `${JSON.stringify(charter, undefined, 2)}\n` : text }
}

/** Items of the list `grants:` in block form, without those whose assets are gone, and without these in a list of assets. */
function withoutGrants(text: string, gone: ReadonlySet<string>): string {
  const [, before = '', body = '', after = ''] = /^([\s\S]*?^grants:[^\n]*\n)((?:[ \t]*(?:#[^\n]*)?\n|[ \t-][^\n]*\n)*)([\s\S]*)$/m.exec(text) ?? []
  const dash = /^([ \t]*)-[ \t]/m.exec(body)?.[1]
  if (dash === undefined) return text
  const items = body.split(new RegExp(`^(?=${dash}-[ \\t])`, 'm'))
  const kept = items.flatMap(item => {
    const named = /\basset:[ \t]*(\[[^\]]*\]|[a-z][a-z0-9-]*)/.exec(item)?.[1]
    if (named === undefined) return [item]
    const assets = named.replace(/[[\]]/g, '').split(',').map(name => name.trim().replace(/^["']|["']$/g, ''))
    const left = assets.filter(name => !gone.has(name))
    return left.length === 0 ? [] : [left.length === assets.length ? item : item.replace(named, `[${left.join(', ')}]`)]
  })
  const empty = kept.every(item => !item.startsWith(`${dash}-`))
  return empty ? `${before.replace(/^grants:[^\n]*\n$/m, 'grants: []\n')}${kept.join('')}${after}` : `${before}${kept.join('')}${after}`
}
