/**
 * The attestation token of Arm CCA: a collection of the platform's and the realm's token, each a COSE_Sign1 of its own
 * (draft-ffm-rats-cca-token: tag 399 with the two as bytes, tag 907 with the two as conceptual messages of RFC 9999).
 * Trusts nothing: what is read here is believed only after `verify.ts`.
 */
import { cborArray, cborBytes, cborFields, cborInt, cborOf, readCbor, type Cbor } from '../../bytes/cbor.ts'
import { readSign1, type CoseSign1 } from '../../crypto/cose.ts'
import { refuse } from '../../refusal.ts'
import { LEGACY_PROFILE, readPlatformClaims, readRealmClaims, type PlatformClaims, type RealmClaims } from './claim-sets.ts'

export interface CcaToken {
  readonly tag: 399 | 907
  readonly platform: Part<PlatformClaims>
  readonly realm: Part<RealmClaims>
}
export interface Part<T> { readonly bytes: Uint8Array; readonly sign1: CoseSign1; readonly payload: Cbor; readonly claims: T }

const TAGS = { collection: 399, messages: 907 } as const
const KEYS = { platform: 44234, realm: 44241 } as const
/** The content format of an EAT in a CWT (RFC 9782). */
const EAT_CWT = 263
const LIMITS = { bytes: 64 * 1024, depth: 8, items: 4096 }

/** A token as it came. Leaves with `cbor.*`, `bytes.*`, `cose.header`, `crypto.*`, `evidence.missing` or `evidence.parse`. */
export function parseToken(bytes: Uint8Array): CcaToken {
  const { tag, value } = cborOf('tag', readCbor(bytes, { at: 'token', limits: LIMITS }), 'token')
  if (tag !== TAGS.collection && tag !== TAGS.messages) return refuse('cbor.syntax', 'token', `tag ${TAGS.collection} or ${TAGS.messages}`, `tag ${tag}`)
  const fields = cborFields(value, 'token')
  for (const key of fields.keys()) if (key !== KEYS.platform && key !== KEYS.realm) refuse('evidence.parse', `token.${key}`, `${KEYS.platform} and ${KEYS.realm}`, String(key))
  const platform = part(fields.get(KEYS.platform), tag, 'platform', readPlatformClaims)
  const realm = part(fields.get(KEYS.realm), tag, 'realm', readRealmClaims)
  // Only the legacy profile of a platform describes the claims of a realm as well (DEN0137 A7.2.3.1.2).
  if (realm.claims.profile === undefined && platform.claims.profile !== LEGACY_PROFILE) refuse('evidence.missing', 'realm.profile', `a profile, beside ${platform.claims.profile}`, 'none')
  return { tag, platform, realm }
}

function part<T>(value: Cbor | undefined, tag: number, name: string, read: (value: Cbor, at: string) => T): Part<T> {
  if (value === undefined) return refuse('evidence.missing', `token.${name}`, 'the token', 'nothing')
  const bytes = messageOf(value, tag, `token.${name}`)
  const sign1 = readSign1(bytes, { at: name, tag: 'required', cbor: { limits: LIMITS } })
  const payload = readCbor(sign1.payload, { at: name, limits: LIMITS })
  return { bytes, sign1, payload, claims: read(payload, name) }
}

/** The bytes of an entry: bare, or (tag 907) as a conceptual message [content format, bytes]. */
function messageOf(value: Cbor, tag: number, at: string): Uint8Array {
  if (tag !== TAGS.messages || value.kind === 'bytes') return cborBytes(value, at)
  const [format, bytes] = cborArray(value, at, 2, 2)
  cborInt(format, `${at}[0]`, EAT_CWT, EAT_CWT)
  return cborBytes(bytes, `${at}[1]`)
}
