import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { utf8 } from '@cloister/core/bytes/text'
import type { Hash } from '@cloister/core/charter/types'
import { attempt } from '@cloister/core/refusal'
import { newStore } from './collateral.fixture.ts'
import { LIMITS, matching, type Document } from './documents.ts'
import { openCollateral, type CollateralStore } from './store.ts'

const document = (text: string, change: Partial<Document> = {}): Document => ({ kind: 'amd-crl', about: { product: 'Genoa' }, notBefore: 100, notAfter: 200, bytes: utf8(text), ...change })
const fileOf = (store: CollateralStore, digest: Hash) => join(store.folder, digest.slice(7))
const codeOf = (read: () => unknown) => {
  const result = attempt(read)
  return result.ok ? 'accepted' : result.refusal.code
}

test('a document comes back as it was filed, from another opening too; folder 0700, files 0600', context => {
  const store = newStore(context)
  const { entry, known } = store.put(document('one', { issuerChain: 'PEM' }), 150)
  assert.equal(known, false)
  assert.deepEqual(entry, { kind: 'amd-crl', about: { product: 'Genoa' }, notBefore: 100, notAfter: 200, issuerChain: 'PEM', digest: entry.digest, size: 3, added: 150 })
  const again = openCollateral(store.folder)
  assert.deepEqual(again.list(), { entries: [entry], damaged: [] })
  assert.deepEqual(again.read(entry.digest), { entry, bytes: utf8('one') })
  assert.equal(statSync(store.folder).mode & 0o777, 0o700)
  assert.equal(statSync(fileOf(store, entry.digest)).mode & 0o777, 0o600)
  assert.equal(store.put(document('one', { issuerChain: 'PEM' }), 999).known, true)
  assert.equal(store.read(entry.digest)?.entry.added, 150, 'when it was first filed')
})

test('every version is kept; the newest in force is found first', context => {
  const store = newStore(context)
  for (const [text, from] of [['old', 50], ['new', 120], ['middle', 100]] as const) store.put(document(text, { notBefore: from, notAfter: from + 100 }), 1)
  store.put(document('other', { about: { product: 'Milan' }, notBefore: 140, notAfter: 240 }), 1)
  const { entries } = store.list()
  const texts = (at?: number) => matching(entries, 'amd-crl', { product: 'Genoa' }, at).map(one => String(Buffer.from(store.read(one.digest)?.bytes ?? [])))
  assert.deepEqual(texts(), ['new', 'middle', 'old'])
  assert.deepEqual(texts(150), ['new', 'middle', 'old'])
  assert.deepEqual(texts(110), ['middle', 'old'])
  assert.deepEqual(texts(151), ['new', 'middle'])
  assert.deepEqual(texts(221), [])
  assert.deepEqual(texts(120), ['new', 'middle', 'old'], 'from its first second')
  assert.deepEqual(texts(49), [])
})

test('a higher evaluation number comes before a later date', context => {
  const store = newStore(context)
  const info = (text: string, evaluation: string, notBefore: number) => store.put(document(text, { kind: 'intel-tcb-info', about: { evaluation }, notBefore }), 1)
  info('late', '17', 120)
  info('early', '18', 100)
  info('ninth', '9', 130)
  assert.deepEqual(matching(store.list().entries, 'intel-tcb-info', {}, 150).map(one => one.about['evaluation']), ['18', '17', '9'])
})

test('any byte of a file flipped on the disk is noticed, named, and never handed out', context => {
  const store = newStore(context)
  const { entry } = store.put(document('the document'), 150)
  const path = fileOf(store, entry.digest)
  const honest = readFileSync(path)
  for (let at = 0; at < honest.length; at++) {
    const altered = Buffer.from(honest)
    altered[at] = (altered[at] ?? 0) ^ 1
    writeFileSync(path, altered)
    const result = attempt(() => store.read(entry.digest))
    assert.ok(!result.ok, `byte ${at}`)
    assert.equal(result.refusal.code, 'store.corrupt')
    assert.equal(result.refusal.at, entry.digest.slice(7))
    const listed = store.list()
    const inBody = at >= honest.length - 'the document'.length
    assert.deepEqual([listed.entries.length, listed.damaged.length], inBody ? [1, 0] : [0, 1], `byte ${at}`)
  }
})

test('cut, lengthened, emptied, exchanged for a link or a pipe: named, and mended by adding it again', context => {
  const store = newStore(context)
  const { entry } = store.put(document('the document'), 150)
  const path = fileOf(store, entry.digest)
  const honest = readFileSync(path)
  const damages: (() => void)[] = [
    () => writeFileSync(path, honest.subarray(0, honest.length - 1)), () => writeFileSync(path, honest.subarray(0, 20)), () => writeFileSync(path, Buffer.concat([honest, Buffer.from('x')])), () => writeFileSync(path, ''),
    () => { rmSync(path); symlinkSync('/dev/zero', path) }, () => { rmSync(path); execFileSync('mkfifo', [path]) },
  ]
  for (const damage of damages) {
    damage()
    assert.equal(codeOf(() => store.read(entry.digest)), 'store.corrupt')
    assert.deepEqual(store.list().damaged.map(one => one.code), ['store.corrupt'])
    assert.equal(store.put(document('the document'), 150).known, false)
    assert.deepEqual(readFileSync(path), honest)
    assert.deepEqual(store.list(), { entries: [entry], damaged: [] })
  }
})

test('a document under the name of another is not that document', context => {
  const store = newStore(context)
  const [one, two] = [store.put(document('one'), 1).entry, store.put(document('two'), 1).entry]
  writeFileSync(fileOf(store, one.digest), readFileSync(fileOf(store, two.digest)))
  assert.equal(codeOf(() => store.read(one.digest)), 'store.corrupt')
  assert.deepEqual(store.list().entries.map(entry => entry.digest), [two.digest])
})

test('killed between writing aside and renaming: the store is as it was, and works', context => {
  const store = newStore(context)
  const { entry } = store.put(document('before'), 1)
  const child = spawnSync(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./torn.child.ts')), store.folder], { encoding: 'utf8' })
  assert.equal(child.signal, 'SIGKILL', child.stderr)
  assert.ok(readdirSync(store.folder).some(name => name.endsWith('.tmp')), 'it was killed after it wrote aside')
  const after = openCollateral(store.folder)
  assert.deepEqual(after.list(), { entries: [entry], damaged: [] })
  assert.equal(after.put(document('torn'), 1).known, false)
  assert.deepEqual(after.list().entries.length, 2)
  const [left = ''] = readdirSync(store.folder).filter(name => name.endsWith('.tmp'))
  openCollateral(store.folder)
  assert.ok(readdirSync(store.folder).includes(left), 'somebody may still be writing it')
  utimesSync(join(store.folder, left), 1, 1)
  writeFileSync(join(store.folder, '.mine.tmp'), '')
  for (const name of ['.mine.tmp', entry.digest.slice(7)]) utimesSync(join(store.folder, name), 1, 1)
  openCollateral(store.folder)
  assert.deepEqual(readdirSync(store.folder).filter(name => name.endsWith('.tmp')), ['.mine.tmp'], 'after an hour nobody is')
  assert.equal(after.list().entries.length, 2, 'documents may be of any age')
})

test('only digests are names: no path leads out of the folder', context => {
  const store = newStore(context)
  writeFileSync(join(store.folder, '..', 'secret'), 'x')
  for (const name of ['../secret', 'sha256:../secret', `sha256:${'A'.repeat(64)}`, `sha256:${'a'.repeat(63)}`, '']) {
    // Whatever a caller passes off as a digest.
    assert.equal(codeOf(() => store.read(name as Hash)), 'cli.usage')
    assert.equal(codeOf(() => store.remove(name as Hash)), 'cli.usage')
  }
  mkdirSync(join(store.folder, 'notes'))
  writeFileSync(join(store.folder, 'README'), 'x')
  assert.deepEqual(store.list(), { entries: [], damaged: [] }, 'what is not named by a digest is nobody\'s')
})

test('taken out once; too large or no room is refused', context => {
  const store = newStore(context)
  const { entry } = store.put(document('one'), 1)
  assert.equal(store.remove(entry.digest), true)
  assert.equal(store.remove(entry.digest), false)
  assert.equal(store.read(entry.digest), undefined)
  assert.equal(codeOf(() => store.put(document('x', { bytes: new Uint8Array(LIMITS.documentBytes + 1) }), 1)), 'bytes.too-large')
  assert.equal(codeOf(() => store.put(document('x', { about: { name: 'x'.repeat(LIMITS.headBytes) } }), 1)), 'bytes.too-large')
  assert.equal(codeOf(() => store.put(document('x'.repeat(10)), 1)), 'accepted')
  const small = openCollateral(store.folder, 2)
  assert.equal(codeOf(() => small.put(document('y'), 1)), 'accepted')
  assert.equal(codeOf(() => small.put(document('z'), 1)), 'store.full')
  assert.equal(codeOf(() => small.put(document('y'), 1)), 'accepted', 'what is here needs no room')
  if (process.getuid?.() === 0) return
  chmodSync(store.folder, 0o500)
  assert.equal(codeOf(() => store.put(document('three'), 1)), 'store.full')
  chmodSync(store.folder, 0o700)
})

test('files are closed again', { skip: existsSync('/proc/self/fd') ? false : 'no /proc' }, context => {
  const store = newStore(context)
  const digests = ['one', 'two'].map(text => store.put(document(text), 1).entry.digest)
  writeFileSync(join(store.folder, 'f'.repeat(64)), 'damaged')
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for (let i = 0; i < 40; i++) {
    assert.equal(openCollateral(store.folder).list().entries.length, 2)
    for (const digest of digests) store.read(digest)
    attempt(() => store.read(`sha256:${'f'.repeat(64)}`))
  }
  assert.ok(open() < before + 20)
  assert.equal(store.remove(`sha256:${'f'.repeat(64)}`), true)
  mkdirSync(join(store.folder, 'e'.repeat(64)))
  assert.deepEqual(store.list().damaged.map(one => one.code), ['store.corrupt'])
  assert.equal(store.remove(`sha256:${'e'.repeat(64)}`), true, 'a folder by that name too')
})

test('what another version wrote is not guessed at', context => {
  const store = newStore(context)
  const { entry } = store.put(document('one'), 1)
  const path = fileOf(store, entry.digest)
  const head = readFileSync(path, 'utf8').split('\n')[0] ?? ''
  for (const change of [head.replace('collateral/1', 'collateral/2'), head.replace('amd-crl', 'amd-new'), head.replace('"notBefore":100', '"notBefore":"100"'), head.replace('"Genoa"', '1'), '[]']) {
    writeFileSync(path, `${change}\n${sha256(change)}\none`)
    assert.equal(codeOf(() => store.read(entry.digest)), 'store.corrupt', change)
  }
  writeFileSync(path, `${head}\n${sha256(head)}\none`)
  assert.equal(codeOf(() => store.read(entry.digest)), 'accepted')
})

const sha256 = (text: string) => execFileSync('sha256sum', { input: text, encoding: 'utf8' }).slice(0, 64)
