/**
 * Whose word counts for a log: its own keys, its witnesses, and which of them are enough (C2SP tlog-policy, the whole
 * grammar). A policy is trust: it comes from the verifier, never from what is verified.
 *
 * Two lines that name one log give it two keys. A reader of the specification takes a signature by either; we ask for one
 * by each *type* of key that is named, so that a log with an Ed25519 and an ML-DSA-44 key has to sign with both, while two
 * keys of one type are the old and the new of a rotation.
 */
import { toHex } from '../bytes/hex.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import type { Checkpoint } from './checkpoint.ts'
import { COSIGNATURE, COSIGNATURE_ML_DSA_44, ED25519, parseVkey, readVkey, signedBy } from './note.ts'

export interface PolicyLog { readonly vkey: string; readonly url?: string }
/** `name` means something within the policy only. */
export interface PolicyWitness { readonly name: string; readonly vkey: string; readonly url?: string }
/** `need` of these witnesses and groups, which all come before it. */
export interface PolicyGroup { readonly name: string; readonly need: number; readonly of: readonly string[] }
export interface LogPolicy {
  readonly logs: readonly PolicyLog[]
  readonly witnesses: readonly PolicyWitness[]
  readonly groups: readonly PolicyGroup[]
  /** A witness, a group, or `none`: then nobody but the log vouches for the log. */
  readonly quorum: string
}

export const NOBODY = 'none'
const LINES_MAX = 200
/** Two hundred keys of ML-DSA-44 and room for their names. */
const TEXT_MAX = 1 << 19
const LOG_TYPES: readonly number[] = [ED25519, COSIGNATURE_ML_DSA_44]
const WITNESS_TYPES: readonly number[] = [COSIGNATURE, COSIGNATURE_ML_DSA_44]

/** The plain policy: these keys of logs, and `quorum` of these witnesses (0: none of them is asked for). All are vkeys. */
export function flatPolicy(logs: readonly string[], witnesses: readonly string[], quorum: number): LogPolicy {
  const named = witnesses.map((vkey, i) => ({ name: `w${i + 1}`, vkey }))
  if (quorum === 0) return { logs: logs.map(vkey => ({ vkey })), witnesses: named, groups: [], quorum: NOBODY }
  return { logs: logs.map(vkey => ({ vkey })), witnesses: named, groups: [{ name: 'witnesses', need: quorum, of: named.map(one => one.name) }], quorum: 'witnesses' }
}

// ---- the text

/** A policy from its text. Refuses `log.witnesses`, or `log.note` for a key that is none or of a type for another role. */
export function parsePolicy(text: string): Result<LogPolicy> {
  return attempt(() => {
    if (text.length > TEXT_MAX) refuse('log.witnesses', 'policy', `at most ${TEXT_MAX} characters`, String(text.length))
    if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text)) refuse('log.witnesses', 'policy', 'no control characters but tab and newline', 'another')
    // Words, not trimmed lines: a pattern that ends with `+$` takes quadratic time over white space in the middle.
    const lines = text.split('\n').map(line => line.split(/[ \t]+/).filter(word => word !== '')).filter(([word]) => word !== undefined && !word.startsWith('#'))
    if (lines.length > LINES_MAX) refuse('log.witnesses', 'policy', `at most ${LINES_MAX} lines`, String(lines.length))
    const read: Read = { logs: [], witnesses: [], groups: [], quorums: [], known: new Set() }
    for (const line of lines) readLine(line, read)
    const { logs, witnesses, groups, quorums: [quorum, ...more] } = read
    if (quorum === undefined || more.length > 0) return refuse('log.witnesses', 'policy.quorum', 'one quorum', String(read.quorums.length))
    return checked({ logs, witnesses, groups, quorum })
  })
}

interface Read { readonly logs: PolicyLog[]; readonly witnesses: PolicyWitness[]; readonly groups: PolicyGroup[]; readonly quorums: string[]; readonly known: Set<string> }

/** Names are defined before they are used. */
function readLine([word = '', ...rest]: readonly string[], read: Read): void {
  const bad = (expected: string): never => refuse('log.witnesses', `policy.${word}`, expected, rest.join(' '))
  const [first = '', second = '', third, ...more] = rest
  const urlOf = (url: string | undefined) => (url === undefined ? {} : { url })
  if (word === 'log') read.logs.push(rest.length === 1 || rest.length === 2 ? { vkey: first, ...urlOf(rest[1]) } : bad('log <vkey> [<url>]'))
  else if (word === 'quorum') read.quorums.push(rest.length === 1 && (first === NOBODY || read.known.has(first)) ? first : bad(`quorum ${NOBODY}, or a name defined above`))
  else if (word === 'witness') read.witnesses.push(second !== '' && more.length === 0 ? { name: first, vkey: second, ...urlOf(third) } : bad('witness <name> <vkey> [<url>]'))
  else if (word === 'group') read.groups.push({ name: first, need: needOf(second, rest.slice(2), bad), of: rest.slice(2).map(name => (read.known.has(name) ? name : bad('names defined above'))) })
  else refuse('log.witnesses', 'policy', 'log, witness, group or quorum', word)
  if (word === 'witness' || word === 'group') read.known.add(first)
}

function needOf(need: string, members: readonly string[], bad: (expected: string) => never): number {
  return need === 'all' ? members.length : need === 'any' ? 1 : /^[1-9][0-9]{0,3}$/.test(need) ? Number(need) : bad('group <name> all|any|<number> <name>…')
}

/** The text of a policy: `parsePolicy` gives the same one back. */
export function formatPolicy(policy: LogPolicy): string {
  const line = (...words: (string | undefined)[]) => `${words.filter(word => word !== undefined).join(' ')}\n`
  return [
    ...policy.logs.map(({ vkey, url }) => line('log', vkey, url)), ...policy.witnesses.map(({ name, vkey, url }) => line('witness', name, vkey, url)),
    ...policy.groups.map(({ name, need, of }) => line('group', name, String(need), ...of)), line('quorum', policy.quorum),
  ].join('')
}

/** What holds for every policy, however it was made. Leaves with `log.witnesses` or `log.note`. */
function checked(policy: LogPolicy): LogPolicy {
  const { logs, witnesses, groups } = policy
  if (logs.length === 0) refuse('log.witnesses', 'policy.log', 'at least one log', 'none')
  const known = new Set([NOBODY])
  const defined = (name: string): void => {
    if (name === '' || known.has(name)) refuse('log.witnesses', 'policy', 'a new name', name)
    known.add(name)
  }
  witnesses.forEach(one => { defined(one.name) })
  const taken = new Set([NOBODY])
  for (const { name, need, of } of groups) {
    // Each name is a member once, so that each witness counts in one way only.
    for (const member of of) {
      if (!known.has(member) || taken.has(member)) refuse('log.witnesses', `policy.group ${name}`, 'names defined above that are in no other group', member)
      taken.add(member)
    }
    if (!Number.isSafeInteger(need) || need < 1 || need > of.length) refuse('log.witnesses', `policy.group ${name}`, `1 to ${of.length} of its members`, String(need))
    defined(name)
  }
  distinctKeys(logs, LOG_TYPES, 'policy.log')
  distinctKeys(witnesses, WITNESS_TYPES, 'policy.witness')
  return policy
}

/** One public key is one log or witness, whatever it is called and whatever type it is said to be. */
function distinctKeys(lines: readonly { readonly vkey: string }[], types: readonly number[], at: string): void {
  const seen = new Set<string>()
  for (const { vkey } of lines) {
    const { type, key } = readVkey(vkey, at)
    if (!types.includes(type)) refuse('log.note', at, types === LOG_TYPES ? 'the key of a log' : 'the key of a cosigner', `a key of type ${type}`)
    if (seen.has(toHex(key))) refuse('log.witnesses', at, 'each key once', vkey.slice(0, 100))
    seen.add(toHex(key))
  }
}

// ---- a checkpoint under a policy

/** A witness of the policy, and the newest time at which it says that it saw the checkpoint (seconds since 1970). */
export interface Cosigned { readonly name: string; readonly time: number }
export interface Seen {
  /** How many witnesses of the policy cosigned, and which. */
  readonly witnesses: number
  readonly cosigned: readonly Cosigned[]
  /** The quorum is met by cosignatures of this time or later; 0 where nobody is asked for. */
  readonly time: number
}

/**
 * Is this checkpoint the log's own, and did a quorum of distinct witnesses cosign it? A witness counts once however many
 * names or signatures it appears under. Refuses `log.origin`, `log.signature`, `log.witnesses` or, for a key of the policy
 * that is none, `log.note`.
 */
export function verifyCheckpoint(p: Primitives, checkpoint: Checkpoint, policy: LogPolicy): Result<Seen> {
  return attempt(() => {
    checkSigned(p, checkpoint, checked(policy))
    const cosigned = cosignedBy(p, checkpoint, policy)
    const time = quorumTime(policy, cosigned)
    if (time === undefined) return refuse('log.witnesses', 'checkpoint', needText(policy), `${cosigned.length} of ${policy.witnesses.length} witnesses${cosigned.length === 0 ? '' : `: ${cosigned.map(one => one.name).join(', ')}`}`)
    return { witnesses: cosigned.length, cosigned, time }
  })
}

/** Did the log itself sign this checkpoint? Witnesses are not asked. Refuses `log.origin`, `log.signature` or `log.note`. */
export function verifyLogSignature(p: Primitives, checkpoint: Checkpoint, logs: readonly PolicyLog[]): Result<void> {
  return attempt(() => { checkSigned(p, checkpoint, checked({ logs, witnesses: [], groups: [], quorum: NOBODY })) })
}

function checkSigned(p: Primitives, checkpoint: Checkpoint, { logs }: LogPolicy): void {
  const known = logs.map(one => parseVkey(p, one.vkey))
  const keys = known.filter(key => key.name === checkpoint.origin)
  if (keys.length === 0) refuse('log.origin', 'checkpoint.origin', [...new Set(known.map(key => key.name))].join(', '), checkpoint.origin)
  const signed = keys.filter(key => signedBy(p, checkpoint.note, key) !== undefined)
  for (const { name, type } of keys) if (!signed.some(key => key.type === type)) refuse('log.signature', 'checkpoint', `${type === ED25519 ? 'an Ed25519' : 'an ML-DSA-44'} signature by ${name}`, 'none')
}

/** The witnesses of the policy that cosigned. A bad cosignature by one of them leaves with `log.signature`. */
export function cosignedBy(p: Primitives, checkpoint: Checkpoint, policy: LogPolicy): Cosigned[] {
  return policy.witnesses.map(({ name, vkey }) => ({ name, time: signedBy(p, checkpoint.note, parseVkey(p, vkey))?.time ?? 0 }))
    // A cosignature without a time does not say that the tree was the newest one (tlog-cosignature).
    .filter(one => one.time > 0)
}

/** Since when these cosignatures are a quorum, or undefined where they are none. */
export function quorumTime(policy: LogPolicy, cosigned: readonly Cosigned[]): number | undefined {
  const times = new Map([[NOBODY, 0], ...cosigned.map(({ name, time }) => [name, time] as const)])
  for (const { name, need, of } of policy.groups) {
    const time = of.flatMap(member => times.get(member) ?? []).sort((a, b) => b - a)[need - 1]
    if (time !== undefined) times.set(name, time)
  }
  return times.get(policy.quorum)
}

function needText({ groups, quorum }: LogPolicy): string {
  const group = groups.find(one => one.name === quorum)
  return group === undefined ? quorum : `${group.need} of ${group.of.join(', ')}`
}
