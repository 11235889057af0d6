/**
 * Opening an age asset against raw ChaCha20-Poly1305 of `openssl speed` on one core, in one run.
 *
 *   node --conditions=source bench/age.ts [--quick] [--megabytes N] [--rounds N]
 *
 * Ours: `openFile` on a sealed file in the page cache: header, post-quantum key, every chunk read, authenticated, decrypted
 * and handed to a sink; as in use, with the second thread that large files get. Raw: the same cipher over one 64 KiB buffer in the processor's cache, no key set-up, no input.
 * The two alternate; the best of each counts, as noise only ever slows. Beside it, for orientation: with the digest of the
 * sealed file checked as well, and into a memory file, where the kernel's share is the larger one.
 * Target: at least 0.8 × raw, memory constant.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { orRefuse } from '@cloister/core/refusal'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { nodePrimitives as p, nodeRandom } from '../cloud/crypto/node.ts'
import { openFile, sealFile, type FileFacts, type Sink } from '../cloud/seal/age-file.ts'

const TARGET = 0.8
const MEGA = 1 << 20

function bench(): void {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, megabytes: { type: 'string' }, rounds: { type: 'string' } } })
  const megabytes = Number(values.megabytes ?? (values.quick ? 128 : 1024))
  const folder = mkdtempSync(join(tmpdir(), 'cloister-bench-'))
  try {
    compare(folder, megabytes, Number(values.rounds ?? (values.quick ? 2 : 5)), values.quick ? 1 : 2)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function compare(folder: string, megabytes: number, rounds: number, seconds: number): void {
  print(`age: one file of ${megabytes} MiB, ${rounds} rounds`)
  const { identity, recipient } = generateIdentity(p, 'hybrid', nodeRandom)
  const sealed = join(folder, 'asset.age')
  const facts = prepare(folder, sealed, recipient, megabytes)
  const open = (sink: Sink, digest?: FileFacts['digest']) => {
    const start = performance.now()
    const { bytes } = orRefuse(openFile(sealed, { identities: [identity] }, sink, digest))
    if (bytes !== megabytes * MEGA) throw new Error('the file did not open whole')
    return bytes / (performance.now() - start) / 1e6
  }
  open(() => undefined) // into the page cache, and the code warm
  const before = process.memoryUsage.rss()
  let peak = before
  let [ours, raw] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    const [one, other] = [open(() => { peak = Math.max(peak, process.memoryUsage.rss()) }), opensslSpeed(seconds)]
    print(`  open ${one.toFixed(2)} GB/s   openssl ${other.toFixed(2)} GB/s`)
    ;[ours, raw] = [Math.max(ours, one), Math.max(raw, other)]
  }
  print(`  with the digest checked: ${open(() => undefined, facts.digest).toFixed(2)} GB/s`)
  print(`  into a memory file: ${intoMemory(open).toFixed(2)} GB/s`)
  print(`  resident memory: ${mega(before)} MB before, ${mega(peak)} MB at most while opening ${megabytes} MiB`)
  print(`open / openssl ChaCha20-Poly1305 of one core: ${(ours / raw).toFixed(2)} (target ${TARGET})`)
}

function prepare(folder: string, sealed: string, recipient: string, megabytes: number): FileFacts {
  const plain = join(folder, 'asset')
  const fd = openSync(plain, 'w')
  const piece = nodeRandom(MEGA)
  for (let i = 0; i < megabytes; i++) writeSync(fd, piece)
  closeSync(fd)
  const facts = orRefuse(sealFile(plain, sealed, [recipient]))
  rmSync(plain)
  return facts
}

/** Bytes a second over 64 KiB buffers, in GB: elapsed time, as ours is. */
function opensslSpeed(seconds: number): number {
  const run = spawnSync('openssl', ['speed', '-elapsed', '-seconds', String(seconds), '-bytes', '65536', '-decrypt', '-evp', 'chacha20-poly1305'], { encoding: 'utf8' })
  const [, thousands] = /^ChaCha20-Poly1305\s+([\d.]+)k/mi.exec(run.stdout ?? '') ?? []
  if (thousands === undefined) throw new Error('openssl speed is needed for the other side')
  return Number(thousands) / 1e6
}

function intoMemory(open: (sink: Sink) => number): number {
  const name = `/dev/shm/cloister-bench-${process.pid}`
  const fd = openSync(name, 'wx+', 0o600)
  unlinkSync(name)
  try {
    open(fd)
    ftruncateSync(fd)
    return open(openSync(`/proc/self/fd/${fd}`, 'r+'))
  } finally {
    closeSync(fd)
  }
}

const mega = (bytes: number) => (bytes / 1e6).toFixed(0)
const print = (text: string) => process.stdout.write(`${text}\n`)

bench()
