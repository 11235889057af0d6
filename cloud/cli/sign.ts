/**
 * Signing an act: with the keys of a party that lie in `keys/` (PKCS #8, PEM, 0600), or elsewhere. For keys that live in
 * a token, a phone or another machine, `--print FILE` writes the exact bytes to sign, and `--signature FILE` takes the
 * signature back; it is verified before anything is written. Nothing secret stands in an argument.
 */
import { writeFileSync } from 'node:fs'
import { toBase64, fromBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import { actBytes, signAct, verifyAct, type Act, type ActBody } from '@cloister/core/charter/acts'
import { own } from '@cloister/core/charter/parse'
import type { Charter } from '@cloister/core/charter/types'
import { ecdsaFromDer, parseKey } from '@cloister/core/crypto/keys'
import { attempt, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { keyId } from './change.ts'
import { partySigners, readBytes } from './folder.ts'

export interface SignOptions {
  readonly party?: string
  /** Write the bytes to sign to this file and sign nothing. */
  readonly print?: string
  /** A file with a signature made elsewhere. */
  readonly signature?: string
  /** The public key that made it, as the charter writes it, or its id. */
  readonly key?: string
}
export interface ToSign { readonly file: string; readonly bytes: number; readonly sha256: string; readonly sha256Base64url: string }

/** The party that acts. */
export const partyOf = ({ party }: SignOptions): string => party ?? refuse('cli.usage', '--party', 'the party that acts', 'nothing')

/**
 * The acts that a party's keys give to one body: all keys at hand, or the one whose signature was brought. With `print`,
 * what is to be signed elsewhere. Leaves with `cli.key`, `crypto.signature` or `charter.act`.
 */
export function signActs(home: string, body: ActBody, charters: readonly Charter[], options: SignOptions): { acts: Act[] } | { toSign: ToSign } {
  const known = keysOf(charters, body.party)
  if (options.print !== undefined) return { toSign: writeToSign(options.print, actBytes(body)) }
  if (options.signature !== undefined) return { acts: [broughtAct(body, charters, known, options.signature, options.key)] }
  return { acts: partySigners(home, body.party, known).map(signer => signAct(signer, body)) }
}

function keysOf(charters: readonly Charter[], party: string): string[] {
  const keys = [...new Set(charters.flatMap(charter => own(charter.parties, party)?.keys ?? []))]
  return keys.length > 0 ? keys : refuse('cli.key', `parties.${party}`, [...new Set(charters.flatMap(charter => Object.keys(charter.parties)))].join(', '), party)
}

function writeToSign(file: string, bytes: Uint8Array): ToSign {
  writeFileSync(file, bytes, { flag: 'wx' })
  const digest = p.hash('sha256', bytes)
  return { file, bytes: bytes.length, sha256: toHex(digest), sha256Base64url: toBase64(digest).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '') }
}

function broughtAct(body: ActBody, charters: readonly Charter[], known: readonly string[], file: string, named: string | undefined): Act {
  const key = namedKey(known, named)
  const act: Act = { ...body, key, signature: toBase64(signatureOf(key, file)) }
  const verdicts = charters.filter(charter => own(charter.parties, body.party)?.keys.includes(key) === true).map(charter => verifyAct(p, charter, act))
  if (!verdicts.some(verdict => verdict.ok)) refuse('crypto.signature', file, `a signature by ${short(key)} over the bytes that --print writes`, 'one that does not hold', 'print the bytes again: they change with the charter, the party and the verb')
  return act
}

function namedKey(known: readonly string[], named: string | undefined): string {
  const found = named === undefined ? (known.length === 1 ? known[0] : undefined) : known.find(key => key === named || keyId(p, key) === named)
  return found ?? refuse('cli.key', '--key', known.map(key => `${keyId(p, key)} (${short(key)})`).join(' or '), named ?? 'nothing', `--key ${keyId(p, known[0] ?? '')}`)
}
const short = (key: string) => (key.length > 40 ? `${key.slice(0, 32)}…` : key)

/** A signature as tools write it: raw bytes, base64 text, and of P-256 also DER. */
function signatureOf(key: string, file: string): Uint8Array {
  const bytes = readBytes(file, 16 * 1024)
  const text = new TextDecoder('latin1').decode(bytes).trim()
  const raw = /^[A-Za-z0-9+/]{40,}={0,2}$/.test(text) ? fromBase64(text.replace(/\s/g, ''), file) : bytes
  if (parseKey(key).kind !== 'p256' || raw.length === 64) return raw
  const der = attempt(() => ecdsaFromDer(raw, 32, file))
  return der.ok ? der.value : refuse('crypto.signature', file, 'a P-256 signature: 64 raw bytes or DER', `${raw.length} bytes of something else`)
}
