// Brokers on one store read what is new, and everything where the journal does not tell.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import { attemptAsync, orRefuse } from '@cloister/core/refusal'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import type { Store } from '../store/store.ts'
import { changesSince, journalOf } from './journal.ts'
import { codeOf, newWorld, put, ready, run } from './world.fixture.ts'

const KEY = new Uint8Array(32)
const write = async (store: Store, at: number, changes: Readonly<Record<string, unknown>>) => { const { put: records, delete: gone } = journalOf(at + 1, new Map(Object.entries(changes))); assert.equal((await store.write({ at, put: records, delete: gone })).moved, false) }

test('the journal tells what changed since a version, oldest first, up to the version that was seen', async () => {
  const store = openMemoryStore(emptyDisk(), KEY)
  await write(store, 0, { a: 1 })
  await write(store, 1, { a: 2, b: { c: 3 } })
  await write(store, 2, { b: undefined })
  assert.deepEqual(await changesSince(store, 0, 3), { version: 3, changes: [{ key: 'a', value: 1 }, { key: 'a', value: 2 }, { key: 'b', value: { c: 3 } }, { key: 'b' }] })
  assert.deepEqual(await changesSince(store, 2, 3), { version: 3, changes: [{ key: 'b' }] })
  assert.equal((await changesSince(store, 1, 2))?.version, 3, 'more may have come since')
  for (const [version, reached] of [[-1, 3], [3, 3], [3, 2], [2, 4]] as const) assert.equal(await changesSince(store, version, reached), undefined, `${version} to ${reached}`)
})

test('a record that is missing or too large leaves a gap; records are forgotten after a while', async () => {
  const disk = emptyDisk()
  const store = openMemoryStore(disk, KEY)
  await write(store, 0, { a: 1 })
  await write(store, 1, { a: 'x'.repeat(2 << 20) })
  await write(store, 2, { a: 3 })
  assert.equal(await changesSince(store, 0, 3), undefined)
  assert.equal((await changesSince(store, 2, 3))?.version, 3)
  for (let at = 3; at < 1536; at++) await write(store, at, {})
  assert.equal((await store.list({ prefix: 'journal/' })).length, 1024)
  assert.equal(await changesSince(store, 511, 1536), undefined)
  assert.equal((await changesSince(store, 512, 1536))?.version, 1536)
})

/** Two brokers on one store; `loads` counts how often everything is read. */
async function pair(uses: number, tamper: (store: Store) => Partial<Store> = () => ({})) {
  const world = newWorld({ uses })
  const loads: string[] = []
  const watched = (): Store => {
    const store = world.store()
    return { version: () => store.version(), get: key => store.get(key), list: range => store.list(range), write: batch => store.write(batch), close: () => store.close(), load: name => { loads.push(name); return store.load(name) }, ...tamper(store) }
  }
  const one = await ready(world, world.open({ store: watched() }))
  const two = await world.open({ store: watched() })
  loads.length = 0
  return { world, one, two, loads }
}

test('brokers in turns read only what is new, and see the same', async () => {
  const { world, one, two, loads } = await pair(8)
  for (let i = 0; i < 4; i++) for (const broker of [one, two]) assert.equal(codeOf(await run(world, broker)), 'ok')
  orRefuse(await put(world, two, 'a-claims', 2))
  for (const broker of [one, two]) assert.equal(codeOf(await run(world, broker)), 'budget.spent')
  assert.deepEqual(loads, [])
})

test('where the journal does not tell, everything is read', async () => {
  const { world, one, two, loads } = await pair(4, store => ({ list: async range => (range.prefix === 'journal/' ? [] : store.list(range)) }))
  for (const broker of [one, two, one, two]) assert.equal(codeOf(await run(world, broker)), 'ok')
  for (const broker of [one, two]) assert.equal(codeOf(await run(world, broker)), 'budget.spent')
  assert.ok(loads.length > 0)
})

test('a record that was exchanged for another is refused', async () => {
  const disk = emptyDisk()
  const store = openMemoryStore(disk, KEY)
  await write(store, 0, { a: 1 })
  await write(store, 1, { a: 2 })
  const [first = '', second = ''] = [...disk.entries.keys()]
  const [kept, later] = [disk.entries.get(first), disk.entries.get(second)]
  assert.ok(kept !== undefined && later !== undefined)
  disk.entries = new Map([[first, kept], [second, { ...kept }]])
  assert.equal(codeOf(await attemptAsync(() => changesSince(store, 0, 2))), 'store.corrupt')
  disk.entries = new Map([[first, kept], [second, { ...later, value: utf8('[]') }]])
  assert.equal(codeOf(await attemptAsync(() => changesSince(store, 0, 2))), 'store.corrupt')
})
