/**
 * An orchestrator over a log: for every node the pure step of `core/loop`, then the appends, then what the log says. It keeps
 * nothing between two calls, so any number may run with one key; where two answer one report, each hands out the answer that
 * stands first in the log. Log before release: a configuration leaves as a leaf under a witnessed head, never before.
 *
 * Trusts: the log (`log.ts` says for what), its key, its clock. Nodes are trusted as far as their evidence goes.
 */
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives, Random, Signer } from '@cloister/core/crypto/primitives'
import { followLast, type Followed, type Leaf } from '@cloister/core/loop/chain'
import { admit, challengeOf, next, type Delivery, type Demands, type Judged, type Plan } from '@cloister/core/loop/orchestrate'
import { statementDigest } from '@cloister/core/loop/node'
import { attempt, attemptAsync, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import type { LoopLog } from './log.ts'

export interface OrchestratorOptions {
  readonly p: Primitives
  readonly log: LoopLog
  readonly signer: Signer
  /** What is demanded of a node; undefined for nodes that nobody enrolled. */
  readonly demands: (node: string) => Demands | undefined
  /** What a node gets next, decided on what was judged. */
  readonly plan: (node: string, judged: Judged) => Plan
  readonly random: Random
  /** Seconds since 1970. */
  readonly now: () => number
}

export interface Orchestrator {
  challenge(node: string): Result<string>
  /** The node's leaves after an index. */
  leaves(node: string, after: number): Promise<readonly Leaf[]>
  /** The same, with the configuration that answers the node's last report among them; or why there is none. */
  answer(node: string, delivery: Delivery, after: number): Promise<Result<readonly Leaf[]>>
}

export function openOrchestrator(options: OrchestratorOptions): Orchestrator {
  const { p, log } = options
  const demandsOf = (node: string): Demands => options.demands(node) ?? refuse('loop.node', 'node', 'a node that is enrolled', node)
  return {
    challenge: node => attempt(() => challengeOf(p, demandsOf(node).challengeKey, node, options.now())),
    leaves: (node, after) => log.leaves(node, after),
    answer: (node, delivery, after) => attemptAsync(async () => {
      const demands = demandsOf(node)
      const followed = await admitted(options, node, delivery, demands)
      const step = orRefuse(next(p, followed, delivery, demands, judged => options.plan(node, judged), options.signer, options.now(), options.random))
      if (step.kind === 'answer') {
        for (const envelope of step.append) await log.append(utf8(envelope))
        checkAnswered(p, orRefuse(followLast(p, demands.trust, await log.leaves(node))), delivery)
      }
      return log.leaves(node, after)
    }),
  }
}

/** The reports are the node's signed word: they are logged whether or not anything is given for them. */
async function admitted({ p, log, now }: OrchestratorOptions, node: string, delivery: Delivery, { trust }: Demands): Promise<Followed> {
  const before = orRefuse(followLast(p, trust, await log.leaves(node)))
  const reports = orRefuse(admit(p, before, delivery, trust, now()))
  for (const envelope of reports) await log.append(utf8(envelope))
  return reports.length === 0 ? before : orRefuse(followLast(p, trust, await log.leaves(node)))
}

/** Another orchestrator may have been faster, with an answer to this report (which is then the answer) or to a later one. */
function checkAnswered(p: Primitives, { view }: Followed, { reports }: Delivery): void {
  const last = reports.at(-1)
  const digest = last === undefined ? undefined : statementDigest(p, last)
  if (view.report?.digest !== digest || view.configuration?.accepts !== digest) refuse('loop.fork', 'log', digest ?? 'a report', view.report?.digest ?? 'none', 'another report of this node was answered meanwhile')
}
