/**
 * Reads a charter strictly and gives its normal form (charter.md section 5): unknown fields, duplicate keys, dangling
 * names and doubled grants are refused; sugar is expanded, defaults and empty collections dropped, sets sorted,
 * durations written in their largest unit. Trusts nothing: a charter is attacker-made until it is signed.
 */
import { isObject, kindOf, parseJson, type Json, type JsonObject } from '../bytes/json.ts'
import { parseKey } from '../crypto/keys.ts'
import { attempt, refuse, type RefusalCode, type Result } from '../refusal.ts'
import { LIMITS } from './limits.ts'
import type { Asset, Budget, Charter, Duration, Grant, Hash, Output, Party, Program, Quorum, Run, Tee } from './types.ts'

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
  if (top['charter'] !== 1) refuse('charter.value', 'charter', '1', show(top['charter']))
  const epoch = integer(top['epoch'], 'epoch', 1)
  const charter: Charter = {
    charter: 1, name: name(top['name'], 'name'), epoch,
    ...optional('prev', top['prev'], hash),
    parties: entries(top['parties'], 'parties', LIMITS.parties, party),
    programs: entries(top['programs'], 'programs', LIMITS.programs, program),
    assets: entries(top['assets'], 'assets', LIMITS.assets, asset),
    grants: grantList(top['grants']),
    change: change(top['change']),
    ...optional('recover', top['recover'], quorum),
    log: log(top['log']),
  }
  checkLineage(charter)
  checkNames(charter)
  return charter
}

function party(value: Json | undefined, at: string): Party {
  const from = fields(value, at, ['keys'], ['need', 'seal'])
  const keys = set(from['keys'], `${at}.keys`, key, LIMITS.keysOfParty)
  if (keys.length === 0) refuse('charter.missing-field', `${at}.keys`, 'at least one key', 'none')
  const need = from['need'] === undefined ? 1 : integer(from['need'], `${at}.need`, 1)
  if (need > keys.length) refuse('charter.quorum', `${at}.need`, `1 to ${keys.length}`, String(need))
  const seal = from['seal'] === undefined ? [] : set(from['seal'], `${at}.seal`, recipient, LIMITS.keysOfParty)
  return { keys, ...(need === 1 ? {} : { need }), ...(seal.length === 0 ? {} : { seal }) }
}

function program(value: Json | undefined, at: string): Program {
  const from = fields(value, at, ['run', 'on'], ['config', 'net'])
  const on = fields(from['on'], `${at}.on`, ['tee'], ['tcb', 'gpu', 'where'])
  const tee = set(on['tee'], `${at}.on.tee`, oneOf(TEES))
  if (tee.length === 0) refuse('charter.missing-field', `${at}.on.tee`, `at least one of ${TEES.join(', ')}`, 'none')
  const tcb = on['tcb'] === undefined ? 'current' : oneOf(['current', 'any'] as const)(on['tcb'], `${at}.on.tcb`)
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

function asset(value: Json | undefined, at: string): Asset {
  const from = fields(value, at, ['owner', 'kind'], ['at', 'digest', 'person', 'ttl'])
  return {
    owner: name(from['owner'], `${at}.owner`), kind: oneOf(['data', 'model', 'key', 'credential', 'disk'] as const)(from['kind'], `${at}.kind`),
    ...optional('at', from['at'], text, at), ...optional('digest', from['digest'], hash, at), ...optional('person', from['person'], text, at), ...optional('ttl', from['ttl'], duration, at),
  }
}

/** One grant of the document may name several assets: it stands for one grant each. */
function grantList(value: Json | undefined): Grant[] {
  const grants: Grant[] = []
  array(value, 'grants', LIMITS.grants).forEach((entry, i) => {
    const at = `grants[${i}]`
    const from = fields(entry, at, ['asset', 'to', 'can'], ['as', 'until', 'needs', 'budget', 'out'])
    const assets = Array.isArray(from['asset']) ? set(from['asset'], `${at}.asset`, name, LIMITS.assets) : [name(from['asset'], `${at}.asset`)]
    for (const one of assets) grants.push(grant(one, from, at))
    if (grants.length > LIMITS.grants) refuse('charter.limit', 'grants', `at most ${LIMITS.grants}`, 'more')
  })
  grants.sort((a, b) => compare(grantKey(a), grantKey(b)))
  grants.forEach((one, i) => {
    const before = grants[i - 1]
    if (before !== undefined && grantKey(before) === grantKey(one)) refuse('charter.duplicate', `grants (${one.asset} to ${one.to})`, 'one grant for each asset, program, can and as', 'two')
  })
  return grants
}

/** A record's own value: names come from outside, and every object inherits a `constructor`. */
export const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined => (Object.hasOwn(record, name) ? record[name] : undefined)

/** What makes a grant the same grant: asset, program, can, as. */
export const grantKey = (grant: Pick<Grant, 'asset' | 'to' | 'can' | 'as'>): string => [grant.asset, grant.to, grant.can, grant.as ?? ''].join('\u0000')

function grant(assetName: string, from: JsonObject, at: string): Grant {
  const budget = from['budget'] === undefined ? {} : budgetOf(from['budget'], `${at}.budget`)
  return {
    asset: assetName, to: name(from['to'], `${at}.to`), can: oneOf(['read', 'write', 'use'] as const)(from['can'], `${at}.can`),
    ...optional('as', from['as'], text, at), ...optional('until', from['until'], time, at),
    ...list('needs', from['needs'], at, pattern(/^[a-z][a-z0-9-]{0,31}\.[a-z][a-z0-9-]{0,31}$/, 'party.fact')),
    ...(Object.keys(budget).length === 0 ? {} : { budget }), ...outputs(from['out'], `${at}.out`),
  }
}

function budgetOf(value: Json, at: string): Budget {
  const from = fields(value, at, [], ['uses', 'bytes', 'epsilon', 'per'])
  return {
    ...optional('uses', from['uses'], integer, at), ...optional('bytes', from['bytes'], integer, at),
    ...optional('epsilon', from['epsilon'], epsilon, at), ...optional('per', from['per'], duration, at),
  }
}

function outputs(value: Json | undefined, at: string): { out?: Output[] } {
  if (value === undefined) return {}
  const out = array(value, at, LIMITS.listEntries).map((entry, i) => output(entry, `${at}[${i}]`))
  const order = (one: Output) => `${one.shape}\u0000${one.about ?? ''}`
  out.sort((a, b) => compare(order(a), order(b)))
  out.forEach((one, i) => {
    const before = out[i - 1]
    if (before !== undefined && order(before) === order(one)) refuse('charter.duplicate', at, 'one output for each shape and about', `two of ${one.shape}`)
  })
  return out.length === 0 ? {} : { out }
}

function output(value: Json, at: string): Output {
  const from = fields(value, at, ['to', 'shape'], ['about', 'atLeast', 'epsilon', 'rate'])
  const to = set(from['to'], `${at}.to`, (entry, where) => (entry === '*' ? '*' : name(entry, where)))
  if (to.length === 0) refuse('charter.missing-field', `${at}.to`, 'at least one receiver', 'none')
  return {
    to, shape: oneOf(['rows', 'aggregate', 'scalar', 'stream', 'bytes'] as const)(from['shape'], `${at}.shape`),
    ...optional('about', from['about'], oneOf(['own'] as const), at), ...optional('atLeast', from['atLeast'], integer, at),
    ...optional('epsilon', from['epsilon'], epsilon, at), ...optional('rate', from['rate'], integer, at),
  }
}

function change(value: Json | undefined): Charter['change'] {
  const from = fields(value, 'change', ['widen'], ['emergency'])
  const timed = (field: 'notice' | 'lasts', at: string) => {
    const inner = fields(from[at.slice('change.'.length)], at, ['of', 'need', field], [])
    return { ...quorumOf(inner, at), time: duration(inner[field], `${at}.${field}`) }
  }
  const { time: notice, ...widen } = timed('notice', 'change.widen')
  if (from['emergency'] === undefined) return { widen: { ...widen, notice } }
  const { time: lasts, ...emergency } = timed('lasts', 'change.emergency')
  return { widen: { ...widen, notice }, emergency: { ...emergency, lasts } }
}

const quorum = (value: Json | undefined, at: string): Quorum => quorumOf(fields(value, at, ['of', 'need'], []), at)

function quorumOf(from: JsonObject, at: string): Quorum {
  const of = set(from['of'], `${at}.of`, name)
  const need = integer(from['need'], `${at}.need`, 1)
  if (of.length === 0 || need > of.length) refuse('charter.quorum', `${at}.need`, `1 to ${of.length}`, String(need))
  return { of, need }
}

function log(value: Json | undefined): Charter['log'] {
  const from = fields(value, 'log', ['at', 'witnesses', 'head'], [])
  return { at: text(from['at'], 'log.at'), witnesses: integer(from['witnesses'], 'log.witnesses'), head: duration(from['head'], 'log.head') }
}

function checkLineage(charter: Charter): void {
  if (charter.epoch === 1 && charter.prev !== undefined) refuse('charter.lineage', 'prev', 'none at epoch 1', charter.prev)
  if (charter.epoch > 1 && charter.prev === undefined) refuse('charter.lineage', 'prev', 'the digest of the charter before', 'none')
}

/** Nothing may name what is not there: an absent name would be a promise to whoever brings it back. */
function checkNames(charter: Charter): void {
  const known = (names: Record<string, unknown>, one: string, at: string) => {
    if (!Object.hasOwn(names, one)) refuse('charter.dangling', at, Object.keys(names).sort().join(', ') || 'a name that exists', one)
  }
  for (const [id, one] of Object.entries(charter.assets)) known(charter.parties, one.owner, `assets.${id}.owner`)
  charter.grants.forEach((one, i) => {
    known(charter.assets, one.asset, `grants[${i}].asset`)
    known(charter.programs, one.to, `grants[${i}].to`)
    for (const need of one.needs ?? []) known(charter.parties, need.split('.')[0] ?? '', `grants[${i}].needs`)
    for (const out of one.out ?? []) for (const to of out.to) if (to !== '*' && to !== 'caller') known(charter.parties, to, `grants[${i}].out.to`)
  })
  const quorums = { 'change.widen.of': charter.change.widen.of, 'change.emergency.of': charter.change.emergency?.of, 'recover.of': charter.recover?.of }
  for (const [at, of] of Object.entries(quorums)) for (const one of of ?? []) known(charter.parties, one, at)
}

// ---- readers of single values -------------------------------------------------------------------------------------

type Read<T> = (value: Json | undefined, at: string) => T
const TEES = ['snp', 'tdx', 'sgx', 'nitro', 'cca', 'azure-snp', 'azure-tdx', 'tpm', 'simulated', 'sample'] as const satisfies readonly Tee[]
const NAME = /^[a-z][a-z0-9-]{0,31}$/
const CONFIG_KEY = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/
const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 }

const show = (value: Json | undefined) => (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? JSON.stringify(value) : kindOf(value))
const wrong = (at: string, expected: string, value: Json | undefined, code: RefusalCode = 'charter.value'): never => refuse(value === undefined ? 'charter.missing-field' : code, at, expected, show(value))

/** An object with these fields and no others. */
function fields(value: Json | undefined, at: string, required: readonly string[], allowed: readonly string[]): JsonObject {
  if (!isObject(value)) return wrong(at || '$', 'an object', value)
  const path = (key: string) => (at === '' ? key : `${at}.${key}`)
  for (const key of Object.keys(value)) if (!required.includes(key) && !allowed.includes(key)) refuse('charter.unknown-field', path(key), [...required, ...allowed].join(', '), key)
  for (const key of required) if (value[key] === undefined) refuse('charter.missing-field', path(key), 'a value', 'nothing')
  return value
}

function entries<T>(value: Json | undefined, at: string, max: number, read: Read<T>, keys = NAME): Record<string, T> {
  if (!isObject(value)) return wrong(at, 'an object', value)
  const names = Object.keys(value).sort(compare)
  if (names.length > max) refuse('charter.limit', at, `at most ${max}`, String(names.length))
  return Object.fromEntries(names.map(one => {
    if (!keys.test(one)) refuse('charter.value', `${at}.${one}`, String(keys), one)
    return [one, read(value[one], `${at}.${one}`)]
  }))
}

function array(value: Json | undefined, at: string, max: number): readonly Json[] {
  if (!Array.isArray(value)) return wrong(at, 'a list', value)
  if (value.length > max) refuse('charter.limit', at, `at most ${max}`, String(value.length))
  return value
}

/** A list whose order and repetitions mean nothing: sorted, each element once. */
function set<T extends string | number>(value: Json | undefined, at: string, read: Read<T>, max: number = LIMITS.listEntries): T[] {
  const values = array(value, at, max).map((entry, i) => read(entry, `${at}[${i}]`))
  return [...new Set(values)].sort((a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : compare(String(a), String(b))))
}

function list<K extends string, T extends string | number>(key: K, value: Json | undefined, at: string, read: Read<T>): { [P in K]?: T[] } {
  const values = value === undefined ? [] : set(value, `${at}.${key}`, read)
  // A computed key widens to string; the one key is K by construction.
  return (values.length === 0 ? {} : { [key]: values }) as { [P in K]?: T[] }
}

function optional<K extends string, T>(key: K, value: Json | undefined, read: Read<T>, at = ''): { [P in K]?: T } {
  // As above: the one key is K by construction.
  return (value === undefined ? {} : { [key]: read(value, at === '' ? key : `${at}.${key}`) }) as { [P in K]?: T }
}

function text(value: Json | undefined, at: string, max: number = LIMITS.string): string {
  if (typeof value !== 'string' || value === '') return wrong(at, 'a text', value)
  if (value.length > max) refuse('charter.limit', at, `at most ${max} characters`, String(value.length))
  // Control characters and composed forms that look alike must not make two names of one.
  if (/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/.test(value) || value !== value.normalize('NFC')) refuse('charter.value', at, 'NFC text without control characters', JSON.stringify(value))
  return value
}

function integer(value: Json | undefined, at: string, min = 0): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min ? value : wrong(at, `an integer from ${min}`, value)
}

/** Privacy loss is counted in whole millionths. */
function epsilon(value: Json | undefined, at: string): number {
  if (typeof value !== 'number' || value <= 0 || value > LIMITS.epsilonMax) return wrong(at, `a number above 0, at most ${LIMITS.epsilonMax}`, value)
  const millionths = Math.round(value * 1e6)
  return millionths / 1e6 === value && millionths > 0 ? value : wrong(at, 'a multiple of 0.000001', value)
}

const pattern = (form: RegExp, expected: string, max?: number): Read<string> => (value, at) => (typeof value === 'string' && form.test(value) ? text(value, at, max) : wrong(at, expected, value))
const oneOf = <T extends string>(values: readonly T[]): Read<T> => (value, at) => values.find(known => known === value) ?? wrong(at, values.join(', '), value)
const name = pattern(NAME, String(NAME))
const recipient = pattern(/^age1[a-z0-9]{10,4000}$/, 'an age recipient (age1…)', LIMITS.keyText)
const port: Read<number> = (value, at) => (typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65536 ? value : wrong(at, 'a port', value))
const hostPort = pattern(/^[A-Za-z0-9.\-[\]:]+:[0-9]{1,5}$/, 'host:port')

function hash(value: Json | undefined, at: string): Hash {
  // The pattern is the type.
  return pattern(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hexadecimal digits')(value, at) as Hash
}

function key(value: Json | undefined, at: string): string {
  const form = pattern(/^(ed25519|p256|ml-dsa-65):[0-9a-f]+$/, 'ed25519:, p256: or ml-dsa-65: and hexadecimal digits', LIMITS.keyText)(value, at)
  parseKey(form, at)
  return form
}

function time(value: Json | undefined, at: string): string {
  const form = pattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'YYYY-MM-DDTHH:MM:SSZ')(value, at)
  return `${new Date(form).getTime()}` !== 'NaN' && `${new Date(form).toISOString().slice(0, 19)}Z` === form ? form : wrong(at, 'a date that exists', value)
}

function duration(value: Json | undefined, at: string): Duration {
  const form = pattern(/^(0|[1-9][0-9]{0,8})[smhd]$/, 'a whole number and one of s, m, h, d')(value, at)
  return formatDuration(durationSeconds(form))
}

/** Seconds of a duration. */
export const durationSeconds = (form: Duration): number => Number(form.slice(0, -1)) * (UNITS[form.slice(-1)] ?? 0)

/** The largest unit that divides exactly; zero is `0s`. */
export function formatDuration(seconds: number): Duration {
  const unit = seconds === 0 ? 's' : (['d', 'h', 'm', 's'].find(one => seconds % (UNITS[one] ?? 1) === 0) ?? 's')
  return `${seconds / (UNITS[unit] ?? 1)}${unit}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
