// A lineage's root, dealt to its parties: each opens and checks its own share, k of them give it to one broker, nobody else learns it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { toHex } from '../bytes/hex.ts'
import { parseJson } from '../bytes/json.ts'
import { utf8 } from '../bytes/text.ts'
import { charterDigest } from '../charter/canonical.ts'
import type { Charter, Hash } from '../charter/types.ts'
import { hpkeKeyPair } from '../crypto/hpke.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Random } from '../crypto/primitives.ts'
import { drawSecret } from '../crypto/shamir.ts'
import { attempt, type Result } from '../refusal.ts'
import { encrypt, generateIdentity } from './age/index.ts'
import { checkRecovery, dealRecovery, openShare, parseRecovery, recoverRoot, recoverSubject, recoveryDigest, resealShare, restKeyOf, type RecoveringBroker, type RecoveryDocument } from './recovery.ts'

const refused = (result: Result<unknown>, ...codes: string[]) => {
  assert.ok(!result.ok, 'accepted')
  assert.ok(codes.includes(result.refusal.code), result.refusal.code)
}
const given = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
let drawn = 0
const random: Random = length => p.shake256(utf8(`recovery ${drawn++}`), length)

const NAMES = ['alpha', 'bravo', 'carol'] as const
const pairs = NAMES.map((_, i) => generateIdentity(p, i === 1 ? 'x25519' : 'hybrid', random))
const identityOf = (party: string) => pairs[NAMES.findIndex(name => name === party)]?.identity ?? assert.fail()
const charter: Charter = {
  charter: 1, name: 'room', epoch: 1, parties: Object.fromEntries(NAMES.map((name, i) => [name, { keys: [`ed25519:${'94'.repeat(32)}`], seal: [pairs[i]?.recipient ?? ''] }])),
  programs: {}, assets: {}, grants: [], change: { widen: { of: [...NAMES], need: 3, notice: '1d' } }, recover: { of: [...NAMES], need: 2 }, log: { at: 'https://log.test', witnesses: 1, head: '1h' },
}
const lineage = charterDigest(p, charter)
const root = drawSecret(random)
const document = given(dealRecovery(p, lineage, charter, root, random))
const pair = hpkeKeyPair(p, 'x-wing', random(32))
const to: RecoveringBroker = { seal: pair.publicKey, key: `p256:04${'11'.repeat(64)}`, nonce: random(32) }
const shareOf = (party: string) => given(openShare(p, document, party, [identityOf(party)]))
const give = (party: string, where = to, of = document) => resealShare(p, of, party, shareOf(party), where, random)

test('dealt to three, any two of them give it back inside the broker, and the key at rest with it', () => {
  for (const [a, b] of [['alpha', 'bravo'], ['carol', 'alpha'], ['bravo', 'carol']] as const) {
    const { root: again, used, faulty } = given(recoverRoot(p, document, pair.secret, to, [give(a), give(b)]))
    assert.deepEqual([toHex(again), used, faulty], [toHex(root), [a, b].sort(), []])
    assert.equal(toHex(restKeyOf(p, again, lineage)), toHex(restKeyOf(p, root, lineage)))
  }
  refused(recoverRoot(p, document, pair.secret, to, [give('alpha')]), 'share.too-few')
  refused(recoverRoot(p, document, pair.secret, to, [give('alpha'), give('alpha')]), 'share.too-few')
  refused(recoverRoot(p, document, pair.secret, to, Array.from({ length: 33 }, () => give('alpha'))), 'share.threshold')
  assert.notEqual(toHex(restKeyOf(p, root, lineage)), toHex(restKeyOf(p, root, `sha256:${'00'.repeat(32)}`)))
  assert.equal(restKeyOf(p, root, lineage).length, 32)
})

test('a party opens its own share and no other; a share that does not fit is found at once', () => {
  assert.deepEqual(NAMES.map(name => shareOf(name).index), [1, 2, 3])
  refused(openShare(p, document, 'alpha', [identityOf('bravo')]), 'age.recipient')
  refused(openShare(p, document, 'dave', [identityOf('alpha')]), 'share.index')
  const swapped: RecoveryDocument = { ...document, shares: [document.shares[2] ?? '', document.shares[1] ?? '', document.shares[0] ?? ''] }
  refused(openShare(p, swapped, 'alpha', [identityOf('carol')]), 'share.index')
  const other = given(dealRecovery(p, lineage, charter, root, random))
  refused(openShare(p, { ...document, shares: other.shares }, 'alpha', [identityOf('alpha')]), 'share.false')
  const torn = toBase64(given(encrypt(p, [pairs[0]?.recipient ?? ''], utf8('short'), random)))
  refused(openShare(p, { ...document, shares: [torn, ...document.shares.slice(1)] }, 'alpha', [identityOf('alpha')]), 'share.form')
})

test('a false share is named by its party, and the others go on', () => {
  const bad = give('bravo')
  const flipped = { ...bad, ciphertext: toBase64(fromBase64(bad.ciphertext).map((byte, i) => (i === 9 ? byte ^ 1 : byte))) }
  const lying = resealShare(p, document, 'bravo', { ...shareOf('bravo'), value: shareOf('alpha').value }, to, random)
  const wrongs = [flipped, lying, { ...give('alpha'), party: 'bravo' }, { ...bad, enc: 'x' }, resealShare(p, document, 'bravo', shareOf('alpha'), to, random)]
  for (const wrong of wrongs) {
    const { root: again, used, faulty } = given(recoverRoot(p, document, pair.secret, to, [give('alpha'), wrong, give('carol')]))
    assert.deepEqual([toHex(again), used, faulty.map(one => one.party)], [toHex(root), ['alpha', 'carol'], ['bravo']])
  }
  const stranger = given(recoverRoot(p, document, pair.secret, to, [{ ...bad, party: 'dave' }, give('alpha'), give('carol'), give('carol')]))
  assert.deepEqual(stranger.faulty.map(one => [one.party, one.refusal.code]), [['dave', 'share.index'], ['carol', 'share.index']])
})

test('a share given to one broker, for one recovery and one dealing, opens in no other', () => {
  const otherPair = hpkeKeyPair(p, 'x-wing', random(32))
  const both = [give('alpha'), give('bravo')]
  refused(recoverRoot(p, document, otherPair.secret, to, both), 'share.too-few')
  refused(recoverRoot(p, document, pair.secret, { ...to, nonce: random(32) }, both), 'share.too-few')
  refused(recoverRoot(p, document, pair.secret, { ...to, key: `p256:04${'12'.repeat(64)}` }, both), 'share.too-few')
  const other: RecoveryDocument = { ...document, lineage: `sha256:${'77'.repeat(32)}` }
  refused(recoverRoot(p, other, pair.secret, to, both), 'share.too-few')
  const subjects = [
    recoverSubject(p, document, both[0] ?? give('alpha'), to), recoverSubject(p, document, both[1] ?? give('alpha'), to), recoverSubject(p, other, both[0] ?? give('alpha'), to),
    ...[{ ...to, nonce: random(32) }, { ...to, key: 'p256:00' }, { ...to, seal: otherPair.publicKey }].map(where => recoverSubject(p, document, both[0] ?? give('alpha'), where)),
  ]
  assert.equal(new Set(subjects).size, subjects.length)
  assert.ok(subjects.every(text => /^[\u0020-\u007e]{1,1024}$/.test(text)))
})

test('nobody is dealt to without a recipient, and a charter without recovery deals nothing', () => {
  const { recover: _, ...none } = charter
  refused(dealRecovery(p, lineage, none, root, random), 'charter.missing-field')
  for (const party of [{ keys: [] }, { keys: [], seal: [] }]) refused(dealRecovery(p, lineage, { ...charter, parties: { ...charter.parties, bravo: party } }, root, random), 'age.recipient')
  refused(dealRecovery(p, lineage, { ...charter, recover: { of: ['alpha', 'toString'], need: 1 } }, root, random), 'age.recipient')
  refused(dealRecovery(p, lineage, { ...charter, recover: { of: ['alpha', 'bravo'], need: 3 } }, root, random), 'share.threshold')
  const text = JSON.stringify(document)
  assert.ok(NAMES.every(name => !text.includes(toBase64(shareOf(name).value))) && !text.includes(toBase64(root)))
})

test('a dealing belongs to its lineage, to one of its charters, and to the parties of the newest', () => {
  const second: Charter = { ...charter, epoch: 2, prev: lineage, log: { ...charter.log, head: '2h' } }
  assert.ok(checkRecovery(p, document, [charter]).ok)
  assert.ok(checkRecovery(p, document, [charter, second]).ok, 'dealt under an earlier charter, with the same recovery')
  refused(checkRecovery(p, document, []), 'charter.lineage')
  refused(checkRecovery(p, { ...document, lineage: `sha256:${'00'.repeat(32)}` }, [charter]), 'charter.lineage')
  refused(checkRecovery(p, { ...document, charter: `sha256:${'00'.repeat(32)}` }, [charter]), 'charter.lineage')
  refused(checkRecovery(p, { ...document, epoch: 2 }, [charter]), 'charter.lineage')
  refused(checkRecovery(p, { ...document, epoch: 2 }, [charter, second]), 'charter.lineage')
  refused(checkRecovery(p, { ...document, need: 1 }, [charter]), 'charter.quorum')
  refused(checkRecovery(p, document, [charter, { ...second, recover: { of: ['alpha', 'bravo'], need: 2 } }]), 'charter.quorum')
  const { recover: _, ...without } = second
  refused(checkRecovery(p, document, [charter, without]), 'charter.missing-field')
})

test('a recovery document is read strictly', () => {
  const read = (value: unknown) => attempt(() => parseRecovery(parseJson(JSON.stringify(value))))
  assert.deepEqual(given(read(document)), document)
  assert.equal(recoveryDigest(p, given(read(document))), recoveryDigest(p, document))
  const [first = '', ...rest] = document.shares
  const bad: unknown[] = [
    null, [], { ...document, more: 1 }, { ...document, recovery: 2 }, { ...document, epoch: 0 }, { ...document, epoch: 1.5 }, { ...document, epoch: '1' }, { ...document, lineage: 'x' as Hash }, { ...document, charter: 1 },
    { ...document, of: ['bravo', 'alpha', 'carol'] }, { ...document, of: ['alpha', 'alpha', 'carol'] }, { ...document, of: ['Alpha', 'bravo', 'carol'] }, { ...document, of: 'alpha' }, { ...document, of: Array.from({ length: 33 }, (_, i) => `p${i + 10}`) },
    { ...document, commitments: document.commitments.slice(1) }, { ...document, commitments: [...document.commitments, document.commitments[0]] }, { ...document, commitments: ['', ''] }, { ...document, shares: rest }, { ...document, shares: [...document.shares, first] }, { ...document, shares: [1, ...rest] },
    { ...document, shares: [toBase64(new Uint8Array(65_537)), ...rest] },
  ]
  for (const value of bad) refused(read(value), 'share.form')
  for (const value of [{ ...document, need: 4 }, { ...document, need: 0 }, { ...document, need: '2' }, { ...document, of: [], shares: [] }]) refused(read(value), 'share.threshold')
  refused(read({ ...document, shares: ['*', ...rest] }), 'bytes.encoding')
})
