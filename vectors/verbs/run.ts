/** How the vectors of receipts as a whole, of guest, provider and command line run. `fixtures/` holds the receipt of a run of version 0.1: it must verify for ever. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toBase64 } from '@cloister/core/bytes/base64'
import { simulatedRoots } from '@cloister/core/evidence/simulated/root'
import { parsePolicy } from '@cloister/core/log/policy'
import { attempt, orRefuse, Refused, type Result } from '@cloister/core/refusal'
import { parseBundle, verifyReceipt, type ReceiptBundle } from '@cloister/core/verify'
import { findCode, openFolder } from '../../cloud/cli/folder.ts'
import { init } from '../../cloud/cli/init.ts'
import { openLocalCloud } from '../../cloud/cli/local-cloud.ts'
import { openScreen } from '../../cloud/cli/screen.ts'
import { importSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { parseLaunch } from '../../cloud/guest/launch.ts'
import { launchProcess } from '../../cloud/provider/launch.ts'
import { meetBroker } from '../../cloud/sdk/broker.ts'
import { connectBroker } from '../../cloud/sdk/client.ts'

const fixtures = join(import.meta.dirname, '..', 'fixtures')

export const verbs: Record<string, (input: unknown) => Result<unknown> | Promise<Result<unknown>>> = {
  /** { replace?: [from, to], extraCertificate?, outputs? }: the kept receipt, changed. With nothing changed it must verify. */
  'receipt.bundle': input => attempt(() => {
    const { replace, extraCertificate, outputs } = input as { replace?: [string, string]; extraCertificate?: boolean; outputs?: string[] }
    const text = readFileSync(join(fixtures, 'run.receipt.json'), 'utf8')
    const bundle = orRefuse(parseBundle(replace === undefined ? text : text.replace(...replace)))
    const changed: ReceiptBundle = extraCertificate === true ? withExtra(bundle) : bundle
    return orRefuse(verifyReceipt(p, changed, { policy: orRefuse(parsePolicy(readFileSync(join(fixtures, 'log.policy'), 'utf8'))), ...(outputs === undefined ? {} : { outputs }) }))
  }),
  /** A simulated broker met by somebody who expects hardware. */
  'sdk.meet': () => settled(async () => {
    const cloud = await openLocalCloud()
    try {
      await meetBroker(connectBroker(cloud.url), false)
    } finally {
      await cloud.close()
    }
  }),
  /** Nobody listens. */
  'sdk.connect': () => settled(async () => connectBroker('http://127.0.0.1:9').read('/v1/log/policy')),
  'guest.launch': input => attempt(() => parseLaunch((input as { text: string }).text)),
  /** { timeoutMs } or { kill }: a guest that is not let finish. */
  'provider.launch': async input => {
    const { timeoutMs = 60_000, kill } = input as { timeoutMs?: number; kill?: boolean }
    return launchProcess({
      launch: { policies: [''], charter: `sha256:${'00'.repeat(32)}`, lineage: `sha256:${'00'.repeat(32)}`, program: 'x', code: '', threads: 1, memoryBytesMax: 2 ** 28 },
      inputs: [], machine: { report: () => { throw new TypeError('not asked here') } }, relay: () => new Promise(() => undefined), timeoutMs,
      onStart: pid => { if (kill === true) process.kill(pid, 'SIGKILL') },
    })
  },
  'cli.folder': input => attempt(() => openFolder((input as { path: string }).path)),
  'cli.key': input => attempt(() => importSigner((input as { pem: string }).pem)),
  'cli.init': input => attempt(() => init(openScreen(true), (input as { template: string }).template, join(tmpdir(), 'nothing-is-written'))),
  /** A program whose bytes are not a file. */
  'cli.code': () => attempt(() => {
    const folder = mkdtempSync(join(tmpdir(), 'cloister-vector-'))
    try {
      writeFileSync(join(folder, 'charter.yaml'), BOX)
      return findCode(openFolder(folder), 'app')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }),
}

function withExtra(bundle: ReceiptBundle): ReceiptBundle {
  const [ask] = simulatedRoots()[0]?.intermediates ?? []
  if (bundle.evidence.kind !== 'simulated') throw new TypeError('the kept receipt is of a simulated machine')
  return { ...bundle, evidence: { ...bundle.evidence, certificates: [...bundle.evidence.certificates, ...(ask === undefined ? [] : [toBase64(ask.der)])] } }
}

async function settled(work: () => Promise<unknown>): Promise<Result<unknown>> {
  try {
    return { ok: true, value: await work() }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, refusal: error.refusal }
    throw error
  }
}

const BOX = `charter: 1
name: box
epoch: 1
parties: { me: { keys: ["ed25519:${'11'.repeat(32)}"] } }
programs: { app: { run: { vm: "sha256:${'00'.repeat(32)}" }, on: { tee: [snp] } } }
assets: { disk: { owner: me, kind: disk } }
grants: [{ asset: disk, to: app, can: use }]
change: { widen: { of: [me], need: 1, notice: 0s } }
log: { at: x, witnesses: 0, head: 1h }
`
