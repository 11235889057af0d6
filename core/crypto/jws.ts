/**
 * JSON Web Signatures in compact form (RFC 7515) and JSON Web Tokens (RFC 7519), read as RFC 8725 asks: the algorithm comes
 * from a closed list and must fit the key that the caller names, `crit` and every other extension are refused, and a key
 * that the token brings along (`jwk`, `jku`, `x5u`) is never looked at. A certificate chain (`x5c`) counts only when it
 * ends in a root that the caller pins. Base64url and JSON have one form each; everything has a limit.
 * Trusts: the keys and roots handed in, nothing that stands in the token.
 */
import { fromBase64, fromBase64Url, toBase64Url as toUrl } from '../bytes/base64.ts'
import { isObject, type Json, type JsonObject, kindOf, parseJsonObject, shown } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { orRefuse, refuse } from '../refusal.ts'
import { pointOf, rawKey } from './keys.ts'
import type { Primitives, PublicKey, SignatureAlgorithm } from './primitives.ts'
import { type Certificate, type Chain, parseCertificate, validateChain } from './x509.ts'

export type JwsAlgorithm = 'ES256' | 'ES384' | 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'EdDSA' | 'Ed25519'

/** A token whose form is right; nothing in it is verified yet. */
export interface Jws {
  readonly algorithm: JwsAlgorithm
  readonly header: JsonObject
  /** The signer's name for its key, if it gave one. */
  readonly kid?: string
  /** DER, leaf first; only ever used with `keyOfChain`. */
  readonly x5c?: readonly Uint8Array[]
  readonly payload: Uint8Array
  /** What the signature is over: header and payload as they were sent. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** A key that the relying party trusts for one issuer, with the name the issuer gave it. */
export interface NamedKey {
  readonly kid?: string
  readonly key: PublicKey
  /** The only algorithm it may be used with, where the issuer says so. */
  readonly algorithm?: JwsAlgorithm
}

export const JWS_LIMITS = { token: 512 * 1024, header: 64 * 1024, certificates: 8, keys: 64, kid: 512, jwks: 1 << 20 }

/** Each algorithm with the kind of key it may be used with and its name at the port. `none` and HMAC do not exist here. */
const ALGORITHMS: Readonly<Record<JwsAlgorithm, { readonly kind: PublicKey['kind']; readonly port: SignatureAlgorithm }>> = {
  ES256: { kind: 'p256', port: 'ecdsa-p256-sha256' }, ES384: { kind: 'p384', port: 'ecdsa-p384-sha384' },
  RS256: { kind: 'rsa', port: 'rsa-pkcs1-sha256' }, RS384: { kind: 'rsa', port: 'rsa-pkcs1-sha384' }, RS512: { kind: 'rsa', port: 'rsa-pkcs1-sha512' },
  PS256: { kind: 'rsa', port: 'rsa-pss-sha256' }, PS384: { kind: 'rsa', port: 'rsa-pss-sha384' }, PS512: { kind: 'rsa', port: 'rsa-pss-sha512' },
  EdDSA: { kind: 'ed25519', port: 'ed25519' }, Ed25519: { kind: 'ed25519', port: 'ed25519' },
}
/** Header members that may stand there. Those without a use here cannot change what the signature means (RFC 7515 section 4.1). */
const HEADER = ['alg', 'typ', 'cty', 'kid', 'x5c', 'x5t', 'x5t#S256', 'jwk', 'jku', 'x5u']
const TYPES = ['JWT', 'EAT+JWT', 'EAR+JWT', 'JOSE']

/**
 * The parts of a compact JWS. Leaves with `evidence.token`, `crypto.algorithm`, `bytes.*` or `json.*`.
 *
 * @example
 * parseJws('e30.e30.') // leaves with crypto.algorithm at token.header.alg
 */
export function parseJws(token: string, at = 'token'): Jws {
  if (token.length > JWS_LIMITS.token) refuse('bytes.too-large', at, `at most ${JWS_LIMITS.token} characters`, `${token.length} characters`)
  const [first, second, third, more] = token.split('.')
  if (first === undefined || second === undefined || third === undefined || more !== undefined) return refuse('evidence.token', at, 'three parts between dots (RFC 7515 section 7.1)', `${token.split('.', 10).length} parts`)
  if (first.length > JWS_LIMITS.header) refuse('bytes.too-large', `${at}.header`, `at most ${JWS_LIMITS.header} characters`, `${first.length} characters`)
  const header = parseJsonObject(fromBase64Url(first, `${at}.header`))
  const algorithm = readHeader(header, `${at}.header`)
  const kid = optionalText(header['kid'], `${at}.header.kid`)
  const x5c = header['x5c'] === undefined ? undefined : readX5c(header['x5c'], `${at}.header.x5c`)
  return {
    algorithm, header, payload: fromBase64Url(second, `${at}.payload`), signed: utf8(`${first}.${second}`), signature: fromBase64Url(third, `${at}.signature`),
    ...(kid === undefined ? {} : { kid }), ...(x5c === undefined ? {} : { x5c }),
  }
}

/**
 * The key of these that signs the token: one with the token's `kid`, or one without a name when the token has none.
 * Leaves with `evidence.unsupported` when there is no such key (which says nothing about the token), with
 * `crypto.algorithm` when the algorithm is not one for it, with `evidence.signature` when the signature does not hold.
 */
export function verifyJws(p: Primitives, jws: Jws, keys: readonly NamedKey[], at = 'token'): NamedKey {
  const { kind, port } = ALGORITHMS[jws.algorithm]
  const named = keys.filter(one => one.kid === jws.kid)
  if (named.length === 0) return refuse('evidence.unsupported', `${at}.header.kid`, 'a key that the relying party handed in', jws.kid ?? 'a token without kid', 'hand in the key set of the issuer')
  const fitting = named.filter(one => one.key.kind === kind && (one.algorithm ?? jws.algorithm) === jws.algorithm)
  if (fitting.length === 0) return refuse('crypto.algorithm', `${at}.header.alg`, `an algorithm for ${named.map(one => one.algorithm ?? one.key.kind).join(', ')}`, jws.algorithm)
  return fitting.find(one => p.verify(port, one.key, jws.signed, jws.signature)) ?? refuse('evidence.signature', `${at}.signature`, 'a signature by the key of the issuer', 'one that does not hold')
}

/** The chain of the token's `x5c` to one of these roots at a time (seconds since 1970). Leaves with `evidence.token` when there is none, or `x509.*`. */
export function chainOf(p: Primitives, jws: Jws, roots: readonly Certificate[], now: number, at = 'token'): Chain {
  const [leaf, ...intermediates] = (jws.x5c ?? []).map((der, i) => orRefuse(parseCertificate(der, `${at}.header.x5c[${i}]`)))
  if (leaf === undefined) return refuse('evidence.token', `${at}.header.x5c`, 'certificates', 'none')
  if (leaf.ca) refuse('x509.key-usage', `${at}.header.x5c[0]`, 'a certificate for tokens', 'a certificate authority')
  return orRefuse(validateChain(p, { leaf, intermediates, roots, at: now }))
}

/** The claims of a token: its payload as a JSON object. */
export const claimsOf = (jws: Jws): JsonObject => parseJsonObject(jws.payload)

export interface TokenTimes { readonly issuedAt?: number; readonly notBefore?: number; readonly expires?: number }
export interface TimeRules {
  /** The time to judge at, seconds since 1970. */
  readonly now: number
  /** How far two clocks may differ, seconds; applied to every bound. */
  readonly leeway: number
  /** The greatest age since `iat`, seconds. Required for tokens without `exp`, which would otherwise hold for ever. */
  readonly maxAge?: number
}

/** `iat`, `nbf` and `exp` of claims: whole seconds. Leaves with `evidence.token`. */
export function timesOf(claims: JsonObject, at = 'token'): TokenTimes {
  const [issuedAt, notBefore, expires] = ['iat', 'nbf', 'exp'].map(name => seconds(claims[name], `${at}.${name}`))
  return { ...(issuedAt === undefined ? {} : { issuedAt }), ...(notBefore === undefined ? {} : { notBefore }), ...(expires === undefined ? {} : { expires }) }
}

/** The window in which a token counts, both ends included, leeway within. Leaves with `evidence.token` outside of it (RFC 7519 sections 4.1.4 to 4.1.6). */
export function checkTimes(times: TokenTimes, rules: TimeRules, at = 'token'): { notBefore: number; notAfter: number } {
  const { now, leeway, maxAge } = rules
  const ages = maxAge === undefined ? [] : [(times.issuedAt ?? refuse('evidence.token', `${at}.iat`, 'a time of issue, to know the age', 'none')) + maxAge]
  if (times.expires === undefined && maxAge === undefined) refuse('evidence.token', `${at}.exp`, 'an expiry', 'none', 'name a maxAge for this verifier')
  const starts = [times.issuedAt, times.notBefore].filter(time => time !== undefined)
  const notBefore = Math.max(...starts, 0) - leeway
  // `exp` is the first second in which the token no longer counts.
  const notAfter = Math.min(...ages, ...(times.expires === undefined ? [] : [times.expires - 1])) + leeway
  if (now < notBefore) refuse('evidence.token', `${at}.nbf`, `a time from ${notBefore}`, String(now))
  if (now > notAfter) refuse('evidence.token', `${at}.exp`, `a time until ${notAfter}`, String(now), 'fetch a fresh token, or judge --at an earlier time')
  return { notBefore, notAfter }
}

/**
 * The public key of a JSON Web Key (RFC 7517, 7518, 8037). Leaves with `crypto.key`, also for private and symmetric keys.
 *
 * @example
 * jwkToKey({ kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }).key.kind // → 'ed25519'
 */
export function jwkToKey(jwk: JsonObject, at = 'jwk'): NamedKey {
  for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) if (Object.hasOwn(jwk, secret)) refuse('crypto.key', `${at}.${secret}`, 'a public key', 'a secret member')
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') refuse('crypto.key', `${at}.use`, 'sig', shown(jwk['use']))
  const part = (name: string) => fromBase64Url(text(jwk[name], `${at}.${name}`), `${at}.${name}`)
  const key = keyOf(`${text(jwk['kty'], `${at}.kty`)} ${optionalText(jwk['crv'], `${at}.crv`) ?? ''}`.trim(), part, at)
  const kid = optionalText(jwk['kid'], `${at}.kid`)
  const algorithm = jwk['alg']
  if (algorithm !== undefined && !(isAlgorithm(algorithm) && ALGORITHMS[algorithm].kind === key.kind)) return refuse('crypto.key', `${at}.alg`, 'an algorithm for this kind of key', shown(algorithm))
  return { key, ...(kid === undefined ? {} : { kid }), ...(algorithm === undefined ? {} : { algorithm }) }
}

/** A JSON Web Key Set as the relying party got it from the issuer. Leaves with `crypto.key` or `json.*`; two keys of one name are refused. */
export function parseJwks(input: string | Uint8Array, at = 'jwks'): readonly NamedKey[] {
  const list = parseJsonObject(input)['keys']
  if (!Array.isArray(list) || list.length > JWS_LIMITS.keys) return refuse('crypto.key', `${at}.keys`, `a list of at most ${JWS_LIMITS.keys} keys`, kindOf(list))
  const keys = list.map((one: Json, i) => (isObject(one) ? jwkToKey(withLeaf(one, `${at}.keys[${i}]`), `${at}.keys[${i}]`) : refuse('crypto.key', `${at}.keys[${i}]`, 'a key', kindOf(one))))
  const twice = keys.find((key, i) => keys.findIndex(other => other.kid === key.kid) !== i)
  return twice === undefined ? keys : refuse('crypto.key', `${at}.keys`, 'each kid once', twice.kid ?? 'no kid')
}

/** Azure's sets give RSA keys as certificates only; the set itself is what is trusted here, so the leaf's key is the key. */
function withLeaf(jwk: JsonObject, at: string): JsonObject {
  if (jwk['kty'] !== 'RSA' || jwk['n'] !== undefined) return jwk
  const [leaf] = readX5c(jwk['x5c'], `${at}.x5c`)
  const { publicKey } = orRefuse(parseCertificate(leaf ?? refuse('crypto.key', at, 'a key', 'none'), `${at}.x5c[0]`))
  return publicKey.kind === 'rsa' ? { ...jwk, n: toUrl(publicKey.n), e: toUrl(publicKey.e) } : refuse('crypto.key', at, 'an RSA key', publicKey.kind)
}

function keyOf(kind: string, part: (name: string) => Uint8Array, at: string): PublicKey {
  switch (kind) {
    case 'EC P-256': return rawKey('p256', pointOf(part('x'), part('y')), at)
    case 'EC P-384': return rawKey('p384', pointOf(part('x'), part('y')), at)
    case 'OKP Ed25519': return rawKey('ed25519', part('x'), at)
    case 'RSA': return { kind: 'rsa', n: part('n'), e: part('e') }
    default: return refuse('crypto.key', at, 'EC on P-256 or P-384, OKP on Ed25519, or RSA', kind)
  }
}

function readHeader(header: JsonObject, at: string): JwsAlgorithm {
  if (Object.hasOwn(header, 'crit')) refuse('evidence.token', `${at}.crit`, 'no critical extension (RFC 7515 section 4.1.11)', JSON.stringify(header['crit']).slice(0, 80))
  const unknown = Object.keys(header).find(name => !HEADER.includes(name))
  if (unknown !== undefined) refuse('evidence.token', `${at}.${unknown.slice(0, 80)}`, HEADER.join(', '), unknown)
  const type = header['typ']
  if (type !== undefined && !(typeof type === 'string' && TYPES.includes(type.toUpperCase().replace(/^APPLICATION\//, '')))) refuse('evidence.token', `${at}.typ`, TYPES.join(', '), shown(type))
  const name = header['alg']
  return isAlgorithm(name) ? name : refuse('crypto.algorithm', `${at}.alg`, Object.keys(ALGORITHMS).join(', '), typeof name === 'string' ? name : kindOf(name))
}

/** RFC 7515 section 4.1.6: standard base64 of DER, leaf first. */
function readX5c(value: Json | undefined, at: string): readonly Uint8Array[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > JWS_LIMITS.certificates) return refuse('evidence.token', at, `1 to ${JWS_LIMITS.certificates} certificates`, kindOf(value))
  return value.map((one: Json, i) => fromBase64(text(one, `${at}[${i}]`), `${at}[${i}]`))
}

const isAlgorithm = (name: Json | undefined): name is JwsAlgorithm => typeof name === 'string' && Object.hasOwn(ALGORITHMS, name)
const text = (value: Json | undefined, at: string): string => (typeof value === 'string' && value.length > 0 ? value : refuse('evidence.token', at, 'text', kindOf(value)))
const optionalText = (value: Json | undefined, at: string): string | undefined => {
  if (value === undefined) return undefined
  const found = text(value, at)
  return found.length <= JWS_LIMITS.kid ? found : refuse('bytes.too-large', at, `at most ${JWS_LIMITS.kid} characters`, `${found.length} characters`)
}
const seconds = (value: Json | undefined, at: string): number | undefined => {
  if (value === undefined) return undefined
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < 2 ** 40 ? value : refuse('evidence.token', at, 'whole seconds since 1970', typeof value === 'number' ? String(value) : kindOf(value))
}
