// Documents of real enclaves, and documents altered in one place, with the verdict each must give.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import { rememberingPort } from '../../crypto/cose.fixture.ts'
import { portable } from '../../crypto/portable.ts'
import { attempt } from '../../refusal.ts'
import { parseDocument } from './document.ts'
import { verifyNitro } from './verify.ts'

interface Case { id: string; tee: string; files: { role: string; path: string }[]; valid_at: string | null; expect: { verdict: string; reasons?: string[]; fields?: { module_id: string; npcr: number; pcrs: Record<string, string>; user_data: string; nonce: string; debug: boolean; timestamp: string } } }
const folder = join(import.meta.dirname, '../../../../shared/vectors')
const missing = !existsSync(join(folder, 'MANIFEST.json'))
// The manifest's form is documented beside it; a case of another form fails below.
const cases: Case[] = missing ? [] : (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases.filter(one => one.tee === 'nitro')
const documentOf = (one: Case) => new Uint8Array(readFileSync(join(folder, one.files.find(file => file.role === 'document')?.path ?? assert.fail('no document'))))
const judge = (one: Case, document: Uint8Array, port = portable) => attempt(() => verifyNitro(port, { kind: 'nitro', document: toBase64(document) }, { now: Math.floor(Date.parse(one.valid_at ?? '') / 1000) }))

test('the vectors are here', { skip: missing ? 'no ../shared/vectors beside this checkout' : false }, () => assert.ok(cases.length >= 10))

for (const one of cases) {
  test(`${one.id}: ${one.expect.verdict}`, () => {
    const document = documentOf(one)
    const result = judge(one, document)
    assert.equal(result.ok && !result.value.debug, one.expect.verdict === 'accept', result.ok ? '' : JSON.stringify(result.refusal))
    // Debug is a claim for the charter to judge, unless something else is wrong as well.
    if (one.expect.reasons?.length === 1 && one.expect.reasons[0]?.startsWith('PCR0')) assert.ok(result.ok && result.value.debug)
    const { fields } = one.expect
    const parsed = attempt(() => parseDocument(document))
    if (!parsed.ok || fields === undefined) return
    const { moduleId, timestampMs, pcrs, userData, nonce } = parsed.value
    const hex = (value?: Uint8Array) => toHex(value ?? new Uint8Array(0))
    assert.deepEqual([moduleId, timestampMs, pcrs.size, hex(userData), hex(nonce)], [fields.module_id, Date.parse(fields.timestamp), fields.npcr, fields.user_data, fields.nonce])
    for (const [index, value] of pcrs) assert.equal(toHex(value), fields.pcrs[String(index)] ?? '00'.repeat(value.length), `PCR ${index}`)
  })
}

test('a flipped bit in every byte of a genuine document is refused', { skip: missing }, () => {
  const one = cases.find(candidate => candidate.expect.verdict === 'accept') ?? assert.fail('no case')
  const document = documentOf(one)
  const port = rememberingPort(portable)
  assert.ok(judge(one, document, port).ok)
  port.close()
  for (let at = 0; at < document.length; at++) {
    const altered = document.slice()
    altered[at] = (altered[at] ?? 0) ^ 1 << (at % 8)
    assert.ok(!judge(one, altered, port).ok, `byte 0x${at.toString(16)}`)
  }
})
