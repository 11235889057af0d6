// Enclave images made up here: registers against formulas and values that AWS documents, and each way in which an image is not one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { type Writable, writeCbor } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { root } from '../../crypto/chain.fixture.ts'
import { writePem } from '../../crypto/pem.ts'
import { portable as p } from '../../crypto/portable.ts'
import { crc32, eifRegisters, parentRegister, readEif } from './eif.ts'
import { eifOf, type EifPlan } from './eif.fixture.ts'
import { refused, valueOf } from './expect.fixture.ts'

const registers = (plan: EifPlan = {}) => eifRegisters(p, valueOf(readEif(eifOf(plan))))
const extended = (...parts: readonly string[]) => toHex(p.hash('sha384', concat(new Uint8Array(48), p.hash('sha384', utf8(parts.join(''))))))
const list = (bytes: Uint8Array): Writable => [...bytes]
const signatures = (certificate: Writable, more: readonly Writable[] = []): Uint8Array => writeCbor([new Map<Writable, Writable>([['signing_certificate', certificate], ['signature', list(utf8('cose'))]]), ...more])

test('PCR0, PCR1, PCR2: all, what boots, what is on top', () => {
  assert.deepEqual(registers(), { PCR0: extended('kernel', 'reboot=k', 'init', 'app'), PCR1: extended('kernel', 'reboot=k', 'init'), PCR2: extended('app') })
  // The value of an enclave without a ramdisk of its own, as it stands in published builds.
  const bare = registers({ ramdisks: ['init'] })
  assert.match(bare['PCR2'] ?? '', /^21b9efbc18480766/)
  assert.equal(bare['PCR0'], bare['PCR1'])
  assert.deepEqual(registers({ metadata: '{"ImageName":"x"}' }), registers())
  assert.deepEqual([valueOf(readEif(eifOf({ flags: 1 }))).architecture, valueOf(readEif(eifOf({ version: 2 }))).version], ['aarch64', 2])
})

test('PCR3 of the role in AWS\'s user guide', () => {
  assert.equal(parentRegister(p, 'arn:aws:iam::123456789012:role/Webserver'), '78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6')
})

test('PCR8: the certificate that signed, however its bytes are written', () => {
  const pem = utf8(writePem('CERTIFICATE', root.der))
  const expected = toHex(p.hash('sha384', concat(new Uint8Array(48), p.hash('sha384', root.der))))
  for (const signature of [signatures(list(pem)), signatures(pem)]) assert.equal(registers({ signature })['PCR8'], expected)
  for (const [signature, code] of [[signatures(list(utf8('no PEM'))), 'evidence.parse'], [signatures([256]), 'evidence.parse'], [signatures(concat(pem, pem)), 'evidence.parse'], [signatures(pem, [1]), 'evidence.parse'], [writeCbor([]), 'evidence.parse'], [new Uint8Array([0xff]), 'cbor.syntax'], [signatures(utf8(writePem('CERTIFICATE', utf8('x')))), 'bytes.truncated']] as const) {
    const result = readEif(eifOf({ signature }))
    assert.ok(!result.ok)
    assert.equal(result.refusal.code.split('.')[0], code.split('.')[0], JSON.stringify(result.refusal))
  }
})

test('CRC-32 of IEEE 802.3', () => assert.equal(crc32(0, utf8('123456789')), 0xcbf43926))

test('what is no image, or not whole, is refused where it is wrong', () => {
  const image = eifOf()
  refused(readEif(new Uint8Array(0)), 'bytes.truncated')
  refused(readEif(eifOf({ magic: '.elf' })), 'evidence.parse', 'eif')
  for (const version of [1, 5]) refused(readEif(eifOf({ version })), 'evidence.version', 'eif.version')
  for (const count of [2, 33]) refused(readEif(eifOf({ count })), 'evidence.parse', 'eif.sections')
  refused(readEif(image.with(600, 0xff)), 'evidence.parse')
  refused(readEif(eifOf({ crc: 7 })), 'evidence.parse', 'eif.crc')
  refused(readEif(concat(image, new Uint8Array(1))), 'bytes.trailing', 'eif')
  refused(readEif(image.subarray(0, -1)), 'bytes.truncated', 'eif.sections[3]')
  refused(readEif(eifOf({ shift: 1 })), 'evidence.parse', 'eif.sections[0]')
  refused(readEif(eifOf({ gap: 16 })), 'evidence.parse', 'eif.sections[0]')
  refused(readEif(eifOf({ sectionFlags: 1 })), 'evidence.parse', 'eif.sections[0]')
  refused(readEif(eifOf({ types: [1, 2, 6] })), 'evidence.parse', 'eif.sections[2].type')
  for (const types of [[2, 1, 3], [1, 3, 2], [1, 2, 2, 3], [1, 1, 2, 3]]) refused(readEif(eifOf({ types })), 'evidence.parse')
  refused(readEif(eifOf({ types: [1, 2, 5] })), 'evidence.parse', 'eif.sections')
})

test('an image that is changed or cut anywhere is refused', () => {
  const image = eifOf()
  fc.assert(fc.property(fc.nat(image.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(image.length - 1), (at, mask, length) => {
    assert.ok(!readEif(image.with(at, (image[at] ?? 0) ^ mask)).ok, `byte ${at}`)
    assert.ok(!readEif(image.subarray(0, length)).ok)
  }), { numRuns: 300 })
})
