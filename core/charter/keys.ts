/**
 * The keys that a charter lists for its parties, and how each signs. A plain key (`ed25519:`, `p256:`, `ml-dsa-44:`,
 * `ml-dsa-65:` and hexadecimal digits) signs the bytes themselves. A passkey or FIDO2 key (`webauthn-p256:<rp id>:<hex>`,
 * `webauthn-ed25519:<rp id>:<hex>`) signs an assertion of W3C Web Authentication Level 3, section 7.2: its challenge is the
 * SHA-256 of the bytes, so the person approves this act and nothing else.
 *
 * Trusts the port's signature verification, and of an authenticator that it asks its person before it signs (flags UP and
 * UV are demanded). Signature counters are not kept: a challenge that names one act cannot be used for another.
 */
import { concat, equal } from '../bytes/bytes.ts'
import { fromBase64, toBase64Url } from '../bytes/base64.ts'
import { toHex } from '../bytes/hex.ts'
import { parseJsonObject, shown } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { algorithmOf, ecdsaFromDer, formatKey, parseKey } from '../crypto/keys.ts'
import type { Primitives, PublicKey } from '../crypto/primitives.ts'
import { refuse } from '../refusal.ts'
import { LIMITS } from './limits.ts'

/** A listed key; `rp` is the domain at which a WebAuthn key signs. */
export interface PartyKey { readonly key: PublicKey; readonly rp?: string }
/** What a browser gives beside the signature (base64 here): both are covered by it. */
export type Assertion = { readonly authenticatorData: string; readonly clientDataJSON: string } // a type, so that it is JSON

export const KEY_FORM = /^(?:ed25519|p256|ml-dsa-44|ml-dsa-65|webauthn-(?:p256|ed25519):[a-z0-9.-]{1,253}):[0-9a-f]+$/
export const KEY_FORMS = 'ed25519:, p256:, ml-dsa-44:, ml-dsa-65:, webauthn-p256:<rp id>: or webauthn-ed25519:<rp id>: and hexadecimal digits'
const DOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/

/**
 * A key as a charter spells it. Leaves with `crypto.key`.
 *
 * @example
 * parsePartyKey(`webauthn-p256:bank.example:04${'11'.repeat(64)}`).rp // → 'bank.example'
 */
export function parsePartyKey(text: string, at = 'key'): PartyKey {
  if (!KEY_FORM.test(text)) refuse('crypto.key', at, KEY_FORMS, text)
  const [kind = '', rp = '', hex] = text.split(':')
  if (hex === undefined) return { key: parseKey(text, at) }
  if (!DOMAIN.test(rp)) refuse('crypto.key', at, 'a relying party id: a domain in lower case', rp)
  return { key: parseKey(`${kind.slice('webauthn-'.length)}:${hex}`, at), rp }
}

/** How a charter spells the key of a passkey: `rp` is the id it was made for, the key comes out of `getPublicKey()` by `spkiToKey`. */
export const webauthnKey = (rp: string, key: PublicKey): string => {
  const [kind = '', hex = ''] = formatKey(key).split(':')
  return `webauthn-${kind}:${rp}:${hex}`
}

/** What one key is, however it is spelled: the same public key is never two of a quorum. */
export const keyIdentity = (text: string): string => formatKey(parsePartyKey(text).key)

/** The challenge that a browser is asked to have signed for these bytes. */
export const webauthnChallenge = (p: Primitives, message: Uint8Array): Uint8Array => p.hash('sha256', message)

/**
 * Is this the listed key's signature over the message? A WebAuthn key needs the assertion beside it, a plain key must not
 * have one. Leaves with `charter.act`, or `bytes.*`, `json.*`, `der.*`, `crypto.*` for what cannot be read.
 */
export function checkSignature(p: Primitives, text: string, message: Uint8Array, signed: { readonly signature: string; readonly webauthn?: Assertion | undefined }, at: string): void {
  const { key, rp } = parsePartyKey(text, `${at}.key`)
  const signature = fromBase64(signed.signature, `${at}.signature`)
  if ((rp === undefined) !== (signed.webauthn === undefined)) refuse('charter.act', `${at}.webauthn`, rp === undefined ? 'none beside a plain key' : 'the assertion of a WebAuthn key', rp === undefined ? 'an assertion' : 'nothing')
  const covered = rp === undefined || signed.webauthn === undefined ? message : assertedBytes(p, rp, webauthnChallenge(p, message), signed.webauthn, `${at}.webauthn`)
  // Authenticators write ECDSA signatures in DER (section 6.5.5); everywhere else they are r‖s.
  const raw = rp !== undefined && key.kind === 'p256' ? ecdsaFromDer(signature, 32, `${at}.signature`) : signature
  if (!p.verify(algorithmOf(key), key, covered, raw)) refuse('charter.act', `${at}.signature`, 'a signature over this act', 'one that does not hold')
}

/** What the authenticator signed, once it is known to speak of this challenge, at this domain, with its person there. */
function assertedBytes(p: Primitives, rp: string, challenge: Uint8Array, assertion: Assertion, at: string): Uint8Array {
  const [data, client] = [fromBase64(assertion.authenticatorData, `${at}.authenticatorData`), fromBase64(assertion.clientDataJSON, `${at}.clientDataJSON`)]
  checkClientData(client, rp, toBase64Url(challenge), `${at}.clientDataJSON`)
  checkAuthenticatorData(p, data, rp, `${at}.authenticatorData`)
  return concat(data, p.hash('sha256', client))
}

/** Section 5.8.1. Browsers may add members, so unknown ones are left alone; these decide. */
function checkClientData(bytes: Uint8Array, rp: string, challenge: string, at: string): void {
  const client = parseJsonObject(bytes, { bytes: LIMITS.clientData, depth: 4, entries: 64, string: LIMITS.clientData })
  if (client['type'] !== 'webauthn.get') refuse('charter.act', `${at}.type`, 'webauthn.get', shown(client['type']))
  if (client['challenge'] !== challenge) refuse('charter.act', `${at}.challenge`, `${challenge}, the digest of this act`, shown(client['challenge']))
  if (!originOf(rp, client['origin'])) refuse('charter.act', `${at}.origin`, `https://${rp} or a page below it`, shown(client['origin']))
  const framed = client['topOrigin'] === undefined ? client['crossOrigin'] : true
  if (framed !== undefined && framed !== false) refuse('charter.act', `${at}.crossOrigin`, 'a page of its own', 'a page inside another site\'s')
}

function originOf(rp: string, origin: unknown): boolean {
  const [, host] = (typeof origin === 'string' ? /^https:\/\/([a-z0-9.-]{1,253})(?::[0-9]{1,5})?$/.exec(origin) : null) ?? []
  if (host !== undefined) return host === rp || host.endsWith(`.${rp}`)
  return rp === 'localhost' && typeof origin === 'string' && /^http:\/\/localhost(?::[0-9]{1,5})?$/.test(origin)
}

/** Section 6.1: hash of the domain, flags, counter, and nothing behind them: no extension was asked for. */
function checkAuthenticatorData(p: Primitives, data: Uint8Array, rp: string, at: string): void {
  if (data.length !== 37) refuse('charter.act', at, '37 bytes: no credential and no extension', `${data.length} bytes`)
  if (!equal(data.subarray(0, 32), p.hash('sha256', utf8(rp)))) refuse('charter.act', `${at}.rpIdHash`, `the SHA-256 of ${rp}`, toHex(data.subarray(0, 32)))
  const flags = data[32] ?? 0
  if ((flags & FLAG.present) === 0) refuse('charter.act', `${at}.flags`, 'a person who was there (UP)', `0x${flags.toString(16)}`)
  if ((flags & FLAG.verified) === 0) refuse('charter.act', `${at}.flags`, 'a person who was verified (UV)', `0x${flags.toString(16)}`, 'ask with userVerification: required')
  if ((flags & FLAG.other) !== 0) refuse('charter.act', `${at}.flags`, 'no reserved bit, credential or extension', `0x${flags.toString(16)}`)
}

/** UP, UV; what must not be set: reserved bits 1 and 5, attested credential data, extensions. Bits 3 and 4 speak of backups. */
const FLAG = { present: 0x01, verified: 0x04, other: 0x02 | 0x20 | 0x40 | 0x80 }
