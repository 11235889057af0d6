// Published digests, the table of review, acts and decide: what the charter room must answer (charter.md sections 5 to 9, 12).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { portable as p } from '../crypto/portable.ts'
import { actsSatisfy, founded, signAct, verifyAct, type Act } from './acts.ts'
import { canonicalCharter, charterDigest } from './canonical.ts'
import { decide, outputsOf, type Judged, type Request, type View } from './decide.ts'
import { DOCUMENTS, FRAUD } from './documents.fixture.ts'
import { parseCharter } from './parse.ts'
import { review } from './review.ts'
import { all, charter, grantOf, next, ok, refused, scene, signer } from './scene.fixture.ts'
import type { Charter, Grant } from './types.ts'
import { parseCharterYaml } from './yaml.ts'

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

const TABLE: [string, (copy: Charter) => void, 'narrow' | 'widen', string[]][] = [
  ['epsilon 0.5 → 0.1', copy => { for (const out of grantOf(copy, 'a-claims').out ?? []) if (out.epsilon !== undefined) out.epsilon = 0.1 }, 'narrow', ['alpha']],
  ['new configuration', copy => { copy.programs['match']!.config = { x: '1' } }, 'widen', all],
  ['new grant to write', copy => { copy.grants.push({ asset: 'a-claims', to: 'match', can: 'write' }) }, 'widen', ['alpha']],
  ['witnesses 2 → 3', copy => { copy.log.witnesses = 3 }, 'widen', all],
  ['recover dropped', copy => { delete copy.recover }, 'widen', all],
  ['notice 2d → 1d', copy => { copy.change.widen.notice = '1d' }, 'widen', all],
  ['a key more for bravo', copy => { copy.parties['bravo']!.keys.push(`ed25519:${'12'.repeat(32)}`) }, 'widen', ['bravo']],
  ['another key for bravo', copy => { copy.parties['bravo']!.keys = [`ed25519:${'12'.repeat(32)}`] }, 'widen', ['bravo']],
  ['another key for bravo and a new party', copy => { copy.parties['bravo']!.keys = [`ed25519:${'12'.repeat(32)}`]; copy.parties['mallory'] = { keys: [`ed25519:${'13'.repeat(32)}`] } }, 'widen', all],
  ['other keys for bravo and carol', copy => { copy.parties['bravo']!.keys = [`ed25519:${'12'.repeat(32)}`]; copy.parties['carol']!.keys = [`ed25519:${'13'.repeat(32)}`] }, 'widen', ['bravo', 'carol']],
  ['another key for bravo, fewer witnesses', copy => { copy.parties['bravo']!.keys = [`ed25519:${'12'.repeat(32)}`]; copy.log.witnesses = 1 }, 'widen', all],
  ['other bytes of the program', copy => { copy.programs['match']!.run = { sql: `sha256:${'1'.repeat(64)}` } }, 'widen', all],
  ['tcb: any', copy => { copy.programs['match']!.on.tcb = 'any' }, 'widen', all],
  ['where dropped', copy => { delete copy.programs['match']!.on.where }, 'widen', all],
  ['add until', copy => { grantOf(copy, 'a-claims').until = '2030-01-01T00:00:00Z' }, 'narrow', ['alpha']],
  ['uses 1 → 0', copy => { grantOf(copy, 'a-claims').budget!.uses = 0 }, 'narrow', ['alpha']],
  ['per 1d → 7d', copy => { grantOf(copy, 'a-claims').budget!.per = '7d' }, 'widen', ['alpha']],
  ['about dropped', copy => { for (const out of grantOf(copy, 'a-claims').out ?? []) delete out.about }, 'widen', ['alpha']],
  ['rows → scalar', copy => { for (const out of grantOf(copy, 'a-claims').out ?? []) if (out.shape === 'rows') out.shape = 'scalar' }, 'widen', ['alpha']],
  ['read → use', copy => { grantOf(copy, 'a-claims').can = 'use' }, 'widen', ['alpha']],
  ['a new party receives from alpha alone', copy => { copy.parties['mallory'] = { keys: [`ed25519:${'12'.repeat(32)}`] }; for (const out of grantOf(copy, 'a-claims').out ?? []) out.to.push('mallory') }, 'widen', all],
  ['a program that nobody grants to', copy => { copy.programs['other'] = { run: { sql: `sha256:${'2'.repeat(64)}` }, on: { tee: ['snp'] } } }, 'narrow', []],
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

test('review: other units, other order, the same charter', () => {
  const first = charter(FRAUD)
  const other = charter(FRAUD.replace('notice: 2d', 'notice: 48h').replace('tee: [snp, tdx]', 'tee: [tdx, snp, tdx]').replace('lasts: 4h', 'lasts: 240m'))
  assert.equal(charterDigest(p, other), charterDigest(p, first))
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

test('decide allows what the charter grants, with what may leave', () => {
  const { view, request, judged, nothing, now } = scene()
  const decision = ok(decide(p, view, request, judged, nothing, now))
  assert.deepEqual(decision.debit, { uses: 1, epsilon: 500_000 })
  assert.equal(decision.outputs.length, 2)
})

test('decide refuses each missing piece under its own code', () => {
  const { view, request, judged, judgedAs, nothing, now } = scene()
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

test('a program is named by host data of each machine: 32 bytes, or these and zeros in 48 (TDX) and 64 (SGX)', () => {
  const { view, request, judged, judgedAs, nothing, now } = scene()
  const { hostData } = judged.claims
  for (const longer of [hostData, hostData.padEnd(96, '0'), hostData.padEnd(128, '0')]) ok(decide(p, view, request, judgedAs({ hostData: longer }), nothing, now))
  for (const other of ['', hostData.slice(0, 62), hostData.padEnd(66, '0'), hostData.padEnd(130, '0'), hostData.padEnd(96, '1'), `${'0'.repeat(64)}${hostData}`]) refused(decide(p, view, request, judgedAs({ hostData: other }), nothing, now), 'program.mismatch')
})

test('adding a receiver in one grant sends nothing until the others add it too', () => {
  const { value } = scene()
  const [a, b] = value.grants
  const wider: Grant = { ...a!, out: (a!.out ?? []).map(out => ({ ...out, to: [...out.to, 'mallory'] })) }
  assert.deepEqual(outputsOf([wider, b!]).map(out => out.to), outputsOf([a!, b!]).map(out => out.to))
  assert.deepEqual(outputsOf([a!, { ...b!, out: [] }]), [])
})
