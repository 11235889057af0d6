// Emergencies: who signs, what a grant of one may say, when it ends, and that decide opens nothing else by it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { portable as p } from '../crypto/portable.ts'
import { signAct, type Act, type ActBody } from './acts.ts'
import { charterDigest } from './canonical.ts'
import { decide } from './decide.ts'
import { BOX, FRAUD } from './documents.fixture.ts'
import { emergencyAgreed, emergencySubject, readEmergency, type Emergency } from './emergency.ts'
import { all, charter, grantOf, next, ok, refused, scene, signer } from './scene.fixture.ts'
import type { Charter, Grant } from './types.ts'

const ROOM = FRAUD.replace('tee: [snp, tdx], tcb: current, where: [EU]', 'tee: [snp]').replace('need: 3, lasts: 4h', 'need: 2, lasts: 4h')
const { value, lineage, view, request, judged, nothing, now } = scene(ROOM)
const at = (seconds: number) => `${new Date((now + seconds) * 1000).toISOString().slice(0, 19)}Z`
const USE: Grant = { asset: 'a-claims', to: 'match', can: 'use', until: at(3600), budget: { uses: 1 }, out: [{ to: ['bravo'], shape: 'rows' }] }
const subject = emergencySubject(1, USE)
const say = (party: string, change: Partial<ActBody> = {}, by = party) => signAct(signer(by), { verb: 'emergency', lineage, digest: lineage, epoch: 1, party, subject, ...change })
const agreed = (acts: readonly Act[], about = subject, when = now, of: Charter = value) => emergencyAgreed(p, { lineage, charter: of, digest: charterDigest(p, of) }, about, acts, when)
const asked = { ...request, can: 'use' as const }
const decided = (emergencies: readonly Emergency[], when = now, spent = nothing) => decide(p, { ...view, head: { ...view.head, time: when }, emergencies }, asked, judged, spent, when)

test('the quorum of the charter signs one grant in full; each signature covers all of it', () => {
  assert.deepEqual(ok(agreed([say('alpha'), say('carol')])), { charter: lineage, sequence: 1, grant: USE, until: now + 3600, signed: ['alpha', 'carol'] })
  refused(agreed([say('alpha')]), 'charter.quorum', /^change\.emergency$/)
  refused(agreed([say('alpha'), say('alpha')]), 'charter.quorum')
  refused(agreed([say('alpha'), say('carol', {}, 'bravo')]), 'charter.quorum')
  const other = `sha256:${'ab'.repeat(32)}` as const
  for (const change of [{ verb: 'approve' as const }, { lineage: other }, { digest: other }, { epoch: 2 }, { prev: other }, { subject: emergencySubject(2, USE) }, { subject: emergencySubject(1, { ...USE, until: at(3601) }) }]) {
    refused(agreed([say('alpha'), say('carol', change)]), 'charter.quorum')
  }
})
test('it ends by itself: at the latest after what the charter says, and never in the past', () => {
  const until = (seconds: number) => emergencySubject(1, { ...USE, until: at(seconds) })
  const by = (about: string) => [say('alpha', { subject: about }), say('bravo', { subject: about })]
  ok(agreed(by(until(4 * 3600)), until(4 * 3600)))
  refused(agreed(by(until(4 * 3600 + 1)), until(4 * 3600 + 1)), 'emergency.bounds', /until$/)
  refused(agreed(by(until(0)), until(0)), 'emergency.ended')
  refused(agreed([say('alpha'), say('bravo')], subject, now + 3600), 'emergency.ended')
  const { until: _, ...endless } = USE
  refused(agreed([], emergencySubject(1, endless)), 'emergency.bounds', /until$/)
  refused(agreed([], subject, now, charter(BOX.replace('name: my-box', 'name: a-box'))), 'charter.dangling')
  const none = next(value, copy => { delete copy.change.emergency })
  refused(agreed([say('alpha'), say('carol')], subject, now, none), 'emergency.bounds', /^change\.emergency$/)
})
test('it is one grant of this charter in its one spelling, and nothing else', () => {
  const text = (grant: unknown, number = '1') => `${number} ${JSON.stringify(grant)}`
  const sorted = JSON.parse(subject.slice(2)) as object
  assert.deepEqual(readEmergency(value, text(sorted)).grant, USE)
  for (const [odd, code] of [
    [undefined, 'emergency.bounds'], ['', 'emergency.bounds'], ['1', 'emergency.bounds'], [`0 ${subject.slice(2)}`, 'emergency.bounds'], [`01 ${subject.slice(2)}`, 'emergency.bounds'], [subject.slice(2), 'emergency.bounds'], [`${subject} `, 'emergency.bounds'],
    [text(USE), 'emergency.bounds'], [text({ ...sorted, parties: {} }), 'charter.unknown-field'], [text({ ...sorted, change: {} }), 'charter.unknown-field'], [text({ ...sorted, asset: ['a-claims'] }), 'charter.value'],
    [text({ ...sorted, asset: 'z-claims' }), 'charter.dangling'], [text({ ...sorted, to: 'other' }), 'charter.dangling'], [text({ ...sorted, needs: ['mallory.yes'] }), 'charter.dangling'], [text({ ...sorted, out: [{ to: ['mallory'], shape: 'rows' }] }), 'charter.dangling'],
    ['1 {"asset":"a-claims","asset":"b-claims"}', 'json.duplicate-key'], [`1 {${'['.repeat(50)}}`, 'json.syntax'],
  ] as const) {
    const result = emergencyAgreed(p, { lineage, charter: value, digest: lineage }, odd, [], now)
    assert.ok(!result.ok)
    assert.equal(result.refusal.code, code, `${odd}: ${JSON.stringify(result.refusal)}`)
  }
})
test('decide takes it only where the charter\'s own grant says no, until its end, and says so', () => {
  const emergency = ok(agreed([say('alpha'), say('carol')]))
  refused(decided([]), 'grant.none')
  const yes = ok(decided([emergency]))
  assert.deepEqual([yes.emergency, yes.grant, yes.outputs], [emergency, USE, USE.out])
  ok(decided([emergency], now + 3599))
  refused(decided([emergency], now + 3600), 'emergency.ended', /^emergencies\[1\]\.until$/)
  refused(decided([emergency], now, () => ({ uses: 1, bytes: 0, epsilon: 0 })), 'budget.spent', /^emergencies\[1\]\.budget\.uses$/)
  refused(decided([{ ...emergency, charter: `sha256:${'0'.repeat(64)}` }]), 'grant.none')
  const own = ok(decide(p, { ...view, emergencies: [{ ...emergency, grant: { ...USE, can: 'read' } }] }, request, judged, nothing, now))
  assert.equal(own.emergency, undefined)
  const spent = decide(p, { ...view, emergencies: [{ ...emergency, grant: { ...USE, can: 'read' } }] }, request, judged, (_, __, sequence) => ({ uses: sequence === 1 ? 0 : 1, bytes: 0, epsilon: 0 }), now)
  assert.equal(ok(spent).emergency?.sequence, 1)
  const second = { ...emergency, sequence: 2 }
  for (const both of [[emergency, second], [second, emergency]]) assert.equal(ok(decided(both)).emergency?.sequence, 2, 'the last word of the quorum')
  refused(decide(p, { ...view, revoked: true, emergencies: [emergency] }, asked, judged, nothing, now), 'charter.revoked')
  refused(decide(p, { ...view, head: { time: now - 3601, witnesses: 2 }, emergencies: [emergency] }, asked, judged, nothing, now), 'head.stale')
  refused(decide(p, { ...view, emergencies: [emergency] }, { ...asked, program: 'other' }, judged, nothing, now), 'program.unknown')
})
test('whatever is enacted next ends it', () => {
  const emergency = ok(agreed([say('alpha'), say('carol')]))
  const second = next(value, copy => { grantOf(copy, 'b-claims').until = '2040-01-01T00:00:00Z' })
  refused(decide(p, { ...view, charter: second, emergencies: [emergency] }, { ...asked, charter: charterDigest(p, second), epoch: 2 }, judged, nothing, now), 'grant.none')
})

// The property of charter.md section 6.4 with emergencies: what decide allows beyond the charter, a quorum signed in these words, for now.
test('what decide allows beyond the charter is a running emergency of its quorum, for this charter, in these bounds', () => {
  const arb = fc.record({
    asset: fc.constantFrom('a-claims', 'b-claims'), can: fc.constantFrom('read' as const, 'use' as const), as: fc.constantFrom(undefined, '/x'), ends: fc.constantFrom(-10, 1, 3600, 14_400, 14_401), uses: fc.constantFrom(undefined, 0, 2),
    who: fc.subarray([...all, 'mallory']), by: fc.constantFrom('same', 'same', 'other'), exactly: fc.boolean(), sequence: fc.constantFrom(1, 2),
    ask: fc.record({ asset: fc.constantFrom('a-claims', 'b-claims'), can: fc.constantFrom('read' as const, 'use' as const), as: fc.constantFrom(undefined, '/x'), later: fc.constantFrom(0, 1, 3599, 3600, 14_400), used: fc.constantFrom(0, 1, 2) }),
  })
  let allowed = 0
  fc.assert(fc.property(arb, one => {
    const grant: Grant = { asset: one.asset, to: 'match', can: one.can, ...(one.as === undefined ? {} : { as: one.as }), until: at(one.ends), ...(one.uses === undefined ? {} : { budget: { uses: one.uses } }) }
    const about = emergencySubject(one.sequence, grant)
    const acts = one.who.map(party => say(party, { subject: about }, one.by === 'same' ? party : 'mallory'))
    const result = agreed(acts, about)
    const when = now + one.ask.later
    const { as: where, ...rest } = one.exactly ? { ...one.ask, asset: one.asset, can: one.can, as: one.as } : one.ask
    const wanted = { ...request, asset: rest.asset, can: rest.can, ...(where === undefined ? {} : { as: where }) }
    const decide_ = (emergencies: readonly Emergency[]) => decide(p, { ...view, head: { ...view.head, time: when }, emergencies }, wanted, judged, () => ({ uses: rest.used, bytes: 0, epsilon: 0 }), when)
    if (decide_([]).ok || !decide_(result.ok ? [result.value] : []).ok) return true
    allowed++
    const voices = one.by === 'same' ? one.who.filter(party => party !== 'mallory').length : 0
    return voices >= 2 && one.ends > 0 && one.ends <= 14_400 && one.ask.later < one.ends && rest.asset === one.asset && rest.can === one.can && where === one.as && (one.uses === undefined || rest.used < one.uses)
  }), { numRuns: 700 })
  assert.ok(allowed > 10, `${allowed} were allowed`)
})
