/**
 * Mutants that survive because nobody could see them: each with the reason. `what` is what the run prints, so an entry is
 * stale as soon as the line is written otherwise, and the run says so.
 */
export interface Equivalent { readonly path: string; readonly what: string; readonly why: string }

export const EQUIVALENT: readonly Equivalent[] = []
