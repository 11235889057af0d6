/**
 * The line between a guest and whoever launched it: newline-delimited JSON over the guest's standard input and output.
 *
 * Everything that crosses is either public (evidence, requests) or sealed (releases, results), because the launcher is
 * not trusted: it may read, drop, delay, reorder or invent lines. The guest checks what it gets; the launcher only carries.
 */
import type { Hash } from '@cloister/core/charter/types'
import type { Refusal } from '@cloister/core/refusal'
import type { Evidence } from '@cloister/core/evidence/claims'

/** What the launcher tells the guest at its start. The guest proves these values through its evidence, so a lie is refused by the broker. */
export interface Launch {
  readonly charter: Hash // digest of the newest charter
  readonly lineage: Hash
  readonly program: string // name in the charter
  readonly code: string // base64 of the program's bytes
  readonly inputs: readonly { readonly asset: string; readonly fd: number }[] // sealed files, open for reading in the guest
  /** For each broker that may be asked (1 to BROKERS_MAX), whose word counts for its log (C2SP tlog-policy): the guest holds the head it is shown against that. */
  readonly policies: readonly string[]
  readonly threads: number
  readonly memoryBytesMax: number
}

/** A question of the guest; `id` pairs it with the launcher's answer. */
export type Ask =
  | { readonly id: number; readonly call: 'report'; readonly reportData: string } // hex, 64 bytes: goes to the machine's TEE
  | { readonly id: number; readonly call: 'hello' | 'release' | 'receipt'; readonly broker: number; readonly body: unknown } // goes to the broker of that place, from 0

export interface Answer { readonly id: number; readonly evidence?: Evidence; readonly status?: number; readonly body?: unknown; readonly error?: string }

/** A result sealed to one receiver: an age file in base64. */
export interface SealedOutput {
  readonly name: string
  readonly to: string
  readonly shape: string
  readonly about?: string
  readonly sealed: string
  readonly digest: string
}

/** How many brokers a guest may ask in one run. */
export const BROKERS_MAX = 32

/** A receipt as the guest hands it out, with what a verifier needs beside it. */
export interface GuestReceipts { readonly released: ReceiptParts; readonly ran: ReceiptParts }
export interface ReceiptParts { readonly envelope: string; readonly proof: string }

/** What one broker that counted had to do with the run: its receipt, and the evidence that the guest gave to it. */
export interface Leg {
  readonly broker: number
  readonly receipts: GuestReceipts
  readonly evidence: Evidence
  readonly binding: { readonly nonce: string; readonly seal: string; readonly sign: string; readonly charter: string; readonly head: string }
}

/** One leg for each broker whose keys counted, in the order of the launch. */
export interface Outcome { readonly outputs: readonly SealedOutput[]; readonly legs: readonly Leg[] }

export type FromGuest =
  | Ask
  | { readonly progress: string; readonly ms: number }
  | { readonly outcome: Outcome }
  | { readonly refusal: Refusal }

/** Limits of one line and of one conversation, both ways. */
export const LINE_BYTES_MAX = 64 * 1024 * 1024
export const LINES_MAX = 10_000

/** Splits a byte stream into lines; gives up (returns false) past the limit instead of growing without end. */
export function lineSplitter(onLine: (line: string) => void, bytesMax = LINE_BYTES_MAX): (chunk: Buffer) => boolean {
  let parts: Buffer[] = []
  let size = 0
  return chunk => {
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end))
      onLine(Buffer.concat(parts).toString('utf8'))
      parts = []
      size = 0
      start = end + 1
    }
    const rest = chunk.subarray(start)
    parts.push(rest)
    size += rest.length
    return size <= bytesMax
  }
}
