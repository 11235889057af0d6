/**
 * Every lineage has a root of its own, drawn inside the broker: the keys of its assets rest under a key derived from it, so
 * that one charter's secrets have nothing in common with another's, and so that a lineage can outlive its broker
 * (`core/seal/recovery.ts`): where its charter names who may recover it, the root is dealt to them when the charter comes
 * into force, and anew, with every key of an asset sealed anew, when those who may change.
 *
 * Secrets are handled here and in the shell only; the machine sees them sealed. Trusts the broker's identity.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { jcs } from '@cloister/core/bytes/jcs'
import type { Charter, Hash } from '@cloister/core/charter/types'
import type { Primitives, Random } from '@cloister/core/crypto/primitives'
import { drawSecret } from '@cloister/core/crypto/shamir'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { dealRecovery, recoveryDigest, restKeyOf, type RecoveryDocument } from '@cloister/core/seal/recovery'
import type { Effect } from './events.ts'
import { openBytes, sealBytes } from './identity.ts'
import { keys, read, type Change, type Deposit, type State } from './state.ts'

/** A lineage's root as it lies in the store: sealed under the broker's own key; and how it was dealt, which is public. */
export interface Root { readonly sealed: string; readonly recovery?: RecoveryDocument }
/** A new root for a lineage that has keys: each of them sealed anew. */
export interface Reroot { readonly root: Root; readonly deposits: readonly { readonly key: string; readonly from: string; readonly to: string }[] }

const rootName = (lineage: Hash) => `root/${lineage}`
const depositName = (lineage: Hash, { asset, version }: Pick<Deposit, 'asset' | 'version'>) => `${lineage}/${asset}/${version}`

/** A root that is kept: drawn here, or brought together again from its shares. Refuses `age.recipient` when one who may recover has no recipient. */
export function keepRoot(p: Primitives, brokerKey: Uint8Array, lineage: Hash, root: Uint8Array, recovery: RecoveryDocument | undefined, random: Random): Root {
  return { sealed: toBase64(sealBytes(p, brokerKey, root, rootName(lineage), random)), ...(recovery === undefined ? {} : { recovery }) }
}

export function newRoot(p: Primitives, brokerKey: Uint8Array, lineage: Hash, charter: Charter, random: Random): Root {
  const root = drawSecret(random)
  return keepRoot(p, brokerKey, lineage, root, charter.recover === undefined ? undefined : orRefuse(dealRecovery(p, lineage, charter, root, random)), random)
}

/** The key under which a lineage's keys rest. Leaves with `store.corrupt` when the root is not this broker's. */
export function restKey(p: Primitives, brokerKey: Uint8Array, state: State, lineage: Hash): Uint8Array {
  const root = read.root(state, lineage) ?? refuse('head.unknown-charter', 'lineage', 'a lineage of this broker', lineage)
  return restKeyOf(p, openBytes(p, brokerKey, fromBase64(root.sealed, 'root'), rootName(lineage)) ?? refuse('store.corrupt', keys.root(lineage), 'a root sealed by this broker', 'another one'), lineage)
}

export const sealDepositAtRest = (p: Primitives, key: Uint8Array, lineage: Hash, deposit: Pick<Deposit, 'asset' | 'version'>, identity: Uint8Array, random: Random): string => toBase64(sealBytes(p, key, identity, depositName(lineage, deposit), random))

export const openDepositAtRest = (p: Primitives, key: Uint8Array, lineage: Hash, deposit: Pick<Deposit, 'asset' | 'version'>, sealed: string): Uint8Array =>
  openBytes(p, key, fromBase64(sealed, 'deposit'), depositName(lineage, deposit)) ?? refuse('store.corrupt', keys.deposits(lineage), 'a key sealed under this lineage\'s root', 'another one')

/** Must the root be dealt anew when `next` follows `prev`? When those who may recover, how many, or where their shares are sealed to, change. */
export function needsReroot(prev: Charter, next: Charter): boolean {
  const dealt = ({ recover, parties }: Charter) => jcs([recover ?? null, ...(recover?.of ?? []).map(name => parties[name]?.seal ?? [])])
  return dealt(prev) !== dealt(next)
}

/** A new root for the charter that is to come into force, with every key of the lineage sealed anew. */
export function rerootFor(p: Primitives, brokerKey: Uint8Array, state: State, lineage: Hash, next: Charter, random: Random): Reroot {
  const before = restKey(p, brokerKey, state, lineage)
  const root = newRoot(p, brokerKey, lineage, next, random)
  const after = restKey(p, brokerKey, { get: () => root, keys: () => [] }, lineage)
  return {
    root, deposits: state.keys(keys.deposits(lineage)).map(key => {
      const deposit = state.get(key) as Deposit // the prefix holds deposits only
      return { key, from: deposit.sealed, to: sealDepositAtRest(p, after, lineage, deposit, openDepositAtRest(p, before, lineage, deposit, deposit.sealed), random) }
    }),
  }
}

/** What a reroot changes. Leaves with `broker.request` when the lineage's keys are not the ones it was made for: then it is made again. */
export function rerooted(state: State, lineage: Hash, { root, deposits }: Reroot): Change[] {
  const now = state.keys(keys.deposits(lineage))
  const stale = now.length !== deposits.length || deposits.some(({ key, from }) => (state.get(key) as Deposit | undefined)?.sealed !== from) // as above
  if (stale) return refuse('broker.request', 'enact', 'the keys of the lineage as they were', 'others', 'try again')
  return [{ key: keys.root(lineage), value: root }, ...deposits.map(({ key, to }) => ({ key, value: { ...state.get(key) as Deposit, sealed: to } }))] // as above
}

/** The receipt of a dealing, where there was one. */
export function dealtEffects(p: Primitives, lineage: Hash, charter: Hash, { recovery }: Root): Effect[] {
  if (recovery === undefined) return []
  return [{ do: 'log', verb: 'dealt', subject: [], predicate: { lineage, charter, recovery: recoveryDigest(p, recovery), need: recovery.need, of: recovery.of } }]
}
