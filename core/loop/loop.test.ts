// The locked loop: whole turns hold; every document at another place, of another node, state, time or key is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { charterDigest } from '../charter/canonical.ts'
import { FRAUD } from '../charter/documents.fixture.ts'
import { charter, next as nextCharter } from '../charter/scene.fixture.ts'
import { formatKey } from '../crypto/keys.ts'
import { AK384, areaOf } from '../evidence/tpm/tpm.fixture.ts'
import { encodeReceipt } from '../receipt/receipt.ts'
import { attempt } from '../refusal.ts'
import { authorityOf, checkNewest, keysOf, termOf, type Authority } from './authority.ts'
import { after, follow, followLast, START } from './chain.ts'
import { encodeConfiguration, encodeReport, LOOP_LIMITS, openingBinding, parseConfiguration, parseReport, requirement, reportBinding, type Configuration, type Report } from './documents.ts'
import { readNodeState, writeState } from './kept.ts'
import { BOOT, edSigner, FIRMWARE, hexOf, KERNEL, Loop, nodeSigner, NOW, ok, p, PAYLOAD, quote, refused, REQUIRES, STATE, TestLog } from './loop.fixture.ts'
import { catchUp, makeReport, NEW_NODE, openConfiguration, reopen, statementDigest, withOpening } from './node.ts'
import { admit, challengeOf, next as orchestrate } from './orchestrate.ts'
import { encodePayload, parsePayload } from './payload.ts'
import { stateOf } from './state.ts'

const reported = (loop: Loop) => ok(parseReport(p, loop.state.unanswered.at(-1) ?? '', loop.trust.node))

test('three turns: each document carries the digest of the other, and each is a leaf', () => {
  const loop = new Loop()
  const first = loop.turn()
  assert.equal(first.sequence, 1)
  assert.equal(first.previous, undefined)
  const second = loop.turn(false)
  const third = loop.turn(false)
  const leaves = loop.log.leaves()
  assert.equal(leaves.length, 6)
  const digests = leaves.map(leaf => statementDigest(p, leaf.envelope))
  const report = ok(parseReport(p, leaves[4]?.envelope ?? '', loop.trust.node)).body
  assert.deepEqual([third.accepts, third.previous, report.previous, report.configuration], [digests[4], digests[3], digests[2], digests[3]])
  assert.equal(second.accepts, digests[2])
  assert.equal(report.register, after(p, after(p, BOOT, digests[1] ?? assert.fail()), digests[3] ?? assert.fail()))
  const { view, void: unplaced } = ok(follow(p, loop.trust, leaves))
  assert.deepEqual([view.index, view.report?.sequence, view.configuration?.digest, unplaced], [5, 2, digests[5], []])
})

test('the last leaves are enough, and only from a report that was accepted', () => {
  const loop = new Loop()
  for (const challenge of [undefined, false, false] as const) loop.turn(challenge)
  const leaves = loop.log.leaves()
  assert.deepEqual(ok(followLast(p, loop.trust, leaves.slice(4))).view, ok(follow(p, loop.trust, leaves)).view)
  assert.deepEqual(ok(followLast(p, loop.trust, leaves.slice(2))).view, ok(follow(p, loop.trust, leaves)).view)
  assert.deepEqual(ok(followLast(p, loop.trust, leaves)).view, ok(follow(p, loop.trust, leaves)).view)
  assert.deepEqual(ok(followLast(p, loop.trust, [])).view, START)
  refused(followLast(p, loop.trust, leaves.slice(4, 5)), 'loop.skip', 'leaves[0]')
  refused(followLast(p, loop.trust, leaves.slice(3)), 'receipt.type')
})

test('a loop stays in one log, though the policy trusts two', () => {
  const loop = new Loop()
  loop.turn()
  const elsewhere = new TestLog('other.test')
  for (const { envelope } of loop.log.leaves()) elsewhere.append(envelope)
  assert.ok(follow(p, loop.trust, elsewhere.leaves()).ok)
  refused(follow(p, loop.trust, [...loop.log.leaves(), ...elsewhere.leaves()]), 'log.origin', 'leaves')
  loop.report({ challenge: false })
  refused(loop.find(elsewhere.leaves()), 'log.origin', 'leaves')
})

test('the orchestrator resends what it has answered, and answers no report twice', () => {
  const loop = new Loop()
  loop.report()
  loop.answer()
  const again = ok(loop.next())
  assert.ok(again.kind === 'answered')
  assert.equal(again.leaf.envelope, loop.log.leaf(1).envelope)
  loop.now += 601
  refused(loop.next(), 'loop.window', 'validUntil')
})

test('reports are admitted at their place, under a fresh head, whatever is judged of them; an answer is shown from its leaf', () => {
  const loop = new Loop()
  loop.turn()
  loop.report({ challenge: false, state: stateOf({ kernel: '5.10' }) })
  const admitted = () => admit(p, ok(followLast(p, loop.trust, loop.log.leaves())), loop.delivery(), loop.trust, loop.now)
  assert.deepEqual(ok(admitted()), loop.state.unanswered)
  loop.log.now = NOW - 601
  refused(admitted(), 'head.stale', 'leaves')
  loop.log.now = NOW
  loop.log.append(loop.state.unanswered[0] ?? '')
  assert.deepEqual(ok(admitted()), [])
  const other = new Loop()
  other.report()
  other.answer()
  const { view, head } = ok(follow(p, other.trust, other.log.leaves()))
  refused(nextOf(other, { view, head, void: [] }), 'loop.skip', 'leaves')
})

test('what no node would read is not logged', () => {
  const loop = new Loop()
  loop.report()
  const { plan } = loop
  loop.plan = judged => ({ ...plan(judged), validUntil: 0 })
  refused(loop.next(), 'loop.document', 'configuration.validUntil')
  loop.plan = judged => ({ ...plan(judged), requires: { ...REQUIRES, facts: { kernel: new Array<string>(20).fill('x'.repeat(4000)) } } })
  refused(loop.next(), 'bytes.too-large')
  loop.plan = plan
  assert.ok(loop.next().ok)
})

test('the last leaves begin with a report that one of them accepts, not with one that is only named beside', () => {
  const [loop, later] = [new Loop(), new Loop()]
  loop.turn()
  loop.turn(false)
  const [, , report, configuration] = loop.log.leaves()
  later.report()
  later.answer()
  assert.ok(report !== undefined && configuration !== undefined)
  // A configuration that accepts another report says nothing for this one.
  refused(followLast(p, loop.trust, [report, ...later.log.leaves().slice(1)]), 'loop.skip', 'leaves[0]')
})

test('of two configurations for one report the first in the log counts', () => {
  const loop = new Loop()
  loop.report()
  const [one, two] = [ok(loop.next()), ok(loop.next())]
  assert.ok(one.kind === 'answer' && two.kind === 'answer')
  for (const envelope of [...one.append, ...two.append]) loop.log.append(envelope)
  const { configuration, void: unplaced } = ok(follow(p, loop.trust, loop.log.leaves()))
  assert.equal(configuration?.document.envelope, one.append[1])
  assert.deepEqual(unplaced.map(({ index, refusal }) => [index, refusal.code]), [[3, 'loop.fork']])
  assert.equal(ok(loop.find()).document.envelope, one.append[1])
  refused(loop.find([loop.log.leaf(0)]), 'loop.skip', 'leaves')
})

test('a report: skipped, older, another at its place', () => {
  const loop = new Loop()
  loop.turn()
  const before = loop.state
  loop.report({ challenge: false })
  const lost = loop.state
  loop.report()
  refused(loop.next(loop.delivery({ reports: loop.state.unanswered.slice(-1) })), 'loop.skip', 'report.sequence')
  loop.answer()
  assert.equal(loop.log.entries.length, 5, 'both reports and the answer to the last')
  refused(loop.next(loop.delivery({ reports: lost.unanswered })), 'loop.rollback', 'report.sequence')
  loop.state = before
  loop.now += 1
  loop.report()
  loop.state = { ...loop.state, unanswered: loop.state.unanswered.slice(-1) }
  refused(loop.next(), 'loop.rollback', 'report.sequence')
  loop.report()
  refused(loop.next(), 'loop.fork', 'report.')
  refused(loop.next(loop.delivery({ reports: [] })), 'loop.document', 'reports')
  refused(loop.next(loop.delivery({ reports: new Array<string>(LOOP_LIMITS.backlog + 1).fill(loop.state.unanswered[0] ?? '') })), 'bytes.too-large')
})

test('a report of a configuration that is not the one this loop gave', () => {
  const loop = new Loop()
  const digest = (index: number) => statementDigest(p, loop.log.leaf(index).envelope)
  loop.turn()
  loop.turn(false)
  const claim = (configuration: Report['configuration']) => {
    const { configuration: _, ...body } = (loop.report(), reported(loop).body)
    const envelope = encodeReport(loop.node, { ...body, ...(configuration === undefined ? {} : { configuration }) })
    const result = loop.next(loop.delivery({ reports: [envelope], evidence: quote(loop.pcrs(), reportBinding(p, 'tpm', statementDigest(p, envelope))) }))
    loop.state = { ...kept }
    return result
  }
  const before = loop.state
  let kept = before
  refused(claim(undefined), 'loop.rollback', 'report.configuration')
  // Nor does one that nobody answered take it away.
  loop.report({ challenge: false })
  loop.log.append(loop.state.unanswered.at(-1) ?? '')
  kept = loop.state
  refused(claim(undefined), 'loop.rollback', 'report.configuration')
  assert.ok(claim(digest(3)).ok)
  loop.log.entries.pop()
  kept = loop.state = before
  refused(claim(digest(0)), 'loop.rollback', 'report.configuration')
  // The configuration before, as if the newest had never been opened: its register says otherwise.
  refused(claim(digest(1)), 'loop.state', 'report.register')
  assert.ok(claim(digest(3)).ok)
})

test('the register: as before with what was opened since, or since boot; nothing else', () => {
  const loop = new Loop()
  loop.turn()
  const digest = statementDigest(p, loop.log.leaf(1).envelope)
  const attempt = (register: string) => {
    const kept = [loop.state, loop.register] as const
    loop.register = register
    loop.report({ challenge: false })
    const result = loop.next()
    ;[loop.state, loop.register] = kept
    return result
  }
  assert.ok(attempt(after(p, BOOT, digest)).ok)
  refused(attempt(BOOT), 'loop.state', 'report.register')
  refused(attempt('33'.repeat(32)), 'loop.state', 'report.register')
  loop.report({ challenge: false })
  refused(loop.next(loop.delivery({ evidence: quote(loop.pcrs({ '13': BOOT }), reportBinding(p, 'tpm', loop.state.made?.digest ?? assert.fail())) })), 'loop.state', 'claims.registers')
  const { '13': _, ...without } = loop.pcrs()
  refused(loop.next(loop.delivery({ evidence: quote(without, reportBinding(p, 'tpm', loop.state.made?.digest ?? assert.fail())) })), 'loop.state', 'claims.registers')
  loop.turn()
  // After a boot the one in force is measured first, and nothing of what was before.
  loop.register = after(p, BOOT, statementDigest(p, loop.log.leaf(loop.log.entries.length - 1).envelope))
  loop.report({ challenge: false })
  assert.ok(loop.next().ok)
  const unmeasured = new Loop()
  unmeasured.report()
  const { register: _none, ...trust } = unmeasured.trust
  refused(unmeasured.next(unmeasured.delivery(), { ...unmeasured.demands, trust }), 'loop.state', 'report.register')
})

test('evidence of another state, another report, another machine', () => {
  const loop = new Loop()
  loop.report()
  const bound = reportBinding(p, 'tpm', loop.state.made?.digest ?? assert.fail())
  const given = (evidence: ReturnType<typeof quote>) => loop.next(loop.delivery({ evidence }))
  refused(given(quote(loop.pcrs({ '0': KERNEL }), bound)), 'appraisal.measurement')
  refused(given(quote(loop.pcrs({ '11': FIRMWARE }), bound)), 'appraisal.register')
  refused(given(quote(loop.pcrs(), new Uint8Array(32))), 'evidence.report-data')
  refused(given({ ...quote(loop.pcrs(), bound), ak: toBase64(areaOf(AK384)) }), 'evidence.signer')
  refused(loop.next(loop.delivery({ state: stateOf({ kernel: '6.12.95', os: 'debian 13' }).bytes })), 'loop.document', 'state')
  assert.ok(given(quote(loop.pcrs(), bound)).ok)
  const moved = new Loop()
  moved.turn()
  moved.report({ challenge: false })
  const leaves = moved.log.leaves()
  const followed = ok(followLast(p, moved.trust, leaves))
  assert.equal(followed.view.configuration?.chip.slice(0, 4), '000b')
  const other = structuredClone(followed.view.configuration ?? assert.fail())
  const changed = { ...followed, view: { ...followed.view, configuration: { ...other, chip: 'another' } } }
  refused(nextOf(moved, changed), 'loop.node', 'claims.chipId')
})

test('facts that are not as demanded, or not there', () => {
  for (const facts of [{ kernel: '5.10' }, { os: 'debian 12' }]) {
    const loop = new Loop()
    const state = stateOf(facts)
    loop.report({ state })
    refused(loop.next(loop.delivery({ state: state.bytes })), 'loop.state', 'state.kernel')
  }
})

test('replay: a challenge of another node, key or time; a nonce that was used; no nonce', () => {
  const loop = new Loop()
  const asked = (challenge: string) => {
    const kept = loop.state
    loop.report({ challenge })
    const result = loop.next()
    loop.state = kept
    return result
  }
  assert.ok(asked(loop.challenge()).ok)
  refused(asked(challengeOf(p, loop.demands.challengeKey, 'p256:04', NOW)), 'loop.replay', 'report.nonce')
  refused(asked(challengeOf(p, new Uint8Array(32), loop.trust.node, NOW)), 'loop.replay', 'report.nonce')
  refused(asked(challengeOf(p, loop.demands.challengeKey, loop.trust.node, NOW - 301)), 'loop.replay', 'report.nonce')
  refused(asked(challengeOf(p, loop.demands.challengeKey, loop.trust.node, NOW + 301)), 'loop.replay', 'report.nonce')
  refused(asked('AAAA'), 'loop.replay')
  refused(asked('not base64'), 'loop.replay')
  refused(asked(toBase64(new Uint8Array(40).fill(0xff))), 'loop.replay', 'report.nonce')
  loop.turn()
  const digest = statementDigest(p, loop.log.leaf(1).envelope)
  refused(asked('AAAA'), 'loop.replay', 'report.nonce')
  refused(asked(statementDigest(p, loop.log.leaf(0).envelope)), 'loop.replay', 'report.nonce')
  loop.report({ challenge: false })
  assert.equal(reported(loop).body.nonce, digest)
  assert.ok(loop.next().ok)
  refused(asked(digest), 'loop.replay', 'report.nonce')
  refused(makeReport(p, loop.state, loop.node, { seal: '', key: '', state: STATE, register: BOOT, time: NOW }), 'loop.replay', 'challenge')
  // Logged, and the orchestrator stopped before it answered: the same report is still the first under its configuration.
  loop.log.append(loop.state.unanswered[0] ?? '')
  assert.ok(loop.next().ok)
})

test('a report of another time', () => {
  for (const [time, good] of [[NOW - 300, true], [NOW + 300, true], [NOW - 301, false], [NOW + 301, false]] as const) {
    const loop = new Loop()
    loop.report({ time })
    const result = loop.next()
    assert.equal(result.ok, good)
    if (!good) refused(result, 'loop.window', 'report.time')
  }
})

test('the node opens within the window only, and not with a clock behind the log', () => {
  const loop = new Loop()
  loop.report()
  loop.answer()
  const found = ok(loop.find())
  const { validFrom, validUntil } = found.document.body
  for (const now of [validFrom, validUntil]) assert.ok(loop.open(found, { now }).ok)
  refused(loop.open(found, { now: validFrom - 1 }), 'loop.window', 'configuration')
  refused(loop.open(found, { now: validUntil + 1 }), 'loop.window', 'configuration')
  loop.log.now = NOW + 301
  refused(loop.open(ok(loop.find())), 'loop.window', 'clock')
  loop.log.now = NOW + 300
  assert.ok(loop.open(ok(loop.find())).ok)
})

test('neither side goes on under a head that is old, or that nobody saw', () => {
  const loop = new Loop()
  loop.turn()
  loop.report({ challenge: false })
  loop.answer()
  loop.log.now = NOW - 600
  assert.ok(loop.next().ok && loop.open(ok(loop.find())).ok)
  loop.log.now = NOW - 601
  refused(loop.next(), 'head.stale', 'leaves')
  refused(loop.open(ok(loop.find())), 'head.stale', 'leaves')
  const alone = { ...loop.trust, log: { ...loop.trust.log, quorum: 'none' } }
  loop.log.now = NOW
  const { head } = ok(follow(p, alone, loop.log.leaves()))
  assert.equal(head, 0)
  refused(loop.open({ ...ok(loop.find()), head }), 'head.stale', 'leaves')
  const mixed = loop.log.leaves().slice(0, -1)
  loop.log.now = NOW - 601
  assert.equal(ok(follow(p, loop.trust, [...mixed, ...loop.log.leaves().slice(-1)])).head, NOW - 601, 'the oldest head counts')
})

test('the node opens in the required state, on its machine, with its key only', () => {
  const loop = new Loop()
  loop.report()
  loop.answer()
  const found = ok(loop.find())
  assert.deepEqual(ok(loop.open(found)), PAYLOAD)
  refused(loop.open(found, { pcrs: { '11': FIRMWARE } }), 'appraisal.register')
  refused(loop.open(found, { pcrs: { '13': '33'.repeat(32) } }), 'loop.state', 'claims.registers.PCR13')
  refused(loop.open(found, { facts: { kernel: '5.10' } }), 'loop.state', 'state.kernel')
  refused(loop.open(found, { bound: new Uint8Array(32) }), 'evidence.report-data')
  refused(loop.open(found, { secret: loop.random(32) }), 'seal.open')
  const { '13': _, ...unmeasured } = loop.pcrs()
  const { register: _none, ...made } = loop.state.made ?? assert.fail()
  const evidence = quote(unmeasured, openingBinding(p, 'tpm', found.document.digest))
  refused(openConfiguration(p, loop.trust, { ...loop.state, made }, found, { evidence, options: { ...loop.demands.evidence, now: loop.now }, facts: { kernel: '6.12.95' }, secret: loop.secret }), 'loop.state', 'claims.registers')
  const moved = { ...found, document: { ...found.document, body: { ...found.document.body, chip: 'another' } } }
  refused(loop.open(moved), 'loop.node', 'claims.chipId')
  for (const change of [{ validUntil: NOW + 9999 }, { sequence: 7 }, { time: 1 }, { evidence: found.document.digest }]) {
    refused(loop.open({ ...found, document: { ...found.document, body: { ...found.document.body, ...change } } }), 'seal.open')
  }
})

test('a configuration at another place: of another node, older, skipped, unanswered, of another charter', () => {
  const [one, two] = [new Loop('one'), new Loop('two')]
  one.turn()
  const old = one.log.leaf(1)
  one.report({ challenge: false })
  refused(one.find(), 'loop.skip', 'leaves')
  refused(one.find([], NEW_NODE), 'loop.skip', 'state')
  refused(one.find([old], { ...one.state, view: START }), 'loop.skip')
  two.report()
  refused(two.find(one.log.leaves()), 'loop.skip', 'leaves')
  const late = new Loop()
  late.report()
  late.answer()
  late.report()
  refused(late.find(), 'loop.rollback', 'configuration.accepts')
  late.answer()
  assert.ok(late.find().ok)
  const body = ok(parseConfiguration(p, old.envelope, keysOf(one.trust.authority))).body
  const at = (change: Partial<Configuration>) => {
    const loop = new Loop('one')
    loop.report()
    loop.log.append(loop.state.unanswered[0] ?? '')
    const accepts = loop.state.made?.digest ?? assert.fail()
    loop.log.append(encodeConfiguration(p, loop.orchestrator, { ...body, accepts, ...change }))
    return { loop, followed: ok(follow(p, loop.trust, loop.log.leaves())) }
  }
  assert.ok(at({}).followed.configuration !== undefined)
  const zero = `sha256:${'0'.repeat(64)}` as const
  for (const [change, code] of [[{ node: two.trust.node }, 'loop.node'], [{ accepts: zero }, 'loop.skip'], [{ accepts: zero, sequence: 0 }, 'loop.rollback'], [{ sequence: 2 }, 'loop.skip'], [{ previous: zero }, 'loop.skip'], [{ charter: zero }, 'receipt.charter']] as const) {
    const { loop, followed } = at(change)
    assert.deepEqual([followed.configuration, followed.void.map(({ refusal }) => refusal.code)], [undefined, [code]])
    refused(loop.find(), 'loop.skip', 'leaves')
  }
  const early = new TestLog()
  early.append(old.envelope)
  assert.deepEqual(ok(follow(p, one.trust, early.leaves())).void.map(({ refusal }) => refusal.code), ['loop.skip'])
  const governed = { ...one.trust, authority: one.trust.authority.map(term => ({ ...term, charter: zero })) }
  assert.deepEqual(ok(follow(p, governed, one.log.leaves())).void.map(({ refusal }) => refusal.code).slice(0, 1), ['receipt.charter'])
})

test('keys rotate and charters move on: history stays readable, and only the newest term is opened', () => {
  const [old, young] = [edSigner('orchestrator'), edSigner('young')]
  const [one, two] = [`sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`] as const
  const terms = [{ keys: [formatKey(old.publicKey)], charter: one }, { keys: [formatKey(young.publicKey)], charter: two }]
  const loop = new Loop()
  Object.assign(loop.trust, { authority: terms.slice(0, 1) })
  loop.turn()
  loop.report({ challenge: false })
  loop.answer()
  const found = ok(loop.find())
  assert.ok(loop.open(found).ok)
  Object.assign(loop.trust, { authority: terms })
  refused(loop.open(ok(loop.find())), 'receipt.charter', 'configuration.charter')
  loop.report()
  refused(loop.next(), 'receipt.charter', 'signer')
  Object.assign(loop, { orchestrator: young })
  loop.answer()
  assert.equal(ok(loop.find()).document.body.charter, two)
  assert.ok(loop.open(ok(loop.find())).ok)
  assert.deepEqual(ok(followLast(p, loop.trust, loop.log.leaves().slice(-2))).view, ok(follow(p, loop.trust, loop.log.leaves())).view)
  // The old key, or the old charter under the new key: void from then on.
  loop.report()
  loop.log.append(loop.state.unanswered.at(-1) ?? '')
  const { body } = ok(loop.find(loop.log.leaves().slice(0, -1), { ...loop.state, made: { digest: statementDigest(p, loop.state.unanswered.at(-2) ?? ''), sequence: 2 } })).document
  const next = { ...body, accepts: loop.state.made?.digest ?? assert.fail(), sequence: 4, previous: statementDigest(p, loop.log.leaf(5).envelope) }
  loop.log.append(encodeConfiguration(p, old, { ...next, charter: one }))
  loop.log.append(encodeConfiguration(p, young, { ...next, charter: one }))
  assert.deepEqual(ok(follow(p, loop.trust, loop.log.leaves())).void.map(({ refusal }) => refusal.code), ['receipt.charter', 'receipt.charter'])
  loop.log.append(encodeConfiguration(p, young, next))
  assert.equal(ok(loop.find()).document.body.sequence, 4)
})

test('the terms of a party: its plain keys, in every epoch, and one signature is enough', () => {
  const first = charter(FRAUD)
  const { alpha } = first.parties
  const second = nextCharter(first, copy => { copy.parties['alpha'] = { ...copy.parties['alpha'], keys: [...alpha?.keys ?? [], formatKey(edSigner('young').publicKey)].toSorted() } })
  const authority = ok(authorityOf(p, [first, second], 'alpha'))
  assert.deepEqual(authority.map(term => [term.charter, term.keys.length]), [[charterDigest(p, first), alpha?.keys.length], [charterDigest(p, second), (alpha?.keys.length ?? 0) + 1]])
  assert.deepEqual(keysOf(authority).length, (alpha?.keys.length ?? 0) + 1)
  const passkey = { ...first, parties: { ...first.parties, alpha: { keys: [...alpha?.keys ?? [], 'webauthn-p256:example.org:04aa'] } } }
  assert.deepEqual(ok(authorityOf(p, [passkey], 'alpha'))[0]?.keys, alpha?.keys)
  refused(authorityOf(p, [first], 'nobody'), 'charter.dangling')
  refused(authorityOf(p, [first], 'toString'), 'charter.dangling')
  refused(authorityOf(p, [nextCharter(second, copy => { copy.parties['alpha'] = { ...copy.parties['alpha'], keys: copy.parties['alpha']?.keys ?? [], need: 2 } })], 'alpha'), 'charter.quorum')
})

test('the newest term: its charter and one of its keys, and nobody without a term', () => {
  const [one, two] = [`sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`] as const
  const authority = [{ keys: ['a', 'b'], charter: one }, { keys: ['b', 'c'], charter: two }]
  const newest = (key: string, charter?: typeof one, terms: Authority = authority) => attempt(() => checkNewest(terms, key, charter, 'x'))
  for (const key of ['b', 'c']) assert.ok(newest(key, two).ok)
  for (const [key, charter, terms] of [['a', two], ['c', one], ['b', one], ['c', undefined], ['c', undefined, []]] as const) refused(newest(key, charter, terms), 'receipt.charter', 'x')
  assert.deepEqual([termOf(authority, 'a', one), termOf(authority, 'b', one), termOf(authority, 'b', two), termOf(authority, 'a', two), termOf(authority, 'c', one), termOf(authority, 'c', undefined)], [0, 0, 1, -1, -1, -1])
})

test('a log that holds a report which this disk does not know: the disk was set back', () => {
  const loop = new Loop()
  loop.turn()
  const snapshot = loop.state
  loop.turn(false)
  loop.state = snapshot
  refused(loop.find(), 'loop.rollback', 'log.report')
  // Another report of the restored disk is refused by the orchestrator, too.
  loop.report({ challenge: false })
  refused(loop.find(), 'loop.rollback', 'log.report')
  refused(loop.next(), 'loop.fork', 'report.sequence')
  loop.report()
  refused(loop.next(loop.delivery({ reports: loop.state.unanswered.slice(-1) })), 'loop.fork', 'report.previous')
})

test('nothing counts that is not in the witnessed log, or that nobody entitled signed', () => {
  const loop = new Loop()
  loop.report()
  loop.answer()
  const [report, configuration] = loop.log.leaves()
  assert.ok(report !== undefined && configuration !== undefined)
  refused(loop.find([report, { ...configuration, proof: report.proof }]), 'log.inclusion')
  refused(loop.find([report, { ...configuration, proof: configuration.proof.replace(/— w\.test .*\n/, '') }]), 'log.witnesses')
  const stranger = new Loop()
  stranger.report()
  const forged = { ...ok(stranger.next()) }
  assert.ok(forged.kind === 'answer')
  const body = ok(parseConfiguration(p, forged.append[1] ?? '', keysOf(stranger.trust.authority))).body
  stranger.log.append(forged.append[0] ?? '')
  stranger.log.append(encodeConfiguration(p, edSigner('stranger'), body))
  stranger.log.append('no receipt at all')
  refused(stranger.find(), 'loop.skip', 'leaves')
  refused(parseConfiguration(p, encodeConfiguration(p, edSigner('stranger'), body), keysOf(stranger.trust.authority)), 'receipt.key')
  const envelope = forged.append[1] ?? ''
  const signature = /"sig":"([^"]+)"/.exec(envelope)?.[1] ?? ''
  refused(parseConfiguration(p, envelope.replace(signature, toBase64(fromBase64(signature).map(byte => byte ^ 1))), keysOf(stranger.trust.authority)), 'receipt.signature')
  refused(parseReport(p, encodeReport(nodeSigner('stranger'), reported(stranger).body), stranger.trust.node), 'receipt.key')
  refused(parseReport(p, encodeReport(nodeSigner('stranger'), reported(stranger).body), 'p256:04'), 'loop.node')
  refused(follow(p, loop.trust, new Array<typeof report>(LOOP_LIMITS.leaves + 1).fill(report)), 'bytes.too-large')
})

test('a crash between opening and activation: the same payload, and the next report begins under it', () => {
  const loop = new Loop()
  loop.report()
  loop.answer()
  const found = ok(loop.find())
  loop.state = ok(readNodeState(writeState(withOpening(loop.state, found, ['a', 'b']))))
  const { opening } = loop.state
  assert.ok(opening !== undefined)
  assert.deepEqual(ok(reopen(p, loop.trust, opening, loop.secret)), PAYLOAD)
  refused(reopen(p, loop.trust, opening, loop.random(32)), 'seal.open')
  refused(makeReport(p, loop.state, loop.node, { challenge: 'x', seal: '', key: '', state: STATE, time: NOW }), 'loop.state', 'opening')
})

test('a state on disk is read as it was written, and nothing else', () => {
  const loop = new Loop()
  loop.turn()
  loop.report({ challenge: false })
  for (const state of [NEW_NODE, loop.state, withOpening(loop.state, { ...okFound() }, ['x'])]) assert.deepEqual(jcs(ok(readNodeState(writeState(state)))), jcs(state))
  const text = writeState(loop.state)
  refused(readNodeState(text.replace('"unanswered"', '"answered"')), 'store.corrupt')
  refused(readNodeState(text.replace('"index":1', '"index":-2')), 'store.corrupt')
  refused(readNodeState(text.replace(/"digest":"sha256:/, '"digest":"sha1:')), 'store.corrupt')
  refused(readNodeState('{}'), 'store.corrupt')
  refused(readNodeState('{"view":{"index":-1,"time":0},"unanswered":[7]}'), 'store.corrupt')
  refused(readNodeState('{"view":{"index":-1,"time":0,"x":0},"unanswered":[]}'), 'store.corrupt')
  refused(readNodeState('{"view":{"index":-1,"time":0},"unanswered":[],"key":7}'), 'store.corrupt')
})
const okFound = () => {
  const loop = new Loop()
  loop.report()
  loop.answer()
  return ok(loop.find())
}

test('catching up: what the log holds is not sent again, and what this disk does not know is noticed', () => {
  const loop = new Loop()
  loop.turn()
  const before = loop.state
  for (let i = 0; i < 3; i++) {
    loop.now += 1
    loop.report()
  }
  const [first = '', second = '', third = ''] = loop.state.unanswered
  const same = ok(catchUp(p, loop.trust, loop.state, loop.log.leaves()))
  assert.deepEqual([same.unanswered, same.view.index], [[first, second, third], 1])
  for (const envelope of [first, second]) loop.log.append(envelope)
  const caught = ok(catchUp(p, loop.trust, loop.state, loop.log.leaves()))
  assert.deepEqual([caught.unanswered, caught.view.index, caught.made], [[third], 3, loop.state.made])
  loop.state = caught
  assert.ok(loop.next().ok)
  refused(catchUp(p, loop.trust, before, loop.log.leaves()), 'loop.rollback', 'log.report')
  loop.state = before
  loop.report()
  refused(catchUp(p, loop.trust, loop.state, loop.log.leaves()), 'loop.rollback', 'log.report')
  refused(catchUp(p, loop.trust, loop.state, [{ envelope: third, proof: loop.log.leaf(0).proof }]), 'log.inclusion')
})

test('a backlog has an end', () => {
  const loop = new Loop()
  loop.report()
  const state = { ...loop.state, unanswered: new Array<string>(LOOP_LIMITS.backlog).fill('x') }
  refused(makeReport(p, state, loop.node, { challenge: 'x', seal: '', key: '', state: STATE, time: NOW }), 'bytes.too-large')
})

test('a report says nothing else, in no other form', () => {
  const loop = new Loop()
  loop.report()
  const { body, envelope } = reported(loop)
  const { state, ...predicate } = body
  const encode = (change: object, subject = [{ name: state.mediaType, digest: { sha256: state.digest.slice(7) } }], verb = 'reported') => parseReport(p, encodeReceipt(loop.node, verb, subject, { ...predicate, ...change }), loop.trust.node)
  assert.ok(encode({}).ok)
  const zero = `sha256:${'0'.repeat(64)}`
  const wrong: [object, string][] = [[{ extra: 1 }, 'extra'], [{ sequence: -1 }, 'sequence'], [{ sequence: 0.5 }, 'sequence'], [{ sequence: 2 ** 41 }, 'sequence'], [{ sequence: 1 }, 'previous'], [{ previous: zero }, 'previous'], [{ previous: 'sha256:0' }, 'previous'], [{ register: '00' }, 'register'], [{ seal: 'AAAA' }, 'seal'], [{ time: 'x' }, 'time'], [{ nonce: 1 }, 'nonce'], [{ nonce: ['x'] }, 'nonce'], [{ nonce: 'x'.repeat(5000) }, 'nonce']]
  for (const [change, at] of wrong) refused(encode(change), 'loop.document', at)
  const named = (name: string) => ({ name, digest: { sha256: '0'.repeat(64) } })
  assert.ok(encode({}, [named('x'.repeat(128))]).ok)
  for (const subjects of [[], [named('a'), named('b')], [named('x'.repeat(129))]]) refused(encode({}, subjects), 'loop.document', 'subject')
  refused(encode({}, [{ name: '', digest: { sha256: '0'.repeat(64) } }]), 'loop.document', 'subject')
  refused(encode({}, undefined, 'configured'), 'receipt.type')
  const payload = new TextDecoder().decode(fromBase64(/"payload":"([^"]+)"/.exec(envelope)?.[1] ?? ''))
  refused(parseReport(p, envelope.replace(/"payload":"[^"]+"/, `"payload":"${toBase64(utf8(` ${payload}`))}"`), loop.trust.node), 'loop.document', 'payload')
})

test('what evidence is bound to: 32 bytes where a field takes no more, and zeros behind them elsewhere; never the same for both documents', () => {
  const digest = `sha256:${'5'.repeat(64)}` as const
  const short = reportBinding(p, 'tpm', digest)
  assert.equal(short.length, 32)
  assert.deepEqual(reportBinding(p, 'azure', digest), short)
  for (const kind of ['snp', 'tdx', 'simulated', 'nitro'] as const) assert.equal(hexOf(reportBinding(p, kind, digest)), `${hexOf(short)}${'00'.repeat(32)}`)
  assert.notEqual(hexOf(openingBinding(p, 'tpm', digest)), hexOf(short))
})

test('a configuration says nothing else, in no other form', () => {
  const loop = new Loop()
  const body = loop.turn()
  const keys = keysOf(loop.trust.authority)
  const sealedDigest = hexOf(p.hash('sha256', fromBase64(body.sealed.ciphertext)))
  const encode = (change: object, sha256 = sealedDigest, name = 'sealed') => parseConfiguration(p, encodeReceipt(loop.orchestrator, 'configured', [{ name, digest: { sha256 } }], { ...body, ...change }), keys)
  assert.ok(encode({}).ok)
  refused(encode({}, '0'.repeat(64)), 'loop.document', 'subject')
  refused(encode({}, sealedDigest, 'open'), 'loop.document', 'subject')
  const subject = { name: 'sealed', digest: { sha256: sealedDigest } }
  for (const subjects of [[], [subject, subject]]) refused(parseConfiguration(p, encodeReceipt(loop.orchestrator, 'configured', subjects, body), keys), 'loop.document', 'subject')
  const wrong: [object, string][] = [[{ extra: 1 }, 'extra'], [{ validFrom: body.validUntil + 1 }, 'validUntil'], [{ accepts: 'x' }, 'accepts'], [{ sealed: 1 }, 'sealed'], [{ sealed: { ...body.sealed, x: 1 } }, 'sealed.x'], [{ sealed: { ...body.sealed, enc: 1 } }, 'sealed.enc'], [{ requires: { ...REQUIRES, x: 1 } }, 'requires.x'], [{ requires: { ...REQUIRES, facts: { kernel: 'x' } } }, 'requires.facts.kernel'], ...[[], [1], ['x', 1], ['x', 'y'.repeat(5000)]].map((kernel): [object, string] => [{ requires: { ...REQUIRES, facts: { kernel } } }, 'requires.facts.kernel']), [{ requires: { appraisal: { ...REQUIRES.appraisal, reportData: '00' } } }, 'reportData']]
  for (const [change, at] of wrong) refused(encode(change), 'loop.document', at)
  refused(encode({ requires: { appraisal: { tee: ['tpm'] } } }), 'appraisal.policy')
  assert.deepEqual(requirement({ appraisal: { ...REQUIRES.appraisal } } as never).facts, undefined)
  assert.equal(formatKey(loop.orchestrator.publicKey), keys[0])
})

test('a payload: units and files below /etc, and nothing that leads elsewhere', () => {
  assert.deepEqual(ok(parsePayload(encodePayload(PAYLOAD))), PAYLOAD)
  const wrong: [object, string][] = [
    [{ services: ['web'], files: [] }, 'services[0]'], [{ services: ['../x.service'], files: [] }, 'services[0]'], [{ services: [], files: [], x: 1 }, 'payload.x'], [{ services: 'x', files: [] }, 'services'], [{ services: [], files: [1] }, 'files[0]'],
    ...['/usr/bin/x', '/etc', '/etc/../x', '/etc/./x', '/etc//x', 'etc/x', '/etc/x/', '/etc/x\n'].map((path): [object, string] => [{ services: [], files: [{ path, content: '' }] }, 'files[0].path']),
    [{ services: [], files: [{ path: '/etc/x', content: '', mode: 0o1777 }] }, 'mode'], [{ services: [], files: [{ path: '/etc/x', content: 1 }] }, 'content'], [{ services: [], files: [{ path: '/etc/x', content: '', x: 1 }] }, 'files[0].x'],
    [{ services: [], files: [{ path: '/etc/x', content: '' }, { path: '/etc/x', content: '' }] }, 'files'],
  ]
  for (const [payload, at] of wrong) refused(parsePayload(utf8(jcs(payload))), 'loop.document', at)
  assert.throws(() => encodePayload({ services: [], files: [{ path: '/etc/x', content: new Uint8Array(24 * 1024) }] }), /bytes.too-large/)
  // The largest payload still makes an entry of the log.
  const loop = new Loop()
  loop.plan = () => ({ payload: { services: [], files: [{ path: '/etc/x', content: new Uint8Array(18_000) }] }, requires: REQUIRES, validFrom: NOW, validUntil: NOW + 1 })
  assert.equal(loop.turn().sequence, 1)
})

function nextOf(loop: Loop, followed: Parameters<typeof orchestrate>[1]) {
  return orchestrate(p, followed, loop.delivery(), loop.demands, loop.plan, loop.orchestrator, loop.now, loop.random)
}
