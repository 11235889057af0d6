/**
 * Claims: the facts that verified evidence establishes, in one vocabulary for every kind of machine. A `Claims` value is
 * built only from bytes whose signature and certificate chain held; nothing in it comes from unverified input.
 * Claims are facts, not judgements: whether they are good enough is for `appraisal` and the charter.
 */
import type { Tee } from '../charter/types.ts'
import type { AzureEvidence, AzureFacts } from './azure/verify.ts'
import type { BundleEvidence } from './bundle/bundle.ts'
import type { CcaEvidence, CcaFacts } from './cca/verify.ts'
import type { DcapEvidence, DcapFacts } from './dcap/verify.ts'
import type { NitroEvidence, NitroFacts } from './nitro/verify.ts'
import type { NvidiaEvidence, NvidiaFacts } from './nvidia/verify.ts'
import type { TokenEvidence, TokenFacts } from './result/token.ts'
import type { SnpEvidence, SnpFacts } from './snp/verify.ts'
import type { TpmEvidence, TpmFacts } from './tpm/verify.ts'

/** Evidence as it travels: JSON, binary parts in standard base64; each kind's room says what its parts are. */
export type Evidence = BundleEvidence | SnpEvidence | DcapEvidence | NitroEvidence | TpmEvidence | AzureEvidence | NvidiaEvidence | CcaEvidence | TokenEvidence

/** What only one kind of machine has. */
export type Facts = SnpFacts | DcapFacts | NitroFacts | TpmFacts | AzureFacts | NvidiaFacts | CcaFacts | TokenFacts

/** What was judged: the kinds that a charter can name, devices, and what only other verifiers speak of (`sev` without SNP; `unknown` where they do not say). */
export type Attested = Tee | 'nvidia' | 'sev' | 'unknown'

/** One event of a log whose replay gives a signed register; its type is the log's word, its detail is proven by the digest. */
export interface ReplayedEvent { readonly register: string; readonly type: string; readonly digest: string; readonly detail?: string }

/** Bytes are hex, lower case; '' where a format has no such field or the machine masks it. `F` is what only one kind has. */
export interface ClaimsOf<F> {
  readonly tee: Attested
  /** True only for evidence under Cloister's simulated root; false is never taken from the evidence's own words. */
  readonly simulated: boolean
  /** The product line: Milan, Genoa, Turin, TDX 1.5, SGX, Nitro, GH100 … */
  readonly product: string
  /** The kind of key that signed: vcek, vlek, pck, ak … */
  readonly signer: string
  /** The one number that names what was launched: launch digest, MRTD, MRENCLAVE, PCR 0 … */
  readonly measurement: string
  /** Further signed registers by their TCG or vendor name: RTMR0, PCR4 … */
  readonly registers: Readonly<Record<string, string>>
  /** What the machine was asked to sign, as the format carries it: report data, user data or nonce. */
  readonly reportData: string
  /** What the host bound at launch: HOST_DATA, MRCONFIGID … */
  readonly hostData: string
  readonly debug: boolean
  readonly migration: boolean
  /** The identity of the chip or platform; all zero or '' when it is masked. */
  readonly chipId: string
  /** The signed time of the evidence, seconds since 1970, where the format has one. */
  readonly issuedAt?: number
  /** Intersection of the validity windows of every certificate, list and document used, seconds since 1970. */
  readonly validity: { readonly notBefore: number; readonly notAfter: number }
  /** SHA-256 of each certificate, list and document the verdict rests on. */
  readonly endorsements: readonly string[]
  /** The vendor's revocation lists were examined for everything that they cover. */
  readonly revocation: boolean
  readonly events?: readonly ReplayedEvent[]
  /** Of a bundle: the further parts that are bound to this one. */
  readonly devices?: readonly Claims[]
  readonly facts: F
}

export type Claims = ClaimsOf<Facts>
