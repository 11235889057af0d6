/**
 * Emergencies in the broker: acts are kept until the quorum of `change.emergency` has signed the same grant; its receipt is
 * logged, and from then on `decide` knows the grant until it ends. What an emergency may be is `core/charter/emergency`.
 */
import { emergencyAgreed } from '@cloister/core/charter/emergency'
import { countingActs, type Act } from '@cloister/core/charter/acts'
import { refuse, orRefuse, Refused } from '@cloister/core/refusal'
import type { Event, Outcome, Rules } from './events.ts'
import { checkAct, newest, setLineage, withOpenAct } from './lineage.ts'
import type { Lineage, RunningEmergency, State } from './state.ts'

/** One party's signature on an emergency; with the last one needed it runs. The number in its subject is the next of the lineage, so no act of an earlier one counts. */
export function emergency(rules: Rules, state: State, { act, now, next, head }: Event & { readonly act: Act }): Outcome {
  const { lineage, charter } = newest(state, act.lineage)
  if (lineage.revoked) refuse('charter.revoked', 'charter', 'a charter in force', `lineage ${lineage.lineage} is revoked`)
  checkAct(rules, [charter], act, { verb: 'emergency', lineage: lineage.lineage, digest: lineage.digest, epoch: lineage.epoch, prev: charter.prev })
  const of = charter.change.emergency?.of ?? []
  if (!of.includes(act.party)) refuse('charter.act', 'act.party', of.join(', ') || 'nobody: this charter has no emergency access', act.party)
  const acts = withOpenAct(lineage.emergencyActs ?? [], act)
  // The earlier of the two clocks: neither the broker's nor a witness's alone can prolong an emergency.
  const agreed = emergencyAgreed(rules.p, { lineage: lineage.lineage, charter, digest: lineage.digest }, act.subject, acts, Math.min(now, head.time))
  if (!agreed.ok && agreed.refusal.code !== 'charter.quorum') throw new Refused(agreed.refusal)
  const sequence = Number(act.subject?.split(' ')[0])
  const wanted = (lineage.emergencyCount ?? 0) + 1
  if (sequence !== wanted) refuse('emergency.bounds', 'act.subject', `number ${wanted}`, String(sequence), 'each emergency is a new act, with the next number')
  const changed: Lineage = agreed.ok ? running(lineage, { ...agreed.value, logged: { index: next } }, now) : { ...lineage, emergencyActs: acts }
  const signed = countingActs(rules.p, [charter], acts.filter(one => one.subject === act.subject), of)
  return {
    changes: setLineage(changed),
    effects: [{
      do: 'log', verb: 'emergency', subject: [{ name: 'charter', digest: { sha256: lineage.digest.slice('sha256:'.length) } }],
      predicate: { lineage: lineage.lineage, charter: lineage.digest, epoch: lineage.epoch, ...(charter.prev === undefined ? {} : { prev: charter.prev }), sequence, party: act.party, effective: agreed.ok, acts: agreed.ok ? signed : [act], time: Math.min(now, head.time) },
    }],
    reply: { logged: { index: next }, body: { lineage: lineage.lineage, sequence, effective: agreed.ok, ...(agreed.ok ? { emergency: orRefuse(agreed) } : {}) } },
  }
}

/** Those that ended a while ago are forgotten (the receipt of a run that began under one is still to be had); acts for this number are spent. */
function running(lineage: Lineage, one: RunningEmergency, now: number): Lineage {
  const known = lineage.emergencies ?? []
  const [others, ended] = [known.filter(({ until }) => until > now), known.filter(({ until }) => until <= now)]
  if (others.length >= RUNNING_MAX) refuse('broker.request', 'act', `at most ${RUNNING_MAX} emergencies at once`, 'one more')
  return { ...lineage, emergencies: [...ended.slice(-RUNNING_MAX), ...others, one], emergencyCount: one.sequence, emergencyActs: [] }
}

const RUNNING_MAX = 16
