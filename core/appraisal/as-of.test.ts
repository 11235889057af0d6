// The same quote with the collateral of two times: what has been learned in between, and nothing else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { portable as p } from '../crypto/portable.ts'
import { evidenceOf, NOW, root, type Plan } from '../evidence/dcap/dcap.fixture.ts'
import { verifyDcap } from '../evidence/dcap/verify.ts'
import { attempt } from '../refusal.ts'
import { differencesOf } from './as-of.ts'

const at = (plan: Plan, now = NOW) => attempt(() => verifyDcap(p, evidenceOf(plan), { now }, root))
// The fixture's documents are its own.
const levels = (json: Record<string, unknown>) => json['tcbLevels'] as { tcbStatus: string; advisoryIDs?: string[] }[]
const fallen: Plan = { tcbInfo: json => Object.assign(levels(json)[0] ?? {}, { tcbStatus: 'OutOfDate', advisoryIDs: ['INTEL-SA-01245'] }) }

test('nothing has changed', () => assert.deepEqual(differencesOf(at({}), at({})), []))

test('a level that fell and its advisory are shown, claim by claim', () => {
  const differences = differencesOf(at({}), at(fallen))
  const of = (path: string) => differences.find(one => one.path === path)
  assert.deepEqual(of('tcb'), { path: 'tcb', then: 'UpToDate', today: 'OutOfDate' })
  assert.deepEqual(of('facts.advisories'), { path: 'facts.advisories', then: 'none', today: '"INTEL-SA-01245"' })
  assert.equal(of('shortfall')?.then, 'none')
  assert.equal(of('measurement'), undefined)
  assert.equal(of('verdict'), undefined)
})

test('a verdict that turned is the one thing to say, either way', () => {
  const revoked = at({ revoked: { pck: [7] } })
  assert.ok(!revoked.ok)
  assert.deepEqual(differencesOf(at({}), revoked).map(one => [one.path, one.then]), [['verdict', 'accepted']])
  assert.match(differencesOf(at({}), revoked)[0]?.today ?? '', /^refused: x509.revoked at /)
  assert.match(differencesOf(revoked, at({}))[0]?.then ?? '', /^refused: x509.revoked at /)
  assert.deepEqual(differencesOf(revoked, revoked), [])
})
