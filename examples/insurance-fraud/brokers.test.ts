// Three brokers, each a cloud of its own with its own chip and log, and real guests between them: two must agree, one may be gone.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parsePolicy } from '@cloister/core/log/policy'
import { attemptAsync, orRefuse, type Result } from '@cloister/core/refusal'
import { parseBundle, verifyReceipt, type ReceiptBundle } from '@cloister/core/verify'
import { generate } from './generate.ts'
import { findCode, openFolder, partyIdentity } from '../../cloud/cli/folder.ts'
import { openLocalCloud } from '../../cloud/cli/local-cloud.ts'
import { signersOf } from '../../cloud/cli/run.ts'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { run, type RunRequest } from '../../cloud/sdk/run.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloister-brokers-'))
const clouds = await Promise.all([1, 2, 3].map(() => openLocalCloud()))
after(async () => {
  await Promise.all(clouds.map(cloud => cloud.close()))
  rmSync(folder, { recursive: true, force: true })
})
const [first = assert.fail(), ...others] = clouds
const from = openFolder(import.meta.dirname)
const { files } = generate({ claims: 120, seed: 'brokers', out: folder, quiet: true })
const data = new Map(Object.entries(files).map(([insurer, path]) => [`${insurer[0]}-claims`, path]))
const request: RunRequest = {
  charter: from.charter, program: 'match', code: findCode(from, 'match').bytes, data, signers: signersOf(from), threads: 1, folder: join(folder, 'out'),
  identities: new Map(Object.keys(from.charter.parties).flatMap(party => { const identity = partyIdentity(from, party); return identity === undefined ? [] : [[party, identity] as const] })),
  cloud: first, others: others.map(({ url, policy }) => ({ url, policy })), need: 2,
}
const sealed = new Map([...data.keys()].map(asset => [asset, join(folder, 'out', `${asset}.age`)]))
const policies = clouds.map(cloud => orRefuse(parsePolicy(cloud.policy)))
const [policy = assert.fail(), ...otherPolicies] = policies
const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.refusal.code)
const bundleIn = (name: string) => orRefuse(parseBundle(readFileSync(join(folder, name, 'run.receipt.json'))))

test('split over three, run with three: results, and a receipt that three logs hold', async () => {
  const done = await run(request)
  assert.deepEqual(Object.keys(done.result).sort(), ['alpha', 'bravo', 'carol'])
  assert.deepEqual(done.verdict.checks.filter(check => check.id === 'shares').map(check => check.detail), ['a-claims', 'b-claims', 'c-claims'].map(asset => `${asset}: 2 of 3 brokers had to agree, and did`))
  const bundle = bundleIn('out')
  assert.equal(bundle.others?.length, 2)
  assert.equal(new Set([bundle, ...bundle.others ?? []].map(leg => leg.broker.key)).size, 3)
})

test('verify: with two of the three legs it holds, with one it does not; a leg counts once, in its own log, of this run', () => {
  const bundle = bundleIn('out')
  const [second = assert.fail(), third = assert.fail()] = bundle.others ?? []
  const judged = (changed: Partial<ReceiptBundle>, logs = otherPolicies) => codeOf(verifyReceipt(p, { ...bundle, ...changed }, { policy, otherPolicies: logs }))
  assert.equal(judged({}), 'ok')
  assert.equal(judged({ others: [third] }), 'ok')
  assert.equal(judged({ ...second, others: [third] }), 'ok')
  assert.equal(judged({ others: [] }), 'share.too-few')
  assert.equal(judged({ others: [second, second] }), 'receipt.key')
  assert.equal(judged({ others: [{ ...bundle }] }), 'receipt.key')
  assert.equal(judged({ others: [{ ...second, ran: { ...second.ran, envelope: second.released.envelope } }] }), 'log.inclusion')
  assert.equal(judged({ others: [{ ...second, broker: third.broker }] }), 'receipt.key')
  assert.equal(judged({ others: [{ ...second, binding: third.binding }] }), 'evidence.report-data')
  assert.match(judged({}, []), /^log\./, 'each log needs its own policy')
  assert.match(judged({}, otherPolicies.slice(0, 1)), /^log\./)
})

test('one broker gone: the other two release; two gone: refused, and the refusal says whom it lacks', async () => {
  await others[1]?.close()
  const steps: string[] = []
  const done = await run({ ...request, data: sealed, folder: join(folder, 'two'), step: text => steps.push(text) })
  assert.ok(steps.some(step => step.startsWith(`go on without ${others[1]?.url}`)), steps.join())
  assert.equal(done.verdict.checks.filter(check => check.id === 'shares').length, 3)
  assert.equal(bundleIn('two').others?.length, 1)
  assert.equal(codeOf(await attemptAsync(() => run({ ...request, folder: join(folder, 'no') }))), 'provider.host', 'new shares need every broker')
  await others[0]?.close()
  const alone = await attemptAsync(() => run({ ...request, data: sealed, folder: join(folder, 'one') }))
  assert.equal(codeOf(alone), 'share.too-few')
})
