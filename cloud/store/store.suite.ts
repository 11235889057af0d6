/**
 * What every store must do. A new implementation passes this whole suite or is not a store (attacks.md rows 89, 111, 114,
 * 119). `open` opens the same disk again and again; `damage` changes one stored byte, as a bad disk or a host would.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import { attemptAsync, type RefusalCode } from '@cloister/core/refusal'
import { withFault, type FaultMode } from './faults.ts'
import type { Entry, Store } from './store.ts'

export interface StoreSubject {
  readonly name: string
  /** Why it cannot be tested here. */
  readonly skip?: string
  /** A fresh, empty place to keep things. */
  place(): Promise<StorePlace>
}

export interface StorePlace {
  open(): Promise<Store>
  /** Flip a bit of the stored value of `key`; put an older value with its own tag back; drop an entry. */
  damage(kind: 'flip' | 'older' | 'drop', key: string, older?: Uint8Array): Promise<void>
  remove(): Promise<void>
}

export function testStore(subject: StoreSubject): void {
  const check = (name: string, body: (place: StorePlace) => Promise<void>) => test(`${subject.name}: ${name}`, { skip: subject.skip ?? false }, async () => {
    const place = await subject.place()
    try {
      await body(place)
    } finally {
      await place.remove()
    }
  })

  check('what was written is there after opening again', async place => {
    const store = await place.open()
    assert.equal(await store.version(), 0)
    assert.deepEqual(await store.write({ at: 0, put: entries({ 'a/1': 'one', 'a/2': 'two', 'b/1': 'other' }) }), { moved: false, version: 1 })
    await store.write({ at: 1, delete: ['a/1', 'a/never'] })
    await store.close()
    const again = await place.open()
    assert.equal(await again.version(), 2)
    assert.equal(await again.get('a/1'), undefined)
    assert.equal(text(await again.get('a/2')), 'two')
    assert.deepEqual((await again.list({ prefix: 'a/' })).map(entry => entry.key), ['a/2'])
    assert.equal((await again.load('a')).entries.length, 1)
    await again.close()
  })

  check('listing is ordered, bounded and can go on', async place => {
    const store = await place.open()
    await store.write({ at: 0, put: entries({ 'a/3': '3', 'a/1': '1', 'a/2': '2', 'b/1': '1', 'aa/1': '1' }) })
    assert.deepEqual((await store.list({ prefix: 'a/' })).map(entry => entry.key), ['a/1', 'a/2', 'a/3'])
    assert.deepEqual((await store.list({ prefix: 'a/', after: 'a/1', limit: 1 })).map(entry => entry.key), ['a/2'])
    await store.close()
  })

  check('a write that is refused leaves nothing behind', async place => {
    const store = await place.open()
    assert.equal(await codeOf(() => store.write({ at: 0, put: [...entries({ 'a/1': 'x' }), { key: 'a/2', value: new Uint8Array(9 << 20) }] })), 'store.full')
    await assert.rejects(store.write({ at: 0, put: [...entries({ 'a/1': 'x' }), ...entries({ 'a/1': 'y' })] }), RangeError)
    await assert.rejects(store.write({ at: 0, put: entries({ 'a/1': 'x' }), delete: ['a/1'] }), RangeError)
    assert.equal(await store.get('a/1'), undefined)
    assert.equal(await store.version(), 0)
    await store.write({ at: 0, put: entries({ 'a/1': 'y' }) })
    assert.equal((await store.load('a')).entries.length, 1)
    await store.close()
  })

  check('what a write expects is compared, byte for byte, and absence is a value', async place => {
    const store = await place.open()
    const write = (value: string | undefined, next: string) => store.write({ expect: [{ key: 'a/1', value: value === undefined ? undefined : utf8(value) }], put: entries({ 'a/1': next }) })
    assert.deepEqual(await write('x', 'y'), { moved: true })
    assert.deepEqual(await write(undefined, 'x'), { moved: false, version: 0 })
    assert.deepEqual(await write(undefined, 'y'), { moved: true })
    assert.deepEqual(await write('', 'y'), { moved: true })
    assert.deepEqual(await write('x', 'y'), { moved: false, version: 0 })
    assert.equal(text(await store.get('a/1')), 'y')
    await store.close()
  })

  check('two writers: the second is told that the store moved (row 119)', async place => {
    const [one, two] = [await place.open(), await place.open()]
    const version = await two.version()
    await one.write({ at: await one.version(), put: entries({ 'a/1': 'one' }) })
    assert.deepEqual(await two.write({ at: version, put: entries({ 'a/1': 'two' }) }), { moved: true })
    assert.equal(text(await two.get('a/1')), 'one')
    assert.equal((await two.write({ at: await two.version(), put: entries({ 'a/1': 'two' }) })).moved, false)
    assert.equal(text(await one.get('a/1')), 'two')
    await one.close()
    await two.close()
  })

  check('two writers at once: one of them wins, and nothing is lost', async place => {
    const stores = [await place.open(), await place.open()]
    const add = async (store: Store) => {
      for (;;) {
        const version = await store.version()
        const found = await count(store)
        const written = await store.write({ at: version, put: entries({ 'a/count': String(found + 1) }) })
        if (!written.moved) return
      }
    }
    await Promise.all(stores.flatMap(store => Array.from({ length: 10 }, () => add(store))))
    const [store] = stores
    assert.equal(store === undefined ? 0 : await count(store), 20)
    assert.equal(await store?.version(), 20)
    for (const one of stores) await one.close()
  })

  check('a write without a version does not move it', async place => {
    const store = await place.open()
    await store.write({ at: 0, put: entries({ 'a/1': 'x' }) })
    assert.deepEqual(await store.write({ put: entries({ 'a/2': 'y' }) }), { moved: false, version: 1 })
    assert.equal(await store.version(), 1)
    await store.close()
  })

  for (const kind of ['flip', 'older', 'drop'] as const) {
    check(`a value that was damaged (${kind}) is refused, never absent and never made anew (row 114)`, async place => {
      const store = await place.open()
      await store.write({ at: 0, put: entries({ 'a/1': 'old' }) })
      await store.write({ at: 1, put: entries({ 'a/1': 'new', 'a/2': 'more' }) })
      await store.close()
      await place.damage(kind, 'a/1', utf8('old'))
      assert.equal(await codeOf(async () => (await place.open()).load('a')), 'store.corrupt')
    })
  }

  for (const mode of ['not-persisted', 'persisted'] satisfies FaultMode[]) {
    check(`the N-th write fails, ${mode}: opened again, the store is as the mode says (row 111)`, async place => {
      for (let nth = 1, reached = true; reached; nth++) {
        const fault = { mode, nth, touched: false }
        const store = withFault(await place.open(), fault)
        const start = await count(store)
        let done = start
        const code = await codeOf(async () => { for (; done < start + 3; done++) await store.write({ at: await store.version(), put: entries({ 'a/count': String(done + 1) }) }) })
        assert.equal(code, fault.touched ? 'store.full' : undefined)
        await store.close()
        const again = await place.open()
        assert.equal(await count(again), fault.touched && mode === 'persisted' ? done + 1 : done)
        await again.close()
        reached = fault.touched
      }
    })
  }

  check('keys are checked', async place => {
    const store = await place.open()
    for (const key of ['', 'a', '../x', 'a/\n', 'A/x', `a/${'x'.repeat(600)}`]) {
      await assert.rejects(store.get(key), RangeError)
      await assert.rejects(store.write({ put: entries({ [key]: 'x' }) }), RangeError)
      await assert.rejects(store.write({ delete: [key] }), RangeError)
      await assert.rejects(store.write({ expect: [{ key, value: undefined }] }), RangeError)
    }
    await store.close()
  })

  check('a closed store answers nothing', async place => {
    const store = await place.open()
    await store.close()
    await store.close()
    assert.equal(await codeOf(() => store.get('a/1')), 'store.corrupt')
    assert.equal(await codeOf(() => store.write({ put: entries({ 'a/1': 'x' }) })), 'store.corrupt')
  })
}

/** Entries of text. */
export const entries = (values: Readonly<Record<string, string>>): Entry[] => Object.entries(values).map(([key, value]) => ({ key, value: utf8(value) }))
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : new TextDecoder().decode(value))
const count = async (store: Store) => Number(text(await store.get('a/count')) ?? 0)

export async function codeOf(body: () => Promise<unknown>): Promise<RefusalCode | undefined> {
  const result = await attemptAsync(body)
  return result.ok ? undefined : result.refusal.code
}
