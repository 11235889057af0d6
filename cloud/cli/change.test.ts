// Change requests: every file of one is verified, copies merge by copying, and who has signed is what the broker would count.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signAct, type Act } from '@cloister/core/charter/acts'
import { orRefuse, type Result } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { aboutChange, actFile, changeName, changeOf, documentsOf, firstDifference, keyId, LIMITS, readChange, standingOf } from './change.ts'
import { changeDocument, everyDifference } from './change-words.ts'
import { charterText, filesOf, founding, KEYS, publicKey, signed, successorOf } from './life.fixture.ts'

const refused = (result: Result<unknown>) => (result.ok ? 'ok' : `${result.refusal.code} ${result.refusal.at}`)
const first = founding()
const widened = successorOf(first, text => text.replace('atLeast: 10', 'atLeast: 5'))
const narrowed = successorOf(first, text => text.replace('[simulated, snp]', '[snp]'))
const withFile = (files: ReadonlyMap<string, string>, path: string, text: string | undefined) => {
  const copy = new Map(files)
  text === undefined ? copy.delete(path) : copy.set(path, text)
  return readChange(p, copy)
}

test('a change request reads back as it was written, with its acts', () => {
  const acts = [...signed(widened, 'alpha', 'propose'), ...signed(widened, 'alpha'), ...signed(widened, 'bravo'), ...signed(widened, 'carol', 'veto'), ...signed(widened, 'carol', 'enact')]
  const back = orRefuse(readChange(p, filesOf(widened, acts)))
  assert.equal(back.digest, widened.digest)
  assert.deepEqual(new Set(back.acts.map(act => act.signature)), new Set(acts.map(act => act.signature)))
  assert.equal(refused(readChange(p, filesOf(first, signed(first, 'alpha')))), 'ok')
})

test('every generated file must say what the charter says, and none may be missing', () => {
  for (const change of [first, widened]) {
    const files = filesOf(change)
    for (const path of documentsOf(change).keys()) {
      const text = files.get(path) ?? ''
      for (const at of [0, Math.floor(text.length / 2), text.length - 1]) {
        const other = `${text.slice(0, at)}${text[at] === 'x' ? 'y' : 'x'}${text.slice(at + 1)}`
        assert.match(refused(withFile(files, path, other)), /^(charter|json)\./, `${path} at ${at}`)
      }
      assert.match(refused(withFile(files, path, `${text}\n`)), /charter\.change|json\./, path)
      if (path !== 'previous.json') assert.equal(refused(withFile(files, path, undefined)), `charter.change ${path}`)
    }
    assert.match(refused(withFile(files, 'charter.yaml', undefined)), /charter.change charter.yaml/)
  }
  assert.equal(refused(withFile(filesOf(widened), 'previous.json', undefined)), 'charter.change previous.json')
  for (const lineage of ['{}', '{"lineage":1}', '{"lineage":"sha256:0"}', '[]']) assert.equal(refused(withFile(filesOf(widened), 'change.json', lineage)), 'charter.change change.json')
  assert.match(refused(withFile(filesOf(widened), 'charter.yaml', charterText())), /charter\.change/, 'another charter under the same papers')
})

test('CHANGE.md that plays a change down is refused, with the line', () => {
  const files = filesOf(widened)
  const text = files.get('CHANGE.md') ?? ''
  assert.match(text, /epoch 2: it widens/)
  const result = withFile(files, 'CHANGE.md', text.replace('it widens', 'it narrows'))
  assert.equal(refused(result), 'charter.change CHANGE.md:1')
  assert.match(result.ok ? '' : result.refusal.got, /it narrows/)
})

test('files that are none of a change request, and too many, are refused', () => {
  const files = filesOf(widened)
  for (const path of ['README.md', 'approvals/notes.txt', 'approvals/alpha.json', 'approvals/../charter.yaml', 'signed/alpha-000000000000.json']) assert.equal(refused(withFile(files, path, 'x')), `charter.change ${path}`)
  assert.equal(refused(readChange(p, new Map(Array.from({ length: LIMITS.files + 1 }, (_, i) => [`f${i}`, ''])))), 'charter.change files')
})

test('an act counts only under its own name, verb, party and change, with a signature that holds', () => {
  const files = filesOf(widened)
  const [act] = signed(widened, 'alpha') as [Act]
  const { path, text } = actFile(p, act)
  const put = (at: string, content: string) => refused(withFile(files, at, content))
  assert.equal(put(path, text), 'ok')
  const forged = (change: object) => { const file = actFile(p, { ...act, ...change }); return put(file.path, file.text) }
  assert.match(put(path.replace('approvals', 'vetoes'), text), /charter\.act .* verb/)
  assert.match(put(path.replace('alpha', 'carol'), text), /charter\.act .* party/)
  assert.match(put(path.replace(/-[0-9a-f]{12}/, '-000000000000'), text), /charter\.act/)
  assert.match(put(path, text.trimEnd()), /charter\.change approvals/, 'not byte for byte')
  assert.match(put(path, text.replace('{', '{"x":1,')), /charter\.act/)
  for (const change of [{ epoch: 3 }, { digest: first.digest }, { lineage: widened.digest }, { prev: widened.digest }, { subject: 'a-claims@1' }]) assert.match(forged(change), /charter\.act .* (epoch|digest|lineage|prev|subject)/, JSON.stringify(change))
  assert.match(forged({ signature: signed(widened, 'alpha', 'veto')[0]?.signature ?? '' }), /charter\.act .*signature/)
  assert.match(forged({ party: 'bravo' }), /charter\.act/, 'alpha\'s key is not bravo\'s')
  const stranger = generateSigner('ed25519')
  const strange = actFile(p, signAct(stranger, { ...aboutChange(widened), verb: 'approve', party: 'alpha' }))
  assert.match(put(strange.path, strange.text), /charter\.act .*key/)
  const other = actFile(p, (signed(narrowed, 'alpha') as [Act])[0])
  assert.match(put(other.path, other.text), /charter\.act .*digest/, 'an approval of a rival change')
})

test('copies merge by copying files, and only all that must sign approve a widening', () => {
  const alpha = filesOf(widened, signed(widened, 'alpha'))
  const bravo = filesOf(widened, signed(widened, 'bravo'))
  const at = (files: ReadonlyMap<string, string>) => standingOf(p, orRefuse(readChange(p, files)))
  assert.equal(at(alpha).approved, false)
  assert.match(at(alpha).missing?.got ?? '', /bravo/)
  assert.equal(at(new Map([...alpha, ...bravo])).approved, true, 'both owners, and two of three for the quorum')
  assert.equal(at(new Map([...bravo, ...alpha])).approved, true)
  const half = at(new Map([...alpha, ...filesOf(widened, signed(widened, 'bravo', 'approve', KEYS.bravo.slice(0, 1)))]))
  assert.equal(half.approved, false, 'one of bravo\'s two keys')
  assert.deepEqual(half.parties.find(one => one.party === 'bravo'), { party: 'bravo', asked: ['owner', 'quorum'], keysNeeded: 2, keys: [keyId(p, publicKey(KEYS.bravo[0]))], approved: false, vetoed: false })
  const vetoed = at(new Map([...alpha, ...bravo, ...filesOf(widened, signed(widened, 'bravo', 'veto'))]))
  assert.equal(vetoed.approved, false)
  const bravos = vetoed.parties.find(one => one.party === 'bravo')
  assert.deepEqual([bravos?.vetoed, bravos?.approved], [true, false])
})

test('a narrowing needs one owner, a founding everybody', () => {
  assert.equal(standingOf(p, { ...narrowed, acts: [] }).approved, false)
  const carol = standingOf(p, { ...narrowed, acts: signed(narrowed, 'carol') })
  assert.deepEqual([carol.approved, carol.parties.map(one => one.asked)], [true, [['one-of'], ['one-of'], ['one-of']]])
  const two = standingOf(p, { ...first, acts: [...signed(first, 'alpha'), ...signed(first, 'bravo')] })
  assert.deepEqual([two.approved, two.missing?.got], [false, 'missing: carol'])
  assert.equal(standingOf(p, { ...first, acts: [...signed(first, 'alpha'), ...signed(first, 'bravo'), ...signed(first, 'carol')] }).approved, true)
})

test('the lineage is the digest of epoch 1, whatever change.json says', () => {
  const third = successorOf(narrowed, text => text.replace('alpha, bravo, carol], shape', 'alpha, bravo], shape'))
  assert.equal(third.lineage, first.digest)
  assert.equal(refused(changeOf(p, widened.text, { charter: first.next, lineage: widened.digest })), 'charter.lineage lineage')
  assert.equal(refused(changeOf(p, third.text, { charter: narrowed.next, lineage: widened.digest })), 'charter.lineage lineage')
  assert.equal(refused(changeOf(p, widened.text)), 'charter.change previous.json')
  assert.equal(refused(changeOf(p, third.text, { charter: first.next, lineage: first.digest })), 'charter.not-a-successor epoch')
})

test('CHANGE.md shows every field, who signs with how many keys, from when, and who could open what', () => {
  const text = changeDocument(widened)
  for (const line of ['+ grants.a-claims → match (read).out.aggregate.atLeast: 5', 'bravo (2 of 2 keys): its own is touched', 'and 2 of alpha (1 of 1 keys)', '2 days after the log has the proposal', 'alpha and bravo together can open c-claims without its owner carol (in an emergency, for 4 hours)']) assert.ok(text.includes(line), line)
  const many = successorOf(first, one => one.replaceAll('atLeast: 10', 'atLeast: 3, epsilon: 1').replace('notice: 2d', 'notice: 1d').replace('lasts: 4h', 'lasts: 9h').replace('witnesses: 1', 'witnesses: 0').replace('head: 1h', 'head: 2h'))
  assert.equal(everyDifference(first.next, many.next).filter(line => line.startsWith('+')).length, 3 * 2 + 4)
})

test('nothing in a charter can break out of the code block that shows it', () => {
  const odd = successorOf(first, text => text.replace('kind: data }', 'kind: data, at: "```\u00ad# All is well <!--" }'))
  const lines = changeDocument(odd).split('\n')
  const fences = lines.filter(line => line.startsWith('```'))
  assert.ok(fences.every((line, i) => (i % 2 === 0 ? /^```(text|diff)$/.test(line) : line === '```')), fences.join())
  assert.ok(lines.some(line => line.includes('\\u{ad}#')), 'marks that do not show are written out')
})

test('names are made of epoch and digest; the first differing line is found', () => {
  assert.equal(changeName(12, `sha256:${'ab'.repeat(32)}`), '0012-abababababab')
  assert.deepEqual(firstDifference('a\nb\n', 'a\nc\n'), { line: 2, expected: 'b', got: 'c' })
  assert.deepEqual(firstDifference('a', 'a\nb'), { line: 2, expected: 'the end of the file', got: 'b' })
})
