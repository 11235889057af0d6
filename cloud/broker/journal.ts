/**
 * What each write of a broker changed, kept for a while in the store it wrote to, so that brokers that share the store learn
 * from each other in one reading of what is new and need not read everything again.
 *
 * Under a write's own version its record is written once and never again: its tag tells it from any other, and a row
 * without a gap from the version one stands on is all that happened since. Where the journal does not reach, or a record
 * was too large for it, the whole namespace is read and held against its sum.
 */
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Batch, Store } from '../store/store.ts'
import type { Change } from './state.ts'

/** The part of a batch that moves the store to `version`: its record, and now and then the records that are too old. */
export function journalOf(version: number, changes: ReadonlyMap<string, unknown>): Required<Pick<Batch, 'put' | 'delete'>> {
  const value = utf8(JSON.stringify([...changes].map(([key, now]) => ({ key, value: now }))))
  const old = version - KEPT
  return {
    put: value.length > RECORD_BYTES_MAX ? [] : [{ key: keyOf(version), value }],
    delete: version % PRUNED === 0 && old > 0 ? Array.from({ length: Math.min(PRUNED, old) }, (_, i) => keyOf(old - i)) : [],
  }
}

/** Everything that changed after `version`, oldest first; undefined when the journal does not tell, or not up to `reached`. */
export async function changesSince(store: Pick<Store, 'list'>, version: number, reached: number): Promise<{ readonly version: number; readonly changes: readonly Change[] } | undefined> {
  if (version < 0 || reached <= version || reached - version > KEPT) return undefined
  const records = await store.list({ prefix: JOURNAL, after: keyOf(version) })
  if (records.length < reached - version || records.some(({ key }, i) => key !== keyOf(version + 1 + i))) return undefined
  // Written by `journalOf`, under tags that only brokers of this identity can make.
  return { version: version + records.length, changes: records.flatMap(({ value }) => JSON.parse(fromUtf8(value)) as Change[]) }
}

const JOURNAL = 'journal/'
const KEPT = 1024
const PRUNED = 256
const RECORD_BYTES_MAX = 1 << 18
const keyOf = (version: number) => `${JOURNAL}${String(version).padStart(16, '0')}`
