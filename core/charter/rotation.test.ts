// A party exchanges its own keys: who must sign, who may stop it, and that no seat changes hands or shrinks by it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { actsSatisfy, signAct, type Act, type Verb } from './acts.ts'
import { charterDigest } from './canonical.ts'
import { FRAUD, MODEL } from './documents.fixture.ts'
import { explainReview } from './explain.ts'
import { review } from './review.ts'
import { all, charter, next, ok, refused, signer } from './scene.fixture.ts'
import type { Charter, Party } from './types.ts'

const keyOf = (name: string) => formatKey(signer(name).publicKey)
const DUE = 2 * 86_400

/** A change of the charter, and acts of its parties by keys that are named. */
function change(edit: (copy: Charter) => void, from = charter(FRAUD)) {
  const lineage = charterDigest(p, from)
  const proposed = next(from, edit)
  const digest = charterDigest(p, proposed)
  const reviewed = ok(review(p, from, proposed))
  const say = (verb: Verb, party: string, by = party) => signAct(signer(by), { verb, lineage, digest, epoch: 2, prev: lineage, party })
  return { reviewed, say, check: (acts: readonly Act[], now = DUE) => actsSatisfy(p, { lineage, prev: from, next: proposed, digest, proposedAt: 0 }, reviewed, acts, now) }
}
const rotated = () => change(copy => { copy.parties['bravo'] = { keys: [keyOf('bravo anew')] } })

test('a party exchanges its keys with its old and its new ones, after the notice, without anybody else', () => {
  const { reviewed, say, check } = rotated()
  assert.deepEqual([reviewed.change, reviewed.sign, reviewed.quorum, reviewed.notice, reviewed.veto], ['widen', ['bravo'], undefined, DUE, all])
  const acts = [say('approve', 'bravo'), say('approve', 'bravo', 'bravo anew')]
  ok(check(acts))
  refused(check(acts, DUE - 1), 'charter.notice')
  refused(check([acts[0] ?? assert.fail()]), 'charter.not-approved')
  refused(check([acts[1] ?? assert.fail()]), 'charter.not-approved')
  refused(check(all.filter(one => one !== 'bravo').map(one => say('approve', one))), 'charter.not-approved')
  assert.deepEqual(explainReview(reviewed).slice(1), ['must sign: bravo', 'bravo signs with its old keys and with its new ones', 'takes effect 2 days after the log has the proposal; until then alpha or bravo or carol may veto'])
})
test('any owner, and the party itself with keys that a thief copied, may stop it until then', () => {
  const { say, check } = rotated()
  const acts = [say('approve', 'bravo'), say('approve', 'bravo', 'bravo anew')]
  for (const party of all) refused(check([...acts, say('veto', party)]), 'charter.not-approved')
})
test('fewer keys, a lower need, another party\'s name or a change beside it are what they were: everybody\'s', () => {
  const lab = (edit: (party: Party) => void) => change(copy => { edit(copy.parties['lab'] ?? assert.fail()) }, charter(MODEL)).reviewed
  const owners = ['lab']
  const widens = (reviewed: ReturnType<typeof lab>) => reviewed.touched.map(item => item.effect).join()
  assert.equal(widens(lab(party => { party.keys = [...party.keys.slice(1), keyOf('lab 4')] })), 'rotate')
  assert.equal(widens(lab(party => { party.need = 3 })), 'rotate')
  assert.equal(widens(lab(party => { party.keys = party.keys.slice(1) })), 'widen')
  assert.equal(widens(lab(party => { delete party.need })), 'widen')
  assert.deepEqual(lab(party => { delete party.need }).quorum, { of: ['guard', 'lab'], need: 2 })
  assert.deepEqual(lab(party => { delete party.need }).sign, owners)
  const both = change(copy => { copy.parties['bravo'] = { keys: [keyOf('bravo anew')] }; copy.change.widen.need = 2 }).reviewed
  assert.deepEqual([both.sign, both.quorum], [all, { of: all, need: 3 }])
  const carried = change(copy => { copy.parties['bravo'] = { keys: [keyOf('bravo anew')] }; copy.grants = copy.grants.filter(grant => grant.asset !== 'a-claims') }).reviewed
  assert.deepEqual([carried.sign, carried.quorum, carried.veto], [['alpha', 'bravo'], undefined, all])
})

// ---- the property: whoever's keys changed agreed with its old quorum, or everybody did ------------------------------

/** Signatures that hold by being said to hold: the property is about counting, and thousands of them are made. */
const quick: Primitives = { ...p, verify: (_, __, message, signature) => signature[0] === 1 && message.length > 0 }
const KEYS = Array.from({ length: 8 }, (_, i) => keyOf(`key ${i}`))
const partiesArb = fc.record({ order: fc.shuffledSubarray([...KEYS.keys()], { minLength: 4, maxLength: 8 }), cut: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })), needs: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 3 }), two: fc.boolean() })
  .map(({ order, cut: [a, b], needs, two }) => {
    const cut = [order.slice(0, a), order.slice(a, a + b), order.slice(a + b)].map(part => part.map(i => KEYS[i] ?? '').sort())
    return Object.fromEntries(cut.slice(0, two ? 2 : 3).map((keys, i): [string, Party] => [all[i] ?? '', { keys, ...((needs[i] ?? 1) > 1 && (needs[i] ?? 1) <= keys.length ? { need: needs[i] ?? 1 } : {}) }]))
  })
const small = (parties: Record<string, Party>): Charter => {
  const owners = all.slice(0, 2)
  return { ...charter(FRAUD), parties, programs: {}, assets: Object.fromEntries(owners.map(owner => [`${owner}-x`, { owner, kind: 'data' }])), grants: [], change: { widen: { of: owners, need: 1, notice: '1h' } } }
}

test('a change of parties that is satisfied: each changed party agreed with its old quorum, or every owner and the quorum did; no seat shrank alone', () => {
  let satisfied = 0
  fc.assert(fc.property(partiesArb, partiesArb, fc.boolean(), fc.array(fc.nat(3), { minLength: 24, maxLength: 24 }), (before, drawn, near, silent) => {
    const after = near ? { ...before, bravo: drawn['bravo'] ?? assert.fail() } : drawn
    const prev = small(before)
    const lineage = charterDigest(p, prev)
    const proposed = { ...small(after), epoch: 2, prev: lineage }
    const digest = charterDigest(p, proposed)
    const reviewed = review(p, prev, proposed)
    if (!reviewed.ok) return true
    // Each key of each party speaks in three of four cases; a stranger's key says something too.
    const said = all.flatMap(name => [...new Set([...(before[name]?.keys ?? []), ...(after[name]?.keys ?? []), KEYS[0] ?? ''])].map((key): [string, string] => [name, key])).filter((_, i) => silent[i] !== 0)
    const acts = said.map(([party, key]): Act => ({ verb: 'approve', lineage, digest, epoch: 2, prev: lineage, party, key, signature: 'AQ==' }))
    if (!actsSatisfy(quick, { lineage, prev, next: proposed, digest, proposedAt: 0 }, reviewed.value, acts, 3600).ok) return true
    satisfied++
    const agreed = (name: string, { keys, need = 1 }: Party) => new Set(said.filter(([party, key]) => party === name && keys.includes(key)).map(([, key]) => key)).size >= need
    const owners = ['alpha', 'bravo'].every(name => agreed(name, before[name] ?? assert.fail()))
    const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(name => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    return owners || changed.every(name => {
      const [old, now] = [before[name], after[name]]
      return old !== undefined && now !== undefined && agreed(name, old) && agreed(name, now) && now.keys.length >= old.keys.length && (now.need ?? 1) >= (old.need ?? 1)
    })
  }), { numRuns: 400 })
  assert.ok(satisfied > 50, `${satisfied} were satisfied`)
})
