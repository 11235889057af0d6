/**
 * Changes that a party makes for itself: `exit` takes the grants of what it owns out of the charter (a narrowing: alone,
 * at once), `rotate` exchanges one of its keys. Both write the successor as a change request and sign it with the keys at
 * hand; keys that live elsewhere sign it as they sign every change request.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parsePartyKey } from '@cloister/core/charter/keys'
import { own } from '@cloister/core/charter/parse'
import { formatKey } from '@cloister/core/crypto/keys'
import { attempt, orRefuse, Refused, refuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { aboutChange, changeOf, keyId, type ChangeRequest, type ChangeVerb } from './change.ts'
import { lineageOf, replaceFile, writeActs, writeChange } from './change-folder.ts'
import { openFolder, readText, type CharterFolder } from './folder.ts'
import { act, atOnce, hashText, type LifeOptions } from './life.ts'
import { partyOf, signActs } from './sign.ts'
import { exchangeKey, follow, withoutGrantsOf, type Edited } from './successor.ts'
import type { Screen } from './screen.ts'

/** A party leaves: without the grants of what it owns. With `cloud`, in force with the answer. */
export async function exit(screen: Screen, path: string, options: LifeOptions): Promise<void> {
  const from = openFolder(path)
  const party = knownParty(from, options)
  const change = succeed(screen, from, withoutGrantsOf(p, readText(from.file), from.charter, party), options)
  const still = change.next.grants.filter(grant => grant.out?.some(out => out.to.includes(party)) === true).map(grant => `${grant.asset} → ${grant.to}`)
  if (still.length > 0) screen.warn(`grants of others still let results go to ${party}; theirs to change: ${still.join(', ')}`)
  if (change.next.parties[party] !== undefined) screen.warn(`${party} stays a party: taking it out of parties touches every owner, so it is a change of its own`)
  await written(screen, from, change, party, options.cloud === undefined && options.brokers === undefined ? ['propose', 'approve'] : ['propose', 'approve', 'enact'], options)
}

export interface RotateOptions extends LifeOptions { /** A public key as charters spell it; without it a fresh Ed25519 key is made here. */ readonly newKey?: string; /** An asset whose key, not the party's, gets its next version. */ readonly asset?: string }

/** A party exchanges one of its keys (`key` names the old one where it has several); the old keys and the new ones approve. */
export async function rotate(screen: Screen, path: string, options: RotateOptions): Promise<void> {
  if (options.asset !== undefined) return atOnce(screen, 'rotate', path, { ...options, subject: `asset ${options.asset}` })
  const from = openFolder(path)
  const party = knownParty(from, options)
  const old = oldKey(from, party, options.key)
  const fresh = options.newKey ?? freshKey(from, party)
  parsePartyKey(fresh, '--new-key')
  const change = succeed(screen, from, exchangeKey(p, readText(from.file), from.charter, party, old, fresh), options)
  await written(screen, from, change, party, ['propose', 'approve'], options)
}

function knownParty(from: CharterFolder, options: LifeOptions): string {
  const party = partyOf(options)
  return own(from.charter.parties, party) === undefined ? refuse('cli.key', '--party', Object.keys(from.charter.parties).join(', '), party) : party
}

function oldKey({ charter }: CharterFolder, party: string, named: string | undefined): string {
  const keys = own(charter.parties, party)?.keys ?? []
  const found = named === undefined ? (keys.length === 1 ? keys[0] : undefined) : keys.find(key => key === named || keyId(p, key) === named)
  return found ?? refuse('cli.usage', '--key', `the key to exchange: ${keys.map(key => keyId(p, key)).join(' or ')}`, named ?? 'nothing')
}

/** A new signing key beside the old one; which of the two a charter knows decides which of them signs. */
function freshKey({ folder }: CharterFolder, party: string): string {
  const signer = generateSigner('ed25519')
  const key = formatKey(signer.publicKey)
  mkdirSync(join(folder, 'keys'), { recursive: true, mode: 0o700 })
  writeFileSync(join(folder, 'keys', `${party}.${keyId(p, key)}.key`), signer.exportPem(), { mode: 0o600, flag: 'wx' })
  return key
}

/** The change request that an edit of the charter makes, the charter at hand being the one in force. */
function succeed(screen: Screen, from: CharterFolder, edited: Edited, options: LifeOptions): ChangeRequest {
  const next = follow(p, edited.text, edited.charter, from.charter)
  if (edited.rewritten || next.rewritten) screen.warn(`${from.file} is written anew: comments are lost`)
  return orRefuse(changeOf(p, next.text, { charter: from.charter, lineage: lineageOf(from, hashText(options.lineage, '--lineage')) }))
}

async function written(screen: Screen, from: CharterFolder, change: ChangeRequest, party: string, verbs: readonly ChangeVerb[], options: LifeOptions): Promise<void> {
  const charters = [change.prev, change.next].filter(charter => charter !== undefined)
  const signed = verbs.map(verb => attempt(() => signActs(from.folder, { ...aboutChange(change), verb, party }, charters, {})))
  const refused = signed.find(one => !one.ok)?.refusal
  if (refused !== undefined && existsSync(join(from.folder, 'keys', `${party}.key`))) throw new Refused(refused)
  replaceFile(from.file, change.text)
  const at = writeChange(from.folder, change)
  for (const one of signed) if (one.ok && 'acts' in one.value) writeActs(at, one.value.acts)
  if (refused !== undefined) screen.warn(`no key of ${party} is here: sign ${at} elsewhere (--print FILE, then --signature FILE)`)
  const { cloud, brokers } = options
  await act(screen, verbs.includes('enact') ? 'enact' : 'propose', at, { ...(cloud === undefined ? {} : { cloud }), ...(brokers === undefined ? {} : { brokers }) })
}
