/**
 * What the machine speaks: rules, events, effects, replies. Shapes only; who fills them is said beside each. Trusts nothing.
 */
import type { Act } from '@cloister/core/charter/acts'
import type { Fact } from '@cloister/core/charter/decide'
import type { Charter, Grant, Hash, Name } from '@cloister/core/charter/types'
import type { Primitives } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import type { VerifiedCache } from '@cloister/core/evidence/options'
import type { AppraisalPolicy } from '@cloister/core/appraisal/appraise'
import type { Result } from '@cloister/core/refusal'
import type { JoinRequest } from './join.ts'
import type { Quotas } from './quotas.ts'
import type { Returned } from './recovery.ts'
import type { Reroot, Root } from './roots.ts'
import type { KeyShare } from '@cloister/core/seal/release'
import type { KeyPart } from '@cloister/core/seal/shares'
import type { Change, LoggedAt, State } from './state.ts'

/** What does not change while a broker runs. */
export interface Rules {
  readonly p: Primitives
  /** Guest runtimes that may get keys, by launch measurement. */
  readonly references: AppraisalPolicy['measurements']
  readonly distrust: AppraisalPolicy['distrust']
  /** Brokers that may become this one, by launch measurement: by default only those that run what this one runs. */
  readonly peers?: AppraisalPolicy['measurements']
  /** What each lineage may use; absent, `QUOTAS`. */
  readonly quotas?: Quotas
  /** Seconds for which a challenge is good. */
  readonly nonceSeconds: number
  /** Certificate chains that held before; a memory of computation only, no decision depends on it. */
  readonly chains?: VerifiedCache
}

/** The newest witnessed head: its size, how many witnesses cosigned it, and the time at which enough of them had. */
export interface HeadView { readonly time: number; readonly witnesses: number; readonly size: number; readonly text?: string } // text: the checkpoint itself, for receipts that prove a time

export interface ReleaseRequest {
  readonly charter: Hash
  readonly epoch: number
  readonly program: Name
  readonly assets: readonly { readonly asset: Name; readonly can: Grant['can']; readonly as?: string }[]
  readonly nonce: Uint8Array
  readonly evidence: Evidence
  readonly guest: { readonly seal: Uint8Array; readonly sign: string }
  readonly facts: readonly Fact[]
}
/** What a challenge says that is really ours; undefined when it is not. */
export interface Challenge { readonly issuedAt: number; readonly charter: Hash; readonly root: Uint8Array }

/** `next` is the index that the next entry of the log will have. */
export type Event = { readonly now: number; readonly head: HeadView; readonly next: number } & (
  | { readonly kind: 'found'; readonly charter: Charter; readonly acts: readonly Act[]; readonly root: Root }
  | { readonly kind: 'propose'; readonly charter: Charter; readonly act: Act }
  /** `reroot`: made by the shell where an enactment needs one. */
  | { readonly kind: 'act'; readonly act: Act; readonly reroot?: Reroot }
  | { readonly kind: 'recover'; readonly returned: Returned }
  | { readonly kind: 'deposit'; readonly request: DepositRequest }
  | { readonly kind: 'release' | 'why'; readonly request: ReleaseRequest; readonly challenge: Challenge | undefined }
  | { readonly kind: 'receipt'; readonly receipt: GuestReceipt }
  | { readonly kind: 'join'; readonly request: JoinRequest; readonly issuedAt: number | undefined }
  | { readonly kind: 'tick' }
)
export interface DepositRequest {
  readonly lineage: Hash
  readonly asset: Name
  readonly version: number
  readonly digest: Hash
  /** The key as its owner sealed it, and as the shell sealed it anew for the disk; the machine reads neither. */
  readonly sealedDigest: Hash
  readonly atRest: string
  /** Which share of a split key this is; without it, it is the whole key. */
  readonly part?: KeyPart
  /** The owner's act; several where the owner's keys have a quorum. */
  readonly acts: readonly Act[]
}
/** A receipt of a guest whose signature the shell has found to be by `key`. */
export interface GuestReceipt { readonly envelope: string; readonly digest: Hash; readonly key: string; readonly verb: string; readonly lineage: unknown }

export type Effect =
  /** Append a receipt signed by the broker. */
  | { readonly do: 'log'; readonly verb: string; readonly subject: readonly Subject[]; readonly predicate: { readonly [key: string]: unknown } }
  /** Append a receipt that is already signed. */
  | { readonly do: 'entry'; readonly envelope: string }
  /** After everything is durable and witnessed: seal these keys to the guest. */
  | { readonly do: 'seal'; readonly to: Uint8Array; readonly charter: Hash; readonly epoch: number; readonly nonce: Uint8Array; readonly head: Uint8Array; readonly keys: readonly { readonly asset: Name; readonly version: number; readonly digest: Hash; readonly atRest: string; readonly lineage: Hash; readonly share?: KeyShare }[] }
  /** After everything is durable and witnessed: seal this broker's identity to another that proved to be one. */
  | { readonly do: 'admit'; readonly to: Uint8Array; readonly nonce: Uint8Array }
export interface Subject { readonly name: string; readonly digest: { readonly sha256: string } }

/** What the asker is told, beside what the shell adds (envelopes, proofs, sealed keys). `logged` is the entry to prove. */
export interface Reply { readonly logged?: LoggedAt; readonly body: { readonly [key: string]: unknown } }

export interface Outcome { readonly changes: readonly Change[]; readonly effects: readonly Effect[]; readonly reply: Reply }
export interface Step { readonly state: State; readonly changes: readonly Change[]; readonly effects: readonly Effect[]; readonly reply: Result<Reply> }
