/**
 * Whose word counts for a log: its own key, its witnesses and how many of them (C2SP tlog-policy, the flat form: one log,
 * and a quorum of some witnesses). A policy is trust: it comes from the verifier, never from what is verified.
 */
import { toHex } from '../bytes/hex.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import type { Checkpoint } from './checkpoint.ts'
import { ED25519, parseVkey, signedBy, type NoteKey } from './note.ts'

export interface LogPolicy { readonly log: string; readonly witnesses: readonly string[]; readonly quorum: number } // vkeys

const LINES_MAX = 200
/** Two hundred keys of ML-DSA-44 and room for their names. */
const TEXT_MAX = 1 << 19

/**
 * The flat form of a policy text: exactly one log and one quorum, which is `none`, a witness or a group of witnesses. A
 * policy that says more (two logs, groups of groups) is refused, never read as less. Refuses `log.witnesses`.
 */
export function parsePolicy(text: string): Result<LogPolicy> {
  return attempt(() => {
    if (text.length > TEXT_MAX) refuse('log.witnesses', 'policy', `at most ${TEXT_MAX} characters`, String(text.length))
    // Words, not trimmed lines: a pattern that ends with `+$` takes quadratic time over white space in the middle.
    const lines = text.split('\n').map(line => line.split(/[ \t]+/).filter(word => word !== '')).filter(([word]) => word !== undefined && !word.startsWith('#'))
    if (lines.length > LINES_MAX) refuse('log.witnesses', 'policy', `at most ${LINES_MAX} lines`, String(lines.length))
    const [logs, quorums] = [new Array<string>(), new Array<Pick<LogPolicy, 'witnesses' | 'quorum'>>()]
    const known = new Map<string, Pick<LogPolicy, 'witnesses' | 'quorum'>>([['none', { witnesses: [], quorum: 0 }]])
    for (const line of lines) readLine(line, logs, known, quorums)
    const [[log, ...logsMore], [quorum, ...quorumsMore]] = [logs, quorums]
    if (log === undefined || quorum === undefined || logsMore.length + quorumsMore.length > 0) return refuse('log.witnesses', 'policy', 'one log and one quorum', `${logs.length} and ${quorums.length}`)
    return { log, ...quorum }
  })
}

/** Names are defined once, before they are used. */
function readLine([word, name = '', third = '', ...rest]: readonly string[], logs: string[], known: Map<string, Pick<LogPolicy, 'witnesses' | 'quorum'>>, quorums: Pick<LogPolicy, 'witnesses' | 'quorum'>[]): void {
  const bad = (expected: string, got: string): never => refuse('log.witnesses', `policy.${word ?? ''}`, expected, got)
  if (word === 'log' && name !== '' && rest.length === 0) logs.push(name)
  else if (word === 'quorum' && third === '') quorums.push(known.get(name) ?? bad([...known.keys()].join(', '), name))
  else if (word !== 'witness' && word !== 'group') bad('log, witness, group or quorum', word ?? '')
  else if (name === '' || known.has(name)) bad('a new name', name)
  else if (word === 'witness') known.set(name, third !== '' && rest.length <= 1 ? { witnesses: [third], quorum: 1 } : bad('witness <name> <vkey> [<url>]', third))
  else known.set(name, groupOf(third, rest, known, bad))
}

function groupOf(need: string, members: readonly string[], known: ReadonlyMap<string, Pick<LogPolicy, 'witnesses' | 'quorum'>>, bad: (expected: string, got: string) => never): Pick<LogPolicy, 'witnesses' | 'quorum'> {
  const witnesses = members.map(name => known.get(name)?.witnesses.length === 1 ? known.get(name)?.witnesses[0] ?? bad('a witness', name) : bad('a witness defined above', name))
  const quorum = need === 'all' ? witnesses.length : need === 'any' ? 1 : /^[1-9][0-9]{0,3}$/.test(need) ? Number(need) : bad('all, any or a number', need)
  if (new Set(members).size !== members.length || quorum < 1 || quorum > witnesses.length) bad(`1 to ${witnesses.length} of distinct witnesses`, need)
  return { witnesses, quorum }
}

export function formatPolicy(policy: LogPolicy): string {
  const witnesses = policy.witnesses.map((vkey, i) => `witness w${i + 1} ${vkey}\n`).join('')
  if (policy.quorum === 0) return `log ${policy.log}\n${witnesses}quorum none\n`
  return `log ${policy.log}\n${witnesses}group witnesses ${policy.quorum} ${policy.witnesses.map((_, i) => `w${i + 1}`).join(' ')}\nquorum witnesses\n`
}

/**
 * Is this checkpoint the log's own, and did enough distinct witnesses cosign it? A witness counts once however many
 * names or signatures it appears under. Gives the number of witnesses and the time since which the quorum says so: that many
 * cosigned at this time or later (0 where no witness is asked for). Refuses `log.origin`, `log.signature`, `log.witnesses`
 * or, for a key of the policy that is none, `log.note`.
 */
export function verifyCheckpoint(p: Primitives, checkpoint: Checkpoint, policy: LogPolicy): Result<{ witnesses: number; time: number }> {
  return attempt(() => {
    const log = parseVkey(p, policy.log)
    if (log.type !== ED25519) refuse('log.note', 'policy.log', 'the key of a log', 'a cosigner\'s')
    if (checkpoint.origin !== log.name) refuse('log.origin', 'checkpoint.origin', log.name, checkpoint.origin)
    if (signedBy(p, checkpoint.note, log) === undefined) refuse('log.signature', 'checkpoint', `a signature by ${log.name}`, 'none')
    if (!Number.isSafeInteger(policy.quorum) || policy.quorum < 0) refuse('log.witnesses', 'policy.quorum', 'a number of witnesses', String(policy.quorum))
    const keys = new Map<string, NoteKey>(policy.witnesses.map(vkey => parseVkey(p, vkey)).map(key => [toHex(key.key), key]))
    for (const { type } of keys.values()) if (type === ED25519) refuse('log.note', 'policy.witnesses', 'keys of cosigners', 'the key of a log')
    const times = [...keys.values()].map(key => signedBy(p, checkpoint.note, key)?.time).filter(time => time !== undefined).sort((a, b) => b - a)
    if (times.length < policy.quorum) refuse('log.witnesses', 'checkpoint', `${policy.quorum} of ${keys.size} witnesses`, String(times.length))
    return { witnesses: times.length, time: times[policy.quorum - 1] ?? 0 }
  })
}
