// A sample of every target with a fresh seed, and the harness itself finding what is planted.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import { readDer, children, oidOf, type Der } from '@cloister/core/bytes/der'
import { refuse } from '@cloister/core/refusal'
import { leaf } from '../core/crypto/chain.fixture.ts'
import { Draw } from './draw.ts'
import { flips, sampleOfFlips } from './flips.ts'
import { probe, tally, type Target } from './target.ts'
import { targets } from './targets/index.ts'
import { change } from './texts.ts'

const SAMPLE = 200
/** However many targets there are, the sample stays under ten seconds. */
const MS = 5000 / targets.length
const start = randomInt(2 ** 40)

for (const target of targets) {
  test(`fuzz ${target.name}`, () => {
    const found = tally()
    const until = performance.now() + MS
    for (let seed = start; seed < start + SAMPLE && (performance.now() < until || found.codes.size === 0); seed++) probe(target, seed, found)
    const [first] = found.findings
    assert.equal(first, undefined, `${first?.what}\nreplay: npm run fuzz -- ${target.name} --seed ${first?.seed} --inputs 1\ninput: ${first?.hex.slice(0, 4000)}`)
    assert.ok(found.codes.size > 0, 'nothing was refused: the inputs are not changed')
  })
}

const signed = targets.filter(one => one.signed !== undefined)
for (const target of signed) {
  test(`bits turned: ${target.name}`, () => {
    const found = tally()
    sampleOfFlips(target, found, performance.now() + 6000 / signed.length, below => randomInt(below))
    const [first] = found.findings
    assert.equal(first, undefined, `${first?.what}\ninput: ${first?.hex.slice(0, 4000)}`)
    assert.ok(found.inputs > 0, 'no bit was turned')
  })
}

const run = (target: Target, inputs: number) => {
  const found = tally()
  for (let seed = 0; seed < inputs && found.findings.length === 0; seed++) probe(target, seed, found)
  return found.findings[0]
}
const planted = (part: Partial<Target> & Pick<Target, 'judge'>): Target => ({ name: 'planted', draw: draw => change(draw, leaf.der), ...part })

test('names are given once', () => assert.equal(new Set(targets.map(one => one.name)).size, targets.length))

test('the same seed gives the same input', () => {
  for (const target of targets) for (const seed of [1, 2 ** 40 + 7]) assert.deepEqual(target.draw(new Draw(target.name, seed)), target.draw(new Draw(target.name, seed)), target.name)
})

test('every target accepts some of its inputs: nothing is refused at the door', () => {
  for (const target of targets) {
    const found = tally()
    for (let seed = 0; seed < 1000 && found.accepted === 0; seed++) probe(target, seed, found)
    assert.ok(found.accepted > 0, target.name)
  }
})

test('planted: an error deep inside is found by its grammar', () => {
  const walk = (element: Der, depth: number): void => {
    if (element.tag === 6 && depth > 3 && oidOf(element) === '2.5.29.14') throw new TypeError('planted')
    if ((element.tag & 0x20) !== 0) for (const child of children(element, element.tag)) walk(child, depth + 1)
  }
  assert.match(run(planted({ judge: input => walk(readDer(input), 0) }), 20_000)?.what ?? '', /no refusal: TypeError: planted/)
})

test('planted: a signature that is not checked', () => {
  const valid = leaf.der
  assert.match(run(planted({ judge: input => readDer(input), signed: { valid: [valid], same: input => String(input) } }), 1000)?.what ?? '', /not what was signed/)
})

test('planted: a bit that no one signed, in the second valid input too', () => {
  const [one, other] = [Uint8Array.of(1, 2), Uint8Array.of(3, 4)]
  const blind = planted({ judge: input => (input[0] === 3 ? input : refuse('evidence.signature', 'input', '3', 'another')), signed: { valid: [one, other], same: input => String(input) } })
  const [every, some] = [tally(), tally()]
  flips(blind, every, () => undefined)
  sampleOfFlips(blind, some, performance.now() + 1000, below => randomInt(below))
  assert.equal(every.inputs, 32)
  assert.equal(every.findings.length, 9)
  assert.match(some.findings[0]?.what ?? '', /not what was signed/)
})

test('planted: an input that is written to, a verdict that changes, a form that is not kept, an unknown code', () => {
  assert.match(run(planted({ judge: input => { input.fill(0) } }), 10)?.what ?? '', /wrote to its input/)
  let count = 0
  assert.match(run(planted({ judge: () => count++ }), 10)?.what ?? '', /differently/)
  assert.match(run(planted({ judge: () => 1, again: () => 'planted' }), 10)?.what ?? '', /planted/)
  assert.match(run(planted({ judge: () => refuse('nothing.known' as 'json.syntax', 'a', 'b', 'c') }), 10)?.what ?? '', /unknown code/) // a code that is none
})

test('planted: an input that takes too long', () => {
  const slow = planted({ draw: () => utf8('a'), judge: () => { const before = process.threadCpuUsage(); for (let spent = 0; spent < 120_000;) { const { user, system } = process.threadCpuUsage(before); spent = user + system } } })
  assert.match(run(slow, 1)?.what ?? '', /took \d+ ms/)
})
