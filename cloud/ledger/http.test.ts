// A log and its witnesses over sockets: read, add, cosign, follow; and what each says to whoever asks wrongly.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Hono } from 'hono'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { verifyFork } from '@cloister/core/log/monitor'
import { verifyProof } from '@cloister/core/log/proof'
import { encodeAddCheckpoint } from '@cloister/core/log/witness'
import { attemptAsync, orRefuse, type Result } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { emptyDisk, openMemoryStore, type Disk } from '../store/memory.ts'
import { connectLog, followFrom, proveFrom } from './client.ts'
import { addFace, readFace, serveApp, witnessFace } from './http.ts'
import { openLedger, type Ledger } from './ledger.ts'
import { Sequencer } from './sequencer.ts'
import { openWitness, remoteWitness, type Witness } from './witness.ts'

const KEY = new Uint8Array(32)
const clock = () => 1000
const signers = [generateSigner('ed25519'), generateSigner('ml-dsa-44')]
const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.refusal.code)
const logOn = (disk: Disk, witnesses: readonly Witness[], quorum = witnesses.length) => openLedger({ p, store: openMemoryStore(disk, KEY), origin: 'log.test', signers, witnesses, quorum })

async function serveLog(context: TestContext, ledger: Ledger): Promise<string> {
  const app = new Hono()
  addFace(app, '/log', new Sequencer(ledger, { clock }))
  readFace(app, '/log', ledger)
  const served = await serveApp(app)
  context.after(() => served.close())
  return `${served.url}/log`
}

async function serveWitness(context: TestContext, name: string, logs: Ledger['policy']['logs']) {
  const witness = openWitness(p, name, generateSigner('ed25519'), openMemoryStore(emptyDisk(), KEY))
  const app = new Hono()
  witnessFace(app, '/w', witness, logs, clock)
  const served = await serveApp(app)
  context.after(() => served.close())
  return { url: `${served.url}/w`, vkey: witness.vkey, close: () => served.close() }
}

test('a log with witnesses elsewhere: added, proven from its tiles, followed; one witness may be away', async context => {
  const { logs } = (await logOn(emptyDisk(), [])).policy
  const [one, two, away] = [await serveWitness(context, 'one.test', logs), await serveWitness(context, 'two.test', logs), await serveWitness(context, 'away.test', logs)]
  await away.close()
  const ledger = await logOn(emptyDisk(), [one, two, away].map(witness => remoteWitness(p, witness)), 2)
  const client = connectLog(await serveLog(context, ledger))
  const indices = await Promise.all(Array.from({ length: 600 }, (_, i) => client.add(utf8(`entry ${i}`))))
  assert.deepEqual(indices.toSorted((a, b) => a - b), Array.from({ length: 600 }, (_, i) => i))
  const proof = await proveFrom(p, client, ledger.policy, indices[7] ?? 0)
  assert.equal(orRefuse(verifyProof(p, utf8('entry 7'), proof, ledger.policy)).witnesses, 2)
  const first = orRefuse(await attemptAsync(() => followFrom(p, client, ledger.policy, undefined)))
  assert.ok(first.kind === 'consistent')
  assert.equal(first.entries.length, 600)
  assert.equal(fromUtf8(first.entries[indices[7] ?? 0] ?? assert.fail()), 'entry 7')
  await client.add(utf8('more'))
  const next = await followFrom(p, client, ledger.policy, first.known)
  assert.ok(next.kind === 'consistent')
  assert.deepEqual(next.entries.map(entry => fromUtf8(entry)), ['more'])
  assert.equal((await (await fetch(`${client.url}/policy`)).text()), ledger.policyText())
})

test('a log that forked: its witness follows one history, and whoever sees both has the proof', async context => {
  const { logs } = (await logOn(emptyDisk(), [])).policy
  const served = await serveWitness(context, 'one.test', logs)
  const witness = () => remoteWitness(p, served) // each process learns anew where the witness stands
  const disk = emptyDisk()
  const ledger = await logOn(disk, [witness()])
  await ledger.append([utf8('a'), utf8('b')])
  orRefuse(await ledger.publish(1))
  const fork = await logOn({ head: disk.head, entries: disk.entries }, [witness()])
  await ledger.append([utf8('c')])
  orRefuse(await ledger.publish(2))
  const client = connectLog(await serveLog(context, ledger))
  const seen = await followFrom(p, client, ledger.policy, undefined)
  assert.ok(seen.kind === 'consistent')
  await fork.append([utf8('another'), utf8('history')])
  assert.equal(codeOf(await fork.publish(3)), 'log.unavailable')
  // Shown by a log whose witnesses collude, or to a reader who asks for none.
  const alone = await logOn({ head: disk.head, entries: disk.entries }, [], 0)
  const lonely = await logOn(emptyDisk(), [], 0)
  await lonely.append([utf8('x'), utf8('y'), utf8('z'), utf8('w')])
  orRefuse(await lonely.publish(1))
  assert.ok(alone.size() > 0)
  const found = await followFrom(p, connectLog(await serveLog(context, lonely)), lonely.policy, seen.known)
  assert.ok(found.kind === 'fork')
  assert.equal(orRefuse(verifyFork(p, found.fork, lonely.policy)).origin, 'log.test')
})

test('a witness answers what the specification says', async context => {
  const mine = await logOn(emptyDisk(), [], 0)
  await mine.append([utf8('a')])
  const checkpoint = orRefuse(await mine.publish(1)).text
  const { url } = await serveWitness(context, 'one.test', mine.policy.logs)
  const ask = (body: Uint8Array | string) => fetch(`${url}/add-checkpoint`, { method: 'POST', body: typeof body === 'string' ? body : Uint8Array.from(body) })
  assert.equal((await ask('nothing')).status, 400)
  assert.equal((await ask(new Uint8Array(1 << 18))).status, 413)
  assert.equal((await ask(encodeAddCheckpoint({ old: 0, proof: [], checkpoint: checkpoint.replace('log.test', 'log.best') }))).status, 404)
  assert.equal((await ask(encodeAddCheckpoint({ old: 0, proof: [], checkpoint: checkpoint.replace('\n1\n', '\n2\n') }))).status, 403)
  const good = await ask(encodeAddCheckpoint({ old: 0, proof: [], checkpoint }))
  assert.equal(good.status, 200)
  assert.match(await good.text(), /^— one\.test [A-Za-z0-9+/=]+\n$/)
  const again = await ask(encodeAddCheckpoint({ old: 0, proof: [], checkpoint }))
  assert.deepEqual([again.status, again.headers.get('content-type'), await again.text()], [409, 'text/x.tlog.size', '1\n'])
  assert.match(await (await fetch(`${url}/vkey`)).text(), /^one\.test\+[0-9a-f]{8}\+/)
})

test('what is not there is 404, what is too large 413, and a log without witnesses that answer says so', async context => {
  const dead = await serveWitness(context, 'dead.test', (await logOn(emptyDisk(), [])).policy.logs)
  await dead.close()
  const url = await serveLog(context, await logOn(emptyDisk(), [remoteWitness(p, dead)]))
  assert.equal((await fetch(`${url}/checkpoint`)).status, 404)
  assert.equal((await fetch(`${url}/add`, { method: 'POST', body: new Uint8Array(65_536) })).status, 413)
  const refused = await fetch(`${url}/add`, { method: 'POST', body: 'entry' })
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1'])
  assert.match(await refused.text(), /log\.unavailable/)
  assert.equal(codeOf(await attemptAsync(() => connectLog(url).add(utf8('x')))), 'log.unavailable')
  assert.equal(codeOf(await attemptAsync(() => connectLog('http://127.0.0.1:1').checkpoint())), 'log.unavailable')
})

test('a log that keeps no partial tiles is read through its full ones', async context => {
  const ledger = await logOn(emptyDisk(), [], 0)
  await ledger.append(Array.from({ length: 600 }, (_, i) => utf8(`entry ${i}`)))
  orRefuse(await ledger.publish(1))
  const app = new Hono()
  app.get('/log/tile/*', async (request, next) => (request.req.path.includes('.p/') ? request.notFound() : next()))
  readFace(app, '/log', ledger)
  const served = await serveApp(app)
  context.after(() => served.close())
  const client = connectLog(`${served.url}/log`)
  for (const level of ['entries', 0] as const) {
    const bytes = await client.tile({ level, index: 1, width: 44 })
    assert.deepEqual(new Uint8Array(bytes), new Uint8Array((await ledger.file(`tile/${level}/001.p/44`))?.bytes ?? assert.fail()))
  }
  assert.equal(codeOf(await attemptAsync(() => client.tile({ level: 0, index: 2, width: 88 }))), 'log.unavailable', 'its full one is not there either')
})
