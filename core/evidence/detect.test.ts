// What a file is, on made-up evidence of every kind, in the forms in which tools write it; and how several files make one evidence.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import { writePem } from '../crypto/pem.ts'
import { portable as p } from '../crypto/portable.ts'
import { cpus } from './bundle/bundle.fixture.ts'
import { corimBytes, comid, environment, inTag, measurement } from '../appraisal/corim/corim.fixture.ts'
import { assemble, detect, type NamedFile, type Piece } from './detect.ts'
import { evidenceOf as nvidiaEvidence } from './nvidia/nvidia.fixture.ts'
import { INTEL, signed } from './result/result.fixture.ts'
import { arkList, snpInput } from './snp/snp.fixture.ts'
import { evidenceOf as tpmEvidence } from './tpm/evidence.fixture.ts'

const DATA = new Uint8Array(64).fill(5)
const file = (bytes: Uint8Array | string, name = 'file'): NamedFile => ({ name, bytes: typeof bytes === 'string' ? utf8(bytes) : bytes })
function pieces(bytes: Uint8Array | string, name?: string): readonly Piece[] {
  const found = detect(p, file(bytes, name))
  return found.ok ? found.value : assert.fail(JSON.stringify(found.refusal))
}
const whats = (bytes: Uint8Array | string) => pieces(bytes).map(piece => piece.what)
const codeOf = (bytes: Uint8Array | string) => { const found = detect(p, file(bytes)); return found.ok ? 'found' : found.refusal.code }
const part = (evidence: object, key: string): Uint8Array => fromBase64(String(Object.entries(evidence).find(([name]) => name === key)?.[1]))
/** As JSON: objects that were read have no prototype. */
const joined = (...all: (readonly Piece[])[]) => { const made = assemble(all.flat()); return made.ok ? JSON.parse(JSON.stringify(made.value)) as Record<string, unknown> : assert.fail(JSON.stringify(made.refusal)) }

const { report, certificates } = snpInput()
const vek = certificates[0] ?? new Uint8Array(0)
const quote = part(cpus.tdx(DATA), 'quote')
const tpm = tpmEvidence()

test('bytes of each kind', () => {
  assert.deepEqual(whats(report), ['snp-report'])
  assert.deepEqual(whats(concat(new Uint8Array([0, 0, 0, 0, 0xa0, 4, 0, 0]), new Uint8Array(24), report, new Uint8Array(64))), ['snp-report'])
  assert.deepEqual(whats(quote), ['tdx-quote'])
  assert.deepEqual(whats(part(cpus.sgx(DATA), 'quote')), ['sgx-quote'])
  assert.deepEqual(whats(part(cpus.nitro(DATA), 'document')), ['nitro-document'])
  assert.deepEqual(whats(part(cpus.cca(DATA), 'token')), ['cca-token'])
  assert.deepEqual(whats(part(cpus.azure(DATA.slice(0, 32)), 'hclReport')), ['hcl-report'])
  assert.deepEqual(whats(part(nvidiaEvidence(), 'report')), ['nvidia-report'])
  assert.deepEqual([whats(part(tpm, 'message')), whats(part(tpm, 'signature')), whats(part(tpm, 'ak'))], [['tpm-message'], ['tpm-signature'], ['tpm-public']])
  assert.deepEqual([whats(vek), whats(arkList())], [['certificate'], ['crl']])
  assert.deepEqual(whats(corimBytes([inTag(comid({ 0: [[environment(), [measurement('x', { 8: 'y' })]]] }))])), ['corim'])
})

test('texts: PEM, hex, base64, JSON, tokens', () => {
  assert.deepEqual(whats(`${writePem('CERTIFICATE', vek)}${writePem('X509 CRL', arkList())}`), ['certificate', 'crl'])
  for (const text of [toHex(report), `0x${toHex(report).toUpperCase()}`, toBase64(report), `${toBase64(report).replace(/(.{76})/g, '$1\n')}\n`, toBase64(report).replace(/\+/g, '-').replace(/\//g, '_')]) assert.deepEqual(whats(text), ['snp-report'])
  assert.deepEqual(whats(toBase64(utf8(toBase64(report)))), ['text'])
  assert.deepEqual(whats(JSON.stringify(cpus.snp(DATA))), ['evidence'])
  assert.deepEqual([whats('{"bundle":"cloister/receipt/1"}'), whats('{"tcb_info":"{}"}'), whats('{"charter":1}'), whats('[1]'), whats('c2sp.org/tlog-proof@v1\n'), whats('charter: 1\n'), whats('<Swid/>')], [['receipt'], ['dcap-collateral'], ['json'], ['json'], ['tlog-proof'], ['text'], ['rim']])
  assert.deepEqual([whats(signed(INTEL)), whats('[["JWT","a.b.c"],{"GPU-0":"d.e.f"}]')], [['token'], ['token']])
  assert.deepEqual([whats('{"sha256":{"0":"' + '00'.repeat(32) + '"}}'), whats('{"7":"' + '00'.repeat(48) + '"}'), whats('{"7":"00"}')], [['pcrs'], ['pcrs'], ['json']])
  const register = '00'.repeat(32)
  for (const json of [{ 7: register, x: register }, { 7: register, 8: 7 }, { sha256: { 7: register }, other: { 7: register } }, { sha256: { 7: register, x: 1 } }, {}]) assert.deepEqual(whats(JSON.stringify(json)), ['json'], JSON.stringify(json))
})

test('what is nothing that is known, empty, cut or too large is refused', () => {
  assert.equal(codeOf(new Uint8Array(0)), 'evidence.missing')
  assert.equal(codeOf(new Uint8Array(8 * 1024 * 1024 + 1)), 'bytes.too-large')
  for (const bytes of [DATA, report.subarray(0, 1183), concat(report, new Uint8Array([1])), quote.subarray(0, 20), new Uint8Array(300)]) assert.equal(codeOf(bytes), 'evidence.kind')
  assert.equal(codeOf('{"a":1,"a":2}'), 'json.duplicate-key')
})

test('a report with the table of certificates behind it', () => {
  const entry = (start: number, length: number) => concat(new Uint8Array(16).fill(9), new Uint8Array(new Uint32Array([start, length]).buffer))
  assert.deepEqual(whats(concat(report, entry(48, vek.length), new Uint8Array(24), vek)), ['snp-report', 'certificate'])
  for (const table of [concat(entry(48, vek.length + 1), new Uint8Array(24), vek), concat(entry(49, vek.length), new Uint8Array(24), vek), entry(24, 0)]) assert.equal(codeOf(concat(report, table)), 'evidence.kind')
})

test('the files of one machine make its evidence', () => {
  assert.deepEqual(joined(pieces(report), pieces(vek), pieces(arkList())), { kind: 'snp', report: toBase64(report), certificates: [toBase64(vek)], crls: [toBase64(arkList())] })
  const domain = cpus.tdx(DATA)
  assert.deepEqual(joined(pieces(quote), pieces(JSON.stringify('collateral' in domain ? domain.collateral : {}))), domain)
  assert.deepEqual(joined(pieces(part(tpm, 'message')), pieces(part(tpm, 'signature')), pieces(part(tpm, 'ak')), pieces(JSON.stringify(tpm.pcrs)), tpm.eventLog === undefined ? [] : pieces(fromBase64(tpm.eventLog)), ...(tpm.certificates ?? []).map(one => pieces(fromBase64(one)))), tpm)
  assert.deepEqual(joined(pieces('[["JWT","a.b.c"],{"GPU-0":"d.e.f"}]')), { kind: 'token', token: 'a.b.c', detached: { 'GPU-0': 'd.e.f' } })
  assert.deepEqual(joined(pieces(JSON.stringify({ kind: 'snp', report: 'AA==', certificates: [] })), pieces(vek)), { kind: 'snp', report: 'AA==', certificates: [toBase64(vek)] })
  assert.deepEqual(joined(pieces(vek), pieces(JSON.stringify({ kind: 'snp', report: 'AA==', certificates: [] })))['certificates'], [toBase64(vek)])
  const azure = cpus.azure(DATA.slice(0, 32))
  assert.ok(azure.kind === 'azure')
  const made = joined(pieces(part(azure, 'hclReport')), pieces(part(azure, 'message')), pieces(JSON.stringify(azure.pcrs)))
  assert.deepEqual([made['kind'], made['message']], ['azure', azure.message])
  const gpu = joined(pieces(part(nvidiaEvidence(), 'report')), pieces(vek))
  assert.equal(gpu['kind'], 'nvidia')
})

test('files that do not belong together are refused by name', () => {
  const refused = (...all: (readonly Piece[])[]) => { const made = assemble(all.flat()); return made.ok ? 'made' : [made.refusal.code, made.refusal.at] }
  assert.deepEqual(refused(pieces(vek, 'vek.der')), ['evidence.missing', 'vek.der'])
  assert.deepEqual(refused(pieces(report), pieces(report, 'again.bin')), ['evidence.parse', 'again.bin'])
  assert.deepEqual(refused(pieces(report), pieces(quote, 'quote.bin')), ['evidence.parse', 'quote.bin'])
  assert.deepEqual(refused(pieces(JSON.stringify(cpus.snp(DATA))), pieces(quote, 'quote.bin')), ['evidence.parse', 'quote.bin'])
  assert.deepEqual(refused(pieces(signed(INTEL)), pieces(vek, 'vek.der')), ['evidence.parse', 'vek.der'])
})
