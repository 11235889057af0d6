import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { logOf, SEPARATOR, variable, GLOBAL_GUID, DATABASE_GUID, type Planned } from '../../evidence/eventlog/log.fixture.ts'
import { parseEventLog } from '../../evidence/eventlog/log.ts'
import { compareWithLog, type Prediction } from './events.ts'
import { leaves, refused, valueOf } from './expect.fixture.ts'
import { KERNEL, peOf, section, stubMagic, ukiOf, type PlannedSection } from './pe.fixture.ts'
import { authenticodeBytes, readPe } from './pe.ts'
import { PHASES, predictUki, SECURE_BOOT_OFF, variableData, type SecureBootState, type UkiBoot } from './tpm.ts'
import { commandLineOf, initrdOf, measuredSections, readUki } from './uki.ts'

const predict = (uki: Uint8Array, change: Partial<UkiBoot> = {}): Prediction => valueOf(predictUki(p, { uki, secureBoot: SECURE_BOOT_OFF, ...change }))
const sha = (bytes: Uint8Array) => p.hash('sha256', bytes)
const fold = (...parts: Uint8Array[]) => toHex(parts.reduce((value: Uint8Array, part) => sha(concat(value, sha(part))), new Uint8Array(32)))
const ZERO = '00'.repeat(32)
const hashOfImage = (file: Uint8Array) => authenticodeBytes(readPe(file))
const ACTION = utf8('Calling EFI Application from Boot Option')
const wide = (text: string) => concat(...[...`${text}\0`].map(sign => new Uint8Array([sign.charCodeAt(0), 0])))

test('PCR 11: sections in the canonical order, whatever their order in the file, by name and content', () => {
  const uki = ukiOf('262.1-1', [section('.pcrpkey', 'key'), section('.ucode', 'ucode'), section('.pcrsig', 'not measured'), section('.splash', 'bmp'), section('.dtb', 'tree')])
  const parts = [['.linux', KERNEL], ['.osrel', 'ID=x\n'], ['.cmdline', 'console=ttyS0 quiet'], ['.initrd', 'the initrd'], ['.ucode', 'ucode'], ['.splash', 'bmp'], ['.dtb', 'tree'], ['.uname', '6.12'], ['.sbat', 'sbat,1\n'], ['.pcrpkey', 'key']] as const
  assert.equal(predict(uki).registers['PCR11'], fold(...parts.flatMap(([name, data]) => [utf8(`${name}\0`), typeof data === 'string' ? utf8(data) : data])))
})

test('PCR 11 of systemd-stub 252: no microcode, release or SBAT; with the values of systemd-measure 252.38', () => {
  const uki = ukiOf('252.39-1~deb12u1', [section('.osrel', 'ID=x\nVERSION_ID=1\n'), section('.initrd', 'initrd!!!')])
  assert.deepEqual(measuredSections(readUki(uki)).map(one => one.name), ['.linux', '.osrel', '.cmdline', '.initrd'])
  const values = ['d3d46480557b361aca63c499ecd1e99fda01cea4202fe11a65b6b43eea601b21', '9371c57b63befffcf2667a87e0ee41cd078cb1a2857e8b9942a9a97c307cf2f9', 'a2245295b2f3b0c490785e2f9fa529771263147ec49f32cd0e46623f8151ac1e', '4794fc98ac0a3776899e1dd7bbc18028cd45c0333d3ba00b11caa09993297194', 'f73c1d1139b72d89dcfb8ce75a5450c41c613847bdeafd6b210770b69fc1a2b4']
  assert.deepEqual(values.map((_, phases) => predict(uki, { phases: PHASES.slice(0, phases) }).registers['PCR11']), values)
})

test('PCR 4: what boots, and the kernel again where an old stub loads it through firmware', () => {
  const boot = (version: string, change: Partial<UkiBoot> = {}) => predict(ukiOf(version), change)
  const on: SecureBootState = { ...SECURE_BOOT_OFF, enabled: true }
  const [uki262, uki257, uki252] = ['262.1-1', '257.13-1~deb13u1', '252.39-1~deb12u1'].map(version => ukiOf(version)) as [Uint8Array, Uint8Array, Uint8Array] // map keeps the length
  assert.equal(boot('262.1-1').registers['PCR4'], fold(ACTION, SEPARATOR, hashOfImage(uki262)))
  assert.equal(boot('262.1-1', { secureBoot: on }).registers['PCR4'], fold(ACTION, SEPARATOR, hashOfImage(uki262)))
  assert.equal(boot('257.13-1~deb13u1').registers['PCR4'], fold(ACTION, SEPARATOR, hashOfImage(uki257), hashOfImage(KERNEL)))
  assert.equal(boot('252.39-1~deb12u1').registers['PCR4'], fold(ACTION, SEPARATOR, hashOfImage(uki252), hashOfImage(KERNEL)))
  assert.equal(boot('252.39-1~deb12u1', { secureBoot: on }).registers['PCR4'], fold(ACTION, SEPARATOR, hashOfImage(uki252)))
  assert.deepEqual(boot('257.13-1~deb13u1', { secureBoot: on }).unknown.map(one => [one.code, one.at]), [['evidence.unsupported', 'PCR4']])
  const { secureBoot: _, ...nothing } = { uki: uki252, secureBoot: on }
  assert.deepEqual(valueOf(predictUki(p, nothing)).unknown.map(one => [one.code, one.at]), [['evidence.missing', 'PCR4'], ['evidence.missing', 'PCR7']])
  assert.deepEqual(valueOf(predictUki(p, { uki: uki262 })).unknown.map(one => one.at), ['PCR7'])
})

test('a kernel that is no image leaves PCR 4 unknown with an old stub', () => {
  const result = predict(ukiOf('257.13', [section('.linux', 'not an image')]))
  assert.deepEqual(result.unknown.map(one => one.code), ['evidence.parse'])
  assert.deepEqual([result.registers['PCR4'], typeof result.registers['PCR11']], [undefined, 'string'])
})

test('PCR 7: the variables of Secure Boot, empty ones with their names', () => {
  assert.equal(predict(ukiOf()).registers['PCR7'], '65caf8dd1e0ea7a6347b635d2b379c93b9a1351edc2afc3ecda700e534eb3068') // as a QEMU machine with Debian 12's OVMF had it
  const state: SecureBootState = { enabled: true, pk: utf8('pk'), kek: utf8('kek'), db: utf8('db'), dbx: utf8('dbx'), further: [{ guid: '8be4df61-93ca-11d2-aa0d-00e098032b8c', name: 'AuditMode', value: new Uint8Array([0]) }], authorities: [{ guid: 'd719b2cb-3d3a-4596-a3bc-dad00e67656f', name: 'db', value: utf8('entry') }] }
  const of = (guid: Uint8Array, name: string, value: string | Uint8Array) => variable(guid, name, typeof value === 'string' ? utf8(value) : value)
  assert.equal(predict(ukiOf(), { secureBoot: state }).registers['PCR7'], fold(
    of(GLOBAL_GUID, 'SecureBoot', new Uint8Array([1])), of(GLOBAL_GUID, 'PK', 'pk'), of(GLOBAL_GUID, 'KEK', 'kek'), of(DATABASE_GUID, 'db', 'db'), of(DATABASE_GUID, 'dbx', 'dbx'),
    of(GLOBAL_GUID, 'AuditMode', new Uint8Array([0])), SEPARATOR, of(DATABASE_GUID, 'db', 'entry')))
  leaves(() => variableData({ guid: '8BE4DF61-93CA-11D2-AA0D-00E098032B8C', name: 'x', value: new Uint8Array() }), 'evidence.parse', 'variable x')
  leaves(() => variableData({ guid: '8be4df61-93ca-11d2-aa0d-00e098032b8c', name: 'ü', value: new Uint8Array() }), 'evidence.unsupported', 'variable')
})

test('PCR 9: the command line in UTF-16 and the initrd; stub 252 hands it over as it is', () => {
  const uki = ukiOf('252.39-1~deb12u1')
  assert.equal(predict(uki).registers['PCR9'], fold(wide('console=ttyS0 quiet'), utf8('the initrd')))
})

test('PCR 9 of newer stubs: initrds padded to 4, with archives of what the image says about itself', () => {
  const initrd = initrdOf(readUki(ukiOf('262.1-1', [section('.ucode', 'u'), section('.pcrsig', '{}'), section('.pcrpkey', 'PEM')]))) ?? new Uint8Array()
  const text = String.fromCharCode(...initrd)
  assert.ok(text.startsWith(`u\0\0\0the initrd${'\0'.repeat(2)}070701`))
  assert.equal(initrd.length % 4, 0)
  assert.deepEqual([...text.matchAll(/\.extra\/[a-z0-9.-]+/g)].map(([name]) => name), ['.extra/tpm2-pcr-signature.json', '.extra/tpm2-pcr-public-key.pem', '.extra/os-release'])
  assert.equal(text.split('TRAILER!!!').length, 4)
  const header = (...words: string[]) => `070701${words.map(word => word.padStart(8, '0')).join('')}`
  assert.ok(text.includes(`${header('1', '416d', '', '', '1', '', '', '', '', '', '', '7', '')}.extra\0`), 'a directory of mode 0555, inode 1')
  assert.ok(text.includes(`${header('2', '8124', '', '', '1', '', '5', '', '', '', '', '12', '')}.extra/os-release${'\0'.repeat(1)}ID=x\n${'\0'.repeat(3)}`), 'a file of mode 0444, inode 2, padded')
})

test('PCR 9 of an image with one initrd, or none', () => {
  const only = readUki(ukiOf('262.1-1', [section('.osrel', '')]))
  assert.deepEqual(initrdOf(only), utf8('the initrd'))
  const none = ukiOf('262.1-1', [section('.osrel', ''), section('.initrd', '')])
  assert.equal(initrdOf(readUki(none)), undefined)
  assert.equal(predict(none).registers['PCR9'], fold(wide('console=ttyS0 quiet')))
  const nothing = predict(ukiOf('252.1', [section('.cmdline', ''), section('.initrd', '')]))
  assert.equal(nothing.registers['PCR9'], ZERO)
  assert.deepEqual(predict(ukiOf('252.1', [section('.pcrpkey', 'x')])).unknown.map(one => [one.code, one.at]), [['evidence.unsupported', 'uki.initrd']])
})

test('the command line as the stub hands it on', () => {
  const line = (text: string, version = '252.1') => commandLineOf(readUki(ukiOf(version, [section('.cmdline', text)])))
  for (const [text, expected] of [['a b', 'a b'], ['  a\tb \n', 'a b'], ['a\0b', 'a'], ['\x7fa\x01\x02b', 'a  b'], ['\n', '']] as const) assert.equal(line(text), expected)
  for (const text of ['console=ttyS0', 'a console=x', 'console=']) assert.equal(line(text, '262.1'), text)
  for (const text of ['quiet', 'xconsole=a']) {
    assert.equal(line(text, '257.1'), text)
    leaves(() => line(text, '262.1'), 'evidence.unsupported', 'uki.cmdline')
  }
  assert.deepEqual(predict(ukiOf('257.1', [section('.cmdline', 'ü')])).unknown.map(one => [one.code, one.at]), [['evidence.unsupported', 'cmdline']])
  assert.deepEqual(predict(ukiOf('257.1', [section('.cmdline', new Uint8Array([0xff]))])).unknown.map(one => one.code), ['bytes.encoding'])
  assert.equal(readUki(ukiOf('257.1', [section('.cmdline', '')])).sections.has('.cmdline'), false)
})

test('images that are not unified, or decide at boot what they measure', () => {
  const refusedUki = (sections: PlannedSection[], code: Parameters<typeof leaves>[1], at: string) => refused(predictUki(p, { uki: peOf({ sections }) }), code, at)
  refusedUki([stubMagic('262.1')], 'evidence.parse', 'uki')
  refusedUki([section('.linux', '')], 'evidence.parse', 'uki')
  refusedUki([section('.linux', KERNEL)], 'evidence.unsupported', 'uki.sdmagic')
  refusedUki([section('.linux', KERNEL), stubMagic('262.1'), stubMagic('262.1')], 'evidence.unsupported', 'uki.sdmagic')
  refusedUki([section('.linux', KERNEL), section('.sdmagic', `#### LoaderInfo: systemd-stub 262 ####${'\0'.repeat(300)}`)], 'evidence.unsupported', 'uki.sdmagic')
  refusedUki([section('.linux', KERNEL), section('.linux', KERNEL), stubMagic('262.1')], 'evidence.parse', 'uki..linux')
  for (const name of ['.profile', '.dtbauto', '.hwids', '.efifw']) refused(predictUki(p, { uki: ukiOf('262.1', [section(name, 'x')]) }), 'evidence.unsupported', `uki.${name}`)
  for (const version of ['251.1', '253.1', '258.1', '263.1', 'x', '2620']) refused(predictUki(p, { uki: ukiOf(version) }), 'evidence.unsupported', 'uki.sdmagic')
  refused(predictUki(p, { uki: new Uint8Array(100) }), 'evidence.parse', 'uki')
})

test('phases are words, and not many', () => {
  refused(predictUki(p, { uki: ukiOf(), phases: Array.from({ length: 17 }, () => 'ready') }), 'evidence.parse', 'phases')
  for (const word of ['', 'enter-initrd:leave-initrd', 'Ready', '1', 'ready\0', 'a'.repeat(65)]) refused(predictUki(p, { uki: ukiOf(), phases: ['ready', word] }), 'evidence.parse', 'phases[1]')
})

test('other banks', () => {
  for (const [bank, bytes] of [['sha384', 48], ['sha512', 64]] as const) {
    const result = predict(ukiOf(), { bank })
    assert.equal(result.bank, bank)
    for (const value of Object.values(result.registers)) assert.equal(value.length, 2 * bytes)
  }
})

/** A log with what was expected, as firmware would have written it. */
function logFrom(prediction: Prediction, change: (events: Planned[]) => Planned[] = events => events) {
  const events = prediction.events.filter(one => one.later !== true).map((one): Planned => ({ index: Number(one.register.slice(3)), type: 0xd, data: utf8(one.what), digest: one.digest }))
  return parseEventLog(logOf(change([{ index: 0, type: 8, data: utf8('firmware') }, ...events, { index: 5, type: 6, data: utf8('table') }])))
}

test('a log is compared event by event, in predicted registers only; phases write no entry', () => {
  const prediction = predict(ukiOf(), { phases: PHASES })
  assert.deepEqual(valueOf(compareWithLog('pcr', prediction, logFrom(prediction))), ['PCR12', 'PCR13', 'PCR9', 'PCR4', 'PCR7', 'PCR11'])
  const part: Prediction = { ...prediction, registers: { PCR11: prediction.registers['PCR11'] ?? '' } }
  assert.deepEqual(valueOf(compareWithLog('pcr', part, logFrom(prediction, events => events.filter(one => one.index !== 4)))), ['PCR11'])
})

test('a mismatch names the event', () => {
  const prediction = predict(ukiOf())
  const other = predict(ukiOf('262.1-1', [section('.cmdline', 'console=ttyS0 init=/bin/sh')]))
  const only = (register: string): Prediction => ({ ...prediction, registers: { [register]: prediction.registers[register] ?? '' } })
  const compared = compareWithLog('pcr', only('PCR11'), logFrom(other))
  refused(compared, 'evidence.reference', 'PCR11[5]')
  assert.ok(!compared.ok && compared.refusal.expected.startsWith('.cmdline, content: ') && compared.refusal.got.startsWith('EV_IPL: '))
  refused(compareWithLog('pcr', only('PCR4'), logFrom(other)), 'evidence.reference', 'PCR4[2]')
  refused(compareWithLog('pcr', prediction, logFrom(prediction, events => events.slice(0, -2))), 'evidence.reference', 'PCR11[11]')
  const extended = compareWithLog('pcr', prediction, logFrom(prediction, events => [...events, { index: 12, type: 0xd, data: utf8('credential') }]))
  refused(extended, 'evidence.reference', 'PCR12[0]')
  assert.ok(!extended.ok && extended.refusal.expected === 'nothing further')
  refused(compareWithLog('pcr', predict(ukiOf(), { bank: 'sha384' }), logFrom(prediction)), 'evidence.event-log', 'PCR9[0]')
})

test('no section makes the reader of images fail otherwise than by a refusal', () => {
  fc.assert(fc.property(fc.array(fc.record({ name: fc.constantFrom('.linux', '.osrel', '.cmdline', '.initrd', '.sdmagic', '.sbat', '.profile'), data: fc.uint8Array({ maxLength: 40 }) }), { maxLength: 6 }), fc.constantFrom('252.1', '257.1', '262.1'), (sections, version) => {
    const result = predictUki(p, { uki: peOf({ sections: [stubMagic(version), ...sections] }), secureBoot: SECURE_BOOT_OFF })
    if (result.ok) assert.ok(result.value.registers['PCR11'] !== undefined)
  }), { numRuns: 300 })
})
