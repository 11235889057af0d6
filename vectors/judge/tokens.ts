/**
 * Judges the cases of result tokens (JWT of other verifiers, EAR). Google's tokens are held against its pinned root, EAR
 * against the key that comes with the case or the test key that Veraison documents for its examples (ear/doc.go); where
 * there are nobody's keys, a token cannot be accepted. A token without
 * expiry is judged as one of any age. Unsigned claim sets are read, and refused when they say that the machine is debugged.
 */
import { fromUtf8 } from '@cloister/core/bytes/text'
import { parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import { claimsOf, jwkToKey, parseJws, type NamedKey } from '@cloister/core/crypto/jws'
import { spkiToKey } from '@cloister/core/crypto/keys'
import { readPem } from '@cloister/core/crypto/pem'
import { confidentialSpaceRoots } from '@cloister/core/evidence/result/root'
import { readStatements, verifyToken, type TokenClaims, type Verifier } from '@cloister/core/evidence/result/token'
import { attempt, refusalOf, refuse, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { differences, filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'

const SPACE = 'https://confidentialcomputing.googleapis.com'
const LONG = 40 * 366 * 86_400
const VERAISON = jwkToKey({ kty: 'EC', crv: 'P-256', x: 'usWxHK2PmfnHKwXPS54m0kTcGJ90UiglWiGahtagnv8', y: 'IBOL-C3BttVivg-lSreASjpkttcsz-1rb7btKLv8EX4' })

export function judge(one: Case, read: Read): Judgement {
  const [token, claims, key] = ['token', 'claims', 'key'].map(role => filesOf(one, role, read)[0])
  if (claims !== undefined) return judgeClaims(claims)
  if (token === undefined) return judged('unsupported', [])
  const text = fromUtf8(token, 'token').trim()
  const parsed = attempt(() => fieldsOf(text))
  const differs = parsed.ok ? differences(one.expect['fields'] ?? {}, parsed.value.fields, 'fields') : []
  const now = Math.floor((typeof one['valid_at'] === 'string' ? Date.parse(one['valid_at']) : Date.UTC(2026, 2, 1)) / 1000)
  const result = attempt(() => verifyToken(p, { kind: 'token', token: text }, { now, verifiers: parsed.ok ? [verifierFor(parsed.value.claims, key)] : [] }))
  const refusal = result.ok ? weakness(result.value) : result.refusal
  return judged(refusal === undefined ? 'accept' : 'reject', differs, refusal)
}

/** The verifier that the case is about: Google's by its root, else whoever holds the key beside the token. */
function verifierFor({ iss, aud }: JsonObject, key: Uint8Array | undefined): Verifier {
  const named = { ...(typeof iss === 'string' ? { issuer: iss } : {}), ...(typeof aud === 'string' ? { audience: aud } : {}) }
  if (iss === SPACE) return { name: 'Confidential Space', form: 'confidential-space', keys: [], roots: confidentialSpaceRoots(), ...named }
  const keys = key === undefined ? [] : [keyIn(fromUtf8(key, 'key')), VERAISON]
  return { name: 'the case', form: iss === 'https://nras.attestation.nvidia.com' ? 'nras' : typeof iss === 'string' && iss.endsWith('.attest.azure.net') ? 'maa' : 'ear', keys, maxAge: LONG, ...named }
}

/** A public key in PEM, or a JSON Web Key whose name the token need not repeat. */
function keyIn(text: string): NamedKey {
  if (text.trimStart().startsWith('{')) return { key: jwkToKey(parseJsonObject(text)).key }
  return { key: spkiToKey(readPem(text, 'PUBLIC KEY')[0] ?? refuse('crypto.key', 'key', 'a public key', 'none')) }
}

/** What a strict default does not accept of a verified token. EAR speaks through the status of each submodule. */
function weakness({ debug, facts: { trust } }: TokenClaims) {
  const bad = Object.entries(trust ?? {}).find(([, { status }]) => status !== 'affirming')
  if (bad !== undefined) return refusalOf('evidence.token', `token.submods.${bad[0]}.ear.status`, 'affirming', bad[1].status)
  return debug && trust === undefined ? refusalOf('appraisal.debug', 'claims.debug', 'false', 'true') : undefined
}

function fieldsOf(text: string): { claims: JsonObject; fields: unknown } {
  const jws = parseJws(text)
  const claims = claimsOf(jws)
  return { claims, fields: { alg: jws.algorithm, iss: claims['iss'] ?? null, iat: claims['iat'] ?? null, exp: claims['exp'] ?? null, claims: Object.keys(claims).toSorted() } }
}

function judgeClaims(bytes: Uint8Array): Judgement {
  const reading: Result<{ debug: boolean }> = attempt(() => {
    const claims = parseJsonObject(bytes)
    return readStatements(claims['iss'] === SPACE ? 'confidential-space' : claims['eat_profile'] !== undefined && claims['ear.verifier-id'] !== undefined ? 'ear' : claims['x-ms-attestation-type'] === undefined ? 'ita' : 'maa', claims)
  })
  if (!reading.ok) return judged('reject', [], reading.refusal)
  return reading.value.debug ? judged('reject', [], refusalOf('appraisal.debug', 'claims.debug', 'false', 'true')) : judged('parse', [])
}
