/**
 * The order on parts of a charter (charter.md section 6.1): a within b implies that everything permitted by a is permitted
 * by b. Deliberately incomplete: what it cannot compare counts as wider. Every comparison stands under its own name, so
 * that the tests can take each one away and see the law break. Trusts nothing; reads normal forms.
 */
import { jcs } from '../bytes/jcs.ts'
import { durationSeconds } from './values.ts'
import type { Asset, Grant, Output, Program } from './types.ts'

type Comparisons<T> = Readonly<Record<string, (a: T, b: T) => boolean>>
export interface Order {
  readonly output: Comparisons<Output>
  readonly grant: Comparisons<Grant>
  readonly program: Comparisons<Program>
  readonly asset: Comparisons<Asset>
}

/** Is a within b, by every comparison of the table? */
export function within<T>(comparisons: Comparisons<T>, a: T, b: T): boolean {
  return Object.values(comparisons).every(holds => holds(a, b))
}

/** Is everything that grant `a` permits permitted by grant `b`? Both are for one (asset, program, can, as). */
export function grantWithin(a: Grant, b: Grant, order: Order = ORDER): boolean {
  return within(order.grant, a, b) && (a.out ?? []).every(one => (b.out ?? []).some(other => within(order.output, one, other)))
}

/** b absent, or a present and a ≤ b: lower is narrower. */
const le = (a: number | undefined, b: number | undefined) => b === undefined || (a !== undefined && a <= b)
/** b absent, or a present and a ≥ b: higher is narrower. */
const ge = (a: number | undefined, b: number | undefined) => b === undefined || (a !== undefined && a >= b)
/** Every element of a is in b; absent is empty. */
const sub = (a: readonly (string | number)[] | undefined, b: readonly (string | number)[] | undefined) => (a ?? []).every(one => b?.includes(one) === true)
const seconds = (duration: string | undefined) => (duration === undefined ? undefined : durationSeconds(duration))

export const ORDER: Order = {
  output: {
    shape: (a, b) => a.shape === b.shape,
    about: (a, b) => a.about === b.about,
    to: (a, b) => b.to.includes('*') || sub(a.to, b.to),
    atLeast: (a, b) => ge(a.atLeast, b.atLeast),
    epsilon: (a, b) => le(a.epsilon, b.epsilon),
    rate: (a, b) => le(a.rate, b.rate),
  },
  grant: {
    until: (a, b) => b.until === undefined || (a.until !== undefined && a.until <= b.until), // text order is time order
    needs: (a, b) => sub(b.needs, a.needs),
    uses: (a, b) => le(a.budget?.uses, b.budget?.uses),
    bytes: (a, b) => le(a.budget?.bytes, b.budget?.bytes),
    epsilon: (a, b) => le(a.budget?.epsilon, b.budget?.epsilon),
    // Windows of other lengths are not comparable; where b bounds nothing, a may count as it likes.
    per: (a, b) => b.budget === undefined || a.budget?.per === b.budget.per,
  },
  program: {
    run: (a, b) => jcs(a.run) === jcs(b.run),
    config: (a, b) => jcs(a.config ?? {}) === jcs(b.config ?? {}),
    tee: (a, b) => sub(a.on.tee, b.on.tee),
    tcb: (a, b) => a.on.tcb === undefined || b.on.tcb === 'any',
    gpu: (a, b) => (a.on.gpu === undefined || b.on.gpu === undefined ? a.on.gpu === b.on.gpu : sub(a.on.gpu, b.on.gpu)),
    where: (a, b) => b.on.where === undefined || (a.on.where !== undefined && sub(a.on.where, b.on.where)),
    listen: (a, b) => sub(a.net?.listen, b.net?.listen),
    reach: (a, b) => sub(a.net?.reach, b.net?.reach),
  },
  asset: {
    owner: (a, b) => a.owner === b.owner,
    kind: (a, b) => a.kind === b.kind,
    at: (a, b) => a.at === b.at,
    person: (a, b) => a.person === b.person,
    digest: (a, b) => b.digest === undefined || a.digest === b.digest,
    ttl: (a, b) => le(seconds(a.ttl), seconds(b.ttl)),
  },
}
