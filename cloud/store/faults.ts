/**
 * A store whose calls pass through somebody's hands: delayed, refused, or carried out and the answer lost (attacks.md
 * section 3.2). For tests and the simulation.
 */
import { refuse } from '@cloister/core/refusal'
import type { Store } from './store.ts'

export type StoreCall = 'version' | 'get' | 'list' | 'load' | 'write'
/** Stands around every call of a store: carries it out, before or after something else, or not. */
export type Around = <T>(call: StoreCall, carryOut: () => Promise<T>) => Promise<T>

export function through(store: Store, around: Around): Store {
  return {
    version: () => around('version', () => store.version()),
    get: key => around('get', () => store.get(key)),
    list: range => around('list', () => store.list(range)),
    load: namespace => around('load', () => store.load(namespace)),
    write: batch => around('write', () => store.write(batch)),
    close: () => store.close(),
  }
}

/** How a write can fail: nothing was kept, or everything was kept and only the answer was lost. */
export type FaultMode = 'not-persisted' | 'persisted'
export interface Fault { readonly mode: FaultMode; readonly nth: number; touched: boolean }

/** A store whose N-th write, counted from 1, fails; `fault.touched` tells whether the run reached it. Reads never fail. */
export function withFault(store: Store, fault: Fault): Store {
  let writes = 0
  return through(store, async (call, carryOut) => {
    if (call !== 'write' || ++writes !== fault.nth) return carryOut()
    fault.touched = true
    if (fault.mode === 'persisted') await carryOut()
    return refuse('store.full', 'write', 'a completed write', `an injected failure (${fault.mode})`)
  })
}
