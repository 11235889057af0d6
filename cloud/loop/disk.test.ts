// A node's file: absent at first, then what was written last, readable by its owner only; what is half written does not count.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileDisk } from './disk.ts'

test('a disk keeps what was written last', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'loop-disk-'))
  t.after(() => { rmSync(folder, { recursive: true }) })
  const path = join(folder, 'node.json')
  assert.equal(await fileDisk(path).read(), undefined)
  await fileDisk(path).write('a longer first text')
  await fileDisk(path).write('second')
  assert.equal(await fileDisk(path).read(), 'second')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(folder), ['node.json'])
  writeFileSync(`${path}.new`, 'half a te')
  assert.equal(await fileDisk(path).read(), 'second')
  await assert.rejects(fileDisk(folder).read())
  await assert.rejects(fileDisk(join(folder, 'nowhere', 'node.json')).write('x'))
})
