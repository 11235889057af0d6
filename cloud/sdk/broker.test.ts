// What a broker says about a lineage is read strictly, and a signed change is brought to it act by act, each once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Act } from '@cloister/core/charter/acts'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Charter } from '@cloister/core/charter/types'
import { Refused, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { actOf, newWorld, successor } from '../broker/world.fixture.ts'
import { lineageView, sendChange } from './broker.ts'
import type { BrokerClient } from './client.ts'

const world = newWorld()
const { charter: first, lineage } = world
const wider = successor(first, next => { for (const grant of next.grants) grant.budget = { uses: 9 } })
const change = (acts: readonly Act[]) => ({ lineage, digest: charterDigest(p, wider), next: wider, acts })
const act = (party: string, verb: Act['verb'], charter: Charter = wider) => actOf(world, party, verb, charter)
const standing = (more: object = {}) => ({ charter: first, enacted: 'x', proof: 'x', history: [lineage], versions: {}, revoked: false, revokedAssets: [], ...more })

/** A broker that shows one thing and hears everything. */
function fake(body: object | undefined): { client: BrokerClient; heard: string[] } {
  const heard: string[] = []
  const never = () => assert.fail('not asked here')
  return {
    heard, client: {
      url: 'http://broker.test', get: never, post: never,
      read: () => Promise.resolve().then(() => (body === undefined ? refuse('head.unknown-charter', 'lineage', 'a lineage', lineage) : { ...body })),
      send: (path, said) => {
        const { act: one } = said as { act?: Act } // what the SDK sends
        heard.push(`${path} ${one?.verb ?? ''} ${one?.party ?? ''}`.trim())
        return Promise.resolve({})
      },
    },
  }
}
async function refusedWith(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'accepted', (error: unknown) => (error instanceof Refused ? `${error.refusal.code} ${error.refusal.at}` : assert.fail(String(error))))
}

test('a view is read strictly: proposals with acts that hold, emergencies that the charter can mean, lists that are lists', async () => {
  const proposal = { charter: wider, acts: [act('alpha', 'approve')], includedAt: 5 }
  const emergency = { sequence: 1, grant: { asset: 'a-claims', to: 'match', can: 'use', until: '2030-01-01T00:00:00Z' }, signed: ['alpha', 'constructor', 'nobody'] }
  const view = await lineageView(fake(standing({ proposals: [proposal], emergencies: [emergency], emergencyCount: 1, revokedAssets: ['a-claims'], revocations: [actOf(world, 'alpha', 'revoke', first)] })).client, lineage)
  assert.deepEqual([view.proposals[0]?.includedAt, view.emergencies[0]?.until, view.emergencies[0]?.signed, view.emergencyCount, view.openActs.length, view.revokedAssets, view.history], [5, 1_893_456_000, ['alpha'], 1, 1, ['a-claims'], [lineage]])
  const bad: [object, RegExp][] = [
    [{ proposals: {} }, /^broker\.request proposals/], [{ proposals: [1] }, /^broker\.request proposals/], [{ proposals: [{ ...proposal, acts: [{ ...act('alpha', 'approve'), epoch: 3 }] }] }, /^charter\.act/],
    [{ proposals: [{ ...proposal, charter: { charter: 1 } }] }, /^charter\./], [{ emergencies: [1] }, /^broker\.request emergencies/], [{ emergencies: [{ ...emergency, grant: { ...emergency.grant, asset: 'other' } }] }, /^charter\.dangling/],
    [{ emergencies: [{ ...emergency, sequence: 0 }] }, /^emergency\.bounds/], [{ revokedAssets: ['\u001b[2J'] }, /^broker\.request revokedAssets/], [{ revocations: [{}] }, /^charter\.act/], [{ history: 'x' }, /^broker\.request history/],
  ]
  for (const [more, code] of bad) assert.match(await refusedWith(lineageView(fake(standing(more)).client, lineage)), code, JSON.stringify(more).slice(0, 60))
})

test('a change is sent once: the proposal, then what the broker has not heard, without approvals that were taken back', async () => {
  const acts = [act('alpha', 'enact'), act('bravo', 'veto'), act('alpha', 'approve'), act('bravo', 'approve'), act('alpha', 'propose')]
  const fresh = fake(standing())
  assert.deepEqual((await sendChange(fresh.client, change(acts), true)).sent, ['propose alpha', 'approve alpha', 'veto bravo', 'enact alpha'])
  assert.deepEqual(fresh.heard, ['/v1/proposals propose alpha', '/v1/acts approve alpha', '/v1/acts veto bravo', '/v1/acts enact alpha'])
  const known = fake(standing({ proposals: [{ charter: wider, acts: [act('alpha', 'approve')] }] }))
  assert.deepEqual((await sendChange(known.client, change(acts.filter(one => one.verb !== 'veto')), false)).sent, ['approve bravo'])
  const done = fake(standing({ history: [lineage, charterDigest(p, wider)] }))
  assert.deepEqual([(await sendChange(done.client, change(acts), true)).sent, done.heard], [[], []])
})

test('a change is not sent without a signed proposal, to a broker without its lineage, or on top of another charter', async () => {
  const acts = [act('alpha', 'propose'), act('alpha', 'approve')]
  assert.equal(await refusedWith(sendChange(fake(standing()).client, change(acts.slice(1)), false)), 'charter.act proposals')
  assert.equal(await refusedWith(sendChange(fake(undefined).client, change(acts), false)), 'head.unknown-charter lineage')
  const other = successor(first, next => { next.grants = next.grants.slice(1) })
  const moved = fake(standing({ charter: other, history: [lineage, charterDigest(p, other)] }))
  assert.equal(await refusedWith(sendChange(moved.client, change(acts), false)), 'charter.stale-proposal prev')
  assert.deepEqual(moved.heard, [])
})
