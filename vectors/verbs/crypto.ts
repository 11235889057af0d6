/** Verbs of the bytes and crypto rooms for the vectors: read a structure, read a key, judge a signature, a certificate, a chain, a list. */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { bitBytes, booleanOf, children, oidOf, readDer, smallInteger, timeOf } from '@cloister/core/bytes/der'
import { fromHex } from '@cloister/core/bytes/hex'
import { parseJson } from '@cloister/core/bytes/json'
import { Reader } from '@cloister/core/bytes/reader'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { hpkeOpen, SUITE } from '@cloister/core/crypto/hpke'
import { ecdsaFromDer, parseKey, spkiToKey } from '@cloister/core/crypto/keys'
import { portable } from '@cloister/core/crypto/portable'
import { parseCertificate, parseCrl, validateChain } from '@cloister/core/crypto/x509'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'

interface BytesInput { hex?: string; text?: string; tag?: number; repeat?: { text: string; times: number } }
interface ChainInput { chain: string[]; roots: string[]; at: number; crls?: string[]; requireCrl?: boolean }

// Vector inputs are written for these verbs, which read only the fields above; the readers themselves check the rest.
const bytesOf = (input: unknown) => fromHex((input as BytesInput).hex ?? '')
const textOf = (input: unknown) => {
  const { text = '', repeat } = input as BytesInput
  return repeat === undefined ? text : repeat.text.repeat(repeat.times) + text
}
const certificates = (list: readonly string[], name: string) => list.map((base64, i) => orRefuse(parseCertificate(fromBase64(base64), `${name}[${i}]`)))

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** A count and that many bytes, and nothing after them. */
  readCounted: input => attempt(() => {
    const reader = new Reader(bytesOf(input))
    const piece = reader.take(reader.u8())
    reader.end()
    return piece
  }),
  readBase64: input => attempt(() => fromBase64(textOf(input))),
  readHex: input => attempt(() => fromHex(textOf(input))),
  readUtf8: input => attempt(() => fromUtf8(bytesOf(input))),
  readJson: input => attempt(() => parseJson(textOf(input))),
  /** Every element of a nested structure, each primitive through the reader of its type. */
  readDer: input => attempt(() => walk(readDer(bytesOf(input)))),
  readKey: input => attempt(() => parseKey(textOf(input))),
  readSpki: input => attempt(() => spkiToKey(bytesOf(input))),
  readEcdsa: input => attempt(() => ecdsaFromDer(bytesOf(input), 32)),
  openHpke: input => {
    const { secret, enc, ciphertext } = input as Record<'secret' | 'enc' | 'ciphertext', string>
    return hpkeOpen(portable, SUITE, { secret: fromHex(secret), enc: fromHex(enc), info: new Uint8Array(0), aad: new Uint8Array(0), ciphertext: fromHex(ciphertext) })
  },
  readCertificate: input => attempt(() => orRefuse(parseCertificate(fromBase64((input as { der: string }).der)))),
  readCrl: input => attempt(() => orRefuse(parseCrl(fromBase64((input as { der: string }).der)))),
  /** `chain`: leaf first, as base64 of DER. */
  validateChain: input => attempt(() => {
    const { chain, roots, at, crls = [], requireCrl = false } = input as ChainInput
    const [leaf, ...intermediates] = certificates(chain, 'chain')
    if (leaf === undefined) throw new TypeError('a vector without a leaf')
    const lists = crls.map(base64 => orRefuse(parseCrl(fromBase64(base64))))
    return orRefuse(validateChain(portable, { leaf, intermediates, roots: certificates(roots, 'roots'), at, crls: lists, requireCrl }))
  }),
}

const READERS: Record<number, (element: ReturnType<typeof readDer>) => unknown> = { 0x01: booleanOf, 0x02: smallInteger, 0x03: bitBytes, 0x06: oidOf, 0x17: timeOf, 0x18: timeOf }

function walk(element: ReturnType<typeof readDer>): unknown {
  return (element.tag & 0x20) === 0 ? (READERS[element.tag]?.(element) ?? element.content) : children(element, element.tag).map(walk)
}
