import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat, equal } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { attempt } from '../../refusal.ts'
import { leaves } from './expect.fixture.ts'
import { HEADERS, peOf, section, type PePlan } from './pe.fixture.ts'
import { authenticodeBytes, readPe } from './pe.ts'

const refusedPe = (plan: PePlan, code: Parameters<typeof leaves>[1], at?: string) => leaves(() => readPe(peOf(plan)), code, at)
const CHECKSUM = 0x40 + 24 + 64
const DIRECTORY = 0x40 + 24 + 112 + 32

test('a section without memory stands in nobody\'s way', () => {
  assert.ok(readPe(peOf({ sections: [{ ...section('.a', 'long enough'), memory: 4096, address: 0x1000 }, { ...section('.b', new Uint8Array()), memory: 0, address: 0x1800 }] })))
})

test('sections as they stand in memory: without the padding of the file, filled with zeros where memory is larger', () => {
  const image = readPe(peOf({ sections: [section('.a', 'short'), { ...section('.b', 'longer'), memory: 600 }, section('.c', new Uint8Array())] }))
  assert.deepEqual(image.sections.map(one => one.name), ['.a', '.b', '.c'])
  assert.deepEqual(image.sections.map(one => one.content), [utf8('short'), concat(utf8('longer'), new Uint8Array(594)), new Uint8Array()])
  assert.deepEqual([image.machine, image.signed], ['x86-64', false])
  assert.equal(readPe(peOf({ machine: 0xaa64 })).machine, 'arm64')
})

test('the Authenticode hash leaves out checksum, directory and signatures, and nothing else', () => {
  const plain = peOf({ extra: utf8('overlay!') })
  const signed = peOf({ extra: utf8('overlay!'), signatures: new Uint8Array(16).fill(7), checksum: 0x01020304 })
  const hashed = concat(plain.subarray(0, CHECKSUM), plain.subarray(CHECKSUM + 4, DIRECTORY), plain.subarray(DIRECTORY + 8))
  assert.deepEqual(authenticodeBytes(readPe(plain)), hashed)
  assert.deepEqual(authenticodeBytes(readPe(signed)), hashed)
  assert.equal(readPe(signed).signed, true)
  const four = peOf({ directories: 4 })
  assert.deepEqual(authenticodeBytes(readPe(four)), concat(four.subarray(0, CHECKSUM), four.subarray(CHECKSUM + 4)))
})

test('every byte outside of checksum, directory and signatures moves the hash or is refused', () => {
  const file = peOf({ signatures: new Uint8Array(8).fill(1), extra: utf8('12345678') })
  const before = authenticodeBytes(readPe(file))
  for (let at = 0; at < file.length; at++) {
    const result = attempt(() => authenticodeBytes(readPe(file.map((byte, i) => (i === at ? byte ^ 0x10 : byte)))))
    const outside = (at >= CHECKSUM && at < CHECKSUM + 4) || at >= file.length - 8
    if (outside) assert.ok(result.ok && equal(result.value, before), `byte ${at}`)
    else assert.ok(!result.ok || !equal(result.value, before), `byte ${at}`)
  }
})

test('files that are not PE32+ for a machine of ours', () => {
  leaves(() => readPe(new Uint8Array()), 'bytes.truncated')
  leaves(() => readPe(concat(utf8('ZM'), peOf().subarray(2))), 'evidence.parse', 'image')
  leaves(() => readPe(peOf().map((byte, i) => (i === 0x42 ? 1 : byte))), 'evidence.parse', 'image')
  for (const lfanew of [0, 0x3f, (1 << 20) + 1]) refusedPe({ lfanew }, 'evidence.parse', 'image.e_lfanew')
  refusedPe({ lfanew: 1 << 20 }, 'bytes.truncated')
  refusedPe({ machine: 0x14c }, 'evidence.unsupported', 'image.machine')
  refusedPe({ magic: 0x10b }, 'evidence.unsupported', 'image.magic')
  for (const count of [0, 97]) refusedPe({ count }, 'evidence.parse', 'image.sections')
  refusedPe({ optionalBytes: 100 }, 'bytes.truncated')
})

test('headers that do not hold what they say', () => {
  for (const headerBytes of [0, 256, 1 << 21, 100_000]) refusedPe({ headerBytes }, 'evidence.parse', 'image.sizeOfHeaders')
  refusedPe({ headerBytes: HEADERS - 8 }, 'evidence.unsupported', 'image..text')
  for (const directories of [17, 0xffffffff]) refusedPe({ directories, optionalBytes: 240 }, 'evidence.parse', 'image.numberOfRvaAndSizes')
  refusedPe({ directories: 6, optionalBytes: 112 + 47 }, 'evidence.parse', 'image.numberOfRvaAndSizes')
})

test('signatures stand at the end of the file and nowhere else', () => {
  const signatures = new Uint8Array(16)
  const end = peOf().length
  assert.ok(readPe(peOf({ signatures })).signed)
  for (const certificates of [[end, 8], [end, 24], [end + 8, 16], [0, 16], [end, 0], [HEADERS - 8, end + 16 - HEADERS + 8]] as const) refusedPe({ signatures, certificates }, 'evidence.parse', 'image.certificateTable')
  refusedPe({ extra: new Uint8Array(4), signatures }, 'evidence.parse', 'image.certificateTable')
  refusedPe({ certificates: [HEADERS, end - HEADERS] }, 'bytes.truncated', 'image')
})

test('sections that overlap, leave gaps or reach behind the end', () => {
  refusedPe({ sections: [{ ...section('.a', 'a'), offset: HEADERS + 512 }] }, 'evidence.unsupported', 'image..a')
  refusedPe({ sections: [section('.a', 'a'), { ...section('.b', 'b'), offset: HEADERS }] }, 'evidence.unsupported', 'image..b')
  refusedPe({ sections: [{ ...section('.a', 'a'), fileBytes: 1024 }] }, 'bytes.truncated', 'image')
  refusedPe({ sections: [section('.a', 'a'), { ...section('.b', 'b'), address: 4096 }] }, 'evidence.parse', 'image..b')
  refusedPe({ sections: [{ ...section('.a', 'a'), memory: 512 + (1 << 24) + 1 }] }, 'bytes.too-large', 'image..a')
  assert.ok(readPe(peOf({ sections: [{ ...section('.a', 'a'), memory: 512 + (1 << 24) }] })))
})

test('names of sections', () => {
  assert.equal(readPe(peOf({ sections: [section('.eight78', 'x')] })).sections[0]?.name, '.eight78')
  for (const rawName of ['.a\0b\0\0\0\0', '.a b\0\0\0\0', '.\x7f\0\0\0\0\0\0', '.\x01\0\0\0\0\0\0']) refusedPe({ sections: [{ ...section('.a', 'x'), rawName: utf8(rawName) }] }, 'evidence.parse', 'image.sections[0]')
})

test('no bytes make the reader fail otherwise than by a refusal', () => {
  const file = peOf({ sections: [section('.a', 'a'), section('.b', 'b')], signatures: new Uint8Array(8) })
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: HEADERS }), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }), fc.integer({ min: 0, max: file.length }), (changes, length) => {
    const altered = file.slice(0, length)
    for (const [at, byte] of changes) if (at < length) altered[at] = byte
    const result = attempt(() => readPe(altered))
    if (result.ok) assert.ok(authenticodeBytes(result.value).length <= altered.length)
  }), { numRuns: 500 })
})
