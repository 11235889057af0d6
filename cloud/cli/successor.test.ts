// Successors as text: what people wrote stays, and the text says exactly what the values say.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { charterDigest } from '@cloister/core/charter/canonical'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import { orRefuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { charterText, KEYS, publicKey } from './life.fixture.ts'
import { exchangeKey, follow, withoutGrantsOf } from './successor.ts'

const read = (text: string) => orRefuse(parseCharterYaml(text))
const text = charterText()
const base = read(text)
const same = (edited: { text: string; charter: object }) => assert.equal(charterDigest(p, read(edited.text)), charterDigest(p, edited.charter as typeof base)) // as `edit` gives them
/** Lines of one text that the other does not have. */
const changed = (before: string, after: string) => after.split('\n').filter(line => !before.split('\n').includes(line))

test('follow: epoch and prev are written where they stand, comments stay', () => {
  const edited = follow(p, text, base, base)
  assert.equal(edited.rewritten, false)
  assert.deepEqual(changed(text, edited.text), ['epoch: 2   # the first', `prev: ${charterDigest(p, base)}`])
  const third = follow(p, edited.text, edited.charter, edited.charter)
  assert.deepEqual(changed(edited.text, third.text), ['epoch: 3   # the first', `prev: ${charterDigest(p, edited.charter)}`])
  const quoted = follow(p, edited.text.replace(/^prev: (.*)$/m, 'prev: "$1"   # before'), edited.charter, edited.charter)
  assert.ok(quoted.text.includes(`prev: ${charterDigest(p, edited.charter)}   # before`))
  for (const one of [edited, third, quoted]) same(one)
})

test('follow: a text that cannot be edited in place is written out plainly, never wrongly', () => {
  for (const odd of [JSON.stringify(base), `{ ${text.replace(/#.*$/gm, '').split('\n').filter(line => line !== '').length} }`, text.replace(/^epoch: 1.*$/m, '"epoch": 1'), text.replace(/^epoch: 1.*$/m, 'epoch:\n  1')]) {
    const edited = follow(p, odd, base, base)
    assert.equal(edited.rewritten, true, odd.slice(0, 40))
    assert.deepEqual([edited.charter.epoch, edited.charter.prev], [2, charterDigest(p, base)])
    same(edited)
  }
})

test('exchange a key: one line changes', () => {
  const fresh = publicKey(generateSigner('ed25519'))
  const edited = exchangeKey(p, text, base, 'alpha', publicKey(KEYS.alpha[0]), fresh)
  assert.equal(edited.rewritten, false)
  assert.deepEqual(changed(text, edited.text), [`  alpha: { keys: ["${fresh}"] }   # a laptop`])
  assert.deepEqual(edited.charter.parties['alpha']?.keys, [fresh])
  same(edited)
})

test('without grants: out of lists of assets, whole grants, and all of them', () => {
  const bravo = withoutGrantsOf(p, text, base, 'bravo')
  assert.deepEqual([bravo.rewritten, changed(text, bravo.text)], [false, ['  - asset: [a-claims]']])
  const carol = withoutGrantsOf(p, text, base, 'carol')
  assert.deepEqual([carol.rewritten, changed(text, carol.text), changed(carol.text, text).length], [false, [], 1])
  const alphaToo = withoutGrantsOf(p, bravo.text, bravo.charter, 'alpha')
  assert.equal(alphaToo.rewritten, false)
  const nobody = withoutGrantsOf(p, alphaToo.text, alphaToo.charter, 'carol')
  assert.deepEqual([nobody.rewritten, nobody.charter.grants], [false, []])
  for (const one of [bravo, carol, alphaToo, nobody]) same(one)
  const flow = text.replace(/^grants:\n[\s\S]*?^change/m, 'grants: [{ asset: b-claims, to: match, can: read }, { asset: a-claims, to: match, can: read }]\nchange')
  const written = withoutGrantsOf(p, flow, read(flow), 'bravo')
  assert.deepEqual([written.rewritten, written.charter.grants.map(grant => grant.asset)], [true, ['a-claims']])
  same(written)
})

test('a comment or a text that looks like a grant does not mislead', () => {
  const sly = text.replace('  # the question\n', '  # - asset: b-claims\n').replace('kind: data }', 'kind: data, at: "x asset: [b-claims]" }')
  const edited = withoutGrantsOf(p, sly, read(sly), 'bravo')
  assert.ok(edited.text.includes('x asset: [b-claims]'))
  same(edited)
})
