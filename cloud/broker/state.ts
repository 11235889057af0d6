/**
 * The broker's state as the machine sees it: named records, read only. A step never changes a state; it lays its changes
 * over it, which gives the next state. What a record holds is said here and nowhere else.
 *
 * Records were written by this program and are kept under a key of the chip (cloud/store/tags.ts), so their shapes are
 * believed; what the outside sends is believed only after `requests.ts` has read it.
 */
import type { Act } from '@cloister/core/charter/acts'
import type { Emergency } from '@cloister/core/charter/emergency'
import type { Charter, Hash, Name } from '@cloister/core/charter/types'
import type { Used } from './quotas.ts'
import type { Root } from './roots.ts'
import type { KeyShare } from '@cloister/core/seal/release'

export interface State {
  get(key: string): unknown
  keys(prefix: string): string[]
}
export interface Change { readonly key: string; readonly value?: unknown } // without a value the record goes

/** One lineage: which charter is the newest, what is revoked, and the version of every asset's key. */
export interface Lineage {
  readonly lineage: Hash
  readonly digest: Hash
  readonly epoch: number
  /** Digests of all epochs, first to newest. */
  readonly history: readonly Hash[]
  /** When epoch 1 was enacted: windows of budgets count from here. */
  readonly enactedAt: number
  /** The receipt of the newest enactment and where it stands in the log. */
  readonly enacted: LoggedAt
  readonly revoked: boolean
  readonly revokedAssets: readonly Name[]
  /** Identities (host data) of programs that the quorum revoked. */
  readonly revokedPrograms: readonly Hash[]
  readonly versions: { readonly [asset: Name]: KeyVersion }
  /** Revocations that wait for more signatures. */
  readonly revocations: readonly Act[]
  /** Grants of emergencies under the newest charter, how many the lineage has had, and acts that wait for more signatures. */
  readonly emergencies?: readonly RunningEmergency[]
  readonly emergencyCount?: number
  readonly emergencyActs?: readonly Act[]
}
export interface KeyVersion { readonly owner: Name; readonly version: number }
/** A charter of a lineage, and where its proposal (none at epoch 1) and its enactment stand in the log. */
export interface CharterRecord { readonly lineage: Hash; readonly charter: Charter; readonly enacted: LoggedAt; readonly proposed?: LoggedAt }
/** An emergency that runs or ran under the newest charter, and its receipt. */
export interface RunningEmergency extends Emergency { readonly logged: LoggedAt }

/** An entry of the log: its index. */
export interface LoggedAt { readonly index: number }

export interface Proposal {
  readonly lineage: Hash
  readonly digest: Hash
  readonly charter: Charter
  /** The party of the newest charter that proposed it; empty for one that is new. */
  readonly by: Name
  readonly acts: readonly Act[]
  readonly proposed: LoggedAt
  /** The time of the first witnessed head that contains the proposal; the notice runs from here. */
  readonly includedAt?: number
  /** That head, as its witnesses signed it: the enactment's receipt proves the notice with it. */
  readonly includedHead?: string
  /** Vetoed: it stays dead until another charter is enacted, so that nobody can bring it back by saying its acts again. */
  readonly ended?: true
}

/** An asset's key as it lies at rest: encrypted under a key of its lineage's root (`roots.ts`). */
export interface Deposit {
  readonly asset: Name
  readonly owner: Name
  readonly version: number
  readonly digest: Hash
  readonly sealed: string
  readonly at: number
  /** The owner's signature on the act, so that the same act again is the same deposit. */
  readonly act: string
  readonly logged: LoggedAt
  /** Of a key that its owner split over brokers: which share this is. */
  readonly share?: KeyShare
}

/** A guest that got keys: only its signing key may log receipts of its run. */
export interface Session { readonly at: number; readonly lineage: Hash; readonly charter: Hash; readonly program: Name; readonly released: LoggedAt; readonly receipts: readonly { readonly digest: Hash; readonly index: number }[] }

export interface Spending { readonly uses: number; readonly bytes: number; readonly epsilon: number }

export const keys = {
  clock: 'broker/clock',
  lineage: (lineage: Hash) => `broker/lineage/${lineage}`,
  charter: (digest: Hash) => `broker/charter/${digest}`,
  proposals: (lineage: Hash) => `broker/proposal/${lineage}/`,
  proposal: (lineage: Hash, digest: Hash) => `broker/proposal/${lineage}/${digest}`,
  quota: (lineage: Hash) => `broker/quota/${lineage}`,
  deposits: (lineage: Hash) => `broker/asset/${lineage}/`,
  deposit: (lineage: Hash, asset: Name, owner: Name, version: number) => `broker/asset/${lineage}/${asset}/${owner}/${version}`,
  session: (sign: string) => `broker/session/${sign}`,
  budgets: (lineage: Hash) => `broker/budget/${lineage}/`,
  budget: (lineage: Hash, budget: string, window: string) => `broker/budget/${lineage}/${budget}/${window}`,
  root: (lineage: Hash) => `broker/root/${lineage}`,
  used: (nonce: string) => `broker/used/${nonce}`,
}

/** Readers. Each says which writer in this room gives the record its shape. */
export const read = {
  /** The latest moment this broker has acted on: its clock never goes back. */
  clock: (state: State) => (state.get(keys.clock) as { time: number } | undefined)?.time ?? 0, // written by `step`
  lineage: (state: State, lineage: Hash) => state.get(keys.lineage(lineage)) as Lineage | undefined, // written by life.ts
  charter: (state: State, digest: Hash) => state.get(keys.charter(digest)) as CharterRecord | undefined, // written by life.ts
  proposal: (state: State, lineage: Hash, digest: Hash) => state.get(keys.proposal(lineage, digest)) as Proposal | undefined, // written by life.ts
  proposals: (state: State, lineage: Hash) => state.keys(keys.proposals(lineage)).map(key => state.get(key) as Proposal), // written by life.ts
  deposit: (state: State, lineage: Hash, asset: Name, owner: Name, version: number) => state.get(keys.deposit(lineage, asset, owner, version)) as Deposit | undefined, // written by assets.ts
  session: (state: State, sign: string) => state.get(keys.session(sign)) as Session | undefined, // written by release.ts
  root: (state: State, lineage: Hash) => state.get(keys.root(lineage)) as Root | undefined, // written by life.ts and recovery.ts
  budget: (state: State, lineage: Hash, budget: string, window: string) => (state.get(keys.budget(lineage, budget, window)) as Spending | undefined) ?? { uses: 0, bytes: 0, epsilon: 0 }, // written by release.ts
  quota: (state: State, lineage: Hash) => state.get(keys.quota(lineage)) as Used | undefined, // written by quotas.ts
  used: (state: State, nonce: string) => state.get(keys.used(nonce)) as { until: number } | undefined, // written by release.ts
}

/** The state after some changes; the state before is as it was. */
export function after(state: State, changes: readonly Change[]): State {
  const changed = new Map(changes.map(change => [change.key, change.value]))
  return {
    get: key => (changed.has(key) ? changed.get(key) : state.get(key)),
    keys: prefix => [...new Set([...state.keys(prefix), ...[...changed.keys()].filter(key => key.startsWith(prefix))])].filter(key => !changed.has(key) || changed.get(key) !== undefined).sort(),
  }
}

/** A state out of plain records. */
export function stateOf(records: ReadonlyMap<string, unknown>): State {
  return { get: key => records.get(key), keys: prefix => [...records.keys()].filter(key => key.startsWith(prefix)).sort() }
}
