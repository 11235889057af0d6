import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../bytes/base64.ts'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { ROOT } from '../crypto/chain.fixture.ts'
import { ecdsaFromDer, formatKey } from '../crypto/keys.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Signer } from '../crypto/primitives.ts'
import type { RefusalCode, Result } from '../refusal.ts'
import { encodeReceipt, parseReceipt, verifyReceiptSignature } from './receipt.ts'

const signer: Signer = { algorithm: 'ecdsa-p256-sha256', publicKey: ROOT.key, sign: message => ecdsaFromDer(ROOT.port.sign(message), 32) }
const SUBJECT = [{ name: 'result', digest: { sha256: '0a'.repeat(32) } }]
const honest = encodeReceipt(signer, 'ran', SUBJECT, { epoch: 1 })
const refused = (result: Result<unknown>, code: RefusalCode, at?: string) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
/** The envelope, or the statement inside it, with fields changed. */
const outer = (change: object) => jcs({ ...(JSON.parse(honest) as object), ...change })
const inner = (change: object) => {
  const { payload } = JSON.parse(honest) as { payload: string }
  return outer({ payload: toBase64(utf8(jcs({ ...(JSON.parse(atob(payload)) as object), ...change }))) })
}

test('a receipt written is the receipt read, and its signature holds for its key only', () => {
  const read = parseReceipt(honest)
  assert.ok(read.ok)
  assert.deepEqual([read.value.verb, read.value.subject, { ...read.value.predicate }, read.value.key], ['ran', SUBJECT, { epoch: 1 }, formatKey(ROOT.key)])
  assert.ok(verifyReceiptSignature(p, read.value, formatKey(ROOT.key)).ok)
  refused(verifyReceiptSignature(p, read.value, `ed25519:${'00'.repeat(32)}`), 'receipt.key')
  const altered = parseReceipt(inner({ predicate: { epoch: 2 } }))
  assert.ok(altered.ok)
  refused(verifyReceiptSignature(p, altered.value, formatKey(ROOT.key)), 'receipt.signature')
})

test('each field has one form, and a value of any kind in its place is a refusal', () => {
  const { signatures } = JSON.parse(honest) as { signatures: object[] }
  for (const value of [{}, [{}], null, 7, '', [], 'text/plain']) {
    refused(parseReceipt(outer({ payloadType: value })), 'receipt.type', 'envelope.payloadType')
    refused(parseReceipt(inner({ _type: value })), 'receipt.type', 'statement._type')
    refused(parseReceipt(inner({ predicateType: value })), typeof value === 'string' ? 'receipt.type' : 'receipt.parse', 'statement.predicateType')
  }
  for (const value of [null, [], 7, 'x']) refused(parseReceipt(inner({ predicate: value })), 'receipt.parse', 'statement.predicate')
  for (const value of [null, {}, [], [1], [...signatures, ...signatures], [{ ...signatures[0], more: 1 }], [{ keyid: 'a' }], [{ keyid: {}, sig: '' }]]) assert.ok(!parseReceipt(outer({ signatures: value })).ok, JSON.stringify(value))
  for (const value of [null, {}, [1], [{ name: 'a' }], [{ name: 'a', digest: {} }], [{ name: 'a', digest: { sha256: '0A'.repeat(32) } }], [{ name: 7, digest: SUBJECT[0]?.digest }], Array.from({ length: 257 }, () => SUBJECT[0])]) assert.ok(!parseReceipt(inner({ subject: value })).ok, JSON.stringify(value))
  refused(parseReceipt(outer({ more: 1 })), 'receipt.parse', 'envelope.more')
  refused(parseReceipt(inner({ more: 1 })), 'receipt.parse', 'statement.more')
  refused(parseReceipt(outer({ payload: toBase64(utf8('[]')) })), 'receipt.parse', 'statement')
  refused(parseReceipt(outer({ payload: 7 })), 'receipt.parse', 'envelope.payload')
})
