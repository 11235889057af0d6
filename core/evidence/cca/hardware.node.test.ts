// Tokens of published platforms and sets of claims, with the verdict each must give.
import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toBase64 } from '../../bytes/base64.ts'
import { parseJsonObject } from '../../bytes/json.ts'
import { toHex } from '../../bytes/hex.ts'
import { rememberingPort } from '../../crypto/cose.fixture.ts'
import { spkiToKey } from '../../crypto/keys.ts'
import { portable } from '../../crypto/portable.ts'
import { attempt } from '../../refusal.ts'
import { claimsFromJson, readClaimSet } from './claim-sets.ts'
import { verifyCca } from './verify.ts'

interface Case { id: string; tee: string; files: { role: string; path: string }[]; expect: { verdict: string; fields?: { platform: Record<string, unknown>; realm: Record<string, unknown> } } }
const folder = join(import.meta.dirname, '../../../../shared/vectors')
const missing = !existsSync(join(folder, 'MANIFEST.json'))
// The manifest's form is documented beside it; a case of another form fails below.
const cases: Case[] = missing ? [] : (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases.filter(one => one.tee === 'arm-cca')
const fileOf = (one: Case, role: string) => one.files.find(file => file.role === role)?.path
const read = (path = '') => new Uint8Array(readFileSync(join(folder, path)))
const tokens = cases.filter(one => fileOf(one, 'token') !== undefined)

function cpaksOf(one: Case) {
  const path = fileOf(one, 'cpak')
  if (path === undefined) return []
  const key = createPublicKey({ key: JSON.parse(readFileSync(join(folder, path), 'utf8')), format: 'jwk' })
  return [{ key: spkiToKey(new Uint8Array(key.export({ type: 'spki', format: 'der' }))) }]
}
const judge = (one: Case, token = read(fileOf(one, 'token')), port = portable) => attempt(() => verifyCca(port, { kind: 'cca', token: toBase64(token) }, { now: 1_767_225_600, cpaks: cpaksOf(one) }))

test('the vectors are here', { skip: missing ? 'no ../shared/vectors beside this checkout' : false }, () => assert.ok(tokens.length >= 3 && cases.length >= 25))

for (const one of tokens) {
  test(`${one.id}: ${one.expect.verdict}`, () => {
    const result = judge(one)
    assert.equal(result.ok && !result.value.debug, one.expect.verdict === 'accept', result.ok ? '' : JSON.stringify(result.refusal))
    const { fields } = one.expect
    if (!result.ok || fields === undefined) return
    const { measurement, reportData, hostData, chipId, registers, facts } = result.value
    assert.deepEqual([measurement, reportData, hostData, chipId, Object.values(registers)], [fields.realm['44238'], fields.realm['10'], fields.realm['44235'], fields.platform['256'], fields.realm['44239']])
    assert.ok(facts.kind === 'cca' && facts.implementationId === fields.platform['2396'] && facts.lifecycle === fields.platform['2395'] && facts.config === fields.platform['2401'] && facts.service === fields.platform['2400'])
  })
}

for (const one of cases.filter(candidate => fileOf(candidate, 'claims')?.endsWith('.json') === true)) {
  test(`${one.id}: ${one.expect.verdict}`, () => assert.equal(attempt(() => readClaimSet(claimsFromJson(parseJsonObject(read(fileOf(one, 'claims')))))).ok, one.expect.verdict === 'parse'))
}

test('a flipped bit in every byte of a published token is refused', { skip: missing }, () => {
  for (const one of tokens.filter(candidate => candidate.expect.verdict === 'accept')) {
    const token = read(fileOf(one, 'token'))
    const port = rememberingPort(portable)
    assert.ok(judge(one, token, port).ok)
    port.close()
    for (let at = 0; at < token.length; at++) {
      const altered = token.slice()
      altered[at] = (altered[at] ?? 0) ^ 1 << (at % 8)
      assert.ok(!judge(one, altered, port).ok, `byte 0x${at.toString(16)}`)
    }
    assert.equal(toHex(token.subarray(0, 3)), 'd9018f')
  }
})
