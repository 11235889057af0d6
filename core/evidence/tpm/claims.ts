/**
 * The claims of a machine with a virtual or discrete TPM, in the vocabulary of every kind of evidence; `F` is what only
 * one kind has. A type and nothing else.
 */
import type { Tee } from '../../charter/types.ts'
import type { ReplayedEvent } from '../eventlog/replay.ts'

/** Bytes are hex, lower case; '' where there are none. */
export interface TpmMachineClaims<F> {
  readonly tee: Tee
  /** Only ever true by the root that matched. */
  readonly simulated: boolean
  readonly product: string
  readonly signer: string
  readonly measurement: string
  /** Signed registers by their TCG name: PCR0 … */
  readonly registers: Readonly<Record<string, string>>
  /** The nonce that the quote carries. */
  readonly reportData: string
  readonly hostData: string
  readonly debug: boolean
  readonly migration: boolean
  readonly chipId: string
  readonly validity: { readonly notBefore: number; readonly notAfter: number }
  readonly endorsements: readonly string[]
  readonly revocation: boolean
  readonly events?: readonly ReplayedEvent[]
  readonly facts: F
}
