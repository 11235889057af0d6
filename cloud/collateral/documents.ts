/**
 * What a store of collateral holds: the documents with which a vendor vouches for machines (certificates, revocation
 * lists, TCB info, identities, reference manifests, OCSP answers), each with what it is, whom it is about and when it is
 * in force. Nothing here judges: whether evidence is good is decided where it is verified, from the documents themselves.
 */
import type { Hash } from '@cloister/core/charter/types'

export const KINDS = [
  'amd-ca', 'amd-vek', 'amd-crl',
  'intel-ca', 'intel-tcb-info', 'intel-qe-identity', 'intel-pck-crl', 'intel-root-crl',
  'nvidia-ca', 'nvidia-rim', 'nvidia-ocsp', 'nvidia-crl',
] as const
export type Kind = typeof KINDS[number]

/** A document that a vendor's root vouches for. Times are seconds since 1970. */
export interface Document {
  readonly kind: Kind
  /**
   * What it is looked up by. AMD: `product`, of a VEK also `signer`, `id` (chip or provider) and `tcb`. Intel: `tee`, `fmspc`,
   * `evaluation`, `ca`, and `update: early` where Intel gave it out as such. NVIDIA: `id`, `product`, `edition`, `version`, `about` (certificates).
   */
  readonly about: Readonly<Record<string, string>>
  readonly notBefore: number
  readonly notAfter: number
  /** Certificates, lists and OCSP answers: DER. TCB info and identities: the body as the service sends it. Manifests: XML. */
  readonly bytes: Uint8Array
  /** PEM, signer first: of what does not carry the certificate of its signer. */
  readonly issuerChain?: string
}

/** What a store says of a document without handing out its bytes. */
export interface Entry extends Omit<Document, 'bytes'> {
  /** Of the document's bytes. */
  readonly digest: Hash
  readonly size: number
  /** When it was filed. */
  readonly added: number
}

/** Limits of what comes from outside, in one place. */
export const LIMITS = {
  /** One file to add, one document, one answer of a vendor; bytes. */
  documentBytes: 8 * 1024 * 1024,
  files: 256,
  documentsOfFile: 64,
  certificatesOfFile: 32,
  documents: 50_000,
  /** The line in which a stored file says what it is. */
  headBytes: 64 * 1024,
} as const

/** One line for people: what a document is and whom it is about. */
export function titleOf({ kind, about }: Pick<Document, 'kind' | 'about'>): string {
  const text = (name: string) => about[name] ?? ''
  switch (kind) {
    case 'amd-ca': return `AMD ${text('name')}`
    case 'amd-vek': return `AMD ${text('signer').toUpperCase()} ${text('product')} ${text('signer') === 'vcek' ? text('id').slice(0, 16) : text('id')} ${text('tcb')}`
    case 'amd-crl': return `AMD revocation list ${text('product')}`
    case 'intel-ca': return text('name')
    case 'intel-tcb-info': return `Intel TCB info ${text('tee').toUpperCase()} ${text('fmspc')} number ${text('evaluation')}${about['update'] === undefined ? '' : ` (${text('update')})`}`
    case 'intel-qe-identity': return `Intel identity of the ${text('tee').toUpperCase()} quoting enclave number ${text('evaluation')}${about['update'] === undefined ? '' : ` (${text('update')})`}`
    case 'intel-pck-crl': return `Intel revocation list PCK ${text('ca')} CA`
    case 'intel-root-crl': return 'Intel revocation list root CA'
    case 'nvidia-ca': return text('name')
    case 'nvidia-rim': return `NVIDIA manifest ${about['id'] ?? `${text('edition')} ${text('product')} ${text('version')}`}`
    case 'nvidia-ocsp': return `NVIDIA OCSP answer ${text('status')} for ${text('name')}`
    case 'nvidia-crl': return `NVIDIA revocation list of ${text('name')}`
  }
}

/**
 * The documents of a kind that agree with all of `about`, newest first: by evaluation number, then by when they came in
 * force, then by when they were filed. With a time, only those in force then.
 */
export function matching(entries: readonly Entry[], kind: Kind, about: Readonly<Record<string, string>> = {}, at?: number): Entry[] {
  const wanted = Object.entries(about)
  const inForce = (one: Entry) => at === undefined || (at >= one.notBefore && at <= one.notAfter)
  return entries.filter(one => one.kind === kind && wanted.every(([name, value]) => one.about[name] === value) && inForce(one))
    .sort((a, b) => Number(b.about['evaluation'] ?? 0) - Number(a.about['evaluation'] ?? 0) || b.notBefore - a.notBefore || b.added - a.added || (a.digest < b.digest ? -1 : 1))
}
