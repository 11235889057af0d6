/**
 * Whose word counts for a log: its own key, its witnesses and how many of them (C2SP tlog-policy, the flat form: one log,
 * witnesses, one group, one quorum). A policy is trust: it comes from the verifier, never from what is verified.
 */
import type { Primitives } from '../crypto/primitives.ts'
import { attempt, refuse, type Result } from '../refusal.ts'
import type { Checkpoint } from './checkpoint.ts'
import { parseVkey, signedBy, type NoteKey } from './note.ts'

export interface LogPolicy { readonly log: string; readonly witnesses: readonly string[]; readonly quorum: number } // vkeys

const LINES_MAX = 200

/** Refuses `log.witnesses`. */
export function parsePolicy(text: string): Result<LogPolicy> {
  return attempt(() => {
    const lines = text.split('\n').map(line => line.trim()).filter(line => line !== '' && !line.startsWith('#'))
    if (lines.length > LINES_MAX) refuse('log.witnesses', 'policy', `at most ${LINES_MAX} lines`, String(lines.length))
    const words = lines.map(line => line.split(/\s+/))
    const of = (key: string) => words.filter(([first]) => first === key)
    const [log, more] = of('log')
    const witnesses = new Map(of('witness').map(([, name = '', vkey = '']) => [name, vkey]))
    const [group] = of('group')
    const [quorum] = of('quorum')
    if (log?.[1] === undefined || more !== undefined || words.some(([first = '']) => !['log', 'witness', 'group', 'quorum'].includes(first))) return refuse('log.witnesses', 'policy', 'one log, witnesses, a group and a quorum', 'another form')
    if (quorum?.[1] === 'none' || (quorum === undefined && witnesses.size === 0)) return { log: log[1], witnesses: [], quorum: 0 }
    if (group === undefined || quorum?.[1] !== group[1]) return refuse('log.witnesses', 'policy.quorum', 'the name of the group', quorum?.[1] ?? 'none')
    const members = group.slice(3).map(name => witnesses.get(name) ?? refuse('log.witnesses', 'policy.group', [...witnesses.keys()].join(', '), name))
    const need = group[2] === 'all' ? members.length : group[2] === 'any' ? 1 : Number(group[2])
    if (!Number.isInteger(need) || need < 1 || need > members.length) refuse('log.witnesses', 'policy.group', `1 to ${members.length}`, String(group[2]))
    return { log: log[1], witnesses: members, quorum: need }
  })
}

export function formatPolicy(policy: LogPolicy): string {
  const witnesses = policy.witnesses.map((vkey, i) => `witness w${i + 1} ${vkey}\n`).join('')
  if (policy.witnesses.length === 0) return `log ${policy.log}\nquorum none\n`
  return `log ${policy.log}\n${witnesses}group witnesses ${policy.quorum} ${policy.witnesses.map((_, i) => `w${i + 1}`).join(' ')}\nquorum witnesses\n`
}

/**
 * Is this checkpoint the log's own, and did enough distinct witnesses cosign it? Gives the number of witnesses and the time
 * before which the quorum saw it. Refuses `log.origin`, `log.signature` or `log.witnesses`.
 */
export function verifyCheckpoint(p: Primitives, checkpoint: Checkpoint, policy: LogPolicy): Result<{ witnesses: number; time: number }> {
  return attempt(() => {
    const log = parseVkey(p, policy.log)
    if (checkpoint.origin !== log.name) refuse('log.origin', 'checkpoint.origin', log.name, checkpoint.origin)
    if (signedBy(p, checkpoint.note, log) === undefined) refuse('log.signature', 'checkpoint', `a signature by ${log.name}`, 'none')
    const keys = new Map<string, NoteKey>(policy.witnesses.map(vkey => [vkey.split('+').slice(2).join('+'), parseVkey(p, vkey)]))
    const times = [...keys.values()].map(key => signedBy(p, checkpoint.note, key)?.time).filter(time => time !== undefined).sort((a, b) => b - a)
    if (times.length < policy.quorum) refuse('log.witnesses', 'checkpoint', `${policy.quorum} of ${keys.size} witnesses`, String(times.length))
    return { witnesses: times.length, time: times[policy.quorum - 1] ?? 0 }
  })
}
