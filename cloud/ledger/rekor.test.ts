// The Rekor face: what is logged comes with a proof that our own verifier takes; what is refused says why; reads are the log's files.
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import { Hono } from 'hono'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { spkiToKey } from '@cloister/core/crypto/keys'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { ED25519, noteKey, parseNote } from '@cloister/core/log/note'
import { flatPolicy } from '@cloister/core/log/policy'
import { formatProof, verifyProof } from '@cloister/core/log/proof'
import { parseBundle } from '@cloister/core/log/tiles'
import { orRefuse, refusalOf } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { withFault } from '../store/faults.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import type { Store } from '../store/store.ts'
import { openLedger, type Ledger } from './ledger.ts'
import { rekorFace, rekorLogId, rekorTrustedRoot, type TransparencyLogEntry } from './rekor.ts'
import { Sequencer } from './sequencer.ts'
import { openWitness, type Witness } from './witness.ts'

const KEY = new Uint8Array(32)
const signer = generateSigner('ed25519')
const user = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const request = (text: string) => JSON.stringify({ hashedRekordRequestV002: {
  digest: createHash('sha256').update(text).digest('base64'),
  signature: { content: sign('sha256', Buffer.from(text), user.privateKey).toString('base64'), verifier: { publicKey: { rawBytes: user.publicKey.export({ format: 'der', type: 'spki' }).toString('base64') }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } },
} })

async function open(path = '', witness: Witness = openWitness(p, 'w.test', generateSigner('ed25519'), openMemoryStore(emptyDisk(), KEY)), store: Store = openMemoryStore(emptyDisk(), KEY)): Promise<{ app: Hono; ledger: Ledger; post: (body: string | Uint8Array) => Promise<Response> }> {
  const ledger = await openLedger({ p, store, origin: 'log.test', signers: [signer, generateSigner('ml-dsa-44')], witnesses: [witness], quorum: 1 })
  const app = new Hono()
  rekorFace(app, path, new Sequencer(ledger, { clock: () => 1000 }), p)
  return { app, ledger, post: async body => app.request(`${path}/api/v2/log/entries`, { method: 'POST', body: typeof body === 'string' ? body : Uint8Array.from(body) }) }
}
/** What the face answers is checked by what is read from it. */
const json = async <T>(response: Response): Promise<T> => await response.json() as T
const entryOf = (response: Response) => json<TransparencyLogEntry>(response)

test('an entry is logged, and its bundle fields are a proof that our verifier takes', async () => {
  const { ledger, post } = await open()
  const answers = await Promise.all(Array.from({ length: 9 }, async (_, i) => post(request(`artifact ${i}`))))
  assert.deepEqual(new Set(answers.map(answer => answer.status)), new Set([201]))
  const entries = await Promise.all(answers.map(entryOf))
  assert.deepEqual(entries.map(({ logIndex }) => Number(logIndex)).sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8])
  for (const entry of entries) {
    const { inclusionProof: proof, logIndex } = entry
    const body = fromBase64(entry.canonicalizedBody)
    const checkpoint = orRefuse(parseCheckpoint(proof.checkpoint.envelope))
    const text = formatProof({ index: Number(proof.logIndex), path: proof.hashes.map(hash => fromBase64(hash)), checkpoint: proof.checkpoint.envelope })
    assert.equal(orRefuse(verifyProof(p, body, text, ledger.policy)).witnesses, 1)
    assert.deepEqual([proof.logIndex, proof.treeSize, proof.rootHash], [logIndex, String(checkpoint.size), toBase64(checkpoint.root)])
    assert.deepEqual([entry.kindVersion, entry.integratedTime], [{ kind: 'hashedrekord', version: '0.0.2' }, '0'])
    assert.ok(equal(await ledger.entry(Number(logIndex)) ?? KEY, body))
    assert.ok(!verifyProof(p, utf8('another'), text, ledger.policy).ok)
  }
})

test('the log id is the key id of the Ed25519 signature, not truncated; a log without one has no such face', async () => {
  const { ledger, post } = await open()
  const { logId: { keyId }, inclusionProof } = await entryOf(await post(request('a')))
  const [own] = parseNote(inclusionProof.checkpoint.envelope).signatures
  assert.equal(fromBase64(keyId).length, 32)
  assert.deepEqual([...own?.keyId ?? []], [...fromBase64(keyId).subarray(0, 4)])
  assert.equal(signer.publicKey.kind, 'ed25519')
  const known = noteKey(p, 'log.test', ED25519, signer.publicKey.kind === 'ed25519' ? signer.publicKey.raw : KEY)
  assert.deepEqual(rekorLogId(p, ledger.policy).subarray(0, 4), known.keyId)
  const { tlogs: [log, ...more] } = rekorTrustedRoot(p, ledger.policy)
  assert.deepEqual([log?.baseUrl, log?.logId, log?.checkpointKeyId, more.length], ['https://log.test', { keyId }, { keyId }, 0])
  assert.deepEqual(spkiToKey(fromBase64(log?.publicKey.rawBytes ?? '')), signer.publicKey)
  const [, hybrid] = ledger.policy.logs
  assert.throws(() => rekorLogId(p, flatPolicy([hybrid?.vkey ?? ''], [], 0)), /crypto\.algorithm/)
})

test('the same entry twice is two entries, each with its own proof', async () => {
  const { ledger, post } = await open()
  const body = request('once more')
  const [one, two] = [await entryOf(await post(body)), await entryOf(await post(body))]
  assert.deepEqual([one.logIndex, two.logIndex, one.canonicalizedBody === two.canonicalizedBody], ['0', '1', true])
  assert.equal(ledger.size(), 2)
})

test('what is refused is not logged, and the status says why in words that clients show', async () => {
  const { ledger, post } = await open()
  const cases: readonly (readonly [string | Uint8Array, RegExp])[] = [
    ['{', /^json\.syntax at /], [new Uint8Array([0xff]), /^bytes\.encoding at /], ['{}', /^log\.request at request\.hashedRekordRequestV002: expected a value/],
    [request('a').replace('PKIX_ECDSA_P256_SHA_256', 'PKIX_ED25519'), /^crypto\.key at /],
    [request('a').replace(/"digest":"[^"]*"/, `"digest":"${toBase64(KEY)}"`), /^crypto\.signature at hashedRekordRequestV002\.signature: expected a signature by this key/],
    [request('a').replace('publicKey', 'x509Certificate'), /^x509\.parse at .*, got a public key; send it as publicKey, or a certificate that carries it$/],
    ['x'.repeat((1 << 20) + 1), /^bytes\.too-large at body: expected at most 1048576 bytes, got more$/],
  ]
  for (const [body, words] of cases) {
    const answer = await post(body)
    const { code, message, details } = await json<{ code: number; message: string; details: unknown[] }>(answer)
    assert.deepEqual([answer.status, code, details], [400, 3, []], message)
    assert.match(message, words)
  }
  const large = request('a').replace(/"content":"/, `"content":"${'A'.repeat(90_000)}`)
  assert.equal((await post(large)).status, 400)
  assert.equal(ledger.size(), 0)
})

test('without its witnesses the log takes an entry back to nobody: 503, and the client may try again', async () => {
  const real = openWitness(p, 'w.test', generateSigner('ed25519'), openMemoryStore(emptyDisk(), KEY))
  let up = false
  const { post } = await open('', { vkey: real.vkey, cosign: async (asked, now) => (up ? real.cosign(asked, now) : { ok: false, refusal: refusalOf('log.unavailable', 'witness', 'an answer', 'none') }) })
  const answer = await post(request('a'))
  assert.deepEqual([answer.status, (await json<{ code: number }>(answer)).code], [503, 14])
  up = true
  assert.equal((await entryOf(await post(request('a')))).logIndex, '1', 'the first is durable, and was shown to nobody before now')
})

test('a store that fails is not the fault of the request', async () => {
  const { post } = await open('', undefined, withFault(openMemoryStore(emptyDisk(), KEY), { mode: 'not-persisted', nth: 1, touched: false }))
  const answer = await post(request('a'))
  assert.equal(answer.status, 503)
  assert.match((await json<{ message: string }>(answer)).message, /^store\./)
})

test('reads below the same path: checkpoint, tiles, entries; nothing else, and nothing before it is shown', async () => {
  const { app, ledger, post } = await open('/releases')
  const get = async (path: string) => app.request(`/releases/api/v2/${path}`)
  assert.equal((await get('checkpoint')).status, 404)
  const { canonicalizedBody } = await entryOf(await post(request('a')))
  const checkpoint = await get('checkpoint')
  assert.deepEqual([checkpoint.status, checkpoint.headers.get('content-type'), checkpoint.headers.get('cache-control')], [200, 'text/plain; charset=utf-8', 'no-store'])
  assert.equal(await checkpoint.text(), ledger.head()?.text)
  const entries = await get('tile/entries/000.p/1')
  assert.match(entries.headers.get('cache-control') ?? '', /immutable/)
  const [entry] = orRefuse(parseBundle(new Uint8Array(await entries.arrayBuffer())))
  assert.equal(fromUtf8(entry ?? KEY), Buffer.from(canonicalizedBody, 'base64').toString())
  assert.equal((await get('tile/0/000.p/1')).status, 200)
  for (const path of ['tile/0/000', 'tile/0/001', 'tile/0/000.p/2', 'tile/8/x', 'log/entries', '']) {
    const answer = await get(path)
    assert.equal(answer.status, 404, path)
  }
})
