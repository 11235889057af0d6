/**
 * Judges the cases of Arm CCA: a `token` under the keys of the role `cpak` (JWK or PEM), or a bare set of `claims` in CBOR,
 * JSON or CBOR diagnostic notation, which is read and is no evidence. A platform that is not secured is not accepted.
 */
import { createPublicKey } from 'node:crypto'
import { toBase64 } from '@cloister/core/bytes/base64'
import { readCbor, writeCbor, type Cbor, type Writable } from '@cloister/core/bytes/cbor'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { parseJsonObject } from '@cloister/core/bytes/json'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { spkiToKey } from '@cloister/core/crypto/keys'
import { coseAlgorithmNumber } from '@cloister/core/crypto/cose'
import { claimsFromJson, readClaimSet } from '@cloister/core/evidence/cca/claim-sets'
import { parseToken, type CcaToken } from '@cloister/core/evidence/cca/token'
import { verifyCca, type Cpak } from '@cloister/core/evidence/cca/verify'
import { attempt, refusalOf, refuse, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

interface Case { readonly files: readonly { readonly role: string; readonly path: string }[]; readonly valid_at?: string | null; readonly expect: { readonly verdict: string; readonly fields?: Record<string, unknown> } }
interface Judgement { readonly verdict: 'accept' | 'reject' | 'parse' | 'unsupported'; readonly differs: string[]; readonly refusal?: Refusal }

export function judge(one: Case, read: (path: string) => Uint8Array): Judgement {
  const claims = one.files.find(file => file.role === 'claims')
  if (claims !== undefined) return judgeClaims(read(claims.path), claims.path)
  const path = one.files.find(file => file.role === 'token')?.path
  if (path === undefined) return { verdict: 'unsupported', differs: [] }
  const bytes = read(path)
  const cpaks = one.files.filter(file => file.role === 'cpak').map(file => cpakOf(fromUtf8(read(file.path))))
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const result = attempt(() => verifyCca(p, { kind: 'cca', token: toBase64(bytes) }, { now, cpaks }))
  const token = attempt(() => parseToken(bytes))
  const differs = token.ok ? differences(token.value, result.ok, one.expect.fields ?? {}) : []
  if (!result.ok) return { verdict: 'reject', differs, refusal: result.refusal }
  return result.value.debug ? { verdict: 'reject', differs, refusal: refusalOf('appraisal.debug', 'claims.debug', 'false', 'true') } : { verdict: 'accept', differs }
}

function judgeClaims(bytes: Uint8Array, path: string): Judgement {
  const result = attempt(() => readClaimSet(path.endsWith('.json') ? claimsFromJson(parseJsonObject(bytes)) : path.endsWith('.diag') ? diagnostic(fromUtf8(bytes)) : readCbor(bytes)))
  return result.ok ? { verdict: 'parse', differs: [] } : { verdict: 'reject', differs: [], refusal: result.refusal }
}

/** A key in a JWK or in PEM; whatever else is our own mistake and throws. */
function cpakOf(text: string): Cpak {
  const key = text.trimStart().startsWith('{') ? createPublicKey({ key: { ...parseJsonObject(text) }, format: 'jwk' }) : createPublicKey(text)
  return { key: spkiToKey(new Uint8Array(key.export({ type: 'spki', format: 'der' }))) }
}

// ---- fields

function differences(token: CcaToken, verified: boolean, expected: Record<string, unknown>): string[] {
  const got = { platform: plain(token.platform.payload), realm: plain(token.realm.payload), summary: summary(token, verified) }
  return Object.entries(expected).flatMap(([part, fields]) => {
    const own = Object.entries(got).find(([name]) => name === part)?.[1]
    if (typeof own !== 'object' || own === null || typeof fields !== 'object' || fields === null) return []
    const values = new Map<string, unknown>(Object.entries(own))
    return Object.entries(fields).filter(([name, value]) => (part !== 'summary' || values.has(name)) && !alike(values.get(name), value)).map(([name, value]) => `${part}.${name}: expected ${JSON.stringify(value)}, got ${JSON.stringify(values.get(name))}`)
  })
}

/** What the manifest tells of a token; long values are cut there, so they are compared by their beginning. */
function summary({ tag, platform, realm }: CcaToken, verified: boolean): Record<string, unknown> {
  const hashes = (['sha256', 'sha384', 'sha512'] as const).filter(name => toHex(p.hash(name, realm.claims.publicKey)) === toHex(platform.claims.challenge))
  return {
    tag, realm_sig: verified, plat_sig: verified, realm_alg: coseAlgorithmNumber(realm.sign1.algorithm), plat_alg: coseAlgorithmNumber(platform.sign1.algorithm), profile: platform.claims.profile, realm_profile: realm.claims.profile ?? null,
    lifecycle: platform.claims.lifecycle, swc: platform.claims.components.map(one => [one.type, one.measurement.slice(0, 8)]), rim: toHex(realm.claims.initialMeasurement).slice(0, 16), realm_challenge: toHex(realm.claims.challenge).slice(0, 20),
    impl: toHex(platform.claims.implementationId).slice(0, 12), inst: toHex(platform.claims.instanceId).slice(0, 12), rak_hash_alg: realm.claims.publicKeyHash.replace('sha', 'sha-'), binding: hashes,
  }
}

function plain(value: Cbor): unknown {
  switch (value.kind) {
    case 'bytes': return toHex(value.value)
    case 'array': return value.value.map(plain)
    case 'map': return Object.fromEntries(value.value.map(entry => [String(entry.key.value), plain(entry.value)]))
    default: return value.value
  }
}

function alike(got: unknown, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return got === expected
  if (typeof got !== 'object' || got === null || Object.keys(got).length !== Object.keys(expected).length) return false
  const values = new Map<string, unknown>(Object.entries(got))
  return Object.entries(expected).every(([name, value]) => alike(values.get(name), value))
}

// ---- CBOR diagnostic notation (RFC 8949 section 8), as far as sets of claims are written in it

/** One value in diagnostic notation, by way of its encoding. Refuses `cbor.syntax`. */
export function diagnostic(text: string): Cbor {
  const reader = new Diagnostic(text)
  return readCbor(reader.whole())
}

const SPACE = /(?:\s+|\/[^/]*\/|#[^\n]*(?:\n|$))*/y
const TOKEN = /h'[0-9a-fA-F\s]*'|"(?:[^"\\]|\\.)*"|-?[0-9]+|true|false|null|<<|>>|[{}[\]:,()]/y

class Diagnostic {
  readonly #text: string
  #at = 0
  #depth = 0
  constructor(text: string) { this.#text = text }

  whole(): Uint8Array {
    const value = writeCbor(this.#value())
    return this.#next(false) === '' ? value : this.#bad('the end')
  }

  #value(): Writable {
    if (++this.#depth > 32) this.#bad('at most 32 levels')
    const token = this.#next()
    const value = token === '{' ? this.#map() : token === '[' ? this.#list(']') : token === '<<' ? this.#embedded() : this.#scalar(token)
    this.#depth--
    return value
  }

  #scalar(token: string): Writable {
    if (token.startsWith("h'")) return fromHex(token.slice(2, -1).replaceAll(/\s/g, ''))
    if (token.startsWith('"')) return String(JSON.parse(token))
    if (/^-?[0-9]/.test(token)) return this.#tagged(BigInt(token))
    return token === 'true' ? true : token === 'false' ? false : token === 'null' ? null : this.#bad('a value')
  }

  #tagged(number: bigint): Writable {
    if (this.#next(false) !== '(') return number
    this.#next()
    const [value, more] = this.#list(')')
    return more === undefined && value !== undefined ? { tag: number, value } : this.#bad('one value in a tag')
  }

  #embedded(): Writable {
    const [value, more] = this.#list('>>')
    return more === undefined && value !== undefined ? writeCbor(value) : this.#bad('one value in << >>')
  }

  #list(end: string): Writable[] {
    const out: Writable[] = []
    while (!this.#ends(end)) {
      out.push(this.#value())
      if (this.#next(false) === ',') this.#next()
    }
    return out
  }

  #map(): Map<Writable, Writable> {
    const out = new Map<Writable, Writable>()
    while (!this.#ends('}')) {
      const key = this.#value()
      if (out.has(key) || this.#next() !== ':') this.#bad('a key, once, and a colon')
      out.set(key, this.#value())
      if (this.#next(false) === ',') this.#next()
    }
    return out
  }

  #ends(end: string): boolean {
    if (this.#next(false) !== end) return false
    this.#next()
    return true
  }

  /** The next token, '' at the end; `take` moves behind it. */
  #next(take = true): string {
    SPACE.lastIndex = this.#at
    const start = this.#at + (SPACE.exec(this.#text)?.[0].length ?? 0)
    if (start === this.#text.length) return ''
    TOKEN.lastIndex = start
    const token = TOKEN.exec(this.#text)?.[0] ?? this.#bad('a value')
    if (take) this.#at = start + token.length
    return token
  }

  #bad(expected: string): never { return refuse('cbor.syntax', `diagnostic@${this.#at}`, expected, this.#text.slice(this.#at, this.#at + 20)) }
}
