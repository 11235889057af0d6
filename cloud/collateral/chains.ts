/**
 * Did a vendor sign it? A document is filed when a chain to a pinned root holds at some time; whether it is in force, and
 * whether anything on its way was taken back, is judged with the evidence, at the time of the judgement. So documents of
 * years ago can be kept for verdicts of years ago.
 *
 * Trusts: the port and the roots handed in. Certificates beside a document are candidates, nothing more.
 */
import { equal } from '@cloister/core/bytes/bytes'
import { writePem } from '@cloister/core/crypto/pem'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { validateChain, verifySigned, type Certificate, type Chain, type RevocationList } from '@cloister/core/crypto/x509'
import { Refused, orRefuse, refuse } from '@cloister/core/refusal'
import type { VendorRoots } from './roots.ts'

export interface Context {
  readonly p: Primitives
  readonly roots: VendorRoots
  /** Seconds since 1970: one of the times at which chains are tried. */
  readonly now: number
  /** Certificates that came beside the document, and authorities filed before. */
  readonly certificates: readonly Certificate[]
}

const ISSUERS_MAX = 16
const STEPS_MAX = 6

/** A chain that holds at one of the times, at the beginning of one of its certificates, or now. Leaves with what `validateChain` says now, or at the first of `times`. */
export function chainSometime({ p, certificates, now }: Context, leaf: Certificate, roots: readonly Certificate[], times: readonly number[] = []): Chain {
  const intermediates = issuersOf(leaf, certificates)
  const end = leaf.ca ? asEnd(leaf) : leaf
  return atSomeTime([...times, now, leaf.notBefore, ...intermediates.map(one => one.notBefore), ...roots.map(one => one.notBefore)], at => orRefuse(validateChain(p, { leaf: end, intermediates, roots, at, criticalKnown: HARMLESS })))
}

/** An authority at the end of a chain need not sign data, which is asked of other ends; that it may sign certificates is asked wherever it stands above one. */
function asEnd(authority: Certificate): Certificate {
  return { ...authority, keyUsage: (authority.keyUsage ?? 0) | DIGITAL_SIGNATURE }
}

/** Purposes and names, which the chains of vendors mark as critical now and then; no document rests on them. */
const HARMLESS = ['2.5.29.37', '2.5.29.17', '2.5.29.32']

/** What holds at one of these times; otherwise the refusal at the first that is not about time. */
export function atSomeTime<T>(times: readonly number[], judge: (at: number) => T): T {
  const refusals: Refused[] = []
  for (const at of new Set(times)) {
    try {
      return judge(at)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      refusals.push(error)
    }
  }
  throw refusals.find(({ refusal }) => !/expired|not-yet-valid/.test(refusal.code)) ?? refusals[0] ?? new TypeError('no time to judge at')
}

/** Those of the certificates that may stand above a leaf, by name: others would only cost time. */
function issuersOf(leaf: Certificate, certificates: readonly Certificate[]): Certificate[] {
  const found: Certificate[] = []
  let names = [leaf.issuer]
  for (let step = 0; step < STEPS_MAX && names.length > 0; step++) {
    const next = certificates.filter(one => names.some(name => equal(name, one.subject)) && !found.some(known => equal(known.der, one.der)))
    found.push(...next)
    names = next.map(one => one.issuer)
  }
  return found.slice(0, ISSUERS_MAX)
}

/** A revocation list that its issuer signed. Leaves with `crl.issuer` or `crl.signature`. */
export function checkList(p: Primitives, list: RevocationList, issuer: Certificate): void {
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & CRL_SIGN) === 0) refuse('crl.issuer', 'crl', 'an issuer that may sign lists', issuer.subjectCommonName)
  if (!verifySigned(p, issuer.publicKey, list.algorithm, list.tbs, list.signature)) refuse('crl.signature', 'crl', `a list signed by ${issuer.subjectCommonName}`, 'a signature that does not hold')
}

const CRL_SIGN = 0x02
const DIGITAL_SIGNATURE = 0x80

export const pemOf = (chain: readonly Certificate[]): string => chain.map(one => writePem('CERTIFICATE', one.der)).join('')
