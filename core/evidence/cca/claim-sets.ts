/**
 * The claims of Arm CCA (draft-ffm-rats-cca-token-01 to -03; Realm Management Monitor, DEN0137 section A7.2): those of the
 * platform and those of the realm, as CBOR with numbers or as JSON with names. Each is there, of its type and length; a
 * claim that the profile does not have is refused. Profiles 1.0.0 (with its legacy name) and 2.0.0.
 * Trusts nothing: what is read here is believed only after `verify.ts`.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { cborArray, cborBytes, cborFields, cborInt, cborOf, cborText, readCbor, writeCbor, type Cbor, type Writable } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { isObject, kindOf, type Json, type JsonObject } from '../../bytes/json.ts'
import { readCoseKey } from '../../crypto/cose.ts'
import { rawKey } from '../../crypto/keys.ts'
import type { HashName, PublicKey } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'

/** A component of the platform's software, measured; bytes as hex. */
export interface CcaComponent { readonly type?: string; readonly measurement: string; readonly version?: string; readonly signerId: string; readonly hash?: HashName }
/** A device that extends the platform (profile 2.0.0). */
export interface CcaDevice { readonly type: string; readonly protocol: string; readonly ide: boolean; readonly measurements: string; readonly certificates: string; readonly hash?: HashName; readonly vca?: string; readonly encryption?: number }
/** A root-of-trust key of the trusted boot (profile 2.0.0). */
export interface CcaBootKey { readonly name: string; readonly array: number; readonly index: number; readonly hash: string }

export interface PlatformClaims {
  readonly profile: string
  /** The hash of the realm's key that the platform vouches for. */
  readonly challenge: Uint8Array
  readonly implementationId: Uint8Array
  readonly instanceId: Uint8Array
  readonly config: Uint8Array
  readonly lifecycle: number
  readonly state: LifecycleState
  readonly components: readonly CcaComponent[]
  readonly service?: string
  readonly hash: HashName
  readonly manufacturing?: Uint8Array
  readonly devices?: readonly CcaDevice[]
  readonly bootKeys?: readonly CcaBootKey[]
  readonly peerSigners?: Uint8Array
}

export interface RealmClaims {
  /** Absent in tokens of the legacy profile. */
  readonly profile?: string
  readonly challenge: Uint8Array
  readonly personalization: Uint8Array
  readonly initialMeasurement: Uint8Array
  readonly extensibleMeasurements: readonly Uint8Array[]
  readonly hash: HashName
  /** As it came: a raw P-384 point without a profile, a COSE_Key with one. */
  readonly publicKey: Uint8Array
  readonly publicKeyHash: HashName
  readonly mecPolicy?: 'shared' | 'private'
  readonly instanceId?: Uint8Array
  readonly liveActivation?: boolean
  readonly devicesHash?: Uint8Array
}

export const LEGACY_PROFILE = 'http://arm.com/CCA-SSD/1.0.0'
/** Profiles of the platform and of the realm, with their version. */
const PLATFORM_PROFILES: ReadonlyMap<string, 1 | 2> = new Map([[LEGACY_PROFILE, 1], ['tag:arm.com,2023:cca_platform#1.0.0', 1], ['tag:arm.com,2024:cca_platform#2.0.0', 2], ['tag:arm.com,2024:platform#2.0.0', 2]])
const REALM_PROFILES: ReadonlyMap<string, 1 | 2> = new Map([['tag:arm.com,2023:realm#1.0.0', 1], ['tag:arm.com,2024:realm#2.0.0', 2]])

const LIMITS = { text: 512, bytes: 4096, components: 64, devices: 64, bootKeys: 64 }
/** Lengths in bytes. */
const SIZE = { id: 32, ueid: 33, challenge: 64, personalization: 64, rawKey: 97, registers: 4 }
const UEID_RANDOM = 1

/** Platform claims by number; the last five exist in profile 2.0.0 only. */
const PLATFORM = { profile: 265, challenge: 10, implementationId: 2396, instanceId: 256, config: 2401, lifecycle: 2395, components: 2399, service: 2400, hash: 2402, clientId: 2394, manufacturing: 2403, devices: 2404, bootKeys: 2405, peerSigners: 2406 } as const
/** Realm claims by number; the last four exist in profile 2.0.0 only. */
const REALM = { profile: 265, challenge: 10, personalization: 44235, hash: 44236, publicKey: 44237, initialMeasurement: 44238, extensibleMeasurements: 44239, publicKeyHash: 44240, mecPolicy: 44243, instanceId: 256, liveActivation: 44244, devicesHash: 44257 } as const
const NEW_IN_2: readonly number[] = [PLATFORM.clientId, PLATFORM.manufacturing, PLATFORM.devices, PLATFORM.bootKeys, PLATFORM.peerSigners]
const NEW_IN_REALM_2: readonly number[] = [REALM.mecPolicy, REALM.instanceId, REALM.liveActivation, REALM.devicesHash]

/** States of the platform (section 4.2.3 of the draft) by the high byte of the lifecycle claim. */
const STATES = ['unknown', 'assembly-and-test', 'rot-provisioning', 'secured', 'non-cca-debug', 'recoverable-cca-debug', 'decommissioned'] as const
export type LifecycleState = typeof STATES[number]

/** The platform's claims. Leaves with `cbor.*`, `evidence.missing` or `evidence.parse`. */
export function readPlatformClaims(value: Cbor, at = 'platform'): PlatformClaims {
  const claims = new Claims(value, at, PLATFORM)
  const profile = claims.text(PLATFORM.profile)
  const version = PLATFORM_PROFILES.get(profile) ?? refuse('evidence.parse', `${at}.profile`, [...PLATFORM_PROFILES.keys()].join(', '), profile)
  claims.only(Object.values(PLATFORM).filter(label => version === 2 || !NEW_IN_2.includes(label)))
  if (version === 2) claims.read(PLATFORM.clientId, (one, place) => cborInt(one, place, 1, 1))
  return {
    profile, lifecycle: claims.read(PLATFORM.lifecycle, (one, place) => cborInt(one, place, 0, 0xffff)), state: claims.read(PLATFORM.lifecycle, stateOf),
    challenge: claims.read(PLATFORM.challenge, digest), implementationId: claims.bytes(PLATFORM.implementationId, SIZE.id, SIZE.id), instanceId: claims.read(PLATFORM.instanceId, ueid),
    config: claims.bytes(PLATFORM.config, 0, LIMITS.bytes), hash: claims.read(PLATFORM.hash, hashName),
    components: claims.read(PLATFORM.components, (one, place) => cborArray(one, place, 1, LIMITS.components).map((inner, i) => component(inner, `${place}[${i}]`))),
    ...claims.optional('service', PLATFORM.service, shortText), ...platformOf2(claims),
  }
}

const platformOf2 = (claims: Claims) => ({
  ...claims.optional('manufacturing', PLATFORM.manufacturing, (one, at) => cborBytes(one, at, 1, LIMITS.bytes)),
  ...claims.optional('devices', PLATFORM.devices, (one, at) => cborArray(one, at, 1, LIMITS.devices).map((inner, i) => device(inner, `${at}[${i}]`))),
  ...claims.optional('bootKeys', PLATFORM.bootKeys, (one, at) => cborArray(one, at, 1, LIMITS.bootKeys).map((inner, i) => bootKey(inner, `${at}[${i}]`))),
  ...claims.optional('peerSigners', PLATFORM.peerSigners, (one, at) => cborBytes(one, at, 1, LIMITS.bytes)),
})

/** The realm's claims. Leaves with `cbor.*`, `crypto.*`, `evidence.missing` or `evidence.parse`. */
export function readRealmClaims(value: Cbor, at = 'realm'): RealmClaims {
  const claims = new Claims(value, at, REALM)
  const named = claims.optional('profile', REALM.profile, shortText)
  const version = named.profile === undefined ? 1 : REALM_PROFILES.get(named.profile) ?? refuse('evidence.parse', `${at}.profile`, [...REALM_PROFILES.keys()].join(', '), named.profile)
  claims.only(Object.values(REALM).filter(label => version === 2 || !NEW_IN_REALM_2.includes(label)))
  const claimed = {
    ...named, challenge: claims.bytes(REALM.challenge, SIZE.challenge, SIZE.challenge), personalization: claims.bytes(REALM.personalization, SIZE.personalization, SIZE.personalization),
    initialMeasurement: claims.read(REALM.initialMeasurement, digest), hash: claims.read(REALM.hash, hashName), publicKeyHash: claims.read(REALM.publicKeyHash, hashName),
    extensibleMeasurements: claims.read(REALM.extensibleMeasurements, (one, place) => cborArray(one, place, SIZE.registers, SIZE.registers).map((inner, i) => digest(inner, `${place}[${i}]`))),
    ...(version === 2 ? { mecPolicy: claims.read(REALM.mecPolicy, mecPolicy), instanceId: claims.read(REALM.instanceId, ueid) } : {}),
    ...claims.optional('liveActivation', REALM.liveActivation, (one, place) => cborInt(one, place, 0, 1) === 1), ...claims.optional('devicesHash', REALM.devicesHash, digest),
  }
  if (named.profile === undefined) return { ...claimed, publicKey: claims.bytes(REALM.publicKey, SIZE.rawKey, SIZE.rawKey) }
  const publicKey = claims.bytes(REALM.publicKey, 1, LIMITS.bytes)
  readCoseKey(publicKey, `${at}.publicKey`)
  return { ...claimed, publicKey }
}

/** The key that signs the realm's token, in the form that its profile has. */
export function realmKey(claims: RealmClaims, at = 'realm.publicKey'): PublicKey {
  return claims.profile === undefined ? rawKey('p384', claims.publicKey, at) : readCoseKey(claims.publicKey, at)
}

/** A bare set of claims of either kind: only a platform has an implementation and software components. */
export function readClaimSet(value: Cbor): { readonly kind: 'platform'; readonly claims: PlatformClaims } | { readonly kind: 'realm'; readonly claims: RealmClaims } {
  const fields = cborFields(value, 'claims')
  const platform = [PLATFORM.implementationId, PLATFORM.components].some(label => fields.has(label))
  return platform ? { kind: 'platform', claims: readPlatformClaims(value) } : { kind: 'realm', claims: readRealmClaims(value) }
}

// ---- readers of parts

/** The fields of a map by number, and what they are called in refusals. */
class Claims {
  readonly #fields: ReadonlyMap<number | string, Cbor>
  readonly #at: string
  readonly #names: Readonly<Record<string, number>>

  constructor(value: Cbor, at: string, names: Readonly<Record<string, number>>) {
    this.#fields = cborFields(value, at)
    this.#at = at
    this.#names = names
  }

  /** A claim that must be there. */
  read<T>(label: number, read: (value: Cbor, at: string) => T): T {
    const at = this.#place(label)
    return read(this.#fields.get(label) ?? refuse('evidence.missing', at, 'the claim', 'nothing'), at)
  }

  bytes(label: number, min: number, max: number): Uint8Array { return this.read(label, (value, at) => cborBytes(value, at, min, max)) }
  text(label: number): string { return this.read(label, shortText) }

  only(labels: readonly (number | string)[]): void {
    for (const label of this.#fields.keys()) if (!labels.includes(label)) refuse('evidence.parse', this.#place(label), 'the claims of the profile', `claim ${label}`)
  }

  optional<K extends string, T>(name: K, label: number, read: (value: Cbor, at: string) => T): { readonly [key in K]?: T } {
    const value = this.#fields.get(label)
    // The computed key is K, which TypeScript widens to string.
    return value === undefined ? {} : { [name]: read(value, this.#place(label)) } as { readonly [key in K]?: T }
  }

  #place(label: number | string): string { return `${this.#at}.${Object.entries(this.#names).find(([, number]) => number === label)?.[0] ?? label}` }
}

const shortText = (value: Cbor, at: string): string => cborText(value, at, LIMITS.text)

function digest(value: Cbor, at: string): Uint8Array {
  const bytes = cborBytes(value, at, 32, 64)
  return [32, 48, 64].includes(bytes.length) ? bytes : refuse('cbor.syntax', at, '32, 48 or 64 bytes', `${bytes.length} bytes`)
}

function ueid(value: Cbor, at: string): Uint8Array {
  const bytes = cborBytes(value, at, SIZE.ueid, SIZE.ueid)
  return bytes[0] === UEID_RANDOM ? bytes : refuse('evidence.parse', at, 'a UEID of type RAND (0x01)', `type ${bytes[0]}`)
}

/** Names of the IANA registry of named information, as far as the port can hash. */
function hashName(value: Cbor, at: string): HashName {
  const name = cborText(value, at, LIMITS.text)
  return name === 'sha-256' ? 'sha256' : name === 'sha-384' ? 'sha384' : name === 'sha-512' ? 'sha512' : refuse('evidence.parse', at, 'sha-256, sha-384, sha-512', name)
}

function stateOf(value: Cbor, at: string): LifecycleState {
  const lifecycle = cborInt(value, at, 0, 0xffff)
  const state = (lifecycle & 0x0f00) === 0 ? STATES[lifecycle >> 12] : undefined
  return state ?? refuse('evidence.parse', at, 'a state of the lifecycle', `0x${lifecycle.toString(16)}`)
}

/** A number in the specification of the monitor, a text in an earlier draft. */
function mecPolicy(value: Cbor, at: string): 'shared' | 'private' {
  if (value.kind === 'text') return value.value === 'shared' || value.value === 'private' ? value.value : refuse('evidence.parse', at, 'shared or private', value.value)
  return cborInt(value, at, 0, 1) === 1 ? 'private' : 'shared'
}

const hexDigest = (value: Cbor, at: string): string => toHex(digest(value, at))

const COMPONENT = { type: 1, measurement: 2, version: 4, signerId: 5, hash: 6 } as const
function component(value: Cbor, at: string): CcaComponent {
  const fields = new Claims(value, at, COMPONENT)
  fields.only(Object.values(COMPONENT))
  return {
    ...fields.optional('type', COMPONENT.type, shortText), measurement: fields.read(COMPONENT.measurement, hexDigest),
    ...fields.optional('version', COMPONENT.version, shortText), signerId: fields.read(COMPONENT.signerId, hexDigest), ...fields.optional('hash', COMPONENT.hash, hashName),
  }
}

/** Protocols whose negotiation is hashed, and device types whose encryption is named: there exactly then (draft -03). */
const WITH_VCA = /^spdm-1\.(2\.[0-3]|3\.[0-2]|4\.0)$/
const WITH_ENCRYPTION = 'cxl-type-3'

const DEVICE = { hash: 1, measurements: 2, certificates: 3, ide: 4, protocol: 5, vca: 6, type: 7, encryption: 8 } as const
function device(value: Cbor, at: string): CcaDevice {
  const fields = new Claims(value, at, DEVICE)
  fields.only(Object.values(DEVICE))
  const [protocol, type] = [fields.text(DEVICE.protocol), fields.text(DEVICE.type)]
  const extra = { ...fields.optional('vca', DEVICE.vca, hexDigest), ...fields.optional('encryption', DEVICE.encryption, (one, place) => cborInt(one, place, 0, 2)) }
  if ((extra.vca !== undefined) !== WITH_VCA.test(protocol)) refuse('evidence.parse', `${at}.vca`, `what belongs to ${protocol}`, extra.vca === undefined ? 'no digest' : 'a digest')
  if ((extra.encryption !== undefined) !== (type === WITH_ENCRYPTION)) refuse('evidence.parse', `${at}.encryption`, `what belongs to ${type}`, extra.encryption === undefined ? 'no encryption' : 'an encryption')
  const ide = fields.read(DEVICE.ide, (one, place) => cborOf('bool', one, place).value)
  return { type, protocol, ide, measurements: fields.read(DEVICE.measurements, hexDigest), certificates: fields.read(DEVICE.certificates, hexDigest), ...fields.optional('hash', DEVICE.hash, hashName), ...extra }
}

const BOOT_KEY = { name: 1, array: 2, index: 3, hash: 4 } as const
function bootKey(value: Cbor, at: string): CcaBootKey {
  const fields = new Claims(value, at, BOOT_KEY)
  fields.only(Object.values(BOOT_KEY))
  const index = (one: Cbor, place: string) => cborInt(one, place, 0, 0x7fffffff)
  return { name: fields.text(BOOT_KEY.name), array: fields.read(BOOT_KEY.array, index), index: fields.read(BOOT_KEY.index, index), hash: fields.read(BOOT_KEY.hash, hexDigest) }
}

// ---- JSON: the same claims by name, bytes in base64

type Shape = 'plain' | 'bytes' | { readonly list: 'bytes' | Names }
type Names = Readonly<Record<string, readonly [label: number, shape: Shape]>>
const COMPONENT_NAMES: Names = { 'measurement-type': [COMPONENT.type, 'plain'], 'measurement-value': [COMPONENT.measurement, 'bytes'], version: [COMPONENT.version, 'plain'], 'signer-id': [COMPONENT.signerId, 'bytes'], 'measurement-description': [COMPONENT.hash, 'plain'], 'hash-algo-id': [COMPONENT.hash, 'plain'] }
const DEVICE_NAMES: Names = { 'hash-algo-id': [DEVICE.hash, 'plain'], 'device-measurements-digest': [DEVICE.measurements, 'bytes'], 'certificate-chain-digest': [DEVICE.certificates, 'bytes'], 'uses-ide': [DEVICE.ide, 'plain'], protocol: [DEVICE.protocol, 'plain'], 'vca-digest': [DEVICE.vca, 'bytes'], 'device-type': [DEVICE.type, 'plain'], 'encryption-type': [DEVICE.encryption, 'plain'] }
const BOOT_KEY_NAMES: Names = { name: [BOOT_KEY.name, 'plain'], 'active-array-index': [BOOT_KEY.array, 'plain'], index: [BOOT_KEY.index, 'plain'], hash: [BOOT_KEY.hash, 'bytes'] }
const CLAIM_NAMES: Names = {
  'cca-platform-profile': [PLATFORM.profile, 'plain'], 'cca-platform-challenge': [PLATFORM.challenge, 'bytes'], 'cca-platform-implementation-id': [PLATFORM.implementationId, 'bytes'], 'cca-platform-instance-id': [PLATFORM.instanceId, 'bytes'],
  'cca-platform-config': [PLATFORM.config, 'bytes'], 'cca-platform-lifecycle': [PLATFORM.lifecycle, 'plain'], 'cca-platform-sw-components': [PLATFORM.components, { list: COMPONENT_NAMES }], 'cca-platform-service-indicator': [PLATFORM.service, 'plain'],
  'cca-platform-hash-algo-id': [PLATFORM.hash, 'plain'], 'cca-platform-client-id': [PLATFORM.clientId, 'plain'], 'cca-platform-manufacturing-config': [PLATFORM.manufacturing, 'bytes'], 'cca-platform-extension': [PLATFORM.devices, { list: DEVICE_NAMES }],
  'cca-platform-tbb-rotpk': [PLATFORM.bootKeys, { list: BOOT_KEY_NAMES }], 'cca-platform-peer-signers': [PLATFORM.peerSigners, 'bytes'],
  'cca-realm-profile': [REALM.profile, 'plain'], 'cca-realm-challenge': [REALM.challenge, 'bytes'], 'cca-realm-personalization-value': [REALM.personalization, 'bytes'], 'cca-realm-initial-measurement': [REALM.initialMeasurement, 'bytes'],
  'cca-realm-extensible-measurements': [REALM.extensibleMeasurements, { list: 'bytes' }], 'cca-realm-hash-algo-id': [REALM.hash, 'plain'], 'cca-realm-public-key': [REALM.publicKey, 'bytes'], 'cca-realm-public-key-hash-algo-id': [REALM.publicKeyHash, 'plain'],
  'cca-realm-mec-policy': [REALM.mecPolicy, 'plain'], 'cca-realm-instance-id': [REALM.instanceId, 'bytes'], 'cca-realm-lfa-policy': [REALM.liveActivation, 'plain'], 'cca-realm-devices-token-hash': [REALM.devicesHash, 'bytes'],
}

/** A set of claims in JSON as the CBOR that says the same. Leaves with `evidence.parse` or `bytes.encoding`. */
export function claimsFromJson(json: JsonObject): Cbor {
  return readCbor(writeCbor(renamed(json, CLAIM_NAMES, 'claims')))
}

function renamed(json: JsonObject, names: Names, at: string): Map<Writable, Writable> {
  const out = new Map<Writable, Writable>()
  for (const [name, value] of Object.entries(json)) {
    const place = `${at}.${name}`
    const known = Object.hasOwn(names, name) ? names[name] : undefined
    if (known === undefined || out.has(known[0])) return refuse('evidence.parse', place, 'a claim of CCA, once', name)
    out.set(known[0], written(value, known[1], place))
  }
  return out
}

function written(value: Json, shape: Shape, at: string): Writable {
  const wrong = (expected: string) => refuse('evidence.parse', at, expected, kindOf(value))
  if (shape === 'bytes') return typeof value === 'string' ? fromBase64(value, at) : wrong('base64')
  if (shape === 'plain') return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : wrong('a text, a number or a truth')
  const { list } = shape
  if (!Array.isArray(value)) return wrong('a list')
  return value.map((one, i) => (list === 'bytes' ? written(one, 'bytes', `${at}[${i}]`) : isObject(one) ? renamed(one, list, `${at}[${i}]`) : refuse('evidence.parse', `${at}[${i}]`, 'an object', kindOf(one))))
}
