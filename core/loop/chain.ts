/**
 * Where a document stands in the loop. The log's order is the one truth: of two reports at one place, or two configurations
 * for one report, the first in the log counts and the other is void. Orchestrator, node and monitor fold the same leaves
 * with the same rules, so none of them needs another memory, and each comes to the same view.
 *
 * Trusts: the log's policy and the keys in `Trust`. A leaf that nobody entitled signed changes nothing (anybody may append to
 * a log); one whose proof does not hold refuses the whole, because then whoever handed the leaves over lies about the log.
 */
import { fromHex, toHex } from '../bytes/hex.ts'
import { utf8 } from '../bytes/text.ts'
import type { Hash } from '../charter/types.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { parseCheckpoint, type Checkpoint } from '../log/checkpoint.ts'
import { verifyCheckpoint, type LogPolicy } from '../log/policy.ts'
import { parseProof } from '../log/proof.ts'
import { leafHash, verifyInclusion } from '../log/tree.ts'
import { attempt, orRefuse, refuse, type Refusal, type Result } from '../refusal.ts'
import { keysOf, termOf, type Authority } from './authority.ts'
import { extended, LOOP_LIMITS, parseConfiguration, parseReport, type Configuration, type Report, type Signed } from './documents.ts'

/** Whose word counts in one node's loop. */
export interface Trust {
  readonly log: LogPolicy
  readonly node: string
  /** Who may configure this node, over time. */
  readonly authority: Authority
  /** How old the witnessed head may be under which leaves are shown, seconds: an old head hides what came after it. */
  readonly headAgeMax: number
  /** The register into which the node measures each configuration: its name in claims, and what it holds after boot (hex). */
  readonly register?: { readonly name: string; readonly boot: string }
}

/** An entry of the log with its `.tlog-proof`. */
export interface Leaf { readonly envelope: string; readonly proof: string }

/** How far a loop has come, as plain JSON. */
export interface View {
  /** Index of the last leaf that counted, -1 before the first; and the newest time that witnesses put to a leaf. */
  readonly index: number
  readonly time: number
  /** The log in which this loop runs: an order across two logs is none. */
  readonly origin?: string
  readonly report?: { readonly digest: Hash; readonly sequence: number; readonly configuration?: Hash; readonly register?: string }
  /** The newest configuration, opened or not. */
  readonly configuration?: { readonly digest: Hash; readonly accepts: Hash; readonly chip: string; readonly key: string; readonly charter?: Hash }
}
export const START: View = { index: -1, time: 0 }

export interface Followed {
  readonly view: View
  /** When witnesses saw the head under which these leaves are shown (the oldest, if several); 0 without leaves or witnesses. */
  readonly head: number
  /** The leaf of the newest configuration, if it is among these. */
  readonly configuration?: { readonly document: Signed<Configuration>; readonly leaf: Leaf }
  /** The leaf of the newest report, if it is among these. */
  readonly report?: { readonly document: Signed<Report>; readonly leaf: Leaf }
  /** Signed leaves that stand at no place: what a monitor shows. */
  readonly void: readonly { readonly index: number; readonly refusal: Refusal }[]
}

/**
 * The view after these leaves of the log, in the log's order. Refuses `log.*` for a leaf that the log does not hold,
 * `bytes.too-large` for too many; documents that stand at no place are void, not fatal.
 *
 * @example
 * follow(p, trust, []) // → { ok: true, value: { view: { index: -1, time: 0 }, head: 0, void: [] } }
 */
export function follow(p: Primitives, trust: Trust, leaves: readonly Leaf[], from: View = START): Result<Followed> {
  return attempt(() => {
    if (leaves.length > LOOP_LIMITS.leaves) refuse('bytes.too-large', 'leaves', `at most ${LOOP_LIMITS.leaves} leaves`, String(leaves.length))
    const included = inclusionIn(p, trust.log)
    const placed = leaves.map(leaf => ({ leaf, ...included(leaf) })).toSorted((a, b) => a.index - b.index)
    const origin = from.origin ?? placed[0]?.checkpoint.origin
    for (const { checkpoint } of placed) if (checkpoint.origin !== origin) refuse('log.origin', 'leaves', origin ?? '', checkpoint.origin, 'a loop stays in one log')
    const head = placed.length === 0 ? 0 : Math.min(...placed.map(one => one.time))
    let known: Followed = { view: origin === undefined ? from : { ...from, origin }, head, void: [] }
    for (const { leaf, index, time } of placed) if (index > from.index) known = step(p, trust, known, leaf, index, time)
    return known
  })
}

/**
 * The view from a node's last leaves alone, without those from the start: the first must be a report that a configuration
 * among them accepts, so that the signature of the authority speaks for everything before it. Refuses as `follow`, and
 * `loop.skip` when the leaves begin elsewhere.
 *
 * @example
 * followLast(p, trust, []) // → { ok: true, value: { view: { index: -1, time: 0 }, head: 0, void: [] } }
 */
export function followLast(p: Primitives, trust: Trust, leaves: readonly Leaf[]): Result<Followed> {
  return attempt(() => {
    const [first] = leaves
    if (first === undefined) return orRefuse(follow(p, trust, leaves))
    const { body, digest } = orRefuse(parseReport(p, first.envelope, trust.node))
    if (body.previous === undefined) return orRefuse(follow(p, trust, leaves))
    const answers = leaves.flatMap(({ envelope }) => {
      const configuration = parseConfiguration(p, envelope, keysOf(trust.authority))
      return configuration.ok && configuration.value.body.accepts === digest ? [configuration.value] : []
    })
    const [answered] = answers
    if (answered === undefined) return refuse('loop.skip', 'leaves[0]', 'a report that one of these configurations accepts', digest, 'read the node\'s leaves from further back')
    const { previous, configuration, register, sequence } = body
    const { body: answer, key } = answered
    const term = { key, ...(answer.charter === undefined ? {} : { charter: answer.charter }) }
    const before: View = {
      ...START, report: { digest: previous, sequence: sequence - 1, ...(configuration === undefined ? {} : { configuration }), ...(register === undefined ? {} : { register }) },
      ...(answer.previous === undefined ? {} : { configuration: { digest: answer.previous, accepts: previous, chip: answer.chip, ...term } }),
    }
    return orRefuse(follow(p, trust, leaves, before))
  })
}

/** Where a leaf stands in the log. Leaves shown under one checkpoint have its signatures verified once. */
function inclusionIn(p: Primitives, policy: LogPolicy): (leaf: Leaf) => { index: number; checkpoint: Checkpoint; time: number } {
  const seen = new Map<string, { checkpoint: Checkpoint; time: number }>()
  return ({ envelope, proof }) => {
    const { index, path, checkpoint: text } = orRefuse(parseProof(proof))
    const read = () => {
      const checkpoint = orRefuse(parseCheckpoint(text))
      return { checkpoint, time: orRefuse(verifyCheckpoint(p, checkpoint, policy)).time }
    }
    const head = seen.get(text) ?? read()
    seen.set(text, head)
    orRefuse(verifyInclusion(p, leafHash(p, utf8(envelope)), index, head.checkpoint.size, path, head.checkpoint.root))
    return { index, ...head }
  }
}

function step(p: Primitives, trust: Trust, known: Followed, leaf: Leaf, index: number, time: number): Followed {
  const seen = { ...known.view, index, time: Math.max(known.view.time, time) }
  const report = parseReport(p, leaf.envelope, trust.node)
  const configuration = report.ok ? undefined : parseConfiguration(p, leaf.envelope, keysOf(trust.authority))
  if (report.ok) {
    const after = attempt(() => placeReport(p, trust, seen, report.value))
    return after.ok ? { ...known, view: after.value, report: { document: report.value, leaf } } : { ...known, view: seen, void: [...known.void, { index, refusal: after.refusal }] }
  }
  if (configuration?.ok !== true) return { ...known, view: seen }
  const after = attempt(() => placeConfiguration(trust, seen, configuration.value))
  if (!after.ok) return { ...known, view: seen, void: [...known.void, { index, refusal: after.refusal }] }
  // The same statement logged twice is one configuration: the first leaf stays.
  return after.value === seen ? { ...known, view: seen } : { ...known, view: after.value, configuration: { document: configuration.value, leaf } }
}

/**
 * The view with this report. Leaves with `loop.skip` (a report is missing before it), `loop.rollback` (an older one, or one of
 * an older configuration), `loop.fork` (another one stands there) or `loop.state` (a register that this loop does not give).
 */
export function placeReport(p: Primitives, trust: Trust, view: View, { body, digest }: Signed<Report>): View {
  const last = view.report
  if (digest === last?.digest) return view
  const expected = last === undefined ? 0 : last.sequence + 1
  if (body.sequence > expected) refuse('loop.skip', 'report.sequence', String(expected), String(body.sequence), 'send the reports between, oldest first')
  if (body.sequence < expected) refuse(body.sequence === last?.sequence ? 'loop.fork' : 'loop.rollback', 'report.sequence', String(expected), String(body.sequence), REENROL)
  if (body.previous !== last?.digest) refuse('loop.fork', 'report.previous', last?.digest ?? 'none', body.previous ?? 'none', REENROL)
  const answer = view.configuration?.accepts === last?.digest ? view.configuration?.digest : undefined
  const opened = body.configuration !== last?.configuration
  if (opened && (answer === undefined || body.configuration !== answer)) refuse('loop.rollback', 'report.configuration', [last?.configuration, answer].filter(one => one !== undefined).join(' or ') || 'none', body.configuration ?? 'none', REENROL)
  checkRegister(p, trust, last?.register, body, opened)
  return {
    ...view,
    report: { digest, sequence: body.sequence, ...(body.configuration === undefined ? {} : { configuration: body.configuration }), ...(body.register === undefined ? {} : { register: body.register }) },
  }
}
const REENROL = 'this node\'s disk was set back or copied: enrol it anew, under another key'

/** Leaves with `head.stale` unless the leaves were shown under a head that witnesses saw lately. */
export function checkHead({ headAgeMax }: Trust, head: number, now: number): void {
  if (now - head > headAgeMax) refuse('head.stale', 'leaves', `a head that witnesses saw at most ${headAgeMax} s ago`, head === 0 ? 'one that no witness saw' : `${now - head} s ago`, 'read the log again')
}

/** The register holds what the report before left, and since then the newly opened configuration; or the one in force, since boot. */
function checkRegister(p: Primitives, trust: Trust, before: string | undefined, { register, configuration }: Report, opened: boolean): void {
  if (trust.register === undefined) return register === undefined ? undefined : refuse('loop.state', 'report.register', 'no register: none is agreed', register)
  const { name, boot } = trust.register
  const booted = configuration === undefined ? boot : after(p, boot, configuration)
  const running = before === undefined ? booted : opened && configuration !== undefined ? after(p, before, configuration) : before
  if (register !== booted && register !== running) refuse('loop.state', 'report.register', `${name} with ${running} (or ${booted} since boot)`, register ?? 'none')
}

/** A register (hex) after a configuration was measured into it. */
export const after = (p: Primitives, register: string, configuration: Hash): string => toHex(extended(p, fromHex(register, 'register'), configuration))

/**
 * The view with this configuration; the same view when it already stands there. Leaves with `loop.node`, `loop.rollback` (it
 * answers an older report), `loop.skip` (it answers none that is known, or leaves one out), `loop.fork` (another one answers
 * that report) or `receipt.charter` (it belongs to no term of the authority, or to an older one than the one before).
 */
export function placeConfiguration(trust: Trust, view: View, { body, digest, key }: Signed<Configuration>): View {
  const { report, configuration } = view
  if (body.node !== trust.node) refuse('loop.node', 'configuration.node', trust.node, body.node)
  if (digest === configuration?.digest) return view
  const [term, before] = [termOf(trust.authority, key, body.charter), configuration === undefined ? -1 : termOf(trust.authority, configuration.key, configuration.charter)]
  if (term < 0 || term < before) refuse('receipt.charter', 'configuration.charter', trust.authority[Math.max(before, 0)]?.charter ?? 'a key of this term or a newer one', body.charter ?? 'another')
  if (report === undefined) return refuse('loop.skip', 'configuration.accepts', 'a report of this node in the log', 'none')
  if (body.accepts !== report.digest) refuse(body.sequence <= report.sequence ? 'loop.rollback' : 'loop.skip', 'configuration.accepts', report.digest, body.accepts)
  if (body.sequence !== report.sequence + 1) refuse('loop.skip', 'configuration.sequence', String(report.sequence + 1), String(body.sequence))
  if (configuration?.accepts === report.digest) refuse('loop.fork', 'configuration.accepts', configuration.digest, digest)
  if (body.previous !== configuration?.digest) refuse('loop.skip', 'configuration.previous', configuration?.digest ?? 'none', body.previous ?? 'none')
  return { ...view, configuration: { digest, accepts: body.accepts, chip: body.chip, key, ...(body.charter === undefined ? {} : { charter: body.charter }) } }
}
