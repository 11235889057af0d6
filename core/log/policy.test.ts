// Policies: the whole grammar of C2SP tlog-policy, what a quorum of groups asks for and since when, and a log with two kinds of keys.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toBase64 } from '../bytes/base64.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Result } from '../refusal.ts'
import { checkpointText, parseCheckpoint } from './checkpoint.ts'
import { COSIGNATURE, cosignNote, ED25519, formatNote, logKey, noteKey, signNote, type Note } from './note.ts'
import { flatPolicy, formatPolicy, parsePolicy, quorumTime, verifyCheckpoint, verifyLogSignature, type LogPolicy } from './policy.ts'
import { ed25519Signer, mlDsaSigner } from './tree.fixture.ts'

const held = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.refusal)))
const refused = (result: Result<unknown>, code: string, what = 'accepted') => {
  assert.ok(!result.ok, what)
  assert.equal(result.refusal.code, code, what)
}
const log = ed25519Signer('log')
const vkey = logKey(p, 'log.example', log.publicKey).vkey
const NAMES = ['x1', 'x2', 'x3', 'y1', 'y2']
const witnesses = NAMES.map(ed25519Signer)
const lines = NAMES.map((name, i) => `witness ${name} ${noteKey(p, `${name}.example`, COSIGNATURE, witnesses[i]?.raw ?? assert.fail()).vkey}`)
const [a, b] = [lines[0] ?? '', lines[1] ?? '']
const note: Note = { text: checkpointText('log.example', 3, new Uint8Array(32)), signatures: [] }
const signed = signNote(p, note, 'log.example', log)
const cosign = (times: Readonly<Record<string, number>>) => Object.entries(times).reduce((before, [name, time]) => cosignNote(p, before, `${name}.example`, witnesses[NAMES.indexOf(name)] ?? assert.fail(), time), signed)
const read = (one: Note) => held(parseCheckpoint(formatNote(one)))
const policyOf = (body: string): LogPolicy => held(parsePolicy(`log ${vkey}\n${body}\n`))

test('the text is read whole, and written back the same', () => {
  const full = `log ${vkey} https://log.example/\nlog ${logKey(p, 'other.example', ed25519Signer('other').publicKey).vkey}\n${lines.map(line => `${line} https://w.example/`).join('\n')}\ngroup X 2 x1 x2 x3\ngroup Y any y1 y2\ngroup X-and-Y all X Y\nquorum X-and-Y\n`
  const policy = held(parsePolicy(full))
  assert.deepEqual(policy.logs.map(one => one.url), ['https://log.example/', undefined])
  assert.deepEqual(policy.witnesses.map(one => [one.name, one.url]), NAMES.map(name => [name, 'https://w.example/']))
  assert.deepEqual(policy.groups, [{ name: 'X', need: 2, of: ['x1', 'x2', 'x3'] }, { name: 'Y', need: 1, of: ['y1', 'y2'] }, { name: 'X-and-Y', need: 2, of: ['X', 'Y'] }])
  assert.equal(policy.quorum, 'X-and-Y')
  assert.equal(formatPolicy(policy), full.replace('any', '1').replace('all X', '2 X'))
  assert.deepEqual(parsePolicy(formatPolicy(policy)), { ok: true, value: policy })
  assert.deepEqual(held(parsePolicy(`# ours\n\t log  ${vkey}\t\n\n${a} \n quorum x1`)), { logs: [{ vkey }], witnesses: [{ name: 'x1', vkey: a.split(' ')[2] }], groups: [], quorum: 'x1' })
  for (const one of [flatPolicy([vkey], policy.witnesses.map(witness => witness.vkey), 3), flatPolicy([vkey], [], 0)]) assert.deepEqual(parsePolicy(formatPolicy(one)), { ok: true, value: one })
})

test('what the grammar does not have is refused', () => {
  const again = (line: string, name: string) => line.replace(/^witness \S+/, `witness ${name}`)
  for (const bad of [
    '', a, 'quorum', 'quorum none\nquorum none', 'quorum none none', 'quorum g', `quorum x1\n${a}`, `${a}\n${again(b, 'x1')}\nquorum x1`, `${again(a, 'none')}\nquorum none`, 'group none any none\nquorum none', `${a}\ngroup x1 any x1\nquorum x1`,
    `${a}\ngroup g 2 x1\nquorum g`, `${a}\ngroup g 2 x1 x1\nquorum g`, `${a}\ngroup g 0 x1\nquorum g`, `${a}\ngroup g 01 x1\nquorum g`, `${a}\ngroup g +1 x1\nquorum g`, `${a}\ngroup g any\nquorum g`, `${a}\ngroup g all\nquorum g`, `${a}\ngroup g\nquorum g`, `${a}\ngroup g any none\nquorum g`,
    `group g any x1\n${a}\nquorum g`, 'group g any g\nquorum g', `${a}\n${b}\ngroup g any x1 x2\ngroup h all g x1\nquorum h`, `${a}\n${b}\ngroup g any x1\ngroup h any x2 x1\nquorum h`, `${a}\ngroup g any x1\ngroup g any x1\nquorum g`, `${a}\nquorum x1 x1`,
    'quorum none\nnothing', 'quorum none\nlog', `quorum none\nlog ${vkey}`, `quorum none\nlog ${vkey.replace('log.example', 'log2.example')}`, `quorum none\nlog ${vkey} u more`, `${a} u more\nquorum none`, 'witness x1\nquorum none',
    `${a}\n${again(a, 'x9')}\nquorum none`, 'quorum none\r\n', '# a bell: \u0007\nquorum none', '# \u007f\nquorum none', `${a} https://w\u000b\nquorum none`, 'quorum none\u0000', 'quorum\u00a0none', `quorum none\n${'# more\n'.repeat(80_000)}`,
  ]) refused(parsePolicy(`log ${vkey}\n${bad}`), 'log.witnesses', bad)
  refused(parsePolicy('quorum none\n'), 'log.witnesses')
  const crowd = (count: number) => parsePolicy(`log ${vkey}\n${Array.from({ length: count }, (_, i) => `witness n${i} ${noteKey(p, 'w.example', COSIGNATURE, new Uint8Array(32).fill(i)).vkey}\n`).join('')}quorum none`)
  assert.equal(held(crowd(198)).witnesses.length, 198)
  refused(crowd(199), 'log.witnesses')
  const plain = (raw: Uint8Array, type: number) => noteKey(p, 'x1.example', type, raw).vkey
  for (const bad of ['log x', `log ${plain(log.raw, COSIGNATURE)}`, `witness w ${plain(log.raw, ED25519)}`, `witness w ${plain(log.raw.slice(1), COSIGNATURE)}`, 'witness w x']) refused(parsePolicy(`${bad.startsWith('log') ? '' : `log ${vkey}\n`}${bad}\nquorum none`), 'log.note', bad)
  refused(verifyCheckpoint(p, read(cosign({ x1: 1 })), { ...policyOf(`${a}\nquorum x1`), quorum: 'x2' }), 'log.witnesses')
  refused(verifyCheckpoint(p, read(signed), policyOf(`${a.replace(/\+[0-9a-f]{8}\+/, '+00000000+')}\nquorum none`)), 'log.note')
  refused(verifyCheckpoint(p, read(signed), { logs: [], witnesses: [], groups: [], quorum: 'none' }), 'log.witnesses')
})

test('white space costs no more than its length', () => {
  const space = ' '.repeat(150_000)
  refused(parsePolicy(`a${space}b`), 'log.witnesses')
  assert.equal(held(parsePolicy(`${space}log\t ${vkey}\n  # ${space}note\n quorum none${space}\n`)).quorum, 'none')
})

test('a quorum of groups, and since when it is met', () => {
  const policy = policyOf(`${lines.join('\n')}\ngroup X 2 x1 x2 x3\ngroup Y any y1 y2\ngroup all all X Y\nquorum all`)
  const seen = (times: Readonly<Record<string, number>>) => verifyCheckpoint(p, read(cosign(times)), policy)
  assert.deepEqual(held(seen({ x1: 10, x3: 30, y2: 20 })), { witnesses: 3, cosigned: [{ name: 'x1', time: 10 }, { name: 'x3', time: 30 }, { name: 'y2', time: 20 }], time: 10 })
  assert.equal(held(seen({ x1: 10, x2: 20, x3: 30, y1: 15, y2: 25 })).time, 20)
  for (const times of [{}, { x1: 1, x2: 1, x3: 1 }, { x1: 1, y1: 1, y2: 1 }, { y1: 1 }]) refused(seen(times), 'log.witnesses')
  const short = seen({ x1: 10 })
  assert.ok(!short.ok && short.refusal.expected === '2 of X, Y' && short.refusal.got === '1 of 5 witnesses: x1')
  // A cosignature without a time is no word of a witness.
  refused(seen({ x1: 10, x3: 0, y2: 20 }), 'log.witnesses')
  // The newest of several by one key counts, once.
  assert.equal(held(seen({ x1: 10, x2: 5, y1: 20 })).time, 5)
  refused(verifyCheckpoint(p, read(cosignNote(p, cosign({ x1: 1, y1: 1 }), 'x1.example', witnesses[0] ?? assert.fail(), 2)), policy), 'log.witnesses')
})

test('the time of a quorum is the latest at which its cosignatures alone still are one', () => {
  const { groups, ...rest } = policyOf(`${lines.join('\n')}\ngroup X 2 x1 x2 x3\ngroup Y any y1 y2\ngroup all all X Y\nquorum all`)
  fc.assert(fc.property(fc.array(fc.option(fc.integer({ min: 1, max: 9 })), { minLength: 5, maxLength: 5 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 }), (times, x, y, both) => {
    const policy = { ...rest, groups: groups.map((group, i) => ({ ...group, need: [x, y, both][i] ?? 1 })) }
    const cosigned = NAMES.flatMap((name, i) => (times[i] === null ? [] : [{ name, time: times[i] ?? 0 }]))
    const meets = (from: number) => {
      const count = (names: string) => cosigned.filter(one => one.name.startsWith(names) && one.time >= from).length
      return (count('x') >= x ? 1 : 0) + (count('y') >= y ? 1 : 0) >= both
    }
    assert.equal(quorumTime(policy, cosigned), [9, 8, 7, 6, 5, 4, 3, 2, 1].find(meets))
  }))
})

test('several logs: each checkpoint under its own', () => {
  const other = ed25519Signer('other')
  const policy = held(parsePolicy(`log ${vkey}\nlog ${logKey(p, 'other.example', other.publicKey).vkey}\nquorum none\n`))
  const byOther = (origin: string) => signNote(p, { text: checkpointText(origin, 3, new Uint8Array(32)), signatures: [] }, 'other.example', other)
  for (const one of [signed, byOther('other.example')]) assert.ok(verifyCheckpoint(p, read(one), policy).ok)
  refused(verifyCheckpoint(p, read(byOther('log.example')), policy), 'log.signature')
  refused(verifyCheckpoint(p, read(byOther('third.example')), policy), 'log.origin')
})

test('a log with an Ed25519 and an ML-DSA-44 key signs with both, or not at all', () => {
  const safe = mlDsaSigner('log')
  const key = logKey(p, 'log.example', safe.publicKey)
  const policy = held(parsePolicy(`log ${vkey}\nlog ${key.vkey}\nquorum none\n`))
  const both = signNote(p, signed, 'log.example', safe, 1234)
  assert.ok(verifyCheckpoint(p, read(both), policy).ok)
  assert.ok(verifyCheckpoint(p, read(signNote(p, signed, 'log.example', safe)), policy).ok, 'without a time')
  refused(verifyCheckpoint(p, read(signed), policy), 'log.signature')
  refused(verifyCheckpoint(p, read({ ...both, signatures: both.signatures.slice(1) }), policy), 'log.signature')
  const [plain, last] = [both.signatures[0] ?? assert.fail(), both.signatures[1] ?? assert.fail()]
  for (const at of [0, 7, 8, 2427]) refused(verifyCheckpoint(p, read({ ...both, signatures: [plain, { ...last, signature: last.signature.map((byte, i) => (i === at ? byte ^ 1 : byte)) }] }), policy), 'log.signature', String(at))
  // Of another log, tree or name: the signature covers all three.
  for (const [name, text] of [['log.example', checkpointText('log.example', 4, new Uint8Array(32))], ['log.example', checkpointText('log.example', 3, new Uint8Array(32).fill(1))]] as const) {
    const elsewhere = signNote(p, { text, signatures: [] }, name, safe, 1234).signatures[0] ?? assert.fail()
    refused(verifyCheckpoint(p, read({ ...signed, signatures: [...signed.signatures, elsewhere] }), policy), 'log.signature')
  }
  const [alias] = signNote(p, note, 'alias.example', safe, 1234).signatures
  refused(verifyCheckpoint(p, read({ ...signed, signatures: [...signed.signatures, { ...(alias ?? assert.fail()), name: 'log.example', keyId: key.keyId }] }), policy), 'log.signature')
  // The post-quantum key alone, as the specification recommends; a plain reader of the other key still reads both.
  assert.ok(verifyCheckpoint(p, read({ ...both, signatures: [last] }), flatPolicy([key.vkey], [], 0)).ok)
  assert.ok(verifyCheckpoint(p, read(both), flatPolicy([vkey], [], 0)).ok)
  assert.ok(key.vkey.endsWith(toBase64(safe.publicKey.kind === 'ml-dsa-44' ? new Uint8Array([6, ...safe.publicKey.raw]) : assert.fail())))
})

test('two keys of one type are the old and the new: either signs', () => {
  const next = ed25519Signer('next')
  const policy = held(parsePolicy(`log ${vkey}\nlog ${logKey(p, 'log.example', next.publicKey).vkey}\nquorum none\n`))
  for (const signer of [log, next]) assert.ok(verifyCheckpoint(p, read(signNote(p, note, 'log.example', signer)), policy).ok)
  refused(verifyCheckpoint(p, read(signNote(p, note, 'log.example', ed25519Signer('stranger'))), policy), 'log.signature')
  assert.ok(verifyLogSignature(p, read(signed), policy.logs).ok)
  refused(verifyLogSignature(p, read({ ...signed, signatures: cosign({ x1: 5 }).signatures.slice(1) }), policy.logs), 'log.signature')
})
