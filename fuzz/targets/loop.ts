/** Targets of the locked loop: both documents, what is sealed in them, states in their three forms, a node's disk, and leaves of a log. */
import { utf8 } from '@cloister/core/bytes/text'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJson } from '@cloister/core/bytes/json'
import { keysOf } from '@cloister/core/loop/authority'
import { follow, followLast } from '@cloister/core/loop/chain'
import { parseConfiguration, parseReport } from '@cloister/core/loop/documents'
import { readNodeState, writeState } from '@cloister/core/loop/kept'
import { withOpening, type NodeState } from '@cloister/core/loop/node'
import { encodePayload, parsePayload, type Payload } from '@cloister/core/loop/payload'
import { NODE_STATE, readState, stateOf, type Facts } from '@cloister/core/loop/state'
import { SYSTEMD_REPORT, SYSTEMD_SEQUENCE } from '@cloister/core/loop/systemd'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { Loop, PAYLOAD, STATE } from '../../core/loop/loop.fixture.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { change, changeJson, changeText } from '../texts.ts'
import { textOf } from './bytes.ts'

const loop = new Loop()
loop.turn()
loop.report({ challenge: false })
const report = loop.state.unanswered[0] ?? ''
loop.answer()
const found = orRefuse(loop.find())
const { envelope } = found.document
const keys = keysOf(loop.trust.authority)
const leaves = loop.log.leaves()
const disks = [loop.state, withOpening(loop.state, found, ['one', 'two'])].map(writeState)

const changed = (valid: string) => (draw: Draw) => (draw.oneIn(30) ? utf8(valid) : draw.oneIn(2) ? utf8(changeText(draw, valid)) : utf8(changeJson(draw, valid)))
const metrics = jcs({ mediaType: SYSTEMD_REPORT, timestamp: 'Sat 2026-11-21 08:00:00 UTC', metrics: [{ name: 'a', value: 1 }, { name: 'a', object: 'b', fields: { c: 'd' }, value: 'e' }] })
const sequence = `\u001e${metrics}\n\u001e${jcs({ mediaType: 'application/vnd.io.systemd.report.signature', mechanism: 'tsm', sha256: '0'.repeat(64), data: { provider: 'sev_guest', outblob: 'AAAA' } })}\n`
/** Another media type reads the same bytes otherwise. */
const stateTarget = (name: string, mediaType: string, valid: string): Target => ({ name, draw: draw => (draw.oneIn(3) ? change(draw, utf8(valid)) : utf8(changeText(draw, valid))), judge: input => orRefuse(readState({ mediaType, bytes: input })) })

export const targets: readonly Target[] = [
  { name: 'loop-report', slow: true, draw: changed(report), judge: input => orRefuse(parseReport(p, textOf(input), loop.trust.node)).digest, signed: { valid: [utf8(report)], same: input => jcs(parseJson(input)) } },
  { name: 'loop-configuration', slow: true, draw: changed(envelope), judge: input => orRefuse(parseConfiguration(p, textOf(input), keys)).digest, signed: { valid: [utf8(envelope)], same: input => jcs(parseJson(input)) } },
  { name: 'loop-leaves', slow: true, draw: changed(jcs(leaves)), judge: input => { const read = parseJson(input, { bytes: 1 << 20, depth: 8, entries: 1000, string: 1 << 20 }) as unknown as typeof leaves; return Array.isArray(read) && read.every(one => typeof one?.envelope === 'string' && typeof one.proof === 'string') ? [orRefuse(followLast(p, loop.trust, read)).view, orRefuse(follow(p, loop.trust, read)).view] : undefined } }, // shaped as checked
  { name: 'loop-payload', draw: draw => changed(textOf(encodePayload(PAYLOAD)))(draw), judge: input => orRefuse(parsePayload(input)), again: (_, value) => (jcs(orRefuse(parsePayload(encodePayload(value as Payload)))) === jcs(value) ? undefined : 'another payload when written again') }, // what judge gave
  { ...stateTarget('loop-state', NODE_STATE, textOf(STATE.bytes)), again: (input, value) => (textOf(stateOf(value as Facts).bytes) === textOf(input) ? undefined : 'another state when written again') }, // what judge gave
  stateTarget('loop-systemd-report', SYSTEMD_REPORT, metrics), stateTarget('loop-systemd-sequence', SYSTEMD_SEQUENCE, sequence),
  { name: 'loop-disk', draw: draw => changed(draw.pick(disks))(draw), judge: input => orRefuse(readNodeState(textOf(input))), again: (_, value) => (writeState(orRefuse(readNodeState(writeState(value as NodeState)))) === writeState(value as NodeState) ? undefined : 'another state when written again') }, // what judge gave
]
