// Age files as streams: the same format as core, stock tools both ways, rearranged chunks, a full disk, memory.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseHeader } from '@cloister/core/seal/age/header'
import { decrypt, encrypt, generateIdentity } from '@cloister/core/seal/age/index'
import { nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { openFile, sealFile } from './age-file.ts'

const CHUNK = 64 * 1024
const hybrid = generateIdentity(p, 'hybrid', nodeRandom)
const classic = generateIdentity(p, 'x25519', nodeRandom)
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 8 * CHUNK, 8 * CHUNK + 1, 16 * CHUNK - 1, 16 * CHUNK, 40 * CHUNK + 7]
const stockAge = spawnSync('age', ['--version']).status === 0 && spawnSync('age-keygen', ['--version']).status === 0
const noStock = stockAge ? false : 'the tools age and age-keygen are not installed'

function inFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-age-'))
  try {
    body(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function opened(path: string, identity: string): Buffer | string {
  const parts: Buffer[] = []
  const result = openFile(path, { identities: [identity] }, pieces => { for (const piece of pieces) parts.push(Buffer.from(piece)) })
  return result.ok ? Buffer.concat(parts) : result.refusal.code
}

test('streams and whole buffers are one format, at every size around a chunk', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  for (const size of SIZES) {
    const plaintext = Buffer.from(nodeRandom(size))
    writeFileSync(input, plaintext)
    const facts = sealFile(input, sealed, [hybrid.recipient])
    assert.ok(facts.ok && facts.value.bytes === statSync(sealed).size)
    assert.deepEqual(opened(sealed, hybrid.identity), plaintext, `${size} bytes, streamed`)
    const whole = decrypt(p, { identities: [hybrid.identity] }, readFileSync(sealed))
    assert.ok(whole.ok && Buffer.from(whole.value).equals(plaintext), `${size} bytes, whole`)
    const other = encrypt(p, [classic.recipient], plaintext, nodeRandom)
    assert.ok(other.ok)
    writeFileSync(sealed, other.value)
    assert.deepEqual(opened(sealed, classic.identity), plaintext, `${size} bytes, from core`)
  }
}))

test('stock age opens what we seal, with the owner\'s key', { skip: noStock }, () => inFolder(folder => {
  const [input, sealed, key] = [join(folder, 'in'), join(folder, 'in.age'), join(folder, 'key')]
  const plaintext = nodeRandom(3 * CHUNK + 5)
  writeFileSync(input, plaintext)
  execFileSync('age-keygen', ['-o', key], { stdio: 'ignore' })
  const recipient = execFileSync('age-keygen', ['-y', key]).toString().trim()
  // One recipient that stock tools of today do not know stands beside the owner's: it must not get in the way.
  assert.ok(sealFile(input, sealed, [hybrid.recipient, recipient]).ok)
  assert.ok(execFileSync('age', ['-d', '-i', key, sealed], { maxBuffer: 1 << 24 }).equals(plaintext))
}))

test('we open what stock age seals, binary and with our keys', { skip: noStock }, () => inFolder(folder => {
  const [input, sealed, key] = [join(folder, 'in'), join(folder, 'in.age'), join(folder, 'key')]
  const plaintext = nodeRandom(9 * CHUNK)
  writeFileSync(input, plaintext)
  execFileSync('age', ['-r', classic.recipient, '-o', sealed, input])
  assert.ok(Buffer.from(opened(sealed, classic.identity)).equals(plaintext))
  execFileSync('age-keygen', ['-o', key], { stdio: 'ignore' })
  const identity = /AGE-SECRET-KEY-1\S+/.exec(readFileSync(key, 'utf8'))?.[0] ?? ''
  rmSync(sealed)
  execFileSync('age', ['-a', '-r', execFileSync('age-keygen', ['-y', key]).toString().trim(), '-o', sealed, input])
  const armored = decrypt(p, { identities: [identity] }, readFileSync(sealed))
  assert.ok(armored.ok && Buffer.from(armored.value).equals(plaintext))
}))

test('chunks cut off, reordered, doubled or left out are refused; so is every cut near a boundary', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  writeFileSync(input, nodeRandom(17 * CHUNK + 100))
  assert.ok(sealFile(input, sealed, [classic.recipient]).ok)
  const file = readFileSync(sealed)
  const start = parseHeader(file).length + 16
  const chunks: Buffer[] = []
  for (let at = start; at < file.length; at += CHUNK + 16) chunks.push(file.subarray(at, at + CHUNK + 16))
  const refused = (bytes: Buffer, what: string) => {
    writeFileSync(sealed, bytes)
    assert.equal(opened(sealed, classic.identity), 'age.payload', what)
  }
  const rebuilt = (order: readonly Buffer[]) => Buffer.concat([file.subarray(0, start), ...order])
  for (let i = 0; i < chunks.length; i++) {
    refused(rebuilt(chunks.slice(0, i)), `cut before chunk ${i}`)
    refused(rebuilt(chunks.toSpliced(i, 1)), `chunk ${i} left out`)
    refused(rebuilt(chunks.toSpliced(i, 0, chunks[i] ?? file)), `chunk ${i} doubled`)
    if (i > 0) refused(rebuilt(chunks.toSpliced(i - 1, 2, chunks[i] ?? file, chunks[i - 1] ?? file)), `chunks ${i - 1} and ${i} exchanged`)
    for (const cut of [1, 15, 16, 17]) refused(file.subarray(0, start + i * (CHUNK + 16) + cut), `cut ${cut} bytes into chunk ${i}`)
  }
  refused(Buffer.concat([file, Buffer.alloc(16)]), 'something after the end')
}))

test('another file than the expected one is refused, even when it opens', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  writeFileSync(input, 'claims of yesterday')
  const facts = sealFile(input, sealed, [classic.recipient])
  assert.ok(facts.ok)
  assert.ok(openFile(sealed, { identities: [classic.identity] }, () => undefined, facts.value.digest).ok)
  assert.ok(sealFile(input, sealed, [classic.recipient]).ok)
  const swapped = openFile(sealed, { identities: [classic.identity] }, () => undefined, facts.value.digest)
  assert.ok(!swapped.ok && swapped.refusal.code === 'asset.digest')
}))

test('a full disk is refused and leaves nothing that looks complete', t => inFolder(folder => {
  const small = join(folder, 'small')
  execFileSync('mkdir', [small])
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', small]).status !== 0) return t.skip('mounting a small disk needs root')
  try {
    const input = join(folder, 'in')
    writeFileSync(input, nodeRandom(1 << 20))
    const result = sealFile(input, join(small, 'out.age'), [classic.recipient])
    assert.ok(!result.ok && result.refusal.code === 'store.full')
    assert.deepEqual(readdirSync(small), [])
  } finally {
    spawnSync('umount', [small])
  }
}))

test('a sink that takes no more is refused', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  writeFileSync(input, nodeRandom(1 << 20))
  assert.ok(sealFile(input, sealed, [classic.recipient]).ok)
  const full = openSync('/dev/full', 'w')
  const result = openFile(sealed, { identities: [classic.identity] }, full)
  closeSync(full)
  assert.ok(!result.ok && result.refusal.code === 'store.full')
}))

test('sealing changes nothing beside its output, which only its owner may read', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  writeFileSync(input, 'claims')
  assert.ok(sealFile(input, sealed, [classic.recipient]).ok)
  assert.deepEqual(readdirSync(folder).sort(), ['in', 'in.age'])
  assert.equal(statSync(sealed).mode & 0o777, 0o600)
  const missing = sealFile(join(folder, 'no such file'), sealed, [classic.recipient])
  assert.ok(!missing.ok && missing.refusal.code === 'cli.file')
}))

test('memory does not grow with the file', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  writeFileSync(input, Buffer.alloc(96 << 20))
  assert.ok(sealFile(input, sealed, [classic.recipient]).ok)
  const before = process.memoryUsage().rss
  let peak = before
  const result = openFile(sealed, { identities: [classic.identity] }, () => { peak = Math.max(peak, process.memoryUsage.rss()) })
  assert.ok(result.ok && result.value.bytes === 96 << 20)
  assert.ok(peak - before < 48 << 20, `${Math.round((peak - before) / 1e6)} MB more`)
}))

test('a large file opens the same with a second thread, and is refused the same', () => inFolder(folder => {
  const [input, sealed] = [join(folder, 'in'), join(folder, 'in.age')]
  writeFileSync(input, nodeRandom(48 << 20))
  const facts = sealFile(input, sealed, [classic.recipient])
  assert.ok(facts.ok)
  const expected = createHash('sha256').update(readFileSync(input)).digest('hex')
  // A slow first piece lets the second thread come up while there is work left.
  const open = (digest?: `sha256:${string}`) => {
    const hash = createHash('sha256')
    let first = true
    const result = openFile(sealed, { identities: [classic.identity] }, pieces => {
      for (const piece of pieces) hash.update(piece)
      if (first) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250)
      first = false
    }, digest)
    return result.ok ? hash.digest('hex') : result.refusal.code
  }
  assert.equal(open(), expected)
  assert.equal(open(facts.value.digest), expected)
  const file = readFileSync(sealed)
  const start = parseHeader(file).length + 16
  const at = (chunk: number) => start + chunk * (CHUNK + 16)
  for (const chunk of [700, 708]) {
    const altered = Buffer.from(file)
    altered.copyWithin(at(chunk), at(chunk + 1), at(chunk + 2))
    writeFileSync(sealed, altered)
    assert.equal(open(), 'age.payload')
    assert.equal(open(facts.value.digest), 'age.payload')
    writeFileSync(sealed, file.subarray(0, at(chunk)))
    assert.equal(open(), 'age.payload')
  }
}))
