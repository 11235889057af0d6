/**
 * What every store must do. A new implementation passes this whole suite or is not a store (attacks.md rows 89, 111, 114,
 * 119). `open` opens the same disk again and again; `damage` changes one stored byte, as a bad disk or a host would.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import { attempt, type RefusalCode } from '@cloister/core/refusal'
import { withFault, type FaultMode } from './faults.ts'
import type { Store } from './store.ts'

export interface StoreSubject {
  readonly name: string
  /** A fresh, empty place to keep things. */
  place(): StorePlace
}

export interface StorePlace {
  open(): Store
  /** Flip a bit of the stored value of `key`; put an older value with its own tag back; drop an entry. */
  damage(kind: 'flip' | 'older' | 'drop', key: string, older?: Uint8Array): void
  remove(): void
}

export function testStore(subject: StoreSubject): void {
  const check = (name: string, body: (place: StorePlace) => void) => test(`${subject.name}: ${name}`, () => {
    const place = subject.place()
    try {
      body(place)
    } finally {
      place.remove()
    }
  })

  check('what was written is there after opening again', place => {
    const store = place.open()
    assert.equal(store.version(), 0)
    const written = store.write(0, tx => { tx.put('a/1', utf8('one')); tx.put('a/2', utf8('two')); tx.put('b/1', utf8('other')); return 'done' })
    assert.deepEqual(written, { moved: false, value: 'done', version: 1 })
    store.write(1, tx => tx.delete('a/1'))
    store.close()
    const again = place.open()
    assert.equal(again.version(), 2)
    assert.equal(again.get('a/1'), undefined)
    assert.deepEqual(text(again.get('a/2')), 'two')
    assert.deepEqual(again.list({ prefix: 'a/' }).map(entry => entry.key), ['a/2'])
    assert.deepEqual(again.load('a').entries.length, 1)
    again.close()
  })

  check('listing is ordered, bounded and can go on', place => {
    const store = place.open()
    store.write(0, tx => { for (const key of ['a/3', 'a/1', 'a/2', 'b/1']) tx.put(key, utf8(key)) })
    assert.deepEqual(store.list({ prefix: 'a/' }).map(entry => entry.key), ['a/1', 'a/2', 'a/3'])
    assert.deepEqual(store.list({ prefix: 'a/', after: 'a/1', limit: 1 }).map(entry => entry.key), ['a/2'])
    store.close()
  })

  check('a body that throws leaves nothing behind', place => {
    const store = place.open()
    assert.throws(() => store.write(0, tx => { tx.put('a/1', utf8('x')); throw new Error('no') }), /no/)
    assert.equal(store.get('a/1'), undefined)
    assert.equal(store.version(), 0)
    store.write(0, tx => tx.put('a/1', utf8('y')))
    assert.equal(store.load('a').entries.length, 1)
    store.close()
  })

  check('inside a transaction its own writes are seen', place => {
    const store = place.open()
    const seen = store.write(0, tx => { tx.put('a/1', utf8('x')); tx.put('a/1', utf8('z')); const value = text(tx.get('a/1')); tx.delete('a/1'); return [value, tx.get('a/1')] })
    assert.deepEqual(seen, { moved: false, value: ['z', undefined], version: 1 })
    store.close()
  })

  check('two writers: the second is told that the store moved (row 119)', place => {
    const [one, two] = [place.open(), place.open()]
    const version = two.version()
    one.write(one.version(), tx => tx.put('a/1', utf8('one')))
    assert.deepEqual(two.write(version, tx => tx.put('a/1', utf8('two'))), { moved: true })
    assert.equal(text(two.get('a/1')), 'one')
    assert.equal(two.write(two.version(), tx => tx.put('a/1', utf8('two'))).moved, false)
    assert.equal(text(one.get('a/1')), 'two')
    one.close()
    two.close()
  })

  check('a write without a version does not move it', place => {
    const store = place.open()
    store.write(0, tx => tx.put('a/1', utf8('x')))
    assert.equal(store.write(undefined, tx => tx.put('a/2', utf8('y'))).moved, false)
    assert.equal(store.version(), 1)
    store.close()
  })

  for (const kind of ['flip', 'older', 'drop'] as const) {
    check(`a value that was damaged (${kind}) is refused, never absent and never made anew (row 114)`, place => {
      const store = place.open()
      store.write(0, tx => tx.put('a/1', utf8('old')))
      store.write(1, tx => { tx.put('a/1', utf8('new')); tx.put('a/2', utf8('more')) })
      store.close()
      place.damage(kind, 'a/1', utf8('old'))
      assert.equal(codeOf(() => { const again = place.open(); again.load('a') }), 'store.corrupt')
    })
  }

  for (const mode of ['not-persisted', 'persisted'] satisfies FaultMode[]) {
    check(`the N-th write fails, ${mode}: opened again, the store is as the mode says (row 111)`, place => {
      for (let nth = 1, reached = true; reached; nth++) {
        const fault = { mode, nth, touched: false }
        const store = withFault(place.open(), fault)
        const start = count(store)
        let done = start
        const code = codeOf(() => { for (; done < start + 3; done++) store.write(store.version(), tx => tx.put('a/count', utf8(String(done + 1)))) })
        assert.equal(code, fault.touched ? 'store.full' : undefined)
        store.close()
        const again = place.open()
        assert.equal(count(again), fault.touched && mode === 'persisted' ? done + 1 : done)
        again.close()
        reached = fault.touched
      }
    })
  }

  check('keys are checked, values are bounded', place => {
    const store = place.open()
    for (const key of ['', 'a', '../x', 'a/\n', 'A/x', `a/${'x'.repeat(600)}`]) assert.throws(() => store.get(key), RangeError)
    assert.equal(codeOf(() => store.write(0, tx => tx.put('a/1', new Uint8Array(9 << 20)))), 'store.full')
    assert.equal(store.version(), 0)
    store.close()
  })
}

const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : new TextDecoder().decode(value))
const count = (store: Store) => Number(text(store.get('a/count')) ?? 0)

function codeOf(body: () => void): RefusalCode | undefined {
  const result = attempt(body)
  return result.ok ? undefined : result.refusal.code
}
