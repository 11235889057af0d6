/**
 * What every implementation of the `Primitives` port must do, as named checks that throw. Both ports of Cloister run it
 * (the portable one in browsers too); whoever writes a third runs it as well. Values stand in `published.ts` with their
 * source, or below beside their clause. Trusts nothing.
 */
import { concat, equal } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { hkdf } from './hkdf.ts'
import { hpkeKeyPair, hpkeOpen, hpkeSeal, receiveContext, sendContext, type HpkeSuite } from './hpke.ts'
import { rawKey, spkiToKey } from './keys.ts'
import type { Primitives, PublicKey } from './primitives.ts'
import { AEADS, HPKE, KEMS, SIGNATURES, type HpkeVector, type SignatureVector } from './published.ts'

export interface Check { readonly name: string; readonly run: (p: Primitives) => void }

/**
 * All checks, in the order of the port.
 *
 * @example
 * for (const check of suite) test(check.name, () => check.run(portable))
 */
export const suite: readonly Check[] = [
  { name: 'hashes of "abc" (FIPS 180-4, FIPS 202)', run: hashes },
  { name: 'HMAC (RFC 4231 test case 2) and HKDF (RFC 5869 A.1), which gives at most 255 hashes', run: macs },
  { name: 'X25519 (RFC 7748 section 6.1), and no agreement with a point of small order or another length', run: agreement },
  ...SIGNATURES.map(one => ({ name: `signature, ${one.source}`, run: (p: Primitives) => signature(p, one) })),
  { name: 'a verified signature is bound to message, key, algorithm and every bit (attacks.md row 29)', run: binding },
  { name: 'RSASSA-PSS: an encoded message is refused in any part that is not as RFC 8017 section 9.1.2 asks', run: encodedMessages },
  { name: 'malformed keys of every kind verify nothing and throw nothing (attacks.md row 29)', run: malformedKeys },
  { name: 'AEAD: published values, and nothing opens under another tag, nonce, key or additional data', run: aead },
  { name: 'ML-KEM-768: decapsulation, round trip, implicit rejection', run: kem },
  { name: 'ML-KEM-768: keys beyond the modulus and of other lengths (FIPS 203 section 7.2)', run: kemKeys },
  ...HPKE.map(one => ({ name: `HPKE, ${one.source}`, run: (p: Primitives) => hpke(p, one) })),
  { name: 'HPKE: nothing opens when any part was changed', run: hpkeTampered },
]

function hashes(p: Primitives): void {
  const abc = utf8('abc')
  same(p.hash('sha256', abc), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  same(p.hash('sha384', abc), 'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7')
  same(p.hash('sha512', abc), 'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f')
  same(p.sha3_256(abc), '3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532')
  same(p.shake256(new Uint8Array(0), 32), '46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f')
  same(p.shake256(abc, 0), '')
}

function macs(p: Primitives): void {
  const [key, data] = [utf8('Jefe'), utf8('what do ya want for nothing?')]
  same(p.hmac('sha256', key, data), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843')
  same(p.hmac('sha384', key, data), 'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649')
  same(p.hmac('sha512', key, data), '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737')
  const okm = hkdf(p, 'sha256', new Uint8Array(22).fill(0x0b), fromHex('000102030405060708090a0b0c'), fromHex('f0f1f2f3f4f5f6f7f8f9'), 42)
  same(okm, '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865')
  for (const [name, length] of [['sha256', 32], ['sha384', 48], ['sha512', 64]] as const) {
    need(hkdf(p, name, key, data, data, 255 * length).length === 255 * length, `255 hashes of ${name}`)
    throws(() => hkdf(p, name, key, data, data, 255 * length + 1), `more than 255 hashes of ${name}`)
  }
}

function agreement(p: Primitives): void {
  const alice = fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a')
  const bob = fromHex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')
  same(p.x25519Public(alice), '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a')
  same(p.x25519Public(bob), 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')
  const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'
  same(p.x25519(alice, p.x25519Public(bob)), shared)
  same(p.x25519(bob, p.x25519Public(alice)), shared)
  for (const peer of ['00'.repeat(32), `01${'00'.repeat(31)}`, 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', `ecff${'ff'.repeat(29)}7f`]) {
    need(p.x25519(alice, fromHex(peer)) === undefined, `small order ${peer}`)
  }
  const peer = p.x25519Public(bob)
  need(p.x25519(alice, concat(peer, new Uint8Array(1))) === undefined, 'a peer of 33 bytes')
  need(p.x25519(alice, peer.subarray(1)) === undefined, 'a peer of 31 bytes')
}

function signature(p: Primitives, one: SignatureVector): void {
  need(p.verify(one.algorithm, keyOf(one), fromHex(one.message), fromHex(one.signature)) === one.valid, one.valid ? 'holds' : 'does not hold')
}

function binding(p: Primitives): void {
  for (const one of SIGNATURES.filter(vector => vector.valid)) {
    const [key, message, good] = [keyOf(one), fromHex(one.message), fromHex(one.signature)]
    need(!p.verify(one.algorithm, key, concat(message, new Uint8Array(1)), good), `${one.algorithm}: another message`)
    need(!p.verify(one.algorithm, key, message, concat(good, new Uint8Array(1))), `${one.algorithm}: a longer signature`)
    need(!p.verify(one.algorithm, key, message, good.subarray(0, -1)), `${one.algorithm}: a shorter signature`)
    need(!p.verify(one.algorithm, key, message, new Uint8Array(good.length)), `${one.algorithm}: zeros`)
    for (const at of [0, good.length >> 1, good.length - 1]) need(!p.verify(one.algorithm, key, message, flipped(good, at)), `${one.algorithm}: bit of byte ${at}`)
    for (const other of SIGNATURES.filter(vector => vector.algorithm !== one.algorithm)) need(!p.verify(other.algorithm, key, message, good), `${one.algorithm} as ${other.algorithm}`)
  }
}

/**
 * Signatures of any encoded message, without a private key: the modulus s³ - EM is made for them, so that s³ is EM.
 * It is odd, for s is and EM ends with 0xbc, and has 2048 bits, for s³ is a little more than 2^2048.
 */
function encodedMessages(p: Primitives): void {
  const message = utf8('message')
  const s = (16n * 2n ** 682n) / 10n | 1n
  const verify = (change: (db: Uint8Array, em: Uint8Array) => void = () => undefined, after: (em: Uint8Array) => void = () => undefined) => {
    const db = concat(new Uint8Array(190), new Uint8Array([1]), new Uint8Array(32).fill(5))
    const h = p.hash('sha256', concat(new Uint8Array(8), p.hash('sha256', message), db.subarray(191)))
    change(db, h)
    const mask = concat(...Array.from({ length: 7 }, (_, i) => p.hash('sha256', concat(h, new Uint8Array([0, 0, 0, i])))))
    const em = concat(db.map((byte, i) => byte ^ (mask[i] ?? 0)), h, new Uint8Array([0xbc]))
    em[0] = (em[0] ?? 0) & 0x7f
    after(em)
    const n = s ** 3n - BigInt(`0x${toHex(em)}`)
    const key: PublicKey = { kind: 'rsa', n: fromHex(n.toString(16)), e: new Uint8Array([3]) }
    return p.verify('rsa-pss-sha256', key, message, fromHex(s.toString(16).padStart(512, '0')))
  }
  need(verify(), 'an encoded message as it is made')
  for (const at of [0, 1, 100, 189]) need(!verify(db => { db[at] = 2 }), `padding that is not zero, byte ${at}`)
  for (const mark of [0, 2, 0x81]) need(!verify(db => { db[190] = mark }), `${mark} before the salt`)
  need(!verify(db => { db[191] = 6 }), 'another salt')
  need(!verify((_, h) => { h[0] = (h[0] ?? 0) ^ 1 }), 'another hash')
  need(!verify(undefined, em => { em[255] = 0xbe }), 'another trailer')
}

function malformedKeys(p: Primitives): void {
  for (const one of SIGNATURES.filter(vector => vector.valid)) {
    const key = keyOf(one)
    const [message, good] = [fromHex(one.message), fromHex(one.signature)]
    const bad: PublicKey[] = key.kind === 'rsa'
      ? [{ ...key, n: key.n.subarray(1) }, { ...key, n: new Uint8Array(0) }, { ...key, e: new Uint8Array([1]) }, { ...key, e: new Uint8Array([2]) }, { ...key, e: new Uint8Array(0) }, { ...key, n: new Uint8Array(2000).fill(255) }, { kind: 'p256', raw: key.n }]
      : [{ ...key, raw: new Uint8Array(0) }, { ...key, raw: key.raw.subarray(1) }, { ...key, raw: concat(key.raw, new Uint8Array(1)) }, { ...key, raw: key.raw.map(() => 255) }, { ...key, raw: new Uint8Array(key.raw.length) }, { ...key, raw: flipped(key.raw, key.raw.length - 1) }, { kind: 'rsa', n: key.raw, e: new Uint8Array([3]) }]
    for (const [i, broken] of bad.entries()) need(!p.verify(one.algorithm, broken, message, good), `${one.algorithm}: broken key ${i}`)
  }
  // Under the neutral element R = B·s, any message: libraries disagree, the port does not (core/crypto/ed25519.ts).
  const base = fromHex(`58${'66'.repeat(31)}`)
  const forged = concat(base, new Uint8Array([1]), new Uint8Array(31))
  for (const weak of [`01${'00'.repeat(31)}`, `01${'00'.repeat(30)}80`, `ee${'ff'.repeat(30)}7f`]) {
    need(!p.verify('ed25519', { kind: 'ed25519', raw: fromHex(weak) }, utf8('any'), forged), `Ed25519 key ${weak}`)
  }
}

function aead(p: Primitives): void {
  for (const one of AEADS) {
    const [key, nonce, aad, plaintext, ciphertext] = [one.key, one.nonce, one.aad, one.plaintext, one.ciphertext].map(hex => fromHex(hex)) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array] // five in, five out
    same(p.aeadSeal(one.name, key, nonce, aad, plaintext), one.ciphertext)
    same(p.aeadOpen(one.name, key, nonce, aad, ciphertext), one.plaintext)
    const open = (k: Uint8Array, n: Uint8Array, a: Uint8Array, c: Uint8Array) => p.aeadOpen(one.name, k, n, a, c)
    need(open(flipped(key, 0), nonce, aad, ciphertext) === undefined, 'another key')
    need(open(key, flipped(nonce, 11), aad, ciphertext) === undefined, 'another nonce')
    need(open(key, nonce, concat(aad, new Uint8Array(1)), ciphertext) === undefined, 'other additional data')
    for (let at = 0; at < ciphertext.length; at++) need(open(key, nonce, aad, flipped(ciphertext, at)) === undefined, `byte ${at}`)
    for (const length of [0, 15, ciphertext.length - 1]) need(open(key, nonce, aad, ciphertext.subarray(0, length)) === undefined, `cut to ${length}`)
    const empty = p.aeadSeal(one.name, key, nonce, new Uint8Array(0), new Uint8Array(0))
    need(empty.length === 16 && open(key, nonce, new Uint8Array(0), empty)?.length === 0, 'nothing, sealed')
    throws(() => p.aeadSeal(one.name, concat(key, key).subarray(0, key.length === 16 ? 32 : 16), nonce, aad, plaintext), 'a key of another cipher')
  }
}

function kem(p: Primitives): void {
  for (const one of KEMS) {
    const [seed, ciphertext] = [fromHex(one.seed), fromHex(one.ciphertext)]
    same(p.mlkemDecapsulate(seed, ciphertext), one.secret)
    const rejected = p.mlkemDecapsulate(seed, flipped(ciphertext, 7))
    need(rejected !== undefined && toHex(rejected) !== one.secret && equal(rejected, p.mlkemDecapsulate(seed, flipped(ciphertext, 7)) ?? seed), 'implicit rejection, the same each time')
    need(p.mlkemDecapsulate(seed, ciphertext.subarray(1)) === undefined && p.mlkemDecapsulate(seed, concat(ciphertext, new Uint8Array(1))) === undefined, 'a ciphertext of another length')
    const made = p.mlkemEncapsulate(p.mlkemPublic(seed), new Uint8Array(32).fill(9))
    need(made !== undefined && equal(p.mlkemDecapsulate(seed, made.ciphertext) ?? seed, made.secret), 'round trip')
  }
}

function kemKeys(p: Primitives): void {
  const good = p.mlkemPublic(new Uint8Array(64).fill(5))
  const coins = new Uint8Array(32).fill(1)
  need(good.length === 1184 && p.mlkemEncapsulate(good, coins) !== undefined, 'a good key')
  const beyond = concat(new Uint8Array([0xff, 0xff, 0xff]), good.subarray(3)) // two coefficients of 4095, the modulus is 3329
  for (const bad of [beyond, good.subarray(1), concat(good, new Uint8Array(1)), new Uint8Array(0)]) need(p.mlkemEncapsulate(bad, coins) === undefined, `a key of ${bad.length} bytes`)
}

function hpke(p: Primitives, one: HpkeVector): void {
  const suiteOf: HpkeSuite = { kem: one.kem, kdf: 'hkdf-sha256', aead: one.aead }
  const [secret, enc, info, plaintext] = [fromHex(one.secret), fromHex(one.enc), fromHex(one.info), fromHex(one.plaintext)]
  const pair = hpkeKeyPair(p, one.kem, secret)
  same(p.hash('sha256', pair.publicKey), one.publicSha256)
  const received = receiveContext(p, suiteOf, secret, enc, info)
  need(received.ok, 'the encapsulated key')
  if (!received.ok) return
  same(received.value.key, one.key)
  for (const { sequence, aad, ciphertext } of one.encryptions) {
    same(p.aeadOpen(one.aead, received.value.key, received.value.nonce(sequence), fromHex(aad), fromHex(ciphertext)), one.plaintext)
  }
  for (const { context, value } of one.exports) same(received.value.exported(fromHex(context), 32), value)
  const first = one.encryptions[0]
  const opened = hpkeOpen(p, suiteOf, { secret, enc, info, aad: fromHex(first?.aad ?? ''), ciphertext: fromHex(first?.ciphertext ?? '') })
  need(opened.ok && equal(opened.value, plaintext), 'single shot')
  const sent = sendContext(p, suiteOf, pair.publicKey, info, () => fromHex(one.ephemeral))
  if (equal(sent.enc, enc)) same(sent.context.key, one.key)
  else need(one.kem === 'x-wing' && p.name === 'node', 'the same sender from the same coins, unless the library draws its own')
}

function hpkeTampered(p: Primitives): void {
  for (const kemName of ['x25519', 'x-wing'] as const) {
    const suiteOf: HpkeSuite = { kem: kemName, kdf: 'hkdf-sha256', aead: 'aes-256-gcm' }
    const { publicKey, secret } = hpkeKeyPair(p, kemName, new Uint8Array(32).fill(3))
    const [info, aad, plaintext] = [utf8('info'), utf8('aad'), utf8('secret')]
    const sealed = hpkeSeal(p, suiteOf, { to: publicKey, info, aad, plaintext }, length => new Uint8Array(length).fill(7))
    const good = { secret, info, aad, ...sealed }
    const opens = (change: Partial<typeof good>, as: HpkeSuite = suiteOf) => hpkeOpen(p, as, { ...good, ...change }).ok
    need(opens({}), 'as sealed')
    need(!opens({ info: utf8('Info') }) && !opens({ aad: utf8('') }) && !opens({ secret: flipped(secret, 1) }), 'other info, data, key')
    need(!opens({}, { ...suiteOf, aead: 'chacha20-poly1305' }), 'another suite')
    for (const at of [0, sealed.enc.length - 32, sealed.enc.length - 2]) need(!opens({ enc: flipped(sealed.enc, at) }), `enc byte ${at}`)
    for (const enc of [sealed.enc.subarray(1), concat(sealed.enc, new Uint8Array(1)), new Uint8Array(sealed.enc.length)]) need(!opens({ enc }), `enc of ${enc.length} bytes`)
    for (let at = 0; at < sealed.ciphertext.length; at++) need(!opens({ ciphertext: flipped(sealed.ciphertext, at) }), `ciphertext byte ${at}`)
  }
}

function keyOf(one: SignatureVector): PublicKey {
  return one.algorithm === 'ml-dsa-44' || one.algorithm === 'ml-dsa-65' ? rawKey(one.algorithm, fromHex(one.key)) : spkiToKey(fromHex(one.key))
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const out = bytes.slice()
  out[at] = (out[at] ?? 0) ^ 1
  return out
}

function same(got: Uint8Array | undefined, hex: string): void {
  need(got !== undefined && toHex(got) === hex, `${got === undefined ? 'nothing' : toHex(got)} is not ${hex}`)
}

function throws(run: () => unknown, what: string): void {
  let quiet = true
  try {
    run()
  } catch {
    quiet = false
  }
  need(!quiet, `${what} must throw`)
}

function need(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the port fails: ${what}`)
}
