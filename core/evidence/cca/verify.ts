/**
 * Verifies an Arm CCA token: the platform's token is signed by an attestation key (CPAK) that the relying party names, the
 * realm's token by the key (RAK) that it carries, and the platform vouches for that key: its challenge is the hash of it.
 *
 * Trusts: the port, and the CPAKs handed in. There is no public root above them: a key that only lies beside the token is
 * nobody's, so without a named CPAK every token is refused.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { equal, u32be } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { isObject, kindOf, type Json, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { coseKeyKind, verifySign1 } from '../../crypto/cose.ts'
import { keyToSpki, parseKey } from '../../crypto/keys.ts'
import type { HashName, Primitives, PublicKey } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { onlyFields, textOf } from '../shape.ts'
import { realmKey, type CcaComponent, type LifecycleState, type RealmClaims } from './claim-sets.ts'
import { parseToken, type CcaToken } from './token.ts'

export interface CcaEvidence {
  readonly kind: 'cca'
  /** The token, tag 399 or 907, in base64. */
  readonly token: string
}

/** A platform's attestation key as the relying party, or an endorsement it believes (CoRIM attest-key), names it. */
export interface Cpak {
  readonly key: PublicKey
  /** Hex: the one platform, or the one implementation, that it is endorsed for; any where it is not said. */
  readonly instanceId?: string
  readonly implementationId?: string
  /** Seconds since 1970, both included; without limits where it is not said. */
  readonly validity?: { readonly notBefore: number; readonly notAfter: number }
}
export interface CcaOptions extends VerifyOptions { readonly cpaks?: readonly Cpak[] }

/** What only CCA has; bytes as hex. */
export interface CcaFacts {
  readonly kind: 'cca'
  readonly profile: string
  /** '' in the legacy profile. */
  readonly realmProfile: string
  readonly implementationId: string
  readonly instanceId: string
  readonly lifecycle: number
  readonly state: LifecycleState
  readonly config: string
  readonly components: readonly CcaComponent[]
  /** Where the platform says that it can be verified: an address to show, never to ask. */
  readonly service: string
  readonly platformHash: HashName
  readonly realmHash: HashName
  /** SHA-256 of the realm's key as SubjectPublicKeyInfo. */
  readonly realmKey: string
  /** Profile 2.0.0: memory encrypted apart from other realms, live activation allowed, devices attached, the realm's own id. */
  readonly mecPolicy?: 'shared' | 'private'
  readonly liveActivation?: boolean
  readonly devicesHash?: string
  readonly realmInstanceId?: string
}

const CPAKS_MAX = 4096
/** Two windows without an end: JSON has no infinity. */
const ALWAYS = { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER }

export type CcaClaims = ClaimsOf<CcaFacts>

/** Evidence of this kind as it came from outside, checked for shape only. */
export function readCca(json: JsonObject): CcaEvidence {
  onlyFields(json, ['kind', 'token'])
  return { kind: 'cca', token: textOf(json, 'token') }
}

/**
 * Named keys from JSON, as a policy or a command line gives them: `[{ key: 'p384:04…', instanceId?, implementationId?,
 * notBefore?, notAfter? }]`. Leaves with `evidence.parse` or `crypto.key`.
 */
export function readCpaks(value: Json): readonly Cpak[] {
  if (!Array.isArray(value) || value.length > CPAKS_MAX) return refuse('evidence.parse', 'cpaks', `a list of at most ${CPAKS_MAX} keys`, kindOf(value))
  return value.map((one: Json, i) => readCpak(one, `cpaks[${i}]`))
}

function readCpak(json: Json, at: string): Cpak {
  if (!isObject(json)) return refuse('evidence.parse', at, 'an object', kindOf(json))
  for (const name of Object.keys(json)) if (!CPAK_FIELDS.includes(name)) refuse('evidence.parse', `${at}.${name}`, CPAK_FIELDS.join(', '), name)
  const { key, notBefore = ALWAYS.notBefore, notAfter = ALWAYS.notAfter } = json
  if (typeof key !== 'string') return refuse('evidence.parse', `${at}.key`, 'a key such as p384:04…', kindOf(key))
  if (typeof notBefore !== 'number' || typeof notAfter !== 'number') return refuse('evidence.parse', `${at}.notAfter`, 'seconds since 1970', 'another value')
  return { key: parseKey(key, `${at}.key`), validity: { notBefore, notAfter }, ...readId(json, 'instanceId', at), ...readId(json, 'implementationId', at) }
}

const CPAK_FIELDS = ['key', 'instanceId', 'implementationId', 'notBefore', 'notAfter']
function readId<K extends string>(json: JsonObject, name: K, at: string): { readonly [key in K]?: string } {
  const value = json[name]
  if (value !== undefined && (typeof value !== 'string' || fromHex(value, `${at}.${name}`).length === 0)) return refuse('evidence.parse', `${at}.${name}`, 'an id in hex', kindOf(value))
  // The computed key is K, which TypeScript widens to string.
  return value === undefined ? {} : { [name]: value } as { readonly [key in K]?: string }
}

/**
 * The claims of a token in which everything holds. Leaves with `cbor.*`, `bytes.*`, `cose.header`, `crypto.*`, `crl.missing`
 * or `evidence.*`.
 *
 * `debug` is any state of the platform but secured: what is being assembled, provisioned or debugged keeps no secrets.
 */
export function verifyCca(p: Primitives, evidence: CcaEvidence, options: CcaOptions): CcaClaims {
  if (options.requireCrl === true) refuse('crl.missing', 'evidence', 'a revocation list', 'none: CCA has no public lists', 'name the platforms that are trusted (cpaks)')
  const token = parseToken(fromBase64(evidence.token, 'token'))
  const key = realmKey(token.realm.claims)
  if (!verifySign1(p, token.realm.sign1, key)) refuse('evidence.signature', 'realm.signature', 'a signature by the key in the realm’s token', 'one that does not hold')
  checkBinding(p, token)
  const platform = platformKey(p, token, options)
  return claimsOf(p, token, platform, key)
}

/** The platform signed the hash of the realm's key as its challenge (draft section 3.2.3). */
function checkBinding(p: Primitives, token: CcaToken): void {
  const { publicKey, publicKeyHash } = token.realm.claims
  const hash = p.hash(publicKeyHash, publicKey)
  if (!equal(hash, token.platform.claims.challenge)) refuse('evidence.binding', 'platform.challenge', `the ${publicKeyHash} of the realm’s key, ${toHex(hash)}`, toHex(token.platform.claims.challenge))
}

interface KnownPlatform { readonly spki: Uint8Array; readonly notBefore: number; readonly notAfter: number }

/** The named key that signed the platform's token. It is one and the same for every realm until the monitor restarts. */
function platformKey(p: Primitives, token: CcaToken, options: CcaOptions): KnownPlatform {
  const cpaks = options.cpaks ?? []
  if (cpaks.length > CPAKS_MAX) refuse('bytes.too-large', 'cpaks', `at most ${CPAKS_MAX} keys`, String(cpaks.length))
  const { instanceId, implementationId } = token.platform.claims
  const named = cpaks.filter(one => sameId(one.instanceId, instanceId) && sameId(one.implementationId, implementationId))
  if (named.length === 0) refuse('evidence.signer', 'platform', `a named attestation key for instance ${toHex(instanceId)}`, `none among ${cpaks.length}`, 'name the platform’s attestation key (cpaks)')
  const parts = named.flatMap(one => [keyToSpki(one.key), utf8(String(one.validity?.notBefore)), utf8(String(one.validity?.notAfter))])
  return remember(p, options, 'cca', [token.platform.bytes, u32be(named.length), ...parts], () => {
    const signer = named.find(one => one.key.kind === coseKeyKind(token.platform.sign1.algorithm) && verifySign1(p, token.platform.sign1, one.key))
    if (signer === undefined) return refuse('evidence.signature', 'platform.signature', 'a signature by a named attestation key', 'one that does not hold')
    const { notBefore, notAfter } = signer.validity ?? ALWAYS
    if (options.now < notBefore || options.now > notAfter) refuse('evidence.collateral', 'cpaks', `a key endorsed at ${options.now}`, `one for ${notBefore} to ${notAfter}`)
    return { spki: keyToSpki(signer.key), notBefore, notAfter }
  })
}

const sameId = (named: string | undefined, got: Uint8Array) => named === undefined || named.toLowerCase() === toHex(got)

function claimsOf(p: Primitives, token: CcaToken, platform: KnownPlatform, key: PublicKey): CcaClaims {
  const { claims } = token.realm
  const { profile, implementationId, instanceId, lifecycle, state, config, components, service, hash } = token.platform.claims
  return {
    tee: 'cca', simulated: false, product: 'CCA', signer: 'cpak',
    measurement: toHex(claims.initialMeasurement), registers: Object.fromEntries(claims.extensibleMeasurements.map((value, i) => [`REM${i}`, toHex(value)])),
    reportData: toHex(claims.challenge), hostData: toHex(claims.personalization), debug: state !== 'secured', migration: false, chipId: toHex(instanceId),
    validity: { notBefore: platform.notBefore, notAfter: platform.notAfter }, endorsements: [`sha256:${toHex(p.hash('sha256', platform.spki))}`], revocation: false,
    facts: {
      kind: 'cca', profile, realmProfile: claims.profile ?? '', implementationId: toHex(implementationId), instanceId: toHex(instanceId), lifecycle, state, config: toHex(config), components,
      service: service ?? '', platformHash: hash, realmHash: claims.hash, realmKey: toHex(p.hash('sha256', keyToSpki(key))), ...factsOf2(claims),
    },
  }
}

const factsOf2 = ({ mecPolicy, liveActivation, devicesHash, instanceId }: RealmClaims) => ({
  ...(mecPolicy === undefined ? {} : { mecPolicy }), ...(liveActivation === undefined ? {} : { liveActivation }),
  ...(devicesHash === undefined ? {} : { devicesHash: toHex(devicesHash) }), ...(instanceId === undefined ? {} : { realmInstanceId: toHex(instanceId) }),
})
