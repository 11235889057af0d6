/**
 * One quote under a key that is already believed: signature, and the registers whose digest it signs. Only registers of
 * the signed selection exist afterwards (attacks.md row 48), and only banks of SHA-256 or better count.
 * Trusts the port and the key; who the key belongs to is judged in `verify.ts` and by the rooms that embed a vTPM.
 */
import { concat, equal } from '../../bytes/bytes.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { isObject, kindOf, type Json } from '../../bytes/json.ts'
import type { Primitives, PublicKey } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { DIGEST_BYTES, type Bank } from '../eventlog/log.ts'
import type { SignedRegisters } from '../eventlog/replay.ts'
import { PCR_COUNT, readAttest, signatureHolds, type NvAttest, type QuoteAttest, type TpmSignature } from './structures.ts'

/** Register values as they are sent beside a quote: bank → index → value. */
export type PcrValues = ReadonlyMap<Bank, ReadonlyMap<number, Uint8Array>>

export interface ProvenQuote {
  readonly attest: QuoteAttest
  /** The registers of the bank that counts: the first selected of SHA-256, SHA-384, SHA-512. */
  readonly registers: SignedRegisters
  /** All selected registers, hex, by bank and index; those of SHA-1 are for comparison only. */
  readonly banks: Readonly<Record<string, Readonly<Record<string, string>>>>
}

const PROVING: readonly Bank[] = ['sha256', 'sha384', 'sha512']

/**
 * The registers that a quote proves. Leaves with `evidence.signature`, `evidence.binding` (values do not give the signed
 * digest), `evidence.missing` (a selected value is not there), `crypto.algorithm` (SHA-1 only), `evidence.parse`, `bytes.*`.
 */
export function verifyQuote(p: Primitives, key: PublicKey, message: Uint8Array, signature: TpmSignature, pcrs: PcrValues): ProvenQuote {
  const attest = readAttest(message)
  if (attest.type !== 'quote') return refuse('evidence.parse', 'message.type', 'a quote (8018)', attest.type)
  checkSignature(p, key, message, signature)
  const digest = p.hash(signature.hash, concat(...selectedValues(attest, pcrs)))
  if (!equal(digest, attest.pcrDigest)) refuse('evidence.binding', 'pcrs', `values with the digest ${toHex(attest.pcrDigest)}`, toHex(digest), 'send the register values as they were when the quote was made')
  const bank = PROVING.find(one => attest.selections.some(selection => selection.bank === one && selection.indexes.length > 0))
  if (bank === undefined) return refuse('crypto.algorithm', 'message.pcrSelect', 'registers of a SHA-256 bank or better', attest.selections.map(one => one.bank).join(', '), 'quote the SHA-256 bank')
  const banks = Object.fromEntries([...pcrs].map(([name, values]) => [name, Object.fromEntries([...values].map(([index, value]) => [index, toHex(value)]))]))
  return { attest, registers: { kind: 'pcr', bank, values: pcrs.get(bank) ?? new Map() }, banks }
}

export interface NvCertificate { readonly indexName: string; readonly offset: number; readonly contents: Uint8Array; readonly extraData: Uint8Array }

/** What TPM2_NV_Certify signed: contents of an NV index under a believed key. Leaves with `evidence.signature`, `evidence.parse` or `bytes.*`. */
export function verifyNvCertify(p: Primitives, key: PublicKey, message: Uint8Array, signature: TpmSignature): NvCertificate {
  const attest: QuoteAttest | NvAttest = readAttest(message)
  if (attest.type !== 'nv') return refuse('evidence.parse', 'message.type', 'NV contents (8014)', attest.type)
  checkSignature(p, key, message, signature)
  const { indexName, offset, contents, extraData } = attest
  return { indexName, offset, contents, extraData }
}

function checkSignature(p: Primitives, key: PublicKey, message: Uint8Array, signature: TpmSignature): void {
  if (!signatureHolds(p, key, message, signature)) refuse('evidence.signature', 'signature', 'a signature by the attestation key', 'one that does not hold')
}

/** Exactly the selected values, in the order of the selection. */
function selectedValues(attest: QuoteAttest, pcrs: PcrValues): Uint8Array[] {
  const selected = new Set(attest.selections.flatMap(one => one.indexes.map(index => `${one.bank}.${index}`)))
  for (const [bank, values] of pcrs) for (const index of values.keys()) if (!selected.has(`${bank}.${index}`)) refuse('evidence.parse', `pcrs.${bank}.${index}`, 'only registers of the signed selection', 'another register')
  return attest.selections.flatMap(({ bank, indexes }) => indexes.map(index => pcrs.get(bank)?.get(index) ?? refuse('evidence.missing', `pcrs.${bank}.${index}`, 'the value of a quoted register', 'none')))
}

/** `{ sha256: { "0": hex, … }, … }`. Leaves with `evidence.parse` or `bytes.encoding`. */
export function readPcrs(json: Json | undefined, at = 'evidence.pcrs'): PcrValues {
  if (!isObject(json)) return refuse(json === undefined ? 'evidence.missing' : 'evidence.parse', at, 'register values by bank and index', kindOf(json))
  const out = new Map<Bank, ReadonlyMap<number, Uint8Array>>()
  for (const [bank, values] of Object.entries(json)) {
    if (!isBank(bank) || !isObject(values)) return refuse('evidence.parse', `${at}.${bank}`, 'sha1, sha256, sha384 or sha512 with values', kindOf(values))
    out.set(bank, new Map(Object.entries(values).map(([index, value]) => [pcrIndex(index, `${at}.${bank}.${index}`), pcrValue(value, bank, `${at}.${bank}.${index}`)])))
  }
  return out
}

const isBank = (name: string): name is Bank => Object.hasOwn(DIGEST_BYTES, name)

function pcrIndex(text: string, at: string): number {
  return /^(?:0|[1-9][0-9]?)$/.test(text) && Number(text) < PCR_COUNT ? Number(text) : refuse('evidence.parse', at, `a register from 0 to ${PCR_COUNT - 1}`, text)
}

function pcrValue(value: Json, bank: Bank, at: string): Uint8Array {
  if (typeof value !== 'string' || value.length !== 2 * DIGEST_BYTES[bank]) return refuse('evidence.parse', at, `${DIGEST_BYTES[bank]} bytes in hex`, kindOf(value))
  return fromHex(value, at)
}
