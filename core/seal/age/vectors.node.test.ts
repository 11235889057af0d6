// The public corpus of age (C2SP/CCTV, npm cctv-age): one file per failure; `expect` names the layer that must refuse.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { inflateSync } from 'node:zlib'
import * as corpus from 'cctv-age'
import { portable } from '../../crypto/portable.ts'
import { decrypt } from './index.ts'

const LAYER: Record<string, string> = {
  'no match': 'age.recipient', 'HMAC failure': 'age.mac', 'header failure': 'age.header', 'armor failure': 'age.header at armor', 'payload failure': 'age.payload',
}

for (const [name, bytes] of Object.entries(corpus as Record<string, Uint8Array>)) {
  test(`cctv-age ${name}`, () => {
    const vector = read(bytes)
    const openers = { identities: vector.all('identity'), ...(vector.one('passphrase') === undefined ? {} : { passphrase: vector.one('passphrase') ?? '' }) }
    const result = decrypt(portable, openers, vector.file)
    const expected = vector.one('expect') ?? ''
    if (expected === 'success') {
      assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.refusal))
      assert.equal(createHash('sha256').update(result.value).digest('hex'), vector.one('payload'))
      return
    }
    assert.ok(!result.ok)
    const got = result.refusal.at === 'armor' ? `${result.refusal.code} at armor` : result.refusal.code
    assert.equal(got, LAYER[expected])
  })
}

/** Lines of `key: value`, an empty line, the age file (deflated when the header says so). */
function read(bytes: Uint8Array) {
  const text = Buffer.from(bytes)
  const gap = text.indexOf('\n\n')
  const pairs = text.subarray(0, gap).toString('utf8').split('\n').map(line => line.split(': ') as [string, string])
  const all = (key: string) => pairs.filter(([name]) => name === key).map(([, value]) => value)
  const one = (key: string) => all(key)[0]
  const body = text.subarray(gap + 2)
  return { all, one, file: new Uint8Array(one('compressed') === 'zlib' ? inflateSync(body) : body) }
}
