// A passkey approves a charter: Chromium's own authenticator makes the key and signs, in a page that knows nothing of charters.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { chromium, type Page } from 'playwright-core'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { spkiToKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import { actBytes, founded, parseAct, verifyAct, webauthnAct, type Act, type ActBody } from './acts.ts'
import { charterDigest } from './canonical.ts'
import { BOX } from './documents.fixture.ts'
import { webauthnChallenge, webauthnKey } from './keys.ts'
import { charter, ok, refused } from './scene.fixture.ts'

const CHROMIUM = '/usr/bin/chromium' // Debian's package

test('a passkey of a browser founds a charter, and its assertion is good for nothing else', { skip: existsSync(CHROMIUM) ? false : 'no Chromium on this machine', timeout: 120_000 }, async () => {
  await withPage(async page => {
    const spki = await page.evaluate(makeKey)
    const box = charter(BOX.replace(/ed25519:[0-9a-f]{64}/, webauthnKey('localhost', spkiToKey(fromBase64(spki)))))
    const digest = charterDigest(p, box)
    const body: ActBody = { verb: 'approve', lineage: digest, digest, epoch: 1, party: 'me' }
    const { authenticatorData, clientDataJSON, signature } = await page.evaluate(sign, toBase64(webauthnChallenge(p, actBytes(body))))
    const key = box.parties['me']?.keys[0] ?? assert.fail()
    const act = parseAct({ ...webauthnAct(body, key, { authenticatorData: fromBase64(authenticatorData), clientDataJSON: fromBase64(clientDataJSON), signature: fromBase64(signature) }) })
    ok(verifyAct(p, box, act))
    ok(founded(p, box, digest, [act]))
    refused(verifyAct(p, box, { ...act, verb: 'revoke' }), 'charter.act', /challenge$/)
    refused(verifyAct(p, charter(BOX.replace(/ed25519:[0-9a-f]{64}/, key.replace('localhost', 'bank.example'))), { ...act, key: key.replace('localhost', 'bank.example') }), 'charter.act', /origin$/)
  })
})

/** In the page: a new key, as its SubjectPublicKeyInfo. */
async function makeKey(): Promise<string> {
  const user = { id: new Uint8Array([1]), name: 'me', displayName: 'me' }
  const made = await navigator.credentials.create({ publicKey: { rp: { id: 'localhost', name: 'a box' }, user, challenge: new Uint8Array(32), pubKeyCredParams: [{ type: 'public-key', alg: -7 }], authenticatorSelection: { residentKey: 'required', userVerification: 'required' } } })
  const spki = ((made as PublicKeyCredential).response as AuthenticatorAttestationResponse).getPublicKey() // what a creation answers
  return btoa(String.fromCharCode(...new Uint8Array(spki ?? new ArrayBuffer(0))))
}

/** In the page: an assertion over these 32 bytes. */
async function sign(challenge: string): Promise<{ authenticatorData: string; clientDataJSON: string; signature: string }> {
  const text = (buffer: ArrayBuffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  const got = await navigator.credentials.get({ publicKey: { challenge: Uint8Array.from(atob(challenge), letter => letter.charCodeAt(0)), rpId: 'localhost', userVerification: 'required' } })
  const { authenticatorData, clientDataJSON, signature } = (got as PublicKeyCredential).response as AuthenticatorAssertionResponse // what a request answers
  return { authenticatorData: text(authenticatorData), clientDataJSON: text(clientDataJSON), signature: text(signature) }
}

/** A page on the loopback, in a browser with an authenticator whose person is there and verified. */
async function withPage(work: (page: Page) => Promise<void>): Promise<void> {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><meta charset="utf-8">'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // a TCP server, once it listens
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage()
    const session = await page.context().newCDPSession(page)
    await session.send('WebAuthn.enable')
    await session.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } })
    await page.goto(`http://localhost:${port}/`, { timeout: 110_000 })
    await work(page)
  } finally {
    await browser.close()
    server.close()
  }
}

test('the kept approval of a passkey holds for ever, and with any byte of it changed it does not', () => {
  const { key, act } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'vectors', 'fixtures', 'passkey.json'), 'utf8')) as { key: string; act: Act } // kept by us
  const box = charter(BOX.replace(/ed25519:[0-9a-f]{64}/, key))
  ok(verifyAct(p, box, act))
  const { webauthn = assert.fail() } = act
  const bytes = fromBase64(webauthn.clientDataJSON)
  for (let at = 0; at < bytes.length; at++) {
    const other = bytes.slice()
    other[at] = (other[at] ?? 0) ^ 1
    assert.ok(!verifyAct(p, box, { ...act, webauthn: { ...webauthn, clientDataJSON: toBase64(other) } }).ok, `byte ${at}`)
  }
})
