/**
 * Judges the TPM cases of a manifest. A case that brings a public area as a file of its own names its attestation key by
 * that: it is handed to the verifier as an enrolled name, never believed from the evidence. Quotes of the SHA-1 bank are
 * compared with what is expected, but count for nothing.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { concat, equal } from '@cloister/core/bytes/bytes'
import { children, contentOf, oidOf, readDer, TAG } from '@cloister/core/bytes/der'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { isObject, parseJsonObject, type Json } from '@cloister/core/bytes/json'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { readPem } from '@cloister/core/crypto/pem'
import { parseCertificate, type Certificate } from '@cloister/core/crypto/x509'
import type { Bank } from '@cloister/core/evidence/eventlog/log'
import { readAttestationPb } from '@cloister/core/evidence/tpm/attestation-pb'
import { readAttest, readPublicArea, readSignature, signatureHolds, type QuoteAttest } from '@cloister/core/evidence/tpm/structures'
import { verifyTpm, type TpmClaims, type TpmEvidence } from '@cloister/core/evidence/tpm/verify'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { differences, filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'

type Pcrs = Record<string, Record<string, string>>
interface Quote { readonly message: Uint8Array; readonly signature: Uint8Array; readonly pcrs: Pcrs }
interface Parts { readonly ak: Uint8Array; readonly aks: readonly string[]; readonly quotes: readonly Quote[]; readonly eventLog?: Uint8Array }

export function judge(one: Case, read: Read): Judgement {
  const [certificates] = filesOf(one, 'certs', read)
  if (certificates !== undefined) return certificateFields(one, certificates)
  const parts = attempt(() => partsOf(one, read))
  if (!parts.ok) return judged('reject', [], parts.refusal)
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const found = attempt(() => judgeQuotes(parts.value, now))
  if (!found.ok) return judged('reject', [], found.refusal)
  return judged('accept', differences(one.expect['fields'] ?? {}, fieldsOf(one, parts.value, found.value), 'fields'))
}

/** The quotes of a case as evidence, without those of the SHA-1 bank, and the keys that the case enrols. */
export function tpmEvidence(one: Case, read: Read): { readonly evidence: readonly TpmEvidence[]; readonly aks: readonly string[] } {
  const parts = partsOf(one, read)
  return { aks: parts.aks, evidence: parts.quotes.filter(quote => !onlySha1(quote.message)).map(quote => evidenceOf(parts, quote)) }
}

const evidenceOf = (parts: Parts, quote: Quote): TpmEvidence => ({
  kind: 'tpm', message: toBase64(quote.message), signature: toBase64(quote.signature), ak: toBase64(parts.ak), pcrs: quote.pcrs,
  ...(parts.eventLog === undefined ? {} : { eventLog: toBase64(parts.eventLog) }),
})

/** Every quote of the case must hold; one that signs only SHA-1 registers is checked and proves nothing, and one better must be there. */
function judgeQuotes(parts: Parts, now: number): TpmClaims[] {
  const claims = parts.quotes.flatMap(quote => {
    if (onlySha1(quote.message)) return sha1Holds(parts.ak, quote) ? [] : refuse('evidence.signature', 'quote of sha1', 'a signature and digest that hold', 'others')
    return [verifyTpm(p, evidenceOf(parts, quote), { now, aks: parts.aks })]
  })
  return claims.length > 0 ? claims : refuse('evidence.missing', 'quotes', 'a quote of a SHA-256 bank or better', 'none')
}

function quoteOf(message: Uint8Array): QuoteAttest {
  const attest = readAttest(message)
  return attest.type === 'quote' ? attest : refuse('evidence.parse', 'message.type', 'a quote', attest.type)
}

const onlySha1 = (message: Uint8Array) => quoteOf(message).selections.every(one => one.bank === 'sha1')

function sha1Holds(ak: Uint8Array, quote: Quote): boolean {
  const { selections, pcrDigest } = quoteOf(quote.message)
  const signature = readSignature(quote.signature)
  const values = selections.flatMap(one => one.indexes.map(index => fromHex(quote.pcrs[one.bank]?.[index] ?? '')))
  return signatureHolds(p, readPublicArea(p, ak).key, quote.message, signature) && equal(p.hash(signature.hash, concat(...values)), pcrDigest)
}

function partsOf(one: Case, read: Read): Parts {
  const [area] = filesOf(one, 'ak_public', read)
  const [eventLog] = filesOf(one, 'eventlog', read)
  const [protobuf] = filesOf(one, 'attestation_pb', read)
  const [evidence] = filesOf(one, 'evidence', read)
  if (evidence !== undefined && area === undefined) return trusteeParts(evidence)
  if (area === undefined) return refuse('evidence.missing', 'ak_public', 'an attestation key', 'none')
  const log = eventLog === undefined ? {} : { eventLog }
  const named = { ak: area, aks: [readPublicArea(p, area).name], ...log }
  const messages = filesOf(one, 'quote_message', read)
  const signatures = filesOf(one, 'quote_signature', read)
  const pcrs = filesOf(one, 'pcrs', read).map(bytes => parseJsonObject(bytes))
  const quotes = messages.map((message, i) => ({ message, signature: signatures[i] ?? new Uint8Array(), pcrs: selected(message, pcrs[i] ?? {}) }))
  if (protobuf === undefined) return { ...named, quotes }
  const packed = readAttestationPb(protobuf)
  const texts = (values: ReadonlyMap<Bank, ReadonlyMap<number, Uint8Array>>): Pcrs => Object.fromEntries([...values].map(([bank, bytes]) => [bank, Object.fromEntries([...bytes].map(([index, value]) => [index, toHex(value)]))]))
  const inside = packed.quotes.map(quote => ({ message: quote.message, signature: quote.signature, pcrs: texts(quote.pcrs) }))
  // The loose files repeat what the message holds; where they do not, one of them was exchanged.
  const same = equal(packed.ak, area) && (eventLog === undefined || equal(packed.eventLog ?? new Uint8Array(), eventLog)) && quotes.every(quote => inside.some(other => equal(other.message, quote.message) && equal(other.signature, quote.signature)))
  if (!same) refuse('evidence.binding', 'attestation_pb', 'the same parts as the files beside it', 'others')
  return { ...named, ak: packed.ak, quotes: inside }
}

/** Values by index, as `{ "0": hex }` or as a list; those that the quote did not select are not evidence. */
export function selected(message: Uint8Array, values: Json): Pcrs {
  const value = (index: number) => (Array.isArray(values) ? values[index] : isObject(values) ? values[String(index)] : undefined)
  return Object.fromEntries(quoteOf(message).selections.map(({ bank, indexes }) => [bank, Object.fromEntries(indexes.flatMap(index => {
    const text: Json | undefined = value(index)
    return typeof text === 'string' ? [[String(index), text]] : []
  }))]))
}

/** Trustee's form: the key as SubjectPublicKeyInfo, the signature as TPMT_SIGNATURE; the case itself is what enrols the key. */
function trusteeParts(bytes: Uint8Array): Parts {
  const json = parseJsonObject(bytes)
  const quote = json['tpm_quote']
  if (!isObject(quote)) return refuse('evidence.parse', 'tpm_quote', 'an object', 'another value')
  const text = (value: Json | undefined, at: string) => (typeof value === 'string' ? value : refuse('evidence.parse', at, 'a text', 'another value'))
  const ak = fromBase64(text(json['ak_public'], 'ak_public'))
  const message = fromBase64(text(quote['message'], 'message'))
  return { ak, aks: [`spki:${toHex(p.hash('sha256', ak))}`], quotes: [{ message, signature: fromBase64(text(quote['signature'], 'signature')), pcrs: selected(message, quote['pcrs'] ?? []) }] }
}

/** As the manifest writes them: by bank for several quotes, flat for one, registers by index or as a list like the evidence's. */
function fieldsOf(one: Case, parts: Parts, claims: readonly TpmClaims[]): Record<string, unknown> {
  const byBank = Object.fromEntries(parts.quotes.flatMap(quote => quoteOf(quote.message).selections.map(({ bank }) => [bank, { nonce: toHex(quoteOf(quote.message).extraData), pcrs: quote.pcrs[bank] }])))
  const [first] = claims
  const registers = first?.registers ?? {}
  const expected = one.expect['fields']
  const listed = typeof expected === 'object' && expected !== null && 'pcrs' in expected && Array.isArray(expected.pcrs)
  const flat = Object.fromEntries(Object.entries(registers).map(([name, value]) => [name.slice(3), value]))
  return { ...byBank, nonce: first?.reportData, pcrs: listed ? Array.from({ length: 24 }, (_, i) => flat[i]) : flat }
}

function certificateFields(one: Case, pem: Uint8Array): Judgement {
  const read: Result<Certificate[]> = attempt(() => readPem(fromUtf8(pem), 'CERTIFICATE').map(der => orRefuse(parseCertificate(der))))
  if (!read.ok) return judged('reject', [], read.refusal)
  const time = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000', '')
  const fields = read.value.map(each => ({ subject: nameText(each.subject), issuer: nameText(each.issuer), not_before: time(each.notBefore), not_after: time(each.notAfter) }))
  return judged('parse', differences(one.expect['fields'] ?? [], fields, 'fields'))
}

const ATTRIBUTE: Record<string, string> = { '2.5.4.3': 'CN', '2.5.4.6': 'C', '2.5.4.7': 'L', '2.5.4.8': 'ST', '2.5.4.10': 'O', '2.5.4.11': 'OU' }

/** A name as RFC 4514 writes it: last part first. */
export function nameText(name: Uint8Array): string {
  return children(readDer(name)).flatMap(set => children(set, TAG.set)).map(pair => {
    const [type, value] = children(pair)
    const oid = oidOf(type)
    return `${ATTRIBUTE[oid] ?? oid}=${value === undefined ? '' : fromUtf8(contentOf(value, value.tag)).replace(/[,+"\\<>;]/g, sign => `\\${sign}`)}`
  }).toReversed().join(',')
}
