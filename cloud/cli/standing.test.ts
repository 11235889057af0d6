// A guest and a client hold the broker's head against their own policy before anything else is said: another log's key, witnesses that did not sign, an old head.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCharter } from '@cloister/core/charter/parse'
import { charterDigest } from '@cloister/core/charter/canonical'
import { formatKey } from '@cloister/core/crypto/keys'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { attemptAsync, orRefuse, type Result } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { runSession } from '../guest/session.ts'
import type { Answer } from '../provider/wire.ts'
import { checkStanding, foundCharter, meetBroker, newestCharter } from '../sdk/broker.ts'
import { connectBroker } from '../sdk/client.ts'
import { openLocalCloud } from './local-cloud.ts'

const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.refusal.code)

test('no guest attests, and no client acts, under a head that its own policy does not accept', async context => {
  const [cloud, other] = [await openLocalCloud(), await openLocalCloud()]
  context.after(async () => { await cloud.close(); await other.close() })
  const me = generateSigner('ed25519')
  const charter = orRefuse(parseCharter(JSON.stringify({
    charter: 1, name: 'box', epoch: 1, parties: { me: { keys: [formatKey(me.publicKey)] } }, programs: { app: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['simulated'] } } },
    assets: { a: { owner: 'me', kind: 'data' } }, grants: [{ asset: 'a', to: 'app', can: 'read', out: [{ to: ['me'], shape: 'rows' }] }],
    change: { widen: { of: ['me'], need: 1, notice: '0s' } }, log: { at: 'https://log.test', witnesses: 1, head: '10m' },
  })))
  const client = connectBroker(cloud.url)
  const digest = charterDigest(p, charter)
  await foundCharter(client, charter, new Map([['me', me]]))
  const asked: string[] = []
  const session = async (policy: string, change: (body: Record<string, unknown>) => unknown = body => body) => codeOf(await runSession(
    { charter: digest, lineage: digest, program: 'app', code: '', inputs: [], policies: [policy], threads: 1, memoryBytesMax: 1 << 28 },
    {
      progress: () => undefined,
      ask: async (question): Promise<Answer> => {
        asked.push(question.call)
        if (question.call === 'report') return { id: 0, error: 'not asked here' }
        const { status, body } = await client.post(`/v1/${question.call}`, question.body)
        return { id: 0, status, body: change(body as Record<string, unknown>) } // an object, as the broker answers
      },
    },
  ))
  assert.equal(await session(other.policy), 'log.signature')
  assert.equal(await session(cloud.policy.replace(/witness w1 \S+/, /witness w1 \S+/.exec(other.policy)?.[0] ?? '')), 'log.witnesses')
  assert.equal(await session('log nonsense'), 'log.witnesses')
  assert.equal(await session(cloud.policy, body => ({ ...body, head: String(body['head']).replace(/\n\d+\n/, '\n99\n') })), 'log.signature')
  assert.deepEqual([...new Set(asked)], ['hello'], 'no evidence was made for any of them')
  assert.equal(await session(cloud.policy), 'program.mismatch', 'what it is shown stands: the next check is reached')

  const [broker, standing] = [await meetBroker(client, true), await newestCharter(client, digest)]
  const judge = async (policy: string) => codeOf(await attemptAsync(async () => checkStanding(standing, broker, policy)))
  assert.equal(await judge(cloud.policy), 'ok')
  assert.equal(await judge(other.policy), 'log.signature')
  assert.ok(orRefuse(parseCheckpoint(String(standing.body['head']))).size >= 1)
})
