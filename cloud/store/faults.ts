/**
 * A store whose N-th write fails, in one of the two ways a write can fail (attacks.md section 3.2): nothing was kept, or
 * everything was kept and only the answer was lost. For tests and the simulation.
 */
import { refuse } from '@cloister/core/refusal'
import type { Store } from './store.ts'

export type FaultMode = 'not-persisted' | 'persisted'
export interface Fault { readonly mode: FaultMode; readonly nth: number; touched: boolean }

/** Counts writes from 1; `fault.touched` tells whether the run reached the N-th. Reads never fail. */
export function withFault(store: Store, fault: Fault): Store {
  let writes = 0
  return {
    version: () => store.version(),
    get: key => store.get(key),
    list: range => store.list(range),
    load: namespace => store.load(namespace),
    close: () => store.close(),
    write: async batch => {
      if (++writes !== fault.nth) return store.write(batch)
      fault.touched = true
      if (fault.mode === 'persisted') await store.write(batch)
      return refuse('store.full', 'write', 'a completed write', `an injected failure (${fault.mode})`)
    },
  }
}
