/** Arm CCA tokens for tests: a platform and a realm of our own, and one change at a time. */
import { toBase64 } from '../../bytes/base64.ts'
import { writeCbor, type Writable } from '../../bytes/cbor.ts'
import { writeCoseKey, writeSign1 } from '../../crypto/cose.ts'
import { es256, es384 } from '../../crypto/cose.fixture.ts'
import { portable } from '../../crypto/portable.ts'
import type { PublicKey } from '../../crypto/primitives.ts'
import type { CcaEvidence, Cpak } from './verify.ts'

export const NOW = 1_767_225_600
export const LEGACY = 'http://arm.com/CCA-SSD/1.0.0'
export const PROFILES = { platform: ['tag:arm.com,2023:cca_platform#1.0.0', 'tag:arm.com,2024:cca_platform#2.0.0'], realm: ['tag:arm.com,2023:realm#1.0.0', 'tag:arm.com,2024:realm#2.0.0'] } as const

const platformSigner = es384('cca platform')
export const signers = { platform: platformSigner, platform256: es256('cca platform'), realm: es384('cca realm'), stranger: es384('cca stranger') }
type SignerName = keyof typeof signers
export const INSTANCE = new Uint8Array(33).fill(2).fill(1, 0, 1)
export const IMPLEMENTATION = new Uint8Array(32).fill(0x1e)
export const cpak = (change: Partial<Cpak> = {}): Cpak => ({ key: signers.platform.key, ...change })
const filled = (length: number, value: number) => new Uint8Array(length).fill(value)

export type Change = Readonly<Record<number, Writable>>
/** Claims by number; a change with the value `undefined` leaves one out. */
export function changed(claims: readonly (readonly [number, Writable])[], change: Change): Map<Writable, Writable> {
  const out = new Map<Writable, Writable>([...claims, ...Object.entries(change).map(([label, value]) => [Number(label), value] as const)])
  for (const [label, value] of Object.entries(change)) if (value === undefined) out.delete(Number(label))
  return out
}

export const component = (change: Change = {}) => changed([[1, 'RMM'], [2, filled(32, 3)], [4, '1.2.3'], [5, filled(32, 4)], [6, 'sha-256']], change)

/** The claims of a platform in version 1 or 2; the challenge is the hash of this realm key. */
export function platformClaims(realmKey: Uint8Array, version: 1 | 2, change: Change = {}): Map<Writable, Writable> {
  return changed([
    [265, PROFILES.platform[version - 1] ?? ''], [10, portable.hash('sha512', realmKey)], [2396, IMPLEMENTATION], [256, INSTANCE], [2401, filled(4, 0xcf)], [2395, 0x3003], [2399, [component()]], [2402, 'sha-256'],
    ...(version === 2 ? [[2394, 1] as const] : []),
  ], change)
}

export function realmClaims(realmKey: Uint8Array, version: 1 | 2, change: Change = {}): Map<Writable, Writable> {
  return changed([
    [265, PROFILES.realm[version - 1] ?? ''], [10, filled(64, 0x41)], [44235, filled(64, 0x42)], [44238, filled(64, 0x43)], [44239, [0x50, 0x51, 0x52, 0x53].map(value => filled(32, value))], [44236, 'sha-256'], [44237, realmKey], [44240, 'sha-512'],
    ...(version === 2 ? [[44243, 1] as const, [256, filled(33, 1)] as const] : []),
  ], change)
}

export interface TokenPlan {
  readonly version?: 1 | 2
  readonly realmKey?: Uint8Array
  readonly platform?: Change
  readonly realm?: Change
  readonly platformSigner?: SignerName
  readonly realmSigner?: SignerName
  readonly tag?: number
  /** What stands in the collection, given the two tokens. */
  readonly collection?: (platform: Uint8Array, realm: Uint8Array) => Writable
  readonly tagged?: boolean
}

/** The realm's key as a COSE_Key, and raw, as the legacy profile has it. */
export const realmCoseKey = writeCoseKey(signers.realm.key)
export const rawOf = (key: PublicKey): Uint8Array => (key.kind === 'rsa' ? key.n : key.raw)
export const legacy: TokenPlan = { realmKey: rawOf(signers.realm.key), platform: { 265: LEGACY }, realm: { 265: undefined } }

export function ccaToken(plan: TokenPlan = {}): Uint8Array {
  const key = plan.realmKey ?? realmCoseKey
  const part = (name: SignerName, claims: Map<Writable, Writable>) => writeSign1({ protected: new Map([[1, signers[name].algorithm]]), payload: writeCbor(claims), tagged: plan.tagged ?? true }, signers[name].sign)
  const platform = part(plan.platformSigner ?? 'platform', platformClaims(key, plan.version ?? 1, plan.platform))
  const realm = part(plan.realmSigner ?? 'realm', realmClaims(key, plan.version ?? 1, plan.realm))
  const collection = plan.collection ?? ((a: Uint8Array, b: Uint8Array) => new Map<Writable, Writable>([[44234, a], [44241, b]]))
  return writeCbor({ tag: plan.tag ?? 399, value: collection(platform, realm) })
}

export const ccaEvidence = (plan: TokenPlan = {}): CcaEvidence => ({ kind: 'cca', token: toBase64(ccaToken(plan)) })
