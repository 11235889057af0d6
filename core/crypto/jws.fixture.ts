/** Tokens for tests: signed by small authorities with keys from their names, and one change at a time. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256, p384 } from '@noble/curves/nist.js'
import { toBase64, toBase64Url } from '../bytes/base64.ts'
import type { Json } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { type Authority } from './chain.fixture.ts'
import { ecdsaFromDer } from './keys.ts'
import { portable } from './portable.ts'
import type { PublicKey } from './primitives.ts'

export interface TokenSigner { readonly alg: string; readonly key: PublicKey; sign(signed: Uint8Array): Uint8Array }

/** A signer with a key from its name. */
export function tokenSigner(alg: 'ES256' | 'ES384' | 'EdDSA', name = 'token signer'): TokenSigner {
  const secret = portable.hash(alg === 'ES384' ? 'sha384' : 'sha256', utf8(`test key ${name}`))
  switch (alg) {
    case 'ES256': return { alg, key: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, sign: signed => p256.sign(portable.hash('sha256', signed), secret, { prehash: false }) }
    case 'ES384': return { alg, key: { kind: 'p384', raw: p384.getPublicKey(secret, false) }, sign: signed => p384.sign(portable.hash('sha384', signed), secret, { prehash: false }) }
    case 'EdDSA': return { alg, key: { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }, sign: signed => ed25519.sign(signed, secret) }
  }
}

/** The key of a certificate's subject, as a signer of tokens. */
export const authoritySigner = (holder: Authority): TokenSigner => ({ alg: 'ES256', key: holder.key, sign: signed => ecdsaFromDer(holder.port.sign(signed), 32) })

/** A compact token over exactly this payload; `header` adds to or replaces members of the header. */
export function token(payload: string | Json, signer: TokenSigner, header: Readonly<Record<string, Json>> = {}): string {
  const signed = `${encoded({ alg: signer.alg, typ: 'JWT', ...header })}.${encoded(payload)}`
  return `${signed}.${toBase64Url(signer.sign(utf8(signed)))}`
}

export const x5cOf = (...certificates: readonly Uint8Array[]): { x5c: string[] } => ({ x5c: certificates.map(der => toBase64(der)) })
const encoded = (value: string | Json) => toBase64Url(utf8(typeof value === 'string' ? value : JSON.stringify(value)))
