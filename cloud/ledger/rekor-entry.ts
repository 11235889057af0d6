/**
 * What Rekor v2 puts into its log (sigstore/rekor-tiles, `CreateEntryRequest`): a request that names who signed what, and
 * the canonical body that becomes the entry once the signature holds. Two kinds: `hashedrekord` (a signature over a
 * digest), and `dsse`, which Rekor itself has given up and which clients still send for envelopes.
 *
 * Stricter than Rekor: field names in lower camel case, enumerations by name, canonical base64, one signature and one
 * verifier an envelope, and nothing else beside. Trusts nothing: a body leaves here only with a signature that holds. A
 * certificate is read for its key and kept as it came; who issued it, and when, is for whoever verifies the bundle.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { jcsBytes } from '@cloister/core/bytes/jcs'
import { isObject, kindOf, parseJsonObject, shown, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { ecdsaFromDer, keyToSpki, spkiToKey } from '@cloister/core/crypto/keys'
import { DIGESTS, verifyDigest, type DigestAlgorithm } from '@cloister/core/crypto/prehash'
import type { Primitives, PublicKey } from '@cloister/core/crypto/primitives'
import { parseCertificate } from '@cloister/core/crypto/x509'
import { paeBytes } from '@cloister/core/receipt/receipt'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'

/** `body` is the entry: the canonical JSON (RFC 8785) of `{ apiVersion, kind, spec }`. */
export interface RekorEntry { readonly kind: 'hashedrekord' | 'dsse'; readonly version: '0.0.2'; readonly body: Uint8Array }

/** Bytes of a request: an envelope carries its whole payload, of which only the hash is logged. */
export const REQUEST_BYTES_MAX = 1 << 20
const LIMITS = { bytes: REQUEST_BYTES_MAX, depth: 8, entries: 32, string: REQUEST_BYTES_MAX }

/**
 * The entry that a request asks for. Refuses `json.*`, `bytes.*` and `log.request` for what cannot be read,
 * `crypto.algorithm`, `crypto.key`, `der.*` or `x509.*` for a key that is not taken, and `crypto.signature` for a
 * signature that does not hold.
 *
 * @example
 * readRekorRequest(p, utf8('{"hashedRekordRequestV002":{"digest":"…","signature":{"content":"…","verifier":{"publicKey":{"rawBytes":"…"},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}'))
 */
export function readRekorRequest(p: Primitives, request: Uint8Array): Result<RekorEntry> {
  return attempt(() => {
    const json = parseJsonObject(request, LIMITS)
    if ('dsseRequestV002' in json) return dsse(p, fieldsOf(json, ['dsseRequestV002'], 'request').dsseRequestV002)
    return hashedRekord(fieldsOf(json, ['hashedRekordRequestV002'], 'request').hashedRekordRequestV002)
  })
}

function hashedRekord(value: Json): RekorEntry {
  const at = 'hashedRekordRequestV002'
  const { digest, signature } = fieldsOf(value, ['digest', 'signature'], at)
  const { content, verifier } = fieldsOf(signature, ['content', 'verifier'], `${at}.signature`)
  const signer = readSigner(verifier, `${at}.signature.verifier`)
  if (signer.algorithm === 'ed25519') return refuse('crypto.algorithm', `${at}.signature.verifier.keyDetails`, DIGEST_ALGORITHMS, 'PKIX_ED25519', 'Ed25519 signs messages, not digests: sign as PKIX_ED25519_PH')
  const { hash, bytes } = DIGESTS[signer.algorithm]
  const raw = bytesOf(digest, `${at}.digest`)
  if (raw.length !== bytes) refuse('log.request', `${at}.digest`, `${bytes} bytes of ${hash}`, `${raw.length} bytes`)
  needSignature(verifyDigest(signer.algorithm, signer.key, raw, signatureOf(signer, bytesOf(content, `${at}.signature.content`), at)), at)
  return entry('hashedrekord', { hashedRekordV002: { data: { algorithm: HASH_NAMES[hash], digest }, signature: { content, verifier } } })
}

/** The envelope's signature is over its type and payload (DSSE's PAE); logged are the payload's hash and the signature. */
function dsse(p: Primitives, value: Json): RekorEntry {
  const at = 'dsseRequestV002'
  const { envelope, verifiers } = fieldsOf(value, ['envelope', 'verifiers'], at)
  const { payload, payloadType, signatures } = fieldsOf(envelope, ['payload', 'payloadType', 'signatures'], `${at}.envelope`)
  const verifier = onlyOne(verifiers, `${at}.verifiers`)
  const { sig: content } = fieldsOf(onlyOne(signatures, `${at}.envelope.signatures`), ['sig'], `${at}.envelope.signatures[0]`, ['keyid'])
  const signer = readSigner(verifier, `${at}.verifiers[0]`)
  const raw = bytesOf(payload, `${at}.envelope.payload`)
  const signed = paeBytes(raw, textOf(payloadType, `${at}.envelope.payloadType`))
  const signature = signatureOf(signer, bytesOf(content, `${at}.envelope.signatures[0].sig`), at)
  // The message is here, so the port can do it, and many times faster; only Ed25519ph is not in it.
  needSignature(signer.algorithm === 'ed25519ph' ? verifyDigest('ed25519ph', signer.key, p.hash('sha512', signed), signature) : p.verify(signer.algorithm, signer.key, signed, signature), at)
  return entry('dsse', { dsseV002: { payloadHash: { algorithm: HASH_NAMES.sha256, digest: toBase64(p.hash('sha256', raw)) }, signatures: [{ content, verifier }] } })
}

const entry = (kind: RekorEntry['kind'], spec: object): RekorEntry => ({ kind, version: '0.0.2', body: jcsBytes({ apiVersion: '0.0.2', kind, spec }) })

// ---- who signed

interface SignerKey { readonly algorithm: DigestAlgorithm | 'ed25519'; readonly key: PublicKey }
interface KeyDetails { readonly algorithm: SignerKey['algorithm']; readonly kind: PublicKey['kind']; readonly rsaBits?: number }

/** Of Rekor's `PublicKeyDetails` the ones that can be verified here. P-521 is not among them: no port has it. */
const KEY_DETAILS: ReadonlyMap<string, KeyDetails> = new Map<string, KeyDetails>([
  ['PKIX_ECDSA_P256_SHA_256', { algorithm: 'ecdsa-p256-sha256', kind: 'p256' }],
  ['PKIX_ECDSA_P384_SHA_384', { algorithm: 'ecdsa-p384-sha384', kind: 'p384' }],
  ['PKIX_ED25519', { algorithm: 'ed25519', kind: 'ed25519' }],
  ['PKIX_ED25519_PH', { algorithm: 'ed25519ph', kind: 'ed25519' }],
  ...[2048, 3072, 4096].map(rsaBits => [`PKIX_RSA_PKCS1V15_${rsaBits}_SHA256`, { algorithm: 'rsa-pkcs1-sha256', kind: 'rsa', rsaBits }] as const),
])
const ALL_ALGORITHMS = [...KEY_DETAILS.keys()].join(', ')
const DIGEST_ALGORITHMS = [...KEY_DETAILS].filter(([, { algorithm }]) => algorithm !== 'ed25519').map(([name]) => name).join(', ')
const HASH_NAMES = { sha256: 'SHA2_256', sha384: 'SHA2_384', sha512: 'SHA2_512' } as const

function readSigner(value: Json, at: string): SignerKey {
  const certified = isObject(value) && 'x509Certificate' in value
  const holder = certified ? 'x509Certificate' : 'publicKey'
  const { [holder]: held, keyDetails } = fieldsOf(value, [holder, 'keyDetails'], at)
  const name = textOf(keyDetails, `${at}.keyDetails`)
  const details = KEY_DETAILS.get(name) ?? refuse('crypto.algorithm', `${at}.keyDetails`, ALL_ALGORITHMS, name)
  const { rawBytes } = fieldsOf(held, ['rawBytes'], `${at}.${holder}`)
  const key = (certified ? certifiedKey : plainKey)(bytesOf(rawBytes, `${at}.${holder}.rawBytes`), `${at}.${holder}.rawBytes`)
  const bits = key.kind === 'rsa' ? bitsOf(key.n) : undefined
  if (key.kind !== details.kind || bits !== details.rsaBits) refuse('crypto.key', `${at}.keyDetails`, `a key of ${name}`, bits === undefined ? key.kind : `an RSA key of ${bits} bits`)
  return { algorithm: details.algorithm, key }
}

/** One key has one encoding: what is logged can be searched for. */
function plainKey(spki: Uint8Array, at: string): PublicKey {
  const key = spkiToKey(spki, at)
  return equal(keyToSpki(key), spki) ? key : refuse('crypto.key', at, 'a SubjectPublicKeyInfo as RFC 5280, 5480 or 8410 writes it', 'another form')
}

function certifiedKey(der: Uint8Array, at: string): PublicKey {
  const certificate = parseCertificate(der, at)
  if (!certificate.ok && attempt(() => spkiToKey(der)).ok) return refuse('x509.parse', at, 'a certificate', 'a public key', 'send it as publicKey, or a certificate that carries it')
  return orRefuse(certificate).publicKey
}

const bitsOf = (n: Uint8Array): number => n.length * 8 - Math.clz32(n[0] ?? 0) + 24

function signatureOf({ key }: SignerKey, signature: Uint8Array, at: string): Uint8Array {
  return key.kind === 'p256' || key.kind === 'p384' ? ecdsaFromDer(signature, key.kind === 'p256' ? 32 : 48, `${at}.signature`) : signature
}

function needSignature(holds: boolean, at: string): void {
  if (!holds) refuse('crypto.signature', `${at}.signature`, 'a signature by this key over what is to be logged', 'one that does not hold')
}

// ---- fields

/** The named fields of an object that has all of them and none beside, but for optional texts. */
function fieldsOf<K extends string>(value: Json, names: readonly K[], at: string, optional: readonly string[] = []): Record<K, Json> {
  const fields: JsonObject = isObject(value) ? value : refuse('log.request', at, 'an object', kindOf(value))
  for (const name of Object.keys(fields)) if (!(names as readonly string[]).includes(name) && !(optional.includes(name) && typeof fields[name] === 'string')) refuse('log.request', `${at}.${name}`, [...names, ...optional].join(', '), name)
  // Each is there: the loop refuses what is missing.
  const found = {} as Record<K, Json>
  for (const name of names) found[name] = fields[name] ?? refuse('log.request', `${at}.${name}`, 'a value', shown(fields[name]))
  return found
}

function onlyOne(value: Json, at: string): Json {
  const [one, more] = Array.isArray(value) ? value : []
  return one === undefined || more !== undefined ? refuse('log.request', at, 'a list of one', Array.isArray(value) ? `${value.length}` : kindOf(value)) : one
}

const textOf = (value: Json, at: string): string => (typeof value === 'string' && value !== '' ? value : refuse('log.request', at, 'a text', kindOf(value)))
const bytesOf = (value: Json, at: string): Uint8Array => fromBase64(textOf(value, at), at)
