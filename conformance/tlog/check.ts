/** One thing that was held against somebody else's word: it passed, it failed with a complaint, or it could not be asked. */
export type Outcome = { readonly name: string } & ({ readonly kind: 'passed' } | { readonly kind: 'failed' | 'skipped'; readonly why: string })

export const passed = (name: string): Outcome => ({ name, kind: 'passed' })
export const skipped = (name: string, why: string): Outcome => ({ name, kind: 'skipped', why })

/** Runs a check; whatever it throws is its complaint. */
export async function check(name: string, body: () => void | Promise<void>): Promise<Outcome> {
  try {
    await body()
    return passed(name)
  } catch (error) {
    return { name, kind: 'failed', why: error instanceof Error ? error.message : String(error) }
  }
}
