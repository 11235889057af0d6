/**
 * Recovery (charter.md section 7): how a lineage outlives its brokers without any human ever holding its root. A broker
 * draws the root inside and deals it k of n to the parties of `recover.of`, each share sealed to that party's recipients.
 * What it published is one document: commitments and sealed shares, good for everybody to see and logged by its digest.
 * Keys of assets rest under a key derived from the root, so a backup of ciphertexts and k parties are enough.
 *
 * To recover, a party convinces itself that another broker is one (evidence, measurement) and serves this lineage (chain of
 * charters), and then gives its share sealed anew to that broker's key, for one recovery. Only there the root comes
 * together again. A share alone opens nothing, and a share that is false is named by its party.
 *
 * A charter whose `recover` changes needs a new root, dealt to the new parties: those who left keep shares of the old one.
 * Trusts the port and the caller's randomness. As strong against quantum computers as the recipients that parties name.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, framed, u64be } from '../bytes/bytes.ts'
import { isObject, shown, type Json } from '../bytes/json.ts'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import { charterDigest, hashOf } from '../charter/canonical.ts'
import type { Charter, Hash, Name } from '../charter/types.ts'
import { hkdf } from '../crypto/hkdf.ts'
import { hpkeOpen, hpkeSeal, SUITE } from '../crypto/hpke.ts'
import type { Primitives, Random } from '../crypto/primitives.ts'
import { checkShare, checkThreshold, combine, deal, encodeShare, parseShare, SHARES_MAX, type Share } from '../crypto/shamir.ts'
import { attempt, orRefuse, refuse, type Refusal, type Result } from '../refusal.ts'
import { decrypt, encrypt } from './age/index.ts'

/** One dealing of a lineage's root. Public. */
export interface RecoveryDocument {
  readonly recovery: 1
  readonly lineage: Hash
  /** The charter under which it was dealt: its `recover` names the parties and how many they must be. */
  readonly charter: Hash
  readonly epoch: number
  readonly need: number
  /** The parties, sorted: the share of place `i + 1` is of `of[i]`, and `shares[i]` is its age file in base64. */
  readonly of: readonly Name[]
  readonly commitments: readonly string[]
  readonly shares: readonly string[]
}
/** The broker that a share is given to, and its nonce for this one recovery. */
export interface RecoveringBroker { readonly seal: Uint8Array; readonly key: string; readonly nonce: Uint8Array }
/** A share on its way from a party to a recovering broker. */
export interface GivenShare { readonly party: Name; readonly enc: string; readonly ciphertext: string } // base64

export const RECOVERY_LIMITS = { shareBytes: 65_536 } as const

/**
 * Deal a root (`drawSecret`) to the parties that a charter names for its recovery. Refuses `charter.missing-field` when it
 * names none, `age.recipient` when one of them has no recipient to seal to.
 *
 * @example
 * const document = dealRecovery(p, lineage, charter, drawSecret(random), random)
 */
export function dealRecovery(p: Primitives, lineage: Hash, charter: Charter, root: Uint8Array, random: Random): Result<RecoveryDocument> {
  return attempt(() => {
    const { need, of } = quorumOf(charter)
    const { commitments, shares } = deal(root, { need, of: of.length }, random)
    return {
      recovery: 1, lineage, charter: charterDigest(p, charter), epoch: charter.epoch, need, of, commitments: commitments.map(toBase64),
      shares: shares.map((share, i) => toBase64(orRefuse(encrypt(p, recipientsOf(charter, of[i] ?? ''), encodeShare(share), random)))),
    }
  })
}

export const recoveryDigest = (p: Primitives, document: RecoveryDocument): Hash => hashOf(p, utf8(jcs(document)))

/**
 * Was this dealt in this lineage, under one of its charters (first to newest), to the parties that its newest charter
 * names? Refuses `charter.lineage` or `charter.quorum`.
 */
export function checkRecovery(p: Primitives, document: RecoveryDocument, charters: readonly Charter[]): Result<void> {
  return attempt(() => {
    const newest = charters.at(-1) ?? refuse('charter.lineage', 'charters', 'the charters of a lineage', 'none')
    const lineage = charterDigest(p, charters[0] ?? newest)
    if (document.lineage !== lineage) refuse('charter.lineage', 'recovery.lineage', lineage, document.lineage)
    const dealt = charters[document.epoch - 1]
    if (dealt === undefined || document.charter !== charterDigest(p, dealt)) refuse('charter.lineage', 'recovery.charter', 'a charter of this lineage', document.charter)
    const { need, of } = quorumOf(newest)
    if (document.need !== need || jcs(document.of) !== jcs(of)) refuse('charter.quorum', 'recovery', `${need} of ${of.join(', ')}`, `${document.need} of ${document.of.join(', ')}`)
  })
}

/** A party's share, checked against the commitments: right after a dealing, so that a false one is known while it can be mended, and in need. Refuses `age.*` or `share.*`. */
export function openShare(p: Primitives, document: RecoveryDocument, party: Name, identities: readonly string[]): Result<Share> {
  return attempt(() => {
    const index = placeOf(document, party)
    const share = parseShare(orRefuse(decrypt(p, { identities }, fromBase64(document.shares[index - 1] ?? '', 'recovery.shares'))), 'recovery.share')
    checkPlace(document, index, share)
    return share
  })
}

/** Give a share to a broker whose evidence and lineage the party has checked. Leaves with `crypto.key`. */
export function resealShare(p: Primitives, document: RecoveryDocument, party: Name, share: Share, to: RecoveringBroker, random: Random): GivenShare {
  const { enc, ciphertext } = hpkeSeal(p, SUITE, { to: to.seal, info: infoOf(p, document, party, to), aad: EMPTY, plaintext: encodeShare(share) }, random)
  return { party, enc: toBase64(enc), ciphertext: toBase64(ciphertext) }
}

/** What the party's `recover` act carries: which dealing, which sealed share, for which recovery at which broker. */
export function recoverSubject(p: Primitives, document: RecoveryDocument, given: GivenShare, to: RecoveringBroker): string {
  const sealed = hashOf(p, concat(fromBase64(given.enc, 'share.enc'), fromBase64(given.ciphertext, 'share.ciphertext')))
  return `recover ${recoveryDigest(p, document)} ${sealed} ${hashOf(p, framed('cloister/recovering/1', to.seal, utf8(to.key), to.nonce))}`
}

/** A root that came together, the parties whose shares made it, and what was wrong with those of the others. */
export interface Recovered { readonly root: Uint8Array; readonly used: readonly Name[]; readonly faulty: readonly { readonly party: Name; readonly refusal: Refusal }[] }

/**
 * The root, inside the broker that `to` names and whose X-Wing secret this is. Refuses `share.too-few`; a share that does
 * not open here, or is not of this dealing and this party, is named, and the others go on.
 */
export function recoverRoot(p: Primitives, document: RecoveryDocument, secret: Uint8Array, to: RecoveringBroker, given: readonly GivenShare[]): Result<Recovered> {
  return attempt(() => {
    const opened = given.map(one => ({ party: one.party, share: attempt(() => openGiven(p, document, secret, to, one)) }))
    const good = opened.flatMap(({ party, share }) => (share.ok ? [{ party, share: share.value }] : []))
    const { secret: root, used, faulty } = orRefuse(combine(commitmentsOf(document), good.map(one => one.share)))
    return {
      root, used: used.flatMap(index => document.of[index - 1] ?? []),
      faulty: [...opened.flatMap(({ party, share }) => (share.ok ? [] : [{ party, refusal: share.refusal }])), ...faulty.map(({ position, refusal }) => ({ party: good[position]?.party ?? '', refusal }))],
    }
  })
}

/** The key under which a lineage's asset keys rest, 32 bytes: whoever has the root has it, and nobody else. */
export function restKeyOf(p: Primitives, root: Uint8Array, lineage: Hash): Uint8Array {
  return hkdf(p, 'sha256', root, EMPTY, framed('cloister/recovery-rest/1', utf8(lineage)), 32)
}

/** A recovery document from outside, checked for form. Leaves with `share.form` or `share.threshold`. */
export function parseRecovery(value: Json | undefined, at = 'recovery'): RecoveryDocument {
  if (!isObject(value)) return refuse('share.form', at, 'an object', shown(value))
  for (const key of Object.keys(value)) if (!FIELDS.includes(key)) refuse('share.form', `${at}.${key.slice(0, 80)}`, FIELDS.join(', '), 'an unknown field')
  const { recovery, lineage, charter, epoch, need, of, commitments, shares } = value
  if (recovery !== 1) refuse('share.form', `${at}.recovery`, '1', shown(recovery))
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 1) return refuse('share.form', `${at}.epoch`, 'an epoch', shown(epoch))
  const names = texts(of, `${at}.of`, text => NAME.test(text))
  if (jcs(names) !== jcs([...new Set(names)].sort())) refuse('share.form', `${at}.of`, 'names in order, each once', names.join(', '))
  const threshold = checkThreshold({ need, of: names.length }, at)
  return {
    recovery: 1, lineage: hash(lineage, `${at}.lineage`), charter: hash(charter, `${at}.charter`), epoch, need: threshold.need, of: names,
    commitments: texts(commitments, `${at}.commitments`, text => fromBase64(text, `${at}.commitments`).length === 32, threshold.need),
    shares: texts(shares, `${at}.shares`, text => fromBase64(text, `${at}.shares`).length <= RECOVERY_LIMITS.shareBytes, names.length),
  }
}

const EMPTY = new Uint8Array(0)
const FIELDS = ['recovery', 'lineage', 'charter', 'epoch', 'need', 'of', 'commitments', 'shares']
const NAME = /^[a-z][a-z0-9-]{0,31}$/

function quorumOf({ recover }: Charter): { need: number; of: Name[] } {
  return recover === undefined ? refuse('charter.missing-field', 'recover', 'the parties that can recover, and how many they must be', 'nothing', 'add recover: { of: […], need: … }') : { need: recover.need, of: [...recover.of].sort() }
}

function recipientsOf(charter: Charter, party: Name): readonly string[] {
  const seal = Object.hasOwn(charter.parties, party) ? charter.parties[party]?.seal : undefined
  return seal === undefined || seal.length === 0 ? refuse('age.recipient', `parties.${party}.seal`, 'an age recipient to seal a share to', 'none', `add seal: [age1…] to parties.${party}`) : seal
}

/** The place of a party's share, from 1. */
function placeOf(document: RecoveryDocument, party: Name): number {
  const place = document.of.indexOf(party) + 1
  return place > 0 ? place : refuse('share.index', 'recovery.of', document.of.join(', '), party)
}

function checkPlace(document: RecoveryDocument, index: number, share: Share): void {
  if (share.index !== index) refuse('share.index', 'recovery.share', String(index), String(share.index))
  orRefuse(checkShare(commitmentsOf(document), share))
}

function openGiven(p: Primitives, document: RecoveryDocument, secret: Uint8Array, to: RecoveringBroker, { party, enc, ciphertext }: GivenShare): Share {
  const index = placeOf(document, party)
  const opened = hpkeOpen(p, SUITE, { secret, enc: fromBase64(enc, 'share.enc'), info: infoOf(p, document, party, to), aad: EMPTY, ciphertext: fromBase64(ciphertext, 'share.ciphertext') })
  const share = parseShare(orRefuse(opened))
  checkPlace(document, index, share)
  return share
}

/** One dealing, one party, one recovery at one broker. */
function infoOf(p: Primitives, document: RecoveryDocument, party: Name, to: RecoveringBroker): Uint8Array {
  return framed('cloister/recover/1', utf8(document.lineage), utf8(recoveryDigest(p, document)), u64be(placeOf(document, party)), utf8(party), utf8(to.key), to.nonce)
}

const commitmentsOf = (document: RecoveryDocument) => document.commitments.map((text, j) => fromBase64(text, `recovery.commitments[${j}]`))

function texts(value: Json | undefined, at: string, good: (text: string) => boolean, count?: number): string[] {
  if (!Array.isArray(value) || value.length > SHARES_MAX || (count !== undefined && value.length !== count)) return refuse('share.form', at, count === undefined ? `a list of at most ${SHARES_MAX}` : `a list of ${count}`, 'another value')
  return value.map((one, i) => (typeof one === 'string' && good(one) ? one : refuse('share.form', `${at}[${i}]`, 'a text of its form', shown(one))))
}

function hash(value: Json | undefined, at: string): Hash {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value) ? value as Hash : refuse('share.form', at, 'sha256: and 64 hexadecimal digits', shown(value)) // the pattern is the type
}
