// The age format in pure TypeScript: round trips, the specification's own keys, and every way a payload can be rearranged.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt } from '../../refusal.ts'
import { dearmor } from './armor.ts'
import { bech32, fromBech32 } from './bech32.ts'
import { CHUNK, decrypt, encrypt, generateIdentity, recipientOf } from './index.ts'
import { parseHeader } from './header.ts'

// A fixed stream in place of randomness: the same run every time, on every machine.
let counter = 0
const random = (length: number) => p.shake256(utf8(`age ${counter++}`), length)
const code = (file: Uint8Array, identity: string) => {
  const result = decrypt(p, { identities: [identity] }, file)
  return result.ok ? 'opened' : result.refusal.code
}
const value = (result: ReturnType<typeof encrypt>) => result.ok ? result.value : assert.fail(result.refusal.code)

test('the specification\'s X25519 identity has the specification\'s recipient', () => {
  assert.equal(recipientOf(p, 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX'), 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj')
})

test('the specification\'s post-quantum identity has the specification\'s recipient', () => {
  const recipient = recipientOf(p, 'AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR')
  assert.ok(recipient.startsWith('age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrq'))
  assert.ok(recipient.endsWith('yzk3tlhl53k2ykx3qheyty7saeq0d3fzv49zc0k'))
})

test('what is sealed opens again, for each of the recipients and nobody else', () => {
  const hybrid = [generateIdentity(p, 'hybrid', random), generateIdentity(p, 'hybrid', random)]
  const classic = [generateIdentity(p, 'x25519', random), generateIdentity(p, 'x25519', random)]
  for (const length of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1]) {
    const plaintext = random(length)
    for (const keys of [hybrid, classic]) {
      const file = value(encrypt(p, keys.map(key => key.recipient), plaintext, random))
      for (const { identity } of keys) assert.deepEqual(decrypt(p, { identities: [identity] }, file), { ok: true, value: plaintext })
    }
  }
  const file = value(encrypt(p, [hybrid[0]?.recipient ?? ''], utf8('x'), random))
  assert.equal(code(file, hybrid[1]?.identity ?? ''), 'age.recipient')
  assert.equal(code(file, classic[0]?.identity ?? ''), 'age.recipient')
})

test('no recipient, and a recipient that is none, are refused', () => {
  for (const recipients of [[], ['age1'], ['age1pq1qqqq'], ['AGE-SECRET-KEY-1']]) assert.equal(encrypt(p, recipients, utf8('x'), random).ok, false)
})

test('any single altered byte of a small file is refused', () => {
  const { identity, recipient } = generateIdentity(p, 'x25519', random)
  const file = value(encrypt(p, [recipient], utf8('claims'), random))
  for (let at = 0; at < file.length; at++) {
    const altered = file.slice()
    altered[at] = (altered[at] ?? 0) ^ 1
    assert.notEqual(code(altered, identity), 'opened', `byte ${at}`)
  }
})

test('every shorter file is refused', () => {
  const { identity, recipient } = generateIdentity(p, 'x25519', random)
  const file = value(encrypt(p, [recipient], utf8('claims'), random))
  for (let length = 0; length < file.length; length++) assert.notEqual(code(file.subarray(0, length), identity), 'opened', `${length} bytes`)
  assert.equal(code(concat(file, new Uint8Array(1)), identity), 'age.payload')
})

test('chunks in any other order, number or length are refused', () => {
  const { identity, recipient } = generateIdentity(p, 'x25519', random)
  const file = value(encrypt(p, [recipient], random(2 * CHUNK + 100), random))
  const start = parseHeader(file).length + 16
  const body = file.subarray(start)
  const chunks = [body.subarray(0, CHUNK + 16), body.subarray(CHUNK + 16, 2 * (CHUNK + 16)), body.subarray(2 * (CHUNK + 16))]
  const of = (order: readonly number[]) => code(concat(file.subarray(0, start), ...order.map(i => chunks[i] ?? new Uint8Array(0))), identity)
  assert.equal(of([0, 1, 2]), 'opened')
  const orders = [[], [0], [1], [2], [0, 1], [0, 2], [1, 2], [1, 0], [2, 1], [0, 2, 1], [1, 0, 2], [2, 1, 0], [0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2, 2], [0, 1, 2, 0]]
  for (const order of orders) assert.equal(of(order), 'age.payload', order.join())
})

test('arbitrary bytes never throw', () => {
  const { identity } = generateIdentity(p, 'x25519', random)
  const begin = fc.constantFrom('', 'age-encryption.org/v1\n', 'age-encryption.org/v1\n-> X25519 ', '-----BEGIN AGE ENCRYPTED FILE-----\n')
  fc.assert(fc.property(begin, fc.uint8Array({ maxLength: 300 }), (text, bytes) => { assert.notEqual(code(concat(utf8(text), bytes), identity), 'opened') }), { numRuns: 300 })
})

test('bech32 keeps any bytes, and refuses any altered letter', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), (bytes, where) => {
    const text = bech32('age', bytes)
    assert.deepEqual(fromBech32('age', text, 'key'), bytes)
    const at = 4 + where % (text.length - 4)
    const other = `${text.slice(0, at)}${text[at] === 'q' ? 'p' : 'q'}${text.slice(at + 1)}`
    assert.equal(attempt(() => fromBech32('age', other, 'key')).ok, false)
  }), { numRuns: 200 })
})

test('a key longer than any is refused before it is read', () => {
  const text = (length: number) => { const whole = bech32('age', new Uint8Array(length)); return [whole.length, attempt(() => fromBech32('age', whole, 'key')).ok] }
  assert.deepEqual(text(2553), [4095, true])
  assert.deepEqual(text(2554), [4097, false])
})

test('armor: white space around it, and none of any length inside; it costs no more than its length', () => {
  const armored = (before: string, inside: string, after: string) => utf8(`${before}-----BEGIN AGE ENCRYPTED FILE-----\n${inside}\n-----END AGE ENCRYPTED FILE-----${after}`)
  assert.deepEqual(dearmor(armored(' \r\n\t', 'YWdl', '\n\n \t\r')), utf8('age'))
  const much = ' '.repeat(300_000)
  assert.deepEqual(dearmor(armored(much, 'YWdl', much)), utf8('age'))
  for (const [before, inside, after] of [['', `YW${much}dl`, ''], [`x${much}`, 'YWdl', ''], ['', 'YWdl', `${much}x`], ['', much, '']] as const) assert.equal(attempt(() => dearmor(armored(before, inside, after))).ok, false)
})

test('a refusal shows no secret', () => {
  const secret = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEY'
  const result = decrypt(p, { identities: [secret] }, value(encrypt(p, [generateIdentity(p, 'x25519', random).recipient], utf8('x'), random)))
  assert.ok(!result.ok)
  assert.equal(JSON.stringify(result.refusal).includes('GFPYY'), false)
})
