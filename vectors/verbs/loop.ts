/** How the vectors of the locked loop run: a node on a software TPM, its orchestrator and a log, one thing out of place each. */
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { parseReport } from '@cloister/core/loop/documents'
import { stateOf } from '@cloister/core/loop/state'
import { encodeReceipt } from '@cloister/core/receipt/receipt'
import { Loop, p } from '../../core/loop/loop.fixture.ts'

interface Input { fields?: object; of?: string; skip?: boolean; again?: boolean; challengeFor?: string; kernel?: string; register?: string; later?: number }

const last = (loop: Loop) => loop.state.unanswered.at(-1) ?? ''

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { fields } added to a report's statement, or { of }: the node it is expected of. */
  'loop.report': input => attempt(() => {
    const { fields = {}, of } = input as Input
    const loop = new Loop()
    loop.report()
    const { state, ...predicate } = orRefuse(parseReport(p, last(loop), loop.trust.node)).body
    const envelope = encodeReceipt(loop.node, 'reported', [{ name: state.mediaType, digest: { sha256: state.digest.slice('sha256:'.length) } }], { ...predicate, ...fields })
    return orRefuse(parseReport(p, envelope, of ?? loop.trust.node))
  }),
  /** A second report after a whole turn: { skip } one before it, { again }: another one was logged at its place, and the node's { challengeFor }, { kernel }, { register }. */
  'loop.next': input => attempt(() => {
    const { skip, again, challengeFor, kernel = '6.12.95', register } = input as Input
    const loop = new Loop()
    loop.turn()
    const before = loop.state
    const state = stateOf({ kernel, os: 'debian 12' })
    if (skip === true) loop.report()
    if (again === true) {
      loop.report({ time: loop.now - 1 })
      loop.log.append(last(loop))
      loop.state = before
    }
    loop.report({ state, ...(challengeFor === undefined ? {} : { challenge: new Loop(challengeFor).challenge() }), ...(register === undefined ? {} : { register }) })
    return orRefuse(loop.next(loop.delivery({ state: state.bytes, reports: [last(loop)] })))
  }),
  /** { again }: the node's disk from before the newest report; { later }: opened so many seconds later. */
  'loop.open': input => attempt(() => {
    const { again, later = 0 } = input as Input
    const loop = new Loop()
    const before = (loop.turn(), loop.state)
    loop.report()
    loop.answer()
    if (again === true) loop.state = before
    return orRefuse(loop.open(orRefuse(loop.find()), { now: loop.now + later }))
  }),
}
