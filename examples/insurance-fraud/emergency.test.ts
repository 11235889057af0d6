// A whole run under an emergency: carol has granted nothing, two of the three open her claims for an hour, and every part says so.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { emergencySubject } from '@cloister/core/charter/emergency'
import { canonicalCharter, charterDigest } from '@cloister/core/charter/canonical'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Grant } from '@cloister/core/charter/types'
import { parsePolicy } from '@cloister/core/log/policy'
import { attemptAsync, orRefuse, type Result } from '@cloister/core/refusal'
import { parseBundle, verifyReceipt, type ReceiptBundle } from '@cloister/core/verify'
import { generate } from './generate.ts'
import { findCode, openFolder } from '../../cloud/cli/folder.ts'
import { openLocalCloud } from '../../cloud/cli/local-cloud.ts'
import { signersOf } from '../../cloud/cli/run.ts'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { actOn, foundCharter } from '../../cloud/sdk/broker.ts'
import { connectBroker } from '../../cloud/sdk/client.ts'
import { run, type RunRequest } from '../../cloud/sdk/run.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloister-emergency-'))
const cloud = await openLocalCloud()
after(async () => {
  await cloud.close()
  rmSync(folder, { recursive: true, force: true })
})
const from = openFolder(import.meta.dirname)
const grantOfCarol = from.charter.grants.find(grant => grant.asset === 'c-claims') ?? assert.fail()
const charter = orRefuse(parseCharter(canonicalCharter({ ...from.charter, grants: from.charter.grants.filter(grant => grant !== grantOfCarol), change: { ...from.charter.change, emergency: { of: ['alpha', 'bravo', 'carol'], need: 2, lasts: '4h' } } })))
const lineage = charterDigest(p, charter)
const signers = signersOf(from)
const client = connectBroker(cloud.url)
const { files } = generate({ claims: 120, seed: 'emergency', out: folder, quiet: true })
const request: RunRequest = {
  charter, program: 'match', code: findCode(from, 'match').bytes, data: new Map(Object.entries(files).map(([insurer, path]) => [`${insurer[0]}-claims`, path])),
  signers, threads: 1, folder: join(folder, 'out'), identities: new Map(), cloud,
}
const policy = orRefuse(parsePolicy(cloud.policy))
const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.refusal.code)
const say = (party: string, subject: string) => client.send('/v1/acts', { act: actOn('emergency', lineage, charter, party, signers.get(party) ?? assert.fail(), subject) })

test('without the emergency carol\'s claims are nobody\'s; with it they are read within its bounds, and the receipt says by whose word', async () => {
  await foundCharter(client, charter, signers)
  assert.equal(codeOf(await attemptAsync(() => run(request))), 'asset.unknown')
  const until = `${new Date(Date.now() + 3600_000).toISOString().slice(0, 19)}Z`
  const narrow: Grant = { ...grantOfCarol, until, out: (grantOfCarol.out ?? []).filter(out => out.about === 'own') }
  await say('alpha', emergencySubject(1, narrow))
  assert.equal(codeOf(await attemptAsync(() => run(request))), 'asset.unknown')
  await say('bravo', emergencySubject(1, narrow))
  assert.equal(codeOf(await attemptAsync(() => run(request))), 'grant.output', 'the guest holds the program to what the emergency lets out')
  const grant: Grant = { ...grantOfCarol, until, out: (grantOfCarol.out ?? []).map(out => ({ ...out, to: ['alpha', 'bravo'] })) }
  for (const party of ['alpha', 'bravo']) await say(party, emergencySubject(2, grant))
  const { verdict } = await run(request)
  assert.deepEqual([verdict.emergency, verdict.emergencies.map(({ asset, sequence, signed }) => [asset, sequence, signed.join()])], [true, [['c-claims', 2, 'alpha,bravo']]])
  assert.match(verdict.checks.find(check => check.id === 'emergency')?.detail ?? '', /^EMERGENCY 2: c-claims → match \(read\) without its owner's grant, until .*, signed by alpha, bravo$/)
  assert.deepEqual([...new Set(verdict.outputs.map(output => output.name.split('/')[0]))].sort(), ['alpha', 'bravo'])
})

test('verify: the receipt does not hold without the emergency\'s own, nor with another\'s', () => {
  const bundle = orRefuse(parseBundle(readFileSync(join(folder, 'out', 'run.receipt.json'))))
  const judged = (changed: Partial<ReceiptBundle>) => codeOf(verifyReceipt(p, { ...bundle, ...changed }, { policy }))
  assert.equal(judged({}), 'ok')
  assert.equal(judged({ emergencies: [] }), 'emergency.bounds')
  assert.equal(judged({ emergencies: [bundle.enacted] }), 'receipt.type')
})
