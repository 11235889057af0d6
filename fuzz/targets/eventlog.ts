/** Targets that replay event logs into registers which are taken as signed: nothing may be proven that was not measured. */
import { toHex } from '@cloister/core/bytes/hex'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJson } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { readDstackLog } from '@cloister/core/evidence/eventlog/dstack'
import { EV, readVariable } from '@cloister/core/evidence/eventlog/events'
import { EV_NO_ACTION, parseEventLog, type EventLog } from '@cloister/core/evidence/eventlog/log'
import { proveEvents, replay, type ProvenLog } from '@cloister/core/evidence/eventlog/replay'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { bootOf, GLOBAL_GUID, hashIn, logOf, variable } from '../../core/evidence/eventlog/log.fixture.ts'
import { changeBytes } from '../bytes.ts'
import type { Target } from '../target.ts'
import { changeJson } from '../texts.ts'

const log = logOf(bootOf({ secure: false }), ['sha1', 'sha256'])
const honest = parseEventLog(log)
const registers = { kind: 'pcr', bank: 'sha256', values: replay(hashIn('sha256'), honest, 'sha256') } as const
const proven = proveEvents(p, honest, registers)
const detail = new Map(proven.events.map(event => [`${event.register} ${event.type} ${event.digest}`, event.detail]))

/** What extends a register, digest by digest, for those that the log touches: others are `uncovered`. Types, and what is not measured, are the log's own word. */
const extended = (read: EventLog) => new Map([...registers.values.keys()].map(index => [index, read.events.filter(event => event.index === index && event.type !== EV_NO_ACTION).map(event => toHex(event.digests.get('sha256') ?? new Uint8Array(0))).join()]))
const measured = extended(honest)

/** A detail is shown only where the digest proves it, and Secure Boot is on only where it was measured to be on. */
function again(input: Uint8Array, value: unknown): string | undefined {
  const found = value as ProvenLog // what judge gave
  const forged = found.events.find(event => { const known = detail.get(`${event.register} ${event.type} ${event.digest}`); return known !== undefined && event.detail !== undefined && event.detail !== known })
  if (forged !== undefined) return `a detail that was not measured: ${forged.detail}`
  for (const [index, digests] of extended(parseEventLog(input))) if (digests !== '' && digests !== measured.get(index)) return `other events in register ${index}`
  return found.boot.secureBoot === true ? 'Secure Boot that was measured to be off' : undefined
}

const dstack = [
  ...bootOf().slice(1).map((event, i) => ({ imr: i % 3, event_type: event.type, digest: toHex(p.hash('sha384', event.data)), event: '', event_payload: toHex(event.data) })),
  ...['app-id', 'compose-hash'].map(event => ({ imr: 3, event_type: EV.dstackRuntime, digest: '', event, event_payload: toHex(utf8(event)) })),
]

export const targets: readonly Target[] = [
  { name: 'eventlog', slow: true, draw: draw => (draw.oneIn(50) ? log : changeBytes(draw, log)), judge: input => proveEvents(p, parseEventLog(input), registers), again },
  { name: 'eventlog-dstack', slow: true, draw: draw => utf8(draw.oneIn(50) ? jcs(dstack) : changeJson(draw, jcs(dstack))), judge: input => { const read = readDstackLog(p, parseJson(input)); return [...replay(hashIn('sha384'), read, 'sha384')] } },
  { name: 'uefi-variable', draw: draw => { const one = variable(GLOBAL_GUID, 'SecureBoot', draw.bytes(4)); return draw.oneIn(20) ? one : changeBytes(draw, one) }, judge: input => readVariable(input) },
]
