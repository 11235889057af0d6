/** How the vectors of event logs run: a log, the signed registers by index, and whether they are PCRs or RTMRs. */
import { fromHex } from '@cloister/core/bytes/hex'
import { parseEventLog, type Bank } from '@cloister/core/evidence/eventlog/log'
import { proveEvents } from '@cloister/core/evidence/eventlog/replay'
import { attempt, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

interface LogInput { readonly log: string; readonly bank: Bank; readonly kind: 'pcr' | 'rtmr'; readonly registers: Readonly<Record<string, string>> }

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  'eventlog.prove': input => attempt(() => {
    // The vectors are ours.
    const { log, bank, kind, registers } = input as LogInput
    return proveEvents(p, parseEventLog(fromHex(log)), { kind, bank, values: new Map(Object.entries(registers).map(([index, value]) => [Number(index), fromHex(value)])) })
  }),
}
