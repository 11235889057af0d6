/**
 * Whom a relying party believes beyond the pinned vendor roots, from a file it keeps: attestation keys of its TPMs, keys of
 * Arm CCA platforms, and other verifiers with their keys. Trusts whoever wrote the file, and refuses what it does not know.
 */
import { isObject, parseJsonObject, shown, type Json, type JsonObject } from '../bytes/json.ts'
import { jwkToKey, parseJwks, type NamedKey } from '../crypto/jws.ts'
import { formatKey, spkiToKey } from '../crypto/keys.ts'
import { readPem } from '../crypto/pem.ts'
import { parseCertificate, type Certificate } from '../crypto/x509.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { readCpaks } from './cca/verify.ts'
import type { VerifyOptions } from './options.ts'
import { confidentialSpaceRoots } from './result/root.ts'
import { FORMS, type Verifier } from './result/token.ts'

export type Trust = Pick<VerifyOptions, 'aks' | 'cpaks' | 'verifiers'>

/**
 * A trust file: `{ "aks": ["000b…"], "cpaks": [{ "key": PEM, JWK or p384:04…, "instanceId"? }], "verifiers": [{ "name", "form", "issuer"?, "keys"?: JWK set or PEM, "roots"?: PEM
 * or "confidential-space", "audience"?, "maxAge"? }] }`, each part as needed. Refuses `evidence.parse`, `crypto.key`, `json.*`.
 *
 * @example
 * parseTrust('{"verifiers":[{"name":"space","form":"confidential-space","issuer":"https://confidentialcomputing.googleapis.com","roots":"confidential-space","audience":"me"}]}')
 * // → { ok: true, value: { verifiers: [{ name: 'space', … }] } }
 */
export function parseTrust(text: string | Uint8Array): Result<Trust> {
  return attempt(() => {
    const json = parseJsonObject(text)
    only(json, ['aks', 'cpaks', 'verifiers'], 'trust')
    const [aks, verifiers] = [json['aks'], json['verifiers']]
    return {
      ...(aks === undefined ? {} : { aks: listOf(aks, 'trust.aks').map((one, i) => textAt(one, `trust.aks[${i}]`)) }), ...(json['cpaks'] === undefined ? {} : { cpaks: readCpaks(listOf(json['cpaks'], 'trust.cpaks').map((one, i) => plainKey(one, `trust.cpaks[${i}].key`))) }),
      ...(verifiers === undefined ? {} : { verifiers: distinct(listOf(verifiers, 'trust.verifiers').map((one, i) => verifierAt(one, `trust.verifiers[${i}]`))) }),
    }
  })
}

/** The key of a CCA platform as `p384:04…`, whether it came so, in PEM or as a JWK. */
function plainKey(value: Json, at: string): Json {
  if (!isObject(value) || value['key'] === undefined || (typeof value['key'] === 'string' && !value['key'].startsWith('-----'))) return value
  const [only, more] = keysAt(value['key'], at)
  return { ...value, key: only !== undefined && more === undefined ? formatKey(only.key) : refuse('crypto.key', at, 'one key', 'another number') }
}

function verifierAt(value: Json, at: string): Verifier {
  if (!isObject(value)) return refuse('evidence.parse', at, 'an object', shown(value))
  only(value, ['name', 'form', 'issuer', 'keys', 'roots', 'audience', 'maxAge'], at)
  const optional = (key: 'issuer' | 'audience') => (value[key] === undefined ? {} : { [key]: textAt(value[key], `${at}.${key}`) })
  const form = FORMS.find(one => one === value['form']) ?? refuse('evidence.parse', `${at}.form`, FORMS.join(', '), shown(value['form']))
  const verifier = { name: textAt(value['name'], `${at}.name`), form, keys: keysAt(value['keys'], `${at}.keys`), ...rootsAt(value['roots'], `${at}.roots`), ...optional('issuer'), ...optional('audience'), ...ageAt(value['maxAge'], `${at}.maxAge`) }
  return verifier.keys.length > 0 || verifier.roots !== undefined ? verifier : refuse('evidence.parse', at, 'keys or roots: nobody is believed without', 'neither')
}

function keysAt(value: Json | undefined, at: string): readonly NamedKey[] {
  if (value === undefined) return []
  if (typeof value === 'string') return readPem(value, 'PUBLIC KEY').map(der => ({ key: spkiToKey(der, at) }))
  if (!isObject(value)) return refuse('crypto.key', at, 'a JWK set or PEM', shown(value))
  return value['keys'] === undefined ? [jwkToKey(value, at)] : parseJwks(JSON.stringify(value), at)
}

function rootsAt(value: Json | undefined, at: string): { roots?: readonly Certificate[] } {
  if (value === undefined) return {}
  if (value === 'confidential-space') return { roots: confidentialSpaceRoots() }
  const roots = readPem(textAt(value, at), 'CERTIFICATE').map((der, i) => orRefuse(parseCertificate(der, `${at}[${i}]`)))
  return roots.length > 0 ? { roots } : refuse('evidence.parse', at, 'certificates in PEM', 'none')
}

function ageAt(value: Json | undefined, at: string): { maxAge?: number } {
  if (value === undefined) return {}
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? { maxAge: value } : refuse('evidence.parse', at, 'seconds', shown(value))
}

/** One issuer is one verifier: which keys are believed for a token may not depend on an order. */
function distinct(verifiers: readonly Verifier[]): readonly Verifier[] {
  const twice = verifiers.find((one, i) => verifiers.findIndex(other => other.issuer === one.issuer || other.name === one.name) !== i)
  return twice === undefined ? verifiers : refuse('evidence.parse', 'trust.verifiers', 'each name and issuer once', `${twice.name} (${twice.issuer ?? 'no issuer'})`)
}

const LIST_MAX = 1000
const listOf = (value: Json, at: string): readonly Json[] => (Array.isArray(value) && value.length <= LIST_MAX ? value : refuse('evidence.parse', at, `a list of at most ${LIST_MAX}`, shown(value)))
const textAt = (value: Json | undefined, at: string): string => (typeof value === 'string' && value !== '' ? value : refuse('evidence.parse', at, 'a text', value === undefined ? 'nothing' : shown(value)))
function only(json: JsonObject, known: readonly string[], at: string): void {
  const unknown = Object.keys(json).find(key => !known.includes(key))
  if (unknown !== undefined) refuse('evidence.parse', `${at}.${unknown}`, known.join(', '), unknown)
}
