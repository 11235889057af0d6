// tlog-witness: bodies and answers read as they were written, each status where the specification has it, and cosignatures that are the witness's.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { equal } from '../bytes/bytes.ts'
import { toBase64 } from '../bytes/base64.ts'
import { fromUtf8, utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Result } from '../refusal.ts'
import { checkpointText, parseCheckpoint } from './checkpoint.ts'
import { COSIGNATURE, COSIGNATURE_ML_DSA_44, cosignNote, ED25519, formatNote, logKey, noteKey, signNote } from './note.ts'
import { ed25519Signer, mlDsaSigner, tilesOver } from './tree.fixture.ts'
import { consistencyProof, emptyRoot, rootAt } from './tree.ts'
import { cosignatureOf, encodeAddCheckpoint, encodeWitnessAnswer, judgeAddCheckpoint, parseAddCheckpoint, parseWitnessAnswer, type AddCheckpoint, type Remembered } from './witness.ts'

const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const refused = (result: Result<unknown>, code: string) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
}
const log = ed25519Signer('log')
const logs = [{ vkey: logKey(p, 'log.example', log.publicKey).vkey }]
const { hashAt } = tilesOver(p, 40, i => utf8(`entry ${i}`))
const signed = (size: number, root = rootAt(p, size, hashAt), origin = 'log.example', signer = log) => formatNote(signNote(p, { text: checkpointText(origin, size, root), signatures: [] }, origin, signer))
const request = (old: number, size: number): AddCheckpoint => ({ old, proof: consistencyProof(p, old, size, hashAt), checkpoint: signed(size) })

test('a request is read as it was written', () => {
  fc.assert(fc.property(fc.nat(40), fc.nat(40), (a, b) => {
    const one = request(Math.min(a, b), Math.max(a, b))
    const body = encodeAddCheckpoint(one)
    assert.deepEqual(held(parseAddCheckpoint(body)), one)
    assert.ok(equal(encodeAddCheckpoint(held(parseAddCheckpoint(body))), body))
  }), { numRuns: 40 })
  // The example of the specification, but for its shortened signatures.
  const example = `old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n`
  const read = held(parseAddCheckpoint(utf8(example)))
  assert.deepEqual([read.old, read.proof.length, held(parseCheckpoint(read.checkpoint)).size], [20_852_014, 4, 20_852_163])
  assert.equal(fromUtf8(encodeAddCheckpoint(read)), example)
})

test('a body in any other form is refused', () => {
  const good = fromUtf8(encodeAddCheckpoint(request(3, 7)))
  const hash = `${toBase64(new Uint8Array(32))}\n`
  for (const [from, to] of [['old 3', 'old 03'], ['old 3', 'old -3'], ['old 3', 'old  3'], ['old 3', 'new 3'], ['old 3\n', ''], ['old 3', 'old 9007199254740993'], ['old 3\n', `old 3\n${hash.repeat(63)}`], ['old 3\n', `old 3\n${toBase64(new Uint8Array(31))}\n`], ['old 3\n', '\nold 3\n']] as const) refused(parseAddCheckpoint(utf8(good.replace(from, to))), 'log.proof')
  refused(parseAddCheckpoint(utf8(good.replace('\n\n', '\n'))), 'log.note')
  refused(parseAddCheckpoint(utf8(good.replace('old 3\n', 'old 3\n!\n'))), 'bytes.encoding')
  refused(parseAddCheckpoint(utf8('')), 'log.proof')
  refused(parseAddCheckpoint(utf8('old 3\n\n')), 'log.note')
  refused(parseAddCheckpoint(utf8(good.replace('log.example\n7', 'log.example\n07'))), 'log.checkpoint')
  refused(parseAddCheckpoint(new Uint8Array([0xff])), 'bytes.encoding')
  assert.equal(held(parseAddCheckpoint(utf8(`old 0\n${hash.repeat(63)}\n${signed(7)}`))).proof.length, 63)
})

test('what a witness answers, and in which order it looks', () => {
  const knows = (size: number, root = rootAt(p, size, hashAt)) => (): Remembered => ({ size, root })
  const judge = (one: AddCheckpoint, remembered: () => Remembered, others = logs) => judgeAddCheckpoint(p, one, others, remembered)
  const status = (one: AddCheckpoint, remembered: () => Remembered, others = logs) => judge(one, remembered, others).status
  for (const [old, size] of [[0, 5], [3, 7], [7, 7], [0, 0]] as const) assert.equal(status(request(old, size), knows(old)), 200)
  const unknown = () => assert.fail('asked for the memory of a log that is not its own')
  assert.equal(status({ ...request(0, 5), checkpoint: signed(5, undefined, 'other.example') }, unknown), 404)
  assert.equal(status({ ...request(0, 5), checkpoint: signed(5, undefined, 'log.example', ed25519Signer('stranger')) }, unknown), 403)
  assert.equal(status({ ...request(0, 5), checkpoint: signed(5).replace(/\n5\n/, '\n6\n') }, unknown), 403)
  assert.equal(status({ ...request(0, 5), checkpoint: 'x' }, unknown), 400)
  assert.equal(status({ ...request(0, 5), old: 6 }, unknown), 400)
  const conflict = judge(request(3, 7), knows(4))
  assert.deepEqual([conflict.status, conflict.status === 409 && conflict.size], [409, 4])
  assert.equal(status({ ...request(3, 7), proof: [] }, knows(3)), 422)
  assert.equal(status(request(3, 7), knows(3, emptyRoot(p))), 422)
  assert.equal(status({ ...request(0, 5), proof: [new Uint8Array(32)] }, knows(0)), 422)
  assert.equal(status(request(5, 5), knows(5, new Uint8Array(32))), 422)
  assert.equal(status({ old: 0, proof: [], checkpoint: signed(0, new Uint8Array(32)) }, knows(0)), 422)
})

const [w1, w2] = [ed25519Signer('w1'), mlDsaSigner('w2')]
const keys = [noteKey(p, 'w1.example', COSIGNATURE, w1.raw).vkey, noteKey(p, 'w2.example', COSIGNATURE_ML_DSA_44, w2.raw).vkey] as const
const checkpoint = held(parseCheckpoint(signed(7)))
const plain = { text: checkpoint.note.text, signatures: [] }
const signatures = cosignNote(p, cosignNote(p, plain, 'w1.example', w1, 100), 'w2.example', w2, 200).signatures

test('answers are read as they were written, or refused', () => {
  for (const answer of [{ kind: 'cosigned', signatures }, { kind: 'conflict', size: 0 }, { kind: 'conflict', size: 70_000 }] as const) assert.deepEqual(held(parseWitnessAnswer(encodeWitnessAnswer(answer))), answer)
  assert.equal(fromUtf8(encodeWitnessAnswer({ kind: 'conflict', size: 42 }).body), '42\n')
  const conflict = (body: string, type = 'text/x.tlog.size') => parseWitnessAnswer({ status: 409, type, body: utf8(body) })
  for (const body of ['', '\n', '42', '042\n', '42\n\n', ' 42\n', '-1\n', '9007199254740993\n']) refused(conflict(body), 'log.witnesses')
  refused(conflict('42\n', 'text/plain'), 'log.witnesses')
  refused(conflict('42\n', ''), 'log.witnesses')
  for (const status of [201, 400, 403, 404, 422, 500]) refused(parseWitnessAnswer({ status, type: 'text/x.tlog.size', body: utf8('42\n') }), 'log.witnesses')
  for (const body of ['', '\n', 'x\n', '— w1.example AAAA\n', '— w1.example AAAAAAAA', `${signed(7)}`, '— w1.example AAAAAAAA\n\n', `${'— w AAAAAAA=\n'.repeat(257)}`]) refused(parseWitnessAnswer({ status: 200, type: 'text/plain', body: utf8(body) }), 'log.note')
})

test('of an answer, the witness\'s own newest cosignature counts; others are ignored, a bad one is refused', () => {
  for (const [i, vkey] of keys.entries()) assert.equal(held(cosignatureOf(p, checkpoint, signatures, vkey)), signatures[i])
  const [first, second] = signatures
  if (first === undefined || second === undefined) assert.fail()
  const older = cosignNote(p, plain, 'w1.example', w1, 50).signatures
  assert.equal(held(cosignatureOf(p, checkpoint, [...older, first], keys[0])), first)
  refused(cosignatureOf(p, checkpoint, [second], keys[0]), 'log.signature')
  refused(cosignatureOf(p, checkpoint, [], keys[0]), 'log.signature')
  refused(cosignatureOf(p, checkpoint, [first, { ...first, signature: first.signature.map((byte, i) => (i === 20 ? byte ^ 1 : byte)) }], keys[0]), 'log.signature')
  refused(cosignatureOf(p, held(parseCheckpoint(signed(8))), [first], keys[0]), 'log.signature')
  refused(cosignatureOf(p, checkpoint, cosignNote(p, plain, 'w2.example', w2, 0).signatures, keys[1]), 'log.signature')
  refused(cosignatureOf(p, checkpoint, signNote(p, plain, 'w1.example', w1).signatures, noteKey(p, 'w1.example', ED25519, w1.raw).vkey), 'log.signature')
  refused(cosignatureOf(p, checkpoint, signatures, 'x'), 'log.note')
})
