/** How the vectors of event logs and TPM quotes run. */
import { fromHex } from '@cloister/core/bytes/hex'
import type { Json } from '@cloister/core/bytes/json'
import { parseEventLog, type Bank } from '@cloister/core/evidence/eventlog/log'
import { proveEvents } from '@cloister/core/evidence/eventlog/replay'
import { readPcrs, verifyQuote } from '@cloister/core/evidence/tpm/quote'
import { readPublicArea, readSignature } from '@cloister/core/evidence/tpm/structures'
import { attempt, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

interface LogInput { readonly log: string; readonly bank: Bank; readonly kind: 'pcr' | 'rtmr'; readonly registers: Readonly<Record<string, string>> }

interface QuoteInput { readonly ak: string; readonly message: string; readonly signature: string; readonly pcrs: Json }

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { ak, message, signature, pcrs }: TPMT_PUBLIC, TPMS_ATTEST and TPMT_SIGNATURE in hex, register values by bank and index. */
  'tpm.quote': input => attempt(() => {
    const { ak, message, signature, pcrs } = input as QuoteInput
    return verifyQuote(p, readPublicArea(p, fromHex(ak)).key, fromHex(message), readSignature(fromHex(signature)), readPcrs(pcrs))
  }),
  /** { log, bank, kind, registers }: an event log in hex and the signed registers by its own index, PCRs or RTMRs. */
  'eventlog.prove': input => attempt(() => {
    // The vectors are ours.
    const { log, bank, kind, registers } = input as LogInput
    return proveEvents(p, parseEventLog(fromHex(log)), { kind, bank, values: new Map(Object.entries(registers).map(([index, value]) => [Number(index), fromHex(value)])) })
  }),
}
