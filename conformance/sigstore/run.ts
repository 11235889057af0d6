/**
 * `npm run conformance -- sigstore`: Sigstore's unmodified clients against our log (cases.ts), one JSON line a case, then
 * `N passed, M failed`. Needs their packages and no network but the loopback. `--bundles FOLDER`: bundles of the real Rekor
 * against our verifier instead (published.ts), for which nothing needs to be installed.
 */
import { CASES, judge, makeBundles } from './cases.ts'
import { loadClients } from './clients.ts'
import { judgePublished } from './published.ts'
import { openWorld } from './world.ts'

/** The exit status: 0, 10 when a case failed, 20 without the packages or without a bundle. */
export async function runSigstore({ bundles: folder }: { readonly bundles?: string | undefined } = {}, print: (line: string) => void = console.log): Promise<number> {
  if (folder !== undefined) return runPublished(folder, print)
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

function runPublished(folder: string, print: (line: string) => void): number {
  const judged = judgePublished(folder)
  for (const { id, verdict, passed } of judged) print(JSON.stringify({ id, verdict, ...(passed ? {} : { expected: id.endsWith('_fail') ? 'a refusal' : 'accept' }) }))
  const failed = judged.filter(({ passed }) => !passed).length
  print(`${judged.length - failed} passed, ${failed} failed`)
  return failed > 0 ? 10 : judged.length === 0 ? 20 : 0
}
