/**
 * Reads a charter strictly and gives its normal form (charter.md section 5): unknown fields, duplicate keys, dangling
 * names and doubled grants are refused; sugar is expanded, defaults and empty collections dropped, sets sorted,
 * durations written in their largest unit. Trusts nothing: a charter is attacker-made until it is signed.
 */
import { jcs } from '../bytes/jcs.ts'
import { parseJson, type Json, type JsonObject } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import { keyIdentity } from './keys.ts'
import { LIMITS } from './limits.ts'
import type { Asset, Budget, Charter, Grant, Name, Output, Party, Program, Quorum, Run } from './types.ts'
import { array, compare, CONFIG_KEY, duration, entries, epsilon, fields, hash, hostPort, integer, key, list, name, nameIn, oneOf, optional, pattern, port, type Read, recipient, set, TEES, text, time } from './values.ts'

export { durationSeconds, formatDuration, own } from './values.ts'

/**
 * The normal form of a charter in JSON. Refuses with `json.*`, `bytes.*` or `charter.*`; `at` is the path of the field.
 *
 * @example
 * parseCharter('{"charter":2}') // → { ok: false, refusal: { code: 'charter.value', at: 'charter', … } }
 */
export function parseCharter(text: string | Uint8Array): Result<Charter> {
  return attempt(() => {
    if (text.length > LIMITS.bytes) refuse('charter.limit', '$', `at most ${LIMITS.bytes} bytes`, `${text.length}`)
    return charterOf(parseJson(text, { bytes: LIMITS.bytes, depth: LIMITS.depth, entries: LIMITS.entries, string: LIMITS.keyText }))
  })
}

/** The normal form of a value that a strict reader has made (JSON or YAML). Leaves with a refusal. */
export function charterOf(value: Json): Charter {
  const top = fields(value, '', ['charter', 'name', 'epoch', 'parties', 'programs', 'assets', 'grants', 'change', 'log'], ['prev', 'recover'])
  if (top['charter'] !== 1) refuse('charter.value', 'charter', '1', JSON.stringify(top['charter']).slice(0, 80))
  const epoch = integer(top['epoch'], 'epoch', 1)
  const prev = optional('prev', top['prev'], hash)
  if (epoch === 1 && prev.prev !== undefined) refuse('charter.lineage', 'prev', 'none at epoch 1', prev.prev)
  if (epoch > 1 && prev.prev === undefined) refuse('charter.lineage', 'prev', 'the digest of the charter before', 'none')
  const parties = entries(top['parties'], 'parties', LIMITS.parties, party)
  eachKeyOnce(parties)
  const programs = entries(top['programs'], 'programs', LIMITS.programs, program)
  const assets = entries(top['assets'], 'assets', LIMITS.assets, asset(nameIn(parties)))
  const charter: Charter = {
    charter: 1, name: name(top['name'], 'name'), epoch, ...prev, parties, programs, assets,
    grants: grantList(top['grants'], { party: nameIn(parties), program: nameIn(programs), asset: nameIn(assets) }),
    change: change(top['change'], nameIn(parties)),
    ...optional('recover', top['recover'], (value, at) => quorum(fields(value, at, ['of', 'need'], []), at, nameIn(parties))),
    log: log(top['log']),
  }
  const size = utf8(jcs(charter)).length // what may be read must be readable again from its own canonical bytes
  return size > LIMITS.bytes ? refuse('charter.limit', '$', `a normal form of at most ${LIMITS.bytes} bytes`, String(size)) : charter
}

/** Readers of names that this charter has. */
interface Known { readonly party: Read<Name>; readonly program: Read<Name>; readonly asset: Read<Name> }

function party(value: Json | undefined, at: string): Party {
  const from = fields(value, at, ['keys'], ['need', 'seal'])
  const keys = set(from['keys'], `${at}.keys`, key, LIMITS.keysOfParty)
  if (keys.length === 0) refuse('charter.missing-field', `${at}.keys`, 'at least one key', 'none')
  const need = from['need'] === undefined ? 1 : integer(from['need'], `${at}.need`, 1)
  if (need > keys.length) refuse('charter.quorum', `${at}.need`, `1 to ${keys.length}`, String(need))
  const seal = from['seal'] === undefined ? [] : set(from['seal'], `${at}.seal`, recipient, LIMITS.keysOfParty)
  return { keys, ...(need === 1 ? {} : { need }), ...(seal.length === 0 ? {} : { seal }) }
}

/** One key is one voice: not two of a party's quorum under two spellings, and not two parties of a quorum. */
function eachKeyOnce(parties: Readonly<Record<Name, Party>>): void {
  const seen = new Map<string, string>()
  for (const [name, { keys }] of Object.entries(parties)) {
    for (const one of keys) {
      const [identity, at] = [keyIdentity(one), `parties.${name}.keys`]
      const before = seen.get(identity)
      if (before !== undefined) refuse('charter.duplicate', at, 'each key once, for one party', `one that also stands in ${before}`)
      seen.set(identity, at)
    }
  }
}

function program(value: Json | undefined, at: string): Program {
  const from = fields(value, at, ['run', 'on'], ['config', 'net'])
  const on = fields(from['on'], `${at}.on`, ['tee'], ['tcb', 'gpu', 'where'])
  const tee = set(on['tee'], `${at}.on.tee`, oneOf(TEES))
  if (tee.length === 0) refuse('charter.missing-field', `${at}.on.tee`, `at least one of ${TEES.join(', ')}`, 'none')
  const tcb = on['tcb'] === undefined ? 'current' : oneOf(['current', 'any'] as const)(on['tcb'], `${at}.on.tcb`)
  // An empty list is dropped, and absent means anywhere: somebody who writes "nowhere" must not get that.
  if (Array.isArray(on['where']) && on['where'].length === 0) refuse('charter.value', `${at}.on.where`, 'at least one place, or no list at all', 'an empty list')
  const config = from['config'] === undefined ? {} : entries(from['config'], `${at}.config`, LIMITS.listEntries, text, CONFIG_KEY)
  const net = from['net'] === undefined ? {} : fields(from['net'], `${at}.net`, [], ['listen', 'reach'])
  const netForm = { ...list('listen', net['listen'], `${at}.net`, port), ...list('reach', net['reach'], `${at}.net`, hostPort) }
  return {
    run: run(from['run'], `${at}.run`),
    ...(Object.keys(config).length === 0 ? {} : { config }),
    on: { tee, ...(tcb === 'current' ? {} : { tcb }), ...list('gpu', on['gpu'], `${at}.on`, text), ...list('where', on['where'], `${at}.on`, text) },
    ...(Object.keys(netForm).length === 0 ? {} : { net: netForm }),
  }
}

function run(value: Json | undefined, at: string): Run {
  const from = fields(value, at, [], ['sql', 'wasm', 'js', 'process', 'image', 'vm'])
  const [kind, more] = Object.keys(from)
  if (kind === undefined || more !== undefined) refuse('charter.value', at, 'exactly one of sql, wasm, js, process, image, vm', `${Object.keys(from).length}`)
  if (kind === 'image') return { image: pattern(/^[^\s@]+@sha256:[0-9a-f]{64}$/, 'name@sha256:… (a digest, not a tag)')(from['image'], `${at}.image`) }
  const digest = hash(from[kind ?? ''], `${at}.${kind}`)
  switch (kind) {
    case 'sql': return { sql: digest }
    case 'wasm': return { wasm: digest }
    case 'js': return { js: digest }
    case 'process': return { process: digest }
    default: return { vm: digest }
  }
}

const asset = (owner: Read<Name>): Read<Asset> => (value, at) => {
  const from = fields(value, at, ['owner', 'kind'], ['at', 'digest', 'person', 'ttl'])
  return {
    owner: owner(from['owner'], `${at}.owner`), kind: oneOf(['data', 'model', 'key', 'credential', 'disk'] as const)(from['kind'], `${at}.kind`),
    ...optional('at', from['at'], text, at), ...optional('digest', from['digest'], hash, at), ...optional('person', from['person'], text, at), ...optional('ttl', from['ttl'], duration, at),
  }
}

const GRANT_BOUNDS = ['as', 'until', 'needs', 'budget', 'out']

/** One grant of the document may name several assets: it stands for one grant each. */
function grantList(value: Json | undefined, known: Known): Grant[] {
  const found: { grant: Grant; at: string }[] = []
  let weight = 0
  array(value, 'grants', LIMITS.grants).forEach((entry, i) => {
    const at = `grants[${i}]`
    const from = fields(entry, at, ['asset', 'to', 'can'], GRANT_BOUNDS)
    const assets = Array.isArray(from['asset']) ? set(from['asset'], `${at}.asset`, known.asset, LIMITS.assets) : [known.asset(from['asset'], `${at}.asset`)]
    if (assets.length === 0) refuse('charter.missing-field', `${at}.asset`, 'at least one asset', 'none')
    if (found.length + assets.length > LIMITS.grants) refuse('charter.limit', 'grants', `at most ${LIMITS.grants}`, 'more')
    // A short text must not stand for a large charter: the sugar is weighed before it is expanded.
    weight += assets.length * jcs(grant(from, at, known)).length
    if (weight > LIMITS.bytes) refuse('charter.limit', at, `a normal form of at most ${LIMITS.bytes} bytes`, 'more')
    for (const one of assets) found.push({ grant: { asset: one, ...grant(from, at, known) }, at })
  })
  return ordered(found.map(one => ({ ...one, key: grantKey(one.grant) })), 'one grant for each asset, program, can and as').map(one => one.grant)
}

/** One grant that stands apart from a charter (an emergency's), read as a grant of this charter. Leaves with `charter.*`. */
export function grantIn({ parties, programs, assets }: Charter, value: Json, at: string): Grant {
  const known: Known = { party: nameIn(parties), program: nameIn(programs), asset: nameIn(assets) }
  const from = fields(value, at, ['asset', 'to', 'can'], GRANT_BOUNDS)
  return { asset: known.asset(from['asset'], `${at}.asset`), ...grant(from, at, known) }
}

/** Sorted by key; two of one key are refused where the second stands. */
function ordered<T extends { readonly key: string; readonly at: string }>(items: readonly T[], rule: string): T[] {
  const sorted = [...items].sort((a, b) => compare(a.key, b.key))
  sorted.forEach((one, i) => {
    const before = sorted[i - 1]
    if (before?.key === one.key) refuse('charter.duplicate', one.at, rule, `another one at ${before.at}`)
  })
  return sorted
}

/** What makes a grant the same grant: asset, program, can, as. */
export const grantKey = (grant: Pick<Grant, 'asset' | 'to' | 'can' | 'as'>): string => [grant.asset, grant.to, grant.can, grant.as ?? ''].join('\u0000')

function grant(from: JsonObject, at: string, known: Known): Omit<Grant, 'asset'> {
  const budget = from['budget'] === undefined ? {} : budgetOf(from['budget'], `${at}.budget`)
  return {
    to: known.program(from['to'], `${at}.to`), can: oneOf(['read', 'write', 'use'] as const)(from['can'], `${at}.can`),
    ...optional('as', from['as'], text, at), ...optional('until', from['until'], time, at), ...list('needs', from['needs'], at, need(known)),
    ...(Object.keys(budget).length === 0 ? {} : { budget }), ...outputs(from['out'], `${at}.out`, known),
  }
}

const need = (known: Known): Read<string> => (value, at) => {
  const form = pattern(/^[a-z][a-z0-9-]{0,31}\.[a-z][a-z0-9-]{0,31}$/, 'party.fact')(value, at)
  known.party(form.split('.')[0], at)
  return form
}

function budgetOf(value: Json, at: string): Budget {
  const from = fields(value, at, [], ['uses', 'bytes', 'epsilon', 'per'])
  return {
    ...optional('uses', from['uses'], integer, at), ...optional('bytes', from['bytes'], integer, at),
    ...optional('epsilon', from['epsilon'], epsilon, at), ...optional('per', from['per'], duration, at),
  }
}

function outputs(value: Json | undefined, at: string, known: Known): { out?: Output[] } {
  if (value === undefined) return {}
  const found = array(value, at, LIMITS.listEntries).map((entry, i) => {
    const out = output(entry, `${at}[${i}]`, known)
    return { out, at: `${at}[${i}]`, key: `${out.shape}\u0000${out.about ?? ''}` }
  })
  const out = ordered(found, 'one output for each shape and about').map(one => one.out)
  return out.length === 0 ? {} : { out }
}

function output(value: Json, at: string, known: Known): Output {
  const from = fields(value, at, ['to', 'shape'], ['about', 'atLeast', 'epsilon', 'rate'])
  const to = set(from['to'], `${at}.to`, (entry, where) => (entry === '*' || entry === 'caller' ? entry : known.party(entry, where)))
  if (to.length === 0) refuse('charter.missing-field', `${at}.to`, 'at least one receiver', 'none')
  return {
    to, shape: oneOf(['rows', 'aggregate', 'scalar', 'stream', 'bytes'] as const)(from['shape'], `${at}.shape`),
    ...optional('about', from['about'], oneOf(['own'] as const), at), ...optional('atLeast', from['atLeast'], integer, at),
    ...optional('epsilon', from['epsilon'], epsilon, at), ...optional('rate', from['rate'], integer, at),
  }
}

function change(value: Json | undefined, party: Read<Name>): Charter['change'] {
  const from = fields(value, 'change', ['widen'], ['emergency'])
  const widen = fields(from['widen'], 'change.widen', ['of', 'need', 'notice'], [])
  const rule = { widen: { ...quorum(widen, 'change.widen', party), notice: duration(widen['notice'], 'change.widen.notice') } }
  if (from['emergency'] === undefined) return rule
  const emergency = fields(from['emergency'], 'change.emergency', ['of', 'need', 'lasts'], [])
  return { ...rule, emergency: { ...quorum(emergency, 'change.emergency', party), lasts: duration(emergency['lasts'], 'change.emergency.lasts') } }
}

function quorum(from: JsonObject, at: string, party: Read<Name>): Quorum {
  const of = set(from['of'], `${at}.of`, party)
  const need = integer(from['need'], `${at}.need`, 1)
  if (of.length === 0 || need > of.length) refuse('charter.quorum', `${at}.need`, `1 to ${of.length}`, String(need))
  return { of, need }
}

function log(value: Json | undefined): Charter['log'] {
  const from = fields(value, 'log', ['at', 'witnesses', 'head'], [])
  return { at: text(from['at'], 'log.at'), witnesses: integer(from['witnesses'], 'log.witnesses'), head: duration(from['head'], 'log.head') }
}
