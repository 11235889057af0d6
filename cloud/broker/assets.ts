/**
 * Keys of assets: deposited by their owner, sealed to this broker; rotated by their owner. The machine sees digests and
 * ciphertext only.
 */
import { signers, type Act } from '@cloister/core/charter/acts'
import { own } from '@cloister/core/charter/parse'
import { refuse } from '@cloister/core/refusal'
import { partOf, putSubject } from '@cloister/core/seal/shares'
import { checkAct, newest, setLineage, versionsAfter } from './lineage.ts'
import type { DepositRequest, Event, Outcome, Rules } from './events.ts'
import { keys, read, type Deposit, type State } from './state.ts'

/** Keep a key for the asset's current version, or for the next one (which rotates). A version gets one key for ever. */
export function deposit(rules: Rules, state: State, event: Event & { readonly request: DepositRequest }): Outcome {
  const { request, now, next } = event
  const { asset, version, digest, acts, part } = request
  const { lineage, charter } = newest(state, request.lineage)
  const named = own(charter.assets, asset) ?? refuse('asset.unknown', `assets.${asset}`, Object.keys(charter.assets).join(', '), asset)
  for (const act of acts) {
    if (act.party !== named.owner) refuse('charter.act', 'act.party', named.owner, act.party)
    checkAct(rules, [charter], act, { verb: 'put', lineage: lineage.lineage, digest: lineage.digest, epoch: lineage.epoch, prev: charter.prev, subject: putSubject(rules.p, request, request.sealedDigest, part) })
  }
  if (!signers(rules.p, charter, acts, () => true).includes(named.owner)) refuse('charter.not-approved', 'acts', `${charter.parties[named.owner]?.need ?? 1} keys of ${named.owner}`, `${acts.length}`)
  const act = acts.map(one => one.signature).sort().join(' ')
  if (named.digest !== undefined && named.digest !== digest) refuse('asset.digest', `assets.${asset}.digest`, named.digest, digest)
  const current = lineage.versions[asset]?.version ?? 1
  const known = read.deposit(state, lineage.lineage, asset, named.owner, version)
  const body = { asset, version, digest }
  if (known !== undefined && version >= current && known.digest === digest && known.act === act) return { changes: [], effects: [], reply: { logged: known.logged, body } }
  if (known !== undefined || (version !== current && version !== current + 1)) refuse('asset.key-missing', `assets.${asset}.version`, `version ${known === undefined ? current : current + 1}, which has no key yet`, String(version), 'deposit the key as the next version')
  const kept: Deposit = { asset, owner: named.owner, version, digest, sealed: request.atRest, at: now, act, logged: { index: next }, ...(part === undefined ? {} : { share: { ...part, sealed: request.sealedDigest, acts: JSON.stringify(acts) } }) }
  return {
    changes: [
      { key: keys.deposit(lineage.lineage, asset, named.owner, version), value: kept },
      ...setLineage({ ...lineage, revokedAssets: lineage.revokedAssets.filter(one => one !== asset), versions: { ...lineage.versions, [asset]: { owner: named.owner, version } } }),
    ],
    effects: [{ do: 'log', verb: 'deposited', subject: [{ name: asset, digest: { sha256: digest.slice('sha256:'.length) } }], predicate: { lineage: lineage.lineage, charter: lineage.digest, epoch: lineage.epoch, asset, version, party: named.owner, ...(part === undefined ? {} : { share: partOf(rules.p, part) }) } }],
    reply: { logged: kept.logged, body },
  }
}

/** The owner's word that the current key is to be used no more: nothing opens the asset until a new one is deposited. */
export function rotate(rules: Rules, state: State, { act, next }: Event & { readonly act: Act }): Outcome {
  const { lineage, charter } = newest(state, act.lineage)
  checkAct(rules, [charter], act, { verb: 'rotate', lineage: lineage.lineage, digest: lineage.digest, epoch: lineage.epoch, prev: charter.prev })
  const [asset = '', from = ''] = (act.subject ?? '').split('@')
  const named = own(charter.assets, asset) ?? refuse('asset.unknown', 'act.subject', Object.keys(charter.assets).join(', '), asset)
  if (act.party !== named.owner) refuse('charter.act', 'act.party', named.owner, act.party)
  const current = lineage.versions[asset]?.version ?? 1
  if (from !== String(current)) refuse('charter.act', 'act.subject', `${asset}@${current}, the version to end`, act.subject ?? 'nothing')
  const versions = versionsAfter(lineage.versions, charter, [asset])
  return {
    changes: setLineage({ ...lineage, versions }),
    effects: [{ do: 'log', verb: 'rotated', subject: [{ name: 'charter', digest: { sha256: lineage.digest.slice('sha256:'.length) } }], predicate: { lineage: lineage.lineage, charter: lineage.digest, epoch: lineage.epoch, asset, version: current + 1, party: act.party, act } }],
    reply: { logged: { index: next }, body: { asset, version: current + 1 } },
  }
}
