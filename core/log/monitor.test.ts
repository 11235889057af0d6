// Following a log through its tiles, and forks that stand as documents: every way two trees can exclude each other, and none that they do not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import { refuse, type Result } from '../refusal.ts'
import { checkpointText } from './checkpoint.ts'
import { COSIGNATURE, cosignNote, formatNote, logKey, noteKey, parseNote, signNote } from './note.ts'
import { follow, formatFork, parseFork, tilesToFollow, verifyFork, type Followed, type Fork, type Known } from './monitor.ts'
import { flatPolicy } from './policy.ts'
import { tilePath, type ReadTile } from './tiles.ts'
import { ed25519Signer, tilesOver } from './tree.fixture.ts'
import { emptyRoot, rootAt } from './tree.ts'

const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const refused = (result: Result<unknown>, code: string) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
}
const COUNT = 2600
const [log, witness] = [ed25519Signer('log'), ed25519Signer('witness')]
const policy = flatPolicy([logKey(p, 'log.example', log.publicKey).vkey], [noteKey(p, 'w.example', COSIGNATURE, witness.raw).vkey], 1)
const entry = (i: number) => utf8(`entry ${i}`)
const truth = tilesOver(p, COUNT, entry)
/** The same log until `from`, another one behind it. */
const lieFrom = (from: number) => tilesOver(p, COUNT, i => (i < from ? entry(i) : utf8(`another ${i}`)))
const lie = lieFrom(300)
const signed = (size: number, tree = truth, origin = 'log.example') => signNote(p, { text: checkpointText(origin, size, rootAt(p, size, tree.hashAt)), signatures: [] }, origin, log)
const shown = (size: number, tree = truth) => formatNote(cosignNote(p, signed(size, tree), 'w.example', witness, 1000))
const grown = (step: Followed) => (step.kind === 'consistent' ? step : assert.fail('a fork'))
const forked = (step: Followed) => (step.kind === 'fork' ? step.fork : assert.fail('no fork'))

test('every entry is given once and in order, whatever the checkpoints and steps', () => {
  fc.assert(fc.property(fc.array(fc.nat(COUNT), { minLength: 1, maxLength: 5 }), sizes => {
    let known: Known | undefined
    const seen: Uint8Array[] = []
    for (const size of sizes.toSorted((a, b) => a - b)) {
      do {
        const step = grown(held(follow(p, policy, known, shown(size), truth.read)))
        assert.equal(step.first, seen.length)
        assert.equal(step.seen.time, 1000)
        seen.push(...step.entries)
        known = step.known
      } while (known.next < size)
      assert.deepEqual(seen, Array.from({ length: size }, (_, i) => entry(i)))
    }
  }), { numRuns: 8 })
})

test('the tiles that a step needs are known before, and no other is read', () => {
  fc.assert(fc.property(fc.nat(COUNT), fc.nat(COUNT), fc.boolean(), (a, b, lying) => {
    const known = { checkpoint: shown(a), next: Math.floor(a / 2) }
    const tree = lying ? lie : truth
    const listed = new Set(held(tilesToFollow(p, known, shown(b, tree))).map(one => tilePath(one.level, one.index, one.width)))
    const read: ReadTile = tile => (listed.has(tilePath(tile.level, tile.index, tile.width)) ? (b < a ? truth : tree).read(tile) : refuse('log.unavailable', tilePath(tile.level, tile.index, tile.width), 'a tile of the list', 'another'))
    const step = follow(p, policy, known, shown(b, tree), read)
    assert.ok(step.ok || step.refusal.code === 'log.consistency', JSON.stringify(step))
  }), { numRuns: 25 })
  refused(tilesToFollow(p, undefined, 'x'), 'log.note')
  assert.deepEqual(held(tilesToFollow(p, undefined, shown(0))), [])
})

test('a checkpoint that the policy does not accept, an older one, or tiles of another tree are refused', () => {
  const known = { checkpoint: shown(600), next: 600 }
  const step = (text: string, read: ReadTile = truth.read, from: Known | undefined = known) => follow(p, policy, from, text, read)
  assert.deepEqual(grown(held(step(shown(600)))).entries, [])
  refused(step(formatNote(signed(700))), 'log.witnesses')
  refused(step(formatNote({ ...signed(700), signatures: parseNote(shown(700)).signatures.slice(1) })), 'log.signature')
  refused(step(formatNote(signed(700, truth, 'other.example'))), 'log.origin')
  refused(step(formatNote({ ...signed(700, lie), signatures: parseNote(shown(700, lie)).signatures.slice(1) }), lie.read), 'log.signature') // no fork: the log did not say it
  refused(step(shown(599)), 'log.consistency')
  refused(step(shown(700), lie.read), 'log.tile')
  refused(step(shown(700), tile => (tile.level === 'entries' ? lie.read(tile) : truth.read(tile))), 'log.tile')
  refused(step(shown(700), () => refuse('log.unavailable', 'tile', 'a tile', 'none')), 'log.unavailable')
  refused(step(shown(700), truth.read, { checkpoint: formatNote(signed(600, truth, 'other.example')), next: 600 }), 'log.origin')
  refused(step('x'), 'log.note')
})

test('a fork is found at the same size, in a longer tree and in a shorter one, and stands by itself', () => {
  for (const [before, after, from] of [[600, 600, 300], [600, 700, 300], [600, 2600, 599], [1, 2, 0], [512, 2048, 511], [300, 301, 0], [700, 600, 300], [2048, 1, 0], [257, 256, 255]] as const) {
    const other = lieFrom(from)
    const known = { checkpoint: shown(before), next: before }
    const read = after > before ? other.read : truth.read
    const fork = forked(held(follow(p, policy, known, shown(after, other), read)))
    const document = held(parseFork(formatFork(fork)))
    assert.deepEqual(document, fork)
    assert.deepEqual(held(verifyFork(p, document, policy)), { origin: 'log.example', sizes: [Math.min(before, after), Math.max(before, after)], witnesses: ['w1'] })
    // Also where no witness followed, and where somebody spoilt the witness's line.
    const bare = forked(held(follow(p, policy, known, formatNote(signed(after, other)), read)))
    assert.deepEqual(held(verifyFork(p, bare, policy)).witnesses, [])
    const spoilt = formatNote({ ...signed(after, other), signatures: parseNote(shown(after, other)).signatures.map((one, i) => (i === 1 ? { ...one, signature: one.signature.map(byte => byte ^ 1) } : one)) })
    assert.deepEqual(held(verifyFork(p, forked(held(follow(p, policy, known, spoilt, read))), policy)).witnesses, [])
  }
})

test('a tree of no entries has one root', () => {
  const empty = formatNote(cosignNote(p, signNote(p, { text: checkpointText('log.example', 0, new Uint8Array(32)), signatures: [] }, 'log.example', log), 'w.example', witness, 1))
  const fork = forked(held(follow(p, policy, { checkpoint: empty, next: 0 }, shown(5), truth.read)))
  assert.deepEqual(fork.root, emptyRoot(p))
  assert.deepEqual(held(verifyFork(p, fork, policy)).sizes, [0, 5])
})

test('what does not exclude each other, or is not the log\'s word, is no fork', () => {
  const fork = forked(held(follow(p, policy, { checkpoint: shown(600), next: 600 }, shown(700, lie), lie.read)))
  const judge = (change: Partial<Fork>) => verifyFork(p, { ...fork, ...change }, policy)
  assert.ok(judge({}).ok)
  const flip = (hash: Uint8Array) => hash.map((byte, i) => (i === 3 ? byte ^ 1 : byte))
  for (const change of [
    { root: rootAt(p, 600, truth.hashAt) }, { root: flip(fork.root) }, { root: new Uint8Array(0) }, { proof: fork.proof.slice(1) }, { proof: [...fork.proof, fork.root] }, { proof: fork.proof.map((hash, i) => (i === 1 ? flip(hash) : hash)) },
    { first: shown(600, lie) }, { second: shown(700) }, { second: shown(600), root: rootAt(p, 600, truth.hashAt), proof: [] }, { first: fork.second, second: fork.first }, { first: shown(601) },
  ]) refused(judge(change), 'log.fork')
  refused(judge({ first: formatNote(signed(600, truth, 'other.example')) }), 'log.fork')
  refused(judge({ second: fork.second.replace('\n700\n', '\n701\n') }), 'log.signature')
  refused(judge({ first: 'x' }), 'log.note')
  refused(verifyFork(p, fork, flatPolicy([logKey(p, 'log.example', witness.publicKey).vkey], [], 0)), 'log.signature')
  refused(verifyFork(p, fork, flatPolicy([logKey(p, 'other.example', log.publicKey).vkey], [], 0)), 'log.origin')
})

test('a fork document is read strictly', () => {
  const fork = forked(held(follow(p, policy, { checkpoint: shown(600), next: 600 }, shown(700, lie), lie.read)))
  const text = formatFork(fork)
  for (const bad of ['{}', '[]', text.replace('cloister/fork/1', 'cloister/fork/2'), text.replace('"first"', '"third"'), text.replace('"proof": [', '"proof": [1,'), text.replace('"root": "', '"root": 1, "more": "'), JSON.stringify({ ...JSON.parse(text) as object, more: 1 }), JSON.stringify({ ...JSON.parse(text) as object, proof: new Array(64).fill('') })]) refused(parseFork(bad), 'log.fork')
  refused(parseFork(text.replace('"root": "', '"root": "!')), 'bytes.encoding')
  refused(parseFork(`${text} x`), 'json.syntax')
})
