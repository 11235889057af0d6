// Sigstore's unmodified clients write into our log and verify what came back: one world, every case of cases.ts, and what they show when we refuse.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { anotherKey, CASES, judge, makeBundles, type Bundles } from './cases.ts'
import { loadClients } from './clients.ts'
import { judgePublished } from './published.ts'
import { runSigstore } from './run.ts'
import { openWorld, type BundleJson, type World } from './world.ts'

const clients = await loadClients()
let made: { world: World; foreign: World; bundles: Bundles } | undefined
const here = () => made ?? assert.fail('no world')

suite('sigstore', { skip: clients === undefined ? 'the packages of Sigstore are not installed' : false }, () => {
  before(async () => {
    const [world, foreign] = [await openWorld(clients ?? assert.fail()), await openWorld(clients ?? assert.fail(), 'other.example')]
    made = { world, foreign, bundles: await makeBundles(world, foreign) }
  })
  after(async () => { await Promise.all([made?.world.close(), made?.foreign.close()]) })

  for (const one of CASES) test(one.name, () => {
    const { bundles, world } = here()
    const { theirs, ours } = judge(one, bundles, world)
    assert.deepEqual({ theirs, ours }, { theirs: one.theirs, ours: one.ours })
  })

  test('a signature that does not hold is not logged, and the client shows why', async () => {
    const { world } = here()
    const size = world.ledger.size()
    const by = world.keyed({ ...world.alice, sign: world.bob.sign }, 'alice')
    await assert.rejects(world.bundle('dsse', by, '{}'), /\(400\) crypto\.signature at dsseRequestV002\.signature: expected a signature by this key/)
    await assert.rejects(world.bundle('message', by, 'x'), /\(400\) crypto\.signature at hashedRekordRequestV002\.signature/)
    assert.equal(world.ledger.size(), size)
  })

  test('the client sends a bare key as a certificate, and is told', async () => {
    const { world } = here()
    const publicKey = String(world.alice.publicKey.export({ format: 'pem', type: 'spki' }))
    const by = { sign: async (data: Uint8Array) => ({ signature: world.alice.sign(data), key: { $case: 'publicKey' as const, hint: 'alice', publicKey } }) }
    await assert.rejects(world.bundle('dsse', by, '{}'), /x509\.parse at .*: expected a certificate, got a public key; send it as publicKey/)
  })

  test('the same artifact twice has two entries, and both bundles verify', async () => {
    const { world } = here()
    const by = world.keyed(world.alice, 'alice')
    const [one, two] = [await world.bundle('dsse', by, '{}'), await world.bundle('dsse', by, '{}')]
    assert.deepEqual([world.theirs(one), world.theirs(two)], ['accept', 'accept'])
    assert.notEqual(one.verificationMaterial.tlogEntries[0]?.logIndex, two.verificationMaterial.tlogEntries[0]?.logIndex)
  })

  test('published bundles: by name accepted or refused, each refusal for its own reason', async () => {
    const { world, bundles } = here()
    const folder = mkdtempSync(join(tmpdir(), 'sigstore-'))
    const put = (name: string, bundle: BundleJson, change: (copy: BundleJson) => void = () => undefined, root = world.trustedRoot()) => {
      const copy = structuredClone(bundle)
      change(copy)
      mkdirSync(join(folder, name))
      writeFileSync(join(folder, name, 'bundle.sigstore.json'), JSON.stringify(copy))
      writeFileSync(join(folder, name, 'trusted_root.json'), JSON.stringify(root))
    }
    try {
      put('rekor2-1', bundles.dsse)
      put('rekor2-2', bundles.message)
      put('rekor2-3', bundles.hashed)
      put('rekor2-4-digest_fail', bundles.message, copy => { if (copy.messageSignature !== undefined) copy.messageSignature.messageDigest.digest = Buffer.alloc(32).toString('base64') })
      put('rekor2-5-signature_fail', bundles.dsse, copy => { copy.dsseEnvelope?.signatures.splice(0, 1, { sig: bundles.certified.dsseEnvelope?.signatures[0]?.sig ?? '' }) })
      put('rekor2-6-proof_fail', bundles.hashed, copy => { copy.verificationMaterial.tlogEntries[0]?.inclusionProof.hashes.pop() })
      put('rekor2-7-root_fail', bundles.dsse, undefined, here().foreign.trustedRoot())
      put('rekor2-8-key_fail', bundles.dsse, undefined, world.trustedRoot({ publicKey: anotherKey() }))
      put('rekor2-9-no-entry_fail', bundles.dsse, copy => { copy.verificationMaterial.tlogEntries = [] })
      put('rekor2-timestamp_fail', bundles.dsse)
      put('another', bundles.dsse)
      assert.deepEqual(judgePublished(folder).map(({ verdict, passed }) => [verdict, passed]), [
        'accept', 'accept', 'accept', 'crypto.signature', 'log.request', 'log.inclusion', 'log.origin', 'log.origin', 'log.request',
      ].map(code => [code, true]))
      const lines: string[] = []
      assert.equal(await runSigstore({ bundles: folder }, line => lines.push(line)), 0)
      assert.equal(lines.at(-1), '9 passed, 0 failed')
      put('rekor2-wrong', bundles.dsse, undefined, here().foreign.trustedRoot())
      assert.equal(await runSigstore({ bundles: folder }, line => lines.push(line)), 10)
      assert.equal(await runSigstore({ bundles: join(folder, 'another') }, line => lines.push(line)), 20)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('the runner prints each case and counts them', async () => {
    const lines: string[] = []
    assert.equal(await runSigstore({}, line => lines.push(line)), 0)
    assert.equal(lines.length, CASES.length + 1)
    assert.equal(lines.at(-1), `${CASES.length} passed, 0 failed`)
  })
})
