/**
 * Documents beside CoRIM that carry its environments and triples: concise evidence (draft-ietf-rats-concise-evidence), and
 * CoSERV queries, result sets and discovery documents (draft-ietf-rats-coserv). Read whole or refused; nothing is verified.
 */
import { type Cbor, cborBytes, cborFields, cborInt, cborOf } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { refuse } from '../../refusal.ts'
import { type Class, type CryptoKey, type Environment, type Identifier, type KeyTriple, measurement, readClass, readEnvironment, readGroup, readInstance, readKey, readKeyTriple, readMeasurement, readValueTriple, type Measurement, textOrUuid, type ValueTriple } from './comid.ts'
import { fieldsOf, listOf, oid, type Read, text, tupleOf, uri } from './fields.ts'

export interface ConciseEvidence {
  readonly kind: 'concise-evidence'
  readonly evidence: readonly ValueTriple[]
  readonly identityKeys: readonly KeyTriple[]
  readonly attestKeys: readonly KeyTriple[]
  readonly coswid: readonly Environment[]
  readonly id: string | undefined
  readonly profile: string | undefined
}

export const readConciseEvidence: Read<ConciseEvidence> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2], true)
  const triples = map.need(0, 'ev-triples', (one, where) => fieldsOf(one, where, [0, 1, 4, 5], true))
  return {
    kind: 'concise-evidence', evidence: triples.may(0, 'evidence-triples', listOf(readEvidenceTriple)) ?? [], identityKeys: triples.may(1, 'identity-triples', listOf(readKeyTriple)) ?? [],
    coswid: triples.may(4, 'coswid-triples', listOf(readCoswidEvidence)) ?? [], attestKeys: triples.may(5, 'attest-key-triples', listOf(readKeyTriple)) ?? [],
    id: map.may(1, 'evidence-id', (one, where) => (one?.kind === 'tag' ? toHex(cborBytes(one.value, where, 16, 16)) : textOrUuid(one, where))), profile: map.may(2, 'profile', profile),
  }
}

/** As a reference triple, but attesters write the key they measured under alone as well as in a list. */
const readEvidenceTriple: Read<ValueTriple> = (value, at) => {
  const [environment, claims] = tupleOf(value, at, 2)
  const keys: Read<readonly CryptoKey[]> = (one, where) => (one?.kind === 'tag' ? [readKey(one, where)] : listOf(readKey)(one, where))
  const claim: Read<Measurement> = (one, where) => measurement(one, where, keys)
  return { environment: readEnvironment(environment, `${at}.environment`), measurements: listOf(claim)(claims, `${at}.claims`) }
}

/** The environment only: evidence of files (RFC 9393 section 2.9.4) is passed on by nobody here. */
const readCoswidEvidence: Read<Environment> = (value, at) => {
  const [environment, list] = tupleOf(value, at, 2)
  listOf((one, where) => fieldsOf(one, where, [0, 1, 2]))(list, `${at}.evidence`)
  return readEnvironment(environment, `${at}.environment`)
}

/** What is asked for: reference values, endorsed values, trust anchors, in the numbers of the draft. */
export interface Query { readonly artifact: number; readonly classes: readonly Class[]; readonly instances: readonly Identifier[]; readonly groups: readonly Identifier[]; readonly result: number | undefined }
export interface Coserv {
  readonly kind: 'coserv'
  readonly profile: string
  readonly query: Query
  readonly reference: readonly { readonly authorities: readonly CryptoKey[]; readonly triple: ValueTriple }[]
  readonly endorsed: readonly { readonly authorities: readonly CryptoKey[]; readonly triple: ValueTriple }[]
  readonly attestKeys: readonly { readonly authorities: readonly CryptoKey[]; readonly triple: KeyTriple }[]
  /** Seconds since 1970. */
  readonly expires: number | undefined
}

export const readCoserv: Read<Coserv> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2])
  const results = map.may(2, 'results', (one, where) => fieldsOf(one, where, [0, 1, 2, 3, 4, 5, 10, 11]))
  const unread = [2, 4].find(key => results?.may(key, 'quads', one => one) !== undefined)
  if (unread !== undefined) refuse('evidence.unsupported', `${at}.results.${unread}`, 'reference values, endorsed values or keys', 'conditional endorsements or trust anchors')
  results?.may(5, 'rims', readWrapper)
  results?.may(11, 'source-artifacts', listOf(readWrapper))
  return {
    kind: 'coserv', profile: map.need(0, 'profile', profile), query: map.need(1, 'query', readQuery), expires: results?.need(10, 'expiry', readDate),
    reference: results?.may(0, 'rvq', listOf(quad(readValueTriple), 0)) ?? [], endorsed: results?.may(1, 'evq', listOf(quad(readValueTriple), 0)) ?? [], attestKeys: results?.may(3, 'akq', listOf(quad(readKeyTriple), 0)) ?? [],
  }
}

const readQuery: Read<Query> = (value, at) => {
  const map = fieldsOf(value, at, [0, 1, 2])
  const selector = map.need(1, 'environment-selector', (one, where) => fieldsOf(one, where, [0, 1, 2]))
  const [classes, instances, groups] = [selector.may(0, 'class', listOf(stateful(readClass))) ?? [], selector.may(1, 'instance', listOf(stateful(readInstance))) ?? [], selector.may(2, 'group', listOf(stateful(readGroup))) ?? []]
  if ([classes, instances, groups].filter(list => list.length > 0).length !== 1) refuse('corim.syntax', `${at}.environment-selector`, 'classes, instances or groups', 'several kinds')
  return { artifact: map.need(0, 'artifact-type', (one, where) => cborInt(one, where, 0, 2)), classes, instances, groups, result: map.may(2, 'result-type', (one, where) => cborInt(one, where, 0, 2)) }
}

/** An environment, with the measurements it is in when the answer depends on them. */
const stateful = <T>(read: Read<T>): Read<T> => (value, at) => {
  const [environment, state] = tupleOf(value, at, 1, 1)
  if (state !== undefined) listOf(readMeasurement)(state, `${at}.measurements`)
  return read(environment, at)
}

const quad = <T>(read: Read<T>): Read<{ authorities: readonly CryptoKey[]; triple: T }> => (value, at) => {
  const map = fieldsOf(value, at, [1, 2])
  return { authorities: map.need(1, 'authorities', listOf(readKey)), triple: map.need(2, 'triple', read) }
}

/** A conceptual message wrapper (RFC 9999): type, bytes and at most an indicator. */
const readWrapper: Read<string> = (value, at) => {
  const [type, content, indicator] = tupleOf(value, at, 2, 1)
  if (indicator !== undefined) cborInt(indicator, at, 0)
  cborOf('bytes', content, at)
  return type?.kind === 'int' ? String(cborInt(type, at, 0)) : text(type, at)
}

/** Tag 0: a date of RFC 3339 in UTC. */
const readDate: Read<number> = (value, at) => {
  const written = value?.kind === 'tag' && value.tag === 0 ? text(value.value, at) : ''
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (/^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/.exec(written)?.slice(1) ?? []).map(Number)
  const seconds = Date.UTC(year, month - 1, day, hour, minute, second) / 1000
  return year > 1969 && new Date(seconds * 1000).toISOString() === written.replace('Z', '.000Z') ? seconds : refuse('corim.syntax', at, 'a date in UTC with seconds', written)
}

export interface Discovery { readonly kind: 'coserv-discovery'; readonly version: string; readonly mediaTypes: readonly string[]; readonly endpoints: readonly string[]; readonly keys: number }

export const readDiscovery: Read<Discovery> = (value, at) => {
  const map = fieldsOf(value, at, [1, 2, 3, 4])
  const capability: Read<string> = (one, where) => {
    const fields = fieldsOf(one, where, [1, 2])
    fields.need(2, 'artifact-support', listOf(text))
    return fields.need(1, 'media-type', text)
  }
  const endpoints: Read<readonly string[]> = (one, where) => [...cborFields(one, where)].map(([name, path]) => `${name} ${text(path, where)}`)
  return { kind: 'coserv-discovery', version: map.need(1, 'version', text), mediaTypes: map.need(2, 'capabilities', listOf(capability)), endpoints: map.need(3, 'api-endpoints', endpoints), keys: map.may(4, 'result-verification-key', listOf(anyKey))?.length ?? 0 }
}
/** Keys are only counted: a discovery document is not where trust comes from. */
const anyKey = (value: Cbor | undefined, at: string): number => cborFields(value, at).size

const profile: Read<string> = (value, at) => {
  if (value?.kind === 'bytes') return `oid:${oid(value, at)}`
  if (value?.kind !== 'tag') return text(value, at)
  return value.tag === 111 ? `oid:${oid(value.value, at)}` : uri(value, at)
}
