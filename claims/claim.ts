/** What a claim program says (attacks.md; DESIGN section 8): a promise of THREATS.md, tried out, with what was looked at. */

/** `inconclusive` whenever something that had to be looked at could not be: silence is not a proof. */
export type ClaimResult = 'intact' | 'falsified' | 'inconclusive'

export interface Finding {
  /** What was found, by name: never the value itself. */
  readonly what: string
  /** Where a provider reads it. */
  readonly where: string
  readonly encoding: string
}

export interface ClaimOutcome {
  readonly claim: string
  readonly result: ClaimResult
  readonly findings: readonly Finding[]
  /** How much was looked at, by kind of place. */
  readonly looked: Readonly<Record<string, number>>
  readonly notes: readonly string[]
}
