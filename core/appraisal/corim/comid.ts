/**
 * CoMID (draft-ietf-rats-corim-11 section 5): environments, measurements and the triples that say what is expected of whom,
 * read whole or refused. Nothing is judged here and nothing believed: see `index.ts` for signatures, `profiles.ts` for the
 * rules of a profile, `values.ts` for what becomes of it.
 */
import { type Cbor, cborFields, cborInt, cborOf } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'
import { bool, bytes, fieldsOf, listOf, oid, type Read, sized, tagOf, text, tupleOf, uint, under, uri, uuid } from './fields.ts'

/** A name under a tag: hex where it is bytes, dotted numbers for `oid`, text for PEM. */
export interface Identifier { readonly type: 'oid' | 'uuid' | 'bytes' | 'ueid' | KeyType; readonly value: string }
export type KeyType = 'pkix-key' | 'pkix-cert' | 'pkix-cert-path' | 'key-thumbprint' | 'cose-key' | 'cert-thumbprint' | 'cert-path-thumbprint' | 'der-cert'
export interface CryptoKey { readonly type: KeyType | 'bytes'; readonly value: string }
export interface Class { readonly id: Identifier | undefined; readonly vendor: string | undefined; readonly model: string | undefined; readonly layer: number | undefined; readonly index: number | undefined }
export interface Environment { readonly class: Class | undefined; readonly instance: Identifier | undefined; readonly group: Identifier | undefined }
/** `algorithm`: the number of the IANA Named Information registry, or a text of the profile. */
export interface Digest { readonly algorithm: number | string; readonly hex: string }
export interface Measurement {
  readonly key: number | string | Identifier | undefined
  readonly values: Values
  readonly authorizedBy: readonly CryptoKey[]
}
export interface Values {
  readonly version: { readonly text: string; readonly scheme: number | string | undefined } | undefined
  readonly svn: { readonly rule: 'equal' | 'least'; readonly value: bigint } | undefined
  readonly digests: readonly Digest[] | undefined
  readonly flags: Readonly<Record<string, boolean>> | undefined
  /** Compared under the mask, where there is one. */
  readonly raw: { readonly hex: string; readonly mask: string | undefined } | undefined
  readonly macAddress: string | undefined
  readonly ipAddress: string | undefined
  readonly serialNumber: string | undefined
  readonly ueid: string | undefined
  readonly uuid: string | undefined
  readonly name: string | undefined
  readonly keys: readonly CryptoKey[] | undefined
  readonly registers: Readonly<Record<string, readonly Digest[]>> | undefined
  readonly range: { readonly min: bigint | undefined; readonly max: bigint | undefined } | undefined
  readonly extensions: readonly (number | string)[]
}
/** What is said of an environment. */
export interface ValueTriple { readonly environment: Environment; readonly measurements: readonly Measurement[] }
export interface KeyTriple { readonly environment: Environment; readonly keys: readonly CryptoKey[]; readonly conditions: { readonly key: Measurement['key']; readonly authorizedBy: readonly CryptoKey[] | undefined } | undefined }
export interface DomainTriple { readonly domain: Environment; readonly members: readonly Environment[] }
export interface ConditionalTriple { readonly conditions: readonly ValueTriple[]; readonly endorsements: readonly ValueTriple[] }
export interface SeriesTriple { readonly condition: ValueTriple; readonly authorizedBy: readonly CryptoKey[]; readonly series: readonly { readonly when: readonly Measurement[]; readonly then: readonly Measurement[] }[] }
export interface Triples {
  readonly reference: readonly ValueTriple[]
  readonly endorsed: readonly ValueTriple[]
  readonly identityKeys: readonly KeyTriple[]
  readonly attestKeys: readonly KeyTriple[]
  readonly dependencies: readonly DomainTriple[]
  readonly memberships: readonly DomainTriple[]
  readonly coswid: readonly { readonly environment: Environment; readonly tags: readonly string[] }[]
  readonly series: readonly SeriesTriple[]
  readonly conditional: readonly ConditionalTriple[]
  readonly extensions: readonly (number | string)[]
}
export interface TagIdentity { readonly id: string; readonly version: number }
export interface Entity { readonly name: string; readonly uri: string | undefined; readonly roles: readonly number[]; readonly extensions: readonly (number | string)[] }
export interface Comid { readonly kind: 'comid'; readonly identity: TagIdentity; readonly language: string | undefined; readonly entities: readonly Entity[]; readonly linked: readonly { readonly tag: string; readonly relation: number }[]; readonly triples: Triples; readonly extensions: readonly (number | string)[] }

export const readComid: Read<Comid> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2, 3, 4], true)
  return {
    kind: 'comid', language: map.may(0, 'language', text), identity: map.need(1, 'tag-identity', readTagIdentity), entities: map.may(2, 'entities', listOf(entityOf([0, 1, 2]))) ?? [],
    linked: map.may(3, 'linked-tags', listOf(readLinked)) ?? [], triples: map.need(4, 'triples', readTriples), extensions: map.extensions,
  }
}

export const readTagIdentity: Read<TagIdentity> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1])
  return { id: map.need(0, 'tag-id', textOrUuid), version: map.may(1, 'tag-version', uint) ?? 0 }
}

/** Text, or a bare UUID as hex. */
export const textOrUuid: Read<string> = (value, at) => (value?.kind === 'text' ? text(value, at) : uuid(value, at))

export const entityOf = (roles: readonly number[]): Read<Entity> => (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2], true)
  const role: Read<number> = (one, where) => {
    const found = cborInt(one, where)
    return roles.includes(found) ? found : refuse('corim.syntax', where, `a role of ${roles.join(', ')}`, String(found))
  }
  return { name: map.need(0, 'entity-name', text), uri: map.may(1, 'reg-id', uri), roles: map.need(2, 'role', listOf(role)), extensions: map.extensions }
}

const readLinked: Read<{ tag: string; relation: number }> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1])
  return { tag: map.need(0, 'linked-tag-id', textOrUuid), relation: map.need(1, 'tag-rel', (one, where) => cborInt(one, where, 0, 1)) }
}

const readTriples: Read<Triples> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2, 3, 4, 5, 6, 8, 10], true)
  return {
    reference: map.may(0, 'reference-triples', listOf(readValueTriple)) ?? [], endorsed: map.may(1, 'endorsed-triples', listOf(readValueTriple)) ?? [],
    identityKeys: map.may(2, 'identity-triples', listOf(readKeyTriple)) ?? [], attestKeys: map.may(3, 'attest-key-triples', listOf(readKeyTriple)) ?? [],
    dependencies: map.may(4, 'dependency-triples', listOf(readDomainTriple)) ?? [], memberships: map.may(5, 'membership-triples', listOf(readDomainTriple)) ?? [],
    coswid: map.may(6, 'coswid-triples', listOf(readCoswidTriple)) ?? [], series: map.may(8, 'conditional-endorsement-series-triples', listOf(readSeries)) ?? [],
    conditional: map.may(10, 'conditional-endorsement-triples', listOf(readConditional)) ?? [], extensions: map.extensions,
  }
}

/** Reference, endorsed and evidence triples have one form. */
export const readValueTriple: Read<ValueTriple> = (value, at) => {
  const [environment, claims] = tupleOf(value, at, 2)
  return { environment: readEnvironment(environment, `${at}.environment`), measurements: listOf(readMeasurement)(claims, `${at}.claims`) }
}

export const readKeyTriple: Read<KeyTriple> = (value, at) => {
  const [environment, keys, conditions] = tupleOf(value, at, 2, 1)
  return { environment: readEnvironment(environment, `${at}.environment`), keys: listOf(readKey)(keys, `${at}.key-list`), conditions: conditions === undefined ? undefined : readConditions(conditions, `${at}.conditions`) }
}

const readConditions: Read<NonNullable<KeyTriple['conditions']>> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1])
  return { key: map.may(0, 'mkey', readElement), authorizedBy: map.may(1, 'authorized-by', listOf(readKey)) }
}

const readDomainTriple: Read<DomainTriple> = (value, at) => {
  const [domain, members] = tupleOf(value, at, 2)
  return { domain: readEnvironment(domain, `${at}.domain-id`), members: listOf(readEnvironment)(members, `${at}.members`) }
}

const readCoswidTriple: Read<Triples['coswid'][number]> = (value, at) => {
  const [environment, tags] = tupleOf(value, at, 2)
  return { environment: readEnvironment(environment, `${at}.environment`), tags: listOf(textOrUuid)(tags, `${at}.tags`) }
}

const readSeries: Read<SeriesTriple> = (value, at) => {
  const [common, series] = tupleOf(value, at, 2)
  const [environment, claims, authorized] = tupleOf(common, `${at}.common-condition`, 2, 1)
  const condition = { environment: readEnvironment(environment, `${at}.environment`), measurements: listOf(readMeasurement, 0)(claims, `${at}.claims-list`) }
  return { condition, authorizedBy: authorized === undefined ? [] : listOf(readKey)(authorized, `${at}.authorized-by`), series: listOf(readSeriesRecord)(series, `${at}.series`) }
}

const readSeriesRecord: Read<SeriesTriple['series'][number]> = (value, at) => {
  const [when, then] = tupleOf(value, at, 2)
  return { when: listOf(readMeasurement)(when, `${at}.condition`), then: listOf(readMeasurement)(then, `${at}.addition`) }
}

const readConditional: Read<ConditionalTriple> = (value, at) => {
  const [conditions, endorsements] = tupleOf(value, at, 2)
  return { conditions: listOf(readValueTriple)(conditions, `${at}.conditions`), endorsements: listOf(readValueTriple)(endorsements, `${at}.endorsements`) }
}

export const readEnvironment: Read<Environment> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2])
  return { class: map.may(0, 'class', readClass), instance: map.may(1, 'instance', readInstance), group: map.may(2, 'group', readGroup) }
}

export const readClass: Read<Class> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2, 3, 4])
  return { id: map.may(0, 'class-id', identifier(['oid', 'uuid', 'bytes'])), vendor: map.may(1, 'vendor', text), model: map.may(2, 'model', text), layer: map.may(3, 'layer', uint), index: map.may(4, 'index', uint) }
}

export const readMeasurement: Read<Measurement> = (value, at) => measurement(value, at, listOf(readKey))

/** As `readMeasurement`, with another form of `authorized-by`. */
export function measurement(value: Cbor | undefined, at: string, keys: Read<readonly CryptoKey[]>): Measurement {
  const map = fieldsOf(value, at, [0, 1, 2])
  return { key: map.may(0, 'mkey', readElement), values: map.need(1, 'mval', readValues), authorizedBy: map.may(2, 'authorized-by', keys) ?? [] }
}

const readElement: Read<NonNullable<Measurement['key']>> = (value, at) => {
  if (value?.kind === 'int') return uint(value, at)
  return value?.kind === 'text' ? text(value, at) : identifier(['oid', 'uuid'])(value, at)
}

const readValues: Read<Values> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15], true)
  const mask = map.may(5, 'raw-value-mask', bytes)
  const raw = map.may(4, 'raw-value', readRaw)
  if (mask !== undefined && (raw === undefined || raw.mask !== undefined || raw.hex.length !== mask.length)) refuse('corim.syntax', `${at}.raw-value-mask`, 'one mask, as long as the value it is for', 'another form')
  return {
    version: map.may(0, 'version', readVersion), svn: map.may(1, 'svn', readSvn), digests: map.may(2, 'digests', listOf(readDigest)), flags: map.may(3, 'flags', readFlags),
    raw: raw === undefined || mask === undefined ? raw : { ...raw, mask }, macAddress: map.may(6, 'mac-addr', (one, where) => lengths(one, where, [6, 8])), ipAddress: map.may(7, 'ip-addr', readIp),
    serialNumber: map.may(8, 'serial-number', text), ueid: map.may(9, 'ueid', readUeid), uuid: map.may(10, 'uuid', uuid), name: map.may(11, 'name', text),
    keys: map.may(13, 'cryptokeys', listOf(readKey)), registers: map.may(14, 'integrity-registers', readRegisters), range: map.may(15, 'int-range', readRange), extensions: map.extensions,
  }
}

const readVersion: Read<NonNullable<Values['version']>> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1])
  return { text: map.need(0, 'version', text), scheme: map.may(1, 'version-scheme', (one, where) => (one?.kind === 'text' ? text(one, where) : cborInt(one, where))) }
}

const readSvn: Read<NonNullable<Values['svn']>> = (value, at) => {
  if (value?.kind !== 'tag') return { rule: 'equal', value: wide(value, at, 0n) }
  if (value.tag !== 552 && value.tag !== 553) return refuse('corim.syntax', at, 'tag 552 (svn) or 553 (least svn)', `tag ${value.tag}`)
  return { rule: value.tag === 552 ? 'equal' : 'least', value: wide(value.value, at, 0n) }
}

/** An integer of up to 64 bits. */
function wide(value: Cbor | undefined, at: string, least?: bigint): bigint {
  const found = BigInt(cborOf('int', value, at).value)
  return least === undefined || found >= least ? found : refuse('corim.syntax', at, `an integer from ${least}`, String(found))
}

export const readDigest: Read<Digest> = (value, at) => {
  const [algorithm, digest] = tupleOf(value, at, 2)
  return { algorithm: algorithm?.kind === 'text' ? text(algorithm, at) : cborInt(algorithm, at), hex: sized(digest, at, 1, 128) }
}

const FLAGS = ['configured', 'secure', 'recovery', 'debug', 'replay-protected', 'integrity-protected', 'runtime-measured', 'immutable', 'tcb', 'confidentiality-protected', 'runtime-updatable']
const readFlags: Read<Record<string, boolean>> = (value, at) => {
  const map = fieldsOf(value, at, FLAGS.map((_, i) => i), true)
  return Object.fromEntries([...FLAGS.map((name, i) => [name, map.may(i, name, bool)] as const), ...map.extensions.map(key => [`extension ${key}`, true] as const)].filter((entry): entry is [string, boolean] => entry[1] !== undefined))
}

const readRaw: Read<NonNullable<Values['raw']>> = (value, at) => {
  const { tag, value: inner } = tagOf(value, at)
  if (tag === 560) return { hex: bytes(inner, at), mask: undefined }
  if (tag !== 563) return refuse('corim.syntax', at, 'tag 560 (bytes) or 563 (bytes under a mask)', `tag ${tag}`)
  const [plain, mask] = tupleOf(inner, at, 2).map(one => bytes(one, at))
  return plain !== undefined && mask?.length === plain.length ? { hex: plain, mask } : refuse('corim.syntax', at, 'a mask as long as the value', `${(mask ?? '').length / 2} bytes`)
}

const lengths = (value: Cbor | undefined, at: string, allowed: readonly number[]): string => {
  const hex = bytes(value, at)
  return allowed.includes(hex.length / 2) ? hex : refuse('corim.syntax', at, `${allowed.join(' or ')} bytes`, `${hex.length / 2} bytes`)
}
/** RFC 9164 says tags 52 and 54; bare bytes are what Veraison writes. */
const readIp: Read<string> = (value, at) => (value?.kind === 'tag' ? (value.tag === 52 ? lengths(value.value, at, [4]) : under(54, (one, where) => lengths(one, where, [16]))(value, at)) : lengths(value, at, [4, 16]))
const readUeid: Read<string> = (value, at) => sized(value, at, 7, 33)

const readRegisters: Read<Record<string, readonly Digest[]>> = (value, at) => {
  const map = cborFields(value, at)
  if (map.size === 0) refuse('corim.syntax', at, 'at least one register', 'none')
  const out: Record<string, readonly Digest[]> = Object.create(null)
  for (const [name, digests] of map) {
    const id = typeof name === 'number' && name < 0 ? refuse('corim.syntax', at, 'registers from 0', String(name)) : String(name)
    if (Object.hasOwn(out, id)) refuse('corim.syntax', at, 'each register once', id)
    Object.defineProperty(out, id, { value: listOf(readDigest)(digests, `${at}.${id}`), enumerable: true })
  }
  return out
}

const readRange: Read<NonNullable<Values['range']>> = (value, at) => {
  if (value?.kind === 'int') return { min: wide(value, at), max: wide(value, at) }
  const [min, max] = tupleOf(under(564, one => one)(value, at), at, 2).map(one => (one?.kind === 'null' ? undefined : wide(one, at)))
  if (min !== undefined && max !== undefined && min > max) refuse('corim.syntax', at, 'a range that holds a number', `${min} to ${max}`)
  return { min, max }
}

// ---- names and keys

type Reader = readonly [type: Identifier['type'] , read: Read<string>]
const digestText: Read<string> = (value, at) => {
  const { algorithm, hex } = readDigest(value, at)
  return `${algorithm}:${hex}`
}
const coseKey: Read<string> = (value, at) => {
  const map = cborOf('map', value, at)
  cborFields(map, at)
  return map.value.map(entry => `${printed(entry.key)}=${printed(entry.value)}`).join(',')
}
const printed = (value: Cbor): string => (value.kind === 'bytes' ? toHex(value.value) : value.kind === 'int' || value.kind === 'text' ? String(value.value) : value.kind)
/** Every tag that names something, with its type. */
const NAMES: Readonly<Record<number, Reader>> = {
  111: ['oid', oid], 37: ['uuid', uuid], 560: ['bytes', bytes], 550: ['ueid', readUeid], 554: ['pkix-key', text], 555: ['pkix-cert', text], 556: ['pkix-cert-path', text],
  557: ['key-thumbprint', digestText], 558: ['cose-key', coseKey], 559: ['cert-thumbprint', digestText], 561: ['cert-path-thumbprint', digestText], 562: ['der-cert', bytes],
}

function identifier<T extends Identifier['type']>(types: readonly T[]): Read<{ type: T; value: string }> {
  return (value, at) => {
    const { tag, value: inner } = tagOf(value, at)
    const [type, read] = NAMES[Number(tag)] ?? refuse('corim.syntax', at, types.join(', '), `tag ${tag}`)
    const known = types.find(one => one === type)
    return known === undefined ? refuse('corim.syntax', at, types.join(', '), type) : { type: known, value: read(inner, at) }
  }
}

export const readInstance: Read<Identifier> = identifier(['ueid', 'uuid', 'bytes', 'pkix-key', 'pkix-cert', 'cose-key', 'key-thumbprint', 'cert-thumbprint', 'der-cert'])
export const readGroup: Read<Identifier> = identifier(['uuid', 'bytes'])
export const readKey: Read<CryptoKey> = identifier(['pkix-key', 'pkix-cert', 'pkix-cert-path', 'key-thumbprint', 'cose-key', 'cert-thumbprint', 'cert-path-thumbprint', 'der-cert', 'bytes'])
