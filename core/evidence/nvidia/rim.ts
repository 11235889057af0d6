/**
 * Reference integrity manifests of NVIDIA (RIM): a SWID tag (ISO 19770-2) with the golden digests of one driver or one
 * VBIOS, and an enveloped XML signature of exactly one form: Canonical XML 1.1, SHA-384, ECDSA P-384, one reference to the
 * whole document. The signature's own element stands outside what it signs; so it is read to its last attribute, and
 * nothing in it is used but what the pinned root vouches for. Values are believed only after `verifyRim`.
 * Trusts: the port and the root handed in.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { equal } from '../../bytes/bytes.ts'
import { fromHex } from '../../bytes/hex.ts'
import { canonicalXml, elementsOf, readXml, textOf, XML_LIMITS, type XmlElement } from '../../bytes/xml.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { parseCertificate, validateChain, type Certificate, type Chain, type RevocationList } from '../../crypto/x509.ts'
import { orRefuse, refuse } from '../../refusal.ts'

/** One golden value: index as the manifest counts, from 0; the SPDM index is one more. */
export interface Golden { readonly index: number; readonly active: boolean; readonly name: string; readonly size: number; readonly hashes: readonly string[] }
/** The part of a manifest that is signed. */
export interface RimContent {
  readonly id: string
  readonly product: string
  readonly edition: string
  /** The version of the firmware it describes: 550.90.07 or 96.00.9F.00.01. */
  readonly version: string
  readonly golden: readonly Golden[]
}
export interface VerifiedRim extends RimContent { readonly document: Uint8Array; readonly chain: Chain; readonly notBefore: number; readonly notAfter: number }

const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const RIM = 'https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/'
const SHA384_HASH = 'http://www.w3.org/2001/04/xmlenc#sha384'
const DSIG = 'http://www.w3.org/2000/09/xmldsig#'
const C14N = 'http://www.w3.org/2006/12/xml-c14n11'
const ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature'
const ECDSA_SHA384 = 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384'
const SHA384 = 'http://www.w3.org/2001/04/xmldsig-more#sha384'
const INDEX_MAX = 126 // the SPDM index, one more, is 1 to 127
const ALTERNATIVES_MAX = 32
const DIGEST_BYTES = 48
const CERTIFICATES_MAX = 6
/** Genuine ones have 26 kB. */
const RIM_LIMITS = { ...XML_LIMITS, bytes: 256 * 1024 }

/**
 * A manifest in which the signature and the chain of its signer hold at a time (seconds since 1970). Leaves with
 * `evidence.parse`, `evidence.signature`, `evidence.chain`, `xml.syntax`, `x509.*`, `crl.*`.
 */
export function verifyRim(p: Primitives, document: Uint8Array, input: { readonly now: number; readonly root: Certificate; readonly crls?: readonly RevocationList[] }): VerifiedRim {
  const root = readXml(document, RIM_LIMITS)
  const content = readContent(root)
  const { signature, certificates } = readSignature(p, root)
  const [leaf, ...others] = certificates.map((der, i) => orRefuse(parseCertificate(der, `rim.certificates[${i}]`)))
  if (leaf === undefined || leaf.publicKey.kind !== 'p384') return refuse('evidence.chain', 'rim.certificates', 'a P-384 key of the signer', leaf?.publicKey.kind ?? 'none')
  if (!p.verify('ecdsa-p384-sha384', leaf.publicKey, signature.signed, signature.value)) refuse('evidence.signature', 'rim', `a signature by ${leaf.subjectCommonName}`, 'one that does not hold')
  checkGolden(content)
  const chain = chainOf(p, leaf, others, input)
  return { ...content, document, chain, notBefore: chain.notBefore, notAfter: chain.notAfter }
}

/** The golden values of a manifest as they are written, whether or not anybody signed them. Leaves with `evidence.parse` or `xml.syntax`. */
export function readPayload(root: XmlElement): Golden[] {
  named(root, SWID, 'SoftwareIdentity')
  const payload = only(root, SWID, 'Payload')
  attributes(payload, [])
  const golden = elementsOf(payload).map(readResource)
  if (golden.length === 0) refuse('evidence.parse', payload.at, 'at least one measurement', 'none')
  if (new Set(golden.map(one => one.index)).size !== golden.length) refuse('evidence.parse', payload.at, 'each index once', 'one twice')
  return golden
}

function readResource(element: XmlElement): Golden {
  named(element, SWID, 'Resource')
  empty(element)
  const own = attributes(element, ['type', 'index', 'active', 'alternatives', 'name', 'size'], SHA384_HASH)
  if (own.get('type') !== 'Measurement') refuse('evidence.parse', element.at, 'type Measurement', own.get('type') ?? 'none')
  const active = own.get('active')
  if (active !== 'True' && active !== 'False') refuse('evidence.parse', element.at, 'active True or False', active ?? 'none')
  const alternatives = number(own.get('alternatives'), ALTERNATIVES_MAX, element.at)
  const listed = element.attributes.filter(one => one.namespace === SHA384_HASH)
  const hashes = Array.from({ length: alternatives }, (_, i) => listed.find(one => one.local === `Hash${i}`)?.value ?? refuse('evidence.parse', element.at, `Hash${i}`, 'nothing'))
  if (alternatives === 0 || listed.length !== alternatives) refuse('evidence.parse', element.at, `${alternatives} alternatives, at least one`, String(listed.length))
  return { index: number(own.get('index'), INDEX_MAX, element.at), active: active === 'True', name: own.get('name') ?? '', size: number(own.get('size'), 64, element.at), hashes }
}

/** Root, maker, description, values and signature, and nothing else. */
function readContent(root: XmlElement): RimContent {
  const golden = readPayload(root)
  const own = attributes(root, ['corpus', 'name', 'patch', 'supplemental', 'tagId', 'version', 'tagVersion'])
  const parts = elementsOf(root).map(one => one.local).join(' ')
  if (parts !== 'Entity Meta Payload Signature') refuse('evidence.parse', root.at, 'Entity, Meta, Payload, Signature', parts)
  const entity = only(root, SWID, 'Entity')
  empty(entity)
  const maker = attributes(entity, ['name', 'role'])
  if (maker.get('name') !== 'NVIDIA Corporation' || maker.get('role')?.split(' ').includes('tagCreator') !== true) refuse('evidence.parse', entity.at, 'NVIDIA Corporation as tagCreator', maker.get('name') ?? 'none')
  const meta = only(root, SWID, 'Meta')
  empty(meta)
  const description = attributes(meta, ['colloquialVersion', 'edition', 'product', 'revision', 'PayloadType'], RIM)
  const text = (name: string) => description.get(name) ?? refuse('evidence.parse', meta.at, name, 'nothing')
  if (text('PayloadType') !== 'direct') refuse('evidence.parse', meta.at, 'PayloadType direct', text('PayloadType'))
  return { id: own.get('tagId') ?? refuse('evidence.parse', root.at, 'tagId', 'nothing'), product: text('product'), edition: text('edition'), version: text('colloquialVersion'), golden }
}

function checkGolden(content: RimContent): void {
  for (const { index, size, hashes } of content.golden) {
    for (const hash of hashes) {
      if (size !== DIGEST_BYTES || hash !== hash.toLowerCase() || fromHex(hash, `rim.golden[${index}]`).length !== DIGEST_BYTES) refuse('evidence.parse', `rim.golden[${index}]`, `${DIGEST_BYTES} bytes in lower-case hex`, hash)
    }
  }
}

interface SignedInfo { readonly signed: Uint8Array; readonly value: Uint8Array }

/** The digest holds; what remains to be verified is the signature over `signed`, by the first of the certificates. */
function readSignature(p: Primitives, root: XmlElement): { signature: SignedInfo; certificates: Uint8Array[] } {
  const element = only(root, DSIG, 'Signature')
  const [info, value, keyInfo] = sequence(element, ['SignedInfo', 'SignatureValue', 'KeyInfo'])
  const [method, signatureMethod, reference] = sequence(info, ['CanonicalizationMethod', 'SignatureMethod', 'Reference'])
  algorithm(method, C14N)
  algorithm(signatureMethod, ECDSA_SHA384)
  if (attributes(reference, ['URI']).get('URI') !== '') refuse('evidence.parse', reference.at, 'URI="": the whole document', reference.attributes[0]?.value ?? 'none')
  const [transforms, digestMethod, digest] = sequence(reference, ['Transforms', 'DigestMethod', 'DigestValue'], true)
  const [enveloped, canonical] = sequence(transforms, ['Transform', 'Transform'])
  algorithm(enveloped, ENVELOPED)
  algorithm(canonical, C14N)
  algorithm(digestMethod, SHA384)
  if (!equal(p.hash('sha384', canonicalXml(root, element)), binary(digest))) refuse('evidence.signature', 'rim', 'the digest that its signature names', 'another document')
  const [data] = sequence(keyInfo, ['X509Data'])
  const certificates = elementsOf(data)
  attributes(data, [])
  if (certificates.length === 0 || certificates.length > CERTIFICATES_MAX) refuse('evidence.parse', data.at, `1 to ${CERTIFICATES_MAX} certificates`, String(certificates.length))
  return { signature: { signed: canonicalXml(info), value: binary(value) }, certificates: certificates.map(one => binary(named(one, DSIG, 'X509Certificate'))) }
}

function chainOf(p: Primitives, leaf: Certificate, others: readonly Certificate[], input: { readonly now: number; readonly root: Certificate; readonly crls?: readonly RevocationList[] }): Chain {
  const result = validateChain(p, { leaf, intermediates: others, roots: [input.root], at: input.now, ...(input.crls === undefined ? {} : { crls: input.crls }) })
  if (!result.ok) {
    const { code, at, expected, got, fix } = result.refusal
    const own = OWN.some(name => code.startsWith(name))
    return refuse(own ? code : 'evidence.chain', `rim.${at}${own ? '' : ` (${code})`}`, expected, got, code === 'x509.expired' ? 'fetch the manifest again: it is signed anew from time to time' : fix)
  }
  const stray = strayIn(result.value, others)
  if (stray >= 0) refuse('evidence.chain', `rim.certificates[${stray + 1}]`, result.value.path.map(used => used.subjectCommonName).join(' ← '), others[stray]?.subjectCommonName ?? '')
  return result.value
}

/** Which of the certificates beside the leaf is not needed: not on the path, or there before; -1 when all are. */
export function strayIn(chain: Chain, others: readonly Certificate[]): number {
  const needed = chain.path.slice(1)
  return others.findIndex((one, i) => !needed.some(used => equal(used.der, one.der)) || others.findIndex(other => equal(other.der, one.der)) !== i)
}

/** Refusals of a chain that say more than that it does not hold. */
export const OWN = ['x509.expired', 'x509.not-yet', 'x509.revoked', 'crl.']

function named(element: XmlElement, namespace: string, local: string): XmlElement {
  return element.local === local && element.namespace === namespace ? element : refuse('evidence.parse', element.at, `${local} of ${namespace}`, `${element.local} of ${element.namespace || 'no namespace'}`)
}

/** The one child of this name. */
function only(parent: XmlElement, namespace: string, local: string): XmlElement {
  const found = elementsOf(parent).filter(one => one.local === local && one.namespace === namespace)
  return found.length === 1 && found[0] !== undefined ? found[0] : refuse('evidence.parse', `${parent.at}/${local}`, 'exactly one', String(found.length))
}

/** The children of an element of the signature, which must be these; it has no attributes but where the caller reads them. */
function sequence(element: XmlElement, names: readonly string[], readsAttributes = false): [XmlElement, XmlElement, XmlElement] {
  if (!readsAttributes) attributes(element, [])
  const children = elementsOf(element)
  const got = children.map(one => (one.namespace === DSIG ? one.local : `{${one.namespace}}${one.local}`)).join(', ')
  if (got !== names.join(', ')) refuse('evidence.parse', element.at, names.join(', '), got)
  const [first = element, second = element, third = element] = children
  return [first, second, third]
}

function algorithm(element: XmlElement, uri: string): void {
  empty(element)
  const got = attributes(element, ['Algorithm']).get('Algorithm')
  if (got !== uri) refuse('crypto.algorithm', element.at, uri, got ?? 'none')
}

/** The attributes of no namespace, only those known; others of one further namespace are the caller's. */
function attributes(element: XmlElement, known: readonly string[], further?: string): Map<string, string> {
  const out = new Map<string, string>()
  for (const { local, namespace, value, name } of element.attributes) {
    if (namespace === '' ? !known.includes(local) : namespace !== further) refuse('evidence.parse', element.at, known.join(', ') || 'no attributes', name)
    if (namespace === '') out.set(local, value)
  }
  return out
}

const empty = (element: XmlElement) => { if (element.children.length > 0) refuse('evidence.parse', element.at, 'an empty element', 'content') }

function number(text: string | undefined, max: number, at: string): number {
  const value = /^(?:0|[1-9]\d{0,3})$/.test(text ?? '') ? Number(text) : Number.NaN
  return value <= max ? value : refuse('evidence.parse', at, `a number from 0 to ${max}`, text ?? 'nothing')
}

/** Base64 in lines. */
function binary(element: XmlElement): Uint8Array {
  attributes(element, [])
  return fromBase64(textOf(element).replace(/\s/g, ''), element.at)
}
