/**
 * The leaves of one node in a log that this side reads itself: every entry held against a witnessed checkpoint that continues
 * the one before (`core/log/monitor`), so that nobody can leave a leaf out below the head that was read. What was read is a
 * cache: whoever loses it reads the log again. Trusts the log's policy; whose leaves count, `core/loop` judges.
 */
import { fromUtf8 } from '@cloister/core/bytes/text'
import { hashOf } from '@cloister/core/charter/canonical'
import type { Primitives } from '@cloister/core/crypto/primitives'
import type { Followed, Known } from '@cloister/core/log/monitor'
import { formatFork } from '@cloister/core/log/monitor'
import type { Leaf } from '@cloister/core/loop/chain'
import { parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'

/** What the loop needs of a log. */
export interface LoopLog {
  /** Returns once a witnessed checkpoint contains the entry. */
  append(entry: Uint8Array): Promise<void>
  /**
   * The node's leaves after this index, under the newest head; without an index the last ones: from the report on that its
   * newest configuration accepts. Rejects with `log.*`, and with `log.consistency` for a log that forked.
   */
  leaves(node: string, after?: number): Promise<readonly Leaf[]>
}

/** A log as its client gives it: `cloud/ledger/client.ts` over HTTP, or a ledger in the same process. */
export interface ReadableLog {
  /** Its index, once a witnessed checkpoint contains it. */
  add(entry: Uint8Array): Promise<number>
  /** One step of following it; `known` is undefined at first. */
  follow(known: Known | undefined): Promise<Followed>
  /** The `.tlog-proof` of an entry under the newest head. */
  prove(index: number): Promise<string>
}

interface Placed { readonly index: number; readonly envelope: string; readonly digest: string; readonly accepts?: string }

/** The loop's view of a log; `authority` says whose configurations count for a node. */
export function followLog(p: Primitives, log: ReadableLog, authority: (node: string) => readonly string[]): LoopLog {
  const byNode = new Map<string, Placed[]>()
  let known: Known | undefined
  const readOn = async (): Promise<void> => {
    for (;;) {
      const step = await log.follow(known)
      if (step.kind === 'fork') return refuse('log.consistency', 'log', 'one tree', formatFork(step.fork))
      step.entries.forEach((entry, i) => take(p, byNode, entry, step.first + i, authority))
      ;({ known } = step)
      if (known.next >= step.checkpoint.size) return
    }
  }
  /** One reader at a time: two would take an entry twice. */
  let reading: Promise<void> = Promise.resolve()
  return {
    append: async entry => { await log.add(entry) },
    leaves: async (node, after) => {
      reading = reading.then(readOn, readOn)
      await reading
      const leaves: Leaf[] = []
      for (const { index, envelope } of since(byNode.get(node) ?? [], after)) leaves.push({ envelope, proof: await log.prove(index) })
      return leaves
    },
  }
}

function since(known: readonly Placed[], after: number | undefined): readonly Placed[] {
  if (after !== undefined) return known.filter(one => one.index > after)
  const newest = known.findLast(one => one.accepts !== undefined)?.accepts
  return newest === undefined ? known : known.slice(Math.max(0, known.findIndex(one => one.digest === newest)))
}

/** Only what a node or its authority signed: anybody may append to a log. */
function take(p: Primitives, byNode: Map<string, Placed[]>, entry: Uint8Array, index: number, authority: (node: string) => readonly string[]): void {
  const read = attempt(() => {
    const envelope = fromUtf8(entry)
    return { envelope, receipt: orRefuse(parseReceipt(envelope)) }
  })
  if (!read.ok) return
  const { envelope, receipt } = read.value
  const { node, accepts } = receipt.predicate
  const reported = receipt.verb === 'reported' && receipt.key === node
  const configured = receipt.verb === 'configured' && typeof node === 'string' && authority(node).includes(receipt.key)
  if (typeof node !== 'string' || !(reported || configured) || !verifyReceiptSignature(p, receipt, receipt.key).ok) return
  const before = byNode.get(node) ?? []
  before.push({ index, envelope, digest: hashOf(p, receipt.payload), ...(configured && typeof accepts === 'string' ? { accepts } : {}) })
  byNode.set(node, before)
}
