/**
 * Claims: the facts that verified evidence establishes, in one vocabulary for every kind of machine. A `Claims` value is
 * built only from bytes whose signature and certificate chain held; nothing in it comes from unverified input.
 * Claims are facts, not judgements: whether they are good enough is for `appraisal` and the charter.
 */
import type { Tee } from '../charter/types.ts'

/** Evidence as it travels: JSON, binary parts in standard base64. Kinds are added by later rooms. */
export interface Evidence {
  readonly kind: 'snp' | 'simulated'
  /** The attestation report, 1184 bytes. */
  readonly report: string
  /** DER certificates, leaf (VCEK or VLEK) first; intermediates and root may be left out where they are pinned. */
  readonly certificates: readonly string[]
  /** DER revocation lists, if the relying party's policy asks for them. */
  readonly crls?: readonly string[]
}

/** Security patch levels of one TCB version; `fmc` exists on Turin only. */
export interface SnpTcb { readonly fmc?: number; readonly bl: number; readonly tee: number; readonly snp: number; readonly ucode: number }

export interface Claims {
  readonly tee: Tee
  /** True only for evidence under Cloister's simulated root; false is never taken from the evidence's own words. */
  readonly simulated: boolean
  readonly product: 'Milan' | 'Genoa' | 'Turin'
  readonly signer: 'vcek' | 'vlek'
  /** Hex, lower case: 48-byte launch measurement, 64-byte report data, 32-byte host data. */
  readonly measurement: string
  readonly reportData: string
  readonly hostData: string
  readonly debug: boolean
  readonly migration: boolean
  readonly smt: boolean
  readonly singleSocket: boolean
  readonly vmpl: number
  readonly guestSvn: number
  /** Hex, 64 bytes; all zero when the host masks it. */
  readonly chipId: string
  readonly idKeyDigest: string
  readonly authorKeyDigest: string
  readonly reportVersion: number
  readonly tcb: { readonly current: SnpTcb; readonly reported: SnpTcb; readonly committed: SnpTcb; readonly launch: SnpTcb }
  readonly firmware: { readonly current: string; readonly committed: string }
  readonly platformInfo: string
  /** Intersection of the validity windows of every certificate and list used, seconds since 1970. */
  readonly validity: { readonly notBefore: number; readonly notAfter: number }
  /** SHA-256 of each certificate and list the verdict rests on. */
  readonly endorsements: readonly string[]
}
