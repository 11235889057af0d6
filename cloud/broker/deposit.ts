/**
 * How an owner hands an asset's key to a broker: sealed with X-Wing to the key that the broker's evidence names, and
 * signed over. Used by the owner's side (`sealDeposit`) and the broker's (`openDeposit`).
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { concat, framed, u64be } from '@cloister/core/bytes/bytes'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { hashOf } from '@cloister/core/charter/canonical'
import type { Hash, Name } from '@cloister/core/charter/types'
import { hpkeOpen, hpkeSeal, SUITE } from '@cloister/core/crypto/hpke'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import { orRefuse } from '@cloister/core/refusal'
import { depositSubject } from './assets.ts'

export interface DepositAbout { readonly lineage: Hash; readonly asset: Name; readonly version: number; readonly digest: Hash }
export interface SealedDeposit { readonly enc: Uint8Array; readonly ciphertext: Uint8Array }

/**
 * Seal an age identity (`AGE-SECRET-KEY-…`) to a broker. `subject` is what the owner's `put` act must carry.
 *
 * @example
 * const { body, subject } = sealDeposit(p, hello.seal, { lineage, asset: 'a-claims', version: 1, digest }, identity, random)
 * const act = signAct(owner, { verb: 'put', lineage, digest: charter, epoch, party: 'alpha', subject })
 */
export function sealDeposit(p: Primitives, to: Uint8Array, about: DepositAbout, identity: string, random: Random): { body: { enc: string; ciphertext: string }; subject: string } {
  const sealed = hpkeSeal(p, SUITE, { to, info: infoOf(about), aad: EMPTY, plaintext: utf8(identity) }, random)
  return { body: { enc: toBase64(sealed.enc), ciphertext: toBase64(sealed.ciphertext) }, subject: depositSubject({ ...about, sealedDigest: sealedDigest(p, sealed) }) }
}

/** The identity, on the broker's side. Leaves with `crypto.open`. */
export function openDeposit(p: Primitives, secret: Uint8Array, about: DepositAbout, sealed: SealedDeposit): string {
  return fromUtf8(orRefuse(hpkeOpen(p, SUITE, { secret, info: infoOf(about), aad: EMPTY, ...sealed })), 'sealed')
}

export const sealedDigest = (p: Primitives, sealed: SealedDeposit): Hash => hashOf(p, concat(sealed.enc, sealed.ciphertext))

const infoOf = ({ lineage, asset, version, digest }: DepositAbout) => framed('cloister/deposit/1', utf8(lineage), utf8(asset), u64be(version), utf8(digest))
const EMPTY = new Uint8Array(0)
