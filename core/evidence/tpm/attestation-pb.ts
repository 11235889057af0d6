/**
 * The `Attestation` message of go-tpm-tools (proto/attest.proto, proto/tpm.proto): protocol buffers as far as that
 * message needs them, strictly: minimal varints, known wire types, no field twice where it may stand once, everything
 * read to its end. Nothing in it is believed: its parts go through `verifyTpm` like any other.
 */
import { Reader } from '../../bytes/reader.ts'
import { refuse } from '../../refusal.ts'
import type { Bank } from '../eventlog/log.ts'
import { BANK_OF, DIGEST_BYTES } from '../eventlog/log.ts'
import type { PcrValues } from './quote.ts'
import { PCR_COUNT } from './structures.ts'

export interface AttestationQuote { readonly message: Uint8Array; readonly signature: Uint8Array; readonly bank: Bank; readonly pcrs: PcrValues }
export interface TpmAttestation {
  /** TPMT_PUBLIC. */
  readonly ak: Uint8Array
  readonly quotes: readonly AttestationQuote[]
  readonly eventLog?: Uint8Array
  readonly certificate?: Uint8Array
  readonly intermediates: readonly Uint8Array[]
  /** Which of the fields that this reader passes over were there: instance_info 4, canonical_event_log 5, TEE evidence 8 and 9. */
  readonly otherFields: readonly number[]
}

const LIMITS = { bytes: 4 << 20, quotes: 8, intermediates: 8, fields: 64, otherMax: 16 }
const FIELD = { ak: 1, quotes: 2, eventLog: 3, certificate: 6, intermediates: 7 }

/** Leaves with `evidence.parse`, `evidence.missing` or `bytes.*`. */
export function readAttestationPb(bytes: Uint8Array, at = 'attestation'): TpmAttestation {
  if (bytes.length > LIMITS.bytes) refuse('bytes.too-large', at, `at most ${LIMITS.bytes} bytes`, `${bytes.length} bytes`)
  const fields = readFields(bytes, at)
  const once = (number: number) => single(fields, number, at)
  const [ak, eventLog, certificate] = [once(FIELD.ak), once(FIELD.eventLog), once(FIELD.certificate)]
  const [quotes, intermediates] = [many(fields, FIELD.quotes, LIMITS.quotes, at), many(fields, FIELD.intermediates, LIMITS.intermediates, at)]
  const otherFields = fields.map(one => one.number).filter(number => !Object.values(FIELD).includes(number))
  if (otherFields.some(number => number > LIMITS.otherMax)) refuse('evidence.parse', at, `fields up to ${LIMITS.otherMax}`, otherFields.join(', '))
  return {
    ak: ak ?? refuse('evidence.missing', `${at}.ak_pub`, 'the public area of the attestation key', 'none'), quotes: quotes.map((one, i) => readQuote(one, `${at}.quotes[${i}]`)),
    intermediates, otherFields, ...(eventLog === undefined ? {} : { eventLog }), ...(certificate === undefined ? {} : { certificate }),
  }
}

/** Quote { bytes quote = 1; bytes raw_sig = 2; PCRs pcrs = 3; } */
function readQuote(bytes: Uint8Array, at: string): AttestationQuote {
  const fields = readFields(bytes, at)
  onlyFields(fields, [1, 2, 3], at)
  const [message, signature, pcrs] = [1, 2, 3].map(number => single(fields, number, at) ?? refuse('evidence.missing', `${at}.${number}`, 'quote, signature and registers', `no field ${number}`))
  const none = new Uint8Array()
  return { message: message ?? none, signature: signature ?? none, ...readRegisters(pcrs ?? none, `${at}.pcrs`) }
}

/** PCRs { HashAlgo hash = 1; map<uint32, bytes> pcrs = 2; }: map entries come in any order, each index once. */
function readRegisters(bytes: Uint8Array, at: string): { bank: Bank; pcrs: PcrValues } {
  const fields = readFields(bytes, at)
  onlyFields(fields, [1, 2], at)
  const id = fields.filter(one => one.number === 1)
  const bank = id.length === 1 && typeof id[0]?.value === 'number' ? BANK_OF[id[0].value] : undefined
  if (bank === undefined) return refuse('evidence.parse', `${at}.hash`, 'one bank', id.map(one => String(one.value)).join(', '))
  const values = new Map<number, Uint8Array>()
  for (const entry of many(fields, 2, PCR_COUNT, at)) {
    const inner = readFields(entry, at)
    onlyFields(inner, [1, 2], at)
    const keys = inner.filter(one => one.number === 1)
    const index = keys[0]?.value ?? 0 // proto3 leaves a zero out
    const value = single(inner, 2, at)
    if (keys.length > 1 || typeof index !== 'number' || index >= PCR_COUNT || values.has(index) || value?.length !== DIGEST_BYTES[bank]) return refuse('evidence.parse', at, 'each register once, with a value of its bank', `register ${typeof index === 'number' ? index : 'without number'}`)
    values.set(index, value)
  }
  return { bank, pcrs: new Map([[bank, values]]) }
}

interface Field { readonly number: number; readonly value: number | Uint8Array }

function readFields(bytes: Uint8Array, at: string): Field[] {
  const reader = new Reader(bytes, `${at}@`)
  const fields: Field[] = []
  while (reader.left > 0) {
    if (fields.length >= LIMITS.fields) refuse('bytes.too-large', reader.where(), `at most ${LIMITS.fields} fields`, 'more')
    const key = varint(reader)
    const [number, wire] = [Math.floor(key / 8), key % 8]
    if (number === 0 || (wire !== 0 && wire !== 2)) refuse('evidence.parse', reader.where(), 'numbers and byte strings', `field ${number} of wire type ${wire}`)
    fields.push({ number, value: wire === 0 ? varint(reader) : reader.take(varint(reader)) })
  }
  return fields
}

/** Up to 35 bits, in the fewest bytes. */
function varint(reader: Reader): number {
  const where = reader.where()
  let value = 0
  for (let i = 0; i < 5; i++) {
    const byte = reader.u8()
    value += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return byte === 0 && i > 0 ? refuse('evidence.parse', where, 'the shortest number', 'padding') : value
  }
  return refuse('evidence.parse', where, 'a number of at most 5 bytes', 'a longer one')
}

function single(fields: readonly Field[], number: number, at: string): Uint8Array | undefined {
  const [first, twice] = many(fields, number, 2, at)
  if (twice !== undefined) refuse('evidence.parse', `${at}.${number}`, 'the field once', 'twice')
  return first
}

function many(fields: readonly Field[], number: number, max: number, at: string): Uint8Array[] {
  const found = fields.filter(one => one.number === number)
  if (found.length > max) refuse('bytes.too-large', `${at}.${number}`, `at most ${max}`, String(found.length))
  return found.map(one => (typeof one.value === 'number' ? refuse('evidence.parse', `${at}.${number}`, 'a byte string', 'a number') : one.value))
}

function onlyFields(fields: readonly Field[], numbers: readonly number[], at: string): void {
  for (const one of fields) if (!numbers.includes(one.number)) refuse('evidence.parse', at, `fields ${numbers.join(', ')}`, String(one.number))
}
