// A key split over three brokers, as a guest meets it: any two give it, a false one is named, one alone is not enough.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { signAct } from '@cloister/core/charter/acts'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Charter } from '@cloister/core/charter/types'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { attempt, orRefuse, Refused, type Result } from '@cloister/core/refusal'
import type { ReleasedKey } from '@cloister/core/seal/release'
import { partOf, splitKey, type KeyPart } from '@cloister/core/seal/shares'
import { codeOf, actOf, ask, found, newWorld, openKeys, put, run, wire, type World } from '../broker/world.fixture.ts'
import type { Broker } from '../broker/broker.ts'
import { sealDeposit } from '../broker/deposit.ts'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { joinAnswers, type Answered } from './keys.ts'

const IDENTITY = 'AGE-SECRET-KEY-OF-A'
interface Place { readonly world: World; readonly broker: Broker }

/** Three brokers with disks, keys and logs of their own, and one charter. */
async function threeBrokers(): Promise<Place[]> {
  return Promise.all([1, 2, 3].map(async which => {
    const world = newWorld({ seed: 'three brokers', uses: 1000 })
    for (let i = 0; i < which; i++) world.random(32) // from here on their keys differ
    const broker = await world.open()
    orRefuse(await found(world, broker))
    orRefuse(await put(world, broker, 'b-claims'))
    return { world, broker }
  }))
}

const aboutOf = (world: World, version: number) => ({ lineage: world.lineage, asset: 'a-claims', version, digest: `sha256:${'a'.repeat(64)}` as const })

function putShare({ world, broker }: Place, version: number, part: KeyPart, share: string, signed = part) {
  const about = aboutOf(world, version)
  const { body } = sealDeposit(p, broker.seal, { ...about, part }, share, world.random)
  const sealed = sealDeposit(p, broker.seal, { ...about, part: signed }, share, world.random)
  const { body: sent, subject } = signed === part ? { body: sealed.body, subject: sealed.subject } : { body, subject: sealed.subject }
  return broker.deposit(wire({ ...about, sealed: sent, part, act: actOf(world, 'alpha', 'put', world.charter, subject) }))
}

async function split(places: readonly Place[], version = 1, need = 2) {
  const [{ world } = assert.fail()] = places
  const made = splitKey(p, aboutOf(world, version), `${IDENTITY} ${version}`, { need, of: places.length }, world.random)
  for (const [i, place] of places.entries()) orRefuse(await putShare(place, version, { index: i + 1, split: made.split }, made.shares[i] ?? ''))
  return made
}

async function answers(places: readonly Place[]): Promise<Answered[]> {
  return Promise.all(places.map(async ({ world, broker }, i) => ({ broker: i, keys: orRefuse(await run(world, broker)).keys })))
}

const places = await threeBrokers()
const [{ world }] = places as [Place]
const made = await split(places)
const all = await answers(places)
const room = (charter: Charter = world.charter) => ({ lineage: world.lineage, charter, assets: ['a-claims'] })
const join = (given: readonly Answered[], charter?: Charter) => attempt(() => joinAnswers(p, room(charter), given))
const keyOf = (broker: number): ReleasedKey => all[broker]?.keys.find(key => key.asset === 'a-claims') ?? assert.fail()
const shareOf = (broker: number) => keyOf(broker).share ?? assert.fail()
const withKey = (broker: number, change: (key: ReleasedKey) => ReleasedKey): Answered[] => all.map(one => (one.broker === broker ? { ...one, keys: one.keys.map(key => (key.asset === 'a-claims' ? change(key) : key)) } : one))
const without = <T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> => Object.fromEntries(Object.entries(value).filter(([name]) => name !== key)) as Omit<T, K> // exactly that

test('any two of three brokers give the key; one does not, and the refusal says who is missing', () => {
  for (const pair of [[0, 1], [1, 2], [2, 0]]) {
    const { keys, setAside } = orRefuse(join(pair.flatMap(i => all[i] ?? [])))
    assert.deepEqual([keys[0]?.identity, keys[0]?.brokers, keys[0]?.split?.need, setAside], [`${IDENTITY} 1`, pair, 2, []])
  }
  const why = (code: 'head.stale' | 'broker.request' | 'budget.spent') => ({ code, at: 'here', expected: '', got: '' })
  const before = [{ broker: 0, refusal: why('head.stale') }, { broker: 7, asset: 'b-claims', refusal: why('broker.request') }, { broker: 8, asset: 'a-claims', refusal: why('budget.spent') }]
  const refused = attempt(() => joinAnswers(p, room(), all.slice(1, 2), before))
  assert.ok(!refused.ok && refused.refusal.code === 'share.too-few')
  assert.equal(refused.refusal.got, '1; broker 0: head.stale at here; broker 8: budget.spent at here')
  const false2 = attempt(() => joinAnswers(p, room(), withKey(1, key => ({ ...key, identity: keyOf(2).identity })).slice(0, 2)))
  assert.ok(!false2.ok && false2.refusal.got === '1; broker 1: share.index at share.index', JSON.stringify(false2))
  assert.throws(() => joinAnswers(p, room(), [], before.slice(1)), (error: unknown) => error instanceof Refused && error.refusal.code === 'budget.spent')
})

/** Whatever broker 1 does: the key comes from the others, and broker 1 is named. */
function named(given: readonly Answered[], code: RegExp) {
  const { keys, setAside } = orRefuse(join(given))
  assert.deepEqual([keys[0]?.identity, keys[0]?.brokers], [`${IDENTITY} 1`, [0, 2]])
  assert.deepEqual(setAside.map(one => [one.broker, one.asset]), [[1, 'a-claims']])
  assert.match(setAside[0]?.refusal.code ?? '', code)
}

test('a broker that gives a false share, another place, another split, or a whole key of its own is named, and the others go on', () => {
  const flip = (text: string) => toBase64(fromBase64(text).map((byte, i) => (i === 40 ? byte ^ 1 : byte)))
  named(withKey(1, key => ({ ...key, identity: flip(key.identity) })), /^share\.(false|form)$/)
  named(withKey(1, key => ({ ...key, identity: keyOf(2).identity })), /^share\.index$/)
  named(withKey(1, key => ({ ...key, identity: keyOf(2).identity, share: { ...shareOf(1), index: 3 } })), /^charter\.act$/)
  const twice = orRefuse(join(withKey(1, () => keyOf(2)))) // a broker that has another's share: it counts once
  assert.deepEqual([twice.keys[0]?.identity, twice.keys[0]?.brokers, twice.setAside.map(one => [one.broker, one.refusal.code])], [`${IDENTITY} 1`, [0, 1], [[2, 'share.index']]])
  named(withKey(1, key => without({ ...key, identity: 'AGE-SECRET-KEY-FALSE' }, 'share')), /^share\.false$/)
  // Its own split, which it could open alone: the owner signed no such thing.
  const own = splitKey(p, aboutOf(world, 9), 'AGE-SECRET-KEY-FALSE', { need: 1, of: 3 }, world.random)
  named(withKey(1, key => ({ ...key, version: 9, identity: own.shares[1] ?? '', share: { ...shareOf(1), split: own.split } })), /^charter\.act$/)
  const forged = signAct(generateSigner('ed25519'), { verb: 'put', lineage: world.lineage, digest: world.lineage, epoch: 1, party: 'alpha', subject: 'x' })
  named(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts: JSON.stringify([forged]) } })), /^charter\.act$/)
  for (const acts of ['[]', '{}', 'null']) named(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts } })), /^charter\.act$/)
  named(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts: 'no JSON' } })), /^json\.syntax$/)
  named(withKey(1, key => ({ ...key, digest: `sha256:${'c'.repeat(64)}` })), /^charter\.act$/)
  named(withKey(1, key => ({ ...key, version: 2 })), /^charter\.act$/)
})

test('the word of another party, of another lineage, about another verb, or by keys the owner has no more, does not count', () => {
  const [act] = JSON.parse(shareOf(1).acts) as { subject: string }[] // what the broker kept
  const signed = (party: string, verb: 'put' | 'rotate', lineage = world.lineage) => JSON.stringify([signAct(world.parties[party] ?? assert.fail(), { verb, lineage, digest: world.lineage, epoch: 1, party, subject: act?.subject ?? '' })])
  named(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts: signed('bravo', 'put') } })), /^charter\.act$/)
  named(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts: signed('alpha', 'rotate') } })), /^charter\.act$/)
  named(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts: signed('alpha', 'put', `sha256:${'9'.repeat(64)}`) } })), /^charter\.act$/)
  assert.ok(join(withKey(1, key => ({ ...key, share: { ...shareOf(1), acts: signed('alpha', 'put') } }))).ok, 'said again by the owner it is as good')
  const rotated: Charter = { ...world.charter, parties: { ...world.charter.parties, alpha: { keys: [`ed25519:${'94'.repeat(32)}`] } } }
  assert.equal(codeOf(join(all, rotated)), 'charter.act')
})

test('nobody answers: the first refusal stands; a whole key is one of one', () => {
  const refusal = { code: 'budget.spent', at: 'grants[0].budget', expected: '', got: '' } as const
  assert.throws(() => joinAnswers(p, room(), [], [{ broker: 0, refusal }]), (error: unknown) => error instanceof Refused && error.refusal.code === 'budget.spent')
  assert.throws(() => joinAnswers(p, room(), []), (error: unknown) => error instanceof Refused && error.refusal.code === 'asset.key-missing')
  const whole = orRefuse(attempt(() => joinAnswers(p, { ...room(), assets: ['b-claims', 'a-claims'] }, all)))
  assert.deepEqual(whole.keys.map(key => [key.asset, key.identity, key.brokers, key.split === undefined]), [['b-claims', 'AGE-SECRET-KEY-b-claims-1', [0], true], ['a-claims', `${IDENTITY} 1`, [0, 1, 2], false]])
})

test('receipts of deposit and release name the part; two brokers of one split keep what the owner signed', async () => {
  const asked = orRefuse(await ask(world, places[0]?.broker ?? assert.fail()))
  const answer = orRefuse(await (places[0]?.broker ?? assert.fail()).release(wire(asked.body)))
  const [asset] = orRefuse(parseReceipt(String(answer['receipt']))).predicate['assets'] as { asset: string; share: object }[] // as release.ts writes it
  assert.deepEqual({ ...asset?.share }, partOf(p, { index: 1, split: made.split }))
  assert.equal(String(answer['receipt']).includes(made.shares[0] ?? 'x'), false)
  assert.ok(openKeys(places[0]?.broker ?? assert.fail(), asked, answer).ok)
})

test('a broker keeps no share that is false, of another place, or that the owner did not sign for', async () => {
  const [place = assert.fail()] = await threeBrokers()
  const fresh = splitKey(p, aboutOf(world, 1), IDENTITY, { need: 2, of: 3 }, world.random)
  const other = splitKey(p, aboutOf(world, 1), IDENTITY, { need: 2, of: 3 }, world.random)
  const part = { index: 1, split: fresh.split }
  const code = async (asked: Promise<Result<unknown>>) => codeOf(await asked)
  assert.equal(await code(putShare(place, 1, part, fresh.shares[1] ?? '')), 'share.index')
  assert.equal(await code(putShare(place, 1, part, other.shares[0] ?? '')), 'share.false')
  assert.equal(await code(putShare(place, 1, part, 'AGE-SECRET-KEY-X')), 'bytes.encoding')
  assert.equal(await code(putShare(place, 1, part, fresh.shares[0] ?? '', { ...part, split: { ...fresh.split, need: 1 } })), 'charter.act')
  assert.equal(await code(place.broker.deposit(wire({ ...aboutOf(world, 1), sealed: {}, part: { index: 0, split: fresh.split }, act: {} }))), 'broker.request')
  const said = sealDeposit(p, place.broker.seal, { ...aboutOf(world, 1), part }, fresh.shares[0] ?? '', world.random)
  const body = (changed: object) => wire({ ...aboutOf(world, 1), sealed: said.body, act: actOf(world, 'alpha', 'put', world.charter, said.subject), ...changed })
  assert.equal(await code(place.broker.deposit(body({}))), 'crypto.open', 'a share passed off as a whole key')
  assert.equal(await code(place.broker.deposit(body({ part: { index: 2, split: fresh.split } }))), 'crypto.open')
  assert.equal(await code(place.broker.deposit(body({ part: { ...part, more: 1 } }))), 'broker.request')
  assert.equal(await code(place.broker.deposit(body({ part }))), 'ok')
  assert.equal(await code(place.broker.deposit(body({ part }))), 'ok', 'the same once more')
})

test('the newest split that enough brokers hold is the one; the older share is set aside', async () => {
  const fresh = await threeBrokers()
  await split(fresh)
  const next = splitKey(p, aboutOf(world, 2), `${IDENTITY} 2`, { need: 2, of: 2 }, world.random)
  for (const [i, place] of fresh.slice(0, 2).entries()) orRefuse(await putShare(place, 2, { index: i + 1, split: next.split }, next.shares[i] ?? ''))
  const { keys, setAside } = orRefuse(join(await answers(fresh)))
  assert.deepEqual([keys[0]?.version, keys[0]?.identity, keys[0]?.brokers], [2, `${IDENTITY} 2`, [0, 1]])
  assert.deepEqual(setAside.map(one => [one.broker, one.refusal.code]), [[2, 'share.false']])
  const old = orRefuse(join([...(await answers(fresh)).slice(0, 1), ...all.slice(1)]))
  assert.deepEqual([old.keys[0]?.version, old.keys[0]?.brokers], [1, [1, 2]], 'one broker alone makes no newer version')
  assert.equal(charterDigest(p, world.charter), world.lineage)
})
