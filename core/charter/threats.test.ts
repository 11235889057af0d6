// The threats of charter.md section 11 that are decided in this room, and documents made to mislead its readers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toBase64 } from '../bytes/base64.ts'
import { parseJson } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { formatKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import { actsSatisfy, parseAct, signAct, verifyAct, type Act, type Verb } from './acts.ts'
import { canonicalCharter, charterDigest, programIdentity } from './canonical.ts'
import { budgetKey, budgetWindow, decide, factBytes, type Fact, type Request } from './decide.ts'
import { BOX, DOCUMENTS, FRAUD, MODEL } from './documents.fixture.ts'
import { explainReview, openableWithoutOwner } from './explain.ts'
import { LIMITS } from './limits.ts'
import { parseCharter } from './parse.ts'
import { review } from './review.ts'
import { all, charter, grantOf, next, ok, refused, scene, signer } from './scene.fixture.ts'
import type { Charter } from './types.ts'
import { parseCharterYaml } from './yaml.ts'

// ---- head and clock -------------------------------------------------------------------------------------------------

test('an old charter presented as current, and a current one under an old view, are refused', () => {
  const { value, lineage, view, request, judged, nothing, now } = scene()
  const second = next(value, copy => { grantOf(copy, 'b-claims').until = '2040-01-01T00:00:00Z' })
  refused(decide(p, { ...view, charter: second }, request, judged, nothing, now), 'charter.superseded', /^charter$/)
  refused(decide(p, { ...view, charter: second }, { ...request, charter: charterDigest(p, second) }, judged, nothing, now), 'charter.superseded')
  ok(decide(p, { ...view, charter: second }, { ...request, charter: charterDigest(p, second), epoch: 2 }, judged, nothing, now))
  assert.equal(view.lineage, lineage)
})
test('a withheld head and a clock set back are refused, and no clock finds a fresh budget before the first window', () => {
  const { view, request, judged, nothing, now } = scene()
  refused(decide(p, view, request, judged, nothing, now + 3601), 'head.stale', /^log\.head$/)
  refused(decide(p, view, request, judged, nothing, now - 3600), 'head.stale')
  const budget = { uses: 1, per: '1d' }
  assert.deepEqual([-1e6, -1, 0, 86_399, 86_400].map(after => budgetWindow(budget, 1e9, 1e9 + after)), [0, 0, 0, 0, 1])
  assert.equal(budgetWindow({ uses: 1 }, 1e9, 2e9), 0)
})
test('an end is an end to the second', () => {
  const { view, request, judged, nothing, now } = scene(FRAUD.replace('tee: [snp, tdx], tcb: current, where: [EU]', 'tee: [snp]').replace('can: read', 'can: read\n    until: "2027-01-15T08:00:00Z"'))
  assert.equal(now, Date.UTC(2027, 0, 15, 8) / 1000)
  refused(decide(p, view, request, judged, nothing, now), 'grant.expired', /^grants\[0\]\.until$/)
  ok(decide(p, view, request, judged, nothing, now - 1))
})

// ---- place and program ----------------------------------------------------------------------------------------------

test('simulated, sample, debug, old firmware, a GPU that is not there: each is refused with its line', () => {
  const { view, request, judgedAs, nothing, now } = scene()
  for (const tee of ['simulated', 'sample', 'tdx']) refused(decide(p, view, request, judgedAs({ tee }), nothing, now), 'place.tee', /^programs\.match\.on\.tee$/)
  refused(decide(p, view, request, judgedAs({ debug: true }), nothing, now), 'place.debug')
  refused(decide(p, view, request, judgedAs({}, 'outdated'), nothing, now), 'place.tcb', /on\.tcb$/)
  const gpu = scene(FRAUD.replace('tee: [snp, tdx], tcb: current, where: [EU]', 'tee: [snp], tcb: any, gpu: [hopper]'))
  refused(decide(p, gpu.view, gpu.request, gpu.judged, gpu.nothing, now), 'place.gpu', /on\.gpu$/)
  const where = scene(FRAUD)
  refused(decide(p, where.view, where.request, where.judged, where.nothing, now), 'place.where')
})
test('GPUs: only where the charter lists them, every one of the list, with firmware that is known', () => {
  const device = (product: string, change: object = {}, facts: object = {}) => ({ product, debug: false, ...change, facts: { kind: 'nvidia', device: 'gpu', referenceComplete: true, ...facts } })
  const gpus = scene(FRAUD.replace('tee: [snp, tdx], tcb: current, where: [EU]', 'tee: [snp], gpu: [hopper, gb202]'))
  const none = scene()
  const judge = (world: typeof none, devices: readonly object[]) => decide(p, world.view, world.request, world.judgedAs({ devices }), world.nothing, world.now)
  ok(judge(gpus, [device('GH100'), device('GB202'), device('LS10', {}, { device: 'switch', referenceComplete: false })]))
  ok(judge(none, []))
  refused(judge(none, [device('GH100')]), 'place.gpu', /on\.gpu$/)
  refused(judge(gpus, [device('LS10', {}, { device: 'switch' })]), 'place.gpu')
  for (const bad of [device('GB100'), device('AD102'), device('GH100', { debug: true }), device('GH100', {}, { referenceComplete: false })]) refused(judge(gpus, [device('GH100'), bad]), 'place.gpu')
})
test('confused deputy: neither another program of the charter nor the same program of another charter gets the key', () => {
  const { value, lineage, view, request, judgedAs, nothing, now } = scene()
  const two = next(value, copy => { copy.programs['other'] = structuredClone(copy.programs['match'] ?? assert.fail()) })
  const at = { ...view, charter: two }
  const asked: Request = { ...request, charter: charterDigest(p, two), epoch: 2 }
  const as = (name: string, of = lineage) => judgedAs({ hostData: programIdentity(p, of, name, two.programs['match'] ?? assert.fail()).slice(7) })
  ok(decide(p, at, asked, as('match'), nothing, now))
  refused(decide(p, at, asked, as('other'), nothing, now), 'program.mismatch', /^programs\.match\.run$/)
  refused(decide(p, at, { ...asked, program: 'other' }, as('other'), nothing, now), 'grant.none')
  refused(decide(p, at, asked, as('match', `sha256:${'0'.repeat(64)}`), nothing, now), 'program.mismatch')
  for (const program of ['constructor', '__proto__', 'toString']) refused(decide(p, at, { ...asked, program }, as('match'), nothing, now), 'program.unknown')
})
test('other configuration is another program', () => {
  const program = charter(FRAUD).programs['match'] ?? assert.fail()
  const lineage = `sha256:${'0'.repeat(64)}` as const
  assert.notEqual(programIdentity(p, lineage, 'match', { ...program, config: { tools: 'x' } }), programIdentity(p, lineage, 'match', program))
  assert.equal(programIdentity(p, lineage, 'match', { ...program, on: { tee: ['simulated'] } }), programIdentity(p, lineage, 'match', program))
})

// ---- facts ----------------------------------------------------------------------------------------------------------

test('a fact holds for one request of one program, and needs as many keys as its party', () => {
  const yaml = MODEL.replace('gpu: [hopper, blackwell]', 'tcb: any').replace('tcb: current, ', '').replace('needs: [guard.safe]', 'needs: [guard.safe, lab.reviewed]')
  const value = charter(yaml)
  const lineage = charterDigest(p, value)
  const now = 1_800_000_000
  const judged = { ...scene().judgedAs({ hostData: programIdentity(p, lineage, 'serve', value.programs['serve'] ?? assert.fail()).slice(7) }) }
  const view = { lineage, charter: value, revoked: false, head: { time: now, witnesses: 2 }, enactedAt: now }
  const request: Request = { charter: lineage, epoch: 1, program: 'serve', asset: 'weights', can: 'use', nonce: new Uint8Array(32).fill(7) }
  const state = (party: string, fact: string, who: string, about: Request = request): Fact => {
    const by = signer(who)
    return { party, fact, key: formatKey(by.publicKey), signature: toBase64(by.sign(factBytes(lineage, about, `${party}.${fact}`))) }
  }
  const decided = (...facts: Fact[]) => decide(p, view, { ...request, facts }, judged, () => ({ uses: 0, bytes: 0, epsilon: 0 }), now)
  const [safe, one, two] = [state('guard', 'safe', 'guard'), state('lab', 'reviewed', 'lab 1'), state('lab', 'reviewed', 'lab 2')]
  ok(decided(safe, one, two))
  ok(decided({ ...safe, signature: '!' }, one, safe, two, { ...safe, key: 'nonsense' }))
  refused(decided(one, two), 'needs.missing', /^grants\[0\]\.needs\[0\]$/)
  refused(decided(safe), 'needs.missing', /needs\[1\]$/)
  refused(decided(safe, one, one), 'needs.bad-signature', /needs\[1\]$/)
  refused(decided(safe, one, { ...two, signature: one.signature }), 'needs.bad-signature')
  refused(decided(state('guard', 'safe', 'me'), one, two), 'needs.bad-signature')
  for (const change of [{ nonce: new Uint8Array(32) }, { can: 'read' as const }, { as: '/x' }, { asset: 'other' }, { program: 'other' }, { epoch: 2 }]) {
    refused(decided(state('guard', 'safe', 'guard', { ...request, ...change }), one, two), 'needs.bad-signature')
  }
})

// ---- budgets --------------------------------------------------------------------------------------------------------

test('a budget is spent by names: proposing again keeps its ledger, and another name is a widening', () => {
  const first = charter(FRAUD)
  const lineage = charterDigest(p, first)
  const second = next(first, copy => { grantOf(copy, 'a-claims').until = '2040-01-01T00:00:00Z' })
  assert.equal(budgetKey(lineage, grantOf(first, 'a-claims')), budgetKey(lineage, grantOf(second, 'a-claims')))
  const renamed = next(first, copy => {
    copy.programs['again'] = copy.programs['match'] ?? assert.fail()
    delete copy.programs['match']
    for (const grant of copy.grants) grant.to = 'again'
  })
  assert.deepEqual(ok(review(p, first, renamed)).sign, all)
  assert.equal(ok(review(p, first, renamed)).change, 'widen')
})
test('uses, bytes and epsilon are counted to the last one', () => {
  const { view, request, judged, now, value } = scene()
  const bounded = structuredClone(value)
  grantOf(bounded, 'a-claims').budget = { uses: 3, bytes: 100, epsilon: 1.2 }
  const lineage = charterDigest(p, bounded)
  const fits = { ...judged, claims: { ...judged.claims, hostData: programIdentity(p, lineage, 'match', bounded.programs['match'] ?? assert.fail()).slice(7) } }
  const spending = (uses: number, bytes: number, epsilon: number) => decide(p, { ...view, lineage, charter: bounded }, { ...request, charter: lineage }, fits, () => ({ uses, bytes, epsilon }), now)
  ok(spending(2, 99, 700_000))
  refused(spending(3, 0, 0), 'budget.spent', /^grants\[0\]\.budget\.uses$/)
  refused(spending(0, 100, 0), 'budget.spent', /budget\.bytes$/)
  refused(spending(0, 0, 700_001), 'budget.spent', /budget\.epsilon$/)
})

// ---- who must sign --------------------------------------------------------------------------------------------------

function proposal(change: (copy: Charter) => void, from = charter(FRAUD)) {
  const lineage = charterDigest(p, from)
  const proposed = next(from, change)
  const digest = charterDigest(p, proposed)
  const act = (verb: Verb, party: string, by = party) => signAct(signer(by), { verb, lineage, digest, epoch: 2, prev: lineage, party })
  const reviewed = ok(review(p, from, proposed))
  return { reviewed, act, check: (acts: Act[], now = 1e9) => actsSatisfy(p, { lineage, prev: from, next: proposed, digest, proposedAt: 0 }, reviewed, acts, now) }
}
test('nobody drops another owner’s grant by bundling it with a change of their own', () => {
  const { reviewed, act, check } = proposal(copy => {
    copy.grants = copy.grants.filter(grant => grant.asset !== 'b-claims')
    grantOf(copy, 'a-claims').until = '2040-01-01T00:00:00Z'
  })
  assert.deepEqual([reviewed.change, reviewed.sign], ['narrow', ['alpha', 'bravo']])
  refused(check([act('approve', 'alpha')]), 'charter.not-approved')
  ok(check([act('approve', 'alpha'), act('approve', 'bravo')], 0))
})
test('a narrowing carried along by a widening needs all its owners', () => {
  const { reviewed, act, check } = proposal(copy => {
    copy.programs['match']!.on.tee = ['snp']
    delete grantOf(copy, 'a-claims').budget
  })
  assert.deepEqual([reviewed.change, reviewed.sign, reviewed.oneOf], ['widen', all, []])
  refused(check([act('approve', 'alpha'), act('approve', 'bravo')]), 'charter.not-approved')
})
test('even what any owner may do, or nobody owns, needs the word of one who may', () => {
  const two = charter(FRAUD.replace('[a-claims, b-claims, c-claims]', '[a-claims, b-claims]'))
  const tee = proposal(copy => { copy.programs['match']!.on.tee = ['snp'] }, two)
  assert.deepEqual([tee.reviewed.sign, tee.reviewed.oneOf], [[], [['alpha', 'bravo']]])
  refused(tee.check([tee.act('approve', 'carol')], 0), 'charter.not-approved')
  ok(tee.check([tee.act('approve', 'bravo')], 0))
  const noted = proposal(copy => { copy.programs['other'] = { run: { sql: `sha256:${'2'.repeat(64)}` }, on: { tee: ['snp'] } } })
  refused(noted.check([], 0), 'charter.not-approved')
  ok(noted.check([noted.act('approve', 'carol')], 0))
})
test('nobody stops a narrowing; whoever vetoes has taken its own approval back', () => {
  const { act, check } = proposal(copy => { copy.programs['match']!.on.tee = ['snp'] })
  ok(check([act('approve', 'alpha'), act('veto', 'bravo')], 0))
  refused(check([act('approve', 'alpha'), act('veto', 'alpha')], 0), 'charter.not-approved')
})
test('the keys of a quorum count under the old charter and under the new one', () => {
  const mallory = formatKey(signer('mallory').publicKey)
  const taken = proposal(copy => { copy.parties['alpha'] = { keys: [mallory] } })
  const others = [taken.act('approve', 'bravo'), taken.act('approve', 'carol')]
  refused(taken.check([...others, taken.act('approve', 'alpha', 'mallory')]), 'charter.not-approved')
  refused(taken.check([...others, taken.act('approve', 'alpha')]), 'charter.not-approved')
  ok(taken.check([...others, taken.act('approve', 'alpha'), taken.act('approve', 'alpha', 'mallory')]))
  const fewer = proposal(copy => { delete copy.parties['lab']!.need }, charter(MODEL)) // two of three keys until now
  refused(fewer.check([fewer.act('approve', 'guard'), fewer.act('approve', 'lab', 'lab 1'), fewer.act('approve', 'lab', 'lab 1')]), 'charter.not-approved')
  ok(fewer.check(['guard', 'lab 1', 'lab 2'].map(by => fewer.act('approve', by.split(' ')[0] ?? '', by))))
})
test('an act names its party by the charter alone, and carries no other field', () => {
  const first = charter(BOX)
  const digest = charterDigest(p, first)
  const act = signAct(signer('me'), { verb: 'approve', lineage: digest, digest, epoch: 1, party: 'me' })
  ok(verifyAct(p, first, parseAct({ ...act })))
  refused(verifyAct(p, first, parseAct({ ...act, party: 'constructor' })), 'charter.act', /party$/)
  assert.throws(() => parseAct({ ...act, note: 'x' }), /charter\.act at act\.note/)
  for (const field of ['verb', 'epoch', 'party', 'prev']) assert.throws(() => parseAct({ ...act, [field]: parseJson('{}') }), /charter\.act at act/)
})

// ---- words for people -----------------------------------------------------------------------------------------------

test('a review says who must sign and by when; a charter says who can open what without its owner', () => {
  const { reviewed } = proposal(copy => { delete grantOf(copy, 'b-claims').budget })
  assert.deepEqual(explainReview(reviewed, 0).slice(1), ['must sign: bravo', 'and 3 of alpha, bravo, carol must sign', 'takes effect not before 1970-01-03T00:00:00.000Z; until then bravo may veto'])
  assert.match(explainReview(reviewed)[0] ?? '', /^\+ b-claims → match \(read\): budget\.per 1d → \(none\), budget\.uses 1 → \(none\) {3}\[bravo\]$/)
  assert.match(explainReview(reviewed).at(-1) ?? '', /2 days after the log has the proposal/)
  const { reviewed: narrow } = proposal(copy => { copy.programs['match']!.on.tee = ['snp'] })
  assert.deepEqual(explainReview(narrow).slice(1), ['one of alpha, bravo, carol must sign', 'takes effect at once'])
  assert.deepEqual(openableWithoutOwner(charter(FRAUD)).map(one => one.line), all.map(owner =>
    `${all.filter(one => one !== owner).join(' and ')} together can open ${owner[0]}-claims without its owner ${owner} (by recovery, inside an attested broker)`))
})

// ---- documents made to mislead ----------------------------------------------------------------------------------------

test('order, repetition, units, sugar and quotes do not change the digest', () => {
  const first = charter(FRAUD)
  fc.assert(fc.property(fc.infiniteStream(fc.nat()), numbers => {
    const stream = numbers[Symbol.iterator]()
    const shuffled = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(one => ({ one: shuffled(one), by: stream.next().value })).sort((a, b) => a.by - b.by).map(({ one }) => one)
      if (typeof value !== 'object' || value === null) return value === '2d' ? '48h' : value
      return Object.fromEntries(Object.entries(value).map(([key, one]) => ({ key, one: shuffled(one), by: stream.next().value })).sort((a, b) => a.by - b.by).map(({ key, one }) => [key, one]))
    }
    const text = JSON.stringify(shuffled(first), null, 1)
    return charterDigest(p, ok(parseCharter(text))) === charterDigest(p, first) && charterDigest(p, ok(parseCharterYaml(text))) === charterDigest(p, first)
  }), { numRuns: 50 })
})

const IN_YAML: [string, string, string, RegExp][] = [
  ['a byte order mark', `\ufeff${BOX}`, 'charter.syntax', /line 1/], ['a directive', `%YAML 1.1\n---\n${BOX}`, 'charter.syntax', /line 1/],
  ['a key that is true and "true"', FRAUD.replace('on:  {', 'config: { true: a, "true": b }\n    on:  {'), 'charter.syntax', /line 11/],
  ['a duplicate key in a flow', BOX.replace('kind: disk', 'kind: disk, kind: data'), 'charter.syntax', /line 8/], ['a merge key', `${BOX}<<: { recover: 1 }\n`, 'charter.unknown-field', /<< \(line 13\)/],
  ['an alias bomb', `a: &a [x,x]\n${'bcdefgh'.split('').map((key, i) => `${key}: &${key} [*${'abcdefgh'[i]},*${'abcdefgh'[i]}]`).join('\n')}\n`, 'charter.syntax', /line 1/],
  ['a number beyond 2^53', BOX.replace('epoch: 1', 'epoch: 9007199254740993'), 'json.number', /^epoch \(line 3\)/], ['a hexadecimal number', BOX.replace('epoch: 1', 'epoch: 0x1'), 'charter.syntax', /line 3/],
  ['__proto__', `__proto__: { epoch: 1 }\n${BOX}`, 'json.forbidden-key', /^__proto__ \(line 1\)/], ['a name that is not NFC', BOX.replace('as: /data', 'as: "/e\u0301"'), 'charter.value', /^grants\[0\]\.as \(line 10\)/],
  ['a hidden direction mark', BOX.replace('as: /data', 'as: "/a\u202eb"'), 'charter.value', /as \(line 10\)/], ['nowhere', FRAUD.replace('where: [EU]', 'where: []'), 'charter.value', /where/],
  ['a receiver that is absent', FRAUD.replace('carol], shape: aggregate', 'mallory], shape: aggregate'), 'charter.dangling', /^grants\[0\]\.out\[1\]\.to\[2\] \(line 23\)/],
  ['a fact of nobody', BOX.replace('as: /data', 'as: /data, needs: [nobody.yes]'), 'charter.dangling', /needs\[0\]/], ['an owner that is absent', BOX.replace('owner: me', 'owner: you'), 'charter.dangling', /assets\.disk\.owner \(line 8\)/],
  ['a grant of nothing', FRAUD.replace('[a-claims, b-claims, c-claims]', '[]'), 'charter.missing-field', /grants\[0\]\.asset \(line 17\)/],
  ['a grant twice', BOX.replace('as: /data }', 'as: /data }\n  - { asset: disk, to: app, can: use, as: /data }'), 'charter.duplicate', /^grants\[1\] \(line 11\)/],
  ['masses of lines', '\n'.repeat(250_000), 'charter.limit', /./], ['masses of signs', `a: ${'&a '.repeat(80_000)}`, 'charter.limit', /./], ['masses of brackets', `a: ${']'.repeat(200_000)}`, 'charter.syntax', /./],
  ['nesting by question marks', '? '.repeat(100_000), 'bytes.too-deep', /./], ['nesting by dashes', `${'- '.repeat(100_000)}x`, 'bytes.too-deep', /./], ['nesting by commas', `a: ${'[a,'.repeat(24_000)}`, 'bytes.too-deep', /./],
  ['10 MB', 'a'.repeat(10_000_000), 'charter.limit', /./],
]
for (const [name, text, code, at] of IN_YAML) test(`YAML: ${name} is ${code}`, () => refused(parseCharterYaml(text), code, at))

test('a short text cannot stand for a large charter', () => {
  const assets = Array.from({ length: 1000 }, (_, i) => `a${i}`)
  const party = { keys: [`ed25519:${'11'.repeat(32)}`] }
  const document = {
    charter: 1, name: 'x', epoch: 1, parties: { me: party }, programs: { app: { run: { sql: `sha256:${'0'.repeat(64)}` }, on: { tee: ['snp'] } } }, assets: Object.fromEntries(assets.map(one => [one, { owner: 'me', kind: 'data' }])),
    grants: [{ asset: assets, to: 'app', can: 'read', as: 'x'.repeat(1000) }], change: { widen: { of: ['me'], need: 1, notice: '0s' } }, log: { at: 'x', witnesses: 0, head: '1h' },
  }
  refused(parseCharter(JSON.stringify(document)), 'charter.limit', /^grants\[0\]$/)
  const small = { ...document, grants: [{ asset: assets, to: 'app', can: 'read' }] }
  assert.ok(canonicalCharter(ok(parseCharter(JSON.stringify(small)))).length <= LIMITS.bytes)
})

test('no text throws, and what is read is its own normal form', () => {
  const cut = fc.tuple(fc.constantFrom(...DOCUMENTS.map(one => one.yaml)), fc.nat(), fc.nat(12), fc.constantFrom('', '&a ', '*a', '!x ', '- ', '? ', '{', '[', ']', ': ', '"', '\n', '---\n', '0', '\u0000', '<<: ', '#'))
    .map(([text, at, length, extra]) => { const start = at % text.length; return text.slice(0, start) + extra + text.slice(start + length) })
  fc.assert(fc.property(fc.oneof(cut, fc.string({ unit: 'binary' }), fc.json()), text => {
    for (const parse of [parseCharterYaml, parseCharter, (one: string) => parseCharter(utf8(one))]) {
      if (!text.isWellFormed()) continue
      const result = parse(text)
      if (result.ok) assert.deepEqual(ok(parseCharter(canonicalCharter(result.value))), result.value)
    }
  }), { numRuns: 1500 })
})

test('collections opened on one line are counted before anything is read (attacks.md row 5)', () => {
  for (const sign of ['- ', '? ', ': ', '-\t', '  - ']) refused(parseCharterYaml(sign.repeat(20_000)), 'bytes.too-deep')
  const rule = FRAUD.replace('charter: 1', `# ${'- '.repeat(40)}\ncharter: 1`)
  ok(parseCharterYaml(rule))
})
