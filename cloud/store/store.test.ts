import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import { openBlobs } from './blobs.ts'
import { emptyDisk, openMemoryStore } from './memory.ts'
import { openSqliteStore } from './sqlite.ts'
import { codeOf, entries, testStore } from './store.suite.ts'
import { moveSum, tagOf } from './tags.ts'

const KEY = new Uint8Array(32).fill(7)

testStore({
  name: 'sqlite',
  place: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cloister-store-'))
    const path = join(folder, 'store.db')
    return {
      open: async () => openSqliteStore({ path, key: KEY, waitMs: 200 }),
      damage: async (kind, key, older = new Uint8Array(0)) => {
        const db = new DatabaseSync(path)
        if (kind === 'drop') db.prepare('DELETE FROM entries WHERE key = ?').run(key)
        else if (kind === 'older') db.prepare('UPDATE entries SET value = ?, tag = ? WHERE key = ?').run(older, tagOf(KEY, key, older), key)
        else db.prepare("UPDATE entries SET value = CAST('neW' AS BLOB) WHERE key = ?").run(key)
        db.close()
      },
      remove: async () => rmSync(folder, { recursive: true }),
    }
  },
})

testStore({
  name: 'memory',
  place: async () => {
    const disk = emptyDisk()
    return {
      open: async () => openMemoryStore(disk, KEY),
      damage: async (kind, key, older = new Uint8Array(0)) => {
        const entries = new Map(disk.entries)
        const entry = entries.get(key)
        if (kind === 'drop' || entry === undefined) entries.delete(key)
        else entries.set(key, kind === 'older' ? { value: older, tag: tagOf(KEY, key, older) } : { ...entry, value: utf8('neW') })
        disk.entries = entries
      },
      remove: async () => undefined,
    }
  },
})

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-store-'))
  try {
    await body(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('sqlite: files are for their owner only', () => inFolder(async folder => {
  const store = openSqliteStore({ path: join(folder, 's', 'store.db'), key: KEY })
  await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
  for (const name of readdirSync(join(folder, 's'))) assert.equal(statSync(join(folder, 's', name)).mode & 0o777, 0o600, name)
  await store.close()
}))

test('sqlite: another key, another file, or a flipped bit anywhere is refused or read whole', () => inFolder(async folder => {
  const path = join(folder, 'store.db')
  const store = openSqliteStore({ path, key: KEY })
  for (let i = 0; i < 40; i++) await store.write({ at: i, put: entries({ [`a/${i}`]: `value ${i}`.repeat(20) }) })
  await store.close()
  assert.equal(await codeOf(async () => openSqliteStore({ path, key: new Uint8Array(32) })), 'store.corrupt')
  writeFileSync(join(folder, 'not.db'), 'this is not a database, but it is long enough to look like a file of some kind')
  assert.equal(await codeOf(async () => openSqliteStore({ path: join(folder, 'not.db'), key: KEY })), 'store.corrupt')
  const whole = readFileSync(path)
  for (let at = 4096 + 3; at < whole.length; at += 97) {
    const bad = Uint8Array.from(whole)
    bad[at] = (bad[at] ?? 0) ^ 1
    writeFileSync(path, bad)
    rmSync(`${path}-wal`, { force: true })
    rmSync(`${path}-shm`, { force: true })
    const code = await codeOf(async () => {
      const again = openSqliteStore({ path, key: KEY })
      try {
        assert.equal((await again.load('a')).entries.length, 40) // the bit fell into unused room
      } finally {
        await again.close()
      }
    })
    assert.ok(code === undefined || code === 'store.corrupt', `${at}: ${code}`)
  }
}))

test('sqlite: a held lock is store.locked', () => inFolder(async folder => {
  const path = join(folder, 'store.db')
  const store = openSqliteStore({ path, key: KEY, waitMs: 50 })
  const other = new DatabaseSync(path)
  other.exec('BEGIN IMMEDIATE')
  assert.equal(await codeOf(() => store.write({ at: 0, put: entries({ 'a/1': 'x' }) })), 'store.locked')
  other.exec('ROLLBACK')
  assert.equal((await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })).moved, false)
  other.close()
  await store.close()
}))

test('sqlite: a full disk refuses, loses nothing acknowledged, and goes on when there is room (row 112)', () => inFolder(async folder => {
  const path = join(folder, 'store.db')
  const store = openSqliteStore({ path, key: KEY })
  const limit = new DatabaseSync(path)
  limit.close()
  const script = `
    import { openSqliteStore } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))}
    const store = openSqliteStore({ path: process.argv[1], key: new Uint8Array(32).fill(7) })
    let acknowledged = 0
    try { for (;;) { await store.write({ at: await store.version(), put: [{ key: 'a/' + acknowledged, value: new Uint8Array(3000) }] }); acknowledged++ } }
    catch (error) { console.log(JSON.stringify({ code: error.refusal?.code, acknowledged })) }`
  await store.close()
  // A limit on the size of files stands for the full disk: the write beyond it fails in the middle of a record.
  const output = execFileSync('sh', ['-c', 'trap "" XFSZ; ulimit -f 800; exec "$0" "$@"', process.execPath, '--conditions=source', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, path], { encoding: 'utf8' })
  const { code, acknowledged } = JSON.parse(output) as { code: string; acknowledged: number } // our own script's line
  assert.ok(code === 'store.full' || code === 'store.corrupt', code)
  assert.ok(acknowledged > 10)
  const again = openSqliteStore({ path, key: KEY })
  assert.equal((await again.load('a')).entries.length, acknowledged)
  assert.equal((await again.write({ at: await again.version(), put: entries({ 'a/more': 'x' }) })).moved, false)
  await again.close()
}))

test('blobs: whole, private, and checked when read', () => inFolder(async folder => {
  const blobs = openBlobs(join(folder, 'blobs'))
  const digest = blobs.put(utf8('sealed bytes'))
  assert.deepEqual(blobs.get(digest), Buffer.from('sealed bytes'))
  const [name = ''] = readdirSync(join(folder, 'blobs'))
  assert.equal(statSync(join(folder, 'blobs', name)).mode & 0o777, 0o600)
  assert.equal(readdirSync(join(folder, 'blobs')).length, 1)
  assert.equal(blobs.get(`sha256:${'0'.repeat(64)}`), undefined)
  writeFileSync(join(folder, 'blobs', name), 'sealed bytez')
  assert.equal(await codeOf(async () => blobs.get(digest)), 'store.corrupt')
  assert.equal(await codeOf(async () => blobs.get('sha256:../../etc/passwd')), 'store.corrupt')
}))

test('sums do not depend on the order of writing', () => {
  const [a, b] = [tagOf(KEY, 'a/1', utf8('x')), tagOf(KEY, 'a/2', utf8('y'))]
  const empty = emptyDisk().head
  assert.deepEqual(moveSum(moveSum(empty, 'a/1', undefined, a), 'a/2', undefined, b), moveSum(moveSum(empty, 'a/2', undefined, b), 'a/1', undefined, a))
})
