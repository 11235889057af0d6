// Reports of systemd-report: metrics become facts, signatures of hardware become our evidence over the exact bytes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { attempt } from '../refusal.ts'
import { Loop, ok, p, refused, REQUIRES } from './loop.fixture.ts'
import { checkFacts, NODE_STATE, readState, stateOf } from './state.ts'
import { readSystemdReport, SYSTEMD_REPORT, SYSTEMD_SEQUENCE, systemdEvidence } from './systemd.ts'

const METRICS = [
  { name: 'io.systemd.Manager.UnitsTotal', value: 312 }, { name: 'io.systemd.Manager.UnitActiveState', object: 'nginx.service', value: 'active' },
  { name: 'io.systemd.Network.Bytes', object: 'eth0', fields: { direction: 'in' }, value: 7 }, { name: 'io.systemd.Network.Bytes', object: 'eth0', fields: { direction: 'out' }, value: 8 },
  { name: 'io.systemd.Basic.OSRelease', value: { ID: 'debian', VERSION_ID: '12' } }, { name: 'io.systemd.Basic.Tainted', value: false },
]
const REPORT = { mediaType: SYSTEMD_REPORT, reportID: 'AAAA', timestamp: 'Sat 2026-11-21 08:00:00 UTC', metrics: METRICS }
const plain = (change: object = {}) => ({ mediaType: SYSTEMD_REPORT, bytes: utf8(jcs({ ...REPORT, ...change })) })
const record = (value: object) => concat(new Uint8Array([0x1e]), utf8(`${jcs(value)}\n`))
const digest = toHex(p.hash('sha256', record(REPORT)))
const signature = (change: object = {}) => ({ mediaType: 'application/vnd.io.systemd.report.signature', mechanism: 'tsm', sha256: digest, data: { provider: 'sev_guest', outblob: 'AAAA' }, ...change })
const sequence = (...signatures: object[]) => ({ mediaType: SYSTEMD_SEQUENCE, bytes: concat(record(REPORT), ...signatures.map(record)) })
const evidenceOf = (change: object = {}, endorsements = {}) => {
  const report = readSystemdReport(SYSTEMD_SEQUENCE, sequence(signature(change)).bytes)
  return systemdEvidence(p, report, report.signatures[0] ?? assert.fail(), endorsements)
}

test('metrics are facts by name, object and dimensions, in either form', () => {
  for (const state of [plain(), sequence(signature())]) {
    assert.deepEqual({ ...ok(readState(state)) }, {
      'io.systemd.Manager.UnitsTotal': '312', 'io.systemd.Manager.UnitActiveState:nginx.service': 'active', 'io.systemd.Network.Bytes:eth0{"direction":"in"}': '7', 'io.systemd.Network.Bytes:eth0{"direction":"out"}': '8',
      'io.systemd.Basic.OSRelease': '{"ID":"debian","VERSION_ID":"12"}', 'io.systemd.Basic.Tainted': 'false',
    })
  }
  checkFacts(ok(readState(plain())), { 'io.systemd.Manager.UnitActiveState:nginx.service': ['active'] })
})

test('a loop takes such a report as its state', () => {
  const loop = new Loop()
  const state = sequence(signature())
  loop.report({ state })
  const demands = { ...loop.demands, requires: { ...REQUIRES, facts: { 'io.systemd.Manager.UnitActiveState:nginx.service': ['active'] } } }
  assert.ok(loop.next(loop.delivery({ state: state.bytes }), demands).ok)
  refused(loop.next(loop.delivery({ state: state.bytes }), { ...demands, requires: { ...REQUIRES, facts: { 'io.systemd.Manager.UnitActiveState:nginx.service': ['failed'] } } }), 'loop.state')
})

test('a signature of hardware is evidence of ours, bound to the exact bytes of the report', () => {
  assert.deepEqual(ok(evidenceOf({}, { certificates: ['BBBB'] })), { evidence: { kind: 'snp', report: 'AAAA', certificates: ['BBBB'] }, reportData: `${digest}${'00'.repeat(32)}` })
  assert.equal(ok(evidenceOf({ data: { provider: 'sev_guest', outblob: 'AAAA', auxblob: 'CCCC' } })).evidence.kind, 'snp')
  refused(evidenceOf({ sha256: '00'.repeat(32) }), 'loop.document', 'sha256')
  refused(evidenceOf({ data: { provider: 'arm_cca_guest', outblob: 'AAAA' } }), 'evidence.unsupported', 'provider')
  for (const mechanism of ['plain', 'tsa', 'tpm2']) refused(evidenceOf({ mechanism }), 'evidence.unsupported', 'mechanism')
  refused(evidenceOf({ data: { provider: 'sev_guest', outblob: 'AAAA', x: 1 } }), 'loop.document', 'data.x')
  refused(evidenceOf({ data: { provider: 'sev_guest' } }), 'loop.document', 'outblob')
  refused(evidenceOf({ data: { provider: 'tdx_guest', outblob: 'AAAA' } }), 'evidence.missing', 'collateral')
  // Another byte in the report, and no signature is over it.
  const other = readSystemdReport(SYSTEMD_SEQUENCE, concat(record({ ...REPORT, nonce: 'x' }), record(signature())))
  assert.equal(other.nonce, 'x')
  refused(systemdEvidence(p, other, other.signatures[0] ?? assert.fail()), 'loop.document', 'sha256')
})

test('reports of another form', () => {
  const wrong: [{ mediaType: string; bytes: Uint8Array }, string][] = [
    [plain({ x: 1 }), 'x'], [plain({ mediaType: 'x' }), 'mediaType'], [plain({ metrics: 1 }), 'metrics'], [plain({ timestamp: 1 }), 'timestamp'], [plain({ nonce: 1 }), 'nonce'], [plain({ metrics: [1] }), 'metrics[0]'], [plain({ metrics: [{ name: 'x' }] }), 'value'],
    [plain({ metrics: [{ value: 1 }] }), 'name'], [plain({ metrics: [{ name: 'x', value: 1, y: 1 }] }), 'y'], [plain({ metrics: [{ name: 'x', value: 1 }, { name: 'x', value: 2 }] }), 'metrics[1]'], [plain({ metrics: [{ name: 'x', value: 'y'.repeat(5000) }] }), 'value'],
    [sequence(signature({ mediaType: 'x' })), 'mediaType'], [sequence(signature({ x: 1 })), 'x'], [sequence(signature({ data: 1 })), 'data'], [sequence(signature({ mechanism: 1 })), 'mechanism'], [sequence(...new Array<object>(17).fill(signature())), 'state'],
    [{ mediaType: SYSTEMD_SEQUENCE, bytes: new Uint8Array() }, 'state'], [{ mediaType: SYSTEMD_SEQUENCE, bytes: plain().bytes }, 'byte 0'], [{ mediaType: SYSTEMD_SEQUENCE, bytes: record(REPORT).slice(0, -1) }, 'byte 0'], [{ mediaType: 'text/plain', bytes: new Uint8Array() }, 'mediaType'],
    [{ mediaType: NODE_STATE, bytes: utf8('{"kernel": "6"}') }, 'state'], [stateOf({ kernel: 6 as never }), 'state.kernel'], [stateOf({ kernel: 'x'.repeat(5000) }), 'state.kernel'],
  ]
  for (const [state, at] of wrong) refused(readState(state), 'loop.document', at)
  assert.deepEqual(ok(readState(sequence(signature({ data: undefined })))), ok(readState(plain())))
  refused(readState({ mediaType: NODE_STATE, bytes: new Uint8Array((1 << 20) + 1) }), 'bytes.too-large')
  refused(attempt(() => readSystemdReport(SYSTEMD_SEQUENCE, new Uint8Array((1 << 20) + 1))), 'bytes.too-large', 'state')
  refused(readState(stateOf(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`f${i}`, 'x'])))), 'bytes.too-large')
  refused(attempt(() => checkFacts({ a: '1' }, { toString: ['x'] })), 'loop.state')
})
