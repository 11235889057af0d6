import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import { ed25519 } from '@noble/curves/ed25519.js'
import type { Signer } from '../crypto/primitives.ts'
import type { Result } from '../refusal.ts'
import { actsSatisfy, founded, signAct, verifyAct, type Act } from './acts.ts'
import { canonicalCharter, charterDigest } from './canonical.ts'
import { decide, outputsOf, type Judged, type Request, type View } from './decide.ts'
import { programIdentity } from './canonical.ts'
import { parseCharter } from './parse.ts'
import { assetWithin, grantWithin, ORDER, outputWithin, programWithin, review, type Order } from './review.ts'
import { DOCUMENTS, FRAUD } from './documents.fixture.ts'
import type { Charter, Grant } from './types.ts'
import { parseCharterYaml } from './yaml.ts'

const ok = <T>(result: Result<T>): T => {
  if (!result.ok) assert.fail(JSON.stringify(result.refusal))
  return result.value
}
const refused = (result: Result<unknown>, code: string, at?: RegExp) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
  if (at !== undefined) assert.match(result.refusal.at, at)
}
const charter = (yaml: string) => ok(parseCharterYaml(yaml))
const next = (from: Charter, change: (copy: Charter) => void): Charter => {
  const copy = structuredClone(from)
  copy.epoch = from.epoch + 1
  copy.prev = charterDigest(p, from)
  change(copy)
  return ok(parseCharter(canonicalCharter(copy)))
}
const signer = (name: string): Signer => {
  const secret = p.hash('sha256', utf8(`cloister example key ${name}`))
  return { algorithm: 'ed25519', publicKey: { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }, sign: message => ed25519.sign(message, secret) }
}

test('the four documents of charter.md section 12 have their published digests', () => {
  for (const { yaml, bytes, digest } of DOCUMENTS) {
    const value = charter(yaml)
    assert.equal(canonicalCharter(value).length, bytes)
    assert.equal(charterDigest(p, value), digest)
    assert.deepEqual(ok(parseCharter(canonicalCharter(value))), value, 'the normal form is its own normal form')
  }
})

test('the two successors of section 12 have their published digests and reviews', () => {
  const first = charter(FRAUD)
  const dropped = next(first, copy => { copy.grants = copy.grants.filter(grant => grant.asset !== 'a-claims') })
  assert.equal(charterDigest(p, dropped), 'sha256:e969146247655295d405a0465b4a9a1d828626febec1de6f79e238cc4552ba81')
  assert.deepEqual(pick(ok(review(p, first, dropped))), { change: 'narrow', sign: ['alpha'] })
  const widened = next(first, copy => { for (const out of copy.grants.find(grant => grant.asset === 'b-claims')?.out ?? []) if (out.atLeast !== undefined) out.atLeast = 5 })
  assert.equal(charterDigest(p, widened), 'sha256:b91eb05d208558fd0ddc61dd2909a58a5a13d74dc30b6b6b233ea1708eb4061b')
  assert.deepEqual(pick(ok(review(p, first, widened))), { change: 'widen', sign: ['bravo'] })
})

const pick = ({ change, sign }: { change: string; sign: readonly string[] }) => ({ change, sign: [...sign] })
const grantOf = (copy: Charter, asset: string): Grant => copy.grants.find(grant => grant.asset === asset) ?? assert.fail(asset)
const all = ['alpha', 'bravo', 'carol']

const TABLE: [string, (copy: Charter) => void, 'narrow' | 'widen', string[]][] = [
  ['epsilon 0.5 → 0.1', copy => { for (const out of grantOf(copy, 'a-claims').out ?? []) if (out.epsilon !== undefined) out.epsilon = 0.1 }, 'narrow', ['alpha']],
  ['new configuration', copy => { copy.programs['match']!.config = { x: '1' } }, 'widen', all],
  ['new grant to write', copy => { copy.grants.push({ asset: 'a-claims', to: 'match', can: 'write' }) }, 'widen', ['alpha']],
  ['witnesses 2 → 0', copy => { copy.log.witnesses = 0 }, 'widen', all],
  ['tee + simulated', copy => { copy.programs['match']!.on.tee.push('simulated') }, 'widen', all],
  ['add needs', copy => { grantOf(copy, 'a-claims').needs = ['bravo.yes'] }, 'narrow', ['alpha']],
  ['drop the budget', copy => { delete grantOf(copy, 'a-claims').budget }, 'widen', ['alpha']],
  ['drop epsilon', copy => { for (const out of grantOf(copy, 'a-claims').out ?? []) delete out.epsilon }, 'widen', ['alpha']],
  ['drop all outputs', copy => { delete grantOf(copy, 'a-claims').out }, 'narrow', ['alpha']],
  ['owner alpha → carol', copy => { copy.assets['a-claims']!.owner = 'carol' }, 'widen', ['alpha', 'carol']],
  ['ttl 30d → 10d', copy => { copy.assets['a-claims']!.ttl = '10d' }, 'narrow', ['alpha']],
  ['ttl 30d → 60d', copy => { copy.assets['a-claims']!.ttl = '60d' }, 'widen', ['alpha']],
  ['alpha adds an asset and grants it', copy => { copy.assets['a2'] = { owner: 'alpha', kind: 'data' }; copy.grants.push({ asset: 'a2', to: 'match', can: 'read' }) }, 'widen', ['alpha']],
]
for (const [name, change, kind, sign] of TABLE) {
  test(`review: ${name} is a ${kind} for ${sign.join(', ')}`, () => {
    const first = charter(FRAUD)
    assert.deepEqual(pick(ok(review(p, first, next(first, change)))), { change: kind, sign })
  })
}

test('review: fewer kinds of machine narrow, and any one owner may say so', () => {
  const first = charter(FRAUD)
  const reviewed = ok(review(p, first, next(first, copy => { copy.programs['match']!.on.tee = ['snp'] })))
  assert.equal(reviewed.change, 'narrow')
  assert.deepEqual(reviewed.oneOf, [all])
})

test('review refuses what does not follow, and what changes nothing', () => {
  const first = charter(FRAUD)
  refused(review(p, first, next(first, () => undefined)), 'charter.not-a-successor', /^\$/)
  refused(review(p, first, next(first, copy => { copy.name = 'other' })), 'charter.not-a-successor', /name/)
  refused(review(p, first, next(first, copy => { copy.epoch = 3 })), 'charter.not-a-successor', /epoch/)
})

test('the two-step resurrection is refused at its first step: a grant may not outlive its program', () => {
  const first = charter(FRAUD)
  const copy = structuredClone(first)
  delete copy.programs['match']
  refused(parseCharter(canonicalCharter(copy)), 'charter.dangling', /grants/)
})

const BAD: [string, string, string][] = [
  ['an unknown field', '{"charter":1,"extra":1}', 'charter.unknown-field'], ['a duplicate key', '{"charter":1,"charter":1}', 'json.duplicate-key'],
  ['__proto__', '{"__proto__":{}}', 'json.forbidden-key'], ['10,000 levels', '['.repeat(10_000), 'bytes.too-deep'], ['10 MB', ' '.repeat(10_000_000), 'charter.limit'],
  ['a big number', '{"charter":1e999}', 'json.number'], ['nothing', '', 'json.syntax'], ['a list', '[]', 'charter.value'],
]
for (const [name, text, code] of BAD) test(`parse: ${name} is ${code}`, () => refused(parseCharter(text), code))
for (const [name, text] of [['an anchor', 'a: &x 1'], ['an alias', 'a: &x 1\nb: *x'], ['a tag', 'a: !!str 1'], ['two documents', 'a: 1\n---\nb: 2'], ['a duplicate key', 'a: 1\na: 2'], ['a broken text', 'a: [1']] as const) {
  test(`YAML: ${name} is refused`, () => refused(parseCharterYaml(text), 'charter.syntax'))
}
test('YAML: deep nesting is refused before it is read', () => refused(parseCharterYaml(`a: ${'['.repeat(10_000)}`), 'bytes.too-deep'))
test('YAML: a refusal names path and line', () => refused(parseCharterYaml(FRAUD.replace('can: read', 'can: eat')), 'charter.value', /grants\[0\]\.can \(line \d+\)/))
test('a duplicated grant and a duplicated output are refused', () => {
  const copy = charter(FRAUD)
  refused(parseCharter(canonicalCharter({ ...copy, grants: [...copy.grants, grantOf(copy, 'a-claims')] })), 'charter.duplicate')
  const doubled = structuredClone(copy)
  const out = grantOf(doubled, 'a-claims').out ?? []
  out.push(out[0] ?? assert.fail())
  refused(parseCharter(canonicalCharter(doubled)), 'charter.duplicate')
})

// ---- the property of section 6.4 ------------------------------------------------------------------------------------

const subset = <T>(values: readonly T[]) => fc.subarray([...values])
const optional = <T>(arb: fc.Arbitrary<T>) => fc.option(arb, { nil: undefined })
const outputArb = fc.record({ to: subset(['alpha', 'bravo']).filter(to => to.length > 0), shape: fc.constantFrom('rows' as const, 'aggregate' as const), atLeast: optional(fc.constantFrom(5, 10)), epsilon: optional(fc.constantFrom(0.1, 0.5)) })
const grantArb = fc.record({
  asset: fc.constantFrom('a', 'b'), to: fc.constant('run'), can: fc.constant('read' as const), until: optional(fc.constantFrom('2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z')),
  needs: optional(subset(['alpha.x', 'bravo.y'])), budget: optional(fc.record({ uses: optional(fc.constantFrom(1, 2)), epsilon: optional(fc.constantFrom(0.1, 1)) })), out: optional(fc.uniqueArray(outputArb, { selector: out => out.shape, maxLength: 2 })),
})
const charterArb = fc.record({
  grants: fc.uniqueArray(grantArb, { selector: grant => grant.asset, maxLength: 2 }), tee: subset(['snp', 'tdx', 'simulated'] as const).filter(tee => tee.length > 0),
  tcb: optional(fc.constant('any' as const)), ttl: optional(fc.constantFrom('1d', '2d')),
}).map(({ grants, tee, tcb, ttl }) => ok(parseCharter(JSON.stringify({
  charter: 1, name: 'small', epoch: 1, parties: { alpha: { keys: [`ed25519:${'11'.repeat(32)}`] }, bravo: { keys: [`ed25519:${'22'.repeat(32)}`] } },
  programs: { run: { run: { sql: `sha256:${'00'.repeat(32)}` }, on: { tee, tcb } } }, assets: { a: { owner: 'alpha', kind: 'data', ttl }, b: { owner: 'bravo', kind: 'data', ttl } },
  grants, change: { widen: { of: ['alpha', 'bravo'], need: 2, notice: '0s' } }, log: { at: 'x', witnesses: 0, head: '1h' },
})))) 

/** Is there something that `after` permits and `before` does not? Every bound, asked one by one, with no use of the order. */
function permitsMore(before: Charter, after: Charter): boolean {
  return after.grants.some(grant => {
    const old = before.grants.find(one => one.asset === grant.asset)
    if (old === undefined) return true
    const [on, was] = [after.programs['run']?.on, before.programs['run']?.on]
    const machine = on?.tee.some(tee => was?.tee.includes(tee) !== true) === true || (on?.tcb === 'any' && was?.tcb !== 'any')
    const longer = old.until !== undefined && (grant.until === undefined || grant.until > old.until)
    const needless = (old.needs ?? []).some(need => !(grant.needs ?? []).includes(need))
    const spends = (['uses', 'epsilon'] as const).some(key => (grant.budget?.[key] ?? Infinity) > (old.budget?.[key] ?? Infinity))
    const keeps = (after.assets[grant.asset]?.ttl ?? '9d') > (before.assets[grant.asset]?.ttl ?? '9d')
    const tells = (grant.out ?? []).some(out => out.to.some(to => !(old.out ?? []).some(one => one.shape === out.shape && one.to.includes(to) && (out.atLeast ?? 0) >= (one.atLeast ?? 0) && (out.epsilon ?? Infinity) <= (one.epsilon ?? Infinity))))
    return machine || longer || needless || spends || keeps || tells
  })
}
const widens = (before: Charter, after: Charter, order: Order = ORDER): boolean => {
  const successor = { ...after, epoch: 2, prev: charterDigest(p, before) }
  const reviewed = review(p, before, successor, order)
  return reviewed.ok && reviewed.value.change === 'widen'
}

test('what review calls narrow permits nothing that was not permitted (3,000 pairs)', () => {
  fc.assert(fc.property(charterArb, charterArb, (before, after) => widens(before, after) || !permitsMore(before, after)), { numRuns: 3000 })
})
for (const key of ['le', 'ge', 'sub'] as const) {
  test(`without the comparison ${key} the property fails`, () => {
    const found = fc.check(fc.property(charterArb, charterArb, (before, after) => widens(before, after, { ...ORDER, [key]: () => true }) || !permitsMore(before, after)), { numRuns: 20_000 })
    assert.ok(found.failed)
  })
}
test('within is reflexive and transitive', () => {
  fc.assert(fc.property(charterArb, charterArb, charterArb, (a, b, c) => {
    const within = (x: Charter, y: Charter) => x.grants.every(g => y.grants.some(h => grantWithin(g, h))) && programWithin(x.programs['run']!, y.programs['run']!) && assetWithin(x.assets['a']!, y.assets['a']!)
    return within(a, a) && (!(within(a, b) && within(b, c)) || within(a, c))
  }), { numRuns: 500 })
  assert.ok(outputWithin({ to: ['a'], shape: 'rows' }, { to: ['*'], shape: 'rows' }))
})

// ---- acts -----------------------------------------------------------------------------------------------------------

test('a charter is founded by the approval of every party over its digest', () => {
  const first = charter(FRAUD)
  const digest = charterDigest(p, first)
  const approve = (party: string, change: object = {}): Act => signAct(signer(party), { verb: 'approve', lineage: digest, digest, epoch: 1, party, ...change })
  ok(founded(p, first, digest, all.map(party => approve(party))))
  refused(founded(p, first, digest, ['alpha', 'bravo'].map(party => approve(party))), 'charter.not-approved')
  refused(founded(p, first, digest, [approve('alpha'), approve('bravo'), approve('carol', { epoch: 2 })]), 'charter.not-approved')
  refused(founded(p, first, digest, [approve('alpha'), approve('bravo'), { ...approve('alpha'), party: 'carol' }]), 'charter.not-approved')
})

test('an act cannot be replayed under another verb, epoch, charter or party', () => {
  const first = charter(FRAUD)
  const digest = charterDigest(p, first)
  const act = signAct(signer('alpha'), { verb: 'approve', lineage: digest, digest, epoch: 1, party: 'alpha' })
  ok(verifyAct(p, first, act))
  const other = `sha256:${'ab'.repeat(32)}` as const
  for (const change of [{ verb: 'revoke' }, { epoch: 2 }, { digest: other }, { lineage: other }, { party: 'bravo' }, { subject: 'x' }, { prev: other }]) refused(verifyAct(p, first, { ...act, ...change } as Act), 'charter.act')
})

test('names that every object inherits are nobody and nothing', () => {
  const first = charter(FRAUD)
  const digest = charterDigest(p, first)
  refused(verifyAct(p, first, signAct(signer('alpha'), { verb: 'approve', lineage: digest, digest, epoch: 1, party: 'constructor' })), 'charter.act')
  const { view, request, judged, nothing, now } = scene()
  refused(decide(p, view, { ...request, program: 'constructor' }, judged, nothing, now), 'program.unknown')
})

test('a widening needs its owners, the quorum and the notice; a veto of a touched owner ends it', () => {
  const first = charter(FRAUD)
  const lineage = charterDigest(p, first)
  const widened = next(first, copy => { for (const out of grantOf(copy, 'b-claims').out ?? []) if (out.atLeast !== undefined) out.atLeast = 5 })
  const digest = charterDigest(p, widened)
  const reviewed = ok(review(p, first, widened))
  const act = (verb: 'approve' | 'veto', party: string) => signAct(signer(party), { verb, lineage, digest, epoch: 2, prev: lineage, party })
  const check = (acts: Act[], now: number) => actsSatisfy(p, { lineage, prev: first, next: widened, digest, proposedAt: 1000 }, reviewed, acts, now)
  const everybody = all.map(party => act('approve', party))
  refused(check([], 1e9), 'charter.not-approved')
  refused(check([act('approve', 'alpha'), act('approve', 'carol')], 1e9), 'charter.not-approved')
  refused(check([act('approve', 'bravo')], 1e9), 'charter.quorum')
  refused(check(everybody, 1000 + 2 * 86_400 - 1), 'charter.notice')
  refused(check([...everybody, act('veto', 'bravo')], 1e9), 'charter.not-approved')
  ok(check(everybody, 1000 + 2 * 86_400))
})

// ---- decide ---------------------------------------------------------------------------------------------------------

function scene() {
  const value = charter(FRAUD.replace('tee: [snp, tdx], tcb: current, where: [EU]', 'tee: [snp]'))
  const lineage = charterDigest(p, value)
  const now = 1_800_000_000
  const view: View = { lineage, charter: value, revoked: false, head: { time: now, witnesses: 2 }, enactedAt: now - 100 }
  const request: Request = { charter: lineage, epoch: 1, program: 'match', asset: 'a-claims', can: 'read', nonce: new Uint8Array(32) }
  const claims = { tee: 'snp', simulated: false, debug: false, hostData: programIdentity(p, lineage, 'match', value.programs['match']!).slice(7) }
  // The claims that decide reads; appraisal has judged the others.
  const judged = { claims, tcb: 'current' } as Judged
  const nothing = () => ({ uses: 0, bytes: 0, epsilon: 0 })
  return { value, view, request, judged, nothing, now }
}

test('decide allows what the charter grants, with what may leave', () => {
  const { view, request, judged, nothing, now } = scene()
  const decision = ok(decide(p, view, request, judged, nothing, now))
  assert.deepEqual(decision.debit, { uses: 1, epsilon: 500_000 })
  assert.equal(decision.outputs.length, 2)
})

test('decide refuses each missing piece under its own code', () => {
  const { view, request, judged, nothing, now } = scene()
  const judgedAs = (claims: object, tcb: 'current' | 'outdated' = 'current') => ({ claims: { ...judged.claims, ...claims }, tcb }) as Judged
  const cases: [string, View, Request, Judged, number?][] = [
    ['head.stale', { ...view, head: { time: now - 3601, witnesses: 2 } }, request, judged], ['head.unwitnessed', { ...view, head: { time: now, witnesses: 1 } }, request, judged],
    ['charter.revoked', { ...view, revoked: true }, request, judged], ['charter.superseded', view, { ...request, epoch: 2 }, judged],
    ['program.unknown', view, { ...request, program: 'other' }, judged], ['program.mismatch', view, request, judgedAs({ hostData: '00'.repeat(32) })],
    ['place.tee', view, request, judgedAs({ tee: 'simulated', simulated: true })], ['place.tcb', view, request, judgedAs({}, 'outdated')], ['place.debug', view, request, judgedAs({ debug: true })],
    ['grant.none', view, { ...request, asset: 'zzz' }, judged], ['grant.none', view, { ...request, can: 'write' }, judged],
  ]
  for (const [code, v, r, j] of cases) refused(decide(p, v, r, j, nothing, now), code)
  refused(decide(p, view, request, judged, () => ({ uses: 1, bytes: 0, epsilon: 0 }), now), 'budget.spent', /grants\[0\]\.budget\.uses/)
})

test('adding a receiver in one grant sends nothing until the others add it too', () => {
  const { value } = scene()
  const [a, b] = value.grants
  const wider: Grant = { ...a!, out: (a!.out ?? []).map(out => ({ ...out, to: [...out.to, 'mallory'] })) }
  assert.deepEqual(outputsOf([wider, b!]).map(out => out.to), outputsOf([a!, b!]).map(out => out.to))
  assert.deepEqual(outputsOf([a!, { ...b!, out: [] }]), [])
})
