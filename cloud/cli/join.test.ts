// Two clouds, each with a chip of its own, that share a store and a witness: the second becomes the first by its evidence, and goes on alone.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Hono } from 'hono'
import { charterDigest } from '@cloister/core/charter/canonical'
import { parseCharter } from '@cloister/core/charter/parse'
import { formatKey } from '@cloister/core/crypto/keys'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { parsePolicy } from '@cloister/core/log/policy'
import { cosignatureOf, encodeAddCheckpoint, parseWitnessAnswer } from '@cloister/core/log/witness'
import { attemptAsync, orRefuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { serveApp, witnessFace } from '../ledger/http.ts'
import { openWitness, remoteWitness } from '../ledger/witness.ts'
import { checkStanding, foundCharter, meetBroker, newestCharter } from '../sdk/broker.ts'
import { connectBroker } from '../sdk/client.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import { openLocalCloud } from './local-cloud.ts'

test('what one cloud founded the other serves, under one key, one log and one policy; and when the first is gone', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-join-'))
  const witness = openWitness(p, 'elsewhere.test/witness', generateSigner('ed25519'), openMemoryStore(emptyDisk(), new Uint8Array(32)))
  // The witness is told which log it serves once the first cloud has made it.
  const app = new Hono()
  const served = await serveApp({ fetch: (...args: Parameters<Hono['fetch']>) => app.fetch(...args) } as Hono)
  const witnesses = [remoteWitness(p, { vkey: witness.vkey, url: served.url })]
  const options = (name: string) => ({ folder: join(folder, name), store: join(folder, 'shared'), witnesses, quorum: 1 })
  const first = await openLocalCloud(options('first'))
  witnessFace(app, '', witness, orRefuse(parsePolicy(first.policy)).logs, () => Math.floor(Date.now() / 1000))
  const second = await openLocalCloud({ ...options('second'), join: first.url })
  const closing = [first, second]
  context.after(async () => { for (const one of closing) await one.close(); await served.close(); rmSync(folder, { recursive: true, force: true }) })
  assert.equal(second.policy, first.policy)

  const me = generateSigner('ed25519')
  const charter = orRefuse(parseCharter(JSON.stringify({
    charter: 1, name: 'box', epoch: 1, parties: { me: { keys: [formatKey(me.publicKey)] } }, programs: { app: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['simulated'] } } },
    assets: { a: { owner: 'me', kind: 'data' } }, grants: [{ asset: 'a', to: 'app', can: 'read', out: [{ to: ['me'], shape: 'rows' }] }],
    change: { widen: { of: ['me'], need: 1, notice: '0s' } }, log: { at: 'https://log.test', witnesses: 1, head: '10m' },
  })))
  const lineage = charterDigest(p, charter)
  const clients = [connectBroker(first.url), connectBroker(second.url)] as const
  await foundCharter(clients[0], charter, new Map([['me', me]]))
  const [one, two] = [await meetBroker(clients[0], true), await meetBroker(clients[1], true)]
  assert.deepEqual([two.key, two.seal], [one.key, one.seal])
  assert.notEqual(two.claims.chipId, one.claims.chipId, 'each proves itself by its own chip')
  checkStanding(await newestCharter(clients[1], lineage), two, first.policy)
  await closing.shift()?.close()
  checkStanding(await newestCharter(clients[1], lineage), two, first.policy)
  const again = await openLocalCloud({ ...options('second'), join: 'http://127.0.0.1:9' })
  assert.equal(again.broker.key, one.key, 'who has the identity asks nobody')
  await again.close()
  const refused = await attemptAsync(() => openLocalCloud({ folder: join(folder, 'third'), join: second.url }))
  assert.equal(refused.ok ? 'ok' : refused.refusal.code, 'cli.usage', 'joining without a shared store makes no sense')
})

test('every cloud can witness the logs of others', async context => {
  const log = await openLocalCloud()
  const other = await openLocalCloud({ witnessOf: orRefuse(parsePolicy(log.policy)).logs })
  context.after(async () => { await log.close(); await other.close() })
  await log.broker.ledger.append([new Uint8Array([1])])
  const { text } = orRefuse(await log.broker.ledger.publish(Math.floor(Date.now() / 1000)))
  const ask = (checkpoint: string) => fetch(`${other.url}/witness/add-checkpoint`, { method: 'POST', body: Uint8Array.from(encodeAddCheckpoint({ old: 0, proof: [], checkpoint })) })
  const answer = await ask(text)
  assert.equal(answer.status, 200)
  const vkey = (await (await fetch(`${other.url}/witness/vkey`)).text()).trim()
  const lines = orRefuse(parseWitnessAnswer({ status: 200, type: '', body: new Uint8Array(await answer.arrayBuffer()) }))
  assert.ok(lines.kind === 'cosigned')
  orRefuse(cosignatureOf(p, orRefuse(parseCheckpoint(text)), lines.signatures, vkey))
  assert.equal((await ask(text.replace(/^\S+/, 'unknown.log'))).status, 404)
})
