/**
 * How an owner hands an asset's key to a broker: sealed with X-Wing to the key that the broker's evidence names, and
 * signed over. Used by the owner's side (`sealDeposit`) and the broker's (`openDeposit`).
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import { concat, framed, u64be } from '@cloister/core/bytes/bytes'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { hashOf } from '@cloister/core/charter/canonical'
import type { Hash } from '@cloister/core/charter/types'
import { hpkeOpen, hpkeSeal, SUITE } from '@cloister/core/crypto/hpke'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import { orRefuse } from '@cloister/core/refusal'
import { checkPart, putSubject, splitDigest, type KeyAbout, type KeyPart } from '@cloister/core/seal/shares'

/** With a part, what is deposited is this broker's share of a split key; without one it is the whole key. */
export interface DepositAbout extends KeyAbout { readonly part?: KeyPart }
export interface SealedDeposit { readonly enc: Uint8Array; readonly ciphertext: Uint8Array }

/**
 * Seal an age identity (`AGE-SECRET-KEY-…`), or a share of one, to a broker. `subject` is what the owner's `put` act must carry.
 *
 * @example
 * const { body, subject } = sealDeposit(p, hello.seal, { lineage, asset: 'a-claims', version: 1, digest }, identity, random)
 * const act = signAct(owner, { verb: 'put', lineage, digest: charter, epoch, party: 'alpha', subject })
 */
export function sealDeposit(p: Primitives, to: Uint8Array, about: DepositAbout, identity: string, random: Random): { body: { enc: string; ciphertext: string }; subject: string } {
  const sealed = hpkeSeal(p, SUITE, { to, info: infoOf(p, about), aad: EMPTY, plaintext: utf8(identity) }, random)
  return { body: { enc: toBase64(sealed.enc), ciphertext: toBase64(sealed.ciphertext) }, subject: putSubject(p, about, sealedDigest(p, sealed), about.part) }
}

/** The identity, on the broker's side; a share is checked against the commitments. Leaves with `crypto.open` or `share.*`. */
export function openDeposit(p: Primitives, secret: Uint8Array, about: DepositAbout, sealed: SealedDeposit): string {
  const text = fromUtf8(orRefuse(hpkeOpen(p, SUITE, { secret, info: infoOf(p, about), aad: EMPTY, enc: sealed.enc, ciphertext: sealed.ciphertext })), 'sealed')
  if (about.part !== undefined) orRefuse(checkPart(about.part, text))
  return text
}

export const sealedDigest = (p: Primitives, sealed: SealedDeposit): Hash => hashOf(p, concat(sealed.enc, sealed.ciphertext))

function infoOf(p: Primitives, { lineage, asset, version, digest, part }: DepositAbout): Uint8Array {
  const whole = [utf8(lineage), utf8(asset), u64be(version), utf8(digest)]
  return framed('cloister/deposit/1', ...whole, ...(part === undefined ? [] : [u64be(part.index), utf8(splitDigest(p, part.split))]))
}
const EMPTY = new Uint8Array(0)
