// Approvals by every kind of key a charter may list, and assertions of authenticators with one thing wrong at a time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { ml_dsa44, ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import fc from 'fast-check'
import { fromBase64, toBase64, toBase64Url } from '../bytes/base64.ts'
import { concat } from '../bytes/bytes.ts'
import { utf8 } from '../bytes/text.ts'
import { ecdsaToDer, formatKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import type { PublicKey, Signer } from '../crypto/primitives.ts'
import { actBytes, founded, parseAct, signAct, verifyAct, webauthnAct, type Act, type ActBody } from './acts.ts'
import { canonicalCharter, charterDigest } from './canonical.ts'
import { BOX } from './documents.fixture.ts'
import { keyIdentity, parsePartyKey, webauthnChallenge, webauthnKey } from './keys.ts'
import { parseCharter } from './parse.ts'
import { charter, ok, refused } from './scene.fixture.ts'
import type { Charter } from './types.ts'

const secret = p.hash('sha256', utf8('a key of the person'))
const point: PublicKey = { kind: 'p256', raw: p256.getPublicKey(secret, false) }
const edwards: PublicKey = { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }
const SIGNERS: Signer[] = [
  { algorithm: 'ed25519', publicKey: edwards, sign: message => ed25519.sign(message, secret) },
  { algorithm: 'ecdsa-p256-sha256', publicKey: point, sign: message => p256.sign(message, secret) },
  ...([['ml-dsa-44', ml_dsa44], ['ml-dsa-65', ml_dsa65]] as const).map(([kind, scheme]): Signer => {
    const pair = scheme.keygen(secret)
    return { algorithm: kind, publicKey: { kind, raw: pair.publicKey }, sign: message => scheme.sign(message, pair.secretKey) }
  }),
]

/** A box whose one party has these keys. */
function boxOf(...keys: string[]): Charter {
  return ok(parseCharter(canonicalCharter({ ...charter(BOX), parties: { me: { keys: keys.sort() } } })))
}
const about = (box: Charter): ActBody => ({ verb: 'approve', lineage: charterDigest(p, box), digest: charterDigest(p, box), epoch: 1, party: 'me' })

/** What an authenticator and a browser make of a request, with anything of it exchanged. */
interface Odd { readonly type?: unknown; readonly challenge?: string; readonly origin?: unknown; readonly client?: object; readonly rp?: string; readonly flags?: number; readonly more?: Uint8Array; readonly kind?: 'p256' | 'ed25519'; readonly raw?: boolean }
function assert_(body: ActBody, key: string, odd: Odd = {}): Act {
  const challenge = odd.challenge ?? toBase64Url(webauthnChallenge(p, actBytes(body)))
  const clientDataJSON = utf8(JSON.stringify({ type: 'type' in odd ? odd.type : 'webauthn.get', challenge, origin: 'origin' in odd ? odd.origin : 'https://bank.example', crossOrigin: false, ...odd.client }))
  const authenticatorData = concat(p.hash('sha256', utf8(odd.rp ?? 'bank.example')), new Uint8Array([odd.flags ?? 0x1d, 0, 0, 0, 7]), odd.more ?? new Uint8Array(0))
  const signed = concat(authenticatorData, p.hash('sha256', clientDataJSON))
  const raw = odd.kind === 'ed25519' ? ed25519.sign(signed, secret) : p256.sign(signed, secret)
  return webauthnAct(body, key, { authenticatorData, clientDataJSON, signature: odd.kind === 'ed25519' || odd.raw === true ? raw : ecdsaToDer(raw) })
}
const PASSKEY = webauthnKey('bank.example', point)

for (const signer of SIGNERS) {
  test(`a party approves with ${signer.algorithm}, and its key signs nothing else`, () => {
    const box = boxOf(formatKey(signer.publicKey))
    const act = ok({ ok: true, value: parseAct({ ...signAct(signer, about(box)) }) })
    ok(verifyAct(p, box, act))
    ok(founded(p, box, charterDigest(p, box), [act]))
    refused(verifyAct(p, box, { ...act, epoch: 2 }), 'charter.act', /signature$/)
    refused(verifyAct(p, box, { ...act, webauthn: { authenticatorData: 'AAAA', clientDataJSON: 'AAAA' } }), 'charter.act', /webauthn$/)
  })
}
for (const [kind, key] of [['p256', point], ['ed25519', edwards]] as const) {
  test(`a party approves with a passkey (${kind}) and nobody can use the assertion for another act`, () => {
    const box = boxOf(webauthnKey('bank.example', key))
    const act = parseAct({ ...assert_(about(box), webauthnKey('bank.example', key), { kind }) })
    ok(verifyAct(p, box, act))
    ok(founded(p, box, charterDigest(p, box), [act]))
    for (const change of [{ verb: 'veto' }, { epoch: 2 }, { party: 'me', subject: 'x' }]) refused(verifyAct(p, box, { ...act, ...change } as Act), 'charter.act', /challenge$/)
    const { webauthn: _, ...bare } = act
    refused(verifyAct(p, box, bare), 'charter.act', /webauthn$/)
  })
}

const box = boxOf(PASSKEY)
const WRONG: [string, Odd, RegExp, string?][] = [
  ['another challenge', { challenge: toBase64Url(new Uint8Array(32)) }, /challenge$/], ['a registration', { type: 'webauthn.create' }, /type$/], ['no type', { type: undefined }, /type$/],
  ['another domain', { rp: 'evil.example' }, /rpIdHash$/], ['another origin', { origin: 'https://evil.example' }, /origin$/], ['an origin that only ends alike', { origin: 'https://evilbank.example' }, /origin$/],
  ['an origin in the clear', { origin: 'http://bank.example' }, /origin$/], ['an app as origin', { origin: 'android:apk-key-hash:abc' }, /origin$/], ['no origin', { origin: undefined }, /origin$/], ['an origin that is no text', { origin: { a: 1 } }, /origin$/],
  ['a page inside another', { client: { crossOrigin: true } }, /crossOrigin$/], ['a top origin', { client: { topOrigin: 'https://bank.example' } }, /crossOrigin$/], ['crossOrigin of another kind', { client: { crossOrigin: 'no' } }, /crossOrigin$/],
  ['nobody there', { flags: 0x04 }, /flags$/], ['nobody verified', { flags: 0x01 }, /flags$/], ['a reserved bit', { flags: 0x07 }, /flags$/], ['another reserved bit', { flags: 0x25 }, /flags$/], ['a credential', { flags: 0x45 }, /flags$/], ['an extension', { flags: 0x85 }, /flags$/],
  ['bytes behind', { more: new Uint8Array(1) }, /authenticatorData$/], ['a signature in another form', { raw: true }, /signature/, 'bytes'],
]
for (const [name, odd, at, code = 'charter.act'] of WRONG) {
  test(`an assertion with ${name} is refused`, () => {
    const result = verifyAct(p, box, parseAct({ ...assert_(about(box), PASSKEY, odd) }))
    assert.ok(!result.ok, 'accepted')
    assert.ok(result.refusal.code.startsWith(code), JSON.stringify(result.refusal))
    assert.match(result.refusal.at, at)
  })
}
test('pages below the domain, other ports, and members that browsers add are no reason to refuse', () => {
  for (const odd of [{ origin: 'https://vote.bank.example' }, { origin: 'https://bank.example:8443' }, { client: { crossOrigin: undefined, other: 'may be added here' } }]) ok(verifyAct(p, box, assert_(about(box), PASSKEY, odd)))
  const local = boxOf(webauthnKey('localhost', point))
  const act = (origin: string) => assert_(about(local), webauthnKey('localhost', point), { rp: 'localhost', origin })
  ok(verifyAct(p, local, act('http://localhost:5173')))
  refused(verifyAct(p, local, act('http://localhost.evil.example')), 'charter.act', /origin$/)
})
test('an assertion with any byte changed is refused', () => {
  const act = assert_(about(box), PASSKEY)
  const change = (text: string, at: number, by: number) => {
    const bytes = fromBase64(text)
    bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ by
    return toBase64(bytes)
  }
  fc.assert(fc.property(fc.constantFrom('signature', 'authenticatorData', 'clientDataJSON'), fc.nat(), fc.integer({ min: 1, max: 255 }), (part, at, by) => {
    const { webauthn = assert.fail() } = act
    const changed = part === 'signature' ? { ...act, signature: change(act.signature, at, by) } : { ...act, webauthn: { ...webauthn, [part]: change(webauthn[part as 'clientDataJSON'], at, by) } } // the two names that are left
    return !verifyAct(p, box, changed).ok
  }), { numRuns: 150 })
})
test('an act carries an assertion of two texts and nothing else', () => {
  const act = assert_(about(box), PASSKEY)
  for (const webauthn of [7, null, [], {}, { authenticatorData: 'AA==' }, { ...act.webauthn, userHandle: 'AA==' }, { ...act.webauthn, clientDataJSON: '' }]) assert.throws(() => parseAct({ ...act, webauthn }), /charter\.act at act\.webauthn/)
  const huge = { ...act, webauthn: { authenticatorData: 'AAAA', clientDataJSON: toBase64(utf8(`{"a":"${'x'.repeat(5000)}"}`)) } }
  refused(verifyAct(p, box, parseAct(huge)), 'bytes.too-large')
})

test('a key has one spelling, and one public key is one key however it is spelled', () => {
  assert.deepEqual(parsePartyKey(PASSKEY), { key: point, rp: 'bank.example' })
  for (const bad of ['webauthn-p256', `webauthn-p256:${formatKey(point).slice(5)}`, `webauthn-p256::${formatKey(point).slice(5)}`, PASSKEY.replace('bank', 'Bank'), PASSKEY.replace('bank.example', '.example'), PASSKEY.replace('bank.example', 'bank..example'), PASSKEY.replace('bank.example', '-bank.example'), `${PASSKEY}00`, PASSKEY.replace('webauthn-p256', 'webauthn-ml-dsa-44'), `p384:04${'11'.repeat(96)}`, `webauthn-p384:bank.example:04${'11'.repeat(96)}`])
    assert.throws(() => parsePartyKey(bad), /crypto\.key/, bad)
  assert.equal(keyIdentity(PASSKEY), keyIdentity(webauthnKey('other.example', point)))
  const plain = formatKey(point)
  const parties = (change: object) => parseCharter(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(canonicalCharter(charter(BOX)))), parties: change }))
  refused(parties({ me: { keys: [plain, PASSKEY], need: 2 } }), 'charter.duplicate', /^parties\.me\.keys$/)
  refused(parties({ me: { keys: [PASSKEY] }, you: { keys: [plain] } }), 'charter.duplicate', /^parties\.you\.keys$/)
  refused(parties({ me: { keys: [PASSKEY, webauthnKey('other.example', point)] } }), 'charter.duplicate')
  refused(parties({ me: { keys: [PASSKEY.replace('bank.example', `${'a'.repeat(64)}.example`)] } }), 'crypto.key', /^parties\.me\.keys\[0\]$/)
  ok(parties({ me: { keys: [PASSKEY, formatKey(edwards)], need: 2 } }))
})
