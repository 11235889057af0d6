/** Signing keys for tests of COSE formats, and a port that makes bit flips of whole documents cheap. */
import { p256, p384 } from '@noble/curves/nist.js'
import { toHex } from '../bytes/hex.ts'
import { framed } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { jcs } from '../bytes/jcs.ts'
import { ECDSA_SHA384, type IssuerPort } from './issue.ts'
import { ecdsaToDer, formatKey } from './keys.ts'
import { portable } from './portable.ts'
import type { Primitives, PublicKey } from './primitives.ts'

export interface CoseSigner { readonly key: PublicKey; readonly algorithm: number; readonly issuer: IssuerPort; sign(message: Uint8Array): Uint8Array }

/** The same name gives the same P-384 key: ES384 in COSE, ecdsa-with-SHA384 in certificates. */
export function es384(name: string): CoseSigner {
  const secret = portable.hash('sha384', utf8(`test key ${name}`))
  const sign = (message: Uint8Array) => p384.sign(portable.hash('sha384', message), secret, { prehash: false })
  return { key: { kind: 'p384', raw: p384.getPublicKey(secret, false) }, algorithm: -35, sign, issuer: { algorithm: ECDSA_SHA384, sign: tbs => ecdsaToDer(sign(tbs)) } }
}

export function es256(name: string): Omit<CoseSigner, 'issuer'> {
  const secret = portable.hash('sha256', utf8(`test key ${name}`))
  return { key: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, algorithm: -7, sign: message => p256.sign(portable.hash('sha256', message), secret, { prehash: false }) }
}

/**
 * A port that verifies as the given one and remembers what held; once `closed`, it refuses everything else without
 * arithmetic. What is asked of it after a flip is either asked already, so the flip changed nothing that is signed, or new.
 */
export function rememberingPort(p: Primitives): Primitives & { close(): void } {
  const held = new Set<string>()
  let closed = false
  const name = (...[algorithm, key, message, signature]: Parameters<Primitives['verify']>) => toHex(p.hash('sha256', framed(jcs({ algorithm, key: formatKey(key) }), message, signature)))
  return {
    ...p,
    close: () => { closed = true },
    verify: (...question) => {
      const known = name(...question)
      if (held.has(known)) return true
      if (closed || !p.verify(...question)) return false
      held.add(known)
      return true
    },
  }
}
