// Where a change stands: who is asked, who has signed, what is missing first, and from when.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import { signAct, type Act, type Verb } from './acts.ts'
import { charterDigest } from './canonical.ts'
import { FRAUD, MODEL } from './documents.fixture.ts'
import { keyId, planOf, standingOf, type Change } from './plan.ts'
import { review } from './review.ts'
import { all, charter, grantOf, next, ok, signer } from './scene.fixture.ts'
import type { Charter } from './types.ts'

const NOW = 1_800_000_000
function changeOf(edit: (copy: Charter) => void, from = charter(FRAUD)) {
  const lineage = charterDigest(p, from)
  const proposed = next(from, edit)
  const digest = charterDigest(p, proposed)
  const change: Change = { lineage, digest, prev: from, next: proposed, reviewed: ok(review(p, from, proposed)), acts: [] }
  const say = (verb: Verb, party: string, by = party) => signAct(signer(by), { verb, lineage, digest, epoch: 2, prev: lineage, party })
  const plan = (acts: readonly Act[], when: { now: number; includedAt?: number } = { now: NOW }) => planOf(p, { ...change, acts }, when)
  return { change, say, plan }
}
const wider = () => changeOf(copy => { delete grantOf(copy, 'b-claims').budget; grantOf(copy, 'a-claims').until = '2040-01-01T00:00:00Z' })

test('a widening: who is asked and why, what is missing first, from when, and when it is ready', () => {
  const { say, plan } = wider()
  const bare = plan([])
  assert.deepEqual([bare.change, bare.widens.map(one => one.name), bare.narrows.map(one => one.name), bare.veto, bare.notice, bare.earliest], ['widen', ['b-claims → match (read)'], ['a-claims → match (read)'], ['alpha', 'bravo'], 2 * 86_400, NOW + 2 * 86_400])
  assert.deepEqual(bare.parties.map(({ party, asked, approved, keysNeeded }) => [party, asked.join(), approved, keysNeeded]), [['alpha', 'owner,quorum', false, 1], ['bravo', 'owner,quorum', false, 1], ['carol', 'quorum', false, 1]])
  assert.equal(bare.missing?.code, 'charter.not-approved')
  const owners = [say('approve', 'alpha'), say('approve', 'bravo')]
  assert.equal(plan(owners).missing?.code, 'charter.quorum')
  const everybody = [...owners, say('approve', 'carol')]
  assert.deepEqual([plan(everybody).approved, plan(everybody).missing, plan(everybody).ready], [true, undefined, false])
  const at = (now: number) => plan(everybody, { now, includedAt: NOW }).ready
  assert.deepEqual([at(NOW + 2 * 86_400 - 1), at(NOW + 2 * 86_400)], [false, true])
  assert.equal(plan(everybody, { now: NOW + 9e6 }).ready, false, 'what the log does not have is not proposed')
  const vetoed = plan([...everybody, say('veto', 'bravo')], { now: NOW + 9e6, includedAt: NOW })
  assert.deepEqual([vetoed.ready, vetoed.parties.map(one => one.vetoed)], [false, [false, true, false]])
  assert.deepEqual(plan(owners).lines.slice(2), ['must sign: alpha, bravo', 'and 3 of alpha, bravo, carol must sign', 'takes effect not before 2027-01-17T08:00:00.000Z; until then alpha or bravo may veto', 'alpha: signed', 'bravo: signed', 'carol: still to sign, 1 key', ...plan([]).openableWithoutOwner.map(one => one.line)])
})
test('a narrowing is ready with its owner\'s signature; a rotation counts old keys and new ones', () => {
  const { say, plan } = changeOf(copy => { copy.grants = copy.grants.filter(grant => grant.asset !== 'a-claims') })
  assert.deepEqual([plan([]).earliest, plan([]).ready, plan([say('approve', 'alpha')]).ready], [NOW, false, true])
  const fresh = formatKey(signer('lab anew').publicKey)
  const rotated = changeOf(copy => { const lab = copy.parties['lab'] ?? assert.fail(); lab.keys = [...lab.keys.slice(1), fresh].sort() }, charter(MODEL))
  assert.deepEqual([rotated.plan([]).rotates.map(one => one.name), rotated.plan([]).veto], [['lab'], ['lab']])
  assert.ok(rotated.plan([]).lines.includes('lab: still to sign, 2 keys'))
  const names = ['lab 1', 'lab 2', 'lab 3', 'lab anew'].filter(name => name !== 'lab anew')
  const acts = [...names, 'lab anew'].map(name => rotated.say('approve', 'lab', name))
  assert.equal(rotated.plan(acts).approved, true)
  assert.ok(rotated.plan(acts).parties.find(one => one.party === 'lab')?.keys.includes(keyId(p, fresh)))
})
test('a new charter: every party founds', () => {
  const first = charter(FRAUD)
  const digest = charterDigest(p, first)
  const acts = all.map(party => signAct(signer(party), { verb: 'approve', lineage: digest, digest, epoch: 1, party }))
  const plan = (some: readonly Act[]) => planOf(p, { lineage: digest, digest, next: first, acts: some }, { now: NOW })
  assert.deepEqual([plan([]).change, plan([]).ready, plan(acts.slice(1)).missing?.code, plan(acts).ready], ['founded', false, 'charter.not-approved', true])
  assert.deepEqual(plan([]).lines.slice(0, 2), ['every party must sign: alpha, bravo, carol', 'takes effect at once'])
})
test('acts about something else, and signatures that do not hold, are nobody\'s', () => {
  const { change, say } = wider()
  const act = say('approve', 'alpha')
  const other = `sha256:${'ab'.repeat(32)}` as const
  for (const odd of [{ ...act, digest: other }, { ...act, lineage: other }, { ...act, epoch: 3 }, { ...act, prev: other }, { ...act, subject: 'x' }, { ...act, signature: say('veto', 'alpha').signature }, { ...act, verb: 'veto' as const }]) {
    const alpha = standingOf(p, { ...change, acts: [odd] }).parties.find(one => one.party === 'alpha')
    assert.deepEqual([alpha?.approved, alpha?.keys, alpha?.vetoed], [false, [], false])
  }
})
