import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode } from '../../refusal.ts'
import { readVariable } from './events.ts'
import { bootOf, DATABASE_GUID, GLOBAL_GUID, hashIn, le, legacy, logOf, SEPARATOR, utf16, variable, type Planned } from './log.fixture.ts'
import { parseEventLog, type Bank } from './log.ts'
import { proveEvents, registerName, replay, type SignedRegisters } from './replay.ts'

const hash = (data: Uint8Array) => p.hash('sha256', data)
/** The registers that a log leaves, as a signature would cover them. */
function signedBy(bytes: Uint8Array, bank: Bank = 'sha256', only?: readonly number[]): SignedRegisters {
  const values = [...replay(hashIn(bank), parseEventLog(bytes), bank)].filter(([index]) => only?.includes(index) ?? true)
  return { kind: 'pcr', bank, values: new Map(values) }
}
const prove = (bytes: Uint8Array, signed: SignedRegisters = signedBy(bytes)) => proveEvents(p, parseEventLog(bytes), signed)
function refused(run: () => unknown, code: RefusalCode, at?: string): void {
  const result = attempt(run)
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at)
}
const separators = [{ index: 7, type: 4, data: SEPARATOR }]
const secureBoot = (value: number, type = 0x80000001): Planned => ({ index: 7, type, data: variable(GLOBAL_GUID, 'SecureBoot', new Uint8Array([value])) })

test('registers are hashes of what was before and the digest; PCR 0 begins with the locality, entries without action extend nothing', () => {
  const events = bootOf()
  const registers = replay(hashIn('sha256'), parseEventLog(logOf(events)), 'sha256')
  const fold = (index: number, first: Uint8Array) => events.filter(one => one.index === index && one.type !== 3).reduce((value, one) => hash(concat(value, hash(one.measured ?? one.data))), first)
  const start = new Uint8Array(32)
  start[31] = 3
  assert.deepEqual(registers.get(0), fold(0, start))
  assert.deepEqual([...replay(hashIn('sha256'), parseEventLog(logOf(events.slice(0, 1))), 'sha256')], [[0, start]])
  for (const index of [1, 4, 7, 9, 11, 12]) assert.deepEqual(registers.get(index), fold(index, new Uint8Array(32)), `register ${index}`)
  assert.deepEqual([...registers.keys()].toSorted((a, b) => a - b), [0, 1, 4, 7, 8, 9, 11, 12])
})

test('names: PCR n, and RTMR n for register n + 1 of a CC event log', () => {
  assert.deepEqual([registerName('pcr', 7), registerName('rtmr', 0), registerName('rtmr', 1), registerName('rtmr', 4)], ['PCR7', 'MRTD', 'RTMR0', 'RTMR3'])
})

test('a log that replays into signed registers gives its events and what they say', () => {
  const { events, unproven, uncovered, boot } = prove(logOf(bootOf()))
  assert.deepEqual([events.length, unproven, uncovered], [bootOf().length - 1, 0, []])
  assert.equal(events[0]?.register, 'PCR0')
  assert.deepEqual(events.find(one => one.detail?.startsWith('SecureBoot') === true), { register: 'PCR7', type: 'EV_EFI_VARIABLE_DRIVER_CONFIG', digest: toHex(hash(bootOf()[2]?.data ?? new Uint8Array())), detail: 'SecureBoot=01' })
  assert.deepEqual(boot, {
    secureBoot: true, secureBootKeys: { PK: toHex(hash(utf8('platform key'))), db: toHex(hash(utf8('allowed'))) }, authorities: [toHex(hash(variable(DATABASE_GUID, 'db', utf8('signer'))))],
    images: [toHex(hash(utf8('the image')))], commandLines: ['root=/dev/x', 'quiet'], ukiSections: { '.linux': toHex(hash(utf8('the kernel'))) }, errors: [],
  })
})

test('a register that differs from the signed one refuses the whole log, and the register is named', () => {
  const bytes = logOf(bootOf())
  const signed = signedBy(bytes)
  const other = { ...signed, values: new Map([...signed.values, [4, new Uint8Array(32).fill(9)]]) }
  refused(() => prove(bytes, other), 'evidence.event-log', 'eventLog.PCR4')
})

test('events swapped, dropped, added or altered are refused (attacks.md rows 51 and 52)', () => {
  const events = bootOf()
  const signed = signedBy(logOf(events))
  const variants: [string, Planned[]][] = [
    ['swapped', [...events.slice(0, 2), ...events.slice(2, 5).toReversed(), ...events.slice(5)]], ['dropped', events.toSpliced(6, 1)], ['twice', [...events, ...separators]],
    ['another digest', events.with(10, { index: 7, type: 4, data: new Uint8Array([0xff, 0xff, 0xff, 0xff]) })], ['locality', events.slice(1)],
  ]
  for (const [name, changed] of variants) assert.ok(!attempt(() => prove(logOf(changed), signed)).ok, name)
})

test('data that its digest must be the hash of is refused when it is not; other data is only not told', () => {
  for (const type of [4, 5, 0x80000001, 0x80000007, 0x8000000c]) refused(() => prove(logOf([{ index: 4, type, data: utf8('told'), measured: utf8('measured') }])), 'evidence.event-log', 'eventLog.events[1]')
  const { events } = prove(logOf([{ index: 4, type: 0x80000003, data: utf8('told'), measured: utf8('measured') }]))
  assert.deepEqual(events, [{ register: 'PCR4', type: 'EV_EFI_BOOT_SERVICES_APPLICATION', digest: toHex(hash(utf8('measured'))) }])
})

test('what a digest is of by custom is found: a value, a text without its prefix or its NUL, the content of a tag', () => {
  const detail = (type: number, data: Uint8Array, measured: Uint8Array) => prove(logOf([{ index: 5, type, data, measured }])).events[0]?.detail
  assert.equal(detail(0xd, utf8('grub_cmd: ls\0'), utf8('ls')), 'ls')
  assert.equal(detail(0xd, utf8('grub_cmd ls\0'), utf8('ls')), 'ls')
  assert.equal(detail(0xd, utf8('other: ls\0'), utf8('ls')), undefined)
  assert.equal(detail(0xd, utf8('text\0'), utf8('text')), 'text')
  assert.equal(detail(6, concat(le(1, 4), le(2, 4), utf8('ok')), utf8('ok')), 'ok')
  assert.equal(detail(6, concat(le(1, 4), le(3, 4), utf8('ok')), utf8('ok')), undefined)
  assert.equal(detail(6, concat(le(1, 4), le(1, 4), utf8('ok')), utf8('o')), undefined)
  assert.equal(detail(0x80000002, variable(GLOBAL_GUID, 'BootOrder', new Uint8Array([1])), new Uint8Array([1])), undefined) // its name is not proven
  assert.equal(detail(0x800000e0, variable(GLOBAL_GUID, 'db', new Uint8Array([1])), variable(GLOBAL_GUID, 'db', new Uint8Array([1]))), 'db=01')
  assert.equal(detail(1, new Uint8Array([0, 1, 2]), new Uint8Array([0, 1, 2])), '000102')
  assert.equal(detail(1, utf16('POST\0'), utf16('POST\0')), 'POST')
})

test('SHA-1 and a bank that the log does not have prove nothing', () => {
  const both = logOf(bootOf(), ['sha1', 'sha256'])
  refused(() => prove(both, signedBy(both, 'sha1')), 'evidence.event-log', 'eventLog')
  refused(() => prove(both, { ...signedBy(both), bank: 'sha384' }), 'evidence.event-log', 'eventLog')
  const old = legacy({ index: 4, type: 5, data: utf8('x') })
  refused(() => prove(old, { kind: 'pcr', bank: 'sha1', values: replay(hashIn('sha1'), parseEventLog(old), 'sha1') }), 'evidence.event-log')
  refused(() => replay(hashIn('sha512'), parseEventLog(both), 'sha512'), 'evidence.event-log')
  assert.ok(attempt(() => prove(both)).ok)
})

test('events of registers that nobody signed are unproven; a log that proves nothing is refused', () => {
  const bytes = logOf(bootOf())
  const { events, unproven, boot } = prove(bytes, signedBy(bytes, 'sha256', [4]))
  assert.deepEqual([events.map(one => one.register), unproven, boot.secureBoot], [['PCR4', 'PCR4', 'PCR4'], bootOf().length - 4, undefined])
  refused(() => prove(bytes, signedBy(bytes, 'sha256', [])), 'evidence.event-log')
})

test('a signed register that the log says nothing of is named, unless nothing was ever measured into it', () => {
  const bytes = logOf(bootOf())
  const more = (value: number) => ({ ...signedBy(bytes), values: new Map([...signedBy(bytes).values, [10, new Uint8Array(32).fill(value)]]) })
  assert.deepEqual([0, 0xff, 7].map(value => prove(bytes, more(value)).uncovered), [[], [], ['PCR10']])
  for (const rest of [0, 0xff]) {
    const mixed = new Uint8Array(32).fill(rest).with(31, 7)
    assert.deepEqual(prove(bytes, { ...signedBy(bytes), values: new Map([...signedBy(bytes).values, [10, mixed]]) }).uncovered, ['PCR10'])
  }
  // What firmware writes, its log must explain.
  const firmware = (value: number) => ({ ...signedBy(bytes), values: new Map([...signedBy(bytes).values, [6, new Uint8Array(32).fill(value)]]) })
  assert.deepEqual(prove(bytes, firmware(0)).uncovered, [])
  refused(() => prove(bytes, firmware(7)), 'evidence.event-log', 'eventLog.PCR6')
})

test('Secure Boot: what firmware measured before its separator, by its data and not by its label', () => {
  const state = (...events: Planned[]) => prove(logOf(events)).boot.secureBoot
  assert.equal(state(secureBoot(1), ...separators), true)
  assert.equal(state(secureBoot(0), ...separators), false)
  assert.equal(state(secureBoot(1), secureBoot(0), ...separators), false)
  assert.equal(state(secureBoot(1)), undefined) // no separator: anybody may have written it
  assert.equal(state(...separators, secureBoot(1)), undefined)
  assert.equal(state(secureBoot(0), ...separators, secureBoot(1), ...separators), false)
  // The label of the first separator is changed, and that of the true state, to let the system's own words count.
  assert.equal(state(secureBoot(0, 1), { index: 7, type: 1, data: SEPARATOR }, secureBoot(1), ...separators), false)
  assert.equal(state({ ...secureBoot(1), index: 4 }, { index: 4, type: 4, data: SEPARATOR }), undefined)
  assert.equal(state({ index: 7, type: 0x80000001, data: variable(DATABASE_GUID, 'SecureBoot', new Uint8Array([1])) }, ...separators), undefined)
  assert.equal(state({ index: 7, type: 0x800000e0, data: variable(GLOBAL_GUID, 'SecureBoot', new Uint8Array([1])), measured: new Uint8Array([1]) }, ...separators), undefined)
})

test('command lines and sections are texts in the registers where their writers put them', () => {
  const lines = (index: number, data: Uint8Array, measured = data) => prove(logOf([{ index, type: 0xd, data, measured }])).boot.commandLines
  assert.deepEqual(lines(12, new Uint8Array([1, 2, 3])), [])
  assert.deepEqual([lines(8, utf8('grub_cmd: ls\0'), utf8('ls')), lines(9, utf8('kernel_cmdline: a\0'), utf8('a')), lines(8, utf8('kernel_cmdline: a\0'), utf8('b'))], [[], [], []])
  const pair = (index: number, type: number): Planned[] => [{ index, type, data: utf16('.linux\0'), measured: utf8('.linux\0') }, { index, type, data: utf16('.linux\0'), measured: utf8('kernel') }]
  for (const [index, type] of [[10, 0xd], [11, 1]] as const) assert.deepEqual(prove(logOf(pair(index, type))).boot.ukiSections, {})
})

test('the first section of a name counts, and an error of firmware is told', () => {
  const section = (content: string): Planned[] => [{ index: 11, type: 0xd, data: utf16('.linux\0'), measured: utf8('.linux\0') }, { index: 11, type: 0xd, data: utf16('.linux\0'), measured: utf8(content) }]
  assert.deepEqual(prove(logOf([...section('a'), ...section('b')])).boot.ukiSections, { '.linux': toHex(hash(utf8('a'))) })
  assert.deepEqual(prove(logOf(section('a').slice(1))).boot.ukiSections, {})
  assert.deepEqual(prove(logOf([{ index: 2, type: 4, data: new Uint8Array([1, 0, 0, 0]) }])).boot.errors, ['PCR2'])
})

test('a variable is read to its end and within its event', () => {
  const good = variable(GLOBAL_GUID, 'db', new Uint8Array([1]))
  assert.equal(readVariable(good).name, 'db')
  refused(() => readVariable(concat(good, new Uint8Array(1))), 'bytes.trailing')
  refused(() => readVariable(good.slice(0, -1)), 'bytes.truncated')
  refused(() => readVariable(concat(GLOBAL_GUID, le(257, 8), le(0, 8), new Uint8Array(514))), 'evidence.parse')
  refused(() => readVariable(concat(GLOBAL_GUID, le(0, 8), le(2 ** 40, 8))), 'evidence.parse')
})

test('every single-bit flip of a proven log is refused, or leaves a register unexplained and says so, or changes only the label of an event', () => {
  const bytes = logOf(bootOf().filter(one => one.index === 7 || one.index === 11), ['sha1', 'sha256'])
  const signed = signedBy(bytes)
  const said = (log: Uint8Array) => proveEvents(p, parseEventLog(log), signed)
  const expected = said(bytes)
  let accepted = 0
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const result = attempt(() => said(flipped))
    if (!result.ok) continue
    accepted++
    const { events, uncovered, boot } = result.value
    const measured = (list: typeof events) => list.filter(one => !uncovered.includes(one.register)).map(one => [one.register, one.digest])
    assert.deepEqual(measured(events), measured(expected.events), `bit ${bit}`)
    // Data that no longer fits its digest is silent; it never says something else.
    assert.ok(boot.secureBoot === undefined || boot.secureBoot === expected.boot.secureBoot)
    for (const [name, key] of Object.entries(boot.secureBootKeys)) assert.equal(key, expected.boot.secureBootKeys[name])
  }
  assert.ok(accepted < 8 * bytes.length)
})
