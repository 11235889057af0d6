/**
 * Intel's documents for TDX and SGX: TCB info and the identities of quoting enclaves (with the identities of TDX modules
 * inside the first), signed over their exact text, the authorities, and the two revocation lists (Intel PCS API version
 * 4). They are kept as the service sends them: `{"tcbInfo":TEXT,"signature":HEX}` with the text untouched.
 * Trusts: the port and the root handed in.
 */
import { equal } from '@cloister/core/bytes/bytes'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { parseJsonObject, shown, type JsonObject } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import type { Certificate, RevocationList } from '@cloister/core/crypto/x509'
import { readQeIdentity, readTcbInfo, windowOf } from '@cloister/core/evidence/dcap/collateral'
import { attempt, refuse } from '@cloister/core/refusal'
import { chainSometime, checkList, pemOf, type Context } from './chains.ts'
import type { Document } from './documents.ts'

export type SignedName = 'tcbInfo' | 'enclaveIdentity'
/** A signed document in its parts; the chain is what came beside it, if anything did. */
export interface SignedText { readonly name: SignedName; readonly text: string; readonly signature: string; readonly chain: readonly Certificate[] }

const BODY = /^\s*\{\s*"(tcbInfo|enclaveIdentity)"\s*:\s*(\{[^]*\})\s*,\s*"signature"\s*:\s*"([0-9a-fA-F]{128})"\s*\}\s*$/

/** The parts of a body as the service sends it, or undefined when it is none. What is inside is judged by its signature. */
export function splitBody(body: string): Omit<SignedText, 'chain'> | undefined {
  const [, name, text = '', signature = ''] = BODY.exec(body) ?? []
  return name === 'tcbInfo' || name === 'enclaveIdentity' ? { name, text, signature } : undefined
}

export const bodyOf = ({ name, text, signature }: Omit<SignedText, 'chain'>): Uint8Array => utf8(`{"${name}":${text},"signature":"${signature.toLowerCase()}"}`)

/** Leaves with `evidence.collateral`, `x509.*`, `json.*` or `bytes.*`. */
export function intelSigned(context: Context, signed: SignedText, update?: 'early'): Document {
  const json = parseJsonObject(signed.text)
  const signer = signerOf(context, signed)
  const { tee, kind, about } = signed.name === 'tcbInfo' ? tcbInfo(json) : qeIdentity(json)
  const window = windowOf(json, signed.name)
  const { path } = chainSometime({ ...context, certificates: [...signed.chain, ...context.certificates] }, signer, [context.roots.intel], [window.notBefore])
  return { kind, about: { tee, ...about, ...(update === undefined ? {} : { update }) }, ...window, bytes: bodyOf(signed), issuerChain: pemOf(path) }
}

const SIGNER = 'Intel SGX TCB Signing'

/** The certificate whose key signed exactly this text: of those beside it, else of those filed before. */
function signerOf({ p, certificates }: Context, { name, text, signature, chain }: SignedText): Certificate {
  const candidates = [...chain, ...certificates].filter(one => one.subjectCommonName === SIGNER)
  if (candidates.length === 0) return refuse('x509.issuer', `${name}.issuerChain`, `the certificate ${SIGNER}`, 'none', 'add the file together with the response\'s headers: curl -D headers.txt -o body.json URL; cloister collateral add body.json headers.txt')
  const found = candidates.find(({ publicKey }) => publicKey.kind === 'p256' && p.verify('ecdsa-p256-sha256', publicKey, utf8(text), fromHex(signature, `${name}.signature`)))
  return found ?? refuse('evidence.collateral', name, 'a signature by Intel\'s TCB signing key over exactly these bytes', 'one that does not hold')
}

type Described = { readonly tee: 'sgx' | 'tdx'; readonly kind: Document['kind']; readonly about: Record<string, string> }

function tcbInfo(json: JsonObject): Described {
  const tee = json['id'] === 'TDX' ? 'tdx' : 'sgx'
  const { fmspc, evaluation } = readTcbInfo(json, tee)
  return { tee, kind: 'intel-tcb-info', about: { fmspc, evaluation: String(evaluation) } }
}

function qeIdentity(json: JsonObject): Described {
  const tee = json['id'] === 'TD_QE' ? 'tdx' : json['id'] === 'QE' ? 'sgx' : refuse('evidence.collateral', 'enclaveIdentity.id', 'QE or TD_QE', shown(json['id']))
  return { tee, kind: 'intel-qe-identity', about: { evaluation: String(readQeIdentity(json, tee).evaluation) } }
}

export const isIntel = ({ roots }: Context, one: Certificate): boolean => one.subjectCommonName.startsWith('Intel SGX ') || equal(one.issuer, roots.intel.subject)

/** An authority over platforms or the key that signs TCB info; undefined for the root and for a platform's own certificate, which travels with its quotes. */
export function intelCertificate(context: Context, one: Certificate): Document | undefined {
  if (equal(one.der, context.roots.intel.der)) return undefined
  chainSometime({ ...context, certificates: [...context.roots.intelAuthorities, ...context.certificates] }, one, [context.roots.intel])
  if (!one.ca && one.subjectCommonName !== SIGNER) return undefined
  return { kind: 'intel-ca', about: { name: one.subjectCommonName, key: toHex(context.p.hash('sha256', one.subject)) }, notBefore: one.notBefore, notAfter: one.notAfter, bytes: one.der }
}

/** Which of the two authorities over platforms a name means, as the service's parameter `ca` writes it. */
export const authorityOf = (commonName: string): 'platform' | 'processor' | undefined => (commonName === 'Intel SGX PCK Platform CA' ? 'platform' : commonName === 'Intel SGX PCK Processor CA' ? 'processor' : undefined)

/** Undefined when the list is of another issuer. Leaves with `crl.*`, `x509.*`. */
export function intelList(context: Context, list: RevocationList): Document | undefined {
  const { p, roots: { intel, intelAuthorities } } = context
  const window = { notBefore: list.thisUpdate, notAfter: list.nextUpdate, bytes: list.der }
  if (equal(list.issuer, intel.subject)) {
    checkList(p, list, intel)
    return { kind: 'intel-root-crl', about: {}, ...window }
  }
  const named = [...intelAuthorities, ...context.certificates].filter(one => equal(one.subject, list.issuer) && authorityOf(one.subjectCommonName) !== undefined)
  if (named.length === 0) return undefined
  const issuer = named.find(one => attempt(() => checkList(p, list, one)).ok) ?? refuse('crl.signature', 'crl', `a list signed by ${named[0]?.subjectCommonName}`, 'a signature that does not hold')
  const { path } = chainSometime(context, issuer, [intel], [list.thisUpdate])
  return { kind: 'intel-pck-crl', about: { ca: authorityOf(issuer.subjectCommonName) ?? '' }, ...window, issuerChain: pemOf(path) }
}

/** The parts of a filed body, for evidence. */
export function partsOf(bytes: Uint8Array): Omit<SignedText, 'chain'> {
  return splitBody(fromUtf8(bytes)) ?? refuse('store.corrupt', 'document', 'a body of the provisioning service', 'another form')
}
