// MRTD and the registers of a TDX guest from firmware and images made up here, computed a second time in the test as the specifications say it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { leaves, refused, valueOf } from './expect.fixture.ts'
import { little } from './firmware.ts'
import { snpImage, TDX_SECTIONS, tdxImage, type TdxChange, type TdxSection } from './firmware.fixture.ts'
import { KERNEL, ukiOf } from './pe.fixture.ts'
import { authenticodeBytes, readPe } from './pe.ts'
import { machineDigests, predictTd, readTdvf, tdHob, tdxMrtd, type TdBoot, type TdMachine } from './tdx.ts'
import { SECURE_BOOT_OFF } from './tpm.ts'

const GIB = 2 ** 30
const tdvf = valueOf(readTdvf(tdxImage()))
const [volume, ...others] = TDX_SECTIONS
const changed = (change: Partial<TdxSection>, i = 0) => TDX_SECTIONS.map((one, j) => (i === j ? { ...one, ...change } : one))

/** TDH.MEM.PAGE.ADD: 12 characters padded to 16, address, 104 zeros. TDH.MR.EXTEND: the same with its name, then 256 bytes of data. */
const add = (address: number) => concat(utf8('MEM.PAGE.ADD'), new Uint8Array(4), little(address, 8), new Uint8Array(104))
const extend = (address: number, data: Uint8Array) => concat(utf8('MR.EXTEND'), new Uint8Array(7), little(address, 8), new Uint8Array(104), data)

test('MRTD: each page added, those of measured sections extended in pieces of 256 bytes, in either order', () => {
  const image = tdxImage()
  const data = image.subarray(0x1000, 0x2000)
  const extends_ = Array.from({ length: 16 }, (_, i) => extend(0xfffff000 + 256 * i, data.subarray(256 * i, 256 * i + 256)))
  const rest = others.flatMap(({ address, size }) => Array.from({ length: size / 4096 }, (_, i) => add(address + 4096 * i)))
  const expected = toHex(p.hash('sha384', concat(add(0xfffff000), ...extends_, ...rest)))
  assert.equal(tdxMrtd(p, tdvf, 'single-pass'), expected)
  // One measured page: adding all pages of the section first makes no difference.
  assert.equal(tdxMrtd(p, tdvf, 'two-pass'), expected)
  const two = valueOf(readTdvf(tdxImage([{ ...volume, kind: 0, address: 0xffffe000, size: 0x2000, offset: 0, bytes: 0x2000, attributes: 1 }, { kind: 2, address: 0x809000, size: 0x1000 }])))
  assert.notEqual(tdxMrtd(p, two, 'single-pass'), tdxMrtd(p, two, 'two-pass'))
  const other = valueOf(readTdvf(tdxImage(TDX_SECTIONS, {}, 0x91)))
  assert.notEqual(tdxMrtd(p, other, 'single-pass'), expected)
})

test('metadata that is not as the design guide says is refused', () => {
  const read = (sections: readonly TdxSection[], change: TdxChange = {}) => readTdvf(tdxImage(sections, change))
  const at = 'firmware.metadata'
  refused(readTdvf(new Uint8Array(8192)), 'evidence.parse')
  refused(readTdvf(snpImage()), 'evidence.unsupported', at)
  assert.ok(read([...TDX_SECTIONS, { kind: 4, address: 0x811000, size: 0 }]).ok, 'nothing stands in nothing')
  const bare = valueOf(read(TDX_SECTIONS.filter(one => one.kind !== 1)))
  leaves(() => machineDigests(p, bare, 2 * GIB), 'evidence.unsupported', 'firmware.metadata.cfv')
  assert.equal(machineDigests(p, tdvf, 2 * GIB).cfv, toHex(p.hash('sha384', tdxImage().subarray(0, 0x1000))))
  refused(read(TDX_SECTIONS, { signature: 'TDVX' }), 'evidence.parse', at)
  refused(read(TDX_SECTIONS, { version: 2 }), 'evidence.version', at)
  for (const change of [{ length: 16 }, { count: 5 }, { count: 65, length: 16 + 32 * 65 }]) refused(read(TDX_SECTIONS, change), 'evidence.parse', at)
  refused(read(changed({ kind: 7 }, 2)), 'evidence.unsupported', `${at}[2]`)
  refused(read(changed({ attributes: 2 }, 2)), 'evidence.unsupported', `${at}[2]`)
  refused(read(changed({ bytes: 0x8000 })), 'bytes.truncated', `${at}[0]`)
  refused(read(changed({ bytes: 0x800 })), 'evidence.unsupported', `${at}[0]`)
  refused(read(changed({ bytes: 0x1000 }, 2)), 'evidence.unsupported', `${at}[2]`)
  refused(read(changed({ address: 2 ** 52 }, 2)), 'evidence.parse', `${at}[2]`)
  refused(read(others), 'evidence.parse', `${at}.bfv`)
  refused(read(TDX_SECTIONS.filter(one => one.kind !== 2)), 'evidence.parse', `${at}.tdHob`)
  refused(read([...TDX_SECTIONS, { kind: 2, address: 0x900000, size: 0x1000 }]), 'evidence.parse', `${at}.tdHob`)
  refused(read([...TDX_SECTIONS, { kind: 5, address: 0x900000, size: 0x2000, offset: 0, bytes: 0x2000, attributes: 1 }]), 'evidence.parse', at)
  for (const change of [{ address: 0x810001 }, { size: 0x1001 }, { address: 0x80b000 }]) refused(read(changed(change, 2)), 'evidence.parse')
})

test('firmware that is cut or changed anywhere is read or refused, and nothing else happens', () => {
  const image = tdxImage()
  fc.assert(fc.property(fc.nat(image.length - 1), fc.nat(255), fc.nat(image.length), (at, byte, length) => {
    readTdvf(image.with(at, byte))
    readTdvf(image.subarray(0, length))
  }), { numRuns: 300 })
})

test('hand-off blocks: what firmware takes is accepted, the rest is not, above 4 GiB from 2.75 GiB on', () => {
  const words = (bytes: Uint8Array, at: number) => Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true))
  const rangesOf = (hob: Uint8Array) => Array.from({ length: (hob.length - 56) / 48 }, (_, i) => ({ type: hob[56 + 48 * i + 24], start: words(hob, 56 + 48 * i + 32), length: words(hob, 56 + 48 * i + 40) }))
  const hob = tdHob(tdvf, 2 * GIB)
  const ranges = rangesOf(hob)
  assert.equal(ranges.reduce((sum, one) => sum + one.length, 0), 2 * GIB)
  assert.deepEqual(ranges.filter(one => one.type === 0).map(one => one.start), [0x800000, 0x809000, 0x80b000, 0x810000])
  assert.equal(words(hob, 48), 0x809000 + hob.length + 8)
  assert.equal(rangesOf(tdHob(tdvf, 2 * GIB + 2 ** 28)).some(one => one.start === 4 * GIB), false)
  assert.deepEqual(rangesOf(tdHob(tdvf, 8 * GIB)).at(-1), { type: 7, start: 4 * GIB, length: 6 * GIB })
  for (const bytes of [0, 4095, 2 ** 20, 0x820000, 1.5, 2 ** 60]) leaves(() => tdHob(tdvf, bytes), 'evidence.parse', 'memory')
})

const fold = (...events: Uint8Array[]) => toHex(events.reduce((value: Uint8Array, one) => p.hash('sha384', concat(value, one)), new Uint8Array(48)))
const sha = (data: Uint8Array | string) => p.hash('sha384', typeof data === 'string' ? utf8(data) : data)
const wide = (text: string) => concat(...[...`${text}\0`].map(sign => new Uint8Array([sign.charCodeAt(0), 0])))
const [BOOTS, EXIT, EXITED] = ['Calling EFI Application from Boot Option', 'Exit Boot Services Invocation', 'Exit Boot Services Returned with Success'].map(sha)
const SEPARATOR = sha(new Uint8Array(4))
const machine: TdMachine = { ...machineDigests(p, tdvf, 2 * GIB), secureBoot: SECURE_BOOT_OFF, acpi: ['11'.repeat(48), '22'.repeat(48)], bootVariables: [{ name: 'BootOrder', value: new Uint8Array([0, 0]) }] }
const direct: TdBoot = { boots: { kernel: KERNEL, cmdline: 'console=ttyS0', initrd: utf8('initrd') }, bootSeparator: 'RTMR1' }
const predict = (boot: TdBoot) => valueOf(predictTd(p, boot))

test('a kernel that the host hands over: RTMR1 its Authenticode hash before the boot, RTMR2 command line and initrd', () => {
  const image = sha(authenticodeBytes(readPe(KERNEL)))
  const { registers, unknown } = predict(direct)
  assert.deepEqual(registers, { RTMR1: fold(image, BOOTS ?? image, SEPARATOR, EXIT ?? image, EXITED ?? image), RTMR2: fold(sha(wide('console=ttyS0')), sha('initrd')) })
  assert.deepEqual(unknown.map(one => [one.code, one.at]), [['evidence.missing', 'RTMR0']])
  const early = predict({ ...direct, bootSeparator: 'RTMR0', boots: { kernel: KERNEL, cmdline: 'console=ttyS0' } })
  assert.deepEqual(early.registers, { RTMR1: fold(image, BOOTS ?? image, EXIT ?? image, EXITED ?? image), RTMR2: fold(sha(wide('console=ttyS0'))) })
})

test('a unified kernel image from a disk: RTMR1 the partitions and images, RTMR2 its sections and what the kernel gets', () => {
  const uki = ukiOf('262.1-1')
  const gpt = utf8('partitions')
  const { registers, events } = predict({ boots: { uki, gpt, secureBoot: false }, bootSeparator: 'RTMR1' })
  const image = sha(authenticodeBytes(readPe(uki)))
  assert.equal(registers['RTMR1'], fold(BOOTS ?? image, SEPARATOR, sha(gpt), image, EXIT ?? image, EXITED ?? image))
  assert.equal(registers['RTMR2'], fold(...events.filter(one => one.register === 'RTMR2').map(one => one.digest)))
  assert.ok(events.some(one => one.register === 'RTMR2' && one.what === '.linux, content'))
  assert.deepEqual(predict({ boots: { uki: ukiOf('999.1-1'), gpt, secureBoot: false }, bootSeparator: 'RTMR1' }).unknown.map(one => one.code), ['evidence.missing', 'evidence.unsupported', 'evidence.unsupported'])
})

test('RTMR0 from the machine: hand-off blocks, variables, tables of the host', () => {
  const whole = predict({ ...direct, machine })
  assert.deepEqual(whole.unknown, [])
  const what = whole.events.filter(one => one.register === 'RTMR0').map(one => one.what)
  assert.deepEqual(what.slice(0, 3), ['tdHob', 'cfv', 'variable SecureBoot'])
  assert.deepEqual(what.slice(-3), ['acpi[0]', 'acpi[1]', 'variable BootOrder'])
  assert.equal(whole.registers['RTMR0'], fold(...whole.events.filter(one => one.register === 'RTMR0').map(one => one.digest)))
  assert.notEqual(predict({ ...direct, machine, bootSeparator: 'RTMR0' }).registers['RTMR0'], whole.registers['RTMR0'])
  assert.notEqual(predict({ ...direct, machine: { ...machine, ...machineDigests(p, tdvf, 4 * GIB) } }).registers['RTMR0'], whole.registers['RTMR0'])
  assert.deepEqual(predict({ ...direct, machine: { ...machine, acpi: ['11'] } }).unknown.map(one => [one.code, one.at]), [['evidence.parse', 'machine.acpi[0]']])
})
