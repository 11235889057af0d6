import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import type { Json } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { readPcrs, verifyNvCertify, verifyQuote, type PcrValues } from './quote.ts'
import { readSignature } from './structures.ts'
import { AK, AK384, AK_RSAPSS, AK_RSASSA, attestOf, nvAttestOf, selection, type TestKey } from './tpm.fixture.ts'

const value = (byte: number, length = 32) => new Uint8Array(length).fill(byte)
const VALUES: PcrValues = new Map([['sha256', new Map([[0, value(1)], [7, value(2)]])]])
const SELECTED = [selection(11, [0, 7])]
const digestOf = (ak: TestKey, ...values: Uint8Array[]) => p.hash(ak.hash === 12 ? 'sha384' : 'sha256', concat(...values))

function quote(ak: TestKey, pcrs: PcrValues = VALUES, message = attestOf({ selections: SELECTED, digest: digestOf(ak, value(1), value(2)) }), signed = message) {
  return attempt(() => verifyQuote(p, ak.key, message, readSignature(ak.sign(signed)), pcrs))
}
function refused(result: ReturnType<typeof attempt>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}

test('a quote holds under each scheme and gives exactly its registers', () => {
  for (const ak of [AK, AK384, AK_RSASSA, AK_RSAPSS]) {
    const result = quote(ak)
    assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.refusal))
    assert.deepEqual([...result.value.registers.values], [[0, value(1)], [7, value(2)]])
    assert.deepEqual([result.value.registers.bank, result.value.registers.kind, result.value.banks], ['sha256', 'pcr', { sha256: { 0: toHex(value(1)), 7: toHex(value(2)) } }])
  }
})

test('another message or another key is refused (attacks.md row 49)', () => {
  const message = attestOf({ selections: SELECTED, digest: digestOf(AK, value(1), value(2)) })
  refused(quote(AK, VALUES, message, utf8('another')), 'evidence.signature', 'signature')
  refused(attempt(() => verifyQuote(p, AK384.key, message, readSignature(AK.sign(message)), VALUES)), 'evidence.signature')
})

test('other values are refused; a missing one too; one that was not selected is no evidence (attacks.md row 48)', () => {
  refused(quote(AK, new Map([['sha256', new Map([[0, value(1)], [7, value(3)]])]])), 'evidence.binding', 'pcrs')
  refused(quote(AK, new Map([['sha256', new Map([[0, value(1)]])]])), 'evidence.missing', 'pcrs.sha256.7')
  refused(quote(AK, new Map()), 'evidence.missing', 'pcrs.sha256.0')
  refused(quote(AK, new Map([['sha256', new Map([[0, value(1)], [7, value(2)], [8, value(3)]])]])), 'evidence.parse', 'pcrs.sha256.8')
  refused(quote(AK, new Map([...VALUES, ['sha384', new Map([[0, value(1, 48)]])]])), 'evidence.parse', 'pcrs.sha384.0')
})

test('values are concatenated as the selection orders them, whatever order they came in', () => {
  assert.ok(quote(AK, new Map([['sha256', new Map([[7, value(2)], [0, value(1)]])]])).ok)
  refused(quote(AK, new Map([['sha256', new Map([[7, value(1)], [0, value(2)]])]])), 'evidence.binding')
})

test('SHA-1 alone proves nothing; beside a better bank it is compared and told', () => {
  const sha1 = value(9, 20)
  const only = attestOf({ selections: [selection(4, [0])], digest: digestOf(AK, sha1) })
  refused(quote(AK, new Map([['sha1', new Map([[0, sha1]])]]), only), 'crypto.algorithm', 'message.pcrSelect')
  const both = attestOf({ selections: [selection(4, [0]), selection(12, [1]), ...SELECTED], digest: digestOf(AK, sha1, value(5, 48), value(1), value(2)) })
  const result = quote(AK, new Map([['sha1', new Map([[0, sha1]])], ['sha384', new Map([[1, value(5, 48)]])], ...VALUES]), both)
  assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.refusal))
  assert.deepEqual([result.value.registers.bank, [...result.value.registers.values.keys()], Object.keys(result.value.banks)], ['sha256', [0, 7], ['sha1', 'sha384', 'sha256']])
  const empty = attestOf({ selections: [selection(11, []), selection(12, [1])], digest: digestOf(AK, value(5, 48)) })
  const better = quote(AK, new Map([['sha384', new Map([[1, value(5, 48)]])]]), empty)
  assert.ok(better.ok && better.value.registers.bank === 'sha384')
  refused(quote(AK, new Map(), attestOf({ selections: [selection(11, [])], digest: digestOf(AK) })), 'crypto.algorithm')
})

test('NV contents are no quote, and a quote is no NV contents', () => {
  const nv = nvAttestOf(utf8('contents'))
  refused(quote(AK, VALUES, nv), 'evidence.parse', 'message.type')
  const certified = attempt(() => verifyNvCertify(p, AK.key, nv, readSignature(AK.sign(nv))))
  assert.ok(certified.ok)
  assert.deepEqual(certified.value, { indexName: '000b01', offset: 4, contents: utf8('contents'), extraData: utf8('nonce') })
  refused(attempt(() => verifyNvCertify(p, AK.key, nv, readSignature(AK.sign(utf8('x'))))), 'evidence.signature')
  const message = attestOf({ selections: SELECTED })
  refused(attempt(() => verifyNvCertify(p, AK.key, message, readSignature(AK.sign(message)))), 'evidence.parse', 'message.type')
})

test('register values are read strictly', () => {
  assert.deepEqual(readPcrs({ sha256: { 0: '01'.repeat(32), 23: '02'.repeat(32) }, sha1: {} }), new Map([['sha256', new Map([[0, value(1)], [23, value(2)]])], ['sha1', new Map()]]))
  const bad: [Json | undefined, RefusalCode][] = [
    [undefined, 'evidence.missing'], [[], 'evidence.parse'], ['x', 'evidence.parse'], [{ md5: {} }, 'evidence.parse'], [{ toString: {} }, 'evidence.parse'], [{ sha256: [] }, 'evidence.parse'], [{ sha256: { 24: '01'.repeat(32) } }, 'evidence.parse'],
    [{ sha256: { '00': '01'.repeat(32) } }, 'evidence.parse'], [{ sha256: { x: '01'.repeat(32) } }, 'evidence.parse'], [{ sha256: { 0: '01'.repeat(31) } }, 'evidence.parse'], [{ sha256: { 0: 1 } }, 'evidence.parse'], [{ sha256: { 0: 'zz'.repeat(32) } }, 'bytes.encoding'],
  ]
  for (const [json, code] of bad) refused(attempt(() => readPcrs(json)), code)
})

test('every single-bit flip of a quote, its signature or its values is refused', () => {
  const message = attestOf({ selections: SELECTED, digest: digestOf(AK_RSASSA, value(1), value(2)) })
  const signature = AK_RSASSA.sign(message)
  const flips = (bytes: Uint8Array, run: (flipped: Uint8Array) => unknown, name: string) => {
    for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
      const flipped = bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
      assert.ok(!attempt(() => run(flipped)).ok, `${name}, bit ${bit}`)
    }
  }
  flips(message, flipped => verifyQuote(p, AK_RSASSA.key, flipped, readSignature(signature), VALUES), 'message')
  flips(signature, flipped => verifyQuote(p, AK_RSASSA.key, message, readSignature(flipped), VALUES), 'signature')
  flips(fromHex('01'.repeat(32)), flipped => verifyQuote(p, AK_RSASSA.key, message, readSignature(signature), new Map([['sha256', new Map([[0, flipped], [7, value(2)]])]])), 'register')
})
