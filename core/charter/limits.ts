/** The limits of the charter room, all in one place (charter.md section 5, rule 1). Post-quantum keys and recipients are long: `keyText`. */
export const LIMITS = {
  bytes: 256 * 1024, depth: 8, entries: 100_000, string: 1024, keyText: 8192,
  parties: 64, keysOfParty: 16, programs: 64, assets: 1024, grants: 4096, listEntries: 256, epsilonMax: 1000,
  /** Of an act: what a browser says about an assertion, and what the verb is about. */
  clientData: 4096, subject: 4096,
} as const
