/**
 * `npm run conformance -- sigstore`: Sigstore's unmodified clients against our log (cases.ts), one JSON line a case, then
 * `N passed, M failed`. Needs their packages and no network but the loopback.
 */
import { CASES, judge, makeBundles } from './cases.ts'
import { loadClients } from './clients.ts'
import { openWorld } from './world.ts'

/** The exit status: 0, 10 when a case failed, 20 without the packages. */
export async function runSigstore(print: (line: string) => void = console.log): Promise<number> {
  const clients = await loadClients()
  if (clients === undefined) {
    print('unsupported: @sigstore/sign, @sigstore/verify, @sigstore/bundle and @sigstore/protobuf-specs are not installed')
    return 20
  }
  const [world, foreign] = [await openWorld(clients), await openWorld(clients, 'other.example')]
  try {
    const bundles = await makeBundles(world, foreign)
    const judged = CASES.map(one => ({ one, ...judge(one, bundles, world) }))
    for (const { one, theirs, ours, passed } of judged) print(JSON.stringify({ id: one.name, theirs, ours, ...(passed ? {} : { expected: { theirs: one.theirs, ours: one.ours } }) }))
    const failed = judged.filter(({ passed }) => !passed).length
    print(`${judged.length - failed} passed, ${failed} failed`)
    return failed > 0 ? 10 : 0
  } finally {
    await Promise.all([world.close(), foreign.close()])
  }
}
