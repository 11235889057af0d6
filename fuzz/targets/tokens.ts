/** Targets that verify signed tokens and messages: JOSE and COSE, with their keys. */
import { utf8 } from '@cloister/core/bytes/text'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import { toHex } from '@cloister/core/bytes/hex'
import { readCoseKey, readSign1, verifySign1, writeCoseKey, writeSign1 } from '@cloister/core/crypto/cose'
import { chainOf, checkTimes, claimsOf, jwkToKey, parseJwks, parseJws, timesOf, verifyJws, type Jws } from '@cloister/core/crypto/jws'
import { formatKey } from '@cloister/core/crypto/keys'
import type { PublicKey } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import { toBase64Url } from '@cloister/core/bytes/base64'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { LEAF, leaf, middle, NOW, root } from '../../core/crypto/chain.fixture.ts'
import { authoritySigner, token, tokenSigner, x5cOf } from '../../core/crypto/jws.fixture.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { change, changeJson, changeText } from '../texts.ts'
import { changeCbor } from '../trees.ts'
import { textOf } from './bytes.ts'

const signer = tokenSigner('ES256')
const keys = [{ kid: 'one', key: signer.key }, { kid: 'two', key: tokenSigner('EdDSA').key }]
const claims = { iss: 'https://issuer.example', iat: NOW - 10, nbf: NOW - 10, exp: NOW + 300, nested: { list: [1, 'a', null] } }
const tokens = [token(claims, signer, { kid: 'one' }), token(claims, tokenSigner('EdDSA'), { kid: 'two' }), token(claims, authoritySigner(LEAF), x5cOf(leaf.der, middle.der))]

/** One of the three parts changed in its own format, or the whole as a text. */
function changedToken(draw: Draw, text: string): Uint8Array {
  if (draw.oneIn(4)) return utf8(changeText(draw, text))
  const parts = text.split('.')
  const at = draw.below(3)
  const bytes = new Uint8Array(Buffer.from(parts[at] ?? '', 'base64url'))
  parts[at] = toBase64Url(change(draw, bytes))
  return utf8(parts.join('.'))
}
function judgeToken(input: Uint8Array): unknown {
  const jws: Jws = parseJws(textOf(input))
  const chain = jws.x5c === undefined ? undefined : chainOf(p, jws, [root], NOW)
  const leafKey = chain?.path[0]?.publicKey
  verifyJws(p, jws, leafKey === undefined ? keys : [{ ...(jws.kid === undefined ? {} : { kid: jws.kid }), key: leafKey }])
  return checkTimes(timesOf(claimsOf(jws)), { now: NOW, leeway: 0 })
}

const message = writeSign1({ protected: new Map([[1, -7]]), unprotected: new Map([[4, utf8('key')]]), payload: utf8('what is said'), tagged: true }, signed => signer.sign(signed))
const judgeSign1 = (input: Uint8Array) => {
  const sign1 = readSign1(input, { tag: 'required' })
  return verifySign1(p, sign1, signer.key) ? sign1.payload : refuse('crypto.signature', 'COSE_Sign1', 'a signature that holds', 'another')
}
const coseKeys = [signer.key, tokenSigner('ES384').key, tokenSigner('EdDSA').key, { kind: 'rsa', n: new Uint8Array(256).fill(0xc3), e: new Uint8Array([1, 0, 1]) } as const].map(writeCoseKey)

const [x, y] = signer.key.kind === 'p256' ? [signer.key.raw.subarray(1, 33), signer.key.raw.subarray(33)] : []
const jwk: JsonObject = { kty: 'EC', crv: 'P-256', kid: 'one', use: 'sig', alg: 'ES256', x: toBase64Url(x ?? new Uint8Array(0)), y: toBase64Url(y ?? new Uint8Array(0)) }
const jwks = [jcs({ keys: [jwk, { kty: 'RSA', n: toBase64Url(new Uint8Array(256).fill(0xc3)), e: 'AQAB', kid: 'two' }] })]

export const targets: readonly Target[] = [
  // A certificate behind the chain, or a second time in it, says nothing; a signed token is the same token in any number of certificates.
  { name: 'jws', slow: true, draw: draw => (draw.oneIn(40) ? utf8(draw.pick(tokens)) : changedToken(draw, draw.pick(tokens))), judge: judgeToken, signed: { valid: tokens.map(utf8), same: input => textOf(input) } },
  { name: 'jwks', draw: draw => utf8(draw.oneIn(40) ? draw.pick(jwks) : changeJson(draw, draw.pick(jwks))), judge: input => parseJwks(input).map(one => formatKey(one.key)) },
  { name: 'jwk', draw: draw => utf8(draw.oneIn(40) ? jcs(jwk) : changeJson(draw, jcs(jwk))), judge: input => formatKey(jwkToKey(parseJsonObject(input)).key) },
  // The unprotected header is not signed, by its name.
  { name: 'cose-sign1', slow: true, draw: draw => (draw.oneIn(40) ? message : changeCbor(draw, message)), judge: judgeSign1, signed: { valid: [message], same: input => { const read = readSign1(input, { tag: 'required' }); return [read.protectedBytes, read.payload, read.signature].map(toHex).join() } } },
  { name: 'cose-key', draw: draw => (draw.oneIn(40) ? draw.pick(coseKeys) : changeCbor(draw, draw.pick(coseKeys))), judge: input => readCoseKey(input), again: (_, value) => (formatKey(readCoseKey(writeCoseKey(value as PublicKey))) === formatKey(value as PublicKey) ? undefined : 'another key when written again') }, // what judge gave
]
