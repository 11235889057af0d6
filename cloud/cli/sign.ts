/**
 * Signing an act: with the keys of a party that lie in `keys/` (PKCS #8, PEM, 0600), or elsewhere. For keys that live in
 * a token, a phone or another machine, `--print FILE` writes the exact bytes to sign, and `--signature FILE` takes the
 * signature back; it is verified before anything is written. Nothing secret stands in an argument.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '@cloister/core/bytes/base64'
import { isObject, parseJsonObject } from '@cloister/core/bytes/json'
import { toHex } from '@cloister/core/bytes/hex'
import { actBytes, signAct, verifyAct, webauthnAct, type Act, type ActBody } from '@cloister/core/charter/acts'
import { parsePartyKey } from '@cloister/core/charter/keys'
import { own } from '@cloister/core/charter/parse'
import type { Charter } from '@cloister/core/charter/types'
import { ecdsaFromDer } from '@cloister/core/crypto/keys'
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

/** What is to be signed, for people. */
export const shownToSign = ({ file, bytes, sha256, sha256Base64url }: ToSign): string => `${file}: ${bytes} bytes to sign\nsha256 ${sha256}\nbase64url ${sha256Base64url}`

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
  if (existsSync(file)) refuse('cli.file', file, 'a file that is not there yet', 'one that is')
  writeFileSync(file, bytes, { flag: 'wx' })
  const digest = p.hash('sha256', bytes)
  return { file, bytes: bytes.length, sha256: toHex(digest), sha256Base64url: toBase64Url(digest) }
}

function broughtAct(body: ActBody, charters: readonly Charter[], known: readonly string[], file: string, named: string | undefined): Act {
  const key = namedKey(known, named)
  const { key: { kind }, rp } = parsePartyKey(key)
  const act = rp === undefined ? { ...body, key, signature: toBase64(signatureOf(kind, file)) } : assertedAct(body, key, file)
  const verdicts = charters.filter(charter => own(charter.parties, body.party)?.keys.includes(key) === true).map(charter => verifyAct(p, charter, act, file))
  if (verdicts.some(verdict => verdict.ok)) return act
  const refusal = verdicts.find(verdict => !verdict.ok)?.refusal
  return refuse('crypto.signature', refusal?.at ?? file, refusal?.expected ?? 'a signature over the bytes that --print writes', refusal?.got ?? 'one that does not hold', 'print the bytes again: they change with charter, party and verb')
}

/** What a browser gives: `credential.toJSON()`, or its `response` alone; its values are base64url. */
function assertedAct(body: ActBody, key: string, file: string): Act {
  const told = parseJsonObject(readBytes(file, 64 * 1024))
  const response = isObject(told['response']) ? told['response'] : told
  const part = (name: string) => {
    const value = response[name]
    return typeof value === 'string' ? fromBase64Url(value, `${file} ${name}`) : refuse('crypto.signature', `${file} ${name}`, 'a text in base64url', 'nothing', 'write down JSON.stringify(credential) of navigator.credentials.get')
  }
  return webauthnAct(body, key, { authenticatorData: part('authenticatorData'), clientDataJSON: part('clientDataJSON'), signature: part('signature') })
}

function namedKey(known: readonly string[], named: string | undefined): string {
  const found = named === undefined ? (known.length === 1 ? known[0] : undefined) : known.find(key => key === named || keyId(p, key) === named)
  return found ?? refuse('cli.key', '--key', known.map(key => `${keyId(p, key)} (${short(key)})`).join(' or '), named ?? 'nothing', `--key ${keyId(p, known[0] ?? '')}`)
}
const short = (key: string) => (key.length > 40 ? `${key.slice(0, 32)}…` : key)

/** A signature as tools write it: raw bytes, base64 text, and of P-256 also DER. */
function signatureOf(kind: string, file: string): Uint8Array {
  const bytes = readBytes(file, 16 * 1024)
  const text = new TextDecoder('latin1').decode(bytes).replace(/\s/g, '')
  const raw = /^[A-Za-z0-9+/]{40,}={0,2}$/.test(text) ? fromBase64(text, file) : bytes
  if (kind !== 'p256' || raw.length === 64) return raw
  const der = attempt(() => ecdsaFromDer(raw, 32, file))
  return der.ok ? der.value : refuse('crypto.signature', file, 'a P-256 signature: 64 raw bytes or DER', `${raw.length} bytes of something else`)
}
