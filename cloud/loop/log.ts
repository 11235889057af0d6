/**
 * The leaves of one node, found by reading a log from its beginning and following it. It is a cache: whoever loses it reads
 * the log again. Trusts the log it reads for completeness (a log cannot change what it holds, but a face of it can leave
 * entries out: read one of your own, or one that others read too); every leaf's proof is verified by whoever uses it.
 */
import { fromUtf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import type { Leaf } from '@cloister/core/loop/chain'
import { hashOf } from '@cloister/core/charter/canonical'
import { parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { attempt, orRefuse } from '@cloister/core/refusal'

/** What the loop needs of a log. */
export interface LoopLog {
  /** Durable and under a witnessed head when it returns. */
  append(entry: Uint8Array): Promise<{ readonly index: number; readonly proof: string }>
  /** The node's leaves after this index; without one, the last: from the report on that its newest configuration accepts. */
  leaves(node: string, after?: number): Promise<readonly Leaf[]>
}

/** A log as a ledger gives it: entries below the size of its newest witnessed head. */
export interface ReadableLog {
  append(entry: Uint8Array): Promise<{ readonly index: number; readonly proof: string }>
  size(): Promise<number>
  entry(index: number): Promise<Uint8Array>
  prove(index: number): Promise<string>
}

interface Known { readonly index: number; readonly envelope: string; readonly digest: string; readonly accepts?: string }

/** The loop's view of a log; `authority` says whose configurations count for a node. */
export function followLog(p: Primitives, log: ReadableLog, authority: (node: string) => readonly string[]): LoopLog {
  const byNode = new Map<string, Known[]>()
  let read = 0
  /** One reader at a time: two would take an entry twice. */
  let reading: Promise<void> = Promise.resolve()
  const readOn = async () => {
    for (const size = await log.size(); read < size; read++) {
      const known = placed(p, await log.entry(read), read, authority)
      if (known === undefined) continue
      const before = byNode.get(known.node)
      before === undefined ? byNode.set(known.node, [known.known]) : before.push(known.known)
    }
  }
  return {
    append: entry => log.append(entry),
    leaves: async (node, after) => {
      reading = reading.then(readOn, readOn)
      await reading
      const leaves: Leaf[] = []
      for (const { index, envelope } of since(byNode.get(node) ?? [], after)) leaves.push({ envelope, proof: await log.prove(index) })
      return leaves
    },
  }
}

function since(known: readonly Known[], after: number | undefined): readonly Known[] {
  if (after !== undefined) return known.filter(one => one.index > after)
  const newest = known.findLast(one => one.accepts !== undefined)?.accepts
  return newest === undefined ? known : known.slice(Math.max(0, known.findIndex(one => one.digest === newest)))
}

/** Only what the node or its authority signed: anybody may append to a log. */
function placed(p: Primitives, entry: Uint8Array, index: number, authority: (node: string) => readonly string[]): { node: string; known: Known } | undefined {
  const read = attempt(() => {
    const envelope = fromUtf8(entry)
    return { envelope, receipt: orRefuse(parseReceipt(envelope)) }
  })
  if (!read.ok) return undefined
  const { envelope, receipt } = read.value
  const { node, accepts } = receipt.predicate
  const reported = receipt.verb === 'reported' && receipt.key === node
  const configured = receipt.verb === 'configured' && typeof node === 'string' && authority(node).includes(receipt.key)
  if (typeof node !== 'string' || !(reported || configured) || !verifyReceiptSignature(p, receipt, receipt.key).ok) return undefined
  return { node, known: { index, envelope, digest: hashOf(p, receipt.payload), ...(configured && typeof accepts === 'string' ? { accepts } : {}) } }
}
