// The property of charter.md section 6.4, over every bound at once, and with each comparison of the order taken away.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { portable as p } from '../crypto/portable.ts'
import { canonicalCharter, charterDigest, programIdentity } from './canonical.ts'
import { decide, type Judged } from './decide.ts'
import { durationSeconds, parseCharter } from './parse.ts'
import { review } from './review.ts'
import { ok } from './scene.fixture.ts'
import type { Asset, Charter, Grant, Output, Program, Tee } from './types.ts'
import { grantWithin, ORDER, within, type Order } from './within.ts'

// ---- charters over a small domain, every bound free ---------------------------------------------------------------

const H = (digit: string) => `sha256:${digit.repeat(64)}` as const
const maybe = <T>(...values: T[]) => fc.constantFrom(undefined, ...values)
const outputArb = fc.record({
  to: fc.constantFrom(['alpha'], ['alpha', 'bravo'], ['*'], ['bravo']), shape: fc.constantFrom('rows' as const, 'aggregate' as const), about: maybe('own' as const),
  atLeast: maybe(5, 10), epsilon: maybe(0.1, 0.5), rate: maybe(100, 1000),
})
const FIELDS = {
  run: fc.constantFrom(H('0'), H('1')), config: maybe({ k: '1' }, { k: '2' }), tee: fc.constantFrom<Tee[]>(['snp'], ['simulated', 'snp'], ['simulated']), tcb: maybe('any' as const),
  gpu: maybe(['hopper'], ['blackwell', 'hopper']), where: maybe(['EU'], ['EU', 'US']), listen: maybe([443], [80, 443]), reach: maybe(['a:1'], ['a:1', 'b:1']),
  owner: fc.constantFrom('alpha', 'bravo'), kind: fc.constantFrom('data' as const, 'model' as const), at: maybe('x', 'y'), person: maybe('id', 'name'), digest: maybe(H('a'), H('b')), ttl: maybe('1d', '10d'),
  granted: fc.boolean(), can: fc.constantFrom('read' as const, 'use' as const), as: maybe('/a'), until: maybe('2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'), needs: maybe(['alpha.x'], ['alpha.x', 'bravo.y']),
  uses: maybe(1, 2), bytes: maybe(10, 20), epsilon: maybe(1, 2), per: maybe('1d', '7d'),
  out: fc.uniqueArray(outputArb, { selector: out => `${out.shape}\u0000${out.about ?? ''}`, maxLength: 2 }),
}
const fieldsArb = fc.record(FIELDS)
type Fields = typeof fieldsArb extends fc.Arbitrary<infer T> ? T : never

/** The normal form with these fields; `parseCharter` confirms below that it is one. */
function charterFrom(f: Fields): Charter {
  const budget = { uses: f.uses, bytes: f.bytes, epsilon: f.epsilon, per: f.per }
  const out = f.out.map(clean).sort((a, b) => (`${a.shape}\u0000${a.about ?? ''}` < `${b.shape}\u0000${b.about ?? ''}` ? -1 : 1))
  const net = { listen: f.listen, reach: f.reach }
  const some = (value: object) => (Object.values(value).some(one => one !== undefined) ? clean(value) : undefined)
  const grant = { asset: 'a', to: 'run', can: f.can, as: f.as, until: f.until, needs: f.needs, budget: some(budget), out: out.length === 0 ? undefined : out }
  // Fields that are undefined are left out; the domain holds only values of the types.
  return clean({
    charter: 1, name: 'small', epoch: 1, parties: { alpha: { keys: [`ed25519:${'11'.repeat(32)}`] }, bravo: { keys: [`ed25519:${'22'.repeat(32)}`] } },
    programs: { run: clean({ run: { sql: f.run }, config: f.config, on: clean({ tee: f.tee, tcb: f.tcb, gpu: f.gpu, where: f.where }), net: some(net) }) },
    assets: { a: clean({ owner: f.owner, kind: f.kind, at: f.at, person: f.person, digest: f.digest, ttl: f.ttl }) },
    grants: f.granted ? [clean(grant)] : [], change: { widen: { of: ['alpha', 'bravo'], need: 2, notice: '0s' } }, log: { at: 'x', witnesses: 0, head: '1h' },
  }) as unknown as Charter
}
const clean = <T extends object>(value: T): T => Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T // only absent fields go

/** A charter and the same with one to three fields drawn anew (or one field of one output): near enough that many pairs are narrowings. */
const wholeArb = fc.tuple(fieldsArb, fieldsArb, fc.uniqueArray(fc.constantFrom(...Object.keys(FIELDS)), { minLength: 1, maxLength: 3 }), fc.nat())
  .map(([from, other, changed, seed]) => ({ from, to: { ...from, ...Object.fromEntries(Object.entries(other).filter(([key]) => changed.includes(key))) }, seed }))
const outputEditArb = fc.tuple(fieldsArb, outputArb, outputArb, fc.constantFrom('to', 'shape', 'about', 'atLeast', 'epsilon', 'rate'), fc.nat())
  .map(([fields, old, other, changed, seed]) => ({ from: { ...fields, granted: true, out: [old] }, to: { ...fields, granted: true, out: [{ ...old, ...Object.fromEntries(Object.entries(other).filter(([key]) => key === changed)) }] }, seed }))
const pairArb = fc.oneof({ arbitrary: wholeArb, weight: 3 }, { arbitrary: outputEditArb, weight: 1 }).map(({ from, to, seed }) => ({ before: charterFrom(from), after: charterFrom(to), seed }))

// ---- what a charter permits, from the table of section 4 and without the order --------------------------------------

interface Use {
  run: string; config: string; tee: string; outdated: boolean; gpu: string[]; where: string; listen: number | undefined; reach: string | undefined
  asset: Asset; digest: string; ageSeconds: number; can: string; as: string | undefined; now: string; facts: string[]
  spent: Record<'1d' | '7d' | 'ever', { uses: number; bytes: number; epsilon: number }>
  out: { to: string; shape: string; about: 'own' | 'others'; persons: number; epsilon: number; rate: number } | undefined
}

function permits(charter: Charter, use: Use): boolean {
  const { run: program, assets: asset } = { run: charter.programs['run'] as Program, assets: charter.assets['a'] as Asset } // both are always there
  const grant = charter.grants.find(one => one.can === use.can && one.as === use.as)
  if (grant === undefined) return false
  const { uses, bytes, epsilon, per } = grant.budget ?? {}
  const spent = use.spent[per === '1d' || per === '7d' ? per : 'ever']
  return JSON.stringify(program.run) === use.run && JSON.stringify(program.config) === use.config && program.on.tee.some(tee => tee === use.tee) && (!use.outdated || program.on.tcb === 'any')
    && (program.on.gpu === undefined ? use.gpu.length === 0 : use.gpu.length > 0 && use.gpu.every(one => program.on.gpu?.includes(one)))
    && (program.on.where === undefined || program.on.where.includes(use.where))
    && (use.listen === undefined || program.net?.listen?.includes(use.listen) === true) && (use.reach === undefined || program.net?.reach?.includes(use.reach) === true)
    && asset.owner === use.asset.owner && asset.kind === use.asset.kind && asset.at === use.asset.at && asset.person === use.asset.person
    && (asset.digest === undefined || asset.digest === use.digest) && (asset.ttl === undefined || use.ageSeconds < durationSeconds(asset.ttl))
    && (grant.until === undefined || use.now < grant.until) && (grant.needs ?? []).every(need => use.facts.includes(need))
    && spent.uses + 1 <= (uses ?? Infinity) && spent.bytes < (bytes ?? Infinity) && spent.epsilon <= (epsilon ?? Infinity) && outPermitted(grant, use)
}

function outPermitted(grant: Grant, { out }: Use): boolean {
  return out === undefined || (grant.out ?? []).some(one => one.shape === out.shape && (one.about === undefined || one.about === out.about) && (one.to.includes('*') || one.to.includes(out.to))
    && out.persons >= (one.atLeast ?? 0) && out.epsilon <= (one.epsilon ?? Infinity) && out.rate <= (one.rate ?? Infinity))
}

/** A use at the very edge of what a charter permits: each bound spent to the last, each open choice drawn. */
function edge(charter: Charter, seed: number): Use | undefined {
  let state = seed
  const pick = <T>(values: readonly T[]): T => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return values[(state >>> 16) % values.length] as T // never empty here
  }
  const grant = charter.grants[0]
  const [program, asset] = [charter.programs['run'] as Program, charter.assets['a'] as Asset] // both are always there
  if (grant === undefined) return undefined
  const { uses, bytes, epsilon, per } = grant.budget ?? {}
  const last = { uses: (uses ?? MANY) - 1, bytes: (bytes ?? MANY) - 1, epsilon: epsilon ?? MANY }
  const more = { uses: MANY, bytes: MANY, epsilon: MANY } // in longer windows anything may have been spent
  const out = pick([undefined, ...(grant.out ?? [])]) as Output | undefined
  return {
    run: JSON.stringify(program.run), config: JSON.stringify(program.config), tee: pick(program.on.tee), outdated: program.on.tcb === 'any', gpu: program.on.gpu ?? [], where: pick(program.on.where ?? ['EU', 'US', 'XX']),
    listen: pick([undefined, ...(program.net?.listen ?? [])]), reach: pick([undefined, ...(program.net?.reach ?? [])]), asset, digest: asset.digest ?? pick([H('a'), H('b'), H('c')]),
    ageSeconds: asset.ttl === undefined ? MANY : durationSeconds(asset.ttl) - 1, can: grant.can, as: grant.as, now: grant.until === undefined ? '9999-01-01T00:00:00Z' : `${Number(grant.until.slice(0, 4)) - 1}-12-31T23:59:59Z`,
    facts: grant.needs ?? [], spent: { '1d': last, '7d': per === '1d' ? more : last, ever: per === undefined ? last : more },
    out: out === undefined ? undefined : { to: pick(out.to.map(to => (to === '*' ? 'anybody' : to))), shape: out.shape, about: out.about ?? pick(['own', 'others']), persons: out.atLeast ?? 1, epsilon: out.epsilon ?? Infinity, rate: out.rate ?? Infinity },
  }
}
const MANY = 1e9

// ---- the property, and what each comparison is for -------------------------------------------------------------------

const widens = (before: Charter, after: Charter, order: Order = ORDER): boolean => {
  const reviewed = review(p, before, { ...after, epoch: 2, prev: charterDigest(p, before) }, order)
  return reviewed.ok && reviewed.value.change === 'widen'
}
const holds = (order: Order) => fc.property(pairArb, ({ before, after, seed }) => {
  const use = edge(after, seed)
  return use === undefined || permits(before, use) || widens(before, after, order)
})

test('the domain holds normal forms, and an edge is permitted', () => {
  fc.assert(fc.property(pairArb, ({ before, seed }) => {
    assert.deepEqual(ok(parseCharter(canonicalCharter(before))), before)
    const use = edge(before, seed)
    return use === undefined || permits(before, use)
  }), { numRuns: 200 })
})
test('what is not a widening permits nothing that was not permitted (12,000 pairs)', () => fc.assert(holds(ORDER), { numRuns: 12_000 }))
test('narrowings are found, not only refused', () => {
  const narrow = fc.sample(pairArb, { numRuns: 1000, seed: 1 }).filter(({ before, after }) => !widens(before, after)).length
  assert.ok(narrow > 250, `${narrow} of 1000`)
})
for (const part of ['output', 'grant', 'program', 'asset'] as const) {
  for (const name of Object.keys(ORDER[part])) {
    test(`without the comparison ${part}.${name} the property fails`, () => {
      const found = fc.check(holds({ ...ORDER, [part]: { ...ORDER[part], [name]: () => true } }), { numRuns: 20_000, endOnFailure: true })
      assert.ok(found.failed)
    })
  }
}

test('decide allows under a narrowed charter only what it allowed before; epsilon stays within the old total', () => {
  const now = 1_800_000_000
  const plainArb = pairArb.map(({ before, after, seed }) => ({ before: withoutPlace(before), after: withoutPlace(after), seed }))
  const lineage = H('c')
  const verdict = (charter: Charter, grant: Grant, seed: number) => {
    const view = { lineage, charter, revoked: false, head: { time: now, witnesses: 0 }, enactedAt: now }
    const program = charter.programs['run'] as Program // always there
    const claims = { tee: 'snp', debug: false, hostData: programIdentity(p, lineage, 'run', program).slice(7) }
    const request = { charter: charterDigest(p, charter), epoch: 1, program: 'run', asset: 'a', can: grant.can, ...(grant.as === undefined ? {} : { as: grant.as }), nonce: new Uint8Array(32) }
    const spent = { uses: seed % 3, bytes: seed % 30, epsilon: (seed % 25) * 100_000 }
    return { decided: decide(p, view, request, { claims, tcb: seed % 2 === 0 ? 'current' : 'outdated' } as Judged, () => spent, now), spent } // the claims that decide reads
  }
  fc.assert(fc.property(plainArb, ({ before, after, seed }) => {
    const grant = after.grants[0]
    if (grant === undefined || widens(before, after)) return true
    const [new_, old] = [verdict(after, grant, seed), verdict(before, grant, seed)]
    if (!new_.decided.ok || old.decided.ok) return true
    // A run that now loses less privacy may fit where one that lost more did not: the total of the old charter still bounds it.
    const most = before.grants[0]?.budget?.epsilon ?? 0
    return old.decided.refusal.at.endsWith('budget.epsilon') && new_.spent.epsilon + new_.decided.value.debit.epsilon <= most * 1e6
  }), { numRuns: 3000 })
})
/** Facts, places and dates have tests of their own. */
function withoutPlace(charter: Charter): Charter {
  const copy = structuredClone(charter)
  delete copy.programs['run']?.on.gpu
  delete copy.programs['run']?.on.where
  for (const grant of copy.grants) { delete grant.needs; delete grant.until }
  return copy
}

test('within is reflexive and transitive: two narrowings are a narrowing of the first', () => {
  fc.assert(fc.property(pairArb, pairArb, ({ before: a, after: b }, { after: other }) => {
    const all = (x: Charter, y: Charter) => x.grants.every(g => y.grants.some(h => h.can === g.can && h.as === g.as && grantWithin(g, h)))
      && within(ORDER.program, x.programs['run'] as Program, y.programs['run'] as Program) && within(ORDER.asset, x.assets['a'] as Asset, y.assets['a'] as Asset) // both are always there
    const c = { ...b, grants: other.grants }
    return all(a, a) && all(b, b) && (!(all(b, a) && all(c, b)) || all(c, a))
  }), { numRuns: 3000 })
})
