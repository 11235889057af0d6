/** For tests: a tree of entries with every full subtree, and the tiles and bundles made of them; signers by name. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js'
import { concat } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { portable } from '../crypto/portable.ts'
import type { Primitives, Signer } from '../crypto/primitives.ts'
import { encodeBundle, type ReadTile } from './tiles.ts'
import { leafHash, nodeHash, type HashAt } from './tree.ts'

export function tilesOver(p: Primitives, count: number, entry: (index: number) => Uint8Array): { readonly hashAt: HashAt; readonly read: ReadTile } {
  const levels: Uint8Array[][] = [Array.from({ length: count }, (_, i) => leafHash(p, entry(i)))]
  const missing = (): never => { throw new RangeError('a hash that the tree does not have') }
  for (let below = levels[0] ?? []; below.length > 1; below = levels.at(-1) ?? []) levels.push(Array.from({ length: Math.floor(below.length / 2) }, (_, i) => nodeHash(p, below[2 * i] ?? missing(), below[2 * i + 1] ?? missing())))
  const hashAt: HashAt = (level, index) => levels[level]?.[index] ?? missing()
  return {
    hashAt,
    read: ({ level, index, width }) => level === 'entries' ? encodeBundle(Array.from({ length: width }, (_, i) => entry(index * 256 + i))) : concat(...Array.from({ length: width }, (_, i) => hashAt(8 * level, index * 256 + i))),
  }
}

export type RawSigner = Signer & { readonly raw: Uint8Array }
const secretOf = (name: string) => portable.hash('sha256', utf8(name))
export function ed25519Signer(name: string): RawSigner {
  const raw = ed25519.getPublicKey(secretOf(name))
  return { raw, algorithm: 'ed25519', publicKey: { kind: 'ed25519', raw }, sign: message => ed25519.sign(message, secretOf(name)) }
}
export function mlDsaSigner(name: string): RawSigner {
  const { publicKey: raw, secretKey } = ml_dsa44.keygen(secretOf(name))
  return { raw, algorithm: 'ml-dsa-44', publicKey: { kind: 'ml-dsa-44', raw }, sign: message => ml_dsa44.sign(message, secretKey, { extraEntropy: false }) }
}
export function p256Signer(name: string): RawSigner {
  const raw = p256.getPublicKey(secretOf(name), false)
  return { raw, algorithm: 'ecdsa-p256-sha256', publicKey: { kind: 'p256', raw }, sign: message => p256.sign(message, secretOf(name)) }
}
