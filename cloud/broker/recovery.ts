/**
 * A lineage brought back in another broker (charter.md section 7). What is needed is public or sealed: a backup that the old
 * broker gave out, the entries that its log got since, under its last witnessed checkpoint, and shares that enough parties
 * give to this broker alone. The root comes together here and nowhere else; it shows that the backup is the old broker's.
 *
 * Trusts: the parties whose quorum the newest charter names, for saying that this charter is the newest and that the old
 * broker is gone; the witnesses of the old log. Does not trust: whoever keeps and carries the backup. What was spent since
 * the backup is spent here too; a charter, a key or a revocation that is newer than the backup is refused, never guessed.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { equal, framed } from '@cloister/core/bytes/bytes'
import { isObject, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { jcs } from '@cloister/core/bytes/jcs'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { hkdf } from '@cloister/core/crypto/hkdf'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { verifyEnacted, type Logged } from '@cloister/core/enacted'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { parsePolicy, verifyCheckpoint } from '@cloister/core/log/policy'
import { extendRange, rangeRootOf } from '@cloister/core/log/range'
import { parseReceipt, type Receipt } from '@cloister/core/receipt/receipt'
import type { Given } from '@cloister/core/recovery'
import { orRefuse, refuse } from '@cloister/core/refusal'
import type { RecoveryDocument } from '@cloister/core/seal/recovery'
import type { Effect, Event, Outcome, Rules } from './events.ts'
import { setLineage } from './lineage.ts'
import type { Root } from './roots.ts'
import { keys, read, type Change, type Deposit, type Lineage, type Spending, type State } from './state.ts'

/** Everything about one lineage that another broker needs. Public or sealed; the tag is under a key of the root. */
export interface Backup {
  readonly backup: 1
  readonly lineage: Hash
  readonly standing: Lineage
  readonly charters: readonly Charter[]
  readonly enactments: readonly Logged[]
  readonly deposits: readonly Deposit[]
  readonly spent: readonly { readonly budget: string; readonly spending: Spending }[]
  readonly recovery: RecoveryDocument
  /** The log as it was: its policy, a witnessed checkpoint, and the tree of its entries in a few hashes (base64). */
  readonly log: { readonly policy: string; readonly head: string; readonly range: readonly string[] }
  readonly tag: string // base64, HMAC-SHA-256
}

/** What challenges for a recovery are made for. */
export const RECOVER = 'sha256:recover'
/** Parties need time to look and to sign. */
export const RECOVER_SECONDS = 86_400
export const RECOVER_BYTES_MAX = 64 << 20

export interface RecoverRequest {
  readonly nonce: Uint8Array
  readonly backup: Backup
  /** The same as it was sent: what the tag is of. */
  readonly said: JsonObject
  readonly given: readonly Given[]
  /** The newest checkpoint of the old log, and its entries since the backup. */
  readonly head: string
  readonly entries: readonly Uint8Array[]
}

/** What the machine is told: a backup that the root has shown to be genuine, with what the log says came after. */
export interface Returned { readonly backup: Backup; readonly root: Root; readonly used: readonly string[]; readonly head: { readonly origin: string; readonly size: number; readonly root: string }; readonly later: readonly { readonly budget: string; readonly window: string; readonly uses: number; readonly epsilon: number }[] }

/** The tag of a backup, under a key that only the root gives. */
export function backupTag(p: Primitives, restKey: Uint8Array, backup: JsonObject): Uint8Array {
  const { tag: _, ...body } = backup
  return p.hmac('sha256', hkdf(p, 'sha256', restKey, new Uint8Array(0), framed('cloister/backup/1'), 32), utf8(jcs(body)))
}

/** What the state holds about a lineage. Refuses `charter.missing-field` where nobody may recover it. */
export function backupOf(state: State, lineage: Hash): Pick<Backup, 'standing' | 'charters' | 'deposits' | 'spent' | 'recovery'> {
  const standing = read.lineage(state, lineage) ?? refuse('head.unknown-charter', 'lineage', 'a lineage of this broker', lineage)
  const recovery = read.root(state, lineage)?.recovery ?? refuse('charter.missing-field', 'recover', 'a charter that says who may recover it', 'none', 'propose one with `recover`')
  const spent = state.keys(keys.budgets(lineage)).map(key => ({ budget: key.slice(keys.budgets(lineage).length), spending: state.get(key) as Spending })) // written by release.ts
  return {
    standing, recovery, spent,
    charters: standing.history.map(digest => read.charter(state, digest)?.charter ?? refuse('store.corrupt', keys.charter(digest), 'a charter of the lineage', 'none')),
    deposits: state.keys(keys.deposits(lineage)).map(key => state.get(key) as Deposit), // the prefix holds deposits only
  }
}

/**
 * Is the backup the old broker's own, and what came after it? Leaves with `broker.backup` where it is not, or where the log
 * has gone on in a way that a backup cannot make up for.
 */
export function checkBackup(p: Primitives, restKey: Uint8Array, request: RecoverRequest): Pick<Returned, 'head' | 'later'> {
  const { tag, ...body } = request.backup
  if (!equal(backupTag(p, restKey, request.said), fromBase64(tag, 'backup.tag'))) refuse('broker.backup', 'backup.tag', 'a backup by a broker that had this root', 'another, or one that was altered')
  // From here on the backup is what a broker wrote.
  const policy = orRefuse(parsePolicy(body.log.policy))
  orRefuse(verifyEnacted(p, body.charters, body.enactments, policy))
  const [then, now] = [body.log.head, request.head].map(text => orRefuse(parseCheckpoint(text)))
  if (then === undefined || now === undefined) return refuse('broker.backup', 'head', 'two checkpoints', 'fewer')
  orRefuse(verifyCheckpoint(p, now, policy))
  const range = body.log.range.map(hash => fromBase64(hash, 'backup.range'))
  if (!equal(rangeRootOf(p, range), then.root)) refuse('broker.backup', 'backup.log.range', 'the tree of its checkpoint', 'another')
  const whole = then.size + request.entries.length === now.size && equal(rangeRootOf(p, extendRange(p, then.size, range, request.entries)), now.root)
  if (!whole) refuse('broker.backup', 'entries', `the ${now.size - then.size} entries from ${then.size} on, as the log has them`, `${request.entries.length} entries, or others`, 'read them from the old log')
  const later = request.entries.flatMap((entry, i) => laterSpending(entry, then.size + i, body.lineage))
  return { later, head: { origin: now.origin, size: now.size, root: toBase64(now.root) } }
}

/** Verbs that change nothing a backup holds. */
const HARMLESS = ['ran', 'yielded', 'deleted', 'proposed', 'approved', 'vetoed', 'joined']

function laterSpending(entry: Uint8Array, index: number, lineage: Hash): Returned['later'] {
  const receipt = parseReceipt(fromUtf8(entry, `entries[${index}]`))
  if (!receipt.ok || receipt.value.predicate['lineage'] !== lineage || HARMLESS.includes(receipt.value.verb)) return []
  if (receipt.value.verb !== 'released') return refuse('broker.backup', `entry ${index}`, 'a backup that is newer than the last change of the lineage', `one from before a receipt of ${receipt.value.verb}`, 'use a later backup; take one after every change')
  return debitsOf(receipt.value, index)
}

function debitsOf({ predicate }: Receipt, index: number): Returned['later'] {
  const { debits } = predicate
  const bad = (): never => refuse('broker.backup', `entry ${index}`, 'a release that says what it cost', 'another')
  if (!Array.isArray(debits)) return bad()
  return debits.map((one: Json) => {
    if (!isObject(one)) return bad()
    const { budget, window, uses, epsilon } = one
    return typeof budget === 'string' && typeof window === 'string' && typeof uses === 'number' && typeof epsilon === 'number' ? { budget, window, uses, epsilon } : bad()
  })
}

/** The lineage stands again: its charters, keys, revocations and what was spent, with receipts of this broker. A lineage that stands here already is not brought back over it. */
export function recovered(rules: Rules, state: State, event: Event & { readonly returned: Returned }): Outcome {
  const { returned: { backup, root, used, head, later }, next } = event
  const { lineage, standing, charters } = backup
  if (read.lineage(state, lineage) !== undefined) return refuse('broker.request', 'lineage', 'a lineage that does not stand here', lineage)
  const digests = charters.map(charter => charterDigest(rules.p, charter))
  const receipts = backup.enactments.map(({ envelope }) => orRefuse(parseReceipt(envelope)))
  const newest = next + receipts.length // the first entry tells of the recovery
  const back: Lineage = { ...standing, enacted: { index: newest }, emergencies: [], emergencyActs: [], revocations: [] }
  const enacted: Effect[] = receipts.map(({ subject, predicate }) => ({ do: 'log', verb: 'enacted', subject: [...subject], predicate }))
  return {
    changes: [
      ...setLineage(back), { key: keys.root(lineage), value: root },
      ...charters.map((charter, i): Change => ({ key: keys.charter(digests[i] ?? lineage), value: { lineage, charter, enacted: { index: next + 1 + i } } })),
      ...backup.deposits.map((deposit): Change => ({ key: keys.deposit(lineage, deposit.asset, deposit.owner, deposit.version), value: { ...deposit, logged: { index: next } } })),
      ...spentAgain(backup, later),
    ],
    effects: [
      { do: 'log', verb: 'recovered', subject: [{ name: 'charter', digest: { sha256: standing.digest.slice('sha256:'.length) } }], predicate: { lineage, charter: standing.digest, epoch: standing.epoch, parties: used, from: head, time: event.now } },
      ...enacted,
    ],
    reply: { logged: { index: next }, body: { lineage, digest: standing.digest, epoch: standing.epoch, parties: used } },
  }
}

/** What was spent by the time of the backup, and since: budgets never rise. */
function spentAgain({ lineage, spent }: Backup, later: Returned['later']): Change[] {
  const total = new Map(spent.map(({ budget, spending }) => [budget, spending]))
  for (const { budget, window, uses, epsilon } of later) {
    const before = total.get(`${budget}/${window}`) ?? { uses: 0, bytes: 0, epsilon: 0 }
    total.set(`${budget}/${window}`, { ...before, uses: before.uses + uses, epsilon: before.epsilon + epsilon })
  }
  return [...total].map(([budget, value]) => ({ key: `${keys.budgets(lineage)}${budget}`, value }))
}
