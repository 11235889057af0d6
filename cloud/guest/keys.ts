/**
 * What a guest makes of the answers of one broker or several: for each asset one key, whole from one broker, or put
 * together from the shares of as many as its owner said (core/seal/shares.ts).
 *
 * A share counts only when the owner's own acts, signed with keys of the charter at hand, name this split and this place
 * in it, and when it fits the split's commitments. So a false broker can neither invent a split that it opens alone nor
 * spoil one: it is named, and the others go on. Trusts the charter (measured) and the port.
 */
import { parseJson } from '@cloister/core/bytes/json'
import { parseAct, signers } from '@cloister/core/charter/acts'
import type { Charter, Hash, Name } from '@cloister/core/charter/types'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { attempt, orRefuse, Refused, refuse, refusalOf, type Refusal } from '@cloister/core/refusal'
import type { KeyShare, ReleasedKey } from '@cloister/core/seal/release'
import { checkPart, joinKey, putSubject, splitDigest } from '@cloister/core/seal/shares'

/** What one broker released; `broker` is its place in the launch. */
export interface Answered { readonly broker: number; readonly keys: readonly ReleasedKey[] }
/** Why a broker's word about an asset (or about all of them) did not count. */
export interface SetAside { readonly broker: number; readonly asset?: Name; readonly refusal: Refusal }
/** A key that opens, and where it came from. */
export interface JoinedKey extends Omit<ReleasedKey, 'share'> {
  readonly brokers: readonly number[]
  readonly split?: { readonly need: number; readonly of: number; readonly split: Hash }
}
export interface Joined { readonly keys: readonly JoinedKey[]; readonly setAside: readonly SetAside[] }

/**
 * One key for each asset. Leaves with `share.too-few` when a split key lacks shares (naming the brokers whose word did not
 * count), or with the first broker's refusal when nobody gave a key at all.
 */
export function joinAnswers(p: Primitives, room: { readonly lineage: Hash; readonly charter: Charter; readonly assets: readonly Name[] }, answers: readonly Answered[], before: readonly SetAside[] = []): Joined {
  const setAside = [...before]
  const keys = room.assets.map(asset => {
    const given = answers.flatMap(({ broker, keys: released }) => released.filter(key => key.asset === asset).map(key => ({ broker, key })))
    const counted = given.filter(({ broker, key }) => {
      const signed = attempt(() => { if (key.share !== undefined) checkShareOf(p, room, key, key.share) })
      if (!signed.ok) setAside.push({ broker, asset, refusal: signed.refusal })
      return signed.ok
    })
    return joinAsset(p, room.lineage, asset, counted, setAside)
  })
  return { keys, setAside }
}

interface Given { readonly broker: number; readonly key: ReleasedKey }

/** The newest split that enough brokers agree on; a whole key only where nobody holds a share of one that the owner signed. */
function joinAsset(p: Primitives, lineage: Hash, asset: Name, given: readonly Given[], setAside: SetAside[]): JoinedKey {
  const shares = given.flatMap(({ broker, key }) => (key.share === undefined ? [] : [{ broker, key, part: key.share, id: `${key.version} ${key.digest} ${splitDigest(p, key.share.split)}` }]))
  if (shares.length === 0) return wholeKey(asset, given, setAside)
  for (const { id, key: { version, digest }, part: { split } } of [...shares].sort((a, b) => b.key.version - a.key.version)) {
    const group = shares.filter(one => one.id === id)
    const joined = joinKey(p, { lineage, asset, version, digest }, split, group.map(({ key, part }) => ({ index: part.index, share: key.identity })))
    if (!joined.ok) continue
    const faulty = new Map(joined.value.faulty.map(({ position, refusal }) => [group[position]?.broker, refusal]))
    const brokers = group.flatMap(one => (faulty.has(one.broker) ? [] : [one.broker]))
    for (const { broker } of given) if (!brokers.includes(broker)) setAside.push({ broker, asset, refusal: faulty.get(broker) ?? refusalOf('share.false', `assets.${asset}`, `a share of the split of version ${version}`, 'another key') })
    return { asset, version, digest, identity: joined.value.identity, brokers, split: { need: split.need, of: split.of, split: splitDigest(p, split) } }
  }
  const others = setAside.filter(one => one.asset === asset || one.asset === undefined).map(one => `broker ${one.broker}: ${one.refusal.code} at ${one.refusal.at}`)
  return refuse('share.too-few', `assets.${asset}`, `${Math.min(...shares.map(({ part }) => part.split.need))} brokers that release their share`, [String(shares.length), ...others].join('; '))
}

function wholeKey(asset: Name, [given]: readonly Given[], setAside: readonly SetAside[]): JoinedKey {
  if (given === undefined) throw new Refused(setAside.find(one => one.asset === asset || one.asset === undefined)?.refusal ?? refusalOf('asset.key-missing', asset, 'a key in a release', 'none'))
  const { version, digest, identity } = given.key
  return { asset, version, digest, identity, brokers: [given.broker] }
}

/** Said by the owner, with keys it has now: this asset, version and file, this split, this place in it; and the share is right. */
function checkShareOf(p: Primitives, { lineage, charter }: { readonly lineage: Hash; readonly charter: Charter }, key: ReleasedKey, share: KeyShare): void {
  const owner = charter.assets[key.asset]?.owner
  const list = parseJson(share.acts)
  const acts = Array.isArray(list) ? list.map((act, i) => parseAct(act, `share.acts[${i}]`)) : refuse('charter.act', 'share.acts', 'a list of acts', 'another value')
  const subject = putSubject(p, key, share.sealed, share)
  const put = signers(p, charter, acts, act => act.verb === 'put' && act.lineage === lineage && act.subject === subject)
  if (!put.some(party => party === owner)) refuse('charter.act', 'share.acts', `the word of ${owner}, by keys it has now, for share ${share.index} of ${key.asset}`, 'none that holds', `${owner} puts ${key.asset} again`)
  orRefuse(checkPart(share, key.identity))
}
