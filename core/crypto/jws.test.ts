import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toBase64Url } from '../bytes/base64.ts'
import { parseJsonObject, type Json, type JsonObject } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt, type RefusalCode } from '../refusal.ts'
import { authority, certificate, LEAF, leaf, LEAF_EXTENSIONS, middle, NOW, root } from './chain.fixture.ts'
import { authoritySigner, token, tokenSigner, x5cOf } from './jws.fixture.ts'
import { chainOf, checkTimes, claimsOf, JWS_LIMITS, jwkToKey, type NamedKey, parseJwks, parseJws, timesOf, verifyJws } from './jws.ts'
import { keyToSpki } from './keys.ts'
import { writePem } from './pem.ts'
import { portable as p } from './portable.ts'

const refused = (run: () => unknown, code: RefusalCode, at?: string) => {
  const result = attempt(run)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const CLAIMS = { iss: 'https://issuer.example', iat: NOW, exp: NOW + 300 }
const es256 = tokenSigner('ES256')
const keys: NamedKey[] = [{ key: es256.key }]
const judged = (text: string, list: readonly NamedKey[] = keys) => {
  const jws = parseJws(text)
  verifyJws(p, jws, list)
  return claimsOf(jws)
}
/** RFC 7515 appendix A: one payload, signed with RSA and with P-256. */
const PAYLOAD = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'
const RSA = { kty: 'RSA', e: 'AQAB', n: 'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ' }
const RSA_TOKEN = `eyJhbGciOiJSUzI1NiJ9.${PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw`
const EC = { kty: 'EC', crv: 'P-256', x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU', y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0' }
const EC_TOKEN = `eyJhbGciOiJFUzI1NiJ9.${PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`

test('the examples of RFC 7515 appendix A.2 and A.3, and of RFC 8037 appendix A.4', () => {
  assert.equal(judged(RSA_TOKEN, [jwkToKey(RSA)])['iss'], 'joe')
  assert.equal(judged(EC_TOKEN, [jwkToKey(EC)])['iss'], 'joe')
  const okp = parseJws('eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg')
  verifyJws(p, okp, [jwkToKey({ kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' })])
  assert.equal(new TextDecoder().decode(okp.payload), 'Example of Ed25519 signing')
})

test('each algorithm verifies with its kind of key and with no other (RFC 8725 section 3.1)', () => {
  const signers = (['ES256', 'ES384', 'EdDSA'] as const).map(alg => tokenSigner(alg))
  for (const signer of signers) {
    assert.deepEqual({ ...judged(token(CLAIMS, signer), [{ key: signer.key }]) }, CLAIMS)
    for (const other of signers) if (other !== signer) refused(() => judged(token(CLAIMS, signer), [{ key: other.key }]), 'crypto.algorithm', 'token.header.alg')
    refused(() => judged(token(CLAIMS, signer), [jwkToKey(RSA)]), 'crypto.algorithm')
  }
  refused(() => judged(RSA_TOKEN, [{ ...jwkToKey(RSA), algorithm: 'PS256' }]), 'crypto.algorithm')
})

test('no signature, HMAC under a public key, and made-up algorithms (attacks.md row 75)', () => {
  const b64 = (value: Json) => toBase64Url(utf8(JSON.stringify(value)))
  for (const alg of ['none', 'None', 'NONE', 'nOnE', 'HS256', 'hs256', 'ES256K', 'ES512', 'RS1', 'RS256 ', 'es256', '', 'toString', 'constructor', 7, null, ['ES256']]) {
    refused(() => judged(`${b64({ alg, typ: 'JWT' })}.${b64(CLAIMS)}.`), 'crypto.algorithm', 'token.header.alg')
  }
  refused(() => parseJws('e30.e30.'), 'crypto.algorithm')
  const hmac = { alg: 'HS256', key: es256.key, sign: (signed: Uint8Array) => p.hmac('sha256', utf8(writePem('PUBLIC KEY', keyToSpki(es256.key))), signed) }
  refused(() => judged(token(CLAIMS, hmac)), 'crypto.algorithm')
  refused(() => judged(token(CLAIMS, { ...hmac, alg: 'ES256', sign: signed => p.hmac('sha512', es256.key.kind === 'p256' ? es256.key.raw : new Uint8Array(), signed) })), 'evidence.signature')
  const [header = '', payload = ''] = token(CLAIMS, es256).split('.')
  refused(() => judged(`${header}.${payload}.`), 'evidence.signature')
})

test('a key that the token brings along is never used (attacks.md row 75)', () => {
  const thief = tokenSigner('ES256', 'thief')
  const [x, y] = thief.key.kind === 'p256' ? [thief.key.raw.subarray(1, 33), thief.key.raw.subarray(33)] : []
  const jwk = { kty: 'EC', crv: 'P-256', x: toBase64Url(x ?? new Uint8Array()), y: toBase64Url(y ?? new Uint8Array()) }
  assert.deepEqual(jwkToKey(jwk).key, thief.key)
  for (const header of [{ jwk }, { jku: 'https://thief.example/keys' }, { x5u: 'https://thief.example/chain' }, { jwk, jku: 'https://thief.example', x5u: 'https://thief.example' }]) {
    refused(() => judged(token(CLAIMS, thief, header)), 'evidence.signature')
    assert.deepEqual({ ...judged(token(CLAIMS, es256, header)) }, CLAIMS)
  }
  refused(() => judged(token(CLAIMS, thief, x5cOf(leaf.der, middle.der, root.der))), 'evidence.signature')
})

test('keys by name: only the one of that name, and an unknown one is not a bad signature', () => {
  const list = [{ kid: 'a', key: es256.key }, { kid: 'b', key: tokenSigner('ES256', 'b').key }]
  assert.ok(judged(token(CLAIMS, es256, { kid: 'a' }), list))
  refused(() => judged(token(CLAIMS, es256, { kid: 'b' }), list), 'evidence.signature', 'token.signature')
  for (const header of [{ kid: 'c' }, { kid: 'A' }, {}] as JsonObject[]) refused(() => judged(token(CLAIMS, es256, header), list), 'evidence.unsupported', 'token.header.kid')
  refused(() => judged(token(CLAIMS, es256, { kid: 'a' })), 'evidence.unsupported')
  for (const kid of ['', 1, ['a'], null]) refused(() => judged(token(CLAIMS, es256, { kid }), list), 'evidence.token')
  refused(() => judged(token(CLAIMS, es256, { kid: 'a'.repeat(JWS_LIMITS.kid + 1) }), list), 'bytes.too-large')
})

test('critical and unknown header members (RFC 7515 section 4.1.11, RFC 7797)', () => {
  for (const header of [{ crit: ['b64'], b64: false }, { crit: [] }, { crit: ['exp'], exp: 1 }, { crit: null }] as JsonObject[]) refused(() => judged(token(CLAIMS, es256, header as Record<string, Json>)), 'evidence.token', 'token.header.crit')
  for (const name of ['b64', 'zip', 'enc', 'epk', 'nonce', 'exp', 'Alg']) refused(() => judged(token(CLAIMS, es256, { [name]: false })), 'evidence.token', `token.header.${name}`)
  for (const typ of ['jwt', 'JWT', 'application/eat+jwt', 'ear+jwt']) assert.ok(judged(token(CLAIMS, es256, { typ })))
  for (const typ of ['at+jwt', 'dpop+jwt', 'secevent+jwt', '', 1, null, {}, [[]]]) refused(() => judged(token(CLAIMS, es256, { typ })), 'evidence.token', 'token.header.typ')
})

test('one text per token: duplicates, other alphabets, padding, white space, more parts (attacks.md rows 1, 10, 17, 18)', () => {
  refused(() => judged(token('{"iss":"a","iss":"b"}', es256)), 'json.duplicate-key')
  refused(() => judged(token('{"a":1,"\\u0061":2}', es256)), 'json.duplicate-key')
  refused(() => judged(token('{"__proto__":{"iss":"a"}}', es256)), 'json.forbidden-key')
  refused(() => judged(token('[]', es256)), 'json.syntax')
  refused(() => judged(token('{"iss":"a"} x', es256)), 'json.syntax')
  const [header = '', payload = '', signature = ''] = token(CLAIMS, es256).split('.')
  refused(() => parseJws(`${toBase64Url(utf8('{"alg":"none","alg":"ES256"}'))}.${payload}.${signature}`), 'json.duplicate-key')
  for (const text of ['', '.', `${header}.${payload}`, `${header}.${payload}.${signature}.`, `${header}.${payload}.${signature}.${signature}.${signature}`]) refused(() => parseJws(text), 'evidence.token')
  for (const text of [`${header}=.${payload}.${signature}`, `${header}.${payload}.${signature}=`, `${header}.${payload}.${signature}\n`, ` ${header}.${payload}.${signature}`, `${header}.${payload}.${signature.slice(0, -1)}`, `${header}..${signature}+`]) refused(() => parseJws(text), 'bytes.encoding')
  refused(() => parseJws(`${header}.${payload}.${'A'.repeat(JWS_LIMITS.token)}`), 'bytes.too-large')
  refused(() => parseJws(`${toBase64Url(new Uint8Array(JWS_LIMITS.header))}.${payload}.`), 'bytes.too-large')
})

test('every changed character is refused', () => {
  const text = token(CLAIMS, es256)
  for (let i = 0; i < text.length; i++) {
    const other = text[i] === 'A' ? 'B' : 'A'
    assert.ok(!attempt(() => judged(`${text.slice(0, i)}${other}${text.slice(i + 1)}`)).ok, `character ${i}`)
  }
})

test('any text, any header, any payload: claims or a refusal, never an error (attacks.md rows 3, 4, 8)', () => {
  const part = fc.oneof(fc.base64String({ maxLength: 20 }).map(one => one.replaceAll('=', '')), fc.json().map(one => toBase64Url(utf8(one))), fc.constantFrom('', 'e30', toBase64Url(utf8('{"alg":"ES256"}'))))
  fc.assert(fc.property(fc.array(part, { maxLength: 5 }), parts => { attempt(() => judged(parts.join('.'))) }), { numRuns: 300 })
  fc.assert(fc.property(fc.dictionary(fc.constantFrom('alg', 'typ', 'kid', 'crit', 'x5c', 'jwk', 'jku', 'b64', 'cty'), fc.jsonValue()), fc.json(), (header, payload) => {
    const result = attempt(() => judged(token(payload, es256, header as Record<string, Json>)))
    if (result.ok) assert.ok(!Object.hasOwn(header, 'crit') && !Object.hasOwn(header, 'b64'))
  }), { numRuns: 300 })
})

test('a chain in the header counts only under a pinned root', () => {
  const signer = authoritySigner(LEAF)
  const OTHER = authority('root', 'another key')
  const jws = (...chain: Uint8Array[]) => parseJws(token(CLAIMS, signer, x5cOf(...chain)))
  const whole = jws(leaf.der, middle.der, root.der)
  const chain = chainOf(p, whole, [root], NOW)
  assert.ok(verifyJws(p, whole, [{ key: chain.path[0]?.publicKey ?? assert.fail() }]))
  assert.ok(chainOf(p, jws(leaf.der, middle.der), [root], NOW))
  refused(() => chainOf(p, whole, [], NOW), 'x509.untrusted-root')
  refused(() => chainOf(p, whole, [certificate(OTHER, OTHER)], NOW), 'x509.signature')
  refused(() => chainOf(p, jws(leaf.der), [root], NOW), 'x509.issuer')
  refused(() => chainOf(p, whole, [root], NOW + 1000 * 86_400), 'x509.expired')
  refused(() => chainOf(p, jws(middle.der, root.der), [root], NOW), 'x509.key-usage')
  refused(() => chainOf(p, parseJws(token(CLAIMS, signer)), [root], NOW), 'evidence.token')
  refused(() => chainOf(p, jws(certificate(LEAF, LEAF, { extensions: LEAF_EXTENSIONS }).der), [root], NOW), 'x509.untrusted-root')
  for (const x5c of [[], 'x', [1], [''], ['!'], Array(JWS_LIMITS.certificates + 1).fill('AA==')]) assert.ok(!attempt(() => parseJws(token(CLAIMS, signer, { x5c }))).ok)
})

test('times: whole seconds, leeway on every bound, an age where there is no expiry (RFC 7519 section 4.1)', () => {
  const rules = { now: NOW, leeway: 10 }
  const at = (claims: JsonObject, more: { now?: number; leeway?: number; maxAge?: number } = {}) => checkTimes(timesOf(claims), { ...rules, ...more })
  assert.deepEqual(at({ iat: NOW, exp: NOW + 300 }), { notBefore: NOW - 10, notAfter: NOW + 309 })
  assert.deepEqual(at({ iat: NOW, nbf: NOW + 5, exp: NOW + 300 }, { maxAge: 60 }), { notBefore: NOW - 5, notAfter: NOW + 70 })
  for (const claims of [{ exp: NOW - 9 }, { exp: NOW + 1, nbf: NOW + 10 }, { exp: NOW + 1, iat: NOW + 10 }]) assert.ok(at(claims))
  refused(() => at({ exp: NOW - 10 }), 'evidence.token', 'token.exp')
  refused(() => at({ exp: NOW }, { leeway: 0 }), 'evidence.token', 'token.exp')
  refused(() => at({ exp: NOW + 99, nbf: NOW + 11 }), 'evidence.token', 'token.nbf')
  refused(() => at({ exp: NOW + 99, iat: NOW + 11 }), 'evidence.token', 'token.nbf')
  refused(() => at({ iat: NOW }), 'evidence.token', 'token.exp')
  refused(() => at({ exp: NOW + 99 }, { maxAge: 60 }), 'evidence.token', 'token.iat')
  refused(() => at({ iat: NOW - 71 }, { maxAge: 60 }), 'evidence.token', 'token.exp')
  assert.ok(at({ iat: NOW - 70 }, { maxAge: 60 }))
  for (const bad of ['1', 1.5, -1, null, true, 2 ** 41, [NOW]] as Json[]) for (const name of ['iat', 'nbf', 'exp']) refused(() => at({ iat: NOW, exp: NOW + 300, [name]: bad }), 'evidence.token', `token.${name}`)
})

test('keys from JWK: public, for signing, of a known kind (RFC 7517, attacks.md row 29)', () => {
  const ed = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }
  assert.deepEqual(jwkToKey({ ...EC, kid: 'k', use: 'sig', alg: 'ES256' }), { ...jwkToKey(EC), kid: 'k', algorithm: 'ES256' })
  assert.equal(jwkToKey(ed).key.kind, 'ed25519')
  for (const jwk of [{ ...EC, d: 'AA' }, { ...ed, d: 'AA' }, { kty: 'oct', k: 'AA' }, { ...EC, use: 'enc' }, { ...EC, crv: 'P-521' }, { ...EC, crv: 'secp256k1' }, { kty: 'OKP', crv: 'X25519', x: ed.x }, { ...EC, x: 'AA' }, { ...EC, alg: 'RS256' }, { ...EC, alg: 'none' }, { ...RSA, alg: 'RSA-OAEP' }, { kty: 'AKP' }]) refused(() => jwkToKey(jwk), 'crypto.key')
  // As they come from the strict reader: objects without a prototype.
  for (const member of ['use', 'alg']) refused(() => jwkToKey(parseJsonObject(JSON.stringify({ ...EC, [member]: {} }))), 'crypto.key')
  for (const jwk of [{}, { kty: 'EC', crv: 'P-256', x: EC.x }, { ...EC, kid: 1 }]) refused(() => jwkToKey(jwk as JsonObject), 'evidence.token')
  const set = JSON.stringify({ keys: [{ ...EC, kid: 'a' }, { ...RSA, kid: 'b' }, ed] })
  assert.deepEqual(parseJwks(set).map(one => one.kid), ['a', 'b', undefined])
  for (const bad of ['{"keys":{}}', '{}', '{"keys":[1]}', JSON.stringify({ keys: [{ ...EC, kid: 'a' }, { ...ed, kid: 'a' }] }), JSON.stringify({ keys: Array(65).fill(ed) })]) refused(() => parseJwks(bad), 'crypto.key')
  refused(() => parseJwks(JSON.stringify({ keys: [{ kty: 'RSA', kid: 'x' }] })), 'evidence.token')
  refused(() => parseJwks(JSON.stringify({ keys: [{ kty: 'RSA', kid: 'x', ...x5cOf(leaf.der) }] })), 'crypto.key')
})
