/**
 * Who a broker is: its signing key, the key that deposits are sealed to, and the keys under which it keeps things. They
 * are made once and kept in a vault (a store that this machine alone uses), encrypted under the chip's sealing key: a
 * restart is the same broker, another chip or another measurement is not (attacks.md row 115). A broker on another machine
 * becomes the same one only by being given this identity, sealed, after its evidence was judged (`join.ts`).
 */
import { framed } from '@cloister/core/bytes/bytes'
import { toBase64, fromBase64 } from '@cloister/core/bytes/base64'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { hkdf } from '@cloister/core/crypto/hkdf'
import { hpkeKeyPair, type HpkeKeyPair } from '@cloister/core/crypto/hpke'
import { formatKey } from '@cloister/core/crypto/keys'
import type { Primitives, Random, Signer } from '@cloister/core/crypto/primitives'
import { refuse } from '@cloister/core/refusal'
import { generateSigner, importSigner } from '../crypto/node.ts'
import type { Store } from '../store/store.ts'

export interface Identity {
  readonly signer: Signer
  readonly key: string // formatted public key of the signer
  readonly seal: HpkeKeyPair
  /** Sign the checkpoints of the log: Ed25519, and ML-DSA-44 for the day when that is not enough. */
  readonly logSigners: readonly Signer[]
  /** For challenges, and for asset keys at rest. */
  readonly challengeKey: Uint8Array
  readonly restKey: Uint8Array
  /** For the tags of a store that brokers on several machines share. */
  readonly sharedKey: Uint8Array
  /** What another broker must be given to be this one. Secret. */
  readonly parts: Uint8Array
}

/** The key for a store's tags, so that only this chip under this measurement can have written it. */
export const storeKey = (p: Primitives, sealingKey: Uint8Array): Uint8Array => derive(p, sealingKey, 'store')

/** The identity in the store, or a new one when the store is new. Rejects with `store.corrupt` when it cannot be opened. */
export async function openIdentity(p: Primitives, store: Store, sealingKey: Uint8Array, random: Random): Promise<Identity> {
  const key = derive(p, sealingKey, 'identity')
  const kept = await store.get(IDENTITY) ?? await create(p, store, key, random)
  return identityOf(p, openBytes(p, key, kept, IDENTITY) ?? refuse('store.corrupt', IDENTITY, 'an identity sealed by this chip to this program', 'another one', 'open the store on the chip and with the program that made it'))
}

/** Keep an identity that another broker gave. A vault that has one keeps its own: refuses `store.locked`. */
export async function adoptIdentity(p: Primitives, vault: Store, sealingKey: Uint8Array, random: Random, parts: Uint8Array): Promise<Identity> {
  const identity = identityOf(p, parts)
  const written = await vault.write({ expect: [{ key: IDENTITY, value: undefined }], put: [{ key: IDENTITY, value: sealBytes(p, derive(p, sealingKey, 'identity'), parts, IDENTITY, random) }] })
  return written.moved ? refuse('store.locked', IDENTITY, 'a vault without an identity', 'one that has its own', 'start the joining broker with an empty vault') : identity
}

/** Does this vault hold an identity already? */
export const hasIdentity = async (vault: Store): Promise<boolean> => await vault.get(IDENTITY) !== undefined

function identityOf(p: Primitives, text: Uint8Array): Identity {
  // Made by `create` below, and sealed ever since: its shape is ours.
  const parts = JSON.parse(fromUtf8(text)) as Parts
  const master = fromBase64(parts.master)
  const signer = importSigner(parts.signer)
  return { parts: text, sharedKey: derive(p, master, 'shared store'), signer, logSigners: [importSigner(parts.log), importSigner(parts.logPq)], key: formatKey(signer.publicKey), seal: hpkeKeyPair(p, 'x-wing', fromBase64(parts.seal)), challengeKey: derive(p, master, 'challenge'), restKey: derive(p, master, 'rest') }
}

interface Parts { readonly signer: string; readonly log: string; readonly logPq: string; readonly seal: string; readonly master: string }
const IDENTITY = 'identity/broker'

/** Two brokers that start together on a new store agree on one identity: the first write stands. */
async function create(p: Primitives, store: Store, key: Uint8Array, random: Random): Promise<Uint8Array> {
  const parts: Parts = { signer: generateSigner('p256').exportPem(), log: generateSigner('ed25519', random(32)).exportPem(), logPq: generateSigner('ml-dsa-44').exportPem(), seal: toBase64(random(32)), master: toBase64(random(32)) }
  const sealed = sealBytes(p, key, utf8(JSON.stringify(parts)), IDENTITY, random)
  const written = await store.write({ expect: [{ key: IDENTITY, value: undefined }], put: [{ key: IDENTITY, value: sealed }] })
  return (written.moved ? await store.get(IDENTITY) : sealed) ?? refuse('store.locked', IDENTITY, 'an identity', 'none, though another writer was first')
}

/** AES-256-GCM under a fresh nonce, bound to the name it is kept under. */
export function sealBytes(p: Primitives, key: Uint8Array, plaintext: Uint8Array, name: string, random: Random): Uint8Array {
  const nonce = random(12)
  const sealed = p.aeadSeal('aes-256-gcm', key, nonce, utf8(name), plaintext)
  const out = new Uint8Array(12 + sealed.length)
  out.set(nonce)
  out.set(sealed, 12)
  return out
}

export function openBytes(p: Primitives, key: Uint8Array, sealed: Uint8Array, name: string): Uint8Array | undefined {
  return p.aeadOpen('aes-256-gcm', key, sealed.subarray(0, 12), utf8(name), sealed.subarray(12))
}

const derive = (p: Primitives, key: Uint8Array, what: string) => hkdf(p, 'sha256', key, new Uint8Array(0), framed('cloister/broker-key/1', utf8(what)), 32)
